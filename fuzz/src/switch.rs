//! Target `switch`: all MSRP sessions and connections of a user agent, with what peers, users and time do to them.
//!
//! Invariants, besides not panicking: each session and each message ends once, and a session says nothing after its end;
//! nothing is written to a connection that is gone; when all is over, nothing is left; no deadline comes for ever.
//!
//! Each byte of an input is a step, and the next one its argument; some steps take what follows, up to a zero, as what a
//! peer sends. In that, `~` and a digit stand for our URI of a session, and `^` and a digit for the peer's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_sip::ids::IdSource;
use causeway_sip::msrp::message::FailureReport;
use causeway_sip::msrp::session::{Outgoing, Receipt};
use causeway_sip::msrp::switch::{
    BIND_PATIENCE, Certificate, ConnectFault, ConnectionId, Event, Input, Output, Peer, SessionId, Switch,
    SwitchConfig, Terms,
};
use causeway_sip::sdp::message::{Msrp, Setup};

struct World {
    switch: Switch,
    now: Instant,
    /// Our URIs of the sessions, in the order in which they were reserved.
    sessions: Vec<(SessionId, String)>,
    ended: BTreeSet<SessionId>,
    /// Connections that are up, and those that were asked for.
    alive: Vec<ConnectionId>,
    asked: Vec<ConnectionId>,
    unwritten: BTreeMap<ConnectionId, usize>,
    /// Messages that have not ended.
    tokens: BTreeSet<u64>,
    receipts: Vec<(SessionId, Receipt)>,
    numbers: u64,
}

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    while let [step, argument, after @ ..] = rest {
        rest = world.step(*step, *argument, after);
        assert!(world.switch.deadline().is_none_or(|at| at > world.now), "nobody looked at the clock");
        assert_eq!(world.switch.connections(), world.alive.len() + world.asked.len());
    }
    world.end();
}

fn peer_path(is_secure: bool, number: usize) -> String {
    format!("{}://h{number}.example:9/p;tcp", if is_secure { "msrps" } else { "msrp" })
}

impl World {
    fn new() -> Self {
        let config = SwitchConfig {
            host: "gw.example".to_owned(),
            tls_port: Some(1),
            tcp_port: Some(2),
            fingerprints: Vec::new(),
            accept_types: vec!["text/*".to_owned()],
            accept_wrapped_types: Vec::new(),
            max_size: 256,
            idle: Duration::from_secs(600),
        };
        Self {
            switch: Switch::new(config, IdSource::counting()),
            now: Instant::now(),
            sessions: Vec::new(),
            ended: BTreeSet::new(),
            alive: Vec::new(),
            asked: Vec::new(),
            unwritten: BTreeMap::new(),
            tokens: BTreeSet::new(),
            receipts: Vec::new(),
            numbers: 0,
        }
    }

    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.switch.handle(input, self.now, &mut out);
        out.into_iter().for_each(|output| self.hear(output));
    }

    fn hear(&mut self, output: Output) {
        match output {
            Output::Connect { connection, .. } => self.asked.push(connection),
            Output::Write { connection, bytes } => {
                assert!(self.alive.contains(&connection), "written to a connection that is gone");
                *self.unwritten.entry(connection).or_default() += bytes.len();
            }
            Output::Close { connection } => {
                let before = self.alive.len() + self.asked.len();
                self.alive.retain(|alive| *alive != connection);
                self.asked.retain(|asked| *asked != connection);
                assert_eq!(self.alive.len() + self.asked.len() + 1, before, "closed twice");
            }
            Output::Event { session, event } => {
                let is_over = self.ended.contains(&session);
                match event {
                    Event::Sent { token, .. } => assert!(self.tokens.remove(&token), "a message ended twice"),
                    Event::Ended(_) => assert!(self.ended.insert(session), "a session ended twice"),
                    Event::Received { receipt, body, .. } => {
                        assert!(!is_over && body.len() <= 256);
                        self.receipts.push((session, receipt));
                    }
                    Event::Established | Event::Reported { .. } => assert!(!is_over, "an event after the end"),
                }
            }
        }
    }

    fn step<'a>(&mut self, step: u8, argument: u8, rest: &'a [u8]) -> &'a [u8] {
        let argument = usize::from(argument);
        let session = self.sessions.get(argument % self.sessions.len().max(1)).map(|(session, _)| *session);
        let connection = self.alive.get(argument % self.alive.len().max(1)).copied();
        self.numbers += 1;
        let input = match (step % 12, session, connection) {
            (0, _, _) => {
                if let Some(session) = self.switch.reserve(argument % 2 == 1, self.now) {
                    let own = self.switch.stream(session, Setup::ActPass).expect("it is reserved").path[0].to_string();
                    self.sessions.push((session, own));
                }
                return rest;
            }
            (1, Some(session), _) => {
                let path = vec![peer_path(argument & 64 != 0, argument / 8 % 4).parse().expect("a literal")];
                let (accept_types, accept_wrapped_types) = (Vec::new(), Vec::new());
                let (max_size, setup, fingerprints) = (None, None, Vec::new());
                let peer = Msrp { path, accept_types, accept_wrapped_types, max_size, setup, fingerprints };
                Input::Open { session, terms: Box::new(Terms { peer, is_active: argument & 128 != 0 }) }
            }
            (2, _, _) => {
                let connection = ConnectionId::Accepted(self.numbers);
                self.alive.push(connection);
                Input::Accepted { connection, peer: peer(argument) }
            }
            (3, _, _) => match self.asked.pop() {
                Some(connection) if argument % 4 == 0 => {
                    Input::ConnectFailed { connection, fault: ConnectFault::Refused }
                }
                Some(connection) => {
                    self.alive.push(connection);
                    Input::Connected { connection, peer: peer(argument) }
                }
                None => return rest,
            },
            (4, _, Some(connection)) => {
                self.alive.retain(|alive| *alive != connection);
                Input::Closed { connection }
            }
            (5 | 6, _, Some(connection)) => {
                let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
                let bytes = Bytes::from(self.text(&rest[..end]));
                self.tell(Input::Bytes { connection, bytes });
                return rest.get(end + 1..).unwrap_or_default();
            }
            (7, _, Some(connection)) => {
                let bytes = self.unwritten.remove(&connection).unwrap_or_default();
                Input::Written { connection, bytes }
            }
            (8, Some(session), _) => {
                self.tokens.insert(self.numbers);
                let failure_report = [FailureReport::Yes, FailureReport::Partial, FailureReport::No][argument / 8 % 3];
                let message = Outgoing {
                    token: self.numbers,
                    message_id: self.numbers.to_string(),
                    content_type: "text/plain".to_owned(),
                    body: vec![b'x'; argument * argument].into(),
                    success_report: argument & 64 != 0,
                    failure_report,
                };
                Input::Send { session, message }
            }
            (9, Some(session), _) => Input::Close { session },
            (10, _, _) => {
                self.now += Duration::from_secs(argument as u64 / 4);
                Input::DeadlinePassed
            }
            (_, _, _) => match self.receipts.pop() {
                Some((session, receipt)) => Input::Report { session, receipt, code: 200 + (argument as u16 & 1) * 208 },
                None => return rest,
            },
        };
        self.tell(input);
        rest
    }

    /// What a peer sends, with the URIs in their places.
    fn text(&self, pattern: &[u8]) -> Vec<u8> {
        let (mut text, mut at) = (Vec::new(), 0);
        while let Some(byte) = pattern.get(at) {
            let number =
                pattern.get(at + 1).filter(|digit| digit.is_ascii_digit()).map(|digit| usize::from(digit - b'0'));
            match (byte, number) {
                (b'~', Some(number)) => {
                    text.extend(self.sessions.get(number).map_or("?", |(_, own)| own.as_str()).bytes());
                    at += 1;
                }
                (b'^', Some(number)) => {
                    text.extend(peer_path(number > 4, number % 5).bytes());
                    at += 1;
                }
                (b'\n', _) => text.extend(b"\r\n"),
                (byte, _) => text.push(*byte),
            }
            at += 1;
        }
        text
    }

    fn end(mut self) {
        for (session, _) in self.sessions.clone() {
            self.tell(Input::Close { session });
        }
        self.now += BIND_PATIENCE;
        self.tell(Input::DeadlinePassed);
        assert_eq!((self.switch.sessions(), self.switch.connections(), self.switch.deadline()), (0, 0, None));
        assert!(self.alive.is_empty() && self.asked.is_empty(), "a connection was never closed");
        assert_eq!(self.ended.len(), self.sessions.len(), "a session never ended");
        assert!(self.tokens.is_empty(), "a message never ended");
    }
}

fn peer(argument: usize) -> Peer {
    let certificate = Certificate { der: Bytes::from_static(b"c"), speaks_for_host: argument & 16 != 0 };
    Peer {
        remote: ([10, 0, 0, (argument % 4) as u8], 1).into(),
        is_secure: argument & 64 != 0,
        certificate: (argument & 32 != 0).then_some(certificate),
    }
}
