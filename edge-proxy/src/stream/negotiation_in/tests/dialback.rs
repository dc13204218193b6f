//! The receiving server's part in Server Dialback (XEP-0220, section 2.2.1).

use super::*;

#[test]
fn a_partner_with_pins_is_not_heard_without_tls() {
    let mut snapshot = snapshot(settings('O', 'O', true));
    snapshot.partners[0].pins = vec![[1; 32]];
    let mut scene = Scene::with(&snapshot);
    assert!(!scene.header(USUAL).sent.contains("urn:xmpp:features:dialback"));
    assert!(scene.element(OFFER).sent.contains("<policy-violation"));
}

#[test]
fn a_key_that_is_not_pinned_is_not_made_up_for_by_dialback() {
    let (mut scene, _) = Scene::secured(settings('R', 'O', true), identity(&[REMOTE], Flaw::SelfSigned));
    let mut snapshot = snapshot(settings('R', 'O', true));
    snapshot.partners[0].pins = vec![[1; 32]];
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
    let said = scene.element(OFFER);
    assert!(said.sent.contains("type='error'") && said.sent.contains("<not-authorized"), "{}", said.sent);
    assert!(matches!(&said.rest[..], [Output::Report(_)]), "{said:?}");
}

fn plain() -> Scene {
    let mut scene = Scene::new(settings('N', 'N', true));
    scene.header(USUAL);
    scene
}

#[test]
fn an_offer_is_verified_with_the_id_of_this_stream_and_then_accepted() {
    let mut scene = plain();
    let said = scene.element(OFFER);
    let expected = Output::Verify { pair: pair(), stream_id: "id1".to_owned(), key: "key".to_owned() };
    assert_eq!(said.rest, [expected]);
    assert!(scene.machine.admit(REMOTE, LOCAL).is_err());
    let said = scene.say(Input::Verified(pair(), Answer::Valid));
    assert_eq!(said.sent, "<db:result from='contoso.example' to='fabrikam.example' type='valid'/>");
    assert_eq!(said.rest, [Output::Authorised(pair(), Method::TcpDialback)]);
    assert!(scene.machine.admit(REMOTE, LOCAL).is_ok());
}

#[test]
fn a_wrong_key_is_answered_and_ends_a_stream_without_other_pairs() {
    let mut scene = plain();
    scene.element(OFFER);
    let said = scene.say(Input::Verified(pair(), Answer::Invalid));
    let expected = "<db:result from='contoso.example' to='fabrikam.example' type='invalid'/></stream:stream>";
    assert_eq!(said.sent, expected);
    assert_eq!(said.rest.last(), Some(&Output::Close));
}

#[test]
fn a_wrong_key_on_a_stream_with_other_pairs_is_forbidden_and_the_stream_goes_on() {
    let mut scene = plain();
    scene.element(OFFER);
    scene.say(Input::Verified(pair(), Answer::Valid));
    scene.element(&OFFER.replace(REMOTE, OTHER));
    let other = DomainPair { local: domain(LOCAL), remote: domain(OTHER) };
    let said = scene.say(Input::Verified(other, Answer::Invalid));
    assert!(said.sent.contains("type='error'") && said.sent.contains("<forbidden"), "{}", said.sent);
    assert!(scene.machine.admit(REMOTE, LOCAL).is_ok());
    assert!(scene.machine.admit(OTHER, LOCAL).is_err());
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let mut scene = plain();
    let said = scene.say(Input::Verified(pair(), Answer::Valid));
    assert_eq!((said.sent.as_str(), said.rest.len()), ("", 0));
    for text in [
        "<db:result from='fabrikam.example' to='contoso.example' type='valid'/>",
        "<db:verify from='fabrikam.example' to='contoso.example' id='id1' type='valid'/>",
    ] {
        assert_eq!(scene.element(text).rest, [Output::Unsolicited]);
    }
    assert!(!scene.machine.is_authenticated());
    let third = scene.element("<db:verify from='fabrikam.example' to='contoso.example' id='id1' type='valid'/>");
    assert_error(&third, StreamCondition::PolicyViolation);
}

#[test]
fn a_domain_that_is_no_partner_is_refused_without_asking_dns() {
    let mut scene = plain();
    let said = scene.element(&OFFER.replace(REMOTE, "stranger.example"));
    assert!(said.sent.contains("type='error'") && said.sent.contains("<policy-violation"), "{}", said.sent);
    assert!(!said.rest.iter().any(|output| matches!(output, Output::Verify { .. })));
}

#[test]
fn a_domain_that_is_not_served_is_item_not_found_and_the_stream_goes_on() {
    let mut scene = plain();
    let said = scene.element(&OFFER.replace(LOCAL, "x.example"));
    assert!(said.sent.contains("<item-not-found") && !said.sent.contains("</stream"), "{}", said.sent);
    assert!(said.sent.contains("from='x.example' to='fabrikam.example'"));
}

#[test]
fn dialback_before_tls_is_a_policy_violation_where_tls_is_required() {
    let mut scene = Scene::new(settings('R', 'O', true));
    scene.header(USUAL);
    let said = scene.element(OFFER);
    assert!(said.sent.contains("type='error'") && said.sent.contains("<policy-violation"), "{}", said.sent);
}

#[test]
fn dialback_inside_tls_is_not_authorized_where_a_certificate_is_demanded() {
    let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
    assert!(scene.element(OFFER).sent.contains("<not-authorized"));
}

#[test]
fn a_certificate_that_proves_the_offering_domain_answers_at_once() {
    let (mut scene, _) = Scene::secured(settings('R', 'N', true), identity(&[REMOTE], Flaw::Nothing));
    let said = scene.element(OFFER);
    assert_eq!(said.rest, [Output::Authorised(pair(), Method::TlsDialbackCertificate)]);
    assert!(said.sent.contains("type='valid'"));
}

#[test]
fn the_certificate_shortcut_checks_the_name_of_this_offer_not_of_the_header() {
    let (mut scene, _) = Scene::secured(settings('R', 'N', true), identity(&[REMOTE], Flaw::Nothing));
    let said = scene.element(&OFFER.replace(REMOTE, OTHER));
    assert!(matches!(&said.rest[..], [Output::Verify { .. }]), "{said:?}");
}

#[test]
fn eight_verifications_are_pending_at_most() {
    let mut snapshot = snapshot(settings('N', 'N', true));
    let names: Vec<_> = (0..9).map(|n| domain(&format!("p{n}.example"))).collect();
    snapshot.partners[0].additional_domains.clone_from(&names);
    let mut scene = Scene::with(&snapshot);
    scene.header(USUAL);
    for (count, name) in names.iter().enumerate() {
        let said = scene.element(&OFFER.replace(REMOTE, name.as_str()));
        assert_eq!(said.sent.contains("<resource-constraint"), count == 8, "{count}: {said:?}");
    }
}

#[test]
fn an_offer_that_is_pending_already_is_not_asked_twice() {
    let mut scene = plain();
    scene.element(OFFER);
    assert_eq!(scene.element(OFFER).rest, []);
}

#[test]
fn silence_of_the_authoritative_server_is_reported_as_a_timeout() {
    let mut scene = plain();
    scene.element(OFFER);
    let said = scene.wait(scene.at.limits.timeouts.verification);
    assert!(said.sent.contains("<remote-server-timeout"), "{}", said.sent);
    assert_eq!(scene.say(Input::Verified(pair(), Answer::Valid)).sent, "");
}

#[test]
fn a_valid_answer_counts_only_while_the_policy_still_permits_the_pair() {
    let mut scene = plain();
    scene.element(OFFER);
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('R', 'R', true))) };
    let said = scene.say(Input::Verified(pair(), Answer::Valid));
    assert!(said.sent.contains("<policy-violation") && !scene.machine.is_authenticated());
}

#[test]
fn malformed_offers_end_the_stream_by_their_condition() {
    for (text, condition) in [
        ("<db:result to='contoso.example'>key</db:result>", StreamCondition::ImproperAddressing),
        ("<db:result from='a@b' to='contoso.example'>key</db:result>", StreamCondition::ImproperAddressing),
        ("<db:result from='fabrikam.example' to='contoso.example'/>", StreamCondition::InvalidXml),
        ("<db:verify from='fabrikam.example' to='contoso.example'>k</db:verify>", StreamCondition::InvalidXml),
        ("<db:nonsense/>", StreamCondition::UnsupportedStanzaType),
        ("<db:result from='contoso.example' to='contoso.example'>k</db:result>", StreamCondition::InvalidFrom),
    ] {
        assert_error(&plain().element(text), condition);
    }
}

#[test]
fn a_key_that_was_offered_before_tls_counts_for_nothing_inside_it() {
    let mut scene = Scene::new(settings('O', 'O', true));
    scene.header(USUAL);
    scene.element(OFFER);
    scene.element(STARTTLS);
    scene.say(Input::Secured(identity(&[OTHER], Flaw::Nothing)));
    scene.header(USUAL);
    let said = scene.say(Input::Verified(pair(), Answer::Valid));
    assert_eq!(said, Said { sent: String::new(), rest: Vec::new() });
    assert!(!scene.machine.is_authenticated());
}

#[test]
fn a_pair_that_the_certificate_has_proved_meanwhile_is_not_authorised_twice() {
    let (mut scene, _) = Scene::secured(settings('R', 'N', true), identity(&[REMOTE], Flaw::Nothing));
    let trust = std::mem::take(&mut scene.at.trust);
    assert!(matches!(&scene.element(OFFER).rest[..], [Output::Verify { .. }]));
    scene.at.trust = trust;
    assert_eq!(scene.element(OFFER).rest, [Output::Authorised(pair(), Method::TlsDialbackCertificate)]);
    let said = scene.say(Input::Verified(pair(), Answer::Valid));
    assert!(said.sent.contains("type='valid'") && said.rest.is_empty(), "{said:?}");
}

#[test]
fn keys_that_are_verified_at_the_same_time_do_not_make_more_pairs_than_a_stream_may_have() {
    let mut scene = plain();
    scene.at.limits.pairs = 1;
    let other = DomainPair { local: domain(LOCAL), remote: domain(OTHER) };
    scene.element(OFFER);
    scene.element(&OFFER.replace(REMOTE, OTHER));
    assert_eq!(scene.say(Input::Verified(pair(), Answer::Valid)).rest.len(), 1);
    assert!(scene.say(Input::Verified(other, Answer::Valid)).sent.contains("<resource-constraint"));
    assert!(scene.machine.admit(OTHER, LOCAL).is_err());
}
