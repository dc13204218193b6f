//! How long a stream is not read because it said too much (XEP-0205, section 4.6): TCP makes the peer wait, and nothing
//! is lost.

use std::time::Instant;

use super::{Bucket, Rates};

/// What one inbound stream has had.
#[derive(Debug, Default)]
pub struct Throttle {
    unauthenticated_bytes: Bucket,
    bytes: Bucket,
    stanzas: Bucket,
    not_before: Option<Instant>,
}

impl Throttle {
    /// So many bytes were read. A stream that has proved who it is starts anew, with the larger bucket.
    pub fn bytes(&mut self, count: usize, is_authenticated: bool, rates: &Rates, now: Instant) {
        let until = if is_authenticated {
            self.bytes.take(count, &rates.bytes, now)
        } else {
            self.unauthenticated_bytes.take(count, &rates.unauthenticated_bytes, now)
        };
        self.wait(until);
    }

    /// Among them were so many stanzas.
    pub fn stanzas(&mut self, count: usize, rates: &Rates, now: Instant) {
        let until = self.stanzas.take(count, &rates.stanzas, now);
        self.wait(until);
    }

    /// Until when nothing more is read, if that is not over.
    pub fn not_before(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|time| *time > now)
    }

    fn wait(&mut self, until: Option<Instant>) {
        self.not_before = self.not_before.max(until);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Rate;
    use super::*;

    const RATES: Rates = Rates {
        bytes: Rate::per_second(1000, 1000),
        unauthenticated_bytes: Rate::per_second(10, 100),
        stanzas: Rate::per_second(10, 10),
    };

    #[test]
    fn whichever_bucket_is_emptier_decides() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.bytes(2000, true, &RATES, now);
        assert_eq!(throttle.not_before(now), Some(now + Duration::from_secs(1)));
        throttle.stanzas(40, &RATES, now);
        assert_eq!(throttle.not_before(now), Some(now + Duration::from_secs(3)));
        assert_eq!(throttle.not_before(now + Duration::from_secs(3)), None);
    }

    #[test]
    fn what_was_said_before_authentication_does_not_slow_the_stream_after_it() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.bytes(100, false, &RATES, now);
        assert_eq!(throttle.not_before(now), None);
        throttle.bytes(1000, true, &RATES, now);
        assert_eq!(throttle.not_before(now), None);
        throttle.bytes(1, false, &RATES, now);
        assert!(throttle.not_before(now).is_some());
    }
}
