//! Which local users may reach XMPP partners: external access policies (New-CsExternalAccessPolicy,
//! Grant-CsExternalAccessPolicy).
//!
//! A policy that was granted to the user wins over that of his site, and that over the global one. A site is a local
//! domain. Resolved when the configuration is read, so that a message costs two look-ups. Not here: the file's form,
//! which is `config`'s.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;

/// The answer of each policy, by whom it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalAccess {
    global: bool,
    sites: HashMap<DomainName, bool>,
    users: HashMap<BareJid, Granted>,
}

/// A policy that was granted to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The name of its tag.
    pub tag: Arc<str>,
    /// What it says.
    pub may: bool,
}

/// The policy that applies to a user: the first of these that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applies {
    /// The one granted to him.
    Tag(Arc<str>),
    /// That of his domain.
    Site(DomainName),
    /// The global one.
    Global,
}

impl ExternalAccess {
    /// Only a global policy.
    pub fn global(may: bool) -> Self {
        Self { global: may, ..Self::default() }
    }

    /// Replaces the global policy.
    pub const fn set_global(&mut self, may: bool) {
        self.global = may;
    }

    /// Gives a local domain a policy of its own.
    pub fn set_site(&mut self, site: DomainName, may: bool) {
        self.sites.insert(site, may);
    }

    /// Gives a user a policy of his own.
    pub fn grant(&mut self, user: BareJid, policy: Granted) {
        self.users.insert(user, policy);
    }

    /// The policy granted to a user.
    pub fn granted_to(&self, user: &BareJid) -> Option<&Granted> {
        self.users.get(user)
    }

    /// All users with a policy of their own, in no order.
    pub fn grants(&self) -> impl Iterator<Item = (&BareJid, &Granted)> {
        self.users.iter()
    }

    /// Everything in an order that is always the same.
    pub fn in_order(&self) -> (bool, BTreeMap<&DomainName, bool>, BTreeMap<&BareJid, &Granted>) {
        (self.global, self.sites.iter().map(|(site, may)| (site, *may)).collect(), self.users.iter().collect())
    }

    /// Whether a policy was granted to this user.
    pub fn is_granted(&self, user: &BareJid) -> bool {
        self.users.contains_key(user)
    }

    /// Users with a policy of their own.
    pub fn granted(&self) -> usize {
        self.users.len()
    }

    /// Whether a local user may reach XMPP partners.
    pub fn may(&self, user: &BareJid) -> bool {
        let own = self.users.get(user).map(|granted| &granted.may).or_else(|| self.sites.get(user.domain()));
        own.copied().unwrap_or(self.global)
    }

    /// Which policy decides that.
    pub fn applies(&self, user: &BareJid) -> Applies {
        match (self.users.get(user), self.sites.get_key_value(user.domain())) {
            (Some(granted), _) => Applies::Tag(Arc::clone(&granted.tag)),
            (None, Some((site, _))) => Applies::Site(site.clone()),
            (None, None) => Applies::Global,
        }
    }

    /// Whether nobody may.
    pub fn is_closed(&self) -> bool {
        !self.global && !self.sites.values().chain(self.users.values().map(|granted| &granted.may)).any(|may| *may)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    // Rule: access.scopes
    #[test]
    fn the_users_policy_wins_over_the_sites_and_that_over_the_global_one() {
        for (global, site, own, expected) in [
            (false, None, None, false),
            (true, None, None, true),
            (false, Some(true), None, true),
            (true, Some(false), None, false),
            (true, Some(false), Some(true), true),
            (false, Some(true), Some(false), false),
            (true, None, Some(false), false),
            (false, None, Some(true), true),
        ] {
            let mut access = ExternalAccess::global(global);
            if let Some(may) = site {
                access.set_site(DomainName::parse("contoso.example").unwrap(), may);
            }
            if let Some(may) = own {
                access.grant(user("alice@contoso.example"), Granted { tag: "sales".into(), may });
            }
            assert_eq!(access.may(&user("alice@contoso.example")), expected, "{global} {site:?} {own:?}");
            // Another user of the site, and another site.
            assert_eq!(access.may(&user("carol@contoso.example")), site.unwrap_or(global));
            assert_eq!(access.may(&user("alice@sub.contoso.example")), global);
            assert_eq!(access.is_closed(), !(global || site == Some(true) || own == Some(true)));
        }
    }
}
