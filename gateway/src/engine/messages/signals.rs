//! What belongs to messages and is none: chat states (XEP-0085, RFC 3994), receipts (XEP-0184), markers (XEP-0333) and
//! notifications (RFC 5438), both directions.
//!
//! Nobody waits for any of it and none of it is worth an error: what cannot go now is dropped.

use std::time::Duration;

use bytes::Bytes;
use causeway_shared::domain::DomainName;
use causeway_shared::jid::Jid;
use causeway_shared::link::{StanzaKind, TraceContext};
use causeway_shared::verdict::{Code, Direction, Verdict, unmistakable};
use causeway_shared::xmpp::stanza_error::{StanzaCondition, StanzaError};
use causeway_sip::uri::{Scheme, Uri};

use super::{Errand, Pager};
use crate::body::imdn::{Disposition, Imdn};
use crate::body::is_composing::IsComposing;
use crate::chat::states::{Form, Input, Output};
use crate::engine::pairs::PairEvent;
use crate::engine::{Engine, Now, Outputs, StanzaPurpose};
use crate::link::{StanzaIn, StanzaOut};
use crate::metrics::To;
use crate::policy::PartnerEntry;
use crate::presence::Answer;
use crate::presence::record::{InAuthorisation, PairKey};
use crate::translate::address;
use crate::translate::content::{Ends, SipBody};
use crate::translate::error::{self, SipFailure};
use crate::translate::hex;
use crate::translate::message::{self, MessageType, StanzaKey};
use crate::translate::message_stanza::{ChatState, MessageStanza, StanzaContent};

/// How long a chat state may wait for a stream; later it says nothing true.
const STATE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a receipt may wait for a stream.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(60);

/// How late an error may answer a message: a stream that is resumed and then given up takes minutes, not hours.
const LATE_MS: u64 = 3_600_000;

/// Something an XMPP user is to hear about a stanza of his, if he may see the SIP user's presence (XEP-0184, section 8).
#[derive(Debug)]
pub(in crate::engine) struct Due {
    to: Jid,
    id: String,
    disposition: Disposition,
}

impl Due {
    /// A message arrived.
    pub(super) const fn received(to: Jid, id: String) -> Self {
        Self { to, id, disposition: Disposition::Delivered }
    }
}

/// From partners' users.
impl Engine {
    /// A chat state, receipt or marker without a text.
    pub(super) fn signal_from_xmpp(
        &mut self,
        content: &StanzaContent<'_>,
        stanza: &StanzaIn,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        let pair = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
        if let Some(id) = &content.received {
            self.received_on_stream(&pair, id, now, out);
            self.notify_sip(&pair, id, Disposition::Delivered, partner, now, out);
        }
        if let Some(id) = content.displayed.as_deref().filter(|_| self.settings.messages.markers) {
            self.notify_sip(&pair, id, Disposition::Displayed, partner, now, out);
        }
        if content.chat_state == Some(ChatState::Gone) {
            // RFC 7573, section 6.1.
            self.end_sessions_of(&pair, now, out);
        }
        let state = content.chat_state.filter(|_| self.settings.messages.chat_states);
        let Some(state) = state.filter(|_| self.conversations.exists(&pair, now.unix_ms)) else { return };
        let form = self.form_of_states(&pair);
        self.step_states(&pair, form, Input::State(state), now, out);
    }

    /// An error that answers a message of ours: SIP was told that it is accepted, which cannot be taken back.
    pub(super) fn late_error(
        &mut self,
        content: &StanzaContent<'_>,
        error: &StanzaError,
        stanza: &StanzaIn,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        // Chat states and receipts of ours have no id; that they could not be delivered is nobody's business.
        let Some(id) = &content.id else { return };
        let pair = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
        if self.notify_sip(&pair, id, Disposition::Failed, partner, now, out) {
            return self.metrics.late_error();
        }
        // All that a session can say of it is that it is over.
        self.end_sessions_of(&pair, now, out);
        // To whom she has not written, there was nothing to refuse: strangers shall not write what operators read.
        if !self.conversations.was_heard(&pair, LATE_MS, now.unix_ms) {
            return;
        }
        self.metrics.late_error();
        let cause = format!(
            "{} came back for a message that had been accepted: {} to {}",
            error.condition.as_str(),
            unmistakable(pair.local.as_str()),
            unmistakable(pair.remote.as_str())
        );
        out.verdicts.push(Verdict {
            partner: partner.primary.as_str().to_owned(),
            direction: Direction::Out,
            at_ms: now.unix_ms,
            ..Verdict::of(Code::StanzaLateError, cause)
        });
    }

    /// Tells the SIP user what became of a message, if he has asked. Returns whether he has.
    fn notify_sip(
        &mut self,
        pair: &PairKey,
        stanza_id: &str,
        disposition: Disposition,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) -> bool {
        let Some(about) = self.notices.for_sip(pair, stanza_id, disposition) else { return false };
        let (Ok(from), Ok(to)) = (address::bare_jid_to_uri(&pair.remote), address::bare_jid_to_uri(&pair.local)) else {
            return false;
        };
        let message_id = hex::numbered("", &[self.endpoint.ids().number()]);
        let ends = Ends { from: from.as_str(), to: to.as_str() };
        if let Some(body) = SipBody::notification(&about, disposition, ends, &message_id, now.unix_ms) {
            let route = about.record_route.first().and_then(|uri| self.local_server(uri));
            self.send_own(pair, route, body, Errand::Notification, partner, now, out);
        }
        true
    }

    /// A server on the route of a notification. Only our own domains': a message shall not choose whom we write to.
    fn local_server(&self, uri: &str) -> Option<Uri> {
        let uri = Uri::parse(Bytes::copy_from_slice(uri.as_bytes())).ok()?;
        let domain = DomainName::parse(uri.host()).ok()?;
        (uri.scheme() == Scheme::Sip && self.settings.domains.is_local(&domain)).then_some(uri)
    }

    /// Sends a MESSAGE that is no stanza's.
    #[expect(clippy::too_many_arguments, reason = "what goes where, for whom, when, and where effects go")]
    fn send_own(
        &mut self,
        pair: &PairKey,
        route: Option<Uri>,
        body: SipBody,
        errand: Errand,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        let (from, to) = (pair.remote.as_jid().clone(), pair.local.as_jid().clone());
        let ids = self.endpoint.ids();
        let key = StanzaKey { origin: ids.number(), key: ids.number() };
        let Ok(request) = message::own_message(&from, &to, route, body, key) else { return };
        let pager = Pager {
            errand,
            from,
            to,
            id: None,
            message_type: MessageType::Normal,
            partner: partner.clone(),
            since: now.instant,
            trace: TraceContext::default(),
            request: Some((request, message::branch_of_key(key))),
            is_rerouted: false,
            too_long: None,
            archived: None,
        };
        self.deliver(pager, now, out);
    }

    /// SIP did not take a status; only one answer says that it never will.
    pub(super) fn status_refused(&mut self, pager: &Pager, failure: &SipFailure, now: Now) {
        if let SipFailure::Status { code: 415, .. } = failure {
            let pair = PairKey { local: pager.to.bare(), remote: pager.from.bare() };
            // It asks for nothing.
            self.conversations.step(&pair, Some(Form::STATUS_MESSAGE), Input::StatusUnsupported, now, &mut Vec::new());
        }
    }

    /// SIP has answered a status in a session: a device that does not know it gets no other.
    pub(in crate::engine) fn status_in_session_answered(&mut self, pair: &PairKey, answer: &Answer, now: Now) {
        let is_unknown =
            matches!(answer, Answer::Response(response) if matches!(response.status.code(), 405 | 415 | 501));
        if is_unknown {
            self.conversations.step(
                pair,
                Some(Form::KEYBOARD_ACTIVITY),
                Input::StatusUnsupported,
                now,
                &mut Vec::new(),
            );
        }
    }
}

/// From SIP users.
impl Engine {
    /// Whether a SIP user writes.
    pub(in crate::engine) fn status_from_sip(
        &mut self,
        pair: &PairKey,
        status: IsComposing,
        now: Now,
        out: &mut Outputs,
    ) {
        if self.settings.messages.chat_states && self.conversations.exists(pair, now.unix_ms) {
            let form = self.form_of_states(pair);
            self.step_states(pair, form, Input::Status(status), now, out);
        }
    }

    /// The SIP user has left the session (RFC 7573, section 6.1).
    pub(in crate::engine) fn left_by_sip(&mut self, pair: &PairKey, now: Now, out: &mut Outputs) {
        if self.settings.messages.chat_states && self.conversations.exists(pair, now.unix_ms) {
            let form = self.form_of_states(pair);
            self.step_states(pair, form, Input::LeftBySip, now, out);
        }
    }

    /// What became of an XMPP user's message.
    pub(in crate::engine) fn notification_from_sip(
        &mut self,
        pair: &PairKey,
        imdn: &Imdn,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(disposition) = imdn.disposition else { return };
        let Some((to, id)) = self.notices.for_xmpp(pair, &imdn.message_id, disposition) else { return };
        match disposition {
            Disposition::Delivered | Disposition::Displayed => {
                self.tell(pair.clone(), Due { to, id, disposition }, now, out);
            }
            Disposition::Failed => {
                let error = StanzaError::from(StanzaCondition::ServiceUnavailable)
                    .with_text("The message could not be delivered");
                let from = pair.local.as_jid().clone();
                let xml = error::error_stanza(StanzaKind::Message, &to, &from, Some(&id), &error);
                let partner = self.settings.partner(&pair.remote.domain_name());
                self.metrics.message_refused(partner.map(|partner| &partner.primary), To::Sip);
                self.send_unasked(from, to, xml, RECEIPT_PATIENCE, out);
            }
        }
    }

    /// Tells the XMPP user, as soon as it is known whether he may see the SIP user's presence.
    pub(in crate::engine) fn tell(&mut self, pair: PairKey, due: Due, now: Now, out: &mut Outputs) {
        match self.pairs.settled(&pair, now).map(|held| held.pair.inbound.authorisation) {
            Some(authorisation) => self.tell_authorised(&pair, due, authorisation, out),
            None => self.pair_event(pair, PairEvent::Due(Box::new(due)), now, out),
        }
    }

    /// Tells the XMPP user, if he may see the SIP user's presence.
    pub(in crate::engine) fn tell_authorised(
        &mut self,
        pair: &PairKey,
        due: Due,
        authorisation: InAuthorisation,
        out: &mut Outputs,
    ) {
        let is_authorised = match authorisation {
            InAuthorisation::Authorised => true,
            InAuthorisation::None | InAuthorisation::Held | InAuthorisation::Pending => false,
        };
        if !is_authorised {
            return;
        }
        let from = pair.local.as_jid().clone();
        let mut stanza = MessageStanza::new(&from, &due.to);
        match due.disposition {
            Disposition::Delivered => stanza.received = Some(&due.id),
            Disposition::Displayed => stanza.displayed = Some(&due.id),
            Disposition::Failed => return,
        }
        let xml = stanza.to_xml();
        self.send_unasked(from, due.to, xml, RECEIPT_PATIENCE, out);
    }
}

/// The chat states of a pair.
impl Engine {
    /// What carries the status of a pair.
    fn form_of_states(&self, pair: &PairKey) -> Form {
        if self.sessions.carries_in_dialog(pair) { Form::KEYBOARD_ACTIVITY } else { Form::STATUS_MESSAGE }
    }

    fn step_states(&mut self, pair: &PairKey, form: Form, input: Input, now: Now, out: &mut Outputs) {
        let mut outputs = Vec::new();
        self.conversations.step(pair, Some(form), input, now, &mut outputs);
        for output in outputs {
            match output {
                Output::ToSip(status) => {
                    if self.is_in_the_way_of_status(pair) {
                        self.conversations.step(pair, Some(form), Input::InTheWay, now, &mut Vec::new());
                    } else {
                        self.status_to_sip(pair, status, now, out);
                    }
                }
                Output::ToXmpp(state) => self.state_to_xmpp(pair, state, now, out),
            }
        }
    }

    /// Chat states whose time has come.
    pub(in crate::engine) fn expire_states(&mut self, now: Now, out: &mut Outputs) {
        while let Some(pair) = self.conversations.due(now.instant) {
            let form = self.form_of_states(&pair);
            self.step_states(&pair, form, Input::DeadlinePassed, now, out);
        }
    }

    /// Whether something is under way to the SIP user, so that a status would have to wait, which it must not (RFC 3428,
    /// section 8).
    fn is_in_the_way_of_status(&self, pair: &PairKey) -> bool {
        if self.sessions.carries(pair) { !self.sessions.takes_status(pair) } else { self.lanes.is_busy(&pair.local) }
    }

    fn status_to_sip(&mut self, pair: &PairKey, status: IsComposing, now: Now, out: &mut Outputs) {
        if self.sessions.carries(pair) {
            return self.status_in_session(pair, status, now, out);
        }
        let (local, remote) = (pair.local.domain_name(), pair.remote.domain_name());
        let Ok(partner) = self.settings.domains.between(&local, &remote).cloned() else { return };
        self.send_own(pair, None, SipBody::composing(status), Errand::Status, &partner, now, out);
    }

    fn state_to_xmpp(&mut self, pair: &PairKey, state: ChatState, now: Now, out: &mut Outputs) {
        if !self.may_hear_states(pair) {
            return;
        }
        let from = pair.local.as_jid().clone();
        let to = self.conversations.address(pair, now.unix_ms);
        let stanza = MessageStanza { is_chat: true, chat_state: Some(state), ..MessageStanza::new(&from, &to) };
        let xml = stanza.to_xml();
        self.send_unasked(from, to, xml, STATE_PATIENCE, out);
    }

    /// A user of an unverified partner whom the SIP user has not added sees nothing of what she does. His record is in
    /// memory if he has written lately, which he must have for his client to be known to take states.
    fn may_hear_states(&self, pair: &PairKey) -> bool {
        let partner = self.settings.partner(&pair.remote.domain_name());
        partner.is_some_and(|partner| {
            partner.partner_type.may_act_unadded() || self.pairs.glance(pair).is_some_and(|held| held.pair.is_added())
        })
    }

    /// Sends a stanza that answers nothing and that nobody waits for.
    pub(in crate::engine) fn send_unasked(
        &mut self,
        from: Jid,
        to: Jid,
        xml: Bytes,
        patience: Duration,
        out: &mut Outputs,
    ) {
        let key = self.next_key();
        self.stanzas.insert(key, StanzaPurpose::Unasked);
        out.stanzas.push(StanzaOut {
            key,
            kind: StanzaKind::Message,
            from,
            to,
            xml,
            patience,
            trace: TraceContext::default(),
            is_owed: false,
        });
    }
}
