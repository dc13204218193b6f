//! From what was recorded to what is shown. Everything here was sent by somebody, so whatever cannot be read is an event
//! of unknown content and never an error.
//!
//! [`Head`] is enough to decide whether an event is wanted; [`Head::event`] makes the rest of it.

use bytes::Bytes;
use causeway_shared::jid::{BareJid, Jid};
use causeway_shared::link::TraceContext;
use causeway_shared::verdict::{Code, printable, unmistakable};
use causeway_sip::header::Headers;
use causeway_sip::message::{Message, Request, Response};
use causeway_sip::method::Method;
use causeway_sip::parse::{Datagram, parse_datagram};
use causeway_sip::uri::Uri;

use super::Fact;
use super::event::{Ended, Event, Kind, Leg, Ties, Way};
use super::msrp::{self, Frame};
use super::redact::{self, unread, visible};
use super::ring::Raw;
use crate::policy;
use crate::presence::record::PairKey;
use crate::translate::address;
use crate::translate::canonical::Node;
use crate::translate::message::{self, StanzaKey};

/// Characters of an identifier in a label.
const SHORT_ID: usize = 8;

/// What a raw event is and whom it concerns.
pub(super) struct Head<'r> {
    raw: &'r Raw,
    sip: Option<Message>,
    pub(super) kind: Kind,
    pub(super) leg: Leg,
    pub(super) way: Way,
    pub(super) local: Option<BareJid>,
    pub(super) remote: Option<BareJid>,
    pub(super) ties: Ties,
}

impl<'r> Head<'r> {
    pub(super) fn read(raw: &'r Raw) -> Self {
        match &raw.fact {
            Fact::StanzaIn { origin, key, trace, .. } => {
                let number = StanzaKey { origin: *origin, key: *key };
                let ties = Ties {
                    stanza: Some(number_in(*origin, *key)),
                    becomes: Some(message::branch_of_key(number).as_str().to_owned()),
                    trace: trace_id(*trace),
                    ..Ties::default()
                };
                Self::stanza(raw, Way::In, ties)
            }
            Fact::StanzaOut { key, trace } => {
                let ties = Ties { stanza: Some(number_out(*key)), trace: trace_id(*trace), ..Ties::default() };
                Self::stanza(raw, Way::Out, ties)
            }
            Fact::StanzaInEnded { origin, key, .. } => {
                let ties = Ties { stanza: Some(number_in(*origin, *key)), ..Ties::default() };
                Self::new(raw, Kind::Outcome, Leg::Xmpp, Way::Out, ties)
            }
            Fact::StanzaOutEnded { key, .. } => {
                let ties = Ties { stanza: Some(number_out(*key)), ..Ties::default() };
                Self::new(raw, Kind::Outcome, Leg::Xmpp, Way::In, ties)
            }
            Fact::SipIn { .. } => Self::sip(raw, Way::In, Ties::default()),
            Fact::SipOut { tag, .. } => {
                Self::sip(raw, Way::Out, Ties { tag: Some(tag.0).filter(|tag| *tag != 0), ..Ties::default() })
            }
            Fact::Msrp { is_in } => Self::msrp(raw, if *is_in { Way::In } else { Way::Out }),
            Fact::SipUnsent { tag } => {
                let ties = Ties { tag: Some(tag.0).filter(|tag| *tag != 0), ..Ties::default() };
                Self::new(raw, Kind::Outcome, Leg::Sip, Way::In, ties)
            }
            Fact::Verdict { direction, .. } => {
                let way = match direction {
                    causeway_shared::verdict::Direction::In => Way::In,
                    causeway_shared::verdict::Direction::Out => Way::Out,
                };
                let mut head = Self::new(raw, Kind::Verdict, Leg::Inside, way, Ties::default());
                head.remote = verdict_lines(raw).first().and_then(|domain| BareJid::parse(domain).ok());
                head
            }
            Fact::Edge { .. } => Self::new(raw, Kind::Edge, Leg::Xmpp, Way::In, Ties::default()),
        }
    }

    /// Whether it is a verdict about the partner's streams. One about what a single user did is for him alone, and names
    /// nobody; what it was about shows how it ended.
    pub(super) fn concerns_all_users(&self) -> bool {
        use causeway_shared::verdict::{Code, Rung};
        let Fact::Verdict { code, rung, .. } = &self.raw.fact else { return false };
        let is_of_a_user = matches!(
            code,
            Some(
                Code::PolicyPair
                    | Code::PolicySipNoPartner
                    | Code::PolicySips
                    | Code::PolicySipLoop
                    | Code::PolicySipSender
                    | Code::PolicyAccess
                    | Code::LimitsCoolDown
                    | Code::LimitsDialogs
                    | Code::LimitsHeld
                    | Code::LimitsWatched
            )
        );
        !is_of_a_user && *rung <= Rung::Link
    }

    fn new(raw: &'r Raw, kind: Kind, leg: Leg, way: Way, ties: Ties) -> Self {
        Self { raw, sip: None, kind, leg, way, local: None, remote: None, ties }
    }

    fn stanza(raw: &'r Raw, way: Way, ties: Ties) -> Self {
        let mut head = Self::new(raw, Kind::Unreadable, Leg::Xmpp, way, ties);
        let Some(node) = Node::parse(&raw.bytes) else { return head };
        head.kind = match node.name() {
            "message" => Kind::Message,
            "presence" => Kind::Presence,
            "iq" => Kind::Iq,
            _ => Kind::Unreadable,
        };
        let user = |name| node.attribute(name).and_then(|jid| Jid::parse(&jid).ok()).map(|jid| jid.bare());
        (head.remote, head.local) = match way {
            Way::In => (user("from"), user("to")),
            Way::Out => (user("to"), user("from")),
        };
        head.ties.id = node.attribute("id").map(|id| id.into_owned());
        head
    }

    fn msrp(raw: &'r Raw, way: Way) -> Self {
        let mut head = Self::new(raw, Kind::Unreadable, Leg::Msrp, way, Ties::default());
        let Some(frame) = Frame::read(&raw.bytes) else { return head };
        head.ties.sessions = frame.sessions().collect();
        head.ties.branch = Some(frame.transaction.to_owned());
        head.kind = match frame.status() {
            Some(status) => Kind::Response(status, String::new()),
            None => Kind::Request(frame.what.to_owned()),
        };
        head
    }

    fn sip(raw: &'r Raw, way: Way, ties: Ties) -> Self {
        let mut head = Self::new(raw, Kind::Unreadable, Leg::Sip, way, ties);
        let Ok(Datagram::Message(message)) = parse_datagram(raw.bytes.clone()) else { return head };
        let headers = message.headers();
        let cseq = headers.cseq().ok();
        head.ties.call_id = headers.call_id().ok().map(|call_id| call_id.as_str().to_owned());
        head.ties.cseq = cseq.as_ref().map(|cseq| cseq.number);
        let branch = headers.top_via().ok().and_then(|via| via.branch().map(<[u8]>::to_vec));
        head.ties.branch = branch.and_then(|branch| String::from_utf8(branch).ok());
        let from = headers.from().ok().map(|from| from.uri);
        let to = headers.to().ok().map(|to| (to.tag().is_some(), to.uri));
        let bare = |uri: Option<Uri>| uri.and_then(|uri| address::uri_to_bare_jid(&uri).ok());
        // Who wrote a request stands in From, also in the responses to it.
        let is_from_pool = match (&message, way) {
            (Message::Request(_), Way::In) | (Message::Response(_), Way::Out) => true,
            (Message::Request(_), Way::Out) | (Message::Response(_), Way::In) => false,
        };
        (head.local, head.remote) = match (&message, is_from_pool) {
            (Message::Request(request), true) => {
                head.ties.becomes = message::stanza_id_of(request);
                let far = match to {
                    Some((false, _)) if request.uri.user().is_some() => Some(request.uri.clone()),
                    other => other.map(|(_, uri)| uri),
                };
                (bare(policy::identity(headers, true).or(from)), bare(far))
            }
            (Message::Response(_), true) => (bare(from), bare(to.map(|(_, uri)| uri))),
            (Message::Request(_) | Message::Response(_), false) => (bare(to.map(|(_, uri)| uri)), bare(from)),
        };
        if is_description(headers) {
            head.ties.sessions = msrp::described(body_of(&message));
        }
        head.kind = match &message {
            Message::Request(request) => Kind::Request(request.method.as_str().to_owned()),
            Message::Response(response) => {
                let method = cseq.map(|cseq| cseq.method.as_str().to_owned());
                Kind::Response(response.status.code(), method.unwrap_or_default())
            }
        };
        head.sip = Some(message);
        head
    }

    /// Whether it is between the two.
    pub(super) fn concerns(&self, key: &PairKey) -> bool {
        self.local.as_ref() == Some(&key.local) && self.remote.as_ref() == Some(&key.remote)
    }

    /// Whether it is a stanza that says that another one was not delivered.
    pub(super) fn is_error(&self) -> bool {
        let node = if self.leg == Leg::Xmpp { Node::parse(&self.raw.bytes) } else { None };
        node.is_some_and(|node| node.attribute("type").as_deref() == Some("error"))
    }

    /// The event as it is shown.
    pub(super) fn event(&self, show_bodies: bool) -> Event {
        let mut ties = self.ties.clone();
        for text in [&mut ties.id, &mut ties.call_id, &mut ties.branch] {
            *text = text.take().map(|text| printable(&text));
        }
        let user = |user: &Option<BareJid>| user.as_ref().map(|user| unmistakable(user.as_str()));
        Event {
            number: self.raw.number,
            at_ms: self.raw.at_ms,
            leg: self.leg,
            way: self.way,
            kind: self.kind.clone(),
            local: user(&self.local),
            remote: user(&self.remote),
            peer: self.peer(),
            stream: self.stream(),
            arrived_ms: match &self.raw.fact {
                Fact::StanzaIn { arrived_ms, .. } => Some(*arrived_ms),
                _ => None,
            },
            label: printable(&self.label()),
            ties,
            ended: self.ended(),
            text: visible(&self.text(show_bodies)),
        }
    }

    fn peer(&self) -> Option<String> {
        match &self.raw.fact {
            Fact::StanzaIn { edge, .. } => Some(edge.to_string()),
            Fact::SipIn { from, is_trusted: true } => Some(from.to_string()),
            Fact::SipIn { from, is_trusted: false } => Some(format!("{from} (a stranger)")),
            Fact::SipOut { to, .. } => Some(to.to_string()),
            Fact::Edge { .. } => Some(printable(&String::from_utf8_lossy(&self.raw.bytes))),
            Fact::StanzaInEnded { .. }
            | Fact::StanzaOut { .. }
            | Fact::StanzaOutEnded { .. }
            | Fact::SipUnsent { .. }
            | Fact::Msrp { .. }
            | Fact::Verdict { .. } => None,
        }
    }

    /// The partner's end of the stream.
    pub(super) fn partner_address(&self) -> Option<&str> {
        match &self.raw.fact {
            Fact::StanzaIn { context, .. } => Some(&context.peer_address),
            Fact::StanzaInEnded { .. }
            | Fact::StanzaOut { .. }
            | Fact::StanzaOutEnded { .. }
            | Fact::SipIn { .. }
            | Fact::SipOut { .. }
            | Fact::SipUnsent { .. }
            | Fact::Msrp { .. }
            | Fact::Verdict { .. }
            | Fact::Edge { .. } => None,
        }
    }

    fn stream(&self) -> Option<String> {
        match &self.raw.fact {
            Fact::StanzaIn { context, .. } => Some(printable(&format!(
                "stream {} from {}, authenticated by {}",
                context.stream_id, context.peer_address, context.method
            ))),
            _ => None,
        }
    }

    fn label(&self) -> String {
        match (&self.raw.fact, &self.sip) {
            (Fact::StanzaIn { .. } | Fact::StanzaOut { .. }, _) => stanza_label(&self.raw.bytes),
            (_, Some(Message::Request(request))) => request_label(request),
            (_, Some(Message::Response(response))) => response_label(response),
            (Fact::SipIn { .. } | Fact::SipOut { .. }, None) => "what is no SIP message".to_owned(),
            (Fact::Msrp { .. }, _) => msrp_label(&self.raw.bytes),
            (Fact::Verdict { code, rung, side, .. }, _) => {
                let cause = verdict_lines(self.raw).get(2).cloned().unwrap_or_default();
                let kind = code.map_or(rung.as_str(), Code::as_str);
                format!("{kind} ({}): {cause}", side.as_str())
            }
            (Fact::Edge { is_up: true }, _) => format!("edge {} attached", String::from_utf8_lossy(&self.raw.bytes)),
            (Fact::Edge { is_up: false }, _) => format!("edge {} is gone", String::from_utf8_lossy(&self.raw.bytes)),
            (Fact::StanzaInEnded { .. } | Fact::StanzaOutEnded { .. } | Fact::SipUnsent { .. }, _) => {
                self.ended().map(|ended| ended.text).unwrap_or_default()
            }
        }
    }

    fn ended(&self) -> Option<Ended> {
        let reason = || printable(&String::from_utf8_lossy(&self.raw.bytes));
        match &self.raw.fact {
            Fact::StanzaInEnded { condition: None, .. } => Some(Ended { is_done: true, text: "finished".to_owned() }),
            Fact::StanzaOutEnded { condition: None, .. } => Some(Ended { is_done: true, text: "delivered".to_owned() }),
            Fact::StanzaInEnded { condition: Some(condition), .. }
            | Fact::StanzaOutEnded { condition: Some(condition), .. } => {
                Some(Ended { is_done: false, text: format!("{}: {}", condition.as_str(), reason()) })
            }
            Fact::SipUnsent { .. } => Some(Ended { is_done: false, text: "it could not be sent".to_owned() }),
            Fact::Verdict { .. } => Some(Ended { is_done: false, text: printable(&self.label()) }),
            Fact::SipIn { .. } | Fact::SipOut { .. } | Fact::Msrp { .. } => match self.kind {
                Kind::Response(status, _) if status >= 200 => {
                    Some(Ended { is_done: status < 300, text: printable(&self.label()) })
                }
                _ => None,
            },
            Fact::StanzaIn { .. } | Fact::StanzaOut { .. } | Fact::Edge { .. } => None,
        }
    }

    fn text(&self, show_bodies: bool) -> String {
        let raw = self.raw;
        match (&raw.fact, &self.sip) {
            (Fact::StanzaIn { .. } | Fact::StanzaOut { .. }, _) => std::str::from_utf8(&raw.bytes)
                .ok()
                .and_then(|xml| redact::xml::redact(xml, show_bodies))
                .unwrap_or_else(|| unread(raw.length)),
            (_, Some(message)) => redact::sip::redact(message, show_bodies),
            (Fact::SipIn { .. } | Fact::SipOut { .. }, None) => unread(raw.length),
            (Fact::Msrp { .. }, _) => String::from_utf8_lossy(&raw.bytes).into_owned(),
            (Fact::Verdict { .. }, _) => verdict_lines(raw).get(2..).unwrap_or_default().join(" "),
            (
                Fact::StanzaInEnded { .. } | Fact::StanzaOutEnded { .. } | Fact::SipUnsent { .. } | Fact::Edge { .. },
                _,
            ) => printable(&String::from_utf8_lossy(&raw.bytes)),
        }
    }
}

fn number_in(origin: u64, key: u64) -> String {
    format!("{origin:x}-{key}")
}

fn number_out(key: u64) -> String {
    format!("own-{key}")
}

fn trace_id(trace: TraceContext) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    trace.is_some().then(|| trace.0.get(..16).map(hex)).flatten()
}

/// Domain, partner, cause and remedy.
fn verdict_lines(raw: &Raw) -> Vec<String> {
    String::from_utf8_lossy(&raw.bytes).split('\n').map(printable).collect()
}

/// `<message type=chat id=m1>`, and what it carries if that is no text.
fn stanza_label(xml: &[u8]) -> String {
    let Some(node) = Node::parse(xml) else { return "a stanza that cannot be read".to_owned() };
    let mut label = format!("<{}", node.name());
    if let Some(kind) = node.attribute("type") {
        label.push_str(&format!(" type={kind}"));
    }
    if let Some(id) = node.attribute("id") {
        label.push_str(&format!(" id={}", shortened(&id)));
    }
    label.push('>');
    let has_body = node.children().any(|child| child.name() == "body");
    for child in node.children() {
        match child.name() {
            "show" => label.push_str(&format!(" {}", child.text())),
            "error" => {
                let condition = child.children().find(|condition| condition.name() != "text");
                label.push_str(&format!(" {}", condition.map_or("error", |condition| condition.name())));
            }
            "query" | "ping" | "vCard" | "composing" | "paused" | "active" | "inactive" | "gone" | "received"
            | "displayed"
                if !has_body =>
            {
                label.push_str(&format!(" {}", child.name()));
            }
            _ => {}
        }
    }
    label
}

/// The beginning of an identifier: one made of random numbers would fill the line.
fn shortened(value: &str) -> String {
    if value.chars().count() <= SHORT_ID {
        return value.to_owned();
    }
    value.chars().take(SHORT_ID - 2).chain(['.', '.']).collect()
}

/// `MESSAGE sip:alice@contoso.example CSeq 1`, and of presence what it says.
fn request_label(request: &Request) -> String {
    let cseq = request.headers.cseq().map(|cseq| format!(" CSeq {}", cseq.number)).unwrap_or_default();
    match request.method {
        Method::Notify => match request.headers.subscription_state() {
            Ok(state) => format!("NOTIFY {}{cseq}", state.to_value().as_str().unwrap_or_default()),
            Err(_) => format!("NOTIFY{cseq}"),
        },
        Method::Subscribe => {
            let expires = request.headers.expires().ok().flatten().map(|expires| format!(" {expires}s"));
            format!("SUBSCRIBE{} {}", expires.unwrap_or_default(), request.uri.as_str())
        }
        _ => format!("{} {}{cseq}", request.method.as_str(), request.uri.as_str()),
    }
}

/// `MSRP SEND 1-120/120 text/plain`.
fn msrp_label(head: &[u8]) -> String {
    let Some(frame) = Frame::read(head) else { return "a frame of MSRP that cannot be read".to_owned() };
    let parts = [Some("MSRP"), Some(frame.what), frame.byte_range, frame.content_type];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn is_description(headers: &Headers) -> bool {
    headers.content_type().ok().flatten().is_some_and(|kind| kind.is("application", "sdp"))
}

const fn body_of(message: &Message) -> &Bytes {
    match message {
        Message::Request(request) => &request.body,
        Message::Response(response) => &response.body,
    }
}

/// `200 OK`, and what it answers.
fn response_label(response: &Response) -> String {
    let reason = String::from_utf8_lossy(response.reason.as_bytes());
    let answered = response.headers.cseq().map(|cseq| format!(" ({} {})", cseq.method.as_str(), cseq.number));
    format!("{} {reason}{}", response.status.code(), answered.unwrap_or_default())
}
