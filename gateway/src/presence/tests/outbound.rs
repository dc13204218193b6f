//! The SIP user watches the XMPP user.

use super::*;

// RFC 8048 section 5.3.1; RFC 6665 section 4.2.2: pending carries expires.
// Rule: out.subscribe, out.subscribed, out.presence, out.headers, out.never-202
#[test]
fn a_subscribe_request_is_answered_notified_and_asked_of_bob() {
    let mut lab = Lab::new(FED);
    let out = lab.alice("c1", 1, 2000, None, "Record-Route: <sip:proxy.contoso.example;lr>\r\n");
    let ok = response(&out);
    assert_eq!((ok.status.code(), ok.headers.expires()), (200, Ok(Some(2000))));
    assert!(ok.headers.has(&HeaderName::RecordRoute) && ok.headers.to().unwrap().tag().is_some());
    assert_eq!(notifies(&out), [("pending;expires=2000".into(), String::new())]);
    assert_eq!(stanzas(&out), ["Subscribe -"]);
    let PairOutput::Notify { request, next_hop } = out.iter().find(|o| matches!(o, PairOutput::Notify { .. })).unwrap()
    else {
        panic!()
    };
    assert_eq!(next_hop.as_str(), "sip:proxy.contoso.example;lr");
    // RFC 6665 section 4.4.1: the notifier's own tag in From.
    assert_eq!(request.headers.from().unwrap().tag(), ok.headers.to().unwrap().tag());
    assert_eq!(request.headers.to().unwrap().tag().unwrap().as_str(), "al-c1");
    lab.confirm(&out);
    let out = lab.typed("subscribed");
    assert_eq!(notify_states(&out), ["active;expires=2000"]);
    lab.confirm(&out);
    let out = lab.bob("desk", "", "<show>away</show>");
    let [(state, body)] = &notifies(&out)[..] else { panic!("{out:?}") };
    assert_eq!(state, "active;expires=2000");
    let document = Document::read(body.as_bytes()).unwrap();
    assert_eq!((document.tuples[0].id.as_str(), document.tuples[0].show.as_deref()), ("ID-desk", Some("away")));
}

// Rule: out.subscribe.checks
#[test]
fn a_subscribe_request_that_cannot_be_served_is_refused() {
    for (expires, extra, expected, header) in [
        (3600, "Accept: application/xpidf+xml\r\n", 406, None),
        (3600, "Accept: text/*, application/*;q=0.5\r\n", 200, None),
        (30, "", 423, Some((HeaderName::MinExpires, "60"))),
        (3600, "Content-Type: nonsense\r\n", 200, None),
    ] {
        let out = Lab::new(FED).alice("c1", 1, expires, None, extra);
        assert_eq!(status(&out), expected, "{extra}");
        if let Some((name, value)) = header {
            assert_eq!(response(&out).headers.get(&name).and_then(HeaderValue::as_str), Some(value));
        }
    }
    let mut lab = Lab::new(FED);
    let mut other = request(
        "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TLS p;branch=z9hG4bK1\r\nFrom: <sip:alice@contoso.example>;tag=1\r\n\
         To: <sip:bob@fabrikam.example>\r\nCall-ID: x\r\nCSeq: 1 SUBSCRIBE\r\nEvent: dialog\r\nContent-Length: 0\r\n\r\n",
    );
    let out = lab.feed(PairInput::Subscribe(Box::new(other.clone())));
    assert_eq!((status(&out), response(&out).headers.has(&HeaderName::AllowEvents)), (489, true));
    other.headers.set(HeaderName::Event, HeaderValue::from_static("presence"));
    // No Contact: nowhere to send a NOTIFY.
    assert_eq!(status(&lab.feed(PairInput::Subscribe(Box::new(other)))), 400);
    assert_eq!(lab.pair, Lab::new(FED).pair);
    let ok = response(&Lab::new(FED).alice("c1", 1, 3600, None, ""));
    assert_eq!(status(&lab.alice("c1", 2, 3600, Some(&ok), "")), 481);
}

// Rule: out.unsubscribed, out.error.noresource, out.error.rejected, out.error.wait, out.error.rest, out.untouched, type.x4, type.x7
#[test]
fn what_bob_answers_decides_what_alice_hears() {
    let error = |kind: &str, condition: &str| {
        format!("<error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
    };
    for (attributes, inner, state, authorisation) in [
        (" type='unsubscribed'", String::new(), Some("terminated;reason=rejected"), OutAuthorisation::None),
        (
            " type='error'",
            error("cancel", "item-not-found"),
            Some("terminated;reason=noresource"),
            OutAuthorisation::None,
        ),
        (
            " type='error'",
            error("cancel", "remote-server-not-found"),
            Some("terminated;reason=noresource"),
            OutAuthorisation::None,
        ),
        (" type='error'", error("auth", "forbidden"), Some("terminated;reason=rejected"), OutAuthorisation::None),
        (" type='error'", error("wait", "remote-server-timeout"), None, OutAuthorisation::PendingOut),
        (" type='error'", error("wait", "internal-server-error"), None, OutAuthorisation::PendingOut),
        (
            " type='error'",
            error("cancel", "service-unavailable"),
            Some("terminated;reason=probation;retry-after=3600"),
            OutAuthorisation::None,
        ),
        (" type='subscribe'", String::new(), None, OutAuthorisation::PendingOut),
        (" type='unsubscribe'", String::new(), None, OutAuthorisation::PendingOut),
    ] {
        let mut lab = Lab::new(FED);
        let out = lab.alice("c1", 1, 3600, None, "");
        lab.confirm(&out);
        let out = lab.bob("", attributes, &inner);
        assert_eq!(notify_states(&out), state.into_iter().collect::<Vec<_>>(), "{attributes} {inner}");
        assert_eq!(lab.pair.outbound.authorisation, authorisation, "{attributes} {inner}");
        assert_eq!(lab.pair.outbound.dialogs.len(), usize::from(state.is_none()));
    }
}

// Rule: out.cool-down
#[test]
fn after_a_no_a_client_that_asks_at_each_login_cannot_pester_bob() {
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.typed("unsubscribed");
    let out = lab.alice("c2", 1, 3600, None, "");
    assert_eq!((status(&out), stanzas(&out)), (403, vec![]));
    lab.wait(COOL_DOWN_MS);
    assert_eq!(stanzas(&lab.alice("c3", 1, 3600, None, "")), ["Subscribe -"]);
}

// Rule: out.error.wait
#[test]
fn an_error_that_will_pass_is_tried_again() {
    let mut lab = Lab::new(FED);
    let out = lab.alice("c1", 1, 360_000, None, "");
    assert_eq!(response(&out).headers.expires(), Ok(Some(3600)));
    let PairOutput::Presence { serial, .. } = out.iter().find(|o| matches!(o, PairOutput::Presence { .. })).unwrap()
    else {
        panic!()
    };
    lab.feed(PairInput::PresenceOutcome {
        serial: *serial,
        failure: Some(StanzaCondition::RemoteServerTimeout),
        shown: Some(Vec::new()),
    });
    let retry = lab.pair.outbound.retry_at.unwrap();
    lab.now = retry;
    assert_eq!(stanzas(&lab.feed(PairInput::Due)), ["Subscribe -"]);
}

// RFC 8048 section 6.2 note 5; RFC 3856 section 6.8: full state each time.
// Rule: out.resources, out.subscribe.known
#[test]
fn a_device_that_goes_away_is_shown_closed_once() {
    let mut lab = Lab::new(FED);
    lab.watching();
    for device in ["desk", "phone"] {
        lab.wait(6_000);
        let out = lab.bob(device, "", "");
        lab.confirm(&out);
    }
    let tuples = |out: &[PairOutput]| {
        let (_, body) = notifies(out).remove(0);
        let document = Document::read(body.as_bytes()).unwrap();
        document.tuples.iter().map(|tuple| (tuple.id.clone(), tuple.basic.unwrap())).collect::<Vec<_>>()
    };
    lab.wait(6_000);
    let out = lab.bob("phone", " type='unavailable'", "");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Open), ("ID-phone".to_owned(), Basic::Closed)]);
    lab.confirm(&out);
    lab.wait(6_000);
    let out = lab.bob("desk", "", "<show>dnd</show>");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Open)]);
    lab.confirm(&out);
    lab.wait(6_000);
    let out = lab.bob("desk", " type='unavailable'", "");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Closed)]);
    lab.confirm(&out);
    // The last one stays as the proof that the state is known.
    let out = lab.alice("c2", 1, 3600, None, "");
    assert_eq!(tuples(&out), [("ID-desk".to_owned(), Basic::Closed)]);
    assert!(stanzas(&out).is_empty());
}

// RFC 6121 section 4.5.4.
// Rule: out.bare-unavailable
#[test]
fn unavailable_from_the_bare_address_closes_every_device() {
    let mut lab = Lab::new(FED);
    lab.watching();
    lab.bob("desk", "", "");
    lab.bob("phone", "", "");
    lab.bob("", " type='unavailable'", "");
    assert!(lab.pair.outbound.resources.iter().all(|resource| !resource.available));
}

// RFC 3856 section 6.10.
// Rule: out.pace
#[test]
fn changes_are_told_once_in_five_seconds_with_the_last_state() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let out = lab.bob("desk", "", "");
    assert_eq!(notifies(&out).len(), 1);
    lab.confirm(&out);
    for show in ["away", "dnd", "xa"] {
        lab.wait(500);
        assert!(notifies(&lab.bob("desk", "", &format!("<show>{show}</show>"))).is_empty());
    }
    let out = lab.due();
    assert_eq!(lab.now, T0 + 5_000);
    let [(_, body)] = &notifies(&out)[..] else { panic!() };
    assert!(body.contains(">xa</show>"), "{body}");
    lab.confirm(&out);
    // The same state again is no news.
    lab.wait(60_000);
    assert!(notifies(&lab.bob("desk", "", "<show>xa</show>")).is_empty());
}

#[test]
fn a_second_notify_waits_for_the_answer_to_the_first() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let first = lab.bob("desk", "", "");
    lab.wait(6_000);
    assert!(notifies(&lab.bob("desk", "", "<show>away</show>")).is_empty());
    let PairOutput::Notify { request, .. } = &first[0] else { panic!("{first:?}") };
    let out = lab.answer(request, 200, &[]);
    assert_eq!(notifies(&out).len(), 1);
}

// RFC 8048 section 5.3.3.
// Rule: out.logout, out.subscribe.known
#[test]
fn the_end_of_a_dialog_is_a_logout_and_the_authorisation_stays() {
    let mut lab = Lab::new(FED);
    let ok = lab.watching();
    let out = lab.bob("desk", "", "");
    lab.confirm(&out);
    let out = lab.alice("c1", 2, 0, Some(&ok), "");
    assert_eq!(status(&out), 200);
    let [(state, body)] = &notifies(&out)[..] else { panic!() };
    assert_eq!(state, "terminated;reason=timeout");
    assert!(body.contains("<basic>closed</basic>") && !body.contains("open"), "{body}");
    assert_eq!(stanzas(&out), Vec::<String>::new());
    assert_eq!(lab.pair.outbound.authorisation, OutAuthorisation::To);
    // Back again: no new `subscribe`, the cached state at once.
    let out = lab.alice("c9", 1, 3600, None, "");
    assert_eq!(stanzas(&out), Vec::<String>::new());
    assert!(notifies(&out)[0].1.contains("<basic>open</basic>"));
    // An older CSeq, and a dialog that is over.
    assert_eq!(status(&lab.alice("c1", 3, 3600, Some(&ok), "")), 481);
}

// Rule: out.logout.unavailable
#[test]
fn with_her_last_dialog_alice_is_gone_unless_our_subscription_knows_better() {
    for (pool_forgot, expected) in [(false, 0), (true, 1)] {
        let mut lab = Lab::new(FED);
        let ok = lab.watching();
        lab.authorised(&pidf(&[("desk", "open", "")]));
        if pool_forgot {
            lab.pair.inbound.dialog = InDialog::None;
        }
        let out = lab.alice("c1", 2, 0, Some(&ok), "");
        assert_eq!(stanzas(&out).len(), expected, "{out:?}");
    }
}

// RFC 8048 section 7.2.
// Rule: out.fetch, out.fetch.wait, type.s2
#[test]
fn a_fetch_shows_what_is_known_and_makes_no_authorisation() {
    let mut lab = Lab::new(FED);
    let out = lab.alice("f1", 1, 0, None, "");
    assert_eq!((status(&out), notifies(&out)), (200, vec![("terminated;reason=timeout".into(), String::new())]));
    assert!(stanzas(&out).is_empty() && lab.pair.is_blank());

    lab.watching();
    let out = lab.alice("f2", 1, 0, None, "");
    assert_eq!((notifies(&out).len(), stanzas(&out)), (0, vec!["Probe -".to_owned()]));
    let out = lab.bob("desk", "", "");
    assert!(notifies(&out).iter().any(|(state, body)| state == "terminated;reason=timeout" && body.contains("open")));

    let mut silent = Lab::new(FED);
    silent.watching();
    silent.alice("f2", 1, 0, None, "");
    let out = silent.due();
    assert_eq!((silent.now, notify_states(&out)), (T0 + 2_000, vec!["terminated;reason=timeout".to_owned()]));
}

// RFC 6665 section 4.2.2.
// Rule: out.notify-failed
#[test]
fn a_notify_that_fails_for_good_ends_the_dialog() {
    for (code, ends) in [(481, true), (404, true), (489, true), (480, true), (500, false), (503, false), (401, false)] {
        let mut lab = Lab::new(FED);
        let out = lab.alice("c1", 1, 3600, None, "");
        let PairOutput::Notify { request, .. } = out.iter().find(|o| matches!(o, PairOutput::Notify { .. })).unwrap()
        else {
            panic!()
        };
        lab.answer(request, code, &[]);
        assert_eq!(lab.pair.outbound.dialogs.is_empty(), ends, "{code}");
        assert_eq!(lab.pair.outbound.authorisation, OutAuthorisation::PendingOut);
    }
}

// Rule: out.expiry
#[test]
fn a_dialog_that_is_not_refreshed_ends() {
    let mut lab = Lab::new(FED);
    lab.watching();
    lab.settle_all();
    let out = lab.due();
    assert_eq!((lab.now, notify_states(&out)), (T0 + 3_600_000, vec!["terminated;reason=timeout".to_owned()]));
}

// Rule: out.bounds
#[test]
fn a_ninth_dialog_of_one_user_is_refused() {
    let mut lab = Lab::new(FED);
    for n in 0..MAX_DIALOGS {
        assert_eq!(status(&lab.alice(&format!("c{n}"), 1, 3600, None, "")), 200);
    }
    let out = lab.alice("c99", 1, 3600, None, "");
    assert_eq!((status(&out), lab.pair.outbound.dialogs.len()), (500, MAX_DIALOGS));
}

// Rule: out.bounds
#[test]
fn more_devices_than_anybody_has_displace_the_oldest() {
    let mut lab = Lab::new(FED);
    lab.watching();
    for n in 0..40 {
        lab.wait(1);
        lab.bob(&format!("r{n}"), "", "");
    }
    assert_eq!(lab.pair.outbound.resources.len(), MAX_RESOURCES);
    assert_eq!(lab.pair.outbound.resources.last().unwrap().resource, "r39");
}

// Garbage collection, and what it means to an unverified partner.
// Rule: out.garbage, in.stricter
#[test]
fn a_contact_whom_alice_has_not_asked_for_in_a_month_is_given_up() {
    let mut lab = Lab::new(PU);
    let ok = lab.watching();
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.alice("c1", 2, 0, Some(&ok), "");
    lab.settle_all();
    lab.settings.lease_ms = 0;
    loop {
        let out = lab.due();
        if stanzas(&out).contains(&"Unsubscribe -".to_owned()) {
            assert!(stanzas(&out).contains(&"Unsubscribed -".to_owned()), "{out:?}");
            break;
        }
        lab.settle_all();
        assert!(lab.now < T0 + 31 * DAY_MS);
    }
    assert_eq!((lab.pair.is_added(), lab.pair.is_watcher()), (false, false));
}

// Rule: out.giveup
#[test]
fn nobody_answers_for_two_weeks() {
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.settle_all();
    let mut last = Vec::new();
    while lab.pair.outbound.authorisation == OutAuthorisation::PendingOut {
        lab.pair.outbound.dialogs.iter_mut().for_each(|watcher| watcher.expires_at = u64::MAX);
        lab.settle_all();
        last = lab.due();
    }
    assert_eq!(lab.now, T0 + PENDING_DAYS * DAY_MS);
    assert_eq!(notify_states(&last), ["terminated;reason=giveup;retry-after=86400"]);
}

// Rule: life.stream-loss
#[test]
fn a_lost_stream_closes_the_contacts_after_a_while_and_its_return_asks_for_them() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let out = lab.bob("desk", "", "");
    lab.confirm(&out);
    lab.feed(PairInput::StreamLost);
    let out = lab.due();
    assert_eq!(lab.now, T0 + STALE_AFTER_MS);
    assert!(notifies(&out)[0].1.contains("closed"));
    lab.confirm(&out);
    assert_eq!(stanzas(&lab.feed(PairInput::StreamBack)), ["Probe -"]);
}

// RFC 6121 section 3.1.2.
// Rule: out.subscribe.again
#[test]
fn while_bob_is_undecided_he_is_asked_once_a_day_as_long_as_she_watches() {
    let mut lab = Lab::new(FED);
    let ok = response(&lab.alice("c1", 1, 3600, None, ""));
    lab.settle_all();
    assert!(stanzas(&lab.alice("c2", 1, 3600, None, "")).is_empty());
    lab.pair.outbound.dialogs.iter_mut().for_each(|watcher| watcher.expires_at = u64::MAX);
    lab.wait(ASK_AGAIN_MS - 1);
    assert!(stanzas(&lab.alice("c1", 2, 3600, Some(&ok), "")).is_empty());
    lab.wait(1);
    assert_eq!(stanzas(&lab.alice("c1", 3, 3600, Some(&ok), "")), ["Subscribe -"]);
    assert!(stanzas(&lab.alice("c3", 1, 3600, None, "")).is_empty());
    lab.wait(ASK_AGAIN_MS);
    assert_eq!(stanzas(&lab.alice("c4", 1, 3600, None, "")), ["Subscribe -"]);
}

// RFC 6121 appendix A.3.3.
// Rule: out.subscribed.unasked, type.x3, type.x5
#[test]
fn answers_that_nobody_asked_for_and_presence_of_who_is_not_watched_change_nothing() {
    let mut lab = Lab::new(FED);
    for kind in ["subscribed", "unsubscribed", "unavailable"] {
        assert!(lab.typed(kind).is_empty() && lab.pair.is_blank(), "{kind}");
    }
    assert!(lab.bob("desk", "", "<show>away</show>").is_empty() && lab.pair.outbound.resources.is_empty());
    // Undecided is not enough.
    lab.alice("c1", 1, 3600, None, "");
    assert!(notifies(&lab.bob("desk", "", "")).is_empty() && lab.pair.outbound.resources.is_empty());
    let before = {
        lab.watching();
        lab.pair.clone()
    };
    assert!(lab.typed("subscribed").is_empty());
    assert_eq!(lab.pair, before);
}

// Rule: out.error.noresource, out.error.rejected, out.error.wait, out.error.rest
#[test]
fn every_error_has_its_place() {
    for condition in StanzaCondition::ALL {
        let mut lab = Lab::new(FED);
        let out = lab.alice("c1", 1, 3600, None, "");
        lab.confirm(&out);
        let xml = format!(
            "<error type='cancel'><{} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            condition.as_str()
        );
        let states = notify_states(&lab.bob("", " type='error'", &xml));
        let expected = match condition.as_str() {
            "item-not-found" | "gone" | "jid-malformed" | "remote-server-not-found" => {
                Some("terminated;reason=noresource")
            }
            "forbidden" | "not-allowed" | "not-authorized" | "policy-violation" => Some("terminated;reason=rejected"),
            "remote-server-timeout" | "resource-constraint" | "recipient-unavailable" => None,
            _ => Some("terminated;reason=probation;retry-after=3600"),
        };
        assert_eq!(states.first().map(String::as_str), expected, "{condition:?}");
        // Only a no of his makes her wait a day.
        let is_no = expected == Some("terminated;reason=rejected");
        assert_eq!(lab.pair.outbound.cool_down_until.is_some(), is_no, "{condition:?}");
    }
}

// Rule: out.logout.unavailable
#[test]
fn unavailable_needs_the_last_dialog() {
    let mut lab = Lab::new(FED);
    let ok = lab.watching();
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.pair.inbound.dialog = InDialog::None;
    let second = response(&lab.alice("c2", 1, 3600, None, ""));
    assert!(stanzas(&lab.alice("c1", 2, 0, Some(&ok), "")).is_empty());
    assert_eq!(stanzas(&lab.alice("c2", 2, 0, Some(&second), "")), ["Unavailable desk"]);
    assert!(lab.pair.is_watcher() && lab.pair.is_added());
}

// RFC 6665 section 4.2.2: every status that it names, and Timer F.
// Rule: out.notify-failed
#[test]
fn silence_to_a_notify_ends_the_dialog_and_a_lost_connection_does_not() {
    for (answer, ends) in [(Answer::Timeout, true), (Answer::Unreachable, false)] {
        let mut lab = Lab::new(FED);
        let out = lab.alice("c1", 1, 3600, None, "");
        let PairOutput::Notify { request, .. } = out.iter().find(|o| matches!(o, PairOutput::Notify { .. })).unwrap()
        else {
            panic!()
        };
        lab.settle(request, answer);
        assert_eq!(lab.pair.outbound.dialogs.is_empty(), ends);
    }
    for code in [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604] {
        let mut lab = Lab::new(FED);
        let out = lab.alice("c1", 1, 3600, None, "");
        let PairOutput::Notify { request, .. } = out.iter().find(|o| matches!(o, PairOutput::Notify { .. })).unwrap()
        else {
            panic!()
        };
        lab.answer(request, code, &[]);
        assert!(lab.pair.outbound.dialogs.is_empty(), "{code}");
    }
}

// Rule: out.garbage
#[test]
fn with_zero_days_no_contact_is_given_up() {
    let mut lab = Lab::new(FED);
    lab.settings.idle_days = 0;
    let ok = lab.watching();
    lab.alice("c1", 2, 0, Some(&ok), "");
    lab.settle_all();
    assert_eq!(lab.pair.due_at, None);
}

// RFC 6665 sections 4.2.1.2 and 8.2.1.
// Rule: out.headers
#[test]
fn the_event_is_echoed_byte_by_byte_with_its_id() {
    let mut lab = Lab::new(FED);
    let text = "SUBSCRIBE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TLS pool;branch=z9hG4bKe1\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@contoso.example>;tag=al\r\nTo: <sip:bob@fabrikam.example>\r\nCall-ID: e1@pool\r\n\
         CSeq: 1 SUBSCRIBE\r\nContact: <sip:alice@10.0.0.5:5061>\r\nEvent: presence;id=42x\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n";
    let out = lab.feed(PairInput::Subscribe(Box::new(request(text))));
    let PairOutput::Notify { request, .. } = &out[1] else { panic!("{out:?}") };
    assert_eq!(request.headers.get(&HeaderName::Event).and_then(HeaderValue::as_str), Some("presence;id=42x"));
    assert_eq!(request.headers.from().unwrap().uri.as_str(), "sip:bob@fabrikam.example");
}

// RFC 3856 section 6.10: what is said at once after a SUBSCRIBE and at the end does not wait.
// Rule: out.pace
#[test]
fn the_first_and_the_last_notify_are_not_paced() {
    let mut lab = Lab::new(FED);
    let ok = lab.watching();
    let out = lab.bob("desk", "", "");
    lab.confirm(&out);
    lab.wait(100);
    assert_eq!(notifies(&lab.alice("c2", 1, 3600, None, "")).len(), 1);
    assert_eq!(notifies(&lab.alice("c1", 2, 3600, Some(&ok), "")).len(), 1);
    assert_eq!(notify_states(&lab.typed("unsubscribed")), ["terminated;reason=rejected", "terminated;reason=rejected"]);
}

// What he said while no gateway ran is unknown: the next SUBSCRIBE asks instead of showing what was.
// Rule: life.restart, out.subscribe.known
#[test]
fn after_a_restart_nobody_is_shown_what_may_be_old() {
    let mut lab = Lab::new(FED);
    let ok = lab.watching();
    lab.bob("desk", "", "");
    lab.alice("c1", 2, 0, Some(&ok), "");
    assert!(
        lab.feed(PairInput::Restart { before_ms: u64::MAX })
            .iter()
            .all(|output| !matches!(output, PairOutput::Presence { .. }))
    );
    let out = lab.alice("c2", 1, 3600, None, "");
    assert_eq!(
        (notifies(&out), stanzas(&out)),
        (vec![("active;expires=3600".into(), String::new())], vec!["Probe -".to_owned()])
    );
}

// Rule: out.fetch.wait
#[test]
fn a_fetch_that_becomes_a_subscription_before_its_answer_is_told_the_state_at_once() {
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.typed("subscribed");
    let ok = response(&lab.alice("f1", 1, 0, None, ""));
    let out = lab.alice("f1", 2, 600, Some(&ok), "");
    assert_eq!(notifies(&out).len(), 1, "{out:?}");
    assert!(lab.pair.due_at.is_none_or(|at| at > lab.now), "{:?}", lab.pair.due_at);
}
