//! The archive in its table.

use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::super::optional;
use super::super::pairs::{Sql, count_of, integer, unsigned};
use super::{counted, refuse};
use crate::store::operator::bounds::messages_fit;
use crate::store::operator::*;
use crate::store::row::unreadable;

/// How long one page may be searched for: everybody else who reads waits behind it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn keep(connection: &Connection, messages: &[ArchivedMessage]) -> Sql<()> {
    messages_fit(messages.len())?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO archived_message (at_ms, partner, local, remote, direction, kind, body, stanza_id, outcome) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for message in messages {
        statement.execute(params![
            integer(message.at_ms),
            message.partner,
            message.local,
            message.remote,
            message.direction.as_str(),
            message.kind.as_str(),
            message.body,
            message.stanza_id,
            message.outcome,
        ])?;
    }
    Ok(())
}

pub(super) fn page(
    connection: &Connection,
    filter: &ArchiveFilter,
    after_id: u64,
    limit: usize,
) -> Sql<Vec<ArchivedMessage>> {
    let text = |value: &Option<String>| value.clone().map(Value::Text);
    let time = |value: Option<u64>| value.map(integer).map(Value::Integer);
    let conditions = [
        (" AND partner = ?", text(&filter.partner)),
        (" AND local = ?", text(&filter.local)),
        (" AND remote = ?", text(&filter.remote)),
        (" AND at_ms >= ?", time(filter.from_ms)),
        (" AND at_ms < ?", time(filter.to_ms)),
    ];
    let mut sql = String::from("SELECT * FROM archived_message WHERE message_id > ?");
    let mut values = vec![Value::Integer(integer(after_id))];
    // Only what was asked for is in the statement, so that an index fits it.
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    }
    sql.push_str(" ORDER BY message_id");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let wanted = filter.contains.as_deref().map(str::to_ascii_lowercase);
    let (limit, started, mut messages) = (limit.min(MAX_ARCHIVE_PAGE), Instant::now(), Vec::new());
    while messages.len() < limit {
        let Some(row) = rows.next()? else { break };
        let body = row.get_ref("body")?.as_str().unwrap_or_default();
        if wanted.as_ref().is_none_or(|wanted| body.to_ascii_lowercase().contains(wanted)) {
            messages.push(read(row)?);
        } else if started.elapsed() > PATIENCE {
            let seconds = PATIENCE.as_secs();
            return refuse(format!("searching takes longer than {seconds} s; narrow it by partner, user or time"));
        }
    }
    Ok(messages)
}

fn read(row: &Row<'_>) -> Sql<ArchivedMessage> {
    let word = |column: &str| row.get_ref(column).map(|value| value.as_str().unwrap_or_default());
    let (direction, kind) = (word("direction")?, word("kind")?);
    Ok(ArchivedMessage {
        id: unsigned(row, "message_id")?,
        at_ms: unsigned(row, "at_ms")?,
        partner: row.get("partner")?,
        local: row.get("local")?,
        remote: row.get("remote")?,
        direction: ArchivedDirection::parse(direction)
            .ok_or_else(|| unreadable("archived_message.direction", direction))?,
        kind: ArchivedKind::parse(kind).ok_or_else(|| unreadable("archived_message.kind", kind))?,
        body: row.get("body")?,
        stanza_id: row.get("stanza_id")?,
        outcome: row.get("outcome")?,
    })
}

pub(super) fn purge(connection: &Connection, partner: &str, before_ms: u64) -> Sql<u64> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM archived_message WHERE message_id IN \
         (SELECT message_id FROM archived_message WHERE partner = ?1 AND at_ms < ?2 ORDER BY at_ms LIMIT ?3)",
    )?;
    Ok(counted(statement.execute(params![partner, integer(before_ms), count_of(ARCHIVE_PURGE)])?))
}

pub(super) fn counts(connection: &Connection) -> Sql<Vec<ArchiveCount>> {
    // One partner after the other by the index: grouping would read all of it, and the names are few.
    let mut next = connection.prepare_cached("SELECT min(partner) FROM archived_message WHERE partner > ?1")?;
    let mut count = connection.prepare_cached(
        "SELECT count(*) AS messages, min(at_ms) AS oldest, max(at_ms) AS newest FROM archived_message WHERE partner = ?1",
    )?;
    let mut counts: Vec<ArchiveCount> = Vec::new();
    loop {
        let last = counts.last().map_or("", |last| last.partner.as_str());
        let partner: Option<String> = optional(next.query_row([last], |row| row.get(0)))?.flatten();
        let Some(partner) = partner else { return Ok(counts) };
        let (messages, oldest_ms, newest_ms) = count.query_row([&partner], |row| {
            Ok((unsigned(row, "messages")?, unsigned(row, "oldest")?, unsigned(row, "newest")?))
        })?;
        counts.push(ArchiveCount { partner, messages, oldest_ms, newest_ms });
    }
}
