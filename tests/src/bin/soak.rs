//! `make soak`: holds idle streams while strangers attack, and looks at what is left.

use std::process::ExitCode;
use std::time::Duration;

use causeway_tests::soak::{self, Plan};
use clap::Parser;

/// Attacks the edge of the same build.
#[derive(Debug, Parser)]
struct Arguments {
    /// Authenticated streams that idle.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Hostile connections.
    #[arg(long, default_value_t = 100_000)]
    hostile: usize,
    /// Seconds over which they are spread, at least.
    #[arg(long, default_value_t = 420)]
    seconds: u64,
}

/// Descriptors beyond one for each idle stream: hostile connections, the listening servers, the programs' own.
const MORE_DESCRIPTORS: usize = 1000;

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { idle, hostile, seconds } = Arguments::parse();
    let may_open = descriptors();
    if may_open < idle + MORE_DESCRIPTORS {
        eprintln!("soak: {may_open} open files are too few for {idle} streams; raise `ulimit -n`");
        return ExitCode::FAILURE;
    }
    let plan = Plan { idle, hostile, storm: Duration::from_secs(seconds) };
    match soak::run(plan, |line| eprintln!("{line}")).await {
        Ok(report) => {
            println!("{report}");
            if report.complaints().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Files that this process, and so the edge, may have open.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}
