//! `partner`: New-, Set-, Get- and Remove-CsXmppAllowedPartner.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use serde_json::{Map, Value as Json, json};

use super::change::{Confirm, Options, receipt};
use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, Tone, field, items, outline};
use super::table::Table;

/// Bytes of a file of authorities.
const MAX_ANCHORS: u64 = 256 * 1024;

/// What to do about partners.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Allow a partner (New-CsXmppAllowedPartner).
    New {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        parameters: Box<Parameters>,
        #[command(flatten)]
        options: Options,
    },
    /// Change a partner (Set-CsXmppAllowedPartner). What is not named stays as it is.
    Set {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        parameters: Box<Parameters>,
        /// Add to the additional domains; may be repeated.
        #[arg(long, value_name = "DOMAIN", conflicts_with = "additional_domains")]
        add_domain: Vec<String>,
        /// Take away from the additional domains; may be repeated.
        #[arg(long, value_name = "DOMAIN", conflicts_with = "additional_domains")]
        remove_domain: Vec<String>,
        /// Bring the default of a parameter back ($null); may be repeated, such as --clear connection-limit.
        #[arg(long, value_name = "PARAMETER")]
        clear: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Show partners (Get-CsXmppAllowedPartner).
    Get {
        /// The partner; without it, all.
        #[arg(value_name = "DOMAIN")]
        domain: Option<String>,
        /// Only domains like this: * stands for any characters, ? for one.
        #[arg(long, value_name = "PATTERN", conflicts_with = "domain")]
        filter: Option<String>,
    },
    /// Stop federating with a partner (Remove-CsXmppAllowedPartner). Its streams are closed.
    Remove {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        options: Options,
    },
}

/// The partner's primary domain, by any of the original's names.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Name {
    /// The partner's primary domain.
    #[arg(value_name = "DOMAIN")]
    positional: Option<String>,
    /// The same.
    #[arg(long, value_name = "DOMAIN")]
    identity: Option<String>,
    /// The same.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
}

impl Name {
    fn text(&self) -> &str {
        [&self.positional, &self.identity, &self.domain].into_iter().flatten().next().map_or("", String::as_str)
    }
}

const NEGOTIATIONS: [&str; 3] = ["Required", "Optional", "NotSupported"];
const TYPES: [&str; 3] = ["Federated", "PublicVerified", "PublicUnverified"];

/// The parameters of a partner, as the original calls them; the last ones are ours.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Parameters")]
pub(super) struct Parameters {
    /// A further domain of the same partner; may be repeated, and replaces those there were.
    #[arg(long = "additional-domain", alias = "additional-domains", value_name = "DOMAIN")]
    additional_domains: Vec<String>,
    /// How far its users are trusted [default: PublicUnverified].
    #[arg(long, value_name = "TYPE", ignore_case = true, value_parser = PossibleValuesParser::new(TYPES))]
    partner_type: Option<String>,
    /// Whether TLS is negotiated [default: Required].
    #[arg(long, value_name = "HOW", ignore_case = true, value_parser = PossibleValuesParser::new(NEGOTIATIONS))]
    tls_negotiation: Option<String>,
    /// Whether SASL EXTERNAL is negotiated [default: Required].
    #[arg(long, value_name = "HOW", ignore_case = true, value_parser = PossibleValuesParser::new(NEGOTIATIONS))]
    sasl_negotiation: Option<String>,
    /// Whether server dialback may prove the domain [default: true].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    support_dialback_negotiation: Option<bool>,
    /// Whether the partner is expected to send keep-alives [default: true].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    enable_keep_alive: Option<bool>,
    /// Connections to this partner at a time, 1 to 1000 [default: partner-connection-limit of the settings].
    #[arg(long, value_name = "NUMBER")]
    connection_limit: Option<u64>,
    /// Host or host:port to connect to instead of what DNS says.
    #[arg(long, value_name = "HOST")]
    proxy_fqdn: Option<String>,
    /// A note of yours.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether its messages are kept in the archive [default: false].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    archive: Option<bool>,
    /// Whether private and loopback addresses may be dialled [default: false].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    allow_private_addresses: Option<bool>,
    /// PEM file of authorities that count for this partner's domains only.
    #[arg(long, value_name = "FILE")]
    trust_anchors: Option<PathBuf>,
    /// Whether public authorities count [default: true].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    use_public_trust: Option<bool>,
    /// SHA-256 of a public key that its certificate may have; may be repeated, and replaces those there were.
    #[arg(long = "pin", value_name = "HEX")]
    pins: Vec<String>,
    /// TLS from the first byte where the partner publishes it (XEP-0368) [default: true].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    direct_tls: Option<bool>,
    /// Acknowledgements on the stream (XEP-0198) [default: true].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    stream_management: Option<bool>,
    /// Stanzas both ways on one connection (XEP-0288) [default: false].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    bidi: Option<bool>,
    /// DNSSEC-signed TLSA records vouch for its certificate (RFC 7673) [default: false].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    dane: Option<bool>,
    /// Its web server vouches for its certificate (RFC 7711) [default: false].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    posh: Option<bool>,
    /// Whether a failed handshake may be followed by an attempt without TLS [default: false].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    plaintext_after_tls_failure: Option<bool>,
}

impl Parameters {
    /// The keys that were named, as the interface calls them.
    fn document(&self) -> Result<Map<String, Json>, Failure> {
        let mut document = Map::new();
        for (key, list) in [("additional_domains", &self.additional_domains), ("pins", &self.pins)] {
            if !list.is_empty() {
                document.insert(key.to_owned(), json!(list));
            }
        }
        let texts = [
            ("partner_type", self.partner_type.as_deref().map(|text| spelled(text, &TYPES))),
            ("tls_negotiation", self.tls_negotiation.as_deref().map(|text| spelled(text, &NEGOTIATIONS))),
            ("sasl_negotiation", self.sasl_negotiation.as_deref().map(|text| spelled(text, &NEGOTIATIONS))),
            ("proxy_fqdn", self.proxy_fqdn.clone()),
            ("description", self.description.clone()),
        ];
        let flags = [
            ("support_dialback_negotiation", self.support_dialback_negotiation),
            ("enable_keep_alive", self.enable_keep_alive),
            ("archive", self.archive),
            ("allow_private_addresses", self.allow_private_addresses),
            ("use_public_trust", self.use_public_trust),
            ("direct_tls", self.direct_tls),
            ("stream_management", self.stream_management),
            ("bidi", self.bidi),
            ("dane", self.dane),
            ("posh", self.posh),
            ("plaintext_after_tls_failure", self.plaintext_after_tls_failure),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Json::from(text?))));
        let flags = flags.into_iter().filter_map(|(key, flag)| Some((key.to_owned(), Json::from(flag?))));
        document.extend(texts.chain(flags));
        if let Some(limit) = self.connection_limit {
            document.insert("connection_limit".to_owned(), limit.into());
        }
        if let Some(file) = &self.trust_anchors {
            let size = std::fs::metadata(file).map_err(|error| Failure::file(file, error))?.len();
            if size > MAX_ANCHORS {
                return Err(Failure::file(file, "this is too large for the authorities of one partner"));
            }
            let pem = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
            document.insert("trust_anchors_pem".to_owned(), pem.into());
        }
        Ok(document)
    }
}

/// A value in the spelling of the original; the command line does not tell small letters from capital ones.
fn spelled(text: &str, known: &[&str]) -> String {
    known.iter().find(|known| known.eq_ignore_ascii_case(text)).map_or(text, |known| *known).to_owned()
}

impl Verb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        match self {
            Self::New { name, parameters, options } => {
                let mut document = parameters.document()?;
                document.insert("domain".to_owned(), name.text().into());
                let call = Call::post(&["partners"], &Json::Object(document));
                receipt(&client.call(options.put_on(call, None)).await?, screen)
            }
            Self::Set { name, parameters, add_domain, remove_domain, clear, options } => {
                let mut patch = parameters.document()?;
                for key in clear {
                    patch.insert(key.replace('-', "_"), Json::Null);
                }
                let edits_domains = !add_domain.is_empty() || !remove_domain.is_empty();
                let path = ["partners", name.text()];
                let mut version = None;
                if options.needs_version() || edits_domains {
                    let now = client.call(Call::get(&path)).await?;
                    version = now.version;
                    if edits_domains {
                        let domains = edited(items(&now.body, "additional_domains"), add_domain, remove_domain)?;
                        patch.insert("additional_domains".to_owned(), domains);
                    }
                }
                if patch.is_empty() {
                    return Err(Failure::Usage("nothing is to be changed; name a parameter".to_owned()));
                }
                let call = Call::patch(&path, &Json::Object(patch));
                receipt(&client.call(options.put_on(call, version)).await?, screen)
            }
            Self::Get { domain: Some(domain), .. } => {
                let answer = client.call(Call::get(&["partners", domain])).await?;
                screen.show(&answer.body, |_| outline(&answer.body));
                Ok(Found::InOrder)
            }
            Self::Get { domain: None, filter } => {
                let call = Call::get(&["partners"]).query("filter", filter.as_deref());
                let answer = client.call(call).await?;
                screen.show(&answer.body, |screen| table(items(&answer.body, "partners"), screen));
                Ok(Found::InOrder)
            }
            Self::Remove { name, confirm, options } => {
                let domain = name.text();
                confirm.ask(&format!("Stop federating with {domain} and close its streams?"), options)?;
                let path = ["partners", domain];
                let version = if options.needs_version() { client.call(Call::get(&path)).await?.version } else { None };
                receipt(&client.call(options.put_on(Call::delete(&path), version)).await?, screen)
            }
        }
    }
}

/// The additional domains after adding and taking away; who takes away what is not there has mistyped it.
fn edited(now: &[Json], add: &[String], remove: &[String]) -> Result<Json, Failure> {
    let mut domains: Vec<String> = now.iter().filter_map(Json::as_str).map(str::to_owned).collect();
    for gone in remove {
        let before = domains.len();
        domains.retain(|domain| !domain.eq_ignore_ascii_case(gone));
        if domains.len() == before {
            let there = if domains.is_empty() { "none".to_owned() } else { domains.join(", ") };
            return Err(Failure::Usage(format!("\"{gone}\" is no additional domain; there is {there}")));
        }
    }
    for new in add {
        if !domains.iter().any(|domain| domain.eq_ignore_ascii_case(new)) {
            domains.push(new.clone());
        }
    }
    Ok(json!(domains))
}

fn table(partners: &[Json], screen: &Screen) -> String {
    let mut table =
        Table::new(["DOMAIN", "TYPE", "TLS", "SASL", "DIALBACK", "METHODS", "ADDITIONAL", "FROM", "DESCRIPTION"]);
    for partner in partners {
        let cell = |path: &str| field(partner, path).into();
        let is_suspended = !items(partner.get("suspended").unwrap_or(&Json::Null), "").is_empty();
        let (tone, source) =
            if is_suspended { (Tone::Bad, "suspended".to_owned()) } else { (Tone::Usual, field(partner, "source")) };
        table.row([
            cell("domain"),
            cell("partner_type"),
            cell("tls_negotiation"),
            cell("sasl_negotiation"),
            cell("support_dialback_negotiation"),
            cell("methods"),
            cell("additional_domains"),
            (tone, source).into(),
            cell("description"),
        ]);
    }
    table.text(screen, "there are no partners; allow one with `causeway partner new DOMAIN`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additional_domains_are_added_and_taken_away_one_by_one() {
        let now = [json!("a.example"), json!("b.example")];
        let edit = |add: &[&str], remove: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            edited(&now, &owned(add), &owned(remove)).map_err(|failure| failure.to_string())
        };
        assert_eq!(edit(&["c.example", "A.example"], &["b.example"]).unwrap(), json!(["a.example", "c.example"]));
        assert!(edit(&[], &["d.example"]).unwrap_err().contains("a.example, b.example"));
    }
}
