use std::net::Ipv4Addr;

use causeway_shared::domain::DomainPair;
use causeway_shared::jid::Jid;
use causeway_shared::link::share::FLOOR;
use causeway_shared::link::{Method, StanzaKind};
use causeway_shared::telemetry::Span;

use super::*;

const WINDOW: u32 = 1_000;

fn partner(domain: &str) -> Arc<PairContext> {
    let name = |name: &str| DomainName::parse(name).unwrap();
    Arc::new(PairContext {
        pair: DomainPair { local: name("contoso.example"), remote: name(domain) },
        method: Method::SaslExternal,
        stream_id: "s1".to_owned(),
        peer_address: "192.0.2.1:5269".to_owned(),
        certificate_sha256: None,
    })
}

/// So many stanzas of this size.
fn stanzas(context: &PairContext, count: usize, bytes: usize) -> Vec<InboundStanza> {
    let from = Jid::parse(&format!("bob@{}", context.pair.remote)).unwrap();
    let one = |_| InboundStanza {
        kind: StanzaKind::Message,
        from: from.clone(),
        to: Jid::parse("alice@contoso.example").unwrap(),
        xml: vec![b'x'; bytes].into(),
        span: Span::NONE,
        arrived_ms: 0,
        receipt: None,
    };
    (0..count).map(one).collect()
}

/// A hub with one gateway.
fn hub() -> (Hub, PeerId) {
    let hub = Hub::new("edge1", GATEWAY_PATIENCE);
    let peer = GatewayPeer { certificate_name: "gw1".to_owned(), address: (Ipv4Addr::LOCALHOST, 1).into() };
    let id = hub.attach("gw1", WINDOW, peer, Arc::new(EdgeOutgoing::new(WINDOW)));
    (hub, id)
}

fn hand_in(hub: &Hub, context: &Arc<PairContext>, stanzas: Vec<InboundStanza>) -> HandedIn {
    let (count, cost) = leading_part(&stanzas);
    assert_eq!(count, stanzas.len(), "a part");
    hub.hand_in(context, stanzas, cost, Instant::now() + GATEWAY_PATIENCE)
}

#[test]
fn who_waits_in_turns_has_the_room_of_the_others_when_nothing_of_his_is_in_the_pool_any_more() {
    let (hub, gateway) = hub();
    let (large, small) = (partner("fabrikam.example"), partner("wingtip.example"));
    // One partner has large stanzas with the gateway, more than those have together who wait in turns.
    for _ in 0..6 {
        assert!(matches!(hand_in(&hub, &large, stanzas(&large, 4, 400 * 1024)), HandedIn::Taken));
    }
    assert!(matches!(hand_in(&hub, &small, stanzas(&small, FLOOR + 8, 100)), HandedIn::Taken));
    assert_eq!(hub.load(), (8, 24 + FLOOR));
    // Of the other one something waits for its share, so that the next of his waits for his turn.
    let HandedIn::Waits(mut taken) = hand_in(&hub, &small, stanzas(&small, 1, 100)) else { panic!("it is taken") };
    assert!(taken.try_recv().is_err());
    // The gateway answers him, and has all that the first has sent: nobody frees room for those in turns.
    let last = 24 + FLOOR as u64;
    hub.acknowledge(gateway, &[25, last], Vec::new()).unwrap();
    assert_eq!(taken.try_recv(), Ok(()));
    assert_eq!(hub.load(), (0, 24 + 8 + 1));
}
