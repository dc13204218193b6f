//! What a machine has said on the current stream: it has to be one document, element by element.

use causeway_shared::limits::Limits;
use causeway_shared::xmpp::cutter::{Cut, Cutter};
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;

use crate::oracle;

/// Everything since the stream began.
#[derive(Default)]
pub struct Said {
    bytes: Vec<u8>,
}

impl Said {
    /// A new stream begins on the connection.
    pub fn restart(&mut self) {
        self.bytes.clear();
    }

    /// More is said: the elements in it.
    pub fn more(&mut self, bytes: &[u8]) -> Vec<Element> {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let mut cutter = Cutter::new(Limits::default());
        cutter.authenticated();
        let (mut scope, mut at, mut elements) = (None, 0, Vec::new());
        loop {
            let rest = &self.bytes[at..];
            match cutter.next(rest) {
                Cut::Need => break,
                Cut::Header(range) => {
                    at += range.end;
                    let header = StreamHeader::parse(&rest[range], &Limits::default()).expect("our header is valid");
                    scope = Some(header.scope);
                }
                Cut::Element(range) => {
                    let scope = scope.as_ref().expect("an element before the header");
                    let element = Element::parse(&rest[range.clone()], scope, &Limits::default());
                    let element = element.expect("our element is valid");
                    if at >= before {
                        elements.push(element);
                    }
                    at += range.end;
                }
                Cut::Whitespace(range) | Cut::Close(range) => at += range.end,
                Cut::Fault(fault) => panic!("we say {:?}: {fault}", String::from_utf8_lossy(&self.bytes)),
            }
        }
        assert_eq!(at, self.bytes.len(), "we say something unfinished");
        elements
    }

    /// The stream has ended in order, if it had begun.
    pub fn is_complete(&self) {
        if self.bytes.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&self.bytes);
        assert!(oracle::parse(&self.bytes).is_some(), "we said what is no document: {text:?}");
    }
}
