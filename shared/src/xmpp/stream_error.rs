//! Stream errors (RFC 6120, section 4.9): always fatal to the stream that carries them.

use std::fmt;

use super::element::Element;
use super::ns;

/// The defined conditions (RFC 6120, section 4.9.3), in the standard's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamCondition {
    /// XML that cannot be processed, with no better name.
    BadFormat,
    /// A prefix that is not supported, or missing where one is required.
    BadNamespacePrefix,
    /// A newer stream replaces this one, or there is one too many.
    Conflict,
    /// The peer stopped answering.
    ConnectionTimeout,
    /// The `to` of the header is served here no longer.
    HostGone,
    /// The `to` of the header is not served here.
    HostUnknown,
    /// An address is missing, empty or invalid.
    ImproperAddressing,
    /// Our own fault.
    InternalServerError,
    /// A `from` that this stream did not prove.
    InvalidFrom,
    /// The wrong stream or content namespace.
    InvalidNamespace,
    /// Nonsense by the schema.
    InvalidXml,
    /// Data before authentication.
    NotAuthorized,
    /// Not XML, or not XML with namespaces.
    NotWellFormed,
    /// A limit or a local rule was broken.
    PolicyViolation,
    /// A third server that authentication needs cannot be reached.
    RemoteConnectionFailed,
    /// Something about security changed: connect anew.
    Reset,
    /// We are out of resources.
    ResourceConstraint,
    /// A comment, processing instruction, DTD or entity reference.
    RestrictedXml,
    /// Go to another host.
    SeeOtherHost,
    /// We are being shut down.
    SystemShutdown,
    /// None of the others; only with an application's own element.
    UndefinedCondition,
    /// Not UTF-8.
    UnsupportedEncoding,
    /// The peer demands a stream feature that we lack.
    UnsupportedFeature,
    /// A first-level element that is neither stanza nor negotiation.
    UnsupportedStanzaType,
    /// A version of XMPP that we do not speak.
    UnsupportedVersion,
}

impl StreamCondition {
    /// Every condition of the RFC.
    pub const ALL: [Self; 25] = [
        Self::BadFormat,
        Self::BadNamespacePrefix,
        Self::Conflict,
        Self::ConnectionTimeout,
        Self::HostGone,
        Self::HostUnknown,
        Self::ImproperAddressing,
        Self::InternalServerError,
        Self::InvalidFrom,
        Self::InvalidNamespace,
        Self::InvalidXml,
        Self::NotAuthorized,
        Self::NotWellFormed,
        Self::PolicyViolation,
        Self::RemoteConnectionFailed,
        Self::Reset,
        Self::ResourceConstraint,
        Self::RestrictedXml,
        Self::SeeOtherHost,
        Self::SystemShutdown,
        Self::UndefinedCondition,
        Self::UnsupportedEncoding,
        Self::UnsupportedFeature,
        Self::UnsupportedStanzaType,
        Self::UnsupportedVersion,
    ];

    /// The name of the condition's element.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadFormat => "bad-format",
            Self::BadNamespacePrefix => "bad-namespace-prefix",
            Self::Conflict => "conflict",
            Self::ConnectionTimeout => "connection-timeout",
            Self::HostGone => "host-gone",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InternalServerError => "internal-server-error",
            Self::InvalidFrom => "invalid-from",
            Self::InvalidNamespace => "invalid-namespace",
            Self::InvalidXml => "invalid-xml",
            Self::NotAuthorized => "not-authorized",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteConnectionFailed => "remote-connection-failed",
            Self::Reset => "reset",
            Self::ResourceConstraint => "resource-constraint",
            Self::RestrictedXml => "restricted-xml",
            Self::SeeOtherHost => "see-other-host",
            Self::SystemShutdown => "system-shutdown",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::UnsupportedFeature => "unsupported-feature",
            Self::UnsupportedStanzaType => "unsupported-stanza-type",
            Self::UnsupportedVersion => "unsupported-version",
        }
    }

    /// The condition of an element's name. The name that RFC 3920 gave to `not-well-formed` is still accepted
    /// (RFC 6120, section 4.9.3.13).
    pub fn parse(name: &str) -> Option<Self> {
        if name == "xml-not-well-formed" {
            return Some(Self::NotWellFormed);
        }
        Self::ALL.into_iter().find(|condition| condition.as_str() == name)
    }
}

impl fmt::Display for StreamCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A peer's fault that ends the stream: the condition it is told and the cause an operator reads.
///
/// The cause is ours, word for word: what a peer sent is never reflected to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{condition}: {cause}")]
pub struct StreamFault {
    /// What the peer is told.
    pub condition: StreamCondition,
    /// What exactly was wrong.
    pub cause: &'static str,
}

impl StreamFault {
    /// A fault of a condition, with its cause.
    pub const fn new(condition: StreamCondition, cause: &'static str) -> Self {
        Self { condition, cause }
    }
}

/// A stream error as it is sent or was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// Why the stream ends.
    pub condition: StreamCondition,
    /// The explanation, in whatever language; a peer's is untrusted text.
    pub text: Option<String>,
    /// Content of the condition's element; only `see-other-host` has some.
    pub detail: Option<String>,
    /// What an extension adds (section 4.9.4).
    pub application: Option<Element>,
}

impl StreamError {
    /// An error without explanation.
    pub fn new(condition: StreamCondition) -> Self {
        Self { condition, text: None, detail: None, application: None }
    }

    /// The same error with an extension's own element.
    #[must_use]
    pub fn with_application(mut self, element: Element) -> Self {
        self.application = Some(element);
        self
    }

    /// The same error with an explanation of ours.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The element to send, `<stream:error/>`.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(ns::STREAM_ERRORS, self.condition.as_str());
        if let Some(detail) = &self.detail {
            condition = condition.text(detail.as_str());
        }
        let mut error = Element::new(ns::STREAM, "error").child(condition);
        if let Some(text) = &self.text {
            error = error.child(Element::new(ns::STREAM_ERRORS, "text").attr("xml:lang", "en").text(text.as_str()));
        }
        match &self.application {
            Some(application) => error.child(application.clone()),
            None => error,
        }
    }

    /// Reads a received `<stream:error/>`; a condition that no standard knows is `undefined-condition`.
    pub fn from_element(error: &Element) -> Option<Self> {
        if !error.is(ns::STREAM, "error") {
            return None;
        }
        let conditions = || error.children().filter(|child| child.namespace() == ns::STREAM_ERRORS);
        let found = conditions().find_map(|child| Some((StreamCondition::parse(child.name())?, child)));
        Some(Self {
            condition: found.map_or(StreamCondition::UndefinedCondition, |(condition, _)| condition),
            text: conditions().find(|child| child.name() == "text").map(Element::text_content),
            detail: found.map(|(_, child)| child.text_content()).filter(|detail| !detail.is_empty()),
            application: error.children().find(|child| child.namespace() != ns::STREAM_ERRORS).cloned(),
        })
    }
}

impl From<StreamFault> for StreamError {
    fn from(fault: StreamFault) -> Self {
        Self::new(fault.condition).with_text(fault.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_printed_and_read_back() {
        for condition in StreamCondition::ALL {
            let error = StreamError::new(condition).with_text("because");
            assert_eq!(StreamError::from_element(&error.to_element()), Some(error));
        }
    }

    #[test]
    fn the_old_name_of_not_well_formed_is_understood() {
        assert_eq!(StreamCondition::parse("xml-not-well-formed"), Some(StreamCondition::NotWellFormed));
    }

    #[test]
    fn an_unknown_condition_is_undefined_and_another_element_is_no_error() {
        let odd = Element::new(ns::STREAM, "error").child(Element::new(ns::STREAM_ERRORS, "bored"));
        assert_eq!(StreamError::from_element(&odd), Some(StreamError::new(StreamCondition::UndefinedCondition)));
        assert_eq!(StreamError::from_element(&Element::new(ns::SERVER, "error")), None);
    }

    #[test]
    fn an_error_is_written_with_the_prefix_of_the_stream() {
        let error = StreamError::new(StreamCondition::HostUnknown).with_text("not here");
        assert_eq!(
            error.to_element().to_stream_string(),
            "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>not here</text></stream:error>"
        );
    }
}
