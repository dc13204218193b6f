//! The gateway's process: command line, configuration, run.

use std::process::ExitCode;

use causeway_gateway::config::Config;
use causeway_gateway::run;
use causeway_shared::config::args::{CommonArgs, EXIT_SURROUNDINGS, Start};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Translates between the XMPP federation and SIP presence and messaging.
///
/// Exit codes: 0 stopped by a signal, or the configuration is sound; 1 mistakes in the configuration; 2 wrong command
/// line or unreadable file; 3 the surroundings do not let it run.
#[derive(Debug, Parser)]
#[command(name = "gateway", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArgs,
}

fn main() -> ExitCode {
    let Arguments { common } = Arguments::parse();
    let config = match common.start(Config::load) {
        Start::Run(config, _) => config,
        Start::Exit(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the gateway cannot run: {error}");
            return ExitCode::from(EXIT_SURROUNDINGS);
        }
    };
    match runtime.block_on(run::run(config, common.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the gateway cannot run: {error}");
            ExitCode::from(EXIT_SURROUNDINGS)
        }
    }
}
