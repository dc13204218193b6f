//! Sessions that a peer begins, and what answers an INVITE or UPDATE: 1xx, 2xx until its ACK, refusal, CANCEL
//! (RFC 3261 sections 9.2, 13.3 and 14.2, RFC 4028 section 9).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::dialog::Dialog;
use crate::endpoint::calls::push;
use crate::endpoint::in_dialog::capabilities;
use crate::endpoint::{Endpoint, Event, Output, Refusal};
use crate::field::{NameAddr, SessionExpires};
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::limits::{ANSWER_PATIENCE, MAX_HALF_OPEN, MAX_HALF_OPEN_PER_SOURCE, MAX_SESSIONS, MIN_SE};
use crate::message::{Request, Response};
use crate::method::Status;
use crate::session::state::{OfferKind, Phase, Session, Theirs, UnackedAnswer, dialog_key};
use crate::session::timer::{Agreement, Side, Timer, agree};
use crate::session::unacked::Unacked;
use crate::session::{Answer, Ended, NotNow, SessionEvent, SessionId};
use crate::target::Source;
use crate::transaction::table::Id;

/// Incoming INVITEs that nobody has completed, by address: a flood from one of them does not take the room of others.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    by_source: HashMap<IpAddr, usize>,
    total: usize,
}

impl HalfOpen {
    pub(super) const fn count(&self) -> usize {
        self.total
    }

    fn has_room(&self, source: IpAddr) -> bool {
        self.total < MAX_HALF_OPEN && self.by_source.get(&source).is_none_or(|count| *count < MAX_HALF_OPEN_PER_SOURCE)
    }

    fn enter(&mut self, source: IpAddr) {
        self.total += 1;
        *self.by_source.entry(source).or_default() += 1;
    }

    pub(super) fn leave(&mut self, source: IpAddr) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

impl Endpoint {
    /// Whether an INVITE finds room.
    pub(super) fn has_room_for_invite(&self, source: &Source) -> bool {
        self.sessions.len() < MAX_SESSIONS && self.half_open.has_room(source.remote.ip())
    }

    /// An INVITE outside of any dialog, which has passed the general checks.
    pub(super) fn invited(&mut self, request: Request, source: Source, now: Instant, out: &mut Vec<Output>) {
        let wanted = self.config.sessions.as_ref().and_then(|config| config.expires);
        let agreed = match interval(&request, wanted) {
            Ok(agreed) => agreed,
            Err(response) => {
                self.answer(&request, &source, response, now, out);
                return out.push(Output::Event(Event::Refused { source, refusal: Refusal::SessionInterval }));
            }
        };
        let dialog = match Dialog::from_invite(&request, self.ids.token()) {
            Ok(dialog) => dialog,
            Err(fault) => {
                self.answer(&request, &source, Response::to(&request, Status::BAD_REQUEST), now, out);
                return out.push(Output::Event(Event::Refused { source, refusal: Refusal::Dialog(fault) }));
            }
        };
        let key = dialog_key(&dialog.call_id, &dialog.local_tag, dialog.remote_tag.as_bytes());
        let mut session = Session::new(Phase::Invited, dialog.local_uri.clone(), wanted);
        session.half_open = Some(source.remote.ip());
        session.peer_updates = request.headers.has_token(&HeaderName::Allow, "UPDATE");
        session.dialog = Some(dialog);
        // An answer may be wanted sooner than we would give it (RFC 3261 section 13.3.1).
        let patience =
            request.headers.expires().ok().flatten().map_or(ANSWER_PATIENCE, |seconds| {
                ANSWER_PATIENCE.min(std::time::Duration::from_secs(u64::from(seconds)))
            });
        let id = self.sessions.insert(&key, Box::new(session), None);
        self.half_open.enter(source.remote.ip());
        let transaction = self.await_answer(&request, &source, Some(id), now);
        if let Some(session) = self.sessions.get_mut(id) {
            let theirs = Theirs::new(OfferKind::Invite, transaction, &request, agreed, now);
            session.theirs = Some(Theirs { answer_by: now + patience, ..theirs });
        }
        self.settle_session(id);
        push(id, SessionEvent::Invited { request: Box::new(request), source }, out);
    }

    /// Answers [`SessionEvent::Invited`] with a provisional response; it is not sent reliably (RFC 3262 is not offered).
    pub fn progress(
        &mut self,
        session: SessionId,
        status: Status,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), NotNow> {
        let session = self.sessions.get(session.0).ok_or(NotNow::NoSession)?;
        let (Some(theirs), Some(dialog)) = (&session.theirs, &session.dialog) else {
            return Err(NotNow::WrongState);
        };
        if theirs.kind != OfferKind::Invite || !status.is_provisional() || status == Status::TRYING {
            return Err(NotNow::WrongState);
        }
        let mut response = theirs.answer(status).with_to_tag(&dialog.local_tag);
        response.headers.push(HeaderName::Contact, NameAddr::new(session.contact.clone()).to_value());
        let transaction = theirs.transaction;
        self.respond_to(transaction, response, now, out);
        Ok(())
    }

    /// Answers [`SessionEvent::Invited`] or [`SessionEvent::Offered`] with 200.
    pub fn accept(
        &mut self,
        session: SessionId,
        answer: Answer,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), NotNow> {
        let id = session.0;
        let session = self.sessions.get_mut(id).ok_or(NotNow::NoSession)?;
        let (Some(theirs), Some(dialog)) = (session.theirs.take(), &session.dialog) else {
            return Err(NotNow::WrongState);
        };
        session.contact = answer.contact;
        let mut response = theirs.answer(Status::OK).with_to_tag(&dialog.local_tag);
        response.headers.push(HeaderName::Contact, NameAddr::new(session.contact.clone()).to_value());
        capabilities(&mut response.headers);
        if let Some((expires, require)) = theirs.agreed {
            response.headers.push(HeaderName::SessionExpires, expires.to_value());
            if require {
                response.headers.push(HeaderName::Require, HeaderValue::from_static("timer"));
            }
        }
        answer.headers.iter().for_each(|header| response.headers.push(header.name.clone(), header.value.clone()));
        if let Some(description) = answer.description {
            response = response.with_body(description.content_type.clone(), description.body.clone());
            session.local = Some(description);
        }
        session.phase = Phase::Confirmed;
        session.timer = theirs.agreed.map(|(expires, _)| Timer::start(expires, Side::Uas, now));
        let sent = self.respond_to(theirs.transaction, response, now, out);
        if let (OfferKind::Invite, Some((bytes, to)), Some(session)) = (theirs.kind, sent, self.sessions.get_mut(id)) {
            session.unacked = Some(UnackedAnswer { clock: Unacked::start(now), cseq: theirs.cseq, bytes, to });
        }
        self.settle_session(id);
        Ok(())
    }

    /// Answers [`SessionEvent::Invited`] or [`SessionEvent::Offered`] with a refusal; the former ends the session.
    pub fn refuse(
        &mut self,
        session: SessionId,
        status: Status,
        headers: &Headers,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), NotNow> {
        let id = session.0;
        let session = self.sessions.get_mut(id).ok_or(NotNow::NoSession)?;
        if status.is_provisional() || status.is_success() {
            return Err(NotNow::WrongState);
        }
        let (Some(theirs), Some(dialog)) = (session.theirs.take(), &session.dialog) else {
            return Err(NotNow::WrongState);
        };
        let mut response = theirs.answer(status).with_to_tag(&dialog.local_tag);
        headers.iter().for_each(|header| response.headers.push(header.name.clone(), header.value.clone()));
        let is_first = session.phase == Phase::Invited;
        self.respond_to(theirs.transaction, response, now, out);
        if is_first {
            self.end_session(id, Ended::HungUp, now, out);
        } else {
            self.settle_session(id);
        }
        Ok(())
    }

    /// Refuses what the user has not answered, without a word to the user.
    pub(super) fn refuse_theirs(&mut self, id: Id, status: Status, now: Instant, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if let (Some(theirs), Some(dialog)) = (session.theirs.take(), &session.dialog) {
            let response = theirs.answer(status).with_to_tag(&dialog.local_tag);
            self.respond_to(theirs.transaction, response, now, out);
        }
        self.settle_session(id);
    }

    /// A CANCEL for the INVITE of a session (RFC 3261 section 9.2).
    pub(super) fn cancelled(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get(id).filter(|session| session.theirs.is_some()) else {
            return;
        };
        let is_first = session.phase == Phase::Invited;
        self.refuse_theirs(id, Status::REQUEST_TERMINATED, now, out);
        if is_first {
            self.end_session(id, Ended::Cancelled, now, out);
        } else {
            push(id, SessionEvent::OfferWithdrawn, out);
        }
    }

    /// The ACK of a 2xx. `false` if no session waits for it.
    pub(super) fn acknowledged_2xx(&mut self, request: Request, now: Instant, out: &mut Vec<Output>) -> bool {
        let Some(id) = self.session_of(&request.headers) else {
            return false;
        };
        let cseq = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        if session.unacked.take_if(|unacked| unacked.cseq == cseq).is_none() {
            // An ACK that comes again belongs to a session all the same.
            return true;
        }
        let is_ending = session.phase == Phase::Ending;
        let half_open = session.half_open.take();
        if let Some(source) = half_open {
            self.half_open.leave(source);
        }
        if is_ending {
            self.leave_with_bye(id, now, out);
        } else {
            self.settle_session(id);
            push(id, SessionEvent::Acknowledged { ack: Box::new(request) }, out);
        }
        true
    }
}

impl Theirs {
    pub(super) fn new(
        kind: OfferKind,
        transaction: Id,
        request: &Request,
        agreed: Option<(SessionExpires, bool)>,
        now: Instant,
    ) -> Self {
        let mut skeleton = Response::to(request, Status::OK);
        // In every response that makes a dialog (RFC 3261 section 12.1.1).
        for value in request.headers.all(&HeaderName::RecordRoute) {
            skeleton.headers.push(HeaderName::RecordRoute, value.clone());
        }
        skeleton.headers = skeleton.headers.detached();
        let cseq = request.headers.cseq().map_or(0, |cseq| cseq.number);
        Self { kind, transaction, skeleton: Box::new(skeleton), cseq, agreed, answer_by: now + ANSWER_PATIENCE }
    }

    /// A response with everything that the request asks for, and nothing else.
    fn answer(&self, status: Status) -> Response {
        let mut response = (*self.skeleton).clone();
        response.status = status;
        response.reason = HeaderValue::from_static(status.reason());
        if status.code() >= 300 {
            response.headers.remove(&HeaderName::RecordRoute);
        }
        response
    }
}

/// The session interval of an INVITE or UPDATE, or the 422 for one that is too small.
pub(super) fn interval(request: &Request, wanted: Option<u32>) -> Result<Option<(SessionExpires, bool)>, Response> {
    match agree(&request.headers, wanted) {
        Agreement::None => Ok(None),
        Agreement::Interval(expires, require) => Ok(Some((expires, require))),
        Agreement::TooSmall => Err(Response::to(request, Status::SESSION_INTERVAL_TOO_SMALL)
            .with(HeaderName::MinSe, HeaderValue::from(MIN_SE))),
    }
}
