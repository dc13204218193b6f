//! One task per edge: dial, check, attach, read, and again (DESIGN section 2).

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use causeway_proto::link::v1 as proto;
use causeway_proto::link::v1::link_client::LinkClient;
use causeway_shared::link::convert::{self, FrameFault};
use causeway_shared::link::outgoing::Parts;
use causeway_shared::link::pool::PeerId;
use causeway_shared::link::recent::Arrival;
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{DEFAULT_WINDOW, MAX_FRAME_BYTES, PROTOCOL, PairContext};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::Stream;
use tonic::Status;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

use super::hub::{GatewayExtra, GatewayOutgoing};
use super::{LinkEvent, Receipt, Shared, StanzaIn};

/// How often names of edges are resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long TCP and TLS towards an edge may take together, and the first frame after that.
const ATTACH_PATIENCE: Duration = Duration::from_secs(10);

/// The pause after a lost or failed attachment, doubled each time up to the second value. An edge restarts in seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A silent edge is asked this often, and given up when it does not answer for [`KEEP_ALIVE_PATIENCE`].
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(10);

/// Flow control of HTTP/2: a full window of stanzas fits (measured, 4 MiB and 8 MiB).
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Contexts remembered of one edge; an edge numbers them below this.
const MAX_CONTEXTS: usize = 16_385;

/// Where an edge is: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EdgeAddress(pub String);

/// Keeps one task for each address that the configured names have.
pub(super) async fn dial_all(
    shared: Arc<Shared>,
    mut edges: watch::Receiver<Arc<Vec<EdgeAddress>>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut tasks: HashMap<SocketAddr, AbortHandle> = HashMap::new();
    loop {
        let names = Arc::clone(&edges.borrow_and_update());
        let (wanted, all_resolved) = resolve(&names).await;
        // A name that does not resolve right now takes nobody away.
        if all_resolved {
            tasks.retain(|address, task| {
                let keep = wanted.contains(address);
                if !keep {
                    task.abort();
                }
                keep
            });
        }
        for address in wanted {
            tasks.entry(address).or_insert_with(|| {
                tokio::spawn(keep_attached(Arc::clone(&shared), address, shutdown.clone())).abort_handle()
            });
        }
        tokio::select! {
            () = tokio::time::sleep(RESOLVE_INTERVAL) => {}
            changed = edges.changed() => if changed.is_err() { return },
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

async fn resolve(names: &[EdgeAddress]) -> (HashSet<SocketAddr>, bool) {
    let (mut found, mut all_resolved) = (HashSet::new(), true);
    for EdgeAddress(name) in names {
        match tokio::net::lookup_host(name.as_str()).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => {
                all_resolved = false;
                tracing::warn!(edge = name, %error, "the name of an edge does not resolve");
            }
        }
    }
    (found, all_resolved)
}

async fn keep_attached(shared: Arc<Shared>, address: SocketAddr, mut shutdown: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            ended = attach(&shared, address) => ended,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        // An attachment that held for a while was a success, whatever ended it.
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        match ended {
            Ok(()) => tracing::info!(edge = %address, "the edge ended the attachment"),
            Err(end) => tracing::warn!(edge = %address, %end, retry_in = ?pause, "not attached to the edge"),
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Up to a fifth less, so that a pool of gateways does not come back as one.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    let _without_jitter_it_works_too = getrandom::fill(&mut byte);
    pause - pause.mul_f32(f32::from(byte[0]) / 256.0 / 5.0)
}

/// Why an attachment failed or ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the edge did not answer within {ATTACH_PATIENCE:?}")]
    Silent,
    #[error("cannot connect: {}", whole(.0))]
    Connect(#[from] tonic::transport::Error),
    #[error("{0}")]
    Status(#[from] Status),
    #[error("the edge breaks the contract: {0}")]
    Frame(#[from] FrameFault),
    #[error("the edge breaks the contract: {0}")]
    Window(#[from] WindowFault),
    #[error("the gateway is stopping")]
    Stopping,
}

/// An error with its sources: the outermost alone only says that something is wrong.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn attach(shared: &Arc<Shared>, address: SocketAddr) -> Result<(), End> {
    let Some(snapshot) = shared.hub.snapshot() else { return Ok(()) };
    let connecting = Arc::clone(shared);
    let connector = service_fn(move |_: Uri| {
        let shared = Arc::clone(&connecting);
        async move { connect(&shared, address).await.map(TokioIo::new) }
    });
    // The authority is a formality: the connector dials and checks the certificate.
    let endpoint = Endpoint::from_static("http://edge.invalid")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_PATIENCE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let channel = endpoint.connect_with_connector(connector);
    let channel = tokio::time::timeout(ATTACH_PATIENCE, channel).await.map_err(|_| End::Silent)??;
    let mut client =
        LinkClient::new(channel).max_decoding_message_size(MAX_FRAME_BYTES).max_encoding_message_size(MAX_FRAME_BYTES);
    let outgoing = Arc::new(GatewayOutgoing::new(DEFAULT_WINDOW));
    let hello = proto::GatewayHello {
        protocol: PROTOCOL,
        gateway_id: shared.gateway_id.clone(),
        instance_id: shared.instance_id.clone(),
        window: DEFAULT_WINDOW,
    };
    outgoing.push_extra(GatewayExtra::Hello(hello, Some(convert::snapshot_to_proto(&snapshot))));
    let first = async {
        let mut frames = client.attach(Frames { outgoing: Arc::clone(&outgoing) }).await?.into_inner();
        let first = frames.message().await?;
        Ok::<_, Status>((frames, first))
    };
    let (mut frames, first) = tokio::time::timeout(ATTACH_PATIENCE, first).await.map_err(|_| End::Silent)??;
    let Some(mut first) = first else { return Ok(()) };
    let hello = first.hello.take().ok_or(FrameFault::Hello)?;
    if hello.protocol != PROTOCOL {
        return Err(FrameFault::Protocol(hello.protocol).into());
    }
    let name = hello.edge_id;
    tracing::info!(edge = name, %address, "attached to the edge");
    let (id, outcomes) = shared.hub.attach(&name, hello.window, Arc::clone(&outgoing), Instant::now());
    // From here on the edge must be detached whatever happens, also when this task is aborted.
    let attachment = Attachment { shared: Arc::clone(shared), id, name };
    // A snapshot that was published while we attached has to get out, too.
    if let Some(newest) = shared.hub.snapshot().filter(|newest| newest.version != snapshot.version) {
        outgoing.push_extra(GatewayExtra::Snapshot(convert::snapshot_to_proto(&newest)));
    }
    attachment.tell(LinkEvent::EdgeUp(attachment.name.clone())).await?;
    attachment.tell(LinkEvent::Outcomes(outcomes)).await?;
    let mut contexts = HashMap::new();
    attachment.take(first, &outgoing, &mut contexts).await?;
    while let Some(frame) = frames.message().await? {
        if frame.hello.is_some() {
            return Err(FrameFault::Hello.into());
        }
        attachment.take(frame, &outgoing, &mut contexts).await?;
    }
    Ok(())
}

async fn connect(shared: &Shared, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::clone(&shared.tls.borrow()));
    // The name is checked against the list of allowed names below, not against the address that was dialled.
    let stream = connector.connect(ServerName::IpAddress(address.ip().into()), socket).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.ok_or_else(|| io::Error::other("the edge presented no certificate"))?;
    let allowed = Arc::clone(&shared.allowed_edges.borrow());
    super::tls::allowed_name(certificate, &allowed).map_err(io::Error::other)?;
    Ok(stream)
}

/// An attachment that tells the hub when it is over, however it ends.
struct Attachment {
    shared: Arc<Shared>,
    id: PeerId,
    name: String,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let outcomes = self.shared.hub.detach(self.id, Instant::now());
        let (shared, name) = (Arc::clone(&self.shared), std::mem::take(&mut self.name));
        tokio::spawn(async move {
            let _engine_gone = shared.events.send(LinkEvent::EdgeDown(name)).await;
            let _engine_gone = shared.events.send(LinkEvent::Outcomes(outcomes)).await;
        });
    }
}

impl Attachment {
    async fn tell(&self, event: LinkEvent) -> Result<(), End> {
        let nothing = matches!(&event, LinkEvent::Outcomes(outcomes) if outcomes.is_empty());
        if nothing {
            return Ok(());
        }
        self.shared.events.send(event).await.map_err(|_| End::Stopping)
    }

    async fn take(
        &self,
        frame: proto::EdgeFrame,
        outgoing: &Arc<GatewayOutgoing>,
        contexts: &mut HashMap<u32, Arc<PairContext>>,
    ) -> Result<(), End> {
        for context in frame.contexts {
            let numbered = convert::context_from_proto(context)?;
            if contexts.len() >= MAX_CONTEXTS && !contexts.contains_key(&numbered.id) {
                return Err(FrameFault::Context(numbered.id).into());
            }
            contexts.insert(numbered.id, numbered.context);
        }
        if let Some(acks) = frame.acks {
            let failures = acks.failures.into_iter();
            let failures = failures.map(|failure| Ok((failure.seq, convert::failure_from_proto(failure)?)));
            let failures = failures.collect::<Result<Vec<_>, FrameFault>>()?;
            let outcomes = self.shared.hub.acknowledge(self.id, &acks.first_last, failures, Instant::now())?;
            self.tell(LinkEvent::Outcomes(outcomes)).await?;
        }
        if !frame.stanzas.is_empty() {
            outgoing.arrived(frame.stanzas.iter().map(|stanza| stanza.seq))?;
            let stanzas = frame.stanzas.into_iter();
            let stanzas =
                stanzas.map(|stanza| self.stanza(stanza, outgoing, contexts)).collect::<Result<Vec<_>, _>>()?;
            self.tell(LinkEvent::Stanzas(stanzas.into_iter().flatten().collect())).await?;
        }
        if !frame.verdicts.is_empty() {
            let verdicts =
                frame.verdicts.into_iter().map(convert::verdict_from_proto).collect::<Result<Vec<_>, _>>()?;
            self.tell(LinkEvent::Verdicts(verdicts)).await?;
        }
        Ok(())
    }

    /// A stanza for the engine; `None` if it is being worked on or was finished already.
    fn stanza(
        &self,
        frame: proto::Stanza,
        outgoing: &Arc<GatewayOutgoing>,
        contexts: &HashMap<u32, Arc<PairContext>>,
    ) -> Result<Option<StanzaIn>, FrameFault> {
        let context = contexts.get(&frame.context).cloned().ok_or(FrameFault::Context(frame.context))?;
        let seq = frame.seq;
        let stanza = convert::stanza_from_proto(frame)?;
        let key = (stanza.origin, stanza.key);
        let waiter = (Arc::clone(outgoing), seq);
        let arrival = self.shared.recent().arrived(key, stanza.redelivered, waiter, Instant::now());
        let (outgoing, seq) = match arrival {
            Arrival::New(waiter) => waiter,
            Arrival::InProgress => return Ok(None),
            Arrival::Finished((outgoing, seq), outcome) => {
                outgoing.finish([(seq, outcome)]);
                return Ok(None);
            }
        };
        Ok(Some(StanzaIn {
            kind: stanza.kind,
            from: stanza.from,
            to: stanza.to,
            xml: stanza.xml,
            context,
            origin: stanza.origin,
            key: stanza.key,
            redelivered: stanza.redelivered,
            trace: stanza.trace,
            arrived_ms: stanza.arrived_ms,
            receipt: Receipt { outgoing, seq, key },
        }))
    }
}

/// The frames to one edge: whatever waits, as soon as the connection takes a frame.
struct Frames {
    outgoing: Arc<GatewayOutgoing>,
}

impl Stream for Frames {
    type Item = proto::GatewayFrame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<proto::GatewayFrame>> {
        self.outgoing.poll_parts(cx).map(|parts| parts.map(frame))
    }
}

fn frame(parts: Parts<GatewayExtra>) -> proto::GatewayFrame {
    let (hello, snapshot, draining) = match parts.extra {
        Some(GatewayExtra::Hello(hello, snapshot)) => (Some(hello), snapshot, false),
        Some(GatewayExtra::Snapshot(snapshot)) => (None, Some(snapshot), false),
        Some(GatewayExtra::Draining) => (None, None, true),
        None => (None, None, false),
    };
    proto::GatewayFrame { hello, snapshot, stanzas: parts.stanzas, acks: parts.acks, draining }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_only_ever_shrinks_by_a_fifth() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(10));
            assert!(pause <= Duration::from_secs(10) && pause >= Duration::from_secs(8));
        }
    }
}
