//! Which addresses may be dialled: a partner's DNS must not point us at our own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the public internet, as far as its form tells.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    // RFC 6598 (shared), RFC 6890 (0/8, IETF protocol assignments, 240/4), RFC 2544 (benchmarks).
    let is_special = first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (second == 18 || second == 19));
    !(is_special
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Mapped, compatible and translated forms (RFC 4291, RFC 6052, RFC 3056) reach what they hold.
    if let Some(inner) = address.to_ipv4() {
        return !address.is_loopback() && !address.is_unspecified() && is_public_v4(inner);
    }
    let segments = address.segments();
    let [first, second, third, _, _, _, high, low] = segments;
    let (high, low) = (high.to_be_bytes(), low.to_be_bytes());
    match (first, second) {
        (0x64, 0xff9b) => return is_public_v4(Ipv4Addr::new(high[0], high[1], low[0], low[1])),
        (0x2002, _) => {
            let (high, low) = (second.to_be_bytes(), third.to_be_bytes());
            return is_public_v4(Ipv4Addr::new(high[0], high[1], low[0], low[1]));
        }
        _ => {}
    }
    // Global unicast is 2000::/3 (RFC 4291, section 2.4), less documentation (RFC 3849).
    (first & 0xe000) == 0x2000 && !(first == 0x2001 && second == 0x0db8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_internet_may_be_dialled() {
        for address in ["192.0.1.1", "8.8.8.8", "100.128.0.1", "2001:4860::8888", "64:ff9b::808:808"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
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
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
