//! The bookkeeping of one direction of one Attach call: numbers, acknowledgements, what is owed. Sans-IO.
//!
//! [`Sender`] numbers what is sent and keeps it until it is acknowledged; when the call ends it gives back the rest in
//! order. [`Receiver`] collects what is finished into ranges. Both hold the peer to the rules of `link.proto`.

use std::collections::VecDeque;

/// What the other end of the link did wrong; the call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowFault {
    /// A number was acknowledged that was never sent, or twice.
    #[error("number {0} was acknowledged but is not outstanding")]
    NotOutstanding(u64),
    /// A number did not follow its predecessor.
    #[error("number {got} came where {expected} was due")]
    OutOfOrder {
        /// The number due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// More stanzas than the window allows.
    #[error("more than {0} stanzas outstanding")]
    Overrun(u32),
    /// A range whose end lies before its start, or half a range.
    #[error("an acknowledged range is malformed")]
    MalformedRange,
}

/// The sending half: numbers and holds. Its memory follows what is outstanding, however long one item stays.
#[derive(Debug)]
pub struct Sender<T> {
    /// In the order of sending; `None` is acknowledged and not yet swept.
    slots: VecDeque<(u64, Option<T>)>,
    next: u64,
    outstanding: usize,
}

/// Acknowledged slots that may stand between outstanding ones before they are swept.
const SLACK: usize = 64;

impl<T> Default for Sender<T> {
    fn default() -> Self {
        Self { slots: VecDeque::new(), next: 1, outstanding: 0 }
    }
}

impl<T> Sender<T> {
    /// Takes an item and names its number. The bound is the caller's window.
    pub fn send(&mut self, item: T) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.slots.push_back((seq, Some(item)));
        self.outstanding += 1;
        seq
    }

    /// An item by its number, while it is outstanding.
    pub fn outstanding_item(&self, seq: u64) -> Option<&T> {
        self.slots.get(self.position(seq)?)?.1.as_ref()
    }

    /// Everything that is outstanding, in the order it was sent.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|(_, item)| item.as_ref())
    }

    /// One number is finished: returns its item.
    pub fn acknowledge(&mut self, seq: u64) -> Result<T, WindowFault> {
        let item = self.position(seq).and_then(|position| self.slots.get_mut(position)).and_then(|slot| slot.1.take());
        let item = item.ok_or(WindowFault::NotOutstanding(seq))?;
        self.outstanding -= 1;
        self.sweep();
        Ok(item)
    }

    /// A whole range is finished; its items go to `each` with their numbers, in order.
    pub fn acknowledge_range(
        &mut self,
        first: u64,
        last: u64,
        mut each: impl FnMut(u64, T),
    ) -> Result<(), WindowFault> {
        if last < first {
            return Err(WindowFault::MalformedRange);
        }
        if last >= self.next {
            return Err(WindowFault::NotOutstanding(last));
        }
        for seq in first..=last {
            each(seq, self.acknowledge(seq)?);
        }
        Ok(())
    }

    /// Items outstanding.
    pub const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The call ended: everything unacknowledged, in the order it was sent.
    pub fn into_unacknowledged(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().filter_map(|(_, item)| item)
    }

    /// Where a number stands: as far behind the first as it is larger, unless something between was swept.
    fn position(&self, seq: u64) -> Option<usize> {
        let (first, _) = self.slots.front()?;
        let straight = usize::try_from(seq.checked_sub(*first)?).ok()?;
        match self.slots.get(straight) {
            Some((found, _)) if *found == seq => Some(straight),
            Some(_) | None => self.slots.binary_search_by_key(&seq, |(seq, _)| *seq).ok(),
        }
    }

    fn sweep(&mut self) {
        while let Some((_, None)) = self.slots.front() {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.outstanding + SLACK {
            self.slots.retain(|(_, item)| item.is_some());
        }
    }
}

/// The receiving half: checks numbers, collects what is finished.
#[derive(Debug)]
pub struct Receiver {
    next: u64,
    window: u32,
    unfinished: u32,
    finished: Vec<u64>,
}

impl Receiver {
    /// A receiver that grants `window` unfinished stanzas.
    pub const fn new(window: u32) -> Self {
        Self { next: 1, window, unfinished: 0, finished: Vec::new() }
    }

    /// A stanza arrived.
    pub fn arrived(&mut self, seq: u64) -> Result<(), WindowFault> {
        if seq != self.next {
            return Err(WindowFault::OutOfOrder { expected: self.next, got: seq });
        }
        if self.unfinished >= self.window {
            return Err(WindowFault::Overrun(self.window));
        }
        self.next += 1;
        self.unfinished += 1;
        Ok(())
    }

    /// A stanza is finished, with outcome "done" if `in_ranges`; a failure is acknowledged beside the ranges.
    pub fn finished(&mut self, seq: u64, in_ranges: bool) {
        self.unfinished = self.unfinished.saturating_sub(1);
        if in_ranges {
            self.finished.push(seq);
        }
    }

    /// The ranges to acknowledge now, as first, last, first, last; empty if there is nothing to say.
    pub fn take_ranges(&mut self) -> Vec<u64> {
        let mut ranges: Vec<u64> = Vec::new();
        self.finished.sort_unstable();
        for seq in self.finished.drain(..) {
            match ranges.last_mut() {
                Some(last) if *last + 1 == seq => *last = seq,
                Some(_) | None => ranges.extend([seq, seq]),
            }
        }
        ranges
    }

    /// Stanzas that arrived and are not finished.
    pub const fn unfinished(&self) -> u32 {
        self.unfinished
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_begin_at_one_and_acknowledgements_may_come_in_any_order() {
        let mut sender = Sender::default();
        assert_eq!((sender.send('a'), sender.send('b'), sender.send('c')), (1, 2, 3));
        assert_eq!(sender.acknowledge(2), Ok('b'));
        assert_eq!(sender.acknowledge(2), Err(WindowFault::NotOutstanding(2)));
        assert_eq!(sender.acknowledge(9), Err(WindowFault::NotOutstanding(9)));
        assert_eq!(sender.acknowledge(0), Err(WindowFault::NotOutstanding(0)));
        assert_eq!(sender.into_unacknowledged().collect::<String>(), "ac");
    }

    #[test]
    fn one_item_that_stays_does_not_make_the_memory_grow() {
        let mut sender = Sender::default();
        sender.send(0);
        for item in 1..100_000_u64 {
            let seq = sender.send(item);
            assert_eq!(sender.acknowledge(seq), Ok(item));
        }
        assert!(sender.slots.len() <= 2 + SLACK);
        assert_eq!((sender.outstanding_item(1), sender.outstanding_item(2)), (Some(&0), None));
        assert_eq!(sender.acknowledge(1), Ok(0));
        assert_eq!(sender.send(7), 100_001);
    }

    #[test]
    fn a_range_beyond_what_was_sent_is_refused_at_once() {
        let mut sender = Sender::default();
        sender.send('a');
        assert_eq!(sender.acknowledge_range(1, u64::MAX, |_, _| {}), Err(WindowFault::NotOutstanding(u64::MAX)));
        assert_eq!(sender.acknowledge_range(2, 1, |_, _| {}), Err(WindowFault::MalformedRange));
        assert_eq!(sender.outstanding(), 1);
    }

    #[test]
    fn finished_numbers_become_ranges_once() {
        let mut receiver = Receiver::new(8);
        for seq in 1..=6 {
            receiver.arrived(seq).unwrap();
        }
        for seq in [1, 2, 3, 5] {
            receiver.finished(seq, true);
        }
        receiver.finished(4, false);
        assert_eq!(receiver.take_ranges(), [1, 3, 5, 5]);
        assert_eq!(receiver.take_ranges(), [] as [u64; 0]);
        assert_eq!(receiver.unfinished(), 1);
    }

    #[test]
    fn a_gap_a_repeat_and_an_overrun_are_faults() {
        let mut receiver = Receiver::new(1);
        assert_eq!(receiver.arrived(2), Err(WindowFault::OutOfOrder { expected: 1, got: 2 }));
        receiver.arrived(1).unwrap();
        assert_eq!(receiver.arrived(1), Err(WindowFault::OutOfOrder { expected: 2, got: 1 }));
        assert_eq!(receiver.arrived(2), Err(WindowFault::Overrun(1)));
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_acknowledgements_every_item_ends_exactly_once(
            order in Just((1..=64_u64).collect::<Vec<_>>()).prop_shuffle(), acknowledged in 0..64_usize,
        ) {
            let mut sender = Sender::default();
            for item in 1..=64_u64 {
                prop_assert_eq!(sender.send(item), item);
            }
            let mut ended = Vec::new();
            for seq in &order[..acknowledged] {
                ended.push(sender.acknowledge(*seq).unwrap());
            }
            let rest: Vec<u64> = sender.into_unacknowledged().collect();
            prop_assert!(rest.is_sorted());
            ended.extend(rest);
            ended.sort_unstable();
            prop_assert_eq!(ended, (1..=64).collect::<Vec<_>>());
        }
    }
}
