//! What the interface and the panel work with.

use std::sync::Arc;

use causeway_shared::health::Leg;
use tokio::sync::watch;

use super::administration::Administration;
use super::login::Login;
use super::store::AsyncStore;
use crate::engine::Settings;
use crate::link::Links;
use crate::pool::Pool;
use crate::store::Store;
use crate::trace::{Operator, Recorder};

/// What the gateway stands on, at this moment.
pub type Legs = Arc<dyn Fn() -> Vec<Leg> + Send + Sync>;

/// One for all requests.
pub struct Desk {
    /// Partners, settings, policies: what runs, and changing it.
    pub administration: Administration,
    /// Accounts, sessions, tokens.
    pub login: Login,
    /// Journal, accounts, archive.
    pub store: AsyncStore,
    /// The records of all pairs.
    pub pairs: Arc<dyn Store>,
    /// What passed lately.
    pub recorder: Arc<Recorder>,
    /// Explaining, simulating, test messages, removing.
    pub operator: Operator,
    /// The edges: streams, verdicts, probes.
    pub links: Links,
    /// What the engine works by.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Readiness.
    pub legs: Legs,
    /// The gateways that share the store.
    pub replicas: Pool,
}

impl Desk {
    /// Whether what people write is shown (EnableLoggingAllMessageBodies).
    pub fn shows_bodies(&self) -> bool {
        self.administration.in_force().config.logs_bodies
    }
}
