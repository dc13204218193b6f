//! Target `stanza`: one first-level element, read in the scope of a stream.
//!
//! Invariants, besides not panicking: what we accept is well-formed for an independent parser, too, which sees the same
//! tree in what arrived as in what we print; what we refuse as no XML it refuses, too, except where we are stricter by
//! a rule that is named here; the canonical form is a fixed point, within the same limits; a stanza is a tree to
//! both of our readers; and the cutter finds the end of what the readers accept where the readers do.
//!
//! The first byte of an input chooses the stream's header and the limits.

use bytes::BytesMut;
use causeway_shared::jid::Jid;
use causeway_shared::limits::Limits;
use causeway_shared::xmpp::cutter::{Cut, Cutter};
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::header::StreamHeader;
use causeway_shared::xmpp::stanza;
use causeway_shared::xmpp::stream_error::{StreamCondition, StreamFault};
use causeway_shared::xmpp::{StreamScope, ns};

use crate::oracle;

const HEADERS: [&str; 4] = [
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
     xmlns:db='jabber:server:dialback' version='1.0'>",
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
     xmlns:db='jabber:server:dialback' xmlns:s='jabber:server' xml:lang='en' version='1.0'>",
    "<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' xmlns:p='urn:p' xmlns:q='urn:p'>",
    "<x:stream xmlns:x='http://etherx.jabber.org/streams' xmlns='jabber:server' xmlns:c='jabber:client' xml:lang=''>",
];

/// Limits that short inputs reach.
const SMALL: Limits = Limits {
    byte_stanza: 512,
    byte_pre_auth: 512,
    byte_header: 4_096,
    depth: 5,
    attributes: 6,
    namespaces: 6,
    attribute_value: 48,
    name: 16,
    nodes: 24,
};

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    let header = HEADERS[usize::from(choice % 4)];
    let limits = if choice & 4 == 0 { Limits::default() } else { SMALL };
    let scope = StreamHeader::parse(header.as_bytes(), &limits).expect("our headers are valid").scope;
    let tree = Element::parse(bytes, &scope, &limits);
    agree(header, bytes, &tree);
    let mut canonical = BytesMut::new();
    match stanza::read(bytes, &scope, &limits, &mut canonical) {
        Ok(checked) => {
            let tree = tree.expect("a stanza is a tree");
            assert_eq!(&*canonical, &*expected(tree, &checked, &scope).to_bytes(), "the canonical form");
            let mut again = BytesMut::new();
            // A domain may be longer in its canonical spelling. The usual limit leaves room for that.
            let limits = Limits { attribute_value: Limits::default().attribute_value, ..limits };
            match stanza::read(&canonical, &StreamScope::server(), &limits, &mut again) {
                Ok(same) => assert_eq!((&checked, &canonical), (&same, &again), "the canonical form is its own"),
                Err(fault) => panic!("{:?} cannot be read again: {fault}", String::from_utf8_lossy(&canonical)),
            }
        }
        Err(fault) => {
            assert!(canonical.is_empty(), "a refusal leaves nothing behind");
            let is_about_stanzas = tree.is_ok() || tree.is_err_and(|other| other == fault);
            assert!(
                is_about_stanzas || fault.condition != StreamCondition::NotWellFormed,
                "only one of our readers says: {fault}"
            );
        }
    }
}

/// What the canonical form of a stanza has to be, from its tree.
fn expected(tree: Element, checked: &stanza::Checked, scope: &StreamScope) -> Element {
    let mut stanza = Element::new(ns::SERVER, checked.kind.as_str())
        .attr("from", checked.from.as_str())
        .attr("to", checked.to.as_str())
        .attr_opt("type", tree.attribute("type"))
        .attr_opt("id", tree.attribute("id"));
    for (name, jid) in [("from", &checked.from), ("to", &checked.to)] {
        let written = tree.attribute(name).expect("a stanza has both addresses");
        assert_eq!(Jid::parse(written).as_ref(), Ok(jid), "{name}");
    }
    if let Some(language) = tree.attribute_ns(ns::XML, "lang").or(scope.language()) {
        stanza = stanza.attr_ns(ns::XML, "lang", language);
    }
    for node in tree.nodes() {
        match node {
            causeway_shared::xmpp::element::Node::Element(child) => stanza.push(child.clone()),
            causeway_shared::xmpp::element::Node::Text(text) => stanza.push_text(text.clone()),
        }
    }
    stanza
}

/// Asks the independent parser and the cutter about what our reader of trees says.
fn agree(header: &str, bytes: &[u8], tree: &Result<Element, StreamFault>) {
    if oracle::is_at_a_loss(bytes) {
        return;
    }
    let name = &header[1..header.find(' ').unwrap_or_default()];
    let document = [header.as_bytes(), bytes, b"</", name.as_bytes(), b">"].concat();
    let theirs = oracle::parse(&document).and_then(oracle::Tree::only_child);
    match (tree, theirs) {
        (Ok(ours), Some(theirs)) => {
            let printed = ours.to_bytes();
            assert_eq!(oracle::parse(&printed), Some(theirs), "{:?}", String::from_utf8_lossy(&printed));
            let on_stream = [HEADERS[0], &ours.to_stream_string(), "</stream:stream>"].concat();
            let on_stream = oracle::parse(on_stream.as_bytes()).and_then(oracle::Tree::only_child);
            assert_eq!(oracle::parse(&printed), on_stream, "{}", ours.to_stream_string());
            cut_as_read(header, bytes);
        }
        (Ok(ours), None) => panic!("the independent parser refuses what we read as {ours}"),
        (Err(fault), Some(theirs)) => assert!(is_stricter(fault), "it reads {theirs:?}, we say {fault}"),
        (Err(_), None) => {}
    }
}

/// What we refuse and the independent parser accepts: what is over a limit, RFC 6120's rule on prefixes (section
/// 4.8.5), control characters in namespace names, and three oversights of that parser: two declarations of the default
/// namespace on one element, a binding of the namespace that is reserved for declarations, and CDATA outside of
/// the root, which it takes for white space.
fn is_stricter(fault: &StreamFault) -> bool {
    matches!(fault.condition, StreamCondition::PolicyViolation | StreamCondition::BadNamespacePrefix)
        || [
            "a prefix is declared twice",
            "the prefix xmlns or its namespace",
            "something after the end",
            "control character in a namespace name",
        ]
        .iter()
        .any(|rule| fault.cause.contains(rule))
}

fn cut_as_read(header: &str, element: &[u8]) {
    let mut cutter = Cutter::new(Limits::default());
    cutter.authenticated();
    assert_eq!(cutter.next(header.as_bytes()), Cut::Header(0..header.len()));
    let followed = [element, b"<"].concat();
    assert_eq!(cutter.next(&followed), Cut::Element(0..element.len()), "the end is elsewhere");
}
