//! TLS of the link on the edge: our certificate, the link's authority, the names that gateways may bear.

use std::sync::Arc;

use causeway_shared::pki::PeerCertificate;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// Names of a certificate that are shown.
const NAMES_SHOWN: usize = 64;

/// Why no TLS configuration comes of the files.
#[derive(Debug, thiserror::Error)]
pub enum LinkTlsError {
    /// A PEM file does not parse or holds nothing.
    #[error("{file} is unusable: {reason}")]
    Pem {
        /// Which: `certificate`, `key` or `ca`.
        file: &'static str,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not make a configuration.
    #[error("certificate and key do not fit: {0}")]
    Rustls(#[from] rustls::Error),
    /// The authority cannot verify anybody.
    #[error("ca is unusable: {0}")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// A configuration from PEM texts: TLS 1.3 only, every client needs a certificate of the authority.
pub fn server_config(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Arc<rustls::ServerConfig>, LinkTlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for anchor in certificates("ca", ca)? {
        roots.add(anchor)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| LinkTlsError::Pem { file: "key", reason: error.to_string() })?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates("certificate", certificate)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, LinkTlsError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| LinkTlsError::Pem { file, reason: error.to_string() })?;
    if found.is_empty() {
        return Err(LinkTlsError::Pem { file, reason: "no certificate in it".to_owned() });
    }
    Ok(found)
}

/// The allowed name that a certificate bears; the handshake has verified its chain.
pub fn allowed_name(certificate: &CertificateDer<'_>, allowed: &[String]) -> Result<String, String> {
    let facts = PeerCertificate::read(std::slice::from_ref(certificate)).map_err(|fault| fault.to_string())?;
    facts.one_of(allowed).cloned().ok_or_else(|| {
        format!("its certificate bears {}; none of these is allowed", facts.presented_names(NAMES_SHOWN).join(", "))
    })
}
