//! The flight recorder: everything that passed this gateway's boundaries lately, kept for whoever asks why.
//!
//! The shell hands it each input and the outputs of each turn. On that path it copies bytes and counts references,
//! under a lock that a turn takes twice; nothing is parsed, formatted or allocated there. Parsing and redaction happen
//! when somebody reads, page by page, so that a reader holds the lock for as long as a copy of [`PAGE_BYTES`] takes.
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

use super::ring::{MAX_BYTES, MAX_EVENT_BYTES, MAX_EVENTS, Page, Ring};
use super::{Fact, SipPeer};
use crate::engine::{Input, Outputs};
use crate::link::LinkEvent;

/// Live readers at once: each parses everything that it is to filter, so a few of them could take a whole core.
pub const MAX_READERS: usize = 8;

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
        let kept = Kept { ring: Ring::new(max_events, max_bytes), scratch: BytesMut::with_capacity(MAX_EVENT_BYTES) };
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
            Input::Sip(_)
            | Input::Msrp(_)
            | Input::Loaded(..)
            | Input::Committed(..)
            | Input::Claimed(_)
            | Input::Page(..)
            | Input::Swept(_)
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
            LinkEvent::EdgeUp(name) => self.kept().ring.push(at_ms, Fact::Edge { is_up: true }, name.as_bytes()),
            LinkEvent::EdgeDown(name) => self.kept().ring.push(at_ms, Fact::Edge { is_up: false }, name.as_bytes()),
        }
    }

    /// Notes what a turn of the engine asks to be done.
    pub fn sent(&self, out: &Outputs, at_ms: u64) {
        if out.sip.is_empty() && out.stanzas.is_empty() && out.finished.is_empty() && out.verdicts.is_empty() {
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
        out.verdicts.iter().for_each(|verdict| kept.verdict(verdict, at_ms));
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
    fn sip_input(&mut self, input: &SipInput, at_ms: u64) {
        match input {
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
        let Verdict { rung, side, direction, .. } = verdict;
        let fact = Fact::Verdict { rung: *rung, side: *side, direction: *direction };
        self.ring.push(at_ms, fact, &self.scratch);
    }
}

fn ended(outcome: &Outcome) -> (Option<StanzaCondition>, &[u8]) {
    match outcome {
        Outcome::Done => (None, &[]),
        Outcome::Failed(failure) => (Some(failure.condition), failure.text.as_bytes()),
    }
}
