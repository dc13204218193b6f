use super::*;

const NOW: u64 = 1_000_000;

/// A replica that runs since long and has just reported.
fn replica(id: &str) -> Seen {
    let report = Report {
        gateway_id: id.into(),
        boot: format!("boot-{id}"),
        program: "0.9.0".into(),
        schema: 3,
        started_ms: 1_000,
        revision: 7,
        revision_since_ms: 2_000,
        digest: "d1".into(),
        sections: [("sip", "s1"), ("link", "l1")].map(|(name, digest)| (name.into(), digest.into())).into(),
        digest_since_ms: 2_000,
        ..Report::default()
    };
    Seen { seen_ms: NOW - 500, report }
}

fn with(id: &str, change: impl FnOnce(&mut Seen)) -> Seen {
    let mut seen = replica(id);
    change(&mut seen);
    seen
}

/// What does not fit, by name.
fn drift(seen: Vec<Seen>) -> Vec<(String, Vec<Drift>)> {
    let named = judge(seen, NOW).into_iter().map(|replica| (replica.report.gateway_id, replica.drift));
    named.filter(|(_, drift)| !drift.is_empty()).collect()
}

#[test]
fn replicas_that_are_alike_fit() {
    assert_eq!(drift(vec![replica("b"), replica("a"), replica("c")]), []);
    let names = judge(vec![replica("b"), replica("a")], NOW).into_iter().map(|replica| replica.report.gateway_id);
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn who_is_silent_for_five_seconds_is_gone_and_nothing_else_is_said_of_it() {
    let silent = |ms| with("b", |seen| (seen.seen_ms, seen.report.revision) = (NOW - ms, 1));
    let late = judge(vec![replica("a"), silent(GONE_AFTER_MS)], NOW);
    assert!(late[1].is_live());
    let gone = vec![Drift::Gone { silent_ms: GONE_AFTER_MS + 1 }];
    assert_eq!(drift(vec![replica("a"), silent(GONE_AFTER_MS + 1)]), [("b".to_owned(), gone)]);
}

#[test]
fn a_process_that_was_started_again_replaces_the_one_before() {
    let new = with("a", |seen| (seen.report.boot, seen.report.started_ms) = ("boot-2".into(), NOW - 800));
    let judged = judge(vec![with("a", |seen| seen.seen_ms = NOW - 900), new], NOW);
    assert_eq!(judged.len(), 1);
    assert_eq!((judged[0].report.boot.as_str(), judged[0].drift.len()), ("boot-2", 0));
}

#[test]
fn two_that_run_under_one_name_are_both_named() {
    let new = with("a", |seen| (seen.report.boot, seen.report.started_ms) = ("boot-2".into(), NOW - 10_000));
    let same = |boot: &str| ("a".to_owned(), vec![Drift::SameId { boot: boot.into() }]);
    assert_eq!(drift(vec![new.clone(), replica("a"), replica("b")]), [same("boot-2"), same("boot-a")]);
    // One of them ends.
    let ended = with("a", |seen| seen.seen_ms = NOW - GONE_AFTER_MS - 1);
    assert_eq!(drift(vec![new.clone(), ended]), []);
    let late = with("a", |seen| {
        (seen.report.boot, seen.report.started_ms) = ("boot-2".into(), NOW - 10_000);
        seen.seen_ms = NOW - GONE_AFTER_MS - 1;
    });
    let judged = judge(vec![late, replica("a")], NOW);
    assert_eq!(judged.iter().map(|replica| replica.report.boot.as_str()).collect::<Vec<_>>(), ["boot-a"]);
}

#[test]
fn who_works_by_an_old_revision_while_others_have_had_a_newer_one_is_behind() {
    let newer = |since| with("a", |seen| (seen.report.revision, seen.report.revision_since_ms) = (9, NOW - since));
    assert_eq!(drift(vec![newer(TOLERANCE_MS), replica("b")]), []);
    let behind = vec![Drift::Behind { newest: 9, for_ms: 6_000 }];
    assert_eq!(drift(vec![newer(6_000), replica("b")]), [("b".to_owned(), behind)]);
}

#[test]
fn who_has_other_files_than_most_is_named_with_the_sections() {
    let other = |since: u64| {
        with("a", |seen| {
            seen.report.digest = "d2".into();
            seen.report.sections.insert("sip".into(), "s2".into());
            seen.report.sections.insert("echo".into(), "e".into());
            seen.report.digest_since_ms = NOW - since;
        })
    };
    let differs = |from: &str| vec![Drift::Differs { from: from.into(), sections: vec!["echo".into(), "sip".into()] }];
    assert_eq!(drift(vec![other(6_000), replica("b"), replica("c")]), [("a".to_owned(), differs("b"))]);
    // Two of two: somebody has to be named, and always the same.
    assert_eq!(drift(vec![other(6_000), replica("b")]), [("b".to_owned(), differs("a"))]);
    assert_eq!(drift(vec![replica("b"), other(6_000)]), [("b".to_owned(), differs("a"))]);
    // Files are being written.
    assert_eq!(drift(vec![other(TOLERANCE_MS), replica("b"), replica("c")]), []);
}

#[test]
fn who_is_behind_is_not_compared_as_well() {
    let old = with("b", |seen| (seen.report.revision, seen.report.digest) = (6, "d0".into()));
    let behind = vec![Drift::Behind { newest: 7, for_ms: NOW - 2_000 }];
    assert_eq!(drift(vec![replica("a"), old]), [("b".to_owned(), behind)]);
}

#[test]
fn two_versions_are_an_upgrade_and_no_fault() {
    let newer = with("a", |seen| (seen.report.program, seen.report.digest) = ("0.10.0".into(), "d9".into()));
    let older = vec![Drift::Older { program: "0.10.0".into() }];
    assert_eq!(drift(vec![newer.clone(), replica("b")]), [("b".to_owned(), older)]);
    assert!(judge(vec![newer, replica("b")], NOW).iter().all(|replica| !replica.is_drifting()));
    let schema = with("b", |seen| (seen.report.schema, seen.report.program) = (4, "0.8.0".into()));
    assert_eq!(drift(vec![replica("a"), schema])[0].1, [Drift::Older { program: "0.8.0".into() }]);
}

#[test]
fn a_clock_that_is_off_by_more_than_two_seconds_is_named() {
    let off = |ms: i64| with("a", |seen| seen.report.clock_ahead_ms = ms);
    assert_eq!(drift(vec![off(2_000), replica("b")]), []);
    for ahead_ms in [2_001, -2_001] {
        assert_eq!(drift(vec![off(ahead_ms), replica("b")]), [("a".to_owned(), vec![Drift::Clock { ahead_ms }])]);
    }
}
