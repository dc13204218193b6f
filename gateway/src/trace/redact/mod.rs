//! What operators may read of what passed: form and addresses always, content only where the message-body setting is on.
//!
//! The rule is a list of what is shown, not of what is hidden: an element, attribute, header or media type that nobody
//! thought of is hidden. What cannot be parsed is shown as its length. Secrets stay hidden with the setting, too.

pub mod sip;
pub mod xml;

/// What stands for a hidden text.
pub fn hidden(text: &str) -> String {
    match text.chars().count() {
        1 => "[1 character]".to_owned(),
        count => format!("[{count} characters]"),
    }
}

/// A text of a peer's in lines, without what moves a cursor or turns the direction of writing.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {}
            _ if c.is_control() || turns => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

/// What stands for bytes that could not be read.
pub fn unread(length: usize) -> String {
    format!("[{length} bytes]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_moves_the_cursor_or_turns_around() {
        assert_eq!(visible("a\r\nb\u{1b}[2J\u{202e}c\t\u{fc}"), "a\nb\\u{1b}[2J\\u{202e}c\t\u{fc}");
    }
}
