//! What one stream carries to a partner: the queues of its pairs, and what of them is on its way.
//!
//! Pairs take turns. Without acknowledgements a stanza ends when its bytes are written and flushed; with them, when the
//! peer says that it has it (XEP-0198). What the end of the stream leaves unacknowledged may have arrived or not, and
//! its senders hear exactly that; it is not sent again.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use causeway_shared::domain::DomainPair;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::sync::{Notify, oneshot};

use super::lane::{InFlight, Lane};
use super::management::Unacknowledged;
use super::outbox::Queued;
use super::pool::{fail, refuse, too_late};
use crate::edge::Edge;
use crate::link::OutboundStanza;
use crate::live::Live;
use crate::metrics::StanzaEnd;
use crate::verdict::{Code, Direction, Finding};

/// Bytes that go into one write: one TLS record.
const WRITE: usize = 16 * 1024;

/// The pairs of one stream.
pub struct Carriage {
    edge: Arc<Edge>,
    live: Arc<Live>,
    lanes: Vec<Carried>,
    /// Whose turn it is.
    next: usize,
    wake: Arc<Notify>,
    in_flight: InFlight,
    unacknowledged: Unacknowledged,
}

struct Carried {
    pair: DomainPair,
    lane: Arc<Lane>,
    /// Told when the stream has ended: the pair's task goes on by itself.
    until: Option<oneshot::Sender<()>>,
}

/// Stanzas of one pair that go into one write.
pub struct Load {
    lane: Arc<Lane>,
    batch: Vec<Queued>,
}

impl Carriage {
    /// Carries nothing yet.
    pub fn new(edge: Arc<Edge>, in_flight: InFlight, live: Arc<Live>) -> Self {
        Self {
            edge,
            live,
            lanes: Vec::new(),
            next: 0,
            wake: Arc::default(),
            in_flight,
            unacknowledged: Unacknowledged::default(),
        }
    }

    /// Empties this queue from now on, until the stream ends.
    pub fn add(&mut self, pair: DomainPair, lane: Arc<Lane>, until: Option<oneshot::Sender<()>>) {
        lane.wakes(&self.wake);
        self.live.carries(&lane);
        self.lanes.push(Carried { pair, lane, until });
        self.wake.notify_one();
    }

    /// What is to be written next; empty when nothing is queued, or too much is unacknowledged. Stanzas larger than
    /// the peer takes are refused here (XEP-0478).
    pub fn take(&mut self, max_bytes: Option<usize>) -> Option<Load> {
        if self.unacknowledged.is_full() {
            return None;
        }
        for offset in 0..self.lanes.len() {
            let turn = (self.next + offset) % self.lanes.len();
            let Some(Carried { lane, .. }) = self.lanes.get(turn) else { continue };
            let lane = Arc::clone(lane);
            let mut batch = Vec::new();
            for stanza in lane.take(WRITE, &mut batch) {
                refuse(&self.edge, stanza, StanzaCondition::RemoteServerTimeout, too_late());
            }
            if let Some(most) = max_bytes {
                self.refuse_larger(most, &mut batch);
            }
            if !batch.is_empty() {
                self.next = turn + 1;
                return Some(Load { lane, batch });
            }
        }
        None
    }

    fn refuse_larger(&self, most: usize, batch: &mut Vec<Queued>) {
        for queued in batch.extract_if(.., |queued| queued.stanza.xml.len() > most) {
            self.in_flight.settled(1);
            let finding = Finding::new(
                Code::StanzaTooLarge,
                format!("a stanza of {} bytes; the partner's server takes {most}", queued.stanza.xml.len()),
            );
            refuse(&self.edge, queued.stanza, StanzaCondition::PolicyViolation, finding);
        }
    }

    /// The load was written and flushed. How many stanzas it had.
    pub fn written(&mut self, load: Load, is_managed: bool) -> u32 {
        let count = load.batch.len();
        self.edge.metrics.stanzas_out.inc_by(u64::try_from(count).unwrap_or_default());
        self.live.sent(count);
        if is_managed {
            load.batch.into_iter().for_each(|queued| self.unacknowledged.push(queued));
            self.live.unacknowledged(self.unacknowledged.places());
        } else {
            self.in_flight.settled(count);
            if let Some(first) = load.batch.first() {
                let kinds = load.batch.iter().map(|queued| queued.stanza.kind);
                self.edge.count(first.stanza.to.domain(), kinds, StanzaEnd::Delivered);
            }
            load.batch.into_iter().for_each(|queued| queued.stanza.done());
        }
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The load was not, or not wholly, written. Where the peer counts, nobody knows how far it came; else it is tried
    /// again on the next stream.
    pub fn not_written(&mut self, load: Load, is_managed: bool) {
        if is_managed {
            load.batch.into_iter().for_each(|queued| self.unacknowledged.push(queued));
        } else {
            load.lane.put_back(load.batch);
        }
    }

    /// The peer has so many more of the oldest.
    pub fn acknowledged(&mut self, count: u32) {
        let before = self.unacknowledged.len();
        for stanza in self.unacknowledged.acknowledge(count) {
            self.edge.count(stanza.to.domain(), std::iter::once(stanza.kind), StanzaEnd::Delivered);
            stanza.done();
        }
        self.in_flight.settled(before - self.unacknowledged.len());
        self.live.unacknowledged(self.unacknowledged.places());
    }

    /// Tells the senders that wait no longer.
    pub fn expire(&mut self) {
        let late = self.unacknowledged.expired(Instant::now());
        self.uncertain(late, "the partner's server did not acknowledge the stanza in time");
    }

    /// When [`Self::expire`] has to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.unacknowledged.deadline()
    }

    /// Whether nothing waits for an acknowledgement.
    pub fn is_settled(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// The pairs.
    pub fn pairs(&self) -> impl Iterator<Item = &DomainPair> {
        self.lanes.iter().map(|carried| &carried.pair)
    }

    /// Told when something may be queued.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    fn uncertain(&self, stanzas: Vec<OutboundStanza>, cause: &'static str) {
        let Some(first) = stanzas.first() else { return };
        self.in_flight.settled(stanzas.len());
        let finding = Finding::new(Code::StanzaUncertain, format!("{cause}; it may have been delivered"));
        let verdict = self.edge.report(finding, first.to.domain(), Direction::Out, None);
        for stanza in stanzas {
            fail(&self.edge, stanza, StanzaCondition::RemoteServerTimeout, &verdict);
        }
    }
}

impl Drop for Carriage {
    /// The stream has ended, however it did: nothing is left untold, and every pair is its own task's again.
    fn drop(&mut self) {
        let left = self.unacknowledged.drain();
        self.uncertain(left, "the stream ended before the partner's server acknowledged the stanza");
        for carried in self.lanes.drain(..) {
            carried.lane.wakes(&Arc::default());
            if let Some(until) = carried.until {
                // Its task may be gone, too.
                let _nobody_waits = until.send(());
            }
        }
    }
}

impl Load {
    /// All stanzas in one piece.
    pub fn bytes(&self) -> Bytes {
        if let [only] = self.batch.as_slice() {
            return only.stanza.xml.clone();
        }
        let mut bytes = BytesMut::with_capacity(self.batch.iter().map(|queued| queued.stanza.xml.len()).sum());
        for queued in &self.batch {
            bytes.extend_from_slice(&queued.stanza.xml);
        }
        bytes.freeze()
    }
}
