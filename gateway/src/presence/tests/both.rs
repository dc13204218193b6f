//! Both directions together, and what can go wrong.

use super::*;

// Rule: life.stream-loss
#[test]
fn presence_that_could_not_be_delivered_is_sent_when_the_stream_is_back() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised("");
    lab.settle_all();
    let out = lab.notify(&subscribe, "p1", 2, "active;expires=600", &pidf(&[("desk", "open", "")]));
    let PairOutput::Presence { serial, .. } = &out[1] else { panic!("{out:?}") };
    lab.feed(PairInput::PresenceOutcome {
        serial: *serial,
        failure: Some(StanzaCondition::RemoteServerTimeout),
        shown: Some(Vec::new()),
    });
    assert_eq!(stanzas(&lab.feed(PairInput::StreamBack)), ["Available desk"]);
}

// Rule: life.edge-loss
#[test]
fn after_an_edge_has_died_he_is_asked_and_shown_what_he_was_shown() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    assert_eq!(stanzas(&lab.feed(PairInput::EdgeLost)), ["Probe -", "Available desk"]);
    lab.settle_all();
    // That she has gone he may have missed, too.
    lab.notify(&subscribe, "p1", 2, "active;expires=600", &pidf(&[]));
    lab.settle_all();
    assert_eq!(stanzas(&lab.feed(PairInput::EdgeLost)), ["Probe -", "Unavailable -"]);
    // While the pool says nothing, what he hears next is all of it.
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    lab.notify(&subscribe, "p1", 2, "terminated;reason=giveup", "");
    lab.settle_all();
    assert_eq!(stanzas(&lab.feed(PairInput::EdgeLost)), Vec::<String>::new());
    let again = sent(&lab.due());
    lab.answer(&again, 200, &[]);
    let out = lab.notify(&again, "p2", 1, "active;expires=3600", &pidf(&[("desk", "open", "")]));
    assert_eq!(stanzas(&out), ["Available desk"]);
    // Whoever watches nobody is asked nothing, and who has not been told anything missed nothing.
    let mut lab = Lab::new(FED);
    lab.typed("subscribe");
    lab.settle_all();
    assert_eq!(stanzas(&lab.feed(PairInput::EdgeLost)), Vec::<String>::new());
}

// Rule: life.restart
#[test]
fn what_was_under_way_when_the_process_ended_is_done_again() {
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.typed("subscribe");
    let out = lab.feed(PairInput::Restart { before_ms: u64::MAX });
    assert_eq!(notify_states(&out), ["pending;expires=3600"]);
    assert_eq!(stanzas(&out), ["Subscribe -"]);
    assert_eq!(subscribes(&out), 1);
    // Even if nobody says so, time does.
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    let out = lab.due();
    assert_eq!((lab.now, notify_states(&out).len()), (T0 + NOTIFY_PATIENCE_MS, 1));
}

// A start is told to one pair after the other, and meanwhile time brings refreshes of its own.
// Rule: life.restart
#[test]
fn what_was_begun_since_the_process_started_is_not_begun_again() {
    let mut lab = Lab::new(FED);
    let before_ms = lab.now;
    lab.now += 1_000;
    lab.alice("c1", 1, 3600, None, "");
    let subscribe = sent(&lab.typed("subscribe"));
    assert!(lab.feed(PairInput::Restart { before_ms }).is_empty());
    lab.notify(&subscribe, "p1", 2, "active;expires=600", &pidf(&[("desk", "open", "")]));
    lab.settle_all();
    assert!((0..20).any(|_| subscribes(&lab.due()) == 1));
    assert_eq!(subscribes(&lab.feed(PairInput::Restart { before_ms })), 0);
    let later = lab.now + 1;
    assert_eq!(subscribes(&lab.feed(PairInput::Restart { before_ms: later })), 1);
}

#[test]
fn a_confirmation_is_a_lazy_change_and_the_rest_is_durable() {
    let mut lab = Lab::new(FED);
    let blank = lab.pair.clone();
    let out = lab.alice("c1", 1, 3600, None, "");
    let asked = lab.pair.clone();
    assert_eq!(asked.change_since(&blank), Change::Durable);
    lab.confirm(&out);
    assert_eq!(lab.pair.change_since(&asked), Change::Lazy);
    assert_eq!(lab.pair.change_since(&lab.pair.clone()), Change::None);
}

// Rule: out.partner-removed
#[test]
fn a_removed_partner_leaves_nothing() {
    let mut lab = Lab::new(FED);
    lab.watching();
    lab.authorised(&pidf(&[("desk", "open", "")]));
    let out = lab.feed(PairInput::PartnerRemoved);
    assert_eq!(notify_states(&out), ["terminated;reason=noresource"]);
    assert_eq!(sent(&out).headers.expires(), Ok(Some(0)));
    assert!(stanzas(&out).is_empty() && lab.pair.is_blank());
}

// Before any SIP traffic.
// Rule: oracle.time, type.x2, type.x3, type.x4, type.x5, type.x6
#[test]
fn an_unverified_stranger_causes_no_sip_traffic() {
    let mut lab = Lab::new(PU);
    for kind in ["subscribe", "probe", "subscribed", "unsubscribed", "unavailable", "unsubscribe", "probe"] {
        let out = lab.typed(kind);
        let sip = |output: &PairOutput| !matches!(output, PairOutput::Presence { .. } | PairOutput::Verdict(_));
        assert!(!out.iter().any(sip), "{kind}");
    }
}

// RFC 8048 section 6.2 and 6.3: xml:lang and Content-Language.
// Rule: pidf.write.language
#[test]
fn one_language_is_told_in_the_header() {
    let mut lab = Lab::new(FED);
    lab.watching();
    let out = lab.bob("desk", " xml:lang='de'", "<status>Da</status>");
    let PairOutput::Notify { request, .. } = &out[0] else { panic!("{out:?}") };
    assert_eq!(request.headers.get(&HeaderName::ContentLanguage).and_then(HeaderValue::as_str), Some("de"));
}
