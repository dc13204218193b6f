//! The whole road: partner, edge, gateway, pool; TLS on streams, link and SIP. Saturated, then at half of that.

use std::io;

use super::edge::sender;
use super::secured::Secured;
use super::{ALOFT, Bench};
use crate::load::measure::{self, Sample};
use crate::load::pace::Pace;
use crate::load::report::{Report, What, Who};

/// More than can be delivered: what is too much must be refused, and nothing may be forgotten.
const OVERLOAD: f64 = 1.25;

const OVERLOAD_UNTRUE: What = What::below(
    "whole_overload_untrue",
    "SIP -> XMPP at 1.25 of saturation: answers that were untrue or never came",
    "",
    1.0,
);
const EDGE_RESIDENT_MB: What = What::told("edge_resident_mb", "memory of the edge after these runs", "MB");
const GATEWAY_RESIDENT_MB: What = What::told("gateway_resident_mb", "memory of the gateway after these runs", "MB");

/// One direction's rows.
struct Rows {
    throughput: What,
    cpu: [What; 2],
    latency: [What; 3],
    failed: What,
}

const TO_SIP: Rows = Rows {
    throughput: What::told("whole_to_sip_per_second", "whole road XMPP -> SIP: saturated, messages per second", "/s"),
    cpu: [What::told("whole_to_sip_edge_us", EDGE_CPU, "us"), What::told("whole_to_sip_gateway_us", GATEWAY_CPU, "us")],
    latency: [
        What::below("whole_to_sip_p50_ms", P50, "ms", 1.0),
        What::below("whole_to_sip_p99_ms", P99, "ms", 5.0),
        What::told("whole_to_sip_p999_ms", P999, "ms"),
    ],
    failed: What::told("whole_to_sip_failed", FAILED, ""),
};

const TO_XMPP: Rows = Rows {
    throughput: What::told("whole_to_xmpp_per_second", "whole road SIP -> XMPP: saturated, messages per second", "/s"),
    cpu: [
        What::told("whole_to_xmpp_edge_us", EDGE_CPU, "us"),
        What::told("whole_to_xmpp_gateway_us", GATEWAY_CPU, "us"),
    ],
    latency: [
        What::below("whole_to_xmpp_p50_ms", P50, "ms", 1.0),
        What::below("whole_to_xmpp_p99_ms", P99, "ms", 5.0),
        What::told("whole_to_xmpp_p999_ms", P999, "ms"),
    ],
    failed: What::told("whole_to_xmpp_failed", FAILED, ""),
};

const EDGE_CPU: &str = "  CPU of the edge per message";
const GATEWAY_CPU: &str = "  CPU of the gateway per message";
const P50: &str = "  latency at half load, p50";
const P99: &str = "  latency at half load, p99";
const P999: &str = "  latency at half load, p99.9";
const FAILED: &str = "  messages lost or bounced";

/// Both directions.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let whole = Secured::start(bench).await?;
    let processes = whole.processes();

    let wire = sender(&bench.road).await?;
    let (full, wire) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &processes).await?;
    let half = Pace::Steady { per_second: full.per_second / 2.0 };
    let (half, wire) = measure::run(half, wire, &bench.flight(), &processes).await?;
    tell(&TO_SIP, &full, &half, report);
    wire.close()?;

    let to_xmpp = async |pace: Pace| {
        let flight = bench.flight();
        measure::run(pace, whole.client(&flight)?, &flight, &processes).await.map(|(sample, _)| sample)
    };
    let full = to_xmpp(Pace::Saturate { aloft: ALOFT }).await?;
    let half = to_xmpp(Pace::Steady { per_second: full.per_second / 2.0 }).await?;
    tell(&TO_XMPP, &full, &half, report);

    let over = to_xmpp(Pace::Steady { per_second: full.per_second * OVERLOAD }).await?;
    let untrue = over.broken_promises + over.contradicted + over.unanswered;
    if untrue > 0 {
        let (complaint, unanswered) = (over.complaint().unwrap_or_default(), over.unanswered);
        let reason = format!("{complaint}, {unanswered} have no final response");
        report.broken("overload", reason);
    }
    report.add(OVERLOAD_UNTRUE, Who::Us, untrue as f64);
    report.add(EDGE_RESIDENT_MB, Who::Us, whole.edge.resident()? as f64 / 1e6);
    report.add(GATEWAY_RESIDENT_MB, Who::Us, whole.gateway.resident()? as f64 / 1e6);
    Ok(())
}

fn tell(rows: &Rows, full: &Sample, half: &Sample, report: &mut Report) {
    report.add(rows.throughput, Who::Us, full.per_second);
    for (row, micros) in rows.cpu.into_iter().zip(&full.cpu_us) {
        report.add(row, Who::Us, *micros);
    }
    for (row, millis) in rows.latency.into_iter().zip(half.latency_ms) {
        report.add(row, Who::Us, millis);
    }
    report.add(rows.failed, Who::Us, (full.failed + full.lost + half.failed + half.lost) as f64);
    report.losses(rows.throughput.key, full);
    report.losses(rows.latency[0].key, half);
}
