//! The stanzas that were written and that the peer has not acknowledged, in the order of writing.

use std::collections::VecDeque;
use std::time::Instant;

use crate::link::OutboundStanza;
use crate::stream::outbox::Queued;

/// Stanzas on their way to a peer: at 1 ms there and back, a million in a second; and no more in memory than the queue
/// in front of it.
pub const MAX_UNACKNOWLEDGED: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Unacknowledged {
    /// `None` where the sender has been told already that time was over.
    queue: VecDeque<Option<Queued>>,
    /// A time that no stanza gives up before.
    none_before: Option<Instant>,
}

impl Unacknowledged {
    /// A stanza was written.
    pub fn push(&mut self, queued: Queued) {
        let time = queued.give_up_at;
        self.none_before = Some(self.none_before.map_or(time, |before| before.min(time)));
        self.queue.push_back(Some(queued));
    }

    /// The peer has so many more of the oldest.
    pub fn acknowledge(&mut self, count: u32) -> impl Iterator<Item = OutboundStanza> + '_ {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.queue.len());
        self.queue.drain(..count).flatten().map(|queued| queued.stanza)
    }

    /// Takes out the stanzas whose senders wait no longer. Their places stay: the peer counts them.
    pub fn expired(&mut self, now: Instant) -> Vec<OutboundStanza> {
        if self.none_before.is_none_or(|time| time > now) {
            return Vec::new();
        }
        let late = |place: &mut Option<Queued>| place.take_if(|queued| queued.give_up_at <= now);
        let expired = self.queue.iter_mut().filter_map(late).map(|queued| queued.stanza).collect();
        self.none_before = self.queue.iter().flatten().map(|queued| queued.give_up_at).min();
        expired
    }

    /// When [`Self::expired`] has to be asked again, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        if self.queue.is_empty() { None } else { self.none_before }
    }

    /// The stream is gone: what became of these nobody knows.
    pub fn drain(&mut self) -> Vec<OutboundStanza> {
        self.none_before = None;
        std::mem::take(&mut self.queue).into_iter().flatten().map(|queued| queued.stanza).collect()
    }

    /// Whether no more may be written before the peer acknowledges some.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= MAX_UNACKNOWLEDGED
    }

    /// How many the peer has not acknowledged, those whose senders wait no more included.
    pub fn places(&self) -> usize {
        self.queue.len()
    }

    /// How many senders still wait.
    pub fn len(&self) -> usize {
        self.queue.iter().flatten().count()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stream::test_support::outbound;

    fn queued(id: &str, give_up_at: Instant) -> Queued {
        Queued { stanza: outbound(id), since: give_up_at, give_up_at }
    }

    fn ids(stanzas: impl IntoIterator<Item = OutboundStanza>) -> Vec<String> {
        stanzas.into_iter().map(|stanza| String::from_utf8(stanza.xml.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_oldest_are_acknowledged_first_and_those_given_up_keep_their_places() {
        let now = Instant::now();
        let mut unacknowledged = Unacknowledged::default();
        for (id, seconds) in [("1", 9), ("2", 1), ("3", 9), ("4", 9)] {
            unacknowledged.push(queued(id, now + Duration::from_secs(seconds)));
        }
        assert_eq!(unacknowledged.deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(ids(unacknowledged.expired(now + Duration::from_secs(1))), ["2"]);
        assert_eq!(unacknowledged.len(), 3);
        assert_eq!(ids(unacknowledged.acknowledge(2)), ["1"]);
        assert_eq!(ids(unacknowledged.drain()), ["3", "4"]);
        assert!(unacknowledged.is_empty());
    }
}
