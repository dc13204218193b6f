//! Which build runs, and what became of its spans.

use super::{Catalogue, Kind};
use crate::telemetry::span_counts;

/// Adds what every service tells of its build and of its traces.
pub fn register(catalogue: &mut Catalogue) {
    let help = "Which build this is; always 1";
    catalogue.look_up("causeway_build_info", help, Kind::Gauge, &["version", "commit", "rustc"], || {
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", env!("CAUSEWAY_COMMIT")),
            ("rustc", env!("CAUSEWAY_RUSTC")),
        ];
        vec![(labels.map(|(name, value)| (name, value.to_owned())).to_vec(), 1.0)]
    });
    #[expect(clippy::cast_precision_loss, reason = "a count that a double does not hold is not reached")]
    let as_number = |count: u64| count as f64;
    let help = "Spans that the collector of traces has taken";
    catalogue
        .look_up_one("causeway_trace_spans_exported", help, Kind::Counter, move || as_number(span_counts().exported));
    let help =
        "Spans that are lost: because too many waited (queue), or because the collector did not take them (collector)";
    catalogue.look_up("causeway_trace_spans_dropped", help, Kind::Counter, &["reason"], move || {
        let counts = span_counts();
        let lost = [("queue", counts.dropped), ("collector", counts.failed)];
        lost.map(|(reason, count)| (vec![("reason", reason.to_owned())], as_number(count))).to_vec()
    });
}
