//! Sessions of the switch: what users ask, what their machines say, and their one end.

use std::time::Instant;

use crate::msrp::fingerprint::Fingerprint;
use crate::msrp::session::{Input as Step, Outgoing, Output as Said, Receipt, SendFailure, Session, SessionConfig};
use crate::msrp::switch::connections::Connection;
use crate::msrp::switch::{
    ConnectionId, Ended, Event, Hop, MAX_CONNECTIONS, MAX_SESSIONS_PER_CONNECTION, Output, Peer, SessionId, Switch,
    Terms,
};
use crate::msrp::uri::MsrpUri;
use crate::transaction::table::Id;

/// One session.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) own: MsrpUri,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The peer is not known yet.
    Reserved {
        /// A connection whose next request is for this session.
        parked: Option<Id>,
    },
    /// Both sides are known.
    Open(Box<Opened>),
}

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) machine: Session,
    /// The connection that it is bound to, or waits for if it is ours.
    pub(super) connection: Option<Id>,
    fingerprints: Vec<Fingerprint>,
}

impl Entry {
    pub(super) const fn reserved(own: MsrpUri) -> Self {
        Self { own, phase: Phase::Reserved { parked: None } }
    }

    /// The session, if both sides are known.
    pub(super) fn opened(&mut self) -> Option<&mut Opened> {
        match &mut self.phase {
            Phase::Open(opened) => Some(opened),
            Phase::Reserved { .. } => None,
        }
    }
}

impl Opened {
    /// Whether a connection leads to the right peer. With fingerprints, its certificate is one of them (RFC 8122 section
    /// 6.2). Without, we believe whom we connected to if an authority vouches for the host; and whoever connected to us
    /// because it knows our URI (RFC 4975 section 5.4).
    pub(super) fn is_proven(&self, connection: ConnectionId, peer: &Peer) -> bool {
        if !peer.is_secure {
            return !self.machine.own().is_secure();
        }
        let certificate = peer.certificate.as_ref();
        match connection {
            _ if !self.fingerprints.is_empty() => {
                certificate.is_some_and(|certificate| Fingerprint::any_matches(&self.fingerprints, &certificate.der))
            }
            ConnectionId::Opened(_) => certificate.is_some_and(|certificate| certificate.speaks_for_host),
            ConnectionId::Accepted(_) => true,
        }
    }
}

impl Switch {
    pub(super) fn open(&mut self, id: Id, terms: Terms, now: Instant, out: &mut Vec<Output>) {
        let Some(Entry { own, phase: Phase::Reserved { parked } }) = self.sessions.get(id) else {
            return;
        };
        let (own, parked) = (own.clone(), *parked);
        let Terms { peer, is_active } = terms;
        let Some(hop) = peer.path.first().filter(|first| first.is_secure() == own.is_secure()).map(Hop::of) else {
            return self.end(id, Ended::BadPath, now, out);
        };
        let config = SessionConfig {
            own,
            peer: peer.path,
            is_active,
            max_size: self.config.max_size,
            peer_max_size: peer.max_size,
            accept_types: self.config.accept_types.clone(),
            idle: self.config.idle,
        };
        let machine = Session::new(config, now);
        let deadline = machine.deadline();
        let opened = Opened { machine, connection: None, fingerprints: peer.fingerprints };
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.phase = Phase::Open(Box::new(opened));
        }
        self.sessions.reschedule(id, deadline);
        if is_active {
            self.attach(id, hop, now, out);
        }
        // A peer that was faster than its answer. Where both connect, ours is the one.
        if let Some(parked) = parked {
            self.unpark(parked, now, out);
        }
    }

    /// Gives an active session its connection: one that leads to the same place, or a new one (RFC 4975 section 5.4).
    fn attach(&mut self, id: Id, hop: Hop, now: Instant, out: &mut Vec<Output>) {
        let known = self.hops.get(&hop).copied().filter(|at| self.may_share(*at, id));
        let at = match known {
            Some(at) => at,
            None if self.connections.len() >= MAX_CONNECTIONS => return self.end(id, Ended::NoRoom, now, out),
            None => {
                self.last_opened += 1;
                let connection = ConnectionId::Opened(self.last_opened);
                let entry = Connection::opening(connection, hop.clone(), self.config.max_size);
                let at = self.connections.insert(&connection.key(), entry, None);
                self.hops.insert(hop.clone(), at);
                out.push(Output::Connect { connection, to: hop });
                at
            }
        };
        self.bind(at, id);
        if self.connections.get(at).is_some_and(|connection| connection.peer.is_some()) {
            self.step(id, Step::Connected, now, out);
        }
    }

    fn may_share(&mut self, at: Id, session: Id) -> bool {
        let (Some(connection), Some(entry)) = (self.connections.get(at), self.sessions.get_mut(session)) else {
            return false;
        };
        // One that is not up yet is looked at when it is.
        let is_good = |peer: &Peer| entry.opened().is_some_and(|opened| opened.is_proven(connection.id, peer));
        connection.sessions.len() < MAX_SESSIONS_PER_CONNECTION && connection.peer.as_ref().is_none_or(is_good)
    }

    /// Makes a session one of a connection's.
    pub(super) fn bind(&mut self, at: Id, session: Id) {
        let Some(connection) = self.connections.get_mut(at) else {
            return;
        };
        connection.sessions.insert(session);
        let is_held = connection.is_held;
        if connection.bind_by.take().is_some() {
            self.unbound -= 1;
        }
        if let Some(opened) = self.sessions.get_mut(session).and_then(Entry::opened) {
            opened.connection = Some(at);
        }
        if is_held {
            self.hold(session);
        }
    }

    pub(super) fn send(&mut self, id: Id, message: Outgoing, now: Instant, out: &mut Vec<Output>) {
        let token = message.token;
        match self.sessions.get_mut(id).map(|entry| &entry.phase) {
            Some(Phase::Open(_)) => self.step(id, Step::Send(message), now, out),
            // Nobody knows yet how large a message the peer takes.
            Some(Phase::Reserved { .. }) | None => {
                push(id, Event::Sent { token, result: Err(SendFailure::Closed) }, out);
            }
        }
    }

    pub(super) fn report(&mut self, id: Id, receipt: Receipt, code: u16, now: Instant, out: &mut Vec<Output>) {
        self.step(id, Step::Report { receipt, code }, now, out);
    }

    /// Lets the machine of a session take a step, and passes on what it says.
    pub(super) fn step(&mut self, id: Id, input: Step, now: Instant, out: &mut Vec<Output>) {
        let Some(opened) = self.sessions.get_mut(id).and_then(Entry::opened) else {
            return;
        };
        let mut said = Vec::new();
        opened.machine.handle(input, now, &mut self.ids, &mut said);
        let (connection, deadline) = (opened.connection, opened.machine.deadline());
        self.sessions.reschedule(id, deadline);
        for said in said {
            let event = match said {
                Said::Send(bytes) => {
                    if let Some(at) = connection {
                        self.write(at, bytes, out);
                    }
                    continue;
                }
                Said::NoConnection => return self.end(id, Ended::NoConnection, now, out),
                Said::Refused { code } => return self.end(id, Ended::Refused(code), now, out),
                Said::Idle => return self.end(id, Ended::Idle, now, out),
                said @ (Said::Bound
                | Said::Message { .. }
                | Said::Accepted { .. }
                | Said::Failed { .. }
                | Said::Reported { .. }) => event(said),
            };
            if let Some(event) = event {
                push(id, event, out);
            }
        }
    }

    pub(super) fn hold(&mut self, id: Id) {
        if let Some(opened) = self.sessions.get_mut(id).and_then(Entry::opened) {
            opened.machine.hold();
        }
    }

    /// Ends a session, once.
    pub(super) fn end(&mut self, id: Id, why: Ended, now: Instant, out: &mut Vec<Output>) {
        let Some(entry) = self.sessions.remove(id) else {
            return;
        };
        match entry.phase {
            Phase::Reserved { parked } => {
                push(id, Event::Ended(why), out);
                if let Some(parked) = parked {
                    self.unpark(parked, now, out);
                }
            }
            Phase::Open(mut opened) => {
                let mut said = Vec::new();
                opened.machine.handle(Step::Closed, now, &mut self.ids, &mut said);
                said.into_iter().filter_map(event).for_each(|event| push(id, event, out));
                push(id, Event::Ended(why), out);
                if let Some(at) = opened.connection {
                    self.release(at, id, out);
                }
            }
        }
    }

    pub(super) fn fire_session(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        match self.sessions.get(id).map(|entry| &entry.phase) {
            Some(Phase::Reserved { .. }) => self.end(id, Ended::NeverOpened, now, out),
            Some(Phase::Open(_)) => self.step(id, Step::DeadlinePassed, now, out),
            None => {}
        }
    }
}

/// What the user hears of what a machine says.
fn event(said: Said) -> Option<Event> {
    match said {
        Said::Bound => Some(Event::Established),
        Said::Message { content_type, body, receipt } => Some(Event::Received { content_type, body, receipt }),
        Said::Accepted { token } => Some(Event::Sent { token, result: Ok(()) }),
        Said::Failed { token, failure } => Some(Event::Sent { token, result: Err(failure) }),
        Said::Reported { token, code } => Some(Event::Reported { token, code }),
        Said::Send(_) | Said::NoConnection | Said::Refused { .. } | Said::Idle => None,
    }
}

fn push(id: Id, event: Event, out: &mut Vec<Output>) {
    out.push(Output::Event { session: SessionId(id), event });
}
