//! Whether a chain of certificates leads to a trust anchor (RFC 5280), and if not, why, in an operator's words.
//!
//! The server that opens a stream is a TLS client but shows its server certificate, and public issuers no longer put
//! clientAuth into those. So both roles are judged alike: no extended key usage, serverAuth or anyExtendedKeyUsage will
//! do, clientAuth alone will not, because issuers need not check server names for it.

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage, RequiredEkuNotFoundContext,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::identity::{KeyKind, PeerCertificate};
use super::revocation::Revocation;

/// How many certificates a chain may have, the peer's own included.
pub const MAX_CHAIN: usize = 8;

/// How much the certificates of a chain may weigh: a TLS handshake message holds no more here.
pub const MAX_CHAIN_BYTES: usize = 65_536;

/// What the certificate is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To name a server, in whichever role it is.
    Federation,
    /// To be the very certificate that a partner's configuration pins: its usage does not matter.
    Pinned,
}

/// Why a chain is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ChainFault {
    /// The peer showed nothing.
    #[error("the peer presented no certificate")]
    Absent,
    /// Over [`MAX_CHAIN`] certificates or [`MAX_CHAIN_BYTES`] bytes.
    #[error("the certificate chain is longer than 8 certificates or 64 KiB")]
    TooLong,
    /// Not a certificate, or an extension that cannot be read.
    #[error("a certificate of the chain cannot be read")]
    Malformed,
    /// The peer vouches for itself.
    #[error("the certificate is self-signed and not itself trusted")]
    SelfSigned,
    /// Nobody we trust vouches for it; often an intermediate certificate is missing.
    #[error("the issuer is unknown: no path leads to a trusted authority (is an intermediate certificate missing?)")]
    UnknownIssuer,
    /// Its time is over.
    #[error("a certificate of the chain has expired")]
    Expired,
    /// Its time has not come: perhaps a clock is wrong.
    #[error("a certificate of the chain is not valid yet (are both clocks right?)")]
    NotYetValid,
    /// The extended key usage allows clients only, or something else.
    #[error("the extended key usage does not include serverAuth")]
    WrongUsage,
    /// The key is below the floor.
    #[error("a key of the chain is too weak: RSA needs 2048 bits, ECDSA P-256")]
    WeakKey,
    /// SHA-1, MD5, or an algorithm that we do not know.
    #[error("a signature of the chain uses an algorithm that is not accepted")]
    WeakSignature,
    /// A signature that does not verify.
    #[error("a signature of the chain is wrong (was the authority replaced by another of the same name?)")]
    BadSignature,
    /// The names lie outside of what an issuer may vouch for.
    #[error("the issuer is not allowed to vouch for these names")]
    NameConstraint,
    /// The issuer has taken it back.
    #[error("a certificate of the chain is revoked")]
    Revoked,
    /// Whether it was taken back cannot be said any more.
    #[error("the issuer's revocation list is overdue")]
    ListOverdue,
    /// A list that claims to be of the issuer and is not.
    #[error("the revocation list of an issuer is not signed by that issuer")]
    ListUnsigned,
    /// Basic constraints, path length, critical extensions: anything else that RFC 5280 forbids.
    #[error("the chain breaks a rule of RFC 5280")]
    Invalid,
}

/// Verifies the chain that a peer presented, its own certificate first, against the anchors that count for the domain
/// it claims, and the revocation lists at hand. Names are not compared here.
pub fn verify_chain(
    chain: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    revocation: &Revocation,
    now: UnixTime,
    purpose: Purpose,
) -> Result<(), ChainFault> {
    let (own, intermediates) = chain.split_first().ok_or(ChainFault::Absent)?;
    check_size(chain)?;
    let facts = PeerCertificate::read(chain)?;
    if !facts.key.is_strong() {
        return Err(ChainFault::WeakKey);
    }
    let certificate = EndEntityCert::try_from(own).map_err(|error| fault(&error, &facts))?;
    revocation.with_options(|lists| {
        let path = certificate
            .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, anchors, intermediates, now, Usage(purpose), lists, None)
            .map_err(|error| fault(&error, &facts))?;
        path.intermediate_certificates().try_for_each(|issuer| check_issuer(&issuer.der()))
    })
}

/// Verifies what a peer's own certificate says of itself, where something else than an issuer vouches for it: its key
/// is strong, and its time has come and is not over.
pub fn verify_alone(chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), ChainFault> {
    check_size(chain)?;
    let facts = PeerCertificate::read(chain)?;
    if !facts.key.is_strong() {
        Err(ChainFault::WeakKey)
    } else if now.as_secs() < facts.not_before {
        Err(ChainFault::NotYetValid)
    } else if now.as_secs() > facts.not_after {
        Err(ChainFault::Expired)
    } else {
        Ok(())
    }
}

fn check_size(chain: &[CertificateDer<'_>]) -> Result<(), ChainFault> {
    if chain.len() > MAX_CHAIN || chain.iter().map(|der| der.len()).sum::<usize>() > MAX_CHAIN_BYTES {
        return Err(ChainFault::TooLong);
    }
    Ok(())
}

/// The first moment after `now` at which a certificate of a chain ends, in Unix seconds: when to verify it again.
pub fn next_end(chain: &[CertificateDer<'_>], now: UnixTime) -> Option<u64> {
    let ends = chain.iter().take(MAX_CHAIN).filter_map(|der| {
        let certificate = Certificate::from_der(der).ok()?;
        Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
    });
    // A certificate holds to the end of its last second.
    ends.map(|last| last.saturating_add(1)).filter(|end| *end > now.as_secs()).min()
}

/// What the path builder leaves to us: the strength of an issuer's key, and whether it may sign certificates (RFC 5280,
/// section 4.2.1.3).
fn check_issuer(der: &CertificateDer<'_>) -> Result<(), ChainFault> {
    let issuer = Certificate::from_der(der).map_err(|_| ChainFault::Malformed)?;
    let content = issuer.tbs_certificate();
    if !KeyKind::of(content.subject_public_key_info()).is_strong() {
        return Err(ChainFault::WeakKey);
    }
    match content.get_extension::<x509_cert::ext::pkix::KeyUsage>() {
        Ok(None) => Ok(()),
        Ok(Some((_, usage))) if usage.key_cert_sign() => Ok(()),
        Ok(Some(_)) => Err(ChainFault::Invalid),
        Err(_) => Err(ChainFault::Malformed),
    }
}

/// The rule about extended key usage; webpki asks it for each certificate of the path.
struct Usage(Purpose);

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        /// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1, without tag and length.
        const SERVER_AUTH: KeyPurposeId<'_> = KeyPurposeId::new(&[43, 6, 1, 5, 5, 7, 3, 1]);
        /// anyExtendedKeyUsage, 2.5.29.37.0.
        const ANY: KeyPurposeId<'_> = KeyPurposeId::new(&[85, 29, 37, 0]);
        let mut is_allowed = true;
        for usage in usages {
            let usage = usage?;
            if usage == SERVER_AUTH || usage == ANY {
                return Ok(());
            }
            is_allowed = false;
        }
        if is_allowed || self.0 == Purpose::Pinned {
            return Ok(());
        }
        Err(webpki::Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext {
            required: KeyUsage::server_auth(),
            present: Vec::new(),
        }))
    }
}

/// The operator's word for what webpki found. Its enum may grow, hence the last arm.
fn fault(error: &webpki::Error, facts: &PeerCertificate) -> ChainFault {
    use webpki::Error;
    match error {
        Error::UnknownIssuer | Error::CaUsedAsEndEntity if facts.is_self_issued => ChainFault::SelfSigned,
        Error::UnknownIssuer => ChainFault::UnknownIssuer,
        Error::CertExpired { .. } => ChainFault::Expired,
        Error::CertNotValidYet { .. } => ChainFault::NotYetValid,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => ChainFault::WrongUsage,
        Error::InvalidSignatureForPublicKey => ChainFault::BadSignature,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | Error::SignatureAlgorithmMismatch => ChainFault::WeakSignature,
        Error::NameConstraintViolation => ChainFault::NameConstraint,
        Error::CertRevoked => ChainFault::Revoked,
        Error::CrlExpired { .. } => ChainFault::ListOverdue,
        Error::InvalidCrlSignatureForPublicKey
        | Error::IssuerNotCrlSigner
        | Error::UnsupportedCrlSignatureAlgorithmContext(_)
        | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => ChainFault::ListUnsigned,
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) | Error::MalformedExtensions => {
            ChainFault::Malformed
        }
        _ => ChainFault::Invalid,
    }
}
