//! `make bench`: measures both services and prints the figures beside their targets.

use std::path::PathBuf;
use std::process::ExitCode;

use causeway_tests::load::{report, scenarios};
use clap::Parser;

/// Measures the edge and the gateway of the same build.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the JSON goes.
    #[arg(long, default_value_os_t = report::default_path())]
    json: PathBuf,
    /// How often each scenario is played; figures are medians.
    #[arg(long, default_value_t = scenarios::ROUNDS)]
    rounds: usize,
    /// Growth up to its largest sizes, which take minutes to make.
    #[arg(long)]
    long: bool,
    /// Only these scenarios.
    scenarios: Vec<String>,
}

/// What shells say of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Until somebody wants us to stop.
async fn interrupted() -> std::io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = tokio::select! {
        measured = scenarios::run(&arguments.scenarios, arguments.rounds, arguments.long, |line| eprintln!("{line}")) => measured,
        _ = interrupted() => {
            // The scenario is dropped by now, and its processes with it; the senders' threads end with ours.
            std::process::exit(INTERRUPTED)
        }
    };
    let written = measured.and_then(|report| {
        println!("{}", report.table());
        report.write(&arguments.json)?;
        println!("{}", arguments.json.display());
        Ok(report.missing.is_empty())
    });
    match written {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
