//! Who gets which stanza: the peers of one end of the link, their windows, and what waits. Sans-IO.
//!
//! Both ends use it: an edge spreads what partners send over the attached gateways, a gateway what it sends over the
//! attached edges. A pair of addresses goes to one peer (rendezvous hashing) and stays there while that peer has
//! anything of it, so its order holds when peers come and go. What a lost peer had not acknowledged goes to the next
//! one, in order and ahead of everything newer. What finds no peer waits until it must be given up. Whatever waits is
//! served in turns between flows, normally partners ([`FairQueue`]), and of a window each has a share ([`Shares`]): no
//! flood of one holds up another.
//!
//! Not here: a bound on the whole. The owner of a pool bounds it by [`Pool::held`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::fair::FairQueue;
use super::rendezvous;
use super::share::{Place, Shares};
use super::window::{Sender, WindowFault};
use super::{BATCH_STANZAS, Failure, HELD_COST, MAX_WINDOW, Outcome};

/// A peer that holds stanzas and acknowledges none for so long is taken for lost. The slowest honest answer waits for
/// its turn, for a SIP transaction that times out (32 s, RFC 3261 section 17.1.2.2), and then with an error stanza for a
/// stream: two minutes and a bit.
pub const STALLED_AFTER: Duration = Duration::from_secs(180);

/// What one flow may send before it is another's turn, in the measure of [`cost_of`]: as many short stanzas as fit into
/// a frame, so that frames stay full and announce few contexts.
const TURN: usize = BATCH_STANZAS;

/// What can be routed.
pub trait Routed {
    /// The two addresses whose order counts.
    fn keys(&self) -> (&str, &str);
    /// The flow it belongs to, normally a partner: flows wait in turns. A pair of [`Self::keys`] is in one flow.
    fn flow(&self) -> u64;
    /// When its sender must have an answer.
    fn give_up_at(&self) -> Instant;
    /// The same for what a lost peer had, and may have delivered: an answer that it failed may be wrong.
    fn give_up_uncertain_at(&self) -> Instant {
        self.give_up_at()
    }
    /// What it takes of the owner's bound.
    fn cost(&self) -> usize;
    /// Whether its sender has heard already that it failed: what a lost peer may have had is then not sent once more.
    fn is_over(&self, _now: Instant) -> bool {
        false
    }
}

/// The cost of a stanza of this size: a place, and one more for each KiB. So one bound holds for count and bytes.
pub fn cost_of(bytes: usize) -> usize {
    (1 + bytes / 1024).min(HELD_COST)
}

/// An attached peer; never reused while the pool lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// What a step asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<T> {
    /// Transmit [`Pool::item`] of this peer and number.
    Transmit {
        /// To whom.
        peer: PeerId,
        /// The number it has there.
        seq: u64,
    },
    /// The stanza is finished; it is out of the pool.
    Finished {
        /// The stanza.
        item: T,
        /// How it ended.
        outcome: Outcome,
    },
    /// No peer took the stanza in time; it is out of the pool.
    GivenUp(T),
    /// The peer acknowledges nothing any more: end its call, and [`Pool::detach`] it.
    Stalled(PeerId),
}

/// A stanza in the pool.
#[derive(Debug)]
struct Entry<T> {
    item: T,
    pair: u64,
    flow: u64,
    redelivered: bool,
    /// Its flow's share of the window of the peer that has it, or for which it waits.
    share: Option<Place>,
}

impl<T: Routed> Entry<T> {
    fn give_up_at(&self) -> Instant {
        if self.redelivered { self.item.give_up_uncertain_at() } else { self.item.give_up_at() }
    }

    fn wait_in(self, queue: &mut FairQueue<Self>) {
        queue.push(self.flow, self.item.cost(), self);
    }
}

#[derive(Debug)]
struct Peer<T> {
    name: String,
    window: usize,
    draining: bool,
    sender: Sender<Entry<T>>,
    /// What waits for the window, in order; in a draining peer only pairs of which something is unacknowledged.
    queue: FairQueue<Entry<T>>,
    /// Of the window, by flow.
    shares: Shares,
    /// Since when nothing was acknowledged, while something is outstanding.
    silent_since: Option<Instant>,
}

/// Where the stanzas of a pair are, while there are any.
#[derive(Debug)]
struct Affinity {
    peer: PeerId,
    outstanding: usize,
    queued: usize,
}

/// The pool.
#[derive(Debug)]
pub struct Pool<T> {
    peers: HashMap<PeerId, Peer<T>>,
    last_peer: u64,
    affinity: HashMap<u64, Affinity>,
    /// What no peer takes. Empty while some peer takes new stanzas.
    homeless: FairQueue<Entry<T>>,
    held: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { peers: HashMap::new(), last_peer: 0, affinity: HashMap::new(), homeless: FairQueue::new(TURN), held: 0 }
    }
}

impl<T: Routed> Pool<T> {
    /// A peer attached that takes `window` unacknowledged stanzas. Equal names weigh alike; the newest wins ties.
    pub fn attach(&mut self, name: &str, window: u32, now: Instant, out: &mut Vec<Effect<T>>) -> PeerId {
        self.last_peer += 1;
        let id = PeerId(self.last_peer);
        let window = usize::try_from(window.clamp(1, MAX_WINDOW)).unwrap_or(1);
        let peer = Peer {
            name: name.to_owned(),
            window,
            draining: false,
            sender: Sender::default(),
            queue: FairQueue::new(TURN),
            shares: Shares::new(window),
            silent_since: None,
        };
        self.peers.insert(id, peer);
        for entry in self.homeless.take_all() {
            self.place(entry, now, out);
        }
        id
    }

    /// A peer is gone: what it did not acknowledge goes elsewhere, ahead of what waited for it, or is given up if it is
    /// over.
    pub fn detach(&mut self, id: PeerId, now: Instant, out: &mut Vec<Effect<T>>) {
        let Some(Peer { sender, mut queue, .. }) = self.peers.remove(&id) else { return };
        self.affinity.retain(|_, affinity| affinity.peer != id);
        for entry in sender.into_unacknowledged() {
            if entry.item.is_over(now) {
                self.held -= entry.item.cost();
                out.push(Effect::GivenUp(entry.item));
                continue;
            }
            self.place(Entry { redelivered: true, ..entry }, now, out);
        }
        for entry in queue.take_all() {
            self.place(entry, now, out);
        }
    }

    /// A peer wants nothing new; it finishes what it has.
    pub fn drain(&mut self, id: PeerId, now: Instant, out: &mut Vec<Effect<T>>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.draining = true;
            self.pump(id, now, out);
        }
    }

    /// A stanza to route.
    pub fn offer(&mut self, item: T, now: Instant, out: &mut Vec<Effect<T>>) {
        self.held += item.cost();
        let (a, b) = item.keys();
        let (pair, flow) = (rendezvous::weight("", a, b), item.flow());
        self.place(Entry { pair, flow, item, redelivered: false, share: None }, now, out);
    }

    /// An outstanding stanza, and whether it may have been delivered before.
    pub fn item(&self, peer: PeerId, seq: u64) -> Option<(&T, bool)> {
        let entry = self.peers.get(&peer)?.sender.outstanding_item(seq)?;
        Some((&entry.item, entry.redelivered))
    }

    /// A peer acknowledged: `ranges` are done, `failures` are not delivered. What comes from a peer that is detached
    /// already changes nothing.
    pub fn acknowledge(
        &mut self,
        id: PeerId,
        ranges: &[u64],
        failures: Vec<(u64, Failure)>,
        now: Instant,
        out: &mut Vec<Effect<T>>,
    ) -> Result<(), WindowFault> {
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        peer.silent_since = None;
        let (affinity, held) = (&mut self.affinity, &mut self.held);
        let Peer { sender, shares, queue, .. } = peer;
        let mut finish = |seq, entry: Entry<T>, outcome| {
            *held -= entry.item.cost();
            if entry.share.is_some_and(|share| shares.answered(share, seq, now)) {
                queue.resume(entry.flow);
            }
            release(affinity, entry.pair, |pair| pair.outstanding -= 1);
            out.push(Effect::Finished { item: entry.item, outcome });
        };
        for range in ranges.chunks(2) {
            let [first, last] = range else { return Err(WindowFault::MalformedRange) };
            sender.acknowledge_range(*first, *last, |seq, entry| finish(seq, entry, Outcome::Done))?;
        }
        for (seq, failure) in failures {
            finish(seq, sender.acknowledge(seq)?, Outcome::Failed(failure));
        }
        self.pump(id, now, out);
        Ok(())
    }

    /// Gives up what has waited too long for a peer, names the peers that stalled, and lets flows go on that stood aside.
    /// To be called some times in a second.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Effect<T>>) {
        let (affinity, held) = (&mut self.affinity, &mut self.held);
        let mut sift = |queue: &mut FairQueue<Entry<T>>, mut shares: Option<&mut Shares>| {
            if queue.iter().all(|entry| entry.give_up_at() > now) {
                return;
            }
            for entry in queue.take_all() {
                if entry.give_up_at() > now {
                    entry.wait_in(queue);
                    continue;
                }
                *held -= entry.item.cost();
                release(affinity, entry.pair, |pair| pair.queued -= 1);
                leave(shares.as_deref_mut(), entry.share);
                out.push(Effect::GivenUp(entry.item));
            }
        };
        sift(&mut self.homeless, None);
        self.peers.values_mut().for_each(|peer| sift(&mut peer.queue, Some(&mut peer.shares)));
        let mut resumed = Vec::new();
        for (id, peer) in &mut self.peers {
            for flow in peer.shares.resumed(now) {
                peer.queue.resume(flow);
                resumed.push(*id);
            }
            if peer.sender.outstanding() == 0 {
                peer.silent_since = None;
            } else if *peer.silent_since.get_or_insert(now) + STALLED_AFTER <= now {
                out.push(Effect::Stalled(*id));
            }
        }
        resumed.into_iter().for_each(|id| self.pump(id, now, out));
    }

    /// Gives up everything that waits, for nobody will take it any more; what peers have, they finish.
    pub fn give_up(&mut self, out: &mut Vec<Effect<T>>) {
        let (affinity, held) = (&mut self.affinity, &mut self.held);
        let mut give_up = |queue: &mut FairQueue<Entry<T>>, mut shares: Option<&mut Shares>| {
            for entry in queue.take_all() {
                *held -= entry.item.cost();
                release(affinity, entry.pair, |pair| pair.queued -= 1);
                leave(shares.as_deref_mut(), entry.share);
                out.push(Effect::GivenUp(entry.item));
            }
        };
        give_up(&mut self.homeless, None);
        self.peers.values_mut().for_each(|peer| give_up(&mut peer.queue, Some(&mut peer.shares)));
    }

    /// The cost of everything in the pool.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Whether anything of a flow waits.
    pub fn has_waiting(&self, flow: u64) -> bool {
        self.homeless.has(flow) || self.peers.values().any(|peer| peer.queue.has(flow))
    }

    /// Attached peers that take new stanzas.
    pub fn ready_peers(&self) -> usize {
        self.peers.values().filter(|peer| !peer.draining).count()
    }

    /// Stanzas that wait, and stanzas that are unacknowledged.
    pub fn load(&self) -> (usize, usize) {
        let waiting: usize = self.peers.values().map(|peer| peer.queue.len()).sum();
        (self.homeless.len() + waiting, self.peers.values().map(|peer| peer.sender.outstanding()).sum())
    }

    /// How many stanzas a peer has and has not finished, and how many it takes.
    pub fn window(&self, id: PeerId) -> Option<(usize, usize)> {
        self.peers.get(&id).map(|peer| (peer.sender.outstanding(), peer.window))
    }

    /// Everything that waits, for a peer or for any, for operators.
    pub fn waiting(&self) -> impl Iterator<Item = (Option<PeerId>, &T)> {
        let homeless = self.homeless.iter().map(|entry| (None, &entry.item));
        let queued = self.peers.iter().flat_map(|(id, peer)| peer.queue.iter().map(|entry| (Some(*id), &entry.item)));
        homeless.chain(queued)
    }

    /// Everything that is unacknowledged, for operators.
    pub fn outstanding(&self) -> impl Iterator<Item = (PeerId, &T)> {
        self.peers.iter().flat_map(|(id, peer)| peer.sender.items().map(|entry| (*id, &entry.item)))
    }

    /// Hands the entry to the window of its peer, or behind it, or to those that wait for any peer.
    fn place(&mut self, mut entry: Entry<T>, now: Instant, out: &mut Vec<Effect<T>>) {
        let found = self.peer_of(&entry).and_then(|id| Some((id, self.peers.get_mut(&id)?)));
        let Some((id, peer)) = found else {
            entry.share = None;
            return entry.wait_in(&mut self.homeless);
        };
        let affinity = self.affinity.entry(entry.pair).or_insert(Affinity { peer: id, outstanding: 0, queued: 0 });
        let share = peer.shares.hold(entry.flow, now);
        entry.share = Some(share);
        let waits = peer.shares.waits(share);
        if !waits && peer.takes_more() && peer.queue.is_idle() && peer.shares.admits(share, now) {
            affinity.outstanding += 1;
            out.push(Effect::Transmit { peer: id, seq: peer.send(entry, now) });
            return;
        }
        affinity.queued += 1;
        entry.wait_in(&mut peer.queue);
        if !waits && peer.takes_more() {
            // With its share used up it stands aside, so that it is in nobody's way.
            self.pump(id, now, out);
        }
    }

    /// The peer that has the pair, or the one that should.
    fn peer_of(&self, entry: &Entry<T>) -> Option<PeerId> {
        if let Some(affinity) = self.affinity.get(&entry.pair) {
            return Some(affinity.peer);
        }
        let (a, b) = entry.item.keys();
        let ready = self.peers.iter().filter(|(_, peer)| !peer.draining);
        ready.max_by_key(|(id, peer)| (rendezvous::weight(&peer.name, a, b), **id)).map(|(id, _)| *id)
    }

    /// Sends what waits for the peer and can go.
    fn pump(&mut self, id: PeerId, now: Instant, out: &mut Vec<Effect<T>>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        while peer.takes_more()
            && let Some((_, next)) = peer.queue.front()
        {
            if next.share.is_some_and(|share| !peer.shares.admits(share, now)) {
                peer.queue.set_aside();
                continue;
            }
            let Some(entry) = peer.queue.pop() else { return };
            if let Some(affinity) = self.affinity.get_mut(&entry.pair) {
                affinity.queued -= 1;
                affinity.outstanding += 1;
            }
            out.push(Effect::Transmit { peer: id, seq: peer.send(entry, now) });
        }
        if peer.draining && !peer.queue.is_empty() {
            let queue = peer.queue.take_all();
            self.move_away(id, queue, now, out);
        }
    }

    /// What waits for a draining peer goes elsewhere, except pairs that the peer still works on: they would be
    /// overtaken.
    fn move_away(&mut self, id: PeerId, queue: impl Iterator<Item = Entry<T>>, now: Instant, out: &mut Vec<Effect<T>>) {
        for entry in queue {
            let stays = self.affinity.get(&entry.pair).is_some_and(|held| held.peer == id && held.outstanding > 0);
            match self.peers.get_mut(&id) {
                Some(peer) if stays => {
                    entry.wait_in(&mut peer.queue);
                    continue;
                }
                Some(peer) => leave(Some(&mut peer.shares), entry.share),
                None => {}
            }
            // The first of its pair ends the affinity; those behind it follow where it went.
            if self.affinity.get(&entry.pair).is_some_and(|held| held.peer == id) {
                self.affinity.remove(&entry.pair);
            }
            self.place(entry, now, out);
        }
    }
}

impl<T> Peer<T> {
    fn takes_more(&self) -> bool {
        !self.draining && self.sender.outstanding() < self.window
    }

    fn send(&mut self, entry: Entry<T>, now: Instant) -> u64 {
        let share = entry.share;
        let seq = self.sender.send(entry);
        if let Some(share) = share {
            self.shares.sent(share, seq, now);
        }
        seq
    }
}

/// A stanza that was not sent is no more held.
fn leave(shares: Option<&mut Shares>, place: Option<Place>) {
    if let (Some(shares), Some(place)) = (shares, place) {
        shares.leave(place);
    }
}

/// Changes the counts of a pair; the last one ends its affinity.
fn release(affinity: &mut HashMap<u64, Affinity>, pair: u64, change: impl FnOnce(&mut Affinity)) {
    if let Some(held) = affinity.get_mut(&pair) {
        change(held);
        if held.outstanding == 0 && held.queued == 0 {
            affinity.remove(&pair);
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
