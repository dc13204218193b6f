//! The listeners of panel and interface: TCP, with TLS where a certificate is configured, and the Unix socket of the
//! machine's administrator.
//!
//! Whatever a client does here costs a bounded amount: connections, connections of one address, time for a handshake, for a
//! head, for a body, and requests at once all have an end. A place that cannot be listened on is tried again and never
//! keeps messages from flowing. Not here: who the client is (`login`), what is answered (`panel`, `api`).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use self::patience::Patient;
use crate::config::PanelConfig;

mod patience;
mod socket;

/// Connections at once: some hundred operators and programs with a few each.
const MAX_CONNECTIONS: usize = 1_024;
/// Connections at once of one address: a browser opens six, and a proxy stands for many browsers.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 64;
/// Connections at once behind a proxy, which is one address.
const MAX_CONNECTIONS_OF_PROXY: usize = MAX_CONNECTIONS;
/// Time for a TLS handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Time for the head of a request, and for a connection without one.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// Time for a client to read on: pages are small, and a stream of events that nobody takes is worth nothing.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// Connections at once over the socket. Strangers cannot take them, however many they are.
const MAX_LOCAL_CONNECTIONS: usize = 64;
/// Bytes of a head: cookies and a few dozen fields.
const MAX_HEAD: usize = 32 * 1024;
/// Fields of a head.
const MAX_FIELDS: usize = 64;
/// How long to wait before a place is tried again that could not be listened on.
const RETRY: Duration = Duration::from_secs(5);
/// How long to wait after a failed `accept`: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long requests under way may take when the gateway stops.
const DRAIN: Duration = Duration::from_secs(3);

/// Where a request comes from; in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Address {
        /// From there, which may be a proxy.
        address: IpAddr,
        /// Whether the browser speaks TLS, to us or to the proxy.
        is_secure: bool,
        /// Whether a proxy stands before us.
        is_proxied: bool,
    },
    /// Over the Unix socket.
    Local,
}

/// Listens wherever the configuration of the moment says, until `shutdown` becomes true.
pub async fn serve(
    router: Router,
    mut panel: watch::Receiver<Arc<PanelConfig>>,
    tls: watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let gate = Arc::new(Gate::default());
    let ending = shutdown.clone();
    let door = Door { router, gate, panel: panel.clone(), tls, ending };
    let mut places = Places::default();
    let mut connections = JoinSet::new();
    loop {
        let config = Arc::clone(&panel.borrow_and_update());
        let is_complete = places.take(&config).await;
        let retry = async {
            match is_complete {
                true => std::future::pending().await,
                false => tokio::time::sleep(RETRY).await,
            }
        };
        let mut retry = std::pin::pin!(retry);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut shutdown) => {
                    drop(places);
                    let all = async { while connections.join_next().await.is_some() {} };
                    let _whoever_is_slower_is_cut_off = tokio::time::timeout(DRAIN, all).await;
                    return;
                }
                Ok(()) = panel.changed() => break,
                () = &mut retry => break,
                Some(_ended) = connections.join_next() => {}
                accepted = places.accept() => match accepted {
                    Ok(accepted) => door.open(accepted, &mut connections),
                    Err(error) => {
                        tracing::warn!(%error, "the panel cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// What is listened on.
#[derive(Default)]
struct Places {
    tcp: Option<(SocketAddr, TcpListener)>,
    unix: Option<(PathBuf, socket::Listener)>,
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(tokio::net::UnixStream),
}

impl Places {
    /// Listens where the configuration says, and nowhere else; `false` if a place is to be tried again.
    async fn take(&mut self, config: &PanelConfig) -> bool {
        if self.tcp.as_ref().map(|(at, _)| *at) != config.listen {
            self.tcp = None;
        }
        if self.unix.as_ref().map(|(at, _)| at) != config.socket.as_ref() {
            self.unix = None;
        }
        let mut is_complete = true;
        if let Some(at) = config.listen.filter(|_| self.tcp.is_none()) {
            match TcpListener::bind(at).await {
                Ok(listener) => {
                    tracing::info!(address = %at, url = config.public_url, "the panel listens");
                    self.tcp = Some((at, listener));
                }
                Err(error) => {
                    is_complete = false;
                    tracing::error!(address = %at, %error, "panel.listen: it is tried again; choose another address if it is taken");
                }
            }
        }
        if let Some(path) = config.socket.as_ref().filter(|_| self.unix.is_none()) {
            match socket::Listener::bind(path).await {
                Ok(listener) => {
                    tracing::info!(socket = %path.display(), "the panel listens");
                    self.unix = Some((path.clone(), listener));
                }
                Err(error) => {
                    is_complete = false;
                    tracing::error!(socket = %path.display(), %error, "panel.socket: it is tried again; choose a folder that the gateway can write");
                }
            }
        }
        is_complete
    }

    async fn accept(&self) -> io::Result<Accepted> {
        let tcp = async {
            match &self.tcp {
                Some((_, listener)) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let unix = async {
            match &self.unix {
                Some((_, listener)) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = tcp => accepted.map(|(stream, from)| Accepted::Tcp(stream, from)),
            accepted = unix => accepted.map(Accepted::Unix),
        }
    }
}

/// What a connection needs.
struct Door {
    router: Router,
    gate: Arc<Gate>,
    panel: watch::Receiver<Arc<PanelConfig>>,
    tls: watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
    ending: watch::Receiver<bool>,
}

impl Door {
    /// Serves a connection in a task of its own, or closes it where there are too many.
    fn open(&self, accepted: Accepted, connections: &mut JoinSet<()>) {
        let (router, ending) = (self.router.clone(), self.ending.clone());
        match accepted {
            Accepted::Unix(stream) => {
                let Some(pass) = self.gate.enter(None, 0) else { return };
                connections.spawn(async move {
                    talk(stream, router, Peer::Local, HEAD_PATIENCE, ending).await;
                    drop(pass);
                });
            }
            Accepted::Tcp(stream, from) => {
                let config = Arc::clone(&self.panel.borrow());
                let most = if config.behind_tls_proxy { MAX_CONNECTIONS_OF_PROXY } else { MAX_CONNECTIONS_PER_ADDRESS };
                let address = from.ip().to_canonical();
                let Some(pass) = self.gate.enter(Some(address), most) else {
                    tracing::debug!(%address, "too many connections to the panel");
                    return;
                };
                let peer =
                    Peer::Address { address, is_secure: config.is_secure(), is_proxied: config.behind_tls_proxy };
                let tls = self.tls.borrow().clone();
                connections.spawn(async move {
                    let _no_delay_is_a_wish = stream.set_nodelay(true);
                    match tls {
                        None => talk(stream, router, peer, HEAD_PATIENCE, ending).await,
                        Some(tls) => {
                            let handshake = TlsAcceptor::from(tls).accept(stream);
                            match tokio::time::timeout(HANDSHAKE_PATIENCE, handshake).await {
                                Ok(Ok(stream)) => talk(stream, router, peer, HEAD_PATIENCE, ending).await,
                                Ok(Err(error)) => {
                                    tracing::debug!(%address, %error, "no TLS with a client of the panel");
                                }
                                Err(_) => tracing::debug!(%address, "a client of the panel was slow with TLS"),
                            }
                        }
                    }
                    drop(pass);
                });
            }
        }
    }
}

/// Waits for the end of the gateway.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _sender_gone_is_shutdown = shutdown.wait_for(|stop| *stop).await;
}

/// Answers the requests of one connection.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    peer: Peer,
    patience: Duration,
    mut ending: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        // A router is always ready.
        router.clone().call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Patient::new(stream, WRITE_PATIENCE)), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection of the panel has ended");
    }
}

/// Counts connections.
struct Gate {
    places: Arc<Semaphore>,
    local: Arc<Semaphore>,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            local: Arc::new(Semaphore::new(MAX_LOCAL_CONNECTIONS)),
            addresses: Arc::default(),
        }
    }
}

/// A connection's place, given back when it is dropped.
struct Pass {
    _place: OwnedSemaphorePermit,
    address: Option<IpAddr>,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Gate {
    /// A place for a connection, of which an address may have so many; without an address it is of the socket.
    fn enter(&self, address: Option<IpAddr>, most: usize) -> Option<Pass> {
        let places = if address.is_some() { &self.places } else { &self.local };
        let place = Arc::clone(places).try_acquire_owned().ok()?;
        if let Some(address) = address {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            let count = addresses.entry(address).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        Some(Pass { _place: place, address, addresses: Arc::clone(&self.addresses) })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
