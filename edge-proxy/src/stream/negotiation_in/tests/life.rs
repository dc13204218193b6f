//! Time, changes of policy and the end (RFC 6120, sections 4.4 and 4.6).

use super::*;

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
    let mut scene = Scene::authenticated();
    for authorised in &mut scene.machine.pairs {
        authorised.expires = Some(scene.at.now + Duration::from_secs(60));
    }
    assert_error(&scene.wait(Duration::from_secs(60)), StreamCondition::Reset);
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
