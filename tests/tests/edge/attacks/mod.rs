//! Peers that behave badly: each attack ends in the right answer, and everybody else goes on.

use causeway_shared::link::Outcome;
use causeway_shared::partner::Negotiation::{NotSupported, Required};
use causeway_shared::xmpp::stream_error::StreamCondition;

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_tests::peer::xmpp::Stream;
use tokio::net::TcpListener;

use crate::support::{Certificate, HEADER, Peer, TestEdge, World, outcome, settings};

mod encoding;
mod exhaustion;
mod identity;
mod transport;

const LOCAL: &str = "contoso.example";
const REMOTE: &str = "fabrikam.example";
const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// An edge that demands TLS and a certificate.
async fn strict() -> (World, TestEdge) {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    (world, edge)
}

/// The same, and a stream that has shown both.
async fn authenticated() -> (World, TestEdge, Stream) {
    let (world, edge) = strict().await;
    let tls = world.client(REMOTE, Certificate::Good);
    let stream = Stream::establish(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
    (world, edge, stream)
}

/// What an authenticated peer says, and the stream error it gets; nothing of it reaches the gateway.
async fn check_authenticated(said: impl AsRef<[u8]>, condition: StreamCondition) {
    let (_world, mut edge, mut stream) = authenticated().await;
    // The edge may stop reading in the middle of it.
    let _either = stream.send_bytes(said.as_ref()).await;
    let heard = stream.rest().await;
    let expected = format!("<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition.as_str());
    assert!(heard.starts_with(&expected) && heard.ends_with("</stream:stream>"), "expected {condition}, heard {heard}");
    assert!(edge.end.batches.try_recv().is_err(), "something was forwarded");
}

/// What an authenticated peer says, and what of it reaches the gateway.
async fn forwarded(said: &str) -> String {
    let (_world, mut edge, mut stream) = authenticated().await;
    stream.send(said).await.unwrap();
    let batch = edge.batch().await;
    assert_eq!(batch.stanzas.len(), 1, "{batch:?}");
    String::from_utf8(batch.stanzas[0].xml.to_vec()).unwrap()
}

/// A server of the partner that does with each connection what it is told; how many there were.
async fn impostor<F>(edge: &TestEdge, script: impl Fn(Stream) -> F + Send + 'static) -> Arc<AtomicUsize>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    edge.publish(REMOTE, listener.local_addr().unwrap());
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dialled);
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(script(Stream::accepted(io)));
        }
    });
    dialled
}

async fn edge() -> (World, TestEdge) {
    let world = World::new();
    let negotiation = settings(NotSupported, NotSupported, true);
    let edge = world.edge("contoso.example", "fabrikam.example", negotiation, Certificate::Good).await;
    (world, edge)
}

/// What a peer says behind its header, and the stream error it gets.
async fn check(said: impl AsRef<[u8]>, condition: StreamCondition) {
    let (_world, edge) = edge().await;
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    peer.say(said).await;
    let heard = peer.hear("</stream:stream>").await;
    let expected = format!("<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition.as_str());
    assert!(heard.starts_with(&expected), "expected {condition}, heard {heard}");
}

#[tokio::test]
async fn a_stanza_before_authentication_is_not_authorized() {
    let stanza = "<message from='bob@fabrikam.example' to='alice@contoso.example'><body>hi</body></message>";
    check(stanza, StreamCondition::NotAuthorized).await;
}

#[tokio::test]
async fn what_xmpp_forbids_of_xml_is_restricted() {
    for text in [
        "<!DOCTYPE x [<!ENTITY a 'b'>]>",
        "<!-- comment -->",
        "<?php x ?>",
        "<db:result from='fabrikam.example' to='contoso.example'>&lol;</db:result>",
    ] {
        check(text, StreamCondition::RestrictedXml).await;
    }
}

#[tokio::test]
async fn xml_that_is_not_well_formed_is_refused() {
    for text in ["<a></b>", "<a b='1' b='2'/>", "<a b=1/>"] {
        check(text, StreamCondition::NotWellFormed).await;
    }
    check("<x:a/>", StreamCondition::NotWellFormed).await;
    check("text", StreamCondition::BadFormat).await;
}

#[tokio::test]
async fn an_element_too_large_before_authentication_is_a_policy_violation() {
    check(format!("<a>{}</a>", "x".repeat(9000)), StreamCondition::PolicyViolation).await;
    check(format!("<a b='{}'", "x".repeat(9000)), StreamCondition::PolicyViolation).await;
}

#[tokio::test]
async fn an_element_too_deep_is_a_policy_violation() {
    check("<a>".repeat(100), StreamCondition::PolicyViolation).await;
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_an_unsupported_encoding() {
    check(b"<a>\xc0\xaf</a>", StreamCondition::UnsupportedEncoding).await;
}

#[tokio::test]
async fn an_unknown_element_is_an_unsupported_stanza_type() {
    check("<compress xmlns='http://jabber.org/protocol/compress'/>", StreamCondition::UnsupportedStanzaType).await;
}

#[tokio::test]
async fn something_that_is_no_stream_is_told_so_behind_a_header_of_ours() {
    for (text, condition) in [
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("\u{feff}<stream:stream>", "not-well-formed"),
        ("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", "invalid-namespace"),
        ("<stream:stream xmlns='jabber:server' xmlns:stream='urn:x'>", "invalid-namespace"),
    ] {
        let (_world, edge) = edge().await;
        let mut peer = Peer::connect(&edge).await;
        peer.say(text).await;
        let heard = peer.hear("</stream:stream>").await;
        assert!(heard.starts_with("<?xml version='1.0'?><stream:stream "), "{heard}");
        assert!(heard.contains(&format!("<{condition} ")), "{text}: {heard}");
    }
}

#[tokio::test]
async fn plaintext_behind_starttls_is_never_looked_at() {
    let world = World::new();
    let edge =
        world.edge("contoso.example", "fabrikam.example", settings(Required, Required, true), Certificate::Good).await;
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    peer.say(format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{HEADER}")).await;
    assert_eq!(peer.hear_all().await, "");
}

#[tokio::test]
async fn dialback_answers_that_nobody_asked_for_authenticate_nobody() {
    let (_world, edge) = edge().await;
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    peer.say("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>").await;
    peer.say("<db:verify from='fabrikam.example' to='contoso.example' id='1' type='valid'/>").await;
    peer.say("<message from='bob@fabrikam.example' to='alice@contoso.example'/>").await;
    let heard = peer.hear("</stream:stream>").await;
    assert!(heard.contains("<not-authorized "), "{heard}");
    assert_eq!(edge.edge.metrics.unsolicited_dialback.get(), 2);
}

#[tokio::test]
async fn an_address_that_opens_too_many_connections_is_not_let_in() {
    let (_world, edge) = edge().await;
    let mut peers = Vec::new();
    for _ in 0..10 {
        let mut peer = Peer::connect(&edge).await;
        peer.say(HEADER).await;
        peer.hear("</stream:features>").await;
        peers.push(peer);
    }
    assert_eq!(Peer::connect(&edge).await.hear_all().await, "");
}

#[tokio::test]
async fn attacks_do_not_disturb_others() {
    let (world, mut edge) = edge().await;
    let negotiation = settings(NotSupported, NotSupported, true);
    let partner = world.edge("fabrikam.example", "contoso.example", negotiation, Certificate::Good).await;
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.say("<!DOCTYPE x>").await;
    let told = partner.send("bob@fabrikam.example", "alice@contoso.example", "still here");
    assert!(String::from_utf8_lossy(&edge.batch().await.stanzas[0].xml).contains("still here"));
    assert_eq!(outcome(told).await, Outcome::Done);
}
