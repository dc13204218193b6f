//! The receiving server of a stream (RFC 6120, sections 4 to 6; XEP-0178, section 3; XEP-0220): who may say what, when.
//!
//! The machine is told what arrived, one header or element at a time, and says what to send and what to do. It decides
//! everything about the protocol; its shell [`super::inbound`] only carries bytes. What is offered follows
//! from the policy in force for the *claimed* domain; a claim only ever narrows what is offered, and nothing counts before it is proved. Each authorised pair is checked again on every stanza.
//!
//! `header` and `element` are what arrives before authentication, `dialback` the two roles a receiver has in it,
//! `life` everything about time and the end, `extensions` what an authenticated stream may do besides carrying stanzas
//! to us: acknowledge them (XEP-0198), and carry ours back (XEP-0288).

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::link::PairContext;
use causeway_shared::live::CloseReason;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError, StreamFault};

use super::Method;
use super::announced::Announced;
use super::dialback::{Answer, Pending};
use super::identity::{Evidence, PeerIdentity, Proof};
use super::management::Management;
use super::sasl;
use crate::link::{Handled, Receipt};
use crate::policy::Moment;
use crate::verdict::{Code, Finding};

mod dialback;
mod element;
mod extensions;
mod header;
mod life;

/// Answers that nobody asked for, before the stream ends for them.
const MAX_UNSOLICITED: u32 = 3;

/// What the world tells the machine.
#[derive(Debug)]
pub enum Input {
    /// A stream header, and the id to answer it with: never used before, and not to be guessed.
    Header(StreamHeader, String),
    /// An element that is no stanza of an authenticated stream. `followed` when more bytes are there already.
    Element {
        /// The element.
        element: Element,
        /// Whether the peer did not wait for an answer.
        followed: bool,
    },
    /// A question about a dialback key, and its address asks too often.
    QuestionOverRate(Element),
    /// White space between elements.
    Whitespace,
    /// The stanzas of one read passed [`Receiving::admit`]; false when they only answer our pings.
    Stanzas {
        /// Whether they count against inactivity.
        count: bool,
    },
    /// TLS is established.
    Secured(PeerIdentity),
    /// What [`Receiving::wants_evidence`] asked for.
    Evidence(Evidence),
    /// TLS failed; the connection is of no more use.
    TlsFailed(String),
    /// The authoritative server answered, or could not be asked.
    Verified(DomainPair, Answer),
    /// The peer broke a rule below this machine.
    Fault(StreamFault),
    /// The closing tag.
    Close,
    /// The connection ended.
    Eof,
    /// The time of [`Receiving::deadline`] has come.
    DeadlinePassed,
    /// The partner has all the connections it may have.
    OverLimit,
    /// The gateways take nothing more: the link has ended.
    LinkClosed,
    /// The policy has changed.
    PolicyChanged,
    /// Gateways have finished with more of what came.
    Progress,
    /// So many stanzas of ours were written.
    Written(u32),
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
    /// Start TLS as the server, with the certificate of this domain if there is one, once all is written.
    StartTls(Option<DomainName>),
    /// Forget what the reader knows: a new stream begins.
    Restart,
    /// A pair is authorised: stanzas may pass from now on; on a bidirectional stream ours may, too.
    Authorised(DomainPair, Method),
    /// So many more of the oldest stanzas that we wrote are the peer's now.
    Acknowledged(u32),
    /// Ask the authoritative server of `pair.remote`.
    Verify {
        /// Whose key it is, and whom it was offered to.
        pair: DomainPair,
        /// The id of this stream.
        stream_id: String,
        /// The key.
        key: String,
    },
    /// Send a ping from `local` to `remote`; the answer comes in here or elsewhere.
    Ping(DomainPair),
    /// Tell the operator.
    Report(Finding),
    /// Count an answer that nobody asked for.
    Unsolicited,
    /// Close in order: all is written, the closing tag included.
    Close,
    /// Drop the connection without a word.
    Abort,
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
pub struct Receiving {
    state: State,
    security: Security,
    /// Of the first headers, never to change on this connection (CVE-2018-10847).
    identity: Option<Claim>,
    /// The `from` of the last header, accepted or not: what a verdict is about.
    claimed: Option<DomainName>,
    /// The id of the current stream.
    stream_id: String,
    /// Whether the response header of the current stream was sent.
    header_sent: bool,
    sasl: sasl::Receiving,
    pairs: Vec<Authorised>,
    pending: Pending,
    unsolicited: u32,
    /// Whether the operator knows already why nothing comes of this connection, or nothing had to: it only asked about
    /// a dialback key.
    is_told: bool,
    accepted_at: Instant,
    /// Everything must be authenticated by then, whatever arrives.
    establish_by: Instant,
    last_heard: Instant,
    last_stanza: Instant,
    pinged_at: Option<Instant>,
    peer_address: String,
    /// Whether the peer takes stanzas of ours here, too.
    bidi: Bidi,
    /// Acknowledgements, once the peer has enabled them.
    management: Option<Management>,
    /// What the peer takes on a bidirectional stream.
    announced: Announced,
    /// Where the last stanza's pair was, for the next is usually the same.
    recent: usize,
    /// Whether what crosses our end of the stream on its way still counts.
    hears_out: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has arrived yet.
    Silent,
    /// A header must come next.
    AwaitHeader,
    /// Features were sent.
    Open {
        /// Whether EXTERNAL was among them.
        external: bool,
    },
    /// The peer is to begin TLS, or began with it.
    Handshaking { give_up_at: Instant },
    /// Nothing more is heard; what came is being finished, so that the last count is a true one.
    Finishing { then: Parting, give_up_at: Instant },
    /// Nothing more is said or heard.
    Ended,
}

/// How a stream ends in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// The peer has closed it.
    Theirs,
    /// This edge is going away.
    Ours,
    /// An operator wants it.
    Ordered(CloseReason),
}

/// Stanzas both ways (XEP-0288).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bidi {
    Off,
    /// Among the features of the current stream.
    Offered,
    On,
}

#[derive(Debug)]
enum Security {
    Plain,
    Tls(Box<PeerIdentity>),
}

/// What the headers of a connection say about its two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    from: Option<DomainName>,
    to: Option<DomainName>,
}

#[derive(Debug)]
struct Authorised {
    pair: DomainPair,
    method: Method,
    /// What the certificate proved it by, where it did, and when that is to be looked at again.
    proof: Option<Proof>,
    review: Option<Instant>,
    context: Arc<PairContext>,
}

impl Receiving {
    /// A connection was accepted.
    pub fn new(peer_address: String, at: &Moment) -> Self {
        Self {
            state: State::Silent,
            security: Security::Plain,
            identity: None,
            claimed: None,
            stream_id: String::new(),
            header_sent: false,
            sasl: sasl::Receiving::Ready,
            pairs: Vec::new(),
            pending: Pending::default(),
            unsolicited: 0,
            is_told: false,
            accepted_at: at.now,
            establish_by: at.now + at.federation.settings.establishment_timeout,
            last_heard: at.now,
            last_stanza: at.now,
            pinged_at: None,
            peer_address,
            bidi: Bidi::Off,
            management: None,
            announced: Announced::default(),
            recent: 0,
            hears_out: false,
        }
    }

    /// A connection was accepted that begins with TLS (XEP-0368): the handshake is what comes first, then all is as
    /// after STARTTLS, which is not offered any more.
    pub fn direct_tls(peer_address: String, at: &Moment) -> Self {
        let state = State::Handshaking { give_up_at: at.now + at.limits.timeouts.tls_handshake };
        Self { state, ..Self::new(peer_address, at) }
    }

    /// Takes one step. A peer's fault is an [`Output`], never a panic and never an `Err`.
    pub fn handle(&mut self, input: Input, at: &Moment, out: &mut Vec<Output>) {
        if self.state == State::Ended {
            return;
        }
        if matches!(
            input,
            Input::Header(..)
                | Input::Element { .. }
                | Input::QuestionOverRate(_)
                | Input::Whitespace
                | Input::Stanzas { .. }
        ) {
            self.last_heard = at.now;
            self.pinged_at = None;
        }
        match input {
            Input::Header(header, id) => self.header(&header, id, at, out),
            Input::Element { element, followed } => self.element(&element, followed, at, out),
            Input::QuestionOverRate(element) => self.question_over_rate(&element, at, out),
            Input::Whitespace => {}
            Input::Stanzas { count } => {
                if count {
                    self.last_stanza = at.now;
                }
            }
            Input::Secured(identity) => {
                self.security = Security::Tls(Box::new(identity));
                self.restart(out);
            }
            Input::Evidence(evidence) => {
                if let Security::Tls(identity) = &mut self.security {
                    identity.learn(evidence);
                }
            }
            Input::TlsFailed(cause) => {
                self.abort(Finding::tls(cause), out);
            }
            Input::Verified(pair, answer) => self.verified(&pair, answer, at, out),
            Input::Fault(fault) => self.fault(fault, at, out),
            Input::Close => {
                self.parted("closed the stream", out);
                self.finish(Parting::Theirs, at, out);
            }
            Input::Eof => {
                self.parted("hung up", out);
                self.state = State::Ended;
                out.push(Output::Abort);
            }
            Input::DeadlinePassed => self.deadline_passed(at, out),
            Input::OverLimit => {
                let finding = Finding::new(Code::LimitsPartner, "the partner has all the connections it may have");
                self.error(&StreamError::new(StreamCondition::ResourceConstraint), Some(finding), at, out);
            }
            Input::LinkClosed => self.error(&StreamError::new(StreamCondition::InternalServerError), None, at, out),
            Input::PolicyChanged => self.policy_changed(at, out),
            Input::Progress => self.progress(at, out),
            Input::Written(count) => self.written(count, at, out),
            Input::Drain => self.finish(Parting::Ours, at, out),
            Input::Ordered(reason) => self.ordered(reason, at, out),
        }
        self.is_told |= out.iter().any(|output| matches!(output, Output::Report(_)));
    }

    /// When the shell must send [`Input::DeadlinePassed`].
    pub fn deadline(&self, at: &Moment) -> Option<Instant> {
        let own = match self.state {
            State::Ended => return None,
            State::Silent => (self.accepted_at + at.limits.timeouts.first_byte).min(self.establish_by),
            State::Handshaking { give_up_at } => give_up_at.min(self.establish_by),
            State::Finishing { give_up_at, .. } => return Some(give_up_at),
            State::AwaitHeader | State::Open { .. } if self.pairs.is_empty() => self.establish_by,
            State::AwaitHeader | State::Open { .. } => self.idle_deadline(at),
        };
        let others = [self.pending.deadline(), self.management.as_ref().and_then(Management::deadline)];
        others.into_iter().flatten().chain([own]).min()
    }

    /// Whether stanzas that cross the end of the stream are to be taken until the peer's own end.
    pub const fn hears_out(&self) -> bool {
        self.hears_out
    }

    /// Whether a stanza between these domains may pass (RFC 6120, sections 4.9.3.9 and 8.1.1.2; XEP-0220, section
    /// 1.4), and under which pair.
    pub fn admit(&mut self, from: &str, to: &str) -> Result<&Arc<PairContext>, StreamFault> {
        let is_of =
            |authorised: &Authorised| authorised.pair.remote.as_str() == from && authorised.pair.local.as_str() == to;
        if !self.pairs.get(self.recent).is_some_and(is_of) {
            self.recent = match self.pairs.iter().position(is_of) {
                Some(index) => index,
                None if self.pairs.is_empty() => {
                    return Err(StreamFault::new(StreamCondition::NotAuthorized, "a stanza before authentication"));
                }
                None if self.pairs.iter().any(|authorised| authorised.pair.remote.as_str() == from) => {
                    return Err(StreamFault::new(
                        StreamCondition::HostUnknown,
                        "a stanza to a domain that was not validated on this stream",
                    ));
                }
                None => {
                    return Err(StreamFault::new(
                        StreamCondition::InvalidFrom,
                        "a stanza from a domain that was not validated on this stream",
                    ));
                }
            };
        }
        match self.pairs.get(self.recent) {
            Some(authorised) => Ok(&authorised.context),
            None => Err(StreamFault::new(StreamCondition::InternalServerError, "a pair was lost")),
        }
    }

    /// The domain that the peer claims or has proved, for verdicts.
    pub fn claimed(&self) -> Option<&DomainName> {
        match self.pairs.first() {
            Some(authorised) => Some(&authorised.pair.remote),
            None => self.claimed.as_ref(),
        }
    }

    /// The pairs that are authorised.
    pub fn pairs(&self) -> impl Iterator<Item = &DomainPair> {
        self.pairs.iter().map(|authorised| &authorised.pair)
    }

    /// The id of the current stream.
    pub fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// The domain about which to fetch evidence before this header is answered, if that can help: a partner that claims
    /// to be itself towards a domain of ours, and whose certificate alone does not prove it.
    pub fn wants_evidence(&self, header: &StreamHeader, at: &Moment) -> Option<DomainName> {
        let (Security::Tls(identity), Some(from), Some(to)) = (&self.security, &header.from, &header.to) else {
            return None;
        };
        let is_worth_it = self.pairs.is_empty() && at.federation.is_local(to.as_str());
        (is_worth_it && identity.wants_evidence(from, at)).then(|| from.clone())
    }

    /// What the certificate proved a pair by, where the pair rests on the certificate.
    pub fn proof(&self, pair: &DomainPair) -> Option<Proof> {
        self.pairs.iter().find(|authorised| authorised.pair == *pair)?.proof
    }

    /// Whether some pair is authorised.
    pub fn is_authenticated(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Whether stanzas of ours may be written for the authorised pairs.
    pub fn is_bidi(&self) -> bool {
        self.bidi == Bidi::On
    }

    /// What the peer of a bidirectional stream takes.
    pub const fn announced(&self) -> Announced {
        self.announced
    }

    /// Counts a stanza that was admitted, where acknowledgements are enabled.
    pub fn receipt(&self) -> Option<Receipt> {
        self.management.as_ref().map(Management::received)
    }

    /// What the shell has to watch for [`Input::Progress`], while the peer waits for it.
    pub fn awaited(&self) -> Option<Handled> {
        self.management.as_ref().filter(|management| management.is_due()).map(|management| management.handled().clone())
    }

    /// Whether acknowledgements are enabled: what is written is the peer's only when it says so.
    pub const fn is_managed(&self) -> bool {
        self.management.is_some()
    }

    /// Whether anything that the peer sends still counts.
    pub const fn is_listening(&self) -> bool {
        !matches!(self.state, State::Finishing { .. } | State::Ended)
    }

    /// Whether nothing more is said or heard.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// A new stream begins, in which nothing counts that was asked on the one before (RFC 6120, sections 5.4.3.3 and
    /// 6.4.6): a key belongs to the stream whose id is in it.
    fn restart(&mut self, out: &mut Vec<Output>) {
        self.state = State::AwaitHeader;
        self.header_sent = false;
        self.pending = Pending::default();
        out.push(Output::Restart);
    }

    fn is_secured(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    fn from(&self) -> Option<&DomainName> {
        self.identity.as_ref()?.from.as_ref()
    }
}

fn no_partner(domain: &DomainName) -> Finding {
    Finding::new(Code::PolicyNoPartner, format!("{domain} is not an allowed partner"))
}

fn send(element: &Element, out: &mut Vec<Output>) {
    let mut bytes = BytesMut::new();
    element.write_on_stream(&mut bytes);
    out.push(Output::Send(bytes));
}

#[cfg(test)]
mod tests;
