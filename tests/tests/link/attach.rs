//! Who may attach, and which snapshot is in force.

use causeway_gateway::link::LinkEvent;

use crate::support::*;

#[test]
fn a_gateway_attaches_and_the_edge_has_its_snapshot() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    assert!(!edge.has_gateway());
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 4);
    assert!(matches!(gateway.events.next(), LinkEvent::EdgeUp(edge) if edge.name == "edge1"));
    eventually("a gateway", || edge.has_gateway());
    assert_eq!(edge.handle.facts().snapshot_version, 4);
    eventually("the version in force is told", || gateway.links.edges().iter().any(|edge| edge.applied == 4));
}

#[test]
fn a_gateway_of_another_authority_is_refused_and_both_sides_say_so() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let stranger = GatewayNode::start("gw1", &authority.files_of_a_stranger(GATEWAY_NAME), &[edge.address], 1);
    let cause = stranger.verdict();
    assert!(cause.starts_with("not attached to the edge: the connection ended"), "{cause}");
    assert_eq!(edge.handle.facts().gateways, 0);
    let gateway = GatewayNode::start("gw2", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let cause = gateway.verdict();
    assert!(cause.starts_with("a gateway was not let in: invalid peer certificate"), "{cause}");
}

#[test]
fn a_gateway_of_another_name_is_refused_and_both_sides_say_so() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let stranger = GatewayNode::start("gw1", &authority.files("other.link.example"), &[edge.address], 1);
    let cause = stranger.verdict();
    assert!(cause.starts_with("not attached to the edge: "), "{cause}");
    let gateway = GatewayNode::start("gw2", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let cause = gateway.verdict();
    assert!(cause.ends_with("its certificate names DNS:other.link.example, none of which is allowed"), "{cause}");
    assert_eq!(stranger.links.attached(), 0);
}

#[test]
fn an_edge_of_another_authority_is_refused() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files_of_a_stranger(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let cause = gateway.verdict();
    assert!(cause.starts_with("not attached to the edge: the TLS handshake failed"), "{cause}");
    assert_eq!(edge.handle.facts().snapshot_version, 0);
}

#[test]
fn an_edge_of_another_name_is_refused() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files("other.link.example"), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    let cause = gateway.verdict();
    assert!(cause.ends_with("its certificate names DNS:other.link.example, none of which is allowed"), "{cause}");
    assert_eq!(edge.handle.facts().snapshot_version, 0);
}

#[test]
fn a_new_certificate_counts_for_the_next_attachment_without_a_restart() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files("other.link.example"), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.verdict();
    edge.tls.send_replace(server_config(&authority.files(EDGE_NAME)));
    gateway.attached(1);
}

#[test]
fn a_gateway_whose_name_is_allowed_no_more_is_parted_with() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    edge.allowed.send_replace(names("other.link.example"));
    gateway.attached(0);
    eventually("no gateway", || !edge.has_gateway());
}

#[test]
fn the_newest_snapshot_counts_whoever_offers_it() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let newer = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 5);
    newer.attached(1);
    let older = GatewayNode::start("gw2", &authority.files(GATEWAY_NAME), &[edge.address], 3);
    older.attached(1);
    eventually("the older hears which is in force", || older.links.edges().iter().any(|edge| edge.applied == 5));
    assert_eq!(edge.handle.facts().snapshot_version, 5);
    older.links.publish(snapshot(7));
    eventually("the newest", || edge.handle.facts().snapshot_version == 7);
    eventually("the other hears of it", || newer.links.edges().iter().any(|edge| edge.applied == 7));
}
