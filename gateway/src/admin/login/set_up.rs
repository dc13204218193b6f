//! The first account: while there is none, each start prints a link that makes one. There is no default password.

use super::{Actor, Denied, Login, NewAccount, Role, Ticket, failed};
use crate::admin::receipt::Refusal;
use crate::shell::now;
use crate::store::operator::OneTime;

/// What the link is for, as the store notes it, before the address of the panel that it leads to: the gateways of a pool each
/// print one.
const PURPOSE: &str = "set-up ";
/// How long it holds: whoever installs a gateway signs in on the same day.
const LIFE_MS: u64 = 24 * 3_600_000;

impl Login {
    /// Makes a new link if there is no account, and withdraws those of earlier starts of this gateway.
    pub async fn set_up_link(&self) -> Result<Option<String>, Denied> {
        let purpose = format!("{PURPOSE}{}", self.config().public_url);
        self.store.remove_one_time(purpose.clone()).await.map_err(|error| failed(&error))?;
        if !self.is_without_accounts().await? {
            return Ok(None);
        }
        let ticket = Ticket::random().ok_or(Denied::Failed)?;
        let (token_hash, expires_ms) = (ticket.hash(), now().unix_ms.saturating_add(LIFE_MS));
        let link = OneTime { token_hash, purpose, account: None, expires_ms };
        self.store.put_one_time(link).await.map_err(|error| failed(&error))?;
        Ok(Some(format!("{}/setup?token={}", self.config().public_url, ticket.expose())))
    }

    /// Whether the link with this token still makes an account.
    pub async fn is_set_up(&self, token: &str) -> Result<bool, Denied> {
        let Some(ticket) = Ticket::parse(token) else { return Ok(false) };
        let is_good = self.link(&ticket).await?.is_some_and(|link| link.expires_ms > now().unix_ms);
        Ok(is_good && self.is_without_accounts().await?)
    }

    /// The link with this token, whichever gateway has printed it.
    async fn link(&self, ticket: &Ticket) -> Result<Option<OneTime>, Denied> {
        let link = self.store.one_time(ticket.hash()).await.map_err(|error| failed(&error))?;
        Ok(link.filter(|link| link.purpose.starts_with(PURPOSE)))
    }

    /// Makes the first account, an administrator, with the link that works once. `Ok(false)` if it does not any more.
    pub async fn set_up(&self, token: &str, visitor: &Actor, name: &str, password: String) -> Result<bool, Refusal> {
        if !self.is_set_up(token).await.map_err(|_| Refusal::Busy)? {
            return Ok(false);
        }
        let new = NewAccount { name: name.to_owned(), role: Role::Administrator, password, language: None };
        // What was typed is judged before the link is used up.
        let account = self.judged_account(&new).await?;
        let Some(ticket) = Ticket::parse(token) else { return Ok(false) };
        let Some(link) = self.link(&ticket).await.map_err(|_| Refusal::Busy)? else { return Ok(false) };
        let taken = self.store.take_one_time(ticket.hash(), link.purpose, now().unix_ms).await?;
        if taken.is_none() || !self.is_without_accounts().await.map_err(|_| Refusal::Busy)? {
            return Ok(false);
        }
        self.keep_new(visitor, account, "account.set-up").await?;
        Ok(true)
    }

    async fn is_without_accounts(&self) -> Result<bool, Denied> {
        self.store.accounts().await.map(|accounts| accounts.is_empty()).map_err(|error| failed(&error))
    }
}
