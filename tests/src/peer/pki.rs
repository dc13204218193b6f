//! Certificates made on the spot: authorities, and leaves that are right, or wrong in one named way.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, OtherNameValue,
    SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::fault;

/// id-on-dnsSRV (RFC 4985).
const SRV_NAME: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 7];

/// An authority of our own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// What is special about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Nothing: valid for a long time, for every purpose.
    Usual,
    /// It ended years ago.
    Expired,
    /// Signed by its own key.
    SelfSigned,
    /// Extended key usage serverAuth only, as public authorities issue it.
    ServerOnly,
    /// Names by SRVName `_xmpp-server` only.
    SrvName,
}

/// A certificate with its chain and key.
#[derive(Clone)]
pub struct Credentials {
    /// The leaf, then its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: Arc<PrivateKeyDer<'static>>,
    chain_pem: String,
    key_pem: String,
}

/// Where credentials were written.
#[derive(Debug, Clone)]
pub struct Files {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Ok(Self { issuer: Issuer::new(params, key), certificate: der, pem })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Writes its certificate and tells where.
    pub fn write(&self, directory: &Path, stem: &str) -> io::Result<PathBuf> {
        write(directory.join(format!("{stem}.pem")), &self.pem)
    }

    /// A usual certificate for these DNS names and addresses.
    pub fn issue(&self, names: &[&str]) -> io::Result<Credentials> {
        self.issue_as(Form::Usual, names)
    }

    /// A certificate of a form for these names.
    pub fn issue_as(&self, form: Form, names: &[&str]) -> io::Result<Credentials> {
        let mut params = CertificateParams::default();
        let first = names.first().ok_or_else(|| fault("a certificate needs a name"))?;
        params.distinguished_name.push(DnType::CommonName, *first);
        for name in names {
            params.subject_alt_names.push(match form {
                Form::SrvName => {
                    let name = OtherNameValue::Utf8String(format!("_xmpp-server.{name}"));
                    SanType::OtherName((SRV_NAME.to_vec(), name))
                }
                Form::Usual | Form::Expired | Form::SelfSigned | Form::ServerOnly => match name.parse::<IpAddr>() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName((*name).try_into().map_err(io::Error::other)?),
                },
            });
        }
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        match form {
            Form::Usual | Form::SelfSigned | Form::SrvName => {}
            Form::Expired => params.not_after = date_time_ymd(2021, 1, 1),
            Form::ServerOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = match form {
            Form::SelfSigned => params.self_signed(&key),
            Form::Usual | Form::Expired | Form::ServerOnly | Form::SrvName => params.signed_by(&key, &self.issuer),
        };
        let certificate = certificate.map_err(io::Error::other)?;
        Ok(Credentials {
            chain: vec![certificate.der().clone()],
            key: Arc::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))),
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl Credentials {
    /// Writes certificate and key, the key for the owner alone.
    pub fn write(&self, directory: &Path, stem: &str) -> io::Result<Files> {
        use std::os::unix::fs::PermissionsExt as _;
        let certificate = write(directory.join(format!("{stem}.crt")), &self.chain_pem)?;
        let key = write(directory.join(format!("{stem}.key")), &self.key_pem)?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
        Ok(Files { certificate, key })
    }
}

fn write(path: PathBuf, text: &str) -> io::Result<PathBuf> {
    std::fs::write(&path, text)?;
    Ok(path)
}
