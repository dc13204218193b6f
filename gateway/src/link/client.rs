//! Dials the edges: one task per address, which attaches again after every loss.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use causeway_shared::verdict::{Code, Direction, Verdict};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::attach::{End, attach};
use super::{LinkEvent, Shared};
use crate::policy::Domains;

/// How often names of edges are resolved again, and how long that may take.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(10);
const RESOLVE_PATIENCE: Duration = Duration::from_secs(5);

/// The pause after a lost or failed attachment, doubled each time up to the second value. An edge restarts in seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where an edge is: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EdgeAddress(pub String);

/// The task of one address. It ends when its address is no longer wanted and its attachment is over.
struct Dialler {
    wanted: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Keeps one task for each address that the configured names have.
pub(super) async fn dial_all(shared: Arc<Shared>) {
    let mut edges = shared.config.edges.clone();
    let mut stop = shared.stop.subscribe();
    let mut diallers: HashMap<SocketAddr, Dialler> = HashMap::new();
    loop {
        let names = Arc::clone(&edges.borrow_and_update());
        let (addresses, all_resolved) = resolve(&names).await;
        diallers.retain(|_, dialler| !dialler.task.is_finished());
        for (address, dialler) in &diallers {
            // A name that does not resolve right now takes nobody away.
            let wanted = addresses.contains(address) || !all_resolved;
            dialler.wanted.send_if_modified(|current| std::mem::replace(current, wanted) != wanted);
        }
        for address in addresses {
            diallers.entry(address).or_insert_with(|| {
                let (wanted, is_wanted) = watch::channel(true);
                Dialler { wanted, task: tokio::spawn(keep_attached(Arc::clone(&shared), address, is_wanted)) }
            });
        }
        tokio::select! {
            () = tokio::time::sleep(RESOLVE_INTERVAL) => {}
            Ok(()) = edges.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn resolve(names: &[EdgeAddress]) -> (HashSet<SocketAddr>, bool) {
    let (mut found, mut all_resolved) = (HashSet::new(), true);
    for EdgeAddress(name) in names {
        let lookup = tokio::time::timeout(RESOLVE_PATIENCE, tokio::net::lookup_host(name.as_str())).await;
        match lookup.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut))) {
            Ok(addresses) => found.extend(addresses),
            Err(error) => {
                all_resolved = false;
                tracing::warn!(edge = name, %error, "the name of an edge does not resolve");
            }
        }
    }
    (found, all_resolved)
}

async fn keep_attached(shared: Arc<Shared>, address: SocketAddr, mut wanted: watch::Receiver<bool>) {
    let mut stop = shared.stop.subscribe();
    let mut pause = FIRST_PAUSE;
    let mut complaint = String::new();
    while *wanted.borrow_and_update() && !*stop.borrow() {
        let began = Instant::now();
        let ended = attach(&shared, address).await;
        // An attachment that held for a while was a success, whatever ended it.
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
            complaint.clear();
        }
        match ended {
            Ok(()) => tracing::info!(edge = %address, "the attachment to the edge ended"),
            Err(end) => {
                tracing::debug!(edge = %address, %end, retry_in = ?pause, "not attached to the edge");
                // The same again and again is one verdict.
                if complaint != end.to_string() {
                    complaint = end.to_string();
                    report(&shared, address, &end);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => {}
            Ok(()) = wanted.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Up to a fifth less, so that a pool of gateways does not come back as one.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    let _without_jitter_it_works_too = getrandom::fill(&mut byte);
    pause - pause.mul_f32(f32::from(byte[0]) / 256.0 / 5.0)
}

/// Now, in Unix milliseconds.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn report(shared: &Shared, address: SocketAddr, end: &End) {
    let verdict = Verdict {
        direction: Direction::Out,
        peer: Some(address),
        at_ms: unix_ms(),
        ..Verdict::of(end.code(), format!("not attached to the edge: {end}"))
    };
    let verdict = shared.verdicts.own(verdict, &Domains::default());
    // A full queue loses the count.
    let _in_the_log_anyway = shared.events.try_send(LinkEvent::Verdicts(vec![(verdict, 1)]));
}

impl End {
    /// Of which kind it is.
    const fn code(&self) -> Code {
        match self {
            Self::Connect(_) | Self::Silent => Code::LinkUnreachable,
            Self::Tls(_) => Code::LinkTls,
            Self::Name(_) => Code::LinkName,
            Self::Http(_) | Self::Stale => Code::LinkClosed,
            Self::Call(_) => Code::LinkCall,
            Self::Frame(_) | Self::Window(_) => Code::LinkContract,
            Self::Stalled => Code::LinkStalled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_only_ever_shrinks_by_a_fifth() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(10));
            assert!(pause <= Duration::from_secs(10) && pause >= Duration::from_secs(8));
        }
    }
}
