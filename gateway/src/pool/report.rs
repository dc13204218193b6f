//! What a replica says of itself, as it is kept in the store for the others: JSON, so that replicas of two versions understand
//! each other. What one does not know it leaves out, and what is missing is empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", from = "String")]
pub enum ReplicaState {
    /// It has not been ready since it was started.
    Starting,
    /// Every leg bears.
    Ready,
    /// A leg does not bear.
    NotReady,
    /// It leaves, and takes nothing new.
    Draining,
    /// It says something that this version does not know.
    #[default]
    Unknown,
}

impl From<String> for ReplicaState {
    fn from(name: String) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or_default()
    }
}

impl ReplicaState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Ready, Self::NotReady, Self::Draining, Self::Unknown];

    /// Its name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Draining => "draining",
            Self::Unknown => "unknown",
        }
    }
}

/// Something that a replica stands on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LegReport {
    /// `link`, `sip` or `store`.
    pub name: String,
    /// Whether it bears.
    pub ready: bool,
    /// What is or is not there.
    pub reason: String,
}

/// What a replica says of itself. Times are Unix milliseconds by the store's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Its name (`gateway_id`).
    pub gateway_id: String,
    /// A name for this process: other processes with the same `gateway_id` have another one.
    pub boot: String,
    /// The version of the software.
    pub program: String,
    /// The schema that it works with.
    pub schema: u32,
    /// When it was started.
    pub started_ms: u64,
    /// How it is.
    pub state: ReplicaState,
    /// What it stands on.
    pub legs: Vec<LegReport>,
    /// Attached edges.
    pub edges: usize,
    /// The revision of documents and grants that it works by.
    pub revision: u64,
    /// Since when.
    pub revision_since_ms: u64,
    /// The digest of the configuration that all must have alike.
    pub digest: String,
    /// The same by sections of the file.
    pub sections: BTreeMap<String, String>,
    /// Since when it has that digest.
    pub digest_since_ms: u64,
    /// The version of what it tells edges.
    pub snapshot: u64,
    /// How far its clock is before that of the store.
    pub clock_ahead_ms: i64,
    /// How browsers reach its panel.
    pub panel: String,
}

impl Report {
    /// Its form in the store.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads it. What cannot be read says nothing but that there is somebody.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// The key under which a process reports: two with the same `gateway_id` do not overwrite each other.
pub fn row_key(gateway_id: &str, boot: &str) -> String {
    format!("{gateway_id}#{boot}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_as_it_went() {
        let report = Report {
            gateway_id: "gateway-1".into(),
            boot: "b1".into(),
            state: ReplicaState::NotReady,
            legs: vec![LegReport { name: "sip".into(), ready: false, reason: "0 targets known".into() }],
            sections: [("sip".to_owned(), "0123".to_owned())].into(),
            clock_ahead_ms: -3,
            ..Report::default()
        };
        assert_eq!(Report::from_json(&report.to_json()), report);
    }

    #[test]
    fn a_report_of_another_version_is_read_as_far_as_it_goes() {
        let report = Report::from_json(r#"{"gateway_id": "g", "state": "resting", "moon": "full", "edges": 2}"#);
        let expected = Report { gateway_id: "g".into(), edges: 2, ..Report::default() };
        assert_eq!((report.state, &report), (ReplicaState::Unknown, &expected));
        assert_eq!(Report::from_json("no JSON"), Report::default());
    }
}
