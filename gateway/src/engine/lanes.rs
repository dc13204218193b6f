//! One queue per SIP address: no second MESSAGE leaves for an address while one is unanswered (RFC 3428, section 8).
//!
//! Used by the message path of the engine. Sans-IO: time is an argument, what has to happen is a return value.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use causeway_shared::jid::BareJid;

/// Messages that may wait behind an unanswered one for the same address: a person's burst fits, a flood does not.
pub(crate) const LANE_DEPTH: usize = 50;

/// Places of a lane that messages of one domain may take: the rest is for others, so that no partner keeps an address for
/// itself while its device says nothing.
pub(crate) const LANE_SHARE: usize = 40;

/// How long a message may wait in a lane. The one in front is answered or timed out after Timer F, 32 s.
pub(crate) const LANE_PATIENCE: Duration = Duration::from_secs(32);

/// Messages that may wait in all lanes together, so that many slow addresses cannot eat the memory.
pub(crate) const LANES_TOTAL: usize = 100_000;

/// What to do with a message that was offered to its lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission<T> {
    /// Nothing is under way to this address: send it now.
    Send(T),
    /// It waits for its turn.
    Queued,
    /// The lane or all lanes together are full: refuse it with `resource-constraint`.
    Full(T),
}

/// All lanes of a gateway.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    /// A lane exists while a message to its address is unanswered.
    lanes: HashMap<BareJid, VecDeque<Waiting<T>>>,
    /// Deadlines of what waits, oldest first; `serial` makes each entry unique.
    deadlines: BTreeSet<(Instant, u64, BareJid)>,
    serial: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    give_up_at: Instant,
    serial: u64,
    item: T,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), deadlines: BTreeSet::new(), serial: 0 }
    }
}

impl<T> Lanes<T> {
    /// Offers a message for `address`; `domain` says whose it is.
    pub(crate) fn offer(
        &mut self,
        address: &BareJid,
        item: T,
        domain: impl Fn(&T) -> &str,
        now: Instant,
    ) -> Admission<T> {
        let total = self.deadlines.len();
        match self.lanes.entry(address.clone()) {
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                Admission::Send(item)
            }
            Entry::Occupied(lane) if lane.get().len() >= LANE_DEPTH || total >= LANES_TOTAL => Admission::Full(item),
            Entry::Occupied(lane)
                if lane.get().len() >= LANE_SHARE
                    && lane.get().iter().filter(|waiting| domain(&waiting.item) == domain(&item)).count()
                        >= LANE_SHARE =>
            {
                Admission::Full(item)
            }
            Entry::Occupied(mut lane) => {
                self.serial += 1;
                let waiting = Waiting { give_up_at: now + LANE_PATIENCE, serial: self.serial, item };
                self.deadlines.insert((waiting.give_up_at, waiting.serial, address.clone()));
                lane.get_mut().push_back(waiting);
                Admission::Queued
            }
        }
    }

    /// Whether a message to `address` is unanswered.
    pub(crate) fn is_busy(&self, address: &BareJid) -> bool {
        self.lanes.contains_key(address)
    }

    /// The message under way to `address` has its final answer: returns the next one to send.
    pub(crate) fn answered(&mut self, address: &BareJid) -> Option<T> {
        let Entry::Occupied(mut lane) = self.lanes.entry(address.clone()) else { return None };
        let Some(next) = lane.get_mut().pop_front() else {
            lane.remove();
            return None;
        };
        self.deadlines.remove(&(next.give_up_at, next.serial, address.clone()));
        Some(next.item)
    }

    /// Takes out what has waited too long: to be refused with `remote-server-timeout`.
    pub(crate) fn expire(&mut self, now: Instant, expired: &mut Vec<T>) {
        while let Some((at, _, _)) = self.deadlines.first() {
            if *at > now {
                return;
            }
            let Some((_, serial, address)) = self.deadlines.pop_first() else { return };
            let Some(lane) = self.lanes.get_mut(&address) else { continue };
            if let Some(position) = lane.iter().position(|waiting| waiting.serial == serial)
                && let Some(waiting) = lane.remove(position)
            {
                expired.push(waiting.item);
            }
        }
    }

    /// When [`Lanes::expire`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _, _)| *at)
    }

    /// Messages that wait, for the metrics.
    pub(crate) fn waiting(&self) -> usize {
        self.deadlines.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to [`LANE_SHARE`] and 999 are fabrikam's.
    fn by_number(item: &usize) -> &str {
        if *item <= LANE_SHARE || *item == 999 { "fabrikam.example" } else { "litware.example" }
    }

    fn alice() -> BareJid {
        BareJid::parse("alice@contoso.example").unwrap()
    }

    // Rule: message.one-at-a-time
    #[test]
    fn a_second_message_leaves_after_the_answer_to_the_first() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(lanes.offer(&alice(), 1, by_number, now), Admission::Send(1));
        assert_eq!(lanes.offer(&alice(), 2, by_number, now), Admission::Queued);
        assert_eq!(lanes.offer(&alice(), 3, by_number, now), Admission::Queued);
        assert_eq!(lanes.answered(&alice()), Some(2));
        assert_eq!(lanes.answered(&alice()), Some(3));
        assert_eq!(lanes.answered(&alice()), None);
        assert_eq!(lanes.offer(&alice(), 4, by_number, now), Admission::Send(4));
    }

    #[test]
    fn other_addresses_do_not_wait() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let dave = BareJid::parse("dave@contoso.example").unwrap();
        assert_eq!(lanes.offer(&alice(), 1, by_number, now), Admission::Send(1));
        assert_eq!(lanes.offer(&dave, 2, by_number, now), Admission::Send(2));
    }

    // Rule: message.queue
    #[test]
    fn a_full_lane_refuses_and_keeps_what_it_has() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.offer(&alice(), 0, by_number, now);
        for n in 1..=LANE_DEPTH {
            assert_eq!(lanes.offer(&alice(), n, by_number, now), Admission::Queued);
        }
        assert_eq!(lanes.offer(&alice(), 9999, by_number, now), Admission::Full(9999));
        assert_eq!(lanes.answered(&alice()), Some(1));
    }

    #[test]
    fn one_partner_leaves_room_in_a_lane_for_others() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.offer(&alice(), 0, by_number, now);
        (1..=LANE_SHARE).for_each(|n| assert_eq!(lanes.offer(&alice(), n, by_number, now), Admission::Queued));
        assert_eq!(lanes.offer(&alice(), 999, by_number, now), Admission::Full(999));
        assert_eq!(lanes.offer(&alice(), 1000, by_number, now), Admission::Queued);
    }

    // Rule: message.queue
    #[test]
    fn what_waited_too_long_is_handed_back_and_the_rest_keeps_its_order() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.offer(&alice(), 1, by_number, now);
        lanes.offer(&alice(), 2, by_number, now);
        lanes.offer(&alice(), 3, by_number, now + Duration::from_secs(10));
        let mut expired = Vec::new();
        lanes.expire(lanes.deadline().unwrap(), &mut expired);
        assert_eq!(expired, [2]);
        assert_eq!(lanes.answered(&alice()), Some(3));
        assert_eq!((lanes.deadline(), lanes.waiting()), (None, 0));
    }
}
