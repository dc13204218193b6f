//! XML, as stanzas and as documents in SIP bodies: printed again with the texts hidden that people wrote.

use causeway_shared::xmpp::ns as xmpp;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::hidden;
use crate::translate::canonical::{push_attribute, push_text};

/// Elements open at once; the edge and `body::document` let no deeper ones pass.
const MAX_DEPTH: usize = 64;

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const COMPOSING: &str = "urn:ietf:params:xml:ns:im-iscomposing";
const IMDN: &str = "urn:ietf:params:xml:ns:imdn";

/// Elements whose text is a word of the protocol, an identifier, a number or an address.
const SHOWN_TEXTS: [(&str, &str); 14] = [
    (xmpp::SERVER, "show"),
    (xmpp::SERVER, "priority"),
    (xmpp::SERVER, "thread"),
    (PIDF, "basic"),
    (PIDF, "contact"),
    (PIDF, "timestamp"),
    (COMPOSING, "state"),
    (COMPOSING, "contenttype"),
    (COMPOSING, "refresh"),
    (COMPOSING, "lastactive"),
    (IMDN, "message-id"),
    (IMDN, "datetime"),
    (IMDN, "recipient-uri"),
    (IMDN, "original-recipient-uri"),
];

/// Attributes that say what an element is, to whom it is or when it was.
const SHOWN_ATTRIBUTES: [&str; 16] = [
    "id", "from", "to", "type", "xml:lang", "xmlns", "stamp", "code", "node", "ver", "hash", "by", "var", "entity",
    "seconds", "since",
];

/// Elements and attributes of these names are hidden from everybody (XEP-0249, XEP-0045, XEP-0078).
const SECRETS: [&str; 4] = ["password", "digest", "secret", "token"];

/// One element or document. `None` if it is not well-formed, or declares entities.
pub fn redact(text: &str, show_bodies: bool) -> Option<String> {
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut printer =
        Printer { out: String::with_capacity(text.len()), run: String::new(), open: Vec::new(), show_bodies };
    loop {
        let (namespace, event) = reader.read_resolved_event().ok()?;
        let namespace = match &namespace {
            ResolveResult::Bound(namespace) => namespace.as_ref(),
            ResolveResult::Unbound => "",
            ResolveResult::Unknown(_) => return None,
        };
        match event {
            Event::Start(start) => {
                printer.start(namespace, &start)?;
                printer.out.push('>');
            }
            Event::Empty(start) => {
                printer.start(namespace, &start)?;
                printer.out.push_str("/>");
                printer.open.pop();
            }
            Event::End(_) => printer.end()?,
            Event::Text(text) => printer.run.push_str(&text.xml10_content()),
            Event::CData(data) => printer.run.push_str(&data.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().ok()? {
                    Some(character) => character,
                    None => predefined(&reference.xml10_content())?,
                };
                printer.run.push(character);
            }
            Event::DocType(_) => return None,
            // A declaration is noise, and comments and instructions could hold anything.
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => return (printer.open.is_empty() && !printer.out.is_empty()).then_some(printer.out),
        }
    }
}

struct Printer {
    out: String,
    /// The text since the last tag.
    run: String,
    open: Vec<Open>,
    show_bodies: bool,
}

/// An element whose end has not come.
struct Open {
    name: String,
    is_shown: bool,
    is_secret: bool,
}

impl Printer {
    fn start(&mut self, namespace: &str, start: &BytesStart<'_>) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            return None;
        }
        self.flush();
        let local = start.local_name();
        let local: &str = local.as_ref();
        let is_secret = self.open.last().is_some_and(|parent| parent.is_secret)
            || namespace == xmpp::DIALBACK
            || SECRETS.contains(&local);
        let is_shown = !is_secret && (self.show_bodies || SHOWN_TEXTS.contains(&(namespace, local)));
        self.out.push('<');
        let name = start.name();
        let name: &str = name.as_ref();
        self.out.push_str(name);
        for attribute in start.attributes() {
            let attribute = attribute.ok()?;
            let value = attribute.normalized_value(XmlVersion::default()).ok()?;
            let key: &str = attribute.key.as_ref();
            let may_pass = self.show_bodies || SHOWN_ATTRIBUTES.contains(&key) || key.starts_with("xmlns:");
            let is_shown = may_pass && !is_secret && !SECRETS.contains(&key);
            // A namespace name is none of the secrets, whatever it belongs to.
            let is_shown = is_shown || key == "xmlns" || key.starts_with("xmlns:");
            push_attribute(&mut self.out, key, if is_shown { &value } else { "" }.trim());
            if !is_shown {
                // Within the quotes that were just written.
                self.out.pop();
                self.out.push_str(&hidden(&value));
                self.out.push('\'');
            }
        }
        self.open.push(Open { name: name.to_owned(), is_shown, is_secret });
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        self.flush();
        let open = self.open.pop()?;
        self.out.push_str("</");
        self.out.push_str(&open.name);
        self.out.push('>');
        Some(())
    }

    /// Writes the text since the last tag.
    fn flush(&mut self) {
        let run = std::mem::take(&mut self.run);
        let Some(open) = self.open.last() else { return };
        match open.is_shown {
            _ if run.trim().is_empty() => {}
            true => push_text(&mut self.out, &run),
            false => self.out.push_str(&hidden(&run)),
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &str = "<message xmlns='jabber:server' type='chat' id='m1' from='bob@fabrikam.example' \
        to='alice@contoso.example'><subject>lunch</subject><body>at 12 &amp; \u{fc}ber</body><thread>t1</thread>\
        <x xmlns='jabber:x:oob'><url>https://fabrikam.example/s</url></x></message>";

    #[test]
    fn what_people_wrote_is_hidden_and_what_the_protocol_needs_is_shown() {
        let shown = redact(MESSAGE, false).unwrap();
        assert_eq!(
            shown,
            "<message xmlns='jabber:server' type='chat' id='m1' from='bob@fabrikam.example' to='alice@contoso.example'>\
             <subject>[5 characters]</subject><body>[12 characters]</body><thread>t1</thread>\
             <x xmlns='jabber:x:oob'><url>[26 characters]</url></x></message>"
        );
    }

    #[test]
    fn with_the_setting_everything_is_shown() {
        assert_eq!(redact(MESSAGE, true).unwrap(), MESSAGE);
    }

    #[test]
    fn statuses_and_notes_are_texts_of_people() {
        let presence = "<presence xmlns='jabber:server'><show>away</show><status>at lunch</status></presence>";
        assert_eq!(
            redact(presence, false).unwrap(),
            "<presence xmlns='jabber:server'><show>away</show><status>[8 characters]</status></presence>"
        );
        let pidf = "<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@h'>\
            <tuple id='t1'><status><basic>open</basic></status><note>at lunch</note></tuple></presence>";
        assert_eq!(
            redact(pidf, false).unwrap(),
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@h'><tuple id='t1'><status>\
             <basic>open</basic></status><note>[8 characters]</note></tuple></presence>"
        );
    }

    #[test]
    fn secrets_stay_hidden_with_the_setting() {
        let invitation = "<message xmlns='jabber:server'><x xmlns='jabber:x:conference' jid='room@h' password='open'/>\
            <result xmlns='jabber:server:dialback'>abc</result></message>";
        assert_eq!(
            redact(invitation, true).unwrap(),
            "<message xmlns='jabber:server'><x xmlns='jabber:x:conference' jid='room@h' password='[4 characters]'/>\
             <result xmlns='jabber:server:dialback'>[3 characters]</result></message>"
        );
    }

    #[test]
    fn what_is_not_well_formed_is_not_shown_at_all() {
        for text in ["<a><b></a>", "no markup", "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "<a>&e;</a>", "<a", ""] {
            assert_eq!(redact(text, true), None, "{text}");
        }
        assert_eq!(redact(&"<a>".repeat(10_000), true), None);
    }

    proptest! {
        #[test]
        fn no_text_of_a_body_is_ever_in_what_is_shown(body in "[a-z]{9,20}", extra in "[a-z<>&;/='! -]{0,30}") {
            let xml = format!("<message xmlns='jabber:server'><body>{body}</body>{extra}<status>{body}</status></message>");
            if let Some(shown) = redact(&xml, false) {
                prop_assert!(!shown.contains(&body), "{}", shown);
            }
        }
    }
}
