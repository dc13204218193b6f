//! Target `content`: bodies of MESSAGE, INFO and SEND as the gateway reads them: texts in several forms, CPIM (RFC 3862)
//! with the fields of RFC 5438, "is composing" (RFC 3994), and notifications.
//!
//! Invariants, besides not panicking: what is read stays within its bounds; the stanza made of it is well-formed for an
//! independent parser, says the same, and has nothing in it that we did not put there; what we write of it is read back.
//!
//! The first byte of an input chooses the media type, and whether marks of HTML are wanted.

use bytes::Bytes;
use causeway_gateway::body::cpim::{Fields, MAX_MESSAGE_ID, Wishes, is_message_id};
use causeway_gateway::body::imdn::{Disposition, Imdn};
use causeway_gateway::body::is_composing::{Composition, IsComposing};
use causeway_gateway::translate::canonical::is_xml_char;
use causeway_gateway::translate::content::{Asking, Content, Ends, Reading, SipBody, Text, read_content};
use causeway_gateway::translate::message_stanza::MessageStanza;
use causeway_shared::jid::Jid;
use causeway_sip::field::MediaType;

use crate::oracle::{self, Node, Tree};

const TYPES: [&str; 7] = [
    "text/plain",
    "text/html;charset=iso-8859-1",
    "multipart/alternative;boundary=b",
    "message/cpim",
    "application/im-iscomposing+xml",
    "message/imdn+xml",
    "text/html",
];
const NOW_MS: u64 = 1_894_699_800_000;
/// Elements that XHTML-IM bodies may have.
const MARKS: [&str; 10] = ["p", "br", "span", "strong", "em", "a", "ul", "ol", "li", "blockquote"];
const ENDS: Ends<'static> = Ends { from: "sip:bob@fabrikam.example", to: "sip:alice@contoso.example" };

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, body @ ..] = data else { return };
    if choice % 8 == 7 {
        if let Ok(status) = IsComposing::read_keyboard_activity(body) {
            assert_eq!(IsComposing::read_keyboard_activity(&status.write_keyboard_activity()), Ok(status));
        }
        return;
    }
    let content_type = media_type(TYPES[usize::from(choice % 8)].as_bytes());
    let reading = Reading { with_xhtml: choice & 8 == 8 };
    match read_content(Some(&content_type), body, reading) {
        Ok(Content::Text(text)) => read_text(&text, reading),
        Ok(Content::Composing(status)) => composing(status),
        Ok(Content::Notification(notification)) => {
            let message_id = notification.message_id.clone();
            let fields = Fields { message_id: Some(message_id), ..Fields::default() };
            if let Some(disposition) = notification.disposition {
                notified(&fields, disposition);
            }
        }
        Ok(Content::Nothing) => {}
        Err(refusal) => assert!([400, 415].contains(&refusal.status().code())),
    }
}

fn media_type(text: &[u8]) -> MediaType {
    MediaType::parse(&Bytes::copy_from_slice(text)).expect("a literal, or what we have written")
}

fn composing(status: IsComposing) {
    let again = IsComposing::read(&status.write()).expect("what we write is valid");
    let refresh_s = status.refresh_s.filter(|_| status.state == Composition::Active);
    assert_eq!(again, IsComposing { refresh_s, ..status });
}

fn read_text(text: &Text<'_>, reading: Reading) {
    assert!(text.xhtml.is_none() || reading.with_xhtml);
    let (from, to) = (address("alice@contoso.example"), address("bob@fabrikam.example/desk"));
    let stanza = MessageStanza::new(&from, &to).with_text(text, true, NOW_MS);
    let xml = stanza.to_xml();
    if oracle::is_at_a_loss(&xml) {
        return;
    }
    let Some(tree) = oracle::parse(&xml) else { panic!("no XML: {:?}", String::from_utf8_lossy(&xml)) };
    assert_eq!(tree.name, ("jabber:server".to_owned(), "message".to_owned()));
    let expected = carried(stanza.body.unwrap_or_default());
    assert_eq!(child(&tree, "body").map_or(String::new(), |body| text_of(body)), expected);
    for node in &tree.nodes {
        let Node::Element(element) = node else { panic!("text beside the elements: {node:?}") };
        let (namespace, name) = (element.name.0.as_str(), element.name.1.as_str());
        match (namespace, name) {
            ("jabber:server", "body" | "subject" | "thread") => only_text(element),
            ("http://jabber.org/protocol/xhtml-im", "html") => marks(element),
            ("urn:xmpp:receipts", "request") | ("urn:xmpp:chat-markers:0", "markable") => {
                let wishes = text.wrapping.as_ref().expect("somebody asks").wishes;
                assert!(if name == "request" { wishes.delivered } else { wishes.displayed });
            }
            ("urn:xmpp:delay", "delay") => {}
            other => panic!("a stranger: {other:?}"),
        }
    }
    wrapped(text);
}

fn address(text: &str) -> Jid {
    Jid::parse(text).expect("a literal")
}

/// What XML can carry of a text, with its line ends as a parser gives them.
fn carried(text: &str) -> String {
    text.chars().filter(|character| is_xml_char(*character)).collect()
}

fn child<'t>(tree: &'t Tree, name: &str) -> Option<&'t Tree> {
    tree.nodes.iter().find_map(|node| match node {
        Node::Element(element) => (element.name.1 == name).then_some(element),
        Node::Text(_) => None,
    })
}

fn text_of(tree: &Tree) -> String {
    let text = tree.nodes.iter().filter_map(|node| match node {
        Node::Text(text) => Some(text.as_str()),
        Node::Element(_) => None,
    });
    text.collect()
}

fn only_text(tree: &Tree) {
    assert!(tree.attributes.is_empty() && tree.nodes.iter().all(|node| matches!(node, Node::Text(_))), "{tree:?}");
}

/// XHTML-IM: elements of the strict list, and no attribute but links that cannot run anything.
fn marks(html: &Tree) {
    for node in &html.nodes {
        let Node::Element(element) = node else { continue };
        assert_eq!(element.name.0, "http://www.w3.org/1999/xhtml");
        assert!(element.name.1 == "body" || MARKS.contains(&element.name.1.as_str()), "{:?}", element.name);
        for ((namespace, name), value) in &element.attributes {
            assert_eq!((namespace.as_str(), name.as_str(), element.name.1.as_str()), ("", "href", "a"));
            let value = value.to_ascii_lowercase();
            assert!(["http:", "https:", "mailto:"].iter().any(|scheme| value.starts_with(scheme)), "{value}");
        }
        marks(element);
    }
}

/// The fields of a wrapping, and what we write of them.
fn wrapped(text: &Text<'_>) {
    let Some(fields) = &text.wrapping else { return };
    assert!(fields.message_id.as_ref().is_none_or(|id| !id.is_empty() && id.len() <= MAX_MESSAGE_ID));
    assert!(fields.record_route.len() <= 8);
    for disposition in [Disposition::Delivered, Disposition::Failed, Disposition::Displayed] {
        notified(fields, disposition);
    }
    let Some(message_id) = fields.message_id.as_deref().filter(|id| is_message_id(id)) else { return };
    let sent_ms = text.sent_ms().unwrap_or(NOW_MS);
    let asking = Asking { message_id, wishes: fields.wishes, sent_ms, subject: fields.subject.as_deref() };
    let body = SipBody::wrapped_text(&text.body, ENDS, asking);
    let Ok(Content::Text(again)) = read_content(Some(&media_type(b"message/cpim")), &body.bytes, Reading::default())
    else {
        assert!(text.body.trim().is_empty(), "{:?} is lost", String::from_utf8_lossy(&body.bytes));
        return;
    };
    // A byte order mark in front is none of the text, and one more goes each time.
    assert_eq!(again.body, text.body.strip_prefix('\u{feff}').unwrap_or(&text.body));
    let wrapping = again.wrapping.expect("it was wrapped");
    assert_eq!((wrapping.message_id.as_deref(), wrapping.wishes), (Some(message_id), fields.wishes));
    assert_eq!((wrapping.from.as_deref(), wrapping.to.as_deref()), (Some(ENDS.from), Some(ENDS.to)));
    assert_eq!(wrapping.record_route, Vec::<String>::new(), "a header made of text");
}

/// A notification about a message is a notification about it, and asks for nothing itself.
fn notified(about: &Fields, disposition: Disposition) {
    let Some(body) = SipBody::notification(about, disposition, ENDS, "n1", NOW_MS) else {
        assert_eq!(about.message_id, None);
        return;
    };
    let read = read_content(Some(&media_type(b"message/cpim")), &body.bytes, Reading::default());
    let id = carried(about.message_id.as_deref().unwrap_or_default()).trim().to_owned();
    if id.is_empty() || id.contains('\r') {
        return;
    }
    let expected = Imdn { message_id: id, disposition: Some(disposition) };
    assert_eq!(read, Ok(Content::Notification(expected)), "{:?}", String::from_utf8_lossy(&body.bytes));
    let wishes = causeway_gateway::body::cpim::Message::read(&body.bytes).map(|message| message.fields.wishes);
    assert_eq!(wishes, Ok(Wishes::default()), "a notification asks for another");
}
