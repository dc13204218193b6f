//! Who may operate: accounts, their sign-ins, tokens, and links that work once. Secrets are kept as hashes only.
//! The fields of accounts and tokens are those of backups.

use serde::{Deserialize, Serialize};

use crate::admin::journal::{Hash, JournalEntry, hex};

/// Accounts of operators.
pub const MAX_ACCOUNTS: usize = 1_000;
/// Sign-ins of one account at a time: browsers that somebody may have left open.
pub const MAX_LOGINS: usize = 32;
/// Tokens of all accounts.
pub const MAX_TOKENS: usize = 1_000;
/// Links that wait: one for each account, and the set-up.
pub const MAX_ONE_TIME: usize = 2_000;
/// Bytes of a text of an account, a token or a sign-in.
pub const MAX_ACCOUNT_TEXT: usize = 1_024;

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The name to sign in with.
    pub name: String,
    /// What he may: words without spaces.
    pub roles: Vec<String>,
    /// The password as a PHC string, if he has one.
    pub password_hash: Option<String>,
    /// The subject of the OpenID provider, if he signs in there. No two accounts have the same.
    pub oidc_subject: Option<String>,
    /// The language of the panel.
    pub language: Option<String>,
    /// Whether he may not sign in for now.
    pub is_disabled: bool,
    /// Wrong passwords since the last sign-in.
    pub failures: u32,
    /// Until when no password is looked at, in Unix milliseconds.
    pub locked_until_ms: u64,
    /// When the account was changed.
    pub changed_at_ms: u64,
    /// Grows with every change; 0 was never stored.
    pub version: u64,
}

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// Stored.
    Stored {
        /// Its version now.
        version: u64,
    },
    /// Somebody else has changed, made or removed it since, or another account has the name or subject.
    Conflict,
    /// Nobody could sign in with the role any more that was to stay.
    LastOfRole,
}

/// What became of an account that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// It is gone.
    Removed,
    /// There is none of this version.
    Conflict,
    /// Nobody could sign in with the role any more that was to stay.
    LastOfRole,
}

/// What goes with a change of an account into one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Along {
    /// Appended to the journal.
    pub journal: Vec<JournalEntry>,
    /// A role that somebody who can sign in must have afterwards, if somebody has it before. Only the store can tell:
    /// of two administrators who remove each other, both see another one.
    pub keep_role: Option<String>,
    /// What becomes of its sign-ins.
    pub sign_ins: SignIns,
    /// Whether its wrong passwords are forgotten, and its lock with them.
    pub unlocks: bool,
}

/// What becomes of the sign-ins of an account that is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignIns {
    /// They stay.
    #[default]
    Stay,
    /// They end.
    End,
    /// They end but the one with this token.
    EndBut(Hash),
}

impl Account {
    /// Whether somebody can sign in with it, and has this role then.
    pub fn can_sign_in_as(&self, role: &str) -> bool {
        let has_way = self.password_hash.is_some() || self.oidc_subject.is_some();
        !self.is_disabled && has_way && self.roles.iter().any(|word| word == role)
    }
}

impl Along {
    /// Whether a change that leaves `after` of the account with this name takes the role that is to be kept from the last
    /// who has it.
    pub(in crate::store) fn takes_last_role(&self, all: &[Account], name: &str, after: Option<&Account>) -> bool {
        let Some(role) = &self.keep_role else { return false };
        let has_role = |account: &Account| account.can_sign_in_as(role);
        let stays = all.iter().any(|other| other.name != name && has_role(other));
        all.iter().any(has_role) && !stays && !after.is_some_and(has_role)
    }
}

/// When wrong passwords lock an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockOut {
    /// From the how many-th on.
    pub failures: u32,
    /// For how long.
    pub lock_ms: u64,
}

/// The wrong passwords of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many since the last sign-in.
    pub failures: u32,
    /// Until when the account is locked.
    pub locked_until_ms: u64,
}

/// A sign-in that lasts: a session of the panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The hash of the token in the browser's cookie.
    pub token_hash: Hash,
    /// Who.
    pub account: String,
    /// Since when.
    pub created_ms: u64,
    /// When it was last used.
    pub last_seen_ms: u64,
    /// Until when it holds.
    pub expires_ms: u64,
    /// Where it was made.
    pub address: String,
    /// The hash of the token that forms carry.
    pub csrf_hash: Option<Hash>,
}

/// A token of the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is called in lists and the journal.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The hash of what is sent.
    #[serde(with = "hex")]
    pub token_hash: Hash,
    /// What it may: words without spaces.
    pub scopes: Vec<String>,
    /// Whose it is.
    pub account: String,
    /// Since when.
    pub created_ms: u64,
    /// Until when it holds, if not for ever.
    pub expires_ms: Option<u64>,
    /// When it was last used.
    pub last_used_ms: Option<u64>,
}

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTime {
    /// The hash of the token in the link.
    pub token_hash: Hash,
    /// What it is for, as `set-up`.
    pub purpose: String,
    /// For whom, if there is somebody yet.
    pub account: Option<String>,
    /// Until when.
    pub expires_ms: u64,
}
