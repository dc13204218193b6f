//! Time, changes of policy and the end (RFC 6120, sections 4.4 and 4.6).

use super::*;
use crate::stream::test_support::revoking;

#[test]
fn a_connection_that_says_nothing_is_dropped() {
    let mut scene = Scene::new(settings('R', 'R', true));
    assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + scene.at.limits.timeouts.first_byte));
    assert_eq!(scene.wait(scene.at.limits.timeouts.first_byte).rest.last(), Some(&Output::Abort));
}

#[test]
fn nothing_that_arrives_extends_the_time_for_authentication() {
    let mut scene = Scene::new(settings('R', 'R', true));
    let start = scene.at.now;
    scene.header(USUAL);
    scene.at = later(&scene.at, Duration::from_secs(59));
    scene.say(Input::Whitespace);
    assert_eq!(scene.machine.deadline(&scene.at), Some(start + Duration::from_secs(60)));
    assert_error(&scene.wait(Duration::from_secs(1)), StreamCondition::PolicyViolation);
}

#[test]
fn silence_is_met_by_a_ping_and_then_by_a_connection_timeout() {
    let mut scene = Scene::authenticated();
    assert_eq!(scene.wait(Duration::from_secs(300)).rest, [Output::Ping(pair())]);
    let said = scene.wait(scene.at.limits.timeouts.ping);
    assert_error(&said, StreamCondition::ConnectionTimeout);
}

#[test]
fn white_space_is_a_sign_of_life() {
    let mut scene = Scene::authenticated();
    scene.wait(Duration::from_secs(300));
    scene.at = later(&scene.at, Duration::from_secs(10));
    scene.say(Input::Whitespace);
    assert_eq!(scene.wait(scene.at.limits.timeouts.ping).sent, "");
    assert!(!scene.machine.is_ended());
}

#[test]
fn an_operator_ends_a_stream_with_or_without_an_error() {
    let mut scene = Scene::authenticated();
    let said = scene.say(Input::Ordered(CloseReason::NoError));
    assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
    assert_error(&Scene::authenticated().say(Input::Ordered(CloseReason::Reset)), StreamCondition::Reset);
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.header(USUAL);
    let said = scene.say(Input::Ordered(CloseReason::PolicyViolation));
    assert_error(&said, StreamCondition::PolicyViolation);
    assert_eq!(said.findings(), [] as [&Finding; 0], "he knows it");
}

#[test]
fn an_order_waits_for_what_came_and_changes_nothing_about_a_stream_that_ends_already() {
    let mut scene = Scene::authenticated();
    scene.element("<enable xmlns='urn:xmpp:sm:3'/>");
    let unfinished = scene.machine.receipt().unwrap();
    assert_eq!(scene.say(Input::Ordered(CloseReason::Reset)).sent, "");
    assert_eq!(scene.say(Input::Ordered(CloseReason::NoError)).sent, "");
    unfinished.finish();
    let said = scene.say(Input::Progress);
    assert!(said.sent.starts_with("<a xmlns='urn:xmpp:sm:3' h='1'/><stream:error><reset"), "{said:?}");
    assert_eq!(scene.say(Input::Ordered(CloseReason::NoError)).sent, "");
}

#[test]
fn a_stream_without_stanzas_is_closed_in_order() {
    let mut scene = Scene::authenticated();
    for _ in 0..5 {
        scene.at = later(&scene.at, Duration::from_secs(100));
        scene.say(Input::Whitespace);
    }
    let said = scene.wait(Duration::from_secs(100));
    assert_eq!((said.sent.as_str(), &said.rest[..]), ("</stream:stream>", &[Output::Close][..]));
}

#[test]
fn silence_of_a_partner_that_sends_no_keep_alives_is_no_fault() {
    let mut snapshot = snapshot(settings('N', 'N', true));
    snapshot.partners[0].keep_alive = false;
    let mut scene = Scene::with(&snapshot);
    scene.header(USUAL);
    scene.element(OFFER);
    scene.say(Input::Verified(pair(), Answer::Valid));
    assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + Duration::from_secs(600)));
}

#[test]
fn a_certificate_that_expires_in_mid_stream_resets_it() {
    let mut scene = Scene::authenticated_with(identity(&[REMOTE], Flaw::EndsIn(Duration::from_secs(60))));
    let start = scene.at.now;
    assert_eq!(scene.machine.deadline(&scene.at), Some(start + Duration::from_secs(61)));
    assert_eq!(scene.wait(Duration::from_secs(60)).sent, "", "it holds to the end of its last second");
    let said = scene.wait(Duration::from_secs(1));
    assert_error(&said, StreamCondition::Reset);
    assert!(said.sent.contains("has expired") && matches!(said.rest[0], Output::Report(_)), "{said:?}");
}

#[test]
fn a_certificate_that_is_revoked_in_mid_stream_resets_it() {
    let peer = identity(&[REMOTE], Flaw::Serial(7));
    let mut scene = Scene::authenticated_with(peer.clone());
    scene.at.trust = revoking(&[8]);
    assert_eq!(scene.say(Input::PolicyChanged).sent, "", "another one");
    scene.at.trust = revoking(&[7]);
    assert_error(&scene.say(Input::PolicyChanged), StreamCondition::Reset);
    // And none is begun with it: EXTERNAL is not offered, and if it was, it fails.
    let (mut scene, said) = Scene::secured(settings('R', 'O', true), peer);
    assert!(said.sent.contains("EXTERNAL"));
    scene.at.trust = revoking(&[7]);
    assert!(scene.element(EXTERNAL).sent.contains("<not-authorized/>"));
}

#[test]
fn trust_that_is_withdrawn_in_mid_stream_resets_it() {
    let mut scene = Scene::authenticated();
    scene.at.trust = Arc::default();
    let said = scene.say(Input::PolicyChanged);
    assert_error(&said, StreamCondition::Reset);
}

#[test]
fn a_pin_that_is_set_in_mid_stream_resets_a_stream_of_another_key_and_only_that() {
    let peer = identity(&[REMOTE], Flaw::Nothing);
    let mut scene = Scene::authenticated_with(peer.clone());
    let with_pins = |pins: Vec<[u8; 32]>| {
        let mut snapshot = snapshot(settings('R', 'O', true));
        snapshot.partners[0].pins = pins;
        snapshot
    };
    let at = |scene: &Scene, snapshot: &Snapshot| Moment { now: scene.at.now, ..moment(snapshot) };
    scene.at = at(&scene, &with_pins(vec![peer.key_sha256().unwrap()]));
    assert_eq!(scene.say(Input::PolicyChanged).sent, "");
    scene.at = at(&scene, &with_pins(vec![[1; 32]]));
    assert_error(&scene.say(Input::PolicyChanged), StreamCondition::Reset);
}

#[test]
fn a_pair_that_rests_on_dialback_does_not_mind_what_becomes_of_a_certificate() {
    let mut scene = Scene::secured(settings('R', 'N', true), identity(&["x.example"], Flaw::Nothing)).0;
    scene.element(OFFER);
    scene.say(Input::Verified(pair(), Answer::Valid));
    scene.at.trust = Arc::default();
    assert_eq!(scene.say(Input::PolicyChanged).sent, "");
}

#[test]
fn a_partner_that_is_removed_loses_its_stream() {
    let mut scene = Scene::authenticated();
    let mut snapshot = snapshot(settings('R', 'O', true));
    snapshot.partners.remove(0);
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
    assert_error(&scene.say(Input::PolicyChanged), StreamCondition::PolicyViolation);
}

#[test]
fn a_local_domain_that_is_removed_is_gone() {
    let mut scene = Scene::authenticated();
    let mut snapshot = snapshot(settings('R', 'O', true));
    snapshot.local_domains.remove(0);
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot) };
    assert_error(&scene.say(Input::PolicyChanged), StreamCondition::HostGone);
}

#[test]
fn a_method_that_is_no_longer_permitted_resets_the_stream_and_another_change_does_not() {
    let mut scene = Scene::authenticated();
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('O', 'R', true))) };
    assert_eq!(scene.say(Input::PolicyChanged).sent, "");
    scene.at = Moment { now: scene.at.now, ..moment(&snapshot(settings('R', 'N', true))) };
    assert_error(&scene.say(Input::PolicyChanged), StreamCondition::Reset);
}

#[test]
fn a_shutdown_says_so() {
    assert_error(&Scene::authenticated().say(Input::Drain), StreamCondition::SystemShutdown);
}
