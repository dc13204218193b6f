//! `causeway`: what an operator types.
//!
//! The verbs are the original's cmdlets, their flags its parameters. Most ask the gateway's interface ([`client`]);
//! `cert`, `dns`, `dev-certs`, `completions` and `man` work without it. A file holds one family of verbs: how its part
//! of the command line looks, what it asks, and how the answer is shown.

mod cert;
mod client;
mod dev_certs;
mod dns;
mod ending;
mod output;
mod pages;
mod place;
mod problem;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use ending::{AFTER_HELP, Ending};
use output::{Format, Screen};

/// Joins the XMPP federation to a SIP deployment.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, after_long_help = AFTER_HELP)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
    /// How to show what the gateway says: a table, or its JSON as it is.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    place: place::Options,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Request and inspect certificates.
    #[command(subcommand)]
    Cert(cert::Verb),
    /// Print the DNS records that our domains need.
    Dns(dns::Arguments),
    /// Make certificates for development: an authority, one certificate a domain, and those of the link.
    DevCerts(dev_certs::Arguments),
    /// Print a completion script for a shell.
    Completions(pages::Completions),
    /// Print the manual page, or write one for each verb.
    Man(pages::Man),
}

/// Reads the command line, does what it says, and says how it ended.
pub fn main() -> ExitCode {
    let line = Line::parse();
    let screen = Screen::new(line.output);
    match run(line, &screen) {
        Ok(found) => found.into(),
        Err(failure) => {
            screen.remark(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

fn run(line: Line, screen: &Screen) -> Ending {
    match line.verb {
        Verb::Cert(verb) => verb.run(screen),
        Verb::Dns(arguments) => dns::run(&arguments, screen),
        Verb::DevCerts(arguments) => dev_certs::run(arguments, screen),
        Verb::Completions(arguments) => arguments.run(Line::command(), screen),
        Verb::Man(arguments) => arguments.run(Line::command(), screen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }
}
