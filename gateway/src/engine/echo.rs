//! Stanzas for the echo contact: bounded, answered at once, nothing towards SIP and nothing in the store.

use std::sync::Arc;

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::link::{Outcome, StanzaKind};
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};

use super::messages::ANSWER_PATIENCE;
use super::{Engine, Now, Outputs, StanzaPurpose};
use crate::echo::{self, Echo, EchoContact};
use crate::link::{StanzaIn, StanzaOut};
use crate::policy::PartnerEntry;
use crate::quota::Counted;
use crate::translate::message::StanzaKey;
use crate::translate::presence::{PresenceKind, read_presence};

impl Engine {
    /// The echo contact, if a stanza is for it.
    pub(super) fn echo_contact(&self, to: &Jid) -> Option<Arc<EchoContact>> {
        self.settings.echo.as_ref().filter(|contact| contact.is(to)).map(Arc::clone)
    }

    /// A stanza for the echo contact. The operator has switched it on for every partner, whatever its type.
    pub(super) fn echo(
        &mut self,
        contact: &EchoContact,
        stanza: StanzaIn,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        match stanza.kind {
            StanzaKind::Iq => {
                let Some(stanza) = self.admit_query(stanza, partner, now, out) else { return };
                let addressee = contact.addressee(&stanza.to);
                self.answer_iq(stanza, addressee, out);
            }
            StanzaKind::Presence => self.echo_presence(contact, stanza, partner, now, out),
            StanzaKind::Message => self.echo_message(contact, stanza, partner, now, out),
        }
    }

    fn echo_presence(
        &mut self,
        contact: &EchoContact,
        stanza: StanzaIn,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(kind) = read_presence(&stanza.xml, &stanza.from, &stanza.to).map(|read| read.kind) else {
            return out.finished.push((stanza.receipt, Outcome::Done));
        };
        let counted = match kind {
            PresenceKind::Subscribe | PresenceKind::Unsubscribe => Some(Counted::Subscribe),
            PresenceKind::Probe => Some(Counted::Probe),
            PresenceKind::Available
            | PresenceKind::Unavailable
            | PresenceKind::Subscribed
            | PresenceKind::Unsubscribed
            | PresenceKind::Error => None,
        };
        let is_too_much = counted.is_some_and(|what| self.is_too_much_echo(&stanza, partner, what, now));
        let answers = if is_too_much { Vec::new() } else { contact.presence(kind, &stanza.from) };
        self.answer_all(stanza, answers, out);
    }

    fn echo_message(
        &mut self,
        contact: &EchoContact,
        stanza: StanzaIn,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        let number = StanzaKey { origin: stanza.origin, key: stanza.key };
        let error = match contact.message(&stanza.xml, &stanza.from, number) {
            Echo::Silence => return out.finished.push((stanza.receipt, Outcome::Done)),
            Echo::Messages(_) if self.is_too_much_echo(&stanza, partner, Counted::Message, now) => {
                StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint)
            }
            Echo::Messages(messages) => {
                self.metrics.echoed();
                let answers = messages.into_iter().map(|xml| (contact.device().clone(), stanza.from.clone(), xml));
                let answers = answers.collect();
                return self.answer_all(stanza, answers, out);
            }
            Echo::Refusal(error) => error,
        };
        self.refuse_or_drop(stanza, &error, out);
    }

    /// The quotas of everybody, and behind them those of the echo contact, which no configuration lifts.
    fn is_too_much_echo(&mut self, stanza: &StanzaIn, partner: &PartnerEntry, what: Counted, now: Now) -> bool {
        self.is_too_much(stanza, partner, what, now)
            || !self.echoes.take(&stanza.from.bare(), &partner.primary, what, &echo::LIMITS, now.unix_ms)
    }

    /// Sends answers in order; the stanza is finished when the last of them has arrived.
    fn answer_all(&mut self, stanza: StanzaIn, answers: Vec<(Jid, Jid, Bytes)>, out: &mut Outputs) {
        let StanzaIn { receipt, kind, trace, .. } = stanza;
        let mut receipt = Some(receipt);
        let count = answers.len();
        for (index, (from, to, xml)) in answers.into_iter().enumerate() {
            let key = self.next_key();
            let last = receipt.take_if(|_| index + 1 == count);
            self.stanzas.insert(key, last.map_or(StanzaPurpose::Unasked, StanzaPurpose::Answer));
            out.stanzas.push(StanzaOut { key, kind, from, to, xml, patience: ANSWER_PATIENCE, trace, is_owed: true });
        }
        if let Some(receipt) = receipt {
            out.finished.push((receipt, Outcome::Done));
        }
    }
}
