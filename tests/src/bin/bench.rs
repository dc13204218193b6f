//! `make bench`: measures both services and their peers, and prints the figures beside each other and their targets.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use causeway_tests::load::compare::Comparison;
use causeway_tests::load::results::{self, Machine, Results};
use causeway_tests::load::{chapter, plot, scenarios, table};
use clap::Parser;

/// Measures the edge and the gateway of the same build beside their peers; fails where a target is missed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the JSON goes.
    #[arg(long, value_name = "FILE", default_value_os_t = results::default_path())]
    json: PathBuf,
    /// How often each scenario is played; figures are medians.
    #[arg(long, default_value_t = scenarios::ROUNDS)]
    rounds: usize,
    /// Growth up to its largest sizes, which take minutes to make.
    #[arg(long)]
    long: bool,
    /// Measure nothing: show what was saved here.
    #[arg(long, value_name = "FILE", conflicts_with = "scenarios")]
    from: Option<PathBuf>,
    /// Compare with what was saved here before; fails where something became worse.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Bring the chapter on performance up to date in the book whose texts are here.
    #[arg(long, value_name = "FOLDER", conflicts_with = "compare")]
    docs: Option<PathBuf>,
    /// Only these scenarios.
    scenarios: Vec<String>,
}

/// What shells say of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Until somebody wants us to stop.
async fn interrupted() -> io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let finished = tokio::select! {
        finished = perform(&arguments) => finished,
        _ = interrupted() => {
            // The scenario is dropped by now, and its processes with it; the senders' threads end with ours.
            std::process::exit(INTERRUPTED)
        }
    };
    match finished {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it should be.
async fn perform(arguments: &Arguments) -> io::Result<bool> {
    // A file that cannot be read is told before minutes of measuring.
    let old = arguments.compare.as_deref().map(Results::read).transpose()?;
    let results = match &arguments.from {
        Some(saved) => Results::read(saved)?,
        None => measure(arguments).await?,
    };
    if let Some(old) = old {
        let comparison = Comparison::of(&old, &results);
        print!("{}", comparison.text());
        return Ok(!comparison.is_worse());
    }
    print!("{}", table::table(&results));
    if let Some(book) = &arguments.docs {
        chapter::write(&results, book)?;
        // What the figures are like is the table's to say.
        return Ok(true);
    }
    Ok(results.is_good())
}

async fn measure(arguments: &Arguments) -> io::Result<Results> {
    let machine = Machine::look();
    let Arguments { scenarios: names, rounds, long, .. } = arguments;
    let report = scenarios::run(names, *rounds, *long, |line| eprintln!("{line}")).await?;
    let results = report.results(machine, *rounds, *long);
    save(&results, &arguments.json)?;
    Ok(results)
}

fn save(results: &Results, json: &Path) -> io::Result<()> {
    let pictures = json.with_extension("");
    results.write(json)?;
    plot::write(results, &pictures)?;
    eprintln!("{}, pictures in {}", json.display(), pictures.display());
    Ok(())
}
