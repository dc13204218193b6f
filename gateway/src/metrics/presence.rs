//! How stale presence is: by how much the oldest record that was due came late, by partner. A record is due when an
//! authorisation or a dialog has to be refreshed or confirmed; one that waits is presence that nobody vouches for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use causeway_shared::metrics::{OTHER, Sample};
use causeway_shared::verdict::history::MAX_PARTNERS;

/// The delays of the last claim.
#[derive(Debug, Default)]
pub(super) struct Staleness {
    /// Seconds, by partner; of those that have none, zero.
    overdue: Mutex<BTreeMap<String, f64>>,
}

impl Staleness {
    /// The store has given what is due: whose, and since how many milliseconds. What is not among it is on time.
    pub(super) fn claimed<'p>(&self, due: impl Iterator<Item = (&'p str, u64)>) {
        // Numbers are sound at any time.
        let mut overdue = self.overdue.lock().unwrap_or_else(PoisonError::into_inner);
        overdue.values_mut().for_each(|seconds| *seconds = 0.0);
        for (partner, late_ms) in due {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of centuries")]
            let late = late_ms as f64 / 1000.0;
            let is_known = overdue.contains_key(partner) || overdue.len() < MAX_PARTNERS;
            let seconds = overdue.entry(if is_known { partner } else { OTHER }.to_owned()).or_default();
            *seconds = seconds.max(late);
        }
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        let overdue = self.overdue.lock().unwrap_or_else(PoisonError::into_inner);
        overdue.iter().map(|(partner, seconds)| (vec![("partner", partner.clone())], *seconds)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_last_claim_counts_and_an_empty_claim_is_on_time() {
        let staleness = Staleness::default();
        staleness.claimed([("a.example", 500), ("a.example", 2000), ("b.example", 250)].into_iter());
        let seconds = |staleness: &Staleness| {
            staleness.samples().into_iter().map(|(labels, value)| (labels[0].1.clone(), value)).collect::<Vec<_>>()
        };
        assert_eq!(seconds(&staleness), [("a.example".to_owned(), 2.0), ("b.example".to_owned(), 0.25)]);
        staleness.claimed(std::iter::empty());
        assert_eq!(seconds(&staleness), [("a.example".to_owned(), 0.0), ("b.example".to_owned(), 0.0)]);
    }
}
