//! The archive of messages, for those who may read it: a search, and an export. Each look is noted in the journal.

use std::fmt::Write as _;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::language::Texts;
use super::layout::{Frame, page};
use super::streams::form_urlencoded;
use crate::admin::desk::Desk;
use crate::admin::journal::Outcome;
use crate::admin::login::{Actor, Denied, Scope};
use crate::store::operator::{ArchiveCount, ArchiveFilter, ArchivedDirection, ArchivedMessage};

/// Messages on a page.
const SHOWN: usize = 100;

/// Messages in one file; who wants more asks for less at a time, or uses the interface.
const EXPORTED: usize = 10_000;

/// Messages asked of the store at once.
const PAGE: usize = 500;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/archive", get(show)).route("/archive/export", get(export))
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    partner: String,
    #[serde(default)]
    local: String,
    #[serde(default)]
    remote: String,
    /// Whose text contains this.
    #[serde(default)]
    contains: String,
    /// Behind this message.
    #[serde(default)]
    after: String,
}

impl Wanted {
    fn filter(&self) -> ArchiveFilter {
        let text = |text: &str| Some(text.trim().to_lowercase()).filter(|text| !text.is_empty());
        ArchiveFilter {
            partner: text(&self.partner),
            local: text(&self.local),
            remote: text(&self.remote),
            contains: Some(self.contains.trim().to_owned()).filter(|text| !text.is_empty()),
            ..ArchiveFilter::default()
        }
    }

    fn after(&self) -> u64 {
        self.after.parse().unwrap_or_default()
    }

    /// Who was looked for, for the journal.
    fn object(&self) -> String {
        [&self.partner, &self.local, &self.remote].map(|text| text.trim()).join(" ").trim().to_owned()
    }

    fn query(&self) -> String {
        let Self { partner, local, remote, contains, .. } = self;
        let (partner, local, remote) = (form_urlencoded(partner), form_urlencoded(local), form_urlencoded(remote));
        format!("partner={partner}&local={local}&remote={remote}&contains={}", form_urlencoded(contains))
    }
}

#[derive(Template)]
#[template(path = "archive.html")]
struct Page {
    t: Texts,
    frame: Frame,
    wanted: Wanted,
    messages: Vec<ArchivedMessage>,
    counts: Vec<ArchiveCount>,
}

impl Page {
    fn direction(&self, message: &ArchivedMessage) -> &'static str {
        match message.direction {
            ArchivedDirection::Inbound => "direction-in",
            ArchivedDirection::Outbound => "direction-out",
        }
    }

    /// Where the next page begins, if this one is full.
    fn next(&self) -> Option<u64> {
        (self.messages.len() >= SHOWN).then(|| self.messages.last().map(|message| message.id)).flatten()
    }
}

async fn show(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Archive)?;
    super::note(&desk, &actor, "archive.read", &wanted.object(), Outcome::Done).await;
    let messages = desk.store.archived(wanted.filter(), wanted.after(), SHOWN).await.map_err(failed)?;
    let counts = desk.store.archive_counts().await.map_err(failed)?;
    Ok(page(StatusCode::OK, &Page { t: frame.t, frame, wanted, messages, counts }))
}

/// One message a line, as JSON.
async fn export(State(desk): State<Arc<Desk>>, actor: Actor, Query(wanted): Query<Wanted>) -> Result<Response, Denied> {
    actor.require(Scope::Archive)?;
    super::note(&desk, &actor, "archive.export", &wanted.object(), Outcome::Done).await;
    let (mut after, mut lines, mut count) = (wanted.after(), String::new(), 0);
    while count < EXPORTED {
        let messages = desk.store.archived(wanted.filter(), after, PAGE).await.map_err(failed)?;
        let Some(last) = messages.last() else { break };
        (after, count) = (last.id, count + messages.len());
        for message in messages {
            let _infallible = writeln!(lines, "{}", line(&message));
        }
    }
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    let name = (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"archive.ndjson\""));
    Ok(([kind, name], lines).into_response())
}

fn line(message: &ArchivedMessage) -> serde_json::Value {
    json!({
        "id": message.id,
        "at_ms": message.at_ms,
        "partner": message.partner,
        "local": message.local,
        "remote": message.remote,
        "direction": message.direction.as_str(),
        "kind": message.kind.as_str(),
        "body": message.body,
        "stanza_id": message.stanza_id,
        "outcome": message.outcome,
    })
}

fn failed(error: crate::store::StoreError) -> Denied {
    tracing::error!(%error, "the archive cannot be read");
    Denied::Failed
}
