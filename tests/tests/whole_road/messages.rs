//! Messages that are in order, both ways, and the errors that come back.

use causeway_tests::peer::xml;

use crate::support::{World, message};

const BOB: &str = "bob@fabrikam.example/desk";
const ALICE: &str = "alice@contoso.example";

// Rule: message.body, message.answer.202
#[tokio::test]
async fn messages_go_both_ways_with_all_their_characters() {
    let world = World::start("messages").await;
    let mut stream = world.stream().await;
    stream.send(&message(BOB, ALICE, "m1", "Grüße, 世界 &amp; 👋")).await.unwrap();
    let request = world.arrives("Grüße, 世界 & 👋").await;
    assert_eq!(request.start, "MESSAGE sip:alice@contoso.example SIP/2.0");
    assert!(request.header("From").is_some_and(|from| from.contains("sip:bob@fabrikam.example")), "{request:?}");

    let client = world.client().await;
    let response = client.message(ALICE, "bob@fabrikam.example", "call-1", "Привет <b> 👋").await.unwrap();
    assert_eq!(response.status(), Some(202), "{response:?}");
    // The response means that the stanza has been written; it may still be on its way.
    let stanza = world.fabrikam.stanzas.wait("the message", |stanza| stanza.starts_with("<message")).await.unwrap();
    assert_eq!(xml::text_of(&stanza, "body").as_deref(), Some("Привет <b> 👋"));
    assert_eq!(xml::attribute(&stanza, "from").as_deref(), Some(ALICE));
}

// Rule: message.answer.refused
#[tokio::test]
async fn what_the_pool_refuses_comes_back_once_as_an_error() {
    let world = World::start("refused").await;
    world.pool.answer(|request| Some(request.respond("404 Not Found", "")));
    let mut stream = world.stream().await;
    stream.send(&message(BOB, "nobody@contoso.example", "m404", "hello?")).await.unwrap();
    let is_error = |stanza: &String| stanza.contains("type='error'") && stanza.contains("m404");
    let error = world.fabrikam.stanzas.wait("the error", is_error).await.unwrap();
    assert!(error.contains("<item-not-found") || error.contains("<service-unavailable"), "{error}");
    assert_eq!(xml::attribute(&error, "from").as_deref(), Some("nobody@contoso.example"));

    world.pool.answer(|request| Some(request.respond("200 OK", "")));
    world.pass(&mut stream).await;
    assert_eq!(world.fabrikam.stanzas.matching(is_error).len(), 1);
}

// Rule: message.answer.unreachable
#[tokio::test]
async fn a_partner_that_cannot_be_reached_is_a_failure_response_and_no_202() {
    let world = World::start("unreachable").await;
    let client = world.client().await;
    let response = client.message(ALICE, "carol@nowhere.example", "call-2", "anybody?").await.unwrap();
    assert!(response.status().is_some_and(|status| status >= 400), "{response:?}");
    world.good_message_passes().await;
}
