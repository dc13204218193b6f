//! The audit journal: who changed what, or was refused, as a chain of hashes.
//!
//! Each entry is stored with the hash of the one before it, so that one that was changed, removed or moved breaks the
//! chain. What the chain cannot show is that its end was cut off: for that, keep the last hash elsewhere and compare.
//!
//! # The hash
//! SHA-256 (FIPS 180-4) over these fields in this order, each led by its length in bytes as an unsigned 64-bit big-endian
//! number: `seq` and `at_ms` as unsigned 64-bit big-endian numbers, the previous hash as its 32 bytes (of the first entry:
//! zeros), then `actor`, `actor_kind`, `address`, `action`, `object`, `outcome` and `detail` in UTF-8, the two words as
//! [`ActorKind::as_str`] and [`Outcome::as_str`] spell them. The lengths keep text from moving from one field to the next.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The previous hash of the first entry.
pub const NO_HASH: Hash = [0; 32];

/// A hash as hexadecimal digits in JSON.
pub mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Hash;

    /// The 64 digits.
    pub fn text(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads them.
    pub fn parse(text: &str) -> Option<Hash> {
        let mut hash = super::NO_HASH;
        let digits = text.as_bytes();
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(hash)
    }

    /// For serde.
    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(hash))
    }

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let digits = String::deserialize(deserializer)?;
        parse(&digits).ok_or_else(|| D::Error::custom("a hash has 64 hexadecimal digits"))
    }
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// An account, signed in.
    Account,
    /// A token of the interface.
    Token,
    /// Somebody on the gateway's machine, over its socket.
    Local,
    /// Nobody yet: a sign-in that failed, or a set-up link.
    Anonymous,
    /// The gateway itself.
    System,
}

impl ActorKind {
    const ALL: [Self; 5] = [Self::Account, Self::Token, Self::Local, Self::Anonymous, Self::System];

    /// The word that is stored and hashed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Token => "token",
            Self::Local => "local",
            Self::Anonymous => "anonymous",
            Self::System => "system",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// It was only tried out.
    DryRun,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::DryRun];

    /// The word that is stored and hashed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::DryRun => "dry_run",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The name of the account or token.
    pub actor: String,
    /// What kind of name that is.
    pub actor_kind: ActorKind,
    /// Where the request came from.
    pub address: String,
    /// What was done, as `partner.put`.
    pub action: String,
    /// To what, as the domain of a partner.
    pub object: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The rest, in JSON.
    pub detail: String,
}

/// An entry with its place in the chain. As JSON it is what exports and backups have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRecord {
    /// Its number: the first is 1, and none is left out.
    pub seq: u64,
    /// The hash of the entry before it.
    #[serde(with = "hex")]
    pub previous_hash: Hash,
    /// Its own.
    #[serde(with = "hex")]
    pub hash: Hash,
    /// The entry.
    pub entry: JournalEntry,
}

impl JournalRecord {
    /// The next link of a chain that ends with `seq` and `hash`.
    pub fn after(seq: u64, hash: Hash, entry: JournalEntry) -> Self {
        let seq = seq.saturating_add(1);
        Self { seq, previous_hash: hash, hash: hash_of(seq, &hash, &entry), entry }
    }
}

/// The hash of an entry in its place.
pub fn hash_of(seq: u64, previous: &Hash, entry: &JournalEntry) -> Hash {
    let JournalEntry { at_ms, actor, actor_kind, address, action, object, outcome, detail } = entry;
    let mut context = Context::new(&SHA256);
    let mut field = |bytes: &[u8]| {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(bytes);
    };
    field(&seq.to_be_bytes());
    field(&at_ms.to_be_bytes());
    field(previous);
    for text in [actor, actor_kind.as_str(), address, action, object, outcome.as_str(), detail] {
        field(text.as_bytes());
    }
    let mut hash = NO_HASH;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Where a chain does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenAt {
    /// The entry is not what was hashed.
    #[error("entry {seq} was changed after it was written")]
    Changed {
        /// Its number.
        seq: u64,
    },
    /// Another entry should stand here.
    #[error("entry {expected} is missing: {found} stands in its place")]
    Missing {
        /// The number that should follow.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// It does not continue the one before it.
    #[error("entry {seq} does not continue the entry before it: one of the two was exchanged")]
    Unlinked {
        /// Its number.
        seq: u64,
    },
    /// The chain ends before it should.
    #[error("the journal ends with entry {found}, but {expected} was written: its end was cut off")]
    Truncated {
        /// The last number known.
        expected: u64,
        /// The last one there.
        found: u64,
    },
}

/// Checks a chain link by link, from the first entry on or from any that is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainCheck {
    seq: u64,
    hash: Hash,
}

impl Default for ChainCheck {
    fn default() -> Self {
        Self { seq: 0, hash: NO_HASH }
    }
}

impl ChainCheck {
    /// Continues behind an entry that is trusted.
    pub fn behind(seq: u64, hash: Hash) -> Self {
        Self { seq, hash }
    }

    /// Takes the next entry.
    pub fn take(&mut self, record: &JournalRecord) -> Result<(), BrokenAt> {
        let (expected, found) = (self.seq.saturating_add(1), record.seq);
        if found != expected {
            return Err(BrokenAt::Missing { expected, found });
        }
        if record.previous_hash != self.hash {
            return Err(BrokenAt::Unlinked { seq: found });
        }
        if hash_of(found, &record.previous_hash, &record.entry) != record.hash {
            return Err(BrokenAt::Changed { seq: found });
        }
        (self.seq, self.hash) = (found, record.hash);
        Ok(())
    }

    /// Compares the end with what is known of it: the number and the hash of the last entry.
    pub fn finish(self, seq: u64, hash: &Hash) -> Result<(), BrokenAt> {
        if self.seq < seq {
            return Err(BrokenAt::Truncated { expected: seq, found: self.seq });
        }
        if self.seq == seq && self.hash != *hash {
            return Err(BrokenAt::Unlinked { seq });
        }
        Ok(())
    }

    /// The number and the hash of the last entry taken.
    pub fn end(&self) -> (u64, Hash) {
        (self.seq, self.hash)
    }
}

/// Checks a whole chain, from the first entry on.
pub fn verify_chain<'a>(records: impl IntoIterator<Item = &'a JournalRecord>) -> Result<(), BrokenAt> {
    let mut check = ChainCheck::default();
    records.into_iter().try_for_each(|record| check.take(record))
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
