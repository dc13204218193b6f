//! Iq stanzas in the engine: whom they are for, who may ask, and that nothing but the answer happens.

use causeway_shared::jid::BareJid;

use super::*;

const BOB: &str = "bob@fabrikam.example/desk";
const EVE: &str = "eve@wingtip.example/phone";
const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

/// Asks and lets the answer arrive; the answer.
fn ask(rig: &mut Rig, from: &str, to: &str, rest: &str) -> String {
    let seq = rig.stanza(StanzaKind::Iq, from, to, rest);
    assert_eq!(rig.out.stanzas.len(), 1, "exactly one answer");
    let answer = rig.stanza_ends(Outcome::Done);
    assert_eq!(rig.finished(), [seq]);
    assert!(rig.sent().is_empty(), "nothing towards SIP");
    text(&answer)
}

fn get(rig: &mut Rig, from: &str, to: &str, payload: &str) -> String {
    ask(rig, from, to, &format!("type='get' id='q1'>{payload}"))
}

/// Lets bob see alice, who shows the device `pc`.
fn authorise(rig: &mut Rig) {
    rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribe'>");
    let key = PairKey {
        local: BareJid::parse("alice@contoso.example").unwrap(),
        remote: BareJid::parse("bob@fabrikam.example").unwrap(),
    };
    let mut rest = Rig::new();
    let pair = rig.stored.get_mut(&key).unwrap();
    pair.inbound.authorisation = crate::presence::record::InAuthorisation::Authorised;
    pair.inbound.resources = vec![crate::translate::presence::ResourcePresence {
        resource: "pc".to_owned(),
        available: true,
        ..Default::default()
    }];
    // Another gateway with the same store.
    rest.stored = std::mem::take(&mut rig.stored);
    *rig = rest;
}

// Rule: iq.resource, iq.vcard, type.x13
#[test]
fn a_user_answers_whom_he_shows_his_presence_and_his_device_too() {
    let mut rig = Rig::new();
    authorise(&mut rig);
    for to in ["alice@contoso.example", "alice@contoso.example/pc"] {
        assert!(get(&mut rig, BOB, to, PING).contains("type='result'"), "{to}");
        assert!(get(&mut rig, BOB, to, "<vCard xmlns='vcard-temp'/>").contains("<vCard"), "{to}");
    }
    // RFC 6121, section 8.5.3.2.3.
    assert!(get(&mut rig, BOB, "alice@contoso.example/tablet", PING).contains("service-unavailable"));
}

// RFC 6121, section 8.5.1 and 8.5.2.1.3.
// Rule: iq.stranger, iq.no-sip, iq.one-answer, type.x13
#[test]
fn who_may_not_see_a_user_cannot_tell_him_from_one_who_does_not_exist() {
    let payloads = [
        PING.to_owned(),
        "<query xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
        "<vCard xmlns='vcard-temp'/>".to_owned(),
        String::new(),
    ];
    for asking in ["carol@fabrikam.example/desk", EVE] {
        let mut rig = Rig::new();
        authorise(&mut rig);
        for payload in &payloads {
            for resource in ["", "/pc", "/nothing"] {
                for kind in ["get", "set"] {
                    let rest = format!("type='{kind}' id='q1'>{payload}");
                    let known = ask(&mut rig, asking, &format!("alice@contoso.example{resource}"), &rest);
                    let unknown = ask(&mut rig, asking, &format!("zoe@contoso.example{resource}"), &rest);
                    assert!(known.contains("service-unavailable"), "{known}");
                    assert_eq!(known.replace("alice", "zoe"), unknown);
                }
            }
        }
    }
}

// Rule: type.x15
#[test]
fn a_user_without_external_access_does_not_exist_for_iq() {
    let mut rig = Rig::new();
    authorise(&mut rig);
    rig.change(|settings| settings.access = ExternalAccess::global(false));
    assert!(get(&mut rig, BOB, "alice@contoso.example", PING).contains("service-unavailable"));
    assert!(get(&mut rig, BOB, "contoso.example", PING).contains("type='result'"));
}

// Rule: iq.domain-resource, type.x14
#[test]
fn the_domain_answers_strangers_as_well_and_its_resources_nobody() {
    let mut rig = Rig::new();
    for asking in [BOB, EVE, "wingtip.example"] {
        assert!(get(&mut rig, asking, "contoso.example", PING).contains("type='result'"));
        assert!(get(&mut rig, asking, "contoso.example/x", PING).contains("service-unavailable"));
    }
}

// RFC 6120, section 8.2.3.
// Rule: iq.one-answer
#[test]
fn answers_that_nobody_waits_for_are_taken_and_forgotten() {
    let mut rig = Rig::new();
    for to in ["contoso.example", "alice@contoso.example", "alice@contoso.example/pc"] {
        for kind in ["result", "error"] {
            let seq = rig.stanza(StanzaKind::Iq, BOB, to, &format!("type='{kind}' id='q1'>{PING}"));
            assert_eq!((rig.finished(), rig.out.stanzas.len(), rig.sent().len()), (vec![seq], 0, 0));
        }
    }
}

// Rule: iq.quota
#[test]
fn one_user_may_ask_so_much_a_minute_whomever_he_asks() {
    for to in ["contoso.example", "alice@contoso.example", "zoe@contoso.example/pc"] {
        let mut rig = Rig::new();
        rig.change(|settings| settings.quotas.query = 2);
        for _ in 0..2 {
            assert!(!get(&mut rig, BOB, to, PING).contains("resource-constraint"));
        }
        let refused = get(&mut rig, BOB, to, PING);
        assert!(refused.contains("type='wait'") && refused.contains("<resource-constraint"), "{refused}");
        assert!(!get(&mut rig, "carol@fabrikam.example/desk", to, PING).contains("resource-constraint"));
    }
}
