//! Pins: the keys that a partner's configuration names, as SHA-256 of the SubjectPublicKeyInfo.
//!
//! Who pins a partner's key means: this key and no other, whoever signs another. So with pins the key of the peer's
//! own certificate must be one of them, whatever else is in order; that is what a mis-issued certificate cannot pass.
//! And a key that is pinned needs nobody to vouch for it: a self-signed certificate, an issuer we do not know, or a
//! usage that public issuers give to clients only is then no obstacle. Everything else stays: the certificate names the
//! domain, is in date, is not revoked, and its key is strong. A partner that renews its certificate keeps the key, or
//! has the new key pinned beside the old one beforehand.

use causeway_shared::pki::{self, ChainFault, Purpose};

use super::{Judged, unix};
use crate::verdict::IdentityFault;

/// Whether the pins let this key be: the fault names the key that came and those that were expected.
pub(super) fn permits(judged: &Judged<'_>) -> Result<(), IdentityFault> {
    let pins = &judged.partner.pins;
    if pins.is_empty() || judged.facts.has_key_of(pins) {
        return Ok(());
    }
    Err(IdentityFault::Pin {
        presented: hexadecimal(&judged.facts.key_sha256),
        pinned: pins.iter().map(hexadecimal).collect(),
    })
}

/// Whether a pin is proof enough where no trusted issuer is.
pub(super) fn suffices(judged: &Judged<'_>) -> bool {
    if !judged.facts.has_key_of(&judged.partner.pins) || !judged.facts.names_domain(judged.domain) {
        return false;
    }
    match judged.chain_holds(Purpose::Pinned) {
        Ok(()) => true,
        Err(ChainFault::SelfSigned | ChainFault::UnknownIssuer) => {
            pki::verify_alone(judged.chain, unix(judged.at)).is_ok()
        }
        Err(
            ChainFault::Absent
            | ChainFault::TooLong
            | ChainFault::Malformed
            | ChainFault::Expired
            | ChainFault::NotYetValid
            | ChainFault::WrongUsage
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

fn hexadecimal(sum: &[u8; 32]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
