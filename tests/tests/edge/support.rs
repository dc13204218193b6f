//! Edges in this process, with an authority, a DNS and gateways of the test's own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use causeway_edge_proxy::admission::Caps;
use causeway_edge_proxy::edge::Edge;
use causeway_edge_proxy::evidence::Evidences;
use causeway_edge_proxy::limits::StreamLimits;
use causeway_edge_proxy::link::{self, AckHandle, Batch, LinkEnd, OutboundStanza};
use causeway_edge_proxy::listen::{self, Entrance};
use causeway_edge_proxy::resolve::Resolver;
use causeway_edge_proxy::resolve::dns::{
    Answer, Data, Dns, DnsFault, Kind, Question, Record, RecordSet, Security, Tlsa,
};
use causeway_edge_proxy::stream::pool::Pool;
use causeway_edge_proxy::tls::{self, Material, Tls};
use causeway_shared::domain::DomainName;
use causeway_shared::jid::Jid;
use causeway_shared::link::{GatewaySettings, Outcome, PartnerRecord, Snapshot, StanzaKind};
use causeway_shared::partner::{Negotiation, NegotiationSettings};
use causeway_shared::pki::{self, Trust};
use causeway_shared::telemetry::Span;
use causeway_shared::verdict::Verdict;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An authority that everyone trusts, and a DNS that everyone asks.
#[derive(Clone)]
pub(crate) struct World {
    issuer: Arc<Issuer<'static, KeyPair>>,
    anchor: CertificateDer<'static>,
    pub(crate) dns: Zone,
    /// Where web servers of domains listen.
    pub(crate) web: u16,
}

/// The certificate of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    Good,
    SelfSigned,
    Expired,
    OtherName,
    /// It names the host that SRV records lead to, and not the domain.
    HostOfSrv,
    /// It names the domain in the common name alone.
    CommonName,
    ClientOnly,
}

/// SRV and addresses, on loopback; TLSA records of hosts once it is signed.
#[derive(Clone, Default)]
pub(crate) struct Zone {
    servers: Arc<Mutex<HashMap<String, SocketAddr>>>,
    asked: Arc<Mutex<Vec<String>>>,
    is_silent: Arc<AtomicBool>,
    /// Once it is signed.
    signed: Arc<Mutex<Option<HashMap<String, Tlsa>>>>,
}

impl Zone {
    pub(crate) fn publish(&self, domain: &str, server: SocketAddr) {
        self.servers.lock().unwrap().insert(domain.to_owned(), server);
    }

    /// Every name that was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// From now on no question about a service is answered.
    pub(crate) fn fall_silent_about_services(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// Lets DNSSEC prove all that is said from now on, and says this of a domain's server.
    pub(crate) fn sign(&self, domain: &str, record: Tlsa) {
        self.signed.lock().unwrap().get_or_insert_default().insert(domain.to_owned(), record);
    }
}

impl Dns for Zone {
    fn ask(&self, question: Question) -> Answer {
        let name = &question.name;
        self.asked.lock().unwrap().push(name.clone());
        let (domain, is_service) = match name.strip_prefix("_xmpp-server._tcp.") {
            Some(domain) => (domain.to_owned(), true),
            None => (name.trim_start_matches("xmpp.").to_owned(), false),
        };
        let found = self.servers.lock().unwrap().get(&domain).copied();
        let target = format!("xmpp.{domain}");
        let signed = self.signed.lock().unwrap();
        let tlsa = name.split_once("._tcp.xmpp.").and_then(|(_, domain)| signed.as_ref()?.get(domain).cloned());
        let data = match (question.kind, found) {
            (Kind::Srv, Some(server)) if is_service => {
                Some(Data::Srv(Record { priority: 0, weight: 0, port: server.port(), target }))
            }
            (Kind::A, Some(SocketAddr::V4(server))) => Some(Data::A(*server.ip())),
            (Kind::Aaaa, Some(SocketAddr::V6(server))) => Some(Data::Aaaa(*server.ip())),
            (Kind::Tlsa, _) => tlsa.map(Data::Tlsa),
            (Kind::Srv | Kind::A | Kind::Aaaa, _) => None,
        };
        let security = if signed.is_some() { Security::Secure } else { Security::Insecure };
        let ttl = Duration::ZERO;
        let is_silent = is_service && self.is_silent.load(Ordering::Relaxed);
        Box::pin(async move {
            if is_silent {
                return Err(DnsFault::Unavailable("no answer".to_owned()));
            }
            let data = vec![data.ok_or(DnsFault::Absent { ttl, security })?];
            Ok(RecordSet { data, ttl, security })
        })
    }
}

pub(crate) fn settings(tls: Negotiation, sasl: Negotiation, dialback: bool) -> NegotiationSettings {
    NegotiationSettings { tls, sasl, dialback }
}

impl World {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "The authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let anchor = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Arc::new(Issuer::new(params, key)), anchor, dns: Zone::default(), web: 443 }
    }

    pub(crate) fn material(&self, domain: &str, certificate: Certificate) -> Material {
        let (leaf, key) = self.issue(domain, certificate);
        Material::new(vec![tls::certified(vec![leaf], key).unwrap()], self.trust()).unwrap()
    }

    /// A certificate that is not like any other.
    pub(crate) fn material_of(&self, params: &CertificateParams) -> Material {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &*self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Material::new(vec![tls::certified(vec![leaf], key).unwrap()], self.trust()).unwrap()
    }

    /// The authority of the tests, trusted for everyone.
    pub(crate) fn trust(&self) -> Trust {
        Trust { anchors: vec![pki::trust::anchor(&self.anchor).unwrap()], ..Trust::default() }
    }

    /// A revocation list of the authority, in DER.
    pub(crate) fn list(&self, serials: &[u64]) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: rcgen::date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2025, 1, 1),
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&*self.issuer).unwrap().der().to_vec()
    }

    /// The authority's certificate, in PEM.
    pub(crate) fn bundle(&self) -> String {
        pem("CERTIFICATE", &self.anchor)
    }

    pub(crate) fn issue(
        &self,
        domain: &str,
        certificate: Certificate,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let name = match certificate {
            Certificate::Good | Certificate::SelfSigned | Certificate::Expired | Certificate::ClientOnly => {
                domain.to_owned()
            }
            Certificate::OtherName | Certificate::CommonName => "other.example".to_owned(),
            Certificate::HostOfSrv => format!("xmpp.{domain}"),
        };
        let mut params = CertificateParams::new(vec![name]).unwrap();
        if certificate == Certificate::CommonName {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, domain);
        }
        if certificate == Certificate::Expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        if certificate == Certificate::ClientOnly {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        let key = KeyPair::generate().unwrap();
        let leaf = match certificate {
            Certificate::SelfSigned => params.self_signed(&key).unwrap(),
            Certificate::Good
            | Certificate::Expired
            | Certificate::OtherName
            | Certificate::HostOfSrv
            | Certificate::ClientOnly
            | Certificate::CommonName => params.signed_by(&key, &self.issuer).unwrap(),
        };
        (leaf.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// TLS of a peer that shows a certificate for a domain.
    pub(crate) fn client(&self, domain: &str, certificate: Certificate) -> Arc<ClientConfig> {
        let (leaf, key) = self.issue(domain, certificate);
        Arc::new(self.client_with(rustls::DEFAULT_VERSIONS, vec![leaf], key))
    }

    /// TLS of a peer that shows these certificates.
    pub(crate) fn client_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.anchor.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap()
    }

    /// TLS of a partner's server that shows a certificate for a domain.
    pub(crate) fn server(&self, domain: &str, certificate: Certificate) -> Arc<ServerConfig> {
        let (leaf, key) = self.issue(domain, certificate);
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key)
            .unwrap();
        Arc::new(config)
    }

    /// Starts an edge for one domain with one partner.
    pub(crate) async fn edge(
        &self,
        domain: &str,
        partner: &str,
        negotiation: NegotiationSettings,
        certificate: Certificate,
    ) -> TestEdge {
        self.edge_with(domain, partner, negotiation, self.material(domain, certificate)).await
    }

    /// The same with other material.
    pub(crate) async fn edge_with(
        &self,
        domain: &str,
        partner: &str,
        negotiation: NegotiationSettings,
        material: Material,
    ) -> TestEdge {
        let snapshot = Snapshot {
            version: 1,
            local_domains: vec![name(domain)],
            partners: vec![PartnerRecord {
                allow_private_addresses: true,
                ..PartnerRecord::new(name(partner), negotiation)
            }],
            settings: GatewaySettings::default(),
            dialback_secrets: vec![Bytes::from(format!("the secret of {domain}"))],
        };
        let (handle, mut end) = link::channel();
        let finishes = Arc::new(AtomicBool::new(true));
        end.batches = gateway(end.batches, Arc::clone(&finishes));
        let tls = Tls::new(material);
        let resolver = Resolver::new(Arc::new(self.dns.clone()));
        let mut edge = Edge::new(handle, tls, resolver, StreamLimits::default(), Caps::default());
        edge.evidences = Evidences::with_port(self.web);
        let edge = Arc::new(edge);
        end.has_gateway.send_replace(true);
        end.snapshots.send_replace(Arc::new(snapshot.clone()));
        let mut applied = edge.policy_changes();
        tokio::spawn({
            let edge = Arc::clone(&edge);
            async move { edge.follow_snapshots().await }
        });
        applied.wait_for(|version| *version == 1).await.unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.dns.publish(domain, address);
        let pool = Pool::new(Arc::clone(&edge));
        let (alive, _) = mpsc::channel(1);
        tokio::spawn(listen::accept(listener, Entrance::default(), Arc::clone(&pool), alive));
        TestEdge { edge, pool, end, address, snapshot, dns: self.dns.clone(), finishes }
    }
}

/// A gateway that finishes with stanzas as they come, or leaves that to the test.
fn gateway(mut batches: mpsc::Receiver<Batch>, finishes: Arc<AtomicBool>) -> mpsc::Receiver<Batch> {
    let (sender, receiver) = mpsc::channel(1024);
    tokio::spawn(async move {
        while let Some(mut batch) = batches.recv().await {
            if finishes.load(Ordering::SeqCst) {
                batch.stanzas.iter_mut().for_each(|stanza| stanza.finish(&Outcome::Done));
            }
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// DER as files have it (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64(der))
}

/// RFC 4648, section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number =
            chunk.iter().chain([0; 2].iter()).take(3).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = ALPHABET[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

pub(crate) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// An edge and its gateway's end of the link.
pub(crate) struct TestEdge {
    pub(crate) edge: Arc<Edge>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) end: LinkEnd,
    pub(crate) address: SocketAddr,
    pub(crate) snapshot: Snapshot,
    pub(crate) dns: Zone,
    /// Whether the gateway finishes with stanzas at once.
    pub(crate) finishes: Arc<AtomicBool>,
}

impl TestEdge {
    /// Lets DNS lead to another server of a domain.
    pub(crate) fn publish(&self, domain: &str, server: SocketAddr) {
        self.dns.publish(domain, server);
    }

    /// Opens one more listener.
    pub(crate) async fn listen(&self, entrance: Entrance) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (alive, _) = mpsc::channel(1);
        tokio::spawn(listen::accept(listener, entrance, Arc::clone(&self.pool), alive));
        address
    }

    /// Puts other limits in force.
    pub(crate) fn limit(&self, change: impl FnOnce(&mut StreamLimits, &mut Caps)) {
        let (mut limits, mut caps) = (self.edge.limits(), self.edge.caps());
        change(&mut limits, &mut caps);
        self.edge.set_limits(limits, caps);
    }

    /// Sends a message to a partner; the receiver learns what became of it.
    pub(crate) fn send(&self, from: &str, to: &str, body: &str) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        self.pool.send(OutboundStanza {
            kind: StanzaKind::Message,
            from: Jid::parse(from).unwrap(),
            to: Jid::parse(to).unwrap(),
            xml: Bytes::from(format!(
                "<message xmlns='jabber:server' from='{from}' to='{to}'><body>{body}</body></message>"
            )),
            patience: Duration::ZERO,
            span: Span::NONE,
            ack: AckHandle::new(move |outcome| {
                let _nobody_asks = tell.send(outcome);
            }),
        });
        told
    }

    /// Whether no connection is open, in either direction.
    pub(crate) fn is_without_connections(&self) -> bool {
        self.edge.admission.total() == 0
    }

    /// The next batch that the gateway gets.
    pub(crate) async fn batch(&mut self) -> Batch {
        timeout(PATIENCE, self.end.batches.recv()).await.expect("a batch in time").unwrap()
    }

    /// The next verdict that the gateway gets.
    pub(crate) async fn verdict(&mut self) -> Verdict {
        timeout(PATIENCE, self.end.verdicts.recv()).await.expect("a verdict in time").unwrap()
    }

    /// Puts another policy in force.
    pub(crate) async fn apply(&mut self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot);
        self.snapshot.version += 1;
        let version = self.snapshot.version;
        let mut applied = self.edge.policy_changes();
        self.end.snapshots.send_replace(Arc::new(self.snapshot.clone()));
        applied.wait_for(|applied| *applied == version).await.unwrap();
    }
}

pub(crate) async fn outcome(told: oneshot::Receiver<Outcome>) -> Outcome {
    timeout(PATIENCE, told).await.expect("an outcome in time").unwrap()
}

/// A peer that says what the test says.
pub(crate) struct Peer(TcpStream);

pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
    from='fabrikam.example' to='contoso.example' version='1.0'>";

impl Peer {
    pub(crate) async fn connect(edge: &TestEdge) -> Self {
        Self(TcpStream::connect(edge.address).await.unwrap())
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        // An edge may have hung up in the middle of it.
        let _either = self.0.write_all(text.as_ref()).await;
    }

    /// Reads until a text has come.
    pub(crate) async fn hear(&mut self, expected: &str) -> String {
        let mut heard = Vec::new();
        let listen = async {
            while !String::from_utf8_lossy(&heard).contains(expected) {
                let mut chunk = [0; 4096];
                match self.0.read(&mut chunk).await {
                    Ok(count) if count > 0 => heard.extend_from_slice(&chunk[..count]),
                    _ => break,
                }
            }
        };
        let in_time = timeout(PATIENCE, listen).await.is_ok();
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(in_time && heard.contains(expected), "expected {expected}, heard {heard}");
        heard
    }

    /// Reads to the end of the connection.
    pub(crate) async fn hear_all(&mut self) -> String {
        let mut heard = Vec::new();
        // A reset ends it as well as a close.
        let _either = timeout(PATIENCE, self.0.read_to_end(&mut heard)).await.expect("the connection ends in time");
        String::from_utf8_lossy(&heard).into_owned()
    }
}
