//! Attacks on memory, time and other servers: nothing that a peer does takes more than its bounds.

use std::time::{Duration, Instant};

use causeway_edge_proxy::admission::Caps;
use causeway_edge_proxy::limits::{QueueLimits, Rate, StreamLimits, Timeouts};
use causeway_shared::partner::Negotiation::Optional;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_tests::peer::xmpp::{Partner, PartnerConfig};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::time::{sleep, timeout};

use super::*;

/// The time for authentication in these tests; settings count in seconds.
const ESTABLISH: Duration = Duration::from_secs(1);

/// By then everything that is over after a second is over, on a busy machine too.
const LATEST: Duration = Duration::from_secs(6);

const TRICKLE: Duration = Duration::from_millis(30);

/// An edge in a hurry, with plaintext or without.
async fn hurried(is_strict: bool) -> (World, TestEdge) {
    let (world, mut edge) = if is_strict { strict().await } else { edge().await };
    edge.apply(|policy| policy.settings.stream_establishment_timeout_s = 1).await;
    (world, edge)
}

fn timeouts(edge: &TestEdge, change: impl FnOnce(&mut Timeouts)) {
    let mut limits = StreamLimits::default();
    change(&mut limits.timeouts);
    edge.edge.set_limits(limits, Caps::default());
}

#[tokio::test]
async fn whoever_says_nothing_is_dropped_without_a_word() {
    let (_world, edge) = edge().await;
    timeouts(&edge, |timeouts| timeouts.first_byte = Duration::from_millis(300));
    let began = Instant::now();
    assert_eq!(Peer::connect(&edge).await.hear_all().await, "");
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < LATEST, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_header_that_trickles_ends_with_the_time_for_authentication() {
    let (_world, edge) = hurried(false).await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    let began = Instant::now();
    stream.send("<stream:stream").await.unwrap();
    // White space in the tag, for ever.
    while stream.send(" ").await.is_ok() && began.elapsed() < LATEST {
        sleep(TRICKLE).await;
    }
    let took = began.elapsed();
    assert!(took >= ESTABLISH && took < LATEST, "{took:?}");
    assert!(edge.is_without_connections());
}

#[tokio::test]
async fn signs_of_life_do_not_buy_time_before_authentication() {
    let (_world, edge) = hurried(false).await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    stream.open(REMOTE, LOCAL).await.unwrap();
    let began = Instant::now();
    let heard = loop {
        let _either = stream.send(" ").await;
        match timeout(TRICKLE, stream.next()).await {
            Ok(Ok(piece)) => break piece.text().to_owned(),
            Ok(Err(error)) => panic!("dropped: {error}"),
            Err(_) => assert!(began.elapsed() < LATEST, "still open"),
        }
    };
    assert!(heard.starts_with("<stream:error><policy-violation "), "{heard}");
    assert!(began.elapsed() < LATEST);
}

#[tokio::test]
async fn a_handshake_that_stalls_or_trickles_is_dropped() {
    for is_trickling in [false, true] {
        let (world, edge) = strict().await;
        timeouts(&edge, |timeouts| timeouts.tls_handshake = Duration::from_millis(500));
        let mut stream = Stream::connect(None, edge.address).await.unwrap();
        stream.open(REMOTE, LOCAL).await.unwrap();
        stream.send(STARTTLS).await.unwrap();
        assert!(stream.next().await.unwrap().text().starts_with("<proceed"));
        let began = Instant::now();
        let hello = client_hello(&world);
        let mut bytes = hello.iter();
        if !is_trickling {
            stream.send_bytes(&hello[..hello.len() / 2]).await.unwrap();
        }
        while is_trickling && let Some(byte) = bytes.next() {
            if stream.send_bytes(&[*byte]).await.is_err() || began.elapsed() > LATEST {
                break;
            }
            sleep(TRICKLE).await;
        }
        stream.wait_for_end(LATEST).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(500) && began.elapsed() < LATEST, "{:?}", began.elapsed());
    }
}

fn client_hello(world: &World) -> Vec<u8> {
    let name = ServerName::try_from(LOCAL).unwrap();
    let mut client = ClientConnection::new(world.client(REMOTE, Certificate::Good), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn places_for_the_unauthenticated_are_given_back() {
    let (_world, edge) = edge().await;
    let caps = Caps { connections: Rate::per_minute(1000, 1000), ..Caps::default() };
    edge.edge.set_limits(StreamLimits::default(), caps);
    // Six times what one address may hold at once.
    for _ in 0..6 {
        let mut peers = Vec::new();
        for _ in 0..10 {
            let mut peer = Peer::connect(&edge).await;
            peer.say(HEADER).await;
            peer.hear("</stream:features>").await;
            peers.push(peer);
        }
        drop(peers);
        causeway_tests::peer::until("the places are free", async || edge.is_without_connections().then_some(()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_stanza_without_end_is_cut_off_at_the_limit() {
    for beginning in ["<message><body>", "<message a='", "<message><![CDATA[", "<message "] {
        let (_world, mut edge, mut stream) = authenticated().await;
        stream.send(beginning).await.unwrap();
        let chunk = if beginning.ends_with(' ') { " ".repeat(65_536) } else { "x".repeat(65_536) };
        let mut sent = 0;
        while stream.send(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 64 * 1024 * 1024, "{beginning}: the edge still reads");
        }
        let heard = stream.rest().await;
        assert!(heard.is_empty() || heard.contains("<policy-violation "), "{beginning}: {heard}");
        assert!(edge.end.batches.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_stanza_of_the_least_size_that_must_pass_passes() {
    // RFC 6120, section 13.12.
    let stanza = format!("<message from='{BOB}' to='{ALICE}'><body>{}</body></message>", "x".repeat(10_000));
    assert!(forwarded(&stanza).await.len() > 10_000);
}

#[tokio::test]
async fn small_input_cannot_be_made_large() {
    let message = |content: &str| format!("<message from='{BOB}' to='{ALICE}'>{content}</message>");
    let attributes: String = (0..65).map(|number| format!(" a{number}=''")).collect();
    let namespaces: String = (0..130).map(|number| format!("<a xmlns='urn:{number}'/>")).collect();
    let prefixes: String = (0..130).map(|number| format!("<p{number}:a xmlns:p{number}='urn:x'/>")).collect();
    for (what, content) in [
        ("nodes", "<a/>".repeat(9000)),
        ("text and elements", "<a/>x".repeat(4500)),
        ("depth", format!("{}{}", "<a>".repeat(70), "</a>".repeat(70))),
        ("attributes", format!("<a{attributes}/>")),
        ("namespaces", namespaces),
        ("prefixes", prefixes),
        ("an element's name", format!("<{}/>", "n".repeat(300))),
        ("an attribute's name", format!("<a {}=''/>", "n".repeat(300))),
        ("an attribute's value", format!("<a b='{}'/>", "v".repeat(17_000))),
    ] {
        let (_world, mut edge, mut stream) = authenticated().await;
        let _either = stream.send(&message(&content)).await;
        let heard = stream.rest().await;
        assert!(heard.starts_with("<stream:error><policy-violation "), "{what}: {heard}");
        assert!(edge.end.batches.try_recv().is_err(), "{what} were forwarded");
    }
}

#[tokio::test]
async fn depth_is_counted_and_not_recursed() {
    // Deep enough for any stack, were it used.
    check("<a>".repeat(2700), StreamCondition::PolicyViolation).await;
    let deep = format!("<message from='{BOB}' to='{ALICE}'>{}", "<a>".repeat(80_000));
    check_authenticated(deep, StreamCondition::PolicyViolation).await;
}

#[tokio::test]
async fn text_in_pieces_is_one_text() {
    let (_world, mut edge, mut stream) = authenticated().await;
    let pieces = "<![CDATA[x]]>&#x79;z".repeat(50);
    for byte in format!("<message from='{BOB}' to='{ALICE}'><body>{pieces}</body></message>").bytes() {
        stream.send_bytes(&[byte]).await.unwrap();
    }
    let batch = edge.batch().await;
    let xml = String::from_utf8(batch.stanzas[0].xml.to_vec()).unwrap();
    assert!(xml.contains(&format!("<body>{}</body>", "xyz".repeat(50))), "{xml}");
}

#[tokio::test]
async fn entities_are_never_expanded() {
    let bomb = "<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;'>]>";
    let external = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>";
    for text in [bomb, external, "<!ENTITY e 'x'>"] {
        check(text, StreamCondition::RestrictedXml).await;
        check_authenticated(text, StreamCondition::RestrictedXml).await;
    }
    for reference in ["&lol;", "&nbsp;", "&e;"] {
        let stanza = format!("<message from='{BOB}' to='{ALICE}'><body>{reference}</body></message>");
        check_authenticated(stanza, StreamCondition::RestrictedXml).await;
    }
    let five =
        forwarded(&format!("<message from='{BOB}' to='{ALICE}'><body>&lt;&#x1F44B;&amp;</body></message>")).await;
    assert!(five.contains("<body>&lt;\u{1f44b}&amp;</body>"), "{five}");
}

#[tokio::test]
async fn what_is_forbidden_is_seen_however_it_is_split() {
    for text in ["<!-- x -->", "<?x ?>", "<!DOCTYPE x>"] {
        for at in 1..text.len() {
            let (_world, edge) = edge().await;
            let mut stream = Stream::connect(None, edge.address).await.unwrap();
            stream.open(REMOTE, LOCAL).await.unwrap();
            stream.send(&text[..at]).await.unwrap();
            // The edge reads what there is, and waits for more.
            tokio::task::yield_now().await;
            let _either = stream.send(&text[at..]).await;
            let heard = stream.rest().await;
            assert!(heard.starts_with("<stream:error><restricted-xml "), "{text} split at {at}: {heard}");
        }
    }
}

#[tokio::test]
async fn compression_is_never_offered_and_never_begun() {
    let (world, edge) = strict().await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    let plain = stream.open(REMOTE, LOCAL).await.unwrap().features;
    stream.start_tls(world.client(REMOTE, Certificate::Good), LOCAL).await.unwrap();
    let secured = stream.open(REMOTE, LOCAL).await.unwrap().features;
    assert!(stream.external().await.unwrap());
    let authenticated = stream.open(REMOTE, LOCAL).await.unwrap().features;
    for features in [plain, secured, authenticated] {
        assert!(!features.contains("compress"), "{features}");
    }
    let compress = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    check(compress, StreamCondition::UnsupportedStanzaType).await;
    check_authenticated(compress, StreamCondition::UnsupportedStanzaType).await;
}

#[tokio::test]
async fn strangers_make_us_ask_no_name_server_and_dial_nobody() {
    let (world, edge) = edge().await;
    let victim = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    edge.publish("victim.example", victim.local_addr().unwrap());
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    stream.open(REMOTE, LOCAL).await.unwrap();
    for stranger in ["victim.example", "127.0.0.1.example", "x.fabrikam.example"] {
        let answer = stream.offer_key(stranger, LOCAL, "key").await.unwrap();
        assert!(answer.contains("type='error'") && answer.contains("<policy-violation"), "{answer}");
    }
    assert_eq!(edge.dns.asked(), Vec::<String>::new());
    assert!(timeout(Duration::from_millis(200), victim.accept()).await.is_err(), "the victim was dialled");
    drop(world);
}

#[tokio::test]
async fn one_key_of_a_pair_is_asked_about_at_a_time() {
    let (_world, edge) = edge().await;
    edge.edge
        .set_limits(StreamLimits::default(), Caps { connections: Rate::per_minute(1000, 1000), ..Caps::default() });
    // The authoritative server takes the connection and says nothing.
    let dialled = impostor(&edge, |stream| async move {
        sleep(LATEST).await;
        drop(stream);
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..9 {
        let mut stream = Stream::connect(None, edge.address).await.unwrap();
        stream.open(REMOTE, LOCAL).await.unwrap();
        stream.send(&format!("<db:result from='{REMOTE}' to='{LOCAL}'>key</db:result>")).await.unwrap();
        streams.push(stream);
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(dialled.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_partner_that_hangs_up_again_and_again_is_not_dialled_again_and_again() {
    let (_world, edge) = strict().await;
    let dialled = impostor(&edge, |stream| async move { drop(stream) }).await;
    let Outcome::Failed(_) = outcome(edge.send(ALICE, BOB, "first")).await else { panic!("delivered to nobody") };
    let waiting: Vec<_> = (0..20).map(|number| edge.send(ALICE, BOB, &format!("number {number}"))).collect();
    sleep(Duration::from_millis(1500)).await;
    // Once for the first message; the others wait for the end of the pause.
    assert_eq!(dialled.load(Ordering::Relaxed), 1);
    drop(waiting);
}

#[tokio::test]
async fn a_partner_that_does_not_read_fills_a_bounded_queue_and_every_sender_is_told() {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Required, Optional, true), Certificate::Good).await;
    let mut limits = StreamLimits {
        queue: QueueLimits { stanzas: 50, bytes: 1024 * 1024, lifetime: Duration::from_secs(2) },
        ..StreamLimits::default()
    };
    limits.timeouts.write_stall = Duration::from_secs(1);
    edge.edge.set_limits(limits, Caps::default());
    let config = PartnerConfig {
        domain: REMOTE.to_owned(),
        tls: Some(world.server(REMOTE, Certificate::Good)),
        offers_external: true,
        offers_management: false,
        dialback_secret: String::new(),
    };
    // It keeps the connection, and never reads from it again.
    let (held, holding) = std::sync::mpsc::sync_channel(10);
    let taker = Arc::new(move |stream, _| {
        let _until_the_end = held.send(stream);
    });
    let partner = Partner::start_with((Ipv4Addr::LOCALHOST, 0).into(), config, Some(taker)).await.unwrap();
    edge.publish(REMOTE, partner.address);
    let body = "x".repeat(60_000);
    let told: Vec<_> = (0..400).map(|_| edge.send(ALICE, BOB, &body)).collect();
    let mut refused = 0;
    for told in told {
        if let Outcome::Failed(failure) = outcome(told).await {
            let is_expected =
                matches!(failure.condition, StanzaCondition::ResourceConstraint | StanzaCondition::RemoteServerTimeout);
            assert!(is_expected, "{failure:?}");
            refused += 1;
        }
    }
    assert!(refused >= 350, "{refused} of 400 are more than the queue holds");
    drop(holding);
}
