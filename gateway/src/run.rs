//! Start-up from top to bottom, reloading, and shut-down as its mirror.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use causeway_shared::config::args::environment;
use causeway_shared::config::{ConfigError, Secret};
use causeway_shared::health::Leg;
use causeway_shared::metrics::Catalogue;
use causeway_shared::{supervisor, telemetry};
use causeway_sip::endpoint::{EndpointConfig, SentBy};
use causeway_sip::ids::IdSource;
use causeway_sip::session::SessionConfig;
use causeway_sip::target::{Target, TransportKind};
use causeway_sip::transport::msrp::MsrpTls;
use causeway_sip::transport::{self, Rarely, Transport, TransportConfig};
use causeway_sip::trust::TrustedPeers;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::admin::administration::{Administration, InForce, TAKE_UP_QUEUE, TakeUp};
use crate::admin::change::stored;
use crate::admin::desk::{Desk, Legs};
use crate::admin::store::AsyncStore;
use crate::admin::web::Web;
use crate::admin::{self, housekeeping};
use crate::archive::BodySettings;
use crate::config::files::{FileFault, SipTls};
use crate::config::{Config, EchoConfig, SipTlsFiles, StoreConfig, Stored};
use crate::engine::{Engine, SessionSettings, Settings};
use crate::health::{self, Health};
use crate::link::{EdgeAddress, LinkConfig, Links};
use crate::locate::Locator;
use crate::metrics::{Certificates, Metrics, SettingsInForce, register_standing};
use crate::policy::Domains;
use crate::pool::gauges::PoolGauges;
use crate::pool::{AsyncPool, Pool as Replicas, PoolFacts, PoolFault};
use crate::reload::Reload;
use crate::shell::{Shell, now};
use crate::snapshot::{DialbackSecrets, snapshot};
use crate::store::open;
use crate::store::pool::SnapshotAsk;
use crate::trace::{Operator, Recorder};

mod hep;
mod msrp;

/// How often the pool's names are looked up again.
const LOCATE_INTERVAL: Duration = Duration::from_secs(30);

/// How often it is asked whether another gateway has changed what operators keep in the store: half of the second within
/// which a change has to be in force everywhere. The store's hints are faster, and may be lost.
const REVISION_INTERVAL: Duration = Duration::from_millis(500);

/// How often what is in the store is read at once, if others change it meanwhile. The next look reads it again.
const READINGS: usize = 5;

/// The name of the dialback secret in the store, where none is configured.
const MADE_SECRET: &str = "dialback";

/// How long the last acknowledgements may take to reach the edges.
const LINK_PATIENCE: Duration = Duration::from_secs(1);

/// How long the last messages may take to reach the archive.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Why the gateway does not start, or does not take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Mistakes in the file.
    #[error("{}", list(.0))]
    Config(Vec<ConfigError>),
    /// A file cannot be used.
    #[error("{0}")]
    File(#[from] FileFault),
    /// The store does not open.
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
    /// What gateways have in common cannot be had from the store.
    #[error("{0}")]
    Pool(#[from] PoolFault),
    /// Others change the configuration faster than it can be read.
    #[error("what operators keep in the store changes all the time; it is read again")]
    Restless,
    /// An address cannot be listened on.
    #[error("{0}")]
    Bind(#[from] transport::BindError),
    /// Health and metrics cannot be served.
    #[error("admin.listen: {0}")]
    Admin(std::io::Error),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signals(std::io::Error),
    /// Telemetry.
    #[error("{0}")]
    Telemetry(#[from] telemetry::TelemetryError),
    /// Something in the configuration that no reader can check alone.
    #[error("{0}")]
    Contact(String),
}

impl StartError {
    /// Whether the store was in the way, and nothing is wrong with what was to be read.
    const fn is_of_the_store(&self) -> bool {
        match self {
            Self::Store(_) | Self::Pool(_) | Self::Restless => true,
            Self::Config(_)
            | Self::File(_)
            | Self::Bind(_)
            | Self::Admin(_)
            | Self::Signals(_)
            | Self::Telemetry(_)
            | Self::Contact(_) => false,
        }
    }
}

fn list(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Everything that follows the configuration without a restart.
struct Live {
    path: PathBuf,
    secrets: DialbackSecrets,
    made: Secret,
    settings: watch::Sender<Arc<Settings>>,
    peers: watch::Sender<Arc<TrustedPeers>>,
    sip_server: Option<watch::Sender<Arc<rustls::ServerConfig>>>,
    sip_client: Option<watch::Sender<Arc<rustls::ClientConfig>>>,
    msrp_tls: Option<watch::Sender<Arc<MsrpTls>>>,
    edges: watch::Sender<Arc<Vec<EdgeAddress>>>,
    allowed_edges: watch::Sender<Arc<Vec<String>>>,
    link_tls: watch::Sender<Arc<rustls::ClientConfig>>,
    links: Links,
    locator: Locator,
    operators: AsyncStore,
    pool: AsyncPool,
    in_force: watch::Sender<Arc<InForce>>,
    /// What stands for the content of the files that the newest snapshot came from.
    files: String,
    certificates: Certificates,
}

/// Runs the gateway until a signal ends it.
pub async fn run(config: Config, path: PathBuf) -> Result<(), StartError> {
    let _telemetry = telemetry::start(&config.telemetry)?;
    let mut catalogue = Catalogue::default();
    let metrics = Arc::new(Metrics::register(&mut catalogue));
    let pool_gauges = PoolGauges::register(&mut catalogue);
    let certificates = Certificates::register(&mut catalogue);
    let store = open::wait_for(&config.store).await?;
    let operators = AsyncStore::new(Arc::clone(&store.operators));
    let boot = format!("{:016x}", IdSource::os().number());
    let instance_id = format!("{}-{boot}", config.gateway_id);
    let pool_store = AsyncPool::new(Arc::clone(&store.pool), &instance_id);
    let made = Secret::from_file_bytes(&pool_store.secret(MADE_SECRET, made_secret()).await?);
    let mut files = String::new();
    let in_force = read_numbered(&path, &operators, &pool_store, &mut files).await?;
    let version = in_force.snapshot;
    // What decides where the store is has been read before; the rest is as it is with the store.
    let config = Config { store: config.store, ..Config::clone(&in_force.config) };
    in_force.tell();
    let occasion = occasion(&config.store, &in_force);
    let (in_force, in_force_changes) = watch::channel(Arc::new(in_force));

    let locator = Locator::new();
    let pool = located(&locator, &config).await;
    let sip_tls = sip_tls(&config)?;
    let settings = engine_settings(&config, occasion, pool, sip_tls.as_ref())?;
    let (settings, settings_changes) = watch::channel(Arc::new(settings));
    let msrp = msrp::start(&config, sip_tls.as_ref()).await?;
    let (peers, peer_changes) = watch::channel(Arc::new(TrustedPeers::new(config.sip.trusted_peers.clone())));
    let (sip_server, sip_client) = sip_tls.map(|tls| (tls.server, tls.client)).unzip();
    let (sip_server, sip_server_changes) = sip_server.map(watch::channel).unzip();
    let (sip_client, sip_client_changes) = sip_client.map(watch::channel).unzip();
    let (transport, inbound) = Transport::start(TransportConfig {
        udp: listen(&config, TransportKind::Udp),
        tcp: listen(&config, TransportKind::Tcp),
        tls: listen(&config, TransportKind::Tls),
        source_ip: source_ip(&config),
        tls_server: sip_server_changes,
        tls_client: sip_client_changes,
        ..TransportConfig::new(peer_changes)
    })
    .await?;

    let (shutdown, shutting_down) = watch::channel(false);
    let (edges, edge_changes) = watch::channel(Arc::new(edge_addresses(&config)));
    let (allowed_edges, allowed_changes) = watch::channel(Arc::new(config.link.allowed_edges.clone()));
    let (link_tls, link_tls_changes) = watch::channel(config.link.load()?);
    let (links, link_events) = Links::start(
        LinkConfig {
            gateway_id: config.gateway_id.clone(),
            instance_id: instance_id.clone(),
            edges: edge_changes,
            tls: link_tls_changes,
            allowed_edges: allowed_changes,
        },
        shutting_down,
    );
    let mut live = Live {
        path,
        secrets: DialbackSecrets::default(),
        made,
        settings,
        peers,
        sip_server,
        sip_client,
        msrp_tls: msrp.tls,
        edges,
        allowed_edges,
        link_tls,
        links: links.clone(),
        locator,
        operators: operators.clone(),
        pool: pool_store.clone(),
        in_force,
        files,
        certificates,
    };
    live.publish(&config, version)?;
    live.certificates.renew(&config);
    let (take_up, wishes) = mpsc::channel(TAKE_UP_QUEUE);

    let (drain, draining) = watch::channel(false);
    let drained = Arc::new(Notify::new());
    let recorder = Arc::new(Recorder::default());
    let (operator, orders) =
        Operator::new(Arc::clone(&recorder), Arc::clone(&store.pairs), links.clone(), live.settings.subscribe());
    let (archive, archiving) = admin::archive::archive(operators.clone(), &metrics);
    let archiving = tokio::spawn(archiving.run());
    tokio::spawn(housekeeping::run(operators.clone(), pool_store.clone(), in_force_changes.clone()));
    let clock_ahead_ms = Arc::new(AtomicI64::new(0));
    let shell = Shell {
        engine: Engine::new(Arc::clone(&live.settings.borrow()), Arc::clone(&metrics), IdSource::os()),
        links: links.clone(),
        link_events,
        transport,
        inbound,
        msrp: msrp.sockets,
        store: Arc::clone(&store.pairs),
        pool: store.pool,
        holder: instance_id,
        clock_ahead_ms: Arc::clone(&clock_ahead_ms),
        settings: settings_changes,
        draining,
        drained: Arc::clone(&drained),
        metrics: Arc::clone(&metrics),
        complaints: Rarely::default(),
        recorder: Arc::clone(&recorder),
        orders,
        archive,
    };
    let captured = hep::Counts::register(&mut catalogue);
    let newest = live.settings.subscribe();
    let settings_in_force: SettingsInForce = Arc::new(move || Arc::clone(&newest.borrow()));
    register_standing(&mut catalogue, &links, shell.engine.sip_counts(), &settings_in_force);
    let (registry, described) = catalogue.into_parts();
    let (ready_links, is_draining) = (links.clone(), shell.draining.clone());
    let legs: Legs = Arc::new(move || legs(&ready_links, &metrics, *is_draining.borrow()));
    let engine = tokio::spawn(shell.run());
    tokio::spawn(hep::run(Arc::clone(&recorder), in_force_changes.clone(), captured));
    let facts = PoolFacts {
        clock_ahead_ms: Arc::clone(&clock_ahead_ms),
        boot,
        legs: Arc::clone(&legs),
        links: links.clone(),
        in_force: in_force_changes.clone(),
        draining: drain.subscribe(),
    };
    let replicas = Replicas::start(pool_store, facts, pool_gauges);
    let web = Web::new(operators.clone(), in_force_changes.clone());
    let desk = Arc::new(Desk {
        administration: Administration::new(operators.clone(), in_force_changes, take_up, links.clone()),
        login: web.login.clone(),
        store: operators,
        pairs: store.pairs,
        recorder,
        operator,
        links: links.clone(),
        settings: live.settings.subscribe(),
        legs: Arc::clone(&legs),
        replicas: replicas.clone(),
    });
    web.start(desk, shutdown.subscribe());
    let admin = TcpListener::bind(config.admin).await.map_err(StartError::Admin)?;
    let health = Health { registry, described, legs, links: links.clone() };
    tokio::spawn(health::serve(admin, Arc::new(health), shutdown.subscribe()));
    tracing::info!(gateway = config.gateway_id, "the gateway runs");
    supervisor::serves();

    let config = live.follow(config, wishes).await?;

    tracing::info!("the gateway stops: no new stanzas, what is under way is finished");
    supervisor::ends(config.drain);
    links.drain();
    drain.send_replace(true);
    if tokio::time::timeout(config.drain, drained.notified()).await.is_err() {
        tracing::warn!("not everything was finished in time; the edges give it to another gateway");
    }
    links.shut_down(LINK_PATIENCE).await;
    engine.abort();
    let _aborted = engine.await;
    replicas.leave().await;
    shutdown.send_replace(true);
    // The engine is gone, and with it what it had to say.
    if tokio::time::timeout(ARCHIVE_PATIENCE, archiving).await.is_err() {
        tracing::error!("messages are missing in the archive: the store did not take them in time");
    }
    Ok(())
}

impl Live {
    /// Waits for the end and takes up new configurations meanwhile; the last one is in force at the end.
    async fn follow(&mut self, mut config: Config, mut wishes: mpsc::Receiver<TakeUp>) -> Result<Config, StartError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
        let mut reload = Reload::new(self.files(&config)).map_err(StartError::Signals)?;
        let mut locate = tokio::time::interval(LOCATE_INTERVAL);
        let mut look = tokio::time::interval(REVISION_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hints = self.pool.hints();
        // Whether the store was away when something had to be read: no file changes once more for that.
        let mut is_owed = false;
        // What of the store could not be taken up: it is tried again when it, or a file, has changed.
        let mut refused = None;
        loop {
            let mut wish = None;
            tokio::select! {
                reason = reload.reason() => tracing::info!(?reason, "reading the configuration again"),
                Some(wished) = wishes.recv() => wish = Some(wished),
                _ = look.tick() => {
                    if !self.is_outdated(is_owed, refused).await {
                        continue;
                    }
                }
                Ok(()) = hints.changed() => {
                    if !self.is_outdated(is_owed, refused).await {
                        continue;
                    }
                }
                _ = locate.tick() => {
                    self.relocate(&config).await;
                    continue;
                }
                _ = terminate.recv() => return Ok(config),
                _ = interrupt.recv() => return Ok(config),
            }
            supervisor::reads_again();
            match self.reload(&config).await {
                Ok(fresh) => {
                    (is_owed, refused) = (false, None);
                    tracing::info!("the configuration was read again and is in force");
                    reload.replace(self.files(&fresh));
                    config = fresh;
                    if let Some(wish) = wish {
                        // Whoever wished may have given up.
                        let _gone = wish.send(Ok(Arc::clone(&self.in_force.borrow())));
                    }
                }
                Err(error) => {
                    is_owed = error.is_of_the_store();
                    refused = if is_owed { None } else { self.operators.revision().await.ok() };
                    if let Some(wish) = wish {
                        let _gone = wish.send(Err(error.to_string()));
                    }
                    tracing::error!(%error, "the new configuration is not used; the old one stays in force");
                    // A file that it names may be mended or come later.
                    let named = read(&self.path, &self.operators).await;
                    let named = named.map(|refused| refused.config.files()).unwrap_or_default();
                    reload.replace(self.files(&config).chain(named).collect::<Vec<_>>());
                }
            }
            supervisor::serves();
        }
    }

    fn files(&self, config: &Config) -> impl Iterator<Item = PathBuf> {
        config.files().into_iter().chain([self.path.clone()])
    }

    /// Whether somebody else has changed what operators keep in the store, to something that was not refused before, or it
    /// is back and a reading is owed.
    async fn is_outdated(&self, is_owed: bool, refused: Option<u64>) -> bool {
        let known = self.in_force.borrow().data.revision;
        let is_new = |revision| revision != known && Some(revision) != refused;
        self.operators.revision().await.is_ok_and(|revision| is_owed || is_new(revision))
    }

    async fn reload(&mut self, running: &Config) -> Result<Config, StartError> {
        let mut fresh = read_numbered(&self.path, &self.operators, &self.pool, &mut self.files).await?;
        let is_same_file = {
            let in_force = self.in_force.borrow();
            fresh.text == in_force.text && fresh.environment == in_force.environment
        };
        let mut config = Config::clone(&fresh.config);
        fresh.warnings.extend(config.keep_fixed(running));
        fresh.tell();
        // Everything that can fail comes before anything changes.
        let link_tls = config.link.load()?;
        let sip_tls = sip_tls(&config)?;
        let before = {
            let settings = self.settings.borrow();
            Pool { targets: settings.pool.clone(), sessions: settings.sessions.clone() }
        };
        // A change in the store does not wait for DNS: only the file names next hops.
        let pool = if is_same_file && !before.targets.is_empty() {
            before
        } else {
            or_as_it_was(located(&self.locator, &config).await, before)
        };
        let occasion = occasion(&config.store, &fresh);
        let settings = engine_settings(&config, occasion, pool, sip_tls.as_ref())?;
        self.publish(&config, fresh.snapshot)?;
        self.link_tls.send_replace(link_tls);
        self.certificates.renew(&config);
        if let (Some(tls), Some(server), Some(client)) = (sip_tls, &self.sip_server, &self.sip_client) {
            server.send_replace(tls.server);
            client.send_replace(tls.client);
            if let Some(msrp) = &self.msrp_tls {
                msrp.send_replace(tls.msrp);
            }
        }
        self.peers.send_replace(Arc::new(TrustedPeers::new(config.sip.trusted_peers.clone())));
        self.edges.send_replace(Arc::new(edge_addresses(&config)));
        self.allowed_edges.send_replace(Arc::new(config.link.allowed_edges.clone()));
        self.settings.send_replace(Arc::new(settings));
        telemetry::set_sample_ratio(config.telemetry.sample_ratio);
        fresh.config = Arc::new(config.clone());
        self.in_force.send_replace(Arc::new(fresh));
        Ok(config)
    }

    /// Tells the edges.
    fn publish(&mut self, config: &Config, version: u64) -> Result<(), FileFault> {
        let written = config.dialback_secret.as_ref().unwrap_or(&self.made);
        self.secrets.renew(config.dialback_passphrase.as_deref(), written)?;
        self.links.publish(Arc::new(snapshot(config, &self.secrets, version)?));
        Ok(())
    }

    /// Looks up the pool's names again; what does not resolve just now stays as it was.
    async fn relocate(&self, config: &Config) {
        let Pool { targets: pool, sessions } = located(&self.locator, config).await;
        if pool.is_empty() {
            tracing::warn!("sip.next_hops do not resolve");
            return;
        }
        self.settings.send_if_modified(|settings| {
            let changed = settings.pool != pool;
            if changed {
                *settings = Arc::new(Settings { pool, sessions, ..Settings::clone(settings) });
            }
            changed
        });
    }
}

/// Reads the file, and what is in the store under it.
async fn read(path: &Path, operators: &AsyncStore) -> Result<InForce, StartError> {
    let data = operators.operator_data().await?;
    let text = std::fs::read_to_string(path).map_err(|error| FileFault::new(path, error))?;
    let environment = environment();
    let (read, suspended) = Config::load_leniently(&text, &environment, &stored(&data));
    let (config, warnings) = read.map_err(StartError::Config)?;
    let digest = config.pool_digest();
    Ok(InForce {
        config: Arc::new(config),
        text: text.into(),
        environment: environment.into(),
        data: Arc::new(data),
        suspended,
        warnings,
        snapshot: 0,
        digest: Arc::new(digest),
    })
}

/// The same, with the version under which edges are told of it; `files` stands for what the last one came from.
async fn read_numbered(
    path: &Path,
    operators: &AsyncStore,
    pool: &AsyncPool,
    files: &mut String,
) -> Result<InForce, StartError> {
    for _ in 0..READINGS {
        let mut fresh = read(path, operators).await?;
        let digest = files_digest(&fresh);
        let ask = SnapshotAsk {
            revision: fresh.data.revision,
            is_new: digest != *files,
            digest: digest.clone(),
            now_ms: now().unix_ms,
        };
        if let Some(version) = pool.snapshot_version(ask).await? {
            fresh.snapshot = version;
            *files = digest;
            return Ok(fresh);
        }
    }
    Err(StartError::Restless)
}

/// What stands for the content of this gateway's own files, whatever is in the store.
fn files_digest(in_force: &InForce) -> String {
    let alone = Config::load_over(&in_force.text, in_force.environment.iter().cloned(), &Stored::default());
    // A file that says nothing without the store, which has, say, the policies that it grants: then both count.
    alone.map_or_else(|_| in_force.digest.whole(), |(config, _)| config.pool_digest().whole())
}

/// The pool as DNS has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pool {
    targets: Vec<Target>,
    sessions: SessionSettings,
}

/// Looks up the next hops, each with what carries chats there.
async fn located(locator: &Locator, config: &Config) -> Pool {
    let (ours, mut targets, mut forms) = (transports(config), Vec::new(), Vec::new());
    for (hop, form) in &config.sip.next_hops {
        for target in locator.locate(std::slice::from_ref(hop), &ours).await {
            if !targets.contains(&target) {
                targets.push(target.clone());
                forms.push((target, *form));
            }
        }
    }
    Pool { targets, sessions: SessionSettings::new(forms) }
}

/// The pool that was found; a resolver that is silent just now takes nobody away.
fn or_as_it_was(found: Pool, before: Pool) -> Pool {
    if found.targets.is_empty() {
        tracing::warn!("sip.next_hops do not resolve; the targets known so far stay");
        return before;
    }
    found
}

/// The legs that the gateway stands on: edges, the pool, the store; and that it is not about to go.
fn legs(links: &Links, metrics: &Metrics, is_draining: bool) -> Vec<Leg> {
    let edges = links.attached();
    let (known, alive) = metrics.engine.hops();
    let targets = match known {
        0 => "sip.next_hops do not resolve to any target".to_owned(),
        _ => format!("{alive} of {known} targets did not fail lately"),
    };
    vec![
        Leg::new("link", edges > 0, format!("{edges} edges attached")),
        Leg::new("sip", alive > 0, targets),
        metrics.store.leg(),
        Leg::new("partners", !is_draining, if is_draining { "going away" } else { "stanzas are accepted" }),
    ]
}

/// What several gateways on one store call what is in force: alike on all of them, another with every change.
fn occasion(store: &StoreConfig, in_force: &InForce) -> Option<Arc<str>> {
    match store {
        StoreConfig::Sqlite(_) => None,
        StoreConfig::Postgres(_) => Some(format!("{} {}", in_force.data.revision, in_force.digest.whole()).into()),
    }
}

fn engine_settings(
    config: &Config,
    occasion: Option<Arc<str>>,
    pool: Pool,
    tls: Option<&SipTls>,
) -> Result<Settings, StartError> {
    // Answers come to the gateway that asked.
    let contact = &config.sip.session_contact;
    let host = contact.port().map_or_else(|| contact.host().to_owned(), |port| format!("{}:{port}", contact.host()));
    let mut sent_by = Vec::new();
    for kind in transports(config) {
        // Responses come to the port that this transport listens on.
        let port =
            config.sip.listen.iter().find(|(listening, _)| *listening == kind).map(|(_, address)| address.port());
        let name = port.map_or_else(|| host.clone(), |port| format!("{}:{port}", contact.host()));
        sent_by.push(
            SentBy::new(kind, &name).map_err(|error| StartError::Contact(format!("sip.session_contact: {error}")))?,
        );
    }
    let mut domains = Domains::default();
    config.domains.iter().cloned().for_each(|domain| domains.add_local(domain));
    let mut partner_domains = Vec::new();
    for partner in &config.partners {
        domains.add_partner(&partner.domain, &partner.additional_domains, partner.partner_type);
        partner_domains.extend(std::iter::once(&partner.domain).chain(&partner.additional_domains).cloned());
    }
    let archived = config.partners.iter().filter(|partner| partner.is_archived);
    let archived = archived.map(|partner| partner.domain.clone()).collect();
    Ok(Settings {
        endpoint: EndpointConfig { sessions: Some(SessionConfig::default()), ..EndpointConfig::new(sent_by) },
        contact: config.sip.contact.clone(),
        session_contact: contact.clone(),
        occasion,
        pool: pool.targets,
        options_interval: config.sip.options_interval,
        sessions: pool.sessions,
        transports: transports(config),
        max_message_bytes: config.sip.max_message_bytes,
        msrp: msrp::switch_config(config, tls),
        max_stanza_bytes: 10_000,
        messages: config.messages.clone(),
        bodies: BodySettings { archived, are_logged: config.logs_bodies },
        presence: config.presence.clone(),
        access: config.access.clone(),
        quotas: config.quotas,
        watches: config.watches,
        directory: Arc::new(config.directory.directory(&config.messages)),
        echo: config.echo.as_ref().and_then(EchoConfig::contact).map(Arc::new),
        domains,
        partner_domains,
    })
}

/// What the engine would work by without a pool, for tests of what reads it.
#[cfg(test)]
pub(crate) fn settings_without_pool(config: &Config) -> Settings {
    engine_settings(config, None, Pool { targets: Vec::new(), sessions: SessionSettings::default() }, None).unwrap()
}

/// The transports that we listen on, the safest first; towards the pool each of them works.
fn transports(config: &Config) -> Vec<TransportKind> {
    let mut kinds = Vec::new();
    for (kind, _) in &config.sip.listen {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    kinds
}

fn listen(config: &Config, wanted: TransportKind) -> Vec<std::net::SocketAddr> {
    config.sip.listen.iter().filter(|(kind, _)| *kind == wanted).map(|(_, address)| *address).collect()
}

fn edge_addresses(config: &Config) -> Vec<EdgeAddress> {
    config.link.edges.iter().cloned().map(EdgeAddress).collect()
}

/// Where connections of ours come from, if we listen on one address only.
fn source_ip(config: &Config) -> Option<IpAddr> {
    config.sip.listen.first().map(|(_, address)| address.ip()).filter(|ip| !ip.is_unspecified())
}

fn sip_tls(config: &Config) -> Result<Option<SipTls>, FileFault> {
    config.sip.tls.as_ref().map(SipTlsFiles::load).transpose()
}

/// 256 bits for dialback where none are configured, if the store has none yet.
fn made_secret() -> Vec<u8> {
    let mut ids = IdSource::os();
    (0..4).flat_map(|_| format!("{:016x}", ids.number()).into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_finds_nothing_leaves_the_pool_as_it_was() {
        let target = |addr: &str| Target { transport: TransportKind::Tcp, addr: addr.parse().unwrap(), name: None };
        let pool = |targets: Vec<Target>| Pool { targets, sessions: SessionSettings::default() };
        let (before, after) = (pool(vec![target("127.0.0.9:5060")]), pool(vec![target("127.0.0.8:5060")]));
        assert_eq!(or_as_it_was(pool(Vec::new()), before.clone()), before);
        assert_eq!(or_as_it_was(after.clone(), before), after);
    }
}
