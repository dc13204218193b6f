//! Presence documents (PIDF, RFC 3863) with the person of the data model (RFC 4479) and activities (RPID, RFC 4480).
//!
//! Unknown elements are skipped. Not read: timed status (RFC 4481), device elements, contact information (RFC 4482).

use causeway_shared::xmpp::ns;

use super::document::{self, DocumentFault, Node};
use crate::translate::canonical::{push_attribute, push_text};
use crate::translate::date;

/// The media type.
pub const CONTENT_TYPE: &str = "application/pidf+xml";

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
/// Before RFC 4480 was published; old agents still write it.
const RPID_DRAFT: &str = "urn:ietf:params:xml:ns:pidf:status:rpid";
/// The namespace in which `show` stands, whatever the stream's is (RFC 8048, section 6.2).
const JABBER_CLIENT: &str = "jabber:client";

/// Open or closed (RFC 3863, section 4.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basic {
    /// Ready to take messages.
    Open,
    /// Not.
    Closed,
}

/// A text with its language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// `xml:lang`.
    pub lang: Option<String>,
    /// The text.
    pub text: String,
}

/// A contact address.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// The URI as written.
    pub uri: String,
    /// From 0 to 1.
    pub priority: Option<f64>,
}

/// Activities of a person, or of a tuple in old documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rpid {
    /// The activity elements.
    pub activities: Vec<Activity>,
    /// Whether `user-input` says idle.
    pub idle: bool,
}

/// An activity, and the time of which it is said (RFC 4480, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// The name of the element.
    pub name: String,
    /// From then on, in Unix milliseconds.
    pub from: Option<u64>,
    /// Up to then.
    pub until: Option<u64>,
}

impl Activity {
    /// Whether it is said of this moment.
    pub fn is_at(&self, now_ms: u64) -> bool {
        self.from.is_none_or(|from| from <= now_ms) && self.until.is_none_or(|until| now_ms < until)
    }
}

/// One way to reach the presentity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tuple {
    /// The id, unique in the document.
    pub id: String,
    /// Absent: the tuple says nothing about availability.
    pub basic: Option<Basic>,
    /// `show` of jabber:client as written.
    pub show: Option<String>,
    /// Activities.
    pub rpid: Rpid,
    /// Whether `relationship` says that this is somebody else, such as an assistant.
    pub is_other_person: bool,
    /// Where.
    pub contact: Option<Contact>,
    /// Texts.
    pub notes: Vec<Note>,
    /// Unix milliseconds.
    pub timestamp: Option<u64>,
}

/// A presence document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// The URI of the presentity.
    pub entity: String,
    /// The tuples.
    pub tuples: Vec<Tuple>,
    /// Texts of the whole document.
    pub notes: Vec<Note>,
    /// What the person does.
    pub person: Option<Rpid>,
}

impl Document {
    /// Prints the document, with the child order that RFC 3863 sections 4.1.1 and 4.1.2 prescribe.
    pub fn write(&self) -> String {
        let mut out = String::with_capacity(512 + self.tuples.len() * 256);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence");
        push_attribute(&mut out, "xmlns", PIDF);
        if self.person.is_some() {
            push_attribute(&mut out, "xmlns:dm", DATA_MODEL);
            push_attribute(&mut out, "xmlns:rpid", RPID);
        }
        push_attribute(&mut out, "entity", &self.entity);
        out.push('>');
        for tuple in &self.tuples {
            tuple.write(&mut out);
        }
        write_notes(&self.notes, &mut out);
        if let Some(person) = &self.person {
            out.push_str("<dm:person id='p1'>");
            if !person.activities.is_empty() {
                out.push_str("<rpid:activities>");
                for activity in &person.activities {
                    out.extend(["<rpid:", &activity.name, "/>"]);
                }
                out.push_str("</rpid:activities>");
            }
            if person.idle {
                out.push_str("<rpid:user-input>idle</rpid:user-input>");
            }
            out.push_str("</dm:person>");
        }
        out.push_str("</presence>");
        out
    }

    /// Reads a document.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentFault> {
        let root = document::parse(bytes)?;
        if !root.is(PIDF, "presence") {
            return Err(DocumentFault::WrongRoot);
        }
        let person = root.children.iter().find(|child| child.is(DATA_MODEL, "person")).map(|person| {
            let mut rpid = Rpid::default();
            person.children.iter().for_each(|child| rpid.take(child));
            rpid
        });
        Ok(Self {
            entity: root.attribute("entity").unwrap_or_default().to_owned(),
            tuples: root.children.iter().filter(|child| child.is(PIDF, "tuple")).map(Tuple::of).collect(),
            notes: root.children.iter().filter(|child| child.is(PIDF, "note")).map(note_of).collect(),
            person,
        })
    }
}

impl Tuple {
    fn write(&self, out: &mut String) {
        out.push_str("<tuple");
        push_attribute(out, "id", &self.id);
        out.push_str("><status>");
        match self.basic {
            Some(Basic::Open) => out.push_str("<basic>open</basic>"),
            Some(Basic::Closed) => out.push_str("<basic>closed</basic>"),
            None => {}
        }
        if let Some(show) = &self.show {
            out.push_str("<show xmlns='jabber:client'>");
            push_text(out, show);
            out.push_str("</show>");
        }
        out.push_str("</status>");
        if let Some(contact) = &self.contact {
            out.push_str("<contact");
            if let Some(priority) = contact.priority {
                push_attribute(out, "priority", &write_priority(priority));
            }
            out.push('>');
            push_text(out, &contact.uri);
            out.push_str("</contact>");
        }
        write_notes(&self.notes, out);
        if let Some(timestamp) = self.timestamp {
            out.extend(["<timestamp>", &date::write_timestamp(timestamp), "</timestamp>"]);
        }
        out.push_str("</tuple>");
    }

    fn of(node: &Node) -> Self {
        let mut tuple = Self { id: node.attribute("id").unwrap_or_default().to_owned(), ..Self::default() };
        for child in &node.children {
            match (child.namespace.as_str(), child.name.as_str()) {
                (PIDF, "status") => tuple.take_status(child),
                (PIDF, "contact") => {
                    let priority = child.attribute("priority").and_then(|text| text.trim().parse::<f64>().ok());
                    let priority = priority.filter(|priority| (0.0..=1.0).contains(priority));
                    tuple.contact = Some(Contact { uri: child.text.trim().to_owned(), priority });
                }
                (PIDF, "note") => tuple.notes.push(note_of(child)),
                (PIDF, "timestamp") => tuple.timestamp = date::read_timestamp(&child.text),
                (RPID | RPID_DRAFT, "relationship") => {
                    tuple.is_other_person = child.children.iter().any(|relation| relation.name != "self");
                }
                _ => tuple.rpid.take(child),
            }
        }
        tuple
    }

    fn take_status(&mut self, status: &Node) {
        for child in &status.children {
            match (child.namespace.as_str(), child.name.as_str()) {
                (PIDF, "basic") => {
                    self.basic = match child.text.trim() {
                        "open" => Some(Basic::Open),
                        "closed" => Some(Basic::Closed),
                        _ => None,
                    };
                }
                (JABBER_CLIENT | ns::SERVER, "show") => self.show = Some(child.text.trim().to_owned()),
                _ => self.rpid.take(child),
            }
        }
    }
}

impl Rpid {
    fn take(&mut self, node: &Node) {
        if !is_rpid(node) {
            return;
        }
        match node.name.as_str() {
            // RFC 3863, section 4.2.3: with a part that must be understood and is not, nothing of it counts.
            "activities" if node.children.iter().any(|child| !is_rpid(child) && must_be_understood(child)) => {}
            "activities" => {
                let time = |name| node.attribute(name).and_then(date::read_timestamp);
                let (from, until) = (time("from"), time("until"));
                let activities = node.children.iter().filter(|child| is_rpid(child));
                self.activities.extend(activities.map(|child| Activity { name: child.name.clone(), from, until }));
            }
            "user-input" => self.idle = node.text.trim() == "idle",
            _ => {}
        }
    }
}

fn is_rpid(node: &Node) -> bool {
    matches!(node.namespace.as_str(), RPID | RPID_DRAFT)
}

fn must_be_understood(node: &Node) -> bool {
    node.attribute_by_local_name("mustUnderstand").is_some_and(|value| matches!(value.trim(), "true" | "1"))
}

/// At most three decimals, none that say nothing.
fn write_priority(priority: f64) -> String {
    let text = format!("{priority:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn write_notes(notes: &[Note], out: &mut String) {
    for note in notes {
        out.push_str("<note");
        if let Some(lang) = &note.lang {
            push_attribute(out, "xml:lang", lang);
        }
        out.push('>');
        push_text(out, &note.text);
        out.push_str("</note>");
    }
}

fn note_of(node: &Node) -> Note {
    Note { lang: node.attribute("xml:lang").map(str::to_owned), text: node.text.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::document::{MAX_BYTES, MAX_ELEMENTS};

    fn document() -> Document {
        Document {
            entity: "pres:bob@fabrikam.example".into(),
            tuples: vec![
                Tuple {
                    id: "ID-desk".into(),
                    basic: Some(Basic::Open),
                    show: Some("dnd".into()),
                    contact: Some(Contact { uri: "sip:bob@fabrikam.example;gr=desk".into(), priority: Some(0.039) }),
                    notes: vec![Note { lang: Some("en".into()), text: "Quarter <end> & \u{fc}".into() }],
                    timestamp: Some(1_894_699_800_000),
                    ..Tuple::default()
                },
                Tuple { id: "ID-phone".into(), basic: Some(Basic::Closed), ..Tuple::default() },
            ],
            notes: Vec::new(),
            person: Some(Rpid {
                activities: vec![Activity { name: "busy".into(), ..Activity::default() }],
                idle: true,
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Document::read(document().write().as_bytes()), Ok(document()));
        assert_eq!(Document::read(Document::default().write().as_bytes()), Ok(Document::default()));
    }

    // RFC 3863, section 4.1.2: status, contact, note, timestamp, in this order.
    // Rule: pidf.write.order
    #[test]
    fn the_children_of_a_tuple_stand_in_their_order() {
        let text = document().write();
        let places = ["<tuple", "<status>", "<contact", "<note", "<timestamp>", "</tuple>", "<dm:person"]
            .map(|part| text.find(part).unwrap());
        assert!(places.is_sorted(), "{text}");
    }

    // Rule: pidf.read.unknown
    #[test]
    fn prefixes_comments_and_old_namespaces_do_not_matter() {
        let text = "<?xml version='1.0'?><!-- c --><p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'>\
            <p:tuple id='t1'><p:status><p:basic> open </p:basic><es:activities xmlns:es='urn:ietf:params:xml:ns:pidf:status:rpid'>\
            <es:meeting/></es:activities><unknown xmlns='x'><basic>closed</basic></unknown></p:status>\
            <p:contact priority='2'>tel:1</p:contact><p:note>A&amp;B&#33;<![CDATA[<]]></p:note></p:tuple></p:presence>";
        let document = Document::read(text.as_bytes()).unwrap();
        let tuple = &document.tuples[0];
        assert_eq!((tuple.basic, tuple.rpid.activities[0].name.as_str()), (Some(Basic::Open), "meeting"));
        assert_eq!(tuple.contact, Some(Contact { uri: "tel:1".into(), priority: None }));
        assert_eq!(tuple.notes[0].text, "A&B!<");
    }

    // Rule: pidf.read.hygiene
    #[test]
    fn dangerous_and_broken_documents_are_refused_by_name() {
        let deep = format!("<presence xmlns='{PIDF}'>{}", "<a>".repeat(40));
        let many = format!("<presence xmlns='{PIDF}'>{}</presence>", "<a/>".repeat(MAX_ELEMENTS + 1));
        for (text, expected) in [
            ("<!DOCTYPE p [<!ENTITY e 'x'>]><presence xmlns='urn:ietf:params:xml:ns:pidf'/>", DocumentFault::Entities),
            ("<presence xmlns='urn:ietf:params:xml:ns:pidf'>&e;</presence>", DocumentFault::Entities),
            ("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='&e;'/>", DocumentFault::Entities),
            (&deep, DocumentFault::TooComplex),
            (&many, DocumentFault::TooComplex),
            ("<presence/>", DocumentFault::WrongRoot),
            ("<presence xmlns='urn:ietf:params:xml:ns:pidf'>", DocumentFault::Malformed),
            ("<a/><b/>", DocumentFault::Malformed),
            ("x", DocumentFault::Malformed),
            ("", DocumentFault::Malformed),
            ("<presence xmlns='urn:ietf:params:xml:ns:pidf'>\u{1}</presence>", DocumentFault::Malformed),
            ("<presence xmlns='urn:ietf:params:xml:ns:pidf'>&#1;</presence>", DocumentFault::Malformed),
            ("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='&#xFFFE;'/>", DocumentFault::Malformed),
            ("<presence xmlns='urn:ietf:params:xml:ns:pidf'><![CDATA[\u{ffff}]]></presence>", DocumentFault::Malformed),
            ("<x:presence/>", DocumentFault::Malformed),
        ] {
            assert_eq!(Document::read(text.as_bytes()), Err(expected), "{}", text.get(..60).unwrap_or(text));
        }
        assert_eq!(Document::read(&vec![b' '; MAX_BYTES + 1]), Err(DocumentFault::TooLarge));
        assert_eq!(Document::read(b"<a>\xff</a>"), Err(DocumentFault::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(text in "[<>/a-c=' &;!\\[\\]?-]{0,80}") {
            let _ = Document::read(text.as_bytes());
        }
    }
}
