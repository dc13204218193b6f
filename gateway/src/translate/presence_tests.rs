use super::*;

fn bob() -> BareJid {
    BareJid::parse("bob@fabrikam.example").unwrap()
}

const NOW: u64 = 1_894_699_800_000;

fn activity(name: &str) -> Activity {
    Activity { name: name.to_owned(), ..Activity::default() }
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

// Rule: pidf.write.note
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

// Rule: pidf.write.person
#[test]
fn the_most_available_resource_is_the_first_tuple_of_the_document() {
    let resources =
        [resource("desk", Show::Xa, 0), resource("couch", Show::Online, 0), resource("phone", Show::Away, 0)];
    let document = resources_to_pidf(&bob(), &resources, PidfStyle::default());
    let ids: Vec<&str> = document.tuples.iter().map(|tuple| tuple.id.as_str()).collect();
    assert_eq!(ids, ["ID-couch", "ID-phone", "ID-desk"], "a reader of one tuple reads the best");
    assert_eq!(document.person, None);
}

// Rule: pidf.write.person, pidf.write.single, pidf.write.entity, out.resources
#[test]
fn every_resource_is_a_tuple_and_the_most_available_speaks_for_the_person() {
    let resources = [resource("desk", Show::Dnd, 5), resource("phone", Show::Away, 5), resource("tv", Show::Chat, 0)];
    let document = resources_to_pidf(&bob(), &resources, PidfStyle::default());
    assert_eq!(
        document.tuples.iter().map(|tuple| tuple.id.as_str()).collect::<Vec<_>>(),
        ["ID-phone", "ID-desk", "ID-tv"]
    );
    assert_eq!(document.person.map(|person| person.activities), Some(vec![activity("away")]));
    assert_eq!(document.entity, "pres:bob@fabrikam.example");
    let single =
        resources_to_pidf(&bob(), &resources, PidfStyle { single_tuple: true, sip_entity: true, person: false });
    assert_eq!((single.tuples.len(), single.entity.as_str()), (1, "sip:bob@fabrikam.example"));
    assert_eq!(single.person, None);
}

// What is written is understood again.
// Rule: pidf.write.show
#[test]
fn show_survives_by_itself_and_by_rpid_alone() {
    for show in [Show::Chat, Show::Online, Show::Away, Show::Xa, Show::Dnd] {
        let mut document = resources_to_pidf(&bob(), &[resource("desk", show, 0)], PidfStyle::default());
        assert_eq!(pidf_to_resources(&document, NOW)[0].show, show);
        document.tuples[0].show = None;
        // RPID has no word for the first, and none for how long.
        let expected = match show {
            Show::Chat | Show::Online => Show::Online,
            Show::Away | Show::Xa => Show::Away,
            Show::Dnd => Show::Dnd,
        };
        assert_eq!(pidf_to_resources(&document, NOW)[0].show, expected);
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
        let rpid = Rpid { activities: activities.iter().map(|name| activity(name)).collect(), idle };
        assert_eq!(rpid_to_show(&rpid, NOW), expected, "{activities:?}");
    }
}

// Rule: pidf.read.tuples, pidf.read.resource, pidf.read.basic
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
    let resources = pidf_to_resources(&document, NOW);
    let names: Vec<&str> = resources.iter().map(|resource| resource.resource.as_str()).collect();
    assert_eq!(names.len(), 3);
    assert_eq!((names[0], names[1]), ("desk 1", "phone"));
    assert!(names[2].starts_with("t-"), "{names:?}");
    assert_eq!(resources[0].priority, Some(64));
    assert_eq!(resources[0].notes[0].text, "Hi");
    assert_eq!(pidf_to_resources(&document, NOW), resources);
}

#[test]
fn long_notes_are_cut_at_a_character() {
    let long = "\u{fc}".repeat(2_000);
    let kept = note(Some("not a tag!".into()), &long).unwrap();
    assert!(kept.text.len() <= MAX_NOTE_BYTES && kept.lang.is_none());
    assert_eq!(note(None, "  \n "), None);
}

// RFC 4480 section 3.2: every activity it names, and what it does not name.
// Rule: pidf.read.rpid
#[test]
fn each_activity_has_its_show() {
    let rows: [(&[&str], Option<Show>); 4] = [
        (
            &["busy", "on-the-phone", "meeting", "appointment", "presentation", "performance", "steering", "worship"],
            Some(Show::Dnd),
        ),
        (
            &["away", "meal", "breakfast", "lunch", "dinner", "shopping", "in-transit", "playing", "spectator", "tv"],
            Some(Show::Away),
        ),
        (&["sleeping", "travel", "vacation", "holiday", "permanent-absence"], Some(Show::Xa)),
        (&["working", "looking-for-work", "other", "unknown", "juggling"], None),
    ];
    for (names, expected) in rows {
        for name in names {
            for namespace in ["urn:ietf:params:xml:ns:pidf:rpid", "urn:ietf:params:xml:ns:pidf:status:rpid"] {
                let inner = format!("<r:activities xmlns:r='{namespace}'><r:{name}/></r:activities>");
                let person = "<d:person xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' id='p'>";
                for (status, tuple, document) in [
                    (inner.as_str(), "", String::new()),
                    ("", inner.as_str(), String::new()),
                    ("", "", format!("{person}{inner}</d:person>")),
                ] {
                    let text = format!(
                        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='t'>\
                         <status><basic>open</basic>{status}</status>{tuple}</tuple>{document}</presence>"
                    );
                    let shown = pidf_to_resources(&Document::read(text.as_bytes()).unwrap(), NOW);
                    assert_eq!(shown[0].show, expected.unwrap_or_default(), "{text}");
                }
            }
        }
    }
}

// RFC 4480 section 3.1.
// Rule: pidf.read.rpid
#[test]
fn activities_of_another_time_do_not_count() {
    for (attributes, expected) in [
        ("from='2030-01-15T09:00:00Z' until='2030-01-15T10:00:00Z'", Show::Dnd),
        ("from='2030-01-15T09:31:00Z'", Show::Online),
        ("until='2030-01-15T09:30:00Z'", Show::Online),
        ("until='tomorrow'", Show::Dnd),
    ] {
        let text = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:a@b'><tuple id='t'><status><basic>open</basic></status></tuple>\
             <d:person id='p'><r:activities {attributes}><r:meeting/></r:activities></d:person></presence>"
        );
        assert_eq!(pidf_to_resources(&Document::read(text.as_bytes()).unwrap(), NOW)[0].show, expected, "{attributes}");
    }
}

// RFC 3863 section 4.2.3.
// Rule: pidf.read.unknown
#[test]
fn an_extension_with_a_part_that_must_be_understood_is_ignored_and_basic_is_not() {
    for (attribute, expected) in [
        ("p:mustUnderstand='true'", Show::Online),
        ("p:mustUnderstand='1'", Show::Online),
        ("p:mustUnderstand='0'", Show::Dnd),
        ("", Show::Dnd),
    ] {
        let text = format!(
            "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:a@b'>\
             <p:tuple id='t'><p:status><p:basic>open</p:basic><x:y xmlns:x='urn:x' p:mustUnderstand='1'>\
             <p:basic>closed</p:basic></x:y><r:activities><r:busy/><x:mood xmlns:x='urn:x' {attribute}/></r:activities>\
             </p:status></p:tuple></p:presence>"
        );
        let shown = pidf_to_resources(&Document::read(text.as_bytes()).unwrap(), NOW);
        assert_eq!((shown.len(), shown[0].show), (1, expected), "{attribute}");
    }
}

// The namespace jabber:client wins over RPID (RFC 8048, section 6.3).
// Rule: pidf.read.rpid, pidf.read.basic
#[test]
fn show_wins_over_activities_and_closed_over_both() {
    let text = |basic: &str| {
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:a@b'>\
             <tuple id='t'><status>{basic}<show xmlns='jabber:client'>xa</show></status>\
             <r:activities><r:meeting/></r:activities></tuple></presence>"
        )
    };
    let shown = |basic| pidf_to_resources(&Document::read(text(basic).as_bytes()).unwrap(), NOW);
    assert_eq!(shown("<basic>open</basic>")[0].show, Show::Xa);
    assert_eq!(shown("<basic>closed</basic>"), []);
    assert_eq!(shown(""), []);
}

// Rule: pidf.read.tuples
#[test]
fn at_most_eight_tuples_count() {
    let tuples: String =
        (0..20).map(|n| format!("<tuple id='ID-{n}'><status><basic>open</basic></status></tuple>")).collect();
    let text = format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'>{tuples}</presence>");
    assert_eq!(pidf_to_resources(&Document::read(text.as_bytes()).unwrap(), NOW).len(), MAX_TUPLES);
    for (scheme, expected) in
        [("sip:a@b", 1), ("sips:a@b", 1), ("im:a@b", 1), ("pres:a@b", 1), ("", 1), ("tel:+1", 0), ("mailto:a@b", 0)]
    {
        let text = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='t'><status><basic>open</basic>\
             </status><contact>{scheme}</contact></tuple></presence>"
        );
        assert_eq!(pidf_to_resources(&Document::read(text.as_bytes()).unwrap(), NOW).len(), expected, "{scheme}");
    }
}

// The device of the contact, then what the id encodes, then a hash of the contact, then one of the id.
// Rule: pidf.read.resource
#[test]
fn the_name_of_a_resource_has_an_order_and_survives_changing_ids() {
    let name = |id: &str, contact: &str| {
        let text = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='{id}'><status><basic>open</basic>\
             </status><contact>{contact}</contact></tuple></presence>"
        );
        pidf_to_resources(&Document::read(text.as_bytes()).unwrap(), NOW).remove(0).resource
    };
    assert_eq!(name("ID-phone", "sip:a@b;gr=desk"), "desk");
    assert_eq!(name("ID-phone", "sip:a@b;opaque=user:epid:Xy1;gruu"), "Xy1");
    assert_eq!(name("ID-phone", "sip:a@10.0.0.5"), "phone");
    assert_eq!(name("r7", "sip:a@10.0.0.5"), name("r8", "sip:a@10.0.0.5"));
    assert_ne!(name("r7", "sip:a@10.0.0.5"), name("r7", "sip:a@10.0.0.6"));
    assert_ne!(name("r7", ""), name("r8", ""));
    assert!(name("r7", "").starts_with("t-") && name("r7", "").len() == 10);
}

// Rule: pidf.write.basic, pidf.write.timestamp, pidf.write.note
#[test]
fn a_device_that_left_is_closed_with_its_time_and_its_last_words() {
    let gone = ResourcePresence {
        resource: "desk".into(),
        notes: vec![
            Note { lang: Some("en".into()), text: "Bye".into() },
            Note { lang: Some("de".into()), text: "Tsch\u{fc}ss".into() },
        ],
        since_ms: Some(NOW),
        ..ResourcePresence::default()
    };
    let text = resources_to_pidf(&bob(), &[gone, resource("phone", Show::Online, 0)], PidfStyle::default()).write();
    assert!(text.contains("<basic>closed</basic>") && text.contains("<basic>open</basic>"), "{text}");
    assert!(text.contains("<note xml:lang='en'>Bye</note><note xml:lang='de'>"), "{text}");
    assert!(text.contains("<timestamp>2030-01-15T09:30:00Z</timestamp>"), "{text}");
}

// Rule: pidf.read.delay
#[test]
fn a_time_older_than_a_minute_is_worth_a_stamp() {
    assert!(!is_worth_a_stamp(None, NOW) && !is_worth_a_stamp(Some(NOW - 60_000), NOW));
    assert!(is_worth_a_stamp(Some(NOW - 60_001), NOW) && !is_worth_a_stamp(Some(NOW + 5), NOW));
}
