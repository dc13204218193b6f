//! Features (RFC 6120, section 4.3): who is offered what.

use super::*;

/// Features before TLS: whether STARTTLS is offered, required, and dialback offered.
fn check(tls: char, sasl: char, dialback: bool, expected: (bool, bool, bool)) {
    let said = Scene::new(settings(tls, sasl, dialback)).header(USUAL);
    let offers = (said.sent.contains("<starttls"), said.sent.contains("<required/>"), said.sent.contains("<dialback"));
    assert_eq!(offers, expected, "{tls}{sasl}{dialback}: {}", said.sent);
}

#[test]
fn required_tls_is_offered_alone_and_required() {
    check('R', 'R', true, (true, true, false));
    check('R', 'O', true, (true, true, false));
    check('R', 'N', true, (true, true, false));
}

#[test]
fn optional_tls_is_offered_beside_dialback_where_plain_dialback_is_permitted() {
    check('O', 'O', true, (true, false, true));
    check('O', 'O', false, (true, false, false));
}

#[test]
fn tls_that_is_not_supported_is_not_offered() {
    check('N', 'N', true, (false, false, true));
}

#[test]
fn an_unknown_claim_is_offered_what_some_partner_may_use() {
    let said = Scene::new(settings('R', 'R', true)).header("to='contoso.example' version='1.0'");
    assert!(said.sent.contains("<required/>") && !said.sent.contains("<dialback"), "{}", said.sent);
    let said = Scene::new(settings('O', 'O', true)).header("to='contoso.example' version='1.0'");
    assert!(!said.sent.contains("<required/>") && said.sent.contains("<dialback"), "{}", said.sent);
}

#[test]
fn external_is_offered_to_a_certificate_that_proves_the_claim() {
    let (_, said) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::Nothing));
    assert!(said.sent.contains("<mechanism>EXTERNAL</mechanism>") && !said.sent.contains("<dialback"));
}

#[test]
fn a_certificate_for_servers_only_proves_a_server() {
    let (_, said) = Scene::secured(settings('R', 'R', true), identity(&[REMOTE], Flaw::ServerAuthOnly));
    assert!(said.sent.contains("<mechanism>EXTERNAL</mechanism>"));
}

#[test]
fn a_certificate_that_proves_nothing_leaves_dialback_where_that_is_permitted() {
    for (names, flaw) in [
        (&["other.example"][..], Flaw::Nothing),
        (&[REMOTE], Flaw::Expired),
        (&[REMOTE], Flaw::SelfSigned),
        (&[REMOTE], Flaw::ClientAuthOnly),
        (&[], Flaw::Absent),
    ] {
        let (_, said) = Scene::secured(settings('R', 'O', true), identity(names, flaw));
        assert!(!said.sent.contains("EXTERNAL") && said.sent.contains("<dialback"), "{flaw:?}: {}", said.sent);
    }
}

#[test]
fn where_nothing_is_left_the_stream_ends_and_the_text_names_the_certificates_problem() {
    for (names, flaw, text, rung) in [
        (&["other.example"][..], Flaw::Nothing, "does not name the domain", Rung::Name),
        (&[REMOTE], Flaw::Expired, "has expired", Rung::Chain),
        (&[REMOTE], Flaw::SelfSigned, "self-signed", Rung::Chain),
        (&[REMOTE], Flaw::ClientAuthOnly, "serverAuth", Rung::KeyUsage),
        (&[], Flaw::Absent, "presented no certificate", Rung::Chain),
    ] {
        let (_, said) = Scene::secured(settings('R', 'R', true), identity(names, flaw));
        assert_error(&said, StreamCondition::PolicyViolation);
        assert!(said.sent.contains(text), "{flaw:?}: {}", said.sent);
        assert_eq!(said.findings()[0].rung, rung, "{flaw:?}");
    }
}

#[test]
fn a_domain_that_is_no_partner_hears_so_inside_tls() {
    let mut scene = Scene::new(settings('O', 'O', true));
    let claim = "from='stranger.example' to='contoso.example' version='1.0'";
    let said = scene.header(claim);
    assert!(said.sent.contains("<required/>") && !said.sent.contains("<dialback"), "{}", said.sent);
    scene.element(STARTTLS);
    scene.say(Input::Secured(identity(&["stranger.example"], Flaw::Nothing)));
    let said = scene.header(claim);
    assert_error(&said, StreamCondition::PolicyViolation);
    assert_eq!(said.findings()[0].rung, Rung::Policy);
}
