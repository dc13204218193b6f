//! Target `message`: message stanzas as MESSAGE requests, and back (RFC 7572).
//!
//! Invariants, besides not panicking: a request made of a stanza has the header fields that we gave it and no other, is
//! read as it was meant, and stays within the limit; a text and its thread come back as they were; a stanza made of a
//! request is well-formed for an independent parser, bounded, and goes where it should.
//!
//! The first byte of an input chooses stanza or request.

use bytes::{Bytes, BytesMut};
use causeway_gateway::body::cpim::Wishes;
use causeway_gateway::translate::content::{Content, Reading};
use causeway_gateway::translate::message::{
    FromXmpp, MessageToSip, StanzaKey, ToSipContext, ToXmppContext, message_to_sip, message_to_xmpp, read_message,
};
use causeway_gateway::translate::message_stanza::StanzaContent;
use causeway_shared::jid::Jid;
use causeway_shared::limits::Limits;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::stanza;
use causeway_sip::message::{Message, Request};
use causeway_sip::method::Method;
use causeway_sip::parse::{Datagram, parse_datagram};

use crate::oracle;

const HEADER: &str =
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const NOW_MS: u64 = 1_894_699_800_000;
const MAX_BYTES: usize = 1_300;
/// The header fields of a MESSAGE of ours.
const FIELDS: [&str; 11] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "P-Asserted-Identity",
    "Subject",
    "Content-Language",
    "Date",
    "Content-Type",
    "Content-Length",
];

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    if choice % 2 == 0 { from_xmpp(rest, choice & 2 == 2) } else { from_sip(rest) }
}

fn from_xmpp(inner: &[u8], is_wrapped: bool) {
    let scope = StreamHeader::parse(HEADER.as_bytes(), &Limits::default()).expect("a literal").scope;
    let text = [&b"<message from='r\\26d@fabrikam.example/desk 1' to='alice@contoso.example' "[..], inner].concat();
    let mut canonical = BytesMut::new();
    let Ok(checked) = stanza::read(&text, &scope, &Limits::default(), &mut canonical) else { return };
    let Some(content) = StanzaContent::read(&canonical, &checked.from) else { return };
    let wishes = is_wrapped.then_some(Wishes { delivered: true, failed: true, displayed: true });
    let context = ToSipContext {
        key: StanzaKey { origin: 1, key: 2 },
        max_bytes: MAX_BYTES,
        now_ms: NOW_MS,
        wishes,
        may_stream: false,
    };
    let FromXmpp::Send(sent) = message_to_sip(&content, &checked.from, &checked.to, &context) else { return };
    let request = as_it_arrives(&sent);
    let texts = read_message(&request, Reading::default(), NOW_MS);
    let Ok(Content::Text(text)) = texts else { panic!("{request:?} says {texts:?}") };
    let said = content.text().unwrap_or_default();
    assert_eq!(text.body, said.strip_prefix('\u{feff}').unwrap_or(said));
    assert_eq!(text.wrapping.is_some(), sent.message_id.is_some());
    let to_xmpp = ToXmppContext {
        now_ms: NOW_MS,
        is_chat: true,
        max_stanza_bytes: usize::MAX,
        with_markers: false,
        chat_state: None,
        thread: None,
    };
    let back = message_to_xmpp(&request, text, &checked.to, &checked.from, &to_xmpp).expect("it has no limit");
    let again = StanzaContent::read(&back.xml, &checked.to).expect("a stanza");
    if let Some(thread) = content.thread.as_deref().filter(|thread| thread.len() <= 120) {
        assert_eq!(again.thread.as_deref(), Some(thread), "the thread");
    }
    let lines = |text: &str| text.split(char::is_control).map(str::trim).collect::<Vec<_>>().join(" ");
    if let Some(subject) = content.subject.as_deref().filter(|subject| subject.len() <= 512) {
        let subject_back = again.subject.as_deref().unwrap_or_default();
        // White space of any kind may be folded.
        let letters = |text: &str| lines(text).split_whitespace().collect::<String>();
        assert_eq!(letters(subject_back), letters(subject), "the subject");
    }
}

/// What the pool reads, with the Via that the endpoint puts in front.
fn as_it_arrives(sent: &MessageToSip) -> Request {
    let mut text = BytesMut::new();
    Message::Request(sent.request.clone()).write(&mut text);
    let line_end = text.iter().position(|byte| *byte == b'\n').expect("a request line") + 1;
    let via = format!("Via: SIP/2.0/TCP gw1.contoso.example;branch={}\r\n", sent.branch);
    let text = [&text[..line_end], via.as_bytes(), &text[line_end..]].concat();
    assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
    let head = text.windows(4).position(|end| end == b"\r\n\r\n").expect("an end of the header");
    let head = std::str::from_utf8(&text[..head]).expect("header fields of text");
    for line in head.split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        assert!(FIELDS.contains(&name), "a field that is not ours: {line:?}");
        assert_eq!(head.matches(&format!("\r\n{name}: ")).count(), 1, "twice: {head}");
    }
    assert!(!head.split("\r\n").any(|line| line.contains(['\r', '\n', '\0'])), "{head:?}");
    match parse_datagram(Bytes::from(text)) {
        Ok(Datagram::Message(Message::Request(request))) => request,
        other => panic!("it is read as {other:?}"),
    }
}

fn from_sip(bytes: &[u8]) {
    let head = "MESSAGE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP pool;branch=z9hG4bK1\r\n\
        From: <sip:alice@contoso.example>;tag=a\r\nTo: <sip:bob@fabrikam.example>\r\n";
    let text = [head.as_bytes(), bytes].concat();
    let Ok(Datagram::Message(Message::Request(request))) = parse_datagram(Bytes::from(text)) else { return };
    assert_eq!(request.method, Method::Message);
    let Ok(Content::Text(text)) = read_message(&request, Reading { with_xhtml: true }, NOW_MS) else { return };
    let address = |text: &str| Jid::parse(text).expect("a literal");
    let (from, to) = (address("alice@contoso.example"), address("bob@fabrikam.example/desk"));
    let context = ToXmppContext {
        now_ms: NOW_MS,
        is_chat: false,
        max_stanza_bytes: 1_500,
        with_markers: true,
        chat_state: None,
        thread: None,
    };
    let Ok(message) = message_to_xmpp(&request, text, &from, &to, &context) else { return };
    assert!(message.xml.len() <= 1_500);
    if oracle::is_at_a_loss(&message.xml) {
        return;
    }
    let tree = oracle::parse(&message.xml);
    let Some(tree) = tree else { panic!("no XML: {:?}", String::from_utf8_lossy(&message.xml)) };
    assert_eq!((tree.attribute("from"), tree.attribute("to")), (Some(from.as_str()), Some(to.as_str())));
    assert_eq!(tree.attribute("type"), None);
    let scope = StreamHeader::parse(HEADER.as_bytes(), &Limits::default()).expect("a literal").scope;
    let mut canonical = BytesMut::new();
    let checked = stanza::read(&message.xml, &scope, &Limits::default(), &mut canonical);
    assert!(checked.is_ok(), "a partner would end the stream: {checked:?} {:?}", String::from_utf8_lossy(&message.xml));
}
