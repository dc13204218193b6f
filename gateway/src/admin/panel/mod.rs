//! The panel: pages of HTML that the gateway serves, with htmx for what changes on them. Nothing is built beforehand, and
//! all works without scripts but what is live.
//!
//! One file per page; `templates/` has their HTML, `locales/` their words, `assets/` style sheet and script.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::desk::Desk;
use super::login::{Login, oidc};

mod accounts;
pub mod assets;
pub mod dress;
mod entry;
pub mod faults;
mod journal;
pub mod language;
pub mod layout;
#[cfg(test)]
mod page_rig;
pub mod partners;
mod policies;
mod settings;
mod sheet;
mod sign_in;
mod slip;
mod told;
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
    let pages = partners::routes().merge(settings::routes()).merge(policies::routes()).merge(journal::routes());
    pages.with_state(desk)
}
