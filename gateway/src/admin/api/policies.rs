//! External access policies (New-, Get-, Set-, Remove-CsExternalAccessPolicy).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, changed, created, matches, versioned};
use super::body::{Asked, How, IfMatch, Named, Written};
use super::permission::{By, Read, Write};
use super::problem::Trouble;
use super::standing::Standing;
use crate::admin::administration::{InForce, stored_keys};
use crate::admin::change::{Change, Subject, document};
use crate::admin::desk::Desk;
use crate::admin::documents::PolicyDocument;
use crate::admin::receipt::Receipt;
use crate::store::operator::DocumentKind;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, put, remove))
}

/// A policy as it is in force, every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyView {
    /// Its keys.
    #[serde(flatten)]
    pub policy: PolicyDocument,
    /// Where it comes from, and whether it is in force.
    #[serde(flatten)]
    pub standing: Standing,
}

/// All policies that fit.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyList {
    /// In the order of their identities.
    pub policies: Vec<PolicyView>,
    /// The revision of everything.
    pub revision: u64,
}

/// Which policies.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// -Filter: the identity with `*` and `?`, such as `Tag:*`.
    filter: Option<String>,
}

/// Get-CsExternalAccessPolicy
#[utoipa::path(
    get, path = "/policies", tag = "policies", operation_id = "policies_list", params(Which),
    responses((status = 200, description = "The policies that fit.", body = PolicyList)),
    security(("token" = ["read"]))
)]
async fn list(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(which): Asked<Which>) -> Answer<Json<PolicyList>> {
    let in_force = desk.administration.in_force();
    let fits = |identity: &String| which.filter.as_ref().is_none_or(|pattern| matches(pattern, identity));
    let identities = identities(&in_force).into_iter().filter(fits);
    let policies = identities.filter_map(|identity| view(&in_force, &identity)).collect();
    Ok(Json(PolicyList { policies, revision: in_force.data.revision }))
}

/// New-CsExternalAccessPolicy
#[utoipa::path(
    post, path = "/policies", tag = "policies", operation_id = "policy_new", params(How),
    request_body(content = ref("#/components/schemas/NewPolicy"), content_type = "application/json"),
    responses(
        (status = 201, description = "The policy is there.", body = Receipt,
            headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is."))),
        (status = 200, description = "What would be done (`dry_run`).", body = Receipt),
    ),
    security(("token" = ["write"]))
)]
async fn create(actor: By<Write>, State(desk): State<Arc<Desk>>, Asked(how): Asked<How>, body: Written) -> Answer {
    let change = Change::NewPolicy(body.document());
    let receipt = desk.administration.change(&actor.author(), change, how.of(None)).await?;
    Ok(created("/api/v1/policies", receipt))
}

/// Get-CsExternalAccessPolicy -Identity
#[utoipa::path(
    get, path = "/policies/{identity}", tag = "policies", operation_id = "policy_get",
    params(("identity" = String, Path, description = "`Global`, `Site:` with a local domain, or `Tag:` with a name.")),
    responses((status = 200, description = "The policy.", body = PolicyView,
        headers(("ETag" = String, description = "Its version.")))),
    security(("token" = ["read"]))
)]
async fn read(_: By<Read>, State(desk): State<Arc<Desk>>, Named(identity): Named<String>) -> Answer {
    let in_force = desk.administration.in_force();
    let view = view(&in_force, &named(&identity)?).ok_or(Trouble::Absent(identity))?;
    Ok(versioned(view.standing.version, view))
}

/// Set-CsExternalAccessPolicy: what is left out has its default.
#[utoipa::path(
    put, path = "/policies/{identity}", tag = "policies", operation_id = "policy_set",
    params(("identity" = String, Path, description = "Which one."), How, IfMatch),
    request_body(content = ref("#/components/schemas/NewPolicy"), content_type = "application/json"),
    responses((status = 200, description = "What was changed, or would be.", body = Receipt,
        headers(("ETag" = String, description = "Its version now.")))),
    security(("token" = ["write"]))
)]
async fn put(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Named(identity): Named<String>,
    Asked(how): Asked<How>,
    base: IfMatch,
    body: Written,
) -> Answer {
    let options = how.of(base.version(version(&desk, &identity)?));
    let change = Change::PutPolicy { identity, document: body.document() };
    Ok(changed(desk.administration.change(&actor.author(), change, options).await?))
}

/// Remove-CsExternalAccessPolicy
#[utoipa::path(
    delete, path = "/policies/{identity}", tag = "policies", operation_id = "policy_remove",
    params(("identity" = String, Path, description = "Which one."), How, IfMatch),
    responses((status = 200, description = "The policy is gone, or would be.", body = Receipt)),
    security(("token" = ["write"]))
)]
async fn remove(
    actor: By<Write>,
    State(desk): State<Arc<Desk>>,
    Named(identity): Named<String>,
    Asked(how): Asked<How>,
    base: IfMatch,
) -> Answer {
    let options = how.of(base.version(version(&desk, &identity)?));
    let change = Change::RemovePolicy { identity };
    Ok(changed(desk.administration.change(&actor.author(), change, options).await?))
}

/// The canonical form of an identity, which a change knows.
fn named(identity: &str) -> Result<String, Trouble> {
    let (subject, _) = Change::RemovePolicy { identity: identity.to_owned() }.subject();
    match subject {
        Ok(Subject::Policy(identity)) => Ok(identity),
        Ok(Subject::Partner(_) | Subject::Settings | Subject::Grant(_)) | Err(_) => {
            Err(Trouble::parameter("identity", "write Global, Site:DOMAIN or Tag:NAME"))
        }
    }
}

fn version(desk: &Desk, identity: &str) -> Result<u64, Trouble> {
    let data = &desk.administration.in_force().data;
    Ok(document(data, &Subject::Policy(named(identity)?)).map_or(0, |document| document.version))
}

fn identities(in_force: &InForce) -> BTreeSet<String> {
    let stored = in_force.data.documents.iter().filter(|document| document.kind == DocumentKind::ExternalAccessPolicy);
    let running = in_force.config.policies.iter().map(|policy| policy.identity.clone());
    running.chain(stored.map(|document| document.identity.clone())).collect()
}

/// A policy by its canonical identity.
pub fn view(in_force: &InForce, identity: &str) -> Option<PolicyView> {
    let subject = Subject::Policy(identity.to_owned());
    let running = in_force.config.policies.iter().find(|policy| policy.identity == identity);
    let policy = match running {
        Some(policy) => PolicyDocument::of(policy),
        None => {
            document(&in_force.data, &subject)?;
            let usual = PolicyDocument {
                identity: identity.to_owned(),
                enable_xmpp_access: false,
                enable_federation_access: true,
                description: String::new(),
            };
            let mut object = serde_json::json!(usual).as_object().cloned().unwrap_or_default();
            object.extend(stored_keys(&in_force.data, &subject));
            // What is stored was valid when it was stored, so its types are right.
            serde_json::from_value(Value::Object(object)).unwrap_or(usual)
        }
    };
    Some(PolicyView { policy, standing: Standing::of(in_force, &subject) })
}
