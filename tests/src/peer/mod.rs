//! Fake peers: the other side of every wire, and what runs and watches our processes.
//!
//! They are written from the RFCs and share no code with the product, so that they can judge it. They hold to the
//! protocols only as far as the tests need. Every wait is bounded by [`PATIENCE`] and looks for a condition.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

pub mod dialback;
pub mod dns;
pub mod http;
pub mod inbox;
pub mod otlp;
pub mod pki;
#[path = "../../../gateway/src/store/postgres/test_server.rs"]
pub mod postgres;
pub mod process;
pub mod road;
pub mod sip;
pub mod tls;
pub mod xml;
pub mod xmpp;

/// How long any single wait may take; generous, because machines that test are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const TICK: Duration = Duration::from_millis(20);

/// A fault of a peer or of a test's surroundings, in words.
pub fn fault(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

/// Awaits, but not for ever; `what` names what was awaited.
pub async fn within<T>(what: &str, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what}: not within {PATIENCE:?}"))))
}

/// Looks again and again until there is an answer.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> io::Result<T> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() > give_up {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what}: not within {PATIENCE:?}")));
        }
        tokio::time::sleep(TICK).await;
    }
}
