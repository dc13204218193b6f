//! What is known about a document besides its keys: where it comes from, who changed it, and whether it is in force.

use causeway_shared::config::ConfigWarning;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::administration::{InForce, is_about};
use crate::admin::change::{Subject, document};
use crate::admin::receipt::{Fault, Note};

/// Where something is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// In gateway.toml, and changed there only.
    File,
    /// In the store: changed here.
    Store,
}

/// What is known about a document besides its keys. None of it can be written.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Standing {
    /// Where it is declared.
    pub source: Source,
    /// The version to name in `If-Match`; 0 if it was never changed here.
    pub version: u64,
    /// When it was last changed here, in Unix milliseconds.
    pub changed_at_ms: Option<u64>,
    /// Who did.
    pub changed_by: Option<String>,
    /// What is allowed and worth a second look.
    pub warnings: Vec<Note>,
    /// Why it is not in force; empty if it is.
    pub suspended: Vec<Fault>,
}

impl Standing {
    /// Of a subject.
    pub fn of(in_force: &InForce, subject: &Subject) -> Self {
        let stored = document(&in_force.data, subject);
        let suspended = in_force.suspended.iter().filter(|suspended| is_about(&suspended.what, subject));
        let faults = suspended.flat_map(|suspended| &suspended.mistakes).map(|mistake| {
            let key = mistake.key.split_once("].").map_or(mistake.key.as_str(), |(_, key)| key);
            Fault::of(mistake, key.to_owned())
        });
        Self {
            source: if in_force.is_declared(subject) { Source::File } else { Source::Store },
            version: stored.map_or(0, |stored| stored.version),
            changed_at_ms: stored.map(|stored| stored.changed_at_ms),
            changed_by: stored.map(|stored| stored.changed_by.clone()),
            warnings: warnings(in_force, subject),
            suspended: faults.collect(),
        }
    }
}

/// The warnings about a subject, with the keys of its document.
fn warnings(in_force: &InForce, subject: &Subject) -> Vec<Note> {
    let about = |warning: &ConfigWarning| {
        let key = match subject {
            Subject::Partner(domain) => {
                let (index, key) = indexed(&warning.key, "partner")?;
                in_force.config.partners.get(index).filter(|partner| partner.domain.as_str() == domain)?;
                key
            }
            Subject::Policy(identity) => {
                let (index, key) = indexed(&warning.key, "external_access_policy")?;
                in_force.config.policies.get(index).filter(|policy| policy.identity == *identity)?;
                key
            }
            Subject::Settings => warning.key.strip_prefix("gateway_settings.")?,
            Subject::Grant(_) => return None,
        };
        Some(Note { key: key.to_owned(), ..Note::of(warning) })
    };
    in_force.warnings.iter().filter_map(about).collect()
}

/// `list[3].key`: the index and the key.
fn indexed<'k>(key: &'k str, list: &str) -> Option<(usize, &'k str)> {
    let (index, rest) = key.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_list_has_an_index_and_a_rest() {
        assert_eq!(indexed("partner[3].tls_negotiation", "partner"), Some((3, "tls_negotiation")));
        assert_eq!(indexed("partner[3]", "partner"), Some((3, "")));
        assert_eq!(indexed("partner", "partner"), None);
        assert_eq!(indexed("partner[x].y", "partner"), None);
    }
}
