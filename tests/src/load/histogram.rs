//! Latencies in buckets of 3 per cent, counted by many threads without locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per power of two.
const STEPS: u64 = 32;

/// Powers of two of nanoseconds above the first 32: up to about an hour.
const POWERS: u64 = 38;

/// A histogram.
pub struct Histogram(Vec<AtomicU64>);

impl Default for Histogram {
    fn default() -> Self {
        Self((0..STEPS * POWERS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX).max(1);
        let power = u64::from(nanos.ilog2()).saturating_sub(STEPS.ilog2().into());
        let index = power * STEPS + (nanos >> power);
        if let Some(bucket) = usize::try_from(index).ok().and_then(|index| self.0.get(index)).or(self.0.last()) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }

    /// The value that this share of all values does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let counts: Vec<u64> = self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let mut left = share * total as f64;
        for (index, count) in (0_u64..).zip(counts) {
            left -= count as f64;
            if left <= 0.0 && count > 0 {
                // The inverse of `record`: a bucket of power p covers [m << p, (m + 1) << p) for m in 32..64.
                let power = (index / STEPS).saturating_sub(1);
                let mantissa = index - power * STEPS;
                return Duration::from_nanos((mantissa + 1) << power);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_bucket() {
        let histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = histogram.quantile(share).as_secs_f64() * 1e6;
            assert!((found / micros - 1.0).abs() < 0.04, "{share}: {found}");
        }
    }
}
