//! STARTTLS (RFC 6120, section 5).

use super::*;

const ASKED: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

#[test]
fn tls_is_started_where_it_is_offered() {
    for tls in ['R', 'O'] {
        assert_eq!(Scene::new(settings(tls, 'O', true)).element(STARTTLS).sent, ASKED);
    }
}

#[test]
fn required_tls_is_asked_for_even_if_the_offer_was_stripped() {
    assert_eq!(Scene::new(settings('R', 'O', true)).element(NONE).sent, ASKED);
}

#[test]
fn required_tls_that_is_refused_never_falls_back_to_plaintext() {
    let mut scene = Scene::new(settings('R', 'O', true));
    scene.element(NONE);
    let said = scene.element("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(said.failure().finding.rung, Rung::Tls);
    assert!(!said.sent.contains("db:result"));
}

#[test]
fn optional_tls_that_is_not_offered_leads_to_plain_dialback_where_that_is_permitted() {
    assert!(Scene::new(settings('O', 'O', true)).element(NONE).sent.starts_with("<db:result"));
    let said = Scene::new(settings('O', 'O', false)).element(NONE);
    assert_eq!(said.failure().condition, StanzaCondition::NotAllowed);
}

#[test]
fn tls_that_is_off_here_and_required_there_is_a_mismatch() {
    let said = Scene::new(settings('N', 'N', true)).element(STARTTLS_REQUIRED);
    assert_eq!(said.failure().finding.rung, Rung::Mechanisms);
    assert!(Scene::new(settings('N', 'N', true)).element(STARTTLS).sent.starts_with("<db:result"));
}

#[test]
fn the_server_name_is_the_partners_domain_and_the_stream_begins_anew() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.element(STARTTLS);
    assert_eq!(scene.element(PROCEED).rest, [Output::StartTls(domain(REMOTE))]);
    let said = scene.say(Input::Secured(proven()));
    assert_eq!(said.rest, [Output::Restart]);
    assert!(said.sent.contains(" from='contoso.example' to='fabrikam.example' version='1.0'"), "{}", said.sent);
}

#[test]
fn plaintext_behind_proceed_closes_the_connection() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.element(STARTTLS);
    let said = scene.say(Input::Element { element: element(PROCEED), followed: true });
    assert_eq!(said.rest.last(), Some(&Output::Abort));
    assert_eq!(said.failure().finding.rung, Rung::Tls);
}

#[test]
fn a_handshake_that_fails_leads_to_another_address_and_not_to_plaintext() {
    let mut scene = Scene::new(settings('O', 'O', true));
    scene.element(STARTTLS);
    scene.element(PROCEED);
    let said = scene.say(Input::TlsFailed("bad record".to_owned()));
    assert_eq!((said.sent.as_str(), said.failure().next), ("", Next::Address));
}

#[test]
fn nothing_else_may_come_while_tls_is_awaited() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.element(STARTTLS);
    let said = scene.element("<message from='a@fabrikam.example' to='b@contoso.example'/>");
    assert!(said.sent.contains("<policy-violation"), "{}", said.sent);
}
