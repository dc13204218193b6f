//! The order of a host's addresses: destination address selection (RFC 6724, section 6) and interleaving of families
//! (RFC 8305, section 4).
//!
//! The source address that the kernel would use is an argument; rules that need more of the kernel are left out: 3
//! (deprecated sources), 4 (home addresses) and 7 (native transport). Rule 9 is applied within IPv6 alone: IPv4 is
//! translated, so that a long common prefix there says nothing about nearness, and would undo what servers rotate.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use super::lookup::Family;

/// An address that may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The destination.
    pub address: IpAddr,
    /// The source that the kernel would choose; `None` where it knows no way.
    pub source: Option<IpAddr>,
}

/// Sorts by preference, the best first; equals stay as they were (rule 10).
pub fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by_cached_key(|candidate| {
        let destination = mapped(candidate.address);
        let (precedence, label) = policy(destination);
        let scope = scope(destination);
        let source = candidate.source.map(mapped);
        let matches_scope = source.is_some_and(|source| self::scope(source) == scope);
        let matches_label = source.is_some_and(|source| policy(source).1 == label);
        let prefix = match candidate.address {
            IpAddr::V6(destination) => source.map_or(0, |source| common_prefix(source, destination)),
            IpAddr::V4(_) => 0,
        };
        // Rules 1, 2, 5, 6, 8 and 9. Precedences are one-to-one with families, so that prefixes of different families
        // are never compared.
        (
            source.is_none(),
            !matches_scope,
            !matches_label,
            Reverse(precedence),
            scope,
            Family::of(candidate.address) == Family::V4,
            Reverse(prefix),
        )
    });
}

/// Takes turns between the families, beginning with the one that is sorted first.
pub fn interleave(sorted: Vec<Candidate>) -> Vec<Candidate> {
    let Some(first) = sorted.first().map(|candidate| Family::of(candidate.address)) else {
        return sorted;
    };
    let (ours, theirs): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|candidate| Family::of(candidate.address) == first);
    let (mut ours, mut theirs) = (ours.into_iter(), theirs.into_iter());
    let mut order = Vec::with_capacity(ours.len() + theirs.len());
    loop {
        let turn = [ours.next(), theirs.next()];
        if turn == [None, None] {
            return order;
        }
        order.extend(turn.into_iter().flatten());
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => address.to_ipv6_mapped(),
    }
}

/// Precedence and label of the default policy table (RFC 6724, section 2.1).
fn policy(address: Ipv6Addr) -> (u8, u8) {
    let [first, second, ..] = address.segments();
    if address.is_loopback() {
        (50, 0)
    } else if address.to_ipv4_mapped().is_some() {
        (35, 4)
    } else if address.to_ipv4().is_some() {
        (1, 3)
    } else if first == 0x2002 {
        (30, 2)
    } else if (first, second) == (0x2001, 0) {
        (5, 5)
    } else if first & 0xfe00 == 0xfc00 {
        (3, 13)
    } else if first & 0xffc0 == 0xfec0 {
        (1, 11)
    } else if first == 0x3ffe {
        (1, 12)
    } else {
        (40, 1)
    }
}

/// Scopes (RFC 6724, sections 3.1 and 3.2), in the numbers of RFC 4291, section 2.7.
fn scope(address: Ipv6Addr) -> u8 {
    const LINK: u8 = 2;
    const SITE: u8 = 5;
    const GLOBAL: u8 = 14;
    if let Some(inner) = address.to_ipv4_mapped() {
        return if inner.is_loopback() || inner.is_link_local() { LINK } else { GLOBAL };
    }
    let [first, ..] = address.octets();
    if first == 0xff {
        return address.octets()[1] & 0x0f;
    }
    let segment = address.segments()[0];
    if address.is_loopback() || segment & 0xffc0 == 0xfe80 {
        LINK
    } else if segment & 0xffc0 == 0xfec0 {
        SITE
    } else {
        GLOBAL
    }
}

/// The length of the common prefix, of which only the network's half counts (RFC 6724, section 2.2).
fn common_prefix(source: Ipv6Addr, destination: Ipv6Addr) -> u32 {
    (source.to_bits() ^ destination.to_bits()).leading_zeros().min(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(address: &str, source: &str) -> Candidate {
        Candidate { address: address.parse().unwrap(), source: source.parse().ok() }
    }

    /// Destination and source of each; sorted, the destinations.
    fn sorted(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut candidates: Vec<_> = pairs.iter().map(|(address, source)| candidate(address, source)).collect();
        sort(&mut candidates);
        candidates.iter().map(|candidate| candidate.address.to_string()).collect()
    }

    /// The examples of RFC 6724, section 10.2, as far as their rules are ours.
    #[test]
    fn the_examples_of_the_standard_are_sorted_as_it_says() {
        for (pairs, expected) in [
            // Prefer matching scope.
            ([("198.51.100.121", "169.254.13.78"), ("2001:db8:1::1", "2001:db8:1::2")], "2001:db8:1::1"),
            ([("2001:db8:1::1", "fe80::1"), ("198.51.100.121", "198.51.100.117")], "198.51.100.121"),
            // Prefer higher precedence.
            ([("10.1.2.3", "10.1.2.4"), ("2001:db8:1::1", "2001:db8:1::2")], "2001:db8:1::1"),
            // Prefer smaller scope.
            ([("2001:db8:1::1", "2001:db8:1::2"), ("fe80::1", "fe80::2")], "fe80::1"),
            // Prefer matching label, then higher precedence.
            ([("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "2001:db8:1::2")], "2001:db8:1::1"),
            ([("2001:db8:1::1", "2002:c633:6401::2"), ("2002:c633:6401::1", "2002:c633:6401::2")], "2002:c633:6401::1"),
            // Longest matching prefix.
            ([("2001:db8:3ffe::1", "2001:db8:1::2"), ("2001:db8:1::1", "2001:db8:1::2")], "2001:db8:1::1"),
        ] {
            assert_eq!(sorted(&pairs)[0], expected, "{pairs:?}");
        }
    }

    #[test]
    fn an_address_without_a_way_comes_last() {
        assert_eq!(sorted(&[("2001:db8::1", ""), ("192.0.2.1", "192.0.2.9")]), ["192.0.2.1", "2001:db8::1"]);
    }

    #[test]
    fn what_no_rule_tells_apart_keeps_the_order_of_dns() {
        let pairs = [("192.0.2.200", "192.0.2.9"), ("192.0.2.8", "192.0.2.9"), ("192.0.2.90", "192.0.2.9")];
        assert_eq!(sorted(&pairs), ["192.0.2.200", "192.0.2.8", "192.0.2.90"]);
    }

    #[test]
    fn unique_local_addresses_come_after_ipv4() {
        assert_eq!(sorted(&[("fd00::1", "fd00::2"), ("192.0.2.1", "192.0.2.9")])[0], "192.0.2.1");
    }

    #[test]
    fn families_take_turns_and_the_first_sorted_begins() {
        let order = |addresses: &[&str]| -> Vec<String> {
            let candidates = addresses.iter().map(|address| candidate(address, "")).collect();
            interleave(candidates).iter().map(|candidate| candidate.address.to_string()).collect()
        };
        assert_eq!(order(&["::a", "::b", "::c", "1.1.1.1"]), ["::a", "1.1.1.1", "::b", "::c"]);
        assert_eq!(order(&["1.1.1.1", "2.2.2.2", "::a"]), ["1.1.1.1", "::a", "2.2.2.2"]);
        assert_eq!(order(&[]), [""; 0]);
    }
}
