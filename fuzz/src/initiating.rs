//! Target `initiating`: the initiating server of a stream against any sequence of events.
//!
//! An oracle follows what both sides say. Invariants, besides not panicking:
//! - Stanzas may be sent only after the receiving server accepted a proof that we gave on this very stream: SASL that it
//!   ended with success, or a dialback key that it called valid. EXTERNAL goes only to who shows a certificate for the
//!   partner's domain, and no proof or question leaves by a method that the policy forbids; so there is no way
//!   around TLS where it is required.
//! - A verdict about a key is the answer to our question. Dialback that nobody asked for changes nothing.
//! - TLS begins only where we asked for it, once, and with nothing unprotected behind the answer.
//! - What we say on a stream is one well-formed document that begins with our header; nothing is said after the end,
//!   and there is at most one failure.
//! - The same holds for each further pair. The partner's stanzas pass only on a stream that is ready, inside TLS, where it
//!   was offered and asked for, and only for pairs that the policy permits.
//! - We believe no acknowledgement of what was not written, and acknowledge nothing that is not finished.
//! - There is a deadline until the end, it is kept, and waiting for it ends everything that nobody uses.
//!
//! An input is a goal (its high bits choose TLS from the first byte, and an attempt without TLS) and a policy, in four bytes,
//! then events of four bytes each.

use std::time::{Duration, Instant};

use causeway_edge_proxy::link::Receipt;
use causeway_edge_proxy::policy::Moment;
use causeway_edge_proxy::stream::Method;
use causeway_edge_proxy::stream::negotiation_out::{Goal, Initiating, Input, Output};
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::StreamFault;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stream_error::StreamCondition;

use crate::grammar;
use crate::said::Said;
use crate::world::{self, Specimen};

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [goal, first, second, which, events @ ..] = data else { return };
    let (is_direct, is_plain) = (goal & 0x80 != 0, goal & 0x40 != 0);
    let goal = match goal % 4 {
        0 | 1 => Goal::Stanzas { without_external: false },
        2 => Goal::Stanzas { without_external: true },
        _ => Goal::Verify { stream_id: "id-1".to_owned(), key: "k".to_owned() },
    };
    let mut run = Run::new(goal, world::moment(&world::snapshot(*first, *second, *which)));
    if is_plain {
        run.machine = run.machine.without_tls();
    }
    if is_direct {
        run.secured(*second)
    } else {
        run.step(Input::Connected, None)
    }
    for event in events.chunks_exact(4) {
        let &[number, a, b, c] = event else { continue };
        run.event(number, a, b, c);
    }
    run.wait_for_the_end();
}

/// The machine, and what the oracle knows.
struct Run {
    machine: Initiating,
    at: Moment,
    pair: DomainPair,
    establish_by: Instant,
    said: Said,
    is_handshaking: bool,
    shown: Option<&'static Specimen>,
    /// What was said on this stream and not answered yet.
    open: Option<Asked>,
    /// How the partner has accepted us on this connection.
    accepted: Option<Method>,
    is_ready: bool,
    failures: u32,
    /// Further pairs that wait for an answer, and those that have a good one.
    joining: Vec<DomainPair>,
    joined: Vec<DomainPair>,
    /// Whether a bidirectional stream was offered, and asked for.
    bidi: (bool, bool),
    /// Stanzas that came and are not finished, and how many are.
    unfinished: Vec<Receipt>,
    finished: usize,
    /// Stanzas that were written and not acknowledged.
    unacknowledged: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Starttls,
    External,
    Offer,
    Question,
}

impl Run {
    fn new(goal: Goal, at: Moment) -> Self {
        let pair = DomainPair { local: world::domain(0), remote: world::domain(2) };
        let establish_by = at.now + Duration::from_secs(60);
        Self {
            machine: Initiating::new(pair.clone(), goal, establish_by, &at),
            at,
            pair,
            establish_by,
            said: Said::default(),
            is_handshaking: false,
            shown: None,
            open: None,
            accepted: None,
            is_ready: false,
            failures: 0,
            joining: Vec::new(),
            joined: Vec::new(),
            bidi: (false, false),
            unfinished: Vec::new(),
            finished: 0,
            unacknowledged: 0,
        }
    }

    fn event(&mut self, number: u8, a: u8, b: u8, c: u8) {
        match number % 16 {
            0 | 1 => {
                let Some(header) = grammar::header(a, b, c) else { return };
                self.step(Input::Header(header), None);
            }
            2..=7 => {
                let (number, followed) = (a & 0x7f, a >> 7 == 1);
                let Some(element) = grammar::element(number, b, b >> 3, c) else { return };
                self.step(Input::Element { element: element.clone(), followed }, Some((&element, followed)));
            }
            // The shell tells about TLS only when it was asked to start it.
            8 | 9 if self.is_handshaking => self.secured(a),
            10 if self.is_handshaking => self.step(Input::TlsFailed("no".to_owned()), None),
            8 if self.is_ready => {
                self.unacknowledged += u32::from(a);
                self.step(Input::Written(u32::from(a)), None);
            }
            9 | 10 if self.is_ready => self.further_pair(a, b),
            8..=10 => self.step(Input::Whitespace, None),
            11 => {
                self.at = world::later(&self.at, Duration::from_secs(u64::from(a) * u64::from(b)));
                self.pass_time();
            }
            12 => self.pass_deadline(),
            13 => {
                self.at = world::under(&self.at, &world::snapshot(a, b, c));
                self.step(Input::PolicyChanged, None);
                self.admission(a, b);
            }
            14 => self.admission(a, b),
            _ => {
                let input = match a % 8 {
                    0 => Input::Fault(StreamFault::new(StreamCondition::BadFormat, "a fault")),
                    1 => Input::Close,
                    2 => Input::Eof,
                    3 => Input::Drain,
                    4 | 5 if self.machine.carries_reverse() => {
                        self.unfinished.extend(self.machine.receipt());
                        Input::Stanzas { count: b & 1 == 0 }
                    }
                    6 | 7 if !self.unfinished.is_empty() => {
                        self.unfinished.swap_remove(usize::from(b) % self.unfinished.len()).finish();
                        self.finished += 1;
                        Input::Progress
                    }
                    _ => Input::Whitespace,
                };
                self.step(input, None);
            }
        }
    }

    fn secured(&mut self, byte: u8) {
        let specimen = Specimen::chosen(byte);
        self.shown = Some(specimen);
        self.step(Input::Secured(specimen.identity(None)), None);
    }

    /// Another pair comes. The shell brings it only where there is room, and once.
    fn further_pair(&mut self, a: u8, b: u8) {
        let pair = DomainPair { local: world::domain(a & 1), remote: world::domain(b) };
        if self.machine.takes_pairs(&self.at).is_some() && !self.joining.contains(&pair) {
            self.step(Input::Join(pair), None);
        }
    }

    /// Whether stanzas of the partner pass that must not.
    fn admission(&mut self, from: u8, to: u8) {
        let pair = DomainPair { local: world::domain(to), remote: world::domain(from) };
        if self.machine_has_ended() || self.machine.admit(pair.remote.as_str(), pair.local.as_str()).is_err() {
            return;
        }
        assert!(self.is_ready && self.bidi == (true, true) && self.shown.is_some(), "stanzas come unasked");
        assert!(pair == self.pair || self.joined.contains(&pair), "{pair} was not accepted");
        let methods = [Method::SaslExternal, Method::TlsDialback, Method::TlsDialbackCertificate];
        let is_permitted = methods.iter().any(|method| self.at.federation.permits(&pair, *method));
        assert!(is_permitted, "the policy forbids stanzas of {pair}");
    }

    fn step(&mut self, input: Input, heard: Option<(&Element, bool)>) {
        let (was_ended, before) = (self.machine_has_ended(), self.machine.deadline(&self.at));
        let solicited = heard.is_none_or(|(element, _)| element.namespace() != ns::DIALBACK || self.answers(element));
        if let Some((element, _)) = heard.filter(|_| !was_ended) {
            self.hear(element);
        }
        let mut out = Vec::new();
        self.machine.handle(input, &self.at, &mut out);
        assert!(!was_ended || out.is_empty(), "something was done after the end: {out:?}");
        if !was_ended && !solicited {
            assert_eq!(out, [Output::Unsolicited], "dialback that nobody asked for has done something");
            assert_eq!(before, self.machine.deadline(&self.at));
        }
        self.is_handshaking = matches!(out.last(), Some(Output::StartTls(_)));
        let ends = out.iter().filter(|output| matches!(output, Output::Close | Output::Abort)).count();
        let is_last = matches!(out.last(), Some(Output::Close | Output::Abort));
        assert!(ends == usize::from(is_last), "the end is not the last thing: {out:?}");
        assert!(was_ended || self.machine_has_ended() == is_last, "the end is not done: {out:?}");
        for output in out {
            self.output(output, heard);
        }
        self.is_ready &= !self.machine_has_ended();
        let is_permitted = self.accepted.is_some_and(|method| self.at.federation.permits(&self.pair, method));
        assert!(!self.is_ready || is_permitted, "ready by a method that is off");
        assert_eq!(self.machine.is_ready(), self.is_ready, "ready, or not, without a word");
        if !self.is_ready {
            let deadline = self.machine.deadline(&self.at);
            assert!(deadline.is_none_or(|deadline| deadline <= self.establish_by), "an attempt takes too long");
        }
    }

    fn hear(&mut self, element: &Element) {
        self.bidi.0 |= element.find(ns::BIDI_FEATURE, "bidi").is_some();
        let is_answer = element.is(ns::DIALBACK, "result") && self.answers(element);
        if is_answer && self.open == Some(Asked::Offer) && element.attribute("type") == Some("valid") {
            self.accepted = Some(self.dialback_method());
            self.open = None;
        }
    }

    fn machine_has_ended(&self) -> bool {
        self.machine.deadline(&self.at).is_none()
    }

    fn output(&mut self, output: Output, heard: Option<(&Element, bool)>) {
        match output {
            Output::Send(bytes) => {
                for element in self.said.more(&bytes) {
                    self.says(&element);
                }
            }
            Output::StartTls(name) => {
                let is_clean = heard.is_some_and(|(element, followed)| element.is(ns::TLS, "proceed") && !followed);
                assert!(is_clean && self.open == Some(Asked::Starttls), "TLS that nobody asked for");
                assert_eq!(name, self.pair.remote);
                self.open = None;
            }
            Output::Restart => {
                self.said.restart();
                self.bidi = (false, self.bidi.1);
                if self.open.take() == Some(Asked::External) {
                    assert!(heard.is_some_and(|(element, _)| element.is(ns::SASL, "success")), "no success");
                    self.accepted = Some(Method::SaslExternal);
                    self.bidi.0 = self.bidi.1;
                }
            }
            Output::Ready(method) => {
                assert!(!self.is_ready, "ready twice");
                assert_eq!(self.accepted, Some(method), "nobody has accepted us by this method");
                self.is_ready = true;
            }
            Output::Joined(pair) => self.join(pair, heard),
            Output::NotJoined(pair, _) => self.joining.retain(|known| *known != pair),
            Output::Acknowledged(count) => {
                assert!(count <= self.unacknowledged, "the partner acknowledges what it was not sent");
                self.unacknowledged -= count;
            }
            Output::Verdict(_) => {
                let is_answer = heard.is_some_and(|(element, _)| element.is(ns::DIALBACK, "verify"));
                assert!(is_answer && self.open == Some(Asked::Question), "a verdict on nothing");
            }
            Output::Failed(_) => {
                self.failures += 1;
                assert_eq!(self.failures, 1);
            }
            Output::Close => self.said.is_complete(),
            _ => {}
        }
    }

    fn join(&mut self, pair: DomainPair, heard: Option<(&Element, bool)>) {
        if pair == self.pair || self.joined.contains(&pair) {
            return;
        }
        assert!(self.joining.contains(&pair), "{pair} was not offered");
        let is = |element: &Element, name: &str, domain: &DomainName| {
            element.attribute(name).is_some_and(|text| DomainName::parse(text).as_ref() == Ok(domain))
        };
        let is_accepted = heard.is_some_and(|(element, _)| {
            element.is(ns::DIALBACK, "result")
                && element.attribute("type") == Some("valid")
                && is(element, "from", &pair.remote)
                && is(element, "to", &pair.local)
        });
        assert!(is_accepted, "nobody has accepted {pair}");
        self.joining.retain(|known| *known != pair);
        self.joined.push(pair);
    }

    fn dialback_method(&self) -> Method {
        if self.shown.is_some() { Method::TlsDialback } else { Method::TcpDialback }
    }

    /// Whether policy and proof let us say this, and what it asks.
    fn says(&mut self, element: &Element) {
        let partner = self.at.federation.partner(self.pair.remote.as_str());
        let permits = |method| partner.is_some_and(|partner| partner.permits(method));
        match (element.namespace(), element.name()) {
            (ns::TLS, "starttls") => {
                assert!(self.shown.is_none(), "STARTTLS within TLS");
                let is_on = partner.is_some_and(|partner| partner.tls != Negotiation::NotSupported);
                assert!(is_on, "STARTTLS though it is off");
                self.open = Some(Asked::Starttls);
            }
            (ns::SASL, "auth") => {
                let is_partner = self.shown.is_some_and(|specimen| specimen.may_prove(&self.pair.remote, &self.at));
                // A second request repeats the first, whose policy has been checked.
                assert!(self.open == Some(Asked::External) || is_partner, "EXTERNAL towards who proved nothing");
                assert!(self.open == Some(Asked::External) || permits(Method::SaslExternal), "EXTERNAL is off");
                self.open = Some(Asked::External);
            }
            (ns::SASL, "response") => assert!(self.open == Some(Asked::External), "a response to nothing"),
            (ns::DIALBACK, "result") => {
                let domain = |name| element.attribute(name).and_then(|text| DomainName::parse(text).ok());
                let (local, remote) = domain("from").zip(domain("to")).expect("we address our keys");
                let pair = DomainPair { local, remote };
                assert!(self.at.federation.permits(&pair, self.dialback_method()), "a key by a method that is off");
                if self.is_ready { self.joining.push(pair) } else { self.open = Some(Asked::Offer) }
            }
            (ns::DIALBACK, "verify") => {
                assert!(permits(self.dialback_method()), "a question by a method that is off");
                self.open = Some(Asked::Question);
            }
            (ns::BIDI, "bidi") => {
                assert!(self.bidi.0 && self.shown.is_some(), "bidi was not offered inside TLS");
                assert!(partner.is_some_and(|partner| partner.options.bidi), "bidi is off");
                self.bidi.1 = true;
            }
            (ns::SM, "enable") => assert!(self.accepted.is_some(), "acknowledgements before we are accepted"),
            (ns::SM, "r") => assert!(self.is_ready, "a question about nothing"),
            (ns::SM, "a") => {
                let count = element.attribute("h").and_then(|count| count.parse().ok());
                assert!(count.is_some_and(|count: usize| count <= self.finished), "not finished, but acknowledged");
            }
            (ns::STREAM, "error") => {}
            (namespace, name) => panic!("the machine says {name} of {namespace:?}"),
        }
    }

    /// Whether this is an answer to what was asked on this stream.
    fn answers(&self, element: &Element) -> bool {
        let is = |name, domain: &DomainName| {
            element.attribute(name).is_some_and(|text| DomainName::parse(text).as_ref() == Ok(domain))
        };
        let is_known = matches!(element.attribute("type"), Some("valid" | "invalid" | "error"));
        let is_between = is("from", &self.pair.remote) && is("to", &self.pair.local);
        let is_joining = |pair: &DomainPair| is("from", &pair.remote) && is("to", &pair.local);
        let is_asked = match element.name() {
            "result" if self.is_ready => self.joining.iter().any(is_joining),
            "result" => is_between && self.open == Some(Asked::Offer),
            "verify" => is_between && self.open == Some(Asked::Question) && element.attribute("id") == Some("id-1"),
            _ => false,
        };
        is_known && is_asked
    }

    /// The clock has moved: whatever is late is told so, until nothing is.
    fn pass_time(&mut self) {
        for _ in 0..8 {
            if self.machine.deadline(&self.at).is_none_or(|deadline| deadline > self.at.now) {
                return;
            }
            self.step(Input::DeadlinePassed, None);
        }
        panic!("a deadline stays in the past");
    }

    fn pass_deadline(&mut self) {
        let Some(deadline) = self.machine.deadline(&self.at) else { return };
        self.at = world::later(&self.at, deadline.saturating_duration_since(self.at.now));
        self.pass_time();
    }

    /// Silence ends every stream.
    fn wait_for_the_end(&mut self) {
        for _ in 0..64 {
            self.pass_deadline();
        }
        assert!(self.machine_has_ended(), "a silent stream lives for ever");
    }
}
