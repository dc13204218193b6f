#![allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::xmpp::stanza_error::StanzaCondition;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    pair: String,
    number: u32,
    give_up_at: Instant,
}

impl Routed for Item {
    fn keys(&self) -> (&str, &str) {
        (&self.pair, "alice@contoso.example")
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }
}

/// The pool and its effects; transmitted items are kept in the order in which they went out.
struct Rig {
    pool: Pool<Item>,
    now: Instant,
    sent: Vec<(PeerId, u64, Item, bool)>,
    finished: Vec<Item>,
    given_up: Vec<Item>,
}

impl Rig {
    fn new(capacity: usize) -> Self {
        Self {
            pool: Pool::new(capacity),
            now: Instant::now(),
            sent: Vec::new(),
            finished: Vec::new(),
            given_up: Vec::new(),
        }
    }

    fn perform(&mut self, effects: Vec<Effect<Item>>) {
        for effect in effects {
            match effect {
                Effect::Transmit { peer, seq } => {
                    let (item, redelivered) = self.pool.item(peer, seq).expect("what is transmitted is outstanding");
                    self.sent.push((peer, seq, item.clone(), redelivered));
                }
                Effect::Finished { item, .. } => self.finished.push(item),
                Effect::GivenUp(item) => self.given_up.push(item),
            }
        }
    }

    fn attach(&mut self, name: &str, window: u32) -> PeerId {
        let mut out = Vec::new();
        let id = self.pool.attach(name, window, &mut out);
        self.perform(out);
        id
    }

    fn detach(&mut self, id: PeerId) {
        let mut out = Vec::new();
        self.pool.detach(id, &mut out);
        self.perform(out);
    }

    fn offer(&mut self, pair: &str, number: u32) -> bool {
        let item = Item { pair: pair.to_owned(), number, give_up_at: self.now + Duration::from_secs(30) };
        let mut out = Vec::new();
        let taken = self.pool.offer(item, &mut out).is_ok();
        self.perform(out);
        taken
    }

    fn acknowledge(&mut self, id: PeerId, seq: u64) {
        let mut out = Vec::new();
        self.pool.acknowledge(id, &[seq, seq], Vec::new(), &mut out).expect("the number is outstanding");
        self.perform(out);
    }

    fn numbers_sent_to(&self, id: PeerId) -> Vec<u32> {
        self.sent.iter().filter(|(peer, ..)| *peer == id).map(|(_, _, item, _)| item.number).collect()
    }
}

#[test]
fn a_lost_peers_stanzas_go_to_the_next_in_order_and_marked() {
    let mut rig = Rig::new(8);
    let first = rig.attach("gw1", 10);
    for number in 1..=3 {
        rig.offer("bob", number);
    }
    rig.acknowledge(first, 2);
    let second = rig.attach("gw2", 10);
    rig.detach(first);
    assert_eq!(rig.numbers_sent_to(second), [1, 3]);
    assert!(rig.sent.iter().filter(|(peer, ..)| *peer == second).all(|(.., redelivered)| *redelivered));
}

#[test]
fn a_pair_stays_with_its_peer_while_anything_is_unacknowledged() {
    let mut rig = Rig::new(8);
    let only = rig.attach("gw1", 10);
    rig.offer("bob", 1);
    for name in ["gw2", "gw3", "gw4", "gw5"] {
        rig.attach(name, 10);
    }
    rig.offer("bob", 2);
    assert_eq!(rig.numbers_sent_to(only), [1, 2]);
}

#[test]
fn a_full_window_makes_newer_stanzas_wait_and_a_full_backlog_refuses() {
    let mut rig = Rig::new(1);
    let peer = rig.attach("gw1", 1);
    assert!(rig.offer("bob", 1));
    assert!(rig.offer("bob", 2));
    assert!(!rig.offer("bob", 3));
    rig.acknowledge(peer, 1);
    assert_eq!(rig.numbers_sent_to(peer), [1, 2]);
    assert_eq!(rig.pool.load(), (0, 1));
}

#[test]
fn without_a_peer_stanzas_wait_and_are_given_up_in_time() {
    let mut rig = Rig::new(8);
    rig.offer("bob", 1);
    let deadline = rig.pool.deadline().expect("something waits");
    let mut out = Vec::new();
    rig.pool.expire(deadline - Duration::from_millis(1), &mut out);
    assert!(out.is_empty());
    rig.pool.expire(deadline, &mut out);
    rig.perform(out);
    assert_eq!(rig.given_up.len(), 1);
    assert_eq!((rig.pool.deadline(), rig.pool.load()), (None, (0, 0)));
}

#[test]
fn a_draining_peer_finishes_its_pairs_before_they_move() {
    let mut rig = Rig::new(8);
    let first = rig.attach("gw1", 10);
    rig.offer("bob", 1);
    rig.pool.drain(first);
    let second = rig.attach("gw2", 10);
    rig.offer("bob", 2);
    assert_eq!(rig.numbers_sent_to(second), [] as [u32; 0]);
    rig.acknowledge(first, 1);
    assert_eq!(rig.numbers_sent_to(second), [2]);
}

#[test]
fn a_failure_carries_its_reason_and_a_wrong_number_is_a_fault() {
    let mut rig = Rig::new(8);
    let peer = rig.attach("edge1", 10);
    rig.offer("bob", 1);
    let failure = Failure::new(StanzaCondition::RemoteServerTimeout, "no answer");
    let mut out = Vec::new();
    rig.pool.acknowledge(peer, &[], vec![(1, failure.clone())], &mut out).unwrap();
    assert!(matches!(&out[..], [Effect::Finished { outcome: Outcome::Failed(given), .. }] if *given == failure));
    assert_eq!(rig.pool.acknowledge(peer, &[1, 1], Vec::new(), &mut out), Err(WindowFault::NotOutstanding(1)));
    assert_eq!(rig.pool.acknowledge(peer, &[1], Vec::new(), &mut out), Err(WindowFault::MalformedRange));
}

#[derive(Debug, Clone)]
enum Step {
    Attach(u8),
    DetachOldest,
    Offer(u8),
    AcknowledgeOldest,
}

proptest! {
    /// Whatever happens to the peers: per pair, first transmissions and what follows a loss keep the order, nothing is
    /// finished twice, and with a peer that stays everything is finished.
    #[test]
    fn every_stanza_ends_exactly_once_and_pairs_keep_their_order(steps in proptest::collection::vec(prop_oneof![
        2 => (0..4_u8).prop_map(Step::Attach),
        1 => Just(Step::DetachOldest),
        6 => (0..3_u8).prop_map(Step::Offer),
        4 => Just(Step::AcknowledgeOldest),
    ], 0..120)) {
        let mut rig = Rig::new(1000);
        let (mut peers, mut offered): (Vec<PeerId>, u32) = (Vec::new(), 0);
        // Sent and neither acknowledged nor lost, in order.
        let mut acknowledged: HashSet<(PeerId, u64)> = HashSet::new();
        let oldest = |rig: &Rig, peers: &[PeerId], acknowledged: &HashSet<(PeerId, u64)>| {
            rig.sent.iter().map(|(peer, seq, ..)| (*peer, *seq))
                .find(|sent| peers.contains(&sent.0) && !acknowledged.contains(sent))
        };
        for step in steps {
            match step {
                Step::Attach(name) => peers.push(rig.attach(&format!("gw{name}"), 4)),
                Step::DetachOldest if !peers.is_empty() => rig.detach(peers.remove(0)),
                Step::Offer(pair) => {
                    offered += 1;
                    let taken = rig.offer(&format!("bob{pair}"), offered);
                    prop_assert!(taken, "the backlog has room");
                }
                Step::AcknowledgeOldest => if let Some((peer, seq)) = oldest(&rig, &peers, &acknowledged) {
                    rig.acknowledge(peer, seq);
                    acknowledged.insert((peer, seq));
                },
                Step::DetachOldest => {}
            }
        }
        peers.push(rig.attach("last", 4));
        while let Some((peer, seq)) = oldest(&rig, &peers, &acknowledged) {
            rig.acknowledge(peer, seq);
            acknowledged.insert((peer, seq));
        }
        let mut numbers: Vec<u32> = rig.finished.iter().map(|item| item.number).collect();
        for pair in ["bob0", "bob1", "bob2"] {
            let of_pair: Vec<u32> = rig.finished.iter().filter(|item| item.pair == pair).map(|item| item.number).collect();
            prop_assert!(of_pair.is_sorted(), "{}: {:?}", pair, of_pair);
        }
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (1..=offered).collect::<Vec<_>>());
    }
}
