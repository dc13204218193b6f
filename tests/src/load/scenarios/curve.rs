//! Latency against load: the whole road in both directions, TLS everywhere, at shares of what saturates it in this run.
//!
//! Messages go by the clock, however slow the road is, and lateness counts from the moment a message was due. What is still
//! on its way when the window closes counts when it arrives, so that a queue that grows cannot hide its end.

use std::io;
use std::sync::Arc;

use super::edge::sender;
use super::secured::Secured;
use super::{ALOFT, Bench};
use crate::load::flight::Flight;
use crate::load::measure::{self, Sample};
use crate::load::pace::{Pace, Wire};
use crate::load::report::{Plot, Report, What, Who};
use crate::peer::process::Process;

/// Of saturation, least first: a road that has been overloaded is not asked for more.
const LOADS: [f64; 6] = [0.05, 0.10, 0.25, 0.50, 0.75, 0.90];

/// A line for each of these shares of the messages.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

const TO_SIP: Plot = Plot {
    key: "latency_to_sip",
    title: "Whole road, XMPP to SIP: latency against load",
    x: "messages per second, up to 90 % of saturation",
    y: "milliseconds from the due time to arrival",
    is_x_logarithmic: false,
    is_y_logarithmic: true,
};

const TO_XMPP: Plot = Plot { key: "latency_to_xmpp", title: "Whole road, SIP to XMPP: latency against load", ..TO_SIP };

/// p99 at the greatest of the loads, which the table has, too.
const TO_SIP_P99_MS: What =
    What::told("curve_to_sip_p99_ms", "whole road XMPP -> SIP: p99 at 90 % of saturation", "ms");

const TO_XMPP_P99_MS: What =
    What::told("curve_to_xmpp_p99_ms", "whole road SIP -> XMPP: p99 at 90 % of saturation", "ms");

/// Both directions.
pub(super) async fn measure(bench: &Bench, report: &mut Report) -> io::Result<()> {
    let whole = Secured::start(bench).await?;
    let processes = whole.processes();

    let wire = sender(&bench.road).await?;
    let (full, mut wire) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &bench.flight(), &processes).await?;
    report.losses(TO_SIP.key, &full);
    let mut greatest = full.latency_ms;
    for load in LOADS {
        let flight = bench.flight();
        let (sample, back) = steady(load, &full, wire, &flight, &processes).await?;
        (wire, greatest) = (back, sample.latency_ms);
        tell(TO_SIP, load, &full, &sample, &flight, report);
    }
    report.add(TO_SIP_P99_MS, Who::Us, greatest[1]);
    wire.close()?;

    let flight = bench.flight();
    let wire = whole.client(&flight)?;
    let (full, _) = measure::run(Pace::Saturate { aloft: ALOFT }, wire, &flight, &processes).await?;
    report.losses(TO_XMPP.key, &full);
    for load in LOADS {
        let flight = bench.flight();
        let (sample, _) = steady(load, &full, whole.client(&flight)?, &flight, &processes).await?;
        tell(TO_XMPP, load, &full, &sample, &flight, report);
        greatest = sample.latency_ms;
    }
    report.add(TO_XMPP_P99_MS, Who::Us, greatest[1]);
    Ok(())
}

async fn steady<W: Wire + Send + 'static>(
    load: f64,
    full: &Sample,
    wire: W,
    flight: &Arc<Flight>,
    processes: &[&Process],
) -> io::Result<(Sample, W)> {
    let pace = Pace::Steady { per_second: full.per_second * load };
    measure::run(pace, wire, flight, processes).await
}

/// The points of one load; what was lost or refused has no latency, so that is told.
fn tell(plot: Plot, load: f64, full: &Sample, sample: &Sample, flight: &Flight, report: &mut Report) {
    for (line, share) in QUANTILES {
        let millis = flight.latencies.quantile(share).as_secs_f64() * 1e3;
        report.point(plot, line, full.per_second * load, millis);
    }
    report.losses(&format!("{} at {:.0} %", plot.key, load * 100.0), sample);
}
