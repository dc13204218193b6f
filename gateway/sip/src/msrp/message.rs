//! Requests, responses and their printed form (RFC 4975 sections 4, 7 and 9).

use bytes::{BufMut, Bytes, BytesMut};

use crate::grammar;
use crate::msrp::uri::MsrpUri;

/// A chunk or report on its way, or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request: SEND, REPORT, or a method we do not know, which is answered with 501.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Ties the response to it.
    pub transaction: TransactionId,
    /// What it is.
    pub method: Method,
    /// The URIs on the way, our own last.
    pub to_path: Vec<MsrpUri>,
    /// The URIs on the way back, the sender's last.
    pub from_path: Vec<MsrpUri>,
    /// Message-ID: the same in all chunks and reports of one message.
    pub message_id: Option<String>,
    /// Byte-Range.
    pub range: Option<ByteRange>,
    /// Success-Report: whether the sender asks for a report when all has arrived.
    pub success_report: bool,
    /// Failure-Report: which answers the sender wants.
    pub failure_report: FailureReport,
    /// The code of Status, in a REPORT.
    pub status: Option<u16>,
    /// Content-Type; a SEND without it has no body.
    pub content_type: Option<String>,
    /// The bytes of this chunk.
    pub body: Bytes,
    /// What follows this chunk.
    pub continuation: Continuation,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// That of the request.
    pub transaction: TransactionId,
    /// 200, 400, 403, 408, 413, 415, 423, 481, 501 or 506.
    pub code: u16,
    /// The first URI of the request's From-Path.
    pub to_path: Vec<MsrpUri>,
    /// The responder's URI.
    pub from_path: Vec<MsrpUri>,
}

/// 4 to 32 characters that stand in the start line and in the end line, so they must not stand in the body after seven
/// dashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransactionId(Bytes);

/// SEND, REPORT or something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// A chunk of a message.
    Send,
    /// What became of a message.
    Report,
    /// Anything else in capital letters.
    Other(String),
}

/// The part of a message that a chunk holds, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The last byte; `None` is `*`: where the chunk ends, it ends.
    pub end: Option<u64>,
    /// The bytes of the whole message, if they are known.
    pub total: Option<u64>,
}

/// Which answers to a request its sender wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureReport {
    /// All.
    #[default]
    Yes,
    /// Refusals only.
    Partial,
    /// None.
    No,
}

/// The flag of the end line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuation {
    /// `$`: the message ends here.
    Last,
    /// `+`: more chunks follow.
    More,
    /// `#`: the sender has given the message up.
    Aborted,
}

impl TransactionId {
    /// Takes `ALPHANUM 3*31ident-char`.
    pub fn new(text: impl Into<Bytes>) -> Option<Self> {
        let text = text.into();
        let is_ident = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'%' | b'=');
        let is_good = matches!(text.len(), 4..=32)
            && text.first().is_some_and(u8::is_ascii_alphanumeric)
            && text.iter().all(is_ident);
        is_good.then_some(Self(text))
    }

    /// The characters.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl Continuation {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'$' => Some(Self::Last),
            b'+' => Some(Self::More),
            b'#' => Some(Self::Aborted),
            _ => None,
        }
    }

    const fn as_byte(self) -> u8 {
        match self {
            Self::Last => b'$',
            Self::More => b'+',
            Self::Aborted => b'#',
        }
    }
}

impl Request {
    /// A request with paths and nothing else.
    pub const fn new(
        transaction: TransactionId,
        method: Method,
        to_path: Vec<MsrpUri>,
        from_path: Vec<MsrpUri>,
    ) -> Self {
        Self {
            transaction,
            method,
            to_path,
            from_path,
            message_id: None,
            range: None,
            success_report: false,
            failure_report: FailureReport::Yes,
            status: None,
            content_type: None,
            body: Bytes::new(),
            continuation: Continuation::Last,
        }
    }

    /// Prints the request.
    pub fn write(&self, out: &mut BytesMut) {
        let method = match &self.method {
            Method::Send => "SEND",
            Method::Report => "REPORT",
            Method::Other(name) => name,
        };
        write_start(&self.transaction, method, &self.to_path, &self.from_path, out);
        if let Some(id) = &self.message_id {
            line(out, "Message-ID: ", id);
        }
        if let Some(ByteRange { start, end, total }) = self.range {
            out.put_slice(b"Byte-Range: ");
            grammar::write_number(start, out);
            out.put_u8(b'-');
            write_or_star(end, out);
            out.put_u8(b'/');
            write_or_star(total, out);
            out.put_slice(b"\r\n");
        }
        if self.success_report {
            line(out, "Success-Report: ", "yes");
        }
        match self.failure_report {
            FailureReport::Yes => {}
            FailureReport::Partial => line(out, "Failure-Report: ", "partial"),
            FailureReport::No => line(out, "Failure-Report: ", "no"),
        }
        if let Some(code) = self.status {
            line(out, "Status: ", &format!("000 {code:03}"));
        }
        if let Some(content_type) = &self.content_type {
            line(out, "Content-Type: ", content_type);
            out.put_slice(b"\r\n");
            out.put_slice(&self.body);
            out.put_slice(b"\r\n");
        }
        write_end(&self.transaction, self.continuation, out);
    }
}

impl Response {
    /// The answer of `own` to a request.
    pub fn to(request: &Request, code: u16, own: &MsrpUri) -> Self {
        Self {
            transaction: request.transaction.clone(),
            code,
            to_path: request.from_path.first().cloned().into_iter().collect(),
            from_path: vec![own.clone()],
        }
    }

    /// Prints the response.
    pub fn write(&self, out: &mut BytesMut) {
        let start = format!("{:03} {}", self.code, reason(self.code));
        write_start(&self.transaction, start.trim_end(), &self.to_path, &self.from_path, out);
        write_end(&self.transaction, Continuation::Last, out);
    }
}

const fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Timeout",
        413 => "Message Too Large",
        415 => "Unsupported Media Type",
        423 => "Out Of Bounds",
        481 => "No Such Session",
        501 => "Not Implemented",
        506 => "Bound Elsewhere",
        _ => "",
    }
}

fn write_start(transaction: &TransactionId, what: &str, to: &[MsrpUri], from: &[MsrpUri], out: &mut BytesMut) {
    out.put_slice(b"MSRP ");
    out.put_slice(&transaction.0);
    out.put_u8(b' ');
    out.put_slice(what.as_bytes());
    out.put_slice(b"\r\n");
    for (name, path) in [("To-Path:", to), ("From-Path:", from)] {
        out.put_slice(name.as_bytes());
        for uri in path {
            out.put_u8(b' ');
            out.put_slice(uri.as_str().as_bytes());
        }
        out.put_slice(b"\r\n");
    }
}

fn write_end(transaction: &TransactionId, continuation: Continuation, out: &mut BytesMut) {
    out.put_slice(b"-------");
    out.put_slice(&transaction.0);
    out.put_u8(continuation.as_byte());
    out.put_slice(b"\r\n");
}

/// One header line; control characters are left out, so that no value can begin a line of its own.
fn line(out: &mut BytesMut, name: &str, value: &str) {
    out.put_slice(name.as_bytes());
    value.bytes().filter(|byte| !byte.is_ascii_control()).for_each(|byte| out.put_u8(byte));
    out.put_slice(b"\r\n");
}

fn write_or_star(number: Option<u64>, out: &mut BytesMut) {
    match number {
        Some(number) => grammar::write_number(number, out),
        None => out.put_u8(b'*'),
    }
}
