//! Reading pairs from their tables: one, those that are due, those of a domain; and counting them.

use causeway_shared::domain::DomainName;
use rusqlite::{Connection, Row, params};

use super::super::Counts;
use super::super::operator::bounds::Refused;
use super::super::row::{self, DialogColumns, StoredDialog, Unreadable};
use super::optional;
use crate::presence::record::{InDialog, Inbound, Outbound, Owed, Pair, PairKey};
use crate::translate::presence::ResourcePresence;

/// Why a statement had no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite says no.
    Sql(rusqlite::Error),
    /// A row cannot be what this program wrote.
    Row(Unreadable),
    /// It is more than the store takes: which bound, and by how much.
    Refused(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Unreadable> for Fault {
    fn from(error: Unreadable) -> Self {
        Self::Row(error)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.0)
    }
}

pub(super) type Sql<T> = Result<T, Fault>;

/// One pair.
pub(super) const PAIR: &str = "SELECT * FROM pair WHERE local = ?1 AND remote = ?2";

/// What is due, the oldest first.
pub(super) const DUE: &str = "SELECT * FROM pair WHERE due_at <= ?1 AND claimed_until <= ?1 ORDER BY due_at LIMIT ?2";

/// A page of all pairs.
pub(super) const PAGE: &str = "SELECT * FROM pair WHERE (local, remote) > (?1, ?2) ORDER BY local, remote LIMIT ?3";

/// A page of a domain's pairs.
pub(super) const PAGE_OF_DOMAIN: &str =
    "SELECT * FROM pair WHERE remote_domain = ?1 AND (local, remote) > (?2, ?3) ORDER BY local, remote LIMIT ?4";

/// What belongs to a pair, each from a table of its own.
pub(super) const IN: &str = "SELECT * FROM authorisation_in WHERE pair_id = ?1";
pub(super) const OUT: &str = "SELECT * FROM authorisation_out WHERE pair_id = ?1";
pub(super) const DIALOGS: &str = "SELECT * FROM dialog WHERE pair_id = ?1 ORDER BY position";
pub(super) const PRESENCE: &str = "SELECT * FROM presence WHERE pair_id = ?1 ORDER BY direction, position";
pub(super) const OWED: &str = "SELECT * FROM owed_stanza WHERE pair_id = ?1 ORDER BY resend_at, serial";

/// SQLite's integers are signed; times and counters stay far below the sign.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn count_of(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn integer_opt(value: Option<u64>) -> Option<i64> {
    value.map(integer)
}

pub(super) fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|value| u64::try_from(value).unwrap_or(0))
}

pub(super) fn unsigned_opt(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    row.get::<_, Option<i64>>(column).map(|value| value.map(|value| u64::try_from(value).unwrap_or(0)))
}

pub(super) fn load(connection: &Connection, key: &PairKey) -> Sql<Option<Pair>> {
    let mut statement = connection.prepare_cached(PAIR)?;
    let head = optional(statement.query_row(params![key.local.as_str(), key.remote.as_str()], Head::read))?;
    head.map(|head| load_rest(connection, &head)).transpose()
}

pub(super) fn claim_due(connection: &Connection, now_ms: u64, claimed_until: u64, limit: usize) -> Sql<Vec<Pair>> {
    let mut statement = connection.prepare_cached(DUE)?;
    let heads =
        statement.query_map(params![integer(now_ms), count_of(limit)], Head::read)?.collect::<Result<Vec<_>, _>>()?;
    let mut claim = connection.prepare_cached("UPDATE pair SET claimed_until = ?2 WHERE pair_id = ?1")?;
    let mut pairs = Vec::with_capacity(heads.len());
    for head in heads {
        claim.execute(params![head.pair_id, integer(claimed_until)])?;
        // A record that cannot be read stays claimed and comes up again later; the others must not wait for it.
        match load_rest(connection, &head) {
            Ok(pair) => pairs.push(pair),
            Err(Fault::Row(_)) => {}
            Err(fault @ (Fault::Sql(_) | Fault::Refused(_))) => return Err(fault),
        }
    }
    Ok(pairs)
}

pub(super) fn of_domain(
    connection: &Connection,
    domain: &DomainName,
    after: Option<&PairKey>,
    limit: usize,
) -> Sql<Vec<Pair>> {
    let (local, remote) = after.map_or(("", ""), |key| (key.local.as_str(), key.remote.as_str()));
    let mut statement = connection.prepare_cached(PAGE_OF_DOMAIN)?;
    let heads = statement.query_map(params![domain.as_str(), local, remote, count_of(limit)], Head::read)?;
    load_page(connection, heads.collect::<Result<_, _>>()?)
}

pub(super) fn all(connection: &Connection, after: Option<&PairKey>, limit: usize) -> Sql<Vec<Pair>> {
    let (local, remote) = after.map_or(("", ""), |key| (key.local.as_str(), key.remote.as_str()));
    let mut statement = connection.prepare_cached(PAGE)?;
    let heads = statement.query_map(params![local, remote, count_of(limit)], Head::read)?;
    load_page(connection, heads.collect::<Result<_, _>>()?)
}

fn load_page(connection: &Connection, heads: Vec<Head>) -> Sql<Vec<Pair>> {
    let mut pairs = Vec::with_capacity(heads.len());
    for head in heads {
        // The others must not wait for a record that cannot be read.
        match load_rest(connection, &head) {
            Ok(pair) => pairs.push(pair),
            Err(Fault::Row(_)) => {}
            Err(fault @ (Fault::Sql(_) | Fault::Refused(_))) => return Err(fault),
        }
    }
    Ok(pairs)
}

pub(super) fn count_held(connection: &Connection, domain: &DomainName) -> Sql<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM pair JOIN authorisation_in USING (pair_id) WHERE remote_domain = ?1 AND state = 'held'",
    )?;
    let count: i64 = statement.query_row([domain.as_str()], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn counts(connection: &Connection) -> Sql<Counts> {
    let count = |sql: &str| -> Sql<u64> {
        let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    Ok(Counts {
        pairs: count("SELECT count(*) FROM pair")?,
        authorisations_in: count("SELECT count(*) FROM authorisation_in WHERE state IN ('pending', 'authorised')")?,
        held: count("SELECT count(*) FROM authorisation_in WHERE state = 'held'")?,
        authorisations_out: count("SELECT count(*) FROM authorisation_out WHERE state <> 'none'")?,
        dialogs: count("SELECT count(*) FROM dialog")?,
    })
}

/// The row of the pair itself.
struct Head {
    pair_id: i64,
    local: String,
    remote: String,
    version: u64,
    serial: u32,
    due_at: Option<u64>,
}

impl Head {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            pair_id: row.get("pair_id")?,
            local: row.get("local")?,
            remote: row.get("remote")?,
            version: unsigned(row, "version")?,
            serial: row.get("serial")?,
            due_at: unsigned_opt(row, "due_at")?,
        })
    }
}

fn load_rest(connection: &Connection, head: &Head) -> Sql<Pair> {
    let key = PairKey { local: row::read_jid(&head.local)?, remote: row::read_jid(&head.remote)? };
    let mut pair = Pair::new(key);
    (pair.version, pair.serial, pair.due_at) = (head.version, head.serial, head.due_at);
    load_in(connection, head.pair_id, &mut pair.inbound)?;
    load_out(connection, head.pair_id, &mut pair.outbound)?;
    load_dialogs(connection, head.pair_id, &mut pair)?;
    load_presence(connection, head.pair_id, &mut pair)?;
    let mut statement = connection.prepare_cached(OWED)?;
    let mut rows = statement.query([head.pair_id])?;
    while let Some(row) = rows.next()? {
        let kind = row::read_kind(row.get_ref("kind")?.as_str().unwrap_or_default())?;
        pair.owed.push(Owed { serial: row.get("serial")?, kind, resend_at: unsigned(row, "resend_at")? });
    }
    Ok(pair)
}

fn load_in(connection: &Connection, pair_id: i64, inbound: &mut Inbound) -> Sql<()> {
    let mut statement = connection.prepare_cached(IN)?;
    let mut rows = statement.query([pair_id])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    inbound.authorisation = row::read_in_state(row.get_ref("state")?.as_str().unwrap_or_default())?;
    inbound.since_ms = unsigned(row, "since_ms")?;
    inbound.is_resync = row.get("is_resync")?;
    inbound.is_told = row.get("is_told")?;
    inbound.lease_until = unsigned(row, "lease_until")?;
    inbound.is_lease_probed = row.get("is_lease_probed")?;
    inbound.attempts = row.get("attempts")?;
    inbound.quick_count = row.get("quick_count")?;
    inbound.quick_since = unsigned(row, "quick_since")?;
    inbound.refusal_due = unsigned_opt(row, "refusal_due")?;
    inbound.probe = row.get("probe")?;
    inbound.gone_ms = unsigned_opt(row, "gone_ms")?;
    if let Some(until) = unsigned_opt(row, "backoff_until")? {
        inbound.dialog = InDialog::Backoff { until, may_hurry: row.get("may_hurry")? };
    }
    Ok(())
}

fn load_out(connection: &Connection, pair_id: i64, outbound: &mut Outbound) -> Sql<()> {
    let mut statement = connection.prepare_cached(OUT)?;
    let mut rows = statement.query([pair_id])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    outbound.authorisation = row::read_out_state(row.get_ref("state")?.as_str().unwrap_or_default())?;
    outbound.since_ms = unsigned(row, "since_ms")?;
    outbound.asked_at = unsigned(row, "asked_at")?;
    outbound.retry_at = unsigned_opt(row, "retry_at")?;
    outbound.attempts = row.get("attempts")?;
    outbound.cool_down_until = unsigned_opt(row, "cool_down_until")?;
    outbound.last_seen_ms = unsigned(row, "last_seen_ms")?;
    outbound.stale_at = unsigned_opt(row, "stale_at")?;
    Ok(())
}

fn load_dialogs(connection: &Connection, pair_id: i64, pair: &mut Pair) -> Sql<()> {
    let mut statement = connection.prepare_cached(DIALOGS)?;
    let mut rows = statement.query([pair_id])?;
    while let Some(row) = rows.next()? {
        let columns = DialogColumns {
            call_id: row.get("call_id")?,
            local_tag: row.get("local_tag")?,
            remote_tag: row.get("remote_tag")?,
            local_uri: row.get("local_uri")?,
            remote_uri: row.get("remote_uri")?,
            remote_target: row.get("remote_target")?,
            route_set: row.get("route_set")?,
            local_cseq: row.get("local_cseq")?,
            remote_cseq: row.get("remote_cseq")?,
        };
        let dialog = StoredDialog {
            columns,
            state: row.get("state")?,
            event: row.get("event")?,
            expires_s: row.get("expires_s")?,
            expires_at: unsigned(row, "expires_at")?,
            refresh_at: unsigned_opt(row, "refresh_at")?,
            refresh_cseq: row.get("refresh_cseq")?,
            refresh_asked_s: row.get("refresh_asked_s")?,
            refresh_until: unsigned_opt(row, "refresh_until")?,
            is_dirty: row.get("is_dirty")?,
            paced_until: unsigned(row, "paced_until")?,
            in_flight_cseq: row.get("in_flight_cseq")?,
            in_flight_until: unsigned_opt(row, "in_flight_until")?,
            fetch_until: unsigned_opt(row, "fetch_until")?,
        };
        dialog.put_into(pair)?;
    }
    Ok(())
}

fn load_presence(connection: &Connection, pair_id: i64, pair: &mut Pair) -> Sql<()> {
    let mut statement = connection.prepare_cached(PRESENCE)?;
    let mut rows = statement.query([pair_id])?;
    while let Some(row) = rows.next()? {
        let presence = ResourcePresence {
            resource: row.get("resource")?,
            available: row.get("is_available")?,
            show: row::read_show(row.get::<_, Option<String>>("show")?.as_deref())?,
            priority: row.get("priority")?,
            notes: row::read_notes(row.get_ref("notes")?.as_str().unwrap_or_default()),
            since_ms: unsigned_opt(row, "since_ms")?,
        };
        if row.get_ref("direction")?.as_str().unwrap_or_default() == "in" {
            pair.inbound.resources.push(presence);
        } else {
            pair.outbound.resources.push(presence);
        }
    }
    Ok(())
}
