//! Nodes of the link on loopback: an authority, edges and gateways with a runtime each, so that one can be killed, and
//! a road between them that can be cut.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_edge_proxy::link as edge;
use causeway_gateway::link as gateway;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::Jid;
use causeway_shared::link::tls;
use causeway_shared::link::{Method, Outcome, PairContext, Snapshot, StanzaKind, TraceContext};
use causeway_shared::telemetry::Span;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Things that a test has not looked at yet.
const UNSEEN: usize = 100_000;

/// What the edges of these tests are called, and the gateways.
pub(crate) const EDGE_NAME: &str = "edge.link.example";
pub(crate) const GATEWAY_NAME: &str = "gateway.link.example";

/// Waits until something holds.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let give_up_at = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up_at, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a node did, in order, to be looked at by any thread.
pub(crate) struct Seen<T>(Mutex<Receiver<T>>);

impl<T> Seen<T> {
    fn channel() -> (SyncSender<T>, Self) {
        let (sender, receiver) = sync_channel(UNSEEN);
        (sender, Self(Mutex::new(receiver)))
    }

    /// The next; it must come in time.
    pub(crate) fn next(&self) -> T {
        self.0.lock().unwrap().recv_timeout(PATIENCE).expect("something happens in time")
    }

    /// What happened and was not looked at.
    pub(crate) fn rest(&self) -> Vec<T> {
        self.0.lock().unwrap().try_iter().collect()
    }
}

/// The contents of the PEM files of a node.
pub(crate) struct LinkPem {
    certificate: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

/// The TLS configuration of a gateway.
pub(crate) fn client_config(files: &LinkPem) -> Arc<rustls::ClientConfig> {
    tls::client_config(&files.certificate, &files.key, &files.ca).unwrap()
}

/// The TLS configuration of an edge.
pub(crate) fn server_config(files: &LinkPem) -> Arc<rustls::ServerConfig> {
    tls::server_config(&files.certificate, &files.key, &files.ca).unwrap()
}

/// The authority of a link.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "link authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Files of a node with this name, which trusts this authority.
    pub(crate) fn files(&self, name: &str) -> LinkPem {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem().into_bytes();
        LinkPem { certificate, key: key.serialize_pem().into_bytes(), ca: self.pem.clone() }
    }

    /// Files of a node that trusts this authority and has its certificate from another.
    pub(crate) fn files_of_a_stranger(&self, name: &str) -> LinkPem {
        LinkPem { ca: self.pem.clone(), ..Self::new().files(name) }
    }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub(crate) fn names(name: &str) -> Arc<Vec<String>> {
    Arc::new(vec![name.to_owned()])
}

pub(crate) fn snapshot(version: u64) -> Arc<Snapshot> {
    Arc::new(Snapshot { version, ..Snapshot::default() })
}

/// What an edge does with the stanzas of gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// They are written at once.
    Write,
    /// They wait, in [`EdgeNode::held`].
    Hold,
}

/// An edge without streams.
pub(crate) struct EdgeNode {
    pub(crate) handle: edge::LinkHandle,
    pub(crate) address: SocketAddr,
    /// Stanzas of gateways, by their text.
    pub(crate) written: Seen<String>,
    pub(crate) held: Arc<Mutex<Vec<edge::AckHandle>>>,
    /// Stanzas of partners that no gateway took, by their text.
    pub(crate) bounced: Seen<(String, StanzaCondition)>,
    pub(crate) tls: watch::Sender<Arc<rustls::ServerConfig>>,
    pub(crate) allowed: watch::Sender<Arc<Vec<String>>>,
    shutdown: watch::Sender<bool>,
    runtime: Runtime,
}

struct Writer {
    streams: Streams,
    written: SyncSender<String>,
    held: Arc<Mutex<Vec<edge::AckHandle>>>,
}

impl edge::Outbound for Writer {
    fn deliver(&self, stanza: edge::OutboundStanza) {
        self.written.try_send(text(&stanza.xml)).unwrap();
        match self.streams {
            Streams::Write => stanza.ack.done(),
            Streams::Hold => self.held.lock().unwrap().push(stanza.ack),
        }
    }
}

struct Bounces(SyncSender<(String, StanzaCondition)>);

impl edge::Bouncer for Bounces {
    fn bounce(&self, stanza: edge::InboundStanza, condition: StanzaCondition, _text: &str) {
        self.0.try_send((text(&stanza.xml), condition)).unwrap();
    }
}

fn text(xml: &Bytes) -> String {
    String::from_utf8(xml.to_vec()).unwrap()
}

impl EdgeNode {
    pub(crate) fn start(name: &str, files: &LinkPem, streams: Streams) -> Self {
        Self::start_with_patience(name, files, streams, PATIENCE)
    }

    /// `patience`: how long a partner's stanza waits for a gateway.
    pub(crate) fn start_with_patience(name: &str, files: &LinkPem, streams: Streams, patience: Duration) -> Self {
        let runtime = runtime();
        let (handle, core) = edge::open(format!("instance of {name}"), patience);
        let (tls, newest_tls) = watch::channel(server_config(files));
        let (allowed, newest_allowed) = watch::channel(names(GATEWAY_NAME));
        let (shutdown, stop) = watch::channel(false);
        let (written_in, written) = Seen::channel();
        let (bounced_in, bounced) = Seen::channel();
        let held = Arc::default();
        let config = edge::server::LinkConfig {
            edge_id: name.to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: newest_tls,
            allowed_gateways: newest_allowed,
        };
        let writer = Arc::new(Writer { streams, written: written_in, held: Arc::clone(&held) });
        let server = edge::server::start(config, core, writer, Arc::new(Bounces(bounced_in)), stop);
        let address = runtime.block_on(server).unwrap().listening;
        Self { handle, address, written, held, bounced, tls, allowed, shutdown, runtime }
    }

    /// Hands in stanzas of one pair, as one read would bring them.
    pub(crate) fn submit(&self, from: &str, texts: impl IntoIterator<Item = String>) {
        let batch = texts.into_iter().map(|text| inbound(from, text)).collect();
        self.runtime.block_on(self.handle.submit(&context(from), batch)).unwrap();
    }

    pub(crate) fn has_gateway(&self) -> bool {
        *self.handle.has_gateway().borrow()
    }

    /// Dies without a word.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
    }

    /// Ends in order.
    pub(crate) fn stop(&self) {
        self.shutdown.send_replace(true);
    }
}

/// The trace of all stanzas of these tests.
pub(crate) const TRACE: TraceContext = TraceContext([7; 25]);

fn inbound(from: &str, text: String) -> edge::InboundStanza {
    edge::InboundStanza {
        kind: StanzaKind::Message,
        from: Jid::parse(from).unwrap(),
        to: Jid::parse("alice@contoso.example").unwrap(),
        xml: Bytes::from(text),
        span: Span::NONE,
        arrived_ms: 5,
        receipt: None,
    }
}

/// How a pair of these tests was authenticated.
pub(crate) fn context(from: &str) -> Arc<PairContext> {
    let domain = |name: &str| DomainName::parse(name).unwrap();
    Arc::new(PairContext {
        pair: DomainPair { local: domain("contoso.example"), remote: domain(Jid::parse(from).unwrap().domain()) },
        method: Method::SaslExternal,
        stream_id: format!("stream of {from}"),
        peer_address: "192.0.2.1:5269".to_owned(),
        certificate_sha256: Some([9; 32]),
    })
}

/// A message of ours; its text is its key.
pub(crate) fn outbound(to: &str, key: u64, patience: Duration) -> gateway::StanzaOut {
    gateway::StanzaOut {
        key,
        kind: StanzaKind::Message,
        from: Jid::parse("alice@contoso.example").unwrap(),
        to: Jid::parse(to).unwrap(),
        xml: Bytes::from(key.to_string()),
        patience,
        trace: TRACE,
        is_owed: false,
    }
}

/// A gateway without an engine.
pub(crate) struct GatewayNode {
    pub(crate) links: gateway::Links,
    pub(crate) events: Seen<gateway::LinkEvent>,
    pub(crate) edges: watch::Sender<Arc<Vec<gateway::EdgeAddress>>>,
    runtime: Runtime,
    _alive: watch::Sender<bool>,
}

impl GatewayNode {
    /// A gateway that has published a snapshot of this version.
    pub(crate) fn start(name: &str, files: &LinkPem, edges: &[SocketAddr], version: u64) -> Self {
        let runtime = runtime();
        let (edges_in, edges) =
            watch::channel(Arc::new(edges.iter().map(|edge| gateway::EdgeAddress(edge.to_string())).collect()));
        let (alive, shutdown) = watch::channel(false);
        let config = gateway::LinkConfig {
            gateway_id: name.to_owned(),
            instance_id: format!("instance of {name}"),
            edges,
            tls: watch::channel(client_config(files)).1,
            allowed_edges: watch::channel(names(EDGE_NAME)).1,
        };
        let (links, mut incoming) = {
            let _inside = runtime.enter();
            gateway::Links::start(config, shutdown)
        };
        let (events_in, events) = Seen::channel();
        runtime.spawn(async move {
            while let Some(event) = incoming.recv().await {
                let _test_over = events_in.try_send(event);
            }
        });
        links.publish(snapshot(version));
        Self { links, events, edges: edges_in, runtime, _alive: alive }
    }

    /// The stanzas of the next event that brings some.
    pub(crate) fn next_stanzas(&self) -> Vec<gateway::StanzaIn> {
        loop {
            if let gateway::LinkEvent::Stanzas(stanzas) = self.events.next() {
                return stanzas;
            }
        }
    }

    /// Stanzas that have come, if any have.
    pub(crate) fn next_stanzas_if_any(&self) -> Vec<gateway::StanzaIn> {
        let events = self.events.rest().into_iter();
        events
            .flat_map(|event| match event {
                gateway::LinkEvent::Stanzas(stanzas) => stanzas,
                gateway::LinkEvent::Outcomes(_)
                | gateway::LinkEvent::Verdicts(_)
                | gateway::LinkEvent::Streams(..)
                | gateway::LinkEvent::EdgeUp(_)
                | gateway::LinkEvent::EdgeDown(..) => Vec::new(),
            })
            .collect()
    }

    /// The next stanzas: so many and no more.
    pub(crate) fn stanzas(&self, count: usize) -> Vec<gateway::StanzaIn> {
        let mut stanzas = Vec::with_capacity(count);
        while stanzas.len() < count {
            stanzas.extend(self.next_stanzas());
        }
        assert_eq!(stanzas.len(), count);
        stanzas
    }

    /// The next outcomes that come together.
    pub(crate) fn some_outcomes(&self) -> Vec<(u64, Outcome)> {
        loop {
            if let gateway::LinkEvent::Outcomes(outcomes) = self.events.next() {
                return outcomes;
            }
        }
    }

    /// The next outcomes: so many and no more.
    pub(crate) fn outcomes(&self, count: usize) -> Vec<(u64, Outcome)> {
        let mut outcomes = Vec::with_capacity(count);
        while outcomes.len() < count {
            outcomes.extend(self.some_outcomes());
        }
        assert_eq!(outcomes.len(), count);
        outcomes
    }

    /// The cause of the next verdict.
    pub(crate) fn verdict(&self) -> String {
        loop {
            match self.events.next() {
                gateway::LinkEvent::Verdicts(mut verdicts) => return verdicts.remove(0).0.cause,
                gateway::LinkEvent::Stanzas(_)
                | gateway::LinkEvent::Outcomes(_)
                | gateway::LinkEvent::Streams(..)
                | gateway::LinkEvent::EdgeUp(_)
                | gateway::LinkEvent::EdgeDown(..) => {}
            }
        }
    }

    /// Which partners are there for the first time next, and on which process.
    pub(crate) fn streams(&self) -> (u64, Vec<DomainName>) {
        loop {
            if let gateway::LinkEvent::Streams(origin, partners) = self.events.next() {
                return (origin, partners);
            }
        }
    }

    /// How the next attachment ends, and to which process.
    pub(crate) fn parted(&self) -> (gateway::EdgeProcess, gateway::Parting) {
        loop {
            if let gateway::LinkEvent::EdgeDown(edge, parting) = self.events.next() {
                return (edge, parting);
            }
        }
    }

    /// Sends messages of one pair; each text is its key.
    pub(crate) fn send(&self, to: &str, keys: impl IntoIterator<Item = u64>, patience: Duration) {
        let stanza = |key| outbound(to, key, patience);
        let refused = self.links.send(keys.into_iter().map(stanza).collect());
        assert_eq!(refused, []);
    }

    /// Waits for something of the gateway's.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn attached(&self, count: usize) {
        eventually(&format!("{count} attached edges"), || self.links.attached() == count);
    }

    /// Ends in order.
    pub(crate) fn shut_down(&self, patience: Duration) {
        self.runtime.block_on(self.links.shut_down(patience));
    }

    /// Dies without a word.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Says that stanzas are done.
pub(crate) fn finish(gateway: &GatewayNode, stanzas: impl IntoIterator<Item = gateway::StanzaIn>) {
    gateway.links.finish(stanzas.into_iter().map(|stanza| (stanza.receipt, Outcome::Done)));
}

/// What stands in stanzas.
pub(crate) fn texts(stanzas: &[gateway::StanzaIn]) -> Vec<String> {
    stanzas.iter().map(|stanza| text(&stanza.xml)).collect()
}

/// A road to an edge that can be cut while both ends live.
pub(crate) struct Road {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<u32>,
    _runtime: Runtime,
}

impl Road {
    pub(crate) fn to(edge: SocketAddr) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(0);
        runtime.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                is_cut.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(edge).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cut, _runtime: runtime }
    }

    /// Loses the connections that there are; new ones find the road whole.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}
