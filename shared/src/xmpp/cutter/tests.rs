use super::*;
use bytes::{Buf as _, BytesMut};
use proptest::prelude::*;

const HEADER: &str = "<?xml version='1.0' encoding='UTF-8'?>\n<stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' to='a.example' from='b>c'>";

/// Everything the peer says, cut; the pieces are the bytes the ranges name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Header(String),
    Element(String),
    /// White space may arrive in pieces, so it is joined.
    Whitespace(usize),
    Close,
    Fault(StreamCondition),
}

/// Feeds chunks as a connection would, and takes what was cut out of the buffer.
fn cut(chunks: &[&[u8]], limits: Limits) -> Vec<Piece> {
    let mut cutter = Cutter::new(limits);
    cutter.authenticated();
    let (mut buffer, mut pieces) = (BytesMut::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let (piece, end) = match cutter.next(&buffer) {
                Cut::Need => break,
                Cut::Header(range) => (Piece::Header(text(&buffer[range.clone()])), range.end),
                Cut::Element(range) => (Piece::Element(text(&buffer[range.clone()])), range.end),
                Cut::Whitespace(range) => (Piece::Whitespace(range.len()), range.end),
                Cut::Close(range) => (Piece::Close, range.end),
                Cut::Fault(fault) => {
                    pieces.push(Piece::Fault(fault.condition));
                    return pieces;
                }
            };
            match (pieces.last_mut(), &piece) {
                (Some(Piece::Whitespace(before)), Piece::Whitespace(more)) => *before += more,
                _ => pieces.push(piece),
            }
            buffer.advance(end);
        }
    }
    pieces
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn whole(stream: &str) -> Vec<Piece> {
    cut(&[stream.as_bytes()], Limits::default())
}

/// The last thing that comes of a stream, header included, whole and byte by byte.
fn check(stream: &str, expected: &Piece) {
    assert_eq!(whole(stream).last(), Some(expected), "{stream}");
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(cut(&bytes, Limits::default()).last(), Some(expected), "byte by byte: {stream}");
}

fn refused(stream: &str, condition: StreamCondition) {
    check(stream, &Piece::Fault(condition));
}

#[test]
fn a_stream_falls_into_header_elements_white_space_and_close() {
    let stanza = "<message a='>' b=\"it's >\"><body>1 > 0 <![CDATA[</body></message>]]]]></body><x/></message>";
    assert_eq!(
        whole(&format!("{HEADER}{stanza} \n<presence/>{stanza}</stream:stream >")),
        [
            Piece::Header(HEADER.into()),
            Piece::Element(stanza.into()),
            Piece::Whitespace(2),
            Piece::Element("<presence/>".into()),
            Piece::Element(stanza.into()),
            Piece::Close,
        ]
    );
}

#[test]
fn every_split_gives_the_same_cuts() {
    let stream = format!(
        "{HEADER} <a b='>'><c><![CDATA[]]x]>]]></c>\u{1f980}</a>\n<d/><e f=\"'>\"/><g>]]</g ></stream:stream>\n"
    );
    let expected = whole(&stream);
    for at in 0..=stream.len() {
        let (one, two) = stream.as_bytes().split_at(at);
        assert_eq!(cut(&[one, two], Limits::default()), expected, "split at {at}");
    }
}

#[test]
fn a_keepalive_is_seen_at_once() {
    let mut cutter = Cutter::new(Limits::default());
    assert_eq!(cutter.next(HEADER.as_bytes()), Cut::Header(0..HEADER.len()));
    assert_eq!(cutter.next(b" "), Cut::Whitespace(0..1));
    assert!(!cutter.is_within_element());
    assert_eq!(cutter.next(b""), Cut::Need);
    assert_eq!(cutter.next(b"<"), Cut::Need);
    assert!(cutter.is_within_element());
}

#[test]
fn comments_instructions_and_dtds_are_refused_at_the_byte_that_shows_them() {
    for odd in ["<!-", "<!D", "<![X", "<!>"] {
        refused(&format!("{HEADER}<a>{odd}"), StreamCondition::RestrictedXml);
    }
    for odd in ["<!", "<?", "<![CDATA["] {
        refused(&format!("{HEADER}{odd}"), StreamCondition::RestrictedXml);
    }
    refused(&format!("{HEADER}<a><?"), StreamCondition::RestrictedXml);
    for odd in ["<!", "<?p", "<?xml-stylesheet", "<?xml2 ", " <?", "<?xml version='1.0'?><!", "<?xml version='1.0'?><?"]
    {
        refused(odd, StreamCondition::RestrictedXml);
    }
}

#[test]
fn whatever_precedes_the_header_is_refused() {
    for odd in ["x", "\u{feff}<stream", "GET / HTTP/1.1", "\u{16}\u{3}\u{1}", "</a>"] {
        refused(odd, StreamCondition::NotWellFormed);
    }
    for utf_16 in [&b"\xff\xfe<\0"[..], b"\xfe\xff\0<", b"\0<"] {
        assert_eq!(cut(&[utf_16], Limits::default()), [Piece::Fault(StreamCondition::UnsupportedEncoding)]);
    }
    refused("<stream:stream/>", StreamCondition::NotWellFormed);
    check(" \n<stream:stream>", &Piece::Header(" \n<stream:stream>".into()));
}

#[test]
fn only_elements_and_white_space_stand_between_elements() {
    refused(&format!("{HEADER}x"), StreamCondition::BadFormat);
    refused(&format!("{HEADER}<a/>&amp;"), StreamCondition::BadFormat);
    refused(&format!("{HEADER}</stream>"), StreamCondition::NotWellFormed);
    refused(&format!("{HEADER}</stream:stream>x"), StreamCondition::NotWellFormed);
    refused(&format!("{HEADER}</stream:stream><a/>"), StreamCondition::NotWellFormed);
}

#[test]
fn a_quote_hides_nothing_in_an_end_tag() {
    check(&format!("{HEADER}<a></a'>"), &Piece::Element("<a></a'>".into()));
    refused(&format!("{HEADER}</stream:stream'>"), StreamCondition::NotWellFormed);
}

#[test]
fn size_and_depth_are_bounded_while_reading() {
    let limits = Limits { byte_stanza: 100, byte_pre_auth: 30, byte_header: 200, depth: 3, ..Limits::default() };
    let outcome = |stream: &str| cut(&[HEADER.as_bytes(), stream.as_bytes()], limits).pop();
    let fault = Some(Piece::Fault(StreamCondition::PolicyViolation));
    let longest = format!("<a>{}</a>", "x".repeat(93));
    assert_eq!(outcome(&longest), Some(Piece::Element(longest.clone())));
    assert_eq!(outcome(&format!("<a>{}</a>", "x".repeat(94))), fault);
    assert_eq!(outcome(&format!("<a>{}", "x".repeat(98))), fault, "before the end is there");
    assert_eq!(outcome("<a><b><c><d>"), fault);
    assert_eq!(outcome("<a><b><c><d/>"), fault);
    assert_eq!(outcome("<a><b><c/></b></a>"), Some(Piece::Element("<a><b><c/></b></a>".into())));
    assert_eq!(cut(&[b"<a ", &[b' '; 200]], limits).pop(), fault, "the header, too");
    assert_eq!(cut(&[&[b' '; 201]], limits).pop(), fault, "and white space in front of it");

    let mut cutter = Cutter::new(limits);
    assert_eq!(cutter.next(HEADER.as_bytes()), Cut::Header(0..HEADER.len()));
    assert!(matches!(cutter.next(&[b"<a>".as_slice(), &[b'x'; 28]].concat()), Cut::Fault(_)), "not authenticated yet");
}

#[test]
fn nothing_behind_a_limit_is_looked_at() {
    let spaces = " ".repeat(Limits::default().byte_header);
    // Arriving at once, these used to be judged by what stands behind the limit.
    check(&format!("<stream:stream{spaces}/>"), &Piece::Fault(StreamCondition::PolicyViolation));
    let spaces = " ".repeat(Limits::default().byte_stanza);
    check(&format!("{HEADER}</stream:stream{spaces}>"), &Piece::Fault(StreamCondition::PolicyViolation));
}

#[test]
fn a_form_feed_is_no_white_space() {
    refused(&format!("{HEADER}</stream:stream\x0c>"), StreamCondition::NotWellFormed);
    refused(&format!("\x0c{HEADER}"), StreamCondition::NotWellFormed);
}

#[test]
fn a_restart_forgets_the_old_stream_but_not_who_the_peer_is() {
    let mut cutter = Cutter::new(Limits { byte_pre_auth: 10, ..Limits::default() });
    assert_eq!(cutter.next(HEADER.as_bytes()), Cut::Header(0..HEADER.len()));
    cutter.authenticated();
    cutter.restart();
    assert_eq!(cutter.next(b"<s>"), Cut::Header(0..3));
    assert_eq!(cutter.next(b"<a>more than ten</a>"), Cut::Element(0..20));
    assert_eq!(cutter.next(b"</s>"), Cut::Close(0..4));
}

proptest! {
    /// Fragments that mean something to the cutter, in any order and cut anywhere.
    #[test]
    fn no_split_of_any_stream_changes_what_comes_of_it(
        fragments in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..24),
        splits in prop::collection::vec(0.0..1.0_f64, 0..6),
    ) {
        let stream = format!("{HEADER}{}", fragments.concat());
        let mut at: Vec<usize> = splits.iter().map(|split| (split * stream.len() as f64) as usize).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]).collect();
        prop_assert_eq!(cut(&chunks, Limits::default()), whole(&stream));
    }

    #[test]
    fn no_bytes_make_the_cutter_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        cut(&[&bytes], Limits::default());
    }
}

const FRAGMENTS: &[&str] = &[
    "<a>",
    "</a>",
    "<b/>",
    "<c d='>'>",
    "<c d=\"'/>\">",
    "</c>",
    "<![CDATA[",
    "]]>",
    "]]",
    ">",
    "<",
    "/",
    " ",
    "\n",
    "x",
    "<!-",
    "<!",
    "<?",
    "'",
    "\"",
    "</stream:stream>",
    "é",
];
