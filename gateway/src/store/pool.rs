//! What several gateways on one store know of each other: who is there, who does what only one may do, and secrets that all
//! must have alike.
//!
//! A third trait beside [`Store`](super::Store) and [`OperatorStore`](super::operator::OperatorStore), in the same style: a
//! call returns at once, its result comes through the callback. A store of one gateway has it too, so that nothing asks
//! whether there is a pool.

use tokio::sync::watch;

use super::Done;

/// Bytes of a report, and of a secret.
pub const MAX_REPORT: usize = 16 * 1024;
/// Bytes of the name of a replica, a duty, an occasion or a secret.
pub const MAX_POOL_NAME: usize = 512;
/// Replicas that may be there at once: each reads the reports of all every second.
pub const MAX_REPLICAS: usize = 256;
/// Duties remembered. Those that ended longest ago are forgotten first.
pub const MAX_DUTIES: usize = 4_000;
/// Secrets kept; each has a name that a program knows.
pub const MAX_SECRETS: usize = 64;

/// Whether a replica does what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// It does, until the time that it gave; nobody else does meanwhile.
    Mine,
    /// Another one does, until then.
    Elsewhere {
        /// Unix milliseconds; the one who has it may prolong it.
        until_ms: u64,
    },
    /// This occasion is over.
    Done,
}

/// The number grows whenever another replica says that something has changed.
pub type Hints = watch::Receiver<u64>;

/// The pool's part of a store. Whatever exceeds a bound of this module is refused with
/// [`StoreFault::Refused`](super::StoreFault::Refused), which names the bound.
pub trait PoolStore: Send + Sync {
    /// Stores what a replica reports of itself (JSON), and answers with the reports of all that are not older than
    /// `forget_before_ms`, in the order of their ids, each with its time; older ones are removed.
    fn report_replica(
        &self,
        id: String,
        now_ms: u64,
        report: String,
        forget_before_ms: u64,
        done: Done<Vec<(String, u64, String)>>,
    );

    /// The replica has left.
    fn remove_replica(&self, id: String, done: Done<()>);

    /// Takes or keeps a duty that one replica does for all. `token` names this occasion of it: another token than the
    /// stored one starts it anew, whoever held the one before.
    fn claim_duty(&self, duty: String, token: String, holder: String, now_ms: u64, until_ms: u64, done: Done<Duty>);

    /// The occasion is over: nobody does it again until another token comes. If it is not the stored one, nothing changes.
    fn finish_duty(&self, duty: String, token: String, done: Done<()>);

    /// The secret of this name; the candidate becomes it if there is none.
    fn secret(&self, name: String, candidate: Vec<u8>, done: Done<Vec<u8>>);

    /// The store's clock, Unix milliseconds: the database's, or this process's where the store is a file.
    fn clock(&self, done: Done<u64>);

    /// Told whenever another replica says that something changed: a hint only, which may be lost. The channel stays open as
    /// long as the store.
    fn hints(&self) -> Hints;
}

/// The hints of a store that only one gateway uses: none, ever.
#[derive(Debug)]
pub struct NoHints(watch::Sender<u64>);

impl Default for NoHints {
    fn default() -> Self {
        Self(watch::channel(0).0)
    }
}

impl NoHints {
    /// A channel that stays silent.
    pub fn subscribe(&self) -> Hints {
        self.0.subscribe()
    }
}

/// What a duty's row, if there is one, says to a replica that claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DutyRow<'a> {
    pub(super) token: &'a str,
    pub(super) holder: &'a str,
    pub(super) until_ms: u64,
    pub(super) is_finished: bool,
}

impl DutyRow<'_> {
    /// The one rule of all engines. [`Duty::Mine`] has to be written down.
    pub(super) fn claimed_by(&self, token: &str, holder: &str, now_ms: u64) -> Duty {
        if self.token != token {
            return Duty::Mine;
        }
        if self.is_finished {
            return Duty::Done;
        }
        if self.holder == holder || self.until_ms <= now_ms {
            return Duty::Mine;
        }
        Duty::Elsewhere { until_ms: self.until_ms }
    }
}
