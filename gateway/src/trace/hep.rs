//! SIP messages for a capture server such as Homer: HEP version 3 (also called EEP), one datagram each. Encoding only.
//!
//! What is told is what the recorder noted, as operators may read it: forms and addresses, and what people wrote only where
//! EnableLoggingAllMessageBodies is on. A hidden body is left out, and Content-Length says so.

use std::net::{IpAddr, SocketAddr};

use bytes::BufMut;
use causeway_sip::message::Message;
use causeway_sip::parse::{Datagram, parse_datagram};
use causeway_sip::target::TransportKind;

use super::Fact;
use super::redact;
use super::ring::Raw;

/// Bytes of a datagram that a capture server surely takes, and IPv4 carries.
const MAX_DATAGRAM: usize = 60_000;

/// Chunks of the generic vendor (HEP3, chapter "Generic chunk types").
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Family = 1,
    Protocol = 2,
    SourceV4 = 3,
    TargetV4 = 4,
    SourceV6 = 5,
    TargetV6 = 6,
    SourcePort = 7,
    TargetPort = 8,
    Seconds = 9,
    Microseconds = 10,
    Kind = 11,
    Agent = 12,
    Payload = 15,
}

/// SIP, among the kinds of payloads.
const SIP: u8 = 1;

/// What of an event goes to a capture server: none, if it is no SIP message that can be told.
pub fn packet(raw: &Raw, ours: SocketAddr, agent: u32, show_bodies: bool) -> Option<Vec<u8>> {
    let (is_in, peer) = match &raw.fact {
        // What strangers send is answered, and shown to nobody.
        Fact::SipIn { from, is_trusted: true } => (true, *from),
        Fact::SipOut { to, .. } => (false, *to),
        Fact::SipIn { is_trusted: false, .. }
        | Fact::StanzaIn { .. }
        | Fact::StanzaInEnded { .. }
        | Fact::StanzaOut { .. }
        | Fact::StanzaOutEnded { .. }
        | Fact::SipUnsent { .. }
        | Fact::Msrp { .. }
        | Fact::Verdict { .. }
        | Fact::Edge { .. } => return None,
    };
    let Ok(Datagram::Message(message)) = parse_datagram(raw.bytes.clone()) else { return None };
    let payload = payload(&message, show_bodies);
    let (source, target) = if is_in { (peer.address, ours) } else { (ours, peer.address) };
    let transport = peer.transport.unwrap_or(TransportKind::Tcp);
    let packet = encode(source, target, transport, raw.at_ms, agent, payload.as_bytes());
    (packet.len() <= MAX_DATAGRAM).then_some(packet)
}

/// The message as it may be read, with the lines of SIP.
fn payload(message: &Message, show_bodies: bool) -> String {
    let text = redact::sip::redact(message, show_bodies);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let body = if show_bodies { body } else { "" };
    let mut payload = String::with_capacity(text.len() + 64);
    for line in head.lines() {
        if !line.to_ascii_lowercase().starts_with("content-length:") {
            payload.push_str(line);
            payload.push_str("\r\n");
        }
    }
    payload + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

fn encode(
    source: SocketAddr,
    target: SocketAddr,
    transport: TransportKind,
    at_ms: u64,
    agent: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut chunks = Vec::with_capacity(payload.len() + 128);
    let mut add = |chunk: Chunk, value: &[u8]| {
        let length = u16::try_from(value.len() + 6).unwrap_or(u16::MAX);
        chunks.put_u16(0);
        chunks.put_u16(chunk as u16);
        chunks.put_u16(length);
        chunks.put_slice(value);
    };
    // Both ends have one family: where they do not, our end is the address that was configured for the other one.
    match (source.ip(), target.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            add(Chunk::Family, &[2]);
            add(Chunk::SourceV4, &source.octets());
            add(Chunk::TargetV4, &target.octets());
        }
        (source, target) => {
            let v6 = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            add(Chunk::Family, &[10]);
            add(Chunk::SourceV6, &v6(source));
            add(Chunk::TargetV6, &v6(target));
        }
    }
    let protocol = match transport {
        TransportKind::Udp => 17,
        TransportKind::Tcp | TransportKind::Tls => 6,
    };
    add(Chunk::Protocol, &[protocol]);
    add(Chunk::SourcePort, &source.port().to_be_bytes());
    add(Chunk::TargetPort, &target.port().to_be_bytes());
    let seconds = u32::try_from(at_ms / 1000).unwrap_or(u32::MAX);
    let microseconds = u32::try_from(at_ms % 1000 * 1000).unwrap_or_default();
    add(Chunk::Seconds, &seconds.to_be_bytes());
    add(Chunk::Microseconds, &microseconds.to_be_bytes());
    add(Chunk::Kind, &[SIP]);
    add(Chunk::Agent, &agent.to_be_bytes());
    add(Chunk::Payload, payload);
    let mut packet = Vec::with_capacity(chunks.len() + 6);
    packet.put_slice(b"HEP3");
    packet.put_u16(u16::try_from(chunks.len() + 6).unwrap_or(u16::MAX));
    packet.put_slice(&chunks);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::SipPeer;

    fn message(text: &str) -> Raw {
        let body = "kept between two people";
        let text = format!(
            "MESSAGE sip:alice@contoso.example SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1\r\n\
             From: <sip:bob@fabrikam.example>;tag=1\r\nTo: <sip:alice@contoso.example>\r\nCall-ID: {text}\r\n\
             CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let address = "10.0.0.2:5060".parse().unwrap();
        Raw {
            number: 0,
            at_ms: 1_700_000_000_123,
            fact: Fact::SipOut {
                to: SipPeer { transport: Some(TransportKind::Tcp), address },
                tag: causeway_sip::endpoint::SendTag::NONE,
            },
            length: text.len(),
            bytes: text.into(),
        }
    }

    /// The chunks of a packet, read by the lengths that it tells.
    fn chunks(packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
        assert_eq!(&packet[..4], b"HEP3");
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
        let (mut rest, mut found) = (&packet[6..], Vec::new());
        while !rest.is_empty() {
            assert_eq!(rest[..2], [0, 0]);
            let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            found.push((u16::from_be_bytes([rest[2], rest[3]]), rest[6..length].to_vec()));
            rest = &rest[length..];
        }
        found
    }

    #[test]
    fn a_message_is_told_with_its_ends_and_time_and_without_its_body() {
        let ours = "10.0.0.1:5060".parse().unwrap();
        let chunks = chunks(&packet(&message("call"), ours, 7, false).unwrap());
        let of = |kind: u16| chunks.iter().find(|(known, _)| *known == kind).map(|(_, value)| value.clone()).unwrap();
        assert_eq!((of(1), of(2), of(11)), (vec![2], vec![6], vec![SIP]));
        assert_eq!((of(3), of(4)), (vec![10, 0, 0, 1], vec![10, 0, 0, 2]));
        assert_eq!((of(7), of(8)), (5060_u16.to_be_bytes().to_vec(), 5060_u16.to_be_bytes().to_vec()));
        assert_eq!(of(9), 1_700_000_000_u32.to_be_bytes());
        assert_eq!(of(10), 123_000_u32.to_be_bytes());
        assert_eq!(of(12), 7_u32.to_be_bytes());
        let payload = String::from_utf8(of(15)).unwrap();
        assert!(payload.starts_with("MESSAGE sip:alice@contoso.example SIP/2.0\r\n"), "{payload}");
        assert!(payload.ends_with("Content-Length: 0\r\n\r\n"), "{payload}");
        assert!(!payload.contains("kept between"), "{payload}");
    }

    #[test]
    fn a_body_is_there_where_bodies_are_logged_and_its_length_is_true() {
        let ours = "10.0.0.1:5060".parse().unwrap();
        let chunks = chunks(&packet(&message("call"), ours, 7, true).unwrap());
        let payload = String::from_utf8(chunks.last().unwrap().1.clone()).unwrap();
        let (head, body) = payload.split_once("\r\n\r\n").unwrap();
        assert!(body.contains("kept between two people"), "{payload}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{payload}");
    }

    #[test]
    fn ends_of_two_families_are_told_as_one() {
        let ours = "[2001:db8::1]:5060".parse().unwrap();
        let chunks = chunks(&packet(&message("call"), ours, 7, false).unwrap());
        assert!(chunks.contains(&(1, vec![10])));
        assert_eq!(chunks.iter().find(|(kind, _)| *kind == 6).unwrap().1[10..], [0xff, 0xff, 10, 0, 0, 2]);
    }

    #[test]
    fn what_is_no_message_of_the_pool_goes_nowhere() {
        let ours = "10.0.0.1:5060".parse().unwrap();
        let from = SipPeer { transport: Some(TransportKind::Udp), address: "10.0.0.9:5060".parse().unwrap() };
        let stranger = Raw { fact: Fact::SipIn { from, is_trusted: false }, ..message("call") };
        assert!(packet(&stranger, ours, 7, false).is_none());
        let too_large = Raw { bytes: bytes::Bytes::new(), ..message("call") };
        assert!(packet(&too_large, ours, 7, false).is_none());
    }
}
