//! The switch over real sockets on loopback.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::ids::IdSource;
use crate::msrp::fingerprint::{Fingerprint, HashFunction};
use crate::msrp::message::FailureReport;
use crate::msrp::session::{Outgoing, SendFailure};
use crate::msrp::switch::{self, Ended, Event, SessionId, Switch, SwitchConfig, Terms};
use crate::sdp::message::{Msrp, Setup};

/// Longer than anything here takes, shorter than a test runner waits.
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_SIZE: usize = 200_000;

/// A switch with its sockets.
struct Node {
    switch: Switch,
    transport: MsrpTransport,
    inbound: mpsc::Receiver<Vec<Input>>,
    events: Vec<(SessionId, Event)>,
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// A node whose certificate is from this authority.
    fn tls(&self) -> MsrpTls {
        let (key, params) = (KeyPair::generate().unwrap(), CertificateParams::new(["localhost".to_owned()]).unwrap());
        let chain = vec![params.signed_by(&key, &self.0).unwrap().der().clone()];
        msrp_tls(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap(), self.roots()).unwrap()
    }
}

/// A certificate that nobody vouches for, to a node that trusts an authority which has nothing to do with it.
fn self_signed() -> MsrpTls {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["alice.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let chain = vec![CertificateDer::from(certificate)];
    msrp_tls(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap(), Authority::new().roots()).unwrap()
}

impl Node {
    async fn start(tls: Option<MsrpTls>) -> Self {
        let fingerprints = tls.iter().filter_map(|tls| tls.fingerprint().cloned()).collect();
        let (tls_listen, tcp) = if tls.is_some() { (vec![any_port()], vec![]) } else { (vec![], vec![any_port()]) };
        let tls = tls.map(|tls| watch::channel(Arc::new(tls)).1);
        let (transport, inbound) =
            MsrpTransport::start(MsrpConfig { tcp, tls_listen, source_ip: Some([127, 0, 0, 1].into()), tls })
                .await
                .unwrap();
        let port = |wanted| transport.listening().iter().find(|(kind, _)| *kind == wanted).map(|(_, addr)| addr.port());
        let config = SwitchConfig {
            host: "localhost".into(),
            tls_port: port(TransportKind::Tls),
            tcp_port: port(TransportKind::Tcp),
            fingerprints,
            accept_types: vec!["text/plain".into()],
            accept_wrapped_types: Vec::new(),
            max_size: MAX_SIZE,
            idle: Duration::from_secs(600),
        };
        Self { switch: Switch::new(config, IdSource::os()), transport, inbound, events: Vec::new() }
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.switch.handle(input, Instant::now(), &mut out);
        for output in out {
            match output {
                Output::Event { session, event } => self.events.push((session, event)),
                output @ (Output::Connect { .. } | Output::Write { .. } | Output::Close { .. }) => {
                    self.transport.perform(output);
                }
            }
        }
    }

    fn is_secure(&self) -> bool {
        self.transport.listening().iter().any(|(kind, _)| *kind == TransportKind::Tls)
    }

    fn reserve(&mut self, setup: Setup) -> (SessionId, Msrp) {
        let session = self.switch.reserve(self.is_secure(), Instant::now()).unwrap();
        (session, self.switch.stream(session, setup).unwrap())
    }

    fn open(&mut self, session: SessionId, peer: Msrp, is_active: bool) {
        self.step(Input::Open { session, terms: Box::new(Terms { peer, is_active }) });
    }

    fn send(&mut self, session: SessionId, token: u64, body: &[u8], change: impl FnOnce(&mut Outgoing)) {
        let mut message = Outgoing {
            token,
            message_id: format!("m{token}"),
            content_type: "text/plain".into(),
            body: Bytes::copy_from_slice(body),
            success_report: false,
            failure_report: FailureReport::Yes,
        };
        change(&mut message);
        self.step(Input::Send { session, message });
    }

    fn ended(&self) -> Vec<Ended> {
        let ended = |(_, event): &(_, Event)| if let Event::Ended(why) = event { Some(*why) } else { None };
        self.events.iter().filter_map(ended).collect()
    }

    fn is_established(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == Event::Established)
    }

    fn bodies(&self) -> Vec<Bytes> {
        let body = |(_, event): &(_, Event)| match event {
            Event::Received { body, .. } => Some(body.clone()),
            _ => None,
        };
        self.events.iter().filter_map(body).collect()
    }

    fn sent(&self) -> Vec<Result<(), SendFailure>> {
        let sent = |(_, event): &(_, Event)| if let Event::Sent { result, .. } = event { Some(*result) } else { None };
        self.events.iter().filter_map(sent).collect()
    }

    /// Lets this node live until it is as it should be.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < end, "it never was; {:?}", self.events);
            let wake_at = self.switch.deadline().unwrap_or(end).min(Instant::now() + Duration::from_millis(50));
            tokio::select! {
                batch = self.inbound.recv() => batch.unwrap().into_iter().for_each(|input| self.step(input)),
                () = tokio::time::sleep_until(wake_at.into()) => self.step(Input::DeadlinePassed),
            }
        }
    }
}

/// Lets both live until they are as they should be.
async fn until(one: &mut Node, other: &mut Node, done: impl Fn(&Node, &Node) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done(one, other) {
        assert!(Instant::now() < end, "they never were; {:?} {:?}", one.events, other.events);
        tokio::select! {
            batch = one.inbound.recv() => batch.unwrap().into_iter().for_each(|input| one.step(input)),
            batch = other.inbound.recv() => batch.unwrap().into_iter().for_each(|input| other.step(input)),
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                one.step(Input::DeadlinePassed);
                other.step(Input::DeadlinePassed);
            }
        }
    }
}

/// Two nodes with a session between them, that the first connects.
async fn pair(tls: Option<[MsrpTls; 2]>) -> (Node, Node, SessionId, SessionId) {
    let [one, other] = tls.map_or([None, None], |tls| tls.map(Some));
    let (mut one, mut other) = (Node::start(one).await, Node::start(other).await);
    let (session, stream) = one.reserve(Setup::Active);
    let (their_session, their_stream) = other.reserve(Setup::Passive);
    one.open(session, their_stream, true);
    other.open(their_session, stream, false);
    (one, other, session, their_session)
}

// Rule: msrp.session, msrp.chunks, msrp.reports
#[tokio::test]
async fn messages_and_reports_go_both_ways() {
    let (mut one, mut other, session, their_session) = pair(None).await;
    let long: Vec<u8> = (0..MAX_SIZE).map(|n| (n % 251) as u8).collect();
    one.send(session, 1, b"hello", |message| message.success_report = true);
    one.send(session, 2, &long, |_| {});
    other.send(their_session, 3, b"hello yourself", |_| {});
    until(&mut one, &mut other, |one, other| one.sent().len() == 2 && other.sent().len() == 1).await;
    assert_eq!((one.sent(), other.sent()), (vec![Ok(()); 2], vec![Ok(())]));
    assert_eq!(other.bodies(), [Bytes::from_static(b"hello"), Bytes::from(long)]);
    assert_eq!(one.bodies(), [Bytes::from_static(b"hello yourself")]);
    let receipt = other.events.iter().find_map(|(_, event)| match event {
        Event::Received { receipt, .. } if receipt.wants_success() => Some(receipt.clone()),
        _ => None,
    });
    other.step(Input::Report { session: their_session, receipt: receipt.unwrap(), code: 200 });
    let is_reported = |one: &Node, _: &Node| one.events.contains(&(session, Event::Reported { token: 1, code: 200 }));
    until(&mut one, &mut other, is_reported).await;
    one.step(Input::Close { session });
    until(&mut one, &mut other, |one, other| one.transport.connections() == 0 && other.transport.connections() == 0)
        .await;
    assert_eq!((one.ended(), other.ended()), (vec![Ended::Closed], vec![Ended::Lost]));
}

// Rule: msrp.tls
#[tokio::test]
async fn a_self_signed_certificate_is_good_if_its_fingerprint_was_announced() {
    let (mut one, mut other, session, _) = pair(Some([self_signed(), self_signed()])).await;
    one.send(session, 1, &vec![b'x'; 100_000], |_| {});
    until(&mut one, &mut other, |one, other| one.sent() == [Ok(())] && other.bodies().len() == 1).await;
}

// Rule: msrp.tls
#[tokio::test]
async fn a_certificate_without_fingerprint_is_good_if_its_authority_is_known_and_it_names_the_host() {
    let ours = Authority::new();
    for (theirs, is_good) in [(ours.tls(), true), (self_signed(), false), (Authority::new().tls(), false)] {
        let (mut one, mut other) = (Node::start(Some(ours.tls())).await, Node::start(Some(theirs)).await);
        let ((session, stream), (their_session, mut their_stream)) =
            (one.reserve(Setup::Active), other.reserve(Setup::Passive));
        their_stream.fingerprints.clear();
        one.open(session, their_stream, true);
        other.open(their_session, stream, false);
        if is_good {
            until(&mut one, &mut other, |one, other| one.is_established() && other.is_established()).await;
        } else {
            until(&mut one, &mut other, |one, _| one.ended() == [Ended::Unproven]).await;
            assert!(!other.is_established());
        }
    }
}

// Rule: msrp.tls
#[tokio::test]
async fn another_certificate_than_the_announced_one_ends_the_session_on_either_side() {
    let wrong = || vec![Fingerprint::of(b"another", HashFunction::Sha256)];
    for wrong_active in [true, false] {
        let (mut one, mut other) = (Node::start(Some(self_signed())).await, Node::start(Some(self_signed())).await);
        let ((session, mut stream), (their_session, mut their_stream)) =
            (one.reserve(Setup::Active), other.reserve(Setup::Passive));
        if wrong_active {
            stream.fingerprints = wrong();
        } else {
            their_stream.fingerprints = wrong();
        }
        one.open(session, their_stream, true);
        other.open(their_session, stream, false);
        if wrong_active {
            until(&mut one, &mut other, |one, other| {
                other.ended() == [Ended::Unproven] && one.ended() == [Ended::Lost]
            })
            .await;
        } else {
            until(&mut one, &mut other, |one, _| one.ended() == [Ended::Unproven]).await;
        }
        assert!(one.bodies().is_empty() && other.bodies().is_empty());
    }
}

// Rule: msrp.tls
#[tokio::test]
async fn the_server_hears_which_host_is_meant() {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (host, named) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let mut node = Node::start(Some(self_signed())).await;
        let (session, mut peer) = node.reserve(Setup::Active);
        peer.path = vec![format!("msrps://{host}:{port}/s;tcp").parse().unwrap()];
        node.open(session, peer, true);
        let (socket, _) = listener.accept().await.unwrap();
        let hello = tokio_rustls::LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await.unwrap();
        assert_eq!(hello.client_hello().server_name(), named);
        drop(hello);
        node.until(|node| node.ended() == [Ended::Unreachable(switch::ConnectFault::Tls)]).await;
    }
}

#[tokio::test]
async fn a_host_that_does_not_take_the_connection_is_unreachable() {
    let closed = TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap().port();
    let mut node = Node::start(None).await;
    for (host, fault) in [
        ("127.0.0.1", switch::ConnectFault::Refused),
        ("localhost", switch::ConnectFault::Refused),
        ("nobody.invalid", switch::ConnectFault::Unresolved),
        ("169.254.0.1", switch::ConnectFault::Forbidden),
    ] {
        let (session, mut peer) = node.reserve(Setup::Active);
        peer.path = vec![format!("msrp://{host}:{closed}/s;tcp").parse().unwrap()];
        node.events.clear();
        node.open(session, peer, true);
        node.until(|node| !node.ended().is_empty()).await;
        assert_eq!(node.ended(), [Ended::Unreachable(fault)], "{host}");
    }
    assert_eq!(node.transport.connections(), 0);
}

#[tokio::test]
async fn a_connection_that_nobody_needs_any_more_is_not_opened() {
    let mut node = Node::start(None).await;
    let (session, mut peer) = node.reserve(Setup::Active);
    // An address for documentation: nobody answers.
    peer.path = vec!["msrp://192.0.2.1:2855/s;tcp".parse().unwrap()];
    node.open(session, peer, true);
    node.step(Input::Close { session });
    node.until(|node| node.transport.connections() == 0 && node.switch.connections() == 0).await;
}

/// A peer that speaks by hand.
struct ByHand {
    node: Node,
    session: SessionId,
    own: String,
    socket: TcpStream,
}

const PEER: &str = "msrp://127.0.0.1:9/byhand;tcp";

impl ByHand {
    async fn start() -> Self {
        let mut node = Node::start(None).await;
        let (session, stream) = node.reserve(Setup::Passive);
        let peer = Msrp { path: vec![PEER.parse().unwrap()], max_size: None, ..stream.clone() };
        node.open(session, peer, false);
        let socket = TcpStream::connect(node.transport.listening()[0].1).await.unwrap();
        Self { node, session, own: stream.path[0].to_string(), socket }
    }

    fn request(&self, transaction: &str, headers: &str, body: &str, flag: char) -> String {
        let own = &self.own;
        let body = if body.is_empty() { String::new() } else { format!("Content-Type: text/plain\r\n\r\n{body}\r\n") };
        format!(
            "MSRP {transaction} SEND\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\nMessage-ID: m\r\n{headers}{body}-------{transaction}{flag}\r\n"
        )
    }

    async fn say(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// The first lines of the next answers; the node lives meanwhile.
    async fn hear(&mut self, count: usize) -> Vec<String> {
        let mut heard = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let text = String::from_utf8_lossy(&heard).into_owned();
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with("MSRP ")).map(str::to_owned).collect();
            if lines.len() >= count && text.ends_with("$\r\n") {
                return lines;
            }
            assert!(Instant::now() < end, "{text}");
            tokio::select! {
                batch = self.node.inbound.recv() => batch.unwrap().into_iter().for_each(|input| self.node.step(input)),
                read = self.socket.read_buf(&mut heard) => assert!(read.unwrap() > 0, "the connection is closed; {text}"),
            }
        }
    }

    /// Waits for the end of the connection.
    async fn is_closed(&mut self) {
        let (end, mut rest) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            assert!(Instant::now() < end, "it is still open");
            tokio::select! {
                batch = self.node.inbound.recv() => batch.unwrap().into_iter().for_each(|input| self.node.step(input)),
                read = self.socket.read_buf(&mut rest) => if matches!(read, Ok(0) | Err(_)) { return },
                () = tokio::time::sleep(Duration::from_millis(100)) => self.node.step(Input::DeadlinePassed),
            }
        }
    }
}

// Rule: msrp.chunks
#[tokio::test]
async fn chunks_may_come_in_pieces_together_interrupted_and_out_of_order() {
    let mut peer = ByHand::start().await;
    // One byte after the other.
    for byte in peer.request("aaaa", "Byte-Range: 1-5/5\r\n", "hello", '$').bytes() {
        peer.socket.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(peer.hear(1).await, ["MSRP aaaa 200 OK"]);
    // The last before the first, and the middle cut short: all in one piece.
    let all = [
        peer.request("bbb1", "Byte-Range: 7-9/9\r\n", "GHI", '$'),
        peer.request("bbb2", "Byte-Range: 1-*/9\r\n", "ab", '+'),
        peer.request("bbb3", "Byte-Range: 3-6/9\r\n", "cdEF", '+'),
    ];
    peer.say(&all.concat()).await;
    assert_eq!(peer.hear(3).await, ["MSRP bbb1 200 OK", "MSRP bbb2 200 OK", "MSRP bbb3 200 OK"]);
    // Given up in the middle, and the same Message-ID from its beginning.
    let given_up = peer.request("ccc1", "Byte-Range: 1-*/9\r\n", "xx", '+')
        + &peer.request("ccc2", "Byte-Range: 3-*/9\r\n", "y", '#');
    peer.say(&given_up).await;
    assert_eq!(peer.hear(2).await.len(), 2);
    let again = peer.request("dddd", "Byte-Range: 1-2/2\r\n", "ok", '$');
    peer.say(&again).await;
    peer.hear(1).await;
    assert_eq!(peer.node.bodies(), ["hello", "abcdEFGHI", "ok"]);
}

// Rule: msrp.errors
#[tokio::test]
async fn what_is_not_taken_is_answered_with_its_code() {
    let mut peer = ByHand::start().await;
    let good = peer.request("aaaa", "", "x", '$');
    let too_large = peer.request("bbbb", &format!("Byte-Range: 1-{0}/{0}\r\n", MAX_SIZE + 1), "x", '+');
    for (text, answer) in [
        (good.replace("text/plain", "image/png"), "MSRP aaaa 415 Unsupported Media Type"),
        (too_large, "MSRP bbbb 413 Message Too Large"),
        (good.replace("Message-ID: m\r\n", ""), "MSRP aaaa 400 Bad Request"),
        (good.replace("Message-ID: m", "Byte-Range: x"), "MSRP aaaa 400 Bad Request"),
        (good.replace("SEND", "DANCE"), "MSRP aaaa 501 Not Implemented"),
        (good.replace("byhand", "another"), "MSRP aaaa 481 No Such Session"),
        (good.clone(), "MSRP aaaa 200 OK"),
    ] {
        peer.say(&text).await;
        assert_eq!(peer.hear(1).await, [answer]);
    }
    let text = peer.request("cccc", "", "x", '$');
    peer.socket = TcpStream::connect(peer.node.transport.listening()[0].1).await.unwrap();
    peer.say(&text).await;
    // The connection before is closed, and its session with it, when the node has looked.
    let answer = peer.hear(1).await;
    assert!(answer == ["MSRP cccc 481 No Such Session"] || answer == ["MSRP cccc 506 Bound Elsewhere"], "{answer:?}");
}

// Rule: msrp.bind
#[tokio::test]
async fn a_second_connection_hears_that_the_session_is_bound_elsewhere() {
    let mut peer = ByHand::start().await;
    let hello = peer.request("aaaa", "", "", '$');
    peer.say(&hello).await;
    peer.hear(1).await;
    let other = TcpStream::connect(peer.node.transport.listening()[0].1).await.unwrap();
    let first = std::mem::replace(&mut peer.socket, other);
    peer.say(&hello).await;
    assert_eq!(peer.hear(1).await, ["MSRP aaaa 506 Bound Elsewhere"]);
    drop(first);
}

// Rule: msrp.bounds
#[tokio::test]
async fn a_peer_that_never_says_what_it_wants_is_closed() {
    let mut peer = ByHand::start().await;
    let start = Instant::now();
    peer.is_closed().await;
    assert!(start.elapsed() >= switch::BIND_PATIENCE, "{:?}", start.elapsed());
    peer.node.until(|node| node.transport.connections() == 0).await;
    assert_eq!(peer.node.ended(), [], "the session waits for its own peer");
}

// Rule: msrp.bounds
#[tokio::test]
async fn an_endless_chunk_is_refused_and_its_connection_closed() {
    let mut peer = ByHand::start().await;
    let head = peer.request("aaaa", "", "x", '$').split("x\r\n----").next().unwrap().to_owned();
    peer.say(&head).await;
    let long = vec![b'x'; MAX_SIZE];
    peer.socket.write_all(&long).await.unwrap();
    peer.socket.write_all(b"and more, and more, and more").await.unwrap();
    assert_eq!(peer.hear(1).await, ["MSRP aaaa 413 Message Too Large"]);
    let (node, socket) = (&mut peer.node, &mut peer.socket);
    loop {
        tokio::select! {
            batch = node.inbound.recv() => batch.unwrap().into_iter().for_each(|input| node.step(input)),
            written = socket.write(&long) => if written.is_err() { break },
        }
        if !node.ended().is_empty() {
            break;
        }
    }
    assert_eq!(peer.node.ended(), [Ended::Violation]);
}

// Rule: msrp.bounds
#[tokio::test]
async fn a_peer_that_stops_reading_is_not_read_and_then_closed() {
    let mut peer = ByHand::start().await;
    let hello = peer.request("aaaa", "", "", '$');
    peer.say(&hello).await;
    peer.hear(1).await;
    let (session, body) = (peer.session, vec![b'x'; MAX_SIZE]);
    for token in 0..60 {
        peer.node.send(session, token, &body, |message| message.failure_report = FailureReport::No);
    }
    peer.node.until(|node| !node.ended().is_empty()).await;
    assert_eq!(peer.node.ended(), [Ended::Lost], "the socket did not take anything in time");
    assert_eq!(peer.node.sent().len(), 60);
    assert!(peer.node.sent().contains(&Err(SendFailure::Closed)));
}
