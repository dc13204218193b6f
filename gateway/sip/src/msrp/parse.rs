//! Cutting a byte stream into MSRP frames (RFC 4975 sections 7.1 and 9): bounded heads, bounded bodies.
//!
//! A chunk has no length in front of it: it ends where the end line stands. A body that grows beyond the bound is
//! reported at once, so that it can be answered with 413, and then skipped up to its end line; the stream stays usable.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use crate::grammar;
use crate::msrp::message::{ByteRange, Continuation, FailureReport, Frame, Method, Request, Response, TransactionId};
use crate::msrp::uri::MsrpUri;

/// Start line and headers of one frame.
pub const MAX_HEAD: usize = 8 * 1024;
/// Header lines of one frame.
pub const MAX_HEADERS: usize = 64;
/// URIs of one path.
pub const MAX_PATH: usize = 8;

/// What a framer yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole frame.
    Frame(Box<Frame>),
    /// The head of a request whose body exceeds the bound: 413. The rest of it is skipped.
    TooLarge(Box<Request>),
    /// A request that can be named and not understood: 400.
    Malformed(Box<Request>),
}

impl Received {
    /// The request, if it is one.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::TooLarge(request) | Self::Malformed(request) => Some(request),
            Self::Frame(frame) => match &**frame {
                Frame::Request(request) => Some(request),
                Frame::Response(_) => None,
            },
        }
    }
}

/// The stream is no MSRP, or lost its framing: the connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream is no MSRP")]
pub struct Broken;

/// Cuts one stream.
#[derive(Debug)]
pub struct Framer {
    max_body: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    /// Looking for the end line from `from` on.
    Body {
        request: Box<Request>,
        from: usize,
    },
    /// The end line of a body that is not kept.
    Skip {
        transaction: TransactionId,
    },
    Broken,
}

impl Framer {
    /// A framer for bodies of up to `max_body` bytes.
    pub const fn new(max_body: usize) -> Self {
        Self { max_body, state: State::Head }
    }

    /// Whether the next byte begins a frame.
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Takes the next frame off the buffer; `None` if there is not enough in it.
    pub fn push(&mut self, buffer: &mut BytesMut) -> Option<Result<Received, Broken>> {
        loop {
            match &mut self.state {
                State::Broken => return Some(Err(Broken)),
                State::Head => match self.head(buffer)? {
                    Ok(Some(received)) => return Some(Ok(received)),
                    Ok(None) => {}
                    Err(Broken) => {
                        self.state = State::Broken;
                        return Some(Err(Broken));
                    }
                },
                State::Skip { transaction } => {
                    let end = end_line(transaction);
                    match find_end(buffer, &end, 0) {
                        Some((_, after, _)) => {
                            buffer.advance(after);
                            self.state = State::Head;
                        }
                        None => {
                            // What may be the beginning of the end line stays.
                            let gone = buffer.len().saturating_sub(end.len() + 4);
                            buffer.advance(gone);
                            return None;
                        }
                    }
                }
                State::Body { request, from } => {
                    let end = end_line(&request.transaction);
                    match find_end(buffer, &end, *from) {
                        Some((body, after, continuation)) if body <= self.max_body => {
                            let mut whole = buffer.split_to(after);
                            whole.truncate(body);
                            request.body = whole.freeze();
                            request.continuation = continuation;
                            let State::Body { request, .. } = std::mem::replace(&mut self.state, State::Head) else {
                                return None;
                            };
                            return Some(Ok(Received::Frame(Box::new(Frame::Request(*request)))));
                        }
                        None if buffer.len() <= self.max_body + end.len() + 4 => {
                            *from = buffer.len().saturating_sub(end.len() + 4);
                            return None;
                        }
                        Some(_) | None => {
                            let transaction = request.transaction.clone();
                            let state = std::mem::replace(&mut self.state, State::Skip { transaction });
                            let State::Body { request, .. } = state else {
                                return None;
                            };
                            return Some(Ok(Received::TooLarge(request)));
                        }
                    }
                }
            }
        }
    }

    /// Reads a head, up to the empty line before a body or to the end line. `Ok(None)` begins a body.
    fn head(&mut self, buffer: &mut BytesMut) -> Option<Result<Option<Received>, Broken>> {
        let is_start = |text: &[u8]| text.iter().zip(b"MSRP ").all(|(one, other)| one == other);
        if !is_start(buffer) {
            return Some(Err(Broken));
        }
        let window = buffer.get(..buffer.len().min(MAX_HEAD)).unwrap_or_default();
        let too_long = || (buffer.len() >= MAX_HEAD).then_some(Err(Broken));
        let Some(first_end) = memmem::find(window, b"\r\n") else {
            return too_long();
        };
        let first = window.get(5..first_end).unwrap_or_default();
        let Some((transaction, what)) = grammar::split_once(first, b' ') else {
            return Some(Err(Broken));
        };
        let Some(transaction) = TransactionId::new(Bytes::copy_from_slice(transaction)) else {
            return Some(Err(Broken));
        };
        let end = end_line(&transaction);
        let end = end.get(2..).unwrap_or_default();
        // Walk the header lines to what ends them.
        let (mut at, mut lines) = (first_end + 2, Vec::new());
        loop {
            let rest = window.get(at..).unwrap_or_default();
            let Some(len) = memmem::find(rest, b"\r\n") else {
                return too_long();
            };
            let line = rest.get(..len).unwrap_or_default();
            let after = at + len + 2;
            if line.is_empty() {
                let frame = read_frame(transaction, what, &lines);
                buffer.advance(after);
                return Some(match frame {
                    Ok(Frame::Request(request)) => {
                        self.state = State::Body { request: Box::new(request), from: 0 };
                        Ok(None)
                    }
                    // A response has no body.
                    Ok(Frame::Response(_)) => Err(Broken),
                    Err(Some(request)) => {
                        self.state = State::Skip { transaction: request.transaction.clone() };
                        Ok(Some(Received::Malformed(request)))
                    }
                    Err(None) => Err(Broken),
                });
            }
            if let Some([flag]) = line.strip_prefix(end)
                && let Some(continuation) = Continuation::from_byte(*flag)
            {
                let frame = read_frame(transaction, what, &lines);
                buffer.advance(after);
                return Some(match frame {
                    Ok(Frame::Request(request)) => {
                        Ok(Some(Received::Frame(Box::new(Frame::Request(Request { continuation, ..request })))))
                    }
                    Ok(frame @ Frame::Response(_)) => Ok(Some(Received::Frame(Box::new(frame)))),
                    Err(Some(request)) => Ok(Some(Received::Malformed(request))),
                    Err(None) => Err(Broken),
                });
            }
            if lines.len() >= MAX_HEADERS {
                return Some(Err(Broken));
            }
            lines.push(line.to_vec());
            at = after;
        }
    }
}

/// `CRLF 7"-" transaction`.
fn end_line(transaction: &TransactionId) -> Vec<u8> {
    [b"\r\n-------", transaction.as_bytes().as_ref()].concat()
}

/// The end line of a body: where the body ends, where the next frame begins, and the flag.
fn find_end(buffer: &[u8], end: &[u8], from: usize) -> Option<(usize, usize, Continuation)> {
    let mut from = from;
    loop {
        let at = from + memmem::find(buffer.get(from..)?, end)?;
        let rest = buffer.get(at + end.len()..)?;
        let [flag, b'\r', b'\n', ..] = rest else {
            if rest.len() < 3 {
                return None;
            }
            from = at + 1;
            continue;
        };
        match Continuation::from_byte(*flag) {
            Some(continuation) => return Some((at, at + end.len() + 3, continuation)),
            None => from = at + 1,
        }
    }
}

/// Reads start line and headers. `Err(Some(_))` is a request that can be refused, `Err(None)` one that cannot.
fn read_frame(transaction: TransactionId, what: &[u8], lines: &[Vec<u8>]) -> Result<Frame, Option<Box<Request>>> {
    let is_response = what.first().is_some_and(u8::is_ascii_digit);
    let method = match what {
        b"SEND" => Method::Send,
        b"REPORT" => Method::Report,
        other => Method::Other(String::from_utf8_lossy(other).into_owned()),
    };
    let is_method = |name: &str| !name.is_empty() && name.len() <= 32 && name.bytes().all(|b| b.is_ascii_uppercase());
    if !is_response && matches!(&method, Method::Other(name) if !is_method(name)) {
        return Err(None);
    }
    let mut request = Request::new(transaction, method, Vec::new(), Vec::new());
    let mut is_good = true;
    for line in lines {
        let Some((name, value)) = grammar::split_once(line, b':') else {
            is_good = false;
            continue;
        };
        let Ok(value) = std::str::from_utf8(grammar::trim(value)) else {
            is_good = false;
            continue;
        };
        is_good &= read_header(&mut request, &name.to_ascii_lowercase(), value);
    }
    if request.to_path.is_empty() || request.from_path.is_empty() {
        return Err(None);
    }
    if is_response {
        let code = grammar::number(what.get(..3).unwrap_or_default()).and_then(|code| u16::try_from(code).ok());
        let ends = what.get(3).is_none_or(|byte| *byte == b' ');
        let Some(code) = code.filter(|_| ends && is_good) else {
            return Err(None);
        };
        let Request { transaction, to_path, from_path, .. } = request;
        return Ok(Frame::Response(Response { transaction, code, to_path, from_path }));
    }
    if is_good { Ok(Frame::Request(request)) } else { Err(Some(Box::new(request))) }
}

fn read_header(request: &mut Request, name: &[u8], value: &str) -> bool {
    match name {
        b"to-path" => read_path(value, &mut request.to_path),
        b"from-path" => read_path(value, &mut request.from_path),
        b"message-id" => {
            let is_id = matches!(value.len(), 1..=64) && value.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
            request.message_id = Some(value.to_owned());
            is_id
        }
        b"byte-range" => {
            request.range = read_range(value);
            request.range.is_some()
        }
        b"success-report" => {
            request.success_report = value.eq_ignore_ascii_case("yes");
            true
        }
        b"failure-report" => {
            request.failure_report = match value {
                value if value.eq_ignore_ascii_case("no") => FailureReport::No,
                value if value.eq_ignore_ascii_case("partial") => FailureReport::Partial,
                _ => FailureReport::Yes,
            };
            true
        }
        b"status" => {
            let code = value.strip_prefix("000 ").and_then(|code| code.get(..3)).and_then(|code| code.parse().ok());
            request.status = code;
            true
        }
        b"content-type" => {
            request.content_type = Some(value.to_owned());
            value.contains('/') && !value.bytes().any(|byte| byte.is_ascii_control())
        }
        // Extensions are skipped.
        _ => true,
    }
}

fn read_path(value: &str, path: &mut Vec<MsrpUri>) -> bool {
    let uris =
        value.split_ascii_whitespace().take(MAX_PATH + 1).map(|uri| uri.parse().ok()).collect::<Option<Vec<_>>>();
    match uris {
        Some(uris) if path.is_empty() && !uris.is_empty() && uris.len() <= MAX_PATH => {
            *path = uris;
            true
        }
        Some(_) | None => false,
    }
}

fn read_range(value: &str) -> Option<ByteRange> {
    let (start, rest) = value.split_once('-')?;
    let (end, total) = rest.split_once('/')?;
    let number = |text: &str| grammar::digits(text.as_bytes());
    let star = |text: &str| if text == "*" { Some(None) } else { number(text).map(Some) };
    let range = ByteRange { start: number(start)?, end: star(end)?, total: star(total)? };
    // The empty message is `1-0/0`.
    let is_good = range.start >= 1 && range.end.is_none_or(|end| end.saturating_add(1) >= range.start);
    is_good.then_some(range)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
