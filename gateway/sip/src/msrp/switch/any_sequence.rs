//! Any sequence of events: nothing panics, nothing is left behind, everything ends once.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::bench::{Bench, outgoing, request, send};
use super::*;

#[derive(Debug, Clone)]
enum Move {
    Reserve(bool),
    Open { which: usize, peer: u16, is_active: bool, is_secure: bool },
    Accept { is_secure: bool },
    Connected(usize),
    Failed,
    Closed(usize),
    Say { at: usize, to: usize, peer: u16, body: usize, cut: usize },
    Garbage(usize, Vec<u8>),
    Answer { at: usize, code: u16 },
    Lost { at: usize, to: usize, code: u16 },
    Written(usize),
    Send { which: usize, len: usize },
    Close(usize),
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let (which, peer) = (0..6_usize, 0..3_u16);
    let one = prop_oneof![
        any::<bool>().prop_map(Move::Reserve),
        (which.clone(), peer.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(which, peer, is_active, is_secure)| Move::Open { which, peer, is_active, is_secure }),
        any::<bool>().prop_map(|is_secure| Move::Accept { is_secure }),
        which.clone().prop_map(Move::Connected),
        Just(Move::Failed),
        which.clone().prop_map(Move::Closed),
        (which.clone(), which.clone(), peer, 0..12_000_usize, 0..2_usize)
            .prop_map(|(at, to, peer, body, cut)| Move::Say { at, to, peer, body, cut }),
        (which.clone(), proptest::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, text)| Move::Garbage(at, text)),
        (which.clone(), prop_oneof![Just(200), Just(413), Just(481), Just(500)])
            .prop_map(|(at, code)| Move::Answer { at, code }),
        (which.clone(), which.clone(), prop_oneof![Just(200), Just(408), Just(415)])
            .prop_map(|(at, to, code)| Move::Lost { at, to, code }),
        which.clone().prop_map(Move::Written),
        (which.clone(), prop_oneof![Just(3_usize), Just(100_000)]).prop_map(|(which, len)| Move::Send { which, len }),
        which.prop_map(Move::Close),
        (0..40_u64).prop_map(Move::Wait),
    ];
    proptest::collection::vec(one, 1..60)
}

/// What the world remembers.
#[derive(Default)]
struct World {
    sessions: Vec<(SessionId, String)>,
    /// Connections that the switch has neither heard the end of nor closed.
    alive: Vec<ConnectionId>,
    asked: Vec<ConnectionId>,
    unwritten: HashMap<ConnectionId, usize>,
    /// Transactions that wait for an answer, with the URI of the session.
    transactions: Vec<(ConnectionId, String, String)>,
    ended: HashSet<SessionId>,
    tokens: HashSet<u64>,
    last_token: u64,
}

impl World {
    fn look(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Connect { connection, .. } => self.asked.push(connection),
                Output::Write { connection, bytes } => {
                    assert!(self.alive.contains(&connection), "written to a connection that is gone");
                    *self.unwritten.entry(connection).or_default() += bytes.len();
                    let text = String::from_utf8_lossy(&bytes);
                    let mut words = text.split([' ', '\r', '\n']);
                    let (transaction, what) = (words.nth(1).unwrap_or_default(), words.next());
                    let own = text.split("From-Path: ").nth(1).and_then(|rest| rest.split('\r').next());
                    if let (Some("SEND"), Some(own)) = (what, own) {
                        self.transactions.push((connection, transaction.to_owned(), own.to_owned()));
                    }
                }
                Output::Close { connection } => {
                    let known = self.alive.len() + self.asked.len();
                    self.alive.retain(|alive| *alive != connection);
                    self.asked.retain(|asked| *asked != connection);
                    assert_eq!(self.alive.len() + self.asked.len() + 1, known, "closed twice");
                }
                Output::Event { session, event } => {
                    if let Event::Sent { token, .. } = &event {
                        assert!(self.tokens.remove(token), "a message ended twice");
                    } else {
                        assert!(!self.ended.contains(&session), "{event:?} after the end");
                    }
                    if let Event::Ended(_) = event {
                        assert!(self.ended.insert(session), "a session ended twice");
                    }
                }
            }
        }
    }

    fn play(&mut self, step: Move, bench: &mut Bench) {
        let session = |which: usize, world: &Self| world.sessions.get(which % world.sessions.len().max(1)).cloned();
        let alive = |at: usize, world: &Self| world.alive.get(at % world.alive.len().max(1)).copied();
        let input = match step {
            Move::Reserve(is_secure) => {
                let session = bench.switch.reserve(is_secure, bench.now).unwrap();
                let own = bench.switch.stream(session, Setup::ActPass).unwrap().path[0].to_string();
                self.sessions.push((session, own));
                return;
            }
            Move::Open { which, peer, is_active, is_secure } => session(which, self).map(|(session, _)| {
                let terms = Box::new(Bench::terms(is_secure, peer, is_active));
                Input::Open { session, terms }
            }),
            Move::Accept { is_secure } => {
                let peer = Peer { remote: "192.0.2.1:4000".parse().unwrap(), is_secure, certificate: None };
                let connection = bench.accept_from(peer);
                self.alive.push(connection);
                None
            }
            Move::Connected(at) => self.asked.pop().map(|connection| {
                self.alive.push(connection);
                let peer = Peer {
                    remote: "192.0.2.1:7000".parse().unwrap(),
                    is_secure: at % 2 == 0,
                    certificate: Some(Certificate { der: Bytes::new(), speaks_for_host: at % 3 != 0 }),
                };
                Input::Connected { connection, peer }
            }),
            Move::Failed => {
                self.asked.pop().map(|connection| Input::ConnectFailed { connection, fault: ConnectFault::Refused })
            }
            Move::Closed(at) => alive(at, self).map(|connection| {
                self.alive.retain(|alive| *alive != connection);
                Input::Closed { connection }
            }),
            Move::Say { at, to, peer, body, cut } => {
                alive(at, self).zip(session(to, self)).map(|(connection, (_, own))| {
                    let text = send(&own, peer, "aaaa", &"x".repeat(body));
                    let text = &text[..text.len() / (cut + 1)];
                    Input::Bytes { connection, bytes: Bytes::copy_from_slice(text.as_bytes()) }
                })
            }
            Move::Garbage(at, text) => {
                alive(at, self).map(|connection| Input::Bytes { connection, bytes: Bytes::from(text) })
            }
            Move::Answer { at, code } => match self.transactions.is_empty() {
                true => None,
                false => {
                    let (connection, transaction, own) = self.transactions.remove(at % self.transactions.len());
                    let text = format!(
                        "MSRP {transaction} {code} X\r\nTo-Path: {own}\r\nFrom-Path: msrp://h:1/a;tcp\r\n-------{transaction}$\r\n"
                    );
                    Some(Input::Bytes { connection, bytes: Bytes::from(text) })
                }
            },
            Move::Lost { at, to, code } => alive(at, self).zip(session(to, self)).map(|(connection, (_, own))| {
                let from = bench_peer(&own);
                let headers = format!("Message-ID: id{}\r\nStatus: 000 {code} X\r\n", self.last_token);
                let text = request("REPORT", &own, &from, "aaaa", &headers, "");
                Input::Bytes { connection, bytes: Bytes::from(text) }
            }),
            Move::Written(at) => alive(at, self).map(|connection| {
                let bytes = self.unwritten.remove(&connection).unwrap_or_default();
                Input::Written { connection, bytes }
            }),
            Move::Send { which, len } => session(which, self).map(|(session, _)| {
                self.last_token += 1;
                self.tokens.insert(self.last_token);
                Input::Send { session, message: outgoing(self.last_token, &vec![b'x'; len]) }
            }),
            Move::Close(which) => session(which, self).map(|(session, _)| Input::Close { session }),
            Move::Wait(seconds) => {
                bench.wait(Duration::from_secs(seconds));
                None
            }
        };
        if let Some(input) = input {
            bench.step(input);
        }
    }
}

fn bench_peer(own: &str) -> String {
    super::bench::peer_path(own.starts_with("msrps"), 0)
}

proptest! {
    // Rule: msrp.any-sequence
    #[test]
    fn no_sequence_of_events_leaves_a_session_or_a_connection_behind(moves in moves()) {
        let (mut bench, mut world) = (Bench::new(), World::default());
        for step in moves {
            world.play(step, &mut bench);
            world.look(std::mem::take(&mut bench.out));
            prop_assert_eq!(bench.switch.connections(), world.alive.len() + world.asked.len());
            prop_assert!(bench.switch.deadline().is_none_or(|at| at > bench.now), "nobody looked at the clock");
        }
        for (session, _) in world.sessions.clone() {
            bench.step(Input::Close { session });
        }
        bench.wait(BIND_PATIENCE);
        world.look(std::mem::take(&mut bench.out));
        prop_assert_eq!((bench.switch.sessions(), bench.switch.connections(), bench.switch.deadline()), (0, 0, None));
        prop_assert!(world.alive.is_empty() && world.asked.is_empty(), "a connection was never closed");
        prop_assert_eq!(world.ended.len(), world.sessions.len());
        prop_assert!(world.tokens.is_empty(), "a message never ended");
        prop_assert!(bench.switch.hops.is_empty() && bench.switch.per_peer.is_empty());
        prop_assert_eq!(bench.switch.unbound, 0);
    }
}
