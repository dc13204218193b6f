//! The characters and small shapes of RFC 3261 section 25.1: tokens, linear whitespace, quoted strings, lists.
//!
//! Called by every parser of this crate. Works on values that are already unfolded: whitespace is SP and HT only.

use bytes::Bytes;

/// Which bytes are characters of `token`: every name and value is walked through with it.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let char = byte as u8;
        table[byte] = char.is_ascii_alphanumeric()
            || matches!(char, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// A character of `token` (RFC 3261 section 25.1).
#[inline]
pub(crate) const fn is_token_char(byte: u8) -> bool {
    // A byte is always inside a table of 256.
    TOKEN[byte as usize]
}

/// A character of `word`, which is what a Call-ID is made of.
pub(crate) const fn is_word_char(byte: u8) -> bool {
    is_token_char(byte)
        || matches!(byte, b'(' | b')' | b'<' | b'>' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'{' | b'}')
}

pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_char)
}

/// `word [ "@" word ]`.
pub(crate) fn is_call_id(text: &[u8]) -> bool {
    let is_word = |part: &[u8]| !part.is_empty() && part.iter().copied().all(is_word_char);
    match split_once(text, b'@') {
        Some((left, right)) => is_word(left) && is_word(right),
        None => is_word(text),
    }
}

pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(crate) const fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_space(*first) {
            break;
        }
        text = rest;
    }
    text
}

pub(crate) const fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text {
        if !is_space(*last) {
            break;
        }
        text = rest;
    }
    text
}

pub(crate) const fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// Splits at the first `separator`, which belongs to neither part.
pub(crate) fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, text)?;
    let (left, right) = text.split_at_checked(at)?;
    Some((left, right.get(1..)?))
}

/// Splits a leading quoted string from what follows it: `"a \" b" rest` gives (`a \" b`, ` rest`).
/// `None` if the text does not start with a quote or the quote is never closed.
pub(crate) fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let mut bytes = inner.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next()?;
            }
            b'"' => {
                let (content, rest) = inner.split_at_checked(at)?;
                return Some((content, rest.get(1..)?));
            }
            _ => {}
        }
    }
    None
}

/// Where the first `separator` stands outside quoted strings and `<...>`.
/// `Err` if a quote or a bracket is never closed.
pub(crate) fn find_outside(text: &[u8], separator: u8) -> Result<Option<usize>, Unbalanced> {
    let (mut quoted, mut bracketed) = (false, false);
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'\\' if quoted => {
                bytes.next();
            }
            b'"' if !bracketed => quoted = !quoted,
            _ if quoted => {}
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            _ if byte == separator && !bracketed => return Ok(Some(at)),
            _ => {}
        }
    }
    if quoted || bracketed { Err(Unbalanced) } else { Ok(None) }
}

/// A quote or an angle bracket that is never closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unbalanced;

/// The elements of a comma-separated header value, trimmed. An element with unbalanced quotes ends the list with an error.
pub(crate) fn split_list(text: &[u8]) -> impl Iterator<Item = Result<&[u8], Unbalanced>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match find_outside(text, b',') {
            Ok(Some(at)) => {
                let (element, tail) = text.split_at_checked(at)?;
                rest = tail.get(1..);
                Some(Ok(trim(element)))
            }
            Ok(None) => {
                rest = None;
                Some(Ok(trim(text)))
            }
            Err(unbalanced) => {
                rest = None;
                Some(Err(unbalanced))
            }
        }
    })
}

/// A decimal number that fits `u32`; `None` for anything else, signs and overflow included.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    match digits(text)? {
        wide if wide <= u64::from(u32::MAX) => u32::try_from(wide).ok(),
        _ => None,
    }
}

/// A decimal number; larger than 64 bits saturates, so that no caller can overflow. `None` if a character is no digit.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// `delta-seconds`: beyond 32 bits it is read as 2^32-1 (RFC 3261 section 20.19).
pub(crate) fn delta_seconds(text: &[u8]) -> Option<u32> {
    digits(text).map(|wide| u32::try_from(wide).unwrap_or(u32::MAX))
}

/// ASCII text as `&str`; the callers have checked the characters, so the fallback is never taken.
pub(crate) fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

/// The part of `whole` that `part` was borrowed from, sharing the buffer.
pub(crate) fn share(whole: &Bytes, part: &[u8]) -> Bytes {
    whole.slice_ref(part)
}

/// Writes a number in decimal without formatting machinery.
pub(crate) fn write_number(number: u64, out: &mut bytes::BytesMut) {
    let mut buffer = [0_u8; 20];
    let mut at = buffer.len();
    let mut rest = number;
    for slot in buffer.iter_mut().rev() {
        // A digit is below ten, so the cast loses nothing.
        *slot = b'0' + (rest % 10) as u8;
        at -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(buffer.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_inside_quotes_or_brackets_does_not_split_a_list() {
        let list: Vec<_> = split_list(br#""a, \" b" <sip:x,y@z>;p , <sip:c>"#).map(Result::unwrap).collect();
        assert_eq!(list, [&br#""a, \" b" <sip:x,y@z>;p"#[..], b"<sip:c>"]);
    }

    #[test]
    fn an_open_quote_is_an_error_and_ends_the_list() {
        let list: Vec<_> = split_list(b"a, \"b").collect();
        assert_eq!(list, [Ok(&b"a"[..]), Err(Unbalanced)]);
    }

    #[test]
    fn numbers_saturate_or_refuse_but_never_wrap() {
        assert_eq!(digits(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(number(b"4294967296"), None);
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
        assert_eq!(delta_seconds(b"1000000000000000000000000"), Some(u32::MAX));
    }

    #[test]
    fn written_numbers_read_back() {
        for number in [0, 7, 10, 65_535, u64::MAX] {
            let mut out = bytes::BytesMut::new();
            write_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
