//! Refusals of a subscription: the same words after the same time, whatever the reason is.

use super::*;

/// What leaves, and when after the `subscribe`, if the pool answers like this.
fn refusal(partner: PartnerType, status: u16) -> Vec<(u64, Vec<String>)> {
    let mut lab = Lab::new(partner);
    if partner == PU {
        lab.watching();
        lab.settle_all();
    }
    let subscribe = sent(&lab.typed("subscribe"));
    let mut told = vec![(lab.now - T0, stanzas(&lab.answer(&subscribe, status, &[])))];
    while let Some(due_at) = lab.pair.due_at.filter(|at| *at < T0 + 60_000) {
        lab.now = lab.now.max(due_at);
        told.push((lab.now - T0, stanzas(&lab.feed(PairInput::Due))));
    }
    told.retain(|(_, stanzas)| !stanzas.is_empty());
    told
}

// Rule: oracle.answer, oracle.delay
#[test]
fn refused_and_unknown_are_one_answer_after_one_time() {
    for partner in [PV, PU] {
        let forbidden = refusal(partner, 403);
        assert_eq!(forbidden.len(), 1);
        let (after, told) = &forbidden[0];
        assert_eq!(*told, ["Unsubscribed -"]);
        assert!((2_000..=10_000).contains(after), "{after}");
        for status in [404, 410, 603, 604] {
            assert_eq!(refusal(partner, status), forbidden, "{partner:?} {status}");
        }
    }
    for status in [403, 404, 410, 603, 604] {
        assert_eq!(refusal(FED, status), [(0, vec!["Unsubscribed -".to_owned()])], "{status}");
    }
}

// Rule: oracle.delay
#[test]
fn a_rejection_in_a_notify_and_an_account_that_goes_are_no_faster() {
    for (partner, is_delayed) in [(FED, false), (PV, true)] {
        for (is_authorised, state) in [(false, "terminated;reason=rejected"), (true, "terminated;reason=rejected")] {
            let mut lab = Lab::new(partner);
            let subscribe = match is_authorised {
                true => lab.authorised(&pidf(&[("desk", "open", "")])),
                false => sent(&lab.typed("subscribe")),
            };
            let began = lab.now;
            let mut told = stanzas(&lab.notify(&subscribe, "p1", 7, state, ""));
            assert_eq!(told.is_empty(), is_delayed, "{partner:?} {told:?}");
            if is_delayed {
                lab.pair.owed.clear();
                lab.pair.due_at = lab.pair.next_due(&lab.settings);
                told = stanzas(&lab.due());
                assert!((2_000..=10_000).contains(&(lab.now - began)), "{}", lab.now - began);
            }
            assert_eq!(told.last().map(String::as_str), Some("Unsubscribed -"));
        }
    }
}

// The delay is random, so that nobody can take it off.
// Rule: oracle.delay
#[test]
fn the_delay_of_a_refusal_is_spread() {
    let mut delays: Vec<u64> = (0..200)
        .map(|random| {
            let mut lab = Lab::new(PV);
            lab.random = random * 1_000;
            let subscribe = sent(&lab.typed("subscribe"));
            lab.answer(&subscribe, 404, &[]);
            lab.pair.inbound.refusal_due.unwrap() - T0
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[0] < 3_000 && delays[199] > 9_000, "{} to {}", delays[0], delays[199]);
    assert!((4_500..7_500).contains(&delays[100]), "{}", delays[100]);
}
