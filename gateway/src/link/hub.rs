//! The attached edges: what each is owed, and which edge takes what this gateway sends.
//!
//! One lock around the machine of [`Pool`], held for a batch and never across an await. Outcomes leave by the queue of
//! events that the engine reads.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_proto::link::v1 as proto;
use causeway_shared::domain::DomainName;
use causeway_shared::jid::Jid;
use causeway_shared::link::deliveries::Deliveries;
use causeway_shared::link::fullness::{Fullness, WindowFacts, by_name};
use causeway_shared::link::outgoing::Outgoing;
use causeway_shared::link::pool::{Effect, PeerId, Pool, Routed, cost_of};
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{
    Failure, HELD_COST, Outcome, Snapshot, Stanza, StanzaKind, TraceContext, convert, rendezvous,
};
use causeway_shared::live::Waiting;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::sync::{Notify, watch};

use super::live::{EdgeFacts, LinkLoad, PartnerLoad};

/// A stanza that is sent again in its last moment is given this much: enough for a stream that is open.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// What one partner may have of [`HELD_COST`]: a partner for whom there is too much, or who is slow, leaves room for what
/// goes to all others, and only his senders are asked to come back later.
const HELD_FOR_PARTNER: usize = HELD_COST / 2;

/// What only the gateway's direction of the link has.
#[derive(Debug, Default)]
pub(super) struct GatewayExtra {
    /// The first frame.
    pub(super) hello: Option<proto::GatewayHello>,
    /// A new snapshot.
    pub(super) snapshot: Option<proto::Snapshot>,
    /// No new stanzas, please.
    pub(super) draining: bool,
    /// What is to be probed.
    pub(super) probes: Vec<proto::ProbeRequest>,
    /// What operators want to know.
    pub(super) report_requests: Vec<proto::ReportRequest>,
    /// Streams that are to be closed.
    pub(super) close_requests: Vec<proto::CloseRequest>,
}

/// What waits for one edge.
pub(super) type GatewayOutgoing = Outgoing<GatewayExtra>;

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
    /// Whether it answers a partner's stanza. Such answers are never refused for want of room: the windows of the edges
    /// bound them, and a refused one would leave the partner without delivery and without error.
    pub is_owed: bool,
}

/// A stanza on its way, with its deadline.
#[derive(Debug)]
struct Pending {
    stanza: StanzaOut,
    give_up_at: Instant,
}

impl Pending {
    fn waited_ms(&self, now: Instant) -> u64 {
        let waited = self.stanza.patience.saturating_sub(self.give_up_at.saturating_duration_since(now));
        u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Routed for Pending {
    /// A pair of domains normally has one stream, so it has one edge.
    fn keys(&self) -> (&str, &str) {
        (self.stanza.from.domain(), self.stanza.to.domain())
    }

    /// What is for one partner does not hold up what is for another.
    fn flow(&self) -> u64 {
        rendezvous::name_hash(self.stanza.to.domain())
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn cost(&self) -> usize {
        cost_of(self.stanza.xml.len())
    }

    /// Its sender has been told by his own timers that it failed (Timer F, RFC 3261 section 17.1.2.2).
    fn is_over(&self, now: Instant) -> bool {
        self.give_up_at <= now
    }
}

/// Stanzas that ended, by key or by number.
pub(super) type Outcomes = Vec<(u64, Outcome)>;

/// An edge as it attaches.
pub(super) struct Edge {
    pub(super) facts: EdgeFacts,
    pub(super) outgoing: Arc<GatewayOutgoing>,
    fullness: Fullness,
    /// Told when the call must end.
    pub(super) end: Arc<Notify>,
    /// The partners to whom presence was sent by it; no more than there are.
    shown: HashSet<DomainName>,
}

/// What is left of an edge.
pub(super) struct Detached {
    pub(super) outcomes: Outcomes,
    /// The partners to whom presence was sent by it.
    pub(super) shown: HashSet<DomainName>,
    /// Whether it had said that it would end.
    pub(super) is_draining: bool,
}

impl Edge {
    pub(super) fn new(facts: EdgeFacts, outgoing: Arc<GatewayOutgoing>, end: Arc<Notify>) -> Self {
        Self { facts, outgoing, fullness: Fullness::default(), end, shown: HashSet::new() }
    }

    fn sends(&mut self, kind: StanzaKind, to: &Jid) {
        if kind == StanzaKind::Presence && !self.shown.contains(to.domain()) {
            self.shown.insert(to.domain_name());
        }
    }
}

/// The hub.
pub(super) struct Hub {
    state: Mutex<State>,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    origin: u64,
}

#[derive(Default)]
struct State {
    pool: Pool<Pending>,
    edges: HashMap<PeerId, Edge>,
    deliveries: Deliveries,
    /// What the pool holds for each partner who has something there, by [`Routed::flow`].
    held_for: HashMap<u64, usize>,
    /// Kept from step to step for its memory.
    effects: Vec<Effect<Pending>>,
    draining: bool,
}

impl Hub {
    /// A hub without edges. The instance names this process in stanza keys.
    pub(super) fn new(instance_id: &str) -> Self {
        let origin = rendezvous::name_hash(instance_id);
        Self { state: Mutex::default(), snapshot: watch::Sender::new(None), origin }
    }

    /// An edge took us in, with the snapshot of this version.
    pub(super) fn attach(&self, edge: Edge, window: u32, told: u64, now: Instant) -> (PeerId, Outcomes) {
        let mut state = self.lock();
        if state.draining {
            edge.outgoing.say(|extra| extra.draining = true);
        }
        // One that was published in the meantime has to get out, too.
        if let Some(newest) = self.snapshot.borrow().as_ref().filter(|newest| newest.version != told) {
            edge.outgoing.say(|extra| extra.snapshot = Some(convert::snapshot_to_proto(newest)));
        }
        let id = state.step(|pool, effects| pool.attach(&edge.facts.name, window, now, effects));
        state.edges.insert(id, edge);
        (id, self.perform(state, now))
    }

    /// An edge is gone; what it had not acknowledged goes to the others or waits.
    pub(super) fn detach(&self, id: PeerId, now: Instant) -> Detached {
        let mut state = self.lock();
        let edge = state.edges.remove(&id);
        let (shown, is_draining) = edge.map_or_else(Default::default, |edge| {
            edge.outgoing.cut();
            (edge.shown, edge.facts.is_draining)
        });
        state.deliveries.lost(id);
        state.step(|pool, effects| pool.detach(id, now, effects));
        Detached { outcomes: self.perform(state, now), shown, is_draining }
    }

    /// An edge wants nothing new.
    pub(super) fn edge_drains(&self, id: PeerId, now: Instant) -> Outcomes {
        let mut state = self.lock();
        if let Some(edge) = state.edges.get_mut(&id) {
            edge.facts.is_draining = true;
        }
        state.step(|pool, effects| pool.drain(id, now, effects));
        self.perform(state, now)
    }

    /// An edge has a snapshot in force.
    pub(super) fn applied(&self, id: PeerId, version: u64) {
        if let Some(edge) = self.lock().edges.get_mut(&id) {
            // What is told twice may cross; it only grows while an edge is attached.
            edge.facts.applied = edge.facts.applied.max(version);
        }
    }

    /// Sends stanzas. What goes beyond what may be held fails at once.
    pub(super) fn send(&self, stanzas: impl IntoIterator<Item = StanzaOut>, now: Instant) -> Outcomes {
        let mut state = self.lock();
        let mut refused = Vec::new();
        for stanza in stanzas {
            let give_up_at = now + stanza.patience;
            let pending = Pending { stanza, give_up_at };
            let fault = if pending.stanza.is_owed { None } else { state.want_of_room(&pending) };
            if let Some(fault) = fault {
                let failure = Failure::new(StanzaCondition::ResourceConstraint, fault);
                refused.push((pending.stanza.key, Outcome::Failed(failure)));
                continue;
            }
            *state.held_for.entry(pending.flow()).or_default() += pending.cost();
            state.step(|pool, effects| pool.offer(pending, now, effects));
        }
        let mut outcomes = self.perform(state, now);
        outcomes.append(&mut refused);
        outcomes
    }

    /// An edge acknowledged.
    pub(super) fn acknowledge(
        &self,
        id: PeerId,
        ranges: &[u64],
        failures: Vec<(u64, Failure)>,
        now: Instant,
    ) -> (Outcomes, Result<(), WindowFault>) {
        let mut state = self.lock();
        let acknowledged = state.step(|pool, effects| pool.acknowledge(id, ranges, failures, now, effects));
        (self.perform(state, now), acknowledged)
    }

    /// Gives up what waited too long for an edge, and ends the calls of edges that stalled.
    pub(super) fn expire(&self, now: Instant) -> Outcomes {
        let mut state = self.lock();
        state.step(|pool, effects| pool.expire(now, effects));
        self.perform(state, now)
    }

    /// Puts a snapshot in force: all edges get it, now and when they attach.
    pub(super) fn publish(&self, snapshot: Arc<Snapshot>) {
        let state = self.lock();
        for edge in state.edges.values() {
            edge.outgoing.say(|extra| extra.snapshot = Some(convert::snapshot_to_proto(&snapshot)));
        }
        self.snapshot.send_replace(Some(snapshot));
    }

    /// The snapshot in force, once there is one.
    pub(super) async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let mut published = self.snapshot.subscribe();
        let snapshot = published.wait_for(Option::is_some).await;
        snapshot.ok().and_then(|snapshot| snapshot.clone())
    }

    /// Asks all edges for no new stanzas; what is under way is finished.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for edge in state.edges.values() {
            edge.outgoing.say(|extra| extra.draining = true);
        }
    }

    /// Ends all attachments after what is already queued.
    pub(super) fn close(&self) {
        for edge in self.lock().edges.values() {
            edge.outgoing.close();
        }
    }

    /// Asks an edge for a probe: the one of this name, or any. Tells which.
    pub(super) fn probe(&self, edge: Option<&str>, request: proto::ProbeRequest) -> Option<(PeerId, String)> {
        let state = self.lock();
        let is_it = |asked: &Edge| edge.is_none_or(|name| asked.facts.name == name);
        let (id, chosen) = state.edges.iter().find(|(_, known)| is_it(known))?;
        chosen.outgoing.say(|extra| extra.probes.push(request));
        Some((*id, chosen.facts.name.clone()))
    }

    /// The attached edges, for the panel.
    pub(super) fn edges(&self) -> Vec<EdgeFacts> {
        let mut edges: Vec<_> = self.lock().edges.values().map(|edge| edge.facts.clone()).collect();
        edges.sort_by(|one, other| (&one.name, one.address).cmp(&(&other.name, other.address)));
        edges
    }

    /// The attached edges by name, and what waits for each.
    pub(super) fn attached(&self) -> Vec<(PeerId, String, Arc<GatewayOutgoing>)> {
        let state = self.lock();
        let known = state.edges.iter();
        known.map(|(id, edge)| (*id, edge.facts.name.clone(), Arc::clone(&edge.outgoing))).collect()
    }

    /// How many edges are attached.
    pub(super) fn count(&self) -> usize {
        self.lock().edges.len()
    }

    /// What this gateway has for each edge, and for each remote domain.
    pub(super) fn loads(&self, now: Instant) -> (Vec<LinkLoad>, Vec<PartnerLoad>) {
        let state = self.lock();
        let mut links: BTreeMap<Option<PeerId>, [Waiting; 2]> = BTreeMap::new();
        links.extend(state.edges.keys().map(|id| (Some(*id), Default::default())));
        let mut partners: BTreeMap<&str, [Waiting; 2]> = BTreeMap::new();
        let outstanding = state.pool.outstanding().map(|(peer, item)| (Some(peer), item, 0));
        let waiting = state.pool.waiting().map(|(peer, item)| (peer, item, 1));
        for (peer, pending, place) in outstanding.chain(waiting) {
            let (bytes, waited) = (pending.stanza.xml.len(), pending.waited_ms(now));
            for both in [links.entry(peer).or_default(), partners.entry(pending.stanza.to.domain()).or_default()] {
                if let Some(one) = both.get_mut(place) {
                    one.add(bytes, waited);
                }
            }
        }
        let links = links.into_iter().map(|(peer, [unacknowledged, waiting])| {
            let edge = peer.and_then(|peer| state.edges.get(&peer));
            LinkLoad {
                edge: edge.map(|edge| edge.facts.name.clone()),
                unacknowledged: unacknowledged.into(),
                waiting: waiting.into(),
                unfinished: edge.map_or(0, |edge| edge.outgoing.unfinished()),
            }
        });
        let partners = partners.into_iter().map(|(remote, [unacknowledged, waiting])| PartnerLoad {
            remote: remote.to_owned(),
            unacknowledged: unacknowledged.into(),
            waiting: waiting.into(),
        });
        (links.collect(), partners.collect())
    }

    /// How full the edges' windows are, for metrics.
    pub(super) fn windows(&self, now: Instant) -> Vec<WindowFacts> {
        let state = self.lock();
        by_name(state.edges.iter().map(|(id, edge)| {
            let (used, size) = state.pool.window(*id).unwrap_or_default();
            WindowFacts { peer: edge.facts.name.clone(), used, size, full: edge.fullness.total(now) }
        }))
    }

    /// By remote domain: stanzas that no edge has finished, and how long the oldest waits, in milliseconds.
    pub(super) fn waiting(&self, now: Instant) -> Vec<(String, u64, u64)> {
        let state = self.lock();
        let mut by_remote: BTreeMap<&str, Waiting> = BTreeMap::new();
        let outstanding = state.pool.outstanding().map(|(_, item)| item);
        for pending in outstanding.chain(state.pool.waiting().map(|(_, item)| item)) {
            let waiting = by_remote.entry(pending.stanza.to.domain()).or_default();
            waiting.add(pending.stanza.xml.len(), pending.waited_ms(now));
        }
        let told = by_remote.into_iter();
        told.map(|(remote, waiting)| (remote.to_owned(), waiting.stanzas, waiting.oldest_ms)).collect()
    }

    /// Stanzas that wait for an edge, and stanzas that an edge has not finished.
    pub(super) fn load(&self) -> (usize, usize) {
        self.lock().pool.load()
    }

    /// Stanzas of edges that this gateway has not finished.
    pub(super) fn unfinished(&self) -> u32 {
        self.lock().edges.values().map(|edge| edge.outgoing.unfinished()).sum()
    }

    /// Carries out the effects of a step and ends it.
    fn perform(&self, mut state: MutexGuard<'_, State>, now: Instant) -> Outcomes {
        let mut outcomes = Vec::new();
        // By edge: nearly always one.
        let mut transmissions: Vec<(PeerId, Vec<proto::Stanza>)> = Vec::new();
        let State { pool, edges, deliveries, effects, held_for, .. } = &mut *state;
        for effect in effects.drain(..) {
            match effect {
                Effect::Transmit { peer, seq } => {
                    let Some((pending, redelivered)) = pool.item(peer, seq) else { continue };
                    let StanzaOut { key, trace, kind, ref to, .. } = pending.stanza;
                    let edge = edges.get_mut(&peer).map(|edge| {
                        edge.sends(kind, to);
                        &*edge
                    });
                    let name = edge.map_or("", |edge| &edge.facts.name);
                    let trace = deliveries.begin(key, trace, peer, name, redelivered);
                    let stanza = self.link_stanza(pending, redelivered, trace, now);
                    let stanza = convert::stanza_to_proto(&stanza, seq, 0);
                    match transmissions.iter_mut().find(|(to, _)| *to == peer) {
                        Some((_, stanzas)) => stanzas.push(stanza),
                        None => transmissions.push((peer, vec![stanza])),
                    }
                }
                Effect::Finished { item, outcome } => {
                    leave(held_for, &item);
                    deliveries.end(item.stanza.key, Some(&outcome));
                    outcomes.push((item.stanza.key, outcome));
                }
                Effect::GivenUp(item) => {
                    leave(held_for, &item);
                    deliveries.end(item.stanza.key, None);
                    let failure = Failure::new(StanzaCondition::RemoteServerTimeout, "no edge took the stanza in time");
                    outcomes.push((item.stanza.key, Outcome::Failed(failure)));
                }
                Effect::Stalled(peer) => {
                    if let Some(edge) = edges.get(&peer) {
                        tracing::error!(edge = edge.facts.name, "an edge acknowledges nothing any more");
                        edge.end.notify_one();
                    }
                }
            }
        }
        for (id, edge) in edges.iter_mut() {
            let is_full = pool.window(*id).is_some_and(|(used, size)| used >= size);
            edge.fullness.look(is_full, || now);
        }
        for (peer, stanzas) in transmissions {
            if let Some(edge) = edges.get(&peer) {
                edge.outgoing.push_stanzas([], stanzas);
            }
        }
        outcomes
    }

    fn link_stanza(&self, pending: &Pending, redelivered: bool, trace: TraceContext, now: Instant) -> Stanza {
        let stanza = &pending.stanza;
        Stanza {
            kind: stanza.kind,
            from: stanza.from.clone(),
            to: stanza.to.clone(),
            xml: stanza.xml.clone(),
            origin: self.origin,
            key: stanza.key,
            redelivered,
            trace,
            arrived_ms: 0,
            patience: pending.give_up_at.saturating_duration_since(now).max(LEAST_PATIENCE),
        }
    }

    /// Every change of the state is whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn step<R>(&mut self, step: impl FnOnce(&mut Pool<Pending>, &mut Vec<Effect<Pending>>) -> R) -> R {
        step(&mut self.pool, &mut self.effects)
    }

    /// Why there is no room for a stanza, if there is none.
    fn want_of_room(&self, pending: &Pending) -> Option<&'static str> {
        let held_for = self.held_for.get(&pending.flow()).copied().unwrap_or_default();
        if self.pool.held() + pending.cost() > HELD_COST {
            return Some("too many stanzas wait for the edges");
        }
        (held_for + pending.cost() > HELD_FOR_PARTNER).then_some("too many stanzas wait for this partner")
    }
}

/// A stanza that ended makes room for its partner.
fn leave(held_for: &mut HashMap<u64, usize>, pending: &Pending) {
    if let Entry::Occupied(mut held) = held_for.entry(pending.flow()) {
        *held.get_mut() = held.get().saturating_sub(pending.cost());
        if *held.get() == 0 {
            held.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(key: u64, is_owed: bool) -> StanzaOut {
        stanza_to("bob@fabrikam.example", key, is_owed)
    }

    fn stanza_to(to: &str, key: u64, is_owed: bool) -> StanzaOut {
        StanzaOut {
            key,
            kind: StanzaKind::Message,
            from: Jid::parse("alice@contoso.example").unwrap(),
            to: Jid::parse(to).unwrap(),
            xml: Bytes::from(vec![b'x'; 1024]),
            patience: Duration::from_secs(25),
            trace: TraceContext::default(),
            is_owed,
        }
    }

    #[test]
    fn a_full_hub_refuses_what_is_new_but_never_an_answer_that_a_partner_is_owed() {
        let (hub, now) = (Hub::new("gw1-1"), Instant::now());
        let count = HELD_COST as u64 / 2;
        let partners = ["bob@fabrikam.example", "dan@wingtip.example"];
        let fill = (0..count).map(|key| stanza_to(partners[key as usize % 2], key, false));
        assert!(hub.send(fill, now).is_empty());
        assert!(matches!(hub.send([stanza(count, false)], now)[..], [(_, Outcome::Failed(_))]));
        assert!(hub.send([stanza(count + 1, true)], now).is_empty());
    }

    #[test]
    fn a_partner_for_whom_too_much_waits_leaves_room_for_the_others() {
        let (hub, now) = (Hub::new("gw1-1"), Instant::now());
        // Each costs two places.
        let count = HELD_FOR_PARTNER as u64 / 2;
        assert!(hub.send((0..count).map(|key| stanza(key, false)), now).is_empty());
        assert!(matches!(hub.send([stanza(count, false)], now)[..], [(_, Outcome::Failed(_))]));
        assert!(hub.send([stanza_to("dan@wingtip.example", count + 1, false)], now).is_empty());
        // What is given up makes room again.
        let ended = hub.expire(now + Duration::from_secs(26));
        assert_eq!(ended.len() as u64, count + 1);
        assert!(hub.send([stanza(count + 2, false)], now).is_empty());
        assert_eq!(hub.lock().held_for.len(), 1);
    }
}
