//! Partners: ten to ten thousand of them configured, with traffic of as many as can have a stream each.
//!
//! Two lines, because two things grow. With the streams that carry traffic, fewer stanzas share a read, a write and a
//! wake-up; with those that are merely configured, tables grow. The second must cost nothing.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{ALOFT, Bench};
use super::around::Around;
use super::idle::idle_ms;
use super::spread::{self, Spread, domain};
use super::{BY_PARTNERS, Curve, FLAT, IDLE, ratio, road};
use crate::load::flight::Flight;
use crate::load::measure;
use crate::load::pace::{self, Pace};
use crate::load::report::{Report, Target, What, Who};
use crate::load::sip::Client;
use crate::peer::process::{Process, Signal};
use crate::peer::road::{PartnerPlan, Road};
use crate::peer::{PATIENCE, fault};

/// Partners that are configured.
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

/// Partners with a stream in each direction: more of them say nothing new, and each is a thread of the generator.
const MOST_STREAMS: usize = 1_000;

/// Streams of the line that shows what merely configured partners cost.
const FEW_STREAMS: usize = 10;

/// How often somebody looks whether a reload is in force.
const LOOK: Duration = Duration::from_millis(2);

/// What a start does for each partner is done by then.
const SETTLE: Duration = Duration::from_secs(3);

/// What a gateway says when a configuration is in force, and an edge when a snapshot is.
const RELOADED: [&str; 2] = ["the configuration was read again and is in force", "policy applied"];

/// CPU per message when 10 000 partners are configured instead of 10, for the same traffic.
const CONFIGURED: [What; 4] = [
    ratio("growth_configured_edge_in", "10 000 partners configured / 10: CPU per message, edge inbound", FLAT),
    ratio("growth_configured_gateway_in", "  the gateway, XMPP -> SIP", FLAT),
    ratio("growth_configured_edge_out", "  the edge, outbound", FLAT),
    ratio("growth_configured_gateway_out", "  the gateway, SIP -> XMPP", FLAT),
];

/// The same when that traffic is spread over 1 000 streams instead of 10.
const SPREAD: [What; 4] = [
    ratio("growth_spread_edge_in", "traffic over 1 000 streams / 10: CPU per message, edge inbound", Target::None),
    ratio("growth_spread_gateway_in", "  the gateway, XMPP -> SIP", Target::None),
    ratio("growth_spread_edge_out", "  the edge, outbound", Target::None),
    ratio("growth_spread_gateway_out", "  the gateway, SIP -> XMPP", Target::None),
];

const LINES: [&str; 4] = ["edge, inbound", "gateway, to SIP", "edge, outbound", "gateway, to XMPP"];

/// Each configured partner, at the edge and at the gateway.
const MEMORY: [What; 2] = [
    What {
        key: "growth_partner_edge_kb",
        what: "memory per configured partner, edge",
        unit: "kB",
        target: Target::Below(4.0),
    },
    What { key: "growth_partner_gateway_kb", what: "  gateway", unit: "kB", target: Target::Below(8.0) },
];

const RELOAD_MS: What = What {
    key: "growth_reload_ms",
    what: "10 000 partners: from SIGHUP to the new policy in force at the edge",
    unit: "ms",
    target: Target::Below(2_000.0),
};

const IDLE_MS: What = What {
    key: "growth_partners_idle_ms",
    what: "  CPU of an idle second, edge and gateway",
    unit: "ms",
    target: Target::Below(10.0),
};

/// All sizes, smallest first.
pub(in super::super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let (mut configured, mut spread): ([Curve; 4], [Curve; 4]) = Default::default();
    let (mut memory, mut quiet) = (Vec::new(), None);
    for partners in SIZES {
        let road = road(bench, &format!("partners-{partners}"), |plan| {
            plan.partners = (0..partners).map(|number| PartnerPlan::external(&domain(number))).collect();
        })?;
        let size = Size::start(bench, road, partners).await?;
        memory.push((partners, [size.edge.resident()?, size.gateway.resident()?]));
        // A start looks for pairs of each partner, and the edge takes up the policy; a second of that is not idle.
        tokio::time::sleep(SETTLE).await;
        let idle = idle_ms(&[&size.edge, &size.gateway]).await?;
        report.point(IDLE, "partners, edge and gateway", partners as f64, idle.iter().sum());
        let streams = partners.min(MOST_STREAMS);
        let costs = size.costs(streams, report).await?;
        for ((curve, line), cost) in spread.iter_mut().zip(LINES).zip(costs) {
            curve.add(report, BY_PARTNERS, line, partners, cost);
        }
        if partners == FEW_STREAMS {
            configured.iter_mut().zip(costs).for_each(|(curve, cost)| curve.0.push((partners, cost)));
        }
        if Some(&partners) == SIZES.last() {
            let costs = size.costs(FEW_STREAMS, report).await?;
            for ((curve, line), cost) in configured.iter_mut().zip(LINES).zip(costs) {
                curve.add(report, BY_PARTNERS, &format!("{line}, ten partners talk"), partners, cost);
            }
            quiet = Some((size.reload().await?.as_secs_f64() * 1e3, idle.iter().sum()));
        }
    }
    for (curves, rows) in [(&configured, CONFIGURED), (&spread, SPREAD)] {
        curves.iter().zip(rows).for_each(|(curve, row)| curve.ends(report, row));
    }
    if let (Some((few, first)), Some((many, last))) = (memory.first(), memory.last()) {
        for ((row, first), last) in MEMORY.into_iter().zip(first).zip(last) {
            report.add(row, Who::Us, last.saturating_sub(*first) as f64 / 1e3 / (many - few) as f64);
        }
    }
    if let Some((reload, idle)) = quiet {
        report.add(RELOAD_MS, Who::Us, reload);
        report.add(IDLE_MS, Who::Us, idle);
    }
    Ok(())
}

/// Both services with so many partners, and what is around them.
struct Size<'a> {
    bench: &'a Bench,
    road: Road,
    edge: Process,
    gateway: Process,
    _around: Around,
}

impl<'a> Size<'a> {
    async fn start(bench: &'a Bench, road: Road, partners: usize) -> io::Result<Self> {
        let around = Around::start(bench, &road, partners.min(MOST_STREAMS)).await?;
        let (edge, gateway) = (road.start_edge().await?, road.start_gateway().await?);
        road.ready().await?;
        Ok(Self { bench, road, edge, gateway, _around: around })
    }

    /// CPU per message with that many partners talking: edge and gateway inwards, edge and gateway outwards.
    async fn costs(&self, streams: usize, report: &mut Report) -> io::Result<[f64; 4]> {
        let (pace, processes) = (Pace::Saturate { aloft: ALOFT }, [&self.edge, &self.gateway]);
        let wire = Spread::open(&self.road, streams, &[self.road.plan.edge]).await?;
        let (inward, wire) = measure::run(pace, wire, &self.bench.flight(), &processes).await?;
        report.losses("growth, partners to SIP", &inward);
        drop(wire);
        self.open_outward(streams).await?;
        let flight = self.bench.flight();
        let (outward, _) = measure::run(pace, self.client(streams, &flight)?, &flight, &processes).await?;
        report.losses("growth, SIP to partners", &outward);
        let cost = |of: &measure::Sample, process: usize| of.cpu_us.get(process).copied().unwrap_or_default();
        Ok([cost(&inward, 0), cost(&inward, 1), cost(&outward, 0), cost(&outward, 1)])
    }

    /// A message to each partner, so that the streams to all of them stand.
    async fn open_outward(&self, streams: usize) -> io::Result<()> {
        let flight = self.bench.flight();
        let (mut wire, driven) = (self.client(streams, &flight)?, Arc::clone(&flight));
        let total = u64::try_from(streams).unwrap_or_default();
        let wave = Pace::Wave { aloft: 64, total };
        tokio::task::spawn_blocking(move || pace::drive(wave, &driven, &mut wire))
            .await
            .map_err(io::Error::other)??;
        if flight.arrived() < total {
            return Err(fault(format!("{} of {total} partners were reached", flight.arrived())));
        }
        Ok(())
    }

    fn client(&self, streams: usize, flight: &Arc<Flight>) -> io::Result<Client> {
        let plan = &self.road.plan;
        let requests = spread::messages(streams, &plan.pool.to_string());
        Client::connect(plan.pool.ip(), plan.sip, None, requests, Arc::clone(flight), false)
    }

    /// One partner more: from the signal to the policy at the edge.
    async fn reload(&self) -> io::Result<Duration> {
        let mut file = std::fs::File::options().append(true).open(self.road.gateway_config())?;
        let more = PartnerPlan::external("one-more.load.example");
        write!(file, "{}", self.road.partner_toml(&more))?;
        drop(file);
        let logs = ["gateway", "edge-proxy"].map(|name| self.road.folder().join(format!("{name}.log")));
        let before = logs.iter().zip(RELOADED).map(|(log, line)| count(log, line)).collect::<io::Result<Vec<_>>>()?;
        let began = Instant::now();
        self.gateway.signal(Signal::HUP)?;
        while began.elapsed() < PATIENCE {
            let now = logs.iter().zip(RELOADED).map(|(log, line)| count(log, line)).collect::<io::Result<Vec<_>>>()?;
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return Ok(began.elapsed());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(fault("the reload with one partner more is not in force at the edge"))
    }
}

/// How often a log says it.
fn count(log: &Path, line: &str) -> io::Result<usize> {
    Ok(std::fs::read_to_string(log)?.matches(line).count())
}
