//! Places for accepted connections: so many in all, from one address, and from addresses of no configured peer, so that
//! whoever opens many takes the room of nobody else.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many places there are for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) total: usize,
    pub(super) per_source: usize,
    /// For all together from whose address no configured peer can come.
    pub(super) strangers: usize,
}

/// All places of one kind.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    strangers: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One place; dropping it frees it.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    source: IpAddr,
    is_stranger: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    #[error("too many connections")]
    Total,
    #[error("too many connections from this address")]
    Source,
    #[error("too many connections from addresses of no configured peer")]
    Strangers,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// Takes a place.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr, is_stranger: bool) -> Result<Place, NoPlace> {
        let source = source_of(ip);
        let mut taken = self.taken();
        if is_stranger && taken.strangers >= self.limits.strangers {
            return Err(NoPlace::Strangers);
        }
        if taken.total >= self.limits.total {
            return Err(NoPlace::Total);
        }
        if taken.by_source.get(&source).is_some_and(|count| *count >= self.limits.per_source) {
            return Err(NoPlace::Source);
        }
        taken.total += 1;
        taken.strangers += usize::from(is_stranger);
        *taken.by_source.entry(source).or_default() += 1;
        Ok(Place { places: Arc::clone(self), source, is_stranger })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.total = taken.total.saturating_sub(1);
        taken.strangers = taken.strangers.saturating_sub(usize::from(self.is_stranger));
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or the 64 bits of an IPv6 address that name a network.
fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    // Rule: sip.dos
    #[test]
    fn one_address_fills_its_share_and_strangers_fill_theirs() {
        let places = Places::new(Limits { total: 6, per_source: 2, strangers: 3 });
        let enter = |text: &str, is_stranger| places.enter(ip(text), is_stranger);
        let _own: Vec<_> = (0..2).map(|_| enter("10.0.0.1", false).unwrap()).collect();
        assert_eq!(enter("10.0.0.1", false).unwrap_err(), NoPlace::Source);
        let strangers: Vec<_> = (1..4).map(|host| enter(&format!("192.0.2.{host}"), true).unwrap()).collect();
        assert_eq!(enter("192.0.2.9", true).unwrap_err(), NoPlace::Strangers);
        let _last = enter("10.0.0.2", false).unwrap();
        assert_eq!(enter("10.0.0.3", false).unwrap_err(), NoPlace::Total);
        drop(strangers);
        let _more: Vec<_> = (0..2).map(|_| enter("10.0.0.3", false).unwrap()).collect();
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_source() {
        let places = Places::new(Limits { total: 6, per_source: 1, strangers: 0 });
        let _place = places.enter(ip("2001:db8::1"), false).unwrap();
        assert_eq!(places.enter(ip("2001:db8::2"), false).unwrap_err(), NoPlace::Source);
        let _other = places.enter(ip("2001:db8:0:1::1"), false).unwrap();
        let _mapped = places.enter(ip("::ffff:10.0.0.1"), false).unwrap();
        assert_eq!(places.enter(ip("10.0.0.1"), false).unwrap_err(), NoPlace::Source);
    }

    #[test]
    fn nothing_is_left_when_all_places_are_free() {
        let places = Places::new(Limits { total: 1, per_source: 1, strangers: 1 });
        for _ in 0..3 {
            drop(places.enter(ip("10.0.0.1"), true).unwrap());
        }
        assert!(places.taken().by_source.is_empty());
    }
}
