use proptest::prelude::*;

use super::message::{InDialog, MessageStream, Msrp, Setup, answer};
use super::*;
use crate::msrp::fingerprint::{Fingerprint, HashFunction};

const LYNC: &str = "v=0\r\no=- 0 0 IN IP4 192.0.2.10\r\ns=session\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=message 5060 sip sip:alice@contoso.example\r\na=accept-types:text/plain multipart/alternative TEXT/html\r\n";
const MSRP: &str = "v=0\no=alice 2890844526 2890844527 IN IP6 2001:db8::1\ns= \nc=IN IP6 2001:db8::1\nb=AS:1\nt=0 0\n\
    m=audio 49170 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\n\
    m=message 7394 TCP/TLS/MSRP *\na=accept-types:message/cpim text/*\na=accept-wrapped-types:*\n\
    a=path:msrps://[2001:db8::1]:7394/2s93i93idj;tcp\na=setup:actpass\na=max-size:65536\n";

fn description(text: &str) -> SessionDescription {
    parse(text.as_bytes()).unwrap()
}

#[test]
fn both_forms_of_a_message_stream_are_found() {
    let (at, stream) = MessageStream::find(&description(LYNC)).unwrap();
    assert_eq!(at, 0);
    assert!(stream.accepts("text/plain") && stream.accepts("text/html") && !stream.accepts("image/png"));
    let old = LYNC.replace("m=message 5060 sip sip:alice@contoso.example", "m=x-ms-message 5060 sip null");
    assert!(matches!(MessageStream::find(&description(&old)), Some((0, MessageStream::InDialog(_)))));
    let Some((1, MessageStream::Msrp(msrp))) = MessageStream::find(&description(MSRP)) else { panic!() };
    assert_eq!(msrp.path[0].to_string(), "msrps://[2001:db8::1]:7394/2s93i93idj;tcp");
    assert_eq!((msrp.setup, msrp.max_size), (Some(Setup::ActPass), Some(65_536)));
    let stream = MessageStream::Msrp(msrp);
    assert!(stream.accepts("text/plain") && stream.accepts("message/cpim") && !stream.accepts("image/png"));
}

#[test]
fn a_stream_that_is_refused_or_contradicts_itself_is_no_message_stream() {
    for (from, to) in [
        ("m=message 7394", "m=message 0"),
        ("TCP/TLS/MSRP", "TCP/MSRP"),
        ("msrps://", "msrp://"),
        ("a=path:", "a=x-path:"),
        ("a=path:msrps://[2001:db8::1]:7394/2s93i93idj;tcp", "a=path:sip:alice@h"),
        ("m=message", "m=application"),
    ] {
        assert_eq!(MessageStream::find(&description(&MSRP.replace(from, to))), None, "{to}");
    }
}

// RFC 3264 section 6
#[test]
fn an_answer_has_the_streams_of_the_offer_in_their_order_and_refuses_the_others() {
    let offer = description(MSRP);
    let stream = Msrp {
        path: vec!["msrps://gw.example:2855/s1;tcp".parse().unwrap()],
        accept_types: vec!["text/plain".into()],
        accept_wrapped_types: Vec::new(),
        max_size: Some(10_000),
        setup: Setup::answer(Some(Setup::ActPass), true),
        fingerprints: vec![Fingerprint::of(b"certificate", HashFunction::Sha1)],
    };
    let text = answer(&offer, 1, stream.to_media(), 5, 1, "192.0.2.1").write();
    let expected = "v=0\r\no=- 5 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 0 RTP/AVP 0 8\r\nm=message 2855 TCP/TLS/MSRP *\r\na=accept-types:text/plain\r\n\
        a=path:msrps://gw.example:2855/s1;tcp\r\na=max-size:10000\r\na=setup:passive\r\n\
        a=fingerprint:SHA-1 73:5A:D5:71:C1:89:D7:BA:84:46:4B:F4:A9:F1:D2:28:01:75:B1:28\r\n";
    assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
    let Some((1, MessageStream::Msrp(read))) = MessageStream::find(&parse(&text).unwrap()) else { panic!() };
    assert_eq!(read, stream);
    let offer = description(&LYNC.replace("m=message", "m=x-ms-message"));
    let ours = InDialog { accept_types: vec!["text/plain".into()] };
    let media = ours.answer(&offer.media[0], "sip:bob@fabrikam.example");
    assert_eq!(
        (media.kind.as_str(), &media.formats[..]),
        ("x-ms-message", &["sip:bob@fabrikam.example".to_owned()][..])
    );
}

// RFC 6135 section 4.2
// Rule: msrp.setup
#[test]
fn who_connects_follows_the_setup_attribute() {
    for (offered, can_listen, ours) in [
        (None, true, Some(Setup::Passive)),
        (None, false, None),
        (Some(Setup::Active), true, Some(Setup::Passive)),
        (Some(Setup::Active), false, None),
        (Some(Setup::Passive), true, Some(Setup::Active)),
        (Some(Setup::ActPass), true, Some(Setup::Passive)),
        (Some(Setup::ActPass), false, Some(Setup::Active)),
        (Some(Setup::HoldConn), true, Some(Setup::Passive)),
        (Some(Setup::HoldConn), false, None),
    ] {
        assert_eq!(Setup::answer(offered, can_listen), ours, "{offered:?}");
    }
}

// Rule: msrp.tls
#[test]
fn fingerprints_are_read_from_the_stream_or_else_from_the_whole_session() {
    let (one, other) = (Fingerprint::of(b"1", HashFunction::Sha256), Fingerprint::of(b"2", HashFunction::Sha1));
    let read = |text: &str| match MessageStream::find(&description(text)) {
        Some((_, MessageStream::Msrp(msrp))) => msrp.fingerprints,
        other => panic!("{other:?}"),
    };
    let of_session = MSRP.replace("t=0 0\n", &format!("t=0 0\na=fingerprint:{other}\na=fingerprint:md5 00\n"));
    assert_eq!((read(MSRP), read(&of_session)), (vec![], vec![other]));
    let of_stream = format!("{of_session}a=fingerprint:{one}\n");
    assert_eq!(read(&of_stream), [one]);
}

#[test]
fn what_is_no_description_is_refused_by_its_fault() {
    let long = format!("{LYNC}a={}\r\n", "x".repeat(MAX_LINE));
    let many = format!("{LYNC}{}", "a=x\r\n".repeat(MAX_LINES));
    let streams = format!("{LYNC}{}", "m=audio 0 RTP/AVP 0\r\n".repeat(MAX_MEDIA));
    for (text, fault) in [
        ("", SdpFault::Line),
        ("v=1\r\n", SdpFault::Head),
        ("v=0\r\ns=-\r\n", SdpFault::Head),
        ("v=0\r\no=- 0 0 IN IP4\r\n", SdpFault::Address),
        ("v=0\r\no=- 0 0 ATM IP4 h\r\ns=-\r\n", SdpFault::Address),
        (&LYNC.replace("s=session\r\n", ""), SdpFault::Head),
        (&LYNC.replace("t=0 0", "t=0 0\r\nv=0"), SdpFault::Head),
        (&LYNC.replace("t=0 0", "hello"), SdpFault::Line),
        (&LYNC.replace("t=0 0", "T=0 0"), SdpFault::Line),
        (&LYNC.replace("t=0 0", "t=0\0 0"), SdpFault::Character),
        (&LYNC.replace("m=message 5060 sip", "m=message 65536 sip"), SdpFault::Media),
        (&LYNC.replace("m=message 5060 sip sip:alice@contoso.example", "m=message 5060 sip"), SdpFault::Media),
        (&long, SdpFault::TooLarge),
        (&many, SdpFault::TooLarge),
        (&streams, SdpFault::TooLarge),
        (&" ".repeat(MAX_DESCRIPTION + 1), SdpFault::TooLarge),
    ] {
        assert_eq!(parse(text.as_bytes()), Err(fault), "{text}");
    }
    assert_eq!(parse(b"\xff"), Err(SdpFault::Character));
}

#[test]
fn nothing_that_is_printed_can_begin_a_line_of_its_own() {
    let media = InDialog { accept_types: vec!["text/plain\r\na=evil".into()] }.to_media("sip:a@h\r\nm=evil");
    let text = SessionDescription::new(1, 1, "h", vec![media]).write();
    assert_eq!(text.split(|byte| *byte == b'\n').count(), 8);
}

#[test]
fn a_tab_in_an_attribute_is_kept() {
    let read = description(&LYNC.replace("text/plain multipart", "text/plain\tmultipart"));
    assert_eq!(parse(&read.write()), Ok(read));
}

proptest! {
    #[test]
    fn no_input_panics_and_what_parses_prints_and_parses_to_the_same(
        text in proptest::collection::vec(
            prop_oneof![
                Just("v=0".to_owned()), Just("o=- 1 2 IN IP4 h".to_owned()), Just("s=-".to_owned()),
                Just("m=message 1 TCP/MSRP *".to_owned()), "[a-z]=[ -~]{0,20}", "[ -~]{0,10}",
            ],
            0..12,
        ),
    ) {
        let text = format!("v=0\r\no=- 1 2 IN IP4 h\r\ns=-\r\n{}", text.join("\r\n"));
        if let Ok(read) = parse(text.as_bytes()) {
            prop_assert_eq!(parse(&read.write()), Ok(read.clone()));
        }
    }
}
