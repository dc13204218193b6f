//! What an edge does for each stanza, and what both ends of the link do for each frame.

use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway_edge_proxy::stream::frames::{Frame, Frames};
use causeway_proto::link::v1 as proto;
use causeway_shared::jid::Jid;
use causeway_shared::limits::Limits;
use causeway_shared::link::outgoing::Outgoing;
use causeway_shared::link::window::Sender;
use causeway_shared::link::{Outcome, Stanza, TraceContext, convert};
use causeway_shared::xmpp::stanza::{self, Checked, StanzaKind};
use prost::Message as _;

use super::{BATCH, LOCAL, REMOTE, Tally};
use crate::load::text;
use crate::peer::fault;

/// Stanzas of one pair each, as they come on a stream.
pub(super) fn wire(round: u64) -> BytesMut {
    let mut bytes = BytesMut::new();
    for template in &mut text::stanzas(BATCH, REMOTE, LOCAL) {
        bytes.extend_from_slice(template.with(round));
    }
    bytes
}

/// The reader of an authenticated stream.
fn reader(canonical: &mut BytesMut) -> io::Result<Frames> {
    let mut frames = Frames::new(Limits::default());
    let header = format!(
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='{REMOTE}' \
         to='{LOCAL}' version='1.0'>"
    );
    let mut buffer = BytesMut::from(header.as_bytes());
    match frames.next(&mut buffer, canonical) {
        Ok(Some(Frame::Header(_))) => frames.authenticated(),
        other => return Err(fault(format!("no stream header but {other:?}"))),
    }
    Ok(frames)
}

/// The canonical forms of a round.
pub(super) fn canonical(round: u64) -> io::Result<Vec<(Checked, Bytes)>> {
    let (mut canonical, mut buffer) = (BytesMut::new(), wire(round));
    let mut frames = reader(&mut canonical)?;
    let mut stanzas = Vec::with_capacity(BATCH);
    while let Ok(Some(Frame::Stanza(checked, xml))) = frames.next(&mut buffer, &mut canonical) {
        stanzas.push((checked, xml));
    }
    match stanzas.len() {
        BATCH => Ok(stanzas),
        other => Err(fault(format!("{other} of {BATCH} stanzas were read"))),
    }
}

pub(super) fn stanza_in(tally: &mut Tally) -> io::Result<()> {
    let mut canonical = BytesMut::new();
    let mut frames = reader(&mut canonical)?;
    while tally.more() {
        let mut buffer = wire(tally.round);
        let mut read = Vec::with_capacity(BATCH);
        tally.calls(BATCH, || {
            while let Ok(Some(frame)) = frames.next(&mut buffer, &mut canonical) {
                read.push(frame);
            }
        });
        expect("stanzas read", read.len())?;
    }
    Ok(())
}

pub(super) fn stanza_out(tally: &mut Tally) -> io::Result<()> {
    let limits = Limits::default();
    while tally.more() {
        let stanzas = canonical(tally.round)?;
        let mut given = Vec::with_capacity(BATCH);
        tally.calls(BATCH, || given.extend(stanzas.iter().map(|(_, xml)| stanza::for_partner(xml.clone(), &limits))));
        expect("stanzas given", given.len())?;
    }
    Ok(())
}

/// A round's stanzas as the link has them.
fn on_the_link(round: u64) -> io::Result<Vec<Stanza>> {
    let stanza = |(checked, xml): (Checked, Bytes)| Stanza {
        kind: StanzaKind::Message,
        from: checked.from,
        to: checked.to,
        xml,
        origin: 7,
        key: round,
        redelivered: false,
        trace: TraceContext::default(),
        arrived_ms: 1_900_000_000_000,
        patience: Duration::from_secs(25),
    };
    Ok(canonical(round)?.into_iter().map(stanza).collect())
}

/// A frame with these stanzas.
fn frame(stanzas: &[Stanza]) -> proto::EdgeFrame {
    let stanzas = (1..).zip(stanzas).map(|(seq, stanza)| convert::stanza_to_proto(stanza, seq, 1)).collect();
    proto::EdgeFrame { stanzas, ..proto::EdgeFrame::default() }
}

pub(super) fn frame_out(tally: &mut Tally) -> io::Result<()> {
    while tally.more() {
        let stanzas = on_the_link(tally.round)?;
        let mut written = BytesMut::with_capacity(64 * 1024);
        let mut encoded = Ok(());
        tally.calls(BATCH, || encoded = frame(&stanzas).encode(&mut written));
        encoded.map_err(io::Error::other)?;
    }
    Ok(())
}

pub(super) fn frame_in(tally: &mut Tally) -> io::Result<()> {
    while tally.more() {
        let written = Bytes::from(frame(&on_the_link(tally.round)?).encode_to_vec());
        let mut read = Vec::with_capacity(BATCH);
        tally.calls(BATCH, || {
            let frame = proto::EdgeFrame::decode(written.clone()).unwrap_or_default();
            read.extend(frame.stanzas.into_iter().filter_map(|stanza| convert::stanza_from_proto(stanza).ok()));
        });
        expect("stanzas read", read.len())?;
    }
    Ok(())
}

pub(super) fn acknowledged(tally: &mut Tally) -> io::Result<()> {
    let (mut sender, receiver) = (Sender::<(Jid, Bytes)>::default(), Outgoing::<()>::new(1_024));
    let waker = Waker::noop();
    while tally.more() {
        let items = canonical(tally.round)?;
        let mut let_go = Vec::with_capacity(BATCH);
        let mut items = items.into_iter().map(|(checked, xml)| (checked.to, xml));
        tally.calls(BATCH, || {
            let seqs: Vec<u64> = items.by_ref().map(|item| sender.send(item)).collect();
            // A peer that keeps to the rules: neither this nor what follows can be refused.
            let _in_order = receiver.arrived(seqs.iter().copied());
            receiver.finish(seqs.into_iter().rev().map(|seq| (seq, Outcome::Done)));
            if let Poll::Ready(Some(parts)) = receiver.poll_parts(&mut Context::from_waker(waker)) {
                for range in parts.acks.map(|acks| acks.first_last).unwrap_or_default().chunks_exact(2) {
                    let _sent = sender.acknowledge_range(range[0], range[1], |_, item| let_go.push(item));
                }
            }
        });
        expect("stanzas let go", let_go.len())?;
    }
    Ok(())
}

/// Everything of a round has to have come through, or something else was counted.
pub(super) fn expect(what: &str, count: usize) -> io::Result<()> {
    if count == BATCH { Ok(()) } else { Err(fault(format!("{what}: {count} of {BATCH}"))) }
}
