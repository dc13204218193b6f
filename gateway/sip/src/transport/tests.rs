//! Real sockets on loopback.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::frame::FramingFault;
use crate::message::{Message, Response};
use crate::method::Status;
use crate::parse::ParseFault;
use crate::trust::TrustedPeer;

/// Longer than anything here takes, shorter than a test runner waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) type Receiver = Intake;

pub(super) fn peers() -> watch::Receiver<Arc<TrustedPeers>> {
    let addresses = vec!["127.0.0.0/8".parse().unwrap()];
    let peer = TrustedPeer { name: "lab".into(), addresses, identities: vec![] };
    watch::channel(Arc::new(TrustedPeers::new(vec![peer]))).1
}

pub(super) fn config() -> TransportConfig {
    TransportConfig::new(peers())
}

pub(super) async fn start(change: impl FnOnce(&mut TransportConfig)) -> (Transport, Receiver, SocketAddr) {
    let mut config = config();
    change(&mut config);
    let (transport, receiver) = Transport::start(config).await.unwrap();
    let addr = transport.listening().first().map_or("127.0.0.1:0".parse().unwrap(), |(_, addr)| *addr);
    (transport, receiver, addr)
}

pub(super) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(super) fn options(number: u32) -> Bytes {
    let text = format!(
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{number}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
         Call-ID: c\r\nCSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    Bytes::from(text)
}

fn target(transport: TransportKind, addr: SocketAddr, name: Option<&str>) -> Target {
    Target { transport, addr, name: name.map(Arc::from) }
}

/// Everything that arrives until `count` events are there.
pub(super) async fn events(receiver: &mut Receiver, count: usize) -> Vec<Inbound> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = tokio::time::timeout(PATIENCE, receiver.recv()).await.expect("an event in time");
        all.extend(batch.expect("a transport that lives"));
    }
    all
}

fn cseqs(events: &[Inbound]) -> Vec<u32> {
    events
        .iter()
        .map(|event| match event {
            Inbound::Message { message, .. } => message.headers().cseq().unwrap().number,
            other => panic!("{other:?}"),
        })
        .collect()
}

pub(super) fn source(event: &Inbound) -> &Source {
    match event {
        Inbound::Message { source, .. } | Inbound::Malformed { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

pub(super) fn reply_to(event: &Inbound) -> Destination {
    let source = source(event);
    Destination::Reply { flow: source.flow, remote: source.remote, fallback: None }
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    let (server, mut inbound, addr) = start(|config| config.udp.push(any_port())).await;
    let (client, mut answers, _) = start(|config| config.udp.push(any_port())).await;
    let to = Destination::Target(target(TransportKind::Udp, addr, None));
    client.send(to, options(1), SendTag(1)).unwrap();
    let received = events(&mut inbound, 1).await;
    assert_eq!(cseqs(&received), [1]);
    assert_eq!(source(&received[0]).peer.as_deref(), Some("lab"));
    server.send(reply_to(&received[0]), options(2), SendTag::NONE).unwrap();
    assert_eq!(cseqs(&events(&mut answers, 1).await), [2]);
}

#[tokio::test]
async fn a_datagram_that_lies_about_its_length_is_malformed_and_the_next_one_is_read() {
    let (_server, mut inbound, addr) = start(|config| config.udp.push(any_port())).await;
    let socket = UdpSocket::bind(any_port()).await.unwrap();
    let lie = String::from_utf8(options(1).to_vec()).unwrap().replace("Length: 0", "Length: 18446744073709551615");
    socket.send_to(lie.as_bytes(), addr).await.unwrap();
    socket.send_to(&options(2), addr).await.unwrap();
    let received = events(&mut inbound, 2).await;
    let Inbound::Malformed { error, .. } = &received[0] else { panic!("{received:?}") };
    assert_eq!(error.fault, ParseFault::ShortBody);
    assert_eq!(cseqs(&received[1..]), [2]);
}

#[tokio::test]
async fn messages_to_one_target_share_a_connection_and_keep_their_order() {
    let (server, mut inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    let (client, mut answers, _) = start(|_| ()).await;
    for number in 1..=500 {
        let to = Destination::Target(target(TransportKind::Tcp, addr, None));
        client.send(to, options(number), SendTag(u64::from(number))).unwrap();
    }
    let received = events(&mut inbound, 500).await;
    assert_eq!(cseqs(&received), (1..=500).collect::<Vec<_>>());
    assert_eq!((client.connections(), server.connections()), (1, 1));
    server.send(reply_to(&received[0]), options(501), SendTag::NONE).unwrap();
    assert_eq!(cseqs(&events(&mut answers, 1).await), [501]);
    drop(server);
    let closed = events(&mut answers, 1).await;
    assert!(matches!(closed[..], [Inbound::Closed { target: Some(_), last: SendTag(500), .. }]), "{closed:?}");
}

// Rule: sip.dos
#[tokio::test]
async fn a_peer_that_is_owed_many_answers_is_not_read_until_it_has_them() {
    let (server, mut inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    let (mut read, mut write) = TcpStream::connect(addr).await.unwrap().into_split();
    let count = 2 * connection::MAX_OWED;
    tokio::spawn(async move {
        for number in 1..=count {
            write.write_all(&options(u32::try_from(number).unwrap())).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    tokio::spawn(async move { while read.read(&mut [0; 65_536]).await.unwrap() > 0 {} });

    let mut received = events(&mut inbound, connection::MAX_OWED).await;
    // What one read brought is handed on; then nothing comes.
    while let Ok(Some(more)) = tokio::time::timeout(Duration::from_millis(100), inbound.recv()).await {
        received.extend(more);
    }
    assert!(received.len() < connection::MAX_OWED + 256, "{} requests", received.len());

    let mut answered = 0;
    while answered < count {
        for event in received.drain(..) {
            let Inbound::Message { message: Message::Request(request), .. } = &event else { panic!("{event:?}") };
            let mut answer = bytes::BytesMut::new();
            Response::to(request, Status::OK).write(&mut answer);
            server.send(reply_to(&event), answer.freeze(), SendTag::NONE).unwrap();
            answered += 1;
        }
        if answered < count {
            received = events(&mut inbound, 1).await;
        }
    }
}

#[tokio::test]
async fn an_unreachable_target_gives_every_tag_back() {
    let (client, mut inbound, _) = start(|_| ()).await;
    let free = TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap();
    let target = target(TransportKind::Tcp, free, None);
    for tag in [5, 6] {
        client.send(Destination::Target(target.clone()), options(1), SendTag(tag)).unwrap();
    }
    let failed = events(&mut inbound, 4).await;
    assert!(
        matches!(&failed[..], [
            Inbound::Unreachable { fault: ConnectFault::Connect(std::io::ErrorKind::ConnectionRefused), .. },
            Inbound::Unsent { tag: SendTag(5) },
            Inbound::Unsent { tag: SendTag(6) },
            Inbound::Closed { target: Some(closed), .. },
        ] if *closed == target),
        "{failed:?}"
    );
    assert_eq!(client.connections(), 0);
}

#[tokio::test]
async fn a_response_whose_connection_is_gone_takes_the_fallback() {
    let (server, mut inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    let (_listener, mut fallback, fallback_addr) = start(|config| config.tcp.push(any_port())).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&options(1)).await.unwrap();
    let received = events(&mut inbound, 1).await;
    drop(stream);
    assert!(matches!(events(&mut inbound, 1).await[..], [Inbound::Closed { target: None, .. }]));
    let Destination::Reply { flow, remote, .. } = reply_to(&received[0]) else { unreachable!() };
    let gone = server.send(Destination::Reply { flow, remote, fallback: None }, options(2), SendTag::NONE);
    assert_eq!(gone, Err(NotSent::FlowGone));
    let fallback_target = Some(target(TransportKind::Tcp, fallback_addr, None));
    let to = Destination::Reply { flow, remote, fallback: fallback_target };
    server.send(to, options(3), SendTag::NONE).unwrap();
    assert_eq!(cseqs(&events(&mut fallback, 1).await), [3]);
}

// Rule: sip.framing
#[tokio::test]
async fn garbage_on_a_stream_closes_it_and_nothing_else() {
    let (_server, mut inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    let mut good = TcpStream::connect(addr).await.unwrap();
    let mut bad = TcpStream::connect(addr).await.unwrap();
    bad.write_all(b"\x16\x03\x01 no SIP at all").await.unwrap();
    let received = events(&mut inbound, 2).await;
    let Inbound::Malformed { error, .. } = &received[0] else { panic!("{received:?}") };
    assert_eq!(error.fault, ParseFault::Framing(FramingFault::NotSip));
    assert!(matches!(received[1], Inbound::Closed { .. }));
    let closed = tokio::time::timeout(PATIENCE, bad.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    good.write_all(&options(1)).await.unwrap();
    assert_eq!(cseqs(&events(&mut inbound, 1).await), [1]);
}

// Rule: sip.framing, sip.malformed
#[tokio::test]
async fn a_wrong_content_length_is_answered_before_the_connection_closes() {
    let (server, mut inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let lie = String::from_utf8(options(1).to_vec()).unwrap().replace("Length: 0", "Length: -1");
    stream.write_all(lie.as_bytes()).await.unwrap();
    let received = events(&mut inbound, 1).await;
    let Inbound::Malformed { error, .. } = &received[0] else { panic!("{received:?}") };
    let mut answer = bytes::BytesMut::new();
    error.answer.as_ref().unwrap().write(&mut answer);
    server.send(reply_to(&received[0]), answer.freeze(), SendTag::NONE).unwrap();
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("SIP/2.0 400 "), "{text}");
}

// RFC 5626 section 4.4.1
// Rule: sip.keep-alive
#[tokio::test]
async fn a_ping_is_answered_with_a_pong() {
    let (_server, _inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"\r\n");
}

// RFC 5626 section 4.4.1
// Rule: sip.keep-alive
#[tokio::test]
async fn a_connection_of_ours_is_pinged_and_ends_when_the_pongs_stop() {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let ping_after = Duration::from_millis(50);
    let (client, mut closed, _) = start(|config| config.ping_after = ping_after).await;
    let to = Destination::Target(target(TransportKind::Tcp, listener.local_addr().unwrap(), None));
    let request = options(1);
    client.send(to, request.clone(), SendTag(1)).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = vec![0; request.len() + 4];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut text)).await.unwrap().unwrap();
    assert!(text.ends_with(b"\r\n\r\n\r\n\r\n"));
    stream.write_all(b"\r\n").await.unwrap();
    // Nothing more is said: the next ping has no answer.
    assert!(matches!(events(&mut closed, 1).await[0], Inbound::Closed { target: Some(_), .. }));
}

// RFC 5923 section 8
// Rule: sip.alias
#[tokio::test]
async fn requests_go_back_on_a_tls_connection_whose_peer_offers_it_and_no_other() {
    let ca = Ca::new();
    for offered in [true, false] {
        let (server, mut inbound, addr) = ca.server(ca.sign(&["pool.example"], &[])).await;
        let gateway = ca.sign(&["gw.example"], &[]);
        let (client, mut answers, _) = start(|config| config.tls_client = Some(ca.client(gateway))).await;
        let to = Destination::Target(target(TransportKind::Tls, addr, Some("pool.example")));
        let alias = if offered { ";alias" } else { "" };
        let text = String::from_utf8(options(1).to_vec()).unwrap();
        let text = text.replace("SIP/2.0/TCP h;", &format!("SIP/2.0/TLS gw.example:5071{alias};"));
        client.send(to, text.into(), SendTag(1)).unwrap();
        events(&mut inbound, 1).await;
        for name in ["gw.example", "evil.example"] {
            let back = target(TransportKind::Tls, "127.0.0.1:5071".parse().unwrap(), Some(name));
            server.send(Destination::Target(back), options(2), SendTag(5)).unwrap();
            if offered && name == "gw.example" {
                assert_eq!(cseqs(&events(&mut answers, 1).await), [2]);
            } else {
                assert!(matches!(events(&mut inbound, 1).await[0], Inbound::Unreachable { .. }), "{name}");
            }
        }
    }
}

// RFC 5922 section 7
// Rule: sip.tls-identity
#[test]
fn the_identity_of_a_certificate_is_its_sip_domains_or_else_its_names() {
    let ca = Ca::new();
    let of = |dns: &[&str], uris: &[&str]| tls::identities(&ca.sign(dns, uris).0[0]).domains;
    assert_eq!(of(&["A.example", "b.example"], &[]), ["a.example", "b.example"]);
    assert_eq!(of(&["a.example"], &["sip:B.example", "sip:c.example"]), ["b.example", "c.example"]);
    // A user, another scheme and a web address are no domains of SIP.
    assert_eq!(of(&["a.example"], &["sip:bob@b.example", "sips:c.example", "https://d.example"]), ["a.example"]);
    assert_eq!(of(&[], &["sip:bob@b.example"]), [""; 0]);
    // A wildcard matches nothing but itself, which no domain is.
    assert_eq!(of(&["*.example"], &[]), ["*.example"]);
}

// Rule: sip.tls-identity
#[tokio::test]
async fn a_wildcard_in_a_certificate_stands_for_no_domain() {
    let ca = Ca::new();
    let (_server, _inbound, addr) = ca.server(ca.sign(&["*.contoso.example"], &[])).await;
    let gateway = ca.sign(&["gw.contoso.example"], &[]);
    let (client, mut failed, _) = start(|config| config.tls_client = Some(ca.client(gateway))).await;
    let to = Destination::Target(target(TransportKind::Tls, addr, Some("sip.contoso.example")));
    client.send(to, options(1), SendTag(9)).unwrap();
    assert!(matches!(events(&mut failed, 1).await[0], Inbound::Unreachable { fault: ConnectFault::Tls(_), .. }));
}

#[tokio::test]
async fn dropping_the_transport_closes_its_connections() {
    let (server, _inbound, addr) = start(|config| config.tcp.push(any_port())).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 2]).await.unwrap();
    drop(server);
    let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
}

/// A CA and what it signs.
struct Ca(CertifiedIssuer<'static, KeyPair>);

type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    fn sign(&self, dns: &[&str], uris: &[&str]) -> Credentials {
        let mut params = CertificateParams::new(dns.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        let uris = uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn client(&self, (chain, key): Credentials) -> watch::Receiver<Arc<rustls::ClientConfig>> {
        watch::channel(tls::client_config(chain, key, self.roots()).unwrap()).1
    }

    async fn server(&self, (chain, key): Credentials) -> (Transport, Receiver, SocketAddr) {
        let server = tls::server_config(chain, key, self.roots()).unwrap();
        start(|config| {
            config.tls.push(any_port());
            config.tls_server = Some(watch::channel(server).1);
        })
        .await
    }
}

// Rule: sip.tls-identity
#[tokio::test]
async fn mutual_tls_tells_both_sides_who_the_other_is() {
    let ca = Ca::new();
    let (server, mut inbound, addr) = ca.server(ca.sign(&["pool.contoso.example"], &["sip:contoso.example"])).await;
    let gateway = ca.sign(&["gw.contoso.example"], &[]);
    let (client, mut answers, _) = start(|config| config.tls_client = Some(ca.client(gateway))).await;
    let to = Destination::Target(target(TransportKind::Tls, addr, Some("contoso.example")));
    client.send(to, options(1), SendTag(1)).unwrap();
    let received = events(&mut inbound, 1).await;
    let domains = |event: &Inbound| source(event).certificate.as_ref().map(|certificate| certificate.domains.clone());
    assert_eq!(domains(&received[0]), Some(vec!["gw.contoso.example".to_owned()]));
    server.send(reply_to(&received[0]), options(2), SendTag::NONE).unwrap();
    let answer = events(&mut answers, 1).await;
    assert_eq!(domains(&answer[0]), Some(vec!["contoso.example".to_owned()]));
}

// RFC 5922 section 7.1: where there is a sip: URI, DNS names do not count.
// Rule: sip.tls-identity
#[tokio::test]
async fn a_server_certificate_for_another_name_is_refused() {
    let ca = Ca::new();
    let (_server, _inbound, addr) = ca.server(ca.sign(&["pool.contoso.example"], &["sip:contoso.example"])).await;
    let gateway = ca.sign(&["gw.contoso.example"], &[]);
    let (client, mut failed, _) = start(|config| config.tls_client = Some(ca.client(gateway))).await;
    for name in ["fabrikam.example", "pool.contoso.example"] {
        let to = Destination::Target(target(TransportKind::Tls, addr, Some(name)));
        client.send(to, options(1), SendTag(9)).unwrap();
        let failed = events(&mut failed, 3).await;
        assert!(
            matches!(
                &failed[..],
                [
                    Inbound::Unreachable { fault: ConnectFault::Tls(_), .. },
                    Inbound::Unsent { tag: SendTag(9) },
                    Inbound::Closed { .. },
                ]
            ),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (_server, _inbound, addr) = other.server(other.sign(&["contoso.example"], &[])).await;
    let gateway = ca.sign(&["gw.contoso.example"], &[]);
    let (client, mut failed, _) = start(|config| config.tls_client = Some(ca.client(gateway))).await;
    let to = Destination::Target(target(TransportKind::Tls, addr, Some("contoso.example")));
    client.send(to, options(1), SendTag(9)).unwrap();
    let failed = events(&mut failed, 3).await;
    assert!(matches!(&failed[0], Inbound::Unreachable { fault: ConnectFault::Tls(_), .. }), "{failed:?}");
}

#[tokio::test]
async fn a_client_without_certificate_is_refused_in_the_handshake() {
    let ca = Ca::new();
    let (_server, mut inbound, addr) = ca.server(ca.sign(&["contoso.example"], &[])).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("contoso.example").unwrap();
    // With TLS 1.3 the client learns of the refusal only when it reads.
    if let Ok(mut stream) = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        let _ = stream.write_all(&options(1)).await;
        assert!(stream.read(&mut [0; 8]).await.map_or(true, |read| read == 0));
    }
    let refused = events(&mut inbound, 1).await;
    assert!(matches!(refused[..], [Inbound::HandshakeFailed { fault: ConnectFault::Tls(_), .. }]), "{refused:?}");
}

// Rule: sip.dos
#[tokio::test]
async fn a_silent_client_does_not_hold_up_the_next_handshake() {
    let ca = Ca::new();
    let (_server, mut inbound, addr) = ca.server(ca.sign(&["contoso.example"], &[])).await;
    let _silent = TcpStream::connect(addr).await.unwrap();
    let gateway = ca.sign(&["gw.contoso.example"], &[]);
    let (client, _answers, _) = start(|config| config.tls_client = Some(ca.client(gateway))).await;
    let to = Destination::Target(target(TransportKind::Tls, addr, Some("contoso.example")));
    client.send(to, options(1), SendTag(1)).unwrap();
    let received = tokio::time::timeout(HANDSHAKE_PATIENCE / 2, events(&mut inbound, 1)).await.unwrap();
    assert_eq!(cseqs(&received), [1]);
}
