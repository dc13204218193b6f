use bytes::BufMut;
use proptest::prelude::*;

use super::*;

const SEND: &str = "MSRP a786hjs2 SEND\r\nTo-Path: msrps://gw.example:2855/s1;tcp\r\n\
    From-Path: msrps://alice.example:7654/jshA7we;tcp\r\nMessage-ID: 87652491\r\nByte-Range: 1-25/25\r\n\
    Success-Report: yes\r\nContent-Type: text/plain\r\n\r\nHey Bob, are you there?--\r\n-------a786hjs2$\r\n";

fn buffer(text: &str) -> BytesMut {
    BytesMut::from(text.as_bytes())
}

fn request(received: Option<Result<Received, Broken>>) -> Request {
    match received {
        Some(Ok(Received::Frame(frame))) => match *frame {
            Frame::Request(request) => request,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

// Rule: msrp.framing
#[test]
fn a_request_is_read_byte_by_byte_and_prints_to_the_same() {
    let (mut framer, mut received) = (Framer::new(1000), BytesMut::new());
    let mut found = None;
    for byte in SEND.bytes() {
        assert!(found.is_none());
        received.put_u8(byte);
        found = framer.push(&mut received);
    }
    let read = request(found);
    assert_eq!((read.body.as_ref(), read.continuation), (&b"Hey Bob, are you there?--"[..], Continuation::Last));
    assert_eq!(read.range, Some(ByteRange { start: 1, end: Some(25), total: Some(25) }));
    let mut printed = BytesMut::new();
    read.write(&mut printed);
    assert_eq!(std::str::from_utf8(&printed).unwrap(), SEND);
}

// Rule: msrp.framing
#[test]
fn a_request_without_body_and_a_response_are_frames() {
    let report = "MSRP abcd REPORT\r\nTo-Path: msrp://h/a;tcp\r\nFrom-Path: msrp://i/b;tcp\r\nMessage-ID: m\r\n\
        Status: 000 200 OK\r\n-------abcd$\r\n";
    let mut received = buffer(&format!("{report}{SEND}"));
    let mut framer = Framer::new(1000);
    let read = request(framer.push(&mut received));
    assert_eq!((read.method, read.status), (Method::Report, Some(200)));
    assert_eq!(request(framer.push(&mut received)).method, Method::Send);
    assert!(framer.push(&mut received).is_none() && received.is_empty());
    let mut text = BytesMut::new();
    let request = request(Framer::new(1000).push(&mut buffer(SEND)));
    Response::to(&request, 413, &request.to_path[0]).write(&mut text);
    let Some(Ok(Received::Frame(frame))) = framer.push(&mut text) else { panic!() };
    let Frame::Response(response) = *frame else { panic!() };
    assert_eq!((response.code, &response.to_path), (413, &request.from_path));
}

// Rule: msrp.framing
#[test]
fn an_end_line_inside_the_body_ends_it_only_with_its_own_transaction_and_flag() {
    let text = SEND.replace("Hey Bob,", "-------\r\n-------a786hjs2?\r\n-------other00$\r\n");
    let read = request(Framer::new(1000).push(&mut buffer(&text)));
    assert!(read.body.starts_with(b"-------\r\n-------a786hjs2?") && read.body.ends_with(b"there?--"));
}

// Rule: msrp.errors, msrp.bounds
#[test]
fn a_body_too_large_is_named_at_once_and_skipped() {
    let mut framer = Framer::new(10);
    let (head, rest) = SEND.split_at(SEND.find("are you").unwrap());
    let mut received = buffer(head);
    let long = "x".repeat(100);
    received.put_slice(long.as_bytes());
    let Some(Ok(Received::TooLarge(request))) = framer.push(&mut received) else { panic!() };
    assert_eq!(request.message_id.as_deref(), Some("87652491"));
    assert!(framer.push(&mut received).is_none());
    assert!(received.len() < 40, "what is skipped is not kept");
    received.put_slice(rest.as_bytes());
    received.put_slice(SEND.replace("Hey Bob, are you there?--", "short").as_bytes());
    let Some(Ok(Received::Frame(_))) = framer.push(&mut received) else { panic!() };
}

// Rule: msrp.errors
#[test]
fn what_can_be_named_is_malformed_and_what_cannot_breaks_the_stream() {
    for (from, to) in [
        ("Message-ID: 87652491", "Message-ID: \u{e9}"),
        ("Byte-Range: 1-25/25", "Byte-Range: 0-25/25"),
        ("Byte-Range: 1-25/25", "Byte-Range: x"),
        ("Content-Type: text/plain", "Content-Type: nonsense"),
        ("Success-Report: yes", "no colon"),
    ] {
        let mut received = buffer(&format!("{}{SEND}", SEND.replace(from, to)));
        let mut framer = Framer::new(1000);
        assert!(matches!(framer.push(&mut received), Some(Ok(Received::Malformed(_)))), "{to}");
        assert!(matches!(framer.push(&mut received), Some(Ok(Received::Frame(_)))), "{to}");
    }
    for (from, to) in [
        ("MSRP", "SIP/2.0"),
        ("a786hjs2 SEND", "a SEND"),
        ("SEND", "send"),
        ("To-Path: msrps://gw.example:2855/s1;tcp", "To-Path: sip:x"),
        ("From-Path", "X-Path"),
    ] {
        let mut framer = Framer::new(1000);
        let mut received = buffer(&SEND.replace(from, to));
        assert!(matches!(framer.push(&mut received), Some(Err(Broken))), "{to}");
        assert!(matches!(framer.push(&mut received), Some(Err(Broken))), "{to}");
    }
    let endless = format!("MSRP abcd SEND\r\n{}", "X: y\r\n".repeat(MAX_HEADERS + 1));
    assert!(matches!(Framer::new(1000).push(&mut buffer(&endless)), Some(Err(Broken))));
    let endless = format!("MSRP abcd SEND\r\nX: {}", "y".repeat(MAX_HEAD));
    assert!(matches!(Framer::new(1000).push(&mut buffer(&endless)), Some(Err(Broken))));
}

// A control character is no part of a header (RFC 4975 section 9, utf8text).
#[test]
fn a_content_type_with_control_characters_is_refused() {
    for bad in ["\0text/plain", "text/\u{7}plain", "text/plain;a=\u{7f}"] {
        let text = SEND.replace("text/plain", bad);
        assert_ne!(text, SEND);
        let mut framer = Framer::new(1000);
        let frame = framer.push(&mut buffer(&text));
        assert!(matches!(frame, Some(Ok(Received::Malformed(_)))), "{bad:?}: {frame:?}");
    }
}

proptest! {
    #[test]
    fn no_stream_panics_and_pieces_do_not_matter(
        parts in proptest::collection::vec(
            prop_oneof![
                Just(SEND.to_owned()), Just("MSRP abcd 200 OK\r\nTo-Path: msrp://h/a;tcp\r\nFrom-Path: msrp://i/b;tcp\r\n-------abcd$\r\n".to_owned()),
                "[ -~\r\n]{0,30}", Just("\r\n-------a786hjs2$\r\n".to_owned()),
            ],
            0..6,
        ),
        piece in 1..50_usize,
    ) {
        let text = parts.concat();
        let drain = |framer: &mut Framer, received: &mut BytesMut, found: &mut Vec<_>| {
            while let Some(frame) = framer.push(received) {
                let is_end = frame.is_err();
                found.push(frame);
                if is_end { break }
            }
        };
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        let (mut framer, mut received) = (Framer::new(1000), buffer(&text));
        drain(&mut framer, &mut received, &mut whole);
        let (mut framer, mut received) = (Framer::new(1000), BytesMut::new());
        for piece in text.as_bytes().chunks(piece) {
            received.put_slice(piece);
            if pieces.last().is_none_or(|frame: &Result<_, _>| frame.is_ok()) {
                drain(&mut framer, &mut received, &mut pieces);
            }
        }
        prop_assert_eq!(whole, pieces);
    }
}
