//! The life of the service: start-up is a list read from top to bottom, shutdown its mirror.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_shared::config::ConfigWarning;
use causeway_shared::config::args::CommonArgs;
use causeway_shared::health::Leg;
use causeway_shared::metrics::Catalogue;
use causeway_shared::supervisor;
use causeway_shared::telemetry::{self, TelemetryError, TelemetryGuard};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, timeout};

use crate::admin::{self, Health};
use crate::config::Config;
use crate::edge::{Edge, fresh_id};
use crate::expiry;
use crate::link::server::LinkConfig;
use crate::link::{self, server};
use crate::listen;
use crate::metrics::register_standing;
use crate::reload::Reload;
use crate::resolve::{DnsFault, HickoryDns, Resolver};
use crate::stream::pool::{Deliverer, Pool};
use crate::tls::{MaterialFault, Tls};

/// How often the end of a drain is looked for.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// For the errors that senders get at the end of a drain, streams to their servers included.
const ANSWERS: Duration = Duration::from_secs(5);

/// Why the service does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Logs or traces.
    #[error("{0}")]
    Telemetry(#[from] TelemetryError),
    /// Certificates, keys, trust: they were sound a moment ago.
    #[error("certificates: {0}")]
    Material(#[from] MaterialFault),
    /// The certificates of the link, likewise.
    #[error("link: {0}")]
    Link(String),
    /// DNS.
    #[error("resolver: {0}")]
    Resolver(DnsFault),
    /// An address is not ours, or in use.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The machine gives no signals or no random numbers.
    #[error("the operating system refuses: {0}")]
    System(std::io::Error),
}

/// Runs the edge until it is told to end. What it returns sends the last spans when it is dropped, outside of the
/// runtime.
pub async fn run(args: CommonArgs, config: Config, warnings: Vec<ConfigWarning>) -> Result<TelemetryGuard, RunError> {
    let instance = fresh_id().ok_or_else(|| RunError::System(std::io::Error::other("no random numbers")))?;
    let telemetry = telemetry::start(&config.telemetry)?;
    log_warnings(&warnings);

    let dns = HickoryDns::new(&config.dns, config.limits.dns).map_err(RunError::Resolver)?;
    let resolver = Resolver::new(Arc::new(dns));
    resolver.set_filter(config.filter.clone());
    let (handle, core) = link::open(instance, link::GATEWAY_PATIENCE);
    let tls = Tls::new(config.material()?);
    let edge = Arc::new(Edge::new(handle, tls, resolver, config.limits, config.caps));
    edge.set_trusted_proxies(config.trusted_proxies.clone());
    let pool = Pool::new(Arc::clone(&edge));
    let following = tokio::spawn({
        let edge = Arc::clone(&edge);
        async move { tokio::join!(edge.follow_snapshots(), expiry::watch(Arc::clone(&edge))) }
    });

    let (stop, stopping) = watch::channel(false);
    let newest_tls = watch::Sender::new(config.link.load().map_err(RunError::Link)?);
    let allowed = watch::Sender::new(Arc::new(config.link.allowed_gateways.clone()));
    let link_config = LinkConfig {
        edge_id: config.edge_id.clone(),
        listen: config.link.listen,
        tls: newest_tls.subscribe(),
        allowed_gateways: allowed.subscribe(),
    };
    let deliverer = Arc::new(Deliverer(Arc::clone(&pool)));
    let link = server::start(link_config, core, Arc::clone(&deliverer) as _, deliverer as _, stopping.clone())
        .await
        .map_err(|error| RunError::Listen { address: config.link.listen, error })?;

    let (alive, all_closed) = mpsc::channel::<()>(1);
    for (address, entrance) in &config.entrances {
        let listener = bind(*address).await?;
        tokio::spawn(listen::accept(listener, *entrance, Arc::clone(&pool), alive.clone()));
    }
    drop(alive);

    let admin = bind(config.admin).await?;
    let admin = tokio::spawn(admin::serve(admin, Arc::new(health(&pool)), stopping));

    let mut ends = signal(SignalKind::terminate()).map_err(RunError::System)?;
    let mut interrupts = signal(SignalKind::interrupt()).map_err(RunError::System)?;
    let watched = |config: &Config| config.files().into_iter().chain([args.config.clone()]);
    let mut reload = Reload::new(watched(&config)).map_err(RunError::System)?;
    tracing::info!(edge_id = config.edge_id, s2s = ?config.addresses(), link = %config.link.listen, "ready");
    supervisor::serves();
    let mut heartbeat = supervisor::heartbeat().map(tokio::time::interval);

    let mut in_force = config;
    loop {
        let reason = tokio::select! {
            _ = ends.recv() => break,
            _ = interrupts.recv() => break,
            reason = reload.reason() => reason,
            () = beat(&mut heartbeat) => {
                // Streams and gateways meet in the hub: if nobody gets through it any more, this does not either.
                let _got_through = edge.link.facts();
                supervisor::still_turns();
                continue;
            }
        };
        tracing::info!(?reason, "reading the configuration again");
        supervisor::reads_again();
        if let Some(config) = read_again(&args) {
            apply(&in_force, &config, &edge, &newest_tls, &allowed);
            reload.replace(watched(&config));
            in_force = config;
        }
        supervisor::serves();
    }

    // Once for what is under way, and once for the connections of gateways and monitors.
    supervisor::ends(in_force.drain * 2);
    drain(&edge, &pool, all_closed, in_force.drain).await;
    stop.send_replace(true);
    let _ended = timeout(in_force.drain, async { (admin.await, link.task.await) }).await;
    following.abort();
    tracing::info!("ended");
    Ok(telemetry)
}

/// Nothing new is taken, from partners or from gateways; what was taken is finished, or its sender learns that it was
/// not.
///
/// Listeners close, and streams from partners end with `system-shutdown` and are read no more. Then there is time for
/// gateways to finish what they have and for queues towards partners to empty. What no gateway has by then is answered
/// with an error; what one has, that one answers.
async fn drain(edge: &Edge, pool: &Pool, mut all_closed: mpsc::Receiver<()>, patience: Duration) {
    tracing::info!("draining");
    edge.link.drain();
    edge.drain();
    let is_finished = || edge.link.facts().held() == 0 && pool.is_idle();
    if timeout(patience, drained(&mut all_closed, is_finished)).await.is_ok() {
        return;
    }
    tracing::warn!(link = ?edge.link.facts(), "not everything was finished in time; what no gateway has is answered");
    edge.link.give_up();
    let is_answered = || edge.link.facts().waiting == 0 && pool.is_idle();
    if timeout(ANSWERS, drained(&mut all_closed, is_answered)).await.is_err() {
        tracing::warn!(link = ?edge.link.facts(), "not everybody could be told");
    }
}

/// Waits until all connections from partners are closed and nothing is left to do.
async fn drained(all_closed: &mut mpsc::Receiver<()>, is_done: impl Fn() -> bool) {
    // Ends when the last connection has dropped its clone.
    let _never_sent = all_closed.recv().await;
    let mut looks = 0;
    while looks < 2 {
        // Twice, because an answer is for a moment neither with the link nor in a queue.
        looks = if is_done() { looks + 1 } else { 0 };
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|error| RunError::Listen { address, error })
}

/// All that the edge counts.
pub fn catalogue(pool: &Arc<Pool>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    pool.edge().metrics.register(&mut catalogue);
    register_standing(&mut catalogue, pool);
    catalogue
}

/// The legs that the edge stands on: a gateway behind it, and a policy from it.
fn health(pool: &Arc<Pool>) -> Health {
    let edge = pool.edge();
    let (registry, described) = catalogue(pool).into_parts();
    let verdicts = edge.link.verdicts();
    let edge = Arc::clone(edge);
    let draining = edge.draining();
    let legs = move || {
        let gateways = edge.link.facts().ready_gateways;
        let version = edge.moment().federation.version;
        let is_draining = *draining.borrow();
        vec![
            Leg::new("link", gateways > 0, format!("{gateways} gateways attached")),
            Leg::new("policy", version > 0, format!("version {version} in force")),
            Leg::new("partners", !is_draining, if is_draining { "going away" } else { "connections are accepted" }),
        ]
    };
    Health { registry, described, legs: Box::new(legs), verdicts }
}

/// The next moment for a sign of life; never, if nobody waits for one.
async fn beat(heartbeat: &mut Option<Interval>) {
    match heartbeat {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Reads the configuration again; one with mistakes changes nothing.
fn read_again(args: &CommonArgs) -> Option<Config> {
    match args.read(Config::load) {
        Ok(Ok((config, warnings))) => {
            log_warnings(&warnings);
            Some(config)
        }
        Ok(Err(mistakes)) => {
            for mistake in &mistakes {
                tracing::error!(%mistake, "configuration; the old one stays");
            }
            None
        }
        Err(error) => {
            tracing::error!(%error, "the configuration cannot be read; the old one stays");
            None
        }
    }
}

fn log_warnings(warnings: &[ConfigWarning]) {
    for warning in warnings {
        tracing::warn!(key = warning.key, text = warning.text, "something in the configuration should be looked at");
    }
}

/// Puts into force what can change in a running edge: certificates, trust, limits, and who may attach.
fn apply(
    old: &Config,
    new: &Config,
    edge: &Edge,
    newest_tls: &watch::Sender<Arc<rustls::ServerConfig>>,
    allowed: &watch::Sender<Arc<Vec<String>>>,
) {
    match new.material() {
        Ok(material) => edge.renew(material),
        Err(fault) => tracing::error!(%fault, "the old certificates stay"),
    }
    match new.link.load() {
        Ok(config) => {
            newest_tls.send_replace(config);
        }
        Err(error) => tracing::error!(error, "the old certificates of the link stay"),
    }
    edge.resolver.set_filter(new.filter.clone());
    // The content of a file may have changed where its name has not.
    let has_changed = (&old.dns, old.limits.dns) != (&new.dns, new.limits.dns);
    if has_changed || !new.dns.files().is_empty() {
        match HickoryDns::new(&new.dns, new.limits.dns) {
            Ok(dns) => edge.resolver.replace(Arc::new(dns)),
            Err(fault) => tracing::error!(%fault, "the old name servers stay"),
        }
    }
    allowed.send_replace(Arc::new(new.link.allowed_gateways.clone()));
    edge.set_limits(new.limits, new.caps);
    edge.set_trusted_proxies(new.trusted_proxies.clone());
    let needs_restart = old.entrances != new.entrances
        || old.link.listen != new.link.listen
        || old.admin != new.admin
        || old.edge_id != new.edge_id
        || old.telemetry.needs_restart(&new.telemetry);
    telemetry::set_sample_ratio(new.telemetry.sample_ratio);
    if needs_restart {
        tracing::warn!("edge_id, addresses and telemetry change with the next start");
    }
}
