//! Whatever peers and users do, in whatever order: when all timers have run, nothing is left, and nobody heard two ends.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{GATEWAY, endpoint, incoming_text, message, parse, source, step};
use super::*;
use crate::header::{HeaderName, HeaderValue};
use crate::limits::TRANSACTION_PATIENCE;
use crate::method::Status;
use crate::target::TransportKind;

#[derive(Debug, Clone)]
enum Deed {
    /// We ask the pool something.
    Ask,
    /// The pool answers one of our requests, as often as it likes.
    Answer(usize, u16),
    /// The pool asks something; the same number is the same transaction.
    Asked(usize, &'static str),
    /// Our user answers.
    Respond(usize, u16),
    /// What was sent turns out to be not sent.
    Unsent(usize),
    /// The connection to a target is gone.
    Closed(u16),
    Drain,
    Wait(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    let status = || proptest::sample::select(vec![100_u16, 180, 200, 202, 404, 408, 481, 487, 503, 603]);
    let method =
        proptest::sample::select(vec!["MESSAGE", "SUBSCRIBE", "NOTIFY", "OPTIONS", "INVITE", "ACK", "CANCEL", "X"]);
    prop_oneof![
        Just(Deed::Ask),
        (0_usize..8, status()).prop_map(|(which, status)| Deed::Answer(which, status)),
        (0_usize..6, method).prop_map(|(which, method)| Deed::Asked(which, method)),
        (0_usize..8, status()).prop_map(|(which, status)| Deed::Respond(which, status)),
        (0_usize..8).prop_map(Deed::Unsent),
        (1_u16..4).prop_map(Deed::Closed),
        Just(Deed::Drain),
        (0_u64..40_000).prop_map(Deed::Wait),
    ]
}

fn target(transport: TransportKind, port: u16) -> Target {
    Target { transport, addr: ([10, 0, 0, 2], port).into(), name: None }
}

/// What has happened so far.
struct Lab {
    endpoint: Endpoint,
    transport: TransportKind,
    now: Instant,
    sent: Vec<(SendTag, Request)>,
    asked: Vec<(ServerTransaction, Request)>,
    /// Ends that our user heard of, by request.
    ends: HashMap<u64, usize>,
    /// Final responses of our user that were sent, by transaction.
    finals: HashMap<ServerTransaction, usize>,
    tokens: u64,
}

impl Lab {
    fn note(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { bytes, tag, .. } => match parse(&bytes) {
                    Message::Request(request) => self.sent.push((tag, request)),
                    Message::Response(_) => {}
                },
                Output::Event(Event::Request { transaction, request, .. }) => self.asked.push((transaction, request)),
                Output::Event(Event::Response { token, .. } | Event::Failed { token, .. }) => {
                    *self.ends.entry(token).or_default() += 1;
                }
                Output::Event(Event::Session { .. } | Event::Refused { .. }) => {}
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.endpoint.deadline().filter(|at| *at <= end) {
            let out = step(&mut self.endpoint, Input::DeadlinePassed, at);
            self.note(out);
        }
        self.now = end;
    }

    fn perform(&mut self, deed: &Deed, round: usize) {
        let (now, mut out) = (self.now, Vec::new());
        match *deed {
            Deed::Ask => {
                self.tokens += 1;
                self.endpoint.request_anywhere(message(), self.tokens, None, now, &mut out);
            }
            Deed::Answer(which, status) => {
                if let Some((_, request)) = self.sent.iter().rev().nth(which) {
                    let message = Message::Response(Response::to(request, Status::new(status).unwrap()));
                    let input = Input::Received { message, source: source(self.transport, "10.0.0.2:1") };
                    self.endpoint.handle(input, now, &mut out);
                }
            }
            Deed::Asked(which, method) => {
                let Input::Received { message: Message::Request(mut request), mut source } =
                    incoming_text(method, "Event: presence\r\n")
                else {
                    unreachable!()
                };
                // A transaction that is over may begin anew, so rounds tell them apart.
                let via = format!("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK{which}-{round}-x");
                request.headers.set(HeaderName::Via, HeaderValue::new(via).unwrap());
                request.headers.set(HeaderName::CallId, HeaderValue::new(format!("c{which}")).unwrap());
                source.transport = self.transport;
                self.endpoint.handle(Input::Received { message: Message::Request(request), source }, now, &mut out);
            }
            Deed::Respond(which, status) => {
                if let Some((transaction, request)) = self.asked.get(which) {
                    let response = Response::to(request, Status::new(status).unwrap());
                    let is_final = !response.status.is_provisional();
                    self.endpoint.respond(*transaction, response, now, &mut out);
                    *self.finals.entry(*transaction).or_default() += usize::from(is_final && !out.is_empty());
                }
            }
            Deed::Unsent(which) => {
                if let Some((tag, _)) = self.sent.get(which) {
                    self.endpoint.handle(Input::Unsent { tag: *tag }, now, &mut out);
                }
            }
            Deed::Closed(port) => {
                let last = self.sent.last().map_or(SendTag::NONE, |(tag, _)| *tag);
                let target = target(self.transport, port);
                self.endpoint.handle(Input::Closed { target, last }, now, &mut out);
            }
            Deed::Drain => self.endpoint.drain(),
            Deed::Wait(ms) => self.pass(Duration::from_millis(ms)),
        }
        self.note(out);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    // Rule: sip.any-sequence
    #[test]
    fn no_sequence_of_events_leaves_a_transaction_behind_or_ends_one_twice(
        deeds in proptest::collection::vec(deed(), 1..40),
        reliable in any::<bool>(),
    ) {
        let transport = if reliable { TransportKind::Tcp } else { TransportKind::Udp };
        let mut endpoint = endpoint(GATEWAY);
        endpoint.set_next_hops((1..4).map(|port| target(transport, port)).collect());
        let mut lab = Lab {
            endpoint,
            transport,
            now: Instant::now(),
            sent: Vec::new(),
            asked: Vec::new(),
            ends: HashMap::new(),
            finals: HashMap::new(),
            tokens: 0,
        };
        for (at, deed) in deeds.into_iter().enumerate() {
            lab.perform(&deed, at / 8);
        }
        // Each of three targets may be silent for 64*T1, and then a server transaction for as long again.
        lab.pass(TRANSACTION_PATIENCE * 5);
        prop_assert_eq!(lab.endpoint.transactions(), (0, 0));
        prop_assert_eq!((lab.endpoint.deadline(), lab.endpoint.unanswered), (None, 0));
        prop_assert_eq!(lab.ends.len() as u64, lab.tokens);
        prop_assert!(lab.finals.values().all(|finals| *finals <= 1), "{:?}", lab.finals);
        prop_assert!(lab.ends.values().all(|ends| *ends == 1), "{:?}", lab.ends);
    }
}
