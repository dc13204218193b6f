//! Messages under way to SIP (RFC 7572): policy, translation, one at a time per address, final response, and for a
//! failure the error stanza. The partner's stanza is finished when that is.
//!
//! `to_xmpp` is the other direction, `signals` what belongs to messages and is none: chat states, receipts, markers and
//! notifications.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::link::{Outcome, StanzaKind, TraceContext};
use causeway_shared::verdict::{Code, Verdict};
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::field::Token;
use causeway_sip::message::Request;
use causeway_sip::method::Status;

use super::conversations::Written;
use super::lanes::Admission as Lane;
use super::pairs::PairEvent;
use super::requests::{Purpose, Route};
use super::{Engine, Now, Outputs, StanzaPurpose};
use crate::archive::{self, Noted};
use crate::body::cpim::Wishes;
use crate::link::{Receipt, StanzaIn, StanzaOut};
use crate::metrics::To;
use crate::policy::{self, Admission, Intent, PartnerEntry, Standing};
use crate::presence::record::PairKey;
use crate::presence::{Answer, PairInput};
use crate::quota::Counted;
use crate::store::operator::{ArchivedDirection, ArchivedKind, ArchivedMessage};
use crate::translate::error::{self, SipFailure};
use crate::translate::message::{self, FromXmpp, MessageType, StanzaKey, ToSipContext};
use crate::translate::message_stanza::{Meaning, StanzaContent};

mod signals;
mod to_xmpp;

pub(super) use signals::Due;
pub(super) use to_xmpp::Inquiry;

/// How long an error or answer for a partner may wait for a stream.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// SIP users whose devices are known to take no wrapping (RFC 3862), about 100 bytes each; beyond it each message tries.
const UNWRAPPING: usize = 10_000;

/// A message on its way to SIP.
#[derive(Debug)]
pub(super) struct Pager {
    errand: Errand,
    pub(super) from: Jid,
    pub(super) to: Jid,
    id: Option<String>,
    pub(super) message_type: MessageType,
    pub(super) partner: PartnerEntry,
    /// When it came.
    since: Instant,
    pub(super) trace: TraceContext,
    /// Until it is sent by itself.
    pub(super) request: Option<(Request, Token)>,
    /// Whether a session could not carry it.
    pub(super) is_rerouted: bool,
    /// Why it may not go by itself, if it may not.
    pub(super) too_long: Option<Box<StanzaError>>,
    /// What is kept of it, if it is archived.
    pub(super) archived: Option<Box<ArchivedMessage>>,
}

impl Pager {
    /// What its sender is to hear when it has arrived, if he wants to.
    pub(super) fn due(&self) -> Option<Due> {
        match (&self.errand, &self.id) {
            (Errand::Stanza { wants_receipt: true, wrapped: None, .. }, Some(id)) => {
                Some(Due::received(self.from.clone(), id.clone()))
            }
            (Errand::Stanza { .. } | Errand::Status | Errand::Notification, _) => None,
        }
    }
}

/// What a message is for, and who waits for its end.
#[derive(Debug)]
enum Errand {
    /// A partner's stanza.
    Stanza {
        /// It is finished with the answer.
        receipt: Receipt,
        /// Whether its sender wants a receipt (XEP-0184), and SIP's answer may stand for one.
        wants_receipt: bool,
        /// The stanza, if its text is wrapped: a device that takes no wrapping gets it without.
        wrapped: Option<Box<(Bytes, StanzaKey)>>,
    },
    /// A status message (RFC 3994); nobody waits.
    Status,
    /// What became of a message of the recipient's (RFC 5438); nobody waits.
    Notification,
}

/// What an error or answer needs of the stanza it answers.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub(super) kind: StanzaKind,
    pub(super) from: &'a Jid,
    pub(super) to: &'a Jid,
    pub(super) id: Option<&'a str>,
    pub(super) trace: TraceContext,
}

impl Engine {
    /// A message of a partner. Whether he was added matters for unverified partners only, so only they cost a record.
    pub(super) fn message_from_xmpp(&mut self, stanza: StanzaIn, partner: &PartnerEntry, now: Now, out: &mut Outputs) {
        if self.is_too_much(&stanza, partner, Counted::Message, now) {
            let busy = StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint);
            return self.refuse_or_drop(stanza, &busy, out);
        }
        if partner.partner_type.may_act_unadded() {
            return self.message_of_contact(stanza, partner.clone(), false, now, out);
        }
        let key = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
        match self.pairs.settled(&key, now).map(|held| held.pair.is_added()) {
            Some(is_added) => self.message_of_contact(stanza, partner.clone(), is_added, now, out),
            None => self.pair_event(key, PairEvent::Message(Box::new(stanza), partner.clone()), now, out),
        }
    }

    pub(super) fn message_of_contact(
        &mut self,
        stanza: StanzaIn,
        partner: PartnerEntry,
        is_added: bool,
        now: Now,
        out: &mut Outputs,
    ) {
        let xml = stanza.xml.clone();
        let content =
            StanzaContent::read(&xml, &stanza.from).filter(|content| is_carried(content) || is_answered(content));
        // What says nothing ends without a word, whoever sends it to whom.
        let Some(content) = content else { return out.finished.push((stanza.receipt, Outcome::Done)) };
        let standing = Standing {
            partner: partner.partner_type,
            is_allowed: self.settings.may_federate(&stanza.to.bare()),
            is_added,
            may_reply: !is_added && self.may_reply(&stanza, now),
        };
        let mut admission = policy::admit_stanza(Intent::Message(content.message_type), standing);
        if stanza.to.local().is_none() && admission == Admission::Pass {
            // A domain has no inbox.
            admission = Admission::Error(StanzaError::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable));
        }
        match admission {
            Admission::Pass if is_signal(&content) => {
                self.signal_from_xmpp(&content, &stanza, &partner, now, out);
                out.finished.push((stanza.receipt, Outcome::Done));
            }
            Admission::Pass => self.translate_to_sip(stanza, &content, partner, now, out),
            Admission::Drop | Admission::Unsubscribed => out.finished.push((stanza.receipt, Outcome::Done)),
            Admission::Error(error) => self.refuse_or_drop(stanza, &error, out),
        }
    }

    /// Whether an unverified partner's user answers a SIP user who has written to him.
    fn may_reply(&self, stanza: &StanzaIn, now: Now) -> bool {
        let window_ms = self.settings.messages.unverified_reply_window_ms;
        window_ms != 0 && {
            let key = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
            self.conversations.was_heard(&key, window_ms, now.unix_ms)
        }
    }

    /// Answers a message that policy refuses, if it is one to be answered: a headline, an error, and what nobody would
    /// have read are dropped (RFC 6121, section 8.5.2).
    pub(super) fn refuse_or_drop(&mut self, stanza: StanzaIn, error: &StanzaError, out: &mut Outputs) {
        let xml = stanza.xml.clone();
        let content = StanzaContent::read(&xml, &stanza.from);
        match content.filter(is_answered) {
            Some(content) => self.refuse_unread(stanza, &content, error, out),
            None => out.finished.push((stanza.receipt, Outcome::Done)),
        }
    }

    fn refuse_unread(&mut self, stanza: StanzaIn, content: &StanzaContent<'_>, error: &StanzaError, out: &mut Outputs) {
        let partner = self.settings.partner(&stanza.from.domain_name());
        self.metrics.message_refused(partner.map(|partner| &partner.primary), To::Sip);
        let StanzaIn { kind, from, to, trace, receipt, .. } = stanza;
        let answered = Answered { kind, from: &from, to: &to, id: content.id.as_deref(), trace };
        self.refuse_stanza(&answered, receipt, error, out);
    }

    /// Whether a remote user or his partner asks for more than a minute allows (RFC 8048, section 8.1).
    pub(super) fn is_too_much(&mut self, stanza: &StanzaIn, partner: &PartnerEntry, what: Counted, now: Now) -> bool {
        let limits = &self.settings.quotas;
        !self.quotas.take(&stanza.from.bare(), &partner.primary, what, limits, now.unix_ms)
    }

    fn translate_to_sip(
        &mut self,
        stanza: StanzaIn,
        content: &StanzaContent<'_>,
        partner: PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        let key = StanzaKey { origin: stanza.origin, key: stanza.key };
        let wishes = self.wishes_of(content, &stanza.to);
        let may_stream = content.message_type == MessageType::Chat && self.may_stream(&stanza, now);
        let max_bytes = self.settings.max_message_bytes;
        let context = ToSipContext { key, max_bytes, may_stream, now_ms: now.unix_ms, wishes };
        if content.message_type == MessageType::Headline && self.settings.messages.drop_headlines {
            return out.finished.push((stanza.receipt, Outcome::Done));
        }
        match message::message_to_sip(content, &stanza.from, &stanza.to, &context) {
            FromXmpp::Send(translated) => {
                let StanzaIn { from, to, receipt, trace, xml, .. } = stanza;
                let settings = &self.settings.messages;
                let pair = PairKey { local: to.bare(), remote: from.bare() };
                let written = Written {
                    is_chat: translated.message_type == MessageType::Chat,
                    thread: content.thread.as_deref().filter(|_| settings.stable_thread),
                    state: content.chat_state.filter(|_| settings.chat_states),
                };
                let wants_receipt = content.wants_receipt && settings.receipts_from_200;
                let archived = self.note_to_sip(content, &pair, &partner);
                self.conversations.written(&pair, &from, written, now);
                self.sign_of_life(&pair, now, out);
                let wrapped = translated.message_id.map(|message_id| {
                    let id = translated.id.clone().unwrap_or_default();
                    self.notices.xmpp_asks(
                        &pair,
                        &message_id,
                        from.clone(),
                        id,
                        wishes.unwrap_or_default(),
                        now.unix_ms,
                    );
                    Box::new((xml, key))
                });
                let pager = Pager {
                    errand: Errand::Stanza { receipt, wants_receipt, wrapped },
                    from,
                    to,
                    id: translated.id,
                    message_type: translated.message_type,
                    partner,
                    since: now.instant,
                    trace,
                    request: Some((translated.request, translated.branch)),
                    is_rerouted: false,
                    too_long: translated.too_long,
                    archived,
                };
                self.deliver(pager, now, out);
            }
            FromXmpp::Signal | FromXmpp::Nothing => out.finished.push((stanza.receipt, Outcome::Done)),
            FromXmpp::Error(error) => {
                self.late_error(content, &error, &stanza, &partner, now, out);
                out.finished.push((stanza.receipt, Outcome::Done));
            }
            FromXmpp::Refuse(error) => {
                if let Meaning::Encrypted(encryption) = content.meaning() {
                    self.metrics.message_encrypted(encryption);
                }
                // RFC 6121, section 8.5.2: a headline is never answered.
                if content.message_type == MessageType::Headline {
                    self.metrics.message_refused(Some(&partner.primary), To::Sip);
                    return out.finished.push((stanza.receipt, Outcome::Done));
                }
                self.refuse_unread(stanza, content, &error, out);
            }
        }
    }

    /// What is kept of a partner's message, if anything is.
    fn note_to_sip(
        &self,
        content: &StanzaContent<'_>,
        pair: &PairKey,
        partner: &PartnerEntry,
    ) -> Option<Box<ArchivedMessage>> {
        let bodies = &self.settings.bodies;
        if !bodies.want(&partner.primary) {
            return None;
        }
        bodies.note(Noted {
            partner: &partner.primary,
            local: &pair.local,
            remote: &pair.remote,
            direction: ArchivedDirection::Inbound,
            // A session that takes it says so.
            kind: ArchivedKind::Pager,
            body: content.body.as_deref().or(content.subject.as_deref()).unwrap_or_default(),
            stanza_id: content.id.as_deref(),
        })
    }

    /// What a wrapping asks for on behalf of the XMPP user, if messages are wrapped for this SIP user.
    fn wishes_of(&self, content: &StanzaContent<'_>, to: &Jid) -> Option<Wishes> {
        let settings = &self.settings.messages;
        if !settings.cpim_to_pool || content.id.is_none() {
            return None;
        }
        let displayed = content.is_markable && settings.markers;
        let wishes = Wishes { delivered: content.wants_receipt, failed: true, displayed };
        let is_asked = wishes.delivered || wishes.displayed;
        (is_asked && !self.unwrapping.contains(&to.bare())).then_some(wishes)
    }

    /// Sends a message in a session or by itself, as soon as nothing else is under way to the address.
    pub(super) fn deliver(&mut self, pager: Pager, now: Now, out: &mut Outputs) {
        let Some(mut pager) = self.say_in_session(pager, now, out) else { return };
        if let Some(error) = pager.too_long.take() {
            return self.refuse_message(pager, &error, out);
        }
        match self.lanes.offer(&pager.to.bare(), pager, |pager| pager.from.domain(), now.instant) {
            Lane::Send(pager) => self.send_message(pager, now, out),
            Lane::Queued => {}
            Lane::Full(pager) => self.message_refused_full(pager, out),
        }
    }

    /// Refuses a message because too many wait for its recipient.
    pub(super) fn message_refused_full(&mut self, pager: Pager, out: &mut Outputs) {
        let error = StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint);
        self.refuse_message(pager, &error, out);
    }

    /// Refuses a message of somebody who may not reach the SIP user any more.
    pub(super) fn message_unallowed(&mut self, pager: Pager, out: &mut Outputs) {
        let error = StanzaError::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable);
        self.refuse_message(pager, &error, out);
    }

    fn send_message(&mut self, mut pager: Pager, now: Now, out: &mut Outputs) {
        if let Some(archived) = &mut pager.archived {
            archived.kind = ArchivedKind::Pager;
        }
        let Some((request, branch)) = pager.request.take() else {
            return match pager.errand {
                Errand::Stanza { receipt, .. } => out.finished.push((receipt, Outcome::Done)),
                Errand::Status | Errand::Notification => {}
            };
        };
        self.send_request(request, &Route::Pool, Purpose::Message(Box::new(pager)), Some(branch), now, out);
    }

    /// SIP has answered a message.
    pub(super) fn message_answered(&mut self, mut pager: Pager, answer: &Answer, now: Now, out: &mut Outputs) {
        if self.takes_off_wrapping(&mut pager, answer, now) {
            // It keeps its place in the lane.
            return self.send_message(pager, now, out);
        }
        let next = self.lanes.answered(&pager.to.bare());
        self.conclude(pager, answer, now, out);
        if let Some(next) = next {
            self.send_message(next, now, out);
        }
    }

    /// Prepares a message to go without its wrapping, if that is what the device did not take, which is remembered.
    fn takes_off_wrapping(&mut self, pager: &mut Pager, answer: &Answer, now: Now) -> bool {
        let is_about_type =
            matches!(answer, Answer::Response(response) if response.status == Status::UNSUPPORTED_MEDIA_TYPE);
        let wrapped = match &mut pager.errand {
            Errand::Stanza { wrapped, .. } => wrapped.take_if(|_| is_about_type),
            Errand::Status | Errand::Notification => None,
        };
        let Some(wrapped) = wrapped else { return false };
        if self.unwrapping.len() < UNWRAPPING {
            self.unwrapping.insert(pager.to.bare());
        }
        let (xml, key) = *wrapped;
        // Another request, and another transaction.
        let key = StanzaKey { origin: !key.origin, ..key };
        let max_bytes = self.settings.max_message_bytes;
        let context = ToSipContext { key, max_bytes, may_stream: false, now_ms: now.unix_ms, wishes: None };
        let content = StanzaContent::read(&xml, &pager.from);
        match content.map(|content| message::message_to_sip(&content, &pager.from, &pager.to, &context)) {
            Some(FromXmpp::Send(plain)) => {
                pager.request = Some((plain.request, plain.branch));
                true
            }
            Some(FromXmpp::Signal | FromXmpp::Nothing | FromXmpp::Error(_) | FromXmpp::Refuse(_)) | None => false,
        }
    }

    /// Ends a message with SIP's last word on it, whatever carried it.
    pub(super) fn conclude(&mut self, mut pager: Pager, answer: &Answer, now: Now, out: &mut Outputs) {
        if self.takes_off_wrapping(&mut pager, answer, now) {
            return self.deliver(pager, now, out);
        }
        let failure = match answer {
            Answer::Response(response) if response.status.is_success() => None,
            Answer::Response(response) => Some(SipFailure::Status {
                code: response.status.code(),
                reason: response.reason.as_str().map(str::to_owned),
            }),
            Answer::Timeout => Some(SipFailure::Timeout),
            Answer::Unreachable => Some(SipFailure::Transport),
        };
        match failure {
            None => self.message_arrived(pager, answer, now, out),
            Some(failure) => match &pager.errand {
                Errand::Stanza { .. } => {
                    self.message_failed(&pager, &failure, now, out);
                    let error = error::failure_to_error(&failure, pager.partner.partner_type);
                    self.refuse_message(pager, &error, out);
                }
                Errand::Status => self.status_refused(&pager, &failure, now),
                Errand::Notification => {}
            },
        }
    }

    fn message_arrived(&mut self, pager: Pager, answer: &Answer, now: Now, out: &mut Outputs) {
        // 202 is a relay's word, which promises nothing (RFC 3428, section 7).
        let is_final = matches!(answer, Answer::Response(response) if response.status == Status::OK);
        let due = pager.due().filter(|_| is_final);
        let Errand::Stanza { receipt, .. } = pager.errand else { return };
        let after = now.instant.saturating_duration_since(pager.since);
        self.metrics.message_to_sip_delivered(&pager.partner.primary, after);
        out.finished.push((receipt, Outcome::Done));
        if let Some(archived) = pager.archived {
            let outcome = (!is_final).then(|| archive::ACCEPTED.to_owned());
            out.archived.push(ArchivedMessage { at_ms: now.unix_ms, outcome, ..*archived });
        }
        if let Some(due) = due {
            let pair = PairKey { local: pager.to.bare(), remote: pager.from.bare() };
            self.tell(pair, due, now, out);
        }
    }

    fn message_failed(&mut self, pager: &Pager, failure: &SipFailure, now: Now, out: &mut Outputs) {
        let (kind, cause) = match failure {
            SipFailure::Status { code: code @ (401 | 407), .. } => {
                (Code::SipNotTrusted, format!("the pool asks the gateway for credentials ({code})"))
            }
            SipFailure::Status { code, .. } => (Code::SipRefused, format!("the pool refused a message with {code}")),
            SipFailure::Timeout => (Code::SipSilent, "the pool did not answer a message within 32 s".to_owned()),
            SipFailure::Transport => (Code::SipUnreachable, "no target of the pool could be reached".to_owned()),
        };
        out.verdicts.push(Verdict {
            partner: pager.partner.primary.as_str().to_owned(),
            at_ms: now.unix_ms,
            ..Verdict::of(kind, cause)
        });
    }

    fn refuse_message(&mut self, pager: Pager, error: &StanzaError, out: &mut Outputs) {
        let Errand::Stanza { receipt, .. } = pager.errand else { return };
        self.metrics.message_refused(Some(&pager.partner.primary), To::Sip);
        // RFC 6121, section 8.5.2: a headline is never answered.
        if pager.message_type == MessageType::Headline {
            return out.finished.push((receipt, Outcome::Done));
        }
        let answered = Answered {
            kind: StanzaKind::Message,
            from: &pager.from,
            to: &pager.to,
            id: pager.id.as_deref(),
            trace: pager.trace,
        };
        self.refuse_stanza(&answered, receipt, error, out);
    }

    /// Answers a partner's stanza with an error (RFC 6120, section 8.3.1); it is finished when that has arrived.
    pub(super) fn refuse_stanza(
        &mut self,
        answered: &Answered<'_>,
        mut receipt: Receipt,
        error: &StanzaError,
        out: &mut Outputs,
    ) {
        receipt.refused(error.condition.as_str());
        let xml = error::error_stanza(answered.kind, answered.from, answered.to, answered.id, error);
        self.answer_stanza(answered, receipt, xml, out);
    }

    /// Sends an answer to a partner's stanza, which is finished when the answer has arrived.
    pub(super) fn answer_stanza(
        &mut self,
        answered: &Answered<'_>,
        receipt: Receipt,
        xml: bytes::Bytes,
        out: &mut Outputs,
    ) {
        let key = self.next_key();
        self.stanzas.insert(key, StanzaPurpose::Answer(receipt));
        out.stanzas.push(StanzaOut {
            key,
            kind: answered.kind,
            from: answered.to.clone(),
            to: answered.from.clone(),
            xml,
            patience: ANSWER_PATIENCE,
            trace: answered.trace,
            is_owed: true,
        });
    }

    /// Messages that waited too long behind an unanswered one.
    pub(super) fn expire_messages(&mut self, now: Now, out: &mut Outputs) {
        if self.lanes.deadline().is_none_or(|at| at > now.instant) {
            return;
        }
        let mut expired = Vec::new();
        self.lanes.expire(now.instant, &mut expired);
        for pager in expired {
            let error = StanzaError::new(ErrorType::Wait, StanzaCondition::RemoteServerTimeout);
            self.refuse_message(pager, &error, out);
        }
    }

    /// Keeps watching for somebody who writes; most messages change nothing.
    fn sign_of_life(&mut self, pair: &PairKey, now: Now, out: &mut Outputs) {
        let settings = &self.settings.presence;
        let wants = self.pairs.glance(pair).is_some_and(|held| held.pair.wants_activity(now.unix_ms, settings));
        if wants {
            self.pair_event(pair.clone(), PairEvent::quiet(PairInput::Activity), now, out);
        }
    }
}

/// Whether there is something in a message that the gateway carries or matches to what it has carried.
fn is_carried(content: &StanzaContent<'_>) -> bool {
    match content.message_type {
        MessageType::Groupchat => false,
        MessageType::Error => true,
        MessageType::Normal | MessageType::Chat | MessageType::Headline => content.meaning() != Meaning::Nothing,
    }
}

/// Whether a refused message is answered: not an error, not a headline, and not what nobody would have read (RFC 6121,
/// section 8.5.2).
fn is_answered(content: &StanzaContent<'_>) -> bool {
    match content.message_type {
        MessageType::Groupchat => true,
        MessageType::Error | MessageType::Headline => false,
        MessageType::Normal | MessageType::Chat => match content.meaning() {
            Meaning::Text | Meaning::Encrypted(_) => true,
            Meaning::Signal | Meaning::Nothing => false,
        },
    }
}

/// Whether a message is a chat state, receipt or marker alone.
fn is_signal(content: &StanzaContent<'_>) -> bool {
    match content.message_type {
        MessageType::Groupchat | MessageType::Error => false,
        MessageType::Normal | MessageType::Chat | MessageType::Headline => content.meaning() == Meaning::Signal,
    }
}
