//! The answers of a domain, and of its users, to iq requests (RFC 6120, section 8.2.3; XEP-0030, XEP-0054, XEP-0092,
//! XEP-0199).
//!
//! Each get or set gets exactly one answer, made here and now: no iq causes SIP traffic, so none can be used to find out
//! about a user. Whom we would not show presence to learns nothing, not even whether the user exists: his answers are the
//! same bytes for everybody. `disco` says what an entity is, `caps` announces it in presence, `vcard` is a user's card.

use std::collections::HashMap;

use bytes::Bytes;
use causeway_shared::jid::{BareJid, Jid};
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};

use crate::translate::canonical::{Node, SERVER, push_attribute, push_text};
use crate::translate::error::push_error;

mod caps;
mod disco;
pub mod vcard;

pub use caps::{Caps, ClientFeature, ClientType};
pub use disco::{ContactAddresses, ContactRole};
use vcard::VCard;

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const PING: &str = "urn:xmpp:ping";
const VERSION: &str = "jabber:iq:version";
const VCARD: &str = "vcard-temp";
/// What the gateway calls itself.
const PRODUCT: &str = "Causeway";

/// What partners may be told about the domains and their users.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// The domains.
    pub domain: DomainProfile,
    /// What a SIP user's client can, as far as the gateway stands in for it.
    pub clients: Caps,
    /// The cards of users who have one.
    pub vcards: HashMap<BareJid, VCard>,
}

/// What a domain says about itself.
#[derive(Debug, Clone, Default)]
pub struct DomainProfile {
    /// The software's version, where the operator lets it be known (XEP-0092).
    pub version: Option<String>,
    /// The operating system, where the operator lets it be known.
    pub os: Option<String>,
    /// Whom to turn to (XEP-0157).
    pub contacts: ContactAddresses,
}

/// What a user says about himself.
#[derive(Debug, Clone, Copy)]
pub struct UserProfile<'a> {
    /// What his clients can.
    pub caps: &'a Caps,
    /// His card; without one he has an empty one.
    pub vcard: Option<&'a VCard>,
}

impl Directory {
    /// What a user says about himself.
    pub fn user(&self, user: &BareJid) -> UserProfile<'_> {
        UserProfile { caps: &self.clients, vcard: self.vcards.get(user) }
    }
}

/// Whom an iq is for, and how the sender stands to him.
#[derive(Debug, Clone, Copy)]
pub enum Addressee<'a> {
    /// The domain.
    Domain(&'a DomainProfile),
    /// A user whose presence the sender may see.
    User(UserProfile<'a>),
    /// A device of such a user that the sender has been told of.
    Device(UserProfile<'a>),
    /// A user or device that the sender may know nothing about.
    Hidden,
}

/// What an iq is about, by the namespace of its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Identity and features (XEP-0030, section 3).
    Info,
    /// Items (XEP-0030, section 4).
    Items,
    /// Whether anybody is there (XEP-0199).
    Ping,
    /// The software (XEP-0092).
    Version,
    /// A user's card (XEP-0054).
    VCard,
    /// What nobody here knows.
    Unknown,
    /// Nothing, or several things.
    None,
}

impl Topic {
    fn of(namespace: &str) -> Self {
        match namespace {
            DISCO_INFO => Self::Info,
            DISCO_ITEMS => Self::Items,
            PING => Self::Ping,
            VERSION => Self::Version,
            VCARD => Self::VCard,
            _ => Self::Unknown,
        }
    }

    /// The name of the element that asks, where the namespace is known.
    fn element(self) -> Option<&'static str> {
        match self {
            Self::Info | Self::Items | Self::Version => Some("query"),
            Self::Ping => Some("ping"),
            Self::VCard => Some("vCard"),
            Self::Unknown | Self::None => None,
        }
    }

    /// The label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "disco_info",
            Self::Items => "disco_items",
            Self::Ping => "ping",
            Self::Version => "version",
            Self::VCard => "vcard",
            Self::Unknown => "unknown",
            Self::None => "none",
        }
    }
}

/// The answer to an iq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The stanza in canonical form.
    pub xml: Bytes,
    /// What was asked.
    pub topic: Topic,
    /// Whether it is a result, and not an error.
    pub is_result: bool,
}

/// Whether an iq wants an answer: results and errors never do, and we ask nothing that they could answer.
pub fn is_request(xml: &[u8]) -> bool {
    let kind = Node::parse(xml).and_then(|iq| iq.attribute("type"));
    !matches!(kind.as_deref(), Some("result" | "error"))
}

/// The answer to an iq; `None` for results and errors, which are never answered.
pub fn answer(xml: &[u8], from: &Jid, to: &Jid, addressee: Addressee<'_>) -> Option<Reply> {
    reply(xml, from, to, |kind, payload, topic| match (kind, addressee, payload) {
        (_, Addressee::Hidden, _) => Err(unavailable()),
        (Some("get"), _, Some(payload)) => get(topic, payload, addressee),
        (Some("set"), _, Some(_)) => Err(refused_set(topic)),
        // RFC 6120, section 8.2.3: a known type, and exactly one child.
        (_, _, _) => Err(StanzaCondition::BadRequest.into()),
    })
}

/// The answer to an iq that is too much, whatever it asks and whomever.
pub fn refuse(xml: &[u8], from: &Jid, to: &Jid) -> Option<Reply> {
    reply(xml, from, to, |_, _, _| Err(StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint)))
}

/// Answers by type, payload if there is exactly one, and topic.
fn reply<'a>(
    xml: &'a [u8],
    from: &Jid,
    to: &Jid,
    decide: impl FnOnce(Option<&str>, Option<&Node<'a>>, Topic) -> Result<String, StanzaError>,
) -> Option<Reply> {
    let iq = Node::parse(xml).filter(|node| node.is(SERVER, "iq"))?;
    let kind = iq.attribute("type");
    if matches!(kind.as_deref(), Some("result" | "error")) {
        return None;
    }
    let payload = only_child(&iq);
    let topic = payload.map_or(Topic::None, |payload| Topic::of(payload.namespace()));
    let reply = decide(kind.as_deref(), payload.as_ref(), topic);
    let mut out = String::with_capacity(256);
    out.push_str("<iq xmlns='jabber:server'");
    push_attribute(&mut out, "from", to.as_str());
    push_attribute(&mut out, "to", from.as_str());
    push_attribute(&mut out, "type", if reply.is_ok() { "result" } else { "error" });
    if let Some(id) = iq.attribute("id") {
        push_attribute(&mut out, "id", &id);
    }
    out.push('>');
    match &reply {
        Ok(payload) => out.push_str(payload),
        Err(error) => push_error(&mut out, error),
    }
    out.push_str("</iq>");
    Some(Reply { xml: Bytes::from(out), topic, is_result: reply.is_ok() })
}

/// The one child that a request must have (RFC 6120, section 8.2.3).
fn only_child<'a>(iq: &Node<'a>) -> Option<Node<'a>> {
    let mut children = iq.children();
    children.next().filter(|_| children.next().is_none())
}

/// Nothing can be set. XEP-0199, section 4: a ping is a get.
fn refused_set(topic: Topic) -> StanzaError {
    match topic {
        Topic::Ping => StanzaCondition::BadRequest.into(),
        Topic::Info | Topic::Items | Topic::Version | Topic::VCard | Topic::Unknown | Topic::None => unavailable(),
    }
}

fn get(topic: Topic, payload: &Node<'_>, addressee: Addressee<'_>) -> Result<String, StanzaError> {
    if topic.element().is_some_and(|name| name != payload.name()) {
        return Err(StanzaCondition::BadRequest.into());
    }
    match (topic, addressee) {
        (Topic::Info, _) => disco::info(payload, addressee),
        (Topic::Items, _) => disco::items(payload),
        (Topic::Ping, _) => Ok(String::new()),
        (Topic::Version, Addressee::Domain(profile)) => Ok(version(profile)),
        (Topic::VCard, Addressee::User(profile) | Addressee::Device(profile)) => {
            Ok(profile.vcard.map_or_else(|| VCard::default().to_xml(), VCard::to_xml))
        }
        (Topic::Version | Topic::VCard | Topic::Unknown | Topic::None, _) => Err(unavailable()),
    }
}

/// XEP-0092, section 3: name and version must be there, so a hidden version is an empty one.
fn version(profile: &DomainProfile) -> String {
    let mut out = format!("<query xmlns='{VERSION}'><name>{PRODUCT}</name><version>");
    push_text(&mut out, profile.version.as_deref().unwrap_or_default());
    out.push_str("</version>");
    if let Some(os) = &profile.os {
        out.push_str("<os>");
        push_text(&mut out, os);
        out.push_str("</os>");
    }
    out.push_str("</query>");
    out
}

/// The one answer for "not here", "not for you" and "nobody knows".
fn unavailable() -> StanzaError {
    StanzaError::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable)
}

#[cfg(test)]
mod tests;
