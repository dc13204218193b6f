//! The receipt of a change as a page: what changed, when it counts, which edges work by it, what is worth a second look.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::entry::{label_key, word_label};
use super::language::Texts;
use super::layout::{Frame, page};
use super::told::{self, Warned};
use crate::admin::receipt::{Applies, EdgeTook, Receipt, Refusal};

/// A key that changed, for people.
#[derive(Debug)]
pub(super) struct Line {
    /// What it is called.
    pub(super) label: String,
    /// The key.
    pub(super) key: String,
    /// Its value so far.
    pub(super) before: String,
    /// Its value now.
    pub(super) after: String,
    /// Whether it counts for new streams only.
    pub(super) new_streams: bool,
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    t: Texts,
    frame: Frame,
    title: String,
    lines: Vec<Line>,
    warnings: Vec<Warned>,
    edges: Vec<EdgeTook>,
    links: Vec<(String, String)>,
    some_new_streams: bool,
}

/// Shows a receipt. `title` says what was done; `links` lead on.
pub(super) fn receipt(
    frame: Frame,
    area: &str,
    title: String,
    receipt: &Receipt,
    links: Vec<(String, String)>,
) -> Response {
    let t = frame.t;
    let lines: Vec<Line> = lines(t, area, receipt);
    let warnings = receipt.warnings.iter().map(|note| told::warning(t, note)).collect();
    let some_new_streams = lines.iter().any(|line| line.new_streams);
    let edges = receipt.edges.clone();
    page(StatusCode::OK, &ReceiptPage { t, frame, title, lines, warnings, edges, links, some_new_streams })
}

fn lines(t: Texts, area: &str, receipt: &Receipt) -> Vec<Line> {
    let line = |change: &crate::admin::receipt::FieldChange| Line {
        label: t.get(&label_key(area, &change.key)),
        key: change.key.clone(),
        before: shown(t, &change.before),
        after: shown(t, &change.after),
        new_streams: change.applies == Applies::NewStreams,
    };
    // Whether there is a passphrase follows from the passphrase, which has its own line.
    receipt.changed.iter().filter(|change| change.key != "has_dialback_passphrase").map(line).collect()
}

/// A value of a document for people.
pub(super) fn shown(t: Texts, value: &Value) -> String {
    match value {
        Value::Null => t.get("value-none"),
        Value::Bool(true) => t.get("yes"),
        Value::Bool(false) => t.get("no"),
        Value::String(text) if text.is_empty() => t.get("value-none"),
        Value::String(text) if text == "(secret)" => t.get("value-secret"),
        Value::String(text) => word_label(t, text),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.is_empty() => t.get("value-none"),
        Value::Array(items) => items.iter().map(|item| shown(t, item)).collect::<Vec<_>>().join("\n"),
        Value::Object(_) => value.to_string(),
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    t: Texts,
    frame: Frame,
    text: String,
    detail: String,
    back: String,
}

/// A page that says why nothing was changed, where no form is to be shown again. `back` leads to where one can go on.
pub(super) fn refused(frame: Frame, refusal: &Refusal, back: &str) -> Response {
    let t = frame.t;
    let status = match refusal {
        Refusal::Faults(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Absent(_) => StatusCode::NOT_FOUND,
        Refusal::Exists(_) | Refusal::Declared(_) | Refusal::Stale { .. } => StatusCode::CONFLICT,
        Refusal::Busy | Refusal::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::NotInForce(_) => StatusCode::ACCEPTED,
    };
    let (mut text, mut detail) = told::refusal(t, refusal);
    if let Refusal::Faults(faults) = refusal {
        let told = faults.iter().map(|fault| told::fault(t, fault, |_| None));
        let told: Vec<_> = told.collect();
        text = told.iter().map(|told| told.text.as_str()).collect::<Vec<_>>().join(" ");
        detail = told.iter().map(|told| told.detail.as_str()).collect::<Vec<_>>().join(" ").trim().to_owned();
    }
    page(status, &RefusedPage { t, frame, text, detail, back: back.to_owned() })
}
