//! What the validator found, in the reader's language: faults at their fields, warnings, and refusals as a whole.
//!
//! The validator names each finding by a code; its text is `fault-CODE`, `warning-CODE` or `refusal-KIND`, in
//! `faults.ftl`. Why a name cannot be read is known in English only, and is added as that.

use super::language::Texts;
use crate::admin::receipt::{Fault, Note, Refusal};

/// Keys of which something is made that has a form: what to write there has a text, `expect-KEY`.
const FORMED: [&str; 8] =
    ["domain", "additional_domains", "proxy_fqdn", "trust_anchors_pem", "pins", "identity", "user", "policy"];

/// A finding at a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The field; empty if it is none of the form.
    pub(super) key: String,
    /// What it is called, or the key of whatever else is meant.
    pub(super) label: String,
    /// What is wrong and what to do.
    pub(super) text: String,
    /// More, in English; often empty.
    pub(super) detail: String,
    /// The code.
    pub(super) code: String,
}

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warned {
    /// The code.
    pub(super) code: String,
    /// What it means.
    pub(super) text: String,
}

/// Tells a fault. `label` says what a key of this form is called.
pub(super) fn fault(t: Texts, fault: &Fault, label: impl Fn(&str) -> Option<String>) -> Told {
    let known = label(&fault.key);
    let (mut text, mut detail) = (t.fault(&fault.code, &fault.args), String::new());
    if fault.code == "unparsable" {
        detail = fault.args.get("reason").cloned().unwrap_or_default();
    }
    if fault.code == "other" {
        text = t.get("fault-other");
        detail = format!("{}; {}", fault.found, fault.expected);
    }
    let key = fault.key.rsplit('.').next().unwrap_or_default();
    let is_formed = matches!(fault.code.as_str(), "unparsable" | "missing" | "empty");
    if is_formed && FORMED.contains(&key) {
        text = format!("{text} {}", t.get(&format!("expect-{}", key.replace('_', "-"))));
    }
    Told {
        key: if known.is_some() { fault.key.clone() } else { String::new() },
        label: known.unwrap_or_else(|| fault.key.clone()),
        text,
        detail,
        code: fault.code.clone(),
    }
}

/// Tells a warning.
pub(super) fn warning(t: Texts, note: &Note) -> Warned {
    let text = match note.code.as_str() {
        // What has no text is told in English.
        "other" => note.text.clone(),
        code => t.get(&format!("warning-{code}")),
    };
    Warned { code: note.code.clone(), text }
}

/// Why nothing was changed, where it is no fault of a field; with more in English.
pub(super) fn refusal(t: Texts, refusal: &Refusal) -> (String, String) {
    let nothing = String::new();
    match refusal {
        Refusal::Faults(faults) => (t.with("faults-count", ("count", faults.len())), nothing),
        Refusal::Absent(name) => (t.with("refusal-absent", ("name", name)), nothing),
        Refusal::Exists(name) => (t.with("refusal-exists", ("name", name)), nothing),
        Refusal::Declared(name) => (t.with("refusal-declared", ("name", name)), nothing),
        Refusal::Stale { object, by, at_ms, .. } => {
            let moment = t.moment(*at_ms);
            (t.with("refusal-stale", (("name", object), ("by", by), ("moment", &moment))), nothing)
        }
        Refusal::Busy => (t.get("refusal-busy"), nothing),
        Refusal::Store(error) => (t.get("refusal-store"), error.to_string()),
        Refusal::NotInForce(reason) => (t.get("refusal-not-in-force"), reason.clone()),
    }
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
