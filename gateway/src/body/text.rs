//! The text in the body of a MESSAGE (RFC 7572, section 7): plain, HTML reduced to plain, or the best alternative.
//!
//! HTML becomes XHTML-IM only where that is wanted: XEP-0071 is deprecated for its security problems.

use std::borrow::Cow;

use bytes::Bytes;
use causeway_sip::field::MediaType;

use super::html;

/// Parts that a multipart body may have.
const MAX_PARTS: usize = 16;

/// Why a body has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// A type or character set that the gateway does not take.
    #[error("the content type is not supported")]
    UnsupportedType,
    /// Not what its type says.
    #[error("the body does not follow its content type")]
    Malformed,
}

/// A text, and the HTML it was given as or with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable<'b> {
    /// To read as it is.
    pub plain: Cow<'b, str>,
    /// The same with marks, as it came.
    pub html: Option<Cow<'b, str>>,
}

impl<'b> Readable<'b> {
    const fn plain(plain: Cow<'b, str>) -> Self {
        Self { plain, html: None }
    }

    fn html(html: Cow<'b, str>) -> Self {
        Self { plain: Cow::Owned(html::to_text(&html)), html: Some(html) }
    }
}

/// The text of a body of this Content-Type; no type means text/plain.
pub fn read<'b>(content_type: Option<&MediaType>, body: &'b [u8]) -> Result<Readable<'b>, TextFault> {
    match content_type {
        None => decode(body, None).map(Readable::plain),
        Some(kind) if kind.is("text", "plain") => decode(body, kind.charset()).map(Readable::plain),
        Some(kind) if kind.is("text", "html") => decode(body, kind.charset()).map(Readable::html),
        Some(kind) if kind.is("multipart", "alternative") => alternative(kind, body),
        Some(_) => Err(TextFault::UnsupportedType),
    }
}

fn decode<'b>(body: &'b [u8], charset: Option<&str>) -> Result<Cow<'b, str>, TextFault> {
    let is = |name: &str| charset.is_some_and(|charset| charset.eq_ignore_ascii_case(name));
    // US-ASCII is a subset, and who says ASCII often sends UTF-8.
    if charset.is_none() || ["utf-8", "utf8", "us-ascii", "ascii"].into_iter().any(is) {
        let text = std::str::from_utf8(body).map_err(|_| TextFault::Malformed)?;
        return Ok(Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)));
    }
    if ["iso-8859-1", "latin1"].into_iter().any(is) {
        return Ok(Cow::Owned(body.iter().map(|byte| char::from(*byte)).collect()));
    }
    Err(TextFault::UnsupportedType)
}

/// RFC 2046, section 5.1.4: the parts say the same; plain text is the one an XMPP client shows best.
fn alternative<'b>(kind: &MediaType, body: &'b [u8]) -> Result<Readable<'b>, TextFault> {
    let boundary = kind.params.get_str("boundary").filter(|boundary| !boundary.is_empty() && boundary.len() <= 70);
    let boundary = boundary.ok_or(TextFault::Malformed)?;
    let body = std::str::from_utf8(body).map_err(|_| TextFault::Malformed)?;
    let delimiter = format!("--{boundary}");
    let (mut plain, mut html) = (None, None);
    for part in body.split(delimiter.as_str()).skip(1).take(MAX_PARTS) {
        if part.starts_with("--") {
            break;
        }
        let part = part.trim_start_matches([' ', '\t']);
        let part = part.strip_prefix("\r\n").or_else(|| part.strip_prefix('\n')).unwrap_or(part);
        let part = part.strip_suffix("\r\n").or_else(|| part.strip_suffix('\n')).unwrap_or(part);
        let Some((head, content)) = split_head(part) else { continue };
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
        };
        let encoding = header("Content-Transfer-Encoding").unwrap_or("8bit");
        if !["7bit", "8bit", "binary"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain)) {
            continue;
        }
        let part_type = header("Content-Type").unwrap_or("text/plain");
        let Ok(part_type) = MediaType::parse(&Bytes::copy_from_slice(part_type.as_bytes())) else { continue };
        if part_type.is("text", "plain") && plain.is_none() {
            plain = Some(decode(content.as_bytes(), part_type.charset())?);
        }
        if part_type.is("text", "html") && html.is_none() {
            html = Some(decode(content.as_bytes(), part_type.charset())?);
        }
    }
    match (plain, html) {
        (Some(plain), html) => Ok(Readable { plain, html }),
        (None, Some(html)) => Ok(Readable::html(html)),
        (None, None) => Err(TextFault::UnsupportedType),
    }
}

fn split_head(part: &str) -> Option<(&str, &str)> {
    if let Some(content) = part.strip_prefix("\r\n").or_else(|| part.strip_prefix('\n')) {
        return Some(("", content));
    }
    part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &'static str) -> MediaType {
        MediaType::parse(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn check(content_type: &'static str, body: &str, expected: Result<&str, TextFault>) {
        let read = read(Some(&kind(content_type)), body.as_bytes());
        assert_eq!(read.as_ref().map(|read| &*read.plain), expected.as_ref().map(|text| *text), "{content_type}");
    }

    // Rule: message.content
    #[test]
    fn plain_text_is_taken_as_it_is() {
        check("text/plain", "Gr\u{fc}\u{df}e \u{1f600}\r\n", Ok("Gr\u{fc}\u{df}e \u{1f600}\r\n"));
        check("Text / Plain ; charset=\"UTF-8\"; msgr=WAAtAE0", "a", Ok("a"));
        assert_eq!(read(None, b"a").unwrap().plain, "a");
        assert_eq!(read(Some(&kind("text/plain;charset=ISO-8859-1")), b"\xfc").unwrap().plain, "\u{fc}");
        assert_eq!(read(Some(&kind("text/plain")), b"\xfc"), Err(TextFault::Malformed));
        check("text/plain;charset=utf-7", "a", Err(TextFault::UnsupportedType));
    }

    // RFC 7572 section 7.
    // Rule: message.content
    #[test]
    fn other_types_are_refused() {
        for kind in ["text/rtf", "application/x-ms-ink", "message/cpim", "application/im-iscomposing+xml"] {
            check(kind, "x", Err(TextFault::UnsupportedType));
        }
    }

    // Rule: message.content
    #[test]
    fn the_plain_alternative_wins() {
        let body = "preamble\r\n--b1\r\nContent-Type: text/html\r\n\r\n<b>Hi</b>\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHi\r\n\
                    line two\r\n--b1--\r\n";
        check("multipart/alternative; boundary=\"b1\"", body, Ok("Hi\r\nline two"));
        let html_only = "--b1\r\nContent-Type: text/html\r\n\r\n<b>Hi</b>\r\n--b1--";
        check("multipart/alternative;boundary=b1", html_only, Ok("Hi"));
        check("multipart/alternative;boundary=b1", "--b1--", Err(TextFault::UnsupportedType));
        check("multipart/alternative", "", Err(TextFault::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(body in "[<>/a-c=' &;#x0-9!\r\n:-]{0,80}") {
            for content_type in ["text/html", "text/plain", "multipart/alternative;boundary=a"] {
                let _ = read(Some(&kind(content_type)), body.as_bytes());
            }
        }
    }
}
