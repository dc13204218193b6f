//! `streams`, `queues` and `verdicts`: what goes on between the edges and the partners.

use serde_json::Value as Json;

use super::change::Confirm;
use super::client::{Call, Client};
use super::ending::{Ending, Found};
use super::output::{Screen, field, items, plain};
use super::table::Table;

/// Which live streams.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Streams {
    #[command(subcommand)]
    verb: Option<StreamVerb>,
    /// Only those of this partner.
    #[arg(long, value_name = "DOMAIN")]
    partner: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum StreamVerb {
    /// Close a stream in order. What waits for it goes over another.
    Close {
        /// The edge, as `causeway streams` shows it.
        #[arg(value_name = "EDGE")]
        edge: String,
        /// The stream's number on that edge.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        confirm: Confirm,
        /// Close it without a question.
        #[arg(long)]
        force: bool,
    },
}

/// Which of an edge's facts.
#[derive(Debug, clap::Args)]
pub(super) struct OfPartner {
    /// Only those of this partner.
    #[arg(long, value_name = "DOMAIN")]
    partner: Option<String>,
}

impl Streams {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        if let Some(StreamVerb::Close { edge, id, confirm, force }) = &self.verb {
            let options = super::change::Options { force: *force, ..Default::default() };
            confirm.ask(&format!("Close stream {id} on {edge}?"), &options)?;
            let answer = client.call(Call::delete(&["streams", edge, id])).await?;
            screen.show(&answer.body, |_| format!("stream {} on {} is being closed\n", plain(id), plain(edge)));
            return Ok(Found::InOrder);
        }
        let call = Call::get(&["streams"]).query("partner", self.partner.as_deref());
        let answer = client.call(call).await?;
        screen.show(&answer.body, |screen| {
            let columns = [
                ("EDGE", "edge"),
                ("ID", "id"),
                ("WAY", "direction"),
                ("PARTNER", "partner"),
                ("STATE", "state"),
                ("METHOD", "method"),
                ("TLS", "tls_version"),
                ("IN", "stanzas_in"),
                ("OUT", "stanzas_out"),
                ("WAITING", "waiting"),
                ("PEER", "peer_address"),
            ];
            Table::of(items(&answer.body, "streams"), &columns).text(screen, "there are no live streams")
        });
        Ok(Found::InOrder)
    }
}

/// What waits, and for whom.
pub(super) async fn queues(client: &Client, screen: &Screen) -> Ending {
    let answer = client.call(Call::get(&["queues"])).await?;
    screen.show(&answer.body, |screen| {
        let columns = [
            ("WHERE", "edge"),
            ("WAY", "direction"),
            ("PARTNER", "partner"),
            ("DOMAIN", "remote_domain"),
            ("LOCAL", "local_domain"),
            ("STANZAS", "stanzas"),
            ("BYTES", "bytes"),
            ("OLDEST", "oldest_ms"),
        ];
        Table::of(items(&answer.body, "queues"), &columns).text(screen, "nothing waits")
    });
    Ok(Found::InOrder)
}

/// What failed lately, why, and what to do.
pub(super) async fn verdicts(arguments: &OfPartner, client: &Client, screen: &Screen) -> Ending {
    let answer = client.call(Call::get(&["verdicts"]).query("partner", arguments.partner.as_deref())).await?;
    screen.show(&answer.body, |screen| {
        let verdicts = items(&answer.body, "verdicts");
        if verdicts.is_empty() {
            return "nothing failed lately\n".to_owned();
        }
        verdicts.iter().map(|verdict| verdict_text(verdict, screen)).collect()
    });
    Ok(Found::InOrder)
}

/// A verdict as a paragraph: what and where, then what to do.
fn verdict_text(verdict: &Json, screen: &Screen) -> String {
    use super::output::Tone;
    let member = |path: &str| field(verdict, path);
    let mut text =
        format!("{}  {}", screen.paint(Tone::Head, &member("partner")), screen.paint(Tone::Bad, &member("cause")));
    for (name, path) in [("rung", "rung"), ("side", "side"), ("edge", "edge"), ("count", "count"), ("last", "last")] {
        let value = member(path);
        if !value.is_empty() {
            text.push_str(&format!("  {name} {value}"));
        }
    }
    text.push('\n');
    for path in ["text", "detail", "remedy"] {
        let value = member(path);
        if !value.is_empty() {
            text.push_str(&format!("  {value}\n"));
        }
    }
    text
}
