//! Accounts and their sign-ins in their tables.

use rusqlite::{Connection, Row, params};

use super::super::optional;
use super::super::pairs::{Sql, count_of, integer, unsigned};
use super::{fits, journal, refuse};
use crate::admin::journal::Hash;
use crate::store::operator::bounds::words;
use crate::store::operator::*;

pub(super) fn all(connection: &Connection) -> Sql<Vec<Account>> {
    let mut statement = connection.prepare_cached("SELECT * FROM account ORDER BY name")?;
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn named(connection: &Connection, name: &str) -> Sql<Option<Account>> {
    Ok(optional(connection.prepare_cached("SELECT * FROM account WHERE name = ?1")?.query_row([name], read))?)
}

pub(super) fn of_subject(connection: &Connection, subject: &str) -> Sql<Option<Account>> {
    let mut statement = connection.prepare_cached("SELECT * FROM account WHERE oidc_subject = ?1")?;
    Ok(optional(statement.query_row([subject], read))?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        name: row.get("name")?,
        roles: words(row.get_ref("roles")?.as_str().unwrap_or_default()),
        password_hash: row.get("password_hash")?,
        oidc_subject: row.get("oidc_subject")?,
        language: row.get("language")?,
        is_disabled: row.get("is_disabled")?,
        failures: u32::try_from(unsigned(row, "failures")?).unwrap_or(u32::MAX),
        locked_until_ms: unsigned(row, "locked_until_ms")?,
        changed_at_ms: unsigned(row, "changed_at_ms")?,
        version: unsigned(row, "version")?,
    })
}

pub(super) fn put(connection: &Connection, account: &Account, along: Along) -> Sql<PutOutcome> {
    let Account { name, password_hash, oidc_subject, language, is_disabled, changed_at_ms, .. } = account;
    let roles = account.roles.join(" ");
    account.fits(&roles)?;
    let present = named(connection, name)?;
    if present.map_or(0, |present| present.version) != account.version {
        return Ok(PutOutcome::Conflict);
    }
    if along.keep_role.is_some() && along.takes_last_role(&all(connection)?, name, Some(account)) {
        return Ok(PutOutcome::LastOfRole);
    }
    let mut statement = connection.prepare_cached("SELECT 1 FROM account WHERE oidc_subject = ?1 AND name <> ?2")?;
    if statement.exists(params![oidc_subject, name])? {
        return Ok(PutOutcome::Conflict);
    }
    // From the sequence of all records, so that an account made anew does not look like the one that somebody still holds.
    let mut statement = connection.prepare_cached("UPDATE sequence SET value = value + 1 RETURNING value")?;
    let version: i64 = statement.query_row([], |row| row.get(0))?;
    let at_ms = integer(*changed_at_ms);
    let mut statement = connection.prepare_cached(
        "INSERT INTO account (name, roles, password_hash, oidc_subject, language, is_disabled, changed_at_ms, version) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (name) DO UPDATE SET roles = ?2, password_hash = ?3, oidc_subject = ?4, language = ?5, \
         is_disabled = ?6, changed_at_ms = ?7, version = ?8",
    )?;
    statement.execute(params![name, roles, password_hash, oidc_subject, language, is_disabled, at_ms, version])?;
    if account.version == 0 {
        fits(connection, "accounts", "SELECT count(*) FROM account", MAX_ACCOUNTS)?;
    }
    match along.sign_ins {
        SignIns::Stay => 0,
        SignIns::End => remove_logins_of(connection, name, None)?,
        SignIns::EndBut(token_hash) => remove_logins_of(connection, name, Some(&token_hash))?,
    };
    if along.unlocks {
        clear_failures(connection, name)?;
    }
    journal::append(connection, along.journal)?;
    Ok(PutOutcome::Stored { version: u64::try_from(version).unwrap_or(0) })
}

pub(super) fn remove(connection: &Connection, name: &str, version: u64, along: Along) -> Sql<RemoveOutcome> {
    if named(connection, name)?.is_none_or(|present| present.version != version) {
        return Ok(RemoveOutcome::Conflict);
    }
    if along.keep_role.is_some() && along.takes_last_role(&all(connection)?, name, None) {
        return Ok(RemoveOutcome::LastOfRole);
    }
    // Its sign-ins go with it.
    connection.prepare_cached("DELETE FROM account WHERE name = ?1")?.execute([name])?;
    connection.prepare_cached("DELETE FROM token WHERE account = ?1")?.execute([name])?;
    connection.prepare_cached("DELETE FROM one_time WHERE account = ?1")?.execute([name])?;
    journal::append(connection, along.journal)?;
    Ok(RemoveOutcome::Removed)
}

pub(super) fn note_failure(connection: &Connection, name: &str, now_ms: u64, rule: LockOut) -> Sql<Option<Failures>> {
    let mut statement = connection.prepare_cached(
        "UPDATE account SET failures = failures + 1, \
         locked_until_ms = CASE WHEN failures + 1 >= ?2 THEN ?3 ELSE locked_until_ms END \
         WHERE name = ?1 RETURNING failures, locked_until_ms",
    )?;
    let locked_until = integer(now_ms.saturating_add(rule.lock_ms));
    let failures = statement.query_row(params![name, rule.failures, locked_until], |row| {
        Ok(Failures {
            failures: u32::try_from(unsigned(row, "failures")?).unwrap_or(u32::MAX),
            locked_until_ms: unsigned(row, "locked_until_ms")?,
        })
    });
    Ok(optional(failures)?)
}

pub(super) fn clear_failures(connection: &Connection, name: &str) -> Sql<()> {
    let mut statement =
        connection.prepare_cached("UPDATE account SET failures = 0, locked_until_ms = 0 WHERE name = ?1")?;
    statement.execute([name])?;
    Ok(())
}

pub(super) fn put_login(connection: &Connection, login: &Login) -> Sql<()> {
    login.fits()?;
    if named(connection, &login.account)?.is_none() {
        return refuse(format!("there is no account {:?} to sign in to", login.account));
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO login (token_hash, account, created_ms, last_seen_ms, expires_ms, address, csrf_hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        login.token_hash,
        login.account,
        integer(login.created_ms),
        integer(login.last_seen_ms),
        integer(login.expires_ms),
        login.address,
        login.csrf_hash,
    ])?;
    let mut statement = connection.prepare_cached(
        "DELETE FROM login WHERE account = ?1 AND token_hash <> ?2 AND token_hash NOT IN \
         (SELECT token_hash FROM login WHERE account = ?1 AND token_hash <> ?2 ORDER BY last_seen_ms DESC LIMIT ?3)",
    )?;
    statement.execute(params![login.account, login.token_hash, count_of(MAX_LOGINS - 1)])?;
    Ok(())
}

pub(super) fn login(connection: &Connection, token_hash: &Hash) -> Sql<Option<Login>> {
    let mut statement = connection.prepare_cached("SELECT * FROM login WHERE token_hash = ?1")?;
    let login = statement.query_row([token_hash], |row| {
        Ok(Login {
            token_hash: row.get("token_hash")?,
            account: row.get("account")?,
            created_ms: unsigned(row, "created_ms")?,
            last_seen_ms: unsigned(row, "last_seen_ms")?,
            expires_ms: unsigned(row, "expires_ms")?,
            address: row.get("address")?,
            csrf_hash: row.get("csrf_hash")?,
        })
    });
    Ok(optional(login)?)
}

pub(super) fn touch_login(connection: &Connection, token_hash: &Hash, last_seen: u64, expires: u64) -> Sql<()> {
    let mut statement =
        connection.prepare_cached("UPDATE login SET last_seen_ms = ?2, expires_ms = ?3 WHERE token_hash = ?1")?;
    statement.execute(params![token_hash, integer(last_seen), integer(expires)])?;
    Ok(())
}

pub(super) fn remove_login(connection: &Connection, token_hash: &Hash) -> Sql<bool> {
    Ok(connection.prepare_cached("DELETE FROM login WHERE token_hash = ?1")?.execute([token_hash])? > 0)
}

pub(super) fn remove_logins_of(connection: &Connection, account: &str, except: Option<&Hash>) -> Sql<u64> {
    let except = except.map_or(&[][..], |hash| &hash[..]);
    let mut statement = connection.prepare_cached("DELETE FROM login WHERE account = ?1 AND token_hash <> ?2")?;
    Ok(super::counted(statement.execute(params![account, except])?))
}
