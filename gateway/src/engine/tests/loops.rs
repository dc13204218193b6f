//! Nothing goes in a circle: the sides are checked, and nothing that answers is answered (RFC 7247, section 8; RFC 5393).

use super::*;

/// Texts that are answers, or say how something else went.
const ANSWERS: [(StanzaKind, &str); 9] = [
    (
        StanzaKind::Message,
        "type='error' id='e'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    ),
    (StanzaKind::Message, "type='error'><body>hello</body>"),
    (StanzaKind::Message, "type='chat'><received xmlns='urn:xmpp:receipts' id='x'/>"),
    (StanzaKind::Message, "type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>"),
    (StanzaKind::Message, "type='chat'><gone xmlns='http://jabber.org/protocol/chatstates'/>"),
    (
        StanzaKind::Presence,
        "type='error'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    ),
    (StanzaKind::Presence, "type='unsubscribed'>"),
    (StanzaKind::Iq, "type='result' id='r'>"),
    (
        StanzaKind::Iq,
        "type='error' id='r'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    ),
];

// Rule: loop.answers, error.no-error
#[test]
fn what_answers_is_not_answered_and_makes_nothing() {
    for from in ["bob@fabrikam.example/x", "eve@wingtip.example/x", "mallory@tailspin.example/x"] {
        for to in ["alice@contoso.example", "alice@contoso.example/desk", "contoso.example"] {
            for (kind, rest) in ANSWERS {
                let mut rig = Rig::new();
                let seq = rig.stanza(kind, from, to, rest);
                assert_eq!((rig.out.stanzas.len(), rig.out.sip.len()), (0, 0), "{from} {to} {rest}");
                assert_eq!(rig.finished(), [seq], "{rest}");
            }
        }
    }
}

// A MESSAGE that says how another one went, or that somebody types, brings about no MESSAGE.
// Rule: loop.answers
#[test]
fn what_sip_says_about_messages_is_not_answered_with_a_message() {
    for (content_type, body) in [
        (
            "application/im-iscomposing+xml",
            "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>idle</state></isComposing>",
        ),
        (
            "message/imdn+xml",
            "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>1</message-id><delivery-notification><status><failed/></status></delivery-notification></imdn>",
        ),
    ] {
        let mut rig = Rig::new();
        rig.receive_text(&format!(
            "MESSAGE sip:bob@fabrikam.example SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKn\nMax-Forwards: 70\n\
             From: <sip:alice@contoso.example>;tag=a\nTo: <sip:bob@fabrikam.example>\nCall-ID: n\nCSeq: 1 MESSAGE\n\
             Content-Type: {content_type}\nContent-Length: {}\n\n{body}",
            body.len()
        ));
        assert!(rig.out.stanzas.is_empty(), "{content_type}");
        assert_eq!(rig.sent().len(), 1, "only its response");
    }
}

/// The status with which a request between two ends is refused; `None` if it is not.
fn refusal(method: &str, from: &str, target: &str) -> Option<u16> {
    let mut rig = Rig::new();
    rig.receive_text(&format!(
        "{method} sip:{target} SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKl\nMax-Forwards: 70\n\
         From: <sip:{from}>;tag=a\nTo: <sip:{target}>\nCall-ID: l\nCSeq: 1 {method}\nEvent: presence\n\
         Contact: <sip:x@127.0.0.9;transport=tcp>\nContent-Type: text/plain\nContent-Length: 2\n\nhi"
    ));
    assert_eq!(rig.out.stanzas.len(), usize::from(method == "MESSAGE" && rig.out.sip.is_empty()), "{from} {target}");
    rig.statuses().first().copied().filter(|status| *status >= 300)
}

// Rule: loop.sides
#[test]
fn a_request_between_two_ends_of_one_side_is_refused() {
    for method in ["MESSAGE", "SUBSCRIBE"] {
        for (from, target, status) in [
            ("alice@contoso.example", "carol@contoso.example", 482),
            ("bob@fabrikam.example", "carol@contoso.example", 482),
            ("bob@fabrikam.example", "bob@wingtip.example", 403),
            ("bob@fabrikam.example", "bob@fabrikam.example", 403),
            ("x@elsewhere.example", "bob@fabrikam.example", 403),
            ("x@elsewhere.example", "y@elsewhere.example", 404),
        ] {
            assert_eq!(refusal(method, from, target), Some(status), "{method} {from} {target}");
        }
    }
    assert_eq!(refusal("MESSAGE", "alice@contoso.example", "bob@fabrikam.example"), None);
}

// The edge is believed only that it authenticated a domain; that this is one of ours it cannot have.
// Rule: loop.sides, hygiene.sides
#[test]
fn a_stanza_that_comes_from_a_local_domain_or_leads_to_a_foreign_one_goes_nowhere() {
    for (from, to) in [
        ("alice@contoso.example/x", "carol@contoso.example"),
        ("bob@fabrikam.example/x", "eve@wingtip.example"),
        ("alice@contoso.example/x", "bob@fabrikam.example"),
    ] {
        for (kind, rest) in [
            (StanzaKind::Message, "type='headline'><body>hello</body>"),
            (StanzaKind::Presence, "type='subscribe'>"),
            (StanzaKind::Presence, "type='probe'>"),
        ] {
            let mut rig = Rig::new();
            rig.stanza(kind, from, to, rest);
            assert_eq!((rig.out.stanzas.len(), rig.out.sip.len()), (0, 0), "{from} {to} {rest}");
        }
    }
}
