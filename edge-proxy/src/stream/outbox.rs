//! The queue of one pair towards its partner: bounded in stanzas, bytes and time, and the
//! pauses between attempts to get rid of it.
//!
//! Sans-IO: time and chance are arguments. Order is kept whatever happens; what cannot be sent is handed back with its
//! duty to tell.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use causeway_shared::live::Waiting;

use crate::limits::{BackOffLimits, QueueLimits};
use crate::link::OutboundStanza;

/// A stanza and the time by which it must be on its way.
#[derive(Debug)]
pub struct Queued {
    /// The stanza.
    pub stanza: OutboundStanza,
    /// When it was queued.
    pub since: Instant,
    /// When its sender gives up.
    pub give_up_at: Instant,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Queued>,
    bytes: usize,
    /// A time that no stanza in the queue gives up before, so that most looks cost nothing.
    none_before: Option<Instant>,
}

impl Outbox {
    /// Adds a stanza at the end, or hands it back when the queue is full.
    pub fn push(&mut self, stanza: OutboundStanza, limits: &QueueLimits, now: Instant) -> Option<OutboundStanza> {
        if self.queue.len() >= limits.stanzas || self.bytes + stanza.xml.len() > limits.bytes {
            return Some(stanza);
        }
        let patience = if stanza.patience.is_zero() { limits.lifetime } else { stanza.patience };
        let give_up_at = now + patience;
        self.none_before = Some(self.none_before.map_or(give_up_at, |time| time.min(give_up_at)));
        self.bytes += stanza.xml.len();
        self.queue.push_back(Queued { stanza, since: now, give_up_at });
        None
    }

    /// Takes stanzas from the front until they have about this many bytes; one at least.
    pub fn take(&mut self, bytes: usize, batch: &mut Vec<Queued>) {
        let mut taken = 0;
        while taken < bytes {
            let Some(queued) = self.queue.pop_front() else {
                break;
            };
            taken += queued.stanza.xml.len();
            self.bytes = self.bytes.saturating_sub(queued.stanza.xml.len());
            batch.push(queued);
        }
    }

    /// Puts stanzas back where they were taken from.
    pub fn put_back(&mut self, batch: Vec<Queued>) {
        for queued in batch.into_iter().rev() {
            self.bytes += queued.stanza.xml.len();
            self.none_before = Some(self.none_before.map_or(queued.give_up_at, |time| time.min(queued.give_up_at)));
            self.queue.push_front(queued);
        }
    }

    /// Takes out the stanzas whose time is over.
    pub fn expired(&mut self, now: Instant) -> Vec<OutboundStanza> {
        if self.none_before.is_none_or(|time| time > now) {
            return Vec::new();
        }
        let (late, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|queued| queued.give_up_at <= now);
        self.queue = rest;
        self.none_before = self.queue.iter().map(|queued| queued.give_up_at).min();
        let late: Vec<_> = late.into_iter().map(|queued| queued.stanza).collect();
        self.bytes = self.bytes.saturating_sub(late.iter().map(|stanza| stanza.xml.len()).sum());
        late
    }

    /// When [`Self::expired`] has to be asked again, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        if self.queue.is_empty() { None } else { self.none_before }
    }

    /// Takes out everything.
    pub fn drain(&mut self) -> Vec<OutboundStanza> {
        self.bytes = 0;
        self.none_before = None;
        std::mem::take(&mut self.queue).into_iter().map(|queued| queued.stanza).collect()
    }

    /// What waits, for operators.
    pub fn waiting(&self, now: Instant) -> Waiting {
        let oldest = self.queue.front().map(|first| now.saturating_duration_since(first.since));
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Waiting {
            stanzas: number(self.queue.len()),
            bytes: number(self.bytes),
            oldest_ms: oldest.map_or(0, |oldest| u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The pauses between attempts: doubled from the first to the longest, each a fifth longer or shorter by chance.
#[derive(Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The pause after one more failure; `chance` is any number.
    pub fn pause(&mut self, limits: &BackOffLimits, chance: u32) -> Duration {
        let doubled = limits.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        // From 80 to 120 percent.
        doubled.min(limits.longest) * (80 + chance % 41) / 100
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether the last attempt failed: then the pauses are worth remembering.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use causeway_shared::jid::Jid;
    use causeway_shared::link::StanzaKind;

    use super::*;
    use crate::link::AckHandle;

    fn stanza(id: usize, patience: u64) -> OutboundStanza {
        OutboundStanza {
            kind: StanzaKind::Message,
            from: Jid::parse("alice@contoso.example").unwrap(),
            to: Jid::parse("bob@fabrikam.example").unwrap(),
            xml: Bytes::from(id.to_string()),
            patience: Duration::from_secs(patience),
            span: causeway_shared::telemetry::Span::NONE,
            ack: AckHandle::nobody(),
        }
    }

    fn limits() -> QueueLimits {
        QueueLimits::default()
    }

    fn ids(batch: Vec<Queued>) -> Vec<String> {
        batch.into_iter().map(|queued| String::from_utf8(queued.stanza.xml.to_vec()).unwrap()).collect()
    }

    #[test]
    fn order_is_kept_when_a_batch_comes_back() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        for id in 1..=4 {
            assert!(outbox.push(stanza(id, 5), &limits(), now).is_none());
        }
        let mut batch = Vec::new();
        outbox.take(2, &mut batch);
        outbox.put_back(batch);
        let mut all = Vec::new();
        outbox.take(100, &mut all);
        assert_eq!(ids(all), ["1", "2", "3", "4"]);
    }

    #[test]
    fn a_full_queue_hands_the_stanza_back() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        for id in 0..limits().stanzas {
            assert!(outbox.push(stanza(id, 5), &limits(), now).is_none());
        }
        assert!(outbox.push(stanza(0, 5), &limits(), now).is_some());
        let mut outbox = Outbox::default();
        let big = || OutboundStanza { xml: Bytes::from(vec![b'x'; limits().bytes / 2]), ..stanza(0, 5) };
        assert!(outbox.push(big(), &limits(), now).is_none());
        assert!(outbox.push(big(), &limits(), now).is_none());
        assert!(outbox.push(stanza(0, 5), &limits(), now).is_some());
    }

    #[test]
    fn a_stanza_waits_as_long_as_its_sender_or_a_minute() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        assert!(outbox.push(stanza(1, 0), &limits(), now).is_none());
        assert!(outbox.push(stanza(2, 5), &limits(), now).is_none());
        assert_eq!(outbox.deadline(), Some(now + Duration::from_secs(5)));
        assert!(outbox.expired(now + Duration::from_secs(4)).is_empty());
        assert_eq!(outbox.expired(now + Duration::from_secs(5)).len(), 1);
        assert_eq!(outbox.deadline(), Some(now + limits().lifetime));
        assert_eq!(outbox.expired(now + limits().lifetime).len(), 1);
        assert!(outbox.is_empty());
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_begin_anew_after_success() {
        let mut back_off = BackOff::default();
        let pauses: Vec<_> = (0..7).map(|_| back_off.pause(&BackOffLimits::default(), 20).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        back_off.reset();
        assert_eq!(back_off.pause(&BackOffLimits::default(), 0), Duration::from_secs(8));
        assert_eq!(back_off.pause(&BackOffLimits::default(), 40), Duration::from_secs(24));
    }
}
