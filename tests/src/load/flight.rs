//! What is on its way: when each message left, how many arrived, how long they took.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::histogram::Histogram;

/// Departures that are remembered.
const REMEMBERED: usize = 1 << 20;

/// In place of a departure: it has arrived.
const ARRIVED: u64 = u64::MAX;

/// In place of a departure: it came back as an error.
const FAILED: u64 = u64::MAX - 1;

/// Numbers of one run; those of the next begin behind them, so that no number, branch or id ever comes twice.
const NUMBERS_OF_A_RUN: u64 = 100_000_000;

/// Shared by the threads of one run.
pub struct Flight {
    began: Instant,
    first: u64,
    departures: Vec<AtomicU64>,
    departed: AtomicU64,
    arrived: AtomicU64,
    failed: AtomicU64,
    accepted: AtomicU64,
    contradicted: AtomicU64,
    advised: AtomicU64,
    unavailable: AtomicU64,
    stop: AtomicBool,
    /// Why the first of those came back that came back.
    reason: OnceLock<String>,
    /// Another one at the same time, with the numbers before ours.
    beside: Option<Arc<Self>>,
    /// How long messages took.
    pub latencies: Histogram,
}

impl Flight {
    /// The flight of one run; each run of a process has a number of its own.
    pub fn new(run: u64) -> Self {
        let first = run * NUMBERS_OF_A_RUN;
        Self {
            began: Instant::now(),
            first,
            departures: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
            departed: AtomicU64::new(first),
            arrived: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            contradicted: AtomicU64::new(0),
            advised: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            reason: OnceLock::new(),
            beside: None,
            latencies: Histogram::default(),
        }
    }

    /// A flight at the same time as one of an earlier run: what arrives of that one is passed on to it.
    pub fn beside(run: u64, other: Arc<Self>) -> Self {
        Self { beside: Some(other), ..Self::new(run) }
    }

    /// The number of the next message, which leaves, or should have left, at this moment.
    pub fn departs(&self, due: Instant) -> u64 {
        let number = self.departed.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.slot(number) {
            let nanos = due.saturating_duration_since(self.began).as_nanos();
            slot.store(u64::try_from(nanos).unwrap_or_default(), Ordering::Relaxed);
        }
        number
    }

    /// The message has arrived.
    pub fn arrives(&self, number: u64) {
        if number < self.first {
            // Of the one beside us, or a straggler of an earlier run.
            return self.beside.as_ref().map_or((), |other| other.arrives(number));
        }
        match self.slot(number).map(|slot| slot.swap(ARRIVED, Ordering::Relaxed)) {
            Some(ARRIVED | FAILED) => {
                self.contradicted.fetch_add(1, Ordering::Relaxed);
            }
            Some(nanos) => {
                self.latencies.record(self.began.elapsed().saturating_sub(Duration::from_nanos(nanos)));
                self.arrived.fetch_add(1, Ordering::Relaxed);
            }
            None => {}
        }
    }

    /// The message came back as an error.
    pub fn bounces(&self, number: u64) {
        match self.slot(number).map(|slot| slot.swap(FAILED, Ordering::Relaxed)) {
            Some(ARRIVED | FAILED) => self.contradicted.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.failed.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
    }

    /// Its sender was told that it is delivered; the arrival is somebody else's to tell.
    pub fn accepts(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// So many arrived, and nobody asks how long it took.
    pub fn arrive(&self, count: u64) {
        self.arrived.fetch_add(count, Ordering::Relaxed);
    }

    /// What a refusal said; the first one is kept.
    pub fn refused(&self, says: impl FnOnce() -> String) {
        self.reason.get_or_init(says);
    }

    /// What the first refusal said.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Some message came back as an error.
    pub fn fails(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A refusal said when to come back, and whether it came because the service has too much to do (503).
    pub fn advises(&self, is_unavailable: bool) {
        self.advised.fetch_add(1, Ordering::Relaxed);
        self.unavailable.fetch_add(u64::from(is_unavailable), Ordering::Relaxed);
    }

    /// How many refusals said when to come back, and how many of these were 503.
    pub fn advised(&self) -> (u64, u64) {
        (self.advised.load(Ordering::Relaxed), self.unavailable.load(Ordering::Relaxed))
    }

    /// The numbers that left.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.departed.load(Ordering::Relaxed)
    }

    /// Whether this message has arrived.
    pub fn has_arrived(&self, number: u64) -> bool {
        self.slot(number).is_some_and(|slot| slot.load(Ordering::Relaxed) == ARRIVED)
    }

    /// How many left.
    pub fn departed(&self) -> u64 {
        self.departed.load(Ordering::Relaxed) - self.first
    }

    /// How many arrived.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// How many came back as errors.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How many senders were told of a delivery.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many were neither accepted nor refused.
    pub fn unanswered(&self) -> u64 {
        self.departed().saturating_sub(self.accepted() + self.failed())
    }

    /// How many arrived twice, or arrived and failed.
    pub fn contradicted(&self) -> u64 {
        self.contradicted.load(Ordering::Relaxed)
    }

    /// How many are neither here nor back.
    pub fn aloft(&self) -> u64 {
        self.departed().saturating_sub(self.arrived() + self.failed())
    }

    /// No further departures.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether departures have ended.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn slot(&self, number: u64) -> Option<&AtomicU64> {
        self.departures.get(usize::try_from(number).ok()? % REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_once_and_anything_more_is_a_contradiction() {
        let flight = Flight::new(3);
        let numbers: Vec<u64> = (0..3).map(|_| flight.departs(Instant::now())).collect();
        flight.arrives(numbers[0]);
        flight.arrives(numbers[0]);
        flight.bounces(numbers[1]);
        flight.arrives(numbers[1]);
        assert_eq!((flight.arrived(), flight.failed(), flight.contradicted(), flight.aloft()), (1, 1, 2, 1));
    }

    #[test]
    fn what_arrives_of_the_flight_beside_is_counted_there() {
        let quiet = Arc::new(Flight::new(1));
        let flood = Flight::beside(2, Arc::clone(&quiet));
        flood.arrives(quiet.departs(Instant::now()));
        flood.arrives(flood.departs(Instant::now()));
        assert_eq!((quiet.arrived(), flood.arrived(), quiet.contradicted()), (1, 1, 0));
    }
}
