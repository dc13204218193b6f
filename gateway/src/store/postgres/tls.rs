//! TLS towards the database server: whose certificates are believed, and what we show.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::files::{FileFault, certificates, read};
use crate::config::{PostgresConfig, Verification};

/// TLS as the configuration says, from the files as they are now. The error names the file.
pub(super) fn client(config: &PostgresConfig) -> Result<MakeRustlsConnect, FileFault> {
    Ok(MakeRustlsConnect::new(client_config(config)?))
}

/// What [`client`] stands on; `--check-config` tries it.
pub(crate) fn client_config(config: &PostgresConfig) -> Result<ClientConfig, FileFault> {
    let authorities = config.authorities.as_deref().unwrap_or(Path::new("store.ca"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| FileFault::new(authorities, error))?;
    let builder = match config.verification {
        // Nobody is asked for a certificate, so none is believed.
        Verification::Disable => builder.with_root_certificates(RootCertStore::empty()),
        Verification::VerifyFull => builder.with_root_certificates(roots(authorities)?),
        Verification::VerifyCa => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider).build();
            let verifier = verifier.map_err(|error| FileFault::new(authorities, error))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { verifier }))
        }
    };
    let Some((certificate, key)) = &config.client else { return Ok(builder.with_no_client_auth()) };
    let parsed = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| FileFault::new(key, error))?;
    let config = builder.with_client_auth_cert(certificates(certificate)?, parsed);
    config.map_err(|error| FileFault::new(certificate, error))
}

fn roots(path: &Path) -> Result<RootCertStore, FileFault> {
    let mut roots = RootCertStore::empty();
    // A bundle of a system may hold what cannot be used; one that can is enough.
    let (added, _unusable) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 { Err(FileFault::new(path, "no authority in it can be used")) } else { Ok(roots) }
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
