//! The verdicts of this edge: kept for who asks later, logged and told at a rate.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use causeway_shared::verdict::Verdict;
use causeway_shared::verdict::history::{History, Kept};

use crate::metrics::Metrics;

/// Verdicts that `/verdicts` shows when it is asked for no partner.
const SHOWN: usize = 256;

/// The kept verdicts, shared by all who give one and all who want one.
#[derive(Debug, Default)]
pub struct Verdicts {
    history: Mutex<History>,
    /// Once there is an edge.
    metrics: OnceLock<Metrics>,
}

impl Verdicts {
    /// Counts verdicts from now on.
    pub fn count_with(&self, metrics: Metrics) {
        let _only_once = self.metrics.set(metrics);
    }

    /// Keeps and counts a verdict; returns it if the gateways are to hear of it now, and logs it then.
    pub(super) fn add(&self, verdict: Verdict) -> Option<Kept> {
        if let Some(metrics) = self.metrics.get() {
            metrics.verdict(&verdict);
        }
        let told = self.lock().add(verdict);
        if let Some(kept) = &told {
            kept.log();
        }
        told
    }

    /// What changed and was not told yet, a few at a time; logged as well.
    pub(super) fn overdue(&self, now_ms: u64) -> Vec<Kept> {
        let told = self.lock().overdue(now_ms);
        told.iter().for_each(Kept::log);
        told
    }

    /// The newest of all, the newest first.
    pub(super) fn newest(&self, most: usize) -> Vec<Kept> {
        self.lock().newest(most)
    }

    /// The verdicts about a partner, or the newest of all, the newest first.
    pub fn latest(&self, partner: Option<&str>) -> Vec<Kept> {
        match partner {
            Some(partner) => self.lock().latest(partner),
            None => self.newest(SHOWN),
        }
    }

    /// The history is sound between any two steps.
    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
