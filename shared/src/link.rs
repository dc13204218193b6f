//! The words of the link between edge and gateway, as domain types (proto/causeway/link/v1/link.proto).

use bytes::Bytes;

use crate::domain::{DomainName, DomainPair};
use crate::partner::NegotiationSettings;
use crate::verdict::Verdict;
use crate::xmpp::stanza_error::StanzaCondition;

pub use crate::xmpp::stanza::StanzaKind;

/// How the edge came to believe that the stanzas of a pair are authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// SASL EXTERNAL over TLS.
    SaslExternal,
    /// Server Dialback on a TLS stream.
    TlsDialback,
    /// Server Dialback on a plaintext stream.
    TcpDialback,
    /// Server Dialback on a TLS stream, answered by the peer's certificate (XEP-0220, section 1.2).
    TlsDialbackCertificate,
}

impl Method {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SaslExternal => "sasl-external",
            Self::TlsDialback => "tls-dialback",
            Self::TcpDialback => "tcp-dialback",
            Self::TlsDialbackCertificate => "tls-dialback-certificate",
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one pair was authenticated on one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairContext {
    /// The pair.
    pub pair: DomainPair,
    /// The method.
    pub method: Method,
    /// Our id for the stream.
    pub stream_id: String,
    /// Where the stream comes from.
    pub peer_address: String,
    /// SHA-256 of the peer's certificate, if it presented one.
    pub certificate_sha256: Option<[u8; 32]>,
}

/// A W3C trace context: trace id (16 bytes), span id (8), flags (1). All zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceContext(pub [u8; 25]);

/// What became of a stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has finished with it.
    Done,
    /// It was not delivered.
    Failed(Failure),
}

/// Why a stanza was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the sender should hear.
    pub condition: StanzaCondition,
    /// One sentence for a log or an operator.
    pub text: String,
    /// The verdict, where there is one beyond the sentence.
    pub verdict: Option<Verdict>,
}

/// What an edge may know, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Grows with every change; equal versions have equal contents.
    pub version: u64,
    /// The domains that we serve.
    pub local_domains: Vec<DomainName>,
    /// The partners.
    pub partners: Vec<PartnerRecord>,
    /// Settings for all streams.
    pub settings: GatewaySettings,
    /// The current dialback secret first; then those still honoured while rotating.
    pub dialback_secrets: Vec<Bytes>,
}

/// What an edge may know of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerRecord {
    /// The primary domain.
    pub domain: DomainName,
    /// Further domains.
    pub additional_domains: Vec<DomainName>,
    /// TLS, SASL and dialback.
    pub negotiation: NegotiationSettings,
    /// Whether the partner is expected to send keep-alives.
    pub keep_alive: bool,
    /// Connections at once; 0 takes the setting for all partners.
    pub connection_limit: u32,
    /// `host` or `host:port` to connect to instead of what SRV says.
    pub proxy_fqdn: Option<String>,
    /// Whether private and loopback addresses may be dialled.
    pub allow_private_addresses: bool,
    /// DER certificates trusted for this partner's domains only.
    pub trust_anchors: Vec<Bytes>,
    /// Whether public authorities vouch for this partner, too.
    pub use_public_trust: bool,
}

/// Settings for all streams; 0 takes the edge's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatewaySettings {
    /// Connections at once, all partners together.
    pub connection_limit: u32,
    /// Connections at once with one partner.
    pub partner_connection_limit: u32,
    /// Seconds from accept to authentication.
    pub stream_establishment_timeout_s: u32,
    /// Seconds without a stanza before a stream is closed.
    pub stream_inactivity_timeout_s: u32,
    /// Seconds of silence before a partner is asked whether it is there.
    pub keep_alive_interval_s: u32,
}
