//! Certificates of peers: for whom they speak, whether we believe it, and what to tell an operator if not.
//!
//! [`identity`] reads a certificate and compares names (RFC 6120, section 13.7), [`chain`] builds the path to a trust
//! anchor (RFC 5280), [`trust`] says which anchors count, [`revocation`] what they have taken back.

pub mod chain;
pub mod identity;
pub mod revocation;
pub mod trust;

pub use chain::{ChainFault, Purpose, next_end, verify_alone, verify_chain};
pub use identity::PeerCertificate;
pub use revocation::{OverdueLists, Revocation};
pub use trust::Trust;

#[cfg(test)]
mod tests;
