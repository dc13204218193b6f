//! Health, metrics and verdicts over HTTP, for orchestrators and monitors: loopback by default, read-only, nothing secret.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_shared::health::{self, Answer, Leg};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::verdicts::Verdicts;

/// What the answers are made of.
pub struct Health {
    /// What is counted.
    pub registry: Registry,
    /// What the gateway stands on, at this moment.
    pub legs: Box<dyn Fn() -> Vec<Leg> + Send + Sync>,
    /// What failed or was refused, here and on the edges.
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
    let verdicts = async |State(health): State<Arc<Health>>, RawQuery(query): RawQuery| {
        let kept = match health::partner_of(query.as_deref()) {
            Some(partner) => health.verdicts.latest(&partner),
            None => health.verdicts.newest(),
        };
        response(health::verdicts(&kept))
    };
    let router = Router::new()
        .route("/livez", get(async || response(health::live())))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
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
