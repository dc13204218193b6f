//! The gateways that share the store.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::language::Texts;
use super::layout::{Frame, page};
use crate::admin::desk::Desk;
use crate::admin::login::{Actor, Denied, Scope};
use crate::admin::replicas::{missing_legs, panel, state, text};
use crate::pool::{Replica, View};

/// The routes of this page.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/replicas", get(show))
}

#[derive(Template)]
#[template(path = "replicas.html")]
struct Page {
    t: Texts,
    frame: Frame,
    view: Arc<View>,
}

impl Page {
    /// The mark and the words for how a replica is.
    fn state(&self, replica: &Replica) -> (&'static str, String) {
        let state = state(replica);
        let mark = match state {
            "ready" => "good",
            "gone" | "not-ready" => "bad",
            _ => "warn",
        };
        (mark, self.t.get(&format!("replica-state-{state}")))
    }

    fn drift(&self, replica: &Replica) -> Vec<(&'static str, String)> {
        let mark = |is_fault: bool| if is_fault { "bad" } else { "warn" };
        replica.drift.iter().map(|drift| (mark(drift.is_fault()), text(self.t, replica, drift))).collect()
    }

    fn panel(&self, replica: &Replica) -> String {
        panel(replica)
    }

    fn legs(&self, replica: &Replica) -> String {
        missing_legs(replica)
    }

    fn ago(&self, replica: &Replica) -> String {
        let seconds = self.view.heard_ms.saturating_sub(replica.seen_ms) / 1_000;
        self.t.with("replica-ago", ("seconds", seconds))
    }
}

async fn show(State(desk): State<Arc<Desk>>, actor: Actor, frame: Frame) -> Result<Response, Denied> {
    actor.require(Scope::Read)?;
    Ok(page(StatusCode::OK, &Page { t: frame.t, frame, view: desk.replicas.view() }))
}

#[cfg(test)]
mod tests {
    use super::super::language::Language;
    use super::super::page_rig::Browser;
    use super::*;
    use crate::admin::replicas::tests::view;

    async fn shown(language: Language, view: View) -> super::super::page_rig::Shown {
        let mut browser = Browser::seeing(view).await;
        browser.language = language;
        browser.get("/replicas").await
    }

    #[tokio::test]
    async fn each_gateway_has_its_row_with_what_does_not_fit_in_every_language() {
        for language in Language::ALL {
            let page = shown(language, view()).await;
            assert_eq!(page.status, StatusCode::OK);
            page.is_complete(language);
            for part in [
                "<a href=\"https://gateway-3.contoso.example:8080/replicas\">gateway-3</a>",
                "0123456789ab",
                &Texts::new(language).get("replica-state-gone"),
                &Texts::new(language).get("replica-this"),
                "partner, sip",
            ] {
                assert!(page.has(part), "{language}: {part}: {}", page.html);
            }
        }
    }

    #[tokio::test]
    async fn a_gateway_with_a_store_of_its_own_says_so() {
        let page = shown(Language::English, View { is_shared: false, ..view() }).await;
        assert!(page.has(&Texts::default().get("replicas-alone")), "{}", page.html);
    }

    #[tokio::test]
    async fn who_cannot_hear_the_others_says_since_when() {
        let unheard = View { fault: Some("the store does not answer".into()), ..view() };
        let page = shown(Language::English, unheard).await;
        assert!(page.has("the store does not answer") && page.has("class=\"notice bad\""), "{}", page.html);
    }
}
