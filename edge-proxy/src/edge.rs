//! What every connection of the edge shares: the road inwards, the policy in force, keys, limits and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::admission::{Admission, Caps};
use crate::clock::unix_ms;
use crate::evidence::Evidences;
use crate::limits::StreamLimits;
use crate::link::LinkHandle;
use crate::listen::network::Network;
use crate::live::Streams;
use crate::metrics::{Metrics, StanzaEnd};
use crate::policy::{Federation, Moment};
use crate::probe::Probes;
use crate::resolve::Resolver;
use crate::tls::{Material, Tls};
use crate::verdict::{Code, Direction, Finding, Verdict};
use causeway_shared::link::StanzaKind;

/// How long a snapshot may take to be the policy in force: preparing that of 50 000 partners takes less.
const POLICY: Duration = Duration::from_secs(5);

/// Shared by all connections.
pub struct Edge {
    /// The road inwards.
    pub link: LinkHandle,
    /// Keys and trust.
    pub tls: Tls,
    /// The road outwards.
    pub resolver: Resolver,
    /// Places for connections.
    pub admission: Admission,
    /// What DANE and POSH know of partners.
    pub evidences: Evidences,
    /// Probes of partners.
    pub probes: Probes,
    /// What is live, for operators.
    pub streams: Streams,
    /// Counts.
    pub metrics: Metrics,
    limits: ArcSwap<(StreamLimits, Caps)>,
    trusted_proxies: ArcSwap<Vec<Network>>,
    federation: ArcSwap<Federation>,
    has_gateway: watch::Receiver<bool>,
    /// The version of the policy in force.
    policy: watch::Sender<u64>,
    /// Whether the edge is going away.
    draining: watch::Sender<bool>,
}

impl Edge {
    /// An edge that knows no partner yet.
    pub fn new(link: LinkHandle, tls: Tls, resolver: Resolver, limits: StreamLimits, caps: Caps) -> Self {
        let metrics = Metrics::default();
        link.verdicts().count_with(metrics.clone());
        Self {
            has_gateway: link.has_gateway(),
            link,
            tls,
            resolver,
            admission: Admission::default(),
            evidences: Evidences::default(),
            probes: Probes::default(),
            streams: Streams::default(),
            metrics,
            limits: ArcSwap::from_pointee((limits, caps)),
            trusted_proxies: ArcSwap::default(),
            federation: ArcSwap::default(),
            policy: watch::Sender::new(0),
            draining: watch::Sender::new(false),
        }
    }

    /// This moment.
    pub fn moment(&self) -> Moment {
        let federation = self.federation.load_full();
        Moment {
            now: Instant::now(),
            unix_ms: unix_ms(),
            // Before the first policy is in force nobody is a partner, which nobody is to be told.
            has_gateway: federation.version > 0 && *self.has_gateway.borrow(),
            federation,
            trust: self.tls.trust(),
            limits: self.limits(),
        }
    }

    /// Counts what became of stanzas of one remote domain.
    pub fn count(&self, remote: &str, kinds: impl Iterator<Item = StanzaKind>, end: StanzaEnd) {
        let federation = self.federation.load();
        let counts = self.metrics.of_partner(federation.partner(remote).map(|partner| partner.name.as_str()));
        kinds.for_each(|kind| counts.count(kind, end));
    }

    /// The bounds on streams.
    pub fn limits(&self) -> StreamLimits {
        self.limits.load().0
    }

    /// The bounds on connections.
    pub fn caps(&self) -> Caps {
        self.limits.load().1
    }

    /// Other bounds for what comes from now on.
    pub fn set_limits(&self, limits: StreamLimits, caps: Caps) {
        self.limits.store(Arc::new((limits, caps)));
    }

    /// The load balancers that may tell who connects.
    pub fn trusted_proxies(&self) -> Arc<Vec<Network>> {
        self.trusted_proxies.load_full()
    }

    /// Other load balancers for what connects from now on.
    pub fn set_trusted_proxies(&self, networks: Vec<Network>) {
        self.trusted_proxies.store(Arc::new(networks));
    }

    /// Follows the gateways' snapshots until the link ends.
    pub async fn follow_snapshots(&self) {
        let mut snapshots = self.link.snapshots();
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let (mut federation, faults) = Federation::new(&snapshot);
            federation.remember(&self.federation.load());
            let version = federation.version;
            self.federation.store(Arc::new(federation));
            self.policy.send_replace(version);
            if version > 0 {
                tracing::info!(version, "policy applied");
            }
            for (domain, fault) in faults {
                let cause = format!("a trust anchor of {domain} cannot be used: {fault}");
                let finding = Finding::new(Code::PolicyTrustAnchor, cause);
                self.report(finding, domain.as_str(), Direction::Out, None);
            }
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// Certificates and trust for handshakes from now on. Streams that rest on what is no longer trusted end; those that
    /// only know our old certificate live on.
    pub fn renew(&self, material: Material) {
        self.tls.replace(material);
        self.policy.send_modify(|_| {});
    }

    /// Waits until the newest snapshot is the policy in force: a gateway's first stanza may be faster than the task that
    /// prepares its snapshot.
    pub async fn newest_policy(&self) {
        let newest = self.link.snapshots().borrow().version;
        let mut policy = self.policy.subscribe();
        let _late_is_as_it_was = tokio::time::timeout(POLICY, policy.wait_for(|version| *version >= newest)).await;
    }

    /// Tells when the policy changes, or the trust.
    pub fn policy_changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.policy.subscribe();
        changes.mark_unchanged();
        changes
    }

    /// Tells when the edge is going away.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Ends every stream in order, each as soon as it can.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Turns a finding into a verdict: counted, kept, and, within a rate, logged and told to the gateways.
    pub fn report(&self, finding: Finding, domain: &str, direction: Direction, peer: Option<SocketAddr>) -> Verdict {
        let mut facts = finding.facts.unwrap_or_default();
        if let Some(pair) = finding.pair {
            facts.domain = pair.remote.as_str().to_owned();
            facts.local = pair.local.as_str().to_owned();
        } else if facts.domain.is_empty() {
            facts.domain = domain.to_owned();
        }
        let federation = self.federation.load();
        let partner = federation.partner(&facts.domain);
        facts.is_partner = partner.is_some();
        let verdict = Verdict {
            code: Some(finding.code),
            rung: finding.rung,
            side: finding.side,
            cause: finding.cause,
            remedy: finding.remedy.to_owned(),
            partner: partner.map_or_else(|| facts.domain.clone(), |partner| partner.name.as_str().to_owned()),
            direction,
            peer,
            at_ms: unix_ms(),
            facts: Some(facts),
        };
        self.link.report(verdict.clone());
        verdict
    }
}

/// Waits until the edge goes away.
pub async fn gone(draining: &mut watch::Receiver<bool>) {
    // An error means that the edge itself is no more.
    let _either = draining.wait_for(|draining| *draining).await;
}

/// 128 bits that nobody can guess, as text for a stream id.
pub fn fresh_id() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from_digit(digit.into(), 16)).collect()
}
