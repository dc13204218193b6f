use super::*;
use crate::xmpp::element::Element;
use crate::xmpp::header::StreamHeader;
use proptest::prelude::*;

/// Reads in the scope of a header that declares `stream`, `db`, `s` for `jabber:server` and a language.
fn read_in_stream(text: &str) -> Result<(Checked, String), StreamFault> {
    let header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
        xmlns:db='jabber:server:dialback' xmlns:s='jabber:server' xml:lang='en' version='1.0'>";
    let header = StreamHeader::parse(header.as_bytes(), &Limits::default()).unwrap();
    read_with(text.as_bytes(), &header.scope, &Limits::default())
}

fn read_with(bytes: &[u8], scope: &StreamScope, limits: &Limits) -> Result<(Checked, String), StreamFault> {
    let mut out = BytesMut::from("before");
    match read(bytes, scope, limits, &mut out) {
        Ok(checked) => {
            let canonical = out.split_off("before".len());
            Ok((checked, String::from_utf8(canonical.to_vec()).unwrap()))
        }
        Err(fault) => {
            assert_eq!(&*out, b"before", "a fault leaves nothing behind");
            Err(fault)
        }
    }
}

/// The content of a message that is otherwise in order.
fn message(content: &str) -> String {
    format!("<message from='eve@wingtip.example' to='alice@contoso.example'>{content}</message>")
}

const START: &str =
    "<message xmlns='jabber:server' from='eve@wingtip.example' to='alice@contoso.example' xml:lang='en'";

/// Content and its canonical form, which must be its own.
fn canonical(content: &str, expected: &str) {
    let (_, text) = read_in_stream(&message(content)).unwrap_or_else(|fault| panic!("{content}: {fault}"));
    let expected = if expected.is_empty() { format!("{START}/>") } else { format!("{START}>{expected}</message>") };
    assert_eq!(text, expected, "{content}");
    let again = read_with(text.as_bytes(), &StreamScope::server(), &Limits::default());
    assert_eq!(again.map(|(_, text)| text), Ok(expected), "the canonical form of {content} is its own");
}

fn refused(stanza: &str, condition: StreamCondition) {
    assert_eq!(read_in_stream(stanza).map_err(|fault| fault.condition).err(), Some(condition), "{stanza}");
}

#[test]
fn a_stanza_is_read_and_written_anew() {
    let (checked, text) = read_in_stream(
        "<message\n to=\"Alice@CONTOSO.example./Desk 1\" odd='1' xmlns='jabber:server' id='a&amp;&#39;b' \
         type='chat' xml:lang='de' from='eve@wingtip.example' ><body >x</body ><active \
         xmlns=\"http://jabber.org/protocol/chatstates\"></active></message >",
    )
    .unwrap();
    assert_eq!(
        checked,
        Checked {
            kind: StanzaKind::Message,
            from: Jid::parse("eve@wingtip.example").unwrap(),
            to: Jid::parse("alice@contoso.example/Desk 1").unwrap(),
            stanza_type: Some(StanzaType::Chat),
            id: Some("a&'b".into()),
        }
    );
    assert_eq!(
        text,
        "<message xmlns='jabber:server' from='eve@wingtip.example' to='alice@contoso.example/Desk 1' type='chat' \
         id='a&amp;&apos;b' xml:lang='de'><body>x</body>\
         <active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    );
}

#[test]
fn there_is_one_way_to_write_everything() {
    canonical("", "");
    canonical("<![CDATA[]]>", "");
    canonical(" \n", " \n");
    canonical("<a></a>", "<a/>");
    canonical("<a\t/>", "<a/>");
    canonical("a&gt;b>&#x3e;&apos;'&quot;\"", "a&gt;b&gt;&gt;''\"\"");
    canonical("&lt;&amp;&#38;lt;", "&lt;&amp;&amp;lt;");
    canonical("<![CDATA[<a>&amp;]]]]>&gt;", "&lt;a&gt;&amp;amp;]]&gt;");
    canonical("x\r\ny\rz&#13;&#xA;", "x\ny\nz&#xD;\n");
    canonical("<a b='\t\r\n&#9;&#10;&#13;\"&apos;>'/>", "<a b='  &#x9;&#xA;&#xD;\"&apos;>'/>");
    canonical("<a b=\"'&lt;\" c = ''/>", "<a b='&apos;&lt;' c=''/>");
    canonical("&#x1F980;é\u{fffd}", "\u{1f980}é\u{fffd}");
}

#[test]
fn namespaces_are_declared_where_they_change_and_nowhere_else() {
    canonical("<x:a xmlns:x='u'><x:b/><c/></x:a>", "<a xmlns='u'><b/><c xmlns='jabber:server'/></a>");
    canonical("<a xmlns='u' xmlns:x='u'><x:b/></a>", "<a xmlns='u'><b/></a>");
    canonical("<a xmlns=''><b xmlns=''/></a>", "<a xmlns=''><b/></a>");
    canonical("<a xmlns:unused='u'/>", "<a/>");
    canonical("<db:x/>", "<x xmlns='jabber:server:dialback'/>");
    canonical("<a xmlns='a&amp;b'/>", "<a xmlns='a&amp;b'/>");
    canonical(
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:space='preserve'/>",
        "<a xml:space='preserve'/>",
    );
    canonical(
        "<a xmlns:p='u' xmlns:q='v' p:x='1' y='2' q:x='3' p:z='4' xml:lang='fr'/>",
        "<a xmlns:ns0='u' xmlns:ns1='v' ns0:x='1' y='2' ns1:x='3' ns0:z='4' xml:lang='fr'/>",
    );
    canonical("<a xmlns:s='w' s:b=''><s:c/></a>", "<a xmlns:ns0='w' ns0:b=''><c xmlns='w'/></a>");
}

#[test]
fn what_has_no_room_for_its_declarations_is_refused_so_that_the_canonical_form_can_be_read() {
    let element = |plain: usize| {
        let plain: String = (0..plain).map(|n| format!(" a{n}=''")).collect();
        message(&format!("<x xmlns='urn:x' xmlns:p='urn:p' p:b=''{plain}/>"))
    };
    let most = Limits::default().attributes;
    let (_, text) = read_in_stream(&element(most - 3)).unwrap();
    assert!(read_with(text.as_bytes(), &StreamScope::server(), &Limits::default()).is_ok());
    // Its name is in the namespace that its prefix has, so that it is declared twice in the canonical form.
    let plain: String = (0..most - 2).map(|n| format!(" a{n}=''")).collect();
    refused(&message(&format!("<p:x xmlns:p='urn:p' p:b=''{plain}/>")), StreamCondition::PolicyViolation);
}

#[test]
fn both_addresses_must_be_there_and_be_addresses() {
    for stanza in [
        "<message to='a.example'/>",
        "<message from='a.example'/>",
        "<message from='' to='a.example'/>",
        "<message from='a.example' to='@b.example'/>",
        "<message from='a.example' to='b c@b.example'/>",
        "<message from='a.example' to='u@[::1]'/>",
        "<message xmlns:p='u' p:from='a.example' to='b.example'/>",
    ] {
        refused(stanza, StreamCondition::ImproperAddressing);
    }
}

#[test]
fn an_iq_has_an_id_and_a_known_type() {
    let iq = |rest: &str| format!("<iq from='a.example' to='b.example' {rest}/>");
    for rest in ["", "id='1'", "type='get'", "id='1' type='chat'", "id='1' type=''"] {
        refused(&iq(rest), StreamCondition::InvalidXml);
    }
    for (rest, expected) in [
        ("id='1' type='get'", StanzaType::Get),
        ("id='1' type='set'", StanzaType::Set),
        ("id='1' type='result'", StanzaType::Result),
        ("id='1' type='error'", StanzaType::Error),
    ] {
        assert_eq!(read_in_stream(&iq(rest)).unwrap().0.stanza_type, Some(expected));
    }
    let odd = read_in_stream("<presence from='a.example' to='b.example' type='get'/>").unwrap();
    assert_eq!(odd.0.stanza_type, Some(StanzaType::Unknown));
}

#[test]
fn only_stanzas_of_this_namespace_without_prefix_pass() {
    let with = |name: &str, rest: &str| format!("<{name} from='a.example' to='b.example' {rest}/>");
    refused(&with("message", "xmlns='jabber:client'"), StreamCondition::InvalidNamespace);
    refused(&with("message", "xmlns=''"), StreamCondition::InvalidNamespace);
    refused(&with("message", "xmlns='urn:x'"), StreamCondition::UnsupportedStanzaType);
    refused(&with("s:message", ""), StreamCondition::BadNamespacePrefix);
    refused(&message("<s:body/>"), StreamCondition::BadNamespacePrefix);
    refused(&message("<xml:a/>"), StreamCondition::BadNamespacePrefix);
    refused(&with("query", ""), StreamCondition::UnsupportedStanzaType);
    refused("<db:result from='a.example'>&nonsense;", StreamCondition::UnsupportedStanzaType);
    refused("<stream:features/>", StreamCondition::UnsupportedStanzaType);
}

#[test]
fn names_of_the_stream_do_not_nest() {
    refused(&message("<stream:stream>"), StreamCondition::InvalidXml);
    refused(&message("<a xmlns='http://etherx.jabber.org/streams'/>"), StreamCondition::InvalidXml);
    refused(&message("<a stream:b=''/>"), StreamCondition::InvalidXml);
    refused("<message stream:a='' from='a.example' to='b.example'/>", StreamCondition::InvalidXml);
}

#[test]
fn what_xml_allows_but_streams_do_not_is_restricted() {
    for content in ["<!-- -->", "<?pi?>", "<!DOCTYPE a>", "<!ENTITY a 'b'>", "&nbsp;", "&a1;", "<a b='&c;'/>"] {
        refused(&message(content), StreamCondition::RestrictedXml);
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    for odd in [
        &b"\xc0\xbc"[..],
        b"\xe0\x80\xbc",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\x80",
        b"\xff\xfe",
        b"\xc3",
    ] {
        let bytes = [message("<a>").trim_end_matches("</message>").as_bytes(), odd, b"</a></message>"].concat();
        let fault = read_with(&bytes, &StreamScope::server(), &Limits::default()).unwrap_err();
        assert_eq!(fault.condition, StreamCondition::UnsupportedEncoding, "{odd:x?}");
    }
}

#[test]
fn the_language_of_the_stream_is_added_only_where_there_is_none() {
    let none = read_with(message("").as_bytes(), &StreamScope::server(), &Limits::default()).unwrap().1;
    assert!(!none.contains("lang"));
    let own = read_in_stream("<presence xml:lang='' from='a.example' to='b.example'/>").unwrap().1;
    assert!(own.contains("xml:lang=''"), "{own}");
}

#[test]
fn a_partner_gets_domains_in_u_labels_and_we_keep_a_labels() {
    let stanza = "<message from='a@bücher.example' to='xn--bcher-kva.example'><body>xn--a</body></message>";
    let (checked, text) = read_with(stanza.as_bytes(), &StreamScope::server(), &Limits::default()).unwrap();
    assert_eq!(checked.from.domain(), checked.to.domain());
    let expected = "<message xmlns='jabber:server' from='a@xn--bcher-kva.example' to='xn--bcher-kva.example'>\
        <body>xn--a</body></message>";
    assert_eq!(text, expected);
    let outside = for_partner(Bytes::from(text), &Limits::default());
    assert_eq!(outside, expected.replace("xn--bcher-kva", "bücher"));
    let ascii = Bytes::from(message(""));
    assert_eq!(for_partner(ascii.clone(), &Limits::default()), ascii);
}

#[test]
fn every_limit_has_its_last_allowed_value() {
    let limits = Limits {
        byte_stanza: 1200,
        depth: 4,
        attributes: 5,
        namespaces: 3,
        attribute_value: 30,
        name: 12,
        nodes: 12,
        ..Limits::default()
    };
    let check = |good: &str, bad: &str| {
        let outcome = |content: &str| read_with(message(content).as_bytes(), &StreamScope::server(), &limits);
        assert!(outcome(good).is_ok(), "{good}: {:?}", outcome(good));
        assert_eq!(
            outcome(bad).map_err(|fault| fault.condition).err(),
            Some(StreamCondition::PolicyViolation),
            "{bad}"
        );
    };
    check("<a><b><c/></b></a>", "<a><b><c><d/></c></b></a>");
    check("<a b='' c='' d='' e='' xmlns='u'/>", "<a b='' c='' d='' e='' f='' xmlns='u'/>");
    check("<a xmlns='u' xmlns:b='v'/><c xmlns='w'/>", "<a xmlns='u' xmlns:b='v'/><c xmlns='w' xmlns:d='x'/>");
    check(&format!("<a b='{}'/>", "x".repeat(30)), &format!("<a b='{}'/>", "x".repeat(31)));
    check(&format!("<a b='{}'/>", "&apos;".repeat(30)), &format!("<a b='{}'/>", "&apos;".repeat(31)));
    check(&format!("<a b=\"{}\"/>", "'".repeat(30)), &format!("<a b=\"{}\"/>", "'".repeat(31)));
    check("<p:abcdefghij xmlns:p='u'/>", "<p:abcdefghijk xmlns:p='u'/>");
    check("<a abcdefghijkl=''/>", "<a abcdefghijklm=''/>");
    check(&"<a/>".repeat(11), &"<a/>".repeat(12));
    check(&"<a/>x".repeat(5), &"<a/>x".repeat(6));
    check(&"x".repeat(1050), &"x".repeat(1200));
}

#[test]
fn a_namespace_written_out_often_does_not_make_much_of_little() {
    let long = format!("urn:{}", "u".repeat(16_000));
    let content = format!("<p:a xmlns:p='{long}'>{}</p:a>", "<c><p:b/></c>".repeat(1000));
    assert!(message(&content).len() < 30_000);
    refused(&message(&content), StreamCondition::PolicyViolation);
}

proptest! {
    #[test]
    fn what_passes_is_written_in_a_form_that_reads_as_itself_and_means_the_same(content in content()) {
        let content = format!("<w xmlns:p='p' xmlns:q='q'>{content}</w>");
        if let Ok((checked, text)) = read_in_stream(&message(&content)) {
            let again = read_with(text.as_bytes(), &StreamScope::server(), &Limits::default());
            prop_assert_eq!(again, Ok((checked, text.clone())));
            let wrapped = format!("<w xmlns='jabber:server' xmlns:s='jabber:server' xmlns:db='jabber:server:dialback' \
                xmlns:stream='http://etherx.jabber.org/streams'>{content}</w>");
            let meant = Element::parse(wrapped.as_bytes(), &StreamScope::none(), &Limits::default()).unwrap();
            let written = Element::parse(text.as_bytes(), &StreamScope::none(), &Limits::default()).unwrap();
            prop_assert_eq!(meant.nodes(), written.nodes());
            // The tree writes as the pass does.
            prop_assert_eq!(written.to_string(), text);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read_with(&bytes, &StreamScope::server(), &Limits::default());
    }
}

/// Content of elements, in order more often than not.
pub(in crate::xmpp) fn content() -> impl Strategy<Value = String> {
    let odd_text = prop::sample::select(vec!["]]>", "&#xfffe;", "&q;", "&", "<", "\u{1}", "\u{fffe}", "<!---->"]);
    let text = prop_oneof![
        40 => "[a-z ]{0,6}",
        20 => "[\\]>'\"\r\n\t\u{e9}\u{fffd}\u{1f980}]{0,4}",
        20 => prop::sample::select(vec!["&amp;", "&#13;", "&#x9;", "&lt;", "]]", "<![CDATA[]]]]>"]).prop_map(str::to_owned),
        20 => "[a-z&<\\]\r]{0,6}".prop_map(|text| format!("<![CDATA[{text}]]>")),
        1 => odd_text.prop_map(str::to_owned),
    ];
    let name = prop_oneof![
        40 => prop::sample::select(vec!["a", "b", "p:a", "q:b", "é", "_1.-"]),
        1 => prop::sample::select(vec!["db:c", "s:d", "xml:lang", "-", "a:b:c", "o:a"]),
    ];
    let attribute = (
        prop_oneof![
            40 => prop::sample::select(vec!["x", "p:x", "q:x", "xml:lang", "xmlns", "xmlns:p", "xmlns:q", "xmlns:ns0"]),
            1 => prop::sample::select(vec!["ns0:y", "xmlns:xml", "xmlns:xmlns", "1", "a:b:c"]),
        ],
        prop_oneof![
            40 => prop::sample::select(vec!["u", "v", "p", "jabber:server", "a&amp;b", "&apos;>", "&#x20;"])
                .prop_map(str::to_owned),
            5 => prop::sample::select(vec!["", "&#13;&#9;", "\t\n", "'", "\""]).prop_map(str::to_owned),
            1 => "[a-z&<>\"\u{e9}]{0,4}",
        ],
        prop::sample::select(vec!['\'', '"']),
    )
        .prop_map(|(name, value, quote)| (name, format!("{name}={quote}{value}{quote}")));
    // One of a name, usually: two are not well-formed.
    let attributes = prop::collection::vec(attribute, 0..4).prop_map(|mut all| {
        if all.len() < 3 {
            all.dedup_by_key(|(name, _)| *name);
        }
        all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    });
    text.prop_recursive(4, 24, 4, move |inner| {
        let element = (name.clone(), attributes.clone(), prop::collection::vec(inner, 0..4))
            .prop_map(|(name, attributes, content)| format!("<{name} {attributes}>{}</{name}>", content.concat()));
        prop::collection::vec(element, 0..3).prop_map(|elements| elements.concat())
    })
}
