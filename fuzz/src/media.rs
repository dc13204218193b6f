//! Target `media`: session descriptions and MSRP streams.
//!
//! Invariants, besides not panicking: a description that is read and written is read as the same; an MSRP frame that is
//! read and written is read as the same; a stream is cut the same however it is split; a session stays within its bounds
//! and always has somebody who wakes it.
//!
//! The first byte of an input chooses description or stream; the second how a stream is split.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use causeway_sip::ids::IdSource;
use causeway_sip::msrp::message::Frame;
use causeway_sip::msrp::parse::{Framer, Received};
use causeway_sip::msrp::session::{Input, Output, Session, SessionConfig};
use causeway_sip::sdp::message::MessageStream;

/// The largest body that is read.
const MAX_BODY: usize = 256;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, split, rest @ ..] = data else { return };
    if choice % 2 == 0 {
        return description(rest);
    }
    let whole = frames(rest, rest.len().max(1));
    assert_eq!(whole, frames(rest, usize::from(*split) + 1));
    session(whole);
}

fn description(text: &[u8]) {
    let Ok(read) = causeway_sip::sdp::parse(text) else { return };
    assert_eq!(causeway_sip::sdp::parse(&read.write()).as_ref(), Ok(&read));
    if let Some((at, stream)) = MessageStream::find(&read) {
        assert!(at < read.media.len());
        let _ = stream.accepts("text/plain");
    }
}

/// What a stream is cut into, up to the fault that ends it.
fn frames(stream: &[u8], piece: usize) -> Vec<Received> {
    let (mut framer, mut buffer, mut seen) = (Framer::new(MAX_BODY), BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Some(received) = framer.push(&mut buffer) {
            let Ok(received) = received else { return seen };
            if let Received::Frame(frame) = &received {
                written_and_read(frame);
            }
            seen.push(received);
        }
    }
    seen
}

fn written_and_read(frame: &Frame) {
    let mut text = BytesMut::new();
    match frame {
        Frame::Request(request) => request.write(&mut text),
        Frame::Response(response) => response.write(&mut text),
    }
    let mut again = BytesMut::new();
    match Framer::new(MAX_BODY).push(&mut text.clone()) {
        Some(Ok(Received::Frame(read))) => match *read {
            Frame::Request(request) => request.write(&mut again),
            Frame::Response(response) => response.write(&mut again),
        },
        other => panic!("{:?} is read as {other:?}", String::from_utf8_lossy(&text)),
    }
    assert_eq!(text, again, "it is not written as it was read");
}

/// Gives all frames to a session that takes their paths for its own.
fn session(frames: Vec<Received>) {
    let first = frames.iter().find_map(|received| match received {
        Received::Frame(frame) => match &**frame {
            Frame::Request(request) => Some((request.to_path.first()?.clone(), request.from_path.clone())),
            Frame::Response(_) => None,
        },
        Received::TooLarge(_) | Received::Malformed(_) => None,
    });
    let Some((own, peer)) = first else { return };
    let mut now = Instant::now();
    let config = SessionConfig {
        own,
        peer,
        is_active: false,
        max_size: MAX_BODY,
        peer_max_size: None,
        accept_types: vec!["*".to_owned()],
        idle: Duration::from_secs(600),
    };
    let (mut session, mut ids, mut out) = (Session::new(config, now), IdSource::counting(), Vec::new());
    for received in frames {
        session.handle(Input::Received(received), now, &mut ids, &mut out);
    }
    for output in &out {
        if let Output::Message { body, .. } = output {
            assert!(body.len() <= MAX_BODY);
        }
    }
    for _ in 0..100 {
        let Some(at) = session.deadline() else { return };
        now = now.max(at);
        session.handle(Input::DeadlinePassed, now, &mut ids, &mut out);
    }
    panic!("a session that never ends");
}
