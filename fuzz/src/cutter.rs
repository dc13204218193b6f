//! Target `cutter`: bytes of a stream, however they are split.
//!
//! Invariants: what is cut depends on the bytes and not on how they arrive; every cut lies at the head of the buffer and
//! is not empty; what has to be kept while waiting stays within the limit in force; a closing tag is one by XML 1.0,
//! production 42.
//!
//! The first byte of an input chooses after how many elements the stream is authenticated, the second how it is split.

use causeway_shared::limits::Limits;
use causeway_shared::xmpp::cutter::{Cut, Cutter};
use causeway_shared::xmpp::stream_error::StreamFault;

/// Small, so that inputs of a few hundred bytes reach them.
const LIMITS: Limits = Limits {
    byte_stanza: 256,
    byte_pre_auth: 128,
    byte_header: 192,
    depth: 6,
    attributes: 64,
    namespaces: 128,
    attribute_value: 16_384,
    name: 256,
    nodes: 8_192,
};

/// What was cut, with white space in one piece: where it is cut is all that may depend on the split.
#[derive(Debug, PartialEq)]
enum Seen<'a> {
    Header(&'a [u8]),
    Element(&'a [u8]),
    Whitespace(usize),
    Close(&'a [u8]),
    Fault(StreamFault),
}

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [authenticated_after, split, stream @ ..] = data else { return };
    let authenticated_after = usize::from(authenticated_after % 4);
    let whole = cuts(stream, authenticated_after, |_| stream.len());
    for cut in &whole {
        if let Seen::Close(tag) = cut {
            assert!(is_end_tag(tag), "{:?} closes no stream", String::from_utf8_lossy(tag));
        }
    }
    assert_eq!(whole, cuts(stream, authenticated_after, |_| 1), "one by one");
    let mut seed = u32::from(*split) + 1;
    let random = |longest| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (seed >> 16) as usize % longest
    };
    assert_eq!(whole, cuts(stream, authenticated_after, random), "in pieces");
}

/// Everything that is cut from a stream that arrives in pieces of the lengths that are asked for.
fn cuts(stream: &[u8], authenticated_after: usize, mut length: impl FnMut(usize) -> usize) -> Vec<Seen<'_>> {
    let mut cutter = Cutter::new(LIMITS);
    let (mut seen, mut elements) = (Vec::new(), 0);
    // The buffer is a window over the stream: what was cut is before it, what has not arrived behind it.
    let (mut start, mut end) = (0, 0);
    while end < stream.len() {
        end = stream.len().min(end + length(24));
        loop {
            let buffer = &stream[start..end];
            let cut = cutter.next(buffer);
            let taken = match &cut {
                Cut::Need => {
                    let limit = match (&*seen, elements >= authenticated_after) {
                        (empty, _) if !empty.iter().any(|cut| matches!(cut, Seen::Header(_))) => LIMITS.byte_header,
                        (_, true) if authenticated_after > 0 => LIMITS.byte_stanza,
                        _ => LIMITS.byte_pre_auth,
                    };
                    assert!(buffer.len() <= limit, "{} bytes are kept, {limit} allowed", buffer.len());
                    break;
                }
                Cut::Fault(fault) => {
                    seen.push(Seen::Fault(*fault));
                    return seen;
                }
                Cut::Header(range) | Cut::Element(range) | Cut::Whitespace(range) | Cut::Close(range) => range.clone(),
            };
            assert!(taken.start == 0 && taken.end > 0, "the cut is not the head of the buffer");
            let bytes = &buffer[taken];
            start += bytes.len();
            match (cut, seen.last_mut()) {
                (Cut::Whitespace(_), Some(Seen::Whitespace(before))) => *before += bytes.len(),
                (Cut::Whitespace(_), _) => seen.push(Seen::Whitespace(bytes.len())),
                (Cut::Header(_), _) => seen.push(Seen::Header(bytes)),
                (Cut::Close(_), _) => seen.push(Seen::Close(bytes)),
                (Cut::Element(_), _) => {
                    seen.push(Seen::Element(bytes));
                    elements += 1;
                    if elements == authenticated_after {
                        cutter.authenticated();
                    }
                }
                (Cut::Need | Cut::Fault(_), _) => {}
            }
        }
    }
    seen
}

/// XML 1.0, production 42, as far as it does not concern the name.
fn is_end_tag(tag: &[u8]) -> bool {
    let inside = tag.strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">")).unwrap_or_default();
    let name = inside.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).next().unwrap_or_default();
    let rest = inside.get(name.len()..).unwrap_or_default();
    !name.iter().any(u8::is_ascii_whitespace) && rest.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
