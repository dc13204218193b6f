//! Presence content (RFC 8048, section 6): presence stanzas and PIDF documents, both directions.
//!
//! Lost towards SIP: entity capabilities, avatars, everything outside the RFC's tables. Lost towards XMPP: tuples of
//! other people or schemes, device elements, timed status. Permissions and dialogs are the business of `presence`.

use std::borrow::Cow;

use bytes::Bytes;
use causeway_shared::jid::{BareJid, Jid};
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::uri::Scheme;

use super::address;
use super::canonical::{Node, SERVER, push_attribute, push_text};
use super::date;
use crate::body::pidf::{Activity, Basic, Contact, Document, Rpid, Tuple};
use crate::iq::Caps;

pub use crate::body::pidf::Note;

/// Languages of one status that are kept.
const MAX_NOTES: usize = 8;
/// Bytes of a status or note that are kept; longer ones are cut.
const MAX_NOTE_BYTES: usize = 1_024;
/// Tuples of a document that are looked at.
const MAX_TUPLES: usize = 8;
/// A tuple's timestamp this much older than its arrival is worth a delay stamp.
const DELAY_WORTH_TELLING_MS: u64 = 60_000;

/// What a presence stanza says (RFC 6121, section 4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 6121")]
pub enum PresenceKind {
    Available,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    Error,
}

/// The availability of a resource (RFC 6121, section 4.7.2.1), most available first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[expect(missing_docs, reason = "the names are those of RFC 6121")]
pub enum Show {
    Chat,
    /// No `<show/>`.
    #[default]
    Online,
    Away,
    Xa,
    Dnd,
}

impl Show {
    /// The text of `<show/>`.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Chat => Some("chat"),
            Self::Online => None,
            Self::Away => Some("away"),
            Self::Xa => Some("xa"),
            Self::Dnd => Some("dnd"),
        }
    }

    /// The availability by the text of `<show/>`; unknown text says nothing.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Chat, Self::Away, Self::Xa, Self::Dnd].into_iter().find(|show| show.as_str() == Some(text))
    }
}

/// The presence of one device, in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourcePresence {
    /// The resourcepart; empty for a presentity that shows no devices.
    pub resource: String,
    /// Available or unavailable.
    pub available: bool,
    /// How available.
    pub show: Show,
    /// From -128 to 127; `None` where none was given.
    pub priority: Option<i8>,
    /// The status in its languages.
    pub notes: Vec<Note>,
    /// When it became so, in Unix milliseconds, if known.
    pub since_ms: Option<u64>,
}

/// A presence stanza that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceStanza {
    /// What it says.
    pub kind: PresenceKind,
    /// The resource that speaks; empty for the bare JID.
    pub resource: String,
    /// The resource it is addressed to, if any.
    pub to_resource: Option<String>,
    /// `id`, for the answer.
    pub id: Option<String>,
    /// The availability, of meaning for available and unavailable.
    pub presence: ResourcePresence,
    /// The error of a stanza of type error.
    pub error: Option<StanzaError>,
}

/// A presence stanza to send; all go from a local user or one of the devices to a remote user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceOut {
    /// What it says; never [`PresenceKind::Error`].
    pub kind: PresenceKind,
    /// The sender.
    pub from: Jid,
    /// The receiver.
    pub to: BareJid,
    /// `id`, where it answers a stanza that had one.
    pub id: Option<String>,
    /// The availability, for available and unavailable.
    pub presence: Option<ResourcePresence>,
    /// Whether `since_ms` is old enough to be told.
    pub delayed: bool,
}

/// How documents are written for the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidfStyle {
    /// Only the most available resource: some pools show one tuple only.
    pub single_tuple: bool,
    /// `sip:` instead of `pres:` as the entity, for pools that insist.
    pub sip_entity: bool,
    /// What the person does (RPID), besides `show`.
    pub person: bool,
}

impl Default for PidfStyle {
    fn default() -> Self {
        Self { single_tuple: false, sip_entity: false, person: true }
    }
}

/// Reads a canonical presence stanza. `None` if it is none or has an unknown type.
pub fn read_presence(xml: &[u8], from: &Jid, to: &Jid) -> Option<PresenceStanza> {
    let stanza = Node::parse(xml).filter(|node| node.is(SERVER, "presence"))?;
    let kind = match stanza.attribute("type").as_deref() {
        None => PresenceKind::Available,
        Some("unavailable") => PresenceKind::Unavailable,
        Some("subscribe") => PresenceKind::Subscribe,
        Some("subscribed") => PresenceKind::Subscribed,
        Some("unsubscribe") => PresenceKind::Unsubscribe,
        Some("unsubscribed") => PresenceKind::Unsubscribed,
        Some("probe") => PresenceKind::Probe,
        Some("error") => PresenceKind::Error,
        Some(_) => return None,
    };
    let resource = from.resource().unwrap_or_default().to_owned();
    let lang = stanza.attribute("xml:lang").map(Cow::into_owned);
    let mut presence = ResourcePresence {
        resource: resource.clone(),
        available: kind == PresenceKind::Available,
        ..ResourcePresence::default()
    };
    let mut error = None;
    for child in stanza.children() {
        match (child.namespace(), child.name()) {
            (SERVER, "show") => presence.show = Show::parse(child.text().trim()).unwrap_or_default(),
            (SERVER, "status") if presence.notes.len() < MAX_NOTES => {
                let lang = child.attribute("xml:lang").map(Cow::into_owned).or_else(|| lang.clone());
                presence.notes.extend(note(lang, &child.text()));
            }
            (SERVER, "priority") => presence.priority = child.text().trim().parse().ok(),
            ("urn:xmpp:delay", "delay") => {
                presence.since_ms = child.attribute("stamp").and_then(|stamp| date::read_timestamp(&stamp));
            }
            (SERVER, "error") => error = Some(read_error(&child)),
            _ => {}
        }
    }
    if kind == PresenceKind::Error && error.is_none() {
        error = Some(StanzaError::from(StanzaCondition::UndefinedCondition));
    }
    Some(PresenceStanza {
        kind,
        resource,
        to_resource: to.resource().map(str::to_owned),
        id: stanza.attribute("id").map(Cow::into_owned),
        presence,
        error,
    })
}

/// The error of a canonical stanza; what is missing or unknown is read as RFC 6120, section 8.3.2 asks.
pub fn read_error(error: &Node<'_>) -> StanzaError {
    let defined = error.children().filter(|child| child.namespace() == ns::STANZA_ERRORS);
    let condition = defined.clone().find_map(|child| StanzaCondition::parse(child.name()));
    let condition = condition.unwrap_or(StanzaCondition::UndefinedCondition);
    let kind = error.attribute("type").and_then(|kind| ErrorType::parse(&kind));
    let mut read = StanzaError::new(kind.unwrap_or_else(|| condition.usual_type()), condition);
    read.text = defined.clone().find(|child| child.name() == "text").map(|child| child.text().into_owned());
    read
}

impl PresenceOut {
    /// The stanza in canonical form; an available device announces what it can (XEP-0115).
    pub fn to_xml(&self, caps: &Caps) -> Bytes {
        let mut out = String::with_capacity(256);
        out.push_str("<presence xmlns='jabber:server'");
        push_attribute(&mut out, "from", self.from.as_str());
        push_attribute(&mut out, "to", self.to.as_str());
        let kind = match self.kind {
            PresenceKind::Available => None,
            PresenceKind::Unavailable => Some("unavailable"),
            PresenceKind::Subscribe => Some("subscribe"),
            PresenceKind::Subscribed => Some("subscribed"),
            PresenceKind::Unsubscribe => Some("unsubscribe"),
            PresenceKind::Unsubscribed => Some("unsubscribed"),
            PresenceKind::Probe => Some("probe"),
            PresenceKind::Error => Some("error"),
        };
        if let Some(kind) = kind {
            push_attribute(&mut out, "type", kind);
        }
        if let Some(id) = &self.id {
            push_attribute(&mut out, "id", id);
        }
        out.push('>');
        if let Some(presence) = &self.presence {
            self.push_content(presence, caps, &mut out);
        }
        out.push_str("</presence>");
        Bytes::from(out)
    }

    fn push_content(&self, presence: &ResourcePresence, caps: &Caps, out: &mut String) {
        if self.kind == PresenceKind::Available
            && let Some(show) = presence.show.as_str()
        {
            out.extend(["<show>", show, "</show>"]);
        }
        for note in &presence.notes {
            out.push_str("<status");
            if let Some(lang) = &note.lang {
                push_attribute(out, "xml:lang", lang);
            }
            out.push('>');
            push_text(out, &note.text);
            out.push_str("</status>");
        }
        if self.kind == PresenceKind::Available
            && let Some(priority) = presence.priority.filter(|priority| *priority != 0)
        {
            out.extend(["<priority>", &priority.to_string(), "</priority>"]);
        }
        if self.kind == PresenceKind::Available {
            caps.announce(out);
        }
        if let Some(since) = presence.since_ms.filter(|_| self.delayed) {
            out.push_str("<delay xmlns='urn:xmpp:delay'");
            push_attribute(out, "from", self.from.domain());
            push_attribute(out, "stamp", &date::write_timestamp(since));
            out.push_str("/>");
        }
    }
}

/// Whether a change that happened at `since_ms` is old enough at `now_ms` to be told with its time.
pub fn is_worth_a_stamp(since_ms: Option<u64>, now_ms: u64) -> bool {
    since_ms.is_some_and(|since| since.saturating_add(DELAY_WORTH_TELLING_MS) < now_ms)
}

/// A status or note, without the space around it and cut to its bound; nothing if it is empty.
fn note(lang: Option<String>, text: &str) -> Option<Note> {
    let text = text.trim();
    let mut end = text.len().min(MAX_NOTE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).filter(|text| !text.is_empty())?.to_owned();
    let lang = lang.filter(|lang| is_language_tag(lang));
    Some(Note { lang, text })
}

/// The language of all notes, if they have one in common: what Content-Language of the document says.
pub fn common_language(resources: &[ResourcePresence]) -> Option<&str> {
    let mut languages = resources.iter().flat_map(|resource| &resource.notes).map(|note| note.lang.as_deref());
    let first = languages.next()??;
    languages.all(|lang| lang == Some(first)).then_some(first)
}

/// Whether a text may stand as a language tag in a header or attribute (the shape of RFC 5646, section 2.1).
pub fn is_language_tag(text: &str) -> bool {
    let parts = text.split('-');
    text.len() <= 35
        && parts
            .into_iter()
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The document that shows all resources of an XMPP user (RFC 8048, section 6.2).
pub fn resources_to_pidf(user: &BareJid, resources: &[ResourcePresence], style: PidfStyle) -> Document {
    let entity = match (style.sip_entity, address::bare_jid_to_uri(user)) {
        (true, Ok(uri)) => uri.as_str().to_owned(),
        (true, Err(_)) | (false, _) => address::bare_jid_to_pres(user),
    };
    // The best one first: PJSIP, among others, reads the first tuple and no other.
    let mut shown: Vec<&ResourcePresence> = resources.iter().collect();
    shown.sort_by_key(|resource| availability_rank(resource));
    let best = shown.first().copied();
    if style.single_tuple {
        shown.truncate(1);
    }
    Document {
        entity,
        tuples: shown.into_iter().map(|resource| resource_to_tuple(user, resource)).collect(),
        notes: Vec::new(),
        person: best.filter(|best| style.person && best.available).and_then(|best| show_to_rpid(best.show)),
    }
}

/// The most available resource first: available, then the highest priority, then the show (RFC 8048, section 6.2).
fn availability_rank(resource: &ResourcePresence) -> (bool, i16, Show) {
    (!resource.available, -i16::from(resource.priority.unwrap_or(0)), resource.show)
}

fn resource_to_tuple(user: &BareJid, resource: &ResourcePresence) -> Tuple {
    let priority = resource.priority.unwrap_or(0);
    // A negative priority must not be mapped (RFC 8048, section 6.2, note 6): such a resource gets no messages for the
    // bare JID, so it offers no contact.
    let contact = if priority < 0 { None } else { contact_of(user, &resource.resource) };
    Tuple {
        id: address::resource_to_tuple_id(&resource.resource),
        basic: Some(if resource.available { Basic::Open } else { Basic::Closed }),
        show: resource.show.as_str().filter(|_| resource.available).map(str::to_owned),
        contact: contact.map(|uri| Contact { uri, priority: Some(priority_to_q(priority)) }),
        notes: resource.notes.clone(),
        timestamp: resource.since_ms,
        ..Tuple::default()
    }
}

fn contact_of(user: &BareJid, resource: &str) -> Option<String> {
    let full = user.with_resource(resource).ok();
    let uri = match &full {
        Some(full) => address::jid_to_uri(full),
        None => address::bare_jid_to_uri(user),
    };
    uri.ok().map(|uri| uri.as_str().to_owned())
}

/// `floor(p * 1000 / 127) / 1000` (RFC 8048, section 6.2, note 6), for priorities from 0.
fn priority_to_q(priority: i8) -> f64 {
    f64::from(i32::from(priority) * 1000 / 127) / 1000.0
}

/// Round half up of `q * 127`: the exact inverse.
fn q_to_priority(q: f64) -> i8 {
    (1..=127).rev().find(|priority| f64::from(*priority) - 0.5 <= q * 127.0).unwrap_or(0)
}

/// The activities that say what `<show/>` says, for readers that know only RPID.
fn show_to_rpid(show: Show) -> Option<Rpid> {
    let (activity, idle) = match show {
        Show::Chat | Show::Online => return None,
        Show::Away => ("away", false),
        // No activity means "for long"; vacation would assert what we do not know.
        Show::Xa => ("away", true),
        Show::Dnd => ("busy", false),
    };
    Some(Rpid { activities: vec![Activity { name: activity.to_owned(), ..Activity::default() }], idle })
}

fn rpid_to_show(rpid: &Rpid, now_ms: u64) -> Option<Show> {
    let present = rpid.activities.iter().filter(|activity| activity.is_at(now_ms));
    let by_activity = present.filter_map(|activity| match activity.name.as_str() {
        "busy" | "on-the-phone" | "meeting" | "appointment" | "presentation" | "performance" | "steering"
        | "worship" => Some(Show::Dnd),
        "away" | "meal" | "breakfast" | "lunch" | "dinner" | "shopping" | "in-transit" | "playing" | "spectator"
        | "tv" => Some(Show::Away),
        "sleeping" | "travel" | "vacation" | "holiday" | "permanent-absence" => Some(Show::Xa),
        // working, looking-for-work, other, unknown, and what RFC 4480 does not have.
        _ => None,
    });
    // Several activities: the most restrictive, which is dnd, then xa, then away.
    by_activity.max().or_else(|| rpid.idle.then_some(Show::Away))
}

/// The resources that a document shows, in its order, notes included (RFC 8048, section 6.3). Closed tuples stay out:
/// the document is the full state, so what it does not show as open is unavailable.
/// What is said of another time than `now_ms` does not count.
pub fn pidf_to_resources(document: &Document, now_ms: u64) -> Vec<ResourcePresence> {
    let mut resources: Vec<ResourcePresence> = Vec::new();
    for tuple in document.tuples.iter().filter(|tuple| is_for_messages(tuple)).take(MAX_TUPLES) {
        if tuple.basic != Some(Basic::Open) {
            continue;
        }
        let show = tuple.show.as_deref().map(|show| Show::parse(show).unwrap_or_default());
        let show = show
            .or_else(|| rpid_to_show(&tuple.rpid, now_ms))
            .or_else(|| rpid_to_show(document.person.as_ref()?, now_ms));
        let notes = if tuple.notes.is_empty() { &document.notes } else { &tuple.notes };
        let notes = notes.iter().take(MAX_NOTES).filter_map(|found| note(found.lang.clone(), &found.text)).collect();
        let resource = resource_of(tuple);
        if resources.iter().any(|other| other.resource == resource) {
            continue;
        }
        resources.push(ResourcePresence {
            resource,
            available: true,
            show: show.unwrap_or_default(),
            priority: tuple.contact.as_ref().and_then(|contact| contact.priority).map(q_to_priority),
            notes,
            since_ms: tuple.timestamp,
        });
    }
    resources
}

/// Tuples about this person that can take messages: schemes sip, sips, im, pres, or no contact at all.
fn is_for_messages(tuple: &Tuple) -> bool {
    let scheme = tuple.contact.as_ref().and_then(|contact| contact.uri.parse::<causeway_sip::uri::Uri>().ok());
    let scheme_fits = match (&tuple.contact, scheme) {
        (None, _) => true,
        (Some(contact), _) if contact.uri.is_empty() => true,
        (Some(_), Some(uri)) => matches!(uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Im | Scheme::Pres),
        (Some(_), None) => false,
    };
    scheme_fits && !tuple.is_other_person
}

/// A stable resourcepart for a tuple: the device its contact names, the resource its id encodes, or a hash. Some user
/// agents change tuple ids with each publication, so the id comes last.
fn resource_of(tuple: &Tuple) -> String {
    let uri = tuple.contact.as_ref().and_then(|contact| contact.uri.parse::<causeway_sip::uri::Uri>().ok());
    let device =
        uri.as_ref().and_then(|uri| address::uri_to_jid(uri).ok()).and_then(|jid| jid.resource().map(str::to_owned));
    device.or_else(|| address::tuple_id_to_resource(&tuple.id)).unwrap_or_else(|| {
        let named = tuple.contact.as_ref().map(|contact| contact.uri.as_str()).filter(|uri| !uri.is_empty());
        format!("t-{:08x}", fnv1a(named.unwrap_or(&tuple.id).as_bytes()))
    })
}

/// FNV-1a: stable for ever, and nothing depends on its being hard to predict.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
