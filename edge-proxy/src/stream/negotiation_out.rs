//! The initiating server of a stream (RFC 6120, sections 4 to 6; XEP-0178, section 3; XEP-0220, sections 2.1 and 2.2).
//!
//! One machine per connection, for one pair: it opens the stream, starts TLS wherever the partner's settings allow it,
//! proves our domain by EXTERNAL or else by dialback, and then keeps the stream. Or it only asks an authoritative
//! server about a key. What happens after a failure, the caller decides from [`Failure`]: this machine makes one
//! attempt on one connection.
//!
//! Not here: several pairs on one stream, bidirectional streams, stream management.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::sasl::SaslCondition;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::Method;
use super::dialback::{self, Answer, Dialback};
use super::identity::PeerIdentity;
use super::negotiation_in::TLS_HANDSHAKE;
use super::sasl;
use crate::policy::{Moment, PartnerPolicy};
use crate::verdict::{Finding, IdentityFault, Rung, Side};

/// What the stream is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// To carry stanzas.
    Stanzas {
        /// Whether EXTERNAL has just failed on another connection of this attempt.
        without_external: bool,
    },
    /// To ask about a key that was offered to us.
    Verify {
        /// The id of the stream on which it was offered.
        stream_id: String,
        /// The key.
        key: String,
    },
}

/// What the world tells the machine.
#[derive(Debug)]
pub enum Input {
    /// The TCP connection stands.
    Connected,
    /// The response header.
    Header(StreamHeader),
    /// An element. `followed` when more bytes are there already.
    Element {
        /// The element.
        element: Element,
        /// Whether more came with it.
        followed: bool,
    },
    /// White space between elements.
    Whitespace,
    /// TLS is established.
    Secured(PeerIdentity),
    /// TLS failed; the connection is of no more use.
    TlsFailed(String),
    /// Stanzas were written.
    Written,
    /// The peer broke a rule below this machine.
    Fault(StreamFault),
    /// The closing tag.
    Close,
    /// The connection ended.
    Eof,
    /// The time of [`Initiating::deadline`] has come.
    DeadlinePassed,
    /// The policy has changed.
    PolicyChanged,
    /// This edge is going away.
    Drain,
}

/// What the machine asks of the world, in order.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Write this.
    Send(BytesMut),
    /// Start TLS as the client, with the partner's domain as server name, once all is written.
    StartTls(DomainName),
    /// Forget what the reader knows: a new stream begins.
    Restart,
    /// Stanzas may be written from now on.
    Ready(Method),
    /// What the authoritative server says; the stream is closed after it.
    Verdict(Answer),
    /// Count an answer that nobody asked for.
    Unsolicited,
    /// The attempt, or the stream, has ended without success.
    Failed(Failure),
    /// Close in order: all is written, the closing tag included.
    Close,
    /// Drop the connection without a word.
    Abort,
}

/// Why an attempt failed, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What senders hear (s2s-streams, section 4.5).
    pub condition: StanzaCondition,
    /// What operators read.
    pub finding: Finding,
    /// What the caller does.
    pub next: Next,
}

/// What an attempt may still try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another address of the partner.
    Address,
    /// The same address, straight to dialback.
    Dialback,
    /// Nothing: the partner, or policy, has said no.
    GiveUp,
}

/// The machine.
#[derive(Debug)]
pub struct Initiating {
    pair: DomainPair,
    goal: Goal,
    state: State,
    security: Security,
    /// Of the current stream, chosen by the receiving server.
    stream_id: Option<String>,
    /// Whether the peer declared the dialback namespace.
    declares_dialback: bool,
    has_failed_external: bool,
    establish_by: Instant,
    last_stanza: Instant,
    last_sent: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not connected yet.
    Idle,
    AwaitHeader(Phase),
    AwaitFeatures(Phase),
    AwaitProceed,
    Handshaking {
        give_up_at: Instant,
    },
    /// `<auth/>` was sent, with an authorization identity or without.
    AwaitSasl {
        with_authzid: bool,
    },
    AwaitDialback {
        give_up_at: Instant,
    },
    AwaitVerify {
        give_up_at: Instant,
    },
    Ready,
    Ended,
}

/// Which stream of the connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is proved yet.
    Unproved,
    /// After SASL.
    Proved,
}

#[derive(Debug)]
enum Security {
    Plain,
    Tls(Box<PeerIdentity>),
}

impl Initiating {
    /// An attempt for one pair; `establish_by` bounds all attempts of the caller together.
    pub fn new(pair: DomainPair, goal: Goal, establish_by: Instant, at: &Moment) -> Self {
        Self {
            pair,
            goal,
            state: State::Idle,
            security: Security::Plain,
            stream_id: None,
            declares_dialback: false,
            has_failed_external: false,
            establish_by,
            last_stanza: at.now,
            last_sent: at.now,
        }
    }

    /// Takes one step. A peer's fault is an [`Output`], never a panic and never an `Err`.
    pub fn handle(&mut self, input: Input, at: &Moment, out: &mut Vec<Output>) {
        if self.state == State::Ended {
            return;
        }
        match input {
            Input::Connected => self.open(Phase::Unproved, out),
            Input::Header(header) => self.header(&header, at, out),
            Input::Element { element, followed } => self.element(&element, followed, at, out),
            Input::Whitespace => {}
            Input::Secured(identity) => {
                self.security = Security::Tls(Box::new(identity));
                out.push(Output::Restart);
                self.open(Phase::Unproved, out);
            }
            Input::TlsFailed(cause) => {
                let remedy = "Compare the TLS versions and suites of both servers.";
                self.lost(Finding::new(Rung::Tls, Side::Theirs, cause, remedy), out);
            }
            Input::Written => {
                self.last_stanza = at.now;
                self.last_sent = at.now;
            }
            Input::Fault(fault) => {
                let failure = failure(StanzaCondition::RemoteServerTimeout, Finding::fault(&fault), Next::Address);
                self.error(StreamError::from(fault), failure, out);
            }
            Input::Close => self.peer_closed("the partner's server closed the stream", out),
            Input::Eof => self.peer_closed("the partner's server hung up", out),
            Input::DeadlinePassed => self.deadline_passed(at, out),
            Input::PolicyChanged => self.policy_changed(at, out),
            Input::Drain => self.close(out),
        }
    }

    /// When the shell must send [`Input::DeadlinePassed`].
    pub fn deadline(&self, at: &Moment) -> Option<Instant> {
        match self.state {
            State::Ended => None,
            State::Idle | State::AwaitHeader(_) | State::AwaitFeatures(_) | State::AwaitProceed => {
                Some(self.establish_by)
            }
            State::AwaitSasl { .. } => Some(self.establish_by),
            State::Handshaking { give_up_at }
            | State::AwaitDialback { give_up_at }
            | State::AwaitVerify { give_up_at } => Some(give_up_at.min(self.establish_by)),
            State::Ready => {
                let settings = &at.federation.settings;
                Some(
                    (self.last_stanza + settings.inactivity_timeout)
                        .min(self.last_sent + keep_alive(settings.keep_alive_interval)),
                )
            }
        }
    }

    /// Whether stanzas may be written.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    fn is_secured(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    fn open(&mut self, phase: Phase, out: &mut Vec<Output>) {
        let mut bytes = BytesMut::new();
        StreamHeader::initial(&self.pair.local, &self.pair.remote).write(&mut bytes);
        out.push(Output::Send(bytes));
        self.stream_id = None;
        self.state = State::AwaitHeader(phase);
    }
}

/// We send white space well within the partner's patience.
fn keep_alive(interval: Duration) -> Duration {
    interval * 4 / 5
}

/// Headers and features.
impl Initiating {
    fn header(&mut self, header: &StreamHeader, at: &Moment, out: &mut Vec<Output>) {
        let State::AwaitHeader(phase) = self.state else {
            let fault = StreamFault::new(StreamCondition::BadFormat, "a second stream header");
            return self.handle(Input::Fault(fault), at, out);
        };
        self.stream_id.clone_from(&header.id);
        self.declares_dialback = header.declares_dialback;
        if header.version.is_some_and(|version| version.major >= 1) {
            self.state = State::AwaitFeatures(phase);
        } else {
            // Before XMPP 1.0 there are no features: dialback or nothing (RFC 6120, section 4.7.5).
            self.prove(None, at, out);
        }
    }

    fn features(&mut self, features: &Element, phase: Phase, at: &Moment, out: &mut Vec<Output>) {
        if phase == Phase::Proved {
            return self.ready(Method::SaslExternal, at, out);
        }
        let Some(partner) = at.federation.partner(self.pair.remote.as_str()).cloned() else {
            return self.not_a_partner(out);
        };
        if !self.is_secured() {
            let offer = features.find(ns::TLS, "starttls");
            let is_required = offer.is_some_and(|offer| offer.find(ns::TLS, "required").is_some());
            match (partner.tls, offer) {
                // A stripped offer must not deter (RFC 7590, section 3.1).
                (Negotiation::Required, _) | (Negotiation::Optional, Some(_)) => return self.starttls(out),
                (Negotiation::NotSupported, Some(_)) if is_required => {
                    return self.no_method(
                        "the partner's server requires TLS, which is turned off for it here",
                        "Set the partner's TLS negotiation to Optional or Required.",
                        out,
                    );
                }
                (Negotiation::Optional | Negotiation::NotSupported, _) => {}
            }
        }
        self.prove(Some(features), at, out);
    }

    fn starttls(&mut self, out: &mut Vec<Output>) {
        send(&Element::new(ns::TLS, "starttls"), out);
        self.state = State::AwaitProceed;
    }

    /// EXTERNAL if both can, else dialback (s2s-streams, section 1.4, outbound, steps 3 to 5).
    fn prove(&mut self, features: Option<&Element>, at: &Moment, out: &mut Vec<Output>) {
        let Some(partner) = at.federation.partner(self.pair.remote.as_str()).cloned() else {
            return self.not_a_partner(out);
        };
        let announces = features.is_some_and(|features| features.find(ns::DIALBACK_FEATURE, "dialback").is_some());
        let can_dial_back = self.declares_dialback || announces;
        if let Goal::Verify { stream_id, key } = &self.goal {
            let question = dialback::question(&self.pair, stream_id, key);
            return self.verify(&question, &partner, at, out);
        }
        let mut obstacle = None;
        if self.wants_external(&partner) {
            let offered = features.is_some_and(sasl::is_offered);
            match self.proof(at) {
                Err(fault) => obstacle = Some(Finding::identity(&self.pair.remote, &fault)),
                Ok(()) if offered => {
                    send(&sasl::auth(Some(&self.pair.local)), out);
                    self.state = State::AwaitSasl { with_authzid: true };
                    return;
                }
                Ok(()) => {
                    obstacle = Some(Finding::new(
                        Rung::Mechanisms,
                        Side::Operator,
                        "the partner's server does not offer SASL EXTERNAL; most often it does not accept our certificate",
                        "Check that our certificate names the local domain, that its chain is complete, and that the \
                         partner trusts its issuer.",
                    ));
                }
            }
        }
        let method = self.dialback_method();
        if partner.permits(method) && can_dial_back {
            return self.dial_back(at, out);
        }
        let finding = obstacle.unwrap_or_else(|| {
            let cause = if !self.is_secured() && partner.tls == Negotiation::Optional {
                "the partner's server offers no TLS, and dialback without TLS is not permitted or not possible"
            } else {
                "no method of authentication is left that both servers can use"
            };
            let remedy = "Compare the partner's negotiation settings with what its server can do.";
            Finding::new(Rung::Mechanisms, Side::Theirs, cause, remedy)
        });
        let condition = StanzaCondition::NotAllowed;
        self.error(
            StreamError::new(StreamCondition::PolicyViolation).with_text("no method of authentication is left"),
            failure(condition, finding, Next::GiveUp),
            out,
        );
    }

    fn wants_external(&self, partner: &PartnerPolicy) -> bool {
        let without = matches!(self.goal, Goal::Stanzas { without_external: true });
        self.is_secured() && partner.permits(Method::SaslExternal) && !without && !self.has_failed_external
    }

    /// The reference identity is the domain we wanted, never what DNS said (RFC 6120, section 13.7.2.1).
    fn proof(&self, at: &Moment) -> Result<(), IdentityFault> {
        match &self.security {
            Security::Tls(identity) => identity.proves(&self.pair.remote, at),
            Security::Plain => Err(IdentityFault::Chain(causeway_shared::pki::ChainFault::Absent)),
        }
    }

    fn dialback_method(&self) -> Method {
        if self.is_secured() { Method::TlsDialback } else { Method::TcpDialback }
    }

    fn dial_back(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let Some(id) = self.stream_id.as_deref() else {
            let cause = "the response header has no id";
            let fault = StreamFault::new(StreamCondition::InvalidXml, cause);
            return self.handle(Input::Fault(fault), at, out);
        };
        let Some(offer) = dialback::offer(&self.pair, id, &at.federation) else {
            return self.no_method("no dialback secret is set", "Set the dialback passphrase of the gateways.", out);
        };
        send(&offer, out);
        self.state = State::AwaitDialback { give_up_at: at.now + dialback::PATIENCE };
    }

    /// A verification obeys the partner's TLS setting like any other stream; who answers is proved by DNS alone, or
    /// the partner would need no dialback (RFC 7590, section 3.4).
    fn verify(&mut self, question: &Element, partner: &PartnerPolicy, at: &Moment, out: &mut Vec<Output>) {
        if !partner.permits(self.dialback_method()) {
            return self.no_method(
                "dialback is not permitted on this stream",
                "Compare the partner's negotiation settings with what its server can do.",
                out,
            );
        }
        send(question, out);
        self.state = State::AwaitVerify { give_up_at: at.now + dialback::PATIENCE };
    }

    fn ready(&mut self, method: Method, at: &Moment, out: &mut Vec<Output>) {
        self.state = State::Ready;
        self.last_stanza = at.now;
        self.last_sent = at.now;
        out.push(Output::Ready(method));
    }
}

/// First-level elements.
impl Initiating {
    fn element(&mut self, element: &Element, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        match (self.state, element.namespace(), element.name()) {
            (_, ns::STREAM, "error") => self.peer_error(element, out),
            (State::AwaitFeatures(phase), ns::STREAM, "features") => self.features(element, phase, at, out),
            (State::AwaitProceed, ns::TLS, "proceed") => self.proceed(followed, at, out),
            (State::AwaitProceed, ns::TLS, "failure") => {
                let finding = Finding::new(
                    Rung::Tls,
                    Side::Theirs,
                    "the partner's server refuses STARTTLS",
                    "The partner's server needs a certificate and TLS turned on.",
                );
                self.error_free_end(failure(StanzaCondition::RemoteServerTimeout, finding, Next::Address), out);
            }
            (State::AwaitSasl { .. }, ns::SASL, "challenge") => {
                send(&sasl::response(&self.pair.local), out);
            }
            (State::AwaitSasl { .. }, ns::SASL, "success") => {
                out.push(Output::Restart);
                self.open(Phase::Proved, out);
            }
            (State::AwaitSasl { with_authzid }, ns::SASL, "failure") => {
                self.external_failed(with_authzid, sasl::condition_of(element), at, out);
            }
            (_, ns::DIALBACK, _) => self.dialback(element, at, out),
            (State::AwaitProceed | State::AwaitSasl { .. }, _, _) => {
                let cause = "an element in the middle of TLS or SASL negotiation";
                self.handle(Input::Fault(StreamFault::new(StreamCondition::PolicyViolation, cause)), at, out);
            }
            // Features nobody waits for: dialback does not restart the stream, some servers repeat them.
            (_, ns::STREAM, "features") => {}
            (_, _, _) => {
                let cause = "an element that a one-way stream does not carry in this direction";
                self.handle(Input::Fault(StreamFault::new(StreamCondition::UnsupportedStanzaType, cause)), at, out);
            }
        }
    }

    /// TLS begins right after the `>`; what stands there already was not protected (RFC 6120, section 5.4.3.3).
    fn proceed(&mut self, followed: bool, at: &Moment, out: &mut Vec<Output>) {
        if followed {
            let finding = Finding::new(
                Rung::Tls,
                Side::Theirs,
                "bytes were sent unprotected behind <proceed/>",
                "Nothing may follow <proceed/> before TLS; if the partner's server is sound, look for somebody on the \
                 path.",
            );
            return self.lost(finding, out);
        }
        out.push(Output::StartTls(self.pair.remote.clone()));
        self.state = State::Handshaking { give_up_at: at.now + TLS_HANDSHAKE };
    }

    fn external_failed(&mut self, with_authzid: bool, condition: SaslCondition, at: &Moment, out: &mut Vec<Output>) {
        if with_authzid && condition == SaslCondition::InvalidAuthzid {
            send(&sasl::auth(None), out);
            self.state = State::AwaitSasl { with_authzid: false };
            return;
        }
        self.has_failed_external = true;
        let may_dial_back = at
            .federation
            .partner(self.pair.remote.as_str())
            .is_some_and(|partner| partner.permits(Method::TlsDialback));
        if may_dial_back && self.declares_dialback {
            return self.dial_back(at, out);
        }
        let finding = external_refused(condition.as_str());
        self.error_free_end(failure(StanzaCondition::NotAllowed, finding, Next::GiveUp), out);
    }

    fn dialback(&mut self, element: &Element, at: &Moment, out: &mut Vec<Output>) {
        match (self.state, Dialback::read(element)) {
            (State::AwaitDialback { .. }, Ok(Dialback::OfferAnswered { from, to, answer }))
                if from == self.pair.remote && to == self.pair.local =>
            {
                self.offer_answered(answer, at, out);
            }
            (State::AwaitVerify { .. }, Ok(Dialback::QuestionAnswered { from, to, id, answer }))
                if from == self.pair.remote && to == self.pair.local && self.is_asked(&id) =>
            {
                out.push(Output::Verdict(answer));
                self.close(out);
            }
            // Not what was asked on this stream (XEP-0220, section 3.1), or not an answer at all.
            (_, Ok(_) | Err(_)) => out.push(Output::Unsolicited),
        }
    }

    fn is_asked(&self, id: &str) -> bool {
        matches!(&self.goal, Goal::Verify { stream_id, .. } if stream_id == id)
    }

    fn offer_answered(&mut self, answer: Answer, at: &Moment, out: &mut Vec<Output>) {
        let (condition, finding) = match answer {
            Answer::Valid => return self.ready(self.dialback_method(), at, out),
            Answer::Invalid => (
                StanzaCondition::InternalServerError,
                Finding::new(
                    Rung::Dialback,
                    Side::Operator,
                    "the partner's server was told that our dialback key is wrong",
                    "Check that DNS for our domain leads to our edges, and that all of them have one dialback secret.",
                ),
            ),
            Answer::Error(condition) => (
                StanzaCondition::RemoteServerTimeout,
                Finding::new(
                    Rung::Dialback,
                    dialback_side(condition),
                    format!("the partner's server could not verify our domain: {condition}"),
                    "The partner's server has to reach our edges by the SRV records of our domain.",
                ),
            ),
        };
        self.error_free_end(failure(condition, finding, Next::GiveUp), out);
    }

    fn peer_error(&mut self, element: &Element, out: &mut Vec<Output>) {
        let error = StreamError::from_element(element);
        let condition = error.map_or(StreamCondition::UndefinedCondition, |error| error.condition);
        if matches!(self.state, State::AwaitSasl { .. }) {
            return self.error_free_end(
                failure(StanzaCondition::RemoteServerTimeout, external_refused(condition.as_str()), Next::Dialback),
                out,
            );
        }
        if self.has_failed_external && !self.is_ready() {
            return self.error_free_end(
                failure(StanzaCondition::RemoteServerTimeout, ended_by_peer(condition), Next::Dialback),
                out,
            );
        }
        let (senders_hear, next) = match condition {
            StreamCondition::HostUnknown | StreamCondition::HostGone => {
                (StanzaCondition::RemoteServerNotFound, Next::GiveUp)
            }
            StreamCondition::PolicyViolation | StreamCondition::NotAuthorized | StreamCondition::InvalidFrom => {
                (StanzaCondition::NotAllowed, Next::GiveUp)
            }
            _ => (StanzaCondition::RemoteServerTimeout, Next::Address),
        };
        self.error_free_end(failure(senders_hear, ended_by_peer(condition), next), out);
    }
}

fn external_refused(condition: &str) -> Finding {
    Finding::new(
        Rung::Sasl,
        Side::Operator,
        format!("the partner's server refuses our certificate: {condition}"),
        "Check that our certificate names the local domain, that its chain is complete, and that the partner trusts \
         its issuer; or permit dialback.",
    )
}

fn ended_by_peer(condition: StreamCondition) -> Finding {
    Finding::new(
        Rung::Stream,
        Side::Theirs,
        format!("the partner's server ended the stream: {condition}"),
        "Look at the partner's log for the reason.",
    )
}

/// Whose the failure of a verification most likely is.
fn dialback_side(condition: StanzaCondition) -> Side {
    match condition {
        StanzaCondition::RemoteConnectionFailed
        | StanzaCondition::RemoteServerNotFound
        | StanzaCondition::RemoteServerTimeout => Side::Operator,
        _ => Side::Theirs,
    }
}

fn failure(condition: StanzaCondition, finding: Finding, next: Next) -> Failure {
    Failure { condition, finding, next }
}

/// Time and the end.
impl Initiating {
    fn deadline_passed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        if self.deadline(at).is_none_or(|deadline| deadline > at.now) {
            return;
        }
        let what = match self.state {
            State::Ready => return self.idle(at, out),
            State::Ended => return,
            State::Idle | State::AwaitHeader(_) | State::AwaitFeatures(_) => "the stream was not opened",
            State::AwaitProceed | State::Handshaking { .. } => "TLS was not established",
            State::AwaitSasl { .. } => "SASL did not end",
            State::AwaitDialback { .. } => "our dialback key was not verified",
            State::AwaitVerify { .. } => "the authoritative server did not answer about a dialback key",
        };
        let rung = match self.state {
            State::AwaitProceed | State::Handshaking { .. } => Rung::Tls,
            State::AwaitSasl { .. } => Rung::Sasl,
            State::AwaitDialback { .. } | State::AwaitVerify { .. } => Rung::Dialback,
            State::Idle | State::AwaitHeader(_) | State::AwaitFeatures(_) | State::Ready | State::Ended => Rung::Stream,
        };
        let remedy = "Look at the partner's server and at the network between.";
        let finding = Finding::new(rung, Side::Theirs, format!("{what} in time"), remedy);
        if matches!(self.state, State::Handshaking { .. }) {
            return self.lost(finding, out);
        }
        let error = StreamError::new(StreamCondition::ConnectionTimeout);
        self.error(error, failure(StanzaCondition::RemoteServerTimeout, finding, Next::Address), out);
    }

    fn idle(&mut self, at: &Moment, out: &mut Vec<Output>) {
        if self.last_stanza + at.federation.settings.inactivity_timeout <= at.now {
            return self.close(out);
        }
        out.push(Output::Send(BytesMut::from(" ")));
        self.last_sent = at.now;
    }

    fn policy_changed(&mut self, at: &Moment, out: &mut Vec<Output>) {
        let permits_some = at.federation.is_local(self.pair.local.as_str())
            && at.federation.partner(self.pair.remote.as_str()).is_some();
        if !permits_some {
            self.not_a_partner(out);
        }
    }

    fn not_a_partner(&mut self, out: &mut Vec<Output>) {
        let finding = Finding::new(
            Rung::Policy,
            Side::Operator,
            format!("{} is not, or no longer, an allowed pair", self.pair),
            "Add the domain as an XMPP federated partner, if it shall be one.",
        );
        self.error_free_end(failure(StanzaCondition::NotAllowed, finding, Next::GiveUp), out);
    }

    fn no_method(&mut self, cause: &'static str, remedy: &'static str, out: &mut Vec<Output>) {
        let finding = Finding::new(Rung::Mechanisms, Side::Operator, cause, remedy);
        self.error_free_end(failure(StanzaCondition::NotAllowed, finding, Next::GiveUp), out);
    }

    fn peer_closed(&mut self, cause: &'static str, out: &mut Vec<Output>) {
        match self.state {
            State::Ready | State::Ended => return self.close(out),
            // Some servers answer a certificate they do not like by hanging up.
            State::AwaitSasl { .. } => {
                let failure =
                    failure(StanzaCondition::RemoteServerTimeout, external_refused("it hung up"), Next::Dialback);
                return self.error_free_end(failure, out);
            }
            State::Idle
            | State::AwaitHeader(_)
            | State::AwaitFeatures(_)
            | State::AwaitProceed
            | State::Handshaking { .. }
            | State::AwaitDialback { .. }
            | State::AwaitVerify { .. } => {}
        }
        let next = if self.has_failed_external { Next::Dialback } else { Next::Address };
        let finding = Finding::new(Rung::Stream, Side::Theirs, cause, "Look at the partner's log for the reason.");
        self.error_free_end(failure(StanzaCondition::RemoteServerTimeout, finding, next), out);
    }

    /// The connection cannot even carry an error.
    fn lost(&mut self, finding: Finding, out: &mut Vec<Output>) {
        self.state = State::Ended;
        out.push(Output::Failed(failure(StanzaCondition::RemoteServerTimeout, finding, Next::Address)));
        out.push(Output::Abort);
    }

    fn error(&mut self, error: StreamError, failure: Failure, out: &mut Vec<Output>) {
        send(&error.to_element(), out);
        self.error_free_end(failure, out);
    }

    fn error_free_end(&mut self, failure: Failure, out: &mut Vec<Output>) {
        out.push(Output::Failed(failure));
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<Output>) {
        match self.state {
            State::Ended => return,
            State::Idle | State::Handshaking { .. } => out.push(Output::Abort),
            State::AwaitHeader(_)
            | State::AwaitFeatures(_)
            | State::AwaitProceed
            | State::AwaitSasl { .. }
            | State::AwaitDialback { .. }
            | State::AwaitVerify { .. }
            | State::Ready => {
                out.push(Output::Send(BytesMut::from("</stream:stream>")));
                out.push(Output::Close);
            }
        }
        self.state = State::Ended;
    }
}

fn send(element: &Element, out: &mut Vec<Output>) {
    let mut bytes = BytesMut::new();
    element.write_on_stream(&mut bytes);
    out.push(Output::Send(bytes));
}

#[cfg(test)]
#[path = "negotiation_out_tests.rs"]
mod tests;
