//! How the gateway is: what it stands on, and what an operator should look at.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::permission::{By, Read};
use crate::admin::attention::{Attention, attention};
use crate::admin::desk::Desk;
use crate::shell::now;

/// When this process began to serve, in Unix milliseconds.
static STARTED: LazyLock<u64> = LazyLock::new(|| now().unix_ms);

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    LazyLock::force(&STARTED);
    OpenApiRouter::new().routes(routes!(status))
}

/// How the gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// Whether every leg bears.
    pub ready: bool,
    /// What the gateway stands on.
    pub legs: Vec<LegView>,
    /// What an operator should look at, the worst first.
    pub attention: Vec<Attention>,
    /// Whether what people write is shown and logged (EnableLoggingAllMessageBodies).
    pub bodies_shown: bool,
    /// The gateway's name.
    pub gateway_id: String,
    /// Our domains.
    pub domains: Vec<String>,
    /// The version of the software.
    pub version: &'static str,
    /// Since when it runs, in Unix milliseconds.
    pub started_at_ms: u64,
    /// Partners in force.
    pub partners: usize,
    /// Attached edges.
    pub edges: usize,
    /// The revision of documents and grants.
    pub revision: u64,
}

/// Something that the gateway stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LegView {
    /// `link`, `sip` or `store`.
    pub name: &'static str,
    /// Whether it bears.
    pub ready: bool,
    /// What is or is not there.
    pub reason: String,
}

/// How the gateway is.
#[utoipa::path(
    get, path = "/status", tag = "status", operation_id = "status",
    responses((status = 200, description = "How it is.", body = Status)),
    security(("token" = ["read"]))
)]
async fn status(actor: By<Read>, State(desk): State<Arc<Desk>>) -> Answer<Json<Status>> {
    let in_force = desk.administration.in_force();
    let legs: Vec<LegView> = (desk.legs)()
        .into_iter()
        .map(|leg| LegView { name: leg.name, ready: leg.is_ready, reason: leg.reason })
        .collect();
    Ok(Json(Status {
        ready: legs.iter().all(|leg| leg.ready),
        legs,
        attention: attention(&desk, actor.language).await,
        bodies_shown: desk.shows_bodies(),
        gateway_id: in_force.config.gateway_id.clone(),
        domains: in_force.config.domains.iter().map(ToString::to_string).collect(),
        version: env!("CARGO_PKG_VERSION"),
        started_at_ms: *STARTED,
        partners: in_force.config.partners.len(),
        edges: desk.links.attached(),
        revision: in_force.data.revision,
    }))
}
