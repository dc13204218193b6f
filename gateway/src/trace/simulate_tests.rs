use causeway_shared::domain::DomainName;
use causeway_shared::partner::PartnerType;

use super::*;
use crate::engine::settings_for_test;
use crate::presence::record::OutAuthorisation;

fn query(from: &str, to: &str, kind: &str, stanza_type: &str) -> SimulationQuery {
    SimulationQuery {
        from: from.to_owned(),
        to: to.to_owned(),
        kind: kind.to_owned(),
        stanza_type: Some(stanza_type.to_owned()).filter(|text| !text.is_empty()),
        size: None,
    }
}

fn settings() -> Settings {
    let mut settings = settings_for_test();
    settings.domains.add_partner(&DomainName::parse("wingtip.example").unwrap(), &[], PartnerType::PublicUnverified);
    settings
}

/// Whether it passes, the code, the rule.
fn simulated(query: &SimulationQuery, is_added: bool) -> (bool, String, String) {
    let attempt = Attempt::read(query).unwrap();
    let mut pair = Pair::new(attempt.pair());
    if is_added {
        pair.outbound.authorisation = OutAuthorisation::To;
    }
    let said = simulate(&attempt, Some(&pair), &settings(), None);
    (said.passes, said.outcome.code, said.rule)
}

fn case(from: &str, to: &str, kind: &str, stanza_type: &str) -> (bool, String, String) {
    simulated(&query(from, to, kind, stanza_type), false)
}

fn is(passes: bool, code: &str, rule: &str) -> (bool, String, String) {
    (passes, code.to_owned(), rule.to_owned())
}

const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example/desk";
const EVE: &str = "eve@wingtip.example";

#[test]
fn stanzas_are_judged_by_the_table_of_partner_types() {
    assert_eq!(case(BOB, ALICE, "message", "chat"), is(true, "simulate-pass", "type.x8"));
    assert_eq!(case(EVE, ALICE, "message", "chat"), is(false, "simulate-error", "type.x8"));
    assert_eq!(simulated(&query(EVE, ALICE, "message", "chat"), true), is(true, "simulate-pass", "type.x8"));
    assert_eq!(case(EVE, ALICE, "presence", "subscribe"), is(false, "simulate-held", "type.x1"));
    assert_eq!(case(EVE, ALICE, "presence", "probe"), is(false, "simulate-unsubscribed", "type.x6"));
    assert_eq!(case(EVE, ALICE, "presence", ""), is(false, "simulate-drop", "type.x5"));
    assert_eq!(case(BOB, ALICE, "message", "groupchat"), is(false, "simulate-error", "type.x11"));
    assert_eq!(case(BOB, "contoso.example", "iq", "get"), is(true, "simulate-pass", "type.x14"));
    assert_eq!(case(BOB, "contoso.example", "message", ""), is(false, "simulate-error", "type.x8"));
    assert_eq!(case("x@elsewhere.example", ALICE, "message", ""), is(false, "simulate-error", "type.x16"));
    assert_eq!(case(ALICE, ALICE, "message", ""), is(false, "simulate-error", "loop.sides"));
}

#[test]
fn requests_are_judged_as_the_engine_does() {
    assert_eq!(case(ALICE, "sip:bob@fabrikam.example", "MESSAGE", ""), is(true, "simulate-pass", "type.s3"));
    assert_eq!(case(ALICE, "bob@fabrikam.example", "SUBSCRIBE", ""), is(true, "simulate-pass", "type.s1"));
    assert_eq!(case(ALICE, "x@elsewhere.example", "MESSAGE", ""), is(false, "simulate-status", "type.s7"));
    assert_eq!(case(ALICE, "carol@contoso.example", "MESSAGE", ""), is(false, "simulate-status", "loop.sides"));
    assert_eq!(
        case(ALICE, "sips:bob@fabrikam.example", "MESSAGE", ""),
        is(false, "simulate-status", "address.scheme.sips")
    );
    assert_eq!(case(ALICE, "bob@fabrikam.example", "REGISTER", ""), is(false, "simulate-method", "sip.method"));
}

#[test]
fn sizes_and_quotas_count() {
    let large = SimulationQuery { size: Some(1_000_000), ..query(BOB, ALICE, "message", "chat") };
    assert_eq!(simulated(&large, false), is(false, "simulate-too-large", "message.size"));
    let attempt = Attempt::read(&query(BOB, ALICE, "message", "chat")).unwrap();
    let seen = |used, all| Seen { may_reply: false, used: vec![(Counted::Message, used, all)], held: 0 };
    let rule = |seen: &Seen| simulate(&attempt, None, &settings(), Some(seen)).rule;
    assert_eq!(rule(&seen(120, 120)), "quota.user");
    assert_eq!(rule(&seen(0, 120 * PARTNER_FACTOR)), "quota.partner");
    assert_eq!(rule(&seen(119, 119)), "type.x8");
}

#[test]
fn who_has_just_been_written_to_may_answer() {
    let attempt = Attempt::read(&query(EVE, ALICE, "message", "chat")).unwrap();
    let seen = Seen { may_reply: true, used: Vec::new(), held: 0 };
    let said = simulate(&attempt, None, &settings(), Some(&seen));
    assert_eq!((said.passes, said.rule.as_str()), (true, "message.reply-window"));
}

#[test]
fn a_query_that_cannot_be_read_says_what_it_could_be() {
    let fault = |from, kind, stanza_type| Attempt::read(&query(from, ALICE, kind, stanza_type)).unwrap_err();
    assert_eq!(fault("a b@c", "message", "").key, "from");
    assert_eq!(fault(BOB, "message", "shout").key, "type");
    assert_eq!(fault(BOB, "mesage", "").key, "kind");
}

#[test]
fn every_rule_is_one_of_the_documentation() {
    let rules = include_str!("../../../docs/rules.toml");
    let source = include_str!("simulate.rs");
    let named = source.split('"').filter(|part| {
        let prefixes = ["type.", "loop.", "quota.", "message.", "address.", "sip."];
        prefixes.iter().any(|prefix| part.starts_with(prefix)) && !part.contains(' ')
    });
    let mut count = 0;
    for rule in named {
        assert!(rules.contains(&format!("[\"{rule}\", ")), "{rule}");
        count += 1;
    }
    assert!(count > 20);
}
