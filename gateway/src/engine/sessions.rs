//! Chats in sessions: which one carries a message, how sessions begin and end, and what they bring (RFC 7573, [MS-SDP]).
//!
//! A session carries chat messages of one pair. If both sides call at once there are two; messages go through the one
//! that opened first, and the other ends unless it is used. What a session could not carry goes by another way, once:
//! a new session, or pager mode. Nothing here outlives the process: a client whose session is gone hears 481 and
//! calls again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use causeway_shared::jid::BareJid;
use causeway_shared::verdict::{Direction, Rung, Side, Verdict};
use causeway_sip::endpoint::ServerTransaction;
use causeway_sip::field::NameAddr;
use causeway_sip::header::{HeaderName, Headers};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::{Method, Status};
use causeway_sip::sdp::message::MessageStream;
use causeway_sip::session::{self, Description, Ended, Invite, SessionEvent, SessionId, SessionRequest};
use causeway_sip::target::{Source, Target};

use super::messages::Pager;
use super::requests::{Ends, Purpose};
use super::{Engine, Now, Outputs};
use crate::policy::PartnerEntry;
use crate::presence::Answer;
use crate::presence::record::PairKey;
use crate::session::SessionForm;
use crate::session::describe::{self, Unusable};
use crate::session::line::{Line, Said};
use crate::translate::address;
use crate::translate::message::MessageType;

/// Sessions of one pair at once: one in each direction, and one more while the other end forgets.
const PER_PAIR: usize = 4;

/// How long a user whose devices refused a session is written to without one.
const REFUSAL_LASTS: Duration = Duration::from_secs(3600);

/// Users remembered for that; beyond it a session is tried again.
const REFUSALS: usize = 10_000;

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    talks: HashMap<SessionId, Talk>,
    /// The sessions of a pair, the one that carries messages first.
    of_pair: HashMap<PairKey, Vec<SessionId>>,
    deadlines: BTreeSet<(Instant, SessionId)>,
    /// SIP users whose devices take no sessions, and until when that is believed.
    refusals: HashMap<BareJid, Instant>,
    is_draining: bool,
}

/// One session.
struct Talk {
    pair: PairKey,
    partner: PartnerEntry,
    line: Line<Pager>,
    deadline: Instant,
    /// Names the session in its descriptions, and counts them.
    number: u64,
    version: u64,
}

impl Talk {
    fn new(pair: PairKey, partner: PartnerEntry, number: u64, now: Instant) -> Self {
        let line = Line::new(now);
        let deadline = line.deadline();
        // Half of the numbers: some peers read the field as a signed one.
        Self { pair, partner, line, deadline, number: number >> 1, version: 1 }
    }
}

impl Sessions {
    /// When [`Engine::expire_sessions`] has to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Whether there is none.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.talks.is_empty() && self.of_pair.is_empty() && self.deadlines.is_empty()
    }

    /// Sessions that have something to say still.
    pub(super) fn under_way(&self) -> usize {
        self.talks.values().filter(|talk| !talk.line.is_quiet()).count()
    }

    /// The session that carries the messages of a pair.
    fn carrier(&self, pair: &PairKey) -> Option<SessionId> {
        self.of_pair.get(pair)?.first().copied()
    }

    fn insert(&mut self, id: SessionId, talk: Talk) {
        self.deadlines.insert((talk.deadline, id));
        self.of_pair.entry(talk.pair.clone()).or_default().push(id);
        self.talks.insert(id, talk);
    }

    fn remove(&mut self, id: SessionId) -> Option<Talk> {
        let talk = self.talks.remove(&id)?;
        self.deadlines.remove(&(talk.deadline, id));
        if let Some(ids) = self.of_pair.get_mut(&talk.pair) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.of_pair.remove(&talk.pair);
            }
        }
        Some(talk)
    }

    /// Steps a session's line and keeps its deadline in order.
    fn step<R>(&mut self, id: SessionId, step: impl FnOnce(&mut Line<Pager>) -> R) -> Option<R> {
        let talk = self.talks.get_mut(&id)?;
        let result = step(&mut talk.line);
        let deadline = talk.line.deadline();
        if deadline != talk.deadline {
            self.deadlines.remove(&(talk.deadline, id));
            self.deadlines.insert((deadline, id));
            talk.deadline = deadline;
        }
        Some(result)
    }

    /// A session opened: messages go through the one that was open first.
    fn opened(&mut self, id: SessionId, now: Instant) -> Option<Pager> {
        let pair = self.talks.get(&id)?.pair.clone();
        let ids = self.of_pair.get_mut(&pair)?;
        let first_open = ids.iter().copied().find(|id| self.talks.get(id).is_some_and(|talk| talk.line.is_open()));
        match first_open {
            Some(_) => drop(self.step(id, Line::spare)),
            None => {
                ids.retain(|known| *known != id);
                ids.insert(0, id);
            }
        }
        self.step(id, |line| line.opened(now)).flatten()
    }

    fn refuses(&self, user: &BareJid, now: Instant) -> bool {
        self.refusals.get(user).is_some_and(|until| *until > now)
    }

    fn remember_refusal(&mut self, user: &BareJid, now: Instant) {
        if self.refusals.len() >= REFUSALS {
            self.refusals.retain(|_, until| *until > now);
        }
        if self.refusals.len() < REFUSALS {
            self.refusals.insert(user.clone(), now + REFUSAL_LASTS);
        }
    }
}

/// From the partner's users to the SIP user.
impl Engine {
    /// Lets a session carry a chat message, if the pair has one or the next hop wants one; else gives it back.
    pub(super) fn say_in_session(&mut self, pager: Pager, now: Now, out: &mut Outputs) -> Option<Pager> {
        let is_idle = self.sessions.talks.is_empty() && !self.settings.sessions.are_opened();
        if is_idle || pager.message_type != MessageType::Chat || pager.is_rerouted {
            return Some(pager);
        }
        let pair = PairKey { local: pager.to.bare(), remote: pager.from.bare() };
        let id = match self.sessions.carrier(&pair) {
            Some(id) => id,
            None => match self.open_session(&pair, &pager, now) {
                Some(id) => id,
                None => return Some(pager),
            },
        };
        match self.sessions.step(id, |line| line.say(pager, now.instant)) {
            Some(Said::Send(pager)) => self.send_in_session(id, pager, now, out),
            Some(Said::Full(pager)) => self.message_refused_full(pager, out),
            Some(Said::Waits) | None => {}
        }
        // The INVITE, if there is one.
        self.drain_sip(now, out);
        None
    }

    /// Calls the SIP user, if the next hop wants sessions and the user takes them.
    fn open_session(&mut self, pair: &PairKey, pager: &Pager, now: Now) -> Option<SessionId> {
        let (form, target) = self.session_route(now)?;
        if self.sessions.is_draining || self.sessions.refuses(&pair.local, now.instant) {
            return None;
        }
        let from = address::jid_to_uri(&pager.from).ok()?;
        let account = address::bare_jid_to_uri(&pair.remote).ok()?;
        let to = address::bare_jid_to_uri(&pair.local).ok()?;
        let talk = Talk::new(pair.clone(), pager.partner.clone(), self.endpoint.ids().number(), now.instant);
        let host = self.settings.contact.host();
        let offer = match form {
            SessionForm::Pager => return None,
            SessionForm::InDialog => describe::offer_in_dialog(talk.number, host, account.as_str()),
            SessionForm::Msrp => return None,
        };
        let mut headers = Headers::default();
        headers.push(HeaderName::PAssertedIdentity, NameAddr::new(account).to_value());
        let call_id = pager.request.as_ref().and_then(|(request, _)| request.headers.call_id().ok());
        let invite = Invite {
            uri: to.clone(),
            from: NameAddr::new(from),
            to: NameAddr::new(to),
            // The thread of the conversation (RFC 7573, section 4).
            call_id: call_id.map(|call_id| call_id.detached()),
            contact: self.settings.contact.clone(),
            headers,
            offer: Description::sdp(offer),
            target,
        };
        match self.endpoint.invite(invite, now.instant, &mut self.sip_out) {
            Ok(id) => {
                self.metrics.session_opened();
                self.sessions.insert(id, talk);
                Some(id)
            }
            Err(fault) => {
                tracing::debug!(%fault, "no session; the message goes without one");
                None
            }
        }
    }

    /// The form of sessions towards the next hop, and the hop itself where the hops differ.
    fn session_route(&self, now: Now) -> Option<(SessionForm, Option<Target>)> {
        let sessions = &self.settings.sessions;
        if !sessions.are_opened() {
            return None;
        }
        let target = self.next_target(&[], now)?;
        let form = sessions.form_of(&target);
        (form != SessionForm::Pager).then(|| (form, (!sessions.is_uniform()).then_some(target)))
    }

    fn send_in_session(&mut self, id: SessionId, pager: Pager, now: Now, out: &mut Outputs) {
        let Some((request, _)) = &pager.request else { return self.conclude(pager, &Answer::Unreachable, now, out) };
        let mut headers = Headers::default();
        for name in [HeaderName::ContentLanguage, HeaderName::Date] {
            if let Some(value) = request.headers.get(&name) {
                headers.push(name, value.clone());
            }
        }
        let content_type = request.headers.get(&HeaderName::ContentType).cloned();
        let body = content_type.map(|content_type| Description { content_type, body: request.body.clone() });
        let token = self.next_key();
        self.requests.insert(token, super::requests::Pending::of_session(id, pager));
        let request = SessionRequest { method: Method::Message, headers, body, token };
        if self.endpoint.send(id, request, now.instant, &mut self.sip_out).is_err()
            && let Some(Purpose::InSession { pager, .. }) = self.take_purpose(token)
        {
            // The session is ending: its end will be told, and this one goes another way.
            self.reroute(VecDeque::from([*pager]), now, out);
        }
        self.drain_sip(now, out);
    }

    /// SIP has answered a message in a session.
    pub(super) fn in_session_answered(
        &mut self,
        id: SessionId,
        pager: Pager,
        answer: &Answer,
        now: Now,
        out: &mut Outputs,
    ) {
        let is_gone = matches!(answer, Answer::Response(response) if response.status == Status::NO_SUCH_DIALOG);
        if is_gone {
            // The peer has forgotten the session, and has not read the message: it goes another way, before all
            // that waits behind it.
            let mut waiting = self.forget_session(id, now);
            waiting.push_front(pager);
            return self.reroute(waiting, now, out);
        }
        self.conclude(pager, answer, now, out);
        match self.sessions.step(id, |line| line.answered(now.instant)).flatten() {
            Some(next) => self.send_in_session(id, next, now, out),
            None if self.sessions.is_draining => self.hang_up(id, now, out),
            None => {}
        }
    }

    /// Sends what a session could not carry another way, in order.
    fn reroute(&mut self, waiting: VecDeque<Pager>, now: Now, out: &mut Outputs) {
        for mut pager in waiting {
            // A device that ends each session at once shall not have us call for ever.
            pager.is_rerouted = true;
            self.deliver(pager, now, out);
        }
    }

    /// Ends a session that is still known to the endpoint; returns what it had not sent.
    fn forget_session(&mut self, id: SessionId, now: Now) -> VecDeque<Pager> {
        let waiting = self.sessions.remove(id).map(|talk| talk.line.end()).unwrap_or_default();
        // It may have ended by itself.
        let _ended = self.endpoint.hang_up(id, now.instant, &mut self.sip_out);
        waiting
    }

    fn hang_up(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        let waiting = self.forget_session(id, now);
        self.reroute(waiting, now, out);
        self.drain_sip(now, out);
    }

    /// Ends the sessions of a pair, because the XMPP user has left the conversation or may not hold it any more.
    pub(super) fn end_sessions_of(&mut self, pair: &PairKey, now: Now, out: &mut Outputs) {
        let ids = self.sessions.of_pair.get(pair).cloned().unwrap_or_default();
        ids.into_iter().for_each(|id| self.hang_up(id, now, out));
    }

    /// Sessions that did not open in time, or in which nobody says anything.
    pub(super) fn expire_sessions(&mut self, now: Now, out: &mut Outputs) {
        while let Some((_, id)) = self.sessions.deadlines.first().filter(|(at, _)| *at <= now.instant).copied() {
            let is_open = self.sessions.talks.get(&id).is_some_and(|talk| talk.line.is_open());
            let waiting = self.forget_session(id, now);
            if is_open {
                self.reroute(waiting, now, out);
            } else {
                waiting.into_iter().for_each(|pager| self.conclude(pager, &Answer::Timeout, now, out));
            }
            self.drain_sip(now, out);
        }
    }

    /// Ends what may not go on under a new configuration.
    pub(super) fn end_unallowed_sessions(&mut self, now: Now, out: &mut Outputs) {
        let is_allowed = |pair: &PairKey| {
            let (local, remote) = (pair.local.domain_name(), pair.remote.domain_name());
            self.settings.domains.between(&local, &remote).is_ok() && self.settings.may_federate(&pair.local)
        };
        let unallowed: Vec<_> = self.sessions.of_pair.keys().filter(|pair| !is_allowed(pair)).cloned().collect();
        unallowed.iter().for_each(|pair| self.end_sessions_of(pair, now, out));
    }

    /// No session begins any more; those without anything to say end now, the others when they have said it.
    pub(super) fn drain_sessions(&mut self, now: Now, out: &mut Outputs) {
        self.sessions.is_draining = true;
        let talks = self.sessions.talks.iter();
        let quiet: Vec<_> = talks.filter(|(_, talk)| talk.line.is_quiet()).map(|(id, _)| *id).collect();
        quiet.into_iter().for_each(|id| self.hang_up(id, now, out));
    }
}

/// From the SIP user.
impl Engine {
    /// Something happened in a session.
    pub(super) fn session_event(&mut self, id: SessionId, event: SessionEvent, now: Now, out: &mut Outputs) {
        match event {
            SessionEvent::Invited { request, source } => self.session_invited(id, &request, &source, now, out),
            SessionEvent::Acknowledged { .. } => self.session_opened(id, now, out),
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
        if self.sessions.of_pair.get(&pair).is_some_and(|ids| ids.len() >= PER_PAIR) {
            return self.refuse_session(id, Status::BUSY_HERE, now);
        }
        let talk = Talk::new(pair, partner, self.endpoint.ids().number(), now.instant);
        match self.describe_answer(&talk, request) {
            Ok(description) => {
                self.sessions.insert(id, talk);
                self.accept_session(id, description, now);
                self.metrics.session_accepted();
            }
            Err(fault) => {
                out.verdicts.push(Verdict {
                    rung: Rung::Translation,
                    side: Side::Operator,
                    cause: format!("an INVITE has no XMPP form: {fault}"),
                    remedy: "The gateway carries chats; keep the pool from sending calls with sound or pictures to it."
                        .to_owned(),
                    partner: talk.partner.primary.as_str().to_owned(),
                    direction: Direction::Out,
                    peer: Some(source.remote),
                    at_ms: now.unix_ms,
                    facts: None,
                });
                self.refuse_session(id, status_of(fault), now);
            }
        }
    }

    /// Our answer to an offer, or our offer where the peer has made none.
    fn describe_answer(&self, talk: &Talk, request: &Request) -> Result<Description, Unusable> {
        let host = self.settings.contact.host();
        let account = address::bare_jid_to_uri(&talk.pair.remote).map_err(|_| Unusable::NoMessages)?;
        if request.body.is_empty() {
            return Ok(Description::sdp(describe::offer_in_dialog(talk.number, host, account.as_str())));
        }
        let offer = describe::read(&request.body)?;
        match &offer.stream {
            MessageStream::InDialog(_) => {
                let answer = describe::answer_in_dialog(&offer, talk.number, talk.version, host, account.as_str());
                Ok(Description::sdp(answer))
            }
            MessageStream::Msrp(_) => Err(Unusable::NoMessages),
        }
    }

    fn accept_session(&mut self, id: SessionId, description: Description, now: Now) {
        let contact = self.settings.contact.clone();
        let answer = session::Answer { contact, headers: Headers::default(), description: Some(description) };
        // A caller that has gone meanwhile is told of by the session's end.
        let _gone = self.endpoint.accept(id, answer, now.instant, &mut self.sip_out);
    }

    fn refuse_session(&mut self, id: SessionId, status: Status, now: Now) {
        let _gone = self.endpoint.refuse(id, status, &Headers::default(), now.instant, &mut self.sip_out);
    }

    /// Our call was answered.
    fn session_answered(&mut self, id: SessionId, response: &Response, now: Now, out: &mut Outputs) {
        let is_chat = describe::read(&response.body).is_ok_and(|answer| answer.stream.accepts("text/plain"));
        if is_chat {
            return self.session_opened(id, now, out);
        }
        // Whoever answers without a stream for messages cannot read them.
        self.session_refused(id, now, out);
    }

    fn session_opened(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        if let Some(next) = self.sessions.opened(id, now.instant) {
            self.send_in_session(id, next, now, out);
        }
    }

    /// The user's devices take no sessions of this form: what waits goes without, and for a while all else does.
    fn session_refused(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        if let Some(talk) = self.sessions.talks.get(&id) {
            let user = talk.pair.local.clone();
            self.sessions.remember_refusal(&user, now.instant);
        }
        self.hang_up(id, now, out);
    }

    /// The peer changes the session: a chat stays a chat, all else is refused and changes nothing.
    fn session_offered(&mut self, id: SessionId, request: &Request, now: Now) {
        if let Some(talk) = self.sessions.talks.get_mut(&id) {
            talk.version += 1;
        }
        let described = self.sessions.talks.get(&id).map(|talk| self.describe_answer(talk, request));
        match described {
            Some(Ok(description)) => self.accept_session(id, description, now),
            Some(Err(fault)) => self.refuse_session(id, status_of(fault), now),
            None => self.refuse_session(id, Status::NO_SUCH_DIALOG, now),
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
        let _known = self.sessions.step(id, |line| line.heard(now.instant));
        let Some(talk) = self.sessions.talks.get(&id) else {
            return self.respond(transaction, Response::to(&request, Status::NO_SUCH_DIALOG), now, out);
        };
        let (pair, partner) = (talk.pair.clone(), talk.partner.clone());
        match &request.method {
            Method::Message => self.message_from_sip(transaction, request, &pair, &partner, Some(id), now, out),
            // INFO without a meaning for us is legal and harmless (RFC 6086, section 4.2.2 for unknown packages).
            _ => self.respond(transaction, Response::to(&request, Status::OK), now, out),
        }
    }

    fn session_ended(&mut self, id: SessionId, ended: Ended, now: Now, out: &mut Outputs) {
        let Some(talk) = self.sessions.remove(id) else { return };
        let user = talk.pair.local.clone();
        let waiting = talk.line.end();
        let answer = match ended {
            Ended::Refused(response) if is_about_sessions(response.status) => {
                self.sessions.remember_refusal(&user, now.instant);
                return self.reroute(waiting, now, out);
            }
            Ended::Refused(response) => Answer::Response(response),
            Ended::Failed(causeway_sip::endpoint::Failure::Timeout) | Ended::NoAnswer => Answer::Timeout,
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
        Unusable::NoMessages => Status::NOT_ACCEPTABLE_HERE,
    }
}
