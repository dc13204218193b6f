//! Whether what arrives was sent just now. Sans-IO.
//!
//! Whoever was frozen, or cut off for a while, finds in his socket what the other side had sent before it gave him up, and has
//! given to somebody else since. Clocks differ, so the age of a frame is counted from the freshest one of its call.

/// A frame that took so much longer than the fastest one comes from a call that the other side has given up: it does so
/// after ten seconds of silence. Less than that, for the first frames of a silence are the oldest.
pub const STALE_AFTER_MS: u64 = 8_000;

/// What is known of the ages on one call.
#[derive(Debug, Default)]
pub struct Freshness {
    /// The least difference between the clocks' readings, sent and arrived.
    least: Option<i128>,
}

impl Freshness {
    /// Whether a frame is too old to act on; `sent_ms` is the sender's clock, 0 from one that does not say, and `now_ms` ours.
    pub fn is_stale(&mut self, sent_ms: u64, now_ms: u64) -> bool {
        if sent_ms == 0 {
            return false;
        }
        let age = i128::from(now_ms) - i128::from(sent_ms);
        let least = self.least.map_or(age, |least| least.min(age));
        self.least = Some(least);
        age - least > i128::from(STALE_AFTER_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_in_the_socket_while_nobody_read_is_stale() {
        let mut freshness = Freshness::default();
        assert!(!freshness.is_stale(1_000, 1_005));
        assert!(!freshness.is_stale(2_000, 2_003 + STALE_AFTER_MS));
        assert!(freshness.is_stale(2_100, 2_106 + STALE_AFTER_MS));
    }

    #[test]
    fn clocks_that_differ_are_no_age() {
        let mut freshness = Freshness::default();
        assert!(!freshness.is_stale(1_000, 900_000));
        assert!(!freshness.is_stale(2_000, 901_000));
        let mut ahead = Freshness::default();
        assert!(!ahead.is_stale(900_000, 1_000));
        assert!(ahead.is_stale(900_000, 1_001 + STALE_AFTER_MS));
    }

    #[test]
    fn a_sender_that_does_not_say_is_believed() {
        let mut freshness = Freshness::default();
        assert!(!freshness.is_stale(1_000, 1_000));
        assert!(!freshness.is_stale(0, u64::MAX));
    }
}
