//! Target `certificate`: what a peer shows as its certificate, and whether it is believed.
//!
//! Invariants, besides not panicking: a chain in which any byte of what is signed or of the signature was changed is not
//! accepted; a certificate names a domain only if one of the names that it presents can be read as that; what a
//! certificate says of itself is told in bounded text.
//!
//! The first byte of an input chooses a chain of ours, or that the rest is a certificate. Otherwise the rest are changes
//! of four bytes: which certificate and how, where (two bytes), and a value.

use std::sync::LazyLock;
use std::time::Duration;

use causeway_shared::domain::DomainName;
use causeway_shared::pki::{PeerCertificate, Purpose, Revocation, next_end, verify_alone, verify_chain};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{KeyUsagePurpose, OtherNameValue, SanType};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};

use crate::world::{self, NOW_MS};

/// How many names are told, as everywhere.
const QUOTED: usize = 5;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let chain: Vec<CertificateDer<'static>> = match choice % 4 {
        0 => vec![CertificateDer::from(rest.to_vec())],
        1 => changed(&CHAINS.by_root, rest),
        2 => changed(&CHAINS.by_intermediate, rest),
        _ => changed(&CHAINS.by_intermediate[..1], rest),
    };
    let is_whole = chain == CHAINS.by_root || chain == CHAINS.by_intermediate;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(NOW_MS));
    let none = Revocation::default();
    for purpose in [Purpose::Federation, Purpose::Pinned] {
        let judgement = verify_chain(&chain, &CHAINS.anchors, &none, now, purpose);
        assert_eq!(judgement.is_ok(), is_whole, "{judgement:?}");
    }
    let _ = verify_alone(&chain, now);
    assert!(next_end(&chain, now).is_none_or(|end| end >= now.as_secs()), "an end in the past");
    let Ok(facts) = PeerCertificate::read(&chain) else { return };
    let _ = (facts.fingerprint(), facts.has_key_of(&[[0; 32]]), facts.names_host("mx.fabrikam.example"));
    let presented = facts.presented_names(usize::MAX);
    assert!(facts.presented_names(QUOTED).len() <= QUOTED);
    for name in world::DOMAINS.iter().filter_map(|name| DomainName::parse(name).ok()) {
        let parent = name.as_str().split_once('.').map_or("", |(_, parent)| parent);
        let is_meant = |presented: &String| {
            let presented = presented.to_lowercase();
            presented.contains(name.as_str())
                || presented == format!("dns:*.{parent}")
                // Legacy names are Unicode, and prepared before they are compared.
                || presented.starts_with("xmppaddr:")
        };
        assert!(!facts.names_domain(&name) || presented.iter().any(is_meant), "{presented:?} does not mean {name}");
    }
}

/// A chain with some of its bytes replaced, inserted or taken away.
fn changed(chain: &[CertificateDer<'static>], changes: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
    for change in changes.chunks_exact(4) {
        let &[how, high, low, value] = change else { continue };
        let index = usize::from(how & 0x0f) % chain.len();
        let Some(der) = chain.get_mut(index).filter(|der| !der.is_empty()) else { continue };
        let at = usize::from(u16::from_be_bytes([high, low])) % der.len();
        match how >> 4 {
            0..=11 => der[at] = value,
            12 | 13 => der.insert(at, value),
            14 => drop(der.remove(at)),
            _ => der.truncate(at),
        }
    }
    chain.into_iter().map(CertificateDer::from).collect()
}

struct Chains {
    anchors: Vec<TrustAnchor<'static>>,
    by_root: Vec<CertificateDer<'static>>,
    by_intermediate: Vec<CertificateDer<'static>>,
}

static CHAINS: LazyLock<Chains> = LazyLock::new(|| {
    let root = CertifiedIssuer::self_signed(authority("Root"), key()).expect("a certificate");
    let intermediate = CertifiedIssuer::signed_by(authority("Intermediate"), key(), &root).expect("a certificate");
    let of_root = leaf().signed_by(&key(), &root).expect("a certificate");
    let of_intermediate = leaf().signed_by(&key(), &intermediate).expect("a certificate");
    Chains {
        anchors: vec![causeway_shared::pki::trust::anchor(root.der()).expect("an authority")],
        by_root: vec![of_root.der().clone()],
        by_intermediate: vec![of_intermediate.der().clone(), intermediate.der().clone()],
    }
});

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// One with every kind of name that we read, and an extended key usage.
fn leaf() -> CertificateParams {
    let names = ["fabrikam.example", "*.fabrikam.example"].map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("names");
    let other = |oid: u64, name: &str| {
        let value = OtherNameValue::Utf8String(name.to_owned());
        SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, oid], value))
    };
    params.subject_alt_names.push(other(7, "_xmpp-server.chat.fabrikam.example"));
    params.subject_alt_names.push(other(5, "wingtip.example"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
