//! `make scale`: fills a PostgreSQL database with as many pairs as a pool of that size has, plays the busy hour to it at the
//! pool's own rate and as fast as it goes, and prints what each step cost beside what the formulae say.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use causeway_gateway::config::{PostgresConfig, PostgresHost, Verification};
use causeway_gateway::shell;
use causeway_gateway::store::Store;
use causeway_gateway::store::postgres::PostgresStore;
use causeway_tests::peer::postgres::TestServer;
use causeway_tests::scale::drive::{self, Steps};
use causeway_tests::scale::model::{self, COLUMNS, Habits, MEASURED};
use causeway_tests::scale::pairs::pair;
use causeway_tests::scale::watch::{Meter, Spent};
use clap::Parser;

/// As a careful operator sets a server of this machine up: nothing is lost in a power cut.
const SETTINGS: &str =
    "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\nshared_buffers = 1GB\nmax_wal_size = 4GB\n";

/// Plays the store of a pool.
#[derive(Debug, Parser)]
struct Arguments {
    /// SIP users of the pool.
    #[arg(long, default_value_t = 80_000.0)]
    users: f64,
    /// Pairs in the store; those of so many users unless given.
    #[arg(long)]
    pairs: Option<u64>,
    /// Seconds of each run.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), String> {
    let habits = Habits::of(arguments.users, 500.0);
    let needs = model::needs(&habits, &MEASURED);
    let pairs = arguments.pairs.unwrap_or(needs.pairs as u64).max(1);
    let time = Duration::from_secs(arguments.seconds.max(1));

    let server = TestServer::start_with(SETTINGS, "host all all 127.0.0.1/32 trust\n", &[]);
    let database = server.database();
    let config = PostgresConfig {
        user: "postgres".to_owned(),
        hosts: vec![PostgresHost { host: "127.0.0.1".to_owned(), port: server.port() }],
        database: database.clone(),
        verification: Verification::Disable,
        password: None,
        authorities: None,
        client: None,
    };
    let store = PostgresStore::open(&config).await.map_err(|error| error.to_string())?;
    let store: Arc<dyn Store> = store;
    let meter = Meter::new(&server, &database);

    let empty = meter.bytes()?;
    let now = shell::now().unix_ms;
    // Due an hour from now, and evenly over an hour.
    let due_at = |number: u64| now + 3_600_000 + number * 3_600_000 / pairs;
    let filled = drive::fill(&store, pairs, |number| pair(number, now, due_at(number)));
    let filled = filled.await.map_err(|error| error.to_string())?;
    server.sql(&database, "VACUUM ANALYZE");
    server.sql(&database, "CHECKPOINT");
    let bytes = (meter.bytes()? - empty) as f64 / pairs as f64;
    println!("{pairs} pairs stored in {:.0} s; {bytes:.0} bytes each", filled.as_secs_f64());

    println!(
        "\n| Steps | per second | p50 ms | p99 ms | conflicts | failed | database, per CPU-s | client, per CPU-s | WAL bytes |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (name, rate) in [
        ("at the pool's rate", Some(needs.steps)),
        ("at four times that", Some(4.0 * needs.steps)),
        ("as fast as it goes", None),
    ] {
        let before = meter.spent()?;
        let steps = drive::drive(&store, pairs, rate, time).await;
        println!("{}", row(name, &steps, &meter.spent()?.since(&before)));
        if steps.failed > 0 {
            return Err(format!("{} steps failed", steps.failed));
        }
    }
    println!("\n{}", model::table(&COLUMNS, &MEASURED));
    let users = model::wall(&habits, &MEASURED, 16.0);
    println!("A database of 16 cores is full at {} users.", model::short(users));
    Ok(())
}

fn row(name: &str, steps: &Steps, spent: &Spent) -> String {
    let done = steps.done.max(1) as f64;
    format!(
        "| {name} | {:.0} | {:.2} | {:.2} | {} | {} | {:.0} | {:.0} | {:.0} |",
        steps.per_second(),
        steps.latency_ms[0],
        steps.latency_ms[1],
        steps.conflicts,
        steps.failed,
        done / spent.server_s.max(1e-9),
        done / spent.client_s.max(1e-9),
        spent.wal_bytes / done,
    )
}
