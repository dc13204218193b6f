//! What users and devices may try in a session that is there: speak for others, reach others, be slow, be silent.

use super::msrp::{called_over_msrp, rig as msrp_rig, send, transaction};
use super::*;

const TEXT: &str = "Content-Type: text/plain\n";

/// alice calls bob, and the session is open.
fn talking() -> (Rig, Response) {
    let mut rig = Rig::new();
    let answer = rig.called("c1", SDP);
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.sent();
    (rig, answer)
}

// Rule: session.policy
#[test]
fn a_request_uri_in_a_session_leads_to_nobody_but_its_user() {
    let (mut rig, answer) = talking();
    for (cseq, uri) in [(2, "sip:eve@wingtip.example;gr=desk"), (3, "sip:bob@elsewhere.example;gr=desk")] {
        rig.in_session_at(uri, &answer, cseq, "MESSAGE", TEXT, "hi");
        assert_eq!(rig.stanza_ends(Outcome::Done).to.as_str(), "bob@fabrikam.example", "{uri}");
    }
}

// Rule: session.policy
#[test]
fn whoever_has_taken_a_call_speaks_in_his_own_name_or_not_at_all() {
    let (mut rig, answer) = talking();
    for (cseq, user) in [(2, "alice@contoso.example"), (3, "dave@contoso.example")] {
        let headers = format!("P-Asserted-Identity: <sip:{user}>\n{TEXT}");
        rig.in_session(&answer, cseq, "MESSAGE", &headers, "hi");
        assert_eq!(rig.stanza_ends(Outcome::Done).from.bare_str(), user);
        assert_eq!(rig.statuses(), [200]);
    }
    for (cseq, rest) in [(4, "<sip:mallory@elsewhere.example>"), (5, "<sip:alice@contoso.example>\nPrivacy: id")] {
        rig.in_session(&answer, cseq, "MESSAGE", &format!("P-Asserted-Identity: {rest}\n{TEXT}"), "hi");
        assert_eq!((rig.statuses(), rig.out.stanzas.len()), (vec![403], 0), "{rest}");
    }
}

// Rule: session.policy
#[test]
fn a_user_who_loses_external_access_loses_his_sessions() {
    let (mut rig, _) = talking();
    rig.change(|settings| settings.access = crate::policy::access::ExternalAccess::default());
    assert_eq!(methods(&rig.requests()), ["BYE"]);
    rig.message(BOB, "still there?");
    assert!(rig.requests().is_empty());
}

// Rule: session.policy
#[test]
fn an_open_session_is_no_way_in_for_a_contact_who_was_not_added() {
    let mut rig = Rig::new();
    rig.receive_text(&format!(
        "INVITE sip:eve@wingtip.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKeve\nMax-Forwards: 70\n\
         From: <sip:alice@contoso.example>;tag=a\nTo: <sip:eve@wingtip.example>\nCall-ID: eve\nCSeq: 1 INVITE\n\
         Contact: <sip:alice@127.0.0.9;transport=tcp>\nContent-Type: application/sdp\nContent-Length: {}\n\n{}",
        SDP.len(),
        SDP.replace("\r\n", "\n")
    ));
    let Some(Message::Response(answer)) = rig.sent().pop() else { panic!("no answer") };
    rig.in_session(&answer, 1, "ACK", "", "");
    rig.message("eve@wingtip.example/desk", "hello");
    let composing = "type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>";
    rig.stanza(StanzaKind::Message, "eve@wingtip.example/desk", "alice@contoso.example", composing);
    rig.settle();
    assert!(rig.requests().is_empty());
}

/// alice calls bob once more with a text; returns the answer to her call and what else was sent.
fn calls_again(rig: &mut Rig, call_id: &str) -> (u16, Vec<Request>) {
    rig.invite(call_id, SDP);
    let (mut answer, mut requests) = (None, Vec::new());
    for message in rig.sent() {
        match message {
            Message::Response(response) => answer = Some(response),
            Message::Request(request) => requests.push(request),
        }
    }
    let answer = answer.unwrap();
    if answer.status == Status::OK {
        rig.in_session(&answer, 1, "ACK", "", "");
        rig.in_session(&answer, 2, "MESSAGE", TEXT, call_id);
        rig.stanza_ends(Outcome::Done);
        rig.sent();
    }
    rig.pass(Duration::from_secs(1));
    (answer.status.code(), requests)
}

// Rule: session.glare
#[test]
fn a_device_that_forgets_its_sessions_is_answered_in_the_one_where_it_spoke_last() {
    let mut rig = Rig::new();
    for call_id in ["c1", "c2", "c3", "c4"] {
        let (status, requests) = calls_again(&mut rig, call_id);
        assert_eq!((status, requests.len()), (200, 0));
    }
    let (status, requests) = calls_again(&mut rig, "c5");
    assert_eq!((status, methods(&requests)), (200, vec!["BYE"]));
    assert_eq!(requests[0].headers.call_id().unwrap().as_str(), "c1");
    rig.message(BOB, "hello");
    assert_eq!(rig.requests()[0].headers.call_id().unwrap().as_str(), "c5");
}

// Rule: session.queue
#[test]
fn one_caller_does_not_take_the_sessions_of_all() {
    let mut rig = Rig::new();
    let call = |rig: &mut Rig, user: &str, number: usize| {
        rig.receive_text(&format!(
            "INVITE sip:u{number}@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bK{user}{number}\n\
             Max-Forwards: 70\nFrom: <sip:{user}@contoso.example>;tag=a\nTo: <sip:u{number}@fabrikam.example>\n\
             Call-ID: {user}{number}\nCSeq: 1 INVITE\nContact: <sip:{user}@127.0.0.9;transport=tcp>\n\
             Content-Type: application/sdp\nContent-Length: {}\n\n{}",
            SDP.len(),
            SDP.replace("\r\n", "\n")
        ));
        rig.statuses().pop()
    };
    for number in 0..crate::engine::sessions::PER_CALLER {
        assert_eq!(call(&mut rig, "alice", number), Some(200));
    }
    assert_eq!(call(&mut rig, "alice", 9999), Some(486));
    assert_eq!(call(&mut rig, "dave", 0), Some(200));
}

// Rule: session.queue
#[test]
fn a_device_that_is_slow_with_each_text_does_not_keep_the_last_ones_waiting_for_ever() {
    let mut rig = Rig::lync();
    let (_, _, mut under_way) = rig.open("one");
    for text in ["two", "three", "four"] {
        rig.message(BOB, text);
    }
    for next in ["two", "three"] {
        rig.pass(Duration::from_secs(31));
        rig.answer(&under_way, Status::OK);
        under_way = rig.requests().remove(0);
        assert_eq!(body(&under_way), next);
    }
    assert_eq!(rig.finished(), [1, 2]);
    rig.pass(Duration::from_secs(2));
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("remote-server-timeout"), "{}", text(&error));
    rig.answer(&under_way, Status::OK);
    assert_eq!((rig.finished(), rig.engine.under_way()), (vec![4, 3], 0));
}

// Rule: session.reinvite
#[test]
fn each_description_of_a_session_has_a_version_of_its_own() {
    let (mut rig, answer) = talking();
    let version = |response: &Response| {
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        let origin = text.lines().find_map(|line| line.strip_prefix("o=")).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().to_owned()
    };
    assert_eq!(version(&answer), "1");
    let contact = "Contact: <sip:alice@127.0.0.9;transport=tcp>\n";
    for (cseq, expected) in [(2, "2"), (3, "3")] {
        rig.in_session(&answer, cseq, "INVITE", contact, "");
        let Some(Message::Response(offer)) = rig.sent().pop() else { panic!("no offer") };
        assert_eq!(version(&offer), expected);
        rig.in_session(&answer, cseq, "ACK", "Content-Type: application/sdp\n", SDP);
    }
}

// Rule: session.dangling
#[test]
fn what_waits_behind_a_text_on_a_stream_that_breaks_or_falls_silent_goes_another_way() {
    for is_broken in [true, false] {
        let mut rig = msrp_rig(SessionForm::Pager);
        let (_, _, connection) = called_over_msrp(&mut rig);
        rig.stanza_ends(Outcome::Done);
        rig.sent();
        rig.written();
        rig.message(BOB, "one");
        rig.message(BOB, "two");
        let written = rig.written();
        assert!(!transaction(&written).is_empty() && !written.contains("two"), "{written}");
        match is_broken {
            true => rig.stream(causeway_sip::msrp::switch::Input::Closed { connection }),
            false => rig.pass(Duration::from_secs(31)),
        }
        let requests = rig.requests();
        let message = requests.iter().find(|request| request.method == SipMethod::Message).unwrap();
        assert_eq!((body(message), message.uri.as_str()), ("two", "sip:alice@contoso.example"), "{is_broken}");
        assert!(requests.iter().any(|request| request.method == SipMethod::Bye), "{is_broken}");
        rig.answer(message, Status::OK);
        // Nobody knows whether the first one was read.
        assert!(text(&rig.stanza_ends(Outcome::Done)).contains("type='error'"));
        assert_eq!((rig.finished(), rig.engine.under_way()), (vec![2, 1], 0), "{is_broken}");
        assert!(rig.engine.sessions.is_empty());
    }
}

// Rule: msrp.session
#[test]
fn a_stream_that_pours_texts_is_told_that_some_do_not_pass_and_takes_no_more_room() {
    let mut rig = msrp_rig(SessionForm::Pager);
    let (_, own, connection) = called_over_msrp(&mut rig);
    for number in 0..100 {
        rig.bytes(connection, &send(&own, &format!("flood{number}"), "hi", ""));
    }
    assert_eq!(rig.out.stanzas.len(), 64);
    assert_eq!(rig.written().matches(" REPORT\r\n").count(), 37);
    rig.stanza_ends(Outcome::Done);
    rig.bytes(connection, &send(&own, "after", "hi", ""));
    assert_eq!(rig.out.stanzas.len(), 64);
}

// Rule: session.queue
#[test]
fn a_gateway_that_stops_lets_a_stream_hear_first_what_became_of_its_texts() {
    let mut rig = msrp_rig(SessionForm::Pager);
    called_over_msrp(&mut rig);
    rig.sent();
    let (now, mut out) = (rig.now, Outputs::default());
    rig.engine.drain(now, &mut out);
    assert!(out.sip.is_empty());
    rig.written();
    rig.stanza_ends(Outcome::Failed(Failure::new(StanzaCondition::RemoteServerTimeout, "no")));
    assert_eq!(methods(&rig.requests()), ["BYE"]);
    assert!(rig.written().contains(" REPORT\r\n"));
    assert_eq!(rig.engine.under_way(), 0);
}
