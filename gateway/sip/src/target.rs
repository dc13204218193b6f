//! Where messages come from and go to: the vocabulary that `endpoint`, `locate` and `transport` share.

use std::net::SocketAddr;
use std::sync::Arc;

/// A transport protocol (RFC 3261 section 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransportKind {
    /// Datagrams; requests and responses are retransmitted.
    Udp,
    /// Streams.
    Tcp,
    /// Streams under TLS.
    Tls,
}

impl TransportKind {
    /// Whether the transport itself repeats what is lost.
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }

    /// The token in Via.
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The value of the `transport` URI parameter.
    pub const fn uri_param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The transport a `transport` parameter names.
    pub fn from_param(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|kind| text.eq_ignore_ascii_case(kind.uri_param()))
    }

    /// 5060, or 5061 for TLS.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

impl std::fmt::Display for TransportKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.uri_param())
    }
}

/// A next hop. Connections are shared between equal targets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// How to reach it.
    pub transport: TransportKind,
    /// Where it is.
    pub addr: SocketAddr,
    /// The name its certificate must bear (RFC 5922 section 7.3): the domain that was asked for, not what SRV made of it.
    pub name: Option<Arc<str>>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.transport, self.addr)?;
        match &self.name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// A connection, or the local socket of datagrams. Never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// Where a message came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The flow it came on.
    pub flow: FlowId,
    /// Its transport.
    pub transport: TransportKind,
    /// Our side.
    pub local: SocketAddr,
    /// The peer's side.
    pub remote: SocketAddr,
    /// The identities of the peer's certificate, after it was verified against the configured CA.
    pub certificate: Option<Arc<PeerIdentity>>,
    /// The configured peer this is, decided by [`crate::trust::TrustedPeers`]; `None` is a stranger.
    pub peer: Option<Arc<str>>,
}

/// The SIP identities of a verified certificate (RFC 5922 section 7.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Domains from `sip:` URIs without a user part, else DNS names; lower case.
    pub domains: Vec<String>,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A response (RFC 3261 section 18.2.2): on the flow of the request; when that is gone, to `fallback`.
    Reply {
        /// The flow the request came on.
        flow: FlowId,
        /// Where a datagram goes; of no meaning on a connection.
        remote: SocketAddr,
        /// Where the sender listens, for a connection that is gone.
        fallback: Option<Target>,
    },
    /// A request: on the connection to this target, opened if there is none.
    Target(Target),
}
