//! Whether what arrives was sent just now. Sans-IO.
//!
//! Whoever was frozen, or cut off for a while, finds in his socket what the other side had sent before it gave him up, and has
//! given to somebody else since. Clocks differ, so the age of a frame is counted from the freshest one of the last minutes:
//! clocks also drift. Nor is a frame too old only because it lay here: while this side is slow, and says so by the
//! keep-alives of the connection, the other side waits. So an old frame is stale only where the reader had been away, or
//! had waited for it.

use std::time::{Duration, Instant};

/// A frame that took so much longer than the fastest one comes from a call that the other side has given up: it does so
/// after ten seconds of silence. Less than that, for the first frames of a silence are the oldest.
pub const STALE_AFTER_MS: u64 = 8_000;

/// How long a reader that is there waits for a frame whose age the network has made. More than a round trip with a lost
/// segment takes, after which a slow reader gets what the flow control had held back; less than a silence, of which it
/// may have missed the beginning.
const WAITED: Duration = Duration::from_secs(4);
/// A reader that was not seen at work for so long was frozen.
const AWAY: Duration = Duration::from_millis(STALE_AFTER_MS);
/// How often a reader has to say that it is at work.
pub const AT_WORK_EVERY: Duration = Duration::from_secs(1);
/// How long the fastest frame is the measure, once or twice: in that time clocks do not drift apart by anything that counts.
const MEASURE: Duration = Duration::from_secs(60);
/// No frame is older than the one before it by more than the time between them; what seems to be is a clock that was set.
const CLOCK_SET: i128 = 1_000;

/// What is known of the ages on one call.
#[derive(Debug)]
pub struct Freshness {
    began: Instant,
    /// The least difference between the clocks' readings, sent and arrived, of the last time of measure and of this one.
    least: [Option<i128>; 2],
    measured_from: Instant,
    /// When the reader was last at work.
    seen: Instant,
    /// When the last frame arrived, and how old it was.
    last: Option<(Instant, i128)>,
    /// Nothing fresh has come since the reader was away, or waited.
    is_in_doubt: bool,
}

impl Freshness {
    /// The first frame of a call is about to be judged.
    pub fn new(now: Instant) -> Self {
        Self { began: now, least: [None; 2], measured_from: now, seen: now, last: None, is_in_doubt: false }
    }

    /// The reader is there: said every [`AT_WORK_EVERY`] while it works on a frame, and before it waits for the next one.
    pub fn at_work(&mut self, now: Instant) {
        self.is_in_doubt |= now.saturating_duration_since(self.seen) >= AWAY;
        self.seen = now;
    }

    /// Whether a frame that has just arrived is too old to act on; `sent_ms` is the sender's clock, 0 from one that does not
    /// say.
    pub fn is_stale(&mut self, sent_ms: u64, now: Instant) -> bool {
        self.is_in_doubt |= now.saturating_duration_since(self.seen) >= WAITED;
        self.seen = now;
        if sent_ms == 0 {
            return false;
        }
        let age = millis(now.saturating_duration_since(self.began)) - i128::from(sent_ms);
        let older = self.age_above_least(age, now);
        self.last = Some((now, older));
        if older <= i128::from(STALE_AFTER_MS) {
            self.is_in_doubt = false;
        }
        self.is_in_doubt
    }

    /// How much older a frame is than the fastest one, in milliseconds.
    fn age_above_least(&mut self, age: i128, now: Instant) -> i128 {
        if now.saturating_duration_since(self.measured_from) >= MEASURE {
            self.least = [self.least[1], None];
            self.measured_from = now;
        }
        let least = self.least.into_iter().flatten().min().unwrap_or(age).min(age);
        let most = self.last.map(|(at, older)| older + millis(now.saturating_duration_since(at)) + CLOCK_SET);
        if most.is_some_and(|most| age - least > most) {
            self.least = [None, Some(age)];
            return 0;
        }
        self.least[1] = Some(self.least[1].map_or(age, |fastest| fastest.min(age)));
        age - least
    }
}

fn millis(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender and a reader with one time, in milliseconds, and a clock each.
    struct Call {
        start: Instant,
        freshness: Freshness,
    }

    impl Call {
        /// The reader's monotonic clock is not the machine's: any instant will do as its beginning.
        #[expect(clippy::disallowed_methods, reason = "an Instant comes from nowhere else")]
        fn new() -> Self {
            let start = Instant::now();
            Self { start, freshness: Freshness::new(start) }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// A frame of that time of the sender's arrives; the reader had waited for it since it was last at work.
        fn arrives(&mut self, at: u64, sent: u64) -> bool {
            let is_stale = self.freshness.is_stale(sent, self.at(at));
            self.freshness.at_work(self.at(at));
            is_stale
        }

        /// The reader works on a frame for so long.
        fn works(&mut self, from: u64, until: u64) {
            for at in (from..=until).step_by(1_000) {
                self.freshness.at_work(self.at(at));
            }
            self.freshness.at_work(self.at(until));
        }
    }

    #[test]
    fn what_waited_in_the_socket_while_the_reader_was_frozen_or_cut_off_is_stale() {
        let mut call = Call::new();
        assert!(!call.arrives(1_005, 1_000));
        // Silence, and then the oldest first.
        assert!(call.arrives(1_106 + STALE_AFTER_MS, 1_100));
        assert!(call.arrives(1_107 + STALE_AFTER_MS, 1_101));
        assert!(!call.arrives(1_107 + STALE_AFTER_MS, 1_107), "the other side is there still");
        let mut call = Call::new();
        assert!(!call.arrives(1_005, 1_000));
        assert!(!call.arrives(2_003 + STALE_AFTER_MS, 2_000), "just not");
    }

    #[test]
    fn a_reader_that_was_frozen_over_its_work_finds_stale_what_came_meanwhile() {
        let mut call = Call::new();
        assert!(!call.arrives(1_000, 1_000));
        call.works(1_000, 2_000);
        // Not a second passes for it, and twenty-five for all others.
        call.works(27_000, 27_000);
        assert!(call.arrives(27_001, 2_100));
    }

    #[test]
    fn what_lies_in_the_socket_of_a_slow_reader_is_not_stale() {
        let mut call = Call::new();
        assert!(!call.arrives(1_000, 1_000));
        let mut now = 1_000;
        for frame in 0..20 {
            call.works(now, now + 12_000);
            now += 12_000 + frame * 20;
            // It was sent long ago, and is there as soon as it is looked for; or the sender was allowed to send it only then.
            assert!(!call.arrives(now, 1_001 + frame * 100), "frame {frame}");
        }
    }

    #[test]
    fn clocks_that_differ_are_no_age() {
        for clock in [900_000_000, 1] {
            let mut call = Call::new();
            assert!(!call.arrives(1_000, clock + 1_000));
            assert!(!call.arrives(7_000, clock + 7_000));
            assert!(call.arrives(7_101 + STALE_AFTER_MS, clock + 7_100));
        }
    }

    #[test]
    fn a_clock_that_is_set_ends_no_call_and_what_is_stale_by_the_new_one_is_found() {
        for (before, after) in [(1_000_000, 0), (0, 1_000_000)] {
            let mut call = Call::new();
            assert!(!call.arrives(1_000, before + 1_000));
            for second in 2..20 {
                assert!(!call.arrives(second * 1_000, after + second * 1_000), "at {second} s");
            }
            assert!(!call.arrives(25_000, after + 25_000));
            assert!(call.arrives(25_200 + STALE_AFTER_MS, after + 25_100));
        }
    }

    #[test]
    fn clocks_that_drift_apart_end_no_call_in_days() {
        let mut call = Call::new();
        // Half a millisecond in ten seconds, for three days.
        for tick in 0..25_920_u64 {
            let now = 1_000 + tick * 10_000;
            assert!(!call.arrives(now, 1_000_000 + now - tick / 2), "after {} h", tick / 360);
        }
    }

    #[test]
    fn a_call_that_was_idle_for_long_keeps_its_measure() {
        let mut call = Call::new();
        assert!(!call.arrives(1_000, 1_000));
        assert!(call.arrives(3_600_000, 3_600_000 - STALE_AFTER_MS - 1));
    }

    #[test]
    fn a_sender_that_does_not_say_is_believed() {
        let mut call = Call::new();
        assert!(!call.arrives(1_000, 1_000));
        assert!(!call.arrives(60_000, 0));
    }
}
