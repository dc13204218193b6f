//! The journal in its table.

use rusqlite::{Connection, Row, params};

use super::super::pairs::{Sql, count_of, integer, unsigned};
use crate::admin::journal::{ActorKind, Hash, JournalEntry, JournalRecord, Outcome};
use crate::store::operator::MAX_JOURNAL_PAGE;
use crate::store::operator::bounds::entries_fit;
use crate::store::row::unreadable;

pub(super) fn end(connection: &Connection) -> Sql<(u64, Hash)> {
    let mut statement = connection.prepare_cached("SELECT seq, hash FROM journal_end")?;
    Ok(statement.query_row([], |row| Ok((unsigned(row, "seq")?, row.get("hash")?)))?)
}

pub(super) fn append(connection: &Connection, entries: Vec<JournalEntry>) -> Sql<u64> {
    entries_fit(&entries)?;
    let (mut seq, mut hash) = end(connection)?;
    if entries.is_empty() {
        return Ok(seq);
    }
    for entry in entries {
        let record = JournalRecord::after(seq, hash, entry);
        insert(connection, &record)?;
        (seq, hash) = (record.seq, record.hash);
    }
    set_end(connection, seq, &hash)?;
    Ok(seq)
}

pub(super) fn set_end(connection: &Connection, seq: u64, hash: &Hash) -> Sql<()> {
    connection.prepare_cached("UPDATE journal_end SET seq = ?1, hash = ?2")?.execute(params![integer(seq), hash])?;
    Ok(())
}

pub(super) fn insert(connection: &Connection, record: &JournalRecord) -> Sql<()> {
    let JournalRecord { seq, previous_hash, hash, entry } = record;
    let mut statement = connection.prepare_cached(
        "INSERT INTO journal (seq, previous_hash, hash, at_ms, actor, actor_kind, address, action, object, outcome, detail) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    statement.execute(params![
        integer(*seq),
        previous_hash,
        hash,
        integer(entry.at_ms),
        entry.actor,
        entry.actor_kind.as_str(),
        entry.address,
        entry.action,
        entry.object,
        entry.outcome.as_str(),
        entry.detail,
    ])?;
    Ok(())
}

pub(super) fn after(connection: &Connection, seq: u64, limit: usize) -> Sql<Vec<JournalRecord>> {
    page(connection, "SELECT * FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2", integer(seq), limit)
}

pub(super) fn before(connection: &Connection, seq: Option<u64>, limit: usize) -> Sql<Vec<JournalRecord>> {
    let seq = seq.map_or(i64::MAX, integer);
    page(connection, "SELECT * FROM journal WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2", seq, limit)
}

/// The first entries of those that a restore has set aside, under their negative numbers.
pub(super) fn aside(connection: &Connection, limit: usize) -> Sql<Vec<(i64, JournalEntry)>> {
    let mut statement = connection.prepare_cached("SELECT * FROM journal WHERE seq < 0 ORDER BY seq DESC LIMIT ?1")?;
    let mut rows = statement.query([count_of(limit)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push((row.get("seq")?, read(row)?.entry));
    }
    Ok(entries)
}

fn page(connection: &Connection, sql: &str, seq: i64, limit: usize) -> Sql<Vec<JournalRecord>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![seq, count_of(limit.min(MAX_JOURNAL_PAGE))])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(read(row)?);
    }
    Ok(records)
}

fn read(row: &Row<'_>) -> Sql<JournalRecord> {
    let word = |column: &str| row.get_ref(column).map(|value| value.as_str().unwrap_or_default());
    let (actor_kind, outcome) = (word("actor_kind")?, word("outcome")?);
    Ok(JournalRecord {
        seq: unsigned(row, "seq")?,
        previous_hash: row.get("previous_hash")?,
        hash: row.get("hash")?,
        entry: JournalEntry {
            at_ms: unsigned(row, "at_ms")?,
            actor: row.get("actor")?,
            actor_kind: ActorKind::parse(actor_kind).ok_or_else(|| unreadable("journal.actor_kind", actor_kind))?,
            address: row.get("address")?,
            action: row.get("action")?,
            object: row.get("object")?,
            outcome: Outcome::parse(outcome).ok_or_else(|| unreadable("journal.outcome", outcome))?,
            detail: row.get("detail")?,
        },
    })
}
