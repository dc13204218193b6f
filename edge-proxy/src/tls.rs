//! TLS on streams (RFC 7590, RFC 9325): our certificates, and a handshake that records and does not judge.
//!
//! A peer's certificate is judged later, by [`crate::stream::identity`], against the domain it claims: a handshake that
//! aborts on it could not fall back to dialback. Only the proof that the peer holds the key is required here. TLS 1.3
//! and 1.2 with AEAD suites, in our order, without resumption: a resumed session would hide the current certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use causeway_shared::domain::DomainName;
use causeway_shared::pki::{self, PeerCertificate};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion, version,
};

/// The versions, the better one first.
const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// The protocol between servers in ALPN (XEP-0368, section 3).
const ALPN: &[u8] = b"xmpp-server";

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: our certificate, then its intermediates.
    pub chain: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// Why certificates, keys or anchors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialFault {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: {what}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No certificate at all.
    #[error("no certificate is configured")]
    None,
}

/// All that TLS needs, replaced as a whole.
#[derive(Debug)]
pub struct Material {
    /// Each with its names and the configurations that prefer it.
    identities: Vec<Identity>,
    /// The public authorities.
    public_anchors: Arc<Vec<TrustAnchor<'static>>>,
}

#[derive(Debug)]
struct Identity {
    facts: PeerCertificate,
    starttls: Roles,
    direct: Roles,
}

/// How we shake hands in either role.
#[derive(Debug)]
struct Roles {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Roles {
    /// The same hands with the protocol's name in them (RFC 7301; XEP-0368, section 3). As a server this refuses a peer
    /// that speaks of other protocols only, and takes one that names none.
    fn direct(&self) -> Self {
        let (mut server, mut client) = (ServerConfig::clone(&self.server), ClientConfig::clone(&self.client));
        server.alpn_protocols = vec![ALPN.to_vec()];
        client.alpn_protocols = vec![ALPN.to_vec()];
        Self { server: Arc::new(server), client: Arc::new(client) }
    }
}

impl Material {
    /// Reads the files; the first certificate serves domains that none names.
    pub fn load(files: &[CertificateFiles], bundle: Option<&Path>) -> Result<Self, MaterialFault> {
        let mut keys = Vec::new();
        for file in files {
            keys.push(certified_key(file)?);
        }
        let public_anchors = bundle.map(anchors).transpose()?.unwrap_or_default();
        Self::new(keys, public_anchors)
    }

    /// The same from memory.
    pub fn new(
        keys: Vec<(Arc<CertifiedKey>, PeerCertificate)>,
        public_anchors: Vec<TrustAnchor<'static>>,
    ) -> Result<Self, MaterialFault> {
        if keys.is_empty() {
            return Err(MaterialFault::None);
        }
        let all: Arc<[(Arc<CertifiedKey>, PeerCertificate)]> = keys.into();
        let tls = |error: Error| MaterialFault::Content { path: PathBuf::new(), what: error.to_string() };
        let mut identities = Vec::new();
        for (key, facts) in all.iter() {
            let resolver = ByServerName { all: Arc::clone(&all), usual: Arc::clone(key) };
            let starttls = Roles {
                server: Arc::new(server_config(resolver).map_err(tls)?),
                client: Arc::new(client_config(key).map_err(tls)?),
            };
            identities.push(Identity { facts: facts.clone(), direct: starttls.direct(), starttls });
        }
        Ok(Self { identities, public_anchors: Arc::new(public_anchors) })
    }

    /// The certificate for a domain: one that names it, else the first.
    fn identity(&self, domain: Option<&DomainName>) -> Option<&Identity> {
        let named = domain.and_then(|domain| self.identities.iter().find(|known| known.facts.names_domain(domain)));
        named.or(self.identities.first())
    }
}

/// The material in force.
pub struct Tls(ArcSwap<Material>);

impl Tls {
    /// Begins with this material.
    pub fn new(material: Material) -> Self {
        Self(ArcSwap::from_pointee(material))
    }

    /// Handshakes from now on use this; established connections are as they were.
    pub fn replace(&self, material: Material) {
        self.0.store(Arc::new(material));
    }

    /// For a stream that was opened to a domain, and asks for STARTTLS.
    pub fn server(&self, to: Option<&DomainName>) -> Option<Arc<ServerConfig>> {
        self.0.load().identity(to).map(|identity| Arc::clone(&identity.starttls.server))
    }

    /// For a stream from one of our domains, after STARTTLS.
    pub fn client(&self, from: &DomainName) -> Option<Arc<ClientConfig>> {
        self.0.load().identity(Some(from)).map(|identity| Arc::clone(&identity.starttls.client))
    }

    /// For a connection that begins with TLS (XEP-0368): the name in the ClientHello chooses the certificate.
    pub fn direct_server(&self) -> Option<Arc<ServerConfig>> {
        self.0.load().identity(None).map(|identity| Arc::clone(&identity.direct.server))
    }

    /// For a connection of one of our domains that begins with TLS (XEP-0368).
    pub fn direct_client(&self, from: &DomainName) -> Option<Arc<ClientConfig>> {
        self.0.load().identity(Some(from)).map(|identity| Arc::clone(&identity.direct.client))
    }

    /// The public authorities.
    pub fn public_anchors(&self) -> Arc<Vec<TrustAnchor<'static>>> {
        Arc::clone(&self.0.load().public_anchors)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, MaterialFault> {
    std::fs::read(path).map_err(|error| MaterialFault::File { path: path.to_owned(), error })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialFault> {
    let content = |what: String| MaterialFault::Content { path: path.to_owned(), what };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let chain = chain.map_err(|error| content(format!("not PEM: {error}")))?;
    if chain.is_empty() { Err(content("no certificate in it".to_owned())) } else { Ok(chain) }
}

fn certified_key(files: &CertificateFiles) -> Result<(Arc<CertifiedKey>, PeerCertificate), MaterialFault> {
    let content = |path: &Path, what: String| MaterialFault::Content { path: path.to_owned(), what };
    let chain = certificates(&files.chain)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| content(&files.key, format!("no private key in it: {error}")))?;
    certified(chain, key).map_err(|what| content(&files.chain, what))
}

/// A certificate with its key, if they belong together.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(Arc<CertifiedKey>, PeerCertificate), String> {
    let facts = PeerCertificate::read(&chain).map_err(|fault| fault.to_string())?;
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| format!("the certificate and the key do not belong together: {error}"))?;
    Ok((Arc::new(key), facts))
}

/// The public authorities in a bundle.
pub(crate) fn anchors(bundle: &Path) -> Result<Vec<TrustAnchor<'static>>, MaterialFault> {
    let certificates = certificates(bundle)?;
    // A public bundle may hold what this library cannot read; the rest still counts.
    let anchors: Vec<_> = certificates.iter().filter_map(|der| pki::trust::anchor(der).ok()).collect();
    if anchors.is_empty() {
        let what = "no certificate in it can be an authority".to_owned();
        return Err(MaterialFault::Content { path: bundle.to_owned(), what });
    }
    Ok(anchors)
}

/// RFC 9325, section 4.2: every suite of the provider is an AEAD one; groups of the provider.
fn provider() -> CryptoProvider {
    let groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::SECP384R1];
    CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() }
}

fn server_config(resolver: ByServerName) -> Result<ServerConfig, Error> {
    let provider = Arc::new(provider());
    let recorder = Arc::new(Recorder(provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(recorder)
        .with_cert_resolver(Arc::new(resolver));
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.require_ems = true;
    Ok(config)
}

fn client_config(key: &Arc<CertifiedKey>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(provider());
    let recorder = Arc::new(Recorder(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(key))));
    config.resumption = Resumption::disabled();
    config.require_ems = true;
    Ok(config)
}

/// The certificate by the name in the ClientHello, else by the stream's `to` (RFC 7590, section 3.5).
#[derive(Debug)]
struct ByServerName {
    all: Arc<[(Arc<CertifiedKey>, PeerCertificate)]>,
    usual: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().and_then(|name| DomainName::parse(name).ok());
        let named = asked.and_then(|name| self.all.iter().find(|(_, facts)| facts.names_domain(&name)));
        Some(named.map_or_else(|| Arc::clone(&self.usual), |(key, _)| Arc::clone(key)))
    }
}

/// Takes any certificate, and insists that the peer holds its key.
#[derive(Debug)]
struct Recorder(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Recorder {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use rustls::{ClientConnection, ServerConnection};

    use super::*;

    fn tls(names: &[&str]) -> Tls {
        let keys = names.iter().map(|name| {
            let made = rcgen::generate_simple_self_signed(vec![(*name).to_owned()]).unwrap();
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
            certified(vec![made.cert.der().clone()], key).unwrap()
        });
        Tls::new(Material::new(keys.collect(), Vec::new()).unwrap())
    }

    fn domain(name: &str) -> DomainName {
        DomainName::parse(name).unwrap()
    }

    /// Shakes hands in memory; both ends, or what one of them did not like.
    fn shake(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
        name: &str,
    ) -> Result<(ClientConnection, ServerConnection), Error> {
        let mut client = ClientConnection::new(client, ServerName::try_from(name.to_owned()).unwrap())?;
        let mut server = ServerConnection::new(server)?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            let mut rest = flight.as_slice();
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets()?;
            }
            let mut flight = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            let mut rest = flight.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets()?;
            }
        }
        Ok((client, server))
    }

    fn with_alpn(config: &ClientConfig, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    #[test]
    fn direct_tls_speaks_of_xmpp_between_servers() {
        let (ours, theirs) = (tls(&["contoso.example"]), tls(&["fabrikam.example"]));
        let client = ours.direct_client(&domain("contoso.example")).unwrap();
        let (client, server) = shake(client, theirs.direct_server().unwrap(), "fabrikam.example").unwrap();
        assert_eq!((client.alpn_protocol(), server.alpn_protocol()), (Some(ALPN), Some(ALPN)));
        assert_eq!(server.server_name(), Some("fabrikam.example"));
    }

    #[test]
    fn direct_tls_takes_a_peer_that_names_no_protocol_and_refuses_one_that_names_another() {
        let theirs = tls(&["fabrikam.example"]);
        let client = tls(&["contoso.example"]).direct_client(&domain("contoso.example")).unwrap();
        let silent = with_alpn(&client, &[]);
        assert!(shake(silent, theirs.direct_server().unwrap(), "fabrikam.example").is_ok());
        for foreign in [&[&b"h2"[..]][..], &[b"xmpp-client", b"http/1.1"]] {
            let refused = shake(with_alpn(&client, foreign), theirs.direct_server().unwrap(), "fabrikam.example");
            assert_eq!(refused.map(|_| ()), Err(Error::NoApplicationProtocol));
        }
        let several = with_alpn(&client, &[b"h2", ALPN]);
        assert!(shake(several, theirs.direct_server().unwrap(), "fabrikam.example").is_ok());
    }

    #[test]
    fn a_server_that_chooses_another_protocol_is_left() {
        let client = tls(&["contoso.example"]).direct_client(&domain("contoso.example")).unwrap();
        let mut server = ServerConfig::clone(&tls(&["fabrikam.example"]).direct_server().unwrap());
        server.alpn_protocols = vec![b"h2".to_vec()];
        assert!(shake(client, Arc::new(server), "fabrikam.example").is_err());
    }

    #[test]
    fn the_name_in_the_client_hello_chooses_the_certificate() {
        let theirs = tls(&["a.example", "b.example"]);
        let client = tls(&["contoso.example"]).direct_client(&domain("contoso.example")).unwrap();
        for name in ["a.example", "b.example"] {
            let (client, _) = shake(Arc::clone(&client), theirs.direct_server().unwrap(), name).unwrap();
            let facts = PeerCertificate::read(client.peer_certificates().unwrap()).unwrap();
            assert!(facts.names_domain(&domain(name)), "{name}");
        }
    }

    #[test]
    fn every_suite_is_an_aead_one_and_no_version_is_older_than_1_2() {
        let names: Vec<String> = provider().cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
        assert!(names.iter().all(|name| name.contains("_GCM_") || name.contains("CHACHA20_POLY1305")), "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_")), "{names:?}");
        assert_eq!(
            VERSIONS.iter().map(|known| known.version).collect::<Vec<_>>(),
            [rustls::ProtocolVersion::TLSv1_3, rustls::ProtocolVersion::TLSv1_2]
        );
    }

    #[test]
    fn nothing_is_resumed_and_nothing_is_sent_early() {
        let (ours, theirs) = (tls(&["contoso.example"]), tls(&["fabrikam.example"]));
        for (client, server) in [
            (ours.client(&domain("contoso.example")).unwrap(), theirs.server(None).unwrap()),
            (ours.direct_client(&domain("contoso.example")).unwrap(), theirs.direct_server().unwrap()),
        ] {
            assert!(server.ignore_client_order && server.require_ems && client.require_ems);
            assert_eq!((server.max_early_data_size, client.enable_early_data), (0, false));
            for _ in 0..2 {
                let ends = shake(Arc::clone(&client), Arc::clone(&server), "fabrikam.example").unwrap();
                let full = Some(rustls::HandshakeKind::Full);
                assert_eq!((ends.0.handshake_kind(), ends.1.handshake_kind()), (full, full));
            }
        }
    }

    #[test]
    fn both_ends_show_their_certificate_and_neither_judges_it_in_the_handshake() {
        let (ours, theirs) = (tls(&["contoso.example"]), tls(&["fabrikam.example"]));
        let client = ours.client(&domain("contoso.example")).unwrap();
        let (mut client, mut server) = shake(client, theirs.server(None).unwrap(), "fabrikam.example").unwrap();
        let facts = PeerCertificate::read(server.peer_certificates().unwrap()).unwrap();
        assert!(facts.names_domain(&domain("contoso.example")));
        // What is written arrives: the handshake is whole, and not only said to be.
        client.writer().write_all(b"<x/>").unwrap();
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        server.read_tls(&mut flight.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut read = [0; 4];
        server.reader().read_exact(&mut read).unwrap();
        assert_eq!(&read, b"<x/>");
    }
}
