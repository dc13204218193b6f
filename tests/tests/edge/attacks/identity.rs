//! Attacks on who somebody is: nobody speaks for a domain that was not proved on this very stream.

use std::collections::HashSet;

use causeway_edge_proxy::admission::Caps;
use causeway_edge_proxy::limits::{Rate, StreamLimits};
use causeway_shared::partner::Negotiation::Optional;
use causeway_shared::verdict::Rung;
use rustls::DEFAULT_VERSIONS;

use super::*;

/// Another partner, beside fabrikam.
const WINGTIP: &str = "wingtip.example";

async fn with_wingtip(edge: &mut TestEdge) {
    edge.apply(|policy| {
        let mut wingtip = policy.partners[0].clone();
        wingtip.domain = WINGTIP.parse().unwrap();
        policy.partners.push(wingtip);
    })
    .await;
}

#[tokio::test]
async fn an_answer_on_another_stream_than_the_question_authenticates_nobody() {
    let (_world, edge) = edge().await;
    // The authoritative server says nothing; the attacker speaks for it on a second connection.
    let _dialled = impostor(&edge, |stream| async move {
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        drop(stream);
    })
    .await;
    let mut claimant = Stream::connect(None, edge.address).await.unwrap();
    let id = claimant.open(REMOTE, LOCAL).await.unwrap().id();
    claimant.send(&format!("<db:result from='{REMOTE}' to='{LOCAL}'>key</db:result>")).await.unwrap();
    let mut accomplice = Stream::connect(None, edge.address).await.unwrap();
    accomplice.open(REMOTE, LOCAL).await.unwrap();
    accomplice.send(&format!("<db:verify from='{REMOTE}' to='{LOCAL}' id='{id}' type='valid'/>")).await.unwrap();
    // It was read before the claimant's next words are.
    causeway_tests::peer::until("the answer is read", async || {
        (edge.edge.metrics.unsolicited_dialback.get() == 1).then_some(())
    })
    .await
    .unwrap();
    claimant.send(&format!("<message from='{BOB}' to='{ALICE}'/>")).await.unwrap();
    assert!(claimant.rest().await.contains("<not-authorized "));
}

#[tokio::test]
async fn an_answer_with_another_id_or_pair_authenticates_nobody() {
    let world = World::new();
    let mut edge = world.edge(LOCAL, REMOTE, settings(NotSupported, NotSupported, true), Certificate::Good).await;
    // The authoritative server answers, but not what it was asked.
    let _dialled = impostor(&edge, |mut stream| async move {
        let dialback = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
        let _either = stream.greet(REMOTE, dialback).await;
        let Ok(question) = stream.next().await else { return };
        let id = causeway_tests::peer::xml::attribute(question.text(), "id").unwrap_or_default();
        for (from, to, id) in [(REMOTE, LOCAL, "other"), (REMOTE, "sales.contoso.example", &id), (WINGTIP, LOCAL, &id)]
        {
            let _either = stream.send(&format!("<db:verify from='{from}' to='{to}' id='{id}' type='valid'/>")).await;
        }
        let _either = stream.send(&format!("<db:result from='{REMOTE}' to='{LOCAL}' type='valid'/>")).await;
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    })
    .await;
    let mut claimant = Stream::connect(None, edge.address).await.unwrap();
    claimant.open(REMOTE, LOCAL).await.unwrap();
    claimant.send(&format!("<db:result from='{REMOTE}' to='{LOCAL}'>key</db:result>")).await.unwrap();
    causeway_tests::peer::until("the answers are read", async || {
        (edge.edge.metrics.unsolicited_dialback.get() == 4).then_some(())
    })
    .await
    .unwrap();
    claimant.send(&format!("<message from='{BOB}' to='{ALICE}'/>")).await.unwrap();
    let heard = claimant.rest().await;
    assert!(heard.contains("<not-authorized ") && !heard.contains("type='valid'"), "{heard}");
    assert!(edge.end.batches.try_recv().is_err());
}

#[tokio::test]
async fn certificates_that_do_not_prove_the_domain_open_nothing() {
    for (certificate, rung) in [
        (Certificate::SelfSigned, Rung::Chain),
        (Certificate::Expired, Rung::Chain),
        (Certificate::OtherName, Rung::Name),
        (Certificate::HostOfSrv, Rung::Name),
        (Certificate::CommonName, Rung::Name),
    ] {
        let (world, mut edge) = strict().await;
        let tls = world.client(REMOTE, certificate);
        let (mut stream, opened) = Stream::secured(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
        assert!(opened.features.contains("<policy-violation "), "{certificate:?}: {}", opened.features);
        assert!(!opened.features.contains("EXTERNAL"), "{certificate:?}");
        stream.rest().await;
        assert_eq!(edge.verdict().await.rung, rung, "{certificate:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_prove_the_domain_gets_nothing() {
    for (certificate, rung) in [
        (Certificate::SelfSigned, Rung::Chain),
        (Certificate::OtherName, Rung::Name),
        // What DNS made of the domain is nobody's name (CVE-2022-26491).
        (Certificate::HostOfSrv, Rung::Name),
        (Certificate::CommonName, Rung::Name),
    ] {
        let (world, edge) = strict().await;
        let other = world.edge(REMOTE, LOCAL, settings(Required, Required, true), certificate).await;
        let Outcome::Failed(failure) = outcome(edge.send(ALICE, BOB, "secret")).await else {
            panic!("{certificate:?}: delivered");
        };
        assert_eq!(failure.verdict.unwrap().rung, rung, "{certificate:?}");
        drop(other);
    }
}

#[tokio::test]
async fn a_chain_without_end_is_a_certificate_that_proves_nothing() {
    let (world, edge) = strict().await;
    let (leaf, key) = world.issue(REMOTE, Certificate::Good);
    let chain = std::iter::repeat_n(leaf, 20).collect();
    let tls = Arc::new(world.client_with(DEFAULT_VERSIONS, chain, key));
    let refused = match Stream::secured(None, edge.address, REMOTE, LOCAL, &tls).await {
        Ok((_, opened)) => opened.features.contains("<policy-violation "),
        // The handshake itself may refuse it.
        Err(_) => true,
    };
    assert!(refused);
}

#[tokio::test]
async fn a_name_does_not_change_at_a_restart() {
    let (world, mut edge) = strict().await;
    with_wingtip(&mut edge).await;
    let tls = world.client(REMOTE, Certificate::Good);
    // After TLS, and after authentication (CVE-2018-10847).
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    stream.open(REMOTE, LOCAL).await.unwrap();
    stream.start_tls(Arc::clone(&tls), LOCAL).await.unwrap();
    assert!(stream.open(WINGTIP, LOCAL).await.unwrap().features.contains("<improper-addressing "));

    let (mut stream, _) = Stream::secured(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
    assert!(stream.external().await.unwrap());
    assert!(stream.open(WINGTIP, LOCAL).await.unwrap().features.contains("<improper-addressing "));
}

#[tokio::test]
async fn nobody_is_us() {
    let (world, edge) = strict().await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    assert!(stream.open(LOCAL, LOCAL).await.unwrap().features.contains("<invalid-from "));

    let (_world, plain) = super::edge().await;
    let mut stream = Stream::connect(None, plain.address).await.unwrap();
    stream.open(REMOTE, LOCAL).await.unwrap();
    stream.send(&format!("<db:result from='{LOCAL}' to='{LOCAL}'>key</db:result>")).await.unwrap();
    assert!(stream.rest().await.contains("<invalid-from "));

    let tls = world.client(REMOTE, Certificate::Good);
    let mut stream = Stream::establish(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
    stream.send(&format!("<message from='{ALICE}' to='{ALICE}'/>")).await.unwrap();
    assert!(stream.rest().await.contains("<invalid-from "));
}

#[tokio::test]
async fn stream_ids_are_long_random_and_never_the_same() {
    let (world, edge) = strict().await;
    let caps = Caps { connections: Rate::per_minute(1000, 1000), ..Caps::default() };
    edge.edge.set_limits(StreamLimits::default(), caps);
    let tls = world.client(REMOTE, Certificate::Good);
    let mut seen = HashSet::new();
    for _ in 0..10 {
        let mut stream = Stream::connect(None, edge.address).await.unwrap();
        let first = stream.open(REMOTE, LOCAL).await.unwrap().id();
        stream.start_tls(Arc::clone(&tls), LOCAL).await.unwrap();
        let second = stream.open(REMOTE, LOCAL).await.unwrap().id();
        for id in [first, second] {
            // 128 bits in hexadecimal.
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            assert!(seen.insert(id));
        }
    }
}

#[tokio::test]
async fn a_good_stream_carries_its_own_pair_alone() {
    let (_world, mut edge, mut stream) = authenticated().await;
    with_wingtip(&mut edge).await;
    // A partner, but not the one that this stream proved.
    stream.send(&format!("<message from='mallory@{WINGTIP}' to='{ALICE}'/>")).await.unwrap();
    assert!(stream.rest().await.contains("<invalid-from "));
    assert!(edge.end.batches.try_recv().is_err());
    // And never from one remote domain to another.
    check_authenticated(format!("<message from='{BOB}' to='x@{WINGTIP}'/>"), StreamCondition::HostUnknown).await;
}

#[tokio::test]
async fn a_certificate_speaks_for_the_pairs_it_names_also_when_dialback_asks() {
    let world = World::new();
    let mut edge = world.edge(LOCAL, REMOTE, settings(Required, Optional, true), Certificate::Good).await;
    with_wingtip(&mut edge).await;
    let tls = world.client(REMOTE, Certificate::Good);
    let mut stream = Stream::establish(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
    // Wingtip's server is asked, for the certificate does not name it (CVE-2021-32919); there is none.
    let answer = stream.offer_key(WINGTIP, LOCAL, "key").await.unwrap();
    assert!(answer.contains("type='error'"), "{answer}");
    assert!(edge.dns.asked().iter().any(|name| name.contains(WINGTIP)));
    stream.send(&format!("<message from='mallory@{WINGTIP}' to='{ALICE}'/>")).await.unwrap();
    assert!(stream.rest().await.contains("<invalid-from "));
}
