//! The words of the link between edge and gateway, as values; [`convert`] turns them into frames and back.
//!
//! The contract and its rules stand in `proto/causeway/link/v1/link.proto`. [`window`] is the bookkeeping of an Attach
//! call, [`rendezvous`] decides which node has a pair, [`pool`] which peer gets which stanza and what waits, [`fair`] in which turns, [`share`] with how much in flight,
//! [`outgoing`] gathers frames, [`recent`] knows what came before, [`tls`] who may attach. Not here: gRPC, sockets,
//! retries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{DomainName, DomainPair};
use crate::jid::Jid;
pub use crate::partner::Methods;
use crate::partner::{NegotiationSettings, StreamOptions};
use crate::verdict::Verdict;
pub use crate::xmpp::stanza::StanzaKind;
use crate::xmpp::stanza_error::StanzaCondition;

pub mod convert;
pub mod deliveries;
pub mod fair;
pub mod freshness;
pub mod fullness;
pub mod outgoing;
pub mod pool;
pub mod recent;
pub mod rendezvous;
pub mod share;
pub mod tls;
pub mod window;

/// The version of the contract that this build speaks.
pub const PROTOCOL: u32 = 1;

/// Stanzas one side takes unacknowledged from one peer: at 230 bytes a few hundred kilobytes, at 1 ms of work each
/// 1000 stanzas in flight.
pub const DEFAULT_WINDOW: u32 = 1024;

/// Stanzas an edge takes unacknowledged from one gateway: more, because those for partners that are slow to answer
/// stay for seconds and must not hold up the others. The edge's queue of each partner bounds what one of them can take.
pub const EDGE_WINDOW: u32 = 8192;

/// The largest window that is believed.
pub const MAX_WINDOW: u32 = 65_536;

/// Bound of all stanzas that one end holds for its peers, by [`pool::cost_of`]: 16 384 short ones, or 16 MiB.
pub const HELD_COST: usize = 16_384;

/// Stanzas in one frame at most; beyond 32 little is gained (measured).
pub const BATCH_STANZAS: usize = 32;

/// Bytes of stanzas in one frame after which no further one is added.
pub const BATCH_BYTES: usize = 64 * 1024;

/// A frame's largest size: a snapshot of 50 000 partners fits, and any batch of stanzas.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Contexts that one edge may have announced on a call. Edges forget those of ended streams long before.
pub const MAX_CONTEXTS: usize = 262_144;

/// A stanza on its way over the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza {
    /// Message, presence or iq.
    pub kind: StanzaKind,
    /// The sender, prepared.
    pub from: Jid,
    /// The addressee, prepared.
    pub to: Jid,
    /// The canonical form.
    pub xml: Bytes,
    /// The instance that made `key`.
    pub origin: u64,
    /// The same on every delivery.
    pub key: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// When it arrived, in Unix milliseconds.
    pub arrived_ms: u64,
    /// How long the sender waits for the outcome; zero leaves it to the receiver.
    pub patience: Duration,
}

/// W3C trace context: 16 bytes trace id, 8 bytes span id, 1 byte flags. All zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceContext(pub [u8; 25]);

impl TraceContext {
    /// Whether the stanza is traced at all.
    pub fn is_some(self) -> bool {
        self != Self::default()
    }
}

/// How an edge came to believe that a domain is who it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// SASL EXTERNAL over TLS.
    SaslExternal,
    /// Server Dialback on a TLS stream.
    TlsDialback,
    /// Server Dialback on a plaintext stream.
    TcpDialback,
    /// Server Dialback answered by certificate, without dialing back (XEP-0220, section 1.2).
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
    /// The id of the stream.
    pub stream_id: String,
    /// The partner's end.
    pub peer_address: String,
    /// SHA-256 of the partner's certificate, if it presented one.
    pub certificate_sha256: Option<[u8; 32]>,
}

/// How an accepted stanza ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered, or whatever else finishing means for it.
    Done,
    /// Not delivered.
    Failed(Failure),
}

/// Why a stanza was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What its sender should hear.
    pub condition: StanzaCondition,
    /// One sentence for logs and operators.
    pub text: String,
    /// The verdict, if one was made.
    pub verdict: Option<Verdict>,
}

impl Failure {
    /// A failure without a verdict.
    pub fn new(condition: StanzaCondition, text: impl Into<String>) -> Self {
        Self { condition, text: text.into(), verdict: None }
    }
}

/// What an edge may know, and no more. Equal versions have equal contents; versions grow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Grows with every change.
    pub version: u64,
    /// The domains of the SIP side.
    pub local_domains: Vec<DomainName>,
    /// The partners.
    pub partners: Vec<PartnerRecord>,
    /// Settings for all streams.
    pub settings: GatewaySettings,
    /// The current dialback secret first, then those still honoured while rotating.
    pub dialback_secrets: Vec<Bytes>,
}

/// A partner as far as an edge is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerRecord {
    /// The primary domain.
    pub domain: DomainName,
    /// Further domains of the same partner.
    pub additional_domains: Vec<DomainName>,
    /// TlsNegotiation, SaslNegotiation, SupportDialbackNegotiation.
    pub negotiation: NegotiationSettings,
    /// The methods left by the settings, the global floor and strictness.
    pub methods: Methods,
    /// EnableKeepAlive.
    pub keep_alive: bool,
    /// ConnectionLimit; 0 is the PartnerConnectionLimit of the settings.
    pub connection_limit: u32,
    /// ProxyFqdn: host or host:port.
    pub proxy_fqdn: Option<String>,
    /// Whether private and loopback addresses may be dialled.
    pub allow_private_addresses: bool,
    /// DER certificates that are trusted for this partner's domains only.
    pub trust_anchors: Vec<Bytes>,
    /// Whether public authorities count for this partner.
    pub use_public_trust: bool,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificates that this partner may show; empty leaves it free.
    pub pins: Vec<[u8; 32]>,
    /// What its streams may use beyond the negotiation settings.
    pub options: StreamOptions,
}

impl PartnerRecord {
    /// A partner with the defaults of a new one, but for the negotiation settings.
    pub fn new(domain: DomainName, negotiation: NegotiationSettings) -> Self {
        Self {
            domain,
            additional_domains: Vec::new(),
            negotiation,
            methods: negotiation.methods(),
            keep_alive: true,
            connection_limit: 0,
            proxy_fqdn: None,
            allow_private_addresses: false,
            trust_anchors: Vec::new(),
            use_public_trust: true,
            pins: Vec::new(),
            options: StreamOptions::default(),
        }
    }
}

/// The gateway settings that concern streams; 0 leaves a value to the edge's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatewaySettings {
    /// ConnectionLimit.
    pub connection_limit: u32,
    /// PartnerConnectionLimit.
    pub partner_connection_limit: u32,
    /// StreamEstablishmentTimeout, in seconds.
    pub stream_establishment_timeout_s: u32,
    /// StreamInactivityTimeout, in seconds.
    pub stream_inactivity_timeout_s: u32,
    /// KeepAliveInterval, in seconds.
    pub keep_alive_interval_s: u32,
}

/// A context with the number it has on one Attach call.
#[derive(Debug, Clone)]
pub struct NumberedContext {
    /// The number.
    pub id: u32,
    /// The context.
    pub context: Arc<PairContext>,
}
