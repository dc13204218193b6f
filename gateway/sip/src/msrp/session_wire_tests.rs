//! What a session writes, by RFC 4975 section 7: one frame at a time, as its peer sees it.

use super::*;
use crate::msrp::message::Continuation;
use crate::msrp::parse::Framer;

const OWN: &str = "msrps://gw.example:2855/s1;tcp";
const PEER: &str = "msrps://alice.example:7654/s2;tcp";

/// A session that is bound, and what it has said since.
struct Wire {
    session: Session,
    ids: IdSource,
    now: Instant,
    said: Vec<Output>,
}

impl Wire {
    fn new() -> Self {
        Self::with(IdSource::counting())
    }

    fn with(mut ids: IdSource) -> Self {
        let config = SessionConfig {
            own: OWN.parse().unwrap(),
            peer: vec![PEER.parse().unwrap()],
            is_active: true,
            max_size: 1000,
            peer_max_size: None,
            accept_types: vec!["text/plain".into()],
            idle: Duration::from_secs(600),
        };
        let now = Instant::now();
        let mut session = Session::new(config, now);
        session.handle(Input::Connected, now, &mut ids, &mut Vec::new());
        Self { session, ids, now, said: Vec::new() }
    }

    fn step(&mut self, input: Input) -> &mut Self {
        self.session.handle(input, self.now, &mut self.ids, &mut self.said);
        self
    }

    /// The peer sends a chunk.
    fn chunk(
        &mut self,
        range: Option<(u64, Option<u64>)>,
        body: &str,
        continuation: Continuation,
        change: impl FnOnce(&mut Request),
    ) -> &mut Self {
        let paths = (vec![OWN.parse().unwrap()], vec![PEER.parse().unwrap()]);
        let mut request = Request::new(TransactionId::new("peer").unwrap(), Method::Send, paths.0, paths.1);
        request.message_id = Some("theirs".into());
        request.content_type = Some("text/plain".into());
        request.range = range.map(|(start, total)| ByteRange { start, end: None, total });
        request.body = Bytes::copy_from_slice(body.as_bytes());
        request.continuation = continuation;
        change(&mut request);
        self.step(Input::Received(Received::Frame(Box::new(Frame::Request(request)))))
    }

    /// Takes what it has written.
    fn frames(&mut self) -> Vec<(String, Frame)> {
        let (written, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.said).into_iter().partition(|said| matches!(said, Output::Send(_)));
        self.said = others;
        let read = |said| match said {
            Output::Send(bytes) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                match Framer::new(10_000).push(&mut BytesMut::from(&bytes[..])) {
                    Some(Ok(Received::Frame(frame))) => (text, *frame),
                    other => panic!("{text}: {other:?}"),
                }
            }
            other => panic!("{other:?}"),
        };
        written.into_iter().map(read).collect()
    }

    fn requests(&mut self) -> Vec<Request> {
        let request = |(_, frame)| match frame {
            Frame::Request(request) => request,
            Frame::Response(response) => panic!("{response:?}"),
        };
        self.frames().into_iter().map(request).collect()
    }

    /// Takes the codes of its answers.
    fn codes(&mut self) -> Vec<u16> {
        let code = |(_, frame)| match frame {
            Frame::Response(response) => response.code,
            Frame::Request(request) => panic!("{request:?}"),
        };
        self.frames().into_iter().map(code).collect()
    }

    fn answer(&mut self, transaction: &TransactionId, code: u16) -> &mut Self {
        let response = Response {
            transaction: transaction.clone(),
            code,
            to_path: vec![OWN.parse().unwrap()],
            from_path: vec![PEER.parse().unwrap()],
        };
        self.step(Input::Received(Received::Frame(Box::new(Frame::Response(response)))))
    }

    fn send(&mut self, body: Vec<u8>, change: impl FnOnce(&mut Outgoing)) -> &mut Self {
        let mut message = Outgoing {
            token: 7,
            message_id: "ours".into(),
            content_type: "text/plain".into(),
            body: body.into(),
            success_report: false,
            failure_report: FailureReport::Yes,
        };
        change(&mut message);
        self.step(Input::Send(message))
    }

    fn report(&mut self, headers: impl FnOnce(&mut Request)) -> &mut Self {
        let paths = (vec![OWN.parse().unwrap()], vec![PEER.parse().unwrap()]);
        let mut request = Request::new(TransactionId::new("peer").unwrap(), Method::Report, paths.0, paths.1);
        request.message_id = Some("ours".into());
        request.status = Some(200);
        headers(&mut request);
        self.step(Input::Received(Received::Frame(Box::new(Frame::Request(request)))))
    }

    fn receipt(&mut self) -> Receipt {
        match std::mem::take(&mut self.said).pop() {
            Some(Output::Message { receipt, .. }) => receipt,
            other => panic!("{other:?}"),
        }
    }
}

// Rule: msrp.framing
#[test]
fn a_transaction_has_64_random_bits_of_its_own_and_never_stands_in_the_body() {
    // The numbers repeat, as bad luck would have it.
    let mut numbers = [1, 2, 3, 3, 4, 5].into_iter().cycle();
    let third = IdSource::new(|| 3).token();
    let mut wire = Wire::with(IdSource::new(move || numbers.next().unwrap_or_default()));
    let body = format!("before -------{}$ after", third.as_str());
    wire.send(body.clone().into_bytes(), |_| {});
    let sent = wire.requests();
    assert_eq!(sent[0].transaction.as_bytes().len(), 13, "five bits each");
    assert_ne!(sent[0].transaction.as_bytes(), third.as_bytes());
    assert_eq!(sent[0].body, body);
}

// Rule: msrp.framing
#[test]
fn content_type_comes_last_and_an_empty_line_separates_the_body() {
    let mut wire = Wire::new();
    wire.send(b"hello".to_vec(), |message| message.success_report = true);
    let text = wire.frames().remove(0).0;
    assert!(text.contains("\r\nSuccess-Report: yes\r\nContent-Type: text/plain\r\n\r\nhello\r\n-------"), "{text}");
    assert!(text.ends_with("$\r\n"));
    // An empty body is a body.
    wire.send(Vec::new(), |message| message.message_id = "empty".into());
    let text = wire.frames().remove(0).0;
    assert!(text.contains("Byte-Range: 1-0/0\r\nContent-Type: text/plain\r\n\r\n\r\n-------"), "{text}");
}

// Rule: msrp.chunks
#[test]
fn each_chunk_names_its_message_its_place_and_the_same_wishes() {
    let mut wire = Wire::new();
    let body: Vec<u8> = (0..CHUNK * 2 + 1).map(|n| b'a' + (n % 26) as u8).collect();
    wire.send(body.clone(), |message| message.success_report = true);
    let sent = wire.requests();
    let mut next = 1;
    for (at, chunk) in sent.iter().enumerate() {
        assert!(chunk.body.len() <= CHUNK, "larger ones would have to be interruptible");
        assert_eq!((chunk.message_id.as_deref(), chunk.success_report), (Some("ours"), true));
        assert_eq!(chunk.content_type.as_deref(), Some("text/plain"));
        let end = next + chunk.body.len() as u64 - 1;
        assert_eq!(chunk.range, Some(ByteRange { start: next, end: Some(end), total: Some(body.len() as u64) }));
        let flag = if at + 1 == sent.len() { Continuation::Last } else { Continuation::More };
        assert_eq!(chunk.continuation, flag);
        next = end + 1;
    }
    let together: Vec<u8> = sent.iter().flat_map(|chunk| chunk.body.to_vec()).collect();
    assert_eq!((sent.len(), together), (3, body));
}

// Rule: msrp.errors
#[test]
fn a_refused_message_gets_no_further_chunk() {
    for code in [413, 415, 403] {
        let mut wire = Wire::new();
        wire.send(vec![b'x'; CHUNK * (MAX_CHUNKS + 8)], |_| {});
        let sent = wire.requests();
        assert_eq!(sent.len(), MAX_CHUNKS);
        wire.answer(&sent[0].transaction, code);
        assert_eq!(wire.said, [Output::Failed { token: 7, failure: SendFailure::Refused(code) }]);
        for chunk in &sent[1..] {
            wire.answer(&chunk.transaction, 200);
        }
        assert_eq!(wire.said.len(), 1);
        assert!(wire.session.outbox.is_empty());
    }
}

// Rule: msrp.reports
#[test]
fn the_user_hears_when_no_200_comes_in_30_seconds_after_the_last_byte() {
    let mut wire = Wire::new();
    wire.send(b"hello".to_vec(), |_| {});
    wire.now += ANSWER_PATIENCE - Duration::from_millis(1);
    wire.step(Input::DeadlinePassed);
    assert_eq!(wire.frames().len(), 1);
    assert_eq!(wire.said, []);
    wire.now += Duration::from_millis(1);
    wire.step(Input::DeadlinePassed);
    assert_eq!(wire.said, [Output::Failed { token: 7, failure: SendFailure::Timeout }]);
}

// Rule: msrp.errors
#[test]
fn a_408_counts_as_a_timeout() {
    let mut wire = Wire::new();
    wire.send(b"hello".to_vec(), |_| {});
    let sent = wire.requests();
    wire.answer(&sent[0].transaction, 408);
    assert_eq!(wire.said, [Output::Failed { token: 7, failure: SendFailure::Timeout }]);
}

// Rule: msrp.reports
#[test]
fn where_only_failures_are_wanted_a_late_refusal_is_told() {
    let mut wire = Wire::new();
    wire.send(b"hello".to_vec(), |message| message.failure_report = FailureReport::Partial);
    let sent = wire.requests();
    assert_eq!(wire.said, [Output::Accepted { token: 7 }]);
    wire.answer(&sent[0].transaction, 415);
    assert_eq!(wire.said[1..], [Output::Reported { token: 7, code: 415 }]);
    assert!(wire.session.outbox.is_empty());
}

// Rule: msrp.reports
#[test]
fn a_report_names_the_message_and_a_status_and_asks_for_nothing() {
    let mut wire = Wire::new();
    wire.chunk(None, "hello", Continuation::Last, |request| request.success_report = true);
    assert_eq!(wire.codes(), [200]);
    let receipt = wire.receipt();
    wire.step(Input::Report { receipt, code: 200 });
    let (text, _) = wire.frames().remove(0);
    assert!(
        text.contains(&format!(" REPORT\r\nTo-Path: {PEER}\r\nFrom-Path: {OWN}\r\nMessage-ID: theirs\r\n")),
        "{text}"
    );
    assert!(text.contains("\r\nByte-Range: 1-5/5\r\nStatus: 000 200\r\n-------"), "{text}");
    assert!(!text.contains("-Report:") && !text.contains("Content-Type"), "{text}");
}

// Rule: msrp.reports
#[test]
fn a_report_has_a_code_of_msrp_that_says_nothing_about_the_session() {
    for (code, said) in [(200, 200), (413, 413), (404, 403), (480, 408), (500, 408), (603, 403), (481, 403), (506, 408)]
    {
        let mut wire = Wire::new();
        wire.chunk(None, "hello", Continuation::Last, |request| request.success_report = true);
        wire.frames();
        let receipt = wire.receipt();
        wire.step(Input::Report { receipt, code });
        assert_eq!(wire.requests()[0].status, Some(said), "{code}");
    }
}

// Rule: msrp.reports
#[test]
fn reports_are_sent_to_those_only_who_want_them() {
    for (success, failure, said_200, said_success, said_failure) in [
        (false, FailureReport::Yes, true, false, true),
        (true, FailureReport::Yes, true, true, true),
        (true, FailureReport::Partial, false, true, true),
        (false, FailureReport::No, false, false, false),
        (true, FailureReport::No, false, true, false),
    ] {
        let mut wire = Wire::new();
        wire.chunk(None, "hello", Continuation::Last, |request| {
            request.success_report = success;
            request.failure_report = failure;
        });
        assert_eq!(wire.codes().len(), usize::from(said_200), "{success} {failure:?}");
        let receipt = wire.receipt();
        wire.step(Input::Report { receipt: receipt.clone(), code: 200 });
        assert_eq!(wire.requests().len(), usize::from(said_success), "{success} {failure:?}");
        wire.step(Input::Report { receipt, code: 408 });
        assert_eq!(wire.requests().len(), usize::from(said_failure), "{success} {failure:?}");
    }
}

// Rule: msrp.reports
#[test]
fn a_report_means_what_an_answer_would_mean_and_a_strange_one_nothing() {
    let mut wire = Wire::new();
    wire.send(b"hello".to_vec(), |message| message.success_report = true);
    wire.requests();
    wire.report(|report| report.message_id = Some("nobody's".into()));
    wire.report(|report| report.status = None);
    wire.report(|report| report.from_path = vec![OWN.parse().unwrap()]);
    wire.report(|report| report.range = Some(ByteRange { start: 1, end: Some(2), total: Some(5) }));
    assert_eq!(wire.said, [], "neither answered nor believed");
    wire.report(|report| report.range = Some(ByteRange { start: 1, end: Some(5), total: Some(5) }));
    assert_eq!(wire.said, [Output::Accepted { token: 7 }, Output::Reported { token: 7, code: 200 }]);
    wire.report(|_| {});
    assert_eq!(wire.said.len(), 2);
    let mut wire = Wire::new();
    wire.send(b"hello".to_vec(), |_| {});
    wire.requests();
    wire.report(|report| report.status = Some(413));
    assert_eq!(wire.said, [Output::Failed { token: 7, failure: SendFailure::Refused(413) }]);
}

// Rule: msrp.chunks
#[test]
fn the_chunk_that_came_last_wins_and_the_dollar_sign_says_how_long_the_message_is() {
    let mut wire = Wire::new();
    wire.chunk(Some((7, None)), "fghi", Continuation::Last, |_| {});
    wire.chunk(Some((1, None)), "abcdXX", Continuation::More, |_| {});
    assert_eq!(wire.codes(), [200, 200]);
    assert!(matches!(&wire.said[..], [Output::Message { body, .. }] if body == "abcdXXfghi"));
    wire.said.clear();
    wire.chunk(Some((1, Some(6))), "abcX", Continuation::More, |_| {});
    wire.chunk(Some((4, Some(6))), "def", Continuation::Last, |_| {});
    assert!(matches!(&wire.said[..], [.., Output::Message { body, .. }] if body == "abcdef"));
}

// Rule: msrp.chunks
#[test]
fn a_message_given_up_is_dropped() {
    let mut wire = Wire::new();
    wire.chunk(Some((1, Some(6))), "abc", Continuation::More, |_| {});
    wire.chunk(Some((4, Some(6))), "", Continuation::Aborted, |_| {});
    wire.chunk(Some((4, Some(6))), "def", Continuation::Last, |_| {});
    assert_eq!(wire.codes(), [200, 200, 200]);
    assert_eq!(wire.said, []);
}

// Rule: msrp.errors, msrp.max-size
#[test]
fn every_size_up_to_the_announced_one_is_taken_in_one_chunk_and_nothing_larger() {
    let mut wire = Wire::new();
    for size in [0, 1, 2048, 1000] {
        let expected = if size <= 1000 { 200 } else { 413 };
        wire.chunk(None, &"x".repeat(size), Continuation::Last, |_| {});
        assert_eq!(wire.codes(), [expected], "{size}");
    }
    wire.said.clear();
    wire.chunk(Some((1, Some(1001))), "x", Continuation::More, |_| {});
    assert_eq!(wire.codes(), [413], "it says itself how large it will be");
    wire.chunk(Some((1, None)), &"x".repeat(1000), Continuation::More, |_| {});
    wire.chunk(Some((1001, None)), "x", Continuation::More, |_| {});
    assert_eq!(wire.codes(), [200, 413]);
    assert_eq!(wire.said, []);
}

// Rule: msrp.errors
#[test]
fn an_unknown_media_type_is_answered_with_415_unless_nobody_wants_to_hear_it() {
    let mut wire = Wire::new();
    wire.chunk(None, "x", Continuation::Last, |request| request.content_type = Some("image/png".into()));
    assert_eq!(wire.codes(), [415]);
    wire.chunk(None, "x", Continuation::Last, |request| {
        request.content_type = Some("image/png".into());
        request.failure_report = FailureReport::No;
    });
    assert_eq!(wire.codes(), [0; 0]);
    wire.chunk(None, "x", Continuation::Last, |request| {
        request.content_type = Some("Text/Plain; charset=UTF-8".into());
    });
    assert_eq!(wire.codes(), [200]);
    assert_eq!(wire.said.len(), 1);
}
