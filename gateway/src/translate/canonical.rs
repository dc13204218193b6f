//! Reads stanzas in the canonical form of the edge without building a tree.
//!
//! The edge has checked every byte and printed the stanza again: no prefixes, no comments, no CDATA, namespaces only as
//! `xmlns` where they change. So a scan finds what the translation needs. The scan does not trust that promise with its
//! life: on other input it finds less, and never panics. Reading XML from anybody else is not for this module.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

/// The namespace of every stanza in canonical form.
pub const SERVER: &str = "jabber:server";

/// Elements whose nesting is followed while a subtree is skipped; the edge refuses deeper stanzas.
const MAX_DEPTH: usize = 256;

/// An element of a canonical stanza, borrowed from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    name: &'a str,
    namespace: &'a str,
    attributes: &'a str,
    inner: &'a str,
}

impl<'a> Node<'a> {
    /// The stanza itself. `None` if the bytes are not one element in UTF-8.
    pub fn parse(xml: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(xml).ok()?;
        let (tag, after) = Tag::read(text)?;
        if tag.closing {
            return None;
        }
        let inner = if tag.empty { "" } else { after.get(..after.rfind("</")?)? };
        Some(Self::of(&tag, SERVER, inner))
    }

    fn of(tag: &Tag<'a>, inherited: &'a str, inner: &'a str) -> Self {
        let namespace = raw_attribute(tag.attributes, "xmlns").unwrap_or(inherited);
        Self { name: tag.name, namespace, attributes: tag.attributes, inner }
    }

    /// The local name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The namespace.
    pub fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// Whether the element has this namespace and name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace == namespace
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        raw_attribute(self.attributes, name).map(unescape)
    }

    /// The child elements in order.
    pub fn children(&self) -> Children<'a> {
        Children { rest: self.inner, namespace: self.namespace }
    }

    /// The first child of a namespace and name.
    pub fn child(&self, namespace: &str, name: &str) -> Option<Self> {
        self.children().find(|child| child.is(namespace, name))
    }

    /// The character data directly inside, child elements left out.
    pub fn text(&self) -> Cow<'a, str> {
        if !self.inner.contains('<') {
            return unescape(self.inner);
        }
        let mut text = String::new();
        let mut rest = self.inner;
        while let Some((before, from_tag)) = split_at_tag(rest) {
            text.push_str(&unescape(before));
            let Some((_, _, after)) = subtree(from_tag) else { return Cow::Owned(text) };
            rest = after;
        }
        text.push_str(&unescape(rest));
        Cow::Owned(text)
    }
}

/// The child elements of a [`Node`].
#[derive(Debug, Clone)]
pub struct Children<'a> {
    rest: &'a str,
    namespace: &'a str,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        let (_, from_tag) = split_at_tag(self.rest)?;
        let (tag, inner, after) = subtree(from_tag)?;
        self.rest = after;
        Some(Node::of(&tag, self.namespace, inner))
    }
}

struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
    closing: bool,
    empty: bool,
}

impl<'a> Tag<'a> {
    /// Reads the tag that the text begins with, and returns what follows it.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let text = text.strip_prefix('<')?;
        let (text, closing) = text.strip_prefix('/').map_or((text, false), |rest| (rest, true));
        let end = tag_end(text)?;
        let (inside, after) = (text.get(..end)?, text.get(end + 1..)?);
        let (inside, empty) = inside.strip_suffix('/').map_or((inside, false), |rest| (rest, true));
        let name_end = inside.find([' ', '\t', '\r', '\n']).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at_checked(name_end)?;
        (!name.is_empty()).then_some((Self { name, attributes, closing, empty }, after))
    }
}

/// The position of the `>` that ends a tag: one inside an attribute value does not.
fn tag_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + memchr3(b'>', b'"', b'\'', bytes.get(from..)?)?;
        match bytes.get(at)? {
            b'>' => return Some(at),
            quote => from = at + memchr(*quote, bytes.get(at + 1..)?)? + 2,
        }
    }
}

fn split_at_tag(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(text.find('<')?)
}

/// The tag of the element that the text begins with, its inside, and what follows the element.
fn subtree(text: &str) -> Option<(Tag<'_>, &str, &str)> {
    let (opening, inside) = Tag::read(text)?;
    if opening.closing {
        return None;
    }
    if opening.empty {
        return Some((opening, "", inside));
    }
    let mut depth = 1_usize;
    let mut rest = inside;
    loop {
        let (_, from_tag) = split_at_tag(rest)?;
        let (tag, after) = Tag::read(from_tag)?;
        if tag.closing {
            depth -= 1;
            if depth == 0 {
                return Some((opening, inside.get(..inside.len() - from_tag.len())?, after));
            }
        } else if !tag.empty {
            depth += 1;
            if depth > MAX_DEPTH {
                return None;
            }
        }
        rest = after;
    }
}

fn raw_attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = attributes;
    loop {
        let equals = memchr(b'=', rest.as_bytes())?;
        let quote = *rest.as_bytes().get(equals + 1).filter(|quote| matches!(quote, b'"' | b'\''))?;
        let (key, from_value) = (rest.get(..equals)?, rest.get(equals + 2..)?);
        let value_end = memchr(quote, from_value.as_bytes())?;
        if key.trim_ascii() == name {
            return from_value.get(..value_end);
        }
        rest = from_value.get(value_end + 1..)?;
    }
}

/// Replaces the five predefined entities and character references.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('&') {
        out.push_str(before);
        match from.split_once(';').and_then(|(entity, after)| Some((entity_char(entity)?, after))) {
            Some((character, after)) => {
                out.push(character);
                rest = after;
            }
            None => {
                out.push('&');
                rest = from;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn entity_char(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = entity.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code).filter(|c| is_xml_char(*c))
        }
    }
}

/// Whether XML 1.0 can carry the character.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Appends character data: escaped, and without what XML 1.0 cannot carry.
pub fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xd;"),
            _ if is_xml_char(c) => out.push(c),
            _ => {}
        }
    }
}

/// Appends ` name='value'`, escaped.
pub fn push_attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("='");
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xa;"),
            '\r' => out.push_str("&#xd;"),
            _ if is_xml_char(c) => out.push(c),
            _ => {}
        }
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZA: &str = "<message xmlns='jabber:server' from='a@b/c' id=\"x>'1\"><body xml:lang='en'>1 &lt; 2 &amp;&#x1F600;</body>\
        <x xmlns='jabber:x:data'><body>inner</body><field/></x><subject/>tail</message>";

    #[test]
    fn attributes_children_and_text_are_found() {
        let stanza = Node::parse(STANZA.as_bytes()).unwrap();
        assert!(stanza.is(SERVER, "message"));
        assert_eq!(stanza.attribute("id").unwrap(), "x>'1");
        assert_eq!(stanza.attribute("to"), None);
        let body = stanza.child(SERVER, "body").unwrap();
        assert_eq!((body.text().as_ref(), body.attribute("xml:lang").unwrap().as_ref()), ("1 < 2 &\u{1f600}", "en"));
        assert_eq!(stanza.children().map(|child| child.name()).collect::<Vec<_>>(), ["body", "x", "subject"]);
        assert_eq!(stanza.child("jabber:x:data", "x").unwrap().child("jabber:x:data", "body").unwrap().text(), "inner");
        assert_eq!(stanza.text(), "tail");
    }

    #[test]
    fn what_is_no_stanza_is_not_found_and_never_panics() {
        for text in ["", "<", "<a", "</a>", "<>", "text", "<a b='", "<a><b></a", "<a b=c/>", "\u{1f600}<a/>"] {
            let _ = Node::parse(text.as_bytes()).map(|node| {
                let _ = (node.attribute("x"), node.text().into_owned());
                node.children().count()
            });
        }
        assert!(Node::parse(&[b'<', 0xff, b'/', b'>']).is_none());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = "a'b\"c<d>&\n\u{0}e";
        let mut xml = String::from("<a");
        push_attribute(&mut xml, "v", value);
        xml.push('>');
        push_text(&mut xml, value);
        xml.push_str("</a>");
        let node = Node::parse(xml.as_bytes()).unwrap();
        assert_eq!(node.attribute("v").unwrap(), "a'b\"c<d>&\ne");
        assert_eq!(node.text(), "a'b\"c<d>&\ne");
    }

    fn visit(node: &Node<'_>) -> usize {
        let own = node.attribute("a").is_some() as usize + node.text().len();
        own + node.children().map(|child| visit(&child)).sum::<usize>()
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(text in "[<>/a-c='\" &;#x0-9!\u{fc}]{0,60}") {
            let _ = Node::parse(text.as_bytes()).map(|node| visit(&node));
        }

        #[test]
        fn any_text_survives(text in "\\PC{0,40}") {
            let mut xml = String::from("<a");
            push_attribute(&mut xml, "v", &text);
            xml.push('>');
            push_text(&mut xml, &text);
            xml.push_str("<b/></a>");
            let node = Node::parse(xml.as_bytes()).unwrap();
            let kept: String = text.chars().filter(|c| is_xml_char(*c)).collect();
            proptest::prop_assert_eq!(node.attribute("v").unwrap(), kept.as_str());
            proptest::prop_assert_eq!(node.text(), kept.as_str());
        }
    }
}
