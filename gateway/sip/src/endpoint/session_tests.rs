//! Two endpoints with sessions, a virtual clock and a network that loses and doubles.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

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

#[test]
fn a_call_is_answered_used_and_ended() {
    for transport in [TransportKind::Udp, TransportKind::Tcp] {
        let (mut pair, caller, callee) = Pair::established(transport);
        assert_eq!(pair.heard(CALLER, caller), ["Answered"]);
        assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged"]);
        pair.send(CALLER, caller, 1).unwrap();
        pair.deliver();
        let Some(Event::Session { event: SessionEvent::Request { transaction, request }, .. }) =
            pair.ends[CALLEE].events.pop()
        else {
            panic!()
        };
        let response = Response::to(&request, Status::OK);
        pair.act(CALLEE, |endpoint, now, out| endpoint.respond(transaction, response, now, out));
        pair.deliver();
        assert!(matches!(pair.ends[CALLER].events.last(), Some(Event::Response { token: 1, .. })));
        pair.hang_up(CALLEE, callee).unwrap();
        assert_eq!(pair.hang_up(CALLEE, callee), Err(NotNow::NoSession));
        pair.deliver();
        assert_eq!(pair.heard(CALLER, caller), ["Answered", "ByPeer"]);
        assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged", "HungUp"]);
        pair.assert_nothing_is_left();
    }
}

// RFC 3261 section 13.3.1.4
#[test]
fn a_2xx_is_repeated_until_its_ack_comes_and_each_one_is_acknowledged() {
    let mut pair = Pair::new(TransportKind::Tcp);
    let caller = pair.call();
    pair.deliver();
    let callee = pair.invited()[0];
    let mut acks = 0;
    pair.accept(CALLEE, callee).unwrap();
    // The first two ACKs are lost: messages 3 and 5 of the wire.
    pair.copies = Box::new(move |_| {
        acks += 1;
        usize::from(acks != 1 && acks != 3)
    });
    pair.run(T1 * 8);
    assert_eq!((pair.sent(CALLEE, "SIP/2.0 200"), pair.sent(CALLER, "ACK")), (3, 3));
    assert_eq!(pair.heard(CALLER, caller), ["Answered"]);
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged"]);
}

#[test]
fn without_an_ack_the_callee_gives_up_and_says_bye() {
    let mut pair = Pair::new(TransportKind::Tcp);
    let caller = pair.call();
    pair.deliver();
    let callee = pair.invited()[0];
    pair.accept(CALLEE, callee).unwrap();
    pair.copies = Box::new(|_| 0);
    pair.wire.clear();
    pair.run(TRANSACTION_PATIENCE);
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "NoAck"]);
    assert_eq!(pair.sent(CALLEE, "BYE"), 1);
    assert_eq!(pair.sent(CALLEE, "SIP/2.0 200"), 11);
    pair.run(TRANSACTION_PATIENCE);
    assert_eq!(pair.heard(CALLER, caller), ["Failed(Timeout)"]);
    pair.assert_nothing_is_left();
}

// RFC 3261 section 15
#[test]
fn a_callee_who_hangs_up_before_the_ack_says_bye_after_it() {
    let mut pair = Pair::new(TransportKind::Udp);
    let caller = pair.call();
    pair.deliver();
    let callee = pair.invited()[0];
    pair.accept(CALLEE, callee).unwrap();
    pair.hang_up(CALLEE, callee).unwrap();
    assert_eq!((pair.sent(CALLEE, "BYE"), pair.heard(CALLEE, callee)), (0, vec!["Invited".into(), "HungUp".into()]));
    pair.deliver();
    assert_eq!((pair.sent(CALLEE, "BYE"), pair.heard(CALLER, caller)), (1, vec!["Answered".into(), "ByPeer".into()]));
    pair.assert_nothing_is_left();
}

#[test]
fn a_refusal_ends_the_session_of_both() {
    for transport in [TransportKind::Udp, TransportKind::Tcp] {
        let mut pair = Pair::new(transport);
        let caller = pair.call();
        pair.deliver();
        let callee = pair.invited()[0];
        let refused = pair.act(CALLEE, |endpoint, now, out| {
            endpoint.refuse(callee, Status::BUSY_HERE, &Headers::default(), now, out)
        });
        assert_eq!(refused, Ok(()));
        pair.deliver();
        assert_eq!(pair.heard(CALLER, caller), ["Refused 486"]);
        assert_eq!((pair.sent(CALLER, "ACK"), pair.sent(CALLER, "BYE")), (1, 0));
        pair.assert_nothing_is_left();
    }
}

// RFC 3261 sections 9.1 and 9.2
#[test]
fn a_cancel_waits_for_a_provisional_response_and_ends_with_487() {
    let mut pair = Pair::new(TransportKind::Udp);
    let caller = pair.call();
    pair.hang_up(CALLER, caller).unwrap();
    assert_eq!((pair.heard(CALLER, caller), pair.sent(CALLER, "CANCEL")), (vec!["HungUp".to_owned()], 0));
    pair.run(Duration::from_millis(300));
    assert_eq!((pair.sent(CALLEE, "SIP/2.0 100"), pair.sent(CALLER, "CANCEL")), (1, 1));
    assert_eq!((pair.sent(CALLEE, "SIP/2.0 200"), pair.sent(CALLEE, "SIP/2.0 487")), (1, 1));
    assert_eq!(
        (pair.sent(CALLER, "ACK"), pair.heard(CALLEE, pair.invited()[0])),
        (1, vec!["Invited".into(), "Cancelled".into()])
    );
    pair.assert_nothing_is_left();
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut pair = Pair::new(TransportKind::Udp);
    let caller = pair.call();
    pair.deliver();
    let callee = pair.invited()[0];
    pair.accept(CALLEE, callee).unwrap();
    pair.hang_up(CALLER, caller).unwrap();
    pair.deliver();
    assert_eq!((pair.sent(CALLER, "ACK"), pair.sent(CALLER, "BYE"), pair.sent(CALLER, "CANCEL")), (1, 1, 0));
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged", "ByPeer"]);
    pair.assert_nothing_is_left();
}

#[test]
fn a_call_that_rings_too_long_is_cancelled_and_one_nobody_answers_is_refused() {
    let mut pair = Pair::new(TransportKind::Tcp);
    let caller = pair.call();
    pair.deliver();
    let callee = pair.invited()[0];
    pair.act(CALLEE, |endpoint, now, out| endpoint.progress(callee, Status::RINGING, now, out)).unwrap();
    pair.run(ANSWER_PATIENCE);
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "NoAnswer"]);
    assert_eq!(pair.heard(CALLER, caller), ["Progress", "Refused 480"]);
    // A peer that rings for ever.
    let caller = pair.call();
    let ringing = |pair: &Pair| {
        let Some((_, invite)) = pair.wire.back() else { panic!() };
        let Ok(Datagram::Message(Message::Request(invite))) = parse_datagram(invite.clone()) else { panic!() };
        Response::to(&invite, Status::RINGING).with_to_tag(&Token::new("t").unwrap())
    };
    let response = ringing(&pair);
    pair.wire.clear();
    pair.copies = Box::new(|_| 0);
    let source = Source { peer: Some("pool".into()), ..pool_source() };
    let input = Input::Received { message: Message::Response(response), source };
    pair.act(CALLER, |endpoint, now, out| endpoint.handle(input, now, out));
    pair.run(RING_PATIENCE);
    assert_eq!(
        (pair.heard(CALLER, caller), pair.sent(CALLER, "CANCEL")),
        (vec!["Progress".into(), "NoAnswer".into()], 1)
    );
    pair.assert_nothing_is_left();
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

// RFC 3261 section 13.2.2.4, RFC 6026
#[test]
fn each_branch_of_a_fork_is_a_session_that_can_be_kept_or_ended() {
    let mut pair = Pair::new(TransportKind::Udp);
    pair.copies = Box::new(|_| 0);
    let caller = pair.call();
    let mut out = Vec::new();
    let mut config = EndpointConfig::new(vec![SentBy::new(TransportKind::Udp, ADDRESSES[0]).unwrap()]);
    config.sessions = Some(SessionConfig::default());
    let mut endpoint = Endpoint::new(config, IdSource::counting());
    let target = Target { transport: TransportKind::Udp, addr: ADDRESSES[1].parse().unwrap(), name: None };
    let address = |text: &str| NameAddr::new(text.parse().unwrap());
    let invite = Invite {
        uri: "sip:alice@contoso.example".parse().unwrap(),
        from: address("sip:bob@fabrikam.example"),
        to: address("sip:alice@contoso.example"),
        call_id: None,
        contact: "sip:bob@10.0.0.1".parse().unwrap(),
        headers: Headers::default(),
        offer: Description::sdp("v=0\r\n"),
        target: Some(target),
    };
    let now = Instant::now();
    let first = endpoint.invite(invite, now, &mut out).unwrap();
    let Some(Output::Send { bytes, .. }) = out.first() else { panic!() };
    let Ok(Datagram::Message(Message::Request(request))) = parse_datagram(bytes.clone()) else { panic!() };
    let mut answer = |tag: &str, route: &str| {
        let mut response = Response::to(&request, Status::OK).with_to_tag(&Token::new(tag.to_owned()).unwrap());
        response.headers.push(HeaderName::RecordRoute, HeaderValue::new(route.to_owned()).unwrap());
        let contact = HeaderValue::new(format!("<sip:{tag}@10.0.0.9:5070>")).unwrap();
        response.headers.push(HeaderName::Contact, contact);
        let input = Input::Received { message: Message::Response(response), source: pool_source() };
        step(&mut endpoint, input, now)
    };
    let ack = |out: &[Output]| match out.first() {
        Some(Output::Send { to: Destination::Target(target), bytes, .. }) => {
            let Ok(Datagram::Message(Message::Request(ack))) = parse_datagram(bytes.clone()) else { panic!() };
            assert_eq!((&ack.method, ack.headers.cseq().unwrap().number), (&Method::Ack, 1));
            let routes: Vec<_> = ack.headers.addresses(&HeaderName::Route).unwrap();
            (
                target.addr.to_string(),
                ack.uri.to_string(),
                routes.into_iter().map(|route| route.uri.to_string()).collect(),
            )
        }
        other => panic!("{other:?}"),
    };
    // Loose routing: the route set is the Record-Route in reverse, and the Contact is the Request-URI.
    let out = answer("one", "<sip:10.0.0.8;lr>, <sip:10.0.0.7;lr>");
    let routes = vec!["sip:10.0.0.7;lr".to_owned(), "sip:10.0.0.8;lr".to_owned()];
    assert_eq!(ack(&out), ("10.0.0.7:5060".into(), "sip:one@10.0.0.9:5070".into(), routes));
    assert!(
        matches!(&out[1], Output::Event(Event::Session { session, event: SessionEvent::Answered { .. } }) if *session == first)
    );
    // The same 2xx again: an ACK, and nobody hears of it.
    assert_eq!(answer("one", "<sip:10.0.0.8;lr>, <sip:10.0.0.7;lr>").len(), 1);
    // Strict routing: the first route is the Request-URI and the Contact the last route (RFC 3261 section 12.2.1.1).
    let out = answer("two", "<sip:10.0.0.6>");
    assert_eq!(ack(&out), ("10.0.0.6:5060".into(), "sip:10.0.0.6".into(), vec!["sip:two@10.0.0.9:5070".to_owned()]));
    let Output::Event(Event::Session { session, event: SessionEvent::Forked { session: second, .. } }) = &out[1] else {
        panic!("{out:?}")
    };
    assert_eq!((*session, endpoint.sessions().0), (first, 2));
    let mut out = Vec::new();
    endpoint.hang_up(*second, now, &mut out).unwrap();
    assert!(
        matches!(&out[..], [Output::Event(_), Output::Send { bytes, .. }] if bytes.starts_with(b"BYE sip:10.0.0.6 "))
    );
    assert_eq!(endpoint.sessions().0, 1);
    let _ = caller;
}

// RFC 3261 section 14.1
#[test]
fn offers_that_meet_are_refused_with_491_and_one_goes_through_later() {
    let (mut pair, caller, callee) = Pair::established(TransportKind::Udp);
    let offer = || Description::sdp("v=0\r\ns=new\r\n");
    pair.act(CALLER, |endpoint, now, out| endpoint.reoffer(caller, offer(), now, out)).unwrap();
    pair.act(CALLEE, |endpoint, now, out| endpoint.reoffer(callee, offer(), now, out)).unwrap();
    pair.run(Duration::from_millis(100));
    assert_eq!((pair.sent(CALLER, "SIP/2.0 491"), pair.sent(CALLEE, "SIP/2.0 491")), (1, 1));
    // The callee is not the owner of the Call-ID, so its pause is the shorter one.
    pair.run(Duration::from_millis(2050));
    assert_eq!(pair.heard(CALLER, caller).last().unwrap(), "Offered");
    pair.accept(CALLER, caller).unwrap();
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged", "Answered", "Offered"]);
    pair.accept(CALLEE, callee).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.heard(CALLER, caller), ["Answered", "Offered", "Acknowledged", "Answered"]);
    pair.hang_up(CALLER, caller).unwrap();
    pair.assert_nothing_is_left();
}

#[test]
fn a_refused_offer_leaves_the_session_as_it_is() {
    let (mut pair, caller, callee) = Pair::established(TransportKind::Udp);
    pair.act(CALLER, |endpoint, now, out| endpoint.reoffer(caller, Description::sdp("x"), now, out)).unwrap();
    let busy = pair.act(CALLER, |endpoint, now, out| endpoint.reoffer(caller, Description::sdp("x"), now, out));
    assert_eq!(busy, Err(NotNow::Busy));
    pair.deliver();
    pair.act(CALLEE, |endpoint, now, out| {
        endpoint.refuse(callee, Status::NOT_ACCEPTABLE_HERE, &Headers::default(), now, out)
    })
    .unwrap();
    pair.deliver();
    assert_eq!(pair.heard(CALLER, caller), ["Answered", "OfferRefused"]);
    pair.send(CALLEE, callee, 9).unwrap();
    pair.deliver();
    assert_eq!(pair.heard(CALLER, caller).last().unwrap(), "Request");
}

// RFC 4028
#[test]
fn a_session_is_refreshed_by_update_and_expires_when_the_peer_is_gone() {
    let mut pair = Pair::new(TransportKind::Tcp);
    pair.ends[CALLER].endpoint.config.sessions = Some(SessionConfig { expires: Some(600), ..SessionConfig::default() });
    let caller = pair.call();
    pair.deliver();
    let callee = pair.invited()[0];
    pair.accept(CALLEE, callee).unwrap();
    pair.deliver();
    pair.run(Duration::from_secs(301));
    assert_eq!((pair.sent(CALLER, "UPDATE"), pair.sent(CALLEE, "SIP/2.0 200")), (1, 2));
    pair.run(Duration::from_secs(3000));
    assert_eq!((pair.sent(CALLER, "UPDATE"), pair.heard(CALLER, caller)), (11, vec!["Answered".to_owned()]));
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged"]);
    // The caller vanishes: the callee says BYE when nobody has refreshed.
    pair.copies = Box::new(|_| 0);
    pair.run(Duration::from_secs(600));
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged", "Expired"]);
    assert_eq!(pair.heard(CALLER, caller), ["Answered", "Gone"]);
    pair.assert_nothing_is_left();
}

#[test]
fn a_422_makes_the_caller_ask_for_more_and_too_small_an_interval_is_answered_with_it() {
    let mut pair = Pair::new(TransportKind::Tcp);
    pair.ends[CALLER].endpoint.config.sessions = Some(SessionConfig { expires: Some(60), ..SessionConfig::default() });
    pair.call();
    // Our own minimum is never undercut.
    assert!(String::from_utf8_lossy(&pair.wire[0].1).contains("Session-Expires: 90\r\n"));
    let mut endpoint = session_endpoint(ADDRESSES[0], ADDRESSES[1], TransportKind::Udp);
    let lines = "Contact: <sip:a@10.0.0.2>\r\nSession-Expires: 60\r\nSupported: timer\r\n";
    let out = step(&mut endpoint, incoming_text("INVITE", lines), Instant::now());
    assert_eq!((codes(&out), refusal(&out)), (vec![422], Some(&Refusal::SessionInterval)));
    let mut pair = Pair::new(TransportKind::Udp);
    pair.ends[CALLER].endpoint.config.sessions = Some(SessionConfig { expires: Some(100), ..SessionConfig::default() });
    let caller = pair.call();
    let Ok(Datagram::Message(Message::Request(invite))) = parse_datagram(pair.wire.pop_front().unwrap().1) else {
        panic!()
    };
    let response = Response::to(&invite, Status::SESSION_INTERVAL_TOO_SMALL)
        .with(HeaderName::MinSe, HeaderValue::from(1800_u32))
        .with_to_tag(&Token::new("t").unwrap());
    let input = Input::Received { message: Message::Response(response), source: pool_source() };
    pair.act(CALLER, |endpoint, now, out| endpoint.handle(input, now, out));
    let again = String::from_utf8_lossy(&pair.wire.back().unwrap().1).into_owned();
    for line in ["INVITE ", "Session-Expires: 1800\r\n", "Min-SE: 1800\r\n", "CSeq: 2 INVITE\r\n"] {
        assert!(again.contains(line), "{line} in {again}");
    }
    pair.hang_up(CALLER, caller).unwrap();
    pair.assert_nothing_is_left();
}

// RFC 3261 section 12.2.1.2
#[test]
fn a_481_in_the_session_ends_it() {
    let (mut pair, caller, callee) = Pair::established(TransportKind::Udp);
    pair.copies = Box::new(|_| 0);
    pair.hang_up(CALLEE, callee).unwrap();
    pair.copies = Box::new(|_| 1);
    pair.ends[CALLEE].endpoint = session_endpoint(ADDRESSES[1], ADDRESSES[0], TransportKind::Udp);
    pair.send(CALLER, caller, 3).unwrap();
    pair.deliver();
    assert_eq!(pair.heard(CALLER, caller), ["Answered", "Gone"]);
    assert_eq!((pair.sent(CALLEE, "SIP/2.0 481"), pair.sent(CALLER, "BYE")), (2, 1));
    pair.assert_nothing_is_left();
}

/// What the endpoint itself answers when sessions are on.
#[test]
fn requests_that_fit_no_session_are_answered_by_their_rule() {
    for (method, lines, code) in [
        ("BYE", "", 481),
        ("UPDATE", "", 481),
        ("INFO", "", 481),
        ("MESSAGE", "tagged", 481),
        ("INVITE", "tagged", 481),
        ("INVITE", "", 400),
        ("INVITE", "Require: 100rel\r\nContact: <sip:a@10.0.0.2>\r\n", 420),
        ("INVITE", "Contact: <sip:a@10.0.0.2>\r\nContent-Type: text/plain\r\n", 415),
        ("INVITE", "Contact: <tel:+1>\r\n", 400),
        ("PRACK", "", 405),
        ("REFER", "", 405),
        ("OPTIONS", "", 200),
    ] {
        let mut endpoint = session_endpoint(ADDRESSES[0], ADDRESSES[1], TransportKind::Udp);
        let out = step(&mut endpoint, incoming_text(method, lines), Instant::now());
        assert_eq!(codes(&out), [code], "{method} {lines}");
        assert_eq!(endpoint.sessions(), (0, 0));
    }
}

// RFC 3261 section 8.2.2.2
#[test]
fn the_same_invite_on_another_path_is_a_merged_request() {
    let mut endpoint = session_endpoint(ADDRESSES[0], ADDRESSES[1], TransportKind::Udp);
    let now = Instant::now();
    assert!(codes(&step(&mut endpoint, incoming_text("INVITE", "Contact: <sip:a@10.0.0.2>\r\n"), now)).is_empty());
    let other_path = incoming_text("INVITE", "Contact: <sip:a@10.0.0.2>\r\nother-branch");
    let out = step(&mut endpoint, other_path, now);
    assert_eq!((codes(&out), refusal(&out)), (vec![482], Some(&Refusal::Merged)));
    assert_eq!(endpoint.sessions().0, 1);
}

#[test]
fn a_flood_of_invites_from_one_address_fills_its_share_and_leaves_room_for_others() {
    let mut endpoint = session_endpoint(ADDRESSES[0], ADDRESSES[1], TransportKind::Udp);
    let now = Instant::now();
    let invite = |n: usize, from: &str| {
        let text = format!(
            "INVITE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@h>;tag={n}\r\nTo: <sip:b@h>\r\nCall-ID: c{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{from}>\r\n\r\n"
        );
        let Ok(Datagram::Message(message)) = parse_datagram(Bytes::from(text)) else { panic!() };
        Input::Received { message, source: Source { remote: from.parse().unwrap(), ..pool_source() } }
    };
    for n in 0..MAX_HALF_OPEN_PER_SOURCE {
        assert!(codes(&step(&mut endpoint, invite(n, "10.0.0.66:5060"), now)).is_empty());
    }
    let out = step(&mut endpoint, invite(9999, "10.0.0.66:5060"), now);
    assert_eq!((codes(&out), refusal(&out)), (vec![503], Some(&Refusal::Overload)));
    assert!(codes(&step(&mut endpoint, invite(10_000, "10.0.0.2:5060"), now)).is_empty());
    assert_eq!(endpoint.sessions(), (MAX_HALF_OPEN_PER_SOURCE + 1, MAX_HALF_OPEN_PER_SOURCE + 1));
    let mut out = Vec::new();
    let mut at = now;
    while let Some(deadline) = endpoint.deadline() {
        at = at.max(deadline);
        endpoint.handle(Input::DeadlinePassed, at, &mut out);
    }
    assert_eq!((endpoint.sessions(), endpoint.transactions()), ((0, 0), (0, 0)));
    assert!(at - now <= ANSWER_PATIENCE + TRANSACTION_PATIENCE);
}

// RFC 3263 section 4.3
#[test]
fn an_invite_goes_to_the_next_target_on_503_and_on_silence() {
    let mut endpoint = session_endpoint(ADDRESSES[0], ADDRESSES[1], TransportKind::Udp);
    let target = |addr: &str| Target { transport: TransportKind::Udp, addr: addr.parse().unwrap(), name: None };
    endpoint.set_next_hops(vec![target("10.0.0.2:5060"), target("10.0.0.3:5060"), target("10.0.0.4:5060")]);
    let mut pair = Pair::new(TransportKind::Udp);
    pair.ends[CALLER].endpoint = endpoint;
    pair.copies = Box::new(|_| 1);
    let caller = pair.call();
    let Ok(Datagram::Message(Message::Request(invite))) = parse_datagram(pair.wire.pop_front().unwrap().1) else {
        panic!()
    };
    let response = Response::to(&invite, Status::SERVICE_UNAVAILABLE).with_to_tag(&Token::new("t").unwrap());
    let input = Input::Received { message: Message::Response(response), source: pool_source() };
    pair.act(CALLER, |endpoint, now, out| endpoint.handle(input, now, out));
    pair.copies = Box::new(|_| 0);
    pair.wire.clear();
    pair.run(TRANSACTION_PATIENCE * 2);
    // ACK of the 503, then seven INVITEs to each of the other two.
    assert_eq!((pair.sent(CALLER, "INVITE"), pair.sent(CALLER, "ACK")), (15, 1));
    assert_eq!(pair.heard(CALLER, caller), ["Failed(Timeout)"]);
    pair.assert_nothing_is_left();
}

#[test]
fn a_request_too_large_for_udp_goes_over_udp_after_all_when_nobody_takes_tcp() {
    let mut endpoint = session_endpoint(ADDRESSES[0], ADDRESSES[1], TransportKind::Udp);
    let (mut out, now) = (Vec::new(), Instant::now());
    let mut outgoing = crate::endpoint::tests::outgoing(TransportKind::Udp, ADDRESSES[1]);
    outgoing.request = outgoing.request.with_body(HeaderValue::from_static("text/plain"), "x".repeat(1400));
    endpoint.request(outgoing, now, &mut out);
    let Some(Output::Send { to: Destination::Target(target), tag, .. }) = out.pop() else { panic!() };
    assert_eq!(target.transport, TransportKind::Tcp);
    let out = step(&mut endpoint, Input::Unsent { tag }, now);
    let [Output::Send { to: Destination::Target(target), tag, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(target.transport, TransportKind::Udp);
    let out = step(&mut endpoint, Input::Unsent { tag: *tag }, now);
    assert!(matches!(out[..], [Output::Event(Event::Failed { token: 7, failure: Failure::Unsent })]));
}

/// One thing that a user or the network does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Call,
    Ring,
    Accept(usize),
    Refuse(usize),
    HangUp(usize),
    Reoffer(usize),
    Send(usize),
    Deliver,
    Pass(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Call),
        Just(Deed::Ring),
        (0..2_usize).prop_map(Deed::Accept),
        (0..2_usize).prop_map(Deed::Refuse),
        (0..2_usize).prop_map(Deed::HangUp),
        (0..2_usize).prop_map(Deed::Reoffer),
        (0..2_usize).prop_map(Deed::Send),
        Just(Deed::Deliver),
        (1..40_000_u64).prop_map(Deed::Pass),
    ]
}

/// The sessions an end has heard of, in order.
fn known(pair: &Pair, end: usize) -> Vec<SessionId> {
    let mut known: Vec<SessionId> = Vec::new();
    for event in &pair.ends[end].events {
        if let Event::Session { session, .. } = event
            && !known.contains(session)
        {
            known.push(*session);
        }
    }
    known
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_sequence_of_deeds_leaves_a_session_or_transaction_behind(
        deeds in proptest::collection::vec(deed(), 1..40),
        fates in proptest::collection::vec(0..8_u8, 1..60),
        udp in any::<bool>(),
    ) {
        let mut pair = Pair::new(if udp { TransportKind::Udp } else { TransportKind::Tcp });
        for end in &mut pair.ends {
            end.endpoint.config.sessions = Some(SessionConfig { expires: Some(90), ..SessionConfig::default() });
        }
        // Three of eight messages are lost or doubled; after a while the network heals.
        pair.copies = Box::new(move |n| match fates.get(n).copied().unwrap_or(0) {
            6 => 2,
            7 if udp => 0,
            _ => 1,
        });
        let mut called = Vec::new();
        for deed in deeds {
            let latest = |pair: &Pair, end: usize| match end {
                CALLER => called.last().copied(),
                end => known(pair, end).last().copied(),
            };
            match deed {
                Deed::Call => called.push(pair.call()),
                Deed::Ring => if let Some(session) = latest(&pair, CALLEE) {
                    let _ = pair.act(CALLEE, |endpoint, now, out| endpoint.progress(session, Status::RINGING, now, out));
                },
                Deed::Accept(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.accept(end, session);
                },
                Deed::Refuse(end) => if let Some(session) = latest(&pair, end) {
                    let headers = Headers::default();
                    let _ = pair.act(end, |endpoint, now, out| {
                        endpoint.refuse(session, Status::BUSY_HERE, &headers, now, out)
                    });
                },
                Deed::HangUp(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.hang_up(end, session);
                },
                Deed::Reoffer(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.act(end, |endpoint, now, out| {
                        endpoint.reoffer(session, Description::sdp("v=0\r\n"), now, out)
                    });
                },
                Deed::Send(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.send(end, session, 5);
                },
                Deed::Deliver => pair.deliver(),
                Deed::Pass(millis) => pair.run(Duration::from_millis(millis)),
            }
        }
        // Everybody hangs up whatever is still there.
        for session in called.clone() {
            let _ = pair.hang_up(CALLER, session);
        }
        for session in known(&pair, CALLEE) {
            let _ = pair.hang_up(CALLEE, session);
        }
        pair.run(Duration::from_secs(60));
        for end in [CALLER, CALLEE] {
            for session in known(&pair, end) {
                let _ = pair.hang_up(end, session);
            }
        }
        pair.assert_nothing_is_left();
        for end in [CALLER, CALLEE] {
            for session in known(&pair, end) {
                let heard = pair.heard(end, session);
                let ends = ["Refused", "Failed", "HungUp", "ByPeer", "Cancelled", "NoAnswer", "NoAck", "Expired", "Gone"];
                let ended = heard.iter().filter(|name| ends.iter().any(|end| name.starts_with(end))).count();
                prop_assert_eq!(ended, 1, "{:?}", heard);
                prop_assert!(ends.iter().any(|end| heard.last().unwrap().starts_with(end)), "{:?}", heard);
            }
        }
    }
}
