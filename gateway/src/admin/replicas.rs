//! The gateways that share the store, in words: for the panel, the interface and what needs attention.

use super::panel::language::Texts;
use crate::pool::{Drift, Replica, ReplicaState, View};

/// What a drift is called for programs, what its text names, and that text's key.
pub(super) type Words = Vec<(&'static str, String)>;

/// The arguments of the text of a drift.
pub(super) fn arguments(replica: &Replica, drift: &Drift) -> Words {
    let own = &replica.report;
    let mut words = vec![("gateway", own.gateway_id.clone())];
    match drift {
        Drift::Gone { silent_ms } => words.push(("seconds", (silent_ms / 1_000).to_string())),
        Drift::SameId { boot } => words.extend([("boot", own.boot.clone()), ("other", boot.clone())]),
        Drift::Behind { newest, for_ms } => words.extend([
            ("revision", own.revision.to_string()),
            ("newest", newest.to_string()),
            ("seconds", (for_ms / 1_000).to_string()),
        ]),
        Drift::Differs { from, sections } => words.extend([("from", from.clone()), ("sections", sections.join(", "))]),
        Drift::Older { program } => words.extend([("program", own.program.clone()), ("newest", program.clone())]),
        Drift::Clock { ahead_ms } => words.push(("seconds", seconds(*ahead_ms))),
    }
    words
}

/// Milliseconds as signed seconds with a tenth.
fn seconds(ms: i64) -> String {
    let tenths = ms.unsigned_abs() / 100;
    let sign = if ms < 0 { "-" } else { "+" };
    format!("{sign}{}.{}", tenths / 10, tenths % 10)
}

/// What a drift is and what to do, in the reader's language.
pub(super) fn text(texts: Texts, replica: &Replica, drift: &Drift) -> String {
    texts.known(&format!("attention-replica-{}", drift.code()), &arguments(replica, drift)).unwrap_or_default()
}

/// How a replica is, by the name that texts and interface have for it.
pub(super) fn state(replica: &Replica) -> &'static str {
    if replica.is_live() { replica.report.state.as_str() } else { "gone" }
}

/// The legs of a replica that do not bear, as one text.
pub(super) fn missing_legs(replica: &Replica) -> String {
    let missing = replica.report.legs.iter().filter(|leg| !leg.ready);
    missing.map(|leg| format!("{}: {}", leg.name, leg.reason)).collect::<Vec<_>>().join("; ")
}

/// The others that somebody could look at: their names, and how browsers reach their panels, if they do.
pub(super) fn others(view: &View) -> Vec<(String, String)> {
    let others = view.replicas.iter().filter(|replica| !view.is_own(replica) && replica.is_live());
    others.map(|replica| (replica.report.gateway_id.clone(), panel(replica))).collect()
}

/// How browsers reach a replica's panel; empty if they do not. What a replica says of itself is no script.
pub(super) fn panel(replica: &Replica) -> String {
    let url = &replica.report.panel;
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if is_web { url.clone() } else { String::new() }
}

/// Whether a replica is there and yet cannot work.
pub(super) fn is_unready(replica: &Replica) -> bool {
    replica.is_live() && matches!(replica.report.state, ReplicaState::NotReady | ReplicaState::Starting)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::panel::language::Language;
    use crate::pool::{LegReport, Report};

    /// A replica that is ready.
    pub(in crate::admin) fn replica(id: &str) -> Replica {
        let report = Report {
            gateway_id: id.into(),
            boot: format!("boot-{id}"),
            program: "0.1.0".into(),
            schema: 4,
            started_ms: 1_894_699_000_000,
            state: ReplicaState::Ready,
            legs: vec![LegReport { name: "link".into(), ready: true, reason: "2 edges attached".into() }],
            edges: 2,
            revision: 7,
            digest: "0123456789ab".into(),
            snapshot: 1_894_699_700_000,
            panel: format!("https://{id}.contoso.example:8080"),
            ..Report::default()
        };
        Replica { seen_ms: 1_894_699_800_000, report, drift: Vec::new() }
    }

    /// Three of which the first is this one, the second is gone and the third has other files.
    pub(in crate::admin) fn view() -> View {
        let mut replicas = ["gateway-1", "gateway-2", "gateway-3"].map(replica);
        replicas[1].drift = vec![Drift::Gone { silent_ms: 12_345 }];
        replicas[1].seen_ms -= 12_345;
        replicas[2].drift =
            vec![Drift::Differs { from: "gateway-1".into(), sections: vec!["partner".into(), "sip".into()] }];
        View {
            gateway_id: "gateway-1".into(),
            boot: "boot-gateway-1".into(),
            replicas: replicas.into(),
            heard_ms: 1_894_699_800_500,
            fault: None,
            is_shared: true,
        }
    }

    #[test]
    fn every_drift_has_its_words_in_every_language() {
        let all = [
            Drift::Gone { silent_ms: 12_345 },
            Drift::SameId { boot: "boot-2".into() },
            Drift::Behind { newest: 9, for_ms: 6_000 },
            Drift::Differs { from: "gateway-9".into(), sections: vec!["sip".into()] },
            Drift::Older { program: "0.2.0".into() },
            Drift::Clock { ahead_ms: -3_250 },
        ];
        for language in Language::ALL {
            for drift in &all {
                let text = text(Texts::new(language), &replica("gateway-2"), drift);
                assert!(text.contains("gateway-2"), "{language}: {drift:?}: {text}");
                for (name, value) in arguments(&replica("gateway-2"), drift) {
                    assert!(text.contains(&value), "{language}: {drift:?} lacks {name}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_clock_is_behind_or_ahead_in_seconds() {
        assert_eq!([seconds(2_999), seconds(-2_999), seconds(3_600_000)], ["+2.9", "-2.9", "+3600.0"]);
    }

    #[test]
    fn only_addresses_of_the_web_are_links() {
        let mut replica = replica("gateway-2");
        replica.report.panel = "javascript:alert(1)".into();
        assert_eq!(panel(&replica), "");
        replica.report.panel = "http://10.0.0.2:8080".into();
        assert_eq!(panel(&replica), "http://10.0.0.2:8080");
    }

    #[test]
    fn the_others_are_those_that_are_there() {
        let names: Vec<String> = others(&view()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["gateway-3"]);
    }
}
