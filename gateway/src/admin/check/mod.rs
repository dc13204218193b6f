//! Our own set-up, looked through: one file for each kind of thing, all at once, within five seconds.
//!
//! Each check says what it found and, where that does not do, what to do. Nothing is changed by looking.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::desk::Desk;
use crate::shell::now;

mod access;
pub mod certificates;
mod clock;
mod dns;
mod edges;
mod listen;
mod sip;
mod store;

/// Time for each kind of check.
const PATIENCE: Duration = Duration::from_secs(5);

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and may not be meant so, or not for long.
    Warning,
    /// It does not work.
    Failed,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// What it is about, such as `store` or `sip tcp:192.0.2.1:5060`.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found, in English.
    pub found: String,
    /// What to do; empty if nothing.
    pub remedy: String,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, found: found.into(), remedy: String::new() }
    }

    fn warning(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Warning, found: found.into(), remedy: remedy.into() }
    }

    fn failed(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Failed, found: found.into(), remedy: remedy.into() }
    }
}

/// Looks through everything.
pub async fn check(desk: &Desk) -> Vec<Check> {
    let in_force = desk.administration.in_force();
    let (config, now_ms) = (&in_force.config, now().unix_ms);
    let (store, clock, certificates, sip, listeners, dns) = tokio::join!(
        within("store", store::check(desk)),
        within("clock", clock::check(desk, in_force.snapshot, now_ms)),
        within("certificates", certificates::check(config, now_ms)),
        within("sip", sip::check(desk, config)),
        within("listeners", listen::check(config)),
        within("dns", dns::check(config)),
    );
    let mut found = store;
    found.extend(clock);
    found.extend(certificates);
    found.extend(edges::check(&desk.links.edges(), &config.link.edges, in_force.snapshot));
    found.extend(sip);
    found.extend(listeners);
    found.extend(dns);
    found.extend(access::check(config));
    found
}

/// What was found within the time that there is.
async fn within(name: &str, check: impl Future<Output = Vec<Check>>) -> Vec<Check> {
    tokio::time::timeout(PATIENCE, check).await.unwrap_or_else(|_| {
        let found = format!("it was not done within {} seconds", PATIENCE.as_secs());
        vec![Check::failed(name, found, "look at the load of this machine and at its network, and check again")]
    })
}
