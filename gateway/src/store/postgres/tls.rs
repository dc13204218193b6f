//! TLS towards the database server: whose certificates are believed, and what we show.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{PostgresConfig, Verification};

/// TLS as the configuration says, from the files as they are now. The error names the file.
pub(crate) fn client(config: &PostgresConfig) -> Result<MakeRustlsConnect, String> {
    Ok(MakeRustlsConnect::new(client_config(config)?))
}

/// What [`client`] stands on; `--check-config` tries it.
pub(crate) fn client_config(config: &PostgresConfig) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.authorities {
        // A bundle of a system may hold what cannot be used; one that can is enough.
        let (added, _unusable) = roots.add_parsable_certificates(certificates(path)?);
        if added == 0 {
            return Err(format!("{}: no authority in it can be used", path.display()));
        }
    }
    let said = |error: &dyn std::fmt::Display| format!("TLS cannot be set up: {error}");
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().map_err(|error| said(&error))?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| said(&error))?;
    let builder = match config.verification {
        Verification::VerifyFull | Verification::Disable => builder.with_webpki_verifier(verifier),
        Verification::VerifyCa => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { verifier })),
    };
    match &config.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key_bytes = read(key)?;
            let parsed = PrivateKeyDer::from_pem_slice(&key_bytes);
            let parsed = parsed.map_err(|error| format!("{}: {error}", key.display()))?;
            let config = builder.with_client_auth_cert(chain, parsed);
            config.map_err(|error| format!("{}: {error}", certificate.display()))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_empty() { Err(format!("{}: there is no certificate in it", path.display())) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// `verify-ca`: everything but the name.
#[derive(Debug)]
struct AnyName {
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last, so whoever fails by it alone has a chain that holds.
        match self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
