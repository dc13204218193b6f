//! The initiating server of a stream (RFC 6120, sections 4 to 6; XEP-0178, section 3; XEP-0220, sections 2.1 and 2.2).
//!
//! One machine per connection, for one pair: it opens the stream, starts TLS wherever the partner's settings allow it,
//! proves our domain by EXTERNAL or else by dialback, and then keeps the stream. Or it only asks an authoritative
//! server about a key. What happens after a failure, the caller decides from [`Failure`]: this machine makes one
//! attempt on one connection.
//!
//! `header` decides by what is offered, `element` by what is answered, `life` by time; `extensions` is what an
//! established stream may do besides: acknowledge (XEP-0198), carry the partner's stanzas (XEP-0288), and `pairs` how
//! further pairs come to use it (XEP-0220, section 2.6).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::live::CloseReason;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_shared::xmpp::stream_error::{StreamError, StreamFault};

use super::Method;
use super::announced::Announced;
use super::dialback::Answer;
use super::identity::PeerIdentity;
use super::management::Management;
use crate::link::{Handled, PairContext, Receipt};
use crate::policy::Moment;
use crate::verdict::Finding;

mod element;
mod extensions;
mod header;
mod life;
mod pairs;

use pairs::Pairs;
pub use pairs::TakesPairs;

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
    /// So many stanzas were written.
    Written(u32),
    /// Stanzas of the partner were admitted; false when they only answer our pings.
    Stanzas {
        /// Whether they count against inactivity.
        count: bool,
    },
    /// Gateways have finished with more of what came.
    Progress,
    /// A further pair wants to use the stream.
    Join(DomainPair),
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
    /// An operator ends the stream.
    Ordered(CloseReason),
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
    /// Stanzas of a further pair may be written.
    Joined(DomainPair),
    /// They may not, here.
    NotJoined(DomainPair, Failure),
    /// So many more of the oldest stanzas that we wrote are the peer's now.
    Acknowledged(u32),
    /// What the authoritative server says; the stream is closed after it.
    Verdict(Answer),
    /// Tell the operator; the attempt goes on in another way.
    Report(Finding),
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

impl Output {
    /// The bytes that are to be written, if that is what is asked.
    pub fn sent(&self) -> Option<&[u8]> {
        match self {
            Self::Send(bytes) => Some(bytes),
            _ => None,
        }
    }
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
    /// What the last features had of what may be used later.
    offers: Offers,
    /// Whether the peer may send stanzas here, too.
    is_bidi: bool,
    /// The pairs whose stanzas the peer may send here, once it is proved.
    reverse: Vec<Arc<PairContext>>,
    /// Acknowledgements, once enabled.
    management: Option<Management>,
    /// Further pairs.
    pairs: Pairs,
    peer_address: String,
}

/// Features that do not decide how the stream is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Offers {
    management: bool,
    /// Dialback with errors: then one refused pair does not end the stream (XEP-0220, section 2.6.2).
    dialback_errors: bool,
    limits: Announced,
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
    /// `<enable/>` was sent.
    AwaitEnabled {
        method: Method,
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
            offers: Offers::default(),
            is_bidi: false,
            reverse: Vec::new(),
            management: None,
            pairs: Pairs::default(),
            peer_address: String::new(),
        }
    }

    /// The same without STARTTLS, where the settings make TLS optional.
    #[must_use]
    pub fn without_tls(self) -> Self {
        Self { is_without_tls: true, ..self }
    }

    /// The same, for a connection to this address.
    #[must_use]
    pub fn to(mut self, peer: SocketAddr) -> Self {
        self.peer_address = peer.to_string();
        self
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
            Input::Written(count) => self.written(count, at, out),
            Input::Stanzas { count } => {
                if count {
                    self.last_stanza = at.now;
                }
            }
            Input::Progress => self.progress(out),
            Input::Join(pair) => self.join(pair, at, out),
            Input::Fault(fault) => {
                let failure = failure(StanzaCondition::RemoteServerTimeout, Finding::fault(&fault), Next::Address);
                self.error(&StreamError::from(fault), failure, out);
            }
            Input::Close => self.peer_closed("the partner's server closed the stream", out),
            Input::Eof => self.peer_closed("the partner's server hung up", out),
            Input::DeadlinePassed => self.deadline_passed(at, out),
            Input::PolicyChanged => self.policy_changed(at, out),
            Input::Drain => self.close(out),
            Input::Ordered(reason) => self.ordered(reason, out),
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
            | State::AwaitVerify { give_up_at }
            | State::AwaitEnabled { give_up_at, .. } => Some(give_up_at.min(self.establish_by)),
            State::Ready => {
                let idle = self.last_stanza + at.federation.settings.inactivity_timeout;
                let silent = self.last_sent + self.keep_alive(at);
                let others =
                    [self.review, self.pairs.deadline(), self.management.as_ref().and_then(Management::deadline)];
                others.into_iter().flatten().chain([idle, silent]).min()
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

    /// Whether further pairs may ask to use the stream; those of other remote domains only where a refusal does not end
    /// it.
    pub fn takes_pairs(&self, at: &Moment) -> Option<TakesPairs> {
        self.pairs_taken(at)
    }

    /// Whether acknowledgements are enabled: what is written is the peer's only when it says so.
    pub const fn is_managed(&self) -> bool {
        self.management.is_some()
    }

    /// The largest stanza that the peer takes, in bytes.
    pub const fn max_bytes(&self) -> Option<usize> {
        self.offers.limits.max_bytes
    }

    /// Counts a stanza that was admitted, where acknowledgements are enabled.
    pub fn receipt(&self) -> Option<Receipt> {
        self.management.as_ref().map(Management::received)
    }

    /// What the shell has to watch for [`Input::Progress`], while the peer waits for it.
    pub fn awaited(&self) -> Option<Handled> {
        self.management.as_ref().filter(|management| management.is_due()).map(|management| management.handled().clone())
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
