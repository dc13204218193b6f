//! What a database says of itself before it is opened as a store: nothing is changed by looking, and a schema that is
//! older or newer than this program's is a finding.

use std::sync::Arc;

/// How lately a gateway must have reported itself to count as running, in milliseconds: it does so every second.
pub const RUNNING_MS: u64 = 10_000;

/// The tables that are counted, with the words for them.
pub(super) const TABLES: [(&str, &str); 8] = [
    ("documents", "document"),
    ("grants", "external_access_grant"),
    ("journal entries", "journal"),
    ("accounts", "account"),
    ("tokens", "token"),
    ("pairs", "pair"),
    ("dialogs", "dialog"),
    ("archived messages", "archived_message"),
];

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Which file, or which server and database.
    pub place: Arc<str>,
    /// Engine and version.
    pub engine: String,
    /// How many migrations it has; 0 is no store yet.
    pub schema: u32,
    /// How many this program has.
    pub known: u32,
    /// Bytes on disk.
    pub bytes: u64,
    /// The revision of documents and grants.
    pub revision: u64,
    /// Rows, table by table.
    pub rows: Vec<(&'static str, u64)>,
    /// The gateways that have reported themselves lately.
    pub gateways: Vec<String>,
    /// What is wrong with the database itself, in the engine's words.
    pub faults: Vec<String>,
}
