//! One fault after the other under a running load, and a row of the table for each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::faults::{Act, Fault, Leg, Who};
use super::ledger::Way;
use super::load::{self, Load};
use super::network::Party;
use super::report::Row;
use super::world::{Member, PARTNERS, World};
use crate::peer::postgres::TestServer;
use crate::peer::{fault, until};

/// How long all is well before a fault.
const STEADY: Duration = Duration::from_secs(2);

/// Everything flows again so long after a fault, or the test fails.
const RECOVERY: Duration = Duration::from_secs(90);

/// Presence is the truth again so long after a fault, or the test fails.
const CONVERGENCE: Duration = Duration::from_secs(90);

/// Second copies and late errors have come by then.
const STRAGGLERS: Duration = Duration::from_millis(1500);

/// What everybody shows has been written by then.
const WRITTEN: Duration = Duration::from_millis(300);

/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Everybody sees everybody.
pub async fn acquaint(world: &World) -> io::Result<()> {
    load::subscribe(world);
    load::change(world);
    let seen = until("everybody sees everybody", async || load::unlike(world).is_empty().then_some(())).await;
    seen.map_err(|error| fault(format!("{error}: {}", load::unlike(world).join("; "))))?;
    let has_session = async || (world.chat.sessions.load(Ordering::Relaxed) > 0).then_some(());
    until("a session comes about", has_session).await
}

/// Plays one fault; `moment` is how long the load is older than usual when it begins.
pub async fn play(world: &Arc<World>, per_second: f64, fault: &Fault, moment: Duration) -> io::Result<Row> {
    let load = Load::start(world, per_second);
    let first = world.ledger.next();
    load.switches.messages(true);
    load.switches.changes(true);
    sleep(STEADY + moment).await;
    // In the very moment of the fault, everybody's new state is on its way.
    load::change(world);
    if fault.acts.iter().any(|act| matches!(act, Act::KillEdgeOf(_) | Act::PowerOffEdgeOf(_))) {
        // Else the next change would show what the one that nobody read has not.
        load.switches.changes(false);
    }
    let began = Instant::now();
    for act in fault.acts {
        apply(world, *act).await?;
    }
    sleep(fault.hold).await;
    for act in fault.acts {
        heal(world, *act)?;
    }
    world.network.heal()?;
    world.slow.heal()?;
    let healed = Instant::now();
    // The truth is what everybody shows now; what changes later would hide what was lost.
    load.switches.changes(false);
    let (recovered, converged) = tokio::join!(recovery(world, healed), convergence(world, healed));
    load.switches.messages(false);
    let last = world.ledger.next();
    drop(load);
    while world.ledger.open(first, last) > 0 {
        sleep(LOOK).await;
    }
    sleep(STRAGGLERS).await;
    let row = Row { fault: *fault, began, healed, first, last, recovered, converged, crashed: crashed(world) };
    world.ready().await?;
    Ok(row)
}

/// Until a message that was sent after the fault has arrived, both ways and for every partner.
async fn recovery(world: &World, healed: Instant) -> Option<Duration> {
    let give_up = healed + RECOVERY;
    loop {
        let flows = PARTNERS.iter().all(|partner| {
            [Way::ToSip, Way::ToXmpp].iter().all(|way| world.ledger.flows(*way, partner.domain, healed))
        });
        if flows {
            return Some(healed.elapsed());
        }
        if Instant::now() > give_up {
            return None;
        }
        sleep(LOOK).await;
    }
}

/// Until every watcher sees the truth; else who does not.
async fn convergence(world: &World, healed: Instant) -> Result<Duration, Vec<String>> {
    let give_up = healed + CONVERGENCE;
    loop {
        let unlike = load::unlike(world);
        if unlike.is_empty() {
            return Ok(healed.elapsed());
        }
        if Instant::now() > give_up {
            return Err(unlike);
        }
        sleep(LOOK).await;
    }
}

async fn apply(world: &World, act: Act) -> io::Result<()> {
    match act {
        Act::Kill(who) => member(world, who)?.kill(),
        Act::KillEdgeOf(partner) => {
            let edge = edge_of(world, partner)?;
            edge.freeze(true)?;
            load::change(world);
            sleep(WRITTEN).await;
            edge.kill()
        }
        Act::PowerOffEdgeOf(partner) => {
            let edge = edge_of(world, partner)?;
            let gateways = world.gateways.iter().map(|gateway| gateway.party.as_ref());
            for other in world.remotes.iter().map(AsRef::as_ref).chain(gateways) {
                world.network.cut(&edge.party, other)?;
            }
            load::change(world);
            sleep(WRITTEN).await;
            edge.kill()
        }
        Act::Restart(who) => {
            let member = member(world, who)?;
            member.terminate().await?;
            member.start()?;
            world.ready().await?;
            // Whoever upgrades a pool takes down the next one when the front end uses this one again.
            let is_used = async || (world.pool.connected() == world.gateways.len()).then_some(());
            until("the SIP pool is connected to every gateway", is_used).await
        }
        Act::Freeze(who) => member(world, who)?.freeze(true),
        Act::KillStore => world.store.server(TestServer::kill),
        Act::RestartStore => world.store.server(|server| {
            server.stop();
            server.resume_service();
        }),
        Act::FreezeStore => world.store.server(|server| server.pause()),
        Act::FillDisk => world.store.fill(true),
        Act::Cut(leg) => {
            let (one, other) = ends(world, leg)?;
            world.network.cut(one, other)
        }
        Act::Lose(leg, percent) => {
            let (one, other) = ends(world, leg)?;
            world.network.lose(one, other, percent)
        }
        Act::Slow(leg, delay_ms) => {
            let (one, other) = ends(world, leg)?;
            world.slow.slow(one, other, delay_ms)
        }
        Act::SlowPartner(which, nap_ms) => {
            nap(world, which, nap_ms);
            Ok(())
        }
        Act::SlowSip(lag_ms) => {
            world.pool.lag(Duration::from_millis(lag_ms));
            Ok(())
        }
    }
}

/// The opposite. Roads are healed together.
fn heal(world: &World, act: Act) -> io::Result<()> {
    match act {
        Act::Kill(who) => member(world, who)?.start(),
        Act::KillEdgeOf(_) | Act::PowerOffEdgeOf(_) => {
            world.edges.iter().filter(|edge| !edge.is_started()).try_for_each(Member::start)
        }
        Act::Freeze(who) => member(world, who)?.freeze(false),
        Act::KillStore => world.store.server(TestServer::resume_service),
        Act::FreezeStore => world.store.server(|server| server.unpause()),
        Act::FillDisk => world.store.fill(false),
        Act::SlowPartner(which, _) => {
            nap(world, which, 0);
            Ok(())
        }
        Act::SlowSip(_) => {
            world.pool.lag(Duration::ZERO);
            Ok(())
        }
        Act::Cut(Leg::Partner(which, _)) => {
            // Its server may never hear that the streams of before have ended.
            PARTNERS.get(which).into_iter().for_each(|partner| world.ledger.broke(partner.domain));
            Ok(())
        }
        Act::Restart(_) | Act::RestartStore | Act::Cut(_) | Act::Lose(..) | Act::Slow(..) => Ok(()),
    }
}

fn nap(world: &World, which: usize, milliseconds: u64) {
    if let Some(partner) = world.partners.get(which) {
        partner.nap_ms.store(milliseconds, Ordering::Relaxed);
    }
}

fn member(world: &World, who: Who) -> io::Result<&Member> {
    let found = match who {
        Who::Gateway(which) => world.gateways.get(which),
        Who::Edge(which) => world.edges.get(which),
    };
    found.ok_or_else(|| fault(format!("there is no {who:?} in this world")))
}

/// The edge that a partner writes to.
fn edge_of(world: &World, partner: usize) -> io::Result<&Member> {
    member(world, Who::Edge(world.partners.get(partner).map_or(0, |partner| partner.edge.load(Ordering::Relaxed))))
}

fn ends(world: &World, leg: Leg) -> io::Result<(&Party, &Party)> {
    let gateway = |which: usize| world.gateways.get(which).map(|member| member.party.as_ref());
    let edge = |which: usize| world.edges.get(which).map(|member| member.party.as_ref());
    let found = match leg {
        Leg::Link(one, other) => edge(one).zip(gateway(other)),
        Leg::Sip(which) => gateway(which).map(|gateway| (gateway, world.pool_party.as_ref())),
        Leg::Store(which) => gateway(which).zip(Some(world.store.party()?)),
        Leg::Partner(which, other) => world.remotes.get(which).map(AsRef::as_ref).zip(edge(other)),
    };
    found.ok_or_else(|| fault(format!("there is no {leg:?} in this world")))
}

/// Processes that have ended although nobody asked them to, with their last words.
fn crashed(world: &World) -> Vec<String> {
    let members = world.edges.iter().chain(&world.gateways);
    members
        .filter(|member| member.has_crashed())
        .map(|member| format!("{}: {}", member.name, member.last_words()))
        .collect()
}
