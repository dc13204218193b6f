//! The page of live streams: who is connected and how, what passed, and closing one.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use super::dress::form_encoded;
use super::language::Texts;
use super::layout::{Frame, page, see_other};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::link::live::{Answer, CloseReason, EdgeStreams, LiveStream, StreamDirection, StreamState};

/// Streams that one page shows; who has more, asks for one partner.
const SHOWN: usize = 500;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/streams", get(show)).route("/streams/close", post(close))
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    /// A domain of a partner; empty is all.
    #[serde(default)]
    partner: String,
    /// Whether the page renews itself.
    #[serde(default)]
    live: String,
    /// What became of the wish to close a stream.
    #[serde(default)]
    closed: String,
}

#[derive(Template)]
#[template(path = "streams.html")]
struct Page {
    t: Texts,
    frame: Frame,
    partner: String,
    is_live: bool,
    closed: String,
    edges: Vec<EdgeStreams>,
    total: usize,
    left_out: usize,
}

impl Page {
    fn may_close(&self) -> bool {
        self.frame.may(Scope::Operate)
    }

    /// Edges that did not tell everything.
    fn unsure(&self) -> Vec<(&'static str, &str)> {
        let told = |edge: &&EdgeStreams| edge.answer != Answer::Complete;
        self.edges.iter().filter(told).map(|edge| (answer(edge.answer), edge.edge.as_str())).collect()
    }

    fn streams(&self) -> impl Iterator<Item = &LiveStream> {
        self.edges.iter().flat_map(|edge| &edge.streams).take(SHOWN)
    }

    fn state(&self, stream: &LiveStream) -> (&'static str, &'static str) {
        match stream.state {
            StreamState::Negotiating => ("warn", "stream-negotiating"),
            StreamState::Authenticated => ("good", "stream-authenticated"),
            StreamState::Draining => ("warn", "stream-draining"),
            StreamState::Closing => ("warn", "stream-closing"),
        }
    }

    fn direction(&self, stream: &LiveStream) -> &'static str {
        match stream.direction {
            StreamDirection::In => "stream-in",
            StreamDirection::Out => "stream-out",
            StreamDirection::Both => "stream-both",
        }
    }

    fn peer(&self, stream: &LiveStream) -> String {
        stream.peer.map(|peer| peer.to_string()).unwrap_or_default()
    }
}

/// The key of what is said about an edge that did not tell everything.
pub(super) const fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Complete => "answer-complete",
        Answer::Partial => "answer-partial",
        Answer::Silent => "answer-silent",
        Answer::Refused => "answer-refused",
    }
}

async fn show(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let partner = wanted.partner.trim().to_owned();
    let primary = super::primary(&desk, &partner);
    let edges = desk.links.streams(Some(primary.as_str()).filter(|partner| !partner.is_empty())).await;
    let total = edges.iter().map(|edge| edge.streams.len()).sum();
    let shown = Page {
        t: frame.t,
        frame,
        partner,
        is_live: !wanted.live.is_empty(),
        closed: known_end(&wanted.closed),
        edges,
        total,
        left_out: total.saturating_sub(SHOWN),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The key of an end that may be named in the address of the page.
fn known_end(word: &str) -> String {
    let known = ["done", "no-edge", "no-stream", "silent", "too-many"];
    if known.contains(&word) { format!("stream-close-{word}") } else { String::new() }
}

/// Which stream is to end.
#[derive(Debug, Deserialize)]
struct Closing {
    edge: String,
    id: u64,
    #[serde(default)]
    partner: String,
}

async fn close(State(desk): State<Arc<Desk>>, actor: Actor, Form(closing): Form<Closing>) -> Result<Response, Denied> {
    use crate::link::CloseFault;
    actor.require(Scope::Operate)?;
    let object = format!("{}/{}", closing.edge, closing.id);
    super::note(&desk, &actor, "stream.close", &object).await?;
    let done = desk.links.close_stream(&closing.edge, closing.id, CloseReason::NoError).await;
    if let Err(fault) = &done {
        super::note_refusal(&desk, &actor, "stream.close", &object, fault).await;
    }
    let word = match done {
        Ok(()) => "done",
        Err(CloseFault::NoEdge) => "no-edge",
        Err(CloseFault::NoStream) => "no-stream",
        Err(CloseFault::Silent) => "silent",
        Err(CloseFault::TooMany) => "too-many",
    };
    let partner: String = form_encoded(&closing.partner);
    Ok(see_other(&format!("/streams?closed={word}&partner={partner}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_ends_are_shown() {
        assert_eq!(known_end("done"), "stream-close-done");
        assert_eq!(known_end("<script>"), "");
    }
}
