//! A partner's stanzas while the edge has them: handed in by a stream in parts, on their way to a gateway, and back when
//! none takes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::link::pool::{Routed, cost_of};
use causeway_shared::link::{Failure, HELD_COST, PairContext, Stanza, TraceContext, rendezvous};
use tokio::sync::oneshot;

use super::InboundStanza;
use super::hub::UNCERTAIN_PATIENCE;

/// What is handed in at once: a larger batch goes in parts, so that it finds room beside others.
const PART_COST: usize = HELD_COST / 8;

/// A partner's stanza on its way to a gateway.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) stanza: InboundStanza,
    pub(super) context: Arc<PairContext>,
    pub(super) key: u64,
    pub(super) give_up_at: Instant,
}

impl Routed for Pending {
    fn keys(&self) -> (&str, &str) {
        (self.stanza.from.bare_str(), self.stanza.to.bare_str())
    }

    fn flow(&self) -> u64 {
        flow_of(&self.context)
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn give_up_uncertain_at(&self) -> Instant {
        self.give_up_at + UNCERTAIN_PATIENCE
    }

    fn cost(&self) -> usize {
        cost_of(self.stanza.xml.len())
    }
}

/// What one stream hands in at once, and who waits until it is taken.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) context: Arc<PairContext>,
    pub(super) stanzas: Vec<InboundStanza>,
    pub(super) give_up_at: Instant,
    pub(super) taken: oneshot::Sender<()>,
}

/// A stanza that comes back from the hub.
#[derive(Debug)]
pub(super) struct Undelivered {
    /// The stanza.
    pub(super) stanza: InboundStanza,
    /// Why; `None` if no gateway took it in time.
    pub(super) failure: Option<Failure>,
    /// The pair's authentication.
    pub(super) context: Arc<PairContext>,
}

impl Pending {
    /// It comes back.
    pub(super) fn undelivered(self, failure: Option<Failure>) -> Undelivered {
        Undelivered { stanza: self.stanza, failure, context: self.context }
    }

    /// As it goes over the link.
    pub(super) fn on_link(&self, origin: u64, redelivered: bool, trace: TraceContext) -> Stanza {
        let stanza = &self.stanza;
        Stanza {
            kind: stanza.kind,
            from: stanza.from.clone(),
            to: stanza.to.clone(),
            xml: stanza.xml.clone(),
            origin,
            key: self.key,
            redelivered,
            trace,
            arrived_ms: stanza.arrived_ms,
            patience: Duration::ZERO,
        }
    }
}

impl Undelivered {
    /// One that no gateway has taken.
    pub(super) fn untaken(stanza: InboundStanza, context: &Arc<PairContext>) -> Self {
        Self { stanza, failure: None, context: Arc::clone(context) }
    }
}

/// Partners wait in turns, each of their domains for itself.
pub(super) fn flow_of(context: &PairContext) -> u64 {
    rendezvous::name_hash(context.pair.remote.as_str())
}

/// How many of the first stanzas are handed in together, and their cost.
pub(super) fn leading_part(batch: &[InboundStanza]) -> (usize, usize) {
    let mut cost = 0;
    for (count, stanza) in batch.iter().enumerate() {
        let more = cost + cost_of(stanza.xml.len());
        if count > 0 && more > PART_COST {
            return (count, cost);
        }
        cost = more;
    }
    (batch.len(), cost)
}
