//! The pool's part of the SQLite store: a pool of one, with the rules of any.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::operator::{document, fits};
use super::pairs::{Sql, count_of, integer, unsigned};
use super::{MIGRATIONS, SqliteStore, optional};
use crate::store::Done;
use crate::store::operator::bounds::{at_most, bytes_at_most};
use crate::store::pool::*;

impl PoolStore for SqliteStore {
    fn report_replica(
        &self,
        id: String,
        now_ms: u64,
        report: String,
        forget_before_ms: u64,
        done: Done<Vec<(String, u64, String)>>,
    ) {
        self.write(done, move |connection| self::report(connection, &id, now_ms, &report, forget_before_ms));
    }

    fn remove_replica(&self, id: String, done: Done<()>) {
        self.write(done, move |connection| {
            connection.prepare_cached("DELETE FROM replica WHERE replica_id = ?1")?.execute([id])?;
            Ok(())
        });
    }

    fn claim_duty(&self, duty: String, token: String, holder: String, now_ms: u64, until_ms: u64, done: Done<Duty>) {
        self.write(done, move |connection| claim(connection, &duty, &token, &holder, now_ms, until_ms));
    }

    fn finish_duty(&self, duty: String, token: String, done: Done<()>) {
        self.write(done, move |connection| {
            let mut statement =
                connection.prepare_cached("UPDATE duty SET is_finished = 1 WHERE duty = ?1 AND token = ?2")?;
            statement.execute([duty, token])?;
            Ok(())
        });
    }

    fn give_back_duties(&self, holder: String, kept: String, done: Done<()>) {
        self.write(done, move |connection| {
            let sql = "UPDATE duty SET until_ms = 0 WHERE holder = ?1 AND duty <> ?2 AND NOT is_finished";
            connection.prepare_cached(sql)?.execute([holder, kept])?;
            Ok(())
        });
    }

    fn secret(&self, name: String, candidate: Vec<u8>, done: Done<Vec<u8>>) {
        self.write(done, move |connection| secret(connection, &name, &candidate));
    }

    fn secrets(&self, done: Done<Vec<(String, Vec<u8>)>>) {
        self.read(done, |connection| {
            let mut statement = connection.prepare_cached("SELECT name, secret FROM pool_secret ORDER BY name")?;
            Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
        });
    }

    fn replace_secrets(&self, secrets: Vec<(String, Vec<u8>)>, done: Done<()>) {
        self.write(done, move |connection| {
            for (name, candidate) in secrets {
                connection.prepare_cached("DELETE FROM pool_secret WHERE name = ?1")?.execute([&name])?;
                secret(connection, &name, &candidate)?;
            }
            Ok(())
        });
    }

    fn snapshot_version(&self, ask: SnapshotAsk, done: Done<Option<u64>>) {
        self.write(done, move |connection| snapshot_version(connection, &ask));
    }

    fn schema(&self) -> u32 {
        u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn clock(&self, done: Done<u64>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        done(Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
    }

    fn hints(&self) -> Hints {
        self.hints.subscribe()
    }
}

fn report(
    connection: &Connection,
    id: &str,
    now_ms: u64,
    report: &str,
    forget_before_ms: u64,
) -> Sql<Vec<(String, u64, String)>> {
    at_most("the id of a replica", id, MAX_POOL_NAME)?;
    at_most("the report of a replica", report, MAX_REPORT)?;
    let replaced_before_ms = now_ms.saturating_sub(REPLACED_AFTER_MS);
    connection
        .prepare_cached(
            "DELETE FROM replica WHERE seen_ms < ?1 OR (seen_ms < ?2 AND replica_id <> ?3 AND \
             substr(replica_id, 1, length(?4)) = ?4 AND instr(substr(replica_id, length(?4) + 1), '#') = 0)",
        )?
        .execute(params![integer(forget_before_ms), integer(replaced_before_ms), id, name_of(id)])?;
    connection
        .prepare_cached(
            "INSERT INTO replica (replica_id, seen_ms, report) VALUES (?1, ?2, ?3) \
             ON CONFLICT (replica_id) DO UPDATE SET seen_ms = excluded.seen_ms, report = excluded.report",
        )?
        .execute(params![id, integer(now_ms), report])?;
    fits(connection, "replicas", "SELECT count(*) FROM replica", MAX_REPLICAS)?;
    let mut statement = connection.prepare_cached("SELECT * FROM replica ORDER BY replica_id")?;
    let rows = statement
        .query_map([], |row| Ok((row.get("replica_id")?, unsigned(row, "seen_ms")?, row.get("report")?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

fn claim(connection: &Connection, duty: &str, token: &str, holder: &str, now_ms: u64, until_ms: u64) -> Sql<Duty> {
    for (what, text) in [("the name of a duty", duty), ("the token of a duty", token), ("the holder of a duty", holder)]
    {
        at_most(what, text, MAX_POOL_NAME)?;
    }
    let mut statement = connection.prepare_cached("SELECT * FROM duty WHERE duty = ?1")?;
    let stored = optional(statement.query_row([duty], |row| {
        let (token, holder): (String, String) = (row.get("token")?, row.get("holder")?);
        Ok((token, holder, unsigned(row, "until_ms")?, row.get("is_finished")?))
    }))?;
    let is_new = stored.is_none();
    let claimed = stored.map_or(Duty::Mine, |(stored_token, stored_holder, until_ms, is_finished)| {
        let row = DutyRow { token: &stored_token, holder: &stored_holder, until_ms, is_finished };
        row.claimed_by(token, holder, now_ms)
    });
    if claimed != Duty::Mine {
        return Ok(claimed);
    }
    connection
        .prepare_cached(
            "INSERT INTO duty (duty, token, holder, until_ms, is_finished) VALUES (?1, ?2, ?3, ?4, 0) \
             ON CONFLICT (duty) DO UPDATE SET token = excluded.token, holder = excluded.holder, \
             until_ms = excluded.until_ms, is_finished = 0",
        )?
        .execute(params![duty, token, holder, integer(until_ms)])?;
    if is_new {
        let mut count = connection.prepare_cached("SELECT count(*) - ?1 FROM duty")?;
        let excess: i64 = count.query_row([count_of(MAX_DUTIES)], |row| row.get(0))?;
        if excess > 0 {
            connection
                .prepare_cached("DELETE FROM duty WHERE duty IN (SELECT duty FROM duty ORDER BY until_ms LIMIT ?1)")?
                .execute([excess])?;
        }
    }
    Ok(claimed)
}

fn snapshot_version(connection: &Connection, ask: &SnapshotAsk) -> Sql<Option<u64>> {
    at_most("the digest of a snapshot", &ask.digest, MAX_POOL_NAME)?;
    if document::revision(connection)? != ask.revision {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached("SELECT * FROM pool_snapshot")?;
    let stored = optional(statement.query_row([], |row| {
        let (revision, version) = (unsigned(row, "revision")?, unsigned(row, "version")?);
        Ok(SnapshotRow { revision, digest: row.get("digest")?, version })
    }))?;
    let (version, row) = SnapshotRow::version_for(stored, ask);
    connection
        .prepare_cached("INSERT OR REPLACE INTO pool_snapshot (id, revision, digest, version) VALUES (1, ?1, ?2, ?3)")?
        .execute(params![integer(row.revision), row.digest, integer(row.version)])?;
    Ok(Some(version))
}

fn secret(connection: &Connection, name: &str, candidate: &[u8]) -> Sql<Vec<u8>> {
    at_most("the name of a secret", name, MAX_POOL_NAME)?;
    bytes_at_most("a secret", candidate, MAX_REPORT)?;
    connection
        .prepare_cached("INSERT INTO pool_secret (name, secret) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![name, candidate])?;
    fits(connection, "secrets", "SELECT count(*) FROM pool_secret", MAX_SECRETS)?;
    let mut statement = connection.prepare_cached("SELECT secret FROM pool_secret WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0))?)
}
