//! Whom the peer's certificate speaks for (RFC 6120, section 13.7): judged at the moment it matters, not at the
//! handshake.
//!
//! TLS only proves that the peer holds the key. The same judgement serves SASL EXTERNAL, dialback answered by
//! certificate (XEP-0220, section 1.2; CVE-2021-32919) and the server certificate of a partner that we dial.

use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;
use causeway_shared::pki::{self, ChainFault, PeerCertificate, Purpose};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::policy::Moment;
use crate::verdict::IdentityFault;

/// How many of its names a certificate is quoted with.
const QUOTED_NAMES: usize = 5;

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

    /// Whether the certificate proves a domain, at this moment and by the trust in force for that domain.
    pub fn proves(&self, domain: &DomainName, at: &Moment) -> Result<(), IdentityFault> {
        let facts = self.facts.as_ref().map_err(|fault| IdentityFault::Chain(*fault))?;
        let anchors = match at.federation.partner(domain.as_str()) {
            Some(partner) => partner.anchors(&at.public_anchors),
            None => Vec::new(),
        };
        let now = UnixTime::since_unix_epoch(Duration::from_millis(at.unix_ms));
        pki::verify_chain(&self.chain, &anchors, now, Purpose::Federation).map_err(IdentityFault::Chain)?;
        if facts.names_domain(domain) {
            Ok(())
        } else {
            Err(IdentityFault::Name { presented: facts.presented_names(QUOTED_NAMES) })
        }
    }

    /// When the certificate ends, by the clock for deadlines.
    pub fn expires(&self, at: &Moment) -> Option<Instant> {
        let facts = self.facts.as_ref().ok()?;
        at.now.checked_add(Duration::from_secs(facts.not_after.saturating_sub(at.unix_ms / 1000)))
    }

    /// SHA-256 of the peer's certificate.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.facts.as_ref().ok().map(|facts| facts.sha256)
    }
}
