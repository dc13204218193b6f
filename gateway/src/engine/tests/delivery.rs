//! Where a stanza goes by the form of its address (RFC 6121, section 8.5): to a user who may not exist, to the bare
//! address, to a device that was shown and to one that was not.

use causeway_shared::jid::BareJid;

use super::*;
use crate::presence::record::{InAuthorisation, OutAuthorisation};
use crate::translate::presence::ResourcePresence;

const BOB: &str = "bob@fabrikam.example/desk";
/// The bare address, a device that bob was shown, one that he was not.
const ADDRESSES: [&str; 3] = ["alice@contoso.example", "alice@contoso.example/pc", "alice@contoso.example/tablet"];

fn key() -> PairKey {
    PairKey {
        local: BareJid::parse("alice@contoso.example").unwrap(),
        remote: BareJid::parse("bob@fabrikam.example").unwrap(),
    }
}

/// Alice shows bob her device `pc`, and what else a test wants.
fn rig(change: impl FnOnce(&mut Pair)) -> Rig {
    let mut rig = Rig::new();
    rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribe'>");
    let mut pair = rig.stored.remove(&key()).unwrap();
    pair.inbound.authorisation = InAuthorisation::Authorised;
    pair.inbound.resources =
        vec![ResourcePresence { resource: "pc".to_owned(), available: true, ..ResourcePresence::default() }];
    change(&mut pair);
    let mut rig = Rig::new();
    rig.stored.insert(key(), pair);
    rig
}

fn send(rig: &mut Rig, kind: StanzaKind, to: &str, rest: &str) -> u64 {
    rig.stanza(kind, BOB, to, rest)
}

// Rule: delivery.message
#[test]
fn a_message_goes_to_the_user_and_sip_chooses_his_devices() {
    for to in ADDRESSES {
        for kind in ["type='chat'", "type='normal'", "type='headline'", ""] {
            let mut rig = rig(|_| {});
            send(&mut rig, StanzaKind::Message, to, &format!("{kind} id='m1'><body>hello</body>"));
            let requests = rig.requests();
            assert_eq!(requests.len(), 1, "{to} {kind}");
            assert_eq!(requests[0].uri.as_str(), "sip:alice@contoso.example", "{to} {kind}");
        }
    }
}

// Rule: delivery.message, message.type.groupchat, message.type.error
#[test]
fn a_room_message_is_refused_and_an_error_ignored_whatever_the_address() {
    for to in ADDRESSES {
        let mut rig = rig(|_| {});
        let seq = send(&mut rig, StanzaKind::Message, to, "type='groupchat' id='m1'><body>hello</body>");
        let answer = text(&rig.stanza_ends(Outcome::Done));
        assert!(answer.contains("<service-unavailable") && answer.contains(&format!("from='{to}'")), "{answer}");
        let error = "type='error' id='m1'><error type='cancel'/>";
        let other = send(&mut rig, StanzaKind::Message, to, error);
        assert_eq!((rig.finished(), rig.out.stanzas.len(), rig.sent().len()), (vec![seq, other], 0, 0));
    }
}

// Rule: delivery.unknown, message.type.headline
#[test]
fn a_headline_to_nobody_is_silent_and_other_messages_come_back() {
    for (kind, is_answered) in [("headline", false), ("chat", true), ("normal", true)] {
        let mut rig = Rig::new();
        let rest = format!("type='{kind}' id='m1'><body>hello</body>");
        let seq = rig.stanza(StanzaKind::Message, BOB, "nobody@contoso.example", &rest);
        let request = rig.requests().remove(0);
        rig.answer(&request, Status::NOT_FOUND);
        assert_eq!(rig.out.stanzas.len(), usize::from(is_answered), "{kind}");
        if is_answered {
            let answer = text(&rig.stanza_ends(Outcome::Done));
            assert!(answer.contains("from='nobody@contoso.example'"), "{answer}");
        }
        assert_eq!(rig.finished(), [seq]);
    }
}

// Rule: delivery.unknown
#[test]
fn presence_to_somebody_without_a_dialog_is_silent() {
    for to in ["nobody@contoso.example", "nobody@contoso.example/pc"] {
        for kind in ["", "type='unavailable'", "type='subscribed'", "type='unsubscribe'", "type='unsubscribed'"] {
            let mut rig = Rig::new();
            let seq = rig.stanza(StanzaKind::Presence, BOB, to, &format!("{kind}>"));
            assert_eq!((rig.finished(), rig.out.stanzas.len(), rig.sent().len()), (vec![seq], 0, 0), "{to} {kind}");
            assert!(rig.stored.values().all(Pair::is_blank), "{:?}", rig.stored);
        }
    }
}

// Rule: delivery.presence, in.subscribe.full
#[test]
fn a_subscription_to_a_device_is_one_to_the_user() {
    for to in ["carol@contoso.example", "carol@contoso.example/pc"] {
        let mut rig = Rig::new();
        rig.stanza(StanzaKind::Presence, BOB, to, "type='subscribe'>");
        let requests = rig.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].method.as_str(), "SUBSCRIBE");
        assert_eq!(requests[0].uri.as_str(), "sip:carol@contoso.example");
    }
}

// Rule: delivery.presence
#[test]
fn presence_for_a_device_that_was_not_shown_is_ignored() {
    for (kind, before) in [
        ("type='subscribed'", OutAuthorisation::PendingOut),
        ("type='unsubscribed'", OutAuthorisation::To),
        ("type='unsubscribe'", OutAuthorisation::None),
        ("", OutAuthorisation::To),
    ] {
        for (to, is_taken) in ADDRESSES.into_iter().zip([true, true, false]) {
            let mut rig = rig(|pair| pair.outbound.authorisation = before);
            let mut stored = rig.stored[&key()].clone();
            let seq = send(&mut rig, StanzaKind::Presence, to, &format!("{kind}>"));
            assert_eq!(rig.finished(), [seq]);
            let after = &rig.stored[&key()];
            stored.version = after.version;
            assert_eq!(*after != stored, is_taken, "{kind} to {to}");
        }
    }
}

// Rule: message.type.headline, message.type.error, iq.one-answer
#[test]
fn what_is_never_answered_is_not_answered_either_when_the_store_fails() {
    let error =
        || StoreError { place: "x.sqlite".into(), fault: crate::store::StoreFault::Corrupt, detail: "row".into() };
    for (kind, rest, is_answered) in [
        (StanzaKind::Message, "type='headline' id='m1'><body>hello</body>", false),
        (StanzaKind::Message, "type='error' id='m1'><body>hello</body><error type='cancel'/>", false),
        (StanzaKind::Message, "type='chat' id='m1'><body>hello</body>", true),
        (StanzaKind::Iq, "type='result' id='m1'>", false),
        (StanzaKind::Iq, "type='get' id='m1'><ping xmlns='urn:xmpp:ping'/>", true),
    ] {
        let mut rig = Rig::new();
        rig.is_store_mute = true;
        rig.stanza(kind, "eve@wingtip.example/phone", "alice@contoso.example", rest);
        for key in std::mem::take(&mut rig.out.loads) {
            rig.handle(Input::Loaded(key, Err(error())));
        }
        let answers: Vec<_> = rig.out.stanzas.iter().map(text).collect();
        assert_eq!(answers.len(), usize::from(is_answered), "{rest}");
        assert!(answers.iter().all(|answer| answer.contains("resource-constraint") && answer.contains("id='m1'")));
    }
}

// Rule: delivery.domain
#[test]
fn a_domain_has_no_inbox_and_no_presence() {
    let mut rig = Rig::new();
    for (kind, rest, is_answered) in [
        (StanzaKind::Message, "type='chat' id='m1'><body>hello</body>", true),
        (StanzaKind::Message, "type='headline' id='m1'><body>hello</body>", false),
        (StanzaKind::Presence, "type='subscribe'>", false),
        (StanzaKind::Presence, "type='probe'>", false),
        (StanzaKind::Presence, ">", false),
    ] {
        for to in ["contoso.example", "contoso.example/x"] {
            let seq = rig.stanza(kind, BOB, to, rest);
            assert_eq!((rig.out.stanzas.len(), rig.sent().len()), (usize::from(is_answered), 0), "{rest}");
            if is_answered {
                assert!(text(&rig.stanza_ends(Outcome::Done)).contains("<service-unavailable"));
            }
            assert_eq!(rig.finished(), [seq]);
        }
    }
}
