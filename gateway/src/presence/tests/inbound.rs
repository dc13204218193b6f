//! The XMPP user watches the SIP user.

use super::*;
use crate::iq::Caps;

// RFC 8048 section 5.2.1.
// Rule: in.subscribe, address.bare.subscribe
#[test]
fn a_subscribe_becomes_a_subscribe_request_without_gr() {
    let mut lab = Lab::new(FED);
    let out = lab.bob("desk", " type='subscribe'", "");
    let subscribe = sent(&out);
    assert_eq!(stanzas(&out), Vec::<String>::new());
    let header = |name| subscribe.headers.get(&name).and_then(HeaderValue::as_str);
    assert_eq!(subscribe.uri.as_str(), "sip:alice@contoso.example");
    assert_eq!(subscribe.headers.from().unwrap().uri.as_str(), "sip:bob@fabrikam.example");
    assert_eq!(header(HeaderName::Event), Some("presence"));
    assert_eq!(header(HeaderName::Accept), Some("application/pidf+xml"));
    assert_eq!(header(HeaderName::Expires), Some("3600"));
    assert_eq!(header(HeaderName::PAssertedIdentity), Some("<sip:bob@fabrikam.example>"));
    assert_eq!(header(HeaderName::Contact), Some("<sip:gw1.contoso.example:5061;transport=tls>"));
}

// RFC 8048 section 5.2.1: no presence while pending, `subscribed` at the first active.
// Rule: in.approve, in.notify.pending, in.notify.active, in.subscribe, pidf.read.full-state
#[test]
fn pending_says_nothing_and_active_says_subscribed_then_presence() {
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    assert!(lab.answer(&subscribe, 202, &[]).is_empty());
    let out = lab.notify(&subscribe, "p1", 1, "pending;expires=600", &pidf(&[("desk", "open", "")]));
    assert_eq!((status(&out), stanzas(&out)), (200, vec![]));
    let out = lab.notify(&subscribe, "p1", 2, "active;expires=600", &pidf(&[("desk", "open", "Hi")]));
    assert_eq!((status(&out), stanzas(&out)), (200, vec!["Subscribed -".into(), "Available desk".into()]));
    // Later: only what changed.
    let out = lab.notify(&subscribe, "p1", 3, "active;expires=500", &pidf(&[("desk", "open", "Hi")]));
    assert_eq!(stanzas(&out), Vec::<String>::new());
    let out =
        lab.notify(&subscribe, "p1", 4, "active;expires=500", &pidf(&[("phone", "open", ""), ("desk", "closed", "")]));
    assert_eq!(stanzas(&out), ["Unavailable desk", "Available phone"]);
    let out = lab.notify(&subscribe, "p1", 5, "active", "");
    assert_eq!(stanzas(&out), Vec::<String>::new());
}

// RFC 6665 section 4.1.2.4.
// Rule: in.notify.early
#[test]
fn a_notify_may_come_before_the_answer() {
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    let out = lab.notify(&subscribe, "p1", 1, "active;expires=600", "");
    assert_eq!(stanzas(&out), ["Subscribed -"]);
    assert!(lab.answer(&subscribe, 200, &[(HeaderName::Expires, "600")]).is_empty());
    assert!(matches!(lab.pair.inbound.dialog, InDialog::Live { is_active: true, .. }));
}

// RFC 3856 section 6.9; RFC 3261 section 12.2.2.
// Rule: in.notify.fork, in.notify.order, in.notify.unknown
#[test]
fn a_second_fork_another_call_and_an_old_cseq_are_refused() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised("");
    assert_eq!(status(&lab.notify(&subscribe, "p2", 1, "active;expires=600", "")), 481);
    lab.notify(&subscribe, "p1", 5, "active;expires=600", "");
    assert_eq!(status(&lab.notify(&subscribe, "p1", 4, "active;expires=600", "")), 500);
    let stranger = subscribe.clone().with(HeaderName::Subject, HeaderValue::from_static("x"));
    let mut other = Lab::new(FED);
    assert_eq!(status(&other.notify(&stranger, "p1", 1, "active", "")), 481);
}

// Rule: pidf.read.hygiene
#[test]
fn unreadable_bodies_and_other_packages_are_refused() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised("");
    assert_eq!(status(&lab.notify(&subscribe, "p1", 2, "active;expires=600", "<!DOCTYPE x><presence/>")), 400);
    assert_eq!(status(&lab.notify(&subscribe, "p1", 3, "", "")), 400);
    let mut notify = |change: fn(&mut Request)| {
        let mut request = subscribe.clone();
        request.method = Method::Notify;
        change(&mut request);
        status(&lab.feed(PairInput::Notify(Box::new(request))))
    };
    assert_eq!(notify(|request| request.headers.set(HeaderName::Event, HeaderValue::from_static("dialog"))), 489);
}

// RFC 6665 section 4.1.3.
// Rule: in.notify.deactivated, in.notify.probation, in.notify.rejected, in.notify.timeout, in.notify.giveup, in.notify.noresource, in.notify.invariant, in.notify.no-reason
#[test]
fn the_end_of_a_dialog_is_handled_by_its_reason() {
    let open = pidf(&[("desk", "open", "")]);
    for (state, spoken, tries, waits) in [
        ("terminated;reason=deactivated", &[][..], 0, 1),
        ("terminated;reason=timeout", &[][..], 1, 0),
        ("terminated;reason=giveup;retry-after=120", &[], 0, 120_000),
        ("terminated;reason=probation;retry-after=30", &[], 0, 30_000),
        ("terminated;reason=probation;retry-after=90", &["Unavailable desk"], 0, 90_000),
        ("terminated;reason=rejected", &["Unavailable desk", "Unsubscribed -"], 0, 0),
        ("terminated;reason=noresource", &["Unavailable desk", "Unsubscribed -"], 0, 0),
        ("terminated;reason=invariant;retry-after=5", &[], 0, 0),
        ("terminated;reason=unheard-of;retry-after=70", &[], 0, 70_000),
        ("terminated", &[], 0, 24_000),
    ] {
        let mut lab = Lab::new(FED);
        let subscribe = lab.authorised(&open);
        let out = lab.notify(&subscribe, "p1", 2, state, "");
        assert_eq!(status(&out), 200);
        assert_eq!(stanzas(&out), spoken, "{state}");
        assert_eq!(subscribes(&out), tries, "{state}");
        if tries == 1 {
            assert_ne!(sent(&out).headers.call_id().unwrap(), subscribe.headers.call_id().unwrap(), "{state}");
        }
        match &lab.pair.inbound.dialog {
            // Moved: all of a notifier's watchers come back, spread over two seconds.
            InDialog::Backoff { until, .. } if waits == 1 => assert!(*until < T0 + MOVED_SPREAD_MS, "{state}"),
            InDialog::Backoff { until, .. } => assert!(*until >= T0 + waits && waits > 0, "{state}"),
            _ => assert_eq!(waits, 0, "{state}"),
        }
    }
}

// Rule: in.notify.deactivated
#[test]
fn a_notifier_that_keeps_ending_dialogs_is_asked_less_often() {
    let mut lab = Lab::new(FED);
    let mut subscribe = lab.authorised("");
    for _ in 0..3 {
        let out = lab.notify(&subscribe, "p1", 2, "terminated;reason=deactivated", "");
        assert_eq!((subscribes(&out), stanzas(&out).len()), (0, 0));
        lab.settle_all();
        let last = lab.now;
        subscribe = sent(&lab.due());
        assert!(lab.now < last + MOVED_SPREAD_MS);
        lab.notify(&subscribe, "p1", 1, "active;expires=600", "");
    }
    let last = lab.now;
    let out = lab.notify(&subscribe, "p1", 2, "terminated;reason=deactivated", "");
    assert_eq!(subscribes(&out), 0);
    assert!(matches!(lab.pair.inbound.dialog, InDialog::Backoff { until, .. } if until >= last + 24_000));
}

// RFC 8048 section 5.2.2.
// Rule: in.answer.refused, in.answer.481, in.answer.later, in.answer.423, in.answer.failed
#[test]
fn a_refused_first_subscribe_is_handled_by_its_status() {
    enum Then {
        Refused,
        Backoff,
        Again,
    }
    for (code, then) in [
        (403, Then::Refused),
        (489, Then::Refused),
        (603, Then::Refused),
        (404, Then::Refused),
        (410, Then::Refused),
        (416, Then::Refused),
        (484, Then::Refused),
        (485, Then::Refused),
        (604, Then::Refused),
        (600, Then::Refused),
        (481, Then::Again),
        (405, Then::Backoff),
        (480, Then::Backoff),
        (482, Then::Backoff),
        (483, Then::Backoff),
        (501, Then::Backoff),
        (406, Then::Backoff),
        (401, Then::Backoff),
        (407, Then::Backoff),
        (500, Then::Backoff),
        (503, Then::Backoff),
        (504, Then::Backoff),
        (408, Then::Backoff),
    ] {
        let mut lab = Lab::new(FED);
        let subscribe = sent(&lab.typed("subscribe"));
        let out = lab.answer(&subscribe, code, &[]);
        let authorisation = lab.pair.inbound.authorisation;
        match then {
            Then::Refused => {
                assert_eq!(stanzas(&out), ["Unsubscribed -"], "{code}");
                assert_eq!(authorisation, InAuthorisation::None, "{code}");
            }
            Then::Backoff => {
                assert!(
                    stanzas(&out).is_empty() && matches!(lab.pair.inbound.dialog, InDialog::Backoff { .. }),
                    "{code}"
                );
                assert_eq!(authorisation, InAuthorisation::Pending, "{code}");
                assert_eq!(subscribes(&lab.due()), 1, "{code}");
            }
            Then::Again => assert_eq!(subscribes(&out), 1, "{code}"),
        }
    }
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    let again = sent(&lab.answer(&subscribe, 423, &[(HeaderName::MinExpires, "7200")]));
    assert_eq!(again.headers.expires(), Ok(Some(7200)));
    let out = lab.answer(&again, 503, &[(HeaderName::RetryAfter, "300")]);
    assert_eq!(subscribes(&out), 0);
    assert_eq!(lab.pair.due_at, Some(T0 + 300_000));
}

// Rule: in.answer.refused, in.answer.481, in.answer.later, in.answer.failed
#[test]
fn a_failed_refresh_keeps_what_it_can() {
    let open = pidf(&[("desk", "open", "")]);
    for (code, spoken, tries, lives) in [
        (500, &[][..], 0, true),
        (503, &[], 0, true),
        (408, &[], 0, true),
        (401, &[], 0, true),
        (406, &[], 0, true),
        (481, &[], 1, false),
        (480, &[], 0, false),
        (501, &[], 0, false),
        (403, &["Unavailable desk", "Unsubscribed -"], 0, false),
        (404, &["Unavailable desk", "Unsubscribed -"], 0, false),
    ] {
        let mut lab = Lab::new(FED);
        lab.authorised(&open);
        lab.settle_all();
        let refresh = sent(&lab.due());
        assert_eq!(refresh.headers.cseq().unwrap().number, 2);
        assert!(refresh.headers.to().unwrap().tag().is_some());
        let out = lab.answer(&refresh, code, &[]);
        assert_eq!(
            (stanzas(&out), subscribes(&out)),
            (spoken.iter().map(ToString::to_string).collect(), tries),
            "{code}"
        );
        assert_eq!(matches!(lab.pair.inbound.dialog, InDialog::Live { .. }), lives, "{code}");
    }
}

// Rule: in.answer.failed
#[test]
fn presence_is_kept_until_the_expiry_and_then_withdrawn() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    let end = T0 + 3_600_000;
    loop {
        let out = lab.due();
        if lab.now >= end {
            assert_eq!((stanzas(&out), subscribes(&out)), (vec!["Unavailable desk".to_owned()], 1));
            break;
        }
        assert_eq!(stanzas(&out), Vec::<String>::new());
        if subscribes(&out) == 1 {
            lab.settle(&sent(&out), Answer::Unreachable);
        }
    }
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Authorised);
}

// Rule: in.timer-n
#[test]
fn a_refresh_that_no_notify_follows_makes_a_new_dialog() {
    let mut lab = Lab::new(FED);
    lab.authorised("");
    lab.settle_all();
    let refresh = sent(&lab.due());
    lab.answer(&refresh, 200, &[(HeaderName::Expires, "3600")]);
    let anew = sent(&lab.due());
    assert_ne!(anew.headers.call_id().unwrap(), refresh.headers.call_id().unwrap());
}

// Rule: in.backoff
#[test]
fn a_sign_of_life_shortens_our_own_wait_but_not_the_pools() {
    for (headers, expected) in [(&[][..], 30_000), (&[(HeaderName::RetryAfter, "900")][..], 900_000)] {
        let mut lab = Lab::new(FED);
        lab.authorised("");
        lab.settle_all();
        lab.pair.inbound.dialog = InDialog::None;
        lab.pair.inbound.attempts = 7;
        let subscribe = sent(&lab.typed("probe"));
        lab.answer(&subscribe, 503, headers);
        let out = lab.typed("probe");
        assert_eq!(subscribes(&out), 0);
        assert!(matches!(lab.pair.inbound.dialog, InDialog::Backoff { until, .. } if until == T0 + expected));
    }
}

// Rule: in.timer-n
#[test]
fn silence_of_the_pool_backs_off() {
    let mut lab = Lab::new(FED);
    lab.typed("subscribe");
    let out = lab.due();
    assert_eq!(lab.now, T0 + TIMER_N_MS);
    assert_eq!((subscribes(&out), stanzas(&out).len()), (0, 0));
    assert_eq!(subscribes(&lab.due()), 1);
}

// RFC 6121 section 3.1.3: MUST auto-reply.
// Rule: in.subscribe.again
#[test]
fn an_authorised_watcher_is_told_again() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", ""), ("phone", "open", "")]));
    let out = lab.typed("subscribe");
    assert_eq!(stanzas(&out), ["Subscribed -", "Available desk", "Available phone"]);
    assert_eq!(subscribes(&out), 0);
}

// RFC 6121 section 3.3.3; RFC 8048 section 5.2.3.
// Rule: in.unsubscribe, in.unsubscribe.unknown
#[test]
fn unsubscribe_ends_the_dialog_and_is_confirmed_at_once() {
    let mut lab = Lab::new(FED);
    assert!(lab.typed("unsubscribe").is_empty());
    let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
    let out = lab.typed("unsubscribe");
    assert_eq!(sent(&out).headers.expires(), Ok(Some(0)));
    assert_eq!(stanzas(&out), ["Unavailable desk", "Unsubscribed -"]);
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::None);
    let out = lab.notify(&subscribe, "p1", 2, "terminated;reason=timeout", "");
    assert_eq!((status(&out), out.len()), (200, 1));
    assert_eq!(lab.pair.inbound.dialog, InDialog::None);
}

// RFC 6121 section 4.3.2.
// Rule: in.probe.active, in.probe.idle, in.probe.pending
#[test]
fn probes_are_answered_by_the_authorisation() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", ""), ("phone", "open", "")]));
    let out = lab.typed("probe");
    assert_eq!(stanzas(&out), ["Available desk", "Available phone"]);

    let subscribe = lab.authorised_again();
    lab.notify(&subscribe, "p1", 9, "active;expires=60", &pidf(&[]));
    let out = lab.typed("probe");
    assert_eq!(stanzas(&out), ["Unavailable -"]);
    assert!(matches!(&out[0], PairOutput::Presence { presence, .. } if presence.id.as_deref() == Some("i1")));

    // No dialog: a long subscription, and the answer from its NOTIFY.
    lab.pair.inbound.dialog = InDialog::None;
    let out = lab.typed("probe");
    assert_eq!(stanzas(&out), Vec::<String>::new());
    let subscribe = sent(&out);
    assert_eq!(subscribe.headers.expires(), Ok(Some(3600)));
    let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", &pidf(&[("desk", "open", "")]));
    assert_eq!(stanzas(&out), ["Available desk"]);

    let mut pending = Lab::new(FED);
    pending.typed("subscribe");
    assert!(pending.typed("probe").is_empty());
}

// After a loss of data, the pool decides anew.
// Rule: in.probe.unknown, type.x6
#[test]
fn a_probe_for_an_unknown_pair_asks_the_pool_unless_the_partner_is_unverified() {
    for partner in [FED, PV] {
        let mut lab = Lab::new(partner);
        let subscribe = sent(&lab.typed("probe"));
        let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", &pidf(&[("desk", "open", "")]));
        // He never asked anew, so no `subscribed`.
        assert_eq!(stanzas(&out), ["Available desk"]);
    }
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("probe"));
    assert_eq!(stanzas(&lab.answer(&subscribe, 404, &[])), ["Unsubscribed -"]);
    let mut lab = Lab::new(PU);
    let out = lab.typed("probe");
    assert_eq!((stanzas(&out), subscribes(&out)), (vec!["Unsubscribed -".to_owned()], 0));
}

// One answer, at a time that says nothing.
// Rule: in.refusal.delayed
#[test]
fn strangers_learn_of_a_refusal_after_a_random_time() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let mut lab = Lab::new(PV);
        lab.random = seed * 100;
        let subscribe = sent(&lab.typed("subscribe"));
        assert_eq!(stanzas(&lab.answer(&subscribe, 404, &[])), Vec::<String>::new());
        assert!(stanzas(&lab.typed("subscribe")).is_empty());
        assert_eq!(stanzas(&lab.due()), ["Unsubscribed -"]);
        times.push(lab.now - T0);
    }
    assert!(times.iter().all(|time| (2_000..10_000).contains(time)));
    times.dedup();
    assert!(times.len() > 10);
}

// Rule: type.held, type.x1, type.s1
#[test]
fn an_unverified_partners_subscribe_is_held_until_alice_adds_bob() {
    let mut lab = Lab::new(PU);
    assert!(lab.typed("subscribe").is_empty());
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Held);
    assert!(lab.typed("subscribe").is_empty() && lab.typed("probe").is_empty());
    let out = lab.alice("c1", 1, 3600, None, "");
    assert_eq!(stanzas(&out), ["Subscribe -"]);
    let subscribe = sent(&out);
    assert_eq!(subscribe.uri.as_str(), "sip:alice@contoso.example");
    let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", "");
    assert_eq!(stanzas(&out), ["Subscribed -"]);
}

// Rule: type.held, type.x1, type.x2
#[test]
fn a_held_subscribe_ends_by_unsubscribe_and_by_time() {
    let mut lab = Lab::new(PU);
    lab.typed("subscribe");
    assert!(lab.typed("unsubscribe").is_empty() && lab.pair.is_blank());
    lab.typed("subscribe");
    assert!(lab.due().is_empty() && lab.pair.is_blank());
    assert_eq!(lab.now, T0 + HELD_DAYS * DAY_MS);
}

// Rule: type.s4, type.notes, pidf.read.note
#[test]
fn public_partners_see_no_notes() {
    for (partner, expected) in [(FED, 1), (PV, 0), (PU, 0)] {
        let mut lab = Lab::new(partner);
        if partner == PU {
            lab.alice("c1", 1, 3600, None, "");
        }
        let subscribe = sent(&lab.typed("subscribe"));
        let out = lab.notify(&subscribe, "p1", 1, "active;expires=60", &pidf(&[("desk", "open", "In a meeting")]));
        let presence = out.iter().find_map(|output| match output {
            PairOutput::Presence { presence, .. } if presence.kind == PresenceKind::Available => Some(presence),
            _ => None,
        });
        let xml = String::from_utf8(presence.unwrap().to_xml(&Caps::default()).to_vec()).unwrap();
        assert_eq!(xml.matches("<status").count(), expected, "{xml}");
    }
}

// Rule: in.stricter
#[test]
fn a_stricter_partner_type_takes_notes_and_authorisations_back() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "Note")]));
    lab.partner = PV;
    let out = lab.feed(PairInput::PartnerChanged);
    assert_eq!(stanzas(&out), ["Available desk"]);
    lab.partner = PU;
    let out = lab.feed(PairInput::PartnerChanged);
    assert_eq!(stanzas(&out), ["Unavailable desk", "Unsubscribed -"]);
    assert_eq!(sent(&out).headers.expires(), Ok(Some(0)));
}

// The watcher's lease.
// Rule: in.lease
#[test]
fn a_watcher_who_gives_no_sign_of_life_is_let_go() {
    let mut lab = Lab::new(FED);
    lab.settings.lease_ms = 1_000_000;
    let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    let out = lab.due();
    assert_eq!((subscribes(&out), lab.now > T0 + 1_000_000), (0, true));
    let out = lab.due();
    assert_eq!((stanzas(&out), subscribes(&out)), (vec![], 0));
    assert_eq!(lab.pair.inbound.dialog, InDialog::None);
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Authorised);
    assert_eq!(status(&lab.notify(&subscribe, "p1", 7, "active", "")), 481);
    // He comes back.
    assert_eq!(subscribes(&lab.bob("desk", "", "")), 1);
}

// Rule: in.bounds
#[test]
fn who_watches_as_many_as_he_may_is_not_remembered_and_may_ask_again() {
    let mut lab = Lab::new(FED);
    lab.may_watch = false;
    for kind in ["subscribe", "probe"] {
        let out = lab.typed(kind);
        assert_eq!((subscribes(&out), stanzas(&out).len()), (0, 0), "{kind}");
        assert!(matches!(out[..], [PairOutput::Verdict(verdict::PairVerdict::TooManyWatched)]), "{out:?}");
        assert!(lab.pair.is_blank() && lab.pair.due_at.is_none());
    }
    lab.may_watch = true;
    assert_eq!(subscribes(&lab.typed("subscribe")), 1);
}

// Rule: in.bounds
#[test]
fn an_authorisation_without_room_to_watch_waits_for_the_next_sign_of_life() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.feed(PairInput::AccessLost);
    lab.may_watch = false;
    assert_eq!(subscribes(&lab.feed(PairInput::AccessBack)), 0);
    assert_eq!(subscribes(&lab.typed("probe")), 0);
    assert!(lab.pair.is_watcher());
    lab.may_watch = true;
    assert_eq!(subscribes(&lab.typed("probe")), 1);
}

// The pool asks for a while, or the back-off is as long.
// Rule: in.notify.probation
#[test]
fn probation_hides_her_when_the_wait_is_long_whoever_chose_it() {
    for (attempts, spoken) in [(0, 0), (5, 1)] {
        let mut lab = Lab::new(FED);
        let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
        lab.pair.inbound.attempts = attempts;
        let out = lab.notify(&subscribe, "p1", 2, "terminated;reason=probation", "");
        assert_eq!((stanzas(&out).len(), subscribes(&out)), (spoken, 0));
        assert!(lab.pair.is_watcher());
    }
}

// RFC 6665 section 4.1.3: the state will not change, so nobody asks again.
// Rule: in.notify.invariant
#[test]
fn invariant_keeps_the_presence_and_only_a_sign_of_life_asks_again() {
    let mut lab = Lab::new(FED);
    let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    lab.notify(&subscribe, "p1", 2, "terminated;reason=invariant;retry-after=5", "");
    assert_eq!((lab.pair.due_at, lab.pair.inbound.resources.len()), (None, 1));
    let again = sent(&lab.typed("probe"));
    let out = lab.notify(&again, "p2", 1, "active;expires=600", &pidf(&[("desk", "open", "")]));
    assert_eq!(stanzas(&out), ["Available desk"]);
}

// RFC 8048 section 5.2.1.
// Rule: in.notify.pending, in.approve
#[test]
fn two_hundred_approves_nothing_and_pending_keeps_the_dialog() {
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    assert!(lab.answer(&subscribe, 200, &[(HeaderName::Expires, "600")]).is_empty());
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Pending);
    let out = lab.notify(&subscribe, "p1", 1, "pending;expires=600", "");
    assert_eq!(stanzas(&out), Vec::<String>::new());
    // It is refreshed like any other.
    let refresh = sent(&lab.due());
    assert!(lab.now < T0 + 600_000 - 31_000 && refresh.headers.to().unwrap().tag().is_some());
}

// Rule: in.approve.pending
#[test]
fn pending_approves_where_the_operator_says_so_and_shows_nothing_yet() {
    let mut lab = Lab::new(FED);
    lab.settings.approve_on_pending = true;
    let subscribe = sent(&lab.typed("subscribe"));
    let desk = pidf(&[("desk", "open", "")]);
    assert_eq!(stanzas(&lab.notify(&subscribe, "p1", 1, "pending;expires=600", &desk)), ["Subscribed -"]);
    assert_eq!(stanzas(&lab.notify(&subscribe, "p1", 2, "pending;expires=600", &desk)), Vec::<String>::new());
    assert_eq!(stanzas(&lab.typed("probe")), Vec::<String>::new());
    assert_eq!(stanzas(&lab.notify(&subscribe, "p1", 3, "active;expires=600", &desk)), ["Available desk"]);
}

// Rule: in.answer.423
#[test]
fn a_pool_that_wants_ever_longer_subscriptions_is_asked_twice() {
    let mut lab = Lab::new(FED);
    let first = sent(&lab.typed("subscribe"));
    let second = sent(&lab.answer(&first, 423, &[(HeaderName::MinExpires, "7200")]));
    let out = lab.answer(&second, 423, &[(HeaderName::MinExpires, "7300")]);
    assert_eq!(subscribes(&out), 0);
    assert!(matches!(lab.pair.inbound.dialog, InDialog::Backoff { .. }));
}

// RFC 6665 section 4.1.2.4: the attempt is cleaned up, so what comes for it later finds no dialog.
// Rule: in.timer-n
#[test]
fn a_notify_after_timer_n_finds_no_subscription() {
    let mut lab = Lab::new(FED);
    let subscribe = sent(&lab.typed("subscribe"));
    lab.answer(&subscribe, 200, &[]);
    lab.due();
    assert_eq!(status(&lab.notify(&subscribe, "p1", 1, "active;expires=600", "")), 481);
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Pending);
}

// Rule: in.backoff
#[test]
fn failures_in_a_row_wait_longer_and_longer_until_active() {
    let mut lab = Lab::new(FED);
    let mut subscribe = sent(&lab.typed("subscribe"));
    let mut waits = Vec::new();
    for _ in 0..9 {
        lab.answer(&subscribe, 503, &[]);
        let begin = lab.now;
        lab.pair.inbound.lease_until = u64::MAX;
        subscribe = sent(&lab.due());
        waits.push(lab.now - begin);
    }
    for (wait, plain) in waits.iter().zip([30, 60, 120, 240, 480, 960, 1920, 3600, 3600]) {
        assert!((plain * 800..=plain * 1200).contains(wait), "{waits:?}");
    }
    lab.notify(&subscribe, "p1", 1, "active;expires=600", "");
    assert_eq!(lab.pair.inbound.attempts, 0);
}

// RFC 6121 section 4.3.2.
// Rule: in.probe.full
#[test]
fn a_probe_of_one_device_tells_whether_that_one_is_there() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "Here"), ("phone", "open", "")]));
    let mut probe = |resource: &str| {
        let to = lab.pair.key.local.with_resource(resource).unwrap();
        let xml = b"<presence xmlns='jabber:server' type='probe' id='i1'/>";
        let stanza = read_presence(xml, lab.pair.key.remote.as_jid(), &to).unwrap();
        lab.feed(PairInput::Presence(Box::new(stanza)))
    };
    let out = probe("desk");
    assert_eq!(stanzas(&out), ["Available desk"]);
    let PairOutput::Presence { presence, .. } = &out[0] else { panic!() };
    assert!(presence.presence.as_ref().unwrap().notes.is_empty());
    assert_eq!(stanzas(&probe("couch")), ["Unavailable -"]);
}

// RFC 6121 section 4.3.2: SHOULD say when she left; not to partners who are not trusted with it.
// Rule: in.probe.absent
#[test]
fn an_absent_users_probe_is_answered_with_the_time_of_leaving() {
    for (partner, expected) in [(FED, true), (PV, false)] {
        let mut lab = Lab::new(partner);
        let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
        lab.notify(&subscribe, "p1", 2, "active;expires=3600", &pidf(&[]));
        lab.wait(600_000);
        let out = lab.typed("probe");
        assert_eq!(stanzas(&out), ["Unavailable -"]);
        let PairOutput::Presence { presence, .. } = &out[0] else { panic!() };
        let xml = String::from_utf8(presence.to_xml(&Caps::default()).to_vec()).unwrap();
        assert_eq!(xml.contains("stamp='2030-01-15T09:30:00Z'"), expected, "{xml}");
        assert!(xml.contains("id='i1'") && !xml.contains("<c "), "{xml}");
    }
}

// Rule: in.lease.probe
#[test]
fn at_the_end_of_the_lease_a_contact_who_is_watched_too_is_asked_for_a_sign_of_life() {
    let mut lab = Lab::new(FED);
    lab.settings.lease_ms = 1_000_000;
    lab.watching();
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    let out = lab.due();
    assert_eq!((stanzas(&out), subscribes(&out)), (vec!["Probe -".to_owned()], 0));
    // He is there: the dialog is refreshed.
    lab.bob("desk", "", "");
    lab.settle_all();
    lab.pair.outbound.dialogs.clear();
    assert_eq!(subscribes(&lab.due()), 1);
}

// Rule: in.lease
#[test]
fn a_watcher_who_comes_back_while_his_dialog_runs_out_keeps_it() {
    let mut lab = Lab::new(FED);
    lab.settings.lease_ms = 1_000_000;
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    assert_eq!(subscribes(&lab.due()), 0, "the lease has ended");
    let out = lab.feed(PairInput::Activity);
    assert!(out.is_empty());
    let refresh = sent(&lab.due());
    assert!(refresh.headers.to().unwrap().tag().is_some() && lab.now < T0 + 3_600_000);
}

// Rule: in.refusal.delayed
#[test]
fn a_refusal_that_waits_survives_a_restart() {
    let mut lab = Lab::new(PU);
    lab.alice("c1", 1, 3600, None, "");
    let subscribe = sent(&lab.typed("subscribe"));
    assert!(stanzas(&lab.answer(&subscribe, 404, &[])).is_empty());
    let kept = lab.pair.clone();
    assert!(kept.inbound.refusal_due.is_some_and(|at| kept.due_at == Some(at)));
    let out = lab.feed(PairInput::Restart { before_ms: u64::MAX });
    assert!(!stanzas(&out).contains(&"Unsubscribed -".to_owned()), "{out:?}");
    assert_eq!(lab.pair.inbound.refusal_due, kept.inbound.refusal_due);
    lab.now = kept.inbound.refusal_due.unwrap();
    assert_eq!(stanzas(&lab.feed(PairInput::Due)), ["Unsubscribed -"]);
}

// Rule: in.refusal.delayed
#[test]
fn a_refusal_that_waits_answers_also_what_a_stranger_asks_meanwhile() {
    let mut lab = Lab::new(PU);
    lab.alice("c1", 1, 3600, None, "");
    let subscribe = sent(&lab.typed("subscribe"));
    lab.answer(&subscribe, 404, &[]);
    let refusal_due = lab.pair.inbound.refusal_due.unwrap();
    // She has not added him any more, he asks again, and she adds him again.
    let unavailable = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    lab.bob("", " type='error'", unavailable);
    assert!(stanzas(&lab.typed("subscribe")).is_empty());
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::None);
    assert_eq!(subscribes(&lab.alice("c2", 1, 3600, None, "")), 0);
    lab.now = refusal_due;
    assert!(stanzas(&lab.feed(PairInput::Due)).contains(&"Unsubscribed -".to_owned()));
    assert_eq!((lab.pair.inbound.authorisation, &lab.pair.inbound.dialog), (InAuthorisation::None, &InDialog::None));
}

// RFC 3856 section 6.8.
// Rule: pidf.read.empty, pidf.read.type, pidf.read.from
#[test]
fn an_empty_body_keeps_the_state_and_a_foreign_one_is_refused() {
    let mut lab = Lab::new(FED);
    // The entity names somebody else: what counts is whom the dialog is about.
    let document = pidf(&[("desk", "open", "")]).replace("entity='sip:alice@", "entity='sip:mallory@");
    let subscribe = lab.authorised(&document);
    assert!(stanzas(&lab.notify(&subscribe, "p1", 2, "active;expires=600", "")).is_empty());
    let out = lab.typed("probe");
    let PairOutput::Presence { presence, .. } = &out[0] else { panic!() };
    assert_eq!(presence.from.as_str(), "alice@contoso.example/desk");
    let mut other = lab.authorised_again();
    other.method = Method::Notify;
    let text = format!(
        "NOTIFY sip:gw1.contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS pool;branch=z9hG4bK9\r\nFrom: <sip:alice@contoso.example>;tag=p1\r\n\
         To: {}\r\nCall-ID: {}\r\nCSeq: 9 NOTIFY\r\nContact: <sip:pool.contoso.example:5061>\r\nEvent: presence\r\n\
         Subscription-State: active;expires=600\r\nContent-Type: text/xml+msrtc.pidf\r\nContent-Length: 4\r\n\r\n<a/>",
        subscribe.headers.get(&HeaderName::From).unwrap().as_str().unwrap(),
        subscribe.headers.call_id().unwrap()
    );
    let out = lab.feed(PairInput::Notify(Box::new(request(&text))));
    assert_eq!((status(&out), response(&out).headers.has(&HeaderName::Accept)), (415, true));
    assert!(stanzas(&out).is_empty());
}

// Rule: pidf.read.note, type.s4
#[test]
fn a_note_that_was_stored_before_the_partner_became_public_is_not_told() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "In a meeting")]));
    lab.partner = PV;
    let out = lab.typed("probe");
    let PairOutput::Presence { presence, .. } = &out[0] else { panic!("{out:?}") };
    assert!(presence.presence.as_ref().unwrap().notes.is_empty());
}

// A note may not hide in what says that she left.
// Rule: type.s4
#[test]
fn closed_tuples_tell_no_note() {
    for partner in [FED, PV] {
        let mut lab = Lab::new(partner);
        let subscribe = lab.authorised(&pidf(&[("desk", "open", "")]));
        let out = lab.notify(&subscribe, "p1", 2, "active;expires=600", &pidf(&[("desk", "closed", "At lunch")]));
        let PairOutput::Presence { presence, .. } = &out[1] else { panic!("{out:?}") };
        let xml = String::from_utf8(presence.to_xml(&Caps::default()).to_vec()).unwrap();
        assert!(xml.contains("unavailable") && !xml.contains("<status"), "{xml}");
    }
}
