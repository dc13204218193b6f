//! What one stream, and the queue towards one partner, may take of time, memory and work: every bound that is no setting
//! of the gateways (RFC 6120, section 13.12; XEP-0205).
//!
//! A value that the configuration fills and that each [`crate::policy::Moment`] carries, so that machines hold no
//! constants of their own and a reload acts on what comes next. Bounds on *connections* are in [`crate::admission`].

use std::time::Duration;

use causeway_shared::limits::Limits;

mod rate;
mod throttle;

pub use rate::{Bucket, Rate};
pub use throttle::Throttle;

/// The bounds in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// On the XML of a stream; they hold from the next stream on.
    pub xml: Limits,
    /// On waiting.
    pub timeouts: Timeouts,
    /// On what may come in how fast.
    pub rates: Rates,
    /// On what waits for a partner.
    pub queue: QueueLimits,
    /// On attempts to reach one.
    pub back_off: BackOffLimits,
    /// On questions to the DNS.
    pub dns: DnsLimits,
    /// Pairs of domains on one stream: a hosting provider has many, and each is held while the stream lives.
    pub pairs: usize,
    /// Verifications of dialback keys under way for one stream: each dials the authoritative server.
    pub pending_dialbacks: usize,
}

/// How long what may take. What the gateway settings say (establishment, inactivity, keep-alive) is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the first byte: a peer that wants something says so.
    pub first_byte: Duration,
    /// From accept to the end of a PROXY header: the proxy stands beside us.
    pub proxy_header: Duration,
    /// From `<proceed/>`, or from accept where TLS comes first, to the end of the handshake.
    pub tls_handshake: Duration,
    /// Of a TCP connection to one address.
    pub connect: Duration,
    /// Of a dialback key, theirs at the authoritative server or ours at the receiving one (XEP-0220, section 2.1.1).
    pub verification: Duration,
    /// From a ping to the first sign of life.
    pub ping: Duration,
    /// From our closing tag to the peer's.
    pub close: Duration,
    /// A write that makes no progress for this long is a dead peer.
    pub write_stall: Duration,
}

/// How fast a stream may talk; who talks faster is not read for a while, and TCP makes it wait. Nothing is dropped.
///
/// The usual limits of servers with users (some ten KiB and some hundred stanzas in a second) would throttle a partner
/// that sends the traffic of all its users over one stream. Ours leave honest load alone: they are what one stream can
/// do to an edge in an emergency, some tens of times what a large partner sends, and keep one stream from
/// having a processor for itself for long. What partners send together is bounded by the link, which is shared fairly
/// among them. Before authentication a stream needs some KiB in all, so there the bounds are tight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Bytes in a second on an authenticated stream.
    pub bytes: Rate,
    /// Bytes in a second before authentication.
    pub unauthenticated_bytes: Rate,
    /// Stanzas in a second.
    pub stanzas: Rate,
}

/// What may wait for one pair of domains on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Stanzas: a burst of a busy partner fits, and a slow one cannot take more than half of what the edge takes from a
    /// gateway at a time.
    pub stanzas: usize,
    /// Bytes; the largest stanza has to fit.
    pub bytes: usize,
    /// How long a stanza waits whose sender did not say.
    pub lifetime: Duration,
}

/// The pauses between attempts to reach a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOffLimits {
    /// After the first failure.
    pub first: Duration,
    /// The longest: it is doubled up to here.
    pub longest: Duration,
}

/// Bounds on one question to the DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsLimits {
    /// Until an attempt counts as unanswered.
    pub timeout: Duration,
    /// How often it is asked in all.
    pub attempts: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            xml: Limits::default(),
            timeouts: Timeouts::default(),
            rates: Rates::default(),
            queue: QueueLimits::default(),
            back_off: BackOffLimits::default(),
            dns: DnsLimits::default(),
            pairs: 64,
            pending_dialbacks: 8,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            proxy_header: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(15),
            connect: Duration::from_secs(10),
            verification: Duration::from_secs(30),
            ping: Duration::from_secs(30),
            close: Duration::from_secs(5),
            write_stall: Duration::from_secs(15),
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        const KIB: u32 = 1024;
        Self {
            bytes: Rate::per_second(64 * KIB * KIB, 128 * KIB * KIB),
            unauthenticated_bytes: Rate::per_second(8 * KIB, 64 * KIB),
            stanzas: Rate::per_second(200_000, 400_000),
        }
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { stanzas: 4096, bytes: 8 * 1024 * 1024, lifetime: Duration::from_secs(60) }
    }
}

impl Default for BackOffLimits {
    fn default() -> Self {
        Self { first: Duration::from_secs(10), longest: Duration::from_secs(300) }
    }
}

impl Default for DnsLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), attempts: 3 }
    }
}
