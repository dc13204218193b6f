//! Who the caller is, and what he may do.

use std::sync::Arc;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::desk::Desk;
use crate::admin::login::Actor;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(whoami))
}

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WhoAmI {
    /// The account, `account/token` of a token, or `local`.
    pub name: String,
    /// How that was proved: `account`, `token`, `local`.
    pub kind: &'static str,
    /// What he may do: `read`, `write`, `operate`, `accounts`, `archive`.
    pub scopes: Vec<&'static str>,
    /// Where from; `null` through the Unix socket.
    pub address: Option<String>,
    /// The language of his panel.
    pub language: &'static str,
}

/// Who am I?
#[utoipa::path(
    get, path = "/whoami", tag = "status", operation_id = "whoami",
    responses((status = 200, description = "The caller.", body = WhoAmI)),
    security(("token" = []))
)]
async fn whoami(actor: Actor) -> Json<WhoAmI> {
    Json(WhoAmI {
        kind: actor.kind.as_str(),
        scopes: actor.scopes.iter().map(|scope| scope.as_str()).collect(),
        address: actor.address.map(|address| address.to_string()),
        language: actor.language.code(),
        name: actor.name,
    })
}
