use super::*;
use crate::xmpp::stanza::tests::content;
use proptest::prelude::*;
use rxml::Parse as _;

fn parse(text: &str) -> Result<Element, StreamFault> {
    Element::parse(text.as_bytes(), &StreamScope::none(), &Limits::default())
}

/// What an independent parser makes of the document; `None` if it refuses it.
fn oracle(text: &str) -> Option<Element> {
    let mut parser = rxml::Parser::new();
    let mut rest = text.as_bytes();
    let (mut open, mut root): (Vec<Element>, _) = (Vec::new(), None);
    while let Some(event) = parser.parse(&mut rest, true).ok()? {
        match event {
            rxml::Event::XmlDeclaration(..) => return None,
            rxml::Event::StartElement(_, (namespace, name), attributes) => {
                let mut element = Element::new(namespace.as_str().to_owned(), name.to_string());
                for ((namespace, name), value) in attributes {
                    element = element.attr_ns(namespace.as_str().to_owned(), name.to_string(), value);
                }
                open.push(element);
            }
            rxml::Event::Text(_, text) => open.last_mut()?.push_text(text),
            rxml::Event::EndElement(_) => {
                let element = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.push(element),
                    None => root = Some(element),
                }
            }
        }
    }
    root
}

/// The same tree with its attributes in an order of their own: the oracle keeps none.
fn sorted(mut element: Element) -> Element {
    element.attributes.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    element.nodes = element
        .nodes
        .into_iter()
        .map(|node| match node {
            Node::Element(child) => Node::Element(sorted(child)),
            Node::Text(text) => Node::Text(text),
        })
        .collect();
    element
}

/// What we refuse and the oracle accepts: what is over our limits, RFC 6120's rule on prefixes, control characters in
/// namespace names, and three oversights of the oracle: two declarations of the default namespace on one element, a
/// binding of the namespace that is reserved for declarations, and CDATA behind the root.
fn is_stricter(fault: &StreamFault) -> bool {
    matches!(fault.condition, StreamCondition::PolicyViolation | StreamCondition::BadNamespacePrefix)
        || fault.cause.contains("a prefix is declared twice")
        || fault.cause.contains("the prefix xmlns or its namespace")
        || fault.cause.contains("something after the end")
        || fault.cause.contains("control character in a namespace name")
}

fn agree(text: &str) {
    // White space around the root is the cutter's business, not the reader's.
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    // Two more oversights: it takes CDATA in front of the root for white space, and it does not normalise every carriage
    // return that stands alone (XML 1.0, section 2.11).
    if text.starts_with("<![CDATA[") || text.replace("\r\n", "").contains('\r') || text.contains("]\r") {
        return;
    }
    match (parse(text), oracle(text)) {
        (Ok(ours), Some(theirs)) => assert_eq!(sorted(ours), sorted(theirs), "{text:?}"),
        (Ok(ours), None) => panic!("the oracle refuses {text:?}, we read {ours}"),
        (Err(fault), Some(theirs)) => {
            assert!(is_stricter(&fault), "the oracle reads {text:?} as {theirs}, we: {fault}");
        }
        (Err(_), None) => {}
    }
}

const GOOD: &[&str] = &[
    "<a/>",
    "<a></a>",
    "<a ></a >",
    "<a\n\t\rb='c'\r\n/>",
    "<a b = 'c'/>",
    "<a b='\"' c=\"'\"/>",
    "<a b='>'/>",
    "<a b=''/>",
    "<a>&lt;&gt;&amp;&apos;&quot;</a>",
    "<a>&#65;&#x41;&#x000041;&#x10FFFF;</a>",
    "<a b='&#65;&#10;&#9;&#13;'/>",
    "<a>]] ></a>",
    "<a>]]&gt;</a>",
    "<a><![CDATA[]]></a>",
    "<a><![CDATA[<b>&c;]]]]></a>",
    "<a><![CDATA[]]]]><![CDATA[>]]></a>",
    "<a>x\r\ny\rz</a>",
    "<a b='x\r\ny\tz'/>",
    "<_a-1.\u{b7}é/>",
    "<é\u{300}/>",
    "<\u{10000}/>",
    "<a>\u{fffd}\u{e000}\u{d7ff}\u{10ffff}\u{85}\u{7f}</a>",
    "<a xmlns='u'><b xmlns=''/></a>",
    "<p:a xmlns:p='u' p:b='' b=''/>",
    "<a xmlns:p='u' xmlns:q='v' p:b='' q:b=''/>",
    "<a xmlns:p='u'><p:b xmlns:p='v'/><p:b/></a>",
    "<a xml:lang='en' xml:space='x'/>",
    "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
    "<a xmlns='u' xmlns:p='u' b='' p:b=''/>",
    "<xmlfoo xmlb=''/>",
];

const BAD: &[&str] = &[
    "",
    "a",
    "<a>",
    "<a",
    "<a/",
    "</a>",
    "<a></b>",
    "<a></a",
    "<a></ a>",
    "<a></a></a>",
    "<a/><b/>",
    "<a/>x",
    "x<a/>",
    "<a/ >",
    "< a/>",
    "<>",
    "<1/>",
    "<-a/>",
    "<.a/>",
    "<a!/>",
    "<a b/>",
    "<a b=/>",
    "<a b=c/>",
    "<a b='c/>",
    "<a b='c'd='e'/>",
    "<a b='c' b='d'/>",
    "<a 1b=''/>",
    "<a b='<'/>",
    "<a b='&'/>",
    "<a b='&x;'/>",
    "<a b='&#0;'/>",
    "<a>&</a>",
    "<a>& </a>",
    "<a>&;</a>",
    "<a>&#;</a>",
    "<a>&#x;</a>",
    "<a>&#X41;</a>",
    "<a>&#+65;</a>",
    "<a>&#-1;</a>",
    "<a>&#xZ;</a>",
    "<a>&#0;</a>",
    "<a>&#1;</a>",
    "<a>&#xD800;</a>",
    "<a>&#xFFFE;</a>",
    "<a>&#x110000;</a>",
    "<a>&#99999999999999999999;</a>",
    "<a>&nbsp;</a>",
    "<a>&amp</a>",
    "<a>&AMP;</a>",
    "<a>]]></a>",
    "<a>\u{1}</a>",
    "<a>\u{0}</a>",
    "<a>\u{fffe}</a>",
    "<a>\u{ffff}</a>",
    "<a b='\u{1f}'/>",
    "<a b='\u{fffe}'/>",
    "<a><![CDATA[\u{1}]]></a>",
    "<a><![CDATA[</a>",
    "<a><![cdata[]]></a>",
    "<![CDATA[]]>",
    "<a><!-- --></a>",
    "<!-- --><a/>",
    "<a><?p?></a>",
    "<?p?><a/>",
    "<!DOCTYPE a><a/>",
    "<a><?xml version='1.0'?></a>",
    "<p:a/>",
    "<a p:b=''/>",
    "<:a/>",
    "<a:/>",
    "<a:b:c xmlns:a='u'/>",
    "<p:1 xmlns:p='u'/>",
    "<a :b=''/>",
    "<a xmlns:p='u' p:=''/>",
    "<a xmlns:p=''/>",
    "<a xmlns:=''/>",
    "<a xmlns='u' xmlns='v'/>",
    "<a xmlns:p='u' xmlns:p='u'/>",
    "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>",
    "<a xmlns:xmlns='u'/>",
    "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>",
    "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
    "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
    "<a xmlns:xml='u'/>",
    "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
    "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
    "<xmlns:a xmlns:b='u'/>",
    "<p:a xmlns:p='u'></q:a>",
    "<p:a xmlns:p='u' xmlns:q='u'></q:a>",
    "<a\u{d7}/>",
    "<\u{b7}a/>",
    "<a\u{37e}/>",
    "<a\u{a0}b=''/>",
];

#[test]
fn what_is_well_formed_is_read_as_an_independent_parser_reads_it() {
    for text in GOOD {
        assert!(parse(text).is_ok(), "{text:?}: {:?}", parse(text));
        agree(text);
    }
}

#[test]
fn what_is_not_well_formed_is_refused_as_an_independent_parser_refuses_it() {
    for text in BAD {
        assert!(parse(text).is_err(), "{text:?}: {:?}", parse(text));
        agree(text);
    }
}

#[test]
fn a_tree_is_built_and_asked() {
    let tree = Element::new(ns::SERVER, "iq")
        .attr("type", "get")
        .attr("xml:lang", "en")
        .attr_opt("id", None::<String>)
        .child(Element::new(ns::PING, "ping"))
        .child(Element::new("u", "x").attr_ns("v", "a", "1").text("y").text("z"));
    assert_eq!(
        tree.to_string(),
        "<iq xmlns='jabber:server' type='get' xml:lang='en'><ping xmlns='urn:xmpp:ping'/>\
         <x xmlns='u' xmlns:ns0='v' ns0:a='1'>yz</x></iq>"
    );
    assert_eq!(parse(&tree.to_string()), Ok(tree.clone()));
    assert!(tree.find(ns::PING, "ping").is_some() && tree.find("u", "ping").is_none());
    assert_eq!(tree.attribute("type"), Some("get"));
    assert_eq!(tree.attribute("xml:lang"), Some("en"));
    assert_eq!(tree.find("u", "x").unwrap().attribute_ns("v", "a"), Some("1"));
    assert_eq!(tree.find("u", "x").unwrap().text_content(), "yz");
    assert_eq!(tree.children().count(), 2);
}

#[test]
fn on_a_stream_the_usual_prefixes_are_written() {
    let features = Element::new(ns::STREAM, "features")
        .child(Element::new(ns::TLS, "starttls").child(Element::new(ns::TLS, "required")));
    assert_eq!(
        features.to_stream_string(),
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
    );
    let result = Element::new(ns::DIALBACK, "result")
        .attr("type", "error")
        .child(Element::new(ns::SERVER, "error").child(Element::new(ns::STANZA_ERRORS, "forbidden")));
    assert_eq!(
        result.to_stream_string(),
        "<db:result type='error'><error><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    );
}

#[test]
fn what_xml_cannot_carry_is_replaced_on_writing() {
    let tree = Element::new("u", "a").attr("b", "\u{0}\n'").text("\u{1}<\u{fffe}]]>");
    assert_eq!(tree.to_string(), "<a xmlns='u' b='\u{fffd}&#xA;&apos;'>\u{fffd}&lt;\u{fffd}]]&gt;</a>");
    assert!(oracle(&tree.to_string()).is_some());
}

#[test]
fn a_deep_tree_is_refused_however_deep_the_limit() {
    let limits = Limits { depth: usize::MAX, nodes: usize::MAX, ..Limits::default() };
    let deep = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
    let read = |text: &str| Element::parse(text.as_bytes(), &StreamScope::none(), &limits);
    assert!(read(&deep(512)).is_ok_and(|tree| tree.to_string().len() > 512));
    assert_eq!(read(&deep(513)).map_err(|fault| fault.condition).err(), Some(StreamCondition::PolicyViolation));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_generated_document_is_read_as_an_independent_parser_reads_it(content in content()) {
        agree(&format!("<w xmlns:db='d' xmlns:p='p' xmlns:q='q' xmlns:s='s'>{content}</w>"));
    }

    /// Documents that are nearly right: one of the tables with a few bytes changed.
    #[test]
    fn a_damaged_document_is_judged_as_an_independent_parser_judges_it(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(PIECES)), 1..4),
    ) {
        let tables = [GOOD, BAD].concat();
        let mut text: Vec<char> = which.get(&tables).chars().collect();
        for (index, how, piece) in edits {
            let at = index.index(text.len() + 1);
            match how {
                0 if at < text.len() => { text.remove(at); }
                1 if at < text.len() => { text.splice(at..=at, piece.chars()); }
                _ => { text.splice(at..at, piece.chars()); }
            }
        }
        agree(&text.into_iter().collect::<String>());
    }
}

const PIECES: &[&str] = &[
    "<",
    ">",
    "/",
    "'",
    "\"",
    "=",
    " ",
    "&",
    ";",
    "#",
    "x",
    ":",
    "!",
    "?",
    "-",
    "]",
    "[",
    "a",
    "p:",
    "xmlns",
    "xml:",
    "1",
    "\r",
    "\n",
    "\t",
    "\u{0}",
    "\u{fffe}",
    "é",
    "\u{b7}",
    "&amp;",
    "&#1;",
    "<b>",
    "</b>",
    "<b/>",
    "<![CDATA[",
    "]]>",
];
