//! `settings`: Get- and Set-CsXmppGatewayConfiguration.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use serde_json::{Map, Value as Json};

use super::change::{Options, receipt};
use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, outline};

/// Bytes of a file with a passphrase.
const MAX_PASSPHRASE: u64 = 4096;

/// What to do about the settings for all partners.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Show the settings (Get-CsXmppGatewayConfiguration).
    Get,
    /// Change settings (Set-CsXmppGatewayConfiguration). What is not named stays as it is.
    Set {
        #[command(flatten)]
        parameters: Box<Parameters>,
        /// Bring the default of a parameter back ($null); may be repeated, such as --clear connection-limit.
        #[arg(long, value_name = "PARAMETER")]
        clear: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
}

/// The parameters, as the original calls them; the last ones are ours.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Parameters")]
pub(super) struct Parameters {
    /// Connections of all partners together, 1 to 100000.
    #[arg(long, value_name = "NUMBER")]
    connection_limit: Option<u64>,
    /// Connections of one partner, 1 to 1000.
    #[arg(long, value_name = "NUMBER")]
    partner_connection_limit: Option<u64>,
    /// Seconds to establish a stream, 5 to 600.
    #[arg(long, value_name = "SECONDS")]
    stream_establishment_timeout: Option<u64>,
    /// Seconds after which an idle stream is closed, 60 to 86400.
    #[arg(long, value_name = "SECONDS")]
    stream_inactivity_timeout: Option<u64>,
    /// Seconds within which a partner sends a keep-alive, 30 to 3600, less than the inactivity timeout.
    #[arg(long, value_name = "SECONDS")]
    keep_alive_interval: Option<u64>,
    /// Seconds within which a partner refreshes subscriptions, 600 to 604800.
    #[arg(long, value_name = "SECONDS")]
    subscription_refresh_interval: Option<u64>,
    /// File with the secret for dialback keys, 32 bytes at least.
    #[arg(long, value_name = "FILE")]
    dialback_passphrase_file: Option<PathBuf>,
    /// Whether the text of messages is logged. It is audited, and shown as a banner.
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    enable_logging_all_message_bodies: Option<bool>,
    /// Days that the archive keeps messages, 1 to 36500.
    #[arg(long, value_name = "DAYS")]
    archive_retention_days: Option<u64>,
    /// Seconds of our subscriptions on the SIP side, 60 to 86400.
    #[arg(long, value_name = "SECONDS")]
    subscribe_expires: Option<u64>,
    /// The weakest method that any partner may use.
    #[arg(long, value_name = "METHOD", value_parser = PossibleValuesParser::new(["tcp-dialback", "tls-dialback", "sasl-external"]))]
    min_s2s_method: Option<String>,
    /// Whether SASL Required means SASL and nothing else.
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    strict_required: Option<bool>,
}

impl Parameters {
    fn patch(&self) -> Result<Map<String, Json>, Failure> {
        let numbers = [
            ("connection_limit", self.connection_limit),
            ("partner_connection_limit", self.partner_connection_limit),
            ("stream_establishment_timeout_secs", self.stream_establishment_timeout),
            ("stream_inactivity_timeout_secs", self.stream_inactivity_timeout),
            ("keep_alive_interval_secs", self.keep_alive_interval),
            ("subscription_refresh_interval_secs", self.subscription_refresh_interval),
            ("archive_retention_days", self.archive_retention_days),
            ("subscribe_expires_secs", self.subscribe_expires),
        ];
        let flags = [
            ("enable_logging_all_message_bodies", self.enable_logging_all_message_bodies),
            ("strict_required", self.strict_required),
        ];
        let mut patch = Map::new();
        patch.extend(numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), number?.into()))));
        patch.extend(flags.into_iter().filter_map(|(key, flag)| Some((key.to_owned(), flag?.into()))));
        if let Some(method) = &self.min_s2s_method {
            patch.insert("min_s2s_method".to_owned(), method.as_str().into());
        }
        if let Some(file) = &self.dialback_passphrase_file {
            let size = std::fs::metadata(file).map_err(|error| Failure::file(file, error))?.len();
            if size > MAX_PASSPHRASE {
                return Err(Failure::file(file, "this is too large for a passphrase"));
            }
            let secret = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
            patch.insert("dialback_passphrase".to_owned(), secret.trim().into());
        }
        Ok(patch)
    }
}

/// The key of a parameter: those in seconds say so.
fn key(parameter: &str) -> String {
    let key = parameter.trim_start_matches("--").replace('-', "_");
    match key.as_str() {
        "stream_establishment_timeout"
        | "stream_inactivity_timeout"
        | "keep_alive_interval"
        | "subscription_refresh_interval"
        | "subscribe_expires" => key + "_secs",
        _ => key,
    }
}

impl Verb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        match self {
            Self::Get => {
                let answer = client.call(Call::get(&["settings"])).await?;
                screen.show(&answer.body, |_| outline(&answer.body));
                Ok(Found::InOrder)
            }
            Self::Set { parameters, clear, options } => {
                let mut patch = parameters.patch()?;
                patch.extend(clear.iter().map(|parameter| (key(parameter), Json::Null)));
                if patch.is_empty() {
                    return Err(Failure::Usage("nothing is to be changed; name a parameter".to_owned()));
                }
                let version =
                    if options.needs_version() { client.call(Call::get(&["settings"])).await?.version } else { None };
                let call = Call::patch(&["settings"], &Json::Object(patch));
                receipt(&client.call(options.put_on(call, version)).await?, screen)
            }
        }
    }
}
