//! How busy the engine is: the share of a core that decisions take, and what waits for them. One task decides, so a share near
//! one is the wall of this gateway, and the number that a pool is scaled by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use causeway_shared::metrics::{Catalogue, Kind};

/// What the shell's loop tells of itself.
#[derive(Debug, Default)]
pub struct EngineMetrics {
    busy_ns: AtomicU64,
    turns: AtomicU64,
    waiting: AtomicUsize,
    under_way: AtomicUsize,
    lanes: AtomicUsize,
    lanes_oldest_ms: AtomicU64,
    hops: AtomicUsize,
    hops_alive: AtomicUsize,
}

/// How the engine stands after a turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Time that it took.
    pub(crate) busy: Duration,
    /// Batches that wait for the next one.
    pub(crate) waiting: usize,
    /// Stanzas, requests and records under way.
    pub(crate) under_way: usize,
    /// Messages that wait for an answer to the one before.
    pub(crate) lanes: usize,
    /// How long the oldest of them has waited.
    pub(crate) lanes_oldest: Duration,
    /// Next hops, and those among them that did not fail lately.
    pub(crate) hops: (usize, usize),
}

impl EngineMetrics {
    #[expect(clippy::cast_precision_loss, reason = "nothing here comes near what a double holds")]
    pub(super) fn register(self: &Arc<Self>, catalogue: &mut Catalogue) {
        type Value = fn(&EngineMetrics) -> f64;
        let values: [(&'static str, &'static str, Kind, Value); 6] = [
            (
                "causeway_engine_busy_seconds",
                "Time for which the engine decided, instead of waiting",
                Kind::Counter,
                |engine| engine.busy_ns.load(Ordering::Relaxed) as f64 / 1e9,
            ),
            ("causeway_engine_turns", "Turns of the engine", Kind::Counter, |engine| {
                engine.turns.load(Ordering::Relaxed) as f64
            }),
            (
                "causeway_engine_queue",
                "Batches from edges and from SIP that wait for the engine",
                Kind::Gauge,
                |engine| engine.waiting.load(Ordering::Relaxed) as f64,
            ),
            ("causeway_engine_under_way", "Stanzas, requests and records under way", Kind::Gauge, |engine| {
                engine.under_way.load(Ordering::Relaxed) as f64
            }),
            (
                "causeway_lanes_waiting",
                "Messages that wait because one to the same SIP address is unanswered",
                Kind::Gauge,
                |engine| engine.lanes.load(Ordering::Relaxed) as f64,
            ),
            ("causeway_lanes_oldest_seconds", "How long the oldest of these messages waits", Kind::Gauge, |engine| {
                engine.lanes_oldest_ms.load(Ordering::Relaxed) as f64 / 1000.0
            }),
        ];
        for (name, help, kind, value) in values {
            let engine = Arc::clone(self);
            catalogue.look_up_one(name, help, kind, move || value(&engine));
        }
        let engine = Arc::clone(self);
        let help = "Next hops of the pool, by whether they failed lately";
        catalogue.look_up("causeway_sip_targets", help, Kind::Gauge, &["state"], move || {
            let (known, alive) = engine.hops();
            let states = [("alive", alive), ("dead", known.saturating_sub(alive))];
            states.map(|(state, count)| (vec![("state", state.to_owned())], count as f64)).to_vec()
        });
    }

    pub(crate) fn turned(&self, turn: Turn) {
        let busy = u64::try_from(turn.busy.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(busy, Ordering::Relaxed);
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.waiting.store(turn.waiting, Ordering::Relaxed);
        self.under_way.store(turn.under_way, Ordering::Relaxed);
        self.lanes.store(turn.lanes, Ordering::Relaxed);
        let oldest = u64::try_from(turn.lanes_oldest.as_millis()).unwrap_or(u64::MAX);
        self.lanes_oldest_ms.store(oldest, Ordering::Relaxed);
        self.hops.store(turn.hops.0, Ordering::Relaxed);
        self.hops_alive.store(turn.hops.1, Ordering::Relaxed);
    }

    /// Next hops, and those among them that did not fail lately.
    pub fn hops(&self) -> (usize, usize) {
        (self.hops.load(Ordering::Relaxed), self.hops_alive.load(Ordering::Relaxed))
    }
}
