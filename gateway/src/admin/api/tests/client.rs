//! A server with one actor for all requests, and a client of it.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::admin::api::rate::Rates;
use crate::admin::api::{limited, router};
use crate::admin::login::{Actor, ActorKind, Scopes};
use crate::admin::panel::language::Language;
use crate::admin::test_rig::Rig;

/// Somebody who uses the interface.
pub(super) struct Client(SocketAddr);

/// What he is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) head: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.head.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The codes of the faults, each with its key.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let text = |fault: &Value, key: &str| fault[key].as_str().unwrap().to_owned();
        let problem = self.json();
        let faults = problem["faults"].as_array().cloned().unwrap_or_default();
        faults.iter().map(|fault| (text(fault, "key"), text(fault, "code"))).collect()
    }
}

impl Client {
    /// An administrator of that name.
    pub(super) async fn administrator(rig: &Rig, name: &str) -> Self {
        Self::new(rig, Some(actor(name, "read write operate accounts archive"))).await
    }

    /// The administrator of the machine, who may ask as often as he likes.
    pub(super) async fn local(rig: &Rig) -> Self {
        Self::new(rig, Some(Actor::local(Language::English))).await
    }

    /// Somebody, or nobody.
    pub(super) async fn new(rig: &Rig, actor: Option<Actor>) -> Self {
        Self::serve(router(rig.desk()), actor).await
    }

    /// Somebody who may ask only so often.
    pub(super) async fn hasty(rig: &Rig, per_second: u32, burst: u32) -> Self {
        let router = limited(rig.desk(), Rates::new(per_second, burst));
        Self::serve(router, Some(actor("hasty", "read"))).await
    }

    async fn serve(router: axum::Router, actor: Option<Actor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identify = from_fn(move |mut request: Request, next: Next| {
            actor.clone().map(|actor| request.extensions_mut().insert(actor));
            next.run(request)
        });
        tokio::spawn(async move { axum::serve(listener, router.layer(identify)).await });
        Self(address)
    }

    /// An answer that does not end by itself.
    pub(super) async fn open(&self, path: &str) -> Response<Incoming> {
        let stream = TcpStream::connect(self.0).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().uri(path).header("host", "localhost").body(Full::<Bytes>::default()).unwrap();
        sender.send_request(request).await.unwrap()
    }

    /// A request with fields and a body.
    pub(super) async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let stream = TcpStream::connect(self.0).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        request = request.header("host", "localhost");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, head: parts.headers, bytes }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    /// A request with a JSON body, based on a version.
    pub(super) async fn send(&self, method: &str, path: &str, version: &str, body: &Value) -> Answer {
        let mut fields = vec![("content-type", "application/json")];
        if !version.is_empty() {
            fields.push(("if-match", version));
        }
        self.ask(method, path, &fields, body.to_string().as_bytes()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "", body).await
    }
}

/// Somebody with these scopes.
pub(super) fn actor(name: &str, scopes: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        kind: ActorKind::Account,
        scopes: Scopes::parse(scopes),
        address: Some("192.0.2.1".parse().unwrap()),
        language: Language::English,
    }
}
