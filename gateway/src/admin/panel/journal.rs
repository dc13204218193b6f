//! The audit journal: who changed what, or was refused, newest first; whether its chain holds; all of it to keep.
//!
//! Filters are applied while reading from the end, a bounded number of entries at a time, so that a long journal costs a
//! page no more than a short one.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;

use super::dress::form_encoded;
use super::language::Texts;
use super::layout::{Frame, page};
use super::sheet::Typed;
use super::slip;
use crate::admin::api::audit::{AuditCheck, check_journal};
use crate::admin::desk::Desk;
use crate::admin::journal::{ActorKind, JournalRecord, Outcome};
use crate::admin::login::{Actor, Denied, Scope};

#[cfg(test)]
mod tests;

/// Entries on one page.
const PAGE: usize = 50;

/// Entries that are read at once.
const READ: usize = 500;

/// Reads of one request: what a filter has not found within 10,000 entries is looked for from the next page on.
const READS: usize = 20;

/// The pages.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/journal", get(list)).route("/journal/verify", get(verify))
}

/// What is looked for.
#[derive(Debug, Default)]
struct Filter {
    actor: String,
    object: String,
    action: String,
    outcome: String,
}

impl Filter {
    fn of(typed: &Typed) -> Self {
        let text = |name| typed.get(name).trim().to_lowercase();
        Self { actor: text("actor"), object: text("object"), action: text("action"), outcome: text("outcome") }
    }

    fn fits(&self, record: &JournalRecord) -> bool {
        let has = |text: &str, wanted: &str| wanted.is_empty() || text.to_lowercase().contains(wanted);
        let entry = &record.entry;
        has(&entry.actor, &self.actor)
            && has(&entry.object, &self.object)
            && has(&entry.action, &self.action)
            && (self.outcome.is_empty() || entry.outcome.as_str() == self.outcome)
    }

    fn is_outcome(&self, outcome: &Outcome) -> bool {
        self.outcome == outcome.as_str()
    }

    /// The query of the page that goes on before an entry.
    fn href(&self, before: u64) -> String {
        let [actor, object, action, outcome] =
            [&self.actor, &self.object, &self.action, &self.outcome].map(|text| form_encoded(text));
        format!("/journal?actor={actor}&object={object}&action={action}&outcome={outcome}&before={before}")
    }
}

/// An entry for people.
struct Row {
    seq: u64,
    moment: String,
    actor: String,
    kind: String,
    address: String,
    action: String,
    object: String,
    outcome: Outcome,
    changes: Vec<(String, String, String)>,
    /// Whatever else it says, in English or JSON.
    more: Vec<String>,
    hash: String,
}

#[derive(Template)]
#[template(path = "journal.html")]
struct JournalPage {
    t: Texts,
    frame: Frame,
    rows: Vec<Row>,
    filter: Filter,
    /// Where the next page begins, if there is one.
    next: Option<String>,
    is_first: bool,
    check: Option<AuditCheck>,
}

impl JournalPage {
    fn outcomes(&self) -> [Outcome; 3] {
        [Outcome::Done, Outcome::Refused, Outcome::DryRun]
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        self.t.get(match outcome {
            Outcome::Done => "journal-done",
            Outcome::Refused => "journal-refused",
            Outcome::DryRun => "journal-dry-run",
        })
    }

    /// The class of its mark.
    fn mark(&self, outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Done => "good",
            Outcome::Refused => "bad",
            Outcome::DryRun => "",
        }
    }
}

async fn list(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    show(&desk, frame, &Typed(query), None).await
}

/// GET /journal/verify: follows the chain from the first entry to the last.
async fn verify(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let check = check_journal(&desk.store).await.ok_or(Denied::Failed)?;
    show(&desk, frame, &Typed::default(), Some(check)).await
}

async fn show(desk: &Desk, frame: Frame, typed: &Typed, check: Option<AuditCheck>) -> Result<Response, Denied> {
    let (t, filter, first) = (frame.t, Filter::of(typed), typed.number("before"));
    let (mut rows, mut before, mut is_end) = (Vec::new(), first, false);
    'reads: for _ in 0..READS {
        let read = desk.store.journal_before(before, READ).await.map_err(|error| {
            tracing::error!(%error, "the journal cannot be shown");
            Denied::Failed
        })?;
        is_end = read.len() < READ;
        for record in read {
            before = Some(record.seq);
            if filter.fits(&record) {
                rows.push(row(t, record));
                if rows.len() == PAGE {
                    is_end = before == Some(1);
                    break 'reads;
                }
            }
        }
        if is_end {
            break;
        }
    }
    let next = before.filter(|_| !is_end).map(|before| filter.href(before));
    Ok(page(StatusCode::OK, &JournalPage { t, rows, next, is_first: first.is_none(), filter, check, frame }))
}

fn row(t: Texts, record: JournalRecord) -> Row {
    let JournalRecord { seq, hash, entry, .. } = record;
    let (changes, more) = told(t, &entry.detail);
    Row {
        seq,
        moment: t.moment(entry.at_ms),
        actor: entry.actor,
        kind: t.get(match entry.actor_kind {
            ActorKind::Account => "journal-account",
            ActorKind::Token => "journal-token",
            ActorKind::Local => "journal-local",
            ActorKind::Anonymous => "journal-anonymous",
            ActorKind::System => "journal-system",
        }),
        address: entry.address,
        action: entry.action,
        object: entry.object,
        outcome: entry.outcome,
        changes,
        more,
        hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The detail of an entry: key, before and after of what changed, and whatever else it says.
fn told(t: Texts, detail: &str) -> (Vec<(String, String, String)>, Vec<String>) {
    let Ok(Value::Object(detail)) = serde_json::from_str(detail) else {
        return (Vec::new(), Some(detail.to_owned()).filter(|detail| !detail.is_empty()).into_iter().collect());
    };
    let (mut changes, mut more) = (Vec::new(), Vec::new());
    for (key, value) in detail {
        match (key.as_str(), value) {
            ("changed", Value::Array(items)) => changes.extend(items.iter().map(|item| changed(t, item))),
            ("faults", Value::Array(items)) => more.extend(items.iter().map(fault)),
            (_, Value::String(text)) => more.push(format!("{key}: {text}")),
            (_, other) => more.push(format!("{key}: {other}")),
        }
    }
    (changes, more)
}

fn changed(t: Texts, item: &Value) -> (String, String, String) {
    let value = |name: &str| slip::shown(t, item.get(name).unwrap_or(&Value::Null));
    (item.get("key").and_then(Value::as_str).unwrap_or_default().to_owned(), value("before"), value("after"))
}

fn fault(item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{}: {}; {}", text("key"), text("found"), text("expected"))
}
