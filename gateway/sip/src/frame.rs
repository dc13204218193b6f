//! Messages on a stream (RFC 3261 section 18.3, keep-alive of RFC 5626 section 4.4.1).
//!
//! The framer finds where a head ends, lets `parse` decide Content-Length once, and waits for the body. A message that
//! does not parse but whose length is known costs an answer; one whose length is not known costs the connection.

use bytes::BytesMut;

use crate::grammar;
use crate::limits::{MAX_HEAD, MAX_MESSAGE};
use crate::message::{Message, Response};
use crate::parse::{Head, Length, ParseError, ParseFault};

/// What a stream delivered.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// A message that does not parse; the next one still can.
    Malformed(ParseError),
    /// A double CRLF: the peer wants one CRLF back.
    Ping,
    /// A single CRLF: the answer to our ping.
    Pong,
}

/// Why the end of a message cannot be known any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingFault {
    /// The bytes are no SIP at all.
    #[error("the stream does not carry SIP")]
    NotSip,
    /// A LF without CR.
    #[error("a line ends with a bare LF")]
    BareLineBreak,
    /// More than [`MAX_HEAD`] bytes without an empty line.
    #[error("more than {MAX_HEAD} bytes of headers")]
    HeadTooLarge,
    /// The message would be larger than [`MAX_MESSAGE`].
    #[error("a message of more than {MAX_MESSAGE} bytes")]
    MessageTooLarge,
    /// Content-Length is missing, which a stream does not allow.
    #[error("Content-Length is missing")]
    NoContentLength,
    /// Content-Length is no number, or two of them differ.
    #[error("Content-Length is malformed or contradicts itself")]
    ContentLength,
}

/// The stream is lost: send the answer, if there is one, and close.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct FramingError {
    /// Why.
    pub fault: FramingFault,
    /// What the sender should be told.
    pub answer: Option<Box<Response>>,
}

/// Cuts one stream into frames. After an error it yields nothing more.
#[derive(Debug, Default)]
pub struct Framer {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between messages; `half_ping` after one CRLF.
    Between {
        half_ping: bool,
    },
    /// In a head whose first `searched` bytes hold no empty line.
    InHead {
        searched: usize,
    },
    /// The head is read, `length` bytes of body are to come.
    InBody {
        head: Box<Head>,
        length: usize,
    },
    Lost,
}

impl Default for State {
    fn default() -> Self {
        Self::Between { half_ping: false }
    }
}

impl From<FramingError> for ParseError {
    fn from(error: FramingError) -> Self {
        Self { fault: ParseFault::Framing(error.fault), answer: error.answer }
    }
}

impl Framer {
    /// Takes the next frame off `buffer`, or `None` if more bytes are needed. Call it until it gives `None`.
    pub fn push(&mut self, buffer: &mut BytesMut) -> Option<Result<Frame, FramingError>> {
        loop {
            match std::mem::replace(&mut self.state, State::Lost) {
                State::Between { half_ping } => match buffer.as_ref() {
                    [b'\r', b'\n', ..] => {
                        let whole = buffer.as_ref().starts_with(b"\r\n\r\n");
                        let _ = buffer.split_to(if whole { 4 } else { 2 });
                        // The second half of a ping may come in another read; the pong it looked like harms nobody.
                        self.state = State::Between { half_ping: !whole && !half_ping };
                        return Some(Ok(if whole || half_ping { Frame::Ping } else { Frame::Pong }));
                    }
                    [] | [b'\r'] => {
                        self.state = State::Between { half_ping };
                        return None;
                    }
                    [first, ..] if grammar::is_token_char(*first) => self.state = State::InHead { searched: 0 },
                    _ => return Some(Err(FramingError { fault: FramingFault::NotSip, answer: None })),
                },
                State::InHead { searched } => match find_head_end(buffer, searched) {
                    Ok(Some(end)) => {
                        let mut head = buffer.split_to(end);
                        head.truncate(end.saturating_sub(2));
                        match admit(Head::read(&head.freeze()), end) {
                            Ok((head, length)) => self.state = State::InBody { head: Box::new(head), length },
                            Err(error) => return Some(Err(error)),
                        }
                    }
                    Ok(None) if buffer.len() > MAX_HEAD => {
                        return Some(Err(FramingError { fault: FramingFault::HeadTooLarge, answer: None }));
                    }
                    Ok(None) => {
                        self.state = State::InHead { searched: buffer.len() };
                        return None;
                    }
                    Err(fault) => return Some(Err(FramingError { fault, answer: None })),
                },
                State::InBody { head, length } if buffer.len() < length => {
                    self.state = State::InBody { head, length };
                    return None;
                }
                State::InBody { head, length } => {
                    self.state = State::default();
                    let body = buffer.split_to(length).freeze();
                    return Some(Ok(head.finish(body).map_or_else(Frame::Malformed, Frame::Message)));
                }
                State::Lost => return None,
            }
        }
    }

    /// Whether a message has begun and not ended: silence now is a stalled peer, not an idle one.
    pub const fn is_inside_message(&self) -> bool {
        matches!(self.state, State::InHead { .. } | State::InBody { .. })
    }
}

/// Where the head ends, empty line included. Looks only at lines that end behind `searched`.
fn find_head_end(buffer: &[u8], searched: usize) -> Result<Option<usize>, FramingFault> {
    for at in memchr::memchr_iter(b'\n', buffer.get(searched..).unwrap_or_default()) {
        let at = searched + at;
        let before = buffer.get(..at).unwrap_or_default();
        if !before.ends_with(b"\r") {
            return Err(FramingFault::BareLineBreak);
        }
        if at + 1 > MAX_HEAD {
            return Err(FramingFault::HeadTooLarge);
        }
        if before.ends_with(b"\r\n\r") {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// Decides the length of the body, checked against [`MAX_MESSAGE`].
fn admit(head: Head, head_len: usize) -> Result<(Head, usize), FramingError> {
    let fault = match head.length {
        Length::Is(length) => match usize::try_from(length) {
            Ok(length) if length <= MAX_MESSAGE.saturating_sub(head_len) => return Ok((head, length)),
            _ => FramingFault::MessageTooLarge,
        },
        Length::Absent => FramingFault::NoContentLength,
        Length::Bad => FramingFault::ContentLength,
    };
    Err(FramingError { fault, answer: head.refusal(&ParseFault::Framing(fault)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Status;

    const HEAD: &str = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";

    fn frames(text: &str) -> Vec<Result<Frame, FramingError>> {
        let (mut framer, mut buffer) = (Framer::default(), BytesMut::from(text));
        std::iter::from_fn(|| framer.push(&mut buffer)).collect()
    }

    fn fault(text: &str) -> (FramingFault, Option<u16>) {
        match frames(text).pop() {
            Some(Err(error)) => (error.fault, error.answer.map(|answer| answer.status.code())),
            other => panic!("{other:?}"),
        }
    }

    // Rule: sip.framing
    #[test]
    fn two_messages_in_one_read_are_two_frames() {
        let text = format!("{HEAD}Content-Length : 5\r\n\r\nhello{HEAD}l:\r\n 0\r\n\r\n");
        let bodies: Vec<_> = frames(&text)
            .into_iter()
            .map(|frame| match frame {
                Ok(Frame::Message(Message::Request(request))) => request.body,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(bodies, ["hello", ""]);
    }

    // Rule: sip.framing
    #[test]
    fn any_split_of_the_bytes_gives_the_same_frames() {
        let text = format!("\r\n\r\n{HEAD}Content-Length: 5\r\n\r\nhello{HEAD}l: 0\r\n\r\n");
        let whole = frames(&text);
        assert_eq!(whole.len(), 3);
        for split in 1..text.len() {
            let (mut framer, mut buffer, mut seen) = (Framer::default(), BytesMut::new(), Vec::new());
            for part in [&text[..split], &text[split..]] {
                buffer.extend_from_slice(part.as_bytes());
                seen.extend(std::iter::from_fn(|| framer.push(&mut buffer)));
            }
            seen.retain(|frame| *frame != Ok(Frame::Pong));
            assert_eq!(seen, whole, "split at {split}");
        }
    }

    // RFC 5626 section 4.4.1
    // Rule: sip.keep-alive
    #[test]
    fn a_double_line_end_is_a_ping_and_a_single_one_a_pong() {
        assert_eq!(frames("\r\n\r\n"), [Ok(Frame::Ping)]);
        assert_eq!(frames("\r\n"), [Ok(Frame::Pong)]);
    }

    #[test]
    fn a_message_that_does_not_parse_leaves_the_stream_usable() {
        let broken = HEAD.replace("tag=1", ";;");
        let frames = frames(&format!("{broken}l: 2\r\n\r\nab{HEAD}l: 0\r\n\r\n"));
        match &frames[..] {
            [Ok(Frame::Malformed(error)), Ok(Frame::Message(_))] => {
                assert_eq!(error.answer.as_ref().unwrap().status, Status::BAD_REQUEST);
            }
            other => panic!("{other:?}"),
        }
    }

    // Rule: sip.framing
    #[test]
    fn an_unusable_content_length_loses_the_stream_after_an_answer() {
        for (length, expected) in [
            ("", (FramingFault::NoContentLength, Some(400))),
            ("l: -1\r\n", (FramingFault::ContentLength, Some(400))),
            ("l: 1\r\nContent-Length: 2\r\n", (FramingFault::ContentLength, Some(400))),
            ("l: 18446744073709551615\r\n", (FramingFault::MessageTooLarge, Some(513))),
            ("l: 99999999999999999999999\r\n", (FramingFault::MessageTooLarge, Some(513))),
            ("l: 65536\r\n", (FramingFault::MessageTooLarge, Some(513))),
        ] {
            assert_eq!(fault(&format!("{HEAD}{length}\r\n")), expected, "{length}");
        }
        assert_eq!(frames(&format!("{HEAD}l: 1\r\nl: 1\r\n\r\nx")).len(), 1);
    }

    #[test]
    fn what_is_not_sip_is_refused_without_waiting_for_more() {
        assert_eq!(fault("\u{16}\u{3}\u{1}").0, FramingFault::NotSip);
        assert_eq!(fault("GET / HTTP/1.0\n").0, FramingFault::BareLineBreak);
        assert_eq!(fault(&"x".repeat(MAX_HEAD + 1)).0, FramingFault::HeadTooLarge);
        let one_line = format!("OPTIONS sip:h SIP/2.0\r\nA: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        assert_eq!(fault(&one_line).0, FramingFault::HeadTooLarge);
    }

    #[test]
    fn nothing_follows_a_lost_stream() {
        let (mut framer, mut buffer) = (Framer::default(), BytesMut::from(&b"\x16"[..]));
        assert!(framer.push(&mut buffer).unwrap().is_err());
        buffer.clear();
        buffer.extend_from_slice(format!("{HEAD}l: 0\r\n\r\n").as_bytes());
        assert_eq!(framer.push(&mut buffer), None);
    }
}
