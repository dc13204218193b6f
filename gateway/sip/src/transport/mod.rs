//! Sockets (RFC 3261 section 18): UDP, TCP and TLS with mutual authentication. The only module that names tokio.
//!
//! One task owns one connection or datagram socket. What they receive goes to the engine in batches by a bounded
//! [`Intake`]; what the engine sends goes to their bounded queues without waiting. A socket whose batches wait there is
//! not read; a full outbound queue is an answer at once: [`NotSent`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::endpoint::{Input, SendTag};
use crate::message::Message;
use crate::parse::ParseError;
use crate::target::{Destination, FlowId, Source, Target, TransportKind};
use crate::trust::TrustedPeers;

use self::intake::Entrance;
use self::places::{Limits, Places};

mod connect;
mod connection;
mod intake;
mod keepalive;
mod listen;
pub mod msrp;
mod places;
mod rarely;
pub mod tls;
mod udp;

pub use intake::Intake;
pub use keepalive::{PING_AFTER, PONG_PATIENCE};
pub use rarely::Rarely;

/// Messages in one batch at most.
pub const MAX_BATCH: usize = 128;
/// Messages that wait for one connection; beyond it sending fails at once.
pub const WRITE_QUEUE: usize = 4096;
/// Accepted connections at once; beyond it new ones are closed.
pub const MAX_ACCEPTED: usize = 4096;
/// Accepted connections from one address at once: more than the processes of any SIP server.
pub const MAX_ACCEPTED_PER_SOURCE: usize = 512;
/// Accepted connections at once from addresses that no configured peer can have. They are answered, with 403, because
/// most of them are peers that somebody forgot to configure; and they must not crowd out those that are configured.
pub const MAX_STRANGERS: usize = 64;
/// Connections opened by us at once; beyond it sending to a new target fails.
pub const MAX_OPENED: usize = 1024;
/// TLS handshakes of accepted connections at once.
pub const MAX_HANDSHAKES: usize = 256;
/// TLS handshakes of accepted connections from one address at once, those included that wait for one of
/// [`MAX_HANDSHAKES`]: a source that never speaks holds up others only a little.
pub const MAX_HANDSHAKES_PER_SOURCE: usize = 64;
/// How long a TCP connect may take.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
pub const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a write may make no progress.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a message may take from its first byte to its last.
pub const MESSAGE_PATIENCE: Duration = Duration::from_secs(10);
/// How long an accepted connection may take to bring its first message of a configured peer: pings alone, messages of
/// strangers, and silence hold a place no longer than that.
pub const PROOF_PATIENCE: Duration = Duration::from_secs(32);
/// How long a connection may be silent in both directions.
pub const IDLE_CLOSE: Duration = Duration::from_secs(900);
/// How long a connection whose framing is lost stays open, so that the answer gets out.
pub const LINGER: Duration = Duration::from_secs(1);

/// What the sockets are told.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Addresses to receive datagrams on.
    pub udp: Vec<SocketAddr>,
    /// Addresses to accept TCP on.
    pub tcp: Vec<SocketAddr>,
    /// Addresses to accept TLS on; needs `tls_server`.
    pub tls: Vec<SocketAddr>,
    /// The address that connections of ours come from, where the system's choice is not the one that peers know.
    pub source_ip: Option<IpAddr>,
    /// For accepted connections, see [`tls::server_config`]; each handshake takes the newest.
    pub tls_server: Option<watch::Receiver<Arc<rustls::ServerConfig>>>,
    /// For connections of ours, see [`tls::client_config`]; each handshake takes the newest.
    pub tls_client: Option<watch::Receiver<Arc<rustls::ClientConfig>>>,
    /// After how much time a connection of ours gets a ping, a little more for some.
    pub ping_after: Duration,
    /// How long a message may take from its first byte to its last: [`MESSAGE_PATIENCE`].
    pub message_patience: Duration,
    /// How long an accepted connection may take to bring its first message of a configured peer: [`PROOF_PATIENCE`].
    pub proof_patience: Duration,
    /// Who is [`Source::peer`]; each read takes the newest.
    pub peers: watch::Receiver<Arc<TrustedPeers>>,
}

impl TransportConfig {
    /// No listeners, no TLS: a start for the fields that matter.
    pub const fn new(peers: watch::Receiver<Arc<TrustedPeers>>) -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: Vec::new(),
            source_ip: None,
            tls_server: None,
            tls_client: None,
            ping_after: PING_AFTER,
            message_patience: MESSAGE_PATIENCE,
            proof_patience: PROOF_PATIENCE,
            peers,
        }
    }
}

/// What the sockets report.
#[derive(Debug)]
pub enum Inbound {
    /// A message came.
    Message {
        /// The message.
        message: Message,
        /// Where it came from.
        source: Source,
    },
    /// Something came that does not parse. On a stream whose framing is lost the connection closes soon.
    Malformed {
        /// Why, and what can be answered.
        error: ParseError,
        /// Where it came from.
        source: Source,
    },
    /// A message that was taken could not be written.
    Unsent {
        /// Its tag.
        tag: SendTag,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        flow: FlowId,
        /// What it was opened for, if it was ours; or a target that it served as well.
        target: Option<Target>,
        /// The last tag that was written on it whole.
        last: SendTag,
    },
    /// A connection of ours could not be opened; its messages follow as [`Inbound::Unsent`].
    Unreachable {
        /// What it was opened for.
        target: Target,
        /// Why.
        fault: ConnectFault,
    },
    /// An accepted connection failed before its first message.
    HandshakeFailed {
        /// Where it came from.
        remote: SocketAddr,
        /// Why.
        fault: ConnectFault,
    },
}

impl Inbound {
    /// What the endpoint has to hear of it.
    pub fn into_input(self) -> Option<Input> {
        match self {
            Self::Message { message, source } => Some(Input::Received { message, source }),
            Self::Malformed { error, source } => Some(Input::Malformed { error, source }),
            Self::Unsent { tag } => Some(Input::Unsent { tag }),
            Self::Closed { target: Some(target), last, .. } => Some(Input::Closed { target, last }),
            Self::Closed { target: None, .. } | Self::Unreachable { .. } | Self::HandshakeFailed { .. } => None,
        }
    }
}

/// Why a connection does not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFault {
    /// The connect failed: refused, no route.
    #[error("connect: {0}")]
    Connect(std::io::ErrorKind),
    /// No TCP connection within [`CONNECT_PATIENCE`].
    #[error("connect: timeout")]
    ConnectTimeout,
    /// The TLS handshake failed: certificate, name, version. The text is that of the TLS library.
    #[error("TLS: {0}")]
    Tls(Box<str>),
    /// No TLS within [`HANDSHAKE_PATIENCE`].
    #[error("TLS: timeout")]
    TlsTimeout,
    /// No client configuration for TLS.
    #[error("TLS is not configured")]
    NoTls,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The queue of the connection is full.
    #[error("the queue of the connection is full")]
    QueueFull,
    /// [`MAX_OPENED`] connections are open.
    #[error("too many connections")]
    TooManyConnections,
    /// The connection is gone and the response has no other way.
    #[error("the connection is gone")]
    FlowGone,
    /// No datagram socket fits, or the datagram was refused by the system.
    #[error("no socket takes the datagram")]
    NoSocket,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {transport}:{addr}: {error}")]
pub struct BindError {
    /// The transport.
    pub transport: TransportKind,
    /// The address.
    pub addr: SocketAddr,
    /// What the system says.
    #[source]
    pub error: std::io::Error,
}

/// A message in the queue of a connection.
#[derive(Debug)]
struct Queued {
    bytes: Bytes,
    tag: SendTag,
}

/// The connections that can be sent to. The senders live here and nowhere else, so that a connection that has left the
/// table can be sure to see the last of its queue.
#[derive(Debug, Default)]
struct Flows {
    queues: HashMap<FlowId, mpsc::Sender<Queued>>,
    by_target: HashMap<Target, FlowId>,
}

/// Names by which one accepted connection serves requests of ours.
const MAX_ALIASES: usize = 4;

/// What every task of the transports shares.
#[derive(Debug)]
struct Shared {
    flows: Mutex<Flows>,
    last_flow: AtomicU64,
    entrance: Entrance,
    peers: watch::Receiver<Arc<TrustedPeers>>,
    accepted: Arc<Places>,
    handshaking: Arc<Places>,
    handshakes: Arc<Semaphore>,
    ping_after: Duration,
    message_patience: Duration,
    proof_patience: Duration,
    /// Closed when the [`Transport`] is dropped.
    alive: watch::Receiver<()>,
}

impl Shared {
    fn next_flow(&self) -> FlowId {
        FlowId(self.last_flow.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets requests of ours take an accepted connection whose peer offers it (RFC 5923 section 8.2): only under TLS, and
    /// only for the names that its certificate bears. Gives the targets that it serves.
    fn offer_aliases(&self, source: &Source, sent_by_port: Option<u16>) -> Vec<Target> {
        let Some(certificate) = source.certificate.as_ref().filter(|_| source.peer.is_some()) else {
            return Vec::new();
        };
        let port = sent_by_port.unwrap_or_else(|| source.transport.default_port());
        let addr = SocketAddr::new(source.remote.ip(), port);
        let mut flows = self.flows();
        let mut served = Vec::new();
        for domain in certificate.domains.iter().take(MAX_ALIASES) {
            let target = Target { transport: source.transport, addr, name: Some(Arc::from(domain.as_str())) };
            if flows.by_target.len() < MAX_OPENED && !flows.by_target.contains_key(&target) {
                flows.by_target.insert(target.clone(), source.flow);
                served.push(target);
            }
        }
        served
    }

    /// Takes a connection out of the table; nothing can be added to its queue after this.
    fn forget(&self, flow: FlowId, targets: &[Target]) {
        let mut flows = self.flows();
        flows.queues.remove(&flow);
        for target in targets {
            if flows.by_target.get(target) == Some(&flow) {
                flows.by_target.remove(target);
            }
        }
    }
}

/// All sockets. Dropping it closes them.
#[derive(Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    sockets: Vec<udp::Socket>,
    listening: Vec<(TransportKind, SocketAddr)>,
    source_ip: Option<IpAddr>,
    tls_client: Option<watch::Receiver<Arc<rustls::ClientConfig>>>,
    _alive: watch::Sender<()>,
}

impl Transport {
    /// Binds everything and starts the tasks. What they receive comes out of the intake.
    pub async fn start(config: TransportConfig) -> Result<(Self, Intake), BindError> {
        let (entrance, intake) = intake::open();
        let (alive, alive_receiver) = watch::channel(());
        let shared = Arc::new(Shared {
            flows: Mutex::default(),
            last_flow: AtomicU64::new(0),
            entrance,
            peers: config.peers,
            accepted: Places::new(Limits {
                total: MAX_ACCEPTED,
                per_source: MAX_ACCEPTED_PER_SOURCE,
                strangers: MAX_STRANGERS,
            }),
            handshaking: Places::new(Limits {
                total: MAX_ACCEPTED,
                per_source: MAX_HANDSHAKES_PER_SOURCE,
                strangers: MAX_STRANGERS,
            }),
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            ping_after: config.ping_after,
            message_patience: config.message_patience,
            proof_patience: config.proof_patience,
            alive: alive_receiver,
        });
        let mut listening = Vec::new();
        let mut sockets = Vec::new();
        for addr in config.udp {
            let bound = async {
                let socket = Arc::new(udp::bind(addr).await?);
                let local = socket.local_addr()?;
                // Until the reactor has seen the socket once, sending without waiting would lose the datagram.
                socket.writable().await?;
                Ok(udp::Socket { flow: shared.next_flow(), local, socket })
            };
            let socket = bound.await.map_err(|error| BindError { transport: TransportKind::Udp, addr, error })?;
            listening.push((TransportKind::Udp, socket.local));
            tokio::spawn(udp::receive(socket.clone(), Arc::clone(&shared)));
            sockets.push(socket);
        }
        if let (Some(addr), None) = (config.tls.first(), &config.tls_server) {
            let error = std::io::Error::other("no certificate is configured");
            return Err(BindError { transport: TransportKind::Tls, addr: *addr, error });
        }
        let tcp = config.tcp.into_iter().map(|addr| (addr, None));
        let tls = config.tls.into_iter().filter_map(|addr| Some((addr, Some(config.tls_server.clone()?))));
        for (addr, tls) in tcp.chain(tls) {
            let transport = if tls.is_some() { TransportKind::Tls } else { TransportKind::Tcp };
            let error = |error| BindError { transport, addr, error };
            let listener = TcpListener::bind(addr).await.map_err(error)?;
            listening.push((transport, listener.local_addr().map_err(error)?));
            tokio::spawn(listen::accept(listener, tls, Arc::clone(&shared)));
        }
        let (source_ip, tls_client) = (config.source_ip, config.tls_client);
        Ok((Self { shared, sockets, listening, source_ip, tls_client, _alive: alive }, intake))
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub fn listening(&self) -> &[(TransportKind, SocketAddr)] {
        &self.listening
    }

    /// Connections in both directions.
    pub fn connections(&self) -> usize {
        self.shared.flows().queues.len()
    }

    /// Hands a message over without waiting. `Ok` means taken: should it not be written after all, [`Inbound::Unsent`]
    /// brings the tag back (unless that is [`SendTag::NONE`]).
    pub fn send(&self, to: Destination, bytes: Bytes, tag: SendTag) -> Result<(), NotSent> {
        let message = Queued { bytes, tag };
        match to {
            Destination::Target(target) => self.send_to_target(target, message),
            Destination::Reply { flow, remote, fallback } => {
                if let Some(socket) = self.sockets.iter().find(|socket| socket.flow == flow) {
                    return socket.send(remote, &message.bytes);
                }
                let offered = self.shared.flows().offer(flow, message);
                match (offered, fallback) {
                    (Ok(()), _) => Ok(()),
                    (Err(Offer::Gone(message)), Some(target)) => self.send_to_target(target, message),
                    (Err(Offer::Gone(_)), None) => Err(NotSent::FlowGone),
                    (Err(Offer::Full), _) => Err(NotSent::QueueFull),
                }
            }
        }
    }

    fn send_to_target(&self, target: Target, message: Queued) -> Result<(), NotSent> {
        if target.transport == TransportKind::Udp {
            let fits = |socket: &&udp::Socket| socket.local.is_ipv4() == target.addr.is_ipv4();
            let socket = self.sockets.iter().find(fits).ok_or(NotSent::NoSocket)?;
            return socket.send(target.addr, &message.bytes);
        }
        let mut flows = self.shared.flows();
        let message = match flows.by_target.get(&target).copied() {
            None => message,
            Some(flow) => match flows.offer(flow, message) {
                Ok(()) => return Ok(()),
                Err(Offer::Full) => return Err(NotSent::QueueFull),
                Err(Offer::Gone(message)) => message,
            },
        };
        if flows.by_target.len() >= MAX_OPENED {
            return Err(NotSent::TooManyConnections);
        }
        let (queue, receiver) = mpsc::channel(WRITE_QUEUE);
        let flow = self.shared.next_flow();
        flows.queues.insert(flow, queue);
        flows.by_target.insert(target.clone(), flow);
        // A new queue is empty, so this always succeeds.
        let _ = flows.offer(flow, message);
        drop(flows);
        let tls = self.tls_client.as_ref().map(|config| Arc::clone(&config.borrow()));
        tokio::spawn(connect::open(flow, target, receiver, self.source_ip, tls, Arc::clone(&self.shared)));
        Ok(())
    }
}

/// Why a queue did not take a message.
enum Offer {
    Full,
    Gone(Queued),
}

impl Flows {
    fn offer(&self, flow: FlowId, message: Queued) -> Result<(), Offer> {
        match self.queues.get(&flow).map(|queue| queue.try_reserve()) {
            Some(Ok(permit)) => {
                permit.send(message);
                Ok(())
            }
            Some(Err(mpsc::error::TrySendError::Full(()))) => Err(Offer::Full),
            Some(Err(mpsc::error::TrySendError::Closed(()))) | None => Err(Offer::Gone(message)),
        }
    }
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torture_tests;
