//! Probes: walks all rungs towards a partner on connections of its own, without touching its streams.
//!
//! A gateway asks, and is told step by step. A probe takes the roads that any stream takes, by the same settings; it counts
//! against the limits on connections like any other, and neither counts for nor heeds the pauses after failures.
//! `walk` goes from DNS to the addresses, `judge` says what a negotiation showed, [`witness`] sees what the partner
//! asks us about our keys meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::probe::{PATIENCE, Request, Step, StepState};
use causeway_shared::verdict::{Code, Rung};

mod judge;
mod walk;
pub mod witness;

use walk::Walk;
use witness::Witness;

use crate::edge::{Edge, gone};
use crate::link::Reporter;

/// Probes at once, all partners together: each may hold a connection for a minute.
const MAX_PROBES: usize = 4;

/// From one probe of a partner to the next: its server is not to be bothered by ours.
const BETWEEN: Duration = Duration::from_secs(5);

/// The probes of an edge.
#[derive(Debug, Default)]
pub struct Probes {
    state: Mutex<State>,
    /// What partners ask us meanwhile.
    pub witness: Witness,
}

#[derive(Debug, Default)]
struct State {
    /// By the partner's primary domain, when it began; those that are over stay for [`BETWEEN`].
    begun: HashMap<DomainName, Begun>,
}

#[derive(Debug)]
struct Begun {
    at: Instant,
    is_running: bool,
}

impl Probes {
    fn begin(&self, partner: &DomainName, now: Instant) -> Result<(), &'static str> {
        let mut state = self.lock();
        state.begun.retain(|_, begun| begun.is_running || now.saturating_duration_since(begun.at) < BETWEEN);
        match state.begun.get(partner) {
            Some(begun) if begun.is_running => return Err("this partner is being probed already"),
            Some(_) => return Err("this partner was probed a moment ago; try again in some seconds"),
            None => {}
        }
        if state.begun.values().filter(|begun| begun.is_running).count() >= MAX_PROBES {
            return Err("too many probes are under way on this edge");
        }
        state.begun.insert(partner.clone(), Begun { at: now, is_running: true });
        Ok(())
    }

    fn end(&self, partner: &DomainName) {
        if let Some(begun) = self.lock().begun.get_mut(partner) {
            begun.is_running = false;
        }
    }

    /// Every change of the state is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins a probe, or says why there is none.
pub fn start(edge: &Arc<Edge>, request: &Request, reporter: Reporter) {
    let moment = edge.moment();
    let (Ok(remote), local) = (DomainName::parse(&request.partner), DomainName::parse(&request.local)) else {
        return reporter.refuse("the partner is no domain");
    };
    let local = if request.local.is_empty() { moment.federation.any_local().cloned() } else { local.ok() };
    let Some(local) = local.filter(|local| moment.federation.is_local(local.as_str())) else {
        return reporter.refuse("the local domain is none of ours");
    };
    let Some(partner) = moment.federation.partner(remote.as_str()).cloned() else {
        return reporter.refuse("the domain is not one of a partner");
    };
    if let Err(why) = edge.probes.begin(&partner.name, moment.now) {
        return reporter.refuse(why);
    }
    tracing::info!(partner = %partner.name, domain = %remote, "probing");
    let edge = Arc::clone(edge);
    tokio::spawn(async move {
        let running = Running { edge: Arc::clone(&edge), partner: partner.name.clone() };
        let mut draining = edge.draining();
        match edge.admission.dial(&partner, moment.federation.settings.connection_limit) {
            Ok(ticket) => {
                let pair = DomainPair { local, remote };
                let walk = Walk::new(&edge, pair, &partner, ticket, &reporter, moment.now + PATIENCE);
                let walked = tokio::select! {
                    walked = tokio::time::timeout(PATIENCE, walk.run()) => walked.is_ok(),
                    () = gone(&mut draining) => false,
                };
                if !walked {
                    reporter.step(Step::new(Rung::Limits, StepState::Skipped, "the time of a probe is over"));
                }
            }
            Err(refused) => {
                let step = Step::new(Rung::Limits, StepState::Failed, refused.to_string());
                reporter.step(step.mend(Code::LimitsOurs));
            }
        }
        // The place is free before anybody hears of the end.
        drop(running);
        drop(reporter);
    });
}

/// A probe under way; it ends with this.
struct Running {
    edge: Arc<Edge>,
    partner: DomainName,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.edge.probes.end(&self.partner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> DomainName {
        DomainName::parse(name).unwrap()
    }

    #[test]
    fn a_partner_is_probed_once_at_a_time_and_not_again_at_once() {
        let (probes, now) = (Probes::default(), Instant::now());
        let partner = domain("fabrikam.example");
        assert!(probes.begin(&partner, now).is_ok());
        assert!(probes.begin(&partner, now + BETWEEN * 2).is_err());
        probes.end(&partner);
        assert!(probes.begin(&partner, now + BETWEEN / 2).is_err());
        assert!(probes.begin(&partner, now + BETWEEN).is_ok());
    }

    #[test]
    fn there_are_only_so_many_at_once() {
        let (probes, now) = (Probes::default(), Instant::now());
        for n in 0..MAX_PROBES {
            assert!(probes.begin(&domain(&format!("{n}.example")), now).is_ok());
        }
        assert!(probes.begin(&domain("more.example"), now).is_err());
        probes.end(&domain("0.example"));
        assert!(probes.begin(&domain("more.example"), now).is_ok());
    }
}
