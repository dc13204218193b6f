//! Who may do what: the action table of the three partner types, as pure functions.
//!
//! Decided here: whether a stanza or request goes on, is dropped, or is answered, before any SIP traffic and in the same
//! way whether or not the local user exists. Not here: the streams' authentication, which is the edge's, and what a
//! presence stanza does to its pair.

use std::collections::{HashMap, HashSet};

use causeway_shared::domain::DomainName;
use causeway_shared::partner::PartnerType;
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use causeway_sip::header::{HeaderName, HeaderValue, Headers};
use causeway_sip::method::Status;
use causeway_sip::uri::{Scheme, Uri};

use crate::translate::message::MessageType;
use crate::translate::presence::PresenceKind;

pub mod access;

/// The local domains and the partners' domains.
#[derive(Debug, Clone, Default)]
pub struct Domains {
    local: HashSet<DomainName>,
    partners: HashMap<DomainName, PartnerEntry>,
}

/// The partner behind a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerEntry {
    /// The partner's own domain, where the domain asked for is an additional one.
    pub primary: DomainName,
    /// Its type.
    pub partner_type: PartnerType,
}

/// Why a stanza or request has no business here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misrouted {
    /// Both ends are local: a loop.
    #[error("both ends are local")]
    BothLocal,
    /// Neither end is local: a loop, or an attempt to relay.
    #[error("neither end is local")]
    BothForeign,
    /// The far end's domain is no partner.
    #[error("the domain is no partner")]
    NotAPartner,
}

impl Domains {
    /// Adds a local domain.
    pub fn add_local(&mut self, domain: DomainName) {
        self.local.insert(domain);
    }

    /// Adds a partner under its own domain and its additional ones.
    pub fn add_partner(&mut self, primary: &DomainName, additional: &[DomainName], partner_type: PartnerType) {
        for domain in additional.iter().chain([primary]) {
            self.partners.insert(domain.clone(), PartnerEntry { primary: primary.clone(), partner_type });
        }
    }

    /// Whether a domain is ours.
    pub fn is_local(&self, domain: &DomainName) -> bool {
        self.local.contains(domain)
    }

    /// The partner of a domain.
    pub fn partner(&self, domain: &DomainName) -> Option<&PartnerEntry> {
        self.partners.get(domain)
    }

    /// The partner between a local domain and a foreign one. A side that is both local and a partner is local.
    pub fn between(&self, local: &DomainName, foreign: &DomainName) -> Result<&PartnerEntry, Misrouted> {
        match (self.is_local(local), self.is_local(foreign)) {
            (true, true) => Err(Misrouted::BothLocal),
            (false, _) => Err(Misrouted::BothForeign),
            (true, false) => self.partner(foreign).ok_or(Misrouted::NotAPartner),
        }
    }
}

/// What a stanza of a partner's user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A presence stanza.
    Presence(PresenceKind),
    /// A message; one without anything to read is never answered (X9).
    Message(MessageType),
    /// An iq that wants an answer, to the domain itself.
    DomainRequest,
    /// An iq that wants an answer, to a user.
    UserRequest,
    /// An iq that is an answer.
    IqAnswer,
}

/// What is known of the two users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The type of the far end's partner.
    pub partner: PartnerType,
    /// Whether the local user may use the federation.
    pub is_allowed: bool,
    /// Whether the local user has added the far user.
    pub is_added: bool,
    /// Whether the far user answers a message that the local user sent him lately, and such answers may pass.
    pub may_reply: bool,
}

/// What becomes of a stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It goes on to where its kind is handled.
    Pass,
    /// Nothing happens, and nobody is told.
    Drop,
    /// The sender gets an error.
    Error(StanzaError),
    /// The sender gets `unsubscribed` from the bare address.
    Unsubscribed,
}

/// Decides about a stanza of a partner's user (rows X1 to X15).
pub fn admit_stanza(intent: Intent, standing: Standing) -> Admission {
    if !standing.is_allowed && intent != Intent::DomainRequest {
        return refuse(intent);
    }
    let is_stranger = !standing.partner.may_act_unadded() && !standing.is_added;
    let is_reply = standing.may_reply && matches!(intent, Intent::Message(MessageType::Normal | MessageType::Chat));
    match intent {
        // X14: the domain answers everybody alike.
        Intent::DomainRequest => Admission::Pass,
        // X11.
        Intent::Message(MessageType::Groupchat) => service_unavailable(),
        // X12: it is matched to a message of ours, or comes to nothing.
        Intent::Message(MessageType::Error) => Admission::Pass,
        // X1, X2: what an unverified partner's user asks is held by the pair's record.
        Intent::Presence(PresenceKind::Subscribe | PresenceKind::Unsubscribe) => Admission::Pass,
        Intent::Presence(_)
        | Intent::Message(MessageType::Normal | MessageType::Chat | MessageType::Headline)
        | Intent::UserRequest
        | Intent::IqAnswer
            if is_stranger && !is_reply =>
        {
            refuse(intent)
        }
        Intent::Presence(_) | Intent::Message(_) | Intent::UserRequest => Admission::Pass,
        // We ask nothing by iq, so nothing is answered.
        Intent::IqAnswer => Admission::Drop,
    }
}

/// The one answer for "does not exist", "not permitted" and "blocked".
fn refuse(intent: Intent) -> Admission {
    match intent {
        Intent::Presence(PresenceKind::Probe) => Admission::Unsubscribed,
        Intent::Presence(_) | Intent::IqAnswer => Admission::Drop,
        Intent::Message(MessageType::Headline | MessageType::Error) => Admission::Drop,
        Intent::Message(MessageType::Normal | MessageType::Chat | MessageType::Groupchat)
        | Intent::UserRequest
        | Intent::DomainRequest => service_unavailable(),
    }
}

fn service_unavailable() -> Admission {
    Admission::Error(StanzaError::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable))
}

/// Why a request of the pool is refused, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// `sips:` asks for what XMPP cannot promise: 416.
    #[error("a sips: target cannot be served")]
    Sips,
    /// The target's domain is no partner, or its partner is disabled: 404.
    #[error("the target's domain is no partner")]
    NotAPartner,
    /// The target is local: the request has come back: 482.
    #[error("the target is a local user")]
    Loop,
    /// The sender is unknown, anonymous or no local user: 403.
    #[error("the sender is no local user")]
    NotLocal,
    /// The local user may not use the federation: 403.
    #[error("the local user may not use the federation")]
    NotAllowed,
}

impl RequestRefusal {
    /// The status of the answer.
    pub fn status(self) -> Status {
        match self {
            Self::Sips => Status::UNSUPPORTED_URI_SCHEME,
            Self::NotAPartner => Status::NOT_FOUND,
            Self::Loop => Status::LOOP_DETECTED,
            Self::NotLocal | Self::NotAllowed => Status::FORBIDDEN,
        }
    }
}

/// Who sends a request: P-Asserted-Identity of a trusted peer, else From (RFC 3325, section 5). `None` if the sender
/// wants to stay unknown, which XMPP cannot offer.
pub fn identity(headers: &Headers, is_trusted_peer: bool) -> Option<Uri> {
    if headers.all(&HeaderName::Privacy).any(asks_for_privacy) {
        return None;
    }
    let asserted = match is_trusted_peer && headers.has(&HeaderName::PAssertedIdentity) {
        // What asserts somebody and cannot be read asserts that it is not From.
        true => headers.addresses(&HeaderName::PAssertedIdentity).ok()?,
        false => Vec::new(),
    };
    let mut asserted = asserted.into_iter().map(|address| address.uri);
    let uri = match asserted.find(|uri| matches!(uri.scheme(), Scheme::Sip | Scheme::Sips)) {
        Some(uri) => uri,
        None => headers.from().ok()?.uri,
    };
    (!uri.host().eq_ignore_ascii_case("anonymous.invalid")).then_some(uri)
}

/// Whether the sender's identity is to stay inside (RFC 3323, section 4.2; RFC 3325, section 9.3).
fn asks_for_privacy(value: &HeaderValue) -> bool {
    let is_identity = |part: &str| ["id", "user"].iter().any(|known| part.trim().eq_ignore_ascii_case(known));
    value.as_str().is_none_or(|value| value.split([';', ',']).any(is_identity))
}

/// Decides about a request of the pool (rows S3, S6, S7 and sections 0, 9.8): from whom, to whom. Whether the local user
/// may use the federation is asked only once the rest is in order.
pub fn admit_request<'d>(
    domains: &'d Domains,
    sender: Option<&DomainName>,
    target: &Uri,
    is_allowed: impl FnOnce() -> bool,
) -> Result<&'d PartnerEntry, RequestRefusal> {
    if target.scheme() == Scheme::Sips {
        return Err(RequestRefusal::Sips);
    }
    let target = DomainName::parse(target.host()).map_err(|_| RequestRefusal::NotAPartner)?;
    if domains.is_local(&target) {
        return Err(RequestRefusal::Loop);
    }
    let entry = domains.partner(&target).ok_or(RequestRefusal::NotAPartner)?;
    if !sender.is_some_and(|sender| domains.is_local(sender)) {
        return Err(RequestRefusal::NotLocal);
    }
    if is_allowed() { Ok(entry) } else { Err(RequestRefusal::NotAllowed) }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
