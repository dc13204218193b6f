//! News for many pairs: a start, partners and rights that changed. Pairs in memory hear them at once, all others as the
//! store names them, page by page and a few at a time, so that the pool is not flooded.
//!
//! Where several gateways share the store, one of them reads a round ([`super::duties`]): which, the store decides for each
//! domain and occasion. A round that another one reads waits here until it is over, and is taken over if that one dies. It is
//! over when its last pair has been told: what was only read would be lost with whoever read it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_shared::domain::DomainName;

use super::crowd::Place;
use super::duties::{DutyCall, PAGE_LEASE, until_asked_again};
use super::pairs::{PairEvent, STORE_PAUSE};
use super::settings::Settings;
use super::{Engine, Now, Outputs, PROBE_RATE, ROUND_RATE, TELL_INTERVAL, TOLD_LATER};
use crate::presence::PairInput;
use crate::presence::record::{Pair, PairKey};
use crate::store::StoreError;
use crate::store::pool::Duty;

/// How often a round that is read, and whose pairs are not all told, is prolonged: three tries.
const PROLONG: Duration = Duration::from_secs(PAGE_LEASE.as_secs() / 4);

/// How often a gateway of a pool counts what there is: what others begin and end it does not see.
const COUNT_INTERVAL: Duration = Duration::from_secs(4 * 3_600);

/// Gateways that see a partner go, or come back, within the same such time mean the same occasion; whoever sees it later
/// tells it once more, which changes nothing.
const STREAM_OCCASION_MS: u64 = 600_000;

/// A reading of all records of a domain, page by page, to tell each pair something.
#[derive(Debug, Clone)]
pub struct Round {
    /// The domain.
    pub domain: DomainName,
    /// What its pairs are told.
    pub news: News,
}

/// What a pair is told by a [`Round`].
#[derive(Debug, Clone)]
pub enum News {
    /// The same as all others.
    All(PairInput),
    /// Whether its SIP user may reach partners, if these settings said otherwise.
    Access(Arc<Settings>),
    /// An edge died.
    Edge {
        /// Which of its processes.
        origin: u64,
        /// When, so that gateways which see it agree.
        occasion: Arc<str>,
    },
    /// Nothing: this gateway counts what there is.
    Count,
}

impl News {
    /// Whether it waits behind all others: it concerns many, and most of them do not need it.
    fn is_for_edge(&self) -> bool {
        matches!(self, Self::Edge { .. })
    }

    /// Whether what is read is counted, too.
    fn reads_all(&self) -> bool {
        matches!(self, Self::Count | Self::All(PairInput::Restart { .. }))
    }
}

impl Round {
    /// The duty of reading it, and the occasion, where several gateways share the store. News of the same kind are one duty:
    /// what came later makes an end of what was before. `None` if each gateway reads it for itself.
    fn duty(&self, occasion: &str, now: Now) -> Option<(String, String)> {
        let stream = |what| ("stream", format!("{what} {}", now.unix_ms / STREAM_OCCASION_MS));
        let (kind, token) = match &self.news {
            News::Count => return None,
            News::Access(_) => ("access", occasion.to_owned()),
            News::Edge { origin, occasion } => {
                // Of edges that die together gateways may hear in any order: none makes an end of the other.
                return Some((format!("round {} edge {origin:x}", self.domain), occasion.to_string()));
            }
            News::All(PairInput::StreamLost) => stream("lost"),
            News::All(PairInput::StreamBack) => stream("back"),
            News::All(input) => ("partner", format!("{occasion} {}", label(input))),
        };
        Some((format!("round {} {kind}", self.domain), token))
    }
}

fn label(input: &PairInput) -> &'static str {
    match input {
        PairInput::PartnerRemoved => "removed",
        PairInput::Restart { .. } => "again",
        _ => "changed",
    }
}

/// The rounds to come; the first one is being read.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    turns: VecDeque<Turn>,
    /// Whether the store has been asked for something of the first one.
    is_asked: bool,
    /// The duties of those that have been read and not yet told to all: one of each kind and domain.
    untold: Vec<(String, String)>,
    /// When to prolong them.
    prolong_at: Option<Instant>,
    /// When to count anew.
    pub(super) count_at: Option<Instant>,
}

#[derive(Debug)]
struct Turn {
    round: Round,
    /// The last pair that was read.
    after: Option<PairKey>,
    /// The duty and its occasion, if it is one.
    duty: Option<(String, String)>,
    is_mine: bool,
    /// When to ask for it again, while it is somebody else's.
    ask_at: Option<Instant>,
}

impl Rounds {
    /// A round that waits and will do what this one does: edges may die again and again, and a long round before them.
    fn covering(&mut self, round: &Round) -> Option<&mut Turn> {
        let under_way = usize::from(self.is_asked);
        self.turns.iter_mut().skip(under_way).find(|turn| {
            let are_for_edges = turn.round.news.is_for_edge() && round.news.is_for_edge();
            are_for_edges && turn.round.domain == round.domain && turn.after.is_none()
        })
    }

    /// Whether none waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

impl Engine {
    /// A round for whichever gateway takes it, behind those that wait already.
    pub(super) fn add_round(&mut self, round: Round, now: Now) {
        let duty = self.settings.occasion.as_deref().and_then(|occasion| round.duty(occasion, now));
        let is_mine = duty.is_none();
        if let Some((name, _)) = &duty {
            // What comes later makes an end of it.
            self.rounds.untold.retain(|(untold, _)| untold != name);
        }
        let turn = Turn { round, after: None, duty, is_mine, ask_at: None };
        match self.rounds.covering(&turn.round) {
            Some(waiting) => *waiting = turn,
            None => self.rounds.turns.push_back(turn),
        }
    }

    /// A round that is this gateway's and nobody else's.
    pub(super) fn add_own_round(&mut self, round: Round) {
        self.rounds.turns.push_back(Turn { round, after: None, duty: None, is_mine: true, ask_at: None });
    }

    /// Reads the store through: to take up what it says, if no gateway was there, else to count what there is.
    pub(super) fn begin(&mut self, is_first: bool, now: Now, out: &mut Outputs) {
        self.rounds.count_at = self.is_shared().then_some(now.instant + COUNT_INTERVAL);
        for domain in self.settings.partner_domains.clone() {
            let news =
                if is_first { News::All(PairInput::Restart { before_ms: self.started_ms }) } else { News::Count };
            self.add_own_round(Round { domain, news });
        }
        self.read_page(now, out);
    }

    /// Counts what there is, when it is time.
    pub(super) fn count_anew(&mut self, now: Now, out: &mut Outputs) {
        if self.rounds.count_at.is_some_and(|at| at <= now.instant) {
            self.begin(false, now, out);
        }
    }

    /// Asks for the next page of the first round whose time it is, if there is room.
    pub(super) fn read_page(&mut self, now: Now, out: &mut Outputs) {
        let Rounds { turns, is_asked, .. } = &mut self.rounds;
        if *is_asked || self.to_tell.len() >= TOLD_LATER {
            return;
        }
        let is_ready = |turn: &Turn| turn.ask_at.is_none_or(|at| at <= now.instant);
        let first = turns.iter().position(|turn| is_ready(turn) && !turn.round.news.is_for_edge());
        let for_edge = || turns.iter().position(is_ready).filter(|_| self.to_ask.is_empty());
        let Some(ready) = first.or_else(for_edge) else {
            // All of them are somebody else's just now.
            if let Some(at) = turns.iter().filter_map(|turn| turn.ask_at).min() {
                self.tell_next_at.get_or_insert(at);
            }
            return;
        };
        turns.rotate_left(ready);
        let Some(turn) = turns.front_mut() else { return };
        *is_asked = true;
        match &turn.duty {
            Some((duty, token)) if !turn.is_mine => {
                turn.ask_at = None;
                let (duty, token) = (duty.clone(), token.clone());
                out.duties.push(DutyCall::Claim { duty, token, lease: PAGE_LEASE });
            }
            Some(_) | None => out.pages.push((turn.round.clone(), turn.after.clone())),
        }
    }

    /// The store has said whose the first round is.
    pub(super) fn round_assigned(
        &mut self,
        duty: &str,
        token: &str,
        answer: &Result<Duty, StoreError>,
        now: Now,
        out: &mut Outputs,
    ) {
        let is_it = |turn: &&mut Turn| turn.duty.as_ref().is_some_and(|(name, of)| name == duty && of == token);
        let Some(turn) = self.rounds.turns.front_mut().filter(is_it) else { return };
        if turn.is_mine {
            // It was prolonged while its pages are read.
            return;
        }
        self.rounds.is_asked = false;
        match answer {
            Ok(Duty::Mine) => turn.is_mine = true,
            Ok(Duty::Elsewhere { until_ms }) => turn.ask_at = Some(now.instant + until_asked_again(*until_ms, now)),
            Ok(Duty::Done) => {
                self.rounds.turns.pop_front();
            }
            Err(_) => turn.ask_at = Some(now.instant + STORE_PAUSE),
        }
        self.read_page(now, out);
    }

    /// Brings time or a change to a stored pair. Its partner may have been removed since, or while no gateway ran, and
    /// its SIP user may have lost the right to reach partners.
    pub(super) fn tell_pair(&mut self, key: PairKey, input: PairInput, now: Now, out: &mut Outputs) {
        let is_partner = self.settings.partner(&key.remote.domain_name()).is_some();
        let input = match input {
            // Looks for itself.
            PairInput::Mend => input,
            PairInput::PartnerRemoved if is_partner => PairInput::PartnerChanged,
            _ if !is_partner => PairInput::PartnerRemoved,
            _ if !self.settings.may_federate(&key.local) => PairInput::AccessLost,
            input => input,
        };
        self.pair_event(key, PairEvent::quiet(input), now, out);
    }

    /// A page of a round: its pairs are told a few at a time, so that a start does not flood the pool.
    pub(super) fn page_read(
        &mut self,
        round: &Round,
        page: Result<Vec<Pair>, StoreError>,
        now: Now,
        out: &mut Outputs,
    ) {
        self.rounds.is_asked = false;
        let pairs = match page {
            Ok(pairs) => pairs,
            Err(error) => {
                // Asked again then.
                self.tell_next_at.get_or_insert(now.instant + STORE_PAUSE);
                return self.store_failed(&error, now, out);
            }
        };
        let Some(turn) = self.rounds.turns.front_mut() else { return };
        let duty = turn.duty.clone();
        let crowd = round.news.reads_all().then_some(&mut self.pairs.crowd);
        if let Some(crowd) = crowd {
            if turn.after.is_none() {
                crowd.begin(&round.domain);
            }
            pairs.iter().for_each(|pair| crowd.found(&pair.key, Place::of(pair)));
            if pairs.is_empty() {
                crowd.settle();
            }
        }
        match pairs.last() {
            Some(last) => {
                turn.after = Some(last.key.clone());
                out.duties.extend(duty.map(|(duty, token)| DutyCall::Claim { duty, token, lease: PAGE_LEASE }));
            }
            None => {
                self.rounds.turns.pop_front();
                if let Some((name, token)) = duty {
                    self.rounds.untold.retain(|(untold, _)| *untold != name);
                    self.rounds.untold.push((name, token));
                    self.rounds.prolong_at.get_or_insert(now.instant + PROLONG);
                }
                self.finish_told(now, out);
                return self.read_page(now, out);
            }
        }
        for pair in pairs {
            let input = match &round.news {
                News::All(input) => Some(input.clone()),
                News::Access(before) => self.change_of_access(before, &pair.key),
                News::Edge { .. } => {
                    self.to_ask.push_back(pair.key);
                    continue;
                }
                News::Count => None,
            };
            self.to_tell.extend(input.map(|input| (pair.key, input)));
        }
        self.tell_next_at.get_or_insert(now.instant);
        self.read_page(now, out);
    }

    pub(super) fn tell_next(&mut self, now: Now, out: &mut Outputs) {
        let mut pause = Duration::ZERO;
        while pause < TELL_INTERVAL
            && let Some((key, input)) = self.next_to_tell()
        {
            let rate = match input {
                PairInput::StreamBack | PairInput::EdgeLost => PROBE_RATE,
                _ => ROUND_RATE,
            };
            pause += Duration::from_secs(1) / rate;
            self.tell_pair(key, input, now, out);
        }
        self.tell_next_at = (pause > Duration::ZERO).then(|| now.instant + pause);
        self.finish_told(now, out);
        self.read_page(now, out);
    }

    fn next_to_tell(&mut self) -> Option<(PairKey, PairInput)> {
        let told = self.to_tell.pop_front();
        told.or_else(|| Some((self.to_ask.pop_front()?, PairInput::EdgeLost)))
    }

    /// Ends the duties of rounds whose pairs have all been told; as long as one waits, it keeps them.
    fn finish_told(&mut self, now: Now, out: &mut Outputs) {
        let Rounds { untold, prolong_at, .. } = &mut self.rounds;
        if self.to_tell.is_empty() {
            *prolong_at = None;
            out.duties.extend(untold.drain(..).map(|(duty, token)| DutyCall::Finish { duty, token }));
        } else if prolong_at.is_some_and(|at| at <= now.instant) {
            *prolong_at = Some(now.instant + PROLONG);
            let again = untold.iter().cloned();
            out.duties.extend(again.map(|(duty, token)| DutyCall::Claim { duty, token, lease: PAGE_LEASE }));
        }
    }

    /// Tells the pairs of partners whose type changed, who are partners no more, or again: those in memory at once, all
    /// others as the store names them.
    pub(super) fn partners_changed(&mut self, before: &Settings, now: Now, out: &mut Outputs) {
        let kind =
            |settings: &Settings, domain: &DomainName| settings.partner(domain).map(|partner| partner.partner_type);
        let mut domains: Vec<_> =
            before.partner_domains.iter().chain(&self.settings.partner_domains).cloned().collect();
        domains.sort_unstable();
        domains.dedup();
        for domain in &domains {
            let input = match (kind(before, domain), kind(&self.settings, domain)) {
                (was, is) if was == is => continue,
                (_, None) => PairInput::PartnerRemoved,
                (Some(_), Some(_)) => PairInput::PartnerChanged,
                (None, Some(_)) => PairInput::Restart { before_ms: now.unix_ms },
            };
            for key in self.pairs.records.keys_where(|key| key.remote.domain() == domain.as_str()) {
                self.pair_event(key, PairEvent::quiet(input.clone()), now, out);
            }
            self.add_round(Round { domain: domain.clone(), news: News::All(input) }, now);
        }
        self.read_page(now, out);
    }

    /// Tells the pairs of SIP users who may reach partners now and might not before, or the other way round.
    pub(super) fn access_changed(&mut self, before: &Arc<Settings>, now: Now, out: &mut Outputs) {
        if before.access == self.settings.access {
            return;
        }
        for key in self.pairs.records.keys_where(|key| self.change_of_access(before, key).is_some()) {
            if let Some(input) = self.change_of_access(before, &key) {
                self.tell_pair(key, input, now, out);
            }
        }
        for domain in self.settings.partner_domains.clone() {
            self.add_round(Round { domain, news: News::Access(Arc::clone(before)) }, now);
        }
        self.read_page(now, out);
    }

    fn change_of_access(&self, before: &Settings, key: &PairKey) -> Option<PairInput> {
        match (before.may_federate(&key.local), self.settings.may_federate(&key.local)) {
            (true, false) => Some(PairInput::AccessLost),
            (false, true) => Some(PairInput::AccessBack),
            (true, true) | (false, false) => None,
        }
    }
}
