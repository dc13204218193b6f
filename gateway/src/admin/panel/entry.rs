//! A field of a form as it is shown: label, hint, value, and what is wrong with it (`templates/field.html`).

use super::language::Texts;
use super::sheet::{Field, Kind, Sheet};
use super::told::Told;

/// A field with everything that is shown of it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key, which is also its name in the form.
    pub(super) key: &'static str,
    /// The original's name of the parameter.
    pub(super) parameter: &'static str,
    /// What it is called.
    pub(super) label: String,
    /// What it does.
    pub(super) hint: String,
    /// How it is typed.
    kind: Kind,
    /// What is typed; never that of a secret.
    pub(super) value: String,
    /// The words to choose from.
    pub(super) options: Vec<Choice>,
    /// What is wrong with it.
    pub(super) told: Vec<Told>,
    /// What it is by default and may be; often empty.
    pub(super) range: String,
    /// Whether something else decides its value.
    pub(super) locked: bool,
}

/// A word to choose.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// The word.
    pub(super) word: &'static str,
    /// What it is called.
    pub(super) label: String,
    /// Whether it is chosen.
    pub(super) chosen: bool,
}

impl Entry {
    /// A field of a page. Its texts are `AREA-KEY` and `AREA-KEY-hint`.
    pub(super) fn new(t: Texts, area: &str, field: &Field, sheet: &Sheet, told: &[Told]) -> Self {
        let text = label_key(area, field.key);
        let value = if field.kind == Kind::Secret { "" } else { sheet.value(field.key) };
        let choice = |word: &&'static str| Choice { word, label: word_label(t, word), chosen: *word == value };
        let options = match field.kind {
            Kind::Choice(words) => words.iter().map(choice).collect(),
            Kind::Line | Kind::Text | Kind::Lines | Kind::Number | Kind::Flag | Kind::Secret => Vec::new(),
        };
        Self {
            key: field.key,
            parameter: field.parameter,
            label: t.get(&text),
            hint: t.get(&format!("{text}-hint")),
            kind: field.kind,
            value: value.to_owned(),
            options,
            told: told.iter().filter(|told| told.key == field.key).cloned().collect(),
            range: String::new(),
            locked: false,
        }
    }

    /// The word for the template.
    pub(super) const fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Line => "line",
            Kind::Text | Kind::Lines => "area",
            Kind::Number => "number",
            Kind::Choice(_) => "choice",
            Kind::Flag => "flag",
            Kind::Secret => "secret",
        }
    }

    /// Whether its box is ticked.
    pub(super) fn ticked(&self) -> bool {
        !self.value.is_empty()
    }

    /// The elements that describe it, for `aria-describedby`.
    pub(super) fn described_by(&self) -> String {
        let key = self.key;
        if self.told.is_empty() { format!("{key}-hint") } else { format!("{key}-fault {key}-hint") }
    }
}

/// The key of a field's name.
pub(super) fn label_key(area: &str, key: &str) -> String {
    format!("{area}-{}", key.replace('_', "-"))
}

/// What a word of a choice is called, in the original's translation.
pub(super) fn word_label(t: Texts, word: &str) -> String {
    match word {
        "Required" | "Optional" | "NotSupported" => t.get(&format!("negotiation-{}", word.to_lowercase())),
        "Federated" | "PublicVerified" | "PublicUnverified" => t.get(&format!("type-{}", word.to_lowercase())),
        "tcp-dialback" | "tls-dialback" | "sasl-external" => t.get(&format!("method-{word}")),
        other => other.to_owned(),
    }
}

/// What is typed in a field, for people.
pub(super) fn shown_value(t: Texts, field: &Field, sheet: &Sheet) -> String {
    match (field.kind, sheet.value(field.key)) {
        (Kind::Flag, _) => t.get(if sheet.is(field.key) { "yes" } else { "no" }),
        (_, "") => t.get("value-none"),
        (Kind::Secret, _) => t.get("value-secret"),
        (Kind::Choice(_), word) => word_label(t, word),
        (Kind::Line | Kind::Text | Kind::Lines | Kind::Number, text) => text.to_owned(),
    }
}
