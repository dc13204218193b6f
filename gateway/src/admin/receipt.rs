//! The answer to a change: what changed and when it counts, or why nothing did.

use std::collections::BTreeMap;

use causeway_shared::config::{ConfigError, ConfigWarning};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::store::StoreError;

/// A change that was made, or tried out.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Receipt {
    /// What it was about: a domain, `Global`, an identity, a user.
    pub object: String,
    /// The version to change it by next time; 0 if it is gone.
    pub version: u64,
    /// The revision of everything.
    pub revision: u64,
    /// Whether it was only tried out.
    pub dry_run: bool,
    /// What changed, key by key; empty if it was so already.
    pub changed: Vec<FieldChange>,
    /// What is allowed and worth a second look.
    pub warnings: Vec<Note>,
    /// The edges that work by it already, and those that do not yet.
    pub edges: Vec<EdgeTook>,
}

/// One key that changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldChange {
    /// The key.
    pub key: String,
    /// Its value so far; `null` if there was none.
    pub before: Value,
    /// Its value now.
    pub after: Value,
    /// When it counts.
    pub applies: Applies,
}

/// When a change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Applies {
    /// At once; live streams that it does not permit any more are closed.
    Now,
    /// To streams that are opened from now on.
    NewStreams,
}

impl Applies {
    /// When a key of a partner or of the settings counts.
    pub fn of(key: &str) -> Self {
        match key {
            "connection_limit"
            | "partner_connection_limit"
            | "proxy_fqdn"
            | "allow_private_addresses"
            | "direct_tls"
            | "stream_management"
            | "bidi"
            | "dane"
            | "posh"
            | "plaintext_after_tls_failure"
            | "stream_establishment_timeout_secs"
            | "dialback_passphrase" => Self::NewStreams,
            _ => Self::Now,
        }
    }
}

/// An edge, and whether it works by the new configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeTook {
    /// Its name.
    pub edge: String,
    /// Whether it has said so within the time that was waited.
    pub in_force: bool,
}

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Note {
    /// The key that it is about.
    pub key: String,
    /// The name of its text in other languages; `other` has none.
    pub code: String,
    /// In English.
    pub text: String,
}

impl Note {
    /// A warning of the configuration, with the key as it is named there.
    pub fn of(warning: &ConfigWarning) -> Self {
        Self { key: warning.key.clone(), code: warning.code.to_owned(), text: warning.text.clone() }
    }
}

/// A mistake in what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The key of the document; `partner.DOMAIN.KEY` and the like if the change breaks something else.
    pub key: String,
    /// The name of its text in other languages; `other` has none.
    pub code: String,
    /// What that text names.
    pub args: BTreeMap<String, String>,
    /// What is there, in English.
    pub found: String,
    /// What to write instead, in English.
    pub expected: String,
}

impl Fault {
    /// A mistake of the configuration under another key.
    pub fn of(mistake: &ConfigError, key: String) -> Self {
        Self {
            key,
            code: mistake.code.to_owned(),
            args: mistake.args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            found: mistake.found.clone(),
            expected: mistake.expected.clone(),
        }
    }
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What was written has mistakes.
    #[error("{} mistakes", .0.len())]
    Faults(Vec<Fault>),
    /// There is none of that name.
    #[error("there is no {0}")]
    Absent(String),
    /// There is one of that name already.
    #[error("{0} exists already")]
    Exists(String),
    /// The file declares it, so that it is changed there.
    #[error("{0} is declared in the configuration file; change it there")]
    Declared(String),
    /// Somebody else has changed it since it was read.
    #[error("{by} changed {object} since you read it; read it again")]
    Stale {
        /// What it is about.
        object: String,
        /// Its version now.
        version: u64,
        /// Who changed it.
        by: String,
        /// When, in Unix milliseconds.
        at_ms: u64,
    },
    /// Everybody changes something at once.
    #[error("others change the configuration all the time; try again")]
    Busy,
    /// The store does not do it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It is stored, and the gateway does not work by it.
    #[error("it is stored and not in force: {0}")]
    NotInForce(String),
}
