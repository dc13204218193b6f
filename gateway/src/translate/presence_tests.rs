use super::*;

fn bob() -> BareJid {
    BareJid::parse("bob@fabrikam.example").unwrap()
}

fn resource(name: &str, show: Show, priority: i8) -> ResourcePresence {
    ResourcePresence {
        resource: name.into(),
        available: true,
        show,
        priority: Some(priority),
        ..ResourcePresence::default()
    }
}

fn read(xml: &str) -> PresenceStanza {
    let from = Jid::parse("bob@fabrikam.example/desk").unwrap();
    let to = Jid::parse("alice@contoso.example").unwrap();
    read_presence(xml.as_bytes(), &from, &to).unwrap()
}

#[test]
fn a_stanza_is_read_with_show_status_priority_and_stamp() {
    let stanza = read(
        "<presence xmlns='jabber:server' xml:lang='en' id='p1'><show>dnd</show><status>Busy &amp; more</status>\
         <status xml:lang='de'>Besch\u{e4}ftigt</status><priority>5</priority>\
         <delay xmlns='urn:xmpp:delay' stamp='2030-01-15T09:30:00Z'/><x xmlns='vcard-temp:x:update'/></presence>",
    );
    assert_eq!(stanza.kind, PresenceKind::Available);
    assert_eq!(stanza.id.as_deref(), Some("p1"));
    assert_eq!(
        stanza.presence,
        ResourcePresence {
            resource: "desk".into(),
            available: true,
            show: Show::Dnd,
            priority: Some(5),
            notes: vec![
                Note { lang: Some("en".into()), text: "Busy & more".into() },
                Note { lang: Some("de".into()), text: "Besch\u{e4}ftigt".into() },
            ],
            since_ms: Some(1_894_699_800_000),
        }
    );
}

#[test]
fn an_error_is_read_with_its_condition() {
    let stanza = read(
        "<presence xmlns='jabber:server' type='error'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    assert_eq!(stanza.error.map(|error| error.condition), Some(StanzaCondition::ItemNotFound));
    let bare = read("<presence xmlns='jabber:server' type='error'/>");
    assert_eq!(bare.error.map(|error| error.condition), Some(StanzaCondition::UndefinedCondition));
}

#[test]
fn what_is_no_presence_is_not_read() {
    let jid = Jid::parse("a@b.example").unwrap();
    for xml in ["<message xmlns='jabber:server'/>", "<presence xmlns='jabber:server' type='invisible'/>", "", "<"] {
        assert_eq!(read_presence(xml.as_bytes(), &jid, &jid), None, "{xml}");
    }
}

#[test]
fn what_is_sent_can_be_read_back() {
    let presence = ResourcePresence {
        notes: vec![Note { lang: Some("en".into()), text: "a<b".into() }],
        since_ms: Some(1_894_699_800_000),
        ..resource("desk", Show::Away, 7)
    };
    let out = PresenceOut {
        kind: PresenceKind::Available,
        from: Jid::parse("alice@contoso.example/desk").unwrap(),
        to: bob(),
        id: Some("x'1".into()),
        presence: Some(presence.clone()),
        delayed: true,
    };
    let xml = out.to_xml(&Caps::default());
    let stanza = read_presence(&xml, &out.from, out.to.as_jid()).unwrap();
    assert_eq!((stanza.presence, stanza.id.as_deref()), (presence, Some("x'1")));
}

// RFC 8048 section 6.2 note 6.
// Rule: pidf.write.priority
#[test]
fn priorities_follow_the_formulas_and_are_exact_inverses() {
    for (priority, q) in [(0, "0"), (1, "0.007"), (2, "0.015"), (126, "0.992"), (127, "1")] {
        let text = resources_to_pidf(&bob(), &[resource("desk", Show::Online, priority)], PidfStyle::default()).write();
        assert!(text.contains(&format!("<contact priority='{q}'>")), "{text}");
    }
    let text = resources_to_pidf(&bob(), &[resource("desk", Show::Online, -1)], PidfStyle::default()).write();
    assert!(!text.contains("priority") && text.contains("<basic>open</basic>"), "{text}");
    for priority in 0..=127 {
        assert_eq!(q_to_priority(priority_to_q(priority)), priority);
    }
}

#[test]
fn the_most_available_resource_is_the_first_tuple_of_the_document() {
    let resources =
        [resource("desk", Show::Xa, 0), resource("couch", Show::Online, 0), resource("phone", Show::Away, 0)];
    let document = resources_to_pidf(&bob(), &resources, PidfStyle::default());
    let ids: Vec<&str> = document.tuples.iter().map(|tuple| tuple.id.as_str()).collect();
    assert_eq!(ids, ["ID-couch", "ID-phone", "ID-desk"], "a reader of one tuple reads the best");
    assert_eq!(document.person, None);
}

// Rule: pidf.write.person, pidf.write.single, pidf.write.entity
#[test]
fn every_resource_is_a_tuple_and_the_most_available_speaks_for_the_person() {
    let resources = [resource("desk", Show::Dnd, 5), resource("phone", Show::Away, 5), resource("tv", Show::Chat, 0)];
    let document = resources_to_pidf(&bob(), &resources, PidfStyle::default());
    assert_eq!(
        document.tuples.iter().map(|tuple| tuple.id.as_str()).collect::<Vec<_>>(),
        ["ID-phone", "ID-desk", "ID-tv"]
    );
    assert_eq!(document.person.map(|person| person.activities), Some(vec!["away".to_owned()]));
    assert_eq!(document.entity, "pres:bob@fabrikam.example");
    let single = resources_to_pidf(&bob(), &resources, PidfStyle { single_tuple: true, sip_entity: true });
    assert_eq!((single.tuples.len(), single.entity.as_str()), (1, "sip:bob@fabrikam.example"));
}

// What is written is understood again.
// Rule: pidf.write.show, pidf.read.rpid
#[test]
fn show_survives_by_itself_and_by_rpid_alone() {
    for show in [Show::Chat, Show::Online, Show::Away, Show::Xa, Show::Dnd] {
        let mut document = resources_to_pidf(&bob(), &[resource("desk", show, 0)], PidfStyle::default());
        assert_eq!(pidf_to_resources(&document)[0].show, show);
        document.tuples[0].show = None;
        let expected = if show == Show::Chat { Show::Online } else { show };
        assert_eq!(pidf_to_resources(&document)[0].show, expected);
    }
}

// Rule: pidf.read.rpid
#[test]
fn activities_become_the_most_restrictive_show() {
    for (activities, idle, expected) in [
        (&["meeting"][..], false, Some(Show::Dnd)),
        (&["lunch", "vacation"], false, Some(Show::Xa)),
        (&["lunch", "on-the-phone", "travel"], false, Some(Show::Dnd)),
        (&["working"], false, None),
        (&["frobnicating"], true, Some(Show::Away)),
        (&[], true, Some(Show::Away)),
        (&[], false, None),
    ] {
        let rpid = Rpid { activities: activities.iter().map(|name| (*name).to_owned()).collect(), idle };
        assert_eq!(rpid_to_show(&rpid), expected, "{activities:?}");
    }
}

// Rule: pidf.read.basic, pidf.read.tuples, pidf.read.resource
#[test]
fn tuples_that_do_not_count_are_skipped_and_resources_are_stable() {
    let document = Document::read(
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:alice@contoso.example'>\
          <tuple id='a1'><status><basic>open</basic></status><contact priority='0.5'>sip:alice@contoso.example;gr=desk%201</contact></tuple>\
          <tuple id='a2'><status><basic>open</basic></status><contact>tel:+1</contact></tuple>\
          <tuple id='a3'><status><basic>closed</basic></status></tuple>\
          <tuple id='a4'><status/></tuple>\
          <tuple id='a5'><status><basic>open</basic></status><r:relationship><r:assistant/></r:relationship></tuple>\
          <tuple id='ID-phone'><status><basic>open</basic></status></tuple>\
          <tuple id='x9'><status><basic>open</basic></status><contact>sip:alice@10.0.0.5:5061</contact></tuple>\
          <note>Hi</note></presence>",
    )
    .unwrap();
    let resources = pidf_to_resources(&document);
    let names: Vec<&str> = resources.iter().map(|resource| resource.resource.as_str()).collect();
    assert_eq!(names.len(), 3);
    assert_eq!((names[0], names[1]), ("desk 1", "phone"));
    assert!(names[2].starts_with("t-"), "{names:?}");
    assert_eq!(resources[0].priority, Some(64));
    assert_eq!(resources[0].notes[0].text, "Hi");
    assert_eq!(pidf_to_resources(&document), resources);
}

#[test]
fn long_notes_are_cut_at_a_character() {
    let long = "\u{fc}".repeat(2_000);
    let kept = note(Some("not a tag!".into()), &long).unwrap();
    assert!(kept.text.len() <= MAX_NOTE_BYTES && kept.lang.is_none());
    assert_eq!(note(None, "  \n "), None);
}
