//! Overload: one partner sends twice what can be carried, or the SIP pool sends it that much; the others go on as before.
//!
//! The whole road with TLS everywhere and the limits of its defaults, but for the quotas of users: with them a flood ends
//! at the policy, and nothing is ever overloaded. The flood is measured first at what the road sustains, then at twice
//! that by the clock. Quiet partners send at a low steady rate before and meanwhile, on streams of their own.
//!
//! What is too much is refused where it comes from. An XMPP partner is not read: its sender blocks. A SIP connection is not
//! read either while too many of its requests are unanswered; with several connections the rest is refused, with
//! Retry-After in each answer: 500 where one partner has too much (a 503 would tell the pool that the whole gateway is down,
//! RFC 3261, section 21.5.4), 503 where the gateway has.
//!
//! Generator, edge and gateway share the machine's cores. A flood comes from [`elsewhere`], so its threads, and those that
//! take it in at the flooding partner's, leave the cores to the services and to the generator that measures the others. The
//! services themselves are busy on all cores: what the scheduler adds to the others' latency is in the figures, and the
//! medians beside them tell it from what queues add.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::edge::{partner, partner_with};
use super::{ALOFT, Bench, LOCAL, PAIRS, PARTNER, REMOTES};
use crate::load::elsewhere;
use crate::load::flight::Flight;
use crate::load::measure::{WARM_UP, WINDOW};
use crate::load::pace::{self, Pace, Wire};
use crate::load::report::{Report, Target, What, Who};
use crate::load::sip::{Client, Counting, Server, messages};
use crate::load::text;
use crate::load::xmpp::{self, Sender};
use crate::peer::process::Process;
use crate::peer::road::{Road, retry};
use crate::peer::tls;
use crate::peer::xmpp::Stream;

/// How much more than the road carries.
const TOO_MUCH: f64 = 2.0;

/// Messages of all quiet partners in a second: enough for a p99 of a window, little enough to cost nothing.
const QUIET: f64 = 600.0;

/// Users of a quiet partner.
const QUIET_PAIRS: usize = 100;

/// Connections of the pool: with one alone, the gateway would stop reading it before anything has to be refused.
const FRONT_ENDS: usize = 16;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Memory is looked at again when what waited is gone.
const SETTLE: Duration = Duration::from_secs(3);

/// One direction's rows.
struct Rows {
    direction: &'static str,
    sustained: What,
    carried: What,
    quiet_p99: What,
    flooded_p50: What,
    flooded_p99: What,
    ratio: What,
    disturbed: What,
    untrue: What,
}

const fn told(key: &'static str, what: &'static str, unit: &'static str) -> What {
    What { key, what, unit, target: Target::None }
}

const fn below(key: &'static str, what: &'static str, unit: &'static str, most: f64) -> What {
    What { key, what, unit, target: Target::Below(most) }
}

const FROM_PARTNER: Rows = Rows {
    direction: "overload XMPP -> SIP",
    sustained: told("overload_to_sip_sustained", "overload: one partner -> SIP, sustained", "/s"),
    carried: told("overload_to_sip_accepted", "  accepted of twice that; the rest waits in the partner's socket", "/s"),
    quiet_p99: told("overload_to_sip_quiet_p99_ms", "  other partners' p99 before", "ms"),
    flooded_p50: told("overload_to_sip_flooded_p50_ms", "  other partners' median meanwhile", "ms"),
    flooded_p99: told("overload_to_sip_flooded_p99_ms", "  other partners' p99 meanwhile", "ms"),
    ratio: below("overload_to_sip_p99_ratio", "  ratio of these", "", 2.0),
    disturbed: below("overload_to_sip_disturbed", "  messages of other partners that were refused or lost", "", 1.0),
    untrue: below(
        "overload_to_sip_untrue",
        "  messages of the flood that were taken and lost, or ended twice",
        "",
        1.0,
    ),
};

const TO_PARTNER: Rows = Rows {
    direction: "overload SIP -> XMPP",
    sustained: told("overload_to_xmpp_sustained", "overload: SIP -> one partner, sustained", "/s"),
    carried: told("overload_to_xmpp_accepted", "  accepted of twice that", "/s"),
    quiet_p99: told("overload_to_xmpp_quiet_p99_ms", "  p99 towards other partners before", "ms"),
    flooded_p50: told("overload_to_xmpp_flooded_p50_ms", "  median towards other partners meanwhile", "ms"),
    flooded_p99: told("overload_to_xmpp_flooded_p99_ms", "  p99 towards other partners meanwhile", "ms"),
    ratio: below("overload_to_xmpp_p99_ratio", "  ratio of these", "", 2.0),
    disturbed: below("overload_to_xmpp_disturbed", "  messages to other partners that were refused or lost", "", 1.0),
    untrue: below("overload_to_xmpp_untrue", "  answers to the flood that were untrue or never came", "", 1.0),
};

const REFUSED: What = told("overload_to_xmpp_refused", "  requests refused at their source", "/s");
const UNAVAILABLE: What = told("overload_to_xmpp_503", "  of these with 503", "/s");
const UNADVISED: What =
    below("overload_to_xmpp_unadvised", "  refused requests that do not say when to come back (Retry-After)", "", 1.0);
const EDGE_PEAK: What = below("overload_edge_peak_mb", "overload: most memory of the edge", "MB", 256.0);
const EDGE_AFTER: What = told("overload_edge_after_mb", "  and after it", "MB");
const GATEWAY_PEAK: What = below("overload_gateway_peak_mb", "overload: most memory of the gateway", "MB", 512.0);
const GATEWAY_AFTER: What = told("overload_gateway_after_mb", "  and after it", "MB");

/// Both directions.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let road = &bench.road;
    let [flooding, others @ ..] = REMOTES;
    let flooded = SocketAddr::new(PARTNER, bench.partner.port() + 1);
    let _dns = bench.dns_with(|domain| if domain == flooding { flooded.port() } else { bench.partner.port() }).await?;
    let stage = bench.stage.clone();
    let counting: Counting = Arc::new(move || stage.flight());
    let own = road.authority.issue(&[&road.plan.pool.ip().to_string(), LOCAL])?;
    let _pool = Server::start(road.plan.pool, Some(tls::server(&road.authority, &own)?), counting)?;
    let (edge, gateway) = (road.start_edge().await?, road.start_gateway().await?);
    road.ready().await?;
    let _partner = partner(bench).await?;
    let stage = bench.stage.clone();
    let _flooded = partner_with(bench, flooded, xmpp::counting_elsewhere(move || stage.flight())).await?;
    let mut services = Services { edge: &edge, gateway: &gateway, most: [0; 2] };

    let mut quiet = Vec::new();
    for domain in others {
        quiet.push(stream_of(road, domain, QUIET_PAIRS).await?);
    }
    let flood = stream_of(road, flooding, PAIRS).await?;
    from_partner(bench, flood, Several(quiet), &mut services, report).await?;

    let tls = tls::client(&road.authority, Some(&own))?;
    let client = |domains: &[&str], pairs, flight: &Arc<Flight>| {
        let via = road.plan.pool.to_string();
        let requests = domains.iter().flat_map(|domain| messages(pairs, LOCAL, domain, &via)).collect();
        let tls = Some((Arc::clone(&tls), LOCAL));
        Client::connect(road.plan.pool.ip(), road.plan.sip, tls, requests, Arc::clone(flight), false)
    };
    let flood = |flight: &Arc<Flight>| {
        let clients = (0..FRONT_ENDS).map(|_| client(&[flooding], PAIRS, flight));
        clients.collect::<io::Result<_>>().map(Several)
    };
    let quiet = |flight: &Arc<Flight>| client(&others, QUIET_PAIRS, flight);
    to_partner(bench, flood, quiet, &mut services, report).await?;

    tokio::time::sleep(SETTLE).await;
    for (peak, after, process, most) in
        [(EDGE_PEAK, EDGE_AFTER, &edge, services.most[0]), (GATEWAY_PEAK, GATEWAY_AFTER, &gateway, services.most[1])]
    {
        report.add(peak, Who::Us, most as f64 / 1e6);
        report.add(after, Who::Us, process.resident()? as f64 / 1e6);
    }
    Ok(())
}

async fn from_partner(
    bench: &Bench,
    flood: Sender,
    quiet: Several<Sender>,
    services: &mut Services<'_>,
    report: &mut Report,
) -> io::Result<()> {
    let saturate = Pace::Saturate { aloft: ALOFT };
    let (full, flood) = sustained(Load::start(saturate, flood, bench.flight()), services).await?;
    let calm = Load::start(Pace::Steady { per_second: QUIET }, quiet, bench.flight());
    let before = services.watch(&[&calm.flight]).await?;
    let quiet = calm.end().await?;
    let calm = bench.flight();
    let too_much = Pace::Steady { per_second: full * TOO_MUCH };
    let flood = Load::start_elsewhere(too_much, flood, bench.flight_beside(&calm));
    let calm = Load::start(Pace::Steady { per_second: QUIET }, quiet, calm);
    let during = services.watch(&[&calm.flight, &flood.flight]).await?;
    let (calm_flight, flood_flight) = (Arc::clone(&calm.flight), Arc::clone(&flood.flight));
    calm.flight.stop();
    flood.end().await?;
    calm.end().await?;
    tell(&FROM_PARTNER, full, &before, &during, report);
    // A partner's messages are lost when they neither arrive nor come back.
    disturbance(&FROM_PARTNER, &calm_flight, calm_flight.aloft() + calm_flight.failed(), report);
    truth(&FROM_PARTNER, &flood_flight, flood_flight.aloft() + flood_flight.failed(), report);
    Ok(())
}

async fn to_partner(
    bench: &Bench,
    flood: impl Fn(&Arc<Flight>) -> io::Result<Several<Client>>,
    quiet: impl Fn(&Arc<Flight>) -> io::Result<Client>,
    services: &mut Services<'_>,
    report: &mut Report,
) -> io::Result<()> {
    let flight = bench.flight();
    let saturate = Pace::Saturate { aloft: ALOFT };
    let (full, _) = sustained(Load::start(saturate, flood(&flight)?, flight), services).await?;
    let calm = bench.flight();
    let calm = Load::start(Pace::Steady { per_second: QUIET }, quiet(&calm)?, calm);
    let before = services.watch(&[&calm.flight]).await?;
    calm.end().await?;
    let calm = bench.flight();
    let flight = bench.flight_beside(&calm);
    let too_much = Pace::Steady { per_second: full * TOO_MUCH };
    let flood = Load::start_elsewhere(too_much, flood(&flight)?, Arc::clone(&flight));
    let calm = Load::start(Pace::Steady { per_second: QUIET }, quiet(&calm)?, calm);
    let during = services.watch(&[&calm.flight, &flight]).await?;
    let calm_flight = Arc::clone(&calm.flight);
    calm.flight.stop();
    flood.end().await?;
    calm.end().await?;
    tell(&TO_PARTNER, full, &before, &during, report);
    let seconds = (WARM_UP + WINDOW).as_secs_f64();
    let (advised, unavailable) = flight.advised();
    report.add(REFUSED, Who::Us, flight.failed() as f64 / seconds);
    report.add(UNAVAILABLE, Who::Us, unavailable as f64 / seconds);
    report.add(UNADVISED, Who::Us, flight.failed().saturating_sub(advised) as f64);
    disturbance(&TO_PARTNER, &calm_flight, calm_flight.failed() + untrue(&calm_flight), report);
    truth(&TO_PARTNER, &flight, untrue(&flight), report);
    Ok(())
}

/// What one load sustains in a second.
async fn sustained<W: Wire + Send + 'static>(load: Load<W>, services: &mut Services<'_>) -> io::Result<(f64, W)> {
    let seen = services.watch(&[&load.flight]).await?;
    Ok((seen.first().map_or(0.0, |seen| seen.per_second), load.end().await?))
}

/// Senders who were told of a delivery that never was, were told twice, or were told nothing.
fn untrue(flight: &Flight) -> u64 {
    flight.accepted().saturating_sub(flight.arrived()) + flight.contradicted() + flight.unanswered()
}

fn tell(rows: &Rows, sustained: f64, before: &[Seen], during: &[Seen], report: &mut Report) {
    let (Some(before), [calm, flood, ..]) = (before.first(), during) else { return };
    report.add(rows.sustained, Who::Us, sustained);
    report.add(rows.carried, Who::Us, flood.per_second);
    report.add(rows.quiet_p99, Who::Us, before.p99_ms);
    report.add(rows.flooded_p50, Who::Us, calm.p50_ms);
    report.add(rows.flooded_p99, Who::Us, calm.p99_ms);
    report.add(rows.ratio, Who::Us, calm.p99_ms / before.p99_ms.max(f64::MIN_POSITIVE));
}

fn disturbance(rows: &Rows, flight: &Flight, count: u64, report: &mut Report) {
    report.add(rows.disturbed, Who::Us, count as f64);
    if count > 0 {
        report.broken(rows.direction, format!("of the others, {}", course(flight)));
    }
}

fn truth(rows: &Rows, flight: &Flight, count: u64, report: &mut Report) {
    report.add(rows.untrue, Who::Us, count as f64);
    if count > 0 {
        report.broken(rows.direction, format!("of the flood, {}", course(flight)));
    }
}

fn course(flight: &Flight) -> String {
    format!(
        "{} were sent, {} arrived, {} were accepted, {} refused, {} neither arrived nor came back, {} ended twice",
        flight.departed(),
        flight.arrived(),
        flight.accepted(),
        flight.failed(),
        flight.aloft(),
        flight.contradicted()
    )
}

/// A stream of a partner's to the edge that sends its users' messages.
pub(super) async fn stream_of(road: &Road, domain: &str, pairs: usize) -> io::Result<Sender> {
    let own = road.authority.issue(&[domain])?;
    let config = tls::client(&road.authority, Some(&own))?;
    let edge = road.plan.edge;
    let stream =
        retry("a stream to the edge", async || Stream::establish(Some(PARTNER), edge, domain, LOCAL, &config).await);
    Sender::new(stream.await?, text::stanzas(pairs, domain, LOCAL))
}

/// Wires that take turns.
struct Several<W>(Vec<W>);

impl<W: Wire> Wire for Several<W> {
    fn send(&mut self, number: u64) -> io::Result<()> {
        let count = self.0.len().max(1) as u64;
        let turn = usize::try_from(number % count).unwrap_or_default();
        self.0.get_mut(turn).map_or(Ok(()), |wire| wire.send(number))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.iter_mut().try_for_each(Wire::flush)
    }

    fn attend(&mut self) -> io::Result<bool> {
        self.0.iter_mut().try_fold(false, |any, wire| Ok(wire.attend()? || any))
    }

    fn is_answered(&self) -> bool {
        self.0.iter().any(Wire::is_answered)
    }
}

/// A wire that is driven in a thread of its own until its flight is stopped.
pub(super) struct Load<W> {
    pub(super) flight: Arc<Flight>,
    driver: oneshot::Receiver<(io::Result<()>, W)>,
}

impl<W: Wire + Send + 'static> Load<W> {
    pub(super) fn start(pace: Pace, wire: W, flight: Arc<Flight>) -> Self {
        Self::start_with(pace, wire, flight, || {})
    }

    /// The same, of a load that is made elsewhere.
    fn start_elsewhere(pace: Pace, wire: W, flight: Arc<Flight>) -> Self {
        Self::start_with(pace, wire, flight, elsewhere::begin)
    }

    fn start_with(pace: Pace, mut wire: W, flight: Arc<Flight>, begin: fn()) -> Self {
        let driven = Arc::clone(&flight);
        let (ended, driver) = oneshot::channel();
        std::thread::spawn(move || {
            begin();
            let driven = pace::drive(pace, &driven, &mut wire);
            // Whoever does not wait for the end has failed already.
            drop(ended.send((driven, wire)));
        });
        Self { flight, driver }
    }

    /// Sends no more, waits for what is on its way, and gives the wire back.
    pub(super) async fn end(self) -> io::Result<W> {
        self.flight.stop();
        let (ended, wire) = self.driver.await.map_err(io::Error::other)?;
        ended.map(|()| wire)
    }
}

/// What a window showed of one flight.
struct Seen {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Both processes, and the most memory that each was seen with.
struct Services<'a> {
    edge: &'a Process,
    gateway: &'a Process,
    most: [u64; 2],
}

impl Services<'_> {
    /// Looks at one window.
    async fn watch(&mut self, flights: &[&Arc<Flight>]) -> io::Result<Vec<Seen>> {
        self.look_for(WARM_UP).await?;
        flights.iter().for_each(|flight| flight.latencies.clear());
        let (began, arrived) = (Instant::now(), flights.iter().map(|flight| flight.arrived()).collect::<Vec<_>>());
        self.look_for(WINDOW).await?;
        let seconds = began.elapsed().as_secs_f64();
        let seen = flights.iter().zip(arrived).map(|(flight, before)| Seen {
            per_second: (flight.arrived() - before) as f64 / seconds,
            p50_ms: flight.latencies.quantile(0.5).as_secs_f64() * 1e3,
            p99_ms: flight.latencies.quantile(0.99).as_secs_f64() * 1e3,
        });
        Ok(seen.collect())
    }

    async fn look_for(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            for (most, process) in self.most.iter_mut().zip([self.edge, self.gateway]) {
                *most = (*most).max(process.resident()?);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
