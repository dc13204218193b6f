//! Work that one gateway of a pool does for all: reading the store through, and being the one that was there first.
//!
//! The store says whose a duty is ([`Duty`]), for a time that whoever has it prolongs while he works. If he dies, another
//! takes it over when that time is out. A gateway that is alone on its store asks nobody.

use std::time::{Duration, Instant};

use super::pairs::STORE_PAUSE;
use super::{Engine, Now, Outputs};
use crate::store::StoreError;
use crate::store::pool::Duty;

/// A gateway of the pool is there. A pool in which nobody had this duty was down as a whole, so that somebody has to take up
/// what the store says has been under way.
pub const ALIVE: &str = "alive";
/// How long it is believed that somebody is there who died. Less than edges hold stanzas for a gateway that is gone, so that
/// nothing was lost in a gap that nobody noticed.
const ALIVE_LEASE: Duration = Duration::from_secs(15);
/// How often it is prolonged: three tries.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// What is in force was changed while no gateway could compare it with what was before, by restarting one after the other:
/// the first one with it has the whole store looked through.
const FIRST: &str = "first";

/// Asks for the looking through for what is in force, or for more time for it.
pub(super) fn first(occasion: &str) -> DutyCall {
    DutyCall::Claim { duty: FIRST.to_owned(), token: occasion.to_owned(), lease: PAGE_LEASE }
}

/// Ends it: the store has been looked through.
pub(super) fn first_is_over(occasion: &str) -> DutyCall {
    DutyCall::Finish { duty: FIRST.to_owned(), token: occasion.to_owned() }
}

/// How long after its last page a round or a sweep whose gateway died is begun again by another.
pub(super) const PAGE_LEASE: Duration = Duration::from_secs(120);

/// The longest until somebody else's duty is asked for again: whoever has it may end it early.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What the engine wants of the store about a duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DutyCall {
    /// To take it or to keep it for so long.
    Claim {
        /// Which.
        duty: String,
        /// This occasion of it.
        token: String,
        /// For how long.
        lease: Duration,
    },
    /// To end this occasion of it, for everybody.
    Finish {
        /// Which.
        duty: String,
        /// This occasion of it.
        token: String,
    },
}

/// When to say that this gateway is there.
#[derive(Debug, Default)]
pub(super) struct Presences {
    pub(super) say_at: Option<Instant>,
    /// Whether it is known that another was there when this one started, or not.
    has_begun: bool,
    /// When to ask again whether somebody looks the store through for what is in force.
    first_at: Option<Instant>,
    /// Whether it was asked, and not answered yet.
    asks_first: bool,
}

impl Presences {
    /// When to say or ask something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.say_at, self.first_at].into_iter().flatten().min()
    }
}

/// How long to wait for somebody else's duty.
pub(super) fn until_asked_again(until_ms: u64, now: Now) -> Duration {
    Duration::from_millis(until_ms.saturating_sub(now.unix_ms)).clamp(Duration::from_secs(1), ASK_AGAIN)
}

impl Engine {
    /// Whether other gateways use this store, too.
    pub(super) fn is_shared(&self) -> bool {
        self.settings.occasion.is_some()
    }

    /// Says that this gateway is there, when it is time.
    pub(super) fn say_alive(&mut self, now: Now, out: &mut Outputs) {
        if self.alive.say_at.is_some_and(|at| at <= now.instant) {
            // Set again when the store has answered.
            self.alive.say_at = None;
            let (duty, token) = (ALIVE.to_owned(), ALIVE.to_owned());
            out.duties.push(DutyCall::Claim { duty, token, lease: ALIVE_LEASE });
        }
        if self.alive.first_at.is_some_and(|at| at <= now.instant) {
            self.alive.first_at = None;
            self.claim_first(out);
        }
    }

    fn claim_first(&mut self, out: &mut Outputs) {
        if let Some(occasion) = &self.settings.occasion {
            self.alive.asks_first = true;
            out.duties.push(first(occasion));
        }
    }

    /// The store has said whose a duty is.
    pub(super) fn duty_answered(
        &mut self,
        duty: &str,
        token: &str,
        answer: &Result<Duty, StoreError>,
        now: Now,
        out: &mut Outputs,
    ) {
        if let Err(error) = answer {
            self.store_failed(error, now, out);
        }
        match duty {
            ALIVE => {
                let pause = if answer.is_ok() { ALIVE_INTERVAL } else { STORE_PAUSE };
                self.alive.say_at = Some(now.instant + pause);
                if let Ok(whose) = answer
                    && !std::mem::replace(&mut self.alive.has_begun, true)
                {
                    self.begin(*whose == Duty::Mine, now, out);
                    self.claim_first(out);
                }
            }
            // It was prolonged while the store is looked through.
            FIRST if !std::mem::take(&mut self.alive.asks_first) => {}
            FIRST => match answer {
                Ok(Duty::Mine) => self.sweep_for(token.into(), now),
                Ok(Duty::Elsewhere { until_ms }) => {
                    self.alive.first_at = Some(now.instant + until_asked_again(*until_ms, now));
                }
                Ok(Duty::Done) => {}
                Err(_) => self.alive.first_at = Some(now.instant + STORE_PAUSE),
            },
            super::sweep::DUTY => self.sweep_assigned(answer, now, out),
            _ => self.round_assigned(duty, token, answer, now, out),
        }
    }
}
