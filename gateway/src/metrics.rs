//! What the gateway counts. Label sets are closed, so cardinality is bounded; hot counters are plain atomics.

use std::sync::Arc;
use std::time::Duration;

use causeway_shared::domain::DomainName;
use causeway_shared::link::StanzaKind;
use causeway_shared::metrics::{Catalogue, Kind, PerPartner, register_build, register_process};
use causeway_shared::verdict::Verdict;
use causeway_shared::verdict::labels::PartnerLabels;
use causeway_sip::method::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::iq::Reply;
use crate::presence::drift::Drift;
use crate::translate::message_stanza::Encryption;
use crate::verdicts::News;

mod certificates;
mod engine;
mod partners;
mod presence;
mod standing;
mod store;

pub use certificates::Certificates;
pub use engine::EngineMetrics;
pub(crate) use engine::Turn;
pub(crate) use partners::To;
use partners::{DeliveryLabels, PartnerCounts, RefusalLabels, Times};
use presence::Staleness;
pub use standing::{InForce as SettingsInForce, register as register_standing};
pub use store::StoreMetrics;

/// Labels of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    rung: &'static str,
    side: &'static str,
    service: &'static str,
    partner: String,
}

/// Labels of a mended record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DriftLabels {
    kind: &'static str,
}

/// Labels of an answered iq.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IqLabels {
    topic: &'static str,
    outcome: &'static str,
}

/// Labels of an encrypted message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EncryptionLabels {
    method: &'static str,
}

/// Delivery times with their bounds.
#[derive(Debug)]
struct DeliveryTimes(Times);

impl Default for DeliveryTimes {
    fn default() -> Self {
        Self(partners::times())
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    messages_in: Counter,
    presences_in: Counter,
    iqs_in: Counter,
    sip_messages_in: Counter,
    sip_subscribes_in: Counter,
    sip_notifies_in: Counter,
    sip_invites_in: Counter,
    sessions_opened: Counter,
    sessions_accepted: Counter,
    sessions: Gauge,
    msrp_connections: Gauge,
    to_sip: Counter,
    to_xmpp: Counter,
    refused: Counter,
    late_errors: Counter,
    archived: Counter,
    archive_lost: Counter,
    encrypted: Family<EncryptionLabels, Counter>,
    notifies_out: Counter,
    presences_out: Counter,
    sip_refused: Counter,
    echoes: Counter,
    iqs_answered: Family<IqLabels, Counter>,
    drifts: Family<DriftLabels, Counter>,
    verdicts: Family<VerdictLabels, Counter>,
    redelivered: Counter,
    deliveries: Family<DeliveryLabels, Counter>,
    times: DeliveryTimes,
    refusals: Family<RefusalLabels, Counter>,
    by_partner: PerPartner<PartnerCounts>,
    staleness: Arc<Staleness>,
    /// The store's calls.
    pub store: Arc<StoreMetrics>,
    /// The engine's turns.
    pub engine: Arc<EngineMetrics>,
    /// The partners that have labels of their own.
    partners: PartnerLabels,
}

impl Metrics {
    /// Counters, registered under their names.
    pub fn register(catalogue: &mut Catalogue) -> Self {
        let metrics = Self::default();
        let mut add = |name: &str, help: &str, counter: &Counter| catalogue.register(name, help, &[], counter.clone());
        add("causeway_messages_received", "Message stanzas received from edges", &metrics.messages_in);
        add("causeway_presences_received", "Presence stanzas received from edges", &metrics.presences_in);
        add("causeway_iqs_received", "Iq stanzas received from edges", &metrics.iqs_in);
        let help = "Stanzas received that another gateway may have worked on";
        add("causeway_stanzas_redelivered", help, &metrics.redelivered);
        add("causeway_sip_messages_received", "MESSAGE requests received", &metrics.sip_messages_in);
        add("causeway_sip_subscribes_received", "SUBSCRIBE requests received", &metrics.sip_subscribes_in);
        add("causeway_sip_notifies_received", "NOTIFY requests received", &metrics.sip_notifies_in);
        add("causeway_sip_invites_received", "INVITE requests received", &metrics.sip_invites_in);
        add("causeway_sessions_opened", "Chat sessions that this gateway asked the pool for", &metrics.sessions_opened);
        add("causeway_sessions_accepted", "Chat sessions of the pool that were accepted", &metrics.sessions_accepted);
        add("causeway_messages_delivered_to_sip", "Messages that SIP answered with 2xx", &metrics.to_sip);
        add("causeway_messages_delivered_to_xmpp", "Messages written to partners", &metrics.to_xmpp);
        add("causeway_messages_refused", "Messages that ended in an error", &metrics.refused);
        add("causeway_late_errors", "Errors of partners for messages accepted before", &metrics.late_errors);
        add("causeway_messages_archived", "Messages kept in the archive", &metrics.archived);
        let help = "Messages that should be in the archive and are not, because the store was too slow or failed";
        add("causeway_archive_lost", help, &metrics.archive_lost);
        add("causeway_notifies_sent", "NOTIFY requests sent", &metrics.notifies_out);
        add("causeway_presences_sent", "Presence stanzas sent", &metrics.presences_out);
        add("causeway_sip_refused", "SIP requests refused before they had a meaning", &metrics.sip_refused);
        add("causeway_echoes", "Messages that the echo contact sent back", &metrics.echoes);
        metrics.register_families(catalogue);
        metrics.store.register(catalogue);
        metrics.engine.register(catalogue);
        register_build(catalogue);
        register_process(catalogue);
        metrics
    }

    fn register_families(&self, catalogue: &mut Catalogue) {
        let help = "Messages by partner, where to, and what became of them";
        catalogue.register("causeway_deliveries", help, &["partner", "to", "outcome"], self.deliveries.clone());
        let help = "Time from a message's arrival at the gateway to the other side's word that it has it";
        catalogue.register("causeway_delivery_seconds", help, &["partner", "to"], self.times.0.clone());
        let help = "Refusals by configuration or by a limit, by the code of the verdict";
        catalogue.register("causeway_policy_refusals", help, &["partner", "code"], self.refusals.clone());
        let help = "Iq requests answered, by what they asked and whether with a result";
        catalogue.register("causeway_iqs_answered", help, &["topic", "outcome"], self.iqs_answered.clone());
        let help = "Messages refused because only their recipient's client could read them";
        catalogue.register("causeway_messages_encrypted", help, &["method"], self.encrypted.clone());
        catalogue.register("causeway_sessions", "Chat sessions that are there now", &[], self.sessions.clone());
        let help = "Connections of MSRP that are there now, in both directions";
        catalogue.register("causeway_msrp_connections", help, &[], self.msrp_connections.clone());
        let help = "Records of the store that had drifted and were mended, by kind";
        catalogue.register("causeway_drift_mended", help, &["kind"], self.drifts.clone());
        let help = "Refusals and failures by rung, side and partner";
        catalogue.register("causeway_verdicts", help, &["rung", "side", "service", "partner"], self.verdicts.clone());
        let staleness = Arc::clone(&self.staleness);
        let help = "By how much the oldest presence record that was due last came late";
        catalogue
            .look_up("causeway_presence_overdue_seconds", help, Kind::Gauge, &["partner"], move || staleness.samples());
    }

    /// The counters of a partner, by its primary domain.
    pub(crate) fn of_partner(&self, partner: &DomainName) -> Arc<PartnerCounts> {
        let make = |label: &str| PartnerCounts::new(label, &self.deliveries, &self.times.0);
        self.by_partner.of(partner.as_str(), make)
    }

    /// The store has given what is due: whose, and since how many milliseconds.
    pub(crate) fn presence_claimed<'p>(&self, due: impl Iterator<Item = (&'p str, u64)>) {
        self.staleness.claimed(due);
    }

    pub(crate) fn stanza_redelivered(&self) {
        self.redelivered.inc();
    }

    pub(crate) fn stanza_in(&self, kind: StanzaKind) {
        match kind {
            StanzaKind::Message => self.messages_in.inc(),
            StanzaKind::Presence => self.presences_in.inc(),
            StanzaKind::Iq => self.iqs_in.inc(),
        };
    }

    pub(crate) fn request_in(&self, method: &Method) {
        match method {
            Method::Message => self.sip_messages_in.inc(),
            Method::Subscribe => self.sip_subscribes_in.inc(),
            Method::Notify => self.sip_notifies_in.inc(),
            Method::Invite => self.sip_invites_in.inc(),
            _ => 0,
        };
    }

    pub(crate) fn sessions(&self, count: usize) {
        self.sessions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn msrp_connections(&self, count: usize) {
        self.msrp_connections.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn session_opened(&self) {
        self.sessions_opened.inc();
    }

    pub(crate) fn session_accepted(&self) {
        self.sessions_accepted.inc();
    }

    /// A partner's message was taken by a SIP user's device, or by who promises it.
    pub(crate) fn message_to_sip_delivered(&self, partner: &DomainName, after: Duration) {
        self.to_sip.inc();
        self.of_partner(partner).delivered(To::Sip, after);
    }

    /// A SIP user's message was written to a partner.
    pub(crate) fn message_to_xmpp_delivered(&self, partner: &DomainName, after: Duration) {
        self.to_xmpp.inc();
        self.of_partner(partner).delivered(To::Xmpp, after);
    }

    /// A message of a partner's user, or to one, ended in an error; without a partner nobody's domain asked.
    pub(crate) fn message_refused(&self, partner: Option<&DomainName>, to: To) {
        self.refused.inc();
        if let Some(partner) = partner {
            self.of_partner(partner).refused(to);
        }
    }

    pub(crate) fn message_encrypted(&self, encryption: Encryption) {
        let method = match encryption {
            Encryption::Omemo => "omemo",
            Encryption::OpenPgp => "openpgp",
            Encryption::LegacyPgp => "pgp",
            Encryption::Otr => "otr",
            Encryption::Other => "other",
        };
        self.encrypted.get_or_create(&EncryptionLabels { method }).inc();
    }

    pub(crate) fn late_error(&self) {
        self.late_errors.inc();
    }

    pub(crate) fn notify_out(&self) {
        self.notifies_out.inc();
    }

    pub(crate) fn presence_to_xmpp(&self) {
        self.presences_out.inc();
    }

    pub(crate) fn drift_mended(&self, drift: Drift) {
        self.drifts.get_or_create(&DriftLabels { kind: drift.as_str() }).inc();
    }

    #[cfg(test)]
    pub(crate) fn drifts_mended(&self, drift: Drift) -> u64 {
        self.drifts.get_or_create(&DriftLabels { kind: drift.as_str() }).get()
    }

    pub(crate) fn sip_refused(&self) {
        self.sip_refused.inc();
    }

    pub(crate) fn echoed(&self) {
        self.echoes.inc();
    }

    pub(crate) fn iq_answered(&self, reply: &Reply) {
        let outcome = if reply.is_result { "result" } else { "error" };
        self.iqs_answered.get_or_create(&IqLabels { topic: reply.topic.as_str(), outcome }).inc();
    }

    /// Messages are in the archive.
    pub(crate) fn archived(&self, messages: u64) {
        self.archived.inc_by(messages);
    }

    /// Messages should be in the archive and are not.
    pub(crate) fn archive_lost(&self, messages: u64) {
        self.archive_lost.inc_by(messages);
    }

    /// How many messages are in the archive since the start, and how many should be and are not.
    pub fn archive_counts(&self) -> (u64, u64) {
        (self.archived.get(), self.archive_lost.get())
    }

    /// A verdict of this gateway.
    pub(crate) fn verdict(&self, verdict: &Verdict) {
        self.count(verdict, "gateway", 1);
    }

    /// Verdicts that an edge sent.
    pub(crate) fn edge_verdicts(&self, verdicts: &[News]) {
        verdicts.iter().for_each(|(verdict, count)| self.count(verdict, "edge", *count));
    }

    fn count(&self, verdict: &Verdict, service: &'static str, count: u32) {
        let partner = self.partners.of(verdict);
        if let Some(labels) = RefusalLabels::of(verdict, &partner) {
            self.refusals.get_or_create(&labels).inc_by(count.into());
        }
        let labels = VerdictLabels { rung: verdict.rung.as_str(), side: verdict.side.as_str(), service, partner };
        self.verdicts.get_or_create(&labels).inc_by(count.into());
    }
}
