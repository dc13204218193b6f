//! Pager messages under way, both directions (RFC 7572).
//!
//! Towards SIP: policy, translation, one at a time per address, final response, and for a failure the error stanza. The
//! partner's stanza is finished when that is. Towards XMPP: the sender's transaction is answered when the edge says how
//! the stanza ended.

use std::time::Duration;

use causeway_shared::jid::Jid;
use causeway_shared::link::{Outcome, StanzaKind, TraceContext};
use causeway_shared::telemetry;
use causeway_shared::verdict::{Direction, Rung, Side, Verdict};
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::endpoint::ServerTransaction;
use causeway_sip::field::Token;
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::Status;
use causeway_sip::session::SessionId;

use super::lanes::Admission as Lane;
use super::pairs::PairEvent;
use super::requests::{Purpose, Route};
use super::{Engine, Now, Outputs, StanzaPurpose};
use crate::link::{Receipt, StanzaIn, StanzaOut};
use crate::policy::{self, Admission, Intent, PartnerEntry, Standing};
use crate::presence::record::PairKey;
use crate::presence::{Answer, PairInput};
use crate::quota::Counted;
use crate::translate::content::{self, Reading};
use crate::translate::error::{self, Purpose as Asked, Recipient, SipFailure};
use crate::translate::message::{self, FromSip, FromXmpp, MessageType, StanzaKey, ToSipContext, ToXmppContext};
use crate::translate::message_stanza::{Meaning, StanzaContent};

/// How long the sender of a SIP MESSAGE waits for the stanza to be written: less than Timer F, 32 s.
pub(super) const MESSAGE_PATIENCE: Duration = Duration::from_secs(25);

/// How long an error or answer for a partner may wait for a stream.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// A partner's message on its way to SIP.
#[derive(Debug)]
pub(super) struct Pager {
    receipt: Receipt,
    pub(super) from: Jid,
    pub(super) to: Jid,
    id: Option<String>,
    pub(super) message_type: MessageType,
    pub(super) partner: PartnerEntry,
    trace: TraceContext,
    /// Until it is sent by itself.
    pub(super) request: Option<(Request, Token)>,
    /// Whether a session could not carry it.
    pub(super) is_rerouted: bool,
}

/// A SIP MESSAGE whose sender waits for the stanza's outcome.
#[derive(Debug)]
pub(super) struct Inquiry {
    transaction: ServerTransaction,
    request: Request,
    to: Jid,
    /// The answer if it was delivered.
    success: Status,
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
        match self.pairs.settled(&key).map(|held| held.pair.is_added()) {
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
        let message_type = message::message_type(&stanza.xml);
        let standing = Standing {
            partner: partner.partner_type,
            is_allowed: self.settings.may_federate(&stanza.to.bare()),
            is_added,
        };
        let mut admission = policy::admit_stanza(Intent::Message(message_type), standing);
        if stanza.to.local().is_none() && admission == Admission::Pass {
            // A domain has no inbox.
            admission = match message_type {
                MessageType::Normal | MessageType::Chat | MessageType::Groupchat => {
                    Admission::Error(StanzaError::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable))
                }
                MessageType::Headline | MessageType::Error => Admission::Drop,
            };
        }
        match admission {
            Admission::Pass => self.translate_to_sip(stanza, partner, now, out),
            Admission::Drop | Admission::Unsubscribed => out.finished.push((stanza.receipt, Outcome::Done)),
            Admission::Error(error) => self.refuse_or_drop(stanza, &error, out),
        }
    }

    /// Answers a message that policy refuses, if it is one to be answered: a headline, an error, and what nobody would
    /// have read are dropped (RFC 6121, section 8.5.2).
    pub(super) fn refuse_or_drop(&mut self, stanza: StanzaIn, error: &StanzaError, out: &mut Outputs) {
        let is_answered = match message::message_type(&stanza.xml) {
            MessageType::Normal | MessageType::Chat => StanzaContent::read(&stanza.xml, &stanza.from)
                .is_some_and(|content| matches!(content.meaning(), Meaning::Text | Meaning::Encrypted(_))),
            MessageType::Groupchat => true,
            MessageType::Headline | MessageType::Error => false,
        };
        if !is_answered {
            return out.finished.push((stanza.receipt, Outcome::Done));
        }
        self.metrics.message_refused();
        let id = message::stanza_id(&stanza.xml);
        let StanzaIn { kind, from, to, trace, receipt, .. } = stanza;
        let answered = Answered { kind, from: &from, to: &to, id: id.as_deref(), trace };
        self.refuse_stanza(&answered, receipt, error, out);
    }

    /// Whether a remote user or his partner asks for more than a minute allows (RFC 8048, section 8.1).
    pub(super) fn is_too_much(&mut self, stanza: &StanzaIn, partner: &PartnerEntry, what: Counted, now: Now) -> bool {
        let limits = &self.settings.quotas;
        !self.quotas.take(&stanza.from.bare(), &partner.primary, what, limits, now.unix_ms)
    }

    fn translate_to_sip(&mut self, stanza: StanzaIn, partner: PartnerEntry, now: Now, out: &mut Outputs) {
        let StanzaIn { from, to, xml, origin, key, receipt, trace, kind, .. } = stanza;
        let Some(content) = StanzaContent::read(&xml, &from) else {
            return out.finished.push((receipt, Outcome::Done));
        };
        let context = ToSipContext {
            key: StanzaKey { origin, key },
            max_bytes: self.settings.max_message_bytes,
            now_ms: now.unix_ms,
        };
        match message::message_to_sip(&content, &from, &to, &context) {
            FromXmpp::Send(translated) => {
                let pair = PairKey { local: to.bare(), remote: from.bare() };
                let is_chat = translated.message_type == MessageType::Chat;
                self.conversations.written(&pair, &from, is_chat, now.unix_ms);
                self.sign_of_life(&pair, now, out);
                let pager = Pager {
                    receipt,
                    from,
                    to,
                    id: translated.id,
                    message_type: translated.message_type,
                    partner,
                    trace,
                    request: Some((translated.request, translated.branch)),
                    is_rerouted: false,
                };
                self.deliver(pager, now, out);
            }
            FromXmpp::Signal | FromXmpp::Nothing => out.finished.push((receipt, Outcome::Done)),
            FromXmpp::Error(error) => {
                // The answer to a message that SIP was told is accepted: it cannot be taken back.
                self.metrics.late_error();
                out.verdicts.push(Verdict {
                    rung: Rung::Stanza,
                    side: Side::Theirs,
                    cause: format!(
                        "{} came back for a message that had been accepted: {} to {}",
                        error.condition.as_str(),
                        to.bare_str(),
                        from.bare_str()
                    ),
                    remedy: "The partner refused the message after taking it; SIP has no way to tell the sender."
                        .to_owned(),
                    partner: partner.primary.as_str().to_owned(),
                    direction: Direction::Out,
                    peer: None,
                    at_ms: now.unix_ms,
                    facts: None,
                });
                out.finished.push((receipt, Outcome::Done));
            }
            FromXmpp::Refuse(error) => {
                self.metrics.message_refused();
                let answered = Answered { kind, from: &from, to: &to, id: content.id.as_deref(), trace };
                self.refuse_stanza(&answered, receipt, &error, out);
            }
        }
    }

    /// Sends a message in a session or by itself, as soon as nothing else is under way to the address.
    pub(super) fn deliver(&mut self, pager: Pager, now: Now, out: &mut Outputs) {
        let Some(pager) = self.say_in_session(pager, now, out) else { return };
        match self.lanes.offer(&pager.to.bare(), pager, now.instant) {
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

    fn send_message(&mut self, mut pager: Pager, now: Now, out: &mut Outputs) {
        let Some((request, branch)) = pager.request.take() else {
            return out.finished.push((pager.receipt, Outcome::Done));
        };
        self.send_request(request, &Route::Pool, Purpose::Message(Box::new(pager)), Some(branch), now, out);
    }

    /// SIP has answered a partner's message.
    pub(super) fn message_answered(&mut self, pager: Pager, answer: &Answer, now: Now, out: &mut Outputs) {
        let next = self.lanes.answered(&pager.to.bare());
        self.conclude(pager, answer, now, out);
        if let Some(next) = next {
            self.send_message(next, now, out);
        }
    }

    /// Ends a partner's message with SIP's last word on it, whatever carried it.
    pub(super) fn conclude(&mut self, pager: Pager, answer: &Answer, now: Now, out: &mut Outputs) {
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
            None => {
                self.metrics.message_to_sip_delivered();
                out.finished.push((pager.receipt, Outcome::Done));
            }
            Some(failure) => {
                self.message_failed(&pager, &failure, now, out);
                let error = error::failure_to_error(&failure, pager.partner.partner_type);
                self.refuse_message(pager, &error, out);
            }
        }
    }

    fn message_failed(&mut self, pager: &Pager, failure: &SipFailure, now: Now, out: &mut Outputs) {
        let (side, cause, remedy) = match failure {
            SipFailure::Status { code: code @ (401 | 407), .. } => (
                Side::Operator,
                format!("the pool asks the gateway for credentials ({code})"),
                "Make the pool trust the gateway's address or certificate.",
            ),
            SipFailure::Status { code, .. } => (
                Side::Operator,
                format!("the pool refused a message with {code}"),
                "Nothing, if the user is unknown or away; else look into the pool's log.",
            ),
            SipFailure::Timeout => (
                Side::Network,
                "the pool did not answer a message within 32 s".to_owned(),
                "Check that the pool is up and reaches the user.",
            ),
            SipFailure::Transport => (
                Side::Network,
                "no target of the pool could be reached".to_owned(),
                "Check sip.next_hops and that the pool listens there.",
            ),
        };
        out.verdicts.push(Verdict {
            rung: Rung::Sip,
            side,
            cause,
            remedy: remedy.to_owned(),
            partner: pager.partner.primary.as_str().to_owned(),
            direction: Direction::In,
            peer: None,
            at_ms: now.unix_ms,
            facts: None,
        });
    }

    fn refuse_message(&mut self, pager: Pager, error: &StanzaError, out: &mut Outputs) {
        self.metrics.message_refused();
        // RFC 6121, section 8.5.2: a headline is never answered.
        if pager.message_type == MessageType::Headline {
            return out.finished.push((pager.receipt, Outcome::Done));
        }
        let answered = Answered {
            kind: StanzaKind::Message,
            from: &pager.from,
            to: &pager.to,
            id: pager.id.as_deref(),
            trace: pager.trace,
        };
        self.refuse_stanza(&answered, pager.receipt, error, out);
    }

    /// Answers a partner's stanza with an error (RFC 6120, section 8.3.1); it is finished when that has arrived.
    pub(super) fn refuse_stanza(
        &mut self,
        answered: &Answered<'_>,
        receipt: Receipt,
        error: &StanzaError,
        out: &mut Outputs,
    ) {
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
        let wants = self.pairs.settled(pair).is_some_and(|held| held.pair.wants_activity(now.unix_ms, settings));
        if wants {
            self.pair_event(pair.clone(), PairEvent::quiet(PairInput::Activity), now, out);
        }
    }

    /// A MESSAGE of a SIP user, in a session or by itself.
    #[expect(clippy::too_many_arguments, reason = "who writes to whom, how, when, and where effects go")]
    pub(super) fn message_from_sip(
        &mut self,
        transaction: ServerTransaction,
        request: Request,
        pair: &PairKey,
        partner: &PartnerEntry,
        session: Option<SessionId>,
        now: Now,
        out: &mut Outputs,
    ) {
        let span = tracing::debug_span!(target: "causeway::stanza", "sip_message");
        let trace = telemetry::context_of(&span);
        // The device of the XMPP user, if the pool addressed one; else where he wrote from.
        let named = crate::translate::address::uri_to_jid(&request.uri).ok().filter(|jid| jid.resource().is_some());
        let to = named.unwrap_or_else(|| self.conversations.address(pair, now.unix_ms));
        let from = pair.local.as_jid().clone();
        let context = ToXmppContext {
            now_ms: now.unix_ms,
            is_chat: session.is_some() || self.conversations.is_chat(pair, now.unix_ms),
            max_stanza_bytes: self.settings.max_stanza_bytes,
            reading: Reading::default(),
            with_markers: false,
            chat_state: None,
            thread: None,
        };
        // 202: handed to a relay into another world (RFC 3428, section 7). Clients in a session expect 200.
        let success = if session.is_some() { Status::OK } else { Status::ACCEPTED };
        match message::message_to_xmpp(&request, &from, &to, &context) {
            FromSip::Send { xml, .. } => {
                let key = self.next_key();
                self.stanzas
                    .insert(key, StanzaPurpose::Message(Inquiry { transaction, request, to: to.clone(), success }));
                out.stanzas.push(StanzaOut {
                    key,
                    kind: StanzaKind::Message,
                    from,
                    to,
                    xml,
                    patience: MESSAGE_PATIENCE,
                    trace,
                    is_owed: false,
                });
            }
            FromSip::Composing(_) | FromSip::Notification(_) | FromSip::Discard => {
                self.respond(transaction, Response::to(&request, success), now, out);
            }
            FromSip::Refuse(refusal) => {
                out.verdicts.push(Verdict {
                    rung: Rung::Translation,
                    side: Side::Operator,
                    cause: format!("a MESSAGE has no XMPP form: {refusal}"),
                    remedy: format!("The gateway carries {}.", content::ACCEPT),
                    partner: partner.primary.as_str().to_owned(),
                    direction: Direction::Out,
                    peer: None,
                    at_ms: now.unix_ms,
                    facts: None,
                });
                self.respond(transaction, refusal.response(&request), now, out);
            }
        }
    }

    /// The edge has said what became of a SIP user's message.
    pub(super) fn message_to_xmpp_ended(&mut self, inquiry: Inquiry, outcome: &Outcome, now: Now, out: &mut Outputs) {
        let Inquiry { transaction, request, to, success } = inquiry;
        let response = match outcome {
            Outcome::Done => {
                self.metrics.message_to_xmpp_delivered();
                Response::to(&request, success)
            }
            Outcome::Failed(failure) => {
                self.metrics.message_refused();
                let recipient = if to.resource().is_some() { Recipient::Full } else { Recipient::Bare };
                let answer = error::condition_to_status(failure.condition, recipient, Asked::Conversation);
                let mut response = Response::to(&request, Status::new(answer.status).unwrap_or(Status::SERVER_ERROR));
                if let Some(seconds) = answer.retry_after {
                    response = response.with(HeaderName::RetryAfter, HeaderValue::from(seconds));
                }
                response
            }
        };
        self.respond(transaction, response, now, out);
    }
}
