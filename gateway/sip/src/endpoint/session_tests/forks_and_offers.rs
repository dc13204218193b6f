//! Several answers to one INVITE, offers that meet, session timers.

use super::*;

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
