//! Headers (RFC 6120, sections 4.7 and 4.8).

use super::*;
use crate::policy::Federation;

#[test]
fn the_response_header_names_the_domain_asked_for_and_echoes_the_claim() {
    let said = Scene::new(settings('R', 'R', true)).header(USUAL);
    assert!(said.sent.starts_with("<?xml version='1.0'?><stream:stream xmlns='jabber:server'"), "{}", said.sent);
    assert!(said.sent.contains(" from='contoso.example' to='fabrikam.example' id='id1' version='1.0'"));
}

#[test]
fn a_domain_that_is_not_served_is_host_unknown_behind_a_header_of_ours() {
    let said = Scene::new(settings('R', 'R', true)).header("from='fabrikam.example' to='x.example' version='1.0'");
    assert!(said.sent.contains(" from='contoso.example'"), "{}", said.sent);
    assert_error(&said, StreamCondition::HostUnknown);
}

#[test]
fn a_domain_that_was_served_is_host_gone_until_it_is_served_again() {
    let mut snapshot = snapshot(settings('R', 'R', true));
    let before = Federation::new(&snapshot).0;
    let sales = snapshot.local_domains.remove(1);
    let mut after = Federation::new(&snapshot).0;
    after.remember(&before);
    let mut scene = Scene::with(&snapshot);
    scene.at.federation = Arc::new(after);
    let claim = "from='fabrikam.example' to='sales.contoso.example' version='1.0'";
    assert_error(&scene.header(claim), StreamCondition::HostGone);

    snapshot.local_domains.push(sales);
    let mut again = Federation::new(&snapshot).0;
    again.remember(&scene.at.federation);
    assert!(!again.was_local("sales.contoso.example") && again.is_local("sales.contoso.example"));
}

#[test]
fn a_peer_that_claims_to_be_us_is_refused() {
    let claim = "from='sales.contoso.example' to='contoso.example' version='1.0'";
    assert_error(&Scene::new(settings('R', 'R', true)).header(claim), StreamCondition::InvalidFrom);
}

#[test]
fn a_header_without_to_is_improper_addressing() {
    let said = Scene::new(settings('R', 'R', true)).header("from='fabrikam.example' version='1.0'");
    assert_error(&said, StreamCondition::ImproperAddressing);
}

#[test]
fn a_later_major_version_is_unsupported() {
    let claim = "from='fabrikam.example' to='contoso.example' version='2.0'";
    assert_error(&Scene::new(settings('R', 'R', true)).header(claim), StreamCondition::UnsupportedVersion);
}

#[test]
fn a_minor_version_above_ours_is_answered_with_ours() {
    let claim = "from='fabrikam.example' to='contoso.example' version='1.10'";
    assert!(Scene::new(settings('R', 'R', true)).header(claim).sent.contains(" version='1.0'"));
}

#[test]
fn from_and_to_cannot_change_at_a_restart() {
    for changed in [
        "from='wingtip.example' to='contoso.example' version='1.0'",
        "from='fabrikam.example' to='sales.contoso.example' version='1.0'",
        "to='contoso.example' version='1.0'",
    ] {
        let mut scene = Scene::new(settings('R', 'R', true));
        scene.header(USUAL);
        scene.element(STARTTLS);
        scene.say(Input::Secured(identity(&[REMOTE, OTHER], Flaw::Nothing)));
        assert_error(&scene.header(changed), StreamCondition::ImproperAddressing);
    }
}

#[test]
fn from_and_to_cannot_change_after_authentication() {
    let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE, OTHER], Flaw::Nothing));
    scene.element(EXTERNAL);
    let changed = "from='wingtip.example' to='contoso.example' version='1.0'";
    assert_error(&scene.header(changed), StreamCondition::ImproperAddressing);
}

#[test]
fn every_stream_of_a_connection_has_an_id_of_its_own() {
    let mut scene = Scene::new(settings('R', 'R', true));
    assert!(scene.header(USUAL).sent.contains(" id='id1'"));
    scene.element(STARTTLS);
    scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
    assert!(scene.header(USUAL).sent.contains(" id='id2'"));
}

#[test]
fn a_server_name_of_ours_that_is_not_the_streams_to_is_refused() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.header(USUAL);
    scene.element(STARTTLS);
    let mut peer = identity(&[REMOTE], Flaw::Nothing);
    peer.server_name = Some(domain("sales.contoso.example"));
    scene.say(Input::Secured(peer));
    assert_error(&scene.header(USUAL), StreamCondition::PolicyViolation);
}

#[test]
fn without_a_gateway_nothing_is_begun() {
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.at.has_gateway = false;
    assert_error(&scene.header(USUAL), StreamCondition::InternalServerError);
}

#[test]
fn a_fault_before_any_header_is_answered_behind_one() {
    let mut scene = Scene::new(settings('R', 'R', true));
    let said = scene.say(Input::Fault(StreamFault::new(StreamCondition::RestrictedXml, "a DTD")));
    assert!(said.sent.starts_with("<?xml"), "{}", said.sent);
    assert_error(&said, StreamCondition::RestrictedXml);
}

#[test]
fn a_peer_before_xmpp_1_0_may_only_dial_back_and_only_where_that_is_permitted() {
    let old = "from='fabrikam.example' to='contoso.example'";
    let said = Scene::new(settings('O', 'O', true)).header(old);
    assert!(!said.sent.contains("version='1.0' ") && !said.sent.contains("features"), "{}", said.sent);
    assert_error(&Scene::new(settings('R', 'O', true)).header(old), StreamCondition::UnsupportedVersion);
}

#[test]
fn the_response_header_says_its_language_and_ignores_an_id_of_the_peers() {
    let said = Scene::new(settings('R', 'R', true)).header(&format!("{USUAL} id='theirs' xml:lang='tlh'"));
    assert!(said.sent.contains(" xml:lang='en'") && said.sent.contains(" id='id1'"), "{}", said.sent);
    assert!(!said.sent.contains("theirs"), "{}", said.sent);
}

#[test]
fn inside_tls_a_header_without_from_is_improper_addressing_where_nobody_may_dial_back() {
    let nameless = "to='contoso.example' version='1.0'";
    let mut scene = Scene::new(settings('R', 'R', true));
    scene.header(nameless);
    scene.element(STARTTLS);
    scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
    assert_error(&scene.header(nameless), StreamCondition::ImproperAddressing);
}
