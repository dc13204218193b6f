//! From delivered messages to the archive: a bounded queue and a task that empties it in batches, so that no message
//! ever waits for the disk. What does not fit, or what the store does not take, is counted and told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use causeway_sip::transport::Rarely;
use tokio::sync::mpsc;

use super::store::AsyncStore;
use crate::metrics::Metrics;
use crate::store::operator::{ArchivedMessage, MAX_ARCHIVE_BATCH};

/// Messages that may wait: some seconds of a very busy gateway.
const QUEUE: usize = 10_000;
/// Bytes of texts that may wait, for messages are of very different length.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// How often a batch is offered to a store that fails for a reason that may pass.
const TRIES: u32 = 30;
/// The pause between: with [`TRIES`], longer than a disk takes that is being made room on.
const PAUSE: Duration = Duration::from_secs(2);

/// Takes messages; never waits.
#[derive(Debug)]
pub struct Archive {
    queue: mpsc::Sender<ArchivedMessage>,
    bytes: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    complaints: Rarely,
}

/// Empties the queue.
#[derive(Debug)]
pub struct Archiving {
    queue: mpsc::Receiver<ArchivedMessage>,
    bytes: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    store: AsyncStore,
}

/// Both ends.
pub fn archive(store: AsyncStore, metrics: &Arc<Metrics>) -> (Archive, Archiving) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let bytes = Arc::new(AtomicUsize::new(0));
    let archive = Archive {
        queue: sender,
        bytes: Arc::clone(&bytes),
        metrics: Arc::clone(metrics),
        complaints: Rarely::default(),
    };
    (archive, Archiving { queue: receiver, bytes, metrics: Arc::clone(metrics), store })
}

impl Archive {
    /// Queues a message that was delivered.
    pub fn keep(&mut self, message: ArchivedMessage) {
        let length = message.body.len();
        let has_room = self.bytes.load(Ordering::Relaxed).saturating_add(length) <= QUEUE_BYTES;
        self.bytes.fetch_add(length, Ordering::Relaxed);
        if has_room && self.queue.try_send(message).is_ok() {
            return;
        }
        self.bytes.fetch_sub(length, Ordering::Relaxed);
        self.metrics.archive_lost(1);
        if let Some(left_out) = self.complaints.now(Instant::now()) {
            tracing::error!(left_out, "a message is missing in the archive: the store is slower than messages come");
        }
    }
}

impl Archiving {
    /// Runs until the other end is gone and all is stored.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, MAX_ARCHIVE_BATCH).await > 0 {
            let bytes = batch.iter().map(|message| message.body.len()).sum();
            self.store(std::mem::take(&mut batch)).await;
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    async fn store(&self, batch: Vec<ArchivedMessage>) {
        let messages = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let mut tries = 0;
        loop {
            tries += 1;
            let Err(error) = self.store.archive(batch.clone()).await else {
                return self.metrics.archived(messages);
            };
            if !error.fault.may_pass() || tries == TRIES {
                self.metrics.archive_lost(messages);
                return tracing::error!(%error, messages, "messages are missing in the archive: the store does not take them");
            }
            tracing::warn!(%error, messages, "the archive waits for the store");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::archive::{archived, message};
    use crate::store::operator::{ArchiveFilter, OperatorStore};
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn what_was_queued_is_stored_before_the_task_ends() {
        let folder = std::env::temp_dir().join(format!("causeway-archive-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store: Arc<dyn OperatorStore> = Arc::new(SqliteStore::open(folder.join("a.db")).unwrap());
        let metrics = Arc::new(Metrics::default());
        let (mut archive, archiving) = archive(AsyncStore::new(Arc::clone(&store)), &metrics);
        (1..=2_500).for_each(|at| archive.keep(message("bob@fabrikam.example", at, "text")));
        drop(archive);
        archiving.run().await;
        let filter = ArchiveFilter { from_ms: Some(2_400), ..ArchiveFilter::default() };
        assert_eq!(archived(&*store, filter).len(), 101);
        assert_eq!(metrics.archive_counts(), (2_500, 0));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted() {
        let folder = std::env::temp_dir().join(format!("causeway-archive-full-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = AsyncStore::new(Arc::new(SqliteStore::open(folder.join("a.db")).unwrap()));
        let metrics = Arc::new(Metrics::default());
        let (mut archive, archiving) = archive(store, &metrics);
        let long = "x".repeat(QUEUE_BYTES / 2);
        (0..3).for_each(|_| archive.keep(message("bob@fabrikam.example", 1, &long)));
        assert_eq!(metrics.archive_counts(), (0, 1));
        drop(archive);
        archiving.run().await;
        assert_eq!(metrics.archive_counts(), (2, 1));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
