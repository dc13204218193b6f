//! What a change does to the operator's data, before anybody asks whether the result does: pure functions.

use std::collections::BTreeMap;

use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use serde_json::Value;

use super::documents::{Object, merge, table};
use crate::config::Stored;
use crate::store::operator::{Document, DocumentChange, DocumentKind, OperatorData};

/// The identity of the one document of settings.
pub const SETTINGS: &str = "Global";

/// One change that an operator wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// New-CsXmppAllowedPartner.
    NewPartner(Object),
    /// Replaces a partner.
    PutPartner {
        /// Its primary domain.
        domain: String,
        /// All its keys; what is left out has its default.
        document: Object,
    },
    /// Set-CsXmppAllowedPartner: changes what it names, `null` brings the default back.
    PatchPartner {
        /// Its primary domain.
        domain: String,
        /// Keys and values.
        patch: Object,
    },
    /// Remove-CsXmppAllowedPartner.
    RemovePartner {
        /// Its primary domain.
        domain: String,
    },
    /// Set-CsXmppGatewayConfiguration: changes what it names, `null` brings the default back.
    PatchSettings(Object),
    /// New-CsExternalAccessPolicy.
    NewPolicy(Object),
    /// Set-CsExternalAccessPolicy.
    PutPolicy {
        /// Its identity.
        identity: String,
        /// All its keys.
        document: Object,
    },
    /// Remove-CsExternalAccessPolicy.
    RemovePolicy {
        /// Its identity.
        identity: String,
    },
    /// Grant-CsExternalAccessPolicy.
    Grant {
        /// The user.
        user: String,
        /// The tag, with or without `Tag:`.
        policy: String,
    },
    /// Takes a granted policy back (`-PolicyName $null`).
    Revoke {
        /// The user.
        user: String,
    },
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A partner, by the canonical form of its primary domain.
    Partner(String),
    /// The settings.
    Settings,
    /// A policy, by its canonical identity.
    Policy(String),
    /// The grant of a user.
    Grant(String),
}

/// Why a change cannot even be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// There is none of that name in the store.
    Absent,
    /// There is one already.
    Exists,
    /// The document names another one than the change.
    OtherIdentity {
        /// The key that does.
        key: &'static str,
    },
    /// The name is none.
    Unreadable {
        /// The key or path parameter.
        key: &'static str,
        /// What was written.
        found: String,
        /// Why it is none.
        reason: String,
    },
}

impl Change {
    /// What it is about, and the word for the journal.
    pub fn subject(&self) -> (Result<Subject, Misfit>, &'static str) {
        match self {
            Self::NewPartner(document) => (named(document, "domain", partner), "partner.new"),
            Self::PutPartner { domain, .. } => (partner(domain), "partner.put"),
            Self::PatchPartner { domain, .. } => (partner(domain), "partner.set"),
            Self::RemovePartner { domain } => (partner(domain), "partner.remove"),
            Self::PatchSettings(_) => (Ok(Subject::Settings), "settings.set"),
            Self::NewPolicy(document) => (named(document, "identity", policy), "policy.new"),
            Self::PutPolicy { identity, .. } => (policy(identity), "policy.set"),
            Self::RemovePolicy { identity } => (policy(identity), "policy.remove"),
            Self::Grant { user, .. } => (grant(user), "policy.grant"),
            Self::Revoke { user } => (grant(user), "policy.revoke"),
        }
    }

    /// What the store has to be told, with the data as it is.
    pub fn against(&self, data: &OperatorData) -> Result<DocumentChange, Misfit> {
        let subject = self.subject().0?;
        let present = document(data, &subject);
        match (self, subject) {
            (Self::NewPartner(_) | Self::NewPolicy(_), _) if present.is_some() => Err(Misfit::Exists),
            (Self::NewPartner(new), Subject::Partner(domain)) => put(DocumentKind::Partner, domain, new.clone()),
            (Self::PutPartner { document, .. }, Subject::Partner(domain)) => {
                present.ok_or(Misfit::Absent)?;
                same(document, "domain", &domain, partner)?;
                put(DocumentKind::Partner, domain, document.clone())
            }
            (Self::PatchPartner { patch, .. }, Subject::Partner(domain)) => {
                let mut patched = object(present.ok_or(Misfit::Absent)?);
                merge(&mut patched, patch.clone());
                same(&patched, "domain", &domain, partner)?;
                put(DocumentKind::Partner, domain, patched)
            }
            (Self::PatchSettings(patch), _) => {
                let mut patched = present.map(object).unwrap_or_default();
                merge(&mut patched, patch.clone());
                put(DocumentKind::GatewaySettings, SETTINGS.to_owned(), patched)
            }
            (Self::NewPolicy(new), Subject::Policy(identity)) => {
                put(DocumentKind::ExternalAccessPolicy, identity, new.clone())
            }
            (Self::PutPolicy { document, .. }, Subject::Policy(identity)) => {
                present.ok_or(Misfit::Absent)?;
                same(document, "identity", &identity, policy)?;
                put(DocumentKind::ExternalAccessPolicy, identity, document.clone())
            }
            (Self::RemovePartner { .. }, Subject::Partner(identity)) => {
                present.ok_or(Misfit::Absent)?;
                Ok(DocumentChange::Remove { kind: DocumentKind::Partner, identity })
            }
            (Self::RemovePolicy { .. }, Subject::Policy(identity)) => {
                present.ok_or(Misfit::Absent)?;
                Ok(DocumentChange::Remove { kind: DocumentKind::ExternalAccessPolicy, identity })
            }
            (Self::Grant { policy, .. }, Subject::Grant(user)) => {
                Ok(DocumentChange::Grant { user, policy: tag(policy) })
            }
            (Self::Revoke { .. }, Subject::Grant(user)) => {
                let has = data.grants.iter().any(|grant| grant.user == user);
                if has { Ok(DocumentChange::Revoke { user }) } else { Err(Misfit::Absent) }
            }
            // A change has the subject of its kind.
            (_, _) => Err(Misfit::Absent),
        }
    }
}

/// The name of a policy that can be granted, as it is kept.
fn tag(policy: &str) -> String {
    let name = match policy.split_once(':') {
        Some((scope, name)) if scope.eq_ignore_ascii_case("tag") => name,
        Some(_) | None => policy,
    };
    name.trim().to_lowercase()
}

fn named(
    document: &Object,
    key: &'static str,
    read: impl FnOnce(&str) -> Result<Subject, Misfit>,
) -> Result<Subject, Misfit> {
    match document.get(key) {
        Some(Value::String(name)) if !name.trim().is_empty() => read(name),
        Some(Value::String(_)) | None | Some(Value::Null) => {
            Err(Misfit::Unreadable { key, found: String::new(), reason: "it is missing".to_owned() })
        }
        Some(other) => Err(Misfit::Unreadable { key, found: other.to_string(), reason: "it is no text".to_owned() }),
    }
}

fn same(
    document: &Object,
    key: &'static str,
    identity: &str,
    read: impl FnOnce(&str) -> Result<Subject, Misfit>,
) -> Result<(), Misfit> {
    match named(document, key, read)? {
        Subject::Partner(name) | Subject::Policy(name) if name == identity => Ok(()),
        Subject::Partner(_) | Subject::Policy(_) | Subject::Grant(_) | Subject::Settings => {
            Err(Misfit::OtherIdentity { key })
        }
    }
}

fn partner(domain: &str) -> Result<Subject, Misfit> {
    let unreadable = |error: &dyn std::fmt::Display| Misfit::Unreadable {
        key: "domain",
        found: domain.to_owned(),
        reason: error.to_string(),
    };
    let name = DomainName::parse(domain.trim()).map_err(|error| unreadable(&error))?;
    Ok(Subject::Partner(name.to_string()))
}

/// The identity of a policy as it is compared: scope and tag regardless of case, a site as a canonical domain.
fn policy(identity: &str) -> Result<Subject, Misfit> {
    let unreadable =
        |reason: &str| Misfit::Unreadable { key: "identity", found: identity.to_owned(), reason: reason.to_owned() };
    let text = identity.trim();
    if text.eq_ignore_ascii_case("global") {
        return Ok(Subject::Policy("Global".to_owned()));
    }
    match text.split_once(':') {
        Some((scope, name)) if scope.eq_ignore_ascii_case("site") => {
            let site = DomainName::parse(name.trim()).map_err(|error| unreadable(&error.to_string()))?;
            Ok(Subject::Policy(format!("Site:{site}")))
        }
        Some((scope, name)) if scope.eq_ignore_ascii_case("tag") && !name.trim().is_empty() => {
            Ok(Subject::Policy(format!("Tag:{}", tag(name))))
        }
        Some(_) | None => Err(unreadable("it is neither Global nor Site:DOMAIN nor Tag:NAME")),
    }
}

fn grant(user: &str) -> Result<Subject, Misfit> {
    let unreadable = |reason: String| Misfit::Unreadable { key: "user", found: user.to_owned(), reason };
    let name = BareJid::parse(user.trim()).map_err(|error| unreadable(error.to_string()))?;
    if name.as_jid().local().is_none() {
        return Err(unreadable("it names no user".to_owned()));
    }
    Ok(Subject::Grant(name.as_str().to_owned()))
}

fn put(kind: DocumentKind, identity: String, mut document: Object) -> Result<DocumentChange, Misfit> {
    document.retain(|_, value| !value.is_null());
    Ok(DocumentChange::Put { kind, identity, json: Value::Object(document).to_string() })
}

/// The document that a subject has in the store.
pub fn document<'d>(data: &'d OperatorData, subject: &Subject) -> Option<&'d Document> {
    let (kind, identity) = match subject {
        Subject::Partner(domain) => (DocumentKind::Partner, domain.as_str()),
        Subject::Settings => (DocumentKind::GatewaySettings, SETTINGS),
        Subject::Policy(identity) => (DocumentKind::ExternalAccessPolicy, identity.as_str()),
        Subject::Grant(_) => return None,
    };
    data.documents.iter().find(|document| document.kind == kind && document.identity == identity)
}

/// The keys and values of a document. One that is no JSON object was not written by us, and has none.
pub fn object(document: &Document) -> Object {
    serde_json::from_str(&document.json).unwrap_or_default()
}

/// The data after the changes, for trying them out.
pub fn apply(data: &OperatorData, changes: &[DocumentChange]) -> OperatorData {
    let mut data = data.clone();
    for change in changes {
        match change {
            DocumentChange::Put { kind, identity, json } => {
                let fresh = Document {
                    kind: *kind,
                    identity: identity.clone(),
                    version: 0,
                    json: json.clone(),
                    changed_at_ms: 0,
                    changed_by: String::new(),
                };
                match data.documents.iter_mut().find(|old| old.kind == *kind && old.identity == *identity) {
                    Some(old) => *old = fresh,
                    None => data.documents.push(fresh),
                }
            }
            DocumentChange::Remove { kind, identity } => {
                data.documents.retain(|old| old.kind != *kind || old.identity != *identity);
            }
            DocumentChange::Grant { user, policy } => {
                data.grants.retain(|grant| grant.user != *user);
                data.grants.push(crate::store::operator::Grant {
                    user: user.clone(),
                    policy: policy.clone(),
                    changed_at_ms: 0,
                    changed_by: String::new(),
                });
            }
            DocumentChange::Revoke { user } => data.grants.retain(|grant| grant.user != *user),
        }
    }
    data
}

/// The data as sections of the file.
pub fn stored(data: &OperatorData) -> Stored {
    let of = |kind: DocumentKind| {
        let documents = data.documents.iter().filter(move |document| document.kind == kind);
        documents.map(|document| (document.identity.clone(), table(&object(document)))).collect::<BTreeMap<_, _>>()
    };
    Stored {
        partners: of(DocumentKind::Partner),
        settings: of(DocumentKind::GatewaySettings).remove(SETTINGS).unwrap_or_default(),
        policies: of(DocumentKind::ExternalAccessPolicy),
        grants: data.grants.iter().map(|grant| (grant.user.clone(), grant.policy.clone())).collect(),
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
