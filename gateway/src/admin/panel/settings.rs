//! Gateway settings: what holds for all partners (Set-CsXmppGatewayConfiguration), with every default and range shown.
//!
//! One form, committed as a whole. What gateway.toml has is read-only here. The dialback passphrase is typed and never
//! shown; that message bodies are logged is confirmed first.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::entry::{Entry, label_key, shown_value};
use super::language::Texts;
use super::layout::{Frame, page};
use super::partners::author;
use super::sheet::{Field, Kind, Sheet, Typed, field};
use super::slip;
use super::told::{self, Told, Warned};
use crate::admin::administration::{InForce, Options};
use crate::admin::change::{self, Change, Subject};
use crate::admin::desk::Desk;
use crate::admin::documents::{Object, SettingsDocument};
use crate::admin::login::{Actor, Denied, Scope};
use crate::admin::receipt::Refusal;

#[cfg(test)]
mod tests;

/// The fields in the order of the form.
const FIELDS: &[Field] = &[
    field("connection_limit", "ConnectionLimit", Kind::Number),
    field("partner_connection_limit", "PartnerConnectionLimit", Kind::Number),
    field("stream_establishment_timeout_secs", "StreamEstablishmentTimeout", Kind::Number),
    field("stream_inactivity_timeout_secs", "StreamInactivityTimeout", Kind::Number),
    field("keep_alive_interval_secs", "KeepAliveInterval", Kind::Number),
    field("subscription_refresh_interval_secs", "SubscriptionRefreshInterval", Kind::Number),
    field("subscribe_expires_secs", "subscribe_expires_secs", Kind::Number),
    field("min_s2s_method", "min_s2s_method", Kind::Choice(&["tcp-dialback", "tls-dialback", "sasl-external"])),
    field("strict_required", "strict_required", Kind::Flag),
    field("dialback_passphrase", "DialbackPassphrase", Kind::Secret),
    field("enable_logging_all_message_bodies", "EnableLoggingAllMessageBodies", Kind::Flag),
    field("archive_retention_days", "archive_retention_days", Kind::Number),
];

/// Smallest, usual and largest value of each number, as the reader of the configuration has them; a test compares.
const RANGES: [(&str, u64, u64, u64); 8] = [
    ("connection_limit", 1, 1_000, 100_000),
    ("partner_connection_limit", 1, 20, 1_000),
    ("stream_establishment_timeout_secs", 5, 60, 600),
    ("stream_inactivity_timeout_secs", 60, 600, 86_400),
    ("keep_alive_interval_secs", 30, 300, 3_600),
    ("subscription_refresh_interval_secs", 600, 28_800, 604_800),
    ("subscribe_expires_secs", 60, 3_600, 86_400),
    ("archive_retention_days", 1, 365, 36_500),
];

/// The setting that whoever turns it on is asked about first.
const BODIES: &str = "enable_logging_all_message_bodies";

/// The box that takes the passphrase away.
const NO_PASSPHRASE: &str = "remove_dialback_passphrase";

/// The pages.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/settings", get(show).post(press))
}

/// The settings that are being written.
struct Draft {
    sheet: Sheet,
    base: Sheet,
    version: u64,
    no_passphrase: bool,
}

/// What is said about them.
#[derive(Default)]
struct Remarks {
    faults: Vec<Told>,
    problem: Option<(String, String)>,
    stale: Option<(String, Vec<Stale>)>,
    to_confirm: Vec<Warned>,
}

/// A setting that somebody else has changed meanwhile.
struct Stale {
    label: String,
    was: String,
    now: String,
    typed: String,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    t: Texts,
    frame: Frame,
    draft: Draft,
    entries: Vec<Entry>,
    summary: Vec<Told>,
    remarks: Remarks,
    has_passphrase: bool,
    may_write: bool,
}

impl SettingsPage {
    /// Whether a field differs from its default, so that it can be brought back.
    fn is_resettable(&self, entry: &Entry) -> bool {
        let usual = usual(entry.key);
        !entry.locked && usual.is_some_and(|usual| usual != self.draft.sheet.value(entry.key))
    }
}

/// The default of a field as it is typed; `None` for the secret, which has none.
fn usual(key: &str) -> Option<String> {
    if let Some((_, _, usual, _)) = RANGES.iter().find(|(known, ..)| *known == key) {
        return Some(usual.to_string());
    }
    match key {
        "min_s2s_method" => Some("tcp-dialback".to_owned()),
        "strict_required" | BODIES => Some(String::new()),
        _ => None,
    }
}

fn document(in_force: &InForce) -> Object {
    json!(SettingsDocument::of(&in_force.config)).as_object().cloned().unwrap_or_default()
}

fn version(in_force: &InForce) -> u64 {
    change::document(&in_force.data, &Subject::Settings).map_or(0, |document| document.version)
}

/// Whether gateway.toml has a setting.
fn is_declared(in_force: &InForce, key: &str) -> bool {
    let declared = &in_force.config.declared.settings;
    declared.contains(key) || key == "dialback_passphrase" && declared.contains("dialback_passphrase_file")
}

fn form(frame: Frame, in_force: &InForce, draft: Draft, remarks: Remarks) -> Response {
    let t = frame.t;
    let status = match &remarks {
        Remarks { stale: Some(_), .. } => StatusCode::CONFLICT,
        Remarks { faults, .. } if !faults.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
        Remarks { problem: Some(_), .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let may_write = frame.may_write();
    let entry = |field: &Field| {
        let mut entry = Entry::new(t, "settings", field, &draft.sheet, &remarks.faults);
        entry.locked = !may_write || is_declared(in_force, field.key);
        entry.range = range(t, field.key);
        if is_declared(in_force, field.key) {
            entry.range = format!("{} {}", entry.range, t.get("settings-declared"));
        }
        entry
    };
    let template = SettingsPage {
        entries: FIELDS.iter().map(entry).collect(),
        summary: remarks.faults.clone(),
        has_passphrase: SettingsDocument::of(&in_force.config).has_dialback_passphrase,
        may_write,
        remarks,
        draft,
        t,
        frame,
    };
    page(status, &template)
}

fn range(t: Texts, key: &str) -> String {
    match (RANGES.iter().find(|(known, ..)| *known == key), usual(key)) {
        (Some((_, min, usual, max)), _) => t.with("settings-range", (("min", *min), ("usual", *usual), ("max", *max))),
        (None, Some(usual)) if usual.is_empty() => t.with("settings-default", ("usual", &t.get("no"))),
        (None, Some(usual)) => t.with("settings-default", ("usual", &super::entry::word_label(t, &usual))),
        (None, None) => String::new(),
    }
}

async fn show(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let in_force = desk.administration.in_force();
    let sheet = Sheet::of(FIELDS, &document(&in_force));
    let draft = Draft { base: sheet.clone(), sheet, version: version(&in_force), no_passphrase: false };
    Ok(form(frame, &in_force, draft, Remarks::default()))
}

async fn press(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let typed = Typed(typed);
    let in_force = desk.administration.in_force();
    let mut sheet = Sheet::typed(FIELDS, &typed);
    let running = Sheet::of(FIELDS, &document(&in_force));
    // A browser does not send what is locked.
    for field in FIELDS.iter().filter(|field| is_declared(&in_force, field.key)) {
        sheet.set(field.key, running.value(field.key));
    }
    let base = Sheet::read(FIELDS, typed.get("base")).unwrap_or_else(|| running.clone());
    let version = typed.number("version").unwrap_or_default();
    let mut draft = Draft { sheet, base, version, no_passphrase: typed.has(NO_PASSPHRASE) };
    if let Some(key) = typed.get("do").strip_prefix("reset-") {
        if let Some(usual) = usual(key) {
            draft.sheet.set(key, &usual);
        }
        return Ok(form(frame, &in_force, draft, Remarks::default()));
    }
    let confirmed = typed.get("do") == "confirm";
    if draft.sheet.is(BODIES) && !running.is(BODIES) && !confirmed {
        let text = frame.t.get("warning-bodies-logged");
        let to_confirm = vec![Warned { code: BODIES.to_owned(), text }];
        return Ok(form(frame, &in_force, draft, Remarks { to_confirm, ..Remarks::default() }));
    }
    Ok(commit(&desk, &actor, frame, draft).await)
}

impl Draft {
    /// What differs from what its writer has seen. A value that is the default is left to the default.
    fn patch(&self) -> Object {
        let mut patch = self.sheet.patch(&self.base);
        for (key, value) in &mut patch {
            if usual(key).is_some_and(|usual| usual == self.sheet.value(key)) {
                *value = Value::Null;
            }
        }
        if self.no_passphrase {
            patch.insert("dialback_passphrase".to_owned(), Value::Null);
        }
        patch
    }
}

async fn commit(desk: &Desk, actor: &Actor, frame: Frame, draft: Draft) -> Response {
    let t = frame.t;
    let options = Options { if_version: Some(draft.version), ..Options::default() };
    let changed = desk.administration.change(&author(actor), Change::PatchSettings(draft.patch()), options).await;
    let refusal = match changed {
        Ok(receipt) => {
            let links = vec![("/settings".to_owned(), t.get("settings-again"))];
            return slip::receipt(frame, "settings", t.get("settings-changed"), &receipt, links);
        }
        Err(refusal) => refusal,
    };
    let in_force = desk.administration.in_force();
    match refusal {
        Refusal::Faults(faults) => {
            let label = |key: &str| {
                FIELDS.iter().find(|field| field.key == key).map(|field| t.get(&label_key("settings", field.key)))
            };
            let faults = faults.iter().map(|fault| told::fault(t, fault, label)).collect();
            form(frame, &in_force, draft, Remarks { faults, ..Remarks::default() })
        }
        Refusal::Stale { .. } => stale(frame, &in_force, draft, &refusal),
        Refusal::Busy | Refusal::Store(_) => {
            let remarks = Remarks { problem: Some(told::refusal(t, &refusal)), ..Remarks::default() };
            form(frame, &in_force, draft, remarks)
        }
        Refusal::Absent(_) | Refusal::Exists(_) | Refusal::Declared(_) | Refusal::NotInForce(_) => {
            slip::refused(frame, &refusal, "/settings")
        }
    }
}

/// Somebody else was faster: their changes beside what was typed; those that were not touched here are taken over.
fn stale(frame: Frame, in_force: &InForce, mut draft: Draft, refusal: &Refusal) -> Response {
    let t = frame.t;
    let now = Sheet::of(FIELDS, &document(in_force));
    let mut lines = Vec::new();
    for field in now.differences(&draft.base) {
        if draft.sheet.value(field.key) == draft.base.value(field.key) {
            draft.sheet.set(field.key, now.value(field.key));
        }
        lines.push(Stale {
            label: t.get(&label_key("settings", field.key)),
            was: shown_value(t, field, &draft.base),
            now: shown_value(t, field, &now),
            typed: shown_value(t, field, &draft.sheet),
        });
    }
    draft.base = now;
    draft.version = version(in_force);
    let (text, _) = told::refusal(t, refusal);
    form(frame, in_force, draft, Remarks { stale: Some((text, lines)), ..Remarks::default() })
}
