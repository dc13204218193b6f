//! Connections of the switch: who may have one, what comes on it and for which session, how much may wait.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::msrp::message::{Frame, Method, Request};
use crate::msrp::parse::{Framer, MAX_HEAD, Received};
use crate::msrp::session::{Input as Step, answer};
use crate::msrp::switch::sessions::{Entry, Phase};
use crate::msrp::switch::{
    ANSWER_RACE, BIND_PATIENCE, ConnectionId, Ended, FRAME_PATIENCE, HIGH_WATER, Hop, LOW_WATER, MAX_AHEAD,
    MAX_CONNECTIONS, MAX_CONNECTIONS_PER_PEER, MAX_SESSIONS_PER_CONNECTION, MAX_UNBOUND, MAX_UNWRITTEN, Output, Peer,
    Switch,
};
use crate::msrp::uri::MsrpUri;
use crate::transaction::table::Id;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// Where it leads, if it is ours.
    hop: Option<Hop>,
    /// `None` while it is being opened.
    pub(super) peer: Option<Peer>,
    framer: Framer,
    received: BytesMut,
    /// Bytes that came since the last whole frame.
    since_frame: usize,
    /// The most that may.
    max_since_frame: usize,
    /// The sessions that are bound to it.
    pub(super) sessions: BTreeSet<Id>,
    /// A request for a session whose answer is still on its way, and until when it waits.
    parked: Option<(Received, Instant)>,
    /// Bytes that the shell has not written yet.
    unwritten: usize,
    pub(super) is_held: bool,
    /// The session that went on first the last time.
    turn: Id,
    /// When it must have shown what it is for.
    pub(super) bind_by: Option<Instant>,
    /// When the frame must be whole of which something came.
    frame_by: Option<Instant>,
}

impl Connection {
    fn new(id: ConnectionId, max_size: usize) -> Self {
        Self {
            id,
            hop: None,
            peer: None,
            framer: Framer::new(max_size),
            received: BytesMut::new(),
            since_frame: 0,
            max_since_frame: MAX_HEAD + max_size + MAX_AHEAD,
            sessions: BTreeSet::new(),
            parked: None,
            unwritten: 0,
            is_held: false,
            turn: 0,
            bind_by: None,
            frame_by: None,
        }
    }

    pub(super) fn opening(id: ConnectionId, hop: Hop, max_size: usize) -> Self {
        Self { hop: Some(hop), ..Self::new(id, max_size) }
    }

    fn deadline(&self) -> Option<Instant> {
        // A frame that is not looked at cannot be late.
        let frame_by = self.frame_by.filter(|_| self.parked.is_none());
        let parked = self.parked.as_ref().map(|(_, until)| *until);
        [self.bind_by, frame_by, parked].into_iter().flatten().min()
    }
}

impl ConnectionId {
    /// What the table knows it by.
    pub(super) fn key(self) -> [u8; 9] {
        let (kind, number) = match self {
            Self::Accepted(number) => (0, number),
            Self::Opened(number) => (1, number),
        };
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        [kind, a, b, c, d, e, f, g, h]
    }
}

impl Hop {
    /// The host device of a URI (RFC 4975 section 6.2).
    pub(super) fn of(uri: &MsrpUri) -> Self {
        Self { is_secure: uri.is_secure(), host: uri.host().to_owned(), port: uri.port() }
    }
}

/// Where a request goes.
enum Route {
    To(Id),
    /// For a session whose other side is not known yet.
    Wait(Id),
    Refuse(u16),
    /// The connection is not that of the peer.
    Unproven(Id),
}

impl Switch {
    pub(super) fn accepted(&mut self, connection: ConnectionId, peer: Peer, now: Instant, out: &mut Vec<Output>) {
        let is_full = self.unbound >= MAX_UNBOUND || self.connections.len() >= MAX_CONNECTIONS;
        if is_full || self.connections.id_of(&connection.key()).is_some() || !self.count(peer.remote.ip()) {
            return out.push(Output::Close { connection });
        }
        let bind_by = now + BIND_PATIENCE;
        let fresh = Connection {
            peer: Some(peer),
            bind_by: Some(bind_by),
            ..Connection::new(connection, self.config.max_size)
        };
        self.unbound += 1;
        self.connections.insert(&connection.key(), fresh, Some(bind_by));
    }

    pub(super) fn connected(&mut self, connection: ConnectionId, peer: &Peer, now: Instant, out: &mut Vec<Output>) {
        let Some(at) = self.connections.id_of(&connection.key()) else {
            // Nobody needs it any more.
            return out.push(Output::Close { connection });
        };
        let Some(entry) = self.connections.get_mut(at).filter(|entry| entry.peer.is_none()) else {
            return;
        };
        entry.peer = Some(peer.clone());
        let sessions: Vec<_> = entry.sessions.iter().copied().collect();
        if !self.count(peer.remote.ip()) {
            if let Some(entry) = self.connections.get_mut(at) {
                entry.peer = None;
            }
            return self.shut(at, Ended::NoRoom, now, out);
        }
        for session in sessions {
            let opened = self.sessions.get_mut(session).and_then(Entry::opened);
            match opened.is_some_and(|opened| opened.is_proven(connection, peer)) {
                true => self.step(session, Step::Connected, now, out),
                false => self.end(session, Ended::Unproven, now, out),
            }
        }
    }

    /// Counts a connection of an address, if it may have a further one.
    fn count(&mut self, remote: IpAddr) -> bool {
        let count = self.per_peer.entry(remote).or_default();
        let is_free = *count < MAX_CONNECTIONS_PER_PEER;
        *count += usize::from(is_free);
        is_free
    }

    /// A connection is gone, and all its sessions with it.
    pub(super) fn lose(&mut self, connection: ConnectionId, why: Ended, now: Instant, out: &mut Vec<Output>) {
        if let Some(at) = self.connections.id_of(&connection.key()) {
            self.forget(at, why, now, out);
        }
    }

    /// Closes a connection, and ends its sessions.
    pub(super) fn shut(&mut self, at: Id, why: Ended, now: Instant, out: &mut Vec<Output>) {
        if let Some(connection) = self.connections.get(at) {
            out.push(Output::Close { connection: connection.id });
            self.forget(at, why, now, out);
        }
    }

    /// A session has ended; a connection without sessions is of no use.
    pub(super) fn release(&mut self, at: Id, session: Id, out: &mut Vec<Output>) {
        let Some(connection) = self.connections.get_mut(at) else {
            return;
        };
        connection.sessions.remove(&session);
        if connection.sessions.is_empty() {
            out.push(Output::Close { connection: connection.id });
            self.remove(at);
        }
    }

    fn forget(&mut self, at: Id, why: Ended, now: Instant, out: &mut Vec<Output>) {
        for session in self.remove(at) {
            self.end(session, why, now, out);
        }
    }

    /// Takes a connection out of all tables; gives the sessions that were on it.
    fn remove(&mut self, at: Id) -> BTreeSet<Id> {
        let Some(connection) = self.connections.remove(at) else {
            return BTreeSet::new();
        };
        if connection.bind_by.is_some() {
            self.unbound -= 1;
        }
        if let Some(hop) = connection.hop.filter(|hop| self.hops.get(hop) == Some(&at)) {
            self.hops.remove(&hop);
        }
        if let Some(ip) = connection.peer.map(|peer| peer.remote.ip())
            && let Some(count) = self.per_peer.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&ip);
            }
        }
        if let Some((received, _)) = connection.parked {
            self.unmark(at, &received);
        }
        connection.sessions
    }

    pub(super) fn bytes(&mut self, connection: ConnectionId, bytes: &Bytes, now: Instant, out: &mut Vec<Output>) {
        let Some(at) = self.connections.id_of(&connection.key()) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(at).filter(|connection| connection.peer.is_some()) else {
            return;
        };
        connection.received.extend_from_slice(bytes);
        connection.since_frame += bytes.len();
        self.cut(at, now, out);
    }

    /// Cuts what came into frames and passes them on, until one has to wait.
    fn cut(&mut self, at: Id, now: Instant, out: &mut Vec<Output>) {
        loop {
            let Some(connection) = self.connections.get_mut(at) else {
                return;
            };
            if connection.parked.is_some() {
                break;
            }
            match connection.framer.push(&mut connection.received) {
                None => break,
                Some(Err(_)) => return self.shut(at, Ended::Violation, now, out),
                Some(Ok(received)) => {
                    connection.since_frame = connection.received.len();
                    connection.frame_by = None;
                    self.route(at, received, now, out);
                }
            }
        }
        let Some(connection) = self.connections.get_mut(at) else {
            return;
        };
        if connection.since_frame > connection.max_since_frame {
            return self.shut(at, Ended::Violation, now, out);
        }
        let is_between = connection.received.is_empty() && connection.framer.is_between_frames();
        connection.frame_by = match connection.frame_by {
            _ if is_between => None,
            Some(at) => Some(at),
            None => Some(now + FRAME_PATIENCE),
        };
        let deadline = connection.deadline();
        self.connections.reschedule(at, deadline);
    }

    fn route(&mut self, at: Id, received: Received, now: Instant, out: &mut Vec<Output>) {
        let route = match &received {
            // One too large shows what its connection is for; one that is not understood does not.
            Received::TooLarge(request) => self.judge(at, request, request.method == Method::Send, 481),
            Received::Malformed(request) => self.judge(at, request, false, 400),
            Received::Frame(frame) => match &**frame {
                Frame::Request(request) => self.judge(at, request, request.method == Method::Send, 481),
                Frame::Response(response) => {
                    let session = match &response.to_path[..] {
                        [own] => self.named(own),
                        _ => None,
                    };
                    let is_bound = |id: &Id| self.connection_of(*id) == Some(at);
                    match session.filter(is_bound) {
                        Some(session) => Route::To(session),
                        // To what was sent in a session that has ended.
                        None => return,
                    }
                }
            },
        };
        match route {
            Route::To(session) => self.step(session, Step::Received(received), now, out),
            Route::Wait(session) => {
                if let Some(entry) = self.sessions.get_mut(session)
                    && let Phase::Reserved { parked } = &mut entry.phase
                    && let Some(connection) = self.connections.get_mut(at)
                {
                    *parked = Some(at);
                    connection.parked = Some((received, now + ANSWER_RACE));
                }
            }
            Route::Unproven(session) => {
                self.end(session, Ended::Unproven, now, out);
                if self.connections.get(at).is_some_and(|connection| connection.sessions.is_empty()) {
                    self.shut(at, Ended::Unproven, now, out);
                }
            }
            Route::Refuse(code) => self.refuse(at, &received, code, out),
        }
    }

    fn refuse(&mut self, at: Id, received: &Received, code: u16, out: &mut Vec<Output>) {
        let text = received.request().and_then(|request| answer(request, code, request.to_path.last()?));
        if let Some(text) = text {
            self.write(at, text, out);
        }
    }

    /// The session that a URI of ours names.
    fn named(&self, own: &MsrpUri) -> Option<Id> {
        let id = self.sessions.id_of(own.session_id()?.as_bytes())?;
        self.sessions.get(id).is_some_and(|entry| entry.own == *own).then_some(id)
    }

    fn addressed(&self, request: &Request) -> Option<Id> {
        match &request.to_path[..] {
            [own] => self.named(own),
            // There are no relays behind us.
            _ => None,
        }
    }

    fn connection_of(&self, session: Id) -> Option<Id> {
        match self.sessions.get(session).map(|entry| &entry.phase) {
            Some(Phase::Open(opened)) => opened.connection,
            Some(Phase::Reserved { .. }) | None => None,
        }
    }

    /// For whom a request is (RFC 4975 sections 5.4 and 7.3). `binds` is whether it may bind its connection; if not, and
    /// that would be needed, it is refused with `otherwise`.
    fn judge(&mut self, at: Id, request: &Request, binds: bool, otherwise: u16) -> Route {
        let Some(id) = self.addressed(request) else {
            return Route::Refuse(481);
        };
        let (Some(entry), Some(connection)) = (self.sessions.get_mut(id), self.connections.get(at)) else {
            return Route::Refuse(481);
        };
        let Some(peer) = connection.peer.as_ref().filter(|peer| peer.is_secure == entry.own.is_secure()) else {
            return Route::Refuse(481);
        };
        let opened = match &mut entry.phase {
            Phase::Open(opened) => opened,
            Phase::Reserved { parked: Some(other) } if *other != at => return Route::Refuse(506),
            Phase::Reserved { .. } if binds => return Route::Wait(id),
            Phase::Reserved { .. } => return Route::Refuse(otherwise),
        };
        if request.from_path != opened.machine.peer() {
            return Route::Refuse(481);
        }
        match opened.connection {
            Some(bound) if bound == at => Route::To(id),
            Some(_) => Route::Refuse(506),
            None if !binds => Route::Refuse(otherwise),
            None if !opened.is_proven(connection.id, peer) => Route::Unproven(id),
            None if connection.sessions.len() >= MAX_SESSIONS_PER_CONNECTION => Route::Refuse(403),
            None => {
                self.bind(at, id);
                Route::To(id)
            }
        }
    }

    /// Lets a request go on that has waited.
    pub(super) fn unpark(&mut self, at: Id, now: Instant, out: &mut Vec<Output>) {
        let parked = self.connections.get_mut(at).and_then(|connection| {
            connection.frame_by = None;
            connection.parked.take()
        });
        if let Some((received, _)) = parked {
            self.route(at, received, now, out);
            self.cut(at, now, out);
        }
    }

    /// Hands bytes to the shell, and sees to it that not too many wait there.
    pub(super) fn write(&mut self, at: Id, bytes: Bytes, out: &mut Vec<Output>) {
        let Some(connection) = self.connections.get_mut(at) else {
            return;
        };
        connection.unwritten += bytes.len();
        out.push(Output::Write { connection: connection.id, bytes });
        if connection.unwritten > MAX_UNWRITTEN {
            self.overrun.insert(at);
        }
        if connection.unwritten >= HIGH_WATER && !connection.is_held {
            connection.is_held = true;
            let sessions: Vec<_> = connection.sessions.iter().copied().collect();
            sessions.into_iter().for_each(|session| self.hold(session));
        }
    }

    pub(super) fn written(&mut self, connection: ConnectionId, bytes: usize, now: Instant, out: &mut Vec<Output>) {
        let Some(at) = self.connections.id_of(&connection.key()) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(at) else {
            return;
        };
        connection.unwritten = connection.unwritten.saturating_sub(bytes);
        if connection.unwritten > LOW_WATER {
            return;
        }
        let was_held = std::mem::take(&mut connection.is_held);
        // They take turns in going first.
        let turn = connection.turn;
        let mut sessions: Vec<_> = connection.sessions.range(turn + 1..).copied().collect();
        sessions.extend(connection.sessions.range(..=turn).copied());
        connection.turn = sessions.first().copied().unwrap_or_default();
        for session in sessions {
            let opened = self.sessions.get_mut(session).and_then(Entry::opened);
            if was_held || opened.is_some_and(|opened| opened.machine.waits_for_room()) {
                self.step(session, Step::Resume, now, out);
            }
            // Those that come after keep waiting, and are told the next time.
            if self.connections.get(at).is_none_or(|connection| connection.is_held) {
                return;
            }
        }
    }

    pub(super) fn fire_connection(&mut self, at: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(connection) = self.connections.get_mut(at) else {
            return;
        };
        let waits = connection.parked.as_ref().is_some_and(|(_, until)| *until <= now);
        if !waits || connection.bind_by.is_some_and(|bind_by| bind_by <= now) {
            return self.shut(at, Ended::Violation, now, out);
        }
        connection.frame_by = None;
        if let Some((received, _)) = connection.parked.take() {
            self.unmark(at, &received);
            self.refuse(at, &received, 481, out);
        }
        self.cut(at, now, out);
    }

    /// The session of a request that has waited does not know of it any more.
    fn unmark(&mut self, at: Id, received: &Received) {
        let session = received.request().and_then(|request| self.addressed(request));
        if let Some(entry) = session.and_then(|id| self.sessions.get_mut(id))
            && let Phase::Reserved { parked } = &mut entry.phase
        {
            *parked = parked.filter(|parked| *parked != at);
        }
    }
}
