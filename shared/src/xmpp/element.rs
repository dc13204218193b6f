//! Elements as trees, for whatever is not on the hot path: stream negotiation, presence, translation.
//!
//! Reading is as strict as in [`super::stanza`], for it is the same tokenizer; writing gives the same canonical form.
//! Depth is capped by the limits, so a tree is dropped and written by recursion.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::ns;
use super::scope::StreamScope;
use super::stream_error::{StreamCondition, StreamFault};
use super::write;
use super::xml::{self, Token, Tokenizer};
use crate::limits::Limits;

/// A name or namespace name: ours are constants, a peer's are its own.
type Name = Cow<'static, str>;

/// An element with its expanded name, attributes and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    namespace: Name,
    name: Name,
    attributes: Vec<Attribute>,
    nodes: Vec<Node>,
}

/// An attribute with its expanded name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    /// Empty for the many without namespace.
    namespace: Name,
    name: Name,
    value: String,
}

/// What an element contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Another element.
    Element(Element),
    /// Character data; two never follow each other in a tree that was read.
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(namespace: impl Into<Cow<'static, str>>, name: impl Into<Cow<'static, str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into(), attributes: Vec::new(), nodes: Vec::new() }
    }

    /// The same element with an attribute set, replacing one of that name. The prefix `xml:` is understood, others are
    /// not: see [`Self::attr_ns`].
    #[must_use]
    pub fn attr(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.set_attribute(name, value);
        self
    }

    /// The same element with an attribute in a namespace.
    #[must_use]
    pub fn attr_ns(
        mut self,
        namespace: impl Into<Cow<'static, str>>,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.set(namespace.into(), name.into(), value.into());
        self
    }

    /// The same element with an attribute set if there is a value.
    #[must_use]
    pub fn attr_opt(self, name: impl Into<Cow<'static, str>>, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// The same element with one more child.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.push(child);
        self
    }

    /// The same element with more text at its end.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text);
        self
    }

    /// Adds a child at the end.
    pub fn push(&mut self, child: Self) {
        self.nodes.push(Node::Element(child));
    }

    /// Adds text at the end.
    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.nodes.last_mut() {
            Some(Node::Text(last)) => last.push_str(&text),
            Some(Node::Element(_)) | None if !text.is_empty() => self.nodes.push(Node::Text(text)),
            Some(Node::Element(_)) | None => {}
        }
    }

    /// Sets an attribute, replacing one of that name; the prefix `xml:` is understood.
    pub fn set_attribute(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let name = name.into();
        match name.strip_prefix("xml:") {
            Some(local) => self.set(ns::XML.into(), local.to_owned().into(), value.into()),
            None => self.set("".into(), name, value.into()),
        }
    }

    /// Takes an attribute without namespace away.
    pub fn remove_attribute(&mut self, name: &str) {
        self.attributes.retain(|attribute| !(attribute.namespace.is_empty() && attribute.name == name));
    }

    fn set(&mut self, namespace: Name, name: Name, value: String) {
        let known = |attribute: &&mut Attribute| attribute.namespace == namespace && attribute.name == name;
        match self.attributes.iter_mut().find(known) {
            Some(attribute) => attribute.value = value,
            None => self.attributes.push(Attribute { namespace, name, value }),
        }
    }

    /// Whether the element has this expanded name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The name of the namespace, empty for none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name without prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of an attribute without namespace, or of one behind `xml:`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        match name.strip_prefix("xml:") {
            Some(local) => self.attribute_ns(ns::XML, local),
            None => self.attribute_ns("", name),
        }
    }

    /// The value of an attribute in a namespace.
    pub fn attribute_ns(&self, namespace: &str, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|a| a.namespace == namespace && a.name == name)?;
        Some(&found.value)
    }

    /// Content in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Child elements in order.
    pub fn children(&self) -> impl Iterator<Item = &Self> + Clone {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child of an expanded name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<&Self> {
        self.children().find(|child| child.is(namespace, name))
    }

    /// All children of an expanded name.
    pub fn find_all<'s>(&'s self, namespace: &'s str, name: &'s str) -> impl Iterator<Item = &'s Self> + Clone {
        self.children().filter(move |child| child.is(namespace, name))
    }

    /// The element's own text, without that of its children.
    pub fn text_content(&self) -> String {
        self.nodes.iter().fold(String::new(), |mut text, node| {
            if let Node::Text(part) = node {
                text.push_str(part);
            }
            text
        })
    }

    /// Reads exactly one element in the scope of a stream, or in none.
    pub fn parse(bytes: &[u8], scope: &StreamScope, limits: &Limits) -> Result<Self, StreamFault> {
        read_tree(&mut Tokenizer::new(bytes, scope, limits)?)
    }

    /// Writes the canonical form, which stands by itself.
    pub fn write(&self, out: &mut BytesMut) {
        self.write_within(Around { namespace: "", on_stream: false }, out);
    }

    /// Writes the form for a stream whose header is ours: names of the stream and of dialback with their usual
    /// prefixes, which old peers insist on (RFC 6120, section 4.8.5; XEP-0220, section 2.4.1), everything else as in
    /// the canonical form.
    pub fn write_on_stream(&self, out: &mut BytesMut) {
        self.write_within(Around { namespace: ns::SERVER, on_stream: true }, out);
    }

    /// The canonical form.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write(&mut out);
        out.freeze()
    }

    /// The form for a stream, as text.
    pub fn to_stream_string(&self) -> String {
        let mut out = BytesMut::new();
        self.write_on_stream(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn write_within(&self, around: Around<'_>, out: &mut BytesMut) {
        let prefix = match &*self.namespace {
            ns::STREAM if around.on_stream => "stream:",
            ns::DIALBACK if around.on_stream => "db:",
            _ => "",
        };
        for part in ["<", prefix, &self.name] {
            out.extend_from_slice(part.as_bytes());
        }
        let mut within = around;
        if prefix.is_empty() && around.namespace != self.namespace {
            write::attribute(out, "xmlns", &self.namespace);
            within.namespace = &self.namespace;
        }
        self.write_attributes(out);
        if self.nodes.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.extend_from_slice(b">");
        for node in &self.nodes {
            match node {
                Node::Element(element) => element.write_within(within, out),
                Node::Text(text) => write::text(out, text),
            }
        }
        for part in ["</", prefix, &self.name, ">"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    fn write_attributes(&self, out: &mut BytesMut) {
        let mut prefixed: Vec<&str> = Vec::new();
        for attribute in &self.attributes {
            let namespace = &*attribute.namespace;
            if !matches!(namespace, "" | ns::XML) && !prefixed.contains(&namespace) {
                write::attribute(out, &format!("xmlns:ns{}", prefixed.len()), namespace);
                prefixed.push(namespace);
            }
        }
        for attribute in &self.attributes {
            match &*attribute.namespace {
                "" => write::attribute(out, &attribute.name, &attribute.value),
                ns::XML => write::attribute(out, &format!("xml:{}", attribute.name), &attribute.value),
                namespace => {
                    let index = prefixed.iter().position(|known| *known == namespace).unwrap_or_default();
                    write::attribute(out, &format!("ns{index}:{}", attribute.name), &attribute.value);
                }
            }
        }
    }
}

/// What an element inherits from those around it.
#[derive(Clone, Copy)]
struct Around<'a> {
    /// The default namespace in force.
    namespace: &'a str,
    /// Whether the prefixes of our stream header are declared.
    on_stream: bool,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

fn read_tree(tokens: &mut Tokenizer<'_>) -> Result<Element, StreamFault> {
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match tokens.next()? {
            Token::Start => open.push(start(tokens)),
            Token::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.push_text(text.text());
                }
            }
            Token::End(_) => {
                let closed = open.pop();
                match (open.last_mut(), closed) {
                    (Some(parent), Some(element)) => parent.push(element),
                    (None, closed) => root = closed,
                    (Some(_), None) => {}
                }
            }
            Token::Done => break,
        }
    }
    root.ok_or(StreamFault::new(StreamCondition::NotWellFormed, "there is no element"))
}

/// The element whose start tag was just read, without content.
fn start(tokens: &Tokenizer<'_>) -> Element {
    let (namespace, name) = tokens.element().map_or((xml::NONE, ""), |open| (open.namespace, open.local));
    let mut element = Element::new(constant(tokens.namespace_name(namespace)), name.to_owned());
    element.attributes.extend(tokens.attributes().iter().map(|attribute| Attribute {
        namespace: constant(tokens.namespace_name(attribute.namespace)),
        name: attribute.local.to_owned().into(),
        value: attribute.value.text().into_owned(),
    }));
    element
}

/// The namespaces of every other stanza, without a copy.
fn constant(namespace: &str) -> Name {
    match namespace {
        "" => "".into(),
        ns::SERVER => ns::SERVER.into(),
        ns::STREAM => ns::STREAM.into(),
        ns::DIALBACK => ns::DIALBACK.into(),
        ns::XML => ns::XML.into(),
        other => other.to_owned().into(),
    }
}

#[cfg(test)]
mod tests;
