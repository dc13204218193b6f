//! Committing pairs: many changes, of many callers, in one transaction.
//!
//! First the rows of the pairs themselves are written, each only if its version is still the one that the change started
//! from; what of the rest has changed follows, table by table ([`rows`]); then the transaction is committed. Pairs are
//! locked in the order of their keys, so that two gateways wait for each other at most once.
//!
//! If the connection is lost before the answer to `COMMIT`, nobody knows whether that happened. Each change then keeps
//! the version that it was about to get, is tried again on another connection, and counts as stored if that is the one it
//! finds: a step is never done twice, and never taken for somebody else's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio_postgres::Row;

use super::column::{integer, integer_opt, unsigned};
use super::connection::{COMMIT, Session};
use super::fault::Sql;
use super::queue::Job;
use crate::presence::record::{Pair, PairKey};
use crate::store::{Committed, Done, PairChange, StoreError};

mod rows;

use rows::Rows;

/// How often changes are tried again that were in the way of another transaction.
const CONTENTIONS: usize = 3;

/// What one caller wants committed.
pub(super) struct CommitJob {
    changes: Vec<PairChange>,
    progress: Vec<Progress>,
    done: Done<Vec<Committed>>,
}

/// How far a change is.
#[derive(Debug, Default, Clone)]
struct Progress {
    settled: Option<Committed>,
    /// What attempts would have made of it whose end is unknown; deleting gives no version.
    attempted: Vec<Option<u64>>,
}

impl std::fmt::Debug for CommitJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitJob").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl CommitJob {
    pub(super) fn new(changes: Vec<PairChange>, done: Done<Vec<Committed>>) -> Self {
        let progress = vec![Progress::default(); changes.len()];
        Self { changes, progress, done }
    }

    /// How many changes.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether some of it may be stored already.
    pub(super) fn may_be_stored(&self) -> bool {
        self.progress.iter().any(|progress| progress.settled.is_some() || !progress.attempted.is_empty())
    }

    /// Tells the caller what became of it.
    pub(super) fn finish(self) {
        // All are settled; what would not be is best loaded again.
        let settled = self.progress.iter().map(|progress| progress.settled.unwrap_or(Committed::Conflict));
        (self.done)(Ok(settled.collect()));
    }
}

impl Job for CommitJob {
    fn fail(self, error: StoreError) {
        (self.done)(Err(error));
    }
}

/// One change on its way, by its key.
type Round<'j> = BTreeMap<&'j PairKey, (&'j PairChange, &'j mut Progress)>;

/// Stores each change that started from the stored version. An error leaves what is settled settled.
pub(super) async fn commit(session: &Session, jobs: &mut [&mut CommitJob]) -> Sql<()> {
    let mut contentions = 0;
    loop {
        // Two changes of one pair cannot share a transaction: the second one finds what the first one has stored.
        let mut round = Round::new();
        for job in &mut *jobs {
            for (change, progress) in job.changes.iter().zip(&mut job.progress) {
                if progress.settled.is_none() {
                    round.entry(&change.after.key).or_insert((change, progress));
                }
            }
        }
        if round.is_empty() {
            return Ok(());
        }
        match transact(session, &mut round).await {
            Ok(()) => {}
            Err(fault) if fault.is_contention() && contentions < CONTENTIONS => contentions += 1,
            Err(fault) => return Err(fault),
        }
    }
}

/// Stores records that are new, each once, inside the caller's transaction. Answers with those that are there already.
pub(super) async fn insert(session: &Session, pairs: Vec<Pair>) -> Sql<Vec<PairKey>> {
    let changes: Vec<_> = pairs.into_iter().map(|after| PairChange { before: None, after: Arc::new(after) }).collect();
    let mut progress = vec![Progress::default(); changes.len()];
    let mut round = Round::new();
    let mut refused = Vec::new();
    for (change, progress) in changes.iter().zip(&mut progress) {
        if round.insert(&change.after.key, (change, progress)).is_some() {
            refused.push(change.after.key.clone());
        }
    }
    let written = write(session, &round).await?;
    refused.extend(written.into_iter().filter(|(_, outcome)| *outcome == Committed::Conflict).map(|(key, _)| key));
    Ok(refused)
}

async fn transact(session: &Session, round: &mut Round<'_>) -> Sql<()> {
    session.batch("BEGIN").await?;
    match write(session, round).await {
        Ok(stored) => {
            // From here on nobody knows, until the answer is here.
            for (key, (_, progress)) in &mut *round {
                if let Some(Committed::Stored { version }) = stored.get(*key) {
                    progress.attempted.push(Some(*version).filter(|version| *version > 0));
                }
            }
            session.batch(COMMIT).await?;
            for (key, (_, progress)) in round {
                progress.attempted.clear();
                progress.settled = stored.get(*key).copied();
            }
            Ok(())
        }
        Err(fault) => {
            if !fault.ends_connection() {
                session.batch("ROLLBACK").await?;
            }
            Err(fault)
        }
    }
}

/// What becomes of each change once the transaction is committed.
async fn write(session: &Session, round: &Round<'_>) -> Sql<HashMap<PairKey, Committed>> {
    let mut heads = Heads::default();
    let mut outcomes: HashMap<PairKey, Committed> = HashMap::with_capacity(round.len());
    for (key, (change, _)) in round {
        heads.add(key, change);
    }
    let (inserted, updated, deleted, present) = heads.write(session).await?;
    let mut rows = Rows::default();
    for row in inserted.iter().chain(&updated) {
        let (key, pair_id, version) = (key_of(row)?, row.try_get("pair_id")?, unsigned(row, "version")?);
        let Some((key, (change, _))) = round.get_key_value(&key) else { continue };
        let before = change.before.as_deref().filter(|before| before.version > 0);
        rows.add(pair_id, before, &change.after);
        outcomes.insert(PairKey::clone(key), Committed::Stored { version });
    }
    for row in &deleted {
        outcomes.insert(key_of(row)?, DELETED);
    }
    for key in heads.absent {
        outcomes.insert(key.clone(), DELETED);
    }
    for row in &present {
        outcomes.insert(key_of(row)?, Committed::Conflict);
    }
    rows.write(session).await?;
    let refused: Vec<&PairKey> = round.keys().copied().filter(|key| !outcomes.contains_key(*key)).collect();
    let lost = refused.iter().any(|key| round.get(*key).is_some_and(|(_, progress)| !progress.attempted.is_empty()));
    let found = if lost { versions(session, &refused).await? } else { HashMap::new() };
    for key in refused {
        let attempted = round.get(key).map_or(&[][..], |(_, progress)| &progress.attempted);
        let found = found.get(key).copied();
        let is_ours = attempted.contains(&found);
        let outcome = match found {
            Some(version) if is_ours => Committed::Stored { version },
            None if is_ours => DELETED,
            Some(_) | None => Committed::Conflict,
        };
        outcomes.insert(key.clone(), outcome);
    }
    Ok(outcomes)
}

/// A deleted record has no version.
const DELETED: Committed = Committed::Stored { version: 0 };

fn key_of(row: &Row) -> Sql<PairKey> {
    use crate::store::row::read_jid;
    Ok(PairKey { local: read_jid(row.try_get("local")?)?, remote: read_jid(row.try_get("remote")?)? })
}

/// The versions of the pairs that there are.
async fn versions(session: &Session, keys: &[&PairKey]) -> Sql<HashMap<PairKey, u64>> {
    let locals: Vec<&str> = keys.iter().map(|key| key.local.as_str()).collect();
    let remotes: Vec<&str> = keys.iter().map(|key| key.remote.as_str()).collect();
    let rows = session
        .query(
            "SELECT local, remote, version
             FROM unnest($1::text[], $2::text[]) AS asked (local, remote) JOIN pair USING (local, remote)",
            &[&locals, &remotes],
        )
        .await?;
    rows.iter().map(|row| Ok((key_of(row)?, unsigned(row, "version")?))).collect()
}

/// The rows of the pairs themselves, by what is to be done with them.
#[derive(Default)]
struct Heads<'r> {
    inserts: Columns<'r>,
    updates: Columns<'r>,
    deletes: Columns<'r>,
    /// Blank before and after: nothing to do, if nobody else has made it meanwhile.
    blanks: Columns<'r>,
    absent: Vec<&'r PairKey>,
}

#[derive(Default)]
struct Columns<'r> {
    locals: Vec<&'r str>,
    remotes: Vec<&'r str>,
    domains: Vec<&'r str>,
    before: Vec<i64>,
    serials: Vec<i64>,
    due_at: Vec<Option<i64>>,
}

impl<'r> Columns<'r> {
    fn add(&mut self, before: Option<&Pair>, after: &'r Pair) {
        self.locals.push(after.key.local.as_str());
        self.remotes.push(after.key.remote.as_str());
        self.domains.push(after.key.remote.domain());
        self.before.push(before.map_or(0, |before| integer(before.version)));
        self.serials.push(i64::from(after.serial));
        self.due_at.push(integer_opt(after.due_at));
    }
}

/// A new version: greater than all before it, and with bits that nobody can guess or get again.
macro_rules! new_version {
    () => {
        "(nextval('pair_version') << 16) | floor(random() * 65536)::bigint"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO pair (local, remote, remote_domain, version, serial, due_at)
     SELECT local, remote, remote_domain, ",
    new_version!(),
    ", serial, due_at
     FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
         AS new (local, remote, remote_domain, serial, due_at)
     ON CONFLICT (local, remote) DO NOTHING RETURNING local, remote, pair_id, version"
);
const UPDATE: &str = concat!(
    "WITH held AS (
         SELECT pair_id, new.serial, new.due_at
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
             AS new (local, remote, before, serial, due_at)
         JOIN pair USING (local, remote) WHERE version = before ORDER BY local, remote FOR UPDATE OF pair
     )
     UPDATE pair SET version = ",
    new_version!(),
    ", serial = held.serial, due_at = held.due_at, claimed_until = 0
     FROM held WHERE pair.pair_id = held.pair_id RETURNING local, remote, pair.pair_id, version"
);
const DELETE: &str = "WITH held AS (
         SELECT pair_id FROM unnest($1::text[], $2::text[], $3::bigint[]) AS gone (local, remote, before)
         JOIN pair USING (local, remote) WHERE version = before ORDER BY local, remote FOR UPDATE OF pair
     )
     DELETE FROM pair USING held WHERE pair.pair_id = held.pair_id RETURNING local, remote";
const PRESENT: &str = "SELECT local, remote
     FROM unnest($1::text[], $2::text[]) AS asked (local, remote) JOIN pair USING (local, remote)";

impl<'r> Heads<'r> {
    fn add(&mut self, key: &'r PairKey, change: &'r PairChange) {
        let before = change.before.as_deref().filter(|before| before.version > 0);
        let columns = match (before, change.after.is_blank()) {
            (None, true) => {
                self.absent.push(key);
                &mut self.blanks
            }
            (None, false) => &mut self.inserts,
            (Some(_), true) => &mut self.deletes,
            (Some(_), false) => &mut self.updates,
        };
        columns.add(before, &change.after);
    }

    /// Writes those that have the version they should have, and returns which: inserted, updated, deleted, and those that
    /// are there although they should not.
    async fn write(&self, session: &Session) -> Sql<(Vec<Row>, Vec<Row>, Vec<Row>, Vec<Row>)> {
        let (inserts, updates, deletes, blanks) = (&self.inserts, &self.updates, &self.deletes, &self.blanks);
        let Columns { locals, remotes, domains, serials, due_at, .. } = inserts;
        let inserted =
            session.query_if(!locals.is_empty(), INSERT, &[locals, remotes, domains, serials, due_at]).await?;
        let Columns { locals, remotes, before, serials, due_at, .. } = updates;
        let updated = session.query_if(!locals.is_empty(), UPDATE, &[locals, remotes, before, serials, due_at]).await?;
        let Columns { locals, remotes, before, .. } = deletes;
        let deleted = session.query_if(!locals.is_empty(), DELETE, &[locals, remotes, before]).await?;
        let Columns { locals, remotes, .. } = blanks;
        let present = session.query_if(!locals.is_empty(), PRESENT, &[locals, remotes]).await?;
        Ok((inserted, updated, deleted, present))
    }
}
