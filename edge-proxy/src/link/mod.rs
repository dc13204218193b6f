//! The edge's end of the link to the gateways: what streams hand in, and what they are given to send.
//!
//! [`open`] makes a [`LinkHandle`] for streams and a [`LinkCore`] for [`server::start`]. A stream's batch goes straight
//! to the connection of its gateway; when everything that may be held is held, [`LinkHandle::submit`] waits, and the
//! stream does not read (back-pressure). [`channel`] makes a handle whose other end is a queue, for tests of streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::domain::DomainName;
use causeway_shared::jid::Jid;
use causeway_shared::link::fullness::WindowFacts;
pub use causeway_shared::link::{Failure, Outcome, PairContext, Snapshot, StanzaKind};
use causeway_shared::live::{self, CloseReason};
use causeway_shared::probe::Request;
use causeway_shared::telemetry::Span;
use causeway_shared::verdict::Verdict;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::sync::{mpsc, watch};

mod attach;
mod contexts;
mod frames;
mod handled;
mod hub;
mod pending;
mod probes;
mod reports;
pub mod server;
mod verdicts;

pub use handled::{Handled, Receipt};
pub use hub::GATEWAY_PATIENCE;
use hub::Hub;
pub use probes::Reporter;
pub use reports::Parts;
pub use verdicts::Verdicts;

/// Batches that wait in [`channel`]; each is what one read brought.
const BATCHES: usize = 64;

/// Verdicts that wait in [`channel`].
const VERDICTS: usize = 256;

/// A stanza from a partner, in the canonical form, of a pair that was authorised.
#[derive(Debug)]
pub struct InboundStanza {
    /// Its kind.
    pub kind: StanzaKind,
    /// Its sender.
    pub from: Jid,
    /// Its recipient.
    pub to: Jid,
    /// The canonical form.
    pub xml: Bytes,
    /// The trace that begins here: it ends when nobody needs to do anything for the stanza any more.
    pub span: Span,
    /// When it was read, in Unix milliseconds.
    pub arrived_ms: u64,
    /// Its place in the count of its stream, where the peer wants acknowledgements.
    pub receipt: Option<Receipt>,
}

impl InboundStanza {
    /// Nobody needs to do anything for it any more.
    pub fn finish(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.span.succeed(),
            Outcome::Failed(failure) => self.span.fail(failure.condition.as_str()),
        }
        if let Some(receipt) = self.receipt.take() {
            receipt.finish();
        }
    }
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
    /// How it goes on its way out, if its trace is chosen.
    pub span: Span,
    /// Whom to tell.
    pub ack: AckHandle,
}

impl OutboundStanza {
    /// Finished.
    pub fn done(mut self) {
        self.span.succeed();
        self.ack.done();
    }

    /// Not delivered, and why.
    pub fn failed(mut self, failure: Failure) {
        self.span.fail(failure.condition.as_str());
        self.ack.failed(failure);
    }
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

    /// Walks all rungs towards a partner, or says why not.
    fn probe(&self, request: Request, reporter: Reporter) {
        tracing::debug!(partner = request.partner, "a probe where there are no streams");
        reporter.refuse("there are no streams here");
    }

    /// Tells what is live, part by part.
    fn report(&self, request: live::Request) -> Parts {
        let refused = "there are no streams here".to_owned();
        Box::new(std::iter::once(live::Part { id: request.id, is_last: true, refused, ..live::Part::default() }))
    }

    /// Orders a stream to close; false when there is none of this number.
    fn close_stream(&self, _number: u64, _reason: CloseReason) -> bool {
        false
    }
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
    road: Road,
    verdicts: Arc<Verdicts>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    has_gateway: watch::Receiver<bool>,
}

#[derive(Clone)]
enum Road {
    /// To the gateways.
    Hub(Arc<Hub>),
    /// To a test that holds the other end.
    Queues { batches: mpsc::Sender<Batch>, verdicts: mpsc::Sender<Verdict> },
}

/// The gateways' end, for [`server::start`].
pub struct LinkCore {
    hub: Arc<Hub>,
    instance_id: String,
    snapshots: watch::Sender<Arc<Snapshot>>,
    has_gateway: watch::Sender<bool>,
}

/// How the link stands, for readiness and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkFacts {
    /// Attached gateways.
    pub gateways: usize,
    /// Of these, gateways that take new stanzas.
    pub ready_gateways: usize,
    /// Stanzas that wait for a gateway.
    pub waiting: usize,
    /// Stanzas that a gateway has and has not finished.
    pub outstanding: usize,
    /// The version of the snapshot in force; 0 is none.
    pub snapshot_version: u64,
}

impl LinkFacts {
    /// Stanzas of partners that are not finished.
    pub const fn held(self) -> usize {
        self.waiting + self.outstanding
    }
}

/// Makes both ends. `instance_id` names this process; `patience` is how long a stanza may wait for a gateway, normally
/// [`GATEWAY_PATIENCE`].
pub fn open(instance_id: String, patience: Duration) -> (LinkHandle, LinkCore) {
    let hub = Arc::new(Hub::new(&instance_id, patience));
    let (snapshots_in, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let (gateway_in, has_gateway) = watch::channel(false);
    let verdicts = hub.verdicts();
    let handle = LinkHandle { road: Road::Hub(Arc::clone(&hub)), verdicts, snapshots, has_gateway };
    (handle, LinkCore { hub, instance_id, snapshots: snapshots_in, has_gateway: gateway_in })
}

/// What a test of streams holds instead of gateways.
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

/// Makes a handle for a test of streams, and its other end.
pub fn channel() -> (LinkHandle, LinkEnd) {
    let (batches, batches_out) = mpsc::channel(BATCHES);
    let (verdicts, verdicts_out) = mpsc::channel(VERDICTS);
    let (snapshots_in, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let (gateway_in, has_gateway) = watch::channel(false);
    let handle =
        LinkHandle { road: Road::Queues { batches, verdicts }, verdicts: Arc::default(), snapshots, has_gateway };
    let end =
        LinkEnd { batches: batches_out, verdicts: verdicts_out, snapshots: snapshots_in, has_gateway: gateway_in };
    (handle, end)
}

impl LinkHandle {
    /// Hands in what one read brought for one pair; waits while the link is full.
    pub async fn submit(&self, context: &Arc<PairContext>, batch: Vec<InboundStanza>) -> Result<(), LinkClosed> {
        match &self.road {
            Road::Hub(hub) => hub.submit(context, batch, Instant::now()).await,
            Road::Queues { batches, .. } => {
                let batch = Batch { context: Arc::clone(context), stanzas: batch };
                batches.send(batch).await.map_err(|_| LinkClosed)
            }
        }
    }

    /// The snapshot in force, and its changes.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Whether some gateway is attached that takes stanzas, and a snapshot is in force.
    pub fn has_gateway(&self) -> watch::Receiver<bool> {
        self.has_gateway.clone()
    }

    /// Keeps a verdict; logs it and sends it to the gateways at once, or later if there are too many.
    pub fn report(&self, verdict: Verdict) {
        match &self.road {
            Road::Hub(hub) => hub.report(verdict),
            Road::Queues { verdicts, .. } => {
                self.verdicts.add(verdict.clone());
                let _full_is_lost = verdicts.try_send(verdict);
            }
        }
    }

    /// The verdicts that are kept.
    pub fn verdicts(&self) -> Arc<Verdicts> {
        Arc::clone(&self.verdicts)
    }

    /// Asks the gateways for no new stanzas: the edge is going away.
    pub fn drain(&self) {
        match &self.road {
            Road::Hub(hub) => hub.drain(),
            Road::Queues { .. } => {}
        }
    }

    /// Lets nothing wait for a gateway any more: its senders get errors. What gateways have, they finish.
    pub fn give_up(&self) {
        match &self.road {
            Road::Hub(hub) => hub.give_up(),
            Road::Queues { .. } => {}
        }
    }

    /// How full the gateways' windows are, for metrics.
    pub fn windows(&self, now: Instant) -> Vec<WindowFacts> {
        match &self.road {
            Road::Hub(hub) => hub.windows(now),
            Road::Queues { .. } => Vec::new(),
        }
    }

    /// What waits for a gateway, by remote domain.
    pub fn waiting(&self, now: Instant) -> BTreeMap<DomainName, live::Waiting> {
        match &self.road {
            Road::Hub(hub) => hub.waiting(now),
            Road::Queues { .. } => BTreeMap::new(),
        }
    }

    /// Stanzas that were handed to another gateway because the one that had them went away.
    pub fn redelivered(&self) -> u64 {
        match &self.road {
            Road::Hub(hub) => hub.redelivered(),
            Road::Queues { .. } => 0,
        }
    }

    /// How the link stands.
    pub fn facts(&self) -> LinkFacts {
        let snapshot_version = self.snapshots.borrow().version;
        match &self.road {
            Road::Hub(hub) => {
                let (waiting, outstanding) = hub.load();
                let (gateways, ready_gateways) = (hub.gateways().len(), hub.ready_gateways());
                LinkFacts { gateways, ready_gateways, waiting, outstanding, snapshot_version }
            }
            Road::Queues { .. } => LinkFacts { snapshot_version, ..LinkFacts::default() },
        }
    }
}
