//! Stanza errors (RFC 6120, section 8.3): the answer that a sender gets instead of what it hoped for.

use std::fmt;

use super::element::Element;
use super::ns;

/// The defined conditions (RFC 6120, section 8.3.3), in the standard's order, and one of XEP-0220.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StanzaCondition {
    /// The stanza cannot be understood.
    BadRequest,
    /// It collides with what is there.
    Conflict,
    /// The recipient does not implement it.
    FeatureNotImplemented,
    /// The sender may not do that.
    Forbidden,
    /// The recipient is somewhere else now.
    Gone,
    /// Our own fault.
    InternalServerError,
    /// There is nothing of that address or name.
    ItemNotFound,
    /// An address that is none.
    JidMalformed,
    /// The recipient refuses what it understood.
    NotAcceptable,
    /// Nobody may do that.
    NotAllowed,
    /// The sender has to prove who it is.
    NotAuthorized,
    /// A local rule was broken.
    PolicyViolation,
    /// The recipient is not to be reached right now.
    RecipientUnavailable,
    /// Ask another address.
    Redirect,
    /// The sender has to register first.
    RegistrationRequired,
    /// The recipient's server cannot be reached at all.
    RemoteServerNotFound,
    /// The recipient's server did not answer in time.
    RemoteServerTimeout,
    /// A server is out of resources.
    ResourceConstraint,
    /// The recipient, or its server, does not offer that.
    ServiceUnavailable,
    /// The sender has to subscribe first.
    SubscriptionRequired,
    /// None of the others.
    UndefinedCondition,
    /// The recipient did not expect it now.
    UnexpectedRequest,
    /// The authoritative server cannot be reached; only in dialback (XEP-0220, section 2.5).
    RemoteConnectionFailed,
}

/// What a sender is to do about an error (RFC 6120, section 8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after proving who you are.
    Auth,
    /// Do not retry.
    Cancel,
    /// Go on: only a warning.
    Continue,
    /// Retry with other data.
    Modify,
    /// Retry later.
    Wait,
}

impl StanzaCondition {
    /// Every condition.
    pub const ALL: [Self; 23] = [
        Self::BadRequest,
        Self::Conflict,
        Self::FeatureNotImplemented,
        Self::Forbidden,
        Self::Gone,
        Self::InternalServerError,
        Self::ItemNotFound,
        Self::JidMalformed,
        Self::NotAcceptable,
        Self::NotAllowed,
        Self::NotAuthorized,
        Self::PolicyViolation,
        Self::RecipientUnavailable,
        Self::Redirect,
        Self::RegistrationRequired,
        Self::RemoteServerNotFound,
        Self::RemoteServerTimeout,
        Self::ResourceConstraint,
        Self::ServiceUnavailable,
        Self::SubscriptionRequired,
        Self::UndefinedCondition,
        Self::UnexpectedRequest,
        Self::RemoteConnectionFailed,
    ];

    /// The name of the condition's element.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Conflict => "conflict",
            Self::FeatureNotImplemented => "feature-not-implemented",
            Self::Forbidden => "forbidden",
            Self::Gone => "gone",
            Self::InternalServerError => "internal-server-error",
            Self::ItemNotFound => "item-not-found",
            Self::JidMalformed => "jid-malformed",
            Self::NotAcceptable => "not-acceptable",
            Self::NotAllowed => "not-allowed",
            Self::NotAuthorized => "not-authorized",
            Self::PolicyViolation => "policy-violation",
            Self::RecipientUnavailable => "recipient-unavailable",
            Self::Redirect => "redirect",
            Self::RegistrationRequired => "registration-required",
            Self::RemoteServerNotFound => "remote-server-not-found",
            Self::RemoteServerTimeout => "remote-server-timeout",
            Self::ResourceConstraint => "resource-constraint",
            Self::ServiceUnavailable => "service-unavailable",
            Self::SubscriptionRequired => "subscription-required",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnexpectedRequest => "unexpected-request",
            Self::RemoteConnectionFailed => "remote-connection-failed",
        }
    }

    /// The condition of an element's name; a name of no condition is `None`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == name)
    }

    /// The type that the standard gives the condition; where it leaves a choice, the first it names. A policy
    /// violation may be `modify` or `wait`, an unexpected request `wait` or `modify`.
    pub fn usual_type(self) -> ErrorType {
        match self {
            Self::BadRequest
            | Self::JidMalformed
            | Self::NotAcceptable
            | Self::PolicyViolation
            | Self::Redirect
            | Self::UndefinedCondition => ErrorType::Modify,
            Self::Conflict
            | Self::FeatureNotImplemented
            | Self::Gone
            | Self::InternalServerError
            | Self::ItemNotFound
            | Self::NotAllowed
            | Self::RemoteServerNotFound
            | Self::ServiceUnavailable
            | Self::RemoteConnectionFailed => ErrorType::Cancel,
            Self::Forbidden | Self::NotAuthorized | Self::RegistrationRequired | Self::SubscriptionRequired => {
                ErrorType::Auth
            }
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => ErrorType::Wait,
        }
    }
}

impl ErrorType {
    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    /// The type by the value of the attribute.
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Auth, Self::Cancel, Self::Continue, Self::Modify, Self::Wait]
            .into_iter()
            .find(|kind| kind.as_str() == value)
    }
}

impl fmt::Display for StanzaCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stanza error as it is sent or was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender is to do about it.
    pub kind: ErrorType,
    /// What happened.
    pub condition: StanzaCondition,
    /// The explanation; a peer's is untrusted text.
    pub text: Option<String>,
    /// The language of an explanation of ours.
    pub lang: &'static str,
    /// The domain or address that generated the error, where that is not the recipient.
    pub by: Option<String>,
    /// Content of the condition's element: the new address in `gone` and `redirect`.
    pub detail: Option<String>,
}

impl StanzaError {
    /// An error with a type of its own.
    pub fn new(kind: ErrorType, condition: StanzaCondition) -> Self {
        Self { kind, condition, text: None, lang: "en", by: None, detail: None }
    }

    /// The same error with an explanation.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same error with an explanation in another language than English.
    #[must_use]
    pub fn with_text_in(self, lang: &'static str, text: impl Into<String>) -> Self {
        Self { lang, ..self.with_text(text) }
    }

    /// The `<error/>` of a stanza.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(ns::STANZA_ERRORS, self.condition.as_str());
        if let Some(detail) = &self.detail {
            condition.push_text(detail.as_str());
        }
        let mut error = Element::new(ns::SERVER, "error")
            .attr_opt("by", self.by.as_deref())
            .attr("type", self.kind.as_str())
            .child(condition);
        if let Some(text) = &self.text {
            error.push(Element::new(ns::STANZA_ERRORS, "text").attr("xml:lang", self.lang).text(text.as_str()));
        }
        error
    }

    /// Reads the error of a stanza (or dialback element) of type `error`. Whatever is missing or unknown is made up
    /// the way a careful reader would: `undefined-condition`, and the type that is usual for the condition.
    pub fn of(stanza: &Element) -> Self {
        let error = stanza.children().find(|child| child.name() == "error" && child.namespace() == stanza.namespace());
        let error = error.or_else(|| stanza.find(ns::SERVER, "error"));
        let conditions =
            || error.into_iter().flat_map(Element::children).filter(|e| e.namespace() == ns::STANZA_ERRORS);
        let found = conditions().find_map(|child| Some((StanzaCondition::parse(child.name())?, child)));
        let condition = found.map_or(StanzaCondition::UndefinedCondition, |(condition, _)| condition);
        let kind = error.and_then(|error| error.attribute("type")).and_then(ErrorType::parse);
        Self {
            kind: kind.unwrap_or_else(|| condition.usual_type()),
            condition,
            text: conditions().find(|child| child.name() == "text").map(Element::text_content),
            lang: "en",
            by: error.and_then(|error| error.attribute("by")).map(str::to_owned),
            detail: found.map(|(_, child)| child.text_content()).filter(|detail| !detail.is_empty()),
        }
    }
}

impl From<StanzaCondition> for StanzaError {
    fn from(condition: StanzaCondition) -> Self {
        Self::new(condition.usual_type(), condition)
    }
}

/// The error that answers a stanza: same kind and `id`, addresses swapped, the error inside.
///
/// `None` for what must not be answered: an error, or the result of an iq (RFC 6120, section 8.3.1), whichever the
/// reason. The stanza's content is not sent back, which the section leaves to us.
pub fn error_reply(stanza: &Element, error: &StanzaError) -> Option<Element> {
    match (stanza.name(), stanza.attribute("type")) {
        (_, Some("error")) | ("iq", Some("result")) => return None,
        _ => {}
    }
    let name = stanza.name().to_owned();
    Some(
        Element::new(stanza.namespace().to_owned(), name)
            .attr_opt("from", stanza.attribute("to"))
            .attr_opt("to", stanza.attribute("from"))
            .attr("type", "error")
            .attr_opt("id", stanza.attribute("id"))
            .child(error.to_element()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Element {
        Element::new(ns::SERVER, "message")
            .attr("from", "eve@wingtip.example/pda")
            .attr("to", "alice@contoso.example")
            .attr("type", "chat")
            .attr("id", "m1")
            .child(Element::new(ns::SERVER, "body").text("hi"))
    }

    #[test]
    fn an_error_swaps_the_addresses_and_keeps_the_id() {
        let error = StanzaError::from(StanzaCondition::ServiceUnavailable).with_text("not here");
        assert_eq!(
            error_reply(&message(), &error).unwrap().to_string(),
            "<message xmlns='jabber:server' from='alice@contoso.example' to='eve@wingtip.example/pda' type='error' \
             id='m1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>not here</text></error></message>"
        );
    }

    #[test]
    fn an_error_or_a_result_is_never_answered() {
        let error = StanzaError::from(StanzaCondition::BadRequest);
        assert_eq!(error_reply(&message().attr("type", "error"), &error), None);
        assert_eq!(error_reply(&Element::new(ns::SERVER, "iq").attr("type", "result"), &error), None);
        assert_eq!(error_reply(&Element::new(ns::SERVER, "iq").attr("type", "error"), &error), None);
        assert!(error_reply(&Element::new(ns::SERVER, "iq").attr("type", "get"), &error).is_some());
        assert!(error_reply(&message().attr("type", "result"), &error).is_some());
    }

    #[test]
    fn every_condition_is_printed_and_read_back() {
        for condition in StanzaCondition::ALL {
            let error = StanzaError { by: Some("x.example".into()), ..condition.into() }.with_text("why");
            assert_eq!(StanzaError::of(&error_reply(&message(), &error).unwrap()), error);
        }
    }

    #[test]
    fn an_error_without_an_error_is_still_an_error() {
        let bare = message().attr("type", "error");
        assert_eq!(StanzaError::of(&bare), StanzaError::from(StanzaCondition::UndefinedCondition));
    }
}
