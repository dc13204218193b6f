//! What is left of messages when they have arrived: in the archive of chosen partners, and in logs only where that was
//! said.

use std::sync::Arc;

use causeway_gateway::admin::store::AsyncStore;
use causeway_gateway::store::operator::{ArchiveFilter, ArchivedDirection, ArchivedMessage};
use causeway_gateway::store::sqlite::SqliteStore;
use causeway_tests::peer::until;

use crate::support::{World, message};

const BOB: &str = "bob@fabrikam.example/desk";
const ALICE: &str = "alice@contoso.example";

/// A message each way, until both have arrived.
async fn talk(world: &World) {
    let mut stream = world.stream().await;
    stream.send(&message(BOB, ALICE, "m1", "the merger is on friday")).await.unwrap();
    world.arrives("the merger is on friday").await;
    let client = world.client().await;
    let response = client.message(ALICE, "bob@fabrikam.example", "call-1", "tell nobody").await.unwrap();
    assert_eq!(response.status(), Some(202), "{response:?}");
}

/// What the gateway's store has when there are so many messages.
async fn archived(world: &World, number: usize) -> Vec<ArchivedMessage> {
    let store = AsyncStore::new(Arc::new(SqliteStore::open(world.road.folder().join("gateway.sqlite")).unwrap()));
    let look = async || store.archived(ArchiveFilter::default(), 0, 10).await.ok().filter(|all| all.len() >= number);
    until("the archive", look).await.unwrap()
}

#[tokio::test]
async fn messages_of_a_chosen_partner_are_in_the_archive_and_in_no_log() {
    let choose =
        |config: &str| config.replace("domain = 'fabrikam.example'\n", "domain = 'fabrikam.example'\narchive = true\n");
    let world = World::start_with("archive", choose).await;
    talk(&world).await;
    let mut messages = archived(&world, 2).await;
    messages.sort_by(|one, other| one.body.cmp(&other.body));
    let texts: Vec<_> = messages.iter().map(|message| (message.direction, message.body.as_str())).collect();
    let expected =
        [(ArchivedDirection::Outbound, "tell nobody"), (ArchivedDirection::Inbound, "the merger is on friday")];
    assert_eq!(texts, expected);
    for message in messages {
        assert_eq!((&*message.partner, &*message.local), ("fabrikam.example", ALICE));
        assert_eq!((&*message.remote, message.at_ms > 1_700_000_000_000), ("bob@fabrikam.example", true));
    }
    for log in [world.gateway.log(), world.edge.log()] {
        assert!(!log.contains("friday") && !log.contains("tell nobody"), "{log}");
    }
}

#[tokio::test]
async fn bodies_are_in_the_log_where_the_settings_say_so_and_nobody_is_archived_unasked() {
    let log_bodies = |config: &str| {
        let settings = "[gateway_settings]\nenable_logging_all_message_bodies = true\n";
        config.replace("[gateway_settings]\n", settings)
    };
    let world = World::start_with("bodies", log_bodies).await;
    talk(&world).await;
    for body in ["the merger is on friday", "tell nobody"] {
        world.gateway.logged("the body", |line| line.contains(body)).await.unwrap();
    }
    let log = world.gateway.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("friday")).collect();
    assert!(lines.iter().all(|line| line.contains("causeway::bodies")), "{lines:?}");
    assert!(!world.edge.log().contains("friday"));
    assert_eq!(archived(&world, 0).await, []);
}
