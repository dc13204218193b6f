//! The edge proxy: `edge-proxy --config FILE`.

use std::process::ExitCode;

use causeway_edge_proxy::config::Config;
use causeway_edge_proxy::run::run;
use causeway_shared::config::{CommonArgs, Start, exit};
use clap::Parser;

/// Long-lived connections fragment the allocator of the C library; this one keeps memory flat.
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
    let args = Args::parse();
    let reading = match args.common.start(Config::parse) {
        Start::Run(reading) => reading,
        Start::Exit(code) => return code,
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime does not start: {error}");
            return ExitCode::from(exit::SURROUNDINGS);
        }
    };
    match runtime.block_on(run(args.common.config, reading)) {
        Ok(telemetry) => {
            telemetry.shutdown();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(exit::SURROUNDINGS)
        }
    }
}
