//! Target `link`: the frames of a hostile gateway or edge.
//!
//! Invariants, besides not panicking: a frame that is accepted is, written and read once more, the same; a snapshot
//! that is accepted can be put in force; what an edge says of its partners' verdicts and of its streams is bounded.
//!
//! The first byte of an input chooses the kind of message; the rest is protobuf.

use causeway_edge_proxy::policy::Federation;
use causeway_proto::link::v1 as proto;
use causeway_shared::link::convert;
use causeway_shared::live::PART;
use prost::Message;

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    match choice % 7 {
        0 => with(bytes, stanza),
        1 => with(bytes, context),
        2 => with(bytes, snapshot),
        3 => with(bytes, verdict),
        4 => with(bytes, gateway_frame),
        5 => with(bytes, edge_frame),
        _ => with(bytes, report),
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

fn report(frame: proto::Report) {
    let part = convert::report_part_from_proto(frame);
    assert!(part.streams.len() <= PART && part.queues.len() <= PART, "a part has its bounds whoever sends it");
    let written = convert::report_part_to_proto(&part);
    // Room for every field of every stream at its bound.
    assert!(written.encoded_len() <= 8 * 1024 * 1024, "a part of {} bytes", written.encoded_len());
    let read = convert::report_part_from_proto(written);
    assert_eq!((read.unreadable, &read.streams, &read.queues), (0, &part.streams, &part.queues));
}

fn gateway_frame(frame: proto::GatewayFrame) {
    if let Some(part) = frame.snapshot {
        snapshot(part);
    }
    frame.stanzas.into_iter().for_each(stanza);
    let _ = frame.acks.map(|acks| convert::failures_from_proto(acks.failures));
    for request in frame.report_requests.into_iter().filter_map(convert::report_request_from_proto) {
        let written = convert::report_request_to_proto(&request);
        assert_eq!(convert::report_request_from_proto(written), Some(request));
    }
    for close in frame.close_requests.into_iter().map(convert::close_from_proto) {
        assert_eq!(convert::close_from_proto(convert::close_to_proto(&close)), close);
    }
}

fn edge_frame(frame: proto::EdgeFrame) {
    frame.contexts.into_iter().for_each(context);
    frame.stanzas.into_iter().for_each(stanza);
    frame.verdicts.into_iter().for_each(verdict);
    frame.report.into_iter().for_each(report);
    let _ = frame.acks.map(|acks| convert::failures_from_proto(acks.failures));
}
