//! Who may connect, and how often (XEP-0205): counted before anything is read.
//!
//! A [`Ticket`] stands for one connection and gives back what it holds when it is dropped. Limits act on what comes;
//! lowering one never ends a connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;

use crate::policy::PartnerPolicy;

/// The limits that the edge's own configuration sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Connections of one address.
    pub per_address: u32,
    /// Of these, connections that are not authenticated.
    pub unauthenticated_per_address: u32,
    /// Connections that are not authenticated, all addresses together.
    pub unauthenticated: u32,
    /// New connections of one address in a minute.
    pub per_minute: u32,
    /// How many of them may come at once.
    pub burst: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { per_address: 50, unauthenticated_per_address: 10, unauthenticated: 200, per_minute: 30, burst: 10 }
    }
}

/// Addresses that are remembered; beyond, those without connections are forgotten.
const MAX_ADDRESSES: usize = 65_536;

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// Too many connections in all.
    #[error("the limit of connections is reached")]
    Total,
    /// Too many connections that are not authenticated.
    #[error("too many connections are not authenticated yet")]
    Unauthenticated,
    /// Too many connections of the address.
    #[error("the limit of connections of this address is reached")]
    Address,
    /// Too many connections that are not authenticated, of the address.
    #[error("too many connections of this address are not authenticated yet")]
    AddressUnauthenticated,
    /// Too many connections in too short a time.
    #[error("this address connects too often")]
    Rate,
    /// Too many connections with the partner.
    #[error("the partner's limit of connections is reached")]
    Partner,
}

impl Refused {
    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Unauthenticated => "unauthenticated",
            Self::Address => "address",
            Self::AddressUnauthenticated => "address-unauthenticated",
            Self::Rate => "rate",
            Self::Partner => "partner",
        }
    }
}

/// The counts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Admission(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    unauthenticated: u32,
    addresses: HashMap<IpAddr, Address>,
    partners: HashMap<DomainName, u32>,
}

#[derive(Debug)]
struct Address {
    connections: u32,
    unauthenticated: u32,
    /// New connections it may still make, in 1/60 000, which refill with every millisecond.
    credit: u64,
    refilled: Instant,
}

/// One new connection in the units of [`Address::credit`].
const ONE: u64 = 60_000;

/// A connection's place, given back on drop.
#[derive(Debug)]
pub struct Ticket {
    admission: Admission,
    address: Option<IpAddr>,
    is_authenticated: bool,
    partner: Option<DomainName>,
}

impl Admission {
    /// A connection came in.
    pub fn accept(&self, peer: IpAddr, limit: u32, caps: &Caps, now: Instant) -> Result<Ticket, Refused> {
        let address = prefix(peer);
        let mut counts = self.lock();
        if counts.addresses.len() >= MAX_ADDRESSES {
            counts.addresses.retain(|_, known| known.connections > 0);
        }
        let (total, unauthenticated) = (counts.total, counts.unauthenticated);
        let known = counts.addresses.entry(address).or_insert_with(|| Address {
            connections: 0,
            unauthenticated: 0,
            credit: u64::from(caps.burst) * ONE,
            refilled: now,
        });
        known.refill(caps, now);
        // The rate is spent by attempts, also by those that fail.
        if known.credit < ONE {
            return Err(Refused::Rate);
        }
        known.credit -= ONE;
        if total >= limit {
            return Err(Refused::Total);
        }
        if unauthenticated >= caps.unauthenticated {
            return Err(Refused::Unauthenticated);
        }
        if known.connections >= caps.per_address {
            return Err(Refused::Address);
        }
        if known.unauthenticated >= caps.unauthenticated_per_address {
            return Err(Refused::AddressUnauthenticated);
        }
        known.connections += 1;
        known.unauthenticated += 1;
        counts.total += 1;
        counts.unauthenticated += 1;
        Ok(Ticket { admission: self.clone(), address: Some(address), is_authenticated: false, partner: None })
    }

    /// We want to connect to a partner.
    pub fn dial(&self, partner: &PartnerPolicy, limit: u32) -> Result<Ticket, Refused> {
        let mut counts = self.lock();
        if counts.total >= limit {
            return Err(Refused::Total);
        }
        counts.take_partner(partner)?;
        counts.total += 1;
        let partner = Some(partner.name.clone());
        Ok(Ticket { admission: self.clone(), address: None, is_authenticated: true, partner })
    }

    /// Connections now.
    pub fn total(&self) -> u32 {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are sound between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn take_partner(&mut self, partner: &PartnerPolicy) -> Result<(), Refused> {
        let count = self.partners.entry(partner.name.clone()).or_default();
        if *count >= partner.connection_limit {
            return Err(Refused::Partner);
        }
        *count += 1;
        Ok(())
    }
}

impl Address {
    fn refill(&mut self, caps: &Caps, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let gained = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_mul(u64::from(caps.per_minute));
        self.credit = self.credit.saturating_add(gained).min(u64::from(caps.burst) * ONE);
        self.refilled = now;
    }
}

impl Ticket {
    /// The connection is authenticated, and is now one of its partner's.
    pub fn authenticated(&mut self, partner: &PartnerPolicy) -> Result<(), Refused> {
        if self.is_authenticated {
            return Ok(());
        }
        let mut counts = self.admission.lock();
        counts.take_partner(partner)?;
        counts.leave_unauthenticated(self.address);
        drop(counts);
        self.is_authenticated = true;
        self.partner = Some(partner.name.clone());
        Ok(())
    }
}

impl Counts {
    fn leave_unauthenticated(&mut self, address: Option<IpAddr>) {
        self.unauthenticated = self.unauthenticated.saturating_sub(1);
        if let Some(known) = address.and_then(|address| self.addresses.get_mut(&address)) {
            known.unauthenticated = known.unauthenticated.saturating_sub(1);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.total = counts.total.saturating_sub(1);
        if !self.is_authenticated {
            counts.leave_unauthenticated(self.address);
        }
        if let Some(known) = self.address.and_then(|address| counts.addresses.get_mut(&address)) {
            known.connections = known.connections.saturating_sub(1);
        }
        if let Some(partner) = &self.partner
            && let Some(count) = counts.partners.get_mut(partner)
        {
            *count -= 1;
            if *count == 0 {
                counts.partners.remove(partner);
            }
        }
    }
}

/// How long an address without connections is worth remembering is up to [`MAX_ADDRESSES`]; how large an address is, is
/// said here: a customer of an IPv6 provider has at least a /64.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(first, second, third, fourth, 0, 0, 0, 0))
        }
    }
}

/// The interval over which [`Caps::per_minute`] counts.
pub const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps =
        Caps { per_address: 3, unauthenticated_per_address: 2, unauthenticated: 4, per_minute: 60, burst: 10 };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn accept(admission: &Admission, last: u8, now: Instant) -> Result<Ticket, Refused> {
        admission.accept(address(last), 6, &CAPS, now)
    }

    #[test]
    fn an_address_has_its_share_of_unauthenticated_connections_and_gets_it_back() {
        let (admission, now) = (Admission::default(), Instant::now());
        let first = accept(&admission, 1, now).unwrap();
        let _second = accept(&admission, 1, now).unwrap();
        assert_eq!(accept(&admission, 1, now).unwrap_err(), Refused::AddressUnauthenticated);
        drop(first);
        let _third = accept(&admission, 1, now).unwrap();
        assert_eq!(admission.total(), 2);
    }

    #[test]
    fn all_addresses_together_have_a_share_of_unauthenticated_connections() {
        let (admission, now) = (Admission::default(), Instant::now());
        let _tickets: Vec<_> = (1..=4).map(|last| accept(&admission, last, now).unwrap()).collect();
        assert_eq!(accept(&admission, 5, now).unwrap_err(), Refused::Unauthenticated);
    }

    #[test]
    fn an_address_that_connects_too_often_waits() {
        let (admission, now) = (Admission::default(), Instant::now());
        for _ in 0..10 {
            drop(accept(&admission, 1, now).unwrap());
        }
        assert_eq!(accept(&admission, 1, now).unwrap_err(), Refused::Rate);
        assert!(accept(&admission, 1, now + MINUTE / 60).is_ok());
        assert!(accept(&admission, 2, now).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let one: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:5::6".parse().unwrap();
        assert_eq!(prefix(one), prefix(other));
        assert_eq!(prefix("::ffff:192.0.2.1".parse().unwrap()), address(1));
    }
}
