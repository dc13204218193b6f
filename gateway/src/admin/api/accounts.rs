//! Accounts of operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, escape, versioned};
use super::body::{Named, Written, read};
use super::permission::{Accounts, By};
use super::problem::Trouble;
use crate::admin::desk::Desk;
use crate::admin::login::{AccountChange, NewAccount, Role};
use crate::admin::panel::language::Language;
use crate::shell::now;
use crate::store::operator::Account;

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(change, remove))
}

/// An account, without what is secret of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountView {
    /// The name to sign in with.
    pub name: String,
    /// What it is for: `Administrator`, `ViewOnlyAdministrator` or `ArchiveReader`.
    pub roles: Vec<String>,
    /// Whether it may sign in.
    pub enabled: bool,
    /// Whether wrong passwords have locked it for now.
    pub locked: bool,
    /// Whether it signs in at the identity provider.
    pub external: bool,
    /// The language of its panel, if it has chosen one.
    pub language: Option<String>,
    /// When it was changed, in Unix milliseconds.
    pub changed_at_ms: u64,
    /// Its version.
    pub version: u64,
}

impl AccountView {
    fn of(account: Account) -> Self {
        Self {
            enabled: !account.is_disabled,
            locked: account.locked_until_ms > now().unix_ms,
            external: account.oidc_subject.is_some(),
            name: account.name,
            roles: account.roles,
            language: account.language,
            changed_at_ms: account.changed_at_ms,
            version: account.version,
        }
    }
}

/// All accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountList {
    /// In the order of their names.
    pub accounts: Vec<AccountView>,
}

/// All accounts.
#[utoipa::path(
    get, path = "/accounts", tag = "accounts", operation_id = "accounts_list",
    responses((status = 200, description = "The accounts.", body = AccountList)),
    security(("token" = ["accounts"]))
)]
async fn list(_: By<Accounts>, State(desk): State<Arc<Desk>>) -> Answer<Json<AccountList>> {
    let accounts = desk.login.accounts().await?.into_iter().map(AccountView::of).collect();
    Ok(Json(AccountList { accounts }))
}

/// An account to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAccountBody {
    /// The name to sign in with: 1 to 64 letters, digits or any of `. - _ @`.
    name: String,
    /// What it is for, one of `Administrator`, `ViewOnlyAdministrator`, `ArchiveReader`.
    roles: Vec<String>,
    /// The password, at least 12 characters.
    #[schema(format = Password)]
    password: String,
    /// The language of its panel: `en`, `es`, `ru` or `zh`.
    language: Option<String>,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/accounts", tag = "accounts", operation_id = "account_new",
    request_body(content = NewAccountBody, content_type = "application/json"),
    responses((status = 201, description = "It is there.", body = AccountView,
        headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is.")))),
    security(("token" = ["accounts"]))
)]
async fn create(actor: By<Accounts>, State(desk): State<Arc<Desk>>, body: Written) -> Answer {
    let new: NewAccountBody = read(body.0)?;
    let language = language(new.language.as_deref())?;
    let new = NewAccount { name: new.name, role: role(&new.roles)?, password: new.password, language };
    let account = AccountView::of(desk.login.new_account(&actor, &new).await?);
    let place = format!("/api/v1/accounts/{}", escape(&account.name));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], versioned(account.version, account)).into_response())
}

/// What is changed of an account; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct AccountPatch {
    /// What it is for.
    roles: Option<Vec<String>>,
    /// Whether it may sign in.
    enabled: Option<bool>,
    /// A new password, which ends all its sessions.
    #[schema(format = Password)]
    password: Option<String>,
    /// The language of its panel.
    language: Option<String>,
    /// The version that was read; without it any is changed.
    version: Option<u64>,
}

/// Changes an account. It counts from its next request on.
#[utoipa::path(
    patch, path = "/accounts/{name}", tag = "accounts", operation_id = "account_set",
    params(("name" = String, Path, description = "Its name.")),
    request_body(content = AccountPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The account now.", body = AccountView,
            headers(("ETag" = String, description = "Its version."))),
        (status = 412, description = "Somebody else has changed it.", body = super::problem::Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = ["accounts"]))
)]
async fn change(
    actor: By<Accounts>,
    State(desk): State<Arc<Desk>>,
    Named(name): Named<String>,
    body: Written,
) -> Answer<Response> {
    let patch: AccountPatch = read(body.0)?;
    let change = AccountChange {
        role: patch.roles.as_deref().map(role).transpose()?,
        is_disabled: patch.enabled.map(|enabled| !enabled),
        password: patch.password,
        language: language(patch.language.as_deref())?,
        if_version: patch.version,
    };
    let account = AccountView::of(desk.login.change_account(&actor, &name, change).await?);
    Ok(versioned(account.version, account))
}

/// Removes an account with its sessions and tokens.
#[utoipa::path(
    delete, path = "/accounts/{name}", tag = "accounts", operation_id = "account_remove",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It is gone.")),
    security(("token" = ["accounts"]))
)]
async fn remove(actor: By<Accounts>, State(desk): State<Arc<Desk>>, Named(name): Named<String>) -> Answer<StatusCode> {
    desk.login.remove_account(&actor, &name, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An account has one role.
fn role(roles: &[String]) -> Result<Role, Trouble> {
    let wrong = |found: String| {
        Trouble::key("roles", "other", found, "write one of Administrator, ViewOnlyAdministrator, ArchiveReader")
    };
    match roles {
        [role] => Role::parse(role).ok_or_else(|| wrong(format!("{:?} is no role", cut(role)))),
        _ => Err(wrong(format!("there are {} roles", roles.len()))),
    }
}

fn language(code: Option<&str>) -> Result<Option<Language>, Trouble> {
    let Some(code) = code else { return Ok(None) };
    match Language::from_code(code) {
        Some(language) => Ok(Some(language)),
        None => {
            Err(Trouble::key("language", "other", format!("{:?} is none of ours", cut(code)), "write en, es, ru or zh"))
        }
    }
}

/// As much of a text as belongs into an answer about it.
fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}
