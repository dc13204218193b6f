//! The archive: messages of partners whose operators have said so. Their fields are those of backups.

use serde::{Deserialize, Serialize};

/// Messages of one call: what a burst of a second leaves behind.
pub const MAX_ARCHIVE_BATCH: usize = 1_000;
/// Messages of one page.
pub const MAX_ARCHIVE_PAGE: usize = 1_000;
/// Messages removed by one call, so that nobody waits long behind it.
pub const ARCHIVE_PURGE: usize = 2_000;

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchivedDirection {
    /// From the partner to a local user.
    Inbound,
    /// From a local user to the partner.
    Outbound,
}

impl ArchivedDirection {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|direction| direction.as_str() == text)
    }
}

/// What carried a message on the SIP side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchivedKind {
    /// A MESSAGE outside of a session (RFC 3428).
    Pager,
    /// A MESSAGE inside a session.
    Session,
    /// A stream (RFC 4975).
    Msrp,
}

impl ArchivedKind {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pager => "pager",
            Self::Session => "session",
            Self::Msrp => "msrp",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pager, Self::Session, Self::Msrp].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A message that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedMessage {
    /// Its number, which the store gives: the first is 1.
    pub id: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The domain of the partner, its primary one.
    pub partner: String,
    /// The local user.
    pub local: String,
    /// The partner's user.
    pub remote: String,
    /// Which way it went.
    pub direction: ArchivedDirection,
    /// What carried it.
    pub kind: ArchivedKind,
    /// Its text.
    pub body: String,
    /// The `id` of the stanza.
    pub stanza_id: Option<String>,
    /// What became of it, where that is not plainly that it was delivered.
    pub outcome: Option<String>,
}

/// Which messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveFilter {
    /// Of this partner.
    pub partner: Option<String>,
    /// Of this local user.
    pub local: Option<String>,
    /// Of this user of a partner.
    pub remote: Option<String>,
    /// Not before.
    pub from_ms: Option<u64>,
    /// Before.
    pub to_ms: Option<u64>,
    /// Whose text contains this, ASCII letters in either case.
    pub contains: Option<String>,
}

/// How much is kept of one partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveCount {
    /// Whose.
    pub partner: String,
    /// Messages.
    pub messages: u64,
    /// When the oldest was.
    pub oldest_ms: u64,
    /// When the newest was.
    pub newest_ms: u64,
}
