//! What is live on an edge, for operators: its streams, what waits in its queues, and the order to close a stream.
//!
//! A gateway asks, and an edge answers in parts. What a peer chose (claimed domains, names in certificates) is brought
//! within bounds by whoever reads it from the link.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::domain::DomainPair;
use crate::link::Method;
use crate::partner::Methods;
use crate::verdict::Direction;
use crate::verdict::facts::{CertificateFacts, TlsFacts};

/// Streams or queues in one part of a report: with their certificates some hundred kilobytes, so that stanzas do not
/// wait long behind it.
pub const PART: usize = 256;

/// Pairs of domains in one part of a report: a stream of a hosting provider has dozens.
pub const PART_PAIRS: usize = 4 * PART;

/// Certificates of its own that an edge tells: one names several of our domains, and few edges have more than some.
pub const MAX_OWN: usize = 64;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The streams that are live.
    Streams,
    /// What waits.
    Queues,
}

/// A request for a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Names it on its call.
    pub id: u64,
    /// What about.
    pub subject: Subject,
    /// The primary domain of the partner to tell about; empty is everything.
    pub partner: String,
}

/// A part of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Of the request.
    pub id: u64,
    /// Streams.
    pub streams: Vec<Stream>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// What was left out, for it is said in words that the reader does not know.
    pub unreadable: u32,
    /// The edge's own certificates, in the last part about streams.
    pub own_certificates: Vec<CertificateFacts>,
    /// Likewise.
    pub effect: Option<SnapshotEffect>,
    /// Whether nothing comes after it.
    pub is_last: bool,
    /// Why there is no report, if there is none.
    pub refused: String,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl StreamState {
    /// All.
    pub const ALL: [Self; 4] = [Self::Negotiating, Self::Authenticated, Self::Draining, Self::Closing];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Negotiating => "negotiating",
            Self::Authenticated => "authenticated",
            Self::Draining => "draining",
            Self::Closing => "closing",
        }
    }

    /// The state of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Names it on its edge; a later process of the edge does not use it again.
    pub number: u64,
    /// Who opened it.
    pub direction: Direction,
    /// Whether it carries stanzas both ways (XEP-0288).
    pub is_bidi: bool,
    /// How far it is.
    pub state: StreamState,
    /// The primary domain of its partner, or the domain that the peer claims.
    pub partner: String,
    /// Whether `partner` is one of the snapshot's.
    pub is_partner: bool,
    /// The id in its headers.
    pub stream_id: String,
    /// The pairs that are authenticated on it.
    pub pairs: Vec<Pair>,
    /// The other end.
    pub peer: Option<SocketAddr>,
    /// The `host:port` that was dialled.
    pub target: String,
    /// Whether it began with TLS (XEP-0368).
    pub is_direct_tls: bool,
    /// Whether DNSSEC proved how its address was found.
    pub is_dnssec: bool,
    /// Its TLS session.
    pub tls: Option<TlsFacts>,
    /// The peer's certificate.
    pub certificate: Option<Arc<CertificateFacts>>,
    /// Whether stanzas are acknowledged on it (XEP-0198).
    pub is_managed: bool,
    /// Stanzas that the peer has not acknowledged.
    pub unacknowledged: u32,
    /// Since when it is there, in Unix milliseconds.
    pub since_ms: u64,
    /// When its last stanza passed, either way; its begin while there was none.
    pub last_stanza_ms: u64,
    /// Stanzas that came.
    pub stanzas_in: u64,
    /// Stanzas that were written.
    pub stanzas_out: u64,
    /// Bytes of XML that came.
    pub bytes_in: u64,
    /// Bytes of XML that were written.
    pub bytes_out: u64,
    /// The row of the partner's negotiation settings, if it is a partner's.
    pub row: Option<u8>,
    /// The methods that they leave.
    pub methods: Methods,
    /// What waits to be written to it.
    pub waiting: Waiting,
}

/// A pair that is authenticated on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its domains.
    pub pair: DomainPair,
    /// How.
    pub method: Method,
    /// What made us believe the certificate, where the pair rests on it.
    pub proof: String,
}

/// What waits in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Stanzas.
    pub stanzas: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long the oldest has waited, in milliseconds.
    pub oldest_ms: u64,
}

impl Waiting {
    /// One more stanza, which has waited so long.
    pub fn add(&mut self, bytes: usize, waited_ms: u64) {
        self.stanzas += 1;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.oldest_ms = self.oldest_ms.max(waited_ms);
    }

    /// This and that.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            stanzas: self.stanzas.saturating_add(other.stanzas),
            bytes: self.bytes.saturating_add(other.bytes),
            oldest_ms: self.oldest_ms.max(other.oldest_ms),
        }
    }
}

/// A queue with something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// In: for a gateway; out: for a stream to the partner.
    pub direction: Direction,
    /// The primary domain of the partner, or the remote domain where it is none.
    pub partner: String,
    /// The remote domain.
    pub remote: String,
    /// Ours; empty is any.
    pub local: String,
    /// What waits.
    pub waiting: Waiting,
    /// Stanzas that may wait; 0 where there is only a bound on all together.
    pub most_stanzas: u64,
    /// Bytes that may wait; likewise.
    pub most_bytes: u64,
}

/// What a snapshot meant to the streams that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotEffect {
    /// Its version.
    pub version: u64,
    /// Streams that were closed because the partner, or our domain, is no more.
    pub partner_gone: u32,
    /// Streams that were closed because how they were authenticated is permitted no more.
    pub not_permitted: u32,
}

/// How an operator ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// As any stream that has nothing more to carry.
    NoError,
    /// `<reset/>`: open it again (RFC 6120, section 4.9.3.16).
    Reset,
    /// `<policy-violation/>` (RFC 6120, section 4.9.3.14).
    PolicyViolation,
}

impl CloseReason {
    /// All.
    pub const ALL: [Self; 3] = [Self::NoError, Self::Reset, Self::PolicyViolation];

    /// The name: the condition of the stream error, where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "no-error",
            Self::Reset => "reset",
            Self::PolicyViolation => "policy-violation",
        }
    }

    /// The reason of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// The order to close a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Names the order on its call.
    pub id: u64,
    /// Which stream.
    pub number: u64,
    /// How.
    pub reason: CloseReason,
}
