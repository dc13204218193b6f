//! The action table for what the pool sends: a local user who exists and one who does not, whom the gateway cannot tell
//! apart, one who may not reach partners, and targets that are no partners.

use causeway_tests::peer::sip::Message;

use crate::expected::{
    available, composing_to_bob, document, heard, message_to_bob, nothing, notify, presence, service_unavailable,
    subscribe,
};
use crate::support::{ALICE, CARL, Kind, NOBODY, Pair, World};

const TEXT: &str = "Content-Type: text/plain\r\n";

/// What the pool sends to begin a chat in a session.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.22.1\r\ns=-\r\nc=IN IP4 127.0.22.1\r\nt=0 0\r\n\
                     m=message 5060 sip null\r\na=accept-types:text/plain\r\n";

const IS_COMPOSING_TYPE: &str = "Content-Type: application/im-iscomposing+xml\r\n";
const IS_COMPOSING: &str = "<?xml version='1.0'?><isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'>\
                            <state>active</state></isComposing>";

async fn said(pair: &Pair, body: &str) -> Message {
    pair.world.request("MESSAGE", pair.user, &pair.bob, TEXT, body).await
}

async fn invite(pair: &Pair) -> Message {
    let extra =
        format!("Contact: <sip:{};transport=tcp>\r\nContent-Type: application/sdp\r\n", pair.world.pool.address);
    pair.world.request("INVITE", pair.user, &pair.bob, &extra, OFFER).await
}

/// Every type of partner, with a user who exists and one who does not.
fn pairs(world: &std::sync::Arc<World>) -> impl Iterator<Item = Pair> {
    Kind::ALL.into_iter().flat_map(|kind| [ALICE, NOBODY].map(|user| Pair::new(world, kind, user)))
}

// Rule: type.s1, type.held
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_asks_the_contact_once_and_releases_what_he_asked() {
    let world = World::start("policy-s1").await;
    for mut pair in pairs(&world) {
        let ok = world.subscribe(pair.user, &pair.bob, 3600).await;
        assert_eq!(ok.status(), Some(200), "{ok:?}");
        pair.must_hear("S1", &heard(&[notify("pending;expires=*", "")], &[presence("subscribe")])).await;
        world.subscribe(pair.user, &pair.bob, 3600).await;
        pair.must_hear("S1 again", &heard(&[notify("pending;expires=*", "")], &[])).await;
    }
    // The invitation of an unverified partner's user: what he asked before is asked now.
    let mut pair = Pair::new(&world, Kind::PublicUnverified, ALICE);
    pair.presence("subscribe", "").await;
    pair.must_hear("X1 held", &nothing()).await;
    world.subscribe(ALICE, &pair.bob, 3600).await;
    let expected = heard(
        &[notify("pending;expires=*", ""), subscribe(3600)],
        &[presence("subscribe"), presence("subscribed"), available(pair.kind)],
    );
    pair.must_hear("S1 after X1", &expected).await;
    // What was taken back is not asked.
    let mut pair = Pair::new(&world, Kind::PublicUnverified, ALICE);
    pair.presence("subscribe", "").await;
    pair.presence("unsubscribe", "").await;
    world.subscribe(ALICE, &pair.bob, 3600).await;
    let expected = heard(&[notify("pending;expires=*", "")], &[presence("subscribe")]);
    pair.must_hear("S1 after X2", &expected).await;
}

// Rule: type.s2, out.fetch
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_shows_what_may_be_seen_and_adds_nobody() {
    let world = World::start("policy-s2").await;
    for mut pair in pairs(&world) {
        let empty = heard(&[notify("terminated;reason=timeout", "")], &[]);
        let ok = world.subscribe(pair.user, &pair.bob, 0).await;
        assert_eq!(ok.status(), Some(200), "{ok:?}");
        pair.must_hear("S2 not added", &empty).await;
        // Not even his answer is let through because of it.
        if pair.kind == Kind::PublicUnverified {
            pair.message("chat", "<body>hello</body>").await;
            let refused = heard(&[], &[service_unavailable("message", "m1")]);
            pair.must_hear("X8 after S2", &refused).await;
        }
        pair.add().await;
        world.subscribe(pair.user, &pair.bob, 0).await;
        pair.must_hear("S2 added", &empty).await;
        pair.presence("subscribed", "").await;
        pair.presence("", "<status>busy</status>").await;
        pair.hears(2, 0).await;
        world.subscribe(pair.user, &pair.bob, 0).await;
        let seen = heard(&[notify("terminated;reason=timeout", &document("open"))], &[]);
        pair.must_hear("S2 allowed", &seen).await;
    }
}

// Rule: type.s3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_local_user_is_delivered_whatever_the_partner_is() {
    let world = World::start("policy-s3").await;
    for mut pair in pairs(&world) {
        let accepted = said(&pair, "hi").await;
        assert_eq!(accepted.status(), Some(202), "{accepted:?}");
        pair.must_hear("S3", &heard(&[], &[message_to_bob("hi")])).await;
        // She has not added him, and writing to him does not.
        if pair.kind == Kind::PublicUnverified {
            pair.message("chat", "<body>hello</body>").await;
            let refused = heard(&[], &[service_unavailable("message", "m1")]);
            pair.must_hear("X8 after S3", &refused).await;
        }
        let answer = invite(&pair).await;
        assert_eq!(answer.status(), Some(200), "{:?} {answer:?}", pair.kind);
    }
}

// Rule: type.s6, type.s7, sip.privacy
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_and_who_is_no_partner_hear_so_and_nobody_else_does() {
    let world = World::start("policy-s6").await;
    for kind in Kind::ALL {
        let mut pair = Pair::new(&world, kind, CARL);
        let answers = [
            said(&pair, "hi").await,
            world.subscribe(CARL, &pair.bob, 3600).await,
            world.subscribe(CARL, &pair.bob, 0).await,
            invite(&pair).await,
        ];
        assert_eq!(answers.map(|answer| answer.status()), [Some(403); 4], "S6 {kind:?}");
        pair.must_hear("S6", &nothing()).await;
    }
    for user in [ALICE, NOBODY, CARL] {
        let mut pair = Pair::of_a_stranger(&world, user);
        let answers = [
            said(&pair, "hi").await,
            world.subscribe(user, &pair.bob, 3600).await,
            world.subscribe(user, &pair.bob, 0).await,
            invite(&pair).await,
        ];
        assert_eq!(answers.map(|answer| answer.status()), [Some(404); 4], "S7 {user}");
        pair.must_hear("S7", &nothing()).await;
    }
}

// Rule: type.s5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_types_is_seen_to_by_those_who_may_write_to_her() {
    let world = World::start("policy-s5").await;
    for user in [ALICE, NOBODY] {
        for (kind, is_added, is_seen) in [
            (Kind::Federated, false, true),
            (Kind::PublicVerified, false, true),
            (Kind::PublicUnverified, true, true),
            (Kind::PublicUnverified, false, false),
        ] {
            let mut pair = Pair::new(&world, kind, user);
            if is_added {
                pair.add().await;
            }
            pair.message("chat", "<body>hello</body><active xmlns='http://jabber.org/protocol/chatstates'/>").await;
            pair.hears(0, 0).await;
            let status = world.request("MESSAGE", user, &pair.bob, IS_COMPOSING_TYPE, IS_COMPOSING).await;
            assert!(matches!(status.status(), Some(200 | 202)), "{kind:?} {status:?}");
            let expected = if is_seen { heard(&[], &[composing_to_bob()]) } else { nothing() };
            pair.must_hear("S5", &expected).await;
        }
    }
}
