//! Logs and traces: the only module here that knows tracing-subscriber and OpenTelemetry.
//!
//! Logs go to stderr, as text or as JSON. With an OTLP endpoint configured, spans are exported in batches; without one
//! they cost a load. The trace context of a stanza crosses the link as 25 bytes. Logs are no part of traces, nor the other
//! way round: a line is for an operator, a span for whoever asks where the time of one stanza went.

use std::fmt::Display;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Secret, Section};

mod address;
mod export;
mod span;

pub use address::tell as tell_address;
pub use export::{SpanCounts, set_sample_ratio, span_counts};
pub use span::{Span, SpanKind};

/// Bytes that the key of addresses needs at least: half of what it makes of them.
const LEAST_KEY: usize = 16;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line, for collectors.
    Json,
}

/// What to log and to trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryConfig {
    /// `edge-proxy` or `gateway`.
    pub service: &'static str,
    /// The replica.
    pub instance: String,
    /// Directives as for RUST_LOG.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
    /// Where spans go, by OTLP over gRPC; none traces nothing.
    pub otlp_endpoint: Option<String>,
    /// The share of traces that begin here.
    pub sample_ratio: f64,
    /// What makes users' addresses unreadable in traces; without it they are left out.
    pub address_key: Option<Secret>,
}

impl TelemetryConfig {
    /// Reads the section `telemetry`.
    pub fn read(mut section: Section, service: &'static str, instance: &str) -> Self {
        let check = |text: &str| EnvFilter::try_new(text).map(|_| text.to_owned());
        let level = section.parsed(
            "level",
            check,
            "write a level such as \"info\", or directives such as \"info,causeway=debug\"",
        );
        let config = Self {
            service,
            instance: instance.to_owned(),
            level: level.unwrap_or_else(|| "info".to_owned()),
            format: section.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)], LogFormat::Text),
            otlp_endpoint: section.parsed(
                "otlp_endpoint",
                endpoint,
                "write a collector such as \"http://127.0.0.1:4317\"",
            ),
            sample_ratio: section.share("sample_ratio", 0.01),
            address_key: section.parsed(
                "address_key",
                address_key,
                "write at least 16 bytes, the same on edges and gateways, such as the output of \"openssl rand -hex 16\"",
            ),
        };
        section.finish();
        config
    }
}

/// A key that nobody guesses.
fn address_key(text: &str) -> Result<Secret, String> {
    match text.len() {
        LEAST_KEY.. => Ok(Secret::from_file_bytes(text.as_bytes())),
        short => Err(format!("{short} bytes can be guessed")),
    }
}

/// OTLP goes to a collector beside the service, so the exporter is built without TLS.
fn endpoint(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("that is no http:// address"),
    }
}

/// Flushes what is left when it is dropped.
#[derive(Debug)]
pub struct TelemetryGuard(());

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        export::stop();
    }
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
#[error("telemetry cannot start: {0}")]
pub struct TelemetryError(String);

impl TelemetryError {
    fn new(error: impl Display) -> Self {
        Self(error.to_string())
    }
}

/// Starts logs and traces for the process; with an endpoint this needs a tokio runtime.
pub fn start(config: &TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&config.level).map_err(TelemetryError::new)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().map_err(TelemetryError::new)?;
    if let Some(key) = &config.address_key {
        address::set_key(key);
    }
    if let Some(endpoint) = &config.otlp_endpoint {
        export::start(config, endpoint)?;
    }
    Ok(TelemetryGuard(()))
}

impl TelemetryConfig {
    /// Whether another configuration differs in more than can change while the service runs.
    pub fn needs_restart(&self, other: &Self) -> bool {
        Self { sample_ratio: other.sample_ratio, ..self.clone() } != *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    #[test]
    fn the_section_has_sound_defaults_and_names_what_is_wrong() {
        let mut document = Document::parse("", "X", []).unwrap();
        let config = TelemetryConfig::read(document.section("telemetry"), "edge-proxy", "edge-1");
        assert_eq!((config.level.as_str(), config.format), ("info", LogFormat::Text));
        let text = "[telemetry]\nlevel = 'nonsense=maybe=x'\nformat = 'xml'\nsample_ratio = 2\notlp_endpoint = 'https://x'\n\
             address_key = 'short'\n";
        let mut document = Document::parse(text, "X", []).unwrap();
        TelemetryConfig::read(document.section("telemetry"), "edge-proxy", "edge-1");
        assert_eq!(document.finish().unwrap_err().len(), 5);
    }

    #[test]
    fn the_share_of_traces_may_change_and_the_rest_needs_a_restart() {
        let mut document = Document::parse("", "X", []).unwrap();
        let before = TelemetryConfig::read(document.section("telemetry"), "gateway", "gw1");
        let after = TelemetryConfig { sample_ratio: 1.0, ..before.clone() };
        assert!(!before.needs_restart(&after));
        assert!(before.needs_restart(&TelemetryConfig { level: "debug".to_owned(), ..after }));
    }
}
