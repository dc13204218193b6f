//! Acknowledgements (XEP-0198), bidirectional streams (XEP-0288) and limits (XEP-0478) on an inbound stream.

use super::*;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'>\
                    <max-bytes>20000</max-bytes></limits></bidi>";
const BIDI_FEATURE: &str = "<bidi xmlns='urn:xmpp:features:bidi'/>";

fn policy(bidi: bool, stream_management: bool) -> Snapshot {
    let mut snapshot = snapshot(settings('R', 'O', true));
    for partner in &mut snapshot.partners {
        partner.options.bidi = bidi;
        partner.options.stream_management = stream_management;
    }
    snapshot
}

/// Up to the features inside TLS, with a good certificate.
fn secured(snapshot: &Snapshot) -> (Scene, Said) {
    let mut scene = Scene::with(snapshot);
    let plain = scene.header(USUAL);
    for extension in ["urn:xmpp:features:bidi", "urn:xmpp:sm:3", "urn:xmpp:stream-limits:0"] {
        assert!(!plain.sent.contains(extension), "nothing stands beside a STARTTLS that is required: {plain:?}");
    }
    scene.element(STARTTLS);
    scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
    let said = scene.header(USUAL);
    (scene, said)
}

#[test]
fn a_bidirectional_stream_is_offered_inside_tls_before_authentication_to_a_partner_that_may() {
    let (mut scene, said) = secured(&policy(true, true));
    assert!(said.sent.contains(BIDI_FEATURE));
    assert_eq!(scene.element(BIDI), Said { sent: String::new(), rest: Vec::new() }, "there is no answer");
    scene.element(EXTERNAL);
    let said = scene.header(USUAL);
    assert!(!said.sent.contains(BIDI_FEATURE));
    assert!(scene.machine.is_bidi());
    assert_eq!(scene.machine.announced().max_bytes, Some(20_000));
}

#[test]
fn a_bidirectional_stream_that_was_not_offered_or_comes_too_late_ends_the_stream() {
    let (mut scene, said) = secured(&policy(false, true));
    assert!(!said.sent.contains(BIDI_FEATURE));
    assert_error(&scene.element(BIDI), StreamCondition::PolicyViolation);
    let (mut scene, _) = secured(&policy(true, true));
    scene.element(EXTERNAL);
    scene.header(USUAL);
    assert_error(&scene.element(BIDI), StreamCondition::PolicyViolation);
    let (mut scene, _) = secured(&policy(true, true));
    scene.element(BIDI);
    assert_error(&scene.element(BIDI), StreamCondition::PolicyViolation);
}

#[test]
fn asking_for_both_ways_authorises_nobody() {
    let (mut scene, _) = secured(&policy(true, true));
    scene.element(BIDI);
    assert!(!scene.machine.is_authenticated());
    assert_eq!(scene.machine.pairs().count(), 0);
}

#[test]
fn answers_to_dialback_that_nobody_asked_for_stay_unsolicited_on_a_bidirectional_stream() {
    let (mut scene, _) = secured(&policy(true, true));
    scene.element(BIDI);
    let said = scene.element("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>");
    assert_eq!(said.rest, [Output::Unsolicited]);
    assert!(!scene.machine.is_authenticated());
}

#[test]
fn acknowledgements_are_offered_after_authentication_only() {
    let (mut scene, said) = secured(&policy(false, true));
    assert!(!said.sent.contains("urn:xmpp:sm:3"));
    scene.element(EXTERNAL);
    assert!(scene.header(USUAL).sent.contains("<sm xmlns='urn:xmpp:sm:3'/>"));
    let (mut scene, _) = secured(&policy(false, false));
    scene.element(EXTERNAL);
    assert!(!scene.header(USUAL).sent.contains("urn:xmpp:sm:3"), "the partner is not set to it");
}

#[test]
fn enabling_before_authentication_is_refused_and_nothing_is_counted() {
    let (mut scene, _) = secured(&policy(false, true));
    let said = scene.element(ENABLE);
    assert!(said.sent.contains("<failed xmlns='urn:xmpp:sm:3'><unexpected-request"), "{said:?}");
    assert!(!scene.machine.is_managed());
    assert!(scene.machine.receipt().is_none());
}

#[test]
fn an_acknowledgement_where_none_are_enabled_ends_the_stream() {
    let mut scene = Scene::authenticated();
    assert_error(&scene.element(R), StreamCondition::UnsupportedStanzaType);
}

#[test]
fn what_gateways_have_finished_is_acknowledged_and_told_again_when_it_is_more() {
    let mut scene = Scene::authenticated();
    assert_eq!(scene.element(ENABLE).sent, "<enabled xmlns='urn:xmpp:sm:3'/>");
    let first = scene.machine.receipt().unwrap();
    assert_eq!(scene.element(R).sent, "<a xmlns='urn:xmpp:sm:3' h='0'/>");
    assert!(scene.machine.awaited().is_some());
    first.finish();
    assert_eq!(scene.say(Input::Progress).sent, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert!(scene.machine.awaited().is_none());
    assert!(scene.element(ENABLE).sent.contains("<failed"), "it cannot be enabled twice");
}

#[test]
fn the_last_count_is_told_before_the_stream_is_closed() {
    let mut scene = Scene::authenticated();
    scene.element(ENABLE);
    scene.machine.receipt().unwrap().finish();
    assert_eq!(scene.say(Input::Close).sent, "<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>");
}

#[test]
fn a_stream_that_the_peer_closes_ends_when_all_that_came_is_finished_so_that_the_count_is_true() {
    let mut scene = Scene::authenticated();
    scene.element(ENABLE);
    let (first, second) = (scene.machine.receipt().unwrap(), scene.machine.receipt().unwrap());
    assert_eq!(scene.say(Input::Close), Said { sent: String::new(), rest: Vec::new() });
    assert!(!scene.machine.is_listening());
    first.finish();
    assert_eq!(scene.say(Input::Progress).sent, "");
    second.finish();
    let said = scene.say(Input::Progress);
    assert_eq!(
        said,
        Said { sent: "<a xmlns='urn:xmpp:sm:3' h='2'/></stream:stream>".to_owned(), rest: vec![Output::Close] }
    );
}

#[test]
fn an_end_does_not_wait_longer_for_gateways_than_a_close_may_take() {
    let mut scene = Scene::authenticated();
    scene.element(ENABLE);
    let _never_finished = scene.machine.receipt().unwrap();
    assert_eq!(scene.say(Input::Drain).sent, "");
    let said = scene.wait(Duration::from_secs(5));
    assert!(said.sent.starts_with("<a xmlns='urn:xmpp:sm:3' h='0'/><stream:error><system-shutdown"), "{said:?}");
    assert_error(&said, StreamCondition::SystemShutdown);
}

#[test]
fn a_peer_that_does_not_acknowledge_what_it_takes_loses_the_stream() {
    let (mut scene, _) = secured(&policy(true, true));
    scene.element(BIDI);
    scene.element(EXTERNAL);
    scene.header(USUAL);
    scene.element(ENABLE);
    assert_eq!(scene.say(Input::Written(2)).sent, "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(scene.element("<a xmlns='urn:xmpp:sm:3' h='1'/>").rest, [Output::Acknowledged(1)]);
    scene.wait(Duration::from_secs(5));
    assert_error(&scene.wait(Duration::from_secs(30)), StreamCondition::ConnectionTimeout);
}

#[test]
fn limits_are_announced_and_wider_after_authentication() {
    let (mut scene, said) = secured(&policy(false, true));
    assert!(said.sent.contains("<max-bytes>8192</max-bytes><idle-seconds>60</idle-seconds>"), "{}", said.sent);
    scene.element(EXTERNAL);
    let said = scene.header(USUAL);
    assert!(said.sent.contains("<max-bytes>262144</max-bytes><idle-seconds>600</idle-seconds>"), "{}", said.sent);
}

#[test]
fn compression_is_neither_offered_nor_understood() {
    let (mut scene, said) = secured(&policy(true, true));
    assert!(!said.sent.contains("compress"));
    let compress = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    assert_error(&scene.element(compress), StreamCondition::UnsupportedStanzaType);
}
