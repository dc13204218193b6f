//! What belongs to messages and is none, over the whole road: typing, receipts, notifications, and the answer to what
//! nobody could read.

use causeway_tests::peer::sip::{Message, request};
use causeway_tests::peer::{http, until};

use crate::queries::shows_alice;
use crate::support::World;

const BOB: &str = "bob@fabrikam.example";
const DESK: &str = "bob@fabrikam.example/desk";
const ALICE: &str = "alice@contoso.example";
const STATES: &str = "http://jabber.org/protocol/chatstates";

fn to_alice(rest: &str) -> String {
    format!("<message from='{DESK}' to='{ALICE}' type='chat'{rest}</message>")
}

/// A MESSAGE of alice with a body of any type; its answer.
async fn alice_sends(world: &World, call_id: &str, content_type: &str, body: &str) -> Message {
    let client = world.client().await;
    let extra = format!("Content-Type: {content_type}\r\n");
    client.send(request("MESSAGE", ALICE, BOB, call_id, client.local, &extra, body).as_bytes()).await.unwrap();
    client.response(call_id).await.unwrap()
}

// Rule: state.map, state.no-repeat, state.support
#[tokio::test]
async fn each_side_sees_the_other_type() {
    let world = World::start("typing").await;
    let mut stream = world.stream().await;
    stream.send(&to_alice(&format!(" id='m1'><body>hello</body><active xmlns='{STATES}'/>"))).await.unwrap();
    world.arrives("hello").await;
    // While the answer to a message is on its way no status is sent (RFC 3428, section 8).
    until("the end of the message", async || {
        let (_, text) = http::get(world.road.plan.gateway_http, "/metrics").await.unwrap();
        text.contains("causeway_messages_delivered_to_sip_total 1").then_some(())
    })
    .await
    .unwrap();
    stream.send(&to_alice(&format!("><composing xmlns='{STATES}'/>"))).await.unwrap();
    let status = world.pool.requests.wait("a status", |request| request.body.contains("<state>active</state>")).await;
    assert_eq!(status.unwrap().header("Content-Type"), Some("application/im-iscomposing+xml"));

    let active = "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state><refresh>60</refresh></isComposing>";
    for call_id in ["typing-1", "typing-2"] {
        let answer = alice_sends(&world, call_id, "application/im-iscomposing+xml", active).await;
        assert_eq!(answer.status(), Some(202), "{answer:?}");
    }
    let answer = alice_sends(&world, "typing-3", "text/plain", "done").await;
    assert_eq!(answer.status(), Some(202), "{answer:?}");
    let done = world.fabrikam.stanzas.wait("the text", |stanza| stanza.contains("<body>done</body>")).await.unwrap();
    assert!(done.contains("<active"), "{done}");
    assert_eq!(world.fabrikam.stanzas.matching(|stanza| stanza.contains("<composing")).len(), 1);
}

// Rule: receipt.from-200, receipt.id
#[tokio::test]
async fn who_may_see_her_gets_a_receipt_from_a_200_and_nobody_else_does() {
    let world = World::start("receipts").await;
    world.pool.answer(shows_alice);
    let mut stream = world.stream().await;
    let ask = |id: &str| to_alice(&format!(" id='{id}'><body>{id}</body><request xmlns='urn:xmpp:receipts'/>"));
    stream.send(&ask("before")).await.unwrap();
    world.arrives("before").await;
    stream.send(&format!("<presence from='{BOB}' to='{ALICE}' type='subscribe'/>")).await.unwrap();
    world.fabrikam.stanzas.wait("the approval", |stanza| stanza.contains("type='subscribed'")).await.unwrap();
    stream.send(&ask("after")).await.unwrap();
    let is_receipt = |stanza: &String| stanza.contains("<received");
    let receipt = world.fabrikam.stanzas.wait("the receipt", is_receipt).await.unwrap();
    assert!(receipt.contains("id='after'") && receipt.contains(&format!("to='{DESK}'")), "{receipt}");
    assert_eq!(world.fabrikam.stanzas.matching(is_receipt).len(), 1);
}

// Rule: cpim.read, imdn.read, imdn.write
#[tokio::test]
async fn a_client_that_received_a_wrapped_message_is_a_notification_for_its_sender() {
    let world = World::start("notifications").await;
    let wrapped = "From: <im:alice@contoso.example>\r\nTo: <im:bob@fabrikam.example>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
                   imdn.Message-ID: w1\r\nDateTime: 2030-01-15T09:30:00Z\r\n\
                   imdn.Disposition-Notification: positive-delivery\r\n\r\nContent-Type: text/plain\r\n\r\nLunch?";
    let answer = alice_sends(&world, "wrapped-1", "message/cpim", wrapped).await;
    assert_eq!(answer.status(), Some(202), "{answer:?}");
    let stanza =
        world.fabrikam.stanzas.wait("the text", |stanza| stanza.contains("<body>Lunch?</body>")).await.unwrap();
    assert!(stanza.contains("id='w1'") && stanza.contains("<request xmlns='urn:xmpp:receipts'/>"), "{stanza}");
    let mut stream = world.stream().await;
    stream.send(&to_alice("><received xmlns='urn:xmpp:receipts' id='w1'/>")).await.unwrap();
    let is_notification = |request: &Message| request.body.contains("<message-id>w1</message-id>");
    let notification = world.pool.requests.wait("the notification", is_notification).await.unwrap();
    assert!(notification.body.contains("<delivered/>"), "{notification:?}");
}

// Rule: message.encrypted
#[tokio::test]
async fn an_encrypted_message_comes_back_with_words_and_is_counted() {
    let world = World::start("encrypted").await;
    let mut stream = world.stream().await;
    let omemo = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='2'>eA==</key></header>\
                 <payload>eA==</payload></encrypted><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/>";
    let notice = "<body>I sent you an OMEMO encrypted message but your client does not seem to support that.</body>";
    stream.send(&to_alice(&format!(" id='secret' xml:lang='fr'>{notice}{omemo}"))).await.unwrap();
    let error = world.fabrikam.stanzas.wait("the refusal", |stanza| stanza.contains("id='secret'")).await.unwrap();
    assert!(error.contains("<not-acceptable") && error.contains("Ce contact ne peut pas"), "{error}");
    world.pass(&mut stream).await;
    assert!(world.pool.requests.matching(|request| request.body.contains("OMEMO")).is_empty());
    let (_, metrics) = http::get(world.road.plan.gateway_http, "/metrics").await.unwrap();
    assert_eq!(http::metric(&metrics, "causeway_messages_encrypted_total", &["method=\"omemo\""]), 1.0);
}
