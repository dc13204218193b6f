//! Who gets which stanza: the peers of one end of the link, their windows, and what waits. Sans-IO.
//!
//! Both ends use it: an edge spreads what partners send over the attached gateways, a gateway what it sends over the
//! attached edges. A pair of addresses goes to one peer (rendezvous hashing) and stays there while anything of it is
//! unacknowledged, so its order holds when peers come and go. What a lost peer had not acknowledged goes to the next
//! one, in order and ahead of everything newer. What finds no peer waits in a bounded backlog until it must be given up.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use super::rendezvous;
use super::window::{Sender, WindowFault};
use super::{Failure, Outcome};

/// What can be routed.
pub trait Routed {
    /// The two addresses whose order counts.
    fn keys(&self) -> (&str, &str);
    /// When its sender must have an answer.
    fn give_up_at(&self) -> Instant;
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
    /// The stanza is finished.
    Finished {
        /// The stanza.
        item: T,
        /// How it ended.
        outcome: Outcome,
    },
    /// No peer took the stanza in time; it is out of the pool.
    GivenUp(T),
}

/// A stanza in the pool.
#[derive(Debug)]
struct Entry<T> {
    item: T,
    pair: u64,
    redelivered: bool,
}

#[derive(Debug)]
struct Peer<T> {
    name: String,
    window: usize,
    draining: bool,
    sender: Sender<Entry<T>>,
}

/// Where the unacknowledged stanzas of a pair are.
#[derive(Debug)]
struct Affinity {
    peer: PeerId,
    outstanding: u32,
}

/// The pool.
#[derive(Debug)]
pub struct Pool<T> {
    peers: HashMap<PeerId, Peer<T>>,
    last_peer: u64,
    affinity: HashMap<u64, Affinity>,
    backlog: VecDeque<Entry<T>>,
    /// How many stanzas of each pair are in the backlog.
    waiting: HashMap<u64, u32>,
    capacity: usize,
}

impl<T: Routed> Pool<T> {
    /// A pool without peers whose backlog takes `capacity` new stanzas (what lost peers gave back always fits).
    pub fn new(capacity: usize) -> Self {
        Self {
            peers: HashMap::new(),
            last_peer: 0,
            affinity: HashMap::new(),
            backlog: VecDeque::new(),
            waiting: HashMap::new(),
            capacity,
        }
    }

    /// A peer attached that takes `window` unacknowledged stanzas. Equal names weigh alike; the newest wins ties.
    pub fn attach(&mut self, name: &str, window: u32, out: &mut Vec<Effect<T>>) -> PeerId {
        self.last_peer += 1;
        let id = PeerId(self.last_peer);
        let window = usize::try_from(window).unwrap_or(usize::MAX).max(1);
        self.peers.insert(id, Peer { name: name.to_owned(), window, draining: false, sender: Sender::default() });
        self.pump(out);
        id
    }

    /// A peer is gone: what it did not acknowledge goes elsewhere, ahead of what waits.
    pub fn detach(&mut self, id: PeerId, out: &mut Vec<Effect<T>>) {
        let Some(peer) = self.peers.remove(&id) else { return };
        self.affinity.retain(|_, affinity| affinity.peer != id);
        let unacknowledged: Vec<Entry<T>> = peer.sender.into_unacknowledged().collect();
        for mut entry in unacknowledged.into_iter().rev() {
            entry.redelivered = true;
            *self.waiting.entry(entry.pair).or_default() += 1;
            self.backlog.push_front(entry);
        }
        self.pump(out);
    }

    /// A peer wants nothing new; it finishes what it has.
    pub fn drain(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.draining = true;
        }
    }

    /// A stanza to route. It comes back when the backlog is full.
    pub fn offer(&mut self, item: T, out: &mut Vec<Effect<T>>) -> Result<(), T> {
        let (a, b) = item.keys();
        let entry = Entry { pair: rendezvous::weight("", a, b), item, redelivered: false };
        // Nothing overtakes what waits for the same pair.
        let entry = if self.waiting.contains_key(&entry.pair) {
            entry
        } else {
            match self.place(entry, out) {
                Ok(()) => return Ok(()),
                Err(entry) => entry,
            }
        };
        if self.backlog.len() >= self.capacity {
            return Err(entry.item);
        }
        *self.waiting.entry(entry.pair).or_default() += 1;
        self.backlog.push_back(entry);
        Ok(())
    }

    /// An outstanding stanza, and whether it may have been delivered before.
    pub fn item(&self, peer: PeerId, seq: u64) -> Option<(&T, bool)> {
        let entry = self.peers.get(&peer)?.sender.outstanding_item(seq)?;
        Some((&entry.item, entry.redelivered))
    }

    /// A peer acknowledged: `ranges` are done, `failures` are not delivered.
    pub fn acknowledge(
        &mut self,
        id: PeerId,
        ranges: &[u64],
        failures: Vec<(u64, Failure)>,
        out: &mut Vec<Effect<T>>,
    ) -> Result<(), WindowFault> {
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        let affinity = &mut self.affinity;
        let mut finish = |entry: Entry<T>, outcome| {
            release(affinity, entry.pair);
            out.push(Effect::Finished { item: entry.item, outcome });
        };
        for range in ranges.chunks(2) {
            let [first, last] = range else { return Err(WindowFault::MalformedRange) };
            peer.sender.acknowledge_range(*first, *last, |entry| finish(entry, Outcome::Done))?;
        }
        for (seq, failure) in failures {
            finish(peer.sender.acknowledge(seq)?, Outcome::Failed(failure));
        }
        self.pump(out);
        Ok(())
    }

    /// Gives up what has waited too long.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Effect<T>>) {
        if self.backlog.iter().all(|entry| entry.item.give_up_at() > now) {
            return;
        }
        for entry in std::mem::take(&mut self.backlog) {
            if entry.item.give_up_at() > now {
                self.backlog.push_back(entry);
            } else {
                forget_waiting(&mut self.waiting, entry.pair);
                out.push(Effect::GivenUp(entry.item));
            }
        }
    }

    /// When [`Pool::expire`] has to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.backlog.iter().map(|entry| entry.item.give_up_at()).min()
    }

    /// Whether the backlog takes more.
    pub fn has_room(&self) -> bool {
        self.backlog.len() < self.capacity
    }

    /// Attached peers that take new stanzas.
    pub fn ready_peers(&self) -> usize {
        self.peers.values().filter(|peer| !peer.draining).count()
    }

    /// Stanzas that wait, and stanzas that are unacknowledged.
    pub fn load(&self) -> (usize, usize) {
        (self.backlog.len(), self.peers.values().map(|peer| peer.sender.outstanding()).sum())
    }

    /// Sends what waits and can go, in order per pair.
    fn pump(&mut self, out: &mut Vec<Effect<T>>) {
        if self.backlog.is_empty() {
            return;
        }
        let mut blocked = HashSet::new();
        for entry in std::mem::take(&mut self.backlog) {
            let pair = entry.pair;
            if blocked.contains(&pair) {
                self.backlog.push_back(entry);
                continue;
            }
            match self.place(entry, out) {
                Ok(()) => forget_waiting(&mut self.waiting, pair),
                Err(entry) => {
                    blocked.insert(pair);
                    self.backlog.push_back(entry);
                }
            }
        }
    }

    /// Hands the entry to its peer, or back if there is none or its window is full.
    fn place(&mut self, entry: Entry<T>, out: &mut Vec<Effect<T>>) -> Result<(), Entry<T>> {
        let Some(id) = self.peer_of(&entry) else { return Err(entry) };
        let Some(peer) = self.peers.get_mut(&id) else { return Err(entry) };
        if peer.sender.outstanding() >= peer.window {
            return Err(entry);
        }
        self.affinity.entry(entry.pair).or_insert(Affinity { peer: id, outstanding: 0 }).outstanding += 1;
        let seq = peer.sender.send(entry);
        out.push(Effect::Transmit { peer: id, seq });
        Ok(())
    }

    fn peer_of(&self, entry: &Entry<T>) -> Option<PeerId> {
        if let Some(affinity) = self.affinity.get(&entry.pair) {
            // A draining peer finishes what it has of the pair before the pair moves.
            let peer = self.peers.get(&affinity.peer)?;
            return (!peer.draining).then_some(affinity.peer);
        }
        let (a, b) = entry.item.keys();
        let ready = self.peers.iter().filter(|(_, peer)| !peer.draining);
        ready.max_by_key(|(id, peer)| (rendezvous::weight(&peer.name, a, b), **id)).map(|(id, _)| *id)
    }
}

fn release(affinity: &mut HashMap<u64, Affinity>, pair: u64) {
    if let Some(held) = affinity.get_mut(&pair) {
        held.outstanding -= 1;
        if held.outstanding == 0 {
            affinity.remove(&pair);
        }
    }
}

fn forget_waiting(waiting: &mut HashMap<u64, u32>, pair: u64) {
    if let Some(count) = waiting.get_mut(&pair) {
        *count -= 1;
        if *count == 0 {
            waiting.remove(&pair);
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
