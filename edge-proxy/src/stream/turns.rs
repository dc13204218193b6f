//! One verification of a pair at a time (XEP-0220, section 2.2.1): whoever opens many streams in the name of a domain
//! does not make us dial that domain as often at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use causeway_shared::domain::DomainPair;
use tokio::sync::Notify;

/// Who may have, or wait for, the turn of one pair: the streams of a cluster that come up together. More would take all
/// places from other pairs.
const MAX_LINE: usize = 8;

/// Who has a turn, and how many stand in line for it. The caller bounds how long.
#[derive(Debug, Default)]
pub struct Turns {
    lines: Mutex<HashMap<DomainPair, Line>>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Line {
    /// Those who wait, and the one whose turn it is.
    standing: usize,
    is_taken: bool,
}

/// A place in line, and the turn when it has come; given up when dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    pair: DomainPair,
    has_come: bool,
}

impl Turns {
    /// A place in the line of a pair; nothing where the line is full.
    pub fn line_up(&self, pair: &DomainPair) -> Option<Turn<'_>> {
        let mut lines = self.lock();
        let line = lines.entry(pair.clone()).or_default();
        if line.standing >= MAX_LINE {
            return None;
        }
        line.standing += 1;
        Some(Turn { turns: self, pair: pair.clone(), has_come: false })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DomainPair, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Waits until nobody else has the pair. Cancel-safe.
    pub async fn come(&mut self) {
        loop {
            let mut freed = std::pin::pin!(self.turns.freed.notified());
            // Before the look, or what is freed in between would be missed.
            freed.as_mut().enable();
            if let Some(line) = self.turns.lock().get_mut(&self.pair)
                && !line.is_taken
            {
                (line.is_taken, self.has_come) = (true, true);
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut lines = self.turns.lock();
        if let Some(line) = lines.get_mut(&self.pair) {
            line.standing = line.standing.saturating_sub(1);
            line.is_taken &= !self.has_come;
            if line.standing == 0 {
                lines.remove(&self.pair);
            }
        }
        drop(lines);
        if self.has_come {
            self.turns.freed.notify_waiters();
        }
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

    async fn waits(turn: &mut Turn<'_>) -> bool {
        let mut coming = pin!(turn.come());
        poll_fn(|context| Poll::Ready(coming.as_mut().poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn a_pair_has_one_turn_at_a_time_and_others_do_not_wait_for_it() {
        let turns = Turns::default();
        let [mut first, mut second] = [(); 2].map(|()| turns.line_up(&pair(REMOTE)).unwrap());
        let mut other = turns.line_up(&pair(OTHER)).unwrap();
        first.come().await;
        other.come().await;
        assert!(waits(&mut second).await);
        drop(first);
        assert!(!waits(&mut second).await);
        drop((second, other));
        assert!(turns.lock().is_empty(), "nothing is kept of those who left");
    }

    #[tokio::test]
    async fn a_line_has_an_end_and_whoever_leaves_it_makes_room() {
        let turns = Turns::default();
        let mut line: Vec<_> = (0..MAX_LINE).map(|_| turns.line_up(&pair(REMOTE)).unwrap()).collect();
        line[0].come().await;
        assert!(turns.line_up(&pair(REMOTE)).is_none());
        assert!(turns.line_up(&pair(OTHER)).is_some());
        line.pop();
        let mut late = turns.line_up(&pair(REMOTE)).unwrap();
        assert!(waits(&mut late).await, "leaving the line is not having had the turn");
        drop(line);
        assert!(!waits(&mut late).await);
    }
}
