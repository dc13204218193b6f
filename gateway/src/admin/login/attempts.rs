//! Pauses after wrong passwords, by source address and by account.
//!
//! An address that fails too often waits, longer each time, whatever accounts it tried; so guessing many accounts from one
//! place is slow. An account that fails too often, from wherever, has its passwords not looked at for a while; so guessing
//! one account from many places is slow. The pauses of accounts are kept in the store, those of addresses in memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Failures of an account before it pauses: people mistype.
pub(super) const ACCOUNT_FREE: u32 = 5;
/// Failures of an address before it pauses: an office has one address.
const ADDRESS_FREE: u32 = 10;
/// The first pause.
const FIRST_PAUSE_MS: u64 = 30_000;
/// The longest pause of an account: it locks its owner out, too.
const ACCOUNT_PAUSE_MS: u64 = 15 * 60_000;
/// The longest pause of an address.
const ADDRESS_PAUSE_MS: u64 = 3_600_000;
/// An address that was quiet for so long is forgotten.
const FORGET_MS: u64 = 24 * 3_600_000;
/// Addresses that are remembered, a few MB.
const MAX_ADDRESSES: usize = 20_000;

/// The pause after so many failures; each is twice as long as the one before.
const fn pause_ms(failures: u32, free: u32, longest: u64) -> u64 {
    if failures < free {
        return 0;
    }
    let doublings = failures - free;
    if doublings >= 16 {
        return longest;
    }
    let pause = FIRST_PAUSE_MS << doublings;
    if pause < longest { pause } else { longest }
}

/// The pause of an account after so many failures.
pub(super) const fn account_pause_ms(failures: u32) -> u64 {
    pause_ms(failures, ACCOUNT_FREE, ACCOUNT_PAUSE_MS)
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    failures: u32,
    until_ms: u64,
    last_ms: u64,
}

/// What is remembered of addresses.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    addresses: HashMap<IpAddr, Seen>,
}

impl Attempts {
    /// Whether the address has to wait.
    pub(super) fn is_paused(&self, address: IpAddr, now_ms: u64) -> bool {
        self.addresses.get(&network(address)).is_some_and(|seen| seen.until_ms > now_ms)
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, address: IpAddr, now_ms: u64) {
        if self.addresses.len() >= MAX_ADDRESSES {
            self.make_room(now_ms);
        }
        let seen = self.addresses.entry(network(address)).or_insert(Seen { failures: 0, until_ms: 0, last_ms: now_ms });
        if seen.last_ms.saturating_add(FORGET_MS) < now_ms {
            seen.failures = 0;
        }
        seen.failures = seen.failures.saturating_add(1);
        seen.last_ms = now_ms;
        seen.until_ms = now_ms.saturating_add(pause_ms(seen.failures, ADDRESS_FREE, ADDRESS_PAUSE_MS));
    }

    /// Notes that somebody there knew a password.
    pub(super) fn succeeded(&mut self, address: IpAddr) {
        self.addresses.remove(&network(address));
    }

    fn make_room(&mut self, now_ms: u64) {
        self.addresses.retain(|_, seen| seen.last_ms.saturating_add(FORGET_MS) >= now_ms);
        if self.addresses.len() >= MAX_ADDRESSES {
            // Many addresses at once: those go that do not wait, or have waited longest.
            let mut ends: Vec<u64> = self.addresses.values().map(|seen| seen.until_ms).collect();
            let middle = ends.len() / 2;
            let (_, half, _) = ends.select_nth_unstable(middle);
            let half = *half;
            self.addresses.retain(|_, seen| seen.until_ms > half);
        }
    }
}

/// What one subscriber has: an IPv4 address, or the first 64 bits of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn pauses_grow_and_have_an_end() {
        let pauses: Vec<_> = [4, 5, 6, 7, 9, 10, 11, 1_000_000].into_iter().map(account_pause_ms).collect();
        assert_eq!(pauses, [0, 30_000, 60_000, 120_000, 480_000, 900_000, 900_000, 900_000]);
    }

    #[test]
    fn an_address_that_guesses_waits_and_its_neighbours_do_not() {
        let mut attempts = Attempts::default();
        let (guesser, neighbour) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 1..ADDRESS_FREE {
            attempts.failed(guesser, NOW);
        }
        assert!(!attempts.is_paused(guesser, NOW));
        attempts.failed(guesser, NOW);
        assert!(attempts.is_paused(guesser, NOW) && !attempts.is_paused(neighbour, NOW));
        assert!(!attempts.is_paused(guesser, NOW + FIRST_PAUSE_MS));
        attempts.failed(guesser, NOW + FIRST_PAUSE_MS);
        assert!(attempts.is_paused(guesser, NOW + 2 * FIRST_PAUSE_MS), "the second pause is longer");
        attempts.succeeded(guesser);
        assert!(!attempts.is_paused(guesser, NOW));
    }

    #[test]
    fn a_subscriber_has_many_addresses_of_version_6_and_is_one() {
        let mut attempts = Attempts::default();
        for host in 0..ADDRESS_FREE {
            attempts.failed(format!("2001:db8::{host:x}").parse().unwrap(), NOW);
        }
        assert!(attempts.is_paused("2001:db8::ffff".parse().unwrap(), NOW));
        assert!(!attempts.is_paused("2001:db8:0:1::1".parse().unwrap(), NOW));
    }

    #[test]
    fn the_memory_for_addresses_has_a_bound_and_keeps_those_that_wait() {
        let mut attempts = Attempts::default();
        let guesser = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..20 {
            attempts.failed(guesser, NOW);
        }
        for number in 0..2 * u32::try_from(MAX_ADDRESSES).unwrap() {
            attempts.failed(IpAddr::from(number.to_be_bytes()), NOW);
        }
        assert!(attempts.addresses.len() <= MAX_ADDRESSES);
        assert!(attempts.is_paused(guesser, NOW));
    }
}
