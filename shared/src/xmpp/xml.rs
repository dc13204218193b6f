//! The tokenizer: one strict pass over one element (XML 1.0 and Namespaces in XML 1.0, as RFC 6120, section 11
//! restricts them).
//!
//! Everything is borrowed from the input, which is checked to be UTF-8 before. Nothing is resolved that need not be: a
//! value without references is the slice it was. Both readers of XML in this crate stand on it, so they cannot
//! disagree; the limits are kept here, too.
//!
//! Refused although XML allows it: comments, processing instructions, declarations and DTDs, all entities but the five
//! predefined ones, elements in the namespace of the prefix `xml`, control characters in namespace names, and names in
//! `jabber:server` behind a prefix (RFC 6120, section 4.8.5).

mod characters;
mod text;

use std::borrow::Cow;

pub(super) use self::characters::{ESCAPED_IN_TEXT, ESCAPED_IN_VALUE, is, is_char};
use self::characters::{NAME, NAME_START, SPECIAL_IN_TEXT, SPECIAL_IN_VALUE, is_name_extender, is_name_start};
pub(super) use self::text::{Piece, Text, Value};
use self::text::{Reference, resolve_reference};
use super::ns;
use super::scope::StreamScope;
use super::stream_error::{StreamCondition, StreamFault};
use crate::limits::Limits;

/// The most that [`Limits::depth`] can ask for: trees of that depth are still built and dropped by recursion.
const MAX_DEPTH: usize = 512;

/// What the tokenizer found next.
pub(super) enum Token<'a> {
    /// A start tag, or an empty element's: [`Tokenizer::element`] and [`Tokenizer::attributes`] describe it.
    Start,
    /// Character data between two tags; several may follow each other.
    Text(Text<'a>),
    /// The end of the innermost open element, by its name without prefix.
    End(&'a str),
    /// The root has ended, and so has the input.
    Done,
}

/// An attribute as it was written; declarations of namespaces are not among them.
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) local: &'a str,
    prefix: &'a str,
    /// The namespace of the name, as an index; [`NONE`] without prefix.
    pub(super) namespace: Namespace,
    pub(super) value: Value<'a>,
}

/// A namespace that is in scope while its element is open. Two are equal if and only if their names are: comparing
/// names is for declarations, which are few, so that elements and attributes compare numbers.
///
/// Numbers below [`RESERVED`] are well known, those after them count the declarations of the stream, then those of the
/// elements that are open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Namespace(usize);

/// No namespace at all.
pub(super) const NONE: Namespace = Namespace(0);
/// The namespace of the prefix `xml`.
pub(super) const XML: Namespace = Namespace(1);
/// `jabber:server`.
pub(super) const SERVER: Namespace = Namespace(2);
/// The namespace of the stream itself.
pub(super) const STREAM: Namespace = Namespace(3);

/// The names of the well known namespaces, by number.
const RESERVED: [&str; 4] = ["", ns::XML, ns::SERVER, ns::STREAM];

struct Binding<'a> {
    prefix: &'a str,
    name: Cow<'a, str>,
    /// The first namespace of this name.
    namespace: Namespace,
}

/// An element whose end has not come yet.
#[derive(Clone, Copy)]
pub(super) struct Open<'a> {
    /// The name as written, which the end tag has to repeat.
    qualified: &'a str,
    pub(super) local: &'a str,
    pub(super) namespace: Namespace,
    /// How many bindings there were before this element's own.
    bindings: usize,
    /// The default namespace around this element.
    outer_default: Namespace,
}

enum State {
    /// Before the root's `<`.
    Root,
    /// Inside an element.
    Content,
    /// Just after an empty element's tag: its end is still to be told.
    Empty,
    /// After the root.
    Finished,
}

/// The tokenizer of one element.
pub(super) struct Tokenizer<'a> {
    text: &'a str,
    at: usize,
    state: State,
    limits: &'a Limits,
    scope: &'a StreamScope,
    /// Declarations of the elements that are open.
    bindings: Vec<Binding<'a>>,
    /// The default namespace in force.
    default: Namespace,
    /// Declarations so far, in this element and those already closed.
    declared: usize,
    nodes: usize,
    open: Vec<Open<'a>>,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> Tokenizer<'a> {
    /// Checks the encoding and prepares to read one element in a scope.
    /// What bounds the reading.
    pub(super) const fn limits(&self) -> &'a Limits {
        self.limits
    }

    pub(super) fn new(bytes: &'a [u8], scope: &'a StreamScope, limits: &'a Limits) -> Result<Self, StreamFault> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| StreamFault::new(StreamCondition::UnsupportedEncoding, "the bytes are not UTF-8"))?;
        let mut tokenizer = Self {
            text,
            at: 0,
            state: State::Root,
            limits,
            scope,
            bindings: Vec::with_capacity(4),
            default: NONE,
            declared: 0,
            nodes: 0,
            open: Vec::with_capacity(8),
            attributes: Vec::with_capacity(8),
        };
        tokenizer.default = tokenizer.named(&scope.default).unwrap_or(NONE);
        Ok(tokenizer)
    }

    /// The next token. After an `Err` the tokenizer is of no more use.
    pub(super) fn next(&mut self) -> Result<Token<'a>, StreamFault> {
        match self.state {
            State::Content => self.content(),
            State::Empty => Ok(Token::End(self.close())),
            State::Root => {
                if self.peek() == Some(b'<') {
                    self.at += 1;
                    self.tag()
                } else {
                    Err(not_well_formed("the element does not begin with a tag"))
                }
            }
            State::Finished => {
                if self.at == self.text.len() {
                    Ok(Token::Done)
                } else {
                    Err(not_well_formed("there is something after the end of the element"))
                }
            }
        }
    }

    /// The element whose start was told last, or whose content is being told.
    pub(super) fn element(&self) -> Option<Open<'a>> {
        self.open.last().copied()
    }

    /// The namespace of the element around the one whose start was told last; of no element, no namespace.
    pub(super) fn outer_namespace(&self) -> Namespace {
        self.open.iter().rev().nth(1).map_or(NONE, |open| open.namespace)
    }

    /// The attributes of the start tag that was told last.
    pub(super) fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// The name of a namespace that some open element has in scope.
    pub(super) fn namespace_name(&self, namespace: Namespace) -> &str {
        let number = namespace.0;
        if let Some(name) = RESERVED.get(number) {
            name
        } else if let Some((_, name)) = self.scope.prefixes.get(number - RESERVED.len()) {
            name
        } else {
            match number.checked_sub(self.own_declarations() + 1) {
                Some(index) => self.bindings.get(index).map_or("", |binding| &*binding.name),
                None => &self.scope.default,
            }
        }
    }

    /// Where the numbers of the stream's declarations end: at its default namespace, after which ours follow.
    fn own_declarations(&self) -> usize {
        RESERVED.len() + self.scope.prefixes.len()
    }

    /// The namespace of a name, if there is one in scope.
    fn named(&self, name: &str) -> Option<Namespace> {
        let is_equal = |other: &str| other.len() == name.len() && other == name;
        if let Some(number) = RESERVED.iter().position(|other| is_equal(other)) {
            return Some(Namespace(number));
        }
        if let Some(index) = self.scope.prefixes.iter().position(|(_, other)| is_equal(other)) {
            return Some(Namespace(RESERVED.len() + index));
        }
        if is_equal(&self.scope.default) {
            return Some(Namespace(self.own_declarations()));
        }
        self.bindings.iter().find(|binding| is_equal(&binding.name)).map(|binding| binding.namespace)
    }

    /// Whether the input ends here, with the element just told still open: so ends a stream header.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len() && matches!(self.state, State::Content)
    }

    /// The declarations of the elements that are open, outermost first: prefix (empty for the default) and name.
    pub(super) fn declarations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().map(|binding| (binding.prefix, &*binding.name))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    fn content(&mut self) -> Result<Token<'a>, StreamFault> {
        if self.peek() != Some(b'<') {
            return self.character_data();
        }
        self.at += 1;
        match self.peek() {
            Some(b'/') => {
                self.at += 1;
                self.end_tag()
            }
            Some(b'!') => self.cdata(),
            _ => self.tag(),
        }
    }

    /// Text up to the next tag (XML 1.0, production 14).
    fn character_data(&mut self) -> Result<Token<'a>, StreamFault> {
        self.count_node()?;
        let from = self.at;
        let mut plain = true;
        loop {
            let Some(byte) = self.peek() else {
                return Err(not_well_formed("an element is not closed"));
            };
            if !is(byte, SPECIAL_IN_TEXT) {
                self.at += 1;
                continue;
            }
            match byte {
                b'<' => break,
                b'&' => {
                    self.reference()?;
                    plain = false;
                }
                b'>' => {
                    if self.slice(from, self.at).ends_with("]]") {
                        return Err(not_well_formed("]]> in text"));
                    }
                    plain = false;
                    self.at += 1;
                }
                b'\r' => {
                    plain = false;
                    self.at += 1;
                }
                _ => self.character(byte)?,
            }
        }
        Ok(Token::Text(Text { raw: self.slice(from, self.at), plain, cdata: false }))
    }

    /// A CDATA section (XML 1.0, production 18); what else begins with `<!` is forbidden on streams.
    fn cdata(&mut self) -> Result<Token<'a>, StreamFault> {
        const OPEN: &str = "![CDATA[";
        if !self.slice(self.at, self.text.len()).starts_with(OPEN) {
            return Err(StreamFault::new(StreamCondition::RestrictedXml, "a comment or a DTD"));
        }
        self.count_node()?;
        self.at += OPEN.len();
        let from = self.at;
        let mut plain = true;
        loop {
            let Some(byte) = self.peek() else {
                return Err(not_well_formed("a CDATA section is not closed"));
            };
            match byte {
                b']' if self.slice(self.at, self.text.len()).starts_with("]]>") => break,
                b'<' | b'&' | b'>' | b'\r' => {
                    plain = false;
                    self.at += 1;
                }
                _ if is(byte, SPECIAL_IN_TEXT) => self.character(byte)?,
                _ => self.at += 1,
            }
        }
        let raw = self.slice(from, self.at);
        self.at += "]]>".len();
        Ok(Token::Text(Text { raw, plain, cdata: true }))
    }

    /// The rest of an end tag after `</` (XML 1.0, production 42).
    fn end_tag(&mut self) -> Result<Token<'a>, StreamFault> {
        let Some(open) = self.open.last() else {
            return Err(not_well_formed("an end tag without a start tag"));
        };
        let rest = self.slice(self.at, self.text.len());
        if !rest.starts_with(open.qualified) {
            return Err(not_well_formed("an end tag does not match its start tag"));
        }
        self.at += open.qualified.len();
        self.white_space();
        if self.peek() != Some(b'>') {
            return Err(not_well_formed("an end tag does not match its start tag"));
        }
        self.at += 1;
        Ok(Token::End(self.close()))
    }

    fn close(&mut self) -> &'a str {
        let closed = self.open.pop();
        if let Some(open) = closed {
            self.bindings.truncate(open.bindings);
            self.default = open.outer_default;
        }
        self.state = if self.open.is_empty() { State::Finished } else { State::Content };
        closed.map_or("", |open| open.local)
    }

    /// The rest of a start tag or an empty element's tag after `<` (XML 1.0, productions 40 and 44).
    fn tag(&mut self) -> Result<Token<'a>, StreamFault> {
        if matches!(self.peek(), Some(b'!' | b'?')) {
            return Err(StreamFault::new(StreamCondition::RestrictedXml, "a processing instruction, comment or DTD"));
        }
        self.count_node()?;
        if self.open.len() >= self.limits.depth.min(MAX_DEPTH) {
            return Err(policy("elements are nested too deeply"));
        }
        let from = self.at;
        let (prefix, local) = self.qualified_name()?;
        let qualified = self.slice(from, self.at);
        let (bindings, outer_default) = (self.bindings.len(), self.default);
        self.attributes.clear();
        let mut count = 0;
        loop {
            let spaced = self.white_space();
            match self.peek() {
                Some(b'>') => {
                    self.at += 1;
                    self.state = State::Content;
                    break;
                }
                Some(b'/') => {
                    self.at += 1;
                    if self.peek() != Some(b'>') {
                        return Err(not_well_formed("a slash inside a tag"));
                    }
                    self.at += 1;
                    self.state = State::Empty;
                    break;
                }
                Some(_) if spaced => {
                    count += 1;
                    if count > self.limits.attributes {
                        return Err(policy("an element has too many attributes"));
                    }
                    self.attribute(bindings)?;
                }
                Some(_) => return Err(not_well_formed("no white space between attributes, or an odd name")),
                None => return Err(not_well_formed("a tag is not closed")),
            }
        }
        let namespace = if prefix.is_empty() {
            self.default
        } else if prefix == "xmlns" {
            return Err(not_well_formed("the prefix xmlns on an element"));
        } else {
            let namespace = self.resolve(prefix)?;
            if matches!(namespace, SERVER | XML) {
                return Err(StreamFault::new(
                    StreamCondition::BadNamespacePrefix,
                    "an element of jabber:server, or of the namespace of xml, behind a prefix",
                ));
            }
            namespace
        };
        self.resolve_attributes()?;
        self.open.push(Open { qualified, local, namespace, bindings, outer_default });
        Ok(Token::Start)
    }

    /// One attribute or namespace declaration (XML 1.0, production 41).
    fn attribute(&mut self, own_bindings: usize) -> Result<(), StreamFault> {
        let (prefix, local) = self.qualified_name()?;
        self.white_space();
        if self.peek() != Some(b'=') {
            return Err(not_well_formed("an attribute without a value"));
        }
        self.at += 1;
        self.white_space();
        let value = self.value()?;
        if prefix == "xmlns" || (prefix.is_empty() && local == "xmlns") {
            let prefix = if prefix.is_empty() { "" } else { local };
            self.declare(prefix, value, own_bindings)
        } else {
            self.attributes.push(Attribute { local, prefix, namespace: NONE, value });
            Ok(())
        }
    }

    /// A quoted value (XML 1.0, production 10).
    fn value(&mut self) -> Result<Value<'a>, StreamFault> {
        let Some(quote @ (b'"' | b'\'')) = self.peek() else {
            return Err(not_well_formed("an attribute's value is not quoted"));
        };
        self.at += 1;
        let from = self.at;
        let mut plain = true;
        loop {
            let Some(byte) = self.peek() else {
                return Err(not_well_formed("an attribute's value is not closed"));
            };
            if !is(byte, SPECIAL_IN_VALUE) {
                self.at += 1;
                continue;
            }
            match byte {
                _ if byte == quote => break,
                b'"' => self.at += 1,
                b'\'' | b'\t' | b'\n' | b'\r' => {
                    plain = false;
                    self.at += 1;
                }
                b'<' => return Err(not_well_formed("< in an attribute's value")),
                b'&' => {
                    self.reference()?;
                    plain = false;
                }
                _ => self.character(byte)?,
            }
        }
        let value = Value { raw: self.slice(from, self.at), plain };
        self.at += 1;
        if value.raw.len() > self.limits.attribute_value && value.text().len() > self.limits.attribute_value {
            return Err(policy("an attribute's value is too long"));
        }
        Ok(value)
    }

    /// Binds a prefix, or the default when it is empty (Namespaces in XML 1.0, sections 3 and 6).
    fn declare(&mut self, prefix: &'a str, value: Value<'a>, own_bindings: usize) -> Result<(), StreamFault> {
        let name = value.text();
        if self.bindings.iter().skip(own_bindings).any(|binding| binding.prefix == prefix) {
            return Err(not_well_formed("a prefix is declared twice on one element"));
        }
        if prefix == "xmlns" || &*name == ns::XMLNS {
            return Err(not_well_formed("the prefix xmlns or its namespace is declared"));
        }
        if (prefix == "xml") != (&*name == ns::XML) {
            return Err(not_well_formed("the prefix xml or its namespace is bound to another"));
        }
        if name.is_empty() && !prefix.is_empty() {
            return Err(not_well_formed("a prefix is bound to nothing"));
        }
        if name.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(not_well_formed("a control character in a namespace name"));
        }
        self.declared += 1;
        if self.declared > self.limits.namespaces {
            return Err(policy("too many namespace declarations"));
        }
        let own = Namespace(self.own_declarations() + 1 + self.bindings.len());
        let namespace = self.named(&name).unwrap_or(own);
        if prefix.is_empty() {
            self.default = namespace;
        }
        self.bindings.push(Binding { prefix, name, namespace });
        Ok(())
    }

    /// Attributes get their namespaces, and no two may have one expanded name (Namespaces in XML 1.0, section 6.3).
    fn resolve_attributes(&mut self) -> Result<(), StreamFault> {
        for index in 0..self.attributes.len() {
            let Some(mut attribute) = self.attributes.get(index).copied() else { break };
            if !attribute.prefix.is_empty() {
                attribute.namespace = self.resolve(attribute.prefix)?;
                if let Some(place) = self.attributes.get_mut(index) {
                    *place = attribute;
                }
            }
            let twice = self.attributes.iter().take(index).any(|other| {
                other.namespace == attribute.namespace
                    && other.local.len() == attribute.local.len()
                    && other.local.as_bytes().first() == attribute.local.as_bytes().first()
                    && other.local == attribute.local
            });
            if twice {
                return Err(not_well_formed("an attribute stands twice on one element"));
            }
        }
        Ok(())
    }

    /// What a prefix is bound to, innermost first.
    fn resolve(&self, prefix: &str) -> Result<Namespace, StreamFault> {
        if prefix == "xml" {
            return Ok(XML);
        }
        if let Some(binding) = self.bindings.iter().rev().find(|binding| binding.prefix == prefix) {
            return Ok(binding.namespace);
        }
        let of_stream = self.scope.prefixes.iter().find(|(known, _)| &**known == prefix);
        of_stream.and_then(|(_, name)| self.named(name)).ok_or(not_well_formed("a prefix is not bound"))
    }

    /// A name with at most one colon and something on both sides of it (Namespaces in XML 1.0, production 7).
    fn qualified_name(&mut self) -> Result<(&'a str, &'a str), StreamFault> {
        let from = self.at;
        let mut colon = None;
        let mut starts = true;
        while let Some(byte) = self.peek() {
            let class = if starts { NAME_START } else { NAME };
            if is(byte, class) {
                starts = false;
                self.at += 1;
            } else if byte == b':' {
                if starts || colon.is_some() {
                    return Err(not_well_formed("a colon in an odd place of a name"));
                }
                colon = Some(self.at);
                starts = true;
                self.at += 1;
            } else if byte >= 0x80 {
                self.name_character(starts)?;
                starts = false;
            } else {
                break;
            }
        }
        if starts {
            return Err(not_well_formed("a name is missing or begins with a character no name may begin with"));
        }
        if self.at - from > self.limits.name {
            return Err(policy("a name is too long"));
        }
        Ok(match colon {
            None => ("", self.slice(from, self.at)),
            Some(colon) => (self.slice(from, colon), self.slice(colon + 1, self.at)),
        })
    }

    /// A character beyond ASCII in a name.
    fn name_character(&mut self, starts: bool) -> Result<(), StreamFault> {
        let character = self.slice(self.at, self.text.len()).chars().next().unwrap_or_default();
        if is_name_start(character) || (!starts && is_name_extender(character)) {
            self.at += character.len_utf8();
            Ok(())
        } else {
            Err(not_well_formed("a character that no name may hold"))
        }
    }

    /// A reference: one of the five entities, or a character (XML 1.0, productions 66 and 68).
    fn reference(&mut self) -> Result<(), StreamFault> {
        let rest = self.slice(self.at, self.text.len());
        match resolve_reference(rest) {
            Reference::Character(_, length) => {
                self.at += length;
                Ok(())
            }
            Reference::UnknownEntity => {
                Err(StreamFault::new(StreamCondition::RestrictedXml, "an entity that is not predefined"))
            }
            Reference::Malformed => Err(not_well_formed("a stray & or a reference to no character")),
        }
    }

    /// A byte that may be part of a character XML forbids: a control character, or the lead byte of U+FFFE and U+FFFF.
    fn character(&mut self, byte: u8) -> Result<(), StreamFault> {
        if byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r') {
            return Err(not_well_formed("a control character"));
        }
        if byte == 0xef && self.slice(self.at, self.text.len()).starts_with(['\u{fffe}', '\u{ffff}']) {
            return Err(not_well_formed("a character that is none"));
        }
        // Only single bytes and the three of U+F000 to U+FFFF come here.
        self.at += if byte == 0xef { 3 } else { 1 };
        Ok(())
    }

    fn white_space(&mut self) -> bool {
        let from = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.at != from
    }

    fn count_node(&mut self) -> Result<(), StreamFault> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(policy("too many elements and runs of text")) } else { Ok(()) }
    }
}

const fn not_well_formed(cause: &'static str) -> StreamFault {
    StreamFault::new(StreamCondition::NotWellFormed, cause)
}

const fn policy(cause: &'static str) -> StreamFault {
    StreamFault::new(StreamCondition::PolicyViolation, cause)
}
