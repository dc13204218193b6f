use std::cell::RefCell;

use super::super::conformance::operator::{change, data, entry, journal, put};
use super::super::conformance::{self, load, wait};
use super::tests::{File, pair};
use super::*;
use crate::admin::journal::verify_chain;
use crate::store::operator::*;

#[test]
fn sqlite_does_what_every_store_must_for_operators() {
    let files = RefCell::new(Vec::new());
    conformance::operator::check_all(&|| {
        let file = File::new();
        let stores = [(); 2].map(|()| Arc::new(SqliteStore::open(&file.0).unwrap()) as Arc<dyn OperatorStore>);
        files.borrow_mut().push(file);
        stores
    });
}

#[test]
fn sqlite_backs_up_and_restores_as_every_store_must() {
    let files = RefCell::new(Vec::new());
    conformance::backup::check_all(&|| {
        let file = File::new();
        let store = Arc::new(SqliteStore::open(&file.0).unwrap());
        files.borrow_mut().push(file);
        (Arc::clone(&store) as Arc<dyn Store>, store)
    });
}

#[test]
fn a_copy_is_a_store_of_its_own() {
    let (file, copy) = (File::new(), File::new());
    let store = SqliteStore::open(&file.0).unwrap();
    change(&store, 0, vec![put("a.example", "{}")]);
    wait(|done| store.copy_to(copy.0.clone(), done)).unwrap();
    change(&store, 1, vec![put("b.example", "{}")]);
    assert_eq!(data(&SqliteStore::open(&copy.0).unwrap()).documents.len(), 1);
    // What is there already is somebody's.
    let error = wait(|done| store.copy_to(copy.0.clone(), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Refused);
}

#[test]
fn a_file_of_the_version_before_keeps_its_pairs() {
    let file = File::new();
    let old = Connection::open(&file.0).unwrap();
    MIGRATIONS[..2].iter().for_each(|migration| old.execute_batch(migration).unwrap());
    old.pragma_update(None, "user_version", 2).unwrap();
    old.execute(
        "INSERT INTO pair VALUES (1, 'a@contoso.example', 'b@fabrikam.example', 'fabrikam.example', 5, 1, NULL, 0)",
        [],
    )
    .unwrap();
    drop(old);
    let store = SqliteStore::open(&file.0).unwrap();
    assert_eq!(load(&store, &conformance::key("a@contoso.example", "b@fabrikam.example")).unwrap().version, 5);
    assert_eq!(data(&store), OperatorData::default());
    assert!(matches!(change(&store, 0, vec![put("a.example", "{}")]), ChangeOutcome::Stored { revision: 1, .. }));
}

#[test]
fn a_change_that_was_called_back_is_there_after_a_kill() {
    let file = File::new();
    let store = SqliteStore::open(&file.0).unwrap();
    change(&store, 0, vec![put("a.example", "{}")]);
    let copy = File::new();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(name(&file.0), name(&copy.0)).unwrap();
    }
    let reopened = SqliteStore::open(&copy.0).unwrap();
    assert_eq!(data(&reopened), data(&store));
    assert_eq!(verify_chain(&journal(&reopened)), Ok(()));
}

/// A process that dies in the middle leaves a transaction without its end in the log.
#[test]
fn half_a_change_is_none() {
    let file = File::new();
    let store = SqliteStore::open(&file.0).unwrap();
    change(&store, 0, vec![put("a.example", "{}")]);
    let expected = (data(&store), journal(&store));
    let mut outside = Connection::open(&file.0).unwrap();
    let transaction = outside.transaction().unwrap();
    transaction.execute("UPDATE operator_revision SET value = 2", []).unwrap();
    transaction.execute("UPDATE document SET version = 2, json = 'half'", []).unwrap();
    transaction.cache_flush().unwrap();
    let copy = File::new();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(name(&file.0), name(&copy.0)).unwrap();
    }
    let reopened = SqliteStore::open(&copy.0).unwrap();
    assert_eq!((data(&reopened), journal(&reopened)), expected);
}

#[test]
fn a_verb_that_fails_does_not_fail_the_steps_beside_it() {
    let file = File::new();
    let connection = open(&Arc::new(file.0.clone())).unwrap();
    connection.execute("DROP TABLE journal", []).unwrap();
    let (answer, answers) = sync_channel(3);
    let tell = |answer: &SyncSender<bool>| {
        let answer = answer.clone();
        move |is_ok| answer.send(is_ok).unwrap()
    };
    let step = |name: &str| {
        let tell = tell(&answer);
        let change = PairChange { before: None, after: Arc::new(pair(name)) };
        Job::Commit(vec![change], Box::new(move |result| tell(result.is_ok())))
    };
    let failing = {
        let tell = tell(&answer);
        let changes = vec![put("a.example", "{}")];
        operator::change_job(0, changes, vec![entry("x")], Box::new(move |result| tell(result.is_ok())))
    };
    let path = Arc::new(file.0.clone());
    connection.set_prepared_statement_cache_capacity(0);
    Worker { path, connection }.work(vec![step("before"), failing, step("after")]);
    // The one that failed hears it at once, the others when their transaction is on disk.
    assert_eq!(answers.iter().take(3).collect::<Vec<_>>(), [false, true, true]);
    let connection = Connection::open(&file.0).unwrap();
    assert_eq!(pairs::counts(&connection).unwrap().pairs, 2);
    assert_eq!(connection.query_row("SELECT value FROM operator_revision", [], |row| row.get(0)), Ok(0));
}
