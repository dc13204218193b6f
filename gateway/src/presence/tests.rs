//! Both directions against a pool and a partner that are written out as text.

use bytes::Bytes;
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::Message;
use causeway_sip::method::{Method, Status};
use causeway_sip::parse;
use proptest::prelude::*;

use super::record::*;
use super::refresh::*;
use super::*;
use crate::body::pidf::{Basic, Document};
use crate::translate::presence::read_presence;

const T0: u64 = 1_894_699_800_000;

/// A pair, its world, and everything it has asked for.
struct Lab {
    pair: Pair,
    now: u64,
    partner: PartnerType,
    random: u64,
    settings: PresenceSettings,
    contact: Uri,
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
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the tests write their inputs where they feed them")]
    fn feed(&mut self, input: PairInput) -> Vec<PairOutput> {
        self.random += 1;
        let context = PairContext {
            now_ms: self.now,
            random: self.random,
            partner: self.partner,
            may_hold: true,
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
                    drop(self.feed(PairInput::PresenceOutcome { serial: *serial, failure: None }));
                }
                PairOutput::Subscribe { .. } | PairOutput::Respond(_) | PairOutput::Verdict(_) => {}
            }
        }
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

// ---- The XMPP user watches the SIP user ----

// RFC 8048 section 5.2.1.
#[test]
fn a_subscribe_becomes_a_subscribe_request_without_gr() {
    let mut lab = Lab::new(FED);
    let out = lab.bob("desk", " type='subscribe'", "");
    let subscribe = sent(&out);
    assert_eq!(stanzas(&out), Vec::<String>::new());
    let header = |name| subscribe.headers.get(&name).and_then(HeaderValue::as_str);
    assert_eq!(subscribe.uri.as_str(), "sip:alice@contoso.example");
    assert_eq!(subscribe.headers.from().unwrap().uri.as_str(), "sip:bob@fabrikam.example");
    assert_eq!(header(HeaderName::Event), Some("presence"));
    assert_eq!(header(HeaderName::Accept), Some("application/pidf+xml"));
    assert_eq!(header(HeaderName::Expires), Some("3600"));
    assert_eq!(header(HeaderName::PAssertedIdentity), Some("<sip:bob@fabrikam.example>"));
    assert_eq!(header(HeaderName::Contact), Some("<sip:gw1.contoso.example:5061;transport=tls>"));
}

// T6. RFC 8048 section 5.2.1: no presence while pending, `subscribed` at the first active.
#[test]
fn pending_says_nothing_and_active_says_subscribed_then_presence() {
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    assert!(lab.answer(&subscribe, 202, &[]).is_empty());
    let out = lab.notify(&subscribe, "p1", 1, "pending;expires=600", &pidf(&[("desk", "open", "")]));
    assert_eq!((status(&out), stanzas(&out)), (200, vec![]));
    let out = lab.notify(&subscribe, "p1", 2, "active;expires=600", &pidf(&[("desk", "open", "Hi")]));
    assert_eq!((status(&out), stanzas(&out)), (200, vec!["Subscribed -".into(), "Available desk".into()]));
    // Later: only what changed.
    let out = lab.notify(&subscribe, "p1", 3, "active;expires=500", &pidf(&[("desk", "open", "Hi")]));
    assert_eq!(stanzas(&out), Vec::<String>::new());
    let out =
        lab.notify(&subscribe, "p1", 4, "active;expires=500", &pidf(&[("phone", "open", ""), ("desk", "closed", "")]));
    assert_eq!(stanzas(&out), ["Unavailable desk", "Available phone"]);
    let out = lab.notify(&subscribe, "p1", 5, "active", "");
    assert_eq!(stanzas(&out), Vec::<String>::new());
}

// T7. RFC 6665 section 4.1.2.4.
#[test]
fn a_notify_may_come_before_the_answer() {
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    let out = lab.notify(&subscribe, "p1", 1, "active;expires=600", "");
    assert_eq!(stanzas(&out), ["Subscribed -"]);
    assert!(lab.answer(&subscribe, 200, &[(HeaderName::Expires, "600")]).is_empty());
    assert!(matches!(lab.pair.inbound.dialog, InDialog::Live { is_active: true, .. }));
}

// T8. RFC 3856 section 6.9; RFC 3261 section 12.2.2.
#[test]
fn a_second_fork_another_call_and_an_old_cseq_are_refused() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised("");
    assert_eq!(status(&lab.notify(&subscribe, "p2", 1, "active;expires=600", "")), 481);
    lab.notify(&subscribe, "p1", 5, "active;expires=600", "");
    assert_eq!(status(&lab.notify(&subscribe, "p1", 4, "active;expires=600", "")), 500);
    let stranger = subscribe.clone().with(HeaderName::Subject, HeaderValue::from_static("x"));
    let mut other = Lab::new(FED);
    assert_eq!(status(&other.notify(&stranger, "p1", 1, "active", "")), 481);
}

#[test]
fn unreadable_bodies_and_other_packages_are_refused() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised("");
    assert_eq!(status(&lab.notify(&subscribe, "p1", 2, "active;expires=600", "<!DOCTYPE x><presence/>")), 400);
    assert_eq!(status(&lab.notify(&subscribe, "p1", 3, "", "")), 400);
    let mut notify = |change: fn(&mut Request)| {
        let mut request = subscribe.clone();
        request.method = Method::Notify;
        change(&mut request);
        status(&lab.feed(PairInput::Notify(Box::new(request))))
    };
    assert_eq!(notify(|request| request.headers.set(HeaderName::Event, HeaderValue::from_static("dialog"))), 489);
}

// RFC 6665 section 4.1.3, T9, T10; the table of the digest, 3.3.
#[test]
fn the_end_of_a_dialog_is_handled_by_its_reason() {
    let open = pidf(&[("desk", "open", "")]);
    for (state, spoken, tries, waits) in [
        ("terminated;reason=deactivated", &[][..], 1, 0),
        ("terminated;reason=timeout", &[], 1, 0),
        ("terminated;reason=giveup;retry-after=120", &[], 0, 120_000),
        ("terminated;reason=probation;retry-after=30", &[], 0, 30_000),
        ("terminated;reason=probation;retry-after=90", &["Unavailable desk"], 0, 90_000),
        ("terminated;reason=rejected", &["Unavailable desk", "Unsubscribed -"], 0, 0),
        ("terminated;reason=noresource", &["Unavailable desk", "Unsubscribed -"], 0, 0),
        ("terminated;reason=invariant;retry-after=5", &[], 0, 0),
        ("terminated;reason=unheard-of;retry-after=70", &[], 0, 70_000),
        ("terminated", &[], 0, 24_000),
    ] {
        let mut lab = Lab::new(FED);
        let subscribe = lab.authorised(&open);
        let out = lab.notify(&subscribe, "p1", 2, state, "");
        assert_eq!(status(&out), 200);
        assert_eq!(stanzas(&out), spoken, "{state}");
        assert_eq!(subscribes(&out), tries, "{state}");
        if tries == 1 {
            assert_ne!(sent(&out).headers.call_id().unwrap(), subscribe.headers.call_id().unwrap(), "{state}");
        }
        match &lab.pair.inbound.dialog {
            InDialog::Backoff { until } => assert!(*until >= T0 + waits && waits > 0, "{state}"),
            _ => assert_eq!(waits, 0, "{state}"),
        }
    }
}

#[test]
fn a_notifier_that_keeps_ending_dialogs_is_asked_less_often() {
    let mut lab = Lab::new(FED);
    let mut subscribe = lab.authorised("");
    for _ in 0..3 {
        subscribe = sent(&lab.notify(&subscribe, "p1", 2, "terminated;reason=deactivated", ""));
        lab.notify(&subscribe, "p1", 1, "active;expires=600", "");
    }
    let out = lab.notify(&subscribe, "p1", 2, "terminated;reason=deactivated", "");
    assert_eq!(subscribes(&out), 0);
    assert!(matches!(lab.pair.inbound.dialog, InDialog::Backoff { .. }));
}

// RFC 8048 section 5.2.2; the table of the digest, 3.4, its first column.
#[test]
fn a_refused_first_subscribe_is_handled_by_its_status() {
    enum Then {
        Refused,
        Backoff,
        Again,
    }
    for (code, then) in [
        (403, Then::Refused),
        (489, Then::Refused),
        (603, Then::Refused),
        (404, Then::Refused),
        (410, Then::Refused),
        (416, Then::Refused),
        (484, Then::Refused),
        (485, Then::Refused),
        (604, Then::Refused),
        (600, Then::Refused),
        (481, Then::Again),
        (405, Then::Backoff),
        (480, Then::Backoff),
        (482, Then::Backoff),
        (483, Then::Backoff),
        (501, Then::Backoff),
        (406, Then::Backoff),
        (401, Then::Backoff),
        (407, Then::Backoff),
        (500, Then::Backoff),
        (503, Then::Backoff),
        (504, Then::Backoff),
        (408, Then::Backoff),
    ] {
        let mut lab = Lab::new(FED);
        let subscribe = sent(&lab.typed("subscribe"));
        let out = lab.answer(&subscribe, code, &[]);
        let authorisation = lab.pair.inbound.authorisation;
        match then {
            Then::Refused => {
                assert_eq!(stanzas(&out), ["Unsubscribed -"], "{code}");
                assert_eq!(authorisation, InAuthorisation::None, "{code}");
            }
            Then::Backoff => {
                assert!(
                    stanzas(&out).is_empty() && matches!(lab.pair.inbound.dialog, InDialog::Backoff { .. }),
                    "{code}"
                );
                assert_eq!(authorisation, InAuthorisation::Pending, "{code}");
                assert_eq!(subscribes(&lab.due()), 1, "{code}");
            }
            Then::Again => assert_eq!(subscribes(&out), 1, "{code}"),
        }
    }
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    let again = sent(&lab.answer(&subscribe, 423, &[(HeaderName::MinExpires, "7200")]));
    assert_eq!(again.headers.expires(), Ok(Some(7200)));
    let out = lab.answer(&again, 503, &[(HeaderName::RetryAfter, "300")]);
    assert_eq!(subscribes(&out), 0);
    assert_eq!(lab.pair.due_at, Some(T0 + 300_000));
}

// T11, T12; the second column.
#[test]
fn a_failed_refresh_keeps_what_it_can() {
    let open = pidf(&[("desk", "open", "")]);
    for (code, spoken, tries, lives) in [
        (500, &[][..], 0, true),
        (503, &[], 0, true),
        (408, &[], 0, true),
        (401, &[], 0, true),
        (406, &[], 0, true),
        (481, &[], 1, false),
        (480, &[], 0, false),
        (501, &[], 0, false),
        (403, &["Unavailable desk", "Unsubscribed -"], 0, false),
        (404, &["Unavailable desk", "Unsubscribed -"], 0, false),
    ] {
        let mut lab = Lab::new(FED);
        lab.authorised(&open);
        lab.settle_all();
        let refresh = sent(&lab.due());
        assert_eq!(refresh.headers.cseq().unwrap().number, 2);
        assert!(refresh.headers.to().unwrap().tag().is_some());
        let out = lab.answer(&refresh, code, &[]);
        assert_eq!(
            (stanzas(&out), subscribes(&out)),
            (spoken.iter().map(ToString::to_string).collect(), tries),
            "{code}"
        );
        assert_eq!(matches!(lab.pair.inbound.dialog, InDialog::Live { .. }), lives, "{code}");
    }
}

impl Lab {
    /// Everything that was sent has arrived.
    fn settle_all(&mut self) {
        self.pair.owed.clear();
        self.pair.due_at = self.pair.next_due(&self.settings);
    }
}

#[test]
fn presence_is_kept_until_the_expiry_and_then_withdrawn() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    let end = T0 + 3_600_000;
    loop {
        let out = lab.due();
        if lab.now >= end {
            assert_eq!((stanzas(&out), subscribes(&out)), (vec!["Unavailable desk".to_owned()], 1));
            break;
        }
        assert_eq!(stanzas(&out), Vec::<String>::new());
        if subscribes(&out) == 1 {
            lab.settle(&sent(&out), Answer::Unreachable);
        }
    }
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Authorised);
}

#[test]
fn a_refresh_that_no_notify_follows_makes_a_new_dialog() {
    let mut lab = Lab::new(FED);
    lab.authorised("");
    lab.settle_all();
    let refresh = sent(&lab.due());
    lab.answer(&refresh, 200, &[(HeaderName::Expires, "3600")]);
    let anew = sent(&lab.due());
    assert_ne!(anew.headers.call_id().unwrap(), refresh.headers.call_id().unwrap());
}

#[test]
fn silence_of_the_pool_backs_off() {
    let mut lab = Lab::new(FED);
    lab.typed("subscribe");
    let out = lab.due();
    assert_eq!(lab.now, T0 + TIMER_N_MS);
    assert_eq!((subscribes(&out), stanzas(&out).len()), (0, 0));
    assert_eq!(subscribes(&lab.due()), 1);
}

// RFC 6121 section 3.1.3: MUST auto-reply.
#[test]
fn an_authorised_watcher_is_told_again() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", ""), ("phone", "open", "")]));
    let out = lab.typed("subscribe");
    assert_eq!(stanzas(&out), ["Subscribed -", "Available desk", "Available phone"]);
    assert_eq!(subscribes(&out), 0);
}

// RFC 6121 section 3.3.3; RFC 8048 section 5.2.3.
#[test]
fn unsubscribe_ends_the_dialog_and_is_confirmed_at_once() {
    let mut lab = Lab::new(FED);
    assert!(lab.typed("unsubscribe").is_empty());
    let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
    let out = lab.typed("unsubscribe");
    assert_eq!(sent(&out).headers.expires(), Ok(Some(0)));
    assert_eq!(stanzas(&out), ["Unavailable desk", "Unsubscribed -"]);
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::None);
    let out = lab.notify(&subscribe, "p1", 2, "terminated;reason=timeout", "");
    assert_eq!((status(&out), out.len()), (200, 1));
    assert_eq!(lab.pair.inbound.dialog, InDialog::None);
}

// RFC 6121 section 4.3.2; the table of the digest, 3.10.
#[test]
fn probes_are_answered_by_the_authorisation() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", ""), ("phone", "open", "")]));
    let out = lab.typed("probe");
    assert_eq!(stanzas(&out), ["Available desk", "Available phone"]);

    let subscribe = lab.authorised_again();
    lab.notify(&subscribe, "p1", 9, "active;expires=60", &pidf(&[]));
    let out = lab.typed("probe");
    assert_eq!(stanzas(&out), ["Unavailable -"]);
    assert!(matches!(&out[0], PairOutput::Presence { presence, .. } if presence.id.as_deref() == Some("i1")));

    // No dialog: a long subscription, and the answer from its NOTIFY.
    lab.pair.inbound.dialog = InDialog::None;
    let out = lab.typed("probe");
    assert_eq!(stanzas(&out), Vec::<String>::new());
    let subscribe = sent(&out);
    assert_eq!(subscribe.headers.expires(), Ok(Some(3600)));
    let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", &pidf(&[("desk", "open", "")]));
    assert_eq!(stanzas(&out), ["Available desk"]);

    let mut pending = Lab::new(FED);
    pending.typed("subscribe");
    assert!(pending.typed("probe").is_empty());
}

impl Lab {
    /// The SUBSCRIBE that would fit the dialog that lives.
    fn authorised_again(&mut self) -> Request {
        let InDialog::Live { dialog, .. } = &self.pair.inbound.dialog else { panic!() };
        dialog.clone().subscribe(60, &self.contact, HeaderValue::from_static("application/pidf+xml"))
    }
}

// 13.4: after a loss of data, the pool decides anew.
#[test]
fn a_probe_for_an_unknown_pair_asks_the_pool_unless_the_partner_is_unverified() {
    for partner in [FED, PV] {
        let mut lab = Lab::new(partner);
        let subscribe = sent(&lab.typed("probe"));
        let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", &pidf(&[("desk", "open", "")]));
        // He never asked anew, so no `subscribed`.
        assert_eq!(stanzas(&out), ["Available desk"]);
    }
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("probe"));
    assert_eq!(stanzas(&lab.answer(&subscribe, 404, &[])), ["Unsubscribed -"]);
    let mut lab = Lab::new(PU);
    let out = lab.typed("probe");
    assert_eq!((stanzas(&out), subscribes(&out)), (vec!["Unsubscribed -".to_owned()], 0));
}

// 10.4: one answer, at a time that says nothing.
#[test]
fn strangers_learn_of_a_refusal_after_a_random_time() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let mut lab = Lab::new(PV);
        lab.random = seed * 100;
        let subscribe = sent(&lab.typed("subscribe"));
        assert_eq!(stanzas(&lab.answer(&subscribe, 404, &[])), Vec::<String>::new());
        assert!(stanzas(&lab.typed("subscribe")).is_empty());
        assert_eq!(stanzas(&lab.due()), ["Unsubscribed -"]);
        times.push(lab.now - T0);
    }
    assert!(times.iter().all(|time| (2_000..10_000).contains(time)));
    times.dedup();
    assert!(times.len() > 10);
}

// T14, X1, S1.
#[test]
fn an_unverified_partners_subscribe_is_held_until_alice_adds_bob() {
    let mut lab = Lab::new(PU);
    assert!(lab.typed("subscribe").is_empty());
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Held);
    assert!(lab.typed("subscribe").is_empty() && lab.typed("probe").is_empty());
    let out = lab.alice("c1", 1, 3600, None, "");
    assert_eq!(stanzas(&out), ["Subscribe -"]);
    let subscribe = sent(&out);
    assert_eq!(subscribe.uri.as_str(), "sip:alice@contoso.example");
    let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", "");
    assert_eq!(stanzas(&out), ["Subscribed -"]);
}

#[test]
fn a_held_subscribe_ends_by_unsubscribe_and_by_time() {
    let mut lab = Lab::new(PU);
    lab.typed("subscribe");
    assert!(lab.typed("unsubscribe").is_empty() && lab.pair.is_blank());
    lab.typed("subscribe");
    assert!(lab.due().is_empty() && lab.pair.is_blank());
    assert_eq!(lab.now, T0 + HELD_DAYS * DAY_MS);
}

// T15, S4.
#[test]
fn public_partners_see_no_notes() {
    for (partner, expected) in [(FED, 1), (PV, 0), (PU, 0)] {
        let mut lab = Lab::new(partner);
        if partner == PU {
            lab.alice("c1", 1, 3600, None, "");
        }
        let subscribe = sent(&lab.typed("subscribe"));
        let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", &pidf(&[("desk", "open", "In a meeting")]));
        let presence = out.iter().find_map(|output| match output {
            PairOutput::Presence { presence, .. } if presence.kind == PresenceKind::Available => Some(presence),
            _ => None,
        });
        let xml = String::from_utf8(presence.unwrap().to_xml().to_vec()).unwrap();
        assert_eq!(xml.matches("<status").count(), expected, "{xml}");
    }
}

#[test]
fn a_stricter_partner_type_takes_notes_and_authorisations_back() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "Note")]));
    lab.partner = PV;
    let out = lab.feed(PairInput::PartnerChanged);
    assert_eq!(stanzas(&out), ["Available desk"]);
    lab.partner = PU;
    let out = lab.feed(PairInput::PartnerChanged);
    assert_eq!(stanzas(&out), ["Unavailable desk", "Unsubscribed -"]);
    assert_eq!(sent(&out).headers.expires(), Ok(Some(0)));
}

// 3.5: the watcher's lease.
#[test]
fn a_watcher_who_gives_no_sign_of_life_is_let_go() {
    let mut lab = Lab::new(FED);
    lab.settings.lease_ms = 1_000_000;
    let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    let out = lab.due();
    assert_eq!((subscribes(&out), lab.now > T0 + 1_000_000), (0, true));
    let out = lab.due();
    assert_eq!((stanzas(&out), subscribes(&out)), (vec![], 0));
    assert_eq!(lab.pair.inbound.dialog, InDialog::None);
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Authorised);
    assert_eq!(status(&lab.notify(&subscribe, "p1", 7, "active", "")), 481);
    // He comes back.
    assert_eq!(subscribes(&lab.bob("desk", "", "")), 1);
}

// ---- The SIP user watches the XMPP user ----

// RFC 8048 section 5.3.1; RFC 6665 section 4.2.2: pending carries expires.
#[test]
fn a_subscribe_request_is_answered_notified_and_asked_of_bob() {
    let mut lab = Lab::new(FED);
    let out = lab.alice("c1", 1, 2000, None, "Record-Route: <sip:proxy.contoso.example;lr>\r\n");
    let ok = response(&out);
    assert_eq!((ok.status.code(), ok.headers.expires()), (200, Ok(Some(2000))));
    assert!(ok.headers.has(&HeaderName::RecordRoute) && ok.headers.to().unwrap().tag().is_some());
    assert_eq!(notifies(&out), [("pending;expires=2000".into(), String::new())]);
    assert_eq!(stanzas(&out), ["Subscribe -"]);
    let PairOutput::Notify { request, next_hop } = out.iter().find(|o| matches!(o, PairOutput::Notify { .. })).unwrap()
    else {
        panic!()
    };
    assert_eq!(next_hop.as_str(), "sip:proxy.contoso.example;lr");
    // RFC 6665 section 4.4.1: the notifier's own tag in From.
    assert_eq!(request.headers.from().unwrap().tag(), ok.headers.to().unwrap().tag());
    assert_eq!(request.headers.to().unwrap().tag().unwrap().as_str(), "al-c1");
    lab.confirm(&out);
    let out = lab.typed("subscribed");
    assert_eq!(notify_states(&out), ["active;expires=2000"]);
    lab.confirm(&out);
    let out = lab.bob("desk", "", "<show>away</show>");
    let [(state, body)] = &notifies(&out)[..] else { panic!("{out:?}") };
    assert_eq!(state, "active;expires=2000");
    let document = Document::read(body.as_bytes()).unwrap();
    assert_eq!((document.tuples[0].id.as_str(), document.tuples[0].show.as_deref()), ("ID-desk", Some("away")));
}

// 3.7.
#[test]
fn a_subscribe_request_that_cannot_be_served_is_refused() {
    for (expires, extra, expected, header) in [
        (3600, "Accept: application/xpidf+xml\r\n", 406, None),
        (3600, "Accept: text/*, application/*;q=0.5\r\n", 200, None),
        (30, "", 423, Some((HeaderName::MinExpires, "60"))),
        (3600, "Content-Type: nonsense\r\n", 200, None),
    ] {
        let out = Lab::new(FED).alice("c1", 1, expires, None, extra);
        assert_eq!(status(&out), expected, "{extra}");
        if let Some((name, value)) = header {
            assert_eq!(response(&out).headers.get(&name).and_then(HeaderValue::as_str), Some(value));
        }
    }
    let mut lab = Lab::new(FED);
    let mut other = request(
        "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TLS p;branch=z9hG4bK1\r\nFrom: <sip:alice@contoso.example>;tag=1\r\n\
         To: <sip:bob@fabrikam.example>\r\nCall-ID: x\r\nCSeq: 1 SUBSCRIBE\r\nEvent: dialog\r\nContent-Length: 0\r\n\r\n",
    );
    let out = lab.feed(PairInput::Subscribe(Box::new(other.clone())));
    assert_eq!((status(&out), response(&out).headers.has(&HeaderName::AllowEvents)), (489, true));
    other.headers.set(HeaderName::Event, HeaderValue::from_static("presence"));
    // No Contact: nowhere to send a NOTIFY.
    assert_eq!(status(&lab.feed(PairInput::Subscribe(Box::new(other)))), 400);
    assert_eq!(lab.pair, Lab::new(FED).pair);
    let ok = response(&Lab::new(FED).alice("c1", 1, 3600, None, ""));
    assert_eq!(status(&lab.alice("c1", 2, 3600, Some(&ok), "")), 481);
}

// 3.8.
#[test]
fn what_bob_answers_decides_what_alice_hears() {
    let error = |kind: &str, condition: &str| {
        format!("<error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
    };
    for (attributes, inner, state, authorisation) in [
        (" type='unsubscribed'", String::new(), Some("terminated;reason=rejected"), OutAuthorisation::None),
        (
            " type='error'",
            error("cancel", "item-not-found"),
            Some("terminated;reason=noresource"),
            OutAuthorisation::None,
        ),
        (
            " type='error'",
            error("cancel", "remote-server-not-found"),
            Some("terminated;reason=noresource"),
            OutAuthorisation::None,
        ),
        (" type='error'", error("auth", "forbidden"), Some("terminated;reason=rejected"), OutAuthorisation::None),
        (" type='error'", error("wait", "remote-server-timeout"), None, OutAuthorisation::PendingOut),
        (" type='error'", error("wait", "internal-server-error"), None, OutAuthorisation::PendingOut),
        (
            " type='error'",
            error("cancel", "service-unavailable"),
            Some("terminated;reason=probation;retry-after=3600"),
            OutAuthorisation::None,
        ),
        (" type='subscribe'", String::new(), None, OutAuthorisation::PendingOut),
        (" type='unsubscribe'", String::new(), None, OutAuthorisation::PendingOut),
    ] {
        let mut lab = Lab::new(FED);
        let out = lab.alice("c1", 1, 3600, None, "");
        lab.confirm(&out);
        let out = lab.bob("", attributes, &inner);
        assert_eq!(notify_states(&out), state.into_iter().collect::<Vec<_>>(), "{attributes} {inner}");
        assert_eq!(lab.pair.outbound.authorisation, authorisation, "{attributes} {inner}");
        assert_eq!(lab.pair.outbound.dialogs.len(), usize::from(state.is_none()));
    }
}

#[test]
fn after_a_no_a_client_that_asks_at_each_login_cannot_pester_bob() {
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.typed("unsubscribed");
    let out = lab.alice("c2", 1, 3600, None, "");
    assert_eq!((status(&out), stanzas(&out)), (403, vec![]));
    lab.wait(COOL_DOWN_MS);
    assert_eq!(stanzas(&lab.alice("c3", 1, 3600, None, "")), ["Subscribe -"]);
}

#[test]
fn an_error_that_will_pass_is_tried_again() {
    let mut lab = Lab::new(FED);
    let out = lab.alice("c1", 1, 360_000, None, "");
    assert_eq!(response(&out).headers.expires(), Ok(Some(3600)));
    let PairOutput::Presence { serial, .. } = out.iter().find(|o| matches!(o, PairOutput::Presence { .. })).unwrap()
    else {
        panic!()
    };
    lab.feed(PairInput::PresenceOutcome { serial: *serial, failure: Some(StanzaCondition::RemoteServerTimeout) });
    let retry = lab.pair.outbound.retry_at.unwrap();
    lab.now = retry;
    assert_eq!(stanzas(&lab.feed(PairInput::Due)), ["Subscribe -"]);
}

// T16. RFC 8048 section 6.2 note 5; RFC 3856 section 6.8: full state each time.
#[test]
fn a_device_that_goes_away_is_shown_closed_once() {
    let mut lab = Lab::new(FED);
    lab.watching();
    for device in ["desk", "phone"] {
        lab.wait(6_000);
        let out = lab.bob(device, "", "");
        lab.confirm(&out);
    }
    let tuples = |out: &[PairOutput]| {
        let (_, body) = notifies(out).remove(0);
        let document = Document::read(body.as_bytes()).unwrap();
        document.tuples.iter().map(|tuple| (tuple.id.clone(), tuple.basic.unwrap())).collect::<Vec<_>>()
    };
    lab.wait(6_000);
    let out = lab.bob("phone", " type='unavailable'", "");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Open), ("ID-phone".to_owned(), Basic::Closed)]);
    lab.confirm(&out);
    lab.wait(6_000);
    let out = lab.bob("desk", "", "<show>dnd</show>");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Open)]);
    lab.confirm(&out);
    lab.wait(6_000);
    let out = lab.bob("desk", " type='unavailable'", "");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Closed)]);
    lab.confirm(&out);
    // The last one stays as the proof that the state is known.
    let out = lab.alice("c2", 1, 3600, None, "");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Closed)]);
    assert!(stanzas(&out).is_empty());
}

// RFC 6121 section 4.5.4.
#[test]
fn unavailable_from_the_bare_address_closes_every_device() {
    let mut lab = Lab::new(FED);
    lab.watching();
    lab.bob("desk", "", "");
    lab.bob("phone", "", "");
    lab.bob("", " type='unavailable'", "");
    assert!(lab.pair.outbound.resources.iter().all(|resource| !resource.available));
}

// RFC 3856 section 6.10.
#[test]
fn changes_are_told_once_in_five_seconds_with_the_last_state() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let out = lab.bob("desk", "", "");
    assert_eq!(notifies(&out).len(), 1);
    lab.confirm(&out);
    for show in ["away", "dnd", "xa"] {
        lab.wait(500);
        assert!(notifies(&lab.bob("desk", "", &format!("<show>{show}</show>"))).is_empty());
    }
    let out = lab.due();
    assert_eq!(lab.now, T0 + 5_000);
    let [(_, body)] = &notifies(&out)[..] else { panic!() };
    assert!(body.contains(">xa</show>"), "{body}");
    lab.confirm(&out);
    // The same state again is no news.
    lab.wait(60_000);
    assert!(notifies(&lab.bob("desk", "", "<show>xa</show>")).is_empty());
}

#[test]
fn a_second_notify_waits_for_the_answer_to_the_first() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let first = lab.bob("desk", "", "");
    lab.wait(6_000);
    assert!(notifies(&lab.bob("desk", "", "<show>away</show>")).is_empty());
    let PairOutput::Notify { request, .. } = &first[0] else { panic!("{first:?}") };
    let out = lab.answer(request, 200, &[]);
    assert_eq!(notifies(&out).len(), 1);
}

// RFC 8048 section 5.3.3, T23.
#[test]
fn the_end_of_a_dialog_is_a_logout_and_the_authorisation_stays() {
    let mut lab = Lab::new(FED);
    let ok = lab.watching();
    let out = lab.bob("desk", "", "");
    lab.confirm(&out);
    let out = lab.alice("c1", 2, 0, Some(&ok), "");
    assert_eq!(status(&out), 200);
    let [(state, body)] = &notifies(&out)[..] else { panic!() };
    assert_eq!(state, "terminated;reason=timeout");
    assert!(body.contains("<basic>closed</basic>") && !body.contains("open"), "{body}");
    assert_eq!(stanzas(&out), Vec::<String>::new());
    assert_eq!(lab.pair.outbound.authorisation, OutAuthorisation::To);
    // Back again: no new `subscribe`, the cached state at once.
    let out = lab.alice("c9", 1, 3600, None, "");
    assert_eq!(stanzas(&out), Vec::<String>::new());
    assert!(notifies(&out)[0].1.contains("<basic>open</basic>"));
    // An older CSeq, and a dialog that is over.
    assert_eq!(status(&lab.alice("c1", 3, 3600, Some(&ok), "")), 481);
}

// 3.9.
#[test]
fn with_her_last_dialog_alice_is_gone_unless_our_subscription_knows_better() {
    for (pool_forgot, expected) in [(false, 0), (true, 1)] {
        let mut lab = Lab::new(FED);
        let ok = lab.watching();
        lab.authorised(&pidf(&[("desk", "open", "")]));
        if pool_forgot {
            lab.pair.inbound.dialog = InDialog::None;
        }
        let out = lab.alice("c1", 2, 0, Some(&ok), "");
        assert_eq!(stanzas(&out).len(), expected, "{out:?}");
    }
}

// RFC 8048 section 7.2, T23.
#[test]
fn a_fetch_shows_what_is_known_and_makes_no_authorisation() {
    let mut lab = Lab::new(FED);
    let out = lab.alice("f1", 1, 0, None, "");
    assert_eq!((status(&out), notifies(&out)), (200, vec![("terminated;reason=timeout".into(), String::new())]));
    assert!(stanzas(&out).is_empty() && lab.pair.is_blank());

    lab.watching();
    let out = lab.alice("f2", 1, 0, None, "");
    assert_eq!((notifies(&out).len(), stanzas(&out)), (0, vec!["Probe -".to_owned()]));
    let out = lab.bob("desk", "", "");
    assert!(notifies(&out).iter().any(|(state, body)| state == "terminated;reason=timeout" && body.contains("open")));

    let mut silent = Lab::new(FED);
    silent.watching();
    silent.alice("f2", 1, 0, None, "");
    let out = silent.due();
    assert_eq!((silent.now, notify_states(&out)), (T0 + 2_000, vec!["terminated;reason=timeout".to_owned()]));
}

// RFC 6665 section 4.2.2.
#[test]
fn a_notify_that_fails_for_good_ends_the_dialog() {
    for (code, ends) in [(481, true), (404, true), (489, true), (480, true), (500, false), (503, false), (401, false)] {
        let mut lab = Lab::new(FED);
        let out = lab.alice("c1", 1, 3600, None, "");
        let PairOutput::Notify { request, .. } = out.iter().find(|o| matches!(o, PairOutput::Notify { .. })).unwrap()
        else {
            panic!()
        };
        lab.answer(request, code, &[]);
        assert_eq!(lab.pair.outbound.dialogs.is_empty(), ends, "{code}");
        assert_eq!(lab.pair.outbound.authorisation, OutAuthorisation::PendingOut);
    }
}

#[test]
fn a_dialog_that_is_not_refreshed_ends() {
    let mut lab = Lab::new(FED);
    lab.watching();
    lab.settle_all();
    let out = lab.due();
    assert_eq!((lab.now, notify_states(&out)), (T0 + 3_600_000, vec!["terminated;reason=timeout".to_owned()]));
}

#[test]
fn a_ninth_dialog_of_one_user_is_refused() {
    let mut lab = Lab::new(FED);
    for n in 0..MAX_DIALOGS {
        assert_eq!(status(&lab.alice(&format!("c{n}"), 1, 3600, None, "")), 200);
    }
    let out = lab.alice("c99", 1, 3600, None, "");
    assert_eq!((status(&out), lab.pair.outbound.dialogs.len()), (500, MAX_DIALOGS));
}

#[test]
fn more_devices_than_anybody_has_displace_the_oldest() {
    let mut lab = Lab::new(FED);
    lab.watching();
    for n in 0..40 {
        lab.wait(1);
        lab.bob(&format!("r{n}"), "", "");
    }
    assert_eq!(lab.pair.outbound.resources.len(), MAX_RESOURCES);
    assert_eq!(lab.pair.outbound.resources.last().unwrap().resource, "r39");
}

// 3.9: garbage collection, and what it means to an unverified partner.
#[test]
fn a_contact_whom_alice_has_not_asked_for_in_a_month_is_given_up() {
    let mut lab = Lab::new(PU);
    let ok = lab.watching();
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.alice("c1", 2, 0, Some(&ok), "");
    lab.settle_all();
    lab.settings.lease_ms = 0;
    loop {
        let out = lab.due();
        if stanzas(&out).contains(&"Unsubscribe -".to_owned()) {
            assert!(stanzas(&out).contains(&"Unsubscribed -".to_owned()), "{out:?}");
            break;
        }
        lab.settle_all();
        assert!(lab.now < T0 + 31 * DAY_MS);
    }
    assert_eq!((lab.pair.is_added(), lab.pair.is_watcher()), (false, false));
}

#[test]
fn nobody_answers_for_two_weeks() {
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.settle_all();
    let mut last = Vec::new();
    while lab.pair.outbound.authorisation == OutAuthorisation::PendingOut {
        lab.pair.outbound.dialogs.iter_mut().for_each(|watcher| watcher.expires_at = u64::MAX);
        lab.settle_all();
        last = lab.due();
    }
    assert_eq!(lab.now, T0 + PENDING_DAYS * DAY_MS);
    assert_eq!(notify_states(&last), ["terminated;reason=giveup;retry-after=86400"]);
}

// 3.13.
#[test]
fn a_lost_stream_closes_the_contacts_after_a_while_and_its_return_asks_for_them() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let out = lab.bob("desk", "", "");
    lab.confirm(&out);
    lab.feed(PairInput::StreamLost);
    let out = lab.due();
    assert_eq!(lab.now, T0 + STALE_AFTER_MS);
    assert!(notifies(&out)[0].1.contains("closed"));
    lab.confirm(&out);
    assert_eq!(stanzas(&lab.feed(PairInput::StreamBack)), ["Probe -"]);
}

// ---- Both, and what can go wrong ----

#[test]
fn presence_that_could_not_be_delivered_is_sent_when_the_stream_is_back() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised("");
    lab.settle_all();
    let out = lab.notify(&subscribe, "p1", 2, "active;expires=600", &pidf(&[("desk", "open", "")]));
    let PairOutput::Presence { serial, .. } = &out[1] else { panic!("{out:?}") };
    lab.feed(PairInput::PresenceOutcome { serial: *serial, failure: Some(StanzaCondition::RemoteServerTimeout) });
    assert_eq!(stanzas(&lab.feed(PairInput::StreamBack)), ["Available desk"]);
}

#[test]
fn what_was_under_way_when_the_process_ended_is_done_again() {
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.typed("subscribe");
    let out = lab.feed(PairInput::Restart);
    assert_eq!(notify_states(&out), ["pending;expires=3600"]);
    assert_eq!(stanzas(&out), ["Subscribe -"]);
    assert!(matches!(lab.pair.inbound.dialog, InDialog::Backoff { .. }));
    // Even if nobody says so, time does.
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    let out = lab.due();
    assert_eq!((lab.now, notify_states(&out).len()), (T0 + NOTIFY_PATIENCE_MS, 1));
}

#[test]
fn a_confirmation_is_a_lazy_change_and_the_rest_is_durable() {
    let mut lab = Lab::new(FED);
    let blank = lab.pair.clone();
    let out = lab.alice("c1", 1, 3600, None, "");
    let asked = lab.pair.clone();
    assert_eq!(asked.change_since(&blank), Change::Durable);
    lab.confirm(&out);
    assert_eq!(lab.pair.change_since(&asked), Change::Lazy);
    assert_eq!(lab.pair.change_since(&lab.pair.clone()), Change::None);
}

#[test]
fn a_removed_partner_leaves_nothing() {
    let mut lab = Lab::new(FED);
    lab.watching();
    lab.authorised(&pidf(&[("desk", "open", "")]));
    let out = lab.feed(PairInput::PartnerRemoved);
    assert_eq!(notify_states(&out), ["terminated;reason=noresource"]);
    assert_eq!(sent(&out).headers.expires(), Ok(Some(0)));
    assert!(stanzas(&out).is_empty() && lab.pair.is_blank());
}

// T13: before any SIP traffic.
#[test]
fn an_unverified_stranger_causes_no_sip_traffic() {
    let mut lab = Lab::new(PU);
    for kind in ["subscribe", "probe", "subscribed", "unsubscribed", "unavailable", "unsubscribe", "probe"] {
        let out = lab.typed(kind);
        let sip = |output: &PairOutput| !matches!(output, PairOutput::Presence { .. } | PairOutput::Verdict(_));
        assert!(!out.iter().any(sip), "{kind}");
    }
}

fn event() -> impl Strategy<Value = (u8, u8, u64)> {
    (0..22_u8, 0..8_u8, prop_oneof![Just(0), 1..10_000_u64, 10_000..5_000_000_u64])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens in whatever order: nothing that expires is without a due time, a due pair is not due again at
    /// once, bounds hold, and nobody is told of a user who may not see him.
    #[test]
    fn any_sequence_of_events_keeps_the_promises(partner in 0..3_u8, events in proptest::collection::vec(event(), 1..60)) {
        let partner = [FED, PV, PU][usize::from(partner)];
        let mut lab = Lab::new(partner);
        let mut subscribe_sent: Option<Request> = None;
        let mut notify_sent: Option<Request> = None;
        let mut oks: Vec<(String, Response)> = Vec::new();
        let mut serial = 0;
        for (step, (what, detail, pause)) in events.into_iter().enumerate() {
            lab.wait(pause);
            let before = lab.pair.clone();
            let cseq = u32::try_from(step).unwrap() + 2;
            let out = match what {
                0 => lab.typed("subscribe"),
                1 => lab.typed("unsubscribe"),
                2 => lab.typed("subscribed"),
                3 => lab.typed("unsubscribed"),
                4 => lab.typed("probe"),
                5 | 6 => lab.bob(&format!("r{detail}"), "", ["", "<show>away</show>"][usize::from(detail) % 2]),
                7 => lab.bob(["", "r1"][usize::from(detail) % 2], " type='unavailable'", ""),
                8 => lab.bob("", " type='error'", "<error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
                9 | 10 => {
                    let call = format!("c{step}");
                    let out = lab.alice(&call, 1, [0, 60, 3600][usize::from(detail) % 3], None, "");
                    if status(&out) == 200 {
                        oks.push((call, response(&out)));
                    }
                    out
                }
                11 => match oks.get(usize::from(detail) % oks.len().max(1)).cloned() {
                    Some((call, ok)) => lab.alice(&call, cseq, [0, 600][usize::from(detail) % 2], Some(&ok), ""),
                    None => Vec::new(),
                },
                12..=14 => match subscribe_sent.clone() {
                    Some(subscribe) => {
                        let states = ["active;expires=600", "pending;expires=600", "terminated;reason=rejected", "terminated;reason=deactivated",
                            "terminated;reason=giveup;retry-after=9", "active", "terminated", "active;expires=0"];
                        let bodies = [String::new(), pidf(&[("desk", "open", "n")]), pidf(&[])];
                        lab.notify(&subscribe, ["p1", "p2"][step % 2], cseq, states[usize::from(detail)], &bodies[step % 3])
                    }
                    None => Vec::new(),
                },
                15 => match subscribe_sent.clone() {
                    Some(subscribe) => {
                        let code = [200, 403, 481, 480, 423, 500, 407, 202][usize::from(detail)];
                        lab.answer(&subscribe, code, &[(HeaderName::MinExpires, "90")])
                    }
                    None => Vec::new(),
                },
                16 | 17 => match notify_sent.clone() {
                    Some(notify) => lab.answer(&notify, [200, 481, 500, 200][usize::from(detail) % 4], &[]),
                    None => Vec::new(),
                },
                18 => lab.feed(PairInput::PresenceOutcome {
                    serial,
                    failure: (detail % 2 == 0).then_some(StanzaCondition::RemoteServerTimeout),
                }),
                19 => {
                    lab.now = lab.pair.due_at.unwrap_or(lab.now).max(lab.now);
                    lab.feed(PairInput::Due)
                }
                20 => lab.feed([PairInput::StreamLost, PairInput::StreamBack, PairInput::Restart, PairInput::Activity][usize::from(detail) % 4].clone()),
                _ => {
                    lab.partner = [FED, PV, PU][usize::from(detail) % 3];
                    lab.feed(PairInput::PartnerChanged)
                }
            };
            for output in &out {
                match output {
                    PairOutput::Subscribe { request, .. } => subscribe_sent = Some(request.clone()),
                    PairOutput::Notify { request, .. } => {
                        let may_see = [&before, &lab.pair].iter().any(|pair| pair.outbound.authorisation == OutAuthorisation::To);
                        prop_assert!(request.body.is_empty() || may_see, "step {step} {what}: {request:?}");
                        notify_sent = Some(request.clone());
                    }
                    PairOutput::Presence { presence, serial: number } => {
                        serial = *number;
                        prop_assert!(presence.kind != PresenceKind::Available || lab.pair.is_watcher(), "step {step} {what}");
                        prop_assert!(presence.kind != PresenceKind::Subscribed || lab.pair.is_watcher(), "step {step} {what}");
                    }
                    PairOutput::Respond(_) | PairOutput::Verdict(_) => {}
                }
            }
            prop_assert!(out.len() <= 64, "step {step} {what}: {} outputs", out.len());
            let pair = &lab.pair;
            let expires = pair.inbound.dialog != InDialog::None || !pair.outbound.dialogs.is_empty() || !pair.owed.is_empty();
            prop_assert!(!expires || pair.due_at.is_some(), "step {step} {what}: {pair:?}");
            prop_assert!(pair.outbound.dialogs.len() <= MAX_DIALOGS && pair.outbound.resources.len() <= MAX_RESOURCES);
            let is_wanted = matches!(pair.inbound.authorisation, InAuthorisation::Pending | InAuthorisation::Authorised);
            let is_open = matches!(pair.inbound.dialog, InDialog::Trying { .. } | InDialog::Live { .. });
            prop_assert!(is_wanted || !is_open, "step {step} {what}: a dialog without an authorisation: {pair:?}");
            if lab.pair.due_at.is_some_and(|at| at <= lab.now) {
                lab.feed(PairInput::Due);
                prop_assert!(lab.pair.due_at.is_none_or(|at| at > lab.now), "step {step} {what}: due again at once: {:?}", lab.pair);
            }
        }
    }
}

#[test]
fn requests_name_their_pair() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised("");
    let notify = lab.notify(&subscribe, "p1", 2, "active", "");
    drop(notify);
    let text = |method: &str, uri: &str, to_tag: &str| {
        request(&format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS p;branch=z9hG4bK1\r\nFrom: <sip:Alice@contoso.example;gr=x>;tag=1\r\n\
             To: <sip:bob@fabrikam.example>{to_tag}\r\nCall-ID: x\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let alice: Uri = "sip:alice@contoso.example".parse().unwrap();
    let key = lab.pair.key.clone();
    assert_eq!(pair_of_subscribe(&text("SUBSCRIBE", "sip:bob@fabrikam.example", ""), &alice), Ok(key.clone()));
    assert_eq!(
        pair_of_subscribe(&text("SUBSCRIBE", "sip:gw1.contoso.example:5061", ";tag=2"), &alice),
        Ok(key.clone())
    );
    assert_eq!(pair_of_notify(&text("NOTIFY", "sip:gw1.contoso.example:5061", ";tag=2")), Ok(key));
}

// RFC 8048 section 6.2 and 6.3: xml:lang and Content-Language.
#[test]
fn one_language_is_told_in_the_header() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let out = lab.bob("desk", " xml:lang='de'", "<status>Da</status>");
    let PairOutput::Notify { request, .. } = &out[0] else { panic!("{out:?}") };
    assert_eq!(request.headers.get(&HeaderName::ContentLanguage).and_then(HeaderValue::as_str), Some("de"));
}
