//! The journal in its table. Its texts are bytes there: what was hashed stays what it was.

use tokio_postgres::Row;

use super::super::column::{count_of, integer, unsigned};
use super::super::{Session, Sql};
use super::{get, hash};
use crate::admin::journal::{ActorKind, Hash, JournalEntry, JournalRecord, Outcome};
use crate::store::operator::MAX_JOURNAL_PAGE;
use crate::store::operator::bounds::entries_fit;
use crate::store::row::unreadable;

pub(super) async fn end(session: &Session) -> Sql<(u64, Hash)> {
    let row = session.query_one("SELECT seq, hash FROM journal_end", &[]).await?;
    Ok((unsigned(&row, "seq")?, hash(&row, "hash")?))
}

/// Waits until whoever writes to the journal, accounts, tokens or links has ended; nobody else writes until we have.
pub(super) async fn take_turn(session: &Session) -> Sql<(u64, Hash)> {
    let row = session.query_one("SELECT seq, hash FROM journal_end FOR UPDATE", &[]).await?;
    Ok((unsigned(&row, "seq")?, hash(&row, "hash")?))
}

pub(super) async fn append(session: &Session, entries: Vec<JournalEntry>) -> Sql<u64> {
    entries_fit(&entries)?;
    if entries.is_empty() {
        return Ok(end(session).await?.0);
    }
    let (mut seq, mut hash) = take_turn(session).await?;
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        let record = JournalRecord::after(seq, hash, entry);
        (seq, hash) = (record.seq, record.hash);
        records.push(record);
    }
    insert(session, &records).await?;
    set_end(session, seq, &hash).await?;
    Ok(seq)
}

pub(super) async fn set_end(session: &Session, seq: u64, hash: &Hash) -> Sql<()> {
    let sql = "UPDATE journal_end SET seq = $1, hash = $2";
    session.execute(sql, &[&integer(seq), &&hash[..]]).await.map(drop)
}

/// Puts records in their places, all with one statement.
pub(super) async fn insert(session: &Session, records: &[JournalRecord]) -> Sql<()> {
    let integers = |of: fn(&JournalRecord) -> u64| records.iter().map(of).map(integer).collect::<Vec<_>>();
    let words = |of: fn(&JournalRecord) -> &str| records.iter().map(of).collect::<Vec<_>>();
    let texts = |of: fn(&JournalRecord) -> &str| records.iter().map(|it| of(it).as_bytes()).collect::<Vec<_>>();
    let hashes = |of: fn(&JournalRecord) -> &Hash| records.iter().map(|it| &of(it)[..]).collect::<Vec<_>>();
    session
        .execute(
            "INSERT INTO journal (seq, previous_hash, hash, at_ms, actor, actor_kind, address, action, object, outcome, \
             detail) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[], \
             $6::text[], $7::bytea[], $8::bytea[], $9::bytea[], $10::text[], $11::bytea[])",
            &[
                &integers(|it| it.seq),
                &hashes(|it| &it.previous_hash),
                &hashes(|it| &it.hash),
                &integers(|it| it.entry.at_ms),
                &texts(|it| &it.entry.actor),
                &words(|it| it.entry.actor_kind.as_str()),
                &texts(|it| &it.entry.address),
                &texts(|it| &it.entry.action),
                &texts(|it| &it.entry.object),
                &words(|it| it.entry.outcome.as_str()),
                &texts(|it| &it.entry.detail),
            ],
        )
        .await
        .map(drop)
}

/// Columns by name: a later version may add some while this one runs, and a prepared `*` would not survive that.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT seq, previous_hash, hash, at_ms, actor, actor_kind, address, action, object, outcome, detail \
             FROM journal ",
            $rest
        )
    };
}

pub(super) async fn after(session: &Session, seq: u64, limit: usize) -> Sql<Vec<JournalRecord>> {
    page(session, select!("WHERE seq > $1 ORDER BY seq LIMIT $2"), integer(seq), limit).await
}

pub(super) async fn before(session: &Session, seq: Option<u64>, limit: usize) -> Sql<Vec<JournalRecord>> {
    let seq = seq.map_or(i64::MAX, integer);
    page(session, select!("WHERE seq < $1 ORDER BY seq DESC LIMIT $2"), seq, limit).await
}

/// The first entries of those that a restore has set aside, under their negative numbers.
pub(super) async fn aside(session: &Session, limit: usize) -> Sql<Vec<(i64, JournalEntry)>> {
    let sql = select!("WHERE seq < 0 ORDER BY seq DESC LIMIT $1");
    let rows = session.query(sql, &[&count_of(limit)]).await?;
    rows.iter().map(|row| Ok((get(row, "seq")?, read(row)?.entry))).collect()
}

async fn page(session: &Session, sql: &'static str, seq: i64, limit: usize) -> Sql<Vec<JournalRecord>> {
    let limit = count_of(limit.min(MAX_JOURNAL_PAGE));
    session.query(sql, &[&seq, &limit]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Sql<JournalRecord> {
    let text = |column: &'static str| -> Sql<String> {
        let bytes: Vec<u8> = get(row, column)?;
        String::from_utf8(bytes).map_err(|_| unreadable(column, "bytes that are no UTF-8").into())
    };
    let (actor_kind, outcome) = (get(row, "actor_kind")?, get(row, "outcome")?);
    Ok(JournalRecord {
        seq: unsigned(row, "seq")?,
        previous_hash: hash(row, "previous_hash")?,
        hash: hash(row, "hash")?,
        entry: JournalEntry {
            at_ms: unsigned(row, "at_ms")?,
            actor: text("actor")?,
            actor_kind: ActorKind::parse(actor_kind).ok_or_else(|| unreadable("journal.actor_kind", actor_kind))?,
            address: text("address")?,
            action: text("action")?,
            object: text("object")?,
            outcome: Outcome::parse(outcome).ok_or_else(|| unreadable("journal.outcome", outcome))?,
            detail: text("detail")?,
        },
    })
}
