//! What a fake peer has received, in order, for tests to look through and to wait on.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::within;

/// Everything received so far. Cheap to clone.
#[derive(Debug)]
pub struct Inbox<T> {
    received: Arc<Mutex<Vec<T>>>,
    news: Arc<Notify>,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self { received: Arc::clone(&self.received), news: Arc::clone(&self.news) }
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { received: Arc::default(), news: Arc::default() }
    }
}

impl<T: Clone> Inbox<T> {
    /// Something arrived.
    pub fn put(&self, item: T) {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        self.news.notify_waiters();
    }

    /// All that arrived.
    pub fn all(&self) -> Vec<T> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that arrived and fits.
    pub fn matching(&self, fits: impl Fn(&T) -> bool) -> Vec<T> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|item| fits(item)).cloned().collect()
    }

    /// Waits for the first that fits; one that has arrived already counts.
    pub async fn wait(&self, what: &str, fits: impl Fn(&T) -> bool) -> io::Result<T> {
        within(what, async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = self.matching(&fits).into_iter().next() {
                    return Ok(found);
                }
                news.await;
            }
        })
        .await
    }
}
