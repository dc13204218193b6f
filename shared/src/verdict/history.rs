//! The last verdicts of each partner, bounded in every direction: what the panel shows, and what a gateway learns that
//! attaches after the fact.
//!
//! The same failure again, from the same address, is the same record with a higher count. Domains that are no partners
//! share one shelf, so that whoever invents names displaces only others of his kind. What is new is told at once and
//! what repeats itself is told now and then: a flood is counted, and not passed on. Times are arguments.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::Verdict;

/// Verdicts kept of one partner.
pub const PER_PARTNER: usize = 32;

/// Partners of which verdicts are kept; beyond it those of the partner that was silent for longest go.
pub const MAX_PARTNERS: usize = 1000;

/// Bytes of all verdicts together: 32 000 short ones, or a few thousand of those who make long ones on purpose.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Verdicts of one partner that are told at once; afterwards one a second.
const BURST: u64 = 32;

/// Between two tellings of one record whose count grows, and of records beyond the burst.
const AGAIN_MS: u64 = 5000;

/// Records that one call of [`History::overdue`] tells.
const OVERDUE: usize = 32;

/// The shelf of all domains that are no partner's.
const STRANGERS: &str = "*";

/// A verdict as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The edge that gave it; empty on the edge itself.
    pub edge: String,
    /// The process that gave it, so that numbers are unique for ever.
    pub origin: u64,
    /// Its number in that process.
    pub number: u64,
    /// How often it was given.
    pub count: u32,
    /// When it was given first, in Unix milliseconds; the verdict has the last time.
    pub first_ms: u64,
    /// The verdict.
    pub verdict: Verdict,
}

impl Kept {
    /// Logs the verdict, with how often it was given.
    pub fn log(&self) {
        self.verdict.log_counted(self.count);
    }
}

/// The history.
#[derive(Debug, Default)]
pub struct History {
    shelves: HashMap<String, Shelf>,
    last_number: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    /// The newest last.
    entries: VecDeque<Entry>,
    /// Tellings at once, in thousandths, which refill with every millisecond.
    credit: u64,
    refilled_ms: u64,
    /// When the shelf was last added to.
    touched_ms: u64,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    told_ms: u64,
    /// Whether it has changed since it was told.
    is_untold: bool,
    bytes: usize,
}

impl History {
    /// Adds a verdict that was just given; returns what is to be told at once, if so.
    pub fn add(&mut self, verdict: Verdict) -> Option<Kept> {
        let now_ms = verdict.at_ms;
        let shelf = self.shelves.entry(shelf_of(&verdict)).or_insert_with(|| Shelf::new(now_ms));
        shelf.touched_ms = now_ms;
        let told = if let Some(mut entry) = shelf.take_same(&verdict) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            entry.kept.count = entry.kept.count.saturating_add(1);
            entry.kept.verdict = verdict;
            entry.is_untold = true;
            let told = if entry.is_due(now_ms) { entry.tell(now_ms) } else { None };
            self.bytes += entry.weigh();
            shelf.entries.push_back(entry);
            told
        } else {
            self.last_number += 1;
            let number = self.last_number;
            let kept = Kept { edge: String::new(), origin: 0, number, count: 1, first_ms: now_ms, verdict };
            let mut entry = Entry { kept, told_ms: now_ms, is_untold: true, bytes: 0 };
            let told = if shelf.may_tell(now_ms) { entry.tell(now_ms) } else { None };
            self.bytes += entry.weigh();
            shelf.entries.push_back(entry);
            self.bytes = self.bytes.saturating_sub(shelf.trim());
            told
        };
        self.keep_bounds();
        told
    }

    /// Adds what an edge told; returns how often it was given since it was told last.
    pub fn merge(&mut self, kept: Kept) -> u32 {
        if kept.number == 0 {
            // An edge of an older build keeps nothing and counts nothing.
            self.add(kept.verdict);
            return 1;
        }
        let shelf = self.shelves.entry(shelf_of(&kept.verdict)).or_insert_with(|| Shelf::new(kept.verdict.at_ms));
        shelf.touched_ms = shelf.touched_ms.max(kept.verdict.at_ms);
        let known =
            shelf.entries.iter().position(|entry| entry.kept.origin == kept.origin && entry.kept.number == kept.number);
        let before = known.and_then(|index| shelf.entries.remove(index));
        let news = kept.count.saturating_sub(before.as_ref().map_or(0, |entry| entry.kept.count));
        self.bytes = self.bytes.saturating_sub(before.map_or(0, |entry| entry.bytes));
        let mut entry = Entry { told_ms: kept.verdict.at_ms, kept, is_untold: false, bytes: 0 };
        self.bytes += entry.weigh();
        // Kept ones of several edges come in any order.
        let index = shelf.entries.partition_point(|other| other.kept.verdict.at_ms <= entry.kept.verdict.at_ms);
        shelf.entries.insert(index, entry);
        self.bytes = self.bytes.saturating_sub(shelf.trim());
        self.keep_bounds();
        news
    }

    /// Records that changed a while ago and were not told since: not many at once.
    pub fn overdue(&mut self, now_ms: u64) -> Vec<Kept> {
        let entries = self.shelves.values_mut().flat_map(|shelf| shelf.entries.iter_mut());
        let due = entries.filter(|entry| entry.is_untold && entry.is_due(now_ms)).take(OVERDUE);
        due.filter_map(|entry| entry.tell(now_ms)).collect()
    }

    /// The verdicts about a domain, the newest first: of the partner whose primary domain it is, or of the stranger.
    pub fn latest(&self, partner: &str) -> Vec<Kept> {
        let of = |shelf: &str| self.shelves.get(shelf).into_iter().flat_map(|shelf| shelf.entries.iter().rev());
        let is_about = |kept: &&Kept| kept.verdict.partner == partner;
        let strangers = of(STRANGERS).map(|entry| &entry.kept).filter(is_about);
        let mut found: Vec<_> =
            of(partner).map(|entry| &entry.kept).filter(is_about).chain(strangers).cloned().collect();
        found.sort_by_key(|kept| std::cmp::Reverse(kept.verdict.at_ms));
        found
    }

    /// The newest of all, the newest first.
    pub fn newest(&self, most: usize) -> Vec<Kept> {
        let mut all: Vec<_> =
            self.shelves.values().flat_map(|shelf| shelf.entries.iter()).map(|entry| &entry.kept).collect();
        all.sort_by_key(|kept| std::cmp::Reverse((kept.verdict.at_ms, kept.number)));
        all.into_iter().take(most).cloned().collect()
    }

    fn keep_bounds(&mut self) {
        if self.shelves.len() > MAX_PARTNERS + 1 {
            let silent = self.shelves.iter().min_by_key(|(_, shelf)| shelf.touched_ms).map(|(name, _)| name.clone());
            self.remove_shelf(silent);
        }
        while self.bytes > MAX_BYTES {
            // Whoever makes the longest verdicts loses the oldest of them.
            let heaviest = self.shelves.iter_mut().max_by_key(|(_, shelf)| shelf.weight());
            let Some(entry) = heaviest.and_then(|(_, shelf)| shelf.entries.pop_front()) else { break };
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    fn remove_shelf(&mut self, name: Option<String>) {
        if let Some(shelf) = name.and_then(|name| self.shelves.remove(&name)) {
            self.bytes = self.bytes.saturating_sub(shelf.weight());
        }
    }
}

/// The partner's shelf, or that of all others: what is about nobody is about ourselves, unless somebody connected.
fn shelf_of(verdict: &Verdict) -> String {
    let is_of_somebody = !verdict.partner.is_empty() || verdict.peer.is_some();
    match &verdict.facts {
        Some(facts) if !facts.is_partner && is_of_somebody => STRANGERS.to_owned(),
        Some(_) | None => verdict.partner.clone(),
    }
}

impl Shelf {
    fn new(now_ms: u64) -> Self {
        Self { credit: BURST * 1000, refilled_ms: now_ms, ..Self::default() }
    }

    /// Takes out the record of which this is a repetition: the last one from the same address, if nothing differs.
    fn take_same(&mut self, verdict: &Verdict) -> Option<Entry> {
        let index = self.entries.iter().rposition(|entry| is_same_place(&entry.kept.verdict, verdict))?;
        let is_same = self.entries.get(index).is_some_and(|entry| is_same_failure(&entry.kept.verdict, verdict));
        if is_same { self.entries.remove(index) } else { None }
    }

    fn may_tell(&mut self, now_ms: u64) -> bool {
        self.credit = (self.credit + now_ms.saturating_sub(self.refilled_ms)).min(BURST * 1000);
        self.refilled_ms = now_ms;
        let may = self.credit >= 1000;
        if may {
            self.credit -= 1000;
        }
        may
    }

    /// Drops the oldest beyond [`PER_PARTNER`]; returns what they weighed.
    fn trim(&mut self) -> usize {
        let surplus = self.entries.len().saturating_sub(PER_PARTNER);
        self.entries.drain(..surplus).map(|entry| entry.bytes).sum()
    }

    fn weight(&self) -> usize {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }
}

fn ip(verdict: &Verdict) -> Option<IpAddr> {
    // Whoever connects comes from another port each time.
    verdict.peer.map(|peer| peer.ip())
}

fn is_same_place(known: &Verdict, verdict: &Verdict) -> bool {
    let place = |verdict: &Verdict| {
        let facts = verdict.facts.as_deref();
        facts.map(|facts| (facts.domain.clone(), facts.local.clone(), facts.target.clone()))
    };
    known.direction == verdict.direction
        && ip(known) == ip(verdict)
        && known.partner == verdict.partner
        && place(known) == place(verdict)
}

fn is_same_failure(known: &Verdict, verdict: &Verdict) -> bool {
    (known.rung, known.side, &known.cause) == (verdict.rung, verdict.side, &verdict.cause)
}

impl Entry {
    fn is_due(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.told_ms) >= AGAIN_MS
    }

    fn tell(&mut self, now_ms: u64) -> Option<Kept> {
        self.told_ms = now_ms;
        self.is_untold = false;
        Some(self.kept.clone())
    }

    fn weigh(&mut self) -> usize {
        let verdict = &self.kept.verdict;
        let facts = verdict.facts.as_ref().map_or(0, |facts| facts.weight());
        self.bytes = size_of::<Self>()
            + self.kept.edge.len()
            + verdict.cause.len()
            + verdict.remedy.len()
            + verdict.partner.len()
            + facts;
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Direction, Facts, Rung, Side};

    fn verdict(partner: &str, cause: &str, at_ms: u64) -> Verdict {
        Verdict {
            code: None,
            rung: Rung::Connect,
            side: Side::Network,
            cause: cause.to_owned(),
            remedy: "mend it".to_owned(),
            partner: partner.to_owned(),
            direction: Direction::In,
            peer: Some(format!("192.0.2.1:{}", 1024 + at_ms % 1000).parse().unwrap()),
            at_ms,
            facts: Some(Box::new(Facts {
                domain: partner.to_owned(),
                is_partner: !partner.starts_with("stranger"),
                ..Facts::default()
            })),
        }
    }

    #[test]
    fn the_same_failure_from_the_same_address_is_one_record_with_a_count() {
        let mut history = History::default();
        assert!(history.add(verdict("a.example", "refused", 1)).is_some());
        assert!(history.add(verdict("a.example", "refused", 2)).is_none());
        assert!(history.add(verdict("a.example", "other", 3)).is_some());
        assert!(history.add(verdict("a.example", "refused", 4)).is_some(), "it is not the last one any more");
        let kept = history.latest("a.example");
        let counts: Vec<_> = kept.iter().map(|kept| (kept.verdict.cause.as_str(), kept.count)).collect();
        assert_eq!(counts, [("refused", 1), ("other", 1), ("refused", 2)]);
        assert_eq!((kept[2].first_ms, kept[2].verdict.at_ms), (1, 2));
    }

    #[test]
    fn two_addresses_that_fail_by_turns_are_two_records() {
        let mut history = History::default();
        let other =
            |at_ms| Verdict { peer: Some("192.0.2.2:5269".parse().unwrap()), ..verdict("a.example", "x", at_ms) };
        for at_ms in 0..10 {
            history.add(verdict("a.example", "x", at_ms));
            history.add(other(at_ms));
        }
        let counts: Vec<_> = history.latest("a.example").iter().map(|kept| kept.count).collect();
        assert_eq!(counts, [10, 10]);
    }

    #[test]
    fn a_repetition_is_told_now_and_then_and_at_last_by_itself() {
        let mut history = History::default();
        history.add(verdict("a.example", "x", 0));
        assert!(history.add(verdict("a.example", "x", 100)).is_none());
        assert!(history.overdue(200).is_empty());
        let told = history.overdue(AGAIN_MS);
        assert_eq!(told.iter().map(|kept| kept.count).collect::<Vec<_>>(), [2]);
        assert!(history.overdue(2 * AGAIN_MS).is_empty());
        assert!(history.add(verdict("a.example", "x", 2 * AGAIN_MS)).is_some());
    }

    #[test]
    fn a_flood_of_different_failures_is_kept_within_bounds_and_told_at_a_rate() {
        let mut history = History::default();
        let told = (0..1000).filter(|n| history.add(verdict("a.example", &n.to_string(), 5)).is_some()).count();
        assert_eq!(told as u64, BURST);
        assert_eq!(history.latest("a.example").len(), PER_PARTNER);
        assert_eq!(history.latest("a.example").len(), history.newest(usize::MAX).len());
    }

    #[test]
    fn strangers_displace_only_each_other() {
        let mut history = History::default();
        history.add(verdict("a.example", "x", 0));
        for n in 0..5000 {
            history.add(verdict(&format!("stranger{n}.example"), "x", n));
        }
        assert_eq!(history.latest("a.example").len(), 1);
        assert_eq!(history.latest("stranger4999.example").len(), 1);
        assert_eq!(history.latest("stranger1.example").len(), 0);
        assert_eq!(history.newest(usize::MAX).len(), PER_PARTNER + 1);
    }

    #[test]
    fn whoever_connects_without_a_name_displaces_nothing_that_is_about_ourselves() {
        let mut history = History::default();
        history.add(Verdict { peer: None, ..verdict("", "our certificate ends soon", 0) });
        for n in 0..1000 {
            let nameless = verdict("", &format!("too many connections {n}"), n);
            let facts = Some(Box::new(Facts::default()));
            history.add(Verdict { facts, ..nameless });
        }
        assert!(history.newest(usize::MAX).iter().any(|kept| kept.verdict.cause.contains("ends soon")));
    }

    #[test]
    fn verdicts_of_an_older_build_are_each_one_of_their_own() {
        let mut history = History::default();
        for cause in ["a", "b"] {
            let verdict = verdict("a.example", cause, 0);
            let kept = Kept { edge: "e".to_owned(), origin: 7, number: 0, count: 1, first_ms: 0, verdict };
            assert_eq!(history.merge(kept), 1);
        }
        assert_eq!(history.latest("a.example").len(), 2);
    }

    #[test]
    fn the_partner_that_was_silent_for_longest_goes_first() {
        let mut history = History::default();
        for n in 0..u64::try_from(MAX_PARTNERS).unwrap() + 10 {
            history.add(verdict(&format!("{n}.example"), "x", n));
        }
        assert_eq!(history.newest(usize::MAX).len(), MAX_PARTNERS + 1);
        assert!(history.latest("0.example").is_empty());
    }

    #[test]
    fn long_verdicts_displace_the_oldest_of_those_who_made_them() {
        let mut history = History::default();
        history.add(verdict("small.example", "x", 0));
        for n in 0..40_u64 {
            for partner in 0..200 {
                let mut long = verdict(&format!("{partner}.example"), &n.to_string(), n);
                if let Some(facts) = &mut long.facts {
                    facts.transcript = vec!["y".repeat(200); 40];
                }
                history.add(long);
            }
        }
        assert!(history.bytes <= MAX_BYTES);
        assert_eq!(history.latest("small.example").len(), 1);
        let sum: usize = history.shelves.values().map(Shelf::weight).sum();
        assert_eq!(sum, history.bytes);
    }

    #[test]
    fn what_is_told_twice_is_counted_once() {
        let mut history = History::default();
        let kept = |count| Kept {
            edge: "edge1".to_owned(),
            origin: 7,
            number: 1,
            count,
            first_ms: 0,
            verdict: verdict("a.example", "x", 0),
        };
        assert_eq!(history.merge(kept(1)), 1);
        assert_eq!(history.merge(kept(1)), 0);
        assert_eq!(history.merge(kept(5)), 4);
        assert_eq!(history.merge(Kept { origin: 8, ..kept(2) }), 2);
        assert_eq!(history.latest("a.example").len(), 2);
    }
}
