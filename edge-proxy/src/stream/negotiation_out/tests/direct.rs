//! TLS from the first byte (XEP-0368), and TLS left out.

use super::*;

/// A connection that begins with TLS.
fn direct(negotiation: NegotiationSettings, peer: PeerIdentity) -> (Scene, Said) {
    let at = moment(&snapshot(negotiation));
    let goal = Goal::Stanzas { without_external: false };
    let mut scene = Scene { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
    let said = scene.say(Input::Secured(peer));
    (scene, said)
}

#[test]
fn where_tls_comes_first_the_stream_is_opened_inside_it() {
    let (mut scene, said) = direct(settings('R', 'R', false), proven());
    assert!(said.sent.contains("<stream:stream"), "{}", said.sent);
    scene.say(Input::Header(header(RESPONSE)));
    assert!(scene.element(EXTERNAL).sent.contains("mechanism='EXTERNAL'"));
}

#[test]
fn no_starttls_is_asked_for_inside_direct_tls_even_if_it_is_offered() {
    let (mut scene, _) = direct(settings('R', 'O', true), proven());
    scene.say(Input::Header(header(RESPONSE)));
    let said = scene.element(STARTTLS_REQUIRED);
    assert!(!said.sent.contains("starttls"), "{}", said.sent);
}

#[test]
fn a_certificate_is_judged_by_the_same_rules_inside_direct_tls() {
    let (mut scene, _) = direct(settings('R', 'R', false), unproven());
    scene.say(Input::Header(header(RESPONSE)));
    assert_eq!(scene.element(EXTERNAL).failure().finding.rung, Rung::Chain);
}

#[test]
fn direct_tls_that_fails_leads_to_the_next_server() {
    let at = moment(&snapshot(settings('R', 'R', false)));
    let goal = Goal::Stanzas { without_external: false };
    let mut scene = Scene { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
    let said = scene.say(Input::TlsFailed("no protocol in common".to_owned()));
    assert_eq!((said.failure().finding.rung, said.failure().next), (Rung::Tls, Next::Address));
    assert_eq!(said.sent, "");
}

fn plain(negotiation: NegotiationSettings) -> Scene {
    let at = moment(&snapshot(negotiation));
    let goal = Goal::Stanzas { without_external: false };
    let machine = Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at).without_tls();
    let mut scene = Scene { machine, at };
    scene.say(Input::Connected);
    scene.say(Input::Header(header(RESPONSE)));
    scene
}

#[test]
fn tls_that_is_optional_can_be_left_out() {
    let said = plain(settings('O', 'O', true)).element(STARTTLS);
    assert!(said.sent.contains("db:result") && !said.sent.contains("starttls"), "{}", said.sent);
}

#[test]
fn tls_that_is_required_by_either_side_is_never_left_out() {
    assert!(plain(settings('R', 'O', true)).element(STARTTLS).sent.contains("starttls"));
    let said = plain(settings('O', 'O', true)).element(STARTTLS_REQUIRED);
    assert_eq!((said.failure().finding.rung, said.failure().next), (Rung::Mechanisms, Next::GiveUp));
}
