//! New and Edit partner, and Commit: what was typed is tried out first; warnings are confirmed before anything changes.
//!
//! Whatever is refused shows the form again as it was typed, with each fault at its field.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use causeway_shared::partner::NotValid;

use super::conflict::Conflict;
use super::negotiation::{self, Preview, Remedy};
use super::{FIELDS, author, document, path, type_text, usual, version, view};
use crate::admin::administration::{Author, InForce, Options};
use crate::admin::change::{Change, Subject};
use crate::admin::desk::Desk;
use crate::admin::documents::Object;
use crate::admin::login::{Actor, Denied, Scope};
use crate::admin::panel::entry::{Entry, label_key};
use crate::admin::panel::language::Texts;
use crate::admin::panel::layout::{Frame, page};
use crate::admin::panel::sheet::{Sheet, Typed};
use crate::admin::panel::slip;
use crate::admin::panel::told::{self, Told, Warned};
use crate::admin::receipt::{Fault, Note, Refusal};

/// Warnings that weaken nothing, so that nobody is asked whether they are meant.
const HARMLESS: [&str; 1] = ["dialback-ineffective"];

/// A partner that is being written.
struct Draft {
    /// Its domain, if it exists; the key of the change.
    domain: Option<String>,
    /// What is typed.
    sheet: Sheet,
    /// What its writer has seen.
    base: Sheet,
    /// The version of that.
    version: u64,
    /// The warnings that its writer has confirmed.
    confirmed: Vec<String>,
}

/// What is said about a draft.
#[derive(Default)]
struct Remarks {
    faults: Vec<Told>,
    to_confirm: Vec<Warned>,
    conflict: Option<Conflict>,
    problem: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "partner_form.html")]
struct FormPage {
    t: Texts,
    frame: Frame,
    title: String,
    action: String,
    draft: Draft,
    summary: Vec<Told>,
    remarks: Remarks,
    preview: Preview,
    types: Vec<(&'static str, String, String, bool)>,
    trust_files: String,
    ask_force: bool,
    confirmed: String,
}

impl FormPage {
    fn entry(&self, key: &str) -> Option<Entry> {
        let field = FIELDS.iter().find(|field| field.key == key)?;
        let mut entry = Entry::new(self.t, "partner", field, &self.draft.sheet, &self.summary);
        entry.locked = key == "domain" && self.draft.domain.is_some();
        Some(entry)
    }

    /// Fields of the form, for the template.
    fn entries(&self, keys: &str) -> Vec<Entry> {
        keys.split(' ').filter_map(|key| self.entry(key)).collect()
    }

    /// Whether a part that is folded up has something to say.
    fn is_open(&self, keys: &str) -> bool {
        keys.split(' ').any(|key| self.summary.iter().any(|told| told.key == key))
    }
}

fn label(t: Texts, key: &str) -> Option<String> {
    FIELDS.iter().find(|field| field.key == key).map(|field| t.get(&label_key("partner", field.key)))
}

fn form(frame: Frame, in_force: &InForce, draft: Draft, remarks: Remarks) -> Response {
    let t = frame.t;
    let status = match &remarks {
        Remarks { conflict: Some(_), .. } => StatusCode::CONFLICT,
        Remarks { faults, .. } if !faults.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
        Remarks { problem: Some(_), .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let title = match &draft.domain {
        Some(domain) => t.with("partner-edit-title", ("domain", domain)),
        None => t.get("partner-new-title"),
    };
    let chosen = draft.sheet.value("partner_type");
    let types = ["Federated", "PublicVerified", "PublicUnverified"]
        .map(|word| (word, super::word_label(t, word), type_text(t, word), word == chosen));
    let files = draft.domain.as_deref().and_then(|domain| in_force.partner(domain));
    let files = files.map(|partner| partner.trust_anchors.as_slice()).unwrap_or_default();
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let is_alike = |told: &Told| matches!(told.code.as_str(), "look-alike" | "mixed-scripts");
    let template = FormPage {
        title,
        action: draft.domain.as_deref().map_or_else(|| "/partners/new".to_owned(), path),
        preview: Preview::of(t, &draft.sheet, in_force.config.method_rules),
        types: types.into(),
        trust_files: files.join(", "),
        ask_force: remarks.faults.iter().any(is_alike) || draft.sheet.is("force"),
        confirmed: draft.confirmed.join(" "),
        summary: remarks.faults.clone(),
        remarks,
        draft,
        t,
        frame,
    };
    page(status, &template)
}

/// GET /partners/new.
pub(super) async fn new(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let sheet = Sheet::of(FIELDS, &usual());
    let draft = Draft { domain: None, base: sheet.clone(), sheet, version: 0, confirmed: Vec::new() };
    Ok(form(frame, &desk.administration.in_force(), draft, Remarks::default()))
}

/// GET /partners/{domain}: the form, or what there is to read.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(domain): Path<String>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let in_force = desk.administration.in_force();
    let document = document(&in_force, &domain).ok_or(Denied::NotFound)?;
    let sheet = Sheet::of(FIELDS, &document);
    let domain = sheet.value("domain").to_owned();
    if !actor.may(Scope::Write) || in_force.is_declared(&Subject::Partner(domain.clone())) {
        return Ok(view(frame, &in_force, &domain, &document));
    }
    let version = version(&in_force, &domain);
    let draft = Draft { domain: Some(domain), base: sheet.clone(), sheet, version, confirmed: Vec::new() };
    Ok(form(frame, &in_force, draft, Remarks::default()))
}

/// POST /partners/preview: the methods, as a part of the page.
pub(super) async fn preview(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let sheet = Sheet::typed(FIELDS, &Typed(typed));
    Ok(page(StatusCode::OK, &Preview::of(frame.t, &sheet, desk.administration.in_force().config.method_rules)))
}

/// POST /partners/new.
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    Ok(press(&desk, &actor, frame, None, &Typed(typed)).await)
}

/// POST /partners/{domain}.
pub(super) async fn change(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Path(domain): Path<String>,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    Ok(press(&desk, &actor, frame, Some(domain), &Typed(typed)).await)
}

/// Does what the button says.
async fn press(desk: &Desk, actor: &Actor, frame: Frame, domain: Option<String>, typed: &Typed) -> Response {
    let in_force = desk.administration.in_force();
    let mut sheet = Sheet::typed(FIELDS, typed);
    let base = Sheet::read(FIELDS, typed.get("base")).unwrap_or_else(|| sheet.clone());
    if let Some(domain) = &domain {
        sheet.set("domain", domain);
    }
    let confirmed = typed.get("confirmed").split_ascii_whitespace().map(ToOwned::to_owned).collect();
    let mut draft = Draft { domain, sheet, base, version: typed.number("version").unwrap_or_default(), confirmed };
    let pressed = typed.get("do");
    if let Some(remedy) = pressed.strip_prefix("remedy-").and_then(Remedy::parse) {
        remedy.type_into(&mut draft.sheet);
        return form(frame, &in_force, draft, Remarks::default());
    }
    match pressed {
        "check" => check(desk, actor, frame, draft).await,
        "confirm" => {
            draft.confirmed = typed.get("to_confirm").split_ascii_whitespace().map(ToOwned::to_owned).collect();
            commit(desk, actor, frame, draft).await
        }
        _ => commit(desk, actor, frame, draft).await,
    }
}

impl Draft {
    fn change(&self) -> Change {
        match &self.domain {
            None => Change::NewPartner(given(self.sheet.document())),
            // What the file's keys of a document are, the form does not know and leaves alone.
            Some(domain) => Change::PatchPartner { domain: domain.clone(), patch: self.sheet.document() },
        }
    }

    fn options(&self, dry_run: bool) -> Options {
        Options { dry_run, if_version: self.domain.is_some().then_some(self.version), ..Options::default() }
    }

    /// SASL without TLS passes with force from the command line alone; here it is refused, unless it was so before.
    fn refused_here(&self, in_force: &InForce) -> Option<Fault> {
        let settings = negotiation::settings(&self.sheet)?;
        let was = self.domain.as_deref().and_then(|domain| in_force.partner(domain)).map(|partner| partner.negotiation);
        if was == Some(settings) || self.sheet.is("force") == self.base.is("force") && !self.sheet.is("force") {
            return None;
        }
        let judged = settings.judge(in_force.config.method_rules, false);
        (judged == Err(NotValid::NeedsForce)).then(|| Fault {
            key: "tls_negotiation".to_owned(),
            code: NotValid::NeedsForce.code().to_owned(),
            args: std::collections::BTreeMap::new(),
            found: NotValid::NeedsForce.to_string(),
            expected: NotValid::NeedsForce.remedy().to_owned(),
        })
    }

    /// The faults, each at the field of this form that can mend it.
    fn told(&self, t: Texts, faults: &[Fault]) -> Vec<Told> {
        let told = faults.iter().map(|fault| {
            let mut fault = fault.clone();
            if let Some(field) = negotiation::field_of(&fault.code).filter(|_| fault.key == "tls_negotiation") {
                field.clone_into(&mut fault.key);
            }
            self.place_domain(&mut fault);
            told::fault(t, &fault, |key| label(t, key))
        });
        told.collect()
    }

    /// Two partners clash, and the reader blames the one that comes later: here it is the one that is being written.
    fn place_domain(&self, fault: &mut Fault) {
        if !matches!(fault.code.as_str(), "duplicate-domain" | "look-alike" | "mixed-scripts" | "own-domain") {
            return;
        }
        let Some(clashing) = fault.args.get("domain").cloned() else { return };
        if let Some(other) = fault.key.strip_prefix("partner.").and_then(|key| key.strip_suffix(".domain")) {
            let other = other.to_owned();
            match fault.code.as_str() {
                "duplicate-domain" => drop(fault.args.insert("owner".to_owned(), other)),
                "look-alike" => {
                    let ours = fault.args.insert("other".to_owned(), clashing.clone()).unwrap_or_default();
                    fault.args.insert("domain".to_owned(), ours);
                }
                _ => return,
            }
        }
        let clashing = fault.args.get("domain").map_or("", String::as_str);
        let is_additional = self.sheet.value("additional_domains").lines().any(|line| {
            causeway_shared::domain::DomainName::parse(line).is_ok_and(|domain| domain.as_str() == clashing)
        });
        fault.key = if is_additional { "additional_domains" } else { "domain" }.to_owned();
    }

    /// The warnings that are still to be confirmed. What was so before is no news.
    fn to_confirm(&self, in_force: &InForce, warnings: &[Note]) -> Vec<Note> {
        let rules = in_force.config.method_rules;
        let before = self.domain.as_deref().and_then(|domain| in_force.partner(domain));
        let before = before.and_then(|partner| partner.negotiation.judge(rules, partner.force).ok());
        let before: Vec<_> = before.map(|judged| judged.warnings).unwrap_or_default();
        let is_news = |note: &&Note| {
            !HARMLESS.contains(&note.code.as_str())
                && !self.confirmed.contains(&note.code)
                && !before.iter().any(|warning| warning.code() == note.code)
        };
        warnings.iter().filter(is_news).cloned().collect()
    }
}

/// A document without the keys that have their default.
fn given(mut document: Object) -> Object {
    let usual = usual();
    document.retain(|key, value| !value.is_null() && (key == "domain" || usual.get(key) != Some(value)));
    document
}

/// Tries a draft out, and says what comes of it.
async fn check(desk: &Desk, actor: &Actor, frame: Frame, draft: Draft) -> Response {
    let tried = desk.administration.change(&author(actor), draft.change(), draft.options(true)).await;
    let in_force = desk.administration.in_force();
    match tried {
        Ok(_) => form(frame, &in_force, draft, Remarks::default()),
        Err(refusal) => refuse(desk, frame, draft, refusal),
    }
}

async fn commit(desk: &Desk, actor: &Actor, frame: Frame, draft: Draft) -> Response {
    let (t, author, in_force) = (frame.t, author(actor), desk.administration.in_force());
    if let Some(fault) = draft.refused_here(&in_force) {
        return refuse(desk, frame, draft, Refusal::Faults(vec![fault]));
    }
    // Refused and noted in the journal, or tried out: only what is confirmed is committed.
    let tried = match desk.administration.change(&author, draft.change(), draft.options(true)).await {
        Ok(tried) => tried,
        Err(Refusal::Faults(_)) => {
            let refused = desk.administration.change(&author, draft.change(), draft.options(false)).await;
            return match refused {
                Err(Refusal::Faults(mut faults)) => {
                    faults.extend(behind_the_domain(desk, &author, &draft, &faults).await);
                    refuse(desk, frame, draft, Refusal::Faults(faults))
                }
                Err(refusal) => refuse(desk, frame, draft, refusal),
                Ok(receipt) => committed(frame, &draft, &receipt),
            };
        }
        Err(refusal) => return refuse(desk, frame, draft, refusal),
    };
    let to_confirm = draft.to_confirm(&in_force, &tried.warnings);
    if !to_confirm.is_empty() {
        let to_confirm = to_confirm.iter().map(|note| told::warning(t, note)).collect();
        return form(frame, &in_force, draft, Remarks { to_confirm, ..Remarks::default() });
    }
    match desk.administration.change(&author, draft.change(), draft.options(false)).await {
        Ok(receipt) => committed(frame, &draft, &receipt),
        Err(refusal) => refuse(desk, frame, draft, refusal),
    }
}

/// A domain that is none keeps the rest from being read: what else is wrong is asked for under a name that nobody has
/// (RFC 2606), so that all mistakes are told at once.
async fn behind_the_domain(desk: &Desk, author: &Author, draft: &Draft, faults: &[Fault]) -> Vec<Fault> {
    let is_first = faults.iter().any(|fault| fault.key == "domain" && is_misread(fault));
    if draft.domain.is_some() || !is_first {
        return Vec::new();
    }
    let mut document = given(draft.sheet.document());
    document.insert("domain".to_owned(), "partner.invalid".into());
    match desk.administration.change(author, Change::NewPartner(document), draft.options(true)).await {
        Err(Refusal::Faults(others)) => others.into_iter().filter(|fault| fault.key != "domain").collect(),
        Err(_) | Ok(_) => Vec::new(),
    }
}

fn is_misread(fault: &Fault) -> bool {
    matches!(fault.code.as_str(), "unparsable" | "missing")
}

fn committed(frame: Frame, draft: &Draft, receipt: &crate::admin::receipt::Receipt) -> Response {
    let t = frame.t;
    let key = if draft.domain.is_some() { "partner-changed" } else { "partner-created" };
    let links =
        vec![("/partners".to_owned(), t.get("partners-to-list")), (path(&receipt.object), t.get("partner-edit-again"))];
    slip::receipt(frame, "partner", t.with(key, ("domain", &receipt.object)), receipt, links)
}

fn refuse(desk: &Desk, frame: Frame, mut draft: Draft, refusal: Refusal) -> Response {
    let (t, in_force) = (frame.t, desk.administration.in_force());
    let remarks = match refusal {
        Refusal::Faults(faults) => Remarks { faults: draft.told(t, &faults), ..Remarks::default() },
        Refusal::Exists(name) => {
            let text = t.with("refusal-exists", ("name", &name));
            Remarks { faults: vec![at_domain(t, text)], ..Remarks::default() }
        }
        Refusal::Declared(name) if draft.domain.is_none() => {
            let text = t.with("refusal-declared", ("name", &name));
            Remarks { faults: vec![at_domain(t, text)], ..Remarks::default() }
        }
        Refusal::Stale { by, at_ms, version, .. } => {
            let domain = draft.domain.clone().unwrap_or_default();
            let Some(now) = document(&in_force, &domain) else {
                return slip::refused(frame, &Refusal::Absent(domain), "/partners");
            };
            let conflict =
                Conflict::between(t, &draft.base, &Sheet::of(FIELDS, &now), &mut draft.sheet, by, t.moment(at_ms));
            draft.base = Sheet::of(FIELDS, &now);
            draft.version = version;
            draft.confirmed.clear();
            Remarks { conflict: Some(conflict), ..Remarks::default() }
        }
        refusal @ (Refusal::Busy | Refusal::Store(_)) => {
            Remarks { problem: Some(told::refusal(t, &refusal)), ..Remarks::default() }
        }
        refusal @ (Refusal::Absent(_) | Refusal::Declared(_) | Refusal::NotInForce(_)) => {
            return slip::refused(frame, &refusal, "/partners");
        }
    };
    form(frame, &in_force, draft, remarks)
}

fn at_domain(t: Texts, text: String) -> Told {
    let label = t.get("partner-domain");
    Told { key: "domain".to_owned(), label, text, detail: String::new(), code: "exists".to_owned() }
}
