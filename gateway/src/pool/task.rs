//! The task that reports, and what it has heard last.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::ask::{AsyncPool, PoolFault};
use super::drift::{Replica, Seen, judge};
use super::gauges::PoolGauges;
use super::report::{LegReport, ReplicaState, Report, row_key};
use crate::admin::administration::InForce;
use crate::admin::desk::Legs;
use crate::engine::ALIVE;
use crate::link::Links;
use crate::shell::now;

/// How often a replica reports: what it says is at most so old where others look.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a report that says nothing new is good where the store is a file, in milliseconds: nobody else reads it, and each
/// is written to the disk.
const ALONE_MS: u64 = 60_000;
/// Who has been silent for so long is forgotten: until then an operator sees that it is gone.
const FORGET_AFTER_MS: u64 = 600_000;
/// How long leaving may take. Who does not manage is seen as gone.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

/// What a report is made of, at any moment.
pub struct PoolFacts {
    /// A name for this process.
    pub boot: String,
    /// What the gateway stands on.
    pub legs: Legs,
    /// The edges.
    pub links: Links,
    /// What it works by.
    pub in_force: watch::Receiver<Arc<InForce>>,
    /// Whether it leaves.
    pub draining: watch::Receiver<bool>,
    /// How far this machine's clock is before the store's, for whoever compares times with other gateways.
    pub clock_ahead_ms: Arc<AtomicI64>,
}

/// What was heard last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// This replica's name.
    pub gateway_id: String,
    /// This process.
    pub boot: String,
    /// All replicas, in the order of their names, this one among them.
    pub replicas: Vec<Replica>,
    /// When they were heard, by the store's clock.
    pub heard_ms: u64,
    /// Why nothing newer could be heard.
    pub fault: Option<String>,
    /// Whether there can be several.
    pub is_shared: bool,
}

impl View {
    /// Whether everything does.
    pub fn fits(&self) -> bool {
        self.fault.is_none() && self.replicas.iter().all(|replica| replica.drift.is_empty())
    }

    /// Whether a replica is this process.
    pub fn is_own(&self, replica: &Replica) -> bool {
        replica.report.gateway_id == self.gateway_id && replica.report.boot == self.boot
    }
}

/// The pool as this replica sees it.
#[derive(Clone)]
pub struct Pool {
    view: watch::Receiver<Arc<View>>,
    leave: watch::Sender<bool>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// Begins to report.
    pub fn start(store: AsyncPool, facts: PoolFacts, gauges: PoolGauges) -> Self {
        let view = View {
            gateway_id: facts.in_force.borrow().config.gateway_id.clone(),
            boot: facts.boot.clone(),
            is_shared: store.is_shared(),
            ..View::default()
        };
        let (leave, leaving) = watch::channel(false);
        let (views, seen) = watch::channel(Arc::new(view));
        let reporter = Reporter {
            store,
            facts,
            gauges,
            views,
            own: Report { started_ms: now().unix_ms, ..Report::default() },
            known: BTreeSet::new(),
        };
        let task = tokio::spawn(reporter.run(leaving));
        Self { view: seen, leave, task: Arc::new(Mutex::new(Some(task))) }
    }

    /// A pool of which this was heard, and nothing more.
    #[cfg(test)]
    pub(crate) fn seen(view: View) -> Self {
        Self { view: watch::channel(Arc::new(view)).1, leave: watch::channel(false).0, task: Arc::default() }
    }

    /// What was heard last.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Tells the others that this replica has left, in order, and gives back what it did for all. Whoever claims duties in
    /// its name has to be gone.
    pub async fn leave(&self) {
        self.leave.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && timeout(LEAVE_PATIENCE, task).await.is_err()
        {
            tracing::warn!("the other gateways were not told that this one leaves; they see it as gone");
        }
    }
}

struct Reporter {
    store: AsyncPool,
    facts: PoolFacts,
    gauges: PoolGauges,
    views: watch::Sender<Arc<View>>,
    /// The last report.
    own: Report,
    /// What does not fit and was logged already.
    known: BTreeSet<(String, &'static str)>,
}

impl Reporter {
    async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut ticks = interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Whoever started it is gone, and this process with it.
                _ = leaving.wait_for(|leaves| *leaves) => break,
                _ = ticks.tick() => {}
                Ok(()) = self.facts.in_force.changed() => {}
                Ok(()) = self.facts.draining.changed() => {}
            }
            if let Err(fault) = self.beat().await {
                self.unheard(&fault);
            }
        }
        // That somebody was there is believed a little longer: whoever starts now has missed nothing.
        if let Err(fault) = self.store.give_back_duties(ALIVE).await {
            tracing::warn!(%fault, "the duties of this gateway were not given back; others take them over when its time is out");
        }
        let key = row_key(&self.own.gateway_id, &self.own.boot);
        if let Err(fault) = self.store.remove_replica(key).await {
            tracing::warn!(%fault, "the other gateways were not told that this one leaves; they see it as gone");
        }
    }

    /// Reports, and judges what the others report.
    async fn beat(&mut self) -> Result<(), PoolFault> {
        let before_ms = now().unix_ms;
        let store_ms = self.store.clock().await?;
        // The store looked at its clock about halfway.
        let own_ms = before_ms.midpoint(now().unix_ms);
        let ahead_ms = i64::try_from(own_ms).unwrap_or(i64::MAX).saturating_sub_unsigned(store_ms);
        if self.store.is_shared() {
            self.facts.clock_ahead_ms.store(ahead_ms, Ordering::Relaxed);
        }
        let has_changed = self.renew(store_ms, ahead_ms);
        let is_fresh = store_ms.saturating_sub(self.views.borrow().heard_ms) < ALONE_MS;
        if !self.store.is_shared() && !has_changed && is_fresh {
            return Ok(());
        }
        let key = row_key(&self.own.gateway_id, &self.own.boot);
        let forget_before_ms = store_ms.saturating_sub(FORGET_AFTER_MS);
        let rows = self.store.report_replica(key, store_ms, self.own.to_json(), forget_before_ms).await?;
        let seen = rows.into_iter().map(|(_, seen_ms, report)| Seen { seen_ms, report: Report::from_json(&report) });
        let replicas = judge(seen.collect(), store_ms);
        self.tell(&replicas);
        let drifting = replicas.iter().filter(|replica| replica.is_drifting()).count();
        self.gauges.show(replicas.iter().filter(|replica| replica.is_live()).count(), drifting);
        self.gauges.show_own(self.own.state, true);
        self.views.send_modify(|view| {
            let view = Arc::make_mut(view);
            (view.replicas, view.heard_ms, view.fault) = (replicas, store_ms, None);
        });
        Ok(())
    }

    /// Brings the own report up to date; answers whether it says anything new.
    fn renew(&mut self, store_ms: u64, ahead_ms: i64) -> bool {
        let in_force = Arc::clone(&self.facts.in_force.borrow_and_update());
        let is_draining = *self.facts.draining.borrow_and_update();
        let legs: Vec<LegReport> = (self.facts.legs)()
            .into_iter()
            .map(|leg| LegReport { name: leg.name.to_owned(), ready: leg.is_ready, reason: leg.reason })
            .collect();
        let (revision, digest) = (in_force.data.revision, in_force.digest.whole());
        let old = &self.own;
        let is_first = old.boot.is_empty();
        let since = |has_changed: bool, before: u64| if has_changed || is_first { store_ms } else { before };
        let fresh = Report {
            gateway_id: in_force.config.gateway_id.clone(),
            boot: self.facts.boot.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema: self.store.schema(),
            started_ms: if is_first { store_ms } else { old.started_ms },
            state: state(old.state, is_draining, legs.iter().all(|leg| leg.ready), is_first),
            edges: self.facts.links.attached(),
            revision_since_ms: since(revision != old.revision, old.revision_since_ms),
            revision,
            digest_since_ms: since(digest != old.digest, old.digest_since_ms),
            digest,
            sections: in_force.digest.sections.clone(),
            snapshot: in_force.snapshot,
            clock_ahead_ms: ahead_ms,
            panel: in_force.config.panel.public_url.clone(),
            legs,
        };
        let has_changed = Report { clock_ahead_ms: ahead_ms, ..old.clone() } != fresh;
        self.own = fresh;
        has_changed
    }

    /// Logs what does not fit any more, and what fits again.
    fn tell(&mut self, replicas: &[Replica]) {
        let mut present = BTreeSet::new();
        for replica in replicas {
            for drift in &replica.drift {
                let named = (replica.report.gateway_id.clone(), drift.code());
                if !self.known.contains(&named) {
                    tracing::warn!(replica = replica.report.gateway_id, ?drift, "a gateway of the pool does not fit");
                }
                present.insert(named);
            }
        }
        for (replica, code) in self.known.difference(&present) {
            tracing::info!(replica, code, "a gateway of the pool fits again, or has left");
        }
        self.known = present;
    }

    /// The others hear nothing of this replica just now, and it nothing of them.
    fn unheard(&mut self, fault: &PoolFault) {
        let is_new = self.views.borrow().fault.is_none();
        if is_new {
            tracing::warn!(%fault, "the other gateways of the pool hear nothing of this one");
        }
        self.gauges.show_own(ReplicaState::NotReady, false);
        self.views.send_modify(|view| Arc::make_mut(view).fault = Some(fault.to_string()));
    }
}

fn state(before: ReplicaState, is_draining: bool, is_ready: bool, is_first: bool) -> ReplicaState {
    let was_ready = !is_first && before != ReplicaState::Starting;
    match (is_draining, is_ready) {
        (true, _) => ReplicaState::Draining,
        (false, true) => ReplicaState::Ready,
        (false, false) if was_ready => ReplicaState::NotReady,
        (false, false) => ReplicaState::Starting,
    }
}
