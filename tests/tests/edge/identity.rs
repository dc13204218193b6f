//! Whom edges believe, over real sockets: certificates, trust and revocation lists that change while streams live, pins,
//! DANE and POSH.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use causeway_edge_proxy::expiry;
use causeway_edge_proxy::resolve::Tlsa;
use causeway_edge_proxy::tls::{CertificateFiles, Material, TrustFiles};
use causeway_shared::link::{Failure, Method, Outcome};
use causeway_shared::partner::Negotiation::{NotSupported, Required};
use causeway_shared::verdict::{Rung, Verdict};
use rcgen::CertificateParams;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{Certificate, PATIENCE, TestEdge, World, base64, outcome, pem, settings};

const CONTOSO: &str = "contoso.example";
const FABRIKAM: &str = "fabrikam.example";
const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";

/// Contoso and fabrikam in one world, with nothing but EXTERNAL.
async fn two(world: &World, contoso: Certificate, fabrikam: Certificate) -> (TestEdge, TestEdge) {
    let negotiation = settings(Required, Required, true);
    let contoso = eager(world.edge(CONTOSO, FABRIKAM, negotiation, contoso).await);
    (contoso, world.edge(FABRIKAM, CONTOSO, negotiation, fabrikam).await)
}

/// An edge that tries again at once: these tests end streams that are young.
fn eager(edge: TestEdge) -> TestEdge {
    let mut limits = edge.edge.limits();
    limits.back_off.first = Duration::from_millis(10);
    edge.edge.set_limits(limits, edge.edge.caps());
    edge
}

/// A message passes from contoso to fabrikam, proved by certificates; the sum of contoso's.
async fn passes(contoso: &TestEdge, fabrikam: &mut TestEdge) -> [u8; 32] {
    let told = contoso.send(ALICE, BOB, "hello");
    let batch = fabrikam.batch().await;
    assert_eq!(batch.context.method, Method::SaslExternal);
    assert_eq!(outcome(told).await, Outcome::Done);
    batch.context.certificate_sha256.unwrap()
}

/// A message from contoso to fabrikam does not pass; why.
async fn fails(contoso: &TestEdge) -> Verdict {
    match outcome(contoso.send(ALICE, BOB, "hello")).await {
        Outcome::Failed(Failure { verdict: Some(verdict), .. }) => verdict,
        other => panic!("{other:?}"),
    }
}

async fn ends(edge: &TestEdge) {
    let end = async {
        while !edge.is_without_connections() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the stream ends in time");
}

#[tokio::test]
async fn a_new_certificate_ends_no_stream_and_is_shown_on_the_next() {
    let world = World::new();
    let (contoso, mut fabrikam) = two(&world, Certificate::Good, Certificate::Good).await;
    let old = passes(&contoso, &mut fabrikam).await;
    contoso.edge.renew(world.material(CONTOSO, Certificate::Good));
    fabrikam.edge.renew(world.material(FABRIKAM, Certificate::Good));
    assert_eq!(passes(&contoso, &mut fabrikam).await, old, "on the stream as it was");
    fabrikam.apply(|snapshot| snapshot.partners.clear()).await;
    ends(&contoso).await;
    let partners = contoso.snapshot.partners.clone();
    fabrikam
        .apply(|snapshot| {
            snapshot.partners = partners;
            snapshot.partners[0].domain = contoso.snapshot.local_domains[0].clone();
        })
        .await;
    let new = passes(&contoso, &mut fabrikam).await;
    assert_ne!(new, old);
    assert_eq!(new, contoso.edge.tls.certificates()[0].sha256);
}

#[tokio::test]
async fn trust_that_is_withdrawn_ends_the_streams_that_rest_on_it() {
    let world = World::new();
    let (contoso, mut fabrikam) = two(&world, Certificate::Good, Certificate::Good).await;
    passes(&contoso, &mut fabrikam).await;
    let other = World::new();
    fabrikam.edge.renew(other.material(FABRIKAM, Certificate::Good));
    let verdict = fabrikam.verdict().await;
    assert_eq!(verdict.rung, Rung::Chain);
    ends(&contoso).await;
    fabrikam.edge.renew(world.material(FABRIKAM, Certificate::Good));
    passes(&contoso, &mut fabrikam).await;
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_streams_and_begins_none() {
    let world = World::new();
    let negotiation = settings(Required, Required, true);
    let mut params = CertificateParams::new(vec![CONTOSO.to_owned()]).unwrap();
    params.not_after = (SystemTime::now() + Duration::from_secs(3)).into();
    let contoso = eager(world.edge_with(CONTOSO, FABRIKAM, negotiation, world.material_of(&params)).await);
    let mut fabrikam = world.edge(FABRIKAM, CONTOSO, negotiation, Certificate::Good).await;
    passes(&contoso, &mut fabrikam).await;
    let verdict = fabrikam.verdict().await;
    assert!(verdict.cause.contains("expired"), "{verdict:?}");
    ends(&contoso).await;
    fails(&contoso).await;
}

#[tokio::test]
async fn a_revocation_list_in_a_file_ends_streams_and_refuses_external() {
    let world = World::new();
    let negotiation = settings(Required, Required, true);
    let mut params = CertificateParams::new(vec![CONTOSO.to_owned()]).unwrap();
    params.serial_number = Some(77.into());
    let contoso = eager(world.edge_with(CONTOSO, FABRIKAM, negotiation, world.material_of(&params)).await);
    let files = Files::new(&world);
    let mut fabrikam = world.edge_with(FABRIKAM, CONTOSO, negotiation, files.load()).await;
    passes(&contoso, &mut fabrikam).await;
    for list in [world.list(&[77]), pem("X509 CRL", &world.list(&[78, 77])).into_bytes()] {
        std::fs::write(files.path("list"), list).unwrap();
        fabrikam.edge.renew(files.load());
        let verdict = fabrikam.verdict().await;
        assert!(verdict.rung == Rung::Chain && verdict.cause.contains("revoked"), "{verdict:?}");
        ends(&contoso).await;
        std::fs::write(files.path("list"), world.list(&[78])).unwrap();
        fabrikam.edge.renew(files.load());
        passes(&contoso, &mut fabrikam).await;
    }
    std::fs::write(files.path("list"), world.list(&[77])).unwrap();
    fabrikam.edge.renew(files.load());
    ends(&contoso).await;
    fails(&contoso).await;
}

/// Certificate, key, bundle and list of fabrikam, as files.
struct Files(std::path::PathBuf);

impl Files {
    fn new(world: &World) -> Self {
        let directory = std::env::temp_dir().join(format!("causeway-identity-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (leaf, key) = world.issue(FABRIKAM, Certificate::Good);
        let files = Self(directory);
        std::fs::write(files.path("chain"), pem("CERTIFICATE", &leaf)).unwrap();
        std::fs::write(files.path("key"), pem("PRIVATE KEY", key.secret_der())).unwrap();
        std::fs::write(files.path("bundle"), world.bundle()).unwrap();
        std::fs::write(files.path("list"), world.list(&[])).unwrap();
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }

    fn load(&self) -> Material {
        let own = CertificateFiles { chain: self.path("chain"), key: self.path("key") };
        let trust =
            TrustFiles { bundle: Some(self.path("bundle")), lists: vec![self.path("list")], ..TrustFiles::default() };
        Material::load(&[own], &trust).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_pinned_key_needs_no_authority_and_another_key_passes_by_no_method() {
    let world = World::new();
    let negotiation = settings(Required, NotSupported, true);
    let mut contoso = world.edge(CONTOSO, FABRIKAM, negotiation, Certificate::SelfSigned).await;
    let mut fabrikam = world.edge(FABRIKAM, CONTOSO, negotiation, Certificate::SelfSigned).await;
    let key = |edge: &TestEdge| edge.edge.tls.certificates()[0].key_sha256;
    let (ours, theirs) = (key(&contoso), key(&fabrikam));
    contoso.apply(|snapshot| snapshot.partners[0].pins = vec![theirs]).await;
    fabrikam.apply(|snapshot| snapshot.partners[0].pins = vec![ours]).await;
    let told = contoso.send(ALICE, BOB, "hello");
    assert_eq!(fabrikam.batch().await.context.method, Method::TlsDialbackCertificate);
    assert_eq!(outcome(told).await, Outcome::Done);
    // The partner's key changes: the verdict names both, and dialback does not make up for it.
    fabrikam.edge.renew(world.material(FABRIKAM, Certificate::Good));
    contoso.apply(|snapshot| snapshot.partners[0].pins = vec![theirs, [7; 32]]).await;
    fabrikam.apply(|snapshot| snapshot.settings.stream_inactivity_timeout_s = 1).await;
    ends(&contoso).await;
    let hexadecimal = |sum: [u8; 32]| sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let verdict = fails(&contoso).await;
    for sum in [key(&fabrikam), theirs, [7; 32]] {
        assert!(verdict.cause.contains(&hexadecimal(sum)), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_tlsa_record_proves_a_self_signed_certificate_where_dnssec_proves_the_record() {
    let world = World::new();
    let (mut contoso, mut fabrikam) = two(&world, Certificate::Good, Certificate::SelfSigned).await;
    let key = fabrikam.edge.tls.certificates()[0].key_sha256;
    contoso.apply(|snapshot| snapshot.partners[0].options.dane = true).await;
    let verdict = fails(&contoso).await;
    assert!(verdict.cause.contains("DANE: DNSSEC proves no TLSA records"), "{verdict:?}");
    world.dns.sign(FABRIKAM, Tlsa { usage: 3, selector: 1, matching: 1, data: key.to_vec() });
    let mut contoso = world.edge(CONTOSO, FABRIKAM, settings(Required, Required, true), Certificate::Good).await;
    contoso.apply(|snapshot| snapshot.partners[0].options.dane = true).await;
    passes(&contoso, &mut fabrikam).await;
    // And the other way: who connects is proved by the record of the servers of the domain it claims.
    let told = fabrikam.send(BOB, ALICE, "hello");
    assert_eq!(contoso.batch().await.context.method, Method::SaslExternal);
    assert_eq!(outcome(told).await, Outcome::Done);
}

#[tokio::test]
async fn an_own_certificate_that_has_expired_is_told_at_the_start_and_at_each_reload() {
    let world = World::new();
    let mut contoso = world.edge(CONTOSO, FABRIKAM, settings(Required, Required, true), Certificate::Expired).await;
    let watching = tokio::spawn(expiry::watch(Arc::clone(&contoso.edge)));
    for _ in 0..2 {
        let verdict = contoso.verdict().await;
        assert!(verdict.cause.starts_with("our certificate for DNS:contoso.example has expired"), "{verdict:?}");
        contoso.edge.renew(world.material(CONTOSO, Certificate::Expired));
    }
    watching.abort();
}

/// A web server that says one thing to everybody.
struct Web {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Web {
    async fn start(world: &World, certificate: Certificate, answer: impl Into<Vec<u8>>) -> Self {
        Self::of(FABRIKAM, world, certificate, answer).await
    }

    async fn of(domain: &'static str, world: &World, certificate: Certificate, answer: impl Into<Vec<u8>>) -> Self {
        let (leaf, key) = world.issue(domain, certificate);
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let (count, answer) = (Arc::clone(&asked), answer.into());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    request.push(byte);
                }
                if request.is_empty() {
                    continue;
                }
                let request = String::from_utf8(request).unwrap();
                assert!(request.starts_with("GET /.well-known/posh/xmpp-server.json HTTP/1.1\r\n"), "{request}");
                assert!(request.to_ascii_lowercase().contains(&format!("host: {domain}:{port}\r\n")), "{request}");
                count.fetch_add(1, Ordering::SeqCst);
                let _may_hang_up = stream.write_all(&answer).await;
                let _may_hang_up = stream.shutdown().await;
            }
        });
        Self { port, asked }
    }
}

fn response(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\r\n{body}", body.len())
        .into_bytes()
}

#[tokio::test]
async fn a_posh_document_proves_a_self_signed_certificate_in_both_directions_and_is_fetched_once() {
    let mut world = World::new();
    let negotiation = settings(Required, Required, true);
    let mut fabrikam = world.edge(FABRIKAM, CONTOSO, negotiation, Certificate::SelfSigned).await;
    let sum = base64(&fabrikam.edge.tls.certificates()[0].sha256);
    let document = format!("{{\"fingerprints\":[{{\"sha-256\":\"{sum}\"}}],\"expires\":600}}");
    let web = Web::start(&world, Certificate::Good, response("200 OK", &document)).await;
    world.web = web.port;
    let mut contoso = world.edge(CONTOSO, FABRIKAM, negotiation, Certificate::Good).await;
    contoso.apply(|snapshot| snapshot.partners[0].options.posh = true).await;
    passes(&contoso, &mut fabrikam).await;
    let told = fabrikam.send(BOB, ALICE, "hello");
    assert_eq!(contoso.batch().await.context.method, Method::SaslExternal);
    assert_eq!(outcome(told).await, Outcome::Done);
    assert_eq!(web.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_reference_is_followed_once_and_no_further() {
    let mut world = World::new();
    let negotiation = settings(Required, Required, true);
    let mut fabrikam = world.edge(FABRIKAM, CONTOSO, negotiation, Certificate::SelfSigned).await;
    let sum = base64(&fabrikam.edge.tls.certificates()[0].sha256);
    let document = format!("{{\"fingerprints\":[{{\"sha-256\":\"{sum}\"}}],\"expires\":600}}");
    let to = |port: u16| {
        let url = format!("https://hosting.example:{port}/.well-known/posh/xmpp-server.json");
        response("200 OK", &format!("{{\"url\":\"{url}\",\"expires\":60}}"))
    };
    let hosting = Web::of("hosting.example", &world, Certificate::Good, response("200 OK", &document)).await;
    world.dns.publish("hosting.example", ([127, 0, 0, 1], hosting.port).into());
    let again = Web::of("hosting.example", &world, Certificate::Good, to(hosting.port)).await;
    for (first, reason) in [(&hosting, None), (&again, Some("refers to yet another place"))] {
        world.web = Web::start(&world, Certificate::Good, to(first.port)).await.port;
        let mut contoso = world.edge(CONTOSO, FABRIKAM, negotiation, Certificate::Good).await;
        contoso.apply(|snapshot| snapshot.partners[0].options.posh = true).await;
        match reason {
            None => _ = passes(&contoso, &mut fabrikam).await,
            Some(reason) => assert!(fails(&contoso).await.cause.contains(reason)),
        }
    }
    assert_eq!(hosting.asked.load(Ordering::SeqCst), 1);
}

/// What the verdict says where a web server answers so.
async fn posh_fails(certificate: Certificate, answer: Vec<u8>) -> String {
    let mut world = World::new();
    let negotiation = settings(Required, Required, true);
    let _fabrikam = world.edge(FABRIKAM, CONTOSO, negotiation, Certificate::SelfSigned).await;
    let web = Web::start(&world, certificate, answer).await;
    world.web = web.port;
    let mut contoso = world.edge(CONTOSO, FABRIKAM, negotiation, Certificate::Good).await;
    contoso.apply(|snapshot| snapshot.partners[0].options.posh = true).await;
    fails(&contoso).await.cause
}

#[tokio::test]
async fn web_servers_that_do_not_vouch_are_not_believed_and_the_verdict_says_why() {
    let good = "{\"fingerprints\":[],\"expires\":600}";
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n".to_vec();
    let elsewhere = "{\"url\":\"http://evil.example/\",\"expires\":1}";
    for (certificate, answer, reason) in [
        (Certificate::Good, response("200 OK", good), "no fingerprint of it"),
        (Certificate::Good, response("404 Not Found", ""), "no such document"),
        (Certificate::Good, redirect, "answers 302"),
        (Certificate::Good, response("200 OK", &long), "longer than 65536 bytes"),
        (Certificate::Good, response("200 OK", "{\"fingerprints\":[],\"expires\":0}"), "expires is 0"),
        (Certificate::Good, response("200 OK", elsewhere), "no plain HTTPS URI"),
        (Certificate::Good, b"nonsense\r\n\r\n".to_vec(), "POSH: https://fabrikam.example"),
        (Certificate::SelfSigned, response("200 OK", good), "certificate of the web server cannot be used"),
        (Certificate::OtherName, response("200 OK", good), "certificate of the web server does not name it"),
    ] {
        let cause = posh_fails(certificate, answer).await;
        assert!(cause.contains(reason) && cause.contains("self-signed"), "{reason}: {cause}");
    }
}

#[tokio::test]
async fn a_web_server_in_our_own_network_is_not_asked() {
    let mut world = World::new();
    let negotiation = settings(Required, Required, true);
    let mut fabrikam = world.edge(FABRIKAM, CONTOSO, negotiation, Certificate::SelfSigned).await;
    let web = Web::start(&world, Certificate::Good, Vec::new()).await;
    world.web = web.port;
    let mut contoso = world.edge(CONTOSO, FABRIKAM, negotiation, Certificate::Good).await;
    contoso
        .apply(|snapshot| {
            snapshot.partners[0].options.posh = true;
            snapshot.partners[0].allow_private_addresses = false;
        })
        .await;
    let told = fabrikam.send(BOB, ALICE, "hello");
    let verdict = contoso.verdict().await;
    assert!(
        verdict.cause.contains("POSH: ") && verdict.cause.contains("no address that may be dialled"),
        "{verdict:?}"
    );
    assert!(matches!(outcome(told).await, Outcome::Failed(_)));
    assert_eq!(web.asked.load(Ordering::SeqCst), 0);
    fabrikam.end.batches.close();
}
