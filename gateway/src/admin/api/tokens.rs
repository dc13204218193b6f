//! Tokens: what lets a program act for an account.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::{Named, Written, read};
use super::permission::{Accounts, By};
use super::problem::Trouble;
use crate::admin::desk::Desk;
use crate::admin::login::{ActorKind, NewToken, Scope, Scopes};
use crate::store::operator::Token;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(remove))
}

/// A token, without what is secret of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenView {
    /// Names it in lists and in the journal.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may, within what its account may.
    pub scopes: Vec<String>,
    /// Whose it is.
    pub account: String,
    /// Since when, in Unix milliseconds.
    pub created_at_ms: u64,
    /// Until when; `null` for ever.
    pub expires_at_ms: Option<u64>,
    /// When it was last used, to the minute.
    pub last_used_at_ms: Option<u64>,
}

impl TokenView {
    fn of(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            account: token.account,
            created_at_ms: token.created_ms,
            expires_at_ms: token.expires_ms,
            last_used_at_ms: token.last_used_ms,
        }
    }
}

/// All tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenList {
    /// In the order of their names.
    pub tokens: Vec<TokenView>,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenMade {
    /// What is sent as `Authorization: Bearer`. It is in this answer and nowhere else.
    #[schema(format = Password)]
    pub token: String,
    /// What is known of it.
    #[serde(flatten)]
    pub known: TokenView,
}

/// All tokens.
#[utoipa::path(
    get, path = "/tokens", tag = "accounts", operation_id = "tokens_list",
    responses((status = 200, description = "The tokens.", body = TokenList)),
    security(("token" = ["accounts"]))
)]
async fn list(_: By<Accounts>, State(desk): State<Arc<Desk>>) -> Answer<Json<TokenList>> {
    let tokens = desk.login.tokens(None).await?.into_iter().map(TokenView::of).collect();
    Ok(Json(TokenList { tokens }))
}

/// A token to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTokenBody {
    /// What it is for.
    name: String,
    /// What it may: `read`, `write`, `operate`, `accounts`, `archive`, as far as its account may.
    scopes: Vec<String>,
    /// How many days it holds; without it for ever.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
    /// Whose it is; without it the caller's own account. Through the Unix socket, where no account calls, it is needed
    /// unless there is one account only.
    account: Option<String>,
}

/// Makes a token.
#[utoipa::path(
    post, path = "/tokens", tag = "accounts", operation_id = "token_new",
    request_body(content = NewTokenBody, content_type = "application/json"),
    responses((status = 201, description = "It is there.", body = TokenMade)),
    security(("token" = ["accounts"]))
)]
async fn create(actor: By<Accounts>, State(desk): State<Arc<Desk>>, body: Written) -> Answer<Response> {
    let new: NewTokenBody = read(body.0)?;
    let mut scopes = Scopes::default();
    for word in &new.scopes {
        let scope = Scope::parse(word).ok_or_else(|| {
            let found: String = word.chars().take(100).collect();
            Trouble::key(
                "scopes",
                "other",
                format!("{found:?} is no scope"),
                "write read, write, operate, accounts or archive",
            )
        })?;
        scopes = scopes.or(Scopes::of(&[scope]));
    }
    let account = match (new.account, actor.kind) {
        (Some(account), _) => account,
        (None, ActorKind::Account) => actor.name.clone(),
        (None, ActorKind::Token) => actor.name.split('/').next().unwrap_or_default().to_owned(),
        (None, ActorKind::Local | ActorKind::Anonymous | ActorKind::System) => only_account(&desk).await?,
    };
    let new = NewToken { label: new.name, account, scopes, days: new.days };
    let (known, token) = desk.login.new_token(&actor, new).await?;
    let place = format!("/api/v1/tokens/{}", known.id);
    let made = TokenMade { token, known: TokenView::of(known) };
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(made)).into_response())
}

async fn only_account(desk: &Desk) -> Result<String, Trouble> {
    match desk.login.accounts().await?.as_slice() {
        [only] => Ok(only.name.clone()),
        accounts => {
            let found = format!("it is missing, and there are {} accounts", accounts.len());
            Err(Trouble::key("account", "other", found, "write the name of the account that the token acts for"))
        }
    }
}

/// Revokes a token: it counts for nothing from now on.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "accounts", operation_id = "token_revoke",
    params(("id" = String, Path, description = "Its id.")),
    responses((status = 204, description = "It is gone.")),
    security(("token" = ["accounts"]))
)]
async fn remove(actor: By<Accounts>, State(desk): State<Arc<Desk>>, Named(id): Named<String>) -> Answer<StatusCode> {
    desk.login.remove_token(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
