//! Storms: everything that happens to everybody at once, and how long it takes until it is over by itself.
//!
//! The whole road with TLS everywhere and the limits of its defaults, but for three. The quotas of users are off, as in
//! all benchmarks. `connection_limit` has room for a stream each way with each of a thousand partners, as it must have
//! wherever there are so many. Each partner connects from an address of its own, so that what the edge allows to one
//! address stays as it is.

use std::io;
use std::time::{Duration, Instant};

use super::{Bench, REMOTES};
use crate::load::report::{Report, Target, What};
use crate::peer::process::Process;
use crate::peer::road::{PartnerPlan, Plan};

mod presence;
mod reconnect;

/// Partners who lose their streams together.
const PARTNERS: usize = 1_000;

/// Streams with everybody, both ways, and room for those that end while others begin.
const CONNECTION_LIMIT: usize = 4 * PARTNERS;

/// How often a storm is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A storm that is not over by then has not settled.
const PATIENCE: Duration = Duration::from_secs(60);

/// The domain of a partner of the reconnect storm.
fn domain(number: usize) -> String {
    format!("p{number:04}.storm.example")
}

/// The plan with a thousand partners more.
pub(super) fn plan(open: Plan) -> Plan {
    let named = REMOTES.iter().map(|domain| (*domain).to_owned());
    let partners = named.chain((0..PARTNERS).map(domain)).map(|domain| PartnerPlan::external(&domain)).collect();
    Plan { is_unlimited: false, is_sip_secured: true, partners, ..open }
}

/// One storm after the other.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let road = &bench.road;
    let edge = road.edge_toml(&road.plan);
    // The limits of its defaults.
    let edge: String =
        edge.lines().filter(|line| !line.starts_with("new_connections")).map(|line| format!("{line}\n")).collect();
    std::fs::write(road.edge_config(), edge)?;
    let settings = "[gateway_settings]\n";
    let gateway = road.gateway_toml(&road.plan);
    std::fs::write(
        road.gateway_config(),
        gateway.replace(settings, &format!("{settings}connection_limit = {CONNECTION_LIMIT}\n")),
    )?;
    // All partners live on one host.
    let dns = bench.dns().await?;
    for number in 0..PARTNERS {
        dns.xmpp(&domain(number), "xmpp.load.example", bench.partner.port());
    }
    presence::measure(bench, report).await?;
    reconnect::measure(bench, report).await
}

const fn told(key: &'static str, what: &'static str, unit: &'static str) -> What {
    What { key, what, unit, target: Target::None }
}

const fn below(key: &'static str, what: &'static str, unit: &'static str, most: f64) -> What {
    What { key, what, unit, target: Target::Below(most) }
}

/// What a process spent since it is looked at, and the most memory it was seen with.
struct Spent<'a> {
    process: &'a Process,
    before: Duration,
    peak: u64,
}

impl<'a> Spent<'a> {
    fn by(process: &'a Process) -> io::Result<Self> {
        Ok(Self { process, before: process.cpu()?, peak: process.resident()? })
    }

    fn look(&mut self) -> io::Result<()> {
        self.peak = self.peak.max(self.process.resident()?);
        Ok(())
    }

    fn cpu_seconds(&self) -> io::Result<f64> {
        Ok(self.process.cpu()?.saturating_sub(self.before).as_secs_f64())
    }

    fn peak_mb(&self) -> f64 {
        self.peak as f64 / 1e6
    }
}

/// Waits until it is over, looking again and again; tells how long that took, if it ended in time.
async fn settled(mut is_over: impl FnMut(Instant) -> io::Result<bool>) -> io::Result<Option<Duration>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if is_over(began)? {
            return Ok(Some(began.elapsed()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

/// An address of its own for each partner.
fn address(number: usize) -> std::net::IpAddr {
    let [high, low] = u16::try_from(number).unwrap_or_default().to_be_bytes();
    std::net::Ipv4Addr::new(127, 30, high, low).into()
}
