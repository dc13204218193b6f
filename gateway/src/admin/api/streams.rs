//! What is live on the edges: the edges themselves, their streams, and what waits.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::{Asked, Named};
use super::noted::{note, outcome};
use super::permission::{By, Operate, Read};
use super::problem::Trouble;
use super::verdicts::primary;
use crate::admin::desk::Desk;
use crate::link::{
    self, CloseFault, CloseReason, EdgeFacts, LinkLoad, LiveStream, PartnerLoad, SnapshotEffect, StreamDirection,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(edges)).routes(routes!(streams)).routes(routes!(close)).routes(routes!(queues))
}

/// The edges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeList {
    /// Those that are attached.
    pub edges: Vec<EdgeFacts>,
    /// `host:port` of all that are configured; a name may stand for several edges.
    pub configured: Vec<String>,
    /// The version of the snapshot that they are to have in force.
    pub snapshot: u64,
}

/// The edges that are attached.
#[utoipa::path(
    get, path = "/edges", tag = "edges", operation_id = "edges_list",
    responses((status = 200, description = "The edges.", body = EdgeList)),
    security(("token" = ["read"]))
)]
async fn edges(_: By<Read>, State(desk): State<Arc<Desk>>) -> Json<EdgeList> {
    let in_force = desk.administration.in_force();
    let configured = in_force.config.link.edges.clone();
    Json(EdgeList { edges: desk.links.edges(), configured, snapshot: in_force.snapshot })
}

/// What one edge told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeTold {
    /// The edge.
    pub edge: String,
    /// How whole its answer is.
    pub answer: link::Answer,
    /// Why there is none.
    pub refused: String,
    /// What the newest snapshot meant to its streams.
    pub effect: Option<SnapshotEffect>,
}

/// Live streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamList {
    /// Of all edges, the oldest first on each.
    pub streams: Vec<LiveStream>,
    /// How whole that is, edge by edge.
    pub edges: Vec<EdgeTold>,
}

/// Of which partner.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfPartner {
    /// A domain of the partner; without it, all.
    partner: Option<String>,
}

/// The streams that are live, on all edges.
#[utoipa::path(
    get, path = "/streams", tag = "edges", operation_id = "streams_list", params(OfPartner),
    responses((status = 200, description = "The streams.", body = StreamList)),
    security(("token" = ["read"]))
)]
async fn streams(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(of): Asked<OfPartner>) -> Answer<Json<StreamList>> {
    let partner = of.partner.as_deref().map(|domain| primary(&desk, domain)).transpose()?;
    let (mut streams, mut edges) = (Vec::new(), Vec::new());
    for told in desk.links.streams(partner.as_deref()).await {
        streams.extend(told.streams);
        edges.push(EdgeTold { edge: told.edge, answer: told.answer, refused: told.refused, effect: told.effect });
    }
    Ok(Json(StreamList { streams, edges }))
}

/// How a stream is closed.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Why {
    /// `no-error` (usual), `reset` to have it opened again, or `policy-violation`.
    reason: Option<String>,
}

/// A stream that is being closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Closing {
    /// The edge.
    pub edge: String,
    /// The stream.
    pub id: u64,
    /// What its peer is told.
    pub reason: &'static str,
}

/// Closes a stream in order: what waits for it goes over another one.
#[utoipa::path(
    delete, path = "/streams/{edge}/{id}", tag = "edges", operation_id = "stream_close",
    params(("edge" = String, Path, description = "The edge."), ("id" = u64, Path, description = "The stream."), Why),
    responses(
        (status = 200, description = "It is being closed.", body = Closing),
        (status = 502, description = "The edge does not answer.", body = super::problem::Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = ["operate"]))
)]
async fn close(
    actor: By<Operate>,
    State(desk): State<Arc<Desk>>,
    Named((edge, id)): Named<(String, u64)>,
    Asked(why): Asked<Why>,
) -> Answer<Json<Closing>> {
    let reason = match why.reason.as_deref() {
        None => CloseReason::NoError,
        Some(name) => CloseReason::parse(name)
            .ok_or_else(|| Trouble::parameter("reason", "write no-error, reset or policy-violation"))?,
    };
    let closed = desk.links.close_stream(&edge, id, reason).await;
    let detail = json!({ "reason": reason.as_str(), "fault": closed.as_ref().err().map(ToString::to_string) });
    note(&desk, &actor, "stream.close", &format!("{edge}/{id}"), outcome(&closed), detail).await?;
    closed.map_err(|fault| match fault {
        CloseFault::NoEdge => Trouble::Absent(edge.clone()),
        CloseFault::NoStream => Trouble::Absent(format!("{edge}/{id}")),
        CloseFault::Silent => Trouble::Elsewhere(fault.to_string()),
        CloseFault::TooMany => Trouble::Busy,
    })?;
    Ok(Json(Closing { edge, id, reason: reason.as_str() }))
}

/// A queue of an edge with something in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueView {
    /// The edge.
    pub edge: String,
    /// `in`: for a gateway; `out`: for a stream to the partner.
    pub direction: StreamDirection,
    /// The primary domain of the partner, or the remote domain where it is none.
    pub partner: String,
    /// The remote domain.
    pub remote_domain: String,
    /// Ours; empty is any.
    pub local_domain: String,
    /// Stanzas that wait.
    pub stanzas: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long the oldest has waited, in milliseconds.
    pub oldest_ms: u64,
    /// Stanzas that may wait, where this queue has a bound of its own.
    pub most_stanzas: Option<u64>,
    /// Bytes that may wait, likewise.
    pub most_bytes: Option<u64>,
}

/// What waits, everywhere on the road between partners and this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueList {
    /// On the edges.
    pub queues: Vec<QueueView>,
    /// How whole that is, edge by edge.
    pub edges: Vec<EdgeTold>,
    /// On this gateway's ends of the link.
    pub links: Vec<LinkLoad>,
    /// On this gateway, by the domain that it is for.
    pub partners: Vec<PartnerLoad>,
}

/// What waits.
#[utoipa::path(
    get, path = "/queues", tag = "edges", operation_id = "queues_list",
    responses((status = 200, description = "The queues.", body = QueueList)),
    security(("token" = ["read"]))
)]
async fn queues(_: By<Read>, State(desk): State<Arc<Desk>>) -> Json<QueueList> {
    let link::Queues { edges: told, links, partners } = desk.links.queues().await;
    let (mut queues, mut edges) = (Vec::new(), Vec::new());
    for link::EdgeQueues { edge, answer, refused, queues: waiting } in told {
        queues.extend(waiting.into_iter().map(|queue| QueueView {
            edge: edge.clone(),
            direction: queue.direction,
            partner: queue.partner,
            remote_domain: queue.remote,
            local_domain: queue.local,
            stanzas: queue.waiting.stanzas,
            bytes: queue.waiting.bytes,
            oldest_ms: queue.waiting.oldest_ms,
            most_stanzas: queue.most_stanzas,
            most_bytes: queue.most_bytes,
        }));
        edges.push(EdgeTold { edge, answer, refused, effect: None });
    }
    Json(QueueList { queues, edges, links, partners })
}
