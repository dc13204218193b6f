//! The flight recorder: everything that passed this gateway's boundaries lately, kept for whoever asks why.
//!
//! The shell hands it each input and the outputs of each turn. On that path it copies bytes and counts references,
//! under a lock that a turn takes twice; nothing is parsed, formatted or allocated there. Parsing and redaction happen
//! when somebody reads, page by page, so that a reader holds the lock for as long as a copy of one page takes.
//!
//! Live readers read the same rings: each is a position in them. A reader that is too slow loses what was overwritten,
//! learns how much that was, and holds up nobody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use causeway_shared::link::Outcome;
use causeway_shared::verdict::Verdict;
use causeway_shared::xmpp::stanza_error::StanzaCondition;
use causeway_sip::endpoint::Input as SipInput;
use causeway_sip::msrp::switch::{Input as MsrpInput, Output as MsrpOutput};
use causeway_sip::target::Source;

use super::ring::{MAX_BYTES, MAX_EVENT_BYTES, MAX_EVENTS, Page, Ring};
use super::{Fact, SipPeer, msrp};
use crate::engine::{Input, Outputs};
use crate::link::{EdgeProcess, LinkEvent};

/// Live readers at once: each parses everything that it is to filter, so a few of them could take a whole core.
pub const MAX_READERS: usize = 8;

/// SIP messages of strangers that are noted in a second: enough to see that somebody forgot to configure a peer.
const STRANGERS: u32 = 5;

/// Events that are copied out under one lock.
const PAGE_EVENTS: usize = 256;

/// Bytes that are copied out under one lock: some 20 microseconds.
const PAGE_BYTES: usize = 128 * 1024;

/// The recorder. The shell writes, the administration reads.
pub struct Recorder {
    kept: Mutex<Kept>,
    readers: AtomicUsize,
}

struct Kept {
    ring: Ring,
    /// Where messages are printed before they are copied; keeps its room.
    scratch: BytesMut,
    /// The second in which SIP messages of strangers were last noted, and how many.
    strangers: (u64, u32),
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(MAX_EVENTS, MAX_BYTES)
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    fn new(max_events: usize, max_bytes: usize) -> Self {
        let scratch = BytesMut::with_capacity(MAX_EVENT_BYTES);
        let kept = Kept { ring: Ring::new(max_events, max_bytes), scratch, strangers: (0, 0) };
        Self { kept: Mutex::new(kept), readers: AtomicUsize::new(0) }
    }

    /// The rings are sound between any two events.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what came.
    pub fn received(&self, input: &Input, at_ms: u64) {
        match input {
            Input::Link(event) => self.link_event(event, at_ms),
            Input::Sip(inputs) if !inputs.is_empty() => {
                let mut kept = self.kept();
                inputs.iter().for_each(|input| kept.sip_input(input, at_ms));
            }
            Input::Msrp(inputs) => self.msrp(inputs, at_ms),
            Input::Sip(_)
            | Input::Loaded(..)
            | Input::Committed(..)
            | Input::Claimed(_)
            | Input::Page(..)
            | Input::Swept(_)
            | Input::Duty { .. }
            | Input::Settings(_)
            | Input::Operator(..)
            | Input::DeadlinePassed => {}
        }
    }

    fn link_event(&self, event: &LinkEvent, at_ms: u64) {
        match event {
            LinkEvent::Stanzas(stanzas) => {
                let mut kept = self.kept();
                for stanza in stanzas {
                    let fact = Fact::StanzaIn {
                        origin: stanza.origin,
                        key: stanza.key,
                        trace: stanza.trace,
                        arrived_ms: stanza.arrived_ms,
                        edge: Arc::clone(&stanza.edge),
                        context: Arc::clone(&stanza.context),
                    };
                    kept.ring.push(at_ms, fact, &stanza.xml);
                }
            }
            LinkEvent::Outcomes(outcomes) if outcomes.is_empty() => {}
            LinkEvent::Outcomes(outcomes) => {
                let mut kept = self.kept();
                for (key, outcome) in outcomes {
                    let (condition, text) = ended(outcome);
                    kept.ring.push(at_ms, Fact::StanzaOutEnded { key: *key, condition }, text);
                }
            }
            LinkEvent::Verdicts(news) => {
                let mut kept = self.kept();
                news.iter().for_each(|(verdict, _)| kept.verdict(verdict, at_ms));
            }
            // Told by the stanzas that they bring.
            LinkEvent::Streams(..) => {}
            LinkEvent::EdgeUp(edge) => self.edge(edge, true, at_ms),
            LinkEvent::EdgeDown(edge, _) => self.edge(edge, false, at_ms),
        }
    }

    fn edge(&self, edge: &EdgeProcess, is_up: bool, at_ms: u64) {
        self.kept().ring.push(at_ms, Fact::Edge { is_up }, edge.name.as_bytes());
    }

    /// Notes what a turn of the engine asks to be done.
    pub fn sent(&self, out: &Outputs, at_ms: u64) {
        let is_silent = out.sip.is_empty() && out.stanzas.is_empty() && out.msrp.is_empty();
        if is_silent && out.finished.is_empty() && out.verdicts.is_empty() {
            return;
        }
        let mut kept = self.kept();
        for (to, bytes, tag) in &out.sip {
            kept.ring.push(at_ms, Fact::SipOut { to: SipPeer::of_destination(to), tag: *tag }, bytes);
        }
        for stanza in &out.stanzas {
            kept.ring.push(at_ms, Fact::StanzaOut { key: stanza.key, trace: stanza.trace }, &stanza.xml);
        }
        for (receipt, outcome) in &out.finished {
            let (condition, text) = ended(outcome);
            let (origin, key) = receipt.stanza_key();
            kept.ring.push(at_ms, Fact::StanzaInEnded { origin, key, condition }, text);
        }
        for output in &out.msrp {
            if let MsrpOutput::Write { bytes, .. } = output {
                msrp::heads(bytes).for_each(|head| kept.ring.push(at_ms, Fact::Msrp { is_in: false }, head));
            }
        }
        out.verdicts.iter().for_each(|verdict| kept.verdict(verdict, at_ms));
    }

    fn msrp(&self, inputs: &[MsrpInput], at_ms: u64) {
        for input in inputs {
            // What is not noted is how connections come and go: SIP says so of the sessions.
            if let MsrpInput::Bytes { bytes, .. } = input {
                let mut kept = self.kept();
                msrp::heads(bytes).for_each(|head| kept.ring.push(at_ms, Fact::Msrp { is_in: true }, head));
            }
        }
    }

    /// Copies out a few events from `from` on.
    pub fn page(&self, from: u64) -> Page {
        self.kept().ring.page(from, PAGE_EVENTS, PAGE_BYTES)
    }

    /// The number of the oldest event that is kept, and the one that the next will have.
    pub fn span(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.ring.oldest(), kept.ring.next())
    }

    /// A place for a live reader, if there is one left of [`MAX_READERS`].
    pub(super) fn reader(self: &Arc<Self>) -> Option<Place> {
        let taken = self.readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |readers| {
            (readers < MAX_READERS).then_some(readers + 1)
        });
        taken.ok().map(|_| Place { recorder: Arc::clone(self) })
    }
}

/// The place of a live reader, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) recorder: Arc<Recorder>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.recorder.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Kept {
    /// Whether a message of this source is noted: of strangers only so many, so that they displace nothing.
    fn admits(&mut self, source: &Source, at_ms: u64) -> bool {
        if source.peer.is_some() {
            return true;
        }
        let second = at_ms / 1_000;
        if self.strangers.0 != second {
            self.strangers = (second, 0);
        }
        self.strangers.1 += 1;
        self.strangers.1 <= STRANGERS
    }

    fn sip_input(&mut self, input: &SipInput, at_ms: u64) {
        match input {
            SipInput::Received { source, .. } | SipInput::Malformed { source, .. } if !self.admits(source, at_ms) => {}
            SipInput::Received { message, source } => {
                // What was parsed is printed again; the buffer that it came in is not kept.
                self.scratch.clear();
                message.write(&mut self.scratch);
                let from = SipPeer { transport: Some(source.transport), address: source.remote };
                self.ring.push(at_ms, Fact::SipIn { from, is_trusted: source.peer.is_some() }, &self.scratch);
            }
            SipInput::Malformed { source, .. } => {
                let from = SipPeer { transport: Some(source.transport), address: source.remote };
                self.ring.push(at_ms, Fact::SipIn { from, is_trusted: source.peer.is_some() }, &[]);
            }
            SipInput::Unsent { tag } => self.ring.push(at_ms, Fact::SipUnsent { tag: *tag }, &[]),
            SipInput::Closed { .. } | SipInput::DeadlinePassed => {}
        }
    }

    /// Verdicts are rare, so the parts of one are kept as lines.
    fn verdict(&mut self, verdict: &Verdict, at_ms: u64) {
        let domain = verdict.facts.as_deref().map_or(verdict.partner.as_str(), |facts| &facts.domain);
        self.scratch.clear();
        for (index, part) in [domain, &verdict.partner, &verdict.cause, &verdict.remedy].into_iter().enumerate() {
            if index > 0 {
                self.scratch.extend_from_slice(b"\n");
            }
            // A line end of a peer's is a space, so that each part stays one line.
            self.scratch.extend(part.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
        }
        let Verdict { code, rung, side, direction, .. } = verdict;
        let fact = Fact::Verdict { code: *code, rung: *rung, side: *side, direction: *direction };
        self.ring.push(at_ms, fact, &self.scratch);
    }
}

fn ended(outcome: &Outcome) -> (Option<StanzaCondition>, &[u8]) {
    match outcome {
        Outcome::Done => (None, &[]),
        Outcome::Failed(failure) => (Some(failure.condition), failure.text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use causeway_sip::message::Message;
    use causeway_sip::parse::{Datagram, parse_datagram};
    use causeway_sip::target::{FlowId, TransportKind};

    use super::*;

    const MESSAGE: &str = "MESSAGE sip:bob@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKa\r\n\
        Max-Forwards: 70\r\nFrom: <sip:alice@contoso.example>;tag=a\r\nTo: <sip:bob@fabrikam.example>\r\n\
        Call-ID: 7f3a9c51\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

    fn message() -> Message {
        match parse_datagram(Bytes::from_static(MESSAGE.as_bytes())) {
            Ok(Datagram::Message(message)) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    fn received(peer: Option<&str>) -> Input {
        let source = Source {
            flow: FlowId(1),
            transport: TransportKind::Tcp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "127.0.0.9:5060".parse().unwrap(),
            certificate: None,
            peer: peer.map(Into::into),
        };
        Input::Sip(vec![SipInput::Received { message: message(), source }])
    }

    #[test]
    fn strangers_displace_nothing() {
        let recorder = Recorder::default();
        (0..100).for_each(|_| recorder.received(&received(None), 5_000));
        recorder.received(&received(None), 6_000);
        recorder.received(&received(Some("pool")), 6_000);
        assert_eq!(recorder.span(), (0, u64::from(STRANGERS) + 2));
    }

    #[test]
    fn what_was_received_is_kept_as_it_was_written() {
        let recorder = Recorder::default();
        recorder.received(&received(Some("pool")), 5_000);
        assert_eq!(recorder.page(0).events[0].bytes, MESSAGE.as_bytes());
    }
}
