//! What several gateways on one store know of each other: who is there, who does what only one may do, secrets that all must
//! have alike, and the order of what they tell the edges.
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
/// A process that has been silent for so long, while another one of its name reports, was replaced by it: one that ends again
/// and again after its start must not take the room of all others.
pub const REPLACED_AFTER_MS: u64 = 5_000;
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

/// What a replica wants a snapshot's version for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotAsk {
    /// The revision of what operators keep in the store.
    pub revision: u64,
    /// What stands for the content of the replica's own files.
    pub digest: String,
    /// Whether its files have changed, or it has just started: what comes last leads.
    pub is_new: bool,
    /// Unix milliseconds: a version is the time at which it was first asked for.
    pub now_ms: u64,
}

/// The number grows whenever another replica says that something has changed.
pub type Hints = watch::Receiver<u64>;

/// The pool's part of a store. Whatever exceeds a bound of this module is refused with
/// [`StoreFault::Refused`](super::StoreFault::Refused), which names the bound.
pub trait PoolStore: Send + Sync {
    /// Stores what a replica reports of itself (JSON), and answers with the reports of all that are not older than
    /// `forget_before_ms`, in the order of their ids, each with its time; older ones are removed. So are those that it
    /// replaces: the id is `name#process`, and others of the same name that have been silent for [`REPLACED_AFTER_MS`] are
    /// gone.
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

    /// Whoever holds duties leaves in order: all that he has not finished, but for the one named `kept`, are free for others
    /// at once.
    fn give_back_duties(&self, holder: String, kept: String, done: Done<()>);

    /// The secret of this name; the candidate becomes it if there is none.
    fn secret(&self, name: String, candidate: Vec<u8>, done: Done<Vec<u8>>);

    /// All secrets, by their names: for who moves a store, and makes none.
    fn secrets(&self, done: Done<Vec<(String, Vec<u8>)>>);

    /// Each of these becomes the secret of its name, whatever was there.
    fn replace_secrets(&self, secrets: Vec<(String, Vec<u8>)>, done: Done<()>);

    /// The version under which a replica tells the edges what follows from a revision and from its own files. The same
    /// content has the same version on all replicas, a newer revision a greater one, and of replicas whose files differ
    /// the one that came up with its files last is the greater one at every revision. `None` if the revision is not the
    /// present one: the replica has to read it first.
    fn snapshot_version(&self, ask: SnapshotAsk, done: Done<Option<u64>>);

    /// The schema that this program works with, by its number.
    fn schema(&self) -> u32;

    /// Whether several gateways may share the store.
    fn is_shared(&self) -> bool;

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

/// What the ids of all processes of a replica's name begin with.
pub(super) fn name_of(id: &str) -> &str {
    id.rfind('#').and_then(|end| id.get(..=end)).unwrap_or(id)
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

/// The newest version: of which revision, and whose files lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SnapshotRow {
    pub(super) revision: u64,
    pub(super) digest: String,
    pub(super) version: u64,
}

impl SnapshotRow {
    /// The one rule of all engines, for a replica that has read the present revision: its version, and what is stored
    /// from now on.
    pub(super) fn version_for(stored: Option<Self>, ask: &SnapshotAsk) -> (u64, Self) {
        let Some(stored) = stored else {
            let version = ask.now_ms.max(1);
            return (version, Self { revision: ask.revision, digest: ask.digest.clone(), version });
        };
        // Two further, so that there is one between for those who do not lead.
        let next = ask.now_ms.max(stored.version.saturating_add(2));
        let (leads, is_told) = (stored.digest == ask.digest, stored.revision == ask.revision);
        match (leads || ask.is_new, is_told) {
            (true, true) if leads => (stored.version, stored),
            (true, _) => (next, Self { revision: ask.revision, digest: ask.digest.clone(), version: next }),
            (false, true) => (stored.version.saturating_sub(1), stored),
            // The leader will ask, too, and go beyond.
            (false, false) => (next, Self { version: next, ..stored }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(revision: u64, digest: &str, is_new: bool, now_ms: u64) -> SnapshotAsk {
        SnapshotAsk { revision, digest: digest.into(), is_new, now_ms }
    }

    /// The versions that one after the other gets.
    fn versions(asks: &[SnapshotAsk]) -> Vec<u64> {
        let mut stored = None;
        let version = |ask: &SnapshotAsk| {
            let (version, row) = SnapshotRow::version_for(stored.take(), ask);
            stored = Some(row);
            version
        };
        asks.iter().map(version).collect()
    }

    #[test]
    fn equal_content_has_one_version_however_late_it_is_asked_for() {
        let asks =
            [ask(1, "a", true, 100), ask(1, "a", true, 900), ask(2, "a", false, 1_000), ask(2, "a", false, 1_001)];
        assert_eq!(versions(&asks), [100, 100, 1_000, 1_000]);
    }

    #[test]
    fn versions_grow_though_a_clock_is_behind() {
        let asks = [ask(1, "a", true, 100), ask(2, "a", false, 50), ask(2, "b", true, 60), ask(3, "b", false, 60)];
        assert_eq!(versions(&asks), [100, 102, 104, 106]);
    }

    #[test]
    fn of_files_that_differ_those_that_came_last_lead_at_every_revision_whoever_is_faster() {
        let both = [ask(1, "old", true, 100), ask(1, "new", true, 200)];
        for (first, second) in [("old", "new"), ("new", "old")] {
            let mut asks = both.to_vec();
            for revision in 2..5 {
                asks.extend([first, second].map(|digest| ask(revision, digest, false, revision * 1_000)));
            }
            let versions = versions(&asks);
            let mut newest = versions[1];
            for pair in versions[2..].chunks(2) {
                let (old, new) = if first == "old" { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
                assert!(old < new && old > newest, "{first} first: {versions:?}");
                newest = new;
            }
        }
    }

    #[test]
    fn a_store_that_was_set_back_does_not_set_versions_back() {
        assert_eq!(versions(&[ask(7, "a", true, 100), ask(3, "a", true, 90)]), [100, 102]);
    }

    #[test]
    fn files_that_come_back_lead_again() {
        assert_eq!(versions(&[ask(1, "a", true, 1), ask(1, "b", true, 5), ask(1, "a", true, 9)]), [1, 5, 9]);
    }
}
