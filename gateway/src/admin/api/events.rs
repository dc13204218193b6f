//! What passes, as it passes, and what has passed between two users: the tap and the ladder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::audit::NDJSON;
use super::body::Asked;
use super::noted::note;
use super::pairs::user;
use super::permission::{By, Operate, Read};
use super::problem::Trouble;
use crate::admin::desk::Desk;
use crate::admin::journal::Outcome;
use crate::admin::login::Actor;
use crate::trace::ladder::{Ladder, Query, Scope, svg, text};
use crate::trace::tap::{Batch, Filter, FilterQuery, Tap};

/// Batches that wait for a reader; each is what passed in a tenth of a second. A slower one loses the oldest events.
const BATCHES: usize = 4;

/// A reader who takes nothing for so long is gone, though his connection is not.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often an empty line tells that the connection lives, so that nobody between closes it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(events)).routes(routes!(ladder))
}

/// Which events. Everything that is given must fit.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// The domain of the partner's user.
    partner: Option<String>,
    /// The SIP user.
    local: Option<String>,
    /// The partner's user.
    remote: Option<String>,
    /// `message`, `presence`, `iq`, `outcome`, `verdict`, `edge`, or a SIP method.
    kind: Option<String>,
    /// `in` or `out`, seen from the gateway.
    direction: Option<String>,
    /// `xmpp`, `sip` or `inside`.
    leg: Option<String>,
}

/// What passes from now on, an event a line, until the reader goes. What people write is hidden unless the setting for
/// message bodies is on. A line `{"left_out": n}` stands for events that came too fast; empty lines are signs of life.
#[utoipa::path(
    get, path = "/events", tag = "events", operation_id = "events", params(Which),
    responses((status = 200, description = "An event a line.", body = String, content_type = "application/x-ndjson")),
    security(("token" = ["operate"]))
)]
async fn events(actor: By<Operate>, State(desk): State<Arc<Desk>>, Asked(which): Asked<Which>) -> Answer {
    let Which { partner, local, remote, kind, direction, leg } = which;
    let query = FilterQuery { partner, local, remote, kind, direction, leg };
    let filter = Filter::read(&query)
        .map_err(|bad| Trouble::parameter(bad.key, format!("{} is not {}", bad.found, bad.expected)))?;
    let tap = desk.recorder.subscribe(filter).map_err(|_| Trouble::Busy)?;
    note(&desk, &actor, "events.tap", "", Outcome::Done, json!({ "filter": query })).await?;
    let (lines, ready) = mpsc::channel(BATCHES);
    tokio::spawn(follow(tap, lines, desk, (*actor).clone()));
    let fields = [(header::CONTENT_TYPE, NDJSON)];
    Ok((fields, Body::from_stream(ReceiverStream::new(ready))).into_response())
}

/// Gives what passes, as long as the reader takes it and may have it.
async fn follow(mut tap: Tap, lines: mpsc::Sender<std::io::Result<Bytes>>, desk: Arc<Desk>, actor: Actor) {
    let mut judged = Instant::now();
    loop {
        let more = tokio::select! {
            more = tokio::time::timeout(SIGN_OF_LIFE, tap.more(|| desk.shows_bodies())) => more,
            () = lines.closed() => return,
        };
        if judged.elapsed() >= SIGN_OF_LIFE {
            if !desk.login.may_still(&actor, crate::admin::login::Scope::Operate).await {
                return;
            }
            judged = Instant::now();
        }
        let text = more.map_or_else(|_| Bytes::from_static(b"\n"), |batch| written(&batch));
        match tokio::time::timeout(PATIENCE, lines.send(Ok(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn written(batch: &Batch) -> Bytes {
    let mut lines = Vec::new();
    if batch.left_out > 0 {
        lines.extend(format!("{}\n", json!({ "left_out": batch.left_out })).into_bytes());
    }
    for event in &batch.events {
        // Numbers and texts always become JSON.
        if serde_json::to_writer(&mut lines, event).is_ok() {
            lines.push(b'\n');
        }
    }
    Bytes::from(lines)
}

/// Whose ladder, and how.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// The SIP user, as `alice@contoso.example`.
    local: String,
    /// The partner's user, as `bob@fabrikam.example`.
    remote: String,
    /// `json`, `svg` or `text`.
    #[param(example = "svg")]
    format: Option<String>,
    /// `everything`, `conversation` or `subscription`.
    #[serde(default)]
    #[param(inline)]
    scope: Scope,
    /// Nothing older, in Unix milliseconds.
    #[serde(default)]
    since_ms: u64,
    /// Whether the text has each step's whole text behind the diagram.
    #[serde(default)]
    full: bool,
}

/// What passed between two users, across XMPP, the link and SIP, as a sequence diagram.
#[utoipa::path(
    get, path = "/ladder", tag = "events", operation_id = "ladder", params(Whose),
    responses((status = 200, description = "The diagram.", content(
        (Ladder = "application/json"), (String = "image/svg+xml"), (String = "text/plain")
    ))),
    security(("token" = ["read"]))
)]
async fn ladder(_: By<Read>, State(desk): State<Arc<Desk>>, Asked(whose): Asked<Whose>) -> Answer<Response> {
    let format = whose.format.as_deref().unwrap_or("json");
    if !["json", "svg", "text"].contains(&format) {
        return Err(Trouble::parameter("format", "write json, svg or text"));
    }
    let (local, remote) = (user("local", &whose.local)?, user("remote", &whose.remote)?);
    let query = Query { local, remote, scope: whose.scope, since_ms: whose.since_ms };
    let ladder = desk.operator.ladder(query, desk.shows_bodies()).await;
    Ok(match format {
        "svg" => ([(header::CONTENT_TYPE, "image/svg+xml")], svg::draw(&ladder, svg::Place::Alone)).into_response(),
        "text" => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text::draw(&ladder, whose.full)).into_response()
        }
        _ => Json(ladder).into_response(),
    })
}
