//! The soak of `make soak`: thousands of partners' streams that idle, while strangers attack.
//!
//! What is held to: memory, descriptors and tasks of the edge come back to where they were; no idle stream ends; every
//! ping on every one of them is answered; every attack meets its defence. In reading order: [`world`] (what runs, and
//! where), [`live`] (the idle streams), [`hostile`] (the attacks), [`watch`] (what the edge holds), [`report`].

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::hostile::{Kind, Tally, Target};
use self::live::Live;
use self::report::{Phase, Report};
use self::watch::{Held, Watch};
use self::world::World;

pub mod hostile;
pub mod live;
pub mod report;
pub mod watch;
pub mod world;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Authenticated streams that idle.
    pub idle: usize,
    /// Hostile connections.
    pub hostile: usize,
    /// The time over which they are spread, at least.
    pub storm: Duration,
}

/// Hostile connections at the same time: below the 200 that may be unauthenticated, so that each attack gets in.
const AT_ONCE: usize = 150;

/// How often what the edge holds is noted in the course of the attacks.
const LOOKS: usize = 20;

/// Buffers of handshakes have been given back to the system by then.
const SETTLE: Duration = Duration::from_secs(15);

/// The longest attack is the one that lasts until the time for authentication is over, 60 seconds.
const LAST_ATTACK: Duration = Duration::from_secs(75);

/// Runs it.
pub async fn run(plan: Plan, say: impl Fn(&str)) -> io::Result<Report> {
    let world = World::start(plan.idle).await?;
    let watch = Watch::start(&world);
    let mut phases = vec![Phase::new("edge started", watch.look().await?)];

    say(&format!("opening {} streams", plan.idle));
    let live = Live::open(&world, plan.idle).await?;
    live.ping_all().await?;
    sleep(SETTLE).await;
    let before = watch.look().await?;
    phases.push(Phase::new("streams idle, before the attacks", before));

    say(&format!("{} hostile connections over {} s or more", plan.hostile, plan.storm.as_secs()));
    watch.forget_most();
    let (tally, course) = storm(&world, plan, &live, &watch, &say).await?;
    phases.push(Phase::new("during the attacks, at most", watch.most()));

    say("looking at what is left");
    live.ping_all().await?;
    sleep(SETTLE).await;
    let after = watch.look().await?;
    phases.push(Phase::new("streams idle, after the attacks", after));

    let refused = world.refused().await?;
    let streams = live.close().await;
    sleep(SETTLE).await;
    phases.push(Phase::new("all streams closed", watch.look().await?));
    Ok(Report { plan, phases, before, after, course, streams, tally, refused })
}

/// Attacks in turn, each from an address of its own.
async fn storm(
    world: &World,
    plan: Plan,
    live: &Live,
    watch: &Watch,
    say: &impl Fn(&str),
) -> io::Result<(Tally, Vec<Held>)> {
    let mut course = Vec::new();
    let target = Arc::new(Target::new(world)?);
    let (places, began) = (Arc::new(Semaphore::new(AT_ONCE)), Instant::now());
    let (mut attacks, mut tally) = (JoinSet::new(), Tally::default());
    for number in 0..plan.hostile {
        let due = plan.storm.mul_f64(number as f64 / plan.hostile.max(1) as f64);
        tokio::time::sleep_until(began + due).await;
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let (target, kind) = (Arc::clone(&target), Kind::of(number));
        attacks.spawn(async move {
            let met = target.attack(kind, stranger(kind, number)).await;
            drop(place);
            (kind, met)
        });
        while let Some(ended) = attacks.try_join_next() {
            let (kind, met) = ended.map_err(io::Error::other)?;
            tally.count(kind, met);
        }
        if (number + 1) % plan.hostile.div_ceil(LOOKS) == 0 {
            let held = watch.look().await?;
            course.push(held);
            let Held { resident, descriptors, connections, .. } = held;
            say(&format!(
                "{:>7} attacks, {:>4} s: {:.1} MB, {descriptors} descriptors, {connections} connections, {} streams lost",
                number + 1,
                began.elapsed().as_secs(),
                resident as f64 / 1e6,
                live.lost(),
            ));
        }
    }
    let rest = async {
        while let Some(ended) = attacks.join_next().await {
            let (kind, met) = ended.map_err(io::Error::other)?;
            tally.count(kind, met);
        }
        io::Result::Ok(())
    };
    tokio::time::timeout(LAST_ATTACK, rest).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok((tally, course))
}

/// Where an attack comes from: addresses that nobody else has, or the one that comes too often.
fn stranger(kind: Kind, number: usize) -> IpAddr {
    let number = if kind == Kind::TooOften { 0 } else { u32::try_from(number).unwrap_or_default() + 1 };
    let [_, high, middle, low] = number.to_be_bytes();
    IpAddr::from([127, 64 + high, middle, low])
}
