//! Accounts and tokens, for who may manage them.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::dress::form_encoded;
use super::faults::Faults;
use super::language::Texts;
use super::layout::{Frame, page, see_other};
use crate::admin::login::{AccountChange, Actor, Denied, Login, NewAccount, NewToken, Role, Scope, Scopes};
use crate::admin::receipt::Refusal;
use crate::store::operator::{Account, Token};

/// A form with fields that may come several times.
type Fields = Form<Vec<(String, String)>>;

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage {
    t: Texts,
    frame: Frame,
    notice: Option<String>,
    secret: Option<String>,
    accounts: Vec<Account>,
    tokens: Vec<Token>,
    name: String,
    label: String,
    account_faults: Faults,
    token_faults: Faults,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    t: Texts,
    frame: Frame,
    account: Account,
    faults: Faults,
    is_asked: bool,
}

/// The roles of an account in words.
fn roles(t: Texts, account: &Account) -> String {
    let words: Vec<_> =
        account.roles.iter().filter_map(|word| Role::parse(word)).map(|role| t.get(role.text())).collect();
    words.join(", ")
}

impl AccountsPage {
    async fn read(frame: Frame, login: &Login) -> Result<Self, Denied> {
        let denied = |refusal| super::faults::denied(&refusal);
        Ok(Self {
            t: frame.t,
            frame,
            notice: None,
            secret: None,
            accounts: login.accounts().await.map_err(denied)?,
            tokens: login.tokens(None).await.map_err(denied)?,
            name: String::new(),
            label: String::new(),
            account_faults: Faults::default(),
            token_faults: Faults::default(),
        })
    }

    fn roles(&self, account: &Account) -> String {
        roles(self.t, account)
    }

    fn all_roles(&self) -> [Role; 3] {
        Role::ALL
    }

    fn all_scopes(&self) -> [Scope; 5] {
        Scope::ALL
    }

    fn scope(&self, scope: &Scope) -> String {
        self.t.get(&format!("scope-{}", scope.as_str()))
    }

    fn moment(&self, at_ms: &Option<u64>) -> String {
        at_ms.map_or_else(|| self.t.get("never"), |at_ms| self.t.moment(at_ms))
    }
}

impl AccountPage {
    fn is_role(&self, role: &Role) -> bool {
        self.account.roles.iter().any(|word| word == role.as_str())
    }

    fn all_roles(&self) -> [Role; 3] {
        Role::ALL
    }
}

/// What the address says of what was done.
#[derive(Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
    #[serde(default)]
    name: String,
}

/// The notice of something done; nothing but these can be put on the page by a link.
fn notice(t: Texts, done: &Done) -> Option<String> {
    match done.done.as_str() {
        "created" => Some(t.with("account-created", ("name", &done.name))),
        "changed" => Some(t.with("account-changed", ("name", &done.name))),
        "deleted" => Some(t.with("account-deleted", ("name", &done.name))),
        "revoked" => Some(t.with("token-revoked", ("label", &done.name))),
        _ => None,
    }
}

fn done(what: &str, name: &str) -> Response {
    see_other(&format!("/accounts?done={what}&name={}", form_encoded(name)))
}

pub(super) async fn list(
    State(login): State<Login>,
    actor: Actor,
    Query(done): Query<Done>,
    frame: Frame,
) -> Result<Response, Denied> {
    actor.require(Scope::Accounts)?;
    let notice = notice(frame.t, &done);
    Ok(page(StatusCode::OK, &AccountsPage { notice, ..AccountsPage::read(frame, &login).await? }))
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
}

pub(super) async fn create(
    State(login): State<Login>,
    actor: Actor,
    frame: Frame,
    Form(fields): Fields,
) -> Result<Response, Denied> {
    actor.require(Scope::Accounts)?;
    let (t, name) = (frame.t, field(&fields, "name").trim().to_owned());
    let again = field(&fields, "again");
    let faults = match Role::parse(field(&fields, "role")) {
        None => Faults::one(t, "role", "role-unknown"),
        Some(_) if again != field(&fields, "password") => Faults::one(t, "again", "password-differs"),
        Some(role) => {
            let new = NewAccount { name: name.clone(), role, password: again.to_owned(), language: None };
            match login.new_account(&actor, &new).await {
                Ok(_) => return Ok(done("created", &name)),
                Err(refusal) => Faults::of_refusal(t, refusal, "name", "account-stale")?,
            }
        }
    };
    let shown = AccountsPage { account_faults: faults, name, ..AccountsPage::read(frame, &login).await? };
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &shown))
}

async fn read(login: &Login, name: &str) -> Result<Account, Denied> {
    let account = login.account(name).await.map_err(|refusal| super::faults::denied(&refusal))?;
    account.ok_or(Denied::NotFound)
}

/// What the address of an account asks for.
#[derive(Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    delete: bool,
}

pub(super) async fn show(
    State(login): State<Login>,
    actor: Actor,
    Path(name): Path<String>,
    Query(ask): Query<Ask>,
    frame: Frame,
) -> Result<Response, Denied> {
    actor.require(Scope::Accounts)?;
    let account = read(&login, &name).await?;
    Ok(page(
        StatusCode::OK,
        &AccountPage { t: frame.t, frame, account, faults: Faults::default(), is_asked: ask.delete },
    ))
}

pub(super) async fn change(
    State(login): State<Login>,
    actor: Actor,
    Path(name): Path<String>,
    frame: Frame,
    Form(fields): Fields,
) -> Result<Response, Denied> {
    actor.require(Scope::Accounts)?;
    let t = frame.t;
    let if_version = field(&fields, "version").parse().ok();
    let password = Some(field(&fields, "password")).filter(|password| !password.is_empty());
    let role = Role::parse(field(&fields, "role"));
    let faults = if role.is_none() {
        Faults::one(t, "role", "role-unknown")
    } else if field(&fields, "again") != password.unwrap_or_default() {
        Faults::one(t, "again", "password-differs")
    } else {
        let change = AccountChange {
            role,
            is_disabled: Some(field(&fields, "disabled") == "true"),
            password: password.map(str::to_owned),
            language: None,
            if_version,
        };
        match login.change_account(&actor, &name, change).await {
            Ok(_) => return Ok(done("changed", &name)),
            Err(refusal) => Faults::of_refusal(t, refusal, "role", "account-stale")?,
        }
    };
    let account = read(&login, &name).await?;
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &AccountPage { t, frame, account, faults, is_asked: false }))
}

pub(super) async fn remove(
    State(login): State<Login>,
    actor: Actor,
    Path(name): Path<String>,
    frame: Frame,
    Form(fields): Fields,
) -> Result<Response, Denied> {
    actor.require(Scope::Accounts)?;
    let t = frame.t;
    match login.remove_account(&actor, &name, field(&fields, "version").parse().ok()).await {
        Ok(()) => Ok(done("deleted", &name)),
        Err(refusal) => {
            let faults = Faults::of_refusal(t, refusal, "role", "account-stale")?;
            let account = read(&login, &name).await?;
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &AccountPage { t, frame, account, faults, is_asked: false }))
        }
    }
}

pub(super) async fn create_token(
    State(login): State<Login>,
    actor: Actor,
    frame: Frame,
    Form(fields): Fields,
) -> Result<Response, Denied> {
    actor.require(Scope::Accounts)?;
    let t = frame.t;
    let chosen: Vec<_> =
        fields.iter().filter(|(name, _)| name == "scope").filter_map(|(_, word)| Scope::parse(word)).collect();
    let label = field(&fields, "label").trim().to_owned();
    let new = NewToken {
        label: label.clone(),
        account: field(&fields, "account").to_owned(),
        scopes: Scopes::of(&chosen),
        // What is no number is out of every range.
        days: Some(field(&fields, "days").trim().parse().unwrap_or(0)),
    };
    match login.new_token(&actor, new).await {
        Ok((_, secret)) => {
            let shown = AccountsPage { secret: Some(secret), ..AccountsPage::read(frame, &login).await? };
            Ok(page(StatusCode::CREATED, &shown))
        }
        Err(refusal) => {
            let token_faults = Faults::of_refusal(t, refusal, "label", "account-stale")?;
            let shown = AccountsPage { token_faults, label, ..AccountsPage::read(frame, &login).await? };
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &shown))
        }
    }
}

pub(super) async fn revoke_token(
    State(login): State<Login>,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Response, Denied> {
    actor.require(Scope::Accounts)?;
    match login.remove_token(&actor, &id).await {
        Ok(token) => Ok(done("revoked", &token.name)),
        Err(Refusal::Absent(_)) => Err(Denied::NotFound),
        Err(refusal) => Err(super::faults::denied(&refusal)),
    }
}
