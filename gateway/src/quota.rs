//! How much one remote user and one partner may ask for in a minute (RFC 8048, section 8.1: access limits against
//! amplification).
//!
//! Fixed windows of a minute: cheap, bounded, and exact enough for numbers that are guesses anyway.

use std::collections::HashMap;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;

/// A minute.
const WINDOW_MS: u64 = 60_000;
/// Users counted at once; beyond it old windows are thrown away, and if all are young, strangers pass uncounted by user
/// but still counted by partner.
const MAX_USERS: usize = 100_000;
/// What a partner's users may do together, as a multiple of what one may do.
pub const PARTNER_FACTOR: u32 = 200;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// `subscribe` and `unsubscribe`.
    Subscribe,
    /// `probe`.
    Probe,
    /// A message.
    Message,
    /// An iq that wants an answer.
    Query,
}

impl Counted {
    const fn index(self) -> usize {
        match self {
            Self::Subscribe => 0,
            Self::Probe => 1,
            Self::Message => 2,
            Self::Query => 3,
        }
    }
}

/// How often one remote user may do each thing in a minute; 0 is without limit. A partner's users may together do
/// [`PARTNER_FACTOR`] times as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// `subscribe` and `unsubscribe`: a person adds a handful of contacts, a roster import a few more.
    pub subscribe: u32,
    /// `probe`: one per contact at each login.
    pub probe: u32,
    /// Messages: two a second are more than anybody types.
    pub message: u32,
    /// Iqs that want an answer: some clients ask every contact for his card at login.
    pub query: u32,
}

impl Default for QuotaLimits {
    fn default() -> Self {
        Self { subscribe: 20, probe: 60, message: 120, query: 300 }
    }
}

impl QuotaLimits {
    const fn of(&self, what: Counted) -> u32 {
        match what {
            Counted::Subscribe => self.subscribe,
            Counted::Probe => self.probe,
            Counted::Message => self.message,
            Counted::Query => self.query,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    since_ms: u64,
    counts: [u32; 4],
}

impl Window {
    /// Counts one more, unless that would be more than `limit`.
    fn take(&mut self, what: Counted, limit: u32, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.since_ms) >= WINDOW_MS {
            *self = Self { since_ms: now_ms, counts: [0; 4] };
        }
        let Some(count) = self.counts.get_mut(what.index()) else { return false };
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }
}

/// The counters of a gateway.
#[derive(Debug, Default)]
pub struct Quotas {
    users: HashMap<BareJid, Window>,
    partners: HashMap<DomainName, Window>,
}

impl Quotas {
    /// Counts an action of a user of a partner; `false` if it is one too many. `partner` is the primary domain.
    pub fn take(
        &mut self,
        user: &BareJid,
        partner: &DomainName,
        what: Counted,
        limits: &QuotaLimits,
        now_ms: u64,
    ) -> bool {
        let limit = limits.of(what);
        if limit == 0 {
            return true;
        }
        if !self.users.contains_key(user) && self.users.len() >= MAX_USERS {
            self.users.retain(|_, window| now_ms.saturating_sub(window.since_ms) < WINDOW_MS);
        }
        let is_full = self.users.len() >= MAX_USERS;
        let user_passes = match self.users.get_mut(user) {
            Some(window) => window.take(what, limit, now_ms),
            None if is_full => true,
            None => self.users.entry(user.clone()).or_default().take(what, limit, now_ms),
        };
        // Partners are configured, so their number is bounded.
        user_passes
            && match self.partners.get_mut(partner) {
                Some(window) => window,
                None => self.partners.entry(partner.clone()).or_default(),
            }
            .take(what, limit.saturating_mul(PARTNER_FACTOR), now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_do_so_much_a_minute_and_again_the_next() {
        let mut quotas = Quotas::default();
        let (bob, fabrikam) =
            (BareJid::parse("bob@fabrikam.example").unwrap(), DomainName::parse("fabrikam.example").unwrap());
        let carol = BareJid::parse("carol@fabrikam.example").unwrap();
        let mut take = |user: &BareJid, what, now| quotas.take(user, &fabrikam, what, &QuotaLimits::default(), now);
        assert_eq!((0..30).filter(|_| take(&bob, Counted::Subscribe, 100_000)).count(), 20);
        assert!(take(&bob, Counted::Probe, 100_000) && take(&carol, Counted::Subscribe, 100_000));
        assert!(!take(&bob, Counted::Subscribe, 159_999));
        assert!(take(&bob, Counted::Subscribe, 160_000));
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut quotas = Quotas::default();
        let unlimited = QuotaLimits { message: 0, ..QuotaLimits::default() };
        let (bob, fabrikam) =
            (BareJid::parse("bob@fabrikam.example").unwrap(), DomainName::parse("fabrikam.example").unwrap());
        assert!((0..1000).all(|_| quotas.take(&bob, &fabrikam, Counted::Message, &unlimited, 1)));
        assert!(quotas.users.is_empty());
    }

    #[test]
    fn many_users_of_one_partner_are_one_partner() {
        let mut quotas = Quotas::default();
        let wingtip = DomainName::parse("wingtip.example").unwrap();
        let passed = (0..500).flat_map(|n| (0..20).map(move |_| n)).filter(|n| {
            let user = BareJid::parse(&format!("u{n}@wingtip.example")).unwrap();
            quotas.take(&user, &wingtip, Counted::Subscribe, &QuotaLimits::default(), 1)
        });
        assert_eq!(passed.count(), 20 * 200);
    }
}
