//! Whom the peer's certificate speaks for (RFC 6120, section 13.7), and by which proof: judged at the moment it matters,
//! not at the handshake.
//!
//! TLS only proves that the peer holds the key. The same judgement serves SASL EXTERNAL, dialback answered by
//! certificate (XEP-0220, section 1.2; CVE-2021-32919), the server certificate of a partner that we dial, and the
//! second look at all of them while their streams live (RFC 6120, section 13.7.2.3).
//!
//! An issuer that we trust comes first. `pin` says what a partner's pins change about that, [`dane`] and [`posh`] what
//! else can vouch for a certificate where the partner's configuration lets it, and [`evidence`] joins them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;
use causeway_shared::pki::{self, ChainFault, PeerCertificate, Purpose};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::policy::{Moment, PartnerPolicy};
use crate::verdict::IdentityFault;

pub mod dane;
pub mod evidence;
mod pin;
pub mod posh;
mod presented;
mod vouched;

pub use evidence::Evidence;
pub use presented::{ChainSum, Presented};
pub use vouched::Vouched;

/// How many of its names a certificate is quoted with.
const QUOTED_NAMES: usize = 5;

/// What made us believe that a certificate speaks for a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A chain to an authority that we trust for this domain, and the domain among its names (RFC 6125).
    Pkix,
    /// The partner's configuration names its key.
    Pin,
    /// The domain's signed DNS names it (RFC 7673).
    Dane,
    /// The domain's web server names it (RFC 7711).
    Posh,
}

impl Proof {
    /// For logs and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pkix => "pkix",
            Self::Pin => "pin",
            Self::Dane => "dane",
            Self::Posh => "posh",
        }
    }
}

/// What TLS told about the other side.
#[derive(Debug, Clone)]
pub struct PeerIdentity {
    presented: Arc<Presented>,
    /// What was fetched about the domain that it claims.
    evidence: Option<Box<Evidence>>,
    /// The name in the peer's ClientHello, if it was one.
    pub server_name: Option<DomainName>,
}

impl PeerIdentity {
    /// What the handshake left.
    pub const fn new(presented: Arc<Presented>, server_name: Option<DomainName>) -> Self {
        Self { presented, evidence: None, server_name }
    }

    /// Whether and how the certificate proves a domain, at this moment and by the trust in force for that domain.
    pub fn proves(&self, domain: &DomainName, at: &Moment) -> Result<Proof, IdentityFault> {
        let facts = self.presented.facts.as_ref().map_err(|fault| IdentityFault::Chain(*fault))?;
        let Some(partner) = at.federation.partner(domain.as_str()) else {
            return Err(IdentityFault::Chain(ChainFault::UnknownIssuer));
        };
        let judged = Judged { presented: &self.presented, chain: &self.presented.chain, facts, domain, partner, at };
        pin::permits(&judged)?;
        let fault = match judged.by_chain() {
            Ok(()) => return Ok(Proof::Pkix),
            Err(fault) => fault,
        };
        if pin::suffices(&judged) {
            return Ok(Proof::Pin);
        }
        match self.evidence_about(domain, at) {
            Some(evidence) if evidence::can_cure(&fault) => evidence.judge(&judged, fault),
            Some(_) | None => Err(fault),
        }
    }

    /// Whether it is worth while to fetch evidence about a domain before judging: the partner's configuration lets it
    /// count, there is none yet, and the certificate needs it.
    pub fn wants_evidence(&self, domain: &DomainName, at: &Moment) -> bool {
        let may_count =
            at.federation.partner(domain.as_str()).is_some_and(|partner| partner.options.dane || partner.options.posh);
        may_count
            && self.evidence_about(domain, at).is_none()
            && self.proves(domain, at).is_err_and(|fault| evidence::can_cure(&fault))
    }

    /// Takes what was fetched, in place of what was fetched before.
    pub fn learn(&mut self, evidence: Evidence) {
        self.evidence = Some(Box::new(evidence));
    }

    fn evidence_about(&self, domain: &DomainName, at: &Moment) -> Option<&Evidence> {
        let evidence = self.evidence.as_deref();
        evidence.filter(|evidence| evidence.domain == *domain && evidence.until_ms > at.unix_ms)
    }

    /// When to look again, by the clock for deadlines: a certificate of the chain ends, a revocation list, or evidence.
    pub fn review_at(&self, at: &Moment) -> Option<Instant> {
        let now = unix(at);
        let milliseconds = |seconds: u64| seconds.saturating_mul(1000);
        let changes = [
            pki::next_end(&self.presented.chain, now).map(milliseconds),
            at.trust.revocation.next_change(now).map(milliseconds),
            self.evidence.as_ref().map(|evidence| evidence.until_ms).filter(|until| *until > at.unix_ms),
        ];
        let next = changes.into_iter().flatten().min()?;
        at.now.checked_add(Duration::from_millis(next.saturating_sub(at.unix_ms)))
    }

    /// The peer's certificate, if it presented one that can be read.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.presented.facts.as_ref().ok()
    }

    /// SHA-256 of the key of the peer's certificate: what a pin names.
    pub fn key_sha256(&self) -> Option<[u8; 32]> {
        self.certificate().map(|facts| facts.key_sha256)
    }

    /// SHA-256 of the peer's certificate.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.certificate().map(|facts| facts.sha256)
    }
}

/// One certificate before the judge, and what it is to prove.
struct Judged<'a> {
    presented: &'a Presented,
    chain: &'a [CertificateDer<'static>],
    facts: &'a PeerCertificate,
    domain: &'a DomainName,
    partner: &'a PartnerPolicy,
    at: &'a Moment,
}

impl Judged<'_> {
    /// PKIX: the chain, then the name.
    fn by_chain(&self) -> Result<(), IdentityFault> {
        let (vouched, trust, now) = (&self.partner.vouched, &self.at.trust, unix(self.at));
        if !vouched.knows(&self.presented.sum, trust, now) {
            self.chain_holds(Purpose::Federation).map_err(IdentityFault::Chain)?;
            vouched.learn(self.presented, trust, now);
        }
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
