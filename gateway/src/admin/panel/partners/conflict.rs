//! Two people edit one partner at once: the second sees what the first has changed beside what they typed themselves, and
//! goes on deliberately. Nothing is overwritten that was not seen.

use crate::admin::panel::entry::{label_key, shown_value};
use crate::admin::panel::language::Texts;
use crate::admin::panel::sheet::Sheet;

/// A field that somebody else has changed meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash {
    pub(super) label: String,
    pub(super) parameter: &'static str,
    /// What it was when the form was opened.
    pub(super) was: String,
    /// What it is now.
    pub(super) now: String,
    /// What was typed here; `None` if the field was left alone, so that the form takes over the other's value.
    pub(super) typed: Option<String>,
}

/// What changed since a form was opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// Who changed it last.
    pub(super) by: String,
    /// When.
    pub(super) moment: String,
    pub(super) clashes: Vec<Clash>,
}

impl Conflict {
    /// Compares what the writer has seen with what is there now, and lays the other's changes into what was typed, but
    /// for the fields that were changed here, too.
    pub(super) fn between(t: Texts, seen: &Sheet, now: &Sheet, typed: &mut Sheet, by: String, moment: String) -> Self {
        let mut clashes = Vec::new();
        for field in now.differences(seen) {
            let key = field.key;
            let is_typed = typed.value(key) != seen.value(key) && typed.value(key) != now.value(key);
            clashes.push(Clash {
                label: t.get(&label_key("partner", key)),
                parameter: field.parameter,
                was: shown_value(t, field, seen),
                now: shown_value(t, field, now),
                typed: is_typed.then(|| shown_value(t, field, typed)),
            });
            if !is_typed {
                typed.set(key, now.value(key));
            }
        }
        Self { by, moment, clashes }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::FIELDS;
    use super::*;

    fn sheet(value: &serde_json::Value) -> Sheet {
        Sheet::of(FIELDS, value.as_object().unwrap())
    }

    #[test]
    fn what_the_other_changed_is_taken_over_but_for_what_was_changed_here_too() {
        let seen = sheet(&json!({"domain": "a.example", "description": "old", "connection_limit": 5, "bidi": false}));
        let now = sheet(&json!({"domain": "a.example", "description": "theirs", "connection_limit": 9, "bidi": false}));
        let mut typed =
            sheet(&json!({"domain": "a.example", "description": "mine", "connection_limit": 5, "bidi": true}));
        let conflict = Conflict::between(Texts::default(), &seen, &now, &mut typed, "bob".into(), String::new());
        let clashes: Vec<_> = conflict
            .clashes
            .iter()
            .map(|clash| (clash.parameter, clash.now.as_str(), clash.typed.as_deref()))
            .collect();
        assert_eq!(clashes, [("Description", "theirs", Some("mine")), ("ConnectionLimit", "9", None)]);
        assert_eq!(
            (typed.value("description"), typed.value("connection_limit"), typed.is("bidi")),
            ("mine", "9", true)
        );
    }
}
