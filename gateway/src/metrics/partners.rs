//! What is counted of each partner: the counters are made once, so that a message costs a look and two additions.

use std::time::Duration;

use causeway_shared::metrics::DELIVERY_SECONDS;
use causeway_shared::verdict::{Rung, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Whose message, where to, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DeliveryLabels {
    partner: String,
    to: &'static str,
    outcome: &'static str,
}

/// Whose message, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RoadLabels {
    partner: String,
    to: &'static str,
}

/// Why something was refused, by the catalogue's code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusalLabels {
    partner: String,
    code: &'static str,
}

impl RefusalLabels {
    /// Of a verdict that refuses by configuration or by a limit.
    pub(super) fn of(verdict: &Verdict, partner: &str) -> Option<Self> {
        let code = verdict.code.filter(|_| matches!(verdict.rung, Rung::Policy | Rung::Limits))?;
        Some(Self { partner: partner.to_owned(), code: code.as_str() })
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// To a SIP user.
    Sip,
    /// To a partner's user.
    Xmpp,
}

impl To {
    const ALL: [Self; 2] = [Self::Sip, Self::Xmpp];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Xmpp => "xmpp",
        }
    }
}

/// Delivery times, each with the same bounds.
pub(super) type Times = Family<RoadLabels, Histogram, fn() -> Histogram>;

pub(super) fn times() -> Times {
    Family::new_with_constructor(|| Histogram::new(DELIVERY_SECONDS))
}

/// The counters of one partner.
#[derive(Debug)]
pub(crate) struct PartnerCounts([Road; 2]);

#[derive(Debug)]
struct Road {
    delivered: Counter,
    refused: Counter,
    seconds: Histogram,
}

impl PartnerCounts {
    pub(super) fn new(partner: &str, deliveries: &Family<DeliveryLabels, Counter>, times: &Times) -> Self {
        Self(To::ALL.map(|to| {
            let (partner, to) = (partner.to_owned(), to.as_str());
            let count =
                |outcome| deliveries.get_or_create(&DeliveryLabels { partner: partner.clone(), to, outcome }).clone();
            let (delivered, refused) = (count("delivered"), count("refused"));
            Road { delivered, refused, seconds: times.get_or_create(&RoadLabels { partner, to }).clone() }
        }))
    }

    /// A message was delivered after so long.
    pub(crate) fn delivered(&self, to: To, after: Duration) {
        if let Some(road) = self.0.get(to as usize) {
            road.delivered.inc();
            road.seconds.observe(after.as_secs_f64());
        }
    }

    /// A message ended in an error.
    pub(crate) fn refused(&self, to: To) {
        if let Some(road) = self.0.get(to as usize) {
            road.refused.inc();
        }
    }
}
