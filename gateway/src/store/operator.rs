//! What operators have decided and done, and who they are: documents, grants, journal, accounts, archive.
//!
//! A trait of its own beside [`Store`](super::Store), in the same style: a call returns at once, its result comes
//! through the callback. A gateway's pairs never wait for an operator: long reads have a thread of their own.
//! Several gateways may share one store, so that every verb that reads and then writes does both in one transaction.

mod account;
mod archive;
pub(in crate::store) mod bounds;
mod document;

pub use account::*;
pub use archive::*;
pub use document::*;

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::Done;
use super::backup::{BackupItem, Broken};
use crate::admin::journal::{Hash, JournalEntry, JournalRecord};

/// Bytes of an entry's `detail`: a change of a document, both its versions.
pub const MAX_JOURNAL_DETAIL: usize = 128 * 1024;
/// Bytes of each other text of an entry.
pub const MAX_JOURNAL_TEXT: usize = 4 * 1024;
/// Entries of one page, and of one call.
pub const MAX_JOURNAL_PAGE: usize = 1_000;

/// Takes what a backup has.
pub trait BackupSink: Send {
    /// Hears the revision, before everything else.
    fn begin(&mut self, revision: u64) -> ControlFlow<()>;

    /// Takes the next thing.
    fn take(&mut self, item: BackupItem) -> ControlFlow<()>;

    /// Hears that it was all.
    fn end(&mut self);
}

/// Gives what a backup has.
pub type BackupSource = Box<dyn Iterator<Item = Result<BackupItem, Broken>> + Send>;

/// The operator's part of a store. Whatever exceeds a bound of this module is refused with
/// [`StoreFault::Refused`](super::StoreFault::Refused), which names the bound.
pub trait OperatorStore: Send + Sync {
    /// All documents and grants, as they were at one revision.
    fn operator_data(&self, done: Done<OperatorData>);

    /// The present revision: cheap enough to be asked for every second.
    fn revision(&self, done: Done<u64>);

    /// Changes documents and grants and notes why, all or nothing. A change that is based on another revision than the
    /// present one changes nothing. The first entry says when it was and who did it, so that there must be one.
    fn change_operator_data(
        &self,
        based_on: u64,
        changes: Vec<DocumentChange>,
        journal: Vec<JournalEntry>,
        done: Done<ChangeOutcome>,
    );

    /// Appends to the journal; answers with the number of the last entry.
    fn append_journal(&self, entries: Vec<JournalEntry>, done: Done<u64>);

    /// Up to `limit` entries behind the one named, oldest first. 0 is before the first.
    fn journal(&self, after_seq: u64, limit: usize, done: Done<Vec<JournalRecord>>);

    /// Up to `limit` entries before the one named, newest first. `None` is behind the last.
    fn journal_before(&self, seq: Option<u64>, limit: usize, done: Done<Vec<JournalRecord>>);

    /// The number and the hash of the last entry written, kept apart from the entries.
    fn journal_end(&self, done: Done<(u64, Hash)>);

    /// All accounts, in the order of their names.
    fn accounts(&self, done: Done<Vec<Account>>);

    /// One account.
    fn account(&self, name: String, done: Done<Option<Account>>);

    /// The account that signs in as this subject of an OpenID provider.
    fn account_of_subject(&self, subject: String, done: Done<Option<Account>>);

    /// Makes an account (version 0) or changes it, if it still has the version that it came with: all of it with what is
    /// along, or nothing. Its failures and its lock stay as they are stored, unless they are to be forgotten.
    fn put_account(&self, account: Account, along: Along, done: Done<PutOutcome>);

    /// Removes an account of this version with its sign-ins, tokens and links, and with what is along, or nothing.
    fn remove_account(&self, name: String, version: u64, along: Along, done: Done<RemoveOutcome>);

    /// Counts a wrong password and locks the account when there were too many; `None` if there is no such account.
    fn note_sign_in_failure(&self, name: String, now_ms: u64, rule: LockOut, done: Done<Option<Failures>>);

    /// Forgets the failures and unlocks: after a sign-in, or because an administrator says so.
    fn clear_sign_in_failures(&self, name: String, done: Done<()>);

    /// Keeps a sign-in. The oldest one of the account goes where there are too many.
    fn put_login(&self, login: Login, done: Done<()>);

    /// The sign-in with this token.
    fn login(&self, token_hash: Hash, done: Done<Option<Login>>);

    /// Notes that a sign-in was used, and until when it holds now.
    fn touch_login(&self, token_hash: Hash, last_seen_ms: u64, expires_ms: u64, done: Done<()>);

    /// Ends a sign-in; answers whether there was one.
    fn remove_login(&self, token_hash: Hash, done: Done<bool>);

    /// Ends all sign-ins of an account but, perhaps, one; answers how many.
    fn remove_logins_of(&self, account: String, except: Option<Hash>, done: Done<u64>);

    /// Removes sign-ins and links that have expired; answers how many.
    fn purge_expired(&self, now_ms: u64, done: Done<u64>);

    /// All tokens, in the order of their names.
    fn tokens(&self, done: Done<Vec<Token>>);

    /// The token with this hash, expired or not.
    fn token(&self, token_hash: Hash, done: Done<Option<Token>>);

    /// Keeps a token under an `id` that is new, and appends to the journal, or neither.
    fn put_token(&self, token: Token, journal: Vec<JournalEntry>, done: Done<()>);

    /// Notes when a token was last used.
    fn touch_token(&self, id: String, last_used_ms: u64, done: Done<()>);

    /// Removes a token and appends to the journal; answers whether there was one, and does neither if there was none.
    fn remove_token(&self, id: String, journal: Vec<JournalEntry>, done: Done<bool>);

    /// Keeps a link that works once.
    fn put_one_time(&self, link: OneTime, done: Done<()>);

    /// The link with this token, which stays; for showing the page that it leads to.
    fn one_time(&self, token_hash: Hash, done: Done<Option<OneTime>>);

    /// Takes the link with this token, so that nobody else gets it. An expired one counts as none.
    fn take_one_time(&self, token_hash: Hash, purpose: String, now_ms: u64, done: Done<Option<OneTime>>);

    /// Removes all links of a purpose; answers how many.
    fn remove_one_time(&self, purpose: String, done: Done<u64>);

    /// Keeps messages, in this order.
    fn archive(&self, messages: Vec<ArchivedMessage>, done: Done<()>);

    /// Up to `limit` messages that fit, behind the one named, oldest first.
    fn archived(&self, filter: ArchiveFilter, after_id: u64, limit: usize, done: Done<Vec<ArchivedMessage>>);

    /// Removes messages of a partner that are older, up to [`ARCHIVE_PURGE`] of them; answers how many.
    fn purge_archive(&self, partner: String, before_ms: u64, done: Done<u64>);

    /// How much is kept, partner by partner.
    fn archive_counts(&self, done: Done<Vec<ArchiveCount>>);

    /// Gives everything that a backup has to `sink`, as it was at one moment: the revision first. The sink is called on a
    /// thread of its own, may block, and says when it has enough. One at a time; another is refused.
    fn export(&self, with_archive: bool, sink: Box<dyn BackupSink>, done: Done<()>);

    /// Puts a backup that was made at this revision into a store without documents, grants, accounts, tokens, pairs and archive, or in the place of what
    /// it has of these: all of it or, at the first fault, nothing. The archive stays if the backup has none. Nothing of
    /// the store's journal is lost: entries that the backup does not have are appended to its chain.
    fn restore(&self, revision: u64, backup: BackupSource, is_replacing: bool, done: Done<()>);

    /// Copies the store, as it is, to a file of its engine's own form that does not exist.
    fn copy_to(&self, path: PathBuf, done: Done<()>);
}
