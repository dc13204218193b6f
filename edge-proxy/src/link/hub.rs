//! The attached gateways: what each is owed, and who gets what partners send.
//!
//! One lock around the machine of [`Pool`]; it is held for a batch, never across an await. A stream hands its stanzas
//! in here and the connection to the gateway takes them out: no task stands between. Permits bound the whole, and who
//! waits for one does not read its socket.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use causeway_proto::link::v1 as proto;
use causeway_shared::link::outgoing::{Outgoing, VERDICTS_WAITING};
use causeway_shared::link::pool::{Effect, PeerId, Pool, Routed, cost_of};
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{Failure, HELD_COST, Outcome, PairContext, Stanza, convert, rendezvous};
use causeway_shared::verdict::Verdict;
use causeway_shared::verdict::history::Kept;
use tokio::sync::Semaphore;

use super::contexts::Contexts;
use super::{InboundStanza, LinkClosed, Verdicts};

/// How long a partner's stanza may wait for a gateway before its sender gets an error. A gateway restarts in seconds.
pub const GATEWAY_PATIENCE: Duration = Duration::from_secs(30);

/// What is handed in at once: a larger batch goes in parts, so that it finds room beside others.
const PART_COST: usize = HELD_COST / 8;

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
}

/// What waits for one gateway.
pub(super) type EdgeOutgoing = Outgoing<EdgeExtra>;

/// A partner's stanza on its way to a gateway.
#[derive(Debug)]
struct Pending {
    stanza: InboundStanza,
    context: Arc<PairContext>,
    key: u64,
    give_up_at: Instant,
}

impl Routed for Pending {
    fn keys(&self) -> (&str, &str) {
        (self.stanza.from.bare_str(), self.stanza.to.bare_str())
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn cost(&self) -> usize {
        cost_of(self.stanza.xml.len())
    }
}

/// A stanza that comes back from the hub.
#[derive(Debug)]
pub(super) struct Undelivered {
    /// The stanza.
    pub(super) stanza: InboundStanza,
    /// Why; `None` if no gateway took it in time.
    pub(super) failure: Option<Failure>,
    /// The pair's authentication.
    pub(super) context: Arc<PairContext>,
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
    room: Semaphore,
    verdicts: Arc<Verdicts>,
    origin: u64,
    patience: Duration,
}

#[derive(Default)]
struct State {
    pool: Pool<Pending>,
    gateways: HashMap<PeerId, Gateway>,
    last_key: u64,
    /// Kept from step to step for its memory.
    effects: Vec<Effect<Pending>>,
    draining: bool,
}

struct Gateway {
    peer: GatewayPeer,
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
            state: Mutex::default(),
            room: Semaphore::new(HELD_COST),
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
            let permits = self.room.acquire_many(u32::try_from(cost).unwrap_or(u32::MAX)).await;
            permits.map_err(|_| LinkClosed)?.forget();
            self.offer(context, batch, now);
            batch = rest;
        }
        Ok(())
    }

    fn offer(&self, context: &Arc<PairContext>, batch: Vec<InboundStanza>, now: Instant) {
        let mut state = self.lock();
        for stanza in batch {
            state.last_key += 1;
            let (context, key, give_up_at) = (Arc::clone(context), state.last_key, now + self.patience);
            state.step(|pool, effects| pool.offer(Pending { stanza, context, key, give_up_at }, effects));
        }
        self.perform(state);
    }

    /// A gateway attached.
    pub(super) fn attach(&self, name: &str, window: u32, peer: GatewayPeer, outgoing: Arc<EdgeOutgoing>) -> PeerId {
        let mut state = self.lock();
        // What happened before: one that comes right now may come twice, which its number tells.
        for kept in self.verdicts.newest(VERDICTS_WAITING).iter().rev() {
            outgoing.push_verdict(convert::kept_to_proto(kept));
        }
        if state.draining {
            outgoing.say(|extra| extra.draining = true);
        }
        if self.room.is_closed() {
            outgoing.close();
        }
        let id = state.step(|pool, effects| pool.attach(name, window, effects));
        state.gateways.insert(id, Gateway { peer, outgoing, contexts: Contexts::default() });
        self.perform(state);
        id
    }

    /// A gateway is gone, or has to go; what it had not acknowledged goes to the others or waits.
    pub(super) fn detach(&self, id: PeerId) {
        let mut state = self.lock();
        if let Some(gateway) = state.gateways.remove(&id) {
            gateway.outgoing.cut();
        }
        state.step(|pool, effects| pool.detach(id, Instant::now(), effects));
        self.perform(state);
    }

    /// Asks all gateways for no new stanzas; what partners still send goes on.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for gateway in state.gateways.values() {
            gateway.outgoing.say(|extra| extra.draining = true);
        }
    }

    /// A gateway wants nothing new.
    pub(super) fn gateway_drains(&self, id: PeerId) {
        let mut state = self.lock();
        state.step(|pool, effects| pool.drain(id, effects));
        self.perform(state);
    }

    /// A gateway acknowledged. What it did not deliver comes back for the log: it has answered the sender itself.
    pub(super) fn acknowledge(
        &self,
        id: PeerId,
        ranges: &[u64],
        failures: Vec<(u64, Failure)>,
    ) -> Result<Returned, WindowFault> {
        let mut state = self.lock();
        let acknowledged = state.step(|pool, effects| pool.acknowledge(id, ranges, failures, effects));
        let returned = self.perform(state);
        acknowledged.map(|()| returned)
    }

    /// Gives up what waited too long, and names who stalled.
    pub(super) fn expire(&self, now: Instant) -> Returned {
        let mut state = self.lock();
        state.step(|pool, effects| pool.expire(now, effects));
        self.perform(state)
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
        self.room.close();
        for gateway in self.lock().gateways.values() {
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
        self.lock().pool.load()
    }

    /// Carries out the effects of a step and ends it.
    fn perform(&self, mut state: MutexGuard<'_, State>) -> Returned {
        let mut returned = Returned::default();
        let mut transmissions = Transmissions::default();
        let mut freed = 0;
        let State { pool, gateways, effects, .. } = &mut *state;
        for effect in effects.drain(..) {
            match effect {
                Effect::Transmit { peer, seq } => {
                    let (Some((pending, redelivered)), Some(gateway)) = (pool.item(peer, seq), gateways.get_mut(&peer))
                    else {
                        continue;
                    };
                    let (number, announcement) = gateway.contexts.number(&pending.context);
                    let stanza = link_stanza(pending, self.origin, redelivered);
                    transmissions.add(peer, announcement, convert::stanza_to_proto(&stanza, seq, number));
                }
                Effect::Finished { mut item, outcome } => {
                    freed += item.cost();
                    item.stanza.finish();
                    if let Outcome::Failed(failure) = outcome {
                        returned.undelivered.push(item.undelivered(Some(failure)));
                    }
                }
                Effect::GivenUp(item) => {
                    freed += item.cost();
                    returned.undelivered.push(item.undelivered(None));
                }
                Effect::Stalled(peer) => returned.stalled.push(peer),
            }
        }
        for (peer, contexts, stanzas) in transmissions.0 {
            if let Some(gateway) = gateways.get(&peer) {
                gateway.outgoing.push_stanzas(contexts, stanzas);
            }
        }
        drop(state);
        if freed > 0 {
            self.room.add_permits(freed);
        }
        returned
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
}

impl Pending {
    fn undelivered(self, failure: Option<Failure>) -> Undelivered {
        Undelivered { stanza: self.stanza, failure, context: self.context }
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

/// How many of the first stanzas are handed in together, and their cost.
fn leading_part(batch: &[InboundStanza]) -> (usize, usize) {
    let mut cost = 0;
    for (count, stanza) in batch.iter().enumerate() {
        let more = cost + cost_of(stanza.xml.len());
        if count > 0 && more > PART_COST {
            return (count, cost);
        }
        cost = more;
    }
    (batch.len(), cost)
}

fn link_stanza(pending: &Pending, origin: u64, redelivered: bool) -> Stanza {
    let stanza = &pending.stanza;
    Stanza {
        kind: stanza.kind,
        from: stanza.from.clone(),
        to: stanza.to.clone(),
        xml: stanza.xml.clone(),
        origin,
        key: pending.key,
        redelivered,
        trace: stanza.trace,
        arrived_ms: stanza.arrived_ms,
        patience: Duration::ZERO,
    }
}
