//! The whole road: partner, edge, gateway, pool; TLS on streams, link and SIP. Saturated, then at half of that.

use std::io;
use std::sync::Arc;

use super::edge::{partner, sender};
use super::{ALOFT, Bench, LOCAL, PAIRS, REMOTE};
use crate::load::flight::Flight;
use crate::load::measure::{self, Sample};
use crate::load::pace::Pace;
use crate::load::report::{Report, Target, What, Who};
use crate::load::sip::{Client, Counting, Server, messages};
use crate::peer::tls;

/// More than can be delivered: what is too much must be refused, and nothing may be forgotten.
const OVERLOAD: f64 = 1.25;

const WHOLE_OVERLOAD_UNTRUE: What = What {
    key: "whole_overload_untrue",
    what: "SIP -> XMPP at 1.25 of saturation: answers that were untrue or never came",
    unit: "",
    target: Target::Below(1.0),
};

/// The names of one direction's figures.
struct Names {
    throughput: [&'static str; 2],
    edge: [&'static str; 2],
    gateway: [&'static str; 2],
    latency: [[&'static str; 2]; 3],
    failed: [&'static str; 2],
}

const TO_SIP: Names = Names {
    throughput: ["whole_to_sip_per_second", "whole road XMPP -> SIP: saturated, messages per second"],
    edge: ["whole_to_sip_edge_us", "  CPU of the edge per message"],
    gateway: ["whole_to_sip_gateway_us", "  CPU of the gateway per message"],
    latency: [
        ["whole_to_sip_p50_ms", "  latency at half load, p50"],
        ["whole_to_sip_p99_ms", "  latency at half load, p99"],
        ["whole_to_sip_p999_ms", "  latency at half load, p99.9"],
    ],
    failed: ["whole_to_sip_failed", "  messages lost or bounced"],
};

const TO_XMPP: Names = Names {
    throughput: ["whole_to_xmpp_per_second", "whole road SIP -> XMPP: saturated, messages per second"],
    edge: ["whole_to_xmpp_edge_us", "  CPU of the edge per message"],
    gateway: ["whole_to_xmpp_gateway_us", "  CPU of the gateway per message"],
    latency: [
        ["whole_to_xmpp_p50_ms", "  latency at half load, p50"],
        ["whole_to_xmpp_p99_ms", "  latency at half load, p99"],
        ["whole_to_xmpp_p999_ms", "  latency at half load, p99.9"],
    ],
    failed: ["whole_to_xmpp_failed", "  messages lost or bounced"],
};

/// Both directions.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let road = &bench.road;
    let _dns = bench.dns().await?;
    let stage = bench.stage.clone();
    let counting: Counting = Arc::new(move || stage.flight());
    let own = road.authority.issue(&[&road.plan.pool.ip().to_string(), LOCAL])?;
    let _pool = Server::start(road.plan.pool, Some(tls::server(&road.authority, &own)?), counting)?;
    let pool_tls = tls::client(&road.authority, Some(&own))?;
    let edge = road.start_edge().await?;
    let gateway = road.start_gateway().await?;
    road.ready().await?;
    let _partner = partner(bench).await?;
    let processes = [&edge, &gateway];

    let wire = sender(road).await?;
    let (full, wire) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &processes).await?;
    let half = Pace::Steady { per_second: full.per_second / 2.0 };
    let (half, wire) = measure::run(half, wire, &bench.flight(), &processes).await?;
    tell(&TO_SIP, &full, &half, report);
    wire.close()?;

    let client = |flight: &Arc<Flight>| {
        let requests = messages(PAIRS, LOCAL, REMOTE, &road.plan.pool.to_string());
        let tls = Some((Arc::clone(&pool_tls), LOCAL));
        Client::connect(road.plan.pool.ip(), road.plan.sip, tls, requests, Arc::clone(flight), false)
    };
    let flight = bench.flight();
    let (full, _) = measure::run(Pace::Saturate { aloft: ALOFT }, client(&flight)?, &flight, &processes).await?;
    let flight = bench.flight();
    let half = Pace::Steady { per_second: full.per_second / 2.0 };
    let (half, _) = measure::run(half, client(&flight)?, &flight, &processes).await?;
    tell(&TO_XMPP, &full, &half, report);

    let flight = bench.flight();
    let too_much = Pace::Steady { per_second: full.per_second * OVERLOAD };
    let (over, _) = measure::run(too_much, client(&flight)?, &flight, &processes).await?;
    let untrue = over.broken_promises + over.contradicted + over.unanswered;
    if untrue > 0 {
        let (complaint, unanswered) = (over.complaint().unwrap_or_default(), over.unanswered);
        let reason = format!("{complaint}, {unanswered} have no final response");
        report.broken("overload", reason);
    }
    report.add(WHOLE_OVERLOAD_UNTRUE, Who::Us, untrue as f64);
    for (key, what, process) in [
        ("edge_resident_mb", "memory of the edge after these runs", &edge),
        ("gateway_resident_mb", "memory of the gateway after these runs", &gateway),
    ] {
        let value = process.resident()? as f64 / 1e6;
        report.add(What { key, what, unit: "MB", target: Target::None }, Who::Us, value);
    }
    Ok(())
}

fn tell(names: &Names, full: &Sample, half: &Sample, report: &mut Report) {
    let mut push = |[key, what]: [&'static str; 2], value: f64, unit: &'static str, target: Target| {
        report.add(What { key, what, unit, target }, Who::Us, value);
    };
    push(names.throughput, full.per_second, "/s", Target::None);
    for (name, process) in [(names.edge, 0), (names.gateway, 1)] {
        push(name, full.cpu_us.get(process).copied().unwrap_or_default(), "us", Target::None);
    }
    let targets = [Target::Below(1.0), Target::Below(5.0), Target::None];
    for ((name, value), target) in names.latency.into_iter().zip(half.latency_ms).zip(targets) {
        push(name, value, "ms", target);
    }
    push(names.failed, (full.failed + full.lost + half.failed + half.lost) as f64, "", Target::None);
    report.losses(names.throughput[0], full);
    report.losses(names.latency[0][0], half);
}
