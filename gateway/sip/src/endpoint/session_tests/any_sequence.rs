//! Any sequence of what users and the network do.

use proptest::prelude::*;

use super::*;

/// One thing that a user or the network does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Call,
    Ring,
    Accept(usize),
    Refuse(usize),
    HangUp(usize),
    Reoffer(usize),
    Send(usize),
    Deliver,
    Pass(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Call),
        Just(Deed::Ring),
        (0..2_usize).prop_map(Deed::Accept),
        (0..2_usize).prop_map(Deed::Refuse),
        (0..2_usize).prop_map(Deed::HangUp),
        (0..2_usize).prop_map(Deed::Reoffer),
        (0..2_usize).prop_map(Deed::Send),
        Just(Deed::Deliver),
        (1..40_000_u64).prop_map(Deed::Pass),
    ]
}

/// The sessions an end has heard of, in order.
fn known(pair: &Pair, end: usize) -> Vec<SessionId> {
    let mut known: Vec<SessionId> = Vec::new();
    for event in &pair.ends[end].events {
        if let Event::Session { session, .. } = event
            && !known.contains(session)
        {
            known.push(*session);
        }
    }
    known
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // Rule: sip.any-sequence
    #[test]
    fn no_sequence_of_deeds_leaves_a_session_or_transaction_behind(
        deeds in proptest::collection::vec(deed(), 1..40),
        fates in proptest::collection::vec(0..8_u8, 1..60),
        udp in any::<bool>(),
    ) {
        let mut pair = Pair::new(if udp { TransportKind::Udp } else { TransportKind::Tcp });
        for end in &mut pair.ends {
            end.endpoint.config.sessions = Some(SessionConfig { expires: Some(90), ..SessionConfig::default() });
        }
        // Three of eight messages are lost or doubled; after a while the network heals.
        pair.copies = Box::new(move |n| match fates.get(n).copied().unwrap_or(0) {
            6 => 2,
            7 if udp => 0,
            _ => 1,
        });
        let mut called = Vec::new();
        for deed in deeds {
            let latest = |pair: &Pair, end: usize| match end {
                CALLER => called.last().copied(),
                end => known(pair, end).last().copied(),
            };
            match deed {
                Deed::Call => called.push(pair.call()),
                Deed::Ring => if let Some(session) = latest(&pair, CALLEE) {
                    let _ = pair.act(CALLEE, |endpoint, now, out| endpoint.progress(session, Status::RINGING, now, out));
                },
                Deed::Accept(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.accept(end, session);
                },
                Deed::Refuse(end) => if let Some(session) = latest(&pair, end) {
                    let headers = Headers::default();
                    let _ = pair.act(end, |endpoint, now, out| {
                        endpoint.refuse(session, Status::BUSY_HERE, &headers, now, out)
                    });
                },
                Deed::HangUp(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.hang_up(end, session);
                },
                Deed::Reoffer(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.act(end, |endpoint, now, out| {
                        endpoint.reoffer(session, Description::sdp("v=0\r\n"), now, out)
                    });
                },
                Deed::Send(end) => if let Some(session) = latest(&pair, end) {
                    let _ = pair.send(end, session, 5);
                },
                Deed::Deliver => pair.deliver(),
                Deed::Pass(millis) => pair.run(Duration::from_millis(millis)),
            }
        }
        // Everybody hangs up whatever is still there.
        for session in called.clone() {
            let _ = pair.hang_up(CALLER, session);
        }
        for session in known(&pair, CALLEE) {
            let _ = pair.hang_up(CALLEE, session);
        }
        pair.run(Duration::from_secs(60));
        for end in [CALLER, CALLEE] {
            for session in known(&pair, end) {
                let _ = pair.hang_up(end, session);
            }
        }
        pair.assert_nothing_is_left();
        for end in [CALLER, CALLEE] {
            for session in known(&pair, end) {
                let heard = pair.heard(end, session);
                let ends = ["Refused", "Failed", "HungUp", "ByPeer", "Cancelled", "NoAnswer", "NoAck", "Expired", "Gone"];
                let ended = heard.iter().filter(|name| ends.iter().any(|end| name.starts_with(end))).count();
                prop_assert_eq!(ended, 1, "{:?}", heard);
                prop_assert!(ends.iter().any(|end| heard.last().unwrap().starts_with(end)), "{:?}", heard);
            }
        }
    }
}
