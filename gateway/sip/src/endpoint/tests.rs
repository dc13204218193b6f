use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::field::{CallId, NameAddr};
use crate::header::{HeaderName, HeaderValue};
use crate::limits::{T4, TRANSACTION_PATIENCE, TRYING_AFTER};
use crate::message::Identity;
use crate::method::{Method, Status};
use crate::parse::{Datagram, ParseFault, parse_datagram};
use crate::target::{FlowId, TransportKind};

pub(super) const GATEWAY: &str = "10.0.0.1:5060";
pub(super) const POOL: &str = "10.0.0.2:5060";

pub(super) fn endpoint(addr: &str) -> Endpoint {
    let kinds = [TransportKind::Udp, TransportKind::Tcp];
    let sent_by = kinds.into_iter().map(|kind| SentBy::new(kind, addr).unwrap()).collect();
    Endpoint::new(EndpointConfig::new(sent_by), IdSource::counting())
}

pub(super) fn source(transport: TransportKind, remote: &str) -> Source {
    Source {
        flow: FlowId(1),
        transport,
        local: GATEWAY.parse().unwrap(),
        remote: remote.parse().unwrap(),
        certificate: None,
        peer: Some(Arc::from("pool")),
    }
}

pub(super) fn message() -> Request {
    let address = |text: &str| NameAddr::new(text.parse().unwrap());
    let identity = Identity {
        from: address("sip:bob@fabrikam.example").with_tag(&Token::new("b1").unwrap()),
        to: address("sip:alice@contoso.example"),
        call_id: CallId::new("c1").unwrap(),
        cseq: 1,
    };
    Request::new(Method::Message, "sip:alice@contoso.example".parse().unwrap(), &identity)
}

pub(super) fn outgoing(transport: TransportKind, addr: &str) -> Outgoing {
    let target = Target { transport, addr: addr.parse().unwrap(), name: None };
    Outgoing { request: message(), target, token: 7, branch: None }
}

pub(super) fn parse(bytes: &[u8]) -> Message {
    match parse_datagram(Bytes::copy_from_slice(bytes)) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// A MESSAGE as the pool sends it, with a method and lines of one's own.
pub(super) fn incoming(method: &str, lines: &str) -> Input {
    let uri = if lines.contains("sips-uri") { "sips:bob@h" } else { "sip:bob@fabrikam.example" };
    let max_forwards = if lines.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\r\n" };
    let cseq = if method == "ACK" { "INVITE" } else { method };
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKin\r\n{max_forwards}From: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 {}\r\n{lines}\r\n",
        if method == "ACK" { "ACK" } else { cseq }
    );
    Input::Received { message: parse(text.as_bytes()), source: source(TransportKind::Udp, POOL) }
}

/// [`incoming`], with `tagged` for a To tag and `other-branch` for another path.
pub(super) fn incoming_text(method: &str, lines: &str) -> Input {
    let Input::Received { message: Message::Request(mut request), source } =
        incoming(method, &lines.replace("tagged", "").replace("other-branch", ""))
    else {
        unreachable!()
    };
    if lines.contains("tagged") {
        request.headers.set(HeaderName::To, HeaderValue::from_static("<sip:b@h>;tag=2"));
    }
    if lines.contains("other-branch") {
        request.headers.set(HeaderName::Via, HeaderValue::from_static("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKother"));
    }
    if lines.contains("text/plain") {
        request.body = Bytes::from_static(b"x");
    }
    Input::Received { message: Message::Request(request), source }
}

pub(super) fn step(endpoint: &mut Endpoint, input: Input, now: Instant) -> Vec<Output> {
    let mut out = Vec::new();
    endpoint.handle(input, now, &mut out);
    out
}

/// The status codes sent, as parsed responses.
pub(super) fn responses(out: &[Output]) -> Vec<Response> {
    let sent = out.iter().filter_map(|output| match output {
        Output::Send { bytes, .. } => Some(parse(bytes)),
        Output::Event(_) => None,
    });
    sent.filter_map(|message| match message {
        Message::Response(response) => Some(response),
        Message::Request(_) => None,
    })
    .collect()
}

pub(super) fn codes(out: &[Output]) -> Vec<u16> {
    responses(out).iter().map(|response| response.status.code()).collect()
}

pub(super) fn transaction(out: &[Output]) -> ServerTransaction {
    let found = out.iter().find_map(|output| match output {
        Output::Event(Event::Request { transaction, .. }) => Some(*transaction),
        Output::Event(_) | Output::Send { .. } => None,
    });
    found.expect("a request that went up")
}

pub(super) fn refusal(out: &[Output]) -> Option<&Refusal> {
    out.iter().find_map(|output| match output {
        Output::Event(Event::Refused { refusal, .. }) => Some(refusal),
        Output::Event(_) | Output::Send { .. } => None,
    })
}

/// What a network does to the n-th datagram.
enum Fate {
    Deliver,
    Lose,
    Double,
}

/// Two endpoints, a virtual clock and a network. The pool answers each request with 200.
struct World {
    now: Instant,
    ends: [(SocketAddr, Endpoint); 2],
    transport: TransportKind,
    wire: Vec<(usize, Bytes)>,
    fate: Box<dyn FnMut(usize) -> Fate>,
    carried: usize,
    answers: bool,
    requests_seen: usize,
    results: Vec<Result<u16, Failure>>,
}

impl World {
    fn new(transport: TransportKind, fate: impl FnMut(usize) -> Fate + 'static) -> Self {
        let end = |addr: &str| (addr.parse().unwrap(), endpoint(addr));
        Self {
            now: Instant::now(),
            ends: [end(GATEWAY), end(POOL)],
            transport,
            wire: Vec::new(),
            fate: Box::new(fate),
            carried: 0,
            answers: true,
            requests_seen: 0,
            results: Vec::new(),
        }
    }

    fn perform(&mut self, from: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { bytes, .. } => self.wire.push((1 - from, bytes)),
                Output::Event(Event::Request { transaction, request, .. }) => {
                    self.requests_seen += 1;
                    if self.answers {
                        let mut out = Vec::new();
                        let response = Response::to(&request, Status::OK);
                        self.ends[from].1.respond(transaction, response, self.now, &mut out);
                        self.perform(from, out);
                    }
                }
                Output::Event(Event::Response { token: 7, response }) => self.results.push(Ok(response.status.code())),
                Output::Event(Event::Failed { token: 7, failure }) => self.results.push(Err(failure)),
                Output::Event(Event::Refused { refusal: Refusal::StrayResponse, .. }) => {}
                Output::Event(event) => panic!("{event:?}"),
            }
        }
    }

    /// Sends one MESSAGE and lets time pass until nothing is left to happen.
    fn run(&mut self) {
        let mut out = Vec::new();
        self.ends[0].1.request(outgoing(self.transport, POOL), self.now, &mut out);
        self.perform(0, out);
        loop {
            while let Some((to, bytes)) = (!self.wire.is_empty()).then(|| self.wire.remove(0)) {
                self.carried += 1;
                let copies = match (self.fate)(self.carried) {
                    Fate::Deliver => 1,
                    Fate::Lose => 0,
                    Fate::Double => 2,
                };
                for _ in 0..copies {
                    let mut source = source(self.transport, GATEWAY);
                    source.remote = self.ends[1 - to].0;
                    let input = Input::Received { message: parse(&bytes), source };
                    let out = step(&mut self.ends[to].1, input, self.now);
                    self.perform(to, out);
                }
            }
            let next = self.ends.iter().filter_map(|(_, endpoint)| endpoint.deadline()).min();
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            for end in 0..2 {
                let out = step(&mut self.ends[end].1, Input::DeadlinePassed, self.now);
                self.perform(end, out);
            }
        }
        assert!(self.ends.iter().all(|(_, endpoint)| endpoint.transactions() == (0, 0)), "nothing is left behind");
    }
}

#[test]
fn a_message_is_answered_and_no_transaction_is_left() {
    for transport in [TransportKind::Udp, TransportKind::Tcp] {
        let mut world = World::new(transport, |_| Fate::Deliver);
        world.run();
        assert_eq!((world.results, world.requests_seen, world.carried), (vec![Ok(200)], 1, 2));
    }
}

#[test]
fn loss_and_doubling_over_udp_change_nothing_for_the_users() {
    for pattern in 0..64_usize {
        let mut world = World::new(TransportKind::Udp, move |n| match pattern >> (n % 6) & 1 {
            0 => Fate::Deliver,
            _ if n % 2 == 0 => Fate::Double,
            _ if n < 12 => Fate::Lose,
            _ => Fate::Deliver,
        });
        world.run();
        assert_eq!((&world.results[..], world.requests_seen), (&[Ok(200)][..], 1), "pattern {pattern:b}");
    }
}

#[test]
fn a_dead_network_is_a_timeout_after_32_seconds() {
    let mut world = World::new(TransportKind::Udp, |_| Fate::Lose);
    let start = world.now;
    world.run();
    assert_eq!(world.results, [Err(Failure::Timeout)]);
    assert_eq!((world.now - start, world.carried), (TRANSACTION_PATIENCE, 11));
}

// RFC 3261 section 8.1.1, RFC 5393 section 5.3.4
// Rule: sip.max-forwards, sip.max-breadth
#[test]
fn a_request_leaves_with_our_via_max_forwards_and_max_breadth() {
    let (mut endpoint, mut out) = (endpoint(GATEWAY), Vec::new());
    let branch = crate::ids::branch_of(&Token::new("stanza-1").unwrap());
    let mut request = outgoing(TransportKind::Udp, POOL);
    request.branch = Some(branch);
    endpoint.request(request, Instant::now(), &mut out);
    let Some(Output::Send { to: Destination::Target(target), bytes, .. }) = out.first() else { panic!("{out:?}") };
    assert_eq!(target.addr, POOL.parse().unwrap());
    let message = parse(bytes);
    let via = message.headers().get(&HeaderName::Via).unwrap();
    assert_eq!(via.as_str(), Some("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKstanza-1;rport"));
    let number = |name| message.headers().get(&name).and_then(HeaderValue::as_str);
    assert_eq!((number(HeaderName::MaxForwards), number(HeaderName::MaxBreadth)), (Some("70"), Some("60")));
    assert_eq!(message.headers().max_forwards(), Ok(Some(70)));
}

#[test]
fn a_branch_in_flight_is_not_used_twice() {
    let (mut endpoint, mut out, now) = (endpoint(GATEWAY), Vec::new(), Instant::now());
    for _ in 0..2 {
        let mut request = outgoing(TransportKind::Tcp, POOL);
        request.branch = Some(Token::new("z9hG4bKsame").unwrap());
        endpoint.request(request, now, &mut out);
    }
    assert!(matches!(
        out[..],
        [Output::Send { .. }, Output::Event(Event::Failed { failure: Failure::BranchInUse, .. })]
    ));
}

// RFC 3261 section 18.1.1
// Rule: sip.large
#[test]
fn a_request_too_large_for_udp_goes_over_tcp() {
    let (mut endpoint, mut out) = (endpoint(GATEWAY), Vec::new());
    let mut large = outgoing(TransportKind::Udp, POOL);
    large.request = large.request.with_body(HeaderValue::from_static("text/plain"), "x".repeat(1300));
    endpoint.request(large, Instant::now(), &mut out);
    let Some(Output::Send { to: Destination::Target(target), bytes, .. }) = out.first() else { panic!("{out:?}") };
    assert_eq!(target.transport, TransportKind::Tcp);
    assert_eq!(parse(bytes).headers().top_via().unwrap().transport(), "TCP");
}

#[test]
fn a_lost_connection_fails_what_waits_on_it_and_an_unsent_message_only_itself() {
    let (mut endpoint, mut out, now) = (endpoint(GATEWAY), Vec::new(), Instant::now());
    for token in 1..=3 {
        endpoint.request(Outgoing { token, ..outgoing(TransportKind::Tcp, POOL) }, now, &mut out);
    }
    let sent = |output: &Output| match output {
        Output::Send { to: Destination::Target(target), tag, .. } => (*tag, target.clone()),
        other => panic!("{other:?}"),
    };
    let ((tag, target), (last, _)) = (sent(&out[0]), sent(&out[2]));
    // A request that went over the next connection before this one's end was heard of.
    endpoint.request(Outgoing { token: 4, ..outgoing(TransportKind::Tcp, POOL) }, now, &mut out);
    let failures = |out: Vec<Output>| -> Vec<_> {
        out.into_iter()
            .map(|output| match output {
                Output::Event(Event::Failed { token, failure }) => (token, failure),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(failures(step(&mut endpoint, Input::Unsent { tag }, now)), [(1, Failure::Unsent)]);
    let lost = failures(step(&mut endpoint, Input::Closed { target: target.clone(), last }, now));
    assert_eq!(lost, [(2, Failure::ConnectionLost), (3, Failure::ConnectionLost)]);
    assert!(step(&mut endpoint, Input::Closed { target, last: SendTag::NONE }, now).is_empty());
    assert_eq!(endpoint.transactions(), (1, 0));
}

// RFC 3261 section 17.1.3 and 8.1.3.3
#[test]
fn a_response_is_matched_by_branch_and_method_and_must_have_one_via() {
    let (mut endpoint, mut out, now) = (endpoint(GATEWAY), Vec::new(), Instant::now());
    let mut request = outgoing(TransportKind::Tcp, POOL);
    request.branch = Some(Token::new("z9hG4bKx").unwrap());
    endpoint.request(request, now, &mut out);
    let mut answer = |via: &str, method: &str| {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        );
        let input = Input::Received { message: parse(text.as_bytes()), source: source(TransportKind::Tcp, POOL) };
        let out = step(&mut endpoint, input, now);
        refusal(&out).is_none()
    };
    assert!(!answer("SIP/2.0/TCP h;branch=z9hG4bKy", "MESSAGE"));
    assert!(!answer("SIP/2.0/TCP h;branch=z9hG4bKx", "NOTIFY"));
    assert!(!answer("SIP/2.0/TCP h;branch=z9hG4bKx, SIP/2.0/TCP other;branch=z9hG4bKz", "MESSAGE"));
    assert!(answer("SIP/2.0/TCP h;branch=z9hG4bKx", "MESSAGE"));
    assert!(!answer("SIP/2.0/TCP h;branch=z9hG4bKx", "MESSAGE"));
}

/// What the endpoint itself answers.
// Rule: sip.max-forwards, sip.loop, sip.require, sip.method, sip.event, address.scheme.sips, sip.options
#[test]
fn what_does_not_pass_the_general_checks_is_answered_by_its_rule() {
    for (method, lines, code) in [
        ("REGISTER", "", 405),
        ("INVITE", "", 405),
        ("PUBLISH", "", 405),
        ("FROBNICATE", "", 501),
        ("MESSAGE", "Require: 100rel, foo\r\n", 420),
        ("MESSAGE", "Max-Forwards: 0\r\n", 483),
        ("MESSAGE", "v: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKold\r\n", 482),
        ("MESSAGE", "X: sips-uri\r\n", 416),
        ("SUBSCRIBE", "Event: dialog\r\n", 489),
        ("SUBSCRIBE", "", 489),
        ("NOTIFY", "Event: reg\r\n", 489),
        ("CANCEL", "", 481),
        ("OPTIONS", "Max-Forwards: 0\r\n", 200),
    ] {
        let out = step(&mut endpoint(GATEWAY), incoming(method, lines), Instant::now());
        assert_eq!(codes(&out), [code], "{method} {lines}");
        let response = responses(&out).remove(0);
        assert!(response.headers.to().unwrap().tag().is_some(), "{method}");
        let has = |name| response.headers.has(&name);
        assert_eq!(has(HeaderName::Allow), matches!(code, 200 | 405 | 501), "{method}");
        assert_eq!(has(HeaderName::AllowEvents), matches!(code, 200 | 489), "{method}");
        assert_eq!(has(HeaderName::Accept), code == 200, "{method}");
        assert_eq!(has(HeaderName::Unsupported), code == 420, "{method}");
        assert_eq!(refusal(&out).is_none(), code == 200, "{method}");
    }
}

// Rule: sip.type
// RFC 3261 section 8.2.3
#[test]
fn a_compressed_body_gets_415_and_accept_encoding() {
    for (method, encoding, code) in
        [("MESSAGE", "deflate", 415), ("NOTIFY", "gzip", 415), ("MESSAGE", "identity", 0), ("INFO", "deflate", 405)]
    {
        let mut endpoint = endpoint(GATEWAY);
        let lines = format!("Event: presence\r\nContent-Type: text/plain\r\nContent-Encoding: {encoding}\r\n");
        let out = step(&mut endpoint, incoming_text(method, &lines), Instant::now());
        let answers = responses(&out);
        assert_eq!(answers.first().map_or(0, |response| response.status.code()), code, "{method}, {encoding}");
        let accepted = answers.first().and_then(|response| response.headers.get(&HeaderName::AcceptEncoding));
        assert_eq!(accepted.is_some_and(|value| value.as_str() == Some("identity")), code == 415);
    }
}

// Rule: sip.require
#[test]
fn an_unsupported_header_names_only_what_is_unknown() {
    let mut endpoint = endpoint(GATEWAY);
    endpoint.config.supported = vec!["100rel".into()];
    let out = step(&mut endpoint, incoming("MESSAGE", "Require: 100rel, foo\r\n"), Instant::now());
    assert_eq!(responses(&out)[0].headers.get(&HeaderName::Unsupported).unwrap().as_str(), Some("foo"));
}

// Rule: sip.trust
#[test]
fn a_stranger_gets_403_and_nothing_goes_up() {
    let Input::Received { message, mut source } = incoming("MESSAGE", "") else { unreachable!() };
    source.peer = None;
    let mut endpoint = endpoint(GATEWAY);
    let out = step(&mut endpoint, Input::Received { message, source }, Instant::now());
    assert_eq!((codes(&out), refusal(&out)), (vec![403], Some(&Refusal::Stranger)));
    assert_eq!(endpoint.transactions(), (0, 0));
}

// Rule: sip.malformed
#[test]
fn what_does_not_parse_is_answered_to_a_peer_and_not_to_a_stranger() {
    let text = "MESSAGE sip:b@h SIP/7.0\r\nVia: SIP/2.0/UDP pool.example;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\n\r\n";
    let error = parse_datagram(Bytes::from(text)).unwrap_err();
    let source = source(TransportKind::Udp, POOL);
    let input = Input::Malformed { error: error.clone(), source: source.clone() };
    let out = step(&mut endpoint(GATEWAY), input, Instant::now());
    assert_eq!((codes(&out), refusal(&out)), (vec![505], Some(&Refusal::Malformed(ParseFault::Version))));
    assert_eq!(
        responses(&out)[0].headers.top_via().unwrap().received(),
        Some(POOL.parse::<SocketAddr>().unwrap().ip())
    );
    let input = Input::Malformed { error, source: Source { peer: None, ..source } };
    assert!(codes(&step(&mut endpoint(GATEWAY), input, Instant::now())).is_empty());
}

#[test]
fn retransmissions_reach_the_user_once_and_get_the_same_answer() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    let first = step(&mut endpoint, incoming("MESSAGE", ""), now);
    assert!(step(&mut endpoint, incoming("MESSAGE", ""), now).is_empty());
    let (transaction, mut out) = (transaction(&first), Vec::new());
    let Input::Received { message: Message::Request(request), .. } = incoming("MESSAGE", "") else { unreachable!() };
    endpoint.respond(transaction, Response::to(&request, Status::OK), now, &mut out);
    endpoint.respond(transaction, Response::to(&request, Status::SERVER_ERROR), now, &mut out);
    assert_eq!(codes(&out), [200]);
    let again = step(&mut endpoint, incoming("MESSAGE", ""), now);
    let bytes = |out: &[Output]| match out {
        [Output::Send { bytes, .. }] => bytes.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes(&again), bytes(&out));
    step(&mut endpoint, Input::DeadlinePassed, now + TRANSACTION_PATIENCE);
    assert_eq!(endpoint.transactions(), (0, 0));
}

// RFC 4320 section 4.1
// Rule: sip.100
#[test]
fn a_slow_user_makes_a_100_after_three_and_a_half_seconds() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    let first = step(&mut endpoint, incoming("MESSAGE", ""), now);
    assert_eq!(endpoint.deadline(), Some(now + TRYING_AFTER));
    let later = now + TRYING_AFTER;
    let trying = step(&mut endpoint, Input::DeadlinePassed, later);
    assert_eq!(codes(&trying), [100]);
    assert_eq!(responses(&trying)[0].headers.to().unwrap().tag(), None);
    assert_eq!(codes(&step(&mut endpoint, incoming("MESSAGE", ""), later)), [100]);
    let Input::Received { message: Message::Request(request), .. } = incoming("MESSAGE", "") else { unreachable!() };
    let mut out = Vec::new();
    endpoint.respond(transaction(&first), Response::to(&request, Status::ACCEPTED), later, &mut out);
    assert_eq!(codes(&out), [202]);
}

// RFC 3261 section 17.2.1
#[test]
fn a_refused_invite_is_repeated_until_its_ack() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    assert_eq!(codes(&step(&mut endpoint, incoming("INVITE", ""), now)), [405]);
    assert_eq!(codes(&step(&mut endpoint, incoming("INVITE", ""), now)), [405]);
    let later = now + Duration::from_millis(500);
    assert_eq!(codes(&step(&mut endpoint, Input::DeadlinePassed, later)), [405]);
    assert!(step(&mut endpoint, incoming("ACK", ""), later).is_empty());
    assert!(step(&mut endpoint, incoming("INVITE", ""), later).is_empty());
    step(&mut endpoint, Input::DeadlinePassed, later + T4);
    assert_eq!(endpoint.transactions(), (0, 0));
    let stray = step(&mut endpoint, incoming("ACK", ""), later + T4);
    assert_eq!((codes(&stray), refusal(&stray)), (vec![], Some(&Refusal::StrayAck)));
}

// RFC 3261 section 9.2
#[test]
fn a_cancel_of_a_pending_message_is_answered_and_has_no_effect() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    let first = step(&mut endpoint, incoming("MESSAGE", ""), now);
    assert_eq!(codes(&step(&mut endpoint, incoming("CANCEL", ""), now)), [200]);
    assert_eq!(codes(&step(&mut endpoint, incoming("CANCEL", ""), now)), [200]);
    let Input::Received { message: Message::Request(request), .. } = incoming("MESSAGE", "") else { unreachable!() };
    let mut out = Vec::new();
    endpoint.respond(transaction(&first), Response::to(&request, Status::OK), now, &mut out);
    assert_eq!(codes(&out), [200]);
}

// RFC 3261 section 18.2.2, RFC 3581
#[test]
fn responses_find_their_way_back() {
    let send = |via: &str, transport| {
        let text = format!(
            "OPTIONS sip:h SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        let source = source(transport, "10.0.0.2:40000");
        let input = Input::Received { message: parse(text.as_bytes()), source };
        match step(&mut endpoint(GATEWAY), input, Instant::now()).remove(0) {
            Output::Send { to: Destination::Reply { remote, fallback, .. }, .. } => {
                (remote.to_string(), fallback.map(|target| target.to_string()))
            }
            other => panic!("{other:?}"),
        }
    };
    let udp = TransportKind::Udp;
    assert_eq!(send("SIP/2.0/UDP pool.example:5070;branch=z9hG4bKa", udp).0, "10.0.0.2:5070");
    assert_eq!(send("SIP/2.0/UDP pool.example;branch=z9hG4bKa", udp).0, "10.0.0.2:5060");
    assert_eq!(send("SIP/2.0/UDP pool.example;branch=z9hG4bKa;rport", udp).0, "10.0.0.2:40000");
    let tls = send("SIP/2.0/TLS pool.example;branch=z9hG4bKa", TransportKind::Tls);
    assert_eq!(tls.1.as_deref(), Some("tls:10.0.0.2:5061 (pool.example)"));
}
