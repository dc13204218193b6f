//! The queue of one pair, shared by those who fill it, the task that finds it a stream, and the stream that empties it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use causeway_shared::live;
use tokio::sync::Notify;

use super::outbox::{Outbox, Queued};
use crate::limits::QueueLimits;
use crate::link::OutboundStanza;

/// Stanzas of all pairs that were taken from their queues and whose end is not known yet.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// So many came to their end.
    pub fn settled(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::AcqRel);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// The queue of one pair.
pub struct Lane {
    waiting: Mutex<Waiting>,
    in_flight: InFlight,
}

struct Waiting {
    outbox: Outbox,
    /// Whom to wake when something is queued: the pair's own task, or the stream that carries it.
    wake: Arc<Notify>,
    /// Its task has ended: whoever comes now makes a new lane.
    is_retired: bool,
}

/// What became of a stanza that was to be queued.
pub enum Pushed {
    /// It waits.
    Queued,
    /// There is no room.
    Full(OutboundStanza),
    /// The lane is no more.
    Retired(OutboundStanza),
}

impl Lane {
    /// An empty queue.
    pub fn new(in_flight: InFlight) -> Self {
        let waiting = Waiting { outbox: Outbox::default(), wake: Arc::default(), is_retired: false };
        Self { waiting: Mutex::new(waiting), in_flight }
    }

    /// Adds a stanza at the end.
    pub fn push(&self, stanza: OutboundStanza, limits: &QueueLimits) -> Pushed {
        let mut waiting = self.lock();
        if waiting.is_retired {
            return Pushed::Retired(stanza);
        }
        match waiting.outbox.push(stanza, limits, Instant::now()) {
            None => {
                let wake = Arc::clone(&waiting.wake);
                drop(waiting);
                wake.notify_one();
                Pushed::Queued
            }
            Some(stanza) => Pushed::Full(stanza),
        }
    }

    /// Takes stanzas from the head of the queue, about so many bytes. Those whose senders have given up come back
    /// apart: they are not sent any more.
    pub fn take(&self, bytes: usize, batch: &mut Vec<Queued>) -> Vec<OutboundStanza> {
        let before = batch.len();
        let mut waiting = self.lock();
        let late = waiting.outbox.expired(Instant::now());
        waiting.outbox.take(bytes, batch);
        // Under the lock, so that a stanza is always either queued or in flight.
        self.in_flight.0.fetch_add(batch.len() - before, Ordering::AcqRel);
        late
    }

    /// Puts stanzas back at the head.
    pub fn put_back(&self, batch: Vec<Queued>) {
        let count = batch.len();
        let mut waiting = self.lock();
        waiting.outbox.put_back(batch);
        self.in_flight.settled(count);
    }

    /// Takes out the stanzas whose senders have given up.
    pub fn expired(&self) -> Vec<OutboundStanza> {
        self.lock().outbox.expired(Instant::now())
    }

    /// Takes out everything.
    pub fn drain(&self) -> Vec<OutboundStanza> {
        self.lock().outbox.drain()
    }

    /// When [`Self::expired`] has to be asked again.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().outbox.deadline()
    }

    /// What is queued, for operators.
    pub fn waiting(&self, now: Instant) -> live::Waiting {
        self.lock().outbox.waiting(now)
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.lock().outbox.is_empty()
    }

    /// Ends the lane if nothing is queued.
    pub fn retire(&self) -> bool {
        let mut waiting = self.lock();
        waiting.is_retired = waiting.outbox.is_empty();
        waiting.is_retired
    }

    /// From now on this is woken; whoever was before has to look once more.
    pub fn wakes(&self, wake: &Arc<Notify>) {
        self.lock().wake = Arc::clone(wake);
    }

    /// Waits until something is, or may have been, added.
    pub async fn queued(&self) {
        let wake = Arc::clone(&self.lock().wake);
        wake.notified().await;
    }

    /// What the lock protects is sound between any two statements.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
