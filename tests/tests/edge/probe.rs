//! Probes: a partner that is well, and one that is ill at each rung, without a stream being touched.

use std::sync::Arc;
use std::time::Duration;

use causeway_edge_proxy::link::{Outbound as _, Reporter};
use causeway_edge_proxy::stream::pool::Deliverer;
use causeway_shared::partner::Negotiation::{NotSupported, Optional, Required};
use causeway_shared::probe::{Part, Request, Step, StepState};
use causeway_shared::verdict::{Rung, Side};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::script::{EXTERNAL, Script, response, up_to_tls};
use crate::support::{Certificate, PATIENCE, TestEdge, World, outcome, settings};

const LOCAL: &str = "contoso.example";
const REMOTE: &str = "fabrikam.example";

/// Probes, and waits for the end.
async fn probe(edge: &TestEdge, partner: &str) -> (Vec<Step>, String) {
    let mut parts = begin(edge, partner);
    let (mut steps, mut refused) = (Vec::new(), None);
    while refused.is_none() {
        let part = timeout(PATIENCE, parts.recv()).await.expect("a part in time").unwrap();
        assert_eq!(part.id, 7);
        steps.extend(part.steps);
        refused = part.is_last.then_some(part.refused);
    }
    assert!(parts.recv().await.is_none(), "nothing comes after the last part");
    (steps, refused.unwrap())
}

fn begin(edge: &TestEdge, partner: &str) -> mpsc::Receiver<Part> {
    let (tell, parts) = mpsc::channel(256);
    let request = Request { id: 7, partner: partner.to_owned(), local: String::new() };
    Deliverer(Arc::clone(&edge.pool)).probe(request, Reporter::to(7, move |part| tell.try_send(part).unwrap()));
    parts
}

fn states(steps: &[Step]) -> Vec<(Rung, StepState)> {
    steps.iter().map(|step| (step.rung, step.state)).collect()
}

fn failed(steps: &[Step]) -> Vec<(Rung, Side)> {
    let failed = steps.iter().filter(|step| step.state == StepState::Failed);
    failed.map(|step| (step.rung, step.side.unwrap())).collect()
}

#[tokio::test]
async fn a_partner_that_is_well_is_well_on_every_rung_and_its_stream_goes_on() {
    let world = World::new();
    let both = settings(Required, Optional, true);
    let edge = world.edge(LOCAL, REMOTE, both, Certificate::Good).await;
    let mut fabrikam = world.edge(REMOTE, LOCAL, both, Certificate::Good).await;
    let told = edge.send("alice@contoso.example", "bob@fabrikam.example", "hello");
    fabrikam.batch().await;
    outcome(told).await;
    let connections = edge.edge.admission.total();

    let (steps, refused) = probe(&edge, REMOTE).await;
    assert_eq!(refused, "");
    let expected = [
        Rung::Resolve,
        Rung::Connect,
        Rung::Tls,
        Rung::Chain,
        Rung::KeyUsage,
        Rung::Name,
        Rung::Mechanisms,
        Rung::Sasl,
        Rung::Dialback,
    ];
    assert_eq!(states(&steps), expected.map(|rung| (rung, StepState::Ok)), "{steps:#?}");
    assert!(steps[0].what.contains("xmpp.fabrikam.example"), "{:?}", steps[0]);
    assert!(steps[1..].iter().all(|step| step.address == Some(fabrikam.address)), "{steps:#?}");
    assert!(steps[2].tls.is_some() && steps[3].certificate.is_some(), "{steps:#?}");
    assert!(steps[6].what.contains("mechanisms EXTERNAL") && steps[6].what.contains("dialback"), "{:?}", steps[6]);
    assert!(steps[7].transcript.iter().any(|line| line.contains("<success/>")), "{:?}", steps[7]);

    // The stream that was there still carries, and nobody was told of a failure.
    let told = edge.send("alice@contoso.example", "bob@fabrikam.example", "hello again");
    assert!(String::from_utf8_lossy(&fabrikam.batch().await.stanzas[0].xml).contains("hello again"));
    outcome(told).await;
    let until = std::time::Instant::now() + PATIENCE;
    while edge.edge.admission.total() > connections {
        assert!(std::time::Instant::now() < until, "the probe's connections are closed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(edge.edge.link.verdicts().latest(None), []);
}

#[tokio::test]
async fn dialback_shows_its_return_leg() {
    let world = World::new();
    let plaintext = settings(NotSupported, NotSupported, true);
    let edge = world.edge(LOCAL, REMOTE, plaintext, Certificate::SelfSigned).await;
    let _fabrikam = world.edge(REMOTE, LOCAL, plaintext, Certificate::SelfSigned).await;
    let (steps, _) = probe(&edge, REMOTE).await;
    let dialback = steps.iter().find(|step| step.rung == Rung::Dialback).unwrap();
    assert_eq!(dialback.state, StepState::Ok, "{steps:#?}");
    assert!(dialback.what.contains("asked this edge about it, from 127.0.0.1"), "{dialback:?}");
    assert!(dialback.what.contains("told that it is ours"), "{dialback:?}");
}

#[tokio::test]
async fn each_rung_that_is_ill_says_so_and_hides_those_after_it() {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, false), Certificate::Good).await;
    let (steps, _) = probe(&edge, REMOTE).await;
    assert_eq!(failed(&steps), [(Rung::Resolve, Side::Theirs)], "{steps:#?}");

    let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, false), Certificate::Good).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    edge.publish(REMOTE, closed);
    let (steps, _) = probe(&edge, REMOTE).await;
    assert_eq!(failed(&steps), [(Rung::Connect, Side::Network)], "{steps:#?}");

    for (flaw, rung) in [
        (Certificate::SelfSigned, Rung::Chain),
        (Certificate::ClientOnly, Rung::KeyUsage),
        (Certificate::OtherName, Rung::Name),
    ] {
        let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, false), Certificate::Good).await;
        let mut part = up_to_tls(&world.server(REMOTE, flaw));
        part.push(response(EXTERNAL));
        edge.publish(REMOTE, Script::play(part).await.address);
        let (steps, _) = probe(&edge, REMOTE).await;
        assert_eq!(failed(&steps), [(rung, Side::Theirs)], "{flaw:?}: {steps:#?}");
        let dialback = steps.iter().find(|step| step.rung == Rung::Dialback).unwrap();
        assert_eq!(dialback.state, StepState::Skipped);
    }
}

#[tokio::test]
async fn an_address_that_must_not_be_dialled_is_named_and_skipped() {
    let world = World::new();
    let mut edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    let _fabrikam = world.edge(REMOTE, LOCAL, settings(Required, Required, true), Certificate::Good).await;
    edge.apply(|policy| policy.partners[0].allow_private_addresses = false).await;
    let (steps, _) = probe(&edge, REMOTE).await;
    assert_eq!(states(&steps), [(Rung::Resolve, StepState::Ok), (Rung::Resolve, StepState::Skipped)], "{steps:#?}");
    assert!(steps[1].what.contains("not dialled"), "{:?}", steps[1]);
}

#[tokio::test]
async fn there_is_one_probe_of_a_partner_at_a_time_and_none_of_a_stranger() {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    let part = up_to_tls(&world.server(REMOTE, Certificate::Good));
    edge.publish(REMOTE, Script::play(part).await.address);
    let _first = begin(&edge, REMOTE);
    assert!(probe(&edge, REMOTE).await.1.contains("already"));
    assert!(probe(&edge, "stranger.example").await.1.contains("not one of a partner"));
    assert!(probe(&edge, "no domain").await.1.contains("no domain"));
}
