//! Reading pairs from their tables: one, those that are due, those of a domain; and counting them.

use causeway_shared::domain::DomainName;
use rusqlite::types::FromSql;
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

/// One pair. All that read the row of a pair name the columns that [`Head::read`] takes, in its order.
pub(super) const PAIR: &str =
    "SELECT pair_id, local, remote, version, serial, due_at, notifying FROM pair WHERE local = ?1 AND remote = ?2";

/// What is due, the oldest first.
pub(super) const DUE: &str = "SELECT pair_id, local, remote, version, serial, due_at, notifying FROM pair \
     WHERE due_at <= ?1 AND claimed_until <= ?1 ORDER BY due_at LIMIT ?2";

/// A page of all pairs.
pub(super) const PAGE: &str = "SELECT pair_id, local, remote, version, serial, due_at, notifying FROM pair \
     WHERE (local, remote) > (?1, ?2) ORDER BY local, remote LIMIT ?3";

/// A page of a domain's pairs.
pub(super) const PAGE_OF_DOMAIN: &str = "SELECT pair_id, local, remote, version, serial, due_at, notifying FROM pair \
     WHERE remote_domain = ?1 AND (local, remote) > (?2, ?3) ORDER BY local, remote LIMIT ?4";

/// What belongs to a pair, each from a table of its own, with the columns in the order in which they are taken.
pub(super) const IN: &str = "SELECT state, since_ms, is_resync, is_told, lease_until, is_lease_probed, attempts, \
     quick_count, quick_since, refusal_due, probe, gone_ms, backoff_until, may_hurry \
     FROM authorisation_in WHERE pair_id = ?1";
pub(super) const OUT: &str = "SELECT state, since_ms, asked_at, retry_at, attempts, cool_down_until, last_seen_ms, \
     stale_at FROM authorisation_out WHERE pair_id = ?1";
pub(super) const DIALOGS: &str = "SELECT call_id, local_tag, remote_tag, local_uri, remote_uri, remote_target, \
     route_set, local_cseq, remote_cseq, state, event, expires_s, expires_at, refresh_at, refresh_cseq, refresh_asked_s, \
     refresh_until, is_dirty, paced_until, in_flight_cseq, in_flight_until, fetch_until \
     FROM dialog WHERE pair_id = ?1 ORDER BY position";
pub(super) const PRESENCE: &str = "SELECT direction, resource, is_available, show, priority, notes, since_ms \
     FROM presence WHERE pair_id = ?1 ORDER BY direction, position";
pub(super) const OWED: &str =
    "SELECT kind, serial, resend_at FROM owed_stanza WHERE pair_id = ?1 ORDER BY resend_at, serial";

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
    row.get(column).map(from_signed)
}

pub(super) fn unsigned_opt(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(from_signed))
}

/// The columns of a row from left to right: each by its name would cost more than the value.
struct Columns<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Columns<'r> {
    fn of(row: &'r Row<'r>) -> Self {
        Self { row, next: 0 }
    }

    fn place(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.row.get(self.place())
    }

    fn unsigned(&mut self) -> rusqlite::Result<u64> {
        self.take().map(from_signed)
    }

    fn unsigned_opt(&mut self) -> rusqlite::Result<Option<u64>> {
        Ok(self.take::<Option<i64>>()?.map(from_signed))
    }

    /// Empty if it is none.
    fn text(&mut self) -> rusqlite::Result<&'r str> {
        Ok(self.row.get_ref(self.place())?.as_str().unwrap_or_default())
    }
}

fn from_signed(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
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
    notifying: Option<String>,
}

impl Head {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut columns = Columns::of(row);
        Ok(Self {
            pair_id: columns.take()?,
            local: columns.take()?,
            remote: columns.take()?,
            version: columns.unsigned()?,
            serial: columns.take()?,
            due_at: columns.unsigned_opt()?,
            notifying: columns.take()?,
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
    if let Some(notifying) = &head.notifying {
        row::read_notifying(notifying, &mut pair.outbound.dialogs)?;
    }
    load_presence(connection, head.pair_id, &mut pair)?;
    let mut statement = connection.prepare_cached(OWED)?;
    let mut rows = statement.query([head.pair_id])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let kind = row::read_kind(columns.text()?)?;
        pair.owed.push(Owed { serial: columns.take()?, kind, resend_at: columns.unsigned()? });
    }
    Ok(pair)
}

fn load_in(connection: &Connection, pair_id: i64, inbound: &mut Inbound) -> Sql<()> {
    let mut statement = connection.prepare_cached(IN)?;
    let mut rows = statement.query([pair_id])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let mut columns = Columns::of(row);
    inbound.authorisation = row::read_in_state(columns.text()?)?;
    inbound.since_ms = columns.unsigned()?;
    inbound.is_resync = columns.take()?;
    inbound.is_told = columns.take()?;
    inbound.lease_until = columns.unsigned()?;
    inbound.is_lease_probed = columns.take()?;
    inbound.attempts = columns.take()?;
    inbound.quick_count = columns.take()?;
    inbound.quick_since = columns.unsigned()?;
    inbound.refusal_due = columns.unsigned_opt()?;
    inbound.probe = columns.take()?;
    inbound.gone_ms = columns.unsigned_opt()?;
    if let Some(until) = columns.unsigned_opt()? {
        inbound.dialog = InDialog::Backoff { until, may_hurry: columns.take()? };
    }
    Ok(())
}

fn load_out(connection: &Connection, pair_id: i64, outbound: &mut Outbound) -> Sql<()> {
    let mut statement = connection.prepare_cached(OUT)?;
    let mut rows = statement.query([pair_id])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let mut columns = Columns::of(row);
    outbound.authorisation = row::read_out_state(columns.text()?)?;
    outbound.since_ms = columns.unsigned()?;
    outbound.asked_at = columns.unsigned()?;
    outbound.retry_at = columns.unsigned_opt()?;
    outbound.attempts = columns.take()?;
    outbound.cool_down_until = columns.unsigned_opt()?;
    outbound.last_seen_ms = columns.unsigned()?;
    outbound.stale_at = columns.unsigned_opt()?;
    Ok(())
}

fn load_dialogs(connection: &Connection, pair_id: i64, pair: &mut Pair) -> Sql<()> {
    let mut statement = connection.prepare_cached(DIALOGS)?;
    let mut rows = statement.query([pair_id])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let names = DialogColumns {
            call_id: columns.take()?,
            local_tag: columns.take()?,
            remote_tag: columns.take()?,
            local_uri: columns.take()?,
            remote_uri: columns.take()?,
            remote_target: columns.take()?,
            route_set: columns.take()?,
            local_cseq: columns.take()?,
            remote_cseq: columns.take()?,
        };
        let dialog = StoredDialog {
            columns: names,
            state: columns.take()?,
            event: columns.take()?,
            expires_s: columns.take()?,
            expires_at: columns.unsigned()?,
            refresh_at: columns.unsigned_opt()?,
            refresh_cseq: columns.take()?,
            refresh_asked_s: columns.take()?,
            refresh_until: columns.unsigned_opt()?,
            is_dirty: columns.take()?,
            paced_until: columns.unsigned()?,
            in_flight_cseq: columns.take()?,
            in_flight_until: columns.unsigned_opt()?,
            fetch_until: columns.unsigned_opt()?,
        };
        dialog.put_into(pair)?;
    }
    Ok(())
}

fn load_presence(connection: &Connection, pair_id: i64, pair: &mut Pair) -> Sql<()> {
    let mut statement = connection.prepare_cached(PRESENCE)?;
    let mut rows = statement.query([pair_id])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let is_in = columns.text()? == "in";
        let presence = ResourcePresence {
            resource: columns.take()?,
            available: columns.take()?,
            show: row::read_show(columns.take::<Option<String>>()?.as_deref())?,
            priority: columns.take()?,
            notes: row::read_notes(columns.text()?),
            since_ms: columns.unsigned_opt()?,
        };
        if is_in {
            pair.inbound.resources.push(presence);
        } else {
            pair.outbound.resources.push(presence);
        }
    }
    Ok(())
}
