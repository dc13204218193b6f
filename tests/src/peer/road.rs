//! Both services of this build, on addresses of their own, with certificates, configuration and state in a folder of
//! their own that goes away with them.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::pki::{Authority, Files};
use super::process::{self, Process};
use super::{PATIENCE, fault, http, until};

/// Lines of each log in [`Road::last_words`].
const LAST_LINES: usize = 15;

/// Where everything is and what is configured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where partners reach the edge.
    pub edge: SocketAddr,
    /// Where gateways attach.
    pub link: SocketAddr,
    /// Health and metrics of the edge.
    pub edge_http: SocketAddr,
    /// SIP at the gateway, TCP and UDP.
    pub sip: SocketAddr,
    /// Health and metrics of the gateway.
    pub gateway_http: SocketAddr,
    /// The front-end pool.
    pub pool: SocketAddr,
    /// The name server.
    pub dns: SocketAddr,
    /// Our domain.
    pub local: String,
    /// Those we federate with.
    pub partners: Vec<PartnerPlan>,
    /// Whether limits on connections are out of the way.
    pub is_unlimited: bool,
    /// Whether SIP is spoken over mutual TLS, instead of TCP and UDP.
    pub is_sip_secured: bool,
}

/// A partner as it is configured.
#[derive(Debug, Clone)]
pub struct PartnerPlan {
    /// Its domain.
    pub domain: String,
    /// Its type, with the original's name.
    pub kind: &'static str,
    /// Its SASL negotiation; TLS is required and dialback supported.
    pub sasl: &'static str,
}

impl PartnerPlan {
    /// Federated, SASL EXTERNAL only.
    pub fn external(domain: &str) -> Self {
        Self { domain: domain.to_owned(), kind: "Federated", sasl: "Required" }
    }

    /// Federated, SASL EXTERNAL or dialback over TLS.
    pub fn dialback(domain: &str) -> Self {
        Self { domain: domain.to_owned(), kind: "Federated", sasl: "Optional" }
    }
}

impl Plan {
    /// Free ports of one address.
    pub fn free(address: IpAddr, local: &str, partners: Vec<PartnerPlan>) -> io::Result<Self> {
        // All are held until all are known, so that none is given twice.
        let mut held = Vec::new();
        let mut next = || {
            let (port, sockets) = vacant(address)?;
            held.push(sockets);
            Ok::<_, io::Error>(SocketAddr::new(address, port))
        };
        Ok(Self {
            edge: next()?,
            link: next()?,
            edge_http: next()?,
            sip: next()?,
            gateway_http: next()?,
            pool: next()?,
            dns: next()?,
            local: local.to_owned(),
            partners,
            is_unlimited: false,
            is_sip_secured: false,
        })
    }
}

/// Where the ports of tests begin, and how many there are: below those that the kernel gives to whoever asks for any, who
/// would take a port between our look and the program's.
const PORTS: (u32, u32) = (10_000, 20_000);

/// Ports that a process tries before those where the next one begins. Tests run in processes of their own.
const PORTS_OF_A_PROCESS: u32 = 20;

/// A port that nobody uses, neither by TCP nor by UDP, and what holds it.
fn vacant(address: IpAddr) -> io::Result<(u16, (TcpListener, UdpSocket))> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_OF_A_PROCESS);
    for _ in 0..PORTS.1 {
        let number = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % PORTS.1;
        let Ok(port) = u16::try_from(PORTS.0 + number) else { continue };
        if let (Ok(tcp), Ok(udp)) = (TcpListener::bind((address, port)), UdpSocket::bind((address, port))) {
            return Ok((port, (tcp, udp)));
        }
    }
    Err(fault("no port is free"))
}

/// The folder, the authorities, the files.
pub struct Road {
    /// Where everything is.
    pub plan: Plan,
    /// The authority of all domains' certificates.
    pub authority: Authority,
    folder: PathBuf,
    ca: PathBuf,
    link_ca: PathBuf,
    domain: Files,
    edge_link: Files,
    gateway_link: Files,
}

impl Drop for Road {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("CAUSEWAY_KEEP").is_some() {
            eprintln!("kept: {}", self.folder.display());
        } else {
            let _what_stays_is_in_the_temporary_folder = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Road {
    /// The name in the edge's link certificate.
    pub const EDGE_NAME: &'static str = "edge.link.example";

    /// The name in the gateway's link certificate.
    pub const GATEWAY_NAME: &'static str = "gateway.link.example";

    /// The dialback secret of our side.
    pub const DIALBACK_SECRET: &'static str = "a secret of thirty-two bytes or more";

    /// Makes the folder with everything in it.
    pub fn new(name: &str, plan: Plan) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("causeway-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (authority, link) = (Authority::new("test federation")?, Authority::new("test link")?);
        let road = Self {
            ca: authority.write(&folder, "ca")?,
            link_ca: link.write(&folder, "link-ca")?,
            domain: authority.issue(&[&plan.local])?.write(&folder, "domain")?,
            edge_link: link.issue(&[Self::EDGE_NAME])?.write(&folder, "edge-link")?,
            gateway_link: link.issue(&[Self::GATEWAY_NAME])?.write(&folder, "gateway-link")?,
            authority,
            folder,
            plan,
        };
        std::fs::write(road.folder.join("dialback.secret"), Self::DIALBACK_SECRET)?;
        std::fs::write(road.edge_config(), road.edge_toml(&road.plan))?;
        std::fs::write(road.gateway_config(), road.gateway_toml(&road.plan))?;
        Ok(road)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `edge-proxy.toml`.
    pub fn edge_config(&self) -> PathBuf {
        self.folder.join("edge-proxy.toml")
    }

    /// `gateway.toml`.
    pub fn gateway_config(&self) -> PathBuf {
        self.folder.join("gateway.toml")
    }

    /// Certificate, key and authority of the edge's end of the link, as PEM.
    pub fn edge_link(&self) -> io::Result<[Vec<u8>; 3]> {
        self.pem(&self.edge_link)
    }

    /// Certificate, key and authority of the gateway's end of the link, as PEM.
    pub fn gateway_link(&self) -> io::Result<[Vec<u8>; 3]> {
        self.pem(&self.gateway_link)
    }

    fn pem(&self, files: &Files) -> io::Result<[Vec<u8>; 3]> {
        Ok([std::fs::read(&files.certificate)?, std::fs::read(&files.key)?, std::fs::read(&self.link_ca)?])
    }

    /// Starts the edge and waits until it lives.
    pub async fn start_edge(&self) -> io::Result<Process> {
        self.start("edge-proxy", &self.edge_config(), self.plan.edge_http).await
    }

    /// Starts the gateway and waits until it lives.
    pub async fn start_gateway(&self) -> io::Result<Process> {
        self.start("gateway", &self.gateway_config(), self.plan.gateway_http).await
    }

    /// Writes the configuration of another gateway with addresses of its own, changed as wanted, and starts it. It is for
    /// `plan.gateway_http` to say whether it is ready.
    pub async fn start_another_gateway(
        &self,
        name: &str,
        plan: &Plan,
        gateway_toml: impl FnOnce(&str) -> String,
    ) -> io::Result<Process> {
        let path = self.folder.join(format!("{name}.toml"));
        std::fs::write(&path, gateway_toml(&self.gateway_toml(plan)))?;
        self.start("gateway", &path, plan.gateway_http).await
    }

    /// The same for another edge.
    pub async fn start_another_edge(
        &self,
        name: &str,
        plan: &Plan,
        edge_toml: impl FnOnce(&str) -> String,
    ) -> io::Result<Process> {
        let path = self.folder.join(format!("{name}.toml"));
        std::fs::write(&path, edge_toml(&self.edge_toml(plan)))?;
        self.start("edge-proxy", &path, plan.edge_http).await
    }

    async fn start(&self, name: &str, config: &Path, health: SocketAddr) -> io::Result<Process> {
        let (config, log) = (config.to_string_lossy(), self.folder.join(format!("{name}.log")));
        let mut process = Process::start(&process::program(name)?, &["--config", &config], &log)?;
        until(&format!("{name} lives"), async || {
            if !process.is_running() {
                return Some(Err(fault(format!("{name} has ended: {}", last(&process.log())))));
            }
            http::get(health, "/livez").await.ok().filter(|(status, _)| *status == 200).map(|_| Ok(()))
        })
        .await??;
        Ok(process)
    }

    /// Waits until both services know of each other.
    pub async fn ready(&self) -> io::Result<()> {
        for (name, address) in [("the edge", self.plan.edge_http), ("the gateway", self.plan.gateway_http)] {
            until(&format!("{name} is ready"), async || {
                http::get(address, "/readyz").await.ok().filter(|(status, _)| *status == 200)
            })
            .await?;
        }
        Ok(())
    }

    /// The ends of the logs, for whoever reads of a failure.
    pub fn last_words(&self) -> String {
        ["edge-proxy", "gateway"].iter().fold(String::new(), |mut text, name| {
            let log = std::fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
            let _writing_to_a_string_cannot_fail = writeln!(text, "--- {name}\n{}", last(&log));
            text
        })
    }

    /// The configuration of an edge at these addresses.
    pub fn edge_toml(&self, plan: &Plan) -> String {
        let Plan { edge, link, edge_http, dns, .. } = plan;
        let limits = if plan.is_unlimited {
            "[limits]\nconnections_per_address = 100000\nunauthenticated_per_address = 100000\n\
             unauthenticated = 100000\nnew_connections_per_minute = 1000000\nnew_connections_burst = 1000000\n"
        } else {
            // A test connects more often than a partner should.
            "[limits]\nnew_connections_per_minute = 100000\nnew_connections_burst = 1000\n"
        };
        format!(
            "edge_id = 'edge-1'\ndrain_secs = 2\n[listen]\ns2s = ['{edge}']\n[link]\nlisten = '{link}'\n{}\
             allowed_gateways = ['{}']\n[tls]\ncertificates = [{{ certificate = '{}', key = '{}' }}]\n\
             [dns]\nservers = ['{dns}']\n[admin]\nlisten = '{edge_http}'\n{limits}",
            self.link_toml(&self.edge_link),
            Self::GATEWAY_NAME,
            self.domain.certificate.display(),
            self.domain.key.display(),
        )
    }

    /// The configuration of a gateway at these addresses.
    pub fn gateway_toml(&self, plan: &Plan) -> String {
        let Plan { link, sip, gateway_http, pool, local, .. } = plan;
        let (certificate, key, ca) = (self.domain.certificate.display(), self.domain.key.display(), self.ca.display());
        let sip_toml = if plan.is_sip_secured {
            format!(
                "tls = ['{sip}']\ncontact = 'sip:{sip};transport=tls'\nnext_hops = ['tls:{pool}']\n\
                 tls_files = {{ certificate = '{certificate}', key = '{key}', ca = '{ca}' }}\n"
            )
        } else {
            format!(
                "tcp = ['{sip}']\nudp = ['{sip}']\ncontact = 'sip:{sip};transport=tcp'\nnext_hops = ['tcp:{pool}']\n"
            )
        };
        let settings =
            if plan.is_unlimited { "connection_limit = 100000\npartner_connection_limit = 1000\n" } else { "" };
        let mut text = format!(
            "gateway_id = 'gateway-1'\ndomains = ['{local}']\ndrain_secs = 2\n[link]\nedges = ['{link}']\n{}\
             allowed_edges = ['{}']\n[sip]\noptions_interval_secs = 0\n{sip_toml}[[sip.trusted_peers]]\nname = 'pool'\naddresses = ['{}']\n\
             [quotas]\nmessages_per_minute = 0\nsubscribes_per_minute = 0\nprobes_per_minute = 0\nqueries_per_minute = 0\n\
             [store]\npath = '{}'\n[admin]\nlisten = '{gateway_http}'\n[panel]\nlisten = ''\nsocket = ''\n\
             [gateway_settings]\ndialback_passphrase_file = '{}'\n{settings}",
            self.link_toml(&self.gateway_link),
            Self::EDGE_NAME,
            pool.ip(),
            self.folder.join("gateway.sqlite").display(),
            self.folder.join("dialback.secret").display(),
        );
        plan.partners.iter().for_each(|partner| text.push_str(&self.partner_toml(partner)));
        text
    }

    /// A partner's section in the configuration of a gateway.
    pub fn partner_toml(&self, PartnerPlan { domain, kind, sasl }: &PartnerPlan) -> String {
        let limit = if self.plan.is_unlimited { "connection_limit = 1000\n" } else { "" };
        format!(
            "[[partner]]\ndomain = '{domain}'\npartner_type = '{kind}'\nsasl_negotiation = '{sasl}'\n\
             trust_anchors = ['{}']\nuse_public_trust = false\nallow_private_addresses = true\n{limit}",
            self.ca.display()
        )
    }

    fn link_toml(&self, files: &Files) -> String {
        format!(
            "certificate = '{}'\nkey = '{}'\nca = '{}'\n",
            files.certificate.display(),
            files.key.display(),
            self.link_ca.display()
        )
    }
}

fn last(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
}

/// Tries again until it succeeds, and tells the last failure otherwise.
pub async fn retry<T>(what: &str, mut attempt: impl AsyncFnMut() -> io::Result<T>) -> io::Result<T> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > give_up => return Err(fault(format!("{what}: {error}"))),
            Err(_) => tokio::time::sleep(super::TICK).await,
        }
    }
}
