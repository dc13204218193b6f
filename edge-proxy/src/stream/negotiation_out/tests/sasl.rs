//! SASL EXTERNAL (RFC 6120, section 6; XEP-0178, section 3).

use super::*;

#[test]
fn our_domain_is_the_authorization_identity_and_success_restarts_the_stream() {
    let mut scene = Scene::secured(settings('R', 'R', true), proven());
    let said = scene.element(EXTERNAL);
    let expected = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Y29udG9zby5leGFtcGxl</auth>";
    assert_eq!(said.sent, expected);
    let said = scene.element(SUCCESS);
    assert_eq!(said.rest, [Output::Restart]);
    assert!(said.sent.starts_with("<?xml"));
    scene.say(Input::Header(header(RESPONSE)));
    assert_eq!(scene.element(NONE).rest, [Output::Ready(Method::SaslExternal)]);
}

#[test]
fn a_server_that_does_not_prove_the_partners_domain_is_never_given_our_stanzas_by_external() {
    for (names, flaw) in [
        (&["other.example"][..], Flaw::Nothing),
        (&[REMOTE], Flaw::Expired),
        (&[REMOTE], Flaw::SelfSigned),
        (&[REMOTE], Flaw::ClientAuthOnly),
    ] {
        let said = Scene::secured(settings('R', 'R', true), identity(names, flaw)).element(EXTERNAL);
        assert!(!said.sent.contains("<auth"), "{flaw:?}");
        assert!(matches!(said.failure().finding.rung, Rung::Chain | Rung::Name | Rung::KeyUsage), "{flaw:?}");
    }
}

#[test]
fn a_challenge_is_answered_with_our_domain() {
    let mut scene = Scene::secured(settings('R', 'R', true), proven());
    scene.element(EXTERNAL);
    let said = scene.element("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert!(said.sent.contains(">Y29udG9zby5leGFtcGxl</response>"), "{}", said.sent);
}

#[test]
fn a_receiver_that_refuses_the_identity_is_asked_once_more_without() {
    let mut scene = Scene::secured(settings('R', 'R', true), proven());
    scene.element(EXTERNAL);
    let refusal = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-authzid/></failure>";
    assert!(scene.element(refusal).sent.contains(">=</auth>"));
    assert_eq!(scene.element(refusal).failure().finding.rung, Rung::Sasl);
}

const REFUSED: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";

#[test]
fn a_failure_leads_to_dialback_on_the_same_stream() {
    let mut scene = Scene::secured(settings('R', 'O', true), proven());
    scene.element(EXTERNAL);
    let said = scene.element(REFUSED);
    assert!(said.sent.starts_with("<db:result from='contoso.example' to='fabrikam.example'>"));
    assert!(matches!(&said.rest[..], [Output::Report(finding)] if finding.rung == Rung::Sasl), "{said:?}");
}

#[test]
fn a_failure_where_dialback_is_not_permitted_is_the_end() {
    let mut scene = Scene::secured(settings('R', 'R', true), proven());
    scene.element(EXTERNAL);
    let said = scene.element(REFUSED);
    assert_eq!((said.failure().condition, said.failure().next), (StanzaCondition::NotAllowed, Next::GiveUp));
}

#[test]
fn a_peer_that_hangs_up_on_our_certificate_is_tried_again_by_dialback() {
    let mut scene = Scene::secured(settings('R', 'O', true), proven());
    scene.element(EXTERNAL);
    assert_eq!(scene.say(Input::Eof).failure().next, Next::Dialback);
    let mut scene = Scene::secured(settings('R', 'O', true), proven());
    scene.element(EXTERNAL);
    scene.element(REFUSED);
    assert_eq!(scene.say(Input::Close).failure().next, Next::Dialback);
}

#[test]
fn straight_to_dialback_does_not_try_external() {
    let goal = Goal::Stanzas { without_external: true };
    let mut scene = Scene::with_goal(settings('R', 'O', true), goal);
    scene.element(STARTTLS);
    scene.element(PROCEED);
    scene.say(Input::Secured(proven()));
    scene.say(Input::Header(header(RESPONSE)));
    assert!(scene.element(EXTERNAL).sent.starts_with("<db:result"));
}

#[test]
fn a_server_that_does_not_offer_external_most_likely_dislikes_our_certificate() {
    let said = Scene::secured(settings('R', 'R', true), proven()).element(NONE);
    assert_eq!((said.failure().finding.rung, said.failure().finding.side), (Rung::Mechanisms, Side::Operator));
}
