//! Documents that SIP bodies carry, as small trees: PIDF, isComposing, IMDN.
//!
//! Reading is strict about what makes a document dangerous (DTD, entities, size, depth) and generous about the rest.
//! What a document means stands beside its type.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use crate::translate::canonical::is_xml_char;

/// Bytes of a document that is read.
pub const MAX_BYTES: usize = 65_536;
/// Elements open at once.
pub const MAX_DEPTH: usize = 32;
/// Elements of a document.
pub const MAX_ELEMENTS: usize = 4_096;
/// Attributes of an element.
const MAX_ATTRIBUTES: usize = 32;

/// Why a document was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// More than [`MAX_BYTES`].
    #[error("the document is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// More than [`MAX_DEPTH`] levels or [`MAX_ELEMENTS`] elements.
    #[error("the document is too deep or has too many elements")]
    TooComplex,
    /// A document type declaration or an entity.
    #[error("the document declares or uses entities")]
    Entities,
    /// Not well-formed UTF-8 XML.
    #[error("the document is not well-formed")]
    Malformed,
    /// Another root than the type of the document demands.
    #[error("the document's root is of another type")]
    WrongRoot,
}

/// An element of a document; comments, processing instructions and the place of text between children are lost.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) namespace: String,
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Self>,
}

impl Node {
    /// The first child of a namespace and name.
    pub(super) fn child(&self, namespace: &str, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// Whether the element has this namespace and name.
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace == namespace
    }

    /// The value of an attribute by its name as written.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of an attribute by its name without the prefix, whatever that is.
    pub(super) fn attribute_by_local_name(&self, name: &str) -> Option<&str> {
        let is_it = |key: &str| key.rsplit_once(':').map_or(key, |(_, local)| local) == name;
        self.attributes.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value.as_str())
    }
}

/// Builds the tree within the bounds. The depth bound also keeps its destructor from recursing far.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, DocumentFault> {
    if bytes.len() > MAX_BYTES {
        return Err(DocumentFault::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| DocumentFault::Malformed)?;
    if !text.chars().all(is_xml_char) {
        return Err(DocumentFault::Malformed);
    }
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    let mut count = 0_usize;
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|_| DocumentFault::Malformed)?;
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => namespace.as_ref().to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(_) => return Err(DocumentFault::Malformed),
        };
        let closed = match event {
            Event::Start(start) | Event::Empty(start) if root.is_some() => {
                let _ = start;
                return Err(DocumentFault::Malformed);
            }
            Event::Start(start) => {
                open.push(element(namespace, &start)?);
                None
            }
            Event::Empty(start) => Some(element(namespace, &start)?),
            Event::End(_) => Some(open.pop().ok_or(DocumentFault::Malformed)?),
            Event::Text(text) => {
                push_content(open.last_mut(), &text.xml10_content())?;
                None
            }
            Event::CData(data) => {
                push_content(open.last_mut(), &data.xml10_content())?;
                None
            }
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().map_err(|_| DocumentFault::Malformed)? {
                    Some(character) => character,
                    None => predefined(&reference.xml10_content()).ok_or(DocumentFault::Entities)?,
                };
                if !is_xml_char(character) {
                    return Err(DocumentFault::Malformed);
                }
                push_content(open.last_mut(), character.encode_utf8(&mut [0; 4]))?;
                None
            }
            Event::DocType(_) => return Err(DocumentFault::Entities),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            Event::Eof => {
                return if open.is_empty() {
                    root.ok_or(DocumentFault::Malformed)
                } else {
                    Err(DocumentFault::Malformed)
                };
            }
        };
        if open.len() > MAX_DEPTH {
            return Err(DocumentFault::TooComplex);
        }
        if let Some(node) = closed {
            count += 1;
            if count > MAX_ELEMENTS {
                return Err(DocumentFault::TooComplex);
            }
            match open.last_mut() {
                Some(parent) => parent.children.push(node),
                None => root = Some(node),
            }
        }
    }
}

fn element(namespace: String, start: &BytesStart<'_>) -> Result<Node, DocumentFault> {
    let name = start.local_name().as_ref().to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| DocumentFault::Malformed)?;
        if attributes.len() == MAX_ATTRIBUTES {
            return Err(DocumentFault::TooComplex);
        }
        let value =
            attribute.normalized_value(XmlVersion::default()).map_err(|_| DocumentFault::Entities)?.into_owned();
        if !value.chars().all(is_xml_char) {
            return Err(DocumentFault::Malformed);
        }
        attributes.push((attribute.key.as_ref().to_owned(), value));
    }
    Ok(Node { namespace, name, attributes, ..Node::default() })
}

fn push_content(parent: Option<&mut Node>, text: &str) -> Result<(), DocumentFault> {
    match parent {
        Some(parent) => parent.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(DocumentFault::Malformed),
    }
    Ok(())
}

fn predefined(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}
