//! Before every request: who it is, whether it comes from a page of ours, and whether its body has arrived.
//!
//! A request that changes something and rests on a cookie has to come from a page of this origin, as the browser says
//! (Sec-Fetch-Site, or Origin), and, where somebody is signed in, to carry the token of the session: in the field
//! `csrf` of a form, or in `X-CSRF-Token`. Tokens of programs and the Unix socket rest on no cookie.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::session::scopes;
use super::{Actor, ActorKind, Denied, Login, Scope, Session, cookies};
use crate::admin::panel::language::Language;
use crate::admin::panel::layout::{Theme, Visit};
use crate::admin::serve::Peer;
use crate::config::PanelConfig;

/// Bytes of a body.
const MAX_BODY: usize = 1024 * 1024;
/// Bytes of a body from somebody who is nobody yet: the form of a sign-in.
const MAX_STRANGERS_BODY: usize = 16 * 1024;
/// What takes larger bodies, from whoever may: a backup that comes back, and what another product exported.
const LARGE: [(&str, Scope, usize); 2] = [
    ("/api/v1/restore", Scope::Accounts, crate::admin::api::backup::MAX_RESTORE),
    ("/api/v1/import/lync", Scope::Write, crate::admin::api::import::MAX_BODY),
];
/// Large bodies at once: each is in memory until it has been taken.
const MAX_LARGE_REQUESTS: usize = 2;
/// Time for a body.
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// Requests at once that wait for an answer.
const MAX_REQUESTS: usize = 256;
/// Requests at once over the socket, which strangers cannot take.
const MAX_LOCAL_REQUESTS: usize = 32;
/// The field of forms with the session's token.
const FIELD: &str = "csrf";

/// What every page says of the gateway.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// Whether message bodies are shown.
    pub bodies_shown: bool,
    /// The gateway's name.
    pub gateway: String,
    /// The other gateways of the pool, each with the address of its panel.
    pub others: Vec<(String, String)>,
}

/// Says it at any moment.
pub type SaysAround = Arc<dyn Fn() -> Around + Send + Sync>;

/// What the gate needs.
#[derive(Clone)]
pub struct Gate {
    login: Login,
    around: SaysAround,
    requests: Arc<Semaphore>,
    local_requests: Arc<Semaphore>,
    large_requests: Arc<Semaphore>,
}

impl Gate {
    /// A gate before everything that is served.
    pub fn new(login: Login, around: SaysAround) -> Self {
        Self {
            login,
            around,
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
            local_requests: Arc::new(Semaphore::new(MAX_LOCAL_REQUESTS)),
            large_requests: Arc::new(Semaphore::new(MAX_LARGE_REQUESTS)),
        }
    }
}

/// The layer. What it learns is in the extensions of the request: [`Actor`], [`Session`], [`Visit`], [`Client`].
pub async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    // A body cannot be shared between threads, and waits until it is known who sends it.
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let address = peer.and_then(|peer| client(peer, &parts.headers));
    let mut visit = visit(&parts);
    let (actor, session) = match gate.identify(&parts.headers, peer, address, &mut visit).await {
        Ok(known) => known,
        Err(denied) => return dressed(denied.into_response(), None, &visit),
    };
    let is_large = !is_safe(&parts.method) && most(parts.uri.path(), actor.as_ref()) > MAX_BODY;
    let large_place = match is_large.then(|| Arc::clone(&gate.large_requests).try_acquire_owned()) {
        Some(Err(_)) => return dressed(Denied::Busy.into_response(), actor, &visit),
        Some(Ok(place)) => Some(place),
        None => None,
    };
    let arrived = gate.arrived(&parts, body, peer, actor.as_ref(), session.as_ref()).await;
    let mut request = match arrived {
        Ok(body) => Request::from_parts(parts, body),
        Err(denied) => return dressed(denied.into_response(), actor, &visit),
    };
    // Whoever sends slowly has no place yet.
    let places = if peer == Some(Peer::Local) { &gate.local_requests } else { &gate.requests };
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        return dressed(Denied::Busy.into_response(), actor, &visit);
    };
    let extensions = request.extensions_mut();
    extensions.insert(Client(address));
    extensions.insert(visit.clone());
    if let Some(actor) = &actor {
        extensions.insert(actor.clone());
    }
    if let Some(session) = session {
        extensions.insert(session);
    }
    let is_change = !is_safe(request.method());
    let answered = async move {
        let response = next.run(request).await;
        drop((place, large_place));
        response
    };
    // A change goes on to its end, its entry in the journal included, though the client goes away meanwhile.
    let response = match is_change {
        true => tokio::spawn(answered).await.unwrap_or_else(|_| Denied::Failed.into_response()),
        false => answered.await,
    };
    dressed(response, actor, &visit)
}

/// Whether a request only reads (RFC 9110, section 9.2.1).
const fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Where the client is; `None` on this machine's socket.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub Option<IpAddr>);

/// Gives the outermost layer what it needs to write a page of its own.
fn dressed(mut response: Response, actor: Option<Actor>, visit: &Visit) -> Response {
    response.extensions_mut().insert(visit.clone());
    if let Some(actor) = actor {
        response.extensions_mut().insert(actor);
    }
    response
}

impl Gate {
    async fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<Peer>,
        address: Option<IpAddr>,
        visit: &mut Visit,
    ) -> Result<(Option<Actor>, Option<Session>), Denied> {
        if peer == Some(Peer::Local) {
            return Ok((Some(Actor::local(visit.language)), None));
        }
        if let Some(secret) = bearer(headers) {
            return Ok((Some(self.login.bearer(secret, address, Some(visit.language)).await?), None));
        }
        let name = cookies::session_name(self.login.config().is_secure());
        let Some(cookie) = cookies::read(headers, name) else { return Ok((None, None)) };
        let Some(session) = self.login.session(cookie).await? else { return Ok((None, None)) };
        if let Some(language) = session.account.language.as_deref().and_then(Language::from_code) {
            visit.language = language;
        }
        visit.csrf.clone_from(&session.csrf);
        let around = (self.around)();
        (visit.bodies_shown, visit.gateway, visit.others) = (around.bodies_shown, around.gateway, around.others);
        let actor = Actor {
            name: session.account.name.clone(),
            kind: ActorKind::Account,
            scopes: scopes(&session.account),
            address,
            language: visit.language,
        };
        Ok((Some(actor), Some(session)))
    }

    /// The body of a request that may go on: whole where it changes something, so that no handler waits for a slow client.
    async fn arrived(
        &self,
        parts: &Parts,
        body: Body,
        peer: Option<Peer>,
        actor: Option<&Actor>,
        session: Option<&Session>,
    ) -> Result<Body, Denied> {
        if is_safe(&parts.method) {
            return Ok(body);
        }
        let is_cookie = peer != Some(Peer::Local) && bearer(&parts.headers).is_none();
        if is_cookie && !is_same_origin(&parts.headers, &self.login.config()) {
            return Err(Denied::Forged);
        }
        let most = most(parts.uri.path(), actor);
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > most) {
            return Err(Denied::TooLarge);
        }
        let body = tokio::time::timeout(BODY_PATIENCE, to_bytes(body, most)).await.map_err(|_| Denied::TooSlow)?;
        let body = body.map_err(|_| Denied::TooLarge)?;
        match session.filter(|_| is_cookie) {
            Some(session) if !carries_token(&parts.headers, &body, session) => Err(Denied::Forged),
            Some(_) | None => Ok(Body::from(body)),
        }
    }
}

/// Bytes of a body that are taken at a path from somebody.
fn most(path: &str, actor: Option<&Actor>) -> usize {
    let Some(actor) = actor else { return MAX_STRANGERS_BODY };
    let is_taken = |(known, scope, _): &&(&str, Scope, usize)| *known == path && actor.may(*scope);
    LARGE.iter().find(is_taken).map_or(MAX_BODY, |(.., most)| *most)
}

/// The choices that the browser sends along.
fn visit(parts: &Parts) -> Visit {
    let headers = &parts.headers;
    let chosen = cookies::read(headers, cookies::LANGUAGE).and_then(Language::from_code);
    let accepted = || headers.get(header::ACCEPT_LANGUAGE).and_then(|value| Language::accepted(value.to_str().ok()?));
    Visit {
        language: chosen.or_else(accepted).unwrap_or_default(),
        theme: cookies::read(headers, cookies::THEME).and_then(Theme::parse).unwrap_or_default(),
        csrf: String::new(),
        bodies_shown: false,
        gateway: String::new(),
        others: Vec::new(),
        path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    }
}

/// The client's own address: the peer, or whom a proxy of ours names last (X-Forwarded-For).
fn client(peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
    let Peer::Address { address, is_proxied, .. } = peer else { return None };
    let named = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let named = named.and_then(|list| list.rsplit(',').next()).and_then(|last| last.trim().parse::<IpAddr>().ok());
    Some(named.filter(|_| is_proxied).unwrap_or(address).to_canonical())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// Whether the browser says that a page of this origin asks. A request that says nothing is no browser's form.
fn is_same_origin(headers: &HeaderMap, config: &PanelConfig) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()) else { return false };
    let scheme = if config.is_secure() { "https" } else { "http" };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin == config.public_url || host.is_some_and(|host| origin == format!("{scheme}://{host}"))
}

fn carries_token(headers: &HeaderMap, body: &Bytes, session: &Session) -> bool {
    if let Some(token) = headers.get("x-csrf-token") {
        return token.to_str().is_ok_and(|token| session.is_form(token));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return false;
    }
    // Base64url: forms encode none of its characters.
    let mut fields = body.split(|byte| *byte == b'&').filter_map(|field| std::str::from_utf8(field).ok());
    let token = fields.find_map(|field| field.strip_prefix(FIELD).and_then(|rest| rest.strip_prefix('=')));
    token.is_some_and(|token| session.is_form(token))
}

#[cfg(test)]
mod tests;
