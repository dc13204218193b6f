//! From bytes to [`Message`] (RFC 3261 sections 7 and 18.3, RFC 4475).
//!
//! The head is read once into slices; Content-Length is decided here and nowhere else. A fault does not stop the
//! reading, because a request that does not parse is still answered when its Via and CSeq are usable.
//! Not here: where a message ends on a stream (`frame`), what a request means (`endpoint`).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::field::{CSeq, FieldError, FieldFault, NameAddr, ViaRef};
use crate::frame::FramingFault;
use crate::grammar;
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::limits::{MAX_HEAD, MAX_HEADERS};
use crate::message::{Message, Request, Response};
use crate::method::{Method, Status};
use crate::uri::{Uri, UriFault};

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// Neither a Request-Line nor a Status-Line.
    #[error("the start line is malformed")]
    StartLine,
    /// The Request-URI does not parse, or holds headers.
    #[error("the Request-URI is malformed: {0}")]
    RequestUri(UriFault),
    /// The Request-URI has a `?` part, which is not allowed there (RFC 3261 section 19.1.1).
    #[error("the Request-URI carries headers")]
    RequestUriHeaders,
    /// Another version than SIP/2.0.
    #[error("the SIP version is not 2.0")]
    Version,
    /// A header line without a colon or with an illegal name, or a bare CR or LF.
    #[error("a header line is malformed")]
    HeaderLine,
    /// More than [`MAX_HEADERS`] lines.
    #[error("more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// More than [`MAX_HEAD`] bytes before the body.
    #[error("more than {MAX_HEAD} bytes of headers")]
    HeadTooLarge,
    /// The empty line after the headers is missing.
    #[error("the headers do not end")]
    Truncated,
    /// A header is missing, repeated or malformed.
    #[error("{0}")]
    Field(FieldError),
    /// CSeq names another method than the start line.
    #[error("CSeq names another method")]
    CSeqMethod,
    /// Content-Length is no number, or two of them differ.
    #[error("Content-Length is malformed or contradicts itself")]
    ContentLength,
    /// Content-Length says more than the datagram holds.
    #[error("the body is shorter than Content-Length says")]
    ShortBody,
    /// The end of the message cannot be known, so the stream ends with it.
    #[error("{0}")]
    Framing(FramingFault),
}

impl ParseFault {
    /// The status that tells the sender.
    pub const fn status(&self) -> Status {
        match self {
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::HeadTooLarge
            | Self::TooManyHeaders
            | Self::Framing(FramingFault::HeadTooLarge | FramingFault::MessageTooLarge) => Status::MESSAGE_TOO_LARGE,
            Self::StartLine
            | Self::RequestUri(_)
            | Self::RequestUriHeaders
            | Self::HeaderLine
            | Self::Truncated
            | Self::Field(_)
            | Self::CSeqMethod
            | Self::ContentLength
            | Self::ShortBody
            | Self::Framing(
                FramingFault::NotSip
                | FramingFault::BareLineBreak
                | FramingFault::NoContentLength
                | FramingFault::ContentLength,
            ) => Status::BAD_REQUEST,
        }
    }
}

/// A message that did not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    /// What is wrong with it.
    pub fault: ParseFault,
    /// The answer, if it is a request whose Via and CSeq are usable; its Via is not stamped yet.
    pub answer: Option<Box<Response>>,
}

/// What a datagram turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every datagram is a message; a box would cost an allocation each"
)]
pub enum Datagram {
    /// A message.
    Message(Message),
    /// Nothing but line ends, which some peers send to keep a NAT binding.
    KeepAlive,
}

/// Reads one datagram. Octets behind Content-Length are ignored (RFC 3261 section 18.3).
pub fn parse_datagram(mut datagram: Bytes) -> Result<Datagram, ParseError> {
    let blank = datagram.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    datagram.advance(blank);
    if datagram.is_empty() {
        return Ok(Datagram::KeepAlive);
    }
    let (mut head, body) = match memchr::memmem::find(&datagram, b"\r\n\r\n") {
        Some(end) => (Head::read(&datagram.slice(..end + 2)), datagram.slice(end + 4..)),
        None => {
            let mut head = Head::read(&datagram);
            head.fault(ParseFault::Truncated);
            (head, Bytes::new())
        }
    };
    let body = match head.length {
        Length::Absent | Length::Bad => body,
        Length::Is(length) => match usize::try_from(length) {
            Ok(length) if length <= body.len() => body.slice(..length),
            _ => {
                head.fault(ParseFault::ShortBody);
                body
            }
        },
    };
    head.finish(body).map(Datagram::Message)
}

/// What the Content-Length headers of a message say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Absent,
    Is(u64),
    Bad,
}

#[derive(Debug)]
enum Start {
    Request { method: Method, uri: Option<Uri> },
    Response { status: Status, reason: HeaderValue },
    Unknown,
}

/// The start line and headers of a message, with the first fault found in them.
#[derive(Debug)]
pub(crate) struct Head {
    start: Start,
    headers: Headers,
    pub(crate) length: Length,
    fault: Option<ParseFault>,
}

impl Head {
    /// Reads a head: everything up to the empty line, which is not part of it.
    pub(crate) fn read(text: &Bytes) -> Self {
        let mut head =
            Self { start: Start::Unknown, headers: Headers::with_capacity(16), length: Length::Absent, fault: None };
        let mut lines = Lines { rest: text };
        match lines.next() {
            Some(Ok(Line { text: line, folded: false })) => head.read_start(text, line),
            Some(Ok(Line { folded: true, .. }) | Err(BareLineBreak)) | None => head.fault(ParseFault::StartLine),
        }
        let mut seen = 0_u16;
        for line in lines {
            if head.headers.len() >= MAX_HEADERS {
                head.fault(ParseFault::TooManyHeaders);
                break;
            }
            match line {
                Ok(line) => head.read_header(text, &line, &mut seen),
                Err(BareLineBreak) => head.fault(ParseFault::HeaderLine),
            }
        }
        head
    }

    /// Remembers the first fault; later ones follow from it more often than not.
    pub(crate) fn fault(&mut self, fault: ParseFault) {
        self.fault.get_or_insert(fault);
    }

    fn read_start(&mut self, whole: &Bytes, line: &[u8]) {
        if let Some((version, rest)) = grammar::split_once(line, b' ')
            && version.get(..4).is_some_and(|sip| sip.eq_ignore_ascii_case(b"SIP/"))
        {
            return self.read_status_line(whole, version, rest);
        }
        let mut parts = line.split(|byte| *byte == b' ');
        let (method, uri, version, extra) = (parts.next(), parts.next(), parts.next(), parts.next());
        if let Some(method) = method.and_then(|method| Method::parse(&grammar::share(whole, method))) {
            self.start = Start::Request { method, uri: None };
        }
        let (Start::Request { uri: slot, .. }, Some(uri), Some(version), None) = (&mut self.start, uri, version, extra)
        else {
            return self.fault(ParseFault::StartLine);
        };
        match version_fault(version) {
            Some(fault) => self.fault(fault),
            None => match Uri::parse(grammar::share(whole, uri)) {
                Ok(uri) if uri.headers().is_some() => self.fault(ParseFault::RequestUriHeaders),
                Ok(uri) => *slot = Some(uri),
                Err(fault) => self.fault(ParseFault::RequestUri(fault)),
            },
        }
    }

    fn read_status_line(&mut self, whole: &Bytes, version: &[u8], rest: &[u8]) {
        if let Some(fault) = version_fault(version) {
            return self.fault(fault);
        }
        let (code, reason) = grammar::split_once(rest, b' ').unwrap_or((rest, b""));
        let status = (code.len() == 3).then(|| grammar::number(code)).flatten();
        match status.and_then(|code| u16::try_from(code).ok()).and_then(Status::new) {
            Some(status) => {
                let reason = HeaderValue::unchecked(grammar::share(whole, reason));
                self.start = Start::Response { status, reason };
            }
            None => self.fault(ParseFault::StartLine),
        }
    }

    fn read_header(&mut self, whole: &Bytes, line: &Line<'_>, seen: &mut u16) {
        let Some((name, value)) = grammar::split_once(line.text, b':') else {
            return self.fault(ParseFault::HeaderLine);
        };
        let Some(name) = HeaderName::parse(&grammar::share(whole, grammar::trim_end(name))) else {
            return self.fault(ParseFault::HeaderLine);
        };
        let value = if line.folded { unfold(value) } else { grammar::share(whole, grammar::trim(value)) };
        if name == HeaderName::ContentLength {
            return self.read_length(&value);
        }
        let bit = name.single_bit();
        if *seen & bit != 0 {
            self.fault(ParseFault::Field(FieldError { name: name.clone(), fault: FieldFault::Repeated }));
        }
        *seen |= bit;
        self.headers.push(name, HeaderValue::unchecked(value));
    }

    /// Two equal lengths are one; two that differ are the beginning of a smuggled request.
    fn read_length(&mut self, value: &[u8]) {
        self.length = match (self.length, grammar::digits(value)) {
            (Length::Absent, Some(length)) => Length::Is(length),
            (Length::Is(before), Some(length)) if before == length => Length::Is(length),
            (Length::Absent | Length::Is(_) | Length::Bad, _) => Length::Bad,
        };
        if self.length == Length::Bad {
            self.fault(ParseFault::ContentLength);
        }
    }

    /// Makes the message, or the error with its answer.
    pub(crate) fn finish(self, body: Bytes) -> Result<Message, ParseError> {
        let fault = match self.fault {
            Some(fault) => Err(fault),
            None => check(&self.start, &self.headers),
        };
        let Err(fault) = fault else {
            let (headers, start) = (self.headers, self.start);
            return match start {
                Start::Request { method, uri: Some(uri) } => {
                    Ok(Message::Request(Request { method, uri, headers, body }))
                }
                Start::Response { status, reason } => Ok(Message::Response(Response { status, reason, headers, body })),
                Start::Request { uri: None, .. } | Start::Unknown => {
                    Err(ParseError { fault: ParseFault::StartLine, answer: None })
                }
            };
        };
        let answer = answer(&self.start, &self.headers, &fault);
        Err(ParseError { fault, answer })
    }

    /// The answer to a message whose framing is lost.
    pub(crate) fn refusal(&self, fault: &ParseFault) -> Option<Box<Response>> {
        answer(&self.start, &self.headers, fault)
    }
}

fn version_fault(version: &[u8]) -> Option<ParseFault> {
    if version.eq_ignore_ascii_case(b"SIP/2.0") {
        return None;
    }
    let number = version.get(4..).unwrap_or_default();
    let is_sip = version.get(..4).is_some_and(|sip| sip.eq_ignore_ascii_case(b"SIP/"));
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let numbered = grammar::split_once(number, b'.').is_some_and(|(major, minor)| is_number(major) && is_number(minor));
    Some(if is_sip && numbered { ParseFault::Version } else { ParseFault::StartLine })
}

/// What every message must have (RFC 3261 section 8.1.1), and the headers whose faults must not go unnoticed.
/// COMPAT(RFC 2543): Max-Forwards may be absent.
fn check(start: &Start, headers: &Headers) -> Result<(), ParseFault> {
    let fail = |name: HeaderName, fault| Err(ParseFault::Field(FieldError { name, fault }));
    let (mut cseq_method, mut seen) = (None, 0_u16);
    for header in headers {
        let value = header.value.as_bytes();
        let good = match header.name {
            HeaderName::Via => each(value, |element| ViaRef::parse(element).is_ok()),
            HeaderName::Contact => value.as_ref() == b"*" || each(value, |element| NameAddr::check(element).is_ok()),
            HeaderName::From | HeaderName::To => NameAddr::check(value).is_ok(),
            HeaderName::CallId => grammar::is_call_id(value),
            HeaderName::CSeq => {
                cseq_method = CSeq::split(value).ok().map(|(_, method)| method);
                cseq_method.is_some()
            }
            HeaderName::MaxForwards => grammar::digits(value).is_some_and(|hops| hops <= u64::from(u8::MAX)),
            _ => true,
        };
        if !good {
            return fail(header.name.clone(), FieldFault::Malformed);
        }
        seen |= header.name.single_bit();
    }
    for name in [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        if seen & name.single_bit() == 0 {
            return fail(name, FieldFault::Missing);
        }
    }
    if !headers.has(&HeaderName::Via) {
        return fail(HeaderName::Via, FieldFault::Missing);
    }
    match start {
        Start::Request { method, .. } if cseq_method != Some(method.as_str().as_bytes()) => Err(ParseFault::CSeqMethod),
        Start::Request { .. } | Start::Response { .. } => Ok(()),
        Start::Unknown => Err(ParseFault::StartLine),
    }
}

fn each(value: &[u8], good: impl Fn(&[u8]) -> bool) -> bool {
    grammar::split_list(value).all(|element| element.is_ok_and(&good))
}

/// The answer to a request that does not parse: possible when a Via and a CSeq are there to tell its transaction. The
/// Via need not parse, because the answer goes where the request came from. The Reason-Phrase says what is wrong (RFC 3261
/// section 21.4.1).
fn answer(start: &Start, headers: &Headers, fault: &ParseFault) -> Option<Box<Response>> {
    let Start::Request { method, .. } = start else {
        return None;
    };
    if *method == Method::Ack || !headers.has(&HeaderName::Via) || !headers.has(&HeaderName::CSeq) {
        return None;
    }
    // Of a repeated header only the first goes back.
    let mut seen = 0_u16;
    let mut once = Headers::with_capacity(headers.len());
    for header in headers {
        let bit = header.name.single_bit();
        if seen & bit == 0 {
            once.push(header.name.clone(), header.value.clone());
        }
        seen |= bit;
    }
    let mut response = Response::from_headers(&once, fault.status());
    if let (Status::BAD_REQUEST, Ok(reason)) = (response.status, HeaderValue::new(fault.to_string())) {
        response.reason = reason;
    }
    Some(Box::new(response))
}

/// Joins a folded value: each line end with the whitespace around it becomes one SP (RFC 3261 section 7.3.1).
fn unfold(value: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(value.len());
    for line in value.split(|byte| *byte == b'\n') {
        let line = grammar::trim(line.strip_suffix(b"\r").unwrap_or(line));
        if !out.is_empty() && !line.is_empty() {
            out.put_u8(b' ');
        }
        out.put_slice(line);
    }
    out.freeze()
}

/// One logical line: folded lines still hold their CRLFs.
struct Line<'a> {
    text: &'a [u8],
    folded: bool,
}

/// A CR or LF that is not part of CRLF. Whoever reads it as a line end sees other headers than we do.
struct BareLineBreak;

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The next CRLF at or behind `from`.
    fn line_end(&self, from: usize) -> Result<usize, usize> {
        let tail = self.rest.get(from..).unwrap_or_default();
        match memchr::memchr2(b'\r', b'\n', tail) {
            None => Ok(self.rest.len()),
            Some(at) if tail.get(at..at + 2) == Some(b"\r\n") => Ok(from + at),
            Some(at) => Err(from + at),
        }
    }

    fn take(&mut self, end: usize, skip: usize) -> &'a [u8] {
        let (line, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, b""));
        self.rest = rest.get(skip..).unwrap_or_default();
        line
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, BareLineBreak>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut from, mut folded) = (0, false);
        loop {
            match self.line_end(from) {
                Err(at) => {
                    self.take(at, 1);
                    return Some(Err(BareLineBreak));
                }
                Ok(end) => {
                    if self.rest.get(end + 2).copied().is_some_and(grammar::is_space) {
                        (from, folded) = (end + 2, true);
                    } else {
                        return Some(Ok(Line { text: self.take(end, 2), folded }));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
