//! Signing in with an identity provider (OpenID Connect Core 1.0, section 3.1: code flow; RFC 7636: PKCE).
//!
//! The provider's answer is bound to the browser that asked: `state`, `nonce` and the code verifier follow from one secret,
//! which only that browser's cookie holds, so that nothing has to be remembered here between the two requests. Who the
//! provider vouches for gets an account of that subject; its roles are those that the claim gives at each sign-in. Not
//! here: groups that a provider tells in its userinfo answer only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope as OAuthScope, StandardErrorResponse, StandardTokenResponse,
    TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::secret::{same, sha256};
use super::{Actor, ActorKind, Denied, Login, Role, Scopes, SignInRefused, Ticket, anonymous, failed};
use crate::admin::journal::Outcome;
use crate::admin::panel::language::Language;
use crate::config::panel::OidcConfig;
use crate::shell::now;
use crate::store::operator::{Account, Along, PutOutcome};

mod http;

/// Where the provider sends browsers back to.
pub const CALLBACK: &str = "/sign-in/callback";
/// How long one may take to sign in at the provider.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// How long what the provider says of itself is believed; then its keys may have changed.
const METADATA_LIFE: Duration = Duration::from_secs(300);
/// Bytes of the name of an account.
const LONGEST_NAME: usize = 64;

/// All claims of an ID token that the standard has no place for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims(HashMap<String, Value>);

impl AdditionalClaims for Claims {}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type ProviderClient = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider, as it has described itself.
pub(super) struct Provider {
    config: OidcConfig,
    public_url: String,
    client: ProviderClient,
    http: http::Http,
    since: Instant,
}

/// Why the provider is of no use; for the log, browsers are told only that it failed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the configuration has no identity provider")]
    None,
    #[error("{0}")]
    File(#[from] crate::config::files::FileFault),
    #[error("its URL or ours is not well formed: {0}")]
    Url(String),
    #[error("its description cannot be had: {0}")]
    Discovery(String),
    #[error("the answer is not the one to a question of this browser")]
    State,
    #[error("it does not give a token: {0}")]
    Exchange(String),
    #[error("its answer has no ID token; ask for the scope openid")]
    NoIdToken,
    #[error("its ID token is not to be believed: {0}")]
    Claims(String),
    #[error("none of the values of the claim gives a role")]
    NoRole,
    #[error("the account is disabled")]
    Disabled,
    #[error("the account has just been changed by somebody else")]
    Conflict,
}

/// The way to the provider.
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What its cookie keeps for the way back.
    pub cookie: String,
}

/// Whom the provider vouches for.
struct Vouched {
    subject: String,
    name: String,
    roles: Vec<Role>,
}

impl Provider {
    async fn discover(config: OidcConfig, public_url: String) -> Result<Self, Fault> {
        let http = http::Http::new(config.load_authorities()?)?;
        let secret = config.load_secret()?.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned());
        let url = |error: openidconnect::url::ParseError| Fault::Url(error.to_string());
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(url)?;
        let metadata = CoreProviderMetadata::discover_async(issuer, &http).await;
        let metadata = metadata.map_err(|error| Fault::Discovery(told(&error)))?;
        let redirect = RedirectUrl::new(format!("{public_url}{CALLBACK}")).map_err(url)?;
        let id = ClientId::new(config.client_id.clone());
        let client = ProviderClient::from_provider_metadata(metadata, id, secret.map(ClientSecret::new));
        let client = client.set_redirect_uri(redirect);
        Ok(Self { config, public_url, client, http, since: Instant::now() })
    }

    fn authorization(&self, ticket: &Ticket) -> String {
        let (state, nonce) = (CsrfToken::new(ticket.derived("state")), Nonce::new(ticket.derived("nonce")));
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier(ticket));
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let request = self.client.authorize_url(flow, move || state, move || nonce).set_pkce_challenge(challenge);
        let scopes = self.config.scopes.iter().filter(|scope| *scope != "openid").cloned().map(OAuthScope::new);
        let (url, _, _) = request.add_scopes(scopes).url();
        url.into()
    }

    async fn redeem(&self, ticket: &Ticket, code: String) -> Result<Vouched, Fault> {
        let exchange = self.client.exchange_code(AuthorizationCode::new(code));
        let exchange = exchange.map_err(|error| Fault::Exchange(error.to_string()))?;
        let tokens = exchange.set_pkce_verifier(verifier(ticket)).request_async(&self.http).await;
        let tokens = tokens.map_err(|error| Fault::Exchange(told(&error)))?;
        let token = tokens.id_token().ok_or(Fault::NoIdToken)?;
        let nonce = Nonce::new(ticket.derived("nonce"));
        let claims = token.claims(&self.client.id_token_verifier(), &nonce);
        let claims = claims.map_err(|error| Fault::Claims(told(&error)))?;
        let more = &claims.additional_claims().0;
        let named = match self.config.name_claim.as_str() {
            "preferred_username" => claims.preferred_username().map(|name| name.as_str().to_owned()),
            "email" => claims.email().map(|email| email.as_str().to_owned()),
            other => more.get(other).and_then(Value::as_str).map(str::to_owned),
        };
        let subject = claims.subject().as_str();
        Ok(Vouched {
            subject: format!("{} {subject}", self.config.issuer),
            name: account_name(&named.unwrap_or_default(), subject),
            roles: roles(&self.config, more.get(&self.config.roles_claim)),
        })
    }
}

fn verifier(ticket: &Ticket) -> PkceCodeVerifier {
    PkceCodeVerifier::new(ticket.derived("verifier"))
}

/// An error with what is behind it, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        next = inner.source();
    }
    text
}

/// The roles that a claim gives; it may be one text or a list.
fn roles(config: &OidcConfig, claim: Option<&Value>) -> Vec<Role> {
    let values: Vec<&str> = match claim {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let rules = [
        (Role::Administrator, &config.administrators),
        (Role::ViewOnlyAdministrator, &config.viewers),
        (Role::ArchiveReader, &config.archive_readers),
    ];
    let given = |wanted: &Vec<String>| wanted.iter().any(|value| values.contains(&value.as_str()));
    let mut roles: Vec<_> = rules.into_iter().filter(|(_, wanted)| given(wanted)).map(|(role, _)| role).collect();
    // An administrator sees everything that a view-only administrator sees.
    if roles.contains(&Role::Administrator) {
        roles.retain(|role| *role != Role::ViewOnlyAdministrator);
    }
    roles
}

/// The name as accounts may have it; without a useful one, a name that follows from the subject.
fn account_name(named: &str, subject: &str) -> String {
    let name: String = named
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || ".-_@".contains(*letter))
        .skip_while(|letter| !letter.is_ascii_alphanumeric())
        .take(LONGEST_NAME - 9)
        .collect();
    if name.is_empty() { format!("oidc-{}", mark(subject)) } else { name }
}

/// Eight characters that follow from a text.
fn mark(text: &str) -> String {
    sha256(text.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl Login {
    /// Begins a sign-in at the provider; `next` is where it ends.
    pub async fn begin_elsewhere(&self, next: &str) -> Result<Begun, Denied> {
        let provider = self.provider().await.map_err(|fault| {
            tracing::error!(%fault, "panel.oidc: nobody can sign in with the identity provider");
            Denied::Failed
        })?;
        let ticket = Ticket::random().ok_or(Denied::Failed)?;
        let cookie = format!("{}.{}", ticket.expose(), URL_SAFE_NO_PAD.encode(next));
        Ok(Begun { url: provider.authorization(&ticket), cookie })
    }

    /// Takes what the provider sent back: the secret of the session, and where it goes on.
    pub async fn finish_elsewhere(
        &self,
        cookie: &str,
        code: String,
        state: &str,
        address: Option<IpAddr>,
    ) -> Result<(Ticket, String), SignInRefused> {
        let now_ms = now().unix_ms;
        if address.is_some_and(|address| self.attempts(|attempts| attempts.is_paused(address, now_ms))) {
            return Err(SignInRefused::Refused);
        }
        match self.vouched(cookie, code, state, address).await {
            Ok(entered) => {
                if let Some(address) = address {
                    self.attempts(|attempts| attempts.succeeded(address));
                }
                Ok(entered)
            }
            Err(Refused::Denied(denied)) => Err(SignInRefused::Denied(denied)),
            // Anybody can come here with anything: the journal has nothing to remember of it.
            Err(Refused::Fault(Fault::State, _)) => Err(SignInRefused::Refused),
            Err(Refused::Fault(fault, name)) => {
                if let Some(address) = address {
                    self.attempts(|attempts| attempts.failed(address, now_ms));
                }
                tracing::warn!(%fault, name, ?address, "a sign-in with the identity provider was refused");
                let detail = serde_json::json!({ "by": "oidc", "fault": fault.to_string() }).to_string();
                self.note(anonymous(&name, address, "session.begin", Outcome::Refused, detail)).await?;
                Err(SignInRefused::Refused)
            }
        }
    }

    async fn vouched(
        &self,
        cookie: &str,
        code: String,
        state: &str,
        address: Option<IpAddr>,
    ) -> Result<(Ticket, String), Refused> {
        let nobody = |fault| Refused::Fault(fault, String::new());
        let (ticket, next) = cookie.split_once('.').ok_or_else(|| nobody(Fault::State))?;
        let ticket = Ticket::parse(ticket).ok_or_else(|| nobody(Fault::State))?;
        if !same(&ticket.derived("state"), state) {
            return Err(nobody(Fault::State));
        }
        let next = URL_SAFE_NO_PAD.decode(next).ok().and_then(|next| String::from_utf8(next).ok()).unwrap_or_default();
        let provider = self.provider().await.map_err(nobody)?;
        let vouched = match provider.redeem(&ticket, code).await {
            Ok(vouched) => vouched,
            Err(fault) => {
                // Its keys may have changed before their time.
                *self.provider.lock().await = None;
                return Err(nobody(fault));
            }
        };
        let account = self.account_of(&vouched, address).await?;
        let session = self.enter(&account, address, "oidc").await.map_err(Refused::Denied)?;
        Ok((session, next))
    }

    /// The account of a subject, with the roles of this moment; made at the first sign-in.
    async fn account_of(&self, vouched: &Vouched, address: Option<IpAddr>) -> Result<Account, Refused> {
        let store = |error| Refused::Denied(failed(&error));
        let refused = |fault| Refused::Fault(fault, vouched.name.clone());
        let known = self.store.account_of_subject(vouched.subject.clone()).await.map_err(store)?;
        if known.as_ref().is_some_and(|account| account.is_disabled) {
            return Err(refused(Fault::Disabled));
        }
        let roles: Vec<String> = vouched.roles.iter().map(|role| role.as_str().to_owned()).collect();
        if let Some(mut account) = known {
            if account.roles != roles {
                // Written even where none is left, so that open sessions lose them, too.
                account.roles = roles;
                account.changed_at_ms = now().unix_ms;
                match self.store.put_account(account.clone(), Along::default()).await.map_err(store)? {
                    PutOutcome::Stored { version } => account.version = version,
                    PutOutcome::Conflict | PutOutcome::LastOfRole => return Err(refused(Fault::Conflict)),
                }
            }
            return if account.roles.is_empty() { Err(refused(Fault::NoRole)) } else { Ok(account) };
        }
        if roles.is_empty() {
            return Err(refused(Fault::NoRole));
        }
        let is_taken = self.store.account(vouched.name.clone()).await.map_err(store)?.is_some();
        let name = if is_taken { format!("{}-{}", vouched.name, mark(&vouched.subject)) } else { vouched.name.clone() };
        let account = Account {
            name,
            roles,
            password_hash: None,
            oidc_subject: Some(vouched.subject.clone()),
            language: None,
            is_disabled: false,
            failures: 0,
            locked_until_ms: 0,
            changed_at_ms: now().unix_ms,
            version: 0,
        };
        let actor = Actor {
            name: account.name.clone(),
            kind: ActorKind::Anonymous,
            scopes: Scopes::default(),
            address,
            language: Language::default(),
        };
        let kept = self.keep_new(&actor, account, "account.vouched").await;
        kept.map_err(|refusal| {
            tracing::warn!(%refusal, "the account of a subject cannot be made");
            refused(Fault::Conflict)
        })
    }

    /// The provider as the configuration of the moment has it.
    async fn provider(&self) -> Result<std::sync::Arc<Provider>, Fault> {
        let panel = self.config();
        let config = panel.oidc.clone().ok_or(Fault::None)?;
        let known = self.provider.lock().await.clone();
        let is_fresh = |provider: &Provider| {
            provider.config == config
                && provider.public_url == panel.public_url
                && provider.since.elapsed() < METADATA_LIFE
        };
        if let Some(provider) = known.filter(|provider| is_fresh(provider)) {
            return Ok(provider);
        }
        let fresh = std::sync::Arc::new(Provider::discover(config, panel.public_url.clone()).await?);
        *self.provider.lock().await = Some(std::sync::Arc::clone(&fresh));
        Ok(fresh)
    }
}

/// A sign-in that goes no further, and of whom.
enum Refused {
    Fault(Fault, String),
    Denied(Denied),
}

#[cfg(test)]
mod tests;
