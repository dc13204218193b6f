//! Chunks to messages (RFC 4975 section 7.3.1): in any order, overlapping, several messages at a time, never more than
//! the bounds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::msrp::message::{ByteRange, Continuation};

/// Messages of the peer that are not complete.
pub(super) const MAX_PARTIAL: usize = 4;
/// Gaps in one of them.
pub(super) const MAX_GAPS: usize = 64;
/// How long the next chunk may take.
pub(super) const PARTIAL_PATIENCE: Duration = Duration::from_secs(60);

/// The messages of a session that are not complete. Memory: [`MAX_PARTIAL`] times the largest message.
#[derive(Debug)]
pub(super) struct Assembly {
    max_size: usize,
    partial: HashMap<String, Partial>,
}

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    /// What is there, as ranges from 0, sorted and apart.
    filled: Vec<(usize, usize)>,
    total: Option<usize>,
    wants_report: bool,
    give_up_at: Instant,
}

/// Why a chunk is refused; its message is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge,
    OutOfBounds,
}

impl Assembly {
    pub(super) fn new(max_size: usize) -> Self {
        Self { max_size, partial: HashMap::new() }
    }

    pub(super) fn clear(&mut self) {
        self.partial.clear();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.partial.values().map(|partial| partial.give_up_at).min()
    }

    pub(super) fn fire(&mut self, now: Instant) {
        self.partial.retain(|_, partial| partial.give_up_at > now);
    }

    /// Adds a chunk; gives the message when it is complete, and whether a report is wanted.
    pub(super) fn add(
        &mut self,
        message_id: &str,
        range: ByteRange,
        chunk: &Bytes,
        continuation: Continuation,
        wants_report: bool,
        now: Instant,
    ) -> Result<Option<(Bytes, bool)>, Refused> {
        let added = self.try_add(message_id, range, chunk, continuation, wants_report, now);
        if added.is_err() || continuation == Continuation::Aborted {
            self.partial.remove(message_id);
        }
        added
    }

    fn try_add(
        &mut self,
        message_id: &str,
        range: ByteRange,
        chunk: &Bytes,
        continuation: Continuation,
        wants_report: bool,
        now: Instant,
    ) -> Result<Option<(Bytes, bool)>, Refused> {
        let start = usize::try_from(range.start.saturating_sub(1)).map_err(|_| Refused::TooLarge)?;
        let end = start.checked_add(chunk.len()).filter(|end| *end <= self.max_size).ok_or(Refused::TooLarge)?;
        let total = range.total.map(|total| usize::try_from(total).map_err(|_| Refused::TooLarge)).transpose()?;
        if total.is_some_and(|total| total > self.max_size) {
            return Err(Refused::TooLarge);
        }
        let is_outside = total.is_some_and(|total| end > total);
        // What the chunk says of its end counts only if it is not more than the chunk has: it may be cut short.
        if is_outside || range.end.is_some_and(|said| said < u64::try_from(end).unwrap_or(u64::MAX)) {
            return Err(Refused::OutOfBounds);
        }
        if continuation == Continuation::Aborted {
            return Ok(None);
        }
        // Most messages are one chunk, and are not copied.
        if start == 0 && continuation == Continuation::Last && total.is_none_or(|total| total == end) {
            let known = self.partial.remove(message_id);
            return Ok(Some((chunk.clone(), wants_report || known.is_some_and(|partial| partial.wants_report))));
        }
        if !self.partial.contains_key(message_id) && self.partial.len() >= MAX_PARTIAL {
            return Err(Refused::TooLarge);
        }
        let give_up_at = now + PARTIAL_PATIENCE;
        let partial = self.partial.entry(message_id.to_owned()).or_insert_with(|| Partial {
            bytes: Vec::new(),
            filled: Vec::new(),
            total: None,
            wants_report: false,
            give_up_at,
        });
        partial.give_up_at = give_up_at;
        partial.wants_report |= wants_report;
        partial.total = match (continuation, total) {
            (_, Some(total)) => Some(total),
            (Continuation::Last, None) => Some(end),
            (Continuation::More | Continuation::Aborted, None) => partial.total,
        };
        if partial.bytes.len() < end {
            partial.bytes.resize(end, 0);
        }
        if let Some(place) = partial.bytes.get_mut(start..end) {
            place.copy_from_slice(chunk);
        }
        partial.fill(start, end);
        if partial.filled.len() > MAX_GAPS {
            return Err(Refused::OutOfBounds);
        }
        match (partial.total, &partial.filled[..]) {
            (Some(total), [(0, filled)]) if *filled == total => {
                let whole = self.partial.remove(message_id);
                Ok(whole.map(|partial| (Bytes::from(partial.bytes), partial.wants_report)))
            }
            (Some(total), filled) if filled.last().is_some_and(|(_, end)| *end > total) => Err(Refused::OutOfBounds),
            _ => Ok(None),
        }
    }
}

impl Partial {
    /// Adds a range to those that are there.
    fn fill(&mut self, mut start: usize, mut end: usize) {
        if start == end {
            return;
        }
        self.filled.retain(|(from, to)| {
            let is_apart = *to < start || *from > end;
            if !is_apart {
                start = start.min(*from);
                end = end.max(*to);
            }
            is_apart
        });
        let at = self.filled.partition_point(|(from, _)| *from < start);
        self.filled.insert(at, (start, end));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, total: Option<u64>) -> ByteRange {
        ByteRange { start, end: None, total }
    }

    proptest! {
        /// Any order, any overlap: the message comes out once, as it was.
        // Rule: msrp.chunks
        #[test]
        fn chunks_in_any_order_make_the_message(
            cuts in proptest::collection::vec((0..100_usize, 1..40_usize), 1..12),
            order in any::<u64>(),
        ) {
            let text: Vec<u8> = (0..100).collect();
            let mut chunks: Vec<_> = cuts.into_iter().map(|(start, len)| (start, (start + len).min(100))).collect();
            chunks.extend((0..10).map(|at| (at * 10, at * 10 + 10)));
            chunks.sort_by_key(|(start, end)| (*start as u64 * 31 + *end as u64).wrapping_mul(order | 1));
            let (mut assembly, mut whole, now) = (Assembly::new(100), None, Instant::now());
            for (start, end) in chunks {
                let chunk = Bytes::copy_from_slice(&text[start..end]);
                let range = range(start as u64 + 1, Some(100));
                if let Some((body, _)) = assembly.add("m", range, &chunk, Continuation::More, false, now).unwrap() {
                    whole = Some(body);
                    break;
                }
            }
            prop_assert_eq!(whole.unwrap(), text);
            prop_assert_eq!(assembly.deadline(), None);
        }
    }

    // Rule: msrp.bounds
    #[test]
    fn the_bounds_hold() {
        let now = Instant::now();
        let mut assembly = Assembly::new(10);
        let mut add = |id: &str, start, total, text: &'static str, continuation| {
            assembly.add(id, range(start, total), &Bytes::from_static(text.as_bytes()), continuation, false, now)
        };
        assert_eq!(add("a", 1, Some(11), "x", Continuation::More), Err(Refused::TooLarge));
        assert_eq!(add("a", 8, None, "xxxx", Continuation::More), Err(Refused::TooLarge));
        assert_eq!(add("a", u64::MAX, None, "x", Continuation::More), Err(Refused::TooLarge));
        assert_eq!(add("a", 2, Some(2), "xx", Continuation::More), Err(Refused::OutOfBounds));
        for id in ["a", "b", "c", "d"] {
            assert_eq!(add(id, 1, Some(3), "x", Continuation::More), Ok(None));
        }
        assert_eq!(add("e", 1, Some(3), "x", Continuation::More), Err(Refused::TooLarge));
        assert_eq!(add("a", 2, Some(3), "x", Continuation::Aborted), Ok(None));
        assert_eq!(add("e", 1, Some(3), "x", Continuation::More), Ok(None));
        assert_eq!(add("e", 2, None, "yz", Continuation::Last), Ok(Some((Bytes::from_static(b"xyz"), false))));
        assembly.fire(now + PARTIAL_PATIENCE);
        assert_eq!(assembly.deadline(), None);
    }
}
