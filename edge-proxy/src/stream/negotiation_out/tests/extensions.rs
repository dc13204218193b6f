//! Acknowledgements (XEP-0198), bidirectional streams (XEP-0288), limits (XEP-0478) and further pairs (XEP-0220, section
//! 2.6) on an outbound stream.

use causeway_shared::xmpp::stream_error::StreamCondition;

use super::*;
use crate::stream::test_support::OTHER;

const BOTH: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                    <mechanism>EXTERNAL</mechanism></mechanisms><dialback xmlns='urn:xmpp:features:dialback'>\
                    <errors/></dialback><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>";
const SM: &str = "<stream:features><sm xmlns='urn:xmpp:sm:3'/><limits xmlns='urn:xmpp:stream-limits:0'>\
                  <max-bytes>20000</max-bytes><idle-seconds>100</idle-seconds></limits></stream:features>";

/// Up to the features inside TLS of a partner with these options.
fn secured(bidi: bool, stream_management: bool, goal: Goal) -> Scene {
    let mut snapshot = snapshot(settings('R', 'O', true));
    for partner in &mut snapshot.partners {
        partner.options.bidi = bidi;
        partner.options.stream_management = stream_management;
    }
    let at = moment(&snapshot);
    let mut scene = Scene { machine: Initiating::new(pair(), goal, at.now + Duration::from_secs(60), &at), at };
    scene.say(Input::Connected);
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(STARTTLS_REQUIRED);
    scene.element(PROCEED);
    scene.say(Input::Secured(proven()));
    scene.say(Input::Header(header(RESPONSE)));
    scene
}

fn stanzas() -> Goal {
    Goal::Stanzas { without_external: false }
}

/// A stream that carries stanzas, after features of the peer that end with these.
fn ready(bidi: bool, stream_management: bool, last: &str) -> Scene {
    let mut scene = secured(bidi, stream_management, stanzas());
    scene.element(BOTH);
    scene.element(SUCCESS);
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(last);
    if last == SM && stream_management {
        scene.element("<enabled xmlns='urn:xmpp:sm:3'/>");
    }
    assert!(scene.machine.is_ready());
    scene
}

fn sales() -> DomainPair {
    DomainPair { local: domain("sales.contoso.example"), remote: domain(REMOTE) }
}

#[test]
fn a_stream_both_ways_ends_with_the_certificate_that_what_comes_back_rests_on() {
    let mut scene = secured(true, false, Goal::Stanzas { without_external: true });
    scene.element(BOTH);
    scene.element("<db:result from='fabrikam.example' to='contoso.example' type='valid'/>");
    assert!(scene.machine.is_ready() && scene.machine.carries_reverse());
    scene.at.trust = Default::default();
    assert!(scene.say(Input::PolicyChanged).sent.contains("<reset"));
}

#[test]
fn both_ways_are_asked_for_before_authentication_where_both_sides_want_it() {
    let mut scene = secured(true, true, stanzas());
    let sent = scene.element(BOTH).sent;
    assert!(sent.starts_with("<bidi xmlns='urn:xmpp:bidi'><limits"), "{sent}");
    assert!(sent.contains("<auth "), "{sent}");
    for (bidi, features) in [(false, BOTH), (true, EXTERNAL)] {
        let mut scene = secured(bidi, true, stanzas());
        assert!(!scene.element(features).sent.contains("bidi"));
    }
}

#[test]
fn a_verification_never_goes_both_ways() {
    let goal = Goal::Verify { stream_id: "x".to_owned(), key: "y".to_owned() };
    let mut scene = secured(true, true, goal);
    assert!(!scene.element(BOTH).sent.contains("bidi"));
}

#[test]
fn the_peer_may_send_the_reverse_of_the_pair_and_nothing_else_and_not_before_it_is_ready() {
    let mut scene = secured(true, true, stanzas());
    scene.element(BOTH);
    assert!(!scene.machine.carries_reverse());
    assert!(scene.machine.admit(REMOTE, LOCAL).is_err());
    let scene = ready(true, true, SM);
    assert_eq!(scene.machine.admit(REMOTE, LOCAL).unwrap().method, Method::SaslExternal);
    let refused = |from, to| scene.machine.admit(from, to).unwrap_err().condition;
    assert_eq!(refused(OTHER, LOCAL), StreamCondition::InvalidFrom);
    assert_eq!(refused(LOCAL, REMOTE), StreamCondition::InvalidFrom);
    assert_eq!(refused(REMOTE, "sales.contoso.example"), StreamCondition::HostUnknown);
    assert!(!ready(false, true, SM).machine.carries_reverse());
}

#[test]
fn acknowledgements_are_enabled_before_the_first_stanza_where_both_sides_want_them() {
    let mut scene = secured(false, true, stanzas());
    scene.element(BOTH);
    scene.element(SUCCESS);
    scene.say(Input::Header(header(RESPONSE)));
    assert_eq!(scene.element(SM).sent, "<enable xmlns='urn:xmpp:sm:3'/>");
    assert!(!scene.machine.is_ready());
    let said = scene.element("<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(said.rest, [Output::Ready(Method::SaslExternal)]);
    assert!(scene.machine.is_managed());
    assert!(!ready(false, false, SM).machine.is_managed());
}

#[test]
fn a_peer_that_refuses_acknowledgements_is_good_without_them() {
    let mut scene = secured(false, true, stanzas());
    scene.element(BOTH);
    scene.element(SUCCESS);
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(SM);
    let said = scene.element("<failed xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(said.rest, [Output::Ready(Method::SaslExternal)]);
    assert!(!scene.machine.is_managed());
}

#[test]
fn a_peer_that_never_answers_the_question_for_acknowledgements_fails_the_attempt() {
    let mut scene = secured(false, true, stanzas());
    scene.element(BOTH);
    scene.element(SUCCESS);
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(SM);
    scene.at = later(&scene.at, Duration::from_secs(30));
    assert_eq!(scene.say(Input::DeadlinePassed).failure().next, Next::Address);
}

#[test]
fn what_was_written_is_asked_for_and_acknowledged_in_order() {
    let mut scene = ready(false, true, SM);
    assert_eq!(scene.say(Input::Written(3)).sent, "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(scene.element("<a xmlns='urn:xmpp:sm:3' h='2'/>").rest, [Output::Acknowledged(2)]);
    let failed = scene.element("<a xmlns='urn:xmpp:sm:3' h='9'/>");
    assert!(failed.sent.contains("<undefined-condition") && failed.sent.contains("handled-count-too-high"));
    assert_eq!(failed.failure().finding.side, Side::Theirs);
}

#[test]
fn a_peer_that_stops_acknowledging_ends_the_stream_and_its_verdict_says_so() {
    let mut scene = ready(false, true, SM);
    scene.say(Input::Written(1));
    scene.at = later(&scene.at, Duration::from_secs(30));
    let said = scene.say(Input::DeadlinePassed);
    assert!(said.sent.contains("<connection-timeout"), "{said:?}");
    assert!(said.failure().finding.cause.contains("connection-timeout"));
}

#[test]
fn the_peers_limits_are_kept() {
    let mut scene = ready(false, true, SM);
    assert_eq!(scene.machine.max_bytes(), Some(20_000));
    // It lets a stream be silent for 100 s; so ours is not for more than 80.
    assert_eq!(scene.machine.deadline(&scene.at), Some(scene.at.now + Duration::from_secs(80)));
    scene.at = later(&scene.at, Duration::from_secs(80));
    assert_eq!(scene.say(Input::DeadlinePassed).sent, " ");
}

#[test]
fn a_further_pair_proves_itself_by_dialback_on_the_stream() {
    let mut scene = ready(false, true, SM);
    assert_eq!(scene.machine.takes_pairs(&scene.at), Some(TakesPairs { other_remotes: true }));
    let said = scene.say(Input::Join(sales()));
    let key = key(b"current", &domain(REMOTE), &domain("sales.contoso.example"), "abc");
    let offer = format!("<db:result from='sales.contoso.example' to='fabrikam.example'>{key}</db:result>");
    assert_eq!(said, Said { sent: offer, rest: Vec::new() });
    let said = scene.element("<db:result from='fabrikam.example' to='sales.contoso.example' type='valid'/>");
    assert_eq!(said.rest, [Output::Joined(sales())]);
}

#[test]
fn a_further_pair_that_is_refused_does_not_end_the_stream() {
    let mut scene = ready(false, true, SM);
    scene.say(Input::Join(sales()));
    let said = scene.element(
        "<db:result from='fabrikam.example' to='sales.contoso.example' type='error'><error type='cancel'>\
         <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
    );
    assert!(matches!(&said.rest[..], [Output::NotJoined(pair, _)] if *pair == sales()), "{said:?}");
    assert!(scene.machine.is_ready());
    scene.say(Input::Join(sales()));
    scene.at = later(&scene.at, Duration::from_secs(30));
    let said = scene.say(Input::DeadlinePassed);
    assert!(matches!(&said.rest[..], [Output::NotJoined(..)]), "nobody answered: {said:?}");
    assert!(scene.machine.is_ready());
}

#[test]
fn an_answer_about_a_pair_that_did_not_ask_changes_nothing() {
    let mut scene = ready(true, true, SM);
    let said = scene.element("<db:result from='fabrikam.example' to='sales.contoso.example' type='valid'/>");
    assert_eq!(said.rest, [Output::Unsolicited]);
    assert!(scene.machine.admit(REMOTE, "sales.contoso.example").is_err());
}

#[test]
fn a_pair_that_policy_gives_no_dialback_does_not_join() {
    let mut scene = ready(false, true, SM);
    scene.at = moment(&snapshot(settings('R', 'R', true)));
    let said = scene.say(Input::Join(sales()));
    assert!(said.sent.is_empty() && matches!(&said.rest[..], [Output::NotJoined(..)]), "{said:?}");
}

#[test]
fn another_remote_domain_joins_only_where_a_refusal_is_an_error_and_not_the_end() {
    let without_errors = BOTH.replace("<errors/>", "");
    let mut scene = secured(false, true, stanzas());
    scene.element(&without_errors);
    scene.element(SUCCESS);
    scene.say(Input::Header(header(RESPONSE)));
    scene.element(NONE);
    assert_eq!(scene.machine.takes_pairs(&scene.at), Some(TakesPairs { other_remotes: false }));
    let other = DomainPair { local: domain(LOCAL), remote: domain(OTHER) };
    assert!(matches!(&scene.say(Input::Join(other)).rest[..], [Output::NotJoined(..)]));
}

#[test]
fn a_stream_has_room_for_so_many_pairs_and_no_more() {
    let mut scene = ready(false, true, SM);
    let mut joined = 0;
    while scene.machine.takes_pairs(&scene.at).is_some() {
        let local = domain(&format!("d{joined}.contoso.example"));
        let pair = DomainPair { local, remote: domain(REMOTE) };
        scene.at = {
            let mut snapshot = snapshot(settings('R', 'O', true));
            snapshot.local_domains.push(pair.local.clone());
            moment(&snapshot)
        };
        assert!(scene.say(Input::Join(pair)).rest.is_empty());
        joined += 1;
        assert!(joined < 1000, "no end");
    }
    assert_eq!(joined, 63);
}
