//! Who may operate: accounts, roles and scopes, sessions, tokens, and how each is proved.
//!
//! [`gate`] stands before every request and finds out who it is; handlers take the [`Actor`] and ask what it may. What is
//! kept is in the store, so that a change of role, a disabled account or a revoked token counts from the next request on.
//! Nothing here tells whether an account exists: whatever is wrong with a sign-in, the answer and its time are the same.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::admin::journal::{ActorKind as Kind, JournalEntry, Outcome};
use crate::admin::store::AsyncStore;
use crate::config::PanelConfig;
use crate::shell::now;
use crate::store::StoreError;

mod account;
mod actor;
mod attempts;
pub mod cookies;
pub mod gate;
pub mod oidc;
mod password;
mod secret;
mod session;
mod set_up;
mod sign_in;
mod token;

pub use crate::admin::journal::ActorKind;
pub use account::{AccountChange, NewAccount};
pub use actor::{Actor, Denied, Role, Scope, Scopes};
pub use secret::Ticket;
pub use session::Session;
pub use sign_in::SignInRefused;
pub use token::NewToken;

/// How often what has expired is removed.
const PURGE_INTERVAL: Duration = Duration::from_secs(3_600);

/// Accounts and whoever is signed in. One for all requests.
#[derive(Clone)]
pub struct Login {
    store: AsyncStore,
    panel: watch::Receiver<Arc<PanelConfig>>,
    attempts: Arc<Mutex<attempts::Attempts>>,
    /// The identity provider, as it was last described.
    provider: Arc<tokio::sync::Mutex<Option<Arc<oidc::Provider>>>>,
}

impl Login {
    /// Works with what the store keeps, by the configuration of the moment.
    pub fn new(store: AsyncStore, panel: watch::Receiver<Arc<PanelConfig>>) -> Self {
        Self { store, panel, attempts: Arc::default(), provider: Arc::default() }
    }

    /// The configuration of the moment.
    pub fn config(&self) -> Arc<PanelConfig> {
        Arc::clone(&self.panel.borrow())
    }

    /// Removes now and then what has expired, for as long as the gateway runs.
    pub async fn tidy(self) {
        let mut interval = tokio::time::interval(PURGE_INTERVAL);
        loop {
            interval.tick().await;
            if let Err(error) = self.store.purge_expired(now().unix_ms).await {
                tracing::warn!(%error, "expired sessions stay for now; they are of no use to anybody");
            }
        }
    }

    fn attempts<T>(&self, use_them: impl FnOnce(&mut attempts::Attempts) -> T) -> T {
        use_them(&mut self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes into the journal. A sign-in or a change of accounts that cannot be noted does not happen.
    async fn note(&self, entry: JournalEntry) -> Result<(), Denied> {
        self.store.append_journal(vec![entry]).await.map(|_| ()).map_err(|error| failed(&error))
    }
}

/// An entry about somebody who is nobody yet.
fn anonymous(name: &str, address: Option<IpAddr>, action: &str, outcome: Outcome, detail: String) -> JournalEntry {
    JournalEntry {
        at_ms: now().unix_ms,
        actor: name.to_owned(),
        actor_kind: Kind::Anonymous,
        address: address.map_or_else(|| "local".to_owned(), |address| address.to_string()),
        action: action.to_owned(),
        object: name.to_owned(),
        outcome,
        detail,
    }
}

/// The store does not answer: the log has the reason, the browser only that it failed.
fn failed(error: &StoreError) -> Denied {
    tracing::error!(%error, "the store does not do what a request of the panel needs");
    Denied::Failed
}

#[cfg(test)]
pub(crate) mod test_support;
