//! What outsiders can find out about local users: the same words at the same time, whatever there is to hide.

use super::*;
use crate::translate::error::standard_condition;

/// Answers that would show whether an account exists, is in use or has refused.
const TELLING: [u16; 14] = [300, 302, 380, 403, 404, 410, 480, 484, 485, 486, 487, 600, 603, 604];

/// An engine with a partner of each type.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.change(|settings| {
        let litware = DomainName::parse("litware.example").unwrap();
        settings.domains.add_partner(&litware, &[], PartnerType::PublicVerified);
        settings.partner_domains.push(litware);
    });
    rig
}

/// alice adds eve.
fn add_eve(rig: &mut Rig) {
    rig.receive_text(
        "SUBSCRIBE sip:eve@wingtip.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKadd\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=add\nTo: <sip:eve@wingtip.example>\nCall-ID: add\nCSeq: 1 SUBSCRIBE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nEvent: presence\nExpires: 3600\nContent-Length: 0\n\n",
    );
    rig.out.sip.clear();
    rig.out.stanzas.clear();
}

/// What the sender of a message hears when the pool answers like this.
fn told(rig: &mut Rig, from: &str, code: u16) -> String {
    rig.message(from, "hello");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::new(code).unwrap());
    text(&rig.stanza_ends(Outcome::Done))
}

// Rule: oracle.answer
#[test]
fn public_partners_hear_the_same_whatever_the_pool_knows_of_the_user() {
    for from in ["carol@litware.example/x", "eve@wingtip.example/x"] {
        for code in TELLING {
            let mut rig = rig();
            add_eve(&mut rig);
            let expected = format!(
                "<message xmlns='jabber:server' from='alice@contoso.example' to='{from}' id='m1' type='error'>\
                 <error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
            );
            assert_eq!(told(&mut rig, from, code), expected, "{code}");
        }
    }
}

// Nor does any other answer bring them words of the inside.
// Rule: type.notes
#[test]
fn no_reason_phrase_reaches_a_public_partner() {
    for code in (300..=606).filter(|code| *code != 503 && Status::new(*code).is_some()) {
        let mut rig = rig();
        add_eve(&mut rig);
        for from in ["carol@litware.example/x", "eve@wingtip.example/x"] {
            let error = told(&mut rig, from, code);
            assert!(!error.contains("<text"), "{code} {error}");
        }
    }
}

// RFC 7247 section 7.2, with the exceptions that `translate::error` gives the reasons of.
#[test]
fn federated_partners_hear_what_the_table_says() {
    for code in (300..=606).filter(|code| ![300, 301, 302, 305, 401, 407, 408, 503].contains(code)) {
        let Some(status) = Status::new(code) else { continue };
        let Some(condition) = standard_condition(status.code()) else { continue };
        let error = told(&mut rig(), "bob@fabrikam.example/x", code);
        assert!(error.contains(&format!("<{} xmlns=", condition.as_str())), "{code} {error}");
    }
}

/// What a stranger may try.
const TRIES: [(StanzaKind, &str); 12] = [
    (StanzaKind::Presence, "type='subscribe'>"),
    (StanzaKind::Presence, "type='unsubscribe'>"),
    (StanzaKind::Presence, "type='subscribed'>"),
    (StanzaKind::Presence, "type='probe' id='p'>"),
    (StanzaKind::Presence, "><show>away</show>"),
    (StanzaKind::Message, "type='chat' id='m'><body>hello</body><request xmlns='urn:xmpp:receipts'/>"),
    (StanzaKind::Message, "type='headline'><body>hello</body>"),
    (StanzaKind::Message, "type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>"),
    (StanzaKind::Message, "type='groupchat' id='g'><body>hello</body>"),
    (StanzaKind::Iq, "type='get' id='i'><ping xmlns='urn:xmpp:ping'/>"),
    (StanzaKind::Iq, "type='get' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/>"),
    (StanzaKind::Iq, "type='set' id='s'><vCard xmlns='vcard-temp'/>"),
];

/// Everything that leaves the engine within a minute of each try, with the moment at which it does.
fn heard_by_a_stranger(user: &str) -> Vec<String> {
    let mut rig = rig();
    let mut heard = Vec::new();
    for (kind, rest) in TRIES {
        rig.stanza(kind, "eve@wingtip.example/x", &format!("{user}@contoso.example"), rest);
        for second in 0..60 {
            heard.extend(rig.out.sip.drain(..).map(|(_, bytes, _)| format!("{second} {bytes:?}")));
            heard.extend(
                rig.out.stanzas.iter().map(|stanza| format!("{second} {}", text(stanza).replace(user, "USER"))),
            );
            heard.extend(rig.finished().into_iter().map(|seq| format!("{second} finished {seq}")));
            let keys = rig.out.stanzas.drain(..).map(|stanza| (stanza.key, Outcome::Done)).collect();
            rig.handle(Input::Link(LinkEvent::Outcomes(keys)));
            rig.now.instant += Duration::from_secs(1);
            rig.now.unix_ms += 1_000;
            rig.handle(Input::DeadlinePassed);
            // Whatever has fallen due.
            rig.out.claim_due = None;
            let due = rig.stored.values().filter(|pair| pair.due_at.is_some_and(|at| at <= rig.now.unix_ms));
            let due: Vec<Pair> = due.cloned().collect();
            rig.handle(Input::Claimed(Ok(due)));
            rig.settle();
        }
    }
    heard
}

// Rule: oracle.answer, oracle.time
#[test]
fn a_stranger_hears_the_same_at_the_same_time_of_anybody_and_sip_hears_nothing() {
    let of_alice = heard_by_a_stranger("alice");
    assert_eq!(of_alice, heard_by_a_stranger("nobody"));
    assert!(of_alice.iter().all(|said| !said.contains("SIP/2.0")), "{of_alice:#?}");
    // At once, or never.
    assert!(of_alice.iter().all(|said| said.starts_with("0 ") || said.starts_with("1 finished")), "{of_alice:#?}");
    let answers = of_alice.iter().filter(|said| !said.contains("finished")).count();
    assert_eq!(answers, 6, "{of_alice:#?}");
}
