//! Attacks on how bytes are read: two readers that differ are how one stanza becomes another (CVE-2022-22784).

use super::*;

fn message(attributes: &str, content: &str) -> String {
    format!("<message {attributes}>{content}</message>")
}

fn usual(content: &str) -> String {
    message(&format!("from='{BOB}' to='{ALICE}'"), content)
}

#[tokio::test]
async fn a_stanza_hidden_in_another_stays_its_text() {
    let smuggled = "</body></message><message from='ceo@contoso.example' to='alice@contoso.example'><body>pay";
    let xml = forwarded(&usual(&format!("<body><![CDATA[{smuggled}]]></body>"))).await;
    assert!(!xml.contains("<message from='ceo") && xml.contains("&lt;message from="), "{xml}");

    let xml = forwarded(&usual("<body a='&quot;&gt;&lt;/message>'>x</body>")).await;
    assert_eq!(xml.matches("</message>").count(), 1, "{xml}");
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_never_pass() {
    let sequences: [&[u8]; 7] = [
        b"\xc0\xaf",         // overlong
        b"\xe0\x80\xaf",     // overlong
        b"\xed\xa0\x80",     // a surrogate
        b"\xf4\x90\x80\x80", // above U+10FFFF
        b"\xff",             // no start of anything
        b"\xe2\x82",         // cut short by the next tag
        b"\x80",             // a continuation of nothing
    ];
    for sequence in sequences {
        let stanza =
            [usual("<body>").trim_end_matches("</message>").as_bytes(), sequence, b"</body></message>"].concat();
        check_authenticated(&stanza, StreamCondition::UnsupportedEncoding).await;
        let early = [b"<a>", sequence, b"</a>"].concat();
        check(&early, StreamCondition::UnsupportedEncoding).await;
    }
}

#[tokio::test]
async fn a_character_split_over_two_reads_is_one_character() {
    let (_world, mut edge, mut stream) = authenticated().await;
    let stanza = usual("<body>\u{1f44b}</body>").into_bytes();
    let middle = stanza.windows(4).position(|bytes| bytes == "\u{1f44b}".as_bytes()).unwrap() + 2;
    stream.send_bytes(&stanza[..middle]).await.unwrap();
    tokio::task::yield_now().await;
    stream.send_bytes(&stanza[middle..]).await.unwrap();
    let batch = edge.batch().await;
    assert!(String::from_utf8_lossy(&batch.stanzas[0].xml).contains("\u{1f44b}"));
}

#[tokio::test]
async fn characters_that_xml_does_not_know_never_pass() {
    for text in ["\u{0}", "\u{1}", "\u{b}", "\u{1f}", "\u{fffe}", "&#0;", "&#x1;", "&#xD800;", "&#x110000;", "&#xFFFE;"]
    {
        check_authenticated(usual(&format!("<body>{text}</body>")), StreamCondition::NotWellFormed).await;
    }
}

#[tokio::test]
async fn a_separator_in_a_namespace_forges_no_name() {
    // Parsers that join namespace and name by a separator were told what the name was (CVE-2022-25236).
    for separator in ["|", " ", "}", "\u{20}message", "#"] {
        let forged = format!("<x:a xmlns:x='jabber:server{separator}message' from='{BOB}' to='{ALICE}'/>");
        check_authenticated(forged, StreamCondition::UnsupportedStanzaType).await;
    }
    let xml = forwarded(&usual("<x:b xmlns:x='urn:a}b{c|d'/>")).await;
    assert!(xml.contains("<b xmlns='urn:a}b{c|d'/>"), "{xml}");
    check_authenticated(usual("<x:b xmlns:x='urn:a\u{c}b'/>"), StreamCondition::NotWellFormed).await;
}

#[tokio::test]
async fn another_encoding_is_not_even_tried() {
    for (bytes, condition) in [
        (&b"\xff\xfe<\0s\0t\0"[..], "unsupported-encoding"),
        (b"\xfe\xff\0<\0s\0t", "unsupported-encoding"),
        (b"\xef\xbb\xbf<stream:stream>", "not-well-formed"),
        (b"<?xml version='1.0' encoding='UTF-7'?><stream:stream>", "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream>", "unsupported-encoding"),
    ] {
        let (_world, edge) = edge().await;
        let mut peer = Peer::connect(&edge).await;
        peer.say(bytes).await;
        let heard = peer.hear("</stream:stream>").await;
        assert!(heard.contains(&format!("<{condition} ")), "{bytes:?}: {heard}");
        assert!(heard.starts_with("<?xml"), "and no byte order mark of ours: {heard}");
    }
}

#[tokio::test]
async fn names_count_and_prefixes_do_not() {
    // Whoever looked at prefixes would take these for what they are not.
    for text in [
        "<stream:features xmlns:stream='urn:x'/>",
        "<stream:error xmlns:stream='urn:x'/>",
        "<db:result xmlns:db='urn:x' from='fabrikam.example' to='contoso.example'>k</db:result>",
        "<starttls xmlns='urn:x'/>",
        "<message xmlns='jabber:client' from='bob@fabrikam.example' to='alice@contoso.example'/>",
    ] {
        check(text, StreamCondition::UnsupportedStanzaType).await;
    }
    // And this for nothing, though it is dialback.
    let (_world, edge) = edge().await;
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    peer.say("<d:result xmlns:d='jabber:server:dialback' from='stranger.example' to='contoso.example'>k</d:result>")
        .await;
    assert!(peer.hear("</db:result>").await.contains("<policy-violation"));
}

#[tokio::test]
async fn a_namespace_that_is_bound_anew_inside_does_not_change_what_the_stanza_is() {
    let xml = forwarded(&usual("<body xmlns='urn:x'><message xmlns='jabber:server'/></body>")).await;
    assert!(xml.starts_with("<message xmlns='jabber:server'") && xml.contains("<body xmlns='urn:x'>"), "{xml}");
    let client = "<message xmlns='jabber:client' from='bob@fabrikam.example' to='alice@contoso.example'/>";
    check_authenticated(client, StreamCondition::InvalidNamespace).await;
}

#[tokio::test]
async fn names_of_the_stream_do_not_stand_within_a_stanza() {
    for inner in ["<stream:stream/>", "<stream:error/>", "<s:features xmlns:s='http://etherx.jabber.org/streams'/>"] {
        check_authenticated(usual(inner), StreamCondition::InvalidXml).await;
    }
    let closed = usual("</stream:stream>").replace("</message>", "");
    check_authenticated(closed, StreamCondition::NotWellFormed).await;
}

#[tokio::test]
async fn of_two_attributes_of_a_name_none_counts_and_of_a_prefixed_one_neither() {
    let twice = message(&format!("from='{BOB}' from='ceo@contoso.example' to='{ALICE}'"), "");
    check_authenticated(twice, StreamCondition::NotWellFormed).await;
    let bound = "xmlns:a='urn:x' xmlns:b='urn:x' a:c='1' b:c='2'";
    check_authenticated(message(&format!("from='{BOB}' to='{ALICE}' {bound}"), ""), StreamCondition::NotWellFormed)
        .await;

    let prefixed =
        format!("x:from='ceo@contoso.example' from='{BOB}' to='{ALICE}' x:to='bob@contoso.example' xmlns:x='urn:x'");
    let xml = forwarded(&message(&prefixed, "<body>x</body>")).await;
    assert!(xml.contains(&format!(" from='{BOB}'")) && xml.contains(&format!(" to='{ALICE}'")), "{xml}");
    assert!(!xml.starts_with("<message xmlns='jabber:server' from='ceo"), "{xml}");
    let only = message(&format!("x:from='{BOB}' to='{ALICE}' xmlns:x='urn:x'"), "");
    check_authenticated(only, StreamCondition::ImproperAddressing).await;
}

#[tokio::test]
async fn addresses_carry_no_line_breaks_and_no_controls() {
    for odd in ["bob&#13;&#10;Via: x", "bob&#10;x", "bob&#9;x", "bob\u{202e}evil", "bob\u{0085}x", "bob\u{7f}"] {
        let stanza = message(&format!("from='{odd}@fabrikam.example' to='{ALICE}'"), "<body>x</body>");
        check_authenticated(stanza, StreamCondition::ImproperAddressing).await;
    }
}

#[tokio::test]
async fn what_operators_read_holds_no_line_of_a_peers_making() {
    let (_world, mut edge) = edge().await;
    for header in [
        HEADER.replace("fabrikam.example", "x&#10;level=ERROR msg=owned"),
        HEADER.replace("fabrikam.example", "\u{202e}elpmaxe.example"),
        HEADER.replace("version='1.0'", "version='1.0' x='&#27;[31m'"),
        HEADER.replace("fabrikam.example", "stranger.example"),
    ] {
        let mut peer = Peer::connect(&edge).await;
        peer.say(&header).await;
        peer.say("<a>&#27;[31m&#10;owned</a><\u{1b}[31m>").await;
        drop(peer);
    }
    let mut verdicts = 0;
    while let Ok(Some(verdict)) =
        tokio::time::timeout(std::time::Duration::from_millis(500), edge.end.verdicts.recv()).await
    {
        for text in [&verdict.cause, &verdict.partner, &verdict.remedy] {
            let is_clean =
                text.chars().all(|letter| !letter.is_control() && !('\u{202a}'..='\u{202e}').contains(&letter));
            assert!(is_clean && !text.contains("owned"), "{text:?}");
        }
        verdicts += 1;
    }
    assert!(verdicts >= 2, "{verdicts} verdicts");
}
