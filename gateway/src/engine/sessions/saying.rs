//! What partners' users say in sessions: which session carries it, and what becomes of it.
use std::collections::VecDeque;

use causeway_sip::field::NameAddr;
use causeway_sip::header::{HeaderName, Headers};
use causeway_sip::method::{Method, Status};
use causeway_sip::session::{Description, Invite, SessionId, SessionRequest};
use causeway_sip::target::Target;

use super::Talk;
use crate::engine::messages::Pager;
use crate::engine::requests::{Pending, Purpose};
use crate::engine::{Engine, Now, Outputs};
use crate::link::StanzaIn;
use crate::presence::Answer;
use crate::presence::record::PairKey;
use crate::session::SessionForm;
use crate::session::describe;
use crate::session::line::Said;
use crate::store::operator::ArchivedKind;
use crate::translate::address;
use crate::translate::message_stanza::MessageType;

impl Engine {
    /// Lets a session carry a chat message, if the pair has one or the next hop wants one; else gives it back.
    pub(in crate::engine) fn say_in_session(&mut self, pager: Pager, now: Now, out: &mut Outputs) -> Option<Pager> {
        let is_idle = self.sessions.talks.is_empty() && !self.settings.sessions.are_opened();
        if is_idle || pager.message_type != MessageType::Chat || pager.is_rerouted {
            return Some(pager);
        }
        let pair = PairKey { local: pager.to.bare(), remote: pager.from.bare() };
        let id = match self.sessions.carrier(&pair) {
            // A request in the dialog is bound like one outside of it.
            Some(id) if pager.too_long.is_some() && !self.sessions.is_stream(id) => return Some(pager),
            Some(id) => id,
            None => match self.open_session(&pair, &pager, now, out) {
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

    /// Whether a message may find a stream to go in, whatever its length.
    pub(in crate::engine) fn may_stream(&self, stanza: &StanzaIn, now: Now) -> bool {
        if self.switch.is_none() {
            return false;
        }
        let pair = PairKey { local: stanza.to.bare(), remote: stanza.from.bare() };
        match self.sessions.carrier(&pair) {
            Some(id) => self.sessions.is_stream(id),
            None => {
                let form = self.session_route(now).map(|(form, _)| form);
                form == Some(SessionForm::Msrp) && !self.sessions.refuses(&pair.local, now.instant)
            }
        }
    }

    /// Calls the SIP user, if the next hop wants sessions and the user takes them.
    fn open_session(&mut self, pair: &PairKey, pager: &Pager, now: Now, out: &mut Outputs) -> Option<SessionId> {
        let (form, target) = self.session_route(now)?;
        if self.sessions.is_draining || self.sessions.refuses(&pair.local, now.instant) {
            return None;
        }
        let from = address::jid_to_uri(&pager.from).ok()?;
        let account = address::bare_jid_to_uri(&pair.remote).ok()?;
        let to = address::bare_jid_to_uri(&pair.local).ok()?;
        let call_id = pager.request.as_ref().and_then(|(request, _)| request.headers.call_id().ok());
        let call_id = call_id.map_or_else(|| self.endpoint.ids().call_id(), |call_id| call_id.detached());
        let number = self.endpoint.ids().number();
        let mut talk = Talk::new(pair.clone(), pager.partner.clone(), call_id.as_str(), number, false, now.instant);
        let host = self.settings.session_contact.host();
        let offer = match form {
            SessionForm::Pager => return None,
            SessionForm::InDialog => describe::offer_in_dialog(talk.number, talk.version, host, account.as_str()),
            SessionForm::Msrp => self.offer_stream(&mut talk, now)?,
        };
        let mut headers = Headers::default();
        headers.push(HeaderName::PAssertedIdentity, NameAddr::new(account).to_value());
        let invite = Invite {
            uri: to.clone(),
            from: NameAddr::new(from),
            to: NameAddr::new(to),
            // The thread of the conversation (RFC 7573, section 4).
            call_id: Some(call_id),
            contact: self.settings.session_contact.clone(),
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
                self.close_stream(talk.stream, now, out);
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
        let target = self.endpoint.next_hop(now.instant)?;
        let form = sessions.form_of(&target);
        (form != SessionForm::Pager).then(|| (form, (!sessions.is_uniform()).then_some(target)))
    }

    pub(super) fn send_in_session(&mut self, id: SessionId, mut pager: Pager, now: Now, out: &mut Outputs) {
        let Some((request, _)) = &pager.request else { return self.conclude(pager, &Answer::Unreachable, now, out) };
        let mut headers = Headers::default();
        for name in [HeaderName::ContentLanguage, HeaderName::Date] {
            if let Some(value) = request.headers.get(&name) {
                headers.push(name, value.clone());
            }
        }
        let content_type = request.headers.get(&HeaderName::ContentType).cloned();
        let body = content_type.map(|content_type| Description { content_type, body: request.body.clone() });
        let stream = self.sessions.talks.get(&id).and_then(|talk| talk.stream);
        if let Some(archived) = &mut pager.archived {
            archived.kind = if stream.is_some() { ArchivedKind::Msrp } else { ArchivedKind::Session };
        }
        let token = self.next_key();
        let due = pager.due();
        self.requests.insert(token, Pending::of_session(id, pager));
        if let (Some(stream), Some(body)) = (stream, &body) {
            return self.send_on_stream(id, stream, token, body, due, now, out);
        }
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
    pub(in crate::engine) fn in_session_answered(
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
            let mut waiting = self.forget_session(id, now, out);
            waiting.push_front(pager);
            return self.reroute(waiting, now, out);
        }
        self.conclude(pager, answer, now, out);
        if matches!(answer, Answer::Timeout | Answer::Unreachable) {
            // Nobody is there any more: what waits shall not find that out one by one.
            return self.hang_up(id, now, out);
        }
        match self.sessions.step(id, |line| line.answered(now.instant)).flatten() {
            Some(next) => self.send_in_session(id, next, now, out),
            None => self.leave_if_draining(id, now, out),
        }
    }

    /// A gateway that stops ends a session as soon as all has been said in it.
    pub(super) fn leave_if_draining(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        if self.sessions.is_draining && self.sessions.talks.get(&id).is_some_and(Talk::is_quiet) {
            self.hang_up(id, now, out);
        }
    }

    /// Sends what a session could not carry another way, in order.
    pub(super) fn reroute(&mut self, waiting: VecDeque<Pager>, now: Now, out: &mut Outputs) {
        for mut pager in waiting {
            // A device that ends each session at once shall not have us call for ever.
            pager.is_rerouted = true;
            self.deliver(pager, now, out);
        }
    }

    /// Ends a session that is still known to the endpoint; returns what it had not sent.
    pub(super) fn forget_session(&mut self, id: SessionId, now: Now, out: &mut Outputs) -> VecDeque<Pager> {
        let Some(talk) = self.sessions.remove(id) else { return VecDeque::new() };
        self.close_stream(talk.stream, now, out);
        // It may have ended by itself.
        let _ended = self.endpoint.hang_up(id, now.instant, &mut self.sip_out);
        talk.line.end()
    }

    pub(super) fn hang_up(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        let waiting = self.forget_session(id, now, out);
        self.reroute(waiting, now, out);
        self.drain_sip(now, out);
    }

    /// Ends the sessions of a pair, because the XMPP user has left the conversation or may not hold it any more.
    pub(in crate::engine) fn end_sessions_of(&mut self, pair: &PairKey, now: Now, out: &mut Outputs) {
        let ids = self.sessions.of_pair.get(pair).cloned().unwrap_or_default();
        ids.into_iter().for_each(|id| self.hang_up(id, now, out));
    }

    /// Texts that waited too long, and sessions that did not open in time or in which nobody says anything.
    pub(in crate::engine) fn expire_sessions(&mut self, now: Now, out: &mut Outputs) {
        while let Some((_, id)) = self.sessions.deadlines.first().filter(|(at, _)| *at <= now.instant).copied() {
            if let Some(pager) = self.sessions.step(id, |line| line.expire(now.instant)).flatten() {
                self.conclude(pager, &Answer::Timeout, now, out);
                continue;
            }
            let is_open = self.sessions.talks.get(&id).is_some_and(|talk| talk.line.is_open());
            let waiting = self.forget_session(id, now, out);
            if is_open {
                self.reroute(waiting, now, out);
            } else {
                waiting.into_iter().for_each(|pager| self.conclude(pager, &Answer::Timeout, now, out));
            }
            self.drain_sip(now, out);
        }
    }

    /// Ends what may not go on under a new configuration.
    pub(in crate::engine) fn end_unallowed_sessions(&mut self, now: Now, out: &mut Outputs) {
        let is_allowed = |pair: &PairKey| {
            let (local, remote) = (pair.local.domain_name(), pair.remote.domain_name());
            self.settings.domains.between(&local, &remote).is_ok() && self.settings.may_federate(&pair.local)
        };
        let unallowed: Vec<_> = self.sessions.of_pair.keys().filter(|pair| !is_allowed(pair)).cloned().collect();
        for id in
            unallowed.iter().filter_map(|pair| self.sessions.of_pair.get(pair)).flatten().copied().collect::<Vec<_>>()
        {
            // What waits may not go another way either.
            for pager in self.forget_session(id, now, out) {
                self.message_unallowed(pager, out);
            }
        }
        self.drain_sip(now, out);
    }

    /// No session begins any more; those without anything to say end now, the others when they have said it.
    pub(in crate::engine) fn drain_sessions(&mut self, now: Now, out: &mut Outputs) {
        self.sessions.is_draining = true;
        let talks = self.sessions.talks.iter();
        let quiet: Vec<_> = talks.filter(|(_, talk)| talk.is_quiet()).map(|(id, _)| *id).collect();
        quiet.into_iter().for_each(|id| self.hang_up(id, now, out));
    }
}
