//! What an operator sees of streams and queues, and what becomes of a stream that he closes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use causeway_edge_proxy::link::Outbound as _;
use causeway_edge_proxy::stream::pool::Deliverer;
use causeway_shared::link::{Method, Methods, Outcome, Snapshot};
use causeway_shared::live::{CloseReason, Part, Request, SnapshotEffect, Stream, StreamState, Subject};
use causeway_shared::partner::Negotiation::{NotSupported, Required};
use causeway_shared::partner::StreamOptions;
use causeway_shared::verdict::Direction;
use causeway_tests::peer::until;
use causeway_tests::peer::xmpp;

use crate::support::{Certificate, TestEdge, World, name, outcome, settings};

const LOCAL: &str = "contoso.example";
const REMOTE: &str = "fabrikam.example";
const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";
const MESSAGE: &str = "<message from='bob@fabrikam.example' to='alice@contoso.example'><body>hello</body></message>";

async fn two(options: StreamOptions) -> (World, TestEdge, TestEdge) {
    let world = World::new();
    let both = settings(Required, Required, true);
    let mut contoso = world.edge(LOCAL, REMOTE, both, Certificate::Good).await;
    let mut fabrikam = world.edge(REMOTE, LOCAL, both, Certificate::Good).await;
    for edge in [&mut contoso, &mut fabrikam] {
        edge.apply(|snapshot| snapshot.partners[0].options = options).await;
    }
    (world, contoso, fabrikam)
}

fn one_way() -> StreamOptions {
    StreamOptions { bidi: false, ..StreamOptions::default() }
}

fn report(edge: &TestEdge, subject: Subject, partner: &str) -> Part {
    let request = Request { id: 7, subject, partner: partner.to_owned() };
    let mut parts: Vec<_> = Deliverer(Arc::clone(&edge.pool)).report(request).collect();
    let mut last = parts.pop().unwrap();
    assert!(last.is_last && parts.iter().all(|part| !part.is_last && part.id == 7));
    for part in parts.into_iter().rev() {
        last.streams.splice(0..0, part.streams);
        last.queues.splice(0..0, part.queues);
    }
    last
}

fn streams(edge: &TestEdge) -> Vec<Stream> {
    report(edge, Subject::Streams, "").streams
}

fn close(edge: &TestEdge, number: u64, reason: CloseReason) -> bool {
    Deliverer(Arc::clone(&edge.pool)).close_stream(number, reason)
}

/// Waits for one stream that is so.
async fn one(edge: &TestEdge, is_it: impl Fn(&Stream) -> bool) -> Stream {
    until("there is such a stream", async || streams(edge).into_iter().find(|stream| is_it(stream))).await.unwrap()
}

#[tokio::test]
async fn each_stream_is_told_with_its_facts_and_counts_that_are_right() {
    let (_world, mut contoso, mut fabrikam) = two(one_way()).await;
    for n in 0..5 {
        assert_eq!(outcome(contoso.send(ALICE, BOB, &n.to_string())).await, Outcome::Done);
        fabrikam.batch().await;
    }
    for n in 0..3 {
        assert_eq!(outcome(fabrikam.send(BOB, ALICE, &n.to_string())).await, Outcome::Done);
        contoso.batch().await;
    }
    for (edge, remote, peer, sent, came) in
        [(&contoso, REMOTE, fabrikam.address, 5, 3), (&fabrikam, LOCAL, contoso.address, 3, 5)]
    {
        let out = one(edge, |stream| stream.direction == Direction::Out && stream.unacknowledged == 0).await;
        assert_eq!((out.stanzas_out, out.stanzas_in), (sent, 0), "{out:?}");
        assert_eq!((out.peer, out.target.clone()), (Some(peer), format!("xmpp.{remote}:{}", peer.port())));
        let into = one(edge, |stream| stream.direction == Direction::In).await;
        assert_eq!((into.stanzas_out, into.stanzas_in), (0, came), "{into:?}");
        for stream in [&out, &into] {
            assert_eq!((stream.state, stream.partner.as_str()), (StreamState::Authenticated, remote));
            assert!(stream.is_partner && stream.is_managed && !stream.is_bidi && !stream.is_direct_tls);
            assert_eq!((stream.pairs[0].method, stream.pairs[0].proof.as_str()), (Method::SaslExternal, "pkix"));
            assert_eq!(stream.pairs[0].pair.remote.as_str(), remote);
            let certificate = stream.certificate.as_ref().unwrap();
            assert!(certificate.names[0].contains(remote), "{certificate:?}");
            assert_eq!(stream.tls.as_ref().unwrap().version, "TLSv1_3");
            assert!(stream.row.is_some() && stream.methods != Methods::default());
            assert!(stream.bytes_in > 500 && stream.bytes_out > 500 && stream.last_stanza_ms >= stream.since_ms);
        }
        assert_eq!(streams(edge).len(), 2);
        assert_eq!(report(edge, Subject::Streams, remote).streams.len(), 2);
        assert_eq!(report(edge, Subject::Streams, "other.example").streams, []);
    }
    let ids = |edge: &TestEdge, direction| {
        streams(edge).into_iter().find(|stream| stream.direction == direction).unwrap().stream_id
    };
    assert_eq!(ids(&contoso, Direction::Out), ids(&fabrikam, Direction::In));
}

#[tokio::test]
async fn a_bidirectional_stream_counts_both_ways() {
    let (_world, mut contoso, mut fabrikam) = two(StreamOptions { bidi: true, ..StreamOptions::default() }).await;
    assert_eq!(outcome(contoso.send(ALICE, BOB, "there")).await, Outcome::Done);
    fabrikam.batch().await;
    assert_eq!(outcome(fabrikam.send(BOB, ALICE, "and back")).await, Outcome::Done);
    contoso.batch().await;
    for edge in [&contoso, &fabrikam] {
        let [stream] = streams(edge).try_into().unwrap();
        assert!(stream.is_bidi, "{stream:?}");
        assert_eq!((stream.stanzas_in, stream.stanzas_out), (1, 1), "{stream:?}");
    }
}

#[tokio::test]
async fn a_partner_reads_why_its_stream_was_closed_and_may_come_back_at_once() {
    let world = World::new();
    let mut edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    let tls = world.client(REMOTE, Certificate::Good);
    let error = |condition: &str| {
        format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>an administrator has closed the stream</text>\
             </stream:error></stream:stream>"
        )
    };
    for (reason, expected) in [
        (CloseReason::NoError, "</stream:stream>".to_owned()),
        (CloseReason::Reset, error("reset")),
        (CloseReason::PolicyViolation, error("policy-violation")),
    ] {
        let mut partner = xmpp::Stream::establish(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
        partner.send(MESSAGE).await.unwrap();
        edge.batch().await;
        let stream = one(&edge, |stream| stream.state == StreamState::Authenticated).await;
        assert_eq!((stream.stanzas_in, stream.peer.unwrap().ip()), (1, edge.address.ip()));
        assert!(close(&edge, stream.number, reason));
        assert_eq!(partner.heard_to_the_end().await.unwrap(), expected);
        drop(partner);
        until("the stream is gone", async || streams(&edge).is_empty().then_some(())).await.unwrap();
        assert!(!close(&edge, stream.number, reason), "there is none of this number any more");
    }
}

#[tokio::test]
async fn what_waits_when_a_stream_is_closed_goes_over_the_next_one() {
    let (_world, contoso, mut fabrikam) = two(one_way()).await;
    fabrikam.finishes.store(false, Ordering::SeqCst);
    let first = contoso.send(ALICE, BOB, "first");
    let mut batch = fabrikam.batch().await;
    let old = one(&contoso, |stream| stream.unacknowledged == 1).await;
    assert!(close(&contoso, old.number, CloseReason::Reset));
    one(&contoso, |stream| stream.state == StreamState::Draining).await;
    let second = contoso.send(ALICE, BOB, "second");
    until("it waits", async || (report(&contoso, Subject::Queues, "").queues.len() == 1).then_some(())).await.unwrap();
    let queues = report(&contoso, Subject::Queues, REMOTE).queues;
    assert_eq!((queues[0].remote.as_str(), queues[0].waiting.stanzas), (REMOTE, 1), "{queues:?}");
    assert_eq!(one(&contoso, |stream| stream.number == old.number).await.waiting.stanzas, 1);
    assert_eq!(report(&contoso, Subject::Queues, "other.example").queues, []);

    batch.stanzas.iter_mut().for_each(|stanza| stanza.finish(&Outcome::Done));
    assert_eq!(outcome(first).await, Outcome::Done);
    let mut batch = fabrikam.batch().await;
    assert!(String::from_utf8_lossy(&batch.stanzas[0].xml).contains("second"));
    batch.stanzas.iter_mut().for_each(|stanza| stanza.finish(&Outcome::Done));
    assert_eq!(outcome(second).await, Outcome::Done);
    let new = one(&contoso, |stream| stream.state == StreamState::Authenticated).await;
    assert!(new.number > old.number);
    assert_eq!(contoso.edge.link.verdicts().latest(None), [], "an order of ours is nobody's fault");
}

#[tokio::test]
async fn an_attempt_that_is_closed_before_it_is_authenticated_fails_and_says_who_did_it() {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    edge.publish(REMOTE, silent.local_addr().unwrap());
    let told = edge.send(ALICE, BOB, "hello");
    let stream = one(&edge, |stream| stream.state == StreamState::Negotiating).await;
    assert_eq!((stream.partner.as_str(), stream.direction), (REMOTE, Direction::Out));
    assert!(close(&edge, stream.number, CloseReason::PolicyViolation));
    match outcome(told).await {
        Outcome::Failed(failure) => assert!(failure.text.contains("an administrator closed"), "{}", failure.text),
        Outcome::Done => panic!("nobody took it"),
    }
}

#[tokio::test]
async fn what_a_snapshot_meant_to_the_streams_is_counted() {
    let effect = |edge: &TestEdge| report(edge, Subject::Streams, "").effect.unwrap();
    let not_permitted: fn(&mut Snapshot) = |snapshot| {
        let record = &mut snapshot.partners[0];
        record.negotiation = settings(Required, NotSupported, true);
        record.methods = record.negotiation.methods();
    };
    let gone: fn(&mut Snapshot) = |snapshot| snapshot.partners[0].domain = name("other.example");
    for (change, counts) in [(not_permitted, (0, 1)), (gone, (1, 0))] {
        let (_world, contoso, mut fabrikam) = two(one_way()).await;
        assert_eq!(outcome(contoso.send(ALICE, BOB, "hello")).await, Outcome::Done);
        fabrikam.batch().await;
        assert_eq!(effect(&fabrikam), SnapshotEffect { version: 2, partner_gone: 0, not_permitted: 0 });
        fabrikam.apply(change).await;
        let expected = SnapshotEffect { version: 3, partner_gone: counts.0, not_permitted: counts.1 };
        until("the stream ends", async || (effect(&fabrikam) == expected).then_some(())).await.unwrap();
    }
}
