//! Streams from their beginning to their end over real sockets (RFC 6120, sections 4.3, 4.4 and 4.6).

use std::time::{Duration, Instant};

use causeway_edge_proxy::admission::Caps;
use causeway_edge_proxy::limits::StreamLimits;
use causeway_shared::partner::Negotiation::Required;
use causeway_tests::peer::until;
use causeway_tests::peer::xml::Piece;
use causeway_tests::peer::xmpp::Stream;

use crate::support::{Certificate, TestEdge, World, settings};

const LOCAL: &str = "contoso.example";
const REMOTE: &str = "fabrikam.example";
const MESSAGE: &str = "<message from='bob@fabrikam.example' to='alice@contoso.example'><body>hello</body></message>";

async fn edge() -> (World, TestEdge) {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    (world, edge)
}

async fn authenticated(world: &World, edge: &TestEdge) -> Stream {
    let tls = world.client(REMOTE, Certificate::Good);
    Stream::establish(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap()
}

#[tokio::test]
async fn a_closing_tag_is_answered_when_all_before_it_was_taken_and_tls_ends_in_order() {
    let (world, mut edge) = edge().await;
    let mut stream = authenticated(&world, &edge).await;
    stream.send(&format!("{MESSAGE}</stream:stream>")).await.unwrap();
    assert_eq!(stream.heard_to_the_end().await.unwrap(), "</stream:stream>");
    assert_eq!(edge.batch().await.stanzas.len(), 1);
    until("the connection is forgotten", async || edge.is_without_connections().then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_closes_is_waited_for_and_not_for_long() {
    let (world, edge) = edge().await;
    let mut limits = StreamLimits::default();
    limits.timeouts.close = Duration::from_millis(500);
    edge.edge.set_limits(limits, Caps::default());
    let mut stream = authenticated(&world, &edge).await;
    let began = Instant::now();
    edge.edge.drain();
    while stream.next().await.unwrap() != Piece::Close {}
    stream.wait_for_end(Duration::from_secs(10)).await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn what_was_on_its_way_when_the_edge_ended_the_stream_is_taken() {
    let (world, mut edge) = edge().await;
    let mut stream = authenticated(&world, &edge).await;
    edge.edge.drain();
    while stream.next().await.unwrap() != Piece::Close {}
    // Written before its server read the end.
    stream.send(&format!("{MESSAGE}</stream:stream>")).await.unwrap();
    assert_eq!(edge.batch().await.stanzas.len(), 1);
    until("the connection is forgotten", async || edge.is_without_connections().then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing_behind() {
    let (world, edge) = edge().await;
    let mut stream = authenticated(&world, &edge).await;
    stream.send("<message from='bob@fabrikam.example'").await.unwrap();
    drop(stream);
    until("the connection is forgotten", async || edge.is_without_connections().then_some(())).await.unwrap();
}

#[tokio::test]
async fn what_the_first_header_declared_is_unknown_after_tls() {
    let (world, edge) = edge().await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    let header = format!(
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:tls='urn:ietf:params:xml:ns:xmpp-tls' xmlns:old='urn:old' from='{REMOTE}' to='{LOCAL}' version='1.0'>"
    );
    stream.send(&header).await.unwrap();
    let first = stream.next().await.unwrap().text().to_owned();
    stream.next().await.unwrap();
    // A prefix of the first stream, which is still this one.
    stream.start_tls_with("<tls:starttls/>", world.client(REMOTE, Certificate::Good), LOCAL).await.unwrap();
    let second = stream.open(REMOTE, LOCAL).await.unwrap();
    assert_ne!(causeway_tests::peer::xml::attribute(&first, "id"), Some(second.id()));
    stream.send("<old:a/>").await.unwrap();
    assert!(stream.rest().await.starts_with("<stream:error><not-well-formed "));
}

#[tokio::test]
async fn a_silent_partner_is_asked_for_a_sign_of_life_and_then_given_up() {
    let (world, mut edge) = edge().await;
    edge.apply(|policy| policy.settings.keep_alive_interval_s = 1).await;
    let mut limits = StreamLimits::default();
    limits.timeouts.ping = Duration::from_millis(500);
    edge.edge.set_limits(limits, Caps::default());
    let mut stream = authenticated(&world, &edge).await;
    let began = Instant::now();
    let heard = stream.heard_to_the_end().await.unwrap();
    assert!(heard.starts_with("<stream:error><connection-timeout ") && heard.ends_with("</stream:stream>"), "{heard}");
    assert!(began.elapsed() >= Duration::from_millis(1400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_space_is_a_sign_of_life() {
    let (world, mut edge) = edge().await;
    edge.apply(|policy| policy.settings.keep_alive_interval_s = 1).await;
    let mut stream = authenticated(&world, &edge).await;
    for _ in 0..10 {
        stream.send(" ").await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    stream.send(MESSAGE).await.unwrap();
    assert_eq!(edge.batch().await.stanzas.len(), 1);
}

#[tokio::test]
async fn a_stream_that_carries_nothing_is_closed_without_an_error() {
    let (world, mut edge) = edge().await;
    edge.apply(|policy| policy.settings.stream_inactivity_timeout_s = 1).await;
    let mut stream = authenticated(&world, &edge).await;
    assert_eq!(stream.heard_to_the_end().await.unwrap(), "</stream:stream>");
}
