//! One MSRP session (RFC 4975 sections 5.4 and 7): messages out in chunks, chunks in to messages, answers and reports.
//!
//! Who offers to connect says hello with an empty SEND; until the connection stands, messages wait. Each message given to
//! [`Input::Send`] ends in one [`Output::Accepted`] or [`Output::Failed`]; a report, where one was asked for, comes
//! after it as [`Output::Reported`], or never.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::ids::IdSource;
use crate::msrp::message::{ByteRange, FailureReport, Frame, Method, Request, Response, TransactionId};
use crate::msrp::parse::Received;
use crate::msrp::uri::MsrpUri;

mod assembly;
mod outbox;

use assembly::{Assembly, Refused};
use outbox::Outbox;

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
/// Chunks of ours that wait for their answer; further ones wait for those. 64 KiB under way are enough for any network
/// that chat is used in.
pub const MAX_CHUNKS: usize = 32;

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

/// Names a message of the peer, and what its sender wants to hear of it (RFC 4975 section 7.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    message_id: String,
    size: u64,
    wants_success: bool,
    wants_failure: bool,
}

impl Receipt {
    /// Its Message-ID.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Whether a report of success is wanted.
    pub const fn wants_success(&self) -> bool {
        self.wants_success
    }

    /// Whether a report of failure is wanted.
    pub const fn wants_failure(&self) -> bool {
        self.wants_failure
    }
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
    /// What became of a message of the peer: reported if its sender wants to hear it.
    Report {
        /// That of the message.
        receipt: Receipt,
        /// 200, or the code that says why not; one that MSRP does not know becomes one that it does.
        code: u16,
    },
    /// The connection has room again, see [`Session::hold`].
    Resume,
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
    /// The session is bound to its connection.
    Bound,
    /// A whole message came.
    Message {
        /// Its Content-Type.
        content_type: String,
        /// Its text.
        body: Bytes,
        /// For [`Input::Report`].
        receipt: Receipt,
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
    /// The peer does not have the session any more, or has lost a message: end the session.
    Refused {
        /// What it said.
        code: u16,
    },
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
    /// The request that showed which session our connection is for, until it is answered.
    hello: Option<TransactionId>,
    outbox: Outbox,
    assembly: Assembly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting { give_up_at: Instant },
    Open,
    Closed,
}

impl Session {
    /// A session whose connection is still to come.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let assembly = Assembly::new(config.max_size);
        Self {
            config,
            state: State::Connecting { give_up_at: now + SETUP_PATIENCE },
            last_activity: now,
            hello: None,
            outbox: Outbox::default(),
            assembly,
        }
    }

    /// Our URI, by which frames find the session.
    pub const fn own(&self) -> &MsrpUri {
        &self.config.own
    }

    /// The peer's path.
    pub fn peer(&self) -> &[MsrpUri] {
        &self.config.peer
    }

    /// Whether it waits for its connection.
    pub const fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting { .. })
    }

    /// The connection has enough to write: no further chunks until [`Input::Resume`].
    pub const fn hold(&mut self) {
        self.outbox.hold();
    }

    /// Whether it would say more, had its connection room.
    pub fn waits_for_room(&self) -> bool {
        self.outbox.waits_for_room()
    }

    /// Takes one step.
    pub fn handle(&mut self, input: Input, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        match input {
            Input::Connected => self.connected(now, ids, out),
            Input::Received(received) => self.received(received, now, ids, out),
            Input::Send(message) => self.send(message, now, ids, out),
            Input::Report { receipt, code } => self.report(receipt, code, ids, out),
            Input::Resume => {
                self.outbox.resume();
                self.pump(now, ids, out);
            }
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
        [self.outbox.deadline(), self.assembly.deadline(), Some(state)].into_iter().flatten().min()
    }

    fn connected(&mut self, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if !matches!(self.state, State::Connecting { .. }) || !self.config.is_active {
            return;
        }
        // Who connects shows at once which session the connection is for (RFC 4975 section 5.4).
        let mut hello = request(&self.config, Method::Send, transaction(ids, b""));
        hello.message_id = Some(ids.token().as_str().to_owned());
        hello.range = Some(ByteRange { start: 1, end: Some(0), total: Some(0) });
        self.hello = Some(hello.transaction.clone());
        out.push(print(&hello));
        self.open(now, ids, out);
    }

    fn open(&mut self, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        self.state = State::Open;
        self.last_activity = now;
        out.push(Output::Bound);
        self.pump(now, ids, out);
    }

    fn send(&mut self, message: Outgoing, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        let token = message.token;
        let taken = match self.state {
            State::Connecting { .. } | State::Open => self.outbox.take(message, &self.config),
            State::Closed => Err(SendFailure::Closed),
        };
        match taken {
            Ok(()) => {
                self.last_activity = now;
                self.pump(now, ids, out);
            }
            Err(failure) => out.push(Output::Failed { token, failure }),
        }
    }

    fn pump(&mut self, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        match self.state {
            State::Open => self.outbox.pump(&self.config, now, ids, out),
            State::Connecting { .. } | State::Closed => {}
        }
    }

    fn report(&self, receipt: Receipt, code: u16, ids: &mut IdSource, out: &mut Vec<Output>) {
        let is_wanted = if code == 200 { receipt.wants_success } else { receipt.wants_failure };
        if self.state != State::Open || !is_wanted {
            return;
        }
        let size = receipt.size;
        let mut report = request(&self.config, Method::Report, transaction(ids, b""));
        report.message_id = Some(receipt.message_id);
        report.range = Some(ByteRange { start: 1, end: Some(size), total: Some(size) });
        report.status = Some(code_of_report(code));
        out.push(print(&report));
    }

    fn received(&mut self, received: Received, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if self.state == State::Closed {
            return;
        }
        match received {
            Received::TooLarge(request) => {
                if self.is_connecting() && self.owns(&request) {
                    self.open(now, ids, out);
                }
                self.answer(&request, 413, out);
            }
            Received::Malformed(request) => self.answer(&request, 400, out),
            Received::Frame(frame) => match *frame {
                Frame::Response(response) => self.answered(&response, now, ids, out),
                Frame::Request(request) => match request.method {
                    Method::Send => self.chunk(&request, now, ids, out),
                    Method::Report => self.reported(&request, now, ids, out),
                    Method::Other(_) => self.answer(&request, 501, out),
                },
            },
        }
    }

    /// Whether a request belongs to this session: our URI is its only destination, the peer's path its origin.
    pub fn owns(&self, request: &Request) -> bool {
        request.to_path.len() == 1
            && request.to_path.first() == Some(&self.config.own)
            && request.from_path == self.config.peer
    }

    fn chunk(&mut self, request: &Request, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if !self.owns(request) {
            return self.answer(request, 481, out);
        }
        // The first SEND binds the connection that the peer has opened (RFC 4975 section 5.4).
        if self.is_connecting() {
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
                let receipt = Receipt {
                    message_id: message_id.clone(),
                    size: u64::try_from(body.len()).unwrap_or(u64::MAX),
                    wants_success: wants_report,
                    wants_failure: request.failure_report != FailureReport::No,
                };
                out.push(Output::Message { content_type: content_type.clone(), body, receipt });
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
        if let Some(text) = answer(request, code, &self.config.own) {
            out.push(Output::Send(text));
        }
    }

    fn answered(&mut self, response: &Response, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if self.hello.as_ref() == Some(&response.transaction) {
            self.hello = None;
            if response.code != 200 {
                self.refused(response.code, out);
            }
            return;
        }
        if self.outbox.answered(&response.transaction, response.code, now, out) && is_end_of_session(response.code) {
            return self.refused(response.code, out);
        }
        self.pump(now, ids, out);
    }

    fn reported(&mut self, request: &Request, now: Instant, ids: &mut IdSource, out: &mut Vec<Output>) {
        if !self.owns(request) {
            return;
        }
        self.last_activity = now;
        let (Some(message_id), Some(code)) = (&request.message_id, request.status) else {
            return;
        };
        // Bytes that did not arrive make the session a failed one (RFC 4975 section 7.3.2).
        if self.outbox.reported(message_id, request.range, code, out) && (code == 408 || is_end_of_session(code)) {
            return self.refused(code, out);
        }
        self.pump(now, ids, out);
    }

    fn refused(&mut self, code: u16, out: &mut Vec<Output>) {
        self.close(out);
        out.push(Output::Refused { code });
    }

    fn close(&mut self, out: &mut Vec<Output>) {
        self.state = State::Closed;
        self.assembly.clear();
        self.outbox.close(out);
    }

    fn fire(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.assembly.fire(now);
        self.outbox.fire(now, out);
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

/// What a report says of a failure that lies beyond us: one of the codes of MSRP, and none that speaks about the session
/// (RFC 4975 section 7.1.4). What may go away counts as a timeout, what will not as forbidden.
const fn code_of_report(code: u16) -> u16 {
    match code {
        200 | 400 | 403 | 408 | 413 | 415 | 423 | 501 => code,
        480 | 486 | 487 | 500..=599 => 408,
        _ => 403,
    }
}

/// Whether a code says that the session is no more (RFC 4975 sections 10.8 and 10.10).
const fn is_end_of_session(code: u16) -> bool {
    matches!(code, 481 | 506)
}

/// The answer to a request, if its sender wants to hear this one (RFC 4975 section 7.2). A REPORT is never answered.
pub(in crate::msrp) fn answer(request: &Request, code: u16, own: &MsrpUri) -> Option<Bytes> {
    let is_wanted = match request.failure_report {
        FailureReport::Yes => true,
        FailureReport::Partial => code != 200,
        FailureReport::No => false,
    };
    if !is_wanted || request.method == Method::Report {
        return None;
    }
    let mut text = BytesMut::with_capacity(256);
    Response::to(request, code, own).write(&mut text);
    Some(text.freeze())
}

fn request(config: &SessionConfig, method: Method, transaction: TransactionId) -> Request {
    Request::new(transaction, method, config.peer.clone(), vec![config.own.clone()])
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

#[cfg(test)]
#[path = "session_wire_tests.rs"]
mod wire_tests;
