//! What a message stanza says, and how one is written: pager messages and sessions read and write the same stanzas.
//!
//! Read in one pass over the canonical form: texts (RFC 6121, section 5.2), chat states (XEP-0085), receipts (XEP-0184),
//! markers (XEP-0333), delay (XEP-0203), and whether the text is only a stand-in for something encrypted (XEP-0380).
//! Not read: XHTML-IM, reactions, corrections, hints; SIP has no words for them.

use std::borrow::Cow;

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::{StanzaCondition, StanzaError};

use super::canonical::{Node, SERVER, push_attribute, push_text};
use super::content::Text;
use super::date;
use super::presence::{is_language_tag, read_error};

/// Chat markers (XEP-0333).
const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// A time this much before the arrival is worth a delay stamp.
const DELAY_WORTH_TELLING_MS: u64 = 60_000;
/// A time this much in the future is a wrong clock.
const MAX_SKEW_MS: u64 = 300_000;

/// The type of a message stanza as far as the answer depends on it (RFC 6121, section 5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 6121")]
pub enum MessageType {
    Normal,
    Chat,
    Headline,
    Groupchat,
    Error,
}

impl MessageType {
    /// The type of a stanza; missing and unknown types are normal.
    fn of(stanza: &Node<'_>) -> Self {
        match stanza.attribute("type").as_deref() {
            Some("chat") => Self::Chat,
            Some("headline") => Self::Headline,
            Some("groupchat") => Self::Groupchat,
            Some("error") => Self::Error,
            Some(_) | None => Self::Normal,
        }
    }
}

/// A chat state (XEP-0085, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of XEP-0085")]
pub enum ChatState {
    Active,
    Composing,
    Paused,
    Inactive,
    Gone,
}

impl ChatState {
    /// The name of the element.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Composing => "composing",
            Self::Paused => "paused",
            Self::Inactive => "inactive",
            Self::Gone => "gone",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let all = [Self::Active, Self::Composing, Self::Paused, Self::Inactive, Self::Gone];
        all.into_iter().find(|state| state.as_str() == name)
    }
}

/// How the text of a message is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// OMEMO (XEP-0384).
    Omemo,
    /// OpenPGP for XMPP (XEP-0373).
    OpenPgp,
    /// OpenPGP as it was before (XEP-0027).
    LegacyPgp,
    /// Off-the-Record messaging (XEP-0364).
    Otr,
    /// A method that names itself by XEP-0380 only.
    Other,
}

/// What a message stanza says.
#[derive(Debug, Clone)]
pub struct StanzaContent<'a> {
    /// `id`.
    pub id: Option<Cow<'a, str>>,
    /// `type`.
    pub message_type: MessageType,
    /// The language of the body, else of the stanza.
    pub lang: Option<Cow<'a, str>>,
    /// The body of the best language, perhaps blank.
    pub body: Option<Cow<'a, str>>,
    /// The subject of the best language, not blank.
    pub subject: Option<Cow<'a, str>>,
    /// The thread, not empty.
    pub thread: Option<Cow<'a, str>>,
    /// The chat state.
    pub chat_state: Option<ChatState>,
    /// Whether a receipt is wanted.
    pub wants_receipt: bool,
    /// The message that a receipt is for.
    pub received: Option<Cow<'a, str>>,
    /// Whether the sender wants to know that it was seen.
    pub is_markable: bool,
    /// The message that was seen.
    pub displayed: Option<Cow<'a, str>>,
    /// When it was sent, if a credible party says so, in Unix milliseconds.
    pub sent_ms: Option<u64>,
    /// What stands instead of a readable text.
    pub encryption: Option<Encryption>,
    /// Whether keys of OMEMO are carried without a text (XEP-0384, section 4.6).
    pub is_key_transport: bool,
    error: Option<Node<'a>>,
}

/// What a message stanza is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Something to read.
    Text,
    /// Something that only the recipient's client could read.
    Encrypted(Encryption),
    /// A chat state, receipt or marker.
    Signal,
    /// Nothing that the gateway knows; nobody is told (RFC 6121, section 8.5).
    Nothing,
}

impl<'a> StanzaContent<'a> {
    /// Reads a canonical stanza that `from` sent. `None` if it is no message.
    pub fn read(xml: &'a [u8], from: &Jid) -> Option<Self> {
        let stanza = Node::parse(xml).filter(|node| node.is(SERVER, "message"))?;
        let lang = stanza.attribute("xml:lang");
        let (mut body, mut subject): (Option<Node<'a>>, Option<Node<'a>>) = (None, None);
        let mut content = Self {
            id: stanza.attribute("id"),
            message_type: MessageType::of(&stanza),
            lang: None,
            body: None,
            subject: None,
            thread: None,
            chat_state: None,
            wants_receipt: false,
            received: None,
            is_markable: false,
            displayed: None,
            sent_ms: None,
            encryption: None,
            is_key_transport: false,
            error: None,
        };
        for child in stanza.children() {
            match (child.namespace(), child.name()) {
                (SERVER, "body") => prefer(&mut body, child, lang.as_deref()),
                (SERVER, "subject") => prefer(&mut subject, child, lang.as_deref()),
                (SERVER, "thread") => content.thread = Some(child.text()).filter(|thread| !thread.is_empty()),
                (SERVER, "error") => content.error = Some(child),
                (SERVER, _) => {}
                _ => content.take_extension(child, from),
            }
        }
        content.subject = subject.as_ref().map(Node::text).filter(|subject| !subject.trim().is_empty());
        content.lang = body.as_ref().and_then(|body| body.attribute("xml:lang")).or(lang);
        content.body = body.as_ref().map(Node::text);
        // A query of OTR may hold words for people; what follows it is ciphertext, whole or in fragments.
        let is_otr = |body: &str| ["?OTR:", "?OTR,", "?OTR|"].iter().any(|start| body.starts_with(start));
        if content.body.as_deref().is_some_and(is_otr) {
            content.encryption = Some(Encryption::Otr);
        }
        Some(content)
    }

    fn take_extension(&mut self, child: Node<'a>, from: &Jid) {
        match (child.namespace(), child.name()) {
            (ns::CHAT_STATES, name) => self.chat_state = ChatState::parse(name),
            (ns::RECEIPTS, "request") => self.wants_receipt = true,
            (ns::RECEIPTS, "received") => self.received = child.attribute("id"),
            (MARKERS, "markable") => self.is_markable = true,
            (MARKERS, "displayed") => self.displayed = child.attribute("id"),
            // A stamp of somebody else than the sender's server or the sender is hearsay.
            (ns::DELAY, "delay") => {
                let is_credible =
                    child.attribute("from").is_some_and(|by| by == from.domain() || by == from.bare_str());
                let stamp = child.attribute("stamp").filter(|_| is_credible);
                self.sent_ms = stamp.and_then(|stamp| date::read_timestamp(&stamp));
            }
            ("eu.siacs.conversations.axolotl" | "urn:xmpp:omemo:1" | "urn:xmpp:omemo:2", "encrypted") => {
                match child.children().any(|part| part.name() == "payload") {
                    true => self.encryption = Some(Encryption::Omemo),
                    false => self.is_key_transport = true,
                }
            }
            ("urn:xmpp:openpgp:0", "openpgp") => self.encryption = Some(Encryption::OpenPgp),
            ("jabber:x:encrypted", "x") => self.encryption = Some(Encryption::LegacyPgp),
            // Clients put it beside the payload; alone, it names a method that we do not know.
            ("urn:xmpp:eme:0", "encryption") if self.encryption.is_none() && !self.is_key_transport => {
                self.encryption = Some(Encryption::Other);
            }
            _ => {}
        }
    }

    /// What the stanza is for, whatever its type.
    pub fn meaning(&self) -> Meaning {
        if let Some(encryption) = self.encryption
            && !(self.is_key_transport && encryption == Encryption::Other)
        {
            return Meaning::Encrypted(encryption);
        }
        if self.text().is_some() {
            return Meaning::Text;
        }
        // A receipt is for a message that it names.
        let is_signal = self.chat_state.is_some() || self.received.is_some() || self.displayed.is_some();
        if is_signal && self.body.is_none() { Meaning::Signal } else { Meaning::Nothing }
    }

    /// The text to deliver: the body, or the subject of a message that is nothing else and no part of a chat.
    pub fn text(&self) -> Option<&str> {
        let text = match (&self.body, &self.subject) {
            (Some(body), _) => Some(body),
            (None, Some(subject)) if self.message_type == MessageType::Normal => Some(subject),
            (None, _) => None,
        };
        text.map(|text| &**text).filter(|text| !text.trim().is_empty())
    }

    /// The error of a stanza of that type.
    pub fn error(&self) -> StanzaError {
        let error = self.error.as_ref().map(read_error);
        error.unwrap_or_else(|| StanzaError::from(StanzaCondition::UndefinedCondition))
    }
}

/// Keeps the first, unless another is in the stanza's own language (RFC 7572, section 8).
fn prefer<'a>(kept: &mut Option<Node<'a>>, found: Node<'a>, lang: Option<&str>) {
    let is_ours = |node: &Node<'_>| match (node.attribute("xml:lang"), lang) {
        (Some(own), Some(lang)) => own.eq_ignore_ascii_case(lang),
        (None, _) => true,
        (Some(_), None) => false,
    };
    match kept {
        Some(first) if is_ours(first) || !is_ours(&found) => {}
        Some(_) | None => *kept = Some(found),
    }
}

/// The type of a canonical message stanza; missing and unknown types are normal.
pub fn message_type(xml: &[u8]) -> MessageType {
    Node::parse(xml).map_or(MessageType::Normal, |stanza| MessageType::of(&stanza))
}

/// The `id` of a canonical stanza of any kind.
pub fn stanza_id(xml: &[u8]) -> Option<String> {
    Node::parse(xml)?.attribute("id").map(Cow::into_owned)
}

/// A time that a sender names, unless his clock is wrong.
pub fn believable(sent_ms: u64, now_ms: u64) -> Option<u64> {
    (sent_ms <= now_ms.saturating_add(MAX_SKEW_MS)).then_some(sent_ms)
}

/// A message stanza to write.
#[derive(Debug, Clone)]
pub struct MessageStanza<'a> {
    /// From whom.
    pub from: &'a Jid,
    /// To whom.
    pub to: &'a Jid,
    /// `id`.
    pub id: Option<&'a str>,
    /// Whether the type is `chat`; else there is none.
    pub is_chat: bool,
    /// `xml:lang`, if it is a language tag.
    pub lang: Option<&'a str>,
    /// The subject.
    pub subject: Option<&'a str>,
    /// The body.
    pub body: Option<&'a str>,
    /// The inside of an XHTML-IM body, well-formed.
    pub xhtml: Option<&'a str>,
    /// The thread.
    pub thread: Option<&'a str>,
    /// The chat state.
    pub chat_state: Option<ChatState>,
    /// Whether a receipt is wanted.
    pub wants_receipt: bool,
    /// Whether a marker is wanted.
    pub is_markable: bool,
    /// The message that a receipt is for.
    pub received: Option<&'a str>,
    /// The message that was seen.
    pub displayed: Option<&'a str>,
    /// A delay stamp, in Unix milliseconds.
    pub sent_ms: Option<u64>,
}

impl<'a> MessageStanza<'a> {
    /// An empty message.
    pub const fn new(from: &'a Jid, to: &'a Jid) -> Self {
        Self {
            from,
            to,
            id: None,
            is_chat: false,
            lang: None,
            subject: None,
            body: None,
            xhtml: None,
            thread: None,
            chat_state: None,
            wants_receipt: false,
            is_markable: false,
            received: None,
            displayed: None,
            sent_ms: None,
        }
    }

    /// What a SIP body says: its text, and of its wrapping subject, id, wishes and time. Whether markers are in use is
    /// the operator's choice.
    #[must_use]
    pub fn with_text(mut self, text: &'a Text<'_>, with_markers: bool, now_ms: u64) -> Self {
        self.body = Some(&*text.body).filter(|body| !body.trim().is_empty());
        self.xhtml = text.xhtml.as_deref();
        if let Some(wrapping) = &text.wrapping {
            self.subject = wrapping.subject.as_deref().filter(|subject| !subject.trim().is_empty()).or(self.subject);
            self.id = wrapping.message_id.as_deref().or(self.id);
            // Without a Message-ID there is nothing that an answer could name.
            self.wants_receipt |= wrapping.wishes.delivered && wrapping.message_id.is_some();
            self.is_markable = wrapping.wishes.displayed && wrapping.message_id.is_some() && with_markers;
        }
        if let Some(sent) = text.sent_ms() {
            self = self.with_date(sent, now_ms);
        }
        self
    }

    /// When it was sent, if that is believable and long enough ago to be worth telling.
    #[must_use]
    pub fn with_date(mut self, sent_ms: u64, now_ms: u64) -> Self {
        let sent = believable(sent_ms, now_ms);
        self.sent_ms = sent.filter(|sent| sent.saturating_add(DELAY_WORTH_TELLING_MS) < now_ms).or(self.sent_ms);
        self
    }

    /// The stanza in canonical form.
    pub fn to_xml(&self) -> Bytes {
        let text = self.body.map_or(0, str::len) + self.xhtml.map_or(0, str::len);
        let mut xml = String::with_capacity(text + 384);
        xml.push_str("<message xmlns='jabber:server'");
        push_attribute(&mut xml, "from", self.from.as_str());
        push_attribute(&mut xml, "to", self.to.as_str());
        if let Some(id) = self.id {
            push_attribute(&mut xml, "id", id);
        }
        if self.is_chat {
            push_attribute(&mut xml, "type", "chat");
        }
        if let Some(lang) = self.lang.filter(|lang| is_language_tag(lang)) {
            push_attribute(&mut xml, "xml:lang", lang);
        }
        xml.push('>');
        for (name, text) in [("subject", self.subject), ("body", self.body), ("thread", self.thread)] {
            if let Some(text) = text {
                xml.extend(["<", name, ">"]);
                push_text(&mut xml, text);
                xml.extend(["</", name, ">"]);
            }
        }
        self.push_extensions(&mut xml);
        xml.push_str("</message>");
        Bytes::from(xml)
    }

    fn push_extensions(&self, xml: &mut String) {
        if let Some(xhtml) = self.xhtml {
            xml.push_str(
                "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>",
            );
            xml.extend([xhtml, "</body></html>"]);
        }
        if let Some(state) = self.chat_state {
            xml.extend(["<", state.as_str(), " xmlns='", ns::CHAT_STATES, "'/>"]);
        }
        if self.wants_receipt {
            xml.extend(["<request xmlns='", ns::RECEIPTS, "'/>"]);
        }
        if self.is_markable {
            xml.extend(["<markable xmlns='", MARKERS, "'/>"]);
        }
        for (name, namespace, id) in [("received", ns::RECEIPTS, self.received), ("displayed", MARKERS, self.displayed)]
        {
            if let Some(id) = id {
                xml.extend(["<", name, " xmlns='", namespace, "'"]);
                push_attribute(xml, "id", id);
                xml.push_str("/>");
            }
        }
        if let Some(sent) = self.sent_ms {
            xml.extend(["<delay xmlns='", ns::DELAY, "'"]);
            push_attribute(xml, "from", self.from.domain());
            push_attribute(xml, "stamp", &date::write_timestamp(sent));
            xml.push_str("/>");
        }
    }
}

#[cfg(test)]
#[path = "message_stanza_tests.rs"]
mod tests;
