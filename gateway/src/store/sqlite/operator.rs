//! The operator's part of the SQLite store: each verb as a job for one of the two threads.
//!
//! A verb that fails, fails alone: it works inside a savepoint of the shared transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::pairs::{Fault, Sql};
use super::{Completion, Job, SqliteStore, connect, fault, place, start, store_error};
use crate::admin::journal::{Hash, JournalEntry, JournalRecord};
use crate::store::operator::*;
use crate::store::{Done, StoreError, StoreFault};

mod account;
mod archive;
mod backup;
pub(super) mod document;
mod journal;
mod token;

/// The work of a verb, with its callback inside.
pub(super) struct OperatorJob {
    pub(super) writes: bool,
    work: Work,
}

type Work = Box<dyn FnOnce(Result<(&Connection, &Arc<PathBuf>), StoreError>) -> Worked + Send>;

/// What a verb has come to: what is called when its transaction is on disk, or its own fault, already told.
type Worked = Result<Completion, ()>;

impl OperatorJob {
    fn new<T: Send + 'static>(
        writes: bool,
        done: Done<T>,
        verb: impl FnOnce(&Connection) -> Sql<T> + Send + 'static,
    ) -> Self {
        let work: Work = Box::new(move |given| {
            let worked =
                given.and_then(|(connection, path)| verb(connection).map_err(|error| store_error(path, error)));
            match worked {
                Ok(value) => Ok(Box::new(move |outcome: Result<(), StoreError>| done(outcome.map(|()| value)))),
                Err(error) => {
                    done(Err(error));
                    Err(())
                }
            }
        });
        Self { writes, work }
    }

    /// Tells the caller that nothing was done.
    pub(super) fn fail(self, error: StoreError) {
        // It has called back itself.
        let _ = (self.work)(Err(error));
    }

    /// Does the work by itself and calls back.
    pub(super) fn answer(self, connection: &Connection, path: &Arc<PathBuf>) {
        if let Ok(completion) = (self.work)(Ok((connection, path))) {
            completion(Ok(()));
        }
    }

    /// Does the work inside a transaction that others share, and leaves the callback for afterwards.
    pub(super) fn perform(
        self,
        connection: &Connection,
        path: &Arc<PathBuf>,
        completions: &mut Vec<Completion>,
    ) -> Result<(), StoreError> {
        let run = |sql: &str| {
            let result = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
            result.map(drop).map_err(|error| fault(path, &error))
        };
        if !self.writes {
            completions.extend((self.work)(Ok((connection, path))));
            return Ok(());
        }
        if let Err(error) = run("SAVEPOINT verb") {
            self.fail(error.clone());
            return Err(error);
        }
        match (self.work)(Ok((connection, path))) {
            Ok(completion) => completions.push(completion),
            // A full disk has ended the whole transaction: then this fails, and with it everybody else.
            Err(()) => run("ROLLBACK TO verb")?,
        }
        run("RELEASE verb")
    }
}

impl SqliteStore {
    pub(super) fn write<T: Send + 'static>(
        &self,
        done: Done<T>,
        verb: impl FnOnce(&Connection) -> Sql<T> + Send + 'static,
    ) {
        self.submit(Job::Operator(OperatorJob::new(true, done, verb)));
    }

    /// A row or two, found by an index: no reason to wait behind what takes long.
    fn look_up<T: Send + 'static>(&self, done: Done<T>, verb: impl FnOnce(&Connection) -> Sql<T> + Send + 'static) {
        self.submit(Job::Operator(OperatorJob::new(false, done, verb)));
    }

    pub(super) fn read<T: Send + 'static>(
        &self,
        done: Done<T>,
        verb: impl FnOnce(&Connection) -> Sql<T> + Send + 'static,
    ) {
        self.reader.submit(OperatorJob::new(false, done, verb));
    }
}

/// Whether a copy is under way.
#[derive(Debug, Default)]
pub(super) struct Copying(Arc<AtomicBool>);

/// The copy that is. Its end, however it comes, makes room for the next one.
struct Copy(Arc<AtomicBool>);

impl Copying {
    fn begin(&self) -> Option<Copy> {
        (!self.0.swap(true, Ordering::AcqRel)).then(|| Copy(Arc::clone(&self.0)))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl SqliteStore {
    /// Work of minutes has a thread and a connection for itself, and there is one such work at a time.
    fn copy(&self, done: Done<()>, verb: impl FnOnce(&Connection) -> Sql<()> + Send + 'static) {
        let path = Arc::clone(&self.path);
        let Some(copy) = self.copying.begin() else {
            let detail = "a backup is under way already; try again when it has ended".into();
            return done(Err(StoreError { place: place(&path), fault: StoreFault::Overloaded, detail }));
        };
        let job = OperatorJob::new(false, done, move |connection| {
            // Whoever hears of its end may begin the next one.
            let _copy = copy;
            verb(connection)
        });
        // If no thread can be started, the callback is dropped with the job: whoever waits hears of the end.
        let _ = start(&self.path, "store-copy", move || match connect(&path) {
            Ok(connection) => job.answer(&connection, &path),
            Err(error) => job.fail(error),
        });
    }
}

impl OperatorStore for SqliteStore {
    fn operator_data(&self, done: Done<OperatorData>) {
        self.read(done, document::all);
    }

    fn revision(&self, done: Done<u64>) {
        self.look_up(done, document::revision);
    }

    fn change_operator_data(
        &self,
        based_on: u64,
        changes: Vec<DocumentChange>,
        journal: Vec<JournalEntry>,
        done: Done<ChangeOutcome>,
    ) {
        self.write(done, move |connection| document::change(connection, based_on, &changes, journal));
    }

    fn append_journal(&self, entries: Vec<JournalEntry>, done: Done<u64>) {
        self.write(done, move |connection| journal::append(connection, entries));
    }

    fn journal(&self, after_seq: u64, limit: usize, done: Done<Vec<JournalRecord>>) {
        self.read(done, move |connection| journal::after(connection, after_seq, limit));
    }

    fn journal_before(&self, seq: Option<u64>, limit: usize, done: Done<Vec<JournalRecord>>) {
        self.read(done, move |connection| journal::before(connection, seq, limit));
    }

    fn journal_end(&self, done: Done<(u64, Hash)>) {
        self.look_up(done, journal::end);
    }

    fn accounts(&self, done: Done<Vec<Account>>) {
        self.read(done, account::all);
    }

    fn account(&self, name: String, done: Done<Option<Account>>) {
        self.look_up(done, move |connection| account::named(connection, &name));
    }

    fn account_of_subject(&self, subject: String, done: Done<Option<Account>>) {
        self.look_up(done, move |connection| account::of_subject(connection, &subject));
    }

    fn put_account(&self, account: Account, along: Along, done: Done<PutOutcome>) {
        self.write(done, move |connection| account::put(connection, &account, along));
    }

    fn remove_account(&self, name: String, version: u64, along: Along, done: Done<RemoveOutcome>) {
        self.write(done, move |connection| account::remove(connection, &name, version, along));
    }

    fn note_sign_in_failure(&self, name: String, now_ms: u64, rule: LockOut, done: Done<Option<Failures>>) {
        self.write(done, move |connection| account::note_failure(connection, &name, now_ms, rule));
    }

    fn clear_sign_in_failures(&self, name: String, done: Done<()>) {
        self.write(done, move |connection| account::clear_failures(connection, &name));
    }

    fn put_login(&self, login: Login, done: Done<()>) {
        self.write(done, move |connection| account::put_login(connection, &login));
    }

    fn login(&self, token_hash: Hash, done: Done<Option<Login>>) {
        self.look_up(done, move |connection| account::login(connection, &token_hash));
    }

    fn touch_login(&self, token_hash: Hash, last_seen_ms: u64, expires_ms: u64, done: Done<()>) {
        self.write(done, move |connection| account::touch_login(connection, &token_hash, last_seen_ms, expires_ms));
    }

    fn remove_login(&self, token_hash: Hash, done: Done<bool>) {
        self.write(done, move |connection| account::remove_login(connection, &token_hash));
    }

    fn remove_logins_of(&self, account: String, except: Option<Hash>, done: Done<u64>) {
        self.write(done, move |connection| account::remove_logins_of(connection, &account, except.as_ref()));
    }

    fn purge_expired(&self, now_ms: u64, done: Done<u64>) {
        self.write(done, move |connection| token::purge_expired(connection, now_ms));
    }

    fn tokens(&self, done: Done<Vec<Token>>) {
        self.read(done, token::all);
    }

    fn token(&self, token_hash: Hash, done: Done<Option<Token>>) {
        self.look_up(done, move |connection| token::by_hash(connection, &token_hash));
    }

    fn put_token(&self, token: Token, journal: Vec<JournalEntry>, done: Done<()>) {
        self.write(done, move |connection| token::put(connection, &token, journal));
    }

    fn touch_token(&self, id: String, last_used_ms: u64, done: Done<()>) {
        self.write(done, move |connection| token::touch(connection, &id, last_used_ms));
    }

    fn remove_token(&self, id: String, journal: Vec<JournalEntry>, done: Done<bool>) {
        self.write(done, move |connection| token::remove(connection, &id, journal));
    }

    fn put_one_time(&self, link: OneTime, done: Done<()>) {
        self.write(done, move |connection| token::put_one_time(connection, &link));
    }

    fn one_time(&self, token_hash: Hash, done: Done<Option<OneTime>>) {
        self.look_up(done, move |connection| token::one_time(connection, &token_hash));
    }

    fn take_one_time(&self, token_hash: Hash, purpose: String, now_ms: u64, done: Done<Option<OneTime>>) {
        self.write(done, move |connection| token::take_one_time(connection, &token_hash, &purpose, now_ms));
    }

    fn remove_one_time(&self, purpose: String, done: Done<u64>) {
        self.write(done, move |connection| token::remove_one_time(connection, &purpose));
    }

    fn archive(&self, messages: Vec<ArchivedMessage>, done: Done<()>) {
        self.write(done, move |connection| archive::keep(connection, &messages));
    }

    fn archived(&self, filter: ArchiveFilter, after_id: u64, limit: usize, done: Done<Vec<ArchivedMessage>>) {
        self.read(done, move |connection| archive::page(connection, &filter, after_id, limit));
    }

    fn purge_archive(&self, partner: String, before_ms: u64, done: Done<u64>) {
        self.write(done, move |connection| archive::purge(connection, &partner, before_ms));
    }

    fn archive_counts(&self, done: Done<Vec<ArchiveCount>>) {
        self.read(done, archive::counts);
    }

    fn export(&self, with_archive: bool, mut sink: Box<dyn BackupSink>, done: Done<()>) {
        self.copy(done, move |connection| backup::export(connection, with_archive, &mut *sink));
    }

    fn restore(&self, revision: u64, backup: BackupSource, is_replacing: bool, done: Done<()>) {
        self.write(done, move |connection| backup::restore(connection, revision, backup, is_replacing));
    }

    fn copy_to(&self, path: PathBuf, done: Done<()>) {
        self.copy(done, move |connection| backup::copy_to(connection, &path));
    }
}

/// The job of a change, for a test that gives the thread several at once.
#[cfg(test)]
pub(super) fn change_job(
    based_on: u64,
    changes: Vec<DocumentChange>,
    entries: Vec<JournalEntry>,
    done: Done<ChangeOutcome>,
) -> Job {
    Job::Operator(OperatorJob::new(true, done, move |connection| {
        document::change(connection, based_on, &changes, entries)
    }))
}

/// Refuses what has made a table larger than its bound.
pub(super) fn fits(connection: &Connection, what: &str, count: &str, bound: usize) -> Sql<()> {
    let present: i64 = connection.prepare_cached(count)?.query_row([], |row| row.get(0))?;
    Ok(bounds::fits(what, present, bound)?)
}

fn refuse<T>(reason: String) -> Sql<T> {
    Err(Fault::Refused(reason))
}

fn counted(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
