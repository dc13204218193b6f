//! `causeway`: what an operator types.

use std::path::PathBuf;
use std::process::ExitCode;

use causeway_gateway::dev_certs;
use causeway_shared::domain::DomainName;
use clap::{Parser, Subcommand};

/// Joins the XMPP federation to a SIP deployment.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make certificates for development: an authority, one certificate a domain, and those of the link.
    DevCerts(DevCerts),
}

#[derive(clap::Args)]
struct DevCerts {
    /// The directory to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A domain that gets a certificate; may be repeated.
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = DomainName::parse)]
    domains: Vec<DomainName>,
    /// The name of an edge in its link certificate; may be repeated.
    #[arg(long = "edge", value_name = "NAME", default_value = "edge")]
    edges: Vec<String>,
    /// The name of a gateway in its link certificate; may be repeated.
    #[arg(long = "gateway", value_name = "NAME", default_value = "gateway")]
    gateways: Vec<String>,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    let Arguments { verb } = Arguments::parse();
    match verb {
        Verb::DevCerts(arguments) => make_certificates(arguments),
    }
}

fn make_certificates(DevCerts { out, domains, edges, gateways, force }: DevCerts) -> ExitCode {
    match (dev_certs::Order { out, domains, edges, gateways, force }).make() {
        Ok(files) => {
            for file in files {
                println!("{}", file.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
