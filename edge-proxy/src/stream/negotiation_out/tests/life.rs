//! Time, changes of policy and the end (RFC 6120, sections 4.4, 4.6 and 4.9).

use super::*;

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
fn a_server_that_does_not_answer_is_given_up_with_a_timeout() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.at = later(&scene.at, Duration::from_secs(60));
    let said = scene.say(Input::DeadlinePassed);
    assert_eq!(said.failure().condition, StanzaCondition::RemoteServerTimeout);
    assert!(said.sent.contains("<connection-timeout"));
}
