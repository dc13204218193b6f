//! What belongs to messages and is none, in the engine: chat states, receipts, markers, notifications.

use super::messages::*;
use super::*;

// Rule: state.map, state.format
#[test]
fn typing_of_the_xmpp_user_becomes_a_status_message() {
    let mut rig = Rig::new();
    talk(&mut rig);
    let seq = state(&mut rig, BOB, "composing");
    assert_eq!(rig.finished(), [seq]);
    let request = rig.requests().remove(0);
    assert_eq!((request.method.as_str(), content_type(&request)), ("MESSAGE", STATUS));
    assert!(body(&request).contains("<state>active</state>"), "{}", body(&request));
    rig.answer(&request, Status::OK);
    state(&mut rig, BOB, "paused");
    assert!(body(&rig.requests()[0]).contains("<state>idle</state>"));
}

// Rule: state.map, state.no-repeat
#[test]
fn typing_of_the_sip_user_becomes_one_composing_however_often_it_is_said() {
    let mut rig = Rig::new();
    talk(&mut rig);
    for branch in ["c1", "c2", "c3"] {
        types(&mut rig, "bob@fabrikam.example", branch, "active");
        assert_eq!(rig.statuses(), [202]);
        pass(&mut rig, 20);
    }
    assert_eq!(rig.out.stanzas.len(), 1);
    let composing = rig.stanza_ends(Outcome::Done);
    assert!(
        text(&composing).contains("<composing") && text(&composing).contains("type='chat'"),
        "{}",
        text(&composing)
    );
    assert!(!text(&composing).contains("<body"));
    assert_eq!(composing.to.as_str(), BOB);
    rig.sip_message("bob@fabrikam.example", "m1", "done");
    let message = rig.stanza_ends(Outcome::Done);
    assert!(text(&message).contains("<active"), "{}", text(&message));
}

// Rule: state.expiry, state.paused
#[test]
fn a_sip_user_who_falls_silent_has_paused() {
    let mut rig = Rig::new();
    talk(&mut rig);
    types(&mut rig, "bob@fabrikam.example", "c1", "active");
    rig.stanza_ends(Outcome::Done);
    assert!(rig.engine.deadline().is_some_and(|at| at <= rig.now.instant + Duration::from_secs(60)));
    pass(&mut rig, 61);
    assert!(text(&rig.stanza_ends(Outcome::Done)).contains("<paused"));
}

// Rule: state.refresh
#[test]
fn a_status_is_repeated_while_the_xmpp_user_types() {
    let mut rig = Rig::new();
    talk(&mut rig);
    state(&mut rig, BOB, "composing");
    for _ in 0..6 {
        let request = rig.requests().remove(0);
        assert!(body(&request).contains("active"), "{}", body(&request));
        rig.answer(&request, Status::OK);
        pass(&mut rig, 60);
    }
    let request = rig.requests().remove(0);
    assert!(body(&request).contains("idle"));
    rig.answer(&request, Status::OK);
    pass(&mut rig, 600);
    assert!(rig.requests().is_empty());
}

// Rule: state.415
#[test]
fn a_device_that_takes_no_status_gets_no_other() {
    let mut rig = Rig::new();
    talk(&mut rig);
    state(&mut rig, BOB, "composing");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::UNSUPPORTED_MEDIA_TYPE);
    assert!(rig.out.stanzas.is_empty());
    pass(&mut rig, 120);
    state(&mut rig, BOB, "paused");
    state(&mut rig, BOB, "composing");
    assert!(rig.requests().is_empty());
}

// Rule: state.support
#[test]
fn a_client_that_shows_no_states_hears_none() {
    let mut rig = Rig::new();
    rig.message(BOB, "hello");
    types(&mut rig, "bob@fabrikam.example", "c1", "active");
    assert_eq!(rig.out.stanzas.len(), 0);
    rig.sip_message("bob@fabrikam.example", "m1", "done");
    assert!(!text(&rig.stanza_ends(Outcome::Done)).contains(STATES));
}

// Rule: state.pending, message.one-at-a-time
#[test]
fn no_status_is_sent_while_a_message_is_under_way_and_what_holds_then_is_sent_afterwards() {
    let mut rig = Rig::new();
    talk(&mut rig);
    rig.message(BOB, "one");
    let message = rig.requests().remove(0);
    state(&mut rig, BOB, "composing");
    state(&mut rig, BOB, "paused");
    state(&mut rig, BOB, "composing");
    pass(&mut rig, 3);
    assert!(rig.requests().is_empty());
    rig.answer(&message, Status::OK);
    assert!(rig.requests().is_empty(), "none has waited");
    pass(&mut rig, 3);
    let requests = rig.requests();
    assert!(requests.len() == 1 && body(&requests[0]).contains("<state>active</state>"), "{requests:?}");
    // He stops before that is answered: she must not see him write for another minute.
    state(&mut rig, BOB, "paused");
    assert!(rig.requests().is_empty());
    rig.answer(&requests[0], Status::OK);
    pass(&mut rig, 1);
    let requests = rig.requests();
    assert!(requests.len() == 1 && body(&requests[0]).contains("<state>idle</state>"), "{requests:?}");
    rig.answer(&requests[0], Status::OK);
    pass(&mut rig, 600);
    assert!(rig.requests().is_empty());
}

// Rule: state.pending, message.one-at-a-time
#[test]
fn a_message_waits_for_the_answer_to_a_status() {
    let mut rig = Rig::new();
    talk(&mut rig);
    state(&mut rig, BOB, "composing");
    let status = rig.requests().remove(0);
    rig.message(BOB, "one");
    assert!(rig.requests().is_empty());
    rig.answer(&status, Status::TEMPORARILY_UNAVAILABLE);
    assert_eq!(body(&rig.requests()[0]), "one");
    assert!(rig.out.stanzas.is_empty(), "a status is no message");
}

// Rule: state.silent, type.x9
#[test]
fn states_without_a_conversation_end_without_a_word() {
    let mut rig = Rig::new();
    for from in [BOB, EVE] {
        let seq = state(&mut rig, from, "composing");
        assert_eq!((rig.finished(), rig.requests().len(), rig.out.stanzas.len()), (vec![seq], 0, 0), "{from}");
    }
    types(&mut rig, "bob@fabrikam.example", "c1", "active");
    assert_eq!((rig.statuses(), rig.out.stanzas.len()), (vec![202], 0));
}

// Rule: type.s5, state.silent
#[test]
fn an_unverified_partners_user_whom_she_has_removed_does_not_see_her_type() {
    for (is_added, seen) in [(true, 1), (false, 0)] {
        let mut rig = Rig::new();
        choose(&mut rig, |messages| messages.unverified_reply_window_ms = 600_000);
        befriend(&mut rig, "eve@wingtip.example", |pair| {
            if is_added {
                pair.outbound.authorisation = crate::presence::record::OutAuthorisation::To;
            }
        });
        rig.sip_message("eve@wingtip.example", "m1", "hi");
        rig.stanza_ends(Outcome::Done);
        say(&mut rig, EVE, &format!("type='chat' id='t1'><body>hello</body><active xmlns='{STATES}'/>"));
        types(&mut rig, "eve@wingtip.example", "c1", "active");
        assert_eq!(rig.out.stanzas.len(), seen, "{is_added}");
    }
}

// Rule: receipt.from-200, receipt.id
#[test]
fn a_200_is_a_receipt_for_who_may_see_her_and_nothing_else_is() {
    let ask = "type='chat' id='m7'><body>hello</body><request xmlns='urn:xmpp:receipts'/>";
    let receipts = |is_authorised: bool, rest: &str, status: Status, is_on: bool| {
        let mut rig = Rig::new();
        choose(&mut rig, |messages| messages.receipts_from_200 = is_on);
        if is_authorised {
            authorise(&mut rig);
        }
        let seq = say(&mut rig, BOB, rest);
        let request = rig.requests().remove(0);
        rig.answer(&request, status);
        assert_eq!(rig.finished(), [seq]);
        rig.out.stanzas.iter().map(text).collect::<Vec<_>>()
    };
    let receipt = "<message xmlns='jabber:server' from='alice@contoso.example' to='bob@fabrikam.example/desk'>\
                   <received xmlns='urn:xmpp:receipts' id='m7'/></message>";
    assert_eq!(receipts(true, ask, Status::OK, true), [receipt]);
    assert_eq!(receipts(true, ask, Status::ACCEPTED, true), [""; 0]);
    assert_eq!(receipts(false, ask, Status::OK, true), [""; 0]);
    assert_eq!(receipts(true, ask, Status::OK, false), [""; 0]);
    let unasked = "type='chat' id='m7'><body>hello</body>";
    assert_eq!(receipts(true, unasked, Status::OK, true), [""; 0]);
    let nameless = "type='chat'><body>hello</body><request xmlns='urn:xmpp:receipts'/>";
    assert_eq!(receipts(true, nameless, Status::OK, true), [""; 0]);
}

/// A message of alice in CPIM that asks for everything.
fn wrapped(rig: &mut Rig) {
    let body = "From: <im:alice@contoso.example>\nTo: <im:mallory@elsewhere.example>\nDateTime: 2006-04-04T12:16:49-05:00\n\
                NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: 34jk324j\n\
                imdn.Disposition-Notification: positive-delivery, negative-delivery, display\n\
                imdn.IMDN-Record-Route: <sip:relay@contoso.example>\n\nContent-Type: text/plain\n\nLunch?";
    from_alice(rig, "bob@fabrikam.example", "w1", "Content-Type: message/cpim\n", body);
}

// Rule: cpim.read, imdn.read, receipt.asked
#[test]
fn a_wrapped_message_asks_for_a_receipt_by_its_own_id_and_goes_where_sip_says() {
    let mut rig = Rig::new();
    wrapped(&mut rig);
    let stanza = rig.stanza_ends(Outcome::Done);
    assert_eq!((stanza.to.as_str(), rig.statuses()), ("bob@fabrikam.example", vec![202]));
    let xml = text(&stanza);
    assert!(xml.contains("id='34jk324j'") && xml.contains("<body>Lunch?</body>"), "{xml}");
    assert!(xml.contains("<request xmlns='urn:xmpp:receipts'/>") && !xml.contains("markable"), "{xml}");
    assert!(xml.contains("stamp='2006-04-04T17:16:49Z'"), "{xml}");
    // A message that asks for nothing gets no request.
    rig.sip_message("bob@fabrikam.example", "m1", "hi");
    assert!(!text(&rig.stanza_ends(Outcome::Done)).contains("receipts"));
}

// Rule: imdn.write, imdn.route, imdn.no-loop
#[test]
fn a_receipt_becomes_one_notification_that_follows_the_route_and_asks_for_nothing() {
    let mut rig = Rig::new();
    wrapped(&mut rig);
    rig.stanza_ends(Outcome::Done);
    rig.sent();
    let received = "><received xmlns='urn:xmpp:receipts' id='34jk324j'/>";
    let seq = say(&mut rig, BOB, received);
    assert_eq!(rig.finished(), [seq]);
    let request = rig.requests().remove(0);
    assert_eq!((request.uri.as_str(), content_type(&request)), ("sip:relay@contoso.example", "message/cpim"));
    assert_eq!(request.headers.to().unwrap().uri.as_str(), "sip:alice@contoso.example");
    let notification = body(&request);
    assert!(notification.contains("<message-id>34jk324j</message-id>"), "{notification}");
    assert!(notification.contains("<datetime>2006-04-04T12:16:49-05:00</datetime>"), "{notification}");
    assert!(notification.contains("<status><delivered/></status>"), "{notification}");
    assert!(notification.contains("imdn.IMDN-Route: <sip:relay@contoso.example>"), "{notification}");
    assert!(!notification.contains("Disposition-Notification"), "{notification}");
    rig.answer(&request, Status::OK);
    say(&mut rig, BOB, received);
    say(&mut rig, BOB, "><received xmlns='urn:xmpp:receipts' id='other'/>");
    assert!(rig.requests().is_empty());
}

// Rule: imdn.route
#[test]
fn a_route_that_leads_elsewhere_is_written_down_and_not_followed() {
    for elsewhere in ["sip:relay@elsewhere.example", "sips:relay@contoso.example", "im:relay@contoso.example", "x"] {
        let mut rig = Rig::new();
        let asking = format!(
            "NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: m1\nDateTime: 2030-01-15T09:30:00Z\n\
             imdn.Disposition-Notification: positive-delivery\nimdn.IMDN-Record-Route: <{elsewhere}>\n\n\
             Content-Type: text/plain\n\nLunch?"
        );
        from_alice(&mut rig, "bob@fabrikam.example", "w1", "Content-Type: message/cpim\n", &asking);
        rig.stanza_ends(Outcome::Done);
        rig.sent();
        say(&mut rig, BOB, "><received xmlns='urn:xmpp:receipts' id='m1'/>");
        let request = rig.requests().remove(0);
        assert_eq!(request.uri.as_str(), "sip:alice@contoso.example", "{elsewhere}");
        assert!(body(&request).contains(&format!("imdn.IMDN-Route: <{elsewhere}>")), "{}", body(&request));
    }
}

// Rule: imdn.no-loop
#[test]
fn a_notification_of_sip_is_taken_and_causes_none() {
    let mut rig = Rig::new();
    let imdn = "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>x</message-id><datetime>2030-01-15T09:30:00Z</datetime>\
                <delivery-notification><status><delivered/></status></delivery-notification></imdn>";
    let body = format!(
        "From: <im:a@b>\nNS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: n1\nimdn.Disposition-Notification: positive-delivery\n\n\
         Content-Type: message/imdn+xml\nContent-Disposition: notification\n\n{imdn}"
    );
    from_alice(&mut rig, "bob@fabrikam.example", "n1", "Content-Type: message/cpim\n", &body);
    assert_eq!((rig.statuses(), rig.out.stanzas.len()), (vec![202], 0));
}

// Rule: marker.displayed
#[test]
fn displayed_is_carried_where_markers_are_in_use() {
    let displayed = "><displayed xmlns='urn:xmpp:chat-markers:0' id='34jk324j'/>";
    for is_on in [true, false] {
        let mut rig = Rig::new();
        choose(&mut rig, |messages| messages.markers = is_on);
        wrapped(&mut rig);
        let stanza = rig.stanza_ends(Outcome::Done);
        rig.sent();
        assert_eq!(text(&stanza).contains("<markable xmlns='urn:xmpp:chat-markers:0'/>"), is_on);
        say(&mut rig, BOB, displayed);
        let requests = rig.requests();
        assert_eq!(requests.len(), usize::from(is_on));
        assert!(requests.iter().all(|request| body(request).contains("<displayed/>")));
    }
}

const LATE: &str = "type='error' id='34jk324j'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

// Rule: imdn.negative, message.late-error, type.x12
#[test]
fn a_late_error_is_a_failure_for_who_asked_and_else_a_verdict() {
    let mut rig = Rig::new();
    wrapped(&mut rig);
    rig.stanza_ends(Outcome::Done);
    rig.sent();
    let seq = say(&mut rig, BOB, LATE);
    assert_eq!((rig.finished(), rig.out.stanzas.len(), rig.out.verdicts.len()), (vec![seq], 0, 0));
    let request = rig.requests().remove(0);
    assert!(body(&request).contains("<failed/>"), "{}", body(&request));
    rig.answer(&request, Status::OK);
    say(&mut rig, BOB, LATE);
    assert!(rig.requests().is_empty());
    assert_eq!(rig.out.verdicts.len(), 1);
    // What bounces without an id was a chat state or receipt of ours.
    say(&mut rig, BOB, &LATE.replace(" id='34jk324j'", ""));
    assert_eq!(rig.out.verdicts.len(), 1);
}

// Rule: imdn.negative, type.x12
#[test]
fn a_late_error_of_a_stranger_reaches_her_who_wrote_to_him() {
    let mut rig = Rig::new();
    let asking = "NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: 34jk324j\nDateTime: 2030-01-15T09:30:00Z\n\
                  imdn.Disposition-Notification: negative-delivery\n\nContent-Type: text/plain\n\nLunch?";
    from_alice(&mut rig, "eve@wingtip.example", "w1", "Content-Type: message/cpim\n", asking);
    rig.stanza_ends(Outcome::Done);
    rig.sent();
    say(&mut rig, EVE, LATE);
    assert!(body(&rig.requests()[0]).contains("<failed/>"));
}

// Rule: cpim.write, receipt.id
#[test]
fn a_wrapped_text_asks_the_device_and_its_notification_is_the_receipt() {
    let mut rig = Rig::new();
    authorise(&mut rig);
    choose(&mut rig, |messages| messages.cpim_to_pool = true);
    say(
        &mut rig,
        BOB,
        "type='chat' id='m 7'><body>hello</body><subject>S</subject><request xmlns='urn:xmpp:receipts'/>",
    );
    let request = rig.requests().remove(0);
    assert_eq!(content_type(&request), "message/cpim");
    let wrapping = crate::body::cpim::Message::read(&request.body).unwrap();
    assert_eq!((wrapping.content, wrapping.fields.subject.as_deref()), (&b"hello"[..], Some("S")));
    assert!(wrapping.fields.wishes.delivered && wrapping.fields.wishes.failed && !wrapping.fields.wishes.displayed);
    let message_id = wrapping.fields.message_id.unwrap();
    rig.answer(&request, Status::OK);
    assert!(rig.out.stanzas.is_empty(), "the device will say so itself");
    let imdn = format!(
        "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>{message_id}</message-id><datetime>2030-01-15T09:30:00Z</datetime>\
         <delivery-notification><status><delivered/></status></delivery-notification></imdn>"
    );
    for branch in ["n1", "n2"] {
        from_alice(&mut rig, "bob@fabrikam.example", branch, "Content-Type: message/imdn+xml\n", &imdn);
    }
    assert_eq!(rig.out.stanzas.len(), 1);
    let receipt = rig.stanza_ends(Outcome::Done);
    assert!(text(&receipt).contains("<received xmlns='urn:xmpp:receipts' id='m 7'/>"), "{}", text(&receipt));
    assert_eq!(receipt.to.as_str(), BOB);
}

// Rule: cpim.write
#[test]
fn a_failure_that_a_device_reports_is_an_error_with_the_messages_id() {
    let mut rig = Rig::new();
    choose(&mut rig, |messages| messages.cpim_to_pool = true);
    say(&mut rig, BOB, "type='chat' id='m7'><body>hello</body><request xmlns='urn:xmpp:receipts'/>");
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::OK);
    let imdn = "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>m7</message-id><datetime>2030-01-15T09:30:00Z</datetime>\
                <delivery-notification><status><failed/></status></delivery-notification></imdn>";
    from_alice(&mut rig, "bob@fabrikam.example", "n1", "Content-Type: message/imdn+xml\n", imdn);
    let error = rig.stanza_ends(Outcome::Done);
    assert!(text(&error).contains("type='error'") && text(&error).contains("id='m7'"), "{}", text(&error));
}

// Rule: cpim.write
#[test]
fn a_device_that_takes_no_wrapping_gets_the_text_alone_at_once_and_from_then_on() {
    let mut rig = Rig::new();
    choose(&mut rig, |messages| messages.cpim_to_pool = true);
    let ask = "type='chat' id='m7'><body>hello</body><request xmlns='urn:xmpp:receipts'/>";
    let seq = say(&mut rig, BOB, ask);
    let request = rig.requests().remove(0);
    rig.answer(&request, Status::UNSUPPORTED_MEDIA_TYPE);
    let plain = rig.requests().remove(0);
    assert_eq!((content_type(&plain), body(&plain)), ("text/plain;charset=UTF-8", "hello"));
    assert!(rig.finished().is_empty());
    rig.answer(&plain, Status::OK);
    assert_eq!((rig.finished(), rig.out.stanzas.len()), (vec![seq], 0));
    say(&mut rig, BOB, ask);
    assert_eq!(content_type(&rig.requests()[0]), "text/plain;charset=UTF-8");
}

// Rule: message.late-error
#[test]
fn an_error_for_what_nobody_wrote_tells_operators_nothing() {
    let mut rig = Rig::new();
    for from in ["bob@fabrikam.example/desk", "eve@wingtip.example/desk"] {
        let rest =
            "type='error' id='x'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        rig.stanza(StanzaKind::Message, from, "alice@contoso.example", rest);
        assert_eq!((rig.out.verdicts.len(), rig.out.stanzas.len()), (0, 0), "{from}");
    }
    assert_eq!(rig.finished(), [1, 2]);
}
