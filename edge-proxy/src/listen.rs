//! The accept loop: places are counted first, and what has no place is closed without a word (XEP-0205, section 4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::edge::gone;
use crate::stream::conn::Connection;
use crate::stream::inbound;
use crate::stream::pool::Pool;
use crate::verdict::{Direction, Finding, Rung, Side};

/// After an accept that failed, mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Refusals of one listener that become verdicts: the rest is counted only, or a flood would be one of logs, too.
const VERDICT_INTERVAL: Duration = Duration::from_secs(1);

/// Accepts connections until the edge goes away. Each connection holds a clone of `alive`.
pub async fn accept(listener: TcpListener, pool: Arc<Pool>, alive: mpsc::Sender<()>) {
    let mut draining = pool.edge().draining();
    let mut told: Option<Instant> = None;
    loop {
        let (tcp, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = gone(&mut draining) => return,
        };
        let edge = pool.edge();
        let limit = edge.moment().federation.settings.connection_limit;
        match edge.admission.accept(peer.ip(), limit, &edge.caps(), Instant::now()) {
            Ok(ticket) => {
                let connection = Connection::new(tcp, peer, edge.limits().timeouts);
                let (pool, alive) = (Arc::clone(&pool), alive.clone());
                tokio::spawn(async move {
                    inbound::serve(pool, connection, ticket).await;
                    drop(alive);
                });
            }
            Err(refused) => {
                edge.metrics.refused(refused.as_str());
                if told.is_none_or(|told| told.elapsed() >= VERDICT_INTERVAL) {
                    told = Some(Instant::now());
                    let remedy =
                        "If the partner needs more connections, raise the limits of the edge or of the settings.";
                    let finding = Finding::new(Rung::Limits, Side::Theirs, refused.to_string(), remedy);
                    edge.report(finding, "", Direction::In, Some(peer));
                }
            }
        }
    }
}
