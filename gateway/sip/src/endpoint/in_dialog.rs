//! Requests inside of sessions, in both directions, and how a session ends (RFC 3261 sections 12.2, 14 and 15; RFC 3311).

use std::time::{Duration, Instant};

use crate::dialog::{Dialog, InDialogFault};
use crate::endpoint::calls::{ask_interval, push};
use crate::endpoint::client::{Owner, Start};
use crate::endpoint::invited::interval;
use crate::endpoint::{Endpoint, Event, Failure, Output, Refusal, ServerTransaction};
use crate::field::NameAddr;
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::limits::{MAX_MIN_SE, MAX_OFFER_RETRIES, RING_PATIENCE};
use crate::message::{Request, Response};
use crate::method::{Method, Status};
use crate::session::state::{OfferKind, Ours, Phase, Session, Theirs, dialog_key};
use crate::session::timer::{Side, Timer, agreed};
use crate::session::{Description, Ended, NotNow, SessionEvent, SessionId, SessionRequest};
use crate::target::{Source, Target};
use crate::transaction::table::Id;

/// The methods of an endpoint with sessions. PRACK is not among them: provisional responses are not sent reliably.
pub(super) const SESSION_ALLOW: HeaderValue =
    HeaderValue::from_static("INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY");
/// Retry-After of a request that comes at the wrong moment: RFC 3261 section 14.2 asks for 0 to 10 seconds.
const WRONG_MOMENT: u32 = 2;
/// How long a refresh waits while an offer of the peer is under way.
const REFRESH_PAUSE: Duration = Duration::from_secs(2);

/// What INVITE and its 2xx should say of us (RFC 3261 section 13.2.1).
pub(super) fn capabilities(headers: &mut Headers) {
    headers.push(HeaderName::Allow, SESSION_ALLOW);
    headers.push(HeaderName::Supported, HeaderValue::from_static("timer"));
}

impl Endpoint {
    /// The session whose dialog a request of the peer belongs to: our tag is in To, its tag in From.
    pub(super) fn session_of(&self, headers: &Headers) -> Option<Id> {
        if self.sessions.len() == 0 {
            return None;
        }
        let (call_id, local) = (headers.call_id().ok()?, headers.to().ok()?.tag()?);
        let remote = headers.from().ok()?.tag();
        let remote = remote.as_ref().map_or(&b""[..], |tag| tag.as_bytes());
        let known = |remote| self.sessions.id_of(&dialog_key(&call_id, &local, remote));
        // Of an answer that is still on its way we know only our own side.
        known(remote).or_else(|| known(b""))
    }

    /// A request inside of a session, which has passed the general checks.
    pub(super) fn receive_in_session(
        &mut self,
        id: Id,
        request: Request,
        source: Source,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let phase = session.phase;
        let has_offer = session.theirs.is_some();
        // One that waits for its next try gives way.
        let has_ours = session.ours.as_ref().is_some_and(|ours| ours.transaction.is_some());
        let fits = match &mut session.dialog {
            Some(dialog) => dialog.accept(&request),
            None => Ok(()),
        };
        let refuse = match (fits, phase, &request.method) {
            (Err(InDialogFault::OldCSeq), ..) => Some((Status::SERVER_ERROR, Refusal::OutOfOrder)),
            (Err(InDialogFault::OtherDialog), ..) => Some((Status::NO_SUCH_DIALOG, Refusal::NoSession)),
            // The 2xx that makes the dialog is still on its way.
            (Ok(()), Phase::Inviting, _) => Some((Status::SERVER_ERROR, Refusal::WrongMoment)),
            (Ok(()), Phase::Invited | Phase::Confirmed | Phase::Ending, Method::Bye) => None,
            (Ok(()), Phase::Invited, _) => Some((Status::SERVER_ERROR, Refusal::WrongMoment)),
            (Ok(()), Phase::Ending, _) => Some((Status::NO_SUCH_DIALOG, Refusal::NoSession)),
            // RFC 3261 section 14.2, RFC 3311 section 5.2: 491 if we are asking, 500 if we are being asked.
            (Ok(()), Phase::Confirmed, Method::Invite | Method::Update) if has_ours => {
                Some((Status::REQUEST_PENDING, Refusal::WrongMoment))
            }
            (Ok(()), Phase::Confirmed, Method::Invite | Method::Update) if has_offer => {
                Some((Status::SERVER_ERROR, Refusal::WrongMoment))
            }
            (Ok(()), Phase::Confirmed, _) => None,
        };
        if let Some((status, refusal)) = refuse {
            let mut response = Response::to(&request, status);
            if status == Status::SERVER_ERROR {
                response.headers.push(HeaderName::RetryAfter, HeaderValue::from(WRONG_MOMENT));
            }
            self.answer(&request, &source, response, now, out);
            return out.push(Output::Event(Event::Refused { source, refusal }));
        }
        match request.method {
            Method::Bye => self.receive_bye(id, &request, &source, now, out),
            Method::Invite => self.offered(id, OfferKind::Invite, request, source, now, out),
            Method::Update => self.offered(id, OfferKind::Update, request, source, now, out),
            _ => {
                let transaction = ServerTransaction(self.await_answer(&request, &source, None, now));
                push(id, SessionEvent::Request { transaction, request: Box::new(request) }, out);
            }
        }
    }

    fn receive_bye(&mut self, id: Id, request: &Request, source: &Source, now: Instant, out: &mut Vec<Output>) {
        self.answer(request, source, Response::to(request, Status::OK), now, out);
        // What is still unanswered gets its 487 (RFC 3261 section 15.1.2).
        self.refuse_theirs(id, Status::REQUEST_TERMINATED, now, out);
        self.end_session(id, Ended::ByPeer, now, out);
    }

    /// A re-INVITE or UPDATE.
    fn offered(
        &mut self,
        id: Id,
        kind: OfferKind,
        request: Request,
        source: Source,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let agreed = match interval(&request, session.expires) {
            Ok(agreed) => agreed,
            Err(response) => {
                self.answer(&request, &source, response, now, out);
                return out.push(Output::Event(Event::Refused { source, refusal: Refusal::SessionInterval }));
            }
        };
        // The ACK of the 2xx before it was lost: who sends the next INVITE has seen it.
        session.unacked = None;
        let half_open = session.half_open.take();
        let contact = session.contact.clone();
        if let Some(address) = half_open {
            self.half_open.leave(address);
        }
        let transaction = self.await_answer(&request, &source, Some(id), now);
        if let Some(session) = self.sessions.get_mut(id) {
            session.theirs = Some(Theirs::new(kind, transaction, &request, agreed, now));
        }
        self.settle_session(id);
        if kind == OfferKind::Update && request.body.is_empty() {
            // A refresh, and nothing that the user could have an opinion about.
            let answer = crate::session::Answer { contact, headers: Headers::default(), description: None };
            let _ = self.accept(SessionId(id), answer, now, out);
        } else {
            push(id, SessionEvent::Offered { request: Box::new(request) }, out);
        }
    }

    /// Sends a request in the session. The caller sends one at a time if their order matters.
    pub fn send(
        &mut self,
        session: SessionId,
        request: SessionRequest,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), NotNow> {
        let SessionRequest { method, headers, body, token } = request;
        let id = session.0;
        let session = self.sessions.get_mut(id).ok_or(NotNow::NoSession)?;
        let has_meaning =
            matches!(method, Method::Invite | Method::Update | Method::Ack | Method::Bye | Method::Cancel);
        let (Phase::Confirmed, Some(dialog), false) = (session.phase, &mut session.dialog, has_meaning) else {
            return Err(NotNow::WrongState);
        };
        let mut request = dialog.bare_request(method);
        headers.iter().for_each(|header| request.headers.push(header.name.clone(), header.value.clone()));
        if let Some(body) = body {
            request = request.with_body(body.content_type, body.body);
        }
        let (uri, usual) = (dialog.next_hop().clone(), session.target.clone());
        self.send_along(&uri, usual.as_ref(), request, Owner::InDialog(id, token), now, out);
        Ok(())
    }

    /// Offers a change of the session by re-INVITE.
    pub fn reoffer(
        &mut self,
        session: SessionId,
        description: Description,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), NotNow> {
        let id = session.0;
        let session = self.sessions.get_mut(id).ok_or(NotNow::NoSession)?;
        if session.phase != Phase::Confirmed {
            return Err(NotNow::WrongState);
        }
        if session.ours.is_some() || session.theirs.is_some() || session.unacked.is_some() {
            return Err(NotNow::Busy);
        }
        session.ours = Some(Ours::new(OfferKind::Invite, Some(description), false, session.expires, now));
        self.send_offer(id, now, out);
        Ok(())
    }

    /// Refreshes the session as RFC 4028 section 7.4 prefers: UPDATE without a body where the peer takes it, else a
    /// re-INVITE that offers the same again.
    pub(super) fn refresh(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        // An offer of ours refreshes as well.
        if session.ours.is_some() {
            return;
        }
        let is_busy = session.theirs.is_some() || session.unacked.is_some();
        let (kind, description) = match session.peer_updates {
            true => (OfferKind::Update, None),
            false => (OfferKind::Invite, session.local.clone()),
        };
        let mut ours = Ours::new(kind, description, true, session.expires, now);
        if is_busy {
            ours.at = Some(now + REFRESH_PAUSE);
            session.ours = Some(ours);
            return self.settle_session(id);
        }
        session.ours = Some(ours);
        self.send_offer(id, now, out);
    }

    /// Sends the offer under way.
    pub(super) fn send_offer(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let (Some(ours), Some(dialog)) = (&mut session.ours, &mut session.dialog) else {
            return;
        };
        ours.at = Some(now + RING_PATIENCE);
        let method = match ours.kind {
            OfferKind::Invite => Method::Invite,
            OfferKind::Update => Method::Update,
        };
        let mut request = dialog.bare_request(method);
        request.headers.push(HeaderName::Contact, NameAddr::new(session.contact.clone()).to_value());
        capabilities(&mut request.headers);
        ask_interval(&mut request, session.expires, session.min_se);
        ours.asked = session.expires;
        if let Some(description) = &ours.description {
            request = request.with_body(description.content_type.clone(), description.body.clone());
        }
        let (uri, usual) = (dialog.next_hop().clone(), session.target.clone());
        self.settle_session(id);
        self.send_along(&uri, usual.as_ref(), request, Owner::Offer(id), now, out);
    }

    /// The final response to a re-INVITE or UPDATE of ours; the ACK of a 2xx is sent.
    pub(super) fn offer_answered(&mut self, id: Id, response: Response, now: Instant, out: &mut Vec<Output>) {
        let wait = self.glare_pause(id);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let Some(mut ours) = session.ours.take() else {
            return;
        };
        let status = response.status;
        if status.is_success() {
            if let Some(dialog) = &mut session.dialog {
                dialog.refresh_target(&response.headers);
            }
            session.timer = agreed(&response.headers, ours.asked).map(|agreed| Timer::start(agreed, Side::Uac, now));
            session.local = ours.description.or_else(|| session.local.take());
            self.settle_session(id);
            if !ours.is_refresh {
                push(id, SessionEvent::Answered { response: Box::new(response) }, out);
            }
            return;
        }
        if matches!(status, Status::NO_SUCH_DIALOG | Status::REQUEST_TIMEOUT) {
            return self.end_with_bye(id, Ended::Gone, now, out);
        }
        let again = match status {
            // Both asked at once: wait a while, the owner of the Call-ID longer (RFC 3261 section 14.1).
            Status::REQUEST_PENDING => Some(now + wait),
            Status::SESSION_INTERVAL_TOO_SMALL => {
                let min_se = response.headers.min_se().ok().flatten().filter(|min_se| *min_se <= MAX_MIN_SE);
                min_se.map(|min_se| {
                    session.min_se = session.min_se.max(min_se);
                    session.expires = session.expires.map(|expires| expires.max(min_se));
                    now
                })
            }
            // A peer that does not know UPDATE after all.
            Status::METHOD_NOT_ALLOWED | Status::NOT_IMPLEMENTED if ours.kind == OfferKind::Update => {
                session.peer_updates = false;
                ours.kind = OfferKind::Invite;
                ours.description = session.local.clone();
                Some(now)
            }
            _ => None,
        };
        match again.filter(|_| ours.tries < MAX_OFFER_RETRIES) {
            Some(at) => {
                session.ours = Some(Ours { tries: ours.tries + 1, transaction: None, at: Some(at), ..ours });
                self.settle_session(id);
            }
            None => {
                if let Some(timer) = session.timer.as_mut().filter(|_| !ours.is_refresh) {
                    timer.ask_again();
                }
                self.settle_session(id);
                if !ours.is_refresh {
                    push(id, SessionEvent::OfferRefused { response: Some(Box::new(response)) }, out);
                }
            }
        }
    }

    /// How long to wait after a 491: 2.1 to 4 s for the owner of the Call-ID, else up to 2 s, in steps of 10 ms.
    fn glare_pause(&mut self, id: Id) -> Duration {
        let draw = self.ids.number();
        let millis = if self.sessions.get(id).is_some_and(|session| session.we_called) {
            2100 + draw % 191 * 10
        } else {
            draw % 201 * 10
        };
        Duration::from_millis(millis)
    }

    pub(super) fn offer_failed(&mut self, id: Id, failure: Failure, now: Instant, out: &mut Vec<Output>) {
        let Some(ours) = self.sessions.get_mut(id).and_then(|session| session.ours.take()) else {
            return;
        };
        match failure {
            Failure::Timeout => self.end_with_bye(id, Ended::Gone, now, out),
            Failure::Unsent
            | Failure::ConnectionLost
            | Failure::NoTransport
            | Failure::BranchInUse
            | Failure::TooManyTransactions => {
                self.settle_session(id);
                if !ours.is_refresh {
                    push(id, SessionEvent::OfferRefused { response: None }, out);
                }
            }
        }
    }

    /// The final response to a request of the user in a session.
    pub(super) fn in_dialog_answered(
        &mut self,
        id: Id,
        token: u64,
        response: Response,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let is_gone = matches!(response.status, Status::NO_SUCH_DIALOG | Status::REQUEST_TIMEOUT);
        out.push(Output::Event(Event::Response { token, response }));
        if is_gone {
            self.end_with_bye(id, Ended::Gone, now, out);
        }
    }

    pub(super) fn in_dialog_failed(&mut self, id: Id, failure: Failure, now: Instant, out: &mut Vec<Output>) {
        // No response at all ends a dialog like a 408 (RFC 3261 section 12.2.1.2).
        if failure == Failure::Timeout {
            self.end_with_bye(id, Ended::Gone, now, out);
        }
    }

    /// Ends a session, however far it is. `Ended` comes at once; what has to be said to the peer is said in due course.
    pub fn hang_up(&mut self, session: SessionId, now: Instant, out: &mut Vec<Output>) -> Result<(), NotNow> {
        let id = session.0;
        let session = self.sessions.get_mut(id).ok_or(NotNow::NoSession)?;
        match session.phase {
            Phase::Inviting => self.end_session(id, Ended::HungUp, now, out),
            Phase::Invited => {
                self.refuse_theirs(id, Status::DECLINE, now, out);
                self.end_session(id, Ended::HungUp, now, out);
            }
            Phase::Confirmed if session.unacked.is_some() => {
                // A callee must not send BYE before the ACK (RFC 3261 section 15).
                session.phase = Phase::Ending;
                session.timer = None;
                self.refuse_theirs(id, Status::REQUEST_TERMINATED, now, out);
                push(id, SessionEvent::Ended(Ended::HungUp), out);
            }
            Phase::Confirmed => self.end_with_bye(id, Ended::HungUp, now, out),
            Phase::Ending => return Err(NotNow::NoSession),
        }
        Ok(())
    }

    /// Ends a session with a BYE.
    pub(super) fn end_with_bye(&mut self, id: Id, ended: Ended, now: Instant, out: &mut Vec<Output>) {
        self.refuse_theirs(id, Status::REQUEST_TERMINATED, now, out);
        let left = self.sessions.get_mut(id).map(|session| (session.dialog.take(), session.target.clone()));
        self.end_session(id, ended, now, out);
        if let Some((Some(mut dialog), target)) = left {
            self.bye(&mut dialog, target.as_ref(), now, out);
        }
    }

    /// The BYE of a session whose end the user has heard of.
    pub(super) fn leave_with_bye(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        if let Some(mut session) = self.forget_session(id, now, out)
            && let Some(dialog) = &mut session.dialog
        {
            self.bye(dialog, session.target.as_ref(), now, out);
        }
    }

    pub(super) fn bye(&mut self, dialog: &mut Dialog, usual: Option<&Target>, now: Instant, out: &mut Vec<Output>) {
        let request = dialog.bare_request(Method::Bye);
        self.send_along(&dialog.next_hop().clone(), usual, request, Owner::Nobody, now, out);
    }

    /// Sends a request along a dialog; by way of a configured next hop it may go on to the next.
    fn send_along(
        &mut self,
        uri: &crate::uri::Uri,
        usual: Option<&Target>,
        request: Request,
        owner: Owner,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        match self.way(uri, usual, now) {
            Some(target) => {
                let tried = self.hops.has(&target).then(Vec::new);
                self.start(Start { tried, ..Start::to(request, target, owner) }, now, out);
            }
            None => self.start_anywhere(request, owner, now, out),
        }
    }

    /// Forgets a session and says so.
    pub(super) fn end_session(&mut self, id: Id, ended: Ended, now: Instant, out: &mut Vec<Output>) {
        if let Some(session) = self.forget_session(id, now, out)
            && session.phase != Phase::Ending
        {
            push(id, SessionEvent::Ended(ended), out);
        }
    }

    /// Forgets a session. An INVITE of ours that still waits is cancelled, for nobody would end it otherwise.
    fn forget_session(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) -> Option<Box<Session>> {
        let mut session = self.sessions.remove(id)?;
        if let Some(source) = session.half_open.take() {
            self.half_open.leave(source);
        }
        if let Some(transaction) = session.ours.as_ref().and_then(|ours| ours.transaction) {
            self.cancel_invite(transaction, now, out);
        }
        Some(session)
    }

    /// Lets our offer wait while the peer's is under way.
    pub(super) fn postpone_offer(&mut self, id: Id, now: Instant) {
        if let Some(ours) = self.sessions.get_mut(id).and_then(|session| session.ours.as_mut()) {
            ours.at = Some(now + REFRESH_PAUSE);
        }
        self.settle_session(id);
    }

    pub(super) fn settle_session(&mut self, id: Id) {
        let deadline = self.sessions.get(id).and_then(|session| session.deadline());
        self.sessions.reschedule(id, deadline);
    }
}

impl Ours {
    fn new(
        kind: OfferKind,
        description: Option<Description>,
        is_refresh: bool,
        asked: Option<u32>,
        now: Instant,
    ) -> Self {
        let at = Some(now + RING_PATIENCE);
        Self { kind, transaction: None, invite: None, is_refresh, description, asked, at, tries: 0 }
    }
}
