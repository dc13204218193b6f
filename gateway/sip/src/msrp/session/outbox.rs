//! The sending half of a session (RFC 4975 section 7.1.1): messages wait, go out chunk by chunk, and end with their last
//! answer. No more chunks are under way than the bound allows, so that a long message leaves room for others.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::{
    ANSWER_PATIENCE, CHUNK, MAX_CHUNKS, MAX_OUTGOING, Outgoing, Output, REPORT_PATIENCE, SendFailure, SessionConfig,
    print, request, transaction,
};
use crate::ids::IdSource;
use crate::msrp::message::{ByteRange, Continuation, FailureReport, Method, TransactionId};

/// Messages of ours that have not come to their end.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The connection has enough to do for now.
    is_held: bool,
    /// Messages of which something is to be written; of the first, something may have been.
    queue: VecDeque<Waiting>,
    /// Messages of which something was written and is not settled, by Message-ID.
    sent: HashMap<String, Sent>,
    /// Their chunks that may still be answered.
    chunks: HashMap<TransactionId, String>,
    /// Chunks that nobody answers, since the connection last had room.
    unanswerable: usize,
}

#[derive(Debug)]
struct Waiting {
    message: Outgoing,
    /// What is still to be written of its text, and the place of its first byte, counted from 1.
    rest: Bytes,
    start: u64,
}

#[derive(Debug)]
struct Sent {
    token: u64,
    is_written: bool,
    /// Chunks whose 200 is awaited.
    unanswered: usize,
    /// Something may still come after the last 200: the report, or a late refusal where no 200 is sent.
    wants_more: bool,
    wants_report: bool,
    /// When to forget it; `None` while nothing is awaited.
    give_up_at: Option<Instant>,
}

impl Outbox {
    /// Takes a message in, or says why not.
    pub(super) fn take(&mut self, message: Outgoing, config: &SessionConfig) -> Result<(), SendFailure> {
        let size = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
        if config.peer_max_size.is_some_and(|most| size > most) {
            return Err(SendFailure::TooLarge);
        }
        let is_known = |waiting: &Waiting| waiting.message.message_id == message.message_id;
        // The first of the queue may be in both places.
        if self.queue.len() + self.sent.len() >= MAX_OUTGOING
            || self.sent.contains_key(&message.message_id)
            || self.queue.iter().any(is_known)
        {
            return Err(SendFailure::Busy);
        }
        let rest = message.body.clone();
        self.queue.push_back(Waiting { message, rest, start: 1 });
        Ok(())
    }

    pub(super) const fn hold(&mut self) {
        self.is_held = true;
    }

    /// The connection has room again.
    pub(super) const fn resume(&mut self) {
        self.is_held = false;
        self.unanswerable = 0;
    }

    pub(super) fn waits_for_room(&self) -> bool {
        (self.is_held || self.unanswerable > 0) && !self.queue.is_empty()
    }

    /// Writes as many chunks as may be under way.
    pub(super) fn pump(&mut self, config: &SessionConfig, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        while !self.is_held && self.chunks.len() + self.unanswerable < MAX_CHUNKS {
            let Some(mut waiting) = self.queue.pop_front() else {
                return;
            };
            self.write_chunk(&mut waiting, config, now, ids, out);
            if self.sent.get(&waiting.message.message_id).is_some_and(|sent| !sent.is_written) {
                self.queue.push_front(waiting);
            }
        }
    }

    fn write_chunk(
        &mut self,
        waiting: &mut Waiting,
        config: &SessionConfig,
        now: Instant,
        ids: &mut IdSource,
        out: &mut Vec<Output>,
    ) {
        let Waiting { message, rest, start } = waiting;
        let total = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
        let chunk = rest.split_to(rest.len().min(CHUNK));
        let end = *start - 1 + u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let mut request = request(config, Method::Send, transaction(ids, &chunk));
        request.message_id = Some(message.message_id.clone());
        request.range = Some(ByteRange { start: *start, end: Some(end), total: Some(total) });
        request.success_report = message.success_report;
        request.failure_report = message.failure_report;
        request.content_type = Some(message.content_type.clone());
        request.continuation = if rest.is_empty() { Continuation::Last } else { Continuation::More };
        request.body = chunk;
        *start = end + 1;
        let sent = self.sent.entry(message.message_id.clone()).or_insert(Sent {
            token: message.token,
            is_written: false,
            unanswered: 0,
            wants_more: message.success_report || message.failure_report == FailureReport::Partial,
            wants_report: message.success_report,
            give_up_at: None,
        });
        sent.is_written = rest.is_empty();
        match message.failure_report {
            FailureReport::Yes => {
                sent.unanswered += 1;
                sent.give_up_at = Some(now + ANSWER_PATIENCE);
                self.chunks.insert(request.transaction.clone(), message.message_id.clone());
            }
            FailureReport::Partial => {
                self.unanswerable += 1;
                self.chunks.insert(request.transaction.clone(), message.message_id.clone());
            }
            FailureReport::No => self.unanswerable += 1,
        }
        out.push(print(&request));
        self.settle(&message.message_id, now, out);
    }

    /// Looks whether a message has come to its end: all written, all answered.
    fn settle(&mut self, message_id: &str, now: Instant, out: &mut Vec<Output>) {
        let Some(sent) = self.sent.get_mut(message_id) else {
            return;
        };
        if !sent.is_written || sent.unanswered > 0 {
            return;
        }
        out.push(Output::Accepted { token: sent.token });
        sent.give_up_at = Some(now + REPORT_PATIENCE);
        if !sent.wants_more {
            self.forget(message_id);
        }
    }

    /// Takes the answer to a chunk. `false` if nobody waited for it.
    pub(super) fn answered(
        &mut self,
        transaction: &TransactionId,
        code: u16,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(message_id) = self.chunks.remove(transaction) else {
            return false;
        };
        if code != 200 {
            return self.refused(&message_id, code, out);
        }
        if let Some(sent) = self.sent.get_mut(&message_id).filter(|sent| sent.unanswered > 0) {
            sent.unanswered -= 1;
            if sent.unanswered == 0 {
                sent.give_up_at = None;
            }
            self.settle(&message_id, now, out);
        }
        true
    }

    /// A refused chunk ends its message: no further chunk of it may be sent (RFC 4975 section 10.5).
    fn refused(&mut self, message_id: &str, code: u16, out: &mut Vec<Output>) -> bool {
        let Some(sent) = self.forget(message_id) else {
            return false;
        };
        let token = sent.token;
        out.push(match sent.is_written && sent.unanswered == 0 {
            true => Output::Reported { token, code },
            // RFC 4975 section 10.4
            false if code == 408 => Output::Failed { token, failure: SendFailure::Timeout },
            false => Output::Failed { token, failure: SendFailure::Refused(code) },
        });
        true
    }

    /// Takes a report, which means what an answer with its code would mean (RFC 4975 section 7.3.2). A report of success
    /// for a part of the message says nothing yet. `false` if nobody waited for it.
    pub(super) fn reported(
        &mut self,
        message_id: &str,
        range: Option<ByteRange>,
        code: u16,
        out: &mut Vec<Output>,
    ) -> bool {
        if code != 200 {
            return self.refused(message_id, code, out);
        }
        let Some(sent) = self.sent.get_mut(message_id).filter(|sent| sent.is_written) else {
            return false;
        };
        let is_whole = range.is_none_or(|range| range.start == 1 && (range.end.is_none() || range.end == range.total));
        if !is_whole {
            return false;
        }
        // It says more than the answers that are still on their way.
        let (token, is_unanswered, wants_report) = (sent.token, sent.unanswered > 0, sent.wants_report);
        self.forget(message_id);
        if is_unanswered {
            out.push(Output::Accepted { token });
        }
        if wants_report {
            out.push(Output::Reported { token, code });
        }
        true
    }

    fn forget(&mut self, message_id: &str) -> Option<Sent> {
        let sent = self.sent.remove(message_id)?;
        self.chunks.retain(|_, of| of != message_id);
        self.queue.retain(|waiting| waiting.message.message_id != message_id);
        Some(sent)
    }

    /// When something has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sent.values().filter_map(|sent| sent.give_up_at).min()
    }

    pub(super) fn fire(&mut self, now: Instant, out: &mut Vec<Output>) {
        let is_late = |sent: &Sent| sent.give_up_at.is_some_and(|at| at <= now);
        let mut late: Vec<_> =
            self.sent.iter().filter(|(_, sent)| is_late(sent)).map(|(id, sent)| (sent.token, id.clone())).collect();
        late.sort_unstable();
        for (token, message_id) in late {
            if self.forget(&message_id).is_some_and(|sent| sent.unanswered > 0) {
                out.push(Output::Failed { token, failure: SendFailure::Timeout });
            }
        }
    }

    /// Nothing can be sent any more.
    pub(super) fn close(&mut self, out: &mut Vec<Output>) {
        self.chunks.clear();
        let is_open = |sent: &Sent| !sent.is_written || sent.unanswered > 0;
        let mut tokens: Vec<_> = self.sent.values().filter(|sent| is_open(sent)).map(|sent| sent.token).collect();
        tokens.sort_unstable();
        let unwritten = self.queue.drain(..).filter(|waiting| !self.sent.contains_key(&waiting.message.message_id));
        tokens.extend(unwritten.map(|waiting| waiting.message.token));
        self.sent.clear();
        let closed = |token| Output::Failed { token, failure: SendFailure::Closed };
        out.extend(tokens.into_iter().map(closed));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty() && self.chunks.is_empty()
    }
}
