//! Messages of SIP users on their way to XMPP (RFC 7572, section 5): the sender's transaction is answered when the edge says
//! how the stanza ended.

use std::time::Duration;

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::link::{Outcome, StanzaKind};
use causeway_shared::telemetry::{Span, SpanKind};
use causeway_shared::verdict::{Code, Direction, Verdict};
use causeway_sip::endpoint::ServerTransaction;
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::Status;
use causeway_sip::session::SessionId;
use causeway_sip::uri::Uri;

use crate::archive::Noted;
use crate::body::cpim::Fields;
use crate::engine::{Engine, Now, Outputs, Sent, StanzaPurpose};
use crate::link::StanzaOut;
use crate::metrics::To;
use crate::policy::PartnerEntry;
use crate::presence::record::PairKey;
use crate::store::operator::{ArchivedDirection, ArchivedKind, ArchivedMessage};
use crate::translate::address;
use crate::translate::content::{Content, Reading};
use crate::translate::error::{self, Purpose as Asked, Recipient};
use crate::translate::message::{self, ToXmppContext, Unread};

/// How long the sender of a SIP MESSAGE waits for the stanza to be written: less than Timer F, 32 s.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(25);

/// A SIP MESSAGE whose sender waits for the stanza's outcome.
#[derive(Debug)]
pub(in crate::engine) struct Inquiry {
    transaction: ServerTransaction,
    request: Request,
    to: Jid,
    sent: Sent,
    /// The answer if it was delivered.
    success: Status,
}

impl Engine {
    /// A MESSAGE of a SIP user, in a session or by itself.
    #[expect(clippy::too_many_arguments, reason = "who writes to whom, how, when, and where effects go")]
    pub(in crate::engine) fn message_from_sip(
        &mut self,
        transaction: ServerTransaction,
        request: Request,
        pair: &PairKey,
        partner: &PartnerEntry,
        session: Option<SessionId>,
        now: Now,
        out: &mut Outputs,
    ) {
        let trace = self.trace_of(transaction);
        let _decision = Span::below(trace, "decide", SpanKind::Internal);
        // 202: handed to a relay into another world (RFC 3428, section 7). Clients in a session expect 200.
        let success = if session.is_some() { Status::OK } else { Status::ACCEPTED };
        let settings = &self.settings.messages;
        let (reading, with_markers) = (Reading { with_xhtml: settings.xhtml_im }, settings.markers);
        let (is_auto, with_states) = (settings.reply_type_auto, settings.chat_states);
        let max_stanza_bytes = self.settings.max_stanza_bytes;
        let content = match message::read_message(&request, reading, now.unix_ms) {
            Ok(content) => content,
            Err(unread) => return self.message_unread(transaction, &request, unread, partner, now, out),
        };
        let text = match content {
            Content::Text(text) => text,
            Content::Composing(status) => {
                self.status_from_sip(pair, status, now, out);
                return self.respond(transaction, Response::to(&request, success), now, out);
            }
            Content::Notification(imdn) => {
                self.notification_from_sip(pair, &imdn, now, out);
                return self.respond(transaction, Response::to(&request, success), now, out);
            }
            Content::Nothing => return self.respond(transaction, Response::to(&request, success), now, out),
        };
        let reply = self.conversations.heard(pair, now);
        // The device of the XMPP user, if the pool addressed one; else where he wrote from.
        let named = address::uri_to_jid(&request.uri).ok();
        // In a session the Request-URI is our Contact, and nothing there may lead elsewhere.
        let named = named.filter(|jid| jid.resource().is_some() && jid.bare_str() == pair.remote.as_str());
        let to = named.unwrap_or(reply.to);
        let from = sender(&request, pair);
        let context = ToXmppContext {
            now_ms: now.unix_ms,
            is_chat: session.is_some() || (is_auto && reply.is_chat),
            max_stanza_bytes,
            with_markers,
            chat_state: reply.state.filter(|_| with_states),
            thread: reply.thread.as_deref(),
        };
        let kind = if session.is_some() { ArchivedKind::Session } else { ArchivedKind::Pager };
        let mut archived = self.note_to_xmpp(&text.body, kind, pair, partner);
        match message::message_to_xmpp(&request, text, &from, &to, &context) {
            Ok(translated) => {
                if let Some(archived) = &mut archived {
                    archived.stanza_id = Some(translated.id.clone());
                }
                if let Some(wrapping) = translated.wrapping {
                    note_other_sender(&wrapping, pair);
                    self.notices.sip_asks(pair, &translated.id, wrapping, now.unix_ms);
                }
                let xml = translated.xml;
                let key = self.next_key();
                let inquiry = Inquiry {
                    transaction,
                    request,
                    to: to.clone(),
                    sent: Sent { partner: partner.primary.clone(), at: now.instant, archived },
                    success,
                };
                self.stanzas.insert(key, StanzaPurpose::Message(inquiry));
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
            Err(refusal) => self.message_unread(transaction, &request, refusal.into(), partner, now, out),
        }
    }

    /// What is kept of a SIP user's message, if anything is.
    pub(in crate::engine) fn note_to_xmpp(
        &self,
        body: &str,
        kind: ArchivedKind,
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
            direction: ArchivedDirection::Outbound,
            kind,
            body,
            // The translation gives it one.
            stanza_id: None,
        })
    }

    /// Answers what is not carried: with success, if it has expired.
    fn message_unread(
        &mut self,
        transaction: ServerTransaction,
        request: &Request,
        unread: Unread,
        partner: &PartnerEntry,
        now: Now,
        out: &mut Outputs,
    ) {
        let refusal = match unread {
            Unread::Expired => return self.respond(transaction, Response::to(request, Status::ACCEPTED), now, out),
            Unread::Refused(refusal) => refusal,
        };
        out.verdicts.push(Verdict {
            partner: partner.primary.as_str().to_owned(),
            direction: Direction::Out,
            at_ms: now.unix_ms,
            ..Verdict::of(Code::TranslationMessage, format!("a MESSAGE has no XMPP form: {refusal}"))
        });
        self.respond(transaction, refusal.response(request), now, out);
    }

    /// The edge has said what became of a SIP user's message.
    pub(in crate::engine) fn message_to_xmpp_ended(
        &mut self,
        inquiry: Inquiry,
        outcome: &Outcome,
        now: Now,
        out: &mut Outputs,
    ) {
        let Inquiry { transaction, request, to, sent, success } = inquiry;
        let response = match outcome {
            Outcome::Done => {
                let after = now.instant.saturating_duration_since(sent.at);
                self.metrics.message_to_xmpp_delivered(&sent.partner, after);
                out.archived.extend(sent.archived.map(|archived| ArchivedMessage { at_ms: now.unix_ms, ..*archived }));
                Response::to(&request, success)
            }
            Outcome::Failed(failure) => {
                self.metrics.message_refused(Some(&sent.partner), To::Xmpp);
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

/// Who writes: the user whose identity was asserted, with the device that From names, if it is his (RFC 7572, section 5).
fn sender(request: &Request, pair: &PairKey) -> Jid {
    let full = || {
        let from = request.headers.from().ok()?;
        let device = address::device_of_sender(&from)?;
        let is_his = address::uri_to_bare_jid(&from.uri).is_ok_and(|jid| jid == pair.local);
        pair.local.with_resource(&device).ok().filter(|_| is_his)
    };
    // Most name none, and need not be read again to know it.
    let header = request.headers.get(&HeaderName::From);
    let may_name_one =
        header.is_some_and(|from| from.as_bytes().windows(2).any(|part| part.eq_ignore_ascii_case(b"gr")));
    may_name_one.then(full).flatten().unwrap_or_else(|| pair.local.as_jid().clone())
}

/// The addresses of a wrapping route nothing; one that names another sender than SIP does is worth a look.
fn note_other_sender(wrapping: &Fields, pair: &PairKey) {
    let claimed = wrapping.from.as_ref().and_then(|uri| Uri::parse(Bytes::copy_from_slice(uri.as_bytes())).ok());
    let claimed = claimed.and_then(|uri| address::uri_to_bare_jid(&uri).ok());
    if let Some(claimed) = claimed.filter(|claimed| *claimed != pair.local) {
        tracing::info!(user = %pair.local.as_str(), claimed = %claimed.as_str(), "a CPIM message names another sender");
    }
}
