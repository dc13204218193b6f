//! What waits, everywhere on the road.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::language::Texts;
use super::layout::{Frame, page};
use super::streams::answer;
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::link::live::{Answer, EdgeQueue, Queues, StreamDirection, Waiting};

/// Queues of one edge that a page shows.
const SHOWN: usize = 200;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/queues", get(show))
}

#[derive(Template)]
#[template(path = "queues.html")]
struct Page {
    t: Texts,
    frame: Frame,
    queues: Queues,
}

impl Page {
    fn waiting(&self, waiting: Waiting) -> String {
        let seconds = waiting.oldest_ms / 1000;
        self.t.with("queue-waiting", (("stanzas", waiting.stanzas), ("bytes", waiting.bytes), ("seconds", seconds)))
    }

    fn shown<'q>(&self, queues: &'q [EdgeQueue]) -> &'q [EdgeQueue] {
        queues.get(..SHOWN).unwrap_or(queues)
    }

    fn unsure(&self) -> Vec<(&'static str, &str)> {
        let edges = self.queues.edges.iter().filter(|edge| edge.answer != Answer::Complete);
        edges.map(|edge| (answer(edge.answer), edge.edge.as_str())).collect()
    }

    fn direction(&self, queue: &EdgeQueue) -> &'static str {
        match queue.direction {
            StreamDirection::In => "queue-in",
            StreamDirection::Out | StreamDirection::Both => "queue-out",
        }
    }
}

async fn show(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let queues = desk.links.queues().await;
    Ok(page(StatusCode::OK, &Page { t: frame.t, frame, queues }))
}
