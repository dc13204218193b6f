//! STARTTLS (RFC 6120, section 5).

use super::*;

#[test]
fn proceed_is_followed_by_tls_with_the_certificate_of_the_streams_to() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.header(USUAL);
    let said = scene.element(STARTTLS);
    assert_eq!(said.sent, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(said.rest, [Output::StartTls(Some(domain(LOCAL)))]);
}

#[test]
fn plaintext_behind_starttls_closes_the_connection_without_an_answer() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.header(USUAL);
    let said = scene.say(Input::Element { element: element(STARTTLS), followed: true });
    assert_eq!(said.sent, "");
    assert_eq!(said.rest.last(), Some(&Output::Abort));
    assert!(scene.machine.is_ended());
}

#[test]
fn a_second_starttls_is_a_policy_violation() {
    let (mut scene, _) = Scene::secured(settings('R', 'O', true), identity(&[REMOTE], Flaw::Nothing));
    assert_error(&scene.element(STARTTLS), StreamCondition::PolicyViolation);
}

#[test]
fn starttls_where_tls_is_off_fails_and_the_stream_closes() {
    let mut scene = Scene::new(settings('N', 'N', true));
    scene.header(USUAL);
    let said = scene.element(STARTTLS);
    assert_eq!(said.sent, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
    assert_eq!(said.rest, [Output::Close]);
}

#[test]
fn a_handshake_that_does_not_end_is_dropped() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.header(USUAL);
    scene.element(STARTTLS);
    assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + scene.at.limits.timeouts.tls_handshake));
    assert_eq!(scene.wait(scene.at.limits.timeouts.tls_handshake).rest.last(), Some(&Output::Abort));
}
