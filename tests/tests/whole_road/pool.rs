//! Two gateways on one PostgreSQL: any of them will do (ARCHITECTURE, promise 4).

use std::net::SocketAddr;

use causeway_tests::peer::http;
use causeway_tests::peer::postgres::TestServer;
use causeway_tests::peer::road::{PartnerPlan, Plan};
use causeway_tests::peer::sip::{Client, Message, parameter, request};
use causeway_tests::peer::until;

use crate::support::{FABRIKAM, LOCAL, World, address};

const BOB: &str = "bob@fabrikam.example";
const ALICE: &str = "alice@contoso.example";

/// The configuration with the database instead of the file, and the contact of the first gateway.
fn shared(toml: &str, store: &str, first: SocketAddr) -> String {
    let lines = toml.lines().map(|line| {
        if line.starts_with("path = ") {
            format!("postgres = '{store}'")
        } else if line.starts_with("contact = ") {
            format!("contact = 'sip:{first};transport=tcp'")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A SUBSCRIBE of alice's client, who is reached through the pool; `to_tag` is that of the dialog.
fn subscribe(client: &Client, pool: SocketAddr, cseq: u32, to_tag: Option<&str>) -> String {
    let call_id = "sub-1";
    let extra = format!("Event: presence\r\nExpires: 600\r\nContact: <sip:alice@{pool};transport=tcp>\r\n");
    let text = request("SUBSCRIBE", ALICE, BOB, call_id, client.local, &extra, "");
    let text = text.replace("CSeq: 1 ", &format!("CSeq: {cseq} ")).replace("z9hG4bK", &format!("z9hG4bK{cseq}"));
    match to_tag {
        Some(tag) => text.replace(&format!("To: <sip:{BOB}>"), &format!("To: <sip:{BOB}>;tag={tag}")),
        None => text,
    }
}

/// What alice was told, in the order of arrival.
fn notifications(world: &World) -> Vec<Message> {
    let is_notify =
        |request: &Message| request.method() == Some("NOTIFY") && request.header("Call-ID") == Some("sub-1");
    world.pool.requests.matching(is_notify)
}

#[tokio::test]
async fn a_subscription_made_through_one_gateway_lives_on_in_the_other() {
    let server = TestServer::start();
    let store = server.tcp_address("postgres", &server.database());
    let mut first = None;
    let mut world = World::start_with("pool", |toml| {
        let sip = toml.lines().find_map(|line| line.strip_prefix("tcp = ['")).unwrap();
        let sip: SocketAddr = sip.trim_end_matches("']").parse().unwrap();
        first = Some(sip);
        shared(toml, &store, sip)
    })
    .await;
    let first = first.unwrap();
    // Bob answers whoever asks, and shows himself.
    let alice = world.client().await;
    alice.send(subscribe(&alice, world.road.plan.pool, 1, None).as_bytes()).await.unwrap();
    let made = alice.response("sub-1").await.unwrap();
    assert_eq!(made.status(), Some(200), "{made:?}");
    let tag = parameter(made.header("To").unwrap(), "tag").unwrap();
    let asked = world.fabrikam.stanzas.wait("the question", |stanza| stanza.contains("type='subscribe'")).await;
    assert!(asked.unwrap().contains(ALICE));

    let partners = vec![PartnerPlan::external(FABRIKAM)];
    let mut plan = Plan::free(address(), LOCAL, partners).unwrap();
    (plan.link, plan.pool, plan.dns) = (world.road.plan.link, world.road.plan.pool, world.road.plan.dns);
    let other = |toml: &str| shared(toml, &store, first).replace("gateway-1", "gateway-2");
    let _second = world.road.start_another_gateway("gateway-2", &plan, other).await.unwrap();
    until("the second gateway is ready", async || {
        http::get(plan.gateway_http, "/readyz").await.ok().filter(|(status, _)| *status == 200)
    })
    .await
    .unwrap();

    let elsewhere = Client::connect(SocketAddr::new(world.road.plan.pool.ip(), 0), plan.sip).await.unwrap();
    elsewhere.send(subscribe(&elsewhere, world.road.plan.pool, 2, Some(&tag)).as_bytes()).await.unwrap();
    let refreshed = elsewhere.response("sub-1").await.unwrap();
    assert_eq!(refreshed.status(), Some(200), "{refreshed:?}");

    world.gateway.kill().unwrap();
    let before = notifications(&world).len();
    let mut stream = world.stream().await;
    for stanza in [
        format!("<presence from='{BOB}' to='{ALICE}' type='subscribed'/>"),
        format!("<presence from='{BOB}/desk' to='{ALICE}'><status>back from lunch</status></presence>"),
    ] {
        stream.send(&stanza).await.unwrap();
    }
    until("the other gateway tells alice", async || {
        let told = notifications(&world);
        told.iter().skip(before).any(|notify| notify.body.contains("back from lunch")).then_some(())
    })
    .await
    .unwrap();
    // One dialog, whoever speaks in it: each NOTIFY has a number of its own, and they grow.
    let numbers: Vec<u32> = notifications(&world)
        .iter()
        .filter_map(|notify| notify.header("CSeq")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    drop(alice);
}

#[tokio::test]
async fn a_subscription_of_a_partner_s_user_is_refreshed_by_the_gateway_that_is_left() {
    let server = TestServer::start();
    let store = server.tcp_address("postgres", &server.database());
    let mut world = World::start_with("pool-refresh", |toml| {
        let sip = toml.lines().find_map(|line| line.strip_prefix("tcp = ['")).unwrap();
        shared(toml, &store, sip.trim_end_matches("']").parse().unwrap())
    })
    .await;
    // The pool grants little, so that the refresh is due soon.
    world.pool.answer(|request| grants(request, 30));
    let mut stream = world.stream().await;
    stream.send(&format!("<presence from='{BOB}' to='{ALICE}' type='subscribe'/>")).await.unwrap();
    let is_subscribe = |request: &Message| request.method() == Some("SUBSCRIBE");
    let first = world.pool.requests.wait("the subscription", is_subscribe).await.unwrap();
    world.pool.send(notify(&first, 30));
    world.fabrikam.stanzas.wait("the approval", |stanza| stanza.contains("type='subscribed'")).await.unwrap();
    world.gateway.kill().unwrap();

    let plan = Plan::free(address(), LOCAL, vec![PartnerPlan::external(FABRIKAM)]).unwrap();
    let plan = Plan { link: world.road.plan.link, pool: world.road.plan.pool, dns: world.road.plan.dns, ..plan };
    let contact = world.road.plan.sip;
    let other = |toml: &str| shared(toml, &store, contact).replace("gateway-1", "gateway-2");
    let _second = world.road.start_another_gateway("gateway-2", &plan, other).await.unwrap();
    let call_id = first.header("Call-ID").unwrap().to_owned();
    let is_refresh = |request: &Message| {
        is_subscribe(request)
            && request.header("Call-ID") == Some(&call_id)
            && request.header("To").is_some_and(|to| to.contains(";tag="))
    };
    let refresh = world.pool.requests.wait("the refresh", is_refresh).await.unwrap();
    let number = |message: &Message| message.header("CSeq")?.split(' ').next()?.parse::<u32>().ok();
    assert!(number(&refresh) > number(&first), "{refresh:?}");
}

fn grants(request: &Message, seconds: u32) -> Option<String> {
    let extra = format!("Expires: {seconds}\r\nContact: <sip:{ALICE};transport=tcp>\r\n");
    Some(request.respond("200 OK", if request.method() == Some("SUBSCRIBE") { &extra } else { "" }))
}

/// The pool's NOTIFY in the dialog of a SUBSCRIBE.
fn notify(subscribe: &Message, seconds: u32) -> String {
    let header = |name: &str| subscribe.header(name).unwrap_or_default();
    let target = header("Contact").split(['<', '>']).nth(1).unwrap_or_default();
    format!(
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/TCP pool;branch=z9hG4bKn1\r\nMax-Forwards: 70\r\n\
         From: {};tag=pool\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 NOTIFY\r\nContact: <sip:{ALICE};transport=tcp>\r\n\
         Event: presence\r\nSubscription-State: active;expires={seconds}\r\nContent-Length: 0\r\n\r\n",
        header("To"),
        header("From"),
        header("Call-ID"),
    )
}
