//! Replicas, duties and secrets: what every engine's [`PoolStore`] must do.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::operator::{change, put};
use super::wait;
use crate::store::StoreFault;
use crate::store::operator::OperatorStore;
use crate::store::pool::*;

/// Both parts of a store.
pub(crate) trait Both: PoolStore + OperatorStore {}

impl<T: PoolStore + OperatorStore> Both for T {}

/// Opens two stores on the same data, empty at first: two gateways.
type MakeTwo<'a> = &'a dyn Fn() -> [Arc<dyn Both>; 2];

/// How far the clock of a database on the same machine may be from ours, with the time that asking takes.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

pub(crate) fn check_all(make: MakeTwo<'_>) {
    everybody_hears_of_everybody(&make());
    who_is_silent_is_forgotten(&make());
    who_is_replaced_is_forgotten_sooner(&make());
    who_leaves_is_gone(&make());
    a_duty_is_done_by_one(&make());
    a_duty_whose_holder_is_silent_is_taken_over(&make());
    another_occasion_starts_a_duty_anew(&make());
    what_is_done_is_done_for_all(&make());
    the_end_of_an_occasion_that_is_over_changes_nothing(&make());
    a_duty_claimed_at_the_same_moment_goes_to_one(&make());
    who_leaves_gives_back_his_duties(&make());
    old_duties_make_room(&*make()[0]);
    the_first_candidate_is_the_secret(&make());
    a_snapshot_has_one_version_and_an_old_revision_none(&make());
    what_is_too_large_is_refused_by_name(&*make()[0]);
    the_clock_goes_right(&*make()[0]);
}

fn report(store: &dyn Both, id: &str, now_ms: u64, text: &str) -> Vec<(String, u64, String)> {
    wait(|done| store.report_replica(id.into(), now_ms, text.into(), now_ms.saturating_sub(10_000), done)).unwrap()
}

fn replica(id: &str, seen_ms: u64, text: &str) -> (String, u64, String) {
    (id.into(), seen_ms, text.into())
}

/// Claims the duty `sweep` for a minute.
fn claim(store: &dyn Both, token: &str, holder: &str, now_ms: u64) -> Duty {
    wait(|done| store.claim_duty("sweep".into(), token.into(), holder.into(), now_ms, now_ms + 60_000, done)).unwrap()
}

fn finish(store: &dyn Both, token: &str) {
    wait(|done| store.finish_duty("sweep".into(), token.into(), done)).unwrap();
}

fn everybody_hears_of_everybody([one, two]: &[Arc<dyn Both>; 2]) {
    assert_eq!(report(&**one, "b", 20_000, "first"), [replica("b", 20_000, "first")]);
    assert_eq!(report(&**two, "a", 20_500, "{}"), [replica("a", 20_500, "{}"), replica("b", 20_000, "first")]);
    let again = report(&**one, "b", 21_000, "second \u{e9}");
    assert_eq!(again, [replica("a", 20_500, "{}"), replica("b", 21_000, "second \u{e9}")]);
}

fn who_is_silent_is_forgotten([one, two]: &[Arc<dyn Both>; 2]) {
    report(&**one, "silent", 20_000, "x");
    assert_eq!(report(&**two, "a", 30_000, "y").len(), 2);
    assert_eq!(report(&**two, "a", 30_001, "y"), [replica("a", 30_001, "y")]);
    assert_eq!(report(&**one, "silent", 30_002, "x").len(), 2);
}

fn who_is_replaced_is_forgotten_sooner([one, two]: &[Arc<dyn Both>; 2]) {
    for (id, seen_ms) in [("g#1", 20_000), ("g#2", 20_001), ("g#g#1", 20_000), ("gg#1", 20_000), ("G#1", 20_000)] {
        report(&**one, id, seen_ms, "x");
    }
    let ids = |rows: Vec<(String, u64, String)>| rows.into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
    assert_eq!(ids(report(&**two, "g#3", 25_000, "y")).len(), 6, "whoever may still report is there");
    let left = ids(report(&**two, "g#3", 20_001 + REPLACED_AFTER_MS, "y"));
    assert_eq!(left, ["G#1", "g#2", "g#3", "g#g#1", "gg#1"]);
    // One that ends after each start, faster than anybody would be forgotten otherwise.
    for start in 0..2 * MAX_REPLICAS {
        let seen_ms = 30_000 + u64::try_from(start).unwrap() * 1_000;
        let id = format!("loop#{start}");
        assert!(wait(|done| one.report_replica(id, seen_ms, "x".into(), 0, done)).is_ok(), "start {start}");
    }
}

fn who_leaves_is_gone([one, two]: &[Arc<dyn Both>; 2]) {
    report(&**one, "b", 20_000, "x");
    wait(|done| one.remove_replica("b".into(), done)).unwrap();
    wait(|done| one.remove_replica("nobody".into(), done)).unwrap();
    assert_eq!(report(&**two, "a", 20_001, "y"), [replica("a", 20_001, "y")]);
}

fn a_duty_is_done_by_one([one, two]: &[Arc<dyn Both>; 2]) {
    assert_eq!(claim(&**one, "t1", "a", 1_000), Duty::Mine);
    assert_eq!(claim(&**two, "t1", "b", 2_000), Duty::Elsewhere { until_ms: 61_000 });
    // Who has it may prolong it.
    assert_eq!(claim(&**one, "t1", "a", 30_000), Duty::Mine);
    assert_eq!(claim(&**two, "t1", "b", 61_000), Duty::Elsewhere { until_ms: 90_000 });
    let other = wait(|done| two.claim_duty("round".into(), "t1".into(), "b".into(), 2_000, 3_000, done)).unwrap();
    assert_eq!(other, Duty::Mine);
}

fn a_duty_whose_holder_is_silent_is_taken_over([one, two]: &[Arc<dyn Both>; 2]) {
    assert_eq!(claim(&**one, "t1", "a", 1_000), Duty::Mine);
    assert_eq!(claim(&**two, "t1", "b", 60_999), Duty::Elsewhere { until_ms: 61_000 });
    assert_eq!(claim(&**two, "t1", "b", 61_000), Duty::Mine);
    assert_eq!(claim(&**one, "t1", "a", 61_001), Duty::Elsewhere { until_ms: 121_000 });
}

fn another_occasion_starts_a_duty_anew([one, two]: &[Arc<dyn Both>; 2]) {
    assert_eq!(claim(&**one, "t1", "a", 1_000), Duty::Mine);
    assert_eq!(claim(&**two, "t2", "b", 1_001), Duty::Mine);
    assert_eq!(claim(&**one, "t2", "a", 1_002), Duty::Elsewhere { until_ms: 61_001 });
}

fn what_is_done_is_done_for_all([one, two]: &[Arc<dyn Both>; 2]) {
    assert_eq!(claim(&**one, "t1", "a", 1_000), Duty::Mine);
    finish(&**one, "t1");
    assert_eq!(claim(&**two, "t1", "b", 1_001), Duty::Done);
    assert_eq!(claim(&**one, "t1", "a", u64::from(u32::MAX)), Duty::Done);
    assert_eq!(claim(&**two, "t2", "b", 1_001), Duty::Mine);
}

fn the_end_of_an_occasion_that_is_over_changes_nothing([one, two]: &[Arc<dyn Both>; 2]) {
    finish(&**one, "t1");
    assert_eq!(claim(&**one, "t1", "a", 1_000), Duty::Mine);
    assert_eq!(claim(&**two, "t2", "b", 1_001), Duty::Mine);
    finish(&**one, "t1");
    assert_eq!(claim(&**two, "t2", "b", 1_002), Duty::Mine);
}

fn a_duty_claimed_at_the_same_moment_goes_to_one(stores: &[Arc<dyn Both>; 2]) {
    for round in 0..20 {
        let (token, barrier) = (format!("t{round}"), std::sync::Barrier::new(stores.len()));
        let claims = std::thread::scope(|scope| {
            let started: Vec<_> = stores
                .iter()
                .zip(["a", "b"])
                .map(|(store, holder)| {
                    let (token, barrier) = (&token, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        claim(&**store, token, holder, 1_000)
                    })
                })
                .collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(claims.iter().filter(|claim| **claim == Duty::Mine).count(), 1, "{token}: {claims:?}");
    }
}

fn who_leaves_gives_back_his_duties([one, two]: &[Arc<dyn Both>; 2]) {
    let claim = |store: &dyn Both, duty: &str, holder: &str| {
        wait(|done| store.claim_duty(duty.into(), "t".into(), holder.into(), 1_000, 61_000, done)).unwrap()
    };
    for (duty, holder) in [("round", "a"), ("kept", "a"), ("over", "a"), ("other's", "c")] {
        assert_eq!(claim(&**one, duty, holder), Duty::Mine);
    }
    wait(|done| one.finish_duty("over".into(), "t".into(), done)).unwrap();
    wait(|done| one.give_back_duties("a".into(), "kept".into(), done)).unwrap();
    assert_eq!(claim(&**two, "round", "b"), Duty::Mine);
    assert_eq!(claim(&**two, "kept", "b"), Duty::Elsewhere { until_ms: 61_000 });
    assert_eq!(claim(&**two, "over", "b"), Duty::Done);
    assert_eq!(claim(&**two, "other's", "b"), Duty::Elsewhere { until_ms: 61_000 });
}

fn old_duties_make_room(store: &dyn Both) {
    let claim = |number: usize| {
        let until_ms = 1_000 + u64::try_from(number).unwrap();
        move |done| store.claim_duty(format!("d{number}"), "t".into(), "a".into(), 1_000, until_ms, done)
    };
    let (sender, receiver) = std::sync::mpsc::sync_channel(MAX_DUTIES + 1);
    for number in 1..=MAX_DUTIES {
        let sender = sender.clone();
        claim(number)(Box::new(move |result| sender.send(result).unwrap()));
        // What waits is bounded.
        if number % 100 == 0 {
            receiver.iter().take(100).for_each(|result| assert_eq!(result.unwrap(), Duty::Mine));
        }
    }
    assert_eq!(wait(claim(MAX_DUTIES + 1)).unwrap(), Duty::Mine);
    let elsewhere = |number: usize| {
        wait(|done| store.claim_duty(format!("d{number}"), "t".into(), "b".into(), 1_000, 2_000, done)).unwrap()
    };
    assert_eq!(elsewhere(2), Duty::Elsewhere { until_ms: 1_002 });
    // Forgotten, so that it is as if nobody had ever asked.
    assert_eq!(elsewhere(1), Duty::Mine);
}

fn the_first_candidate_is_the_secret([one, two]: &[Arc<dyn Both>; 2]) {
    let secret = |store: &dyn Both, name: &str, candidate: &[u8]| {
        wait(|done| store.secret(name.into(), candidate.to_vec(), done)).unwrap()
    };
    assert_eq!(secret(&**one, "dialback", b"\x00one\xff"), b"\x00one\xff");
    assert_eq!(secret(&**two, "dialback", b"two"), b"\x00one\xff");
    assert_eq!(secret(&**two, "other", b"two"), b"two");
    let moved = vec![("dialback".to_owned(), b"moved".to_vec()), ("third".to_owned(), b"\x003".to_vec())];
    wait(|done| two.replace_secrets(moved.clone(), done)).unwrap();
    let all = wait(|done| one.secrets(done)).unwrap();
    assert_eq!(all, [moved[0].clone(), ("other".to_owned(), b"two".to_vec()), moved[1].clone()]);
    assert_eq!(secret(&**one, "dialback", b"late"), b"moved");
}

fn a_snapshot_has_one_version_and_an_old_revision_none([one, two]: &[Arc<dyn Both>; 2]) {
    let version = |store: &dyn Both, revision: u64, digest: &str, is_new: bool, now_ms: u64| {
        let ask = SnapshotAsk { revision, digest: digest.into(), is_new, now_ms };
        wait(|done| store.snapshot_version(ask, done)).unwrap()
    };
    assert_eq!(version(&**one, 0, "files", true, 5_000), Some(5_000));
    assert_eq!(version(&**two, 0, "files", true, 6_000), Some(5_000));
    change(&**one, 0, vec![put("a.example", "{}")]);
    assert_eq!(version(&**two, 0, "files", false, 7_000), None);
    assert_eq!(version(&**two, 1, "files", false, 7_000), Some(7_000));
    assert_eq!(version(&**one, 1, "files", false, 8_000), Some(7_000));
    assert_eq!(version(&**one, 1, "other files", true, 6_500), Some(7_002));
    assert_eq!(version(&**two, 1, "files", false, 9_000), Some(7_001));
    assert_eq!(version(&**two, 2, "files", false, 9_000), None);
}

fn what_is_too_large_is_refused_by_name(store: &dyn Both) {
    let refused = |error: crate::store::StoreError, bound: usize| {
        assert_eq!(error.fault, StoreFault::Refused);
        assert!(error.to_string().contains(&bound.to_string()), "{error}");
    };
    let (long, name) = ("x".repeat(MAX_REPORT + 1), "n".repeat(MAX_POOL_NAME + 1));
    refused(wait(|done| store.report_replica("a".into(), 1, long.clone(), 0, done)).unwrap_err(), MAX_REPORT);
    refused(wait(|done| store.report_replica(name.clone(), 1, "x".into(), 0, done)).unwrap_err(), MAX_POOL_NAME);
    refused(wait(|done| store.secret("s".into(), long.into_bytes(), done)).unwrap_err(), MAX_REPORT);
    let claim = |duty: &str, token: &str, holder: &str| {
        wait(|done| store.claim_duty(duty.into(), token.into(), holder.into(), 1, 2, done)).unwrap_err()
    };
    for (duty, token, holder) in [(name.as_str(), "t", "h"), ("d", name.as_str(), "h"), ("d", "t", name.as_str())] {
        refused(claim(duty, token, holder), MAX_POOL_NAME);
    }
    let ask = SnapshotAsk { revision: 0, digest: name.clone(), is_new: true, now_ms: 1 };
    refused(wait(|done| store.snapshot_version(ask, done)).unwrap_err(), MAX_POOL_NAME);
    for number in 0..MAX_REPLICAS {
        report(store, &format!("r{number}"), 20_000, "x");
    }
    let one_more = wait(|done| store.report_replica("one-more".into(), 20_000, "x".into(), 0, done));
    refused(one_more.unwrap_err(), MAX_REPLICAS);
    for number in 0..MAX_SECRETS {
        wait(|done| store.secret(format!("s{number}"), vec![1], done)).unwrap();
    }
    refused(wait(|done| store.secret("one-more".into(), vec![1], done)).unwrap_err(), MAX_SECRETS);
}

fn the_clock_goes_right(store: &dyn Both) {
    let told = Duration::from_millis(wait(|done| store.clock(done)).unwrap());
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(told.abs_diff(ours) < CLOCK_TOLERANCE, "{told:?}, and here it is {ours:?}");
}
