//! Edges that died. What a partner had written to one and it had not read is lost, and so may be what it had sent and the
//! partner had not read; only a partner that counts (XEP-0198) knows. Of messages that is what a stream promises. Presence
//! is a state, and would stay wrong until it changes: so the users of each partner who was on that edge are asked for it,
//! and shown ours, once more. A partner who does not hear of the end, because the edge's machine died with it, writes into
//! the dead stream until he gives it up, the answers, too: when he turns to another edge, his users are asked again.
//!
//! From here an edge that died looks like one whose link broke. One that comes back as the same process has lost nothing.
//! A partner from whom nothing came, and to whom no presence went, since this gateway attached to the edge is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;

use super::{Engine, News, Now, Outputs, Round};
use crate::link::{EdgeProcess, Parting};

/// How long an edge may be gone before it is taken for dead: the first four attempts to attach again, a quarter of a
/// second to two seconds apart. Whoever heard of its end has turned to another edge by then, if he had anything to say.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);

/// How long a partner may write into a dead stream: Linux gives up after a quarter of an hour (`tcp_retries2`).
const TURN_PATIENCE: Duration = Duration::from_secs(1_200);

/// Dead edges that are remembered for that; the one that died first is forgotten before. Each has up to all partners, and an
/// edge that ends again and again is a new process each time.
const DEAD_KEPT: usize = 64;

/// Of two gateways that see an edge die in the same such time, one asks for both.
const OCCASION_MS: u64 = 60_000;

/// The edges that are attached, and those that were lost.
#[derive(Debug, Default)]
pub(super) struct Edges {
    /// Attachments to each process: an edge may have several addresses.
    attached: BTreeMap<u64, u32>,
    lost: BTreeMap<u64, Lost>,
}

/// A process of an edge that ended, or whose link broke.
#[derive(Debug, Default)]
struct Lost {
    name: String,
    partners: BTreeSet<DomainName>,
    /// Those of them who have come to another edge since.
    turned: BTreeSet<DomainName>,
    fate: Fate,
    /// The last occasion on which partners were asked for it.
    occasion: u64,
}

#[derive(Debug, Default)]
enum Fate {
    /// Its link is there again.
    #[default]
    Back,
    /// It may still come back.
    Gone { dead_at: Instant },
    /// It is taken for dead; partners who have not turned to another edge may not know.
    Dead { forget_at: Instant },
}

impl Lost {
    fn news(&self, origin: u64, when: &str) -> News {
        News::Edge { origin, occasion: format!("{} {when}", self.occasion).into() }
    }
}

impl Edges {
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.attached.is_empty() {
            // Nobody could be asked.
            return None;
        }
        let deadlines = self.lost.values().filter_map(|lost| match lost.fate {
            Fate::Back => None,
            Fate::Gone { dead_at: at } | Fate::Dead { forget_at: at } => Some(at),
        });
        deadlines.min()
    }

    #[cfg(test)]
    pub(super) fn dead(&self) -> usize {
        self.lost.len()
    }

    /// Forgets the dead that are too many.
    fn forget_first(&mut self) {
        let dead = self.lost.iter().filter_map(|(origin, lost)| match lost.fate {
            Fate::Dead { forget_at } => Some((forget_at, *origin)),
            Fate::Back | Fate::Gone { .. } => None,
        });
        let mut dead: Vec<_> = dead.collect();
        dead.sort_unstable();
        for (_, origin) in dead.iter().rev().skip(DEAD_KEPT) {
            self.lost.remove(origin);
        }
    }
}

impl Engine {
    /// An edge took this gateway in.
    pub(super) fn edge_came(&mut self, edge: &EdgeProcess) {
        *self.edges.attached.entry(edge.origin).or_default() += 1;
        if let Some(lost) = self.edges.lost.get_mut(&edge.origin) {
            // Who was there may still be there when it is lost next.
            lost.fate = Fate::Back;
        }
    }

    /// An attachment ended.
    pub(super) fn edge_went(&mut self, edge: &EdgeProcess, parting: Parting, now: Now) {
        let Edges { attached, lost } = &mut self.edges;
        let left = attached.get(&edge.origin).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(attached.remove(&edge.origin)),
            left => drop(attached.insert(edge.origin, left)),
        }
        match parting {
            Parting::InOrder if left == 0 => drop(lost.remove(&edge.origin)),
            Parting::InOrder => {}
            Parting::Lost(partners) => {
                let lost = lost.entry(edge.origin).or_default();
                lost.name.clone_from(&edge.name);
                lost.partners.extend(partners);
                if left == 0 {
                    lost.turned.clear();
                    lost.fate = Fate::Gone { dead_at: now.instant + RETURN_PATIENCE };
                }
            }
        }
    }

    /// Partners have opened streams to an edge.
    pub(super) fn partners_came(&mut self, origin: u64, domains: &[DomainName], now: Now, out: &mut Outputs) {
        let mut rounds = Vec::new();
        for (dead, lost) in self.edges.lost.iter_mut().filter(|(dead, _)| **dead != origin) {
            for domain in domains {
                match lost.fate {
                    Fate::Gone { .. } if lost.partners.contains(domain) => drop(lost.turned.insert(domain.clone())),
                    Fate::Dead { .. } if lost.partners.remove(domain) => {
                        rounds.push(Round { domain: domain.clone(), news: lost.news(*dead, "late") });
                    }
                    Fate::Back | Fate::Gone { .. } | Fate::Dead { .. } => {}
                }
            }
        }
        self.ask_anew(rounds, now, out);
    }

    /// Has the users of partners asked that were on edges which do not come back.
    pub(super) fn expire_edges(&mut self, now: Now, out: &mut Outputs) {
        if self.edges.deadline().is_none_or(|at| at > now.instant) {
            return;
        }
        let mut rounds = Vec::new();
        self.edges.lost.retain(|origin, lost| match lost.fate {
            Fate::Gone { dead_at } if dead_at <= now.instant => {
                let (edge, partners) = (&lost.name, lost.partners.len());
                tracing::info!(edge, partners, "an edge does not come back: presence is asked for and shown anew");
                lost.occasion = (now.unix_ms / OCCASION_MS).max(lost.occasion + 1);
                let news = lost.news(*origin, "at once");
                let round = |domain: &DomainName| Round { domain: domain.clone(), news: news.clone() };
                rounds.extend(lost.partners.iter().map(round));
                for turned in std::mem::take(&mut lost.turned) {
                    lost.partners.remove(&turned);
                }
                lost.fate = Fate::Dead { forget_at: now.instant + TURN_PATIENCE };
                true
            }
            Fate::Dead { forget_at } => forget_at > now.instant,
            Fate::Back | Fate::Gone { .. } => true,
        });
        self.edges.forget_first();
        self.ask_anew(rounds, now, out);
    }

    fn ask_anew(&mut self, rounds: Vec<Round>, now: Now, out: &mut Outputs) {
        if rounds.is_empty() {
            return;
        }
        for round in rounds {
            self.add_round(round, now);
        }
        self.read_page(now, out);
    }
}
