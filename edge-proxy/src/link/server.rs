//! The gRPC server that gateways attach to: mutual TLS, one bidirectional stream per gateway.
//!
//! The edge never dials inwards. A gateway is let in when its certificate is signed by the link's authority and bears
//! one of the allowed names, and it is parted with when its name is allowed no more. What breaks the contract ends the
//! call with a status that says how.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use causeway_proto::link::v1::link_server::LinkServer;
use causeway_shared::link::MAX_FRAME_BYTES;
use causeway_shared::link::tls::allowed_name;
use causeway_shared::verdict::{Code, Verdict};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Server;

use super::attach::{Attachments, Service};
use super::frames::GatewayConnection;
use super::hub::{GatewayPeer, Hub};
use super::{Bouncer, LinkCore, Outbound};

/// TLS handshakes of gateways at once.
const HANDSHAKES: usize = 64;

/// How long a gateway may take for its TLS handshake, and for its first frame.
pub(super) const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);

/// A silent gateway is asked this often, and given up when it does not answer for [`KEEP_ALIVE_PATIENCE`].
/// Together well below the 25 and 30 seconds for which stanzas are held: what a silent peer had still goes to another.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Flow control of HTTP/2: a full window of stanzas fits (measured, 4 MiB and 8 MiB).
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Calls on one connection; a gateway makes one.
const CALLS: u32 = 4;

/// How often what waits is looked through for what must be given up.
const EXPIRY_TICK: Duration = Duration::from_millis(250);

/// How often verdicts that were held back are looked for.
const VERDICT_TICK: Duration = Duration::from_secs(1);

/// What the server is told.
pub struct LinkConfig {
    /// Our name, stable over restarts.
    pub edge_id: String,
    /// Where gateways attach.
    pub listen: SocketAddr,
    /// Certificate, key and authority; each handshake takes the newest. See [`causeway_shared::link::tls`].
    pub tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    /// The DNS names of which a gateway's certificate must bear one.
    pub allowed_gateways: watch::Receiver<Arc<Vec<String>>>,
}

/// A running link.
pub struct LinkServerHandle {
    /// Where it listens.
    pub listening: SocketAddr,
    /// Ends when the server has, after all attachments.
    pub task: tokio::task::JoinHandle<()>,
}

/// Binds and serves until `shutdown` becomes true.
pub async fn start(
    config: LinkConfig,
    core: LinkCore,
    outbound: Arc<dyn Outbound>,
    bouncer: Arc<dyn Bouncer>,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<LinkServerHandle> {
    let listener = TcpListener::bind(config.listen).await?;
    let listening = listener.local_addr()?;
    let (incoming, connections) = mpsc::channel(HANDSHAKES);
    let LinkCore { hub, instance_id, snapshots, has_gateway } = core;
    let service = Arc::new(Service {
        edge_id: config.edge_id,
        instance_id,
        hub,
        outbound,
        bouncer,
        snapshots,
        has_gateway,
        allowed: config.allowed_gateways.clone(),
        recent: Mutex::default(),
    });
    let door = Door {
        hub: Arc::clone(&service.hub),
        tls: config.tls,
        allowed: config.allowed_gateways.clone(),
        incoming,
        handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
    };
    tokio::spawn(door.accept(listener, shutdown.clone()));
    tokio::spawn(part_with_strangers(Arc::clone(&service), config.allowed_gateways, shutdown.clone()));
    tokio::spawn(keep(Arc::clone(&service), shutdown.clone()));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_PATIENCE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CALLS);
    let grpc = LinkServer::new(Attachments(service))
        .max_decoding_message_size(MAX_FRAME_BYTES)
        .max_encoding_message_size(MAX_FRAME_BYTES);
    let task = tokio::spawn(async move {
        let stop = async move {
            let _sender_gone_is_shutdown = shutdown.wait_for(|stop| *stop).await;
        };
        if let Err(error) = server.serve_with_incoming_shutdown(grpc, ReceiverStream::new(connections), stop).await {
            tracing::error!(%error, "the link server ended");
        }
    });
    Ok(LinkServerHandle { listening, task })
}

/// Accepts connections and gives those of allowed gateways to the gRPC server.
struct Door {
    hub: Arc<Hub>,
    tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    allowed: watch::Receiver<Arc<Vec<String>>>,
    incoming: mpsc::Sender<io::Result<GatewayConnection>>,
    handshakes: Arc<Semaphore>,
}

impl Door {
    async fn accept(self, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: waiting is all that helps.
                    tracing::warn!(%error, "cannot accept a gateway");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.handshakes).acquire_owned().await else { return };
            let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.borrow()));
            let (allowed, incoming) = (Arc::clone(&self.allowed.borrow()), self.incoming.clone());
            let hub = Arc::clone(&self.hub);
            tokio::spawn(async move {
                match shake_hands(socket, address, &acceptor, &allowed).await {
                    Ok(connection) => {
                        let _server_gone_is_shutdown = incoming.send(Ok(connection)).await;
                    }
                    Err(cause) => refuse(&hub, address, &cause),
                }
                drop(permit);
            });
        }
    }
}

async fn shake_hands(
    socket: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
    allowed: &[String],
) -> Result<GatewayConnection, String> {
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(socket))
        .await
        .map_err(|_| format!("no TLS handshake within {HANDSHAKE_PATIENCE:?}"))?
        .map_err(|error| error.to_string())?;
    let certificate_name = allowed_name(stream.get_ref().1.peer_certificates(), allowed)?;
    Ok(GatewayConnection { stream, peer: GatewayPeer { certificate_name, address } })
}

fn refuse(hub: &Hub, address: SocketAddr, cause: &str) {
    let verdict = Verdict {
        peer: Some(address),
        at_ms: crate::clock::unix_ms(),
        ..Verdict::of(Code::LinkRefused, format!("a gateway was not let in: {cause}"))
    };
    hub.report(verdict);
}

/// Ends the attachments of gateways whose name is allowed no more.
async fn part_with_strangers(
    service: Arc<Service>,
    mut allowed: watch::Receiver<Arc<Vec<String>>>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            changed = allowed.changed() => if changed.is_err() { return },
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        let names = Arc::clone(&allowed.borrow_and_update());
        for (id, peer) in service.hub.gateways() {
            if !names.contains(&peer.certificate_name) {
                refuse(&service.hub, peer.address, &format!("the name {} is allowed no more", peer.certificate_name));
                service.detach(id);
            }
        }
    }
}

/// Looks after what waits, and at the end closes the attachments: not the gRPC server, which does not hear of the end
/// when its connections have run out first.
async fn keep(service: Arc<Service>, mut shutdown: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(EXPIRY_TICK);
    let mut verdicts = tokio::time::interval(VERDICT_TICK);
    loop {
        tokio::select! {
            _ = verdicts.tick() => service.hub.tell_overdue(crate::clock::unix_ms()),
            _ = tick.tick() => service.settle(service.hub.expire(Instant::now())),
            _ = shutdown.wait_for(|stop| *stop) => return service.hub.close(),
        }
    }
}
