//! The schema: brought up to date by whichever gateway comes first, while others of an older version may still run.
//!
//! Each migration says in its first line which oldest version of the program works with the schema that it leaves, and
//! the database keeps that with it. A program refuses a schema that needs a newer one; what it does not know and does not
//! need, it leaves alone. Migrations go forwards only.

use super::connection::Session;
use super::fault::{Fault, Sql};
use crate::store::StoreFault;

/// The migrations in order.
const MIGRATIONS: [Migration; 3] = [
    Migration::new("pairs", include_str!("../migrations/postgres/0001_pairs.sql")),
    Migration::new("operator", include_str!("../migrations/postgres/0002_operator.sql")),
    Migration::new("pool", include_str!("../migrations/postgres/0003_pool.sql")),
];
/// How many this program knows.
pub(super) const KNOWN: u32 = 3;
const _: () = assert!(KNOWN as usize == MIGRATIONS.len(), "each migration counts");
/// What the first line of each begins with.
const MIN_PROGRAM: &str = "-- min_program: ";
/// The version of this program.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Held while the schema is looked at and changed, so that two gateways that start together take turns. The number is
/// ours among the users of the server: "causeway" in ASCII.
const TURN: &str = "SELECT pg_advisory_xact_lock(x'6361757365776179'::bigint)";
/// Others may be in the middle of a migration, or of a long read.
const PATIENCE: &str = "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '600s'";

/// One step of the schema.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// Major, minor and patch.
type Version = (u32, u32, u32);

impl Migration {
    const fn new(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql }
    }

    fn min_program(&self) -> &'static str {
        let first = self.sql.lines().next().unwrap_or_default();
        first.strip_prefix(MIN_PROGRAM).unwrap_or(PROGRAM).trim()
    }
}

/// Brings the schema up to date, all of it or nothing.
pub(super) async fn migrate(session: &Session) -> Sql<()> {
    session.batch("BEGIN").await?;
    let migrated = take_turn(session).await;
    session.batch(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    migrated
}

async fn take_turn(session: &Session) -> Sql<()> {
    session.batch(PATIENCE).await?;
    let encoding: String = session.query_one("SELECT current_setting('server_encoding')", &[]).await?.try_get(0)?;
    if encoding != "UTF8" {
        return Err(Fault::Named(StoreFault::Unsuitable, format!("its encoding is {encoding}")));
    }
    session.batch(TURN).await?;
    // Asked first: a role that may not create tables can use a schema that somebody else has made.
    let exists = session.query_one("SELECT to_regclass('schema_version') IS NOT NULL", &[]).await?;
    if !exists.try_get::<_, bool>(0)? {
        session
            .batch(
                "CREATE TABLE schema_version (
                     number      integer PRIMARY KEY,
                     name        text NOT NULL,
                     min_program text NOT NULL,
                     applied_by  text NOT NULL,
                     applied_at  timestamptz NOT NULL DEFAULT now()
                 )",
            )
            .await?;
    }
    let mut found = 0;
    for row in session.query("SELECT number, min_program FROM schema_version ORDER BY number", &[]).await? {
        found = row.try_get(0)?;
        let needed: String = row.try_get(1)?;
        if version(&needed) > version(PROGRAM) {
            let detail = format!("its schema {found} needs version {needed}, this is {PROGRAM}");
            return Err(Fault::Named(StoreFault::TooNew, detail));
        }
    }
    for (number, migration) in (1_i32..).zip(&MIGRATIONS).filter(|(number, _)| *number > found) {
        tracing::info!(number, name = migration.name, "the schema of the store is brought up to date");
        session.batch(migration.sql).await?;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&number, &migration.name, &migration.min_program(), &PROGRAM];
        let sql = "INSERT INTO schema_version (number, name, min_program, applied_by) VALUES ($1, $2, $3, $4)";
        session.execute(sql, &values).await?;
    }
    Ok(())
}

/// Reads `1.2.3`; what is not there counts as 0, and what cannot be read as newer than everything.
fn version(text: &str) -> Version {
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(u32::MAX));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version("0.10.0") > version("0.9.9"));
        assert!(version("1.0") == version("1.0.0"));
        assert!(version("what") > version(PROGRAM));
    }

    #[test]
    fn each_migration_says_which_program_works_with_it() {
        for migration in MIGRATIONS {
            assert!(migration.sql.starts_with(MIN_PROGRAM), "{}", migration.name);
            assert!(version(migration.min_program()) <= version(PROGRAM), "{}", migration.name);
        }
    }
}
