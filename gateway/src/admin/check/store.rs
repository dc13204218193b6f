//! Whether the store can be read and written.

use std::time::Instant;

use super::Check;
use crate::admin::desk::Desk;

pub(super) async fn check(desk: &Desk) -> Vec<Check> {
    let begun = Instant::now();
    let read = desk.store.revision().await;
    // Nothing has expired before the epoch, but it is written all the same.
    let written = desk.store.purge_expired(0).await;
    let took = begun.elapsed().as_millis();
    vec![match (read, written) {
        (Ok(revision), Ok(_)) => {
            Check::ok("store", format!("it can be read and written ({took} ms), revision {revision}"))
        }
        (Err(error), _) | (_, Err(error)) => {
            Check::failed("store", error.to_string(), "see the path, its owner, and the space on its disk")
        }
    }]
}
