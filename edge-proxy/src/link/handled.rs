//! How many stanzas of one stream are finished, counted without a gap (XEP-0198, section 4).
//!
//! Gateways finish stanzas in any order; the peer is told a count. Whoever finishes a stanza holds its [`Receipt`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The count of one stream; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Handled(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: Mutex<Count>,
    progress: Notify,
}

#[derive(Debug, Default)]
struct Count {
    received: u64,
    /// All up to here are finished.
    finished: u64,
    /// Finished ones beyond; the link bounds how many can be under way.
    ahead: BTreeSet<u64>,
}

/// One stanza's place in the count.
#[derive(Debug, Clone)]
pub struct Receipt {
    handled: Handled,
    ordinal: u64,
}

impl Handled {
    /// Counts one more stanza.
    pub fn receive(&self) -> Receipt {
        let mut count = self.lock();
        count.received += 1;
        Receipt { handled: self.clone(), ordinal: count.received }
    }

    /// How many have come.
    pub fn received(&self) -> u64 {
        self.lock().received
    }

    /// How many are finished, without a gap.
    pub fn finished(&self) -> u64 {
        self.lock().finished
    }

    /// The same as the protocol counts, modulo 2^32.
    pub fn h(&self) -> u32 {
        u32::try_from(self.finished() & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }

    /// Waits until more are finished than before. Cancel-safe.
    pub async fn progress(&self) {
        self.0.progress.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        self.0.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receipt {
    /// The stanza needs nobody any more: a gateway has finished with it, or its sender has been told why not.
    pub fn finish(self) {
        let mut count = self.handled.lock();
        if self.ordinal != count.finished + 1 {
            count.ahead.insert(self.ordinal);
            return;
        }
        count.finished = self.ordinal;
        loop {
            let next = count.finished + 1;
            if !count.ahead.remove(&next) {
                break;
            }
            count.finished = next;
        }
        drop(count);
        self.handled.0.progress.notify_one();
    }
}
