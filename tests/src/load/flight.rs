//! What is on its way: when each message left, how many arrived, how long they took.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::histogram::Histogram;

/// Departures that are remembered.
const REMEMBERED: usize = 1 << 20;

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
    stop: AtomicBool,
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
            stop: AtomicBool::new(false),
            latencies: Histogram::default(),
        }
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
            // A straggler of an earlier run.
            return;
        }
        if let Some(slot) = self.slot(number) {
            let left = Duration::from_nanos(slot.load(Ordering::Relaxed));
            self.latencies.record(self.began.elapsed().saturating_sub(left));
        }
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// So many arrived, and nobody asks how long it took.
    pub fn arrive(&self, count: u64) {
        self.arrived.fetch_add(count, Ordering::Relaxed);
    }

    /// A message came back as an error.
    pub fn fails(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
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
