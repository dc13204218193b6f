use super::*;
use crate::msrp::parse::Framer;

fn config(own: &str, peer: &str, is_active: bool) -> SessionConfig {
    SessionConfig {
        own: own.parse().unwrap(),
        peer: vec![peer.parse().unwrap()],
        is_active,
        max_size: 10_000,
        peer_max_size: Some(10_000),
        accept_types: vec!["text/plain".into(), "message/*".into()],
        idle: Duration::from_secs(600),
    }
}

struct Pair {
    now: Instant,
    ids: IdSource,
    /// The active end and the passive one.
    ends: [(Session, Vec<Output>); 2],
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let (one, other) = ("msrps://gw.example:2855/s1;tcp", "msrps://alice.example:7654/s2;tcp");
        let end = |own, peer, is_active| (Session::new(config(own, peer, is_active), now), Vec::new());
        Self { now, ids: IdSource::counting(), ends: [end(one, other, true), end(other, one, false)] }
    }

    fn open() -> Self {
        let mut pair = Self::new();
        pair.step(0, Input::Connected);
        assert_eq!(
            [&pair.ends[0].1[..], &pair.ends[1].1[..]],
            [[Output::Bound], [Output::Bound]],
            "the hello is no message"
        );
        pair.ends.iter_mut().for_each(|end| end.1.clear());
        pair
    }

    /// Lets an end take a step, and the other end all that comes of it.
    fn step(&mut self, end: usize, input: Input) {
        let mut out = Vec::new();
        self.ends[end].0.handle(input, self.now, &mut self.ids, &mut out);
        for output in out {
            match output {
                Output::Send(bytes) => {
                    let received = Framer::new(100_000).push(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
                    self.step(1 - end, Input::Received(received));
                }
                other => self.ends[end].1.push(other),
            }
        }
    }

    fn send(&mut self, end: usize, body: &[u8], success_report: bool) {
        let message = outgoing(body, success_report);
        self.step(end, Input::Send(message));
    }
}

fn outgoing(body: &[u8], success_report: bool) -> Outgoing {
    Outgoing {
        token: 7,
        message_id: "m1".into(),
        content_type: "text/plain".into(),
        body: Bytes::copy_from_slice(body),
        success_report,
        failure_report: FailureReport::Yes,
    }
}

// Rule: msrp.chunks
#[test]
fn a_message_travels_in_chunks_and_is_accepted() {
    for len in [0, 1, CHUNK, CHUNK + 1, 10_000] {
        let mut pair = Pair::open();
        let body = vec![b'x'; len];
        pair.send(0, &body, false);
        let [Output::Message { body: received, receipt, .. }] = &pair.ends[1].1[..] else {
            panic!("{:?}", pair.ends[1].1)
        };
        assert!(!receipt.wants_success());
        assert_eq!(received.len(), len);
        assert_eq!(pair.ends[0].1, [Output::Accepted { token: 7 }]);
        assert!(pair.ends[0].0.outbox.is_empty());
    }
}

// Rule: msrp.bind
#[test]
fn messages_wait_for_the_connection_on_both_sides() {
    let mut pair = Pair::new();
    pair.send(0, b"first", false);
    pair.send(1, b"second", false);
    assert_eq!((pair.ends[0].1.len(), pair.ends[1].1.len()), (0, 0));
    pair.step(0, Input::Connected);
    for end in [0, 1] {
        assert!(pair.ends[end].1.contains(&Output::Accepted { token: 7 }), "{:?}", pair.ends[end].1);
    }
}

// Rule: msrp.reports
#[test]
fn a_report_is_sent_when_the_user_says_what_became_of_the_message() {
    let mut pair = Pair::open();
    pair.send(0, b"hello", true);
    let [Output::Message { receipt, .. }] = &pair.ends[1].1[..] else { panic!("{:?}", pair.ends[1].1) };
    let receipt = receipt.clone();
    assert_eq!((receipt.message_id(), receipt.wants_success(), receipt.wants_failure()), ("m1", true, true));
    pair.step(1, Input::Report { receipt: receipt.clone(), code: 200 });
    assert_eq!(pair.ends[0].1, [Output::Accepted { token: 7 }, Output::Reported { token: 7, code: 200 }]);
    pair.step(1, Input::Report { receipt, code: 200 });
    assert_eq!(pair.ends[0].1.len(), 2, "a report that nobody waits for");
}

// Rule: msrp.errors, msrp.max-size
#[test]
fn what_does_not_fit_is_answered_by_its_rule() {
    let refuse = |change: &dyn Fn(&mut Outgoing), adjust: &dyn Fn(&mut Pair)| {
        let mut pair = Pair::open();
        adjust(&mut pair);
        let mut message = outgoing(b"hello", false);
        change(&mut message);
        pair.step(0, Input::Send(message));
        assert_eq!(pair.ends[1].1, []);
        match pair.ends[0].1[..] {
            [Output::Failed { token: 7, failure }]
            | [Output::Failed { token: 7, failure }, Output::Refused { code: 481 }] => failure,
            ref other => panic!("{other:?}"),
        }
    };
    let image = |message: &mut Outgoing| message.content_type = "image/png".into();
    assert_eq!(refuse(&image, &|_| {}), SendFailure::Refused(415));
    let large = |message: &mut Outgoing| message.body = vec![0; 10_001].into();
    assert_eq!(refuse(&large, &|_| {}), SendFailure::TooLarge);
    let unaware = |pair: &mut Pair| pair.ends[0].0.config.peer_max_size = None;
    assert_eq!(refuse(&large, &unaware), SendFailure::Refused(413));
    let stranger = |pair: &mut Pair| pair.ends[1].0.config.peer = vec!["msrps://x/y;tcp".parse().unwrap()];
    assert_eq!(refuse(&|_| {}, &stranger), SendFailure::Refused(481));
    let elsewhere = |pair: &mut Pair| pair.ends[1].0.config.own = "msrps://alice.example:7654/s3;tcp".parse().unwrap();
    assert_eq!(refuse(&|_| {}, &elsewhere), SendFailure::Refused(481));
}

// Rule: msrp.errors
#[test]
fn unknown_methods_and_oversized_and_malformed_requests_are_answered_unless_nobody_asked() {
    let mut pair = Pair::open();
    let (own, peer) = (pair.ends[0].0.config.own.clone(), pair.ends[0].0.config.peer.clone());
    let transaction = TransactionId::new("abcd").unwrap();
    let mut request = Request::new(transaction, Method::Other("NICKNAME".into()), vec![own], peer);
    let mut answer = |received| {
        let mut out = Vec::new();
        pair.ends[0].0.handle(Input::Received(received), pair.now, &mut pair.ids, &mut out);
        out.first().map(|output| match output {
            Output::Send(text) => String::from_utf8_lossy(text).split("\r\n").next().unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
    };
    let frame = |request: &Request| Received::Frame(Box::new(Frame::Request(request.clone())));
    assert_eq!(answer(frame(&request)).as_deref(), Some("MSRP abcd 501 Not Implemented"));
    assert_eq!(answer(Received::Malformed(Box::new(request.clone()))).as_deref(), Some("MSRP abcd 400 Bad Request"));
    assert_eq!(
        answer(Received::TooLarge(Box::new(request.clone()))).as_deref(),
        Some("MSRP abcd 413 Message Too Large")
    );
    request.failure_report = FailureReport::No;
    assert_eq!(answer(frame(&request)), None);
    request.failure_report = FailureReport::Partial;
    request.method = Method::Send;
    request.message_id = Some("m".into());
    assert_eq!(answer(frame(&request)), None, "an empty SEND is answered with 200, which nobody wants to hear");
}

#[test]
fn without_an_answer_a_message_fails_after_30_seconds() {
    let mut pair = Pair::open();
    let mut out = Vec::new();
    let message = outgoing(b"hello", false);
    pair.ends[0].0.handle(Input::Send(message), pair.now, &mut pair.ids, &mut out);
    assert_eq!(pair.ends[0].0.deadline(), Some(pair.now + ANSWER_PATIENCE));
    pair.now += ANSWER_PATIENCE;
    pair.step(0, Input::DeadlinePassed);
    assert_eq!(pair.ends[0].1, [Output::Failed { token: 7, failure: SendFailure::Timeout }]);
}

// Rule: msrp.bounds
#[test]
fn a_session_that_nobody_uses_or_nobody_connects_ends() {
    let mut pair = Pair::open();
    pair.now += Duration::from_secs(600);
    pair.step(0, Input::DeadlinePassed);
    assert_eq!((&pair.ends[0].1[..], pair.ends[0].0.deadline()), (&[Output::Idle][..], None));
    let mut pair = Pair::new();
    pair.send(0, b"hello", false);
    pair.now += SETUP_PATIENCE;
    pair.step(0, Input::DeadlinePassed);
    let closed = Output::Failed { token: 7, failure: SendFailure::Closed };
    assert_eq!(pair.ends[0].1, [closed, Output::NoConnection]);
    pair.send(0, b"hello", false);
    assert_eq!(pair.ends[0].1.len(), 3);
}

// Rule: msrp.bounds
#[test]
fn no_more_messages_wait_than_the_bound_allows() {
    let mut pair = Pair::new();
    for n in 0..=MAX_OUTGOING {
        let message = Outgoing { message_id: n.to_string(), ..outgoing(b"x", false) };
        pair.step(0, Input::Send(message));
    }
    assert_eq!(pair.ends[0].1, [Output::Failed { token: 7, failure: SendFailure::Busy }]);
    pair.step(0, Input::Closed);
    assert_eq!(pair.ends[0].1.len(), 1 + MAX_OUTGOING);
}
