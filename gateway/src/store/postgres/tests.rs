use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use tokio::runtime::Runtime;

use super::test_server::TestServer;
use super::*;
use crate::presence::record::InAuthorisation;
use crate::store::conformance::{check_all, commit, full, key, load, wait};

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

fn pair(local: &str) -> Pair {
    let mut pair = Pair::new(key(&format!("{local}@contoso.example"), "bob@fabrikam.example"));
    pair.inbound.authorisation = InAuthorisation::Held;
    pair
}

/// A commit whose result is looked at later.
fn commit_later(
    store: &dyn Store,
    before: Option<&Pair>,
    after: &Pair,
) -> Receiver<Result<Vec<Committed>, StoreError>> {
    let (done, result) = sync_channel(1);
    let change = PairChange { before: before.cloned().map(Arc::new), after: Arc::new(after.clone()) };
    store.commit(vec![change], Box::new(move |committed| drop(done.send(committed))));
    result
}

/// Tries until it works: a server that was away is found again within seconds.
fn until_it_works<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match call() {
            Ok(value) => return value,
            Err(error) if error.fault.may_pass() && Instant::now() < end => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_new_database_gets_the_schema_and_an_old_one_keeps_it() {
    let server = TestServer::start();
    let name = server.database();
    drop(open(&server.address(&name)));
    let versions = "SELECT number, name FROM schema_version ORDER BY number";
    let found = server.sql(&name, versions);
    assert_eq!(found.lines().next(), Some("1|pairs"));
    assert_eq!(found.lines().count(), usize::try_from(migrate::KNOWN).unwrap());
    drop(open(&server.address(&name)));
    assert_eq!(server.sql(&name, versions), found);
}

#[test]
fn postgres_does_what_every_store_must() {
    let server = TestServer::start();
    check_all(&|| open(&server.address(&server.database())));
}

#[test]
fn programs_that_start_together_make_the_schema_once() {
    let server = TestServer::start();
    let name = server.database();
    let config: PostgresConfig = server.address(&name).parse().unwrap();
    runtime().block_on(async {
        let opening: Vec<_> = (0..4)
            .map(|_| {
                let config = config.clone();
                tokio::spawn(async move { PostgresStore::open(&config).await })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap().unwrap();
        }
    });
    let versions = server.sql(&name, "SELECT count(*) FROM schema_version");
    assert_eq!(versions, migrate::KNOWN.to_string());
}

#[test]
fn a_program_runs_beside_a_newer_one_until_the_schema_leaves_it_behind() {
    let server = TestServer::start();
    let name = server.database();
    drop(open(&server.address(&name)));
    let newer = |min: &str| {
        let values = format!("({}, 'future', '{min}', '99.0.0')", migrate::KNOWN + 1);
        let insert = "INSERT INTO schema_version (number, name, min_program, applied_by) VALUES";
        server.sql(&name, &format!("DELETE FROM schema_version WHERE name = 'future'; {insert} {values}"));
    };
    newer("0.1.0");
    let store = open(&server.address(&name));
    assert!(matches!(commit(&*store, None, &mut full()), Committed::Stored { .. }));
    newer("99.0.0");
    let error = try_open(&server.address(&name)).unwrap_err();
    assert_eq!(error.fault, StoreFault::TooNew);
    assert!(error.to_string().contains("99.0.0"), "{error}");
}

#[test]
fn due_pairs_are_claimed_by_one_gateway_each() {
    let server = TestServer::start();
    let address = server.address(&server.database());
    let stores = [open(&address), open(&address)];
    for number in 0..300_u64 {
        let mut due = Pair { due_at: Some(number), ..pair(&format!("u{number}")) };
        commit(&*stores[0], None, &mut due);
    }
    let mut claimed: Vec<String> = Vec::new();
    std::thread::scope(|scope| {
        let claiming: Vec<_> = stores
            .iter()
            .map(|store| {
                scope.spawn(move || {
                    let mut own = Vec::new();
                    loop {
                        let page = wait(|done| store.claim_due(1_000, 60_000, 7, done)).unwrap();
                        if page.is_empty() {
                            return own;
                        }
                        own.extend(page.into_iter().map(|pair| pair.key.local.as_str().to_owned()));
                    }
                })
            })
            .collect();
        claiming.into_iter().for_each(|own| claimed.extend(own.join().unwrap()));
    });
    claimed.sort();
    let count = claimed.len();
    claimed.dedup();
    assert_eq!((count, claimed.len()), (300, 300));
}

#[test]
fn of_two_gateways_that_change_a_pair_one_is_told_of_the_other() {
    let server = TestServer::start();
    let address = server.address(&server.database());
    let stores = [open(&address), open(&address)];
    let mut base = full();
    commit(&*stores[0], None, &mut base);
    // Both at the same moment, again and again: the records of each step are the one or the other, never a mixture.
    for attempts in 1..=40 {
        let base = load(&*stores[0], &base.key).unwrap();
        let mut steps = [base.clone(), base.clone()];
        steps[0].outbound.attempts = attempts;
        steps[1].inbound.attempts = attempts + 1_000;
        let results = [0, 1].map(|index| commit_later(&*stores[index], Some(&base), &steps[index]));
        let results = results.map(|result| result.recv().unwrap().unwrap()[0]);
        let winner = match results {
            [Committed::Stored { version }, Committed::Conflict] => Pair { version, ..steps[0].clone() },
            [Committed::Conflict, Committed::Stored { version }] => Pair { version, ..steps[1].clone() },
            other => panic!("{other:?}"),
        };
        assert_eq!(load(&*stores[1], &base.key), Some(winner));
    }
}

#[test]
fn gateways_that_commit_many_pairs_in_different_orders_finish() {
    let server = TestServer::start();
    let address = server.address(&server.database());
    let stores = [open(&address), open(&address)];
    let names: Vec<String> = (0..64).map(|number| format!("u{number}")).collect();
    for name in &names {
        commit(&*stores[0], None, &mut pair(name));
    }
    let changes = |store: &PostgresStore, is_backwards: bool| {
        let keys: Vec<_> = names.iter().map(|name| pair(name).key).collect();
        let mut changes: Vec<_> = keys
            .iter()
            .filter_map(|key| load(store, key))
            .map(|before| PairChange {
                after: Arc::new(Pair { serial: before.serial + 1, ..before.clone() }),
                before: Some(Arc::new(before)),
            })
            .collect();
        if is_backwards {
            changes.reverse();
        }
        changes
    };
    std::thread::scope(|scope| {
        for (store, is_backwards) in [(&stores[0], false), (&stores[1], true)] {
            let changes = &changes;
            scope.spawn(move || {
                for _ in 0..10 {
                    wait(|done| store.commit(changes(store, is_backwards), done)).unwrap();
                }
            });
        }
    });
    // Each step that was said to be stored is one more; somebody has won each time.
    let total: u64 =
        names.iter().filter_map(|name| load(&*stores[0], &pair(name).key)).map(|pair| u64::from(pair.serial)).sum();
    assert!(total >= 640, "{total}");
}

#[test]
fn a_change_that_no_column_takes_fails_alone() {
    let server = TestServer::start();
    let store = open(&server.address(&server.database()));
    let mut bad = pair("bad");
    // PostgreSQL's text holds no NUL; what peers send holds none either.
    bad.inbound.probe = Some("a\0b".to_owned());
    let results: Vec<_> = ["one", "two"]
        .map(|name| commit_later(&*store, None, &pair(name)))
        .into_iter()
        .chain([commit_later(&*store, None, &bad)])
        .chain(["three", "four"].map(|name| commit_later(&*store, None, &pair(name))))
        .collect();
    let results: Vec<_> = results.into_iter().map(|result| result.recv().unwrap()).collect();
    let refused: Vec<_> = results.iter().map(|result| result.as_ref().err().map(|error| error.fault)).collect();
    assert_eq!(refused, [None, None, Some(StoreFault::Refused), None, None]);
    assert_eq!(wait(|done| store.counts(done)).unwrap().pairs, 4);
}

#[test]
fn what_a_slow_or_full_server_says_fails_a_batch_at_once_and_not_each_change_after_its_own_time() {
    const CHANGES: u32 = 40;
    let server = TestServer::start();
    for (state, is_at_once) in [("57014", true), ("53100", true), ("55P03", true), ("23514", false)] {
        let name = server.database();
        let store = open(&server.address(&name));
        let locker = open(&server.address(&name));
        // What a sequence counts is not rolled back.
        let trigger = format!(
            "CREATE SEQUENCE attempt; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM nextval('attempt'); RAISE EXCEPTION 'as told' USING ERRCODE = '{state}'; END $$; \
             CREATE TRIGGER fail BEFORE INSERT ON pair FOR EACH STATEMENT EXECUTE FUNCTION fail()"
        );
        server.sql(&name, &trigger);
        // Nothing gets through while all of them are handed in, so that they share few batches.
        let release = hold(&locker, "LOCK TABLE pair IN ACCESS EXCLUSIVE MODE");
        let results: Vec<_> =
            (0..CHANGES).map(|number| commit_later(&*store, None, &pair(&format!("u{number}")))).collect();
        release.send(()).unwrap();
        for result in results {
            assert!(result.recv().unwrap().is_err(), "{state}");
        }
        let attempts: u32 = server.sql(&name, "SELECT last_value FROM attempt").parse().unwrap();
        assert_eq!(attempts < CHANGES, is_at_once, "{state}: {attempts} attempts");
    }
}

// Rule: life.store-failure
#[test]
fn one_unreadable_record_fails_alone() {
    let server = TestServer::start();
    let name = server.database();
    let store = open(&server.address(&name));
    let (mut good, mut bad) = (pair("good"), pair("bad"));
    commit(&*store, None, &mut good);
    commit(&*store, None, &mut bad);
    server.sql(&name, "INSERT INTO owed_stanza SELECT pair_id, 'nonsense', 1, 1 FROM pair WHERE local LIKE 'bad%'");
    let error = wait(|done| store.load_pair(bad.key.clone(), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Corrupt);
    assert_eq!(load(&*store, &good.key), Some(good.clone()));
    assert_eq!(wait(|done| store.pairs(None, 10, done)).unwrap(), [good]);
}

/// Waits until the server says that so many sessions wait for a lock.
fn until_waiting(server: &TestServer, name: &str, count: usize) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let end = Instant::now() + Duration::from_secs(20);
    while server.sql(name, waiting) != count.to_string() {
        assert!(Instant::now() < end, "nobody waits");
    }
}

/// Takes a lock and keeps it until told.
fn hold(store: &PostgresStore, lock: &'static str) -> tokio::sync::oneshot::Sender<()> {
    let (held, is_held) = sync_channel(1);
    let (release, released) = tokio::sync::oneshot::channel();
    let done: Done<()> = Box::new(|result| result.unwrap());
    store.write(done, "hold", move |session| async move {
        session.batch(lock).await?;
        held.send(()).unwrap();
        let _ = released.await;
        Ok(())
    });
    is_held.recv().unwrap();
    release
}

#[test]
fn a_commit_whose_connection_is_killed_is_done_once() {
    let server = TestServer::start();
    let name = server.database();
    let store = open(&server.address(&name));
    let mut first = full();
    commit(&*store, None, &mut first);
    // The commit is held up by somebody else's lock, and killed there: it has not happened, and is done again.
    let mut after = Pair { serial: 77, ..first.clone() };
    let locker = open(&server.address(&name));
    let release = hold(&locker, "SELECT 1 FROM pair FOR UPDATE");
    let result = commit_later(&*store, Some(&first), &after);
    until_waiting(&server, &name, 1);
    server.sql(&name, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    release.send(()).unwrap();
    let Committed::Stored { version } = result.recv().unwrap().unwrap()[0] else { panic!() };
    after.version = version;
    assert_eq!(load(&*store, &first.key), Some(after));
}

/// A way to the server that can be cut without the server's noticing at once.
struct Way {
    port: u16,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(server: &TestServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, ends, target) =
            (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<_>>>::default(), server.port());
        let held = Arc::clone(&ends);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let both = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
                for (mut from, mut to) in both {
                    held.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, ends }
    }

    fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn a_commit_whose_answer_is_lost_counts_as_stored_and_is_not_done_again() {
    let server = TestServer::start();
    let (name, way) = (server.database(), Way::to(&server));
    let store = open(&format!("postgresql://postgres@127.0.0.1:{}/{name}?sslmode=disable", way.port));
    let mut first = pair("alice");
    commit(&*store, None, &mut first);
    // A deferred trigger stops the server in the middle of COMMIT: all is written, and nobody has heard of it.
    server.sql(
        &name,
        "CREATE TABLE step (version bigint);
         CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO step VALUES (NEW.version); PERFORM pg_advisory_xact_lock(7); RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON pair DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION hold();",
    );
    let locker = open(&server.address(&name));
    let release = hold(&locker, "SELECT pg_advisory_xact_lock(7)");
    let after = Pair { serial: 5, ..first.clone() };
    let result = commit_later(&*store, Some(&first), &after);
    until_waiting(&server, &name, 1);
    way.cut();
    // The next attempt waits for the first one, which goes on without us and is let now.
    until_waiting(&server, &name, 2);
    release.send(()).unwrap();
    let Committed::Stored { version } = result.recv().unwrap().unwrap()[0] else { panic!() };
    let found = load(&*store, &first.key).unwrap();
    assert_eq!((found.version, found.serial), (version, 5));
    assert_eq!(server.sql(&name, "SELECT version FROM step"), version.to_string());
}

/// Makes steps of a pair, each on what the store holds, and counts those that were stored.
fn steps(store: &PostgresStore, name: &str, is_over: &AtomicBool) -> u32 {
    let mut held: Option<Pair> = None;
    let mut stored = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut after = held.clone().unwrap_or_else(|| pair(name));
        after.serial += 1;
        match commit_later(store, held.as_ref(), &after).recv().unwrap() {
            Ok(committed) => match committed[0] {
                Committed::Stored { version } => {
                    stored += 1;
                    held = Some(Pair { version, ..after });
                }
                Committed::Conflict => panic!("nobody else changes {name}"),
            },
            // It waited too long and was never begun.
            Err(error) => assert!(error.fault.may_pass(), "{error}"),
        }
    }
    stored
}

#[test]
fn a_server_that_is_killed_again_and_again_has_each_step_once() {
    let mut server = TestServer::start();
    let name = server.database();
    let store = open(&server.tcp_address("postgres", &name));
    let is_over = AtomicBool::new(false);
    let names: Vec<String> = (0..8).map(|number| format!("u{number}")).collect();
    std::thread::scope(|scope| {
        let stepping: Vec<_> =
            names.iter().map(|name| scope.spawn(|| (name.clone(), steps(&store, name, &is_over)))).collect();
        for _ in 0..3 {
            // In the middle of it.
            let serial =
                || until_it_works(|| wait(|done| store.load_pair(pair(&names[0]).key, done))).map(|pair| pair.serial);
            let before = serial();
            while serial() == before {}
            server.kill();
            server.resume_service();
        }
        until_it_works(|| wait(|done| store.load_pair(pair(&names[0]).key, done)));
        is_over.store(true, Ordering::Relaxed);
        for stepped in stepping {
            let (name, stored) = stepped.join().unwrap();
            let found = until_it_works(|| wait(|done| store.load_pair(pair(&name).key, done)));
            assert_eq!(found.map_or(0, |pair| pair.serial), stored, "{name}");
        }
    });
}

#[test]
fn a_server_that_is_gone_or_silent_fails_calls_in_time_and_is_found_again() {
    let mut server = TestServer::start();
    let name = server.database();
    let store = open(&server.tcp_address("postgres", &name));
    let mut kept = pair("alice");
    commit(&*store, None, &mut kept);

    server.stop();
    let begun = Instant::now();
    let waiting: Vec<_> = (0..9_000)
        .map(|_| {
            let (done, result) = sync_channel(1);
            store.load_pair(kept.key.clone(), Box::new(move |loaded| drop(done.send(loaded))));
            result
        })
        .collect();
    let faults: Vec<_> = waiting.into_iter().map(|result| result.recv().unwrap().unwrap_err().fault).collect();
    assert!(begun.elapsed() < WAIT + Duration::from_secs(10), "{:?}", begun.elapsed());
    // What fits in the queue waits for the server; what does not is refused at once.
    assert!(faults.contains(&StoreFault::Unreachable) && faults.contains(&StoreFault::Overloaded));
    assert!(faults.iter().all(|fault| fault.may_pass()));
    server.resume_service();
    assert_eq!(until_it_works(|| wait(|done| store.load_pair(kept.key.clone(), done))), Some(kept.clone()));

    server.pause();
    let begun = Instant::now();
    let error = wait(|done| store.load_pair(kept.key.clone(), done)).unwrap_err();
    assert_eq!(error.fault, StoreFault::Unreachable);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    server.unpause();
    assert_eq!(until_it_works(|| wait(|done| store.load_pair(kept.key.clone(), done))), Some(kept));
}

#[test]
fn what_is_wrong_with_a_server_is_said_with_what_to_do() {
    let access = "host all trusted 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let server = TestServer::start_with("", access, &[]);
    let (name, fixed) = (server.database(), server.database());
    server.sql("postgres", "CREATE ROLE trusted LOGIN; CREATE ROLE causeway LOGIN PASSWORD 'right'");
    server.sql("postgres", &format!("ALTER DATABASE {name} OWNER TO causeway"));
    server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    server.sql("postgres", &format!("ALTER DATABASE {fixed} SET default_transaction_read_only = on"));
    let folder = std::env::temp_dir().join(format!("causeway-pg-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let password = |text: &str| {
        let path = folder.join(text);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path
    };
    let port = server.port();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let with = |address: String, secret: Option<&str>| {
        let config = PostgresConfig { password: secret.map(password), ..address.parse().unwrap() };
        runtime().block_on(PostgresStore::open(&config)).map(drop)
    };
    let tcp = |user: &str, name: &str| server.tcp_address(user, name);
    assert_eq!(with(tcp("causeway", &name), Some("right")), Ok(()));
    // The one that takes changes is found behind one that is not there and one that only reads.
    let several = format!("postgresql://causeway@127.0.0.1:{closed},127.0.0.1:{port}/{name}?sslmode=disable");
    assert_eq!(with(several, Some("right")), Ok(()));
    for (address, secret, fault, words) in [
        (tcp("causeway", &name), Some("wrong"), StoreFault::Denied, "password"),
        (tcp("causeway", &name), None, StoreFault::Denied, "password"),
        (tcp("trusted", &name), None, StoreFault::Denied, "permission denied"),
        (tcp("causeway", "nothing"), Some("right"), StoreFault::NoDatabase, "nothing"),
        (tcp("trusted", &fixed), None, StoreFault::ReadOnly, "primary"),
        (server.address("latin"), None, StoreFault::Unsuitable, "LATIN1"),
        (
            tcp("causeway", &name).replace(&port.to_string(), &closed.to_string()),
            None,
            StoreFault::Unreachable,
            "refused",
        ),
        (
            "postgresql://u@nowhere.invalid/x?sslmode=disable".to_owned(),
            None,
            StoreFault::Unreachable,
            "nowhere.invalid",
        ),
    ] {
        let error = with(address, secret).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.fault, fault, "{text}");
        assert!(text.contains(words) && text.starts_with("postgresql://"), "{text}");
        assert!(!text.contains("right") && !text.contains("wrong"), "{text}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_server_has_to_prove_its_name_and_may_ask_for_ours() {
    let folder = std::env::temp_dir().join(format!("causeway-pg-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new();
    let (server_own, client_own) = (authority.issue("localhost"), authority.issue("causeway"));
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let ca = write("ca.pem", &authority.certificate);
    let stranger = write("other.pem", &Authority::new().certificate);
    let client = (write("client.pem", &client_own.0), write("client.key", &client_own.1));
    let server = TestServer::start_with(
        "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\nssl_ca_file = 'ca.pem'\n",
        "hostssl all causeway 127.0.0.1/32 cert\nhostssl all postgres 127.0.0.1/32 trust\n",
        &[("server.pem", &server_own.0), ("server.key", &server_own.1), ("ca.pem", &authority.certificate)],
    );
    let name = server.database();
    server.sql("postgres", &format!("CREATE ROLE causeway LOGIN; ALTER DATABASE {name} OWNER TO causeway"));
    let open = |user: &str, host: &str, mode: &str, ca: &std::path::Path, with_client: bool| {
        let address = format!("postgresql://{user}@{host}:{}/{name}?sslmode={mode}", server.port());
        let config = PostgresConfig {
            authorities: Some(ca.to_owned()),
            client: with_client.then(|| client.clone()),
            ..address.parse().unwrap()
        };
        runtime().block_on(PostgresStore::open(&config)).map(drop).map_err(|error| error.fault)
    };
    assert_eq!(open("causeway", "localhost", "verify-full", &ca, true), Ok(()));
    assert_eq!(open("postgres", "localhost", "verify-full", &ca, false), Ok(()));
    assert_eq!(open("causeway", "localhost", "verify-full", &ca, false), Err(StoreFault::Denied));
    assert_eq!(open("postgres", "127.0.0.1", "verify-full", &ca, false), Err(StoreFault::Untrusted));
    assert_eq!(open("postgres", "127.0.0.1", "verify-ca", &ca, false), Ok(()));
    for mode in ["verify-ca", "verify-full"] {
        assert_eq!(open("postgres", "localhost", mode, &stranger, false), Err(StoreFault::Untrusted), "{mode}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Signs certificates for a test.
struct Authority {
    certificate: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    /// A certificate for a host, or for a role of the database, and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
