use super::*;
use crate::body::cpim::{Fields, Wishes};

fn bob() -> Jid {
    Jid::parse("bob@fabrikam.example/desk").unwrap()
}

fn alice() -> Jid {
    Jid::parse("alice@contoso.example").unwrap()
}

fn with<T>(inner: &str, look: impl FnOnce(&StanzaContent<'_>) -> T) -> T {
    let xml = format!("<message xmlns='jabber:server' id='m1'{inner}</message>");
    look(&StanzaContent::read(xml.as_bytes(), &bob()).unwrap())
}

fn meaning(inner: &str) -> Meaning {
    with(inner, |content| content.meaning())
}

const STATES: &str = "http://jabber.org/protocol/chatstates";

#[test]
fn all_parts_are_found_in_one_pass() {
    let inner = format!(
        " type='chat' xml:lang='en'><body>Hi</body><subject>S</subject><thread>t</thread><composing xmlns='{STATES}'/>\
         <request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>\
         <delay xmlns='urn:xmpp:delay' from='bob@fabrikam.example' stamp='2030-01-15T09:30:00Z'/>"
    );
    with(&inner, |content| {
        assert_eq!((content.id.as_deref(), content.message_type), (Some("m1"), MessageType::Chat));
        assert_eq!((content.body.as_deref(), content.subject.as_deref()), (Some("Hi"), Some("S")));
        assert_eq!((content.thread.as_deref(), content.lang.as_deref()), (Some("t"), Some("en")));
        assert_eq!(content.chat_state, Some(ChatState::Composing));
        assert!(content.wants_receipt && content.is_markable);
        assert_eq!(content.sent_ms, Some(1_894_699_800_000));
        assert_eq!(content.meaning(), Meaning::Text);
    });
}

// Rule: message.type.nothing, message.subject-only
#[test]
fn signals_are_told_from_what_says_nothing() {
    for state in ["active", "composing", "paused", "inactive", "gone"] {
        assert_eq!(meaning(&format!(" type='chat'><{state} xmlns='{STATES}'/>")), Meaning::Signal, "{state}");
    }
    assert_eq!(meaning("><received xmlns='urn:xmpp:receipts' id='x'/>"), Meaning::Signal);
    assert_eq!(meaning("><displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>"), Meaning::Signal);
    for nothing in [
        ">",
        "><body/>",
        "><body> \n </body>",
        "><received xmlns='urn:xmpp:receipts'/>",
        "><received xmlns='urn:xmpp:chat-markers:0' id='x'/>",
        "><reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>+</reaction></reactions>",
        "><x xmlns='jabber:x:conference' jid='room@muc.fabrikam.example'/>",
        "><store xmlns='urn:xmpp:hints'/>",
        " type='chat'><subject>x</subject>",
    ] {
        assert_eq!(meaning(nothing), Meaning::Nothing, "{nothing}");
    }
    assert_eq!(meaning("><subject>News</subject>"), Meaning::Text);
}

// Rule: message.encrypted
#[test]
fn a_text_that_stands_in_for_something_encrypted_is_no_text() {
    let fallback = "><body>This message is encrypted.</body>";
    for (payload, expected) in [
        (
            "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>x</payload></encrypted>",
            Encryption::Omemo,
        ),
        ("<encrypted xmlns='urn:xmpp:omemo:1'><header sid='1'/><payload>x</payload></encrypted>", Encryption::Omemo),
        (
            "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2'/><encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/>\
             <payload>x</payload></encrypted>",
            Encryption::Omemo,
        ),
        ("<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>", Encryption::OpenPgp),
        ("<x xmlns='jabber:x:encrypted'>x</x>", Encryption::LegacyPgp),
        ("<encryption xmlns='urn:xmpp:eme:0' namespace='urn:new'/>", Encryption::Other),
    ] {
        assert_eq!(meaning(&format!("{fallback}{payload}")), Meaning::Encrypted(expected), "{payload}");
        assert_eq!(meaning(&format!(">{payload}")), Meaning::Encrypted(expected), "{payload}");
    }
    for text in ["?OTR:AAMC", "?OTR,1,3,?OTR:AAMC,", "?OTR|27e31597|f3a2c5b1,1,3,?OTR:AAMC,"] {
        assert_eq!(meaning(&format!("><body>{text}</body>")), Meaning::Encrypted(Encryption::Otr));
    }
    assert_eq!(meaning("><body>?OTRv2? Bob wants to talk in private</body>"), Meaning::Text);
    assert_eq!(meaning("><body>signed</body><x xmlns='jabber:x:signed'>x</x>"), Meaning::Text);
}

// XEP-0384, section 4.6.
// Rule: message.encrypted
#[test]
fn keys_without_a_text_are_nothing() {
    let keys =
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='2'>x</key></header></encrypted>";
    assert_eq!(meaning(&format!(">{keys}<store xmlns='urn:xmpp:hints'/>")), Meaning::Nothing);
    let eme = "<encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/>";
    for keys in [format!("{eme}{keys}"), format!("{keys}{eme}")] {
        assert_eq!(meaning(&format!(">{keys}")), Meaning::Nothing);
    }
}

#[test]
fn what_is_no_message_is_not_read() {
    for xml in [&b"<iq xmlns='jabber:server'/>"[..], b"<message xmlns='jabber:client'/>", b"x", b""] {
        assert!(StanzaContent::read(xml, &bob()).is_none());
    }
}

#[test]
fn a_stanza_that_is_written_is_read_back() {
    let (from, to) = (bob(), alice());
    let stanza = MessageStanza {
        id: Some("a'b"),
        is_chat: true,
        lang: Some("de"),
        subject: Some("S & T"),
        body: Some("Gr\u{fc}\u{df}e <\u{1}"),
        xhtml: Some("<em>x</em>"),
        thread: Some("t"),
        chat_state: Some(ChatState::Active),
        wants_receipt: true,
        is_markable: true,
        received: Some("r"),
        displayed: Some("d"),
        sent_ms: Some(1_894_699_800_000),
        ..MessageStanza::new(&from, &to)
    };
    let xml = stanza.to_xml();
    let read = StanzaContent::read(&xml, &from).unwrap();
    assert_eq!(
        (read.id.as_deref(), read.message_type, read.lang.as_deref()),
        (Some("a'b"), MessageType::Chat, Some("de"))
    );
    assert_eq!((read.subject.as_deref(), read.body.as_deref()), (Some("S & T"), Some("Gr\u{fc}\u{df}e <")));
    assert_eq!((read.thread.as_deref(), read.chat_state), (Some("t"), Some(ChatState::Active)));
    assert_eq!((read.wants_receipt, read.is_markable), (true, true));
    assert_eq!((read.received.as_deref(), read.displayed.as_deref()), (Some("r"), Some("d")));
    assert_eq!(read.sent_ms, Some(1_894_699_800_000));
    let empty = MessageStanza::new(&from, &to).to_xml();
    assert_eq!(
        empty,
        "<message xmlns='jabber:server' from='bob@fabrikam.example/desk' to='alice@contoso.example'></message>"
    );
}

// Rule: imdn.read, receipt.asked
#[test]
fn the_fields_of_a_wrapping_become_parts_of_the_stanza() {
    let wrapping = Fields {
        subject: Some("Food".into()),
        message_id: Some("34jk".into()),
        date_time: Some("2030-01-15T09:20:00Z".into()),
        wishes: Wishes { delivered: true, failed: true, displayed: true },
        ..Fields::default()
    };
    let now = 1_894_699_800_000;
    let (from, to) = (alice(), bob());
    let mut text = Text { body: "Lunch?".into(), xhtml: None, wrapping: Some(Box::new(wrapping)) };
    let stanza = MessageStanza::new(&from, &to).with_text(&text, true, now);
    assert_eq!((stanza.id, stanza.subject, stanza.body), (Some("34jk"), Some("Food"), Some("Lunch?")));
    assert!(stanza.wants_receipt && stanza.is_markable);
    assert_eq!(stanza.sent_ms, Some(now - 600_000));
    assert!(!MessageStanza::new(&from, &to).with_text(&text, false, now).is_markable);
    text.wrapping.as_mut().unwrap().message_id = None;
    assert!(!MessageStanza::new(&from, &to).with_text(&text, true, now).wants_receipt);
}

// Rule: message.date
#[test]
fn a_time_is_told_if_it_is_past_and_believed_unless_it_is_far_ahead() {
    let (from, to) = (alice(), bob());
    let told = |sent| MessageStanza::new(&from, &to).with_date(sent, 1_000_000).sent_ms;
    assert_eq!((told(900_000), told(940_000), told(1_000_000)), (Some(900_000), None, None));
    assert_eq!((believable(1_300_000, 1_000_000), believable(1_300_001, 1_000_000)), (Some(1_300_000), None));
}

proptest::proptest! {
    #[test]
    fn no_input_panics(inner in "[<>/a-c=' &;:#x0-9!\u{fc}]{0,60}") {
        let xml = format!("<message xmlns='jabber:server'{inner}");
        let _ = StanzaContent::read(xml.as_bytes(), &bob()).map(|content| (content.meaning(), content.error()));
    }
}
