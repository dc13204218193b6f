//! Sessions of browsers: begun by a sign-in, carried by a cookie, ended by time, by signing out, or with the account.

use std::net::IpAddr;

use super::secret::same;
use super::{Actor, ActorKind, Denied, Login, Role, Scope, Scopes, Ticket, failed};
use crate::admin::journal::Hash;
use crate::shell::now;
use crate::store::operator::{Account, Login as Kept, Token};

/// What the token of forms is derived for.
const FORMS: &str = "causeway forms";
/// How often the store is told that a session is used: each time would be a write per request.
const TOUCH_MS: u64 = 60_000;

/// A session that holds, and whose it is.
#[derive(Debug, Clone)]
pub struct Session {
    /// The account, as it is now.
    pub account: Account,
    /// The token that its forms carry.
    pub csrf: String,
    pub(super) hash: Hash,
}

impl Session {
    /// Whether a form that carries this token comes from a page of this session.
    pub fn is_form(&self, token: &str) -> bool {
        same(&self.csrf, token)
    }
}

/// What an account may, by its roles; nothing while it is disabled.
pub(super) fn scopes(account: &Account) -> Scopes {
    if account.is_disabled {
        return Scopes::default();
    }
    let roles = account.roles.iter().filter_map(|word| Role::parse(word));
    roles.fold(Scopes::default(), |scopes, role| scopes.or(role.scopes()))
}

impl Login {
    /// Begins a session with a secret that nobody has seen before, whatever the browser brought along.
    pub(super) async fn begin(&self, account: &str, address: Option<IpAddr>) -> Result<Ticket, Denied> {
        let ticket = Ticket::random().ok_or(Denied::Failed)?;
        let (now_ms, life) = (now().unix_ms, self.config().sessions);
        let kept = Kept {
            token_hash: ticket.hash(),
            account: account.to_owned(),
            created_ms: now_ms,
            last_seen_ms: now_ms,
            expires_ms: now_ms.saturating_add(millis(life.idle.min(life.absolute))),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            // It is derived from the secret, which the store does not know.
            csrf_hash: None,
        };
        self.store.put_login(kept).await.map_err(|error| failed(&error))?;
        Ok(ticket)
    }

    /// The session of a cookie, if it holds and its account may still sign in.
    pub async fn session(&self, cookie: &str) -> Result<Option<Session>, Denied> {
        let Some(ticket) = Ticket::parse(cookie) else { return Ok(None) };
        let hash = ticket.hash();
        let Some(kept) = self.store.login(hash).await.map_err(|error| failed(&error))? else { return Ok(None) };
        let (now_ms, life) = (now().unix_ms, self.config().sessions);
        let ends_ms = kept.created_ms.saturating_add(millis(life.absolute));
        if kept.expires_ms <= now_ms || ends_ms <= now_ms {
            self.store.remove_login(hash).await.map_err(|error| failed(&error))?;
            return Ok(None);
        }
        let account = self.store.account(kept.account).await.map_err(|error| failed(&error))?;
        let Some(account) = account.filter(|account| !account.is_disabled) else { return Ok(None) };
        // Short lives are told more often, so that nobody who works is signed out.
        let touch_ms = TOUCH_MS.min(millis(life.idle) / 4);
        if kept.last_seen_ms.saturating_add(touch_ms) <= now_ms {
            let expires_ms = ends_ms.min(now_ms.saturating_add(millis(life.idle)));
            self.store.touch_login(hash, now_ms, expires_ms).await.map_err(|error| failed(&error))?;
        }
        Ok(Some(Session { account, csrf: ticket.derived(FORMS), hash }))
    }

    /// Whether somebody who was let in before may still do something, for answers that take long. Whoever cannot be looked
    /// up may not.
    pub async fn may_still(&self, actor: &Actor, scope: Scope) -> bool {
        let account = match actor.kind {
            ActorKind::Local => return actor.may(scope),
            ActorKind::Anonymous | ActorKind::System => return false,
            ActorKind::Account => actor.name.as_str(),
            ActorKind::Token => {
                let Some((account, id)) = actor.name.split_once('/') else { return false };
                let tokens = self.store.tokens().await.unwrap_or_default();
                let now_ms = now().unix_ms;
                let holds = |token: &Token| token.id == id && token.expires_ms.is_none_or(|end_ms| end_ms > now_ms);
                if !tokens.iter().any(holds) {
                    return false;
                }
                account
            }
        };
        let account = self.store.account(account.to_owned()).await.ok().flatten();
        actor.may(scope) && account.is_some_and(|account| scopes(&account).has(scope))
    }

    /// Ends a session.
    pub async fn sign_out(&self, session: &Session) -> Result<(), Denied> {
        self.store.remove_login(session.hash).await.map(|_| ()).map_err(|error| failed(&error))
    }

    /// Ends all sessions of an account; answers how many.
    pub async fn sign_out_everywhere(&self, account: &str) -> Result<u64, Denied> {
        self.store.remove_logins_of(account.to_owned(), None).await.map_err(|error| failed(&error))
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
