//! TLS of the link on the gateway: our certificate, the link's authority, the names that edges may bear.

use std::sync::Arc;

use causeway_shared::pki::PeerCertificate;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
    Authority(#[from] rustls::client::VerifierBuilderError),
}

/// A configuration from PEM texts: TLS 1.3 only. The chain is verified here, the name by [`allowed_name`].
pub fn client_config(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Arc<rustls::ClientConfig>, LinkTlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for anchor in certificates("ca", ca)? {
        roots.add(anchor)?;
    }
    let chain_only = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| LinkTlsError::Pem { file: "key", reason: error.to_string() })?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ChainVerifier(chain_only)))
        .with_client_auth_cert(certificates("certificate", certificate)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Verifies chain and signature, and leaves the name to the list of allowed names: edges are dialled by address.
#[derive(Debug)]
struct ChainVerifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            // The chain is verified before the name is looked at.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
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
