//! Documents and grants: what operators have configured outside gateway.toml. Their fields are those of backups.

use serde::{Deserialize, Serialize};

/// Documents of all kinds: a few times the partners that a deployment has.
pub const MAX_DOCUMENTS: usize = 10_000;
/// Bytes of one document: a partner with a thousand additional domains.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Grants: users of the largest deployment that this gateway is made for.
pub const MAX_GRANTS: usize = 200_000;
/// Bytes of an identity, a user or the name of a policy (RFC 7622, section 3.1: two parts of 1023 bytes, and the `@`).
pub const MAX_IDENTITY: usize = 2_047;

/// What a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A partner; its identity is its domain.
    Partner,
    /// The settings of the gateway; there is one, its identity is `Global`.
    GatewaySettings,
    /// An external access policy; its identity is `Global`, `Site:name` or `Tag:name`.
    ExternalAccessPolicy,
}

impl DocumentKind {
    const ALL: [Self; 3] = [Self::Partner, Self::GatewaySettings, Self::ExternalAccessPolicy];

    /// The word that is stored: the section of gateway.toml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::GatewaySettings => "gateway_settings",
            Self::ExternalAccessPolicy => "external_access_policy",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something configured, in the words of gateway.toml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it describes.
    pub kind: DocumentKind,
    /// Which one.
    pub identity: String,
    /// The revision at which it changed.
    pub version: u64,
    /// Its keys and values.
    pub json: String,
    /// When it changed, in Unix milliseconds.
    pub changed_at_ms: u64,
    /// Who changed it.
    pub changed_by: String,
}

/// The external access policy of one user (Grant-CsExternalAccessPolicy).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Whose: a bare JID in its canonical spelling.
    pub user: String,
    /// The policy.
    pub policy: String,
    /// When it was granted, in Unix milliseconds.
    pub changed_at_ms: u64,
    /// Who granted it.
    pub changed_by: String,
}

/// Everything configured in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorData {
    /// Grows with every change.
    pub revision: u64,
    /// In the order of kinds and identities.
    pub documents: Vec<Document>,
    /// In the order of users.
    pub grants: Vec<Grant>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentChange {
    /// Stores a document, new or not. One that is the same as the stored one keeps its version.
    Put {
        /// What it describes.
        kind: DocumentKind,
        /// Which one.
        identity: String,
        /// Its keys and values.
        json: String,
    },
    /// Removes a document; nothing happens if there is none.
    Remove {
        /// What it describes.
        kind: DocumentKind,
        /// Which one.
        identity: String,
    },
    /// Gives a user a policy.
    Grant {
        /// Whom.
        user: String,
        /// Which.
        policy: String,
    },
    /// Takes it back; nothing happens if there is none.
    Revoke {
        /// From whom.
        user: String,
    },
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// Stored.
    Stored {
        /// The revision that it made.
        revision: u64,
        /// The version of what each change names, in their order; 0 of what is gone.
        versions: Vec<u64>,
    },
    /// Somebody else changed something since: nothing was stored.
    Conflict {
        /// The present revision.
        revision: u64,
    },
}
