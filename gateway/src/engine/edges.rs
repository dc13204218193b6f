//! Edges that died. What a partner had written to one and it had not read is lost, and so may be what it had sent and the
//! partner had not read; only a partner that counts (XEP-0198) knows. Of messages that is what a stream promises. Presence
//! is a state, and would stay wrong until it changes: so the users of each partner who was on that edge are asked for it,
//! and shown ours, once more.
//!
//! From here an edge that died looks like one whose link broke. One that comes back as the same process has lost nothing.
//! A partner from whom nothing came, and to whom no presence went, since this gateway attached to the edge is not known.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;

use super::{Engine, News, Now, Outputs, Round};
use crate::link::{EdgeProcess, Parting};

/// How long an edge may be gone before it is taken for dead: the first four attempts to attach again, a quarter of a
/// second to two seconds apart. By then partners have turned to another edge, too.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);

/// Of two gateways that see an edge die in the same such time, one asks for both.
const OCCASION_MS: u64 = 60_000;

/// The edges that are gone or have been, by their processes, as long as nobody was asked for them.
#[derive(Debug, Default)]
pub(super) struct Edges {
    lost: HashMap<u64, Lost>,
}

#[derive(Debug, Default)]
struct Lost {
    partners: BTreeSet<DomainName>,
    /// When it is taken for dead, unless it is back.
    dead_at: Option<Instant>,
}

impl Edges {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lost.values().filter_map(|lost| lost.dead_at).min()
    }

    fn dead(&mut self, now: Instant) -> Vec<(u64, Lost)> {
        self.lost.extract_if(|_, lost| lost.dead_at.is_some_and(|at| at <= now)).collect()
    }
}

impl Engine {
    pub(super) fn edge_came(&mut self, edge: &EdgeProcess) {
        if let Some(lost) = self.edges.lost.get_mut(&edge.origin) {
            // Who was there may still be there when it is lost next.
            lost.dead_at = None;
        }
    }

    pub(super) fn edge_went(&mut self, edge: &EdgeProcess, parting: Parting, now: Now) {
        match parting {
            Parting::InOrder => drop(self.edges.lost.remove(&edge.origin)),
            Parting::Lost(partners) => {
                let lost = self.edges.lost.entry(edge.origin).or_default();
                lost.partners.extend(partners);
                lost.dead_at = Some(now.instant + RETURN_PATIENCE);
            }
        }
    }

    /// Has the users of partners asked that were on edges which do not come back.
    pub(super) fn expire_edges(&mut self, now: Now, out: &mut Outputs) {
        let dead = self.edges.dead(now.instant);
        if dead.is_empty() {
            return;
        }
        for (origin, Lost { partners, .. }) in dead {
            let occasion: Arc<str> = format!("{origin:x} {}", now.unix_ms / OCCASION_MS).into();
            tracing::info!(
                partners = partners.len(),
                "an edge does not come back: presence is asked for and shown anew"
            );
            for domain in partners {
                self.add_round(Round { domain, news: News::Edge(Arc::clone(&occasion)) }, now);
            }
        }
        self.read_page(now, out);
    }
}
