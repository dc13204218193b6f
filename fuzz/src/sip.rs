//! Target `sip`: messages of the SIP pool.
//!
//! Invariants, besides not panicking: a message that is read and written is read as the same, and then written as the
//! same bytes; no field that is read lazily panics; a stream of messages is framed the same however it is split.
//!
//! The first byte of an input chooses datagram, stream or URI; the second how a stream is split.

use bytes::{Bytes, BytesMut};
use causeway_sip::frame::{Frame, Framer};
use causeway_sip::header::{HeaderName, Headers};
use causeway_sip::message::Message;
use causeway_sip::parse::{Datagram, parse_datagram};
use causeway_sip::uri::Uri;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, split, rest @ ..] = data else { return };
    match choice % 3 {
        0 => {
            if let Ok(Datagram::Message(message)) = parse_datagram(Bytes::copy_from_slice(rest)) {
                written_and_read(&message);
            }
        }
        1 => {
            let whole = frames(rest, |_| rest.len());
            let mut seed = u32::from(*split) + 1;
            let random = |longest| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                1 + (seed >> 16) as usize % longest
            };
            assert_eq!(whole, frames(rest, random));
        }
        _ => uri(rest),
    }
}

fn written_and_read(message: &Message) {
    let mut written = BytesMut::new();
    message.write(&mut written);
    let written = written.freeze();
    let read = match parse_datagram(written.clone()) {
        Ok(Datagram::Message(read)) => read,
        other => panic!("{:?} is read as {other:?}", String::from_utf8_lossy(&written)),
    };
    let mut again = BytesMut::new();
    read.write(&mut again);
    assert_eq!(written, again, "it is not written as it was read");
    fields(match &read {
        Message::Request(request) => &request.headers,
        Message::Response(response) => &response.headers,
    });
}

/// Everything that is read only when somebody asks.
fn fields(headers: &Headers) {
    let _ = (headers.from(), headers.to(), headers.call_id(), headers.cseq(), headers.top_via());
    let _ = (headers.max_forwards(), headers.contact(), headers.expires(), headers.min_expires());
    let _ = (headers.retry_after(), headers.event(), headers.subscription_state(), headers.content_type());
    let _ = (headers.accept(), headers.tokens(&HeaderName::Supported), headers.addresses(&HeaderName::RecordRoute));
}

fn uri(bytes: &[u8]) {
    let Ok(uri) = Uri::parse(Bytes::copy_from_slice(bytes)) else { return };
    // Of schemes that are not known, nothing is known to be an address.
    assert_eq!(uri.is_same_address(&uri), !uri.host().is_empty(), "{uri:?}");
    let again = Uri::parse(uri.as_bytes().clone()).expect("what was read is valid");
    assert_eq!(uri, again);
    let _ = (uri.user_decoded(), uri.ip(), uri.params(), uri.transport(), uri.is_loose_router(), uri.gr());
    let plain = uri.without_headers();
    assert!(plain.headers().is_none());
    assert_eq!(Uri::parse(plain.as_bytes().clone()).as_ref(), Ok(&plain), "without its headers");
}

/// What a stream is cut into, as text.
fn frames(stream: &[u8], mut length: impl FnMut(usize) -> usize) -> Vec<String> {
    let mut framer = Framer::default();
    let (mut buffer, mut seen, mut rest) = (BytesMut::new(), Vec::new(), stream);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(length(64)));
        buffer.extend_from_slice(now);
        rest = later;
        while let Some(frame) = framer.push(&mut buffer) {
            match frame {
                Ok(Frame::Message(message)) => written_and_read(&message),
                // Two line ends that arrive apart are two answers to pings, and together they are one ping.
                Ok(Frame::Ping | Frame::Pong) => continue,
                Ok(Frame::Malformed(_)) => {}
                Err(_) => {
                    seen.push("a fault".to_owned());
                    return seen;
                }
            }
            seen.push("a frame".to_owned());
        }
    }
    seen
}
