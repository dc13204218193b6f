//! What was fetched about a domain beyond the handshake, and what it proves where no trusted issuer does.
//!
//! The machines judge and fetch nothing; so their shells fetch beforehand, when a partner's configuration asks for it
//! and the chain alone does not prove the domain. Evidence widens what is believed and never narrows it: with a chain in
//! order nobody looks at it.

use causeway_shared::domain::DomainName;
use causeway_shared::pki::ChainFault;

use super::{Judged, Proof, dane, posh};
use crate::verdict::IdentityFault;

/// What was fetched about a domain, or why it could not be.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Whose.
    pub domain: DomainName,
    /// Until when it counts, in Unix milliseconds. A live stream that rests on it is judged again then.
    pub until_ms: u64,
    /// The servers that signed records lead to; `None` where the partner has no DANE.
    pub dane: Option<Result<Vec<dane::Server>, String>>,
    /// The fingerprints; `None` where the partner has no POSH.
    pub posh: Option<Result<posh::Fingerprints, String>>,
}

impl Evidence {
    /// The proof that it gives, else the fault of the chain with what was tried besides.
    pub(super) fn judge(&self, judged: &Judged<'_>, fault: IdentityFault) -> Result<Proof, IdentityFault> {
        let mut others = Vec::new();
        if judged.partner.options.dane {
            match &self.dane {
                Some(Ok(servers)) if dane::proves(servers, judged) => return Ok(Proof::Dane),
                Some(Ok(servers)) if servers.is_empty() => {
                    others.push("DANE: DNSSEC proves no TLSA records of the domain's servers".to_owned());
                }
                Some(Ok(_)) => others.push("DANE: no TLSA record matches it".to_owned()),
                Some(Err(cause)) => others.push(format!("DANE: {cause}")),
                None => {}
            }
        }
        if judged.partner.options.posh {
            match &self.posh {
                Some(Ok(fingerprints)) if posh::proves(fingerprints, judged) => return Ok(Proof::Posh),
                Some(Ok(_)) => others.push("POSH: the domain's document has no fingerprint of it".to_owned()),
                Some(Err(cause)) => others.push(format!("POSH: {cause}")),
                None => {}
            }
        }
        if others.is_empty() { Err(fault) } else { Err(IdentityFault::NoProof { chain: Box::new(fault), others }) }
    }
}

/// Whether something else than an issuer can make up for what is wrong. For what is too weak, revoked, or no certificate
/// at all, nothing can.
pub(super) fn can_cure(fault: &IdentityFault) -> bool {
    match fault {
        IdentityFault::Name { .. }
        | IdentityFault::Chain(
            ChainFault::SelfSigned
            | ChainFault::UnknownIssuer
            | ChainFault::WrongUsage
            | ChainFault::Expired
            | ChainFault::NotYetValid,
        ) => true,
        IdentityFault::Pin { .. }
        | IdentityFault::NoProof { .. }
        | IdentityFault::Chain(
            ChainFault::Absent
            | ChainFault::TooLong
            | ChainFault::Malformed
            | ChainFault::WeakKey
            | ChainFault::WeakSignature
            | ChainFault::BadSignature
            | ChainFault::NameConstraint
            | ChainFault::Revoked
            | ChainFault::ListOverdue
            | ChainFault::ListUnsigned
            | ChainFault::Invalid,
        ) => false,
    }
}

#[cfg(test)]
mod tests;
