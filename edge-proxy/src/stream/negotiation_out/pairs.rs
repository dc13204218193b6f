//! Further pairs on an established stream (XEP-0220, section 2.6): each proves itself by dialback.
//!
//! SASL covers one pair only; a further one is normally answered by certificate at once. Other remote domains come only
//! where the peer announced dialback errors, for without them one refusal would end the stream for all, and where the
//! stream is no weaker than one of their own could be.

use std::time::Instant;

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::partner::Negotiation;
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use super::element::not_verified;
use super::{Failure, Goal, Initiating, Next, Output, Security, State, failure, send};
use crate::policy::Moment;
use crate::stream::Method;
use crate::stream::dialback::{self, Answer};
use crate::verdict::{Code, Finding, IdentityFault};

/// What an established stream has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakesPairs {
    /// Whether pairs of other remote domains may come, too.
    pub other_remotes: bool,
}

/// The further pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    proved: Vec<DomainPair>,
    pending: Vec<(DomainPair, Instant)>,
}

impl Pairs {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|(_, give_up_at)| *give_up_at).min()
    }

    fn expired(&mut self, now: Instant) -> Vec<DomainPair> {
        self.pending.extract_if(.., |(_, give_up_at)| *give_up_at <= now).map(|(pair, _)| pair).collect()
    }
}

impl Initiating {
    pub(super) fn pairs_taken(&self, at: &Moment) -> Option<TakesPairs> {
        let has_room = 1 + self.pairs.proved.len() + self.pairs.pending.len() < at.limits.pairs;
        let is_for_stanzas = matches!(self.goal, Goal::Stanzas { .. });
        let takes = self.is_ready() && is_for_stanzas && self.declares_dialback && has_room;
        takes.then_some(TakesPairs { other_remotes: self.offers.dialback_errors })
    }

    pub(super) fn join(&mut self, pair: DomainPair, at: &Moment, out: &mut Vec<Output>) {
        if pair == self.pair || self.pairs.proved.contains(&pair) {
            return out.push(Output::Joined(pair));
        }
        let is_taken = self.pairs_taken(at).is_some_and(|takes| takes.other_remotes || pair.remote == self.pair.remote);
        let is_permitted = at.federation.permits(&pair, self.dialback_method()) && !self.would_weaken(&pair, at);
        let offer = self.stream_id.as_deref().and_then(|id| dialback::offer(&pair, id, &at.federation));
        let Some(offer) = offer.filter(|_| is_taken && is_permitted) else {
            return out.push(Output::NotJoined(pair, no_room()));
        };
        send(&offer, out);
        self.last_sent = at.now;
        self.pairs.pending.push((pair, at.now + at.limits.timeouts.verification));
    }

    /// Whether a stream of its own could do better for another remote domain: that domain's settings allow TLS where
    /// there is none, or SASL where the server's certificate does not prove it.
    fn would_weaken(&self, pair: &DomainPair, at: &Moment) -> bool {
        if pair.remote == self.pair.remote {
            return false;
        }
        let Some(partner) = at.federation.partner(pair.remote.as_str()) else {
            return true;
        };
        match &self.security {
            Security::Plain => partner.tls != Negotiation::NotSupported,
            Security::Tls(identity) => match identity.proves(&pair.remote, at) {
                Ok(_) => false,
                Err(IdentityFault::Pin { .. }) => true,
                Err(IdentityFault::Chain(_) | IdentityFault::Name { .. } | IdentityFault::NoProof { .. }) => {
                    partner.permits(Method::SaslExternal)
                }
            },
        }
    }

    /// Whether every further pair could join now as well.
    pub(super) fn pairs_hold(&self, at: &Moment) -> bool {
        let holds = |pair| at.federation.permits(pair, self.dialback_method()) && !self.would_weaken(pair, at);
        self.pairs.proved.iter().all(holds)
    }

    /// The answer to an offer: of a pair that is pending on this very stream, or of nobody.
    pub(super) fn pair_answered(
        &mut self,
        from: DomainName,
        to: DomainName,
        answer: Answer,
        at: &Moment,
        out: &mut Vec<Output>,
    ) {
        let pair = DomainPair { local: to, remote: from };
        let Some(index) = self.pairs.pending.iter().position(|(known, _)| *known == pair) else {
            return out.push(Output::Unsolicited);
        };
        self.pairs.pending.swap_remove(index);
        if answer == Answer::Valid {
            self.admit_reverse(&pair, at);
            self.pairs.proved.push(pair.clone());
            out.push(Output::Joined(pair));
            return self.review(at, out);
        }
        out.push(Output::NotJoined(pair, not_verified(answer)));
    }

    /// Pairs and questions whose time is over.
    pub(super) fn parts_expired(&mut self, at: &Moment, out: &mut Vec<Output>) {
        if self.state != State::Ready {
            return;
        }
        for pair in self.pairs.expired(at.now) {
            out.push(Output::NotJoined(pair, not_verified(Answer::Error(StanzaCondition::RemoteServerTimeout))));
        }
        if let Some(management) = &mut self.management {
            let step = management.deadline_passed(at.now);
            self.managed(step, out);
        }
    }
}

fn no_room() -> Failure {
    let cause = "the stream takes no further pair of domains";
    let finding = Finding::new(Code::DialbackNoRoom, cause);
    failure(StanzaCondition::ResourceConstraint, finding, Next::Address)
}
