//! TLS of the link: our certificate, the link's authority, the names that the other side may bear. TLS 1.3 only.
//!
//! Both sides present a certificate of the link's authority. The handshake verifies the chain; [`allowed_name`] the
//! name, on both sides against a list: gateways come from anywhere, and edges are dialled by address.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::pki::PeerCertificate;

/// Names of a certificate that a refusal shows.
const NAMES_SHOWN: usize = 8;

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
    Authority(#[from] VerifierBuilderError),
}

/// The edge's configuration from PEM texts: every client needs a certificate of the authority.
pub fn server_config(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Arc<rustls::ServerConfig>, LinkTlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(authority(ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates("certificate", certificate)?, private_key(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// The gateway's configuration from PEM texts. The chain is verified here, the name by [`allowed_name`].
pub fn client_config(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Arc<rustls::ClientConfig>, LinkTlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(authority(ca)?);
    let chain_only = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ChainVerifier(chain_only)))
        .with_client_auth_cert(certificates("certificate", certificate)?, private_key(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn authority(ca: &[u8]) -> Result<RootCertStore, LinkTlsError> {
    let mut roots = RootCertStore::empty();
    for anchor in certificates("ca", ca)? {
        roots.add(anchor)?;
    }
    Ok(roots)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, LinkTlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| LinkTlsError::Pem { file: "key", reason: error.to_string() })
}

fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, LinkTlsError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| LinkTlsError::Pem { file, reason: error.to_string() })?;
    if found.is_empty() {
        return Err(LinkTlsError::Pem { file, reason: "no certificate in it".to_owned() });
    }
    Ok(found)
}

/// The allowed name that the other side's certificate bears; the handshake has verified its chain.
pub fn allowed_name(presented: Option<&[CertificateDer<'_>]>, allowed: &[String]) -> Result<String, String> {
    let certificate = presented.and_then(<[_]>::first).ok_or("it presented no certificate")?;
    let facts = PeerCertificate::read(std::slice::from_ref(certificate)).map_err(|fault| fault.to_string())?;
    facts.one_of(allowed).cloned().ok_or_else(|| {
        let names = facts.presented_names(NAMES_SHOWN);
        format!("its certificate names {}, none of which is allowed", names.join(", "))
    })
}

/// Verifies chain and signature, and leaves the name to the list of allowed names.
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
