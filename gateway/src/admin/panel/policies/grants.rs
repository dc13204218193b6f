//! Who is granted which policy (Grant-CsExternalAccessPolicy): search, grant, take back.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::admin::administration::{InForce, Options};
use crate::admin::change::Change;
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::admin::panel::dress::form_encoded;
use crate::admin::panel::language::Texts;
use crate::admin::panel::layout::{Frame, page};
use crate::admin::panel::partners::author;
use crate::admin::panel::sheet::Typed;
use crate::admin::panel::slip;
use crate::admin::panel::told::{self, Told};
use crate::admin::receipt::Refusal;

/// Users on one page.
const PAGE: usize = 50;

/// A user with a policy of their own.
struct Row {
    user: String,
    tag: String,
    from_file: bool,
    changed: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "grants.html")]
struct GrantsPage {
    t: Texts,
    frame: Frame,
    rows: Vec<Row>,
    q: String,
    found: usize,
    page: usize,
    pages: usize,
    tags: Vec<String>,
    user: String,
    policy: String,
    summary: Vec<Told>,
}

impl GrantsPage {
    fn page_href(&self, page: usize) -> String {
        format!("/grants?q={}&page={page}", form_encoded(&self.q))
    }

    /// What is wrong with a field.
    fn of(&self, key: &str) -> Vec<&Told> {
        self.summary.iter().filter(|told| told.key == key).collect()
    }
}

/// GET /grants.
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    Ok(show(&desk, frame, &Typed(query), Vec::new()))
}

fn show(desk: &Desk, frame: Frame, typed: &Typed, summary: Vec<Told>) -> Response {
    let (t, in_force) = (frame.t, desk.administration.in_force());
    let q = typed.get("q").trim().to_owned();
    let rows = rows(t, &in_force, &q.to_lowercase());
    let found = rows.len();
    let pages = found.div_ceil(PAGE).max(1);
    let number = typed.number("page").and_then(|page| usize::try_from(page).ok()).unwrap_or(1).clamp(1, pages);
    let tags = in_force.config.policies.iter().filter_map(|policy| policy.identity.strip_prefix("Tag:"));
    let template = GrantsPage {
        rows: rows.into_iter().skip((number - 1) * PAGE).take(PAGE).collect(),
        tags: tags.map(ToOwned::to_owned).collect(),
        user: typed.get("user").to_owned(),
        policy: typed.get("policy").to_owned(),
        page: number,
        summary,
        pages,
        found,
        q,
        t,
        frame,
    };
    let status = if template.summary.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    page(status, &template)
}

/// Users whose address or policy holds the text, in the order of their addresses.
fn rows(t: Texts, in_force: &InForce, wanted: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let fits = |user: &str, tag: &str| user.contains(wanted) || tag.contains(wanted);
    let stored: std::collections::HashSet<&str> =
        in_force.data.grants.iter().map(|grant| grant.user.as_str()).collect();
    for grant in in_force.data.grants.iter().filter(|grant| fits(&grant.user, &grant.policy)) {
        rows.push(Row {
            user: grant.user.clone(),
            tag: grant.policy.clone(),
            from_file: false,
            changed: Some((grant.changed_by.clone(), t.moment(grant.changed_at_ms))),
        });
    }
    for (user, granted) in in_force.config.access.grants() {
        if !stored.contains(user.as_str()) && fits(user.as_str(), &granted.tag) {
            let (user, tag) = (user.as_str().to_owned(), granted.tag.to_string());
            rows.push(Row { user, tag, from_file: true, changed: None });
        }
    }
    rows.sort_by(|one, other| one.user.cmp(&other.user));
    rows
}

/// POST /grants.
pub(super) async fn grant(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let typed = Typed(typed);
    let (user, policy) = (typed.get("user").trim().to_owned(), typed.get("policy").to_owned());
    let t = frame.t;
    Ok(match desk.administration.change(&author(&actor), Change::Grant { user, policy }, Options::default()).await {
        Ok(receipt) => {
            let title = t.with("grant-done", ("user", &receipt.object));
            slip::receipt(frame, "grant", title, &receipt, vec![("/grants".to_owned(), t.get("grants-to-list"))])
        }
        Err(Refusal::Faults(faults)) => {
            let told = faults.iter().map(|fault| {
                // Grants are read as the lists of the file, in which the users of a tag stand together.
                let mut fault = fault.clone();
                let ends_with = |key: &str| fault.key == key || fault.key.ends_with(&format!(".{key}"));
                let key = if ends_with("policy") {
                    Some("policy")
                } else {
                    ["user", "users"].into_iter().find(|key| ends_with(key)).map(|_| "user")
                };
                if let Some(key) = key {
                    key.clone_into(&mut fault.key);
                }
                told::fault(t, &fault, |key| match key {
                    "user" => Some(t.get("grant-user")),
                    "policy" => Some(t.get("grant-policy")),
                    _ => None,
                })
            });
            let told = told.collect();
            show(&desk, frame, &typed, told)
        }
        Err(refusal) => slip::refused(frame, &refusal, "/grants"),
    })
}

/// POST /grants/revoke.
pub(super) async fn revoke(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Form(typed): Form<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Write)?;
    let user = Typed(typed).get("user").to_owned();
    let t = frame.t;
    Ok(match desk.administration.change(&author(&actor), Change::Revoke { user }, Options::default()).await {
        Ok(receipt) => {
            let title = t.with("grant-revoked", ("user", &receipt.object));
            slip::receipt(frame, "grant", title, &receipt, vec![("/grants".to_owned(), t.get("grants-to-list"))])
        }
        Err(refusal) => slip::refused(frame, &refusal, "/grants"),
    })
}
