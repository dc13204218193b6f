//! A description within a multipart body (RFC 5621, RFC 2046 section 5.1): the one part of a request that its user reads.
//!
//! In `multipart/alternative` the last part of a known type counts, in all other kinds each part for itself: one of an
//! unknown type is skipped if it says `handling=optional`, and else the request is not understood. Bodies that nest are
//! followed [`MAX_DEPTH`] deep.

use bytes::Bytes;

use crate::field::MediaType;
use crate::grammar;
use crate::header::HeaderValue;
use crate::params::Params;

/// Parts of one body that are looked at; more make it unreadable.
const MAX_PARTS: usize = 16;
/// Multipart bodies within each other: mixed, related and alternative are the most that clients write.
const MAX_DEPTH: usize = 3;
/// The longest boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) content_type: HeaderValue,
    pub(crate) body: Bytes,
}

/// Finds the part of a known type. `None` if there is none, or one that must be understood and is not.
pub(crate) fn find(media: &MediaType, body: &Bytes, is_known: &dyn Fn(&MediaType) -> bool) -> Option<Part> {
    search(media, body, is_known, MAX_DEPTH)
}

fn search(media: &MediaType, body: &Bytes, is_known: &dyn Fn(&MediaType) -> bool, depth: usize) -> Option<Part> {
    let depth = depth.checked_sub(1)?;
    let is_alternative = media.is("multipart", "alternative");
    let mut found = None;
    for (headers, body) in parts(body, media.params.get("boundary")?)? {
        let Reading { part, is_required } = read(&headers, body, is_known, depth);
        found = match (part, is_alternative) {
            (None, false) if is_required => return None,
            (part, true) => part.or(found),
            (part, false) => found.or(part),
        };
    }
    found
}

/// What one part turned out to be.
struct Reading {
    part: Option<Part>,
    is_required: bool,
}

fn read(headers: &Bytes, body: Bytes, is_known: &dyn Fn(&MediaType) -> bool, depth: usize) -> Reading {
    let content_type = header(headers, b"Content-Type").unwrap_or(Bytes::from_static(b"text/plain"));
    let disposition = header(headers, b"Content-Disposition").unwrap_or_default();
    let params_at = memchr::memchr(b';', &disposition).unwrap_or(disposition.len());
    let params = Params::parse(disposition.slice(params_at..)).unwrap_or_default();
    // Required is the default (RFC 3261 section 20.11).
    let is_required = params.get("handling").is_none_or(|handling| !handling.eq_ignore_ascii_case(b"optional"));
    let encoding = header(headers, b"Content-Transfer-Encoding").unwrap_or_default();
    let is_plain = [&b""[..], b"7bit", b"8bit", b"binary"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain));
    let part = MediaType::parse(&content_type).ok().filter(|_| is_plain).and_then(|media| {
        if is_known(&media) {
            let content_type = HeaderValue::new(grammar::ascii(&content_type).to_owned()).ok()?;
            return Some(Part { content_type, body });
        }
        media.kind().eq_ignore_ascii_case("multipart").then(|| search(&media, &body, is_known, depth)).flatten()
    });
    Reading { part, is_required }
}

/// Header lines and content of each part. `None` if the body is not made of parts.
fn parts(body: &Bytes, boundary: &[u8]) -> Option<Vec<(Bytes, Bytes)>> {
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return None;
    }
    let delimiter = [b"--", boundary].concat();
    let mut parts = Vec::new();
    let mut begin = None;
    for at in memchr::memmem::find_iter(body.as_ref(), &delimiter) {
        let behind = at + delimiter.len();
        let after = body.get(behind..).unwrap_or_default();
        let is_last = after.starts_with(b"--");
        let line_end = memchr::memmem::find(after, b"\r\n").unwrap_or(after.len());
        let is_alone = is_last || grammar::trim(after.get(..line_end).unwrap_or_default()).is_empty();
        let begins_a_line = at == 0 || body.get(..at).is_some_and(|before| before.ends_with(b"\r\n"));
        if !is_alone || !begins_a_line {
            continue;
        }
        if let Some(begin) = begin.filter(|begin| *begin < at) {
            // The line end before a delimiter belongs to the delimiter.
            let part = body.slice(begin..at - 2);
            let head = memchr::memmem::find(&part, b"\r\n\r\n")?;
            parts.push((part.slice(..head), part.slice(head + 4..)));
        }
        if is_last || parts.len() > MAX_PARTS {
            break;
        }
        // The line end behind it stays, so that a part without headers begins with an empty line, too.
        begin = Some(behind + line_end);
    }
    (parts.len() <= MAX_PARTS).then_some(parts)
}

/// The value of a header of a part. A folded one is cut at its first line, which holds all that is looked for.
fn header(headers: &Bytes, name: &[u8]) -> Option<Bytes> {
    headers.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = grammar::split_once(line, b':')?;
        let value = grammar::trim(value.strip_suffix(b"\r").unwrap_or(value));
        grammar::trim(found).eq_ignore_ascii_case(name).then(|| grammar::share(headers, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sdp(media: &MediaType) -> bool {
        media.is("application", "sdp")
    }

    fn media(text: String) -> MediaType {
        MediaType::parse(&Bytes::from(text)).unwrap()
    }

    /// The description found in a body of `kind`, whose parts are given as headers and content.
    fn found(kind: &str, parts: &[(&str, &str)]) -> Option<String> {
        let media = media(format!("multipart/{kind};boundary=\"b 1\""));
        let parts: String =
            parts.iter().map(|(headers, body)| format!("--b 1\r\n{headers}\r\n\r\n{body}\r\n")).collect();
        let body = Bytes::from(format!("preamble\r\n{parts}--b 1--\r\nepilogue"));
        find(&media, &body, &sdp).map(|part| String::from_utf8(part.body.to_vec()).unwrap())
    }

    const SDP: (&str, &str) = ("Content-Type: application/sdp\r\nContent-Disposition: session", "v=0");
    const OPTIONAL: (&str, &str) = ("Content-Type: image/png\r\nContent-Disposition: icon;handling=optional", "x");
    const REQUIRED: (&str, &str) = ("Content-Type: image/png", "x");

    // Rule: sip.multipart
    #[test]
    fn the_description_is_found_among_parts_that_may_be_skipped() {
        assert_eq!(found("mixed", &[SDP]).as_deref(), Some("v=0"));
        assert_eq!(found("mixed", &[OPTIONAL, SDP, OPTIONAL]).as_deref(), Some("v=0"));
        assert_eq!(found("related", &[("content-type:Application/SDP;x=y", "a\r\nb")]).as_deref(), Some("a\r\nb"));
    }

    // Rule: sip.multipart
    #[test]
    fn a_part_that_must_be_understood_and_is_not_spoils_the_whole() {
        let encoded = ("Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64", "dj0w");
        assert_eq!(found("mixed", &[SDP, REQUIRED]), None);
        assert_eq!(found("mixed", &[SDP, ("", "text")]), None);
        assert_eq!(found("mixed", &[OPTIONAL]), None);
        assert_eq!(found("mixed", &[encoded]), None);
    }

    // Rule: sip.multipart
    #[test]
    fn of_alternatives_the_last_that_is_known_counts() {
        let other = ("Content-Type: application/sdp", "v=1");
        assert_eq!(found("alternative", &[SDP, other, REQUIRED]).as_deref(), Some("v=1"));
    }

    #[test]
    fn bodies_may_nest_a_little_and_have_a_few_parts() {
        let mut body = "v=0".to_owned();
        for depth in 0..=MAX_DEPTH {
            let inner = match depth {
                0 => "application/sdp".to_owned(),
                depth => format!("multipart/mixed;boundary=n{}", depth - 1),
            };
            body = format!("--n{depth}\r\nContent-Type: {inner}\r\n\r\n{body}\r\n--n{depth}--");
            let outer = media(format!("multipart/mixed;boundary=n{depth}"));
            assert_eq!(find(&outer, &Bytes::from(body.clone()), &sdp).is_some(), depth < MAX_DEPTH, "{depth}");
        }
        assert!(found("mixed", &[SDP; MAX_PARTS]).is_some());
        assert_eq!(found("mixed", &[SDP; MAX_PARTS + 1]), None);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in "(--b|--|\r\n|Content-Type: application/sdp|:|;|x){0,20}") {
            let _ = find(&media("multipart/mixed;boundary=b".to_owned()), &Bytes::from(body), &sdp);
        }
    }
}
