//! The echo contact: a partner that is new and not trusted tries out the road to us, with nobody on the SIP side.

use causeway_tests::peer::{http, xml};

use crate::support::World;

const BOB: &str = "bob@fabrikam.example";
const DESK: &str = "bob@fabrikam.example/desk";
const ECHO: &str = "echo@contoso.example";
const DEVICE: &str = "echo@contoso.example/echo";

/// Fabrikam is Public unverified, and nobody here has added its users.
fn unverified_with_echo(config: &str) -> String {
    config.replace("'Federated'", "'PublicUnverified'")
        + "\n[echo]\naddress = 'echo@contoso.example'\nname = 'Echo'\n\
           [[echo.greeting]]\nlang = 'de'\ntext = 'Ich wiederhole alles'\n"
}

fn has(stanza: &str, name: &str, value: &str) -> bool {
    xml::attribute(stanza, name).as_deref() == Some(value)
}

// Rule: echo.add, echo.message, echo.presence, echo.receipt, echo.iq, echo.alone
#[tokio::test]
async fn a_new_partner_adds_the_echo_contact_and_talks_to_it() {
    let mut world = World::start_with("echo", unverified_with_echo).await;
    let mut stream = world.stream().await;
    let heard = world.fabrikam.stanzas.clone();

    stream.send(&format!("<presence from='{BOB}' to='{ECHO}' type='subscribe'/>")).await.unwrap();
    let approval = heard.wait("the approval", |stanza| has(stanza, "type", "subscribed")).await.unwrap();
    assert!(has(&approval, "from", ECHO) && has(&approval, "to", BOB), "{approval}");
    let is_presence = |stanza: &String| stanza.starts_with("<presence") && xml::attribute(stanza, "type").is_none();
    let presence = heard.wait("its presence", is_presence).await.unwrap();
    assert!(has(&presence, "from", DEVICE) && presence.contains("Ich wiederhole alles"), "{presence}");

    let chat = format!(
        "<message from='{DESK}' to='{DEVICE}' type='chat' id='m1'><body>Grüße &amp; 👋</body><thread>t1</thread>\
         <request xmlns='urn:xmpp:receipts'/><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    );
    stream.send(&chat).await.unwrap();
    let echo = heard.wait("the echo", |stanza| stanza.contains("<body")).await.unwrap();
    assert_eq!(xml::text_of(&echo, "body").as_deref(), Some("Grüße & 👋"));
    assert_eq!(xml::text_of(&echo, "thread").as_deref(), Some("t1"));
    assert!(has(&echo, "type", "chat") && has(&echo, "from", DEVICE) && has(&echo, "to", DESK), "{echo}");
    let receipts = heard.matching(|stanza| stanza.contains("<received"));
    assert!(receipts.len() == 1 && receipts[0].contains("id='m1'"), "{receipts:?}");

    for (id, to, payload, expected) in [
        ("q1", ECHO, "<ping xmlns='urn:xmpp:ping'/>", "type='result'"),
        ("q2", ECHO, "<vCard xmlns='vcard-temp'/>", "<FN>Echo</FN>"),
        ("q3", DEVICE, "<query xmlns='http://jabber.org/protocol/disco#info'/>", "type='bot'"),
    ] {
        stream.send(&format!("<iq from='{DESK}' to='{to}' type='get' id='{id}'>{payload}</iq>")).await.unwrap();
        let answer = heard.wait(id, |stanza| has(stanza, "id", id)).await.unwrap();
        assert!(answer.contains(expected), "{answer}");
    }

    // It remembers nothing, so there is nothing to forget.
    world.gateway.kill().unwrap();
    world.gateway = world.road.start_gateway().await.unwrap();
    world.road.ready().await.unwrap();
    stream.send(&format!("<presence from='{DESK}' to='{ECHO}' type='probe'/>")).await.unwrap();
    causeway_tests::peer::until("its presence after the restart", async || {
        (heard.matching(is_presence).len() == 2).then_some(())
    })
    .await
    .unwrap();

    stream.send(&format!("<presence from='{BOB}' to='{ECHO}' type='unsubscribe'/>")).await.unwrap();
    heard.wait("the end", |stanza| has(stanza, "type", "unsubscribed")).await.unwrap();
    assert_eq!(heard.matching(|stanza| has(stanza, "type", "unavailable")).len(), 1);
    assert_eq!(heard.matching(|stanza| stanza.contains("<body")).len(), 1);
    assert_eq!(world.pool.requests.all(), []);
}

// Rule: echo.no-loop
#[tokio::test]
async fn what_the_echo_contact_says_is_never_said_back_to_it() {
    let world = World::start_with("echo-loop", unverified_with_echo).await;
    let mut stream = world.stream().await;
    let heard = world.fabrikam.stanzas.clone();
    stream.send(&crate::support::message(DESK, ECHO, "m1", "hello")).await.unwrap();
    let echo = heard.wait("the echo", |stanza| stanza.contains("<body>hello")).await.unwrap();

    // As an echo contact of fabrikam would say it back, with what it was sent in it.
    let inside = echo.split_once('>').and_then(|(_, rest)| rest.strip_suffix("</message>")).unwrap();
    let back = format!("<message from='echo@fabrikam.example/echo' to='{ECHO}' type='chat' id='m2'>{inside}</message>");
    stream.send(&back).await.unwrap();
    stream.send("<message from='bob@fabrikam.example' to='echo@contoso.example' type='error' id='m3'><body>no</body></message>").await.unwrap();
    // Behind them in the stream.
    stream.send(&crate::support::message(DESK, ECHO, "m4", "last")).await.unwrap();
    heard.wait("the last echo", |stanza| stanza.contains("<body>last")).await.unwrap();
    assert_eq!(heard.matching(|stanza| stanza.starts_with("<message")).len(), 2);

    let (_, metrics) = http::get(world.road.plan.gateway_http, "/metrics").await.unwrap();
    assert!(metrics.contains("causeway_echoes_total 2"), "{metrics}");
}
