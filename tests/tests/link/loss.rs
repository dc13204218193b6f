//! What becomes of stanzas when a gateway, an edge or the road between them is lost.

use std::time::Duration;

use causeway_gateway::link::{EdgeProcess, Parting, StanzaOut};
use causeway_shared::domain::DomainName;
use causeway_shared::link::{Outcome, StanzaKind};
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use crate::support::*;

const BOB: &str = "bob@fabrikam.example";

#[test]
fn what_a_killed_gateway_did_not_finish_goes_to_another_in_order() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let first = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    edge.submit(BOB, (0..900).map(|n| n.to_string()));
    let mut open = Vec::new();
    for (place, stanza) in first.stanzas(900).into_iter().enumerate() {
        if place % 3 == 0 { open.push(stanza) } else { finish(&first, [stanza]) }
    }
    eventually("600 are acknowledged", || edge.handle.facts().outstanding == 300);
    let unfinished = texts(&open);
    first.kill();
    edge.submit(BOB, (900..1000).map(|n| n.to_string()));
    let second = GatewayNode::start("gw2", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let again = second.stanzas(400);
    assert!(again[..300].iter().all(|stanza| stanza.redelivered));
    assert_eq!(texts(&again[..300]), unfinished);
    assert!(texts(&again[300..]).into_iter().eq((900..1000).map(|n| n.to_string())));
    finish(&second, again);
    eventually("everything is finished", || edge.handle.facts().outstanding == 0);
    assert_eq!(edge.bounced.rest(), []);
}

#[test]
fn without_a_gateway_stanzas_bounce_after_the_bound_and_no_sooner() {
    let authority = Authority::new();
    let patience = Duration::from_millis(700);
    let began = std::time::Instant::now();
    let edge = EdgeNode::start_with_patience("edge1", &authority.files(EDGE_NAME), Streams::Write, patience);
    edge.submit(BOB, (0..50).map(|n| n.to_string()));
    for n in 0..50 {
        let bounced = edge.bounced.next();
        assert_eq!(bounced, (n.to_string(), StanzaCondition::RemoteServerTimeout));
    }
    assert!(began.elapsed() >= patience);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let cause = gateway.verdict();
    assert_eq!(cause, "no gateway took the stanza in time");
    assert_eq!((edge.handle.facts().waiting, edge.handle.facts().outstanding), (0, 0));
}

#[test]
fn what_a_killed_edge_did_not_finish_goes_to_the_other_in_order() {
    let authority = Authority::new();
    let start = |name| EdgeNode::start(name, &authority.files(EDGE_NAME), Streams::Hold);
    let (one, other) = (start("edge1"), start("edge2"));
    let addresses = [one.address, other.address];
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &addresses, 1);
    gateway.attached(2);
    gateway.send(BOB, 0..100, PATIENCE);
    eventually("one edge has them", || [&one, &other].iter().any(|edge| edge.held.lock().unwrap().len() == 100));
    let (chosen, spared) = if one.held.lock().unwrap().is_empty() { (other, one) } else { (one, other) };
    for ack in chosen.held.lock().unwrap().drain(..40) {
        ack.done();
    }
    let mut outcomes = gateway.outcomes(40);
    chosen.kill();
    gateway.send(BOB, 100..120, PATIENCE);
    eventually("the other has the rest", || spared.held.lock().unwrap().len() == 80);
    assert!(spared.written.rest().into_iter().eq((40..120).map(|key: u64| key.to_string())));
    spared.held.lock().unwrap().drain(..).for_each(|ack| ack.done());
    outcomes.extend(gateway.outcomes(80));
    assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Done));
    assert!(outcomes.iter().map(|(key, _)| *key).eq(0..120));
}

// Rule: life.edge-loss
#[test]
fn the_partners_are_named_who_were_on_an_edge_that_dies() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let domain = |name| DomainName::parse(name).unwrap();
    edge.submit(BOB, ["heard".to_owned()]);
    let (process, partners) = gateway.streams();
    assert_eq!(partners, [domain("fabrikam.example")]);
    let heard = gateway.stanzas(1);
    let origin = heard[0].origin;
    assert_eq!(process, origin);
    finish(&gateway, heard);
    let presence = |to, key| StanzaOut { kind: StanzaKind::Presence, ..outbound(to, key, PATIENCE) };
    assert_eq!(gateway.links.send(vec![presence("ann@wingtip.example", 1), presence("al@wingtip.example", 2)]), []);
    // A message that was acknowledged and lost is its sender's to send again.
    gateway.send("di@litware.example", [3], PATIENCE);
    gateway.outcomes(3);
    edge.kill();
    let (process, parting) = gateway.parted();
    assert_eq!(process, EdgeProcess { name: "edge1".to_owned(), origin });
    assert_eq!(parting, Parting::Lost(["fabrikam.example", "wingtip.example"].map(domain).into()));
}

// Rule: life.edge-loss
#[test]
fn an_edge_that_ends_in_order_has_lost_nobody_and_one_that_only_ends_the_call_may_have() {
    let authority = Authority::new();
    for drains in [true, false] {
        let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
        let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
        edge.submit(BOB, ["heard".to_owned()]);
        finish(&gateway, gateway.stanzas(1));
        eventually("it is acknowledged", || edge.handle.facts().outstanding == 0);
        if drains {
            edge.handle.drain();
            eventually("the gateway knows", || gateway.links.edges().iter().all(|edge| edge.is_draining));
        }
        edge.stop();
        assert_eq!(gateway.parted().1 == Parting::InOrder, drains);
    }
}

#[test]
fn without_an_edge_a_stanza_fails_when_its_patience_ends() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Hold);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    gateway.send(BOB, [1], Duration::from_millis(500));
    eventually("the edge has it", || edge.held.lock().unwrap().len() == 1);
    edge.kill();
    gateway.attached(0);
    gateway.send(BOB, [2], Duration::from_millis(500));
    for (key, outcome) in gateway.outcomes(2) {
        let Outcome::Failed(failure) = outcome else { panic!("{key} cannot be done") };
        assert_eq!(failure.condition, StanzaCondition::RemoteServerTimeout);
    }
    assert_eq!(gateway.links.load(), (0, 0, 0));
}

#[test]
fn a_stanza_that_comes_again_over_a_new_road_is_written_once() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Hold);
    let road = Road::to(edge.address);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[road.address], 1);
    gateway.attached(1);
    gateway.send(BOB, 0..10, PATIENCE);
    eventually("the edge has them", || edge.held.lock().unwrap().len() == 10);
    road.cut();
    // The first half ends while there is no road, the second when it is there again.
    gateway.attached(0);
    edge.held.lock().unwrap().drain(..5).for_each(|ack| ack.done());
    gateway.attached(1);
    gateway.send(BOB, [10], PATIENCE);
    eventually("the edge has the newest", || edge.held.lock().unwrap().len() == 6);
    edge.held.lock().unwrap().drain(..).for_each(|ack| ack.done());
    let mut outcomes = gateway.outcomes(11);
    outcomes.sort_unstable_by_key(|(key, _)| *key);
    assert!(outcomes.into_iter().eq((0..11).map(|key| (key, Outcome::Done))));
    assert!(edge.written.rest().into_iter().eq((0..11).map(|key: u64| key.to_string())));
}

#[test]
fn a_stanza_that_comes_again_over_a_new_road_reaches_the_engine_once() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let road = Road::to(edge.address);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[road.address], 1);
    edge.submit(BOB, (0..10).map(|n| n.to_string()));
    let mut stanzas = gateway.stanzas(10);
    road.cut();
    gateway.attached(0);
    finish(&gateway, stanzas.drain(..5));
    gateway.attached(1);
    edge.submit(BOB, ["new".to_owned()]);
    let newest = gateway.stanzas(1);
    assert_eq!(texts(&newest), ["new"]);
    eventually("the first half is finished", || edge.handle.facts().outstanding == 6);
    finish(&gateway, stanzas);
    finish(&gateway, newest);
    eventually("everything is finished", || edge.handle.facts().outstanding == 0);
}

#[test]
fn a_stanza_that_the_engine_dropped_comes_again_when_the_call_ends() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let road = Road::to(edge.address);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[road.address], 1);
    edge.submit(BOB, ["once".to_owned()]);
    drop(gateway.stanzas(1));
    assert_eq!(edge.handle.facts().outstanding, 1);
    road.cut();
    let again = gateway.stanzas(1);
    assert!(again[0].redelivered);
    finish(&gateway, again);
    eventually("it is finished", || edge.handle.facts().outstanding == 0);
}

#[test]
fn a_gateway_that_shuts_down_finishes_what_it_has_and_the_next_gets_what_is_new() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let first = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    edge.submit(BOB, ["old".to_owned()]);
    let old = first.stanzas(1);
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| first.shut_down(PATIENCE));
        eventually("no gateway takes anything new", || !edge.has_gateway());
        edge.submit(BOB, ["new".to_owned()]);
        finish(&first, old);
        ending.join().unwrap();
    });
    eventually("it is gone", || edge.handle.facts().gateways == 0);
    assert_eq!((edge.handle.facts().waiting, edge.handle.facts().outstanding), (1, 0));
    let second = GatewayNode::start("gw2", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let new = second.stanzas(1);
    assert_eq!((texts(&new), new[0].redelivered), (vec!["new".to_owned()], false));
    finish(&second, new);
}

#[test]
fn an_edge_that_drains_gets_nothing_new_and_finishes_what_it_has() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Hold);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    gateway.send(BOB, [1], PATIENCE);
    eventually("the edge has it", || edge.held.lock().unwrap().len() == 1);
    edge.handle.drain();
    let other = EdgeNode::start("edge2", &authority.files(EDGE_NAME), Streams::Write);
    let both = [edge.address, other.address].map(|edge| causeway_gateway::link::EdgeAddress(edge.to_string()));
    gateway.edges.send_replace(std::sync::Arc::new(both.to_vec()));
    gateway.attached(2);
    gateway.send("carol@wingtip.example", [2], PATIENCE);
    assert_eq!(gateway.outcomes(1), [(2, Outcome::Done)]);
    edge.held.lock().unwrap().drain(..).for_each(|ack| ack.done());
    assert_eq!(gateway.outcomes(1), [(1, Outcome::Done)]);
    assert!(
        edge.written.rest().into_iter().eq(["1".to_owned()]) && other.written.rest().into_iter().eq(["2".to_owned()])
    );
}

#[test]
fn an_edge_that_stops_parts_with_its_gateways_and_they_come_back_to_the_next() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    edge.stop();
    gateway.attached(0);
    let next = EdgeNode::start("edge2", &authority.files(EDGE_NAME), Streams::Write);
    gateway
        .edges
        .send_replace(std::sync::Arc::new(vec![causeway_gateway::link::EdgeAddress(next.address.to_string())]));
    gateway.attached(1);
    assert_eq!(gateway.links.edges()[0].name, "edge2");
}
