//! The bounded queue of a lane: what waits for a connection, and for how long it may.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::WAIT;
use super::fault::Fault;
use super::worker::Work;
use crate::store::{StoreError, StoreFault};

/// Calls that may wait in a lane: a second or two of work.
const QUEUE: usize = 8_192;
/// How often it is looked for calls that have waited too long.
const LOOK: Duration = Duration::from_millis(250);

/// What waits for the workers of a lane.
#[derive(Debug)]
pub(super) struct Queue {
    place: Arc<str>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Waiting {
    works: VecDeque<Timed<Work>>,
    is_closed: bool,
}

/// Something that waits, and until when.
#[derive(Debug)]
pub(super) struct Timed<T> {
    pub(super) what: T,
    pub(super) until: Instant,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Batch {
    /// One verb.
    Work(Timed<Work>),
}

impl Queue {
    pub(super) fn new(place: Arc<str>) -> Self {
        Self { place, waiting: Mutex::default(), arrived: Notify::new(), closed: watch::Sender::new(false) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is done under the lock that could leave it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, fault: StoreFault) -> StoreError {
        StoreError { place: Arc::clone(&self.place), fault, detail: "nothing was changed".into() }
    }

    /// Takes a verb, or calls it back at once.
    pub(super) fn submit(&self, work: Work) {
        let refused = {
            let mut waiting = self.waiting();
            match waiting.room() {
                Ok(()) => {
                    waiting.works.push_back(Timed { what: work, until: Instant::now() + WAIT });
                    None
                }
                Err(fault) => Some((work, fault)),
            }
        };
        match refused {
            None => self.arrived.notify_one(),
            Some((work, fault)) => work.fail(self.refused(fault)),
        }
    }

    /// What to do next; `None` when the store is closed and nothing waits.
    pub(super) async fn take(&self) -> Option<Batch> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut waiting = self.waiting();
                if let Some(work) = waiting.works.pop_front() {
                    if !waiting.is_empty() {
                        self.arrived.notify_one();
                    }
                    return Some(Batch::Work(work));
                }
                if waiting.is_closed {
                    // The others wait for this word, too.
                    self.arrived.notify_one();
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Gives back what could not be begun.
    pub(super) fn put_back(&self, batch: Batch) {
        let mut waiting = self.waiting();
        match batch {
            Batch::Work(work) => waiting.works.push_front(work),
        }
        self.arrived.notify_one();
    }

    /// Takes no more.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.closed.send_replace(true);
        self.arrived.notify_one();
    }

    /// Waits until nothing more comes.
    pub(super) async fn closed(&self) {
        // An error cannot be: the sender is here.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Whether nothing comes and nothing waits.
    pub(super) fn is_over(&self) -> bool {
        let waiting = self.waiting();
        waiting.is_closed && waiting.is_empty()
    }

    /// Fails what has waited too long, until the store is closed. `reason` says why there is no connection.
    pub(super) async fn expire(&self, reason: impl Fn() -> Option<StoreError>) {
        while !self.is_over() {
            tokio::time::sleep(LOOK).await;
            let late = self.waiting().late(Instant::now());
            for work in late {
                let busy = || Fault::Named(StoreFault::Overloaded, "it waited too long".to_owned());
                work.fail(reason().unwrap_or_else(|| busy().into_error(&self.place)));
            }
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    fn room(&self) -> Result<(), StoreFault> {
        if self.is_closed {
            Err(StoreFault::Closed)
        } else if self.works.len() >= QUEUE {
            Err(StoreFault::Overloaded)
        } else {
            Ok(())
        }
    }

    fn late(&mut self, now: Instant) -> Vec<Work> {
        let mut late = Vec::new();
        while self.works.front().is_some_and(|work| work.until <= now) {
            late.extend(self.works.pop_front().map(|work| work.what));
        }
        late
    }
}
