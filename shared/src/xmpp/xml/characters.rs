//! Which characters XML allows where (XML 1.0, productions 2, 3, 4 and 4a).
//!
//! Bytes are classed by a table; what lies beyond ASCII is looked at as a character.

/// May begin an ASCII name.
pub(in crate::xmpp) const NAME_START: u8 = 1;
/// May stand in an ASCII name, which a colon may not: it separates two.
pub(in crate::xmpp) const NAME: u8 = 2;
/// Needs a second look in text.
pub(in crate::xmpp) const SPECIAL_IN_TEXT: u8 = 4;
/// Needs a second look in an attribute's value.
pub(in crate::xmpp) const SPECIAL_IN_VALUE: u8 = 8;

/// Does not stand for itself in the text that we write.
pub(in crate::xmpp) const ESCAPED_IN_TEXT: u8 = 16;
/// Does not stand for itself in the values that we write.
pub(in crate::xmpp) const ESCAPED_IN_VALUE: u8 = 32;

#[inline]
pub(in crate::xmpp) fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// What each byte may be, looked up instead of compared.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let mut class = 0;
        if byte.is_ascii_alphabetic() || byte == b'_' {
            class |= NAME_START | NAME;
        }
        if byte.is_ascii_digit() || byte == b'-' || byte == b'.' {
            class |= NAME;
        }
        // Tabs and line feeds stand for themselves in text.
        if byte < 0x20 && byte != b'\t' && byte != b'\n' || matches!(byte, b'<' | b'>' | b'&' | 0xef) {
            class |= SPECIAL_IN_TEXT;
        }
        if byte < 0x20 || matches!(byte, b'<' | b'&' | b'\'' | b'"' | 0xef) {
            class |= SPECIAL_IN_VALUE;
        }
        if byte < 0x20 && byte != b'\t' && byte != b'\n' || matches!(byte, b'<' | b'>' | b'&' | 0xef) {
            class |= ESCAPED_IN_TEXT;
        }
        if byte < 0x20 || matches!(byte, b'<' | b'&' | b'\'' | 0xef) {
            class |= ESCAPED_IN_VALUE;
        }
        table[index] = class;
        index += 1;
    }
    table
}

/// Any character of a name, ASCII or not; a colon is none.
pub(in crate::xmpp) fn is_ascii_or_name(character: char, starts: bool) -> bool {
    u8::try_from(character).is_ok_and(|byte| byte < 0x80 && is(byte, if starts { NAME_START } else { NAME }))
        || is_name_start(character)
        || (!starts && is_name_extender(character))
}

/// XML 1.0, production 2.
pub(in crate::xmpp) fn is_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// XML 1.0, production 4, beyond ASCII.
pub(in crate::xmpp) fn is_name_start(character: char) -> bool {
    matches!(character,
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// XML 1.0, production 4a, beyond ASCII: what a name may hold but not begin with.
pub(in crate::xmpp) fn is_name_extender(character: char) -> bool {
    matches!(character, '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
