//! One attachment to an edge: connect, check, say hello, then frames both ways until it ends.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use causeway_proto::link::v1 as proto;
use causeway_proto::link::v1::link_client::LinkClient;
use causeway_shared::link::convert::{self, FrameFault};
use causeway_shared::link::freshness::{AT_WORK_EVERY, Freshness};
use causeway_shared::link::outgoing::Parts;
use causeway_shared::link::pool::PeerId;
use causeway_shared::link::recent::Arrival;
use causeway_shared::link::tls::allowed_name;
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{DEFAULT_WINDOW, MAX_CONTEXTS, MAX_FRAME_BYTES, PROTOCOL, PairContext, Stanza, rendezvous};
use causeway_shared::telemetry::{self, Span, SpanKind};
use causeway_shared::verdict::facts::cut;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Interval;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};
use tower::service_fn;

use super::client::unix_ms;
use super::hub::{Detached, Edge, GatewayExtra, GatewayOutgoing};
use super::live::EdgeFacts;
use super::{Duty, EdgeProcess, LinkEvent, Parting, Receipt, Shared, StanzaIn};

/// How long TCP, TLS and the first frame may take together.
const ATTACH_PATIENCE: Duration = Duration::from_secs(10);

/// A silent edge is asked this often, and given up when it does not answer for [`KEEP_ALIVE_PATIENCE`].
/// Together well below the 25 and 30 seconds for which stanzas are held: what a silent peer had still goes to another.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a call that the edge has given up is still read for what became of ours: it lies in the socket already.
const STALE_PATIENCE: Duration = Duration::from_millis(500);

/// Flow control of HTTP/2: a full window of stanzas fits (measured, 4 MiB and 8 MiB).
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Why an attachment failed or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the edge did not answer within {ATTACH_PATIENCE:?}")]
    Silent,
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("{0}")]
    Name(String),
    #[error("the connection ended: {0}")]
    Http(String),
    #[error("the edge ended the call: {0}")]
    Call(String),
    #[error("the edge breaks the contract: {0}")]
    Frame(#[from] FrameFault),
    #[error("the edge breaks the contract: {0}")]
    Window(#[from] WindowFault),
    #[error("the edge acknowledges nothing any more")]
    Stalled,
    #[error("what arrived was sent long ago: the edge has given this call up")]
    Stale,
}

impl From<Status> for End {
    /// A status with a cause of its own was made on this side, of a broken connection; the others the edge has sent.
    fn from(status: Status) -> Self {
        match status.source() {
            Some(source) => Self::Http(with_causes(source)),
            None => Self::Call(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}

impl From<tonic::transport::Error> for End {
    fn from(error: tonic::transport::Error) -> Self {
        Self::Http(with_causes(&error))
    }
}

/// An error with what lies behind it; the layers of HTTP/2 say little by themselves.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Attaches to the edge and serves it until the attachment ends; `Ok` if that was in order.
pub(super) async fn attach(shared: &Arc<Shared>, address: SocketAddr) -> Result<(), End> {
    let mut stop = shared.stop.subscribe();
    let opened = tokio::select! {
        opened = open(shared, address) => opened?,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let Some(Opened { outgoing, mut frames, first, hello, told }) = opened else { return Ok(()) };
    let origin = rendezvous::name_hash(&hello.instance_id);
    let facts = EdgeFacts {
        name: hello.edge_id,
        address,
        build: cut(&hello.build),
        since_ms: unix_ms(),
        applied: first.snapshot_applied,
        is_draining: false,
    };
    tracing::info!(edge = facts.name, %address, "attached to the edge");
    let (name, end) = (facts.name.clone(), Arc::new(Notify::new()));
    let edge = Edge::new(facts, Arc::clone(&outgoing), Arc::clone(&end));
    let (id, outcomes) = shared.hub.attach(edge, hello.window, told, Instant::now());
    let process = EdgeProcess { name: name.clone(), origin };
    let _engine_gone = shared.events.send(LinkEvent::EdgeUp(process.clone())).await;
    shared.tell(outcomes).await;
    let mut attachment = Attachment {
        shared: Arc::clone(shared),
        id,
        outgoing,
        contexts: HashMap::new(),
        edge: name.as_str().into(),
        origin,
    };
    let (mut next, mut freshness) = (Ok(Some(first)), Freshness::new(Instant::now()));
    let mut ticks = tokio::time::interval(AT_WORK_EVERY);
    // Set when the edge has given this call up: then only what became of ours still counts.
    let mut stale_until = None;
    let ended = loop {
        // A frame is taken whole; only between frames may anything end it, so that nothing taken is lost.
        match next {
            Ok(Some(frame)) if stale_until.is_some() || freshness.is_stale(frame.sent_ms, Instant::now()) => {
                stale_until.get_or_insert_with(|| Instant::now() + STALE_PATIENCE);
                let told = proto::EdgeFrame { acks: frame.acks, ..proto::EdgeFrame::default() };
                if at_work(&mut freshness, &mut ticks, attachment.take(told)).await.is_err() {
                    break Err(End::Stale);
                }
            }
            Ok(None) | Err(_) if stale_until.is_some() => break Err(End::Stale),
            Ok(Some(frame)) => {
                if let Err(end) = at_work(&mut freshness, &mut ticks, attachment.take(frame)).await {
                    break Err(end);
                }
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(End::from(status)),
        }
        next = tokio::select! {
            message = frames.message() => message,
            () = end.notified() => break Err(End::Stalled),
            () = passed(stale_until) => break Err(End::Stale),
            _ = stop.wait_for(|stop| *stop) => break Ok(()),
        };
    };
    shared.probes.lost(id);
    shared.reports.lost(id);
    let Detached { outcomes, shown, is_draining } = shared.hub.detach(id, Instant::now());
    let parting = if ended.is_ok() && (is_draining || *stop.borrow()) {
        Parting::InOrder
    } else {
        let heard = attachment.contexts.into_values().map(|context| context.pair.remote.clone());
        Parting::Lost(heard.chain(shown).collect())
    };
    let _engine_gone = shared.events.send(LinkEvent::EdgeDown(process, parting)).await;
    shared.tell(outcomes).await;
    ended
}

/// Does the work, and notes meanwhile that this process is there: the engine may keep it waiting.
async fn at_work<T>(freshness: &mut Freshness, ticks: &mut Interval, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        let done = tokio::select! {
            // Most of it is done at once.
            biased;
            done = &mut work => Some(done),
            _ = ticks.tick() => None,
        };
        freshness.at_work(Instant::now());
        if let Some(done) = done {
            return done;
        }
    }
}

async fn passed(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

/// What an open attachment consists of.
struct Opened {
    outgoing: Arc<GatewayOutgoing>,
    frames: Streaming<proto::EdgeFrame>,
    first: proto::EdgeFrame,
    hello: proto::EdgeHello,
    /// The version of the snapshot that the edge was told.
    told: u64,
}

async fn open(shared: &Arc<Shared>, address: SocketAddr) -> Result<Option<Opened>, End> {
    let Some(snapshot) = shared.hub.snapshot().await else { return Ok(None) };
    let outgoing = Arc::new(GatewayOutgoing::new(DEFAULT_WINDOW));
    outgoing.say(|extra| {
        extra.hello = Some(proto::GatewayHello {
            protocol: PROTOCOL,
            gateway_id: shared.config.gateway_id.clone(),
            instance_id: shared.config.instance_id.clone(),
            window: DEFAULT_WINDOW,
        });
        extra.snapshot = Some(convert::snapshot_to_proto(&snapshot));
    });
    let call = async {
        let channel = channel(connect(shared, address).await?).await?;
        let mut client = LinkClient::new(channel)
            .max_decoding_message_size(MAX_FRAME_BYTES)
            .max_encoding_message_size(MAX_FRAME_BYTES);
        let mut frames = client.attach(Frames { outgoing: Arc::clone(&outgoing) }).await?.into_inner();
        let first = frames.message().await?;
        Ok::<_, End>((frames, first))
    };
    let (frames, first) = tokio::time::timeout(ATTACH_PATIENCE, call).await.map_err(|_| End::Silent)??;
    let Some(mut first) = first else { return Ok(None) };
    let hello = first.hello.take().ok_or(FrameFault::Hello)?;
    if hello.protocol != PROTOCOL {
        return Err(FrameFault::Protocol(hello.protocol).into());
    }
    Ok(Some(Opened { outgoing, frames, first, hello, told: snapshot.version }))
}

async fn connect(shared: &Shared, address: SocketAddr) -> Result<TlsStream<TcpStream>, End> {
    let socket = TcpStream::connect(address).await.map_err(End::Connect)?;
    socket.set_nodelay(true).map_err(End::Connect)?;
    let connector = TlsConnector::from(Arc::clone(&shared.config.tls.borrow()));
    // The name is checked against the list of allowed names, not against the address that was dialled.
    let stream = connector.connect(ServerName::IpAddress(address.ip().into()), socket).await.map_err(End::Tls)?;
    let allowed = Arc::clone(&shared.config.allowed_edges.borrow());
    allowed_name(stream.get_ref().1.peer_certificates(), &allowed).map_err(End::Name)?;
    Ok(stream)
}

/// HTTP/2 on a connection that is there already; it is not made a second time.
async fn channel(stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
    let mut stream = Some(TokioIo::new(stream));
    let connector = service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    // The authority is a formality.
    Endpoint::from_static("http://edge.invalid")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_PATIENCE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector(connector)
        .await
}

/// The reading side of an attachment.
struct Attachment {
    shared: Arc<Shared>,
    id: PeerId,
    outgoing: Arc<GatewayOutgoing>,
    contexts: HashMap<u32, Arc<PairContext>>,
    /// What the edge calls itself.
    edge: Arc<str>,
    /// The edge's process, which numbers its verdicts.
    origin: u64,
}

impl Attachment {
    async fn take(&mut self, frame: proto::EdgeFrame) -> Result<(), End> {
        if frame.hello.is_some() {
            return Err(FrameFault::Hello.into());
        }
        if frame.snapshot_applied > 0 {
            self.shared.hub.applied(self.id, frame.snapshot_applied);
        }
        if frame.draining {
            let outcomes = self.shared.hub.edge_drains(self.id, Instant::now());
            self.shared.tell(outcomes).await;
        }
        let mut partners = Vec::new();
        for context in frame.contexts {
            let numbered = convert::context_from_proto(context)?;
            if self.contexts.len() >= MAX_CONTEXTS && !self.contexts.contains_key(&numbered.id) {
                return Err(FrameFault::Context(numbered.id).into());
            }
            partners.push(numbered.context.pair.remote.clone());
            self.contexts.insert(numbered.id, numbered.context);
        }
        if !partners.is_empty() {
            let _engine_gone = self.shared.events.send(LinkEvent::Streams(self.origin, partners)).await;
        }
        if let Some(acks) = frame.acks {
            let failures = convert::failures_from_proto(acks.failures);
            let (outcomes, taken) = self.shared.hub.acknowledge(self.id, &acks.first_last, failures, Instant::now());
            self.shared.tell(outcomes).await;
            taken?;
        }
        if !frame.stanzas.is_empty() {
            let stanzas = self.stanzas(frame.stanzas)?;
            if !stanzas.is_empty() {
                let _engine_gone = self.shared.events.send(LinkEvent::Stanzas(stanzas)).await;
            }
        }
        for report in frame.probe_reports {
            self.shared.probes.take(self.id, convert::probe_part_from_proto(report)?);
        }
        if let Some(report) = frame.report {
            self.shared.reports.take(self.id, convert::report_part_from_proto(report));
        }
        for answer in frame.close_answers {
            self.shared.reports.closed(self.id, answer.id, answer.is_known);
        }
        if !frame.verdicts.is_empty() {
            // What a newer build says in words that this one does not know is in the edge's log.
            let verdicts = frame.verdicts.into_iter();
            let told = verdicts.filter_map(|verdict| convert::kept_from_proto(verdict, &self.edge, self.origin).ok());
            let news = self.shared.verdicts.merge(told);
            if !news.is_empty() {
                let _engine_gone = self.shared.events.send(LinkEvent::Verdicts(news)).await;
            }
        }
        Ok(())
    }

    /// The stanzas for the engine: not those that it works on or has finished already.
    fn stanzas(&self, frames: Vec<proto::Stanza>) -> Result<Vec<StanzaIn>, End> {
        self.outgoing.arrived(frames.iter().map(|stanza| stanza.seq))?;
        let stanzas = frames.into_iter().map(|frame| {
            let context = self.contexts.get(&frame.context).cloned().ok_or(FrameFault::Context(frame.context))?;
            Ok((frame.seq, context, convert::stanza_from_proto(frame)?))
        });
        let stanzas = stanzas.collect::<Result<Vec<_>, FrameFault>>()?;
        let (mut new, mut known) = (Vec::with_capacity(stanzas.len()), Vec::new());
        let now = Instant::now();
        let mut recent = self.shared.recent();
        for (seq, context, stanza) in stanzas {
            match recent.arrived((stanza.origin, stanza.key), (Arc::clone(&self.outgoing), seq), now) {
                Arrival::New((outgoing, seq)) => new.push(self.stanza(stanza, context, outgoing, seq)),
                Arrival::InProgress => {}
                Arrival::Finished((_, seq), outcome) => known.push((seq, outcome)),
            }
        }
        drop(recent);
        if !known.is_empty() {
            self.outgoing.finish(known);
        }
        Ok(new)
    }

    fn stanza(&self, stanza: Stanza, context: Arc<PairContext>, outgoing: Arc<GatewayOutgoing>, seq: u64) -> StanzaIn {
        let duty = Duty { shared: Arc::clone(&self.shared), outgoing };
        let mut span = Span::below_remote(stanza.trace, "stanza process", SpanKind::Consumer);
        if span.is_recorded() {
            span.set("causeway.stanza", stanza.kind.as_str());
            span.set("causeway.partner", context.pair.remote.as_str().to_owned());
            span.set("causeway.link.peer", self.edge.to_string());
            span.set("causeway.redelivered", stanza.redelivered);
            telemetry::tell_address(&mut span, "causeway.from", stanza.from.bare_str());
            telemetry::tell_address(&mut span, "causeway.to", stanza.to.bare_str());
        }
        StanzaIn {
            kind: stanza.kind,
            from: stanza.from,
            to: stanza.to,
            xml: stanza.xml,
            edge: Arc::clone(&self.edge),
            context,
            origin: stanza.origin,
            key: stanza.key,
            redelivered: stanza.redelivered,
            trace: span.context_or(stanza.trace),
            arrived_ms: stanza.arrived_ms,
            receipt: Receipt { seq, key: (stanza.origin, stanza.key), duty: Some(duty), span },
        }
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
    let GatewayExtra { hello, snapshot, draining, probes, report_requests, close_requests } = parts.extra;
    proto::GatewayFrame {
        hello,
        snapshot,
        stanzas: parts.stanzas,
        acks: parts.acks,
        draining,
        probes,
        report_requests,
        close_requests,
        sent_ms: unix_ms(),
    }
}
