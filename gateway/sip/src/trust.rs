//! Which peers may talk to us: the trust domain of RFC 3325 as a list.
//!
//! A peer is known by the address its messages come from, by the identity of its verified certificate, or by both.

use std::net::IpAddr;
use std::sync::Arc;

use crate::target::{Source, TransportKind};

/// One configured peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPeer {
    /// What logs and events call it.
    pub name: Arc<str>,
    /// Addresses it may come from; empty means any, which only a certificate can make up for.
    pub addresses: Vec<IpNet>,
    /// Domains of which its certificate must bear one; empty means that no certificate is asked for.
    pub identities: Vec<String>,
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpNet {
    addr: IpAddr,
    prefix: u8,
}

impl IpNet {
    /// The network of the first `prefix` bits of `addr`; `None` if the address has not that many.
    pub const fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        if prefix <= bits { Some(Self { addr, prefix }) } else { None }
    }

    /// Whether `ip` is inside. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.addr.to_canonical(), ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                u32::from(net).checked_shr(shift) == u32::from(ip).checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                u128::from(net).checked_shr(shift) == u128::from(ip).checked_shr(shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl std::str::FromStr for IpNet {
    type Err = InvalidIpNet;

    fn from_str(text: &str) -> Result<Self, InvalidIpNet> {
        let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
        let addr: IpAddr = addr.parse().map_err(|_| InvalidIpNet)?;
        let full = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(full), |prefix| prefix.parse().map_err(|_| InvalidIpNet))?;
        Self::new(addr, prefix).ok_or(InvalidIpNet)
    }
}

/// A text that is neither an address nor `address/prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor address/prefix")]
pub struct InvalidIpNet;

/// The list of peers, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct TrustedPeers(Vec<TrustedPeer>);

impl TrustedPeers {
    /// A list. A peer with neither address nor identity matches nobody.
    pub const fn new(peers: Vec<TrustedPeer>) -> Self {
        Self(peers)
    }

    /// The peer that a message comes from; put it into [`Source::peer`].
    pub fn recognise(&self, source: &Source) -> Option<Arc<str>> {
        self.0.iter().find(|peer| peer.is(source)).map(|peer| Arc::clone(&peer.name))
    }

    /// Whether a configured peer may have this address; if not, no certificate makes up for it.
    pub fn may_come_from(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|peer| match (peer.addresses.is_empty(), peer.identities.is_empty()) {
            (true, nobody) => !nobody,
            (false, _) => peer.addresses.iter().any(|net| net.contains(ip)),
        })
    }
}

impl TrustedPeer {
    fn is(&self, source: &Source) -> bool {
        let by_address = self.addresses.iter().any(|net| net.contains(source.remote.ip()));
        let bears = |certificate: &crate::target::PeerIdentity| {
            self.identities
                .iter()
                .any(|name| certificate.domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)))
        };
        let by_certificate = source.transport == TransportKind::Tls && source.certificate.as_deref().is_some_and(bears);
        match (self.addresses.is_empty(), self.identities.is_empty()) {
            (true, true) => false,
            (false, true) => by_address,
            (true, false) => by_certificate,
            (false, false) => by_address && by_certificate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{FlowId, PeerIdentity};

    fn source(transport: TransportKind, remote: &str, domain: Option<&str>) -> Source {
        let certificate = domain.map(|domain| Arc::new(PeerIdentity { domains: vec![domain.to_owned()] }));
        let local = "127.0.0.1:5060".parse().unwrap();
        Source { flow: FlowId(1), transport, local, remote: remote.parse().unwrap(), certificate, peer: None }
    }

    fn peer(addresses: &[&str], identities: &[&str]) -> TrustedPeers {
        TrustedPeers::new(vec![TrustedPeer {
            name: "pool".into(),
            addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
            identities: identities.iter().map(|&name| name.to_owned()).collect(),
        }])
    }

    // Rule: sip.trust
    #[test]
    fn an_address_is_known_by_its_network() {
        let peers = peer(&["10.0.0.0/8", "2001:db8::/32"], &[]);
        assert!(peers.recognise(&source(TransportKind::Udp, "10.9.8.7:5060", None)).is_some());
        assert!(peers.recognise(&source(TransportKind::Udp, "[::ffff:10.9.8.7]:5060", None)).is_some());
        assert!(peers.recognise(&source(TransportKind::Tcp, "[2001:db8::5]:5060", None)).is_some());
        assert!(peers.recognise(&source(TransportKind::Udp, "11.0.0.1:5060", None)).is_none());
    }

    // Rule: sip.trust
    #[test]
    fn where_an_identity_is_asked_for_an_address_is_not_enough() {
        let peers = peer(&["10.0.0.0/8"], &["Contoso.example"]);
        assert!(peers.recognise(&source(TransportKind::Tcp, "10.0.0.1:5060", None)).is_none());
        assert!(peers.recognise(&source(TransportKind::Tls, "10.0.0.1:5061", Some("evil.example"))).is_none());
        assert!(peers.recognise(&source(TransportKind::Tls, "10.0.0.1:5061", Some("contoso.example"))).is_some());
        assert!(peers.recognise(&source(TransportKind::Tls, "11.0.0.1:5061", Some("contoso.example"))).is_none());
    }

    // Rule: sip.dos
    #[test]
    fn an_address_outside_of_all_networks_is_a_strangers_unless_certificates_alone_tell() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(peer(&["10.0.0.0/8"], &["contoso.example"]).may_come_from(ip("10.1.2.3")));
        assert!(!peer(&["10.0.0.0/8"], &["contoso.example"]).may_come_from(ip("192.0.2.1")));
        assert!(peer(&[], &["contoso.example"]).may_come_from(ip("192.0.2.1")));
        assert!(!peer(&[], &[]).may_come_from(ip("192.0.2.1")));
    }

    #[test]
    fn a_peer_without_address_and_identity_is_nobody() {
        assert!(peer(&[], &[]).recognise(&source(TransportKind::Udp, "10.0.0.1:5060", None)).is_none());
        assert!("10.0.0.0/33".parse::<IpNet>().is_err());
        assert!(peer(&["0.0.0.0/0"], &[]).recognise(&source(TransportKind::Udp, "10.0.0.1:5060", None)).is_some());
    }
}
