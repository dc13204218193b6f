//! The panel over a real socket with a store of its own, and a browser that keeps cookies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Actor, Login, NewAccount, NewToken, Role, Scope, Scopes};
use crate::admin::login::gate::Around;
use crate::admin::panel::language::Language;
use crate::admin::serve;
use crate::admin::store::AsyncStore;
use crate::admin::web::router;
use crate::config::PanelConfig;
use crate::config::panel::SessionLife;
use crate::store::sqlite::SqliteStore;

/// A password that does.
pub(crate) const PASSWORD: &str = "gravel umbrella sixty";

/// What is served.
pub(crate) struct Panel {
    pub(crate) login: Login,
    pub(crate) store: AsyncStore,
    pub(crate) at: SocketAddr,
    pub(crate) config: watch::Sender<Arc<PanelConfig>>,
    _shutdown: watch::Sender<bool>,
    folder: PathBuf,
}

impl Drop for Panel {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Panel {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With the usual configuration, changed.
    pub(crate) async fn with(change: impl FnOnce(&mut PanelConfig)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("causeway-panel-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = PanelConfig {
            listen: Some(at),
            tls: None,
            behind_tls_proxy: false,
            socket: Some(folder.join("gateway.sock")),
            public_url: format!("http://{at}"),
            sessions: SessionLife { idle: Duration::from_secs(600), absolute: Duration::from_secs(3_600) },
            oidc: None,
        };
        change(&mut config);
        let store = AsyncStore::new(Arc::new(SqliteStore::open(folder.join("store.sqlite")).unwrap()));
        let (config, changes) = watch::channel(Arc::new(config));
        let login = Login::new(store.clone(), changes.clone());
        let inside = Router::new().route("/api/v1/status", get(status).post(status));
        let routes = router(login.clone(), Arc::new(|| Around { bodies_shown: true, ..Around::default() }), inside);
        let (shutdown, shutting_down) = watch::channel(false);
        tokio::spawn(serve::serve(routes, changes, watch::channel(None).1, shutting_down));
        let panel = Self { login, store, at, config, _shutdown: shutdown, folder };
        while TcpStream::connect(at).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panel
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("gateway.sock")
    }

    /// Makes an account with [`PASSWORD`].
    pub(crate) async fn account(&self, name: &str, role: Role) {
        let new = NewAccount { name: name.to_owned(), role, password: PASSWORD.to_owned(), language: None };
        self.login.new_account(&Actor::local(Language::English), &new).await.unwrap();
    }

    pub(crate) async fn token(&self, account: &str, scopes: &[Scope]) -> String {
        let new = NewToken {
            label: "test".to_owned(),
            account: account.to_owned(),
            scopes: Scopes::of(scopes),
            days: Some(1),
        };
        self.login.new_token(&Actor::local(Language::English), new).await.unwrap().1
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser { at: self.at, cookies: BTreeMap::new(), fields: Vec::new(), site: Some("same-origin".to_owned()) }
    }

    /// A browser that has signed in.
    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.sign_in(name, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        browser
    }
}

async fn status(actor: Actor) -> Result<String, super::Denied> {
    actor.require(Scope::Read)?;
    Ok(format!("{} {}", actor.name, actor.scopes))
}

/// A browser, or whatever behaves like one.
#[derive(Clone)]
pub(crate) struct Browser {
    at: SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
    /// Sent with each request.
    pub(crate) fields: Vec<(String, String)>,
    /// Sec-Fetch-Site.
    pub(crate) site: Option<String>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The token of the page's forms.
    pub(crate) fn csrf(&self) -> String {
        let after = self.body.split("name=\"csrf\" value=\"").nth(1).unwrap_or_default();
        after.split('"').next().unwrap_or_default().to_owned()
    }
}

impl Browser {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, String::new()).await
    }

    /// Sends a form as it is.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let encoded: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
        self.ask(Method::POST, path, encoded.join("&")).await
    }

    /// Sends a form of a page: with the token that is in it.
    pub(crate) async fn submit(&mut self, page: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let csrf = self.get(page).await.csrf();
        let mut fields = vec![("csrf", csrf.as_str())];
        fields.extend_from_slice(form);
        self.post(path, &fields).await
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        self.submit("/sign-in", "/sign-in", &[("name", name), ("password", password), ("next", "/whoami")]).await
    }

    async fn ask(&mut self, method: Method, path: &str, body: String) -> Answer {
        let stream = TcpStream::connect(self.at).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.at.to_string());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(site) = &self.site {
            request = request.header("sec-fetch-site", site);
        }
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }
}

fn percent(text: &str) -> String {
    // As browsers encode forms.
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
