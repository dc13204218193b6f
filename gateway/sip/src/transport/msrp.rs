//! Sockets for MSRP (RFC 4975 section 5.4): listeners, connections of ours, TLS. What they carry is decided by
//! [`Switch`](crate::msrp::switch::Switch).
//!
//! One task owns one connection. What happens on it goes to the switch over one bounded channel; while that is full,
//! sockets are not read. What the switch writes goes to a bounded queue; a connection whose queue is full is closed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::msrp::switch::{Certificate, ConnectionId, Hop, Input, MAX_CONNECTIONS, Output, Peer};
use crate::target::TransportKind;
use crate::transport::listen::{ACCEPT_PAUSE, TlsServer, handshake};
use crate::transport::{BindError, ConnectFault, MAX_HANDSHAKES, Rarely, WRITE_QUEUE, connection as stream};

mod connection;
mod open;
mod tls;

pub use tls::{MsrpTls, msrp_tls};

/// Batches that wait for the switch; beyond it the sockets are not read.
const INBOUND_BATCHES: usize = 256;
/// How long a connection of ours may take from the look-up of the host to the end of the TLS handshake.
pub const OPEN_PATIENCE: Duration = Duration::from_secs(20);
/// Addresses of one host that are tried.
pub const MAX_ADDRESSES: usize = 4;

/// What the sockets are told.
#[derive(Debug, Default)]
pub struct MsrpConfig {
    /// Addresses to accept TCP on.
    pub tcp: Vec<SocketAddr>,
    /// Addresses to accept TLS on; needs `tls`.
    pub tls_listen: Vec<SocketAddr>,
    /// The address that connections of ours come from, where the system's choice is not the one that peers know.
    pub source_ip: Option<IpAddr>,
    /// For both directions; each handshake takes the newest.
    pub tls: Option<watch::Receiver<Arc<MsrpTls>>>,
}

/// All sockets. Dropping it closes them.
#[derive(Debug)]
pub struct MsrpTransport {
    shared: Arc<Shared>,
    listening: Vec<(TransportKind, SocketAddr)>,
    source_ip: Option<IpAddr>,
    tls: Option<watch::Receiver<Arc<MsrpTls>>>,
    _alive: watch::Sender<()>,
}

/// What every task shares.
#[derive(Debug)]
struct Shared {
    /// Where to write. The senders live here and nowhere else: a connection that is taken out ends when it has written
    /// what is in its queue.
    queues: Mutex<HashMap<ConnectionId, mpsc::Sender<Bytes>>>,
    last_accepted: AtomicU64,
    inbound: mpsc::Sender<Vec<Input>>,
    accepted: Arc<Semaphore>,
    handshakes: Semaphore,
    /// Closed when the [`MsrpTransport`] is dropped.
    alive: watch::Receiver<()>,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, HashMap<ConnectionId, mpsc::Sender<Bytes>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection one that can be written to.
    fn register(&self, id: ConnectionId) -> mpsc::Receiver<Bytes> {
        let (queue, receiver) = mpsc::channel(WRITE_QUEUE);
        self.queues().insert(id, queue);
        receiver
    }
}

impl MsrpTransport {
    /// Binds everything and starts the tasks. What they have to say to the switch comes out of the channel.
    pub async fn start(config: MsrpConfig) -> Result<(Self, mpsc::Receiver<Vec<Input>>), BindError> {
        let (inbound, receiver) = mpsc::channel(INBOUND_BATCHES);
        let (alive, alive_receiver) = watch::channel(());
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            last_accepted: AtomicU64::new(0),
            inbound,
            accepted: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            handshakes: Semaphore::new(MAX_HANDSHAKES),
            alive: alive_receiver,
        });
        if let (Some(addr), None) = (config.tls_listen.first(), &config.tls) {
            let error = std::io::Error::other("no certificate is configured");
            return Err(BindError { transport: TransportKind::Tls, addr: *addr, error });
        }
        let tcp = config.tcp.into_iter().map(|addr| (addr, None));
        let tls = config.tls_listen.into_iter().filter_map(|addr| Some((addr, Some(config.tls.clone()?))));
        let mut listening = Vec::new();
        for (addr, tls) in tcp.chain(tls) {
            let transport = if tls.is_some() { TransportKind::Tls } else { TransportKind::Tcp };
            let error = |error| BindError { transport, addr, error };
            let listener = TcpListener::bind(addr).await.map_err(error)?;
            listening.push((transport, listener.local_addr().map_err(error)?));
            tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        }
        let (source_ip, tls) = (config.source_ip, config.tls);
        Ok((Self { shared, listening, source_ip, tls, _alive: alive }, receiver))
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub fn listening(&self) -> &[(TransportKind, SocketAddr)] {
        &self.listening
    }

    /// Connections in both directions.
    pub fn connections(&self) -> usize {
        self.shared.queues().len()
    }

    /// Does what the switch asks, without waiting. Events are for its users and nothing to do here.
    pub fn perform(&self, output: Output) {
        match output {
            Output::Connect { connection, to } => self.connect(connection, to),
            Output::Write { connection, bytes } => {
                let mut queues = self.shared.queues();
                let is_full = queues.get(&connection).is_some_and(|queue| queue.try_send(bytes).is_err());
                if is_full {
                    // Its end is reported when it has written what it has.
                    queues.remove(&connection);
                }
            }
            Output::Close { connection } => {
                self.shared.queues().remove(&connection);
            }
            Output::Event { .. } => {}
        }
    }

    fn connect(&self, connection: ConnectionId, to: Hop) {
        let queue = self.shared.register(connection);
        let tls = self.tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
        tokio::spawn(open::open(connection, to, queue, self.source_ip, tls, Arc::clone(&self.shared)));
    }
}

/// Accepts until the transport is dropped.
async fn accept(listener: TcpListener, tls: Option<watch::Receiver<Arc<MsrpTls>>>, shared: Arc<Shared>) {
    let mut alive = shared.alive.clone();
    let mut full = Rarely::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = alive.changed() => return,
        };
        let (socket, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&shared.accepted).try_acquire_owned() else {
            if let Some(left_out) = full.now(Instant::now()) {
                tracing::warn!(%remote, left_out, "MSRP connection closed: too many accepted connections");
            }
            continue;
        };
        let tls = tls.as_ref().map(|tls| Arc::clone(&tls.borrow().server));
        tokio::spawn(serve(socket, remote, tls, Arc::clone(&shared), place));
    }
}

/// One accepted connection from handshake to end.
async fn serve(
    socket: TcpStream,
    remote: SocketAddr,
    tls: Option<TlsServer>,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
) {
    stream::prepare(&socket);
    let id = ConnectionId::Accepted(shared.last_accepted.fetch_add(1, Ordering::Relaxed) + 1);
    let mut peer = Peer { remote, is_secure: tls.is_some(), certificate: None };
    let Some(tls) = tls else {
        return connection::run(socket, Input::Accepted { connection: id, peer }, id, shared.register(id), shared)
            .await;
    };
    match handshake(socket, tls, &shared.handshakes).await {
        Ok(socket) => {
            let certificates = socket.get_ref().1.peer_certificates().unwrap_or_default();
            // We did not choose its host; what it proves is its key.
            peer.certificate = certificates
                .first()
                .map(|leaf| Certificate { der: Bytes::copy_from_slice(leaf), speaks_for_host: false });
            connection::run(socket, Input::Accepted { connection: id, peer }, id, shared.register(id), shared).await;
        }
        Err(fault) => tracing::debug!(%remote, %fault, "an MSRP peer's connection failed"),
    }
}

impl ConnectFault {
    /// What the switch hears of it.
    const fn for_switch(&self) -> crate::msrp::switch::ConnectFault {
        use crate::msrp::switch::ConnectFault as Said;
        match self {
            Self::Connect(_) => Said::Refused,
            Self::ConnectTimeout | Self::TlsTimeout => Said::Timeout,
            Self::Tls(_) | Self::NoTls => Said::Tls,
        }
    }
}

#[cfg(test)]
mod tests;
