//! Certificates for development: an authority for domains, another for the link, and what they sign.
//!
//! The two authorities are separate, so that no domain's certificate opens the link. Domains get DNS names only: a name
//! of the kind xmppAddr makes some servers of the field crash. Never for production: the authorities' keys lie beside
//! what they signed.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use causeway_shared::domain::DomainName;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// How long certificates are valid: longer than a development environment lives, and what TLS libraries still take.
const VALIDITY: Duration = Duration::from_secs(825 * 24 * 3600);

/// How long ago they began, for clocks that differ.
const BEGAN: Duration = Duration::from_secs(24 * 3600);

/// Only their owner reads private keys.
const KEY_MODE: u32 = 0o600;

/// Everybody reads certificates.
const CERTIFICATE_MODE: u32 = 0o644;

/// What to make.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where the files go; the directory is made.
    pub out: PathBuf,
    /// Each gets `DOMAIN.crt`, `DOMAIN.key`, and both in `DOMAIN.pem`, signed by `ca.crt`.
    pub domains: Vec<DomainName>,
    /// Names of edges: each gets `link-NAME.crt` and `link-NAME.key`, signed by `link-ca.crt`.
    pub edges: Vec<String>,
    /// The same for gateways.
    pub gateways: Vec<String>,
    /// Whether files that exist are replaced.
    pub force: bool,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum DevCertsError {
    /// A file is there already.
    #[error("{0} exists; --force replaces it")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A name is none that a certificate can bear, or the library failed.
    #[error("{0}")]
    Certificate(#[from] rcgen::Error),
}

/// A file to be.
struct Made {
    name: String,
    content: String,
    mode: u32,
}

impl Order {
    /// Makes everything, and says which files there are now. Nothing is written if one exists already.
    pub fn make(&self) -> Result<Vec<PathBuf>, DevCertsError> {
        let mut files = Vec::new();
        let authority = Authority::new("Causeway development CA", "ca", &mut files)?;
        for domain in &self.domains {
            let names = [domain.as_str().to_owned(), format!("xmpp.{domain}"), format!("sip.{domain}")];
            let (certificate, key) = authority.sign(domain.as_str(), names.to_vec())?;
            pair(domain.as_str(), &certificate, &key, &mut files);
            // ejabberd and others want both in one file.
            let both = key.serialize_pem() + &certificate.pem();
            files.push(Made { name: format!("{domain}.pem"), content: both, mode: KEY_MODE });
        }
        let link = Authority::new("Causeway development link CA", "link-ca", &mut files)?;
        for name in self.edges.iter().chain(&self.gateways) {
            let (certificate, key) = link.sign(name, vec![name.clone()])?;
            pair(&format!("link-{name}"), &certificate, &key, &mut files);
        }
        self.write(files)
    }

    fn write(&self, files: Vec<Made>) -> Result<Vec<PathBuf>, DevCertsError> {
        let path = |made: &Made| self.out.join(&made.name);
        if let Some(there) = files.iter().map(path).find(|path| !self.force && path.exists()) {
            return Err(DevCertsError::Exists(there));
        }
        std::fs::create_dir_all(&self.out).map_err(|error| DevCertsError::File { path: self.out.clone(), error })?;
        let mut written = Vec::new();
        for made in files {
            let path = path(&made);
            write(&path, &made).map_err(|error| DevCertsError::File { path: path.clone(), error })?;
            written.push(path);
        }
        Ok(written)
    }
}

fn write(path: &Path, made: &Made) -> std::io::Result<()> {
    // A new file has the mode from its first byte on; an old one would keep its own.
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new().write(true).create_new(true).mode(made.mode).open(path)?.write_all(made.content.as_bytes())
}

fn pair(name: &str, certificate: &Certificate, key: &KeyPair, files: &mut Vec<Made>) {
    files.push(Made { name: format!("{name}.crt"), content: certificate.pem(), mode: CERTIFICATE_MODE });
    files.push(Made { name: format!("{name}.key"), content: key.serialize_pem(), mode: KEY_MODE });
}

/// Something that signs.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn new(title: &str, name: &str, files: &mut Vec<Made>) -> Result<Self, rcgen::Error> {
        let mut params = params(title, Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // ECDSA with P-256, which every peer takes.
        let key = KeyPair::generate()?;
        pair(name, &params.self_signed(&key)?, &key, files);
        Ok(Self(Issuer::new(params, key)))
    }

    fn sign(&self, title: &str, names: Vec<String>) -> Result<(Certificate, KeyPair), rcgen::Error> {
        let mut params = params(title, names)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A server of a federation is a client, too.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?, key))
    }
}

fn params(title: &str, names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, title);
    let now = SystemTime::now();
    params.not_before = (now - BEGAN).into();
    params.not_after = (now + VALIDITY).into();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use causeway_shared::pki::PeerCertificate;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn order(name: &str) -> Order {
        Order {
            out: std::env::temp_dir().join(format!("causeway-certs-{name}-{}", std::process::id())),
            domains: vec![DomainName::parse("contoso.example").unwrap()],
            edges: vec!["edge".to_owned()],
            gateways: vec!["gateway".to_owned()],
            force: false,
        }
    }

    #[test]
    fn a_domain_gets_a_certificate_that_speaks_for_it_and_a_key_that_only_its_owner_reads() {
        let order = order("domain");
        assert_eq!(order.make().unwrap().len(), 11);
        let der = CertificateDer::from_pem_file(order.out.join("contoso.example.crt")).unwrap();
        let facts = PeerCertificate::read(&[der]).unwrap();
        assert!(facts.names_domain(&DomainName::parse("contoso.example").unwrap()));
        for secret in ["ca.key", "contoso.example.key", "contoso.example.pem", "link-edge.key"] {
            let mode = std::fs::metadata(order.out.join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, KEY_MODE, "{secret}");
        }
        std::fs::remove_dir_all(order.out).unwrap();
    }

    #[test]
    fn what_exists_is_replaced_only_by_force() {
        let mut order = order("force");
        order.make().unwrap();
        let before = std::fs::read(order.out.join("ca.crt")).unwrap();
        assert!(matches!(order.make(), Err(DevCertsError::Exists(_))));
        assert_eq!(std::fs::read(order.out.join("ca.crt")).unwrap(), before);
        order.force = true;
        order.make().unwrap();
        assert_ne!(std::fs::read(order.out.join("ca.crt")).unwrap(), before);
        std::fs::remove_dir_all(order.out).unwrap();
    }
}
