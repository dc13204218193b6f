//! What is shown: tables and outlines for people, JSON for scripts.
//!
//! Partners choose much of what is shown, so nothing reaches a terminal that could steer it.

use std::io::{IsTerminal as _, Write as _};

use causeway_shared::pki::identity::date;
use serde_json::Value as Json;

/// How to show what the gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// For people: fits the terminal.
    #[default]
    Table,
    /// What the API said.
    Json,
}

/// Where it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    format: Format,
    /// Whether colours are wanted.
    pub(super) colour: bool,
    /// Columns of the terminal; none where there is none.
    pub(super) width: Option<usize>,
}

/// What a word means, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    /// Nothing in particular.
    #[default]
    Usual,
    /// In order.
    Good,
    /// Worth a look.
    Odd,
    /// Not in order.
    Bad,
    /// A heading.
    Head,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::Good => "\u{1b}[32m",
            Self::Odd => "\u{1b}[33m",
            Self::Bad => "\u{1b}[31m",
            Self::Head => "\u{1b}[1m",
        }
    }
}

impl Screen {
    /// Standard output, as it is.
    pub(super) fn new(format: Format) -> Self {
        let out = std::io::stdout();
        let is_terminal = out.is_terminal();
        let columns = || rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        Self {
            format,
            colour: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            width: if is_terminal { columns().filter(|columns| *columns > 0) } else { None },
        }
    }

    /// Whether scripts read it.
    pub(super) const fn is_json(&self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// Shows a value: itself for scripts, what `text` makes of it for people.
    pub(super) fn show(&self, value: &Json, text: impl FnOnce(&Self) -> String) {
        if self.is_json() {
            self.print(&steady(&format!("{value:#}\n")));
        } else {
            self.print(&text(self));
        }
    }

    /// Writes; a reader that went away wants no more, and that is no mistake.
    pub(super) fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// Tells people something beside the answer.
    pub(super) fn remark(&self, text: &str) {
        // Standard error may be closed; there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// A word in its colour.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Usual { format!("{}{text}\u{1b}[0m", tone.code()) } else { text.to_owned() }
    }
}

/// Text without characters that steer a terminal or turn the direction of writing; line ends become blanks.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).map(harmless).collect()
}

/// The same for text of several lines.
pub(super) fn plain_lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { harmless(c) }).collect()
}

fn harmless(c: char) -> char {
    if steers(c) { char::REPLACEMENT_CHARACTER } else { c }
}

fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// The same JSON with what steers a terminal written as escapes: JSON itself demands that of the first 32 only.
pub(super) fn steady(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && steers(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// The objects of an answer: itself if it is a list, or the list under the key.
pub(super) fn items<'v>(value: &'v Json, key: &str) -> &'v [Json] {
    value.as_array().or_else(|| value.get(key).and_then(Json::as_array)).map_or(&[], Vec::as_slice)
}

/// The objects of all lists under a key, however deep: what several edges have told.
pub(super) fn all_under<'v>(value: &'v Json, key: &str) -> Vec<&'v Json> {
    match value {
        Json::Array(list) => list.iter().flat_map(|value| all_under(value, key)).collect(),
        Json::Object(map) => map
            .iter()
            .flat_map(|(name, value)| match value.as_array() {
                Some(list) if name == key => list.iter().collect(),
                Some(_) | None => all_under(value, key),
            })
            .collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
    }
}

/// A member of an object as one line of text; empty where there is none. Dots lead into objects.
pub(super) fn field(value: &Json, path: &str) -> String {
    let found = path.split('.').try_fold(value, |value, key| value.get(key));
    found.map(|found| member(path, found)).unwrap_or_default()
}

/// A member by its name: moments are in Unix milliseconds, and shown as RFC 3339 has them.
fn member(name: &str, value: &Json) -> String {
    /// What is less is a duration: no moment of ours is before September 2001.
    const FIRST_MOMENT: u64 = 1_000_000_000_000;
    match value.as_u64() {
        Some(ms) if name.ends_with("_ms") && ms >= FIRST_MOMENT => date(ms / 1000),
        Some(_) | None => line(value),
    }
}

/// A value as one line of text.
pub(super) fn line(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Bool(true) => "yes".to_owned(),
        Json::Bool(false) => "no".to_owned(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => plain(text),
        Json::Array(list) => list.iter().map(line).collect::<Vec<_>>().join(", "),
        Json::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{}={}", plain(key), member(key, value)))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// Any value as indented lines, a member each: what is shown where nothing better fits.
pub(super) fn outline(value: &Json) -> String {
    let mut text = String::new();
    write_outline(value, 0, &mut text);
    text
}

/// Levels that are unfolded; what lies deeper goes on one line.
const OUTLINE_DEPTH: usize = 4;

fn write_outline(value: &Json, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(map) => {
            let shown = || map.iter().filter(|(_, value)| !is_empty(value));
            let width = shown().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
            for (key, value) in shown() {
                if is_flat(value) || depth >= OUTLINE_DEPTH {
                    text.push_str(&format!("{indent}{:width$}  {}\n", plain(key), member(key, value)));
                } else {
                    text.push_str(&format!("{indent}{}\n", plain(key)));
                    write_outline(value, depth + 1, text);
                }
            }
        }
        Json::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                if index > 0 && !is_flat(value) {
                    text.push('\n');
                }
                write_outline(value, depth, text);
            }
        }
        other => text.push_str(&format!("{indent}{}\n", line(other))),
    }
}

/// Whether it says nothing.
fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}

fn is_flat(value: &Json) -> bool {
    match value {
        Json::Array(list) => list.iter().all(|value| !value.is_object() && !value.is_array()),
        Json::Object(map) => map.is_empty(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_partners_send_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{9b}c\u{202e}d\ne"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d e");
        assert_eq!(plain_lines("a\r\nb"), "a\u{fffd}\nb");
        assert_eq!(field(&json!({"a": {"b": "x\u{7}"}}), "a.b"), "x\u{fffd}");
        let value = json!({"a": "\u{9b}2J\u{202e}\u{1b}"});
        let text = steady(&format!("{value:#}"));
        assert_eq!(text, "{\n  \"a\": \"\\u009b2J\\u202e\\u001b\"\n}");
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), value);
    }

    #[test]
    fn moments_are_shown_as_such_and_durations_as_numbers() {
        let value = json!({"at_ms": 1_700_000_000_123_u64, "took_ms": 12});
        assert_eq!(
            (field(&value, "at_ms"), field(&value, "took_ms")),
            ("2023-11-14T22:13:20Z".to_owned(), "12".to_owned())
        );
    }

    #[test]
    fn an_outline_shows_any_answer() {
        let value =
            json!({"domain": "a.example", "on": true, "list": [1, 2], "gone": null, "none": [], "inner": {"key": "x"}});
        assert_eq!(outline(&value), "domain  a.example\ninner\n  key  x\nlist    1, 2\non      yes\n");
    }
}
