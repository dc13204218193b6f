//! Why one user sees the other as he does: a reading of what is stored, configured and was recorded. Decides nothing and
//! asks nobody.

use causeway_shared::verdict::history::Kept;
use causeway_shared::verdict::unmistakable;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{Event, Kind, Way};
use super::statement::{Statement, say};
use crate::engine::Settings;
use crate::engine::operator::Seen;
use crate::policy::Misrouted;
use crate::policy::access::{Applies, ExternalAccess};
use crate::presence::record::{InAuthorisation, InDialog, OutAuthorisation, OutDialog, Pair, PairKey};
use crate::translate::date::write_timestamp;
use crate::translate::presence::{PresenceKind, ResourcePresence, Show};

/// Verdicts of the partner that are told.
const VERDICTS: usize = 3;

/// What is known.
#[derive(Debug)]
pub struct Known<'a> {
    /// Who.
    pub key: &'a PairKey,
    /// Their record, if there is one.
    pub pair: Option<&'a Pair>,
    /// What the engine works by.
    pub settings: &'a Settings,
    /// What the engine has in memory, if it said so in time.
    pub seen: Option<&'a Seen>,
    /// The partner's verdicts, the newest first.
    pub verdicts: &'a [Kept],
    /// What passed of the pair, in order.
    pub events: &'a [Event],
    /// Edges that are attached.
    pub edges: usize,
    /// Now, in Unix milliseconds.
    pub now_ms: u64,
}

/// Why they see each other like this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The SIP user.
    pub local: String,
    /// The partner's user.
    pub remote: String,
    /// Why the partner's user sees the SIP user as he does, and what to do.
    pub remote_sees_local: Statement,
    /// Why the SIP user sees the partner's user as she does, and what to do.
    pub local_sees_remote: Statement,
    /// Who may, and by which rule.
    pub policy: Vec<Statement>,
    /// The partner's user watches the SIP user.
    pub inbound: Vec<Statement>,
    /// The SIP user watches the partner's user.
    pub outbound: Vec<Statement>,
    /// What was sent and has not arrived, and what passed last.
    pub events: Vec<Statement>,
    /// What failed or was refused lately with this partner.
    pub verdicts: Vec<Statement>,
}

/// Explains.
pub fn explain(known: &Known<'_>) -> Explanation {
    let blank = Pair::new(known.key.clone());
    let view = View {
        known,
        pair: known.pair.unwrap_or(&blank),
        local: unmistakable(known.key.local.as_str()),
        remote: unmistakable(known.key.remote.as_str()),
    };
    let (remote_sees_local, local_sees_remote) = match view.obstacle() {
        Some(obstacle) => (obstacle.clone(), obstacle),
        None => (view.conclude_inbound(), view.conclude_outbound()),
    };
    Explanation {
        remote_sees_local,
        local_sees_remote,
        policy: view.policy(),
        inbound: view.inbound(),
        outbound: view.outbound(),
        events: view.events(),
        verdicts: view.verdicts(),
        local: view.local,
        remote: view.remote,
    }
}

/// The name of the policy that applies to a user, as the original writes it.
pub(super) fn policy_name(access: &ExternalAccess, user: &causeway_shared::jid::BareJid) -> String {
    match access.applies(user) {
        Applies::Tag(tag) => format!("Tag:{tag}"),
        Applies::Site(site) => format!("Site:{}", site.as_str()),
        Applies::Global => "Global".to_owned(),
    }
}

fn time(at_ms: u64) -> String {
    write_timestamp(at_ms)
}

/// Devices with their availability.
fn devices(resources: &[ResourcePresence]) -> String {
    let each = resources.iter().map(|resource| {
        let name = if resource.resource.is_empty() { "-" } else { &resource.resource };
        let state = match (resource.available, resource.show) {
            (false, _) => "unavailable",
            (true, Show::Online) => "available",
            (true, show) => show.as_str().unwrap_or("available"),
        };
        format!("{} {state}", unmistakable(name))
    });
    each.collect::<Vec<_>>().join(", ")
}

struct View<'a> {
    known: &'a Known<'a>,
    pair: &'a Pair,
    local: String,
    remote: String,
}

impl View<'_> {
    /// A statement about both users.
    fn say(&self, code: &'static str, more: &[(&str, &str)]) -> Statement {
        let users = [("local", self.local.as_str()), ("remote", self.remote.as_str())];
        say(code, &[&users, more].concat())
    }

    /// A statement about both users and a moment.
    fn at(&self, code: &'static str, at_ms: u64) -> Statement {
        self.say(code, &[("at", &time(at_ms))])
    }

    /// What lets nothing pass in either direction.
    fn obstacle(&self) -> Option<Statement> {
        let Known { key, settings, edges, .. } = self.known;
        match settings.domains.between(&key.local.domain_name(), &key.remote.domain_name()) {
            Err(Misrouted::NotAPartner) => {
                return Some(self.say("conclude-no-partner", &[("domain", key.remote.domain())]));
            }
            Err(Misrouted::BothForeign) => {
                return Some(self.say("conclude-not-local", &[("domain", key.local.domain())]));
            }
            Err(Misrouted::BothLocal) => return Some(self.say("trace-both-local", &[])),
            Ok(_) => {}
        }
        if !settings.may_federate(&key.local) {
            let policy = policy_name(&settings.access, &key.local);
            return Some(self.say("conclude-denied", &[("user", &self.local), ("policy", &policy)]));
        }
        (*edges == 0).then(|| self.say("conclude-no-edge", &[]))
    }

    fn policy(&self) -> Vec<Statement> {
        let Known { key, settings, seen, edges, .. } = self.known;
        let mut said = partner_statements(settings, key);
        if let Some(seen) = seen {
            for (what, used, all) in seen.used.iter().filter(|(_, used, all)| *used > 0 || *all > 0) {
                let (limit, used, all) = (settings.quotas.of(*what).to_string(), used.to_string(), all.to_string());
                let args = [
                    ("user", &*self.remote),
                    ("used", &*used),
                    ("limit", &limit),
                    ("what", what.as_str()),
                    ("all", &all),
                ];
                said.push(self.say("trace-used", &args));
            }
            if seen.held > 0 {
                said.push(
                    self.say("trace-held", &[("count", &seen.held.to_string()), ("domain", key.remote.domain())]),
                );
            }
        }
        said.push(match edges {
            0 => self.say("trace-no-edge", &[]),
            edges => self.say("trace-edges", &[("count", &edges.to_string())]),
        });
        said
    }

    fn inbound(&self) -> Vec<Statement> {
        let inbound = &self.pair.inbound;
        let since = time(inbound.since_ms);
        let mut said = vec![match inbound.authorisation {
            InAuthorisation::None => self.say("trace-in-none", &[]),
            InAuthorisation::Held => self.say("trace-in-held", &[("since", &since)]),
            InAuthorisation::Pending => self.say("trace-in-pending", &[("since", &since)]),
            InAuthorisation::Authorised => self.say("trace-in-authorised", &[("since", &since)]),
        }];
        if inbound.authorisation == InAuthorisation::None && inbound.dialog == InDialog::None {
            return said;
        }
        said.push(match &inbound.dialog {
            InDialog::None => self.say("trace-in-dialog-none", &[]),
            InDialog::Trying { give_up_at, .. } => self.at("trace-in-dialog-trying", *give_up_at),
            InDialog::Live { is_active: false, expires_at, .. } => {
                self.say("trace-in-dialog-pending", &[("expires", &time(*expires_at))])
            }
            InDialog::Live { expires_at, refresh_at: Some(refresh), refresh: None, .. } => {
                let args = [("expires", &*time(*expires_at)), ("refresh", &time(*refresh))];
                self.say("trace-in-dialog-active", &args)
            }
            InDialog::Live { expires_at, .. } => {
                self.say("trace-in-dialog-refreshing", &[("expires", &time(*expires_at))])
            }
            InDialog::Closing { until, .. } => self.at("trace-in-dialog-closing", *until),
            InDialog::Backoff { until, .. } => {
                let args = [("at", &*time(*until)), ("attempts", &inbound.attempts.to_string())];
                self.say("trace-in-dialog-backoff", &args)
            }
        });
        said.push(match inbound.resources.as_slice() {
            [] => self.say("trace-in-told-nothing", &[]),
            resources => self.say("trace-in-told", &[("devices", &devices(resources))]),
        });
        if !inbound.is_told && inbound.authorisation == InAuthorisation::Authorised {
            said.push(self.say("trace-in-untold", &[]));
        }
        said.extend(inbound.gone_ms.map(|at| self.at("trace-in-gone", at)));
        if inbound.lease_until > 0 {
            said.push(self.at("trace-in-lease", inbound.lease_until));
        }
        said.extend(inbound.refusal_due.map(|at| self.at("trace-in-refusal", at)));
        said.extend(inbound.probe.as_ref().map(|_| self.say("trace-in-probe", &[])));
        said
    }

    fn outbound(&self) -> Vec<Statement> {
        let outbound = &self.pair.outbound;
        let since = time(outbound.since_ms);
        let mut said = vec![match outbound.authorisation {
            OutAuthorisation::None => self.say("trace-out-none", &[]),
            OutAuthorisation::PendingOut => {
                self.say("trace-out-pending", &[("since", &since), ("asked", &time(outbound.asked_at))])
            }
            OutAuthorisation::To => self.say("trace-out-to", &[("since", &since)]),
        }];
        said.extend(outbound.cool_down_until.map(|at| self.at("trace-out-cool-down", at)));
        if let Some(at) = outbound.retry_at {
            let args = [("at", &*time(at)), ("attempts", &outbound.attempts.to_string())];
            said.push(self.say("trace-out-retry", &args));
        }
        said.extend(outbound.dialogs.iter().map(|dialog| self.watcher(dialog)));
        if outbound.authorisation == OutAuthorisation::None {
            return said;
        }
        if outbound.dialogs.is_empty() {
            said.push(self.say("trace-out-no-dialog", &[("seen", &time(outbound.last_seen_ms))]));
        }
        said.push(match outbound.resources.as_slice() {
            [] => self.say("trace-out-no-devices", &[]),
            resources => self.say("trace-out-devices", &[("devices", &devices(resources))]),
        });
        if let Some(at) = outbound.stale_at {
            let args = [("at", &*time(at)), ("domain", self.known.key.remote.domain())];
            said.push(self.say("trace-out-stale", &args));
        }
        said
    }

    fn watcher(&self, watcher: &OutDialog) -> Statement {
        let expires = time(watcher.expires_at);
        match (&watcher.in_flight, watcher.is_dirty) {
            (Some(_), _) => self.say("trace-out-dialog-in-flight", &[("expires", &expires)]),
            (None, true) => {
                let args = [("expires", &*expires), ("at", &time(watcher.paced_until))];
                self.say("trace-out-dialog-dirty", &args)
            }
            (None, false) => self.say("trace-out-dialog", &[("expires", &expires)]),
        }
    }

    fn events(&self) -> Vec<Statement> {
        let mut said = Vec::new();
        for owed in &self.pair.owed {
            let args = [("what", kind_name(owed.kind)), ("at", &time(owed.resend_at))];
            said.push(self.say("trace-owed", &args));
        }
        let last = |way: Way| {
            let is_it =
                |event: &&Event| event.way == way && !matches!(event.kind, Kind::Outcome | Kind::Verdict | Kind::Edge);
            self.known.events.iter().rev().find(is_it)
        };
        for (way, direction) in [(Way::In, "received"), (Way::Out, "sent")] {
            if let Some(event) = last(way) {
                let args = [("direction", direction), ("at", &time(event.at_ms)), ("what", &event.label)];
                said.push(self.say("trace-last", &args));
            }
        }
        if self.known.events.is_empty() {
            said.push(self.say("trace-nothing-recorded", &[]));
        }
        said
    }

    fn verdicts(&self) -> Vec<Statement> {
        let domain = self.known.key.remote.domain();
        if self.known.verdicts.is_empty() {
            return vec![self.say("trace-no-verdict", &[("domain", domain)])];
        }
        let newest = self.known.verdicts.iter().take(VERDICTS);
        let said = newest.map(|kept| {
            let verdict = &kept.verdict;
            let args = [
                ("at", &*time(verdict.at_ms)),
                ("count", &kept.count.to_string()),
                ("cause", &verdict.cause),
                ("rung", verdict.rung.as_str()),
                ("side", verdict.side.as_str()),
                ("remedy", &verdict.remedy),
            ];
            self.say("trace-verdict", &args)
        });
        said.collect()
    }

    fn conclude_inbound(&self) -> Statement {
        let inbound = &self.pair.inbound;
        let is_owed = self.pair.owed.iter().any(|owed| owed.kind == PresenceKind::Available);
        match (inbound.authorisation, &inbound.dialog) {
            (InAuthorisation::None, _) => self.say("conclude-in-none", &[]),
            (InAuthorisation::Held, _) => self.say("conclude-in-held", &[]),
            (InAuthorisation::Pending, _) => self.say("conclude-in-pending", &[]),
            (InAuthorisation::Authorised, InDialog::Live { expires_at, .. }) if *expires_at > self.known.now_ms => {
                if !inbound.is_told || is_owed {
                    return self.say("conclude-in-untold", &[("domain", self.known.key.remote.domain())]);
                }
                match inbound.resources.iter().any(|resource| resource.available) {
                    true => self.say("conclude-in-fine", &[("devices", &devices(&inbound.resources))]),
                    false => self.say("conclude-in-offline", &[]),
                }
            }
            (
                InAuthorisation::Authorised,
                InDialog::None
                | InDialog::Trying { .. }
                | InDialog::Live { .. }
                | InDialog::Closing { .. }
                | InDialog::Backoff { .. },
            ) => self.say("conclude-in-lost", &[]),
        }
    }

    fn conclude_outbound(&self) -> Statement {
        let outbound = &self.pair.outbound;
        let now_ms = self.known.now_ms;
        match (outbound.authorisation, outbound.cool_down_until) {
            (OutAuthorisation::None, Some(at)) if at > now_ms => return self.at("conclude-out-refused", at),
            (OutAuthorisation::None, _) => return self.say("conclude-out-none", &[]),
            (OutAuthorisation::PendingOut, _) => return self.say("conclude-out-pending", &[]),
            (OutAuthorisation::To, _) => {}
        }
        let is_live = |watcher: &&OutDialog| watcher.expires_at > now_ms;
        if !outbound.dialogs.iter().any(|watcher| is_live(&watcher)) {
            return self.say("conclude-out-unwatched", &[]);
        }
        if outbound.stale_at.is_some() {
            return self.say("conclude-out-stale", &[("domain", self.known.key.remote.domain())]);
        }
        if outbound.dialogs.iter().filter(is_live).any(|watcher| watcher.is_dirty || watcher.in_flight.is_some()) {
            return self.say("conclude-out-untold", &[]);
        }
        match outbound.resources.iter().any(|resource| resource.available) {
            true => self.say("conclude-out-fine", &[("devices", &devices(&outbound.resources))]),
            false => self.say("conclude-out-offline", &[]),
        }
    }
}

/// Partner, policy and quotas of a pair.
pub(super) fn partner_statements(settings: &Settings, key: &PairKey) -> Vec<Statement> {
    let user = unmistakable(key.local.as_str());
    let mut said = Vec::new();
    let (local, remote) = (key.local.domain_name(), key.remote.domain_name());
    if !settings.domains.is_local(&local) {
        said.push(say("trace-not-local", &[("domain", local.as_str())]));
    }
    match settings.domains.partner(&remote) {
        Some(partner) => {
            let args = [
                ("domain", remote.as_str()),
                ("partner", partner.primary.as_str()),
                ("type", partner.partner_type.as_str()),
            ];
            said.push(say("trace-partner", &args));
            if !partner.partner_type.may_act_unadded() {
                said.push(say("trace-partner-adding", &[]));
            }
        }
        None if settings.domains.is_local(&remote) => said.push(say("trace-both-local", &[])),
        None => said.push(say("trace-no-partner", &[("domain", remote.as_str())])),
    }
    let code = if settings.may_federate(&key.local) { "trace-access-allowed" } else { "trace-access-denied" };
    said.push(say(code, &[("user", &user), ("policy", &policy_name(&settings.access, &key.local))]));
    let quotas = &settings.quotas;
    let (subscribe, probe, message) =
        (quotas.subscribe.to_string(), quotas.probe.to_string(), quotas.message.to_string());
    let remote = unmistakable(key.remote.as_str());
    let args = [("user", &*remote), ("subscribe", &subscribe), ("probe", &probe), ("message", &message)];
    said.push(say("trace-quota", &args));
    said
}

const fn kind_name(kind: PresenceKind) -> &'static str {
    match kind {
        PresenceKind::Available => "availability",
        PresenceKind::Unavailable => "unavailable",
        PresenceKind::Subscribe => "subscribe",
        PresenceKind::Subscribed => "subscribed",
        PresenceKind::Unsubscribe => "unsubscribe",
        PresenceKind::Unsubscribed => "unsubscribed",
        PresenceKind::Probe => "probe",
        PresenceKind::Error => "error",
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
