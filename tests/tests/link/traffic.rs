//! Stanzas in quantity, in both directions.

use std::collections::HashMap;
use std::time::Duration;

use causeway_shared::link::{Failure, Outcome};
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use crate::support::*;

#[test]
fn ten_thousand_stanzas_of_partners_arrive_once_in_order_and_are_finished() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let senders = ["bob@fabrikam.example/a", "carol@fabrikam.example", "dan@wingtip.example"];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for read in 0..2000 {
                edge.submit(senders[read % 3], (0..5).map(|n| (read * 5 + n).to_string()));
            }
        });
        let mut seen: HashMap<String, Vec<u32>> = HashMap::new();
        let mut count = 0;
        while count < 10_000 {
            let stanzas = gateway.next_stanzas();
            count += stanzas.len();
            for stanza in &stanzas {
                assert_eq!((stanza.arrived_ms, stanza.redelivered), (5, false));
                assert_eq!(stanza.context, context(stanza.from.as_str()));
                let number = texts(std::slice::from_ref(stanza))[0].parse().unwrap();
                seen.entry(stanza.from.as_str().to_owned()).or_default().push(number);
            }
            finish(&gateway, stanzas);
        }
        for sender in senders {
            assert!(seen[sender].is_sorted(), "{sender}");
        }
        let mut all: Vec<u32> = seen.into_values().flatten().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..10_000));
    });
    eventually("everything is finished", || edge.handle.facts().outstanding == 0);
}

#[test]
fn ten_thousand_stanzas_for_partners_are_written_in_order_and_their_outcomes_come_back() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    let mut outcomes = Vec::with_capacity(10_000);
    for batch in 0..1000 {
        gateway.send("bob@fabrikam.example", batch * 10..batch * 10 + 10, PATIENCE);
        // A partner may have 8 192 on their way (see below); half of them keep the link full.
        let sent = (batch as usize + 1) * 10;
        while sent - outcomes.len() > 4_096 {
            outcomes.extend(gateway.some_outcomes());
        }
    }
    outcomes.extend(gateway.outcomes(10_000 - outcomes.len()));
    assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Done));
    outcomes.sort_unstable_by_key(|(key, _)| *key);
    assert!(outcomes.into_iter().map(|(key, _)| key).eq(0..10_000));
    assert!(edge.written.rest().into_iter().eq((0..10_000).map(|key: u64| key.to_string())));
}

#[test]
fn a_failure_comes_back_with_its_reason() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Hold);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    gateway.send("bob@fabrikam.example", [1, 2], PATIENCE);
    eventually("both are there", || edge.held.lock().unwrap().len() == 2);
    let failure = Failure::new(StanzaCondition::RemoteServerNotFound, "no server in DNS");
    let mut held = std::mem::take(&mut *edge.held.lock().unwrap()).into_iter();
    held.next().unwrap().failed(failure.clone());
    assert_eq!(gateway.outcomes(1), [(1, Outcome::Failed(failure))]);
    drop(held);
    let dropped = gateway.outcomes(1);
    assert!(
        matches!(&dropped[..], [(2, Outcome::Failed(failure))] if failure.condition == StanzaCondition::InternalServerError)
    );
}

#[test]
fn what_goes_beyond_the_bound_of_a_gateway_without_edges_fails_at_once() {
    let gateway = GatewayNode::start("gw1", &Authority::new().files(GATEWAY_NAME), &[], 1);
    // A partner has half of it, so that there is room for the others.
    gateway.send("bob@fabrikam.example", 0..8_192, PATIENCE);
    let refused = gateway.links.send(vec![outbound("bob@fabrikam.example", 8_192, PATIENCE)]);
    let [(8_192, Outcome::Failed(failure))] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(failure.condition, StanzaCondition::ResourceConstraint);
    gateway.send("eve@wingtip.example", 8_193..16_385, PATIENCE);
    let refused = gateway.links.send(vec![outbound("ann@litware.example", 16_385, PATIENCE)]);
    let [(16_385, Outcome::Failed(failure))] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(failure.condition, StanzaCondition::ResourceConstraint);
}

#[test]
fn when_everything_is_held_that_may_be_of_a_partner_his_stream_waits_and_goes_on_when_there_is_room() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    // 8 MiB may be held of one partner; a stanza of 64 KiB takes 65 places of 8 192.
    let big = "x".repeat(64 * 1024);
    let most = 8_192 / 65;
    edge.submit("bob@fabrikam.example", (0..most).map(|_| big.clone()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| edge.submit("bob@fabrikam.example", (0..most).map(|_| big.clone())));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        // And the part that the stream waits with.
        assert!(edge.handle.facts().waiting <= most + most / 4);
        let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
        let mut count = 0;
        while count < 2 * most {
            let stanzas = gateway.next_stanzas();
            count += stanzas.len();
            finish(&gateway, stanzas);
        }
        waiting.join().unwrap();
    });
    eventually("everything is finished", || edge.handle.facts().outstanding == 0);
}
