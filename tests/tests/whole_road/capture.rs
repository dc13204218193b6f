//! SIP legs at a capture server.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::support::{World, address};

/// The payload of a packet of HEP version 3: its last chunk.
fn payload(packet: &[u8]) -> String {
    let (mut rest, mut last) = (packet.get(6..).unwrap_or_default(), Vec::new());
    while let [_, _, _, kind, high, low, ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 15 {
            last = rest.get(6..length).unwrap_or_default().to_vec();
        }
        rest = rest.get(length.max(6)..).unwrap_or_default();
    }
    String::from_utf8(last).unwrap()
}

#[tokio::test]
async fn a_capture_server_sees_both_ways_and_no_bodies() {
    let server = UdpSocket::bind(SocketAddr::new(address(), 0)).await.unwrap();
    let target = server.local_addr().unwrap();
    let add = |config: &str| format!("{config}\n[hep]\ntarget = '{target}'\ncapture_id = 7\n");
    let world = World::start_with("capture", add).await;
    let mut stream = world.stream().await;
    let said = world.pass(&mut stream).await.body;
    let (mut request, mut response) = (None, None);
    let mut packet = vec![0; 65_536];
    while request.is_none() || response.is_none() {
        let received = tokio::time::timeout(Duration::from_secs(30), server.recv(&mut packet)).await.unwrap().unwrap();
        assert_eq!(packet.get(..4), Some(&b"HEP3"[..]));
        let text = payload(packet.get(..received).unwrap());
        assert!(!text.contains(&said), "{text}");
        if text.starts_with("MESSAGE sip:alice@contoso.example SIP/2.0\r\n") {
            request = Some(text);
        } else if text.starts_with("SIP/2.0 200 ") && text.contains("MESSAGE") {
            response = Some(text);
        }
    }
}
