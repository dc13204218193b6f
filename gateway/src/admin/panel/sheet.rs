//! The values of a form, as they were typed: kept when something is refused, compared when two people edit at once, and
//! made into the keys of a document that the one reader judges.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::admin::documents::Object;

/// What a browser sent: names and values in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Typed(pub(super) Vec<(String, String)>);

impl Typed {
    /// The first value of a name; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether a name was sent, as that of a ticked box.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// A number, such as a version or a page.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).trim().parse().ok()
    }
}

/// How a field is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One line.
    Line,
    /// Several lines, one text.
    Text,
    /// Several lines, a text each.
    Lines,
    /// A whole number.
    Number,
    /// One of several words.
    Choice(&'static [&'static str]),
    /// A box to tick.
    Flag,
    /// A secret: it is typed and never shown.
    Secret,
}

/// A field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The key of the document.
    pub(super) key: &'static str,
    /// The original's name of the parameter, or the key where it has none.
    pub(super) parameter: &'static str,
    /// How it is typed.
    pub(super) kind: Kind,
}

/// A field in the tables of the pages.
pub(super) const fn field(key: &'static str, parameter: &'static str, kind: Kind) -> Field {
    Field { key, parameter, kind }
}

/// A form with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sheet {
    fields: &'static [Field],
    values: BTreeMap<&'static str, String>,
}

/// The value of a ticked box.
const TICKED: &str = "true";

impl Sheet {
    /// What was typed. A box that was not sent is not ticked.
    pub(super) fn typed(fields: &'static [Field], typed: &Typed) -> Self {
        let value = |field: &Field| match field.kind {
            Kind::Flag if typed.has(field.key) => TICKED.to_owned(),
            Kind::Flag => String::new(),
            Kind::Lines => lines(typed.get(field.key)).collect::<Vec<_>>().join("\n"),
            // Browsers end lines with CR and LF; the document has what the operator sees.
            Kind::Text => typed.get(field.key).replace("\r\n", "\n").trim().to_owned(),
            Kind::Line | Kind::Number | Kind::Choice(_) | Kind::Secret => typed.get(field.key).trim().to_owned(),
        };
        Self { fields, values: fields.iter().map(|field| (field.key, value(field))).collect() }
    }

    /// The values of a document.
    pub(super) fn of(fields: &'static [Field], document: &Object) -> Self {
        let value = |field: &Field| match document.get(field.key) {
            None | Some(Value::Null | Value::Bool(false) | Value::Object(_)) => String::new(),
            Some(Value::Bool(true)) => TICKED.to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        };
        Self { fields, values: fields.iter().map(|field| (field.key, value(field))).collect() }
    }

    /// The form as [`Sheet::kept`] wrote it; a field that it lacks is empty.
    pub(super) fn read(fields: &'static [Field], kept: &str) -> Option<Self> {
        let values: BTreeMap<String, String> = serde_json::from_str(kept).ok()?;
        let value = |field: &Field| values.get(field.key).cloned().unwrap_or_default();
        Some(Self { fields, values: fields.iter().map(|field| (field.key, value(field))).collect() })
    }

    /// The values in one text, which a form carries so that it is known what its writer has seen.
    pub(super) fn kept(&self) -> String {
        serde_json::to_string(&self.values).unwrap_or_default()
    }

    /// A value; empty for a key that there is not.
    pub(super) fn value(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    /// Whether a box is ticked.
    pub(super) fn is(&self, key: &str) -> bool {
        self.value(key) == TICKED
    }

    /// Replaces a value.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        if let Some(old) = self.values.iter_mut().find(|(known, _)| **known == key).map(|(_, old)| old) {
            value.clone_into(old);
        }
    }

    /// Ticks a box, or takes the tick away.
    pub(super) fn tick(&mut self, key: &str, ticked: bool) {
        self.set(key, if ticked { TICKED } else { "" });
    }

    /// The fields whose values are not the same in another form.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static Field> {
        self.fields.iter().filter(|field| self.value(field.key) != other.value(field.key)).collect()
    }

    /// The keys of the document; `null` where nothing is typed, which brings the default back.
    pub(super) fn document(&self) -> Object {
        self.fields.iter().map(|field| (field.key.to_owned(), typed_value(field.kind, self.value(field.key)))).collect()
    }

    /// The keys in which this form differs from another one.
    pub(super) fn patch(&self, from: &Self) -> Object {
        let changed = self.differences(from);
        changed
            .into_iter()
            .map(|field| (field.key.to_owned(), typed_value(field.kind, self.value(field.key))))
            .collect()
    }
}

/// A value as the document has it. What is no number stays a text, so that the reader names the bounds.
fn typed_value(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Flag => Value::Bool(text == TICKED),
        _ if text.is_empty() => Value::Null,
        Kind::Number => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
        Kind::Lines => lines(text).map(Value::from).collect(),
        Kind::Line | Kind::Text | Kind::Choice(_) | Kind::Secret => Value::from(text),
    }
}

/// What stands on each line; who separates with commas means the same.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r', ',']).map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: &[Field] = &[
        field("domain", "Domain", Kind::Line),
        field("additional_domains", "AdditionalDomains", Kind::Lines),
        field("connection_limit", "ConnectionLimit", Kind::Number),
        field("bidi", "bidi", Kind::Flag),
        field("pem", "pem", Kind::Text),
    ];

    fn typed(pairs: &[(&str, &str)]) -> Sheet {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sheet::typed(FIELDS, &Typed(pairs))
    }

    #[test]
    fn what_was_typed_becomes_the_keys_of_the_document() {
        let sheet = typed(&[
            ("domain", " a.example "),
            ("additional_domains", "b.example\r\n\r\nc.example, d.example"),
            ("connection_limit", "12"),
            ("bidi", "true"),
            ("pem", "one\r\ntwo\r\n"),
        ]);
        let expected = json!({"domain": "a.example", "additional_domains": ["b.example", "c.example", "d.example"],
            "connection_limit": 12, "bidi": true, "pem": "one\ntwo"});
        assert_eq!(Value::Object(sheet.document()), expected);
        assert_eq!(Sheet::of(FIELDS, &sheet.document()), sheet);
        assert_eq!(Sheet::read(FIELDS, &sheet.kept()), Some(sheet));
    }

    #[test]
    fn an_empty_field_brings_the_default_back_and_a_word_for_a_number_stays_a_word() {
        let document = typed(&[("domain", "a.example"), ("connection_limit", "many")]).document();
        assert_eq!(document["additional_domains"], Value::Null);
        assert_eq!(document["connection_limit"], json!("many"));
        assert_eq!(document["bidi"], json!(false));
    }

    #[test]
    fn a_patch_has_what_differs_and_nothing_else() {
        let before = typed(&[("domain", "a.example"), ("connection_limit", "12")]);
        let after = typed(&[("domain", "a.example"), ("bidi", "true")]);
        assert_eq!(Value::Object(after.patch(&before)), json!({"connection_limit": null, "bidi": true}));
    }
}
