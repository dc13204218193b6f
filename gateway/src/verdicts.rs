//! What failed or was refused: the verdicts of this gateway and of its edges, the last ones of each partner.
//!
//! For the panel, the CLI and `/verdicts`. In memory and bounded: an edge tells again what it has kept whenever this
//! gateway attaches, and its numbers tell what is known already.

use std::sync::{Mutex, MutexGuard, PoisonError};

use causeway_shared::domain::DomainName;
use causeway_shared::verdict::history::{History, Kept};
use causeway_shared::verdict::{Facts, Verdict};

use crate::policy::Domains;

/// Verdicts that are shown when no partner is asked for.
const SHOWN: usize = 256;

/// The kept verdicts.
#[derive(Debug, Default)]
pub struct Verdicts(Mutex<History>);

/// A verdict, and how often it was given since it was heard of last.
pub type News = (Verdict, u32);

impl Verdicts {
    /// Takes what an edge told. What is new is logged, and returned to be counted.
    pub fn merge(&self, told: impl IntoIterator<Item = Kept>) -> Vec<News> {
        let mut news = Vec::new();
        for kept in told {
            let (verdict, all) = (kept.verdict.clone(), kept.count);
            let count = self.lock().merge(kept);
            // Later ones only make it more.
            if count == all {
                verdict.log();
            }
            if count > 0 {
                news.push((verdict, count));
            }
        }
        news
    }

    /// Takes a verdict of this gateway: the same as before is logged now and then. Returned to be counted.
    pub fn own(&self, mut verdict: Verdict, domains: &Domains) -> Verdict {
        let named = DomainName::parse(&verdict.partner).ok();
        let is_partner = named.is_some_and(|domain| domains.partner(&domain).is_some());
        let facts = Facts { domain: verdict.partner.clone(), is_partner, ..Facts::default() };
        verdict.facts.get_or_insert_with(|| Box::new(facts));
        if let Some(kept) = self.lock().add(verdict.clone()) {
            kept.log();
        }
        verdict
    }

    /// The verdicts about a partner by its primary domain, or about a stranger; the newest first.
    pub fn latest(&self, partner: &str) -> Vec<Kept> {
        self.lock().latest(partner)
    }

    /// The newest of all, the newest first.
    pub fn newest(&self) -> Vec<Kept> {
        self.lock().newest(SHOWN)
    }

    /// The history is sound between any two steps.
    fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use causeway_shared::verdict::Code;

    use super::*;

    fn verdict(partner: &str) -> Verdict {
        Verdict { partner: partner.to_owned(), at_ms: 1, ..Verdict::of(Code::ConnectFailed, "refused") }
    }

    fn told(count: u32) -> Kept {
        Kept {
            edge: "edge1".to_owned(),
            origin: 7,
            number: 1,
            count,
            first_ms: 1,
            verdict: verdict("fabrikam.example"),
        }
    }

    #[test]
    fn what_an_edge_tells_again_after_a_new_attachment_is_no_news() {
        let verdicts = Verdicts::default();
        let counts = |news: Vec<News>| news.into_iter().map(|(_, count)| count).collect::<Vec<_>>();
        assert_eq!(counts(verdicts.merge([told(2)])), [2]);
        assert_eq!(counts(verdicts.merge([told(2)])), [0_u32; 0]);
        assert_eq!(counts(verdicts.merge([told(3)])), [1]);
        assert_eq!(verdicts.latest("fabrikam.example").len(), 1);
    }

    #[test]
    fn its_own_verdicts_are_kept_beside_those_of_the_edges() {
        let verdicts = Verdicts::default();
        verdicts.merge([told(1)]);
        let own = verdicts.own(verdict("fabrikam.example"), &Domains::default());
        assert!(own.facts.is_some_and(|facts| !facts.is_partner));
        assert_eq!(verdicts.latest("fabrikam.example").len(), 2);
        assert_eq!(verdicts.newest().len(), 2);
    }
}
