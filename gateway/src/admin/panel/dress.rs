//! The outermost layer: the headers that every answer carries, and pages or problem documents in place of refusals.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::language::Texts;
use super::layout::{Frame, Visit, page, see_other};
use crate::admin::login::{Actor, Denied, Scope};

/// Nothing but what this gateway serves itself; no script and no style in a page; nobody frames it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Where the interface is; what is refused there is told in JSON.
const INTERFACE: &str = "/api/";

/// Puts the headers on, and dresses refusals for whoever reads them.
pub async fn dress(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().path_and_query().map_or_else(|| path.clone(), ToString::to_string);
    let is_htmx = request.headers().contains_key("hx-request");
    let response = next.run(request).await;
    let denied = response.extensions().get::<Denied>().copied().or_else(|| bare(&response, &path));
    let mut response = match denied {
        None => response,
        Some(denied) if path.starts_with(INTERFACE) => problem(denied),
        Some(Denied::SignIn) => to_sign_in(&query, is_htmx),
        Some(denied) => {
            let visit = response.extensions().get::<Visit>().cloned().unwrap_or_default();
            shown(denied, response.extensions().get::<Actor>().cloned(), visit)
        }
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What the router and its extractors refuse in words of their own.
fn bare(response: &Response, path: &str) -> Option<Denied> {
    let is_text =
        response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !is_text || path.starts_with(INTERFACE) {
        return None;
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some(Denied::NotFound),
        StatusCode::METHOD_NOT_ALLOWED => Some(Denied::Method),
        StatusCode::PAYLOAD_TOO_LARGE => Some(Denied::TooLarge),
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::UNPROCESSABLE_ENTITY => {
            Some(Denied::Malformed)
        }
        StatusCode::INTERNAL_SERVER_ERROR => Some(Denied::Failed),
        _ => None,
    }
}

fn to_sign_in(from: &str, is_htmx: bool) -> Response {
    let next: String = form_encoded(from);
    let target = format!("/sign-in?next={next}");
    if !is_htmx {
        return see_other(&target);
    }
    // A part of a page cannot be a sign-in: the whole page goes there.
    let mut response = StatusCode::UNAUTHORIZED.into_response();
    if let Ok(target) = HeaderValue::from_str("/sign-in") {
        response.headers_mut().insert(HeaderName::from_static("hx-redirect"), target);
    }
    response
}

/// Percent-encoding for a value of a query.
pub(super) fn form_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[derive(Template)]
#[template(path = "denied.html")]
struct DeniedPage {
    t: Texts,
    frame: Frame,
    title: String,
    text: String,
}

fn shown(denied: Denied, actor: Option<Actor>, visit: Visit) -> Response {
    let t = Texts::new(visit.language);
    let key = format!("denied-{}", denied.code());
    let (title, text) = (t.get(&format!("{key}-title")), t.get(&key));
    page(denied.status(), &DeniedPage { t, frame: Frame { t, actor, visit }, title, text })
}

/// RFC 9457, for callers that never came as far as a handler.
fn problem(denied: Denied) -> Response {
    let t = Texts::default();
    let key = format!("denied-{}", denied.code());
    let mut body = json!({
        "type": format!("urn:causeway:problem:{}", denied.code()),
        "title": t.get(&format!("{key}-title")),
        "status": denied.status().as_u16(),
        "detail": t.get(&key),
        "code": denied.code(),
    });
    if let (Denied::Scope(scope), Some(fields)) = (denied, body.as_object_mut()) {
        fields.insert("scope".into(), Scope::as_str(scope).into());
    }
    let kind = HeaderValue::from_static("application/problem+json");
    let mut response = (denied.status(), [(header::CONTENT_TYPE, kind)], body.to_string()).into_response();
    if let Denied::SignIn | Denied::Token = denied {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"causeway\""));
    }
    let wait = match denied {
        Denied::Rate { seconds } => Some(seconds),
        Denied::Busy => Some(1),
        _ => None,
    };
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_words_in_every_language() {
        let all = [
            Denied::SignIn,
            Denied::Token,
            Denied::Scope(Scope::Write),
            Denied::Forged,
            Denied::NotFound,
            Denied::Method,
            Denied::Malformed,
            Denied::TooLarge,
            Denied::TooSlow,
            Denied::Busy,
            Denied::Rate { seconds: 1 },
            Denied::Failed,
        ];
        for language in super::super::language::Language::ALL {
            let t = Texts::new(language);
            for denied in all {
                for key in [format!("denied-{}", denied.code()), format!("denied-{}-title", denied.code())] {
                    assert_ne!(t.get(&key), key);
                }
            }
        }
    }

    #[test]
    fn a_refusal_of_the_interface_is_a_problem_document() {
        let response = problem(Denied::Scope(Scope::Write));
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(problem(Denied::SignIn).headers().contains_key(header::WWW_AUTHENTICATE));
    }

    #[test]
    fn the_way_back_is_kept_through_the_sign_in() {
        let response = to_sign_in("/verdicts?partner=a&b=c", false);
        assert_eq!(response.headers()[header::LOCATION], "/sign-in?next=/verdicts%3Fpartner%3Da%26b%3Dc");
    }
}
