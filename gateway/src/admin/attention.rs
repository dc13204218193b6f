//! What an operator should look at: the first thing that overview and `causeway status` show.

use std::collections::{BTreeMap, BTreeSet};

use causeway_shared::health::Leg;
use serde::Serialize;
use utoipa::ToSchema;

use super::administration::InForce;
use super::check::certificates::ours;
use super::desk::Desk;
use super::panel::language::{Language, Texts};
use super::replicas::{arguments, is_unready, missing_legs};
use crate::config::stored::StoredKey;
use crate::pool::{Drift, View};
use crate::shell::now;

/// Failures that count: of the last hour.
const LATELY_MS: u64 = 3_600_000;

/// Partners that are named; whoever has more has one cause.
const MAX_PARTNERS: usize = 10;

/// An edge that does not work by the newest configuration after so long is behind.
const BEHIND_MS: u64 = 10_000;

/// Days before its end from which a certificate is named.
const ENDING_DAYS: i64 = 30;

/// Days before its end from which that is urgent.
const URGENT_DAYS: i64 = 7;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something does not work.
    Failed,
    /// Something will not, or is not as most would have it.
    Warning,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attention {
    /// How bad it is.
    pub level: Level,
    /// What it is, for programs: it never changes.
    pub code: &'static str,
    /// What the text names.
    pub args: BTreeMap<&'static str, String>,
    /// What it is and what to do, in the language of the request.
    pub text: String,
    /// The page of the panel where that is done.
    pub href: String,
}

/// Everything to look at, the worst first.
pub async fn attention(desk: &Desk, language: Language) -> Vec<Attention> {
    let (in_force, now_ms) = (desk.administration.in_force(), now().unix_ms);
    let mut found = legs(&(desk.legs)());
    found.extend(suspended(&in_force));
    found.extend(edges(desk, &in_force, now_ms));
    for own in ours(&in_force.config, now_ms).await {
        found.extend(own.certificate.map(|certificate| (own.role, certificate.days_left)).and_then(ending));
        found.extend(own.fault.map(|fault| {
            item(
                Level::Failed,
                "certificate-unreadable",
                [("role", own.role.to_owned()), ("reason", fault)],
                "/certificates",
            )
        }));
    }
    found.extend(replicas(&desk.replicas.view()));
    found.extend(failures(desk, now_ms));
    found.extend(choices(desk, &in_force).await);
    found.sort_by_key(|item| item.level);
    let texts = Texts::new(language);
    for item in &mut found {
        let arguments: Vec<_> = item.args.iter().collect();
        item.text = texts.known(&format!("attention-{}", item.code), &arguments).unwrap_or_default();
    }
    found
}

fn item<const N: usize>(
    level: Level,
    code: &'static str,
    args: [(&'static str, String); N],
    href: impl Into<String>,
) -> Attention {
    Attention { level, code, args: args.into_iter().collect(), text: String::new(), href: href.into() }
}

fn legs(legs: &[Leg]) -> Vec<Attention> {
    let down = legs.iter().filter(|leg| !leg.is_ready);
    down.map(|leg| {
        let (code, href) = match leg.name {
            "link" => ("no-edge", "/streams"),
            "sip" => ("no-sip", "/"),
            _ => ("no-store", "/"),
        };
        item(Level::Failed, code, [("reason", leg.reason.clone())], href)
    })
    .collect()
}

fn suspended(in_force: &InForce) -> Vec<Attention> {
    let told = in_force.suspended.iter().map(|suspended| {
        let reason = suspended.mistakes.first().map(ToString::to_string).unwrap_or_default();
        let (what, href) = match &suspended.what {
            StoredKey::Partner(domain) => (domain.clone(), format!("/partners/{domain}")),
            StoredKey::Setting(key) => (key.clone(), "/settings".to_owned()),
            StoredKey::Policy(identity) => (identity.clone(), "/policies".to_owned()),
            StoredKey::Grants(tag) => (format!("Tag:{tag}"), "/policies".to_owned()),
        };
        item(Level::Failed, "suspended", [("what", what), ("reason", reason)], href)
    });
    told.collect()
}

fn edges(desk: &Desk, in_force: &InForce, now_ms: u64) -> Vec<Attention> {
    let (attached, configured) = (desk.links.edges(), in_force.config.link.edges.len());
    let mut found = Vec::new();
    if !attached.is_empty() && attached.len() < configured {
        let args = [("attached", attached.len().to_string()), ("configured", configured.to_string())];
        found.push(item(Level::Warning, "edges-missing", args, "/streams"));
    }
    // The version of a snapshot is the time at which it was made.
    let is_old = in_force.snapshot.saturating_add(BEHIND_MS) < now_ms;
    for edge in attached.into_iter().filter(|edge| is_old && edge.applied < in_force.snapshot) {
        found.push(item(Level::Warning, "edge-behind", [("edge", edge.name)], "/streams"));
    }
    // What another gateway has told it last, this one would know by now, if it came from the store.
    for edge in desk.links.edges() {
        if edge.applied > in_force.snapshot && edge.applied.saturating_add(BEHIND_MS) < now_ms {
            found.push(item(Level::Warning, "edge-elsewhere", [("edge", edge.name)], "/replicas"));
        }
    }
    found
}

/// What does not fit between the gateways of a pool, and who of the others is not ready. What this one lacks its legs say.
fn replicas(view: &View) -> Vec<Attention> {
    let mut found = Vec::new();
    if let Some(reason) = view.fault.as_ref().filter(|_| view.is_shared) {
        found.push(item(Level::Failed, "replica-unheard", [("reason", reason.clone())], "/replicas"));
    }
    for replica in &view.replicas {
        for drift in &replica.drift {
            let (level, code) = match drift {
                Drift::Gone { .. } => (Level::Failed, "replica-gone"),
                Drift::SameId { .. } => (Level::Failed, "replica-same-id"),
                Drift::Behind { .. } => (Level::Failed, "replica-behind"),
                Drift::Differs { .. } => (Level::Warning, "replica-differs"),
                Drift::Older { .. } => (Level::Warning, "replica-older"),
                Drift::Clock { .. } => (Level::Warning, "replica-clock"),
            };
            let args = arguments(replica, drift).into_iter().collect();
            found.push(Attention { args, ..item(level, code, [], "/replicas") });
        }
        if is_unready(replica) && !view.is_own(replica) {
            let args = [("gateway", replica.report.gateway_id.clone()), ("reason", missing_legs(replica))];
            found.push(item(Level::Warning, "replica-not-ready", args, "/replicas"));
        }
    }
    found
}

fn ending((role, days): (&'static str, i64)) -> Option<Attention> {
    let args = [("role", role.to_owned()), ("days", days.max(0).to_string())];
    match days {
        i64::MIN..0 => Some(item(Level::Failed, "certificate-over", [("role", role.to_owned())], "/certificates")),
        0..URGENT_DAYS => Some(item(Level::Failed, "certificate-ending", args, "/certificates")),
        URGENT_DAYS..ENDING_DAYS => Some(item(Level::Warning, "certificate-ending", args, "/certificates")),
        ENDING_DAYS.. => None,
    }
}

fn failures(desk: &Desk, now_ms: u64) -> Vec<Attention> {
    let (mut named, mut found) = (BTreeSet::new(), Vec::new());
    for kept in desk.links.verdicts().newest() {
        let is_partner = kept.verdict.facts.as_deref().is_some_and(|facts| facts.is_partner);
        let is_recent = kept.verdict.at_ms.saturating_add(LATELY_MS) >= now_ms;
        if !is_partner || !is_recent || !named.insert(kept.verdict.partner.clone()) {
            continue;
        }
        let args = [
            ("partner", kept.verdict.partner.clone()),
            ("cause", causeway_shared::verdict::printable(&kept.verdict.cause)),
        ];
        found.push(item(
            Level::Warning,
            "partner-failures",
            args,
            format!("/verdicts?partner={}", kept.verdict.partner),
        ));
        if found.len() == MAX_PARTNERS {
            break;
        }
    }
    found
}

async fn choices(desk: &Desk, in_force: &InForce) -> Vec<Attention> {
    let mut found = Vec::new();
    if desk.shows_bodies() {
        found.push(item(Level::Warning, "bodies-shown", [], "/settings"));
    }
    if in_force.config.partners.is_empty() {
        found.push(item(Level::Warning, "no-partner", [], "/partners/new"));
    }
    if in_force.config.access.is_closed() {
        found.push(item(Level::Warning, "nobody-may", [], "/policies"));
    }
    // A store that does not answer is named already.
    if desk.login.accounts().await.is_ok_and(|accounts| accounts.is_empty()) {
        found.push(item(Level::Warning, "no-account", [], "/accounts"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_named_a_month_before_its_end_and_urgent_in_the_last_week() {
        let level = |days| ending(("link", days)).map(|item| (item.level, item.code));
        assert_eq!(level(31), None);
        assert_eq!(level(29), Some((Level::Warning, "certificate-ending")));
        assert_eq!(level(3), Some((Level::Failed, "certificate-ending")));
        assert_eq!(level(-1), Some((Level::Failed, "certificate-over")));
    }

    #[test]
    fn what_does_not_fit_in_the_pool_is_named_with_its_gateway() {
        use crate::admin::replicas::tests::view;
        use crate::pool::{LegReport, ReplicaState};

        let mut view = view();
        view.replicas[0].report.state = ReplicaState::NotReady;
        view.replicas[2].report.state = ReplicaState::NotReady;
        let sip = LegReport { name: "sip".into(), ready: false, reason: "0 targets known".into() };
        view.replicas[2].report.legs.push(sip);
        let found = replicas(&view);
        assert_eq!(
            found.iter().map(|item| (item.code, item.args["gateway"].as_str())).collect::<Vec<_>>(),
            [("replica-gone", "gateway-2"), ("replica-differs", "gateway-3"), ("replica-not-ready", "gateway-3")]
        );
        assert_eq!(found[2].args["reason"], "sip: 0 targets known");
        view.fault = Some("the store does not answer".into());
        assert_eq!(replicas(&view)[0].code, "replica-unheard");
    }

    #[test]
    fn a_leg_that_does_not_bear_is_named_with_its_reason() {
        let found = legs(&[Leg::new("link", false, "0 edges attached"), Leg::new("store", true, "it answers")]);
        assert_eq!(found.iter().map(|item| item.code).collect::<Vec<_>>(), ["no-edge"]);
        assert_eq!(found[0].args["reason"], "0 edges attached");
    }
}
