//! Target `link`: the frames of a hostile gateway or edge.
//!
//! Invariants, besides not panicking: a frame that is accepted is, written and read once more, the same; a snapshot
//! that is accepted can be put in force; what an edge says of its partners' verdicts is bounded.
//!
//! The first byte of an input chooses the kind of message; the rest is protobuf.

use causeway_edge_proxy::policy::Federation;
use causeway_proto::link::v1 as proto;
use causeway_shared::link::convert;
use prost::Message;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    match choice % 6 {
        0 => with(bytes, stanza),
        1 => with(bytes, context),
        2 => with(bytes, snapshot),
        3 => with(bytes, verdict),
        4 => with(bytes, gateway_frame),
        _ => with(bytes, edge_frame),
    }
}

fn with<M: Message + Default>(bytes: &[u8], then: impl FnOnce(M)) {
    if let Ok(message) = M::decode(bytes) {
        then(message);
    }
}

fn stanza(frame: proto::Stanza) {
    let (seq, context) = (frame.seq, frame.context);
    let Ok(stanza) = convert::stanza_from_proto(frame) else { return };
    let written = convert::stanza_to_proto(&stanza, seq, context);
    let read = convert::stanza_from_proto(written.clone()).expect("what we write is valid");
    assert_eq!(written, convert::stanza_to_proto(&read, seq, context));
}

fn context(frame: proto::PairContext) {
    let Ok(numbered) = convert::context_from_proto(frame) else { return };
    let written = convert::context_to_proto(numbered.id, &numbered.context);
    let read = convert::context_from_proto(written).expect("what we write is valid");
    assert_eq!((read.id, &read.context), (numbered.id, &numbered.context));
}

fn snapshot(frame: proto::Snapshot) {
    let Ok(snapshot) = convert::snapshot_from_proto(frame) else { return };
    let written = convert::snapshot_to_proto(&snapshot);
    let read = convert::snapshot_from_proto(written.clone()).expect("what we write is valid");
    assert_eq!(written, convert::snapshot_to_proto(&read));
    let (federation, _) = Federation::new(&snapshot);
    assert!(snapshot.local_domains.iter().all(|domain| federation.is_local(domain.as_str())));
    assert!(snapshot.partners.iter().all(|partner| federation.partner(partner.domain.as_str()).is_some()));
}

fn verdict(frame: proto::Verdict) {
    let Ok(verdict) = convert::verdict_from_proto(frame) else { return };
    let written = convert::verdict_to_proto(&verdict);
    let read = convert::verdict_from_proto(written.clone()).expect("what we write is valid");
    assert_eq!(written, convert::verdict_to_proto(&read), "a verdict changes when it is read twice");
    // Room for every field at its bound.
    assert!(written.encoded_len() <= 65_536, "a verdict of {} bytes", written.encoded_len());
}

fn gateway_frame(frame: proto::GatewayFrame) {
    if let Some(part) = frame.snapshot {
        snapshot(part);
    }
    frame.stanzas.into_iter().for_each(stanza);
    let _ = frame.acks.map(|acks| convert::failures_from_proto(acks.failures));
}

fn edge_frame(frame: proto::EdgeFrame) {
    frame.contexts.into_iter().for_each(context);
    frame.stanzas.into_iter().for_each(stanza);
    frame.verdicts.into_iter().for_each(verdict);
    let _ = frame.acks.map(|acks| convert::failures_from_proto(acks.failures));
}
