//! Reading configuration files: every mistake in one run, each with its key and what to write instead.
//!
//! A file is TOML. Environment variables override it: `PREFIX__SECTION__KEY=value`, where the value is TOML or, failing
//! that, a string. The services walk the file with [`Section`]s and get typed values; what nobody asked for is unknown.
//! [`args`] is the command line of both services, [`files`] judges the files that a configuration names. Not here: what the
//! keys are.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use toml::{Table, Value};

pub mod args;
pub mod files;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key with its sections, such as `link.listen` or `partner[2].domain`; empty for the file as a whole.
    pub key: String,
    /// What is there.
    pub found: String,
    /// What to write instead.
    pub expected: String,
    /// What kind of mistake it is: the name of its text in other languages.
    pub code: &'static str,
    /// What that text names.
    pub args: Vec<(&'static str, String)>,
}

impl ConfigError {
    /// A mistake that no text in another language is made for.
    pub fn new(key: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (found, expected) = (found.into(), expected.into());
        Self { key: key.into(), found, expected, code: OTHER, args: Vec::new() }
    }

    /// The same with the name of its text.
    #[must_use]
    pub fn coded(self, code: &'static str, args: Vec<(&'static str, String)>) -> Self {
        Self { code, args, ..self }
    }
}

/// The code of mistakes that only an editor of the file makes.
pub const OTHER: &str = "other";

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.found, self.expected)
    }
}

/// Something that is allowed and worth a second look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The key with its sections.
    pub key: String,
    /// What it means.
    pub text: String,
    /// What kind of warning it is: the name of its text in other languages.
    pub code: &'static str,
}

impl ConfigWarning {
    /// A warning that no text in another language is made for.
    pub fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into(), code: OTHER }
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// A secret: it never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes of a secret file without the line end that editors add.
    pub fn from_file_bytes(bytes: &[u8]) -> Self {
        Self(bytes.trim_ascii_end().to_vec())
    }

    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

type Mistakes = Rc<RefCell<Vec<ConfigError>>>;

/// A file that is being read.
#[derive(Debug)]
pub struct Document {
    root: Section,
    mistakes: Mistakes,
}

/// A table of the file. Asking for a key takes it out; what is left at the end is unknown.
#[derive(Debug)]
pub struct Section {
    table: Table,
    path: String,
    asked: Vec<&'static str>,
    mistakes: Mistakes,
}

impl Document {
    /// Parses the text and lays the environment over it. Only a text that is no TOML fails here.
    pub fn parse(
        text: &str,
        prefix: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| vec![syntax_error(text, &error)])?;
        let mistakes = Mistakes::default();
        for (name, value) in environment {
            let path = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix("__"));
            if let Some(path) = path {
                let keys: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
                if !lay_over(&mut table, &keys, &value) {
                    let expected = format!("write {prefix}__SECTION__KEY");
                    let found = "the variable names no place in the file";
                    mistakes.borrow_mut().push(ConfigError::new(name, found, expected));
                }
            }
        }
        let root = Section { table, path: String::new(), asked: Vec::new(), mistakes: Rc::clone(&mistakes) };
        Ok(Self { root, mistakes })
    }

    /// The keys outside of all sections.
    pub const fn root(&mut self) -> &mut Section {
        &mut self.root
    }

    /// A section; an absent one is empty.
    pub fn section(&mut self, name: &'static str) -> Section {
        self.root.section(name)
    }

    /// A list of sections, `[[name]]`.
    pub fn sections(&mut self, name: &'static str) -> Vec<Section> {
        self.root.sections(name)
    }

    /// Adds sections behind those that the file has in a list, `[[name]]`. Returns how many the file has.
    pub fn append_sections(&mut self, name: &str, more: impl IntoIterator<Item = Table>) -> usize {
        let list = self.root.table.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        // What is no list is a mistake of the file, which its reader names.
        let Value::Array(list) = list else { return 0 };
        let own = list.len();
        list.extend(more.into_iter().map(Value::Table));
        own
    }

    /// Adds the keys that a section of the file does not have. Returns those that it has itself.
    pub fn fill_section(&mut self, name: &str, table: Table) -> Vec<String> {
        let section = self.root.table.entry(name).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(section) = section else { return Vec::new() };
        let own = section.keys().cloned().collect();
        for (key, value) in table {
            section.entry(key).or_insert(value);
        }
        own
    }

    /// Ends the reading: what was left over is unknown. `Err` holds all mistakes.
    pub fn finish(self) -> Result<(), Vec<ConfigError>> {
        self.root.finish();
        let mistakes = self.mistakes.take();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}

impl Section {
    /// Whether the file has nothing in this section.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The full name of a key of this section.
    pub fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a mistake.
    pub fn mistake(&self, key: &str, found: impl Into<String>, expected: impl Into<String>) {
        self.note(ConfigError::new(self.key(key), found, expected));
    }

    /// Notes a mistake for which there is a text in each language: its code, and what the text names.
    pub fn fault<const N: usize>(
        &self,
        key: &str,
        (code, args): (&'static str, [(&'static str, String); N]),
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.note(ConfigError::new(self.key(key), found, expected).coded(code, args.into()));
    }

    /// Notes a mistake that has its full key already.
    pub fn note(&self, mistake: ConfigError) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// A section inside this one.
    pub fn section(&mut self, name: &'static str) -> Self {
        let table = match self.take(name) {
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.mistake(name, shown(&other), format!("write a section, [{}]", self.key(name)));
                Table::new()
            }
            None => Table::new(),
        };
        self.inner(table, self.key(name))
    }

    /// A list of sections inside this one.
    pub fn sections(&mut self, name: &'static str) -> Vec<Self> {
        let items = match self.take(name) {
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.mistake(name, shown(&other), format!("write a list of sections, [[{}]]", self.key(name)));
                Vec::new()
            }
            None => Vec::new(),
        };
        let mut sections = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{}[{index}]", self.key(name));
            match item {
                Value::Table(table) => sections.push(self.inner(table, path)),
                other => self.mistake(name, shown(&other), "write a table for each"),
            }
        }
        sections
    }

    fn inner(&self, table: Table, path: String) -> Self {
        Self { table, path, asked: Vec::new(), mistakes: Rc::clone(&self.mistakes) }
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                // Without its value, which may be a secret.
                self.fault(key, ("wrong-type", []), format!("{} does not do", kind(&other)), "write a text in quotes");
                None
            }
        }
    }

    /// A text that must be there; empty if it is not, and then the mistake is noted.
    pub fn required_text(&mut self, key: &'static str, example: &str) -> String {
        let given = self.table.contains_key(key);
        let text = self.text(key);
        match text {
            Some(text) if !text.is_empty() => text,
            Some(_) => {
                let expected = format!("write, for example, {key} = {example}");
                self.fault(key, ("empty", [("example", example.to_owned())]), "it is empty", expected);
                String::new()
            }
            None => {
                if !given {
                    let expected = format!("write, for example, {key} = {example}");
                    self.fault(key, ("missing", [("example", example.to_owned())]), "it is missing", expected);
                }
                String::new()
            }
        }
    }

    /// A text that something can be made of.
    pub fn parsed<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        expected: &str,
    ) -> Option<T> {
        let text = self.text(key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.unparsable(key, &text, &error, expected);
                None
            }
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            // One is a list, too.
            Some(one @ Value::String(_)) => vec![one],
            Some(other) => {
                self.mistake(key, shown(&other), "write a list of texts, such as [\"one\", \"two\"]");
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for item in items {
            match item {
                Value::String(text) => texts.push(text),
                other => self.mistake(key, shown(&other), "write only texts in this list"),
            }
        }
        texts
    }

    /// A list of texts that something can be made of.
    pub fn parsed_list<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        mut parse: impl FnMut(&str) -> Result<T, E>,
        expected: &str,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for text in self.texts(key) {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err(error) => self.unparsable(key, &text, &error, expected),
            }
        }
        values
    }

    /// Notes a text that nothing can be made of.
    pub fn unparsable(&self, key: &str, text: &str, reason: &impl fmt::Display, expected: &str) {
        let args = [("found", text.to_owned()), ("reason", reason.to_string())];
        self.fault(key, ("unparsable", args), format!("\"{text}\" does not do: {reason}"), expected);
    }

    /// A whole number within bounds.
    pub fn number(&mut self, key: &'static str, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        self.optional_number(key, bounds).unwrap_or(default)
    }

    /// A whole number within bounds, if it is there.
    pub fn optional_number(&mut self, key: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let value = self.take(key)?;
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let expected = format!("write a whole number from {} to {}", bounds.start(), bounds.end());
            let args = [("min", bounds.start().to_string()), ("max", bounds.end().to_string())];
            self.fault(key, ("number-range", args), shown(&value), expected);
        }
        number
    }

    /// Seconds within bounds.
    pub fn seconds(&mut self, key: &'static str, default: u32, bounds: RangeInclusive<u32>) -> Duration {
        Duration::from_secs(u64::from(self.number(key, default, bounds)))
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Boolean(flag)) => flag,
            Some(other) => {
                self.fault(key, ("wrong-type", []), shown(&other), "write true or false");
                default
            }
        }
    }

    /// A share from 0 to 1.
    pub fn share(&mut self, key: &'static str, default: f64) -> f64 {
        let Some(value) = self.take(key) else { return default };
        let number = match &value {
            Value::Float(number) => Some(*number),
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            Value::Integer(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => None,
        };
        number.filter(|number| (0.0..=1.0).contains(number)).unwrap_or_else(|| {
            self.mistake(key, shown(&value), "write a number from 0.0 to 1.0");
            default
        })
    }

    /// One of several words.
    pub fn choice<T>(&mut self, key: &'static str, choices: &[(&str, T)], default: T) -> T
    where
        T: Copy,
    {
        let Some(text) = self.text(key) else { return default };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                let allowed = words.join(", ");
                let args = [("found", text.clone()), ("allowed", allowed.clone())];
                self.fault(
                    key,
                    ("choice", args),
                    format!("\"{text}\" is not known"),
                    format!("write one of {allowed}"),
                );
                default
            }
        }
    }

    /// Ends the section: what nobody asked for is unknown.
    pub fn finish(self) {
        for (key, _) in &self.table {
            let expected = match closest(key, &self.asked) {
                Some(known) => format!("did you mean {known}?"),
                None if self.asked.is_empty() => "remove it".to_owned(),
                None => format!("remove it; known here are {}", self.asked.join(", ")),
            };
            self.fault(key, ("unknown-key", [("key", key.clone())]), "the key is not known", expected);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.table.remove(key)
    }
}

/// Lays one variable over the file; `false` if a value stands where a section is needed.
fn lay_over(table: &mut Table, keys: &[String], value: &str) -> bool {
    match keys {
        [] => false,
        [key] if key.is_empty() => false,
        [key] => {
            let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
            table.insert(key.clone(), parsed.unwrap_or_else(|| Value::String(value.to_owned())));
            true
        }
        [section, rest @ ..] => match table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => lay_over(inner, rest, value),
            _ => false,
        },
    }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    let found = format!("line {line}, column {column}: {}", error.message());
    ConfigError::new("", found, "mend the TOML syntax; nothing else was checked")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let short: String = text.chars().take(60).collect();
            format!("\"{short}\" does not do")
        }
        Value::Integer(number) => format!("{number} does not do"),
        Value::Float(number) => format!("{number} does not do"),
        Value::Boolean(flag) => format!("{flag} does not do"),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => format!("{} does not do", kind(value)),
    }
}

/// The known key that a misspelt one was meant to be: within two changes, or complete but for an ending such as
/// `_secs`. Only letters count, so that the original's TlsNegotiation leads to tls_negotiation.
fn closest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let letters = |key: &str| key.replace('_', "").to_lowercase();
    let key = letters(key);
    let changes = |known: &&'static str| {
        let candidate = letters(known);
        let is_beginning = key.len() >= SHORTEST_BEGINNING && candidate.starts_with(&key);
        (if is_beginning { 0 } else { distance(&key, &candidate) }, *known)
    };
    known.iter().map(changes).min().filter(|(changes, _)| *changes <= 2).map(|(_, known)| known)
}

/// Letters after which a key counts as the beginning of another one.
const SHORTEST_BEGINNING: usize = 4;

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(a != *b)).min(*cell + 1).min(left + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Document {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Document::parse(text, "CAUSEWAY_EDGE", environment).unwrap()
    }

    #[test]
    fn all_mistakes_come_at_once_with_key_and_remedy() {
        let mut document =
            parse("nam = 1\n[link]\nlisten = 5\nwindow = 0\n[[partner]]\ndomain = 'x'\nextra = 1\n", &[]);
        document.root().text("name");
        let mut link = document.section("link");
        link.text("listen");
        link.number("window", 10, 1..=100);
        link.required_text("key", "\"key.pem\"");
        link.finish();
        for mut partner in document.sections("partner") {
            partner.text("domain");
            partner.finish();
        }
        let mistakes: Vec<String> = document.finish().unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            mistakes,
            [
                "link.listen: a number does not do; write a text in quotes",
                "link.window: 0 does not do; write a whole number from 1 to 100",
                "link.key: it is missing; write, for example, key = \"key.pem\"",
                "partner[0].extra: the key is not known; remove it; known here are domain",
                "nam: the key is not known; did you mean name?",
            ]
        );
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let mut document = parse(
            "[link]\nlisten = 'a'\n",
            &[("CAUSEWAY_EDGE__LINK__LISTEN", "b"), ("CAUSEWAY_EDGE__LINK__WINDOW", "7"), ("CAUSEWAY_GATEWAY__X", "1")],
        );
        let mut link = document.section("link");
        assert_eq!(link.text("listen").as_deref(), Some("b"));
        assert_eq!(link.number("window", 1, 1..=10), 7);
        link.finish();
        assert_eq!(document.finish(), Ok(()));
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        let mistakes = Document::parse("a = 1\nb = \n", "X", []).unwrap_err();
        assert!(mistakes[0].found.starts_with("line 2, column 5"), "{}", mistakes[0].found);
    }

    #[test]
    fn a_word_that_is_no_choice_is_answered_with_the_choices() {
        let mut document = parse("kind = 'federated'\n", &[]);
        assert_eq!(document.root().choice("kind", &[("Federated", 1), ("PublicVerified", 2)], 3), 3);
        let mistakes = document.finish().unwrap_err();
        assert_eq!(mistakes[0].expected, "write one of \"Federated\", \"PublicVerified\"");
    }

    #[test]
    fn a_secret_shows_nothing_and_loses_only_its_line_end() {
        let secret = Secret::from_file_bytes(b" key \n");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.expose(), b" key");
    }

    #[test]
    fn the_names_of_the_original_lead_to_ours() {
        let known = ["tls_negotiation", "keep_alive_interval_secs", "dialback_passphrase_file"];
        assert_eq!(closest("TlsNegotiation", &known), Some("tls_negotiation"));
        assert_eq!(closest("KeepAliveInterval", &known), Some("keep_alive_interval_secs"));
        assert_eq!(closest("dialback_passphrase", &known), Some("dialback_passphrase_file"));
        assert_eq!(closest("colour", &known), None);
    }

    #[test]
    fn a_distance_counts_changes() {
        assert_eq!((distance("nam", "name"), distance("lisetn", "listen"), distance("", "abc")), (1, 2, 3));
    }
}
