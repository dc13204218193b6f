//! What the gateway says when it refuses: problem details (RFC 9457), field by field, each with its remedy.

use std::fmt;

use serde_json::Value as Json;

use super::output::plain;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The status of the answer.
    pub(super) status: u16,
    title: String,
    detail: String,
    faults: Vec<Fault>,
}

/// One field that does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    key: String,
    text: String,
    found: String,
    expected: String,
}

impl Problem {
    /// Reads an answer; whatever is no problem document becomes one of its status alone.
    pub(super) fn read(status: u16, body: &Json) -> Self {
        let text = |value: &Json, key: &str| value.get(key).map(shown).unwrap_or_default();
        let faults = body.get("faults").or_else(|| body.get("errors")).and_then(Json::as_array);
        let fault = |fault: &Json| Fault {
            key: text(fault, "key"),
            text: [text(fault, "message"), text(fault, "code")].into_iter().find(|s| !s.is_empty()).unwrap_or_default(),
            found: text(fault, "found"),
            expected: text(fault, "expected"),
        };
        Self {
            status,
            title: text(body, "title"),
            detail: text(body, "detail"),
            faults: faults.map(|list| list.iter().map(fault).collect()).unwrap_or_default(),
        }
    }

    /// What to do, where the status alone says it.
    const fn remedy(&self) -> Option<&'static str> {
        match self.status {
            401 => Some("give a token that is valid: --token-file FILE, or CAUSEWAY_TOKEN"),
            403 => Some("use a token or an account with the permission for this"),
            404 => Some("compare the name with what `get` lists"),
            409 => Some("look at it with `get`, then decide again"),
            412 => Some("somebody changed it in between: look at it with `get`, then do it again"),
            429 => Some("wait a little, then do it again"),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = if self.title.is_empty() { "the gateway refused" } else { &self.title };
        write!(f, "{title} ({})", self.status)?;
        // Where there are faults, the detail only says so.
        if !self.detail.is_empty() && self.detail != self.title && self.faults.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        for Fault { key, text, found, expected } in &self.faults {
            write!(f, "\n  {key}: {text}")?;
            if !found.is_empty() && !text.contains(found) {
                write!(f, "\n    found     {found}")?;
            }
            if !expected.is_empty() && !text.contains(expected) {
                write!(f, "\n    expected  {expected}")?;
            }
        }
        match self.remedy() {
            // The gateway's own words say more.
            Some(remedy) if self.faults.is_empty() && self.detail.is_empty() => write!(f, "\n  {remedy}"),
            Some(_) | None => Ok(()),
        }
    }
}

/// A value of any kind, on one line.
fn shown(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_field_is_shown_with_what_was_found_and_what_does() {
        let body = json!({
            "title": "The change is refused",
            "faults": [{
                "key": "sasl_negotiation", "code": "sasl-needs-tls", "message": "SASL needs TLS",
                "found": "Required", "expected": "NotSupported",
            }],
        });
        assert_eq!(
            Problem::read(422, &body).to_string(),
            "The change is refused (422)\n  sasl_negotiation: SASL needs TLS\n    found     Required\n    \
             expected  NotSupported",
        );
    }

    #[test]
    fn a_refusal_that_says_nothing_still_names_a_remedy() {
        let text = Problem::read(412, &Json::Null).to_string();
        assert!(text.starts_with("the gateway refused (412)") && text.contains("somebody changed it"), "{text}");
    }

    #[test]
    fn what_an_answer_says_cannot_steer_the_terminal() {
        let text = Problem::read(422, &json!({"title": "a\u{1b}[2Jb"})).to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
