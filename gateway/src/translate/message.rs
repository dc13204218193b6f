//! Pager-mode messages (RFC 7572): a message stanza and a SIP MESSAGE (RFC 3428), both directions.
//!
//! Lost towards SIP: everything but body, subject, thread, language and delay; message type. Lost towards XMPP: display
//! names, priority headers. What bodies and stanzas say is `content` and `message_stanza`. Not here: chat states, sessions,
//! whether the message may pass.

use std::borrow::Cow;

use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::field::{CSeq, CallId, NameAddr, Token, Via};
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::ids::branch_of;
use causeway_sip::message::{Identity, Request, Response};
use causeway_sip::method::{Method, Status};
use causeway_sip::uri::Uri;

use super::address;
use super::content::{Asking, Content, ContentRefusal, Ends, Reading, SipBody, Text, read_content};
use super::date;
use super::encryption;
use super::hex;
use super::message_stanza::{ChatState, Meaning, MessageStanza, StanzaContent, believable};
use super::presence::is_language_tag;
use crate::body::cpim::{self, Fields, Wishes};

pub use super::message_stanza::{MessageType, message_type, stanza_id};

/// The whole MESSAGE when any hop may be UDP (RFC 3428, section 8).
pub const MAX_BYTES_UDP: usize = 1_300;
/// The whole MESSAGE when the operator has declared that every hop is TCP or TLS.
pub const MAX_BYTES_RELIABLE: usize = 16_384;
/// What Via, Max-Forwards and Max-Breadth add to the request when it is sent.
const TRANSPORT_HEADERS: usize = 140;
/// A thread of this length may be a Call-ID.
const MAX_CALL_ID: usize = 128;
/// A thread of this length can be written into a Call-ID so that it can be read out again.
const MAX_ENCODED_THREAD: usize = 120;
/// What marks a Call-ID with an encoded thread.
const THREAD_PREFIX: &str = "cwth-";
/// Bytes of a Subject.
const MAX_SUBJECT: usize = 512;

/// What names a stanza for ever, on every delivery: the maker of the number, and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StanzaKey {
    /// The instance that numbered the stanza.
    pub origin: u64,
    /// Its number.
    pub key: u64,
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
    /// Message-ID of the wrapping, if there is one.
    pub message_id: Option<String>,
    /// Why it may go in a stream only, if it may.
    pub too_long: Option<Box<StanzaError>>,
}

/// What becomes of a message stanza.
#[derive(Debug, Clone)]
pub enum FromXmpp {
    /// It goes to SIP.
    Send(Box<MessageToSip>),
    /// A chat state, receipt or marker alone.
    Signal,
    /// There is nothing SIP could carry, and nobody is told (RFC 6121, section 8.5).
    Nothing,
    /// An error that answers a message of ours.
    Error(StanzaError),
    /// The sender gets an error.
    Refuse(StanzaError),
}

/// What surrounds a stanza that goes to SIP.
#[derive(Debug, Clone, Copy)]
pub struct ToSipContext {
    /// The same key gives the same request.
    pub key: StanzaKey,
    /// The largest request.
    pub max_bytes: usize,
    /// Whether a stream may carry it, which knows no such limit (RFC 7572, section 6).
    pub may_stream: bool,
    /// Now, in Unix milliseconds.
    pub now_ms: u64,
    /// What a wrapping (RFC 3862) asks for; without it, the text goes as it is.
    pub wishes: Option<Wishes>,
}

/// Translates a message stanza (RFC 7572, section 4).
pub fn message_to_sip(content: &StanzaContent<'_>, from: &Jid, to: &Jid, context: &ToSipContext) -> FromXmpp {
    match content.message_type {
        MessageType::Error => return FromXmpp::Error(content.error()),
        // RFC 6121, section 8.5.2.1.1: an error.
        MessageType::Groupchat => return FromXmpp::Refuse(StanzaCondition::ServiceUnavailable.into()),
        MessageType::Normal | MessageType::Chat | MessageType::Headline => {}
    }
    match content.meaning() {
        Meaning::Text => {}
        Meaning::Signal => return FromXmpp::Signal,
        Meaning::Nothing => return FromXmpp::Nothing,
        Meaning::Encrypted(_) => return FromXmpp::Refuse(encryption::refusal(content.lang.as_deref())),
    }
    let (request, message_id) = match to_request(content, from, to, context) {
        Ok(translated) => translated,
        Err(fault) => {
            let error = StanzaError::from(StanzaCondition::JidMalformed).with_text(fault.to_string());
            return FromXmpp::Refuse(error);
        }
    };
    let size = request.wire_len() + TRANSPORT_HEADERS;
    let mut too_long = None;
    if size > context.max_bytes {
        // The wrapping is worth less than the text.
        if context.wishes.is_some() && !context.may_stream {
            return message_to_sip(content, from, to, &ToSipContext { wishes: None, ..*context });
        }
        let max_bytes = context.max_bytes;
        let error = StanzaError::new(ErrorType::Modify, StanzaCondition::PolicyViolation)
            .with_text(format!("The message is too long: {size} bytes towards SIP, {max_bytes} are allowed"));
        if !context.may_stream {
            return FromXmpp::Refuse(error);
        }
        too_long = Some(Box::new(error));
    }
    let branch = branch_of_key(context.key);
    let id = content.id.as_deref().map(str::to_owned);
    FromXmpp::Send(Box::new(MessageToSip {
        request,
        branch,
        id,
        message_type: content.message_type,
        message_id,
        too_long,
    }))
}

fn to_request(
    content: &StanzaContent<'_>,
    from: &Jid,
    to: &Jid,
    context: &ToSipContext,
) -> Result<(Request, Option<String>), address::AddressFault> {
    let key = context.key;
    let sender = address::jid_to_uri(from)?;
    let account = if from.resource().is_some() { address::bare_jid_to_uri(&from.bare())? } else { sender.clone() };
    let target = address::bare_jid_to_uri(&to.bare())?;
    let identity = Identity {
        from: NameAddr::new(sender).with_tag(&tag_of_key(key)),
        to: NameAddr::new(target.clone()),
        call_id: content.thread.as_deref().map_or_else(|| call_id_of_key(key), thread_to_call_id),
        // It grows with the stanzas of one edge. What makes requests distinct is the tag.
        cseq: u32::try_from(key.key & 0x7fff_ffff).unwrap_or(1).max(1),
    };
    let text = content.text().unwrap_or_default();
    let (body, message_id) = match (context.wishes, content.id.as_deref()) {
        (Some(wishes), Some(id)) => {
            let message_id = message_id_of(id);
            let ends = Ends { from: account.as_str(), to: target.as_str() };
            let sent_ms = content.sent_ms.unwrap_or(context.now_ms);
            let asking = Asking { message_id: &message_id, wishes, sent_ms, subject: content.subject.as_deref() };
            (SipBody::wrapped_text(text, ends, asking), Some(message_id))
        }
        (Some(_), None) | (None, _) => (SipBody::text(text), None),
    };
    let mut request = Request::new(Method::Message, target, &identity)
        .with(HeaderName::PAssertedIdentity, NameAddr::new(account).to_value());
    if let Some(subject) = content.subject.as_deref().and_then(header_text) {
        request.headers.push(HeaderName::Subject, subject);
    }
    if let Some(lang) = content.lang.as_deref().filter(|lang| is_language_tag(lang)).and_then(header_text) {
        request.headers.push(HeaderName::ContentLanguage, lang);
    }
    let sent = content.sent_ms.and_then(|sent| believable(sent, context.now_ms));
    if let Some(sent) = sent.map(date::write_sip_date).as_deref().and_then(header_text) {
        request.headers.push(HeaderName::Date, sent);
    }
    Ok((request.with_body(body.content_type, body.bytes), message_id))
}

/// Message-ID of a stanza's id: the same if it is a token, else a hash (RFC 5438, section 10).
fn message_id_of(stanza_id: &str) -> String {
    if cpim::is_message_id(stanza_id) { stanza_id.to_owned() } else { digest(&[stanza_id.as_bytes()]) }
}

/// A MESSAGE that is no stanza's: a status, or a notification, which may go to a server on its route (RFC 5438, section
/// 7.2.1). The key makes it unlike all others.
pub fn own_message(
    from: &Jid,
    to: &Jid,
    route: Option<Uri>,
    body: SipBody,
    key: StanzaKey,
) -> Result<Request, address::AddressFault> {
    let account = address::bare_jid_to_uri(&from.bare())?;
    let user = address::bare_jid_to_uri(&to.bare())?;
    let identity = Identity {
        from: NameAddr::new(account.clone()).with_tag(&tag_of_key(key)),
        to: NameAddr::new(user.clone()),
        call_id: call_id_of_key(key),
        cseq: 1,
    };
    let target = route.unwrap_or(user);
    let request = Request::new(Method::Message, target, &identity)
        .with(HeaderName::PAssertedIdentity, NameAddr::new(account).to_value());
    Ok(request.with_body(body.content_type, body.bytes))
}

/// The branch of a request on its first try.
pub fn branch_of_key(key: StanzaKey) -> Token {
    branch_of(&token(hex::numbered("cw", &[key.origin, key.key])))
}

fn tag_of_key(key: StanzaKey) -> Token {
    token(hex::numbered("", &[mix(key)]))
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
    call_id(hex::numbered("cw-", &[key.origin, key.key]))
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
pub fn call_id_to_thread(call_id: &str) -> Cow<'_, str> {
    let encoded = call_id.strip_prefix(THREAD_PREFIX).filter(|hex| hex.len() % 2 == 0).map(str::as_bytes);
    let octets = encoded.and_then(|hex| {
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<Vec<u8>>>()
    });
    octets.and_then(|octets| String::from_utf8(octets).ok()).map_or(Cow::Borrowed(call_id), Cow::Owned)
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
pub struct ToXmppContext<'a> {
    /// Now, in Unix milliseconds.
    pub now_ms: u64,
    /// `chat` if the conversation is one, else no type (RFC 7572, section 5).
    pub is_chat: bool,
    /// The largest stanza the partner takes.
    pub max_stanza_bytes: usize,
    /// Whether markers are in use.
    pub with_markers: bool,
    /// The chat state to put in, where the recipient's client knows them.
    pub chat_state: Option<ChatState>,
    /// The thread, where it is not to be the Call-ID.
    pub thread: Option<&'a str>,
}

/// A message for XMPP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageToXmpp {
    /// The stanza in canonical form.
    pub xml: Bytes,
    /// Its `id`.
    pub id: String,
    /// What the wrapping says, if there is one.
    pub wrapping: Option<Box<Fields>>,
}

/// Why a MESSAGE does not become a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It was too late when it came: 202, and nothing more.
    Expired,
    /// The sender gets this answer.
    Refused(MessageRefusal),
}

impl From<MessageRefusal> for Unread {
    fn from(refusal: MessageRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why a MESSAGE is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageRefusal {
    /// 415 or 400: the body.
    #[error("{0}")]
    Content(#[from] ContentRefusal),
    /// 400: a header is malformed.
    #[error("a header field is malformed")]
    Malformed,
    /// 513: the stanza would be larger than the partner takes.
    #[error("the stanza would be larger than the partner takes")]
    TooLarge,
}

impl MessageRefusal {
    /// The response to the sender.
    pub fn response(self, request: &Request) -> Response {
        match self {
            Self::Content(refusal) => refusal.response(request),
            Self::Malformed => Response::to(request, Status::BAD_REQUEST),
            Self::TooLarge => Response::to(request, Status::MESSAGE_TOO_LARGE),
        }
    }
}

/// Reads what a SIP MESSAGE says. A subject alone is a text, too.
pub fn read_message(request: &Request, reading: Reading, now_ms: u64) -> Result<Content<'_>, Unread> {
    let headers = &request.headers;
    let content_type = headers.content_type().map_err(|_| MessageRefusal::Malformed)?;
    let content = read_content(content_type.as_ref(), &request.body, reading).map_err(MessageRefusal::Content)?;
    // RFC 3428, section 7: relative to Date, or to the arrival.
    if let Some(seconds) = headers.expires().ok().flatten() {
        let sent_ms = date_of(request, now_ms).unwrap_or(now_ms);
        if sent_ms.saturating_add(u64::from(seconds) * 1000) < now_ms {
            return Err(Unread::Expired);
        }
    }
    match content {
        Content::Nothing if text_of(request, &HeaderName::Subject).is_some() => {
            Ok(Content::Text(Text { body: Cow::Borrowed(""), xhtml: None, wrapping: None }))
        }
        content @ (Content::Text(_) | Content::Composing(_) | Content::Notification(_) | Content::Nothing) => {
            Ok(content)
        }
    }
}

fn text_of<'r>(request: &'r Request, name: &HeaderName) -> Option<&'r str> {
    request.headers.get(name).and_then(HeaderValue::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn date_of(request: &Request, now_ms: u64) -> Option<u64> {
    text_of(request, &HeaderName::Date).and_then(date::read_sip_date).and_then(|sent| believable(sent, now_ms))
}

/// The `id` of the stanza that a MESSAGE becomes, unless its wrapping bears a Message-ID.
pub fn stanza_id_of(request: &Request) -> Option<String> {
    let headers = &request.headers;
    let (call_id, cseq, via) = (headers.call_id().ok()?, headers.cseq().ok()?, headers.top_via().ok()?);
    Some(id_of(&call_id, &cseq, &via))
}

fn id_of(call_id: &CallId, cseq: &CSeq, via: &Via) -> String {
    digest(&[call_id.as_bytes(), &cseq.number.to_be_bytes(), via.branch().unwrap_or_default()])
}

/// Translates a SIP MESSAGE with something to read (RFC 7572, section 5). A retransmission gives the same stanza.
pub fn message_to_xmpp(
    request: &Request,
    text: Text<'_>,
    from: &Jid,
    to: &Jid,
    context: &ToXmppContext<'_>,
) -> Result<MessageToXmpp, MessageRefusal> {
    let headers = &request.headers;
    let (Ok(call_id), Ok(cseq), Ok(via)) = (headers.call_id(), headers.cseq(), headers.top_via()) else {
        return Err(MessageRefusal::Malformed);
    };
    let id = id_of(&call_id, &cseq, &via);
    let thread = context.thread.map_or_else(|| call_id_to_thread(call_id.as_str()), Cow::Borrowed);
    let lang = text_of(request, &HeaderName::ContentLanguage);
    let stanza = MessageStanza {
        id: Some(&id),
        is_chat: context.is_chat,
        lang: lang.and_then(|list| list.split(',').next()).map(str::trim),
        subject: text_of(request, &HeaderName::Subject),
        thread: Some(&thread),
        chat_state: context.chat_state,
        ..MessageStanza::new(from, to)
    };
    let stanza = match date_of(request, context.now_ms) {
        Some(sent) => stanza.with_date(sent, context.now_ms),
        None => stanza,
    };
    let stanza = stanza.with_text(&text, context.with_markers, context.now_ms);
    let xml = stanza.to_xml();
    if xml.len() > context.max_stanza_bytes {
        return Err(MessageRefusal::TooLarge);
    }
    // The wrapping's Message-ID, if it has one.
    let id = stanza.id.filter(|used| *used != id).map(str::to_owned).unwrap_or(id);
    Ok(MessageToXmpp { xml, id, wrapping: text.wrapping })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
