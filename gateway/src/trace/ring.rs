//! The memory of the recorder: the last events with their bytes, in two rings of a fixed size.
//!
//! Bytes are copied in. A slice of a receive buffer would keep the whole buffer alive and from being used again, so that
//! neither the memory nor the cost of an event would be bounded; a copy of 500 bytes is cheaper than either.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Fact;

/// Events that are kept. With [`MAX_BYTES`] that is about 500 bytes for each, which stanzas and SIP messages have on
/// average, so that both run out together.
pub const MAX_EVENTS: usize = 32_768;

/// Bytes that are kept: hours of a calm partner, and a tenth of a second of the most that one gateway can do.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of one event that are kept; of a longer one it is noted only how long it was. No message between the two
/// protocols is longer, and half-kept XML could not be redacted.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// An event as it is kept, copied out for a reader.
#[derive(Debug, Clone)]
pub struct Raw {
    /// Its number; numbers begin at 0 with the process and have no gaps.
    pub number: u64,
    /// When it was recorded, in Unix milliseconds.
    pub at_ms: u64,
    /// What is known about it.
    pub fact: Fact,
    /// Its bytes; empty if there were more than [`MAX_EVENT_BYTES`].
    pub bytes: Bytes,
    /// How many bytes there were.
    pub length: usize,
}

/// What a reader gets at a time.
#[derive(Debug, Default)]
pub struct Page {
    /// Events in order.
    pub events: Vec<Raw>,
    /// Events before them that were wanted and are gone already.
    pub missed: u64,
    /// Where to go on.
    pub next: u64,
}

struct Entry {
    at_ms: u64,
    fact: Fact,
    /// Position in the stream of all bytes ever written.
    start: u64,
    kept: usize,
    length: usize,
}

/// The rings.
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    max_events: usize,
    bytes: Box<[u8]>,
    /// Bytes ever written.
    written: u64,
    /// The number of the next event.
    next: u64,
}

impl Ring {
    pub(super) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            entries: VecDeque::with_capacity(max_events),
            max_events: max_events.max(1),
            // Untouched pages of it cost nothing until they are first written.
            bytes: vec![0; max_bytes.max(1)].into_boxed_slice(),
            written: 0,
            next: 0,
        }
    }

    /// The number of the oldest event that is kept.
    pub(super) fn oldest(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    /// The number that the next event will have.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Adds an event; the oldest ones make room.
    pub(super) fn push(&mut self, at_ms: u64, fact: Fact, bytes: &[u8]) {
        let kept = if bytes.len() > MAX_EVENT_BYTES.min(self.bytes.len()) { &[] } else { bytes };
        if self.entries.len() >= self.max_events {
            self.entries.pop_front();
        }
        let start = self.written;
        self.write(kept);
        self.entries.push_back(Entry { at_ms, fact, start, kept: kept.len(), length: bytes.len() });
        self.next += 1;
        let first_kept = self.written.saturating_sub(self.bytes.len() as u64);
        while self.entries.front().is_some_and(|entry| entry.start < first_kept) {
            self.entries.pop_front();
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let at = self.offset(self.written);
        let until_end = bytes.len().min(self.bytes.len() - at);
        let (first, rest) = bytes.split_at(until_end);
        if let Some(place) = self.bytes.get_mut(at..at + first.len()) {
            place.copy_from_slice(first);
        }
        if let Some(place) = self.bytes.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        self.written += bytes.len() as u64;
    }

    /// Where a position of the stream of all bytes lies.
    fn offset(&self, position: u64) -> usize {
        usize::try_from(position % self.bytes.len() as u64).unwrap_or_default()
    }

    /// Copies out events from `from` on: until `max_events` are there or `max_bytes` are passed.
    pub(super) fn page(&self, from: u64, max_events: usize, max_bytes: usize) -> Page {
        let first = from.clamp(self.oldest(), self.next);
        let skipped = usize::try_from(first - self.oldest()).unwrap_or(usize::MAX);
        let mut taken = Vec::new();
        let mut copied = Vec::new();
        for entry in self.entries.iter().skip(skipped).take(max_events) {
            let begin = copied.len();
            self.copy(entry, &mut copied);
            taken.push((entry, begin..copied.len()));
            if copied.len() >= max_bytes {
                break;
            }
        }
        let copied = Bytes::from(copied);
        let numbered = taken.into_iter().zip(first..);
        let events: Vec<Raw> = numbered
            .map(|((entry, range), number)| Raw {
                number,
                at_ms: entry.at_ms,
                fact: entry.fact.clone(),
                bytes: copied.slice(range),
                length: entry.length,
            })
            .collect();
        let next = first + events.len() as u64;
        Page { events, missed: first.saturating_sub(from), next }
    }

    fn copy(&self, entry: &Entry, out: &mut Vec<u8>) {
        let at = self.offset(entry.start);
        let until_end = entry.kept.min(self.bytes.len() - at);
        out.extend_from_slice(self.bytes.get(at..at + until_end).unwrap_or_default());
        out.extend_from_slice(self.bytes.get(..entry.kept - until_end).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use causeway_sip::endpoint::SendTag;
    use proptest::prelude::*;

    use super::*;

    fn push(ring: &mut Ring, bytes: &[u8]) {
        ring.push(7, Fact::SipUnsent { tag: SendTag::NONE }, bytes);
    }

    fn texts(page: &Page) -> Vec<&str> {
        page.events.iter().map(|raw| std::str::from_utf8(&raw.bytes).unwrap()).collect()
    }

    #[test]
    fn the_oldest_events_make_room_and_are_counted_as_missed() {
        let mut ring = Ring::new(3, 1_000);
        ["a", "b", "c", "d", "e"].iter().for_each(|text| push(&mut ring, text.as_bytes()));
        let page = ring.page(0, 100, 1_000);
        assert_eq!((texts(&page), page.missed, page.next), (vec!["c", "d", "e"], 2, 5));
        assert_eq!(page.events[0].number, 2);
        assert!(ring.page(5, 100, 1_000).events.is_empty());
    }

    #[test]
    fn bytes_that_wrap_around_are_whole_again_for_the_reader() {
        let mut ring = Ring::new(100, 10);
        ["abcd", "efgh", "ijkl"].iter().for_each(|text| push(&mut ring, text.as_bytes()));
        assert_eq!(texts(&ring.page(0, 100, 1_000)), ["efgh", "ijkl"]);
    }

    #[test]
    fn an_event_that_is_too_long_leaves_its_length_only() {
        let mut ring = Ring::new(100, MAX_BYTES);
        push(&mut ring, &vec![b'x'; MAX_EVENT_BYTES + 1]);
        let page = ring.page(0, 100, 1_000);
        assert_eq!((page.events[0].bytes.len(), page.events[0].length), (0, MAX_EVENT_BYTES + 1));
    }

    #[test]
    fn a_reader_takes_a_page_at_a_time() {
        let mut ring = Ring::new(100, 1_000);
        ["ab", "cd", "ef"].iter().for_each(|text| push(&mut ring, text.as_bytes()));
        let page = ring.page(0, 100, 3);
        assert_eq!((texts(&page), page.next), (vec!["ab", "cd"], 2));
        assert_eq!(texts(&ring.page(page.next, 1, 1_000)), ["ef"]);
    }

    proptest! {
        #[test]
        fn neither_bound_is_ever_passed_and_what_is_kept_is_the_newest(
            lengths in proptest::collection::vec(0_usize..40, 1..200),
            max_events in 1_usize..20,
            max_bytes in 1_usize..100,
        ) {
            let mut ring = Ring::new(max_events, max_bytes);
            for (number, length) in lengths.iter().enumerate() {
                push(&mut ring, &vec![u8::try_from(number % 251).unwrap(); *length]);
            }
            let page = ring.page(0, usize::MAX, usize::MAX);
            prop_assert!(page.events.len() <= max_events);
            prop_assert!(page.events.iter().map(|raw| raw.bytes.len()).sum::<usize>() <= max_bytes);
            prop_assert_eq!(page.next, lengths.len() as u64);
            for raw in &page.events {
                let index = usize::try_from(raw.number).unwrap();
                prop_assert_eq!(raw.length, lengths[index]);
                prop_assert!(raw.bytes.iter().all(|byte| usize::from(*byte) == index % 251));
            }
        }
    }
}
