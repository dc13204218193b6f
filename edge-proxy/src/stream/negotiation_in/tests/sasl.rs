//! SASL EXTERNAL (RFC 6120, section 6; XEP-0178, section 3).

use super::*;

#[test]
fn success_restarts_the_stream_and_authorises_exactly_the_headers_pair() {
    let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE, OTHER], Flaw::Nothing));
    let said = scene.element(EXTERNAL);
    assert_eq!(said.sent, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(said.rest, [Output::Authorised(pair(), Method::SaslExternal), Output::Restart]);
    let features = scene.header(USUAL).sent;
    assert!(features.contains("<sm xmlns='urn:xmpp:sm:3'/>") && features.contains("<max-bytes>262144</max-bytes>"));
    assert!(!features.contains("mechanism"), "nothing is left that has to be negotiated: {features}");
    assert!(scene.machine.admit(REMOTE, LOCAL).is_ok());
    let foreign = scene.machine.admit(OTHER, LOCAL).unwrap_err();
    assert_eq!(foreign.condition, StreamCondition::InvalidFrom);
}

#[test]
fn the_certificate_is_judged_again_when_it_is_used() {
    let (mut scene, said) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
    assert!(said.sent.contains("EXTERNAL"));
    scene.at.trust = Arc::default();
    let said = scene.element(EXTERNAL);
    assert!(said.sent.contains("<failure") && said.sent.contains("<not-authorized/>"), "{}", said.sent);
    assert!(!scene.machine.is_authenticated());
}

#[test]
fn a_failure_leaves_the_stream_to_dialback_where_that_is_permitted() {
    let (mut scene, _) = Scene::secured(settings('R', 'O', true), identity(&["x.example"], Flaw::Nothing));
    let said = scene.element(EXTERNAL);
    assert!(said.sent.contains("<invalid-mechanism/>") && !said.sent.contains("</stream:stream>"), "{}", said.sent);
    let said = scene.element(OFFER);
    assert!(matches!(&said.rest[..], [Output::Verify { .. }]), "{said:?}");
}

#[test]
fn a_failure_without_another_method_ends_the_stream() {
    let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
    let other = EXTERNAL.replace(">=<", ">d2luZ3RpcC5leGFtcGxl<");
    let said = scene.element(&other);
    assert!(said.sent.contains("<invalid-authzid/>"), "{}", said.sent);
    assert_error(&said, StreamCondition::PolicyViolation);
}

#[test]
fn authentication_before_tls_requires_encryption() {
    let mut scene = Scene::new(settings('O', 'O', true));
    scene.header(USUAL);
    assert!(scene.element(EXTERNAL).sent.contains("<encryption-required/>"));
}

#[test]
fn an_old_header_without_from_is_not_offered_external() {
    let mut scene = Scene::new(settings('O', 'O', true));
    scene.header("to='contoso.example' version='1.0'");
    scene.element(STARTTLS);
    scene.say(Input::Secured(identity(&[REMOTE], Flaw::Nothing)));
    let said = scene.header("to='contoso.example' version='1.0'");
    assert!(!said.sent.contains("EXTERNAL") && said.sent.contains("<dialback"), "{}", said.sent);
}

#[test]
fn white_space_in_the_middle_of_sasl_is_overlooked_and_changes_nothing() {
    let (mut scene, _) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
    let said = scene.element("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>");
    assert!(said.sent.starts_with("<challenge "), "{}", said.sent);
    let said = scene.say(Input::Whitespace);
    assert_eq!((said.sent.as_str(), said.rest.len()), ("", 0));
    let said = scene.element("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</response>");
    assert!(said.sent.starts_with("<success "), "{}", said.sent);
}

#[test]
fn external_after_dialback_authorises_nothing_twice() {
    let (mut scene, _) = Scene::secured(settings('R', 'O', true), identity(&[REMOTE], Flaw::Nothing));
    assert_eq!(scene.element(OFFER).rest, [Output::Authorised(pair(), Method::TlsDialbackCertificate)]);
    let said = scene.element(EXTERNAL);
    assert!(said.sent.contains("<invalid-mechanism") && matches!(&said.rest[..], [Output::Report(_)]), "{said:?}");
    assert!(scene.machine.admit(REMOTE, LOCAL).is_ok());
}
