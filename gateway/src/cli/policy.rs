//! `policy`: New-, Set-, Get-, Remove- and Grant-CsExternalAccessPolicy.

use clap::builder::BoolishValueParser;
use serde_json::{Map, Value as Json, json};

use super::change::{Confirm, Options, receipt};
use super::client::{Call, Client};
use super::ending::{Ending, Failure, Found};
use super::output::{Screen, field, items, outline};
use super::table::Table;

/// What to do about external access policies.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Make a policy (New-CsExternalAccessPolicy).
    New {
        /// Site:DOMAIN of ours, Tag:NAME, or Global.
        #[arg(value_name = "IDENTITY")]
        identity: String,
        #[command(flatten)]
        parameters: Parameters,
        #[command(flatten)]
        options: Options,
    },
    /// Change a policy (Set-CsExternalAccessPolicy). What is not named stays as it is.
    Set {
        /// The policy.
        #[arg(value_name = "IDENTITY")]
        identity: String,
        #[command(flatten)]
        parameters: Parameters,
        #[command(flatten)]
        options: Options,
    },
    /// Show policies (Get-CsExternalAccessPolicy), or with --grants who has which.
    Get {
        /// The policy; without it, all.
        #[arg(value_name = "IDENTITY")]
        identity: Option<String>,
        /// Only identities like this: * stands for any characters, ? for one.
        #[arg(long, value_name = "PATTERN", conflicts_with = "identity")]
        filter: Option<String>,
        /// Show to whom policies are granted.
        #[arg(long, conflicts_with_all = ["identity", "filter"])]
        grants: bool,
    },
    /// Remove a policy (Remove-CsExternalAccessPolicy).
    Remove {
        /// The policy.
        #[arg(value_name = "IDENTITY")]
        identity: String,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        options: Options,
    },
    /// Give a user a policy (Grant-CsExternalAccessPolicy).
    Grant {
        /// The user, such as alice@contoso.example.
        #[arg(value_name = "USER")]
        user: String,
        /// The policy: Tag:NAME or NAME.
        #[arg(value_name = "POLICY")]
        policy: String,
        #[command(flatten)]
        options: Options,
    },
    /// Take a user's policy back (Grant-CsExternalAccessPolicy with $null).
    Revoke {
        /// The user.
        #[arg(value_name = "USER")]
        user: String,
        #[command(flatten)]
        options: Options,
    },
    /// Say which policy counts for a user, and why.
    Effective {
        /// The user.
        #[arg(value_name = "USER")]
        user: String,
    },
}

/// The parameters of a policy that are the gateway's.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Parameters")]
pub(super) struct Parameters {
    /// Whether users may reach XMPP partners [default: false].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    enable_xmpp_access: Option<bool>,
    /// Whether users may reach federated partners at all [default: true].
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    enable_federation_access: Option<bool>,
    /// A note of yours.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl Parameters {
    /// Lays what was named over a document.
    fn lay_over(&self, document: &mut Map<String, Json>) {
        let flags = [
            ("enable_xmpp_access", self.enable_xmpp_access),
            ("enable_federation_access", self.enable_federation_access),
        ];
        document.extend(flags.into_iter().filter_map(|(key, flag)| Some((key.to_owned(), flag?.into()))));
        if let Some(text) = &self.description {
            document.insert("description".to_owned(), text.as_str().into());
        }
    }

    const fn is_empty(&self) -> bool {
        self.enable_xmpp_access.is_none() && self.enable_federation_access.is_none() && self.description.is_none()
    }
}

impl Verb {
    pub(super) async fn run(&self, client: &Client, screen: &Screen) -> Ending {
        match self {
            Self::New { identity, parameters, options } => {
                let mut document = Map::new();
                document.insert("identity".to_owned(), identity.as_str().into());
                parameters.lay_over(&mut document);
                let call = Call::post(&["policies"], &Json::Object(document));
                receipt(&client.call(options.put_on(call, None)).await?, screen)
            }
            Self::Set { identity, parameters, options } => {
                if parameters.is_empty() {
                    return Err(Failure::Usage("nothing is to be changed; name a parameter".to_owned()));
                }
                let path = ["policies", identity];
                let now = client.call(Call::get(&path)).await?;
                let mut document = Map::new();
                for key in ["identity", "enable_xmpp_access", "enable_federation_access", "description"] {
                    document.extend(now.body.get(key).map(|value| (key.to_owned(), value.clone())));
                }
                parameters.lay_over(&mut document);
                let call = Call::put(&path, &Json::Object(document));
                receipt(&client.call(options.put_on(call, now.version)).await?, screen)
            }
            Self::Get { identity: Some(identity), .. } => {
                let answer = client.call(Call::get(&["policies", identity])).await?;
                screen.show(&answer.body, |_| outline(&answer.body));
                Ok(Found::InOrder)
            }
            Self::Get { grants: true, .. } => {
                let answer = client.call(Call::get(&["grants"])).await?;
                screen.show(&answer.body, |screen| {
                    let mut table = Table::new(["USER", "POLICY", "FROM"]);
                    for grant in items(&answer.body, "grants") {
                        table.row(["user", "policy", "source"].map(|path| field(grant, path).into()));
                    }
                    table.text(screen, "no policy is granted to anybody")
                });
                Ok(Found::InOrder)
            }
            Self::Get { identity: None, filter, grants: false } => {
                let call = Call::get(&["policies"]).query("filter", filter.as_deref());
                let answer = client.call(call).await?;
                screen.show(&answer.body, |screen| {
                    let mut table = Table::new(["IDENTITY", "XMPP", "FEDERATION", "FROM", "DESCRIPTION"]);
                    let paths = ["identity", "enable_xmpp_access", "enable_federation_access", "source", "description"];
                    for policy in items(&answer.body, "policies") {
                        table.row(paths.map(|path| field(policy, path).into()));
                    }
                    table.text(screen, "there are no policies, so everybody may reach XMPP partners")
                });
                Ok(Found::InOrder)
            }
            Self::Remove { identity, confirm, options } => {
                confirm.ask(&format!("Remove the policy {identity}?"), options)?;
                let path = ["policies", identity];
                let version = if options.needs_version() { client.call(Call::get(&path)).await?.version } else { None };
                receipt(&client.call(options.put_on(Call::delete(&path), version)).await?, screen)
            }
            Self::Grant { user, policy, options } => {
                let call = Call::put(&["grants", user], &json!({"policy": policy}));
                receipt(&client.call(options.put_on(call, None)).await?, screen)
            }
            Self::Revoke { user, options } => {
                let call = Call::delete(&["grants", user]);
                receipt(&client.call(options.put_on(call, None)).await?, screen)
            }
            Self::Effective { user } => {
                let answer = client.call(Call::get(&["users", user, "policy"])).await?;
                screen.show(&answer.body, |_| outline(&answer.body));
                Ok(Found::InOrder)
            }
        }
    }
}
