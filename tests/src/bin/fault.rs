//! `make fault`: breaks what runs, and prints what became of every message.

use std::process::ExitCode;

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
    /// Only these faults; docs/FAULTS.md names them.
    names: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { short, gateways, edges, rate, rounds, names } = Arguments::parse();
    let plan = Plan { names, is_short: short, size: Size { gateways, edges }, per_second: rate, rounds };
    match fault::run(&plan, |line| println!("{line}")).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fault: {error}");
            ExitCode::FAILURE
        }
    }
}
