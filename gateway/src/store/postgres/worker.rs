//! The workers of a lane: each has a connection, or makes one, and does what waits.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::commit::CommitJob;
use super::connection::{COMMIT, Connector, Session};
use super::fault::{Fault, Sql};
use super::queue::{Batch, Job, Queue, Timed};
use super::{GRACE, Mode, commit, pairs};
use crate::store::{Done, StoreError, StoreFault};

/// The pause after the first failed attempt to connect; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause, so that a server that is back is found within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Changes of a batch whose locks are waited for in vain, one after the other, before it counts as the server's fault.
const LOCKED: usize = 2;

/// Why a lane has no connection at present, for those who have waited too long.
type Trouble = Arc<Mutex<Option<StoreError>>>;

/// Starts the workers of a lane. They end when the queue is closed and empty.
pub(super) fn start(
    runtime: &Handle,
    connector: &Arc<Connector>,
    queue: &Arc<Queue>,
    connections: usize,
    statement: Duration,
) {
    let trouble = Trouble::default();
    for _ in 0..connections {
        let worker = Worker {
            connector: Arc::clone(connector),
            queue: Arc::clone(queue),
            trouble: Arc::clone(&trouble),
            statement,
        };
        runtime.spawn(worker.run());
    }
    let queue = Arc::clone(queue);
    runtime.spawn(async move {
        queue.expire(|| trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()).await;
    });
}

struct Worker {
    connector: Arc<Connector>,
    queue: Arc<Queue>,
    trouble: Trouble,
    statement: Duration,
}

impl Worker {
    async fn run(self) {
        while let Some(session) = self.connect().await {
            let session = Arc::new(session);
            loop {
                let batch = tokio::select! {
                    () = session.ended() => break,
                    batch = self.queue.take() => batch,
                };
                let Some(batch) = batch else { return };
                if session.has_ended() {
                    self.queue.put_back(batch);
                    break;
                }
                if self.perform(&session, batch).await == Health::Broken {
                    session.abandon();
                    break;
                }
            }
        }
    }

    async fn perform(&self, session: &Arc<Session>, batch: Batch) -> Health {
        let (place, limit) = (self.connector.place(), self.statement + GRACE);
        match batch {
            Batch::Work(work) => work.what.perform(session, place).await,
            Batch::Loads(loads) => {
                let keys: Vec<_> = loads.iter().map(|load| &load.what.key).collect();
                match timeout(limit, "loads", pairs::load(session, &keys)).await {
                    Ok(found) => {
                        for load in loads {
                            let pair = found.get(&load.what.key).cloned().transpose().map_err(Fault::from);
                            (load.what.done)(pair.map_err(|fault| fault.into_error(place)));
                        }
                        Health::Fine
                    }
                    Err(fault) => self.failed(fault, Batch::Loads(loads)),
                }
            }
            Batch::Commits(mut commits) => {
                let mut jobs: Vec<_> = commits.iter_mut().map(|commit| &mut commit.what).collect();
                match timeout(limit, "commits", commit::commit(session, &mut jobs)).await {
                    Ok(()) => {
                        commits.into_iter().for_each(|commit| commit.what.finish());
                        Health::Fine
                    }
                    Err(fault) if fault.may_be_of_one() && commits.len() > 1 => self.each_alone(session, commits).await,
                    Err(fault) => self.failed(fault, Batch::Commits(commits)),
                }
            }
        }
    }

    /// What is wrong with one change must not take others with it. Nor may each of them wait for a server that is slow or
    /// away: then what is left fails together.
    async fn each_alone(&self, session: &Arc<Session>, commits: Vec<Timed<CommitJob>>) -> Health {
        let mut left = commits.into_iter();
        let mut locked = 0;
        while let Some(mut one) = left.next() {
            let limit = self.statement + GRACE;
            match timeout(limit, "a commit", commit::commit(session, &mut [&mut one.what])).await {
                Ok(()) => one.what.finish(),
                Err(fault) => {
                    locked += usize::from(fault.class() == StoreFault::Locked);
                    if !fault.may_be_of_one() || locked >= LOCKED {
                        return self.failed(fault, Batch::Commits(std::iter::once(one).chain(left).collect()));
                    }
                    self.failed(fault, Batch::Commits(vec![one]));
                }
            }
        }
        Health::Fine
    }

    /// Whatever the connection took with it is tried again on another one, as long as it may wait.
    fn failed(&self, fault: Fault, batch: Batch) -> Health {
        let health = Health::after(&fault);
        let error = fault.into_error(self.connector.place());
        match (health, batch) {
            (Health::Broken, batch) => self.queue.put_back(batch),
            (Health::Fine, Batch::Loads(loads)) => {
                loads.into_iter().for_each(|load| load.what.fail(error.clone()));
            }
            (Health::Fine, Batch::Commits(commits)) => {
                for commit in commits {
                    // It may be its own earlier attempt that holds the lock.
                    if error.fault.may_pass() && commit.what.may_be_stored() {
                        self.queue.put_back(Batch::Commits(vec![commit]));
                    } else {
                        commit.what.fail(error.clone());
                    }
                }
            }
            (Health::Fine, Batch::Work(work)) => work.what.fail(error),
        }
        health
    }

    /// Connects, however long it takes; `None` when there is nothing left to do it for.
    async fn connect(&self) -> Option<Session> {
        let mut pause = FIRST_PAUSE;
        while !self.queue.is_over() {
            match self.connector.connect(self.statement).await {
                Ok(session) => {
                    if self.say(None).is_some() {
                        tracing::info!(store = %self.connector.place(), "the store is back");
                    }
                    return Some(session);
                }
                Err(fault) => {
                    let error = self.connector.error(fault);
                    if self.say(Some(error.clone())).is_none() {
                        tracing::warn!(%error, "the store is lost; connecting again until it is back");
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        None
    }

    /// Notes what there is to say to those who wait, and returns what it was.
    fn say(&self, now: Option<StoreError>) -> Option<StoreError> {
        std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

async fn timeout<T>(limit: Duration, what: &str, work: impl Future<Output = Sql<T>>) -> Sql<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Fault::silent(what)))
}

/// What is left of a connection after it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It can be used again.
    Fine,
    /// It cannot.
    Broken,
}

impl Health {
    pub(super) fn after(fault: &Fault) -> Self {
        if fault.ends_connection() { Self::Broken } else { Self::Fine }
    }
}

type Performing = Pin<Box<dyn Future<Output = Health> + Send>>;
type Given = Result<(Arc<Session>, Arc<str>), StoreError>;

/// The work of a verb, with its callback inside.
pub(super) struct Work {
    verb: &'static str,
    work: Box<dyn FnOnce(Given) -> Performing + Send>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("verb", &self.verb).finish_non_exhaustive()
    }
}

impl Work {
    /// A verb that gets `limit` to end. Its statements belong together as `mode` says.
    pub(super) fn new<T, W, F>(mode: Mode, limit: Duration, verb: &'static str, done: Done<T>, work: W) -> Self
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Sql<T>> + Send + 'static,
    {
        let work = Box::new(move |given: Given| -> Performing {
            Box::pin(async move {
                let (session, place) = match given {
                    Ok(given) => given,
                    Err(error) => {
                        done(Err(error));
                        return Health::Fine;
                    }
                };
                let result = timeout(limit, verb, within(&session, mode, work)).await;
                let health = result.as_ref().err().map_or(Health::Fine, Health::after);
                done(result.map_err(|fault| fault.into_error(&place)));
                health
            })
        });
        Self { verb, work }
    }

    /// Does it and calls back.
    pub(super) async fn perform(self, session: &Arc<Session>, place: &Arc<str>) -> Health {
        (self.work)(Ok((Arc::clone(session), Arc::clone(place)))).await
    }
}

impl Job for Work {
    fn fail(self, error: StoreError) {
        // Nothing is awaited on this way: the callback is called when this is polled once.
        let waker = std::task::Waker::noop();
        let _ = (self.work)(Err(error)).as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
}

/// Does the work inside a transaction, if it needs one.
async fn within<T, W, F>(session: &Arc<Session>, mode: Mode, work: W) -> Sql<T>
where
    W: FnOnce(Arc<Session>) -> F,
    F: Future<Output = Sql<T>>,
{
    match mode {
        Mode::Single => return work(Arc::clone(session)).await,
        Mode::Snapshot => session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
        Mode::Write => session.batch("BEGIN").await?,
    }
    match work(Arc::clone(session)).await {
        Ok(value) => {
            session.batch(COMMIT).await?;
            Ok(value)
        }
        Err(fault) => {
            if !fault.ends_connection() {
                session.batch("ROLLBACK").await?;
            }
            Err(fault)
        }
    }
}
