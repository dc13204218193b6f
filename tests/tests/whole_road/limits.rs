//! What operators do with limits, and what the edge does at its own: a reload, a shutdown with things undone, and too few
//! file descriptors.

use std::process::Command;
use std::time::{Duration, Instant};

use causeway_tests::peer::process::Process;
use causeway_tests::peer::until;
use causeway_tests::peer::xmpp::Stream;

use crate::support::{FABRIKAM, LOCAL, World, message};

const BOB: &str = "bob@fabrikam.example/desk";
const ALICE: &str = "alice@contoso.example";

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}

fn terminate(process: &Process) {
    run("kill", &["-TERM", &process.pid().to_string()]);
}

#[tokio::test]
async fn what_no_gateway_has_taken_at_the_end_of_a_drain_comes_back_to_its_sender() {
    let mut world = World::start("drain").await;
    let mut stream = world.stream().await;
    world.pass(&mut stream).await;
    world.gateway.kill().unwrap();
    until("the edge misses the gateway", async || {
        let ready = causeway_tests::peer::http::get(world.road.plan.edge_http, "/readyz").await;
        ready.ok().filter(|(status, _)| *status != 200).map(|_| ())
    })
    .await
    .unwrap();
    stream.send(&message(BOB, ALICE, "undone", "undone")).await.unwrap();
    // Behind it in the stream: the edge has both.
    stream.send("<unknown/>").await.unwrap();
    assert!(stream.rest().await.contains("unsupported-stanza-type"));

    terminate(&world.edge);
    let is_bounce = |stanza: &String| stanza.contains("type='error'") && stanza.contains("undone");
    world.fabrikam.stanzas.wait("the bounce", is_bounce).await.unwrap();
    until("the edge ends", async || (!world.edge.is_running()).then_some(())).await.unwrap();
    assert_eq!(world.fabrikam.stanzas.matching(is_bounce).len(), 1);
}

#[tokio::test]
async fn a_drain_ends_streams_with_system_shutdown_and_takes_no_more() {
    let mut world = World::start("drain-streams").await;
    let mut stream = world.stream().await;
    world.pass(&mut stream).await;
    let started = Instant::now();
    terminate(&world.edge);
    assert!(stream.rest().await.contains("system-shutdown"));
    // The listener and the stream hear of it at the same time, each in its own task.
    until("nobody is let in", async || Stream::connect(None, world.edge_address()).await.err()).await.unwrap();
    until("the edge ends", async || (!world.edge.is_running()).then_some(())).await.unwrap();
    // With nothing undone it takes no longer than that.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_limit_in_the_file_takes_effect_without_a_restart_and_ends_no_stream() {
    let world = World::start("reload-limits").await;
    let mut old = world.stream().await;
    let path = world.road.edge_config();
    let config = std::fs::read_to_string(&path).unwrap().replace("[limits]", "[limits]\nstanza_bytes = 10000");
    std::fs::write(&path, config).unwrap();
    let large = "x".repeat(20_000);
    until("the new limit holds", async || {
        let mut stream = Stream::establish(None, world.edge_address(), FABRIKAM, LOCAL, world.tls()).await.ok()?;
        stream.send(&message(BOB, ALICE, "large", &large)).await.ok()?;
        // A stream under the old limit says nothing about it.
        stream.send("<unknown/>").await.ok()?;
        stream.rest().await.contains("policy-violation").then_some(())
    })
    .await
    .unwrap();
    world.pass(&mut old).await;
}

#[tokio::test]
async fn without_file_descriptors_the_edge_waits_instead_of_spinning_and_recovers() {
    let world = World::start("descriptors").await;
    let pid = world.edge.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let few = format!("--nofile={}:", open + 4);
    run("prlimit", &["--pid", &pid, &few]);
    let mut connections = Vec::new();
    for _ in 0..20 {
        // The kernel takes them, whether the edge does or not.
        connections.push(Stream::connect(None, world.edge_address()).await.unwrap());
    }
    world.edge.logged("that it cannot accept", |line| line.contains("cannot accept")).await.unwrap();
    let before = world.edge.cpu().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = world.edge.cpu().unwrap() - before;
    assert!(used < Duration::from_millis(500), "{used:?} of a processor in two seconds");
    let warnings = world.edge.log().lines().filter(|line| line.contains("cannot accept")).count();
    assert!(warnings < 10, "{warnings} lines in the log");

    drop(connections);
    run("prlimit", &["--pid", &pid, "--nofile=1024:"]);
    world.good_message_passes().await;
}
