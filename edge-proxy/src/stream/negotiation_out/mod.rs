//! The initiating server of a stream (RFC 6120, sections 4 to 6; XEP-0178, section 3; XEP-0220, sections 2.1 and 2.2).
//!
//! One machine per connection, for one pair: it opens the stream, starts TLS wherever the partner's settings allow it,
//! proves our domain by EXTERNAL or else by dialback, and then keeps the stream. Or it only asks an authoritative
//! server about a key. What happens after a failure, the caller decides from [`Failure`]: this machine makes one
//! attempt on one connection.
//!
//! `header` decides by what is offered, `element` by what is answered, `life` by time.
//!
//! Not here: several pairs on one stream, bidirectional streams, stream management.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamError, StreamFault};

use super::Method;
use super::dialback::Answer;
use super::identity::PeerIdentity;
use crate::policy::Moment;
use crate::verdict::Finding;

mod element;
mod header;
mod life;

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
    /// TLS is established: after STARTTLS, or at once instead of [`Input::Connected`] (XEP-0368).
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
    /// What senders hear.
    pub condition: StanzaCondition,
    /// What operators read.
    pub finding: Finding,
    /// What the caller does.
    pub next: Next,
    /// The address that was tried, which the shell knows.
    pub peer: Option<SocketAddr>,
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
    /// Whether STARTTLS is left out where the settings make it optional.
    is_without_tls: bool,
    /// How the stream became ready.
    method: Option<Method>,
    /// When the certificate that it rests on is to be looked at again.
    review: Option<Instant>,
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
            is_without_tls: false,
            method: None,
            review: None,
            establish_by,
            last_stanza: at.now,
            last_sent: at.now,
        }
    }

    /// The same without STARTTLS, where the settings make TLS optional.
    #[must_use]
    pub fn without_tls(self) -> Self {
        Self { is_without_tls: true, ..self }
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
                self.lost(Finding::tls(cause), out);
            }
            Input::Written => {
                self.last_stanza = at.now;
                self.last_sent = at.now;
            }
            Input::Fault(fault) => {
                let failure = failure(StanzaCondition::RemoteServerTimeout, Finding::fault(&fault), Next::Address);
                self.error(&StreamError::from(fault), failure, out);
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
                let quiet = (self.last_stanza + settings.inactivity_timeout)
                    .min(self.last_sent + keep_alive(settings.keep_alive_interval));
                Some(self.review.map_or(quiet, |review| review.min(quiet)))
            }
        }
    }

    /// Whether stanzas may be written.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// The id of the current stream, which the partner's server chose.
    pub fn stream_id(&self) -> Option<&str> {
        self.stream_id.as_deref()
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

fn failure(condition: StanzaCondition, finding: Finding, next: Next) -> Failure {
    Failure { condition, finding, next, peer: None }
}

fn send(element: &Element, out: &mut Vec<Output>) {
    let mut bytes = BytesMut::new();
    element.write_on_stream(&mut bytes);
    out.push(Output::Send(bytes));
}

#[cfg(test)]
mod tests;
