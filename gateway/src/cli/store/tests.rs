use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser as _;

use super::super::output::Format;
use super::super::{Line, run};
use super::*;
use crate::store::conformance::operator::{change, data, entry, journal, put};
use crate::store::conformance::{archive, backup::filled, wait};
use crate::store::operator::{ArchiveFilter, OperatorStore, RemoveOutcome};
use crate::store::pool::PoolStore;
use crate::store::postgres::test_server::TestServer;
use crate::store::{Store, conformance};

/// A folder with a configuration and a filled SQLite file, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("causeway-move-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("gateway.db");
        let made = RefCell::new(None);
        filled(&|| {
            let store = Arc::new(SqliteStore::open(&path).unwrap());
            made.replace(Some(Arc::clone(&store)));
            (Arc::clone(&store) as Arc<dyn Store>, store)
        });
        let store = made.into_inner().unwrap();
        // What PostgreSQL cannot hold is no reason to stay.
        wait(|done| store.archive(vec![archive::message("b@fabrikam.example", 999, "a\0b")], done)).unwrap();
        wait(|done| store.append_journal(vec![entry("what a visitor typed: \0")], done)).unwrap();
        wait(|done| store.secret("dialback".into(), b"of the file".to_vec(), done)).unwrap();
        std::fs::write(folder.join("gateway.toml"), format!("nonsense = 1\n[store]\npath = '{}'", path.display()))
            .unwrap();
        Self(folder)
    }

    fn config(&self) -> String {
        self.0.join("gateway.toml").display().to_string()
    }

    fn file(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(self.0.join("gateway.db")).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn causeway(arguments: &[&str]) -> Ending {
    let line = Line::try_parse_from(["causeway", "store"].iter().chain(arguments)).unwrap();
    run(line, &Screen::new(Format::Table))
}

fn move_to(folder: &Folder, address: &str, further: &[&str]) -> Ending {
    let config = folder.config();
    causeway(&[&["move", "--config", &config, "--to", address], further].concat())
}

fn open(runtime: &Runtime, address: &str) -> Arc<PostgresStore> {
    runtime.block_on(PostgresStore::open(&address.parse().unwrap())).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The dialback secret, made if there is none.
fn secret(store: &dyn PoolStore) -> Vec<u8> {
    wait(|done| store.secret("dialback".into(), b"made here".to_vec(), done)).unwrap()
}

#[test]
fn everything_moves_and_once_is_enough() {
    let (server, folder, runtime) = (TestServer::start(), Folder::new(), runtime());
    let address = server.address(&server.database());
    assert_eq!(move_to(&folder, &address, &[]).unwrap(), Found::InOrder);

    let (file, moved) = (folder.file(), open(&runtime, &address));
    assert_eq!(data(&*moved).documents, data(&*file).documents);
    let (here, there) = (journal(&*file), journal(&*moved));
    assert_eq!(there[..here.len()], here);
    let last = &there[here.len()..];
    assert_eq!(last.iter().map(|record| record.entry.action.as_str()).collect::<Vec<_>>(), ["store.move"]);
    assert!(last[0].entry.detail.contains("\"pair\""), "{}", last[0].entry.detail);
    assert_eq!(crate::admin::journal::verify_chain(&there), Ok(()));
    assert_eq!(wait(|done| moved.counts(done)).unwrap(), wait(|done| file.counts(done)).unwrap());
    assert_eq!(archive::archived(&*moved, ArchiveFilter::default()).len(), 301);
    let key = conformance::key("u7@contoso.example", "bob@fabrikam.example");
    let pair = |store: &dyn Store| {
        let pair = conformance::load(store, &key).unwrap();
        crate::presence::record::Pair { version: 0, ..pair }
    };
    assert_eq!(pair(&*moved), pair(&*file));
    assert_eq!(secret(&*moved), b"of the file");
    drop(file);

    // Whoever was interrupted before he was told begins again, and hears that it is done.
    assert_eq!(move_to(&folder, &address, &[]).unwrap(), Found::InOrder);
    assert_eq!(journal(&*moved).len(), there.len());
}

#[test]
fn what_is_there_is_replaced_only_on_demand() {
    let (server, folder, runtime) = (TestServer::start(), Folder::new(), runtime());
    let address = server.address(&server.database());
    let target = open(&runtime, &address);
    change(&*target, 0, vec![put("own.example", "{}")]);
    wait(|done| target.append_journal(vec![entry("own 2")], done)).unwrap();
    assert_eq!(secret(&*target), b"made here");
    let failure = move_to(&folder, &address, &[]).unwrap_err();
    assert!(failure.to_string().contains("--replace"), "{failure}");
    assert_eq!((data(&*target).documents.len(), secret(&*target)), (1, b"made here".to_vec()));
    // Off a terminal nobody can be asked.
    assert!(move_to(&folder, &address, &["--replace"]).is_err());

    assert_eq!(move_to(&folder, &address, &["--replace", "--confirm=false"]).unwrap(), Found::InOrder);
    assert_eq!(data(&*target).documents, data(&*folder.file()).documents);
    assert_eq!(secret(&*target), b"of the file");
    let records = journal(&*target);
    assert_eq!(crate::admin::journal::verify_chain(&records), Ok(()));
    let objects: Vec<_> = records.iter().map(|record| record.entry.object.as_str()).collect();
    assert_eq!(objects[..objects.len() - 1], ["x", "x", "what a visitor typed: \0", "own 2"]);
}

#[test]
fn nothing_is_moved_while_somebody_uses_the_one_or_the_other() {
    let (server, folder, runtime) = (TestServer::start(), Folder::new(), runtime());
    let name = server.database();
    let address = server.address(&name);
    let gateway = folder.file();
    let failure = move_to(&folder, &address, &[]).unwrap_err();
    assert!(matches!(&failure, Failure::Store(error) if error.fault == StoreFault::Locked), "{failure}");
    drop(gateway);

    drop(open(&runtime, &address));
    server.sql(&name, "INSERT INTO replica SELECT 'gw1', extract(epoch FROM now()) * 1000, '{}'");
    let failure = move_to(&folder, &address, &[]).unwrap_err();
    assert!(failure.to_string().contains("in use by gw1"), "{failure}");
    server.sql(&name, "UPDATE replica SET seen_ms = seen_ms - 60000");
    assert_eq!(move_to(&folder, &address, &[]).unwrap(), Found::InOrder);
}

#[test]
fn a_journal_whose_end_was_cut_off_moves_and_is_named() {
    let (server, folder, runtime) = (TestServer::start(), Folder::new(), runtime());
    let address = server.address(&server.database());
    let file = rusqlite::Connection::open(folder.0.join("gateway.db")).unwrap();
    file.execute("DELETE FROM journal WHERE seq = 3", []).unwrap();
    drop(file);
    assert_eq!(move_to(&folder, &address, &[]).unwrap(), Found::NotInOrder);
    let records = journal(&*open(&runtime, &address));
    assert!(records[2].entry.detail.contains("its end was cut off"), "{}", records[2].entry.detail);
}

#[test]
fn a_target_that_does_not_do_is_named_before_anything_happens() {
    let (server, folder) = (TestServer::start(), Folder::new());
    for (to, found) in [
        ("/var/lib/x.db".to_owned(), "it is no address of PostgreSQL"),
        ("postgresql://u:secret@h/d".to_owned(), "it holds a password"),
        ("postgresql://u@h/d".to_owned(), "store.ca"),
        (server.address("nonexistent"), "no such database"),
    ] {
        let failure = move_to(&folder, &to, &[]).unwrap_err().to_string();
        assert!(failure.contains(found) && !failure.contains("secret"), "{failure}");
    }
    let config = folder.0.join("pool.toml").display().to_string();
    std::fs::write(&config, format!("[store]\npostgres = '{}'", server.address("d"))).unwrap();
    let address = server.address(&server.database());
    let failure = causeway(&["move", "--config", &config, "--to", &address]).unwrap_err();
    assert!(failure.to_string().contains("names PostgreSQL already"), "{failure}");
}

#[test]
fn both_engines_say_what_they_are_and_whether_all_of_it_can_be_read() {
    let (server, folder, runtime) = (TestServer::start(), Folder::new(), runtime());
    let name = server.database();
    let address = server.address(&name);
    let sqlite = folder.config();
    let postgres = folder.0.join("pool.toml").display().to_string();
    std::fs::write(&postgres, format!("[store]\npostgres = '{address}'")).unwrap();
    // No gateway has made its tables yet.
    assert_eq!(causeway(&["status", "--config", &postgres]).unwrap(), Found::InOrder);
    assert_eq!(causeway(&["check", "--config", &postgres]).unwrap(), Found::NotInOrder);
    move_to(&folder, &address, &[]).unwrap();
    let gateway = folder.file();
    for config in [&sqlite, &postgres] {
        assert_eq!(causeway(&["status", "--config", config]).unwrap(), Found::InOrder, "{config}");
        assert_eq!(causeway(&["check", "--config", config]).unwrap(), Found::InOrder, "{config}");
    }
    drop(gateway);
    let found = runtime.block_on(PostgresStore::inspect(&address.parse().unwrap())).unwrap();
    assert!(found.rows.contains(&("pairs", 300)) && found.rows.contains(&("archived messages", 301)), "{found:?}");

    server.sql(&name, "UPDATE journal SET at_ms = 7 WHERE seq = 2");
    assert_eq!(causeway(&["check", "--config", &postgres]).unwrap(), Found::NotInOrder);
    let file = rusqlite::Connection::open(folder.0.join("gateway.db")).unwrap();
    file.execute("UPDATE pair SET local = 'no address' WHERE pair_id = 7", []).unwrap();
    assert_eq!(causeway(&["check", "--config", &sqlite]).unwrap(), Found::NotInOrder);
    drop(file);
    // It would be left behind.
    let other = server.address(&server.database());
    let failure = move_to(&folder, &other, &[]).unwrap_err();
    assert!(failure.to_string().contains("1 pairs cannot be read"), "{failure}");
    assert!(causeway(&["status", "--config", "/nonexistent/x.toml"]).is_err());
}

#[test]
fn what_was_moved_is_a_store_to_work_with() {
    let (server, folder, runtime) = (TestServer::start(), Folder::new(), runtime());
    let address = server.address(&server.database());
    move_to(&folder, &address, &[]).unwrap();
    let store = open(&runtime, &address);
    let revision = data(&*store).revision;
    assert!(revision > data(&*folder.file()).revision);
    change(&*store, revision, vec![put("new.example", "{}")]);
    let alice = wait(|done| store.account("alice".into(), done)).unwrap().unwrap();
    let removed = wait(|done| store.remove_account(alice.name, alice.version, Default::default(), done)).unwrap();
    assert_eq!(removed, RemoveOutcome::Removed);
    wait(|done| store.archive(vec![archive::message("b@fabrikam.example", 1_000, "")], done)).unwrap();
    assert_eq!(archive::archived(&*store, ArchiveFilter::default()).last().unwrap().id, 302);
}
