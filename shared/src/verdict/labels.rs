//! Names of partners as labels of metrics: bounded, whoever connects and whatever is configured over the years.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::Verdict;
use super::history::MAX_PARTNERS;

/// The label of all domains that are no partner's.
pub const UNKNOWN: &str = "unknown";

/// The label of partners beyond the bound.
pub const OTHER: &str = "other";

/// The partners that have a label of their own.
#[derive(Debug, Default)]
pub struct PartnerLabels(Mutex<HashSet<String>>);

impl PartnerLabels {
    /// The label of a verdict: its partner, if it is a configured one among the first thousand.
    pub fn of(&self, verdict: &Verdict) -> String {
        let is_partner = verdict.facts.as_ref().is_some_and(|facts| facts.is_partner);
        if verdict.partner.is_empty() {
            return String::new();
        }
        if !is_partner {
            return UNKNOWN.to_owned();
        }
        self.label(&verdict.partner).to_owned()
    }

    /// The label of a configured partner: its own, if it is among the first thousand.
    pub fn label<'p>(&self, partner: &'p str) -> &'p str {
        // A set of names is sound at any time.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(partner) {
            if known.len() >= MAX_PARTNERS {
                return OTHER;
            }
            known.insert(partner.to_owned());
        }
        partner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Direction, Facts, Rung, Side};

    #[test]
    fn strangers_share_a_label_and_partners_beyond_the_bound_another() {
        let verdict = |partner: String, is_partner| Verdict {
            code: None,
            rung: Rung::Policy,
            side: Side::Operator,
            cause: String::new(),
            remedy: String::new(),
            partner,
            direction: Direction::In,
            peer: None,
            at_ms: 0,
            facts: Some(Box::new(Facts { is_partner, ..Facts::default() })),
        };
        let labels = PartnerLabels::default();
        assert_eq!(labels.of(&verdict("x.example".to_owned(), false)), UNKNOWN);
        for n in 0..MAX_PARTNERS {
            assert_eq!(labels.of(&verdict(format!("{n}.example"), true)), format!("{n}.example"));
        }
        assert_eq!(labels.of(&verdict("more.example".to_owned(), true)), OTHER);
        assert_eq!(labels.of(&verdict("7.example".to_owned(), true)), "7.example");
    }
}
