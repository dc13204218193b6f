//! `pair remove`: takes back what two people have agreed on about presence.

use super::change::{Confirm, Options, receipt};
use super::client::{Call, Client};
use super::ending::Ending;
use super::output::Screen;
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
        #[command(flatten)]
        options: Options,
    },
}

impl Verb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        let Self::Remove { pair, confirm, options } = self;
        confirm.ask(&format!("Remove what {} have agreed on?", pair.text()), options)?;
        let call = pair.put_on(Call::delete(&["pairs"])).switch("dry_run", options.whatif);
        receipt(&client.call(call).await?, screen)
    }
}
