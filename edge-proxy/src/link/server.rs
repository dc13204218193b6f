//! The gRPC server that gateways attach to: mutual TLS, one bidirectional stream per gateway.
//!
//! The edge never dials inwards. A gateway is let in when its certificate is signed by the link's authority and bears
//! one of the allowed names. What breaks the contract ends the call with a status that says how.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use causeway_proto::link::v1 as proto;
use causeway_proto::link::v1::link_server::{Link, LinkServer};
use causeway_shared::link::convert::FrameFault;
use causeway_shared::link::outgoing::Parts;
use causeway_shared::link::pool::PeerId;
use causeway_shared::link::recent::{Arrival, Recent};
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{DEFAULT_WINDOW, MAX_FRAME_BYTES, Outcome, PROTOCOL, Stanza, convert, rendezvous};
use causeway_shared::verdict::{Direction, Rung, Side, Verdict};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, Server};
use tonic::{Request, Response, Status, Streaming};

use super::hub::{EdgeExtra, EdgeOutgoing, Hub, NO_GATEWAY, Undelivered};
use super::{AckHandle, Bouncer, LinkEnd, Outbound, OutboundStanza};

/// TLS handshakes of gateways at once.
const HANDSHAKES: usize = 16;

/// How long a gateway may take for its TLS handshake, and for its first frame.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// A silent gateway is asked this often, and given up when it does not answer for [`KEEP_ALIVE_PATIENCE`].
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(10);

/// Flow control of HTTP/2: a full window of stanzas fits (measured, 4 MiB and 8 MiB).
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Longest name a gateway may give itself.
const MAX_NAME: usize = 255;

/// How often the backlog is looked through for what must be given up.
const EXPIRY_TICK: Duration = Duration::from_millis(500);

/// What the server is told.
pub struct LinkConfig {
    /// Our name, stable over restarts.
    pub edge_id: String,
    /// A name for this process.
    pub instance_id: String,
    /// Where gateways attach.
    pub listen: SocketAddr,
    /// Certificate, key and authority; each handshake takes the newest. See [`super::tls::server_config`].
    pub tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    /// The DNS names of which a gateway's certificate must bear one.
    pub allowed_gateways: watch::Receiver<Arc<Vec<String>>>,
}

/// A running link.
pub struct LinkServerHandle {
    /// The attached gateways.
    pub hub: Arc<Hub>,
    /// Where it listens.
    pub listening: SocketAddr,
    /// Ends when the server has.
    pub task: tokio::task::JoinHandle<()>,
}

/// Binds and serves until `shutdown` becomes true.
pub async fn start(
    config: LinkConfig,
    end: LinkEnd,
    outbound: Arc<dyn Outbound>,
    bouncer: Arc<dyn Bouncer>,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<LinkServerHandle> {
    let listener = TcpListener::bind(config.listen).await?;
    let listening = listener.local_addr()?;
    let hub = Arc::new(Hub::new(rendezvous::name_hash(&config.instance_id)));
    let (incoming, connections) = mpsc::channel(HANDSHAKES);
    let LinkEnd { batches, verdicts, snapshots, has_gateway } = end;
    let service = Arc::new(Service {
        edge_id: config.edge_id,
        instance_id: config.instance_id,
        hub: Arc::clone(&hub),
        outbound,
        bouncer,
        snapshots,
        has_gateway,
        recent: Mutex::default(),
        attached: Mutex::default(),
    });
    tokio::spawn(accept(listener, config.tls, config.allowed_gateways, incoming, shutdown.clone()));
    tokio::spawn(Arc::clone(&service).route(batches));
    tokio::spawn(Arc::clone(&service).forward_verdicts(verdicts));
    tokio::spawn(Arc::clone(&service).expire(shutdown.clone()));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_PATIENCE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let grpc = LinkServer::new(Attachments(Arc::clone(&service)))
        .max_decoding_message_size(MAX_FRAME_BYTES)
        .max_encoding_message_size(MAX_FRAME_BYTES);
    let task = tokio::spawn(async move {
        let closing = Arc::clone(&service);
        let stop = async move {
            let _sender_gone_is_shutdown = shutdown.wait_for(|stop| *stop).await;
            closing.close_all();
        };
        if let Err(error) = server.serve_with_incoming_shutdown(grpc, ReceiverStream::new(connections), stop).await {
            tracing::error!(%error, "the link server ended");
        }
    });
    Ok(LinkServerHandle { hub, listening, task })
}

/// Accepts connections and gives those of allowed gateways to the gRPC server.
async fn accept(
    listener: TcpListener,
    tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    allowed: watch::Receiver<Arc<Vec<String>>>,
    incoming: mpsc::Sender<io::Result<GatewayConnection>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: waiting is all that helps.
                tracing::warn!(%error, "cannot accept a gateway");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let (allowed, incoming) = (Arc::clone(&allowed.borrow()), incoming.clone());
        tokio::spawn(async move {
            match shake_hands(socket, peer, &acceptor, &allowed).await {
                Ok(connection) => {
                    let _server_gone_is_shutdown = incoming.send(Ok(connection)).await;
                }
                Err(cause) => refuse(peer, &cause),
            }
            drop(permit);
        });
    }
}

async fn shake_hands(
    socket: TcpStream,
    peer: SocketAddr,
    acceptor: &TlsAcceptor,
    allowed: &[String],
) -> Result<GatewayConnection, String> {
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(socket))
        .await
        .map_err(|_| format!("no TLS handshake within {HANDSHAKE_PATIENCE:?}"))?
        .map_err(|error| error.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let certificate = certificate.ok_or("no certificate")?;
    let name = super::tls::allowed_name(certificate, allowed)?;
    Ok(GatewayConnection { stream, peer: GatewayPeer { name, address: peer } })
}

fn refuse(peer: SocketAddr, cause: &str) {
    Verdict {
        rung: Rung::Link,
        side: Side::Operator,
        cause: format!("a gateway was not let in: {cause}"),
        remedy:
            "Check the gateway's link certificate: its authority must be the link's, and one of its DNS names must \
                 stand in allowed_gateways."
                .to_owned(),
        partner: String::new(),
        direction: Direction::In,
        peer: Some(peer),
        at_ms: crate::clock::unix_ms(),
    }
    .log();
}

struct Service {
    edge_id: String,
    instance_id: String,
    hub: Arc<Hub>,
    outbound: Arc<dyn Outbound>,
    bouncer: Arc<dyn Bouncer>,
    snapshots: watch::Sender<Arc<super::Snapshot>>,
    has_gateway: watch::Sender<bool>,
    recent: Mutex<Recent<(Arc<EdgeOutgoing>, u64)>>,
    attached: Mutex<Vec<Arc<EdgeOutgoing>>>,
}

struct Attachments(Arc<Service>);

#[tonic::async_trait]
impl Link for Attachments {
    type AttachStream = Frames;

    async fn attach(&self, request: Request<Streaming<proto::GatewayFrame>>) -> Result<Response<Frames>, Status> {
        let peer = request.extensions().get::<GatewayPeer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("the connection has no peer"))?;
        let outgoing = Arc::new(EdgeOutgoing::new(DEFAULT_WINDOW));
        outgoing.push_extra(EdgeExtra::Hello(proto::EdgeHello {
            protocol: PROTOCOL,
            edge_id: self.0.edge_id.clone(),
            instance_id: self.0.instance_id.clone(),
            window: DEFAULT_WINDOW,
        }));
        let (status_in, status) = tokio::sync::oneshot::channel();
        let service = Arc::clone(&self.0);
        let (frames, reader) = (request.into_inner(), Arc::clone(&outgoing));
        tokio::spawn(async move {
            let ended = service.serve(&peer, frames, &reader).await;
            if let Err(end) = &ended {
                tracing::warn!(gateway = peer.name, peer = %peer.address, %end, "a gateway's attachment ended");
            }
            let _gone = status_in.send(ended.err().map(|end| end.status()));
            reader.close();
        });
        Ok(Response::new(Frames { outgoing, status: Some(status) }))
    }
}

/// Why an attachment ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("no first frame within {HANDSHAKE_PATIENCE:?}")]
    Silent,
    #[error("the connection broke: {0}")]
    Broken(Status),
    #[error("the gateway breaks the contract: {0}")]
    Frame(#[from] FrameFault),
    #[error("the gateway breaks the contract: {0}")]
    Window(#[from] WindowFault),
}

impl End {
    fn status(&self) -> Status {
        match self {
            Self::Silent => Status::deadline_exceeded(self.to_string()),
            Self::Broken(status) => status.clone(),
            Self::Frame(FrameFault::Protocol(_)) => Status::failed_precondition(self.to_string()),
            Self::Frame(_) | Self::Window(_) => Status::invalid_argument(self.to_string()),
        }
    }
}

impl Service {
    async fn serve(
        self: &Arc<Self>,
        peer: &GatewayPeer,
        mut frames: Streaming<proto::GatewayFrame>,
        outgoing: &Arc<EdgeOutgoing>,
    ) -> Result<(), End> {
        let first = tokio::time::timeout(HANDSHAKE_PATIENCE, frames.message()).await.map_err(|_| End::Silent)?;
        let Some(mut first) = first.map_err(End::Broken)? else { return Ok(()) };
        let hello = first.hello.take().ok_or(FrameFault::Hello)?;
        if hello.protocol != PROTOCOL {
            return Err(FrameFault::Protocol(hello.protocol).into());
        }
        let name: String = hello.gateway_id.chars().take(MAX_NAME).collect();
        tracing::info!(gateway = name, certificate = peer.name, peer = %peer.address, "a gateway attached");
        // The snapshot comes with the hello: it has to be in force before the gateway counts as one.
        if let Some(snapshot) = first.snapshot.take() {
            self.apply(snapshot, outgoing)?;
        }
        let id = self.hub.attach(&name, hello.window, Arc::clone(outgoing));
        self.attachments().push(Arc::clone(outgoing));
        self.announce();
        let ended = self.read(id, first, &mut frames, outgoing).await;
        self.attachments().retain(|other| !Arc::ptr_eq(other, outgoing));
        self.hub.detach(id);
        self.announce();
        tracing::info!(gateway = name, "a gateway detached");
        ended
    }

    async fn read(
        self: &Arc<Self>,
        id: PeerId,
        first: proto::GatewayFrame,
        frames: &mut Streaming<proto::GatewayFrame>,
        outgoing: &Arc<EdgeOutgoing>,
    ) -> Result<(), End> {
        self.take(id, first, outgoing)?;
        while let Some(frame) = frames.message().await.map_err(End::Broken)? {
            if frame.hello.is_some() {
                return Err(FrameFault::Hello.into());
            }
            self.take(id, frame, outgoing)?;
        }
        Ok(())
    }

    fn take(self: &Arc<Self>, id: PeerId, frame: proto::GatewayFrame, outgoing: &Arc<EdgeOutgoing>) -> Result<(), End> {
        if let Some(snapshot) = frame.snapshot {
            self.apply(snapshot, outgoing)?;
        }
        if frame.draining {
            self.hub.drain(id);
            self.announce();
        }
        if let Some(acks) = frame.acks {
            let failures = acks.failures.into_iter();
            let failures = failures.map(|failure| Ok((failure.seq, convert::failure_from_proto(failure)?)));
            let failures = failures.collect::<Result<Vec<_>, FrameFault>>()?;
            self.settle(self.hub.acknowledge(id, &acks.first_last, failures)?);
        }
        if !frame.stanzas.is_empty() {
            outgoing.arrived(frame.stanzas.iter().map(|stanza| stanza.seq))?;
            for stanza in frame.stanzas {
                let seq = stanza.seq;
                self.deliver(seq, convert::stanza_from_proto(stanza)?, outgoing);
            }
        }
        Ok(())
    }

    /// Hands a gateway's stanza to the streams, once.
    fn deliver(self: &Arc<Self>, seq: u64, stanza: Stanza, outgoing: &Arc<EdgeOutgoing>) {
        let key = (stanza.origin, stanza.key);
        let waiter = (Arc::clone(outgoing), seq);
        let arrival = self.recent().arrived(key, stanza.redelivered, waiter, Instant::now());
        let (outgoing, seq) = match arrival {
            Arrival::New(waiter) => waiter,
            Arrival::InProgress => return,
            Arrival::Finished((outgoing, seq), outcome) => return outgoing.finish([(seq, outcome)]),
        };
        let service = Arc::clone(self);
        let ack = AckHandle::new(move |outcome: Outcome| {
            let others = service.recent().finished(key, &outcome, Instant::now());
            for (other, seq) in others {
                other.finish([(seq, outcome.clone())]);
            }
            outgoing.finish([(seq, outcome)]);
        });
        self.outbound.deliver(OutboundStanza {
            kind: stanza.kind,
            from: stanza.from,
            to: stanza.to,
            xml: stanza.xml,
            patience: stanza.patience,
            trace: stanza.trace,
            ack,
        });
    }

    /// Takes a snapshot that is newer than the one in force.
    fn apply(&self, frame: proto::Snapshot, outgoing: &EdgeOutgoing) -> Result<(), FrameFault> {
        let snapshot = convert::snapshot_from_proto(frame)?;
        let version = snapshot.version;
        let newer = self.snapshots.send_if_modified(|current| {
            let newer = version > current.version;
            if newer {
                *current = Arc::new(snapshot);
            }
            newer
        });
        if newer {
            tracing::info!(version, "a new snapshot is in force");
        }
        outgoing.push_extra(EdgeExtra::Applied(self.snapshots.borrow().version));
        Ok(())
    }

    fn announce(&self) {
        let ready = self.hub.ready_gateways() > 0;
        self.has_gateway.send_if_modified(|current| std::mem::replace(current, ready) != ready);
    }

    async fn route(self: Arc<Self>, mut batches: mpsc::Receiver<super::Batch>) {
        while let Some(batch) = batches.recv().await {
            let undelivered = self.hub.submit(batch, Instant::now()).await;
            self.settle(undelivered);
        }
    }

    async fn forward_verdicts(self: Arc<Self>, mut verdicts: mpsc::Receiver<Verdict>) {
        while let Some(verdict) = verdicts.recv().await {
            let verdict = convert::verdict_to_proto(&verdict);
            for outgoing in self.attachments().iter() {
                outgoing.push_verdict(verdict.clone());
            }
        }
    }

    async fn expire(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(EXPIRY_TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => self.settle(self.hub.expire(Instant::now())),
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Bounces what no gateway took. What a gateway failed was bounced by it; here it only leaves its verdict.
    fn settle(&self, undelivered: Vec<Undelivered>) {
        for Undelivered { stanza, failure, context } in undelivered {
            let (side, cause) = match &failure {
                Some(failure) => (Side::Ours, failure.text.clone()),
                None => (Side::Operator, "no gateway took the stanza in time".to_owned()),
            };
            Verdict {
                rung: Rung::Link,
                side,
                cause,
                remedy: "Check that gateways run and are attached to this edge.".to_owned(),
                partner: context.pair.remote.as_str().to_owned(),
                direction: Direction::In,
                peer: context.peer_address.parse().ok(),
                at_ms: crate::clock::unix_ms(),
            }
            .log();
            if failure.is_none() {
                self.bouncer.bounce(stanza, NO_GATEWAY, "the gateway is not available");
            }
        }
    }

    fn close_all(&self) {
        for outgoing in self.attachments().iter() {
            outgoing.close();
        }
    }

    fn attachments(&self) -> std::sync::MutexGuard<'_, Vec<Arc<EdgeOutgoing>>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent<(Arc<EdgeOutgoing>, u64)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The frames to one gateway: whatever waits, as soon as the connection takes a frame.
pub struct Frames {
    outgoing: Arc<EdgeOutgoing>,
    /// Why the other direction ended; told after the last frame.
    status: Option<tokio::sync::oneshot::Receiver<Option<Status>>>,
}

impl Stream for Frames {
    type Item = Result<proto::EdgeFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.outgoing.poll_parts(cx) {
            Poll::Ready(Some(parts)) => Poll::Ready(Some(Ok(frame(parts)))),
            Poll::Ready(None) => {
                let status = self.status.take().and_then(|mut status| status.try_recv().ok()).flatten();
                Poll::Ready(status.map(Err))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

fn frame(parts: Parts<EdgeExtra>) -> proto::EdgeFrame {
    let (hello, snapshot_applied) = match parts.extra {
        Some(EdgeExtra::Hello(hello)) => (Some(hello), 0),
        Some(EdgeExtra::Applied(version)) => (None, version),
        None => (None, 0),
    };
    proto::EdgeFrame {
        hello,
        snapshot_applied,
        contexts: parts.contexts,
        stanzas: parts.stanzas,
        acks: parts.acks,
        verdicts: parts.verdicts,
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
struct GatewayPeer {
    name: String,
    address: SocketAddr,
}

struct GatewayConnection {
    stream: TlsStream<TcpStream>,
    peer: GatewayPeer,
}

impl Connected for GatewayConnection {
    type ConnectInfo = GatewayPeer;

    fn connect_info(&self) -> GatewayPeer {
        self.peer.clone()
    }
}

impl AsyncRead for GatewayConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for GatewayConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
