//! Both services, and one partner for every row and kind of peer.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use causeway_tests::peer::dns::Dns;
use causeway_tests::peer::pki::{Credentials, Form};
use causeway_tests::peer::process::{self, Process};
use causeway_tests::peer::road::{Plan, Road};
use causeway_tests::peer::sip::Pool;
use causeway_tests::peer::{tls, until};
use rustls::{ClientConfig, ServerConfig};

use crate::oracle::{External, Peer, ROWS, Row, Tls, peers};
use crate::server::Server;

/// Our domain.
pub(crate) const LOCAL: &str = "contoso.example";

/// Where all scripted peers are.
const HOST: &str = "peers.example";

/// A row meets a peer.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) row: &'static Row,
    pub(crate) peer: Peer,
    pub(crate) domain: String,
}

/// Every valid row with every peer.
pub(crate) fn cells(externals: &'static [External]) -> Vec<Cell> {
    let valid = ROWS.iter().filter(|row| !row.methods.is_empty());
    valid
        .flat_map(|row| peers(externals).map(move |peer| Cell { row, peer, domain: domain(row.number, peer) }))
        .collect()
}

/// Good certificates name `*.good.example`; bad ones are signed by themselves.
pub(crate) fn domain(row: u8, peer: Peer) -> String {
    let tls = match peer.tls {
        Tls::None => "none",
        Tls::Can => "can",
        Tls::Insists => "insists",
    };
    let external = match peer.external {
        External::None => "no",
        External::Works => "works",
        External::FailsAndStays => "stays",
        External::FailsAndCloses => "closes",
    };
    let dialback = if peer.dialback { "dialback" } else { "no" };
    let zone = if peer.proves { "good" } else { "bad" };
    format!("r{row:02}-{tls}-{external}-{dialback}.{zone}.example")
}

/// Everything, running.
pub(crate) struct World {
    pub(crate) road: Road,
    pub(crate) server: Server,
    edge: Process,
    server_tls: Arc<ServerConfig>,
    good: Arc<ClientConfig>,
    bad: Arc<ClientConfig>,
    _gateway: Process,
    _pool: Pool,
    dns: Dns,
}

impl World {
    /// Brings everything up for these cells.
    pub(crate) async fn start(name: &str, cells: &[Cell]) -> Self {
        process::build().unwrap();
        let last = u8::try_from(1 + std::process::id() % 254).unwrap();
        let here = IpAddr::V4(Ipv4Addr::new(127, 0, 27, last));
        let plan = Plan { is_unlimited: true, ..Plan::free(here, LOCAL, Vec::new()).unwrap() };
        let road = Road::new(name, plan).unwrap();
        configure(&road, cells);
        let good = road.authority.issue(&["*.good.example"]).unwrap();
        let bad = road.authority.issue_as(Form::SelfSigned, &["*.bad.example"]).unwrap();
        let peers = cells.iter().map(|cell| (cell.domain.clone(), cell.peer)).collect();
        let config = |own: &Credentials| tls::server(&road.authority, own).unwrap();
        let server_tls = config(&good);
        let server =
            Server::start(SocketAddr::new(here, 0), peers, Arc::clone(&server_tls), config(&bad)).await.unwrap();
        let dns = Dns::start(road.plan.dns).await.unwrap();
        let IpAddr::V4(address) = here else { unreachable!("127.0.27.0/24 is IPv4") };
        dns.host(HOST, address);
        for cell in cells {
            dns.srv(&format!("_xmpp-server._tcp.{}", cell.domain), (10, 0), HOST, server.address.port());
        }
        let pool = Pool::start(road.plan.pool).await.unwrap();
        let edge = road.start_edge().await.unwrap();
        let gateway = road.start_gateway().await.unwrap();
        road.ready().await.unwrap();
        let client = |own: &Credentials| tls::client(&road.authority, Some(own)).unwrap();
        let (good, bad) = (client(&good), client(&bad));
        Self { road, server, edge, good, bad, _gateway: gateway, _pool: pool, dns, server_tls }
    }

    /// The certificate of a peer, in a client's hands.
    pub(crate) fn tls(&self, peer: Peer) -> &Arc<ClientConfig> {
        if peer.proves { &self.good } else { &self.bad }
    }

    /// The same for a server.
    pub(crate) fn server_tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server_tls)
    }

    /// From now on DNS leads to another port for a domain first. Nobody may have asked before.
    pub(crate) fn lead_to(&self, domain: &str, port: u16) {
        self.dns.xmpp(domain, HOST, port);
    }

    /// The method of each domain, as soon as the edge has logged one for all of these.
    pub(crate) async fn methods(&self, direction: &str, proved: &[&str]) -> HashMap<String, &'static str> {
        until("the edge logs every method", async || {
            let found: HashMap<_, _> = self.edge.log().lines().filter_map(|line| method(line, direction)).collect();
            proved.iter().all(|domain| found.contains_key(*domain)).then_some(found)
        })
        .await
        .unwrap()
    }
}

/// The domain and the method in a line of the edge's log.
fn method(line: &str, direction: &str) -> Option<(String, &'static str)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line.get("message")?.as_str()? != "authenticated" || line.get("direction")?.as_str()? != direction {
        return None;
    }
    let (_, domain) = line.get("pair")?.as_str()?.split_once(" / ")?;
    let method = match line.get("method")?.as_str()? {
        "sasl-external" => "S",
        "tls-dialback" => "DT",
        "tls-dialback-certificate" => "DT by certificate",
        "tcp-dialback" => "DP",
        _ => return None,
    };
    Some((domain.to_owned(), method))
}

/// Adds the partners, and a log that tells what each stream was authenticated by.
fn configure(road: &Road, cells: &[Cell]) {
    let setting = |letter| match letter {
        'R' => "Required",
        'O' => "Optional",
        _ => "NotSupported",
    };
    let mut partners = String::new();
    for Cell { row, domain, .. } in cells {
        write!(
            partners,
            "[[partner]]\ndomain = '{domain}'\npartner_type = 'Federated'\ntls_negotiation = '{}'\n\
             sasl_negotiation = '{}'\nsupport_dialback_negotiation = {}\nforce = true\ntrust_anchors = ['{}']\n\
             use_public_trust = false\nallow_private_addresses = true\n",
            setting(row.tls),
            setting(row.sasl),
            row.dialback,
            road.folder().join("ca.pem").display(),
        )
        .unwrap();
    }
    let log = "[telemetry]\nlevel = 'info,causeway_edge_proxy::stream=debug'\nformat = 'json'\n";
    for (path, text) in [(road.gateway_config(), partners.as_str()), (road.edge_config(), log)] {
        OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }
}
