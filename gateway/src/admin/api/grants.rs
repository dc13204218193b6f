//! Which policy applies to whom (Grant-CsExternalAccessPolicy).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use causeway_shared::jid::BareJid;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, changed};
use super::body::{Asked, How, Named, Written, read};
use super::partners::page;
use super::permission::{By, Read, Write};
use super::policies::{PolicyView, view};
use super::problem::Trouble;
use super::standing::Source;
use crate::admin::administration::InForce;
use crate::admin::change::{Change, Subject};
use crate::admin::desk::Desk;
use crate::admin::receipt::Receipt;
use crate::policy::access::Applies;

/// Grants of one page.
const MAX_PAGE: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, remove)).routes(routes!(effective))
}

/// A user with a policy of his own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct GrantView {
    /// The user.
    pub user: String,
    /// The policy, as `Tag:name`.
    pub policy: String,
    /// Where that is declared.
    pub source: Source,
    /// Whether it is in force.
    pub in_force: bool,
    /// When it was granted here, in Unix milliseconds.
    pub changed_at_ms: Option<u64>,
    /// By whom.
    pub changed_by: Option<String>,
}

/// Users with policies of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GrantList {
    /// In the order of the users.
    pub grants: Vec<GrantView>,
    /// Where to go on: `after` of the next page; `null` on the last.
    pub next: Option<String>,
}

/// Which users.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Those with this policy, with or without `Tag:`.
    policy: Option<String>,
    /// Behind this user.
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Users with policies of their own.
#[utoipa::path(
    get, path = "/grants", tag = "policies", operation_id = "grants_list", params(Which),
    responses((status = 200, description = "The users that fit.", body = GrantList)),
    security(("token" = ["read"]))
)]
async fn list(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(which): Asked<Which>) -> Answer<Json<GrantList>> {
    let limit = page(which.limit, MAX_PAGE)?;
    let wanted = which.policy.map(|policy| policy.trim_start_matches("Tag:").trim_start_matches("tag:").to_lowercase());
    let mut grants = grants(&desk.administration.in_force());
    grants.retain(|grant| {
        let is_behind = which.after.as_ref().is_none_or(|after| grant.user > *after);
        is_behind && wanted.as_ref().is_none_or(|wanted| grant.policy.trim_start_matches("Tag:") == wanted)
    });
    let next = if grants.len() > limit { grants.get(limit - 1).map(|grant| grant.user.clone()) } else { None };
    grants.truncate(limit);
    Ok(Json(GrantList { grants, next }))
}

/// What is granted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    /// The policy, with or without `Tag:`.
    #[schema(example = "Tag:sales")]
    policy: String,
}

/// Grant-CsExternalAccessPolicy
#[utoipa::path(
    put, path = "/grants/{user}", tag = "policies", operation_id = "policy_grant",
    params(("user" = String, Path, description = "The user, as `alice@contoso.example`."), How),
    request_body(content = NewGrant, content_type = "application/json"),
    responses((status = 200, description = "What was changed, or would be.", body = Receipt)),
    security(("token" = ["write"]))
)]
async fn put(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Named(user): Named<String>,
    Asked(how): Asked<How>,
    body: Written,
) -> Answer<Response> {
    let NewGrant { policy } = read(body.0)?;
    let change = Change::Grant { user, policy };
    Ok(changed(desk.administration.change(&actor.author(), change, how.of(None)).await?))
}

/// Grant-CsExternalAccessPolicy -PolicyName $null: the policy of the user's domain or the global one applies again.
#[utoipa::path(
    delete, path = "/grants/{user}", tag = "policies", operation_id = "policy_revoke",
    params(("user" = String, Path, description = "The user."), How),
    responses((status = 200, description = "What was changed, or would be.", body = Receipt)),
    security(("token" = ["write"]))
)]
async fn remove(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Named(user): Named<String>,
    Asked(how): Asked<How>,
) -> Answer<Response> {
    let change = Change::Revoke { user };
    Ok(changed(desk.administration.change(&actor.author(), change, how.of(None)).await?))
}

/// The policy that applies to a user.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EffectivePolicy {
    /// The user.
    pub user: String,
    /// The identity of the policy that decides.
    pub identity: String,
    /// Why that one: `granted`, `site` or `global`.
    pub because: &'static str,
    /// Whether he may reach users of XMPP partners.
    pub enable_xmpp_access: bool,
    /// Whether his domain is one of ours; the policies are for those only.
    pub is_local: bool,
    /// The policy; `null` where none is written and the default decides.
    pub policy: Option<PolicyView>,
}

/// The policy that applies to a user, and why.
#[utoipa::path(
    get, path = "/users/{user}/policy", tag = "policies", operation_id = "user_policy",
    params(("user" = String, Path, description = "The user, as `alice@contoso.example`.")),
    responses((status = 200, description = "The policy.", body = EffectivePolicy)),
    security(("token" = ["read"]))
)]
async fn effective(
    _: By<Read>,
    State(desk): State<Arc<Desk>>,
    Named(user): Named<String>,
) -> Answer<Json<EffectivePolicy>> {
    let name = BareJid::parse(user.trim()).map_err(|error| Trouble::parameter("user", error.to_string()))?;
    if name.local().is_none() {
        return Err(Trouble::parameter("user", "it is a domain; write a user, as alice@contoso.example"));
    }
    let in_force = desk.administration.in_force();
    let access = &in_force.config.access;
    let (identity, because) = match access.applies(&name) {
        Applies::Tag(tag) => (format!("Tag:{tag}"), "granted"),
        Applies::Site(site) => (format!("Site:{site}"), "site"),
        Applies::Global => ("Global".to_owned(), "global"),
    };
    Ok(Json(EffectivePolicy {
        user: name.as_str().to_owned(),
        because,
        enable_xmpp_access: access.may(&name),
        is_local: in_force.config.domains.contains(&name.domain_name()),
        policy: view(&in_force, &identity),
        identity,
    }))
}

/// All users with policies of their own, in force or not, in the order of their names.
fn grants(in_force: &InForce) -> Vec<GrantView> {
    let access = &in_force.config.access;
    let is_running = |user: &str| BareJid::parse(user).is_ok_and(|user| access.is_granted(&user));
    let stored = in_force.data.grants.iter().map(|grant| {
        let is_suspended = in_force.suspended(&Subject::Grant(grant.user.clone())).is_some();
        GrantView {
            user: grant.user.clone(),
            policy: format!("Tag:{}", grant.policy),
            source: Source::Store,
            in_force: !is_suspended || is_running(&grant.user),
            changed_at_ms: Some(grant.changed_at_ms),
            changed_by: Some(grant.changed_by.clone()),
        }
    });
    let is_stored = |user: &str| in_force.data.grants.binary_search_by(|grant| grant.user.as_str().cmp(user)).is_ok();
    let declared = access.grants().filter(|(user, _)| !is_stored(user.as_str())).map(|(user, granted)| GrantView {
        user: user.as_str().to_owned(),
        policy: format!("Tag:{}", granted.tag),
        source: Source::File,
        in_force: true,
        changed_at_ms: None,
        changed_by: None,
    });
    let mut all: Vec<GrantView> = stored.chain(declared).collect();
    all.sort();
    all
}
