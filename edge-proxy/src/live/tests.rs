use causeway_shared::link::Snapshot;
use causeway_shared::live::StreamState;

use super::*;
use crate::stream::test_support::{LOCAL, OTHER, REMOTE, domain};

const PEER: &str = "192.0.2.1:5269";

fn pair(remote: &str) -> DomainPair {
    DomainPair { local: domain(LOCAL), remote: domain(remote) }
}

fn federation(version: u64) -> Federation {
    Federation::new(&Snapshot { version, ..Snapshot::default() }).0
}

fn enter(streams: &Streams) -> Entry {
    streams.enter(Direction::In, PEER.parse().unwrap())
}

#[test]
fn a_stream_is_told_as_its_task_has_left_it_and_is_gone_with_its_connection() {
    let (streams, federation) = (Streams::default(), Federation::default());
    let first = enter(&streams);
    let second = enter(&streams);
    let live = first.live();
    live.claimed(Some(&domain(REMOTE)), "s1");
    live.read(7);
    live.read(3);
    assert_eq!(streams.look(&federation)[0].state, StreamState::Negotiating);
    live.authenticated(&pair(REMOTE), Method::SaslExternal, Some(Proof::Pkix));
    live.took(2);
    live.sent(1);
    live.stands(true, false);
    live.unacknowledged(1);
    let seen = streams.look(&federation).remove(0);
    assert_eq!((seen.state, seen.partner.as_str(), seen.is_partner), (StreamState::Authenticated, REMOTE, false));
    assert_eq!((seen.bytes_in, seen.stanzas_in, seen.stanzas_out, seen.unacknowledged), (10, 2, 1, 1));
    assert_eq!((seen.stream_id.as_str(), seen.pairs[0].proof.as_str()), ("s1", "pkix"));
    live.closing();
    assert_eq!(streams.look(&federation)[0].state, StreamState::Closing);
    drop(first);
    assert_eq!(streams.look(&federation).len(), 1);
    drop(second);
    assert!(streams.look(&federation).is_empty());
}

#[test]
fn numbers_grow_and_are_whole_in_json() {
    let streams = Streams::default();
    let (first, second) = (enter(&streams), enter(&streams));
    assert!(first.live.number < second.live.number && second.live.number < 1 << 53);
}

#[tokio::test]
async fn an_order_reaches_the_task_once_and_the_first_one_counts() {
    let streams = Streams::default();
    let (entry, now) = (enter(&streams), Instant::now());
    assert!(!streams.close(entry.live.number + 1, CloseReason::NoError, now));
    assert_eq!(entry.live().order(), None);
    assert!(streams.close(entry.live.number, CloseReason::Reset, now));
    assert!(streams.close(entry.live.number, CloseReason::NoError, now));
    entry.live().called().await;
    assert_eq!(entry.live().order(), Some(Order { reason: CloseReason::Reset, at: now }));
    assert_eq!(streams.look(&Federation::default())[0].state, StreamState::Negotiating);
}

#[test]
fn streams_that_a_policy_ended_are_counted_by_its_version() {
    let streams = Streams::default();
    let entry = enter(&streams);
    entry.live().authenticated(&pair(OTHER), Method::TlsDialback, None);
    streams.fell(entry.live(), &federation(3));
    assert_eq!(streams.effect(3), SnapshotEffect { version: 3, partner_gone: 1, not_permitted: 0 });
    assert_eq!(streams.effect(4), SnapshotEffect { version: 4, ..SnapshotEffect::default() });
    let entry = enter(&streams);
    streams.fell(entry.live(), &federation(4));
    assert_eq!(streams.effect(4), SnapshotEffect { version: 4, partner_gone: 0, not_permitted: 1 });
}

#[test]
fn streams_with_the_same_chain_share_it_and_it_goes_with_the_last_of_them() {
    let streams = Streams::default();
    let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert.der().clone();
    let (chain, other) = ([made(REMOTE)], [made(OTHER)]);
    let first = enter(&streams).secured(None, &chain);
    assert!(Arc::ptr_eq(&first, &enter(&streams).secured(None, &chain)));
    assert!(!Arc::ptr_eq(&first, &enter(&streams).secured(None, &other)));
    let entry = enter(&streams);
    assert!(entry.secured(None, &[]).told().is_none() && entry.live().about().certificate.is_none());
    drop(first);
    for _ in 0..=2 * SLACK {
        drop(entry.secured(None, &[made(REMOTE)]));
    }
    assert!(streams.lock().certificates.len() <= SLACK + 2);
}
