//! What a request does when a next hop fails (RFC 3263 section 4.3).

use std::time::Duration;

use super::tests::{GATEWAY, endpoint, message, parse, source, step};
use super::*;
use crate::header::{HeaderName, HeaderValue};
use crate::limits::{DEAD_TIME, TRANSACTION_PATIENCE};
use crate::method::Status;
use crate::target::TransportKind;

fn target(port: u16) -> Target {
    Target { transport: TransportKind::Udp, addr: ([10, 0, 0, 2], port).into(), name: None }
}

/// An endpoint with two next hops, and the time.
fn two_hops() -> (Endpoint, Instant) {
    let mut endpoint = endpoint(GATEWAY);
    endpoint.set_next_hops(vec![target(1), target(2)]);
    (endpoint, Instant::now())
}

fn ask(endpoint: &mut Endpoint, now: Instant) -> Vec<Output> {
    let mut out = Vec::new();
    endpoint.request_anywhere(message(), 7, None, now, &mut out);
    out
}

/// The port that the last request went to, and the request.
fn sent(out: &[Output]) -> (u16, Request) {
    let last = out.iter().rev().find_map(|output| match output {
        Output::Send { to: Destination::Target(target), bytes, .. } => Some((target.addr.port(), parse(bytes))),
        Output::Send { .. } | Output::Event(_) => None,
    });
    match last {
        Some((port, Message::Request(request))) => (port, request),
        other => panic!("{other:?}"),
    }
}

fn branch(request: &Request) -> Bytes {
    request.headers.get(&HeaderName::Via).unwrap().as_bytes().clone()
}

fn answer(request: &Request, status: Status, retry_after: Option<u32>) -> Input {
    let mut response = Response::to(request, status);
    if let Some(seconds) = retry_after {
        response.headers.push(HeaderName::RetryAfter, HeaderValue::from(seconds));
    }
    Input::Received { message: Message::Response(response), source: source(TransportKind::Udp, "10.0.0.2:1") }
}

/// Lets time pass up to `end`, deadline by deadline.
fn wait(endpoint: &mut Endpoint, end: Instant) -> Vec<Output> {
    let mut out = Vec::new();
    while let Some(at) = endpoint.deadline().filter(|at| *at <= end) {
        endpoint.handle(Input::DeadlinePassed, at, &mut out);
    }
    out
}

fn result(out: &[Output]) -> Option<Result<u16, Failure>> {
    out.iter().find_map(|output| match output {
        Output::Event(Event::Response { response, .. }) => Some(Ok(response.status.code())),
        Output::Event(Event::Failed { failure, .. }) => Some(Err(*failure)),
        Output::Event(_) | Output::Send { .. } => None,
    })
}

// Rule: sip.failover, sip.retry-after
#[test]
fn a_503_sends_the_request_to_the_next_target_with_a_branch_of_its_own() {
    let (mut endpoint, now) = two_hops();
    let (port, first) = sent(&ask(&mut endpoint, now));
    assert_eq!(port, 1);
    let (port, second) = sent(&step(&mut endpoint, answer(&first, Status::SERVICE_UNAVAILABLE, Some(60)), now));
    assert_eq!(port, 2);
    assert_ne!(branch(&first), branch(&second));
    assert_eq!(first.headers.cseq(), second.headers.cseq());
    assert_eq!(result(&step(&mut endpoint, answer(&second, Status::OK, None), now)), Some(Ok(200)));
    // The target is left alone for as long as it asked.
    assert_eq!(sent(&ask(&mut endpoint, now + Duration::from_secs(59))).0, 2);
    assert_eq!(sent(&ask(&mut endpoint, now + Duration::from_secs(60))).0, 1);
}

// Rule: sip.failover, sip.dead-targets
#[test]
fn a_target_out_of_reach_is_passed_over_until_it_is_tried_again() {
    let (mut endpoint, now) = two_hops();
    let out = ask(&mut endpoint, now);
    let Some(Output::Send { tag, .. }) = out.first() else { panic!("{out:?}") };
    assert_eq!(sent(&step(&mut endpoint, Input::Unsent { tag: *tag }, now)).0, 2);
    assert_eq!(sent(&ask(&mut endpoint, now)).0, 2);
    assert_eq!(sent(&ask(&mut endpoint, now + DEAD_TIME)).0, 1);
}

// Rule: sip.failover, sip.dead-targets
#[test]
fn a_target_that_says_nothing_at_all_is_taken_for_dead() {
    let (mut endpoint, now) = two_hops();
    ask(&mut endpoint, now);
    let out = wait(&mut endpoint, now + TRANSACTION_PATIENCE);
    assert_eq!((sent(&out).0, result(&out)), (2, None));
    assert_eq!(sent(&ask(&mut endpoint, now + TRANSACTION_PATIENCE)).0, 2);
    // Nor does the second one say anything: then it is over.
    let out = wait(&mut endpoint, now + TRANSACTION_PATIENCE * 2);
    assert_eq!(result(&out), Some(Err(Failure::Timeout)));
}

// Rule: sip.failover
#[test]
fn a_target_that_said_100_is_not_dead_and_the_request_not_sent_twice() {
    let (mut endpoint, now) = two_hops();
    let (_, request) = sent(&ask(&mut endpoint, now));
    step(&mut endpoint, answer(&request, Status::TRYING, None), now);
    let out = wait(&mut endpoint, now + TRANSACTION_PATIENCE);
    assert_eq!(result(&out), Some(Err(Failure::Timeout)));
    assert_eq!(sent(&ask(&mut endpoint, now + TRANSACTION_PATIENCE)).0, 1);
}

// Rule: sip.failover
#[test]
fn with_every_target_failed_the_last_answer_is_the_result() {
    let (mut endpoint, now) = two_hops();
    let (_, first) = sent(&ask(&mut endpoint, now));
    let (_, second) = sent(&step(&mut endpoint, answer(&first, Status::SERVICE_UNAVAILABLE, None), now));
    let out = step(&mut endpoint, answer(&second, Status::SERVICE_UNAVAILABLE, None), now);
    assert_eq!(result(&out), Some(Ok(503)));
    // Nobody is shut out for ever: with all of them dead, the first is asked.
    assert_eq!(sent(&ask(&mut endpoint, now)).0, 1);
}

// Rule: sip.failover
#[test]
fn any_other_refusal_is_an_answer() {
    for status in [500_u16, 480, 404, 600] {
        let (mut endpoint, now) = two_hops();
        let (_, request) = sent(&ask(&mut endpoint, now));
        let out = step(&mut endpoint, answer(&request, Status::new(status).unwrap(), None), now);
        assert_eq!(result(&out), Some(Ok(status)));
    }
}

#[test]
fn where_a_route_says_all_by_itself_no_other_target_is_tried() {
    let (mut endpoint, now) = two_hops();
    let mut out = Vec::new();
    endpoint.request_along(&"sip:10.0.0.9:9;lr".parse().unwrap(), message(), 7, None, now, &mut out);
    let (port, request) = sent(&out);
    assert_eq!(port, 9);
    let out = step(&mut endpoint, answer(&request, Status::SERVICE_UNAVAILABLE, None), now);
    assert_eq!(result(&out), Some(Ok(503)));
    let mut out = Vec::new();
    endpoint.request_along(&"sip:pool.example;lr".parse().unwrap(), message(), 8, None, now, &mut out);
    assert_eq!(sent(&out).0, 1);
}
