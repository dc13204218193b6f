//! Target `body`: what SIP and XMPP carry inside, as the gateway reads it.
//!
//! Invariants, besides not panicking: a presence document that is read and written is valid, and then written as the same; text that is
//! taken from a body can be written into a stanza, and comes out of it again.
//!
//! The first byte of an input chooses the kind.

use bytes::Bytes;
use causeway_gateway::body::{pidf, text};
use causeway_gateway::translate::canonical::{Node, is_xml_char, push_text};
use causeway_sip::field::MediaType;

const TYPES: [&str; 4] = ["text/plain", "text/plain;charset=utf-8", "text/plain;charset=iso-8859-1", "message/cpim"];

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    match choice % 8 {
        0..=3 => {
            let Ok(document) = pidf::Document::read(rest) else { return };
            // What a lax sender wrote and XML cannot carry is gone when it is written, and may leave white space that is
            // gone when that is read: the second time counts.
            let again =
                |written: &str| pidf::Document::read(written.as_bytes()).expect("what we write is valid").write();
            let written = again(&document.write());
            assert_eq!(again(&written), written);
        }
        other => {
            let media = MediaType::parse(&Bytes::from_static(TYPES[usize::from(other % 4)].as_bytes())).ok();
            let Ok(text) = text::read(media.as_ref(), rest).map(|read| read.plain) else { return };
            let mut stanza = String::from("<message xmlns='jabber:server'><body>");
            push_text(&mut stanza, &text);
            stanza += "</body></message>";
            let node = Node::parse(stanza.as_bytes()).expect("a stanza");
            let body = node.child("jabber:server", "body").expect("a body");
            let carried: String = text.chars().filter(|character| is_xml_char(*character)).collect();
            assert_eq!(carried, body.text());
        }
    }
}
