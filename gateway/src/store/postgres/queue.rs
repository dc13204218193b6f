//! The bounded queue of a lane: what waits for a connection, and for how long it may.
//!
//! Loads and commits that wait are taken together, so that many share a round trip and a flush of the server's disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::commit::CommitJob;
use super::fault::Fault;
use super::pairs::LoadJob;
use super::worker::Work;
use super::{UNKNOWN, WAIT};
use crate::store::{StoreError, StoreFault};

/// Calls of one kind that may wait in a lane: a second or two of work.
const QUEUE: usize = 8_192;
/// Loads that share a transaction.
const LOADS: usize = 256;
/// Changes that share one, so that the first of them does not wait too long for the last.
const CHANGES: usize = 256;
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
    loads: VecDeque<Timed<LoadJob>>,
    commits: VecDeque<Timed<CommitJob>>,
    works: VecDeque<Timed<Work>>,
    is_closed: bool,
}

/// Something that waits, since when and until when.
#[derive(Debug)]
pub(super) struct Timed<T> {
    pub(super) what: T,
    since: Instant,
    until: Instant,
}

/// Whatever can be told that it has not been done.
pub(super) trait Job {
    /// Tells the caller.
    fn fail(self, error: StoreError);
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Batch {
    /// Pairs to load.
    Loads(Vec<Timed<LoadJob>>),
    /// Changes to commit.
    Commits(Vec<Timed<CommitJob>>),
    /// Any other verb.
    Work(Timed<Work>),
}

impl Queue {
    pub(super) fn new(place: Arc<str>) -> Self {
        let closed = watch::Sender::new(false);
        Self { place, waiting: Mutex::default(), arrived: Notify::new(), closed }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is done under the lock that could leave it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a pair to load, or calls back at once.
    pub(super) fn load(&self, job: LoadJob) {
        self.submit(job, |waiting| &mut waiting.loads);
    }

    /// Takes changes to commit, or calls back at once.
    pub(super) fn commit(&self, job: CommitJob) {
        self.submit(job, |waiting| &mut waiting.commits);
    }

    /// Takes any other verb, or calls it back at once.
    pub(super) fn work(&self, work: Work) {
        self.submit(work, |waiting| &mut waiting.works);
    }

    fn submit<T: Job>(&self, job: T, of: impl FnOnce(&mut Waiting) -> &mut VecDeque<Timed<T>>) {
        let refused = {
            let mut waiting = self.waiting();
            let is_closed = waiting.is_closed;
            let jobs = of(&mut waiting);
            if is_closed {
                Some((job, StoreFault::Closed))
            } else if jobs.len() >= QUEUE {
                Some((job, StoreFault::Overloaded))
            } else {
                let since = Instant::now();
                jobs.push_back(Timed { what: job, since, until: since + WAIT });
                None
            }
        };
        match refused {
            None => self.arrived.notify_one(),
            Some((job, fault)) => {
                let place = Arc::clone(&self.place);
                job.fail(StoreError { place, fault, detail: "nothing was changed".into() });
            }
        }
    }

    /// What to do next; `None` when the store is closed and nothing waits.
    pub(super) async fn take(&self) -> Option<Batch> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut waiting = self.waiting();
                let batch = waiting.oldest();
                if (batch.is_some() && !waiting.is_empty()) || (batch.is_none() && waiting.is_closed) {
                    // Somebody else can go on with the rest, or hear that it is over.
                    self.arrived.notify_one();
                }
                if batch.is_some() || waiting.is_closed {
                    return batch;
                }
            }
            arrived.await;
        }
    }

    /// Gives back what could not be begun, or not be ended.
    pub(super) fn put_back(&self, batch: Batch) {
        let mut waiting = self.waiting();
        match batch {
            Batch::Loads(loads) => loads.into_iter().rev().for_each(|load| waiting.loads.push_front(load)),
            Batch::Commits(commits) => {
                for mut commit in commits.into_iter().rev() {
                    if commit.what.may_be_stored() {
                        commit.until = commit.until.max(commit.since + UNKNOWN);
                    }
                    waiting.commits.push_front(commit);
                }
            }
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
            let (loads, commits, works) = {
                let (mut waiting, now) = (self.waiting(), Instant::now());
                (late(&mut waiting.loads, now), late(&mut waiting.commits, now), late(&mut waiting.works, now))
            };
            let busy = || Fault::Named(StoreFault::Overloaded, "it waited too long".to_owned()).into_error(&self.place);
            let error = reason().unwrap_or_else(busy);
            loads.into_iter().for_each(|load| load.fail(error.clone()));
            commits.into_iter().for_each(|commit| commit.fail(error.clone()));
            works.into_iter().for_each(|work| work.fail(error.clone()));
        }
    }
}

fn late<T>(jobs: &mut VecDeque<Timed<T>>, now: Instant) -> Vec<T> {
    if jobs.iter().all(|job| job.until > now) {
        return Vec::new();
    }
    let (late, rest): (Vec<_>, Vec<_>) = jobs.drain(..).partition(|job| job.until <= now);
    jobs.extend(rest);
    late.into_iter().map(|job| job.what).collect()
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.loads.is_empty() && self.commits.is_empty() && self.works.is_empty()
    }

    /// What has waited longest, with others of its kind.
    fn oldest(&mut self) -> Option<Batch> {
        let since = |front: Option<Instant>, kind| front.map(|since| (since, kind));
        let fronts = [
            since(self.loads.front().map(|job| job.since), 0),
            since(self.commits.front().map(|job| job.since), 1),
            since(self.works.front().map(|job| job.since), 2),
        ];
        match fronts.into_iter().flatten().min()?.1 {
            0 => {
                let count = self.loads.len().min(LOADS);
                Some(Batch::Loads(self.loads.drain(..count).collect()))
            }
            1 => {
                let mut changes = 0;
                let fitting = self.commits.iter().take_while(|job| {
                    changes += job.what.len();
                    changes <= CHANGES
                });
                // One that is too large for a batch is one by itself.
                let count = fitting.count().max(1);
                Some(Batch::Commits(self.commits.drain(..count).collect()))
            }
            _ => self.works.pop_front().map(Batch::Work),
        }
    }
}
