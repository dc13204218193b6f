//! Time, changes of policy and the end (RFC 6120, sections 4.4, 4.6 and 4.9).

use std::time::Duration;

use super::*;
use crate::stream::test_support::revoking;
use crate::verdict::Code;

pub(super) fn ready() -> Scene {
    let mut scene = Scene::secured(settings('R', 'N', true), unproven());
    scene.element(NONE);
    scene.element("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>");
    assert!(scene.machine.is_ready());
    scene
}

#[test]
fn white_space_keeps_the_stream_alive_well_within_the_partners_patience() {
    let mut scene = ready();
    assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + Duration::from_secs(240)));
    scene.at = later(&scene.at, Duration::from_secs(240));
    assert_eq!(scene.say(Input::DeadlinePassed).sent, " ");
}

#[test]
fn a_stream_without_stanzas_is_closed_in_order() {
    let mut scene = ready();
    scene.at = later(&scene.at, Duration::from_secs(600));
    let said = scene.say(Input::DeadlinePassed);
    assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
}

#[test]
fn an_operator_ends_a_stream_with_or_without_an_error_and_nothing_has_failed() {
    let said = ready().say(Input::Ordered(CloseReason::NoError));
    assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
    assert_reset(&ready().say(Input::Ordered(CloseReason::Reset)));
    let said = ready().say(Input::Ordered(CloseReason::PolicyViolation));
    assert!(said.sent.starts_with("<stream:error><policy-violation"), "{said:?}");
    assert_eq!(said.rest, [Output::Close]);
}

#[test]
fn an_attempt_that_an_operator_ends_is_not_made_elsewhere() {
    let said = Scene::new(settings('R', 'R', true)).say(Input::Ordered(CloseReason::Reset));
    assert!(said.sent.contains("<reset") && said.sent.ends_with("</stream:stream>"), "{said:?}");
    assert_eq!((said.failure().next, said.failure().finding.code), (Next::GiveUp, Code::PolicyClosed));
}

#[test]
fn a_stanza_against_the_direction_of_the_stream_ends_it() {
    let said = ready().element("<message from='a@fabrikam.example' to='b@contoso.example'/>");
    assert!(said.sent.contains("<unsupported-stanza-type"), "{}", said.sent);
}

#[test]
fn a_partner_that_is_removed_loses_its_stream() {
    let mut scene = ready();
    let mut snapshot = snapshot(settings('R', 'N', true));
    snapshot.partners.clear();
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
    assert_eq!(scene.say(Input::PolicyChanged).failure().condition, StanzaCondition::NotAllowed);
}

#[test]
fn a_method_that_was_turned_off_while_it_was_under_way_makes_no_stream() {
    let mut scene = Scene::secured(settings('R', 'R', true), proven());
    scene.element(EXTERNAL);
    scene.element(SUCCESS);
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('R', 'N', true))) };
    scene.say(Input::PolicyChanged);
    scene.say(Input::Header(header(RESPONSE)));
    let said = scene.element(NONE);
    assert!(said.sent.contains("<reset") && said.rest.last() == Some(&Output::Close), "{said:?}");
    assert!(!scene.machine.is_ready());
}

/// Ready by EXTERNAL.
fn proved(peer: PeerIdentity) -> Scene {
    let mut scene = Scene::secured(settings('R', 'R', true), peer);
    scene.element(EXTERNAL);
    scene.element(SUCCESS);
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(NONE);
    assert!(scene.machine.is_ready());
    scene
}

#[track_caller]
fn assert_reset(said: &Said) {
    assert!(said.sent.contains("<reset") && said.sent.ends_with("</stream:stream>"), "{said:?}");
    assert_eq!(said.rest, [Output::Close], "what is queued is no failure yet");
}

#[test]
fn a_certificate_that_expires_in_mid_stream_resets_it() {
    let mut scene = proved(identity(&[REMOTE], Flaw::EndsIn(Duration::from_secs(60))));
    let end = scene.at.now + Duration::from_secs(61);
    assert_eq!(scene.machine.deadline(&scene.at), Some(end));
    scene.at = later(&scene.at, Duration::from_secs(61));
    assert_reset(&scene.say(Input::DeadlinePassed));
}

#[test]
fn revocation_lost_trust_and_another_pin_reset_a_stream_and_other_changes_do_not() {
    let changes: [fn(&mut Scene); 3] = [
        |scene| scene.at.trust = revoking(&[7]),
        |scene| scene.at.trust = Default::default(),
        |scene| {
            let mut snapshot = snapshot(settings('R', 'R', true));
            snapshot.partners[0].pins = vec![[1; 32]];
            scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
        },
    ];
    for change in changes {
        let mut scene = proved(identity(&[REMOTE], Flaw::Serial(7)));
        scene.at.trust = revoking(&[8]);
        assert_eq!(scene.say(Input::PolicyChanged).sent, "");
        change(&mut scene);
        assert_reset(&scene.say(Input::PolicyChanged));
    }
}

#[test]
fn a_method_that_is_no_longer_permitted_resets_the_stream() {
    let mut scene = proved(proven());
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('R', 'N', true))) };
    assert_reset(&scene.say(Input::PolicyChanged));
}

#[test]
fn a_partner_with_pins_is_not_spoken_to_without_tls() {
    let mut snapshot = snapshot(settings('O', 'O', true));
    snapshot.partners[0].pins = vec![[1; 32]];
    let mut scene = Scene::new(settings('O', 'O', true));
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
    let said = scene.element("<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>");
    assert!(!said.sent.contains("db:"), "{}", said.sent);
    assert_eq!(said.failure().next, Next::GiveUp);
}

#[test]
fn a_key_that_is_not_pinned_is_not_made_up_for_by_dialback() {
    let mut snapshot = snapshot(settings('R', 'O', true));
    snapshot.partners[0].pins = vec![[1; 32]];
    for goal in
        [Goal::Stanzas { without_external: true }, Goal::Verify { stream_id: "abc".to_owned(), key: "key".to_owned() }]
    {
        let mut scene = Scene::with_goal(settings('R', 'O', true), goal);
        scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
        scene.element(STARTTLS_REQUIRED);
        scene.element(PROCEED);
        scene.say(Input::Secured(proven()));
        scene.say(Input::Header(header(RESPONSE)));
        let said = scene.element(NONE);
        assert!(said.failure().finding.cause.contains("pinned is 0101"), "{said:?}");
        assert!(!said.sent.contains("db:"), "{}", said.sent);
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up_with_a_timeout() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.at = later(&scene.at, Duration::from_secs(60));
    let said = scene.say(Input::DeadlinePassed);
    assert_eq!(said.failure().condition, StanzaCondition::RemoteServerTimeout);
    assert!(said.sent.contains("<connection-timeout"));
}

#[test]
fn no_white_space_is_sent_while_the_stream_is_negotiated() {
    let mut proceeding = Scene::new(settings('R', 'R', true));
    proceeding.element(STARTTLS);
    let mut authenticating = Scene::secured(settings('R', 'R', true), proven());
    authenticating.element(EXTERNAL);
    let mut dialling_back = Scene::secured(settings('R', 'N', true), unproven());
    dialling_back.element(NONE);
    for mut scene in [Scene::new(settings('R', 'R', true)), proceeding, authenticating, dialling_back] {
        let deadline = scene.machine.deadline(&scene.at).unwrap();
        scene.at = later(&scene.at, deadline - scene.at.now);
        let said = scene.say(Input::DeadlinePassed);
        assert!(said.sent.starts_with("<stream:error>"), "not a space, but the end: {}", said.sent);
    }
}
