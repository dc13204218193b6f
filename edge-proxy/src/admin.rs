//! Health, metrics and verdicts over HTTP, for orchestrators and monitors: loopback by default, read-only, nothing secret.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_shared::health::{self, Answer, Leg};
use causeway_shared::metrics::Described;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::link::Verdicts;

/// What the answers are made of.
pub struct Health {
    /// What is counted.
    pub registry: Registry,
    /// What there is to count.
    pub described: Vec<Described>,
    /// What the edge stands on, at this moment.
    pub legs: Box<dyn Fn() -> Vec<Leg> + Send + Sync>,
    /// What failed or was refused.
    pub verdicts: Arc<Verdicts>,
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
        let partner = health::partner_of(query.as_deref());
        response(health::verdicts(&health.verdicts.latest(partner.as_deref())))
    };
    let router = Router::new()
        .route("/livez", get(async || response(health::live())))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/metrics/catalogue", get(catalogue))
        .route("/verdicts", get(verdicts))
        .with_state(health);
    let stop = async move {
        let _sender_gone_is_shutdown = shutdown.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

fn response(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}
