//! Escaping of the canonical form: minimal, fixed, and proof against being read as anything else.
//!
//! Values stand between apostrophes. In text `&`, `<` and `>` are escaped, in values `&`, `<` and the apostrophe;
//! white space that a reader would normalise away is written as character references. A character that XML cannot
//! carry becomes U+FFFD: it can only come from our own side, for the tokenizer refuses it.

use bytes::BytesMut;

use super::xml::{Piece, Text, Value, is_char};

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
    escape(out, text, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#xD;"),
        _ if is_char(character) => None,
        _ => Some(REPLACEMENT),
    });
}

/// Any value of an attribute, escaped.
pub(super) fn value(out: &mut BytesMut, value: &str) {
    escape(out, value, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '\'' => Some("&apos;"),
        '\t' => Some("&#x9;"),
        '\n' => Some("&#xA;"),
        '\r' => Some("&#xD;"),
        _ if is_char(character) => None,
        _ => Some(REPLACEMENT),
    });
}

fn escape(out: &mut BytesMut, text: &str, replacement: impl Fn(char) -> Option<&'static str>) {
    let mut from = 0;
    for (at, character) in text.char_indices() {
        if let Some(instead) = replacement(character) {
            out.extend_from_slice(text.get(from..at).unwrap_or_default().as_bytes());
            out.extend_from_slice(instead.as_bytes());
            from = at + character.len_utf8();
        }
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default().as_bytes());
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
