//! The gateway's end of the link: it dials every edge, attaches, takes what partners sent and sends what they get.
//!
//! [`Links`] is what the engine holds. Each edge has a task that dials, attaches and reads; it comes back after any
//! loss with a growing pause. Stanzas of a lost edge go to another or wait, within their patience. A stanza that an
//! edge sends again is not worked on twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::domain::DomainName;
use causeway_shared::jid::Jid;
use causeway_shared::link::fullness::WindowFacts;
use causeway_shared::link::recent::{Recent, StanzaKey};
pub use causeway_shared::link::{Failure, Outcome, PairContext, Snapshot, StanzaKind, TraceContext};
pub use causeway_shared::probe::Report;
use causeway_shared::telemetry::Span;
use tokio::sync::{mpsc, watch};

use crate::verdicts::{News, Verdicts};

mod attach;
mod client;
mod hub;
pub mod live;
mod probes;
mod reports;

pub use client::EdgeAddress;
pub use hub::StanzaOut;
use hub::{GatewayOutgoing, Hub, Outcomes};
pub use live::{
    Answer, Certificate, CloseReason, EdgeFacts, EdgeQueue, EdgeQueues, EdgeStreams, LinkLoad, LivePair, LiveStream,
    PartnerCertificate, PartnerLoad, Queues, SnapshotEffect, StreamDirection, StreamState, Waiting,
    partner_certificates,
};
pub use probes::ProbeFault;
use probes::Probes;
pub use reports::CloseFault;
use reports::Reports;

/// Events that wait for the engine; beyond it the edges are not read.
const EVENTS: usize = 256;

/// How often what waits is looked through for what must be given up.
const EXPIRY_TICK: Duration = Duration::from_millis(250);

/// How often [`Links::shut_down`] looks whether everything is finished.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// How long the edges may take to part.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// What the link is told.
pub struct LinkConfig {
    /// Our name, stable over restarts: the edges' hash uses it.
    pub gateway_id: String,
    /// A name for this process.
    pub instance_id: String,
    /// The edges; names are resolved again and again, and each address is an edge.
    pub edges: watch::Receiver<Arc<Vec<EdgeAddress>>>,
    /// Certificate, key and authority; each attempt takes the newest. See [`causeway_shared::link::tls`].
    pub tls: watch::Receiver<Arc<rustls::ClientConfig>>,
    /// The DNS names of which an edge's certificate must bear one.
    pub allowed_edges: watch::Receiver<Arc<Vec<String>>>,
}

/// What the engine learns.
#[derive(Debug)]
pub enum LinkEvent {
    /// Stanzas of partners, in order.
    Stanzas(Vec<StanzaIn>),
    /// Stanzas of ours that ended, by key.
    Outcomes(Vec<(u64, Outcome)>),
    /// Something that partners' operators or ours should know; it is kept and logged already.
    Verdicts(Vec<News>),
    /// Partners have opened streams to this process of an edge, or are heard by them for the first time.
    Streams(u64, Vec<DomainName>),
    /// An edge took us in.
    EdgeUp(EdgeProcess),
    /// An edge is gone.
    EdgeDown(EdgeProcess, Parting),
}

/// An edge, and which of its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeProcess {
    /// What the edge calls itself, over restarts.
    pub name: String,
    /// Names the process, as [`StanzaIn::origin`] does.
    pub origin: u64,
}

/// How an attachment to an edge ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parting {
    /// The edge was about to end, and has closed its streams; or this side ends.
    InOrder,
    /// Without a word: the edge may have died. These partners have sent something by it, or have been sent presence.
    Lost(BTreeSet<DomainName>),
}

/// A partner's stanza.
#[derive(Debug)]
pub struct StanzaIn {
    /// Its kind.
    pub kind: StanzaKind,
    /// Its sender, one of theirs.
    pub from: Jid,
    /// Its addressee, one of ours.
    pub to: Jid,
    /// The canonical form.
    pub xml: Bytes,
    /// The edge that it came from.
    pub edge: Arc<str>,
    /// How the edge came to believe it.
    pub context: Arc<PairContext>,
    /// The edge process that made `key`.
    pub origin: u64,
    /// The same on every delivery.
    pub key: u64,
    /// Whether another gateway may have worked on it.
    pub redelivered: bool,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// When it reached the edge, in Unix milliseconds.
    pub arrived_ms: u64,
    /// The duty to tell the edge how it ended.
    pub receipt: Receipt,
}

/// The duty to tell an edge how a stanza ended: given back with [`Links::finish`], exactly once. One that is dropped
/// instead leaves the stanza to be sent again, to this gateway or another, when the edge's call ends.
#[must_use]
pub struct Receipt {
    seq: u64,
    /// The stanza.
    key: StanzaKey,
    /// Until it is discharged.
    duty: Option<Duty>,
    /// What this gateway does for the stanza, if its trace is chosen.
    span: Span,
}

struct Duty {
    shared: Arc<Shared>,
    outgoing: Arc<GatewayOutgoing>,
}

impl Receipt {
    /// A receipt that tells nobody, for stanzas that come from no edge: those of tests and measurements of the engine.
    pub const fn of_nobody(key: StanzaKey) -> Self {
        Self { seq: key.1, key, duty: None, span: Span::NONE }
    }

    /// What is done for the stanza belongs to this trace.
    pub fn trace(&self) -> TraceContext {
        self.span.context()
    }

    /// The stanza is answered with this error: its trace says so, though telling the sender is the duty's end.
    pub fn refused(&mut self, condition: &'static str) {
        self.span.set("causeway.condition", condition);
        self.span.fail(condition);
    }

    /// The stanza it is for: who numbered it, and the number.
    pub const fn stanza_key(&self) -> StanzaKey {
        self.key
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipt({})", self.seq)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(Duty { shared, .. }) = self.duty.take() {
            self.span.fail("dropped unfinished");
            tracing::debug!("a partner's stanza was dropped unfinished; its edge sends it again");
            shared.recent().abandoned(self.key);
        }
    }
}

/// The link. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

struct Shared {
    hub: Hub,
    /// What edges sent lately, and whom to tell how it ended.
    recent: Mutex<Recent<Acknowledge>>,
    verdicts: Arc<Verdicts>,
    probes: Probes,
    reports: Reports,
    events: mpsc::Sender<LinkEvent>,
    config: LinkConfig,
    /// True ends all attachments and dials no more.
    stop: watch::Sender<bool>,
}

/// A stanza of an edge that has to be acknowledged: on which call, under which number.
type Acknowledge = (Arc<GatewayOutgoing>, u64);

impl Shared {
    fn recent(&self) -> MutexGuard<'_, Recent<Acknowledge>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the engine what ended. An engine that is gone needs to know nothing.
    async fn tell(&self, outcomes: Outcomes) {
        if !outcomes.is_empty() {
            let _engine_gone = self.events.send(LinkEvent::Outcomes(outcomes)).await;
        }
    }
}

impl Links {
    /// Starts dialling. Nothing is attached before a snapshot is published. When `shutdown` becomes true everything ends
    /// where it stands; [`Links::shut_down`] before that ends it in order.
    pub fn start(config: LinkConfig, mut shutdown: watch::Receiver<bool>) -> (Self, mpsc::Receiver<LinkEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared {
            hub: Hub::new(&config.instance_id),
            recent: Mutex::default(),
            verdicts: Arc::default(),
            probes: Probes::default(),
            reports: Reports::default(),
            events,
            config,
            stop: watch::Sender::new(false),
        });
        tokio::spawn(client::dial_all(Arc::clone(&shared)));
        tokio::spawn(expire(Arc::clone(&shared)));
        let stopping = Arc::clone(&shared);
        tokio::spawn(async move {
            let _sender_gone_is_shutdown = shutdown.wait_for(|stop| *stop).await;
            stopping.stop.send_replace(true);
        });
        (Self { shared }, receiver)
    }

    /// Sends stanzas to partners. Outcomes that are known at once are returned; all others come as events.
    pub fn send(&self, stanzas: Vec<StanzaOut>) -> Vec<(u64, Outcome)> {
        self.shared.hub.send(stanzas, Instant::now())
    }

    /// Tells the edges how stanzas ended.
    pub fn finish(&self, receipts: impl IntoIterator<Item = (Receipt, Outcome)>) {
        let now = Instant::now();
        // By call: nearly always one.
        let mut calls: Vec<(Arc<GatewayOutgoing>, Outcomes)> = Vec::new();
        let mut add = |(outgoing, seq): Acknowledge, outcome: Outcome| match calls
            .iter_mut()
            .find(|(call, _)| Arc::ptr_eq(call, &outgoing))
        {
            Some((_, outcomes)) => outcomes.push((seq, outcome)),
            None => calls.push((outgoing, vec![(seq, outcome)])),
        };
        // Collected before the lock is taken: a receipt that the iterator drops takes it, too.
        let receipts: Vec<_> = receipts.into_iter().collect();
        let mut recent = self.shared.recent();
        for (mut receipt, outcome) in receipts {
            match &outcome {
                Outcome::Done => receipt.span.succeed(),
                Outcome::Failed(failure) => receipt.span.fail(failure.condition.as_str()),
            }
            let (seq, key, Some(Duty { outgoing, .. })) = (receipt.seq, receipt.key, receipt.duty.take()) else {
                continue;
            };
            for other in recent.finished(key, &outcome, now) {
                add(other, outcome.clone());
            }
            add((outgoing, seq), outcome);
        }
        drop(recent);
        for (outgoing, outcomes) in calls {
            outgoing.finish(outcomes);
        }
    }

    /// Puts a snapshot in force on all edges.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.shared.hub.publish(snapshot);
    }

    /// Asks the edges for no new stanzas.
    pub fn drain(&self) {
        self.shared.hub.drain();
    }

    /// Ends in order: asks the edges for no new stanzas, lets everything under way finish, for at most `patience`, and
    /// parts. What is not finished then, the edges send to another gateway.
    pub async fn shut_down(&self, patience: Duration) {
        let give_up_at = Instant::now() + patience;
        self.drain();
        while self.load() != (0, 0, 0) && Instant::now() < give_up_at {
            tokio::time::sleep(DRAIN_TICK).await;
        }
        self.shared.hub.close();
        // The last acknowledgements are on their way; each edge ends its call when it has them.
        let close_by = Instant::now() + CLOSE_PATIENCE;
        while self.shared.hub.count() > 0 && Instant::now() < close_by {
            tokio::time::sleep(DRAIN_TICK).await;
        }
        self.shared.stop.send_replace(true);
    }

    /// How many edges are attached, for readiness.
    pub fn attached(&self) -> usize {
        self.shared.hub.count()
    }

    /// How full the edges' windows are, for metrics.
    pub fn windows(&self, now: Instant) -> Vec<WindowFacts> {
        self.shared.hub.windows(now)
    }

    /// By remote domain: stanzas that no edge has finished, and how long the oldest waits, in milliseconds.
    pub fn waiting(&self, now: Instant) -> Vec<(String, u64, u64)> {
        self.shared.hub.waiting(now)
    }

    /// The attached edges, for operators.
    pub fn edges(&self) -> Vec<EdgeFacts> {
        self.shared.hub.edges()
    }

    /// The streams with a partner, by its primary domain, or all: every edge is asked at once, and waited for a bounded
    /// time. One that does not answer is named all the same.
    pub async fn streams(&self, partner: Option<&str>) -> Vec<EdgeStreams> {
        reports::streams(&self.shared, partner).await
    }

    /// What waits on the edges, likewise, and on this gateway's ends of the link.
    pub async fn queues(&self) -> Queues {
        let edges = reports::queues(&self.shared).await;
        let (links, partners) = self.shared.hub.loads(Instant::now());
        Queues { edges, links, partners }
    }

    /// Lets an edge end a stream in order: what waits goes over another one. Done when the edge has begun.
    pub async fn close_stream(&self, edge: &str, id: u64, reason: CloseReason) -> Result<(), CloseFault> {
        reports::close_stream(&self.shared, edge, id, reason).await
    }

    /// What failed or was refused, here and on the edges.
    pub fn verdicts(&self) -> Arc<Verdicts> {
        Arc::clone(&self.shared.verdicts)
    }

    /// Lets an edge walk all rungs towards a partner on connections of its own, and waits for what it finds. Without a
    /// name any edge will do; without a local domain any of ours.
    pub async fn probe(&self, edge: Option<&str>, partner: &str, local: &str) -> Result<Report, ProbeFault> {
        probes::probe(&self.shared, edge, partner, local).await
    }

    /// What the last probe of a partner's domain found.
    pub fn last_probe(&self, partner: &str) -> Option<Report> {
        self.shared.probes.last(partner)
    }

    /// Stanzas that wait for an edge, stanzas that an edge has not finished, stanzas that we have not finished.
    pub fn load(&self) -> (usize, usize, u32) {
        let (waiting, outstanding) = self.shared.hub.load();
        (waiting, outstanding, self.shared.hub.unfinished())
    }
}

async fn expire(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(EXPIRY_TICK);
    let mut stop = shared.stop.subscribe();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        shared.tell(shared.hub.expire(Instant::now())).await;
    }
}

#[cfg(test)]
impl Receipt {
    /// The number of the stanza it is for.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }
}
