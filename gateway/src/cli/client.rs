//! A client of the gateway's interface: HTTP/1.1 over a Unix socket, TCP or TLS, one connection a request.
//!
//! Whatever answers is not trusted with our time or memory: every wait and every answer has a bound.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ending::Failure;
use super::output::plain;
use super::place::Place;
use super::problem::Problem;

/// For the connection and its handshake: what a person waits for before he looks at the cable.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer: longer than the gateway's own longest probe of a partner from all edges.
const ANSWER: Duration = Duration::from_secs(180);
/// Between two pieces of a long answer.
const PIECE: Duration = Duration::from_secs(60);
/// Bytes of an answer that is kept in memory: ten thousand partners, or a page of anything.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Bytes of the answer to a refused request.
const MAX_PROBLEM: usize = 1024 * 1024;

/// Where systems keep the authorities they trust.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A client of one gateway.
pub(super) struct Client {
    place: Place,
    tls: Option<TlsConnector>,
}

/// A request, as the verbs put it.
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<(&'static str, Bytes)>,
    version: Option<String>,
    long: bool,
}

/// An answer that is no refusal.
#[derive(Debug)]
pub(super) struct Answer {
    /// What it says; null where it says nothing.
    pub(super) body: Json,
    /// The version of what it is about, from `ETag`.
    pub(super) version: Option<String>,
}

impl Call {
    /// A request for `/api/v1` and the segments, each escaped.
    pub(super) fn new(method: Method, segments: &[&str]) -> Self {
        let mut path = "/api/v1".to_owned();
        for segment in segments {
            path.push('/');
            escape(segment, &mut path);
        }
        Self { method, path, body: None, version: None, long: false }
    }

    /// To read.
    pub(super) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// To do or to make something.
    pub(super) fn post(segments: &[&str], body: &Json) -> Self {
        Self::new(Method::POST, segments).json("application/json", body)
    }

    /// To replace something.
    pub(super) fn put(segments: &[&str], body: &Json) -> Self {
        Self::new(Method::PUT, segments).json("application/json", body)
    }

    /// To change some members of something (RFC 7396).
    pub(super) fn patch(segments: &[&str], body: &Json) -> Self {
        Self::new(Method::PATCH, segments).json("application/merge-patch+json", body)
    }

    /// To remove something.
    pub(super) fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    fn json(self, kind: &'static str, body: &Json) -> Self {
        Self { body: Some((kind, Bytes::from(body.to_string()))), ..self }
    }

    /// Bytes to send.
    pub(super) fn bytes(self, kind: &'static str, bytes: Vec<u8>) -> Self {
        Self { body: Some((kind, Bytes::from(bytes))), ..self }
    }

    /// A parameter, if it has a value.
    pub(super) fn query(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.path.push(if self.path.contains('?') { '&' } else { '?' });
            self.path.push_str(name);
            self.path.push('=');
            escape(value, &mut self.path);
        }
        self
    }

    /// A parameter that is there or not.
    pub(super) fn switch(self, name: &str, on: bool) -> Self {
        self.query(name, on.then_some("true"))
    }

    /// Only if it still has this version.
    pub(super) fn if_version(self, version: Option<String>) -> Self {
        Self { version, ..self }
    }

    /// The answer goes on for as long as the gateway has something to say.
    pub(super) fn long(self) -> Self {
        Self { long: true, ..self }
    }
}

impl Client {
    /// A client of the gateway there; no connection yet.
    pub(super) fn new(place: Place) -> Result<Self, Failure> {
        let tls = match &place {
            Place::Server { tls: Some(ca), .. } => Some(trust(ca.as_deref())?),
            Place::Server { tls: None, .. } | Place::Socket(_) => None,
        };
        Ok(Self { place, tls })
    }

    /// Asks, and reads the answer as JSON. A refusal is a failure.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let response = self.send(call).await?;
        let version = response
            .headers()
            .get(header::ETAG)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.trim_start_matches("W/").trim_matches('"').to_owned());
        let bytes = self.collect(response, MAX_ANSWER).await?;
        let body = if bytes.is_empty() { Json::Null } else { self.parse(&bytes)? };
        Ok(Answer { body, version })
    }

    /// Asks, and reads the answer as text.
    pub(super) async fn text(&self, call: Call) -> Result<String, Failure> {
        let response = self.send(call).await?;
        let bytes = self.collect(response, MAX_ANSWER).await?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.unreachable("its answer is no text"))
    }

    /// Asks, and hands on the answer piece by piece.
    pub(super) async fn pieces(
        &self,
        call: Call,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // What follows as it happens may be silent for hours.
        let patience = if call.long { Duration::MAX } else { PIECE };
        let mut body = self.send(call).await?.into_body();
        loop {
            let frame = timeout(patience, body.frame())
                .await
                .map_err(|_| self.unreachable("the answer stopped in the middle; try again"))?;
            match frame {
                None => return Ok(()),
                Some(Ok(frame)) => {
                    if let Some(piece) = frame.data_ref() {
                        take(piece)?;
                    }
                }
                Some(Err(error)) => return Err(self.unreachable(&format!("the answer broke off: {error}"))),
            }
        }
    }

    /// Asks; whatever is no success becomes a failure.
    async fn send(&self, call: Call) -> Result<Response<Incoming>, Failure> {
        let sent = match &self.place {
            Place::Socket(path) => {
                let stream = self.connected(UnixStream::connect(path)).await?;
                self.exchange(stream, call).await?
            }
            Place::Server { host, port, .. } => {
                let stream = self.connected(TcpStream::connect((host.as_str(), *port))).await?;
                match &self.tls {
                    None => self.exchange(stream, call).await?,
                    Some(tls) => {
                        let name = ServerName::try_from(host.clone())
                            .map_err(|_| Failure::Usage(format!("\"{host}\" is no name of a host")))?;
                        let stream = self.connected(tls.connect(name, stream)).await?;
                        self.exchange(stream, call).await?
                    }
                }
            }
        };
        if sent.status().is_success() {
            return Ok(sent);
        }
        let status = sent.status().as_u16();
        let bytes = self.collect(sent, MAX_PROBLEM).await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
        Err(Failure::Refused(Box::new(Problem::read(status, &body))))
    }

    async fn connected<T>(&self, connecting: impl Future<Output = std::io::Result<T>>) -> Result<T, Failure> {
        match timeout(CONNECT, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.unreachable(&explain(&error))),
            Err(_) => Err(self.unreachable("nobody answered within 10 seconds; look at the address and the firewall")),
        }
    }

    async fn exchange<S>(&self, stream: S, call: Call) -> Result<Response<Incoming>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |error: hyper::Error| self.unreachable(&format!("this is no gateway's interface: {error}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // It ends with the connection, and that with the process.
        tokio::spawn(connection);
        let request = self.request(call).map_err(|error| Failure::Usage(error.to_string()))?;
        timeout(ANSWER, sender.send_request(request))
            .await
            .map_err(|_| self.unreachable("it did not answer in time; look at its log"))?
            .map_err(failed)
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request =
            Request::builder().method(call.method).uri(call.path).header(header::ACCEPT, "application/json");
        request = match &self.place {
            Place::Socket(_) => request.header(header::HOST, "localhost"),
            Place::Server { host, port, token, .. } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let request = request.header(header::HOST, format!("{host}:{port}"));
                match token {
                    Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
                    None => request,
                }
            }
        };
        if let Some(language) = language(|name| std::env::var(name).ok()) {
            request = request.header(header::ACCEPT_LANGUAGE, language);
        }
        if let Some(version) = call.version {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        match call.body {
            Some((kind, bytes)) => request.header(header::CONTENT_TYPE, kind).body(Full::new(bytes)),
            None => request.body(Full::new(Bytes::new())),
        }
    }

    async fn collect(&self, response: Response<Incoming>, most: usize) -> Result<Bytes, Failure> {
        let collecting = Limited::new(response.into_body(), most).collect();
        match timeout(ANSWER, collecting).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.unreachable(&format!("its answer cannot be read: {error}"))),
            Err(_) => Err(self.unreachable("its answer did not end in time")),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Json, Failure> {
        serde_json::from_slice(bytes)
            .map_err(|_| self.unreachable("what answers is no gateway; look at --server or --socket"))
    }

    /// That the gateway cannot be reached, and why.
    pub(super) fn unreachable(&self, reason: &str) -> Failure {
        let at = match &self.place {
            Place::Socket(path) => path.display().to_string(),
            Place::Server { host, port, .. } => format!("{host}:{port}"),
        };
        Failure::Unreachable { at, reason: plain(reason) }
    }
}

/// The language of the terminal, in which the gateway says what does not do: `es_ES.UTF-8` is `es`.
fn language(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty())?;
    let word: String = set.chars().take_while(char::is_ascii_alphabetic).collect();
    (2..=3).contains(&word.len()).then(|| word.to_ascii_lowercase())
}

/// What an operator can do about an error of the system.
fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is nothing of that name; is the gateway running?".to_owned(),
        std::io::ErrorKind::ConnectionRefused => "nobody listens there; is the gateway running?".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "you may not open it; become the gateway's user, or use --server and a token".to_owned()
        }
        _ => error.to_string(),
    }
}

fn trust(ca: Option<&std::path::Path>) -> Result<TlsConnector, Failure> {
    let file = match ca {
        Some(file) => file,
        None => BUNDLES.iter().map(std::path::Path::new).find(|file| file.exists()).ok_or_else(|| {
            Failure::Usage("this machine has no list of authorities; name one with --ca FILE".to_owned())
        })?,
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| Failure::file(file, error))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(Failure::file(file, "there is no certificate in it; write one in PEM"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Usage(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Percent-encoding of everything but unreserved characters (RFC 3986, section 2.3).
fn escape(text: &str, path: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
