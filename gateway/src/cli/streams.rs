//! `streams`, `queues` and `verdicts`: what goes on between the edges and the partners.

use serde_json::Value as Json;

use super::change::Confirm;
use super::client::{Call, Client};
use super::ending::{Ending, Found};
use super::output::{Screen, Tone, all_under, field, items, line, plain};
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
        screen.show(&answer.body, |screen| streams(&answer.body, screen));
        Ok(Found::InOrder)
    }
}

fn streams(body: &Json, screen: &Screen) -> String {
    let mut table =
        Table::new(["EDGE", "ID", "WAY", "PARTNER", "STATE", "METHOD", "TLS", "IN", "OUT", "WAITING", "WITH"]);
    for stream in all_under(body, "streams") {
        let cell = |path: &str| field(stream, path).into();
        let mut methods: Vec<String> = all_under(stream, "pairs").iter().map(|pair| field(pair, "method")).collect();
        methods.sort();
        methods.dedup();
        table.row([
            cell("edge"),
            cell("id"),
            cell("direction"),
            cell("partner"),
            cell("state"),
            methods.join(", ").into(),
            cell("tls_version"),
            cell("stanzas_in"),
            cell("stanzas_out"),
            cell("waiting.stanzas"),
            cell("peer"),
        ]);
    }
    table.text(screen, "there are no live streams") + &silent(body, screen)
}

/// The edges that did not tell everything.
fn silent(body: &Json, screen: &Screen) -> String {
    let mut text = String::new();
    for edge in all_under(body, "edges") {
        let answer = field(edge, "answer");
        if !matches!(answer.as_str(), "" | "whole" | "complete") {
            let word = screen.paint(Tone::Odd, &answer);
            text.push_str(&format!("edge {}: {word}  {}\n", field(edge, "edge"), field(edge, "refused")));
        }
    }
    text
}

/// What waits, and for whom.
pub(super) async fn queues(client: &Client, screen: &Screen) -> Ending {
    let answer = client.call(Call::get(&["queues"])).await?;
    screen.show(&answer.body, |screen| {
        let body = &answer.body;
        let columns = [
            ("EDGE", "edge"),
            ("WAY", "direction"),
            ("PARTNER", "partner"),
            ("DOMAIN", "remote_domain"),
            ("LOCAL", "local_domain"),
            ("STANZAS", "stanzas"),
            ("BYTES", "bytes"),
            ("OLDEST (ms)", "oldest_ms"),
        ];
        let mut text = Table::of(all_under(body, "queues"), &columns).text(screen, "nothing waits on the edges");
        for (key, title) in [("links", "On this gateway, for edges"), ("partners", "On this gateway, for partners")] {
            let waiting = items(body.get(key).unwrap_or(&Json::Null), "");
            if !waiting.is_empty() {
                text.push_str(&format!("{}\n", screen.paint(Tone::Head, title)));
                waiting.iter().for_each(|one| text.push_str(&format!("  {}\n", line(one))));
            }
        }
        text + &silent(body, screen)
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
    let member = |path: &str| field(verdict, path);
    let mut text =
        format!("{}  {}", screen.paint(Tone::Head, &member("partner")), screen.paint(Tone::Bad, &member("cause")));
    let known = [("rung", "rung"), ("side", "side"), ("edge", "edge"), ("times", "count"), ("last", "last_ms")];
    for (name, path) in known {
        let value = member(path);
        if !value.is_empty() {
            text.push_str(&format!("  {name} {value}"));
        }
    }
    text.push('\n');
    let remedy = member("remedy");
    if !remedy.is_empty() {
        text.push_str(&format!("  {remedy}\n"));
    }
    text
}
