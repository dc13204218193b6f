//! What both services count alike: a registry that knows what it holds, numbers that are looked up when somebody asks,
//! labels of partners, and the facts of a process.
//!
//! Every metric is registered with the names of its labels, so that the operators' chapter can be written from
//! [`Catalogue::described`], and a test can hold every dashboard, rule and page to it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Metric, Registry};

mod build;
mod partners;
mod process;

pub use build::register as register_build;
pub use partners::{OTHER, PerPartner, UNKNOWN};
pub use process::register as register_process;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name in the output ends in `_total`.
    Counter,
    /// It comes and goes.
    Gauge,
    /// Observations by size; in the output `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric, for whoever writes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// As queries call it.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: String,
}

/// A registry, and what is in it.
#[derive(Debug, Default)]
pub struct Catalogue {
    registry: Registry,
    described: Vec<Described>,
}

/// Labels and the number they have just now.
pub type Sample = (Vec<(&'static str, String)>, f64);

impl Catalogue {
    /// Adds a metric that is counted where it happens. Names of counters come without `_total`.
    pub fn register(&mut self, name: &str, help: &str, labels: &'static [&'static str], metric: impl Metric) {
        let kind = match metric.metric_type() {
            MetricType::Counter => Kind::Counter,
            MetricType::Histogram => Kind::Histogram,
            MetricType::Gauge | MetricType::Info | MetricType::Unknown => Kind::Gauge,
        };
        self.describe(name, help, kind, labels);
        self.registry.register(name, help, metric);
    }

    /// Adds a metric that is looked up when somebody asks for it.
    pub fn look_up(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
        look: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.describe(name, help, kind, labels);
        self.registry.register_collector(Box::new(LookedUp { name, help, kind, look: Box::new(look) }));
    }

    /// [`Self::look_up`] for a number without labels.
    pub fn look_up_one(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        look: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.look_up(name, help, kind, &[], move || vec![(Vec::new(), look())]);
    }

    fn describe(&mut self, name: &str, help: &str, kind: Kind, labels: &'static [&'static str]) {
        let name = if kind == Kind::Counter { format!("{name}_total") } else { name.to_owned() };
        self.described.push(Described { name, kind, labels, help: help.to_owned() });
    }

    /// All that is in it, in the order in which it came.
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// What answers for `/metrics`, and for `/metrics/catalogue`.
    pub fn into_parts(self) -> (Registry, Vec<Described>) {
        (self.registry, self.described)
    }
}

/// A metric that is looked up when somebody asks for it.
struct LookedUp {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    look: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl fmt::Debug for LookedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LookedUp({})", self.name)
    }
}

impl Collector for LookedUp {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let samples = (self.look)();
        if samples.is_empty() {
            return Ok(());
        }
        let kind = if self.kind == Kind::Counter { MetricType::Counter } else { MetricType::Gauge };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (labels, value) in &samples {
            let one = metric.encode_family(labels)?;
            match self.kind {
                Kind::Counter => ConstCounter::new(*value).encode(one)?,
                Kind::Gauge | Kind::Histogram => ConstGauge::new(*value).encode(one)?,
            }
        }
        Ok(())
    }
}

/// Seconds from one millisecond, which is a fast delivery, to a minute, behind which senders have been told.
pub const DELIVERY_SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn what_is_looked_up_is_told_with_its_labels_and_what_is_not_there_is_left_out() {
        let mut catalogue = Catalogue::default();
        let labels = vec![("partner", "fabrikam.example".to_owned())];
        catalogue.look_up("queue_seconds", "Age", Kind::Gauge, &["partner"], move || vec![(labels.clone(), 1.5)]);
        catalogue.look_up("none", "Nothing", Kind::Counter, &["partner"], Vec::new);
        catalogue.look_up_one("busy_seconds", "Busy", Kind::Counter, || 2.25);
        catalogue.register("stanzas", "Stanzas", &[], Counter::<u64>::default());
        let names: Vec<_> = catalogue.described().iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["queue_seconds", "none_total", "busy_seconds_total", "stanzas_total"]);
        let mut text = String::new();
        encode(&mut text, &catalogue.into_parts().0).unwrap();
        assert!(text.contains("queue_seconds{partner=\"fabrikam.example\"} 1.5\n"), "{text}");
        assert!(text.contains("busy_seconds_total{} 2.25\n"), "{text}");
        assert!(!text.contains("none"), "{text}");
    }
}
