//! The pool's part of the PostgreSQL store.

use std::sync::Arc;

use super::migrate;
use super::{Fault, PostgresStore, Session, Sql, count_of, integer, unsigned};
use crate::store::Done;
use crate::store::operator::bounds::{at_most, bytes_at_most, fits};
use crate::store::pool::*;

impl PoolStore for PostgresStore {
    fn report_replica(
        &self,
        id: String,
        now_ms: u64,
        report: String,
        forget_before_ms: u64,
        done: Done<Vec<(String, u64, String)>>,
    ) {
        self.write(done, "report_replica", move |session| async move {
            self::report(&session, &id, now_ms, &report, forget_before_ms).await
        });
    }

    fn remove_replica(&self, id: String, done: Done<()>) {
        self.write(done, "remove_replica", move |session| async move {
            session.execute("DELETE FROM replica WHERE replica_id = $1", &[&id]).await?;
            Ok(())
        });
    }

    fn claim_duty(&self, duty: String, token: String, holder: String, now_ms: u64, until_ms: u64, done: Done<Duty>) {
        self.write(done, "claim_duty", move |session| async move {
            claim(&session, &duty, &token, &holder, now_ms, until_ms).await
        });
    }

    fn finish_duty(&self, duty: String, token: String, done: Done<()>) {
        self.write(done, "finish_duty", move |session| async move {
            let sql = "UPDATE duty SET is_finished = true WHERE duty = $1 AND token = $2";
            session.execute(sql, &[&duty, &token]).await?;
            Ok(())
        });
    }

    fn give_back_duties(&self, holder: String, kept: String, done: Done<()>) {
        self.write(done, "give_back_duties", move |session| async move {
            let sql = "UPDATE duty SET until_ms = 0 WHERE holder = $1 AND duty <> $2 AND NOT is_finished";
            session.execute(sql, &[&holder, &kept]).await?;
            Ok(())
        });
    }

    fn secret(&self, name: String, candidate: Vec<u8>, done: Done<Vec<u8>>) {
        self.write(done, "secret", move |session| async move { secret(&session, &name, &candidate).await });
    }

    fn secrets(&self, done: Done<Vec<(String, Vec<u8>)>>) {
        self.look_up(done, "secrets", |session| async move {
            let rows = session.query("SELECT name, secret FROM pool_secret ORDER BY name", &[]).await?;
            rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("secret")?))).collect()
        });
    }

    fn replace_secrets(&self, secrets: Vec<(String, Vec<u8>)>, done: Done<()>) {
        self.write(done, "replace_secrets", move |session| async move {
            for (name, candidate) in secrets {
                session.execute("DELETE FROM pool_secret WHERE name = $1", &[&name]).await?;
                secret(&session, &name, &candidate).await?;
            }
            Ok(())
        });
    }

    fn snapshot_version(&self, ask: SnapshotAsk, done: Done<Option<u64>>) {
        self.write(done, "snapshot_version", move |session| async move { snapshot_version(&session, &ask).await });
    }

    fn schema(&self) -> u32 {
        migrate::KNOWN
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn clock(&self, done: Done<u64>) {
        self.look_up(done, "clock", |session| async move {
            let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms";
            unsigned(&session.query_one(sql, &[]).await?, "now_ms")
        });
    }

    fn hints(&self) -> Hints {
        self.watch_hints()
    }
}

async fn report(
    session: &Arc<Session>,
    id: &str,
    now_ms: u64,
    report: &str,
    forget_before_ms: u64,
) -> Sql<Vec<(String, u64, String)>> {
    at_most("the id of a replica", id, MAX_POOL_NAME)?;
    at_most("the report of a replica", report, MAX_REPORT)?;
    // What another gateway removes at this moment need not be removed twice, nor waited for.
    let forget = "DELETE FROM replica WHERE replica_id IN \
                  (SELECT replica_id FROM replica WHERE seen_ms < $1 OR (seen_ms < $2 AND replica_id <> $3 AND \
                   starts_with(replica_id, $4) AND strpos(substr(replica_id, length($4) + 1), '#') = 0) \
                   FOR UPDATE SKIP LOCKED)";
    let replaced_before_ms = now_ms.saturating_sub(REPLACED_AFTER_MS);
    session.execute(forget, &[&integer(forget_before_ms), &integer(replaced_before_ms), &id, &name_of(id)]).await?;
    let put = "INSERT INTO replica (replica_id, seen_ms, report) VALUES ($1, $2, $3) \
               ON CONFLICT (replica_id) DO UPDATE SET seen_ms = excluded.seen_ms, report = excluded.report";
    session.execute(put, &[&id, &integer(now_ms), &report]).await?;
    let rows = session
        .query(
            "SELECT replica_id, seen_ms, report FROM replica WHERE seen_ms >= $1 ORDER BY replica_id",
            &[&integer(forget_before_ms)],
        )
        .await?;
    fits("replicas", count_of(rows.len()), MAX_REPLICAS)?;
    rows.iter().map(|row| Ok((row.try_get("replica_id")?, unsigned(row, "seen_ms")?, row.try_get("report")?))).collect()
}

async fn claim(session: &Arc<Session>, duty: &str, token: &str, holder: &str, now_ms: u64, until_ms: u64) -> Sql<Duty> {
    for (what, text) in [("the name of a duty", duty), ("the token of a duty", token), ("the holder of a duty", holder)]
    {
        at_most(what, text, MAX_POOL_NAME)?;
    }
    let insert = "INSERT INTO duty (duty, token, holder, until_ms, is_finished) VALUES ($1, $2, $3, $4, false) \
                  ON CONFLICT (duty) DO NOTHING";
    if session.execute(insert, &[&duty, &token, &holder, &integer(until_ms)]).await? > 0 {
        let make_room = "DELETE FROM duty WHERE duty IN (SELECT duty FROM duty ORDER BY until_ms \
                         LIMIT greatest((SELECT count(*) FROM duty) - $1, 0) FOR UPDATE SKIP LOCKED)";
        session.execute(make_room, &[&count_of(MAX_DUTIES)]).await?;
        return Ok(Duty::Mine);
    }
    let select = "SELECT token, holder, until_ms, is_finished FROM duty WHERE duty = $1 FOR UPDATE";
    let Some(row) = session.query_opt(select, &[&duty]).await? else {
        return Err(Fault::Refused(format!("the duty {duty:?} has just made room for newer ones; claim it again")));
    };
    let (stored_token, stored_holder): (String, String) = (row.try_get("token")?, row.try_get("holder")?);
    let stored = DutyRow {
        token: &stored_token,
        holder: &stored_holder,
        until_ms: unsigned(&row, "until_ms")?,
        is_finished: row.try_get("is_finished")?,
    };
    let claimed = stored.claimed_by(token, holder, now_ms);
    if claimed == Duty::Mine {
        let update = "UPDATE duty SET token = $2, holder = $3, until_ms = $4, is_finished = false WHERE duty = $1";
        session.execute(update, &[&duty, &token, &holder, &integer(until_ms)]).await?;
    }
    Ok(claimed)
}

async fn secret(session: &Arc<Session>, name: &str, candidate: &[u8]) -> Sql<Vec<u8>> {
    at_most("the name of a secret", name, MAX_POOL_NAME)?;
    bytes_at_most("a secret", candidate, MAX_REPORT)?;
    let insert = "INSERT INTO pool_secret (name, secret) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    if session.execute(insert, &[&name, &candidate]).await? > 0 {
        let present = session.query_one("SELECT count(*) AS present FROM pool_secret", &[]).await?;
        fits("secrets", present.try_get("present")?, MAX_SECRETS)?;
    }
    Ok(session.query_one("SELECT secret FROM pool_secret WHERE name = $1", &[&name]).await?.try_get("secret")?)
}

async fn snapshot_version(session: &Arc<Session>, ask: &SnapshotAsk) -> Sql<Option<u64>> {
    at_most("the digest of a snapshot", &ask.digest, MAX_POOL_NAME)?;
    // First, so that the revision is read when it is our turn.
    let select = "SELECT revision, digest, version FROM pool_snapshot FOR UPDATE";
    let row = session.query_one(select, &[]).await?;
    let present = session.query_one("SELECT value FROM operator_revision", &[]).await?;
    if unsigned(&present, "value")? != ask.revision {
        return Ok(None);
    }
    let stored = SnapshotRow {
        revision: unsigned(&row, "revision")?,
        digest: row.try_get("digest")?,
        version: unsigned(&row, "version")?,
    };
    let (version, next) = SnapshotRow::version_for(Some(stored).filter(|stored| stored.version > 0), ask);
    let update = "UPDATE pool_snapshot SET revision = $1, digest = $2, version = $3";
    session.execute(update, &[&integer(next.revision), &next.digest, &integer(next.version)]).await?;
    Ok(Some(version))
}

#[cfg(test)]
mod tests {
    use super::super::test_server::TestServer;
    use super::super::tests::{open, runtime};
    use super::*;
    use crate::store::conformance::{self, wait};

    #[test]
    fn a_pool_finds_what_every_store_must_give() {
        let server = TestServer::start();
        conformance::pool::check_all(&|| {
            let address = server.address(&server.database());
            [(); 2].map(|()| open(&address) as Arc<dyn conformance::pool::Both>)
        });
    }

    #[test]
    fn a_change_of_one_gateway_is_hinted_to_the_other() {
        let server = TestServer::start();
        let address = server.address(&server.database());
        let (one, other) = (open(&address), open(&address));
        let mut hints = PoolStore::hints(&*other);
        runtime().block_on(async {
            // The first says that the connection listens.
            hints.changed().await.unwrap();
            hints.mark_unchanged();
        });
        let before = *hints.borrow();
        wait(|done| one.look_up(done, "notify", |session| async move { session.batch("NOTIFY causeway").await }))
            .unwrap();
        runtime().block_on(hints.changed()).unwrap();
        assert!(*hints.borrow() > before);
    }
}
