//! Every bound of the switch, reached.

use super::*;
use crate::msrp::session::{CHUNK, MAX_CHUNKS};

// Rule: msrp.bounds
#[test]
fn only_so_many_connections_may_be_of_no_known_use() {
    let mut bench = Bench::new();
    for _ in 0..MAX_UNBOUND {
        bench.accept();
    }
    assert_eq!(bench.out, []);
    let refused = bench.accept();
    assert!(bench.closes(refused));
    bench.wait(BIND_PATIENCE);
    assert_eq!((bench.switch.connections(), bench.switch.deadline()), (0, None));
    let connection = bench.accept();
    assert!(!bench.closes(connection));
}

// Rule: msrp.bounds
#[test]
fn only_so_many_connections_may_come_from_one_address() {
    let mut bench = Bench::new();
    for number in 0..MAX_CONNECTIONS_PER_PEER {
        bench.bound(number as u16);
    }
    let refused = bench.accept();
    assert!(bench.closes(refused));
    let other = Peer { remote: "192.0.2.2:1".parse().unwrap(), is_secure: false, certificate: None };
    let taken = bench.accept_from(other);
    assert!(!bench.closes(taken));
    bench.out.clear();
    let (session, _) = bench.open(5000, true);
    let connection = bench.connected();
    assert_eq!(bench.events(), [(session, ended(Ended::NoRoom))]);
    assert!(bench.closes(connection));
}

// Rule: msrp.bounds
#[test]
fn a_connection_takes_only_so_many_sessions() {
    let mut bench = Bench::new();
    let (_, _, connection) = bench.bound(0);
    for number in 1..=MAX_SESSIONS_PER_CONNECTION {
        let (_, own) = bench.open(number as u16, false);
        let answer = bench.say(connection, &send(&own, number as u16, "aaaa", ""));
        let expected =
            if number < MAX_SESSIONS_PER_CONNECTION { "MSRP aaaa 200 OK" } else { "MSRP aaaa 403 Forbidden" };
        assert_eq!(answer, [expected]);
    }
}

// Rule: msrp.bounds
#[test]
fn there_are_only_so_many_sessions() {
    let mut bench = Bench::new();
    for _ in 0..MAX_SESSIONS {
        assert!(bench.switch.reserve(false, bench.now).is_some());
    }
    assert_eq!(bench.switch.reserve(false, bench.now), None);
    let none = SwitchConfig { tls_port: None, ..config() };
    assert_eq!(Bench::with(none).switch.reserve(true, bench.now), None, "there is no listener under TLS");
}

// Rule: msrp.bounds
#[test]
fn what_is_no_msrp_ends_the_connection() {
    let mut bench = Bench::new();
    let (session, _, connection) = bench.bound(1);
    bench.say(connection, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(bench.events(), [(session, ended(Ended::Violation))]);
    assert!(bench.closes(connection));
}

// Rule: msrp.bounds, msrp.errors
#[test]
fn an_endless_chunk_is_refused_and_then_cut_off() {
    let mut bench = Bench::new();
    let (session, own, connection) = bench.bound(1);
    let text = send(&own, 1, "aaaa", "x");
    let (head, _) = text.split_at(text.find("x\r\n--").unwrap());
    bench.say(connection, head);
    assert_eq!(bench.say(connection, &"x".repeat(MAX_SIZE + 100)), ["MSRP aaaa 413 Message Too Large"]);
    assert_eq!(bench.events(), []);
    let piece = "x".repeat(10_000);
    let mut sent = 0;
    while bench.switch.connections() > 0 {
        bench.say(connection, &piece);
        sent += piece.len();
        assert!(sent < 2 * MAX_AHEAD, "the connection is not closed");
    }
    assert_eq!(bench.events(), [(session, ended(Ended::Violation))]);
}

// Rule: msrp.errors
#[test]
fn who_stops_a_chunk_that_was_refused_keeps_its_connection() {
    let mut bench = Bench::new();
    let (_, own, connection) = bench.bound(1);
    let long = "x".repeat(MAX_SIZE + 1);
    let aborted = send(&own, 1, "aaaa", &long).replace("-------aaaa$", "-------aaaa#");
    assert_eq!(bench.say(connection, &aborted), ["MSRP aaaa 413 Message Too Large"]);
    assert_eq!(bench.say(connection, &send(&own, 1, "bbbb", "short")), ["MSRP bbbb 200 OK"]);
}

// Rule: msrp.bounds
#[test]
fn a_frame_that_does_not_end_in_time_ends_the_connection() {
    let mut bench = Bench::new();
    let (session, own, connection) = bench.bound(1);
    let text = send(&own, 1, "aaaa", "slow");
    let (first, last) = text.split_at(text.len() - 3);
    bench.say(connection, first);
    bench.wait(FRAME_PATIENCE - Duration::from_millis(1));
    assert_eq!(bench.say(connection, last), ["MSRP aaaa 200 OK"]);
    bench.say(connection, first);
    bench.wait(FRAME_PATIENCE / 2);
    assert_eq!(bench.events().len(), 1);
    bench.wait(FRAME_PATIENCE / 2);
    assert_eq!(bench.events(), [(session, ended(Ended::Violation))]);
}

// Rule: msrp.bounds
#[test]
fn a_peer_that_does_not_read_loses_its_connection() {
    let mut bench = Bench::new();
    let (session, own, connection) = bench.bound(1);
    let mut asked = 0;
    while bench.switch.connections() > 0 {
        bench.say(connection, &send(&own, 1, "aaaa", ""));
        asked += 1;
        assert!(asked < MAX_UNWRITTEN, "the connection is not closed");
    }
    assert_eq!(bench.events(), [(session, ended(Ended::Overrun))]);
}

// Rule: msrp.window
#[test]
fn a_long_message_leaves_room_for_others() {
    let mut bench = Bench::new();
    let (session, own, connection) = bench.bound(1);
    let long = vec![b'x'; CHUNK * (MAX_CHUNKS + 8)];
    bench.step(Input::Send { session, message: outgoing(1, &long) });
    bench.step(Input::Send { session, message: outgoing(2, b"short") });
    let text = bench.written();
    let transactions = |text: &str| -> Vec<String> {
        let starts = text.lines().filter(|line| line.starts_with("MSRP "));
        starts.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    let mut waiting = std::collections::VecDeque::from(transactions(&text));
    assert_eq!(waiting.len(), MAX_CHUNKS);
    let mut chunks = waiting.len();
    while let Some(transaction) = waiting.pop_front() {
        bench.say(
            connection,
            &format!(
                "MSRP {transaction} 200 OK\r\nTo-Path: {own}\r\nFrom-Path: {}\r\n-------{transaction}$\r\n",
                peer_path(false, 1)
            ),
        );
        let more = transactions(&bench.written());
        assert!(more.len() <= 1);
        chunks += more.len();
        waiting.extend(more);
    }
    assert_eq!(chunks, MAX_CHUNKS + 9);
    let sent = |token| (session, Event::Sent { token, result: Ok(()) });
    assert_eq!(bench.events(), [sent(1), sent(2)]);
}

// Rule: msrp.window
#[test]
fn sessions_that_share_a_slow_connection_take_turns() {
    let mut bench = Bench::new();
    let (one, _) = bench.open(1, true);
    let connection = bench.connected();
    let (other, _) = bench.open(1, true);
    bench.written();
    bench.events();
    // Nobody answers these, so only the socket paces them.
    let message = |token: u64| Outgoing {
        failure_report: crate::msrp::message::FailureReport::No,
        body: vec![b'x'; CHUNK * 40].into(),
        ..outgoing(token, b"")
    };
    for token in 0..4 {
        bench.step(Input::Send { session: one, message: message(token) });
        bench.step(Input::Send { session: other, message: message(10 + token) });
    }
    let mut order = Vec::new();
    for _ in 0..100 {
        let bytes = bench.written().len();
        assert!(bytes <= HIGH_WATER + MAX_CHUNKS * (CHUNK + 512), "{bytes} bytes at once");
        if bytes == 0 {
            break;
        }
        bench.step(Input::Written { connection, bytes });
        order.extend(bench.events().into_iter().map(|(session, _)| session));
    }
    assert_eq!(order.len(), 8, "all were sent");
    assert!(order[..4].contains(&one) && order[..4].contains(&other), "{order:?}");
}
