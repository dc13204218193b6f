//! The end of a drain: what no gateway has is answered, what one has it finishes.

use causeway_shared::link::DEFAULT_WINDOW;
use causeway_shared::xmpp::stanza_error::StanzaCondition;

use crate::support::*;

const BOB: &str = "bob@fabrikam.example";

fn numbers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

#[test]
fn what_waits_for_a_gateway_at_the_end_is_answered_and_so_is_what_comes_after_it() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    edge.submit(BOB, numbers(3));
    assert_eq!(edge.handle.facts().waiting, 3);
    edge.handle.give_up();
    edge.submit(BOB, ["3".to_owned()]);
    for number in 0..4 {
        assert_eq!(edge.bounced.next(), (number.to_string(), StanzaCondition::RemoteServerTimeout));
    }
    eventually("nothing is held", || edge.handle.facts().held() == 0);
}

#[test]
fn what_a_gateway_has_at_the_end_is_not_answered_by_the_edge() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 1);
    gateway.attached(1);
    let window = usize::try_from(DEFAULT_WINDOW).unwrap();
    edge.submit(BOB, numbers(window + 10));
    let stanzas = gateway.stanzas(window);
    edge.handle.give_up();
    let answered: Vec<_> = (0..10).map(|_| edge.bounced.next().0).collect();
    assert!(answered.into_iter().eq((window..window + 10).map(|number| number.to_string())));
    assert_eq!((edge.handle.facts().waiting, edge.handle.facts().outstanding), (0, window));
    finish(&gateway, stanzas);
    eventually("the gateway has finished", || edge.handle.facts().held() == 0);
    assert!(edge.bounced.rest().is_empty());
}

#[test]
fn a_stream_that_waits_for_room_at_the_end_is_let_go_and_its_stanzas_are_answered() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Write);
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| edge.submit(BOB, numbers(20_000)));
        eventually("the edge holds what it may", || edge.handle.facts().waiting >= 8_192);
        assert!(!stream.is_finished());
        edge.handle.give_up();
        stream.join().unwrap();
    });
    let mut answered: Vec<u32> = (0..20_000).map(|_| edge.bounced.next().0.parse().unwrap()).collect();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..20_000));
}
