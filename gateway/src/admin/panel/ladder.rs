//! What passed between two users, as a sequence diagram: on the page, live, and as files.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_shared::jid::BareJid;
use serde::Deserialize;

use super::dress::form_encoded;
use super::language::Texts;
use super::layout::{Frame, page};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::trace::ladder::svg::Place;
use crate::trace::ladder::{Ladder, Query as Wish, Scope as What, svg, text};

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    let files = Router::new().route("/ladder/svg", get(as_svg)).route("/ladder/text", get(as_text));
    files.route("/ladder", get(show))
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    /// The SIP user.
    #[serde(default)]
    local: String,
    /// The partner's user.
    #[serde(default)]
    remote: String,
    /// `conversation`, `subscription`, or everything.
    #[serde(default)]
    scope: String,
    /// Whether the page renews itself.
    #[serde(default)]
    live: String,
}

impl Wanted {
    fn wish(&self) -> Result<Wish, Faults> {
        let user = |address: &str| BareJid::parse(address.trim()).ok().filter(|user| user.as_jid().local().is_some());
        match (user(&self.local), user(&self.remote)) {
            (Some(local), Some(remote)) => Ok(Wish { local, remote, scope: self.scope(), since_ms: 0 }),
            (local, remote) => Err(Faults { local: local.is_none(), remote: remote.is_none() }),
        }
    }

    fn scope(&self) -> What {
        match self.scope.as_str() {
            "conversation" => What::Conversation,
            "subscription" => What::Subscription,
            _ => What::Everything,
        }
    }

    fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }
}

/// Which addresses are none.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    local: bool,
    remote: bool,
}

#[derive(Template)]
#[template(path = "ladder.html")]
struct Page {
    t: Texts,
    frame: Frame,
    wanted: Wanted,
    faults: Faults,
    ladder: Option<Ladder>,
}

impl Page {
    fn is_live(&self) -> bool {
        !self.wanted.live.is_empty()
    }

    fn picture(&self, ladder: &Ladder) -> String {
        svg::draw(ladder, Place::Inside)
    }

    /// The same ladder as a file.
    fn file(&self, form: &str) -> String {
        let Wanted { local, remote, scope, .. } = &self.wanted;
        let (local, remote, scope) = (form_encoded(local), form_encoded(remote), form_encoded(scope));
        format!("/ladder/{form}?local={local}&remote={remote}&scope={scope}")
    }

    fn scopes(&self) -> [(&'static str, &'static str, bool); 3] {
        let chosen = self.wanted.scope();
        [
            ("", "ladder-everything", chosen == What::Everything),
            ("conversation", "ladder-conversation", chosen == What::Conversation),
            ("subscription", "ladder-subscription", chosen == What::Subscription),
        ]
    }
}

async fn show(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    frame: Frame,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    let wish = wanted.wish();
    let (faults, ladder) = match wish {
        Ok(wish) => (Faults::default(), Some(read(&desk, wish).await?)),
        Err(_) if wanted.is_empty() => (Faults::default(), None),
        Err(faults) => (faults, None),
    };
    let status = if faults.local || faults.remote { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page(status, &Page { t: frame.t, frame, wanted, faults, ladder }))
}

async fn as_svg(State(desk): State<Arc<Desk>>, actor: Actor, Query(wanted): Query<Wanted>) -> Result<Response, Denied> {
    let ladder = asked(&desk, &actor, &wanted).await?;
    Ok(file("image/svg+xml", "ladder.svg", svg::draw(&ladder, Place::Alone)))
}

async fn as_text(
    State(desk): State<Arc<Desk>>,
    actor: Actor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Denied> {
    let ladder = asked(&desk, &actor, &wanted).await?;
    Ok(file("text/plain; charset=utf-8", "ladder.txt", text::draw(&ladder, true)))
}

async fn asked(desk: &Desk, actor: &Actor, wanted: &Wanted) -> Result<Ladder, Denied> {
    actor.require(Scope::Read)?;
    let wish = wanted.wish().map_err(|_| Denied::NotFound)?;
    read(desk, wish).await
}

/// Reads everything that is kept: not on a thread that others wait for.
async fn read(desk: &Desk, wish: Wish) -> Result<Ladder, Denied> {
    let (recorder, bodies) = (Arc::clone(&desk.recorder), desk.shows_bodies());
    let reading = tokio::task::spawn_blocking(move || Ladder::read(&recorder, &wish, bodies));
    reading.await.map_err(|_| Denied::Failed)
}

fn file(kind: &'static str, name: &str, text: String) -> Response {
    let named = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let named = named.unwrap_or(HeaderValue::from_static("attachment"));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CONTENT_DISPOSITION, named)], text)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(local: &str, remote: &str) -> Wanted {
        Wanted { local: local.to_owned(), remote: remote.to_owned(), ..Wanted::default() }
    }

    #[test]
    fn addresses_name_users_and_the_one_that_does_not_is_pointed_at() {
        assert!(wanted("alice@contoso.example", " Bob@fabrikam.example ").wish().is_ok());
        let faults = wanted("contoso.example", "bob@fabrikam.example").wish().unwrap_err();
        assert!(faults.local && !faults.remote);
        let faults = wanted("alice@contoso.example", "<script>").wish().unwrap_err();
        assert!(!faults.local && faults.remote);
    }

    #[test]
    fn an_unknown_scope_is_everything() {
        assert_eq!(Wanted { scope: "x".to_owned(), ..Wanted::default() }.scope(), What::Everything);
    }
}
