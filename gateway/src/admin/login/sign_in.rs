//! Signing in with name and password.
//!
//! Whatever is wrong (no such account, disabled, without password, paused, wrong password) is answered alike and at the
//! same time, so that nobody learns which accounts there are.

use std::net::IpAddr;
use std::time::Duration;

use super::attempts::{ACCOUNT_FREE, account_pause_ms};
use super::session::scopes;
use super::{Denied, Login, Ticket, anonymous, failed, password};
use crate::admin::journal::Outcome;
use crate::shell::now;
use crate::store::operator::{Account, LockOut};

/// When a refused sign-in is answered, counted from its arrival: later than hashing and the store need even when they have
/// much to do, so that the time does not say how far it came.
const REFUSED_AFTER: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 700 });
/// Bytes of a name that are looked at and noted.
const MAX_NAME: usize = 64;

/// Why somebody is not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInRefused {
    /// For a reason that is not told.
    Refused,
    /// It could not be looked at.
    Denied(Denied),
}

impl From<Denied> for SignInRefused {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl Login {
    /// Signs in: the secret for the session's cookie.
    pub async fn sign_in(&self, name: &str, given: String, address: Option<IpAddr>) -> Result<Ticket, SignInRefused> {
        let begun = tokio::time::Instant::now();
        let result = self.judged(name, given, address).await;
        if result == Err(SignInRefused::Refused) {
            tokio::time::sleep_until(begun + REFUSED_AFTER).await;
        }
        result
    }

    async fn judged(&self, name: &str, given: String, address: Option<IpAddr>) -> Result<Ticket, SignInRefused> {
        let now_ms = now().unix_ms;
        if address.is_some_and(|address| self.attempts(|attempts| attempts.is_paused(address, now_ms))) {
            return Err(SignInRefused::Refused);
        }
        let known = match name.len() {
            1..=MAX_NAME => self.store.account(name.to_owned()).await.map_err(|error| failed(&error))?,
            _ => None,
        };
        let is_paused = known.as_ref().is_some_and(|account| account.locked_until_ms > now_ms);
        let may = known.as_ref().is_some_and(|account| !scopes(account).is_empty());
        let kept = known.as_ref().filter(|_| may && !is_paused).and_then(|account| account.password_hash.clone());
        let given = if given.chars().count() > password::LONGEST { String::new() } else { given };
        let fits = password::verify(given, kept).await?;
        match known.filter(|_| fits) {
            Some(account) => {
                if let Some(address) = address {
                    self.attempts(|attempts| attempts.succeeded(address));
                }
                self.enter(&account, address, "password").await.map_err(Into::into)
            }
            None => {
                self.refuse(name, is_paused, address, now_ms).await?;
                Err(SignInRefused::Refused)
            }
        }
    }

    /// Begins the session of somebody who has proved to be this account.
    pub(super) async fn enter(&self, account: &Account, address: Option<IpAddr>, by: &str) -> Result<Ticket, Denied> {
        if account.failures > 0 {
            self.store.clear_sign_in_failures(account.name.clone()).await.map_err(|error| failed(&error))?;
        }
        let mut entry =
            anonymous(&account.name, address, "session.begin", Outcome::Done, format!("{{\"by\":\"{by}\"}}"));
        entry.actor_kind = super::Kind::Account;
        self.note(entry).await?;
        self.begin(&account.name, address).await
    }

    /// Counts and notes a wrong password.
    pub(super) async fn refuse(
        &self,
        name: &str,
        is_paused: bool,
        address: Option<IpAddr>,
        now_ms: u64,
    ) -> Result<(), Denied> {
        if let Some(address) = address {
            self.attempts(|attempts| attempts.failed(address, now_ms));
        }
        let shown: String = name.chars().take(MAX_NAME).collect();
        let mut detail = "{}".to_owned();
        if !is_paused && name.len() <= MAX_NAME {
            // The store counts, and locks from the count on that this rule names; how long depends on the count before.
            let before = self.store.account(name.to_owned()).await.map_err(|error| failed(&error))?;
            let failures = before.map_or(0, |account| account.failures).saturating_add(1);
            let rule = LockOut { failures: ACCOUNT_FREE, lock_ms: account_pause_ms(failures) };
            let counted = self.store.note_sign_in_failure(name.to_owned(), now_ms, rule).await;
            if let Some(counted) = counted.map_err(|error| failed(&error))? {
                detail = format!("{{\"failures\":{}}}", counted.failures);
            }
        }
        tracing::warn!(name = shown, ?address, "a sign-in to the panel was refused");
        self.note(anonymous(&shown, address, "session.begin", Outcome::Refused, detail)).await
    }
}
