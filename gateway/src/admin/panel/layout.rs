//! What every page has around its own content: language, theme, navigation, banner, the token of its forms.
//!
//! A page is a template that extends `base.html` and has the fields `t: Texts` and `frame: Frame`; its handler takes
//! `Frame` as an extractor and answers with [`page`].

use std::convert::Infallible;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::assets;
use super::language::{Language, Texts};
use crate::admin::login::{Actor, Denied, Scope};

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The word in the cookie and in the attribute `data-theme`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The key of its name.
    pub const fn text(self) -> &'static str {
        match self {
            Self::System => "theme-system",
            Self::Light => "theme-light",
            Self::Dark => "theme-dark",
        }
    }

    /// The theme with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == word)
    }
}

/// What is known of a request besides its actor. The layer that identifies the actor puts it into the request.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// The reader's language.
    pub language: Language,
    /// The reader's theme.
    pub theme: Theme,
    /// The token that forms of this session carry; empty if nobody is signed in.
    pub csrf: String,
    /// Whether the message-body setting is on, which every page says.
    pub bodies_shown: bool,
    /// The gateway that answers; empty if nobody is signed in.
    pub gateway: String,
    /// The other gateways that are there, each with the address of its panel, if it has one.
    pub others: Vec<(String, String)>,
    /// What the path and query are, for links back.
    pub path: String,
}

/// An entry of the navigation.
struct Entry {
    href: &'static str,
    text: &'static str,
    scope: Scope,
}

const fn entry(href: &'static str, text: &'static str, scope: Scope) -> Entry {
    Entry { href, text, scope }
}

/// The pages in the order of the navigation; who may not see one is not shown it.
const NAVIGATION: [Entry; 14] = [
    entry("/", "nav-overview", Scope::Read),
    entry("/partners", "partners-title", Scope::Read),
    entry("/settings", "settings-title", Scope::Read),
    entry("/policies", "policies-title", Scope::Read),
    entry("/streams", "nav-streams", Scope::Read),
    entry("/queues", "nav-queues", Scope::Read),
    entry("/verdicts", "nav-verdicts", Scope::Read),
    entry("/ladder", "nav-ladder", Scope::Read),
    entry("/explain", "nav-explain", Scope::Read),
    entry("/replicas", "nav-replicas", Scope::Read),
    entry("/certificates", "nav-certificates", Scope::Read),
    entry("/journal", "journal-title", Scope::Read),
    entry("/archive", "nav-archive", Scope::Archive),
    entry("/accounts", "nav-accounts", Scope::Accounts),
];

/// An entry of the navigation as it is shown.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where it leads.
    pub href: &'static str,
    /// Its text.
    pub text: String,
    /// Whether the page shown is this one, or below it.
    pub current: bool,
}

/// What `base.html` is made of.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The texts.
    pub t: Texts,
    /// Who is signed in.
    pub actor: Option<Actor>,
    /// What is known of the request.
    pub visit: Visit,
}

impl Frame {
    /// The navigation.
    pub fn links(&self) -> Vec<Link> {
        let Some(actor) = &self.actor else { return Vec::new() };
        let here = self.visit.path.split('?').next().unwrap_or_default();
        let shown = NAVIGATION.iter().filter(|entry| actor.may(entry.scope));
        let link = |entry: &Entry| Link {
            href: entry.href,
            text: self.t.get(entry.text),
            current: here == entry.href
                || (entry.href != "/" && here.strip_prefix(entry.href).is_some_and(|rest| rest.starts_with('/'))),
        };
        shown.map(link).collect()
    }

    /// Whether the actor may; for templates.
    pub fn may(&self, scope: Scope) -> bool {
        self.actor.as_ref().is_some_and(|actor| actor.may(scope))
    }

    /// Whether the actor may change partners and settings; for templates.
    pub fn may_write(&self) -> bool {
        self.may(Scope::Write)
    }

    /// Where a file of the panel is.
    pub fn asset(&self, name: &str) -> &'static str {
        assets::url(name)
    }

    /// The languages to choose from.
    pub const fn languages(&self) -> [Language; 4] {
        Language::ALL
    }

    /// The themes to choose from.
    pub const fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }
}

impl<S: Sync> FromRequestParts<S> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let visit = parts.extensions.get::<Visit>().cloned().unwrap_or_default();
        Ok(Self { t: Texts::new(visit.language), actor: parts.extensions.get::<Actor>().cloned(), visit })
    }
}

/// A page, or a part of one for htmx.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            (status, [(header::CONTENT_TYPE, html)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            Denied::Failed.into_response()
        }
    }
}

/// To another page, as an answer to a form (RFC 9110, section 15.4.4).
pub fn see_other(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// A path of ours to go back to; anything that could lead to another host becomes the first page.
pub fn local_path(path: &str) -> &str {
    let is_local = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local && is_plain { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(path = "denied.html")]
    struct Example {
        t: Texts,
        frame: Frame,
        title: String,
        text: String,
    }

    fn shown(language: Language, actor: Option<Actor>) -> String {
        let visit = Visit {
            language,
            theme: Theme::Dark,
            csrf: "token".into(),
            bodies_shown: true,
            gateway: "gateway-1".into(),
            others: Vec::new(),
            path: "/accounts/alice".into(),
        };
        let t = Texts::new(language);
        let frame = Frame { t, actor, visit };
        Example { t, frame, title: "<title>".into(), text: "text".into() }.render().unwrap()
    }

    #[test]
    fn a_page_says_its_language_and_theme_and_has_its_landmarks() {
        let html = shown(Language::Chinese, None);
        for part in ["<html lang=\"zh-Hans\" data-theme=\"dark\"", "<main id=\"main\"", "href=\"#main\"", "<footer"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(html.contains("&#60;title&#62;"), "what a page shows is escaped: {html}");
        assert!(!html.contains("<nav"), "nobody is signed in");
    }

    #[test]
    fn the_navigation_shows_what_one_may_and_where_one_is() {
        let html = shown(Language::English, Some(Actor::local(Language::English)));
        assert!(html.contains("<a href=\"/accounts\" aria-current=\"page\">"), "{html}");
        assert!(html.contains("hx-headers='{\"X-CSRF-Token\": \"token\"}'"), "{html}");
        let viewer = Actor {
            scopes: crate::admin::login::Role::ViewOnlyAdministrator.scopes(),
            ..Actor::local(Language::English)
        };
        assert!(!shown(Language::English, Some(viewer)).contains("href=\"/accounts\""));
    }

    #[test]
    fn the_banner_says_that_message_bodies_are_shown() {
        let html = shown(Language::English, Some(Actor::local(Language::English)));
        assert!(html.contains(&Texts::new(Language::English).get("banner-bodies")), "{html}");
    }

    #[test]
    fn a_page_says_which_gateway_has_made_it() {
        let html = shown(Language::English, Some(Actor::local(Language::English)));
        assert!(html.contains("Answered by gateway-1"), "{html}");
    }

    #[test]
    fn one_is_never_led_to_another_host() {
        for path in ["//evil.example", "https://evil.example", "/\\evil.example", "\\evil", "/a\nb", ""] {
            assert_eq!(local_path(path), "/", "{path}");
        }
        assert_eq!(local_path("/partners?domain=a"), "/partners?domain=a");
    }
}
