//! External access policies: Global, sites and tags (New-CsExternalAccessPolicy), and which of them applies to a user and
//! why. `form` has New and Edit, `grants` who is granted a tag.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use causeway_shared::jid::BareJid;
use serde_json::{Value, json};

use super::dress::form_encoded;
use super::language::Texts;
use super::layout::{Frame, page};
use super::sheet::{Field, Kind, Typed, field};
use super::told::Warned;
use crate::admin::administration::{InForce, stored_keys};
use crate::admin::change::{self, Subject};
use crate::admin::desk::Desk;
use crate::admin::documents::{Object, PolicyDocument};
use crate::admin::login::{Actor, Denied, Scope};
use crate::config::stored::StoredKey;
use crate::policy::access::Applies;

mod form;
mod grants;
#[cfg(test)]
mod tests;

/// The fields in the order of the form.
const FIELDS: &[Field] = &[
    field("identity", "Identity", Kind::Line),
    field("enable_federation_access", "EnableFederationAccess", Kind::Flag),
    field("enable_xmpp_access", "EnableXmppAccess", Kind::Flag),
    field("description", "Description", Kind::Text),
];

/// The pages.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/policies", get(list))
        .route("/policies/new", get(form::new).post(form::create))
        .route("/policies/{identity}", get(form::show).post(form::change))
        .route("/policies/{identity}/delete", get(form::ask_removal).post(form::remove))
        .route("/grants", get(grants::list).post(grants::grant))
        .route("/grants/revoke", post(grants::revoke))
}

/// The path of a policy's page.
fn path(identity: &str) -> String {
    format!("/policies/{}", form_encoded(identity))
}

/// A policy of the list.
struct Row {
    href: String,
    identity: String,
    federation: bool,
    xmpp: bool,
    description: String,
    granted: Option<usize>,
    from_file: bool,
    /// Why it is not in force, in English.
    suspended: Option<String>,
}

/// Which policy applies to a user.
struct Answer {
    user: String,
    identity: String,
    may: bool,
    /// Whether there is such a policy, to be looked at.
    href: Option<String>,
    /// The key of the reason.
    because: &'static str,
}

#[derive(Template)]
#[template(path = "policies.html")]
struct ListPage {
    t: Texts,
    frame: Frame,
    rows: Vec<Row>,
    user: String,
    answer: Option<Answer>,
    unreadable: Option<String>,
    warnings: Vec<Warned>,
}

async fn list(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let (t, in_force) = (frame.t, desk.administration.in_force());
    let user = Typed(query).get("user").trim().to_owned();
    let (answer, unreadable) = match user.as_str() {
        "" => (None, None),
        user => match answer(&in_force, user) {
            Ok(answer) => (Some(answer), None),
            Err(key) => (None, Some(t.with(key, ("user", user)))),
        },
    };
    let about_policies = in_force.warnings.iter().filter(|warning| warning.code == "no-global-policy");
    let warnings = about_policies.map(|warning| super::told::warning(t, &crate::admin::receipt::Note::of(warning)));
    let warnings = warnings.collect();
    let status = if unreadable.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page(status, &ListPage { t, rows: rows(&in_force), user, answer, unreadable, warnings, frame }))
}

/// The policy of a user, or the key of why there is none.
fn answer(in_force: &InForce, user: &str) -> Result<Answer, &'static str> {
    let name = user.strip_prefix("sip:").or_else(|| user.strip_prefix("xmpp:")).unwrap_or(user);
    let name = BareJid::parse(name).ok().filter(|name| name.local().is_some()).ok_or("policies-user-unreadable")?;
    if !in_force.config.domains.contains(&name.domain_name()) {
        return Err("policies-user-not-ours");
    }
    let access = &in_force.config.access;
    let (identity, because) = match access.applies(&name) {
        Applies::Tag(tag) => (format!("Tag:{tag}"), "policies-because-granted"),
        Applies::Site(site) => (format!("Site:{site}"), "policies-because-site"),
        Applies::Global if in_force.config.policies.is_empty() => ("Global".to_owned(), "policies-because-none"),
        Applies::Global => ("Global".to_owned(), "policies-because-global"),
    };
    let is_written = document(in_force, &identity).is_some();
    Ok(Answer {
        user: name.as_str().to_owned(),
        may: access.may(&name),
        href: is_written.then(|| path(&identity)),
        identity,
        because,
    })
}

fn rows(in_force: &InForce) -> Vec<Row> {
    let files = in_force.config.declared.policies;
    let mut granted = std::collections::HashMap::<&str, usize>::new();
    for (_, policy) in in_force.config.access.grants() {
        *granted.entry(&*policy.tag).or_default() += 1;
    }
    let count = |identity: &str| identity.strip_prefix("Tag:").map(|tag| granted.get(tag).copied().unwrap_or_default());
    let mut rows = Vec::new();
    for (index, policy) in in_force.config.policies.iter().enumerate() {
        let document = PolicyDocument::of(policy);
        rows.push(Row { from_file: index < files, granted: count(&document.identity), ..row(document) });
    }
    for suspended in &in_force.suspended {
        if let StoredKey::Policy(identity) = &suspended.what
            && let Some(document) = document(in_force, identity)
            && let Ok(document) = serde_json::from_value(Value::Object(document))
        {
            let reasons: Vec<String> = suspended.mistakes.iter().map(ToString::to_string).collect();
            rows.push(Row { suspended: Some(reasons.join("; ")), ..row(document) });
        }
    }
    // Global first, then sites, then tags: Global, Site and Tag are in that order already.
    rows.sort_by(|one, other| one.identity.cmp(&other.identity));
    rows
}

fn row(document: PolicyDocument) -> Row {
    Row {
        href: path(&document.identity),
        federation: document.enable_federation_access,
        xmpp: document.enable_xmpp_access,
        description: document.description,
        identity: document.identity,
        granted: None,
        from_file: false,
        suspended: None,
    }
}

/// A policy as it is in force, or as the store has it if it is not.
fn document(in_force: &InForce, identity: &str) -> Option<Object> {
    let policy = in_force.config.policies.iter().find(|policy| policy.identity == identity);
    if let Some(policy) = policy {
        return json!(PolicyDocument::of(policy)).as_object().cloned();
    }
    let stored = stored_keys(&in_force.data, &Subject::Policy(identity.to_owned()));
    if stored.is_empty() {
        return None;
    }
    let usual = json!({"identity": identity, "enable_xmpp_access": false, "enable_federation_access": true});
    let mut document = usual.as_object().cloned().unwrap_or_default();
    document.extend(stored);
    Some(document)
}

/// The version of a policy's document in the store.
fn version(in_force: &InForce, identity: &str) -> u64 {
    let subject = Subject::Policy(identity.to_owned());
    change::document(&in_force.data, &subject).map_or(0, |document| document.version)
}
