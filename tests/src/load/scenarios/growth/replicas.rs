//! One, two and four gateways and as many edges, one pool on one PostgreSQL, the same traffic over all of them.
//!
//! All of them share this machine, so what is measured is not how much they carry together but what a message costs: the
//! sum over all gateways, and over all edges. It grows only by what sharing takes away from batches.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::super::{ALOFT, Bench};
use super::around::Around;
use super::spread::{self, Spread, Turns, domain};
use super::{BY_REPLICAS, Curve, FLAT, ratio, road};
use crate::load::flight::Flight;
use crate::load::measure::{self, Sample};
use crate::load::pace::{self, Pace};
use crate::load::report::{Report, What};
use crate::load::sip::Client;
use crate::peer::postgres::TestServer;
use crate::peer::process::Process;
use crate::peer::road::{PartnerPlan, Plan, Road};
use crate::peer::{http, until};

/// Gateways, and as many edges.
const SIZES: [u8; 3] = [1, 2, 4];

/// Streams in each direction, the same at every size.
const STREAMS: usize = 8;

/// Who may log in to the database.
const ACCESS: &str = "host all all 127.0.0.1/32 trust\n";

const CPU: [What; 4] = [
    ratio("growth_replicas_edge_in", "4 gateways and 4 edges / 1 and 1: CPU per message, edges inbound", FLAT),
    ratio("growth_replicas_gateway_in", "  all gateways, XMPP -> SIP", FLAT),
    ratio("growth_replicas_edge_out", "  all edges, outbound", FLAT),
    ratio("growth_replicas_gateway_out", "  all gateways, SIP -> XMPP", FLAT),
];

const LINES: [&str; 4] = ["edges, inbound", "gateways, to SIP", "edges, outbound", "gateways, to XMPP"];

/// All sizes, smallest first.
pub(in super::super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let start = || TestServer::start_with("", ACCESS, &[]);
    let server = tokio::task::spawn_blocking(start).await.map_err(io::Error::other)?;
    let mut curves = <[Curve; 4]>::default();
    for size in SIZES {
        let road = road(bench, &format!("replicas-{size}"), |plan| {
            plan.partners = (0..STREAMS).map(|number| PartnerPlan::external(&domain(number))).collect();
        })?;
        let database = server.database();
        let store = format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable", server.port());
        let pool = Pool::start(bench, road, size, &store).await?;
        let costs = pool.costs(report).await?;
        for ((curve, line), cost) in curves.iter_mut().zip(LINES).zip(costs) {
            curve.add(report, BY_REPLICAS, line, usize::from(size), cost);
        }
    }
    curves.iter().zip(CPU).for_each(|(curve, row)| curve.ends(report, row));
    Ok(())
}

/// Gateways and edges, all attached to all, and what is around them.
struct Pool<'a> {
    bench: &'a Bench,
    road: Road,
    plans: Vec<Plan>,
    edges: Vec<Process>,
    gateways: Vec<Process>,
    _around: Around,
}

impl<'a> Pool<'a> {
    async fn start(bench: &'a Bench, road: Road, size: u8, store: &str) -> io::Result<Self> {
        let around = Around::start(bench, &road, STREAMS).await?;
        let plans: Vec<Plan> = (0..size).map(|number| moved(&road.plan, number)).collect();
        let links = plans.iter().map(|plan| format!("'{}'", plan.link)).collect::<Vec<_>>().join(", ");
        let (mut edges, mut gateways) = (Vec::new(), Vec::new());
        for (number, plan) in (1..).zip(&plans) {
            let named = |toml: &str| toml.replace("'edge-1'", &format!("'edge-{number}'"));
            edges.push(road.start_another_edge(&format!("edge-{number}"), plan, named).await?);
        }
        let file = format!("path = '{}'", road.folder().join("gateway.sqlite").display());
        for (number, plan) in (1..).zip(&plans) {
            let pooled = |toml: &str| {
                toml.replace("'gateway-1'", &format!("'gateway-{number}'"))
                    .replace(&format!("edges = ['{}']", plan.link), &format!("edges = [{links}]"))
                    .replace(&file, &format!("postgres = '{store}'"))
            };
            gateways.push(road.start_another_gateway(&format!("gateway-{number}"), plan, pooled).await?);
        }
        for plan in &plans {
            until("every gateway has every edge", async || {
                let metrics = http::get(plan.gateway_http, "/metrics").await.ok()?.1;
                (http::metric(&metrics, "causeway_edges", &[]) >= f64::from(size)).then_some(())
            })
            .await?;
        }
        Ok(Self { bench, road, plans, edges, gateways, _around: around })
    }

    /// CPU per message: all edges and all gateways inwards, all edges and all gateways outwards.
    async fn costs(&self, report: &mut Report) -> io::Result<[f64; 4]> {
        let pace = Pace::Saturate { aloft: ALOFT };
        let processes: Vec<&Process> = self.edges.iter().chain(&self.gateways).collect();
        let doors: Vec<SocketAddr> = self.plans.iter().map(|plan| plan.edge).collect();
        let wire = Spread::open(&self.road, STREAMS, &doors).await?;
        let (inward, wire) = measure::run(pace, wire, &self.bench.flight(), &processes).await?;
        report.losses("growth, replicas, to SIP", &inward);
        drop(wire);
        // Streams outwards are opened before anything is measured.
        let flight = self.bench.flight();
        let (mut wire, driven) = (self.clients(&flight)?, Arc::clone(&flight));
        let wave = Pace::Wave { aloft: 64, total: 1_000 };
        tokio::task::spawn_blocking(move || pace::drive(wave, &driven, &mut wire))
            .await
            .map_err(io::Error::other)??;
        let flight = self.bench.flight();
        let (outward, _) = measure::run(pace, self.clients(&flight)?, &flight, &processes).await?;
        report.losses("growth, replicas, to XMPP", &outward);
        let sums = |sample: &Sample| {
            let (edges, gateways) = sample.cpu_us.split_at_checked(self.edges.len()).unwrap_or_default();
            [edges.iter().sum::<f64>(), gateways.iter().sum::<f64>()]
        };
        let ([edges_in, gateways_in], [edges_out, gateways_out]) = (sums(&inward), sums(&outward));
        Ok([edges_in, gateways_in, edges_out, gateways_out])
    }

    /// The pool's connections to all gateways.
    fn clients(&self, flight: &Arc<Flight>) -> io::Result<Turns<Client>> {
        let clients = self.plans.iter().map(|plan| {
            let requests = spread::messages(STREAMS, &plan.pool.to_string());
            Client::connect(plan.pool.ip(), plan.sip, None, requests, Arc::clone(flight), false)
        });
        clients.collect::<io::Result<_>>().map(Turns)
    }
}

/// The same ports at addresses of their own, for a gateway and for an edge.
fn moved(plan: &Plan, number: u8) -> Plan {
    let next = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, last] = ip.octets();
            SocketAddr::new(Ipv4Addr::new(a, b, c, last + number).into(), address.port())
        }
        IpAddr::V6(_) => address,
    };
    Plan {
        edge: next(plan.edge),
        link: next(plan.link),
        edge_http: next(plan.edge_http),
        sip: next(plan.sip),
        gateway_http: next(plan.gateway_http),
        ..plan.clone()
    }
}
