//! The PROXY protocol, version 2: who a connection is really from, told by the load balancer before the first byte.
//!
//! Receiving side of section 2.2 of `proxy-protocol.txt` (HAProxy), binary form only. [`read`] looks at what has come and
//! asks nobody; whether a sender may say such a thing is decided before, by [`super`]. Not here: version 1, and what
//! the additional fields (TLVs) say, which is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first twelve bytes: nothing that any text protocol begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;

/// What may follow: section 2.2 has senders keep to 536 bytes, the smallest segment of TCP, so that a header arrives at
/// once.
const MAX_REST: usize = 536;

/// The longest header.
pub const MAX_HEADER: usize = FIXED + MAX_REST;

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes are missing to know more; no more may be read, for behind the header begins the stream.
    Need(usize),
    /// The header is complete.
    Done(Source),
}

/// Who the connection is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This peer, as the proxy saw it.
    Peer(SocketAddr),
    /// The proxy itself, which looks whether we live, or does not know.
    Proxy,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// Something else began.
    #[error("the connection does not begin with the signature of the PROXY protocol, version 2")]
    Signature,
    /// Another version, or a command that is not known.
    #[error("the PROXY header has an unknown version or command")]
    Command,
    /// No TCP over IPv4 or IPv6.
    #[error("the PROXY header is about something else than TCP")]
    Family,
    /// Too long.
    #[error("the PROXY header is longer than {MAX_HEADER} bytes")]
    TooLong,
    /// Too short for the addresses it announces.
    #[error("the PROXY header is too short for its addresses")]
    TooShort,
    /// The proxy hung up.
    #[error("the proxy hung up before the end of its header")]
    Eof,
    /// The proxy said nothing.
    #[error("the PROXY header did not come in time")]
    Late,
}

/// Looks at everything that has come so far.
pub fn read(bytes: &[u8]) -> Result<Progress, ProxyFault> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes.get(..known) != SIGNATURE.get(..known) {
        return Err(ProxyFault::Signature);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Progress::Need(FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_REST {
        return Err(ProxyFault::TooLong);
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyFault::Command),
    };
    if rest.len() < length {
        return Ok(Progress::Need(length - rest.len()));
    }
    if is_local {
        // Whatever else it says does not count.
        return Ok(Progress::Done(Source::Proxy));
    }
    match family {
        0x00 => Ok(Progress::Done(Source::Proxy)),
        0x11 => ipv4(rest).ok_or(ProxyFault::TooShort),
        0x21 => ipv6(rest).ok_or(ProxyFault::TooShort),
        _ => Err(ProxyFault::Family),
    }
    .and_then(|progress| if rest.len() > length { Err(ProxyFault::TooLong) } else { Ok(progress) })
}

/// Source and destination address, source and destination port.
fn ipv4(rest: &[u8]) -> Option<Progress> {
    let (source, rest) = rest.split_first_chunk::<4>()?;
    let (_destination, rest) = rest.split_first_chunk::<4>()?;
    peer(Ipv4Addr::from(*source).into(), rest)
}

/// The same with longer addresses.
fn ipv6(rest: &[u8]) -> Option<Progress> {
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let (_destination, rest) = rest.split_first_chunk::<16>()?;
    peer(Ipv6Addr::from(*source).into(), rest)
}

fn peer(address: IpAddr, rest: &[u8]) -> Option<Progress> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_destination, _additional) = rest.split_first_chunk::<2>()?;
    let address = address.to_canonical();
    Some(Progress::Done(Source::Peer(SocketAddr::new(address, u16::from_be_bytes(*port)))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xc0, 0x01, 0x14, 0x95];

    fn ipv6_addresses(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0xc0, 0x01, 0x14, 0x95]].concat()
    }

    fn peer(text: &str) -> Result<Progress, ProxyFault> {
        Ok(Progress::Done(Source::Peer(text.parse().unwrap())))
    }

    #[test]
    fn the_peer_is_the_source_address() {
        assert_eq!(read(&header(0x21, 0x11, &IPV4)), peer("192.0.2.7:49153"));
        assert_eq!(read(&header(0x21, 0x21, &ipv6_addresses("2001:db8::7"))), peer("[2001:db8::7]:49153"));
        assert_eq!(read(&header(0x21, 0x21, &ipv6_addresses("::ffff:192.0.2.7"))), peer("192.0.2.7:49153"));
    }

    #[test]
    fn additional_fields_are_skipped() {
        let rest = [&IPV4[..], &[0x04, 0x00, 0x03, 0, 0, 0]].concat();
        assert_eq!(read(&header(0x21, 0x11, &rest)), peer("192.0.2.7:49153"));
        let longest = [&IPV4[..], &[0; MAX_REST - 12]].concat();
        assert_eq!(read(&header(0x21, 0x11, &longest)), peer("192.0.2.7:49153"));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_or_does_not_know_is_the_peer() {
        assert_eq!(read(&header(0x20, 0x00, &[])), Ok(Progress::Done(Source::Proxy)));
        assert_eq!(read(&header(0x20, 0x11, &IPV4)), Ok(Progress::Done(Source::Proxy)));
        assert_eq!(read(&header(0x21, 0x00, &[1, 2, 3])), Ok(Progress::Done(Source::Proxy)));
    }

    #[test]
    fn what_is_no_header_is_told_at_the_first_byte_that_shows_it() {
        assert_eq!(read(b"<?xml"), Err(ProxyFault::Signature));
        assert_eq!(read(b"\r\n\r\nx"), Err(ProxyFault::Signature));
        assert_eq!(read(b"PROXY TCP4 192.0.2.7"), Err(ProxyFault::Signature));
        assert_eq!(read(&header(0x11, 0x11, &IPV4)), Err(ProxyFault::Command));
        assert_eq!(read(&header(0x22, 0x11, &IPV4)), Err(ProxyFault::Command));
        for family in [0x12, 0x22, 0x31, 0x01, 0x10, 0xff] {
            assert_eq!(read(&header(0x21, family, &IPV4)), Err(ProxyFault::Family), "{family:#x}");
        }
        assert_eq!(read(&header(0x21, 0x11, &IPV4[..11])), Err(ProxyFault::TooShort));
        assert_eq!(read(&header(0x21, 0x21, &IPV4)), Err(ProxyFault::TooShort));
        assert_eq!(read(&header(0x21, 0x11, &[0; MAX_REST + 1])), Err(ProxyFault::TooLong));
    }

    #[test]
    fn a_length_that_is_too_great_is_not_waited_for() {
        let mut fixed = header(0x21, 0x11, &[]);
        fixed[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(read(&fixed), Err(ProxyFault::TooLong));
    }

    #[test]
    fn no_byte_behind_the_header_is_asked_for() {
        let whole = header(0x21, 0x11, &[&IPV4[..], &[0x04, 0x00, 0x00]].concat());
        for have in 0..whole.len() {
            let Ok(Progress::Need(missing)) = read(&whole[..have]) else {
                panic!("{have} bytes are no header");
            };
            assert!(missing > 0 && have + missing <= whole.len());
        }
        assert_eq!(read(&whole), peer("192.0.2.7:49153"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_more_is_asked_for_than_fits(
            tail in proptest::collection::vec(any::<u8>(), 0..600),
            is_signed: bool,
        ) {
            let bytes = if is_signed { [&SIGNATURE[..], &tail].concat() } else { tail };
            if let Ok(Progress::Need(missing)) = read(&bytes) {
                prop_assert!(missing > 0 && bytes.len() + missing <= MAX_HEADER);
            }
        }
    }
}
