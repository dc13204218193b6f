//! Findings: why an attempt failed or was refused, before it is known about whom (ARCHITECTURE.md, promise 2).
//!
//! A machine knows the kind and the cause; its shell knows partner, peer and time and makes the [`Verdict`] that operators
//! read. Rung, side and remedy are the catalogue's.

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::pki::ChainFault;
pub use causeway_shared::verdict::{Code, Direction, Facts, Rung, Side, Verdict};
use causeway_shared::xmpp::stream_error::StreamFault;

/// The part of a verdict that the place of the failure decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of which kind it is.
    pub code: Code,
    /// How far the attempt came: the rung of the kind, but on the return leg of dialback, where that is the rung.
    pub rung: Rung,
    /// Who can do something about it.
    pub side: Side,
    /// What happened, in a sentence without anything secret.
    pub cause: String,
    /// What to do.
    pub remedy: &'static str,
    /// The pair it is about, where that is not the one of the stream's headers.
    pub pair: Option<Box<DomainPair>>,
    /// What is known about the connection; the shell adds it.
    pub facts: Option<Box<Facts>>,
}

impl Finding {
    /// A finding.
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        let entry = code.entry();
        Self {
            code,
            rung: entry.rung,
            side: entry.side,
            cause: cause.into(),
            remedy: entry.remedy,
            pair: None,
            facts: None,
        }
    }

    /// The same about a pair of domains of its own.
    pub fn about(mut self, pair: &DomainPair) -> Self {
        self.pair = Some(Box::new(pair.clone()));
        self
    }

    /// The same with what is known about the connection.
    pub fn with(mut self, facts: Facts) -> Self {
        self.facts = Some(Box::new(facts));
        self
    }

    /// A TLS handshake that failed. Most often it is the certificate that the other side does not like, which is ours.
    pub fn tls(cause: String) -> Self {
        /// Alerts about the sender's opinion of our certificate (RFC 8446, section 6.2), as the library names them.
        const OURS: [&str; 7] = [
            "BadCertificate",
            "UnsupportedCertificate",
            "CertificateRevoked",
            "CertificateExpired",
            "CertificateUnknown",
            "UnknownCA",
            "CertificateRequired",
        ];
        if cause.contains("alert") && OURS.iter().any(|alert| cause.contains(alert)) {
            return Self::new(Code::TlsOurCertificate, cause);
        }
        if cause.contains("has no certificate") {
            return Self::new(Code::TlsNoCertificate, cause);
        }
        Self::new(Code::TlsFailed, cause)
    }

    /// A broken rule of the stream.
    pub fn fault(fault: &StreamFault) -> Self {
        Self::new(Code::StreamRule, format!("{}: {}", fault.condition, fault.cause))
    }

    /// A certificate that does not prove a domain.
    pub fn identity(domain: &DomainName, fault: &IdentityFault) -> Self {
        Self::new(code_of(fault), format!("the certificate does not prove {domain}: {fault}"))
    }
}

fn code_of(fault: &IdentityFault) -> Code {
    match fault {
        IdentityFault::Chain(ChainFault::WrongUsage) => Code::KeyUsage,
        IdentityFault::Chain(ChainFault::Absent) => Code::ChainAbsent,
        IdentityFault::Chain(ChainFault::Expired | ChainFault::NotYetValid) => Code::ChainExpired,
        IdentityFault::Chain(ChainFault::SelfSigned | ChainFault::UnknownIssuer) => Code::ChainUntrusted,
        IdentityFault::Chain(ChainFault::Revoked) => Code::ChainRevoked,
        IdentityFault::Chain(ChainFault::ListOverdue | ChainFault::ListUnsigned) => Code::ChainRevocationList,
        IdentityFault::Chain(
            ChainFault::TooLong
            | ChainFault::Malformed
            | ChainFault::WeakKey
            | ChainFault::WeakSignature
            | ChainFault::BadSignature
            | ChainFault::NameConstraint
            | ChainFault::Invalid,
        ) => Code::ChainUnacceptable,
        IdentityFault::Name { .. } => Code::NameMismatch,
        IdentityFault::NoProof { chain, .. } => code_of(chain),
        IdentityFault::Pin { .. } => Code::ChainPin,
    }
}

impl IdentityFault {
    /// What the peer is told. The names are its own words, and the pins nobody's business; neither is repeated to it.
    pub fn for_peer(&self) -> String {
        match self {
            Self::Chain(fault) => format!("your certificate cannot be used: {fault}"),
            Self::Name { .. } => "your certificate does not name the domain of this stream".to_owned(),
            Self::NoProof { chain, .. } => chain.for_peer(),
            Self::Pin { .. } => "the key of your certificate is not the one agreed on".to_owned(),
        }
    }
}

/// Why a certificate does not prove a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// Nobody trusted vouches for it.
    #[error("{0}")]
    Chain(ChainFault),
    /// It speaks for others.
    #[error("it names {}", presented.join(", "))]
    Name {
        /// Some of the names it presents.
        presented: Vec<String>,
    },
    /// Its key is not one that the partner's configuration names.
    #[error("its key has SHA-256 {presented}, and pinned is {}", pinned.join(" or "))]
    Pin {
        /// SHA-256 of the key that was presented.
        presented: String,
        /// SHA-256 of the keys that may be.
        pinned: Vec<String>,
    },
    /// Neither an issuer vouches for it, nor what else was asked.
    #[error("{chain}; {}", others.join("; "))]
    NoProof {
        /// What is wrong with the chain or its names.
        chain: Box<Self>,
        /// What else was tried.
        others: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_about_our_certificate_is_for_our_operator() {
        let finding = Finding::tls("received fatal alert: UnknownCA".to_owned());
        assert_eq!((finding.rung, finding.side), (Rung::Tls, Side::Operator));
        let finding = Finding::tls("received fatal alert: HandshakeFailure".to_owned());
        assert_eq!((finding.rung, finding.side), (Rung::Tls, Side::Theirs));
    }
}
