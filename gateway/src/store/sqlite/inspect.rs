//! Looking at a SQLite file without changing it, and having one for oneself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{MIGRATIONS, SqliteStore, connect, fault, place};
use crate::store::inspect::{Inspection, RUNNING_MS, TABLES};
use crate::store::{StoreError, StoreFault};

/// How long to wait for a gateway that is just closing the file.
const PATIENCE: Duration = Duration::from_secs(1);
/// Mistakes of a damaged file that are told.
const MISTAKES: usize = 10;

impl SqliteStore {
    /// Looks at a file that exists; `is_thorough` reads all of it.
    pub fn inspect(path: &Path, now_ms: u64, is_thorough: bool) -> Result<Inspection, StoreError> {
        let file = Arc::new(path.to_owned());
        let sql = |error: rusqlite::Error| fault(&file, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
        connection.busy_timeout(PATIENCE).map_err(sql)?;
        let number = |sql: &str| -> rusqlite::Result<u64> {
            let number: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(u64::try_from(number).unwrap_or(0))
        };
        let schema = number("PRAGMA user_version").map_err(sql)?;
        let mut inspection = Inspection {
            place: place(path),
            engine: format!("SQLite {}", rusqlite::version()),
            schema: u32::try_from(schema).unwrap_or(u32::MAX),
            known: u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX),
            bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
            revision: 0,
            rows: Vec::new(),
            gateways: Vec::new(),
            faults: Vec::new(),
        };
        let exists = |table: &str| -> rusqlite::Result<bool> {
            connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?.exists([table])
        };
        for (word, table) in TABLES {
            if exists(table).map_err(sql)? {
                inspection.rows.push((word, number(&format!("SELECT count(*) FROM {table}")).map_err(sql)?));
            }
        }
        if exists("operator_revision").map_err(sql)? {
            inspection.revision = number("SELECT value FROM operator_revision").map_err(sql)?;
        }
        if exists("replica").map_err(sql)? {
            let since = i64::try_from(now_ms.saturating_sub(RUNNING_MS)).unwrap_or(i64::MAX);
            let mut statement =
                connection.prepare("SELECT replica_id FROM replica WHERE seen_ms > ?1 ORDER BY 1").map_err(sql)?;
            let gateways = statement.query_map([since], |row| row.get(0)).map_err(sql)?;
            inspection.gateways = gateways.collect::<Result<_, _>>().map_err(sql)?;
        }
        if is_thorough {
            let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MISTAKES})")).map_err(sql)?;
            let mistakes = statement.query_map([], |row| row.get::<_, String>(0)).map_err(sql)?;
            let mistakes: Vec<_> = mistakes.collect::<Result<_, _>>().map_err(sql)?;
            inspection.faults.extend(mistakes.into_iter().filter(|mistake| mistake != "ok"));
        }
        Ok(inspection)
    }
}

/// A SQLite file that no gateway has open, and that nobody writes to as long as this lives.
#[derive(Debug)]
pub struct AloneWithFile {
    // Let go of first, so that the store can fold its log back.
    _held: Connection,
    store: Arc<SqliteStore>,
}

impl AloneWithFile {
    /// Opens a file that exists, and brings it up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            let detail = "there is no such file".into();
            return Err(StoreError { place: place(path), fault: StoreFault::Inaccessible, detail });
        }
        let file = Arc::new(path.to_owned());
        let sql = |error: rusqlite::Error| fault(&file, &error);
        // Whoever has a file open in WAL mode holds a shared lock on it all the time, which rules this one out.
        let probe = connect(&file)?;
        probe.busy_timeout(PATIENCE).map_err(sql)?;
        probe.pragma_update(None, "locking_mode", "exclusive").map_err(sql)?;
        probe.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(sql)?;
        drop(probe);
        let store = Arc::new(SqliteStore::open(path)?);
        let held = connect(&file)?;
        // It ends with the connection. Who only reads is not in its way.
        held.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
        Ok(Self { _held: held, store })
    }

    /// The store, into which nobody can write anything now, neither we.
    pub fn store(&self) -> Arc<SqliteStore> {
        Arc::clone(&self.store)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::File;
    use super::*;
    use crate::store::conformance::operator::{change, data, put};

    #[test]
    fn a_file_that_somebody_has_open_is_not_had_alone() {
        let file = File::new();
        assert_eq!(AloneWithFile::open(&file.0).unwrap_err().fault, StoreFault::Inaccessible);
        let gateway = SqliteStore::open(&file.0).unwrap();
        change(&gateway, 0, vec![put("a.example", "{}")]);
        assert_eq!(AloneWithFile::open(&file.0).unwrap_err().fault, StoreFault::Locked);
        drop(gateway);
        let alone = AloneWithFile::open(&file.0).unwrap();
        assert_eq!(data(&*alone.store()).documents.len(), 1);
        // A gateway that is started meanwhile cannot write.
        assert_eq!(SqliteStore::open(&file.0).unwrap_err().fault, StoreFault::Locked);
        drop(alone);
        SqliteStore::open(&file.0).unwrap();
    }

    #[test]
    fn looking_changes_nothing_and_finds_what_is_wrong() {
        let file = File::new();
        let store = SqliteStore::open(&file.0).unwrap();
        change(&store, 0, vec![put("a.example", "{}")]);
        let found = SqliteStore::inspect(&file.0, 0, true).unwrap();
        assert_eq!((found.schema, found.revision, found.faults.len()), (found.known, 1, 0));
        assert!(found.rows.contains(&("documents", 1)) && found.rows.contains(&("journal entries", 1)));
        drop(store);

        let old = File::new();
        Connection::open(&old.0).unwrap().execute_batch(MIGRATIONS[0]).unwrap();
        let found = SqliteStore::inspect(&old.0, 0, true).unwrap();
        assert_eq!((found.schema, found.rows.len()), (0, 2));
        assert!(SqliteStore::inspect(Path::new("/nonexistent/x"), 0, false).is_err());

        let mut bytes = std::fs::read(&file.0).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 20_000].fill(0x5a);
        std::fs::write(&old.0, bytes).unwrap();
        let damaged = SqliteStore::inspect(&old.0, 0, true);
        assert!(damaged.is_err() || damaged.is_ok_and(|found| !found.faults.is_empty()));
    }
}
