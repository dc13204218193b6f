//! Which addresses may be dialled: a partner's DNS must not point us at our own network.
//!
//! Asked about the very address that is dialled next, whatever its spelling: an IPv4 address inside an IPv6 one is
//! judged by what it reaches.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::listen::network::Network;

/// What must not be dialled besides what is never public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Networks of ours with public addresses.
    pub refused: Vec<Network>,
}

/// Why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody can be there: unspecified, multicast, broadcast.
    Nobody,
    /// It is not on the public internet.
    NotPublic,
    /// It is one of this machine's own.
    Own,
    /// It is in a network that the configuration refuses.
    Configured,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Nobody => "an address of nobody",
            Self::NotPublic => "not a public address",
            Self::Own => "an address of this edge itself",
            Self::Configured => "in a network that the configuration refuses",
        })
    }
}

impl Filter {
    /// Judges an address; `source` is the address that this machine would dial it from. Only the partner's own
    /// permission opens what is private.
    pub fn check(&self, address: IpAddr, source: Option<IpAddr>, allow_private: bool) -> Result<(), Refusal> {
        if is_nobody(address) {
            return Err(Refusal::Nobody);
        }
        if allow_private {
            return Ok(());
        }
        if !is_public(address) {
            Err(Refusal::NotPublic)
        } else if source == Some(address) {
            // Whoever dials himself is his own source.
            Err(Refusal::Own)
        } else if self.refused.iter().any(|network| network.contains(address)) {
            Err(Refusal::Configured)
        } else {
            Ok(())
        }
    }
}

fn is_nobody(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets()[0] == 0 || address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unspecified() || address.is_multicast(),
    }
}

/// Whether an address is on the public internet, as far as its form tells.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    // RFC 6598 (shared), RFC 6890 (0/8, IETF protocol assignments, 240/4), RFC 2544 (benchmarks), RFC 7526 (6to4).
    let is_special = first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || (first == 192 && second == 88 && third == 99)
        || (first == 198 && (second == 18 || second == 19));
    !(is_special
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Mapped, compatible and translated forms (RFC 4291, RFC 6052, RFC 3056, RFC 5214) reach what they hold.
    if let Some(inner) = address.to_ipv4() {
        return !address.is_loopback() && !address.is_unspecified() && is_public_v4(inner);
    }
    let segments = address.segments();
    let [first, second, third, _, fifth, sixth, high, low] = segments;
    let inner = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    if first == 0x64 && second == 0xff9b {
        // RFC 8215 keeps the rest of the prefix for networks of one's own.
        return segments[2..6] == [0; 4] && is_public_v4(inner(high, low));
    }
    if first == 0x2002 {
        return is_public_v4(inner(second, third));
    }
    if sixth == 0x5efe && (fifth & 0xfdff) == 0 && !is_public_v4(inner(high, low)) {
        return false;
    }
    // Global unicast is 2000::/3 (RFC 4291, section 2.4), less IETF protocol assignments with Teredo (RFC 2928, RFC
    // 4380) and documentation (RFC 3849, RFC 9637).
    let is_assignment = first == 0x2001 && second < 0x200;
    let is_documentation = (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    (first & 0xe000) == 0x2000 && !is_assignment && !is_documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_internet_may_be_dialled() {
        for address in [
            "192.0.1.1",
            "8.8.8.8",
            "100.128.0.1",
            "2001:4860::8888",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
            "2a00::5efe:808:808",
        ] {
            assert_eq!(Filter::default().check(ip(address), None, false), Ok(()), "{address}");
        }
    }

    #[test]
    fn our_own_network_may_not_be_dialled_in_any_spelling() {
        for address in [
            "127.0.0.1",
            "127.0.10.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "203.0.113.9",
            "192.88.99.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a00:1::5",
            "2001:0:4136:e378::1",
            "2a00::5efe:a00:1",
            "2a00::200:5efe:c0a8:1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "3fff:123::1",
        ] {
            assert!(Filter::default().check(ip(address), None, false).is_err(), "{address}");
        }
    }

    #[test]
    fn a_partner_in_a_private_network_is_dialled_only_where_it_is_said() {
        let filter = Filter { refused: vec!["9.9.9.0/24".parse().unwrap()] };
        for address in ["10.0.0.1", "127.0.0.1", "fd00::1", "::ffff:10.0.0.1", "9.9.9.9"] {
            assert!(filter.check(ip(address), None, false).is_err(), "{address}");
            assert_eq!(filter.check(ip(address), None, true), Ok(()), "{address}");
        }
    }

    #[test]
    fn nobody_is_dialled_for_nobody() {
        for address in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:0.0.0.0"] {
            assert_eq!(Filter::default().check(ip(address), None, true), Err(Refusal::Nobody), "{address}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_known_by_its_source() {
        let own = ip("9.9.9.9");
        assert_eq!(Filter::default().check(own, Some(own), false), Err(Refusal::Own));
        assert_eq!(Filter::default().check(own, Some(ip("9.9.9.8")), false), Ok(()));
        assert_eq!(Filter::default().check(own, Some(own), true), Ok(()));
    }
}
