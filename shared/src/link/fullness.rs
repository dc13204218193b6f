//! How long the window of a peer was full: the time for which what is for it had to wait, whatever it waited for. Sans-IO.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The time so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fullness {
    since: Option<Instant>,
    total: Duration,
}

impl Fullness {
    /// The window is full, or not; the time is only asked for where that is news.
    pub fn look(&mut self, is_full: bool, now: impl FnOnce() -> Instant) {
        match (self.since, is_full) {
            (None, true) => self.since = Some(now()),
            (Some(since), false) => {
                self.total += now().saturating_duration_since(since);
                self.since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// The time until now.
    pub fn total(&self, now: Instant) -> Duration {
        self.total + self.since.map(|since| now.saturating_duration_since(since)).unwrap_or_default()
    }
}

/// One window, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowFacts {
    /// What the peer calls itself.
    pub peer: String,
    /// Stanzas it has and has not finished.
    pub used: usize,
    /// Stanzas it takes.
    pub size: usize,
    /// How long that was the same.
    pub full: Duration,
}

/// One window for each name: a peer that attaches again before its old call has ended has two for a moment.
pub fn by_name(windows: impl Iterator<Item = WindowFacts>) -> Vec<WindowFacts> {
    let mut named: BTreeMap<String, WindowFacts> = BTreeMap::new();
    for window in windows {
        match named.get_mut(&window.peer) {
            Some(known) => {
                known.used += window.used;
                known.size += window.size;
                known.full = known.full.max(window.full);
            }
            None => drop(named.insert(window.peer.clone(), window)),
        }
    }
    named.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "some moment to count from")]
    fn time_counts_while_a_window_is_full() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut fullness = Fullness::default();
        fullness.look(false, || unreachable!("no news"));
        fullness.look(true, || at(1));
        fullness.look(true, || unreachable!("no news"));
        assert_eq!(fullness.total(at(3)), Duration::from_secs(2));
        fullness.look(false, || at(4));
        assert_eq!(fullness.total(at(9)), Duration::from_secs(3));
        fullness.look(true, || at(10));
        assert_eq!(fullness.total(at(11)), Duration::from_secs(4));
    }

    #[test]
    fn a_peer_that_is_attached_twice_has_one_window() {
        let window = |peer: &str, used, full| WindowFacts {
            peer: peer.to_owned(),
            used,
            size: 10,
            full: Duration::from_secs(full),
        };
        let named = by_name([window("b", 1, 0), window("a", 2, 5), window("a", 3, 1)].into_iter());
        assert_eq!(named, [WindowFacts { size: 20, ..window("a", 5, 5) }, window("b", 1, 0)]);
    }
}
