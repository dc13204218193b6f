//! Keep-alive of a connection that we opened (RFC 5626 sections 3.5.1 and 4.4.1): a double CRLF now and then, a CRLF back.
//!
//! Only peers that know RFC 5626 answer, and a next hop is not asked beforehand. So silence ends a connection only if its
//! peer has answered before; to all others the ping still keeps the way open in firewalls between, and RFC 3261
//! section 7.5 has them ignore it.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest and the longest time between two pings: 80 to 100 percent of two minutes.
pub const PING_AFTER: Duration = Duration::from_secs(95);
/// See [`PING_AFTER`]: connections are spread over this time, so that not all of them ping at once.
const PING_SPREAD: Duration = Duration::from_secs(25);
/// How long the answer may take.
pub const PONG_PATIENCE: Duration = Duration::from_secs(10);

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    next_ping: Instant,
    pong_by: Option<Instant>,
    peer_answers: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Ping,
    /// The peer answered before and does not any more.
    Dead,
}

impl KeepAlive {
    /// `number` tells connections apart, so that their pings are spread.
    pub(super) fn new(ping_after: Duration, number: u64, now: Instant) -> Self {
        // The golden ratio spreads consecutive numbers; nothing here is a secret.
        let share = u32::try_from((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) & 0xff).unwrap_or(0);
        let spread = PING_SPREAD.min(ping_after / 4) * share / 256;
        let interval = ping_after + spread;
        Self { interval, next_ping: now + interval, pong_by: None, peer_answers: false }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.pong_by.map_or(self.next_ping, |at| at.min(self.next_ping))
    }

    /// A single CRLF came.
    pub(super) fn pong(&mut self) {
        if self.pong_by.take().is_some() {
            self.peer_answers = true;
        }
    }

    pub(super) fn fire(&mut self, now: Instant) -> Option<Due> {
        if self.pong_by.is_some_and(|at| at <= now) {
            self.pong_by = None;
            if self.peer_answers {
                return Some(Due::Dead);
            }
        }
        if self.next_ping > now {
            return None;
        }
        self.next_ping = now + self.interval;
        self.pong_by = Some(now + PONG_PATIENCE.min(self.interval));
        Some(Due::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule: sip.keep-alive
    #[test]
    fn pings_come_between_95_and_120_seconds() {
        let now = Instant::now();
        for number in 0..1000 {
            let first = KeepAlive::new(PING_AFTER, number, now).deadline() - now;
            assert!(first >= Duration::from_secs(95) && first <= Duration::from_secs(120), "{first:?}");
        }
    }

    // Rule: sip.keep-alive
    #[test]
    fn silence_after_a_first_answer_is_death_and_before_it_is_another_custom() {
        let now = Instant::now();
        for answers in [true, false] {
            let mut keepalive = KeepAlive::new(PING_AFTER, 0, now);
            let first = keepalive.deadline();
            assert_eq!(keepalive.fire(first - Duration::from_millis(1)), None);
            assert_eq!(keepalive.fire(first), Some(Due::Ping));
            if answers {
                keepalive.pong();
                assert_eq!(keepalive.deadline(), first + PING_AFTER);
            }
            let second = first + PING_AFTER;
            keepalive.fire(first + PONG_PATIENCE);
            assert_eq!(keepalive.fire(second), Some(Due::Ping));
            assert_eq!(keepalive.fire(second + PONG_PATIENCE), answers.then_some(Due::Dead));
        }
    }

    #[test]
    fn a_pong_that_nobody_asked_for_proves_nothing() {
        let mut keepalive = KeepAlive::new(PING_AFTER, 0, Instant::now());
        keepalive.pong();
        assert!(!keepalive.peer_answers);
    }
}
