//! What the edge counts. A metric is born here and counted beside the decision; labels come from closed sets.

use std::sync::Arc;

use causeway_shared::metrics::{Catalogue, PerPartner, UNKNOWN};
use causeway_shared::verdict::Rung;
use causeway_shared::verdict::labels::PartnerLabels;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use self::partners::StanzaLabels;

use crate::stream::identity::Proof;
use crate::verdict::Verdict;

mod partners;
mod standing;

pub use partners::{PartnerCounts, StanzaEnd};
pub use standing::register as register_standing;

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

/// Where an attempt at a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    partner: String,
    direction: &'static str,
    rung: &'static str,
}

/// The rung behind the last.
const ESTABLISHED: &str = "established";

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
    handshakes: Family<HandshakeLabels, Counter>,
    stanzas: Family<StanzaLabels, Counter>,
    by_partner: Arc<PerPartner<PartnerCounts>>,
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
    /// Makes the metrics known to a catalogue.
    pub fn register(&self, catalogue: &mut Catalogue) {
        let mut add = |name: &str, help: &str, counter: &Counter| catalogue.register(name, help, &[], counter.clone());
        add("causeway_edge_stanzas_in", "Stanzas handed to the link", &self.stanzas_in);
        add("causeway_edge_stanzas_out", "Stanzas written to partners", &self.stanzas_out);
        add("causeway_edge_stanzas_failed", "Stanzas not delivered to partners", &self.stanzas_failed);
        add("causeway_edge_throttled", "Pauses in reading streams over their rate", &self.throttled);
        let help = "Dialback answers that nobody asked for";
        add("causeway_edge_dialback_unsolicited", help, &self.unsolicited_dialback);
        let help = "Stanzas by partner, direction, kind, and what became of them at the edge";
        let labels: &[&str] = &["partner", "direction", "kind", "outcome"];
        catalogue.register("causeway_edge_stanzas", help, labels, self.stanzas.clone());
        let help = "Attempts at streams, by the rung where they ended; `established` if they did not fail";
        let labels: &[&str] = &["partner", "direction", "rung"];
        catalogue.register("causeway_edge_handshakes", help, labels, self.handshakes.clone());
        catalogue.register("causeway_edge_connections", "Connections now", &["direction"], self.connections.clone());
        let labels: &[&str] = &["direction", "method"];
        catalogue.register("causeway_edge_streams_authenticated", "Pairs authenticated", labels, self.streams.clone());
        let labels: &[&str] = &["direction", "rung", "side", "partner"];
        let help = "Attempts that failed or were refused";
        catalogue.register("causeway_edge_verdicts", help, labels, self.verdicts.clone());
        let help = "Connections not taken";
        catalogue.register("causeway_edge_connections_refused", help, &["reason"], self.refused.clone());
        let help = "Certificates believed, and why";
        catalogue.register("causeway_edge_certificates_proved", help, &["direction", "proof"], self.proofs.clone());
        let help = "Time until our own certificates end";
        let name = "causeway_edge_certificate_left_seconds";
        catalogue.register(name, help, &["certificate"], self.certificates.clone());
    }

    /// The counters of a partner, by its primary domain; of nobody's domain without one.
    pub fn of_partner(&self, partner: Option<&str>) -> Arc<PartnerCounts> {
        let partner = partner.unwrap_or(UNKNOWN);
        self.by_partner.of(partner, |label| PartnerCounts::new(label, &self.stanzas))
    }

    /// A connection began (1) or ended (-1).
    pub fn connection(&self, direction: &'static str, change: i64) {
        self.connections.get_or_create(&DirectionLabel { direction }).inc_by(change);
    }

    /// A pair of a partner was authenticated.
    pub fn authenticated(&self, direction: &'static str, method: &'static str, partner: &str) {
        self.streams.get_or_create(&StreamLabels { direction, method }).inc();
        let partner = self.partners.label(partner).to_owned();
        self.handshakes.get_or_create(&HandshakeLabels { partner, direction, rung: ESTABLISHED }).inc();
    }

    /// A verdict was given.
    pub fn verdict(&self, verdict: &Verdict) {
        let labels = VerdictLabels {
            direction: verdict.direction.as_str(),
            rung: verdict.rung.as_str(),
            side: verdict.side.as_str(),
            partner: self.partners.of(verdict),
        };
        if is_about_streams(verdict.rung) {
            let VerdictLabels { direction, rung, ref partner, .. } = labels;
            self.handshakes.get_or_create(&HandshakeLabels { partner: partner.clone(), direction, rung }).inc();
        }
        self.verdicts.get_or_create(&labels).inc();
    }

    /// A certificate proved a domain.
    pub fn proved(&self, direction: &'static str, proof: Proof) {
        self.proofs.get_or_create(&ProofLabels { direction, proof: proof.as_str() }).inc();
    }

    /// The seconds that are left of our certificates; others are forgotten.
    pub fn certificates(&self, certificates: impl Iterator<Item = (String, i64)>) {
        self.certificates.clear();
        for (certificate, seconds) in certificates {
            self.certificates.get_or_create(&CertificateLabel { certificate }).set(seconds);
        }
    }

    /// A connection was not taken.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// Whether a verdict of this rung ends an attempt at a stream.
const fn is_about_streams(rung: Rung) -> bool {
    match rung {
        Rung::Resolve
        | Rung::Connect
        | Rung::Tls
        | Rung::Chain
        | Rung::Name
        | Rung::KeyUsage
        | Rung::Mechanisms
        | Rung::Sasl
        | Rung::Dialback
        | Rung::Policy
        | Rung::Limits
        | Rung::Stream => true,
        Rung::Link | Rung::Stanza | Rung::Translation | Rung::Sip | Rung::Store => false,
    }
}
