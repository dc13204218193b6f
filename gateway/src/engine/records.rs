//! The records in memory: a cache of the store, and the rule that one event at a time changes a record.
//!
//! An event runs on a copy. The copy is committed with the version it started from, and only then are the event's
//! effects released: what the world sees is always in the store already. When another replica was faster, the commit
//! is refused, the record is loaded afresh and the same event runs again. Events that arrive meanwhile wait in order.
//!
//! Sans-IO and ignorant of presence: `P` is the record, `E` an event, `O` an effect.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Events that may wait for one record; a load or commit takes milliseconds.
pub(crate) const WAITING_PER_RECORD: usize = 256;

/// Records kept in memory. About 1 kB each; beyond it, settled ones are forgotten and loaded when next needed.
pub(crate) const RECORDS_IN_MEMORY: usize = 100_000;

/// How often the store may fail for one record before what waits for it is handed back. With the pauses between, that is
/// less time than edges and SIP peers wait.
pub(crate) const STORE_TRIES: u8 = 5;

/// What becomes of a record that the store could not load or commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Setback<E> {
    /// Everything waits on, the event of the commit in front: load the record after a pause.
    Again,
    /// Everything that waited is handed back, in order, and the record is forgotten.
    GivenUp(Vec<E>),
}

/// What became of an event that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer<E> {
    /// The record is not in memory: load it; the event waits.
    Load,
    /// The record is ready: call [`Records::next`].
    Run,
    /// The record is being loaded or committed; the event waits.
    Queued,
    /// Too many events wait for this record.
    Refused(E),
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Records<K, P, E, O> {
    entries: HashMap<K, Entry<P, E, O>>,
}

#[derive(Debug)]
struct Entry<P, E, O> {
    state: State<P, E, O>,
    waiting: VecDeque<E>,
    /// Of the store, since it last did what this record needed.
    failures: u8,
}

#[derive(Debug)]
enum State<P, E, O> {
    Loading,
    Ready(P),
    /// `event` is kept for a second run if the commit is refused.
    Committing {
        next: P,
        event: E,
        effects: Vec<O>,
    },
}

impl<K, P, E, O> Default for Records<K, P, E, O> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<K: Eq + Hash + Clone, P: Clone, E, O> Records<K, P, E, O> {
    /// Brings an event to the record of `key`.
    pub(crate) fn offer(&mut self, key: &K, event: E) -> Offer<E> {
        if let Some(entry) = self.entries.get_mut(key) {
            if entry.waiting.len() >= WAITING_PER_RECORD {
                return Offer::Refused(event);
            }
            entry.waiting.push_back(event);
            return if matches!(entry.state, State::Ready(_)) { Offer::Run } else { Offer::Queued };
        }
        self.forget_settled();
        self.entries
            .insert(key.clone(), Entry { state: State::Loading, waiting: VecDeque::from([event]), failures: 0 });
        Offer::Load
    }

    /// The record, if it is in memory and nothing is under way: for decisions that change nothing.
    pub(crate) fn settled(&self, key: &K) -> Option<&P> {
        match self.entries.get(key) {
            Some(Entry { state: State::Ready(record), waiting, .. }) if waiting.is_empty() => Some(record),
            Some(_) | None => None,
        }
    }

    /// The record came from the store.
    pub(crate) fn loaded(&mut self, key: &K, record: P) {
        if let Some(entry) = self.entries.get_mut(key)
            && matches!(entry.state, State::Loading)
        {
            entry.state = State::Ready(record);
        }
    }

    /// The store could not load or commit the record.
    pub(crate) fn failed(&mut self, key: &K, may_pass: bool) -> Setback<E> {
        let Some(entry) = self.entries.get_mut(key) else { return Setback::GivenUp(Vec::new()) };
        match std::mem::replace(&mut entry.state, State::Loading) {
            State::Committing { event, .. } => entry.waiting.push_front(event),
            State::Loading => {}
            state @ State::Ready(_) => {
                entry.state = state;
                return Setback::GivenUp(Vec::new());
            }
        }
        entry.failures = entry.failures.saturating_add(1);
        if may_pass && entry.failures < STORE_TRIES {
            return Setback::Again;
        }
        Setback::GivenUp(self.entries.remove(key).map(|entry| entry.waiting.into()).unwrap_or_default())
    }

    /// The next event of a ready record, with a copy of the record to run it on. The caller
    /// calls [`Records::commit`] if the event changed it.
    pub(crate) fn next(&mut self, key: &K) -> Option<(P, E)> {
        let entry = self.entries.get_mut(key)?;
        let State::Ready(record) = &entry.state else { return None };
        let Some(event) = entry.waiting.pop_front() else {
            entry.failures = 0;
            return None;
        };
        Some((record.clone(), event))
    }

    /// The event changed the record: it is committed next, and its effects wait for that.
    pub(crate) fn commit(&mut self, key: &K, next: P, event: E, effects: Vec<O>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.state = State::Committing { next, event, effects };
        }
    }

    /// The commit is on disk under the record that `settle` makes of it (its new version): returns the effects.
    pub(crate) fn committed(&mut self, key: &K, settle: impl FnOnce(&mut P)) -> Option<(E, Vec<O>)> {
        let entry = self.entries.get_mut(key)?;
        match std::mem::replace(&mut entry.state, State::Loading) {
            State::Committing { mut next, event, effects } => {
                settle(&mut next);
                entry.failures = 0;
                entry.state = State::Ready(next);
                Some((event, effects))
            }
            state @ (State::Loading | State::Ready(_)) => {
                entry.state = state;
                None
            }
        }
    }

    /// Another replica changed the record first: the event waits in front again and the record must be loaded.
    /// Returns whether to load.
    pub(crate) fn conflicted(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        match std::mem::replace(&mut entry.state, State::Loading) {
            State::Committing { event, .. } => {
                entry.waiting.push_front(event);
                true
            }
            state @ (State::Loading | State::Ready(_)) => {
                entry.state = state;
                false
            }
        }
    }

    /// Makes room: records that nobody waits for are forgotten, a quarter of the cache at a time.
    fn forget_settled(&mut self) {
        if self.entries.len() < RECORDS_IN_MEMORY {
            return;
        }
        let mut excess = RECORDS_IN_MEMORY / 4;
        self.entries.retain(|_, entry| {
            let settled = matches!(entry.state, State::Ready(_)) && entry.waiting.is_empty();
            let forget = settled && excess > 0;
            excess -= usize::from(forget);
            !forget
        });
    }

    /// Records that are being loaded or committed. Looks at all of them.
    pub(crate) fn under_way(&self) -> usize {
        self.entries.values().filter(|entry| !matches!(entry.state, State::Ready(_))).count()
    }

    /// The keys in memory that fulfil a condition.
    pub(crate) fn keys_where(&self, condition: impl Fn(&K) -> bool) -> Vec<K> {
        self.entries.keys().filter(|key| condition(key)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = Records<&'static str, u32, char, char>;

    fn step(table: &mut Table) -> (u32, char) {
        table.next(&"pair").expect("an event is due")
    }

    #[test]
    fn the_first_event_loads_the_record_and_later_ones_wait_in_order() {
        let mut table = Table::default();
        assert_eq!(table.offer(&"pair", 'a'), Offer::Load);
        assert_eq!(table.offer(&"pair", 'b'), Offer::Queued);
        assert_eq!(table.next(&"pair"), None);
        table.loaded(&"pair", 7);
        assert_eq!(step(&mut table), (7, 'a'));
        assert_eq!(step(&mut table), (7, 'b'));
        assert_eq!(table.next(&"pair"), None);
    }

    // Rule: life.stored-first
    #[test]
    fn effects_are_released_only_by_the_commit() {
        let mut table = Table::default();
        table.offer(&"pair", 'a');
        table.loaded(&"pair", 7);
        let (record, event) = step(&mut table);
        table.commit(&"pair", record + 1, event, vec!['x']);
        assert_eq!(table.offer(&"pair", 'b'), Offer::Queued);
        assert_eq!(table.settled(&"pair"), None);
        assert_eq!(table.committed(&"pair", |record| *record += 100), Some(('a', vec!['x'])));
        assert_eq!(step(&mut table), (108, 'b'));
    }

    #[test]
    fn a_conflict_runs_the_same_event_again_on_the_fresh_record() {
        let mut table = Table::default();
        table.offer(&"pair", 'a');
        table.loaded(&"pair", 7);
        let (record, event) = step(&mut table);
        table.commit(&"pair", record + 1, event, vec!['x']);
        table.offer(&"pair", 'b');
        assert!(table.conflicted(&"pair"));
        table.loaded(&"pair", 50);
        assert_eq!(step(&mut table), (50, 'a'));
        assert_eq!(step(&mut table), (50, 'b'));
    }

    // Rule: life.store-failure
    // Rule: life.store-failure
    #[test]
    fn a_store_that_fails_is_tried_again_and_then_everything_is_handed_back() {
        let mut table = Table::default();
        table.offer(&"pair", 'a');
        table.offer(&"pair", 'b');
        assert_eq!(table.failed(&"pair", true), Setback::Again);
        table.loaded(&"pair", 7);
        let (record, event) = step(&mut table);
        table.commit(&"pair", record, event, vec!['x']);
        table.offer(&"pair", 'c');
        for _ in 2..STORE_TRIES {
            assert_eq!(table.failed(&"pair", true), Setback::Again);
        }
        assert_eq!(table.failed(&"pair", true), Setback::GivenUp(vec!['a', 'b', 'c']));
        assert!(table.entries.is_empty());
        // Where trying again is of no use, at once.
        table.offer(&"pair", 'd');
        assert_eq!(table.failed(&"pair", false), Setback::GivenUp(vec!['d']));
    }

    #[test]
    fn one_record_cannot_queue_without_bound() {
        let mut table = Table::default();
        for _ in 0..WAITING_PER_RECORD {
            table.offer(&"pair", 'a');
        }
        assert_eq!(table.offer(&"pair", 'z'), Offer::Refused('z'));
    }
}
