//! The edge proxy: `edge-proxy --config FILE`.

use std::process::ExitCode;

use causeway_edge_proxy::config::Config;
use causeway_edge_proxy::run::run;
use causeway_shared::config::args::{CommonArgs, EXIT_SURROUNDINGS, Start};
use clap::Parser;

/// Long-lived connections fragment the allocator of the C library; this one keeps memory flat. Its background threads
/// give pages back when nothing happens any more; without them a storm's memory stays until the next one.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Terminates XMPP server-to-server streams at the perimeter and hands their stanzas to gateways.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

fn main() -> ExitCode {
    let Args { common } = Args::parse();
    let (config, warnings) = match common.start(Config::load) {
        Start::Run(config, warnings) => (config, warnings),
        Start::Exit(code) => return code,
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime does not start: {error}");
            return ExitCode::from(EXIT_SURROUNDINGS);
        }
    };
    match runtime.block_on(run(common, config, warnings)) {
        Ok(telemetry) => {
            drop(telemetry);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_SURROUNDINGS)
        }
    }
}
