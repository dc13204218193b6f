//! Who somebody is: certificates that name another, have ended or vouch for themselves; dialback keys that are wrong.

use causeway_tests::peer::pki::Form;
use causeway_tests::peer::xmpp::Stream;
use causeway_tests::peer::{dialback, tls};

use crate::support::{FABRIKAM, LOCAL, WINGTIP, WINGTIP_SECRET, World, message};

#[tokio::test]
async fn a_certificate_that_does_not_speak_for_the_domain_is_refused_with_the_reason() {
    let world = World::start("certificates").await;
    for (form, names, rung) in [
        (Form::Usual, ["somebody.example"], "name"),
        (Form::Expired, [FABRIKAM], "chain"),
        (Form::SelfSigned, [FABRIKAM], "chain"),
    ] {
        let own = world.road.authority.issue_as(form, &names).unwrap();
        let config = tls::client(&world.road.authority, Some(&own)).unwrap();
        let before = world.edge_verdicts(rung).await;
        let (mut stream, opened) = Stream::secured(None, world.edge_address(), FABRIKAM, LOCAL, &config).await.unwrap();
        assert!(!opened.features.contains("EXTERNAL"), "{form:?}: {}", opened.features);
        let text = opened.features + &stream.rest().await;
        assert!(text.contains("<policy-violation"), "{form:?}: {text}");
        world.edge_verdict_after(rung, before).await;
    }
    world.good_message_passes().await;
}

#[tokio::test]
async fn certificates_as_public_authorities_issue_them_are_accepted() {
    let world = World::start("accepted").await;
    for form in [Form::ServerOnly, Form::SrvName] {
        let own = world.road.authority.issue_as(form, &[FABRIKAM]).unwrap();
        let config = tls::client(&world.road.authority, Some(&own)).unwrap();
        let mut stream = Stream::establish(None, world.edge_address(), FABRIKAM, LOCAL, &config).await.unwrap();
        world.pass(&mut stream).await;
    }
}

#[tokio::test]
async fn a_wrong_dialback_key_is_invalid_and_a_right_one_is_valid() {
    let world = World::start("dialback").await;
    // Without a certificate, so that only the key can prove anything.
    let config = tls::client(&world.road.authority, None).unwrap();
    let secured = || Stream::secured(None, world.edge_address(), WINGTIP, LOCAL, &config);

    let before = world.edge_verdicts("dialback").await;
    let (mut stream, opened) = secured().await.unwrap();
    let wrong = dialback::key("another secret", LOCAL, WINGTIP, &opened.id());
    let answer = stream.offer_key(WINGTIP, LOCAL, &wrong).await.unwrap();
    assert!(answer.contains("type='invalid'"), "{answer}");
    world.edge_verdict_after("dialback", before).await;

    let (mut stream, opened) = secured().await.unwrap();
    let right = dialback::key(WINGTIP_SECRET, LOCAL, WINGTIP, &opened.id());
    let answer = stream.offer_key(WINGTIP, LOCAL, &right).await.unwrap();
    assert!(answer.contains("type='valid'"), "{answer}");
    let text = world.text();
    stream.send(&message("eve@wingtip.example", "alice@contoso.example", "d1", &text)).await.unwrap();
    world.arrives(&text).await;
    world.good_message_passes().await;
}

#[tokio::test]
async fn dialback_is_not_for_a_partner_whose_certificate_is_required() {
    let world = World::start("required").await;
    let config = tls::client(&world.road.authority, None).unwrap();
    let (mut stream, opened) = Stream::secured(None, world.edge_address(), FABRIKAM, LOCAL, &config).await.unwrap();
    let text = opened.features + &stream.rest().await;
    assert!(!text.contains("urn:xmpp:features:dialback"), "{text}");
    assert!(text.contains("<policy-violation"), "{text}");
    world.good_message_passes().await;
}
