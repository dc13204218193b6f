//! What two edges may do on an authenticated stream besides: acknowledge (XEP-0198), go both ways (XEP-0288), share it
//! among pairs (XEP-0220, section 2.6), and keep to each other's limits (XEP-0478).

use std::sync::atomic::Ordering;
use std::time::Duration;

use causeway_edge_proxy::limits::StreamLimits;
use causeway_edge_proxy::link::Batch;
use causeway_shared::limits::Limits;
use causeway_shared::link::{Method, Outcome};
use causeway_shared::partner::Negotiation::Required;
use causeway_shared::partner::Negotiation::{NotSupported, Optional};
use causeway_shared::partner::{NegotiationSettings, StreamOptions};
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use tokio::time::timeout;

use crate::support::{Certificate, PATIENCE, TestEdge, World, name, outcome, settings};

const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";

/// Contoso and fabrikam, who allow each other the same.
async fn two(
    negotiation: NegotiationSettings,
    certificate: Certificate,
    options: StreamOptions,
) -> (TestEdge, TestEdge) {
    let world = World::new();
    let mut contoso = world.edge("contoso.example", "fabrikam.example", negotiation, certificate).await;
    let mut fabrikam = world.edge("fabrikam.example", "contoso.example", negotiation, certificate).await;
    for edge in [&mut contoso, &mut fabrikam] {
        edge.apply(|snapshot| snapshot.partners[0].options = options).await;
    }
    (contoso, fabrikam)
}

fn by_external() -> NegotiationSettings {
    settings(Required, Required, true)
}

fn bidi() -> StreamOptions {
    StreamOptions { bidi: true, ..StreamOptions::default() }
}

fn finish(batch: &mut Batch) {
    batch.stanzas.iter_mut().for_each(|stanza| stanza.finish(&Outcome::Done));
}

#[tokio::test]
async fn a_stanza_is_acknowledged_when_the_partners_gateway_has_finished_with_it() {
    let (sender, mut receiver) = two(by_external(), Certificate::Good, StreamOptions::default()).await;
    receiver.finishes.store(false, Ordering::SeqCst);
    let mut first = sender.send(ALICE, BOB, "first");
    let mut batch = receiver.batch().await;
    let second = sender.send(ALICE, BOB, "second");
    let mut next = receiver.batch().await;
    // The second finishes before the first: the count has no gaps.
    finish(&mut next);
    assert!(first.try_recv().is_err(), "it was acknowledged before it was finished");
    finish(&mut batch);
    assert_eq!(outcome(first).await, Outcome::Done);
    assert_eq!(outcome(second).await, Outcome::Done);
}

#[tokio::test]
async fn without_acknowledgements_a_stanza_is_done_when_it_is_written() {
    let options = StreamOptions { stream_management: false, ..StreamOptions::default() };
    let (sender, mut receiver) = two(by_external(), Certificate::Good, options).await;
    receiver.finishes.store(false, Ordering::SeqCst);
    assert_eq!(outcome(sender.send(ALICE, BOB, "hello")).await, Outcome::Done);
    receiver.batch().await;
}

#[tokio::test]
async fn what_a_broken_stream_leaves_unacknowledged_is_said_to_be_uncertain_and_not_sent_again() {
    let (mut sender, mut receiver) = two(by_external(), Certificate::Good, StreamOptions::default()).await;
    receiver.finishes.store(false, Ordering::SeqCst);
    let told = sender.send(ALICE, BOB, "hello");
    let _never_finished = receiver.batch().await;
    let partners = std::mem::take(&mut receiver.snapshot.partners);
    receiver.apply(|_| {}).await;
    match outcome(told).await {
        Outcome::Failed(failure) => {
            assert_eq!(failure.condition, StanzaCondition::RemoteServerTimeout);
            assert!(failure.text.contains("it may have been delivered"), "{}", failure.text);
        }
        Outcome::Done => panic!("nobody acknowledged it"),
    }
    receiver.apply(|snapshot| snapshot.partners = partners).await;
    receiver.finishes.store(true, Ordering::SeqCst);
    let mut told = sender.send(ALICE, BOB, "again");
    let told = timeout(PATIENCE, async {
        // The pair is held down after the stream that broke; a change of policy may have been what it waits for.
        loop {
            sender.apply(|_| {}).await;
            if let Ok(told) = timeout(Duration::from_millis(50), &mut told).await {
                return told.unwrap();
            }
        }
    });
    assert_eq!(told.await.expect("the next stream"), Outcome::Done);
    let text =
        receiver.batch().await.stanzas.iter().map(|s| String::from_utf8_lossy(&s.xml).into_owned()).collect::<String>();
    assert!(text.contains("again") && !text.contains("hello"), "{text}");
}

#[tokio::test]
async fn one_connection_serves_both_directions_where_both_sides_want_it() {
    let (mut contoso, mut fabrikam) = two(by_external(), Certificate::Good, bidi()).await;
    assert_eq!(outcome(contoso.send(ALICE, BOB, "there")).await, Outcome::Done);
    let there = fabrikam.batch().await;
    assert_eq!(outcome(fabrikam.send(BOB, ALICE, "and back")).await, Outcome::Done);
    let back = contoso.batch().await;
    assert_eq!((there.context.method, back.context.method), (Method::SaslExternal, Method::SaslExternal));
    assert_eq!(there.context.stream_id, back.context.stream_id, "both ways are one stream");
    assert_eq!(
        (back.context.pair.remote.as_str(), back.context.pair.local.as_str()),
        ("fabrikam.example", "contoso.example")
    );
    assert_eq!((contoso.edge.admission.total(), fabrikam.edge.admission.total()), (1, 1));
}

#[tokio::test]
async fn one_side_alone_does_not_make_a_stream_bidirectional() {
    for (here, there) in [(true, false), (false, true)] {
        let (mut contoso, mut fabrikam) = two(by_external(), Certificate::Good, StreamOptions::default()).await;
        contoso.apply(|snapshot| snapshot.partners[0].options.bidi = here).await;
        fabrikam.apply(|snapshot| snapshot.partners[0].options.bidi = there).await;
        assert_eq!(outcome(contoso.send(ALICE, BOB, "there")).await, Outcome::Done);
        assert_eq!(outcome(fabrikam.send(BOB, ALICE, "and back")).await, Outcome::Done);
        assert_ne!(fabrikam.batch().await.context.stream_id, contoso.batch().await.context.stream_id);
    }
}

#[tokio::test]
async fn a_bidirectional_stream_after_dialback_carries_the_reverse_of_the_pair() {
    let (mut contoso, mut fabrikam) =
        two(settings(Required, NotSupported, true), Certificate::SelfSigned, bidi()).await;
    assert_eq!(outcome(contoso.send(ALICE, BOB, "there")).await, Outcome::Done);
    let there = fabrikam.batch().await;
    assert_eq!(outcome(fabrikam.send(BOB, ALICE, "and back")).await, Outcome::Done);
    let back = contoso.batch().await;
    assert_eq!((there.context.method, back.context.method), (Method::TlsDialback, Method::TlsDialback));
    assert_eq!(there.context.stream_id, back.context.stream_id);
}

#[tokio::test]
async fn traffic_both_ways_on_one_connection_keeps_its_order() {
    const MESSAGES: usize = 300;
    let (mut contoso, mut fabrikam) = two(by_external(), Certificate::Good, bidi()).await;
    assert_eq!(outcome(contoso.send(ALICE, BOB, "open;")).await, Outcome::Done);
    fabrikam.batch().await;
    let there: Vec<_> = (0..MESSAGES).map(|n| contoso.send(ALICE, BOB, &format!("number {n};"))).collect();
    let back: Vec<_> = (0..MESSAGES).map(|n| fabrikam.send(BOB, ALICE, &format!("number {n};"))).collect();
    for edge in [&mut contoso, &mut fabrikam] {
        let mut seen = Vec::new();
        while seen.len() < MESSAGES {
            seen.extend(edge.batch().await.stanzas);
        }
        for (n, stanza) in seen.iter().enumerate() {
            assert!(String::from_utf8_lossy(&stanza.xml).contains(&format!("number {n};")), "{n}");
        }
    }
    for told in there.into_iter().chain(back) {
        assert_eq!(outcome(told).await, Outcome::Done);
    }
}

#[tokio::test]
async fn stanzas_wait_for_the_next_stream_when_a_bidirectional_one_ends() {
    let (mut contoso, fabrikam) = two(by_external(), Certificate::Good, bidi()).await;
    assert_eq!(outcome(contoso.send(ALICE, BOB, "there")).await, Outcome::Done);
    assert_eq!(outcome(fabrikam.send(BOB, ALICE, "and back")).await, Outcome::Done);
    let first = contoso.batch().await;
    let partners = contoso.snapshot.partners.clone();
    contoso.apply(|snapshot| snapshot.partners.clear()).await;
    contoso.apply(|snapshot| snapshot.partners = partners).await;
    assert_eq!(outcome(fabrikam.send(BOB, ALICE, "once more")).await, Outcome::Done);
    let second = contoso.batch().await;
    assert_ne!(first.context.stream_id, second.context.stream_id);
}

#[tokio::test]
async fn two_of_our_domains_share_a_stream_to_a_partner_that_dials_back() {
    let (mut contoso, mut fabrikam) =
        two(settings(Required, Optional, true), Certificate::SelfSigned, StreamOptions::default()).await;
    contoso.apply(|snapshot| snapshot.local_domains.push(name("sales.contoso.example"))).await;
    fabrikam.apply(|snapshot| snapshot.partners[0].additional_domains.push(name("sales.contoso.example"))).await;
    contoso.publish("sales.contoso.example", contoso.address);
    assert_eq!(outcome(contoso.send(ALICE, BOB, "first")).await, Outcome::Done);
    let first = fabrikam.batch().await;
    assert_eq!(outcome(contoso.send("carol@sales.contoso.example", BOB, "second")).await, Outcome::Done);
    let second = fabrikam.batch().await;
    assert_eq!(first.context.stream_id, second.context.stream_id);
    assert_eq!(second.context.pair.remote.as_str(), "sales.contoso.example");
    assert_eq!(second.context.method, Method::TlsDialback);
}

#[tokio::test]
async fn a_partners_other_domain_shares_the_stream_where_both_are_served_at_one_address() {
    let (mut contoso, mut fabrikam) =
        two(settings(Required, NotSupported, true), Certificate::SelfSigned, StreamOptions::default()).await;
    contoso.apply(|snapshot| snapshot.partners[0].additional_domains.push(name("eu.fabrikam.example"))).await;
    fabrikam.apply(|snapshot| snapshot.local_domains.push(name("eu.fabrikam.example"))).await;
    fabrikam.publish("eu.fabrikam.example", fabrikam.address);
    assert_eq!(outcome(contoso.send(ALICE, BOB, "first")).await, Outcome::Done);
    let first = fabrikam.batch().await;
    assert_eq!(outcome(contoso.send(ALICE, "dave@eu.fabrikam.example", "second")).await, Outcome::Done);
    let second = fabrikam.batch().await;
    assert_eq!(first.context.stream_id, second.context.stream_id);
    assert_eq!(second.context.pair.local.as_str(), "eu.fabrikam.example");
}

#[tokio::test]
async fn a_pair_that_the_partner_does_not_take_on_the_stream_gets_one_of_its_own_and_the_first_goes_on() {
    let (mut contoso, mut fabrikam) =
        two(settings(Required, Optional, true), Certificate::SelfSigned, StreamOptions::default()).await;
    // Fabrikam does not federate with the second domain.
    contoso.apply(|snapshot| snapshot.local_domains.push(name("sales.contoso.example"))).await;
    assert_eq!(outcome(contoso.send(ALICE, BOB, "first")).await, Outcome::Done);
    let first = fabrikam.batch().await;
    assert!(matches!(outcome(contoso.send("carol@sales.contoso.example", BOB, "second")).await, Outcome::Failed(_)));
    assert_eq!(outcome(contoso.send(ALICE, BOB, "third")).await, Outcome::Done);
    assert_eq!(first.context.stream_id, fabrikam.batch().await.context.stream_id);
}

#[tokio::test]
async fn a_stanza_larger_than_the_partner_takes_is_not_sent() {
    let (contoso, mut fabrikam) = two(by_external(), Certificate::Good, StreamOptions::default()).await;
    let xml = Limits { byte_stanza: 20_000, ..Limits::default() };
    fabrikam.edge.set_limits(StreamLimits { xml, ..StreamLimits::default() }, fabrikam.edge.caps());
    match outcome(contoso.send(ALICE, BOB, &"x".repeat(20_000))).await {
        Outcome::Failed(failure) => assert_eq!(failure.condition, StanzaCondition::PolicyViolation),
        Outcome::Done => panic!("it is too large"),
    }
    assert_eq!(outcome(contoso.send(ALICE, BOB, "small")).await, Outcome::Done);
    assert_eq!(fabrikam.batch().await.stanzas.len(), 1);
}
