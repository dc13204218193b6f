//! What SIP does with sessions: calls, answers, texts, ends.
use causeway_shared::verdict::{Code, Direction, Verdict};
use causeway_sip::endpoint::{Failure, ServerTransaction};
use causeway_sip::header::{HeaderName, Headers};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::{Method, Status};
use causeway_sip::msrp::switch::Terms;
use causeway_sip::sdp::message::MessageStream;
use causeway_sip::session::{self, Description, Ended, SessionEvent, SessionId};
use causeway_sip::target::Source;

use super::Talk;
use crate::engine::requests::Ends;
use crate::engine::{Engine, Now, Outputs};
use crate::policy;
use crate::presence::Answer;
use crate::presence::record::PairKey;
use crate::session::describe::{self, Unusable};
use crate::translate::address;

impl Engine {
    /// Something happened in a session.
    pub(in crate::engine) fn session_event(&mut self, id: SessionId, event: SessionEvent, now: Now, out: &mut Outputs) {
        match event {
            SessionEvent::Invited { request, source } => self.session_invited(id, &request, &source, now, out),
            SessionEvent::Acknowledged { ack } => self.session_acknowledged(id, &ack, now, out),
            SessionEvent::Answered { response } => self.session_answered(id, &response, now, out),
            // One device is enough (RFC 3261, section 13.2.2.4); the message has been delivered to that.
            SessionEvent::Forked { session, .. } => {
                let _ended = self.endpoint.hang_up(session, now.instant, &mut self.sip_out);
            }
            SessionEvent::Offered { request } => self.session_offered(id, &request, now),
            SessionEvent::Request { transaction, request } => {
                self.session_request(id, transaction, *request, now, out);
            }
            SessionEvent::Ended(ended) => self.session_ended(id, ended, now, out),
            SessionEvent::Progress { .. } | SessionEvent::OfferWithdrawn | SessionEvent::OfferRefused { .. } => {}
        }
        self.drain_sip(now, out);
    }

    fn session_invited(&mut self, id: SessionId, request: &Request, source: &Source, now: Now, out: &mut Outputs) {
        self.metrics.request_in(&request.method);
        let (pair, partner) = match self.parties(request, Ends::Outside) {
            Ok(parties) => parties,
            Err(refusal) => {
                Self::note_refusal(request, refusal, source, now, out);
                return self.refuse_session(id, refusal.status(), now);
            }
        };
        if self.sessions.has_too_many(&pair.local) {
            return self.refuse_session(id, Status::BUSY_HERE, now);
        }
        let Ok(call_id) = request.headers.call_id() else { return self.refuse_session(id, Status::BAD_REQUEST, now) };
        if let Some(quietest) = self.sessions.quietest(&pair) {
            self.hang_up(quietest, now, out);
        }
        let mut talk = Talk::new(pair, partner, call_id.as_str(), self.endpoint.ids().number(), true, now.instant);
        match self.describe_answer(&mut talk, request, now) {
            Ok((description, terms)) => {
                self.sessions.insert(id, talk);
                self.accept_session(id, description, now);
                self.metrics.session_accepted();
                self.open_stream(id, terms, now, out);
            }
            Err(fault) => {
                out.verdicts.push(Verdict {
                    partner: talk.partner.primary.as_str().to_owned(),
                    direction: Direction::Out,
                    peer: Some(source.remote),
                    at_ms: now.unix_ms,
                    ..Verdict::of(Code::TranslationCall, format!("an INVITE has no XMPP form: {fault}"))
                });
                self.refuse_session(id, status_of(fault), now);
            }
        }
    }

    /// Our answer to an offer, or our offer where the peer has made none.
    fn describe_answer(
        &mut self,
        talk: &mut Talk,
        request: &Request,
        now: Now,
    ) -> Result<(Description, Option<Terms>), Unusable> {
        let account = address::bare_jid_to_uri(&talk.pair.remote).map_err(|_| Unusable::NoMessages)?;
        if request.body.is_empty() {
            let host = self.settings.session_contact.host();
            return Ok((
                Description::sdp(describe::offer_in_dialog(talk.number, talk.version, host, account.as_str())),
                None,
            ));
        }
        let offer = describe::read(&request.body)?;
        let (answer, terms) = match &offer.stream {
            MessageStream::InDialog(_) => {
                let host = self.settings.session_contact.host();
                (describe::answer_in_dialog(&offer, talk.number, talk.version, host, account.as_str()), None)
            }
            MessageStream::Msrp(peer) => self.answer_stream(talk, &offer, peer, now)?,
        };
        Ok((Description::sdp(answer), terms))
    }

    /// Our answer to a change of a session: its stream stays what and where it is.
    fn describe_change(&self, id: SessionId, request: &Request) -> Result<Description, Unusable> {
        let talk = self.sessions.talks.get(&id).ok_or(Unusable::NoMessages)?;
        let host = self.settings.session_contact.host();
        let account = address::bare_jid_to_uri(&talk.pair.remote).map_err(|_| Unusable::NoMessages)?;
        if request.body.is_empty() {
            // Only a chat in the dialog can be offered again without knowing where the peer's stream is.
            let offer = describe::offer_in_dialog(talk.number, talk.version, host, account.as_str());
            return talk.stream.is_none().then(|| Description::sdp(offer)).ok_or(Unusable::NoMessages);
        }
        let offer = describe::read(&request.body)?;
        match (&offer.stream, talk.stream) {
            (MessageStream::InDialog(_), None) => {
                let answer = describe::answer_in_dialog(&offer, talk.number, talk.version, host, account.as_str());
                Ok(Description::sdp(answer))
            }
            (MessageStream::Msrp(peer), Some(_)) => self.repeat_stream(talk, &offer, peer).map(Description::sdp),
            (MessageStream::InDialog(_), Some(_)) | (MessageStream::Msrp(_), None) => Err(Unusable::NoMessages),
        }
    }

    fn accept_session(&mut self, id: SessionId, description: Description, now: Now) {
        let contact = self.settings.session_contact.clone();
        let answer = session::Answer { contact, headers: Headers::default(), description: Some(description) };
        // A caller that has gone meanwhile is told of by the session's end.
        let _gone = self.endpoint.accept(id, answer, now.instant, &mut self.sip_out);
    }

    fn refuse_session(&mut self, id: SessionId, status: Status, now: Now) {
        let _gone = self.endpoint.refuse(id, status, &Headers::default(), now.instant, &mut self.sip_out);
    }

    /// Our call was answered.
    fn session_answered(&mut self, id: SessionId, response: &Response, now: Now, out: &mut Outputs) {
        let answer = describe::read(&response.body).map(|answer| answer.stream);
        let is_stream = self.sessions.talks.get(&id).is_some_and(|talk| talk.stream.is_some());
        match answer {
            Ok(stream) if !stream.accepts("text/plain") => self.session_refused(id, now, out),
            Ok(MessageStream::InDialog(_)) if !is_stream => self.session_opened(id, now, out),
            Ok(MessageStream::Msrp(peer)) if is_stream => self.stream_answered(id, peer, now, out),
            // Whoever answers without a stream for messages, or with another one, cannot read them.
            Ok(MessageStream::InDialog(_) | MessageStream::Msrp(_)) | Err(_) => self.session_refused(id, now, out),
        }
    }

    /// Our answer has arrived; where the peer had offered nothing, its answer comes with that. A session whose stream is
    /// MSRP opens with the stream.
    fn session_acknowledged(&mut self, id: SessionId, ack: &Request, now: Now, out: &mut Outputs) {
        let is_chat = |answer: &MessageStream| matches!(answer, MessageStream::InDialog(_));
        if !ack.body.is_empty() && !describe::read(&ack.body).is_ok_and(|answer| is_chat(&answer.stream)) {
            return self.hang_up(id, now, out);
        }
        let is_opening = |talk: &Talk| talk.stream.is_none() && !talk.line.is_open();
        if self.sessions.talks.get(&id).is_some_and(is_opening) {
            self.session_opened(id, now, out);
        }
    }

    pub(super) fn session_opened(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        if let Some(next) = self.sessions.opened(id, now.instant) {
            self.send_in_session(id, next, now, out);
        }
    }

    /// The user's devices take no sessions of this form: what waits goes without, and for a while all else does.
    pub(super) fn session_refused(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        if let Some(talk) = self.sessions.talks.get(&id) {
            let user = talk.pair.local.clone();
            self.sessions.remember_refusal(&user, now.instant);
        }
        self.hang_up(id, now, out);
    }

    /// The peer changes the session: a chat stays a chat, all else is refused and changes nothing.
    fn session_offered(&mut self, id: SessionId, request: &Request, now: Now) {
        let Some(talk) = self.sessions.talks.get_mut(&id) else {
            return self.refuse_session(id, Status::NO_SUCH_DIALOG, now);
        };
        talk.version += 1;
        match self.describe_change(id, request) {
            Ok(description) => self.accept_session(id, description, now),
            Err(fault) => self.refuse_session(id, status_of(fault), now),
        }
    }

    fn session_request(
        &mut self,
        id: SessionId,
        transaction: ServerTransaction,
        request: Request,
        now: Now,
        out: &mut Outputs,
    ) {
        self.metrics.request_in(&request.method);
        self.begin_trace(transaction, &request);
        self.sessions.heard(id, now.instant);
        let Some(talk) = self.sessions.talks.get(&id) else {
            return self.respond(transaction, Response::to(&request, Status::NO_SUCH_DIALOG), now, out);
        };
        let partner = talk.partner.clone();
        let Some(pair) = self.speaker(&request, &talk.pair) else {
            return self.respond(transaction, Response::to(&request, Status::FORBIDDEN), now, out);
        };
        match &request.method {
            Method::Message => self.message_from_sip(transaction, request, &pair, &partner, Some(id), now, out),
            Method::Info => self.info_from_sip(transaction, &request, &pair, now, out),
            // The endpoint lets nothing else up.
            _ => self.respond(transaction, Response::to(&request, Status::OK), now, out),
        }
    }

    /// Who speaks to whom in a session: whoever the pool says it is (RFC 3325, section 5), for another user may have
    /// taken the call. `None` if that user may not.
    fn speaker(&self, request: &Request, pair: &PairKey) -> Option<PairKey> {
        if !request.headers.has(&HeaderName::PAssertedIdentity) {
            return Some(pair.clone());
        }
        let local = address::uri_to_bare_jid(&policy::identity(&request.headers, true)?).ok()?;
        if local == pair.local {
            return Some(pair.clone());
        }
        let is_pair = self.settings.domains.between(&local.domain_name(), &pair.remote.domain_name()).is_ok();
        (is_pair && self.settings.may_federate(&local)).then(|| PairKey { local, remote: pair.remote.clone() })
    }

    fn session_ended(&mut self, id: SessionId, ended: Ended, now: Now, out: &mut Outputs) {
        let Some(talk) = self.sessions.remove(id) else { return };
        self.close_stream(talk.stream, now, out);
        let user = talk.pair.local.clone();
        if matches!(ended, Ended::ByPeer) && !self.sessions.carries(&talk.pair) {
            self.left_by_sip(&talk.pair, now, out);
        }
        let waiting = talk.line.end();
        let answer = match ended {
            Ended::Refused(response) if is_about_sessions(response.status) => {
                self.sessions.remember_refusal(&user, now.instant);
                return self.reroute(waiting, now, out);
            }
            Ended::Refused(response) => Answer::Response(response),
            Ended::Failed(Failure::Timeout) | Ended::NoAnswer => Answer::Timeout,
            Ended::Failed(_) => Answer::Unreachable,
            Ended::HungUp | Ended::ByPeer | Ended::Cancelled | Ended::NoAck | Ended::Expired | Ended::Gone => {
                return self.reroute(waiting, now, out);
            }
        };
        waiting.into_iter().for_each(|pager| self.conclude(pager, &answer, now, out));
    }
}

/// Whether a refusal says that the device takes no such session, rather than that it takes none now.
fn is_about_sessions(status: Status) -> bool {
    matches!(status.code(), 405 | 415 | 420 | 488 | 501 | 606)
}

fn status_of(fault: Unusable) -> Status {
    match fault {
        Unusable::Malformed(_) => Status::BAD_REQUEST,
        Unusable::NoMessages | Unusable::NoMsrp => Status::NOT_ACCEPTABLE_HERE,
    }
}
