//! The records in memory: a cache of the store, and the rule that one event at a time changes a record.
//!
//! An event runs on a copy. The copy is committed with the version it started from, and only then are the event's
//! effects released: what the world sees is always in the store already. When another replica was faster, the commit
//! is refused, the record is loaded afresh and the same event runs again. Events that arrive meanwhile wait in order.
//! Where other replicas change records too, what is in memory is believed for a moment only ([`TRUST`]) and then loaded
//! again, so that a decision that changes nothing is never based on what was true long ago. What may be the answer to
//! what another replica has just done is judged by nothing older than itself: on the older record it would mean nothing,
//! change nothing, and be lost.
//!
//! Sans-IO and ignorant of presence: `P` is the record, `E` an event, `O` an effect.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Events that may wait for one record; a load or commit takes milliseconds.
pub(crate) const WAITING_PER_RECORD: usize = 256;

/// Records kept in memory. About 1 kB each; beyond it, settled ones are forgotten and loaded when next needed.
pub(crate) const RECORDS_IN_MEMORY: usize = 100_000;

/// How often the store may fail for one record before what waits for it is handed back. With the pauses between, that is
/// less time than edges and SIP peers wait.
pub(crate) const STORE_TRIES: u8 = 5;

/// How long a record is believed where other replicas may change it. A commit notices every change that came between, so
/// this bounds only how old the view of an event can be that changes nothing: no older than the event could have come.
pub(crate) const TRUST: Duration = Duration::from_secs(1);

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
    /// Those of them that are being loaded or committed: asked for in each turn, so it must not mean looking at all.
    under_way: usize,
    /// How long a record is believed; `None` where nobody else changes records.
    trust: Option<Duration>,
}

#[derive(Debug)]
struct Entry<P, E, O> {
    state: State<P, E, O>,
    /// Each with whether it is an answer.
    waiting: VecDeque<(E, bool)>,
    /// How many of them were there when the store was last asked: for these the record is not too old.
    sure: usize,
    /// Of the store, since it last did what this record needed.
    failures: u8,
}

#[derive(Debug)]
enum State<P, E, O> {
    /// With the record as it was believed to be before.
    Loading(Option<P>),
    /// As it was in the store at this moment.
    Ready(P, Instant),
    /// `event` is kept for a second run if the commit is refused.
    Committing { before: P, next: P, event: E, effects: Vec<O> },
}

impl<K, P, E, O> Default for Records<K, P, E, O> {
    fn default() -> Self {
        Self { entries: HashMap::new(), under_way: 0, trust: None }
    }
}

impl<P, E, O> Entry<P, E, O> {
    /// Whether nothing is under way, so that the record may be forgotten.
    fn is_idle(&self) -> bool {
        matches!(self.state, State::Ready(..)) && self.waiting.is_empty()
    }

    /// Whether the next event is an answer, and the record may be older.
    fn is_unsure(&self) -> bool {
        self.sure == 0 && self.waiting.front().is_some_and(|(_, is_answer)| *is_answer)
    }

    fn load_again(&mut self) {
        self.sure = self.waiting.len();
        if let State::Ready(before, _) = std::mem::replace(&mut self.state, State::Loading(None)) {
            self.state = State::Loading(Some(before));
        }
    }
}

impl<K: Eq + Hash + Clone, P: Clone, E, O> Records<K, P, E, O> {
    /// Whether others change records too.
    pub(crate) fn share(&mut self, is_shared: bool) {
        self.trust = is_shared.then_some(TRUST);
    }

    /// Brings an event to the record of `key`. One that is an `answer` believes no record that was loaded before it came, where
    /// others change records.
    pub(crate) fn offer(&mut self, key: &K, event: E, is_answer: bool, now: Instant) -> Offer<E> {
        let trust = self.trust.map(|trust| if is_answer { Duration::ZERO } else { trust });
        if let Some(entry) = self.entries.get_mut(key) {
            if entry.waiting.len() >= WAITING_PER_RECORD {
                return Offer::Refused(event);
            }
            let is_idle = entry.is_idle();
            entry.waiting.push_back((event, is_answer));
            return match &entry.state {
                State::Ready(_, at) if is_idle && is_old(*at, trust, now) => {
                    entry.load_again();
                    self.under_way += 1;
                    Offer::Load
                }
                State::Ready(..) => Offer::Run,
                State::Loading(_) | State::Committing { .. } => Offer::Queued,
            };
        }
        self.forget_settled();
        let waiting = VecDeque::from([(event, is_answer)]);
        self.entries.insert(key.clone(), Entry { state: State::Loading(None), waiting, sure: 1, failures: 0 });
        self.under_way += 1;
        Offer::Load
    }

    /// The record, if it is in memory, to be believed, and nothing is under way: for decisions that change nothing.
    pub(crate) fn settled(&self, key: &K, now: Instant) -> Option<&P> {
        match self.entries.get(key) {
            Some(Entry { state: State::Ready(record, at), waiting, .. }) => {
                (waiting.is_empty() && !is_old(*at, self.trust, now)).then_some(record)
            }
            Some(_) | None => None,
        }
    }

    /// The record, if it is in memory and nothing is under way, however old: for a guess that costs nothing if it is wrong.
    pub(crate) fn glance(&self, key: &K) -> Option<&P> {
        match self.entries.get(key) {
            Some(Entry { state: State::Ready(record, _), waiting, .. }) if waiting.is_empty() => Some(record),
            Some(_) | None => None,
        }
    }

    /// The record came from the store. Returns what it was believed to be before.
    pub(crate) fn loaded(&mut self, key: &K, record: P, now: Instant) -> Option<P> {
        let entry = self.entries.get_mut(key)?;
        match &mut entry.state {
            State::Loading(before) => {
                let before = before.take();
                entry.state = State::Ready(record, now);
                self.under_way -= 1;
                before
            }
            State::Ready(..) | State::Committing { .. } => None,
        }
    }

    /// The store could not load or commit the record.
    pub(crate) fn failed(&mut self, key: &K, may_pass: bool) -> Setback<E> {
        let Some(entry) = self.entries.get_mut(key) else { return Setback::GivenUp(Vec::new()) };
        match std::mem::replace(&mut entry.state, State::Loading(None)) {
            State::Committing { before, event, .. } => {
                entry.waiting.push_front((event, true));
                entry.state = State::Loading(Some(before));
            }
            State::Loading(before) => entry.state = State::Loading(before),
            state @ State::Ready(..) => {
                entry.state = state;
                return Setback::GivenUp(Vec::new());
            }
        }
        entry.sure = entry.waiting.len();
        entry.failures = entry.failures.saturating_add(1);
        if may_pass && entry.failures < STORE_TRIES {
            return Setback::Again;
        }
        let given_up = self.entries.remove(key).map(|entry| entry.waiting).unwrap_or_default();
        self.under_way -= 1;
        Setback::GivenUp(given_up.into_iter().map(|(event, _)| event).collect())
    }

    /// The next event of a ready record, with a copy of the record to run it on. The caller
    /// calls [`Records::commit`] if the event changed it, and [`Records::is_too_old`] when there is no next event.
    pub(crate) fn next(&mut self, key: &K) -> Option<(P, E)> {
        let is_shared = self.trust.is_some();
        let entry = self.entries.get_mut(key)?;
        let State::Ready(record, _) = &entry.state else { return None };
        if is_shared && entry.is_unsure() {
            return None;
        }
        let Some((event, _)) = entry.waiting.pop_front() else {
            entry.failures = 0;
            return None;
        };
        entry.sure = entry.sure.saturating_sub(1);
        Some((record.clone(), event))
    }

    /// Whether the next event is an answer that came after the store was last asked: the record must be loaded again.
    pub(crate) fn is_too_old(&mut self, key: &K) -> bool {
        let is_shared = self.trust.is_some();
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let is_too_old = is_shared && entry.is_unsure() && matches!(entry.state, State::Ready(..));
        if is_too_old {
            entry.load_again();
            self.under_way += 1;
        }
        is_too_old
    }

    /// The event changed the record: it is committed next, and its effects wait for that.
    pub(crate) fn commit(&mut self, key: &K, next: P, event: E, effects: Vec<O>) {
        if let Some(entry) = self.entries.get_mut(key)
            && let State::Ready(before, _) = std::mem::replace(&mut entry.state, State::Loading(None))
        {
            entry.state = State::Committing { before, next, event, effects };
            self.under_way += 1;
            entry.sure = entry.waiting.len();
        }
    }

    /// The commit is on disk under the record that `settle` makes of it (its new version): returns the effects.
    pub(crate) fn committed(&mut self, key: &K, now: Instant, settle: impl FnOnce(&mut P)) -> Option<(E, Vec<O>)> {
        let entry = self.entries.get_mut(key)?;
        match std::mem::replace(&mut entry.state, State::Loading(None)) {
            State::Committing { mut next, event, effects, .. } => {
                settle(&mut next);
                entry.failures = 0;
                entry.state = State::Ready(next, now);
                self.under_way -= 1;
                Some((event, effects))
            }
            state @ (State::Loading(_) | State::Ready(..)) => {
                entry.state = state;
                None
            }
        }
    }

    /// Another replica changed the record first: the event waits in front again and the record must be loaded.
    /// Returns whether to load.
    pub(crate) fn conflicted(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        match std::mem::replace(&mut entry.state, State::Loading(None)) {
            State::Committing { before, event, .. } => {
                entry.waiting.push_front((event, true));
                entry.sure = entry.waiting.len();
                entry.state = State::Loading(Some(before));
                true
            }
            state @ (State::Loading(_) | State::Ready(..)) => {
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
            let forget = entry.is_idle() && excess > 0;
            excess -= usize::from(forget);
            !forget
        });
    }

    /// Records that are being loaded or committed.
    pub(crate) const fn under_way(&self) -> usize {
        self.under_way
    }

    /// The keys in memory that fulfil a condition.
    pub(crate) fn keys_where(&self, condition: impl Fn(&K) -> bool) -> Vec<K> {
        self.entries.keys().filter(|key| condition(key)).cloned().collect()
    }
}

/// Whether what was known at a moment is believed no longer.
fn is_old(at: Instant, trust: Option<Duration>, now: Instant) -> bool {
    trust.is_some_and(|trust| now.saturating_duration_since(at) >= trust)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cache with a clock that stands still unless a test moves it.
    struct Table(Records<&'static str, u32, char, char>, Instant);

    impl Default for Table {
        fn default() -> Self {
            Self(Records::default(), Instant::now())
        }
    }

    impl Table {
        fn offer(&mut self, key: &&'static str, event: char) -> Offer<char> {
            self.0.offer(key, event, false, self.1)
        }

        fn settled(&self, key: &&'static str) -> Option<&u32> {
            self.0.settled(key, self.1)
        }

        fn loaded(&mut self, key: &&'static str, record: u32) -> Option<u32> {
            self.0.loaded(key, record, self.1)
        }

        fn committed(&mut self, key: &&'static str, settle: impl FnOnce(&mut u32)) -> Option<(char, Vec<char>)> {
            self.0.committed(key, self.1, settle)
        }
    }

    fn step(table: &mut Table) -> (u32, char) {
        table.0.next(&"pair").expect("an event is due")
    }

    #[test]
    fn the_first_event_loads_the_record_and_later_ones_wait_in_order() {
        let mut table = Table::default();
        assert_eq!(table.offer(&"pair", 'a'), Offer::Load);
        assert_eq!(table.offer(&"pair", 'b'), Offer::Queued);
        assert_eq!(table.0.next(&"pair"), None);
        table.loaded(&"pair", 7);
        assert_eq!(step(&mut table), (7, 'a'));
        assert_eq!(step(&mut table), (7, 'b'));
        assert_eq!(table.0.next(&"pair"), None);
    }

    // Rule: life.stored-first
    #[test]
    fn effects_are_released_only_by_the_commit() {
        let mut table = Table::default();
        table.offer(&"pair", 'a');
        table.loaded(&"pair", 7);
        let (record, event) = step(&mut table);
        table.0.commit(&"pair", record + 1, event, vec!['x']);
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
        table.0.commit(&"pair", record + 1, event, vec!['x']);
        table.offer(&"pair", 'b');
        assert!(table.0.conflicted(&"pair"));
        table.loaded(&"pair", 50);
        assert_eq!(step(&mut table), (50, 'a'));
        assert_eq!(step(&mut table), (50, 'b'));
    }

    // Rule: life.store-failure
    #[test]
    fn a_store_that_fails_is_tried_again_and_then_everything_is_handed_back() {
        let mut table = Table::default();
        table.offer(&"pair", 'a');
        table.offer(&"pair", 'b');
        assert_eq!(table.0.failed(&"pair", true), Setback::Again);
        table.loaded(&"pair", 7);
        let (record, event) = step(&mut table);
        table.0.commit(&"pair", record, event, vec!['x']);
        table.offer(&"pair", 'c');
        for _ in 2..STORE_TRIES {
            assert_eq!(table.0.failed(&"pair", true), Setback::Again);
        }
        assert_eq!(table.0.failed(&"pair", true), Setback::GivenUp(vec!['a', 'b', 'c']));
        assert!(table.0.entries.is_empty());
        // Where trying again is of no use, at once.
        table.offer(&"pair", 'd');
        assert_eq!(table.0.failed(&"pair", false), Setback::GivenUp(vec!['d']));
    }

    #[test]
    fn one_record_cannot_queue_without_bound() {
        let mut table = Table::default();
        for _ in 0..WAITING_PER_RECORD {
            table.offer(&"pair", 'a');
        }
        assert_eq!(table.offer(&"pair", 'z'), Offer::Refused('z'));
    }

    #[test]
    fn where_nobody_else_changes_records_one_is_believed_for_ever() {
        let mut table = Table::default();
        table.offer(&"pair", 'a');
        table.loaded(&"pair", 7);
        step(&mut table);
        table.1 += Duration::from_secs(86_400);
        assert_eq!(table.settled(&"pair"), Some(&7));
        assert_eq!(table.offer(&"pair", 'b'), Offer::Run);
    }

    #[test]
    fn where_others_change_records_an_old_one_is_loaded_again_before_it_is_used() {
        let mut table = Table::default();
        table.0.share(true);
        table.offer(&"pair", 'a');
        table.loaded(&"pair", 7);
        step(&mut table);
        table.1 += TRUST - Duration::from_millis(1);
        assert_eq!(table.settled(&"pair"), Some(&7));
        table.1 += Duration::from_millis(1);
        assert_eq!(table.settled(&"pair"), None);
        assert_eq!(table.offer(&"pair", 'b'), Offer::Load);
        assert_eq!(table.offer(&"pair", 'c'), Offer::Queued);
        // What was believed comes back, for whoever counts what changed.
        assert_eq!(table.loaded(&"pair", 9), Some(7));
        assert_eq!(step(&mut table), (9, 'b'));
        assert_eq!(step(&mut table), (9, 'c'));
        assert_eq!(table.settled(&"pair"), Some(&9));
    }

    #[test]
    fn an_answer_is_judged_by_nothing_older_than_itself() {
        let mut table = Table::default();
        table.0.share(true);
        table.offer(&"pair", 'a');
        table.loaded(&"pair", 7);
        step(&mut table);
        let now = table.1;
        assert_eq!(table.0.offer(&"pair", 'b', true, now), Offer::Load);
        table.loaded(&"pair", 9);
        assert_eq!(step(&mut table), (9, 'b'));
        // Nor by what was on its way from the store when it came.
        assert_eq!(table.0.offer(&"pair", 'c', true, now), Offer::Load);
        assert_eq!(table.0.offer(&"pair", 'd', true, now), Offer::Queued);
        table.loaded(&"pair", 11);
        assert_eq!(step(&mut table), (11, 'c'));
        assert_eq!(table.0.next(&"pair"), None);
        assert!(table.0.is_too_old(&"pair"));
        table.loaded(&"pair", 12);
        assert_eq!(step(&mut table), (12, 'd'));
        assert!(!table.0.is_too_old(&"pair"));
        // Alone with its store, a replica knows everything.
        let mut alone = Table::default();
        alone.offer(&"pair", 'a');
        alone.loaded(&"pair", 7);
        step(&mut alone);
        assert_eq!(alone.0.offer(&"pair", 'b', true, now), Offer::Run);
    }

    // The count is kept beside the records; a wrong one would keep a draining process waiting, or let it end too early.
    #[test]
    fn what_the_store_works_on_is_counted_on_every_road() {
        let mut table = Table::default();
        table.0.share(true);
        let expect = |step: &str, table: &Table, count: usize| {
            let busy = table.0.entries.values().filter(|entry| !matches!(entry.state, State::Ready(..))).count();
            assert_eq!((table.0.under_way(), busy), (count, count), "{step}");
        };
        table.offer(&"pair", 'a');
        table.offer(&"other", 'a');
        expect("two are loaded", &table, 2);
        table.loaded(&"pair", 7);
        table.loaded(&"pair", 7);
        expect("one is there", &table, 1);
        let (record, event) = step(&mut table);
        table.0.commit(&"pair", record, event, Vec::new());
        expect("it is committed", &table, 2);
        assert!(table.0.conflicted(&"pair"));
        expect("and loaded again", &table, 2);
        table.loaded(&"pair", 8);
        let (record, event) = step(&mut table);
        table.0.commit(&"pair", record, event, Vec::new());
        table.committed(&"pair", |_| {});
        table.committed(&"pair", |_| {});
        expect("it is stored", &table, 1);
        let now = table.1;
        assert_eq!(table.0.offer(&"pair", 'b', true, now), Offer::Load);
        expect("an answer has it loaded", &table, 2);
        assert_eq!(table.0.failed(&"pair", true), Setback::Again);
        expect("it is tried again", &table, 2);
        assert_eq!(table.0.failed(&"pair", false), Setback::GivenUp(vec!['b']));
        assert_eq!(table.0.failed(&"pair", false), Setback::GivenUp(Vec::new()));
        expect("it is given up", &table, 1);
        table.loaded(&"other", 1);
        expect("nothing is under way", &table, 0);
    }

    #[test]
    fn a_commit_is_as_good_as_loading_again() {
        let mut table = Table::default();
        table.0.share(true);
        table.offer(&"pair", 'a');
        table.loaded(&"pair", 7);
        let (record, event) = step(&mut table);
        table.0.commit(&"pair", record + 1, event, Vec::new());
        table.1 += TRUST;
        table.committed(&"pair", |_| {});
        assert_eq!(table.settled(&"pair"), Some(&8));
    }
}
