//! One GET over HTTPS, for a document of at most some KiB (RFC 9110; RFC 7711, section 3).
//!
//! The web server's certificate is judged like that of any partner: chain, revocation, strength of keys, names. A
//! redirect is not followed, for the domain itself is to speak. A document's reference to another host is followed once
//! by the caller, to addresses that may be dialled, for a domain can point us anywhere.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use causeway_shared::domain::DomainName;
use causeway_shared::pki::{self, PeerCertificate, Purpose};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::edge::Edge;
use crate::policy::{Moment, PartnerPolicy};
use crate::resolve::filter;
use crate::resolve::lookup::Family;
use crate::tls;

/// Where web servers listen.
pub(super) const HTTPS: u16 = 443;

/// The most that is read of a document: a cluster's fingerprints need a few KiB.
const MAX_DOCUMENT: usize = 64 * 1024;

/// What headers may take.
const MAX_HEADERS: usize = 16 * 1024;

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;

/// The longest URI that a reference may have.
const MAX_URI: usize = 2048;

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    host: DomainName,
    port: u16,
    path: String,
}

impl Source {
    /// The well-known place of a domain (RFC 7712, section 5.2).
    pub(super) fn well_known(domain: &DomainName, port: u16) -> Self {
        Self { host: domain.clone(), port, path: "/.well-known/posh/xmpp-server.json".to_owned() }
    }

    /// Reads an HTTPS URI with a name in it, which no address is.
    pub(super) fn parse(uri: &str) -> Result<Self, &'static str> {
        if uri.len() > MAX_URI {
            return Err("the URI is too long");
        }
        let uri: hyper::Uri = uri.parse().map_err(|_| "it is no URI")?;
        let authority = uri.authority().ok_or("it has no host")?;
        if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
            return Err("it is no plain HTTPS URI");
        }
        let is_address = authority.host().starts_with('[') || authority.host().parse::<IpAddr>().is_ok();
        let host =
            DomainName::parse(authority.host()).ok().filter(|_| !is_address).ok_or("its host is no domain name")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(HTTPS), path })
    }
}

impl Source {
    /// The host, with a port that is not the usual one (RFC 9110, section 7.2).
    fn authority(&self) -> String {
        match self.port {
            HTTPS => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

/// Fetches a document; or why not, in an operator's words. The caller bounds the time.
pub(super) async fn get(edge: &Edge, from: &Source, partner: &PartnerPolicy, at: &Moment) -> Result<Vec<u8>, String> {
    let stream = connect(edge, from, partner).await?;
    let (_, session) = stream.get_ref();
    judge(session.peer_certificates().unwrap_or_default(), from, at)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEADERS)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::get(&from.path)
        .header(header::HOST, from.authority())
        .header(header::ACCEPT, "application/json")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let exchange = async move {
        let mut response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err("there is no such document".to_owned()),
            other => return Err(format!("the web server answers {other}, and only 200 counts")),
        }
        let mut document = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
                document.extend_from_slice(&data);
                if document.len() > MAX_DOCUMENT {
                    return Err(format!("the document is longer than {MAX_DOCUMENT} bytes"));
                }
            }
        }
        Ok(document)
    };
    // The connection ends with the exchange, which owns its sender.
    let (document, _ended) = tokio::join!(exchange, connection);
    document
}

async fn connect(edge: &Edge, to: &Source, partner: &PartnerPolicy) -> Result<TlsStream<TcpStream>, String> {
    let (v6, v4) = tokio::join!(
        edge.resolver.addresses(to.host.as_str(), Family::V6),
        edge.resolver.addresses(to.host.as_str(), Family::V4)
    );
    let mut cause = "the host has no address that may be dialled".to_owned();
    let found = [v4, v6].into_iter().flatten().flat_map(|host| host.addresses);
    let may_be_dialled = |address: &IpAddr| partner.allow_private_addresses || filter::is_public(*address);
    let name = ServerName::try_from(to.host.as_str().to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(tls::https_client().map_err(|error| error.to_string())?);
    for address in found.filter(may_be_dialled).take(MAX_ADDRESSES) {
        let stream = async {
            let tcp = TcpStream::connect(SocketAddr::new(address, to.port)).await?;
            connector.connect(name.clone(), tcp).await
        };
        match stream.await {
            Ok(stream) => return Ok(stream),
            Err(error) => cause = error.to_string(),
        }
    }
    Err(cause)
}

/// The rules of HTTPS (RFC 9110, section 4.3.4), by the public authorities: a partner's own count for its XMPP servers.
fn judge(chain: &[rustls::pki_types::CertificateDer<'_>], from: &Source, at: &Moment) -> Result<(), String> {
    let now = UnixTime::since_unix_epoch(Duration::from_millis(at.unix_ms));
    pki::verify_chain(chain, &at.trust.anchors, &at.trust.revocation, now, Purpose::Federation)
        .map_err(|fault| format!("the certificate of the web server cannot be used: {fault}"))?;
    let facts = PeerCertificate::read(chain).map_err(|fault| fault.to_string())?;
    if facts.names_host(from.host.as_str()) {
        Ok(())
    } else {
        Err("the certificate of the web server does not name it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_host_over_https() {
        let source = Source::parse("https://Hosting.example:8443/posh.json?a=b").unwrap();
        assert_eq!(source.to_string(), "https://hosting.example:8443/posh.json?a=b");
        assert_eq!(Source::parse("https://hosting.example").unwrap().to_string(), "https://hosting.example/");
    }

    #[test]
    fn other_places_are_not_gone_to() {
        for uri in [
            "http://hosting.example/",
            "/x.json",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://user@hosting.example/",
            "file:///etc/passwd",
            "https://a b/",
            "",
        ] {
            assert!(Source::parse(uri).is_err(), "{uri}");
        }
        assert!(Source::parse(&format!("https://hosting.example/{}", "x".repeat(MAX_URI))).is_err());
    }
}
