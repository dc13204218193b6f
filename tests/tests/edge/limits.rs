//! Limits over real sockets: places, rates, waits, listeners behind a load balancer and for direct TLS, and that a limit
//! takes effect without a restart and ends nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_edge_proxy::limits::Rate;
use causeway_edge_proxy::listen::Entrance;
use causeway_edge_proxy::stream::inbound::Opening;
use causeway_shared::partner::Negotiation::{Optional, Required};
use causeway_shared::verdict::Rung;
use causeway_tests::peer::xmpp::Stream;
use tokio::time::sleep;

use crate::support::{Certificate, HEADER, Peer, TestEdge, World, settings};

const LOCAL: &str = "contoso.example";
const REMOTE: &str = "fabrikam.example";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

async fn edge(world: &World) -> TestEdge {
    world.edge(LOCAL, REMOTE, settings(Optional, Optional, true), Certificate::Good).await
}

/// An established stream of the partner.
async fn stream(world: &World, edge: &TestEdge) -> Stream {
    Stream::establish(None, edge.address, REMOTE, LOCAL, &world.client(REMOTE, Certificate::Good)).await.unwrap()
}

fn message(id: usize) -> String {
    format!("<message from='bob@{REMOTE}' to='alice@{LOCAL}' id='{id}'><body>text</body></message>")
}

/// A PROXY header, version 2, that says the connection is from there.
fn proxy_header(from: SocketAddr) -> Vec<u8> {
    let (family, addresses) = match from.ip() {
        IpAddr::V4(ip) => (0x11, [ip.octets().as_slice(), &[192, 0, 2, 1]].concat()),
        IpAddr::V6(ip) => (0x21, [ip.octets().as_slice(), &[0; 16]].concat()),
    };
    let length = u16::try_from(addresses.len() + 4).unwrap().to_be_bytes();
    let fixed = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x21, family], &length].concat();
    [fixed, addresses, from.port().to_be_bytes().to_vec(), 5269_u16.to_be_bytes().to_vec()].concat()
}

/// A connection through the load balancer that the edge trusts.
async fn through_proxy(listener: SocketAddr, header: &[u8]) -> Stream {
    let mut stream = Stream::connect(None, listener).await.unwrap();
    stream.send_bytes(header).await.unwrap();
    stream
}

async fn proxied(edge: &TestEdge, opening: Opening) -> SocketAddr {
    edge.edge.set_trusted_proxies(vec!["127.0.0.0/8".parse().unwrap()]);
    edge.listen(Entrance { opening, is_proxied: true }).await
}

/// Whether the edge closes the connection without saying anything.
async fn is_closed_in_silence(stream: &mut Stream) -> bool {
    stream.heard_to_the_end().await.unwrap_or_default().is_empty()
}

#[tokio::test]
async fn an_address_over_its_share_is_closed_in_silence_and_those_it_has_live_on() {
    let world = World::new();
    let mut edge = edge(&world).await;
    edge.limit(|_, caps| caps.unauthenticated_per_address = 2);
    let mut first = Peer::connect(&edge).await;
    first.say(HEADER).await;
    first.hear("</stream:features>").await;
    let _second = Peer::connect(&edge).await;
    let mut third = Peer::connect(&edge).await;
    assert_eq!(third.hear_all().await, "");
    assert_eq!(edge.verdict().await.rung, Rung::Limits);
    first.say(STARTTLS).await;
    first.hear("<proceed").await;
}

#[tokio::test]
async fn a_limit_that_is_lowered_ends_no_stream_and_holds_for_the_next_connection() {
    let world = World::new();
    let mut edge = edge(&world).await;
    let mut first = stream(&world, &edge).await;
    let mut second = stream(&world, &edge).await;
    edge.limit(|limits, caps| {
        caps.per_address = 1;
        limits.xml.byte_stanza = 10_000;
    });
    let mut third = Stream::connect(None, edge.address).await.unwrap();
    assert!(is_closed_in_silence(&mut third).await);
    for (id, stream) in [&mut first, &mut second].into_iter().enumerate() {
        stream.send(&message(id)).await.unwrap();
        assert_eq!(edge.batch().await.stanzas.len(), 1);
    }
}

#[tokio::test]
async fn a_silent_peer_and_a_slow_one_are_let_go() {
    let world = World::new();
    let mut edge = edge(&world).await;
    edge.limit(|limits, _| limits.timeouts.first_byte = Duration::from_millis(300));
    edge.apply(|snapshot| snapshot.settings.stream_establishment_timeout_s = 1).await;
    let mut silent = Peer::connect(&edge).await;
    assert_eq!(silent.hear_all().await, "");
    // A header that comes byte by byte has no more time than any other.
    let started = Instant::now();
    let mut slow = Stream::connect(None, edge.address).await.unwrap();
    for byte in HEADER.bytes() {
        if slow.send_bytes(&[byte]).await.is_err() || started.elapsed() > Duration::from_secs(3) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    slow.wait_for_end(Duration::from_secs(2)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn before_authentication_little_may_be_said_in_a_second_and_nothing_is_lost() {
    let world = World::new();
    let edge = edge(&world).await;
    edge.limit(|limits, _| limits.rates.unauthenticated_bytes = Rate::per_second(1024, 2048));
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    let started = Instant::now();
    peer.say(" ".repeat(3 * 1024)).await;
    sleep(Duration::from_millis(200)).await;
    peer.say(STARTTLS).await;
    peer.hear("<proceed").await;
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_stream_over_its_rate_waits_and_nothing_is_lost() {
    let world = World::new();
    let mut edge = edge(&world).await;
    let mut stream = stream(&world, &edge).await;
    // A live stream has the new rate.
    edge.limit(|limits, _| limits.rates.stanzas = Rate::per_second(100, 50));
    let started = Instant::now();
    for id in 0..300 {
        stream.send(&message(id)).await.unwrap();
    }
    let mut count = 0;
    while count < 300 {
        count += edge.batch().await.stanzas.len();
    }
    stream.send(&message(300)).await.unwrap();
    assert_eq!(edge.batch().await.stanzas.len(), 1);
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_address_asks_about_so_many_keys_and_then_hears_resource_constraint() {
    let world = World::new();
    let edge = edge(&world).await;
    edge.limit(|_, caps| caps.questions = Rate::per_minute(1, 2));
    let question = format!("<db:verify from='{REMOTE}' to='{LOCAL}' id='s1'>key</db:verify>");
    for expected in ["type='invalid'", "type='invalid'", "<resource-constraint"] {
        // Another stream is no way around it.
        let mut peer = Peer::connect(&edge).await;
        peer.say(HEADER).await;
        peer.hear("</stream:features>").await;
        peer.say(&question).await;
        peer.hear(expected).await;
    }
}

#[tokio::test]
async fn behind_a_load_balancer_everything_counts_for_the_peer_that_it_names() {
    let world = World::new();
    let mut edge = edge(&world).await;
    edge.limit(|_, caps| caps.per_address = 1);
    let listener = proxied(&edge, Opening::StartTls).await;
    let (bob, carol) = ("198.51.100.7:1111".parse().unwrap(), "[2001:db8::7]:2222".parse().unwrap());
    let mut of_bob = through_proxy(listener, &proxy_header(bob)).await;
    assert!(of_bob.open(REMOTE, LOCAL).await.unwrap().features.contains("starttls"));
    let mut of_carol = through_proxy(listener, &proxy_header(carol)).await;
    assert!(of_carol.open(REMOTE, LOCAL).await.unwrap().features.contains("starttls"));
    let mut one_too_many = through_proxy(listener, &proxy_header(bob)).await;
    assert!(is_closed_in_silence(&mut one_too_many).await);
    let verdict = edge.verdict().await;
    assert_eq!((verdict.rung, verdict.peer), (Rung::Limits, Some(bob)));
}

#[tokio::test]
async fn a_load_balancer_that_says_no_header_or_a_bad_one_is_let_go_with_a_verdict() {
    let world = World::new();
    let mut edge = edge(&world).await;
    let listener = proxied(&edge, Opening::StartTls).await;
    edge.limit(|limits, _| limits.timeouts.proxy_header = Duration::from_millis(300));
    let mut good = proxy_header("198.51.100.7:1111".parse().unwrap());
    good[15] = 0xff;
    good[14] = 0xff;
    let half = proxy_header("198.51.100.7:1111".parse().unwrap())[..20].to_vec();
    for (said, cause) in [
        (HEADER.as_bytes().to_vec(), "signature"),
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 1111 5269\r\n".to_vec(), "signature"),
        (good, "longer"),
        (half, "in time"),
        (Vec::new(), "in time"),
    ] {
        // Verdicts of one listener come once in a second.
        sleep(Duration::from_millis(1100)).await;
        let mut stream = through_proxy(listener, &said).await;
        assert!(is_closed_in_silence(&mut stream).await, "{cause}");
        let verdict = edge.verdict().await;
        assert!(verdict.rung == Rung::Connect && verdict.cause.contains(cause), "{verdict:?}");
    }
}

#[tokio::test]
async fn who_is_no_trusted_load_balancer_cannot_connect_where_one_is_expected() {
    let world = World::new();
    let mut edge = edge(&world).await;
    let listener = proxied(&edge, Opening::StartTls).await;
    edge.edge.set_trusted_proxies(vec!["203.0.113.0/24".parse().unwrap()]);
    let mut stream = through_proxy(listener, &proxy_header("198.51.100.7:1111".parse().unwrap())).await;
    assert!(is_closed_in_silence(&mut stream).await);
    let verdict = edge.verdict().await;
    assert_eq!(verdict.rung, Rung::Policy);
    assert_eq!(verdict.peer.unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
}

#[tokio::test]
async fn direct_tls_takes_streams_that_begin_with_the_handshake() {
    let world = World::new();
    let mut edge = world.edge(LOCAL, REMOTE, settings(Required, Required, false), Certificate::Good).await;
    let plain = edge.listen(Entrance { opening: Opening::DirectTls, is_proxied: false }).await;
    let behind_proxy = proxied(&edge, Opening::DirectTls).await;
    let header = proxy_header("198.51.100.7:1111".parse().unwrap());
    for (listener, header) in [(plain, Vec::new()), (behind_proxy, header)] {
        let mut stream = through_proxy(listener, &header).await;
        let mut config = rustls::ClientConfig::clone(&world.client(REMOTE, Certificate::Good));
        config.alpn_protocols = vec![b"xmpp-server".to_vec()];
        stream.connect_tls(Arc::new(config), LOCAL).await.unwrap();
        let features = stream.open(REMOTE, LOCAL).await.unwrap().features;
        assert!(features.contains("EXTERNAL") && !features.contains("starttls"), "{features}");
        assert!(stream.external().await.unwrap());
        stream.open(REMOTE, LOCAL).await.unwrap();
        stream.send(&message(1)).await.unwrap();
        assert_eq!(edge.batch().await.stanzas.len(), 1);
    }
}

#[tokio::test]
async fn direct_tls_takes_no_other_protocol_and_nothing_in_the_clear() {
    let world = World::new();
    let edge = edge(&world).await;
    let listener = edge.listen(Entrance { opening: Opening::DirectTls, is_proxied: false }).await;
    let client = world.client(REMOTE, Certificate::Good);
    for (protocols, is_taken) in [(vec![], true), (vec![b"h2".to_vec()], false), (vec![b"xmpp-client".to_vec()], false)]
    {
        let mut config = rustls::ClientConfig::clone(&client);
        config.alpn_protocols = protocols;
        let mut stream = Stream::connect(None, listener).await.unwrap();
        assert_eq!(stream.connect_tls(Arc::new(config), LOCAL).await.is_ok(), is_taken);
    }
    let mut plain = Stream::connect(None, listener).await.unwrap();
    plain.send(HEADER).await.unwrap();
    let heard = plain.heard_to_the_end().await.unwrap_or_default();
    assert!(!heard.contains("stream"), "{heard}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up_and_its_place_is_free_again() {
    let world = World::new();
    let edge = edge(&world).await;
    let listener = edge.listen(Entrance { opening: Opening::DirectTls, is_proxied: false }).await;
    edge.limit(|limits, caps| {
        limits.timeouts.tls_handshake = Duration::from_millis(300);
        caps.unauthenticated = 1;
    });
    let mut silent = Stream::connect(None, listener).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let mut other = Stream::connect(None, edge.address).await.unwrap();
    assert!(is_closed_in_silence(&mut other).await);
    silent.wait_for_end(Duration::from_secs(5)).await.unwrap();
    causeway_tests::peer::until("the place is free", async || edge.is_without_connections().then_some(()))
        .await
        .unwrap();
    let mut after = Stream::connect(None, edge.address).await.unwrap();
    assert!(after.open(REMOTE, LOCAL).await.unwrap().features.contains("starttls"));
}
