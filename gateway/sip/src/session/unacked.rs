//! A 2xx to an INVITE that waits for its ACK (RFC 3261 section 13.3.1.4): repeated on every transport, because the ACK
//! comes from end to end and the hops between may lose it.

use std::time::{Duration, Instant};

use crate::limits::{T1, T2, TRANSACTION_PATIENCE};

/// The clock of one 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unacked {
    at: Instant,
    interval: Duration,
    give_up_at: Instant,
}

/// What the clock asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send the 2xx again.
    SendAgain,
    /// No ACK in 64*T1: the dialog stands, but the session should be ended with a BYE.
    GiveUp,
}

impl Unacked {
    pub(crate) fn start(now: Instant) -> Self {
        Self { at: now + T1, interval: T1, give_up_at: now + TRANSACTION_PATIENCE }
    }

    /// When [`Unacked::fire`] is wanted.
    pub(crate) fn deadline(&self) -> Instant {
        self.at.min(self.give_up_at)
    }

    /// What is due, if anything.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<Due> {
        if now >= self.give_up_at {
            return Some(Due::GiveUp);
        }
        if now < self.at {
            return None;
        }
        self.interval = (self.interval * 2).min(T2);
        self.at = now + self.interval;
        Some(Due::SendAgain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_2xx_is_repeated_with_doubling_pauses_up_to_t2_for_64_t1() {
        let start = Instant::now();
        let mut unacked = Unacked::start(start);
        let mut sent = Vec::new();
        loop {
            let at = unacked.deadline();
            match unacked.fire(at) {
                Some(Due::SendAgain) => sent.push((at - start).as_millis()),
                Some(Due::GiveUp) => break assert_eq!(at, start + TRANSACTION_PATIENCE),
                None => panic!("a deadline at which nothing is due"),
            }
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    }
}
