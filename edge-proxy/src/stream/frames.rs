//! From bytes to what machines are told: headers, elements, stanzas, white space, the end.
//!
//! Before authentication every element is a small tree; after it, stanzas take the fast road, and only what is no
//! stanza becomes a tree. The caller owns the buffer, so that it can be given back while the stream is idle.

use bytes::{Buf as _, Bytes, BytesMut};
use causeway_shared::limits::Limits;
use causeway_shared::xmpp::cutter::{Cut, Cutter};
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::stanza::{self, Checked};
use causeway_shared::xmpp::stream_error::StreamCondition;
use causeway_shared::xmpp::{StreamFault, StreamScope};

/// What the head of the buffer was.
#[derive(Debug)]
pub enum Frame {
    /// A stream header.
    Header(StreamHeader),
    /// An element that is no stanza, or any element before authentication.
    Element(Element),
    /// A stanza on an authenticated stream, in the canonical form.
    Stanza(Checked, Bytes),
    /// White space between elements.
    Whitespace,
    /// The closing tag.
    Close,
}

/// The reader of one stream.
#[derive(Debug)]
pub struct Frames {
    cutter: Cutter,
    scope: StreamScope,
    limits: Limits,
    is_authenticated: bool,
}

impl Frames {
    /// A reader that expects a header.
    pub fn new(limits: Limits) -> Self {
        Self { cutter: Cutter::new(limits), scope: StreamScope::none(), limits, is_authenticated: false }
    }

    /// A new stream begins on the connection: nothing of the old one is kept (RFC 6120, section 4.3.3).
    pub fn restart(&mut self) {
        self.cutter.restart();
        self.scope = StreamScope::none();
    }

    /// Stanzas may come now.
    pub fn authenticated(&mut self) {
        self.is_authenticated = true;
        self.cutter.authenticated();
    }

    /// Takes the next frame out of the buffer, if it is complete. Canonical stanzas are written to `canonical`, of
    /// which each takes its part.
    pub fn next(&mut self, buffer: &mut BytesMut, canonical: &mut BytesMut) -> Result<Option<Frame>, StreamFault> {
        let (range, frame) = match self.cutter.next(buffer) {
            Cut::Need => return Ok(None),
            Cut::Fault(fault) => return Err(fault),
            Cut::Whitespace(range) => (range, Frame::Whitespace),
            Cut::Close(range) => (range, Frame::Close),
            Cut::Header(range) => {
                let header = StreamHeader::parse(slice(buffer, range.start, range.end)?, &self.limits)?;
                self.scope = header.scope.clone();
                (range, Frame::Header(header))
            }
            Cut::Element(range) => {
                let frame = self.element(slice(buffer, range.start, range.end)?, canonical)?;
                (range, frame)
            }
        };
        buffer.advance(range.end.min(buffer.len()));
        Ok(Some(frame))
    }

    fn element(&self, bytes: &[u8], canonical: &mut BytesMut) -> Result<Frame, StreamFault> {
        if self.is_authenticated {
            match stanza::read(bytes, &self.scope, &self.limits, canonical) {
                Ok(checked) => return Ok(Frame::Stanza(checked, canonical.split().freeze())),
                Err(fault) if fault.condition == StreamCondition::UnsupportedStanzaType => {}
                Err(fault) => return Err(fault),
            }
        }
        Element::parse(bytes, &self.scope, &self.limits).map(Frame::Element)
    }
}

/// The cutter's ranges lie within the buffer it saw; another one would be a bug, and ends the stream.
fn slice(buffer: &BytesMut, start: usize, end: usize) -> Result<&[u8], StreamFault> {
    buffer.get(start..end).ok_or(StreamFault::new(StreamCondition::InternalServerError, "the cutter lost its place"))
}
