//! What TLSA records and POSH documents make up for, and what nothing does.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_shared::pki::ChainFault;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;

use super::super::dane::Server;
use super::super::posh::Document;
use super::super::{Evidence, PeerIdentity, Proof};
use crate::policy::Moment;
use crate::resolve::Tlsa;
use crate::stream::identity::Presented;
use crate::stream::test_support::{Flaw, NOW_MS, OTHER, REMOTE, domain, identity, later, moment, settings, snapshot};
use crate::verdict::IdentityFault;

const HOST: &str = "xmpp.hosting.example";

/// A partner that may use both.
fn at() -> Moment {
    let mut snapshot = snapshot(settings('R', 'R', true));
    for partner in &mut snapshot.partners {
        (partner.options.dane, partner.options.posh) = (true, true);
    }
    moment(&snapshot)
}

/// A chain of an authority that nobody trusts: the leaf for a name, and the authority.
fn private_chain(name: &str, expired: bool) -> Vec<CertificateDer<'static>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "An authority of their own");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        leaf.not_after = date_time_ymd(2020, 1, 1);
    }
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
    vec![leaf, authority]
}

fn empty() -> Evidence {
    Evidence { domain: domain(REMOTE), until_ms: NOW_MS + 60_000, dane: None, posh: None }
}

fn with_records(records: Vec<Tlsa>) -> Evidence {
    Evidence { dane: Some(Ok(vec![Server { host: HOST.to_owned(), records }])), ..empty() }
}

fn with_document(text: &str) -> Evidence {
    let Ok(Document::Fingerprints(fingerprints)) = Document::parse(text.as_bytes()) else { panic!("{text}") };
    Evidence { posh: Some(Ok(fingerprints)), ..empty() }
}

fn fingerprint(certificate: &CertificateDer<'_>, name: &str, algorithm: &'static digest::Algorithm) -> Evidence {
    let sum = STANDARD.encode(digest::digest(algorithm, certificate));
    with_document(&format!("{{\"fingerprints\":[{{\"{name}\":\"{sum}\"}}],\"expires\":600}}"))
}

fn record(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> Tlsa {
    let selected = match selector {
        0 => certificate.to_vec(),
        _ => causeway_shared::pki::identity::public_key_info(certificate).unwrap(),
    };
    let data = match matching {
        0 => selected,
        1 => digest::digest(&digest::SHA256, &selected).as_ref().to_vec(),
        _ => digest::digest(&digest::SHA512, &selected).as_ref().to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

fn judge(chain: &[CertificateDer<'static>], evidence: Evidence) -> Result<Proof, IdentityFault> {
    let mut peer = PeerIdentity::new(Presented::read(chain), None);
    peer.learn(evidence);
    peer.proves(&domain(REMOTE), &at())
}

#[test]
fn a_record_for_the_certificate_proves_it_whatever_its_names_and_dates_say() {
    let chain = private_chain("other.example", true);
    for selector in 0..=1 {
        for matching in 0..=2 {
            let evidence = with_records(vec![record(3, selector, matching, &chain[0])]);
            assert_eq!(judge(&chain, evidence), Ok(Proof::Dane), "3 {selector} {matching}");
        }
    }
    let another = private_chain(REMOTE, false);
    let refused = judge(&chain, with_records(vec![record(3, 1, 1, &another[0])])).unwrap_err();
    assert!(refused.to_string().ends_with("DANE: no TLSA record matches it"), "{refused}");
}

#[test]
fn a_record_for_the_authority_proves_what_it_issued_for_the_domain_or_for_the_server() {
    for (name, proves) in [(REMOTE, true), (HOST, true), ("other.example", false)] {
        let chain = private_chain(name, false);
        for evidence in [(2, 0, 1), (2, 1, 1), (2, 0, 0)] {
            let (usage, selector, matching) = evidence;
            let evidence = with_records(vec![record(usage, selector, matching, &chain[1])]);
            assert_eq!(judge(&chain, evidence).is_ok(), proves, "{name} {selector} {matching}");
        }
    }
    let chain = private_chain(REMOTE, false);
    let whole = record(2, 0, 0, &chain[1]);
    assert_eq!(judge(&chain[..1], with_records(vec![whole])), Ok(Proof::Dane), "not sent along");
    let expired = private_chain(REMOTE, true);
    let refused = judge(&expired, with_records(vec![record(2, 0, 1, &expired[1])]));
    assert!(refused.is_err(), "here the dates count");
    // A leaf is not its own authority.
    assert!(judge(&chain, with_records(vec![record(2, 0, 1, &chain[0])])).is_err());
}

#[test]
fn with_usage_1_the_issuer_must_be_trusted_and_the_server_may_be_named() {
    let mut peer = identity(&[HOST], Flaw::Nothing);
    let leaf = peer.presented.chain[0].clone();
    peer.learn(with_records(vec![record(1, 1, 1, &leaf)]));
    assert_eq!(peer.proves(&domain(REMOTE), &at()), Ok(Proof::Dane));
    let private = private_chain(REMOTE, false);
    assert!(judge(&private, with_records(vec![record(1, 1, 1, &private[0])])).is_err());
}

#[test]
fn records_that_we_do_not_know_prove_nothing() {
    let chain = private_chain(REMOTE, false);
    for (usage, selector, matching) in [(0, 0, 1), (4, 0, 1), (255, 0, 1), (3, 2, 1), (3, 0, 3)] {
        let record = Tlsa { usage, selector, matching, ..record(3, 0, 1, &chain[0]) };
        assert!(judge(&chain, with_records(vec![record])).is_err(), "{usage} {selector} {matching}");
    }
    let nothing = Tlsa { usage: 3, selector: 0, matching: 0, data: Vec::new() };
    assert!(judge(&chain, with_records(vec![nothing])).is_err());
    let none = Evidence { dane: Some(Ok(Vec::new())), ..empty() };
    assert!(judge(&chain, none).unwrap_err().to_string().contains("DNSSEC proves no TLSA records"));
}

#[test]
fn a_fingerprint_proves_the_certificate_of_whoever_hosts_the_domain() {
    let chain = private_chain("hosting.example", false);
    for (name, algorithm) in [("sha-256", &digest::SHA256), ("sha-512", &digest::SHA512)] {
        assert_eq!(judge(&chain, fingerprint(&chain[0], name, algorithm)), Ok(Proof::Posh));
    }
    for (name, algorithm) in [("sha-256", &digest::SHA512), ("sha-1", &digest::SHA1_FOR_LEGACY_USE_ONLY)] {
        let refused = judge(&chain, fingerprint(&chain[0], name, algorithm)).unwrap_err();
        assert!(refused.to_string().ends_with("POSH: the domain's document has no fingerprint of it"), "{refused}");
    }
    assert!(judge(&chain, fingerprint(&chain[1], "sha-256", &digest::SHA256)).is_err(), "not of an issuer");
}

#[test]
fn an_expired_certificate_is_not_made_valid_by_a_fingerprint() {
    let chain = private_chain(REMOTE, true);
    assert!(judge(&chain, fingerprint(&chain[0], "sha-256", &digest::SHA256)).is_err());
}

#[test]
fn evidence_counts_for_its_domain_its_time_and_partners_that_let_it() {
    let chain = private_chain(REMOTE, false);
    let evidence = fingerprint(&chain[0], "sha-256", &digest::SHA256);
    let mut peer = PeerIdentity::new(Presented::read(&chain), None);
    assert!(peer.wants_evidence(&domain(REMOTE), &at()));
    assert!(!peer.wants_evidence(&domain("stranger.example"), &at()), "nothing is fetched for those we do not know");
    peer.learn(evidence);
    assert!(!peer.wants_evidence(&domain(REMOTE), &at()));
    assert_eq!(peer.proves(&domain(REMOTE), &at()), Ok(Proof::Posh));
    assert_eq!(peer.proves(&domain(OTHER), &at()), Err(IdentityFault::Chain(ChainFault::UnknownIssuer)));
    let at = at();
    let end = at.now + Duration::from_secs(60);
    assert_eq!(peer.review_at(&at), Some(end), "a live stream is judged again when it is stale");
    assert!(peer.proves(&domain(REMOTE), &later(&at, Duration::from_secs(60))).is_err());
    let off = Moment { now: at.now, ..moment(&snapshot(settings('R', 'R', true))) };
    assert_eq!(peer.proves(&domain(REMOTE), &off), Err(IdentityFault::Chain(ChainFault::UnknownIssuer)));
}

#[test]
fn nothing_is_fetched_where_the_chain_is_proof_or_nothing_could_help() {
    for (flaw, wanted) in [
        (Flaw::Nothing, false),
        (Flaw::Absent, false),
        (Flaw::SelfSigned, true),
        (Flaw::ClientAuthOnly, true),
        (Flaw::Expired, true),
    ] {
        let peer = identity(&[REMOTE], flaw);
        assert_eq!(peer.wants_evidence(&domain(REMOTE), &at()), wanted, "{flaw:?}");
    }
}

#[test]
fn a_fetch_that_failed_is_part_of_the_reason() {
    let chain = private_chain(REMOTE, false);
    let failed = Evidence {
        dane: Some(Err("the answer failed DNSSEC validation".to_owned())),
        posh: Some(Err("there is no such document".to_owned())),
        ..empty()
    };
    let text = judge(&chain, failed).unwrap_err().to_string();
    assert!(text.starts_with("the issuer is unknown"), "{text}");
    assert!(text.contains("DANE: the answer failed") && text.contains("POSH: there is no such document"), "{text}");
}
