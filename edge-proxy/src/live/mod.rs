//! What is live on this edge, for operators: each connection with its facts and counts, and the order to close it.
//!
//! The task that owns a connection writes, and whoever asks reads: what changes with stanzas is plain atomics with one
//! writer, what changes with the life of a stream is behind a lock of its own. So a report wakes no stream, and one
//! that is stalled is in it like any other. [`report`] makes the answers, [`certificates`] a metric.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::live::{CloseReason, Pair, SnapshotEffect};
use causeway_shared::verdict::facts::CertificateFacts;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion};
use tokio::sync::Notify;

use crate::clock::unix_ms;
use crate::policy::Federation;
use crate::stream::Method;
use crate::stream::identity::{ChainSum, Presented, Proof};
use crate::stream::lane::Lane;
use crate::verdict::Direction;

pub mod certificates;
pub mod report;

/// Numbers of streams that a second of the clock is worth: a later process begins above those of an earlier one, and
/// all of them are whole in JSON (RFC 8259, section 6).
const NUMBERS_PER_SECOND: u64 = 1 << 20;

/// Certificates that may be remembered beyond those in use before the others are forgotten.
const SLACK: usize = 64;

/// All connections with partners; cheap to clone.
#[derive(Clone)]
pub struct Streams(Arc<Mutex<Known>>);

struct Known {
    last: u64,
    streams: BTreeMap<u64, Arc<Live>>,
    /// Those that streams have shown: many streams of a partner show one.
    certificates: HashMap<ChainSum, Weak<Presented>>,
    effect: SnapshotEffect,
}

/// A connection's place among them; it is gone when dropped.
pub struct Entry {
    streams: Streams,
    live: Arc<Live>,
}

/// One connection.
pub struct Live {
    number: u64,
    direction: Direction,
    peer: SocketAddr,
    since_ms: u64,
    counts: Counts,
    about: Mutex<About>,
    order: OnceLock<Order>,
    called: Notify,
}

/// Written by the connection's task alone.
#[derive(Default)]
struct Counts {
    stanzas_in: AtomicU64,
    stanzas_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    unacknowledged: AtomicU64,
    /// Zero while there was none.
    last_stanza_ms: AtomicU64,
    is_managed: AtomicBool,
    is_finishing: AtomicBool,
    is_closing: AtomicBool,
}

#[derive(Default)]
struct About {
    stream_id: String,
    /// The domain that the peer claims, or that we want.
    claimed: Option<DomainName>,
    target: String,
    is_direct_tls: bool,
    is_dnssec: bool,
    is_bidi: bool,
    session: Option<(ProtocolVersion, CipherSuite)>,
    certificate: Option<Arc<CertificateFacts>>,
    pairs: Vec<Pair>,
    /// The queues that it empties.
    lanes: Vec<Arc<Lane>>,
}

/// The order to close a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// How.
    pub reason: CloseReason,
    /// When it was given: what is unacknowledged is waited for, and not for long.
    pub at: Instant,
}

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Known {
            last: unix_ms() / 1000 * NUMBERS_PER_SECOND,
            streams: BTreeMap::new(),
            certificates: HashMap::new(),
            effect: SnapshotEffect::default(),
        })))
    }
}

impl Streams {
    /// A connection begins.
    pub fn enter(&self, direction: Direction, peer: SocketAddr) -> Entry {
        let mut known = self.lock();
        known.last += 1;
        let live = Arc::new(Live {
            number: known.last,
            direction,
            peer,
            since_ms: unix_ms(),
            counts: Counts::default(),
            about: Mutex::default(),
            order: OnceLock::new(),
            called: Notify::new(),
        });
        known.streams.insert(live.number, Arc::clone(&live));
        Entry { streams: self.clone(), live }
    }

    /// Orders a stream to close; false when there is none of this number. Only the first order counts.
    pub fn close(&self, number: u64, reason: CloseReason, now: Instant) -> bool {
        let Some(live) = self.lock().streams.get(&number).cloned() else { return false };
        tracing::info!(number, peer = %live.peer, reason = reason.as_str(), "an operator closes a stream");
        let _first_counts = live.order.set(Order { reason, at: now });
        live.called.notify_one();
        true
    }

    /// A stream did not outlive a change of policy.
    pub fn fell(&self, live: &Live, federation: &Federation) {
        let is_gone = live.is_of_nobody(federation);
        let effect = &mut self.lock().effect;
        if effect.version != federation.version {
            *effect = SnapshotEffect { version: federation.version, ..SnapshotEffect::default() };
        }
        let count = if is_gone { &mut effect.partner_gone } else { &mut effect.not_permitted };
        *count = count.saturating_add(1);
    }

    /// What the policy of this version meant to the streams that were there, so far.
    fn effect(&self, version: u64) -> SnapshotEffect {
        let effect = self.lock().effect;
        if effect.version == version { effect } else { SnapshotEffect { version, ..SnapshotEffect::default() } }
    }

    /// All connections, the oldest first.
    fn all(&self) -> Vec<Arc<Live>> {
        self.lock().streams.values().cloned().collect()
    }

    /// A chain, read and kept once for all streams that show it.
    fn presented(&self, chain: &[CertificateDer<'_>]) -> Arc<Presented> {
        let sum = Presented::sum(chain);
        let known = self.lock().certificates.get(&sum).and_then(Weak::upgrade);
        if let Some(presented) = known {
            return presented;
        }
        // Nobody waits while a stranger's chain is read; two of the same at once are both right.
        let presented = Presented::read(chain);
        let mut known = self.lock();
        if known.certificates.len() > known.streams.len() + SLACK {
            known.certificates.retain(|_, presented| presented.strong_count() > 0);
        }
        known.certificates.insert(sum, Arc::downgrade(&presented));
        presented
    }

    /// What the lock protects is sound between any two statements.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The connection.
    pub const fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// TLS is established, with this chain of the peer's.
    pub fn secured(
        &self,
        session: Option<(ProtocolVersion, CipherSuite)>,
        chain: &[CertificateDer<'_>],
    ) -> Arc<Presented> {
        let presented = self.streams.presented(chain);
        let mut about = self.live.about();
        (about.session, about.certificate) = (session, presented.told().cloned());
        presented
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.streams.lock().streams.remove(&self.live.number);
    }
}

/// More of a count that one task alone writes: no other can come between.
fn add(count: &AtomicU64, more: usize) {
    let more = u64::try_from(more).unwrap_or(u64::MAX);
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// What the connection's task tells.
impl Live {
    /// Bytes came.
    pub fn read(&self, bytes: usize) {
        add(&self.counts.bytes_in, bytes);
    }

    /// Bytes were written.
    pub fn wrote(&self, bytes: usize) {
        add(&self.counts.bytes_out, bytes);
    }

    /// Stanzas came.
    pub fn took(&self, stanzas: usize) {
        add(&self.counts.stanzas_in, stanzas);
        self.counts.last_stanza_ms.store(unix_ms(), Ordering::Relaxed);
    }

    /// Stanzas were written.
    pub fn sent(&self, stanzas: usize) {
        add(&self.counts.stanzas_out, stanzas);
        self.counts.last_stanza_ms.store(unix_ms(), Ordering::Relaxed);
    }

    /// So many are unacknowledged now.
    pub fn unacknowledged(&self, stanzas: usize) {
        self.counts.unacknowledged.store(u64::try_from(stanzas).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether stanzas are acknowledged, and whether it only waits for what is under way.
    pub fn stands(&self, is_managed: bool, is_finishing: bool) {
        self.counts.is_managed.store(is_managed, Ordering::Relaxed);
        self.counts.is_finishing.store(is_finishing, Ordering::Relaxed);
    }

    /// Our last word was said.
    pub fn closing(&self) {
        self.counts.is_closing.store(true, Ordering::Relaxed);
    }

    /// How it began.
    pub fn began(&self, target: &str, is_direct_tls: bool, is_dnssec: bool) {
        let mut about = self.about();
        target.clone_into(&mut about.target);
        (about.is_direct_tls, about.is_dnssec) = (is_direct_tls, is_dnssec);
    }

    /// Whose stream it is, as far as anybody says.
    pub fn claimed(&self, domain: Option<&DomainName>, stream_id: &str) {
        let mut about = self.about();
        about.claimed = domain.cloned();
        stream_id.clone_into(&mut about.stream_id);
    }

    /// A pair is authenticated.
    pub fn authenticated(&self, pair: &DomainPair, method: Method, proof: Option<Proof>) {
        let proof = proof.map_or("", Proof::as_str).to_owned();
        self.about().pairs.push(Pair { pair: pair.clone(), method, proof });
    }

    /// Stanzas may go both ways.
    pub fn both_ways(&self) {
        self.about().is_bidi = true;
    }

    /// It empties this queue from now on.
    pub fn carries(&self, lane: &Arc<Lane>) {
        self.about().lanes.push(Arc::clone(lane));
    }

    /// The order to close it, once there is one.
    pub fn order(&self) -> Option<Order> {
        self.order.get().copied()
    }

    /// Waits for an order. Cancel-safe.
    pub async fn called(&self) {
        self.called.notified().await;
    }

    /// Whether some domain of it is no partner's, or none of ours, any more.
    fn is_of_nobody(&self, federation: &Federation) -> bool {
        let about = self.about();
        let is_stranger = |domain: &DomainName| federation.partner(domain.as_str()).is_none();
        match about.pairs.as_slice() {
            [] => about.claimed.as_ref().is_some_and(is_stranger),
            pairs => pairs
                .iter()
                .any(|Pair { pair, .. }| is_stranger(&pair.remote) || !federation.is_local(pair.local.as_str())),
        }
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream error of an order, if it has one.
pub fn stream_error(reason: CloseReason) -> Option<StreamError> {
    let condition = match reason {
        CloseReason::NoError => return None,
        CloseReason::Reset => StreamCondition::Reset,
        CloseReason::PolicyViolation => StreamCondition::PolicyViolation,
    };
    Some(StreamError::new(condition).with_text("an administrator has closed the stream"))
}

#[cfg(test)]
mod tests;
