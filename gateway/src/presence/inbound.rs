//! The XMPP user watches the SIP user: what presence stanzas ask for, and what the XMPP user is told (RFC 8048, sections
//! 5.2 and 6.3; RFC 6121, sections 3 and 4).
//!
//! An authorisation lasts until somebody ends it. The dialog that feeds it is `subscriber`'s; it is refreshed, lost and
//! made anew without the XMPP user noticing.

use causeway_sip::field::SubscriptionState;

use super::Step;
use super::record::{InAuthorisation, InDialog};
use super::refresh::REFUSAL_DELAY_MS;
use super::verdict::PairVerdict;
use crate::body::pidf::Document;
use crate::translate::presence::{PresenceKind, PresenceStanza, ResourcePresence, Show, pidf_to_resources};

impl Step<'_, '_> {
    /// `subscribe` (RFC 6121, section 3.1.3).
    pub(super) fn subscribe_wanted(&mut self) {
        let is_stranger = self.is_unverified() && !self.pair.is_added();
        match self.pair.inbound.authorisation {
            InAuthorisation::Authorised => {
                self.renew_lease();
                self.say(PresenceKind::Subscribed);
                self.tell_or_watch();
            }
            InAuthorisation::Pending => {
                self.pair.inbound.is_resync = false;
                self.renew_lease();
                self.watch_again();
            }
            // A refusal is on its way and answers this one too.
            InAuthorisation::None if self.pair.inbound.refusal_due.is_some() => {}
            InAuthorisation::None if is_stranger && !self.context.may_hold => self.verdict(PairVerdict::TooManyHeld),
            InAuthorisation::None if is_stranger => {
                self.pair.inbound.authorisation = InAuthorisation::Held;
                self.pair.inbound.since_ms = self.now();
            }
            InAuthorisation::Held if is_stranger => {}
            InAuthorisation::None | InAuthorisation::Held => self.ask_the_pool(false),
        }
    }

    /// The SIP user has added the XMPP user of an unverified partner: what he asked may be asked now.
    pub(super) fn release_held(&mut self) {
        if self.pair.inbound.authorisation == InAuthorisation::Held {
            self.ask_the_pool(false);
        }
    }

    fn ask_the_pool(&mut self, is_resync: bool) {
        // Not even remembered: his server asks again.
        if !self.context.may_watch {
            return self.verdict(PairVerdict::TooManyWatched);
        }
        let inbound = &mut self.pair.inbound;
        inbound.authorisation = InAuthorisation::Pending;
        inbound.since_ms = self.context.now_ms;
        inbound.is_resync = is_resync;
        inbound.is_told = false;
        inbound.attempts = 0;
        self.renew_lease();
        self.start_dialog(self.context.settings.expires_s);
    }

    /// `unsubscribe` (RFC 6121, section 3.3.3): unavailable from all devices, then `unsubscribed`, whatever SIP says.
    pub(super) fn unsubscribe_wanted(&mut self) {
        match self.pair.inbound.authorisation {
            InAuthorisation::None => {}
            InAuthorisation::Held => self.pair.inbound.authorisation = InAuthorisation::None,
            InAuthorisation::Pending | InAuthorisation::Authorised => self.revoke_inbound(),
        }
    }

    /// Ends the authorisation now, towards both sides.
    pub(super) fn revoke_inbound(&mut self) {
        match self.pair.inbound.authorisation {
            InAuthorisation::None => {}
            InAuthorisation::Held => self.pair.inbound.authorisation = InAuthorisation::None,
            InAuthorisation::Pending | InAuthorisation::Authorised => {
                self.cancel_dialog();
                self.tell_refusal();
            }
        }
    }

    /// The pool ended the authorisation. Strangers learn it after a random time, so that the time says nothing about
    /// how the pool came to its answer.
    pub(super) fn refused(&mut self, status: u16) {
        self.verdict(PairVerdict::WatcherRefused { status });
        self.pair.inbound.dialog = InDialog::None;
        if !self.context.partner.is_public() {
            self.tell_refusal();
        } else {
            let (least, spread) = REFUSAL_DELAY_MS;
            let wait = least + self.below(spread);
            self.pair.inbound.authorisation = InAuthorisation::None;
            self.pair.inbound.refusal_due = Some(self.now() + wait);
        }
    }

    pub(super) fn tell_refusal(&mut self) {
        let inbound = &mut self.pair.inbound;
        inbound.authorisation = InAuthorisation::None;
        inbound.refusal_due = None;
        inbound.probe = None;
        inbound.is_told = false;
        inbound.gone_ms = None;
        for resource in std::mem::take(&mut inbound.resources) {
            self.say_unavailable(&resource.resource);
        }
        self.pair.owed.retain(|owed| owed.kind != PresenceKind::Available);
        self.say(PresenceKind::Unsubscribed);
    }

    /// `probe` (RFC 6121, section 4.3.2).
    pub(super) fn probed(&mut self, stanza: &PresenceStanza) {
        match self.pair.inbound.authorisation {
            InAuthorisation::Authorised => {
                self.renew_lease();
                let id = stanza.id.clone().unwrap_or_default();
                if matches!(self.pair.inbound.dialog, InDialog::Live { is_active: true, .. }) {
                    self.answer_probe(&id, stanza.to_resource.as_deref());
                } else {
                    self.pair.inbound.probe = Some(id);
                    self.tell_or_watch();
                }
            }
            InAuthorisation::Pending | InAuthorisation::Held => {}
            InAuthorisation::None if self.pair.inbound.refusal_due.is_some() => {}
            // The same answer whether or not the account exists, and no SIP traffic.
            InAuthorisation::None if self.is_unverified() => self.say(PresenceKind::Unsubscribed),
            // He believes to have an authorisation that we lost: ask the pool, and tell him only if it says no.
            InAuthorisation::None => {
                self.ask_the_pool(true);
                let is_asked = self.pair.inbound.authorisation == InAuthorisation::Pending;
                self.pair.inbound.probe = is_asked.then(|| stanza.id.clone().unwrap_or_default());
            }
        }
    }

    /// Tells what is known, as if he had asked: he may not have heard it. What is not known now he hears when it is.
    pub(super) fn tell_anew(&mut self) {
        let inbound = &mut self.pair.inbound;
        if inbound.authorisation != InAuthorisation::Authorised {
            return;
        }
        let is_known = inbound.is_told || inbound.gone_ms.is_some() || !inbound.resources.is_empty();
        if !matches!(inbound.dialog, InDialog::Live { is_active: true, .. }) {
            inbound.is_told = false;
        } else if is_known {
            self.answer_probe("", None);
        }
    }

    /// Answers from memory: each device, or that there is none.
    fn answer_probe(&mut self, id: &str, resource: Option<&str>) {
        let mirrored = Some(id.to_owned()).filter(|id| !id.is_empty());
        let known = self.pair.inbound.resources.clone();
        match resource {
            // A full address asks for one device, and learns only whether it is there.
            Some(resource) => match known.iter().find(|known| known.resource == resource) {
                Some(found) => {
                    let bare = ResourcePresence { available: true, show: Show::Online, ..ResourcePresence::default() };
                    self.say_available(&ResourcePresence { resource: found.resource.clone(), ..bare });
                }
                None => self.say_absent(mirrored),
            },
            None if known.is_empty() => self.say_absent(mirrored),
            None => self.tell_current(),
        }
    }

    /// Tells the present state, or sees to it that the pool tells us.
    fn tell_or_watch(&mut self) {
        match &self.pair.inbound.dialog {
            InDialog::Live { is_active: true, .. } => self.tell_current(),
            InDialog::Live { is_active: false, .. } | InDialog::Trying { .. } => self.pair.inbound.is_told = false,
            InDialog::Backoff { .. } => {
                self.pair.inbound.is_told = false;
                self.hurry();
            }
            InDialog::None | InDialog::Closing { .. } => {
                self.pair.inbound.is_told = false;
                self.start_dialog(self.context.settings.expires_s);
            }
        }
    }

    /// Sends what is known of all devices, if he may see it.
    pub(super) fn tell_current(&mut self) {
        if !self.pair.is_watcher() {
            return;
        }
        self.pair.inbound.is_told = true;
        for resource in self.pair.inbound.resources.clone() {
            self.say_available(&resource);
        }
    }

    /// He has come online: a watch that was left to expire begins again (RFC 8048, section 8.1).
    pub(super) fn watch_again(&mut self) {
        if self.pair.inbound.is_wanted() && self.pair.inbound.dialog == InDialog::None {
            self.pair.inbound.is_told = false;
            self.start_dialog(self.context.settings.expires_s);
        } else {
            self.hurry();
        }
    }

    pub(super) fn renew_lease(&mut self) {
        let inbound = &mut self.pair.inbound;
        match inbound.authorisation {
            InAuthorisation::Pending | InAuthorisation::Authorised => {
                inbound.lease_until = self.context.now_ms + self.context.settings.lease_ms;
                inbound.is_lease_probed = false;
                // He came back while the dialog was left to expire.
                if let InDialog::Live { refresh_at: at @ None, refresh: None, .. } = &mut inbound.dialog {
                    *at = Some(self.context.now_ms);
                }
            }
            InAuthorisation::None | InAuthorisation::Held => {}
        }
    }

    pub(super) fn pool_active(
        &mut self,
        state: &SubscriptionState,
        document: Option<&Document>,
        language: Option<&str>,
    ) {
        self.extend_dialog(state.expires, true);
        self.pair.inbound.attempts = 0;
        if !self.pair.inbound.is_wanted() {
            return self.cancel_dialog();
        }
        self.approve();
        match document {
            Some(document) => self.show(document, language),
            // No body: the state is as it was, or unknown (RFC 3856, section 6.8).
            None => {
                if let Some(id) = self.pair.inbound.probe.take() {
                    self.answer_probe(&id, None);
                }
            }
        }
    }

    /// Undecided: nothing of her may be shown (RFC 8048, section 5.2.1), whatever the body says.
    pub(super) fn pool_pending(&mut self, state: &SubscriptionState) {
        self.extend_dialog(state.expires, false);
        if !self.pair.inbound.is_wanted() {
            return self.cancel_dialog();
        }
        if self.context.settings.approve_on_pending {
            self.approve();
        }
    }

    /// The pool lets him watch. He hears it unless he believes so already.
    fn approve(&mut self) {
        let inbound = &mut self.pair.inbound;
        if inbound.authorisation == InAuthorisation::Pending {
            inbound.authorisation = InAuthorisation::Authorised;
            inbound.since_ms = self.context.now_ms;
            if !std::mem::take(&mut inbound.is_resync) {
                self.say(PresenceKind::Subscribed);
            }
        }
    }

    /// Tells the XMPP user what has changed. The document goes to nobody else (RFC 8048, section 8.2).
    fn show(&mut self, document: &Document, language: Option<&str>) {
        let mut shown = pidf_to_resources(document, self.now());
        for note in shown.iter_mut().flat_map(|resource| &mut resource.notes).filter(|note| note.lang.is_none()) {
            note.lang = language.map(str::to_owned);
        }
        if !self.context.partner.sees_notes() {
            shown.iter_mut().for_each(|resource| resource.notes.clear());
        }
        let inbound = &mut self.pair.inbound;
        let told = std::mem::replace(&mut inbound.is_told, true);
        let probe = inbound.probe.take();
        let before = std::mem::replace(&mut inbound.resources, shown.clone());
        inbound.gone_ms = match (shown.is_empty(), before.is_empty()) {
            (true, false) => Some(self.context.now_ms),
            (true, true) => inbound.gone_ms,
            (false, _) => None,
        };
        for gone in before.iter().filter(|old| shown.iter().all(|new| new.resource != old.resource)) {
            self.say_unavailable(&gone.resource);
        }
        for resource in &shown {
            let is_same = |old: &&ResourcePresence| {
                ResourcePresence { since_ms: resource.since_ms, ..(*old).clone() } == *resource
            };
            if !told || before.iter().find(is_same).is_none() {
                self.say_available(resource);
            }
        }
        if shown.is_empty() && before.is_empty() && (!told || probe.is_some()) {
            self.say_absent(probe.filter(|id| !id.is_empty()));
        }
    }

    /// Shows the SIP user as unavailable for as long as nothing is known.
    pub(super) fn hide(&mut self) {
        let shown = std::mem::take(&mut self.pair.inbound.resources);
        if !shown.is_empty() {
            self.pair.inbound.gone_ms = Some(self.now());
        }
        for resource in shown {
            self.say_unavailable(&resource.resource);
        }
    }
}
