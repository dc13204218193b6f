//! Opens the store that the configuration names, whichever engine it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::operator::OperatorStore;
use super::pool::PoolStore;
use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{Store, StoreError, StoreFault};
use crate::config::StoreConfig;

/// How long a gateway that starts waits for its database server: both may have been started together, or the server is
/// failing over. Less than a supervisor gives a start.
pub const START_PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// The three sides of one store.
#[derive(Clone)]
pub struct Stores {
    /// Pairs.
    pub pairs: Arc<dyn Store>,
    /// What operators decide and do.
    pub operators: Arc<dyn OperatorStore>,
    /// What gateways on one store know of each other.
    pub pool: Arc<dyn PoolStore>,
}

impl Stores {
    /// The sides of a store that has all of them.
    pub fn of<S: Store + OperatorStore + PoolStore + 'static>(store: Arc<S>) -> Self {
        Self { pairs: Arc::clone(&store) as _, operators: Arc::clone(&store) as _, pool: store }
    }
}

/// Opens the store, makes it if it is a file that is not there, and brings it up to date.
pub async fn open(config: &StoreConfig) -> Result<Stores, StoreError> {
    match config {
        StoreConfig::Sqlite(path) => {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder).map_err(|error| StoreError {
                    place: folder.display().to_string().into(),
                    fault: StoreFault::Inaccessible,
                    detail: error.to_string().into(),
                })?;
            }
            SqliteStore::open(path).map(|store| Stores::of(Arc::new(store)))
        }
        StoreConfig::Postgres(config) => PostgresStore::open(config).await.map(Stores::of),
    }
}

/// The same, and waits [`START_PATIENCE`] long for a server that is not there yet.
pub async fn wait_for(config: &StoreConfig) -> Result<Stores, StoreError> {
    let end = Instant::now() + START_PATIENCE;
    let mut is_said = false;
    loop {
        match open(config).await {
            Err(error) if comes_by_itself(error.fault) && Instant::now() < end => {
                if !is_said {
                    tracing::warn!(%error, patience = ?START_PATIENCE, "the store is not there yet; waiting for it");
                    is_said = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Whether nobody has to do anything about it but wait: a server that starts, or that becomes the primary.
const fn comes_by_itself(fault: StoreFault) -> bool {
    match fault {
        StoreFault::Unreachable | StoreFault::ReadOnly | StoreFault::Overloaded => true,
        StoreFault::Corrupt
        | StoreFault::Locked
        | StoreFault::DiskFull
        | StoreFault::Inaccessible
        | StoreFault::TooNew
        | StoreFault::Untrusted
        | StoreFault::Denied
        | StoreFault::NoDatabase
        | StoreFault::Unsuitable
        | StoreFault::Refused
        | StoreFault::Closed
        | StoreFault::Statement => false,
    }
}
