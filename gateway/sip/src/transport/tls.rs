//! Mutual TLS and the identity of a SIP domain (RFC 5922, RFC 3261 section 26.3).
//!
//! A server asks every client for a certificate of the configured CA. A client verifies the chain and that the
//! certificate speaks for the domain that was asked for: by a `sip:` URI, and by a DNS name only if there is no such URI.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::target::PeerIdentity;

/// Certificate, key or CA that make no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The key does not fit the certificate, or is of an unknown kind.
    #[error("certificate and key: {0}")]
    Certificate(#[from] rustls::Error),
    /// There is no usable CA certificate.
    #[error("CA certificates: {0}")]
    Roots(#[from] rustls::client::VerifierBuilderError),
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// For accepted connections: a client without a certificate of `clients` is refused in the handshake.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Arc<RootCertStore>,
) -> Result<Arc<rustls::ServerConfig>, TlsConfigError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(clients, provider()).build()?;
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// For connections of ours: the server must have a certificate of `servers` for the name of the target, and gets ours.
pub fn client_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    servers: Arc<RootCertStore>,
) -> Result<Arc<rustls::ClientConfig>, TlsConfigError> {
    let chain_verifier = WebPkiServerVerifier::builder_with_provider(servers, provider()).build()?;
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SipServerVerifier { chain: chain_verifier }))
        .with_client_auth_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// The chain by webpki, the name by RFC 5922 section 7.
#[derive(Debug)]
struct SipServerVerifier {
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for SipServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match (&verified, server_name) {
            // webpki looks at the name last, so this error says that the chain is good.
            (
                Ok(_)
                | Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )),
                ServerName::DnsName(name),
            ) => {
                let name = name.as_ref();
                if identities(end_entity).domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)) {
                    Ok(ServerCertVerified::assertion())
                } else {
                    Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName))
                }
            }
            (Ok(_) | Err(_), _) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// The SIP domains of a certificate (RFC 5922 section 7.1): its `sip:` URIs without a user part; only if it has none,
/// its DNS names. Wildcards stay as they are and so match no domain (section 7.2). A certificate that does not decode
/// has no identity.
pub fn identities(certificate: &CertificateDer<'_>) -> PeerIdentity {
    let Ok(decoded) = x509_cert::Certificate::from_der(certificate.as_ref()) else {
        return PeerIdentity::default();
    };
    let Ok(Some((_, names))) = decoded.tbs_certificate().get_extension::<SubjectAltName>() else {
        return PeerIdentity::default();
    };
    let uris: Vec<_> = names.0.iter().filter_map(sip_domain).collect();
    let domains = if uris.is_empty() { names.0.iter().filter_map(dns_name).collect() } else { uris };
    PeerIdentity { domains }
}

fn sip_domain(name: &GeneralName) -> Option<String> {
    let GeneralName::UniformResourceIdentifier(uri) = name else {
        return None;
    };
    let uri: crate::uri::Uri = uri.as_str().parse().ok()?;
    (uri.scheme() == crate::uri::Scheme::Sip && uri.user().is_none()).then(|| uri.host().to_ascii_lowercase())
}

fn dns_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    }
}
