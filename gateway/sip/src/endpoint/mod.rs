//! The user agent core (RFC 3261 sections 8, 17 and 18): transactions, general checks, Via. Sans-IO.
//!
//! The shell feeds what the transports received and performs what comes out; the transaction user (the gateway's
//! engine) sends with [`Endpoint::request`], answers with [`Endpoint::respond`] and learns the rest as [`Event`]s.
//! The checks a request must pass before it goes up stand in `uas`. A session ([`crate::session`]) is `invited` or made
//! by `calls`, carries requests by `in_dialog`, and is kept alive by `clock`. Not here: subscriptions, meaning, DNS.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::failover::NextHops;
use crate::field::Token;
use crate::ids::IdSource;
use crate::message::{Message, Request, Response};
use crate::parse::ParseError;
use crate::session::state::Session;
use crate::session::{SessionEvent, SessionId};
use crate::target::{Destination, Source, Target};
use crate::transaction::table::{Id, Table};

use self::client::ClientEntry;
use self::invited::HalfOpen;
use self::server::{Merged, ServerEntry};
use self::uas::Strangers;

mod calls;
mod client;
mod clock;
mod config;
mod counts;
mod in_dialog;
mod invited;
mod server;
mod uas;

pub use config::{EndpointConfig, InvalidSentBy, SentBy};
pub use counts::{Counts, Role};
pub use uas::Refusal;

/// What the world tells the endpoint.
#[derive(Debug)]
pub enum Input {
    /// A message came.
    Received {
        /// The message.
        message: Message,
        /// Where it came from, [`Source::peer`] already decided.
        source: Source,
    },
    /// Something came that does not parse.
    Malformed {
        /// Why, and what can be answered.
        error: ParseError,
        /// Where it came from.
        source: Source,
    },
    /// The transport could not write what [`Output::Send`] gave it; nothing of it reached the wire.
    Unsent {
        /// The tag of that output.
        tag: SendTag,
    },
    /// The connection to a target is gone: what was written on it will not be answered.
    Closed {
        /// The target it was opened for.
        target: Target,
        /// The last tag that was written on it. Tags count up, so what has a higher one went over a newer connection.
        last: SendTag,
    },
    /// [`Endpoint::deadline`] has passed.
    DeadlinePassed,
}

/// What the endpoint asks of the world.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "moved once; a box would cost an allocation per message")]
pub enum Output {
    /// Send these bytes.
    Send {
        /// Where to.
        to: Destination,
        /// One whole message.
        bytes: Bytes,
        /// Comes back in [`Input::Unsent`] if they cannot be written.
        tag: SendTag,
    },
    /// For the transaction user.
    Event(Event),
}

/// Ties a message to its transaction while the transport has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SendTag(pub u64);

impl SendTag {
    /// For what nobody waits for, such as responses.
    pub const NONE: Self = Self(0);
}

/// A server transaction that waits for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerTransaction(u64);

/// What the transaction user learns.
#[derive(Debug)]
pub enum Event {
    /// A request passed all general checks. It must be answered with [`Endpoint::respond`], within 32 s.
    Request {
        /// Names the transaction in the answer.
        transaction: ServerTransaction,
        /// The request, its top Via stamped.
        request: Request,
        /// Where it came from.
        source: Source,
    },
    /// The final response to a request of ours.
    Response {
        /// As given with the request.
        token: u64,
        /// The response.
        response: Response,
    },
    /// A request of ours will get no response.
    Failed {
        /// As given with the request.
        token: u64,
        /// Why.
        failure: Failure,
    },
    /// Something happened in a session. There are none unless [`EndpointConfig::sessions`] is set.
    Session {
        /// Which.
        session: SessionId,
        /// What.
        event: SessionEvent,
    },
    /// The endpoint itself answered or dropped something, for counters and verdicts.
    Refused {
        /// Where it came from.
        source: Source,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a request of ours gets no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Timer B or F: 32 s without a final response, of the last target that was tried. The peer may have acted on the
    /// request.
    #[error("no response in time")]
    Timeout,
    /// Nothing reached the wire: the next target may be tried without risk of doubling.
    #[error("the request could not be sent")]
    Unsent,
    /// The connection went away behind the request. The peer may have acted on it.
    #[error("the connection was lost before the response")]
    ConnectionLost,
    /// No transport of this kind is configured.
    #[error("no local address for this transport")]
    NoTransport,
    /// A transaction with the same branch is in flight.
    #[error("a transaction with this branch is in flight")]
    BranchInUse,
    /// [`crate::limits::MAX_CLIENT_TRANSACTIONS`] wait for an answer.
    #[error("too many transactions")]
    TooManyTransactions,
}

/// A request on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The request, without Via; Max-Forwards is added if it has none.
    pub request: Request,
    /// The next hop.
    pub target: Target,
    /// Comes back in [`Event::Response`] or [`Event::Failed`], exactly once.
    pub token: u64,
    /// The branch, magic cookie included (see [`crate::ids::branch_of`]); without one a random branch is taken.
    pub branch: Option<Token>,
}

/// All transactions of one process side. One owner, one input at a time.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    ids: IdSource,
    hops: NextHops,
    clients: Table<ClientEntry>,
    /// Those of them that are answered and wait for Timer K, the oldest first.
    answered: VecDeque<Id>,
    servers: Table<ServerEntry>,
    merged: Merged,
    sessions: Table<Box<Session>>,
    half_open: HalfOpen,
    draining: bool,
    strangers: Strangers,
    counts: Counts,
    /// Server transactions whose final response is not sent yet.
    unanswered: usize,
    /// Reused for keys and for printing.
    key: Vec<u8>,
    scratch: BytesMut,
}

/// Bytes reserved at a time for printed messages; what is sent is split off and freed piece by piece.
const SCRATCH: usize = 32 * 1024;

impl Endpoint {
    /// An endpoint without transactions.
    pub fn new(config: EndpointConfig, ids: IdSource) -> Self {
        Self {
            config,
            ids,
            hops: NextHops::default(),
            clients: Table::new(),
            answered: VecDeque::new(),
            servers: Table::new(),
            merged: Merged::default(),
            sessions: Table::new(),
            half_open: HalfOpen::default(),
            draining: false,
            strangers: Strangers::default(),
            counts: Counts::default(),
            unanswered: 0,
            key: Vec::with_capacity(128),
            scratch: BytesMut::new(),
        }
    }

    /// Answers OPTIONS and all that would begin something new with 503 from now on, so that a pool sends it elsewhere at
    /// once; what is under way, and dialogs, go on.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// The identifiers this endpoint uses, for tags and Call-IDs of the transaction user.
    pub const fn ids(&mut self) -> &mut IdSource {
        &mut self.ids
    }

    /// How transactions ended; counts on while the endpoint works.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// How many next hops there are, and how many of them did not fail lately.
    pub fn hops(&self, now: Instant) -> (usize, usize) {
        (self.hops.count(), self.hops.alive(now))
    }

    /// A next hop has answered though it failed lately.
    pub fn hop_lives(&mut self, target: &Target) {
        self.hops.lives(target);
    }

    /// Client and server transactions in memory.
    pub fn transactions(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Sessions in memory, and those among them that somebody has begun and nobody completed.
    pub fn sessions(&self) -> (usize, usize) {
        (self.sessions.len(), self.half_open.count())
    }

    /// Sets the next hops in the order of failover, for all that has no target of its own.
    pub fn set_next_hops(&mut self, targets: Vec<Target>) {
        self.hops.set(targets);
    }

    /// The next hop that a request without a target of its own would take now.
    pub fn next_hop(&self, now: Instant) -> Option<Target> {
        self.hops.next(&[], now)
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        match input {
            Input::Received { message: Message::Request(request), source } => {
                self.receive_request(request, source, now, out);
            }
            Input::Received { message: Message::Response(response), source } => {
                self.receive_response(response, source, now, out);
            }
            Input::Malformed { error, source } => self.refuse_malformed(&error, source, out),
            Input::Unsent { tag } => self.fail(tag.0, Failure::Unsent, now, out),
            Input::Closed { target, last } => {
                let waiting = self.clients.ids_where(|entry| entry.target == target && entry.machine.is_waiting());
                waiting
                    .into_iter()
                    .filter(|id| *id <= last.0)
                    .for_each(|id| self.fail(id, Failure::ConnectionLost, now, out));
            }
            Input::DeadlinePassed => {
                self.fire_clients(now, out);
                self.fire_servers(now, out);
                self.fire_sessions(now, out);
            }
        }
    }

    /// When the endpoint wants [`Input::DeadlinePassed`].
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.clients.deadline(), self.servers.deadline(), self.sessions.deadline()];
        deadlines.into_iter().flatten().min()
    }
}

fn print(scratch: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    if scratch.capacity() < 2048 {
        *scratch = BytesMut::with_capacity(SCRATCH);
    }
    write(scratch);
    scratch.split().freeze()
}

#[cfg(test)]
mod any_sequence;
#[cfg(test)]
mod next_hop_tests;
#[cfg(test)]
mod overload_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;
