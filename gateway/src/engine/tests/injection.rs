//! No text of an XMPP user makes a header, or a line, of its own in SIP (RFC 3261, section 25.1).

use super::*;
use crate::chat::MessageSettings;

/// What somebody might try who wants a header of his own. NUL is no character of XML, and no edge lets it through; here
/// it is tried all the same.
const HOSTILE: [&str; 9] = [
    "a\r\nEvil: 1",
    "a\nEvil: 1",
    "a\rEvil: 1",
    "\r\n\r\nINVITE sip:evil@contoso.example SIP/2.0\r\n",
    "a\0Evil: 1",
    "a\u{85}Evil: 1",
    "a\u{2028}Evil: 1",
    "a>;tag=evil, <sip:evil@contoso.example",
    "\"; evil=\"1",
];

/// The text as the canonical form writes it, in attributes and between tags.
fn written(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#xD;"),
            '\n' => out.push_str("&#xA;"),
            c => out.push(c),
        }
    }
    out
}

/// The names of the headers that went to SIP, after the head was found to be made of whole lines.
fn headers(rig: &mut Rig) -> Vec<Vec<String>> {
    let sent = std::mem::take(&mut rig.out.sip);
    sent.into_iter()
        .map(|(_, bytes, _)| {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
            let head = std::str::from_utf8(&bytes[..end]).unwrap();
            let lines: Vec<&str> = head.split("\r\n").collect();
            for line in &lines {
                assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
            }
            lines[1..].iter().map(|line| line.split_once(':').unwrap().0.to_owned()).collect()
        })
        .collect()
}

/// The header names of a MESSAGE with everything that a stanza can give it.
fn of_message(settings: &MessageSettings, text: &str) -> Vec<Vec<String>> {
    let mut rig = Rig::new();
    rig.change(|all| all.messages = settings.clone());
    let text = written(text);
    rig.stanza(
        StanzaKind::Message,
        "bob@fabrikam.example/desk",
        "alice@contoso.example",
        &format!(
            "type='chat' id='{text}' xml:lang='{text}'><subject>{text}</subject><thread>{text}</thread>\
             <body xml:lang='{text}'>{text}</body><request xmlns='urn:xmpp:receipts'/>\
             <delay xmlns='urn:xmpp:delay' from='fabrikam.example' stamp='{text}'/>"
        ),
    );
    headers(&mut rig)
}

// Rule: sip.injection
#[test]
fn no_text_of_a_message_makes_a_header() {
    for cpim_to_pool in [false, true] {
        let settings = MessageSettings { cpim_to_pool, ..MessageSettings::default() };
        let most = of_message(&settings, "en");
        assert_eq!(most.len(), 1, "{most:?}");
        for text in HOSTILE {
            for message in of_message(&settings, text) {
                assert!(message.iter().all(|name| most[0].contains(name)), "{text:?}: {message:?}");
                assert!(message.len() <= most[0].len(), "{text:?}: {message:?}");
            }
        }
    }
}

// Wrapped text has headers of its own (RFC 3862, section 2.3).
// Rule: sip.injection
#[test]
fn no_text_makes_a_header_of_a_wrapping() {
    let settings = MessageSettings { cpim_to_pool: true, ..MessageSettings::default() };
    for text in HOSTILE {
        let mut rig = Rig::new();
        rig.change(|all| all.messages = settings.clone());
        let subject = written(text);
        let rest = format!(
            "type='chat' id='{subject}'><subject>{subject}</subject><body>hi</body><request xmlns='urn:xmpp:receipts'/>"
        );
        rig.stanza(StanzaKind::Message, "bob@fabrikam.example/desk", "alice@contoso.example", &rest);
        for request in rig.requests() {
            let body = std::str::from_utf8(&request.body).unwrap().to_owned();
            let (head, _) = body.split_once("\r\n\r\n").unwrap_or((&body, ""));
            for line in head.split("\r\n") {
                assert!(!line.contains(['\r', '\n', '\0']) && !line.starts_with("Evil"), "{text:?}: {line:?}");
            }
        }
    }
}

// Rule: sip.injection
#[test]
fn no_text_of_presence_makes_a_header() {
    for text in HOSTILE {
        let mut rig = Rig::new();
        rig.receive_text(
            "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKs\nMax-Forwards: 70\n\
             From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: s\nCSeq: 1 SUBSCRIBE\n\
             Contact: <sip:alice@127.0.0.9;transport=tcp>\nEvent: presence\nExpires: 3600\nContent-Length: 0\n\n",
        );
        let most = headers(&mut rig).pop().unwrap();
        let text = written(text);
        let bob = "bob@fabrikam.example/desk";
        rig.stanza(StanzaKind::Presence, "bob@fabrikam.example", "alice@contoso.example", "type='subscribed'>");
        rig.now.unix_ms += 60_000;
        let rest =
            format!("xml:lang='{text}' id='{text}'><status xml:lang='{text}'>{text}</status><show>{text}</show>");
        rig.stanza(StanzaKind::Presence, bob, "alice@contoso.example", &rest);
        for notify in headers(&mut rig) {
            let known =
                |name: &String| most.contains(name) || ["Content-Type", "Content-Language"].contains(&name.as_str());
            assert!(notify.iter().all(known), "{text:?}: {notify:?}");
        }
    }
}

// RFC 7622 sections 3.3.1 and 3.4.1: what cannot be in an address cannot come from one.
// Rule: sip.injection
#[test]
fn an_address_holds_no_control_character() {
    for c in ['\r', '\n', '\0', '\u{85}', '\u{2028}', '\u{7f}'] {
        for address in [
            format!("b{c}b@fabrikam.example/desk"),
            format!("bob@fabri{c}kam.example"),
            format!("bob@fabrikam.example/a{c}b"),
        ] {
            assert!(Jid::parse(&address).is_err(), "{address:?}");
        }
    }
}
