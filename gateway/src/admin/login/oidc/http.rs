//! The few requests to an identity provider: each over a connection of its own, with an end in time and size, and never to
//! anywhere else, for redirects are not followed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Fault;

/// Time for one request, from the look-up of the name to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer: descriptions and keys have a few KB.
const MAX_ANSWER: usize = 512 * 1024;

/// A client for one provider.
pub(super) struct Http {
    tls: TlsConnector,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpFault {
    #[error("{0} is no URL with a host")]
    Url(String),
    #[error("{0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer breaks off or is larger than {MAX_ANSWER} bytes: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    #[error("there was no answer within {} seconds", PATIENCE.as_secs())]
    Silent,
}

impl Http {
    /// Believes certificates of these authorities.
    pub(super) fn new(authorities: RootCertStore) -> Result<Self, Fault> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Fault::Url(error.to_string()))?;
        let config = builder.with_root_certificates(authorities).with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let uri = request.uri().clone();
        let no_url = || HttpFault::Url(uri.to_string());
        let host = uri.host().ok_or_else(no_url)?;
        let is_tls = uri.scheme_str() == Some("https");
        let plain_host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((plain_host, port)).await?;
        if !is_tls {
            // The configuration allows this for this very machine only, and what the provider describes may differ.
            if !stream.peer_addr()?.ip().is_loopback() {
                return Err(no_url());
            }
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(plain_host.to_owned()).map_err(|_| no_url())?;
        exchange(self.tls.connect(name, stream).await?, request).await
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpFault;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpFault>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = tokio::time::timeout(PATIENCE, self.ask(request));
            answer.await.map_err(|_| HttpFault::Silent)?
        })
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: HttpRequest,
) -> Result<HttpResponse, HttpFault> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let (mut parts, body) = request.into_parts();
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
    parts.uri = parts.uri.path_and_query().map_or_else(Default::default, |path| path.clone().into());
    let request = hyper::Request::from_parts(parts, Full::new(Bytes::from(body)));
    let answer = async {
        let answer = sender.send_request(request).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(HttpFault::Answer)?;
        Ok::<_, HttpFault>(hyper::Response::from_parts(parts, body.to_bytes().to_vec()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}
