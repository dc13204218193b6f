//! What the edge counts. A metric is born here and counted beside the decision; labels come from closed sets.

use std::fmt;
use std::sync::Arc;

use causeway_shared::verdict::labels::PartnerLabels;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tokio::runtime::RuntimeMetrics;

use crate::stream::identity::Proof;
use crate::verdict::Verdict;

/// One label with its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectionLabel {
    direction: &'static str,
}

/// How a stream was authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamLabels {
    direction: &'static str,
    method: &'static str,
}

/// Where an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabels {
    direction: &'static str,
    rung: &'static str,
    side: &'static str,
    partner: String,
}

/// Why a connection was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    reason: &'static str,
}

/// What made us believe a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProofLabels {
    direction: &'static str,
    proof: &'static str,
}

/// One of our certificates, by its first name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabel {
    certificate: String,
}

/// The edge's metrics; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    connections: Family<DirectionLabel, Gauge>,
    streams: Family<StreamLabels, Counter>,
    verdicts: Family<VerdictLabels, Counter>,
    refused: Family<ReasonLabel, Counter>,
    /// The partners that have labels of their own.
    partners: Arc<PartnerLabels>,
    proofs: Family<ProofLabels, Counter>,
    certificates: Family<CertificateLabel, Gauge>,
    /// Stanzas handed to the link.
    pub stanzas_in: Counter,
    /// Stanzas written to partners.
    pub stanzas_out: Counter,
    /// Stanzas for partners that were not delivered.
    pub stanzas_failed: Counter,
    /// Pauses in reading streams that are over their rate.
    pub throttled: Counter,
    /// Dialback answers that nobody asked for.
    pub unsolicited_dialback: Counter,
}

impl Metrics {
    /// Makes the metrics known to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("causeway_edge");
        registry.register("connections", "Connections now", self.connections.clone());
        registry.register("streams_authenticated", "Pairs authenticated", self.streams.clone());
        registry.register("verdicts", "Attempts that failed or were refused", self.verdicts.clone());
        registry.register("connections_refused", "Connections not taken", self.refused.clone());
        registry.register("certificates_proved", "Certificates believed, and why", self.proofs.clone());
        registry.register("certificate_days_left", "Days until our own certificates end", self.certificates.clone());
        registry.register("stanzas_in", "Stanzas handed to the link", self.stanzas_in.clone());
        registry.register("stanzas_out", "Stanzas written to partners", self.stanzas_out.clone());
        registry.register("stanzas_failed", "Stanzas not delivered to partners", self.stanzas_failed.clone());
        registry.register("throttled", "Pauses in reading streams over their rate", self.throttled.clone());
        registry.register(
            "dialback_unsolicited",
            "Dialback answers that nobody asked for",
            self.unsolicited_dialback.clone(),
        );
    }

    /// A connection began (1) or ended (-1).
    pub fn connection(&self, direction: &'static str, change: i64) {
        self.connections.get_or_create(&DirectionLabel { direction }).inc_by(change);
    }

    /// A pair was authenticated.
    pub fn authenticated(&self, direction: &'static str, method: &'static str) {
        self.streams.get_or_create(&StreamLabels { direction, method }).inc();
    }

    /// A verdict was given.
    pub fn verdict(&self, verdict: &Verdict) {
        let labels = VerdictLabels {
            direction: verdict.direction.as_str(),
            rung: verdict.rung.as_str(),
            side: verdict.side.as_str(),
            partner: self.partners.of(verdict),
        };
        self.verdicts.get_or_create(&labels).inc();
    }

    /// A certificate proved a domain.
    pub fn proved(&self, direction: &'static str, proof: Proof) {
        self.proofs.get_or_create(&ProofLabels { direction, proof: proof.as_str() }).inc();
    }

    /// The days that are left of our certificates; others are forgotten.
    pub fn certificates(&self, certificates: impl Iterator<Item = (String, i64)>) {
        self.certificates.clear();
        for (certificate, days) in certificates {
            self.certificates.get_or_create(&CertificateLabel { certificate }).set(days);
        }
    }

    /// A connection was not taken.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// The tasks of the runtime that are alive, looked at when somebody asks: one for each connection and pair with something
/// to say, and a few more. A number that only grows is a leak.
#[derive(Debug)]
pub struct Tasks(pub RuntimeMetrics);

impl Collector for Tasks {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(i64::try_from(self.0.num_alive_tasks()).unwrap_or(i64::MAX));
        let metric = encoder.encode_descriptor("causeway_edge_tasks", "Tasks alive", None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}
