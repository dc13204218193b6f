//! The answers of a domain, and of its users, to iq requests (RFC 6120, section 8.2.3; XEP-0030, XEP-0092, XEP-0115,
//! XEP-0199).
//!
//! Each get or set gets exactly one answer, made here and now: no iq causes SIP traffic, so none can be used to find out
//! about a user. Whom we would not show presence to learns nothing, not even whether the user exists.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use causeway_shared::jid::Jid;
use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition, StanzaError};

use crate::translate::canonical::{Node, SERVER, push_attribute};
use crate::translate::error::push_error;

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const PING: &str = "urn:xmpp:ping";
const VERSION: &str = "jabber:iq:version";
const VCARD: &str = "vcard-temp";
/// What the gateway calls itself; its version is nobody's business.
const PRODUCT: &str = "Causeway";
/// The node of XEP-0115 under which users' client features are announced.
const CAPS_NODE: &str = "urn:causeway:gateway";

/// Features of a local domain.
const DOMAIN_FEATURES: [&str; 4] = [DISCO_INFO, VERSION, r"jid\20escaping", PING];
/// Features of a SIP user's client as far as the gateway can stand in for it. In the order of XEP-0115, section 5.1.
const CLIENT_FEATURES: [&str; 2] = [DISCO_INFO, PING];

/// `ver` of XEP-0115, section 5.1, for [`CLIENT_FEATURES`].
static CAPS_VER: LazyLock<String> = LazyLock::new(|| {
    let mut text = format!("client/pc//{PRODUCT}<");
    for feature in CLIENT_FEATURES {
        text.extend([feature, "<"]);
    }
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    BASE64.encode(hash.as_ref())
});

/// Whom an iq is for, and how the sender stands to him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressee {
    /// The domain.
    Domain,
    /// A user whose presence the sender may see.
    User,
    /// A device of such a user that the sender has been told of.
    Device,
    /// A user or device that the sender may know nothing about.
    Hidden,
}

/// The answer to an iq; `None` for results and errors, which are never answered.
pub fn answer(xml: &[u8], from: &Jid, to: &Jid, addressee: Addressee) -> Option<Bytes> {
    let iq = Node::parse(xml).filter(|node| node.is(SERVER, "iq"))?;
    let id = iq.attribute("id");
    let reply = match iq.attribute("type").as_deref() {
        Some("result" | "error") => return None,
        Some("get") => get(&iq, addressee),
        Some("set") => set(&iq, addressee),
        Some(_) | None => Err(StanzaCondition::BadRequest.into()),
    };
    let mut out = String::with_capacity(256);
    out.push_str("<iq xmlns='jabber:server'");
    push_attribute(&mut out, "from", to.as_str());
    push_attribute(&mut out, "to", from.as_str());
    if let Some(id) = &id {
        push_attribute(&mut out, "id", id);
    }
    push_attribute(&mut out, "type", if reply.is_ok() { "result" } else { "error" });
    out.push('>');
    match &reply {
        Ok(payload) => out.push_str(payload),
        Err(error) => push_error(&mut out, error),
    }
    out.push_str("</iq>");
    Some(Bytes::from(out))
}

/// The one child that a request must have (RFC 6120, section 8.2.3).
fn payload<'a>(iq: &Node<'a>) -> Result<Node<'a>, StanzaError> {
    let mut children = iq.children();
    match (children.next(), children.next()) {
        (Some(child), None) => Ok(child),
        (_, _) => Err(StanzaCondition::BadRequest.into()),
    }
}

fn set(iq: &Node<'_>, addressee: Addressee) -> Result<String, StanzaError> {
    if addressee == Addressee::Hidden {
        return Err(unavailable());
    }
    match payload(iq)?.namespace() {
        PING => Err(StanzaCondition::BadRequest.into()),
        _ => Err(unavailable()),
    }
}

fn get(iq: &Node<'_>, addressee: Addressee) -> Result<String, StanzaError> {
    if addressee == Addressee::Hidden {
        return Err(unavailable());
    }
    let payload = payload(iq)?;
    let expect =
        |name: &str| if payload.name() == name { Ok(()) } else { Err(StanzaError::from(StanzaCondition::BadRequest)) };
    match (payload.namespace(), addressee) {
        (DISCO_INFO, _) => expect("query").and_then(|()| disco_info(&payload, addressee)),
        (DISCO_ITEMS, _) => {
            expect("query")?;
            let node = payload.attribute("node").filter(|node| !node.is_empty());
            if node.is_some() { Err(StanzaCondition::ItemNotFound.into()) } else { Ok(empty_query(DISCO_ITEMS)) }
        }
        (PING, _) => expect("ping").map(|()| String::new()),
        (VERSION, Addressee::Domain) => {
            expect("query")?;
            Ok(format!("<query xmlns='{VERSION}'><name>{PRODUCT}</name><version/></query>"))
        }
        (VCARD, Addressee::User | Addressee::Device) => expect("vCard").map(|()| format!("<vCard xmlns='{VCARD}'/>")),
        (_, _) => Err(unavailable()),
    }
}

fn disco_info(query: &Node<'_>, addressee: Addressee) -> Result<String, StanzaError> {
    let node = query.attribute("node").filter(|node| !node.is_empty());
    let is_caps = node.as_deref() == Some(&format!("{CAPS_NODE}#{}", *CAPS_VER));
    if node.is_some() && !(is_caps && addressee == Addressee::Device) {
        return Err(StanzaCondition::ItemNotFound.into());
    }
    let (identities, features): (&[(&str, &str)], &[&str]) = match addressee {
        Addressee::Domain => (&[("server", "im"), ("gateway", "simple")], &DOMAIN_FEATURES),
        Addressee::User => (&[("account", "registered")], &CLIENT_FEATURES),
        Addressee::Device => (&[("client", "pc")], &CLIENT_FEATURES),
        Addressee::Hidden => return Err(unavailable()),
    };
    let mut out = format!("<query xmlns='{DISCO_INFO}'");
    if let Some(node) = &node {
        push_attribute(&mut out, "node", node);
    }
    out.push('>');
    for (category, kind) in identities {
        out.push_str("<identity");
        push_attribute(&mut out, "category", category);
        push_attribute(&mut out, "type", kind);
        push_attribute(&mut out, "name", PRODUCT);
        out.push_str("/>");
    }
    for feature in features {
        out.push_str("<feature");
        push_attribute(&mut out, "var", feature);
        out.push_str("/>");
    }
    out.push_str("</query>");
    Ok(out)
}

fn empty_query(namespace: &str) -> String {
    format!("<query xmlns='{namespace}'/>")
}

fn unavailable() -> StanzaError {
    StanzaError::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable)
}

/// Appends the announcement of the client features to a presence stanza (XEP-0115, section 6.1).
pub(crate) fn push_caps(out: &mut String) {
    out.push_str("<c xmlns='http://jabber.org/protocol/caps'");
    push_attribute(out, "hash", "sha-1");
    push_attribute(out, "node", CAPS_NODE);
    push_attribute(out, "ver", &CAPS_VER);
    out.push_str("/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: &str, payload: &str, addressee: Addressee) -> Option<String> {
        let (bob, alice) =
            (Jid::parse("bob@fabrikam.example/desk").unwrap(), Jid::parse("alice@contoso.example").unwrap());
        let xml = format!("<iq xmlns='jabber:server' type='{kind}' id='q&apos;1'>{payload}</iq>");
        answer(xml.as_bytes(), &bob, &alice, addressee).map(|reply| String::from_utf8(reply.to_vec()).unwrap())
    }

    fn condition(reply: &str) -> &'static str {
        let node = Node::parse(reply.as_bytes()).unwrap();
        let error = node.child(SERVER, "error").unwrap();
        let name = error.children().next().unwrap().name();
        StanzaCondition::parse(name).unwrap().as_str()
    }

    #[test]
    fn the_domain_says_what_it_is() {
        let reply = ask("get", &empty_query(DISCO_INFO), Addressee::Domain).unwrap();
        let node = Node::parse(reply.as_bytes()).unwrap();
        assert_eq!(node.attribute("type").unwrap(), "result");
        assert_eq!(
            (node.attribute("id").unwrap(), node.attribute("to").unwrap()),
            ("q'1".into(), "bob@fabrikam.example/desk".into())
        );
        for part in
            ["category='server' type='im'", "category='gateway' type='simple'", r"jid\20escaping", PING, VERSION]
        {
            assert!(reply.contains(part), "{reply}");
        }
        let version = ask("get", &empty_query(VERSION), Addressee::Domain).unwrap();
        assert!(version.contains("<name>Causeway</name>"), "{version}");
        assert!(ask("get", "<ping xmlns='urn:xmpp:ping'/>", Addressee::Domain).unwrap().contains("type='result'"));
        assert!(ask("get", &empty_query(DISCO_ITEMS), Addressee::Domain).unwrap().contains("type='result'"));
    }

    // RFC 6120 section 8.2.3, T25: exactly one answer to each request, none to an answer.
    #[test]
    fn every_request_has_an_answer_and_no_answer_has_one() {
        for addressee in [Addressee::Domain, Addressee::User, Addressee::Device, Addressee::Hidden] {
            for payload in
                ["<query xmlns='x'/>", "<query xmlns='jabber:iq:roster'/>", "<query xmlns='jabber:iq:last'/>"]
            {
                for kind in ["get", "set"] {
                    assert_eq!(condition(&ask(kind, payload, addressee).unwrap()), "service-unavailable");
                }
                assert_eq!(ask("result", payload, addressee), None);
                assert_eq!(ask("error", payload, addressee), None);
            }
        }
        for payload in ["", "<a xmlns='x'/><b xmlns='x'/>", "<pong xmlns='urn:xmpp:ping'/>"] {
            assert_eq!(condition(&ask("get", payload, Addressee::Domain).unwrap()), "bad-request", "{payload}");
        }
        assert_eq!(condition(&ask("set", "<ping xmlns='urn:xmpp:ping'/>", Addressee::Domain).unwrap()), "bad-request");
        assert_eq!(condition(&ask("frob", "<ping xmlns='urn:xmpp:ping'/>", Addressee::Domain).unwrap()), "bad-request");
    }

    // T13.
    #[test]
    fn who_may_not_see_presence_learns_nothing() {
        for payload in [
            empty_query(DISCO_INFO),
            "<ping xmlns='urn:xmpp:ping'/>".into(),
            "<vCard xmlns='vcard-temp'/>".into(),
            String::new(),
        ] {
            for kind in ["get", "set"] {
                assert_eq!(condition(&ask(kind, &payload, Addressee::Hidden).unwrap()), "service-unavailable");
            }
        }
    }

    // XEP-0115 section 6.2.
    #[test]
    fn announced_features_can_be_asked_for() {
        let mut caps = String::new();
        push_caps(&mut caps);
        let node = Node::parse(caps.as_bytes()).unwrap();
        let asked = format!("{}#{}", node.attribute("node").unwrap(), node.attribute("ver").unwrap());
        let query = format!("<query xmlns='{DISCO_INFO}' node='{asked}'/>");
        let reply = ask("get", &query, Addressee::Device).unwrap();
        assert!(reply.contains("category='client' type='pc'") && reply.contains(&asked), "{reply}");
        assert_eq!(condition(&ask("get", &query, Addressee::Domain).unwrap()), "item-not-found");
        assert!(CLIENT_FEATURES.is_sorted());
    }
}
