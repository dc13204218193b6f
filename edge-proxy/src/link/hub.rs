//! The attached gateways: what each is owed, and who gets what partners send.
//!
//! One lock around the machine of [`Pool`]; it is held for a batch, never across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use causeway_proto::link::v1 as proto;
use causeway_shared::link::convert;
use causeway_shared::link::outgoing::Outgoing;
use causeway_shared::link::pool::{Effect, PeerId, Pool, Routed};
use causeway_shared::link::window::WindowFault;
use causeway_shared::link::{Failure, Outcome, PairContext, Stanza};
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use tokio::sync::Notify;

use super::{Batch, InboundStanza};

/// Stanzas that wait for a gateway before the partners' sockets are no longer read.
pub const BACKLOG: usize = 4096;

/// How long a partner's stanza may wait for a gateway before its sender gets an error. A gateway restarts in seconds.
pub const GATEWAY_PATIENCE: Duration = Duration::from_secs(30);

/// Contexts announced to one gateway at a time; beyond it those of ended streams give up their numbers.
pub const MAX_CONTEXTS: u32 = 16_384;

/// What only the edge's direction of the link has.
#[derive(Debug)]
pub enum EdgeExtra {
    /// The first frame.
    Hello(proto::EdgeHello),
    /// A snapshot is in force.
    Applied(u64),
}

/// What waits for one gateway.
pub type EdgeOutgoing = Outgoing<EdgeExtra>;

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
}

/// A stanza that comes back from the hub.
#[derive(Debug)]
pub struct Undelivered {
    /// The stanza.
    pub stanza: InboundStanza,
    /// Why; `None` if no gateway took it in time.
    pub failure: Option<Failure>,
    /// The pair's authentication.
    pub context: Arc<PairContext>,
}

/// The hub.
pub struct Hub {
    state: Mutex<State>,
    /// Told whenever the backlog may have room again.
    room: Notify,
    origin: u64,
}

struct State {
    pool: Pool<Pending>,
    gateways: HashMap<PeerId, Gateway>,
    last_key: u64,
    effects: Vec<Effect<Pending>>,
}

struct Gateway {
    outgoing: Arc<EdgeOutgoing>,
    contexts: Contexts,
}

/// The contexts that one gateway knows by number.
#[derive(Default)]
struct Contexts {
    /// By the address of the shared value, which stays taken because the value is kept beside it.
    numbers: HashMap<usize, (u32, Arc<PairContext>)>,
    free: Vec<u32>,
    next: u32,
}

impl Contexts {
    /// The number of a context; with the announcement if the gateway does not know it yet.
    fn number(&mut self, context: &Arc<PairContext>) -> (u32, Option<proto::PairContext>) {
        let address = Arc::as_ptr(context).addr();
        if let Some((number, _)) = self.numbers.get(&address) {
            return (*number, None);
        }
        if self.free.is_empty() && self.next >= MAX_CONTEXTS {
            self.forget_ended();
        }
        let number = self.free.pop().unwrap_or_else(|| {
            // With every number in use by a live stream the oldest meaning is announced anew: it is only a label.
            self.next = (self.next + 1) % (MAX_CONTEXTS + 1);
            self.next
        });
        self.numbers.insert(address, (number, Arc::clone(context)));
        (number, Some(convert::context_to_proto(number, context)))
    }

    /// Frees the numbers of contexts that nobody else holds any more.
    fn forget_ended(&mut self) {
        let free = &mut self.free;
        self.numbers.retain(|_, (number, context)| {
            let live = Arc::strong_count(context) > 1;
            if !live {
                free.push(*number);
            }
            live
        });
    }
}

impl Hub {
    /// A hub without gateways. `origin` names this process in stanza keys.
    pub fn new(origin: u64) -> Self {
        let state = State { pool: Pool::new(BACKLOG), gateways: HashMap::new(), last_key: 0, effects: Vec::new() };
        Self { state: Mutex::new(state), room: Notify::new(), origin }
    }

    /// A gateway attached.
    pub fn attach(&self, name: &str, window: u32, outgoing: Arc<EdgeOutgoing>) -> PeerId {
        let mut state = self.lock();
        let State { pool, effects, .. } = &mut *state;
        let id = pool.attach(name, window, effects);
        state.gateways.insert(id, Gateway { outgoing, contexts: Contexts::default() });
        self.perform(state);
        id
    }

    /// A gateway is gone; what it had not acknowledged goes to the others or waits.
    pub fn detach(&self, id: PeerId) {
        let mut state = self.lock();
        if let Some(gateway) = state.gateways.remove(&id) {
            gateway.outgoing.close();
        }
        let State { pool, effects, .. } = &mut *state;
        pool.detach(id, effects);
        self.perform(state);
    }

    /// A gateway wants nothing new.
    pub fn drain(&self, id: PeerId) {
        self.lock().pool.drain(id);
    }

    /// Gateways that take new stanzas.
    pub fn ready_gateways(&self) -> usize {
        self.lock().pool.ready_peers()
    }

    /// Stanzas that wait for a gateway, and stanzas that a gateway has not finished.
    pub fn load(&self) -> (usize, usize) {
        self.lock().pool.load()
    }

    /// Takes what one read brought; waits while the backlog is full.
    pub async fn submit(&self, batch: Batch, now: Instant) -> Vec<Undelivered> {
        let Batch { context, stanzas } = batch;
        let mut undelivered = Vec::new();
        let mut rest = stanzas.into_iter();
        let mut held: Option<Pending> = None;
        loop {
            // Registered before the look at the backlog, so that room made in between is not missed.
            let room = self.room.notified();
            {
                let mut state = self.lock();
                let give_up_at = now + GATEWAY_PATIENCE;
                loop {
                    let State { pool, effects, last_key, .. } = &mut *state;
                    let pending = held.take().or_else(|| {
                        let stanza = rest.next()?;
                        *last_key += 1;
                        Some(Pending { stanza, context: Arc::clone(&context), key: *last_key, give_up_at })
                    });
                    let Some(pending) = pending else { break };
                    if let Err(pending) = pool.offer(pending, effects) {
                        held = Some(pending);
                        break;
                    }
                }
                undelivered.extend(self.perform(state));
            }
            if held.is_none() {
                return undelivered;
            }
            room.await;
        }
    }

    /// A gateway acknowledged. What it could not deliver and did not bounce itself comes back for the log.
    pub fn acknowledge(
        &self,
        id: PeerId,
        ranges: &[u64],
        failures: Vec<(u64, Failure)>,
    ) -> Result<Vec<Undelivered>, WindowFault> {
        let mut state = self.lock();
        let State { pool, effects, .. } = &mut *state;
        let acknowledged = pool.acknowledge(id, ranges, failures, effects);
        let undelivered = self.perform(state);
        acknowledged.map(|()| undelivered)
    }

    /// Gives up what waited too long.
    pub fn expire(&self, now: Instant) -> Vec<Undelivered> {
        let mut state = self.lock();
        let State { pool, effects, .. } = &mut *state;
        pool.expire(now, effects);
        self.perform(state)
    }

    /// When [`Hub::expire`] has to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().pool.deadline()
    }

    /// Carries out the effects of a step and ends it.
    fn perform(&self, mut state: MutexGuard<'_, State>) -> Vec<Undelivered> {
        let mut undelivered = Vec::new();
        let mut transmissions: HashMap<PeerId, (Vec<proto::PairContext>, Vec<proto::Stanza>)> = HashMap::new();
        let State { pool, gateways, effects, .. } = &mut *state;
        for effect in effects.drain(..) {
            match effect {
                Effect::Transmit { peer, seq } => {
                    let (Some((pending, redelivered)), Some(gateway)) = (pool.item(peer, seq), gateways.get_mut(&peer))
                    else {
                        continue;
                    };
                    let (contexts, stanzas) = transmissions.entry(peer).or_default();
                    let (number, announcement) = gateway.contexts.number(&pending.context);
                    contexts.extend(announcement);
                    stanzas.push(convert::stanza_to_proto(
                        &link_stanza(pending, self.origin, redelivered),
                        seq,
                        number,
                    ));
                }
                Effect::Finished { outcome: Outcome::Done, .. } => {}
                Effect::Finished { item, outcome: Outcome::Failed(failure) } => {
                    undelivered.push(Undelivered {
                        stanza: item.stanza,
                        failure: Some(failure),
                        context: item.context,
                    });
                }
                Effect::GivenUp(item) => {
                    undelivered.push(Undelivered { stanza: item.stanza, failure: None, context: item.context });
                }
            }
        }
        for (peer, (contexts, stanzas)) in transmissions {
            if let Some(gateway) = gateways.get(&peer) {
                gateway.outgoing.push_stanzas(contexts, stanzas);
            }
        }
        if pool.has_room() {
            self.room.notify_waiters();
        }
        undelivered
    }

    /// Every change of the state is whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// What the sender of an undelivered stanza hears when no gateway took it.
pub const NO_GATEWAY: StanzaCondition = StanzaCondition::RemoteServerTimeout;
