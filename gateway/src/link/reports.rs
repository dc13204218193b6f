//! Questions to edges about what is live, and orders to close a stream: who was asked, what has come, who waits.
//!
//! All edges are asked at once, and nobody waits longer than [`PATIENCE`]: an edge that is stalled, or too old to know
//! the question, is named as silent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_shared::link::convert;
use causeway_shared::link::pool::PeerId;
use causeway_shared::live::{Close, CloseReason, Part, Queue, Request, SnapshotEffect, Stream, Subject};
use causeway_shared::verdict::facts::CertificateFacts;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::client::unix_ms;
use super::live::{Answer, Certificate, EdgeQueues, EdgeStreams, LiveStream};

/// How long an edge may take for its report: 10 000 streams take a tenth of a second, and somebody is looking.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions under way; each edge counts for one. Panels that are open ask every few seconds.
const MAX_PENDING: usize = 256;

/// Streams or queues that are taken from one edge: six times what it may have in any sane deployment.
const MAX_TAKEN: usize = 65_536;

/// Why a stream is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseFault {
    /// No edge of that name is attached.
    #[error("no such edge is attached")]
    NoEdge,
    /// The edge has no such stream, or no more.
    #[error("the edge has no such stream; it may have ended by itself")]
    NoStream,
    /// The edge did not answer.
    #[error("the edge did not answer within {PATIENCE:?}")]
    Silent,
    /// Too many questions are under way.
    #[error("{MAX_PENDING} questions to edges are under way already")]
    TooMany,
}

/// The questions of this gateway.
#[derive(Default)]
pub(super) struct Reports(Mutex<State>);

#[derive(Default)]
struct State {
    last_id: u64,
    pending: HashMap<u64, Pending>,
}

struct Pending {
    edge: PeerId,
    gathered: Gathered,
    done: Option<oneshot::Sender<()>>,
}

/// What an edge has told so far.
#[derive(Debug, Default)]
struct Gathered {
    has_begun: bool,
    has_ended: bool,
    left_out: usize,
    refused: String,
    streams: Vec<Stream>,
    queues: Vec<Queue>,
    own_certificates: Vec<CertificateFacts>,
    effect: Option<SnapshotEffect>,
    /// The answer to an order.
    is_known: Option<bool>,
}

impl Gathered {
    fn answer(&self) -> Answer {
        if !self.refused.is_empty() {
            Answer::Refused
        } else if !self.has_begun {
            Answer::Silent
        } else if self.has_ended && self.left_out == 0 {
            Answer::Complete
        } else {
            Answer::Partial
        }
    }

    fn take(&mut self, part: Part) {
        self.has_begun = true;
        let room = MAX_TAKEN.saturating_sub(self.streams.len() + self.queues.len());
        let streams = part.streams.len().min(room);
        let queues = part.queues.len().min(room - streams);
        self.left_out += part.streams.len() - streams + part.queues.len() - queues;
        self.left_out += usize::try_from(part.unreadable).unwrap_or_default();
        self.streams.extend(part.streams.into_iter().take(streams));
        self.queues.extend(part.queues.into_iter().take(queues));
        self.effect = part.effect.or(self.effect);
        if !part.own_certificates.is_empty() {
            self.own_certificates = part.own_certificates;
        }
        self.has_ended |= part.is_last;
        self.refused = part.refused;
    }
}

/// A question under way; it is forgotten with this, whatever ends the wait.
struct Question<'a> {
    reports: &'a Reports,
    id: u64,
    is_done: oneshot::Receiver<()>,
}

impl Question<'_> {
    /// What the edge has told when it has come to its end, or by then.
    async fn answered(mut self, by: Instant) -> Gathered {
        let _late_is_what_there_is = timeout_at(by, &mut self.is_done).await;
        self.reports.lock().pending.remove(&self.id).map(|pending| pending.gathered).unwrap_or_default()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.reports.lock().pending.remove(&self.id);
    }
}

impl Reports {
    /// Room for the answer of an edge; nothing when too much is under way.
    fn begin(&self, edge: PeerId) -> Option<Question<'_>> {
        let mut state = self.lock();
        if state.pending.len() >= MAX_PENDING {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        let (done, is_done) = oneshot::channel();
        state.pending.insert(id, Pending { edge, gathered: Gathered::default(), done: Some(done) });
        Some(Question { reports: self, id, is_done })
    }

    /// An edge told a part; only the one that was asked counts.
    pub(super) fn take(&self, edge: PeerId, part: Part) {
        let id = part.id;
        self.told(edge, id, |gathered| gathered.take(part));
    }

    /// An edge answered an order.
    pub(super) fn closed(&self, edge: PeerId, id: u64, is_known: bool) {
        self.told(edge, id, |gathered| {
            gathered.is_known = Some(is_known);
            gathered.has_ended = true;
        });
    }

    /// An edge is gone; what it had to tell, it has told.
    pub(super) fn lost(&self, edge: PeerId) {
        for pending in self.lock().pending.values_mut().filter(|pending| pending.edge == edge) {
            pending.end();
        }
    }

    fn told(&self, edge: PeerId, id: u64, tell: impl FnOnce(&mut Gathered)) {
        let mut state = self.lock();
        let Some(pending) = state.pending.get_mut(&id) else { return };
        if pending.edge != edge || pending.done.is_none() {
            return;
        }
        tell(&mut pending.gathered);
        if pending.gathered.has_ended {
            pending.end();
        }
    }

    /// Every change of the state is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn end(&mut self) {
        if let Some(done) = self.done.take() {
            let _nobody_waits = done.send(());
        }
    }
}

/// The streams with a partner, by its primary domain, or all.
pub(super) async fn streams(shared: &Shared, partner: Option<&str>) -> Vec<EdgeStreams> {
    let now_ms = unix_ms();
    let mut edges: Vec<_> = ask(shared, Subject::Streams, partner)
        .await
        .into_iter()
        .map(|(edge, mut gathered)| {
            gathered.streams.sort_by_key(|stream| stream.number);
            let answer = gathered.answer();
            let streams = gathered.streams.into_iter().map(|stream| LiveStream::new(&edge, stream, now_ms)).collect();
            let certificates = gathered.own_certificates.iter().map(|facts| Certificate::new(facts, now_ms)).collect();
            let effect = gathered.effect.map(Into::into);
            EdgeStreams { edge, answer, refused: gathered.refused, streams, certificates, effect }
        })
        .collect();
    edges.sort_by(|one, other| one.edge.cmp(&other.edge));
    edges
}

/// What waits on the edges.
pub(super) async fn queues(shared: &Shared) -> Vec<EdgeQueues> {
    let mut edges: Vec<_> = ask(shared, Subject::Queues, None)
        .await
        .into_iter()
        .map(|(edge, gathered)| {
            let answer = gathered.answer();
            let queues = gathered.queues.into_iter().map(Into::into).collect();
            EdgeQueues { edge, answer, refused: gathered.refused, queues }
        })
        .collect();
    edges.sort_by(|one, other| one.edge.cmp(&other.edge));
    edges
}

/// Asks all edges at once.
async fn ask(shared: &Shared, subject: Subject, partner: Option<&str>) -> Vec<(String, Gathered)> {
    let by = Instant::now() + PATIENCE;
    let asked: Vec<_> = shared
        .hub
        .attached()
        .into_iter()
        .map(|(edge, name, outgoing)| {
            let question = shared.reports.begin(edge);
            if let Some(Question { id, .. }) = &question {
                let request = Request { id: *id, subject, partner: partner.unwrap_or_default().to_owned() };
                outgoing.say(|extra| extra.report_requests.push(convert::report_request_to_proto(&request)));
            }
            (name, question)
        })
        .collect();
    let mut told = Vec::with_capacity(asked.len());
    for (name, question) in asked {
        let gathered = match question {
            Some(question) => question.answered(by).await,
            None => Gathered { refused: CloseFault::TooMany.to_string(), ..Gathered::default() },
        };
        told.push((name, gathered));
    }
    told
}

/// Lets an edge end a stream in order.
pub(super) async fn close_stream(
    shared: &Shared,
    edge: &str,
    number: u64,
    reason: CloseReason,
) -> Result<(), CloseFault> {
    // Two edges of one name, one of which is going away: the stream is on either.
    let edges: Vec<_> = shared.hub.attached().into_iter().filter(|(_, name, _)| name == edge).collect();
    let by = Instant::now() + PATIENCE;
    let mut fault = CloseFault::NoEdge;
    for (peer, _, outgoing) in edges {
        let question = shared.reports.begin(peer).ok_or(CloseFault::TooMany)?;
        let close = Close { id: question.id, number, reason };
        outgoing.say(|extra| extra.close_requests.push(convert::close_to_proto(&close)));
        match question.answered(by).await.is_known {
            Some(true) => return Ok(()),
            Some(false) => fault = CloseFault::NoStream,
            None => fault = CloseFault::Silent,
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u64, is_last: bool) -> Part {
        Part { id, is_last, ..Part::default() }
    }

    #[tokio::test]
    async fn parts_of_the_edge_that_was_asked_make_the_answer() {
        let reports = Reports::default();
        let question = reports.begin(PeerId(1)).unwrap();
        reports.take(PeerId(2), part(question.id, true));
        reports.take(PeerId(1), Part { unreadable: 0, ..part(question.id, false) });
        reports.take(PeerId(1), part(question.id, true));
        reports.take(PeerId(1), Part { refused: "too late".to_owned(), ..part(question.id, true) });
        assert_eq!(question.answered(Instant::now() + PATIENCE).await.answer(), Answer::Complete);
        assert!(reports.lock().pending.is_empty());
    }

    #[tokio::test]
    async fn an_edge_that_says_nothing_is_silent_and_one_that_stops_is_partial() {
        let reports = Reports::default();
        let question = reports.begin(PeerId(1)).unwrap();
        assert_eq!(question.answered(Instant::now()).await.answer(), Answer::Silent);
        let question = reports.begin(PeerId(1)).unwrap();
        reports.take(PeerId(1), part(question.id, false));
        assert_eq!(question.answered(Instant::now()).await.answer(), Answer::Partial);
        let question = reports.begin(PeerId(1)).unwrap();
        reports.lost(PeerId(1));
        assert_eq!(question.answered(Instant::now() + Duration::from_secs(3600)).await.answer(), Answer::Silent);
    }

    #[tokio::test]
    async fn what_is_under_way_and_what_is_taken_is_bounded() {
        let reports = Reports::default();
        let questions: Vec<_> = (0..MAX_PENDING).map(|_| reports.begin(PeerId(1)).unwrap()).collect();
        assert!(reports.begin(PeerId(1)).is_none());
        drop(questions);
        let question = reports.begin(PeerId(1)).unwrap();
        let queue = Queue {
            direction: causeway_shared::verdict::Direction::In,
            partner: String::new(),
            remote: String::new(),
            local: String::new(),
            waiting: causeway_shared::live::Waiting::default(),
            most_stanzas: 0,
            most_bytes: 0,
        };
        reports.take(PeerId(1), Part { queues: vec![queue; MAX_TAKEN + 1], ..part(question.id, true) });
        let gathered = question.answered(Instant::now() + PATIENCE).await;
        assert_eq!((gathered.queues.len(), gathered.answer()), (MAX_TAKEN, Answer::Partial));
    }
}
