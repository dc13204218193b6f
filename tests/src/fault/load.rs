//! The steady load: messages both ways for every partner, and presence that changes, by the clock and whatever happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::partner::Out;
use super::presence::{PAIRS, carol, dave};
use super::world::World;

/// Users on each side; a SIP address has one MESSAGE at a time, so a late answer holds back one user only.
pub const USERS: u64 = 40;

/// How often everybody changes his state: gateways tell a watcher of one change in five seconds (RFC 3856, section 6.10).
const CHANGE: Duration = Duration::from_secs(3);

/// What of the load is on.
#[derive(Default)]
pub struct Switches {
    messages: AtomicBool,
    changes: AtomicBool,
    ended: AtomicBool,
}

impl Switches {
    /// Messages flow, or not.
    pub fn messages(&self, on: bool) {
        self.messages.store(on, Ordering::Relaxed);
    }

    /// Presence changes, or not.
    pub fn changes(&self, on: bool) {
        self.changes.store(on, Ordering::Relaxed);
    }
}

/// The running load; it ends when dropped.
pub struct Load {
    /// What of it is on.
    pub switches: Arc<Switches>,
    task: JoinHandle<()>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.switches.ended.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

impl Load {
    /// So many messages a second each way for each partner, from now on; off until they are switched on.
    pub fn start(world: &Arc<World>, per_second: f64) -> Self {
        let switches = Arc::new(Switches::default());
        let (on, world) = (Arc::clone(&switches), Arc::clone(world));
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs_f64(1.0 / per_second));
            // What is late is sent late, and not left out.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut changed = Instant::now();
            loop {
                ticks.tick().await;
                world.chat.is_on.store(on.messages.load(Ordering::Relaxed), Ordering::Relaxed);
                if on.messages.load(Ordering::Relaxed) {
                    for partner in &world.partners {
                        partner.send(Out::Message);
                        world.pool.send(partner.habits.domain, partner.habits.counts);
                    }
                }
                if on.changes.load(Ordering::Relaxed) && changed.elapsed() > CHANGE {
                    changed = Instant::now();
                    change(&world);
                }
            }
        });
        Self { switches, task }
    }
}

/// Everybody shows a new state.
pub fn change(world: &World) {
    world.pool.watchers().own.change();
    for partner in &world.partners {
        partner.contacts.own.change();
        for stanza in partner.contacts.show(partner.habits.domain) {
            partner.send(Out::Other(stanza));
        }
    }
}

/// Everybody asks to see his counterpart.
pub fn subscribe(world: &World) {
    for partner in &world.partners {
        for stanza in partner.contacts.subscribe(partner.habits.domain) {
            partner.send(Out::Other(stanza));
        }
        (0..PAIRS).for_each(|pair| world.pool.watch(partner.habits.domain, pair));
    }
}

/// Who sees another state than the true one, in words.
pub fn unlike(world: &World) -> Vec<String> {
    let mut unlike = Vec::new();
    for partner in &world.partners {
        let domain = partner.habits.domain;
        let daves = (0..PAIRS).map(|pair| dave(domain, pair));
        unlike.extend(world.pool.watchers().theirs.unlike(daves, partner.contacts.own.shown()));
        let carols = (0..PAIRS).map(|pair| carol(domain, pair));
        unlike.extend(partner.contacts.theirs.unlike(carols, world.pool.watchers().own.shown()));
    }
    unlike
}
