//! What an operator changes at one gateway is in force at the other within a second.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::*;

/// How many changes.
const CHANGES: usize = 100;
/// Within which each is in force everywhere.
const BOUND: Duration = Duration::from_secs(1);
/// How often the test looks; the interface has a rate.
const LOOK: Duration = Duration::from_millis(50);

/// Changes a partner at one gateway and the other in turn; answers how long each took until the other one had it.
async fn change_by_turns(pool: &Pool) -> Vec<Duration> {
    let new = json!({ "domain": PARTNER, "partner_type": "Federated" }).to_string();
    assert_eq!(pool.api(0, "POST", "/partners", &new).await.status, 201);
    let mut taken = Vec::new();
    for number in 0..CHANGES {
        let (here, there) = (number % 2, (number + 1) % 2);
        let description = format!("change {number}");
        let path = format!("/partners/{PARTNER}");
        // The one that changes it may not have heard of the change before yet: what it answers is no part of this.
        let patch = json!({ "description": description }).to_string();
        let answer = pool.api(here, "PATCH", &path, &patch).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let stored = Instant::now();
        loop {
            let seen = pool.api(there, "GET", &path, "").await;
            if seen.status == 200 && seen.json()["description"] == description.as_str() {
                break;
            }
            assert!(stored.elapsed() < BOUND * 10, "change {number} does not arrive: {seen:?}");
            tokio::time::sleep(LOOK).await;
        }
        taken.push(stored.elapsed());
    }
    taken
}

fn judge(mut taken: Vec<Duration>) {
    taken.sort();
    let (median, longest) = (taken[taken.len() / 2], taken[taken.len() - 1]);
    println!("{} changes: median {median:?}, longest {longest:?}", taken.len());
    assert!(longest < BOUND, "{taken:?}");
}

#[tokio::test]
async fn a_hundred_changes_are_each_in_force_at_the_other_gateway_within_a_second_without_any_hint() {
    let pool = Pool::without_hints("changes").await;
    judge(change_by_turns(&pool).await);
}

#[tokio::test]
async fn a_hundred_changes_are_each_in_force_at_the_other_gateway_within_a_second_in_postgresql() {
    let pool = Pool::with_postgres("changes-postgres").await;
    judge(change_by_turns(&pool).await);
}
