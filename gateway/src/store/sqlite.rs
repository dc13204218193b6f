//! The embedded store: one SQLite file, one thread that owns it, group commit.
//!
//! The thread takes what waits in its queue, does all of it in one transaction, and calls back when that is on disk. So
//! a commit costs one flush, however many pairs share it. WAL with `synchronous=FULL`: what was called back survives a
//! power cut. What operators read takes longer than a step of a pair may wait, so that it has a thread of its own
//! (`reader`), which WAL lets read beside the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_shared::domain::DomainName;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};

use super::pool::NoHints;
use super::{Committed, Counts, Done, PairChange, Store, StoreError, StoreFault};
use crate::presence::record::{Pair, PairKey};

mod commit;
mod inspect;
mod operator;
mod pairs;
mod pool;
mod reader;

use operator::{Copying, OperatorJob};
use reader::Reader;

pub use inspect::AloneWithFile;

/// Calls that may wait for the thread: a second or two of work.
const QUEUE: usize = 8_192;
/// Calls that share a transaction, so that the first of them does not wait too long for the last.
const BATCH: usize = 512;
/// How long to wait for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept.
const STATEMENTS: usize = 64;
/// Pages after which the write-ahead log is folded back, 16 MB.
const CHECKPOINT_PAGES: u32 = 4_096;
/// Pages kept in memory, as many as that: what a step has read is still there when it is stored, and when it is answered.
const CACHED_PAGES: u32 = CHECKPOINT_PAGES;

/// The migrations in order; `user_version` counts how many the file has.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/sqlite/0001_pairs.sql"),
    include_str!("migrations/sqlite/0002_gone.sql"),
    include_str!("migrations/sqlite/0003_operator.sql"),
    include_str!("migrations/sqlite/0004_pool.sql"),
    include_str!("migrations/sqlite/0005_pages.sql"),
    include_str!("migrations/sqlite/0006_notifying.sql"),
];

/// A SQLite file as a store. Dropping it finishes what waits and closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    path: Arc<PathBuf>,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    reader: Reader,
    copying: Copying,
    hints: NoHints,
}

enum Job {
    Load(PairKey, Done<Option<Pair>>),
    Commit(Vec<PairChange>, Done<Vec<Committed>>),
    ClaimDue { now_ms: u64, claimed_until: u64, limit: usize, done: Done<Vec<Pair>> },
    PairsOfDomain { domain: DomainName, after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>> },
    Pairs { after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>> },
    CountHeld(DomainName, Done<u64>),
    Counts(Done<Counts>),
    Operator(OperatorJob),
}

impl SqliteStore {
    /// Opens the file, makes it if there is none, and brings it up to date.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = Arc::new(path.as_ref().to_owned());
        let connection = open(&path)?;
        let reader = Reader::open(&path)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let worker = Worker { path: Arc::clone(&path), connection };
        let thread = start(&path, "store", move || worker.run(&queue))?;
        Ok(Self {
            path,
            jobs: Some(jobs),
            thread: Some(thread),
            reader,
            copying: Copying::default(),
            hints: NoHints::default(),
        })
    }

    fn submit(&self, job: Job) {
        let (job, fault) = match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) | None => return,
            Some(Err(TrySendError::Full(job))) => (job, StoreFault::Overloaded),
            Some(Err(TrySendError::Disconnected(job))) => (job, StoreFault::Closed),
        };
        job.fail(&StoreError { place: place(&self.path), fault, detail: NOTHING_CHANGED.into() });
    }
}

/// What callers hear of a call that was refused unseen.
const NOTHING_CHANGED: &str = "nothing was changed";

fn start(path: &Arc<PathBuf>, name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(|error| StoreError {
        place: place(path),
        fault: StoreFault::Inaccessible,
        detail: error.to_string().into(),
    })
}

impl Store for SqliteStore {
    fn load_pair(&self, key: PairKey, done: Done<Option<Pair>>) {
        self.submit(Job::Load(key, done));
    }

    fn commit(&self, changes: Vec<PairChange>, done: Done<Vec<Committed>>) {
        self.submit(Job::Commit(changes, done));
    }

    fn claim_due(&self, now_ms: u64, claimed_until: u64, limit: usize, done: Done<Vec<Pair>>) {
        self.submit(Job::ClaimDue { now_ms, claimed_until, limit, done });
    }

    fn pairs_of_domain(&self, domain: DomainName, after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>>) {
        self.submit(Job::PairsOfDomain { domain, after, limit, done });
    }

    fn pairs(&self, after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>>) {
        self.submit(Job::Pairs { after, limit, done });
    }

    fn count_held(&self, domain: DomainName, done: Done<u64>) {
        self.submit(Job::CountHeld(domain, done));
    }

    fn counts(&self, done: Done<Counts>) {
        self.submit(Job::Counts(done));
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own message.
            let _ = thread.join();
        }
    }
}

impl Job {
    fn fail(self, error: &StoreError) {
        let error = error.clone();
        match self {
            Self::Load(_, done) => done(Err(error)),
            Self::Commit(_, done) => done(Err(error)),
            Self::ClaimDue { done, .. } | Self::PairsOfDomain { done, .. } | Self::Pairs { done, .. } => {
                done(Err(error));
            }
            Self::CountHeld(_, done) => done(Err(error)),
            Self::Counts(done) => done(Err(error)),
            Self::Operator(job) => job.fail(error),
        }
    }
}

/// The thread's side.
struct Worker {
    path: Arc<PathBuf>,
    connection: Connection,
}

/// What is called once the transaction is on disk, or failed.
type Completion = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                match queue.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            self.work(batch);
        }
        // Best effort: a log that is not folded back is read when the file is opened next.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    fn work(&mut self, batch: Vec<Job>) {
        let path = Arc::clone(&self.path);
        let mut completions: Vec<Completion> = Vec::with_capacity(batch.len());
        let behaviour =
            if batch.iter().any(Job::writes) { TransactionBehavior::Immediate } else { TransactionBehavior::Deferred };
        let outcome = match self.connection.transaction_with_behavior(behaviour) {
            Err(error) => {
                let error = fault(&path, &error);
                batch.into_iter().for_each(|job| job.fail(&error));
                return;
            }
            Ok(transaction) => {
                let (mut failed, mut version) = (None, None);
                for job in batch {
                    match &failed {
                        Some(error) => job.fail(error),
                        None => failed = job.perform(&transaction, &path, &mut version, &mut completions).err(),
                    }
                }
                match failed {
                    // Dropping the transaction rolls back: nobody may believe that something was stored.
                    Some(error) => Err(error),
                    None => transaction.commit().map_err(|error| fault(&path, &error)),
                }
            }
        };
        for completion in completions {
            completion(outcome.clone());
        }
    }
}

impl Job {
    fn writes(&self) -> bool {
        match self {
            Self::Commit(..) | Self::ClaimDue { .. } => true,
            Self::Operator(job) => job.writes,
            Self::Load(..)
            | Self::PairsOfDomain { .. }
            | Self::Pairs { .. }
            | Self::CountHeld(..)
            | Self::Counts(_) => false,
        }
    }

    /// Does the work inside the transaction, whose `version` the first change takes, and leaves the callback with its
    /// result for afterwards.
    fn perform(
        self,
        connection: &Connection,
        path: &Arc<PathBuf>,
        version: &mut Option<i64>,
        completions: &mut Vec<Completion>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Load(key, done) => finish(pairs::load(connection, &key), done, path, completions),
            Self::Commit(changes, done) => {
                finish(commit::commit(connection, &changes, version), done, path, completions)
            }
            Self::ClaimDue { now_ms, claimed_until, limit, done } => {
                finish(pairs::claim_due(connection, now_ms, claimed_until, limit), done, path, completions)
            }
            Self::PairsOfDomain { domain, after, limit, done } => {
                finish(pairs::of_domain(connection, &domain, after.as_ref(), limit), done, path, completions)
            }
            Self::Pairs { after, limit, done } => {
                finish(pairs::all(connection, after.as_ref(), limit), done, path, completions)
            }
            Self::CountHeld(domain, done) => finish(pairs::count_held(connection, &domain), done, path, completions),
            Self::Counts(done) => finish(pairs::counts(connection), done, path, completions),
            Self::Operator(job) => job.perform(connection, path, completions),
        }
    }
}

fn finish<T: Send + 'static>(
    result: Result<T, pairs::Fault>,
    done: Done<T>,
    path: &Arc<PathBuf>,
    completions: &mut Vec<Completion>,
) -> Result<(), StoreError> {
    match result {
        Ok(value) => {
            completions.push(Box::new(move |outcome| done(outcome.map(|()| value))));
            Ok(())
        }
        // One unreadable record is no reason to fail everybody else.
        Err(own @ (pairs::Fault::Row(_) | pairs::Fault::Refused(_))) => {
            done(Err(store_error(path, own)));
            Ok(())
        }
        Err(shared @ pairs::Fault::Sql(_)) => {
            let error = store_error(path, shared);
            done(Err(error.clone()));
            Err(error)
        }
    }
}

fn store_error(path: &Arc<PathBuf>, error: pairs::Fault) -> StoreError {
    let (fault, detail) = match error {
        pairs::Fault::Row(row) => (StoreFault::Corrupt, row.to_string()),
        pairs::Fault::Refused(reason) => (StoreFault::Refused, reason),
        pairs::Fault::Sql(error) => return fault(path, &error),
    };
    StoreError { place: place(path), fault, detail: detail.into() }
}

fn open(path: &Arc<PathBuf>) -> Result<Connection, StoreError> {
    let sql = |error: rusqlite::Error| fault(path, &error);
    let mut connection = connect(path)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(sql)?;
    connection.pragma_update(None, "synchronous", "full").map_err(sql)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(sql)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(sql)?;
    connection.pragma_update(None, "cache_size", CACHED_PAGES).map_err(sql)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// A connection that reads, and nothing more is known about the file yet.
fn connect(path: &Arc<PathBuf>) -> Result<Connection, StoreError> {
    let sql = |error: rusqlite::Error| fault(path, &error);
    let connection = Connection::open(path.as_path()).map_err(sql)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise each value may make a better plan, and a statement with ORDER BY or LIMIT is prepared again for each. We have
    // one plan for all.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(sql)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Arc<PathBuf>) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| fault(path, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sql)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        let detail = format!("it has schema {found}, this version knows {known}");
        return Err(StoreError { place: place(path), fault: StoreFault::TooNew, detail: detail.into() });
    }
    for migration in MIGRATIONS.iter().zip(0..).filter(|(_, number)| *number >= found).map(|(sql, _)| sql) {
        transaction.execute_batch(migration).map_err(sql)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(sql)?;
    transaction.commit().map_err(sql)
}

fn fault(path: &Arc<PathBuf>, error: &rusqlite::Error) -> StoreError {
    let fault = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreFault::Corrupt,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::Locked,
        Some(ErrorCode::DiskFull) => StoreFault::DiskFull,
        Some(
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure,
        ) => StoreFault::Inaccessible,
        Some(_) | None => StoreFault::Statement,
    };
    StoreError { place: place(path), fault, detail: error.to_string().into() }
}

/// The file, for an error.
fn place(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

/// A single optional row.
fn optional<T>(result: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    result.optional()
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "sqlite_operator_tests.rs"]
mod operator_tests;
