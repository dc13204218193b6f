//! Each kind of drift, planted in a record and mended.

use super::drift::Drift;
use super::*;

fn mended(out: &[PairOutput]) -> Vec<Drift> {
    let drifts = out.iter().filter_map(|output| match output {
        PairOutput::Mended(drift) => Some(*drift),
        _ => None,
    });
    drifts.collect()
}

/// Bob and alice see each other, and everything has arrived.
fn both() -> Lab {
    let mut lab = Lab::new(FED);
    lab.watching();
    let out = lab.bob("desk", "", "");
    lab.confirm(&out);
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.settle_all();
    lab
}

// Rule: life.reconcile
#[test]
fn a_record_in_order_is_left_alone() {
    let mut lab = both();
    let before = lab.pair.clone();
    assert!(lab.feed(PairInput::Mend).is_empty());
    assert_eq!(lab.pair, before);
}

// Rule: life.reconcile
#[test]
fn a_pair_of_no_partner_and_one_without_access_are_ended() {
    let mut lab = both();
    lab.is_partner = false;
    let out = lab.feed(PairInput::Mend);
    assert_eq!(
        (mended(&out), notify_states(&out)),
        (vec![Drift::NoPartner], vec!["terminated;reason=noresource".into()])
    );
    assert!(lab.pair.is_blank());
    let mut lab = both();
    lab.has_access = false;
    let out = lab.feed(PairInput::Mend);
    assert_eq!((mended(&out), stanzas(&out)), (vec![Drift::NoAccess], vec!["Unavailable desk".to_owned()]));
    assert!(lab.pair.is_watcher() && lab.feed(PairInput::Mend).is_empty());
}

// Rule: life.reconcile, out.drain
#[test]
fn what_nobody_is_authorised_for_is_ended_on_both_sides() {
    let mut lab = both();
    lab.pair.inbound.authorisation = InAuthorisation::None;
    lab.pair.outbound.authorisation = OutAuthorisation::None;
    let out = lab.feed(PairInput::Mend);
    assert_eq!(mended(&out), [Drift::Unauthorised]);
    assert_eq!(sent(&out).headers.expires(), Ok(Some(0)));
    assert_eq!(stanzas(&out), ["Unavailable desk"]);
    assert_eq!(notifies(&out), [("terminated;reason=deactivated".to_owned(), String::new())]);
}

// Rule: life.reconcile, in.stricter
#[test]
fn a_stranger_who_watches_is_ended_and_a_held_question_is_asked() {
    let mut lab = both();
    lab.partner = PU;
    lab.pair.outbound = Outbound::default();
    let out = lab.feed(PairInput::Mend);
    assert_eq!(
        (mended(&out), stanzas(&out)),
        (vec![Drift::Stranger], vec!["Unavailable desk".into(), "Unsubscribed -".to_owned()])
    );
    let mut lab = Lab::new(PU);
    lab.typed("subscribe");
    lab.partner = FED;
    let out = lab.feed(PairInput::Mend);
    assert_eq!((mended(&out), subscribes(&out)), (vec![Drift::HeldNeedlessly], 1));
}

// Rule: life.reconcile
#[test]
fn a_question_held_for_too_long_is_forgotten() {
    let mut lab = Lab::new(PU);
    lab.typed("subscribe");
    lab.pair.due_at = None;
    lab.wait(HELD_DAYS * DAY_MS + 300_000);
    assert_eq!(mended(&lab.feed(PairInput::Mend)), [Drift::HeldTooLong]);
    assert!(lab.pair.is_blank());
}

// Rule: life.reconcile
#[test]
fn an_authorisation_whose_dialog_is_gone_gets_a_new_one_while_the_lease_lives() {
    for (lease, expected) in [(T0 + 1, 1), (T0, 0)] {
        let mut lab = both();
        lab.pair.inbound.dialog = InDialog::None;
        lab.pair.inbound.lease_until = lease;
        let out = lab.feed(PairInput::Mend);
        assert_eq!((mended(&out).len(), subscribes(&out)), (expected, expected));
    }
}

// Rule: life.reconcile
#[test]
fn a_dialog_whose_refresh_was_forgotten_is_refreshed_or_made_anew() {
    let plant = |change: fn(&mut Lab)| {
        let mut lab = both();
        lab.pair.outbound.dialogs.iter_mut().for_each(|watcher| watcher.expires_at = u64::MAX);
        change(&mut lab);
        lab.pair.due_at = None;
        let out = lab.feed(PairInput::Mend);
        assert_eq!(mended(&out)[..1], [Drift::DialogForgotten]);
        sent(&out).headers.to().unwrap().tag().is_some()
    };
    // Past its refresh: inside the dialog.
    assert!(plant(|lab| lab.wait(3_590_000)));
    // Without one, while the lease lives.
    assert!(plant(|lab| {
        let InDialog::Live { refresh_at, .. } = &mut lab.pair.inbound.dialog else { panic!() };
        *refresh_at = None;
    }));
    // Past its end: a new dialog.
    assert!(!plant(|lab| lab.wait(4_000_000)));
}

// Rule: life.reconcile
#[test]
fn a_device_that_nobody_ended_and_a_contact_out_of_reach_are_told() {
    let mut lab = both();
    lab.pair.inbound = Inbound::default();
    lab.pair.due_at = None;
    lab.wait(4_000_000);
    let out = lab.feed(PairInput::Mend);
    assert_eq!(
        (mended(&out), notify_states(&out)),
        (vec![Drift::WatcherForgotten], vec!["terminated;reason=timeout".into()])
    );
    let mut lab = both();
    lab.pair.outbound.stale_at = Some(T0);
    lab.wait(130_000);
    let out = lab.feed(PairInput::Mend);
    assert_eq!(mended(&out), [Drift::StaleContact]);
    assert!(notifies(&out)[0].1.contains("closed"));
}

// Rule: life.reconcile
#[test]
fn a_contact_of_whom_nothing_is_known_is_probed() {
    let mut lab = both();
    lab.pair.outbound.resources.clear();
    let out = lab.feed(PairInput::Mend);
    assert_eq!((mended(&out), stanzas(&out)), (vec![Drift::UnknownContact], vec!["Probe -".to_owned()]));
}

// Rule: life.reconcile
#[test]
fn a_record_that_nobody_took_up_or_whose_time_is_wrong_is_looked_at() {
    let mut lab = both();
    let right = lab.pair.due_at;
    lab.pair.due_at = Some(u64::MAX);
    assert_eq!(mended(&lab.feed(PairInput::Mend)), [Drift::Unclaimed]);
    assert_eq!(lab.pair.due_at, right);
    // A question that he may not have heard.
    let mut lab = Lab::new(FED);
    lab.alice("c1", 1, 3600, None, "");
    lab.wait(400_000);
    let out = lab.feed(PairInput::Mend);
    assert_eq!((mended(&out), stanzas(&out)), (vec![Drift::Unclaimed], vec!["Subscribe -".to_owned()]));
    let mut blank = Lab::new(FED);
    blank.pair.version = 7;
    assert_eq!(mended(&blank.feed(PairInput::Mend)), [Drift::Blank]);
}
