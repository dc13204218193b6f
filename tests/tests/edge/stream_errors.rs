//! Stream errors on the wire (RFC 6120, section 4.9): each condition that the edge sends is provoked by a peer, and the
//! bytes are looked at: our header first, exactly one condition, a text of ours, the closing tag, the end in order.

use causeway_shared::partner::Negotiation::{NotSupported, Required};
use causeway_shared::xmpp::stream_error::StreamCondition;
use causeway_tests::peer::xmpp::Stream;

use crate::support::{Certificate, TestEdge, World, settings};

const LOCAL: &str = "contoso.example";
const REMOTE: &str = "fabrikam.example";

/// A word of the peer that must never come back to it.
const MARK: &str = "mallory-was-here";

const STREAM: &str = "xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      xmlns:db='jabber:server:dialback'";

/// An edge with dialback in plaintext, so that everything before authentication can be said in plaintext.
async fn plain() -> TestEdge {
    World::new().edge(LOCAL, REMOTE, settings(NotSupported, NotSupported, true), Certificate::Good).await
}

/// An edge that demands TLS and a certificate, and a stream that has shown both.
async fn authenticated() -> (TestEdge, Stream) {
    let world = World::new();
    let edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    let tls = world.client(REMOTE, Certificate::Good);
    let stream = Stream::establish(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
    (edge, stream)
}

/// How many headers of ours stand before the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    /// The error is the first that is heard.
    First,
    /// The header was heard before.
    Before,
}

/// Hears the end of a stream, which has to be this one.
async fn hear_the_end(stream: &mut Stream, condition: StreamCondition, header: Header) {
    let heard = stream.heard_to_the_end().await.unwrap_or_else(|error| panic!("{condition}: torn down: {error}"));
    let count = |text: &str| heard.matches(text).count();
    assert_eq!(count("<stream:stream ") == 1, header == Header::First, "{condition}: {heard}");
    if header == Header::First {
        assert!(heard.starts_with("<?xml version='1.0'?><stream:stream "), "{condition}: {heard}");
        assert!(heard.contains(" from='contoso.example'") && heard.contains(" id='"), "{condition}: {heard}");
    }
    let (_, error) = heard.split_once("<stream:error>").unwrap_or_else(|| panic!("{condition}: {heard}"));
    let expected = format!("<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition.as_str());
    let rest = error.strip_prefix(&expected).unwrap_or_else(|| panic!("expected {condition}, heard {heard}"));
    let rest = match rest.strip_prefix("<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>") {
        Some(text) => text.split_once("</text>").unwrap().1,
        None => rest,
    };
    assert_eq!(rest, "</stream:error></stream:stream>", "{condition}: {heard}");
    assert!(!heard.contains(MARK), "{condition} repeats the peer's words: {heard}");
}

/// Says something instead of a header.
async fn as_header(text: impl AsRef<[u8]>, condition: StreamCondition) {
    let edge = plain().await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    stream.send_bytes(text.as_ref()).await.unwrap();
    hear_the_end(&mut stream, condition, Header::First).await;
}

/// Says something behind the features, unauthenticated.
async fn unauthenticated(text: impl AsRef<[u8]>, condition: StreamCondition) {
    let edge = plain().await;
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    let opened = stream.open(REMOTE, LOCAL).await.unwrap();
    assert!(opened.features.contains("<dialback "), "{}", opened.features);
    stream.send_bytes(text.as_ref()).await.unwrap();
    hear_the_end(&mut stream, condition, Header::Before).await;
}

/// Says something on an authenticated stream; nothing of it reaches the gateway.
async fn after_authentication(text: impl AsRef<[u8]>, condition: StreamCondition) {
    let (mut edge, mut stream) = authenticated().await;
    // The edge may stop reading in the middle of it.
    let _either = stream.send_bytes(text.as_ref()).await;
    hear_the_end(&mut stream, condition, Header::Before).await;
    assert!(edge.end.batches.try_recv().is_err(), "{condition}: something was forwarded");
}

fn message(attributes: &str, content: &str) -> String {
    format!("<message {attributes}>{content}<body>{MARK}</body></message>")
}

const GOOD: &str = "from='bob@fabrikam.example' to='alice@contoso.example'";

#[tokio::test]
async fn bad_format_is_text_where_an_element_belongs() {
    unauthenticated(MARK, StreamCondition::BadFormat).await;
    after_authentication(MARK, StreamCondition::BadFormat).await;
    as_header(format!("<stream:flow {STREAM} from='{MARK}.example'>"), StreamCondition::BadFormat).await;
}

#[tokio::test]
async fn bad_namespace_prefix_is_a_prefix_on_what_needs_none() {
    let stanza = format!("<s:message xmlns:s='jabber:server' {GOOD}><s:body>{MARK}</s:body></s:message>");
    after_authentication(stanza, StreamCondition::BadNamespacePrefix).await;
}

#[tokio::test]
async fn host_gone_is_a_domain_that_was_served() {
    let (mut edge, mut stream) = authenticated().await;
    edge.apply(|policy| policy.local_domains = vec!["other.example".parse().unwrap()]).await;
    let heard = stream.heard_to_the_end().await.unwrap();
    assert!(heard.starts_with("<stream:error><host-gone ") && heard.ends_with("</stream:stream>"), "{heard}");

    let mut late = Stream::connect(None, edge.address).await.unwrap();
    late.send(&format!("<stream:stream {STREAM} from='{REMOTE}' to='{LOCAL}' version='1.0'>")).await.unwrap();
    let heard = late.heard_to_the_end().await.unwrap();
    assert!(heard.contains(" from='other.example'") && heard.contains("<host-gone "), "{heard}");
}

#[tokio::test]
async fn host_unknown_is_a_domain_that_is_not_served() {
    let header = format!("<stream:stream {STREAM} from='{REMOTE}' to='{MARK}.example' version='1.0'>");
    as_header(header, StreamCondition::HostUnknown).await;
    let elsewhere = message("from='bob@fabrikam.example' to='alice@elsewhere.example'", "");
    after_authentication(elsewhere, StreamCondition::HostUnknown).await;
}

#[tokio::test]
async fn improper_addressing_is_an_address_that_is_missing_or_none() {
    for header in [
        format!("<stream:stream {STREAM} from='{REMOTE}' version='1.0'>"),
        format!("<stream:stream {STREAM} from='{MARK}@{REMOTE}' to='{LOCAL}' version='1.0'>"),
        format!("<stream:stream {STREAM} from='{REMOTE}' to='{LOCAL}/{MARK}' version='1.0'>"),
        format!("<stream:stream {STREAM} from='' to='{LOCAL}' version='1.0'>"),
    ] {
        as_header(header, StreamCondition::ImproperAddressing).await;
    }
    for stanza in [
        message("from='bob@fabrikam.example'", ""),
        message("to='alice@contoso.example'", ""),
        message("from='bob@fabrikam.example' to=''", ""),
        message("from='@fabrikam.example' to='alice@contoso.example'", ""),
    ] {
        after_authentication(stanza, StreamCondition::ImproperAddressing).await;
    }
    let offer = format!("<db:result to='{LOCAL}'>{MARK}</db:result>");
    unauthenticated(offer, StreamCondition::ImproperAddressing).await;
}

#[tokio::test]
async fn internal_server_error_is_an_edge_without_gateways() {
    let edge = plain().await;
    edge.end.has_gateway.send_replace(false);
    let mut stream = Stream::connect(None, edge.address).await.unwrap();
    stream.send(&format!("<stream:stream {STREAM} from='{REMOTE}' to='{LOCAL}' version='1.0'>")).await.unwrap();
    hear_the_end(&mut stream, StreamCondition::InternalServerError, Header::First).await;
}

#[tokio::test]
async fn invalid_from_is_a_sender_that_was_not_proved() {
    let header = format!("<stream:stream {STREAM} from='{LOCAL}' to='{LOCAL}' version='1.0'>");
    as_header(header, StreamCondition::InvalidFrom).await;
    let stanza = message("from='bob@wingtip.example' to='alice@contoso.example'", "");
    after_authentication(stanza, StreamCondition::InvalidFrom).await;
}

#[tokio::test]
async fn invalid_namespace_is_a_stream_of_another_kind() {
    for header in [
        format!("<stream:stream {} to='{LOCAL}' version='1.0'>", STREAM.replace("jabber:server'", "jabber:client'")),
        format!("<stream:stream {} to='{LOCAL}' version='1.0'>", STREAM.replace("etherx", MARK)),
    ] {
        as_header(header, StreamCondition::InvalidNamespace).await;
    }
}

#[tokio::test]
async fn invalid_xml_is_what_the_schema_forbids() {
    let iq = |attributes: &str| format!("<iq {GOOD} {attributes}><ping xmlns='urn:xmpp:ping'/></iq>");
    after_authentication(iq("type='get'"), StreamCondition::InvalidXml).await;
    after_authentication(iq(&format!("id='1' type='{MARK}'")), StreamCondition::InvalidXml).await;
    let offer = format!("<db:result from='{REMOTE}' to='{LOCAL}'/>");
    unauthenticated(offer, StreamCondition::InvalidXml).await;
}

#[tokio::test]
async fn not_authorized_is_a_stanza_before_authentication() {
    unauthenticated(message(GOOD, ""), StreamCondition::NotAuthorized).await;
}

#[tokio::test]
async fn not_well_formed_is_what_is_no_xml() {
    as_header(format!("GET /{MARK} HTTP/1.1\r\n\r\n"), StreamCondition::NotWellFormed).await;
    unauthenticated(format!("<a></{MARK}>"), StreamCondition::NotWellFormed).await;
    after_authentication(message(GOOD, "<x:y/>"), StreamCondition::NotWellFormed).await;
}

#[tokio::test]
async fn policy_violation_is_too_much_of_anything_and_a_partner_no_more() {
    as_header(format!("<stream:stream {STREAM} a='{}", "x".repeat(5000)), StreamCondition::PolicyViolation).await;
    unauthenticated(format!("<a>{}", MARK.repeat(600)), StreamCondition::PolicyViolation).await;
    let deep = format!("{}{}", "<a>".repeat(80), "</a>".repeat(80));
    after_authentication(message(GOOD, &deep), StreamCondition::PolicyViolation).await;

    let (mut edge, mut stream) = authenticated().await;
    edge.apply(|policy| policy.partners.clear()).await;
    hear_the_end(&mut stream, StreamCondition::PolicyViolation, Header::Before).await;
}

#[tokio::test]
async fn reset_is_a_change_that_the_stream_must_not_outlive() {
    let (mut edge, mut stream) = authenticated().await;
    edge.apply(|policy| {
        for partner in &mut policy.partners {
            partner.negotiation = settings(NotSupported, NotSupported, true);
            partner.methods = partner.negotiation.methods();
        }
    })
    .await;
    hear_the_end(&mut stream, StreamCondition::Reset, Header::Before).await;
}

#[tokio::test]
async fn resource_constraint_is_a_connection_more_than_the_partner_may_have() {
    let world = World::new();
    let mut edge = world.edge(LOCAL, REMOTE, settings(Required, Required, true), Certificate::Good).await;
    edge.apply(|policy| policy.partners[0].connection_limit = 1).await;
    let tls = world.client(REMOTE, Certificate::Good);
    let _first = Stream::establish(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
    let (mut second, _) = Stream::secured(None, edge.address, REMOTE, LOCAL, &tls).await.unwrap();
    assert!(second.external().await.unwrap());
    hear_the_end(&mut second, StreamCondition::ResourceConstraint, Header::First).await;
}

#[tokio::test]
async fn restricted_xml_is_what_streams_forbid_of_xml() {
    as_header(format!("<!DOCTYPE {MARK}>"), StreamCondition::RestrictedXml).await;
    unauthenticated(format!("<!-- {MARK} -->"), StreamCondition::RestrictedXml).await;
    after_authentication(message(GOOD, &format!("<?{MARK} ?>")), StreamCondition::RestrictedXml).await;
    after_authentication(message(GOOD, "&mallory;"), StreamCondition::RestrictedXml).await;
}

#[tokio::test]
async fn system_shutdown_is_an_edge_that_goes_away() {
    let (edge, mut stream) = authenticated().await;
    edge.edge.drain();
    hear_the_end(&mut stream, StreamCondition::SystemShutdown, Header::Before).await;
}

#[tokio::test]
async fn undefined_condition_is_a_count_of_stanzas_that_were_never_sent() {
    let (_edge, mut stream) = authenticated().await;
    stream.send("<enable xmlns='urn:xmpp:sm:3'/>").await.unwrap();
    assert!(stream.next().await.unwrap().text().starts_with("<enabled "));
    stream.send("<a xmlns='urn:xmpp:sm:3' h='7'/>").await.unwrap();
    let heard = stream.heard_to_the_end().await.unwrap();
    let error = "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
    assert!(heard.starts_with(error) && heard.ends_with("</stream:stream>"), "{heard}");
    assert!(heard.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='7' send-count='0'/>"), "{heard}");
}

#[tokio::test]
async fn unsupported_encoding_is_anything_but_utf_8() {
    let header = format!("<?xml version='1.0' encoding='UTF-16'?><stream:stream {STREAM} to='{LOCAL}' version='1.0'>");
    as_header(header, StreamCondition::UnsupportedEncoding).await;
    unauthenticated(b"<a>\xed\xa0\x80</a>", StreamCondition::UnsupportedEncoding).await;
    after_authentication(b"<message>\xf4\x90\x80\x80</message>", StreamCondition::UnsupportedEncoding).await;
}

#[tokio::test]
async fn unsupported_stanza_type_is_an_element_that_nobody_knows() {
    unauthenticated(format!("<{MARK}/>"), StreamCondition::UnsupportedStanzaType).await;
    after_authentication(format!("<{MARK} {GOOD}/>"), StreamCondition::UnsupportedStanzaType).await;
    let compress = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    after_authentication(compress, StreamCondition::UnsupportedStanzaType).await;
}

#[tokio::test]
async fn unsupported_version_is_a_major_version_above_ours() {
    let header = format!("<stream:stream {STREAM} from='{REMOTE}' to='{LOCAL}' version='2.0'>");
    as_header(header, StreamCondition::UnsupportedVersion).await;
}
