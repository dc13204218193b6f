//! What a gateway that stops, or has too much to do, says to whom (RFC 3261 section 21.5.4).

use std::time::Duration;

use super::tests::{
    GATEWAY, POOL, codes, endpoint, incoming, incoming_text, outgoing, parse, refusal, responses, source, step,
    transaction,
};
use super::*;
use crate::header::{HeaderName, HeaderValue};
use crate::limits::{MAX_CLIENT_TRANSACTIONS, MAX_UNANSWERED, TRANSACTION_PATIENCE};
use crate::method::Status;
use crate::target::TransportKind;

fn retry_after(out: &[Output]) -> Option<u32> {
    responses(out).first().and_then(|response| response.headers.retry_after().ok().flatten())
}

/// One of many MESSAGEs that are the same but for their transaction.
fn numbered(like: &Request, number: usize) -> Input {
    let mut request = like.clone();
    let via = format!("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK{number}");
    request.headers.set(HeaderName::Via, HeaderValue::new(via).unwrap());
    request.headers.set(HeaderName::CallId, HeaderValue::new(format!("c{number}")).unwrap());
    Input::Received { message: Message::Request(request), source: source(TransportKind::Udp, POOL) }
}

fn request(method: &str) -> Request {
    match incoming(method, "") {
        Input::Received { message: Message::Request(request), .. } => request,
        other => panic!("{other:?}"),
    }
}

// Rule: sip.options.drain
#[test]
fn a_draining_endpoint_refuses_all_that_would_begin_something() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    endpoint.drain();
    for method in ["OPTIONS", "MESSAGE", "SUBSCRIBE", "INVITE"] {
        let out = step(&mut endpoint, incoming(method, "Event: presence\r\n"), now);
        assert_eq!((codes(&out), retry_after(&out)), (vec![503], Some(10)), "{method}");
    }
    let out = step(&mut endpoint, incoming("MESSAGE", ""), now);
    assert_eq!(refusal(&out), Some(&Refusal::Draining));
}

// Rule: sip.options.drain
#[test]
fn a_draining_endpoint_goes_on_with_what_is_under_way() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    let pending = transaction(&step(&mut endpoint, incoming("MESSAGE", ""), now));
    endpoint.drain();
    assert_eq!(codes(&step(&mut endpoint, incoming("MESSAGE", ""), now)), [0_u16; 0]);
    let mut out = Vec::new();
    endpoint.respond(pending, Response::to(&request("MESSAGE"), Status::ACCEPTED), now, &mut out);
    assert_eq!(codes(&out), [202]);
    for method in ["SUBSCRIBE", "NOTIFY"] {
        transaction(&step(&mut endpoint, incoming_text(method, "taggedEvent: presence\r\n"), now));
    }
    assert_eq!(codes(&step(&mut endpoint, incoming("CANCEL", ""), now)), [200]);
}

// Rule: sip.overload
#[test]
fn beyond_the_bound_new_requests_hear_503_and_dialogs_go_on() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    let message = request("MESSAGE");
    let numbered = |number| numbered(&message, number);
    let mut waiting: Vec<_> =
        (0..MAX_UNANSWERED).map(|number| transaction(&step(&mut endpoint, numbered(number), now))).collect();
    let out = step(&mut endpoint, numbered(MAX_UNANSWERED), now);
    assert_eq!((codes(&out), retry_after(&out)), (vec![503], Some(5)));
    assert_eq!(refusal(&out), Some(&Refusal::Overload));
    let out = step(&mut endpoint, incoming("OPTIONS", ""), now);
    assert_eq!((codes(&out), retry_after(&out)), (vec![503], Some(5)));
    waiting.push(transaction(&step(&mut endpoint, incoming_text("NOTIFY", "taggedEvent: presence\r\n"), now)));
    // Each answer makes room, as does silence until nobody waits any more.
    for transaction in waiting.drain(..2) {
        endpoint.respond(transaction, Response::to(&message, Status::OK), now, &mut Vec::new());
    }
    transaction(&step(&mut endpoint, numbered(MAX_UNANSWERED), now));
    assert_eq!(codes(&step(&mut endpoint, numbered(MAX_UNANSWERED + 1), now)), [503]);
    for wait in [Duration::from_secs(4), TRANSACTION_PATIENCE, TRANSACTION_PATIENCE] {
        step(&mut endpoint, Input::DeadlinePassed, now + wait);
    }
    assert_eq!(endpoint.unanswered, 0);
}

// Rule: sip.overload
#[test]
fn an_answered_request_of_ours_that_only_waits_for_its_timer_makes_room_for_a_new_one() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    let (mut out, mut first) = (Vec::new(), None);
    let mut ask = |endpoint: &mut Endpoint| {
        out.clear();
        endpoint.request(outgoing(TransportKind::Udp, POOL), now, &mut out);
        match out.pop() {
            Some(Output::Send { bytes, .. }) => Some(bytes),
            _ => None,
        }
    };
    for _ in 0..MAX_CLIENT_TRANSACTIONS {
        let sent = ask(&mut endpoint);
        first = first.or(sent);
    }
    assert_eq!(ask(&mut endpoint), None);

    let Message::Request(answered) = parse(&first.unwrap()) else { panic!("no request was sent") };
    let message = Message::Response(Response::to(&answered, Status::OK));
    let response = || Input::Received { message: message.clone(), source: source(TransportKind::Udp, POOL) };
    assert!(matches!(step(&mut endpoint, response(), now)[..], [Output::Event(Event::Response { .. })]));

    assert!(ask(&mut endpoint).is_some());
    assert_eq!((ask(&mut endpoint), endpoint.transactions().0), (None, MAX_CLIENT_TRANSACTIONS));
    // Its response may come again, and belongs to nobody then.
    assert_eq!(refusal(&step(&mut endpoint, response(), now)), Some(&Refusal::StrayResponse));
}

// Rule: sip.dos
#[test]
fn a_flood_of_strangers_is_not_answered_with_a_flood() {
    let (mut endpoint, now) = (endpoint(GATEWAY), Instant::now());
    let mut stranger = |now| {
        let Input::Received { message, mut source } = incoming("INVITE", "") else { unreachable!() };
        source.peer = None;
        codes(&step(&mut endpoint, Input::Received { message, source }, now)).len()
    };
    assert_eq!((0..1000).map(|_| stranger(now)).sum::<usize>(), 100);
    assert_eq!(stranger(now + Duration::from_secs(1)), 1);
    assert_eq!(endpoint.transactions(), (0, 0));
}
