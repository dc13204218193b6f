//! The gateways that share the store: how each is, and what does not fit between them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{By, Read};
use crate::admin::desk::Desk;
use crate::admin::panel::language::Texts;
use crate::admin::replicas::{panel, state, text};
use crate::pool::{LegReport, Replica};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The gateways that share the store, as the one that answers sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplicaList {
    /// The gateway that answers.
    pub gateway_id: String,
    /// Whether its store can have several gateways.
    pub shared: bool,
    /// When it heard of the others last, by the store's clock, in Unix milliseconds.
    pub heard_at_ms: u64,
    /// Why nothing newer could be heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Each of them, in the order of their names.
    pub replicas: Vec<ReplicaView>,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplicaView {
    /// Its name.
    pub gateway_id: String,
    /// Whether it is the one that answers.
    pub this: bool,
    /// Its process: another one after each start.
    pub boot: String,
    /// How it is: `starting`, `ready`, `not-ready`, `draining`, `gone`, or `unknown` to this version.
    pub state: &'static str,
    /// What it stands on.
    pub legs: Vec<LegReport>,
    /// Attached edges.
    pub edges: usize,
    /// The version of the software.
    pub version: String,
    /// The schema of the store that it works with.
    pub schema: u32,
    /// Since when it runs, in Unix milliseconds.
    pub started_at_ms: u64,
    /// When it was heard last, in Unix milliseconds.
    pub seen_at_ms: u64,
    /// The revision of documents and grants that it works by.
    pub revision: u64,
    /// The digest of the configuration that all must have alike.
    pub digest: String,
    /// The version of what it tells edges.
    pub snapshot: u64,
    /// How far its clock is before that of the store, in milliseconds.
    pub clock_ahead_ms: i64,
    /// How browsers reach its panel; empty if they do not.
    pub panel: String,
    /// What does not fit.
    pub drift: Vec<DriftView>,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DriftView {
    /// What it is, for programs: `gone`, `same-id`, `behind`, `differs`, `older` or `clock`.
    pub code: &'static str,
    /// Whether somebody has to do something; an upgrade that is under way passes.
    pub is_fault: bool,
    /// What it is and what to do, in the language of the request.
    pub text: String,
}

/// The gateways that share the store.
#[utoipa::path(
    get, path = "/replicas", tag = "status", operation_id = "replicas_list",
    responses((status = 200, description = "Each of them.", body = ReplicaList)),
    security(("token" = ["read"]))
)]
async fn list(actor: By<Read>, State(desk): State<Arc<Desk>>) -> Json<ReplicaList> {
    let (view, texts) = (desk.replicas.view(), Texts::new(actor.language));
    let shown = |replica: &Replica| {
        let report = &replica.report;
        let drift = replica.drift.iter().map(|drift| DriftView {
            code: drift.code(),
            is_fault: drift.is_fault(),
            text: text(texts, replica, drift),
        });
        ReplicaView {
            gateway_id: report.gateway_id.clone(),
            this: view.is_own(replica),
            boot: report.boot.clone(),
            state: state(replica),
            legs: report.legs.clone(),
            edges: report.edges,
            version: report.program.clone(),
            schema: report.schema,
            started_at_ms: report.started_ms,
            seen_at_ms: replica.seen_ms,
            revision: report.revision,
            digest: report.digest.clone(),
            snapshot: report.snapshot,
            clock_ahead_ms: report.clock_ahead_ms,
            panel: panel(replica),
            drift: drift.collect(),
        }
    };
    Json(ReplicaList {
        gateway_id: view.gateway_id.clone(),
        shared: view.is_shared,
        heard_at_ms: view.heard_ms,
        fault: view.fault.clone(),
        replicas: view.replicas.iter().map(shown).collect(),
    })
}
