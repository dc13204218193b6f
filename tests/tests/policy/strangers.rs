//! Floods of those who have no business here: counted, and neither remembered one by one nor logged one by one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use causeway_shared::link::StanzaKind;
use causeway_tests::peer::{http, sip, until};
use tokio::net::UdpSocket;

use crate::support::{ALICE, Kind, Pair, World};

/// Addresses that strangers send from, and requests of each.
const SOURCES: u8 = 20;
const REQUESTS: usize = 100;

/// Lines that a flood of some seconds may bring about: a burst, and one each second.
const LINES: usize = 60;

/// How long a stranger waits for its answer before it goes on.
const PAUSE: Duration = Duration::from_millis(10);

/// What a counter of the gateway says.
async fn counted(world: &World, name: &str) -> f64 {
    let (_, text) = http::get(world.road.plan.gateway_http, "/metrics").await.unwrap();
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

// Rule: sip.trust
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sip_strangers_are_refused_and_hardly_logged() {
    let world = World::start("policy-sip-strangers").await;
    let mut answered = 0;
    for source in 1..=SOURCES {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 23, source)), 0);
        let socket = UdpSocket::bind(from).await.unwrap();
        let local = socket.local_addr().unwrap();
        for n in 0..REQUESTS {
            let (user, call) = (format!("alice{n}@contoso.example"), format!("s{source}x{n}"));
            let text = sip::request("MESSAGE", &user, &format!("bob{n}@fabrikam.example"), &call, local, "", "");
            // What it asserts is the pool's to assert.
            let text = text
                .replace("Via: SIP/2.0/TCP", "P-Asserted-Identity: <sip:alice@contoso.example>\r\nVia: SIP/2.0/UDP");
            socket.send_to(text.as_bytes(), world.road.plan.sip).await.unwrap();
            let mut buffer = [0; 2048];
            // So many are answered in a second, and no more.
            let Ok(read) = tokio::time::timeout(PAUSE, socket.recv(&mut buffer)).await else { continue };
            let mut answer = buffer[..read.unwrap()].to_vec();
            assert_eq!(sip::Message::take(&mut answer).unwrap().status(), Some(403));
            answered += 1;
        }
    }
    assert!(answered > 0);
    let all = f64::from(SOURCES) * 100.0;
    until("all are counted", async || (counted(&world, "causeway_sip_refused_total").await >= all).then_some(()))
        .await
        .unwrap();
    let log = world.gateway.log();
    let lines = log.lines().filter(|line| line.contains("127.0.23.")).count();
    assert!((1..=LINES).contains(&lines), "{lines} lines");
    assert!(world.stanzas.all().is_empty());
}

// Rule: oracle.time, quota.partner
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_users_of_a_partner_leaves_little_behind() {
    let world = World::start("policy-xmpp-strangers").await;
    let before = world.gateway.resident().unwrap();
    let mut floods = Vec::new();
    for part in 0..8 {
        let world = std::sync::Arc::clone(&world);
        floods.push(tokio::spawn(async move {
            for n in 0..500 {
                let from = format!("u{part}-{n}@wingtip.example/x");
                world.stanza(StanzaKind::Message, &from, ALICE, "type='chat' id='m'", "<body>hello</body>").await;
                world.stanza(StanzaKind::Presence, &from, ALICE, "type='probe'", "").await;
            }
        }));
    }
    for flood in floods {
        flood.await.unwrap();
    }
    let told = world.stanzas.matching(|stanza| stanza.contains("to='u"));
    assert_eq!(told.len(), 8 * 500 * 2);
    assert!(world.pool.requests.all().is_empty());
    let after = world.gateway.resident().unwrap();
    assert!(after < before + 64 * 1024 * 1024, "{before} {after}");
    // Everybody else is served as before.
    let mut pair = Pair::new(&world, Kind::Federated, ALICE);
    pair.message("chat", "<body>hello</body>").await;
    pair.must_hear("X8", &crate::expected::heard(&[crate::expected::message("hello")], &[])).await;
}
