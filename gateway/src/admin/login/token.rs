//! API tokens: what lets a program act for an account, within what the account may at that moment.

use std::net::IpAddr;

use serde_json::json;

use super::account::fault;
use super::session::scopes;
use super::{Actor, ActorKind, Denied, Login, Scope, Scopes, Ticket, failed};
use crate::admin::journal::Outcome;
use crate::admin::panel::language::Language;
use crate::admin::receipt::Refusal;
use crate::shell::now;
use crate::store::operator::{Account, Token};

/// How a token begins, so that scanners of repositories find one that got there.
const PREFIX: &str = "cwy_";
/// Characters of what it is for.
const LONGEST_LABEL: usize = 64;
/// Days that one may hold: ten years.
const MOST_DAYS: u32 = 3_650;
/// Tokens of one account: one for each program of a big installation.
const MOST_TOKENS: usize = 50;
/// How often the store is told that a token is used.
const TOUCH_MS: u64 = 60_000;
/// Characters of its identifier: enough that the tokens there are never share one.
const ID_CHARACTERS: usize = 12;
const DAY_MS: u64 = 24 * 3_600_000;

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub label: String,
    /// Whose it is.
    pub account: String,
    /// What it may.
    pub scopes: Scopes,
    /// How many days it holds; `None` for ever.
    pub days: Option<u32>,
}

impl Login {
    /// All tokens; those of one account if it is named.
    pub async fn tokens(&self, account: Option<&str>) -> Result<Vec<Token>, Refusal> {
        let mut tokens = self.store.tokens().await?;
        tokens.retain(|token| account.is_none_or(|account| token.account == account));
        Ok(tokens)
    }

    /// Makes a token. The secret is in the answer and nowhere else.
    pub async fn new_token(&self, actor: &Actor, new: NewToken) -> Result<(Token, String), Refusal> {
        let judged = self.judged_token(&new).await;
        self.noted(actor, "token.new", &new.account, judged).await?;
        let ticket = Ticket::random().ok_or(Refusal::Busy)?;
        let secret = format!("{PREFIX}{}", ticket.expose());
        let now_ms = now().unix_ms;
        let token = Token {
            id: ticket.derived("identifier").chars().filter(char::is_ascii_alphanumeric).take(ID_CHARACTERS).collect(),
            name: new.label,
            token_hash: ticket.hash(),
            scopes: new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            account: new.account,
            created_ms: now_ms,
            expires_ms: new.days.map(|days| now_ms.saturating_add(u64::from(days) * DAY_MS)),
            last_used_ms: None,
        };
        let detail =
            json!({ "id": token.id, "label": token.name, "scopes": token.scopes, "days": new.days }).to_string();
        let entry = actor.entry("token.new", &token.account, Outcome::Done, detail);
        self.store.put_token(token.clone(), vec![entry]).await?;
        Ok((token, secret))
    }

    async fn judged_token(&self, new: &NewToken) -> Result<(), Refusal> {
        let mut faults = Vec::new();
        let length = new.label.chars().count();
        if !(1..=LONGEST_LABEL).contains(&length) || new.label.chars().any(char::is_control) {
            faults.push(fault("label", "token-label", []));
        }
        if new.days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
            faults.push(fault("days", "token-days", []));
        }
        match self.account(&new.account).await? {
            None => faults.push(fault("account", "account-unknown", [])),
            Some(account) if new.scopes.is_empty() || new.scopes.and(scopes(&account)) != new.scopes => {
                faults.push(fault("scopes", "token-scopes", []));
            }
            Some(_) => {}
        }
        if self.tokens(Some(&new.account)).await?.len() >= MOST_TOKENS {
            faults.push(fault("account", "tokens-many", [("most", MOST_TOKENS.to_string())]));
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::Faults(faults)) }
    }

    /// Revokes a token.
    pub async fn remove_token(&self, actor: &Actor, id: &str) -> Result<Token, Refusal> {
        let removed = self.removed_token(actor, id).await;
        self.noted(actor, "token.remove", id, removed).await
    }

    async fn removed_token(&self, actor: &Actor, id: &str) -> Result<Token, Refusal> {
        let found = self.store.tokens().await?.into_iter().find(|token| token.id == id);
        let token = found.ok_or_else(|| Refusal::Absent(id.to_owned()))?;
        let detail = json!({ "id": token.id, "label": token.name }).to_string();
        let entry = actor.entry("token.remove", &token.account, Outcome::Done, detail);
        let is_gone = self.store.remove_token(token.id.clone(), vec![entry]).await?;
        if is_gone { Ok(token) } else { Err(Refusal::Absent(id.to_owned())) }
    }

    /// Whoever brings this secret.
    pub(super) async fn bearer(
        &self,
        secret: &str,
        address: Option<IpAddr>,
        language: Option<Language>,
    ) -> Result<Actor, Denied> {
        let ticket = secret.strip_prefix(PREFIX).and_then(Ticket::parse).ok_or(Denied::Token)?;
        let token = self.store.token(ticket.hash()).await.map_err(|error| failed(&error))?.ok_or(Denied::Token)?;
        let now_ms = now().unix_ms;
        if token.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
            return Err(Denied::Token);
        }
        let account = self.store.account(token.account.clone()).await.map_err(|error| failed(&error))?;
        let account: Account = account.filter(|account| !account.is_disabled).ok_or(Denied::Token)?;
        if token.last_used_ms.is_none_or(|used_ms| used_ms.saturating_add(TOUCH_MS) <= now_ms) {
            self.store.touch_token(token.id.clone(), now_ms).await.map_err(|error| failed(&error))?;
        }
        let granted: Vec<_> = token.scopes.iter().filter_map(|word| Scope::parse(word)).collect();
        Ok(Actor {
            name: format!("{}/{}", token.account, token.id),
            kind: ActorKind::Token,
            scopes: Scopes::of(&granted).and(scopes(&account)),
            address,
            language: language.unwrap_or_default(),
        })
    }
}
