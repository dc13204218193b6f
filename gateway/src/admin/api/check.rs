//! Our own set-up, looked through.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{By, Read};
use crate::admin::check::{Check, State as CheckState, check};
use crate::admin::desk::Desk;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(own))
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckList {
    /// Whether nothing failed.
    pub in_order: bool,
    /// One by one.
    pub checks: Vec<Check>,
}

/// Looks through our own set-up: store, clock, certificates, edges, SIP next hops, listeners, DNS, external access. Takes
/// up to five seconds.
#[utoipa::path(
    get, path = "/check", tag = "status", operation_id = "check",
    responses((status = 200, description = "What was found.", body = CheckList)),
    security(("token" = ["read"]))
)]
async fn own(_: By<Read>, State(desk): State<Arc<Desk>>) -> Json<CheckList> {
    let checks = check(&desk).await;
    Json(CheckList { in_order: checks.iter().all(|check| check.state != CheckState::Failed), checks })
}
