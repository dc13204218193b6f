//! What a store holds, counted and hashed kind by kind, so that two stores of different engines can be compared.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};

use super::BackupItem;
use super::form::Form;
use crate::admin::journal::{BrokenAt, ChainCheck, Hash};
use crate::presence::record::Pair;
use crate::store::operator::{Account, ArchivedMessage};

/// What is counted, in the order in which it is shown.
pub const KINDS: [&str; 7] = ["document", "grant", "journal", "account", "token", "pair", "message"];

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// How many there are of each kind, and a hash over all of them, in their order.
    pub kinds: BTreeMap<&'static str, (u64, Hash)>,
    /// The last entry of the journal that was found.
    pub journal_end: (u64, Hash),
    /// Where the journal's chain does not hold.
    pub broken: Option<BrokenAt>,
}

impl Contents {
    /// How many there are of a kind.
    pub fn count(&self, kind: &str) -> u64 {
        self.kinds.get(kind).map_or(0, |(count, _)| *count)
    }

    /// The kinds of which `other` has something else.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        KINDS.into_iter().filter(|kind| self.kinds.get(kind) != other.kinds.get(kind)).collect()
    }
}

/// Counts and hashes one thing after the other.
pub struct Tally {
    kinds: BTreeMap<&'static str, (u64, Context)>,
    /// The journal counts up to this entry; what follows it is somebody else's.
    up_to: u64,
    chain: ChainCheck,
    broken: Option<BrokenAt>,
}

impl Tally {
    /// Nothing yet. The journal will count up to the entry with this number.
    pub fn up_to(seq: u64) -> Self {
        Self { kinds: BTreeMap::new(), up_to: seq, chain: ChainCheck::default(), broken: None }
    }

    /// Takes the next thing.
    pub fn take(&mut self, item: BackupItem) {
        if let BackupItem::Journal(record) = &item {
            if self.broken.is_none() {
                self.broken = self.chain.take(record).err();
            }
            if record.seq > self.up_to {
                return;
            }
        }
        let form = Form::from(comparable(item));
        // What the store has given can be written; were it not so, nothing would be hashed, which differs from something.
        let bytes = serde_json::to_vec(&form).unwrap_or_default();
        let (count, hash) = self.kinds.entry(form.kind()).or_insert_with(|| (0, Context::new(&SHA256)));
        *count += 1;
        hash.update(&bytes);
        hash.update(b"\n");
    }

    /// What it has come to.
    pub fn finish(self) -> Contents {
        let hash = |context: Context| {
            let mut hash = [0; 32];
            hash.copy_from_slice(context.finish().as_ref());
            hash
        };
        Contents {
            kinds: self.kinds.into_iter().map(|(kind, (count, context))| (kind, (count, hash(context)))).collect(),
            journal_end: self.chain.end(),
            broken: self.broken,
        }
    }
}

/// Without what each store gives itself, and with the character that not every engine keeps in an archived text.
fn comparable(item: BackupItem) -> BackupItem {
    match item {
        BackupItem::Account(account) => BackupItem::Account(Account { version: 0, ..account }),
        BackupItem::Pair(pair) => BackupItem::Pair(Box::new(Pair { version: 0, ..*pair })),
        BackupItem::Message(message) => {
            let body = message.body.replace('\0', "\u{fffd}");
            BackupItem::Message(ArchivedMessage { id: 0, body, ..message })
        }
        other @ (BackupItem::Document(_) | BackupItem::Grant(_) | BackupItem::Journal(_) | BackupItem::Token(_)) => {
            other
        }
    }
}
