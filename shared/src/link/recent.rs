//! What arrived lately, so that a stanza sent again after a lost call is not delivered twice. Sans-IO.
//!
//! If this side still works on the first delivery, the second waits for the same outcome; if it finished, the outcome is
//! repeated. What was forgotten is taken for new: the bounds below are far
//! beyond the time in which a call is re-established.

use std::collections::{HashMap, VecDeque, hash_map};
use std::time::{Duration, Instant};

use super::{Failure, Outcome};

/// Stanzas remembered; about 100 bytes each.
pub const RECENT_STANZAS: usize = 65_536;

/// How long a finished stanza is remembered: longer than the other side waits for us when it does not know whether we have
/// delivered it.
pub const RECENT_TIME: Duration = Duration::from_secs(240);

/// Names a stanza for ever: who made the number, and the number.
pub type StanzaKey = (u64, u64);

/// The memory. `W` waits for an outcome.
#[derive(Debug)]
pub struct Recent<W> {
    entries: HashMap<StanzaKey, Entry<W>>,
    order: VecDeque<(Instant, StanzaKey)>,
}

#[derive(Debug)]
enum Entry<W> {
    InProgress(Vec<W>),
    Done,
    /// In a box: failures hold all that is known about an attempt, are few, and would make room for themselves in every
    /// entry.
    Failed(Box<Failure>),
}

impl<W> Entry<W> {
    fn finished(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Failed(failure) => Self::Failed(Box::new(failure.clone())),
        }
    }
}

/// What an arrival is.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<W> {
    /// New: deliver it and report its outcome. The waiter is given back for the first report.
    New(W),
    /// It is being worked on: the waiter is kept and told with the others.
    InProgress,
    /// It is finished already, with this outcome.
    Finished(W, Outcome),
}

impl<W> Default for Recent<W> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<W> Recent<W> {
    /// A stanza arrived. Its key decides whether it is known; the sender's mark does not.
    pub fn arrived(&mut self, key: StanzaKey, waiter: W, now: Instant) -> Arrival<W> {
        self.sweep(now);
        match self.entries.entry(key) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Entry::InProgress(Vec::new()));
                Arrival::New(waiter)
            }
            hash_map::Entry::Occupied(mut known) => match known.get_mut() {
                Entry::InProgress(waiters) => {
                    waiters.push(waiter);
                    Arrival::InProgress
                }
                Entry::Done => Arrival::Finished(waiter, Outcome::Done),
                Entry::Failed(failure) => Arrival::Finished(waiter, Outcome::Failed((**failure).clone())),
            },
        }
    }

    /// A stanza is finished: returns who waited besides the first.
    pub fn finished(&mut self, key: StanzaKey, outcome: &Outcome, now: Instant) -> Vec<W> {
        self.sweep(now);
        match self.entries.insert(key, Entry::finished(outcome)) {
            Some(Entry::InProgress(waiters)) => {
                self.order.push_back((now, key));
                waiters
            }
            Some(Entry::Done | Entry::Failed(_)) => Vec::new(),
            None => {
                self.order.push_back((now, key));
                Vec::new()
            }
        }
    }

    /// Nobody works on a stanza any more and it has no outcome: when it comes again it is new. Who waited is dropped
    /// unanswered, so the sender sends it again.
    pub fn abandoned(&mut self, key: StanzaKey) {
        if let Some(Entry::InProgress(_)) = self.entries.get(&key) {
            self.entries.remove(&key);
        }
    }

    fn sweep(&mut self, now: Instant) {
        while let Some((at, key)) = self.order.front() {
            if self.order.len() < RECENT_STANZAS && now.saturating_duration_since(*at) < RECENT_TIME {
                return;
            }
            if let Some(Entry::Done | Entry::Failed(_)) = self.entries.get(key) {
                self.entries.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]
mod tests {
    use super::*;
    use crate::xmpp::stanza_error::StanzaCondition;

    const KEY: StanzaKey = (1, 2);

    #[test]
    fn what_comes_again_while_it_is_worked_on_waits_for_the_same_outcome() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        assert_eq!(recent.arrived(KEY, 'a', now), Arrival::New('a'));
        assert_eq!(recent.arrived(KEY, 'b', now), Arrival::InProgress);
        assert_eq!(recent.finished(KEY, &Outcome::Done, now), ['b']);
        assert_eq!(recent.arrived(KEY, 'c', now), Arrival::Finished('c', Outcome::Done));
    }

    #[test]
    fn a_finished_stanza_is_forgotten_after_its_time() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.arrived(KEY, 'a', now);
        recent.finished(KEY, &Outcome::Done, now);
        let later = now + RECENT_TIME;
        recent.arrived((1, 3), 'x', later);
        assert_eq!(recent.arrived(KEY, 'b', later), Arrival::New('b'));
    }

    #[test]
    fn what_was_abandoned_is_new_when_it_comes_again() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.arrived(KEY, 'a', now);
        recent.abandoned(KEY);
        assert_eq!(recent.arrived(KEY, 'b', now), Arrival::New('b'));
        recent.finished(KEY, &Outcome::Done, now);
        recent.abandoned(KEY);
        assert_eq!(recent.arrived(KEY, 'c', now), Arrival::Finished('c', Outcome::Done));
    }

    #[test]
    fn a_failure_is_repeated_with_its_reason() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let condition = StanzaCondition::RemoteServerTimeout;
        let failed = Outcome::Failed(Failure { condition, text: "why".to_owned(), verdict: None });
        recent.arrived(KEY, 'a', now);
        recent.finished(KEY, &failed, now);
        assert_eq!(recent.arrived(KEY, 'b', now), Arrival::Finished('b', failed));
    }

    #[test]
    fn a_stanza_that_was_delivered_takes_little_to_remember() {
        assert!(size_of::<(StanzaKey, Entry<u64>)>() <= 48);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        for number in 0..RECENT_STANZAS as u64 + 100 {
            recent.arrived((1, number), (), now);
            recent.finished((1, number), &Outcome::Done, now);
        }
        assert!(recent.entries.len() <= RECENT_STANZAS + 1);
    }
}
