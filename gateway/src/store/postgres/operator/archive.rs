//! The archive in its table.

use std::borrow::Cow;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::super::column::{count_of, integer, unsigned};
use super::super::{Fault, Session, Sql};
use super::{get, refuse};
use crate::store::operator::bounds::messages_fit;
use crate::store::operator::*;
use crate::store::row::unreadable;

/// How long one page may be searched for, in seconds: everybody else who reads waits behind it.
const PATIENCE_S: u64 = 10;

/// A text as it can be stored: TEXT has no place for U+0000, and one character is no reason to lose the others.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

pub(super) async fn keep(session: &Session, messages: &[ArchivedMessage]) -> Sql<()> {
    messages_fit(messages.len())?;
    if messages.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE archive_end SET message_id = message_id + $1 RETURNING message_id";
    let end: i64 = get(&session.query_one(sql, &[&count_of(messages.len())]).await?, "message_id")?;
    let before = end.saturating_sub(count_of(messages.len()));
    let texts = |of: fn(&ArchivedMessage) -> &str| messages.iter().map(|it| storable(of(it))).collect::<Vec<_>>();
    let optional = |of: fn(&ArchivedMessage) -> &Option<String>| {
        messages.iter().map(|it| of(it).as_deref().map(storable)).collect::<Vec<_>>()
    };
    let times: Vec<_> = messages.iter().map(|message| integer(message.at_ms)).collect();
    session
        .execute(
            "INSERT INTO archived_message \
             (message_id, at_ms, partner, local, remote, direction, kind, body, stanza_id, outcome) \
             SELECT $1::bigint + place, at_ms, partner, local, remote, direction, kind, body, stanza_id, outcome \
             FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
             $9::text[], $10::text[]) WITH ORDINALITY \
             AS new (at_ms, partner, local, remote, direction, kind, body, stanza_id, outcome, place)",
            &[
                &before,
                &times,
                &texts(|it| &it.partner),
                &texts(|it| &it.local),
                &texts(|it| &it.remote),
                &texts(|it| it.direction.as_str()),
                &texts(|it| it.kind.as_str()),
                &texts(|it| &it.body),
                &optional(|it| &it.stanza_id),
                &optional(|it| &it.outcome),
            ],
        )
        .await
        .map(drop)
}

/// Columns by name: a later version may add some while this one runs, and a prepared `*` would not survive that.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT message_id, at_ms, partner, local, remote, direction, kind, body, stanza_id, outcome \
             FROM archived_message ",
            $rest
        )
    };
}

pub(super) async fn page(
    session: &Session,
    filter: &ArchiveFilter,
    after_id: u64,
    limit: usize,
) -> Sql<Vec<ArchivedMessage>> {
    type Value = Box<dyn ToSql + Sync + Send>;
    let text = |value: &Option<String>| value.as_deref().map(|it| Box::new(storable(it).into_owned()) as Value);
    let time = |value: Option<u64>| value.map(|it| Box::new(integer(it)) as Value);
    // Lower case of ASCII letters only, as in every engine.
    let wanted = filter.contains.as_deref().map(str::to_ascii_lowercase);
    let conditions = [
        ("partner =", text(&filter.partner)),
        ("local =", text(&filter.local)),
        ("remote =", text(&filter.remote)),
        ("at_ms >=", time(filter.from_ms)),
        ("at_ms <", time(filter.to_ms)),
        ("0 < strpos(lower(body COLLATE \"C\"),", text(&wanted)),
    ];
    let mut sql = String::from(select!("WHERE message_id > $1"));
    let mut values: Vec<Value> = vec![Box::new(integer(after_id))];
    // Only what was asked for is in the statement, so that an index fits it.
    for (condition, value) in conditions {
        if let Some(value) = value {
            values.push(value);
            let close = if condition.contains('(') { ")" } else { "" };
            sql.push_str(&format!(" AND {condition} ${}{close}", values.len()));
        }
    }
    sql.push_str(&format!(" ORDER BY message_id LIMIT {}", limit.min(MAX_ARCHIVE_PAGE)));
    session.batch(&format!("SET LOCAL statement_timeout = '{PATIENCE_S}s'")).await?;
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
    match session.query_once(&sql, &values).await {
        Ok(rows) => rows.iter().map(read).collect(),
        Err(Fault::Sql(error)) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
            refuse(format!("searching takes longer than {PATIENCE_S} s; narrow it by partner, user or time"))
        }
        Err(fault) => Err(fault),
    }
}

/// The next messages of all, for a copy.
pub(super) async fn after(session: &Session, id: u64, limit: usize) -> Sql<Vec<ArchivedMessage>> {
    let sql = select!("WHERE message_id > $1 ORDER BY message_id LIMIT $2");
    session.query(sql, &[&integer(id), &count_of(limit)]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Sql<ArchivedMessage> {
    let (direction, kind) = (get(row, "direction")?, get(row, "kind")?);
    Ok(ArchivedMessage {
        id: unsigned(row, "message_id")?,
        at_ms: unsigned(row, "at_ms")?,
        partner: get(row, "partner")?,
        local: get(row, "local")?,
        remote: get(row, "remote")?,
        direction: ArchivedDirection::parse(direction)
            .ok_or_else(|| unreadable("archived_message.direction", direction))?,
        kind: ArchivedKind::parse(kind).ok_or_else(|| unreadable("archived_message.kind", kind))?,
        body: get(row, "body")?,
        stanza_id: get(row, "stanza_id")?,
        outcome: get(row, "outcome")?,
    })
}

pub(super) async fn purge(session: &Session, partner: &str, before_ms: u64) -> Sql<u64> {
    let sql = "DELETE FROM archived_message WHERE message_id IN \
               (SELECT message_id FROM archived_message WHERE partner = $1 AND at_ms < $2 ORDER BY at_ms LIMIT $3)";
    session.execute(sql, &[&storable(partner), &integer(before_ms), &count_of(ARCHIVE_PURGE)]).await
}

pub(super) async fn counts(session: &Session) -> Sql<Vec<ArchiveCount>> {
    // One partner after the other by the index: grouping would read all of it, and the names are few.
    let sql = "SELECT partner, count(*) AS messages, min(at_ms) AS oldest, max(at_ms) AS newest FROM archived_message \
               WHERE partner = (SELECT min(partner) FROM archived_message WHERE partner > $1) GROUP BY partner";
    let mut counts: Vec<ArchiveCount> = Vec::new();
    loop {
        let last = counts.last().map_or("", |last| last.partner.as_str());
        let Some(row) = session.query_opt(sql, &[&last]).await? else { return Ok(counts) };
        counts.push(ArchiveCount {
            partner: get(&row, "partner")?,
            messages: unsigned(&row, "messages")?,
            oldest_ms: unsigned(&row, "oldest")?,
            newest_ms: unsigned(&row, "newest")?,
        });
    }
}
