//! How many pairs of one partner, and of one of its users, take up room at the pool or in the store (RFC 8048, section
//! 8.1: a watcher makes the gateway refresh for him again and again).
//!
//! As far as this process knows: what the store holds is counted while it is read through after a start, and in a pool now
//! and then again, for what other gateways do is not seen.

use std::collections::HashMap;

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

/// The counts of all domains.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    domains: HashMap<DomainName, Counts>,
    /// The domain that is being read through, and what was found so far.
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    domain: DomainName,
    /// The last pair that was read: what happens to those behind it will be read.
    last: Option<PairKey>,
    found: Counts,
}

/// The counts of one domain; what is 0 is not kept.
#[derive(Debug, Default)]
struct Counts {
    held: u64,
    watched: u64,
    watched_by: HashMap<BareJid, u64>,
}

impl Counts {
    fn count(&mut self, user: &BareJid, before: Place, after: Place) {
        step(&mut self.held, before.is_held, after.is_held);
        step(&mut self.watched, before.is_watched, after.is_watched);
        if before.is_watched != after.is_watched {
            let by = self.watched_by.entry(user.clone()).or_default();
            step(by, before.is_watched, after.is_watched);
            if *by == 0 {
                self.watched_by.remove(user);
            }
        }
    }

    fn watched_by(&self, user: &BareJid) -> u64 {
        self.watched_by.get(user).copied().unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        (self.held, self.watched) == (0, 0) && self.watched_by.is_empty()
    }
}

impl Crowd {
    /// A pair takes up another place than before.
    pub(super) fn count(&mut self, key: &PairKey, before: Place, after: Place) {
        if before == after {
            return;
        }
        let domain = key.remote.domain_name();
        if let Some(reading) = &mut self.reading
            && reading.domain == domain
            && reading.last.as_ref().is_some_and(|last| key <= last)
        {
            reading.found.count(&key.remote, before, after);
        }
        let counts = self.domains.entry(domain.clone()).or_default();
        counts.count(&key.remote, before, after);
        if counts.is_empty() {
            self.domains.remove(&domain);
        }
    }

    /// The store is read through for a domain, from its first pair on: what is found then counts, whatever was known.
    pub(super) fn begin(&mut self, domain: &DomainName) {
        self.reading = Some(Reading { domain: domain.clone(), last: None, found: Counts::default() });
    }

    /// The next pair of it.
    pub(super) fn found(&mut self, key: &PairKey, place: Place) {
        if let Some(reading) = &mut self.reading {
            reading.found.count(&key.remote, Place::default(), place);
            reading.last = Some(key.clone());
        }
    }

    /// That was the last one.
    pub(super) fn settle(&mut self) {
        if let Some(Reading { domain, found, .. }) = self.reading.take() {
            match found.is_empty() {
                true => self.domains.remove(&domain),
                false => self.domains.insert(domain, found),
            };
        }
    }

    /// Whether one more `subscribe` of the domain may be held.
    pub(super) fn may_hold(&self, domain: &DomainName) -> bool {
        self.held_of(domain) < HELD_PER_PARTNER
    }

    /// Whether the XMPP user may make us watch one more SIP user.
    pub(super) fn may_watch(&self, key: &PairKey, limits: &WatchLimits) -> bool {
        let is_below = |count: u64, limit: u32| limit == 0 || count < u64::from(limit);
        let domain = key.remote.domain_name();
        is_below(self.most(&domain, |counts| counts.watched_by(&key.remote)), limits.per_user)
            && is_below(self.most(&domain, |counts| counts.watched), limits.per_partner)
    }

    /// Subscriptions for users of a domain.
    #[cfg(test)]
    pub(super) fn watched_of(&self, domain: &str) -> u64 {
        self.most(&DomainName::parse(domain).unwrap(), |counts| counts.watched)
    }

    /// Held requests of a domain.
    pub(super) fn held_of(&self, domain: &DomainName) -> u64 {
        self.most(domain, |counts| counts.held)
    }

    /// A count of a domain: what is known, or what was found so far, if that is more already.
    fn most(&self, domain: &DomainName, count: impl Fn(&Counts) -> u64) -> u64 {
        let known = self.domains.get(domain).map_or(0, &count);
        let reading = self.reading.as_ref().filter(|reading| reading.domain == *domain);
        known.max(reading.map_or(0, |reading| count(&reading.found)))
    }
}

fn step(count: &mut u64, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *count += 1,
        (true, false) => *count = count.saturating_sub(1),
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
        assert!(crowd.domains.is_empty());
    }

    #[test]
    fn what_is_read_replaces_what_was_counted_and_what_happens_meanwhile_counts_once() {
        let domain = DomainName::parse("fabrikam.example").unwrap();
        let mut crowd = Crowd::default();
        // Another gateway has ended the first, and made the last two.
        crowd.count(&key(0, 0), Place::default(), WATCHED);
        crowd.begin(&domain);
        crowd.found(&key(1, 0), WATCHED);
        crowd.found(&key(3, 0), WATCHED);
        assert_eq!(crowd.watched_of("fabrikam.example"), 2, "what was found counts at once, if it is more");
        // One that was read ends, one that was not yet read is made and will be read.
        crowd.count(&key(1, 0), WATCHED, Place::default());
        crowd.count(&key(5, 0), Place::default(), WATCHED);
        crowd.found(&key(5, 0), WATCHED);
        crowd.settle();
        assert_eq!(crowd.watched_of("fabrikam.example"), 2);
        crowd.begin(&domain);
        crowd.settle();
        assert!(crowd.domains.is_empty());
    }
}
