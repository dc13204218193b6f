//! TLS on streams (RFC 7590, RFC 9325): our certificates, and a handshake that records and does not judge.
//!
//! A peer's certificate is judged later, by [`crate::stream::identity`], against the domain it claims: a handshake that
//! aborts on it could not fall back to dialback. Only the proof that the peer holds the key is required here. TLS 1.3
//! and 1.2 with AEAD suites, in our order, without resumption: a resumed session would hide the current certificate. A
//! handshake message of more than 64 KiB, the certificates of a peer above all, is refused by the library.

use std::sync::Arc;

use arc_swap::ArcSwap;
use causeway_shared::domain::DomainName;
use causeway_shared::pki::{PeerCertificate, Trust};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, Error, ServerConfig, SupportedProtocolVersion, version};

use recorder::Recorder;

mod material;
mod recorder;

pub use material::{CertificateFiles, MaterialFault, TrustFiles, certified};
pub(crate) use material::{anchors, revocation};

/// The versions, the better one first.
const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// The protocol between servers in ALPN (XEP-0368, section 3).
const ALPN: &[u8] = b"xmpp-server";

/// All that TLS needs, replaced as a whole.
#[derive(Debug)]
pub struct Material {
    /// Each with its names and the configurations that prefer it.
    identities: Vec<Identity>,
    /// Who vouches for partners.
    trust: Arc<Trust>,
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
    /// From memory; the first certificate serves domains that none names.
    pub fn new(keys: Vec<(Arc<CertifiedKey>, PeerCertificate)>, trust: Trust) -> Result<Self, MaterialFault> {
        if keys.is_empty() {
            return Err(MaterialFault::None);
        }
        let all: Arc<[(Arc<CertifiedKey>, PeerCertificate)]> = keys.into();
        let mut identities = Vec::new();
        for (key, facts) in all.iter() {
            let resolver = ByServerName { all: Arc::clone(&all), usual: Arc::clone(key) };
            let starttls = Roles {
                server: Arc::new(server_config(resolver).map_err(MaterialFault::Tls)?),
                client: Arc::new(client_config(key).map_err(MaterialFault::Tls)?),
            };
            identities.push(Identity { facts: facts.clone(), direct: starttls.direct(), starttls });
        }
        Ok(Self { identities, trust: Arc::new(trust) })
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

    /// Who vouches for partners, and what they have taken back.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.0.load().trust)
    }

    /// Our own certificates, for those who watch when they end.
    pub fn certificates(&self) -> Vec<PeerCertificate> {
        self.0.load().identities.iter().map(|identity| identity.facts.clone()).collect()
    }
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

/// For a connection to a web server, which is judged afterwards like a partner's server. It shows nothing of ours.
pub(crate) fn https_client() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(provider());
    let recorder = Arc::new(Recorder(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
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

#[cfg(test)]
mod tests;
