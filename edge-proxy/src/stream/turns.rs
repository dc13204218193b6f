//! One verification of a pair at a time (XEP-0220, section 2.2.1): whoever opens many streams in the name of a domain
//! does not make us dial that domain as often at once.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use causeway_shared::domain::DomainPair;
use tokio::sync::Notify;

/// Who has a turn. The caller bounds how many wait, and how long.
#[derive(Debug, Default)]
pub struct Turns {
    taken: Mutex<HashSet<DomainPair>>,
    freed: Notify,
}

/// A turn, given back when dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    pair: DomainPair,
}

impl Turns {
    /// Waits until nobody else has the pair. Cancel-safe.
    pub async fn take(&self, pair: &DomainPair) -> Turn<'_> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // Before the look, or what is freed in between would be missed.
            freed.as_mut().enable();
            if self.lock().insert(pair.clone()) {
                return Turn { turns: self, pair: pair.clone() };
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<DomainPair>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.pair);
        self.turns.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::stream::test_support::{LOCAL, OTHER, REMOTE, domain};

    fn pair(remote: &str) -> DomainPair {
        DomainPair { local: domain(LOCAL), remote: domain(remote) }
    }

    #[tokio::test]
    async fn a_pair_has_one_turn_at_a_time_and_others_do_not_wait_for_it() {
        let turns = Turns::default();
        let first = turns.take(&pair(REMOTE)).await;
        let _other = turns.take(&pair(OTHER)).await;
        let same = pair(REMOTE);
        let mut second = pin!(turns.take(&same));
        let waits = poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending())).await;
        assert!(waits);
        drop(first);
        second.await;
    }
}
