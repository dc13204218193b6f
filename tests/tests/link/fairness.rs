//! Partners share the link: who floods it waits behind himself.

use std::sync::atomic::{AtomicBool, Ordering};

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
        // The gateway has a window full, the edge all that it holds, and every stream of the flood waits.
        eventually("the edge is full", || edge.handle.facts().held() >= HELD_COST + STREAMS * 64);
        scope.spawn(|| edge.submit("dan@wingtip.example", ["between".to_owned()]));
        eventually("the other waits as well", || edge.handle.facts().held() > HELD_COST + STREAMS * 64);
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
        // What the gateway had, the window that its first acknowledgement filled before there was room for the other,
        // and a few turns: not all 16 384 that the flood had put before it.
        let bound = 3 * usize::try_from(DEFAULT_WINDOW).unwrap();
        assert!(before <= bound, "{before} stanzas of the flood came first");
    });
}
