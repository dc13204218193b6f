//! One attached gateway: its hello, its frames, and what they mean to the streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use causeway_proto::link::v1 as proto;
use causeway_proto::link::v1::link_server::Link;
use causeway_shared::domain::DomainName;
use causeway_shared::link::convert::{self, FrameFault};
use causeway_shared::link::freshness::Freshness;
use causeway_shared::link::pool::PeerId;
use causeway_shared::link::recent::{Arrival, Recent, StanzaKey};
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{EDGE_WINDOW, Outcome, PROTOCOL, Snapshot, Stanza};
use causeway_shared::live::{self, PART, Subject};
use causeway_shared::telemetry::{Span, SpanKind};
use causeway_shared::verdict::{Code, Direction, Facts, Verdict};
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::sync::{oneshot, watch};
use tonic::{Request, Response, Status, Streaming};

use super::frames::Frames;
use super::hub::{EdgeOutgoing, GatewayPeer, Hub, Returned};
use super::pending::Undelivered;
use super::server::HANDSHAKE_PATIENCE;
use super::{AckHandle, Bouncer, Outbound, OutboundStanza, Parts, Reporter};

/// Longest name a gateway may give itself.
const MAX_NAME: usize = 255;

/// Gateways attached at once; a pool has a few.
const MAX_GATEWAYS: usize = 256;

/// What all attachments share.
pub(super) struct Service {
    pub(super) edge_id: String,
    pub(super) instance_id: String,
    pub(super) hub: Arc<Hub>,
    pub(super) outbound: Arc<dyn Outbound>,
    pub(super) bouncer: Arc<dyn Bouncer>,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) has_gateway: watch::Sender<bool>,
    pub(super) allowed: watch::Receiver<Arc<Vec<String>>>,
    /// What gateways sent lately, and whom to tell how it ended.
    pub(super) recent: Mutex<Recent<Acknowledge>>,
}

/// A stanza of a gateway that has to be acknowledged: on which call, under which number.
pub(super) type Acknowledge = (Arc<EdgeOutgoing>, u64);

/// The gRPC service.
pub(super) struct Attachments(pub(super) Arc<Service>);

/// Why an attachment ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("no first frame within {HANDSHAKE_PATIENCE:?}")]
    Silent,
    #[error("more than {MAX_GATEWAYS} gateways")]
    TooMany,
    #[error("the name {0} is allowed no more")]
    Stranger(String),
    #[error("what arrived was sent long ago: the gateway has given this call up")]
    Stale,
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
            Self::Silent | Self::Stale => Status::deadline_exceeded(self.to_string()),
            Self::TooMany => Status::resource_exhausted(self.to_string()),
            Self::Stranger(_) => Status::permission_denied(self.to_string()),
            Self::Broken(status) => status.clone(),
            Self::Frame(FrameFault::Protocol(_)) => Status::failed_precondition(self.to_string()),
            Self::Frame(_) | Self::Window(_) => Status::invalid_argument(self.to_string()),
        }
    }
}

#[tonic::async_trait]
impl Link for Attachments {
    type AttachStream = Frames;

    async fn attach(&self, request: Request<Streaming<proto::GatewayFrame>>) -> Result<Response<Frames>, Status> {
        let peer = request.extensions().get::<GatewayPeer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("the connection has no peer"))?;
        let outgoing = Arc::new(EdgeOutgoing::new(EDGE_WINDOW));
        let hello = proto::EdgeHello {
            protocol: PROTOCOL,
            edge_id: self.0.edge_id.clone(),
            instance_id: self.0.instance_id.clone(),
            window: EDGE_WINDOW,
            build: env!("CARGO_PKG_VERSION").to_owned(),
        };
        outgoing.say(|extra| extra.hello = Some(hello));
        let (status_in, status) = oneshot::channel();
        let service = Arc::clone(&self.0);
        let (frames, writer) = (request.into_inner(), Arc::clone(&outgoing));
        tokio::spawn(async move {
            let ended = service.serve(&peer, frames, &writer).await;
            if let Err(end) = &ended {
                tracing::warn!(gateway = peer.certificate_name, peer = %peer.address, %end, "a gateway's call ended");
            }
            let _gone = status_in.send(ended.err().map(|end| end.status()));
            writer.close();
        });
        Ok(Response::new(Frames { outgoing, status: Some(status) }))
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
        if self.hub.gateways().len() >= MAX_GATEWAYS {
            return Err(End::TooMany);
        }
        let name: String = hello.gateway_id.chars().take(MAX_NAME).collect();
        // The snapshot comes with the hello: it has to be in force before the gateway counts as one.
        if let Some(snapshot) = first.snapshot.take() {
            self.apply(snapshot, outgoing)?;
        }
        let id = self.hub.attach(&name, hello.window, peer.clone(), Arc::clone(outgoing));
        tracing::info!(gateway = name, certificate = peer.certificate_name, peer = %peer.address, "a gateway attached");
        self.announce();
        // The list may have changed since the handshake; from here on a change finds this gateway.
        let is_allowed = self.allowed.borrow().contains(&peer.certificate_name);
        let ended = if is_allowed {
            self.read(id, first, &mut frames, outgoing).await
        } else {
            Err(End::Stranger(peer.certificate_name.clone()))
        };
        self.detach(id);
        tracing::info!(gateway = name, peer = %peer.address, "a gateway detached");
        ended
    }

    async fn read(
        self: &Arc<Self>,
        id: PeerId,
        first: proto::GatewayFrame,
        frames: &mut Streaming<proto::GatewayFrame>,
        outgoing: &Arc<EdgeOutgoing>,
    ) -> Result<(), End> {
        let mut freshness = Freshness::new(Instant::now());
        let _the_first_is_the_measure = freshness.is_stale(first.sent_ms, Instant::now());
        self.take(id, first, outgoing)?;
        freshness.at_work(Instant::now());
        while let Some(frame) = frames.message().await.map_err(End::Broken)? {
            if frame.hello.is_some() {
                return Err(FrameFault::Hello.into());
            }
            if freshness.is_stale(frame.sent_ms, Instant::now()) {
                return Err(End::Stale);
            }
            self.take(id, frame, outgoing)?;
            freshness.at_work(Instant::now());
        }
        Ok(())
    }

    fn take(self: &Arc<Self>, id: PeerId, frame: proto::GatewayFrame, outgoing: &Arc<EdgeOutgoing>) -> Result<(), End> {
        if let Some(snapshot) = frame.snapshot {
            self.apply(snapshot, outgoing)?;
        }
        if frame.draining {
            self.hub.gateway_drains(id);
            self.announce();
        }
        if let Some(acks) = frame.acks {
            let failures = convert::failures_from_proto(acks.failures);
            self.settle(self.hub.acknowledge(id, &acks.first_last, failures)?);
        }
        if !frame.stanzas.is_empty() {
            self.deliver(frame.stanzas, outgoing)?;
        }
        for request in frame.probes {
            let request = convert::probe_request_from_proto(request);
            let reporter = Reporter::new(request.id, Arc::clone(outgoing));
            self.outbound.probe(request, reporter);
        }
        for request in frame.report_requests {
            // What a newer gateway wants to know is not answered.
            if let Some(request) = convert::report_request_from_proto(request) {
                let parts = self.report(request);
                outgoing.say(|extra| extra.reports.add(parts));
            }
        }
        for request in frame.close_requests {
            let close = convert::close_from_proto(request);
            let is_known = self.outbound.close_stream(close.number, close.reason);
            outgoing.say(|extra| extra.answer(proto::CloseAnswer { id: close.id, is_known }));
        }
        Ok(())
    }

    /// A report of the streams; one of queues begins with what waits for gateways.
    fn report(&self, request: live::Request) -> Parts {
        let waiting = match request.subject {
            Subject::Streams => BTreeMap::new(),
            Subject::Queues => self.hub.waiting(Instant::now()),
        };
        let queues = waiting.into_iter().map(|(remote, waiting)| live::Queue {
            direction: Direction::In,
            partner: self.partner_of(&remote).unwrap_or_else(|| remote.as_str().to_owned()),
            remote: remote.as_str().to_owned(),
            local: String::new(),
            waiting,
            most_stanzas: 0,
            most_bytes: 0,
        });
        let asked_for = |queue: &live::Queue| request.partner.is_empty() || request.partner == queue.partner;
        let queues: Vec<_> = queues.filter(asked_for).collect();
        let id = request.id;
        let first: Vec<_> = queues
            .chunks(PART)
            .map(|queues| live::Part { id, queues: queues.to_vec(), ..live::Part::default() })
            .collect();
        Box::new(first.into_iter().chain(self.outbound.report(request)))
    }

    /// Hands a gateway's stanzas to the streams, each once.
    fn deliver(self: &Arc<Self>, frames: Vec<proto::Stanza>, outgoing: &Arc<EdgeOutgoing>) -> Result<(), End> {
        outgoing.arrived(frames.iter().map(|stanza| stanza.seq))?;
        let stanzas = frames.into_iter().map(|frame| Ok((frame.seq, convert::stanza_from_proto(frame)?)));
        let stanzas = stanzas.collect::<Result<Vec<_>, FrameFault>>()?;
        let (mut new, mut known) = (Vec::with_capacity(stanzas.len()), Vec::new());
        let now = Instant::now();
        let mut recent = self.recent();
        for (seq, stanza) in stanzas {
            let key = (stanza.origin, stanza.key);
            match recent.arrived(key, (Arc::clone(outgoing), seq), now) {
                Arrival::New(acknowledge) => new.push(self.outbound(stanza, key, acknowledge)),
                Arrival::InProgress => {}
                Arrival::Finished((_, seq), outcome) => known.push((seq, outcome)),
            }
        }
        drop(recent);
        if !known.is_empty() {
            outgoing.finish(known);
        }
        for stanza in new {
            self.outbound.deliver(stanza);
        }
        Ok(())
    }

    fn outbound(self: &Arc<Self>, stanza: Stanza, key: StanzaKey, acknowledge: Acknowledge) -> OutboundStanza {
        let service = Arc::clone(self);
        let ack = AckHandle::new(move |outcome: Outcome| {
            let others = service.recent().finished(key, &outcome, Instant::now());
            for (other, seq) in others {
                other.finish([(seq, outcome.clone())]);
            }
            let (outgoing, seq) = acknowledge;
            outgoing.finish([(seq, outcome)]);
        });
        let mut span = Span::below_remote(stanza.trace, "xmpp send", SpanKind::Client);
        span.set("causeway.stanza", stanza.kind.as_str());
        span.set_text("causeway.partner", stanza.to.domain());
        OutboundStanza {
            kind: stanza.kind,
            from: stanza.from,
            to: stanza.to,
            xml: stanza.xml,
            patience: stanza.patience,
            span,
            ack,
        }
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
        let applied = self.snapshots.borrow().version;
        if newer {
            tracing::info!(version, "a new snapshot is in force");
            self.announce();
            self.hub.applied(applied);
        } else if version < applied {
            tracing::warn!(version, applied, "a gateway offered an older snapshot than the one in force");
        }
        outgoing.say(|extra| extra.applied = extra.applied.max(applied));
        Ok(())
    }

    /// Tells the streams whether there is a gateway to work for.
    fn announce(&self) {
        let ready = self.hub.ready_gateways() > 0 && self.snapshots.borrow().version > 0;
        self.has_gateway.send_if_modified(|current| std::mem::replace(current, ready) != ready);
    }

    /// Ends an attachment; its stanzas go elsewhere.
    pub(super) fn detach(&self, id: PeerId) {
        self.hub.detach(id);
        self.announce();
    }

    /// Bounces what no gateway took, and parts with gateways that stalled. What a gateway did not deliver it has answered
    /// itself; here that only leaves a verdict.
    pub(super) fn settle(&self, returned: Returned) {
        for Undelivered { mut stanza, failure, context } in returned.undelivered {
            let told = failure.as_ref().and_then(|failure| failure.verdict.clone());
            let verdict = told.unwrap_or_else(|| {
                let (code, cause) = match &failure {
                    Some(failure) => {
                        (Code::StanzaNotDelivered, format!("{}: {}", failure.condition.as_str(), failure.text))
                    }
                    None => (Code::LinkNotTaken, "no gateway took the stanza in time".to_owned()),
                };
                let partner = self.partner_of(&context.pair.remote);
                let facts = Facts {
                    domain: context.pair.remote.as_str().to_owned(),
                    is_partner: partner.is_some(),
                    local: context.pair.local.as_str().to_owned(),
                    stream_id: context.stream_id.clone(),
                    ..Facts::default()
                };
                Verdict {
                    partner: partner.unwrap_or_else(|| facts.domain.clone()),
                    peer: context.peer_address.parse().ok(),
                    at_ms: crate::clock::unix_ms(),
                    facts: Some(Box::new(facts)),
                    ..Verdict::of(code, cause)
                }
            });
            if failure.is_some() {
                verdict.log();
            } else {
                self.hub.report(verdict);
                let receipt = stanza.receipt.take();
                self.bouncer.bounce(stanza, NO_GATEWAY, "the gateway is not available");
                receipt.into_iter().for_each(super::Receipt::finish);
            }
        }
        for id in returned.stalled {
            tracing::error!(gateway = id.0, "a gateway acknowledges nothing any more; its stanzas go elsewhere");
            self.detach(id);
        }
    }

    /// The primary domain of the partner that a domain belongs to.
    fn partner_of(&self, domain: &DomainName) -> Option<String> {
        let snapshot = self.snapshots.borrow();
        let found =
            snapshot.partners.iter().find(|known| known.domain == *domain || known.additional_domains.contains(domain));
        found.map(|partner| partner.domain.as_str().to_owned())
    }

    fn recent(&self) -> MutexGuard<'_, Recent<Acknowledge>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the sender of a stanza hears that no gateway took.
const NO_GATEWAY: StanzaCondition = StanzaCondition::RemoteServerTimeout;
