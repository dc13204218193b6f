//! What an endpoint is told about itself.

use crate::header::{HeaderValue, InvalidValue};
use crate::session::SessionConfig;
use crate::target::TransportKind;
use crate::uri::{port_number, split_host_port};

/// What an endpoint is told about itself.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Our name in Via, one per transport. A received Via that bears one of them is a loop.
    pub sent_by: Vec<SentBy>,
    /// Event packages that go up; others are answered with 489.
    pub event_packages: Vec<String>,
    /// Media types, for Accept in the answer to OPTIONS.
    pub accept: Vec<String>,
    /// Option tags that Require may name.
    pub supported: Vec<String>,
    /// Whether INVITE is served, and how; without it INVITE is answered with 405.
    pub sessions: Option<SessionConfig>,
}

impl EndpointConfig {
    /// An endpoint for presence and pager messages.
    pub fn new(sent_by: Vec<SentBy>) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            sent_by,
            event_packages: texts(&["presence"]),
            accept: texts(&["text/plain", "application/pidf+xml"]),
            supported: Vec::new(),
            sessions: None,
        }
    }

    pub(crate) fn sent_by(&self, transport: TransportKind) -> Option<&SentBy> {
        self.sent_by.iter().find(|sent_by| sent_by.transport == transport)
    }

    pub(crate) fn allow_events(&self) -> HeaderValue {
        joined(&self.event_packages)
    }

    pub(crate) fn accept(&self) -> HeaderValue {
        joined(self.accept.iter().chain(self.session_bodies()))
    }

    /// Accept for a 415 to an INVITE or UPDATE.
    pub(crate) fn accept_in_session(&self) -> HeaderValue {
        joined(self.session_bodies())
    }

    /// Media types that may describe a session.
    pub(crate) fn session_bodies(&self) -> &[String] {
        self.sessions.as_ref().map_or(&[], |sessions| &sessions.accept)
    }

    pub(crate) fn supports(&self, tag: &[u8]) -> bool {
        let is_session_tag = self.sessions.is_some() && tag.eq_ignore_ascii_case(b"timer");
        is_session_tag || self.supported.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(tag))
    }

    pub(crate) fn supported(&self) -> HeaderValue {
        let timer = "timer".to_owned();
        joined(self.supported.iter().chain(self.sessions.is_some().then_some(&timer)))
    }
}

/// A text from the configuration that holds a control character is left out rather than sent.
fn joined<'a>(texts: impl IntoIterator<Item = &'a String>) -> HeaderValue {
    let texts: Vec<_> = texts.into_iter().map(String::as_str).collect();
    HeaderValue::new(texts.join(", ")).unwrap_or_else(|InvalidValue| HeaderValue::from_static(""))
}

/// Host and port of a Via (RFC 3261 section 18.1.1): where responses and new connections reach us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBy {
    pub(crate) transport: TransportKind,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    prefix: String,
}

/// A text that is no `host` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no host or host:port")]
pub struct InvalidSentBy(pub String);

impl SentBy {
    /// Takes `host` or `host:port`.
    pub fn new(transport: TransportKind, host_port: &str) -> Result<Self, InvalidSentBy> {
        let invalid = || InvalidSentBy(host_port.to_owned());
        let (host, port) = split_host_port(host_port.as_bytes()).ok_or_else(invalid)?;
        let port = port.map(|digits| port_number(digits).ok_or_else(invalid)).transpose()?;
        let host = String::from_utf8_lossy(host).to_ascii_lowercase();
        let suffix = port.map_or_else(String::new, |port| format!(":{port}"));
        let prefix = format!("SIP/2.0/{} {host}{suffix}", transport.via_token());
        Ok(Self { transport, host, port, prefix })
    }

    /// `SIP/2.0/TCP host:port`.
    pub(crate) fn via_prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether a received sent-by is this one.
    pub(crate) fn is(&self, host: &str, port: Option<u16>) -> bool {
        let default = self.transport.default_port();
        self.host.eq_ignore_ascii_case(host) && self.port.unwrap_or(default) == port.unwrap_or(default)
    }
}
