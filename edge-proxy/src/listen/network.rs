//! Networks as operators write them: `10.0.0.0/8`, `2001:db8::/32` (RFC 4632; RFC 4291, section 2.3).

use std::net::IpAddr;
use std::str::FromStr;

/// A network: an address, and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The bits that are the same in the whole network; the others are 0.
    bits: u128,
    mask: u128,
    is_ipv6: bool,
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// No address.
    #[error("no IP address stands before the slash")]
    Address,
    /// No number of bits, or more than there are.
    #[error("no number of bits that the address has stands behind the slash")]
    Length,
    /// More of the address is given than counts: probably a slip.
    #[error("the address has bits beyond the length of the network")]
    Host,
}

impl Network {
    /// Whether an address is in the network; an IPv4 address is, however a socket writes it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_ipv6) = bits(address);
        is_ipv6 == self.is_ipv6 && bits & self.mask == self.bits
    }
}

impl FromStr for Network {
    type Err = NetworkFault;

    /// An address alone is a network of one.
    fn from_str(text: &str) -> Result<Self, NetworkFault> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkFault::Address)?;
        let (bits, is_ipv6) = bits(address);
        let most = if is_ipv6 { 128 } else { 32 };
        let length = match length {
            Some(length) => length.parse().ok().filter(|length| *length <= most).ok_or(NetworkFault::Length)?,
            None => most,
        };
        // The address is at the low end of the 128 bits.
        let mask = u128::MAX.checked_shl(most - length).unwrap_or(0);
        if bits & !mask != 0 { Err(NetworkFault::Host) } else { Ok(Self { bits, mask, is_ipv6 }) }
    }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), false),
        IpAddr::V6(address) => (u128::from(address), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_contains_what_begins_like_it() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("0.0.0.0/0", "203.0.113.7"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("::/0", "2001:db9::1"));
    }

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("::1/128", "::1"));
    }

    #[test]
    fn slips_are_told() {
        for (text, fault) in [
            ("", NetworkFault::Address),
            ("proxy.example", NetworkFault::Address),
            ("10.0.0.0/33", NetworkFault::Length),
            ("::/129", NetworkFault::Length),
            ("10.0.0.0/", NetworkFault::Length),
            ("10.0.0.0/-1", NetworkFault::Length),
            ("10.0.0.1/8", NetworkFault::Host),
        ] {
            assert_eq!(text.parse::<Network>(), Err(fault), "{text}");
        }
    }
}
