use super::*;
use crate::translate::canonical::{Node, SERVER};

const KEY: StanzaKey = StanzaKey { origin: 7, key: 42 };

fn desk() -> Jid {
    Jid::parse("bob@fabrikam.example/desk").unwrap()
}

fn alice() -> Jid {
    Jid::parse("alice@contoso.example").unwrap()
}

const NOW: u64 = 1_894_699_800_000;

fn translate(xml: &str, key: StanzaKey, max_bytes: usize) -> FromXmpp {
    let content = StanzaContent::read(xml.as_bytes(), &desk()).unwrap();
    message_to_sip(
        &content,
        &desk(),
        &alice(),
        &ToSipContext { key, max_bytes, may_stream: false, now_ms: NOW, wishes: None },
    )
}

fn to_sip(inner: &str) -> FromXmpp {
    translate(&format!("<message xmlns='jabber:server' id='m1'{inner}</message>"), KEY, MAX_BYTES_RELIABLE)
}

fn sent(inner: &str) -> Request {
    match to_sip(inner) {
        FromXmpp::Send(message) => message.request,
        other => panic!("{inner}: {other:?}"),
    }
}

fn header<'r>(request: &'r Request, name: &HeaderName) -> Option<&'r str> {
    request.headers.get(name).and_then(HeaderValue::as_str)
}

// RFC 7572 section 4, table 1.
// Rule: message.body, message.no-contact, message.language
#[test]
fn a_stanza_becomes_a_message_with_the_headers_of_the_table() {
    let request = sent(
        " type='chat' xml:lang='en'><body>Lunch at 12? \u{1f600} &lt;b&gt;</body><subject>Food</subject>\
         <thread>th-20300115-1</thread><active xmlns='http://jabber.org/protocol/chatstates'/>",
    );
    assert_eq!(request.method, Method::Message);
    assert_eq!(request.uri.as_str(), "sip:alice@contoso.example");
    let from = request.headers.from().unwrap();
    assert_eq!(from.uri.as_str(), "sip:bob@fabrikam.example;gr=desk");
    assert!(from.tag().is_some());
    assert_eq!(request.headers.to().unwrap().tag(), None);
    assert_eq!(header(&request, &HeaderName::To), Some("<sip:alice@contoso.example>"));
    assert_eq!(header(&request, &HeaderName::CallId), Some("th-20300115-1"));
    assert_eq!(header(&request, &HeaderName::Subject), Some("Food"));
    assert_eq!(header(&request, &HeaderName::ContentLanguage), Some("en"));
    assert_eq!(header(&request, &HeaderName::ContentType), Some("text/plain;charset=UTF-8"));
    assert_eq!(header(&request, &HeaderName::PAssertedIdentity), Some("<sip:bob@fabrikam.example>"));
    assert_eq!(request.body, "Lunch at 12? \u{1f600} <b>".as_bytes());
    // RFC 3428 section 4: no Contact.
    assert!(!request.headers.has(&HeaderName::Contact));
}

// Rule: message.cseq
#[test]
fn a_redelivered_stanza_makes_the_same_request() {
    let inner = "><body>Hi</body>";
    assert_eq!(sent(inner), sent(inner));
    let xml = "<message xmlns='jabber:server'><body>Hi</body></message>";
    let requests = [KEY, StanzaKey { key: 43, ..KEY }, StanzaKey { origin: 8, ..KEY }].map(|key| {
        match translate(xml, key, MAX_BYTES_UDP) {
            FromXmpp::Send(message) => (
                message.branch,
                message.request.headers.call_id().unwrap(),
                message.request.headers.from().unwrap().tag(),
            ),
            other => panic!("{other:?}"),
        }
    });
    assert!(requests[0] != requests[1] && requests[0] != requests[2]);
    assert!(requests[0].2 != requests[1].2 && requests[0].2 != requests[2].2);
}

// RFC 6121 section 5.2.2 and 8.5.
// Rule: message.type.groupchat, message.type.headline, message.type.error
#[test]
fn the_type_decides_what_happens() {
    for (inner, expected) in [
        (" type='chat'><body>x</body>", MessageType::Chat),
        (" type='normal'><body>x</body>", MessageType::Normal),
        (" type='frob'><body>x</body>", MessageType::Normal),
        (" type='headline'><body>x</body>", MessageType::Headline),
    ] {
        assert!(matches!(to_sip(inner), FromXmpp::Send(message) if message.message_type == expected), "{inner}");
    }
    let FromXmpp::Refuse(error) = to_sip(" type='groupchat'><body>x</body>") else { panic!() };
    assert_eq!(error.condition, StanzaCondition::ServiceUnavailable);
    let error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let FromXmpp::Error(error) = to_sip(&format!(" type='error'><body>x</body>{error}")) else { panic!() };
    assert_eq!(error.condition, StanzaCondition::ItemNotFound);
}

// Rule: message.type.nothing, message.subject-only
#[test]
fn what_has_no_text_disappears_without_an_error() {
    for inner in [
        "><reactions xmlns='urn:xmpp:reactions:0'/>",
        "><body/>",
        "><body> \n </body>",
        " type='chat'><subject>x</subject>",
        "><x xmlns='jabber:x:conference'><body>inner</body></x>",
    ] {
        assert!(matches!(to_sip(inner), FromXmpp::Nothing), "{inner}");
    }
    assert!(matches!(to_sip("><composing xmlns='http://jabber.org/protocol/chatstates'/>"), FromXmpp::Signal));
    assert_eq!(sent("><subject>News</subject>").body, "News");
}

// RFC 7572 section 8.
// Rule: message.body, message.language
#[test]
fn of_several_languages_the_stanzas_own_is_taken_else_the_first() {
    let bodies = "<body xml:lang='de'>Hallo</body><body xml:lang='en'>Hello</body><subject xml:lang='de'>D</subject><subject xml:lang='en'>E</subject>";
    let request = sent(&format!(" xml:lang='en'>{bodies}"));
    assert_eq!((request.body.as_ref(), header(&request, &HeaderName::Subject)), (&b"Hello"[..], Some("E")));
    assert_eq!(header(&request, &HeaderName::ContentLanguage), Some("en"));
    let request = sent(&format!(" xml:lang='fr'>{bodies}"));
    assert_eq!((request.body.as_ref(), header(&request, &HeaderName::ContentLanguage)), (&b"Hallo"[..], Some("de")));
    let request = sent(" xml:lang='fr'><body xml:lang='de'>Hallo</body><body>Salut</body>");
    assert_eq!(request.body, "Salut");
    assert_eq!(header(&sent(" xml:lang='e n\u{e9}'><body>x</body>"), &HeaderName::ContentLanguage), None);
}

// Rule: message.subject
#[test]
fn no_string_of_a_stanza_makes_a_header() {
    let request = sent(
        "><body>x</body><subject>a&#xd;&#xa;Route: &lt;sip:evil.example&gt;</subject><thread>t&#xd;&#xa;Via: x</thread>",
    );
    assert_eq!(header(&request, &HeaderName::Subject), Some("a  Route: <sip:evil.example>"));
    let mut wire = bytes::BytesMut::new();
    request.write(&mut wire);
    let text = String::from_utf8(wire.to_vec()).unwrap();
    assert!(!text.contains("\r\nRoute:") && !text.contains("\r\nVia:"), "{text}");
}

// Rule: message.thread
#[test]
fn a_thread_survives_as_the_call_id() {
    for thread in ["th-1", "e0ffe42b28561960c6b12b944a092794b9683a38", "a b", "\u{fc}\u{1f600}", "cwth-61", "a@b@c"] {
        let request = sent(&format!("><body>x</body><thread>{thread}</thread>"));
        let call_id = request.headers.call_id().unwrap();
        assert_eq!(call_id_to_thread(call_id.as_str()), thread);
    }
    let long = "\u{fc}".repeat(200);
    let request = sent(&format!("><body>x</body><thread>{long}</thread>"));
    assert!(request.headers.call_id().unwrap().as_str().len() <= MAX_CALL_ID);
    assert_eq!(call_id_to_thread("plain@host"), "plain@host");
    assert_eq!(call_id_to_thread("cwth-zz"), "cwth-zz");
}

// RFC 3428 section 8.
// Rule: message.size
#[test]
fn a_message_over_the_limit_is_a_policy_violation() {
    let with_body = |length: usize| {
        let xml = format!("<message xmlns='jabber:server'><body>{}</body></message>", "x".repeat(length));
        translate(&xml, KEY, MAX_BYTES_UDP)
    };
    let FromXmpp::Send(message) = with_body(1) else { panic!() };
    let overhead = message.request.wire_len() + TRANSPORT_HEADERS - 1;
    // The length of the body itself has more digits now.
    assert!(matches!(with_body(MAX_BYTES_UDP - overhead - 3), FromXmpp::Send(_)));
    let FromXmpp::Refuse(error) = with_body(MAX_BYTES_UDP - overhead + 1) else { panic!() };
    assert_eq!((error.kind, error.condition), (ErrorType::Modify, StanzaCondition::PolicyViolation));
    assert!(error.text.unwrap().contains("1300"));
}

// Rule: message.date
#[test]
fn a_stamp_of_the_senders_server_becomes_the_date() {
    let with_stamp = |by: &str| {
        sent(&format!("><body>x</body><delay xmlns='urn:xmpp:delay' from='{by}' stamp='2030-01-15T09:30:00Z'/>"))
    };
    assert_eq!(header(&with_stamp("fabrikam.example"), &HeaderName::Date), Some("Tue, 15 Jan 2030 09:30:00 GMT"));
    assert_eq!(header(&with_stamp("evil.example"), &HeaderName::Date), None);
    let ahead =
        sent("><body>x</body><delay xmlns='urn:xmpp:delay' from='fabrikam.example' stamp='2030-01-15T09:55:00Z'/>");
    assert_eq!(header(&ahead, &HeaderName::Date), None, "a wrong clock");
}

fn wrapped(body: &str, max_bytes: usize) -> Box<MessageToSip> {
    let xml = format!("<message xmlns='jabber:server' id='m1'><body>{body}</body></message>");
    let content = StanzaContent::read(xml.as_bytes(), &desk()).unwrap();
    let wishes = Some(Wishes { delivered: true, ..Wishes::default() });
    let context = ToSipContext { key: KEY, max_bytes, may_stream: false, now_ms: NOW, wishes };
    match message_to_sip(&content, &desk(), &alice(), &context) {
        FromXmpp::Send(message) => message,
        other => panic!("{other:?}"),
    }
}

// Rule: cpim.write, message.size
#[test]
fn a_text_that_fits_only_without_a_wrapping_goes_without() {
    let short = wrapped("x", MAX_BYTES_UDP);
    assert_eq!(
        (short.message_id.as_deref(), header(&short.request, &HeaderName::ContentType)),
        (Some("m1"), Some("message/cpim"))
    );
    let long = wrapped(&"x".repeat(600), MAX_BYTES_UDP);
    assert_eq!(
        (long.message_id, header(&long.request, &HeaderName::ContentType)),
        (None, Some("text/plain;charset=UTF-8"))
    );
}

fn sip(headers: &str, body: &str) -> Request {
    let text = format!(
        "MESSAGE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP pool.contoso.example;branch=z9hG4bK1\r\nFrom: <sip:alice@contoso.example>;tag=1\r\n\
         To: <sip:bob@fabrikam.example>\r\nCall-ID: c1@pool\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    use causeway_sip::{message::Message, parse};
    match parse::parse_datagram(Bytes::from(text)) {
        Ok(parse::Datagram::Message(Message::Request(request))) => request,
        other => panic!("{other:?}"),
    }
}

const CONTEXT: ToXmppContext<'_> = ToXmppContext {
    now_ms: NOW,
    is_chat: false,
    max_stanza_bytes: 10_000,
    with_markers: false,
    chat_state: None,
    thread: None,
};

fn translated(request: &Request, context: &ToXmppContext<'_>) -> Result<Option<MessageToXmpp>, Unread> {
    let text = match read_message(request, Reading::default(), NOW)? {
        Content::Text(text) => text,
        Content::Nothing => return Ok(None),
        other => panic!("{other:?}"),
    };
    Ok(Some(message_to_xmpp(request, text, &alice(), desk().bare().as_jid(), context)?))
}

fn to_xmpp(headers: &str, body: &str) -> Result<Option<MessageToXmpp>, Unread> {
    translated(&sip(headers, body), &CONTEXT)
}

fn stanza(headers: &str, body: &str) -> String {
    String::from_utf8(to_xmpp(headers, body).unwrap().unwrap().xml.to_vec()).unwrap()
}

// RFC 7572 section 5, table 2.
// Rule: message.body, message.subject, message.language, message.characters, message.thread
#[test]
fn a_sip_message_becomes_a_stanza_with_the_parts_of_the_table() {
    let xml = stanza(
        "Content-Type: text/plain\r\nSubject: Food & more\r\nContent-Language: de, en\r\n",
        "Gr\u{fc}\u{df}e <\u{1}\u{1f600}",
    );
    let node = Node::parse(xml.as_bytes()).unwrap();
    assert_eq!(node.attribute("from").unwrap(), "alice@contoso.example");
    assert_eq!(node.attribute("to").unwrap(), "bob@fabrikam.example");
    assert_eq!((node.attribute("type"), node.attribute("xml:lang").as_deref()), (None, Some("de")));
    assert_eq!(node.child(SERVER, "body").unwrap().text(), "Gr\u{fc}\u{df}e <\u{1f600}");
    assert_eq!(node.child(SERVER, "subject").unwrap().text(), "Food & more");
    assert_eq!(node.child(SERVER, "thread").unwrap().text(), "c1@pool");
    assert_eq!(stanza("", "x"), stanza("", "x"));
}

// Rule: message.id
#[test]
fn a_retransmission_has_the_same_id_and_another_request_another() {
    let id = |cseq: &str| {
        let mut request = sip("", "x");
        request.headers.set(HeaderName::CSeq, HeaderValue::new(format!("{cseq} MESSAGE")).unwrap());
        let message = translated(&request, &ToXmppContext { is_chat: true, ..CONTEXT }).unwrap().unwrap();
        assert_eq!(message_type(&message.xml), MessageType::Chat);
        message.id
    };
    assert_eq!(id("1"), id("1"));
    assert_ne!(id("1"), id("2"));
}

// T21; RFC 3428 section 9.
// Rule: message.content
#[test]
fn a_type_without_text_is_refused_with_accept() {
    let Err(Unread::Refused(refusal)) = to_xmpp("Content-Type: text/rtf\r\n", "{}") else { panic!() };
    let response = refusal.response(&sip("", ""));
    assert_eq!(response.status, Status::UNSUPPORTED_MEDIA_TYPE);
    assert!(response.headers.get(&HeaderName::Accept).unwrap().as_str().unwrap().contains("text/plain"));
    assert_eq!(to_xmpp("Content-Type: nonsense\r\n", "x"), Err(Unread::Refused(MessageRefusal::Malformed)));
}

// RFC 3428 section 7.
// Rule: message.expires, message.date
#[test]
fn an_expired_message_is_taken_and_dropped() {
    assert_eq!(to_xmpp("Date: Tue, 15 Jan 2030 09:20:00 GMT\r\nExpires: 300\r\n", "x"), Err(Unread::Expired));
    assert!(matches!(to_xmpp("Date: Tue, 15 Jan 2030 09:29:00 GMT\r\nExpires: 300\r\n", "x"), Ok(Some(_))));
    assert_eq!(to_xmpp("", " "), Ok(None));
    let old = stanza("Date: Tue, 15 Jan 2030 09:20:00 GMT\r\n", "x");
    assert!(
        old.contains("<delay xmlns='urn:xmpp:delay' from='contoso.example' stamp='2030-01-15T09:20:00Z'/>"),
        "{old}"
    );
}

// Rule: message.size.to-xmpp
#[test]
fn a_stanza_over_the_partners_limit_is_refused() {
    assert_eq!(to_xmpp("", &"<".repeat(4_000)), Err(Unread::Refused(MessageRefusal::TooLarge)));
}
