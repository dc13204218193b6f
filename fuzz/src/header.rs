//! Target `header`: a stream header, with or without an XML declaration.
//!
//! Invariants, besides not panicking: what we accept the cutter takes for one header, and an independent parser for a
//! stream that was opened, with the same attributes; what we print is read back as what it was.
//!
//! The whole input is the header.

use bytes::BytesMut;
use causeway_shared::domain::DomainName;
use causeway_shared::limits::Limits;
use causeway_shared::xmpp::cutter::{Cut, Cutter};
use causeway_shared::xmpp::header::{StreamHeader, Version};
use causeway_shared::xmpp::ns;

use crate::oracle::{self, Tree};

/// Panics if an invariant does not hold for this input.
pub fn check(data: &[u8]) {
    let limits = Limits::default();
    let Ok(header) = StreamHeader::parse(data, &limits) else { return };
    assert_eq!(Cutter::new(limits).next(data), Cut::Header(0..data.len()), "the cutter sees another header");
    if !oracle::is_at_a_loss(data) {
        let tree = opened(data).expect("the independent parser refuses the header");
        agree(&header, &tree);
    }
    print_and_read(&header, &limits);
}

/// What the independent parser makes of the header when it is closed at once.
fn opened(data: &[u8]) -> Option<Tree> {
    let at = data.windows(8).rposition(|bytes| bytes.starts_with(b"<") && !bytes.starts_with(b"<?"))?;
    let name = data.get(at + 1..)?.split(|byte| b" \t\r\n>".contains(byte)).next()?;
    // White space in front of the root is not always to its taste.
    let document = if data.starts_with(b"<") { data } else { &data[at..] };
    oracle::parse(&[document, b"</", name, b">"].concat())
}

fn agree(header: &StreamHeader, tree: &Tree) {
    assert_eq!(tree.name, (ns::STREAM.to_owned(), "stream".to_owned()));
    for (name, ours) in [("from", &header.from), ("to", &header.to)] {
        let theirs = tree.attribute(name).map(|text| DomainName::parse(text).expect("an address that is no domain"));
        assert_eq!(ours, &theirs, "{name}");
    }
    assert_eq!(header.id.as_deref(), tree.attribute("id"));
    let version = header.version.map(|version| (version.major, version.minor));
    let numbers = |text: &str| {
        let (major, minor) = text.split_once('.').expect("a version has a point");
        (major.parse().expect("a number"), minor.parse().expect("a number"))
    };
    assert_eq!(version, tree.attribute("version").map(numbers));
    let language = tree.attributes.get(&(ns::XML.to_owned(), "lang".to_owned())).filter(|text| !text.is_empty());
    assert_eq!(header.lang.as_ref(), language);
}

fn print_and_read(header: &StreamHeader, limits: &Limits) {
    let mut printed = BytesMut::new();
    header.write(&mut printed);
    // Escapes and the names that we declare make some headers longer than the limit.
    if printed.len() > limits.byte_header {
        return;
    }
    let read = StreamHeader::parse(&printed, limits)
        .unwrap_or_else(|fault| panic!("{:?} cannot be read: {fault}", String::from_utf8_lossy(&printed)));
    let said = |header: &StreamHeader| {
        let version: Option<Version> = header.version;
        (header.from.clone(), header.to.clone(), header.id.clone(), version, header.lang.clone())
    };
    assert_eq!(said(&read), said(header));
    assert_eq!(read.declares_dialback, header.declares_dialback);
}
