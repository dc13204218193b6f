//! Two edges federate: EXTERNAL, dialback, and what senders learn when they cannot.

use causeway_shared::link::{Method, Outcome};
use causeway_shared::partner::Negotiation::{NotSupported, Optional, Required};
use causeway_shared::partner::NegotiationSettings;
use causeway_shared::verdict::Rung;
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use crate::support::{Certificate, TestEdge, World, outcome, settings};

const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";

/// Contoso and fabrikam, with the same settings for each other.
async fn two(negotiation: NegotiationSettings, contoso: Certificate, fabrikam: Certificate) -> (TestEdge, TestEdge) {
    let world = World::new();
    (
        world.edge("contoso.example", "fabrikam.example", negotiation, contoso).await,
        world.edge("fabrikam.example", "contoso.example", negotiation, fabrikam).await,
    )
}

/// A message passes, and its receiver knows by which method.
async fn check(negotiation: NegotiationSettings, contoso: Certificate, fabrikam: Certificate, method: Method) {
    let (sender, mut receiver) = two(negotiation, contoso, fabrikam).await;
    let told = sender.send(ALICE, BOB, "hello \u{1f44b}");
    let batch = receiver.batch().await;
    assert_eq!(batch.context.method, method);
    assert_eq!(batch.context.pair.remote.as_str(), "contoso.example");
    assert_eq!(batch.context.pair.local.as_str(), "fabrikam.example");
    let expected = "<message xmlns='jabber:server' from='alice@contoso.example' to='bob@fabrikam.example' \
                    xml:lang='en'><body>hello \u{1f44b}</body></message>";
    assert_eq!(std::str::from_utf8(&batch.stanzas[0].xml).unwrap(), expected);
    assert_eq!(outcome(told).await, Outcome::Done);
}

#[tokio::test]
async fn a_message_passes_by_external() {
    check(settings(Required, Required, true), Certificate::Good, Certificate::Good, Method::SaslExternal).await;
}

#[tokio::test]
async fn a_message_passes_by_dialback_over_tls_where_the_certificates_prove_nothing() {
    let (own, method) = (Certificate::SelfSigned, Method::TlsDialback);
    check(settings(Required, Optional, true), own, own, method).await;
}

#[tokio::test]
async fn a_certificate_answers_the_dialback_offer_of_a_proven_domain() {
    let method = Method::TlsDialbackCertificate;
    check(settings(Required, NotSupported, true), Certificate::Good, Certificate::Good, method).await;
}

#[tokio::test]
async fn a_message_passes_by_dialback_in_plaintext() {
    let own = Certificate::SelfSigned;
    check(settings(NotSupported, NotSupported, true), own, own, Method::TcpDialback).await;
}

#[tokio::test]
async fn many_messages_keep_their_order() {
    let (sender, mut receiver) = two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    let told: Vec<_> = (0..500).map(|n| sender.send(ALICE, BOB, &format!("number {n};"))).collect();
    let mut seen = Vec::new();
    while seen.len() < 500 {
        seen.extend(receiver.batch().await.stanzas);
    }
    for (n, stanza) in seen.iter().enumerate() {
        assert!(String::from_utf8_lossy(&stanza.xml).contains(&format!("number {n};")), "{n}");
    }
    for told in told {
        assert_eq!(outcome(told).await, Outcome::Done);
    }
}

#[tokio::test]
async fn any_edge_confirms_the_key_that_another_one_made() {
    let world = World::new();
    let (negotiation, own) = (settings(Required, NotSupported, true), Certificate::SelfSigned);
    let sender = world.edge("contoso.example", "fabrikam.example", negotiation, own).await;
    // The second edge of the domain is where DNS leads from now on; only the secret connects the two.
    let confirmer = world.edge("contoso.example", "fabrikam.example", negotiation, own).await;
    let mut receiver = world.edge("fabrikam.example", "contoso.example", negotiation, own).await;
    assert_eq!(outcome(sender.send(ALICE, BOB, "hello")).await, Outcome::Done);
    assert_eq!(receiver.batch().await.context.method, Method::TlsDialback);
    assert_ne!(sender.address, confirmer.address);
}

#[tokio::test]
async fn a_key_of_the_secret_before_is_confirmed_while_edges_rotate() {
    let world = World::new();
    let (negotiation, own) = (settings(Required, NotSupported, true), Certificate::SelfSigned);
    let sender = world.edge("contoso.example", "fabrikam.example", negotiation, own).await;
    let mut confirmer = world.edge("contoso.example", "fabrikam.example", negotiation, own).await;
    confirmer.apply(|snapshot| snapshot.dialback_secrets.insert(0, "the secret that is new".into())).await;
    let mut receiver = world.edge("fabrikam.example", "contoso.example", negotiation, own).await;
    assert_eq!(outcome(sender.send(ALICE, BOB, "hello")).await, Outcome::Done);
    receiver.batch().await;
    confirmer.apply(|snapshot| snapshot.dialback_secrets.truncate(1)).await;
    let late = world.edge("contoso.example", "fabrikam.example", negotiation, own).await;
    late.publish("contoso.example", confirmer.address);
    assert!(matches!(outcome(late.send(ALICE, BOB, "with a key that is too old")).await, Outcome::Failed(_)));
}

/// A message does not pass; its sender learns the condition, and both operators the rung.
async fn refuse(
    (sender, mut receiver): (TestEdge, TestEdge),
    condition: StanzaCondition,
    (sent, received): (Rung, Option<Rung>),
) {
    match outcome(sender.send(ALICE, BOB, "hello")).await {
        Outcome::Failed(failure) => {
            assert_eq!((failure.condition, failure.verdict.map(|verdict| verdict.rung)), (condition, Some(sent)));
        }
        Outcome::Done => panic!("the message passed"),
    }
    if let Some(rung) = received {
        assert_eq!(receiver.verdict().await.rung, rung);
    }
    assert!(receiver.end.batches.try_recv().is_err());
}

#[tokio::test]
async fn a_server_whose_certificate_does_not_prove_its_domain_gets_nothing() {
    for (flaw, rung) in [
        (Certificate::SelfSigned, Rung::Chain),
        (Certificate::Expired, Rung::Chain),
        (Certificate::OtherName, Rung::Name),
    ] {
        let edges = two(settings(Required, Required, true), Certificate::Good, flaw).await;
        refuse(edges, StanzaCondition::NotAllowed, (rung, None)).await;
    }
}

#[tokio::test]
async fn a_client_whose_certificate_does_not_prove_its_domain_is_refused_with_the_reason() {
    for (flaw, rung) in [
        (Certificate::SelfSigned, Rung::Chain),
        (Certificate::Expired, Rung::Chain),
        (Certificate::OtherName, Rung::Name),
    ] {
        let edges = two(settings(Required, Required, true), flaw, Certificate::Good).await;
        refuse(edges, StanzaCondition::NotAllowed, (Rung::Stream, Some(rung))).await;
    }
}

#[tokio::test]
async fn a_wrong_dialback_key_is_refused() {
    let negotiation = settings(Required, NotSupported, true);
    let (mut sender, _receiver) = two(negotiation, Certificate::SelfSigned, Certificate::SelfSigned).await;
    // DNS leads to another edge of the sender's domain, which has a secret of its own.
    let world = World::new();
    let mut other = world.edge("contoso.example", "fabrikam.example", negotiation, Certificate::SelfSigned).await;
    other.apply(|snapshot| snapshot.dialback_secrets = vec![bytes::Bytes::from_static(b"another secret")]).await;
    sender.publish("contoso.example", other.address);
    match outcome(sender.send(ALICE, BOB, "hello")).await {
        Outcome::Failed(failure) => assert_eq!(failure.condition, StanzaCondition::InternalServerError),
        Outcome::Done => panic!("the message passed"),
    }
    assert_eq!(sender.verdict().await.rung, Rung::Dialback);
}

#[tokio::test]
async fn a_domain_without_dns_is_not_found() {
    let world = World::new();
    let sender =
        world.edge("contoso.example", "fabrikam.example", settings(Required, Required, true), Certificate::Good).await;
    match outcome(sender.send(ALICE, BOB, "hello")).await {
        Outcome::Failed(failure) => {
            assert_eq!(failure.condition, StanzaCondition::RemoteServerNotFound);
            assert_eq!(failure.verdict.map(|verdict| verdict.rung), Some(Rung::Resolve));
        }
        Outcome::Done => panic!("the message passed"),
    }
}

#[tokio::test]
async fn a_domain_that_is_no_partner_is_refused_on_both_sides() {
    let (sender, mut receiver) = two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    receiver.apply(|snapshot| snapshot.partners.clear()).await;
    refuse((sender, receiver), StanzaCondition::NotAllowed, (Rung::Stream, Some(Rung::Policy))).await;
    let (sender, receiver) = two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    let mut sender = sender;
    sender.apply(|snapshot| snapshot.partners.clear()).await;
    refuse((sender, receiver), StanzaCondition::NotAllowed, (Rung::Policy, None)).await;
}

#[tokio::test]
async fn a_partner_that_is_removed_loses_its_live_stream() {
    let (sender, mut receiver) = two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    assert_eq!(outcome(sender.send(ALICE, BOB, "hello")).await, Outcome::Done);
    receiver.batch().await;
    receiver.apply(|snapshot| snapshot.partners.clear()).await;
    let mut sender = sender;
    let verdict = sender.verdict().await;
    assert_eq!(verdict.rung, Rung::Stream);
    assert!(verdict.cause.contains("policy-violation"), "{}", verdict.cause);
}

#[tokio::test]
async fn what_no_gateway_takes_bounces_to_its_sender() {
    use causeway_edge_proxy::link::{Bouncer as _, InboundStanza};
    use causeway_edge_proxy::stream::pool::Deliverer;

    let (mut sender, mut receiver) =
        two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    sender.send(ALICE, BOB, "hello");
    let stanza: InboundStanza = receiver.batch().await.stanzas.remove(0);
    let deliverer = Deliverer(std::sync::Arc::clone(&receiver.pool));
    deliverer.bounce(stanza, StanzaCondition::RemoteServerTimeout, "no gateway took it");
    let back = sender.batch().await.stanzas.remove(0);
    let xml = String::from_utf8_lossy(&back.xml).into_owned();
    assert!(xml.contains("type='error'") && xml.contains("<remote-server-timeout"), "{xml}");
    assert_eq!(back.to.as_str(), ALICE);
}

#[tokio::test]
async fn a_stream_that_was_closed_for_idleness_is_opened_again_for_the_next_stanza() {
    let (sender, mut receiver) = two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    receiver.apply(|snapshot| snapshot.settings.stream_inactivity_timeout_s = 1).await;
    assert_eq!(outcome(sender.send(ALICE, BOB, "first")).await, Outcome::Done);
    let first = receiver.batch().await.context;
    // The receiver closes its idle stream; the sender's pool has nothing left to do.
    tokio::time::timeout(crate::support::PATIENCE, async {
        while !receiver.is_without_connections() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the idle stream is closed");
    assert_eq!(outcome(sender.send(ALICE, BOB, "second")).await, Outcome::Done);
    let second = receiver.batch().await.context;
    assert_ne!(first.stream_id, second.stream_id);
}

#[tokio::test]
async fn an_edge_that_goes_away_finishes_what_it_took() {
    let (sender, mut receiver) = two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    let told: Vec<_> = (0..100).map(|n| sender.send(ALICE, BOB, &format!("number {n};"))).collect();
    sender.edge.drain();
    for told in told {
        assert_eq!(outcome(told).await, Outcome::Done);
    }
    let mut seen = 0;
    while seen < 100 {
        seen += receiver.batch().await.stanzas.len();
    }
}

#[tokio::test]
async fn an_edge_that_goes_away_tells_its_partners() {
    let (mut sender, mut receiver) =
        two(settings(Required, Required, true), Certificate::Good, Certificate::Good).await;
    assert_eq!(outcome(sender.send(ALICE, BOB, "hello")).await, Outcome::Done);
    receiver.batch().await;
    receiver.edge.drain();
    let verdict = sender.verdict().await;
    assert!(verdict.cause.contains("system-shutdown"), "{}", verdict.cause);
}
