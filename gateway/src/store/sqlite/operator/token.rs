//! Tokens of the interface and links that work once, in their tables.

use rusqlite::{Connection, Row, params};

use super::super::optional;
use super::super::pairs::{Sql, integer, integer_opt, unsigned, unsigned_opt};
use super::{counted, fits, journal, refuse};
use crate::admin::journal::{Hash, JournalEntry};
use crate::store::operator::bounds::words;
use crate::store::operator::*;

pub(super) fn all(connection: &Connection) -> Sql<Vec<Token>> {
    let mut statement = connection.prepare_cached("SELECT * FROM token ORDER BY name, token_id")?;
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn by_hash(connection: &Connection, token_hash: &Hash) -> Sql<Option<Token>> {
    let mut statement = connection.prepare_cached("SELECT * FROM token WHERE token_hash = ?1")?;
    Ok(optional(statement.query_row([token_hash], read))?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        id: row.get("token_id")?,
        name: row.get("name")?,
        token_hash: row.get("token_hash")?,
        scopes: words(row.get_ref("scopes")?.as_str().unwrap_or_default()),
        account: row.get("account")?,
        created_ms: unsigned(row, "created_ms")?,
        expires_ms: unsigned_opt(row, "expires_ms")?,
        last_used_ms: unsigned_opt(row, "last_used_ms")?,
    })
}

pub(super) fn put(connection: &Connection, token: &Token, entries: Vec<JournalEntry>) -> Sql<()> {
    let scopes = token.scopes.join(" ");
    token.fits(&scopes)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO token (token_id, name, token_hash, scopes, account, created_ms, expires_ms, last_used_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )?;
    let stored = statement.execute(params![
        token.id,
        token.name,
        token.token_hash,
        scopes,
        token.account,
        integer(token.created_ms),
        integer_opt(token.expires_ms),
        integer_opt(token.last_used_ms),
    ])?;
    fits(connection, "tokens", "SELECT count(*) FROM token", MAX_TOKENS)?;
    if stored == 0 {
        return refuse(format!("there is a token {:?} already", token.id));
    }
    journal::append(connection, entries).map(drop)
}

pub(super) fn touch(connection: &Connection, id: &str, last_used_ms: u64) -> Sql<()> {
    let mut statement = connection.prepare_cached("UPDATE token SET last_used_ms = ?2 WHERE token_id = ?1")?;
    statement.execute(params![id, integer(last_used_ms)])?;
    Ok(())
}

pub(super) fn remove(connection: &Connection, id: &str, entries: Vec<JournalEntry>) -> Sql<bool> {
    let is_gone = connection.prepare_cached("DELETE FROM token WHERE token_id = ?1")?.execute([id])? > 0;
    if is_gone {
        journal::append(connection, entries)?;
    }
    Ok(is_gone)
}

pub(super) fn put_one_time(connection: &Connection, link: &OneTime) -> Sql<()> {
    link.fits()?;
    let mut statement = connection
        .prepare_cached("INSERT INTO one_time (token_hash, purpose, account, expires_ms) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![link.token_hash, link.purpose, link.account, integer(link.expires_ms)])?;
    fits(connection, "links", "SELECT count(*) FROM one_time", MAX_ONE_TIME)
}

fn read_one_time(row: &Row<'_>) -> rusqlite::Result<OneTime> {
    Ok(OneTime {
        token_hash: row.get("token_hash")?,
        purpose: row.get("purpose")?,
        account: row.get("account")?,
        expires_ms: unsigned(row, "expires_ms")?,
    })
}

pub(super) fn one_time(connection: &Connection, token_hash: &Hash) -> Sql<Option<OneTime>> {
    let mut statement = connection.prepare_cached("SELECT * FROM one_time WHERE token_hash = ?1")?;
    Ok(optional(statement.query_row([token_hash], read_one_time))?)
}

pub(super) fn take_one_time(
    connection: &Connection,
    token_hash: &Hash,
    purpose: &str,
    now_ms: u64,
) -> Sql<Option<OneTime>> {
    let mut statement =
        connection.prepare_cached("DELETE FROM one_time WHERE token_hash = ?1 AND purpose = ?2 RETURNING *")?;
    let link = optional(statement.query_row(params![token_hash, purpose], read_one_time))?;
    Ok(link.filter(|link| link.expires_ms > now_ms))
}

pub(super) fn remove_one_time(connection: &Connection, purpose: &str) -> Sql<u64> {
    Ok(counted(connection.prepare_cached("DELETE FROM one_time WHERE purpose = ?1")?.execute([purpose])?))
}

pub(super) fn purge_expired(connection: &Connection, now_ms: u64) -> Sql<u64> {
    let now = integer(now_ms);
    let logins = connection.prepare_cached("DELETE FROM login WHERE expires_ms <= ?1")?.execute([now])?;
    let links = connection.prepare_cached("DELETE FROM one_time WHERE expires_ms <= ?1")?.execute([now])?;
    Ok(counted(logins + links))
}
