//! Rates, and the bucket that keeps one: so much in a while, and so much at once after a silence.
//!
//! A bucket is one point in time, the one at which it will be full again (the "generic cell rate algorithm" of ATM
//! networks). So it needs no timer, holds no numbers that a change of the rate would make wrong, and may go into debt:
//! what has been read has been read, and is paid for by waiting.

use std::time::{Duration, Instant};

/// So much in a while, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What comes back in [`Self::per`]; never 0.
    pub count: u32,
    /// The while.
    pub per: Duration,
    /// What may come at once after a silence.
    pub burst: u32,
}

impl Rate {
    /// So much in a second.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self { count, per: Duration::from_secs(1), burst }
    }

    /// So much in a minute.
    pub const fn per_minute(count: u32, burst: u32) -> Self {
        Self { count, per: Duration::from_secs(60), burst }
    }

    /// How long so many take to come back.
    fn time_for(&self, count: u64) -> Duration {
        let nanos = self.per.as_nanos().saturating_mul(u128::from(count)) / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST)
    }
}

/// No bucket is further from full than this, so that times can be added without a look at their bounds.
const LONGEST: Duration = Duration::from_secs(3600);

/// A bucket, full at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it is full, if it is not.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes so many, whether they are there or not. If they were not: when the next may be taken.
    pub fn take(&mut self, count: usize, rate: &Rate, now: Instant) -> Option<Instant> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let missing = self.missing(now).saturating_add(rate.time_for(count)).min(LONGEST);
        self.full_at = Some(now + missing);
        let debt = missing.checked_sub(rate.time_for(u64::from(rate.burst)))?;
        (!debt.is_zero()).then(|| now + debt)
    }

    /// Takes one if there is one.
    pub fn try_take(&mut self, rate: &Rate, now: Instant) -> bool {
        let missing = self.missing(now).saturating_add(rate.time_for(1));
        let is_there = missing <= rate.time_for(u64::from(rate.burst));
        if is_there {
            self.full_at = Some(now + missing);
        }
        is_there
    }

    /// Whether nothing is missing, so that it is as good as a new one.
    pub fn is_full(&self, now: Instant) -> bool {
        self.missing(now).is_zero()
    }

    fn missing(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::per_second(10, 20);

    #[test]
    fn a_burst_is_free_and_the_rest_is_waited_for() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!(bucket.take(20, &RATE, now), None);
        assert_eq!(bucket.take(5, &RATE, now), Some(now + Duration::from_millis(500)));
        // Half a second later the debt is paid, and the next costs again.
        let later = now + Duration::from_millis(500);
        assert_eq!(bucket.take(1, &RATE, later), Some(later + Duration::from_millis(100)));
    }

    #[test]
    fn silence_fills_it_and_no_more_than_that() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        bucket.take(20, &RATE, now);
        assert!(!bucket.is_full(now));
        let much_later = now + Duration::from_secs(100);
        assert!(bucket.is_full(much_later));
        assert_eq!(bucket.take(20, &RATE, much_later), None);
        assert!(bucket.take(1, &RATE, much_later).is_some());
    }

    #[test]
    fn one_is_taken_only_if_it_is_there() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let rate = Rate::per_minute(60, 2);
        assert!(bucket.try_take(&rate, now));
        assert!(bucket.try_take(&rate, now));
        assert!(!bucket.try_take(&rate, now));
        assert!(bucket.try_take(&rate, now + Duration::from_secs(1)));
        assert!(!bucket.try_take(&rate, now + Duration::from_secs(1)));
    }

    #[test]
    fn over_time_the_rate_is_kept_whatever_the_pieces() {
        let start = Instant::now();
        for piece in [1, 3, 7, 64] {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), start, 0);
            while taken < 10_000 {
                now = bucket.take(piece, &RATE, now).unwrap_or(now);
                taken += piece;
            }
            let seconds = now.duration_since(start).as_secs_f64();
            let rate = (f64::from(u32::try_from(taken).unwrap()) - 20.0) / seconds;
            assert!((rate - 10.0).abs() < 0.2, "{rate} in a second in pieces of {piece}");
        }
    }

    #[test]
    fn another_rate_takes_over_at_once() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        bucket.take(20, &RATE, now);
        assert_eq!(bucket.take(1000, &Rate::per_second(1_000_000, 10_000_000), now), None);
    }

    #[test]
    fn nothing_overflows() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        for _ in 0..3 {
            assert!(bucket.take(usize::MAX, &Rate::per_minute(1, u32::MAX), now).is_none());
            assert!(bucket.take(usize::MAX, &Rate::per_minute(0, 1), now).is_some());
        }
    }
}
