//! XML that is malformed, oversized, deep, forbidden or early (RFC 6120, sections 4.9, 5.4, 8.1 and 11).

use causeway_tests::peer::until;
use causeway_tests::peer::xml::Piece;
use causeway_tests::peer::xmpp::Stream;

use crate::support::{FABRIKAM, LOCAL, World, message};

const BOB: &str = "bob@fabrikam.example";
const ALICE: &str = "alice@contoso.example";

/// More than any stanza may be.
const OVERSIZE: usize = 300_000;

/// More than may be said before authentication.
const EARLY_OVERSIZE: usize = 12_000;

/// More than may be open at once.
const DEEP: usize = 80;

#[tokio::test]
async fn what_breaks_the_rules_of_streams_ends_the_stream_with_its_condition() {
    let world = World::start("hostile").await;
    let padded = |body: &str| message(BOB, ALICE, "x", body);
    let deep = format!("{}{}", "<a>".repeat(DEEP), "</a>".repeat(DEEP));
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("mismatched tags", padded("</x>").into(), &["not-well-formed"]),
        ("an undeclared prefix", padded("<x:y/>").into(), &["not-well-formed"]),
        ("a control character", padded("\u{1}").into(), &["not-well-formed"]),
        (
            "not UTF-8",
            [&b"<message>"[..], b"\xff\xfe</message>"].concat(),
            &["not-well-formed", "unsupported-encoding"],
        ),
        (
            "overlong UTF-8",
            [&b"<message>\xc0\xaf"[..], b"</message>"].concat(),
            &["not-well-formed", "unsupported-encoding"],
        ),
        ("too large a stanza", padded(&"x".repeat(OVERSIZE)).into(), &["policy-violation"]),
        ("too deep a stanza", padded(&deep).into(), &["policy-violation"]),
        ("a comment", padded("<!-- -->").into(), &["restricted-xml"]),
        ("a processing instruction", padded("<?php ?>").into(), &["restricted-xml"]),
        ("a DTD", b"<!DOCTYPE x [<!ENTITY a 'b'>]>".to_vec(), &["restricted-xml", "not-well-formed"]),
        ("a foreign entity", padded("&nbsp;").into(), &["restricted-xml", "not-well-formed"]),
        ("a foreign sender", message("bob@wingtip.example", ALICE, "x", "x").into(), &["invalid-from"]),
        ("a foreign recipient", message(BOB, "a@elsewhere.example", "x", "x").into(), &["host-unknown"]),
        ("no recipient", b"<message from='bob@fabrikam.example'/>".to_vec(), &["improper-addressing"]),
        (
            "an unknown stanza",
            b"<greeting from='bob@fabrikam.example' to='alice@contoso.example'/>".to_vec(),
            &["unsupported-stanza-type"],
        ),
        (
            "compression",
            b"<compress xmlns='http://jabber.org/protocol/compress'/>".to_vec(),
            &["unsupported-stanza-type"],
        ),
    ];
    for (what, bytes, conditions) in cases {
        let before = world.all_edge_verdicts().await;
        let mut stream = world.stream().await;
        // The edge may close before it has read everything.
        let _closed_early = stream.send_bytes(&bytes).await;
        let rest = stream.rest().await;
        assert!(conditions.iter().any(|condition| rest.contains(&format!("<{condition}"))), "{what}: {rest}");
        assert!(rest.ends_with("</stream:stream>"), "{what}: {rest}");
        until(&format!("a verdict about {what}"), async || (world.all_edge_verdicts().await > before).then_some(()))
            .await
            .unwrap();
    }
    world.good_message_passes().await;
    // None of it reached the pool.
    assert_eq!(world.pool.requests.all().len(), 1);
}

#[tokio::test]
async fn nothing_is_processed_before_authentication() {
    let world = World::start("early").await;
    let stanza = message(BOB, ALICE, "early", "early");

    let before = world.edge_verdicts("stream").await;
    let mut plain = Stream::connect(None, world.edge_address()).await.unwrap();
    plain.open(FABRIKAM, LOCAL).await.unwrap();
    plain.send(&stanza).await.unwrap();
    let rest = plain.rest().await;
    assert!(rest.contains("<not-authorized"), "{rest}");
    world.edge_verdict_after("stream", before).await;

    let (mut secured, _) = Stream::secured(None, world.edge_address(), FABRIKAM, LOCAL, world.tls()).await.unwrap();
    secured.send(&stanza).await.unwrap();
    let rest = secured.rest().await;
    assert!(rest.contains("<not-authorized"), "{rest}");

    let mut large = Stream::connect(None, world.edge_address()).await.unwrap();
    large.open(FABRIKAM, LOCAL).await.unwrap();
    let _closed_early = large.send(&format!("<auth>{}", "x".repeat(EARLY_OVERSIZE))).await;
    let rest = large.rest().await;
    assert!(rest.contains("<policy-violation"), "{rest}");

    world.good_message_passes().await;
    assert!(world.pool.requests.matching(|request| request.body == "early").is_empty());
}

#[tokio::test]
async fn plaintext_behind_starttls_is_never_executed() {
    let world = World::start("injected").await;
    let mut stream = Stream::connect(None, world.edge_address()).await.unwrap();
    stream.open(FABRIKAM, LOCAL).await.unwrap();
    let stanza = message(BOB, ALICE, "injected", "injected");
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    stream.send(&format!("{starttls}{stanza}")).await.unwrap();
    let rest = stream.rest().await;
    assert!(!rest.contains("<proceed"), "{rest}");
    world.good_message_passes().await;
    assert!(world.pool.requests.matching(|request| request.body == "injected").is_empty());
}

#[tokio::test]
async fn a_header_that_cannot_be_served_is_answered_with_a_header_and_the_reason() {
    let world = World::start("headers").await;
    for (from, to, condition) in [
        (FABRIKAM, "elsewhere.example", "<host-unknown"),
        (LOCAL, LOCAL, "<invalid-from"),
        ("bob@fabrikam.example", LOCAL, "<improper-addressing"),
    ] {
        let mut stream = Stream::connect(None, world.edge_address()).await.unwrap();
        let opened = stream.open(from, to).await.unwrap();
        assert!(opened.features.contains(condition), "{from} to {to}: {}", opened.features);
    }
    for (header, condition) in [
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='fabrikam.example' to='contoso.example' version='1.0'>",
            "<invalid-namespace",
        ),
        (
            "<stream:stream xmlns='jabber:server' xmlns:stream='urn:elsewhere' from='fabrikam.example' to='contoso.example' version='1.0'>",
            "<invalid-namespace",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "<not-well-formed"),
    ] {
        let mut stream = Stream::connect(None, world.edge_address()).await.unwrap();
        stream.send(header).await.unwrap();
        let rest = stream.rest().await;
        assert!(rest.contains(condition) || rest.contains("<bad-format"), "{header}: {rest}");
    }
    world.good_message_passes().await;
}

#[tokio::test]
async fn a_domain_that_is_no_partner_is_refused_with_its_verdict() {
    let world = World::start("stranger").await;
    let own = world.road.authority.issue(&["stranger.example"]).unwrap();
    let config = causeway_tests::peer::tls::client(&world.road.authority, Some(&own)).unwrap();
    let before = world.edge_verdicts("policy").await;
    let mut stream = Stream::connect(None, world.edge_address()).await.unwrap();
    let mut text = stream.open("stranger.example", LOCAL).await.unwrap().features;
    if text.contains("starttls") {
        stream.start_tls(config, LOCAL).await.unwrap();
        text = stream.open("stranger.example", LOCAL).await.unwrap().features;
    }
    assert!(text.contains("<policy-violation"), "{text}");
    assert_eq!(stream.next().await.ok(), Some(Piece::Close));
    world.edge_verdict_after("policy", before).await;
    world.good_message_passes().await;
}
