//! Who one is here, and the change of one's own password.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Form};
use serde::Deserialize;

use super::faults::Faults;
use super::language::Texts;
use super::layout::{Frame, page, see_other};
use super::sign_in::signed_out;
use crate::admin::login::{Actor, ActorKind, Denied, Login, Session};

#[derive(Template)]
#[template(path = "whoami.html")]
struct WhoAmIPage {
    t: Texts,
    frame: Frame,
    actor: Actor,
    has_password: bool,
    has_session: bool,
    is_changed: bool,
    faults: Faults,
}

impl WhoAmIPage {
    fn new(frame: Frame, actor: Actor, session: Option<&Session>) -> Self {
        Self {
            t: frame.t,
            frame,
            actor,
            has_password: session.is_some_and(|session| session.account.password_hash.is_some()),
            has_session: session.is_some(),
            is_changed: false,
            faults: Faults::default(),
        }
    }

    fn kind(&self) -> &'static str {
        match self.actor.kind {
            ActorKind::Account => "who-kind-account",
            ActorKind::Token => "who-kind-token",
            ActorKind::Local => "who-kind-socket",
            // Neither ever comes as far as a page.
            ActorKind::Anonymous | ActorKind::System => "never",
        }
    }

    fn scopes(&self) -> Vec<String> {
        self.actor.scopes.iter().map(|scope| self.t.get(&format!("scope-{}", scope.as_str()))).collect()
    }
}

/// What the address says.
#[derive(Deserialize)]
pub(super) struct Said {
    #[serde(default)]
    said: String,
}

pub(super) async fn show(
    actor: Actor,
    session: Option<Extension<Session>>,
    Query(Said { said }): Query<Said>,
    frame: Frame,
) -> Response {
    let session = session.map(|Extension(session)| session);
    let shown = WhoAmIPage { is_changed: said == "changed", ..WhoAmIPage::new(frame, actor, session.as_ref()) };
    page(StatusCode::OK, &shown)
}

/// The form as it is sent.
#[derive(Deserialize)]
pub(super) struct PasswordForm {
    #[serde(default)]
    current: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

pub(super) async fn change_password(
    State(login): State<Login>,
    actor: Actor,
    Extension(session): Extension<Session>,
    frame: Frame,
    Form(form): Form<PasswordForm>,
) -> Result<Response, Denied> {
    let t = frame.t;
    let faults = if form.password != form.again {
        Faults::one(t, "again", "password-differs")
    } else {
        match login.change_password(&actor, &session, form.current, form.password).await {
            Ok(()) => return Ok(see_other("/whoami?said=changed")),
            Err(refusal) => Faults::of_refusal(t, refusal, "current", "account-stale")?,
        }
    };
    let shown = WhoAmIPage { faults, ..WhoAmIPage::new(frame, actor, Some(&session)) };
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &shown))
}

pub(super) async fn sign_out_everywhere(
    State(login): State<Login>,
    Extension(session): Extension<Session>,
) -> Result<Response, Denied> {
    login.sign_out_everywhere(&session.account.name).await?;
    Ok(signed_out(&login))
}
