//! Accounts and their sign-ins in their tables.

use tokio_postgres::Row;

use super::super::column::{count_of, integer, unsigned};
use super::super::{Session, Sql};
use super::{can_be_stored, fits, get, hash, journal, refuse};
use crate::admin::journal::Hash;
use crate::store::operator::bounds::words;
use crate::store::operator::*;

/// Columns by name: a later version may add some while this one runs, and a prepared `*` would not survive that.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT name, roles, password_hash, oidc_subject, language, is_disabled, failures, locked_until_ms, \
             changed_at_ms, version FROM account ",
            $rest
        )
    };
}

pub(super) async fn all(session: &Session) -> Sql<Vec<Account>> {
    session.query(select!("ORDER BY name"), &[]).await?.iter().map(read).collect()
}

pub(super) async fn named(session: &Session, name: &str) -> Sql<Option<Account>> {
    if !can_be_stored(name) {
        return Ok(None);
    }
    session.query_opt(select!("WHERE name = $1"), &[&name]).await?.as_ref().map(read).transpose()
}

pub(super) async fn of_subject(session: &Session, subject: &str) -> Sql<Option<Account>> {
    if !can_be_stored(subject) {
        return Ok(None);
    }
    let row = session.query_opt(select!("WHERE oidc_subject = $1"), &[&subject]).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Sql<Account> {
    Ok(Account {
        name: get(row, "name")?,
        roles: words(get(row, "roles")?),
        password_hash: get(row, "password_hash")?,
        oidc_subject: get(row, "oidc_subject")?,
        language: get(row, "language")?,
        is_disabled: get(row, "is_disabled")?,
        failures: u32::try_from(unsigned(row, "failures")?).unwrap_or(u32::MAX),
        locked_until_ms: unsigned(row, "locked_until_ms")?,
        changed_at_ms: unsigned(row, "changed_at_ms")?,
        version: unsigned(row, "version")?,
    })
}

pub(super) async fn put(session: &Session, account: &Account, along: Along) -> Sql<PutOutcome> {
    let Account { name, password_hash, oidc_subject, language, is_disabled, changed_at_ms, .. } = account;
    let roles = account.roles.join(" ");
    account.fits(&roles)?;
    journal::take_turn(session).await?;
    let present = named(session, name).await?;
    if present.map_or(0, |present| present.version) != account.version {
        return Ok(PutOutcome::Conflict);
    }
    if along.keep_role.is_some() && along.takes_last_role(&all(session).await?, name, Some(account)) {
        return Ok(PutOutcome::LastOfRole);
    }
    let namesake = "SELECT name FROM account WHERE oidc_subject = $1 AND name <> $2";
    if session.query_opt(namesake, &[oidc_subject, name]).await?.is_some() {
        return Ok(PutOutcome::Conflict);
    }
    let version: i64 = session.query_one("SELECT nextval('account_version')", &[]).await?.try_get(0)?;
    let at_ms = integer(*changed_at_ms);
    session
        .execute(
            "INSERT INTO account \
             (name, roles, password_hash, oidc_subject, language, is_disabled, changed_at_ms, version) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (name) DO UPDATE SET roles = $2, password_hash = $3, oidc_subject = $4, language = $5, \
             is_disabled = $6, changed_at_ms = $7, version = $8",
            &[name, &roles, password_hash, oidc_subject, language, is_disabled, &at_ms, &version],
        )
        .await?;
    if account.version == 0 {
        fits(session, "accounts", "SELECT count(*) FROM account", MAX_ACCOUNTS).await?;
    }
    match along.sign_ins {
        SignIns::Stay => 0,
        SignIns::End => remove_logins_of(session, name, None).await?,
        SignIns::EndBut(token_hash) => remove_logins_of(session, name, Some(&token_hash)).await?,
    };
    if along.unlocks {
        clear_failures(session, name).await?;
    }
    journal::append(session, along.journal).await?;
    Ok(PutOutcome::Stored { version: u64::try_from(version).unwrap_or(0) })
}

pub(super) async fn remove(session: &Session, name: &str, version: u64, along: Along) -> Sql<RemoveOutcome> {
    journal::take_turn(session).await?;
    if named(session, name).await?.is_none_or(|present| present.version != version) {
        return Ok(RemoveOutcome::Conflict);
    }
    if along.keep_role.is_some() && along.takes_last_role(&all(session).await?, name, None) {
        return Ok(RemoveOutcome::LastOfRole);
    }
    // Its sign-ins go with it.
    session.execute("DELETE FROM account WHERE name = $1", &[&name]).await?;
    session.execute("DELETE FROM token WHERE account = $1", &[&name]).await?;
    session.execute("DELETE FROM one_time WHERE account = $1", &[&name]).await?;
    journal::append(session, along.journal).await?;
    Ok(RemoveOutcome::Removed)
}

pub(super) async fn note_failure(session: &Session, name: &str, now_ms: u64, rule: LockOut) -> Sql<Option<Failures>> {
    if !can_be_stored(name) {
        return Ok(None);
    }
    let (most, until) = (i64::from(rule.failures), integer(now_ms.saturating_add(rule.lock_ms)));
    let row = session
        .query_opt(
            "UPDATE account SET failures = failures + 1, \
             locked_until_ms = CASE WHEN failures + 1 >= $2 THEN $3 ELSE locked_until_ms END \
             WHERE name = $1 RETURNING failures, locked_until_ms",
            &[&name, &most, &until],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Failures {
            failures: u32::try_from(unsigned(row, "failures")?).unwrap_or(u32::MAX),
            locked_until_ms: unsigned(row, "locked_until_ms")?,
        })
    };
    row.as_ref().map(read).transpose()
}

pub(super) async fn clear_failures(session: &Session, name: &str) -> Sql<()> {
    if can_be_stored(name) {
        let sql = "UPDATE account SET failures = 0, locked_until_ms = 0 WHERE name = $1";
        session.execute(sql, &[&name]).await?;
    }
    Ok(())
}

pub(super) async fn put_login(session: &Session, login: &Login) -> Sql<()> {
    login.fits()?;
    // Of two sign-ins at once, the second counts the first.
    let account = session.query_opt("SELECT name FROM account WHERE name = $1 FOR UPDATE", &[&login.account]).await?;
    if account.is_none() {
        return refuse(format!("there is no account {:?} to sign in to", login.account));
    }
    let (token_hash, csrf_hash) = (&login.token_hash[..], login.csrf_hash.as_ref().map(|hash| &hash[..]));
    session
        .execute(
            "INSERT INTO login (token_hash, account, created_ms, last_seen_ms, expires_ms, address, csrf_hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                &token_hash,
                &login.account,
                &integer(login.created_ms),
                &integer(login.last_seen_ms),
                &integer(login.expires_ms),
                &login.address,
                &csrf_hash,
            ],
        )
        .await?;
    session
        .execute(
            "DELETE FROM login WHERE account = $1 AND token_hash <> $2 AND token_hash NOT IN (SELECT token_hash \
             FROM login WHERE account = $1 AND token_hash <> $2 ORDER BY last_seen_ms DESC LIMIT $3)",
            &[&login.account, &token_hash, &count_of(MAX_LOGINS - 1)],
        )
        .await?;
    Ok(())
}

pub(super) async fn login(session: &Session, token_hash: &Hash) -> Sql<Option<Login>> {
    let sql = "SELECT token_hash, account, created_ms, last_seen_ms, expires_ms, address, csrf_hash FROM login \
               WHERE token_hash = $1";
    let row = session.query_opt(sql, &[&&token_hash[..]]).await?;
    let read = |row: &Row| {
        let csrf_hash = get::<Option<&[u8]>>(row, "csrf_hash")?.map(|_| hash(row, "csrf_hash"));
        Ok(Login {
            token_hash: hash(row, "token_hash")?,
            account: get(row, "account")?,
            created_ms: unsigned(row, "created_ms")?,
            last_seen_ms: unsigned(row, "last_seen_ms")?,
            expires_ms: unsigned(row, "expires_ms")?,
            address: get(row, "address")?,
            csrf_hash: csrf_hash.transpose()?,
        })
    };
    row.as_ref().map(read).transpose()
}

pub(super) async fn touch_login(session: &Session, token_hash: &Hash, last_seen: u64, expires: u64) -> Sql<()> {
    let sql = "UPDATE login SET last_seen_ms = $2, expires_ms = $3 WHERE token_hash = $1";
    session.execute(sql, &[&&token_hash[..], &integer(last_seen), &integer(expires)]).await.map(drop)
}

pub(super) async fn remove_login(session: &Session, token_hash: &Hash) -> Sql<bool> {
    Ok(session.execute("DELETE FROM login WHERE token_hash = $1", &[&&token_hash[..]]).await? > 0)
}

pub(super) async fn remove_logins_of(session: &Session, account: &str, except: Option<&Hash>) -> Sql<u64> {
    if !can_be_stored(account) {
        return Ok(0);
    }
    let except = except.map_or(&[][..], |hash| &hash[..]);
    session.execute("DELETE FROM login WHERE account = $1 AND token_hash <> $2", &[&account, &except]).await
}
