//! What survives a process: the records of all pairs, behind one trait of domain verbs.
//!
//! A call returns at once; its result comes through the callback it was given, on a thread of the store. Records carry
//! versions: a commit that started from another version than the stored one changes nothing and says so. [`sqlite`] is
//! the embedded default for one gateway, [`postgres`] what several gateways share; the conformance suite in this folder
//! is what any engine must pass.

pub mod backup;
pub mod inspect;
pub mod open;
pub mod operator;
pub mod pool;
pub mod postgres;
pub mod row;
pub mod sqlite;
pub mod transfer;

use std::sync::Arc;

use causeway_shared::domain::DomainName;

use crate::presence::record::{Pair, PairKey};

/// Receives the result of a call, once: on a thread of the store, or at once on the caller's if the call was refused
/// unseen. It must not block.
pub type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// A step of a pair to be stored.
#[derive(Debug, Clone)]
pub struct PairChange {
    /// The record before the step, as it was loaded or last committed; `None` if there was none.
    pub before: Option<Arc<Pair>>,
    /// The record after it. A blank one is deleted.
    pub after: Arc<Pair>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Stored, under this version.
    Stored {
        /// The version to put into the record.
        version: u64,
    },
    /// Somebody else changed the record since `before`: load it again.
    Conflict,
}

/// How much there is, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pairs.
    pub pairs: u64,
    /// Authorisations of XMPP users, held ones not counted.
    pub authorisations_in: u64,
    /// Held `subscribe` requests.
    pub held: u64,
    /// Authorisations of SIP users.
    pub authorisations_out: u64,
    /// Dialogs of both kinds.
    pub dialogs: u64,
}

/// The store of a gateway.
pub trait Store: Send + Sync {
    /// Loads the record of a pair; `None` if there is none.
    fn load_pair(&self, key: PairKey, done: Done<Option<Pair>>);

    /// Stores changes, each on its own terms, all on disk when the callback is called. Answers in the order of `changes`.
    fn commit(&self, changes: Vec<PairChange>, done: Done<Vec<Committed>>);

    /// Takes up to `limit` pairs that are due, the oldest first. Nobody else gets them until `claimed_until` or their
    /// next commit.
    fn claim_due(&self, now_ms: u64, claimed_until: u64, limit: usize, done: Done<Vec<Pair>>);

    /// All pairs with users of an XMPP domain, page by page: up to `limit` behind the one named.
    fn pairs_of_domain(&self, domain: DomainName, after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>>);

    /// All pairs, page by page in the order of their keys: up to `limit` behind the one named.
    fn pairs(&self, after: Option<PairKey>, limit: usize, done: Done<Vec<Pair>>);

    /// How many held `subscribe` requests there are from a domain.
    fn count_held(&self, domain: DomainName, done: Done<u64>);

    /// Counts everything.
    fn counts(&self, done: Done<Counts>);
}

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}: {detail}")]
pub struct StoreError {
    /// Which file, or `postgresql://host/database`. Never a password.
    pub place: Arc<str>,
    /// What is wrong.
    pub fault: StoreFault,
    /// What the database says.
    pub detail: Arc<str>,
}

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// The file is no database, or damaged.
    #[error("the database is damaged; restore it from a backup, or move it away to begin with an empty one")]
    Corrupt,
    /// Another process holds the lock.
    #[error("the database is locked by another process; stop it and try again")]
    Locked,
    /// No space left.
    #[error("the disk is full; free some space")]
    DiskFull,
    /// The file cannot be opened, read or written.
    #[error("the database cannot be opened or written; check the path, its owner and its permissions")]
    Inaccessible,
    /// A newer version of the gateway made it.
    #[error("the database was made by a newer version of the gateway; start that version")]
    TooNew,
    /// The database server cannot be reached, or does not answer.
    #[error(
        "the database server cannot be reached or does not answer; check that it runs, its address, and the network"
    )]
    Unreachable,
    /// The server's certificate proves nothing, or it has no TLS.
    #[error("the database server is not trusted; check its certificate, ca, the host names, and sslmode")]
    Untrusted,
    /// The server does not let the user in, or not do this.
    #[error("the database server denies it; check user, password_file, certificate, and what this user may do")]
    Denied,
    /// The server has no database of this name.
    #[error("there is no such database on the server; create it, or correct its name")]
    NoDatabase,
    /// A standby, which only reads.
    #[error("the database server takes no changes; name its primary, or promote this one")]
    ReadOnly,
    /// The database cannot hold what is stored.
    #[error("the database does not do; make another one with ENCODING 'UTF8'")]
    Unsuitable,
    /// More, or larger, than the store takes.
    #[error("the store does not take this")]
    Refused,
    /// More calls than the store keeps waiting.
    #[error("the store is overloaded")]
    Overloaded,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else: a bug.
    #[error("the database refused a statement")]
    Statement,
}

impl StoreFault {
    /// Whether the same call may work a little later.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Locked | Self::DiskFull | Self::Inaccessible | Self::Overloaded => true,
            // While a server restarts, fails over or is being repaired, it may say any of these.
            Self::Unreachable | Self::Untrusted | Self::Denied | Self::NoDatabase | Self::ReadOnly => true,
            // A statement takes all others of its transaction with it.
            Self::Statement => true,
            Self::Corrupt | Self::TooNew | Self::Unsuitable | Self::Refused | Self::Closed => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod conformance;
