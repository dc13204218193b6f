use super::*;
use crate::iq;
use crate::translate::presence::read_presence;

fn contact() -> EchoContact {
    let greeting = |lang: &str, text: &str| Note { lang: Some(lang.to_owned()), text: text.to_owned() };
    let greetings = vec![greeting("en", "I repeat what you say"), greeting("de", "Ich wiederhole alles")];
    EchoContact::new(BareJid::parse("echo@contoso.example").unwrap(), Some("Echo".to_owned()), greetings).unwrap()
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn text(xml: &Bytes) -> String {
    String::from_utf8(xml.to_vec()).unwrap()
}

/// What the contact says to presence: sender, addressee and type.
fn said(kind: PresenceKind, from: &str) -> Vec<(String, String, PresenceKind)> {
    let said = contact().presence(kind, &jid(from));
    said.iter()
        .map(|(from, to, xml)| {
            let read = read_presence(xml, from, to).unwrap();
            let node = Node::parse(xml).unwrap();
            assert_eq!(node.attribute("from").unwrap(), from.as_str());
            assert_eq!(node.attribute("to").unwrap(), to.as_str());
            (from.as_str().to_owned(), to.as_str().to_owned(), read.kind)
        })
        .collect()
}

const BARE: &str = "echo@contoso.example";
const DEVICE: &str = "echo@contoso.example/echo";
const BOB: &str = "bob@fabrikam.example";

fn says(from: &str, kind: PresenceKind) -> (String, String, PresenceKind) {
    (from.to_owned(), BOB.to_owned(), kind)
}

// RFC 6121, section 3.1.3.
// Rule: echo.add
#[test]
fn a_request_is_approved_and_presence_follows() {
    let expected = [says(BARE, PresenceKind::Subscribed), says(DEVICE, PresenceKind::Available)];
    assert_eq!(said(PresenceKind::Subscribe, "bob@fabrikam.example/desk"), expected);
}

// RFC 6121, section 4.3.2.
// Rule: echo.presence
#[test]
fn whoever_asks_for_presence_gets_it_though_nothing_is_remembered() {
    assert_eq!(said(PresenceKind::Probe, BOB), [says(DEVICE, PresenceKind::Available)]);
}

// RFC 6121, section 3.3.3.
// Rule: echo.presence
#[test]
fn who_goes_is_told_that_the_contact_is_gone() {
    let expected = [says(DEVICE, PresenceKind::Unavailable), says(BARE, PresenceKind::Unsubscribed)];
    assert_eq!(said(PresenceKind::Unsubscribe, BOB), expected);
}

// Rule: echo.presence
#[test]
fn other_presence_has_no_answer() {
    for kind in [
        PresenceKind::Available,
        PresenceKind::Unavailable,
        PresenceKind::Subscribed,
        PresenceKind::Unsubscribed,
        PresenceKind::Error,
    ] {
        assert_eq!(said(kind, BOB), []);
    }
}

// Rule: echo.add
#[test]
fn its_presence_greets_in_each_language_and_announces_a_program() {
    let (_, _, xml) = contact().presence(PresenceKind::Probe, &jid(BOB)).remove(0);
    let xml = text(&xml);
    for part in [
        "<status xml:lang='en'>I repeat what you say</status>",
        "<status xml:lang='de'>Ich wiederhole alles</status>",
        "<c xmlns='http://jabber.org/protocol/caps'",
    ] {
        assert!(xml.contains(part), "{xml}");
    }
}

const KEY: StanzaKey = StanzaKey { origin: 7, key: 9 };

fn message(attributes: &str, children: &str) -> String {
    format!("<message xmlns='jabber:server' from='{BOB}/desk' to='{BARE}' {attributes}>{children}</message>")
}

fn echoed(attributes: &str, children: &str) -> Echo {
    contact().message(message(attributes, children).as_bytes(), &jid("bob@fabrikam.example/desk"), KEY)
}

/// The one message that comes back.
fn one(attributes: &str, children: &str) -> String {
    match echoed(attributes, children) {
        Echo::Messages(messages) if messages.len() == 1 => text(&messages[0]),
        other => panic!("{other:?}"),
    }
}

// Rule: echo.message
#[test]
fn the_text_comes_back_with_its_type_thread_and_language() {
    let xml = one(
        "type='chat' id='m1' xml:lang='en'",
        "<subject>s</subject><body>1 &lt; 2 &amp; 👋</body><body xml:lang='de'>zwei</body>\
         <thread parent='p&apos;'>t1</thread>",
    );
    let node = Node::parse(xml.as_bytes()).unwrap();
    let attribute = |name| node.attribute(name).unwrap().into_owned();
    assert_eq!((attribute("from"), attribute("to")), (DEVICE.to_owned(), "bob@fabrikam.example/desk".to_owned()));
    assert_eq!((attribute("type"), attribute("xml:lang")), ("chat".to_owned(), "en".to_owned()));
    let bodies: Vec<_> = node.children().filter(|child| child.name() == "body").collect();
    assert_eq!((bodies[0].text().as_ref(), bodies[0].attribute("xml:lang")), ("1 < 2 & 👋", None));
    assert_eq!((bodies[1].text().as_ref(), bodies[1].attribute("xml:lang").unwrap().as_ref()), ("zwei", "de"));
    let thread = node.child(SERVER, "thread").unwrap();
    assert_eq!((thread.text().as_ref(), thread.attribute("parent").unwrap().as_ref()), ("t1", "p'"));
    let xml = one("id='m1'", "<body>a normal one</body>");
    assert_eq!(Node::parse(xml.as_bytes()).unwrap().attribute("type"), None);
}

// Rule: echo.message
#[test]
fn the_same_stanza_delivered_twice_has_the_same_answer() {
    assert_eq!(one("type='chat'", "<body>x</body>"), one("type='chat'", "<body>x</body>"));
}

// XEP-0184, section 5.
// Rule: echo.receipt
#[test]
fn a_receipt_that_was_asked_for_comes_before_the_text() {
    let asked = "<body>x</body><request xmlns='urn:xmpp:receipts'/>";
    let Echo::Messages(messages) = echoed("type='chat' id='m&apos;1'", asked) else { panic!("nothing came back") };
    assert_eq!(messages.len(), 2);
    let (receipt, echo) = (text(&messages[0]), text(&messages[1]));
    assert!(receipt.contains("<received xmlns='urn:xmpp:receipts' id='m&apos;1'/>"), "{receipt}");
    assert!(!receipt.contains("<body") && !echo.contains("urn:xmpp:receipts"), "{echo}");
    // Without an id there is nothing to confirm.
    assert!(matches!(echoed("type='chat'", asked), Echo::Messages(messages) if messages.len() == 1));
}

// Rule: echo.no-loop
#[test]
fn what_is_no_text_of_a_person_just_now_is_not_sent_back() {
    for (attributes, children) in [
        ("type='chat'", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
        ("type='chat'", "<received xmlns='urn:xmpp:receipts' id='x'/>"),
        ("type='chat'", ""),
        ("type='chat'", "<body> \n</body>"),
        ("type='error'", "<body>x</body><error type='cancel'/>"),
        ("type='headline'", "<body>x</body>"),
        ("type='chat'", "<body>x</body><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"),
        ("", "<body>x</body><x xmlns='jabber:x:delay' stamp='20260101T00:00:00'/>"),
    ] {
        assert_eq!(echoed(attributes, children), Echo::Silence, "{attributes} {children}");
    }
    assert_eq!(contact().message(b"<presence/>", &jid(BOB), KEY), Echo::Silence);
    assert_eq!(contact().message(b"<<", &jid(BOB), KEY), Echo::Silence);
}

// RFC 6121, section 8.5.2.1.1.
// Rule: echo.message
#[test]
fn it_is_no_room() {
    assert_eq!(
        echoed("type='groupchat'", "<body>x</body>"),
        Echo::Refusal(StanzaError::from(StanzaCondition::ServiceUnavailable))
    );
}

// Rule: echo.no-loop
#[test]
fn two_echo_contacts_do_not_talk_to_each_other() {
    let other = EchoContact::new(BareJid::parse("echo@fabrikam.example").unwrap(), None, Vec::new()).unwrap();
    let asked = "<body>x</body><request xmlns='urn:xmpp:receipts'/>";
    let first = message("type='chat' id='m1'", asked);
    let Echo::Messages(messages) = contact().message(first.as_bytes(), other.device(), KEY) else {
        panic!("nothing came back")
    };
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert_eq!(other.message(&message, contact().device(), KEY), Echo::Silence);
    }
    // Nor does it talk to itself.
    assert_eq!(contact().message(first.as_bytes(), &jid(DEVICE), KEY), Echo::Silence);
}

// Rule: echo.iq
#[test]
fn it_answers_questions_as_a_contact_who_lets_himself_be_seen() {
    let contact = contact();
    let ask = |to: &str, payload: &str| {
        let xml = format!("<iq xmlns='jabber:server' type='get' id='q'>{payload}</iq>");
        let to = jid(to);
        text(&iq::answer(xml.as_bytes(), &jid(BOB), &to, contact.addressee(&to)).unwrap().xml)
    };
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    assert!(ask(BARE, info).contains("category='account' type='registered'"));
    assert!(ask(DEVICE, info).contains("category='client' type='bot'"));
    assert!(ask(BARE, "<vCard xmlns='vcard-temp'/>").contains("<FN>Echo</FN>"));
    assert!(ask(BARE, "<ping xmlns='urn:xmpp:ping'/>").contains("type='result'"));
    for (to, payload) in
        [(BARE, "<query xmlns='jabber:iq:version'/>"), ("echo@contoso.example/other", "<ping xmlns='urn:xmpp:ping'/>")]
    {
        assert!(ask(to, payload).contains("service-unavailable"), "{to} {payload}");
    }
}

#[test]
fn only_its_own_address_is_its_own() {
    for (to, is_its) in [
        (BARE, true),
        (DEVICE, true),
        ("echo@contoso.example/x", true),
        ("echo2@contoso.example", false),
        ("contoso.example", false),
        ("echo@fabrikam.example", false),
    ] {
        assert_eq!(contact().is(&jid(to)), is_its, "{to}");
    }
}

proptest::proptest! {
    // Rule: echo.message, echo.no-loop
    #[test]
    fn any_text_comes_back_as_it_was_and_never_a_second_time(text in "\\PC{1,60}", thread in "\\PC{0,20}") {
        let mut children = String::from("<body>");
        push_text(&mut children, &text);
        children.push_str("</body><thread>");
        push_text(&mut children, &thread);
        children.push_str("</thread>");
        match echoed("type='chat' id='m1'", &children) {
            Echo::Messages(messages) => {
                let node = Node::parse(&messages[0]).unwrap();
                let sent = message("type='chat' id='m1'", &children);
                let sent = Node::parse(sent.as_bytes()).unwrap();
                for name in ["body", "thread"] {
                    let [sent, back] = [sent, node].map(|node| node.child(SERVER, name).unwrap().text());
                    proptest::prop_assert_eq!(sent, back);
                }
                let again = contact().message(&messages[0], &jid("echo@fabrikam.example/echo"), KEY);
                proptest::prop_assert_eq!(again, Echo::Silence);
            }
            silence => {
                proptest::prop_assert_eq!(silence, Echo::Silence);
                proptest::prop_assert!(text.trim().is_empty());
            }
        }
    }

    #[test]
    fn no_bytes_panic(text in "[<>/a-c='\" &;#x0-9!]{0,80}") {
        for xml in [text.clone(), format!("<message>{text}</message>"), format!("<message {text}/>")] {
            let _any = contact().message(xml.as_bytes(), &jid(BOB), KEY);
        }
    }
}
