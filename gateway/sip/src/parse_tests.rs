//! One case per class of RFC 4475, written from its text, and what arbitrary bytes may do.

use super::*;
use proptest::prelude::*;

/// A good request; lines can be replaced and added.
const GOOD: [&str; 7] = [
    "MESSAGE sip:alice@contoso.example SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKgood",
    "Max-Forwards: 70",
    "From: \"Bob\" <sip:bob@fabrikam.example>;tag=b1",
    "To: <sip:alice@contoso.example>",
    "Call-ID: good@192.0.2.1",
    "CSeq: 1 MESSAGE",
];

/// The good request with every line that starts like one of `lines` replaced by it, others added.
fn with(lines: &[&str]) -> Bytes {
    let mut all: Vec<&str> = GOOD.to_vec();
    for line in lines {
        let name = line.split(':').next().unwrap_or_default();
        let is_start = line.ends_with("SIP/2.0") || line.ends_with("SIP/7.0");
        match all.iter().position(|old| old.split(':').next() == Some(name)) {
            Some(at) if !is_start => all[at] = line,
            Some(_) | None if is_start => all[0] = line,
            Some(_) | None => all.push(line),
        }
    }
    Bytes::from(format!("{}\r\n\r\n", all.join("\r\n")))
}

fn parse(datagram: impl Into<Bytes>) -> Result<Message, ParseError> {
    match parse_datagram(datagram.into())? {
        Datagram::Message(message) => Ok(message),
        Datagram::KeepAlive => panic!("a keep-alive"),
    }
}

fn request(datagram: impl Into<Bytes>) -> Request {
    match parse(datagram) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// The fault, and the status of the answer if there is one.
fn refused(lines: &[&str]) -> (ParseFault, Option<u16>) {
    let error = parse(with(lines)).expect_err("a message that must not parse");
    (error.fault, error.answer.map(|answer| answer.status.code()))
}

fn field(name: HeaderName, fault: FieldFault) -> ParseFault {
    ParseFault::Field(FieldError { name, fault })
}

fn malformed(name: HeaderName) -> (ParseFault, Option<u16>) {
    (field(name, FieldFault::Malformed), Some(400))
}

// RFC 4475 section 3.1.1.1: folding, compact forms, odd case, whitespace around separators, lists over lines.
// Rule: sip.torture, sip.compact
#[test]
fn the_short_tortuous_request_parses() {
    let text = "MESSAGE sip:alice@chair.example;unknown SIP/2.0\r\nTO :\r\n sip:alice@chair.example ;   tag    = 19\r\n\
        from   : \"J Rosenberg \\\\\\\"\"       <sip:j@h.example>\r\n  ;\r\n  tag = 98asjd8\r\nMaX-fOrWaRdS: 0068\r\n\
        i: c@192.0.2.1\r\nContent-Length   : 5\r\ncseq: 0009\r\n  MESSAGE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    \
        192.0.2.2;branch=390\r\ns :\r\nNewHeader:   new value\r\n continued\r\nOdd: ;;,,;;,;\r\n\
        v:  SIP  / 2.0  / TCP     sp.example.com   ;\r\n  branch  =   z9hG4bK9  ,\r\n SIP  /    2.0   / UDP  192.168.2.1 \
        ; branch=\r\n z9hG4bK3\r\nm:\"Quoted \\\"\\\"\" <sip:j@h> ; q = 0.33\r\n\r\nhello";
    let request = request(text.as_bytes().to_vec());
    let headers = &request.headers;
    assert_eq!(headers.to().unwrap().tag().unwrap().as_str(), "19");
    assert_eq!(headers.from().unwrap().tag().unwrap().as_str(), "98asjd8");
    assert_eq!((headers.max_forwards(), headers.cseq().unwrap().number), (Ok(Some(68)), 9));
    assert_eq!(headers.list(&HeaderName::Via).count(), 3);
    let other = |name: &'static str| headers.get(&HeaderName::parse(&Bytes::from_static(name.as_bytes())).unwrap());
    assert_eq!(other("newheader").unwrap().as_str(), Some("new value continued"));
    assert_eq!(other("Odd").unwrap().as_str(), Some(";;,,;;,;"));
    assert_eq!(headers.get(&HeaderName::Subject).unwrap().as_str(), Some(""));
    assert_eq!(request.body, "hello");
}

// RFC 4475 sections 3.1.1.2 and 3.1.1.5
// Rule: sip.torture
#[test]
fn an_unknown_method_of_odd_token_characters_is_data() {
    let start = "!odd-Method_*+`.%indeed'~ sip:1_u~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+1,weird!*pas$wo~d_(doesn't-it)@h SIP/2.0";
    let request = request(with(&[
        start,
        "CSeq: 139122385 !odd-Method_*+`.%indeed'~",
        "From: t1~` t2'+_ t3*%!.- <sip:m@h>;p''~+*_!.-%=\"\u{440}\u{430}\";tag=_t~1*x",
        "To: \"BEL:\\\u{7} NUL:\\\0 DEL:\\\u{7f}\" <sip:1_u~(to-be!sure)&isn't+it$/crazy?,/;;*@h>",
        "Call-ID: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
    ]));
    assert_eq!(request.method.as_str(), "!odd-Method_*+`.%indeed'~");
    assert_eq!(request.headers.from().unwrap().tag().unwrap().as_str(), "_t~1*x");
    let escaped = with(&["RE%47IST%45R sip:h SIP/2.0", "CSeq: 1 RE%47IST%45R"]);
    assert_eq!(
        parse(escaped).map(|message| matches!(message, Message::Request(r) if r.method != Method::Register)),
        Ok(true)
    );
}

// RFC 4475 sections 3.1.1.10 and 3.3.2: unknown transports and schemes.
// Rule: sip.torture
#[test]
fn unknown_transports_and_schemes_are_data() {
    let request = request(with(&[
        "MESSAGE im:alice@contoso.example SIP/2.0",
        "Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKa, SIP/2.0/SCTP t2.example.com;branch=z9hG4bKb",
        "To: <isbn:2983792873>",
        "From: <http://www.example.com>;tag=1",
    ]));
    assert_eq!(request.uri.scheme(), crate::uri::Scheme::Im);
    assert_eq!(request.headers.top_via().unwrap().transport(), "UNKNOWN");
}

// RFC 4475 section 3.1.1.8
// Rule: sip.torture
#[test]
fn octets_behind_content_length_are_ignored_in_a_datagram() {
    let mut text = with(&["Content-Length: 2"]).to_vec();
    text.extend_from_slice(b"ab");
    text.extend_from_slice(&with(&[]));
    assert_eq!(request(text).body, "ab");
}

// RFC 4475 section 3.4.1
// Rule: sip.torture
#[test]
fn without_content_length_the_body_ends_with_the_datagram() {
    let mut text = with(&["Via: SIP/2.0/UDP old.example.com", "From: <sip:old@h>"]).to_vec();
    text.extend_from_slice(b"body");
    let request = request(text);
    assert_eq!(request.body, "body");
    assert_eq!((request.headers.from().unwrap().tag(), request.headers.top_via().unwrap().branch()), (None, None));
}

// RFC 4475 sections 3.1.1.11: a body is octets.
// Rule: sip.torture
#[test]
fn a_body_may_hold_any_octet() {
    let mut text = with(&["Content-Length: 6"]).to_vec();
    text.extend_from_slice(b"\0\r\n\xff\r\n");
    assert_eq!(request(text).body.as_ref(), b"\0\r\n\xff\r\n");
}

// RFC 4475 sections 3.1.1.12 and 3.1.1.13
// Rule: sip.torture
#[test]
fn the_reason_phrase_may_be_anything_or_nothing() {
    for reason in ["= 2**3 * 5**2 \u{43d}\u{43e} \u{448}\u{435}", ""] {
        let text = format!("SIP/2.0 200 {reason}\r\n{}\r\n\r\n", GOOD[1..].join("\r\n"));
        match parse(text) {
            Ok(Message::Response(response)) => assert_eq!(response.reason.as_str(), Some(reason)),
            other => panic!("{other:?}"),
        }
    }
}

// RFC 4475 sections 3.1.2.1, 3.1.2.6, 3.1.2.13, 3.1.2.14, 3.1.2.15
// Rule: sip.torture
#[test]
fn malformed_addresses_and_vias_are_answered_with_400() {
    use HeaderName::{Contact, From, To};
    assert_eq!(refused(&["Contact: \"Joe\" <sip:joe@example.org>;;;;"]), malformed(Contact));
    assert_eq!(refused(&["Contact: sip:user@example.com?Route=%3Csip:h%3E"]), malformed(Contact));
    assert_eq!(refused(&["To: \"Mr. J. User <sip:j.user@example.com>"]), malformed(To));
    assert_eq!(refused(&["To: \"Watson, Thomas\" < sip:t.watson@example.org >"]), malformed(To));
    assert_eq!(refused(&["From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43"]), malformed(From));
    assert_eq!(refused(&["Via: SIP/2.0/UDP 192.0.2.15;;,;,,"]), malformed(HeaderName::Via));
}

// RFC 4475 sections 3.1.2.2, 3.1.2.3, 3.3.9
// Rule: sip.torture
#[test]
fn content_length_is_never_guessed() {
    assert_eq!(refused(&["Content-Length: 9999"]), (ParseFault::ShortBody, Some(400)));
    assert_eq!(refused(&["Content-Length: 18446744073709551615"]), (ParseFault::ShortBody, Some(400)));
    assert_eq!(refused(&["Content-Length: -999"]), (ParseFault::ContentLength, Some(400)));
    assert_eq!(refused(&["Content-Length: 0, 0"]), (ParseFault::ContentLength, Some(400)));
    assert_eq!(refused(&["Content-Length:"]), (ParseFault::ContentLength, Some(400)));
    assert_eq!(refused(&["Content-Length: 0", "l: 1"]), (ParseFault::ContentLength, Some(400)));
    assert_eq!(request(with(&["Content-Length: 0", "l: 000"])).body, "");
}

// RFC 4475 sections 3.1.2.4 and 3.1.2.5
// Rule: sip.torture
#[test]
fn numbers_out_of_range_are_refused_without_overflow() {
    assert_eq!(refused(&["CSeq: 36893488147419103232 MESSAGE"]), malformed(HeaderName::CSeq));
    assert_eq!(refused(&["CSeq: 2147483648 MESSAGE"]), malformed(HeaderName::CSeq));
    assert_eq!(refused(&["Max-Forwards: 300"]), malformed(HeaderName::MaxForwards));
    let expires = request(with(&["Expires: 1000000000000000000000"])).headers.expires();
    assert_eq!(expires, Ok(Some(u32::MAX)));
}

// RFC 4475 sections 3.1.2.7 to 3.1.2.11
// Rule: sip.torture
#[test]
fn a_malformed_request_line_is_answered_with_400() {
    assert!(matches!(refused(&["MESSAGE <sip:user@h> SIP/2.0"]), (ParseFault::RequestUri(_), Some(400))));
    for start in [
        "MESSAGE sip:user@example.com; lr SIP/2.0",
        "MESSAGE  sip:user@example.com  SIP/2.0",
        "MESSAGE sip:user@example.com HTTP/1.1 SIP/2.0",
    ] {
        assert_eq!(refused(&[start]), (ParseFault::StartLine, Some(400)), "{start}");
    }
    let headers = "MESSAGE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0";
    assert_eq!(refused(&[headers]), (ParseFault::RequestUriHeaders, Some(400)));
    let trailing = with(&[]).to_vec();
    let text = String::from_utf8(trailing).unwrap().replacen("SIP/2.0\r\n", "SIP/2.0 \r\n", 1);
    assert_eq!(parse(text).unwrap_err().fault, ParseFault::StartLine);
}

// RFC 4475 section 3.1.2.16
// Rule: sip.torture, sip.version
#[test]
fn another_version_is_answered_with_505() {
    let start = "MESSAGE sip:t.watson@example.org SIP/7.0";
    assert_eq!(refused(&[start]), (ParseFault::Version, Some(505)));
    assert_eq!(refused(&[start, "Via: SIP/7.0/UDP c.example.com;branch=z9hG4bKa"]), (ParseFault::Version, Some(505)));
}

// RFC 4475 sections 3.1.2.17 and 3.1.2.18
// Rule: sip.torture
#[test]
fn cseq_must_name_the_method_of_the_request() {
    assert_eq!(refused(&["CSeq: 8 INVITE"]), (ParseFault::CSeqMethod, Some(400)));
    assert_eq!(refused(&["NEWMETHOD sip:h SIP/2.0"]), (ParseFault::CSeqMethod, Some(400)));
}

// RFC 4475 section 3.1.2.19: no reply to a response is possible.
// Rule: sip.torture
#[test]
fn a_response_that_does_not_parse_has_no_answer() {
    for start in
        ["SIP/2.0 4294967301 better not break", "SIP/2.0 99 X", "SIP/2.0 700 X", "SIP/2.0 2x0 X", "SIP/3.0 200 OK"]
    {
        let error = parse(format!("{start}\r\n{}\r\n\r\n", GOOD[1..].join("\r\n"))).unwrap_err();
        assert_eq!(error.answer, None, "{start}");
    }
}

// RFC 4475 section 3.3.1
// Rule: sip.torture, sip.malformed
#[test]
fn a_missing_mandatory_header_is_answered_when_the_transaction_is_known() {
    for (missing, name, status) in [
        ("From", HeaderName::From, Some(400)),
        ("To", HeaderName::To, Some(400)),
        ("Call-ID", HeaderName::CallId, Some(400)),
        ("CSeq", HeaderName::CSeq, None),
        ("Via", HeaderName::Via, None),
    ] {
        let lines: Vec<_> = GOOD.iter().copied().filter(|line| !line.starts_with(&format!("{missing}:"))).collect();
        let error = parse(format!("{}\r\n\r\n", lines.join("\r\n"))).unwrap_err();
        assert_eq!(error.fault, field(name, FieldFault::Missing));
        assert_eq!(error.answer.map(|answer| answer.status.code()), status, "{missing}");
    }
}

// RFC 4475 section 3.3.8
// Rule: sip.torture
#[test]
fn a_repeated_single_header_is_answered_and_its_second_value_does_not_go_back() {
    for line in ["t: <sip:other@h>", "f: <sip:other@h>;tag=2", "i: other", "CSeq : 59 MESSAGE", "max-forwards: 5"] {
        let mut text = GOOD.to_vec();
        text.push(line);
        let error = parse(format!("{}\r\n\r\n", text.join("\r\n"))).unwrap_err();
        assert!(matches!(error.fault, ParseFault::Field(FieldError { fault: FieldFault::Repeated, .. })), "{line}");
        assert_eq!(error.answer.unwrap().headers.len(), 5, "{line}");
    }
}

// RFC 3261 section 21.4.1
// Rule: sip.malformed
#[test]
fn the_reason_phrase_of_a_400_says_what_is_wrong() {
    let reason = |lines: &[&str]| {
        let answer = parse(with(lines)).unwrap_err().answer.unwrap();
        (answer.status.code(), answer.reason.as_str().unwrap().to_owned())
    };
    assert_eq!(reason(&["CSeq: 8 INVITE"]), (400, "CSeq names another method".to_owned()));
    assert_eq!(reason(&["Content-Length: -1"]).1, "Content-Length is malformed or contradicts itself");
    assert!(reason(&["Max-Forwards: 300"]).1.contains("Max-Forwards"));
    assert_eq!(reason(&["MESSAGE sip:h SIP/7.0"]), (505, Status::VERSION_NOT_SUPPORTED.reason().to_owned()));
}

#[test]
fn an_ack_is_never_answered() {
    assert_eq!(refused(&["ACK sip:h SIP/2.0", "CSeq: 1 MESSAGE"]).1, None);
}

// Rule: sip.injection
#[test]
fn a_bare_line_break_or_a_line_without_name_does_not_hide_a_header() {
    for lines in [&["Subject: a\nRoute: <sip:evil>"][..], &["Subject: a\rb"], &["no colon"], &["bad name: x"], &[": x"]]
    {
        assert_eq!(refused(lines), (ParseFault::HeaderLine, Some(400)), "{lines:?}");
    }
    let latin1 = [with(&[]).strip_suffix(b"\r\n").unwrap(), b"Subject: \xe9\r\nEvent: presence\r\n\r\n"].concat();
    assert!(request(latin1).headers.event().is_ok());
}

#[test]
fn a_head_without_end_or_with_too_many_lines_is_refused() {
    let text = with(&[]);
    assert_eq!(parse(text.slice(..text.len() - 2)).unwrap_err().fault, ParseFault::Truncated);
    let many = ["X-Y: y"; MAX_HEADERS].join("\r\n");
    let error = parse(format!("{}\r\n{many}\r\n\r\n", GOOD.join("\r\n"))).unwrap_err();
    assert_eq!((error.fault, error.answer.unwrap().status.code()), (ParseFault::TooManyHeaders, 513));
}

#[test]
fn line_ends_alone_are_a_keep_alive() {
    assert_eq!(parse_datagram(Bytes::from_static(b"\r\n\r\n")), Ok(Datagram::KeepAlive));
    assert_eq!(parse_datagram(Bytes::new()), Ok(Datagram::KeepAlive));
    let text = [b"\r\n\r\n", with(&[]).as_ref()].concat();
    assert!(parse(text).is_ok());
}

fn round_trip(message: &Message) {
    let mut out = BytesMut::new();
    message.write(&mut out);
    assert_eq!(parse(out.freeze()).as_ref(), Ok(message));
}

#[test]
fn what_is_printed_parses_to_the_same_value() {
    let message = parse(with(&["Contact: <sip:a@h;x=y>;q=1, \"n\" <sip:b@h>", "Subject : folded\r\n value"])).unwrap();
    round_trip(&message);
}

/// Lines that a hostile sender might mix.
fn any_line() -> impl Strategy<Value = String> {
    let names =
        ["Via", "v", "From", "To", "Call-ID", "CSeq", "Contact", "l", "Content-Length", "Max-Forwards", "X", "\"", ""];
    let values = [
        "SIP/2.0/UDP h;branch=z9hG4bKx",
        "<sip:a@h>;tag=1",
        "sip:a@[::1]:5;lr",
        "\"a\\\"b\" <sip:a@h>",
        "1 MESSAGE",
        "70",
        "0",
        "-1",
        "99999999999999999999",
        "<",
        ";;",
        ",",
        "\r\n x",
        "\u{e9}\0",
        "%zz",
        "sip:a%2",
    ];
    (
        proptest::sample::select(names.to_vec()),
        proptest::collection::vec(proptest::sample::select(values.to_vec()), 0..3),
    )
        .prop_map(|(name, values)| format!("{name}:{}", values.concat()))
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_datagram(Bytes::from(bytes.clone()));
        let (mut framer, mut buffer) = (crate::frame::Framer::default(), BytesMut::from(&bytes[..]));
        while framer.push(&mut buffer).is_some() {}
    }

    #[test]
    fn no_mixture_of_lines_panics_and_what_parses_round_trips(
        lines in proptest::collection::vec(any_line(), 0..8),
        cut in 0_usize..600,
    ) {
        let text = format!("{}\r\n{}\r\n\r\nbody", GOOD[..2].join("\r\n"), lines.join("\r\n"));
        let text = Bytes::from(text);
        let _ = parse_datagram(text.slice(..cut.min(text.len())));
        let good = format!("{}\r\n{}\r\n\r\nbody", GOOD.join("\r\n"), lines.join("\r\n"));
        if let Ok(Datagram::Message(message)) = parse_datagram(Bytes::from(good)) {
            round_trip(&message);
        }
    }

    #[test]
    fn built_requests_round_trip(user in "\\PC{1,20}", subject in "[^\\x00-\\x1f\\x7f]{0,30}", body in "\\PC{0,50}") {
        let Ok(Message::Request(mut request)) = parse(with(&[])) else { panic!() };
        request.uri = Uri::sip(&user, "contoso.example").unwrap();
        let decoded = request.uri.user_decoded().map(|user| user.into_owned());
        prop_assert_eq!(decoded.as_deref(), Some(user.as_bytes()));
        let subject = HeaderValue::new(subject.trim_matches([' ', '\t']).to_owned()).unwrap();
        let request = request.with(HeaderName::Subject, subject)
            .with_body(HeaderValue::from_static("text/plain"), body);
        round_trip(&Message::Request(request));
    }
}
