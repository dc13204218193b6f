//! The first page: what needs attention, what the gateway stands on, and the newest verdicts.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use causeway_shared::health::Leg;
use causeway_shared::verdict::history::Kept;
use causeway_shared::verdict::{Side, printable};

use super::language::Texts;
use super::layout::{Frame, page};
use super::verdicts::side_of;
use crate::admin::attention::{Attention, Level, attention};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::link::EdgeFacts;

/// Verdicts that the first page shows.
const VERDICTS: usize = 8;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/", get(show))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    t: Texts,
    frame: Frame,
    attention: Vec<Attention>,
    legs: Vec<Leg>,
    edges: Vec<EdgeFacts>,
    /// The version of the newest snapshot.
    snapshot: u64,
    partners: usize,
    verdicts: Vec<Kept>,
}

impl Page {
    fn side(&self, side: Side) -> (&'static str, &'static str) {
        side_of(side)
    }

    fn level(&self, level: Level) -> &'static str {
        match level {
            Level::Failed => "bad",
            Level::Warning => "warn",
        }
    }

    fn safe(&self, text: &str) -> String {
        printable(text)
    }
}

async fn show(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let in_force = desk.administration.in_force();
    let mut verdicts = desk.links.verdicts().newest();
    verdicts.truncate(VERDICTS);
    let attention = attention(&desk, frame.t.language()).await;
    let shown = Page {
        t: frame.t,
        frame,
        attention,
        legs: (desk.legs)(),
        edges: desk.links.edges(),
        snapshot: in_force.snapshot,
        partners: in_force.config.partners.len(),
        verdicts,
    };
    Ok(page(StatusCode::OK, &shown))
}
