//! Archived messages, for who has that role and nobody else. Each reading is noted in the journal.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use causeway_shared::jid::BareJid;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::audit::ndjson;
use super::body::Asked;
use super::noted::note;
use super::partners::page;
use super::permission::{Archive, By};
use super::problem::Trouble;
use super::verdicts::primary;
use crate::admin::desk::Desk;
use crate::admin::journal::Outcome;
use crate::store::operator::{ArchiveFilter, ArchivedMessage, MAX_ARCHIVE_PAGE};

/// Pages of an export that are ready before the reader takes them.
const PAGES_AHEAD: usize = 2;

/// Characters of a text that is looked for.
const LONGEST_SEARCH: usize = 256;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

/// An archived message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessageView {
    /// Its number.
    pub id: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The partner, by its primary domain.
    pub partner: String,
    /// The SIP user.
    pub local: String,
    /// The partner's user.
    pub remote: String,
    /// `inbound`: from the partner; `outbound`: to it.
    pub direction: &'static str,
    /// What carried it on the SIP side: `pager`, `session` or `msrp`.
    pub kind: &'static str,
    /// Who wrote it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Its text.
    pub text: String,
    /// The `id` of the stanza.
    pub stanza_id: Option<String>,
    /// What became of it, where that is not plainly that it was delivered.
    pub outcome: Option<String>,
}

impl MessageView {
    fn of(message: ArchivedMessage) -> Self {
        use crate::store::operator::ArchivedDirection::{Inbound, Outbound};
        let (from, to) = match message.direction {
            Inbound => (message.remote.clone(), message.local.clone()),
            Outbound => (message.local.clone(), message.remote.clone()),
        };
        Self {
            id: message.id,
            at_ms: message.at_ms,
            partner: message.partner,
            local: message.local,
            remote: message.remote,
            direction: message.direction.as_str(),
            kind: message.kind.as_str(),
            from,
            to,
            text: message.body,
            stanza_id: message.stanza_id,
            outcome: message.outcome,
        }
    }
}

/// Archived messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessagePage {
    /// The oldest first.
    pub messages: Vec<MessageView>,
    /// Where to go on: `after` of the next page; `null` on the last.
    pub next: Option<u64>,
}

/// Which messages.
#[derive(Debug, Clone, Default, Deserialize, Serialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// A domain of the partner.
    partner: Option<String>,
    /// The SIP user.
    local: Option<String>,
    /// The partner's user.
    remote: Option<String>,
    /// Not before, in Unix milliseconds.
    from_ms: Option<u64>,
    /// Before, in Unix milliseconds.
    to_ms: Option<u64>,
    /// Whose text contains this, ASCII letters in either case.
    contains: Option<String>,
    /// Behind this number.
    after: Option<u64>,
    /// At most so many; an export has all.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl Which {
    fn filter(&self, desk: &Desk) -> Result<ArchiveFilter, Trouble> {
        let user = |name: &str, text: &Option<String>| {
            let read = text.as_deref().map(|text| BareJid::parse(text.trim())).transpose();
            let user = read.map_err(|error| Trouble::parameter(name, error.to_string()))?;
            Ok::<_, Trouble>(user.map(|user| user.as_str().to_owned()))
        };
        if self.contains.as_ref().is_some_and(|text| text.chars().count() > LONGEST_SEARCH) {
            return Err(Trouble::parameter("contains", format!("write at most {LONGEST_SEARCH} characters")));
        }
        Ok(ArchiveFilter {
            partner: self.partner.as_deref().map(|domain| primary(desk, domain)).transpose()?,
            local: user("local", &self.local)?,
            remote: user("remote", &self.remote)?,
            from_ms: self.from_ms,
            to_ms: self.to_ms,
            contains: self.contains.clone().filter(|text| !text.is_empty()),
        })
    }
}

/// Archived messages, oldest first.
#[utoipa::path(
    get, path = "/archive", tag = "archive", operation_id = "archive_list", params(Which),
    responses((status = 200, description = "The messages.", body = MessagePage)),
    security(("token" = ["archive"]))
)]
async fn list(
    actor: By<Archive>,
    State(desk): State<Arc<Desk>>,
    Asked(which): Asked<Which>,
) -> Answer<Json<MessagePage>> {
    let (filter, limit) = (which.filter(&desk)?, page(which.limit, MAX_ARCHIVE_PAGE)?);
    note(&desk, &actor, "archive.read", "", Outcome::Done, json!({ "filter": which })).await?;
    let messages = desk.store.archived(filter, which.after.unwrap_or(0), limit).await?;
    let next = messages.last().map(|message| message.id).filter(|_| messages.len() == limit);
    Ok(Json(MessagePage { messages: messages.into_iter().map(MessageView::of).collect(), next }))
}

/// All archived messages that fit, a message a line, oldest first.
#[utoipa::path(
    get, path = "/archive/export", tag = "archive", operation_id = "archive_export", params(Which),
    responses((status = 200, description = "A message a line.", body = String, content_type = "application/x-ndjson")),
    security(("token" = ["archive"]))
)]
async fn export(actor: By<Archive>, State(desk): State<Arc<Desk>>, Asked(which): Asked<Which>) -> Answer {
    let filter = which.filter(&desk)?;
    let most = page(which.limit, usize::MAX)?;
    note(&desk, &actor, "archive.export", "", Outcome::Done, json!({ "filter": which })).await?;
    let first = desk.store.archived(filter.clone(), which.after.unwrap_or(0), most.min(MAX_ARCHIVE_PAGE)).await?;
    let (pages, ready) = mpsc::channel(PAGES_AHEAD);
    tokio::spawn(async move {
        let (mut messages, mut left) = (first, most);
        while let Some(last) = messages.last().map(|message| message.id) {
            left = left.saturating_sub(messages.len());
            if pages.send(Ok(lines(messages))).await.is_err() || left == 0 {
                return;
            }
            messages = match desk.store.archived(filter.clone(), last, left.min(MAX_ARCHIVE_PAGE)).await {
                Ok(messages) => messages,
                Err(error) => {
                    // What breaks off is not taken for the whole.
                    let _reader_gone = pages.send(Err(std::io::Error::other(error))).await;
                    return;
                }
            };
        }
    });
    Ok(ndjson(ready, "causeway-archive.ndjson"))
}

fn lines(messages: Vec<ArchivedMessage>) -> Bytes {
    let mut lines = Vec::new();
    for message in messages {
        // Numbers and texts always become JSON.
        if serde_json::to_writer(&mut lines, &MessageView::of(message)).is_ok() {
            lines.push(b'\n');
        }
    }
    Bytes::from(lines)
}
