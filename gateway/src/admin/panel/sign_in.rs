//! Signing in and out, the first account, and the choice of language and theme.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Form};
use serde::Deserialize;

use super::dress::form_encoded;
use super::faults::Faults;
use super::language::{Language, Texts};
use super::layout::{Frame, Theme, local_path, page, see_other};
use crate::admin::login::gate::Client;
use crate::admin::login::{Actor, ActorKind, Denied, Login, Scopes, Session, SignInRefused, cookies, oidc};

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage {
    t: Texts,
    frame: Frame,
    next: String,
    next_encoded: String,
    name: String,
    is_refused: bool,
    is_refused_elsewhere: bool,
    is_signed_out: bool,
    is_set_up: bool,
    provider: Option<String>,
}

/// What the address of the page says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SignInQuery {
    #[serde(default)]
    next: String,
    #[serde(default)]
    said: String,
}

/// The form as it is sent.
#[derive(Deserialize)]
pub(super) struct SignInForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

impl SignInPage {
    fn new(frame: Frame, login: &Login, next: &str, said: &str) -> Self {
        let next = local_path(next);
        Self {
            t: frame.t,
            frame,
            next: next.to_owned(),
            next_encoded: form_encoded(next),
            name: String::new(),
            is_refused: false,
            is_refused_elsewhere: said == "refused",
            is_signed_out: said == "signed-out",
            is_set_up: said == "set-up",
            provider: login.config().oidc.as_ref().map(|oidc| host_of(&oidc.issuer).to_owned()),
        }
    }
}

/// The host of a URL, to be shown.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

pub(super) async fn form(State(login): State<Login>, Query(query): Query<SignInQuery>, frame: Frame) -> Response {
    page(StatusCode::OK, &SignInPage::new(frame, &login, &query.next, &query.said))
}

pub(super) async fn sign_in(
    State(login): State<Login>,
    Extension(Client(address)): Extension<Client>,
    old: Option<Extension<Session>>,
    frame: Frame,
    Form(form): Form<SignInForm>,
) -> Result<Response, Denied> {
    let name = form.name.trim();
    match login.sign_in(name, form.password, address).await {
        Ok(ticket) => {
            // What the browser had before ends: nobody goes on under a session that somebody else may know.
            if let Some(Extension(old)) = old {
                login.sign_out(&old).await?;
            }
            let mut response = see_other(local_path(&form.next));
            let cookie = cookies::session(login.config().is_secure(), ticket.expose());
            response.headers_mut().append(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Err(SignInRefused::Refused) => {
            let shown = SignInPage {
                is_refused: true,
                name: name.to_owned(),
                ..SignInPage::new(frame, &login, &form.next, "")
            };
            Ok(page(StatusCode::FORBIDDEN, &shown))
        }
        Err(SignInRefused::Denied(denied)) => Err(denied),
    }
}

pub(super) async fn sign_out(
    State(login): State<Login>,
    session: Option<Extension<Session>>,
) -> Result<Response, Denied> {
    if let Some(Extension(session)) = session {
        login.sign_out(&session).await?;
    }
    Ok(signed_out(&login))
}

/// To the sign-in, without the cookie.
pub(super) fn signed_out(login: &Login) -> Response {
    let mut response = see_other("/sign-in?said=signed-out");
    response.headers_mut().append(header::SET_COOKIE, cookies::no_session(login.config().is_secure()));
    response
}

/// To the identity provider.
pub(super) async fn elsewhere(
    State(login): State<Login>,
    Query(query): Query<SignInQuery>,
) -> Result<Response, Denied> {
    let begun = login.begin_elsewhere(local_path(&query.next)).await?;
    let mut response = see_other(&begun.url);
    let cookie = cookies::state(login.config().is_secure(), &begun.cookie, oidc::PATIENCE);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// What the provider sends back.
#[derive(Deserialize)]
pub(super) struct Callback {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

#[derive(Template)]
#[template(path = "continue.html")]
struct ContinuePage {
    t: Texts,
    frame: Frame,
    next: String,
}

/// Back from the identity provider.
pub(super) async fn callback(
    State(login): State<Login>,
    Extension(Client(address)): Extension<Client>,
    old: Option<Extension<Session>>,
    Query(back): Query<Callback>,
    headers: HeaderMap,
    frame: Frame,
) -> Result<Response, Denied> {
    let is_secure = login.config().is_secure();
    let cookie = cookies::read(&headers, cookies::state_name(is_secure)).unwrap_or_default();
    let mut response = match login.finish_elsewhere(cookie, back.code, &back.state, address).await {
        Ok((ticket, next)) => {
            // As with a password: what the browser had before ends.
            if let Some(Extension(old)) = old {
                login.sign_out(&old).await?;
            }
            // Browsers keep the session's cookie back while they follow a redirection that began elsewhere: a page of ours
            // leads on.
            let shown = ContinuePage { t: frame.t, frame, next: local_path(&next).to_owned() };
            let mut response = page(StatusCode::OK, &shown);
            response.headers_mut().append(header::SET_COOKIE, cookies::session(is_secure, ticket.expose()));
            response
        }
        Err(SignInRefused::Refused) => see_other("/sign-in?said=refused"),
        Err(SignInRefused::Denied(denied)) => return Err(denied),
    };
    response.headers_mut().append(header::SET_COOKIE, cookies::no_state(is_secure));
    Ok(response)
}

#[derive(Template)]
#[template(path = "set-up.html")]
struct SetUpPage {
    t: Texts,
    frame: Frame,
    /// `None` if the link is used up.
    token: Option<String>,
    name: String,
    faults: Faults,
}

/// What the link says.
#[derive(Deserialize)]
pub(super) struct SetUpQuery {
    #[serde(default)]
    token: String,
}

/// The form as it is sent.
#[derive(Deserialize)]
pub(super) struct SetUpForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

pub(super) async fn set_up_form(
    State(login): State<Login>,
    Query(query): Query<SetUpQuery>,
    frame: Frame,
) -> Result<Response, Denied> {
    let is_good = login.is_set_up(&query.token).await?;
    let token = is_good.then_some(query.token);
    let status = if is_good { StatusCode::OK } else { StatusCode::GONE };
    Ok(page(status, &SetUpPage { t: frame.t, frame, token, name: String::new(), faults: Faults::default() }))
}

pub(super) async fn set_up(
    State(login): State<Login>,
    Extension(Client(address)): Extension<Client>,
    frame: Frame,
    Form(form): Form<SetUpForm>,
) -> Result<Response, Denied> {
    let t = frame.t;
    let name = form.name.trim().to_owned();
    let again = |frame: Frame, faults: Faults| {
        let shown = SetUpPage { t, frame, token: Some(form.token.clone()), name: name.clone(), faults };
        page(StatusCode::UNPROCESSABLE_ENTITY, &shown)
    };
    if form.password != form.again {
        return Ok(again(frame, Faults::one(t, "again", "password-differs")));
    }
    let visitor = Actor {
        name: "set-up".to_owned(),
        kind: ActorKind::Anonymous,
        scopes: Scopes::default(),
        address,
        language: t.language(),
    };
    match login.set_up(&form.token, &visitor, &name, form.password.clone()).await {
        Ok(true) => Ok(see_other("/sign-in?said=set-up")),
        Ok(false) => {
            let shown = SetUpPage { t, frame, token: None, name, faults: Faults::default() };
            Ok(page(StatusCode::GONE, &shown))
        }
        Err(refusal) => Ok(again(frame, Faults::of_refusal(t, refusal, "name", "account-stale")?)),
    }
}

/// The form as it is sent: one of the two buttons was pressed.
#[derive(Deserialize)]
pub(super) struct Preferences {
    language: Option<String>,
    theme: Option<String>,
    #[serde(default)]
    return_to: String,
}

pub(super) async fn preferences(
    State(login): State<Login>,
    session: Option<Extension<Session>>,
    Form(chosen): Form<Preferences>,
) -> Result<Response, Denied> {
    let mut response = see_other(local_path(&chosen.return_to));
    let is_secure = login.config().is_secure();
    if let Some(language) = chosen.language.as_deref().and_then(Language::from_code) {
        if let Some(Extension(session)) = session {
            login.choose_language(&session.account, language).await?;
        }
        let cookie = cookies::choice(is_secure, cookies::LANGUAGE, language.code());
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if let Some(theme) = chosen.theme.as_deref().and_then(Theme::parse) {
        let cookie = cookies::choice(is_secure, cookies::THEME, theme.as_str());
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
