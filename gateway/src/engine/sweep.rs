//! The sweep: reads the whole store through, page by page, and has what drifted mended (`crate::presence::drift`).
//!
//! A page comes when what the last one brought has been told, and pairs are told a few at a time like the news of a
//! round, so a sweep costs little however much there is. What it mended is counted by kind and logged once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::duties::{self, DutyCall, PAGE_LEASE};
use super::pairs::STORE_PAUSE;
use super::{Engine, Now, Outputs, TOLD_LATER};
use crate::presence::PairInput;
use crate::presence::drift::Drift;
use crate::presence::record::{Pair, PairKey};
use crate::store::StoreError;
use crate::store::pool::Duty;

/// What the duty of sweeping is called, where several gateways share the store.
pub(super) const DUTY: &str = "sweep";

/// From the end of a sweep to the next.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);
/// From the start to the first: the news of the start comes before.
const FIRST_SWEEP: Duration = Duration::from_secs(600);
/// How often it is asked whether the sweep is somebody else's still.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// Between two pages.
const PAGE_PAUSE: Duration = Duration::from_secs(1);

/// How far the sweep is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    pub(super) next_at: Option<Instant>,
    after: Option<PairKey>,
    /// For which configuration this gateway looks the store through out of turn, though another may have the hourly sweep.
    occasion: Option<Arc<str>>,
    mended: BTreeMap<&'static str, u64>,
}

impl Sweep {
    pub(super) fn start(&mut self, now: Instant) {
        self.next_at = Some(now + FIRST_SWEEP);
    }

    pub(super) fn mended(&mut self, drift: Drift) {
        *self.mended.entry(drift.as_str()).or_default() += 1;
    }

    fn report(&mut self) {
        if !self.mended.is_empty() {
            let mended = std::mem::take(&mut self.mended);
            tracing::warn!(?mended, "the store held records that had drifted");
        }
    }
}

/// Every sweep is the same occasion: it is never finished, only put off.
fn claim(lease: Duration) -> DutyCall {
    DutyCall::Claim { duty: DUTY.to_owned(), token: DUTY.to_owned(), lease }
}

impl Engine {
    /// Asks for the next page, once what the last one brought has been told.
    pub(super) fn sweep_on(&mut self, now: Now, out: &mut Outputs) {
        if self.sweep.next_at.is_none_or(|at| at > now.instant) {
            return;
        }
        if self.to_tell.is_empty() {
            // Set again when the store has answered.
            self.sweep.next_at = None;
            match &self.sweep.occasion {
                None if self.is_shared() => out.duties.push(claim(PAGE_LEASE)),
                None => out.sweep = Some(self.sweep.after.clone()),
                Some(occasion) => {
                    out.duties.push(duties::first(occasion));
                    out.sweep = Some(self.sweep.after.clone());
                }
            }
        } else {
            self.sweep.next_at = Some(now.instant + PAGE_PAUSE);
        }
    }

    /// A sweep out of turn: what is in force now may be new to what is stored.
    pub(super) fn sweep_for(&mut self, occasion: Arc<str>, now: Now) {
        self.sweep = Sweep { next_at: Some(now.instant + PAGE_PAUSE), occasion: Some(occasion), ..Sweep::default() };
    }

    /// The store has said whose the sweep is: a sweep's every page is claimed.
    pub(super) fn sweep_assigned(&mut self, answer: &Result<Duty, StoreError>, now: Now, out: &mut Outputs) {
        if self.sweep.next_at.is_some() || self.sweep.occasion.is_some() {
            // It was put off to the next one, or is none of the pool's.
            return;
        }
        match answer {
            Ok(Duty::Mine) => out.sweep = Some(self.sweep.after.clone()),
            Ok(Duty::Elsewhere { .. } | Duty::Done) => {
                // Somebody else begins from the beginning, if he had to take it over.
                self.sweep.after = None;
                self.sweep.next_at = Some(now.instant + ASK_AGAIN);
            }
            Err(_) => self.sweep.next_at = Some(now.instant + STORE_PAUSE),
        }
    }

    /// A page of the sweep.
    pub(super) fn swept(&mut self, page: Result<Vec<Pair>, StoreError>, now: Now, out: &mut Outputs) {
        let pairs = match page {
            Ok(pairs) => pairs,
            Err(error) => {
                self.sweep.next_at = Some(now.instant + STORE_PAUSE);
                return self.store_failed(&error, now, out);
            }
        };
        let Some(last) = pairs.last() else {
            self.sweep.after = None;
            self.sweep.report();
            self.sweep.next_at = Some(now.instant + SWEEP_INTERVAL);
            match self.sweep.occasion.take() {
                Some(occasion) => out.duties.push(duties::first_is_over(&occasion)),
                // Ours until the next one, so that nobody else sweeps meanwhile.
                None if self.is_shared() => out.duties.push(claim(SWEEP_INTERVAL)),
                None => {}
            }
            return;
        };
        self.sweep.after = Some(last.key.clone());
        self.sweep.next_at = Some(now.instant + PAGE_PAUSE);
        for pair in pairs {
            let has_drifted = pair.has_drifted(&self.context_of(&pair.key, true, 0, now));
            if has_drifted && self.to_tell.len() < TOLD_LATER {
                self.to_tell.push_back((pair.key, PairInput::Mend));
            }
        }
        if !self.to_tell.is_empty() {
            self.tell_next_at.get_or_insert(now.instant);
        }
    }
}
