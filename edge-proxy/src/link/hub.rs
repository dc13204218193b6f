//! The attached gateways: what each is owed, and who gets what partners send.
//!
//! One lock around the machine of [`Pool`]; it is held for a batch, never across an await. A stream hands its stanzas
//! in here and the connection to the gateway takes them out: no task stands between. The whole is bounded, and who waits
//! for room does not read its socket; partners wait in turns ([`FairQueue`]), here for room and in the pool for a gateway's
//! window, so a flood of one holds up no other.
//!
//! At the end of a shutdown nothing waits any more: what no gateway has is answered by the edge.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use causeway_proto::link::v1 as proto;
use causeway_shared::domain::DomainName;
use causeway_shared::link::deliveries::Deliveries;
use causeway_shared::link::fair::FairQueue;
use causeway_shared::link::fullness::{Fullness, WindowFacts, by_name};
use causeway_shared::link::outgoing::{Outgoing, VERDICTS_WAITING};
use causeway_shared::link::pool::{Effect, PeerId, Pool};
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{Failure, HELD_COST, Outcome, PairContext, convert, rendezvous};
use causeway_shared::live::Waiting;
use causeway_shared::verdict::Verdict;
use causeway_shared::verdict::history::Kept;
use tokio::sync::oneshot;

use super::contexts::Contexts;
use super::pending::{Part, Pending, Undelivered, flow_of, leading_part};
use super::reports::Reports;
use super::{InboundStanza, LinkClosed, Verdicts};

/// How long a partner's stanza may wait for a gateway before its sender gets an error. A gateway restarts in seconds.
pub const GATEWAY_PATIENCE: Duration = Duration::from_secs(30);

/// How long a stanza waits that a gateway had when it was lost: it may have been delivered, so an error may be wrong, and
/// the same gateway knows when it comes back. Shorter than gateways remember, [`RECENT_TIME`].
///
/// [`RECENT_TIME`]: causeway_shared::link::recent::RECENT_TIME
pub(super) const UNCERTAIN_PATIENCE: Duration = Duration::from_secs(180);

/// What one partner hands in before it is another's turn: what one read brings, mostly.
const TURN: usize = 256;

/// What those hold together of whom something waits for a gateway; the rest of [`HELD_COST`] is for partners of whom nothing
/// waits there, so that they find room at once beside a flood.
const HELD_IN_TURNS: usize = HELD_COST / 2;

/// Partners who are passed over each time something is finished, before the look for one whom there is room for ends: it
/// goes on with those behind them the next time.
const PASSED_OVER: usize = 16;

/// What only the edge's direction of the link has.
#[derive(Debug, Default)]
pub(super) struct EdgeExtra {
    /// The first frame.
    pub(super) hello: Option<proto::EdgeHello>,
    /// A snapshot is in force; 0 is no change.
    pub(super) applied: u64,
    /// No new stanzas, please.
    pub(super) draining: bool,
    /// What probes found.
    pub(super) probe_reports: Vec<proto::ProbeReport>,
    /// Reports for operators.
    pub(super) reports: Reports,
    /// Answers to orders.
    pub(super) close_answers: Vec<proto::CloseAnswer>,
}

/// What waits for one gateway.
pub(super) type EdgeOutgoing = Outgoing<EdgeExtra>;

/// What became of a part at once.
enum HandedIn {
    Taken,
    /// There is no room yet; the receiver tells when there was.
    Waits(oneshot::Receiver<()>),
    Closed,
}

/// A gateway as it attaches.
#[derive(Debug, Clone)]
pub(super) struct GatewayPeer {
    /// The allowed name that its certificate bears.
    pub(super) certificate_name: String,
    /// Its end of the connection.
    pub(super) address: SocketAddr,
}

/// The hub.
pub(super) struct Hub {
    state: Mutex<State>,
    verdicts: Arc<Verdicts>,
    origin: u64,
    patience: Duration,
}

struct State {
    pool: Pool<Pending>,
    /// What waits until the pool holds less.
    waiting: FairQueue<Part>,
    life: Life,
    /// What nobody will take any more, until [`Hub::expire`] hands it out.
    left_over: Vec<Undelivered>,
    gateways: HashMap<PeerId, Gateway>,
    deliveries: Deliveries,
    /// Deliveries of what another gateway had, since the start.
    redelivered: u64,
    last_key: u64,
    /// Kept from step to step for its memory.
    effects: Vec<Effect<Pending>>,
    draining: bool,
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Open,
    /// Nothing waits for a gateway any more.
    Ending,
    /// Nothing is taken any more.
    Closed,
}

struct Gateway {
    /// What it calls itself.
    name: String,
    peer: GatewayPeer,
    fullness: Fullness,
    outgoing: Arc<EdgeOutgoing>,
    contexts: Contexts,
}

/// What a step brought back.
#[derive(Default)]
pub(super) struct Returned {
    /// Stanzas that no gateway delivers.
    pub(super) undelivered: Vec<Undelivered>,
    /// Gateways that acknowledge nothing any more.
    pub(super) stalled: Vec<PeerId>,
}

impl Hub {
    /// A hub without gateways. The instance names this process in stanza keys.
    pub(super) fn new(instance_id: &str, patience: Duration) -> Self {
        Self {
            state: Mutex::new(State::default()),
            verdicts: Arc::default(),
            origin: rendezvous::name_hash(instance_id),
            patience,
        }
    }

    /// Takes what one read brought; waits while the hub is full. Whoever stops waiting has handed in whole parts only.
    pub(super) async fn submit(
        &self,
        context: &Arc<PairContext>,
        mut batch: Vec<InboundStanza>,
        now: Instant,
    ) -> Result<(), LinkClosed> {
        while !batch.is_empty() {
            let (count, cost) = leading_part(&batch);
            let rest = batch.split_off(count);
            match self.hand_in(context, batch, cost, now + self.patience) {
                HandedIn::Taken => {}
                HandedIn::Waits(taken) => taken.await.map_err(|_| LinkClosed)?,
                HandedIn::Closed => return Err(LinkClosed),
            }
            batch = rest;
        }
        Ok(())
    }

    fn hand_in(
        &self,
        context: &Arc<PairContext>,
        stanzas: Vec<InboundStanza>,
        cost: usize,
        give_up_at: Instant,
    ) -> HandedIn {
        let mut state = self.lock();
        match state.life {
            Life::Open if state.has_room_for(flow_of(context), cost) => {
                let now = Instant::now();
                state.offer(context, stanzas, give_up_at, now);
                self.perform(&mut state, now);
                HandedIn::Taken
            }
            Life::Open => {
                let (taken, told) = oneshot::channel();
                let part = Part { context: Arc::clone(context), stanzas, give_up_at, taken };
                state.waiting.push(flow_of(context), cost, part);
                HandedIn::Waits(told)
            }
            Life::Ending => {
                state.leave_over(context, stanzas);
                HandedIn::Taken
            }
            Life::Closed => HandedIn::Closed,
        }
    }

    /// A gateway attached.
    pub(super) fn attach(&self, name: &str, window: u32, peer: GatewayPeer, outgoing: Arc<EdgeOutgoing>) -> PeerId {
        let (mut state, now) = (self.lock(), Instant::now());
        // What happened before: one that comes right now may come twice, which its number tells.
        for kept in self.verdicts.newest(VERDICTS_WAITING).iter().rev() {
            outgoing.push_verdict(convert::kept_to_proto(kept));
        }
        if state.draining {
            outgoing.say(|extra| extra.draining = true);
        }
        if state.life == Life::Closed {
            outgoing.close();
        }
        let id = state.step(|pool, effects| pool.attach(name, window, now, effects));
        let (name, fullness) = (name.to_owned(), Fullness::default());
        state.gateways.insert(id, Gateway { name, peer, fullness, outgoing, contexts: Contexts::default() });
        self.perform(&mut state, now);
        id
    }

    /// A gateway is gone, or has to go; what it had not acknowledged goes to the others or waits.
    pub(super) fn detach(&self, id: PeerId) {
        let (mut state, now) = (self.lock(), Instant::now());
        if let Some(gateway) = state.gateways.remove(&id) {
            gateway.outgoing.cut();
        }
        state.deliveries.lost(id);
        state.step(|pool, effects| pool.detach(id, now, effects));
        self.perform(&mut state, now);
    }

    /// Asks all gateways for no new stanzas; what partners still send goes on.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for gateway in state.gateways.values() {
            gateway.outgoing.say(|extra| extra.draining = true);
        }
    }

    /// Tells all gateways which snapshot is in force: those, too, whose own it is not.
    pub(super) fn applied(&self, version: u64) {
        for gateway in self.lock().gateways.values() {
            gateway.outgoing.say(|extra| extra.applied = extra.applied.max(version));
        }
    }

    /// A gateway wants nothing new.
    pub(super) fn gateway_drains(&self, id: PeerId) {
        let (mut state, now) = (self.lock(), Instant::now());
        state.step(|pool, effects| pool.drain(id, now, effects));
        self.perform(&mut state, now);
    }

    /// A gateway acknowledged. What it did not deliver comes back for the log: it has answered the sender itself.
    pub(super) fn acknowledge(
        &self,
        id: PeerId,
        ranges: &[u64],
        failures: Vec<(u64, Failure)>,
    ) -> Result<Returned, WindowFault> {
        let (mut state, now) = (self.lock(), Instant::now());
        let acknowledged = state.step(|pool, effects| pool.acknowledge(id, ranges, failures, now, effects));
        let returned = self.perform(&mut state, now);
        acknowledged.map(|()| returned)
    }

    /// Gives up what waited too long, and names who stalled.
    pub(super) fn expire(&self, now: Instant) -> Returned {
        let mut state = self.lock();
        state.step(|pool, effects| pool.expire(now, effects));
        if state.life != Life::Open {
            // What came back from a gateway that has just gone.
            state.step(Pool::give_up);
        }
        let left_over = std::mem::take(&mut state.left_over);
        let mut returned = self.perform(&mut state, now);
        returned.undelivered.extend(left_over);
        returned
    }

    /// Lets nothing wait for a gateway any more: it comes back from [`Self::expire`], as does what streams still hand
    /// in. What a gateway has, it finishes.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.life = state.life.max(Life::Ending);
        state.step(Pool::give_up);
        for Part { context, stanzas, taken, .. } in state.waiting.take_all() {
            state.leave_over(&context, stanzas);
            let _its_stream_has_gone = taken.send(());
        }
        let returned = self.perform(&mut state, Instant::now());
        state.left_over.extend(returned.undelivered);
    }

    /// The verdicts that are kept.
    pub(super) fn verdicts(&self) -> Arc<Verdicts> {
        Arc::clone(&self.verdicts)
    }

    /// Keeps a verdict, and sends it to all gateways if it is not one too many; those that come later get the kept ones.
    pub(super) fn report(&self, verdict: Verdict) {
        if let Some(kept) = self.verdicts.add(verdict) {
            self.tell(&kept);
        }
    }

    /// Sends what was held back.
    pub(super) fn tell_overdue(&self, now_ms: u64) {
        self.verdicts.overdue(now_ms).iter().for_each(|kept| self.tell(kept));
    }

    fn tell(&self, kept: &Kept) {
        let verdict = convert::kept_to_proto(kept);
        for gateway in self.lock().gateways.values() {
            gateway.outgoing.push_verdict(verdict.clone());
        }
    }

    /// Ends all attachments after what is already queued, and takes nothing new.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.life = Life::Closed;
        // Those who wait hear of it, for nobody will tell them anything else.
        drop(state.waiting.take_all());
        for gateway in state.gateways.values() {
            gateway.outgoing.close();
        }
    }

    /// The attached gateways.
    pub(super) fn gateways(&self) -> Vec<(PeerId, GatewayPeer)> {
        self.lock().gateways.iter().map(|(id, gateway)| (*id, gateway.peer.clone())).collect()
    }

    /// Gateways that take new stanzas.
    pub(super) fn ready_gateways(&self) -> usize {
        self.lock().pool.ready_peers()
    }

    /// Stanzas that wait for a gateway, and stanzas that a gateway has not finished.
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.lock();
        let (waiting, outstanding) = state.pool.load();
        let parts: usize = state.waiting.iter().map(|part| part.stanzas.len()).sum();
        (waiting + parts + state.left_over.len(), outstanding)
    }

    /// What waits for a gateway, by remote domain, for operators.
    pub(super) fn waiting(&self, now: Instant) -> BTreeMap<DomainName, Waiting> {
        let mut waiting: BTreeMap<DomainName, Waiting> = BTreeMap::new();
        let mut add = |context: &PairContext, stanza: &InboundStanza, give_up_at: Instant| {
            let waited = self.patience.saturating_sub(give_up_at.saturating_duration_since(now));
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            waiting.entry(context.pair.remote.clone()).or_default().add(stanza.xml.len(), waited_ms);
        };
        let state = self.lock();
        for (_, pending) in state.pool.waiting() {
            add(&pending.context, &pending.stanza, pending.give_up_at);
        }
        for part in state.waiting.iter() {
            part.stanzas.iter().for_each(|stanza| add(&part.context, stanza, part.give_up_at));
        }
        waiting
    }

    /// Stanzas that were handed to another gateway because the one that had them went away.
    pub(super) fn redelivered(&self) -> u64 {
        self.lock().redelivered
    }

    /// How full the gateways' windows are, for metrics.
    pub(super) fn windows(&self, now: Instant) -> Vec<WindowFacts> {
        let state = self.lock();
        by_name(state.gateways.iter().map(|(id, gateway)| {
            let (used, size) = state.pool.window(*id).unwrap_or_default();
            WindowFacts { peer: gateway.name.clone(), used, size, full: gateway.fullness.total(now) }
        }))
    }

    /// Carries out the effects of a step and ends it.
    fn perform(&self, state: &mut State, now: Instant) -> Returned {
        let mut returned = Returned::default();
        let mut transmissions = Transmissions::default();
        state.admit_waiting(now);
        let State { pool, gateways, deliveries, redelivered: redelivered_so_far, effects, .. } = state;
        for effect in effects.drain(..) {
            match effect {
                Effect::Transmit { peer, seq } => {
                    let (Some((pending, redelivered)), Some(gateway)) = (pool.item(peer, seq), gateways.get_mut(&peer))
                    else {
                        continue;
                    };
                    let (number, announcement) = gateway.contexts.number(&pending.context);
                    let trace = pending.stanza.span.context();
                    let name = &gateway.name;
                    *redelivered_so_far += u64::from(redelivered);
                    let trace = deliveries.begin(pending.key, trace, peer, name, redelivered);
                    let stanza = pending.on_link(self.origin, redelivered, trace);
                    transmissions.add(peer, announcement, convert::stanza_to_proto(&stanza, seq, number));
                }
                Effect::Finished { mut item, outcome } => {
                    deliveries.end(item.key, Some(&outcome));
                    item.stanza.finish(&outcome);
                    if let Outcome::Failed(failure) = outcome {
                        returned.undelivered.push(item.undelivered(Some(failure)));
                    }
                }
                Effect::GivenUp(mut item) => {
                    deliveries.end(item.key, None);
                    item.stanza.span.fail("no gateway took it in time");
                    returned.undelivered.push(item.undelivered(None));
                }
                Effect::Stalled(peer) => returned.stalled.push(peer),
            }
        }
        for (id, gateway) in gateways.iter_mut() {
            let is_full = pool.window(*id).is_some_and(|(used, size)| used >= size);
            gateway.fullness.look(is_full, || now);
        }
        for (peer, contexts, stanzas) in transmissions.0 {
            if let Some(gateway) = gateways.get(&peer) {
                gateway.outgoing.push_stanzas(contexts, stanzas);
            }
        }
        returned
    }

    /// Every change of the state is whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            pool: Pool::default(),
            waiting: FairQueue::new(TURN),
            life: Life::Open,
            left_over: Vec::new(),
            gateways: HashMap::new(),
            deliveries: Deliveries::default(),
            redelivered: 0,
            last_key: 0,
            effects: Vec::new(),
            draining: false,
        }
    }
}

impl State {
    /// Whether there is room for those who wait in turns.
    fn has_room(&self, cost: usize) -> bool {
        self.pool.held() + cost <= HELD_IN_TURNS
    }

    /// Whether there is room for a partner of whom nothing waits for a gateway.
    fn has_room_beside(&self, flow: u64, cost: usize) -> bool {
        self.pool.held() + cost <= HELD_COST && !self.pool.has_waiting(flow)
    }

    /// Whether a partner may hand this in at once: there is room and nobody waits for it, or nothing of his waits yet.
    fn has_room_for(&self, flow: u64, cost: usize) -> bool {
        (self.waiting.is_empty() && self.has_room(cost))
            || (!self.waiting.has(flow) && self.has_room_beside(flow, cost))
    }

    fn offer(&mut self, context: &Arc<PairContext>, stanzas: Vec<InboundStanza>, give_up_at: Instant, now: Instant) {
        for stanza in stanzas {
            self.last_key += 1;
            let (context, key) = (Arc::clone(context), self.last_key);
            self.step(|pool, effects| pool.offer(Pending { stanza, context, key, give_up_at }, now, effects));
        }
    }

    /// Takes what waits, in turns, as long as there is room: for whom nothing waits for a gateway any more, as much as for
    /// those who come now. It may be transmitted at once, but nothing of it ends, so this frees no further room.
    fn admit_waiting(&mut self, now: Instant) {
        let mut passed_over = Vec::new();
        while self.pool.held() < HELD_COST
            && passed_over.len() < PASSED_OVER
            && let Some((cost, part)) = self.waiting.front()
        {
            let flow = flow_of(&part.context);
            if !self.has_room(cost) && !self.has_room_beside(flow, cost) {
                self.waiting.set_aside();
                passed_over.push(flow);
                continue;
            }
            let Some(part) = self.waiting.pop() else { break };
            self.offer(&part.context, part.stanzas, part.give_up_at, now);
            // If its stream has gone, its stanzas were sent all the same.
            let _its_stream_has_gone = part.taken.send(());
        }
        passed_over.into_iter().for_each(|flow| self.waiting.resume(flow));
    }

    fn leave_over(&mut self, context: &Arc<PairContext>, stanzas: Vec<InboundStanza>) {
        self.left_over.extend(stanzas.into_iter().map(|stanza| Undelivered::untaken(stanza, context)));
    }

    fn step<R>(&mut self, step: impl FnOnce(&mut Pool<Pending>, &mut Vec<Effect<Pending>>) -> R) -> R {
        step(&mut self.pool, &mut self.effects)
    }
}

/// What one step sends, by gateway: nearly always one.
#[derive(Default)]
struct Transmissions(Vec<(PeerId, Vec<proto::PairContext>, Vec<proto::Stanza>)>);

impl Transmissions {
    fn add(&mut self, to: PeerId, context: Option<proto::PairContext>, stanza: proto::Stanza) {
        match self.0.iter_mut().find(|(peer, ..)| *peer == to) {
            Some((_, contexts, stanzas)) => {
                contexts.extend(context);
                stanzas.push(stanza);
            }
            None => self.0.push((to, context.into_iter().collect(), vec![stanza])),
        }
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
