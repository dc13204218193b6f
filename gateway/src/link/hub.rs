//! The attached edges: what each is owed, and which edge takes what this gateway sends.
//!
//! One lock around the machine of [`Pool`], held for a batch and never across an await. Outcomes leave by a queue of
//! events that the engine reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_proto::link::v1 as proto;
use causeway_shared::jid::Jid;
use causeway_shared::link::outgoing::Outgoing;
use causeway_shared::link::pool::{Effect, PeerId, Pool, Routed};
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{Failure, Outcome, Snapshot, Stanza, StanzaKind, TraceContext, convert};
use causeway_shared::xmpp::stanza_error::StanzaCondition;

/// Stanzas that wait for an edge; beyond it new ones fail at once with `resource-constraint`.
pub const BACKLOG: usize = 16_384;

/// What only the gateway's direction of the link has.
#[derive(Debug)]
pub enum GatewayExtra {
    /// The first frame, with the snapshot.
    Hello(proto::GatewayHello, Option<proto::Snapshot>),
    /// A new snapshot.
    Snapshot(proto::Snapshot),
    /// No new stanzas, please.
    Draining,
}

/// What waits for one edge.
pub type GatewayOutgoing = Outgoing<GatewayExtra>;

/// A stanza for a partner.
#[derive(Debug, Clone)]
pub struct StanzaOut {
    /// Names it in [`super::LinkEvent::Outcomes`]; never reused by this process.
    pub key: u64,
    /// Its kind.
    pub kind: StanzaKind,
    /// The sender, one of ours.
    pub from: Jid,
    /// The addressee, one of theirs.
    pub to: Jid,
    /// The canonical form.
    pub xml: Bytes,
    /// How long its sender waits for the outcome.
    pub patience: Duration,
    /// The trace it belongs to.
    pub trace: TraceContext,
}

/// A stanza on its way, with its deadline.
#[derive(Debug)]
struct Pending {
    stanza: StanzaOut,
    give_up_at: Instant,
}

impl Routed for Pending {
    /// A pair of domains normally has one stream, so it has one edge.
    fn keys(&self) -> (&str, &str) {
        (self.stanza.from.domain(), self.stanza.to.domain())
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }
}

/// The hub.
pub struct Hub {
    state: Mutex<State>,
    origin: u64,
}

struct State {
    pool: Pool<Pending>,
    edges: HashMap<PeerId, Arc<GatewayOutgoing>>,
    effects: Vec<Effect<Pending>>,
    snapshot: Option<Arc<Snapshot>>,
    draining: bool,
}

/// Stanzas that ended, by key.
pub type Outcomes = Vec<(u64, Outcome)>;

impl Hub {
    /// A hub without edges. `origin` names this process in stanza keys.
    pub fn new(origin: u64) -> Self {
        Self {
            state: Mutex::new(State {
                pool: Pool::new(BACKLOG),
                edges: HashMap::new(),
                effects: Vec::new(),
                snapshot: None,
                draining: false,
            }),
            origin,
        }
    }

    /// An edge took us in.
    pub fn attach(&self, name: &str, window: u32, outgoing: Arc<GatewayOutgoing>, now: Instant) -> (PeerId, Outcomes) {
        let mut state = self.lock();
        if state.draining {
            outgoing.push_extra(GatewayExtra::Draining);
        }
        let State { pool, effects, .. } = &mut *state;
        let id = pool.attach(name, window, effects);
        state.edges.insert(id, outgoing);
        (id, self.perform(state, now))
    }

    /// An edge is gone; what it had not acknowledged goes to the others or waits.
    pub fn detach(&self, id: PeerId, now: Instant) -> Outcomes {
        let mut state = self.lock();
        if let Some(outgoing) = state.edges.remove(&id) {
            outgoing.close();
        }
        let State { pool, effects, .. } = &mut *state;
        pool.detach(id, effects);
        self.perform(state, now)
    }

    /// Sends stanzas. What cannot even wait fails at once.
    pub fn send(&self, stanzas: impl IntoIterator<Item = StanzaOut>, now: Instant) -> Outcomes {
        let mut state = self.lock();
        let mut refused = Vec::new();
        for stanza in stanzas {
            let State { pool, effects, .. } = &mut *state;
            let give_up_at = now + stanza.patience;
            if let Err(pending) = pool.offer(Pending { stanza, give_up_at }, effects) {
                let failure = Failure::new(StanzaCondition::ResourceConstraint, "too many stanzas wait for an edge");
                refused.push((pending.stanza.key, Outcome::Failed(failure)));
            }
        }
        let mut outcomes = self.perform(state, now);
        outcomes.append(&mut refused);
        outcomes
    }

    /// An edge acknowledged.
    pub fn acknowledge(
        &self,
        id: PeerId,
        ranges: &[u64],
        failures: Vec<(u64, Failure)>,
        now: Instant,
    ) -> Result<Outcomes, WindowFault> {
        let mut state = self.lock();
        let State { pool, effects, .. } = &mut *state;
        let acknowledged = pool.acknowledge(id, ranges, failures, effects);
        let outcomes = self.perform(state, now);
        acknowledged.map(|()| outcomes)
    }

    /// Gives up what waited too long for an edge.
    pub fn expire(&self, now: Instant) -> Outcomes {
        let mut state = self.lock();
        let State { pool, effects, .. } = &mut *state;
        pool.expire(now, effects);
        self.perform(state, now)
    }

    /// Puts a snapshot in force: all edges get it, now and when they attach.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let mut state = self.lock();
        for outgoing in state.edges.values() {
            outgoing.push_extra(GatewayExtra::Snapshot(convert::snapshot_to_proto(&snapshot)));
        }
        state.snapshot = Some(snapshot);
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.lock().snapshot.clone()
    }

    /// Asks all edges for no new stanzas; what is under way is finished.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for outgoing in state.edges.values() {
            outgoing.push_extra(GatewayExtra::Draining);
        }
    }

    /// Ends all attachments after what is already queued.
    pub fn close(&self) {
        for outgoing in self.lock().edges.values() {
            outgoing.close();
        }
    }

    /// Attached edges.
    pub fn edges(&self) -> usize {
        self.lock().edges.len()
    }

    /// Stanzas that wait for an edge, and stanzas that an edge has not finished.
    pub fn load(&self) -> (usize, usize) {
        self.lock().pool.load()
    }

    /// Stanzas of edges that this gateway has not finished.
    pub fn unfinished(&self) -> u32 {
        self.lock().edges.values().map(|outgoing| outgoing.unfinished()).sum()
    }

    /// Carries out the effects of a step and ends it.
    fn perform(&self, mut state: MutexGuard<'_, State>, now: Instant) -> Outcomes {
        let mut outcomes = Vec::new();
        let mut transmissions: HashMap<PeerId, Vec<proto::Stanza>> = HashMap::new();
        let State { pool, edges, effects, .. } = &mut *state;
        for effect in effects.drain(..) {
            match effect {
                Effect::Transmit { peer, seq } => {
                    let Some((pending, redelivered)) = pool.item(peer, seq) else { continue };
                    let stanza = self.link_stanza(pending, redelivered, now);
                    transmissions.entry(peer).or_default().push(convert::stanza_to_proto(&stanza, seq, 0));
                }
                Effect::Finished { item, outcome } => outcomes.push((item.stanza.key, outcome)),
                Effect::GivenUp(item) => {
                    let failure = Failure::new(StanzaCondition::RemoteServerTimeout, "no edge took the stanza in time");
                    outcomes.push((item.stanza.key, Outcome::Failed(failure)));
                }
            }
        }
        for (peer, stanzas) in transmissions {
            if let Some(outgoing) = edges.get(&peer) {
                outgoing.push_stanzas([], stanzas);
            }
        }
        outcomes
    }

    fn link_stanza(&self, pending: &Pending, redelivered: bool, now: Instant) -> Stanza {
        let stanza = &pending.stanza;
        Stanza {
            kind: stanza.kind,
            from: stanza.from.clone(),
            to: stanza.to.clone(),
            xml: stanza.xml.clone(),
            origin: self.origin,
            key: stanza.key,
            redelivered,
            trace: stanza.trace,
            arrived_ms: 0,
            // At least a moment, so that a stanza sent again in its last second is tried once more.
            patience: pending.give_up_at.saturating_duration_since(now).max(Duration::from_secs(1)),
        }
    }

    /// Every change of the state is whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
