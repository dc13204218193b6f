//! Logs and traces: the only module here that knows tracing-subscriber and OpenTelemetry.
//!
//! Logs go to stderr, as text or as JSON. With an OTLP endpoint configured, spans are exported in batches; without one
//! they cost nothing. The trace context of a stanza crosses the link as 25 bytes.

use std::fmt::Display;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Section;
use crate::link::TraceContext;

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
        };
        section.finish();
        config
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
pub struct TelemetryGuard(Option<SdkTracerProvider>);

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
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
    let provider = config.otlp_endpoint.as_deref().map(|endpoint| provider(config, endpoint)).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        // Spans of stanzas are at debug level, so that without export they are never made. What people write is for the log
        // alone, where an operator has turned it on: collectors of traces keep other company.
        let wanted = EnvFilter::new("info,causeway=debug,causeway::bodies=off");
        tracing_opentelemetry::layer().with_tracer(provider.tracer("causeway")).with_filter(wanted)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init()
        .map_err(TelemetryError::new)?;
    Ok(TelemetryGuard(provider))
}

fn provider(config: &TelemetryConfig, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(TelemetryError::new)?;
    let resource = Resource::builder()
        .with_service_name(config.service)
        .with_attribute(opentelemetry::KeyValue::new("service.instance.id", config.instance.clone()))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).with_sampler(sampler).build())
}

/// The context of a span, as it crosses the link; nothing if the span is not exported.
pub fn context_of(span: &Span) -> TraceContext {
    if span.is_disabled() {
        return TraceContext::default();
    }
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    let mut bytes = [0; 25];
    if context.is_valid() {
        let (trace, rest) = bytes.split_at_mut(16);
        let (span, flags) = rest.split_at_mut(8);
        trace.copy_from_slice(&context.trace_id().to_bytes());
        span.copy_from_slice(&context.span_id().to_bytes());
        flags.copy_from_slice(&[context.trace_flags().to_u8()]);
    }
    TraceContext(bytes)
}

/// Makes a span the child of a context that came over the link.
pub fn continue_trace(span: &Span, context: TraceContext) {
    if span.is_disabled() || !context.is_some() {
        return;
    }
    let TraceContext(bytes) = context;
    let (mut trace, mut id) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&bytes[..16]);
    id.copy_from_slice(&bytes[16..24]);
    let remote = SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(id),
        TraceFlags::new(bytes[24]),
        true,
        TraceState::default(),
    );
    let _already_started_spans_keep_their_parent =
        span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
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
        let text =
            "[telemetry]\nlevel = 'nonsense=maybe=x'\nformat = 'xml'\nsample_ratio = 2\notlp_endpoint = 'https://x'\n";
        let mut document = Document::parse(text, "X", []).unwrap();
        TelemetryConfig::read(document.section("telemetry"), "edge-proxy", "edge-1");
        assert_eq!(document.finish().unwrap_err().len(), 4);
    }

    #[test]
    fn without_a_subscriber_there_is_no_context() {
        assert!(!context_of(&tracing::info_span!("stanza")).is_some());
        continue_trace(&tracing::info_span!("stanza"), TraceContext([1; 25]));
    }
}
