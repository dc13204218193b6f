//! `dev-certs`: certificates for development.

use std::path::PathBuf;

use causeway_shared::domain::DomainName;
use serde_json::json;

use super::ending::{Ending, Failure, Found};
use super::output::Screen;
use crate::dev_certs::Order;

/// What to make. Works without the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
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

pub(super) fn run(arguments: Arguments, screen: &Screen) -> Ending {
    let Arguments { out, domains, edges, gateways, force } = arguments;
    let files =
        (Order { out, domains, edges, gateways, force }).make().map_err(|error| Failure::Usage(error.to_string()))?;
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    screen.show(&json!(files), |_| files.iter().map(|file| format!("{file}\n")).collect());
    Ok(Found::InOrder)
}
