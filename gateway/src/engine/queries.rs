//! Iq stanzas of partners: answered at once, never translated.

use causeway_shared::link::Outcome;

use super::messages::Answered;
use super::pairs::{Held, PairEvent};
use super::{Engine, Now, Outputs};
use crate::iq::{self, Addressee};
use crate::link::StanzaIn;
use crate::policy::{self, Admission, Intent, PartnerEntry, Standing};
use crate::presence::record::PairKey;

impl Engine {
    /// An iq: the domain answers everybody; for a user it matters whether he may be seen.
    pub(super) fn iq_from_xmpp(&mut self, stanza: StanzaIn, partner: &PartnerEntry, now: Now, out: &mut Outputs) {
        if stanza.to.local().is_none() {
            return self.answer_iq(stanza, Addressee::Domain, out);
        }
        let key = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
        self.pair_event(key, PairEvent::Iq(Box::new(stanza), partner.clone()), now, out);
    }

    pub(super) fn iq_of_contact(&mut self, stanza: StanzaIn, partner: &PartnerEntry, held: &Held, out: &mut Outputs) {
        let standing = Standing {
            partner: partner.partner_type,
            is_allowed: self.settings.may_federate(&stanza.to.bare()),
            is_added: held.pair.is_added(),
        };
        let admitted = policy::admit_stanza(Intent::UserRequest, standing) == Admission::Pass;
        let known = |resource: &str| held.pair.inbound.resources.iter().any(|known| known.resource == resource);
        let addressee = match stanza.to.resource() {
            _ if !admitted || !held.pair.is_watcher() => Addressee::Hidden,
            None => Addressee::User,
            Some(resource) if known(resource) => Addressee::Device,
            Some(_) => Addressee::Hidden,
        };
        self.answer_iq(stanza, addressee, out);
    }

    pub(super) fn answer_iq(&mut self, stanza: StanzaIn, addressee: Addressee, out: &mut Outputs) {
        match iq::answer(&stanza.xml, &stanza.from, &stanza.to, addressee) {
            Some(xml) => {
                let answered =
                    Answered { kind: stanza.kind, from: &stanza.from, to: &stanza.to, id: None, trace: stanza.trace };
                self.answer_stanza(&answered, stanza.receipt, xml, out);
            }
            None => out.finished.push((stanza.receipt, Outcome::Done)),
        }
    }
}
