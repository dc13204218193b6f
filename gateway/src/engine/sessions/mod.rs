//! Chats in sessions: which one carries a message, how sessions begin and end, and what they bring (RFC 7573, [MS-SDP]).
//!
//! A session carries chat messages of one pair. If both sides call at once there are two; messages go through the one
//! that opened first, or in which the SIP user has spoken since, and the other ends unless it is used. What a session could not carry goes by another way, once:
//! a new session, or pager mode. Nothing here outlives the process: a client whose session is gone hears 481 and
//! calls again.
//!
//! Here is what is known of sessions; `saying` is the road from partners' users to SIP, `events` what SIP does, `typing`
//! who writes, `msrp` what is different where the stream is MSRP.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use causeway_shared::jid::BareJid;
use causeway_sip::msrp::session::Receipt;
use causeway_sip::msrp::switch;
use causeway_sip::session::SessionId;

use super::messages::{Due, Pager};
use crate::policy::PartnerEntry;
use crate::presence::record::PairKey;
use crate::session::line::Line;
use crate::translate::message::call_id_to_thread;

mod events;
mod msrp;
mod saying;
mod typing;

/// Sessions of one pair at once: one in each direction, and some that the other end has forgotten. A further one takes the
/// place of the quietest, for a device that has crashed ends none of its own.
const PER_PAIR: usize = 4;

/// Sessions that one SIP user may have opened: more windows than anybody reads, and few of those that the endpoint has for
/// all.
pub(super) const PER_CALLER: usize = 200;

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
    /// The sessions whose stream is MSRP.
    of_stream: HashMap<switch::SessionId, SessionId>,
    deadlines: BTreeSet<(Instant, SessionId)>,
    /// SIP users whose devices take no sessions, and until when that is believed.
    refusals: HashMap<BareJid, Instant>,
    /// How many sessions SIP users have opened.
    callers: HashMap<BareJid, usize>,
    is_draining: bool,
}

/// One session.
struct Talk {
    pair: PairKey,
    partner: PartnerEntry,
    line: Line<Pager>,
    deadline: Instant,
    /// Whether the SIP user has called.
    is_theirs: bool,
    /// Names the session in its descriptions, and counts them.
    number: u64,
    version: u64,
    /// Its stream, if it is MSRP; else it carries MESSAGE requests.
    stream: Option<switch::SessionId>,
    /// Its thread in XMPP (RFC 7573, section 4).
    thread: String,
    /// Texts of the stream that are on their way to XMPP.
    unsettled: usize,
    /// What XMPP users are to hear when the reports of their messages come, by the token of the message.
    reports: HashMap<u64, Due>,
    /// Messages of the SIP user of which a receipt is awaited, by `id`.
    awaited: HashMap<String, Receipt>,
}

impl Talk {
    fn new(pair: PairKey, partner: PartnerEntry, call_id: &str, number: u64, is_theirs: bool, now: Instant) -> Self {
        let line = Line::new(now);
        let thread = call_id_to_thread(call_id).into_owned();
        let deadline = line.deadline();
        // Half of the numbers: some peers read the field as a signed one.
        Self {
            pair,
            partner,
            line,
            deadline,
            is_theirs,
            number: number >> 1,
            version: 1,
            stream: None,
            thread,
            unsettled: 0,
            reports: HashMap::new(),
            awaited: HashMap::new(),
        }
    }
}

impl Talk {
    /// Whether nothing is under way in either direction of which somebody has still to hear.
    fn is_quiet(&self) -> bool {
        self.line.is_quiet() && self.unsettled == 0
    }
}

impl Sessions {
    /// When the sessions that are due have to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Whether there is none.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let is_unindexed = self.of_pair.is_empty() && self.of_stream.is_empty() && self.deadlines.is_empty();
        self.talks.is_empty() && is_unindexed && self.callers.is_empty()
    }

    /// Sessions that are there.
    pub(super) fn len(&self) -> usize {
        self.talks.len()
    }

    /// Sessions that have something to say still.
    pub(super) fn under_way(&self) -> usize {
        self.talks.values().filter(|talk| !talk.is_quiet()).count()
    }

    /// Whether a session carries the messages of a pair.
    pub(super) fn carries(&self, pair: &PairKey) -> bool {
        self.of_pair.contains_key(pair)
    }

    /// Whether one does, by requests in its dialog.
    pub(super) fn carries_in_dialog(&self, pair: &PairKey) -> bool {
        self.carrier(pair).is_some_and(|id| !self.is_stream(id))
    }

    /// Whether the session that carries the messages of a pair takes a status now: one that is not open yet has nothing to
    /// say it in, and behind a message that is under way it must not wait.
    pub(super) fn takes_status(&self, pair: &PairKey) -> bool {
        let talk = self.carrier(pair).and_then(|id| self.talks.get(&id));
        talk.is_some_and(|talk| talk.line.is_open() && talk.line.is_quiet())
    }

    fn is_stream(&self, id: SessionId) -> bool {
        self.talks.get(&id).is_some_and(|talk| talk.stream.is_some())
    }

    /// The session that carries the messages of a pair.
    fn carrier(&self, pair: &PairKey) -> Option<SessionId> {
        self.of_pair.get(pair)?.first().copied()
    }

    fn insert(&mut self, id: SessionId, talk: Talk) {
        self.deadlines.insert((talk.deadline, id));
        self.of_pair.entry(talk.pair.clone()).or_default().push(id);
        self.of_stream.extend(talk.stream.map(|stream| (stream, id)));
        if talk.is_theirs {
            *self.callers.entry(talk.pair.local.clone()).or_default() += 1;
        }
        self.talks.insert(id, talk);
    }

    fn remove(&mut self, id: SessionId) -> Option<Talk> {
        let talk = self.talks.remove(&id)?;
        self.deadlines.remove(&(talk.deadline, id));
        talk.stream.and_then(|stream| self.of_stream.remove(&stream));
        if talk.is_theirs
            && let Some(count) = self.callers.get_mut(&talk.pair.local)
        {
            *count -= 1;
            if *count == 0 {
                self.callers.remove(&talk.pair.local);
            }
        }
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

    /// Whether a SIP user has opened as many as he may.
    fn has_too_many(&self, caller: &BareJid) -> bool {
        self.callers.get(caller).is_some_and(|count| *count >= PER_CALLER)
    }

    /// The session that has to end before the pair may have another one: an open one in which nobody has said anything for
    /// the longest time, if there is one.
    fn quietest(&self, pair: &PairKey) -> Option<SessionId> {
        let ids = self.of_pair.get(pair).filter(|ids| ids.len() >= PER_PAIR)?;
        let known = ids.iter().filter_map(|id| self.talks.get(id).map(|talk| (id, talk)));
        known.min_by_key(|(_, talk)| (!talk.line.is_open(), talk.deadline)).map(|(id, _)| *id)
    }

    /// The SIP user speaks in a session: answers go there from now on.
    fn heard(&mut self, id: SessionId, now: Instant) {
        self.step(id, |line| line.heard(now));
        if let Some(talk) = self.talks.get(&id).filter(|talk| talk.line.is_open())
            && let Some(ids) = self.of_pair.get_mut(&talk.pair)
            && let Some(at @ 1..) = ids.iter().position(|known| *known == id)
        {
            ids.remove(at);
            ids.insert(0, id);
        }
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
                let others = ids.clone();
                ids.insert(0, id);
                others.into_iter().for_each(|other| self.hand_over(other, id));
            }
        }
        self.step(id, |line| line.opened(now)).flatten()
    }

    /// What waits for another session to open goes in the one that has, or what is said next would overtake it. Only a
    /// stream carries what was meant for one, which may be of any length.
    fn hand_over(&mut self, from: SessionId, to: SessionId) {
        if (self.is_stream(to) || !self.is_stream(from))
            && let Some(waiting) = self.step(from, Line::hand_over)
        {
            self.step(to, |line| line.take_over(waiting));
        }
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
