//! The SIP user loses the right to reach partners, and gets it back.

use super::*;

// Rule: access.change
#[test]
fn who_loses_access_is_seen_to_go_and_keeps_what_was_agreed() {
    for partner in [FED, PV, PU] {
        let mut lab = Lab::new(partner);
        lab.watching();
        lab.bob("desk", "", "<status>busy</status>");
        lab.authorised(&pidf(&[("desk", "open", "Hi")]));
        let out = lab.feed(PairInput::AccessLost);
        // Nothing else is revealed: no `unsubscribed`, and no document about bob.
        assert_eq!(stanzas(&out), ["Unavailable desk"]);
        assert_eq!(notifies(&out), [("terminated;reason=rejected".to_owned(), String::new())]);
        assert_eq!(sent(&out).headers.expires().unwrap(), Some(0));
        assert!(lab.pair.is_watcher() && lab.pair.is_added());
        lab.confirm(&out);
    }
}

#[test]
fn nothing_begins_anew_while_she_may_not() {
    let mut lab = Lab::new(FED);
    lab.watching();
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.feed(PairInput::AccessLost);
    // As the engine does it: whatever is due finds her without the right.
    for _ in 0..10 {
        let Some(due_at) = lab.pair.due_at else { break };
        lab.now = lab.now.max(due_at);
        let out = lab.feed(PairInput::AccessLost);
        assert_eq!((subscribes(&out), notifies(&out).len()), (0, 0), "{out:?}");
        assert!(lab.pair.due_at.is_none_or(|at| at > lab.now), "due at once again: {:?}", lab.pair);
        lab.confirm(&out);
    }
    assert_eq!(lab.pair.inbound.dialog, InDialog::None);
}

#[test]
fn a_question_that_he_may_not_have_heard_is_asked_again_when_she_may_ask() {
    let mut lab = Lab::new(FED);
    let out = lab.alice("c1", 1, 3600, None, "");
    assert_eq!(stanzas(&out), ["Subscribe -"]);
    lab.feed(PairInput::AccessLost);
    lab.feed(PairInput::AccessBack);
    let out = lab.alice("c2", 1, 3600, None, "");
    assert_eq!(stanzas(&out), ["Subscribe -"]);
}

// Rule: access.change
#[test]
fn who_gets_access_back_is_seen_again_without_being_asked() {
    let mut lab = Lab::new(FED);
    lab.authorised(&pidf(&[("desk", "open", "")]));
    lab.feed(PairInput::AccessLost);
    let again = sent(&lab.feed(PairInput::AccessBack));
    assert!(again.headers.to().unwrap().tag().is_none(), "a new dialog");
    lab.answer(&again, 200, &[]);
    let out = lab.notify(&again, "p2", 1, "active;expires=3600", &pidf(&[("desk", "open", "")]));
    assert_eq!(stanzas(&out), ["Available desk"]);
    // Who was never watched is not watched now.
    let mut lab = Lab::new(FED);
    lab.feed(PairInput::AccessLost);
    assert!(lab.feed(PairInput::AccessBack).is_empty());
    assert!(lab.pair.is_blank());
}

// A pair in memory is told at once, and again when the store names it.
// Rule: type.change, type.held
#[test]
fn what_is_held_under_the_new_type_is_not_lost_when_the_change_is_told_again() {
    let mut lab = Lab::new(PU);
    lab.typed("subscribe");
    assert!(lab.feed(PairInput::PartnerChanged).is_empty());
    assert_eq!(lab.pair.inbound.authorisation, InAuthorisation::Held);
    lab.partner = FED;
    assert_eq!(subscribes(&lab.feed(PairInput::PartnerChanged)), 1);
}
