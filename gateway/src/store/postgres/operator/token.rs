//! Tokens of the interface and links that work once, in their tables.

use tokio_postgres::Row;

use super::super::column::{integer, integer_opt, unsigned, unsigned_opt};
use super::super::{Session, Sql};
use super::{can_be_stored, fits, get, hash, journal, refuse};
use crate::admin::journal::{Hash, JournalEntry};
use crate::store::operator::bounds::words;
use crate::store::operator::*;

/// Columns by name: a later version may add some while this one runs, and a prepared `*` would not survive that.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT token_id, name, token_hash, scopes, account, created_ms, expires_ms, last_used_ms FROM token ",
            $rest
        )
    };
}

pub(super) async fn all(session: &Session) -> Sql<Vec<Token>> {
    session.query(select!("ORDER BY name, token_id"), &[]).await?.iter().map(read).collect()
}

pub(super) async fn by_hash(session: &Session, token_hash: &Hash) -> Sql<Option<Token>> {
    let row = session.query_opt(select!("WHERE token_hash = $1"), &[&&token_hash[..]]).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Sql<Token> {
    Ok(Token {
        id: get(row, "token_id")?,
        name: get(row, "name")?,
        token_hash: hash(row, "token_hash")?,
        scopes: words(get(row, "scopes")?),
        account: get(row, "account")?,
        created_ms: unsigned(row, "created_ms")?,
        expires_ms: unsigned_opt(row, "expires_ms")?,
        last_used_ms: unsigned_opt(row, "last_used_ms")?,
    })
}

pub(super) async fn put(session: &Session, token: &Token, entries: Vec<JournalEntry>) -> Sql<()> {
    let scopes = token.scopes.join(" ");
    token.fits(&scopes)?;
    journal::take_turn(session).await?;
    let stored = session
        .execute(
            "INSERT INTO token (token_id, name, token_hash, scopes, account, created_ms, expires_ms, last_used_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            &[
                &token.id,
                &token.name,
                &&token.token_hash[..],
                &scopes,
                &token.account,
                &integer(token.created_ms),
                &integer_opt(token.expires_ms),
                &integer_opt(token.last_used_ms),
            ],
        )
        .await?;
    fits(session, "tokens", "SELECT count(*) FROM token", MAX_TOKENS).await?;
    if stored == 0 {
        return refuse(format!("there is a token {:?} already", token.id));
    }
    journal::append(session, entries).await.map(drop)
}

pub(super) async fn touch(session: &Session, id: &str, last_used_ms: u64) -> Sql<()> {
    if can_be_stored(id) {
        let sql = "UPDATE token SET last_used_ms = $2 WHERE token_id = $1";
        session.execute(sql, &[&id, &integer(last_used_ms)]).await?;
    }
    Ok(())
}

pub(super) async fn remove(session: &Session, id: &str, entries: Vec<JournalEntry>) -> Sql<bool> {
    if !can_be_stored(id) {
        return Ok(false);
    }
    journal::take_turn(session).await?;
    let is_gone = session.execute("DELETE FROM token WHERE token_id = $1", &[&id]).await? > 0;
    if is_gone {
        journal::append(session, entries).await?;
    }
    Ok(is_gone)
}

pub(super) async fn put_one_time(session: &Session, link: &OneTime) -> Sql<()> {
    link.fits()?;
    journal::take_turn(session).await?;
    session
        .execute(
            "INSERT INTO one_time (token_hash, purpose, account, expires_ms) VALUES ($1, $2, $3, $4)",
            &[&&link.token_hash[..], &link.purpose, &link.account, &integer(link.expires_ms)],
        )
        .await?;
    fits(session, "links", "SELECT count(*) FROM one_time", MAX_ONE_TIME).await
}

fn read_one_time(row: &Row) -> Sql<OneTime> {
    Ok(OneTime {
        token_hash: hash(row, "token_hash")?,
        purpose: get(row, "purpose")?,
        account: get(row, "account")?,
        expires_ms: unsigned(row, "expires_ms")?,
    })
}

pub(super) async fn one_time(session: &Session, token_hash: &Hash) -> Sql<Option<OneTime>> {
    let sql = "SELECT token_hash, purpose, account, expires_ms FROM one_time WHERE token_hash = $1";
    let row = session.query_opt(sql, &[&&token_hash[..]]).await?;
    row.as_ref().map(read_one_time).transpose()
}

pub(super) async fn take_one_time(
    session: &Session,
    token_hash: &Hash,
    purpose: &str,
    now_ms: u64,
) -> Sql<Option<OneTime>> {
    if !can_be_stored(purpose) {
        return Ok(None);
    }
    // Who comes second waits for the first, and then finds no row.
    let sql = "DELETE FROM one_time WHERE token_hash = $1 AND purpose = $2 \
               RETURNING token_hash, purpose, account, expires_ms";
    let row = session.query_opt(sql, &[&&token_hash[..], &purpose]).await?;
    let link = row.as_ref().map(read_one_time).transpose()?;
    Ok(link.filter(|link| link.expires_ms > now_ms))
}

pub(super) async fn remove_one_time(session: &Session, purpose: &str) -> Sql<u64> {
    if !can_be_stored(purpose) {
        return Ok(0);
    }
    session.execute("DELETE FROM one_time WHERE purpose = $1", &[&purpose]).await
}

pub(super) async fn purge_expired(session: &Session, now_ms: u64) -> Sql<u64> {
    let now = integer(now_ms);
    let logins = session.execute("DELETE FROM login WHERE expires_ms <= $1", &[&now]).await?;
    let links = session.execute("DELETE FROM one_time WHERE expires_ms <= $1", &[&now]).await?;
    Ok(logins.saturating_add(links))
}
