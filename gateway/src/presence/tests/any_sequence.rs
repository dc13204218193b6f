//! Any events in any order.

use proptest::prelude::*;

use super::*;

fn event() -> impl Strategy<Value = (u8, u8, u64)> {
    (0..24_u8, 0..8_u8, prop_oneof![Just(0), 1..10_000_u64, 10_000..5_000_000_u64])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // Rule: life.any-sequence, pidf.watcher-only
    /// Whatever happens in whatever order: nothing that expires is without a due time, a due pair is not due again at
    /// once, bounds hold, nobody is told of a user who may not see him, users of Public partners are told no note, and
    /// a sweep finds nothing that it cannot mend.
    #[test]
    fn any_sequence_of_events_keeps_the_promises(partner in 0..3_u8, events in proptest::collection::vec(event(), 1..60)) {
        let partner = [FED, PV, PU][usize::from(partner)];
        let mut lab = Lab::new(partner);
        let mut subscribe_sent: Option<Request> = None;
        let mut notify_sent: Option<Request> = None;
        let mut oks: Vec<(String, Response)> = Vec::new();
        let mut serial = 0;
        for (step, (what, detail, pause)) in events.into_iter().enumerate() {
            lab.wait(pause);
            let before = lab.pair.clone();
            let cseq = u32::try_from(step).unwrap() + 2;
            let out = match what {
                0 => lab.typed("subscribe"),
                1 => lab.typed("unsubscribe"),
                2 => lab.typed("subscribed"),
                3 => lab.typed("unsubscribed"),
                4 => lab.typed("probe"),
                5 | 6 => lab.bob(&format!("r{detail}"), "", ["", "<show>away</show>"][usize::from(detail) % 2]),
                7 => lab.bob(["", "r1"][usize::from(detail) % 2], " type='unavailable'", ""),
                8 => lab.bob("", " type='error'", "<error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
                9 | 10 => {
                    let call = format!("c{step}");
                    let out = lab.alice(&call, 1, [0, 60, 3600][usize::from(detail) % 3], None, "");
                    if status(&out) == 200 {
                        oks.push((call, response(&out)));
                    }
                    out
                }
                11 => match oks.get(usize::from(detail) % oks.len().max(1)).cloned() {
                    Some((call, ok)) => lab.alice(&call, cseq, [0, 600][usize::from(detail) % 2], Some(&ok), ""),
                    None => Vec::new(),
                },
                12..=14 => match subscribe_sent.clone() {
                    Some(subscribe) => {
                        let states = ["active;expires=600", "pending;expires=600", "terminated;reason=rejected", "terminated;reason=deactivated",
                            "terminated;reason=giveup;retry-after=9", "active", "terminated", "active;expires=0"];
                        let bodies = [String::new(), pidf(&[("desk", "open", "n")]), pidf(&[])];
                        lab.notify(&subscribe, ["p1", "p2"][step % 2], cseq, states[usize::from(detail)], &bodies[step % 3])
                    }
                    None => Vec::new(),
                },
                15 => match subscribe_sent.clone() {
                    Some(subscribe) => {
                        let code = [200, 403, 481, 480, 423, 500, 407, 202][usize::from(detail)];
                        lab.answer(&subscribe, code, &[(HeaderName::MinExpires, "90")])
                    }
                    None => Vec::new(),
                },
                16 | 17 => match notify_sent.clone() {
                    Some(notify) => lab.answer(&notify, [200, 481, 500, 200][usize::from(detail) % 4], &[]),
                    None => Vec::new(),
                },
                18 => lab.feed(PairInput::PresenceOutcome {
                    serial,
                    failure: (detail % 2 == 0).then_some(StanzaCondition::RemoteServerTimeout),
                    shown: (detail % 3 == 0).then(Vec::new),
                }),
                19 => {
                    lab.now = lab.pair.due_at.unwrap_or(lab.now).max(lab.now);
                    lab.feed(PairInput::Due)
                }
                20 => lab.feed([PairInput::StreamLost, PairInput::StreamBack, PairInput::Restart { before_ms: u64::MAX }, PairInput::Activity, PairInput::EdgeLost][usize::from(detail) % 5].clone()),
                21 => lab.feed([PairInput::AccessLost, PairInput::AccessBack][usize::from(detail) % 2].clone()),
                22 if detail % 2 == 0 => lab.feed(PairInput::Mend),
                22 => lab.feed(PairInput::SayAgain { after: serial.wrapping_sub(1), shown: vec!["desk".into(), "gone".into()] }),
                _ => {
                    lab.partner = [FED, PV, PU][usize::from(detail) % 3];
                    lab.feed(PairInput::PartnerChanged)
                }
            };
            for output in &out {
                match output {
                    PairOutput::Subscribe { request, .. } => subscribe_sent = Some(request.clone()),
                    PairOutput::Notify { request, .. } => {
                        let may_see = [&before, &lab.pair].iter().any(|pair| pair.outbound.authorisation == OutAuthorisation::To);
                        prop_assert!(request.body.is_empty() || may_see, "step {step} {what}: {request:?}");
                        notify_sent = Some(request.clone());
                    }
                    PairOutput::Presence { presence, serial: number } => {
                        serial = *number;
                        let ends = (&presence.to, presence.from.bare());
                        prop_assert_eq!(ends, (&lab.pair.key.remote, lab.pair.key.local.clone()), "step {} {}", step, what);
                        let notes = presence.presence.iter().flat_map(|presence| &presence.notes).count();
                        prop_assert!(notes == 0 || lab.partner.sees_notes(), "step {step} {what}: a note leaks");
                        prop_assert!(presence.kind != PresenceKind::Available || lab.pair.is_watcher(), "step {step} {what}");
                        prop_assert!(presence.kind != PresenceKind::Subscribed || lab.pair.is_watcher(), "step {step} {what}");
                    }
                    PairOutput::Respond(_)
                    | PairOutput::Verdict(_)
                    | PairOutput::Overtaken { .. }
                    | PairOutput::Mended(_) => {}
                }
            }
            prop_assert!(out.len() <= 64, "step {step} {what}: {} outputs", out.len());
            let pair = &lab.pair;
            let expires = pair.inbound.dialog != InDialog::None || !pair.outbound.dialogs.is_empty() || !pair.owed.is_empty();
            prop_assert!(!expires || pair.due_at.is_some(), "step {step} {what}: {pair:?}");
            prop_assert!(pair.outbound.dialogs.len() <= MAX_DIALOGS && pair.outbound.resources.len() <= MAX_RESOURCES);
            let is_wanted = matches!(pair.inbound.authorisation, InAuthorisation::Pending | InAuthorisation::Authorised);
            let is_open = matches!(pair.inbound.dialog, InDialog::Trying { .. } | InDialog::Live { .. });
            prop_assert!(is_wanted || !is_open, "step {step} {what}: a dialog without an authorisation: {pair:?}");
            if lab.pair.due_at.is_some_and(|at| at <= lab.now) {
                lab.feed(PairInput::Due);
                prop_assert!(lab.pair.due_at.is_none_or(|at| at > lab.now), "step {step} {what}: due again at once: {:?}", lab.pair);
            }
        }
        // Whoever had the right and lost it meanwhile, and whatever was forgotten: one look mends all of it.
        lab.wait(600_000);
        let out = lab.feed(PairInput::Mend);
        prop_assert!(out.len() <= 64);
        let again = lab.feed(PairInput::Mend);
        // A contact of whom nothing is heard may be asked each time.
        let is_probe = |output: &PairOutput| matches!(output, PairOutput::Mended(Drift::UnknownContact) | PairOutput::Presence { .. });
        prop_assert!(again.iter().all(is_probe), "{again:?} after {out:?}: {:?}", lab.pair);
    }
}
