//! SASL EXTERNAL between servers (RFC 6120, section 6; XEP-0178, section 3): the credential is the TLS certificate.
//!
//! Both roles. The stream says whether EXTERNAL was offered and judges the certificate again when asked to; the machine
//! here knows what may be said when. One attempt per stream: a certificate does not get better by trying again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_shared::domain::DomainName;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::sasl::SaslCondition;

/// The only mechanism.
const EXTERNAL: &str = "EXTERNAL";

/// The longest base64 worth decoding: a domain of 1023 bytes.
const MAX_RESPONSE: usize = 1364;

/// The receiving server's part in one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiving {
    /// No attempt yet.
    Ready,
    /// An `<auth/>` without initial response was answered by an empty challenge.
    AwaitResponse,
    /// The one attempt failed.
    Failed,
    /// The peer is who it says.
    Succeeded,
}

/// What the stream knows when an element of SASL arrives.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Whether the stream is protected.
    pub secured: bool,
    /// Whether EXTERNAL was among the features.
    pub offered: bool,
    /// The `from` of the stream header.
    pub from: Option<&'a DomainName>,
}

/// What the receiving server does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask for the authorization identity.
    Challenge,
    /// Judge the certificate for this domain once more; then tell [`Receiving::settle`].
    Judge(DomainName),
    /// Refuse.
    Fail(SaslCondition),
    /// A second attempt, which nobody gets.
    TooMany,
}

impl Receiving {
    /// Takes an element in the namespace of SASL.
    pub fn handle(&mut self, element: &Element, offer: Offer<'_>) -> Step {
        let (next, step) = match (*self, element.name()) {
            (Self::Failed | Self::Succeeded, _) => (*self, Step::TooMany),
            (Self::Ready | Self::AwaitResponse, "auth") => begin(element, offer),
            (Self::AwaitResponse, "response") => match authzid(&element.text_content()) {
                Ok(authzid) => decide(authzid, offer),
                Err(condition) => fail(condition),
            },
            (Self::AwaitResponse, "abort") => fail(SaslCondition::Aborted),
            (Self::Ready | Self::AwaitResponse, _) => fail(SaslCondition::MalformedRequest),
        };
        *self = next;
        step
    }

    /// The stream has judged the certificate.
    pub fn settle(&mut self, accepted: bool) {
        *self = if accepted { Self::Succeeded } else { Self::Failed };
    }
}

fn fail(condition: SaslCondition) -> (Receiving, Step) {
    (Receiving::Failed, Step::Fail(condition))
}

/// A first `<auth/>`, or one that replaces it before the exchange ends (RFC 6120, section 6.4.2).
fn begin(element: &Element, offer: Offer<'_>) -> (Receiving, Step) {
    if !offer.secured {
        return fail(SaslCondition::EncryptionRequired);
    }
    if !offer.offered || element.attribute("mechanism") != Some(EXTERNAL) {
        return fail(SaslCondition::InvalidMechanism);
    }
    if element.children().next().is_some() {
        return fail(SaslCondition::MalformedRequest);
    }
    let text = element.text_content();
    if text.is_empty() {
        return (Receiving::AwaitResponse, Step::Challenge);
    }
    match authzid(&text) {
        Ok(authzid) => decide(authzid, offer),
        Err(condition) => fail(condition),
    }
}

/// The authorization identity of a response: `=` is a response of no bytes, which names nobody.
fn authzid(text: &str) -> Result<Option<DomainName>, SaslCondition> {
    if text.is_empty() || text == "=" {
        return Ok(None);
    }
    if text.len() > MAX_RESPONSE {
        return Err(SaslCondition::InvalidAuthzid);
    }
    let bytes = STANDARD.decode(text).map_err(|_| SaslCondition::IncorrectEncoding)?;
    let name = std::str::from_utf8(&bytes).map_err(|_| SaslCondition::InvalidAuthzid)?;
    DomainName::parse(name).map(Some).map_err(|_| SaslCondition::InvalidAuthzid)
}

/// The authorization identity must be the stream's `from`; without one it is.
fn decide(authzid: Option<DomainName>, offer: Offer<'_>) -> (Receiving, Step) {
    match (authzid, offer.from) {
        (None, Some(from)) => (Receiving::AwaitResponse, Step::Judge(from.clone())),
        (Some(authzid), Some(from)) if authzid == *from => (Receiving::AwaitResponse, Step::Judge(authzid)),
        (Some(_) | None, _) => fail(SaslCondition::InvalidAuthzid),
    }
}

/// The feature of a stream that offers EXTERNAL.
pub fn mechanisms() -> Element {
    Element::new(ns::SASL, "mechanisms").child(Element::new(ns::SASL, "mechanism").text(EXTERNAL))
}

/// The empty challenge (RFC 6120, section 6.4.3).
pub fn challenge() -> Element {
    Element::new(ns::SASL, "challenge")
}

/// Success, without data.
pub fn success() -> Element {
    Element::new(ns::SASL, "success")
}

/// Failure with its condition.
pub fn failure(condition: SaslCondition) -> Element {
    Element::new(ns::SASL, "failure").child(Element::new(ns::SASL, condition.as_str()))
}

/// The condition of a received failure; one that no standard knows says no more than `not-authorized`.
pub fn condition_of(failure: &Element) -> SaslCondition {
    failure.children().find_map(|child| SaslCondition::parse(child.name())).unwrap_or(SaslCondition::NotAuthorized)
}

/// Whether features offer EXTERNAL.
pub fn is_offered(features: &Element) -> bool {
    features.find(ns::SASL, "mechanisms").is_some_and(|mechanisms| {
        mechanisms.find_all(ns::SASL, "mechanism").any(|mechanism| mechanism.text_content().trim() == EXTERNAL)
    })
}

/// The initiating server's request. Old receivers insist on an authorization identity, others refuse one they did not
/// ask for: the second request goes without (XEP-0178, section 3).
pub fn auth(authzid: Option<&DomainName>) -> Element {
    Element::new(ns::SASL, "auth").attr("mechanism", EXTERNAL).text(initial_response(authzid))
}

/// The answer to an empty challenge.
pub fn response(authzid: &DomainName) -> Element {
    Element::new(ns::SASL, "response").text(initial_response(Some(authzid)))
}

fn initial_response(authzid: Option<&DomainName>) -> String {
    authzid.map_or_else(|| "=".to_owned(), |authzid| STANDARD.encode(authzid.to_unicode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn request(content: &str) -> Element {
        Element::new(ns::SASL, "auth").attr("mechanism", EXTERNAL).text(content)
    }

    fn check(element: &Element, expected: &Step) -> Receiving {
        let mut machine = Receiving::Ready;
        let from = name("capulet.lit");
        assert_eq!(machine.handle(element, Offer { secured: true, offered: true, from: Some(&from) }), *expected);
        machine
    }

    #[test]
    fn an_equals_sign_is_an_empty_response_and_means_the_streams_from() {
        check(&request("="), &Step::Judge(name("capulet.lit")));
    }

    #[test]
    fn an_authorization_identity_is_base64_of_the_streams_from() {
        check(&request("Y2FwdWxldC5saXQ="), &Step::Judge(name("capulet.lit")));
        check(&request(&STANDARD.encode("CAPULET.lit.")), &Step::Judge(name("capulet.lit")));
    }

    #[test]
    fn another_authorization_identity_is_refused() {
        check(&request(&STANDARD.encode("montague.lit")), &Step::Fail(SaslCondition::InvalidAuthzid));
        check(&request(&STANDARD.encode("juliet@capulet.lit")), &Step::Fail(SaslCondition::InvalidAuthzid));
        check(&request(&STANDARD.encode([0xff, 0xfe])), &Step::Fail(SaslCondition::InvalidAuthzid));
    }

    #[test]
    fn wrong_base64_is_incorrect_encoding() {
        for text in ["Y2Fwd", "Y2Fw dWxldC5saXQ=", "=x", "ä"] {
            check(&request(text), &Step::Fail(SaslCondition::IncorrectEncoding));
        }
    }

    #[test]
    fn an_empty_request_is_challenged_and_the_response_is_the_identity() {
        let mut machine = check(&request(""), &Step::Challenge);
        let from = name("capulet.lit");
        let offer = Offer { secured: true, offered: true, from: Some(&from) };
        let answer = Element::new(ns::SASL, "response").text("Y2FwdWxldC5saXQ=");
        assert_eq!(machine.handle(&answer, offer), Step::Judge(from.clone()));
    }

    #[test]
    fn a_further_request_before_the_end_replaces_the_first() {
        let mut machine = check(&request(""), &Step::Challenge);
        let from = name("capulet.lit");
        let offer = Offer { secured: true, offered: true, from: Some(&from) };
        assert_eq!(machine.handle(&request("="), offer), Step::Judge(from.clone()));
    }

    #[test]
    fn a_mechanism_that_was_not_offered_is_invalid() {
        check(
            &Element::new(ns::SASL, "auth").attr("mechanism", "PLAIN").text("="),
            &Step::Fail(SaslCondition::InvalidMechanism),
        );
        let mut machine = Receiving::Ready;
        let from = name("capulet.lit");
        let offer = Offer { secured: true, offered: false, from: Some(&from) };
        assert_eq!(machine.handle(&request("="), offer), Step::Fail(SaslCondition::InvalidMechanism));
    }

    #[test]
    fn a_request_before_tls_requires_encryption() {
        let mut machine = Receiving::Ready;
        let offer = Offer { secured: false, offered: false, from: None };
        assert_eq!(machine.handle(&request("="), offer), Step::Fail(SaslCondition::EncryptionRequired));
    }

    #[test]
    fn a_response_without_challenge_is_malformed_and_an_abort_is_answered() {
        check(&Element::new(ns::SASL, "response").text("="), &Step::Fail(SaslCondition::MalformedRequest));
        let mut machine = check(&request(""), &Step::Challenge);
        let from = name("capulet.lit");
        let offer = Offer { secured: true, offered: true, from: Some(&from) };
        assert_eq!(machine.handle(&Element::new(ns::SASL, "abort"), offer), Step::Fail(SaslCondition::Aborted));
    }

    #[test]
    fn there_is_one_attempt() {
        let mut machine = check(&request("!"), &Step::Fail(SaslCondition::IncorrectEncoding));
        let from = name("capulet.lit");
        let offer = Offer { secured: true, offered: true, from: Some(&from) };
        assert_eq!(machine.handle(&request("="), offer), Step::TooMany);
    }
}
