//! Each rung, provoked in both directions: the record says how far it came, whose side it is, and what was said, and
//! nothing secret.

use causeway_shared::link::Outcome;
use causeway_shared::partner::Negotiation::{NotSupported, Optional, Required};
use causeway_shared::partner::NegotiationSettings;
use causeway_shared::verdict::{Direction, Facts, Rung, Side, Verdict};
use causeway_tests::peer::xmpp::Stream;
use tokio::net::TcpListener;

use crate::script::{DIALBACK, EXTERNAL, Line, PROCEED, STARTTLS, Script, response, up_to_tls};
use crate::support::{Certificate, HEADER, Peer, TestEdge, World, outcome, settings};

const LOCAL: &str = "contoso.example";
const REMOTE: &str = "fabrikam.example";

/// What must never be found in a record.
const KEY: &str = "0badc0de0badc0de0badc0de0badc0de0badc0de0badc0de0badc0de0badc0de";
const PAYLOAD: &str = "c29tZWJvZHkgZWxzZSdzIGNyZWRlbnRpYWxz";

fn plaintext() -> NegotiationSettings {
    settings(NotSupported, NotSupported, true)
}

fn strict() -> NegotiationSettings {
    settings(Required, Required, false)
}

async fn contoso(world: &World, negotiation: NegotiationSettings) -> TestEdge {
    world.edge(LOCAL, REMOTE, negotiation, Certificate::Good).await
}

/// Sends a message that is not delivered; the one verdict that results.
async fn sent(edge: &mut TestEdge) -> Verdict {
    let told = outcome(edge.send("alice@contoso.example", "bob@fabrikam.example", "the body of a message")).await;
    let verdict = edge.verdict().await;
    assert!(matches!(told, Outcome::Failed(_)));
    assert!(edge.end.verdicts.try_recv().is_err(), "one verdict, not two");
    check(verdict, Direction::Out)
}

/// The one verdict about a partner's stream.
async fn received(edge: &mut TestEdge) -> Verdict {
    let verdict = edge.verdict().await;
    tokio::task::yield_now().await;
    assert!(edge.end.verdicts.try_recv().is_err(), "one verdict, not two");
    check(verdict, Direction::In)
}

/// What every record has.
fn check(verdict: Verdict, direction: Direction) -> Verdict {
    assert_eq!(verdict.direction, direction, "{verdict:?}");
    assert!(verdict.at_ms > 0 && !verdict.cause.is_empty(), "{verdict:?}");
    assert!(verdict.remedy.len() > 20 && verdict.remedy.ends_with('.'), "{verdict:?}");
    let everything = format!("{verdict:?}");
    for secret in [KEY, PAYLOAD, "the body of a message", "the secret of"] {
        assert!(!everything.contains(secret), "{everything}");
    }
    verdict
}

fn facts(verdict: &Verdict) -> &Facts {
    verdict.facts.as_deref().unwrap()
}

fn says(verdict: &Verdict, text: &str) -> bool {
    facts(verdict).transcript.iter().any(|line| line.contains(text))
}

#[tokio::test]
async fn a_domain_without_servers_fails_to_resolve() {
    let mut edge = contoso(&World::new(), strict()).await;
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side, verdict.peer), (Rung::Resolve, Side::Theirs, None));
    assert_eq!((verdict.partner.as_str(), facts(&verdict).is_partner), (REMOTE, true));
    assert_eq!((facts(&verdict).domain.as_str(), facts(&verdict).local.as_str()), (REMOTE, LOCAL));
}

#[tokio::test]
async fn a_closed_port_fails_to_connect() {
    let mut edge = contoso(&World::new(), strict()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    edge.publish(REMOTE, closed);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side, verdict.peer), (Rung::Connect, Side::Network, Some(closed)));
    assert!(verdict.cause.contains("xmpp.fabrikam.example"), "{verdict:?}");
}

#[tokio::test]
async fn garbage_instead_of_tls_fails_at_tls_on_both_sides() {
    let mut edge = contoso(&World::new(), strict()).await;
    let part = vec![
        Line::Hear("version='1.0'"),
        response(STARTTLS),
        Line::Hear("<starttls"),
        Line::Say(PROCEED.to_owned()),
        Line::Hear("\u{16}"),
        Line::Say("this is no ServerHello, whatever else it may be".to_owned()),
    ];
    let script = Script::play(part).await;
    edge.publish(REMOTE, script.address);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side, verdict.peer), (Rung::Tls, Side::Theirs, Some(script.address)));
    assert_eq!(facts(&verdict).target, format!("xmpp.fabrikam.example:{}", script.address.port()));
    assert!(says(&verdict, "received features: starttls (required)"), "{verdict:?}");
    assert!(says(&verdict, "sent <starttls/>") && says(&verdict, "received <proceed/>"), "{verdict:?}");

    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    peer.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    peer.hear("<proceed").await;
    peer.say("this is no ClientHello, whatever else it may be").await;
    let verdict = received(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Tls, Side::Theirs));
    assert!(says(&verdict, "received <starttls/>") && says(&verdict, "TLS failed"), "{verdict:?}");
    assert_eq!(facts(&verdict).local, LOCAL);
    assert!(!facts(&verdict).stream_id.is_empty());
}

const CERTIFICATES: [(Certificate, Rung); 4] = [
    (Certificate::SelfSigned, Rung::Chain),
    (Certificate::Expired, Rung::Chain),
    (Certificate::OtherName, Rung::Name),
    (Certificate::ClientOnly, Rung::KeyUsage),
];

#[tokio::test]
async fn a_certificate_fails_at_its_rung_with_all_that_it_says() {
    for (flaw, rung) in CERTIFICATES {
        let world = World::new();
        let mut edge = contoso(&world, strict()).await;
        let mut part = up_to_tls(&world.server(REMOTE, flaw));
        part.push(response(EXTERNAL));
        edge.publish(REMOTE, Script::play(part).await.address);
        let verdict = sent(&mut edge).await;
        assert_eq!((verdict.rung, verdict.side), (rung, Side::Theirs), "{flaw:?}: {verdict:?}");
        let tls = facts(&verdict).tls.as_ref().unwrap();
        assert!(tls.version.starts_with("TLSv1") && tls.cipher.contains("AES") || tls.cipher.contains("CHACHA"));
        let certificate = facts(&verdict).certificate.as_ref().unwrap();
        let name = if flaw == Certificate::OtherName { "DNS:other.example" } else { "DNS:fabrikam.example" };
        assert_eq!(certificate.names, [name]);
        assert_eq!(certificate.key, "ECDSA");
        assert!(certificate.sha256 != [0; 32] && certificate.key_sha256 != [0; 32]);
        let is_client_only = certificate.extended_key_usage.as_deref() == Some(&["clientAuth".to_owned()]);
        assert_eq!(is_client_only, flaw == Certificate::ClientOnly);
        assert!(says(&verdict, "mechanisms EXTERNAL"), "{verdict:?}");

        let mut edge = contoso(&world, strict()).await;
        let client = world.client(REMOTE, flaw);
        let (mut stream, _) = Stream::secured(None, edge.address, REMOTE, LOCAL, &client).await.unwrap();
        stream.rest().await;
        let verdict = received(&mut edge).await;
        assert_eq!((verdict.rung, verdict.side), (rung, Side::Theirs), "{flaw:?}: {verdict:?}");
        assert_eq!(facts(&verdict).certificate.as_ref().unwrap().names, [name]);
        assert!(says(&verdict, "sent a stream error: policy-violation"), "{verdict:?}");
    }
}

#[tokio::test]
async fn without_a_common_mechanism_the_record_shows_what_was_offered() {
    let world = World::new();
    let mut edge = contoso(&world, strict()).await;
    let mut part = up_to_tls(&world.server(REMOTE, Certificate::Good));
    let plain = EXTERNAL.replace("EXTERNAL", "PLAIN");
    part.push(response(&plain));
    edge.publish(REMOTE, Script::play(part).await.address);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Mechanisms, Side::Operator));
    assert!(says(&verdict, "received features: mechanisms PLAIN"), "{verdict:?}");
}

#[tokio::test]
async fn a_refused_certificate_of_ours_is_for_our_operator() {
    let world = World::new();
    let mut edge = contoso(&world, strict()).await;
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>".to_owned();
    let mut part = up_to_tls(&world.server(REMOTE, Certificate::Good));
    part.extend([response(EXTERNAL), Line::Hear("<auth"), Line::Say(failure)]);
    edge.publish(REMOTE, Script::play(part).await.address);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Sasl, Side::Operator));
    assert!(says(&verdict, "sent <auth/> mechanism=EXTERNAL (payload elided)"), "{verdict:?}");
    assert!(says(&verdict, "received a SASL failure: not-authorized"), "{verdict:?}");
}

#[tokio::test]
async fn external_that_is_refused_is_told_although_dialback_helps() {
    let world = World::new();
    let mut edge = contoso(&world, settings(Required, Optional, true)).await;
    let both = EXTERNAL.replace("</stream:features>", &DIALBACK.replace("<stream:features>", ""));
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>".to_owned();
    let valid = format!("<db:result from='{REMOTE}' to='{LOCAL}' type='valid'/>");
    let mut part = up_to_tls(&world.server(REMOTE, Certificate::Good));
    part.extend([
        response(&both),
        Line::Hear("<auth"),
        Line::Say(failure),
        Line::Hear("</db:result>"),
        Line::Say(valid),
    ]);
    edge.publish(REMOTE, Script::play(part).await.address);
    let told = edge.send("alice@contoso.example", "bob@fabrikam.example", "the body of a message");
    assert_eq!(outcome(told).await, Outcome::Done);
    let verdict = check(edge.verdict().await, Direction::Out);
    assert_eq!((verdict.rung, verdict.side), (Rung::Sasl, Side::Operator));
    assert!(edge.end.verdicts.try_recv().is_err(), "one verdict, not two");
}

#[tokio::test]
async fn external_for_another_domain_fails_at_sasl_without_its_payload() {
    let world = World::new();
    let mut edge = contoso(&world, strict()).await;
    let client = world.client(REMOTE, Certificate::Good);
    let (mut stream, _) = Stream::secured(None, edge.address, REMOTE, LOCAL, &client).await.unwrap();
    let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{PAYLOAD}</auth>");
    stream.send(&auth).await.unwrap();
    stream.rest().await;
    let verdict = received(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Sasl, Side::Theirs));
    assert!(says(&verdict, "received <auth/> mechanism=EXTERNAL (payload elided)"), "{verdict:?}");
}

#[tokio::test]
async fn a_wrong_dialback_key_fails_at_dialback_and_is_nowhere_in_the_record() {
    let mut edge = contoso(&World::new(), plaintext()).await;
    let invalid = "<db:result from='fabrikam.example' to='contoso.example' type='invalid'/>".to_owned();
    let part = vec![Line::Hear("version='1.0'"), response(DIALBACK), Line::Hear("</db:result>"), Line::Say(invalid)];
    let script = Script::play(part).await;
    edge.publish(REMOTE, script.address);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Dialback, Side::Operator));
    let heard = script.heard();
    let (_, offer) = heard.split_once("<db:result").unwrap();
    let key = offer.split(['>', '<']).nth(1).unwrap();
    assert_eq!(key.len(), 64, "{heard}");
    assert!(!format!("{verdict:?}").contains(key), "{verdict:?}");
    assert!(says(&verdict, "sent <db:result/> from=contoso.example to=fabrikam.example (key elided)"), "{verdict:?}");
    assert!(says(&verdict, "type=invalid"), "{verdict:?}");
}

#[tokio::test]
async fn a_key_that_the_authoritative_server_does_not_know_fails_at_dialback() {
    let mut edge = contoso(&World::new(), plaintext()).await;
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    let header = peer.hear("</stream:features>").await;
    let id = header.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let part = vec![
        Line::Hear("version='1.0'"),
        response(DIALBACK),
        Line::Hear("</db:verify>"),
        Line::Say(format!("<db:verify from='{REMOTE}' to='{LOCAL}' id='{id}' type='invalid'/>")),
    ];
    edge.publish(REMOTE, Script::play(part).await.address);
    peer.say(format!("<db:result from='{REMOTE}' to='{LOCAL}'>{KEY}</db:result>")).await;
    peer.hear("type='invalid'").await;
    let verdict = received(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Dialback, Side::Theirs));
    assert!(says(&verdict, "(key elided)"), "{verdict:?}");
}

#[tokio::test]
async fn a_return_leg_that_ends_early_is_one_record_about_the_partners_stream() {
    let mut edge = contoso(&World::new(), plaintext()).await;
    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    peer.say(format!("<db:result from='{REMOTE}' to='{LOCAL}'>{KEY}</db:result>")).await;
    peer.hear("type='error'").await;
    peer.say("</stream:stream>").await;
    peer.hear_all().await;
    let verdict = received(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Dialback, Side::Theirs));
    assert!(verdict.cause.contains("on the way back to the partner, at resolve"), "{verdict:?}");
    assert_eq!((facts(&verdict).domain.as_str(), facts(&verdict).local.as_str()), (REMOTE, LOCAL));
}

#[tokio::test]
async fn what_policy_forbids_is_for_our_operator() {
    let mut edge = contoso(&World::new(), plaintext()).await;
    let told = edge.send("alice@contoso.example", "eve@stranger.example", "the body of a message");
    assert!(matches!(outcome(told).await, Outcome::Failed(_)));
    let verdict = check(edge.verdict().await, Direction::Out);
    assert_eq!((verdict.rung, verdict.side), (Rung::Policy, Side::Operator));
    assert_eq!((verdict.partner.as_str(), facts(&verdict).is_partner), ("stranger.example", false));

    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER.replace("from='fabrikam.example'", "")).await;
    peer.hear("</stream:features>").await;
    peer.say(format!("<db:result from='stranger.example' to='{LOCAL}'>{KEY}</db:result>")).await;
    peer.hear("policy-violation").await;
    let verdict = received(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Policy, Side::Operator));
    assert_eq!((verdict.partner.as_str(), facts(&verdict).is_partner), ("stranger.example", false));
}

#[tokio::test]
async fn limits_have_a_rung_in_both_directions() {
    let world = World::new();
    let mut edge = contoso(&world, strict()).await;
    edge.apply(|policy| policy.partners[0].connection_limit = 1).await;
    let client = world.client(REMOTE, Certificate::Good);
    let _first = Stream::establish(None, edge.address, REMOTE, LOCAL, &client).await.unwrap();
    let (mut second, _) = Stream::secured(None, edge.address, REMOTE, LOCAL, &client).await.unwrap();
    second.external().await.unwrap();
    second.rest().await;
    let verdict = received(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Limits, Side::Operator));
    edge.publish(REMOTE, edge.address);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Limits, Side::Operator));
}

#[tokio::test]
async fn a_stream_error_and_a_server_that_hangs_up_are_of_the_stream() {
    let mut edge = contoso(&World::new(), plaintext()).await;
    let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>go away</text></stream:error></stream:stream>";
    let script = Script::play(vec![Line::Hear("version='1.0'"), response(error)]).await;
    edge.publish(REMOTE, script.address);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Stream, Side::Theirs));
    assert!(says(&verdict, "received a stream error: conflict (go away)"), "{verdict:?}");
    assert_eq!(facts(&verdict).stream_id, "script");

    let mut peer = Peer::connect(&edge).await;
    peer.say(HEADER).await;
    peer.hear("</stream:features>").await;
    drop(peer);
    let verdict = received(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Stream, Side::Theirs));
    assert!(verdict.cause.contains("hung up"), "{verdict:?}");
}

#[tokio::test]
async fn a_server_that_hangs_up_on_us_is_of_the_stream() {
    let mut edge = contoso(&World::new(), plaintext()).await;
    let script = Script::play(vec![Line::Hear("version='1.0'"), response(""), Line::HangUp]).await;
    edge.publish(REMOTE, script.address);
    let verdict = sent(&mut edge).await;
    assert_eq!((verdict.rung, verdict.side), (Rung::Stream, Side::Theirs));
    assert!(says(&verdict, "the connection ended"), "{verdict:?}");
}

#[tokio::test]
async fn a_flood_is_counted_in_one_record() {
    let mut edge = contoso(&World::new(), settings(Optional, Optional, true)).await;
    for _ in 0..5 {
        let mut peer = Peer::connect(&edge).await;
        peer.say(HEADER.replace("to='contoso.example'", "to='nowhere.example'")).await;
        peer.hear_all().await;
        edge.verdict().await;
    }
    let kept = edge.edge.link.verdicts().latest(Some(REMOTE));
    assert_eq!(kept.iter().map(|kept| kept.count).collect::<Vec<_>>(), [5]);
    assert_eq!(kept[0].verdict.rung, Rung::Policy);
}
