//! What senders with bad intentions can take of the sockets: each bound by its name.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tests::{PATIENCE, any_port, options, start};
use super::*;
use crate::limits::{MAX_HEAD, MAX_MESSAGE};
use crate::trust::TrustedPeer;

/// Only these may come: nobody who can be met on loopback.
fn nobody_here() -> watch::Receiver<Arc<TrustedPeers>> {
    let addresses = vec!["192.0.2.0/24".parse().unwrap()];
    let peer = TrustedPeer { name: "far".into(), addresses, identities: vec![] };
    watch::channel(Arc::new(TrustedPeers::new(vec![peer]))).1
}

/// Everything that comes until the other side closes.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection stays open");
    all
}

// Rule: sip.dos
#[tokio::test]
async fn a_message_that_comes_byte_by_byte_ends_its_connection() {
    let (_transport, _receiver, addr) = start(|config| {
        config.tcp.push(any_port());
        config.message_patience = Duration::from_millis(200);
    })
    .await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let (mut read, mut write) = stream.split();
    let drip = async {
        for byte in options(1).iter().cycle() {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut all = Vec::new();
    tokio::select! {
        () = drip => {}
        closed = tokio::time::timeout(PATIENCE, read.read_to_end(&mut all)) => assert!(closed.is_ok()),
    }
}

// Rule: sip.dos
#[tokio::test]
async fn headers_and_bodies_beyond_their_limits_end_the_connection() {
    let (_transport, _receiver, addr) = start(|config| config.tcp.push(any_port())).await;
    let endless = [b"OPTIONS sip:h SIP/2.0\r\nX: ".to_vec(), vec![b'x'; MAX_HEAD]].concat();
    let large = format!(
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nCSeq: 1 OPTIONS\r\nContent-Length: {MAX_MESSAGE}\r\n\r\n"
    );
    for bytes in [endless, large.into_bytes()] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        until_closed(&mut stream).await;
    }
}

// Rule: sip.dos
#[tokio::test]
async fn pings_alone_do_not_keep_a_place() {
    let (transport, _receiver, addr) = start(|config| {
        config.tcp.push(any_port());
        config.proof_patience = Duration::from_millis(300);
    })
    .await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let (mut read, mut write) = stream.split();
    let ping = async {
        while write.write_all(b"\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut pongs = Vec::new();
    tokio::select! {
        () = ping => {}
        closed = tokio::time::timeout(PATIENCE, read.read_to_end(&mut pongs)) => assert!(closed.is_ok()),
    }
    drop(transport);
}

// Rule: sip.dos
#[tokio::test]
async fn a_message_of_a_peer_earns_the_place() {
    let (transport, mut receiver, addr) = start(|config| {
        config.tcp.push(any_port());
        config.proof_patience = Duration::from_millis(100);
    })
    .await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&options(1)).await.unwrap();
    receiver.recv().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(400), stream.read_u8()).await.is_err(), "it stays open");
    assert_eq!(transport.connections(), 1);
}

// Rule: sip.dos
#[tokio::test]
async fn strangers_fill_their_own_places_only() {
    let (_transport, _receiver, addr) = start(|config| {
        config.tcp.push(any_port());
        config.peers = nobody_here();
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..MAX_STRANGERS {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The pong says that it was accepted.
        stream.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'\r');
        open.push(stream);
    }
    let mut one_more = TcpStream::connect(addr).await.unwrap();
    until_closed(&mut one_more).await;
}
