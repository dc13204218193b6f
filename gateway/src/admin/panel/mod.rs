//! The panel: pages of HTML that the gateway serves, with htmx for what changes on them. Nothing is built beforehand, and
//! all works without scripts but what is live.
//!
//! One file per page; `templates/` has their HTML, `locales/` their words, `assets/` style sheet and script.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use causeway_shared::domain::DomainName;

use super::desk::Desk;
use super::journal::Outcome;
use super::login::{Actor, Denied, Login, oidc};

mod accounts;
mod archive;
pub mod assets;
mod certificates;
pub mod dress;
mod entry;
mod explain;
pub mod faults;
mod journal;
mod ladder;
pub mod language;
pub mod layout;
#[cfg(test)]
mod live_tests;
mod overview;
#[cfg(test)]
mod page_rig;
pub mod partners;
mod policies;
mod queues;
mod replicas;
mod settings;
mod sheet;
mod sign_in;
mod slip;
mod streams;
mod told;
mod verdicts;
mod whoami;

/// The pages for signing in and for accounts, and what all pages load.
pub fn routes(login: Login) -> Router {
    Router::new()
        .route("/assets/{hash}/{name}", get(assets::asset))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-in/oidc", get(sign_in::elsewhere))
        .route(oidc::CALLBACK, get(sign_in::callback))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/setup", get(sign_in::set_up_form).post(sign_in::set_up))
        .route("/preferences", post(sign_in::preferences))
        .route("/whoami", get(whoami::show))
        .route("/password", post(whoami::change_password))
        .route("/sign-out-everywhere", post(whoami::sign_out_everywhere))
        .route("/accounts", get(accounts::list).post(accounts::create))
        .route("/accounts/{name}", get(accounts::show).post(accounts::change))
        .route("/accounts/{name}/delete", post(accounts::remove))
        .route("/tokens", post(accounts::create_token))
        .route("/tokens/{id}/revoke", post(accounts::revoke_token))
        .with_state(login)
}

/// The pages of what runs.
pub fn pages(desk: Arc<Desk>) -> Router {
    partners::routes()
        .merge(settings::routes())
        .merge(policies::routes())
        .merge(journal::routes())
        .merge(overview::routes())
        .merge(streams::routes())
        .merge(queues::routes())
        .merge(replicas::routes())
        .merge(verdicts::routes())
        .merge(certificates::routes())
        .merge(ladder::routes())
        .merge(explain::routes())
        .merge(archive::routes())
        .with_state(desk)
}

/// Notes in the journal what somebody wants done, before it is: what cannot be noted is not done.
async fn note(desk: &Desk, actor: &Actor, action: &str, object: &str) -> Result<(), Denied> {
    let entry = actor.entry(action, object, Outcome::Done, "{}".to_owned());
    let noted = desk.store.append_journal(vec![entry]).await;
    noted.map(drop).map_err(|error| {
        tracing::error!(%error, action, object, "the journal cannot be written, so nothing was done");
        Denied::Failed
    })
}

/// Notes that it was not done after all, and why.
async fn note_refusal(desk: &Desk, actor: &Actor, action: &str, object: &str, fault: &impl std::fmt::Display) {
    let detail = serde_json::json!({ "reason": fault.to_string() }).to_string();
    let entry = actor.entry(action, object, Outcome::Refused, detail);
    if let Err(error) = desk.store.append_journal(vec![entry]).await {
        tracing::error!(%error, action, object, "the journal cannot be written");
    }
}

/// The primary domain of a partner, whichever of its domains somebody types, however spelt.
fn primary(desk: &Desk, typed: &str) -> String {
    let Ok(domain) = DomainName::parse(typed.trim()) else { return typed.trim().to_owned() };
    let settings = desk.settings.borrow();
    settings.partner(&domain).map_or(&domain, |partner| &partner.primary).to_string()
}
