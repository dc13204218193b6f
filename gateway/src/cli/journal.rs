//! `audit` and `archive`: who did what, and what was written where it is kept.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::backup::download;
use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, Tone, field, items, outline};
use super::table::Table;

/// What of the journal.
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    /// Only entries behind this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// So many entries at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,
    /// Write the whole journal to a file, an entry a line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["after", "verify"])]
    export: Option<PathBuf>,
    /// Say whether every entry is still as it was written.
    #[arg(long, conflicts_with = "after")]
    verify: bool,
    /// With --verify: an entry whose hash was kept elsewhere has to have it still.
    #[arg(long, value_name = "NUMBER:HASH", requires = "verify")]
    known: Option<String>,
}

/// What of the archive.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Archive {
    #[command(subcommand)]
    verb: Option<ArchiveVerb>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Subcommand)]
enum ArchiveVerb {
    /// Write archived messages to a file, a message a line.
    Export {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Replace the file if it exists.
        #[arg(long)]
        force: bool,
    },
}

/// Which messages.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only those with users of this partner.
    #[arg(long, value_name = "DOMAIN")]
    partner: Option<String>,
    /// Only those of this SIP user.
    #[arg(long, value_name = "ADDRESS")]
    local: Option<String>,
    /// Only those of this user of a partner.
    #[arg(long, value_name = "ADDRESS")]
    remote: Option<String>,
    /// So many messages at most.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

impl Filter {
    fn put_on(&self, call: Call) -> Call {
        let limit = self.limit.map(|limit| limit.to_string());
        call.query("partner", self.partner.as_deref())
            .query("local", self.local.as_deref())
            .query("remote", self.remote.as_deref())
            .query("limit", limit.as_deref())
    }
}

impl Audit {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        if let Some(file) = &self.export {
            download(client, Call::get(&["audit", "export"]), file, false, screen).await?;
            return Ok(Found::InOrder);
        }
        if self.verify {
            let known = match self.known.as_ref().map(|known| known.split_once(':')) {
                None => (None, None),
                Some(Some((number, hash))) => (Some(number), Some(hash)),
                Some(None) => {
                    return Err(Failure::Usage("--known wants NUMBER:HASH, as an earlier --verify said".to_owned()));
                }
            };
            let call = Call::get(&["audit", "verify"]).query("seq", known.0).query("hash", known.1);
            let answer = client.call(call).await?;
            let is_intact = answer.body.get("intact").and_then(Json::as_bool).unwrap_or_default();
            screen.show(&answer.body, |screen| {
                let (tone, word) = if is_intact { (Tone::Good, "intact") } else { (Tone::Bad, "broken") };
                format!("the journal is {}\n{}", screen.paint(tone, word), outline(&answer.body))
            });
            return Ok(Found::in_order(is_intact));
        }
        let after = self.after.map(|after| after.to_string());
        let limit = self.limit.to_string();
        let call = Call::get(&["audit"]).switch("newest", after.is_none()).query("after", after.as_deref());
        let answer = client.call(call.query("limit", Some(&limit))).await?;
        screen.show(&answer.body, |screen| {
            let columns = [
                ("NUMBER", "seq"),
                ("TIME", "at_ms"),
                ("WHO", "actor"),
                ("FROM", "address"),
                ("WHAT", "action"),
                ("OBJECT", "object"),
                ("OUTCOME", "outcome"),
            ];
            let mut entries: Vec<&Json> = items(&answer.body, "entries").iter().collect();
            // The newest is where the eye is.
            entries.sort_by_key(|entry| entry.get("seq").and_then(Json::as_u64));
            Table::of(entries, &columns).text(screen, "there are no entries")
        });
        Ok(Found::InOrder)
    }
}

impl Archive {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        if let Some(ArchiveVerb::Export { file, filter, force }) = &self.verb {
            download(client, filter.put_on(Call::get(&["archive", "export"])), file, *force, screen).await?;
            return Ok(Found::InOrder);
        }
        let answer = client.call(self.filter.put_on(Call::get(&["archive"]))).await?;
        screen.show(&answer.body, |screen| {
            let messages = items(&answer.body, "messages");
            let mut table = Table::new(["TIME", "FROM", "TO", "TEXT"]);
            for message in messages {
                table.row(["at_ms", "from", "to", "text"].map(|path| field(message, path).into()));
            }
            table.text(screen, "nothing is archived; a partner's messages are if its settings say so")
        });
        Ok(Found::InOrder)
    }
}
