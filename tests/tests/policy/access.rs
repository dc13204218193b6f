//! A local user loses the right to reach partners while everything runs, and gets it back.

use crate::expected::{available, heard, message, notify, presence, service_unavailable, subscribe, unavailable};
use crate::support::{ALICE, CARL, Kind, Pair, World};

// Rule: access.change
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_ends_when_access_does_and_goes_on_when_it_is_back() {
    let world = World::start("policy-access").await;
    for kind in Kind::ALL {
        let mut pair = Pair::new(&world, kind, ALICE);
        pair.add().await;
        pair.presence("subscribed", "").await;
        pair.presence("", "<status>busy</status>").await;
        pair.presence("subscribe", "").await;
        pair.hears(3, 2).await;

        world.bar(&[CARL, ALICE]);
        let ended = [subscribe(0), notify("terminated;reason=rejected", "")];
        pair.must_hear("access lost", &heard(&ended, &[unavailable()])).await;
        pair.message("chat", "<body>hello</body>").await;
        pair.must_hear("X15", &heard(&[], &[service_unavailable("message", "m1")])).await;
        pair.presence("probe", "").await;
        pair.must_hear("X15", &heard(&[], &[presence("unsubscribed")])).await;
        assert_eq!(world.subscribe(ALICE, &pair.bob, 3600).await.status(), Some(403));

        world.bar(&[CARL]);
        pair.must_hear("access back", &heard(&[subscribe(3600)], &[available(kind)])).await;
        pair.message("chat", "<body>hello</body>").await;
        pair.must_hear("X8", &heard(&[message("hello")], &[])).await;
        // She was not forgotten either: nobody asks bob again.
        assert_eq!(world.subscribe(ALICE, &pair.bob, 3600).await.status(), Some(200));
        pair.must_hear("S1", &heard(&[notify("active;expires=*", "")], &[presence("probe")])).await;
        pair.presence("unsubscribe", "").await;
        pair.hears(1, 2).await;
    }
}

// Rule: type.change
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_of_another_type_has_what_that_type_gives_from_then_on() {
    let world = World::start("policy-type").await;
    let authorised = async |is_added: bool| {
        let mut pair = Pair::new(&world, Kind::Federated, ALICE);
        if is_added {
            pair.add().await;
        }
        pair.presence("subscribe", "").await;
        let seen = heard(&[subscribe(3600)], &[presence("subscribed"), available(Kind::Federated)]);
        pair.must_hear("X1", &seen).await;
        pair
    };
    let (mut added, mut stranger) = (authorised(true).await, authorised(false).await);

    world.retype("fabrikam.example", "PublicUnverified");
    stranger.must_hear("stricter", &heard(&[subscribe(0)], &[unavailable(), presence("unsubscribed")])).await;
    // Her note is taken back.
    added.must_hear("stricter", &heard(&[], &[available(Kind::PublicUnverified)])).await;
    stranger.presence("subscribe", "").await;
    stranger.message("chat", "<body>hello</body>").await;
    stranger.must_hear("X8", &heard(&[], &[service_unavailable("message", "m1")])).await;
    added.message("chat", "<body>hello</body>").await;
    added.must_hear("X8", &heard(&[message("hello")], &[])).await;

    world.retype("fabrikam.example", "Federated");
    let released = heard(&[subscribe(3600)], &[presence("subscribed"), available(Kind::Federated)]);
    stranger.must_hear("laxer", &released).await;
}
