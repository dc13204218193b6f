//! Target `calls`: the transactions and sessions of the SIP stack, with what a peer and a user do to them in any order.
//!
//! Invariants, besides not panicking: when everything is over, nothing is left; each session ends once; no deadline comes
//! for ever.
//!
//! Each byte of an input is a step; some take what follows as the message that the peer sends.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_sip::endpoint::{Endpoint, EndpointConfig, Event, Input, Output, SentBy};
use causeway_sip::field::NameAddr;
use causeway_sip::header::Headers;
use causeway_sip::ids::IdSource;
use causeway_sip::message::{Message, Request, Response};
use causeway_sip::method::{Method, Status};
use causeway_sip::parse::{Datagram, parse_datagram};
use causeway_sip::session::{Answer, Description, Invite, SessionConfig, SessionEvent, SessionId, SessionRequest};
use causeway_sip::target::{FlowId, Source, Target, TransportKind};

struct World {
    endpoint: Endpoint,
    now: Instant,
    /// Whether each session has ended.
    ended: HashMap<SessionId, bool>,
    latest: Option<SessionId>,
    /// The last request that the endpoint sent, for the peer's answer.
    sent: Option<Request>,
    /// The last INVITE that the endpoint took, for requests inside of its dialog.
    tag: Option<Bytes>,
}

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    while let [step, after @ ..] = rest {
        rest = after;
        let argument = rest.first().copied().unwrap_or_default();
        world.step(*step, argument);
    }
    world.end();
}

impl World {
    fn new() -> Self {
        let sent_by = SentBy::new(TransportKind::Udp, "10.0.0.1:5060").expect("a literal");
        let mut config = EndpointConfig::new(vec![sent_by]);
        config.sessions = Some(SessionConfig { expires: Some(90), ..SessionConfig::default() });
        let mut endpoint = Endpoint::new(config, IdSource::counting());
        let addr = "10.0.0.2:5060".parse().expect("a literal");
        endpoint.set_next_hops(vec![Target { transport: TransportKind::Udp, addr, name: None }]);
        let (now, ended) = (Instant::now(), HashMap::new());
        Self { endpoint, now, ended, latest: None, sent: None, tag: None }
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Endpoint, Instant, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.endpoint, self.now, &mut out);
        for output in out {
            match output {
                Output::Send { bytes, .. } => match parse_datagram(bytes) {
                    Ok(Datagram::Message(Message::Request(request))) => self.sent = Some(request),
                    Ok(Datagram::Message(Message::Response(response))) => {
                        self.tag = response.headers.to().ok().and_then(|to| to.tag()).map(|tag| tag.as_bytes().clone());
                    }
                    other => panic!("it sends {other:?}"),
                },
                Output::Event(Event::Session { session, event }) => {
                    let ended = self.ended.entry(session).or_default();
                    assert!(!*ended, "an event after the end");
                    self.latest = Some(session);
                    match event {
                        SessionEvent::Ended(_) => *ended = true,
                        SessionEvent::Forked { session: forked, .. } => {
                            self.ended.insert(forked, false);
                        }
                        _ => {}
                    }
                }
                Output::Event(_) => {}
            }
        }
        result
    }

    fn receive(&mut self, message: Message) {
        let address = "10.0.0.2:5060".parse().expect("a literal");
        let source = Source {
            flow: FlowId(1),
            transport: TransportKind::Udp,
            local: address,
            remote: address,
            certificate: None,
            peer: Some("pool".into()),
        };
        self.act(|endpoint, now, out| endpoint.handle(Input::Received { message, source }, now, out));
    }

    fn step(&mut self, step: u8, argument: u8) {
        let session = self.latest;
        match step % 12 {
            0 => self.call(),
            1 => self.request("INVITE", argument),
            2 => self.request(
                ["ACK", "BYE", "CANCEL", "UPDATE", "MESSAGE", "INFO", "OPTIONS"][usize::from(argument) % 7],
                argument,
            ),
            3 => {
                let codes = [100, 180, 200, 302, 422, 481, 486, 487, 491, 503, 600];
                let code = Status::new(codes[usize::from(argument) % codes.len()]).expect("a literal");
                if let Some(request) = &self.sent {
                    let text = format!("<sip:peer@10.0.0.2>;tag={}", argument / 64);
                    let mut response = Response::to(request, code);
                    response.headers.set(
                        causeway_sip::header::HeaderName::To,
                        causeway_sip::header::HeaderValue::new(text).expect("no control characters"),
                    );
                    self.receive(Message::Response(response));
                }
            }
            4 => {
                self.now += Duration::from_millis(u64::from(argument) * 200);
                self.act(|endpoint, now, out| endpoint.handle(Input::DeadlinePassed, now, out));
            }
            step => {
                let Some(session) = session else { return };
                let contact = "sip:us@10.0.0.1".parse().expect("a literal");
                let description = Description::sdp("v=0\r\n");
                // What cannot be done now changes nothing.
                let _ = self.act(|endpoint, now, out| match step {
                    5 => endpoint.progress(session, Status::RINGING, now, out),
                    6 | 7 => {
                        let answer = Answer { contact, headers: Headers::default(), description: Some(description) };
                        endpoint.accept(session, answer, now, out)
                    }
                    8 => endpoint.refuse(session, Status::BUSY_HERE, &Headers::default(), now, out),
                    9 => endpoint.reoffer(session, description, now, out),
                    10 => {
                        let (method, headers) = (Method::Message, Headers::default());
                        let request = SessionRequest { method, headers, body: Some(description), token: 1 };
                        endpoint.send(session, request, now, out)
                    }
                    _ => endpoint.hang_up(session, now, out),
                });
            }
        }
    }

    fn call(&mut self) {
        let address = |text: &str| NameAddr::new(text.parse().expect("a literal"));
        let invite = Invite {
            uri: "sip:peer@10.0.0.2".parse().expect("a literal"),
            from: address("sip:us@10.0.0.1"),
            to: address("sip:peer@10.0.0.2"),
            call_id: None,
            contact: "sip:us@10.0.0.1".parse().expect("a literal"),
            headers: Headers::default(),
            offer: Description::sdp("v=0\r\n"),
            target: None,
        };
        if let Ok(session) = self.act(|endpoint, now, out| endpoint.invite(invite, now, out)) {
            self.ended.entry(session).or_default();
            self.latest = Some(session);
        }
    }

    /// A request of the peer: the argument chooses its transaction, dialog, order and session interval.
    fn request(&mut self, method: &str, argument: u8) {
        let tag = self.tag.as_ref().filter(|_| method != "INVITE" || argument & 1 == 1);
        let to_tag = tag.map_or_else(String::new, |tag| format!(";tag={}", String::from_utf8_lossy(tag)));
        let expires = if argument & 2 == 2 { "Session-Expires: 90\r\nSupported: timer\r\n" } else { "" };
        let (branch, cseq, call) = (argument / 16, argument / 8 % 8 + 1, argument / 4 % 2);
        let text = format!(
            "{method} sip:us@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:peer@10.0.0.2>;tag=p\r\nTo: <sip:us@10.0.0.1>{to_tag}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:peer@10.0.0.2>\r\n{expires}\r\n"
        );
        if let Ok(Datagram::Message(message)) = parse_datagram(Bytes::from(text)) {
            self.receive(message);
        }
    }

    fn end(mut self) {
        let sessions: Vec<_> = self.ended.keys().copied().collect();
        for session in sessions {
            let _ = self.act(|endpoint, now, out| endpoint.hang_up(session, now, out));
        }
        for _ in 0..10_000 {
            let Some(at) = self.endpoint.deadline() else {
                assert_eq!((self.endpoint.sessions(), self.endpoint.transactions()), ((0, 0), (0, 0)));
                assert!(self.ended.values().all(|ended| *ended), "a session without an end");
                return;
            };
            self.now = self.now.max(at);
            self.act(|endpoint, now, out| endpoint.handle(Input::DeadlinePassed, now, out));
        }
        panic!("a deadline comes for ever");
    }
}
