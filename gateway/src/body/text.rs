//! The text in the body of a MESSAGE (RFC 7572, section 7): plain, HTML reduced to plain, or the best alternative.
//!
//! HTML does not become XHTML-IM: XEP-0071 is deprecated for its security problems, so only the text is kept.
//! Not read: message/cpim, isComposing, anything encrypted.

use std::borrow::Cow;

use bytes::Bytes;
use causeway_sip::field::MediaType;

/// The Accept header of a 415: what [`read`] takes.
pub const ACCEPT: &str = "text/plain, text/html, multipart/alternative";

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

/// The text of a body of this Content-Type; no type means text/plain.
pub fn read(content_type: Option<&MediaType>, body: &[u8]) -> Result<String, TextFault> {
    match content_type {
        None => decode(body, None),
        Some(kind) if kind.is("text", "plain") => decode(body, kind.charset()),
        Some(kind) if kind.is("text", "html") => Ok(html_to_text(&decode(body, kind.charset())?)),
        Some(kind) if kind.is("multipart", "alternative") => alternative(kind, body),
        Some(_) => Err(TextFault::UnsupportedType),
    }
}

fn decode(body: &[u8], charset: Option<&str>) -> Result<String, TextFault> {
    let charset = charset.unwrap_or("utf-8").to_ascii_lowercase();
    match charset.as_str() {
        // US-ASCII is a subset, and who says ASCII often sends UTF-8.
        "utf-8" | "utf8" | "us-ascii" | "ascii" => {
            let text = std::str::from_utf8(body).map_err(|_| TextFault::Malformed)?;
            Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
        }
        "iso-8859-1" | "latin1" => Ok(body.iter().map(|byte| char::from(*byte)).collect()),
        _ => Err(TextFault::UnsupportedType),
    }
}

/// RFC 2046, section 5.1.4: the parts say the same; plain text is the one an XMPP client shows best.
fn alternative(kind: &MediaType, body: &[u8]) -> Result<String, TextFault> {
    let boundary = kind.params.get_str("boundary").filter(|boundary| !boundary.is_empty() && boundary.len() <= 70);
    let boundary = boundary.ok_or(TextFault::Malformed)?;
    let body = std::str::from_utf8(body).map_err(|_| TextFault::Malformed)?;
    let delimiter = format!("--{boundary}");
    let mut html = None;
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
        if part_type.is("text", "plain") {
            return read(Some(&part_type), content.as_bytes());
        }
        if part_type.is("text", "html") && html.is_none() {
            html = Some(read(Some(&part_type), content.as_bytes())?);
        }
    }
    html.ok_or(TextFault::UnsupportedType)
}

fn split_head(part: &str) -> Option<(&str, &str)> {
    if let Some(content) = part.strip_prefix("\r\n").or_else(|| part.strip_prefix('\n')) {
        return Some(("", content));
    }
    part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n"))
}

/// Drops tags, scripts and styles, turns breaks and blocks into lines, and replaces the usual entities.
fn html_to_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, from)) = rest.split_once('<') {
        push_html_text(&mut out, before);
        let (tag, after) = match from.strip_prefix("!--") {
            Some(comment) => ("", comment.split_once("-->").map_or("", |(_, after)| after)),
            None => from.split_once('>').unwrap_or(("", "")),
        };
        rest = after;
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
        match name.trim_end_matches('/').to_ascii_lowercase().as_str() {
            "br" | "/p" | "/div" | "/li" | "/tr" | "/h1" | "/h2" | "/h3" | "/blockquote" => out.push('\n'),
            "script" | "style" | "head" | "title" if !tag.ends_with('/') => {
                let end = format!("</{}", name.to_ascii_lowercase());
                let lower = rest.to_ascii_lowercase();
                rest = lower.find(&end).and_then(|at| rest.get(at..)).unwrap_or_default();
            }
            _ => {}
        }
    }
    push_html_text(&mut out, rest);
    out.trim().to_owned()
}

/// White space is one space in HTML.
fn push_html_text(out: &mut String, text: &str) {
    let mut rest: Cow<'_, str> = Cow::Borrowed(text);
    if text.contains('&') {
        rest = Cow::Owned(replace_entities(text));
    }
    for c in rest.chars() {
        if c.is_ascii_whitespace() {
            if !out.is_empty() && !out.ends_with([' ', '\n']) {
                out.push(' ');
            }
        } else {
            out.push(c);
        }
    }
}

fn replace_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('&') {
        out.push_str(before);
        let found = from.split_once(';').filter(|(name, _)| name.len() <= 8);
        let character = found.and_then(|(name, _)| match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            "nbsp" => Some('\u{a0}'),
            _ => {
                let digits = name.strip_prefix('#')?;
                let hex = digits.strip_prefix(['x', 'X']);
                let code = hex.map_or_else(|| digits.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())?;
                char::from_u32(code)
            }
        });
        match (character, found) {
            (Some(character), Some((_, after))) => {
                out.push(character);
                rest = after;
            }
            (_, _) => {
                out.push('&');
                rest = from;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &'static str) -> MediaType {
        MediaType::parse(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn check(content_type: &'static str, body: &str, expected: Result<&str, TextFault>) {
        assert_eq!(read(Some(&kind(content_type)), body.as_bytes()), expected.map(str::to_owned), "{content_type}");
    }

    #[test]
    fn plain_text_is_taken_as_it_is() {
        check("text/plain", "Gr\u{fc}\u{df}e \u{1f600}\r\n", Ok("Gr\u{fc}\u{df}e \u{1f600}\r\n"));
        check("Text / Plain ; charset=\"UTF-8\"; msgr=WAAtAE0", "a", Ok("a"));
        assert_eq!(read(None, b"a"), Ok("a".into()));
        assert_eq!(read(Some(&kind("text/plain;charset=ISO-8859-1")), b"\xfc"), Ok("\u{fc}".into()));
        assert_eq!(read(Some(&kind("text/plain")), b"\xfc"), Err(TextFault::Malformed));
        check("text/plain;charset=utf-7", "a", Err(TextFault::UnsupportedType));
    }

    // RFC 7572 section 7, T21.
    #[test]
    fn other_types_are_refused() {
        for kind in ["text/rtf", "application/x-ms-ink", "message/cpim", "application/im-iscomposing+xml"] {
            check(kind, "x", Err(TextFault::UnsupportedType));
        }
    }

    #[test]
    fn html_is_reduced_to_its_text() {
        check(
            "text/html",
            "<html><head><title>t</title><style>p{}</style></head><body><p>Hi&nbsp;&lt;you&gt; &amp;\n  me<br/>2<b>nd</b></p><script>x<y</script>\
             <!-- c > --></body>",
            Ok("Hi\u{a0}<you> & me\n2nd"),
        );
        check("text/html", "a < b", Ok("a"));
    }

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
