use std::sync::OnceLock;

use tokio::runtime::Runtime;

use super::test_server::TestServer;
use super::*;
use crate::store::conformance::{check_all, wait};

/// The runtime of all tests of a process.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// Opens a store that must open.
pub(super) fn open(address: &str) -> Arc<PostgresStore> {
    try_open(address).unwrap()
}

pub(super) fn try_open(address: &str) -> Result<Arc<PostgresStore>, StoreError> {
    runtime().block_on(PostgresStore::open(&address.parse().unwrap()))
}

#[test]
fn a_new_database_gets_the_schema_and_an_old_one_keeps_it() {
    let server = TestServer::start();
    let name = server.database();
    drop(open(&server.address(&name)));
    let versions = "SELECT number, name FROM schema_version ORDER BY number";
    assert_eq!(server.sql(&name, versions), "1|pairs\n2|operator\n3|pool");
    let store = open(&server.address(&name));
    assert_eq!(server.sql(&name, versions), "1|pairs\n2|operator\n3|pool");
    let one: i32 = wait(|done| {
        store.look_up(done, "one", |session| async move { Ok(session.query_one("SELECT 1", &[]).await?.try_get(0)?) })
    })
    .unwrap();
    assert_eq!(one, 1);
}

#[test]
fn postgres_does_what_every_store_must() {
    let server = TestServer::start();
    check_all(&|| open(&server.address(&server.database())));
}
