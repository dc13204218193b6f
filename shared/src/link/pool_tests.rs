#![allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]

use std::collections::HashSet;
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

/// What is waited for beyond its time, where the first peer may have delivered it.
const UNCERTAIN: Duration = Duration::from_secs(100);

impl Routed for Item {
    fn keys(&self) -> (&str, &str) {
        (&self.pair, "alice@contoso.example")
    }

    /// A partner is what stands before the first dash, such as "fabrikam-1".
    fn flow(&self) -> u64 {
        rendezvous::name_hash(self.pair.split('-').next().unwrap_or_default())
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn give_up_uncertain_at(&self) -> Instant {
        self.give_up_at + UNCERTAIN
    }

    fn cost(&self) -> usize {
        1
    }

    fn is_over(&self, now: Instant) -> bool {
        self.give_up_at <= now
    }
}

/// The pool and its effects; transmitted items are kept in the order in which they went out.
struct Rig {
    pool: Pool<Item>,
    now: Instant,
    sent: Vec<(PeerId, u64, Item, bool)>,
    finished: Vec<Item>,
    given_up: Vec<Item>,
    stalled: Vec<PeerId>,
}

impl Rig {
    fn new() -> Self {
        Self {
            pool: Pool::default(),
            now: Instant::now(),
            sent: Vec::new(),
            finished: Vec::new(),
            given_up: Vec::new(),
            stalled: Vec::new(),
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
                Effect::Stalled(peer) => self.stalled.push(peer),
            }
        }
    }

    fn attach(&mut self, name: &str, window: u32) -> PeerId {
        let mut out = Vec::new();
        let id = self.pool.attach(name, window, self.now, &mut out);
        self.perform(out);
        id
    }

    fn detach(&mut self, id: PeerId) {
        let mut out = Vec::new();
        self.pool.detach(id, self.now, &mut out);
        self.perform(out);
    }

    fn drain(&mut self, id: PeerId) {
        let mut out = Vec::new();
        self.pool.drain(id, self.now, &mut out);
        self.perform(out);
    }

    fn offer(&mut self, pair: &str, number: u32) {
        let item = Item { pair: pair.to_owned(), number, give_up_at: self.now + Duration::from_secs(30) };
        let mut out = Vec::new();
        self.pool.offer(item, self.now, &mut out);
        self.perform(out);
    }

    fn expire(&mut self, after: Duration) {
        let mut out = Vec::new();
        self.pool.expire(self.now + after, &mut out);
        self.perform(out);
    }

    fn acknowledge(&mut self, id: PeerId, seq: u64) {
        let mut out = Vec::new();
        self.pool.acknowledge(id, &[seq, seq], Vec::new(), self.now, &mut out).expect("the number is outstanding");
        self.perform(out);
    }

    fn numbers_sent_to(&self, id: PeerId) -> Vec<u32> {
        self.sent.iter().filter(|(peer, ..)| *peer == id).map(|(_, _, item, _)| item.number).collect()
    }
}

#[test]
fn a_lost_peers_stanzas_go_to_the_next_in_order_and_marked() {
    let mut rig = Rig::new();
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
fn what_a_lost_peer_held_beyond_its_time_is_given_up_and_not_sent_again() {
    let mut rig = Rig::new();
    let first = rig.attach("edge1", 10);
    rig.offer("bob", 1);
    rig.now += Duration::from_secs(20);
    rig.offer("bob", 2);
    let second = rig.attach("edge2", 10);
    rig.now += Duration::from_secs(10);
    rig.detach(first);
    assert_eq!(rig.numbers_sent_to(second), [2]);
    assert_eq!(rig.given_up.iter().map(|item| item.number).collect::<Vec<_>>(), [1]);
    assert_eq!(rig.pool.held(), 1);
}

#[test]
fn a_pair_stays_with_its_peer_while_anything_is_unacknowledged() {
    let mut rig = Rig::new();
    let only = rig.attach("gw1", 10);
    rig.offer("bob", 1);
    for name in ["gw2", "gw3", "gw4", "gw5"] {
        rig.attach(name, 10);
    }
    rig.offer("bob", 2);
    assert_eq!(rig.numbers_sent_to(only), [1, 2]);
}

#[test]
fn a_full_window_makes_newer_stanzas_wait_for_their_peer_only() {
    let mut rig = Rig::new();
    let first = rig.attach("gw1", 1);
    rig.offer("bob", 1);
    rig.offer("bob", 2);
    rig.offer("carol", 3);
    let second = rig.attach("gw2", 10);
    let moved =
        (0..20).find(|n| rendezvous::pick(["gw1", "gw2"], &format!("dave{n}"), "alice@contoso.example") == Some("gw2"));
    rig.offer(&format!("dave{}", moved.expect("half of them")), 4);
    assert_eq!((rig.numbers_sent_to(first), rig.numbers_sent_to(second)), (vec![1], vec![4]));
    assert_eq!((rig.pool.load(), rig.pool.held()), ((2, 2), 4));
    rig.acknowledge(first, 1);
    rig.acknowledge(first, 2);
    assert_eq!(rig.numbers_sent_to(first), [1, 2, 3]);
    assert_eq!((rig.pool.load(), rig.pool.held()), ((0, 2), 2));
}

#[test]
fn a_flood_of_one_partner_does_not_hold_up_another() {
    let mut rig = Rig::new();
    let gateway = rig.attach("gateway", 4);
    (0..10_000).for_each(|number| rig.offer(&format!("fabrikam-{}", number % 7), number));
    rig.offer("wingtip-1", 0);
    // What the gateway has, and one turn of the other: that is all that is before it.
    let turn = u64::try_from(TURN).unwrap();
    for seq in 1..=4 + turn {
        rig.acknowledge(gateway, seq);
    }
    let of_wingtip = |sent: &&(PeerId, u64, Item, bool)| sent.2.pair == "wingtip-1";
    assert!(rig.sent.iter().any(|sent| of_wingtip(&sent)), "{} were sent before it", rig.sent.len());
}

#[test]
fn stanzas_that_nobody_answers_do_not_hold_up_the_next_of_their_flow() {
    let mut rig = Rig::new();
    let gateway = rig.attach("gateway", 1024);
    rig.offer("wingtip-1", 0);
    rig.acknowledge(gateway, 1);
    (0..100).for_each(|number| rig.offer("fabrikam-1", number));
    let before = rig.sent.len();
    assert!(before < 101, "the flow has its share");
    rig.expire(Duration::from_secs(1));
    assert!(rig.sent.len() > before, "and goes on by and by");
}

#[test]
fn what_a_lost_peer_may_have_delivered_waits_longer_for_one_that_knows() {
    let mut rig = Rig::new();
    let first = rig.attach("gw1", 10);
    rig.offer("bob", 1);
    rig.detach(first);
    rig.offer("bob", 2);
    rig.expire(Duration::from_secs(31));
    assert_eq!(rig.given_up.iter().map(|item| item.number).collect::<Vec<_>>(), [2]);
    rig.expire(Duration::from_secs(31) + UNCERTAIN);
    assert_eq!(rig.given_up.len(), 2);
}

#[test]
fn what_waited_for_a_lost_peer_follows_what_it_had() {
    let mut rig = Rig::new();
    let first = rig.attach("gw1", 1);
    rig.offer("bob", 1);
    rig.offer("bob", 2);
    rig.detach(first);
    rig.offer("bob", 3);
    assert_eq!(rig.pool.load(), (3, 0));
    let second = rig.attach("gw2", 2);
    assert_eq!(rig.numbers_sent_to(second), [1, 2]);
    let redelivered: Vec<bool> = rig.sent.iter().map(|(.., redelivered)| *redelivered).collect();
    assert_eq!(redelivered, [false, true, false]);
}

#[test]
fn without_a_peer_stanzas_wait_and_are_given_up_in_time() {
    let mut rig = Rig::new();
    rig.offer("bob", 1);
    rig.expire(Duration::from_millis(29_999));
    assert!(rig.given_up.is_empty());
    rig.expire(Duration::from_secs(30));
    assert_eq!(rig.given_up.len(), 1);
    assert_eq!((rig.pool.load(), rig.pool.held()), ((0, 0), 0));
}

#[test]
fn what_waits_for_a_full_window_is_given_up_in_time_and_what_was_sent_is_not() {
    let mut rig = Rig::new();
    let peer = rig.attach("gw1", 1);
    rig.offer("bob", 1);
    rig.offer("bob", 2);
    rig.expire(Duration::from_secs(30));
    assert_eq!(rig.given_up.iter().map(|item| item.number).collect::<Vec<_>>(), [2]);
    rig.acknowledge(peer, 1);
    assert_eq!((rig.finished.len(), rig.pool.held()), (1, 0));
}

#[test]
fn a_peer_that_acknowledges_nothing_for_long_has_stalled() {
    let mut rig = Rig::new();
    let peer = rig.attach("gw1", 8);
    rig.expire(Duration::ZERO);
    rig.offer("bob", 1);
    rig.offer("bob", 2);
    rig.expire(STALLED_AFTER);
    rig.acknowledge(peer, 1);
    rig.expire(STALLED_AFTER * 2);
    assert!(rig.stalled.is_empty());
    rig.expire(STALLED_AFTER * 3);
    assert_eq!(rig.stalled, [peer]);
}

#[test]
fn a_draining_peer_finishes_its_pairs_before_they_move() {
    let mut rig = Rig::new();
    let first = rig.attach("gw1", 10);
    rig.offer("bob", 1);
    rig.drain(first);
    let second = rig.attach("gw2", 10);
    rig.offer("bob", 2);
    assert_eq!(rig.numbers_sent_to(second), [] as [u32; 0]);
    rig.acknowledge(first, 1);
    assert_eq!(rig.numbers_sent_to(second), [2]);
}

#[test]
fn a_failure_carries_its_reason_and_a_wrong_number_is_a_fault() {
    let mut rig = Rig::new();
    let peer = rig.attach("edge1", 10);
    rig.offer("bob", 1);
    let failure = Failure::new(StanzaCondition::RemoteServerTimeout, "no answer");
    let mut out = Vec::new();
    rig.pool.acknowledge(peer, &[], vec![(1, failure.clone())], rig.now, &mut out).unwrap();
    assert!(matches!(&out[..], [Effect::Finished { outcome: Outcome::Failed(given), .. }] if *given == failure));
    assert_eq!(rig.pool.acknowledge(peer, &[1, 1], Vec::new(), rig.now, &mut out), Err(WindowFault::NotOutstanding(1)));
    assert_eq!(rig.pool.acknowledge(peer, &[1], Vec::new(), rig.now, &mut out), Err(WindowFault::MalformedRange));
}

#[derive(Debug, Clone)]
enum Step {
    Attach(u8),
    DetachOldest,
    DrainOldest,
    Offer(u8),
    AcknowledgeOldest,
    AcknowledgeNewest,
}

proptest! {
    /// Whatever happens to the peers: per pair, first transmissions and what follows a loss keep the order, nothing is
    /// finished twice, and with a peer that stays everything is finished.
    #[test]
    fn every_stanza_ends_exactly_once_and_pairs_keep_their_order(steps in proptest::collection::vec(prop_oneof![
        2 => (0..4_u8).prop_map(Step::Attach),
        1 => Just(Step::DetachOldest),
        1 => Just(Step::DrainOldest),
        6 => (0..3_u8).prop_map(Step::Offer),
        4 => Just(Step::AcknowledgeOldest),
        1 => Just(Step::AcknowledgeNewest),
    ], 0..120)) {
        let mut rig = Rig::new();
        let (mut peers, mut offered): (Vec<PeerId>, u32) = (Vec::new(), 0);
        // Sent, and neither acknowledged nor lost, in the order of sending.
        let mut acknowledged: HashSet<(PeerId, u64)> = HashSet::new();
        let open = |rig: &Rig, peers: &[PeerId], acknowledged: &HashSet<(PeerId, u64)>| -> Vec<(PeerId, u64)> {
            let sent = rig.sent.iter().map(|(peer, seq, ..)| (*peer, *seq));
            sent.filter(|sent| peers.contains(&sent.0) && !acknowledged.contains(sent)).collect()
        };
        for step in steps {
            let open = open(&rig, &peers, &acknowledged);
            let acknowledge = match step {
                Step::Attach(name) => { peers.push(rig.attach(&format!("gw{name}"), 4)); None }
                Step::DetachOldest => { if !peers.is_empty() { rig.detach(peers.remove(0)); } None }
                Step::DrainOldest => { if let Some(peer) = peers.first() { rig.drain(*peer); } None }
                Step::Offer(pair) => { offered += 1; rig.offer(&format!("bob{pair}"), offered); None }
                Step::AcknowledgeOldest => open.first().copied(),
                Step::AcknowledgeNewest => open.last().copied(),
            };
            if let Some((peer, seq)) = acknowledge {
                rig.acknowledge(peer, seq);
                acknowledged.insert((peer, seq));
            }
        }
        peers.push(rig.attach("last", 4));
        while let Some((peer, seq)) = open(&rig, &peers, &acknowledged).first().copied() {
            rig.acknowledge(peer, seq);
            acknowledged.insert((peer, seq));
        }
        for pair in ["bob0", "bob1", "bob2"] {
            let first: Vec<u32> = rig.sent.iter().filter(|(.., item, again)| item.pair == pair && !again).map(|(.., item, _)| item.number).collect();
            prop_assert!(first.is_sorted(), "first sent of {}: {:?}", pair, first);
            // What goes to one peer goes in order, whether for the first time or again.
            for peer in &peers {
                let to_peer: Vec<u32> = rig.sent.iter().filter(|(id, _, item, _)| id == peer && item.pair == pair).map(|(.., item, _)| item.number).collect();
                prop_assert!(to_peer.is_sorted(), "to {:?} of {}: {:?}", peer, pair, to_peer);
            }
        }
        let mut numbers: Vec<u32> = rig.finished.iter().map(|item| item.number).collect();
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (1..=offered).collect::<Vec<_>>());
        prop_assert_eq!((rig.pool.load(), rig.pool.held()), ((0, 0), 0));
    }
}
