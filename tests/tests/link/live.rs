//! What a gateway learns of the streams and queues of its edges: whole, in time, and whatever an edge says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_edge_proxy::admission::Caps;
use causeway_edge_proxy::edge::Edge;
use causeway_edge_proxy::limits::StreamLimits;
use causeway_edge_proxy::link as edge;
use causeway_edge_proxy::live::Entry;
use causeway_edge_proxy::resolve::Resolver;
use causeway_edge_proxy::resolve::dns::{Answer as DnsAnswer, Dns, DnsFault, Question};
use causeway_edge_proxy::stream::pool::{Deliverer, Pool};
use causeway_edge_proxy::tls::{self, Material, Tls};
use causeway_gateway::link::{Answer, CloseFault, CloseReason, StreamDirection, StreamState};
use causeway_proto::link::v1::{EdgeFrame, LiveStream, Report};
use causeway_shared::domain::DomainName;
use causeway_shared::link::{PartnerRecord, Snapshot};
use causeway_shared::partner::{Negotiation, NegotiationSettings};
use causeway_shared::pki::Trust;
use causeway_shared::verdict::Direction;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::played::{edge_hello, play_edge};
use crate::support::*;

/// Nobody may be held longer, on a busy machine: twice the patience of the gateway and a bit.
const BOUND: Duration = Duration::from_secs(5);

/// A DNS in which there is nothing, and that takes its time to say so.
struct Silence;

impl Dns for Silence {
    fn ask(&self, _question: Question) -> DnsAnswer {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Err(DnsFault::Unavailable("silence".to_owned()))
        })
    }
}

/// An edge with a pool of streams.
struct WholeEdge {
    edge: Arc<Edge>,
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    _runtime: Runtime,
}

impl Drop for WholeEdge {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

fn start(name: &str, authority: &Authority) -> WholeEdge {
    let runtime = runtime();
    let (handle, core) = edge::open(format!("instance of {name}"), PATIENCE);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["contoso.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let certificate = tls::certified(vec![leaf.der().clone()], key).unwrap();
    let tls = Tls::new(Material::new(vec![certificate], Trust::default()).unwrap());
    let resolver = Resolver::new(Arc::new(Silence));
    let edge = Arc::new(Edge::new(handle, tls, resolver, StreamLimits::default(), Caps::default()));
    let pool = {
        let _inside = runtime.enter();
        Pool::new(Arc::clone(&edge))
    };
    let following = Arc::clone(&edge);
    runtime.spawn(async move { following.follow_snapshots().await });
    let (shutdown, stop) = watch::channel(false);
    let config = edge::server::LinkConfig {
        edge_id: name.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: watch::channel(server_config(&authority.files(EDGE_NAME))).1,
        allowed_gateways: watch::channel(names(GATEWAY_NAME)).1,
    };
    let deliverer = Arc::new(Deliverer(pool));
    let server = edge::server::start(config, core, Arc::clone(&deliverer) as _, deliverer as _, stop);
    let address = runtime.block_on(server).unwrap().listening;
    WholeEdge { edge, address, shutdown, _runtime: runtime }
}

fn partners(version: u64) -> Arc<Snapshot> {
    let name = |name: &str| DomainName::parse(name).unwrap();
    let negotiation = NegotiationSettings { tls: Negotiation::Optional, sasl: Negotiation::Optional, dialback: true };
    Arc::new(Snapshot {
        version,
        local_domains: vec![name("contoso.example")],
        partners: vec![PartnerRecord::new(name("fabrikam.example"), negotiation)],
        ..Snapshot::default()
    })
}

/// Streams that say nothing, every other one of a partner.
fn idle(edge: &Edge, count: u16) -> Vec<Entry> {
    let fabrikam = DomainName::parse("fabrikam.example").unwrap();
    let enter = |port| {
        let entry = edge.streams.enter(Direction::In, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        entry.live().claimed(Some(&fabrikam).filter(|_| port % 2 == 0), "id");
        entry
    };
    (0..count).map(enter).collect()
}

#[test]
fn ten_thousand_idle_streams_are_told_whole_and_those_of_one_partner_by_themselves() {
    let authority = Authority::new();
    let edge = start("edge1", &authority);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 0);
    gateway.links.publish(partners(1));
    gateway.attached(1);
    let entries = idle(&edge.edge, 10_000);

    let began = Instant::now();
    let told = gateway.block_on(gateway.links.streams(None));
    println!("10 000 streams in {:?}", began.elapsed());
    assert_eq!(
        told.iter().map(|edge| (edge.edge.as_str(), edge.answer)).collect::<Vec<_>>(),
        [("edge1", Answer::Complete)]
    );
    assert_eq!(told[0].certificates[0].names, ["DNS:contoso.example"]);
    let ports: Vec<_> = told[0].streams.iter().map(|stream| stream.peer.unwrap().port()).collect();
    assert_eq!(ports, (0..10_000).collect::<Vec<_>>());
    let of_partner = gateway.block_on(gateway.links.streams(Some("fabrikam.example")));
    assert_eq!(of_partner[0].streams.len(), 5_000);
    assert!(of_partner[0].streams.iter().all(|stream| stream.partner == "fabrikam.example"));

    let first = &told[0].streams[0];
    assert_eq!((first.direction, first.state), (StreamDirection::In, StreamState::Negotiating));
    let close = |edge: &str, id| gateway.block_on(gateway.links.close_stream(edge, id, CloseReason::NoError));
    assert_eq!(close("edge1", first.id), Ok(()));
    assert_eq!(close("edge1", 1), Err(CloseFault::NoStream));
    assert_eq!(close("edge9", first.id), Err(CloseFault::NoEdge));
    drop(entries);
    assert_eq!(gateway.block_on(gateway.links.streams(None))[0].streams, []);
    assert_eq!(close("edge1", first.id), Err(CloseFault::NoStream));

    let facts = gateway.links.edges().remove(0);
    assert_eq!((facts.name.as_str(), facts.address, facts.is_draining), ("edge1", edge.address, false));
    assert!(!facts.build.is_empty() && facts.since_ms > 0);
}

#[test]
fn queues_tell_what_waits_at_the_edge_and_on_the_link() {
    let authority = Authority::new();
    let edge = start("edge1", &authority);
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[edge.address], 0);
    gateway.links.publish(partners(1));
    gateway.attached(1);
    gateway.send("bob@fabrikam.example", 1..=7, PATIENCE);
    eventually("they wait for a stream", || {
        let queues = gateway.block_on(gateway.links.queues());
        queues.edges[0].queues.first().is_some_and(|queue| queue.waiting.stanzas == 7)
    });
    let queues = gateway.block_on(gateway.links.queues());
    let queue = &queues.edges[0].queues[0];
    assert_eq!((queue.direction, queue.partner.as_str()), (StreamDirection::Out, "fabrikam.example"));
    assert_eq!((queue.local.as_str(), queue.most_stanzas), ("contoso.example", Some(4096)));
    assert_eq!((queues.links[0].edge.as_deref(), queues.links[0].unacknowledged.stanzas), (Some("edge1"), 7));
    assert_eq!((queues.partners[0].remote.as_str(), queues.partners[0].waiting.stanzas), ("fabrikam.example", 0));
}

/// Parts without end, in answer to each question.
fn endless(request: causeway_proto::link::v1::GatewayFrame) -> Vec<EdgeFrame> {
    let parts = request.report_requests.into_iter().map(|request| Report {
        id: request.id,
        streams: vec![LiveStream { state: "future".to_owned(), ..LiveStream::default() }; 10_000],
        ..Report::default()
    });
    parts.map(|report| EdgeFrame { report: Some(report), ..EdgeFrame::default() }).collect()
}

#[test]
fn an_edge_that_says_nothing_or_comes_to_no_end_is_named_and_holds_up_nobody() {
    let authority = Authority::new();
    let named = |name: &str| {
        let mut hello = edge_hello();
        hello.hello.as_mut().unwrap().edge_id = name.to_owned();
        vec![hello]
    };
    let well = start("a well", &authority);
    let (_silent, silent) = play_edge(&authority, named("b silent"), |_| Vec::new());
    let (_endless, endless) = play_edge(&authority, named("c endless"), endless);
    let files = authority.files(GATEWAY_NAME);
    let gateway = GatewayNode::start("gw1", &files, &[well.address, silent, endless], 0);
    gateway.links.publish(partners(1));
    gateway.attached(3);
    let _entries = idle(&well.edge, 10);

    let began = Instant::now();
    let told = gateway.block_on(gateway.links.streams(None));
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    let told: Vec<_> = told.iter().map(|edge| (edge.edge.as_str(), edge.answer, edge.streams.len())).collect();
    let expected =
        [("a well", Answer::Complete, 10), ("b silent", Answer::Silent, 0), ("c endless", Answer::Partial, 0)];
    assert_eq!(told, expected);

    let began = Instant::now();
    let closed = gateway.block_on(gateway.links.close_stream("b silent", 1, CloseReason::Reset));
    assert_eq!(closed, Err(CloseFault::Silent));
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
}

#[test]
fn an_edge_that_is_lost_in_the_middle_is_not_waited_for() {
    let authority = Authority::new();
    let (silent, address) = play_edge(&authority, vec![edge_hello()], |_| Vec::new());
    let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[address], 1);
    gateway.attached(1);
    let told = std::thread::scope(|scope| {
        let asking = scope.spawn(|| gateway.block_on(gateway.links.streams(None)));
        silent.shutdown_background();
        asking.join().unwrap()
    });
    assert!(told.iter().all(|edge| edge.answer == Answer::Silent), "{told:?}");
}
