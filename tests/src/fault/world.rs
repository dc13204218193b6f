//! What runs: gateways, edges, partners, the pool, a name server, each as a party of the network.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::chat::Chat;
use super::ledger::Ledger;
use super::network::{Network, Party};
use super::partner::{Habits, LoadedPartner, S2S};
use super::pool::{LoadedPool, SIP};
use super::slow::Slow;
use super::store::Store;
use crate::peer::dns::Dns;
use crate::peer::process::{self, Process, Signal};
use crate::peer::road::{PartnerPlan, Plan, Road};
use crate::peer::{fault, http, until};

/// Our domain.
pub const LOCAL: &str = "contoso.example";

/// The partners: one that counts (XEP-0198), one that does not, and one that counts and is slow.
pub const PARTNERS: [Habits; 3] = [
    Habits { domain: "fabrikam.example", counts: true, edge: 0, nap_ms: 10 },
    Habits { domain: "wingtip.example", counts: false, edge: 1, nap_ms: 10 },
    Habits { domain: "litware.example", counts: true, edge: 1, nap_ms: 150 },
];

/// The port of the link.
const LINK: u16 = 23456;

/// Message streams at the gateways.
const MSRP: u16 = 2856;

/// Health and metrics.
const HEALTH: u16 = 9090;

/// Last octets of the parties' addresses; edges, gateways and partners count from theirs.
const EDGES: u8 = 10;
const GATEWAYS: u8 = 20;
const POOL: u8 = 30;
const REMOTES: u8 = 40;
const NAMES: u8 = 50;

/// How many of each.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Gateways; more than one needs a store that they share.
    pub gateways: usize,
    /// Edges.
    pub edges: usize,
}

/// One of our processes, and how to start it again.
pub struct Member {
    /// What it is called in tables.
    pub name: String,
    /// Where it is.
    pub party: Arc<Party>,
    program: &'static str,
    config: PathBuf,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

/// Everything, running.
pub struct World {
    /// The gateways.
    pub gateways: Vec<Member>,
    /// The edges.
    pub edges: Vec<Member>,
    /// The partners, in the order of [`PARTNERS`].
    pub partners: Vec<LoadedPartner>,
    /// Where the partners are.
    pub remotes: Vec<Arc<Party>>,
    /// The pool.
    pub pool: LoadedPool,
    /// The chat in a session.
    pub chat: Chat,
    /// Where the pool is.
    pub pool_party: Arc<Party>,
    /// Who makes roads slow.
    pub slow: Slow,
    /// Where the gateways keep things.
    pub store: Store,
    /// Files and certificates.
    pub road: Road,
    /// What became of everything.
    pub ledger: Arc<Ledger>,
    _dns: Dns,
    /// The last to go: everything else lives in it.
    pub network: Network,
}

impl World {
    /// Brings everything up, and waits until all are ready.
    pub async fn start(run: &str, size: Size) -> io::Result<Self> {
        let network = Network::new(run)?;
        let edge_parties = parties(&network, "edge", EDGES, size.edges)?;
        let gateway_parties = parties(&network, "gw", GATEWAYS, size.gateways)?;
        let remotes = parties(&network, "remote", REMOTES, PARTNERS.len())?;
        let pool_party = network.party("pool", POOL)?;
        let names = network.party("dns", NAMES)?;
        let at = |party: &Party, port| SocketAddr::new(party.ip(), port);

        let plan = |edge: &Party, gateway: &Party| Plan {
            edge: at(edge, S2S),
            link: at(edge, LINK),
            edge_http: at(edge, HEALTH),
            sip: at(gateway, SIP),
            gateway_http: at(gateway, HEALTH),
            pool: at(&pool_party, SIP),
            dns: at(&names, 53),
            local: LOCAL.to_owned(),
            partners: PARTNERS.iter().map(|partner| PartnerPlan::external(partner.domain)).collect(),
            is_unlimited: true,
            is_sip_secured: false,
        };
        let (Some(edge), Some(gateway)) = (edge_parties.first(), gateway_parties.first()) else {
            return Err(fault("a world needs an edge and a gateway"));
        };
        let road = Road::new(run, plan(edge, gateway))?;
        let links: Vec<String> = edge_parties.iter().map(|edge| format!("'{}'", at(edge, LINK))).collect();
        let mut edges = Vec::new();
        for (number, party) in (1..).zip(&edge_parties) {
            let text = road.edge_toml(&plan(party, gateway)).replace("'edge-1'", &format!("'edge-{number}'"));
            edges.push(Member::new(format!("edge {number}"), "edge-proxy", party, &road, &text)?);
        }
        let slow = Slow::start(&network).await?;
        let store = Store::start(&network, road.folder(), size.gateways)?;
        let file = format!("path = '{}'", road.folder().join("gateway.sqlite").display());
        let mut gateways = Vec::new();
        for (number, party) in (1..).zip(&gateway_parties) {
            let text = road.gateway_toml(&plan(edge, party));
            let text = text
                .replace(&file, &store.setting())
                .replace(&format!("contact = 'sip:{}", at(party, SIP)), &format!("contact = 'sip:{}", at(gateway, SIP)))
                .replace(
                    "[sip]\n",
                    &format!(
                        "[sip]\nmsrp_tcp = ['{}']\nmsrp_host = '{}'\nsession_contact = 'sip:{};transport=tcp'\n",
                        at(party, MSRP),
                        party.ip(),
                        at(party, SIP)
                    ),
                )
                .replace("'gateway-1'", &format!("'gateway-{number}'"))
                .replace(&format!("edges = ['{}']", at(edge, LINK)), &format!("edges = [{}]", links.join(", ")));
            gateways.push(Member::new(format!("gateway {number}"), "gateway", party, &road, &text)?);
        }

        let zone = at(&names, 53);
        let dns = names.run(async move { Dns::start(zone).await }).await?;
        for (partner, party) in PARTNERS.iter().zip(&remotes) {
            let host = format!("xmpp.{}", partner.domain);
            dns.host(&host, party.address);
            dns.xmpp(partner.domain, &host, S2S);
        }
        let ledger = Arc::new(Ledger::default());
        let doors: Vec<SocketAddr> = edge_parties.iter().map(|edge| at(edge, S2S)).collect();
        let mut partners = Vec::new();
        for (habits, party) in PARTNERS.iter().zip(&remotes) {
            partners.push(LoadedPartner::start(party, &road, *habits, doors.clone(), &ledger).await?);
        }
        let sip: Vec<SocketAddr> = gateway_parties.iter().map(|gateway| at(gateway, SIP)).collect();
        let pool = LoadedPool::start(&pool_party, &sip, &ledger).await?;
        let chat = Chat::start(&pool_party, sip, PARTNERS[0], &ledger);
        let world = Self {
            gateways,
            edges,
            partners,
            remotes,
            pool,
            chat,
            pool_party,
            slow,
            store,
            road,
            ledger,
            _dns: dns,
            network,
        };
        for member in world.edges.iter().chain(&world.gateways) {
            member.start()?;
        }
        world.ready().await?;
        Ok(world)
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&self) -> io::Result<()> {
        for member in self.edges.iter().chain(&self.gateways) {
            let health = SocketAddr::new(member.party.ip(), HEALTH);
            until(&format!("{} is ready", member.name), async || {
                let asked = self.network.hub().run(async move { http::get(health, "/readyz").await }).await;
                asked.ok().filter(|(status, _)| *status == 200).map(|_| ())
            })
            .await
            .map_err(|error| fault(format!("{error}\n{}", member.last_words())))?;
        }
        Ok(())
    }
}

fn parties(network: &Network, name: &str, first: u8, count: usize) -> io::Result<Vec<Arc<Party>>> {
    (first..).take(count).zip(1..).map(|(last, number)| network.party(&format!("{name}{number}"), last)).collect()
}

/// Lines of a log that say why a process is not as it should be.
const LAST_LINES: usize = 12;

impl Member {
    fn new(name: String, program: &'static str, party: &Arc<Party>, road: &Road, text: &str) -> io::Result<Self> {
        let file = name.replace(' ', "-");
        let (config, log) = (road.folder().join(format!("{file}.toml")), road.folder().join(format!("{file}.log")));
        std::fs::write(&config, text)?;
        Ok(Self { name, party: Arc::clone(party), program, config, log, process: Mutex::new(None) })
    }

    /// Starts it.
    pub fn start(&self) -> io::Result<()> {
        let process = self.party.start(&process::program(self.program)?, &self.config, &self.log)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    /// Whether it has been started, and not ended since.
    pub fn is_started(&self) -> bool {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Ends it as a crash would.
    pub fn kill(&self) -> io::Result<()> {
        self.running()?.kill()?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(&self) -> io::Result<()> {
        let mut process = self.running()?;
        process.signal(Signal::TERM)?;
        let status = process.ended().await?;
        if status.success() { Ok(()) } else { Err(fault(format!("{} ended with {status}", self.name))) }
    }

    /// Stops it in the middle of what it does, or lets it go on.
    pub fn freeze(&self, is_frozen: bool) -> io::Result<()> {
        let process = self.running()?;
        process.signal(if is_frozen { Signal::STOP } else { Signal::CONT })?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    /// Whether it has ended although nobody asked it to.
    pub fn has_crashed(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_mut().is_some_and(|process| !process.is_running())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
    }

    /// The process, for who puts it back or ends it.
    fn running(&self) -> io::Result<Process> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        process.ok_or_else(|| fault(format!("{} does not run", self.name)))
    }
}
