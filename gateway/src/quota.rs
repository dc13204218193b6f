//! How much one remote user and one partner may ask for in a minute (RFC 8048, section 8.1: access limits against
//! amplification).
//!
//! One fixed window of a minute for all: cheap, bounded, and exact enough for numbers that are guesses anyway.

use std::collections::HashMap;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;

/// A minute.
const WINDOW_MS: u64 = 60_000;
/// Users counted at once, about 150 bytes each; beyond it strangers pass uncounted by user until the minute is over, but
/// still counted by partner.
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
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Subscribe, Self::Probe, Self::Message, Self::Query];

    /// The name that operators read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Probe => "probe",
            Self::Message => "message",
            Self::Query => "query",
        }
    }

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

/// How many local users a partner's users may have us watch at a time; 0 is without limit. Each costs the pool and us a
/// SUBSCRIBE in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// One remote user: more contacts of one company than anybody has.
    pub per_user: u32,
    /// All users of one domain of a partner.
    pub per_partner: u32,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self { per_user: 200, per_partner: 5_000 }
    }
}

impl QuotaLimits {
    /// The limit of something.
    pub const fn of(&self, what: Counted) -> u32 {
        match what {
            Counted::Subscribe => self.subscribe,
            Counted::Probe => self.probe,
            Counted::Message => self.message,
            Counted::Query => self.query,
        }
    }
}

/// What was done in this minute.
#[derive(Debug, Clone, Copy, Default)]
struct Tally([u32; 4]);

impl Tally {
    /// Counts one more, unless that would be more than `limit`.
    fn take(&mut self, what: Counted, limit: u32) -> bool {
        let Some(count) = self.0.get_mut(what.index()) else { return false };
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }
}

/// The counters of a gateway. All begin anew at once, which costs nothing per user and never depends on how many there are.
#[derive(Debug, Default)]
pub struct Quotas {
    since_ms: u64,
    users: HashMap<BareJid, Tally>,
    partners: HashMap<DomainName, Tally>,
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
        // A clock that was set back must not keep an old minute.
        if now_ms.saturating_sub(self.since_ms) >= WINDOW_MS || now_ms < self.since_ms {
            // The room that a flood needed is given back when the next minute needs less.
            let room = self.users.len().saturating_mul(2);
            self.users.clear();
            self.users.shrink_to(room);
            self.partners.clear();
            self.since_ms = now_ms;
        }
        let is_full = self.users.len() >= MAX_USERS;
        let user_passes = match self.users.get_mut(user) {
            Some(tally) => tally.take(what, limit),
            None if is_full => true,
            None => self.users.entry(user.clone()).or_default().take(what, limit),
        };
        // Partners are configured, so their number is bounded.
        user_passes
            && match self.partners.get_mut(partner) {
                Some(tally) => tally,
                None => self.partners.entry(partner.clone()).or_default(),
            }
            .take(what, limit.saturating_mul(PARTNER_FACTOR))
    }
}

impl Quotas {
    /// How often a user, and all users of his partner, have done something in this minute.
    pub fn used(&self, user: &BareJid, partner: &DomainName, what: Counted, now_ms: u64) -> (u32, u32) {
        if now_ms.saturating_sub(self.since_ms) >= WINDOW_MS || now_ms < self.since_ms {
            return (0, 0);
        }
        let of = |tally: Option<&Tally>| tally.and_then(|tally| tally.0.get(what.index())).copied().unwrap_or_default();
        (of(self.users.get(user)), of(self.partners.get(partner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule: quota.user
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
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let mut quotas = Quotas::default();
        let (bob, fabrikam) =
            (BareJid::parse("bob@fabrikam.example").unwrap(), DomainName::parse("fabrikam.example").unwrap());
        let mut take = |now| quotas.take(&bob, &fabrikam, Counted::Subscribe, &QuotaLimits::default(), now);
        assert_eq!((0..30).filter(|_| take(9_000_000)).count(), 20);
        assert!(take(1_000));
    }

    // A flood of users who come once each costs neither memory without end nor a look through all of them each time.
    #[test]
    fn strangers_beyond_the_bound_are_counted_by_partner_only() {
        let mut quotas = Quotas::default();
        let wingtip = DomainName::parse("wingtip.example").unwrap();
        let limits = QuotaLimits { message: 100_000, ..QuotaLimits::default() };
        for n in 0..3 * MAX_USERS {
            let user = BareJid::parse(&format!("u{n}@wingtip.example")).unwrap();
            assert!(quotas.take(&user, &wingtip, Counted::Message, &limits, 1));
        }
        assert_eq!((quotas.users.len(), quotas.partners.len()), (MAX_USERS, 1));
        let bob = BareJid::parse("bob@wingtip.example").unwrap();
        assert!(quotas.take(&bob, &wingtip, Counted::Message, &limits, 1 + WINDOW_MS));
        assert!(quotas.take(&bob, &wingtip, Counted::Message, &limits, 1 + 2 * WINDOW_MS));
        assert!(quotas.users.capacity() < 100, "{}", quotas.users.capacity());
    }

    // Rule: quota.partner
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
