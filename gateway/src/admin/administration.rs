//! Changing what runs: a change is tried out as a whole, stored with its entry in the journal, and taken up by the
//! gateway and its edges, before the operator gets a receipt.
//!
//! A change is based on a revision of the operator's data. If another gateway or operator was faster, it is tried out
//! again on what is there now; what was read before that and has changed since is refused by its version.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use causeway_shared::config::{ConfigError, ConfigWarning};
use causeway_shared::domain::DomainName;
use causeway_shared::jid::BareJid;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::change::{Change, Misfit, Subject, apply, document, object, stored};
use super::documents::{Object, PartnerDocument, PolicyDocument, SettingsDocument};
use super::journal::{ActorKind, JournalEntry, Outcome};
use super::receipt::{Applies, EdgeTook, Fault, FieldChange, Note, Receipt, Refusal};
use super::store::AsyncStore;
use crate::config::pool::PoolDigest;
use crate::config::stored::{StoredKey, Suspended};
use crate::config::{Config, Stored};
use crate::link::Links;
use crate::store::operator::{ChangeOutcome, DocumentChange, OperatorData};

/// Attempts to change something while others change it too.
const ATTEMPTS: usize = 5;

/// How long a receipt waits for the edges.
const EDGES_PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks.
const EDGES_TICK: Duration = Duration::from_millis(20);

/// How long the gateway may take to work by something new: it looks up its next hops on the way.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(10);

/// Requests to take up what is stored that may wait; each takes up everything.
pub const TAKE_UP_QUEUE: usize = 64;

/// What is in force, and where it comes from.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Everything, as it was read.
    pub config: Arc<Config>,
    /// The file.
    pub text: Arc<str>,
    /// The variables over it.
    pub environment: Arc<[(String, String)]>,
    /// What is in the store.
    pub data: Arc<OperatorData>,
    /// What of that does not fit the file, and is left out.
    pub suspended: Vec<Suspended>,
    /// What is worth a second look.
    pub warnings: Vec<ConfigWarning>,
    /// The version of the snapshot that edges have been sent.
    pub snapshot: u64,
    /// What all gateways of the pool must have alike.
    pub digest: Arc<PoolDigest>,
}

/// The wish that the gateway works by what is stored now.
pub type TakeUp = oneshot::Sender<Result<Arc<InForce>, String>>;

/// Who changes something, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// How it was proved.
    pub kind: ActorKind,
    /// Where from.
    pub address: String,
}

/// How a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// WhatIf: only try it out.
    pub dry_run: bool,
    /// Force: it is meant so.
    pub force: bool,
    /// The version that it was read in; `None` changes any.
    pub if_version: Option<u64>,
}

/// Reads and changes what runs.
#[derive(Clone)]
pub struct Administration {
    store: AsyncStore,
    in_force: watch::Receiver<Arc<InForce>>,
    take_up: mpsc::Sender<TakeUp>,
    links: Links,
}

/// A change that was tried out.
struct Tried {
    config: Config,
    changes: Vec<DocumentChange>,
    warnings: Vec<Note>,
}

impl Administration {
    /// `take_up` leads to whoever runs the gateway.
    pub const fn new(
        store: AsyncStore,
        in_force: watch::Receiver<Arc<InForce>>,
        take_up: mpsc::Sender<TakeUp>,
        links: Links,
    ) -> Self {
        Self { store, in_force, take_up, links }
    }

    /// What runs.
    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.borrow())
    }

    /// Makes a change, or refuses it; both are noted in the journal.
    pub async fn change(&self, author: &Author, change: Change, options: Options) -> Result<Receipt, Refusal> {
        let receipts = self.change_all(author, std::slice::from_ref(&change), options).await?;
        receipts.into_iter().next().ok_or(Refusal::Busy)
    }

    /// Makes changes that belong together: all or none. `if_version` counts for each.
    pub async fn change_all(
        &self,
        author: &Author,
        changes: &[Change],
        options: Options,
    ) -> Result<Vec<Receipt>, Refusal> {
        let made = self.try_and_store(author, changes, options).await;
        if let Err(refusal) = &made
            && !options.dry_run
        {
            let entries = changes.iter().map(|change| refused(author, change, refusal)).collect();
            if let Err(error) = self.store.append_journal(entries).await {
                tracing::warn!(%error, "a refused change is not in the journal");
            }
        }
        made
    }

    async fn try_and_store(
        &self,
        author: &Author,
        changes: &[Change],
        options: Options,
    ) -> Result<Vec<Receipt>, Refusal> {
        let changes: Vec<Change> = changes.iter().map(|change| forced(change, options.force)).collect();
        for _ in 0..ATTEMPTS {
            let data = self.store.operator_data().await?;
            let before = self.in_force();
            let tried = try_out(&before, &data, &changes, options)?;
            let mut receipts = Vec::new();
            for change in &changes {
                receipts.push(receipt(&before, &tried, change, options.dry_run, data.revision)?);
            }
            if options.dry_run {
                return Ok(receipts);
            }
            let now_ms = unix_ms();
            let journal = changes.iter().zip(&receipts).map(|(change, receipt)| done(author, change, receipt, now_ms));
            let outcome = self.store.change_operator_data(data.revision, tried.changes, journal.collect()).await?;
            let ChangeOutcome::Stored { revision, versions } = outcome else { continue };
            let in_force = self.take_up().await?;
            let edges = self.edges(in_force.snapshot).await;
            for (receipt, version) in receipts.iter_mut().zip(versions) {
                (receipt.revision, receipt.version) = (revision, version);
                receipt.edges.clone_from(&edges);
            }
            return Ok(receipts);
        }
        Err(Refusal::Busy)
    }

    /// Has the gateway work by what is stored now: after a change, and after a restore.
    pub async fn take_up(&self) -> Result<Arc<InForce>, Refusal> {
        let (done, is_done) = oneshot::channel();
        let lost = |what: &str| Refusal::NotInForce(what.to_owned());
        self.take_up.try_send(done).map_err(|_| lost("the gateway is busy or stops; it takes it up later"))?;
        let answer = tokio::time::timeout(TAKE_UP_PATIENCE, is_done).await;
        let answer = answer.map_err(|_| lost("the gateway takes its time; look again"))?;
        answer.map_err(|_| lost("the gateway stops; it takes it up when it starts"))?.map_err(Refusal::NotInForce)
    }

    /// The edges, once all of them work by a snapshot or the time is over.
    async fn edges(&self, snapshot: u64) -> Vec<EdgeTook> {
        let until = Instant::now() + EDGES_PATIENCE;
        loop {
            let facts = self.links.edges();
            let took = |applied: u64| applied >= snapshot;
            if facts.iter().all(|edge| took(edge.applied)) || Instant::now() >= until {
                return facts
                    .into_iter()
                    .map(|edge| EdgeTook { in_force: took(edge.applied), edge: edge.name })
                    .collect();
            }
            tokio::time::sleep(EDGES_TICK).await;
        }
    }
}

impl InForce {
    /// Logs what is worth a second look, and what of the store is left out.
    pub fn tell(&self) {
        for warning in &self.warnings {
            tracing::warn!(%warning, "configuration");
        }
        for Suspended { what, mistakes } in &self.suspended {
            for mistake in mistakes {
                tracing::error!(?what, %mistake, "what the store has does not fit the configuration file; it is left out");
            }
        }
    }

    /// A partner, by any spelling of its primary domain.
    pub fn partner(&self, domain: &str) -> Option<&crate::config::Partner> {
        let domain = DomainName::parse(domain).ok()?;
        self.config.partners.iter().find(|partner| partner.domain == domain)
    }

    /// Whether the file declares a subject, so that it is not changed from elsewhere.
    pub fn is_declared(&self, subject: &Subject) -> bool {
        let (config, declared) = (&self.config, &self.config.declared);
        match subject {
            Subject::Partner(domain) => {
                config.partners.iter().take(declared.partners).any(|partner| partner.domain.as_str() == domain)
            }
            Subject::Policy(identity) => {
                config.policies.iter().take(declared.policies).any(|policy| policy.identity == *identity)
            }
            Subject::Settings => false,
            Subject::Grant(user) => {
                let is_stored = self.data.grants.iter().any(|grant| grant.user == *user);
                let user = BareJid::parse(user).ok();
                !is_stored && user.is_some_and(|user| config.access.is_granted(&user))
            }
        }
    }

    /// The suspended thing of a subject.
    pub fn suspended(&self, subject: &Subject) -> Option<&Suspended> {
        self.suspended.iter().find(|suspended| is_about(&suspended.what, subject))
    }
}

pub(crate) fn is_about(what: &StoredKey, subject: &Subject) -> bool {
    match (what, subject) {
        (StoredKey::Partner(one), Subject::Partner(other)) | (StoredKey::Policy(one), Subject::Policy(other)) => {
            one == other
        }
        (StoredKey::Setting(_), Subject::Settings) => true,
        // The users of a tag hang together.
        (StoredKey::Grants(_), Subject::Grant(_)) => true,
        (
            StoredKey::Partner(_) | StoredKey::Policy(_) | StoredKey::Setting(_) | StoredKey::Grants(_),
            Subject::Partner(_) | Subject::Policy(_) | Subject::Settings | Subject::Grant(_),
        ) => false,
    }
}

/// The name of a subject for people and the journal.
pub fn name(subject: &Subject) -> &str {
    match subject {
        Subject::Partner(name) | Subject::Policy(name) | Subject::Grant(name) => name,
        Subject::Settings => super::change::SETTINGS,
    }
}

/// Force is a key of partners.
fn forced(change: &Change, force: bool) -> Change {
    let mut change = change.clone();
    if force
        && let Change::NewPartner(document)
        | Change::PutPartner { document, .. }
        | Change::PatchPartner { patch: document, .. } = &mut change
    {
        document.insert("force".to_owned(), Value::Bool(true));
    }
    change
}

/// Tries changes out on the data as it is.
fn try_out(before: &InForce, data: &OperatorData, changes: &[Change], options: Options) -> Result<Tried, Refusal> {
    let (mut work, mut made, mut subjects) = (data.clone(), Vec::new(), Vec::new());
    for change in changes {
        let subject = change.subject().0.map_err(|misfit| misfitting(&misfit, "it"))?;
        let declared = before.is_declared(&subject);
        if declared {
            return Err(Refusal::Declared(name(&subject).to_owned()));
        }
        let step = change.against(&work).map_err(|misfit| misfitting(&misfit, name(&subject)))?;
        fresh_enough(data, &subject, options)?;
        work = apply(&work, std::slice::from_ref(&step));
        made.push(step);
        subjects.push(subject);
    }
    let mut stored = stored(&work);
    // What was suspended before stays so, but for what is changed now.
    let kept = before.suspended.iter().filter(|old| !subjects.iter().any(|subject| is_about(&old.what, subject)));
    kept.for_each(|old| stored.remove(&old.what));
    let mut mistakes = declared_settings(before, changes);
    mistakes.extend(stored.mistakes());
    let read = Config::load_over(&before.text, before.environment.iter().cloned(), &stored);
    let (config, warnings) = match read {
        Ok(read) if mistakes.is_empty() => read,
        Ok(_) => return Err(faults(before, &stored, &mistakes, &subjects)),
        Err(more) => {
            mistakes.extend(more);
            return Err(faults(before, &stored, &mistakes, &subjects));
        }
    };
    let about = |warning: &ConfigWarning| {
        let (key, owner) = relative(&stored, &config.declared, &warning.key);
        let ours = owner.is_some_and(|owner| subjects.iter().any(|subject| is_about(&owner, subject)));
        ours.then(|| Note { key, ..Note::of(warning) })
    };
    let warnings = warnings.iter().filter_map(about).collect();
    Ok(Tried { warnings, config, changes: made })
}

/// Whether a subject is as it was when it was read.
fn fresh_enough(data: &OperatorData, subject: &Subject, options: Options) -> Result<(), Refusal> {
    let present = document(data, subject);
    let version = present.map_or(0, |document| document.version);
    match options.if_version {
        Some(wanted) if wanted != version => Err(Refusal::Stale {
            object: name(subject).to_owned(),
            version,
            by: present.map(|document| document.changed_by.clone()).unwrap_or_default(),
            at_ms: present.map_or(0, |document| document.changed_at_ms),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Settings that the file has are changed there.
fn declared_settings(before: &InForce, changes: &[Change]) -> Vec<ConfigError> {
    let patches = changes.iter().filter_map(|change| match change {
        Change::PatchSettings(patch) => Some(patch),
        _ => None,
    });
    let named = patches.flat_map(Object::keys).filter(|key| before.config.declared.settings.contains(*key));
    named
        .map(|key| {
            let key = format!("gateway_settings.{key}");
            ConfigError::new(key, "the configuration file has it", "change it there").coded("declared", Vec::new())
        })
        .collect()
}

fn misfitting(misfit: &Misfit, name: &str) -> Refusal {
    match misfit {
        Misfit::Absent => Refusal::Absent(name.to_owned()),
        Misfit::Exists => Refusal::Exists(name.to_owned()),
        Misfit::OtherIdentity { key } => {
            let mistake =
                ConfigError::new(*key, "it names another one", "write the same, or remove this and make a new one");
            Refusal::Faults(vec![Fault::of(&mistake.coded("other-identity", Vec::new()), (*key).to_owned())])
        }
        Misfit::Unreadable { key, found, reason } => {
            let is_missing = found.is_empty();
            let code = if is_missing { "missing" } else { "unparsable" };
            let shown = if is_missing { reason.clone() } else { format!("\"{found}\" does not do: {reason}") };
            let args = vec![("found", found.clone()), ("reason", reason.clone()), ("example", String::new())];
            let mistake = ConfigError::new(*key, shown, "write its name").coded(code, args);
            Refusal::Faults(vec![Fault::of(&mistake, (*key).to_owned())])
        }
    }
}

fn faults(before: &InForce, stored: &Stored, mistakes: &[ConfigError], subjects: &[Subject]) -> Refusal {
    let declared = &before.config.declared;
    let fault = |mistake: &ConfigError| {
        let (key, owner) = relative(stored, declared, &mistake.key);
        let ours = owner.as_ref().is_none_or(|owner| subjects.iter().any(|subject| is_about(owner, subject)));
        let key = match owner {
            Some(StoredKey::Partner(domain)) if !ours || subjects.len() > 1 => format!("partner.{domain}.{key}"),
            Some(StoredKey::Policy(identity)) if !ours || subjects.len() > 1 => format!("policy.{identity}.{key}"),
            Some(StoredKey::Grants(tag)) if !ours => format!("grant.{tag}.{key}"),
            Some(_) | None => key,
        };
        Fault::of(mistake, key)
    };
    Refusal::Faults(mistakes.iter().map(fault).collect())
}

/// The key within its document, and whose document that is.
fn relative(stored: &Stored, declared: &crate::config::Declared, key: &str) -> (String, Option<StoredKey>) {
    if let Some(owner) = stored.owner(declared, key) {
        let within = key.split_once("].").map(|(_, rest)| rest).or_else(|| key.strip_prefix("gateway_settings."));
        return (within.unwrap_or(key).to_owned(), Some(owner));
    }
    // What the store alone can have.
    for domain in stored.partners.keys() {
        if let Some(within) = key.strip_prefix("partner.").and_then(|key| key.strip_prefix(domain.as_str())) {
            return (within.trim_start_matches('.').to_owned(), Some(StoredKey::Partner(domain.clone())));
        }
    }
    (key.strip_prefix("gateway_settings.").unwrap_or(key).to_owned(), None)
}

/// What a change did, key by key.
fn receipt(before: &InForce, tried: &Tried, change: &Change, dry_run: bool, revision: u64) -> Result<Receipt, Refusal> {
    let subject = change.subject().0.map_err(|misfit| misfitting(&misfit, "it"))?;
    let mut changed = differences(&shown(&before.config, &subject), &shown(&tried.config, &subject));
    if let Change::PatchSettings(patch) = change
        && let Some(secret) = patch.get("dialback_passphrase")
    {
        let after = if secret.is_null() { Value::Null } else { Value::from("(secret)") };
        let applies = Applies::of("dialback_passphrase");
        changed.push(FieldChange { key: "dialback_passphrase".to_owned(), before: Value::Null, after, applies });
    }
    let version = document(&before.data, &subject).map_or(0, |document| document.version);
    let warnings = tried.warnings.clone();
    Ok(Receipt { object: name(&subject).to_owned(), version, revision, dry_run, changed, warnings, edges: Vec::new() })
}

/// A subject as operators see it, every default filled in.
fn shown(config: &Config, subject: &Subject) -> Object {
    let value = match subject {
        Subject::Partner(domain) => {
            let partner = config.partners.iter().find(|partner| partner.domain.as_str() == domain);
            partner.map(|partner| json!(PartnerDocument::of(partner)))
        }
        Subject::Settings => Some(json!(SettingsDocument::of(config))),
        Subject::Policy(identity) => {
            let policy = config.policies.iter().find(|policy| policy.identity == *identity);
            policy.map(|policy| json!(PolicyDocument::of(policy)))
        }
        Subject::Grant(user) => {
            let granted = BareJid::parse(user).ok().and_then(|user| config.access.granted_to(&user).cloned());
            granted.map(|granted| json!({ "policy": &*granted.tag }))
        }
    };
    value.and_then(|value| value.as_object().cloned()).unwrap_or_default()
}

fn differences(before: &Object, after: &Object) -> Vec<FieldChange> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |object: &Object, key: &str| object.get(key).cloned().unwrap_or(Value::Null);
    let pairs = keys.into_iter().map(|key| (key, value(before, key), value(after, key)));
    pairs
        .filter(|(_, before, after)| before != after)
        .map(|(key, before, after)| FieldChange { key: key.clone(), before, after, applies: Applies::of(key) })
        .collect()
}

fn entry(author: &Author, change: &Change, outcome: Outcome, at_ms: u64, detail: &Value) -> JournalEntry {
    let (subject, action) = change.subject();
    JournalEntry {
        at_ms,
        actor: author.name.clone(),
        actor_kind: author.kind,
        address: author.address.clone(),
        action: action.to_owned(),
        object: subject.as_ref().map(name).unwrap_or_default().to_owned(),
        outcome,
        detail: detail.to_string(),
    }
}

fn done(author: &Author, change: &Change, receipt: &Receipt, at_ms: u64) -> JournalEntry {
    entry(author, change, Outcome::Done, at_ms, &json!({ "changed": receipt.changed }))
}

fn refused(author: &Author, change: &Change, refusal: &Refusal) -> JournalEntry {
    let detail = match refusal {
        Refusal::Faults(faults) => json!({ "faults": faults }),
        Refusal::Absent(_)
        | Refusal::Exists(_)
        | Refusal::Declared(_)
        | Refusal::Stale { .. }
        | Refusal::Busy
        | Refusal::Store(_)
        | Refusal::NotInForce(_) => json!({ "reason": refusal.to_string() }),
    };
    entry(author, change, Outcome::Refused, unix_ms(), &detail)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a stored document says itself, without defaults.
pub fn stored_keys(data: &OperatorData, subject: &Subject) -> Object {
    document(data, subject).map(object).unwrap_or_default()
}

#[cfg(test)]
#[path = "administration_tests.rs"]
mod tests;
