//! One window of time: how many messages arrived, and what they cost the measured processes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::flight::Flight;
use super::pace::{self, Pace, Wire};
use crate::peer::fault;
use crate::peer::process::Process;

/// Before counting: connections, caches and allocators settle.
pub const WARM_UP: Duration = Duration::from_millis(1500);

/// The counting itself.
pub const WINDOW: Duration = Duration::from_secs(4);

/// What a window showed.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Messages that arrived in the window, per second.
    pub per_second: f64,
    /// CPU time of each measured process per message, in microseconds.
    pub cpu_us: Vec<f64>,
    /// p50, p99 and p99.9, in milliseconds.
    pub latency_ms: [f64; 3],
    /// Messages of the whole run that came back as errors.
    pub failed: u64,
    /// Messages of the whole run that never came, and whose senders were never told.
    pub lost: u64,
    /// Messages of the whole run whose senders were told of a delivery that never was.
    pub broken_promises: u64,
    /// Messages of the whole run that were neither accepted nor refused towards their senders, where these are told.
    pub unanswered: u64,
    /// Messages of the whole run that arrived twice, or arrived and came back as errors.
    pub contradicted: u64,
    /// What the first refusal said.
    pub reason: Option<String>,
}

impl Sample {
    /// What went wrong, if anything did.
    pub fn complaint(&self) -> Option<String> {
        let Self { failed, lost, broken_promises, contradicted, reason, .. } = self;
        let said = reason.as_ref().map(|reason| format!(" (the first one: {reason})")).unwrap_or_default();
        (failed + lost + broken_promises + contradicted > 0).then(|| {
            format!(
                "{failed} came back as errors{said}, {lost} never came ({broken_promises} were told to be delivered), \
                 {contradicted} ended twice"
            )
        })
    }

    /// Messages per CPU-second of a process.
    pub fn per_cpu_second(&self, process: usize) -> f64 {
        self.cpu_us.get(process).map_or(0.0, |micros| 1e6 / micros.max(1e-3))
    }
}

/// Stops a flight when dropped.
struct Landing(Arc<Flight>);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Drives a wire in a thread of its own and looks at one window; gives the wire back.
pub async fn run<W: Wire + Send + 'static>(
    pace: Pace,
    mut wire: W,
    flight: &Arc<Flight>,
    processes: &[&Process],
) -> io::Result<(Sample, W)> {
    let _stops_on_every_path_out = Landing(Arc::clone(flight));
    let driven = Arc::clone(flight);
    let driver = tokio::task::spawn_blocking(move || (pace::drive(pace, &driven, &mut wire), wire));
    tokio::time::sleep(WARM_UP).await;
    flight.latencies.clear();
    let (began, arrived, before) = (Instant::now(), flight.arrived(), cpu(processes)?);
    tokio::time::sleep(WINDOW).await;
    let (seconds, after) = (began.elapsed().as_secs_f64(), cpu(processes)?);
    let arrived = flight.arrived() - arrived;
    let latency_ms = [0.5, 0.99, 0.999].map(|share| flight.latencies.quantile(share).as_secs_f64() * 1e3);
    flight.stop();
    let (ended, wire) = driver.await.map_err(io::Error::other)?;
    ended?;
    if arrived == 0 {
        return Err(fault("nothing arrived"));
    }
    let cpu_us = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after.saturating_sub(*before).as_secs_f64() * 1e6 / arrived as f64);
    let sample = Sample {
        per_second: arrived as f64 / seconds,
        cpu_us: cpu_us.collect(),
        latency_ms,
        failed: flight.failed(),
        lost: flight.aloft(),
        broken_promises: flight.accepted().saturating_sub(flight.arrived()),
        unanswered: flight.unanswered(),
        contradicted: flight.contradicted(),
        reason: flight.reason().map(str::to_owned),
    };
    Ok((sample, wire))
}

/// The CPU time of each process.
pub fn cpu(processes: &[&Process]) -> io::Result<Vec<Duration>> {
    processes.iter().map(|process| process.cpu()).collect()
}
