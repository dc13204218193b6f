//! Text and values as they were written, and what is meant by them: references resolved, line ends and white space
//! normalised (XML 1.0, sections 2.11, 3.3.3 and 4.1).

use std::borrow::Cow;

use super::characters::{is_ascii_or_name, is_char};

/// A run of character data as it was written.
#[derive(Clone, Copy)]
pub(in crate::xmpp) struct Text<'a> {
    pub(in crate::xmpp) raw: &'a str,
    /// What stands there is what is meant and what the canonical form writes: no reference, `>` or carriage return.
    pub(in crate::xmpp) plain: bool,
    pub(in crate::xmpp) cdata: bool,
}

/// An attribute's value as it was written, between its quotes.
#[derive(Clone, Copy)]
pub(in crate::xmpp) struct Value<'a> {
    pub(in crate::xmpp) raw: &'a str,
    /// No reference, white space to normalise or apostrophe.
    pub(in crate::xmpp) plain: bool,
}

impl<'a> Value<'a> {
    /// The value as it is meant (XML 1.0, section 3.3.3: references resolved, white space made spaces).
    pub(in crate::xmpp) fn text(self) -> Cow<'a, str> {
        if self.plain {
            return Cow::Borrowed(self.raw);
        }
        let mut text = String::with_capacity(self.raw.len());
        self.pieces(|piece| piece.push_to(&mut text));
        Cow::Owned(text)
    }

    /// The value piece by piece.
    pub(in crate::xmpp) fn pieces(self, each: impl FnMut(Piece<'a>)) {
        pieces(self.raw, true, true, each);
    }
}

impl<'a> Text<'a> {
    /// The text as it is meant (XML 1.0, section 2.11: line ends are line feeds).
    pub(in crate::xmpp) fn text(self) -> Cow<'a, str> {
        if self.plain {
            return Cow::Borrowed(self.raw);
        }
        let mut text = String::with_capacity(self.raw.len());
        self.pieces(|piece| piece.push_to(&mut text));
        Cow::Owned(text)
    }

    /// The text piece by piece.
    pub(in crate::xmpp) fn pieces(self, each: impl FnMut(Piece<'a>)) {
        pieces(self.raw, !self.cdata, false, each);
    }
}

/// A part of a value or of text: a stretch without anything special, or one character.
#[derive(Clone, Copy)]
pub(in crate::xmpp) enum Piece<'a> {
    Stretch(&'a str),
    Character(char),
}

impl Piece<'_> {
    fn push_to(self, text: &mut String) {
        match self {
            Self::Stretch(stretch) => text.push_str(stretch),
            Self::Character(character) => text.push(character),
        }
    }
}

/// Takes checked text apart at references and at white space that is normalised.
fn pieces<'a>(raw: &'a str, references: bool, attribute: bool, mut each: impl FnMut(Piece<'a>)) {
    let mut rest = raw;
    let special = |byte: &u8| match byte {
        b'&' => references,
        b'\r' => true,
        b'\t' | b'\n' => attribute,
        _ => false,
    };
    while let Some(at) = rest.as_bytes().iter().position(special) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if !before.is_empty() {
            each(Piece::Stretch(before));
        }
        let length = if from.starts_with('&') {
            match resolve_reference(from) {
                Reference::Character(character, length) => {
                    each(Piece::Character(character));
                    length
                }
                // The tokenizer has refused these already.
                Reference::UnknownEntity | Reference::Malformed => 1,
            }
        } else {
            each(Piece::Character(if attribute { ' ' } else { '\n' }));
            if from.starts_with("\r\n") { 2 } else { 1 }
        };
        rest = from.get(length..).unwrap_or_default();
    }
    if !rest.is_empty() {
        each(Piece::Stretch(rest));
    }
}

/// What a reference stands for.
pub(super) enum Reference {
    /// The character and the length of the reference.
    Character(char, usize),
    UnknownEntity,
    Malformed,
}

/// The reference at the head of a text that begins with `&`.
pub(super) fn resolve_reference(text: &str) -> Reference {
    for (entity, character) in [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&apos;", '\''), ("&quot;", '"')] {
        if text.starts_with(entity) {
            return Reference::Character(character, entity.len());
        }
    }
    // The longest that means anything is a padded code point; a longer one is not worth the search.
    const LONGEST: usize = 256;
    let head = text.as_bytes().iter().take(LONGEST);
    let Some(end) = head.clone().position(|byte| *byte == b';') else {
        return Reference::Malformed;
    };
    let body = text.get(1..end).unwrap_or_default();
    let Some(number) = body.strip_prefix('#') else {
        let mut characters = body.chars();
        let is_name = characters.next().is_some_and(|first| is_ascii_or_name(first, true))
            && characters.all(|character| is_ascii_or_name(character, false));
        return if is_name { Reference::UnknownEntity } else { Reference::Malformed };
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` takes a sign, XML does not.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Reference::Malformed;
    }
    match u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|character| is_char(*character)) {
        Some(character) => Reference::Character(character, end + 1),
        None => Reference::Malformed,
    }
}
