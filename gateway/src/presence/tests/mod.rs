//! Both directions against a pool and a partner that are written out as text.

use bytes::Bytes;
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::Message;
use causeway_sip::method::{Method, Status};
use causeway_sip::parse;

use super::record::*;
use super::refresh::*;
use super::*;
use crate::body::pidf::{Basic, Document};
use crate::translate::presence::read_presence;

mod access;
mod any_sequence;
mod both;
mod drift;
mod inbound;
mod oracle;
mod outbound;

const T0: u64 = 1_894_699_800_000;

/// A pair, its world, and everything it has asked for.
struct Lab {
    pair: Pair,
    now: u64,
    partner: PartnerType,
    random: u64,
    settings: PresenceSettings,
    contact: Uri,
    may_watch: bool,
    is_partner: bool,
    has_access: bool,
}

fn request(text: &str) -> Request {
    match parse::parse_datagram(Bytes::from(text.to_owned())) {
        Ok(parse::Datagram::Message(Message::Request(request))) => request,
        other => panic!("{other:?}\n{text}"),
    }
}

impl Lab {
    fn new(partner: PartnerType) -> Self {
        let key = PairKey {
            local: BareJid::parse("alice@contoso.example").unwrap(),
            remote: BareJid::parse("bob@fabrikam.example").unwrap(),
        };
        Self {
            pair: Pair::new(key),
            now: T0,
            partner,
            random: 1,
            settings: PresenceSettings::default(),
            contact: "sip:gw1.contoso.example:5061;transport=tls".parse().unwrap(),
            may_watch: true,
            is_partner: true,
            has_access: true,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the tests write their inputs where they feed them")]
    fn feed(&mut self, input: PairInput) -> Vec<PairOutput> {
        self.random += 1;
        let context = PairContext {
            now_ms: self.now,
            random: self.random,
            is_partner: self.is_partner,
            has_access: self.has_access,
            partner: self.partner,
            may_hold: true,
            may_watch: self.may_watch,
            contact: &self.contact,
            settings: &self.settings,
        };
        let mut out = Vec::new();
        self.pair.handle(&input, &context, &mut out);
        out
    }

    /// A presence stanza from one of bob's devices (or his bare address).
    fn bob(&mut self, resource: &str, attributes: &str, inner: &str) -> Vec<PairOutput> {
        let from = self.pair.key.remote.with_resource(resource).unwrap_or(self.pair.key.remote.as_jid().clone());
        let xml = format!("<presence xmlns='jabber:server'{attributes}>{inner}</presence>");
        let stanza = read_presence(xml.as_bytes(), &from, self.pair.key.local.as_jid()).unwrap();
        self.feed(PairInput::Presence(Box::new(stanza)))
    }

    fn typed(&mut self, kind: &str) -> Vec<PairOutput> {
        self.bob("", &format!(" type='{kind}' id='i1'"), "")
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
    }

    /// Runs time forward to the next due moment.
    fn due(&mut self) -> Vec<PairOutput> {
        self.now = self.pair.due_at.expect("something is due").max(self.now);
        self.feed(PairInput::Due)
    }

    /// A NOTIFY in the dialog of the last SUBSCRIBE that the gateway sent.
    fn notify(&mut self, subscribe: &Request, tag: &str, cseq: u32, state: &str, body: &str) -> Vec<PairOutput> {
        let to = subscribe.headers.get(&HeaderName::From).unwrap().as_str().unwrap();
        let from = subscribe.headers.get(&HeaderName::To).unwrap().as_str().unwrap();
        let from = from.split(";tag").next().unwrap();
        let call_id = subscribe.headers.call_id().unwrap();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
        let text = format!(
            "NOTIFY sip:gw1.contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS pool;branch=z9hG4bK{cseq}{tag}\r\nMax-Forwards: 70\r\nFrom: {from};tag={tag}\r\n\
             To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:pool.contoso.example:5061>\r\nEvent: presence\r\n\
             Subscription-State: {state}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.feed(PairInput::Notify(Box::new(request(&text))))
    }

    fn answer(&mut self, request: &Request, status: u16, headers: &[(HeaderName, &'static str)]) -> Vec<PairOutput> {
        let mut response = Response::to(request, Status::new(status).unwrap());
        for (name, value) in headers {
            response = response.with(name.clone(), HeaderValue::from_static(value));
        }
        self.settle(request, Answer::Response(Box::new(response)))
    }

    fn settle(&mut self, request: &Request, answer: Answer) -> Vec<PairOutput> {
        let (call_id, cseq) = (request.headers.call_id().unwrap(), request.headers.cseq().unwrap().number);
        if request.method == Method::Notify {
            let local_tag = request.headers.from().unwrap().tag().unwrap();
            self.feed(PairInput::NotifyAnswered { call_id, local_tag, cseq, answer })
        } else {
            self.feed(PairInput::SubscribeAnswered { call_id, cseq, answer })
        }
    }

    /// Bob is authorised, the dialog lives; gives back the SUBSCRIBE.
    fn authorised(&mut self, body: &str) -> Request {
        let subscribe = sent(&self.typed("subscribe"));
        self.answer(&subscribe, 200, &[]);
        self.notify(&subscribe, "p1", 1, "active;expires=3600", body);
        subscribe
    }

    /// A SUBSCRIBE of alice's in a new dialog, or in one whose 200 is given.
    fn alice(
        &mut self,
        call: &str,
        cseq: u32,
        expires: u32,
        inside: Option<&Response>,
        extra: &str,
    ) -> Vec<PairOutput> {
        let to_tag = inside.map(|ok| format!(";tag={}", ok.headers.to().unwrap().tag().unwrap())).unwrap_or_default();
        let text = format!(
            "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TLS pool;branch=z9hG4bK{call}{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@contoso.example>;tag=al-{call}\r\nTo: <sip:bob@fabrikam.example>{to_tag}\r\nCall-ID: {call}@pool\r\n\
             CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:alice@10.0.0.5:5061>\r\nEvent: presence\r\nExpires: {expires}\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        self.feed(PairInput::Subscribe(Box::new(request(&text))))
    }

    /// Alice watches bob, who said yes; gives back the 200 to her SUBSCRIBE.
    fn watching(&mut self) -> Response {
        let out = self.alice("c1", 1, 3600, None, "");
        let ok = response(&out);
        self.confirm(&out);
        let out = self.typed("subscribed");
        self.confirm(&out);
        ok
    }

    /// Answers every NOTIFY and reports every stanza as delivered.
    fn confirm(&mut self, out: &[PairOutput]) {
        for output in out {
            match output {
                PairOutput::Notify { request, .. } => drop(self.answer(request, 200, &[])),
                PairOutput::Presence { serial, .. } => {
                    drop(self.feed(PairInput::PresenceOutcome { serial: *serial, failure: None, shown: None }));
                }
                PairOutput::Subscribe { .. }
                | PairOutput::Respond(_)
                | PairOutput::Verdict(_)
                | PairOutput::Overtaken { .. }
                | PairOutput::Mended(_) => {}
            }
        }
    }

    /// Everything that was sent has arrived.
    fn settle_all(&mut self) {
        self.pair.owed.clear();
        self.pair.due_at = self.pair.next_due(&self.settings);
    }

    /// The SUBSCRIBE that would fit the dialog that lives.
    fn authorised_again(&mut self) -> Request {
        let InDialog::Live { dialog, .. } = &self.pair.inbound.dialog else { panic!() };
        dialog.clone().subscribe(60, &self.contact, HeaderValue::from_static("application/pidf+xml"))
    }
}

/// The SUBSCRIBE among the outputs.
fn sent(out: &[PairOutput]) -> Request {
    let found = out.iter().find_map(|output| match output {
        PairOutput::Subscribe { request, .. } => Some(request.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no SUBSCRIBE in {out:?}"))
}

fn notifies(out: &[PairOutput]) -> Vec<(String, String)> {
    let requests = out.iter().filter_map(|output| match output {
        PairOutput::Notify { request, .. } => Some(request),
        _ => None,
    });
    let state =
        |request: &Request| request.headers.get(&HeaderName::SubscriptionState).unwrap().as_str().unwrap().to_owned();
    requests.map(|request| (state(request), String::from_utf8(request.body.to_vec()).unwrap())).collect()
}

fn notify_states(out: &[PairOutput]) -> Vec<String> {
    notifies(out).into_iter().map(|(state, _)| state).collect()
}

fn response(out: &[PairOutput]) -> Response {
    let found = out.iter().find_map(|output| match output {
        PairOutput::Respond(response) => Some(response.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no response in {out:?}"))
}

fn status(out: &[PairOutput]) -> u16 {
    response(out).status.code()
}

/// What XMPP gets, as `kind from-resource`.
fn stanzas(out: &[PairOutput]) -> Vec<String> {
    let presences = out.iter().filter_map(|output| match output {
        PairOutput::Presence { presence, .. } => Some(presence),
        _ => None,
    });
    presences.map(|p| format!("{:?} {}", p.kind, p.from.resource().unwrap_or("-"))).collect()
}

fn subscribes(out: &[PairOutput]) -> usize {
    out.iter().filter(|output| matches!(output, PairOutput::Subscribe { .. })).count()
}

/// A document of alice's: device, basic, note.
fn pidf(devices: &[(&str, &str, &str)]) -> String {
    let tuples: String = devices
        .iter()
        .map(|(device, basic, note)| {
            format!(
                "<tuple id='ID-{device}'><status><basic>{basic}</basic></status>\
                 <contact>sip:alice@contoso.example;gr={device}</contact><note>{note}</note></tuple>"
            )
        })
        .collect();
    format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:alice@contoso.example'>{tuples}</presence>")
}

const FED: PartnerType = PartnerType::Federated;
const PV: PartnerType = PartnerType::PublicVerified;
const PU: PartnerType = PartnerType::PublicUnverified;
