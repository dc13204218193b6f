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

/// What stands for bytes that could not be read.
pub fn unread(length: usize) -> String {
    format!("[{length} bytes]")
}
