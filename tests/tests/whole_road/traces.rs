//! One trace for each stanza and request, over both services, as a collector sees it.

use std::net::SocketAddr;

use causeway_tests::peer::otlp::{Collector, Span};
use causeway_tests::peer::{http, until};

use crate::support::{World, address, message};

const BOB: &str = "bob@fabrikam.example/desk";
const ALICE: &str = "alice@contoso.example";

async fn traced(name: &str) -> (World, Collector) {
    let collector = Collector::start(SocketAddr::new(address(), 0)).await.unwrap();
    let add = |config: &str| format!("{config}{}", collector.section());
    let world = World::start_with_both(name, add, add).await;
    (world, collector)
}

/// A message whose trace is known by the bytes that its stanza has.
fn sized(id: &str, body: &str) -> (String, String) {
    let stanza = message(BOB, ALICE, id, body);
    let bytes = stanza.len().to_string();
    (stanza, bytes)
}

fn told(spans: &[Span]) -> String {
    spans
        .iter()
        .flat_map(|span| span.attributes.iter())
        .fold(String::new(), |text, (key, value)| format!("{text}{key}={value}\n"))
}

#[tokio::test]
async fn a_message_to_sip_is_one_tree_from_the_stanza_to_the_acknowledgement() {
    let (world, collector) = traced("trace-to-sip").await;
    let mut stream = world.stream().await;
    world.pass(&mut stream).await;
    let tree = "\
edge-proxy: xmpp receive (server, ok)
  edge-proxy: link deliver (producer, ok)
    gateway: stanza process (consumer, ok)
      gateway: decide (internal, unset)
      gateway: SIP MESSAGE (client, ok)
";
    let spans = collector.expect("xmpp receive", ("causeway.stanza", "message"), tree).await.unwrap();
    let answer = spans.iter().find(|span| span.kind == "client").unwrap();
    assert_eq!(answer.attributes.get("sip.status_code").map(String::as_str), Some("200"));
    let told = told(&spans);
    assert!(told.contains("causeway.partner=fabrikam.example\n"), "{told}");
    for secret in ["bob", "alice", "text "] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    let root = spans.first().map(|_| spans.iter().find(|span| span.parent.is_empty()).unwrap()).unwrap();
    assert!(spans.iter().all(|span| span.time.0 >= root.time.0 && span.time.1 >= span.time.0));
}

#[tokio::test]
async fn a_message_to_xmpp_is_one_tree_from_the_request_to_its_response() {
    let (world, collector) = traced("trace-to-xmpp").await;
    let client = world.client().await;
    let response = client.message(ALICE, "bob@fabrikam.example", "call-1", "hello").await.unwrap();
    assert_eq!(response.status(), Some(202));
    let tree = "\
gateway: SIP MESSAGE (server, ok)
  gateway: decide (internal, unset)
  gateway: link deliver (producer, ok)
    edge-proxy: xmpp send (client, ok)
";
    let spans = collector.expect("SIP MESSAGE", ("sip.status_code", "202"), tree).await.unwrap();
    assert!(!told(&spans).contains("hello"));
}

#[tokio::test]
async fn a_refusal_is_in_the_trace_with_the_way_of_its_error_back() {
    let (world, collector) = traced("trace-refused").await;
    world.pool.answer(|request| Some(request.respond("404 Not Found", "")));
    let mut stream = world.stream().await;
    stream.send(&sized("m404", "nobody?").0).await.unwrap();
    let tree = "\
edge-proxy: xmpp receive (server, ok)
  edge-proxy: link deliver (producer, ok)
    gateway: stanza process (consumer, item-not-found)
      gateway: decide (internal, unset)
      gateway: SIP MESSAGE (client, SIP 404)
      gateway: link deliver (producer, ok)
        edge-proxy: xmpp send (client, ok)
";
    collector.expect("SIP MESSAGE", ("sip.status_code", "404"), tree).await.unwrap();
}

#[tokio::test]
async fn what_a_gateway_took_with_it_is_delivered_again_in_the_same_trace() {
    let (mut world, collector) = traced("trace-again").await;
    world.pool.answer(|_| None);
    let mut stream = world.stream().await;
    let (stanza, bytes) = sized("again", "again");
    stream.send(&stanza).await.unwrap();
    world.arrives("again").await;
    world.gateway.kill().unwrap();
    world.pool.answer(|request| Some(request.respond("200 OK", "")));
    world.gateway = world.road.start_gateway().await.unwrap();
    let tree = "\
edge-proxy: xmpp receive (server, ok)
  edge-proxy: link deliver (producer, the other end went away before it had finished)
  edge-proxy: link deliver (producer, ok, again)
    gateway: stanza process (consumer, ok)
      gateway: decide (internal, unset)
      gateway: SIP MESSAGE (client, ok)
";
    // What the killed gateway had not yet exported is lost, but for what it had: that may be its decision.
    let spans = until("the second delivery", async || {
        let again =
            collector.spans.matching(|span| span.attributes.get("causeway.redelivered").is_some_and(|is| is == "true"));
        again.into_iter().find(|span| span.name == "stanza process")
    });
    let again = spans.await.unwrap();
    let of_trace = |span: &Span| span.trace == again.trace && span.name != "decide";
    let expected = tree.replace("      gateway: decide (internal, unset)\n", "");
    until("the whole tree", async || {
        (causeway_tests::peer::otlp::tree(&collector.spans.matching(of_trace)) == expected).then_some(())
    })
    .await
    .unwrap_or_else(|error| {
        panic!("{error}: {}", causeway_tests::peer::otlp::tree(&collector.spans.matching(of_trace)))
    });
    let spans = collector.spans.matching(of_trace);
    let first = spans.iter().find(|span| span.status.starts_with("the other end")).unwrap();
    let second = spans.iter().find(|span| !span.links.is_empty()).unwrap();
    assert_eq!(second.links, std::slice::from_ref(&first.id));
    let root = spans.iter().find(|span| span.parent.is_empty()).unwrap();
    assert!(root.attributes.contains_key("causeway.bytes"), "{bytes}");
}

#[tokio::test]
async fn presence_of_a_sip_user_is_traced_from_the_stanza_to_the_subscription() {
    let (world, collector) = traced("trace-presence").await;
    let mut stream = world.stream().await;
    let subscribe = "<presence from='bob@fabrikam.example' to='alice@contoso.example' type='subscribe' id='s1'/>";
    stream.send(subscribe).await.unwrap();
    let request = until("a traced SUBSCRIBE", async || {
        collector.spans.matching(|span| span.name == "SIP SUBSCRIBE" && span.kind == "client").into_iter().next()
    });
    let request = request.await.unwrap();
    let parent = until("what it is a part of", async || {
        collector.spans.matching(|span| span.id == request.parent).into_iter().next()
    });
    assert_eq!(parent.await.unwrap().name, "stanza process");
}

#[tokio::test]
async fn users_are_told_apart_by_a_hash_where_an_operator_gives_a_key() {
    let collector = Collector::start(SocketAddr::new(address(), 0)).await.unwrap();
    let add = |config: &str| format!("{config}{}address_key = '0123456789abcdef'\n", collector.section());
    let world = World::start_with_both("trace-hashed", add, add).await;
    let mut stream = world.stream().await;
    world.pass(&mut stream).await;
    let received = collector.spans.wait("the stanza", |span| span.name == "xmpp receive").await.unwrap();
    let processed = collector.spans.wait("its processing", |span| span.name == "stanza process").await.unwrap();
    let from = |span: &Span| span.attributes.get("causeway.from").cloned().unwrap();
    assert_eq!(from(&received), from(&processed));
    assert_eq!(from(&received).len(), 16);
    assert!(!told(&[received, processed]).contains("bob"));
}

#[tokio::test]
async fn a_collector_that_is_away_costs_nothing_but_counted_spans() {
    let add = |config: &str| {
        // Nobody listens on this port of an address that no test has.
        format!("{config}\n[telemetry]\notlp_endpoint = 'http://127.0.21.255:9'\nsample_ratio = 1.0\n")
    };
    let world = World::start_with_both("trace-away", add, add).await;
    let mut stream = world.stream().await;
    for _ in 0..20 {
        world.pass(&mut stream).await;
    }
    until("lost spans are counted", async || {
        let (_, text) = http::get(world.road.plan.gateway_http, "/metrics").await.ok()?;
        let line = text.lines().find_map(|line| {
            line.strip_prefix("causeway_trace_spans_dropped_total{reason=\"collector\"} ")?.parse::<f64>().ok()
        });
        line.filter(|count| *count > 0.0)
    })
    .await
    .unwrap();
    world.good_message_passes().await;
}

#[tokio::test]
async fn the_share_of_traces_changes_while_the_service_runs() {
    let collector = Collector::start(SocketAddr::new(address(), 0)).await.unwrap();
    let none = |config: &str| format!("{config}{}", collector.section().replace("1.0", "0.0"));
    let world = World::start_with_both("trace-share", none, none).await;
    let mut stream = world.stream().await;
    world.pass(&mut stream).await;
    let config = std::fs::read_to_string(world.road.edge_config()).unwrap();
    std::fs::write(world.road.edge_config(), config.replace("sample_ratio = 0.0", "sample_ratio = 1.0")).unwrap();
    // A message a look: one that comes after the change is traced, though the gateway itself chooses none.
    until("a trace", async || {
        world.pass(&mut stream).await;
        collector.spans.matching(|span| span.name == "SIP MESSAGE").into_iter().next()
    })
    .await
    .unwrap();
}
