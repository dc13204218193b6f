//! The edge's end of the link to the gateways: what streams hand in, and what they are given to send.
//!
//! [`channel`] makes the two ends of it: a [`LinkHandle`] for streams and a [`LinkEnd`] for whoever talks to the
//! gateways. A read of a stream is one hop over a bounded queue; a full queue stops the read (back-pressure).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use causeway_shared::jid::Jid;
pub use causeway_shared::link::{Failure, Outcome, PairContext, Snapshot, StanzaKind, TraceContext};
use causeway_shared::verdict::Verdict;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::sync::{mpsc, watch};

pub mod hub;
pub mod server;
pub mod tls;

/// Batches that wait for the link; each is what one read brought.
const BATCHES: usize = 64;

/// Verdicts that wait for the link; more are logged only.
const VERDICTS: usize = 256;

/// A stanza from a partner, in the canonical form, of a pair that was authorised.
#[derive(Debug, Clone)]
pub struct InboundStanza {
    /// Its kind.
    pub kind: StanzaKind,
    /// Its sender.
    pub from: Jid,
    /// Its recipient.
    pub to: Jid,
    /// The canonical form.
    pub xml: Bytes,
    /// The trace that begins here.
    pub trace: TraceContext,
    /// When it was read, in Unix milliseconds.
    pub arrived_ms: u64,
}

/// The stanzas of one pair that one read brought.
#[derive(Debug)]
pub struct Batch {
    /// How the pair was authenticated.
    pub context: Arc<PairContext>,
    /// In the order of arrival.
    pub stanzas: Vec<InboundStanza>,
}

/// A stanza for a partner.
#[derive(Debug)]
pub struct OutboundStanza {
    /// Its kind.
    pub kind: StanzaKind,
    /// Its sender, one of ours.
    pub from: Jid,
    /// Its recipient, one of theirs.
    pub to: Jid,
    /// The canonical form.
    pub xml: Bytes,
    /// How long it may wait; zero takes the queue's own lifetime.
    pub patience: Duration,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// Whom to tell.
    pub ack: AckHandle,
}

/// The duty to tell what became of a stanza, exactly once.
pub struct AckHandle(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl AckHandle {
    /// The duty, discharged by calling this.
    pub fn new(tell: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// Nobody waits for it: a bounce of our own.
    pub fn nobody() -> Self {
        Self(None)
    }

    /// Finished.
    pub fn done(mut self) {
        if let Some(tell) = self.0.take() {
            tell(Outcome::Done);
        }
    }

    /// Not delivered, and why.
    pub fn failed(mut self, failure: Failure) {
        if let Some(tell) = self.0.take() {
            tell(Outcome::Failed(failure));
        }
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Outcome::Failed(Failure {
                condition: StanzaCondition::InternalServerError,
                text: "the stanza was dropped inside the edge".to_owned(),
                verdict: None,
            }));
        }
    }
}

impl std::fmt::Debug for AckHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AckHandle(..)")
    }
}

/// Where stanzas from gateways go.
pub trait Outbound: Send + Sync {
    /// Takes the stanza; its [`AckHandle`] tells the rest.
    fn deliver(&self, stanza: OutboundStanza);
}

/// Where stanzas go that no gateway takes.
pub trait Bouncer: Send + Sync {
    /// Answers the sender.
    fn bounce(&self, stanza: InboundStanza, condition: StanzaCondition, text: &str);
}

/// The link has ended: the edge is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link to the gateways is closed")]
pub struct LinkClosed;

/// The streams' end.
#[derive(Clone)]
pub struct LinkHandle {
    batches: mpsc::Sender<Batch>,
    verdicts: mpsc::Sender<Verdict>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    has_gateway: watch::Receiver<bool>,
    lost_verdicts: Arc<AtomicU64>,
}

/// The other end: what the streams handed in, and what they are told.
pub struct LinkEnd {
    /// Batches, in order.
    pub batches: mpsc::Receiver<Batch>,
    /// Verdicts for the gateways.
    pub verdicts: mpsc::Receiver<Verdict>,
    /// The snapshot in force.
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    /// Whether some gateway is attached.
    pub has_gateway: watch::Sender<bool>,
}

/// Makes the two ends.
pub fn channel() -> (LinkHandle, LinkEnd) {
    let (batches, batches_out) = mpsc::channel(BATCHES);
    let (verdicts, verdicts_out) = mpsc::channel(VERDICTS);
    let (snapshots_in, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let (gateway_in, has_gateway) = watch::channel(false);
    let handle = LinkHandle { batches, verdicts, snapshots, has_gateway, lost_verdicts: Arc::default() };
    let end =
        LinkEnd { batches: batches_out, verdicts: verdicts_out, snapshots: snapshots_in, has_gateway: gateway_in };
    (handle, end)
}

impl LinkHandle {
    /// Hands in what one read brought for one pair; waits while the link is full.
    pub async fn submit(&self, context: &Arc<PairContext>, batch: Vec<InboundStanza>) -> Result<(), LinkClosed> {
        let batch = Batch { context: Arc::clone(context), stanzas: batch };
        self.batches.send(batch).await.map_err(|_| LinkClosed)
    }

    /// The snapshot in force, and its changes.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Whether some gateway is attached.
    pub fn has_gateway(&self) -> watch::Receiver<bool> {
        self.has_gateway.clone()
    }

    /// Sends a verdict to the gateways if there is room; it is logged in any case, by the caller.
    pub fn report(&self, verdict: Verdict) {
        if self.verdicts.try_send(verdict).is_err() {
            self.lost_verdicts.fetch_add(1, Ordering::Relaxed);
        }
    }
}
