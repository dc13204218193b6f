//! From bytes to text: PowerShell writes UTF-16 with a byte order mark, its successors UTF-8 with or without one.

use super::{Fault, FaultCause};

/// The text without its byte order mark.
pub(super) fn text(bytes: &[u8]) -> Result<String, Fault> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        rest => utf8(rest),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
        (Some(1 + good.iter().filter(|byte| **byte == b'\n').count()), FaultCause::Encoding)
    })?;
    Ok(text.to_owned())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Fault> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(pairs.len());
    for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        text.push(character.map_err(|_| (Some(line_of(&text, text.len())), FaultCause::Encoding))?);
    }
    match rest {
        [] => Ok(text),
        [..] => Err((Some(line_of(&text, text.len())), FaultCause::Encoding)),
    }
}

/// The number of the line that a byte of a text is in, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
