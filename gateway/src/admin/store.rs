//! The operator's part of the store for those who await: each verb as an `async fn`. Backups are in [`super::backup`].

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::journal::{Hash, JournalEntry, JournalRecord};
use crate::store::operator::*;
use crate::store::{Done, StoreError, StoreFault};

/// An [`OperatorStore`] whose answers can be awaited. Its verbs are explained there.
#[derive(Clone)]
pub struct AsyncStore {
    store: Arc<dyn OperatorStore>,
}

impl std::fmt::Debug for AsyncStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AsyncStore")
    }
}

/// What a verb answers.
pub type Answer<T> = Result<T, StoreError>;

impl AsyncStore {
    /// Wraps a store.
    pub fn new(store: Arc<dyn OperatorStore>) -> Self {
        Self { store }
    }

    async fn ask<T: Send + 'static>(&self, call: impl FnOnce(&dyn OperatorStore, Done<T>)) -> Answer<T> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone away: then nobody wants the answer.
        call(&*self.store, Box::new(move |result| drop(answer.send(result))));
        answered.await.unwrap_or_else(|_| {
            let (place, detail) = ("the store".into(), "it ended without an answer".into());
            Err(StoreError { place, fault: StoreFault::Closed, detail })
        })
    }

    /// See [`OperatorStore::operator_data`].
    pub async fn operator_data(&self) -> Answer<OperatorData> {
        self.ask(|store, done| store.operator_data(done)).await
    }

    /// See [`OperatorStore::revision`].
    pub async fn revision(&self) -> Answer<u64> {
        self.ask(|store, done| store.revision(done)).await
    }

    /// See [`OperatorStore::change_operator_data`].
    pub async fn change_operator_data(
        &self,
        based_on: u64,
        changes: Vec<DocumentChange>,
        journal: Vec<JournalEntry>,
    ) -> Answer<ChangeOutcome> {
        self.ask(|store, done| store.change_operator_data(based_on, changes, journal, done)).await
    }

    /// See [`OperatorStore::append_journal`].
    pub async fn append_journal(&self, entries: Vec<JournalEntry>) -> Answer<u64> {
        self.ask(|store, done| store.append_journal(entries, done)).await
    }

    /// See [`OperatorStore::journal`].
    pub async fn journal(&self, after_seq: u64, limit: usize) -> Answer<Vec<JournalRecord>> {
        self.ask(|store, done| store.journal(after_seq, limit, done)).await
    }

    /// See [`OperatorStore::journal_before`].
    pub async fn journal_before(&self, seq: Option<u64>, limit: usize) -> Answer<Vec<JournalRecord>> {
        self.ask(|store, done| store.journal_before(seq, limit, done)).await
    }

    /// See [`OperatorStore::journal_end`].
    pub async fn journal_end(&self) -> Answer<(u64, Hash)> {
        self.ask(|store, done| store.journal_end(done)).await
    }

    /// See [`OperatorStore::accounts`].
    pub async fn accounts(&self) -> Answer<Vec<Account>> {
        self.ask(|store, done| store.accounts(done)).await
    }

    /// See [`OperatorStore::account`].
    pub async fn account(&self, name: String) -> Answer<Option<Account>> {
        self.ask(|store, done| store.account(name, done)).await
    }

    /// See [`OperatorStore::account_of_subject`].
    pub async fn account_of_subject(&self, subject: String) -> Answer<Option<Account>> {
        self.ask(|store, done| store.account_of_subject(subject, done)).await
    }

    /// See [`OperatorStore::put_account`].
    pub async fn put_account(&self, account: Account, along: Along) -> Answer<PutOutcome> {
        self.ask(|store, done| store.put_account(account, along, done)).await
    }

    /// See [`OperatorStore::remove_account`].
    pub async fn remove_account(&self, name: String, version: u64, along: Along) -> Answer<RemoveOutcome> {
        self.ask(|store, done| store.remove_account(name, version, along, done)).await
    }

    /// See [`OperatorStore::note_sign_in_failure`].
    pub async fn note_sign_in_failure(&self, name: String, now_ms: u64, rule: LockOut) -> Answer<Option<Failures>> {
        self.ask(|store, done| store.note_sign_in_failure(name, now_ms, rule, done)).await
    }

    /// See [`OperatorStore::clear_sign_in_failures`].
    pub async fn clear_sign_in_failures(&self, name: String) -> Answer<()> {
        self.ask(|store, done| store.clear_sign_in_failures(name, done)).await
    }

    /// See [`OperatorStore::put_login`].
    pub async fn put_login(&self, login: Login) -> Answer<()> {
        self.ask(|store, done| store.put_login(login, done)).await
    }

    /// See [`OperatorStore::login`].
    pub async fn login(&self, token_hash: Hash) -> Answer<Option<Login>> {
        self.ask(|store, done| store.login(token_hash, done)).await
    }

    /// See [`OperatorStore::touch_login`].
    pub async fn touch_login(&self, token_hash: Hash, last_seen_ms: u64, expires_ms: u64) -> Answer<()> {
        self.ask(|store, done| store.touch_login(token_hash, last_seen_ms, expires_ms, done)).await
    }

    /// See [`OperatorStore::remove_login`].
    pub async fn remove_login(&self, token_hash: Hash) -> Answer<bool> {
        self.ask(|store, done| store.remove_login(token_hash, done)).await
    }

    /// See [`OperatorStore::remove_logins_of`].
    pub async fn remove_logins_of(&self, account: String, except: Option<Hash>) -> Answer<u64> {
        self.ask(|store, done| store.remove_logins_of(account, except, done)).await
    }

    /// See [`OperatorStore::purge_expired`].
    pub async fn purge_expired(&self, now_ms: u64) -> Answer<u64> {
        self.ask(|store, done| store.purge_expired(now_ms, done)).await
    }

    /// See [`OperatorStore::tokens`].
    pub async fn tokens(&self) -> Answer<Vec<Token>> {
        self.ask(|store, done| store.tokens(done)).await
    }

    /// See [`OperatorStore::token`].
    pub async fn token(&self, token_hash: Hash) -> Answer<Option<Token>> {
        self.ask(|store, done| store.token(token_hash, done)).await
    }

    /// See [`OperatorStore::put_token`].
    pub async fn put_token(&self, token: Token, journal: Vec<JournalEntry>) -> Answer<()> {
        self.ask(|store, done| store.put_token(token, journal, done)).await
    }

    /// See [`OperatorStore::touch_token`].
    pub async fn touch_token(&self, id: String, last_used_ms: u64) -> Answer<()> {
        self.ask(|store, done| store.touch_token(id, last_used_ms, done)).await
    }

    /// See [`OperatorStore::remove_token`].
    pub async fn remove_token(&self, id: String, journal: Vec<JournalEntry>) -> Answer<bool> {
        self.ask(|store, done| store.remove_token(id, journal, done)).await
    }

    /// See [`OperatorStore::put_one_time`].
    pub async fn put_one_time(&self, link: OneTime) -> Answer<()> {
        self.ask(|store, done| store.put_one_time(link, done)).await
    }

    /// See [`OperatorStore::one_time`].
    pub async fn one_time(&self, token_hash: Hash) -> Answer<Option<OneTime>> {
        self.ask(|store, done| store.one_time(token_hash, done)).await
    }

    /// See [`OperatorStore::take_one_time`].
    pub async fn take_one_time(&self, token_hash: Hash, purpose: String, now_ms: u64) -> Answer<Option<OneTime>> {
        self.ask(|store, done| store.take_one_time(token_hash, purpose, now_ms, done)).await
    }

    /// See [`OperatorStore::remove_one_time`].
    pub async fn remove_one_time(&self, purpose: String) -> Answer<u64> {
        self.ask(|store, done| store.remove_one_time(purpose, done)).await
    }

    /// See [`OperatorStore::archive`].
    pub async fn archive(&self, messages: Vec<ArchivedMessage>) -> Answer<()> {
        self.ask(|store, done| store.archive(messages, done)).await
    }

    /// See [`OperatorStore::archived`].
    pub async fn archived(&self, filter: ArchiveFilter, after_id: u64, limit: usize) -> Answer<Vec<ArchivedMessage>> {
        self.ask(|store, done| store.archived(filter, after_id, limit, done)).await
    }

    /// See [`OperatorStore::purge_archive`].
    pub async fn purge_archive(&self, partner: String, before_ms: u64) -> Answer<u64> {
        self.ask(|store, done| store.purge_archive(partner, before_ms, done)).await
    }

    /// See [`OperatorStore::archive_counts`].
    pub async fn archive_counts(&self) -> Answer<Vec<ArchiveCount>> {
        self.ask(|store, done| store.archive_counts(done)).await
    }

    /// See [`OperatorStore::copy_to`].
    pub async fn copy_to(&self, path: PathBuf) -> Answer<()> {
        self.ask(|store, done| store.copy_to(path, done)).await
    }

    /// See [`OperatorStore::export`].
    pub(super) async fn export(&self, with_archive: bool, sink: Box<dyn BackupSink>) -> Answer<()> {
        self.ask(|store, done| store.export(with_archive, sink, done)).await
    }

    /// See [`OperatorStore::restore`].
    pub(super) async fn restore(&self, revision: u64, backup: BackupSource, is_replacing: bool) -> Answer<()> {
        self.ask(|store, done| store.restore(revision, backup, is_replacing, done)).await
    }
}
