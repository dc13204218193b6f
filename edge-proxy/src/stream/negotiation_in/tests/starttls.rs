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
    assert_eq!(said.findings()[0].rung, Rung::Policy);
    assert_eq!(said.rest.last(), Some(&Output::Close));
}

#[test]
fn a_handshake_that_does_not_end_is_dropped() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.header(USUAL);
    scene.element(STARTTLS);
    assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + scene.at.limits.timeouts.tls_handshake));
    assert_eq!(scene.wait(scene.at.limits.timeouts.tls_handshake).rest.last(), Some(&Output::Abort));
}

#[test]
fn where_tls_comes_first_the_handshake_has_its_deadline_and_nothing_is_said_before_it() {
    let at = moment(&snapshot(settings('R', 'R', true)));
    let mut scene = Scene { machine: Receiving::direct_tls("192.0.2.1:1".to_owned(), &at), at, next_id: 0 };
    let patience = scene.at.limits.timeouts.tls_handshake;
    assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + patience));
    let said = scene.wait(patience);
    assert_eq!((said.sent.as_str(), said.rest.last()), ("", Some(&Output::Abort)));
}

#[test]
fn where_tls_came_first_the_stream_is_as_after_starttls_which_is_not_offered() {
    let at = moment(&snapshot(settings('O', 'O', true)));
    let mut scene = Scene { machine: Receiving::direct_tls("192.0.2.1:1".to_owned(), &at), at, next_id: 0 };
    assert_eq!(scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing))).rest, [Output::Restart]);
    let said = scene.header(USUAL);
    assert!(said.sent.contains("<mechanism>EXTERNAL</mechanism>"), "{}", said.sent);
    assert!(!said.sent.contains("starttls"), "{}", said.sent);
    assert_error(&scene.element(STARTTLS), StreamCondition::PolicyViolation);
}
