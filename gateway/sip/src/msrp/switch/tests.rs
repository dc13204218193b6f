//! Connections and sessions by RFC 4975 sections 5.4, 6, 7.3, 10 and 14, RFC 6135 and RFC 8122.

use super::bench::{Bench, MAX_SIZE, config, outgoing, peer_path, request, send};
use super::*;
use crate::msrp::fingerprint::HashFunction;

fn ended(why: Ended) -> Event {
    Event::Ended(why)
}

// Rule: msrp.path
#[test]
fn our_uri_has_an_explicit_port_and_a_session_id_of_128_bits_of_its_own() {
    let mut switch = Switch::new(config(), IdSource::os());
    let mut uri = |is_secure| {
        let session = switch.reserve(is_secure, Instant::now()).unwrap();
        switch.stream(session, Setup::ActPass).unwrap()
    };
    let (one, other) = (uri(true), uri(false));
    assert_ne!(one.path[0].session_id(), other.path[0].session_id());
    assert_eq!(one.path[0].session_id().map(str::len), Some(26));
    assert!(one.path[0].as_str().starts_with("msrps://gw.example:2855/"), "{}", one.path[0]);
    assert!(other.path[0].as_str().starts_with("msrp://gw.example:2856/"), "{}", other.path[0]);
    assert_eq!((one.fingerprints.len(), other.fingerprints.len()), (1, 0), "without TLS there is no certificate");
    assert_eq!((one.max_size, one.setup), (Some(MAX_SIZE as u64), Some(Setup::ActPass)));
}

// Rule: msrp.bind, msrp.setup
#[test]
fn the_active_endpoint_sends_at_once_and_its_messages_follow() {
    let mut bench = Bench::new();
    let (session, own) = bench.open(1, true);
    bench.step(Input::Send { session, message: outgoing(7, b"hello") });
    let hop = Hop { is_secure: false, host: "192.0.2.1".into(), port: 7001 };
    assert!(matches!(&bench.out[..], [Output::Connect { to, .. }] if *to == hop), "{:?}", bench.out);
    bench.connected();
    assert_eq!(bench.events(), [(session, Event::Established)]);
    let text = bench.written();
    let (hello, message) = text.split_once("$\r\n").unwrap();
    assert!(hello.contains(&format!("SEND\r\nTo-Path: {}\r\nFrom-Path: {own}\r\n", peer_path(false, 1))), "{hello}");
    assert!(hello.contains("Byte-Range: 1-0/0") && !hello.contains("Content-Type"), "{hello}");
    assert!(message.contains("\r\n\r\nhello\r\n-------"), "{message}");
}

// Rule: msrp.bind
#[test]
fn the_first_send_binds_a_connection_and_no_other_connection_can_use_the_session() {
    let mut bench = Bench::new();
    let (session, own) = bench.open(1, false);
    let (one, other) = (bench.accept(), bench.accept());
    assert_eq!(bench.say(one, &send(&own, 1, "aaaa", "")), ["MSRP aaaa 200 OK"]);
    assert_eq!(bench.events(), [(session, Event::Established)]);
    assert_eq!(bench.say(other, &send(&own, 1, "bbbb", "intruder")), ["MSRP bbbb 506 Bound Elsewhere"]);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.say(one, &send(&own, 1, "cccc", "hi")), ["MSRP cccc 200 OK"]);
    assert!(matches!(&bench.events()[..], [(_, Event::Received { body, .. })] if body == "hi"));
}

// Rule: msrp.bind
#[test]
fn a_request_for_no_session_of_ours_is_answered_with_481_and_binds_nothing() {
    let mut bench = Bench::new();
    let (_, own) = bench.open(1, false);
    let connection = bench.accept();
    let guess = own.replace("2856/", "2856/x");
    let other_case = own.replace("2856/a", "2856/A");
    let other_host = own.replace("gw.example", "other.example");
    let relayed = format!("{own} {}", peer_path(false, 9));
    for to in [guess, other_case, other_host, relayed, own.replace("msrp:", "msrps:")] {
        let text = request("SEND", &to, &peer_path(false, 1), "aaaa", "Message-ID: m\r\n", "");
        assert_eq!(bench.say(connection, &text), ["MSRP aaaa 481 No Such Session"], "{to}");
    }
    let stranger = request("SEND", &own, &peer_path(false, 2), "aaaa", "Message-ID: m\r\n", "");
    assert_eq!(bench.say(connection, &stranger), ["MSRP aaaa 481 No Such Session"]);
    let other_method = request("NICKNAME", &own, &peer_path(false, 1), "aaaa", "", "");
    assert_eq!(bench.say(connection, &other_method), ["MSRP aaaa 481 No Such Session"], "only a SEND binds");
    assert_eq!(bench.events(), []);
    bench.wait(BIND_PATIENCE);
    assert!(bench.closes(connection));
}

// Rule: msrp.bind
#[test]
fn reports_are_never_answered_and_neither_is_who_wants_no_failures() {
    let mut bench = Bench::new();
    let connection = bench.accept();
    let (to, from) = ("msrp://gw.example:2856/nobody;tcp", peer_path(false, 1));
    let report = request("REPORT", to, &from, "aaaa", "Message-ID: m\r\nStatus: 000 200 OK\r\n", "");
    let silent = request("SEND", to, &from, "aaaa", "Message-ID: m\r\nFailure-Report: no\r\n", "");
    let partial = request("SEND", to, &from, "aaaa", "Message-ID: m\r\nFailure-Report: partial\r\n", "");
    assert_eq!((bench.say(connection, &report), bench.say(connection, &silent)), (vec![], vec![]));
    assert_eq!(bench.say(connection, &partial), ["MSRP aaaa 481 No Such Session"]);
}

// Rule: msrp.bind
#[test]
fn the_answer_goes_to_the_first_uri_of_the_way_back_on_the_same_connection() {
    let mut bench = Bench::new();
    let (_, own, connection) = bench.bound(1);
    bench.say(connection, &send(&own, 1, "aaaa", "hi"));
    let Some(Output::Write { connection: at, bytes }) =
        bench.out.iter().find(|out| matches!(out, Output::Write { .. }))
    else {
        panic!("{:?}", bench.out)
    };
    let expected =
        format!("MSRP aaaa 200 OK\r\nTo-Path: {}\r\nFrom-Path: {own}\r\n-------aaaa$\r\n", peer_path(false, 1));
    assert_eq!((*at, std::str::from_utf8(bytes).unwrap()), (connection, expected.as_str()));
}

// Rule: msrp.share
#[test]
fn sessions_to_the_same_host_port_and_scheme_share_a_connection() {
    let mut bench = Bench::new();
    let (one, _) = bench.open(1, true);
    let connection = bench.connected();
    let (other, _) = bench.open(1, true);
    assert!(!bench.out.iter().any(|out| matches!(out, Output::Connect { .. })), "{:?}", bench.out);
    assert_eq!(bench.events(), [(one, Event::Established), (other, Event::Established)]);
    bench.open(2, true);
    assert!(bench.out.iter().any(|out| matches!(out, Output::Connect { .. })), "another port");
    // It stays while one session needs it.
    bench.step(Input::Close { session: one });
    assert!(!bench.closes(connection));
    bench.step(Input::Close { session: other });
    assert!(bench.closes(connection));
}

// Rule: msrp.share
#[test]
fn an_accepted_connection_carries_several_sessions() {
    let mut bench = Bench::new();
    let (one, _, connection) = bench.bound(1);
    let (other, own) = bench.open(2, false);
    assert_eq!(bench.say(connection, &send(&own, 2, "aaaa", "hi")), ["MSRP aaaa 200 OK"]);
    assert_eq!(bench.events().len(), 2);
    bench.step(Input::Closed { connection });
    assert_eq!(bench.events(), [(one, ended(Ended::Lost)), (other, ended(Ended::Lost))]);
    assert_eq!((bench.switch.sessions(), bench.switch.connections()), (0, 0));
}

// Rule: msrp.failed
#[test]
fn a_connection_that_fails_fails_its_sessions_and_what_they_had_not_sent() {
    let mut bench = Bench::new();
    let (session, _, connection) = bench.bound(1);
    bench.step(Input::Send { session, message: outgoing(7, b"hello") });
    bench.step(Input::Closed { connection });
    let failed = Event::Sent { token: 7, result: Err(SendFailure::Closed) };
    assert_eq!(bench.events(), [(session, failed), (session, ended(Ended::Lost))]);
    bench.step(Input::Send { session, message: outgoing(8, b"hello") });
    assert_eq!(bench.events(), [(session, Event::Sent { token: 8, result: Err(SendFailure::Closed) })]);
    let (session, _) = bench.open(1, true);
    let Some(Output::Connect { connection, .. }) = bench.out.pop() else { panic!() };
    bench.step(Input::ConnectFailed { connection, fault: ConnectFault::Refused });
    assert_eq!(bench.events(), [(session, ended(Ended::Unreachable(ConnectFault::Refused)))]);
    assert_eq!((bench.switch.sessions(), bench.switch.connections(), bench.switch.deadline()), (0, 0, None));
}

// Rule: msrp.failed
#[test]
fn a_session_that_the_peer_does_not_know_or_has_elsewhere_is_over() {
    for (answer, why) in [("481 No Such Session", 481), ("506 Bound Elsewhere", 506)] {
        let mut bench = Bench::new();
        let (session, own) = bench.open(1, true);
        let connection = bench.connected();
        let text = bench.written();
        let transaction = text.split(' ').nth(1).unwrap();
        bench.say(
            connection,
            &format!(
                "MSRP {transaction} {answer}\r\nTo-Path: {own}\r\nFrom-Path: {}\r\n-------{transaction}$\r\n",
                peer_path(false, 1)
            ),
        );
        assert_eq!(bench.events(), [(session, Event::Established), (session, ended(Ended::Refused(why)))]);
        assert!(bench.closes(connection));
    }
}

// Rule: msrp.failed
#[test]
fn a_report_that_bytes_did_not_arrive_ends_the_session() {
    let mut bench = Bench::new();
    let (session, own, connection) = bench.bound(1);
    bench.step(Input::Send { session, message: outgoing(7, b"hello") });
    let lost = "Message-ID: id7\r\nByte-Range: 1-5/5\r\nStatus: 000 408 Timeout\r\n";
    bench.say(connection, &request("REPORT", &own, &peer_path(false, 1), "aaaa", lost, ""));
    let timeout = Event::Sent { token: 7, result: Err(SendFailure::Timeout) };
    assert_eq!(bench.events(), [(session, timeout), (session, ended(Ended::Refused(408)))]);
}

#[test]
fn whoever_connects_in_vain_or_never_connects_is_given_up_in_time() {
    let mut bench = Bench::new();
    let (session, _) = bench.open(1, false);
    let (other, _) = bench.open(2, true);
    bench.wait(crate::msrp::session::SETUP_PATIENCE);
    assert_eq!(bench.events(), [(session, ended(Ended::NoConnection)), (other, ended(Ended::NoConnection))]);
    assert!(bench.closes(ConnectionId::Opened(1)), "it is not needed any more");
    // It came up just then.
    bench.out.clear();
    let peer = Peer { remote: "192.0.2.1:7002".parse().unwrap(), is_secure: false, certificate: None };
    bench.step(Input::Connected { connection: ConnectionId::Opened(1), peer });
    assert!(bench.closes(ConnectionId::Opened(1)) && bench.switch.connections() == 0);
    let (session, _) = bench.reserve(false);
    bench.wait(RESERVE_PATIENCE);
    assert_eq!(bench.events(), [(session, ended(Ended::NeverOpened))]);
}

// Rule: msrp.setup
#[test]
fn a_peer_that_is_faster_than_its_answer_waits_for_it() {
    let mut bench = Bench::new();
    let (session, own) = bench.reserve(false);
    let connection = bench.accept();
    let text = send(&own, 1, "aaaa", "hi") + &send(&own, 1, "bbbb", "again");
    assert_eq!(bench.say(connection, &text), [""; 0]);
    bench.step(Input::Open { session, terms: Box::new(Bench::terms(false, 1, false)) });
    assert!(matches!(
        &bench.events()[..],
        [(_, Event::Established), (_, Event::Received { .. }), (_, Event::Received { .. })]
    ));
    assert!(!bench.closes(connection));
}

// Rule: msrp.setup, msrp.bounds
#[test]
fn a_peer_whose_answer_never_comes_hears_481() {
    let mut bench = Bench::new();
    let (_, _, connection) = bench.bound(1);
    let (session, own) = bench.reserve(false);
    assert_eq!(bench.say(connection, &send(&own, 2, "aaaa", "hi")), [""; 0]);
    bench.wait(ANSWER_RACE);
    assert!(bench.written().starts_with("MSRP aaaa 481 "));
    assert_eq!(bench.say(connection, &send(&own, 2, "bbbb", "hi")), [""; 0], "it may try again");
    bench.step(Input::Close { session });
    assert!(bench.written().starts_with("MSRP bbbb 481 "));
    assert_eq!(bench.switch.connections(), 1);
}

#[test]
fn a_path_that_contradicts_our_uri_opens_nothing() {
    let mut bench = Bench::new();
    let (session, _) = bench.open_with(true, Bench::terms(false, 1, true));
    assert_eq!(bench.events(), [(session, ended(Ended::BadPath))]);
    let mut terms = Bench::terms(false, 1, true);
    terms.peer.path.clear();
    let (session, _) = bench.open_with(false, terms);
    assert_eq!(bench.events(), [(session, ended(Ended::BadPath))]);
}

fn secure(remote: &str, certificate: Option<(&'static [u8], bool)>) -> Peer {
    let certificate =
        certificate.map(|(der, speaks_for_host)| Certificate { der: Bytes::from_static(der), speaks_for_host });
    Peer { remote: remote.parse().unwrap(), is_secure: true, certificate }
}

// Rule: msrp.tls
#[test]
fn whom_we_connect_to_has_the_announced_certificate_or_one_that_speaks_for_the_host() {
    let theirs = || vec![Fingerprint::of(b"theirs", HashFunction::Sha256)];
    for (announced, certificate, is_good) in [
        (theirs(), Some((&b"theirs"[..], false)), true),
        (theirs(), Some((&b"others"[..], true)), false),
        (theirs(), None, false),
        (vec![], Some((&b"any"[..], true)), true),
        (vec![], Some((&b"any"[..], false)), false),
        (vec![], None, false),
    ] {
        let mut bench = Bench::new();
        let mut terms = Bench::terms(true, 1, true);
        terms.peer.fingerprints = announced;
        let (session, _) = bench.open_with(true, terms);
        bench.out.clear();
        let connection = ConnectionId::Opened(1);
        bench.step(Input::Connected { connection, peer: secure("192.0.2.1:7001", certificate) });
        let expected = if is_good { Event::Established } else { ended(Ended::Unproven) };
        assert_eq!(bench.events(), [(session, expected)], "{certificate:?}");
        assert_eq!(bench.closes(connection), !is_good);
    }
}

// Rule: msrp.tls
#[test]
fn who_connects_to_us_has_the_announced_certificate_or_none_was_announced() {
    let theirs = || vec![Fingerprint::of(b"theirs", HashFunction::Sha256)];
    for (announced, certificate, is_good) in [
        (theirs(), Some((&b"theirs"[..], false)), true),
        (theirs(), Some((&b"others"[..], false)), false),
        (theirs(), None, false),
        (vec![], None, true),
    ] {
        let mut bench = Bench::new();
        let mut terms = Bench::terms(true, 1, false);
        terms.peer.fingerprints = announced;
        let (session, own) = bench.open_with(true, terms);
        let connection = bench.accept_from(secure("192.0.2.1:40000", certificate));
        bench.say(connection, &send(&own, 1, "aaaa", ""));
        let expected = if is_good { Event::Established } else { ended(Ended::Unproven) };
        assert_eq!(bench.events(), [(session, expected)], "{certificate:?}");
        assert_eq!(bench.closes(connection), !is_good);
    }
}

// Rule: msrp.tls
#[test]
fn a_session_under_tls_is_nothing_for_a_connection_without() {
    let mut bench = Bench::new();
    let (_, own) = bench.open_with(true, Bench::terms(true, 1, false));
    let connection = bench.accept();
    assert_eq!(bench.say(connection, &send(&own, 1, "aaaa", "")), ["MSRP aaaa 481 No Such Session"]);
    // And a connection that others share is not closed for one that does not fit to it.
    let good = bench.accept_from(secure("192.0.2.1:40001", Some((b"good", false))));
    bench.say(good, &send(&own, 1, "aaaa", ""));
    let mut terms = Bench::terms(true, 2, false);
    terms.peer.fingerprints = vec![Fingerprint::of(b"better", HashFunction::Sha256)];
    let (other, own) = bench.open_with(true, terms);
    bench.events();
    bench.say(good, &send(&own, 2, "bbbb", ""));
    assert_eq!(bench.events(), [(other, ended(Ended::Unproven))]);
    assert!(!bench.closes(good));
}

// Rule: msrp.tls, msrp.share
#[test]
fn a_connection_is_shared_only_if_its_certificate_is_the_one_of_both() {
    let mut bench = Bench::new();
    let open = |bench: &mut Bench, certificate: &[u8]| {
        let mut terms = Bench::terms(true, 1, true);
        terms.peer.fingerprints = vec![Fingerprint::of(certificate, HashFunction::Sha256)];
        bench.open_with(true, terms).0
    };
    let one = open(&mut bench, b"one");
    bench.step(Input::Connected {
        connection: ConnectionId::Opened(1),
        peer: secure("192.0.2.1:7001", Some((b"one", false))),
    });
    assert_eq!(bench.events(), [(one, Event::Established)]);
    bench.out.clear();
    let same = open(&mut bench, b"one");
    assert_eq!(bench.events(), [(same, Event::Established)]);
    open(&mut bench, b"two");
    assert!(matches!(bench.out[..], [Output::Write { .. }, Output::Connect { .. }]), "{:?}", bench.out);
}

#[test]
fn a_closed_session_fails_what_it_had_not_sent_and_says_so_once() {
    let mut bench = Bench::new();
    let (session, own, connection) = bench.bound(1);
    bench.step(Input::Send { session, message: outgoing(7, b"hello") });
    bench.step(Input::Close { session }).step(Input::Close { session }).step(Input::Closed { connection });
    let failed = Event::Sent { token: 7, result: Err(SendFailure::Closed) };
    assert_eq!(bench.events(), [(session, failed), (session, ended(Ended::Closed))]);
    assert!(bench.closes(connection));
    assert_eq!(bench.say(connection, &send(&own, 1, "aaaa", "")), [""; 0]);
}

// Rule: msrp.bounds
#[test]
fn a_silent_session_ends() {
    let mut bench = Bench::new();
    let (session, _, connection) = bench.bound(1);
    bench.wait(Duration::from_secs(600));
    assert_eq!(bench.events(), [(session, ended(Ended::Idle))]);
    assert!(bench.closes(connection));
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod bounds;
