//! `causeway`: what an operator types.
//!
//! The verbs are the original's cmdlets, their flags its parameters. Most ask the gateway's interface (`client`);
//! `store`, `cert`, `dns`, `dev-certs`, `completions` and `man` work without it. A file holds one family of verbs: how its part
//! of the command line looks, what it asks, and how the answer is shown.

mod account;
mod backup;
mod cert;
mod change;
mod check;
mod client;
mod dev_certs;
mod dns;
mod ending;
mod import;
mod journal;
mod output;
mod pages;
mod pair;
mod partner;
mod place;
mod policy;
mod problem;
mod replicas;
mod settings;
mod store;
mod streams;
mod table;
mod trace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use client::Client;
use ending::{AFTER_HELP, Ending, Failure, Found};
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
    /// Say whether the gateway is ready, and what needs attention.
    Status,
    /// Check our own set-up, then probe partners rung by rung from every edge.
    Check(check::Arguments),
    /// Allow, change, show and remove XMPP partners.
    #[command(subcommand)]
    Partner(partner::Verb),
    /// Show and change the settings for all partners.
    #[command(subcommand)]
    Settings(settings::Verb),
    /// Manage external access policies, and say which one counts for a user.
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Show the gateways that share the store, and what does not fit between them.
    Replicas,
    /// Show live streams, or close one.
    Streams(streams::Streams),
    /// Show what waits for partners and gateways.
    Queues,
    /// Show what failed, why, and what to do.
    Verdicts(streams::OfPartner),
    /// Show stanzas and SIP messages as they pass, redacted.
    Tap(trace::Tap),
    /// Say why a user sees another as he does: authorisation, dialogs, last events, policy.
    Explain(trace::Pair),
    /// Draw what passed between two users as a ladder.
    Trace(trace::Ladder),
    /// Say whether a stanza or a request would pass, and by which rule.
    Simulate(trace::Simulate),
    /// Send a test message to a partner's user (Test-CsXmppIM).
    TestIm(trace::TestIm),
    /// Manage what two users have agreed on.
    #[command(subcommand)]
    Pair(pair::Verb),
    /// Manage the accounts that may sign in.
    #[command(subcommand)]
    Account(account::AccountVerb),
    /// Manage the tokens that programs show.
    #[command(subcommand)]
    Token(account::TokenVerb),
    /// Show, export or verify the journal of changes.
    Audit(journal::Audit),
    /// Show or export archived messages.
    Archive(journal::Archive),
    /// Import from Lync Server or Skype for Business Server.
    #[command(subcommand)]
    Import(import::Verb),
    /// Save the store to a file.
    Backup(backup::Backup),
    /// Bring a saved store back.
    Restore(backup::Restore),
    /// Look at the store itself, check all of it, or move it into PostgreSQL.
    #[command(subcommand)]
    Store(store::Verb),
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

/// The command line as a whole, for those who want to know what there is.
pub fn command() -> clap::Command {
    Line::command()
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
        Verb::Store(verb) => verb.run(line.place.authorities(), screen),
        Verb::Cert(verb) => verb.run(screen),
        Verb::Dns(arguments) => dns::run(&arguments, screen),
        Verb::DevCerts(arguments) => dev_certs::run(arguments, screen),
        Verb::Completions(arguments) => arguments.run(command(), screen),
        Verb::Man(arguments) => arguments.run(command(), screen),
        verb => {
            let client = Client::new(line.place.place(|name| std::env::var(name).ok())?)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime =
                runtime.map_err(|error| Failure::Usage(format!("this machine is out of something: {error}")))?;
            runtime.block_on(ask(&verb, &client, screen))
        }
    }
}

/// The verbs that ask the gateway.
async fn ask(verb: &Verb, client: &Client, screen: &Screen) -> Ending {
    match verb {
        Verb::Status => check::status(client, screen).await,
        Verb::Check(arguments) => arguments.run(client, screen).await,
        Verb::Partner(verb) => verb.run(client, screen).await,
        Verb::Settings(verb) => verb.run(client, screen).await,
        Verb::Policy(verb) => verb.run(client, screen).await,
        Verb::Replicas => replicas::run(client, screen).await,
        Verb::Streams(arguments) => arguments.run(client, screen).await,
        Verb::Queues => streams::queues(client, screen).await,
        Verb::Verdicts(arguments) => streams::verdicts(arguments, client, screen).await,
        Verb::Tap(arguments) => arguments.run(client, screen).await,
        Verb::Explain(pair) => trace::explain(pair, client, screen).await,
        Verb::Trace(arguments) => arguments.run(client, screen).await,
        Verb::Simulate(arguments) => arguments.run(client, screen).await,
        Verb::TestIm(arguments) => arguments.run(client, screen).await,
        Verb::Pair(verb) => verb.run(client, screen).await,
        Verb::Account(verb) => verb.run(client, screen).await,
        Verb::Token(verb) => verb.run(client, screen).await,
        Verb::Audit(arguments) => arguments.run(client, screen).await,
        Verb::Archive(arguments) => arguments.run(client, screen).await,
        Verb::Import(verb) => verb.run(client, screen).await,
        Verb::Backup(arguments) => arguments.run(client, screen).await,
        Verb::Restore(arguments) => arguments.run(client, screen).await,
        // `run` has done these.
        Verb::Store(_) | Verb::Cert(_) | Verb::Dns(_) | Verb::DevCerts(_) | Verb::Completions(_) | Verb::Man(_) => {
            Ok(Found::InOrder)
        }
    }
}

#[cfg(test)]
mod tests;
