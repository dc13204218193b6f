//! The interface for programs: JSON under `/api/v1`, one file per resource, and its description (OpenAPI 3.1).
//!
//! [`router`] has everything: whatever answers below `/api` goes through it, errors included, which are problem documents
//! ([`problem`]). Handlers say in their signature who may ([`permission`]), what they are sent ([`body`]) and what they
//! answer ([`answer`]). Who the caller is, the layer before has found out.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use utoipa_axum::router::OpenApiRouter;

use super::desk::Desk;
use super::login::Denied;

pub mod accounts;
pub mod answer;
pub mod archive;
pub mod audit;
pub mod backup;
pub mod body;
pub mod certificates;
pub mod check;
pub mod events;
pub mod grants;
pub mod import;
mod noted;
pub mod openapi;
pub mod pairs;
pub mod partners;
pub mod permission;
pub mod policies;
pub mod problem;
pub mod rate;
pub mod replicas;
pub mod settings;
pub mod standing;
pub mod status;
pub mod streams;
pub mod tokens;
pub mod verdicts;
pub mod whoami;

#[cfg(test)]
mod tests;

use rate::Rates;

/// Where everything here begins.
pub const ROOT: &str = "/api/v1";

/// All resources, with their descriptions.
fn resources() -> OpenApiRouter<Arc<Desk>> {
    let resources = OpenApiRouter::new()
        .merge(whoami::routes())
        .merge(partners::routes())
        .merge(settings::routes())
        .merge(policies::routes())
        .merge(grants::routes())
        .merge(audit::routes())
        .merge(streams::routes())
        .merge(verdicts::routes())
        .merge(certificates::routes())
        .merge(pairs::routes())
        .merge(events::routes())
        .merge(status::routes())
        .merge(replicas::routes())
        .merge(check::routes())
        .merge(accounts::routes())
        .merge(tokens::routes())
        .merge(archive::routes())
        .merge(import::routes())
        .merge(backup::routes())
        .merge(openapi::routes());
    OpenApiRouter::with_openapi(openapi::frame()).nest(ROOT, resources)
}

/// The interface. The layer before has put the [`Actor`](super::login::Actor) into the request, if there is one.
pub fn router(desk: Arc<Desk>) -> Router {
    limited(desk, Rates::default())
}

/// The same with other rates.
fn limited(desk: Arc<Desk>, rates: Rates) -> Router {
    let (routes, _) = resources().split_for_parts();
    routes
        .with_state(desk)
        .route("/api", any(absent))
        .route("/api/{*rest}", any(absent))
        .layer(from_fn_with_state(Arc::new(rates), rate::limit))
        .layer(from_fn(problem::render))
}

async fn absent() -> Denied {
    Denied::NotFound
}
