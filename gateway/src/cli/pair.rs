//! `pair remove`: takes back what two people have agreed on about presence.

use serde_json::Value as Json;

use super::change::{Confirm, Options};
use super::client::{Call, Client};
use super::ending::{Ending, Found};
use super::output::{Screen, field};
use super::trace::Pair;

/// What to do about a pair of users.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Remove the authorisations between two users, and tell both sides.
    Remove {
        #[command(flatten)]
        pair: Pair,
        #[command(flatten)]
        confirm: Confirm,
        /// Remove it without a question.
        #[arg(long)]
        force: bool,
    },
}

impl Verb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let Self::Remove { pair, confirm, force } = self;
        let options = Options { force: *force, ..Options::default() };
        confirm.ask(&format!("Remove what {} have agreed on?", pair.text()), &options)?;
        let answer = client.call(pair.put_on(Call::delete(&["pairs"]))).await?;
        screen.show(&answer.body, |_| {
            let member = |path: &str| field(&answer.body, path);
            if answer.body.get("is_changed").and_then(Json::as_bool) == Some(false) {
                return "there was nothing between them\n".to_owned();
            }
            format!(
                "removed: the partner's user had {}, ours had {}; {} subscriptions ended\n",
                member("inbound"),
                member("outbound"),
                member("dialogs"),
            )
        });
        Ok(Found::InOrder)
    }
}
