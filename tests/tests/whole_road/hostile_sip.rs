//! SIP that does not parse, or asks for what is not served (RFC 3261, sections 8.2, 16.3 and 18.3; RFC 6665).

use std::net::SocketAddr;

use causeway_tests::peer::sip::{Message, datagram, request};

use crate::support::World;

const ALICE: &str = "alice@contoso.example";
const BOB: &str = "bob@fabrikam.example";

// Rule: sip.type, sip.method, sip.event, sip.require, type.s7
#[tokio::test]
async fn what_is_not_served_gets_its_status() {
    let world = World::start("statuses").await;
    let client = world.client().await;
    let pidf = "Contact: <sip:pool@127.0.0.1>\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n";
    let cases: [(&str, &str, String, u16, &str); 6] = [
        // A method that nobody knows, and one that we do not serve (RFC 3261, sections 21.5.2 and 8.2.1).
        ("FROBNICATE", BOB, String::new(), 501, "Allow"),
        ("REGISTER", BOB, String::new(), 405, "Allow"),
        ("SUBSCRIBE", BOB, format!("Event: weather\r\n{pidf}"), 489, "Allow-Events"),
        ("MESSAGE", "somebody@elsewhere.example", "Content-Type: text/plain\r\n".to_owned(), 404, "CSeq"),
        ("MESSAGE", BOB, "Content-Type: application/x-ink\r\n".to_owned(), 415, "Accept"),
        ("MESSAGE", BOB, "Content-Type: text/plain\r\nRequire: time-travel\r\n".to_owned(), 420, "Unsupported"),
    ];
    for (index, (method, to, extra, status, header)) in cases.into_iter().enumerate() {
        let call_id = format!("hostile-{index}");
        let text = request(method, ALICE, to, &call_id, client.local, &extra, "x");
        client.send(text.as_bytes()).await.unwrap();
        let response = client.response(&call_id).await.unwrap();
        assert_eq!(response.status(), Some(status), "{method} {to}: {response:?}");
        assert!(response.header(header).is_some(), "{method} {to}: {response:?}");
    }
    let accepted = client.message(ALICE, BOB, "good", "good").await.unwrap();
    assert_eq!(accepted.status(), Some(202));
    world.good_message_passes().await;
}

// Rule: sip.malformed, sip.framing
#[tokio::test]
async fn a_stream_of_bytes_that_is_no_sip_is_closed_and_others_go_on() {
    let world = World::start("garbage").await;
    let other = world.client().await;
    let good = request("MESSAGE", ALICE, BOB, "g", other.local, "Content-Type: text/plain\r\n", "x");
    for bytes in [
        "NONSENSE\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        // Where one message ends and the next begins cannot be known any more.
        good.replace("Content-Length: 1", "Content-Length: -1"),
        good.replace("Content-Length: 1", "Content-Length: 99999999999999999999"),
        good.replace("Content-Length: 1", "Content-Length: 1\r\nContent-Length: 7"),
        format!("MESSAGE sip:x@contoso.example SIP/2.0\r\nX: {}", "x".repeat(200_000)),
    ] {
        let client = world.client().await;
        // The gateway may close before it has read everything.
        let _closed_early = client.send(bytes.as_bytes()).await;
        client.closed().await.unwrap_or_else(|error| panic!("{error} after {:.60}", bytes));
    }
    let accepted = other.message(ALICE, BOB, "good", "good").await.unwrap();
    assert_eq!(accepted.status(), Some(202));
    world.good_message_passes().await;
}

// Rule: sip.malformed
#[tokio::test]
async fn a_malformed_request_with_a_clear_end_is_a_bad_request() {
    let world = World::start("malformed").await;
    let client = world.client().await;
    for (index, (what, with)) in [
        ("From: <sip:alice@contoso.example>", "From: <sip:alice@contoso.example"),
        ("CSeq: 1 MESSAGE", "CSeq: one MESSAGE"),
        ("CSeq: 1 MESSAGE", "CSeq: 1 SUBSCRIBE"),
        ("Max-Forwards: 70", "Max-Forwards: seventy"),
    ]
    .into_iter()
    .enumerate()
    {
        let call_id = format!("malformed-{index}");
        let text = request("MESSAGE", ALICE, BOB, &call_id, client.local, "Content-Type: text/plain\r\n", "x");
        client.send(text.replace(what, with).as_bytes()).await.unwrap();
        let response = client.response(&call_id).await.unwrap();
        assert_eq!(response.status(), Some(400), "{with}: {response:?}");
    }
    assert_eq!(client.message(ALICE, BOB, "good", "good").await.unwrap().status(), Some(202));
}

// Rule: sip.malformed
#[tokio::test]
async fn a_datagram_shorter_than_its_content_length_is_a_bad_request() {
    let world = World::start("datagrams").await;
    let from = SocketAddr::new(world.road.plan.pool.ip(), 0);
    let socket = std::net::UdpSocket::bind(from).unwrap();
    let local = socket.local_addr().unwrap();
    drop(socket);
    let text = request("MESSAGE", ALICE, BOB, "short", local, "Content-Type: text/plain\r\n", "x");
    let text = text.replace("SIP/2.0/TCP", "SIP/2.0/UDP").replace("Content-Length: 1", "Content-Length: 100");
    let response: Message = datagram(local, world.road.plan.sip, text.as_bytes()).await.unwrap();
    assert_eq!(response.status(), Some(400), "{response:?}");
    world.good_message_passes().await;
}
