//! Reading pairs from their tables: those asked for, those that are due, those of a page; and counting them.
//!
//! The rows of a pair are read for many pairs at once, table by table, in one snapshot or behind the locks of a claim.

use std::collections::{BTreeSet, HashMap};

use causeway_shared::domain::DomainName;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::column::{count_of, integer, unsigned, unsigned_opt};
use super::connection::Session;
use super::fault::{Fault, Sql};
use super::queue::Job;
use crate::presence::record::{InDialog, Inbound, Outbound, Owed, Pair, PairKey};
use crate::store::row::{self, DialogColumns, StoredDialog, Unreadable};
use crate::store::{Counts, Done, StoreError};
use crate::translate::presence::ResourcePresence;

/// A pair to load.
pub(super) struct LoadJob {
    pub(super) key: PairKey,
    pub(super) done: Done<Option<Pair>>,
}

impl std::fmt::Debug for LoadJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadJob").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Job for LoadJob {
    fn fail(self, error: StoreError) {
        (self.done)(Err(error));
    }
}

/// Loads the records of pairs; of those that there are none of, nothing is returned.
pub(super) async fn load(session: &Session, keys: &[&PairKey]) -> Sql<HashMap<PairKey, Result<Pair, Unreadable>>> {
    // Two callers may ask for the same pair.
    let keys: BTreeSet<_> = keys.iter().collect();
    let locals: Vec<&str> = keys.iter().map(|key| key.local.as_str()).collect();
    let remotes: Vec<&str> = keys.iter().map(|key| key.remote.as_str()).collect();
    session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let loaded = async {
        let heads = session
            .query(
                "SELECT pair_id, local, remote, version, serial, due_at
                 FROM unnest($1::text[], $2::text[]) AS asked (local, remote) JOIN pair USING (local, remote)",
                &[&locals, &remotes],
            )
            .await?;
        load_rest(session, &heads).await
    };
    let loaded = loaded.await;
    if loaded.as_ref().err().is_none_or(|fault| !fault.ends_connection()) {
        session.batch("COMMIT").await?;
    }
    Ok(loaded?.into_iter().filter_map(|(key, pair)| Some((key?, pair))).collect())
}

/// Takes those that are due, the oldest first. What somebody else is taking or committing at this moment is left to him.
pub(super) async fn claim_due(session: &Session, now_ms: u64, claimed_until: u64, limit: usize) -> Sql<Vec<Pair>> {
    let mut heads = session
        .query(
            "WITH due AS (
                 SELECT pair_id FROM pair WHERE due_at <= $1 AND claimed_until <= $1
                 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )
             UPDATE pair SET claimed_until = $3 FROM due WHERE pair.pair_id = due.pair_id
             RETURNING pair.pair_id, local, remote, version, serial, due_at",
            &[&integer(now_ms), &count_of(limit), &integer(claimed_until)],
        )
        .await?;
    heads.sort_by_key(|head| head.try_get::<_, Option<i64>>("due_at").unwrap_or_default());
    readable(load_rest(session, &heads).await?)
}

pub(super) async fn of_domain(
    session: &Session,
    domain: &DomainName,
    after: Option<&PairKey>,
    limit: usize,
) -> Sql<Vec<Pair>> {
    let (local, remote) = after.map_or(("", ""), |key| (key.local.as_str(), key.remote.as_str()));
    let heads = session
        .query(
            "SELECT pair_id, local, remote, version, serial, due_at FROM pair
             WHERE remote_domain = $1 AND (local, remote) > ($2, $3) ORDER BY local, remote LIMIT $4",
            &[&domain.as_str(), &local, &remote, &count_of(limit)],
        )
        .await?;
    readable(load_rest(session, &heads).await?)
}

pub(super) async fn all(session: &Session, after: Option<&PairKey>, limit: usize) -> Sql<Vec<Pair>> {
    let (local, remote) = after.map_or(("", ""), |key| (key.local.as_str(), key.remote.as_str()));
    let heads = session
        .query(
            "SELECT pair_id, local, remote, version, serial, due_at FROM pair
             WHERE (local, remote) > ($1, $2) ORDER BY local, remote LIMIT $3",
            &[&local, &remote, &count_of(limit)],
        )
        .await?;
    readable(load_rest(session, &heads).await?)
}

pub(super) async fn count_held(session: &Session, domain: &DomainName) -> Sql<u64> {
    let row = session
        .query_one(
            "SELECT count(*) AS held FROM authorisation_in JOIN pair USING (pair_id)
             WHERE state = 'held' AND remote_domain = $1",
            &[&domain.as_str()],
        )
        .await?;
    unsigned(&row, "held")
}

pub(super) async fn counts(session: &Session) -> Sql<Counts> {
    let row = session
        .query_one(
            "SELECT (SELECT count(*) FROM pair) AS pairs,
                    (SELECT count(*) FROM authorisation_in WHERE state IN ('pending', 'authorised')) AS authorisations_in,
                    (SELECT count(*) FROM authorisation_in WHERE state = 'held') AS held,
                    (SELECT count(*) FROM authorisation_out WHERE state <> 'none') AS authorisations_out,
                    (SELECT count(*) FROM dialog) AS dialogs",
            &[],
        )
        .await?;
    Ok(Counts {
        pairs: unsigned(&row, "pairs")?,
        authorisations_in: unsigned(&row, "authorisations_in")?,
        held: unsigned(&row, "held")?,
        authorisations_out: unsigned(&row, "authorisations_out")?,
        dialogs: unsigned(&row, "dialogs")?,
    })
}

/// A record on its way, under its key unless that is what cannot be read.
type Loaded = (Option<PairKey>, Result<Pair, Unreadable>);

/// A page must not wait for a record that cannot be read.
fn readable(loaded: Vec<Loaded>) -> Sql<Vec<Pair>> {
    Ok(loaded.into_iter().filter_map(|(_, pair)| pair.ok()).collect())
}

/// Everything else about these pairs, in their order.
async fn load_rest(session: &Session, heads: &[Row]) -> Sql<Vec<Loaded>> {
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::with_capacity(heads.len());
    let mut pairs = Vec::with_capacity(heads.len());
    for head in heads {
        ids.push(head.try_get::<_, i64>("pair_id")?);
        pairs.push(own(read_head(head))?);
    }
    let places: HashMap<i64, usize> = ids.iter().copied().zip(0..).collect();
    let of_these: [&(dyn ToSql + Sync); 1] = [&ids];
    let (inbound, outbound, dialogs, presence, owed) = tokio::try_join!(
        session.query(SELECT_IN, &of_these),
        session.query(SELECT_OUT, &of_these),
        session.query(SELECT_DIALOGS, &of_these),
        session.query(SELECT_PRESENCE, &of_these),
        session.query(SELECT_OWED, &of_these),
    )?;
    let mut fill = |rows: Vec<Row>, read: fn(&Row, &mut Pair) -> Sql<()>| -> Sql<()> {
        for row in rows {
            let place = places.get(&row.try_get::<_, i64>("pair_id")?);
            let Some(slot) = place.and_then(|place| pairs.get_mut(*place)) else { continue };
            if let Ok(pair) = slot
                && let Err(unreadable) = own(read(&row, pair))?
            {
                *slot = Err(unreadable);
            }
        }
        Ok(())
    };
    fill(inbound, |row, pair| read_in(row, &mut pair.inbound))?;
    fill(outbound, |row, pair| read_out(row, &mut pair.outbound))?;
    fill(dialogs, read_dialog)?;
    fill(presence, read_presence)?;
    fill(owed, read_owed)?;
    let keys = heads.iter().map(|head| read_key(head).ok());
    Ok(keys.zip(pairs).collect())
}

/// Parts what is wrong with one record from what is wrong with all of them.
fn own<T>(read: Sql<T>) -> Sql<Result<T, Unreadable>> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Row(unreadable)) => Ok(Err(unreadable)),
        Err(fault @ (Fault::Sql(_) | Fault::Refused(_) | Fault::Named(..))) => Err(fault),
    }
}

const SELECT_IN: &str = "SELECT pair_id, state, since_ms, is_resync, is_told, lease_until, is_lease_probed, attempts,
    quick_count, quick_since, refusal_due, probe, backoff_until, may_hurry, gone_ms
    FROM authorisation_in WHERE pair_id = ANY($1)";
const SELECT_OUT: &str = "SELECT pair_id, state, since_ms, asked_at, retry_at, attempts, cool_down_until, last_seen_ms,
    stale_at FROM authorisation_out WHERE pair_id = ANY($1)";
const SELECT_DIALOGS: &str = "SELECT pair_id, call_id, local_tag, state, remote_tag, local_uri, remote_uri,
    remote_target, route_set, local_cseq, remote_cseq, event, expires_s, expires_at, refresh_at, refresh_cseq,
    refresh_asked_s, refresh_until, is_dirty, paced_until, in_flight_cseq, in_flight_until, fetch_until
    FROM dialog WHERE pair_id = ANY($1) ORDER BY pair_id, position";
const SELECT_PRESENCE: &str = "SELECT pair_id, direction, resource, is_available, show, priority, notes, since_ms
    FROM presence WHERE pair_id = ANY($1) ORDER BY pair_id, direction, position";
const SELECT_OWED: &str = "SELECT pair_id, kind, serial, resend_at
    FROM owed_stanza WHERE pair_id = ANY($1) ORDER BY pair_id, resend_at, serial";

fn read_key(head: &Row) -> Sql<PairKey> {
    let (local, remote): (&str, &str) = (head.try_get("local")?, head.try_get("remote")?);
    Ok(PairKey { local: row::read_jid(local)?, remote: row::read_jid(remote)? })
}

fn read_head(head: &Row) -> Sql<Pair> {
    let mut pair = Pair::new(read_key(head)?);
    pair.version = unsigned(head, "version")?;
    pair.serial = small(head, "serial")?;
    pair.due_at = unsigned_opt(head, "due_at")?;
    Ok(pair)
}

/// A column of 32 bits without a sign, which PostgreSQL has no type for.
fn small(row: &Row, column: &str) -> Sql<u32> {
    Ok(u32::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default())
}

fn small_opt(row: &Row, column: &str) -> Sql<Option<u32>> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(|value| u32::try_from(value).unwrap_or_default()))
}

fn read_in(row: &Row, inbound: &mut Inbound) -> Sql<()> {
    inbound.authorisation = row::read_in_state(row.try_get("state")?)?;
    inbound.since_ms = unsigned(row, "since_ms")?;
    inbound.is_resync = row.try_get("is_resync")?;
    inbound.is_told = row.try_get("is_told")?;
    inbound.lease_until = unsigned(row, "lease_until")?;
    inbound.is_lease_probed = row.try_get("is_lease_probed")?;
    inbound.attempts = small(row, "attempts")?;
    inbound.quick_count = small(row, "quick_count")?;
    inbound.quick_since = unsigned(row, "quick_since")?;
    inbound.refusal_due = unsigned_opt(row, "refusal_due")?;
    inbound.probe = row.try_get("probe")?;
    inbound.gone_ms = unsigned_opt(row, "gone_ms")?;
    if let Some(until) = unsigned_opt(row, "backoff_until")? {
        inbound.dialog = InDialog::Backoff { until, may_hurry: row.try_get("may_hurry")? };
    }
    Ok(())
}

fn read_out(row: &Row, outbound: &mut Outbound) -> Sql<()> {
    outbound.authorisation = row::read_out_state(row.try_get("state")?)?;
    outbound.since_ms = unsigned(row, "since_ms")?;
    outbound.asked_at = unsigned(row, "asked_at")?;
    outbound.retry_at = unsigned_opt(row, "retry_at")?;
    outbound.attempts = small(row, "attempts")?;
    outbound.cool_down_until = unsigned_opt(row, "cool_down_until")?;
    outbound.last_seen_ms = unsigned(row, "last_seen_ms")?;
    outbound.stale_at = unsigned_opt(row, "stale_at")?;
    Ok(())
}

fn read_dialog(row: &Row, pair: &mut Pair) -> Sql<()> {
    let columns = DialogColumns {
        call_id: row.try_get("call_id")?,
        local_tag: row.try_get("local_tag")?,
        remote_tag: row.try_get("remote_tag")?,
        local_uri: row.try_get("local_uri")?,
        remote_uri: row.try_get("remote_uri")?,
        remote_target: row.try_get("remote_target")?,
        route_set: row.try_get("route_set")?,
        local_cseq: small_opt(row, "local_cseq")?,
        remote_cseq: small_opt(row, "remote_cseq")?,
    };
    let dialog = StoredDialog {
        columns,
        state: row.try_get("state")?,
        event: row.try_get("event")?,
        expires_s: small(row, "expires_s")?,
        expires_at: unsigned(row, "expires_at")?,
        refresh_at: unsigned_opt(row, "refresh_at")?,
        refresh_cseq: small_opt(row, "refresh_cseq")?,
        refresh_asked_s: small_opt(row, "refresh_asked_s")?,
        refresh_until: unsigned_opt(row, "refresh_until")?,
        is_dirty: row.try_get("is_dirty")?,
        paced_until: unsigned(row, "paced_until")?,
        in_flight_cseq: small_opt(row, "in_flight_cseq")?,
        in_flight_until: unsigned_opt(row, "in_flight_until")?,
        fetch_until: unsigned_opt(row, "fetch_until")?,
    };
    Ok(dialog.put_into(pair)?)
}

fn read_presence(row: &Row, pair: &mut Pair) -> Sql<()> {
    let presence = ResourcePresence {
        resource: row.try_get("resource")?,
        available: row.try_get("is_available")?,
        show: row::read_show(row.try_get("show")?)?,
        priority: row.try_get::<_, Option<i64>>("priority")?.and_then(|priority| priority.try_into().ok()),
        notes: row::read_notes(row.try_get("notes")?),
        since_ms: unsigned_opt(row, "since_ms")?,
    };
    if row.try_get::<_, &str>("direction")? == "in" {
        pair.inbound.resources.push(presence);
    } else {
        pair.outbound.resources.push(presence);
    }
    Ok(())
}

fn read_owed(row: &Row, pair: &mut Pair) -> Sql<()> {
    let kind = row::read_kind(row.try_get("kind")?)?;
    pair.owed.push(Owed { serial: small(row, "serial")?, kind, resend_at: unsigned(row, "resend_at")? });
    Ok(())
}
