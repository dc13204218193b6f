//! One call from INVITE to BYE, and the ways in which it does not get there.

use super::*;

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

// RFC 3261 section 9.2
#[test]
fn a_cancel_behind_the_2xx_has_no_effect_and_is_answered_with_the_same_tag() {
    let mut pair = Pair::new(TransportKind::Udp);
    pair.call();
    let Ok(Datagram::Message(Message::Request(mut cancel))) = parse_datagram(pair.wire[0].1.clone()) else { panic!() };
    cancel.method = Method::Cancel;
    let number = cancel.headers.cseq().unwrap().number;
    cancel.headers.set(HeaderName::CSeq, HeaderValue::new(format!("{number} CANCEL")).unwrap());
    cancel.body = Bytes::new();
    pair.deliver();
    let callee = pair.invited()[0];
    pair.accept(CALLEE, callee).unwrap();
    let to_tag = |bytes: Bytes| {
        let Ok(Datagram::Message(message)) = parse_datagram(bytes) else { panic!() };
        message.headers().get(&HeaderName::To).cloned()
    };
    let accepted = to_tag(pair.wire[0].1.clone());
    let input = Input::Received { message: Message::Request(cancel), source: pool_source() };
    let out = step(&mut pair.ends[CALLEE].endpoint, input, pair.now);
    let [Output::Send { bytes, .. }] = &out[..] else { panic!("{out:?}") };
    assert!(bytes.starts_with(b"SIP/2.0 200 "), "{bytes:?}");
    assert_eq!(to_tag(bytes.clone()), accepted);
    pair.deliver();
    assert_eq!(pair.heard(CALLEE, callee), ["Invited", "Acknowledged"]);
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
