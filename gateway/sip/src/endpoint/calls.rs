//! Sessions that we begin: INVITE, CANCEL, ACK and the answers of a fork (RFC 3261 sections 9.1, 13.2 and 17.1.1.3,
//! RFC 4028 section 7).

use std::time::Instant;

use bytes::Bytes;

use crate::dialog::{Dialog, DialogFault};
use crate::endpoint::client::{ClientMachine, Owner, Start};
use crate::endpoint::counts::Role;
use crate::endpoint::in_dialog::capabilities;
use crate::endpoint::{Endpoint, Event, Failure, Output, SendTag};
use crate::field::{CSeq, NameAddr, SessionExpires, Token};
use crate::header::{HeaderName, HeaderValue};
use crate::limits::{MAX_FORKS, MAX_MIN_SE, MAX_OFFER_RETRIES, MAX_SESSIONS, RING_PATIENCE};
use crate::message::{Identity, Request, Response};
use crate::method::{Method, Status};
use crate::session::state::{OfferKind, Ours, Phase, Session, dialog_key};
use crate::session::timer::{Side, Timer, agreed};
use crate::session::{CannotInvite, Ended, Invite, SessionEvent, SessionId};
use crate::target::{Destination, Target};
use crate::transaction::invite_client;
use crate::transaction::table::Id;

/// What an INVITE transaction keeps: its request for ACK and CANCEL, and the answers of a fork.
#[derive(Debug)]
pub(super) struct InviteCopy {
    request: Request,
    /// Our Via, which ACK and CANCEL bear too.
    via: Vec<u8>,
    /// The ACK of the refusal.
    ack: Option<Bytes>,
    /// The ACK of each 2xx, by its To tag.
    legs: Vec<Leg>,
    cancel: Cancel,
}

#[derive(Debug)]
struct Leg {
    tag: Option<Token>,
    ack: Bytes,
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancel {
    No,
    /// It is sent after the first provisional response (RFC 3261 section 9.1).
    Wanted,
    Sent,
}

impl InviteCopy {
    pub(super) const fn new(request: Request, via: Vec<u8>) -> Self {
        Self { request, via, ack: None, legs: Vec::new(), cancel: Cancel::No }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel != Cancel::No
    }

    /// The ACK of a refusal (RFC 3261 section 17.1.1.3), or the CANCEL (section 9.1): the request again, with one header
    /// of each kind and without a body.
    fn derived(&self, method: Method, to: Option<&HeaderValue>) -> Request {
        let mut headers = crate::header::Headers::with_capacity(8);
        for header in &self.request.headers {
            match header.name {
                HeaderName::To => headers.push(HeaderName::To, to.unwrap_or(&header.value).clone()),
                HeaderName::From | HeaderName::CallId | HeaderName::Route | HeaderName::MaxForwards => {
                    headers.push(header.name.clone(), header.value.clone());
                }
                _ => {}
            }
        }
        let number = self.request.headers.cseq().map_or(0, |cseq| cseq.number);
        headers.push(HeaderName::CSeq, CSeq { number, method: method.clone() }.to_value());
        Request { method, uri: self.request.uri.clone(), headers, body: Bytes::new() }
    }
}

impl Endpoint {
    /// Calls. The session's end is an event; an error means that there is none.
    pub fn invite(&mut self, invite: Invite, now: Instant, out: &mut Vec<Output>) -> Result<SessionId, CannotInvite> {
        let Some(config) = &self.config.sessions else {
            return Err(CannotInvite::NotConfigured);
        };
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(CannotInvite::TooManySessions);
        }
        if invite.target.is_none() && self.hops.next(&[], now).is_none() {
            return Err(CannotInvite::NoTarget);
        }
        let Invite { uri, from, to, call_id, contact, headers, offer, target } = invite;
        let mut session = Session::new(Phase::Inviting, contact, config.expires);
        let tag = self.ids.token();
        let call_id = call_id.unwrap_or_else(|| self.ids.call_id());
        let key = dialog_key(&call_id, &tag, b"");
        let identity = Identity { from: from.with_tag(&tag), to, call_id, cseq: 1 };
        let mut request = Request::new(Method::Invite, uri, &identity);
        request.headers.push(HeaderName::Contact, NameAddr::new(session.contact.clone()).to_value());
        capabilities(&mut request.headers);
        headers.iter().for_each(|header| request.headers.push(header.name.clone(), header.value.clone()));
        let request = request.with_body(offer.content_type.clone(), offer.body.clone());
        session.target = target;
        session.local = Some(offer);
        session.ours = Some(Ours {
            kind: OfferKind::Invite,
            transaction: None,
            asked: session.expires,
            invite: Some(Box::new(request)),
            is_refresh: false,
            description: None,
            at: Some(now + RING_PATIENCE),
            tries: 0,
        });
        let id = self.sessions.insert(&key, Box::new(session), Some(now + RING_PATIENCE));
        self.send_invite(id, now, out);
        Ok(SessionId(id))
    }

    /// Sends the first INVITE, or after a 422 the next one.
    fn send_invite(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let (min_se, asked, target) = (session.min_se, session.expires, session.target.clone());
        let Some(request) = session.ours.as_ref().and_then(|ours| ours.invite.as_deref()) else {
            return;
        };
        let mut request = request.clone();
        ask_interval(&mut request, asked, min_se);
        match target {
            Some(target) => self.start(Start::to(request, target, Owner::Invite(id)), now, out),
            None => self.start_anywhere(request, Owner::Invite(id), now, out),
        }
    }

    /// Remembers which transaction carries the offer of a session.
    pub(super) fn started(&mut self, owner: Owner, transaction: Id) {
        match owner {
            Owner::Invite(id) | Owner::Offer(id) => {
                if let Some(ours) = self.sessions.get_mut(id).and_then(|session| session.ours.as_mut()) {
                    ours.transaction = Some(transaction);
                }
            }
            Owner::User(_) | Owner::InDialog(..) | Owner::Nobody => {}
        }
    }

    pub(super) fn receive_invite_response(&mut self, id: Id, response: Response, now: Instant, out: &mut Vec<Output>) {
        let Some(entry) = self.clients.get_mut(id) else {
            return;
        };
        let ClientMachine::Invite(machine, copy) = &mut entry.machine else {
            return;
        };
        entry.bytes = None;
        let owner = entry.owner;
        match machine.handle(invite_client::Input::Response(response.status), now) {
            Some(invite_client::Output::PassUp) if response.status.is_provisional() => {
                if copy.cancel == Cancel::Wanted {
                    self.send_cancel(id, now, out);
                } else if response.status != Status::TRYING
                    && let Owner::Invite(session) = owner
                    && self.sessions.get_mut(session).is_some()
                {
                    push(session, SessionEvent::Progress { response: Box::new(response) }, out);
                }
                self.settle_client(id);
            }
            Some(invite_client::Output::PassUp) => {
                self.counts.answered(Role::Client, entry.kind, response.status);
                self.settle_client(id);
                self.receive_2xx(id, owner, response, now, out);
            }
            Some(invite_client::Output::AckAndPassUp) => {
                self.counts.answered(Role::Client, entry.kind, response.status);
                let ack = copy.derived(Method::Ack, response.headers.get(&HeaderName::To));
                let bytes = super::print(&mut self.scratch, |out| ack.write_with_via(Some(&copy.via), out));
                copy.ack = Some(bytes.clone());
                let to = Destination::Target(entry.target.clone());
                out.push(Output::Send { to, bytes, tag: SendTag::NONE });
                let retry = entry.retry.take().filter(|_| copy.cancel == Cancel::No);
                if response.status == Status::SERVICE_UNAVAILABLE {
                    self.hops.unavailable(&entry.target, &response, now);
                }
                self.settle_client(id);
                self.answered(owner, retry, response, now, out);
            }
            Some(invite_client::Output::AckAgain) => {
                if let Some(bytes) = copy.ack.clone() {
                    let to = Destination::Target(entry.target.clone());
                    out.push(Output::Send { to, bytes, tag: SendTag::NONE });
                }
            }
            Some(invite_client::Output::Retransmit | invite_client::Output::TimedOut) | None => {}
        }
    }

    /// Cancels an INVITE as soon as that is allowed. Whatever answer still comes, nobody hears of it.
    pub(super) fn cancel_invite(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(entry) = self.clients.get_mut(id) else {
            return;
        };
        entry.owner = Owner::Nobody;
        entry.retry = None;
        let ClientMachine::Invite(machine, copy) = &mut entry.machine else {
            return;
        };
        if copy.cancel == Cancel::No && machine.is_waiting() {
            copy.cancel = Cancel::Wanted;
            if machine.is_proceeding() {
                self.send_cancel(id, now, out);
            }
        }
        self.settle_client(id);
    }

    fn send_cancel(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(entry) = self.clients.get_mut(id) else {
            return;
        };
        let ClientMachine::Invite(machine, copy) = &mut entry.machine else {
            return;
        };
        copy.cancel = Cancel::Sent;
        machine.handle(invite_client::Input::Cancelled, now);
        let request = copy.derived(Method::Cancel, None);
        // The same branch ties it to the INVITE (RFC 3261 section 9.1).
        let branch = branch_of_via(&copy.via);
        let target = entry.target.clone();
        self.start(Start { branch, any_size: true, ..Start::to(request, target, Owner::Nobody) }, now, out);
    }

    /// A 2xx to an INVITE: acknowledged each time it comes, heard of once for each leg (RFC 3261 section 13.2.2.4).
    fn receive_2xx(&mut self, id: Id, owner: Owner, response: Response, now: Instant, out: &mut Vec<Output>) {
        let Some(entry) = self.clients.get(id) else {
            return;
        };
        let ClientMachine::Invite(_, copy) = &entry.machine else {
            return;
        };
        let tag = response.headers.to().ok().and_then(|to| to.tag());
        if let Some(leg) = copy.legs.iter().find(|leg| leg.tag == tag) {
            let to = Destination::Target(leg.target.clone());
            return out.push(Output::Send { to, bytes: leg.ack.clone(), tag: SendTag::NONE });
        }
        let has_room = copy.legs.len() < MAX_FORKS;
        let is_cancelled = copy.cancel != Cancel::No;
        let (uri, usual) = (copy.request.uri.clone(), entry.target.clone());
        let Ok(mut dialog) = dialog_of(&response, &uri) else {
            return tracing::debug!("a 2xx without tags makes no dialog");
        };
        if let Owner::Offer(session) = owner
            && let Some(known) = self.sessions.get_mut(session).and_then(|session| session.dialog.as_mut())
        {
            // The route set of a dialog never changes (RFC 3261 section 12.2.1.2).
            known.refresh_target(&response.headers);
            dialog = known.clone();
        }
        let cseq = response.headers.cseq().map_or(0, |cseq| cseq.number);
        self.acknowledge(id, tag, &dialog, cseq, &usual, has_room, now, out);
        match owner {
            Owner::Invite(session) if has_room && !is_cancelled => {
                self.leg_answered(session, dialog, &usual, response, now, out);
            }
            Owner::Offer(session) => self.offer_answered(session, response, now, out),
            // Cancelled too late, or one branch too many: it is ended at once (RFC 3261 section 9.1).
            Owner::Invite(_) | Owner::Nobody => self.bye(&mut dialog, Some(&usual), now, out),
            Owner::User(_) | Owner::InDialog(..) => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one 2xx, put together nowhere else")]
    fn acknowledge(
        &mut self,
        id: Id,
        tag: Option<Token>,
        dialog: &Dialog,
        cseq: u32,
        usual: &Target,
        is_kept: bool,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(target) = self.way(dialog.next_hop(), Some(usual), now) else {
            return;
        };
        let Some(ack) = self.send_alone(dialog.ack(cseq), target.clone(), out) else {
            return;
        };
        if let Some(entry) = self.clients.get_mut(id)
            && let ClientMachine::Invite(_, copy) = &mut entry.machine
            && is_kept
        {
            copy.legs.push(Leg { tag, ack, target });
        }
    }

    /// The first answer makes the session, each other one a session of its own.
    fn leg_answered(
        &mut self,
        id: Id,
        mut dialog: Dialog,
        usual: &Target,
        response: Response,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let is_full = self.sessions.len() >= MAX_SESSIONS;
        let Some(session) = self.sessions.get_mut(id) else {
            // The session was answered, and has ended since.
            return self.bye(&mut dialog, Some(usual), now, out);
        };
        let key = dialog_key(&dialog.call_id, &dialog.local_tag, dialog.remote_tag.as_bytes());
        let is_first = session.phase == Phase::Inviting;
        let asked = session.ours.as_ref().and_then(|ours| ours.asked).or(session.expires);
        let mut made = Session::new(Phase::Confirmed, session.contact.clone(), session.expires);
        made.we_called = true;
        made.min_se = session.min_se;
        made.local = session.local.clone();
        made.target = session.target.clone().or_else(|| Some(usual.clone()));
        made.timer = agreed(&response.headers, asked).map(|agreed| Timer::start(agreed, Side::Uac, now));
        made.peer_updates = response.headers.has_token(&HeaderName::Allow, "UPDATE");
        made.dialog = Some(dialog);
        let response = Box::new(response);
        if is_first {
            **session = made;
            self.sessions.rekey(id, &key);
            self.settle_session(id);
            push(id, SessionEvent::Answered { response }, out);
        } else if is_full || self.sessions.id_of(&key).is_some() {
            if let Some(mut dialog) = made.dialog {
                self.bye(&mut dialog, Some(usual), now, out);
            }
        } else {
            let deadline = made.deadline();
            let forked = self.sessions.insert(&key, Box::new(made), deadline);
            push(id, SessionEvent::Forked { session: SessionId(forked), response }, out);
        }
    }

    /// The final refusal of the first INVITE.
    pub(super) fn invite_refused(&mut self, id: Id, response: Response, now: Instant, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.phase == Phase::Inviting) else {
            return;
        };
        if response.status == Status::SESSION_INTERVAL_TOO_SMALL
            && let Some(min_se) = response.headers.min_se().ok().flatten().filter(|min_se| *min_se <= MAX_MIN_SE)
            && let Some(ours) = session.ours.as_mut().filter(|ours| ours.tries < MAX_OFFER_RETRIES)
            && let Some(invite) = ours.invite.as_deref_mut()
        {
            // The same Call-ID, a new CSeq, the interval that the refusal asks for (RFC 4028 section 7.3).
            ours.tries += 1;
            let number = invite.headers.cseq().map_or(1, |cseq| cseq.number.saturating_add(1));
            invite.headers.set(HeaderName::CSeq, CSeq { number, method: Method::Invite }.to_value());
            session.min_se = session.min_se.max(min_se);
            session.expires = session.expires.map(|expires| expires.max(min_se));
            ours.asked = session.expires;
            return self.send_invite(id, now, out);
        }
        self.end_session(id, Ended::Refused(Box::new(response)), now, out);
    }

    pub(super) fn invite_failed(&mut self, id: Id, failure: Failure, now: Instant, out: &mut Vec<Output>) {
        if self.sessions.get_mut(id).is_some_and(|session| session.phase == Phase::Inviting) {
            self.end_session(id, Ended::Failed(failure), now, out);
        }
    }
}

/// Session-Expires and Min-SE of an INVITE or UPDATE (RFC 4028 sections 7.1 and 7.4).
pub(super) fn ask_interval(request: &mut Request, asked: Option<u32>, min_se: u32) {
    if let Some(asked) = asked {
        let value = SessionExpires { seconds: asked.max(min_se), refresher: None }.to_value();
        request.headers.set(HeaderName::SessionExpires, value);
        request.headers.set(HeaderName::MinSe, HeaderValue::from(min_se));
    }
}

/// The dialog of a 2xx. COMPAT: one without usable Contact has the Request-URI as its target, or it could not even be
/// acknowledged.
fn dialog_of(response: &Response, uri: &crate::uri::Uri) -> Result<Dialog, DialogFault> {
    match Dialog::from_answer(response) {
        Ok(dialog) => Ok(dialog),
        Err(DialogFault::Tag) => Err(DialogFault::Tag),
        Err(DialogFault::Field(_) | DialogFault::Contact | DialogFault::RouteSet) => {
            let mut patched = response.clone();
            patched.headers.set(HeaderName::Contact, NameAddr::new(uri.without_headers()).to_value());
            Dialog::from_answer(&patched).or_else(|_| {
                patched.headers.remove(&HeaderName::RecordRoute);
                Dialog::from_answer(&patched)
            })
        }
    }
}

/// The branch in a Via of ours.
fn branch_of_via(via: &[u8]) -> Option<Token> {
    let via = crate::field::ViaRef::parse(via).ok()?;
    Token::new(Bytes::copy_from_slice(via.branch()?)).ok()
}

pub(super) fn push(session: Id, event: SessionEvent, out: &mut Vec<Output>) {
    out.push(Output::Event(Event::Session { session: SessionId(session), event }));
}
