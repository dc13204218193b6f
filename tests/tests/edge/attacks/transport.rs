//! Attacks on how a connection becomes secure: nothing said before counts after, and nothing less than policy is taken.

use std::time::Duration;

use causeway_shared::link::Outcome::Failed;
use causeway_shared::partner::Negotiation::Optional;
use causeway_shared::verdict::Rung;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_tests::peer::xml::Piece;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::*;

const EXTERNAL: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const OFFER_TLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

/// Everything that a server of the partner hears on a connection, after it greeted with these features and answered the
/// first element so.
async fn heard_by_impostor(edge: &TestEdge, features: &'static str, answer: String) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(100);
    let _dialled = impostor(edge, move |mut stream| {
        let (tell, answer) = (tell.clone(), answer.clone());
        async move {
            let _either = stream.greet(REMOTE, features).await;
            let mut is_first = true;
            while let Ok(piece) = stream.next().await {
                let _nobody_listens = tell.send(piece.text().to_owned()).await;
                if std::mem::take(&mut is_first) {
                    let _either = stream.send(&answer).await;
                }
                if piece == Piece::Close {
                    return;
                }
            }
        }
    })
    .await;
    told
}

async fn all(mut told: mpsc::Receiver<String>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(Some(text)) = tokio::time::timeout(Duration::from_millis(300), told.recv()).await {
        heard.push(text);
    }
    heard
}

#[tokio::test]
async fn what_stands_behind_proceed_is_never_looked_at() {
    let (_world, edge) = strict().await;
    // Success and features, as if TLS had been.
    let injected = format!("{PROCEED}<stream:features>{EXTERNAL}</stream:features>{SUCCESS}");
    let told = heard_by_impostor(&edge, OFFER_TLS, injected).await;
    let Failed(failure) = outcome(edge.send(ALICE, BOB, "secret")).await else { panic!("delivered") };
    assert_eq!(failure.verdict.unwrap().rung, Rung::Tls);
    assert_eq!(all(told).await, [STARTTLS]);
}

#[tokio::test]
async fn what_a_server_says_before_tls_is_forgotten_with_it() {
    // It offers EXTERNAL and dialback in plaintext; nothing but TLS is asked for.
    let (_world, edge) = strict().await;
    let features = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
        <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
        <dialback xmlns='urn:xmpp:features:dialback'/>";
    let told =
        heard_by_impostor(&edge, features, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned()).await;
    let Failed(failure) = outcome(edge.send(ALICE, BOB, "secret")).await else { panic!("delivered") };
    assert_eq!(failure.verdict.unwrap().rung, Rung::Tls);
    assert_eq!(all(told).await, [STARTTLS, "</stream:stream>"]);
}

#[tokio::test]
async fn an_offer_that_was_taken_out_deters_nobody_and_plaintext_carries_nothing() {
    let (_world, edge) = strict().await;
    let dialback = "<dialback xmlns='urn:xmpp:features:dialback'/>";
    let told = heard_by_impostor(&edge, dialback, SUCCESS.to_owned()).await;
    let Failed(_) = outcome(edge.send(ALICE, BOB, "secret")).await else { panic!("delivered") };
    let heard = all(told).await;
    assert_eq!(heard.first().map(String::as_str), Some(STARTTLS));
    assert!(!heard.concat().contains("secret") && !heard.concat().contains("db:result"), "{heard:?}");
}

#[tokio::test]
async fn a_handshake_that_is_broken_leads_to_no_plaintext() {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Optional, Optional, true), Certificate::Good).await;
    let (tell, told) = mpsc::channel(100);
    let _dialled = impostor(&edge, move |mut stream| {
        let tell = tell.clone();
        async move {
            let dialback = "<dialback xmlns='urn:xmpp:features:dialback'/>";
            let _either = stream.greet(REMOTE, &format!("{OFFER_TLS}{dialback}")).await;
            let Ok(piece) = stream.next().await else { return };
            let _nobody_listens = tell.send(piece.text().to_owned()).await;
            let _either = stream.send(PROCEED).await;
            // Not TLS.
            let _either = stream.send("no, thank you").await;
        }
    })
    .await;
    let Failed(failure) = outcome(edge.send(ALICE, BOB, "secret")).await else { panic!("delivered") };
    assert_eq!(failure.condition, StanzaCondition::RemoteServerTimeout);
    assert!(all(told).await.iter().all(|text| text == STARTTLS));
}

#[tokio::test]
async fn no_other_layer_leads_around_tls() {
    for text in [
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='EXTERNAL'/>",
        "<handshake xmlns='jabber:component:accept'>x</handshake>",
    ] {
        let (_world, edge) = strict().await;
        let mut stream = Stream::connect(None, edge.address).await.unwrap();
        stream.open(REMOTE, LOCAL).await.unwrap();
        // Stream management is refused without an end of the stream (XEP-0198, section 3); what follows is still early.
        let _either = stream.send(&format!("{text}<message from='{BOB}' to='{ALICE}'/>")).await;
        let heard = stream.rest().await;
        let refusal =
            "<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
        assert!(heard.trim_start_matches(refusal).starts_with("<stream:error>"), "{text}: {heard}");
    }
    // SASL before TLS fails, and leaves nothing.
    let (_world, mut edge) = strict().await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    stream.open(REMOTE, LOCAL).await.unwrap();
    stream.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>").await.unwrap();
    let heard = stream.rest().await;
    assert!(heard.contains("<encryption-required/>") && !heard.contains("<success"), "{heard}");
    assert!(edge.end.batches.try_recv().is_err());
}

#[tokio::test]
async fn dialback_does_not_lead_around_tls() {
    let (_world, edge) = strict().await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    stream.open(REMOTE, LOCAL).await.unwrap();
    let answer = stream.offer_key(REMOTE, LOCAL, "key").await.unwrap();
    assert!(answer.contains("type='error'") && answer.contains("<policy-violation"), "{answer}");
    assert_eq!(edge.dns.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_server_that_says_nothing_about_the_service_leads_nowhere_else() {
    let (_world, edge) = strict().await;
    let dialled = impostor(&edge, |stream| async move { drop(stream) }).await;
    edge.dns.fall_silent_about_services();
    let Failed(failure) = outcome(edge.send(ALICE, BOB, "secret")).await else { panic!("delivered") };
    assert_eq!(failure.verdict.unwrap().rung, Rung::Resolve);
    assert_eq!(dialled.load(Ordering::Relaxed), 0, "the address of the domain itself was dialled");
    let asked = edge.dns.asked();
    assert!(asked.iter().all(|name| name.starts_with("_xmpp")), "{asked:?}");
}

#[tokio::test]
async fn a_redirection_is_reported_and_not_followed() {
    let (_world, edge) = strict().await;
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    let _dialled = impostor(&edge, move |mut stream| async move {
        let error = format!(
            "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>127.0.0.1:{port}\
             </see-other-host></stream:error></stream:stream>"
        );
        let _either = stream.greet(REMOTE, OFFER_TLS).await;
        let _either = stream.send(&error).await;
        stream.rest().await;
    })
    .await;
    let Failed(failure) = outcome(edge.send(ALICE, BOB, "secret")).await else { panic!("delivered") };
    assert!(failure.verdict.unwrap().cause.contains("see-other-host"));
    assert!(tokio::time::timeout(Duration::from_millis(300), elsewhere.accept()).await.is_err());
}

#[tokio::test]
async fn other_protocols_are_told_what_this_is_and_hung_up_on() {
    for request in [
        &b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n<stream:"[..],
        b"EHLO mail.example\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"USER anonymous\r\n",
        b"INVITE sip:alice@contoso.example SIP/2.0\r\n\r\n",
    ] {
        let (_world, edge) = edge().await;
        let mut peer = Peer::connect(&edge).await;
        peer.say(request).await;
        let heard = peer.hear("</stream:stream>").await;
        assert!(heard.contains("<not-well-formed ") && !heard.contains("features"), "{heard}");
    }
    // TLS where STARTTLS belongs.
    let (world, edge) = strict().await;
    let name = ServerName::try_from(LOCAL).unwrap();
    let tcp = TcpStream::connect(edge.address).await.unwrap();
    assert!(TlsConnector::from(world.client(REMOTE, Certificate::Good)).connect(name, tcp).await.is_err());
}

#[tokio::test]
async fn no_session_is_resumed() {
    let (world, edge) = strict().await;
    // One configuration keeps the tickets that it gets, if it gets any.
    let tls = world.client(REMOTE, Certificate::Good);
    for _ in 0..3 {
        let mut tcp = TcpStream::connect(edge.address).await.unwrap();
        tcp.write_all(format!("{HEADER}{STARTTLS}").trim_end_matches(STARTTLS).as_bytes()).await.unwrap();
        read_until(&mut tcp, "</stream:features>").await;
        tcp.write_all(STARTTLS.as_bytes()).await.unwrap();
        read_until(&mut tcp, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
        let name = ServerName::try_from(LOCAL).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&tls)).connect(name, tcp).await.unwrap();
        stream.write_all(HEADER.as_bytes()).await.unwrap();
        let mut chunk = [0; 4096];
        // Tickets come with the first bytes of the server.
        assert!(stream.read(&mut chunk).await.unwrap() > 0);
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

async fn read_until(tcp: &mut TcpStream, end: &str) {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        let byte = tcp.read_u8().await.unwrap();
        heard.push(byte);
    }
}

/// TLS 1.2 lets a client ask for another handshake in the middle, which costs the server more than the client. Here it asks
/// with the keys of the session, as a library that wants to would.
#[tokio::test]
async fn a_handshake_within_a_session_is_refused_and_a_second_request_ends_it() {
    let (world, edge) = strict().await;
    let (leaf, key) = world.issue(REMOTE, Certificate::Good);
    let mut config = world.client_with(&[&rustls::version::TLS12], vec![leaf], key);
    config.enable_secret_extraction = true;
    let mut tcp = TcpStream::connect(edge.address).await.unwrap();
    tcp.write_all(HEADER.as_bytes()).await.unwrap();
    read_until(&mut tcp, "</stream:features>").await;
    tcp.write_all(STARTTLS.as_bytes()).await.unwrap();
    read_until(&mut tcp, PROCEED).await;
    let name = ServerName::try_from(LOCAL).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let (mut tcp, session) = stream.into_inner();
    let mut records = renegotiation::Records::new(session);
    let hello = renegotiation::client_hello(&world);
    for _ in 0..20 {
        let record = records.handshake(&hello);
        if tcp.write_all(&record).await.is_err() {
            break;
        }
    }
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), tcp.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "the edge holds the connection");
    // Alerts are all it answers: 21 is their record type, 22 that of handshakes.
    let mut rest = &heard[..];
    while let [kind, _, _, high, low, ..] = rest {
        assert_eq!(*kind, 21, "the edge shook hands again: {heard:?}");
        rest = rest.get(5 + usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default();
    }
}

/// Records of TLS 1.2 with AES-GCM (RFC 5288, section 3), written by hand.
mod renegotiation {
    use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use rustls::{ClientConnection, ConnectionTrafficSecrets};

    use super::*;

    pub(super) struct Records {
        key: LessSafeKey,
        salt: [u8; 4],
        sequence: u64,
    }

    impl Records {
        pub(super) fn new(session: ClientConnection) -> Self {
            let secrets = session.dangerous_extract_secrets().unwrap();
            let (sequence, secrets) = secrets.tx;
            let (algorithm, key, iv) = match &secrets {
                ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
                ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
                _ => panic!("another suite was chosen"),
            };
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap());
            let salt = iv.as_ref()[..4].try_into().unwrap();
            Self { key, salt, sequence }
        }

        pub(super) fn handshake(&mut self, plain: &[u8]) -> Vec<u8> {
            let explicit = self.sequence.to_be_bytes();
            let nonce: Vec<u8> = [&self.salt[..], &explicit].concat();
            let length = u16::try_from(plain.len()).unwrap().to_be_bytes();
            let head = [22, 3, 3];
            let aad = [&explicit[..], &head, &length].concat();
            let mut sealed = plain.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
            self.key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).unwrap();
            self.sequence += 1;
            let length = u16::try_from(8 + sealed.len()).unwrap().to_be_bytes();
            [&head[..], &length, &explicit, &sealed].concat()
        }
    }

    /// A message without the record around it.
    pub(super) fn client_hello(world: &World) -> Vec<u8> {
        let (leaf, key) = world.issue(REMOTE, Certificate::Good);
        let config = world.client_with(&[&rustls::version::TLS12], vec![leaf], key);
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(LOCAL).unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello.split_off(5)
    }
}
