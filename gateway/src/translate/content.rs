//! What a SIP body says, whatever brought it: a MESSAGE outside of dialogs (RFC 3428) or inside one, or a SEND of MSRP
//! (RFC 4975); and the bodies that the gateway writes.
//!
//! Read: text (RFC 7572, section 7), also in a CPIM wrapping (RFC 3862), "is composing" (RFC 3994) and notifications
//! about messages (RFC 5438). Everything else is refused with what is accepted. Not here: header fields of SIP, and what
//! a stanza makes of it (`message_stanza`).

use std::borrow::Cow;

use bytes::Bytes;
use causeway_sip::field::MediaType;
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::Status;

use super::date;
use crate::body::cpim::{self, CpimFault, Fields, Kind, Wishes, Wrapping};
use crate::body::html;
use crate::body::imdn::{self, About, Disposition, Imdn};
use crate::body::is_composing::{self, IsComposing};
use crate::body::text::{self, TextFault};

/// The Accept header of a 415, and what an offer of a session says it takes.
pub const ACCEPT: &str = "text/plain, text/html, multipart/alternative, message/cpim, application/im-iscomposing+xml";

/// The Content-Type of what we write ourselves.
const TEXT: &str = "text/plain;charset=UTF-8";

/// What a body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'b> {
    /// Something to read.
    Text(Text<'b>),
    /// Whether the sender writes.
    Composing(IsComposing),
    /// What became of a message of the recipient's.
    Notification(Imdn),
    /// Nothing: an empty text.
    Nothing,
}

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'b> {
    /// The text, perhaps blank if there is a subject.
    pub body: Cow<'b, str>,
    /// The inside of an XHTML-IM body, if that was wanted and there are marks.
    pub xhtml: Option<String>,
    /// What the wrapping says, if there is one.
    pub wrapping: Option<Box<Fields>>,
}

impl Text<'_> {
    /// When it was written, by the wrapping.
    pub fn sent_ms(&self) -> Option<u64> {
        date::read_timestamp(self.wrapping.as_ref()?.date_time.as_deref()?)
    }
}

/// Choices about reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Whether HTML becomes XHTML-IM besides its text.
    pub with_xhtml: bool,
}

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentRefusal {
    /// 415: nothing that XMPP could carry.
    #[error("the content type is not supported")]
    UnsupportedType,
    /// 400: not what its type says.
    #[error("the body does not follow its content type")]
    Malformed,
}

impl ContentRefusal {
    /// The status, which MSRP numbers alike (RFC 4975, section 10).
    pub const fn status(self) -> Status {
        match self {
            Self::UnsupportedType => Status::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed => Status::BAD_REQUEST,
        }
    }

    /// The answer to a request; a 415 says what is taken (RFC 3428, section 9).
    pub fn response(self, request: &Request) -> Response {
        let response = Response::to(request, self.status());
        match self {
            Self::UnsupportedType => response.with(HeaderName::Accept, HeaderValue::from_static(ACCEPT)),
            Self::Malformed => response,
        }
    }
}

impl From<TextFault> for ContentRefusal {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::UnsupportedType => Self::UnsupportedType,
            TextFault::Malformed => Self::Malformed,
        }
    }
}

/// Reads a body of this Content-Type; no type means text/plain.
pub fn read_content<'b>(
    content_type: Option<&MediaType>,
    body: &'b [u8],
    reading: Reading,
) -> Result<Content<'b>, ContentRefusal> {
    match content_type {
        Some(kind) if kind.is("message", "cpim") => read_wrapped(body, reading),
        kind => read_bare(kind, body, reading),
    }
}

fn read_bare<'b>(
    content_type: Option<&MediaType>,
    body: &'b [u8],
    reading: Reading,
) -> Result<Content<'b>, ContentRefusal> {
    match content_type {
        Some(kind) if kind.is("application", "im-iscomposing+xml") => {
            IsComposing::read(body).map(Content::Composing).map_err(|_| ContentRefusal::Malformed)
        }
        Some(kind) if kind.is("message", "imdn+xml") => {
            Imdn::read(body).map(Content::Notification).map_err(|_| ContentRefusal::Malformed)
        }
        kind => {
            let text = text::read(kind, body)?;
            if text.plain.trim().is_empty() {
                return Ok(Content::Nothing);
            }
            let xhtml = text.html.as_deref().filter(|_| reading.with_xhtml).and_then(html::to_xhtml);
            Ok(Content::Text(Text { body: text.plain, xhtml, wrapping: None }))
        }
    }
}

/// A wrapping inside a wrapping is refused as an unknown type.
fn read_wrapped(body: &[u8], reading: Reading) -> Result<Content<'_>, ContentRefusal> {
    let message = cpim::Message::read(body).map_err(|fault| match fault {
        CpimFault::Malformed => ContentRefusal::Malformed,
        CpimFault::Requirement => ContentRefusal::UnsupportedType,
    })?;
    let inner = MediaType::parse(&Bytes::copy_from_slice(message.content_type.as_bytes()));
    let inner = inner.map_err(|_| ContentRefusal::Malformed)?;
    match read_bare(Some(&inner), message.content, reading)? {
        Content::Text(text) => Ok(Content::Text(Text { wrapping: Some(Box::new(message.fields)), ..text })),
        Content::Nothing if message.fields.subject.as_deref().is_some_and(|subject| !subject.trim().is_empty()) => {
            let wrapping = Some(Box::new(message.fields));
            Ok(Content::Text(Text { body: Cow::Borrowed(""), xhtml: None, wrapping }))
        }
        content @ (Content::Composing(_) | Content::Notification(_) | Content::Nothing) => Ok(content),
    }
}

/// A body to send, with its Content-Type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipBody {
    /// Content-Type.
    pub content_type: HeaderValue,
    /// The body.
    pub bytes: Bytes,
}

impl SipBody {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self { content_type: HeaderValue::from_static(TEXT), bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    /// A text in a wrapping that asks for notifications (RFC 5438, section 7.1.1).
    pub fn wrapped_text(text: &str, ends: Ends<'_>, asking: Asking<'_>) -> Self {
        let wrapping = Wrapping {
            from: ends.from,
            to: ends.to,
            date_time: &date::write_timestamp(asking.sent_ms),
            subject: asking.subject,
            message_id: asking.message_id,
            kind: Kind::Text { wishes: asking.wishes },
            content_type: TEXT,
        };
        Self {
            content_type: HeaderValue::from_static(cpim::CONTENT_TYPE),
            bytes: wrapping.write(text.as_bytes()).into(),
        }
    }

    /// A status message of RFC 3994.
    pub fn composing(status: IsComposing) -> Self {
        Self { content_type: HeaderValue::from_static(is_composing::CONTENT_TYPE), bytes: status.write() }
    }

    /// What became of a message that came in this wrapping (RFC 5438, section 7.2.1). `None` if it had no Message-ID.
    pub fn notification(
        about: &Fields,
        disposition: Disposition,
        ends: Ends<'_>,
        message_id: &str,
        now_ms: u64,
    ) -> Option<Self> {
        let now = date::write_timestamp(now_ms);
        let about_message = About {
            message_id: about.message_id.as_deref()?,
            // The sender must give one (section 7.1.1.2); without it, the time of now is the best there is.
            date_time: about.date_time.as_deref().unwrap_or(&now),
            recipient: about.to.as_deref().filter(|to| !to.is_empty()),
            original_recipient: about.original_to.as_deref(),
        };
        let wrapping = Wrapping {
            from: ends.from,
            to: ends.to,
            date_time: &now,
            subject: None,
            message_id,
            kind: Kind::Notification { route: &about.record_route },
            content_type: imdn::CONTENT_TYPE,
        };
        let bytes = wrapping.write(&Imdn::write(about_message, disposition));
        Some(Self { content_type: HeaderValue::from_static(cpim::CONTENT_TYPE), bytes: bytes.into() })
    }
}

/// The URIs of a wrapping.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// The sender's.
    pub from: &'a str,
    /// The recipient's.
    pub to: &'a str,
}

/// What a wrapped text asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Message-ID: a token.
    pub message_id: &'a str,
    /// What its sender wants to hear.
    pub wishes: Wishes,
    /// When it was written.
    pub sent_ms: u64,
    /// Its subject.
    pub subject: Option<&'a str>,
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
