//! The operator's part of the PostgreSQL store.
//!
//! A verb that reads and then writes locks a row first, so that gateways take turns and a later one sees what the earlier
//! one has left: `operator_revision` for documents, `journal_end` for the journal, accounts, tokens and links,
//! `archive_end` for the archive, the account for its sign-ins. Always in this order, so that nobody waits in a circle.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::{Fault, Lane, Mode, PostgresStore, Session, Sql};
use crate::admin::journal::{Hash, JournalEntry, JournalRecord};
use crate::store::operator::bounds::Refused;
use crate::store::operator::*;
use crate::store::row::unreadable;
use crate::store::{Done, StoreError, StoreFault};

mod account;
mod archive;
mod backup;
mod document;
mod journal;
mod token;

/// Changes of documents that are done within milliseconds.
const SHORT_CHANGE: usize = 100;

impl PostgresStore {
    /// One statement that changes something is a transaction by itself.
    fn change<T, W, F>(&self, done: Done<T>, verb: &'static str, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Sql<T>> + Send + 'static,
    {
        self.run(Lane::Short, Mode::Single, done, verb, work);
    }
}

impl OperatorStore for PostgresStore {
    fn operator_data(&self, done: Done<OperatorData>) {
        // Gateways read it after every change: it must not wait behind a search of the archive.
        self.run(Lane::Short, Mode::Snapshot, done, "operator_data", |session| async move {
            document::read(&session).await
        });
    }

    fn revision(&self, done: Done<u64>) {
        self.look_up(done, "revision", |session| async move { document::revision(&session).await });
    }

    fn change_operator_data(
        &self,
        based_on: u64,
        changes: Vec<DocumentChange>,
        journal: Vec<JournalEntry>,
        done: Done<ChangeOutcome>,
    ) {
        // Those of a whole deployment may come in one change, and then others shall not wait behind it.
        let lane = if changes.len() > SHORT_CHANGE { Lane::Long } else { Lane::Short };
        self.run(lane, Mode::Write, done, "change_operator_data", move |session| async move {
            document::change(&session, based_on, &changes, journal).await
        });
    }

    fn append_journal(&self, entries: Vec<JournalEntry>, done: Done<u64>) {
        self.write(done, "append_journal", |session| async move { journal::append(&session, entries).await });
    }

    fn journal(&self, after_seq: u64, limit: usize, done: Done<Vec<JournalRecord>>) {
        self.read(done, "journal", move |session| async move { journal::after(&session, after_seq, limit).await });
    }

    fn journal_before(&self, seq: Option<u64>, limit: usize, done: Done<Vec<JournalRecord>>) {
        self.read(done, "journal_before", move |session| async move { journal::before(&session, seq, limit).await });
    }

    fn journal_end(&self, done: Done<(u64, Hash)>) {
        self.look_up(done, "journal_end", |session| async move { journal::end(&session).await });
    }

    fn accounts(&self, done: Done<Vec<Account>>) {
        self.look_up(done, "accounts", |session| async move { account::all(&session).await });
    }

    fn account(&self, name: String, done: Done<Option<Account>>) {
        self.look_up(done, "account", move |session| async move { account::named(&session, &name).await });
    }

    fn account_of_subject(&self, subject: String, done: Done<Option<Account>>) {
        self.look_up(done, "account_of_subject", move |session| async move {
            account::of_subject(&session, &subject).await
        });
    }

    fn put_account(&self, account: Account, along: Along, done: Done<PutOutcome>) {
        self.write(done, "put_account", move |session| async move { account::put(&session, &account, along).await });
    }

    fn remove_account(&self, name: String, version: u64, along: Along, done: Done<RemoveOutcome>) {
        self.write(done, "remove_account", move |session| async move {
            account::remove(&session, &name, version, along).await
        });
    }

    fn note_sign_in_failure(&self, name: String, now_ms: u64, rule: LockOut, done: Done<Option<Failures>>) {
        self.change(done, "note_sign_in_failure", move |session| async move {
            account::note_failure(&session, &name, now_ms, rule).await
        });
    }

    fn clear_sign_in_failures(&self, name: String, done: Done<()>) {
        self.change(done, "clear_sign_in_failures", move |session| async move {
            account::clear_failures(&session, &name).await
        });
    }

    fn put_login(&self, login: Login, done: Done<()>) {
        self.write(done, "put_login", move |session| async move { account::put_login(&session, &login).await });
    }

    fn login(&self, token_hash: Hash, done: Done<Option<Login>>) {
        self.look_up(done, "login", move |session| async move { account::login(&session, &token_hash).await });
    }

    fn touch_login(&self, token_hash: Hash, last_seen_ms: u64, expires_ms: u64, done: Done<()>) {
        self.change(done, "touch_login", move |session| async move {
            account::touch_login(&session, &token_hash, last_seen_ms, expires_ms).await
        });
    }

    fn remove_login(&self, token_hash: Hash, done: Done<bool>) {
        self.change(
            done,
            "remove_login",
            move |session| async move { account::remove_login(&session, &token_hash).await },
        );
    }

    fn remove_logins_of(&self, account: String, except: Option<Hash>, done: Done<u64>) {
        self.change(done, "remove_logins_of", move |session| async move {
            account::remove_logins_of(&session, &account, except.as_ref()).await
        });
    }

    fn purge_expired(&self, now_ms: u64, done: Done<u64>) {
        self.write(done, "purge_expired", move |session| async move { token::purge_expired(&session, now_ms).await });
    }

    fn tokens(&self, done: Done<Vec<Token>>) {
        self.look_up(done, "tokens", |session| async move { token::all(&session).await });
    }

    fn token(&self, token_hash: Hash, done: Done<Option<Token>>) {
        self.look_up(done, "token", move |session| async move { token::by_hash(&session, &token_hash).await });
    }

    fn put_token(&self, token: Token, journal: Vec<JournalEntry>, done: Done<()>) {
        self.write(done, "put_token", move |session| async move { token::put(&session, &token, journal).await });
    }

    fn touch_token(&self, id: String, last_used_ms: u64, done: Done<()>) {
        self.change(done, "touch_token", move |session| async move { token::touch(&session, &id, last_used_ms).await });
    }

    fn remove_token(&self, id: String, journal: Vec<JournalEntry>, done: Done<bool>) {
        self.write(done, "remove_token", move |session| async move { token::remove(&session, &id, journal).await });
    }

    fn put_one_time(&self, link: OneTime, done: Done<()>) {
        self.write(done, "put_one_time", move |session| async move { token::put_one_time(&session, &link).await });
    }

    fn one_time(&self, token_hash: Hash, done: Done<Option<OneTime>>) {
        self.look_up(done, "one_time", move |session| async move { token::one_time(&session, &token_hash).await });
    }

    fn take_one_time(&self, token_hash: Hash, purpose: String, now_ms: u64, done: Done<Option<OneTime>>) {
        self.change(done, "take_one_time", move |session| async move {
            token::take_one_time(&session, &token_hash, &purpose, now_ms).await
        });
    }

    fn remove_one_time(&self, purpose: String, done: Done<u64>) {
        self.change(
            done,
            "remove_one_time",
            move |session| async move { token::remove_one_time(&session, &purpose).await },
        );
    }

    fn archive(&self, messages: Vec<ArchivedMessage>, done: Done<()>) {
        self.write(done, "archive", move |session| async move { archive::keep(&session, &messages).await });
    }

    fn archived(&self, filter: ArchiveFilter, after_id: u64, limit: usize, done: Done<Vec<ArchivedMessage>>) {
        self.read(
            done,
            "archived",
            move |session| async move { archive::page(&session, &filter, after_id, limit).await },
        );
    }

    fn purge_archive(&self, partner: String, before_ms: u64, done: Done<u64>) {
        self.change(done, "purge_archive", move |session| async move {
            archive::purge(&session, &partner, before_ms).await
        });
    }

    fn archive_counts(&self, done: Done<Vec<ArchiveCount>>) {
        self.read(done, "archive_counts", |session| async move { archive::counts(&session).await });
    }

    fn export(&self, with_archive: bool, sink: Box<dyn BackupSink>, done: Done<()>) {
        self.copy(Mode::Snapshot, done, "export", move |session| async move {
            backup::export(&session, with_archive, sink).await
        });
    }

    fn restore(&self, revision: u64, backup: BackupSource, is_replacing: bool, done: Done<()>) {
        self.copy(Mode::Write, done, "restore", move |session| async move {
            backup::restore(&session, revision, backup, is_replacing).await
        });
    }

    fn copy_to(&self, _: PathBuf, done: Done<()>) {
        let detail = "PostgreSQL copies its databases itself: use pg_dump, or causeway backup for a file that any engine \
                      restores";
        let place = Arc::clone(self.place());
        done(Err(StoreError { place, fault: StoreFault::Refused, detail: detail.into() }));
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.0)
    }
}

fn refuse<T>(reason: String) -> Sql<T> {
    Err(Fault::Refused(reason))
}

/// Whether a name can be in a column at all: no text there has U+0000, so that what has it names nothing.
fn can_be_stored(name: &str) -> bool {
    !name.contains('\0')
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Sql<T> {
    Ok(row.try_get(column)?)
}

fn hash(row: &Row, column: &'static str) -> Sql<Hash> {
    let bytes: &[u8] = get(row, column)?;
    bytes.try_into().map_err(|_| unreadable(column, &format!("{} bytes", bytes.len())).into())
}

/// Refuses what has made a table larger than its bound.
async fn fits(session: &Session, what: &str, count: &'static str, bound: usize) -> Sql<()> {
    let present: i64 = session.query_one(count, &[]).await?.try_get(0)?;
    Ok(bounds::fits(what, present, bound)?)
}

#[cfg(test)]
mod tests;
