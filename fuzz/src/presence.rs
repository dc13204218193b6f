//! Target `presence`: the machine of one pair (RFC 8048, RFC 6665), with what both sides and time do to it in any order.
//!
//! Invariants, besides not panicking: nobody is shown a user who may not see him; a dialog belongs to somebody who is
//! wanted or allowed; what expires is due, and is not due again at once; bounds hold; each SUBSCRIBE and NOTIFY has one
//! answer, and none of them 202 or 408; a pair that is stored and read is the same.
//!
//! The first byte of an input chooses the partner; then each two bytes are a step.

use bytes::Bytes;
use causeway_gateway::presence::record::{
    InAuthorisation, InDialog, MAX_DIALOGS, MAX_RESOURCES, OutAuthorisation, Pair, PairKey,
};
use causeway_gateway::presence::{Answer, PairContext, PairInput, PairOutput, PresenceSettings};
use causeway_gateway::translate::presence::{PresenceKind, read_presence};
use causeway_shared::jid::BareJid;
use causeway_shared::partner::PartnerType;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::{Message, Request, Response};
use causeway_sip::method::{Method, Status};
use causeway_sip::parse::{Datagram, parse_datagram};
use causeway_sip::uri::Uri;

const PARTNERS: [PartnerType; 3] = [PartnerType::Federated, PartnerType::PublicVerified, PartnerType::PublicUnverified];
const TYPES: [&str; 7] = ["subscribe", "unsubscribe", "subscribed", "unsubscribed", "probe", "unavailable", ""];
const STATES: [&str; 12] = [
    "active;expires=600",
    "active",
    "active;expires=0",
    "pending;expires=600",
    "terminated",
    "terminated;reason=rejected",
    "terminated;reason=deactivated",
    "terminated;reason=probation;retry-after=90",
    "terminated;reason=giveup;retry-after=9",
    "terminated;reason=noresource",
    "terminated;reason=timeout",
    "terminated;reason=invariant",
];
const CODES: [u16; 12] = [200, 202, 403, 404, 407, 423, 480, 481, 489, 500, 503, 603];

struct World {
    pair: Pair,
    now_ms: u64,
    random: u64,
    partner: PartnerType,
    settings: PresenceSettings,
    contact: Uri,
    /// The last requests of ours, for answers, and the last answer to a SUBSCRIBE, for its dialog.
    subscribe: Option<Request>,
    notify: Option<Request>,
    granted: Vec<Response>,
    serial: u32,
    steps: u32,
}

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [partner, rest @ ..] = data else { return };
    let address = |text: &str| BareJid::parse(text).expect("a literal");
    let key = PairKey { local: address("alice@contoso.example"), remote: address("bob@fabrikam.example") };
    let mut world = World {
        pair: Pair::new(key),
        now_ms: 1_894_699_800_000,
        random: 1,
        partner: PARTNERS[usize::from(partner % 3)],
        settings: PresenceSettings::default(),
        contact: "sip:gw1.contoso.example:5061;transport=tls".parse().expect("a literal"),
        subscribe: None,
        notify: None,
        granted: Vec::new(),
        serial: 0,
        steps: 1,
    };
    for step in rest.chunks_exact(2).take(200) {
        world.steps += 1;
        world.step(step[0], usize::from(step[1]));
        world.look();
    }
}

impl World {
    fn step(&mut self, what: u8, detail: usize) {
        match what % 16 {
            0 | 1 => self.stanza(TYPES[detail % 7], detail / 7),
            2 => self.error(detail),
            3 => self.watch(detail),
            4 => self.watch_on(detail),
            5 | 6 => self.notified(detail),
            7 => self.answered(detail, true),
            8 => self.answered(detail, false),
            9 => {
                let failure = (detail % 2 == 1).then_some(StanzaCondition::RemoteServerTimeout);
                self.feed(PairInput::PresenceOutcome { serial: self.serial, failure });
            }
            10 => {
                self.now_ms = self.pair.due_at.unwrap_or(self.now_ms).max(self.now_ms);
                self.feed(PairInput::Due);
            }
            11 => self.now_ms += [1, 1_000, 30_000, 300_000, 4_000_000, 86_400_000][detail % 6],
            12 => self.feed(
                [PairInput::StreamLost, PairInput::StreamBack, PairInput::Restart { before_ms: u64::MAX }][detail % 3]
                    .clone(),
            ),
            13 => self.feed([PairInput::AccessLost, PairInput::AccessBack, PairInput::Activity][detail % 3].clone()),
            14 => {
                self.partner = PARTNERS[detail % 3];
                self.feed(PairInput::PartnerChanged);
            }
            _ => self.feed([PairInput::PartnerRemoved, PairInput::OperatorRemoved][detail % 2].clone()),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the steps write their inputs where they feed them")]
    fn feed(&mut self, input: PairInput) {
        self.random += 1;
        let before = self.pair.clone();
        let context = PairContext {
            now_ms: self.now_ms,
            random: self.random,
            partner: self.partner,
            may_hold: self.random % 2 == 0,
            may_watch: self.random % 16 != 0,
            is_partner: self.random % 64 != 0,
            has_access: self.random % 64 != 1,
            contact: &self.contact,
            settings: &self.settings,
        };
        let mut out = Vec::new();
        self.pair.handle(&input, &context, &mut out);
        assert!(out.len() <= 64, "{} outputs of one step", out.len());
        let is_request = matches!(input, PairInput::Subscribe(_) | PairInput::Notify(_));
        let answers = out.iter().filter(|output| matches!(output, PairOutput::Respond(_))).count();
        assert_eq!(answers, usize::from(is_request), "answers to {input:?}");
        for output in out {
            self.hear(output, &before);
        }
    }

    fn hear(&mut self, output: PairOutput, before: &Pair) {
        match output {
            PairOutput::Presence { presence, serial } => {
                self.serial = serial;
                let shows = matches!(presence.kind, PresenceKind::Available | PresenceKind::Subscribed);
                assert!(!shows || self.pair.is_watcher(), "{presence:?} to a stranger");
                let notes = presence.presence.as_ref().is_some_and(|presence| !presence.notes.is_empty());
                assert!(!notes || self.partner.sees_notes(), "{presence:?} to {:?}", self.partner);
            }
            PairOutput::Subscribe { request, .. } => {
                assert!(
                    self.partner.may_act_unadded()
                        || self.pair.is_added()
                        || before.is_added()
                        || expires(&request) == 0
                );
                self.subscribe = Some(request);
            }
            PairOutput::Notify { request, .. } => {
                let may_see =
                    [before, &self.pair].iter().any(|pair| pair.outbound.authorisation == OutAuthorisation::To);
                assert!(request.body.is_empty() || may_see, "{request:?} to a stranger");
                self.notify = Some(request);
            }
            PairOutput::Respond(response) => {
                assert!(![202, 408].contains(&response.status.code()), "{response:?}");
                if response.status.code() == 200 && response.headers.expires().is_ok_and(|expires| expires.is_some()) {
                    self.granted.push(response);
                }
            }
            PairOutput::Verdict(_) | PairOutput::Mended(_) => {}
        }
    }

    /// What holds between any two steps.
    fn look(&mut self) {
        let pair = &self.pair;
        let expires =
            pair.inbound.dialog != InDialog::None || !pair.outbound.dialogs.is_empty() || !pair.owed.is_empty();
        assert!(!expires || pair.due_at.is_some(), "it lasts for ever: {pair:?}");
        assert!(pair.outbound.dialogs.len() <= MAX_DIALOGS && pair.outbound.resources.len() <= MAX_RESOURCES);
        let is_wanted = matches!(pair.inbound.authorisation, InAuthorisation::Pending | InAuthorisation::Authorised);
        let is_open = matches!(pair.inbound.dialog, InDialog::Trying { .. } | InDialog::Live { .. });
        assert!(is_wanted || !is_open, "a dialog without an authorisation: {pair:?}");
        if self.pair.due_at.is_some_and(|at| at <= self.now_ms) {
            self.feed(PairInput::Due);
            assert!(self.pair.due_at.is_none_or(|at| at > self.now_ms), "due again at once: {:?}", self.pair);
        }
    }

    fn stanza(&mut self, kind: &str, detail: usize) {
        let kind = if kind.is_empty() { String::new() } else { format!(" type='{kind}' id='i'") };
        let inner = ["", "<show>dnd</show><status>n</status>", "<priority>-1</priority>"][detail % 3];
        self.presence(&format!("<presence xmlns='jabber:server'{kind}>{inner}</presence>"), detail / 3);
    }

    fn error(&mut self, detail: usize) {
        let names = ["gone", "forbidden", "remote-server-timeout", "service-unavailable", "item-not-found"];
        let (kind, name) = (["wait", "cancel", "auth"][detail % 3], names[detail % 5]);
        let xml = format!(
            "<presence xmlns='jabber:server' type='error'><error type='{kind}'><{name} \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
        );
        self.presence(&xml, 0);
    }

    /// From the bare address, or one of some devices.
    fn presence(&mut self, xml: &str, device: usize) {
        let remote = &self.pair.key.remote;
        let full = remote.with_resource(&format!("r{device}"));
        let from = full.ok().filter(|_| device > 0).unwrap_or_else(|| remote.as_jid().clone());
        let stanza = read_presence(xml.as_bytes(), &from, self.pair.key.local.as_jid()).expect("a literal");
        self.feed(PairInput::Presence(Box::new(stanza)));
    }

    /// A SUBSCRIBE in a new dialog.
    fn watch(&mut self, detail: usize) {
        let expires = [3_600, 0, 60, 30][detail % 4];
        let call = format!("c{}", detail / 4);
        self.subscribe("", &call, expires);
    }

    /// A SUBSCRIBE in a dialog that was granted, perhaps long ago.
    fn watch_on(&mut self, detail: usize) {
        let count = self.granted.len().max(1);
        let Some(granted) = self.granted.get(detail / 2 % count) else { return };
        let (Ok(to), Ok(call_id)) = (granted.headers.to(), granted.headers.call_id()) else { return };
        let (tag, call_id) = (to.tag().expect("we give one").to_string(), call_id.to_string());
        self.subscribe(&format!(";tag={tag}"), &call_id, [600, 0][detail % 2]);
    }

    fn subscribe(&mut self, to_tag: &str, call_id: &str, expires: u32) {
        let cseq = self.steps;
        let text = format!(
            "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TLS pool;branch=z9hG4bK{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@contoso.example>;tag=al-{call_id}\r\n\
             To: <sip:bob@fabrikam.example>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} SUBSCRIBE\r\n\
             Contact: <sip:alice@10.0.0.5:5061>\r\nEvent: presence\r\nExpires: {expires}\r\n\r\n"
        );
        self.feed(PairInput::Subscribe(Box::new(request(text))));
    }

    /// A NOTIFY of one of two forks, in or out of order.
    fn notified(&mut self, detail: usize) {
        let Some(subscribe) = &self.subscribe else { return };
        let header = |name: &HeaderName| {
            subscribe.headers.get(name).and_then(HeaderValue::as_str).unwrap_or_default().to_owned()
        };
        let (to, from) = (header(&HeaderName::From), header(&HeaderName::To));
        let (from, call_id) = (from.split(";tag").next().unwrap_or_default(), header(&HeaderName::CallId));
        let cseq = if detail >= 192 { 1 } else { self.steps };
        let body = [
            "",
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:x@y'><tuple id='a'><status><basic>open</basic>\
             </status><note>n</note></tuple></presence>",
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:x@y'/>",
            "<x",
        ][detail / 24 % 4];
        let kind = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
        let text = format!(
            "NOTIFY sip:gw1.contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS pool;branch=z9hG4bK{cseq}n\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag=p{}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\n\
             Contact: <sip:pool:5061>\r\nEvent: presence\r\nSubscription-State: {}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            detail / 12 % 2,
            STATES[detail % 12],
            body.len()
        );
        self.feed(PairInput::Notify(Box::new(request(text))));
    }

    /// The end of the last SUBSCRIBE or NOTIFY of ours.
    fn answered(&mut self, detail: usize, to_subscribe: bool) {
        let request = if to_subscribe { &self.subscribe } else { &self.notify };
        let Some(request) = request.clone() else { return };
        let answer = match detail % 14 {
            12 => Answer::Timeout,
            13 => Answer::Unreachable,
            code => {
                let response = Response::to(&request, Status::new(CODES[code]).expect("a literal"));
                let hint = HeaderValue::from_static(["90", "0", "7200", "99999999"][detail / 14 % 4]);
                let response = response.with(HeaderName::MinExpires, hint.clone()).with(HeaderName::RetryAfter, hint);
                Answer::Response(Box::new(response))
            }
        };
        let (Ok(call_id), Ok(cseq)) = (request.headers.call_id(), request.headers.cseq()) else { return };
        let cseq = cseq.number;
        if request.method == Method::Subscribe {
            return self.feed(PairInput::SubscribeAnswered { call_id, cseq, answer });
        }
        let local_tag = request.headers.from().ok().and_then(|from| from.tag()).expect("ours has one");
        self.feed(PairInput::NotifyAnswered { call_id, local_tag, cseq, answer });
    }
}

fn expires(request: &Request) -> u32 {
    request.headers.expires().ok().flatten().unwrap_or(3_600)
}

fn request(text: String) -> Request {
    match parse_datagram(Bytes::from(text)) {
        Ok(Datagram::Message(Message::Request(request))) => request,
        other => panic!("{other:?}"),
    }
}
