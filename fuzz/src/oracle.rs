//! An independent parser of XML with namespaces (rxml), and the little in which it is known to be wrong.

use std::collections::BTreeMap;

use rxml::Parse as _;

/// An element as the independent parser sees it.
#[derive(Debug, PartialEq)]
pub struct Tree {
    /// Namespace and local name.
    pub name: (String, String),
    /// By namespace and local name: their order means nothing.
    pub attributes: BTreeMap<(String, String), String>,
    /// Content in order.
    pub nodes: Vec<Node>,
}

/// What an element contains.
#[derive(Debug, PartialEq)]
pub enum Node {
    /// Another element.
    Element(Tree),
    /// Character data; two never follow each other.
    Text(String),
}

impl Tree {
    /// The only thing in the element, if that is an element.
    pub fn only_child(mut self) -> Option<Self> {
        match (self.nodes.pop(), self.nodes.is_empty()) {
            (Some(Node::Element(child)), true) => Some(child),
            _ => None,
        }
    }

    /// An attribute without namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(&(String::new(), name.to_owned())).map(String::as_str)
    }

    fn push_text(&mut self, more: &str) {
        match self.nodes.last_mut() {
            _ if more.is_empty() => {}
            Some(Node::Text(text)) => text.push_str(more),
            Some(Node::Element(_)) | None => self.nodes.push(Node::Text(more.to_owned())),
        }
    }
}

/// What the independent parser makes of a document, with or without an XML declaration; `None` if it refuses it.
pub fn parse(document: &[u8]) -> Option<Tree> {
    let mut parser = rxml::Parser::new();
    let mut rest = document;
    let (mut open, mut root): (Vec<Tree>, _) = (Vec::new(), None);
    while let Some(event) = parser.parse(&mut rest, true).ok()? {
        match event {
            rxml::Event::XmlDeclaration(..) => {}
            rxml::Event::StartElement(_, (namespace, name), attributes) => {
                let attributes = attributes
                    .into_iter()
                    .map(|((namespace, name), value)| ((namespace.as_str().to_owned(), name.to_string()), value));
                open.push(Tree {
                    name: (namespace.as_str().to_owned(), name.to_string()),
                    attributes: attributes.collect(),
                    nodes: Vec::new(),
                });
            }
            rxml::Event::Text(_, text) => open.last_mut()?.push_text(&text),
            rxml::Event::EndElement(_) => {
                let tree = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.nodes.push(Node::Element(tree)),
                    None => root = Some(tree),
                }
            }
        }
    }
    root
}

/// How references begin that may be longer than any that has to be written.
const LONG_REFERENCES: [&[u8]; 2] = [b"&#00", b"&#x00"];

/// Whether the independent parser cannot be asked: it does not normalise every carriage return that stands alone (XML
/// 1.0, section 2.11), does not know all characters of names (production 4), refuses declarations that say that a
/// document does not stand alone (production 32), and references with many leading zeros (production 66).
pub fn is_at_a_loss(bytes: &[u8]) -> bool {
    let alone = |pair: &[u8]| matches!(pair, [b'\r', next] if *next != b'\n');
    let is_unknown = |character| ('\u{fdf0}'..='\u{fffd}').contains(&character);
    bytes.ends_with(b"\r")
        || bytes.windows(2).any(|pair| alone(pair) || pair == b"]\r")
        || LONG_REFERENCES.iter().any(|begin| bytes.windows(begin.len()).any(|part| part == *begin))
        || std::str::from_utf8(bytes)
            .is_ok_and(|text| text.contains(is_unknown) || text.starts_with("<?") && says_no(text))
}

fn says_no(text: &str) -> bool {
    let declaration = text.split_once("?>").map_or("", |(declaration, _)| declaration);
    declaration.contains("'no'") || declaration.contains("\"no\"")
}
