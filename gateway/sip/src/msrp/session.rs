//! One MSRP session (RFC 4975 sections 5.4 and 7): messages out in chunks, chunks in to messages, answers and reports.
//!
//! Who offers to connect says hello with an empty SEND; until the connection stands, messages wait. Each message given to
//! [`Input::Send`] ends in one [`Output::Accepted`] or [`Output::Failed`]; a report, where one was asked for, comes
//! after it as [`Output::Reported`], or never.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::ids::IdSource;
use crate::msrp::message::{ByteRange, Continuation, FailureReport, Frame, Method, Request, Response, TransactionId};
use crate::msrp::parse::Received;
use crate::msrp::uri::MsrpUri;

mod assembly;

use assembly::{Assembly, Refused};

/// Bytes of one chunk of ours: larger ones would have to be interruptible (RFC 4975 section 7.1.1).
pub const CHUNK: usize = 2048;
/// How long a chunk waits for its answer (RFC 4975 section 7.1.4).
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a message waits for the report of its arrival; afterwards one is ignored.
pub const REPORT_PATIENCE: Duration = Duration::from_secs(120);
/// How long the connection may take from the answer of the session description on.
pub const SETUP_PATIENCE: Duration = Duration::from_secs(30);
/// Messages of ours that wait for a connection, an answer or a report.
pub const MAX_OUTGOING: usize = 64;

/// What was negotiated.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Our URI.
    pub own: MsrpUri,
    /// The peer's path, its own URI last.
    pub peer: Vec<MsrpUri>,
    /// Whether we connect.
    pub is_active: bool,
    /// The largest message that we take; what we said in `max-size`.
    pub max_size: usize,
    /// The largest message that the peer takes.
    pub peer_max_size: Option<u64>,
    /// The media types that we take, in lower case; others are answered with 415.
    pub accept_types: Vec<String>,
    /// How long nobody may say anything; RFC 7573 section 4 speaks of about ten minutes.
    pub idle: Duration,
}

/// A message of ours.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Comes back in [`Output::Accepted`], [`Output::Failed`] and [`Output::Reported`].
    pub token: u64,
    /// Unique in the session.
    pub message_id: String,
    /// Content-Type.
    pub content_type: String,
    /// The text.
    pub body: Bytes,
    /// Whether to ask for a report of its arrival.
    pub success_report: bool,
    /// Which answers to ask for; without any, a message counts as accepted when it is sent.
    pub failure_report: FailureReport,
}

/// What the world tells the machine.
#[derive(Debug)]
pub enum Input {
    /// The connection that we were to open stands.
    Connected,
    /// A frame came whose To-Path names this session.
    Received(Received),
    /// A message is to be sent.
    Send(Outgoing),
    /// What became of a message that wanted a report.
    Report {
        /// Its Message-ID.
        message_id: String,
        /// Its length.
        size: u64,
        /// 200, or the code that says why not.
        code: u16,
    },
    /// The connection is gone, or the session is over.
    Closed,
    /// [`Session::deadline`] has passed.
    DeadlinePassed,
}

/// What the machine asks of the world.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this on the connection.
    Send(Bytes),
    /// A whole message came.
    Message {
        /// Its Message-ID.
        message_id: String,
        /// Its Content-Type.
        content_type: String,
        /// Its text.
        body: Bytes,
        /// Whether its sender wants [`Input::Report`].
        wants_report: bool,
    },
    /// The peer has taken a message.
    Accepted {
        /// Its token.
        token: u64,
    },
    /// A message did not arrive, or nobody knows.
    Failed {
        /// Its token.
        token: u64,
        /// Why.
        failure: SendFailure,
    },
    /// The report that a message asked for.
    Reported {
        /// Its token.
        token: u64,
        /// 200, or the code that says why not.
        code: u16,
    },
    /// The connection did not come about in [`SETUP_PATIENCE`].
    NoConnection,
    /// Nobody has said anything for the time of [`SessionConfig::idle`]: end the session.
    Idle,
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// The answer was no 200.
    #[error("refused with {0}")]
    Refused(u16),
    /// No answer in [`ANSWER_PATIENCE`]. The peer may have it.
    #[error("no answer in time")]
    Timeout,
    /// It is larger than the peer's `max-size`.
    #[error("larger than the peer takes")]
    TooLarge,
    /// [`MAX_OUTGOING`] messages wait.
    #[error("too many messages wait")]
    Busy,
    /// The connection is gone. The peer may have it.
    #[error("the connection is gone")]
    Closed,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    last_activity: Instant,
    /// Messages that wait for the connection.
    queue: VecDeque<Outgoing>,
    /// Messages on the wire that wait for answers or a report, by Message-ID.
    sent: HashMap<String, Sent>,
    /// Their chunks without an answer.
    chunks: HashMap<TransactionId, String>,
    assembly: Assembly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting { give_up_at: Instant },
    Open,
    Closed,
}

#[derive(Debug)]
struct Sent {
    token: u64,
    /// Chunks without an answer.
    unanswered: usize,
    wants_report: bool,
    give_up_at: Instant,
}

impl Session {
    /// A session whose connection is still to come.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let assembly = Assembly::new(config.max_size);
        Self {
            config,
            state: State::Connecting { give_up_at: now + SETUP_PATIENCE },
            last_activity: now,
            queue: VecDeque::new(),
            sent: HashMap::new(),
            chunks: HashMap::new(),
            assembly,
        }
    }

    /// Our URI, by which frames find the session.
    pub const fn own(&self) -> &MsrpUri {
        &self.config.own
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        match input {
            Input::Connected => self.connected(now, ids, out),
            Input::Received(received) => self.received(received, now, ids, out),
            Input::Send(message) => self.send(message, now, ids, out),
            Input::Report { message_id, size, code } => self.report(message_id, size, code, ids, out),
            Input::Closed => self.close(out),
            Input::DeadlinePassed => self.fire(now, out),
        }
    }

    /// When the machine wants [`Input::DeadlinePassed`].
    pub fn deadline(&self) -> Option<Instant> {
        let state = match self.state {
            State::Connecting { give_up_at } => give_up_at,
            State::Open => self.last_activity + self.config.idle,
            State::Closed => return None,
        };
        let sent = self.sent.values().map(|sent| sent.give_up_at);
        sent.chain(self.assembly.deadline()).chain([state]).min()
    }

    fn connected(&mut self, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if !matches!(self.state, State::Connecting { .. }) || !self.config.is_active {
            return;
        }
        // Who connects shows at once which session the connection is for (RFC 4975 section 5.4).
        let mut hello = self.request(Method::Send, transaction(ids, b""));
        hello.message_id = Some(ids.token().as_str().to_owned());
        hello.range = Some(ByteRange { start: 1, end: Some(0), total: Some(0) });
        hello.failure_report = FailureReport::No;
        out.push(print(&hello));
        self.open(now, ids, out);
    }

    fn open(&mut self, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        self.state = State::Open;
        self.last_activity = now;
        while let Some(message) = self.queue.pop_front() {
            self.write(message, now, ids, out);
        }
    }

    fn request(&self, method: Method, transaction: TransactionId) -> Request {
        Request::new(transaction, method, self.config.peer.clone(), vec![self.config.own.clone()])
    }

    fn send(&mut self, message: Outgoing, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        let token = message.token;
        let size = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
        let failure = if self.config.peer_max_size.is_some_and(|most| size > most) {
            Some(SendFailure::TooLarge)
        } else if self.queue.len() + self.sent.len() >= MAX_OUTGOING || self.sent.contains_key(&message.message_id) {
            Some(SendFailure::Busy)
        } else {
            (self.state == State::Closed).then_some(SendFailure::Closed)
        };
        match (failure, self.state) {
            (Some(failure), _) => out.push(Output::Failed { token, failure }),
            (None, State::Connecting { .. }) => self.queue.push_back(message),
            (None, State::Open | State::Closed) => self.write(message, now, ids, out),
        }
    }

    /// Writes a message chunk by chunk.
    fn write(&mut self, message: Outgoing, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        self.last_activity = now;
        let Outgoing { token, message_id, content_type, body, success_report, failure_report } = message;
        let total = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let (mut rest, mut start, mut unanswered) = (body, 1, 0);
        loop {
            let chunk = rest.split_to(rest.len().min(CHUNK));
            let end = start - 1 + u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            let mut request = self.request(Method::Send, transaction(ids, &chunk));
            request.message_id = Some(message_id.clone());
            request.range = Some(ByteRange { start, end: Some(end), total: Some(total) });
            request.success_report = success_report;
            request.failure_report = failure_report;
            request.content_type = Some(content_type.clone());
            request.continuation = if rest.is_empty() { Continuation::Last } else { Continuation::More };
            request.body = chunk;
            if failure_report == FailureReport::Yes {
                unanswered += 1;
                self.chunks.insert(request.transaction.clone(), message_id.clone());
            }
            out.push(print(&request));
            start = end + 1;
            if rest.is_empty() {
                break;
            }
        }
        if unanswered == 0 {
            out.push(Output::Accepted { token });
        }
        if unanswered > 0 || success_report {
            let patience = if unanswered > 0 { ANSWER_PATIENCE } else { REPORT_PATIENCE };
            let sent = Sent { token, unanswered, wants_report: success_report, give_up_at: now + patience };
            self.sent.insert(message_id, sent);
        }
    }

    fn report(&self, message_id: String, size: u64, code: u16, ids: &mut IdSource, out: &mut Vec<Output>) {
        if self.state != State::Open {
            return;
        }
        let mut report = self.request(Method::Report, transaction(ids, b""));
        report.message_id = Some(message_id);
        report.range = Some(ByteRange { start: 1, end: Some(size), total: Some(size) });
        report.status = Some(code);
        out.push(print(&report));
    }

    fn received(&mut self, received: Received, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if self.state == State::Closed {
            return;
        }
        match received {
            Received::TooLarge(request) => self.answer(&request, 413, out),
            Received::Malformed(request) => self.answer(&request, 400, out),
            Received::Frame(frame) => match *frame {
                Frame::Response(response) => self.answered(&response, now, out),
                Frame::Request(request) => match request.method {
                    Method::Send => self.chunk(&request, now, ids, out),
                    Method::Report => self.reported(&request, now, out),
                    Method::Other(_) => self.answer(&request, 501, out),
                },
            },
        }
    }

    /// Whether a request belongs to this session: our URI is its only destination, the peer's path its origin.
    fn owns(&self, request: &Request) -> bool {
        request.to_path.len() == 1
            && request.to_path.first() == Some(&self.config.own)
            && request.from_path == self.config.peer
    }

    fn chunk(&mut self, request: &Request, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if !self.owns(request) {
            return self.answer(request, 481, out);
        }
        // The first SEND binds the connection that the peer has opened (RFC 4975 section 5.4).
        if matches!(self.state, State::Connecting { .. }) {
            self.open(now, ids, out);
        }
        self.last_activity = now;
        let (Some(message_id), content_type) = (&request.message_id, &request.content_type) else {
            return self.answer(request, 400, out);
        };
        // A SEND without body shows that somebody is there.
        let Some(content_type) = content_type else {
            return self.answer(request, 200, out);
        };
        if !self.accepts(content_type) {
            return self.answer(request, 415, out);
        }
        let range = request.range.unwrap_or(ByteRange { start: 1, end: None, total: None });
        let added =
            self.assembly.add(message_id, range, &request.body, request.continuation, request.success_report, now);
        match added {
            Ok(None) => self.answer(request, 200, out),
            Ok(Some((body, wants_report))) => {
                self.answer(request, 200, out);
                let (message_id, content_type) = (message_id.clone(), content_type.clone());
                out.push(Output::Message { message_id, content_type, body, wants_report });
            }
            Err(Refused::TooLarge) => self.answer(request, 413, out),
            Err(Refused::OutOfBounds) => self.answer(request, 423, out),
        }
    }

    fn accepts(&self, content_type: &str) -> bool {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let range = media.split_once('/').map(|(kind, _)| format!("{kind}/*"));
        self.config.accept_types.iter().any(|known| *known == "*" || *known == media || Some(known) == range.as_ref())
    }

    /// Answers a request, if its sender wants to hear this answer. A REPORT is never answered.
    fn answer(&self, request: &Request, code: u16, out: &mut Vec<Output>) {
        let is_wanted = match request.failure_report {
            FailureReport::Yes => true,
            FailureReport::Partial => code != 200,
            FailureReport::No => false,
        };
        if is_wanted && request.method != Method::Report {
            let mut text = BytesMut::with_capacity(256);
            Response::to(request, code, &self.config.own).write(&mut text);
            out.push(Output::Send(text.freeze()));
        }
    }

    fn answered(&mut self, response: &Response, now: Instant, out: &mut Vec<Output>) {
        let Some(message_id) = self.chunks.remove(&response.transaction) else {
            return;
        };
        let Some(sent) = self.sent.get_mut(&message_id) else {
            return;
        };
        let token = sent.token;
        if response.code != 200 {
            self.forget(&message_id);
            return out.push(Output::Failed { token, failure: SendFailure::Refused(response.code) });
        }
        sent.unanswered -= 1;
        if sent.unanswered == 0 {
            sent.give_up_at = now + REPORT_PATIENCE;
            if !sent.wants_report {
                self.forget(&message_id);
            }
            out.push(Output::Accepted { token });
        }
    }

    fn reported(&mut self, request: &Request, now: Instant, out: &mut Vec<Output>) {
        if !self.owns(request) {
            return;
        }
        self.last_activity = now;
        let (Some(message_id), Some(code)) = (&request.message_id, request.status) else {
            return;
        };
        let Some(sent) = self.sent.get(message_id) else {
            return;
        };
        let (token, is_unanswered) = (sent.token, sent.unanswered > 0);
        // A report says more than the answers that are still on their way.
        if is_unanswered {
            out.push(match code {
                200 => Output::Accepted { token },
                code => Output::Failed { token, failure: SendFailure::Refused(code) },
            });
        }
        if sent.wants_report && (code == 200 || !is_unanswered) {
            out.push(Output::Reported { token, code });
        }
        self.forget(&message_id.clone());
    }

    fn forget(&mut self, message_id: &str) {
        self.sent.remove(message_id);
        self.chunks.retain(|_, of| of != message_id);
    }

    fn close(&mut self, out: &mut Vec<Output>) {
        self.state = State::Closed;
        self.assembly.clear();
        self.chunks.clear();
        let waiting = self.queue.drain(..).map(|message| message.token);
        let failed = |token| Output::Failed { token, failure: SendFailure::Closed };
        out.extend(waiting.map(failed));
        let mut unanswered: Vec<_> =
            self.sent.drain().filter(|(_, sent)| sent.unanswered > 0).map(|(_, sent)| sent.token).collect();
        unanswered.sort_unstable();
        out.extend(unanswered.into_iter().map(failed));
    }

    fn fire(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.assembly.fire(now);
        let late: Vec<_> = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.give_up_at <= now)
            .map(|(id, sent)| (id.clone(), sent.token, sent.unanswered))
            .collect();
        for (message_id, token, unanswered) in late {
            self.forget(&message_id);
            if unanswered > 0 {
                out.push(Output::Failed { token, failure: SendFailure::Timeout });
            }
        }
        match self.state {
            State::Connecting { give_up_at } if give_up_at <= now => {
                self.close(out);
                out.push(Output::NoConnection);
            }
            State::Open if self.last_activity + self.config.idle <= now => {
                self.close(out);
                out.push(Output::Idle);
            }
            State::Connecting { .. } | State::Open | State::Closed => {}
        }
    }
}

/// A transaction that does not stand in the chunk (RFC 4975 section 7.1).
fn transaction(ids: &mut IdSource, chunk: &[u8]) -> TransactionId {
    loop {
        let token = ids.token();
        let is_inside = memchr::memmem::find(chunk, token.as_bytes()).is_some();
        if let Some(transaction) = TransactionId::new(token.as_bytes().clone()).filter(|_| !is_inside) {
            return transaction;
        }
    }
}

fn print(request: &Request) -> Output {
    let mut text = BytesMut::with_capacity(request.body.len() + 512);
    request.write(&mut text);
    Output::Send(text.freeze())
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
