//! How long the store takes, and what it does not do; and from that, whether it is there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use causeway_shared::health::Leg;
use causeway_shared::metrics::Catalogue;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::store::{Done, StoreFault};

/// How long the store may say nothing. Due records are asked for four times in a second, also by a gateway with nothing to
/// do.
const SILENCE: Duration = Duration::from_secs(5);

/// Seconds of a call: from a page in memory to what a database that recovers may take.
const CALL_SECONDS: [f64; 11] = [0.000_25, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 10.0];

/// What is asked of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabel {
    verb: &'static str,
}

/// What was asked, and why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    verb: &'static str,
    fault: &'static str,
}

/// The times and faults of the store's calls.
#[derive(Debug)]
pub struct StoreMetrics {
    seconds: Family<VerbLabel, Histogram, fn() -> Histogram>,
    faults: Family<FaultLabels, Counter>,
    standing: Mutex<Standing>,
}

/// How the store stands.
#[derive(Debug)]
struct Standing {
    /// When it last did what it was asked; when we started, before that.
    answered_at: Instant,
    /// What it said since, if it refused.
    fault: Option<StoreFault>,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            faults: Family::default(),
            standing: Mutex::new(Standing { answered_at: Instant::now(), fault: None }),
        }
    }
}

impl StoreMetrics {
    pub(super) fn register(&self, catalogue: &mut Catalogue) {
        let help = "Time that the store took for a call, by what was asked";
        catalogue.register("causeway_store_seconds", help, &["verb"], self.seconds.clone());
        let help = "Calls that the store did not do, by what was asked and why";
        catalogue.register("causeway_store_faults", help, &["verb", "fault"], self.faults.clone());
    }

    /// Measures a call from now until its answer.
    pub(crate) fn timed<T: 'static>(self: &Arc<Self>, verb: &'static str, done: Done<T>) -> Done<T> {
        let (metrics, asked_at) = (Arc::clone(self), Instant::now());
        Box::new(move |answer| {
            metrics.seconds.get_or_create(&VerbLabel { verb }).observe(asked_at.elapsed().as_secs_f64());
            metrics.answered(verb, answer.as_ref().err().map(|error| error.fault));
            done(answer);
        })
    }

    fn answered(&self, verb: &'static str, fault: Option<StoreFault>) {
        if let Some(fault) = fault {
            self.faults.get_or_create(&FaultLabels { verb, fault: label(fault) }).inc();
        }
        // What is plain data is sound at any time.
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            // It says no to this call, and is there.
            None | Some(StoreFault::Refused) => *standing = Standing { answered_at: Instant::now(), fault: None },
            Some(fault) => standing.fault = Some(fault),
        }
    }

    /// The leg of readiness: whether the store did what it was asked within the last seconds.
    pub fn leg(&self) -> Leg {
        let Standing { answered_at, fault } = &*self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = answered_at.elapsed();
        match fault {
            Some(fault) => Leg::new("store", false, fault.to_string()),
            None if silent > SILENCE => {
                Leg::new("store", false, format!("it has not answered for {} seconds", silent.as_secs()))
            }
            None => Leg::new("store", true, "it answers"),
        }
    }
}

/// The label of a fault.
const fn label(fault: StoreFault) -> &'static str {
    match fault {
        StoreFault::Corrupt => "corrupt",
        StoreFault::Locked => "locked",
        StoreFault::DiskFull => "disk-full",
        StoreFault::Inaccessible => "inaccessible",
        StoreFault::TooNew => "too-new",
        StoreFault::Unreachable => "unreachable",
        StoreFault::Untrusted => "untrusted",
        StoreFault::Denied => "denied",
        StoreFault::NoDatabase => "no-database",
        StoreFault::ReadOnly => "read-only",
        StoreFault::Unsuitable => "unsuitable",
        StoreFault::Refused => "refused",
        StoreFault::Overloaded => "overloaded",
        StoreFault::Closed => "closed",
        StoreFault::Statement => "statement",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn the_store_is_there_while_it_answers_and_its_last_fault_is_the_reason_when_not() {
        let metrics = Arc::new(StoreMetrics::default());
        let call = |answer: Result<(), StoreFault>| {
            let error = |fault| StoreError { place: "gateway.db".into(), fault, detail: "".into() };
            metrics.timed("claim", Box::new(|_| {}))(answer.map_err(error));
        };
        call(Ok(()));
        assert!(metrics.leg().is_ready);
        call(Err(StoreFault::DiskFull));
        assert_eq!((metrics.leg().is_ready, metrics.leg().reason.contains("disk is full")), (false, true));
        call(Err(StoreFault::Refused));
        assert!(metrics.leg().is_ready);
        let long_ago = Instant::now().checked_sub(SILENCE * 2).unwrap();
        *metrics.standing.lock().unwrap() = Standing { answered_at: long_ago, fault: None };
        assert_eq!(metrics.leg().reason, "it has not answered for 10 seconds");
    }
}
