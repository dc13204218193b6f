//! Iq stanzas of partners: answered at once, never translated.

use std::sync::Arc;

use causeway_shared::link::Outcome;

use super::messages::Answered;
use super::pairs::{Held, PairEvent};
use super::{Engine, Now, Outputs};
use crate::iq::{self, Addressee, Reply};
use crate::link::StanzaIn;
use crate::policy::{self, Admission, Intent, PartnerEntry, Standing};
use crate::presence::record::PairKey;
use crate::quota::Counted;

impl Engine {
    /// An iq: the domain answers everybody; for a user it matters whether he may be seen.
    pub(super) fn iq_from_xmpp(&mut self, stanza: StanzaIn, partner: &PartnerEntry, now: Now, out: &mut Outputs) {
        let Some(stanza) = self.admit_query(stanza, partner, now, out) else { return };
        if stanza.to.local().is_none() {
            let directory = Arc::clone(&self.settings.directory);
            // RFC 6121, section 8.5: no resource of a domain is known.
            let addressee = match stanza.to.resource() {
                None => Addressee::Domain(&directory.domain),
                Some(_) => Addressee::Hidden,
            };
            return self.answer_iq(stanza, addressee, out);
        }
        let key = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
        self.pair_event(key, PairEvent::Iq(Box::new(stanza), partner.clone()), now, out);
    }

    /// The iq, if it wants an answer and its sender may ask so much. Decided before anything is looked up.
    pub(super) fn admit_query(
        &mut self,
        stanza: StanzaIn,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) -> Option<StanzaIn> {
        if !iq::is_request(&stanza.xml) {
            out.finished.push((stanza.receipt, Outcome::Done));
            return None;
        }
        if !self.is_too_much(&stanza, partner, Counted::Query, now) {
            return Some(stanza);
        }
        self.refuse_query(stanza, out);
        None
    }

    /// Answers an iq that is too much just now.
    pub(super) fn refuse_query(&mut self, stanza: StanzaIn, out: &mut Outputs) {
        let refusal = iq::refuse(&stanza.xml, &stanza.from, &stanza.to);
        self.send_reply(stanza, refusal, out);
    }

    pub(super) fn iq_of_contact(&mut self, stanza: StanzaIn, partner: &PartnerEntry, held: &Held, out: &mut Outputs) {
        let user = stanza.to.bare();
        let standing = Standing {
            partner: partner.partner_type,
            is_allowed: self.settings.may_federate(&user),
            is_added: held.pair.is_added(),
            may_reply: false,
        };
        let admitted = policy::admit_stanza(Intent::UserRequest, standing) == Admission::Pass;
        let directory = Arc::clone(&self.settings.directory);
        let addressee = match stanza.to.resource() {
            _ if !admitted || !held.pair.is_watcher() => Addressee::Hidden,
            None => Addressee::User(directory.user(&user)),
            Some(resource) if held.pair.shows(resource) => Addressee::Device(directory.user(&user)),
            Some(_) => Addressee::Hidden,
        };
        self.answer_iq(stanza, addressee, out);
    }

    pub(super) fn answer_iq(&mut self, stanza: StanzaIn, addressee: Addressee<'_>, out: &mut Outputs) {
        let answer = iq::answer(&stanza.xml, &stanza.from, &stanza.to, addressee);
        self.send_reply(stanza, answer, out);
    }

    fn send_reply(&mut self, stanza: StanzaIn, reply: Option<Reply>, out: &mut Outputs) {
        match reply {
            Some(reply) => {
                self.metrics.iq_answered(&reply);
                let answered =
                    Answered { kind: stanza.kind, from: &stanza.from, to: &stanza.to, id: None, trace: stanza.trace };
                self.answer_stanza(&answered, stanza.receipt, reply.xml, out);
            }
            None => out.finished.push((stanza.receipt, Outcome::Done)),
        }
    }
}
