//! The initiating server in Server Dialback (XEP-0220, section 2.1.1).

use std::time::Duration;

use super::*;

fn waiting() -> Scene {
    let mut scene = Scene::secured(settings('R', 'N', true), unproven());
    let said = scene.element(NONE);
    let key = key(b"current", &domain(REMOTE), &domain(LOCAL), "abc");
    assert_eq!(said.sent, format!("<db:result from='contoso.example' to='fabrikam.example'>{key}</db:result>"));
    scene
}

const VALID: &str = "<db:result from='fabrikam.example' to='contoso.example' type='valid'/>";

#[test]
fn a_valid_answer_opens_the_stream() {
    assert_eq!(waiting().element(VALID).rest, [Output::Ready(Method::TlsDialback)]);
}

#[test]
fn answers_that_swap_no_request_of_this_stream_change_nothing() {
    for text in [
        VALID.replace(REMOTE, "wingtip.example"),
        VALID.replace(LOCAL, "sales.contoso.example"),
        "<db:result from='contoso.example' to='fabrikam.example' type='valid'/>".to_owned(),
        "<db:verify from='fabrikam.example' to='contoso.example' id='abc' type='valid'/>".to_owned(),
        "<db:result from='fabrikam.example' to='contoso.example'>key</db:result>".to_owned(),
    ] {
        let mut scene = waiting();
        assert_eq!(scene.element(&text).rest, [Output::Unsolicited], "{text}");
        assert!(!scene.machine.is_ready());
    }
}

#[test]
fn an_answer_before_the_request_changes_nothing() {
    let mut scene = Scene::new(settings('N', 'N', true));
    assert_eq!(scene.element(VALID).rest, [Output::Unsolicited]);
}

#[test]
fn an_invalid_key_is_our_operators_matter() {
    let said = waiting().element(&VALID.replace("'valid'", "'invalid'"));
    assert_eq!(said.failure().condition, StanzaCondition::InternalServerError);
    assert_eq!(said.failure().finding.side, Side::Operator);
}

#[test]
fn an_error_is_a_timeout_for_senders() {
    let error = "<db:result from='fabrikam.example' to='contoso.example' type='error'><error type='cancel'>\
                 <remote-connection-failed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>";
    let said = waiting().element(error);
    assert_eq!(said.failure().condition, StanzaCondition::RemoteServerTimeout);
    assert!(said.failure().finding.cause.contains("remote-connection-failed"));
}

#[test]
fn silence_is_a_timeout() {
    let mut scene = waiting();
    scene.at = later(&scene.at, scene.at.limits.timeouts.verification);
    let said = scene.say(Input::DeadlinePassed);
    assert_eq!(said.failure().finding.rung, Rung::Dialback);
}

#[test]
fn a_peer_that_does_not_speak_dialback_leaves_no_method() {
    let mut scene = Scene::secured(settings('R', 'N', true), unproven());
    scene.machine.declares_dialback = false;
    assert_eq!(scene.element(NONE).failure().condition, StanzaCondition::NotAllowed);
    let mut scene = Scene::secured(settings('R', 'N', true), unproven());
    scene.machine.declares_dialback = false;
    let feature = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>";
    assert!(scene.element(feature).sent.starts_with("<db:result"));
}

#[test]
fn a_peer_before_xmpp_1_0_is_dialled_back_at_once_where_that_is_permitted() {
    let old = "from='fabrikam.example' to='contoso.example' id='abc'";
    let fresh = |negotiation| {
        let at = moment(&snapshot(negotiation));
        let goal = Goal::Stanzas { without_external: false };
        let mut scene = Scene { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
        scene.say(Input::Connected);
        scene.say(Input::Header(header(old)))
    };
    assert!(fresh(settings('N', 'N', true)).sent.starts_with("<db:result"));
    assert_eq!(fresh(settings('R', 'O', true)).failure().condition, StanzaCondition::NotAllowed);
}
