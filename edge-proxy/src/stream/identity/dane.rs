//! DANE: TLSA records that DNSSEC proves say which certificates a partner's servers may show (RFC 6698; RFC 7671; RFC
//! 7673).
//!
//! All servers of the domain are one here: we believe of any what the zone says of one, also when it comes to us, where
//! no record says which of them it is. An attacker who has the key of one server of a domain needs no other.
//!
//! Not here: PKIX-TA (usage 0), which says only which of the authorities that we trust already is the right one.

use aws_lc_rs::digest;
use causeway_shared::pki::{self, ChainFault, PeerCertificate, Purpose};
use rustls::pki_types::CertificateDer;

use super::{Judged, unix};
use crate::resolve::Tlsa;

/// A server that signed records lead to, and the signed records about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name, which a certificate may bear instead of the domain's (RFC 7673, section 4.1).
    pub host: String,
    /// What is said about its certificate.
    pub records: Vec<Tlsa>,
}

/// Certificate usages (RFC 6698, section 2.1.1; RFC 7218).
const PKIX_EE: u8 = 1;
const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;

/// Whether some record vouches for the certificate.
pub(super) fn proves(servers: &[Server], judged: &Judged<'_>) -> bool {
    servers.iter().any(|server| server.records.iter().any(|record| vouches(record, &server.host, judged)))
}

fn vouches(record: &Tlsa, host: &str, judged: &Judged<'_>) -> bool {
    let Some((own, issuers)) = judged.chain.split_first() else {
        return false;
    };
    let is_named = || judged.facts.names_domain(judged.domain) || judged.facts.names_host(host);
    match record.usage {
        // Names and dates do not matter, for the zone names this very certificate (RFC 7671, section 5.1); ours is the
        // floor for keys.
        DANE_EE => matches(record, own) && judged.facts.key.is_strong(),
        DANE_TA => is_named() && authorities(record, issuers).any(|authority| leads_to(&authority, judged)),
        // An issuer that we trust, too; the name may be the server's, which the zone vouches for.
        PKIX_EE => matches(record, own) && is_named() && judged.chain_holds(Purpose::Federation).is_ok(),
        // Unusable (RFC 6698, section 4.1).
        _ => false,
    }
}

/// The authorities that a record means: among what the peer sent, or in the record itself.
fn authorities<'a>(
    record: &'a Tlsa,
    issuers: &'a [CertificateDer<'static>],
) -> impl Iterator<Item = CertificateDer<'a>> {
    let inline = (record.selector == 0 && record.matching == 0).then(|| CertificateDer::from(record.data.as_slice()));
    issuers.iter().filter(|issuer| matches(record, issuer)).cloned().chain(inline)
}

fn leads_to(authority: &CertificateDer<'_>, judged: &Judged<'_>) -> bool {
    let verify = |anchor| {
        let revocation = &judged.at.trust.revocation;
        pki::verify_chain(judged.chain, &[anchor], revocation, unix(judged.at), Purpose::Federation)
    };
    let is_strong = PeerCertificate::read(std::slice::from_ref(authority)).is_ok_and(|facts| facts.key.is_strong());
    is_strong && pki::trust::anchor(authority).and_then(verify).is_ok()
}

/// RFC 6698, sections 2.1.2 and 2.1.3.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match record.selector {
        0 => Ok(certificate.to_vec()),
        1 => pki::identity::public_key_info(certificate),
        _ => Err(ChainFault::Invalid),
    };
    let Ok(selected) = selected else {
        return false;
    };
    match record.matching {
        0 => selected == record.data,
        1 => digest::digest(&digest::SHA256, &selected).as_ref() == record.data,
        2 => digest::digest(&digest::SHA512, &selected).as_ref() == record.data,
        _ => false,
    }
}
