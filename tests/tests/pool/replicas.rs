//! The gateways see each other, and the edge is told one thing by both.

use causeway_tests::peer::process::Signal;
use causeway_tests::peer::{http, until};
use serde_json::{Value as Json, json};

use crate::support::*;

impl Pool {
    /// What a gateway says of the pool.
    async fn replicas(&self, gateway: usize) -> Vec<Json> {
        self.api(gateway, "GET", "/replicas", "").await.json()["replicas"].as_array().cloned().unwrap_or_default()
    }

    /// The version in force at the edge, as each gateway knows it.
    async fn applied(&self) -> [u64; 2] {
        let mut applied = [0; 2];
        for (gateway, version) in applied.iter_mut().enumerate() {
            let edges = self.api(gateway, "GET", "/edges", "").await.json();
            *version = edges["edges"][0]["applied"].as_u64().unwrap_or(0);
        }
        applied
    }

    /// What a gateway tells edges.
    async fn told(&self, gateway: usize) -> u64 {
        self.api(gateway, "GET", "/edges", "").await.json()["snapshot"].as_u64().unwrap_or(0)
    }
}

#[tokio::test]
async fn gateways_with_equal_files_tell_edges_the_same_and_none_overwrites_the_other() {
    let mut pool = Pool::without_hints("snapshots").await;
    let first = pool.told(0).await;
    assert_eq!((first > 0, pool.told(1).await), (true, first));
    until("the edge works by it", async || (pool.applied().await == [first; 2]).then_some(())).await.unwrap();

    // A change gives both the same new version.
    let new = json!({ "domain": PARTNER }).to_string();
    assert_eq!(pool.api(1, "POST", "/partners", &new).await.status, 201);
    let second = pool.told(1).await;
    assert!(second > first);
    until("the other one tells it, too", async || (pool.told(0).await == second).then_some(())).await.unwrap();
    until("the edge works by it", async || (pool.applied().await == [second; 2]).then_some(())).await.unwrap();

    // Starting again changes nothing for the edge, and neither does reading the files again.
    pool.gateways[0].process.kill().unwrap();
    pool.gateways[0].start_again().await;
    pool.gateways[1].process.signal(Signal::HUP).unwrap();
    until("it is attached again", async || (pool.applied().await == [second; 2]).then_some(())).await.unwrap();
    assert_eq!([pool.told(0).await, pool.told(1).await], [second; 2]);
    let applied = pool.edge.log().lines().filter(|line| line.contains("a new snapshot is in force")).count();
    assert_eq!(applied, 2, "{}", pool.edge.log());
}

#[tokio::test]
async fn of_files_that_differ_the_edge_keeps_to_those_that_came_last() {
    let pool = Pool::without_hints("drift").await;
    let text = pool.gateways[0].text();
    let changed = text.replace("domain = 'fabrikam.example'\n", "domain = 'fabrikam.example'\nkeep_alive = 0\n");
    let changed = changed.replace("keep_alive = 0", "enable_keep_alive = false");
    assert_ne!(text, changed);
    let before = pool.told(0).await;
    pool.gateways[0].write(&changed);
    until("the file is read", async || (pool.told(0).await > before).then_some(())).await.unwrap();
    let led = pool.told(0).await;
    until("the edge works by it", async || (pool.applied().await == [led; 2]).then_some(())).await.unwrap();
    // Changes in the store, made here and there: the edge works by the first gateway's files each time.
    for (number, gateway) in [0, 1, 1, 0].into_iter().enumerate() {
        let new = json!({ "domain": format!("p{number}.example") }).to_string();
        assert_eq!(pool.api(gateway, "POST", "/partners", &new).await.status, 201);
        let revision = pool.api(gateway, "GET", "/status", "").await.json()["revision"].clone();
        until("both have it", async || {
            let other = pool.api(1 - gateway, "GET", "/status", "").await.json()["revision"].clone();
            (other == revision).then_some(())
        })
        .await
        .unwrap();
        let (one, two) = (pool.told(0).await, pool.told(1).await);
        assert!(one > two, "{one} {two}");
        until("the edge works by it", async || (pool.applied().await == [one; 2]).then_some(())).await.unwrap();
    }
}

#[tokio::test]
async fn each_gateway_is_known_by_its_reports_until_it_leaves() {
    let mut pool = Pool::without_hints("reports").await;
    // Reports of a store that is a file come when they say something new.
    let new = json!({ "domain": PARTNER }).to_string();
    assert_eq!(pool.api(0, "POST", "/partners", &new).await.status, 201);
    until("both see both", async || {
        let seen = [pool.replicas(0).await.len(), pool.replicas(1).await.len()];
        seen.contains(&2).then_some(())
    })
    .await
    .unwrap();
    let metrics = http::get(pool.gateways[0].health, "/metrics").await.unwrap().1;
    assert!(metrics.contains("causeway_replicas_live"), "{metrics}");
    assert!(metrics.contains("causeway_replica_state{state=\"ready\"} 1"), "{metrics}");
    pool.gateways[1].process.signal(Signal::TERM).unwrap();
    assert!(pool.gateways[1].process.ended().await.unwrap().success());
    let patch = json!({ "description": "again" }).to_string();
    assert_eq!(pool.api(0, "PATCH", &format!("/partners/{PARTNER}"), &patch).await.status, 200);
    until("it has left", async || (pool.replicas(0).await.len() == 1).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_killed_gateway_is_gone_for_the_other_one_until_it_is_back() {
    let mut pool = Pool::with_postgres("gone").await;
    let states = async |pool: &Pool| {
        let seen = pool.replicas(0).await;
        seen.iter().map(|replica| replica["state"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    until("both are ready", async || (states(&pool).await == ["ready", "ready"]).then_some(())).await.unwrap();
    let before = pool.replicas(0).await;
    assert_eq!(before[0]["digest"], before[1]["digest"], "{before:?}");
    assert!(before.iter().all(|replica| replica["drift"].as_array().unwrap().is_empty()), "{before:?}");

    pool.gateways[1].process.kill().unwrap();
    until("it is gone", async || (states(&pool).await == ["ready", "gone"]).then_some(())).await.unwrap();
    let attention = pool.api(0, "GET", "/status", "").await.json()["attention"].to_string();
    assert!(attention.contains("replica-gone") && attention.contains("gateway-2"), "{attention}");

    // Another process of the same name takes its place.
    pool.gateways[1].start_again().await;
    until("it is back", async || (states(&pool).await == ["ready", "ready"]).then_some(())).await.unwrap();
    let after = pool.replicas(0).await;
    assert_ne!(before[1]["boot"], after[1]["boot"]);
}

#[tokio::test]
async fn two_gateways_of_one_name_and_files_that_differ_are_named_by_both() {
    let mut pool = Pool::with_postgres("named").await;
    let codes = async |pool: &Pool, gateway: usize| {
        let seen = pool.replicas(gateway).await;
        let drifts = seen.iter().flat_map(|replica| replica["drift"].as_array().cloned().unwrap_or_default());
        let mut codes: Vec<String> =
            drifts.map(|drift| drift["code"].as_str().unwrap_or_default().to_owned()).collect();
        codes.sort();
        codes
    };
    pool.gateways[1].process.kill().unwrap();
    let text = pool.gateways[1].text();
    let other = text.replace("gateway_id = 'gateway-2'", "gateway_id = 'gateway-1'");
    pool.gateways[1].write(&other.replace("probes_per_minute = 0", "probes_per_minute = 7"));
    pool.gateways[1].start_again().await;
    for gateway in [0, 1] {
        // The killed one is gone for a while; nobody has taken its name.
        let expected = ["differs", "gone", "same-id", "same-id"];
        until("everything is named", async || (codes(&pool, gateway).await == expected).then_some(())).await.unwrap();
        let seen = json!(pool.replicas(gateway).await).to_string();
        assert!(seen.contains("quotas"), "{seen}");
    }
    pool.gateways[1].process.kill().unwrap();
    pool.gateways[1].write(&text);
    pool.gateways[1].start_again().await;
    for gateway in [0, 1] {
        until("everything fits again", async || codes(&pool, gateway).await.is_empty().then_some(())).await.unwrap();
    }
}
