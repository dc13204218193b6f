//! The pool's part of the store for those who await, each verb with its patience.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::pool::{Duty, Hints, PoolStore, SnapshotAsk};
use crate::store::{Done, StoreError};

/// How long an answer may take. Whoever waits longer does without it, and asks again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PoolFault {
    /// The store says no.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It says nothing.
    #[error("the store does not answer")]
    Silent,
}

/// A [`PoolStore`] whose answers can be awaited. Its verbs are explained there.
#[derive(Clone)]
pub struct AsyncPool {
    store: Arc<dyn PoolStore>,
    /// Names this process where it holds a duty.
    holder: Arc<str>,
}

impl std::fmt::Debug for AsyncPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncPool").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl AsyncPool {
    /// Wraps a store. `holder` names this process: another one with the same `gateway_id` holds no duty of ours.
    pub fn new(store: Arc<dyn PoolStore>, holder: &str) -> Self {
        Self { store, holder: holder.into() }
    }

    async fn ask<T: Send + 'static>(&self, call: impl FnOnce(&dyn PoolStore, Done<T>)) -> Result<T, PoolFault> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone away: then nobody wants the answer.
        call(&*self.store, Box::new(move |result| drop(answer.send(result))));
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) | Err(_) => Err(PoolFault::Silent),
        }
    }

    /// See [`PoolStore::report_replica`].
    pub async fn report_replica(
        &self,
        id: String,
        now_ms: u64,
        report: String,
        forget_before_ms: u64,
    ) -> Result<Vec<(String, u64, String)>, PoolFault> {
        self.ask(|store, done| store.report_replica(id, now_ms, report, forget_before_ms, done)).await
    }

    /// See [`PoolStore::remove_replica`].
    pub async fn remove_replica(&self, id: String) -> Result<(), PoolFault> {
        self.ask(|store, done| store.remove_replica(id, done)).await
    }

    /// Whether this process does a duty on this occasion, from now until then. See [`PoolStore::claim_duty`].
    pub async fn is_ours(&self, duty: &str, token: &str, now_ms: u64, until_ms: u64) -> Result<bool, PoolFault> {
        let holder = self.holder.to_string();
        let (duty, token) = (duty.to_owned(), token.to_owned());
        let claimed = self.ask(|store, done| store.claim_duty(duty, token, holder, now_ms, until_ms, done)).await?;
        match claimed {
            Duty::Mine => Ok(true),
            Duty::Elsewhere { .. } | Duty::Done => Ok(false),
        }
    }

    /// See [`PoolStore::finish_duty`].
    pub async fn finish_duty(&self, duty: &str, token: &str) -> Result<(), PoolFault> {
        let (duty, token) = (duty.to_owned(), token.to_owned());
        self.ask(|store, done| store.finish_duty(duty, token, done)).await
    }

    /// Gives back the duties of this process. See [`PoolStore::give_back_duties`].
    pub async fn give_back_duties(&self, kept: &str) -> Result<(), PoolFault> {
        let (holder, kept) = (self.holder.to_string(), kept.to_owned());
        self.ask(|store, done| store.give_back_duties(holder, kept, done)).await
    }

    /// See [`PoolStore::secret`].
    pub async fn secret(&self, name: &str, candidate: Vec<u8>) -> Result<Vec<u8>, PoolFault> {
        self.ask(|store, done| store.secret(name.to_owned(), candidate, done)).await
    }

    /// See [`PoolStore::snapshot_version`].
    pub async fn snapshot_version(&self, ask: SnapshotAsk) -> Result<Option<u64>, PoolFault> {
        self.ask(|store, done| store.snapshot_version(ask, done)).await
    }

    /// See [`PoolStore::clock`].
    pub async fn clock(&self) -> Result<u64, PoolFault> {
        self.ask(|store, done| store.clock(done)).await
    }

    /// See [`PoolStore::schema`].
    pub fn schema(&self) -> u32 {
        self.store.schema()
    }

    /// See [`PoolStore::is_shared`].
    pub fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// See [`PoolStore::hints`].
    pub fn hints(&self) -> Hints {
        self.store.hints()
    }
}
