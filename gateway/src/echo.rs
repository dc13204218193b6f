//! The echo contact: an address of ours that shows itself to every partner and sends back what it is told, so that a new
//! partner can be tried out without anybody on the SIP side.
//!
//! It remembers nothing: whoever asks for its presence gets it, after a restart as before (RFC 6121, sections 3.1.3,
//! 3.3.3 and 4.3.2). It answers and never begins, and no answer of it is answered by another such contact.

use std::borrow::Cow;

use bytes::Bytes;
use causeway_shared::jid::{BareJid, Jid};
use causeway_shared::xmpp::stanza_error::{StanzaCondition, StanzaError};

use crate::iq::vcard::VCard;
use crate::iq::{Addressee, Caps, ClientFeature, ClientType, UserProfile};
use crate::quota::QuotaLimits;
use crate::translate::canonical::{Node, SERVER, push_attribute, push_text};
use crate::translate::message::{MessageType, StanzaKey, message_type};
use crate::translate::presence::{Note, PresenceKind, PresenceOut, ResourcePresence};

/// The resource under which it is there.
const RESOURCE: &str = "echo";
/// What marks its messages, so that no other echo contact sends them back.
const MARK: &str = "urn:causeway:echo";
/// What marks a message that was stored on its way (XEP-0203, and its predecessor XEP-0091).
const DELAYS: [&str; 2] = ["urn:xmpp:delay", "jabber:x:delay"];
/// What one user may ask of it in a minute, whatever else is allowed: nobody types more, and two programs that answer each
/// other stop here. Iqs are bounded as everybody's are: no answer to them is one.
pub const LIMITS: QuotaLimits = QuotaLimits { subscribe: 20, probe: 60, message: 30, query: 0 };

/// The contact.
#[derive(Debug, Clone)]
pub struct EchoContact {
    address: BareJid,
    /// The address with its resource.
    device: Jid,
    caps: Caps,
    vcard: VCard,
    /// Its status in one or more languages.
    greetings: Vec<Note>,
}

/// What it says to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Echo {
    /// Nothing.
    Silence,
    /// That there is no such room.
    Refusal(StanzaError),
    /// Stanzas in this order: a receipt if one was asked for, and the text.
    Messages(Vec<Bytes>),
}

impl EchoContact {
    /// A contact of this address. `None` if the address has no room for a resource.
    pub fn new(address: BareJid, name: Option<String>, greetings: Vec<Note>) -> Option<Self> {
        let device = Jid::parse(&format!("{address}/{RESOURCE}")).ok()?;
        let caps = Caps::new(ClientType::Bot, &[ClientFeature::Receipts]);
        let vcard = VCard { full_name: name, ..VCard::default() };
        Some(Self { address, device, caps, vcard, greetings })
    }

    /// Whether a stanza is for it.
    pub fn is(&self, to: &Jid) -> bool {
        to.bare_str() == self.address.as_str()
    }

    /// The address with its resource: who its messages are from.
    pub fn device(&self) -> &Jid {
        &self.device
    }

    /// What it lets a sender of an iq know: everything, as an authorised contact would.
    pub fn addressee(&self, to: &Jid) -> Addressee<'_> {
        let profile = UserProfile { caps: &self.caps, vcard: Some(&self.vcard) };
        match to.resource() {
            None => Addressee::User(profile),
            Some(RESOURCE) => Addressee::Device(profile),
            Some(_) => Addressee::Hidden,
        }
    }

    /// What it says to a presence stanza: stanzas in canonical form, each with its sender and addressee.
    pub fn presence(&self, kind: PresenceKind, from: &Jid) -> Vec<(Jid, Jid, Bytes)> {
        let bare = from.bare().as_jid().clone();
        match kind {
            // RFC 6121, section 3.1.3: approval, then presence.
            PresenceKind::Subscribe => {
                vec![self.says(PresenceKind::Subscribed, &bare), self.says(PresenceKind::Available, &bare)]
            }
            PresenceKind::Probe => vec![self.says(PresenceKind::Available, from)],
            // Section 3.3.3.
            PresenceKind::Unsubscribe => {
                vec![self.says(PresenceKind::Unavailable, &bare), self.says(PresenceKind::Unsubscribed, &bare)]
            }
            // It asked for nothing, so none of this concerns it.
            PresenceKind::Available
            | PresenceKind::Unavailable
            | PresenceKind::Subscribed
            | PresenceKind::Unsubscribed
            | PresenceKind::Error => Vec::new(),
        }
    }

    fn says(&self, kind: PresenceKind, to: &Jid) -> (Jid, Jid, Bytes) {
        let from = match kind {
            PresenceKind::Available | PresenceKind::Unavailable => &self.device,
            PresenceKind::Subscribe
            | PresenceKind::Subscribed
            | PresenceKind::Unsubscribe
            | PresenceKind::Unsubscribed
            | PresenceKind::Probe
            | PresenceKind::Error => self.address.as_jid(),
        };
        let presence = (kind == PresenceKind::Available).then(|| ResourcePresence {
            resource: RESOURCE.to_owned(),
            available: true,
            notes: self.greetings.clone(),
            ..ResourcePresence::default()
        });
        let stanza = PresenceOut { kind, from: from.clone(), to: to.bare(), id: None, presence, delayed: false };
        (from.clone(), to.bare().as_jid().clone(), stanza.to_xml(&self.caps))
    }

    /// What it says to a message: the same text with the same type and thread (RFC 6121, sections 5.2.2 and 5.2.5).
    pub fn message(&self, xml: &[u8], from: &Jid, key: StanzaKey) -> Echo {
        let Some(stanza) = Node::parse(xml).filter(|node| node.is(SERVER, "message")) else { return Echo::Silence };
        let kind = match message_type(xml) {
            MessageType::Chat => Some("chat"),
            MessageType::Normal => None,
            // RFC 6121, section 8.5.2.1.1.
            MessageType::Groupchat => return Echo::Refusal(StanzaCondition::ServiceUnavailable.into()),
            MessageType::Headline | MessageType::Error => return Echo::Silence,
        };
        let is_own = self.is(from) || stanza.children().any(|child| child.namespace() == MARK);
        // What was written a while ago nobody waits for.
        let is_late = stanza.children().any(|child| DELAYS.contains(&child.namespace()));
        let bodies: Vec<_> = stanza.children().filter(|child| child.is(SERVER, "body")).collect();
        if is_own || is_late || bodies.iter().all(|body| body.text().trim().is_empty()) {
            return Echo::Silence;
        }
        let number = format!("{:x}-{:x}", key.origin, key.key);
        let asks_receipt = stanza.child("urn:xmpp:receipts", "request").is_some();
        let receipt = stanza.attribute("id").filter(|_| asks_receipt).map(|id| {
            let mut out = self.open(from, kind, &format!("receipt-{number}"), None);
            out.push_str("<received xmlns='urn:xmpp:receipts'");
            push_attribute(&mut out, "id", &id);
            out.push_str("/></message>");
            Bytes::from(out)
        });
        let mut out = self.open(from, kind, &format!("echo-{number}"), stanza.attribute("xml:lang"));
        for body in bodies {
            out.push_str("<body");
            if let Some(lang) = body.attribute("xml:lang") {
                push_attribute(&mut out, "xml:lang", &lang);
            }
            out.push('>');
            push_text(&mut out, &body.text());
            out.push_str("</body>");
        }
        if let Some(thread) = stanza.child(SERVER, "thread") {
            out.push_str("<thread");
            if let Some(parent) = thread.attribute("parent") {
                push_attribute(&mut out, "parent", &parent);
            }
            out.push('>');
            push_text(&mut out, &thread.text());
            out.push_str("</thread>");
        }
        out.extend(["<echo xmlns='", MARK, "'/></message>"]);
        Echo::Messages(receipt.into_iter().chain([Bytes::from(out)]).collect())
    }

    fn open(&self, to: &Jid, kind: Option<&str>, id: &str, lang: Option<Cow<'_, str>>) -> String {
        let mut out = String::with_capacity(256);
        out.push_str("<message xmlns='jabber:server'");
        push_attribute(&mut out, "from", self.device.as_str());
        push_attribute(&mut out, "to", to.as_str());
        if let Some(kind) = kind {
            push_attribute(&mut out, "type", kind);
        }
        push_attribute(&mut out, "id", id);
        if let Some(lang) = lang {
            push_attribute(&mut out, "xml:lang", &lang);
        }
        out.push('>');
        out
    }
}

#[cfg(test)]
mod tests;
