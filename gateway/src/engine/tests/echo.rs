//! The echo contact in the engine: nothing towards SIP, nothing in the store, one end for each stanza.

use causeway_shared::jid::BareJid;

use super::*;
use crate::echo::{EchoContact, LIMITS};

const ECHO: &str = "echo@contoso.example";
/// A user of a federated partner, and of an unverified one whom nobody has added.
const USERS: [&str; 2] = ["bob@fabrikam.example/desk", "eve@wingtip.example/phone"];

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.change(|settings| {
        let contact = EchoContact::new(BareJid::parse(ECHO).unwrap(), None, Vec::new()).unwrap();
        settings.echo = Some(Arc::new(contact));
    });
    rig
}

/// All stanzas that went out, each of which then arrives.
fn answers(rig: &mut Rig) -> Vec<String> {
    let stanzas = std::mem::take(&mut rig.out.stanzas);
    let keys = stanzas.iter().map(|stanza| (stanza.key, Outcome::Done)).collect();
    rig.handle(Input::Link(LinkEvent::Outcomes(keys)));
    stanzas.iter().map(text).collect()
}

fn is_alone(rig: &mut Rig) -> bool {
    rig.sent().is_empty() && rig.stored.is_empty() && rig.engine.under_way() == 0
}

// Rule: echo.alone
#[test]
fn a_new_partner_of_any_type_can_add_it_and_talk_to_it() {
    for user in USERS {
        let mut rig = rig();
        let subscribe = rig.stanza(StanzaKind::Presence, user, ECHO, "type='subscribe'>");
        let said = answers(&mut rig);
        assert!(said.len() == 2 && said[0].contains("type='subscribed'") && said[1].contains("<c "), "{said:?}");
        assert_eq!(rig.finished(), [subscribe]);
        let chat = rig.stanza(StanzaKind::Message, user, ECHO, "type='chat' id='m1'><body>hello</body>");
        let said = answers(&mut rig);
        assert!(said.len() == 1 && said[0].contains("<body>hello</body>"), "{said:?}");
        assert_eq!(rig.finished(), [chat]);
        let ping = rig.stanza(StanzaKind::Iq, user, ECHO, "type='get' id='q1'><ping xmlns='urn:xmpp:ping'/>");
        assert!(answers(&mut rig)[0].contains("type='result'"));
        assert_eq!(rig.finished(), [ping]);
        assert!(is_alone(&mut rig));
    }
}

// Rule: echo.message
#[test]
fn a_stanza_with_several_answers_is_finished_when_the_last_has_arrived() {
    let mut rig = rig();
    let seq = rig.stanza(StanzaKind::Presence, USERS[0], ECHO, "type='subscribe'>");
    let keys: Vec<u64> = rig.out.stanzas.iter().map(|stanza| stanza.key).collect();
    rig.handle(Input::Link(LinkEvent::Outcomes(vec![(keys[0], Outcome::Done)])));
    assert!(rig.finished().is_empty());
    rig.handle(Input::Link(LinkEvent::Outcomes(vec![(keys[1], Outcome::Done)])));
    assert_eq!(rig.finished(), [seq]);
}

// Rule: echo.no-loop
#[test]
fn what_it_does_not_answer_is_finished_at_once() {
    let mut rig = rig();
    for (kind, rest) in [
        (StanzaKind::Message, "type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>"),
        (StanzaKind::Message, "type='error'><body>x</body>"),
        (StanzaKind::Message, "type='headline'><body>x</body>"),
        (StanzaKind::Presence, ">"),
        (StanzaKind::Presence, "type='subscribed'>"),
        (StanzaKind::Presence, "type='error'>"),
        (StanzaKind::Presence, "type='unheard-of'>"),
        (StanzaKind::Iq, "type='result' id='q'>"),
        (StanzaKind::Iq, "type='error' id='q'>"),
    ] {
        let seq = rig.stanza(kind, USERS[0], ECHO, rest);
        assert_eq!((rig.finished(), rig.out.stanzas.len()), (vec![seq], 0), "{rest}");
    }
    assert!(is_alone(&mut rig));
}

// Rule: echo.bounded
#[test]
fn one_user_gets_so_many_echoes_a_minute_though_quotas_are_off() {
    let mut rig = rig();
    rig.change(|settings| {
        settings.quotas = crate::quota::QuotaLimits { subscribe: 0, probe: 0, message: 0, query: 0 };
    });
    let say = |rig: &mut Rig| {
        rig.stanza(StanzaKind::Message, USERS[0], ECHO, "type='chat' id='m1'><body>x</body>");
        answers(rig).remove(0)
    };
    for _ in 0..LIMITS.message {
        assert!(say(&mut rig).contains("<body>x</body>"));
    }
    let refused = say(&mut rig);
    assert!(refused.contains("resource-constraint") && refused.contains("id='m1'"), "{refused}");
    for _ in 0..=LIMITS.probe {
        rig.stanza(StanzaKind::Presence, USERS[0], ECHO, "type='probe'>");
    }
    assert_eq!(answers(&mut rig).len(), LIMITS.probe as usize);
}

// Rule: echo.bounded
#[test]
fn the_quota_of_messages_holds_for_it_too() {
    let mut rig = rig();
    rig.change(|settings| settings.quotas.message = 2);
    for _ in 0..3 {
        rig.stanza(StanzaKind::Message, USERS[0], ECHO, "type='chat' id='m1'><body>x</body>");
    }
    let said = answers(&mut rig);
    assert!(said.len() == 3 && said[1].contains("<body>") && said[2].contains("resource-constraint"), "{said:?}");
}

#[test]
fn without_it_the_address_is_a_sip_users() {
    let mut rig = rig();
    rig.change(|settings| settings.echo = None);
    rig.stanza(StanzaKind::Message, USERS[0], ECHO, "type='chat' id='m1'><body>hello</body>");
    assert_eq!(rig.requests()[0].method.as_str(), "MESSAGE");
}

#[test]
fn everybody_else_is_reached_as_before() {
    let mut rig = rig();
    rig.message(USERS[0], "hello");
    assert_eq!(rig.requests()[0].method.as_str(), "MESSAGE");
}
