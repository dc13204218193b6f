//! New, Edit and Delete of a policy.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{FIELDS, document, path, version};
use crate::admin::administration::{InForce, Options};
use crate::admin::change::{Change, Subject};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::admin::panel::entry::{Entry, label_key, shown_value};
use crate::admin::panel::language::Texts;
use crate::admin::panel::layout::{Frame, page};
use crate::admin::panel::partners::author;
use crate::admin::panel::sheet::{Sheet, Typed};
use crate::admin::panel::slip;
use crate::admin::panel::told::{self, Told};
use crate::admin::receipt::{Fault, Refusal};

/// A policy that is being written.
struct Draft {
    /// Its identity, if it exists.
    identity: Option<String>,
    sheet: Sheet,
    base: Sheet,
    version: u64,
}

/// A field that somebody else has changed: its name, what is there now, what was typed.
type Clash = (String, String, String);

/// What is said about it.
#[derive(Default)]
struct Remarks {
    faults: Vec<Told>,
    problem: Option<(String, String)>,
    /// Somebody else was faster: in a sentence, and field by field what is there now and what was typed.
    stale: Option<(String, Vec<Clash>)>,
}

#[derive(Template)]
#[template(path = "policy_form.html")]
struct FormPage {
    t: Texts,
    frame: Frame,
    title: String,
    action: String,
    draft: Draft,
    entries: Vec<Entry>,
    summary: Vec<Told>,
    remarks: Remarks,
    from_file: bool,
    read_only: bool,
}

fn form(frame: Frame, in_force: &InForce, draft: Draft, remarks: Remarks) -> Response {
    let t = frame.t;
    let status = match &remarks {
        Remarks { stale: Some(_), .. } => StatusCode::CONFLICT,
        Remarks { faults, .. } if !faults.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
        Remarks { problem: Some(_), .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let from_file = draft.identity.clone().is_some_and(|identity| in_force.is_declared(&Subject::Policy(identity)));
    let read_only = from_file || !frame.may_write();
    let entry = |field| {
        let mut entry = Entry::new(t, "policy", field, &draft.sheet, &remarks.faults);
        entry.locked = read_only || field.key == "identity" && draft.identity.is_some();
        entry
    };
    let template = FormPage {
        title: match &draft.identity {
            Some(identity) => t.with("policy-title", ("identity", identity)),
            None => t.get("policy-new-title"),
        },
        action: draft.identity.as_deref().map_or_else(|| "/policies/new".to_owned(), path),
        entries: FIELDS.iter().map(entry).collect(),
        summary: remarks.faults.clone(),
        remarks,
        from_file,
        read_only,
        draft,
        t,
        frame,
    };
    page(status, &template)
}

/// GET /policies/new.
pub(super) async fn new(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let mut sheet = Sheet::typed(FIELDS, &Typed::default());
    sheet.tick("enable_federation_access", true);
    let draft = Draft { identity: None, base: sheet.clone(), sheet, version: 0 };
    Ok(form(frame, &desk.administration.in_force(), draft, Remarks::default()))
}

/// GET /policies/{identity}.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(identity): Path<String>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let in_force = desk.administration.in_force();
    let sheet = Sheet::of(FIELDS, &document(&in_force, &identity).ok_or(Denied::NotFound)?);
    let version = version(&in_force, &identity);
    let draft = Draft { identity: Some(identity), base: sheet.clone(), sheet, version };
    Ok(form(frame, &in_force, draft, Remarks::default()))
}

/// POST /policies/new.
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let sheet = Sheet::typed(FIELDS, &Typed(typed));
    let draft = Draft { identity: None, base: sheet.clone(), sheet, version: 0 };
    Ok(commit(&desk, &actor, frame, draft).await)
}

/// POST /policies/{identity}.
pub(super) async fn change(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(identity): Path<String>,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let typed = Typed(typed);
    let mut sheet = Sheet::typed(FIELDS, &typed);
    sheet.set("identity", &identity);
    let base = Sheet::read(FIELDS, typed.get("base")).unwrap_or_else(|| sheet.clone());
    let version = typed.number("version").unwrap_or_default();
    Ok(commit(&desk, &actor, frame, Draft { identity: Some(identity), sheet, base, version }).await)
}

async fn commit(desk: &Desk, actor: &Actor, frame: Frame, draft: Draft) -> Response {
    let t = frame.t;
    let document = draft.sheet.document();
    let (change, if_version) = match &draft.identity {
        None => (Change::NewPolicy(document), None),
        Some(identity) => (Change::PutPolicy { identity: identity.clone(), document }, Some(draft.version)),
    };
    let options = Options { if_version, ..Options::default() };
    match desk.administration.change(&author(actor), change, options).await {
        Ok(receipt) => {
            let links =
                vec![("/policies".to_owned(), t.get("policies-to-list")), (path(&receipt.object), t.get("edit"))];
            let title = t.with("policy-changed", ("identity", &receipt.object));
            slip::receipt(frame, "policy", title, &receipt, links)
        }
        Err(refusal) => refuse(desk, frame, draft, refusal),
    }
}

fn refuse(desk: &Desk, frame: Frame, mut draft: Draft, refusal: Refusal) -> Response {
    let (t, in_force) = (frame.t, desk.administration.in_force());
    let remarks = match refusal {
        Refusal::Faults(faults) => Remarks {
            faults: faults.iter().map(|fault| told::fault(t, fault, |key| label(t, key))).collect(),
            ..Remarks::default()
        },
        refusal @ (Refusal::Exists(_) | Refusal::Declared(_)) => {
            let (text, detail) = told::refusal(t, &refusal);
            let (key, label) = ("identity".to_owned(), t.get("policy-identity"));
            Remarks { faults: vec![Told { key, label, text, detail, code: "exists".to_owned() }], ..Remarks::default() }
        }
        refusal @ Refusal::Stale { .. } => {
            let identity = draft.identity.clone().unwrap_or_default();
            let Some(now) = document(&in_force, &identity) else {
                return slip::refused(frame, &Refusal::Absent(identity), "/policies");
            };
            let now = Sheet::of(FIELDS, &now);
            let mut lines = Vec::new();
            for field in now.differences(&draft.base) {
                if draft.sheet.value(field.key) == draft.base.value(field.key) {
                    draft.sheet.set(field.key, now.value(field.key));
                }
                let (theirs, ours) = (shown_value(t, field, &now), shown_value(t, field, &draft.sheet));
                lines.push((t.get(&label_key("policy", field.key)), theirs, ours));
            }
            draft.base = now;
            draft.version = version(&in_force, &identity);
            Remarks { stale: Some((told::refusal(t, &refusal).0, lines)), ..Remarks::default() }
        }
        refusal @ (Refusal::Busy | Refusal::Store(_)) => {
            Remarks { problem: Some(told::refusal(t, &refusal)), ..Remarks::default() }
        }
        refusal @ (Refusal::Absent(_) | Refusal::NotInForce(_)) => return slip::refused(frame, &refusal, "/policies"),
    };
    form(frame, &in_force, draft, remarks)
}

fn label(t: Texts, key: &str) -> Option<String> {
    FIELDS.iter().find(|field| field.key == key).map(|field| t.get(&label_key("policy", field.key)))
}

#[derive(Template)]
#[template(path = "policy_delete.html")]
struct RemovalPage {
    t: Texts,
    frame: Frame,
    identity: String,
    action: String,
    version: u64,
    granted: usize,
}

/// GET /policies/{identity}/delete.
pub(super) async fn ask_removal(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(identity): Path<String>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let in_force = desk.administration.in_force();
    document(&in_force, &identity).ok_or(Denied::NotFound)?;
    if in_force.is_declared(&Subject::Policy(identity.clone())) {
        return Ok(slip::refused(frame, &Refusal::Declared(identity), "/policies"));
    }
    let tag = identity.strip_prefix("Tag:").unwrap_or_default();
    let granted = in_force.config.access.grants().filter(|(_, granted)| &*granted.tag == tag).count();
    let version = version(&in_force, &identity);
    let template = RemovalPage { t: frame.t, frame, action: path(&identity), identity, version, granted };
    Ok(page(StatusCode::OK, &template))
}

/// POST /policies/{identity}/delete.
pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(identity): Path<String>,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let options = Options { if_version: Typed(typed).number("version"), ..Options::default() };
    let (t, back) = (frame.t, path(&identity));
    let change = Change::RemovePolicy { identity };
    Ok(match desk.administration.change(&author(&actor), change, options).await {
        Ok(receipt) => {
            let links = vec![("/policies".to_owned(), t.get("policies-to-list"))];
            slip::receipt(frame, "policy", t.with("policy-removed", ("identity", &receipt.object)), &receipt, links)
        }
        // Users are granted the tag: they are named one by one, which helps nobody where they are many.
        Err(Refusal::Faults(faults)) if faults.iter().any(|fault: &Fault| fault.code == "unknown-policy") => {
            let granted = faults.into_iter().find(|fault| fault.code == "unknown-policy").into_iter().collect();
            slip::refused(frame, &Refusal::Faults(granted), "/grants")
        }
        Err(refusal) => slip::refused(frame, &refusal, &back),
    })
}
