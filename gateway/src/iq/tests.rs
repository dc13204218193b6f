use super::*;
use crate::iq::vcard::Photo;
use crate::translate::presence::{PresenceKind, PresenceOut, ResourcePresence};

/// What the tests' gateway knows.
fn directory() -> Directory {
    let alice = VCard {
        full_name: Some("Alice <A&B>".to_owned()),
        email: Some("a@contoso.example".into()),
        ..VCard::default()
    };
    Directory {
        domain: DomainProfile::default(),
        clients: Caps::new(ClientType::Pc, &[ClientFeature::ChatStates, ClientFeature::Receipts]),
        vcards: HashMap::from([(BareJid::parse("alice@contoso.example").unwrap(), alice)]),
    }
}

/// The ways in which a sender can stand to whom he asks, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Domain,
    User,
    Device,
    Hidden,
}

const ALL: [To; 4] = [To::Domain, To::User, To::Device, To::Hidden];

fn ask_of(directory: &Directory, kind: &str, payload: &str, to: To) -> Option<Reply> {
    let bob = Jid::parse("bob@fabrikam.example/desk").unwrap();
    let alice = BareJid::parse("alice@contoso.example").unwrap();
    let (address, addressee) = match to {
        To::Domain => ("contoso.example", Addressee::Domain(&directory.domain)),
        To::User => ("alice@contoso.example", Addressee::User(directory.user(&alice))),
        To::Device => ("alice@contoso.example/pc", Addressee::Device(directory.user(&alice))),
        To::Hidden => ("alice@contoso.example", Addressee::Hidden),
    };
    let xml = format!("<iq xmlns='jabber:server' type='{kind}' id='q&apos;1'>{payload}</iq>");
    answer(xml.as_bytes(), &bob, &Jid::parse(address).unwrap(), addressee)
}

fn ask(kind: &str, payload: &str, to: To) -> Option<String> {
    ask_of(&directory(), kind, payload, to).map(|reply| text(&reply))
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.xml.to_vec()).unwrap()
}

fn query(namespace: &str) -> String {
    format!("<query xmlns='{namespace}'/>")
}

/// `result`, or the type and condition of the error.
fn verdict(reply: &str) -> String {
    let node = Node::parse(reply.as_bytes()).unwrap();
    let Some(error) = node.child(SERVER, "error") else { return node.attribute("type").unwrap().into_owned() };
    assert_eq!(node.attribute("type").unwrap(), "error");
    let condition = StanzaCondition::parse(error.children().next().unwrap().name()).unwrap();
    format!("{} {}", error.attribute("type").unwrap(), condition.as_str())
}

const UNAVAILABLE: &str = "cancel service-unavailable";
const BAD: &str = "modify bad-request";

/// Features and identities of an answer to disco#info.
fn told(reply: &str) -> (Vec<String>, Vec<String>) {
    let node = Node::parse(reply.as_bytes()).unwrap();
    let query = node.child(DISCO_INFO, "query").unwrap_or_else(|| panic!("{reply}"));
    let of = |name: &str| query.children().filter(|child| child.name() == name).collect::<Vec<_>>();
    let attribute = |node: &Node<'_>, name: &str| node.attribute(name).unwrap().into_owned();
    let identities = of("identity").iter().map(|it| attribute(it, "category") + "/" + &attribute(it, "type")).collect();
    (identities, of("feature").iter().map(|it| attribute(it, "var")).collect())
}

// Rule: iq.one-answer
#[test]
fn an_answer_has_the_id_of_the_question_and_its_addresses_turned_round() {
    let reply = ask("get", &query(DISCO_INFO), To::User).unwrap();
    let node = Node::parse(reply.as_bytes()).unwrap();
    let attribute = |name| node.attribute(name).unwrap().into_owned();
    assert_eq!(
        (attribute("type"), attribute("id"), attribute("from"), attribute("to")),
        ("result".into(), "q'1".into(), "alice@contoso.example".into(), "bob@fabrikam.example/desk".into())
    );
}

// Rule: iq.disco.domain
#[test]
fn the_domain_says_that_it_is_a_server_and_a_gateway_and_what_it_can() {
    let (identities, features) = told(&ask("get", &query(DISCO_INFO), To::Domain).unwrap());
    assert_eq!(identities, ["server/im", "gateway/simple"]);
    assert_eq!(features, [DISCO_INFO, DISCO_ITEMS, VERSION, r"jid\20escaping", PING]);
}

// Rule: iq.disco.user, iq.features
#[test]
fn an_account_says_that_it_is_registered_and_a_device_what_its_client_can() {
    let (identities, features) = told(&ask("get", &query(DISCO_INFO), To::User).unwrap());
    assert_eq!(identities, ["account/registered"]);
    assert!(features.contains(&VCARD.to_owned()), "{features:?}");
    let (identities, features) = told(&ask("get", &query(DISCO_INFO), To::Device).unwrap());
    assert_eq!(identities, ["client/pc"]);
    for feature in [DISCO_INFO, PING, "http://jabber.org/protocol/chatstates", "urn:xmpp:receipts"] {
        assert!(features.contains(&feature.to_owned()), "{features:?}");
    }
    assert!(!features.contains(&"http://jabber.org/protocol/xhtml-im".to_owned()), "{features:?}");
}

// XEP-0157, section 2.
// Rule: iq.contact
#[test]
fn the_operators_addresses_are_in_a_form_of_the_domain_and_of_nobody_else() {
    assert!(!ask("get", &query(DISCO_INFO), To::Domain).unwrap().contains("jabber:x:data"));
    let mut directory = directory();
    let abuse = vec!["mailto:abuse@contoso.example".to_owned(), "xmpp:abuse@contoso.example?a&b".to_owned()];
    directory.domain.contacts.roles = vec![(ContactRole::Abuse, abuse.clone()), (ContactRole::Sales, Vec::new())];
    let reply = text(&ask_of(&directory, "get", &query(DISCO_INFO), To::Domain).unwrap());
    let iq = Node::parse(reply.as_bytes()).unwrap();
    let form = iq.child(DISCO_INFO, "query").unwrap().child("jabber:x:data", "x").unwrap();
    assert_eq!(form.attribute("type").unwrap(), "result");
    let fields: Vec<_> = form
        .children()
        .map(|field| {
            let values: Vec<_> = field.children().map(|value| value.text().into_owned()).collect();
            (field.attribute("var").unwrap().into_owned(), values)
        })
        .collect();
    let form_type = vec!["http://jabber.org/network/serverinfo".to_owned()];
    assert_eq!(fields, [("FORM_TYPE".to_owned(), form_type), ("abuse-addresses".to_owned(), abuse)]);
    for to in [To::User, To::Device, To::Hidden] {
        assert!(!text(&ask_of(&directory, "get", &query(DISCO_INFO), to).unwrap()).contains("abuse"));
    }
}

// Rule: iq.disco.items, iq.caps
#[test]
fn nobody_has_items_and_no_node_but_the_announced_one_exists() {
    for to in [To::Domain, To::User, To::Device] {
        assert_eq!(verdict(&ask("get", &query(DISCO_ITEMS), to).unwrap()), "result");
        for namespace in [DISCO_ITEMS, DISCO_INFO] {
            let query = format!("<query xmlns='{namespace}' node='urn:causeway:gateway#other'/>");
            assert_eq!(verdict(&ask("get", &query, to).unwrap()), "cancel item-not-found");
        }
    }
}

// Rule: iq.ping, iq.set
#[test]
fn a_ping_is_answered_and_cannot_be_set() {
    for to in [To::Domain, To::User, To::Device] {
        assert_eq!(verdict(&ask("get", "<ping xmlns='urn:xmpp:ping'/>", to).unwrap()), "result");
        assert_eq!(verdict(&ask("set", "<ping xmlns='urn:xmpp:ping'/>", to).unwrap()), BAD);
    }
}

// Rule: iq.version
#[test]
fn the_domain_names_its_software_and_hides_the_rest_unless_told_otherwise() {
    let reply = ask("get", &query(VERSION), To::Domain).unwrap();
    assert!(reply.contains("<name>Causeway</name><version></version></query>"), "{reply}");
    let mut directory = directory();
    directory.domain.version = Some("1.2".to_owned());
    directory.domain.os = Some("linux".to_owned());
    let reply = text(&ask_of(&directory, "get", &query(VERSION), To::Domain).unwrap());
    assert!(reply.contains("<version>1.2</version><os>linux</os>"), "{reply}");
    for to in [To::User, To::Device] {
        assert_eq!(verdict(&ask("get", &query(VERSION), to).unwrap()), UNAVAILABLE);
    }
}

// XEP-0054, section 3.1.
// Rule: iq.vcard
#[test]
fn a_card_is_what_the_operator_wrote_and_empty_where_he_wrote_nothing() {
    let card = "<vCard xmlns='vcard-temp'/>";
    for to in [To::User, To::Device] {
        let reply = ask("get", card, to).unwrap();
        let iq = Node::parse(reply.as_bytes()).unwrap();
        let vcard = iq.child(VCARD, "vCard").unwrap();
        assert_eq!(vcard.child(VCARD, "FN").unwrap().text(), "Alice <A&B>");
        let email = vcard.child(VCARD, "EMAIL").unwrap().child(VCARD, "USERID").unwrap();
        assert_eq!(email.text(), "a@contoso.example");
        assert!(vcard.child(VCARD, "TEL").is_none());
        let reply = text(&ask_of(&Directory::default(), "get", card, to).unwrap());
        assert!(reply.ends_with("<vCard xmlns='vcard-temp'></vCard></iq>"), "{reply}");
    }
    assert_eq!(verdict(&ask("get", card, To::Domain).unwrap()), UNAVAILABLE);
    assert_eq!(verdict(&ask("set", card, To::User).unwrap()), UNAVAILABLE);
}

// Rule: iq.vcard
#[test]
fn a_photo_is_told_by_its_first_bytes_and_must_fit_into_a_stanza() {
    let photo = Photo::new(b"\x89PNG\r\n\x1a\nrest".to_vec()).unwrap();
    let card = VCard { photo: Some(photo), ..VCard::default() }.to_xml();
    assert!(card.contains("<PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0KGgpyZXN0</BINVAL></PHOTO>"), "{card}");
    assert!(Photo::new(b"\xff\xd8\xffrest".to_vec()).is_ok() && Photo::new(b"GIF89a".to_vec()).is_ok());
    assert_eq!(Photo::new(b"<svg/>".to_vec()), Err(vcard::PhotoFault::Unknown));
    let large = [b"GIF89a".to_vec(), vec![0; vcard::MAX_PHOTO]].concat();
    assert_eq!(Photo::new(large), Err(vcard::PhotoFault::TooLarge(vcard::MAX_PHOTO + 6)));
}

// Rule: iq.unknown, iq.last
#[test]
fn what_nobody_here_knows_is_unavailable_for_everybody() {
    let unknown = [
        "jabber:iq:last",
        "urn:xmpp:time",
        "urn:xmpp:mam:2",
        "http://jabber.org/protocol/pubsub",
        "urn:xmpp:jingle:1",
        "jabber:iq:roster",
        "jabber:iq:register",
        "urn:ietf:params:xml:ns:vcard-4.0",
        "x",
    ];
    for namespace in unknown {
        for (to, kind) in ALL.iter().flat_map(|to| [(*to, "get"), (*to, "set")]) {
            assert_eq!(verdict(&ask(kind, &query(namespace), to).unwrap()), UNAVAILABLE, "{namespace} {to:?}");
        }
    }
}

// Rule: iq.set
#[test]
fn nothing_can_be_set() {
    for namespace in [DISCO_INFO, DISCO_ITEMS, VERSION] {
        for to in ALL {
            assert_eq!(verdict(&ask("set", &query(namespace), to).unwrap()), UNAVAILABLE);
        }
    }
}

// Rule: iq.malformed
#[test]
fn a_known_namespace_with_another_element_is_a_bad_request() {
    for (namespace, name) in
        [(DISCO_INFO, "info"), (DISCO_ITEMS, "items"), (PING, "pong"), (VERSION, "version"), (VCARD, "query")]
    {
        for to in [To::Domain, To::User, To::Device] {
            assert_eq!(verdict(&ask("get", &format!("<{name} xmlns='{namespace}'/>"), to).unwrap()), BAD, "{name}");
        }
    }
}

// RFC 6120, section 8.2.3.
// Rule: iq.payload
#[test]
fn a_request_with_no_child_or_with_several_is_a_bad_request() {
    for payload in
        ["", "text", "<a xmlns='x'/><b xmlns='x'/>", "<ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/>"]
    {
        for kind in ["get", "set"] {
            for to in [To::Domain, To::User, To::Device] {
                assert_eq!(verdict(&ask(kind, payload, to).unwrap()), BAD, "{payload}");
            }
        }
    }
    assert_eq!(verdict(&ask("frob", "<ping xmlns='urn:xmpp:ping'/>", To::Domain).unwrap()), BAD);
}

// RFC 6120, section 8.2.3.
// Rule: iq.one-answer
#[test]
fn answers_are_never_answered() {
    let error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for payload in ["", "<ping xmlns='urn:xmpp:ping'/>", "<a xmlns='x'/><b xmlns='x'/>", error] {
        for (to, kind) in ALL.iter().flat_map(|to| [(*to, "result"), (*to, "error")]) {
            assert_eq!(ask(kind, payload, to), None);
        }
    }
}

// RFC 6121, section 8.5.1; XEP-0030, section 8.
// Rule: iq.stranger
#[test]
fn whom_one_may_not_see_gives_the_same_answer_to_everything() {
    let same = ask("get", &query(DISCO_INFO), To::Hidden).unwrap();
    assert_eq!(verdict(&same), UNAVAILABLE);
    for payload in
        [query(DISCO_INFO), "<ping xmlns='urn:xmpp:ping'/>".into(), "<vCard xmlns='vcard-temp'/>".into(), String::new()]
    {
        for kind in ["get", "set"] {
            assert_eq!(ask(kind, &payload, To::Hidden).unwrap(), same, "{kind} {payload}");
        }
    }
}

/// The announcement in an available presence.
fn announced(caps: &Caps) -> (String, String, String) {
    let presence = PresenceOut {
        kind: PresenceKind::Available,
        from: Jid::parse("alice@contoso.example/pc").unwrap(),
        to: BareJid::parse("bob@fabrikam.example").unwrap(),
        id: None,
        presence: Some(ResourcePresence { available: true, ..ResourcePresence::default() }),
        delayed: false,
    };
    let xml = presence.to_xml(caps);
    let node = Node::parse(&xml).unwrap();
    let c = node.child("http://jabber.org/protocol/caps", "c").unwrap();
    let attribute = |name| c.attribute(name).unwrap().into_owned();
    (attribute("hash"), attribute("node"), attribute("ver"))
}

// XEP-0115, sections 4 and 6.2.
// Rule: iq.caps
#[test]
fn what_presence_announces_can_be_asked_for_and_is_true() {
    let directory = directory();
    let (hash, node, ver) = announced(&directory.clients);
    assert_eq!(hash, "sha-1");
    let query = format!("<query xmlns='{DISCO_INFO}' node='{node}#{ver}'/>");
    for to in [To::Device, To::User] {
        let reply = text(&ask_of(&directory, "get", &query, to).unwrap());
        let (identities, features) = told(&reply);
        assert_eq!(identities, ["client/pc"]);
        assert!(reply.contains(&format!("node='{node}#{ver}'")), "{reply}");
        // Section 5.1, from the answer alone.
        let mut sorted = features.clone();
        sorted.sort();
        let mut input = "client/pc//Causeway<".to_owned();
        sorted.iter().for_each(|feature| input.extend([feature, "<"]));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, input.as_bytes());
        let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
        assert_eq!(hash, ver);
    }
    assert_eq!(verdict(&text(&ask_of(&directory, "get", &query, To::Domain).unwrap())), "cancel item-not-found");
    assert_eq!(verdict(&text(&ask_of(&directory, "get", &query, To::Hidden).unwrap())), UNAVAILABLE);
}

// Rule: pidf.caps
#[test]
fn only_available_presence_announces_what_a_client_can() {
    for (kind, is_announced) in
        [(PresenceKind::Available, true), (PresenceKind::Unavailable, false), (PresenceKind::Subscribed, false)]
    {
        let presence = PresenceOut {
            kind,
            from: Jid::parse("alice@contoso.example/pc").unwrap(),
            to: BareJid::parse("bob@fabrikam.example").unwrap(),
            id: None,
            presence: Some(ResourcePresence::default()),
            delayed: false,
        };
        let xml = presence.to_xml(&Caps::default());
        let node = Node::parse(&xml).unwrap();
        assert_eq!(node.child("http://jabber.org/protocol/caps", "c").is_some(), is_announced, "{kind:?}");
    }
}

// Rule: iq.features
#[test]
fn another_configuration_announces_another_hash() {
    let vers: std::collections::HashSet<_> = [
        Caps::default(),
        Caps::new(ClientType::Bot, &[]),
        Caps::new(ClientType::Pc, &[ClientFeature::Receipts]),
        Caps::new(ClientType::Pc, &[ClientFeature::Receipts, ClientFeature::XhtmlIm]),
    ]
    .iter()
    .map(|caps| announced(caps).2)
    .collect();
    assert_eq!(vers.len(), 4);
    let [one, other] = [
        [ClientFeature::Receipts, ClientFeature::XhtmlIm, ClientFeature::Receipts],
        [ClientFeature::XhtmlIm, ClientFeature::Receipts, ClientFeature::XhtmlIm],
    ]
    .map(|features| Caps::new(ClientType::Pc, &features));
    assert_eq!(one, other);
}

#[test]
fn what_was_asked_is_counted_by_kind() {
    let topic =
        |payload: &str, to| ask_of(&directory(), "get", payload, to).map(|reply| (reply.topic, reply.is_result));
    assert_eq!(topic(&query(DISCO_INFO), To::Domain), Some((Topic::Info, true)));
    assert_eq!(topic(&query(DISCO_INFO), To::Hidden), Some((Topic::Info, false)));
    assert_eq!(topic(&query("jabber:iq:last"), To::Domain), Some((Topic::Unknown, false)));
    assert_eq!(topic("", To::Domain), Some((Topic::None, false)));
}

/// Children that partners might send, in the canonical form: known names and namespaces in any combination.
fn children() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let namespaces = prop::sample::select(vec![DISCO_INFO, DISCO_ITEMS, PING, VERSION, VCARD, "jabber:iq:roster", "x"]);
    let names = prop::sample::select(vec!["query", "ping", "vCard", "iq", "error"]);
    let node = prop::option::of("[a-z#&;']{0,8}");
    let child = (namespaces, names, node).prop_map(|(namespace, name, node)| {
        let mut out = format!("<{name} xmlns='{namespace}'");
        if let Some(node) = node {
            push_attribute(&mut out, "node", &node);
        }
        out + "/>"
    });
    prop::collection::vec(child, 0..3).prop_map(|children| children.concat())
}

proptest::proptest! {
    // Rule: iq.one-answer, iq.stranger
    #[test]
    fn any_request_has_one_answer_that_is_a_stanza_and_a_stranger_always_the_same(
        payload in children(),
        kind in proptest::sample::select(vec!["get", "set", "result", "error"]),
    ) {
        for to in ALL {
            let reply = ask(kind, &payload, to);
            proptest::prop_assert_eq!(reply.is_some(), matches!(kind, "get" | "set"));
            let Some(reply) = reply else { continue };
            let node = Node::parse(reply.as_bytes()).unwrap();
            proptest::prop_assert!(node.is(SERVER, "iq"));
            proptest::prop_assert_eq!(node.attribute("id").unwrap(), "q'1");
            if to == To::Hidden {
                proptest::prop_assert_eq!(verdict(&reply), UNAVAILABLE);
            }
        }
    }

    #[test]
    fn no_bytes_panic(text in "[<>/a-c='\" &;#x0-9!]{0,80}") {
        let bob = Jid::parse("bob@fabrikam.example/desk").unwrap();
        for xml in [text.clone(), format!("<iq type='get'>{text}</iq>"), format!("<iq {text}/>")] {
            let _any = (is_request(xml.as_bytes()), answer(xml.as_bytes(), &bob, &bob, Addressee::Hidden));
            let _any = answer(xml.as_bytes(), &bob, &bob, Addressee::Domain(&DomainProfile::default()));
        }
    }
}
