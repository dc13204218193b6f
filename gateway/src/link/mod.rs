//! The gateway's end of the link: it dials every edge, attaches, takes what partners sent and sends what they get.
//!
//! [`Links`] is what the engine holds. Each edge has a task that dials, attaches and reads; it comes back after any
//! loss with a growing pause. Stanzas of a lost edge go to another or wait, within their patience. A stanza that an
//! edge sends again is not worked on twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::link::recent::{Recent, StanzaKey};
use causeway_shared::link::rendezvous;
pub use causeway_shared::link::{Failure, Outcome, PairContext, Snapshot, StanzaKind, TraceContext};
use tokio::sync::{mpsc, watch};

mod client;
pub mod hub;
pub mod tls;

pub use client::EdgeAddress;
pub use hub::StanzaOut;
use hub::{GatewayOutgoing, Hub};

/// Events that wait for the engine; beyond it the edges are not read.
const EVENTS: usize = 256;

/// How often the backlog is looked through for what must be given up.
const EXPIRY_TICK: Duration = Duration::from_millis(250);

/// What the link is told.
pub struct LinkConfig {
    /// Our name, stable over restarts: the edges' hash uses it.
    pub gateway_id: String,
    /// A name for this process.
    pub instance_id: String,
    /// The edges; names are resolved again and again, and each address is an edge.
    pub edges: watch::Receiver<Arc<Vec<EdgeAddress>>>,
    /// Certificate, key and authority; each attempt takes the newest. See [`tls::client_config`].
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
    /// Something that partners' operators or ours should know.
    Verdicts(Vec<causeway_shared::verdict::Verdict>),
    /// An edge took us in.
    EdgeUp(String),
    /// An edge is gone.
    EdgeDown(String),
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

/// The duty to tell an edge how a stanza ended: given back with [`Links::finish`], exactly once.
#[derive(Debug)]
#[must_use]
pub struct Receipt {
    outgoing: Arc<GatewayOutgoing>,
    seq: u64,
    key: StanzaKey,
}

/// The link. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) hub: Hub,
    recent: Mutex<Recent<(Arc<GatewayOutgoing>, u64)>>,
    pub(crate) events: mpsc::Sender<LinkEvent>,
    pub(crate) gateway_id: String,
    pub(crate) instance_id: String,
    pub(crate) tls: watch::Receiver<Arc<rustls::ClientConfig>>,
    pub(crate) allowed_edges: watch::Receiver<Arc<Vec<String>>>,
}

impl Shared {
    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent<(Arc<GatewayOutgoing>, u64)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// Starts dialling. Nothing is attached before a snapshot is published.
    pub fn start(config: LinkConfig, shutdown: watch::Receiver<bool>) -> (Self, mpsc::Receiver<LinkEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared {
            hub: Hub::new(rendezvous::name_hash(&config.instance_id)),
            recent: Mutex::default(),
            events,
            gateway_id: config.gateway_id,
            instance_id: config.instance_id,
            tls: config.tls,
            allowed_edges: config.allowed_edges,
        });
        tokio::spawn(client::dial_all(Arc::clone(&shared), config.edges, shutdown.clone()));
        tokio::spawn(expire(Arc::clone(&shared), shutdown));
        (Self { shared }, receiver)
    }

    /// Sends stanzas to partners. Outcomes that are known at once are returned; all others come as events.
    pub fn send(&self, stanzas: Vec<StanzaOut>) -> Vec<(u64, Outcome)> {
        self.shared.hub.send(stanzas, Instant::now())
    }

    /// Tells the edges how stanzas ended.
    pub fn finish(&self, receipts: impl IntoIterator<Item = (Receipt, Outcome)>) {
        let now = Instant::now();
        for (Receipt { outgoing, seq, key }, outcome) in receipts {
            let others = self.shared.recent().finished(key, &outcome, now);
            for (other, seq) in others {
                other.finish([(seq, outcome.clone())]);
            }
            outgoing.finish([(seq, outcome)]);
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

    /// Ends all attachments.
    pub fn close(&self) {
        self.shared.hub.close();
    }

    /// Attached edges, for readiness.
    pub fn edges(&self) -> usize {
        self.shared.hub.edges()
    }

    /// Stanzas that wait for an edge, stanzas that an edge has not finished, stanzas that we have not finished.
    pub fn load(&self) -> (usize, usize, u32) {
        let (waiting, outstanding) = self.shared.hub.load();
        (waiting, outstanding, self.shared.hub.unfinished())
    }
}

async fn expire(shared: Arc<Shared>, mut shutdown: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(EXPIRY_TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        let outcomes = shared.hub.expire(Instant::now());
        if !outcomes.is_empty() && shared.events.send(LinkEvent::Outcomes(outcomes)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
impl Receipt {
    /// A receipt that tells nobody, for tests of what hands receipts on.
    pub(crate) fn for_test(seq: u64) -> Self {
        Self { outgoing: Arc::new(GatewayOutgoing::new(1)), seq, key: (0, seq) }
    }

    /// The number of the stanza it is for.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }
}
