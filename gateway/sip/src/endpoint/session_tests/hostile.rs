//! What fits no session, floods, and targets that fail.

use super::*;

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

// Rule: sip.multipart, sip.type
#[test]
fn an_offer_within_a_multipart_body_reaches_the_user_and_what_is_not_understood_gets_415() {
    let invite = |part: &str| {
        let Input::Received { message: Message::Request(mut request), source } =
            incoming_text("INVITE", "Contact: <sip:a@10.0.0.2>\r\nContent-Type: multipart/mixed;boundary=b\r\n")
        else {
            unreachable!()
        };
        let body = format!("--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\n{part}\r\n\r\nx\r\n--b--\r\n");
        request.body = Bytes::from(body);
        let mut endpoint = session_endpoint(ADDRESSES[0], ADDRESSES[1], TransportKind::Udp);
        step(&mut endpoint, Input::Received { message: Message::Request(request), source }, Instant::now())
    };
    let out = invite("Content-Type: image/png\r\nContent-Disposition: icon;handling=optional");
    let Some(Output::Event(Event::Session { event: SessionEvent::Invited { request, .. }, .. })) = out.first() else {
        panic!("{out:?}")
    };
    assert!(request.headers.content_type().unwrap().unwrap().is("application", "sdp"));
    assert_eq!(request.body, "v=0");
    let out = invite("Content-Type: image/png");
    assert_eq!((codes(&out), refusal(&out)), (vec![415], Some(&Refusal::Body)));
}

// RFC 3261 section 8.2.2.2
// Rule: sip.merged
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

// Rule: sip.dos
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
// Rule: sip.failover
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

// Rule: sip.large
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
