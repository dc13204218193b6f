//! Where spans go: a bounded queue, a thread that sends what is in it by OTLP, and the counts of both.
//!
//! Whoever ends a span never waits: what finds the queue full is dropped and counted, as is what the collector does not
//! take. A collector that is away changes nothing else.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::TraceId;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter as Export, SpanProcessor,
};

use super::{TelemetryConfig, TelemetryError};

/// Spans that wait for the collector: about a kilobyte each, and some seconds of a busy gateway's share.
const WAITING: usize = 8192;

/// Spans in one request to the collector.
const BATCH: usize = 512;

/// How long a span waits for others to share a request with.
const DELAY: Duration = Duration::from_millis(500);

/// How long a collector may take for a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the spans of this process go, once telemetry has started.
static EXPORTING: OnceLock<Exporting> = OnceLock::new();

#[derive(Debug)]
struct Exporting {
    processor: BatchSpanProcessor,
    counts: Arc<Counts>,
    scope: InstrumentationScope,
}

/// What became of spans since the start.
#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    /// Whether the last request failed, so that only the first of a row is logged.
    is_down: AtomicBool,
    /// See [`Share`].
    share: AtomicU64,
}

/// What became of spans, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanCounts {
    /// Taken by the collector.
    pub exported: u64,
    /// Dropped, because too many waited.
    pub dropped: u64,
    /// Not taken by the collector.
    pub failed: u64,
}

/// The traces that are chosen: those whose random half is smaller than this.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(u64);

impl Share {
    /// The bound of a ratio: as [`opentelemetry_sdk::trace::Sampler::TraceIdRatioBased`] has it, so that services agree.
    fn of(ratio: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 2^63, rounded down")]
        Self((ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64)
    }

    pub(super) fn chooses(self, trace: TraceId) -> bool {
        let mut random = [0; 8];
        random.copy_from_slice(&trace.to_bytes()[8..]);
        u64::from_be_bytes(random) >> 1 < self.0
    }
}

/// The share of traces that are chosen; nothing, if spans go nowhere.
pub(super) fn share() -> Option<Share> {
    EXPORTING.get().map(|exporting| Share(exporting.counts.share.load(Ordering::Relaxed)))
}

/// Hands a span over, or drops it.
pub(super) fn put(ended: impl FnOnce(InstrumentationScope) -> SpanData) {
    let Some(Exporting { processor, counts, scope }) = EXPORTING.get() else { return };
    if counts.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
        counts.dropped.fetch_add(1, Ordering::Relaxed);
        return;
    }
    processor.on_end(ended(scope.clone()));
}

/// What became of spans so far.
pub fn span_counts() -> SpanCounts {
    let Some(Exporting { counts, .. }) = EXPORTING.get() else { return SpanCounts::default() };
    SpanCounts {
        exported: counts.exported.load(Ordering::Relaxed),
        dropped: counts.dropped.load(Ordering::Relaxed),
        failed: counts.failed.load(Ordering::Relaxed),
    }
}

/// Puts another ratio in force; traces that have begun stay as they are.
pub fn set_sample_ratio(ratio: f64) {
    if let Some(Exporting { counts, .. }) = EXPORTING.get() {
        counts.share.store(Share::of(ratio).0, Ordering::Relaxed);
    }
}

/// Starts to export; needs a runtime around it, in which the connection lives.
pub(super) fn start(config: &TelemetryConfig, endpoint: &str) -> Result<(), TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(PATIENCE).build();
    let exporter = exporter.map_err(TelemetryError::new)?;
    let counts = Arc::new(Counts::default());
    let counted = Counted { exporter, counts: Arc::clone(&counts) };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let mut processor = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    processor.set_resource(
        &Resource::builder()
            .with_service_name(config.service)
            .with_attribute(KeyValue::new("service.namespace", "causeway"))
            .with_attribute(KeyValue::new("service.instance.id", config.instance.clone()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build(),
    );
    let scope = InstrumentationScope::builder("causeway").with_version(env!("CARGO_PKG_VERSION")).build();
    let is_first = EXPORTING.set(Exporting { processor, counts, scope }).is_ok();
    set_sample_ratio(config.sample_ratio);
    is_first.then_some(()).ok_or_else(|| TelemetryError::new("it has started already"))
}

/// Sends what waits, and nothing more afterwards.
pub(super) fn stop() {
    if let Some(Exporting { processor, counts, .. }) = EXPORTING.get() {
        counts.share.store(0, Ordering::Relaxed);
        if let Err(error) = processor.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// An exporter that counts.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counts: Arc<Counts>,
}

impl<E: Export> Export for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.counts.waiting.fetch_sub(count, Ordering::Relaxed);
        let told = u64::try_from(count).unwrap_or(u64::MAX);
        let exported = self.exporter.export(batch).await;
        let (was_down, sum) = match &exported {
            Ok(()) => (self.counts.is_down.swap(false, Ordering::Relaxed), &self.counts.exported),
            Err(_) => (self.counts.is_down.swap(true, Ordering::Relaxed), &self.counts.failed),
        };
        sum.fetch_add(told, Ordering::Relaxed);
        match &exported {
            Err(error) if !was_down => {
                tracing::warn!(%error, "the collector of traces does not take spans; they are dropped");
            }
            Ok(()) if was_down => tracing::info!("the collector of traces takes spans again"),
            Ok(()) | Err(_) => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_chooses_its_share_of_traces() {
        let low = TraceId::from_bytes([0; 16]);
        let high = TraceId::from_bytes([0xff; 16]);
        let middle = TraceId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0]);
        let chosen = |ratio, trace| Share::of(ratio).chooses(trace);
        assert_eq!([0.0, 0.5, 1.0].map(|ratio| chosen(ratio, low)), [false, true, true]);
        assert_eq!([0.0, 0.4, 0.5, 1.0].map(|ratio| chosen(ratio, middle)), [false, false, true, true]);
        assert_eq!([0.0, 0.9, 1.0].map(|ratio| chosen(ratio, high)), [false, false, true]);
    }

    #[test]
    fn where_nothing_is_exported_nothing_is_counted() {
        put(|_| panic!("nobody takes it"));
        set_sample_ratio(1.0);
        assert!(share().is_none());
        assert_eq!(span_counts(), SpanCounts::default());
    }
}
