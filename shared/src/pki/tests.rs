//! Certificates made on the spot: who is named, who is believed.

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints,
    OtherNameValue, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::slice::from_ref;
use std::time::Duration;
use x509_cert::der::Decode as _;

use super::identity::KeyKind;
use super::*;
use crate::domain::DomainName;

const SRV_NAME: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 7];
const XMPP_ADDR: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 5];

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn authority(name: &str) -> Authority {
    let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
    let der = params.self_signed(&key).unwrap().der().clone();
    Authority { issuer: Issuer::new(params, key), der }
}

fn issued(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "fabrikam.example");
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), &authority.issuer).unwrap().der().clone()
}

/// A certificate with one name in its subject alternative name.
fn named(name: SanType) -> PeerCertificate {
    let der = issued(&authority("any"), |params| params.subject_alt_names = vec![name]);
    PeerCertificate::read(&[der]).unwrap()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn other(oid: [u64; 9], text: &str) -> SanType {
    SanType::OtherName((oid.to_vec(), OtherNameValue::Utf8String(text.to_owned())))
}

fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn matches(name: SanType, reference: &str) -> bool {
    named(name).names_domain(&domain(reference))
}

/// One TLV of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=127 => vec![short as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag], &*length, content].concat()
}

/// A certificate whose subject alternative name has these bytes.
fn with_raw_names(names: &[u8]) -> Result<PeerCertificate, ChainFault> {
    let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], names.to_vec());
    let der = issued(&authority("any"), |params| params.custom_extensions = vec![extension]);
    PeerCertificate::read(&[der])
}

fn at(year: i32) -> UnixTime {
    let seconds = date_time_ymd(year, 6, 1).unix_timestamp();
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap()))
}

fn judged(
    chain: &[CertificateDer<'_>],
    trusted: &Authority,
    revocation: &Revocation,
    now: UnixTime,
    purpose: Purpose,
) -> Result<(), ChainFault> {
    verify_chain(chain, &[trust::anchor(&trusted.der).unwrap()], revocation, now, purpose)
}

fn verify(chain: &[CertificateDer<'_>], trusted: &Authority) -> Result<(), ChainFault> {
    judged(chain, trusted, &Revocation::default(), at(2026), Purpose::Federation)
}

#[test]
fn a_dns_id_names_exactly_its_domain_in_any_case() {
    assert!(matches(dns("fabrikam.example"), "fabrikam.example"));
    assert!(matches(dns("FABRIKAM.Example"), "fabrikam.example"));
    assert!(matches(dns("xn--bcher-kva.example"), "bücher.example"));
    for not in ["example", "a.fabrikam.example", "fabrikam.example.org", "xfabrikam.example", "fabrikam.exampl"] {
        assert!(!matches(dns(not), "fabrikam.example"), "{not}");
    }
}

#[test]
fn the_common_name_is_never_consulted() {
    let der = issued(&authority("any"), |_| {});
    let certificate = PeerCertificate::read(&[der]).unwrap();
    assert!(certificate.subject.contains("fabrikam.example"));
    assert!(!certificate.names_domain(&domain("fabrikam.example")));
}

#[test]
fn a_wildcard_is_the_whole_left_most_label_and_stands_for_exactly_one() {
    assert!(matches(dns("*.fabrikam.example"), "im.fabrikam.example"));
    assert!(matches(dns("*.FABRIKAM.example"), "im.fabrikam.example"));
    assert!(matches(dns("*.fabrikam.co.uk"), "im.fabrikam.co.uk"));
    for (name, reference) in [
        ("*.fabrikam.example", "fabrikam.example"),
        ("*.fabrikam.example", "a.im.fabrikam.example"),
        ("i*.fabrikam.example", "im.fabrikam.example"),
        ("im.*.example", "im.fabrikam.example"),
        ("*.*.example", "im.fabrikam.example"),
        ("*.example", "fabrikam.example"),
        ("*.co.uk", "fabrikam.co.uk"),
        ("*.COM.au", "fabrikam.com.au"),
        ("*", "example"),
        ("*.", "example"),
    ] {
        assert!(!matches(dns(name), reference), "{name} is not {reference}");
    }
}

#[test]
fn a_srv_id_must_be_for_servers() {
    assert!(matches(other(SRV_NAME, "_xmpp-server.fabrikam.example"), "fabrikam.example"));
    assert!(matches(other(SRV_NAME, "_XMPP-Server.Fabrikam.example"), "fabrikam.example"));
    for not in ["_xmpp-client.fabrikam.example", "_xmpp-server.*.example", "fabrikam.example", "_xmpp-server.", "_é"] {
        assert!(!matches(other(SRV_NAME, not), "fabrikam.example"), "{not}");
    }
    assert!(!matches(other(SRV_NAME, "_xmpp-server.*.fabrikam.example"), "im.fabrikam.example"), "no wildcards here");
    // RFC 4985 asks for IA5String, which the issuing library of these tests cannot write.
    let name = [der(0x06, &[0x2b, 6, 1, 5, 5, 7, 8, 7]), der(0xa0, &der(0x16, b"_xmpp-server.fabrikam.example"))];
    let certificate = with_raw_names(&der(0x30, &der(0xa0, &name.concat()))).unwrap();
    assert!(certificate.names_domain(&domain("fabrikam.example")));
}

#[test]
fn an_xmpp_addr_is_a_bare_domain() {
    assert!(matches(other(XMPP_ADDR, "fabrikam.example"), "fabrikam.example"));
    assert!(matches(other(XMPP_ADDR, "BÜCHER.example"), "bücher.example"));
    for not in ["bob@fabrikam.example", "fabrikam.example/x", "*.fabrikam.example", "", "im.fabrikam.example"] {
        assert!(!matches(other(XMPP_ADDR, not), "fabrikam.example"), "{not}");
    }
    assert!(!matches(other(XMPP_ADDR, "*.fabrikam.example"), "im.fabrikam.example"));
}

#[test]
fn a_name_with_anything_odd_in_it_matches_nothing() {
    for odd in [
        "fabrikam.example\0.evil.example",
        "fabrikam.example\0",
        "fabrikam.example.",
        "fabrikam.example\n",
        " fabrikam.example",
    ] {
        assert!(!matches(dns(odd), "fabrikam.example"), "{odd:?}");
        assert!(!matches(other(SRV_NAME, &format!("_xmpp-server.{odd}")), "fabrikam.example"), "{odd:?}");
    }
    for odd in ["fabrikam.example\0", "fabrikam.example.", "fabrikam.example\u{3002}", "fabrikam.example\n"] {
        assert!(!matches(other(XMPP_ADDR, odd), "fabrikam.example"), "{odd:?}");
    }
    let certificate = named(dns("a\0b"));
    assert_eq!(certificate.presented_names(9), ["DNS:a\\0b"], "and is shown without harm");
}

#[test]
fn names_that_cannot_be_read_make_no_identity() {
    assert_eq!(with_raw_names(&der(0x30, &der(0x82, "bücher.example".as_bytes()))), Err(ChainFault::Malformed));
    assert_eq!(with_raw_names(b"\x30\x82\xff"), Err(ChainFault::Malformed));
    assert_eq!(PeerCertificate::read(&[CertificateDer::from(vec![0x30, 0])]), Err(ChainFault::Malformed));
    assert_eq!(PeerCertificate::read(&[]), Err(ChainFault::Absent));
}

#[test]
fn only_the_first_names_of_many_are_read() {
    let names = |count: usize| {
        let mut names = vec![dns("filler.example"); count];
        names.push(dns("fabrikam.example"));
        let der = issued(&authority("any"), |params| params.subject_alt_names = names);
        PeerCertificate::read(&[der]).unwrap().names_domain(&domain("fabrikam.example"))
    };
    assert!(names(identity::MAX_NAMES - 1));
    assert!(!names(identity::MAX_NAMES));
}

#[test]
fn a_chain_to_an_anchor_is_accepted_without_usage_with_server_auth_or_any() {
    let root = authority("root");
    for usages in [
        vec![],
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::Any],
    ] {
        let chain = [issued(&root, |params| params.extended_key_usages = usages.clone())];
        assert_eq!(verify(&chain, &root), Ok(()), "{usages:?}");
    }
}

#[test]
fn client_auth_alone_is_refused_unless_pinned() {
    let root = authority("root");
    let chain = [issued(&root, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])];
    assert_eq!(verify(&chain, &root), Err(ChainFault::WrongUsage));
    assert_eq!(judged(&chain, &root, &Revocation::default(), at(2026), Purpose::Pinned), Ok(()));
}

#[test]
fn the_reasons_of_a_refusal_are_told_apart() {
    let (root, stranger) = (authority("root"), authority("stranger"));
    let good = issued(&root, |_| {});
    assert_eq!(verify(&[], &root), Err(ChainFault::Absent));
    assert_eq!(verify(from_ref(&good), &stranger), Err(ChainFault::UnknownIssuer));
    let namesake = authority("root");
    assert_eq!(verify(from_ref(&good), &namesake), Err(ChainFault::BadSignature), "the name alone is no authority");
    let own = CertificateParams::new(vec!["fabrikam.example".into()]).unwrap();
    let own = own.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    assert_eq!(verify(&[own], &root), Err(ChainFault::SelfSigned));
    assert_eq!(verify(from_ref(&stranger.der), &root), Err(ChainFault::SelfSigned));
    assert_eq!(verify(&[CertificateDer::from(vec![1, 2, 3])], &root), Err(ChainFault::Malformed));
    assert_eq!(verify(&vec![good; chain::MAX_CHAIN + 1], &root), Err(ChainFault::TooLong));
    let by_leaf = {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::default();
        let leaf = params.signed_by(&key, &root.issuer).unwrap().der().clone();
        let below = Authority { issuer: Issuer::new(params, key), der: leaf.clone() };
        [issued(&below, |_| {}), leaf]
    };
    assert!(verify(&by_leaf, &root).is_err(), "a server's certificate is no authority");
}

#[test]
fn a_certificate_holds_from_its_first_to_its_last_second() {
    let root = authority("root");
    let chain = [issued(&root, |params| {
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
    })];
    let verify_at = |now| judged(&chain, &root, &Revocation::default(), now, Purpose::Federation);
    assert_eq!(verify_at(at(2024)), Err(ChainFault::NotYetValid));
    assert_eq!(verify_at(at(2026)), Ok(()));
    // So ends a stream that was in order when it began: the facts tell when to look again.
    let facts = PeerCertificate::read(&chain).unwrap();
    let last = |more| UnixTime::since_unix_epoch(Duration::from_secs(facts.not_after + more));
    assert_eq!(verify_at(last(0)), Ok(()));
    assert_eq!(verify_at(last(1)), Err(ChainFault::Expired));
    assert_eq!((verify_alone(&chain, last(0)), verify_alone(&chain, last(1))), (Ok(()), Err(ChainFault::Expired)));
    assert_eq!(verify_alone(&chain, at(2024)), Err(ChainFault::NotYetValid));
    assert_eq!(next_end(&chain, at(2026)), Some(facts.not_after + 1));
    assert_eq!(next_end(&chain, last(1)), None);
}

#[test]
fn an_intermediate_must_be_sent_along() {
    let root = authority("root");
    let (params, key) = (authority_params("intermediate"), KeyPair::generate().unwrap());
    let between = params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let intermediate = Authority { issuer: Issuer::new(params, key), der: between.clone() };
    let leaf = issued(&intermediate, |params| params.subject_alt_names = vec![dns("fabrikam.example")]);
    assert_eq!(verify(&[leaf.clone(), between], &root), Ok(()));
    assert_eq!(verify(&[leaf], &root), Err(ChainFault::UnknownIssuer));
}

/// A leaf for fabrikam.example below an intermediate, and the intermediate, after changes to the latter.
fn below(root: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Vec<CertificateDer<'static>> {
    let (mut params, key) = (authority_params("intermediate"), KeyPair::generate().unwrap());
    change(&mut params);
    let between = params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let intermediate = Authority { issuer: Issuer::new(params, key), der: between.clone() };
    vec![issued(&intermediate, |params| params.subject_alt_names = vec![dns("fabrikam.example")]), between]
}

#[test]
fn an_authority_vouches_within_its_name_constraints() {
    let root = authority("root");
    let within = |name: &str| {
        let permitted = vec![GeneralSubtree::DnsName(name.to_owned())];
        let constraints = NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() };
        verify(&below(&root, |params| params.name_constraints = Some(constraints)), &root)
    };
    assert_eq!(within("fabrikam.example"), Ok(()));
    assert_eq!(within("example"), Ok(()));
    assert_eq!(within("contoso.example"), Err(ChainFault::NameConstraint));
}

#[test]
fn an_authority_signs_certificates_only_if_it_may_and_no_longer_a_path_than_it_may() {
    let root = authority("root");
    assert_eq!(verify(&below(&root, |params| params.key_usages.clear()), &root), Ok(()), "anything without a word");
    let no_signer = below(&root, |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert_eq!(verify(&no_signer, &root), Err(ChainFault::Invalid));
    let no_authority = below(&root, |params| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(verify(&no_authority, &root), Err(ChainFault::Invalid));
    // The first intermediate may have none below it, and has one.
    let (mut params, key) = (authority_params("first"), KeyPair::generate().unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let first = params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let first = Authority { issuer: Issuer::new(params, key), der: first };
    let mut chain = below(&first, |_| {});
    chain.push(first.der);
    assert_eq!(verify(&chain, &root), Err(ChainFault::Invalid));
}

#[test]
fn keys_below_the_floor_are_weak() {
    for alg in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(alg).unwrap();
        let root = authority("root");
        let der = CertificateParams::default().signed_by(&key, &root.issuer).unwrap().der().clone();
        assert!(PeerCertificate::read(from_ref(&der)).unwrap().key.is_strong());
        assert_eq!(verify(&[der], &root), Ok(()));
    }
    let rsa = |bytes: usize| {
        let modulus = [&[0, 0x80], &*vec![1; bytes - 1]].concat();
        let key = der(0x30, &[der(0x02, &modulus), der(0x02, &[1, 0, 1])].concat());
        let algorithm = der(0x30, &[der(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), der(5, &[])].concat());
        let info = der(0x30, &[algorithm, der(0x03, &[&[0], &*key].concat())].concat());
        KeyKind::of(&x509_cert::spki::SubjectPublicKeyInfoOwned::from_der(&info).unwrap())
    };
    assert_eq!(rsa(256), KeyKind::Rsa(2048));
    assert!(rsa(256).is_strong() && !rsa(255).is_strong());
}

#[test]
fn the_facts_of_a_certificate_are_there_for_verdicts() {
    let root = authority("root of trust");
    let der =
        issued(&root, |params| params.subject_alt_names = vec![dns("fabrikam.example"), other(XMPP_ADDR, "x.example")]);
    let facts = PeerCertificate::read(&[der]).unwrap();
    assert_eq!(facts.presented_names(9), ["DNS:fabrikam.example", "xmppAddr:x.example"]);
    assert_eq!(facts.presented_names(1).len(), 1);
    assert!(facts.issuer.contains("root of trust"));
    assert!(!facts.is_self_issued);
    assert_eq!(facts.fingerprint().len(), 32 * 3 - 1);
}

/// A root of RSA 2048 bits, and leaves that it signed with SHA-1 or over a key of 1024 bits: our library makes none such.
const OLD_ROOT: &[u8] = include_bytes!("testdata/old_root.der");
const SHA1_LEAF: &[u8] = include_bytes!("testdata/sha1_leaf.der");
const RSA_1024_LEAF: &[u8] = include_bytes!("testdata/rsa1024_leaf.der");
const RSA_2048_LEAF: &[u8] = include_bytes!("testdata/rsa2048_leaf.der");

#[test]
fn sha_1_and_short_keys_are_refused_whoever_signs() {
    let anchors = [trust::anchor(&CertificateDer::from(OLD_ROOT)).unwrap()];
    let verify = |leaf: &'static [u8]| {
        let chain = [CertificateDer::from(leaf)];
        verify_chain(&chain, &anchors, &Revocation::default(), at(2030), Purpose::Federation)
    };
    assert_eq!(verify(RSA_2048_LEAF), Ok(()));
    assert_eq!(verify(SHA1_LEAF), Err(ChainFault::WeakSignature));
    assert_eq!(verify(RSA_1024_LEAF), Err(ChainFault::WeakKey));
    assert_eq!(verify_alone(&[CertificateDer::from(RSA_1024_LEAF)], at(2030)), Err(ChainFault::WeakKey));
}

#[test]
fn a_key_is_known_by_its_pin_whatever_certificate_holds_it() {
    let (root, key) = (authority("root"), KeyPair::generate().unwrap());
    let with_key = || {
        let der = CertificateParams::default().signed_by(&key, &root.issuer).unwrap().der().clone();
        PeerCertificate::read(&[der]).unwrap()
    };
    let (old, new) = (with_key(), with_key());
    assert_ne!(old.sha256, new.sha256);
    assert!(new.has_key_of(&[[0; 32], old.key_sha256]));
    assert!(!new.has_key_of(&[[0; 32]]) && !new.has_key_of(&[]));
}

/// A revocation list of an authority that names serial numbers.
fn list(authority: &Authority, revoked: &[u64], this_year: i32, next_year: i32) -> Vec<u8> {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2025, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(this_year, 1, 1),
        next_update: date_time_ymd(next_year, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&authority.issuer).unwrap().der().to_vec()
}

fn lists(lists: &[Vec<u8>], overdue: OverdueLists) -> Revocation {
    let mut revocation = Revocation::new(overdue);
    for list in lists {
        revocation.add(list).unwrap();
    }
    revocation
}

fn with_serial(authority: &Authority, serial: u64) -> CertificateDer<'static> {
    issued(authority, |params| params.serial_number = Some(SerialNumber::from(serial)))
}

#[test]
fn a_revoked_certificate_is_refused_and_others_of_its_issuer_are_not() {
    let (root, stranger) = (authority("root"), authority("stranger"));
    let revocation = lists(&[list(&root, &[7], 2026, 2027)], OverdueLists::Accept);
    let verify = |authority: &Authority, serial| {
        let chain = [with_serial(authority, serial)];
        judged(&chain, authority, &revocation, at(2026), Purpose::Federation)
    };
    assert_eq!(verify(&root, 7), Err(ChainFault::Revoked));
    assert_eq!(verify(&root, 8), Ok(()));
    assert_eq!(verify(&stranger, 7), Ok(()), "an issuer without a list");
}

#[test]
fn a_revoked_intermediate_takes_all_below_it_along() {
    let root = authority("root");
    let (mut params, key) = (authority_params("intermediate"), KeyPair::generate().unwrap());
    params.serial_number = Some(SerialNumber::from(9));
    let between = params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let intermediate = Authority { issuer: Issuer::new(params, key), der: between.clone() };
    let chain = [issued(&intermediate, |_| {}), between];
    let revocation = lists(&[list(&root, &[9], 2026, 2027)], OverdueLists::Accept);
    assert_eq!(judged(&chain, &root, &revocation, at(2026), Purpose::Federation), Err(ChainFault::Revoked));
    assert_eq!(verify(&chain, &root), Ok(()));
}

#[test]
fn an_overdue_list_revokes_still_and_refuses_the_rest_only_where_that_is_wanted() {
    let root = authority("root");
    let overdue = [list(&root, &[7], 2024, 2025)];
    let verify = |serial, revocation: &Revocation| {
        judged(&[with_serial(&root, serial)], &root, revocation, at(2026), Purpose::Federation)
    };
    let accepting = lists(&overdue, OverdueLists::Accept);
    assert_eq!((verify(7, &accepting), verify(8, &accepting)), (Err(ChainFault::Revoked), Ok(())));
    assert_eq!(accepting.overdue_at(at(2026).as_secs()).len(), 1);
    let refusing = lists(&overdue, OverdueLists::Refuse);
    assert_eq!(verify(8, &refusing), Err(ChainFault::ListOverdue));
    // A newer list beside it makes the old one harmless, in whatever order they are read.
    for pair in [[2024, 2026], [2026, 2024]] {
        let both = lists(&pair.map(|year| list(&root, &[], year, year + 1)), OverdueLists::Refuse);
        assert_eq!(verify(8, &both), Ok(()), "{pair:?}");
        assert!(both.overdue_at(at(2026).as_secs()).is_empty());
        assert_eq!(both.next_change(at(2026)), Some(date_time_ymd(2027, 1, 1).unix_timestamp() as u64));
    }
}

#[test]
fn a_list_that_another_signed_in_the_issuers_name_is_not_believed() {
    let (root, namesake) = (authority("root"), authority("root"));
    let revocation = lists(&[list(&namesake, &[], 2026, 2027)], OverdueLists::Accept);
    let chain = [with_serial(&root, 8)];
    assert_eq!(judged(&chain, &root, &revocation, at(2026), Purpose::Federation), Err(ChainFault::ListUnsigned));
}

#[test]
fn what_is_no_revocation_list_is_said_so() {
    assert!(Revocation::default().add(b"no list").is_err());
    assert!(Revocation::default().add(&authority("root").der).is_err());
}

/// A certificate with everything in it that is read, made once: making keys is slow.
static WHOLE: std::sync::LazyLock<(CertificateDer<'static>, CertificateDer<'static>)> =
    std::sync::LazyLock::new(|| {
        let root = authority("root");
        let whole = issued(&root, |params| {
            params.subject_alt_names = vec![
                dns("*.fabrikam.example"),
                other(SRV_NAME, "_xmpp-server.a.example"),
                other(XMPP_ADDR, "b.example"),
            ];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        (whole, root.der)
    });

static LIST: std::sync::LazyLock<(Authority, Vec<u8>)> = std::sync::LazyLock::new(|| {
    let root = authority("root");
    let list = list(&root, &[7], 2026, 2027);
    (root, list)
});

proptest! {
    #[test]
    fn a_damaged_certificate_is_refused_or_read_but_never_believed(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let (whole, root) = &*WHOLE;
        let mut bytes = whole.to_vec();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        let damaged = [CertificateDer::from(bytes.clone())];
        let _ = PeerCertificate::read(&damaged);
        let anchors = [trust::anchor(root).unwrap()];
        let none = Revocation::default();
        prop_assert!(verify_chain(&damaged, &anchors, &none, at(2026), Purpose::Federation).is_err());
        let _ = (verify_alone(&damaged, at(2026)), next_end(&damaged, at(2026)));
        bytes.truncate(length.index(bytes.len()));
        prop_assert_eq!(PeerCertificate::read(&[CertificateDer::from(bytes)]), Err(ChainFault::Malformed));
    }

    #[test]
    fn a_damaged_revocation_list_is_refused_or_read_and_harms_nobody(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (root, whole) = &*LIST;
        let mut bytes = whole.clone();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        let mut revocation = Revocation::default();
        if revocation.add(&bytes).is_ok() {
            let chain = [with_serial(root, 8)];
            let _ = judged(&chain, root, &revocation, at(2026), Purpose::Federation);
            let _ = (revocation.overdue_at(u64::MAX), revocation.next_change(at(2026)));
        }
    }
}
