//! Findings: why an attempt failed or was refused, before it is known about whom (ARCHITECTURE.md, promise 2).
//!
//! A machine knows the rung, the side, the cause and the remedy; its shell knows partner, peer and time and makes the
//! [`Verdict`] that operators read.

use causeway_shared::domain::DomainName;
use causeway_shared::pki::ChainFault;
pub use causeway_shared::verdict::{Direction, Rung, Side, Verdict};
use causeway_shared::xmpp::stream_error::StreamFault;

/// The part of a verdict that the place of the failure decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How far the attempt came.
    pub rung: Rung,
    /// Who can do something about it.
    pub side: Side,
    /// What happened, in a sentence without anything secret.
    pub cause: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Finding {
    /// A finding.
    pub fn new(rung: Rung, side: Side, cause: impl Into<String>, remedy: &'static str) -> Self {
        Self { rung, side, cause: cause.into(), remedy }
    }

    /// A broken rule of the stream.
    pub fn fault(fault: &StreamFault) -> Self {
        Self::new(
            Rung::Stream,
            Side::Theirs,
            format!("{}: {}", fault.condition, fault.cause),
            "The partner's server broke a rule of XMPP streams; report it to its operator or vendor.",
        )
    }

    /// A certificate that does not prove a domain.
    pub fn identity(domain: &DomainName, fault: &IdentityFault) -> Self {
        let (rung, remedy) = match fault {
            IdentityFault::Chain(ChainFault::WrongUsage) => {
                (Rung::KeyUsage, "The partner needs a certificate whose extended key usage allows serverAuth.")
            }
            IdentityFault::Chain(ChainFault::Absent) => {
                (Rung::Chain, "The partner's server has to present its certificate when it connects.")
            }
            IdentityFault::Chain(ChainFault::Expired | ChainFault::NotYetValid) => {
                (Rung::Chain, "The partner has to renew its certificate; also check the clocks of both servers.")
            }
            IdentityFault::Chain(ChainFault::SelfSigned | ChainFault::UnknownIssuer) => (
                Rung::Chain,
                "The partner needs a certificate of an authority we trust, with its intermediates; or add the \
                 partner's own authority to its trust anchors.",
            ),
            IdentityFault::Chain(
                ChainFault::TooLong
                | ChainFault::Malformed
                | ChainFault::WeakKey
                | ChainFault::WeakSignature
                | ChainFault::BadSignature
                | ChainFault::NameConstraint
                | ChainFault::Revoked
                | ChainFault::Invalid,
            ) => (Rung::Chain, "The partner has to replace its certificate."),
            IdentityFault::Name { .. } => (
                Rung::Name,
                "The partner needs a certificate whose subject alternative name holds its XMPP domain itself.",
            ),
        };
        Self::new(rung, Side::Theirs, format!("the certificate does not prove {domain}: {fault}"), remedy)
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
}
