//! `/readyz` over real sockets: it is false when a leg is gone, says which, and is true again when that is back.

use std::net::SocketAddr;

use causeway_tests::peer::process::Signal;
use causeway_tests::peer::sip::Pool;
use causeway_tests::peer::{http, until};

use crate::support::{World, address};

/// Waits until a service says so: whether it is ready, and what of one leg.
async fn expect(service: SocketAddr, is_ready: bool, leg: &str, bears: bool) -> String {
    let mut last = String::new();
    let found = until("the answer of /readyz", async || {
        let (status, text) = http::get(service, "/readyz").await.ok()?;
        let answer: serde_json::Value = serde_json::from_str(&text).ok()?;
        last.clone_from(&text);
        let leg = &answer["legs"][leg];
        let fits = status == if is_ready { 200 } else { 503 } && answer["ready"] == is_ready && leg["ready"] == bears;
        fits.then(|| leg["reason"].as_str().unwrap_or_default().to_owned())
    });
    found.await.unwrap_or_else(|error| panic!("{error}: {last}"))
}

#[tokio::test]
async fn a_gateway_without_edge_and_an_edge_without_gateway_are_not_ready() {
    let mut world = World::start("ready-link").await;
    let (edge, gateway) = (world.road.plan.edge_http, world.road.plan.gateway_http);
    expect(gateway, true, "link", true).await;
    expect(edge, true, "link", true).await;

    world.gateway.kill().unwrap();
    assert_eq!(expect(edge, false, "link", false).await, "0 gateways attached");
    world.gateway = world.road.start_gateway().await.unwrap();
    expect(edge, true, "link", true).await;

    world.edge.kill().unwrap();
    assert_eq!(expect(gateway, false, "link", false).await, "0 edges attached");
    world.edge = world.road.start_edge().await.unwrap();
    expect(gateway, true, "link", true).await;
}

#[tokio::test]
async fn a_gateway_whose_pool_is_gone_is_not_ready_though_nobody_writes() {
    let asks = |config: &str| config.replace("options_interval_secs = 0", "options_interval_secs = 1");
    let mut world = World::start_with("ready-sip", asks).await;
    let gateway = world.road.plan.gateway_http;
    expect(gateway, true, "sip", true).await;
    let elsewhere = Pool::start(SocketAddr::new(address(), 0)).await.unwrap();
    drop(std::mem::replace(&mut world.pool, elsewhere));
    assert_eq!(expect(gateway, false, "sip", false).await, "0 of 1 targets did not fail lately");
    world.pool = Pool::start(world.road.plan.pool).await.unwrap();
    expect(gateway, true, "sip", true).await;
    world.good_message_passes().await;
}

#[tokio::test]
async fn a_gateway_that_ends_says_so_before_it_is_gone() {
    let world = World::start("ready-drain").await;
    // What is under way keeps it there until the patience is over.
    world.pool.answer(|_| None);
    let mut stream = world.stream().await;
    let text = world.text();
    stream
        .send(&crate::support::message("bob@fabrikam.example/desk", "alice@contoso.example", "d", &text))
        .await
        .unwrap();
    world.arrives(&text).await;
    world.gateway.signal(Signal::TERM).unwrap();
    assert_eq!(expect(world.road.plan.gateway_http, false, "partners", false).await, "going away");
}
