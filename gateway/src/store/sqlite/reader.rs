//! The thread for what takes long and changes nothing: pages of journal and archive, all documents, copies.
//!
//! It has a connection of its own. A result that was called back by the other thread is committed, so that whoever asks
//! here afterwards sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::operator::OperatorJob;
use super::{NOTHING_CHANGED, connect, place, start};
use crate::store::{StoreError, StoreFault};

/// Reads that may wait: each is a person or a program who looks at something.
const QUEUE: usize = 256;

/// The thread, seen from outside. Dropping it finishes what waits.
#[derive(Debug)]
pub(super) struct Reader {
    path: Arc<PathBuf>,
    jobs: Option<SyncSender<OperatorJob>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts it on a file that is up to date.
    pub(super) fn open(path: &Arc<PathBuf>) -> Result<Self, StoreError> {
        let connection = connect(path)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let own = Arc::clone(path);
        let thread = start(path, "store-reader", move || run(&connection, &own, &queue))?;
        Ok(Self { path: Arc::clone(path), jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) fn submit(&self, job: OperatorJob) {
        let (job, fault) = match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) | None => return,
            Some(Err(TrySendError::Full(job))) => (job, StoreFault::Overloaded),
            Some(Err(TrySendError::Disconnected(job))) => (job, StoreFault::Closed),
        };
        job.fail(StoreError { place: place(&self.path), fault, detail: NOTHING_CHANGED.into() });
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own message.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, path: &Arc<PathBuf>, queue: &Receiver<OperatorJob>) {
    while let Ok(job) = queue.recv() {
        job.answer(connection, path);
    }
}
