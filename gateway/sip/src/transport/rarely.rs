//! Log lines that strangers can bring about: one in a while, with the number of those that were left out.

use std::time::{Duration, Instant};

/// Between two such lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Says when a line may be written.
#[derive(Debug, Default)]
pub struct Rarely {
    last: Option<Instant>,
    left_out: u64,
}

impl Rarely {
    /// How many were left out before this one, if it may be written.
    pub fn now(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_in_a_while_and_a_number() {
        let (mut rarely, start) = (Rarely::default(), Instant::now());
        assert_eq!(rarely.now(start), Some(0));
        let written = (0..1000_u32).filter(|n| rarely.now(start + Duration::from_millis(u64::from(*n))).is_some());
        assert_eq!(written.count(), 0);
        assert_eq!(rarely.now(start + PAUSE), Some(1000));
        assert_eq!(rarely.now(start + PAUSE * 2), Some(0));
    }
}
