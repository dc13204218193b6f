//! What may stand on a stream, and when (RFC 6120, sections 4.9.3 and 8.1).

use super::*;

#[test]
fn a_stanza_before_authentication_is_not_authorized() {
    for stage in [Scene::new(settings('O', 'O', true)), Scene::new(settings('R', 'R', true))] {
        let mut scene = stage;
        scene.header(USUAL);
        let stanza = "<message from='bob@fabrikam.example' to='alice@contoso.example'/>";
        assert_error(&scene.element(stanza), StreamCondition::NotAuthorized);
    }
}

#[test]
fn unknown_elements_end_the_stream() {
    for text in [
        "<compress xmlns='http://jabber.org/protocol/compress'/>",
        "<message xmlns='urn:x'/>",
        "<stream:features/>",
        "<handshake/>",
    ] {
        let mut scene = Scene::new(settings('O', 'O', true));
        scene.header(USUAL);
        assert_error(&scene.element(text), StreamCondition::UnsupportedStanzaType);
    }
}

#[test]
fn an_element_before_any_features_is_not_authorized() {
    let mut scene = Scene::new(settings('O', 'O', true));
    assert_error(&scene.element(STARTTLS), StreamCondition::NotAuthorized);
}

#[test]
fn nothing_is_heard_after_the_end() {
    let mut scene = Scene::new(settings('O', 'O', true));
    scene.header(USUAL);
    scene.say(Input::Close);
    let said = scene.element(OFFER);
    assert_eq!((said.sent.as_str(), said.rest.len()), ("", 0));
    assert_eq!(scene.machine.deadline(&scene.at), None);
}

#[test]
fn a_closing_tag_is_answered_by_ours() {
    let mut scene = Scene::authenticated();
    let said = scene.say(Input::Close);
    assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
}

#[test]
fn a_stanza_to_a_domain_outside_the_pair_is_host_unknown() {
    let fault = Scene::authenticated().machine.admit(REMOTE, "sales.contoso.example").unwrap_err();
    assert_eq!(fault.condition, StreamCondition::HostUnknown);
}
