//! Certificates, keys, authorities and revocation lists, as they lie in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_shared::pki::{self, OverdueLists, PeerCertificate, Revocation, Trust};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, TrustAnchor};
use rustls::sign::CertifiedKey;

use super::Material;

/// Bytes of one file of revocation lists: the largest public ones have a few MiB, and all of it is held in memory.
const MAX_LIST: usize = 32 * 1024 * 1024;

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: our certificate, then its intermediates.
    pub chain: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// Where trust is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustFiles {
    /// PEM: the public authorities that vouch for partners; without it only partners' own count.
    pub bundle: Option<PathBuf>,
    /// PEM or DER: revocation lists, of public authorities and partners' own alike.
    pub lists: Vec<PathBuf>,
    /// What a list is worth after its time.
    pub overdue: OverdueLists,
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
    /// TLS itself does not take them.
    #[error("{0}")]
    Tls(rustls::Error),
    /// No certificate at all.
    #[error("no certificate is configured")]
    None,
}

impl Material {
    /// Reads the files; the first certificate serves domains that none names.
    pub fn load(files: &[CertificateFiles], trust: &TrustFiles) -> Result<Self, MaterialFault> {
        let mut keys = Vec::new();
        for file in files {
            keys.push(certified_key(file)?);
        }
        Self::new(keys, trust.load()?)
    }
}

impl TrustFiles {
    fn load(&self) -> Result<Trust, MaterialFault> {
        let anchors = self.bundle.as_deref().map(anchors).transpose()?.unwrap_or_default();
        Ok(Trust { anchors, revocation: revocation(&self.lists, self.overdue)? })
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

/// The revocation lists in files.
pub(crate) fn revocation(files: &[PathBuf], overdue: OverdueLists) -> Result<Revocation, MaterialFault> {
    let mut revocation = Revocation::new(overdue);
    for path in files {
        let content = |what: String| MaterialFault::Content { path: path.clone(), what };
        let bytes = read(path)?;
        if bytes.len() > MAX_LIST {
            return Err(content(format!("{} bytes, and {MAX_LIST} are read at most", bytes.len())));
        }
        let pem: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        match pem.map_err(|error| content(format!("not PEM: {error}")))?.as_slice() {
            // Most authorities publish DER.
            [] => revocation.add(&bytes).map_err(content)?,
            lists => lists.iter().try_for_each(|list| revocation.add(list)).map_err(content)?,
        }
    }
    Ok(revocation)
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
