use super::*;
use crate::body::is_composing::Composition;

fn kind(text: &'static str) -> MediaType {
    MediaType::parse(&Bytes::from_static(text.as_bytes())).unwrap()
}

fn read<'b>(content_type: &'static str, body: &'b str) -> Result<Content<'b>, ContentRefusal> {
    read_content(Some(&kind(content_type)), body.as_bytes(), Reading { with_xhtml: true })
}

fn text(content_type: &'static str, body: &str) -> Text<'static> {
    match read(content_type, body) {
        Ok(Content::Text(text)) => Text { body: Cow::Owned(text.body.into_owned()), ..text },
        other => panic!("{content_type}: {other:?}"),
    }
}

const ENDS: Ends<'_> = Ends { from: "sip:bob@fabrikam.example", to: "sip:alice@contoso.example" };

// RFC 7572 section 7.
// Rule: message.content, cpim.read
#[test]
fn each_type_of_the_list_is_read() {
    assert_eq!(text("text/plain", "Hi").body, "Hi");
    assert_eq!(text("text/html", "<b>Hi</b>").body, "Hi");
    let alternative =
        "--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>Hi</b>\r\n--b--";
    assert_eq!(text("multipart/alternative;boundary=b", alternative).body, "Hi");
    assert_eq!(text("message/cpim", "From: <im:a@b>\r\n\r\nContent-Type: text/html\r\n\r\n<i>Hi</i>").body, "Hi");
    let composing = "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>";
    let composing = read("application/im-iscomposing+xml", composing);
    assert_eq!(composing, Ok(Content::Composing(IsComposing { state: Composition::Active, refresh_s: None })));
}

// Rule: message.content
#[test]
fn other_types_are_unsupported() {
    for kind in
        ["text/rtf", "application/x-ms-ink", "application/pkcs7-mime", "multipart/mixed;boundary=b", "image/png"]
    {
        assert_eq!(read(kind, "x"), Err(ContentRefusal::UnsupportedType), "{kind}");
    }
    let nested = "From: <im:a@b>\r\n\r\nContent-Type: message/cpim\r\n\r\nFrom: <im:a@b>\r\n\r\nContent-Type: text/plain\r\n\r\nx";
    assert_eq!(read("message/cpim", nested), Err(ContentRefusal::UnsupportedType));
}

#[test]
fn what_does_not_follow_its_type_is_malformed() {
    for kind in ["message/cpim", "application/im-iscomposing+xml", "message/imdn+xml", "multipart/alternative"] {
        assert_eq!(read(kind, "x"), Err(ContentRefusal::Malformed), "{kind}");
    }
}

// Rule: message.html
#[test]
fn xhtml_is_made_only_where_it_is_wanted_and_of_what_is_marked() {
    assert_eq!(text("text/html", "<b>Hi</b>").xhtml.as_deref(), Some("<strong>Hi</strong>"));
    assert_eq!(text("text/html", "Hi").xhtml, None);
    let plain = read_content(Some(&kind("text/html")), b"<b>Hi</b>", Reading::default());
    assert!(matches!(plain, Ok(Content::Text(text)) if text.xhtml.is_none()));
}

#[test]
fn blank_texts_are_nothing_unless_a_subject_says_something() {
    assert_eq!(read("text/plain", " \r\n"), Ok(Content::Nothing));
    let with = |subject: &str| format!("{subject}From: <im:a@b>\r\n\r\nContent-Type: text/plain\r\n\r\n \r\n");
    assert_eq!(read("message/cpim", &with("")), Ok(Content::Nothing));
    assert_eq!(text("message/cpim", &with("Subject: News\r\n")).wrapping.unwrap().subject.as_deref(), Some("News"));
}

// Rule: cpim.write
#[test]
fn a_wrapped_text_asks_for_what_it_was_told_and_is_read_back() {
    let wishes = Wishes { delivered: true, failed: true, displayed: false };
    let asking = Asking { message_id: "m1", wishes, sent_ms: 1_894_699_800_000, subject: Some("Food") };
    let body = SipBody::wrapped_text("Lunch?", ENDS, asking);
    let read = text("message/cpim", std::str::from_utf8(&body.bytes).unwrap());
    assert_eq!((read.body.as_ref(), read.sent_ms()), ("Lunch?", Some(1_894_699_800_000)));
    let fields = read.wrapping.unwrap();
    assert_eq!((fields.message_id.as_deref(), fields.wishes), (Some("m1"), wishes));
    assert_eq!((fields.subject.as_deref(), fields.to.as_deref()), (Some("Food"), Some("sip:alice@contoso.example")));
}

// Rule: imdn.write
#[test]
fn a_notification_is_about_the_message_and_comes_back_as_one() {
    let about = Fields {
        message_id: Some("34jk324j".into()),
        date_time: Some("2006-04-04T12:16:49-05:00".into()),
        to: Some("im:bob@fabrikam.example".into()),
        ..Fields::default()
    };
    let body = SipBody::notification(&about, Disposition::Displayed, ENDS, "n1", 0).unwrap();
    let text = std::str::from_utf8(&body.bytes).unwrap();
    assert!(text.contains("<datetime>2006-04-04T12:16:49-05:00</datetime>"), "{text}");
    let expected = Imdn { message_id: "34jk324j".into(), disposition: Some(Disposition::Displayed) };
    assert_eq!(read("message/cpim", text), Ok(Content::Notification(expected)));
    assert_eq!(SipBody::notification(&Fields::default(), Disposition::Delivered, ENDS, "n1", 0), None);
}
