//! Escaping of the canonical form: minimal, fixed, and proof against being read as anything else.
//!
//! Values stand between apostrophes. In text `&`, `<` and `>` are escaped, in values `&`, `<` and the apostrophe;
//! white space that a reader would normalise away is written as character references. A character that XML cannot
//! carry becomes U+FFFD: it can only come from our own side, for the tokenizer refuses it.

use bytes::BytesMut;

use super::xml::{ESCAPED_IN_TEXT, ESCAPED_IN_VALUE, Piece, Text, Value, is, is_char};

const REPLACEMENT: &str = "\u{fffd}";

/// Text that the tokenizer has checked.
pub(super) fn checked_text(out: &mut BytesMut, text: Text<'_>) {
    if text.plain {
        out.extend_from_slice(text.raw.as_bytes());
    } else {
        text.pieces(|piece| with_piece(piece, |part| self::text(out, part)));
    }
}

/// A value that the tokenizer has checked.
pub(super) fn checked_value(out: &mut BytesMut, value: Value<'_>) {
    if value.plain {
        out.extend_from_slice(value.raw.as_bytes());
    } else {
        value.pieces(|piece| with_piece(piece, |part| self::value(out, part)));
    }
}

fn with_piece(piece: Piece<'_>, then: impl FnOnce(&str)) {
    match piece {
        Piece::Stretch(stretch) => then(stretch),
        Piece::Character(character) => then(character.encode_utf8(&mut [0; 4])),
    }
}

/// Any text, escaped.
pub(super) fn text(out: &mut BytesMut, text: &str) {
    escape(out, text, ESCAPED_IN_TEXT);
}

/// Any value of an attribute, escaped.
pub(super) fn value(out: &mut BytesMut, value: &str) {
    escape(out, value, ESCAPED_IN_VALUE);
}

fn escape(out: &mut BytesMut, text: &str, class: u8) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| is(byte, class)) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.extend_from_slice(before.as_bytes());
        let mut characters = from.chars();
        let mut itself = [0; 4];
        let instead = match characters.next() {
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            Some('\'') => "&apos;",
            Some('\t') => "&#x9;",
            Some('\n') => "&#xA;",
            Some('\r') => "&#xD;",
            // Most of those whose first byte is 0xEF are characters like any other.
            Some(other) if is_char(other) => other.encode_utf8(&mut itself),
            Some(_) => REPLACEMENT,
            None => break,
        };
        out.extend_from_slice(instead.as_bytes());
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// An attribute with everything around it, escaped.
pub(super) fn attribute(out: &mut BytesMut, name: &str, value: &str) {
    attribute_open(out, name);
    self::value(out, value);
    out.extend_from_slice(b"'");
}

/// An attribute up to its value.
pub(super) fn attribute_open(out: &mut BytesMut, name: &str) {
    out.extend_from_slice(b" ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
}
