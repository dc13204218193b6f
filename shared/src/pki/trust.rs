//! What vouches for partners in general: the authorities that an operator chose, and the lists of what they took back.

use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::chain::ChainFault;
use super::revocation::Revocation;

/// The trust of an edge; a partner's own authorities come with the partner and count for its domains only.
#[derive(Debug, Default)]
pub struct Trust {
    /// The public authorities.
    pub anchors: Vec<TrustAnchor<'static>>,
    /// What they, and partners' authorities, have revoked.
    pub revocation: Revocation,
}

/// An authority's certificate as a trust anchor.
pub fn anchor(certificate: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, ChainFault> {
    webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned()).map_err(|_| ChainFault::Malformed)
}
