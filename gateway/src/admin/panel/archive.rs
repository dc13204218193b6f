//! The archive of messages, for those who may read it: a search. Each look is noted in the journal. The export of all that fits is
//! the interface's, which writes as many as there are.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::dress::form_encoded;
use super::language::Texts;
use super::layout::{Frame, page};
use crate::admin::desk::Desk;
use crate::admin::journal::Outcome;
use crate::admin::login::{Actor, Denied, Scope};
use crate::store::operator::{ArchiveCount, ArchiveFilter, ArchivedDirection, ArchivedMessage};

/// Messages on a page.
const SHOWN: usize = 100;

/// Characters of the journal's name for what was looked for.
const LONGEST_OBJECT: usize = 512;

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/archive", get(show))
}

/// What is asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
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
        let all = [&self.partner, &self.local, &self.remote].map(|text| text.trim()).join(" ");
        all.trim().chars().take(LONGEST_OBJECT).collect()
    }

    fn query(&self) -> String {
        let Self { partner, local, remote, contains, .. } = self;
        let all = [("partner", partner), ("local", local), ("remote", remote), ("contains", contains)];
        let given = all.into_iter().filter(|(_, text)| !text.trim().is_empty());
        given.map(|(name, text)| format!("{name}={}", form_encoded(text.trim()))).collect::<Vec<_>>().join("&")
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
    // Without its entry in the journal there is no look.
    let detail = json!({ "filter": wanted }).to_string();
    let entry = actor.entry("archive.read", &wanted.object(), Outcome::Done, detail);
    desk.store.append_journal(vec![entry]).await.map_err(|error| failed(&error))?;
    let messages = desk.store.archived(wanted.filter(), wanted.after(), SHOWN).await.map_err(|error| failed(&error))?;
    let counts = desk.store.archive_counts().await.map_err(|error| failed(&error))?;
    Ok(page(StatusCode::OK, &Page { t: frame.t, frame, wanted, messages, counts }))
}

fn failed(error: &crate::store::StoreError) -> Denied {
    tracing::error!(%error, "the archive cannot be read");
    Denied::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_asked_for_what_was_typed_and_nothing_else() {
        let wanted = Wanted { partner: " fabrikam.example".into(), contains: "a&b".into(), ..Wanted::default() };
        assert_eq!(wanted.query(), "partner=fabrikam.example&contains=a%26b");
        assert_eq!(Wanted::default().query(), "");
        assert!(Wanted { local: "x".repeat(2_000), ..Wanted::default() }.object().len() <= LONGEST_OBJECT);
    }
}
