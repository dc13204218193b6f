//! What either side does when the other breaks the contract of `link.proto`: it ends the call and says how, and goes on
//! with everybody else.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use causeway_proto::link::v1::link_client::LinkClient;
use causeway_proto::link::v1::{Acks, EdgeFrame, GatewayFrame, GatewayHello, PairContext, Partner, Snapshot, Stanza};
use causeway_shared::link::EDGE_WINDOW;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tonic::transport::{Endpoint, Uri};
use tonic::{Code, Status};
use tower::service_fn;

use crate::played::{edge_hello, play_edge};
use crate::support::*;

/// Sends frames as a gateway would and keeps the call open: how the edge ends it.
async fn play_gateway(edge: SocketAddr, files: &LinkPem, frames: Vec<GatewayFrame>) -> Status {
    let socket = TcpStream::connect(edge).await.unwrap();
    let connector = TlsConnector::from(client_config(files));
    let stream = connector.connect(ServerName::IpAddress(edge.ip().into()), socket).await.unwrap();
    let mut stream = Some(TokioIo::new(stream));
    let connector = service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let channel = Endpoint::from_static("http://edge.invalid").connect_with_connector(connector).await.unwrap();
    let frames = tokio_stream::iter(frames).chain(tokio_stream::pending());
    let mut answers = LinkClient::new(channel).attach(frames).await.unwrap().into_inner();
    let end = async {
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("the call ended without a word"),
                Err(status) => return status,
            }
        }
    };
    timeout(PATIENCE, end).await.expect("the edge ends the call in time")
}

fn gateway_hello() -> GatewayFrame {
    let hello = GatewayHello { protocol: 1, gateway_id: "gw".to_owned(), instance_id: "i".to_owned(), window: 8 };
    GatewayFrame { hello: Some(hello), ..GatewayFrame::default() }
}

fn stanza(seq: u64) -> Stanza {
    Stanza {
        seq,
        kind: 1,
        from: Bytes::from_static(b"alice@contoso.example"),
        to: Bytes::from_static(b"bob@fabrikam.example"),
        xml: Bytes::from_static(b"<message/>"),
        key: seq,
        ..Stanza::default()
    }
}

#[test]
fn an_edge_ends_the_call_of_a_gateway_that_breaks_the_contract_and_serves_the_others() {
    let authority = Authority::new();
    let edge = EdgeNode::start("edge1", &authority.files(EDGE_NAME), Streams::Hold);
    let files = authority.files(GATEWAY_NAME);
    let runtime = runtime();
    let check = |frames: Vec<GatewayFrame>, code: Code, told: &str| {
        let status = runtime.block_on(play_gateway(edge.address, &files, frames));
        assert!(status.code() == code && status.message().contains(told), "{told}: {status:?}");
    };
    let stanzas = |stanzas| GatewayFrame { stanzas, ..GatewayFrame::default() };
    let acks =
        |first_last| GatewayFrame { acks: Some(Acks { first_last, failures: Vec::new() }), ..GatewayFrame::default() };
    let mut foreign = gateway_hello();
    foreign.hello.as_mut().unwrap().protocol = 2;
    let mut nameless = gateway_hello();
    let partner = Partner { domain: "192.0.2.1".to_owned(), ..Partner::default() };
    nameless.snapshot = Some(Snapshot { version: 1, partners: vec![partner], ..Snapshot::default() });

    check(vec![GatewayFrame::default()], Code::InvalidArgument, "a hello is missing");
    check(vec![foreign], Code::FailedPrecondition, "speaks version 2");
    check(vec![gateway_hello(), gateway_hello()], Code::InvalidArgument, "hello is missing or repeated");
    check(vec![nameless], Code::InvalidArgument, "partner.domain");
    check(vec![gateway_hello(), acks(vec![1, 1])], Code::InvalidArgument, "number 1 was acknowledged");
    check(vec![gateway_hello(), acks(vec![1])], Code::InvalidArgument, "range is malformed");
    check(vec![gateway_hello(), acks(vec![1, u64::MAX])], Code::InvalidArgument, "not outstanding");
    check(vec![gateway_hello(), stanzas(vec![stanza(2)])], Code::InvalidArgument, "number 2 came where 1 was due");
    let bad = Stanza { kind: 9, ..stanza(1) };
    check(vec![gateway_hello(), stanzas(vec![bad])], Code::InvalidArgument, "stanza.kind");
    let bad = Stanza { from: Bytes::from_static(b"\xff"), ..stanza(1) };
    check(vec![gateway_hello(), stanzas(vec![bad])], Code::InvalidArgument, "stanza.from");
    let bad = Stanza { to: Bytes::from_static(b"@"), ..stanza(1) };
    check(vec![gateway_hello(), stanzas(vec![bad])], Code::InvalidArgument, "stanza.to");
    let bad = Stanza { trace: Bytes::from_static(b"abc"), ..stanza(1) };
    check(vec![gateway_hello(), stanzas(vec![bad])], Code::InvalidArgument, "stanza.trace");
    let flood = (1..=u64::from(EDGE_WINDOW) + 1).map(stanza).collect();
    check(vec![gateway_hello(), stanzas(flood)], Code::InvalidArgument, "more than 8192 stanzas");

    assert_eq!(edge.written.rest(), [] as [String; 0]);
    let gateway = GatewayNode::start("gw1", &files, &[edge.address], 1);
    gateway.attached(1);
    eventually("it is the only one", || edge.handle.facts().gateways == 1);
}

#[test]
fn a_gateway_ends_the_call_with_an_edge_that_breaks_the_contract_and_says_so() {
    let authority = Authority::new();
    let check = |frames: Vec<EdgeFrame>, told: &str| {
        let (runtime, address) = play_edge(&authority, frames, |_| Vec::new());
        let gateway = GatewayNode::start("gw1", &authority.files(GATEWAY_NAME), &[address], 1);
        let cause = gateway.verdict();
        assert!(cause.contains(told), "{told}: {cause}");
        gateway.kill();
        runtime.shutdown_background();
    };
    let mut foreign = edge_hello();
    foreign.hello.as_mut().unwrap().protocol = 2;
    let context = PairContext {
        id: 1,
        local_domain: "contoso.example".to_owned(),
        remote_domain: "fabrikam.example".to_owned(),
        method: 1,
        ..PairContext::default()
    };
    let contexts = |context| EdgeFrame { contexts: vec![context], ..EdgeFrame::default() };
    let stanzas = |stanza| EdgeFrame { stanzas: vec![stanza], ..EdgeFrame::default() };

    check(vec![EdgeFrame::default()], "a hello is missing");
    check(vec![foreign], "speaks version 2");
    check(vec![edge_hello(), edge_hello()], "hello is missing or repeated");
    check(vec![edge_hello(), stanzas(Stanza { context: 7, ..stanza(1) })], "context 7 was not announced");
    check(
        vec![edge_hello(), contexts(context.clone()), stanzas(Stanza { context: 1, ..stanza(2) })],
        "where 1 was due",
    );
    check(vec![edge_hello(), contexts(PairContext { method: 0, ..context.clone() })], "context.method");
    check(
        vec![edge_hello(), contexts(PairContext { local_domain: "a b".to_owned(), ..context })],
        "context.local_domain",
    );
    let acks = Some(Acks { first_last: vec![3, 4], failures: Vec::new() });
    check(vec![edge_hello(), EdgeFrame { acks, ..EdgeFrame::default() }], "number 4 was acknowledged");
}
