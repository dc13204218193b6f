//! Two versions of the program on one database, while one of them is rolled out.

use std::sync::Arc;

use super::test_server::TestServer;
use super::tests::{open, try_open};
use super::*;
use crate::store::conformance::operator::{change, data, entry, journal, put};
use crate::store::conformance::{self, accounts, archive, wait};
use crate::store::operator::*;

/// A version of the schema that this program does not know, and that asks for the program named.
fn migrate_further(server: &TestServer, database: &str, min_program: &str) {
    let tables = "pair authorisation_in authorisation_out dialog presence owed_stanza document external_access_grant \
                  journal account login token one_time archived_message replica duty pool_secret";
    let columns = tables.split_whitespace().map(|table| format!("ALTER TABLE {table} ADD COLUMN later text;"));
    server.sql(database, &columns.collect::<String>());
    server.sql(database, "CREATE TABLE later (id integer)");
    let number = migrate::KNOWN + 1;
    let values = format!("({number}, 'later', '{min_program}', '9.9.9')");
    let insert = "INSERT INTO schema_version (number, name, min_program, applied_by) VALUES";
    server.sql(database, &format!("{insert} {values}"));
}

/// A bit of everything, each time anew.
fn work_with(store: &Arc<PostgresStore>, round: u8) {
    let revision = data(&**store).revision;
    let changes = vec![
        put(&format!("{round}.example"), "{}"),
        DocumentChange::Grant { user: format!("{round}@x"), policy: "p".into() },
    ];
    assert!(matches!(change(&**store, revision, changes), ChangeOutcome::Stored { .. }));
    let name = format!("alice-{round}");
    assert!(matches!(accounts::put(&**store, &mut accounts::account(&name)), PutOutcome::Stored { .. }));
    wait(|done| store.put_login(accounts::login(&name, round), done)).unwrap();
    assert!(wait(|done| store.login([round; 32], done)).unwrap().is_some());
    wait(|done| store.put_token(accounts::token(&name, round), vec![entry("token")], done)).unwrap();
    assert!(wait(|done| store.token([round; 32], done)).unwrap().is_some());
    let link = OneTime { token_hash: [round; 32], purpose: "p".into(), account: None, expires_ms: 9 };
    wait(|done| store.put_one_time(link.clone(), done)).unwrap();
    assert_eq!(wait(|done| store.take_one_time([round; 32], "p".into(), 1, done)).unwrap(), Some(link));
    wait(|done| store.archive(vec![archive::message("b@fabrikam.example", 1, "")], done)).unwrap();
    assert_eq!(archive::archived(&**store, ArchiveFilter::default()).len(), usize::from(round));
    let key = conformance::key(&format!("u{round}@contoso.example"), "bob@fabrikam.example");
    let mut pair = Pair { key: key.clone(), ..conformance::full() };
    assert!(matches!(conformance::commit(&**store, None, &mut pair), Committed::Stored { .. }));
    assert_eq!(conformance::load(&**store, &key), Some(pair));
    assert!(!journal(&**store).is_empty());
}

#[test]
fn a_program_goes_on_and_starts_with_a_newer_schema_that_has_room_for_it() {
    let server = TestServer::start();
    let name = server.database();
    let store = open(&server.address(&name));
    work_with(&store, 1);
    migrate_further(&server, &name, env!("CARGO_PKG_VERSION"));
    // The one that runs notices nothing, and neither does one that is started.
    work_with(&store, 2);
    let second = open(&server.address(&name));
    work_with(&second, 3);
    // Whatever has been migrated stays so.
    assert_eq!(server.sql(&name, "SELECT max(number) FROM schema_version"), (migrate::KNOWN + 1).to_string());
}

#[test]
fn a_program_refuses_a_schema_that_needs_a_newer_one_and_changes_nothing() {
    let server = TestServer::start();
    let name = server.database();
    let store = open(&server.address(&name));
    work_with(&store, 1);
    migrate_further(&server, &name, "99.0.0");
    let error = try_open(&server.address(&name)).unwrap_err();
    assert_eq!(error.fault, StoreFault::TooNew);
    assert!(error.detail.contains("99.0.0"), "{error}");
    assert_eq!(server.sql(&name, "SELECT count(*) FROM document"), "1");
}
