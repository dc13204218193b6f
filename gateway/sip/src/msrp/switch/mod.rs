//! All MSRP sessions and connections of one user agent (RFC 4975 section 5.4, RFC 6135, RFC 8122). Sans-IO.
//!
//! A session begins with [`Switch::reserve`]: it gets our URI, which goes into the offer or answer ([`Switch::stream`]).
//! When both sides are known, [`Input::Open`] says what was negotiated; from then on its user hears [`Event`]s, the last
//! of which is [`Event::Ended`], exactly once, whoever ends it. Each message given to [`Input::Send`] ends in exactly one
//! [`Event::Sent`], before the end of its session.
//!
//! A connection carries the sessions that are bound to it: one that we opened those towards the same host and port, one
//! that we accepted those that its requests name. A peer must prove with its certificate what the description said of
//! it. Connections without sessions are closed. One [`Session`](super::session::Session) is the machine of each session;
//! `connections` cuts and routes what comes, `sessions` does what users ask. The shell is `crate::transport::msrp`.
//! Not here: relays (RFC 4976), sockets, DNS.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ids::IdSource;
use crate::msrp::fingerprint::Fingerprint;
use crate::msrp::session::{Outgoing, Receipt, SendFailure};
use crate::msrp::uri::MsrpUri;
use crate::sdp::message::{Msrp, Setup};
use crate::transaction::table::{Id, Table};

mod connections;
mod sessions;

use connections::Connection;
use sessions::Entry;

/// Sessions at once, reserved ones included. About 2 kB each while they are silent.
pub const MAX_SESSIONS: usize = 10_000;
/// Sessions on one connection; a further one gets a connection of its own.
pub const MAX_SESSIONS_PER_CONNECTION: usize = 256;
/// Connections at once, in both directions.
pub const MAX_CONNECTIONS: usize = 4096;
/// Connections from one address: behind it may be a border element with all users.
pub const MAX_CONNECTIONS_PER_PEER: usize = 1024;
/// Accepted connections that have not shown what they are for.
pub const MAX_UNBOUND: usize = 256;
/// How long an accepted connection may take to show it, with a SEND for a session of ours.
pub const BIND_PATIENCE: Duration = Duration::from_secs(10);
/// How long a SEND for a session whose answer is still on its way holds its connection: SIP may be slower than TCP
/// (RFC 8122 section 6.2).
pub const ANSWER_RACE: Duration = Duration::from_secs(10);
/// How long a session may wait for [`Input::Open`]: longer than any phone rings.
pub const RESERVE_PATIENCE: Duration = Duration::from_secs(300);
/// How long one frame may take from its first byte to its last; whoever sent it has given up by then.
pub const FRAME_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read ahead of a frame that waits, and bytes that a peer may go on to send of a chunk that was refused.
pub const MAX_AHEAD: usize = 256 * 1024;
/// Bytes that wait for a socket from which on sessions send no further chunks.
pub const HIGH_WATER: usize = 128 * 1024;
/// Bytes below which they go on.
pub const LOW_WATER: usize = 32 * 1024;
/// Bytes that wait for a socket at most: a peer that does not read loses its connection.
pub const MAX_UNWRITTEN: usize = 512 * 1024;

/// A session. Never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Id);

/// A connection. The shell numbers those that it accepts, the switch those that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionId {
    /// By the shell.
    Accepted(u64),
    /// By the switch.
    Opened(u64),
}

/// What the switch is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchConfig {
    /// The host in our URIs: a name or address by which peers reach us.
    pub host: String,
    /// The port of our TLS listener.
    pub tls_port: Option<u16>,
    /// The port of our TCP listener.
    pub tcp_port: Option<u16>,
    /// Those of our certificate, for descriptions of streams under TLS.
    pub fingerprints: Vec<Fingerprint>,
    /// The media types that we take, in lower case.
    pub accept_types: Vec<String>,
    /// The media types that we take inside of message/cpim.
    pub accept_wrapped_types: Vec<String>,
    /// The largest message that we take, our `max-size`.
    pub max_size: usize,
    /// How long nobody may say anything in a session.
    pub idle: Duration,
}

/// What was negotiated about a session besides our URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The stream of the peer's description.
    pub peer: Msrp,
    /// Whether we connect (see [`Setup::answer`] and [`Setup::is_active`]).
    pub is_active: bool,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Whether under TLS.
    pub is_secure: bool,
    /// A name, or an address; one of IPv6 in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub remote: SocketAddr,
    /// Whether the connection is under TLS.
    pub is_secure: bool,
    /// The certificate whose key it has, if it showed one.
    pub certificate: Option<Certificate>,
}

/// A certificate from a handshake in which its key was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// In DER.
    pub der: Bytes,
    /// Whether it comes from a known authority and bears the host that we connected to.
    pub speaks_for_host: bool,
}

/// Why a connection of ours did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFault {
    /// The name has no address.
    #[error("the host has no address")]
    Unresolved,
    /// The address is one of this machine or this link, which a session description must not lead to.
    #[error("the host is nothing to connect to")]
    Forbidden,
    /// Refused, or no route.
    #[error("the host does not take the connection")]
    Refused,
    /// No connection, or no TLS, in time.
    #[error("the host does not answer in time")]
    Timeout,
    /// The TLS handshake failed, or there is no TLS configuration.
    #[error("TLS failed")]
    Tls,
}

/// What the world and the users tell the switch.
#[derive(Debug)]
pub enum Input {
    /// A listener took a connection and, under TLS, finished its handshake.
    Accepted {
        /// Its number, from the shell.
        connection: ConnectionId,
        /// Who it is.
        peer: Peer,
    },
    /// A connection of ours stands.
    Connected {
        /// That of [`Output::Connect`].
        connection: ConnectionId,
        /// Who it is.
        peer: Peer,
    },
    /// A connection of ours does not come about; it is forgotten.
    ConnectFailed {
        /// That of [`Output::Connect`].
        connection: ConnectionId,
        /// Why.
        fault: ConnectFault,
    },
    /// Bytes came.
    Bytes {
        /// On which connection.
        connection: ConnectionId,
        /// The bytes.
        bytes: Bytes,
    },
    /// Bytes of [`Output::Write`] left.
    Written {
        /// On which connection.
        connection: ConnectionId,
        /// How many.
        bytes: usize,
    },
    /// A connection is gone; it is forgotten.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// A reserved session has been negotiated.
    Open {
        /// Which.
        session: SessionId,
        /// What was negotiated.
        terms: Box<Terms>,
    },
    /// A message is to be sent.
    Send {
        /// In which session.
        session: SessionId,
        /// The message.
        message: Outgoing,
    },
    /// What became of a message that was received: reported to the peer if it asked for it.
    Report {
        /// In which session.
        session: SessionId,
        /// That of the message.
        receipt: Receipt,
        /// 200, or the code that says why not.
        code: u16,
    },
    /// A session is over. What it has not sent fails; [`Event::Ended`] follows.
    Close {
        /// Which.
        session: SessionId,
    },
    /// [`Switch::deadline`] has passed.
    DeadlinePassed,
}

/// What the switch asks of the world, and tells the users.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection: [`Input::Connected`] or [`Input::ConnectFailed`] follows.
    Connect {
        /// Its number.
        connection: ConnectionId,
        /// Where to.
        to: Hop,
    },
    /// Write this; [`Input::Written`] follows.
    Write {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        bytes: Bytes,
    },
    /// Write what is still there, and close. Nothing is expected any more.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Something for the user of a session.
    Event {
        /// Which session.
        session: SessionId,
        /// What.
        event: Event,
    },
}

/// What the user of a session hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection stands and is bound to the session; messages were taken before, too.
    Established,
    /// A whole message came.
    Received {
        /// Its Content-Type as it came.
        content_type: String,
        /// Its text.
        body: Bytes,
        /// For [`Input::Report`]: its Message-ID, and what the peer wants to hear.
        receipt: Receipt,
    },
    /// A message of ours ended: the peer has taken it, or not.
    Sent {
        /// Its token.
        token: u64,
        /// `Ok` if it has.
        result: Result<(), SendFailure>,
    },
    /// The report that a message of ours asked for; some never get one.
    Reported {
        /// Its token.
        token: u64,
        /// 200, or the code that says why not.
        code: u16,
    },
    /// The session is over.
    Ended(Ended),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Its user closed it.
    #[error("closed")]
    Closed,
    /// It was reserved and not opened in [`RESERVE_PATIENCE`].
    #[error("it was never opened")]
    NeverOpened,
    /// The terms have no path, or another scheme than our URI.
    #[error("the peer's path cannot be used")]
    BadPath,
    /// [`MAX_CONNECTIONS`] or [`MAX_CONNECTIONS_PER_PEER`] is reached.
    #[error("there are too many connections")]
    NoRoom,
    /// Our connection did not come about.
    #[error("no connection: {0}")]
    Unreachable(ConnectFault),
    /// Nobody connected in time.
    #[error("the peer has not connected")]
    NoConnection,
    /// The certificate is not the one that was announced, or does not speak for the host.
    #[error("the peer's certificate is not the announced one")]
    Unproven,
    /// The peer knows no such session any more (481), has it elsewhere (506), or has lost a message (REPORT).
    #[error("the peer has ended it with {0}")]
    Refused(u16),
    /// The connection is gone (RFC 4975 section 5.4: so are its sessions).
    #[error("the connection is gone")]
    Lost,
    /// What came is no MSRP, or more than any bound allows.
    #[error("the peer does not keep to the protocol")]
    Violation,
    /// The peer does not read what we send.
    #[error("the peer does not read")]
    Overrun,
    /// Nobody said anything for the time of [`SwitchConfig::idle`].
    #[error("idle")]
    Idle,
}

/// All connections and sessions.
#[derive(Debug)]
pub struct Switch {
    config: SwitchConfig,
    ids: IdSource,
    /// By session-id.
    sessions: Table<Entry>,
    /// By number.
    connections: Table<Connection>,
    /// The newest connection of ours to each place: what further sessions share.
    hops: HashMap<Hop, Id>,
    per_peer: HashMap<IpAddr, usize>,
    unbound: usize,
    last_opened: u64,
    /// Connections of peers that do not read, until the end of the step.
    overrun: BTreeSet<Id>,
}

impl Switch {
    /// A switch without sessions.
    pub fn new(config: SwitchConfig, ids: IdSource) -> Self {
        Self {
            config,
            ids,
            sessions: Table::new(),
            connections: Table::new(),
            hops: HashMap::new(),
            per_peer: HashMap::new(),
            unbound: 0,
            last_opened: 0,
            overrun: BTreeSet::new(),
        }
    }

    /// Takes a new configuration; sessions that are open keep what they were told.
    pub fn configure(&mut self, config: SwitchConfig) {
        self.config = config;
    }

    /// Begins a session: gives it our URI, under TLS or not. `None` if there is no such listener, or no room.
    pub fn reserve(&mut self, is_secure: bool, now: Instant) -> Option<SessionId> {
        let port = if is_secure { self.config.tls_port } else { self.config.tcp_port }?;
        if self.sessions.len() >= MAX_SESSIONS {
            return None;
        }
        // 128 bits of randomness; 80 at least must be (RFC 4975 section 14.1).
        let key = self.ids.call_id();
        let own = MsrpUri::new(is_secure, &self.config.host, port, key.as_str()).ok()?;
        let until = now + RESERVE_PATIENCE;
        Some(SessionId(self.sessions.insert(key.as_str().as_bytes(), Entry::reserved(own), Some(until))))
    }

    /// Our side of a session as offer and answer describe it.
    pub fn stream(&self, session: SessionId, setup: Setup) -> Option<Msrp> {
        let own = self.sessions.get(session.0)?.own.clone();
        let fingerprints = if own.is_secure() { self.config.fingerprints.clone() } else { Vec::new() };
        Some(Msrp {
            path: vec![own],
            accept_types: self.config.accept_types.clone(),
            accept_wrapped_types: self.config.accept_wrapped_types.clone(),
            max_size: u64::try_from(self.config.max_size).ok(),
            setup: Some(setup),
            fingerprints,
        })
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        match input {
            Input::Accepted { connection, peer } => self.accepted(connection, peer, now, out),
            Input::Connected { connection, peer } => self.connected(connection, &peer, now, out),
            Input::ConnectFailed { connection, fault } => self.lose(connection, Ended::Unreachable(fault), now, out),
            Input::Bytes { connection, bytes } => self.bytes(connection, &bytes, now, out),
            Input::Written { connection, bytes } => self.written(connection, bytes, now, out),
            Input::Closed { connection } => self.lose(connection, Ended::Lost, now, out),
            Input::Open { session, terms } => self.open(session.0, *terms, now, out),
            Input::Send { session, message } => self.send(session.0, message, now, out),
            Input::Report { session, receipt, code } => self.report(session.0, receipt, code, now, out),
            Input::Close { session } => self.end(session.0, Ended::Closed, now, out),
            Input::DeadlinePassed => self.fire(now, out),
        }
        while let Some(at) = self.overrun.pop_first() {
            self.shut(at, Ended::Overrun, now, out);
        }
    }

    /// When the switch wants [`Input::DeadlinePassed`].
    pub fn deadline(&self) -> Option<Instant> {
        [self.sessions.deadline(), self.connections.deadline()].into_iter().flatten().min()
    }

    /// Sessions that have not ended.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Connections in both directions.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn fire(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(id) = self.sessions.due(now) {
            self.fire_session(id, now, out);
        }
        while let Some(id) = self.connections.due(now) {
            self.fire_connection(id, now, out);
        }
    }
}

#[cfg(test)]
mod any_sequence;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
