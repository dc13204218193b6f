//! Health, metrics, verdicts and probes over HTTP, for orchestrators and monitors: loopback by default, nothing secret.
//! A probe is the only thing that it does, and the edge bounds it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_shared::domain::DomainName;
use causeway_shared::health::{self, Answer};
use causeway_shared::metrics::Described;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::desk::Legs;
use crate::link::Links;

/// What the answers are made of.
pub struct Health {
    /// What is counted.
    pub registry: Registry,
    /// What there is to count.
    pub described: Vec<Described>,
    /// What the gateway stands on, at this moment.
    pub legs: Legs,
    /// The edges: what failed or was refused there, and who probes partners.
    pub links: Links,
}

/// Answers until `shutdown` becomes true.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let ready = async |State(health): State<Arc<Health>>| response(health::ready(&(health.legs)()));
    let metrics = async |State(health): State<Arc<Health>>| response(health::metrics(&health.registry));
    let catalogue = async |State(health): State<Arc<Health>>| response(health::catalogue(&health.described));
    let verdicts = async |State(health): State<Arc<Health>>, RawQuery(query): RawQuery| {
        let kept = match health::partner_of(query.as_deref()) {
            Some(partner) => health.links.verdicts().latest(&partner),
            None => health.links.verdicts().newest(),
        };
        response(health::verdicts(&kept))
    };
    let last_probe = async |State(health): State<Arc<Health>>, RawQuery(query): RawQuery| {
        let partner = health::partner_of(query.as_deref());
        let report = partner.and_then(|partner| health.links.last_probe(&partner));
        response(report.map_or_else(|| health::refused(404, "not probed"), |report| health::json(200, &report.json())))
    };
    let router = Router::new()
        .route("/livez", get(async || response(health::live())))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/metrics/catalogue", get(catalogue))
        .route("/verdicts", get(verdicts))
        .route("/probe", get(last_probe).post(probe))
        .with_state(health);
    let stop = async move {
        let _sender_gone_is_shutdown = shutdown.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// Walks all rungs towards a partner: `partner` is needed, `edge` and `local` may be left out.
async fn probe(State(health): State<Arc<Health>>, RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref();
    let Some(partner) = health::partner_of(query).filter(|partner| DomainName::parse(partner).is_ok()) else {
        return response(health::refused(400, "the parameter partner has to be a domain"));
    };
    let local = health::parameter(query, "local").unwrap_or_default();
    match health.links.probe(health::parameter(query, "edge"), &partner, local).await {
        Ok(report) => response(health::json(200, &report.json())),
        Err(fault) => response(health::refused(503, &fault.to_string())),
    }
}

fn response(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}
