//! What monitors see of the pool.

use causeway_shared::metrics::Catalogue;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::report::ReplicaState;

/// Labels of a state: a closed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// The gauges.
#[derive(Debug, Default)]
pub struct PoolGauges {
    live: Gauge,
    drifting: Gauge,
    unheard: Gauge,
    state: Family<StateLabels, Gauge>,
}

impl PoolGauges {
    /// Gauges, registered under their names.
    pub fn register(catalogue: &mut Catalogue) -> Self {
        let gauges = Self::default();
        catalogue.register("causeway_replicas_live", "Gateways of the pool that report", &[], gauges.live.clone());
        let help = "Gateways of the pool that do not fit to the others (files, revision, clock, name) or are gone";
        catalogue.register("causeway_replicas_drifting", help, &[], gauges.drifting.clone());
        let help = "1 while this gateway cannot report to the others through the store";
        catalogue.register("causeway_replica_unheard", help, &[], gauges.unheard.clone());
        let help = "1 for the state that this gateway is in";
        catalogue.register("causeway_replica_state", help, &["state"], gauges.state.clone());
        gauges
    }

    /// Shows what the last reports say.
    pub(super) fn show(&self, live: usize, drifting: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.live.set(count(live));
        self.drifting.set(count(drifting));
    }

    /// Shows how this gateway is, and whether the others hear it.
    pub(super) fn show_own(&self, own: ReplicaState, is_heard: bool) {
        self.unheard.set(i64::from(!is_heard));
        for state in ReplicaState::ALL.into_iter().filter(|state| *state != ReplicaState::Unknown) {
            self.state.get_or_create(&StateLabels { state: state.as_str() }).set(i64::from(state == own));
        }
    }
}
