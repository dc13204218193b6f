//! Target `receiving`: the receiving server of a stream against any sequence of events.
//!
//! An oracle follows the conversation and knows what was proved without asking the machine. Invariants, besides not
//! panicking:
//! - A pair is authorised only in the step that proves it: EXTERNAL or dialback under a certificate that may prove the
//!   domain, or a valid answer to a question that the machine asked and still waits for; and only if the policy in force
//!   permits the method. Nobody else is admitted. After a change of policy no pair is left that it forbids.
//! - What we say on a stream is one well-formed document that begins with our header, and features offer nothing that
//!   the policy forbids. Nothing is said after the end.
//! - There is a deadline until the end, it is kept, and waiting for it ends everything that is not authenticated.
//! - Pairs and pending questions stay within their limits.
//! - We acknowledge what is finished and no more, and believe no acknowledgement of what was not written. Stanzas go back
//!   only where the peer asked for that and had been offered it.
//!
//! An input is a policy (three bytes; the last one also chooses TLS from the first byte), then events of four bytes.

use std::time::{Duration, Instant};

use causeway_edge_proxy::link::Receipt;
use causeway_edge_proxy::policy::Moment;
use causeway_edge_proxy::stream::Method;
use causeway_edge_proxy::stream::dialback::Answer;
use causeway_edge_proxy::stream::negotiation_in::{Input, Output, Receiving};
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::StreamFault;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::StreamCondition;

use crate::grammar;
use crate::said::Said;
use crate::world::{self, Specimen};

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [first, second, which, events @ ..] = data else { return };
    let mut run = Run::new(world::moment(&world::snapshot(*first, *second, *which)), which & 0x80 != 0);
    for event in events.chunks_exact(4) {
        let &[number, a, b, c] = event else { continue };
        run.event(number, a, b, c);
    }
    run.wait_for_the_end();
}

/// The machine, and what the oracle knows.
struct Run {
    machine: Receiving,
    at: Moment,
    accepted_at: Instant,
    said: Said,
    /// The shell was asked to start TLS.
    is_handshaking: bool,
    shown: Option<&'static Specimen>,
    /// The `from` of the last header that was told.
    claimed: Option<DomainName>,
    /// Questions that the machine waits for, and since when.
    asked: Vec<(DomainPair, Instant)>,
    authorised: Vec<(DomainPair, Method)>,
    headers: u32,
    /// Whether the peer was offered a bidirectional stream, and asked for it.
    bidi: (bool, bool),
    /// Stanzas that came and are not finished, and how many are.
    unfinished: Vec<Receipt>,
    finished: usize,
    /// Stanzas that were written and not acknowledged.
    unacknowledged: u32,
}

/// What a step can prove.
enum Proof {
    None,
    /// An element of SASL or dialback arrived, which a certificate may back.
    Element,
    /// The authoritative server has answered a question of the machine.
    Answer(DomainPair),
}

impl Run {
    fn new(at: Moment, is_direct: bool) -> Self {
        let machine = if is_direct { Receiving::direct_tls } else { Receiving::new };
        Self {
            machine: machine("192.0.2.1:1".to_owned(), &at),
            accepted_at: at.now,
            at,
            said: Said::default(),
            is_handshaking: is_direct,
            shown: None,
            claimed: None,
            asked: Vec::new(),
            authorised: Vec::new(),
            headers: 0,
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
                self.claimed.clone_from(&header.from);
                self.headers += 1;
                self.step(Input::Header(header, format!("id-{}", self.headers)), Proof::None);
            }
            2..=6 => {
                let (number, followed) = (a & 0x7f, a >> 7 == 1);
                let Some(element) = grammar::element(number, b, b >> 3, c) else { return };
                self.bidi.1 |= element.is(ns::BIDI, "bidi");
                self.step(Input::Element { element, followed }, Proof::Element);
            }
            // The shell tells about TLS only when it was asked to start it.
            7 | 8 if self.is_handshaking => {
                let specimen = Specimen::chosen(a);
                self.shown = Some(specimen);
                let server_name = (b & 1 == 0).then(|| world::domain(c));
                self.step(Input::Secured(specimen.identity(server_name)), Proof::None);
            }
            9 if self.is_handshaking => self.step(Input::TlsFailed("no".to_owned()), Proof::None),
            7..=9 => self.answer(a, b, c),
            10 => {
                self.at = world::later(&self.at, Duration::from_secs(u64::from(a) * u64::from(b)));
                self.pass_time();
            }
            11 => self.pass_deadline(),
            12 => {
                self.at = world::under(&self.at, &world::snapshot(a, b, c));
                self.step(Input::PolicyChanged, Proof::None);
                if !self.machine.is_ended() {
                    let permits = |(pair, method): &(DomainPair, Method)| self.at.federation.permits(pair, *method);
                    assert!(self.authorised.iter().all(permits), "a pair has outlived its permission");
                }
            }
            13 => self.admission(a, b),
            14 => self.at.has_gateway = a & 1 == 0,
            _ => {
                let fault = StreamFault::new(StreamCondition::BadFormat, "a fault");
                let input = match a % 12 {
                    0 => Input::Fault(fault),
                    1 => Input::Close,
                    2 => Input::Eof,
                    3 => Input::OverLimit,
                    4 => Input::LinkClosed,
                    5 => Input::Drain,
                    6 | 7 if self.machine.is_authenticated() => {
                        self.unfinished.extend(self.machine.receipt());
                        Input::Stanzas { count: b & 1 == 0 }
                    }
                    8 | 9 if !self.unfinished.is_empty() => {
                        self.unfinished.swap_remove(usize::from(b) % self.unfinished.len()).finish();
                        self.finished += 1;
                        Input::Progress
                    }
                    10 if self.machine.is_bidi() && self.machine.is_authenticated() => {
                        self.unacknowledged += u32::from(b);
                        Input::Written(u32::from(b))
                    }
                    11 => {
                        let Some(element) = grammar::element(16, b, b >> 3, c) else { return };
                        Input::QuestionOverRate(element)
                    }
                    _ => Input::Whitespace,
                };
                self.step(input, Proof::None);
            }
        }
    }

    /// An answer to the oldest question, or to one that nobody asked.
    fn answer(&mut self, a: u8, b: u8, c: u8) {
        let pair = match self.asked.first() {
            Some((pair, _)) if a & 1 == 0 => pair.clone(),
            _ => DomainPair { local: world::domain(b), remote: world::domain(b >> 4) },
        };
        let answer = match c % 4 {
            0 | 1 => Answer::Valid,
            2 => Answer::Invalid,
            _ => Answer::Error(StanzaCondition::RemoteServerTimeout),
        };
        let was_asked = self.asked.iter().any(|(asked, _)| *asked == pair);
        self.asked.retain(|(asked, _)| *asked != pair);
        let proof = if was_asked && answer == Answer::Valid { Proof::Answer(pair.clone()) } else { Proof::None };
        self.step(Input::Verified(pair, answer), proof);
    }

    fn step(&mut self, input: Input, proof: Proof) {
        let was_ended = self.machine.is_ended();
        let mut out = Vec::new();
        self.machine.handle(input, &self.at, &mut out);
        assert!(!was_ended || out.is_empty(), "something was done after the end: {out:?}");
        self.is_handshaking = matches!(out.last(), Some(Output::StartTls(_)));
        let ends = out.iter().filter(|output| matches!(output, Output::Close | Output::Abort)).count();
        let is_last = matches!(out.last(), Some(Output::Close | Output::Abort));
        assert!(ends == usize::from(is_last), "the end is not the last thing: {out:?}");
        assert!(was_ended || self.machine.is_ended() == is_last, "the end is not done: {out:?}");
        for output in out {
            self.output(output, &proof);
        }
        assert!(self.asked.len() <= self.at.limits.pending_dialbacks, "too many questions");
        assert!(self.authorised.len() <= self.at.limits.pairs, "too many pairs");
        assert_eq!(self.machine.is_authenticated(), !self.authorised.is_empty());
        assert!(!self.machine.is_bidi() || self.bidi == (true, true), "stanzas go back unasked");
        let deadline = self.machine.deadline(&self.at);
        assert_eq!(deadline.is_none(), self.machine.is_ended(), "a stream without a deadline");
        if self.authorised.is_empty() {
            let latest = self.accepted_at + self.at.federation.settings.establishment_timeout;
            assert!(deadline.is_none_or(|deadline| deadline <= latest), "a stranger may stay too long");
        }
    }

    fn output(&mut self, output: Output, proof: &Proof) {
        match output {
            Output::Send(bytes) => {
                for element in self.said.more(&bytes) {
                    self.may_say(&element);
                }
            }
            Output::StartTls(_) => assert!(self.shown.is_none(), "TLS within TLS"),
            Output::Restart => {
                self.said.restart();
                // What was said on the stream before counts no more (RFC 6120, sections 5.4.3.3 and 6.4.6).
                self.asked.clear();
            }
            Output::Authorised(pair, method) => self.authorise(pair, method, proof),
            Output::Verify { pair, .. } => {
                assert!(matches!(proof, Proof::Element), "a question that nobody asked for");
                assert!(self.at.federation.permits(&pair, self.dialback_method()), "a question for a stranger");
                self.asked.push((pair, self.at.now));
            }
            Output::Acknowledged(count) => {
                assert!(count <= self.unacknowledged, "the peer acknowledges what it was not sent");
                self.unacknowledged -= count;
            }
            Output::Close => self.said.is_complete(),
            Output::Ping(pair) => assert!(self.is_authorised(&pair), "a ping to a stranger"),
            _ => {}
        }
    }

    fn authorise(&mut self, pair: DomainPair, method: Method, proof: &Proof) {
        assert!(self.at.federation.permits(&pair, method), "the policy forbids {method} for {pair}");
        assert!(!self.is_authorised(&pair), "authorised twice");
        let is_certified = self.shown.is_some_and(|specimen| specimen.may_prove(&pair.remote, &self.at));
        let is_proved = match method {
            Method::SaslExternal => {
                matches!(proof, Proof::Element) && is_certified && self.claimed.as_ref() == Some(&pair.remote)
            }
            Method::TlsDialbackCertificate => matches!(proof, Proof::Element) && is_certified,
            Method::TlsDialback | Method::TcpDialback => {
                method == self.dialback_method() && matches!(proof, Proof::Answer(asked) if *asked == pair)
            }
        };
        assert!(is_proved, "nothing proves {pair} by {method}");
        self.authorised.push((pair, method));
    }

    fn is_authorised(&self, pair: &DomainPair) -> bool {
        self.authorised.iter().any(|(known, _)| known == pair)
    }

    fn dialback_method(&self) -> Method {
        if self.shown.is_some() { Method::TlsDialback } else { Method::TcpDialback }
    }

    /// Whether the policy lets us say this to who claims to be `self.claimed`.
    fn may_say(&mut self, element: &Element) {
        if element.is(ns::SM, "a") {
            let count = element.attribute("h").and_then(|count| count.parse().ok());
            assert!(count.is_some_and(|count: usize| count <= self.finished), "we acknowledge what is not finished");
        }
        let partner = self.claimed.as_ref().and_then(|from| self.at.federation.partner(from.as_str()));
        let tls = partner.map_or(Negotiation::Required, |partner| partner.tls);
        if element.is(ns::TLS, "proceed") {
            assert!(self.shown.is_none(), "<proceed/> within TLS");
            assert!(partner.is_none() || tls != Negotiation::NotSupported, "<proceed/> though TLS is turned off");
        }
        if !element.is(ns::STREAM, "features") {
            return;
        }
        let permits = |method| match partner {
            Some(partner) => partner.permits(method),
            None => self.claimed.is_none() && self.at.federation.any_partner_permits(method),
        };
        if let Some(starttls) = element.find(ns::TLS, "starttls") {
            assert!(self.shown.is_none(), "STARTTLS is offered within TLS");
            assert!(partner.is_none() || tls != Negotiation::NotSupported, "STARTTLS is offered though it is off");
            let is_required = starttls.find(ns::TLS, "required").is_some();
            assert!(is_required || partner.is_none() || tls != Negotiation::Required, "STARTTLS is not required");
        }
        if element.find(ns::SASL, "mechanisms").is_some() {
            let from = self.claimed.as_ref().expect("EXTERNAL for nobody");
            assert!(permits(Method::SaslExternal), "EXTERNAL is offered though it is off");
            let is_certified = self.shown.is_some_and(|specimen| specimen.may_prove(from, &self.at));
            assert!(is_certified, "EXTERNAL is offered without a certificate that proves {from}");
        }
        if element.find(ns::BIDI_FEATURE, "bidi").is_some() {
            assert!(self.shown.is_some() && partner.is_some_and(|partner| partner.options.bidi), "bidi is off");
            self.bidi.0 = true;
        }
        if element.find(ns::SM, "sm").is_some() {
            assert!(!self.authorised.is_empty(), "acknowledgements are offered to a stranger");
        }
        if element.find(ns::DIALBACK_FEATURE, "dialback").is_some() {
            assert!(permits(self.dialback_method()), "dialback is offered though it is off");
        }
    }

    fn admission(&mut self, from: u8, to: u8) {
        let (remote, local) = (world::domain(from), world::domain(to));
        let is_admitted = self.machine.admit(remote.as_str(), local.as_str()).is_ok();
        assert_eq!(is_admitted, self.is_authorised(&DomainPair { local, remote }));
    }

    /// The clock has moved: whatever is late is told so, until nothing is.
    fn pass_time(&mut self) {
        let patience = self.at.limits.timeouts.verification;
        let now = self.at.now;
        self.asked.retain(|(_, since)| *since + patience > now);
        for _ in 0..8 {
            if self.machine.deadline(&self.at).is_none_or(|deadline| deadline > now) {
                return;
            }
            self.step(Input::DeadlinePassed, Proof::None);
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
        assert!(self.machine.is_ended(), "a silent stream lives for ever");
    }
}
