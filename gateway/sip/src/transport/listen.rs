//! Accepting TCP and TLS. The handshake runs in the task of the connection, so that a silent client blocks nobody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::target::{FlowId, Source, TransportKind};
use crate::transport::connection::{self, Connection};
use crate::transport::places::Place;
use crate::transport::{ConnectFault, HANDSHAKE_PATIENCE, Inbound, Queued, Rarely, Shared, WRITE_QUEUE, tls};

/// A pause after an error of the listening socket, such as too many open files.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long an accepted connection waits for one of the handshake places.
const HANDSHAKE_QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// What one handshake takes.
pub(super) type TlsServer = Arc<rustls::ServerConfig>;

/// The places of one accepted connection.
struct Entered {
    _place: Place,
    /// Until its handshake is over.
    handshaking: Option<Place>,
}

/// Accepts until the transport is dropped.
pub(super) async fn accept(listener: TcpListener, tls: Option<watch::Receiver<TlsServer>>, shared: Arc<Shared>) {
    let mut alive = shared.alive.clone();
    let mut full = Rarely::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = alive.changed() => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let is_stranger = !shared.peers.borrow().may_come_from(remote.ip());
        let place = shared.accepted.enter(remote.ip(), is_stranger).and_then(|place| {
            let handshaking = tls.as_ref().map(|_| shared.handshaking.enter(remote.ip(), is_stranger)).transpose()?;
            Ok(Entered { _place: place, handshaking })
        });
        let entered = match place {
            Ok(entered) => entered,
            Err(no_place) => {
                if let Some(left_out) = full.now(Instant::now()) {
                    tracing::warn!(%remote, %no_place, left_out, "connection closed");
                }
                continue;
            }
        };
        let tls = tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
        tokio::spawn(serve(stream, remote, tls, Arc::clone(&shared), entered));
    }
}

/// One accepted connection from handshake to end.
async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<TlsServer>,
    shared: Arc<Shared>,
    mut entered: Entered,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    connection::prepare(&stream);
    let transport = if tls.is_some() { TransportKind::Tls } else { TransportKind::Tcp };
    let mut source = Source { flow: FlowId(0), transport, local, remote, certificate: None, peer: None };
    let Some(tls) = tls else {
        let (flow, queue) = register(&shared);
        source.flow = flow;
        return Connection::new(stream, source, None, queue, shared).run().await;
    };
    let shaken = handshake(stream, tls, &shared.handshakes).await;
    drop(entered.handshaking.take());
    match shaken {
        Ok(stream) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            source.certificate = certificates.first().map(|leaf| Arc::new(tls::identities(leaf)));
            let (flow, queue) = register(&shared);
            source.flow = flow;
            Connection::new(stream, source, None, queue, shared).run().await;
        }
        Err(fault) => {
            tracing::debug!(%remote, %fault, "handshake failed");
            let _ = shared.entrance.tell(vec![Inbound::HandshakeFailed { remote, fault }]).await;
        }
    }
}

/// The handshake of an accepted connection, as soon as there is a place for it.
pub(super) async fn handshake(
    stream: TcpStream,
    tls: TlsServer,
    places: &Semaphore,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, ConnectFault> {
    let place = tokio::time::timeout(HANDSHAKE_QUEUE_PATIENCE, places.acquire()).await;
    let Ok(Ok(_place)) = place else {
        return Err(ConnectFault::TlsTimeout);
    };
    let acceptor = TlsAcceptor::from(tls);
    match tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(ConnectFault::Tls(error.to_string().into())),
        Err(_) => Err(ConnectFault::TlsTimeout),
    }
}

/// Makes the connection known, so that responses find it.
fn register(shared: &Shared) -> (FlowId, mpsc::Receiver<Queued>) {
    let (queue, receiver) = mpsc::channel(WRITE_QUEUE);
    let flow = shared.next_flow();
    shared.flows().queues.insert(flow, queue);
    (flow, receiver)
}
