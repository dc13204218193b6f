//! Stream errors of the peer (RFC 6120, section 4.9.3): what senders hear, what is still tried, who is told to act.

use causeway_shared::xmpp::stream_error::{StreamCondition, StreamError};

use super::*;

/// What each condition means on a stream that we have opened.
fn expected(condition: StreamCondition) -> (StanzaCondition, Next, Side) {
    use StanzaCondition::{NotAllowed, RemoteServerNotFound, RemoteServerTimeout};
    match condition {
        StreamCondition::HostGone | StreamCondition::HostUnknown => (RemoteServerNotFound, Next::GiveUp, Side::Theirs),
        StreamCondition::PolicyViolation | StreamCondition::NotAuthorized => (NotAllowed, Next::GiveUp, Side::Theirs),
        StreamCondition::InvalidFrom => (NotAllowed, Next::GiveUp, Side::Operator),
        StreamCondition::Conflict => (RemoteServerTimeout, Next::GiveUp, Side::Theirs),
        StreamCondition::BadNamespacePrefix
        | StreamCondition::ImproperAddressing
        | StreamCondition::RestrictedXml
        | StreamCondition::UnsupportedFeature
        | StreamCondition::UnsupportedVersion => (RemoteServerTimeout, Next::GiveUp, Side::Operator),
        StreamCondition::BadFormat
        | StreamCondition::ConnectionTimeout
        | StreamCondition::InternalServerError
        | StreamCondition::InvalidNamespace
        | StreamCondition::InvalidXml
        | StreamCondition::NotWellFormed
        | StreamCondition::RemoteConnectionFailed
        | StreamCondition::Reset
        | StreamCondition::ResourceConstraint
        | StreamCondition::SeeOtherHost
        | StreamCondition::SystemShutdown
        | StreamCondition::UndefinedCondition
        | StreamCondition::UnsupportedEncoding
        | StreamCondition::UnsupportedStanzaType => (RemoteServerTimeout, Next::Address, Side::Theirs),
    }
}

fn received(condition: StreamCondition) -> String {
    StreamError::new(condition).with_text("in words of the peer").to_element().to_stream_string()
}

#[test]
fn every_condition_has_its_reaction_before_the_stream_is_ready() {
    for condition in StreamCondition::ALL {
        let said = Scene::new(settings('R', 'R', true)).element(&received(condition));
        let failure = said.failure();
        let seen = (failure.condition, failure.next, failure.finding.side);
        assert_eq!(seen, expected(condition), "{condition}");
        assert!(failure.finding.cause.ends_with(condition.as_str()), "{}", failure.finding.cause);
        assert_eq!((said.sent.as_str(), said.rest.last()), ("</stream:stream>", Some(&Output::Close)), "{condition}");
    }
}

#[test]
fn every_condition_has_its_reaction_on_a_stream_that_carries_stanzas() {
    for condition in StreamCondition::ALL {
        let said = super::life::ready().element(&received(condition));
        let failure = said.failure();
        assert_eq!((failure.condition, failure.next, failure.finding.side), expected(condition), "{condition}");
        assert_eq!(said.rest.last(), Some(&Output::Close), "{condition}");
    }
}

#[test]
fn what_a_peer_writes_beside_its_condition_stays_out_of_verdicts() {
    let said = Scene::new(settings('R', 'R', true)).element(&received(StreamCondition::Reset));
    assert!(!said.failure().finding.cause.contains("words of the peer"));
}

#[test]
fn the_old_name_of_not_well_formed_and_names_nobody_knows_are_understood() {
    for (name, condition) in
        [("xml-not-well-formed", StreamCondition::NotWellFormed), ("bored", StreamCondition::UndefinedCondition)]
    {
        let error = format!("<stream:error><{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
        let said = Scene::new(settings('R', 'R', true)).element(&error);
        assert!(said.failure().finding.cause.ends_with(condition.as_str()), "{said:?}");
    }
}

#[test]
fn a_redirection_is_not_followed() {
    let error = "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>evil.example:5269\
                 </see-other-host></stream:error>";
    let said = Scene::new(settings('R', 'R', true)).element(error);
    assert_eq!(said.failure().next, Next::Address, "the partner's own addresses, from DNS");
    assert!(!format!("{said:?}").contains("evil.example"));
}

#[test]
fn a_mandatory_feature_that_we_lack_is_an_unsupported_feature() {
    let features = "<stream:features><sorcery xmlns='urn:x:sorcery'><required/></sorcery></stream:features>";
    let said = Scene::secured(settings('R', 'R', true), proven()).element(features);
    assert!(said.sent.contains("<unsupported-feature "), "{}", said.sent);
    assert!(said.sent.ends_with("</stream:stream>"), "{}", said.sent);
    assert_eq!((said.failure().next, said.failure().finding.side), (Next::GiveUp, Side::Operator));
}

#[test]
fn an_optional_feature_that_we_lack_and_a_mandatory_one_beside_a_usable_one_do_not_matter() {
    let external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
    for other in ["<sorcery xmlns='urn:x:sorcery'/>", "<sorcery xmlns='urn:x:sorcery'><required/></sorcery>"] {
        let features = format!("<stream:features>{other}{external}</stream:features>");
        let said = Scene::secured(settings('R', 'R', true), proven()).element(&features);
        assert!(said.sent.starts_with("<auth "), "{}", said.sent);
    }
}
