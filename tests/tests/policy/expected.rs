//! What the two sides are to hear, as text: requests and stanzas as they stand on the wire.

use crate::support::{Heard, Kind, sorted};

/// What goes to SIP and to XMPP.
pub(crate) fn heard(sip: &[String], xmpp: &[String]) -> Heard {
    Heard { sip: sip.to_vec(), xmpp: xmpp.iter().map(|stanza| sorted(stanza)).collect() }
}

/// Neither side hears anything.
pub(crate) fn nothing() -> Heard {
    Heard::default()
}

/// The gateway watches the local user for bob, or stops to with 0 seconds.
pub(crate) fn subscribe(expires: u32) -> String {
    let (target, tag, more) = match expires {
        0 => ("sip:POOL;transport=tcp", ";tag=*", ""),
        _ => ("sip:USER", "", ""),
    };
    format!(
        "SUBSCRIBE {target} SIP/2.0\nVia: SIP/2.0/TCP GATEWAY;branch=*\nFrom: <sip:BOB>;tag=*\nTo: <sip:USER>{tag}\n\
         Call-ID: *\nCSeq: * SUBSCRIBE\nContact: <sip:GATEWAY;transport=tcp>\nEvent: presence\nExpires: {expires}\n\
         Accept: application/pidf+xml\nP-Asserted-Identity: <sip:BOB>\n{more}Max-Forwards: 70\nMax-Breadth: 60\nContent-Length: 0\n\n"
    )
}

/// A text of bob's.
pub(crate) fn message(body: &str) -> String {
    format!(
        "MESSAGE sip:USER SIP/2.0\nVia: SIP/2.0/TCP GATEWAY;branch=*\nFrom: <sip:BOB;gr=desk>;tag=*\nTo: <sip:USER>\n\
         Call-ID: *\nCSeq: * MESSAGE\nP-Asserted-Identity: <sip:BOB>\nContent-Type: text/plain;charset=UTF-8\n\
         Max-Forwards: 70\nMax-Breadth: 60\nContent-Length: {}\n\n{body}",
        body.len()
    )
}

/// The local user's client is told of bob.
pub(crate) fn notify(state: &str, body: &str) -> String {
    let (kind, length) = if body.is_empty() { ("", "0") } else { ("Content-Type: application/pidf+xml\n", "*") };
    format!(
        "NOTIFY sip:POOL;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP GATEWAY;branch=*\nFrom: <sip:BOB>;tag=*\n\
         To: <sip:USER>;tag=*\nCall-ID: *\nCSeq: * NOTIFY\nContact: <sip:GATEWAY;transport=tcp>\nEvent: presence\n\
         Subscription-State: {state}\n{kind}Max-Forwards: 70\nMax-Breadth: 60\nContent-Length: {length}\n\n{body}"
    )
}

/// The document about bob's only device.
pub(crate) fn document(basic: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:BOB'>\
         <tuple id='ID-desk'><status><basic>{basic}</basic></status><contact priority='0'>sip:BOB;gr=desk</contact>\
         <note>busy</note><timestamp>*</timestamp></tuple></presence>"
    )
}

/// Presence of the local user without content, from the bare address.
pub(crate) fn presence(kind: &str) -> String {
    format!("<presence xmlns='jabber:server' from='USER' to='BOB' type='{kind}'></presence>")
}

/// The local user is online; only a federated partner learns what she says about it.
pub(crate) fn available(kind: Kind) -> String {
    let status = match kind {
        Kind::Federated => "<status>in a meeting</status>",
        Kind::PublicVerified | Kind::PublicUnverified => "",
    };
    format!("<presence xmlns='jabber:server' from='USER/DEVICE' to='BOB'>{status}<CAPS/></presence>")
}

/// The local user's device is gone.
pub(crate) fn unavailable() -> String {
    "<presence xmlns='jabber:server' from='USER/DEVICE' to='BOB' type='unavailable'></presence>".to_owned()
}

/// An error for bob's message or iq.
pub(crate) fn error(stanza: &str, id: &str, to: &str, condition: &str, text: &str) -> String {
    let text = match text {
        "" => String::new(),
        text => format!("<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>{text}</text>"),
    };
    format!(
        "<{stanza} xmlns='jabber:server' from='{to}' to='BOB/desk' id='{id}' type='error'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{text}</error></{stanza}>"
    )
}

/// The one answer that says nothing about the local user.
pub(crate) fn service_unavailable(stanza: &str, id: &str) -> String {
    error(stanza, id, "USER", "service-unavailable", "")
}

/// The result of bob's ping.
pub(crate) fn pong(from: &str) -> String {
    format!("<iq xmlns='jabber:server' from='{from}' to='BOB/desk' id='q1' type='result'></iq>")
}

/// A text of the local user's for bob.
pub(crate) fn message_to_bob(body: &str) -> String {
    format!(
        "<message xmlns='jabber:server' from='USER' to='BOB' id='*'><body>{body}</body><thread>*</thread></message>"
    )
}

/// bob types.
pub(crate) fn composing() -> String {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
                <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>active</state>\
                <contenttype>text/plain</contenttype><refresh>60</refresh></isComposing>";
    format!(
        "MESSAGE sip:USER SIP/2.0\nVia: SIP/2.0/TCP GATEWAY;branch=*\nFrom: <sip:BOB>;tag=*\nTo: <sip:USER>\n\
         Call-ID: *\nCSeq: * MESSAGE\nP-Asserted-Identity: <sip:BOB>\nContent-Type: application/im-iscomposing+xml\n\
         Max-Forwards: 70\nMax-Breadth: 60\nContent-Length: {}\n\n{body}",
        body.len()
    )
}

/// The local user types.
pub(crate) fn composing_to_bob() -> String {
    "<message xmlns='jabber:server' from='USER' to='BOB/desk' type='chat'>\
     <composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        .to_owned()
}
