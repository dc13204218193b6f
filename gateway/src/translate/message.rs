//! Pager-mode messages (RFC 7572): a message stanza and a SIP MESSAGE (RFC 3428), both directions.
//!
//! Lost towards SIP: everything but body, subject, thread, language and delay; message type. Lost towards XMPP: display
//! names, rich text, priority headers. Not here: chat states, receipts, sessions, whether the message may pass.

use std::borrow::Cow;

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::field::{CallId, NameAddr, Token};
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::ids::branch_of;
use causeway_sip::message::{Identity, Request, Response};
use causeway_sip::method::{Method, Status};

use super::address;
use super::canonical::{Node, SERVER, push_attribute, push_text};
use super::date;
use super::presence::{is_language_tag, read_error};
use crate::body::text::{self, TextFault};

/// The whole MESSAGE when any hop may be UDP (RFC 3428, section 8).
pub const MAX_BYTES_UDP: usize = 1_300;
/// The whole MESSAGE when the operator has declared that every hop is TCP or TLS.
pub const MAX_BYTES_RELIABLE: usize = 16_384;
/// What Via and Max-Forwards add to the request when it is sent.
const TRANSPORT_HEADERS: usize = 120;
/// A thread of this length may be a Call-ID.
const MAX_CALL_ID: usize = 128;
/// A thread of this length can be written into a Call-ID so that it can be read out again.
const MAX_ENCODED_THREAD: usize = 120;
/// What marks a Call-ID with an encoded thread.
const THREAD_PREFIX: &str = "cwth-";
/// Bytes of a Subject.
const MAX_SUBJECT: usize = 512;
/// A Date this much older than the arrival is worth a delay stamp.
const DELAY_WORTH_TELLING_MS: u64 = 60_000;
/// A Date this much in the future is a wrong clock.
const MAX_SKEW_MS: u64 = 300_000;

/// What names a stanza for ever, on every delivery: the maker of the number, and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StanzaKey {
    /// The instance that numbered the stanza.
    pub origin: u64,
    /// Its number.
    pub key: u64,
}

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

/// A message to send to SIP.
#[derive(Debug, Clone)]
pub struct MessageToSip {
    /// The request, without Via and Max-Forwards.
    pub request: Request,
    /// The branch that belongs to this stanza, on the first try.
    pub branch: Token,
    /// `id` of the stanza, for an error.
    pub id: Option<String>,
    /// Type of the stanza: a headline gets no error.
    pub message_type: MessageType,
}

/// What becomes of a message stanza.
#[derive(Debug, Clone)]
pub enum FromXmpp {
    /// It goes to SIP.
    Send(Box<MessageToSip>),
    /// There is nothing SIP could carry, and nobody is told (RFC 6121, section 8.5).
    Nothing(Emptiness),
    /// An error that answers a message of ours.
    Error {
        /// `id` of our message.
        id: Option<String>,
        /// What the other side says.
        error: StanzaError,
    },
    /// The sender gets an error.
    Refuse {
        /// `id` of the stanza.
        id: Option<String>,
        /// The error.
        error: StanzaError,
    },
}

/// Why a message has nothing to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emptiness {
    /// A chat state, receipt or marker without a body.
    Signal,
    /// No body, and nothing the gateway knows.
    NoBody,
    /// The body is empty or white space.
    BlankBody,
    /// Not a message stanza at all: an edge of another version.
    NotAMessage,
}

/// The type of a canonical message stanza; missing and unknown types are normal.
pub fn message_type(xml: &[u8]) -> MessageType {
    Node::parse(xml).map_or(MessageType::Normal, |stanza| type_of(&stanza))
}

/// The `id` of a canonical stanza of any kind.
pub fn stanza_id(xml: &[u8]) -> Option<String> {
    Node::parse(xml)?.attribute("id").map(Cow::into_owned)
}

fn type_of(stanza: &Node<'_>) -> MessageType {
    match stanza.attribute("type").as_deref() {
        Some("chat") => MessageType::Chat,
        Some("headline") => MessageType::Headline,
        Some("groupchat") => MessageType::Groupchat,
        Some("error") => MessageType::Error,
        Some(_) | None => MessageType::Normal,
    }
}

/// Translates a canonical message stanza (RFC 7572, section 4). The same key gives the same request.
pub fn message_to_sip(xml: &[u8], from: &Jid, to: &Jid, key: StanzaKey, max_bytes: usize) -> FromXmpp {
    let Some(stanza) = Node::parse(xml).filter(|node| node.is(SERVER, "message")) else {
        return FromXmpp::Nothing(Emptiness::NotAMessage);
    };
    let id = stanza.attribute("id").map(Cow::into_owned);
    let message_type = type_of(&stanza);
    match message_type {
        MessageType::Error => {
            let error = stanza.child(SERVER, "error").map(|error| read_error(&error));
            let error = error.unwrap_or_else(|| StanzaError::from(StanzaCondition::UndefinedCondition));
            return FromXmpp::Error { id, error };
        }
        // RFC 6121, section 8.5.2.1.1: an error.
        MessageType::Groupchat => return FromXmpp::Refuse { id, error: StanzaCondition::ServiceUnavailable.into() },
        MessageType::Normal | MessageType::Chat | MessageType::Headline => {}
    }
    let content = match Content::read(&stanza, from) {
        Ok(content) => content,
        Err(emptiness) => return FromXmpp::Nothing(emptiness),
    };
    match content.to_request(from, to, key) {
        Ok(request) => {
            let size = request.wire_len() + TRANSPORT_HEADERS;
            if size > max_bytes {
                let error = StanzaError::new(ErrorType::Modify, StanzaCondition::PolicyViolation)
                    .with_text(format!("The message is too long: {size} bytes towards SIP, {max_bytes} are allowed"));
                return FromXmpp::Refuse { id, error };
            }
            let branch = branch_of(&token(format!("cw{:016x}{:016x}", key.origin, key.key)));
            FromXmpp::Send(Box::new(MessageToSip { request, branch, id, message_type }))
        }
        Err(fault) => FromXmpp::Refuse {
            id,
            error: StanzaError::from(StanzaCondition::JidMalformed).with_text(fault.to_string()),
        },
    }
}

/// What of a stanza SIP can carry.
struct Content<'a> {
    body: Cow<'a, str>,
    subject: Option<Cow<'a, str>>,
    thread: Option<Cow<'a, str>>,
    lang: Option<Cow<'a, str>>,
    sent_ms: Option<u64>,
}

impl<'a> Content<'a> {
    fn read(stanza: &Node<'a>, from: &Jid) -> Result<Self, Emptiness> {
        let lang = stanza.attribute("xml:lang");
        let (mut body, mut subject): (Option<Node<'a>>, Option<Node<'a>>) = (None, None);
        let mut content = Self { body: Cow::Borrowed(""), subject: None, thread: None, lang: None, sent_ms: None };
        let mut is_signal = false;
        for child in stanza.children() {
            match (child.namespace(), child.name()) {
                (SERVER, "body") => prefer(&mut body, child, lang.as_deref()),
                (SERVER, "subject") => prefer(&mut subject, child, lang.as_deref()),
                (SERVER, "thread") => content.thread = Some(child.text()).filter(|thread| !thread.is_empty()),
                // A stamp of somebody else than the sender's server or the sender is hearsay.
                ("urn:xmpp:delay", "delay") => {
                    let is_credible =
                        child.attribute("from").is_some_and(|by| by == from.domain() || by == from.bare_str());
                    let stamp = child.attribute("stamp").filter(|_| is_credible);
                    content.sent_ms = stamp.and_then(|stamp| date::read_timestamp(&stamp));
                }
                ("http://jabber.org/protocol/chatstates" | "urn:xmpp:receipts" | "urn:xmpp:chat-markers:0", _) => {
                    is_signal = true;
                }
                _ => {}
            }
        }
        content.subject = subject.as_ref().map(Node::text).filter(|subject| !subject.trim().is_empty());
        content.lang = body.as_ref().and_then(|body| body.attribute("xml:lang")).or(lang);
        match (&body, &content.subject) {
            (Some(body), _) => content.body = body.text(),
            // A subject alone is a message all the same, except in a chat.
            (None, Some(subject)) if type_of(stanza) == MessageType::Normal => content.body = subject.clone(),
            (None, _) if is_signal => return Err(Emptiness::Signal),
            (None, _) => return Err(Emptiness::NoBody),
        }
        if content.body.trim().is_empty() { Err(Emptiness::BlankBody) } else { Ok(content) }
    }

    fn to_request(&self, from: &Jid, to: &Jid, key: StanzaKey) -> Result<Request, address::AddressFault> {
        let sender = address::jid_to_uri(from)?;
        let account = if from.resource().is_some() { address::bare_jid_to_uri(&from.bare())? } else { sender.clone() };
        let target = address::bare_jid_to_uri(&to.bare())?;
        let identity = Identity {
            from: NameAddr::new(sender).with_tag(&token(format!("{:016x}", mix(key)))),
            to: NameAddr::new(target.clone()),
            call_id: self.thread.as_deref().map_or_else(|| call_id_of_key(key), thread_to_call_id),
            // It grows with the stanzas of one edge. What makes requests distinct is the tag.
            cseq: u32::try_from(key.key & 0x7fff_ffff).unwrap_or(1).max(1),
        };
        let mut request = Request::new(Method::Message, target, &identity)
            .with(HeaderName::PAssertedIdentity, NameAddr::new(account).to_value());
        if let Some(subject) = self.subject.as_deref().and_then(header_text) {
            request.headers.push(HeaderName::Subject, subject);
        }
        if let Some(lang) = self.lang.as_deref().filter(|lang| is_language_tag(lang)).and_then(header_text) {
            request.headers.push(HeaderName::ContentLanguage, lang);
        }
        if let Some(sent) = self.sent_ms.map(date::write_sip_date).as_deref().and_then(header_text) {
            request.headers.push(HeaderName::Date, sent);
        }
        let body = Bytes::copy_from_slice(self.body.as_bytes());
        Ok(request.with_body(HeaderValue::from_static("text/plain;charset=UTF-8"), body))
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

/// One header line of a text: controls, CR and LF among them, become spaces.
fn header_text(text: &str) -> Option<HeaderValue> {
    let mut line = String::with_capacity(text.len().min(MAX_SUBJECT));
    for c in text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > MAX_SUBJECT {
            break;
        }
        line.push(c);
    }
    HeaderValue::new(line).ok()
}

fn token(text: String) -> Token {
    Token::new(text).expect("letters and digits are token characters")
}

/// Both halves of the key in one number (the finaliser of SplitMix64): equal keys give equal tags.
fn mix(key: StanzaKey) -> u64 {
    let mut z = key.origin ^ key.key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn call_id_of_key(key: StanzaKey) -> CallId {
    call_id(format!("cw-{:016x}{:016x}", key.origin, key.key))
}

fn call_id(text: String) -> CallId {
    CallId::new(text).expect("letters, digits and hyphens are a word")
}

/// A thread is the Call-ID (RFC 7572, section 4): as it stands if its grammar allows, else encoded so that it can be
/// read out again; a thread too long for that becomes a hash and is lost.
fn thread_to_call_id(thread: &str) -> CallId {
    if thread.len() <= MAX_CALL_ID
        && !thread.starts_with(THREAD_PREFIX)
        && let Ok(call_id) = CallId::new(Bytes::copy_from_slice(thread.as_bytes()))
    {
        return call_id;
    }
    if thread.len() <= MAX_ENCODED_THREAD {
        let mut text = String::with_capacity(THREAD_PREFIX.len() + thread.len() * 2);
        text.push_str(THREAD_PREFIX);
        push_hex(&mut text, thread.as_bytes());
        return call_id(text);
    }
    call_id(format!("cwlt-{}", digest(&[thread.as_bytes()])))
}

/// The thread of a Call-ID: what we made of one is undone.
fn call_id_to_thread(call_id: &str) -> String {
    let encoded = call_id.strip_prefix(THREAD_PREFIX).filter(|hex| hex.len() % 2 == 0).map(str::as_bytes);
    let octets = encoded.and_then(|hex| {
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<Vec<u8>>>()
    });
    octets.and_then(|octets| String::from_utf8(octets).ok()).unwrap_or_else(|| call_id.to_owned())
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
}

/// 128 bits of SHA-256 over the parts, in hex.
fn digest(parts: &[&[u8]]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
        context.update(&[0]);
    }
    let hash = context.finish();
    let mut text = String::with_capacity(32);
    push_hex(&mut text, hash.as_ref().get(..16).unwrap_or_default());
    text
}

/// What surrounds a SIP MESSAGE that goes to XMPP.
#[derive(Debug, Clone, Copy)]
pub struct ToXmppContext {
    /// Now, in Unix milliseconds.
    pub now_ms: u64,
    /// `chat` if the conversation is one, else no type (RFC 7572, section 5).
    pub is_chat: bool,
    /// The largest stanza the partner takes.
    pub max_stanza_bytes: usize,
}

/// What becomes of a SIP MESSAGE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromSip {
    /// It goes to XMPP.
    Send {
        /// The stanza in canonical form.
        xml: Bytes,
        /// Its `id`.
        id: String,
    },
    /// It expired on its way, or is empty: 202, and nothing more.
    Discard,
    /// The sender gets this answer.
    Refuse(MessageRefusal),
}

/// Why a MESSAGE is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRefusal {
    /// 415: not a type whose text can be read.
    UnsupportedType,
    /// 400: a header or the body is malformed.
    Malformed,
    /// 513: the stanza would be larger than the partner takes.
    TooLarge,
}

impl MessageRefusal {
    /// The response to the sender.
    pub fn response(self, request: &Request) -> Response {
        match self {
            Self::UnsupportedType => Response::to(request, Status::UNSUPPORTED_MEDIA_TYPE)
                .with(HeaderName::Accept, HeaderValue::from_static(text::ACCEPT)),
            Self::Malformed => Response::to(request, Status::BAD_REQUEST),
            Self::TooLarge => Response::to(request, Status::MESSAGE_TOO_LARGE),
        }
    }
}

/// Translates a SIP MESSAGE (RFC 7572, section 5). A retransmission gives the same stanza.
pub fn message_to_xmpp(request: &Request, from: &Jid, to: &Jid, context: &ToXmppContext) -> FromSip {
    let headers = &request.headers;
    let (Ok(call_id), Ok(cseq), Ok(via)) = (headers.call_id(), headers.cseq(), headers.top_via()) else {
        return FromSip::Refuse(MessageRefusal::Malformed);
    };
    let Ok(content_type) = headers.content_type() else { return FromSip::Refuse(MessageRefusal::Malformed) };
    let body = match text::read(content_type.as_ref(), &request.body) {
        Ok(body) => body,
        Err(TextFault::UnsupportedType) => return FromSip::Refuse(MessageRefusal::UnsupportedType),
        Err(TextFault::Malformed) => return FromSip::Refuse(MessageRefusal::Malformed),
    };
    let header = |name| headers.get(&name).and_then(HeaderValue::as_str).map(str::trim).filter(|text| !text.is_empty());
    let sent_ms = header(HeaderName::Date).and_then(date::read_sip_date);
    let sent_ms = sent_ms.filter(|sent| *sent <= context.now_ms.saturating_add(MAX_SKEW_MS));
    // RFC 3428, section 7: relative to Date, or to the arrival.
    let expired = headers.expires().ok().flatten().is_some_and(|seconds| {
        sent_ms.unwrap_or(context.now_ms).saturating_add(u64::from(seconds) * 1000) < context.now_ms
    });
    let subject = header(HeaderName::Subject);
    if expired || (body.trim().is_empty() && subject.is_none()) {
        return FromSip::Discard;
    }
    let id = digest(&[call_id.as_bytes(), &cseq.number.to_be_bytes(), via.branch().unwrap_or_default()]);
    let mut xml = String::with_capacity(body.len() + 320);
    xml.push_str("<message xmlns='jabber:server'");
    push_attribute(&mut xml, "from", from.as_str());
    push_attribute(&mut xml, "to", to.as_str());
    push_attribute(&mut xml, "id", &id);
    if context.is_chat {
        push_attribute(&mut xml, "type", "chat");
    }
    let lang = header(HeaderName::ContentLanguage).and_then(|list| list.split(',').next()).map(str::trim);
    if let Some(lang) = lang.filter(|lang| is_language_tag(lang)) {
        push_attribute(&mut xml, "xml:lang", lang);
    }
    xml.push('>');
    let mut push = |name: &str, text: &str| {
        xml.extend(["<", name, ">"]);
        push_text(&mut xml, text);
        xml.extend(["</", name, ">"]);
    };
    if let Some(subject) = subject {
        push("subject", subject);
    }
    if !body.trim().is_empty() {
        push("body", &body);
    }
    push("thread", &call_id_to_thread(call_id.as_str()));
    if let Some(sent) = sent_ms.filter(|sent| sent.saturating_add(DELAY_WORTH_TELLING_MS) < context.now_ms) {
        xml.push_str("<delay xmlns='urn:xmpp:delay'");
        push_attribute(&mut xml, "from", from.domain());
        push_attribute(&mut xml, "stamp", &date::write_timestamp(sent));
        xml.push_str("/>");
    }
    xml.push_str("</message>");
    if xml.len() > context.max_stanza_bytes {
        return FromSip::Refuse(MessageRefusal::TooLarge);
    }
    FromSip::Send { xml: Bytes::from(xml), id }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
