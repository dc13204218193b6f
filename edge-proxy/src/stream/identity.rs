//! Whom the peer's certificate speaks for (RFC 6120, section 13.7), and by which proof: judged at the moment it matters,
//! not at the handshake.
//!
//! TLS only proves that the peer holds the key. The same judgement serves SASL EXTERNAL, dialback answered by
//! certificate (XEP-0220, section 1.2; CVE-2021-32919), the server certificate of a partner that we dial, and the
//! second look at all of them while their streams live (RFC 6120, section 13.7.2.3).
//!
//! An issuer that we trust comes first. [`pin`] says what a partner's pins change about that.

use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;
use causeway_shared::pki::{self, ChainFault, PeerCertificate, Purpose};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::policy::{Moment, PartnerPolicy};
use crate::verdict::IdentityFault;

mod pin;

/// How many of its names a certificate is quoted with.
const QUOTED_NAMES: usize = 5;

/// What made us believe that a certificate speaks for a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A chain to an authority that we trust for this domain, and the domain among its names (RFC 6125).
    Pkix,
    /// The partner's configuration names its key.
    Pin,
}

impl Proof {
    /// For logs and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pkix => "pkix",
            Self::Pin => "pin",
        }
    }
}

/// What TLS told about the other side.
#[derive(Debug, Clone)]
pub struct PeerIdentity {
    /// The chain as presented, the peer's own certificate first.
    chain: Vec<CertificateDer<'static>>,
    facts: Result<PeerCertificate, ChainFault>,
    /// The name in the peer's ClientHello, if it was one.
    pub server_name: Option<DomainName>,
}

impl PeerIdentity {
    /// Reads what the handshake left.
    pub fn new(chain: Vec<CertificateDer<'static>>, server_name: Option<DomainName>) -> Self {
        let facts = PeerCertificate::read(&chain);
        Self { chain, facts, server_name }
    }

    /// Whether and how the certificate proves a domain, at this moment and by the trust in force for that domain.
    pub fn proves(&self, domain: &DomainName, at: &Moment) -> Result<Proof, IdentityFault> {
        let facts = self.facts.as_ref().map_err(|fault| IdentityFault::Chain(*fault))?;
        let Some(partner) = at.federation.partner(domain.as_str()) else {
            return Err(IdentityFault::Chain(ChainFault::UnknownIssuer));
        };
        let judged = Judged { chain: &self.chain, facts, domain, partner, at };
        pin::permits(&judged)?;
        let fault = match judged.by_chain(Purpose::Federation) {
            Ok(()) => return Ok(Proof::Pkix),
            Err(fault) => fault,
        };
        if pin::suffices(&judged) { Ok(Proof::Pin) } else { Err(fault) }
    }

    /// When to look again, by the clock for deadlines: a certificate of the chain ends, or a revocation list.
    pub fn review_at(&self, at: &Moment) -> Option<Instant> {
        let now = unix(at);
        let changes = [pki::next_end(&self.chain, now), at.trust.revocation.next_change(now)];
        let next = changes.into_iter().flatten().min()?;
        at.now.checked_add(Duration::from_millis(next.saturating_mul(1000).saturating_sub(at.unix_ms)))
    }

    /// SHA-256 of the key of the peer's certificate: what a pin names.
    pub fn key_sha256(&self) -> Option<[u8; 32]> {
        self.facts.as_ref().ok().map(|facts| facts.key_sha256)
    }

    /// SHA-256 of the peer's certificate.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.facts.as_ref().ok().map(|facts| facts.sha256)
    }
}

/// One certificate before the judge, and what it is to prove.
struct Judged<'a> {
    chain: &'a [CertificateDer<'static>],
    facts: &'a PeerCertificate,
    domain: &'a DomainName,
    partner: &'a PartnerPolicy,
    at: &'a Moment,
}

impl Judged<'_> {
    /// PKIX: the chain, then the name.
    fn by_chain(&self, purpose: Purpose) -> Result<(), IdentityFault> {
        self.chain_holds(purpose).map_err(IdentityFault::Chain)?;
        if self.facts.names_domain(self.domain) {
            Ok(())
        } else {
            Err(IdentityFault::Name { presented: self.facts.presented_names(QUOTED_NAMES) })
        }
    }

    /// The chain alone, to the anchors that count for the partner: its own authorities count for nobody else.
    fn chain_holds(&self, purpose: Purpose) -> Result<(), ChainFault> {
        let anchors = self.partner.anchors(&self.at.trust.anchors);
        pki::verify_chain(self.chain, &anchors, &self.at.trust.revocation, unix(self.at), purpose)
    }
}

fn unix(at: &Moment) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(at.unix_ms))
}

#[cfg(test)]
mod tests;
