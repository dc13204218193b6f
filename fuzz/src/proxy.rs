//! Target `proxy`: the header of the PROXY protocol, version 2.
//!
//! Invariants, besides not panicking: how the bytes arrive makes no difference; what is asked for is never more than the
//! header still lacks, and never more than the longest header in all; a header that names a peer is one that a second
//! reading of `proxy-protocol.txt`, section 2.2, makes of it, too.
//!
//! The first byte of an input chooses whether the signature is put in front of the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use causeway_edge_proxy::listen::proxy::{MAX_HEADER, Progress, ProxyFault, Source, read};

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let bytes = if choice & 1 == 0 { [b"\r\n\r\n\0\r\nQUIT\n", rest].concat() } else { rest.to_vec() };
    let mut have = 0;
    // As the listener does: no byte is read that was not asked for.
    let outcome = loop {
        match read(&bytes[..have]) {
            Ok(Progress::Need(more)) => {
                assert!(more > 0 && have + more <= MAX_HEADER, "{more} more are asked for after {have}");
                have += more;
                if have > bytes.len() {
                    break Err(ProxyFault::Eof);
                }
            }
            Ok(Progress::Done(source)) => break Ok(source),
            Err(fault) => break Err(fault),
        }
    };
    for end in 0..have.min(bytes.len()) {
        match read(&bytes[..end]) {
            Ok(Progress::Need(more)) => assert!(end + more <= have, "more than the header is asked for"),
            Ok(Progress::Done(_)) => panic!("the header ends earlier byte by byte"),
            Err(fault) => assert!(outcome.is_err(), "{fault} in the middle of a good header"),
        }
    }
    if let Ok(Source::Peer(peer)) = outcome {
        assert_eq!(Some(peer), expected(&bytes[..have]));
        assert_eq!(peer.ip(), peer.ip().to_canonical(), "two spellings of one address");
    }
}

/// The source that a header for TCP names.
fn expected(header: &[u8]) -> Option<SocketAddr> {
    let address = |at: usize, length: usize| header.get(at..at + length);
    let (ip, port) = match header.get(12..14)? {
        [0x21, 0x11] => (IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address(16, 4)?).ok()?)), address(24, 2)?),
        [0x21, 0x21] => (IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address(16, 16)?).ok()?)), address(48, 2)?),
        _ => return None,
    };
    let length = u16::from_be_bytes(<[u8; 2]>::try_from(address(14, 2)?).ok()?);
    assert_eq!(header.len(), 16 + usize::from(length), "the header has another length");
    Some(SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(<[u8; 2]>::try_from(port).ok()?)))
}
