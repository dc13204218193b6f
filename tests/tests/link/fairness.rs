//! Partners share the link: who floods it waits behind himself.

use std::sync::atomic::{AtomicBool, Ordering};

use causeway_shared::link::share::FLOOR;
use causeway_shared::link::{DEFAULT_WINDOW, HELD_COST};

use crate::support::*;

/// Streams of the partner that floods.
const STREAMS: usize = 8;

#[test]
fn a_flood_of_one_partner_leaves_another_a_bounded_wait() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..STREAMS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    edge.submit("bob@fabrikam.example", (0..64).map(|_| "flood".to_owned()));
                }
            });
        }
        // The gateway has a window full, the edge all that it holds of one, and every stream of the flood waits.
        eventually("the edge is full", || edge.handle.facts().held() >= HELD_COST / 2 + STREAMS * 64);
        // There is room for the other at once, behind the window.
        edge.submit("dan@wingtip.example", ["between".to_owned()]);
        let mut before = 0;
        loop {
            let stanzas = gateway.next_stanzas();
            let found = texts(&stanzas).iter().position(|text| text == "between");
            before += found.unwrap_or(stanzas.len());
            finish(&gateway, stanzas);
            if found.is_some() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        while edge.handle.facts().held() > 0 {
            finish(&gateway, gateway.next_stanzas_if_any());
        }
        // What the gateway had, and at most one turn: from then on the flood has but its share.
        let bound = usize::try_from(DEFAULT_WINDOW).unwrap() + FLOOR;
        assert!(before <= bound, "{before} stanzas of the flood came first");
    });
}

/// Far more than a flow may have in flight beside others, and less than one end of the link holds for a partner.
const FLOOD: u64 = 5_000;

#[test]
fn a_partner_whose_stanzas_get_no_answer_has_his_share_in_flight_and_another_passes_at_once() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    edge.submit("dan@wingtip.example", ["before".to_owned()]);
    edge.submit("bob@fabrikam.example", (0..FLOOD).map(|number| number.to_string()));
    edge.submit("dan@wingtip.example", ["after".to_owned()]);
    // Nothing is finished meanwhile, and the last one comes all the same.
    let mut came = Vec::new();
    while !texts(&came).iter().any(|text| text == "after") {
        came.extend(gateway.next_stanzas());
    }
    assert_eq!(came.len(), FLOOR + 2);
    // The rest follows, in order.
    let mut flood = Vec::new();
    while flood.len() < usize::try_from(FLOOD).unwrap() {
        let more = if came.is_empty() { gateway.next_stanzas() } else { std::mem::take(&mut came) };
        flood.extend(texts(&more).into_iter().filter_map(|text| text.parse::<u64>().ok()));
        finish(&gateway, more);
    }
    assert_eq!(flood, (0..FLOOD).collect::<Vec<_>>());
}

#[test]
fn a_partner_who_takes_nothing_has_its_share_in_flight_and_what_is_for_another_passes_at_once() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Hold);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    gateway.send("dan@wingtip.example", [FLOOD], PATIENCE);
    gateway.send("bob@fabrikam.example", 0..FLOOD, PATIENCE);
    gateway.send("dan@wingtip.example", [FLOOD + 1], PATIENCE);
    let last = (FLOOD + 1).to_string();
    let mut came = vec![edge.written.next()];
    while came.last() != Some(&last) {
        came.push(edge.written.next());
    }
    assert_eq!(came.len(), FLOOR + 2);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let held = std::mem::take(&mut *edge.held.lock().unwrap());
                held.into_iter().for_each(|ack| ack.done());
                std::thread::yield_now();
            }
        });
        while came.len() < usize::try_from(FLOOD).unwrap() + 2 {
            came.push(edge.written.next());
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let flood: Vec<u64> = came.iter().filter_map(|text| text.parse().ok()).filter(|key| *key < FLOOD).collect();
    assert_eq!(flood, (0..FLOOD).collect::<Vec<_>>());
}
