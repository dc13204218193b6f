//! What is live on the edges and on the link, as operators read it: plain values with the names of their fields as keys.

use std::net::{IpAddr, SocketAddr};

pub use causeway_shared::live::CloseReason;
use serde::Serialize;
use utoipa::ToSchema;

mod told;

pub use told::partner_certificates;

/// An attached edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeFacts {
    /// The name it gave itself.
    pub name: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// The version of its software; empty where it does not say.
    pub build: String,
    /// Since when it is attached, in Unix milliseconds.
    pub since_ms: u64,
    /// The version of the snapshot it has in force.
    pub applied: u64,
    /// Whether it takes no new stanzas: it is going away.
    pub is_draining: bool,
}

/// How whole an edge's answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It told everything.
    Complete,
    /// It began, and did not come to its end in time or left something out.
    Partial,
    /// It said nothing in time: it is stalled, or too old to know the question.
    Silent,
    /// It would not tell, or was not asked; `refused` says why.
    Refused,
}

/// The streams of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeStreams {
    /// The edge.
    pub edge: String,
    /// How whole this is.
    pub answer: Answer,
    /// Why there is nothing, if it would not tell.
    pub refused: String,
    /// Its streams, the oldest first.
    pub streams: Vec<LiveStream>,
    /// The certificates that it shows to partners.
    pub certificates: Vec<Certificate>,
    /// What the newest snapshot meant to the streams that were there.
    pub effect: Option<SnapshotEffect>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveStream {
    /// The edge that has it.
    pub edge: String,
    /// Names it on its edge, for the order to close it.
    pub id: u64,
    /// Which way stanzas go.
    pub direction: StreamDirection,
    /// Who opened it: `in` is the partner, `out` are we.
    pub opened: StreamDirection,
    /// How far it is.
    pub state: StreamState,
    /// The primary domain of the partner, or the domain that the peer claims.
    pub partner: String,
    /// Whether `partner` is configured.
    pub is_partner: bool,
    /// The id in its headers.
    pub stream_id: String,
    /// The pairs of domains that are authenticated on it.
    pub pairs: Vec<LivePair>,
    /// The other end.
    #[schema(value_type = Option<String>)]
    pub peer: Option<SocketAddr>,
    /// The `host:port` that was dialled; empty where the partner connected.
    pub target: String,
    /// Whether it began with TLS (XEP-0368).
    pub direct_tls: bool,
    /// Whether DNSSEC proved how its address was found.
    pub dnssec: bool,
    /// Such as `TLSv1_3`; nothing without TLS.
    pub tls_version: Option<String>,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub tls_cipher: Option<String>,
    /// The peer's certificate.
    pub certificate: Option<Certificate>,
    /// Whether stanzas are acknowledged on it (XEP-0198).
    pub stream_management: bool,
    /// Stanzas that the peer has not acknowledged.
    pub unacknowledged: u32,
    /// Since when it is there, in Unix milliseconds.
    pub since_ms: u64,
    /// When its last stanza passed, in Unix milliseconds; its begin while there was none.
    pub idle_since_ms: u64,
    /// Stanzas that came.
    pub stanzas_in: u64,
    /// Stanzas that were written.
    pub stanzas_out: u64,
    /// Bytes of XML that came.
    pub bytes_in: u64,
    /// Bytes of XML that were written.
    pub bytes_out: u64,
    /// The row of the partner's negotiation settings.
    pub row: Option<u8>,
    /// The methods that they leave.
    pub permitted: Vec<String>,
    /// What waits to be written to it.
    pub waiting: Waiting,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamDirection {
    /// From the partner.
    In,
    /// To the partner.
    Out,
    /// Both (XEP-0288).
    Both,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamState {
    /// Nothing is authenticated on it.
    Negotiating,
    /// It carries stanzas.
    Authenticated,
    /// It ends as soon as what is under way is finished.
    Draining,
    /// Our closing tag was sent.
    Closing,
}

/// A pair that is authenticated on a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LivePair {
    /// The partner's domain.
    pub remote: String,
    /// Ours.
    pub local: String,
    /// How, such as `sasl-external`.
    pub method: String,
    /// What made us believe the certificate, such as `pkix`; empty where the pair does not rest on it.
    pub proof: String,
}

/// A certificate as operators compare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Certificate {
    /// Identifiers of the subject alternative name, with their kind.
    pub names: Vec<String>,
    /// How many there are beyond these.
    pub more_names: u32,
    /// The subject.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// From when it holds, in Unix seconds.
    pub not_before: u64,
    /// Until when it holds, in Unix seconds.
    pub not_after: u64,
    /// Whole days until then; negative when it is over.
    pub days_left: i64,
    /// SHA-256 of the certificate.
    pub sha256: String,
    /// SHA-256 of its key: what a pin names.
    pub key_sha256: String,
    /// The kind of the key.
    pub key: String,
}

/// What waits in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Waiting {
    /// Stanzas.
    pub stanzas: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long the oldest has waited, in milliseconds.
    pub oldest_ms: u64,
}

/// What a snapshot meant to the streams that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotEffect {
    /// Its version.
    pub version: u64,
    /// Streams that were closed because the partner, or our domain, is no more.
    pub partner_gone: u32,
    /// Streams that were closed because how they were authenticated is permitted no more.
    pub not_permitted: u32,
}

/// What waits, everywhere on the road between partners and this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Queues {
    /// On the edges.
    pub edges: Vec<EdgeQueues>,
    /// On this gateway's ends of the link.
    pub links: Vec<LinkLoad>,
    /// On this gateway, by the domain that it is for.
    pub partners: Vec<PartnerLoad>,
}

/// The queues of an edge that have something in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeQueues {
    /// The edge.
    pub edge: String,
    /// How whole this is.
    pub answer: Answer,
    /// Why there is nothing, if it would not tell.
    pub refused: String,
    /// Its queues.
    pub queues: Vec<EdgeQueue>,
}

/// A queue of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeQueue {
    /// `in`: for a gateway; `out`: for a stream to the partner.
    pub direction: StreamDirection,
    /// The primary domain of the partner, or the remote domain where it is none.
    pub partner: String,
    /// The remote domain.
    pub remote: String,
    /// Ours; empty is any.
    pub local: String,
    /// What waits.
    pub waiting: Waiting,
    /// Stanzas that may wait; nothing where there is only a bound on all together.
    pub most_stanzas: Option<u64>,
    /// Bytes that may wait; likewise.
    pub most_bytes: Option<u64>,
}

/// What this gateway has for one edge, or from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkLoad {
    /// The edge; nothing for what waits until some edge is attached.
    pub edge: Option<String>,
    /// Stanzas that the edge has and has not acknowledged.
    pub unacknowledged: Waiting,
    /// Stanzas that wait for the edge.
    pub waiting: Waiting,
    /// Stanzas of the edge that this gateway has not finished.
    pub unfinished: u32,
}

/// What this gateway has for one remote domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartnerLoad {
    /// The remote domain.
    pub remote: String,
    /// Stanzas that an edge has and has not acknowledged.
    pub unacknowledged: Waiting,
    /// Stanzas that wait for an edge.
    pub waiting: Waiting,
}

/// The newest certificate that a server of a partner has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartnerCertificate {
    /// The primary domain.
    pub partner: String,
    /// The server's address.
    #[schema(value_type = Option<String>)]
    pub peer: Option<IpAddr>,
    /// The edge that saw it.
    pub edge: String,
    /// When, in Unix milliseconds.
    pub seen_ms: u64,
    /// Whether a stream is live on which it was shown; else it is from a verdict.
    pub is_live: bool,
    /// The certificate.
    pub certificate: Certificate,
}

#[cfg(test)]
mod tests;
