//! The stanza cutter: where do the header, each first-level element and the stream end?
//!
//! It looks at every byte once, however the network splits them, keeps no bytes of its own, and knows as little XML as
//! the question needs: tags, quotes, CDATA. Judging what it cut is up to [`super::stanza`], [`super::element`] and
//! [`super::header`], which refuse whatever is not exactly one element; so a disagreement can only end in a refusal.
//! Refused here, at the first byte that shows it: comments, processing instructions and DTDs (RFC 6120, section 11.1),
//! text between elements, nesting and elements beyond their limits.

use std::ops::Range;

use memchr::{memchr, memmem};
use quick_xml::parser::{ElementParser, Parser as _};

use super::stream_error::{StreamCondition, StreamFault};
use crate::limits::Limits;

/// What the head of the buffer is. The caller takes the bytes up to the end of the range out of the buffer before it
/// asks again; after [`Cut::Need`] it only appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Not complete yet.
    Need,
    /// The stream header, with an XML declaration if there is one.
    Header(Range<usize>),
    /// A first-level element.
    Element(Range<usize>),
    /// White space between elements: a sign of life (RFC 6120, section 4.6.1).
    Whitespace(Range<usize>),
    /// The closing tag of the stream.
    Close(Range<usize>),
    /// The stream cannot go on; the cutter is of no more use until [`Cutter::restart`].
    Fault(StreamFault),
}

/// Finds the ends of elements in a stream of bytes.
#[derive(Debug, Clone)]
pub struct Cutter {
    limits: Limits,
    /// Whether elements may be as large as stanzas.
    authenticated: bool,
    step: Step,
    /// The next byte to look at.
    at: usize,
    /// Where the tag begins that is being looked at.
    tag: usize,
    depth: Depth,
    /// The name of the root as the header spells it: the closing tag has to repeat it.
    root: Vec<u8>,
}

/// How many elements are open, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// No header yet.
    Before,
    /// In the stream, and in this many elements of a stanza.
    Within(usize),
    /// The stream was closed.
    After,
}

/// Where in the syntax the next byte is.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// White space or text outside of tags.
    Text,
    /// Just after a `<`.
    Markup,
    /// In the XML declaration.
    Declaration,
    /// In a start tag or an empty element's, where quotes hide a `>`.
    Tag(ElementParser),
    /// In an end tag, where nothing does.
    EndTag,
    /// After `<!`: a CDATA section, or something forbidden.
    Bang,
    /// In a CDATA section.
    Cdata,
}

impl Cutter {
    /// A cutter for a new stream, in which nothing is authenticated yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, authenticated: false, step: Step::Text, at: 0, tag: 0, depth: Depth::Before, root: Vec::new() }
    }

    /// The peer is known now: elements may have the size of stanzas.
    pub fn authenticated(&mut self) {
        self.authenticated = true;
    }

    /// Other limits from now on, as after a change of the configuration.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A new stream begins on the same connection (RFC 6120, section 4.3.3). The buffer must be empty.
    pub fn restart(&mut self) {
        self.step = Step::Text;
        self.at = 0;
        self.depth = Depth::Before;
        self.root.clear();
    }

    /// Whether the buffer's head is part of something unfinished, so that an end of the connection here is a loss.
    pub fn is_within_element(&self) -> bool {
        self.at > 0 || matches!(self.depth, Depth::Within(1..))
    }

    /// Looks at what was appended since the last call and tells what the head of the buffer is.
    pub fn next(&mut self, buffer: &[u8]) -> Cut {
        let limit = match self.depth {
            Depth::Before => self.limits.byte_header,
            Depth::Within(_) | Depth::After if self.authenticated => self.limits.byte_stanza,
            Depth::Within(_) | Depth::After => self.limits.byte_pre_auth,
        };
        // Nothing behind the limit is looked at, so what is found does not depend on how much has arrived.
        let within = buffer.get(..=limit).unwrap_or(buffer);
        let cut = self.scan(within).unwrap_or_else(Cut::Fault);
        let length = match &cut {
            Cut::Need => within.len(),
            Cut::Header(range) | Cut::Element(range) | Cut::Close(range) => range.end,
            Cut::Whitespace(_) | Cut::Fault(_) => 0,
        };
        if length > limit {
            return Cut::Fault(StreamFault::new(StreamCondition::PolicyViolation, "an element or header is too large"));
        }
        if !matches!(cut, Cut::Need) {
            self.at = 0;
            self.step = Step::Text;
        }
        cut
    }

    fn scan(&mut self, buffer: &[u8]) -> Result<Cut, StreamFault> {
        loop {
            let rest = buffer.get(self.at..).unwrap_or_default();
            let Some(first) = rest.first() else { return Ok(Cut::Need) };
            match &mut self.step {
                Step::Text => {
                    if let Some(cut) = self.text(rest)? {
                        return Ok(cut);
                    }
                }
                Step::Markup => self.step = self.markup(*first)?,
                Step::Declaration => self.declaration(buffer)?,
                Step::Tag(parser) => match parser.feed(rest) {
                    None => self.at = buffer.len(),
                    Some(end) => {
                        self.at += end + 1;
                        self.step = Step::Text;
                        let tag = buffer.get(self.tag..self.at).unwrap_or_default();
                        if let Some(cut) = self.tag_ends(tag)? {
                            return Ok(cut);
                        }
                    }
                },
                Step::EndTag => match memchr(b'>', rest) {
                    None => self.at = buffer.len(),
                    Some(end) => {
                        self.at += end + 1;
                        self.step = Step::Text;
                        let tag = buffer.get(self.tag..self.at).unwrap_or_default();
                        if let Some(cut) = self.end_tag_ends(tag)? {
                            return Ok(cut);
                        }
                    }
                },
                Step::Bang => {
                    const CDATA: &[u8] = b"![CDATA[";
                    let seen = rest.get(..CDATA.len()).unwrap_or(rest);
                    if !CDATA.starts_with(seen) {
                        return Err(StreamFault::new(StreamCondition::RestrictedXml, "a comment or a DTD"));
                    }
                    if seen.len() < CDATA.len() {
                        return Ok(Cut::Need);
                    }
                    self.at += CDATA.len();
                    self.step = Step::Cdata;
                }
                Step::Cdata => match memmem::find(rest, b"]]>") {
                    Some(end) => {
                        self.at += end + "]]>".len();
                        self.step = Step::Text;
                    }
                    None => {
                        // The end may be cut in two.
                        self.at = self.at.max(buffer.len().saturating_sub("]]".len()));
                        return Ok(Cut::Need);
                    }
                },
            }
        }
    }

    /// Outside of tags: skips text within elements, cuts white space between them.
    fn text(&mut self, rest: &[u8]) -> Result<Option<Cut>, StreamFault> {
        if let Depth::Within(1..) = self.depth {
            match memchr(b'<', rest) {
                Some(offset) => self.markup_begins(offset),
                None => self.at += rest.len(),
            }
            return Ok(None);
        }
        let offset = rest.iter().position(|byte| !is_white_space(*byte)).unwrap_or(rest.len());
        match (self.depth, rest.get(offset)) {
            (Depth::Within(_) | Depth::After, _) if offset > 0 => Ok(Some(Cut::Whitespace(0..offset))),
            (Depth::Before, None) => {
                self.at += offset;
                Ok(None)
            }
            (Depth::Before | Depth::Within(_), Some(b'<')) => {
                self.markup_begins(offset);
                Ok(None)
            }
            (Depth::Before, Some(0x00 | 0xfe | 0xff)) => {
                Err(StreamFault::new(StreamCondition::UnsupportedEncoding, "the stream is not UTF-8"))
            }
            (Depth::Before, Some(_)) => {
                Err(StreamFault::new(StreamCondition::NotWellFormed, "the stream does not begin with a header"))
            }
            (Depth::Within(_), _) => {
                Err(StreamFault::new(StreamCondition::BadFormat, "text between first-level elements"))
            }
            (Depth::After, _) => {
                Err(StreamFault::new(StreamCondition::NotWellFormed, "something after the end of the stream"))
            }
        }
    }

    /// A `<` was found this far from the next byte.
    fn markup_begins(&mut self, offset: usize) {
        self.tag = self.at + offset;
        self.at = self.tag + 1;
        self.step = Step::Markup;
    }

    /// The byte after a `<` says what it begins.
    fn markup(&self, first: u8) -> Result<Step, StreamFault> {
        match (first, self.depth) {
            (b'?', Depth::Before) if self.tag == 0 => Ok(Step::Declaration),
            (b'!', Depth::Within(1..)) => Ok(Step::Bang),
            (b'?' | b'!', _) => {
                Err(StreamFault::new(StreamCondition::RestrictedXml, "a processing instruction, comment or DTD"))
            }
            (b'/', _) => Ok(Step::EndTag),
            _ => Ok(Step::Tag(ElementParser::default())),
        }
    }

    /// The XML declaration, and no other processing instruction; what it says is for the header's reader.
    fn declaration(&mut self, buffer: &[u8]) -> Result<(), StreamFault> {
        const OPEN: &[u8] = b"<?xml";
        let seen = buffer.get(..OPEN.len()).unwrap_or(buffer);
        let named_longer = buffer.get(OPEN.len()).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'-');
        if !OPEN.starts_with(seen) || named_longer {
            return Err(StreamFault::new(StreamCondition::RestrictedXml, "a processing instruction"));
        }
        match memmem::find(buffer, b"?>").filter(|end| *end >= OPEN.len()) {
            Some(end) => {
                self.at = end + "?>".len();
                self.step = Step::Text;
            }
            None => self.at = buffer.len(),
        }
        Ok(())
    }

    /// An end tag is complete, with both brackets. Only the root's name is compared here.
    fn end_tag_ends(&mut self, tag: &[u8]) -> Result<Option<Cut>, StreamFault> {
        let name = tag.strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">")).map(|name| {
            // A form feed is white space to others, and not to XML (production 3).
            let end = name.iter().rposition(|byte| !is_white_space(*byte)).map_or(0, |last| last + 1);
            name.get(..end).unwrap_or_default()
        });
        match self.depth {
            Depth::Within(0) if name == Some(&*self.root) => {
                self.depth = Depth::After;
                Ok(Some(Cut::Close(0..self.at)))
            }
            Depth::Within(depth @ 1..) => {
                self.depth = Depth::Within(depth - 1);
                Ok((depth == 1).then_some(Cut::Element(0..self.at)))
            }
            Depth::Before | Depth::Within(0) | Depth::After => {
                Err(StreamFault::new(StreamCondition::NotWellFormed, "an end tag without a start tag"))
            }
        }
    }

    /// A start tag or an empty element's is complete, with both brackets.
    fn tag_ends(&mut self, tag: &[u8]) -> Result<Option<Cut>, StreamFault> {
        let whole = 0..self.at;
        let is_empty = tag.ends_with(b"/>");
        match self.depth {
            Depth::Before if is_empty => {
                Err(StreamFault::new(StreamCondition::NotWellFormed, "the stream is closed by its own header"))
            }
            Depth::Before => {
                let name = tag.get(1..).unwrap_or_default();
                let length = name.iter().position(|byte| is_white_space(*byte) || *byte == b'>');
                self.root = name.get(..length.unwrap_or_default()).unwrap_or_default().to_vec();
                self.depth = Depth::Within(0);
                Ok(Some(Cut::Header(whole)))
            }
            Depth::Within(depth) if depth >= self.limits.depth => {
                Err(StreamFault::new(StreamCondition::PolicyViolation, "elements are nested too deeply"))
            }
            Depth::Within(0) if is_empty => Ok(Some(Cut::Element(whole))),
            Depth::Within(_) if is_empty => Ok(None),
            Depth::Within(depth) => {
                self.depth = Depth::Within(depth + 1);
                Ok(None)
            }
            Depth::After => Err(StreamFault::new(StreamCondition::NotWellFormed, "an element after the stream's end")),
        }
    }
}

/// XML 1.0, production 3.
const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
