//! How many pairs of one partner, and of one of its users, take up room at the pool or in the store (RFC 8048, section
//! 8.1: a watcher makes the gateway refresh for him again and again).
//!
//! As far as this process knows: what the store holds is counted while it is read through after a start.

use std::collections::HashMap;
use std::hash::Hash;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;

use crate::presence::record::{InAuthorisation, InDialog, Pair, PairKey};
use crate::quota::WatchLimits;

/// `subscribe` requests that the users of one unverified partner may have held.
const HELD_PER_PARTNER: u64 = 10_000;

/// What a pair takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// A held `subscribe`.
    pub(super) is_held: bool,
    /// A subscription with the pool, or the attempts at one.
    pub(super) is_watched: bool,
}

impl Place {
    pub(super) fn of(pair: &Pair) -> Self {
        Self {
            is_held: pair.inbound.authorisation == InAuthorisation::Held,
            is_watched: match pair.inbound.dialog {
                InDialog::Trying { .. } | InDialog::Live { .. } | InDialog::Backoff { .. } => true,
                InDialog::None | InDialog::Closing { .. } => false,
            },
        }
    }
}

/// The counts; what is 0 is not kept.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    held: HashMap<DomainName, u64>,
    watched: HashMap<DomainName, u64>,
    watched_by: HashMap<BareJid, u64>,
}

impl Crowd {
    /// A pair takes up another place than before.
    pub(super) fn count(&mut self, key: &PairKey, before: Place, after: Place) {
        if before == after {
            return;
        }
        let domain = key.remote.domain_name();
        change(&mut self.held, &domain, before.is_held, after.is_held);
        change(&mut self.watched, &domain, before.is_watched, after.is_watched);
        change(&mut self.watched_by, &key.remote, before.is_watched, after.is_watched);
    }

    /// Whether one more `subscribe` of the domain may be held.
    pub(super) fn may_hold(&self, domain: &DomainName) -> bool {
        self.held.get(domain).is_none_or(|count| *count < HELD_PER_PARTNER)
    }

    /// Whether the XMPP user may make us watch one more SIP user.
    pub(super) fn may_watch(&self, key: &PairKey, limits: &WatchLimits) -> bool {
        let is_below =
            |count: Option<&u64>, limit: u32| limit == 0 || count.is_none_or(|count| *count < u64::from(limit));
        is_below(self.watched_by.get(&key.remote), limits.per_user)
            && is_below(self.watched.get(key.remote.domain()), limits.per_partner)
    }

    /// Subscriptions for users of a domain.
    #[cfg(test)]
    pub(super) fn watched_of(&self, domain: &str) -> u64 {
        self.watched.get(domain).copied().unwrap_or_default()
    }

    /// Held requests of a domain.
    pub(super) fn held_of(&self, domain: &DomainName) -> u64 {
        self.held.get(domain).copied().unwrap_or_default()
    }
}

fn change<K: Clone + Eq + Hash>(counts: &mut HashMap<K, u64>, key: &K, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *counts.entry(key.clone()).or_default() += 1,
        (true, false) => {
            if let Some(count) = counts.get_mut(key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(key);
                }
            }
        }
        (true, true) | (false, false) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCHED: Place = Place { is_held: false, is_watched: true };

    fn key(local: u32, remote: u32) -> PairKey {
        let bare = |text: String| BareJid::parse(&text).unwrap();
        PairKey {
            local: bare(format!("u{local}@contoso.example")),
            remote: bare(format!("b{remote}@fabrikam.example")),
        }
    }

    // Rule: in.bounds
    #[test]
    fn one_watcher_and_one_partner_may_watch_so_many_and_no_more() {
        let limits = WatchLimits { per_user: 2, per_partner: 3 };
        let mut crowd = Crowd::default();
        for local in 0..2 {
            assert!(crowd.may_watch(&key(local, 0), &limits));
            crowd.count(&key(local, 0), Place::default(), WATCHED);
        }
        assert!(!crowd.may_watch(&key(2, 0), &limits) && crowd.may_watch(&key(2, 1), &limits));
        crowd.count(&key(2, 1), Place::default(), WATCHED);
        assert!(!crowd.may_watch(&key(3, 2), &limits));
        assert!(crowd.may_watch(&key(3, 2), &WatchLimits { per_user: 0, per_partner: 0 }));
        for (local, remote) in [(0, 0), (1, 0), (2, 1)] {
            crowd.count(&key(local, remote), WATCHED, Place::default());
        }
        assert!(crowd.may_watch(&key(3, 2), &limits));
        assert!(crowd.watched.is_empty() && crowd.watched_by.is_empty());
    }
}
