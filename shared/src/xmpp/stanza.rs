//! Stanzas between servers (RFC 6120, section 8): bytes in, canonical bytes and addresses out, in one pass.
//!
//! This is the hot path of the edge and the only door into the network behind it. What passes is well-formed, within
//! its limits, addressed, and written anew from what was understood, so that a second reader cannot understand
//! something else (CVE-2022-22784). What the canonical form looks like:
//!
//! - `xmlns='jabber:server'` on the stanza, then `from`, `to`, `type`, `id` and `xml:lang` in this order, the addresses
//!   prepared (RFC 7622); attributes that the schema does not know are gone (RFC 6120, section 8.1).
//! - No prefixes: an element whose namespace is not its parent's declares a default namespace. Attributes in a
//!   namespace need a prefix: `xml`, or `ns0`, `ns1` and so on, declared on their element.
//! - Values between apostrophes, minimal escapes, no CDATA, empty elements closed at once.
//!
//! Reading a canonical stanza gives the same bytes again.

use bytes::{Bytes, BytesMut};

use super::element::Element;
use super::ns;
use super::scope::StreamScope;
use super::stream_error::{StreamCondition, StreamFault};
use super::write;
use super::xml::{self, Namespace, Token, Tokenizer, Value};
use crate::jid::Jid;
use crate::limits::Limits;

/// The three kinds of stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StanzaKind {
    /// Push (RFC 6121, section 5).
    Message,
    /// Publish and subscribe (RFC 6121, sections 3 and 4).
    Presence,
    /// Request and response (RFC 6120, section 8.2.3).
    Iq,
}

impl StanzaKind {
    /// The name of the stanza's element.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }

    /// The kind by the name of the element.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "message" => Some(Self::Message),
            "presence" => Some(Self::Presence),
            "iq" => Some(Self::Iq),
            _ => None,
        }
    }
}

/// The `type` of a stanza, of whichever kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StanzaType {
    /// An error, of every kind.
    Error,
    /// An iq that asks.
    Get,
    /// An iq that changes.
    Set,
    /// An iq that answers.
    Result,
    /// A message of a conversation.
    Chat,
    /// A message of a room.
    Groupchat,
    /// A message that expects no answer.
    Headline,
    /// A message by itself.
    Normal,
    /// Presence that has gone.
    Unavailable,
    /// A request to see presence.
    Subscribe,
    /// Permission to see presence.
    Subscribed,
    /// A subscription taken back.
    Unsubscribe,
    /// A permission denied or taken back.
    Unsubscribed,
    /// A question for current presence.
    Probe,
    /// Unknown: a message is then `normal` (RFC 6121, section 5.2.2), presence a fault of the sender (section 4.7.1).
    Unknown,
}

impl StanzaType {
    /// The type by the value of the attribute, as the stanza's kind knows it.
    pub fn parse(kind: StanzaKind, value: &str) -> Self {
        match (kind, value) {
            (_, "error") => Self::Error,
            (StanzaKind::Iq, "get") => Self::Get,
            (StanzaKind::Iq, "set") => Self::Set,
            (StanzaKind::Iq, "result") => Self::Result,
            (StanzaKind::Message, "chat") => Self::Chat,
            (StanzaKind::Message, "groupchat") => Self::Groupchat,
            (StanzaKind::Message, "headline") => Self::Headline,
            (StanzaKind::Message, "normal") => Self::Normal,
            (StanzaKind::Presence, "unavailable") => Self::Unavailable,
            (StanzaKind::Presence, "subscribe") => Self::Subscribe,
            (StanzaKind::Presence, "subscribed") => Self::Subscribed,
            (StanzaKind::Presence, "unsubscribe") => Self::Unsubscribe,
            (StanzaKind::Presence, "unsubscribed") => Self::Unsubscribed,
            (StanzaKind::Presence, "probe") => Self::Probe,
            _ => Self::Unknown,
        }
    }
}

/// What is known of a stanza that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its kind.
    pub kind: StanzaKind,
    /// Its sender.
    pub from: Jid,
    /// Its recipient.
    pub to: Jid,
    /// Its type, where it has one.
    pub stanza_type: Option<StanzaType>,
    /// Its id, where it has one; an iq always does.
    pub id: Option<Box<str>>,
}

/// Reads one first-level element, which must be a stanza, and appends its canonical form to `out`.
///
/// An element that is no stanza is refused with `unsupported-stanza-type` before anything else about it is judged, so
/// a caller that expects other elements here, too, hands those to [`super::element::Element::parse`]. On any fault
/// `out` is as it was.
pub fn read(bytes: &[u8], scope: &StreamScope, limits: &Limits, out: &mut BytesMut) -> Result<Checked, StreamFault> {
    let before = out.len();
    out.reserve(bytes.len() + ROOM_FOR_DECLARATIONS);
    let result = read_stanza(bytes, scope, limits, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// A canonical stanza as another server expects it: with the domains of its addresses in U-labels (RFC 7622, section
/// 3.2.1). Nearly every stanza is that already.
pub fn for_partner(canonical: Bytes, limits: &Limits) -> Bytes {
    if memchr::memmem::find(&canonical, b"xn--").is_none() {
        return canonical;
    }
    let Ok(mut stanza) = Element::parse(&canonical, &StreamScope::server(), limits) else { return canonical };
    for name in ["from", "to"] {
        if let Some(jid) = stanza.attribute(name).and_then(|address| Jid::parse(address).ok()) {
            stanza.set_attribute(name, jid.to_unicode());
        }
    }
    stanza.to_bytes()
}

/// What the canonical form of most stanzas has more than what arrived: `xmlns='jabber:server'`, a language.
const ROOM_FOR_DECLARATIONS: usize = 64;

fn read_stanza(bytes: &[u8], scope: &StreamScope, limits: &Limits, out: &mut BytesMut) -> Result<Checked, StreamFault> {
    if bytes.len() > limits.byte_stanza {
        return Err(TOO_LARGE);
    }
    let mut tokens = Tokenizer::new(bytes, scope, limits)?;
    let (Token::Start, Some(element)) = (tokens.next()?, tokens.element()) else {
        return Err(StreamFault::new(StreamCondition::NotWellFormed, "the stanza does not begin with a tag"));
    };
    let kind = StanzaKind::parse(element.local);
    let kind = match (element.namespace, kind) {
        (xml::SERVER, Some(kind)) => kind,
        (other, Some(_)) if matches!(tokens.namespace_name(other), ns::CLIENT | "") => {
            return Err(StreamFault::new(StreamCondition::InvalidNamespace, "a stanza outside jabber:server"));
        }
        _ => return Err(StreamFault::new(StreamCondition::UnsupportedStanzaType, "the element is no stanza")),
    };
    let limit = out.len() + limits.byte_stanza;
    let checked = write_stanza_start(kind, &tokens, scope, out)?;
    write_content(&mut tokens, limit, out)?;
    Ok(checked)
}

/// The attributes that a stanza may have (RFC 6120, section 8.1).
#[derive(Default)]
struct Common<'a> {
    from: Option<Value<'a>>,
    to: Option<Value<'a>>,
    stanza_type: Option<Value<'a>>,
    id: Option<Value<'a>>,
    language: Option<Value<'a>>,
}

fn common_attributes<'a>(tokens: &Tokenizer<'a>) -> Result<Common<'a>, StreamFault> {
    let mut common = Common::default();
    for attribute in tokens.attributes() {
        let place = match (attribute.namespace, attribute.local) {
            (xml::NONE, "from") => &mut common.from,
            (xml::NONE, "to") => &mut common.to,
            (xml::NONE, "type") => &mut common.stanza_type,
            (xml::NONE, "id") => &mut common.id,
            (xml::XML, "lang") => &mut common.language,
            (xml::STREAM, _) => return Err(NESTED_STREAM),
            _ => continue,
        };
        *place = Some(attribute.value);
    }
    Ok(common)
}

fn write_stanza_start(
    kind: StanzaKind,
    tokens: &Tokenizer<'_>,
    scope: &StreamScope,
    out: &mut BytesMut,
) -> Result<Checked, StreamFault> {
    let common = common_attributes(tokens)?;
    let from = address(common.from, "the stanza has no valid from")?;
    let to = address(common.to, "the stanza has no valid to")?;
    let stanza_type = common.stanza_type.map(|value| StanzaType::parse(kind, &value.text()));
    let id = common.id.map(|value| Box::from(&*value.text()));
    if kind == StanzaKind::Iq {
        if id.is_none() {
            return Err(StreamFault::new(StreamCondition::InvalidXml, "an iq without id"));
        }
        if !matches!(stanza_type, Some(StanzaType::Get | StanzaType::Set | StanzaType::Result | StanzaType::Error)) {
            return Err(StreamFault::new(StreamCondition::InvalidXml, "an iq without a known type"));
        }
    }
    out.extend_from_slice(match kind {
        StanzaKind::Message => b"<message xmlns='jabber:server'",
        StanzaKind::Presence => b"<presence xmlns='jabber:server'",
        StanzaKind::Iq => b"<iq xmlns='jabber:server'",
    });
    write::attribute(out, "from", from.as_str());
    write::attribute(out, "to", to.as_str());
    for (name, value) in [("type", common.stanza_type), ("id", common.id), ("xml:lang", common.language)] {
        if let Some(value) = value {
            write::attribute_open(out, name);
            write::checked_value(out, value);
            out.extend_from_slice(b"'");
        }
    }
    if let (None, Some(language)) = (common.language, scope.language()) {
        write::attribute(out, "xml:lang", language);
    }
    Ok(Checked { kind, from, to, stanza_type, id })
}

fn address(value: Option<Value<'_>>, cause: &'static str) -> Result<Jid, StreamFault> {
    value
        .and_then(|value| Jid::parse(&value.text()).ok())
        .ok_or(StreamFault::new(StreamCondition::ImproperAddressing, cause))
}

/// Everything after the stanza's start tag, which still lacks its `>`.
fn write_content(tokens: &mut Tokenizer<'_>, limit: usize, out: &mut BytesMut) -> Result<(), StreamFault> {
    let mut open = true;
    loop {
        match tokens.next()? {
            Token::Start => {
                if open {
                    out.extend_from_slice(b">");
                }
                write_start(tokens, out)?;
                open = true;
            }
            Token::Text(text) if text.raw.is_empty() => {}
            Token::Text(text) => {
                if open {
                    out.extend_from_slice(b">");
                }
                write::checked_text(out, text);
                open = false;
            }
            Token::End(_) if open => {
                out.extend_from_slice(b"/>");
                open = false;
            }
            Token::End(name) => {
                out.extend_from_slice(b"</");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b">");
            }
            Token::Done => return Ok(()),
        }
        // A namespace name that is declared once and written often could make much of little.
        if out.len() > limit {
            return Err(TOO_LARGE);
        }
    }
}

/// The start tag of an element within a stanza, without its `>`.
fn write_start(tokens: &Tokenizer<'_>, out: &mut BytesMut) -> Result<(), StreamFault> {
    let Some(element) = tokens.element() else { return Ok(()) };
    out.extend_from_slice(b"<");
    out.extend_from_slice(element.local.as_bytes());
    if element.namespace != tokens.outer_namespace() {
        if element.namespace == xml::STREAM {
            return Err(NESTED_STREAM);
        }
        write::attribute(out, "xmlns", tokens.namespace_name(element.namespace));
    }
    if tokens.attributes().is_empty() {
        return Ok(());
    }
    let prefixed = declare_prefixes(tokens, out)?;
    // Declarations count where the canonical form is read.
    let declarations = prefixed.len() + usize::from(element.namespace != tokens.outer_namespace());
    if declarations + tokens.attributes().len() > tokens.limits().attributes {
        return Err(TOO_MANY_ATTRIBUTES);
    }
    for attribute in tokens.attributes() {
        match attribute.namespace {
            xml::NONE => write::attribute_open(out, attribute.local),
            xml::XML => {
                out.extend_from_slice(b" xml:");
                out.extend_from_slice(attribute.local.as_bytes());
                out.extend_from_slice(b"='");
            }
            other => {
                let index = prefixed.iter().position(|known| *known == other).unwrap_or_default();
                write::attribute_open(out, &format!("ns{index}:{}", attribute.local));
            }
        }
        write::checked_value(out, attribute.value);
        out.extend_from_slice(b"'");
    }
    Ok(())
}

/// Declares a prefix for each namespace that attributes of this element are in, and tells them in order.
fn declare_prefixes(tokens: &Tokenizer<'_>, out: &mut BytesMut) -> Result<Vec<Namespace>, StreamFault> {
    let mut prefixed: Vec<Namespace> = Vec::new();
    for attribute in tokens.attributes() {
        let namespace = attribute.namespace;
        if matches!(namespace, xml::NONE | xml::XML) || prefixed.contains(&namespace) {
            continue;
        }
        if namespace == xml::STREAM {
            return Err(NESTED_STREAM);
        }
        write::attribute(out, &format!("xmlns:ns{}", prefixed.len()), tokens.namespace_name(namespace));
        prefixed.push(namespace);
    }
    Ok(prefixed)
}

const TOO_LARGE: StreamFault = StreamFault::new(StreamCondition::PolicyViolation, "the stanza is too large");
const TOO_MANY_ATTRIBUTES: StreamFault =
    StreamFault::new(StreamCondition::PolicyViolation, "an element has too many attributes");
const NESTED_STREAM: StreamFault =
    StreamFault::new(StreamCondition::InvalidXml, "a name of the stream's namespace within a stanza");

#[cfg(test)]
pub(in crate::xmpp) mod tests;
