//! `cert`: a request for the certificate that our domains need, and a look at one that somebody gave us.

mod inspect;
mod names;
mod request;

use super::ending::Ending;
use super::output::Screen;

/// What to do about certificates. Works without the gateway.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Make a key and a certificate signing request with the names our domains need.
    Request(request::Arguments),
    /// Say for whom a certificate speaks, how long, and whether chain and key are in order.
    Inspect(inspect::Arguments),
}

impl Verb {
    pub(super) fn run(&self, screen: &Screen) -> Ending {
        match self {
            Self::Request(arguments) => request::run(arguments, screen),
            Self::Inspect(arguments) => inspect::run(arguments, screen),
        }
    }
}
