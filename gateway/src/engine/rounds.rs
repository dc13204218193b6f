//! News for many pairs: a start, partners and rights that changed. Pairs in memory hear them at once, all others as the
//! store names them, page by page and one after the other, so that the pool is not flooded.

use std::sync::Arc;
use std::time::Duration;

use causeway_shared::domain::DomainName;

use super::crowd::Place;
use super::pairs::{PairEvent, STORE_PAUSE};
use super::settings::Settings;
use super::{Engine, News, Now, Outputs, PROBE_RATE, ROUND_RATE, Round, TOLD_LATER};
use crate::presence::PairInput;
use crate::presence::record::{Pair, PairKey};
use crate::store::StoreError;

impl Engine {
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

    /// Asks for the next page of the first round, if it is wanted and there is room.
    pub(super) fn read_page(&mut self, out: &mut Outputs) {
        if self.is_page_asked || self.to_tell.len() >= TOLD_LATER {
            return;
        }
        if let Some(next) = self.rounds.front() {
            self.is_page_asked = true;
            out.pages.push(next.clone());
        }
    }

    /// A page of a round: its pairs are told one after the other, so that a start does not flood the pool.
    pub(super) fn page_read(
        &mut self,
        round: &Round,
        page: Result<Vec<Pair>, StoreError>,
        now: Now,
        out: &mut Outputs,
    ) {
        self.is_page_asked = false;
        let pairs = match page {
            Ok(pairs) => pairs,
            Err(error) => {
                // Asked again then.
                self.tell_next_at.get_or_insert(now.instant + STORE_PAUSE);
                return self.store_failed(&error, now, out);
            }
        };
        let Some((_, after)) = self.rounds.front_mut() else { return };
        match pairs.last() {
            Some(last) => *after = Some(last.key.clone()),
            None => {
                self.rounds.pop_front();
                return self.read_page(out);
            }
        }
        for pair in pairs {
            let input = match &round.news {
                News::All(input) => Some(input.clone()),
                News::Access(before) => self.change_of_access(before, &pair.key),
            };
            if matches!(input, Some(PairInput::Restart)) {
                self.pairs.crowd.count(&pair.key, Place::default(), Place::of(&pair));
            }
            self.to_tell.extend(input.map(|input| (pair.key, input)));
        }
        self.tell_next_at.get_or_insert(now.instant);
        self.read_page(out);
    }

    pub(super) fn tell_next(&mut self, now: Now, out: &mut Outputs) {
        self.tell_next_at = match self.to_tell.pop_front() {
            Some((key, input)) => {
                let rate = match input {
                    PairInput::StreamBack => PROBE_RATE,
                    _ => ROUND_RATE,
                };
                self.tell_pair(key, input, now, out);
                Some(now.instant + Duration::from_secs(1) / rate)
            }
            None => None,
        };
        self.read_page(out);
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
                (None, Some(_)) => PairInput::Restart,
            };
            for key in self.pairs.records.keys_where(|key| key.remote.domain() == domain.as_str()) {
                self.pair_event(key, PairEvent::quiet(input.clone()), now, out);
            }
            self.rounds.push_back((Round { domain: domain.clone(), news: News::All(input) }, None));
        }
        self.read_page(out);
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
        let domains = self.settings.partner_domains.iter().cloned();
        let rounds = domains.map(|domain| (Round { domain, news: News::Access(Arc::clone(before)) }, None));
        self.rounds.extend(rounds);
        self.read_page(out);
    }

    fn change_of_access(&self, before: &Settings, key: &PairKey) -> Option<PairInput> {
        match (before.may_federate(&key.local), self.settings.may_federate(&key.local)) {
            (true, false) => Some(PairInput::AccessLost),
            (false, true) => Some(PairInput::AccessBack),
            (true, true) | (false, false) => None,
        }
    }
}
