//! Verdicts reach every gateway: as they are given, and once those of before; and probes go the other way.

use causeway_gateway::link::ProbeFault;
use causeway_shared::verdict::{Direction, Facts, Rung, Side, Verdict};

use crate::support::*;

fn verdict(cause: &str, at_ms: u64) -> Verdict {
    Verdict {
        code: None,
        rung: Rung::Chain,
        side: Side::Theirs,
        cause: cause.to_owned(),
        remedy: "Renew it.".to_owned(),
        partner: "fabrikam.example".to_owned(),
        direction: Direction::Out,
        peer: Some("192.0.2.1:5269".parse().unwrap()),
        at_ms,
        facts: Some(Box::new(Facts {
            domain: "im.fabrikam.example".to_owned(),
            is_partner: true,
            transcript: vec!["+1 ms connected".to_owned()],
            ..Facts::default()
        })),
    }
}

fn counts(gateway: &GatewayNode) -> Vec<(String, u32)> {
    let kept = gateway.links.verdicts().latest("fabrikam.example");
    kept.into_iter().map(|kept| (kept.verdict.cause, kept.count)).collect()
}

fn expect(gateway: &GatewayNode, expected: &[(&str, u32)]) {
    let expected: Vec<_> = expected.iter().map(|(cause, count)| ((*cause).to_owned(), *count)).collect();
    eventually(&format!("{expected:?}"), || counts(gateway) == expected);
}

#[test]
fn a_verdict_reaches_the_gateway_with_all_that_is_known() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    eventually("a gateway", || edge.has_gateway());
    edge.handle.report(verdict("expired", 1));
    assert_eq!(gateway.verdict(), "expired");
    let kept = gateway.links.verdicts().latest("fabrikam.example");
    assert_eq!((kept[0].edge.as_str(), &kept[0].verdict), ("edge1", &verdict("expired", 1)));
}

#[test]
fn a_gateway_that_attaches_later_gets_the_kept_ones_and_counts_none_twice() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    for at_ms in 1..=3 {
        edge.handle.report(verdict("expired", at_ms));
    }
    edge.handle.report(verdict("revoked", 4));
    let road = Road::to(edge.address);
    let first = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[road.address], 1);
    expect(&first, &[("revoked", 1), ("expired", 3)]);

    // The same again after a new attachment is nothing new.
    first.attached(1);
    road.cut();
    first.attached(0);
    first.attached(1);
    edge.handle.report(verdict("the last", 5));
    expect(&first, &[("the last", 1), ("revoked", 1), ("expired", 3)]);

    let second = GatewayNode::start("gw2", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    expect(&second, &[("the last", 1), ("revoked", 1), ("expired", 3)]);
}

#[test]
fn what_repeats_itself_is_told_by_and_by() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    eventually("a gateway", || edge.has_gateway());
    // By the clock of the verdicts all of it was long ago, so that the edge need not wait to tell again.
    for _ in 0..1000 {
        edge.handle.report(verdict("expired", 1));
    }
    expect(&gateway, &[("expired", 1000)]);
}

#[test]
fn a_probe_is_answered_by_the_edge_that_was_asked() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    let probe = |edge| {
        let links = gateway.links.clone();
        gateway.block_on(async move { links.probe(edge, "fabrikam.example", "").await })
    };
    let report = probe(Some("edge1")).unwrap();
    assert_eq!((report.edge.as_str(), report.is_complete), ("edge1", true));
    assert_eq!(report.refused, "there are no streams here");
    assert_eq!(gateway.links.last_probe("fabrikam.example"), Some(report));
    assert_eq!(probe(Some("edge2")).unwrap_err(), ProbeFault::NoEdge);
    edge.stop();
    eventually("no edge", || gateway.links.attached() == 0);
    assert_eq!(probe(None).unwrap_err(), ProbeFault::NoEdge);
}
