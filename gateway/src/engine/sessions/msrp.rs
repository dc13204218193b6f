//! Sessions whose stream is MSRP (RFC 7573): their offers and answers, and what the stream brings.
//!
//! Such a session opens when its stream is established, so that a connection that never comes about costs no message.

use bytes::Bytes;
use causeway_shared::link::{Outcome, StanzaKind, TraceContext};
use causeway_shared::verdict::{Code, Verdict, unmistakable};
use causeway_sip::field::MediaType;
use causeway_sip::header::Headers;
use causeway_sip::message::Response;
use causeway_sip::method::Status;
use causeway_sip::msrp::message::FailureReport;
use causeway_sip::msrp::session::{MAX_OUTGOING, Outgoing, Receipt, SendFailure};
use causeway_sip::msrp::switch::{self, Ended, Event, Input, Terms};
use causeway_sip::sdp::message::{Msrp, Setup};
use causeway_sip::session::{Description, SessionId};

use super::Talk;
use crate::body::is_composing::{self, IsComposing};
use crate::engine::messages::{ANSWER_PATIENCE, Due};
use crate::engine::requests::Purpose;
use crate::engine::{Engine, Now, Outputs, Sent, StanzaPurpose};
use crate::link::StanzaOut;
use crate::metrics::To;
use crate::presence::Answer;
use crate::presence::record::PairKey;
use crate::session::describe::{self, Offer, Unusable};
use crate::store::operator::{ArchivedKind, ArchivedMessage};
use crate::translate::content::{self, Content, ContentRefusal, Reading};
use crate::translate::error::{self, Purpose as Asked, Recipient};
use crate::translate::message_stanza::MessageStanza;

/// Texts of one stream that may be on their way to XMPP: what a peer can send without waiting shall not take the room of
/// all.
const MAX_UNSETTLED: usize = 64;

/// Reports that one session may wait for: what the stream keeps messages for.
const MAX_REPORTS: usize = MAX_OUTGOING;

impl Engine {
    /// Our offer; under TLS where we can.
    pub(super) fn offer_stream(&mut self, talk: &mut Talk, now: Now) -> Option<Bytes> {
        let config = self.settings.msrp.as_ref()?;
        let (is_secure, host) = (config.tls_port.is_some(), config.host.as_str());
        let switch = self.switch.as_mut()?;
        let stream = switch.reserve(is_secure, now.instant)?;
        let own = switch.stream(stream, Setup::ActPass)?;
        talk.stream = Some(stream);
        Some(describe::offer_msrp(talk.number, host, &own))
    }

    /// Our answer to an offer, and what was agreed on by it.
    pub(super) fn answer_stream(
        &mut self,
        talk: &mut Talk,
        offer: &Offer,
        peer: &Msrp,
        now: Now,
    ) -> Result<(Bytes, Option<Terms>), Unusable> {
        let (Some(config), Some(switch)) = (&self.settings.msrp, &mut self.switch) else {
            return Err(Unusable::NoMsrp);
        };
        let setup = Setup::answer(peer.setup, true).ok_or(Unusable::NoMsrp)?;
        let is_secure = peer.path.first().is_some_and(causeway_sip::msrp::uri::MsrpUri::is_secure);
        let stream = switch.reserve(is_secure, now.instant).ok_or(Unusable::NoMsrp)?;
        let own = switch.stream(stream, setup).ok_or(Unusable::NoMsrp)?;
        talk.stream = Some(stream);
        let answer = describe::answer_msrp(offer, talk.number, talk.version, &config.host, &own);
        Ok((answer, Some(Terms { peer: peer.clone(), is_active: setup == Setup::Active })))
    }

    /// Our side of a stream that is there already, for an offer that leaves it where it is.
    pub(super) fn repeat_stream(&self, talk: &Talk, offer: &Offer, peer: &Msrp) -> Result<Bytes, Unusable> {
        let (Some(config), Some(switch), Some(stream)) = (&self.settings.msrp, &self.switch, talk.stream) else {
            return Err(Unusable::NoMessages);
        };
        let setup = Setup::answer(peer.setup, true).ok_or(Unusable::NoMsrp)?;
        let own = switch.stream(stream, setup).ok_or(Unusable::NoMsrp)?;
        Ok(describe::answer_msrp(offer, talk.number, talk.version, &config.host, &own))
    }

    /// The session is answered by us: the stream may come about.
    pub(super) fn open_stream(&mut self, id: SessionId, terms: Option<Terms>, now: Now, out: &mut Outputs) {
        let stream = self.sessions.talks.get(&id).and_then(|talk| talk.stream);
        if let (Some(session), Some(terms)) = (stream, terms) {
            self.tell_switch(Input::Open { session, terms: Box::new(terms) }, now, out);
        }
    }

    /// The peer has answered our offer.
    pub(super) fn stream_answered(&mut self, id: SessionId, peer: Msrp, now: Now, out: &mut Outputs) {
        let is_active = Setup::is_active(peer.setup);
        self.open_stream(id, Some(Terms { peer, is_active }), now, out);
    }

    /// The session is over, or was never made.
    pub(super) fn close_stream(&mut self, stream: Option<switch::SessionId>, now: Now, out: &mut Outputs) {
        if let Some(session) = stream {
            self.tell_switch(Input::Close { session }, now, out);
        }
    }

    /// What the user of a stream hears.
    pub(in crate::engine) fn msrp_event(
        &mut self,
        stream: switch::SessionId,
        event: Event,
        now: Now,
        out: &mut Outputs,
    ) {
        let id = self.sessions.of_stream.get(&stream).copied();
        match event {
            Event::Established => {
                if let Some(id) = id {
                    self.session_opened(id, now, out);
                }
            }
            Event::Received { content_type, body, receipt, .. } => {
                let Some(id) = id else { return };
                self.stream_message(id, &content_type, &body, receipt, now, out);
            }
            // The end of the session follows, which sends what waits another way.
            Event::Sent { token, result: Err(SendFailure::Closed) } => {
                if let Some(Purpose::InSession { pager, .. }) = self.take_purpose(token) {
                    self.conclude(*pager, &Answer::Unreachable, now, out);
                }
            }
            Event::Sent { token, result } => {
                if let Some(talk) = id.and_then(|id| self.sessions.talks.get_mut(&id)).filter(|_| result.is_err()) {
                    // Its sender has heard that it did not arrive; a report that comes all the same is too late.
                    talk.reports.remove(&token);
                }
                if let Some(Purpose::InSession { session, pager }) = self.take_purpose(token) {
                    let is_reported = pager.due().is_some();
                    self.in_session_answered(session, *pager, &answer_of(result, is_reported), now, out);
                }
            }
            Event::Reported { token, code } => {
                if let Some(id) = id {
                    self.stream_reported(id, token, code, now, out);
                }
            }
            Event::Ended(ended) => {
                if let Some(id) = id {
                    self.stream_ended(id, ended, now, out);
                }
            }
        }
        self.drain_sip(now, out);
    }

    /// The stream is gone, and its session with it (RFC 4975, section 5.4).
    fn stream_ended(&mut self, id: SessionId, ended: Ended, now: Now, out: &mut Outputs) {
        let Some(talk) = self.sessions.talks.get_mut(&id) else { return };
        // It has ended already.
        talk.stream.take().and_then(|stream| self.sessions.of_stream.remove(&stream));
        match ended {
            Ended::Closed | Ended::Idle | Ended::Lost | Ended::Refused(_) | Ended::NeverOpened => {
                self.hang_up(id, now, out);
            }
            Ended::BadPath
            | Ended::NoRoom
            | Ended::Unreachable(_)
            | Ended::NoConnection
            | Ended::Unproven
            | Ended::Violation
            | Ended::Overrun => {
                let who = unmistakable(talk.pair.local.as_str());
                out.verdicts.push(Verdict {
                    partner: talk.partner.primary.as_str().to_owned(),
                    at_ms: now.unix_ms,
                    ..Verdict::of(Code::SipMsrp, format!("an MSRP session with {who} has failed: {ended}"))
                });
                // Our own want of room says nothing about the user.
                if ended == Ended::NoRoom {
                    return self.hang_up(id, now, out);
                }
                self.session_refused(id, now, out);
            }
        }
    }
}

/// MSRP numbers its answers like SIP (RFC 4975, section 10). Where a report is to come, the answer promises nothing yet.
fn answer_of(result: Result<(), SendFailure>, is_reported: bool) -> Answer {
    let status = match result {
        Ok(()) if is_reported => Status::ACCEPTED,
        Ok(()) => Status::OK,
        // The peer knows no such session, or has it on another connection: it has not read the message.
        Err(SendFailure::Refused(481 | 506)) => Status::NO_SUCH_DIALOG,
        Err(SendFailure::Refused(code)) => Status::new(code).unwrap_or(Status::SERVER_ERROR),
        Err(SendFailure::TooLarge) => Status::MESSAGE_TOO_LARGE,
        Err(SendFailure::Timeout) => return Answer::Timeout,
        Err(SendFailure::Busy | SendFailure::Closed) => return Answer::Unreachable,
    };
    Answer::Response(Box::new(Response::from_headers(&Headers::default(), status)))
}

/// Texts, both ways.
impl Engine {
    #[expect(
        clippy::too_many_arguments,
        reason = "what goes where, who wants to hear of it, when, and where effects go"
    )]
    pub(super) fn send_on_stream(
        &mut self,
        id: SessionId,
        stream: switch::SessionId,
        token: u64,
        body: &Description,
        due: Option<Due>,
        now: Now,
        out: &mut Outputs,
    ) {
        let content_type = body.content_type.as_str().unwrap_or("text/plain").to_owned();
        let message = Outgoing {
            token,
            message_id: self.endpoint.ids().token().as_str().to_owned(),
            content_type,
            body: body.body.clone(),
            success_report: due.is_some(),
            failure_report: FailureReport::Yes,
        };
        if let (Some(due), Some(talk)) = (due, self.sessions.talks.get_mut(&id)) {
            if talk.reports.len() >= MAX_REPORTS {
                talk.reports.clear();
            }
            talk.reports.insert(token, due);
        }
        self.tell_switch(Input::Send { session: stream, message }, now, out);
    }

    /// Says that the XMPP user writes; nobody waits for the answer.
    pub(super) fn status_on_stream(
        &mut self,
        stream: switch::SessionId,
        status: IsComposing,
        now: Now,
        out: &mut Outputs,
    ) {
        let message = Outgoing {
            token: self.next_key(),
            message_id: self.endpoint.ids().token().as_str().to_owned(),
            content_type: is_composing::CONTENT_TYPE.to_owned(),
            body: status.write(),
            success_report: false,
            failure_report: FailureReport::No,
        };
        self.tell_switch(Input::Send { session: stream, message }, now, out);
    }

    /// The peer's device has reported a message of ours: the receipt that its sender asked for (RFC 7573, section 7).
    fn stream_reported(&mut self, id: SessionId, token: u64, code: u16, now: Now, out: &mut Outputs) {
        let Some(talk) = self.sessions.talks.get_mut(&id) else { return };
        if let Some(due) = talk.reports.remove(&token).filter(|_| code == 200) {
            let pair = talk.pair.clone();
            self.tell(pair, due, now, out);
        }
    }

    /// Something came on a stream.
    fn stream_message(
        &mut self,
        id: SessionId,
        content_type: &str,
        body: &Bytes,
        receipt: Receipt,
        now: Now,
        out: &mut Outputs,
    ) {
        self.sessions.heard(id, now.instant);
        let Some(talk) = self.sessions.talks.get(&id) else { return };
        let is_full = talk.unsettled >= MAX_UNSETTLED;
        let (Some(stream), pair, thread) = (talk.stream, talk.pair.clone(), talk.thread.clone()) else { return };
        let reading = Reading { with_xhtml: self.settings.messages.xhtml_im };
        let content_type = MediaType::parse(&Bytes::copy_from_slice(content_type.as_bytes()));
        let content = match content_type {
            Ok(content_type) => content::read_content(Some(&content_type), body, reading),
            Err(_) => Err(ContentRefusal::Malformed),
        };
        let text = match content {
            Ok(Content::Text(text)) => text,
            Ok(Content::Composing(status)) => return self.status_from_sip(&pair, status, now, out),
            Ok(Content::Notification(imdn)) => return self.notification_from_sip(&pair, &imdn, now, out),
            Ok(Content::Nothing) => return self.report(stream, receipt, Status::OK, now, out),
            Err(refusal) => return self.report(stream, receipt, refusal.status(), now, out),
        };
        if is_full {
            return self.report(stream, receipt, Status::SERVICE_UNAVAILABLE, now, out);
        }
        let reply = self.conversations.heard(&pair, now);
        let from = pair.local.as_jid().clone();
        let settings = &self.settings.messages;
        let stanza = MessageStanza {
            id: Some(receipt.message_id()),
            is_chat: true,
            thread: Some(reply.thread.as_deref().unwrap_or(&thread)),
            chat_state: reply.state.filter(|_| settings.chat_states),
            wants_receipt: receipt.wants_success(),
            ..MessageStanza::new(&from, &reply.to)
        };
        let stanza = stanza.with_text(&text, settings.markers, now.unix_ms);
        // The wrapping's Message-ID, if it has one.
        let stanza_id = stanza.id.unwrap_or_default().to_owned();
        let talk = self.sessions.talks.get(&id);
        let mut archived =
            talk.and_then(|talk| self.note_to_xmpp(&text.body, ArchivedKind::Msrp, &pair, &talk.partner));
        if let Some(archived) = &mut archived {
            archived.stanza_id = Some(stanza_id.clone());
        }
        let xml = stanza.to_xml();
        if xml.len() > self.settings.max_stanza_bytes {
            return self.report(stream, receipt, Status::MESSAGE_TOO_LARGE, now, out);
        }
        if let Some(talk) = self.sessions.talks.get_mut(&id) {
            talk.unsettled += 1;
            if receipt.wants_success() {
                if talk.awaited.len() >= MAX_REPORTS {
                    talk.awaited.clear();
                }
                talk.awaited.insert(stanza_id.clone(), receipt.clone());
            }
        }
        if let Some(wrapping) = text.wrapping {
            self.notices.sip_asks(&pair, &stanza_id, wrapping, now.unix_ms);
        }
        let partner = self.settings.partner(&pair.remote.domain_name()).map(|partner| partner.primary.clone());
        let sent = Sent { partner: partner.unwrap_or_else(|| pair.remote.domain_name()), at: now.instant, archived };
        let key = self.next_key();
        self.stanzas.insert(key, StanzaPurpose::Stream(stream, receipt, sent));
        out.stanzas.push(StanzaOut {
            key,
            kind: StanzaKind::Message,
            from,
            to: reply.to,
            xml,
            patience: ANSWER_PATIENCE,
            trace: TraceContext::default(),
            is_owed: false,
        });
    }

    /// The edge has said what became of a text of a stream.
    pub(in crate::engine) fn stream_message_ended(
        &mut self,
        stream: switch::SessionId,
        receipt: Receipt,
        sent: Sent,
        outcome: &Outcome,
        now: Now,
        out: &mut Outputs,
    ) {
        match outcome {
            // Success is what the XMPP user's client says of it (RFC 7573, section 7).
            Outcome::Done => {
                let after = now.instant.saturating_duration_since(sent.at);
                self.metrics.message_to_xmpp_delivered(&sent.partner, after);
                out.archived.extend(sent.archived.map(|archived| ArchivedMessage { at_ms: now.unix_ms, ..*archived }));
            }
            Outcome::Failed(failure) => {
                self.metrics.message_refused(Some(&sent.partner), To::Xmpp);
                let answer = error::condition_to_status(failure.condition, Recipient::Bare, Asked::Conversation);
                let status = Status::new(answer.status).unwrap_or(Status::SERVER_ERROR);
                self.report(stream, receipt, status, now, out);
            }
        }
        if let Some(id) = self.sessions.of_stream.get(&stream).copied() {
            if let Some(talk) = self.sessions.talks.get_mut(&id) {
                talk.unsettled = talk.unsettled.saturating_sub(1);
            }
            self.leave_if_draining(id, now, out);
            self.drain_sip(now, out);
        }
    }

    /// The XMPP user's client has a message of the SIP user's.
    pub(in crate::engine) fn received_on_stream(&mut self, pair: &PairKey, id: &str, now: Now, out: &mut Outputs) {
        let sessions = self.sessions.of_pair.get(pair).cloned().unwrap_or_default();
        for session in sessions {
            let Some(talk) = self.sessions.talks.get_mut(&session) else { continue };
            if let (Some(stream), Some(receipt)) = (talk.stream, talk.awaited.remove(id)) {
                self.report(stream, receipt, Status::OK, now, out);
            }
        }
    }

    fn report(&mut self, stream: switch::SessionId, receipt: Receipt, status: Status, now: Now, out: &mut Outputs) {
        self.tell_switch(Input::Report { session: stream, receipt, code: status.code() }, now, out);
    }
}
