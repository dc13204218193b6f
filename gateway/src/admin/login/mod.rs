//! Who may operate: accounts, roles and scopes, sessions, tokens, and how each is proved.

mod actor;

pub use crate::admin::journal::ActorKind;
pub use actor::{Actor, Denied, Role, Scope, Scopes};
