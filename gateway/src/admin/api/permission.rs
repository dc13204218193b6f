//! What a request needs to be allowed to do, in the signature of its handler: `actor: By<Write>`.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::admin::administration::Author;
use crate::admin::login::{Actor, Denied, Scope};

/// An actor who may do what `P` names.
#[derive(Debug, Clone)]
pub struct By<P>(Actor, PhantomData<P>);

/// Something that one may or may not do.
pub trait Permission {
    /// The scope that it takes.
    const SCOPE: Scope;
}

/// Anybody who has proved who he is.
#[derive(Debug, Clone, Copy)]
pub struct Read;

/// To change partners, settings, policies and grants.
#[derive(Debug, Clone, Copy)]
pub struct Write;

/// To close streams, probe, tap, and send test messages.
#[derive(Debug, Clone, Copy)]
pub struct Operate;

/// To keep accounts and tokens, and to take backups.
#[derive(Debug, Clone, Copy)]
pub struct Accounts;

/// To read archived messages.
#[derive(Debug, Clone, Copy)]
pub struct Archive;

impl Permission for Read {
    const SCOPE: Scope = Scope::Read;
}

impl Permission for Write {
    const SCOPE: Scope = Scope::Write;
}

impl Permission for Operate {
    const SCOPE: Scope = Scope::Operate;
}

impl Permission for Accounts {
    const SCOPE: Scope = Scope::Accounts;
}

impl Permission for Archive {
    const SCOPE: Scope = Scope::Archive;
}

impl<S: Sync, P: Permission> FromRequestParts<S> for By<P> {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denied> {
        let actor = parts.extensions.get::<Actor>().ok_or(Denied::SignIn)?;
        actor.require(P::SCOPE)?;
        Ok(Self(actor.clone(), PhantomData))
    }
}

impl<P> Deref for By<P> {
    type Target = Actor;

    fn deref(&self) -> &Actor {
        &self.0
    }
}

impl<P> By<P> {
    /// The same for the journal.
    pub fn author(&self) -> Author {
        Author { name: self.0.name.clone(), kind: self.0.kind, address: self.0.origin() }
    }
}
