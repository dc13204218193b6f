//! Who acts: the name, how it was proved, and what it may do. Handlers take an [`Actor`] and ask [`Actor::require`].

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::admin::administration::Author;
use crate::admin::journal::{ActorKind, JournalEntry, Outcome};
use crate::admin::panel::language::Language;
use crate::shell::now;

/// What an account is for, after the original's roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// CsAdministrator: everything but the archive of messages.
    Administrator,
    /// CsViewOnlyAdministrator: sees, changes nothing.
    ViewOnlyAdministrator,
    /// Reads and exports archived messages, and nothing else.
    ArchiveReader,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Administrator, Self::ViewOnlyAdministrator, Self::ArchiveReader];

    /// The word for it in the interface and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::ViewOnlyAdministrator => "ViewOnlyAdministrator",
            Self::ArchiveReader => "ArchiveReader",
        }
    }

    /// The role with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// What the role may do.
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Administrator => Scopes::of(&[Scope::Read, Scope::Write, Scope::Operate, Scope::Accounts]),
            Self::ViewOnlyAdministrator => Scopes::of(&[Scope::Read]),
            Self::ArchiveReader => Scopes::of(&[Scope::Archive]),
        }
    }

    /// The key of its name in the panel.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Administrator => "role-administrator",
            Self::ViewOnlyAdministrator => "role-view-only",
            Self::ArchiveReader => "role-archive-reader",
        }
    }

    /// The key of what it is for.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Administrator => "role-administrator-hint",
            Self::ViewOnlyAdministrator => "role-view-only-hint",
            Self::ArchiveReader => "role-archive-reader-hint",
        }
    }
}

/// One kind of thing that one may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// See partners, settings, streams, verdicts, the journal.
    Read,
    /// Change partners, settings, policies and grants.
    Write,
    /// Close streams, probe, tap, send a test message.
    Operate,
    /// Accounts, tokens, backup and restore.
    Accounts,
    /// Read and export archived messages.
    Archive,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Operate, Self::Accounts, Self::Archive];

    /// The word for it in the interface and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Operate => "operate",
            Self::Accounts => "accounts",
            Self::Archive => "archive",
        }
    }

    /// The scope with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Operate => 4,
            Self::Accounts => 8,
            Self::Archive => 16,
        }
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whoever is administrator of the machine may everything.
    pub fn all() -> Self {
        Self::of(&Scope::ALL)
    }

    /// The set of these.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Whether it is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// From words with spaces between; unknown ones count for nothing.
    pub fn parse(words: &str) -> Self {
        Self(words.split_ascii_whitespace().filter_map(Scope::parse).fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The account, `account/token` of a token, or "local".
    pub name: String,
    /// How that was proved.
    pub kind: ActorKind,
    /// What they may do.
    pub scopes: Scopes,
    /// Where from; `None` through the Unix socket, which only the gateway's own user and root can open.
    pub address: Option<IpAddr>,
    /// The language of answers.
    pub language: Language,
}

impl Actor {
    /// Whoever opens the Unix socket: the administrator of the machine.
    pub fn local(language: Language) -> Self {
        Self { name: "local".to_owned(), kind: ActorKind::Local, scopes: Scopes::all(), address: None, language }
    }

    /// Refuses who may not do this.
    pub const fn require(&self, scope: Scope) -> Result<(), Denied> {
        if self.scopes.has(scope) { Ok(()) } else { Err(Denied::Scope(scope)) }
    }

    /// Whether they may; for templates, which leave out what would be refused.
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Where from, in words for the journal.
    pub fn origin(&self) -> String {
        self.address.map_or_else(|| "local".to_owned(), |address| address.to_string())
    }

    /// The same, as changes of partners and settings are signed.
    pub fn author(&self) -> Author {
        Author { name: self.name.clone(), kind: self.kind, address: self.origin() }
    }

    /// An entry of the journal about what they did. `detail` is JSON.
    pub fn entry(&self, action: &str, object: &str, outcome: Outcome, detail: String) -> JournalEntry {
        JournalEntry {
            at_ms: now().unix_ms,
            actor: self.name.clone(),
            actor_kind: self.kind,
            address: self.origin(),
            action: action.to_owned(),
            object: object.to_owned(),
            outcome,
            detail,
        }
    }
}

/// Why a request is refused before anything looks at what it wants. The outermost layer makes a page or a problem document
/// of it, whichever the caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Nobody is signed in, or no longer.
    SignIn,
    /// The token is unknown, revoked or expired.
    Token,
    /// The actor may not do this.
    Scope(Scope),
    /// The request does not come from a page of ours.
    Forged,
    /// There is no such page.
    NotFound,
    /// The page does not take requests of this method.
    Method,
    /// The form lacks something, or is none.
    Malformed,
    /// The body is larger than anything that is taken here.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// More requests at once than are served.
    Busy,
    /// Too many requests of one actor.
    Rate {
        /// Seconds to wait.
        seconds: u32,
    },
    /// The store does not answer, or there is a bug; the log says more.
    Failed,
}

impl Denied {
    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::SignIn | Self::Token => StatusCode::UNAUTHORIZED,
            Self::Scope(_) | Self::Forged => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Rate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code of the problem, which is also the key of its text (`denied-<code>`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Token => "token",
            Self::Scope(_) => "scope",
            Self::Forged => "forged",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::Busy => "busy",
            Self::Rate { .. } => "rate",
            Self::Failed => "failed",
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denied> {
        parts.extensions.get::<Self>().cloned().ok_or(Denied::SignIn)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Actor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_its_name_says() {
        assert_eq!(Role::Administrator.scopes().to_string(), "read write operate accounts");
        assert_eq!(Role::ViewOnlyAdministrator.scopes().to_string(), "read");
        assert_eq!(Role::ArchiveReader.scopes().to_string(), "archive");
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
    }

    #[test]
    fn scopes_are_what_their_words_say() {
        let scopes = Scopes::parse("read operate nonsense");
        assert_eq!(Scopes::parse(&scopes.to_string()), scopes);
        assert!(scopes.has(Scope::Operate) && !scopes.has(Scope::Write));
        let actor = Actor { scopes, ..Actor::local(Language::English) };
        assert_eq!(actor.require(Scope::Read), Ok(()));
        assert_eq!(actor.require(Scope::Accounts), Err(Denied::Scope(Scope::Accounts)));
    }
}
