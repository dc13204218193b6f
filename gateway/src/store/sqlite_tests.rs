use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::StatementStatus;

use super::super::conformance::{self, check_all, commit, key, load, wait};
use super::*;
use crate::presence::record::InAuthorisation;

/// A file in a folder of its own, removed with it.
pub(super) struct File(pub(super) PathBuf);

impl File {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("causeway-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder.join("gateway.db"))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

pub(super) fn pair(local: &str) -> Pair {
    let mut pair = Pair::new(key(&format!("{local}@contoso.example"), "bob@fabrikam.example"));
    pair.inbound.authorisation = InAuthorisation::Held;
    pair
}

#[test]
fn sqlite_does_what_every_store_must() {
    let files = std::cell::RefCell::new(Vec::new());
    check_all(&|| {
        let file = File::new();
        let store = SqliteStore::open(&file.0).unwrap();
        files.borrow_mut().push(file);
        Arc::new(store)
    });
}

#[test]
fn sqlite_does_what_every_store_must_for_a_pool() {
    let files = std::cell::RefCell::new(Vec::new());
    conformance::pool::check_all(&|| {
        let file = File::new();
        let stores =
            [(); 2].map(|()| Arc::new(SqliteStore::open(&file.0).unwrap()) as Arc<dyn conformance::pool::Both>);
        files.borrow_mut().push(file);
        stores
    });
}

// Rule: life.restart
#[test]
fn what_was_called_back_is_there_after_a_kill() {
    let file = File::new();
    let store = SqliteStore::open(&file.0).unwrap();
    let mut kept = pair("alice");
    commit(&store, None, &mut kept);
    // A killed process closes nothing: what another one finds is the file and its log as they are now.
    let copy = File::new();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(name(&file.0), name(&copy.0)).unwrap();
    }
    let reopened = SqliteStore::open(&copy.0).unwrap();
    assert_eq!(load(&reopened, &kept.key), Some(kept));
}

#[test]
fn closing_finishes_what_waits() {
    let file = File::new();
    let store = SqliteStore::open(&file.0).unwrap();
    for number in 0..500 {
        let change = PairChange { before: None, after: Arc::new(pair(&format!("u{number}"))) };
        store.commit(vec![change], Box::new(|result| assert!(result.is_ok())));
    }
    drop(store);
    let reopened = SqliteStore::open(&file.0).unwrap();
    assert_eq!(wait(|done| reopened.counts(done)).unwrap().pairs, 500);
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    let file = File::new();
    std::fs::write(&file.0, vec![b'x'; 8_192]).unwrap();
    let error = SqliteStore::open(&file.0).unwrap_err();
    assert_eq!(error.fault, StoreFault::Corrupt);
    assert!(error.to_string().contains("gateway.db"), "{error}");
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let file = File::new();
    drop(SqliteStore::open(&file.0).unwrap());
    Connection::open(&file.0).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(SqliteStore::open(&file.0).unwrap_err().fault, StoreFault::TooNew);
}

#[test]
fn a_file_of_the_version_before_keeps_what_its_dialogs_had() {
    let (new, old) = (File::new(), File::new());
    let mut pair = conformance::full();
    commit(&SqliteStore::open(&new.0).unwrap(), None, &mut pair);
    let before = Connection::open(&old.0).unwrap();
    MIGRATIONS[..5].iter().for_each(|migration| before.execute_batch(migration).unwrap());
    before.pragma_update(None, "user_version", 5).unwrap();
    before.execute("ATTACH ?1 AS new", [new.0.to_str().unwrap()]).unwrap();
    let of_pair = "pair_id, local, remote, remote_domain, version, serial, due_at, claimed_until";
    before.execute_batch(&format!("INSERT INTO pair SELECT {of_pair} FROM new.pair")).unwrap();
    for table in ["authorisation_in", "authorisation_out", "dialog", "presence", "owed_stanza"] {
        before.execute_batch(&format!("INSERT INTO {table} SELECT * FROM new.{table}")).unwrap();
    }
    before.execute_batch("DELETE FROM sequence; INSERT INTO sequence SELECT * FROM new.sequence").unwrap();
    drop(before);

    let store = SqliteStore::open(&old.0).unwrap();
    assert_eq!(load(&store, &pair.key), Some(pair.clone()));
    let answered = pair.clone();
    pair.outbound.dialogs[0].in_flight = None;
    commit(&store, Some(&answered), &mut pair);
    assert_eq!(load(&store, &pair.key), Some(pair));
}

#[test]
fn a_step_that_only_notifies_writes_no_row_of_a_dialog() {
    let file = File::new();
    let connection = open(&Arc::new(file.0.clone())).unwrap();
    let before = conformance::full();
    let change = |before: Option<&Pair>, after: &Pair| {
        let change = PairChange { before: before.cloned().map(Arc::new), after: Arc::new(after.clone()) };
        match super::commit::commit(&connection, &[change], &mut None).unwrap()[..] {
            [Committed::Stored { version }] => Pair { version, ..after.clone() },
            ref other => panic!("{other:?}"),
        }
    };
    let before = change(None, &before);
    for write in ["INSERT", "UPDATE", "DELETE"] {
        let refuse = "BEGIN SELECT RAISE(ABORT, 'written'); END";
        connection.execute_batch(&format!("CREATE TRIGGER no_{write} BEFORE {write} ON dialog {refuse}")).unwrap();
    }
    let mut after = before.clone();
    after.outbound.dialogs[1].dialog.dialog.local_cseq += 1;
    after.outbound.dialogs[1].in_flight = None;
    let after = change(Some(&before), &after);
    assert_eq!(pairs::load(&connection, &after.key).unwrap(), Some(after));
}

#[test]
fn a_file_that_cannot_be_made_is_refused() {
    let error = SqliteStore::open("/nonexistent/folder/gateway.db").unwrap_err();
    assert_eq!(error.fault, StoreFault::Inaccessible);
    assert!(error.to_string().contains("/nonexistent/folder/gateway.db"), "{error}");
}

// Rule: life.store-failure
#[test]
fn a_full_disk_fails_the_commit_and_changes_nothing() {
    let file = File::new();
    let mut connection = open(&Arc::new(file.0.clone())).unwrap();
    let pages: u32 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "max_page_count", pages).unwrap();
    let transaction = connection.transaction().unwrap();
    let changes: Vec<_> =
        (0..200).map(|n| PairChange { before: None, after: Arc::new(pair(&format!("u{n}"))) }).collect();
    let Err(pairs::Fault::Sql(error)) = super::commit::commit(&transaction, &changes, &mut None) else { panic!() };
    assert_eq!(fault(&Arc::new(file.0.clone()), &error).fault, StoreFault::DiskFull);
    drop(transaction);
    assert_eq!(pairs::counts(&connection).unwrap().pairs, 0);
}

// Rule: life.store-failure
#[test]
fn one_unreadable_record_fails_alone() {
    let file = File::new();
    let store = SqliteStore::open(&file.0).unwrap();
    let (mut good, mut bad) = (pair("good"), pair("bad"));
    commit(&store, None, &mut good);
    commit(&store, None, &mut bad);
    let outside = Connection::open(&file.0).unwrap();
    outside
        .execute("INSERT INTO owed_stanza SELECT pair_id, 'nonsense', 1, 1 FROM pair WHERE local LIKE 'bad%'", [])
        .unwrap();
    let error = wait(|done| store.load_pair(bad.key.clone(), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Corrupt);
    assert_eq!(load(&store, &good.key), Some(good));
}

#[test]
fn what_is_read_in_pages_is_never_sorted_as_a_whole() {
    let file = File::new();
    let connection = open(&Arc::new(file.0.clone())).unwrap();
    for (sql, values) in [(pairs::DUE, 2), (pairs::PAGE, 3), (pairs::PAGE_OF_DOMAIN, 4)] {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = rusqlite::params_from_iter(vec![1; values]);
        let plan: Vec<String> =
            statement.query_map(values, |row| row.get("detail")).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(plan.iter().all(|step| step.starts_with("SEARCH pair USING INDEX")), "{sql}: {plan:?}");
    }
}

#[test]
fn a_statement_is_prepared_once_whatever_is_asked_with_it() {
    let file = File::new();
    let connection = open(&Arc::new(file.0.clone())).unwrap();
    let reading = [
        (pairs::PAIR, 2),
        (pairs::IN, 1),
        (pairs::OUT, 1),
        (pairs::DIALOGS, 1),
        (pairs::PRESENCE, 1),
        (pairs::OWED, 1),
        (pairs::DUE, 2),
        (pairs::PAGE, 3),
        (pairs::PAGE_OF_DOMAIN, 4),
    ];
    for (sql, values) in reading {
        for value in 0..3 {
            let mut statement = connection.prepare_cached(sql).unwrap();
            assert!(
                statement.query(rusqlite::params_from_iter(vec![value; values])).unwrap().next().unwrap().is_none()
            );
        }
        let again = connection.prepare_cached(sql).unwrap().get_status(StatementStatus::RePrepare);
        assert_eq!(again, 0, "{sql}");
    }
}
