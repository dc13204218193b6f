//! What `Export-Clixml` writes ([MS-PSRP], section 2.2.5): `Objs`, with an `Obj` for each object.
//!
//! A small tree is read first, within bounds; then objects are made of it. Type names and objects that were written
//! before are referred to by number (`TNRef`, `Ref`). Not here: dictionaries, progress records and script blocks, which
//! no property of ours is.

use std::collections::HashMap;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::encoding::line_of;
use super::value::{Object, Value};
use super::{Fault, FaultCause, MAX_OBJECTS};

/// Elements open at once: PowerShell writes two levels of objects, four elements each, unless told otherwise.
const MAX_DEPTH: usize = 64;
/// Elements of a file: a partner has about 40.
const MAX_ELEMENTS: usize = 1_000_000;
/// Objects that one value may lie within, references included; what lies deeper is of no interest.
const MAX_NESTING: usize = 8;
/// Values made of a file: references may multiply what is written, but not without end.
const MAX_VALUES: usize = 2 * MAX_ELEMENTS;

/// The objects of a text.
pub(super) fn objects(text: &str) -> Result<Vec<Object>, Fault> {
    let root = tree(text)?;
    if root.name != "Objs" {
        return Err((Some(1), FaultCause::Root { found: root.name }));
    }
    let mut known = Known::default();
    let mut objects = Vec::new();
    for node in &root.children {
        match value(node, &mut known, 0) {
            Value::Object(object) => objects.push(object),
            // A list that was not unrolled by the pipe.
            Value::List(list) => objects.extend(list.into_iter().filter_map(|value| match value {
                Value::Object(object) => Some(object),
                _ => None,
            })),
            other => return Err((Some(node.line), FaultCause::NoObject { found: other.describe() })),
        }
        if objects.len() > MAX_OBJECTS {
            return Err((Some(node.line), FaultCause::TooMany));
        }
        if known.made > MAX_VALUES {
            return Err((Some(node.line), FaultCause::TooComplex));
        }
    }
    Ok(objects)
}

/// What references may mean.
#[derive(Default)]
struct Known<'n> {
    types: HashMap<&'n str, Vec<String>>,
    objects: HashMap<&'n str, &'n Node>,
    /// Values made so far.
    made: usize,
}

fn value<'n>(node: &'n Node, known: &mut Known<'n>, nesting: usize) -> Value {
    known.made += 1;
    match node.name.as_str() {
        _ if known.made > MAX_VALUES => Value::Nil,
        "Nil" => Value::Nil,
        "B" => match node.text.trim() {
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            other => Value::Text(other.to_owned()),
        },
        "I16" | "I32" | "I64" | "U16" | "U32" | "U64" | "By" | "SB" => {
            let text = node.text.trim();
            text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Number)
        }
        "Obj" if nesting < MAX_NESTING => {
            if let Some(id) = node.attribute("RefId") {
                known.objects.insert(id, node);
            }
            composite(node, known, nesting)
        }
        "Ref" if nesting < MAX_NESTING => match node.attribute("RefId").and_then(|id| known.objects.get(id)).copied() {
            Some(node) => composite(node, known, nesting),
            None => Value::Nil,
        },
        "Obj" | "Ref" => Value::Nil,
        // Text, and what is written like it: durations, versions, addresses, identifiers.
        _ => Value::Text(unescape(&node.text)),
    }
}

/// An `Obj`: a list, a member of an enumeration, a wrapped simple value, or an object with properties.
fn composite<'n>(node: &'n Node, known: &mut Known<'n>, nesting: usize) -> Value {
    let types = types(node, known);
    let mut properties = Vec::new();
    let (mut text, mut simple) = (None, None);
    for child in &node.children {
        match child.name.as_str() {
            "TN" | "TNRef" => {}
            "ToString" => text = Some(unescape(&child.text)),
            "Props" | "MS" => {
                for property in &child.children {
                    let name = property.attribute("N").map(unescape).unwrap_or_default();
                    properties.push((name, value(property, known, nesting + 1)));
                }
            }
            "LST" | "IE" | "STK" | "QUE" => {
                return Value::List(child.children.iter().map(|item| value(item, known, nesting + 1)).collect());
            }
            _ => simple = Some(value(child, known, nesting + 1)),
        }
    }
    match (simple, text) {
        (Some(Value::Number(number)), Some(text)) if types.iter().any(|name| name.ends_with("System.Enum")) => {
            Value::Member(text, number)
        }
        (Some(simple), _) => simple,
        (None, _) => Value::Object(Object { types, properties }),
    }
}

fn types<'n>(node: &'n Node, known: &mut Known<'n>) -> Vec<String> {
    let mut found = Vec::new();
    for child in &node.children {
        let id = child.attribute("RefId").unwrap_or_default();
        if child.name == "TN" {
            found = child.children.iter().map(|name| unescape(&name.text)).collect();
            known.types.insert(id, found.clone());
        } else if child.name == "TNRef" {
            found = known.types.get(id).cloned().unwrap_or_default();
        }
    }
    found
}

/// Undoes `_xHHHH_`, which stands for a UTF-16 unit that XML or PowerShell does not want ([MS-PSRP], section 2.2.5.3.2).
fn unescape(text: &str) -> String {
    if !text.contains("_x") {
        return text.to_owned();
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("_x") {
        let (before, from) = rest.split_at(start);
        units.extend(before.encode_utf16());
        let unit = from.get(2..6).filter(|_| from.as_bytes().get(6) == Some(&b'_'));
        match unit.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                rest = from.get(7..).unwrap_or_default();
            }
            None => {
                units.extend("_x".encode_utf16());
                rest = from.get(2..).unwrap_or_default();
            }
        }
    }
    units.extend(rest.encode_utf16());
    String::from_utf16_lossy(&units)
}

/// An element of the file.
struct Node {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Self>,
    line: usize,
}

impl Node {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the tree. The bound of the depth also keeps its destructor from recursing far.
fn tree(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    let mut lines = Lines { text, offset: 0, line: 1 };
    let mut count = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| {
            let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
            (Some(line_of(text, at)), FaultCause::Xml { reason: error.to_string() })
        })?;
        let line = lines.at(usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX));
        let broken = |reason: &str| (Some(line), FaultCause::Xml { reason: reason.to_owned() });
        let closed = match event {
            Event::Start(_) | Event::Empty(_) if root.is_some() => return Err(broken("there are two roots")),
            Event::Start(start) => {
                open.push(element(&start, line)?);
                None
            }
            Event::Empty(start) => Some(element(&start, line)?),
            Event::End(_) => Some(open.pop().ok_or_else(|| broken("an element ends that did not begin"))?),
            Event::Text(text) => append(open.last_mut(), &text.xml10_content()).map_err(broken).map(|()| None)?,
            Event::CData(data) => append(open.last_mut(), &data.xml10_content()).map_err(broken).map(|()| None)?,
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref() {
                    Ok(Some(character)) => Some(character),
                    Ok(None) => predefined(&reference.xml10_content()),
                    Err(_) => None,
                };
                let character = character.ok_or((Some(line), FaultCause::Entities))?;
                append(open.last_mut(), character.encode_utf8(&mut [0; 4])).map_err(broken).map(|()| None)?
            }
            Event::DocType(_) => return Err((Some(line), FaultCause::Entities)),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            Event::Eof => {
                return match (open.last(), root) {
                    (None, Some(root)) => Ok(root),
                    (Some(node), _) => Err(broken(&format!("<{}> of line {} does not end", node.name, node.line))),
                    (None, None) => Err((None, FaultCause::Empty)),
                };
            }
        };
        if open.len() > MAX_DEPTH || count > MAX_ELEMENTS {
            return Err((Some(line), FaultCause::TooComplex));
        }
        if let Some(node) = closed {
            count += 1;
            match open.last_mut() {
                Some(parent) => parent.children.push(node),
                None => root = Some(node),
            }
        }
    }
}

/// Counts lines while the reader goes on, so that a large file is walked through once.
struct Lines<'t> {
    text: &'t str,
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    fn at(&mut self, offset: usize) -> usize {
        let passed = self.text.as_bytes().get(self.offset..offset).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.offset = self.offset.max(offset);
        self.line
    }
}

fn element(start: &BytesStart<'_>, line: usize) -> Result<Node, Fault> {
    let broken = |reason: String| (Some(line), FaultCause::Xml { reason });
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| broken(error.to_string()))?;
        let value =
            attribute.normalized_value(XmlVersion::default()).map_err(|_| (Some(line), FaultCause::Entities))?;
        attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    let name = start.local_name().as_ref().to_owned();
    Ok(Node { name, attributes, text: String::new(), children: Vec::new(), line })
}

fn append(parent: Option<&mut Node>, text: &str) -> Result<(), &'static str> {
    match parent {
        Some(parent) => parent.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("there is text outside of the root"),
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
