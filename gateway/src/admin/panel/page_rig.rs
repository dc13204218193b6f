//! Pages as a browser sees them, for tests: requests through the routes, by a role and in a language of one's choice.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::Service as _;

use super::dress::form_encoded;
use super::language::{Language, Texts};
use super::layout::Visit;
use crate::admin::login::{Actor, Role};
use crate::admin::test_rig::Rig;
use crate::pool::View;

/// Somebody at a browser.
pub(super) struct Browser {
    pub(super) rig: Arc<Rig>,
    router: Router,
    pub(super) actor: Actor,
    pub(super) language: Language,
}

/// A page: its status and its text.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) status: StatusCode,
    pub(super) html: String,
}

impl Browser {
    /// An administrator who reads English, on the smallest configuration with this behind it.
    pub(super) async fn new(more: &str) -> Self {
        Self::at(Rig::new(more).await)
    }

    /// The same at a gateway that has heard this of the others.
    pub(super) async fn seeing(view: View) -> Self {
        let mut rig = Rig::new("").await;
        rig.view = view;
        Self::at(rig)
    }

    fn at(rig: Rig) -> Self {
        let rig = Arc::new(rig);
        let router = super::pages(rig.desk());
        Self { rig, router, actor: someone("alice", Role::Administrator), language: Language::English }
    }

    /// Somebody else at the same gateway.
    pub(super) fn beside(&self, name: &str, role: Role) -> Self {
        let (rig, router) = (Arc::clone(&self.rig), self.router.clone());
        Self { rig, router, actor: someone(name, role), language: self.language }
    }

    pub(super) async fn get(&self, path: &str) -> Shown {
        self.send(Request::get(path), path, Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", form_encoded(value))).collect();
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, path, Body::from(pairs.join("&"))).await
    }

    async fn send(&self, request: axum::http::request::Builder, path: &str, body: Body) -> Shown {
        let mut request = request.body(body).unwrap();
        let visit = Visit { language: self.language, csrf: "token".into(), path: path.to_owned(), ..Visit::default() };
        request.extensions_mut().insert(visit);
        request.extensions_mut().insert(self.actor.clone());
        let response = self.router.clone().call(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Shown { status, html: String::from_utf8(body.to_vec()).unwrap() }
    }
}

fn someone(name: &str, role: Role) -> Actor {
    Actor { name: name.to_owned(), scopes: role.scopes(), ..Actor::local(Language::English) }
}

impl Shown {
    /// Whether the page holds a text, as it is escaped there.
    pub(super) fn has(&self, text: &str) -> bool {
        self.html.contains(text)
    }

    /// The value of a hidden field or an input of one line.
    pub(super) fn value(&self, name: &str) -> String {
        let input =
            self.html.split("<input").find(|rest| rest.contains(&format!("name=\"{name}\""))).unwrap_or_default();
        let value = input.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        value.replace("&#34;", "\"").replace("&#38;", "&").replace("&#60;", "<").replace("&#62;", ">")
    }

    /// Fails if a text is missing: it is shown as its key then, or as a variable.
    pub(super) fn is_complete(&self, language: Language) {
        assert!(!self.html.contains("{$") && !self.html.contains("{ $"), "{language}: {}", self.html);
        let visible: String =
            self.html.split('<').filter_map(|part| part.split('>').nth(1)).collect::<Vec<_>>().join(" ");
        for word in visible.split_whitespace() {
            let is_key = word.contains('-') && Texts::default().has(word);
            let has_area = [
                "partner-",
                "partners-",
                "fault-",
                "warning-",
                "settings-",
                "policy-",
                "policies-",
                "journal-",
                "receipt-",
                "type-",
                "method-",
                "remedy-",
                "negotiation-",
            ]
            .iter()
            .any(|area| word.starts_with(area));
            assert!(!is_key && !has_area, "{language}: {word}");
        }
    }
}
