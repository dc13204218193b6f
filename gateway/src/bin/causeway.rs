//! `causeway`: what an operator types.

use std::process::ExitCode;

fn main() -> ExitCode {
    causeway_gateway::cli::main()
}
