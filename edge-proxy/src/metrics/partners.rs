//! What is counted of each partner's stanzas: the counters are made once, so that a stanza costs an addition.

use causeway_shared::link::StanzaKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Whose, where to, what, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StanzaLabels {
    partner: String,
    direction: &'static str,
    kind: &'static str,
    outcome: &'static str,
}

/// What became of a stanza at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StanzaEnd {
    /// A partner's was handed to the link.
    Accepted,
    /// A partner's was taken by no gateway, and answered here.
    Untaken,
    /// One for a partner was written to it, and acknowledged where it counts.
    Delivered,
    /// One for a partner was not delivered; its sender hears why.
    Failed,
}

impl StanzaEnd {
    const ALL: [Self; 4] = [Self::Accepted, Self::Untaken, Self::Delivered, Self::Failed];

    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Accepted => ("in", "accepted"),
            Self::Untaken => ("in", "untaken"),
            Self::Delivered => ("out", "delivered"),
            Self::Failed => ("out", "failed"),
        }
    }
}

/// The kinds, in the order of [`place`].
const KINDS: [StanzaKind; 3] = [StanzaKind::Message, StanzaKind::Presence, StanzaKind::Iq];

const fn place(kind: StanzaKind) -> usize {
    match kind {
        StanzaKind::Message => 0,
        StanzaKind::Presence => 1,
        StanzaKind::Iq => 2,
    }
}

/// The counters of one partner.
#[derive(Debug)]
pub struct PartnerCounts([[Counter; 3]; 4]);

impl PartnerCounts {
    pub(super) fn new(label: &str, stanzas: &Family<StanzaLabels, Counter>) -> Self {
        Self(StanzaEnd::ALL.map(|end| {
            let (direction, outcome) = end.labels();
            KINDS.map(|kind| {
                let labels = StanzaLabels { partner: label.to_owned(), direction, kind: kind.as_str(), outcome };
                stanzas.get_or_create(&labels).clone()
            })
        }))
    }

    /// A stanza has come to this.
    pub fn count(&self, kind: StanzaKind, end: StanzaEnd) {
        let row = self.0.get(end as usize);
        row.and_then(|row| row.get(place(kind))).map(Counter::inc);
    }
}
