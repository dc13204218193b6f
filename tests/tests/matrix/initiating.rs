//! The edge connects, for a message from SIP, to peers that offer what they can, and some things that they should not.

use std::net::SocketAddr;
use std::sync::Arc;

use causeway_tests::peer::sip::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::document;
use crate::oracle::{self, External};
use crate::world::{LOCAL, World, cells};

/// Messages at once.
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_valid_row_initiates_to_every_peer_as_the_table_says() {
    let externals = &[External::None, External::Works, External::FailsAndStays, External::FailsAndCloses];
    let cells = cells(externals);
    let world = Arc::new(World::start("matrix-out", &cells).await);
    let from = SocketAddr::new(world.road.plan.pool.ip(), 0);
    let client = Client::connect(from, world.road.plan.sip).await.unwrap();
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut messages = JoinSet::new();
    for cell in cells {
        let (client, gate) = (Arc::clone(&client), Arc::clone(&gate));
        messages.spawn(async move {
            let _turn = gate.acquire().await;
            let to = format!("bob@{}", cell.domain);
            let answer = client.message(&format!("alice@{LOCAL}"), &to, &cell.domain, "hi").await;
            (cell, answer)
        });
    }
    let mut answered = messages.join_all().await;
    answered.sort_by(|(a, _), (b, _)| a.domain.cmp(&b.domain));
    let mut proved = Vec::new();
    for (cell, answer) in &answered {
        let answer = answer.as_ref().unwrap_or_else(|error| panic!("{}: {error}", cell.domain));
        if answer.status().is_some_and(|status| status < 300) {
            proved.push(cell.domain.as_str());
        }
    }
    let methods = world.methods("out", &proved).await;
    let mut found = Vec::new();
    for (cell, _) in &answered {
        let mut steps = world.server.seen(&cell.domain);
        let method = methods.get(&cell.domain).copied();
        assert_eq!(method.is_some(), proved.contains(&cell.domain.as_str()), "{}: the sender was told", cell.domain);
        steps.push(method.unwrap_or("gives up"));
        let mut expected = oracle::initiating(cell.row, cell.peer);
        if let Some(again) = expected.iter().position(|step| step == "connects again") {
            // The key that is offered to a peer while it hangs up is heard by nobody.
            expected.remove(again - 1);
        }
        assert_eq!(steps, expected, "{}", cell.domain);
        if matches!(cell.peer.external, External::None | External::Works) {
            found.push((cell.row.number, cell.peer, method));
        }
    }
    document::check("scripted peers are connected to", &found);
}
