//! `make fault`: breaks what runs, and prints what became of every message.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use causeway_tests::fault::{self, Plan, world::Size};
use clap::Parser;

/// Plays faults under load against the services of the same build.
#[derive(Debug, Parser)]
struct Arguments {
    /// The short form that is part of `make test`.
    #[arg(long)]
    short: bool,
    /// Gateways.
    #[arg(long, default_value_t = 1)]
    gateways: usize,
    /// Edges.
    #[arg(long, default_value_t = 2)]
    edges: usize,
    /// Messages a second, each way and for each partner.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How often all of it.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// What decides at which moment each fault begins; a run prints its own.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these faults; docs/FAULTS.md names them.
    names: Vec<String>,
}

/// Milliseconds of the clock, where nobody names a seed.
fn started() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// Until somebody wants us to stop.
async fn interrupted() -> std::io::Result<bool> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Err(std::io::ErrorKind::Interrupted.into())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { short, gateways, edges, rate, rounds, seed, names } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) ^ started());
    let plan = Plan { names, is_short: short, size: Size { gateways, edges }, per_second: rate, rounds, seed };
    // Whoever interrupts it leaves no process and no namespace behind: they go with what is dropped.
    let played = tokio::select! {
        played = fault::run(&plan, |line| println!("{line}")) => played,
        interrupted = interrupted() => interrupted,
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fault: {error}");
            ExitCode::FAILURE
        }
    }
}
