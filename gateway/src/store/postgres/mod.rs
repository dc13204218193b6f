//! The store that several gateways share: a PostgreSQL database, reached over a few connections.
//!
//! A call puts a job into a bounded queue; a worker that has a connection takes it, together with others of its kind,
//! does them in one transaction and calls back when that is committed. A worker that has lost its connection makes
//! another one, by itself and as long as it takes; jobs wait for that `WAIT` long and then fail with a fault that may
//! pass. There are three lanes with queues and connections of their own, so that pairs never wait for operators, nor
//! either for what takes long.
//!
//! Verbs of operators and of the pool are written with `read`, `write`,
//! `look_up` and `copy`:
//!
//! ```ignore
//! fn revision(&self, done: Done<u64>) {
//!     self.look_up(done, "revision", |session| async move {
//!         let row = session.query_one("SELECT value FROM operator_revision", &[]).await?;
//!         Ok(unsigned(&row, "value")?)
//!     });
//! }
//! ```

mod column;
mod commit;
mod connection;
mod fault;
mod hints;
mod inspect;
#[cfg(test)]
mod measure;
mod migrate;
mod operator;
mod pairs;
mod pool;
mod queue;
#[cfg(test)]
pub(crate) mod test_server;
pub(crate) mod tls;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use causeway_shared::domain::DomainName;

use super::{Committed, Counts, Done, PairChange, Store, StoreError, StoreFault};
use crate::config::PostgresConfig;
use crate::presence::record::{Pair, PairKey};
use commit::CommitJob;
use connection::Connector;
use pairs::LoadJob;
use queue::Job as _;
use queue::Queue;
use worker::Work;

pub(crate) use column::{count_of, integer, unsigned};
pub(crate) use connection::Session;
pub(crate) use fault::{Fault, Sql};

/// Connections for pairs: one commits while another loads and a third waits for the disk.
const PAIR_CONNECTIONS: usize = 3;
/// Connections for the short verbs of operators and of the pool.
const SHORT_CONNECTIONS: usize = 2;
/// Connections for pages, counts and whatever else reads much.
const LONG_CONNECTIONS: usize = 1;
/// How long a statement of the short lanes may run. Those that do touch a few rows each.
const SHORT_STATEMENT: Duration = Duration::from_secs(4);
/// How long a statement that reads much may run.
const LONG_STATEMENT: Duration = Duration::from_secs(60);
/// How long bringing the schema up to date may take: other gateways' turns and the rewriting of large tables.
const MIGRATION: Duration = Duration::from_secs(1_800);
/// How long a copy may take altogether.
const COPY: Duration = Duration::from_secs(4 * 3_600);
/// How long a call waits for a connection. The engine tries a pair's five times with pauses of three seconds, so that a
/// partner's stanza and a SIP transaction (Timer F, 32 s) still get an answer.
pub(crate) const WAIT: Duration = Duration::from_secs(3);
/// How long a commit waits whose connection was lost before its answer came: whoever made it must hear what became of it.
const UNKNOWN: Duration = Duration::from_secs(60);
/// How much longer than the server we wait for the end of a statement: then it is the server that is gone.
const GRACE: Duration = Duration::from_secs(2);

/// What several connections share: a queue, and how long its work may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// Loads, commits, claims and pages of pairs.
    Pairs,
    /// A few rows, for operators and the pool.
    Short,
    /// Many rows.
    Long,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Pairs, Self::Short, Self::Long];

    const fn connections(self) -> usize {
        match self {
            Self::Pairs => PAIR_CONNECTIONS,
            Self::Short => SHORT_CONNECTIONS,
            Self::Long => LONG_CONNECTIONS,
        }
    }

    const fn statement(self) -> Duration {
        match self {
            Self::Pairs | Self::Short => SHORT_STATEMENT,
            Self::Long => LONG_STATEMENT,
        }
    }
}

/// How the statements of a verb belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One statement, or several that need not agree.
    Single,
    /// All see the same moment, and change nothing.
    Snapshot,
    /// All or nothing: committed if the verb returns `Ok`, else rolled back. Rows that are read first and written then
    /// are locked with `FOR UPDATE`.
    Write,
}

/// A PostgreSQL database as a store.
#[derive(Debug)]
pub struct PostgresStore {
    connector: Arc<Connector>,
    queues: [Arc<Queue>; 3],
    runtime: Handle,
    is_copying: Arc<AtomicBool>,
    hints: watch::Receiver<u64>,
}

impl PostgresStore {
    /// Connects, brings the schema up to date, and starts the workers on the caller's runtime. A server that is not
    /// there is an error: whether to wait for it is the caller's business.
    pub async fn open(config: &PostgresConfig) -> Result<Arc<Self>, StoreError> {
        let connector = Arc::new(Connector::new(config));
        let session = connector.connect(LONG_STATEMENT).await.map_err(|fault| connector.error(fault))?;
        let migrated = tokio::time::timeout(MIGRATION, migrate::migrate(&session)).await;
        migrated.unwrap_or_else(|_| Err(Fault::silent("a migration"))).map_err(|fault| connector.error(fault))?;
        drop(session);
        let runtime = Handle::current();
        let queues = Lane::ALL.map(|lane| {
            let queue = Arc::new(Queue::new(Arc::clone(connector.place())));
            worker::start(&runtime, &connector, &queue, lane.connections(), lane.statement());
            queue
        });
        let hints = hints::listen(&runtime, &connector, &queues[1]);
        Ok(Arc::new(Self { connector, queues, runtime, is_copying: Arc::default(), hints }))
    }

    /// Host and database, for messages.
    pub fn place(&self) -> &Arc<str> {
        self.connector.place()
    }

    /// Grows whenever another gateway has said `NOTIFY causeway`, and whenever one may have been missed.
    pub(crate) fn watch_hints(&self) -> watch::Receiver<u64> {
        self.hints.clone()
    }

    fn queue(&self, lane: Lane) -> &Arc<Queue> {
        match lane {
            Lane::Pairs => &self.queues[0],
            Lane::Short => &self.queues[1],
            Lane::Long => &self.queues[2],
        }
    }

    /// A few rows, found by an index.
    pub(crate) fn look_up<T, W, F>(&self, done: Done<T>, verb: &'static str, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Sql<T>> + Send + 'static,
    {
        self.run(Lane::Short, Mode::Single, done, verb, work);
    }

    /// Changes of a few rows, all or nothing.
    pub(crate) fn write<T, W, F>(&self, done: Done<T>, verb: &'static str, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Sql<T>> + Send + 'static,
    {
        self.run(Lane::Short, Mode::Write, done, verb, work);
    }

    /// Many rows, all as they were at one moment.
    pub(crate) fn read<T, W, F>(&self, done: Done<T>, verb: &'static str, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Sql<T>> + Send + 'static,
    {
        self.run(Lane::Long, Mode::Snapshot, done, verb, work);
    }

    fn run<T, W, F>(&self, lane: Lane, mode: Mode, done: Done<T>, verb: &'static str, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Sql<T>> + Send + 'static,
    {
        let limit = lane.statement() + GRACE;
        self.queue(lane).work(Work::new(mode, limit, verb, done, work));
    }

    /// Work of minutes has a connection for itself, and there is one such work at a time.
    pub(crate) fn copy<T, W, F>(&self, mode: Mode, done: Done<T>, verb: &'static str, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Sql<T>> + Send + 'static,
    {
        if self.is_copying.swap(true, Ordering::AcqRel) {
            let (place, detail) =
                (Arc::clone(self.place()), "a copy is under way already; try again when it has ended");
            return done(Err(StoreError { place, fault: StoreFault::Overloaded, detail: detail.into() }));
        }
        let (connector, is_copying) = (Arc::clone(&self.connector), Arc::clone(&self.is_copying));
        let done: Done<T> = Box::new(move |result| {
            // Whoever hears of its end may begin the next one.
            is_copying.store(false, Ordering::Release);
            done(result);
        });
        let work = Work::new(mode, COPY, verb, done, work);
        self.runtime.spawn(async move {
            match connector.connect(COPY).await {
                Ok(session) => drop(work.perform(&Arc::new(session), connector.place()).await),
                Err(fault) => work.fail(connector.error(fault)),
            }
        });
    }
}

impl Store for PostgresStore {
    fn load_pair(&self, key: PairKey, done: Done<Option<Pair>>) {
        self.queue(Lane::Pairs).load(LoadJob { key, done });
    }

    fn commit(&self, changes: Vec<PairChange>, done: Done<Vec<Committed>>) {
        self.queue(Lane::Pairs).commit(CommitJob::new(changes, done));
    }

    fn claim_due(&self, now_ms: u64, claimed_until: u64, limit: usize, done: Done<Vec<Pair>>) {
        self.run(Lane::Pairs, Mode::Write, done, "claim_due", move |session| async move {
            pairs::claim_due(&session, now_ms, claimed_until, limit).await
        });
    }

    fn pairs_of_domain(&self, domain: DomainName, after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>>) {
        // A page is read in milliseconds, and must not wait behind an operator's search of the archive.
        self.run(Lane::Pairs, Mode::Snapshot, done, "pairs_of_domain", move |session| async move {
            pairs::of_domain(&session, &domain, after.as_ref(), limit).await
        });
    }

    fn pairs(&self, after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>>) {
        self.run(Lane::Pairs, Mode::Snapshot, done, "pairs", move |session| async move {
            pairs::all(&session, after.as_ref(), limit).await
        });
    }

    fn count_held(&self, domain: DomainName, done: Done<u64>) {
        self.run(Lane::Pairs, Mode::Single, done, "count_held", move |session| async move {
            pairs::count_held(&session, &domain).await
        });
    }

    fn counts(&self, done: Done<Counts>) {
        self.read(done, "counts", |session| async move { pairs::counts(&session).await });
    }
}

impl Drop for PostgresStore {
    /// Nothing more comes; the workers finish what waits and go.
    fn drop(&mut self) {
        self.queues.iter().for_each(|queue| queue.close());
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod upgrade_tests;
