//! Accounts: making, changing and removing them. Every change is noted in the journal, with its refusal where it has one.

use std::collections::BTreeMap;

use serde_json::json;

use super::password::{self, Weak};
use super::{Actor, Denied, Login, Role};
use crate::admin::journal::{JournalEntry, Outcome};
use crate::admin::panel::language::{Language, Texts};
use crate::admin::receipt::{Fault, Refusal};
use crate::shell::now;
use crate::store::operator::{Account, Along, MAX_ACCOUNTS, PutOutcome, RemoveOutcome, SignIns};

/// Bytes of a name.
const LONGEST_NAME: usize = 64;

/// An account to be made.
#[derive(Clone)]
pub struct NewAccount {
    /// The name to sign in with.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The password.
    pub password: String,
    /// The language of the panel; `None` for the browser's.
    pub language: Option<Language>,
}

/// What is changed of an account; `None` leaves a thing as it is.
#[derive(Clone, Default)]
pub struct AccountChange {
    /// What it is for.
    pub role: Option<Role>,
    /// Whether it may not sign in.
    pub is_disabled: Option<bool>,
    /// A new password, which ends all its sessions.
    pub password: Option<String>,
    /// The language of the panel.
    pub language: Option<Language>,
    /// The version that was read; `None` changes any.
    pub if_version: Option<u64>,
}

/// A mistake in what was typed, by its code.
pub(super) fn fault<const N: usize>(key: &str, code: &str, args: [(&str, String); N]) -> Fault {
    let args: BTreeMap<_, _> = args.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let expected = Texts::new(Language::English).fault(code, &args);
    Fault { key: key.to_owned(), code: code.to_owned(), args, found: "it does not do".to_owned(), expected }
}

fn weak(reason: Weak) -> Fault {
    match reason {
        Weak::Short => fault("password", "password-short", [("least", password::SHORTEST.to_string())]),
        Weak::Long => fault("password", "password-long", [("most", password::LONGEST.to_string())]),
        Weak::IsName => fault("password", "password-is-name", []),
        Weak::Common => fault("password", "password-common", []),
    }
}

/// A name that cannot be mistaken for another, in a log or a URL.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte))
}

/// What goes with a change that must leave somebody who administers, and is noted.
fn along(entry: JournalEntry) -> Along {
    Along { journal: vec![entry], keep_role: Some(Role::Administrator.as_str().to_owned()), ..Along::default() }
}

fn last_administrator() -> Refusal {
    Refusal::Faults(vec![fault("role", "account-last", [])])
}

fn stale(account: &Account) -> Refusal {
    Refusal::Stale {
        object: account.name.clone(),
        version: account.version,
        by: String::new(),
        at_ms: account.changed_at_ms,
    }
}

impl Login {
    /// All accounts by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, Refusal> {
        Ok(self.store.accounts().await?)
    }

    /// One account.
    pub async fn account(&self, name: &str) -> Result<Option<Account>, Refusal> {
        match is_name(name) {
            true => Ok(self.store.account(name.to_owned()).await?),
            false => Ok(None),
        }
    }

    /// Makes an account.
    pub async fn new_account(&self, actor: &Actor, new: &NewAccount) -> Result<Account, Refusal> {
        let account = self.judged_account(new).await;
        let account = self.noted(actor, "account.new", &new.name, account).await?;
        self.keep_new(actor, account, "account.new").await
    }

    /// Judges what was typed, all of it, and hashes the password.
    pub(super) async fn judged_account(&self, new: &NewAccount) -> Result<Account, Refusal> {
        let mut faults = Vec::new();
        let accounts = self.store.accounts().await?;
        if !is_name(&new.name) {
            faults.push(fault("name", "name-form", []));
        } else if accounts.iter().any(|account| account.name.eq_ignore_ascii_case(&new.name)) {
            faults.push(fault("name", "name-taken", []));
        }
        if accounts.len() >= MAX_ACCOUNTS {
            faults.push(fault("name", "accounts-many", [("most", MAX_ACCOUNTS.to_string())]));
        }
        faults.extend(password::judge(&new.password, &new.name).err().map(weak));
        if !faults.is_empty() {
            return Err(Refusal::Faults(faults));
        }
        let hash = password::hash(new.password.clone()).await.map_err(|_| Refusal::Busy)?;
        Ok(Account {
            name: new.name.clone(),
            roles: vec![new.role.as_str().to_owned()],
            password_hash: Some(hash),
            oidc_subject: None,
            language: new.language.map(|language| language.code().to_owned()),
            is_disabled: false,
            failures: 0,
            locked_until_ms: 0,
            changed_at_ms: now().unix_ms,
            version: 0,
        })
    }

    /// Stores an account that is new.
    pub(super) async fn keep_new(&self, actor: &Actor, account: Account, action: &str) -> Result<Account, Refusal> {
        let detail = json!({ "roles": account.roles, "external": account.oidc_subject.is_some() }).to_string();
        let journal = vec![actor.entry(action, &account.name, Outcome::Done, detail)];
        match self.store.put_account(account.clone(), Along { journal, ..Along::default() }).await? {
            PutOutcome::Stored { version } => Ok(Account { version, ..account }),
            PutOutcome::Conflict => Err(Refusal::Faults(vec![fault("name", "name-taken", [])])),
            PutOutcome::LastOfRole => Err(last_administrator()),
        }
    }

    /// Changes an account. It counts from the account's next request on.
    pub async fn change_account(&self, actor: &Actor, name: &str, change: AccountChange) -> Result<Account, Refusal> {
        let changed = self.changed_account(actor, name, change).await;
        self.noted(actor, "account.change", name, changed).await
    }

    async fn changed_account(&self, actor: &Actor, name: &str, change: AccountChange) -> Result<Account, Refusal> {
        let has_password = change.password.is_some();
        let before = self.account(name).await?.ok_or_else(|| Refusal::Absent(name.to_owned()))?;
        let mut account = before.clone();
        if let Some(role) = change.role {
            account.roles = vec![role.as_str().to_owned()];
        }
        account.is_disabled = change.is_disabled.unwrap_or(account.is_disabled);
        if let Some(language) = change.language {
            account.language = Some(language.code().to_owned());
        }
        let mut faults = Vec::new();
        if let Some(password) = change.password {
            if before.oidc_subject.is_some() {
                faults.push(fault("password", "password-external", []));
            } else if let Err(reason) = password::judge(&password, name) {
                faults.push(weak(reason));
            } else if faults.is_empty() {
                account.password_hash = Some(password::hash(password).await.map_err(|_| Refusal::Busy)?);
            }
        }
        if !faults.is_empty() {
            return Err(Refusal::Faults(faults));
        }
        account.version = change.if_version.unwrap_or(before.version);
        account.changed_at_ms = now().unix_ms;
        let detail =
            json!({ "roles": account.roles, "disabled": account.is_disabled, "password": has_password }).to_string();
        let along = Along {
            sign_ins: if has_password || account.is_disabled { SignIns::End } else { SignIns::Stay },
            // Nobody has guessed the new one, and its owner shall not wait for the pauses of the old one.
            unlocks: has_password,
            ..along(actor.entry("account.change", name, Outcome::Done, detail))
        };
        match self.store.put_account(account.clone(), along).await? {
            PutOutcome::Stored { version } => Ok(Account { version, ..account }),
            PutOutcome::Conflict => Err(stale(&before)),
            PutOutcome::LastOfRole => Err(last_administrator()),
        }
    }

    /// Removes an account with its sessions and tokens.
    pub async fn remove_account(&self, actor: &Actor, name: &str, if_version: Option<u64>) -> Result<(), Refusal> {
        let removed = self.removed_account(actor, name, if_version).await;
        self.noted(actor, "account.remove", name, removed).await
    }

    async fn removed_account(&self, actor: &Actor, name: &str, if_version: Option<u64>) -> Result<(), Refusal> {
        let before = self.account(name).await?.ok_or_else(|| Refusal::Absent(name.to_owned()))?;
        let version = if_version.unwrap_or(before.version);
        let along = along(actor.entry("account.remove", name, Outcome::Done, "{}".to_owned()));
        match self.store.remove_account(name.to_owned(), version, along).await? {
            RemoveOutcome::Removed => Ok(()),
            RemoveOutcome::Conflict => Err(stale(&before)),
            RemoveOutcome::LastOfRole => Err(last_administrator()),
        }
    }

    /// Changes one's own password, which ends all other sessions of the account.
    pub async fn change_password(
        &self,
        actor: &Actor,
        session: &super::Session,
        current: String,
        new: String,
    ) -> Result<(), Refusal> {
        let (account, name) = (&session.account, &session.account.name);
        let Some(kept) = account.password_hash.clone() else {
            return Err(Refusal::Faults(vec![fault("password", "password-external", [])]));
        };
        let address = actor.address;
        let is_paused = account.locked_until_ms > now().unix_ms;
        // Whoever finds an open browser shall not guess here what he may not guess at the sign-in.
        let fits = !is_paused && password::verify(current, Some(kept)).await.map_err(|_| Refusal::Busy)?;
        if !fits {
            self.refuse(name, is_paused, address, now().unix_ms).await.map_err(|_| Refusal::Busy)?;
            return Err(Refusal::Faults(vec![fault("current", "password-wrong", [])]));
        }
        password::judge(&new, name).map_err(|reason| Refusal::Faults(vec![weak(reason)]))?;
        let password_hash = Some(password::hash(new).await.map_err(|_| Refusal::Busy)?);
        let changed = Account { password_hash, changed_at_ms: now().unix_ms, ..account.clone() };
        let along = Along {
            sign_ins: SignIns::EndBut(session.hash),
            ..along(actor.entry("account.password", name, Outcome::Done, "{}".to_owned()))
        };
        match self.store.put_account(changed, along).await? {
            PutOutcome::Stored { .. } => Ok(()),
            PutOutcome::Conflict => Err(stale(account)),
            PutOutcome::LastOfRole => Err(last_administrator()),
        }
    }

    /// Remembers the language of an account. Not worth an entry in the journal.
    pub async fn choose_language(&self, account: &Account, language: Language) -> Result<(), Denied> {
        let chosen = Account { language: Some(language.code().to_owned()), ..account.clone() };
        // Whoever changes the account at the same time has the better reason; the cookie remembers it all the same.
        self.store.put_account(chosen, Along::default()).await.map(|_| ()).map_err(|error| super::failed(&error))
    }

    /// Notes a refusal before it is answered.
    pub(super) async fn noted<T>(
        &self,
        actor: &Actor,
        action: &str,
        object: &str,
        result: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if let Err(refusal) = &result {
            let shown: String = object.chars().take(LONGEST_NAME).collect();
            let detail = json!({ "refusal": refusal.to_string() }).to_string();
            self.store.append_journal(vec![actor.entry(action, &shown, Outcome::Refused, detail)]).await?;
        }
        result
    }
}
