//! The fault tests of `make fault`, and their short form in `make test`: what breaks while messages and presence flow.
//!
//! Real gateways and edges, fake partners and a fake pool, each in a network namespace of its own. Everything that is sent
//! is in a ledger, and the ledger is the test: what was accepted is delivered once or bounced once. In reading order:
//! [`network`] (who can reach whom), [`slow`], [`world`] (what runs), [`store`], [`partner`], [`pool`], [`presence`] and [`chat`] (the fakes), [`load`],
//! [`ledger`], [`faults`] (what is done, and what it may cost), [`play`], [`report`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use self::faults::{FAULTS, Fault, Gateways};
use self::report::Row;
use self::world::{Size, World};
use crate::peer::fault;

pub mod chat;
pub mod faults;
pub mod ledger;
pub mod load;
pub mod network;
pub mod partner;
pub mod play;
pub mod pool;
pub mod presence;
pub mod report;
pub mod slow;
pub mod store;
pub mod world;

/// What to play.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The names of the faults; all when there are none.
    pub names: Vec<String>,
    /// The short form only.
    pub is_short: bool,
    /// How many of each there are.
    pub size: Size,
    /// Messages a second, each way and for each partner.
    pub per_second: f64,
    /// How often all of it.
    pub rounds: usize,
    /// What decides at which moment of the load each fault begins.
    pub seed: u64,
}

impl Plan {
    fn faults(&self) -> io::Result<Vec<Fault>> {
        if let Some(unknown) = self.names.iter().find(|name| FAULTS.iter().all(|fault| fault.name != **name)) {
            let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
            return Err(fault(format!("there is no fault {unknown}; there are {}", known.join(", "))));
        }
        let fits = |fault: &&Fault| {
            (self.names.is_empty() || self.names.iter().any(|name| name == fault.name))
                && (fault.is_short || !self.is_short)
                && match fault.gateways {
                    Gateways::Any => true,
                    Gateways::One => self.size.gateways == 1,
                    Gateways::Several => self.size.gateways > 1,
                }
        };
        Ok(FAULTS.iter().filter(fits).copied().collect())
    }
}

/// The moments at which faults begin, by SplitMix64: the same for the same seed.
struct Moments(u64);

impl Moments {
    /// How long the load is older than usual when the next fault begins.
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis((mixed ^ (mixed >> 31)) % MOMENTS_MS)
    }
}

/// Every phase of the load is met: presence changes every three seconds, messages much more often.
const MOMENTS_MS: u64 = 3000;

/// Plays them; whether every promise was kept. `say` is told each line of the table.
pub async fn run(plan: &Plan, say: impl Fn(&str)) -> io::Result<bool> {
    let faults = plan.faults()?;
    let world = Arc::new(World::start(&format!("cwf{}", std::process::id()), plan.size).await?);
    play::acquaint(&world).await?;
    say(&format!("seed {}", plan.seed));
    say(&report::heading());
    let mut rows: Vec<Row> = Vec::new();
    let mut moments = Moments(plan.seed);
    for _ in 0..plan.rounds {
        for fault in &faults {
            let row = play::play(&world, plan.per_second, fault, moments.next()).await?;
            say(&report::row(&row, &world.ledger));
            rows.push(row);
        }
    }
    // Whatever came later than its row was printed counts as well.
    let mut is_kept = true;
    for row in &rows {
        let complaints = report::complaints(row, &world.ledger);
        if !complaints.is_empty() {
            is_kept = false;
            say(&complaints);
        }
    }
    for strange in world.ledger.strange() {
        is_kept = false;
        say(&format!("  {strange}"));
    }
    if !is_kept {
        say(&format!("logs: {}", world.road.folder().display()));
    }
    Ok(is_kept)
}
