//! Which trust anchors count for which domain: public authorities for all, a partner's own for its domains only.

use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::chain::ChainFault;
use crate::domain::DomainName;

/// The anchors of an edge.
#[derive(Debug, Clone, Default)]
pub struct TrustStore {
    public: Vec<TrustAnchor<'static>>,
    private: Vec<(Vec<DomainName>, TrustAnchor<'static>)>,
}

impl TrustStore {
    /// A store that trusts nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts an authority for every domain.
    pub fn add_public(&mut self, certificate: &CertificateDer<'_>) -> Result<(), ChainFault> {
        self.public.push(anchor(certificate)?);
        Ok(())
    }

    /// Trusts an authority for the domains of one partner, whatever else it may sign.
    pub fn add_private(
        &mut self,
        certificate: &CertificateDer<'_>,
        domains: Vec<DomainName>,
    ) -> Result<(), ChainFault> {
        self.private.push((domains, anchor(certificate)?));
        Ok(())
    }

    /// The anchors that count when a peer claims to be this domain.
    pub fn anchors_for(&self, domain: &DomainName) -> Vec<TrustAnchor<'static>> {
        let private = self.private.iter().filter(|(domains, _)| domains.contains(domain)).map(|(_, anchor)| anchor);
        self.public.iter().chain(private).cloned().collect()
    }

    /// Whether no anchor is known at all.
    pub fn is_empty(&self) -> bool {
        self.public.is_empty() && self.private.is_empty()
    }
}

/// An authority's certificate as a trust anchor.
pub fn anchor(certificate: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, ChainFault> {
    webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned()).map_err(|_| ChainFault::Malformed)
}
