//! What is between two users: why they see each other as they do, what would become of something, a test, an end.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use causeway_shared::jid::BareJid;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::{Asked, Written, read};
use super::noted::{note, outcome};
use super::permission::{By, Operate, Read};
use super::problem::Trouble;
use crate::admin::desk::Desk;
use crate::admin::receipt::{Applies, FieldChange, Receipt};
use crate::presence::record::PairKey;
use crate::shell::now;
use crate::trace::explain::Explanation;
use crate::trace::operator::{OperatorFault, TestReport};
use crate::trace::simulate::{Attempt, BadQuery, Simulation, SimulationQuery};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(explain))
        .routes(routes!(simulate))
        .routes(routes!(test_im))
        .routes(routes!(remove))
}

/// Two users.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Two {
    /// The SIP user, as `alice@contoso.example`.
    local: String,
    /// The partner's user, as `bob@fabrikam.example`.
    remote: String,
}

impl Two {
    fn key(&self) -> Result<PairKey, Trouble> {
        Ok(PairKey { local: user("local", &self.local)?, remote: user("remote", &self.remote)? })
    }
}

/// Why two users see each other as they do.
#[utoipa::path(
    get, path = "/explain", tag = "pairs", operation_id = "explain", params(Two),
    responses((status = 200, description = "Why.", body = Explanation)),
    security(("token" = ["read"]))
)]
async fn explain(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(two): Asked<Two>) -> Answer<Json<Explanation>> {
    let explanation = desk.operator.explain(&two.key()?, now().unix_ms).await;
    Ok(Json(explanation.map_err(trouble)?))
}

/// What would become of a stanza or a request, and by which rule. Nothing is sent.
#[utoipa::path(
    post, path = "/simulate", tag = "pairs", operation_id = "simulate",
    request_body(content = SimulationQuery, content_type = "application/json"),
    responses((status = 200, description = "What would.", body = Simulation)),
    security(("token" = ["read"]))
)]
async fn simulate(_: By<Read>, State(desk): State<Arc<Desk>>, body: Written) -> Answer<Json<Simulation>> {
    let query: SimulationQuery = read(body.0)?;
    let attempt = Attempt::read(&query).map_err(|bad: BadQuery| {
        Trouble::key(bad.key, "other", format!("{:?} does not do", bad.found), format!("write {}", bad.expected))
    })?;
    Ok(Json(desk.operator.simulate(&attempt).await.map_err(trouble)?))
}

/// A test message.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestIm {
    /// The SIP user in whose name it goes.
    local: String,
    /// The partner's user to whom it goes.
    remote: String,
    /// What it says; without it, that it is a test.
    text: Option<String>,
}

/// Test-CsXmppIM: sends a message to a partner's user, and waits for what becomes of it.
#[utoipa::path(
    post, path = "/test-im", tag = "pairs", operation_id = "test_im",
    request_body(content = TestIm, content_type = "application/json"),
    responses((status = 200, description = "What became of it, rung by rung.", body = TestReport)),
    security(("token" = ["operate"]))
)]
async fn test_im(actor: By<Operate>, State(desk): State<Arc<Desk>>, body: Written) -> Answer<Json<TestReport>> {
    let TestIm { local, remote, text } = read(body.0)?;
    let key = |key: &str, text: &str| user(key, text).map_err(|_| in_body(key, text));
    let key = PairKey { local: key("local", &local)?, remote: key("remote", &remote)? };
    let tested = desk.operator.test_im(&key, text.as_deref()).await;
    let told = match &tested {
        Ok(report) => json!({ "delivered": report.is_delivered, "outcome": report.outcome }),
        Err(fault) => json!({ "fault": fault.to_string() }),
    };
    note(&desk, &actor, "pair.test-im", &named(&key), outcome(&tested), told).await?;
    Ok(Json(tested.map_err(trouble)?))
}

/// Whether an end is only tried out.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct End {
    /// The SIP user, as `alice@contoso.example`.
    local: String,
    /// The partner's user, as `bob@fabrikam.example`.
    remote: String,
    /// Tells what would be removed, and removes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Has no meaning here, and does no harm.
    #[serde(default)]
    #[allow(dead_code, reason = "whoever removes something may send it")]
    force: bool,
}

/// Removes what two users have agreed on: both are told, and may ask again.
#[utoipa::path(
    delete, path = "/pairs", tag = "pairs", operation_id = "pair_remove", params(End),
    responses(
        (status = 200, description = "What was removed, or would be.", body = Receipt),
        (status = 409, description = "The engine could not do it.", body = super::problem::Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = ["operate"]))
)]
async fn remove(actor: By<Operate>, State(desk): State<Arc<Desk>>, Asked(end): Asked<End>) -> Answer<Json<Receipt>> {
    let two = Two { local: end.local, remote: end.remote };
    let key = two.key()?;
    let object = named(&key);
    let receipt = |changed| Receipt {
        object: object.clone(),
        version: 0,
        revision: desk.administration.in_force().data.revision,
        dry_run: end.dry_run,
        changed,
        warnings: Vec::new(),
        edges: Vec::new(),
    };
    if end.dry_run {
        let explanation = desk.operator.explain(&key, now().unix_ms).await.map_err(trouble)?;
        let there = json!({ "inbound": explanation.inbound, "outbound": explanation.outbound });
        return Ok(Json(receipt(vec![gone("authorisations", there)])));
    }
    let removed = desk.operator.remove_pair(&key).await;
    let detail = match &removed {
        Ok(removal) => json!(removal),
        Err(fault) => json!({ "fault": fault.to_string() }),
    };
    note(&desk, &actor, "pair.remove", &object, outcome(&removed), detail).await?;
    let removal = removed.map_err(trouble)?;
    let mut changed = Vec::new();
    for (key, before) in [("inbound", &removal.inbound), ("outbound", &removal.outbound)] {
        if before != "none" {
            changed.push(FieldChange { after: json!("none"), ..gone(key, json!(before)) });
        }
    }
    if removal.dialogs > 0 {
        changed.push(FieldChange { after: json!(0), ..gone("dialogs", json!(removal.dialogs)) });
    }
    Ok(Json(receipt(changed)))
}

fn gone(key: &str, before: serde_json::Value) -> FieldChange {
    FieldChange { key: key.to_owned(), before, after: serde_json::Value::Null, applies: Applies::Now }
}

/// A parameter that is a user.
pub(super) fn user(name: &str, text: &str) -> Result<BareJid, Trouble> {
    let user = BareJid::parse(text.trim()).map_err(|error| Trouble::parameter(name, error.to_string()))?;
    match user.local() {
        Some(_) => Ok(user),
        None => Err(Trouble::parameter(name, "it is a domain; write a user, as alice@contoso.example")),
    }
}

fn in_body(key: &str, text: &str) -> Trouble {
    let found: String = text.chars().take(100).collect();
    Trouble::key(key, "other", format!("{found:?} is no user"), "write an address such as alice@contoso.example")
}

fn named(key: &PairKey) -> String {
    format!("{} {}", key.local.as_str(), key.remote.as_str())
}

fn trouble(fault: OperatorFault) -> Trouble {
    match fault {
        OperatorFault::Busy => Trouble::Busy,
        OperatorFault::Silent | OperatorFault::Stopping => Trouble::Silent(fault.to_string()),
        OperatorFault::Store(error) => error.into(),
        OperatorFault::Failed(_) => Trouble::Conflict(fault.to_string()),
        OperatorFault::Text => Trouble::key("text", "other", "it does not do", fault.to_string()),
    }
}
