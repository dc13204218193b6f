//! Delivered or bounced (ARCHITECTURE, promise 1): processes that die in the middle.

use std::sync::atomic::Ordering;

use causeway_tests::peer::sip::Message;

use crate::support::{World, message};

const BOB: &str = "bob@fabrikam.example/desk";
const ALICE: &str = "alice@contoso.example";

/// Sends a message that the pool takes and does not answer; gives the pool's request.
async fn unanswered(world: &World, id: &str) -> Message {
    world.pool.answer(|_| None);
    let mut stream = world.stream().await;
    stream.send(&message(BOB, ALICE, id, id)).await.unwrap();
    world.arrives(id).await
}

fn bounces(world: &World, id: &str) -> Vec<String> {
    world.fabrikam.stanzas.matching(|stanza| stanza.contains("type='error'") && stanza.contains(id))
}

#[tokio::test]
async fn a_gateway_killed_before_the_answer_delivers_after_its_restart() {
    let mut world = World::start("gateway-dies").await;
    unanswered(&world, "killed").await;

    world.gateway.kill().unwrap();
    world.pool.answer(|request| Some(request.respond("200 OK", "")));
    world.gateway = world.road.start_gateway().await.unwrap();
    world.road.ready().await.unwrap();

    let copies = || world.pool.requests.matching(|request| request.body == "killed").len();
    causeway_tests::peer::until("the message is sent again", async || (copies() == 2).then_some(())).await.unwrap();
    // Behind it in the same pair: what came before is finished.
    world.good_message_passes().await;
    assert_eq!(copies(), 2);
    assert_eq!(bounces(&world, "killed"), Vec::<String>::new());
}

// Rule: message.answer.refused
#[tokio::test]
async fn a_gateway_killed_before_the_answer_bounces_once_when_the_answer_is_no() {
    let mut world = World::start("gateway-dies-no").await;
    unanswered(&world, "refused").await;

    world.gateway.kill().unwrap();
    world.pool.answer(|request| {
        let status = if request.body == "refused" { "404 Not Found" } else { "200 OK" };
        Some(request.respond(status, ""))
    });
    world.gateway = world.road.start_gateway().await.unwrap();
    world.road.ready().await.unwrap();

    let is_bounce = |stanza: &String| stanza.contains("type='error'") && stanza.contains("refused");
    world.fabrikam.stanzas.wait("the bounce", is_bounce).await.unwrap();
    world.good_message_passes().await;
    assert_eq!(bounces(&world, "refused").len(), 1);
}

#[tokio::test]
async fn an_edge_killed_before_the_answer_does_not_take_the_bounce_with_it() {
    let mut world = World::start("edge-dies").await;
    let request = unanswered(&world, "orphan").await;

    world.edge.kill().unwrap();
    world.edge = world.road.start_edge().await.unwrap();
    world.pool.send(request.respond("404 Not Found", ""));
    world.road.ready().await.unwrap();

    let is_bounce = |stanza: &String| stanza.contains("type='error'") && stanza.contains("orphan");
    world.fabrikam.stanzas.wait("the bounce through the new edge", is_bounce).await.unwrap();
    world.pool.answer(|request| Some(request.respond("200 OK", "")));
    world.good_message_passes().await;
    assert_eq!(bounces(&world, "orphan").len(), 1);
    assert_eq!(world.pool.requests.matching(|request| request.body == "orphan").len(), 1);
}

#[tokio::test]
async fn an_edge_killed_with_a_stanza_in_its_queue_delivers_it_after_its_restart() {
    let mut world = World::start("edge-queue-dies").await;
    world.fabrikam.is_mute.store(true, Ordering::Relaxed);
    let client = world.client().await;
    let text = causeway_tests::peer::sip::request(
        "MESSAGE",
        ALICE,
        "bob@fabrikam.example",
        "queued",
        client.local,
        "Content-Type: text/plain\r\n",
        "queued",
    );
    client.send(text.as_bytes()).await.unwrap();
    // The edge has it when it dials for it.
    causeway_tests::peer::until("the edge dials", async || (world.fabrikam.dialled() > 0).then_some(())).await.unwrap();

    world.edge.kill().unwrap();
    world.fabrikam.is_mute.store(false, Ordering::Relaxed);
    world.edge = world.road.start_edge().await.unwrap();

    let response = client.response("queued").await.unwrap();
    assert_eq!(response.status(), Some(202), "{response:?}");
    let is_it = |stanza: &String| stanza.contains("queued");
    world.fabrikam.stanzas.wait("the message", is_it).await.unwrap();
    assert_eq!(client.message(ALICE, "bob@fabrikam.example", "after", "after").await.unwrap().status(), Some(202));
    world.fabrikam.stanzas.wait("the next message", |stanza| stanza.contains("after")).await.unwrap();
    assert_eq!(world.fabrikam.stanzas.matching(is_it).len(), 1);
}
