//! What is counted for each partner: bounded, whoever connects and whatever is configured over the years.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::verdict::history::MAX_PARTNERS;
pub use crate::verdict::labels::{OTHER, UNKNOWN};

/// The numbers of each partner, by its primary domain: of the first thousand, and of all others together.
#[derive(Debug)]
pub struct PerPartner<T> {
    known: RwLock<HashMap<Box<str>, Arc<T>>>,
}

impl<T> Default for PerPartner<T> {
    fn default() -> Self {
        Self { known: RwLock::default() }
    }
}

impl<T> PerPartner<T> {
    /// The numbers of a configured partner, or of [`UNKNOWN`]; `make` makes them with the label that they have.
    pub fn of(&self, partner: &str, make: impl FnOnce(&str) -> T) -> Arc<T> {
        // A map of counters is sound at any time.
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(partner) {
            return Arc::clone(known);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let label = if known.len() < MAX_PARTNERS { partner } else { OTHER };
        Arc::clone(known.entry(label.into()).or_insert_with_key(|label| Arc::new(make(label))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_beyond_the_bound_share_their_numbers() {
        let partners = PerPartner::default();
        for n in 0..MAX_PARTNERS {
            assert_eq!(*partners.of(&format!("{n}.example"), str::to_owned), format!("{n}.example"));
        }
        assert_eq!(*partners.of("more.example", str::to_owned), OTHER);
        assert_eq!(*partners.of("even-more.example", str::to_owned), OTHER);
        assert_eq!(*partners.of("7.example", |_| unreachable!("it is known")), "7.example");
        assert_eq!(partners.known.read().unwrap().len(), MAX_PARTNERS + 1);
    }
}
