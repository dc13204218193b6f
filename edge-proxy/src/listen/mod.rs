//! The accept loops: places are counted first, and what has no place is closed without a word (XEP-0205, section 4).
//!
//! An [`Entrance`] is what an operator says of a listener: whether streams begin in the clear (RFC 6120) or under TLS
//! (XEP-0368), and whether a load balancer stands before it and tells who is there ([`proxy`]). Who connects is then
//! the peer that the balancer names, for counts, verdicts and logs alike, and nobody but trusted balancers may connect.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::admission::Ticket;
use crate::edge::gone;
use crate::limits::{Bucket, Rate};
use crate::stream::conn::Connection;
use crate::stream::inbound::{self, Opening};
use crate::stream::pool::Pool;
use crate::verdict::{Code, Direction, Finding};

pub mod network;
pub mod proxy;

use proxy::{MAX_HEADER, Progress, ProxyFault, Source};

/// After an accept that failed for want of something, mostly of file descriptors: they come back when streams end.
const PAUSE: Duration = Duration::from_millis(100);

/// Refusals of one listener that become verdicts, and failures that are logged: the rest is counted only, or a flood
/// would be one of logs, too.
const TOLD: Rate = Rate::per_second(1, 1);

/// Connections whose PROXY header is under way; a balancer sends it at once. Beyond, nothing is accepted, and the
/// balancer sees it.
const HEADERS: usize = 256;

/// What a listener is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entrance {
    /// How streams begin.
    pub opening: Opening,
    /// Whether each connection begins with a PROXY header.
    pub is_proxied: bool,
}

/// Accepts connections until the edge goes away. Each connection holds a clone of `alive`.
pub async fn accept(listener: TcpListener, entrance: Entrance, pool: Arc<Pool>, alive: mpsc::Sender<()>) {
    let mut draining = pool.edge().draining();
    let door = Arc::new(Door { entrance, pool, headers: Arc::new(Semaphore::new(HEADERS)), told: Mutex::default() });
    loop {
        let accepted = tokio::select! {
            accepted = door.next(&listener) => accepted,
            () = gone(&mut draining) => return,
        };
        let (tcp, peer, header) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if door.may_tell() {
                    tracing::warn!(%error, "cannot accept a connection");
                }
                if is_want(&error) {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let door = Arc::clone(&door);
        match header {
            None => {
                if let Some(ticket) = door.place(peer) {
                    let alive = alive.clone();
                    tokio::spawn(async move {
                        door.serve(tcp, peer, ticket).await;
                        drop(alive);
                    });
                }
            }
            Some(permit) if door.trusts(peer) => {
                let alive = alive.clone();
                tokio::spawn(async move {
                    door.serve_proxied(tcp, peer, permit).await;
                    drop(alive);
                });
            }
            Some(_permit) => door.refuse_stranger(peer),
        }
    }
}

/// One listener.
struct Door {
    entrance: Entrance,
    pool: Arc<Pool>,
    headers: Arc<Semaphore>,
    told: Mutex<Bucket>,
}

impl Door {
    /// The next connection, with the permit to read its PROXY header if it has to have one.
    async fn next(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, Option<OwnedSemaphorePermit>)> {
        let permit = if self.entrance.is_proxied {
            // The semaphore is never closed.
            Some(Arc::clone(&self.headers).acquire_owned().await.map_err(io::Error::other)?)
        } else {
            None
        };
        let (tcp, peer) = listener.accept().await?;
        Ok((tcp, SocketAddr::new(peer.ip().to_canonical(), peer.port()), permit))
    }

    /// Learns from the proxy who it is, then serves as if that one had connected.
    async fn serve_proxied(&self, mut tcp: TcpStream, proxy: SocketAddr, permit: OwnedSemaphorePermit) {
        let patience = self.pool.edge().limits().timeouts.proxy_header;
        let source = timeout(patience, read_header(&mut tcp)).await.unwrap_or(Err(ProxyFault::Late));
        drop(permit);
        let peer = match source {
            Ok(Source::Peer(peer)) => peer,
            Ok(Source::Proxy) => proxy,
            Err(fault) => {
                let finding = Finding::new(Code::ConnectProxyHeader, fault.to_string());
                return self.tell("proxy-header", finding, proxy);
            }
        };
        if let Some(ticket) = self.place(peer) {
            self.serve(tcp, peer, ticket).await;
        }
    }

    async fn serve(&self, tcp: TcpStream, peer: SocketAddr, ticket: Ticket) {
        let edge = self.pool.edge();
        let entry = edge.streams.enter(Direction::In, peer);
        let connection = Connection::new(tcp, entry, peer, edge.limits().timeouts);
        inbound::serve(Arc::clone(&self.pool), connection, ticket, self.entrance.opening).await;
    }

    /// A place for a peer, if there is one.
    fn place(&self, peer: SocketAddr) -> Option<Ticket> {
        let edge = self.pool.edge();
        let limit = edge.moment().federation.settings.connection_limit;
        match edge.admission.accept(peer.ip(), limit, &edge.caps(), Instant::now()) {
            Ok(ticket) => Some(ticket),
            Err(refused) => {
                let finding = Finding::new(Code::LimitsConnections, refused.to_string());
                self.tell(refused.as_str(), finding, peer);
                None
            }
        }
    }

    fn trusts(&self, peer: SocketAddr) -> bool {
        self.pool.edge().trusted_proxies().iter().any(|network| network.contains(peer.ip()))
    }

    fn refuse_stranger(&self, peer: SocketAddr) {
        let cause = "somebody who is no trusted proxy connected to a listener of the PROXY protocol";
        self.tell("untrusted-proxy", Finding::new(Code::PolicyProxy, cause), peer);
    }

    /// Counts a refusal, and makes some a verdict.
    fn tell(&self, label: &'static str, finding: Finding, peer: SocketAddr) {
        let edge = self.pool.edge();
        edge.metrics.refused(label);
        if self.may_tell() {
            edge.report(finding, "", Direction::In, Some(peer));
        }
    }

    fn may_tell(&self) -> bool {
        // A bucket is sound between any two statements.
        self.told.lock().unwrap_or_else(PoisonError::into_inner).try_take(&TOLD, Instant::now())
    }
}

/// Whether an accept failed because we lack something, and would fail again at once; else it is about the one
/// connection, whose peer had gone already (accept(2)).
fn is_want(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Reads the header and not a byte more: what follows is the stream's.
async fn read_header(tcp: &mut TcpStream) -> Result<Source, ProxyFault> {
    let mut bytes = Vec::with_capacity(MAX_HEADER);
    loop {
        match proxy::read(&bytes)? {
            Progress::Done(source) => return Ok(source),
            Progress::Need(missing) => {
                let limit = u64::try_from(missing).unwrap_or_default();
                let count = tcp.take(limit).read_buf(&mut bytes).await.unwrap_or_default();
                if count == 0 {
                    return Err(ProxyFault::Eof);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_want_makes_the_accept_loop_pause() {
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ECONNABORTED: i32 = 103;
        assert!(is_want(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_want(&io::Error::from_raw_os_error(ENFILE)));
        assert!(!is_want(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
