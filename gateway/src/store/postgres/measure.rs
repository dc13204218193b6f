//! What PostgreSQL costs: figures for the chapter on scale, printed by
//! `CAUSEWAY_PAIRS=1000000 cargo test -p causeway-gateway --lib what_pairs_cost -- --ignored --nocapture`.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use super::test_server::TestServer;
use super::tests::open;
use super::*;
use crate::presence::record::{InAuthorisation, OutAuthorisation};
use crate::store::conformance::{full, key, wait};

/// Pairs, unless the environment says otherwise.
const PAIRS: usize = 100_000;
/// Callers that each wait for their answer, as an engine's pairs do.
const CALLERS: usize = 128;
/// Calls measured of each kind.
const CALLS: usize = 20_000;
/// A server as one would run it: what is committed is on disk.
const DURABLE: &str = "fsync = on\nfull_page_writes = on\nshared_buffers = 256MB\nmax_wal_size = 4GB\n";

/// Both watch each other, from a device each.
fn usual(number: usize) -> Pair {
    let full = full();
    let mut pair = Pair {
        key: key(&format!("user{number}@contoso.example"), &format!("contact{}@fabrikam.example", number % 1_000)),
        due_at: Some(1_900_000_000_000 + number as u64),
        owed: Vec::new(),
        ..full
    };
    pair.inbound.authorisation = InAuthorisation::Authorised;
    pair.outbound.authorisation = OutAuthorisation::To;
    pair.inbound.resources.truncate(1);
    pair.outbound.dialogs.truncate(1);
    pair
}

/// Runs calls from many callers at once and says what they took.
fn measure(what: &str, server: &TestServer, calls: usize, call: impl Fn(usize) + Sync) {
    let (begun, before) = (Instant::now(), cpu(server));
    let wal = |sql: &str| server.sql("postgres", sql).parse::<f64>().unwrap();
    let wal_before = wal("SELECT pg_current_wal_insert_lsn() - '0/0'");
    let times = Mutex::new(Vec::with_capacity(calls));
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return;
                    }
                    let begun = Instant::now();
                    call(number);
                    times.lock().unwrap().push(begun.elapsed());
                }
            });
        }
    });
    let (took, used) = (begun.elapsed().as_secs_f64(), cpu(server) - before);
    let written = wal("SELECT pg_current_wal_insert_lsn() - '0/0'") - wal_before;
    let mut times = times.into_inner().unwrap();
    times.sort();
    println!(
        "{what}: {:.0} in a second, p50 {:?}, p99 {:?}, {:.0} µs of the server's CPU and {:.0} bytes of its log each",
        calls as f64 / took,
        times[calls / 2],
        times[calls * 99 / 100],
        used * 1e6 / calls as f64,
        written / calls as f64,
    );
}

/// Seconds of CPU of the server and its children, also of those that have ended.
fn cpu(server: &TestServer) -> f64 {
    let main = server.pid();
    let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
    let of = |pid: &str, fields: usize| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(fields);
        fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
    };
    let ticks = of(&main.to_string(), 4) + children.split_whitespace().map(|pid| of(pid, 2)).sum::<f64>();
    ticks / 100.0
}

#[test]
#[ignore = "it takes minutes and prints figures"]
fn what_pairs_cost() {
    let count = std::env::var("CAUSEWAY_PAIRS").ok().and_then(|count| count.parse().ok()).unwrap_or(PAIRS);
    let server = TestServer::start_with(DURABLE, "host all all 127.0.0.1/32 trust\n", &[]);
    let name = server.database();
    let store = open(&server.tcp_address("postgres", &name));
    let begun = Instant::now();
    let (done, results) = sync_channel(64);
    let mut under_way = 0;
    for first in (0..count).step_by(128) {
        let changes =
            (first..count.min(first + 128)).map(|number| PairChange { before: None, after: Arc::new(usual(number)) });
        let done = done.clone();
        store.commit(changes.collect(), Box::new(move |result| done.send(result.map(drop)).unwrap()));
        under_way += 1;
        if under_way == 32 {
            results.recv().unwrap().unwrap();
            under_way -= 1;
        }
    }
    (0..under_way).for_each(|_| results.recv().unwrap().unwrap());
    println!("{count} pairs made in {:?}", begun.elapsed());
    server.sql(&name, "VACUUM ANALYZE");
    let sizes = "SELECT relname || ' ' || n_live_tup || ' rows, ' || pg_relation_size(relid) || ' bytes, indexes '
                 || pg_indexes_size(relid) FROM pg_stat_user_tables WHERE n_live_tup > 100 ORDER BY 1";
    println!("{}", server.sql(&name, sizes));
    let all = server.sql(&name, "SELECT pg_database_size(current_database())").parse::<usize>().unwrap();
    println!("{} bytes for each pair, with indexes", all / count);

    let any = |number: usize| number.wrapping_mul(7_919) % count;
    measure("loads", &server, CALLS, |number| {
        assert!(wait(|done| store.load_pair(usual(any(number)).key, done)).unwrap().is_some());
    });
    let held: Vec<_> = (0..CALLS.min(count))
        .map(|number| {
            let key = usual(any(number)).key;
            wait(|done| store.load_pair(key, done)).unwrap().unwrap()
        })
        .collect();
    measure("steps (one NOTIFY)", &server, held.len(), |number| {
        let mut after = held[number].clone();
        after.due_at = after.due_at.map(|at| at + 1_000);
        after.outbound.dialogs[0].dialog.dialog.local_cseq += 1;
        let change = PairChange { before: Some(Arc::new(held[number].clone())), after: Arc::new(after) };
        assert!(matches!(wait(|done| store.commit(vec![change], done)).unwrap()[0], Committed::Stored { .. }));
    });
    measure("claims of 64", &server, 200, |_| {
        assert!(!wait(|done| store.claim_due(2_000_000_000_000, 3_000_000_000_000, 64, done)).unwrap().is_empty());
    });
    measure("counts", &server, 3, |_| {
        assert!(wait(|done| store.counts(done)).unwrap().pairs > 0);
    });
    let grown = server.sql(&name, "SELECT pg_database_size(current_database())").parse::<usize>().unwrap();
    println!("{} bytes for each pair afterwards", grown / count);
}
