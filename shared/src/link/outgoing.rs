//! What waits to be written to one peer of the link: stanzas, acknowledgements, the rest, gathered into frames.
//!
//! Whoever has something to say adds it under a short lock; the gRPC stream takes as much as fits into a frame whenever
//! the connection takes one. So frames fill up by themselves under load and nothing lingers when there is none.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use causeway_proto::link::v1 as proto;

use super::window::{Receiver, WindowFault};
use super::{BATCH_BYTES, BATCH_STANZAS, Outcome, convert};

/// Verdicts that wait for a frame; beyond it the oldest are dropped, they are in the log.
pub const VERDICTS_WAITING: usize = 256;

/// Verdicts in one frame: with transcripts they may have 10 KiB each, and stanzas are not to wait behind them.
const BATCH_VERDICTS: usize = 32;

/// One peer's outgoing side. `X` is what only one direction has (hello, snapshot, draining), of each the newest.
#[derive(Debug)]
pub struct Outgoing<X> {
    state: Mutex<State<X>>,
}

#[derive(Debug)]
struct State<X> {
    extra: Option<X>,
    contexts: Vec<proto::PairContext>,
    stanzas: VecDeque<proto::Stanza>,
    receiver: Receiver,
    failures: Vec<proto::Failure>,
    has_acks: bool,
    verdicts: VecDeque<proto::Verdict>,
    closed: bool,
    waker: Option<Waker>,
}

/// The contents of the next frame.
#[derive(Debug)]
pub struct Parts<X> {
    /// What only this direction has.
    pub extra: X,
    /// Contexts to announce.
    pub contexts: Vec<proto::PairContext>,
    /// Stanzas in order.
    pub stanzas: Vec<proto::Stanza>,
    /// Acknowledgements.
    pub acks: Option<proto::Acks>,
    /// Verdicts.
    pub verdicts: Vec<proto::Verdict>,
}

impl<X: Default> Outgoing<X> {
    /// Nothing to say yet; the peer is granted `window` unfinished stanzas.
    pub fn new(window: u32) -> Self {
        Self {
            state: Mutex::new(State {
                extra: None,
                contexts: Vec::new(),
                stanzas: VecDeque::new(),
                receiver: Receiver::new(window),
                failures: Vec::new(),
                has_acks: false,
                verdicts: VecDeque::new(),
                closed: false,
                waker: None,
            }),
        }
    }

    /// Adds to what only this direction has; it goes out with the next frame.
    pub fn say(&self, change: impl FnOnce(&mut X)) {
        self.change(|state| change(state.extra.get_or_insert_default()));
    }

    /// Adds stanzas with the contexts they name. The caller's window bounds them.
    pub fn push_stanzas(
        &self,
        contexts: impl IntoIterator<Item = proto::PairContext>,
        stanzas: impl IntoIterator<Item = proto::Stanza>,
    ) {
        self.change(|state| {
            state.contexts.extend(contexts);
            state.stanzas.extend(stanzas);
        });
    }

    /// Adds a verdict, dropping the oldest beyond [`VERDICTS_WAITING`].
    pub fn push_verdict(&self, verdict: proto::Verdict) {
        self.change(|state| {
            if state.verdicts.len() >= VERDICTS_WAITING {
                state.verdicts.pop_front();
            }
            state.verdicts.push_back(verdict);
        });
    }

    /// Stanzas arrived from the peer: checks numbers and window.
    pub fn arrived(&self, seqs: impl IntoIterator<Item = u64>) -> Result<(), WindowFault> {
        let mut state = self.lock();
        seqs.into_iter().try_for_each(|seq| state.receiver.arrived(seq))
    }

    /// Stanzas of the peer are finished.
    pub fn finish(&self, outcomes: impl IntoIterator<Item = (u64, Outcome)>) {
        self.change(|state| {
            for (seq, outcome) in outcomes {
                state.has_acks = true;
                match outcome {
                    Outcome::Done => state.receiver.finished(seq, true),
                    Outcome::Failed(failure) => {
                        state.receiver.finished(seq, false);
                        state.failures.push(convert::failure_to_proto(seq, &failure));
                    }
                }
            }
        });
    }

    /// Stanzas of the peer that are not finished.
    pub fn unfinished(&self) -> u32 {
        self.lock().receiver.unfinished()
    }

    /// Ends the stream of frames after what is already there.
    pub fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Ends the stream of frames without the stanzas that wait: they go to somebody else. Acknowledgements still go out.
    pub fn cut(&self) {
        self.change(|state| {
            state.closed = true;
            state.stanzas.clear();
            state.contexts.clear();
        });
    }

    /// The next frame's contents; `None` after [`Outgoing::close`].
    pub fn poll_parts(&self, cx: &mut Context<'_>) -> Poll<Option<Parts<X>>> {
        let mut state = self.lock();
        if let Some(parts) = state.take_parts() {
            return Poll::Ready(Some(parts));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn change(&self, change: impl FnOnce(&mut State<X>)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A panic elsewhere does not make the queue unusable: every change of it is whole.
    fn lock(&self) -> MutexGuard<'_, State<X>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<X: Default> State<X> {
    fn take_parts(&mut self) -> Option<Parts<X>> {
        let idle = self.extra.is_none()
            && self.contexts.is_empty()
            && self.stanzas.is_empty()
            && !self.has_acks
            && self.verdicts.is_empty();
        if idle {
            return None;
        }
        // Every context that waits is announced at once: no stanza can come ahead of its own.
        let contexts = std::mem::take(&mut self.contexts);
        let mut stanzas = Vec::with_capacity(self.stanzas.len().min(BATCH_STANZAS));
        let mut bytes = 0;
        while stanzas.len() < BATCH_STANZAS && bytes < BATCH_BYTES {
            let Some(stanza) = self.stanzas.pop_front() else { break };
            bytes += stanza.xml.len();
            stanzas.push(stanza);
        }
        let acks = std::mem::take(&mut self.has_acks).then(|| proto::Acks {
            first_last: self.receiver.take_ranges(),
            failures: std::mem::take(&mut self.failures),
        });
        let count = self.verdicts.len().min(BATCH_VERDICTS);
        let verdicts = self.verdicts.drain(..count).collect();
        Some(Parts { extra: self.extra.take().unwrap_or_default(), contexts, stanzas, acks, verdicts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Failure;
    use crate::xmpp::stanza_error::StanzaCondition;

    fn parts(outgoing: &Outgoing<char>) -> Option<Parts<char>> {
        match outgoing.poll_parts(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(parts) => parts,
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_frame_takes_what_is_there_up_to_its_bounds() {
        let outgoing = Outgoing::new(100);
        assert!(parts(&outgoing).is_none());
        outgoing.push_stanzas([], (1..=40).map(|seq| proto::Stanza { seq, ..proto::Stanza::default() }));
        assert_eq!(parts(&outgoing).unwrap().stanzas.len(), BATCH_STANZAS);
        assert_eq!(parts(&outgoing).unwrap().stanzas.len(), 8);
        assert!(parts(&outgoing).is_none());
    }

    #[test]
    fn acknowledgements_share_a_frame_and_failures_stand_beside_the_ranges() {
        let outgoing: Outgoing<char> = Outgoing::new(100);
        outgoing.arrived(1..=4).unwrap();
        let failure = Failure::new(StanzaCondition::RemoteServerTimeout, "late");
        outgoing.finish([(1, Outcome::Done), (3, Outcome::Failed(failure)), (2, Outcome::Done)]);
        let acks = parts(&outgoing).unwrap().acks.unwrap();
        assert_eq!(acks.first_last, [1, 2]);
        assert_eq!(acks.failures[0].condition, "remote-server-timeout");
        assert_eq!(outgoing.unfinished(), 1);
    }

    #[test]
    fn what_is_there_when_it_closes_still_goes_out() {
        let outgoing = Outgoing::new(1);
        outgoing.say(|extra| *extra = 'x');
        outgoing.close();
        assert_eq!(parts(&outgoing).unwrap().extra, 'x');
        let end = outgoing.poll_parts(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(end, Poll::Ready(None)));
    }

    #[test]
    fn what_is_cut_sends_no_stanzas_any_more_but_says_what_is_finished() {
        let outgoing: Outgoing<char> = Outgoing::new(1);
        outgoing.push_stanzas([], [proto::Stanza::default()]);
        outgoing.arrived([1]).unwrap();
        outgoing.finish([(1, Outcome::Done)]);
        outgoing.cut();
        let last = parts(&outgoing).unwrap();
        assert_eq!((last.stanzas.len(), last.acks.unwrap().first_last), (0, vec![1, 1]));
        assert!(parts(&outgoing).is_none());
    }

    #[test]
    fn verdicts_are_bounded_and_the_newest_stay() {
        let outgoing: Outgoing<char> = Outgoing::new(1);
        for number in 0..=VERDICTS_WAITING {
            outgoing.push_verdict(proto::Verdict { cause: number.to_string(), ..proto::Verdict::default() });
        }
        let mut verdicts = Vec::new();
        while let Some(parts) = parts(&outgoing) {
            assert!(parts.verdicts.len() <= BATCH_VERDICTS);
            verdicts.extend(parts.verdicts);
        }
        assert_eq!((verdicts.len(), verdicts[0].cause.as_str()), (VERDICTS_WAITING, "1"));
    }
}
