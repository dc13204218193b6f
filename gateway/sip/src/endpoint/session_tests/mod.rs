//! Two endpoints with sessions, a virtual clock and a network that loses and doubles.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::endpoint::tests::{codes, incoming_text, refusal, step};
use crate::field::NameAddr;
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::limits::{ANSWER_PATIENCE, MAX_HALF_OPEN_PER_SOURCE, RING_PATIENCE, T1, TRANSACTION_PATIENCE};
use crate::method::{Method, Status};
use crate::parse::{Datagram, parse_datagram};
use crate::session::{Answer, Description, Ended, Invite, NotNow, SessionConfig, SessionRequest};
use crate::target::{FlowId, TransportKind};

const ADDRESSES: [&str; 2] = ["10.0.0.1:5060", "10.0.0.2:5060"];
const CALLER: usize = 0;
const CALLEE: usize = 1;

mod any_sequence;
mod course;
mod forks_and_offers;
mod hostile;

struct End {
    addr: SocketAddr,
    endpoint: Endpoint,
    events: Vec<Event>,
}

/// What the wire shows: who sent it, and its first line.
type Line = (usize, String);

struct Pair {
    now: Instant,
    transport: TransportKind,
    ends: [End; 2],
    wire: std::collections::VecDeque<(usize, Bytes)>,
    /// Whether the n-th message is delivered never, once or twice.
    copies: Box<dyn FnMut(usize) -> usize>,
    log: Vec<Line>,
}

fn session_endpoint(addr: &str, peer: &str, transport: TransportKind) -> Endpoint {
    let kinds = [TransportKind::Udp, TransportKind::Tcp];
    let mut config = EndpointConfig::new(kinds.into_iter().map(|kind| SentBy::new(kind, addr).unwrap()).collect());
    config.sessions = Some(SessionConfig { expires: None, ..SessionConfig::default() });
    let mut seed = u64::from(addr.as_bytes()[7]) << 32;
    let ids = IdSource::new(move || {
        seed += 1;
        seed
    });
    let mut endpoint = Endpoint::new(config, ids);
    endpoint.set_next_hops(vec![Target { transport, addr: peer.parse().unwrap(), name: None }]);
    endpoint
}

impl Pair {
    fn new(transport: TransportKind) -> Self {
        let end = |own: usize| End {
            addr: ADDRESSES[own].parse().unwrap(),
            endpoint: session_endpoint(ADDRESSES[own], ADDRESSES[1 - own], transport),
            events: Vec::new(),
        };
        Self {
            now: Instant::now(),

            transport,
            ends: [end(0), end(1)],
            wire: std::collections::VecDeque::new(),
            copies: Box::new(|_| 1),
            log: Vec::new(),
        }
    }

    /// Lets an end do something and performs what comes out of it.
    fn act<T>(&mut self, end: usize, act: impl FnOnce(&mut Endpoint, Instant, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.ends[end].endpoint, self.now, &mut out);
        for output in out {
            match output {
                Output::Send { bytes, .. } => {
                    let line = bytes.split(|byte| *byte == b'\r').next().unwrap();
                    self.log.push((end, String::from_utf8_lossy(line).into_owned()));
                    for _ in 0..(self.copies)(self.log.len()) {
                        self.wire.push_back((1 - end, bytes.clone()));
                    }
                }
                Output::Event(event) => self.ends[end].events.push(event),
            }
        }
        result
    }

    /// Delivers what is on the wire.
    fn deliver(&mut self) {
        while let Some((to, bytes)) = self.wire.pop_front() {
            let source = Source {
                flow: FlowId(1),
                transport: self.transport,
                local: self.ends[to].addr,
                remote: self.ends[1 - to].addr,
                certificate: None,
                peer: Some("pool".into()),
            };
            let Ok(Datagram::Message(message)) = parse_datagram(bytes) else { panic!("unreadable message") };
            self.act(to, |endpoint, now, out| endpoint.handle(Input::Received { message, source }, now, out));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.ends.iter().filter_map(|end| end.endpoint.deadline()).min()
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.deliver();
        let mut turns = 0;
        while let Some(at) = self.next_deadline().filter(|at| *at <= until) {
            turns += 1;
            assert!(turns < 100_000, "something fires without end");
            self.now = self.now.max(at);
            for end in 0..2 {
                self.act(end, |endpoint, now, out| endpoint.handle(Input::DeadlinePassed, now, out));
            }
            self.deliver();
        }
        self.now = until;
    }

    fn call(&mut self) -> SessionId {
        let address = |text: &str| NameAddr::new(text.parse().unwrap());
        let invite = Invite {
            uri: "sip:alice@contoso.example".parse().unwrap(),
            from: address("sip:bob@fabrikam.example"),
            to: address("sip:alice@contoso.example"),
            call_id: None,
            contact: "sip:bob@10.0.0.1:5060".parse().unwrap(),
            headers: Headers::default(),
            offer: Description::sdp("v=0\r\n"),
            target: None,
        };
        self.act(CALLER, |endpoint, now, out| endpoint.invite(invite, now, out)).unwrap()
    }

    /// The sessions that the callee was asked for.
    fn invited(&self) -> Vec<SessionId> {
        let invited = self.ends[CALLEE].events.iter().filter_map(|event| match event {
            Event::Session { session, event: SessionEvent::Invited { .. } } => Some(*session),
            _ => None,
        });
        invited.collect()
    }

    fn accept(&mut self, end: usize, session: SessionId) -> Result<(), NotNow> {
        let contact = format!("sip:user@{}", ADDRESSES[end]).parse().unwrap();
        let answer =
            Answer { contact, headers: Headers::default(), description: Some(Description::sdp("v=0\r\ns=a\r\n")) };
        self.act(end, |endpoint, now, out| endpoint.accept(session, answer, now, out))
    }

    fn hang_up(&mut self, end: usize, session: SessionId) -> Result<(), NotNow> {
        self.act(end, |endpoint, now, out| endpoint.hang_up(session, now, out))
    }

    fn send(&mut self, end: usize, session: SessionId, token: u64) -> Result<(), NotNow> {
        let body = Some(Description { content_type: HeaderValue::from_static("text/plain"), body: "hi".into() });
        let request = SessionRequest { method: Method::Message, headers: Headers::default(), body, token };
        self.act(end, |endpoint, now, out| endpoint.send(session, request, now, out))
    }

    /// A session that both ends have.
    fn established(transport: TransportKind) -> (Self, SessionId, SessionId) {
        let mut pair = Self::new(transport);
        let caller = pair.call();
        pair.deliver();
        let callee = pair.invited()[0];
        pair.accept(CALLEE, callee).unwrap();
        pair.deliver();
        (pair, caller, callee)
    }

    /// The names of what an end has heard of a session.
    fn heard(&self, end: usize, session: SessionId) -> Vec<String> {
        let names = self.ends[end].events.iter().filter_map(|event| match event {
            Event::Session { session: of, event } if *of == session => Some(match event {
                SessionEvent::Ended(Ended::Refused(response)) => format!("Refused {}", response.status.code()),
                SessionEvent::Ended(ended) => format!("{ended:?}"),
                event => format!("{event:?}").split([' ', '{', '(']).next().unwrap().to_owned(),
            }),
            _ => None,
        });
        names.collect()
    }

    fn sent(&self, end: usize, start: &str) -> usize {
        self.log.iter().filter(|(from, line)| *from == end && line.starts_with(start)).count()
    }

    fn assert_nothing_is_left(&mut self) {
        self.run(Duration::from_secs(10 * 60));
        for end in &self.ends {
            assert_eq!((end.endpoint.sessions(), end.endpoint.transactions()), ((0, 0), (0, 0)));
            assert_eq!(end.endpoint.deadline(), None);
        }
    }
}

fn pool_source() -> Source {
    Source {
        flow: FlowId(1),
        transport: TransportKind::Udp,
        local: ADDRESSES[0].parse().unwrap(),
        remote: ADDRESSES[1].parse().unwrap(),
        certificate: None,
        peer: Some("pool".into()),
    }
}
