//! Whom a certificate is believed to speak for: the list of attacks and of honest oddities.

use causeway_shared::link::Snapshot;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::stream::test_support::{Flaw, OTHER, REMOTE, domain, identity, later, moment, revoking, settings, snapshot};

fn usual() -> Snapshot {
    snapshot(settings('R', 'R', true))
}

fn judge(peer: &PeerIdentity, snapshot: &Snapshot) -> Result<Proof, IdentityFault> {
    peer.proves(&domain(REMOTE), &moment(snapshot))
}

fn with_pins(pins: Vec<[u8; 32]>) -> Snapshot {
    let mut snapshot = usual();
    snapshot.partners[0].pins = pins;
    snapshot
}

fn chain(fault: ChainFault) -> Result<Proof, IdentityFault> {
    Err(IdentityFault::Chain(fault))
}

#[test]
fn a_certificate_of_a_trusted_authority_proves_the_domains_it_names_and_no_others() {
    let peer = identity(&[REMOTE], Flaw::Nothing);
    assert_eq!(judge(&peer, &usual()), Ok(Proof::Pkix));
    let other = peer.proves(&domain(OTHER), &moment(&usual()));
    assert_eq!(other, Err(IdentityFault::Name { presented: vec!["DNS:fabrikam.example".to_owned()] }));
    assert_eq!(
        judge(&identity(&["*.example"], Flaw::Nothing), &usual()).unwrap_err().to_string(),
        "it names DNS:*.example"
    );
}

#[test]
fn server_auth_will_do_for_a_peer_that_connects_and_client_auth_alone_will_not() {
    assert_eq!(judge(&identity(&[REMOTE], Flaw::ServerAuthOnly), &usual()), Ok(Proof::Pkix));
    assert_eq!(judge(&identity(&[REMOTE], Flaw::ClientAuthOnly), &usual()), chain(ChainFault::WrongUsage));
}

#[test]
fn flawed_certificates_prove_nothing_and_each_says_why() {
    for (flaw, fault) in [
        (Flaw::Expired, ChainFault::Expired),
        (Flaw::SelfSigned, ChainFault::SelfSigned),
        (Flaw::Absent, ChainFault::Absent),
    ] {
        assert_eq!(judge(&identity(&[REMOTE], flaw), &usual()), chain(fault));
    }
    let revoked = moment(&usual());
    let revoked = Moment { trust: revoking(&[7]), ..revoked };
    let peer = identity(&[REMOTE], Flaw::Serial(7));
    assert_eq!(peer.proves(&domain(REMOTE), &revoked), chain(ChainFault::Revoked));
}

#[test]
fn nobody_who_is_no_partner_is_proved() {
    let peer = identity(&["stranger.example"], Flaw::Nothing);
    let judged = peer.proves(&domain("stranger.example"), &moment(&usual()));
    assert_eq!(judged, chain(ChainFault::UnknownIssuer));
}

#[test]
fn a_partners_own_authority_vouches_for_its_domains_only() {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "The authority of fabrikam");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let mut snapshot = usual();
    snapshot.partners[0].trust_anchors = vec![bytes::Bytes::copy_from_slice(&authority)];
    let leaf = CertificateParams::new(vec![REMOTE.to_owned(), OTHER.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let peer = PeerIdentity::new(Presented::read(&[leaf.der().clone()]), None);
    assert_eq!(judge(&peer, &snapshot), Ok(Proof::Pkix));
    assert_eq!(peer.proves(&domain(OTHER), &moment(&snapshot)), chain(ChainFault::UnknownIssuer));
}

#[test]
fn without_public_trust_only_the_partners_own_authority_counts() {
    let mut snapshot = usual();
    snapshot.partners[0].use_public_trust = false;
    assert_eq!(judge(&identity(&[REMOTE], Flaw::Nothing), &snapshot), chain(ChainFault::UnknownIssuer));
}

#[test]
fn a_key_that_is_not_pinned_is_refused_whoever_signed_it_and_both_keys_are_named() {
    let peer = identity(&[REMOTE], Flaw::Nothing);
    let key: String = peer.key_sha256().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let refused = judge(&peer, &with_pins(vec![[0xab; 32], [0xcd; 32]])).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(&key) && text.contains(&"ab".repeat(32)) && text.contains(&"cd".repeat(32)), "{text}");
    assert!(!refused.for_peer().contains("ab"), "and the peer is not told which ones would do");
}

#[test]
fn a_pinned_key_needs_no_issuer_and_no_usage_for_servers() {
    for (flaw, proof) in
        [(Flaw::Nothing, Proof::Pkix), (Flaw::SelfSigned, Proof::Pin), (Flaw::ClientAuthOnly, Proof::Pin)]
    {
        let peer = identity(&[REMOTE], flaw);
        let snapshot = with_pins(vec![[0; 32], peer.key_sha256().unwrap()]);
        assert_eq!(judge(&peer, &snapshot), Ok(proof), "{flaw:?}");
        // A pin of this partner is none of the other's.
        assert!(peer.proves(&domain(OTHER), &moment(&snapshot)).is_err());
    }
    let peer = identity(&[REMOTE], Flaw::Nothing);
    let mut snapshot = with_pins(vec![peer.key_sha256().unwrap()]);
    snapshot.partners[0].use_public_trust = false;
    assert_eq!(judge(&peer, &snapshot), Ok(Proof::Pin), "an issuer that is unknown here");
}

#[test]
fn a_pinned_key_still_needs_the_name_the_time_and_not_to_be_revoked() {
    let pinned = |peer: &PeerIdentity| with_pins(vec![peer.key_sha256().unwrap()]);
    let named = identity(&["other.example"], Flaw::SelfSigned);
    assert_eq!(judge(&named, &pinned(&named)), chain(ChainFault::SelfSigned));
    let expired = identity(&[REMOTE], Flaw::Expired);
    assert_eq!(judge(&expired, &pinned(&expired)), chain(ChainFault::Expired));
    let revoked = identity(&[REMOTE], Flaw::Serial(7));
    let at = Moment { trust: revoking(&[7]), ..moment(&pinned(&revoked)) };
    assert_eq!(revoked.proves(&domain(REMOTE), &at), chain(ChainFault::Revoked));
}

#[test]
fn the_next_look_is_when_a_certificate_has_had_its_last_second() {
    let peer = identity(&[REMOTE], Flaw::EndsIn(Duration::from_secs(60)));
    let at = moment(&usual());
    let end = at.now + Duration::from_secs(61);
    assert_eq!(peer.review_at(&at), Some(end));
    let at = later(&at, Duration::from_secs(61));
    assert_eq!(peer.review_at(&at), None);
    assert_eq!(peer.proves(&domain(REMOTE), &at), chain(ChainFault::Expired));
}

#[test]
fn a_chain_that_held_is_judged_anew_when_its_time_is_over_or_the_trust_is_another() {
    let peer = identity(&[REMOTE], Flaw::EndsIn(Duration::from_secs(60)));
    let at = moment(&usual());
    assert_eq!(peer.proves(&domain(REMOTE), &at), Ok(Proof::Pkix));
    let last = later(&at, Duration::from_secs(60));
    assert_eq!(peer.proves(&domain(REMOTE), &last), Ok(Proof::Pkix));
    let over = later(&at, Duration::from_secs(61));
    assert_eq!(peer.proves(&domain(REMOTE), &over), chain(ChainFault::Expired));

    let peer = identity(&[REMOTE], Flaw::Serial(7));
    assert_eq!(peer.proves(&domain(REMOTE), &at), Ok(Proof::Pkix));
    let revoked = Moment { trust: revoking(&[7]), ..at.clone() };
    assert_eq!(peer.proves(&domain(REMOTE), &revoked), chain(ChainFault::Revoked));
    let untrusted = Moment { trust: Arc::default(), ..at };
    assert_eq!(peer.proves(&domain(REMOTE), &untrusted), chain(ChainFault::UnknownIssuer));
}

#[test]
fn a_chain_that_held_still_has_to_name_the_domain_and_to_have_a_pinned_key() {
    let peer = identity(&[REMOTE, OTHER], Flaw::Nothing);
    let mut snapshot = usual();
    snapshot.partners[1].pins = vec![[0xab; 32]];
    snapshot.partners[0].additional_domains = vec![domain("sales.fabrikam.example")];
    let at = moment(&snapshot);
    assert_eq!(peer.proves(&domain(REMOTE), &at), Ok(Proof::Pkix));
    let unnamed = peer.proves(&domain("sales.fabrikam.example"), &at);
    assert!(matches!(unnamed, Err(IdentityFault::Name { .. })), "{unnamed:?}");
    assert!(matches!(peer.proves(&domain(OTHER), &at), Err(IdentityFault::Pin { .. })));
}
