//! What is known of the addresses that connect: how many connections each has, and how often it comes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use crate::limits::Bucket;

/// Addresses that are remembered; beyond, those that can be forgotten without harm are.
const MAX_ADDRESSES: usize = 65_536;

/// An address as it is counted. A customer of an IPv6 provider has at least a /64 (RFC 6177), so that is one address
/// here; an IPv4 address is the same however the socket writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [first, second, third, fourth, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(first, second, third, fourth, 0, 0, 0, 0))
            }
        })
    }
}

/// What one address has and had.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// Connections now.
    pub(super) connections: u32,
    /// Those of them that are not authenticated.
    pub(super) unauthenticated: u32,
    /// New connections.
    pub(super) arrivals: Bucket,
    /// Questions about dialback keys.
    pub(super) questions: Bucket,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<Source, Address>);

impl Addresses {
    /// The entry of an address, made if there is none.
    pub(super) fn entry(&mut self, source: Source, now: Instant) -> &mut Address {
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&source) {
            self.0.retain(|_, known| {
                known.connections > 0 || !known.arrivals.is_full(now) || !known.questions.is_full(now)
            });
            if self.0.len() >= MAX_ADDRESSES {
                // So many at once are no partners; what limits them then is the number of connections in all.
                self.0.retain(|_, known| known.connections > 0);
            }
        }
        self.0.entry(source).or_default()
    }

    /// The entry of an address that has a connection.
    pub(super) fn known(&mut self, source: Source) -> Option<&mut Address> {
        self.0.get_mut(&source)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::Rate;

    fn source(text: &str) -> Source {
        Source::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        assert_eq!(source("2001:db8:1:2:3::4"), source("2001:db8:1:2:5::6"));
        assert_ne!(source("2001:db8:1:2:3::4"), source("2001:db8:1:3:3::4"));
    }

    #[test]
    fn an_ipv4_address_is_the_same_on_an_ipv6_socket() {
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded_and_those_with_connections_are_kept() {
        let (mut addresses, now) = (Addresses::default(), Instant::now());
        let rate = Rate::per_minute(1, 1);
        let numbered = |number: usize| Source::from(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()));
        addresses.entry(numbered(0), now).connections = 1;
        for number in 1..MAX_ADDRESSES {
            addresses.entry(numbered(number), now).arrivals.try_take(&rate, now);
        }
        addresses.entry(numbered(MAX_ADDRESSES), now);
        assert!(addresses.0.len() < MAX_ADDRESSES);
        assert_eq!(addresses.known(numbered(0)).unwrap().connections, 1);
    }

    #[test]
    fn an_address_that_came_just_now_is_forgotten_last() {
        let (mut addresses, now) = (Addresses::default(), Instant::now());
        let rate = Rate::per_minute(1, 1);
        let numbered = |number: usize| Source::from(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()));
        for number in 0..MAX_ADDRESSES {
            addresses.entry(numbered(number), now).arrivals.try_take(&rate, now);
        }
        let later = now + Duration::from_secs(61);
        addresses.entry(numbered(7), later).arrivals.try_take(&rate, later);
        addresses.entry(numbered(MAX_ADDRESSES), later);
        assert!(!addresses.entry(numbered(7), later).arrivals.try_take(&rate, later));
    }
}
