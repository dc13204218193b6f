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

/// So many messages instead of a window of time: for what a service keeps until a timer of its own ends, and so can not
/// take without end.
#[derive(Debug, Clone, Copy)]
pub struct Wave {
    /// How many on their way.
    pub aloft: u64,
    /// How many before counting.
    pub warm_up: u64,
    /// How many are counted.
    pub counted: u64,
}

/// A wave that takes longer has lost so many messages that nothing makes room for the next ones.
const WAVE_PATIENCE: Duration = Duration::from_secs(30);

/// How often a wave is looked at: about a thousandth of what it takes.
const LOOK: Duration = Duration::from_millis(1);

/// Drives a wire in a thread of its own and looks at one window; gives the wire back.
pub async fn run<W: Wire + Send + 'static>(
    pace: Pace,
    wire: W,
    flight: &Arc<Flight>,
    processes: &[&Process],
) -> io::Result<(Sample, W)> {
    let (warm_up, window) = (tokio::time::sleep(WARM_UP), tokio::time::sleep(WARM_UP + WINDOW));
    run_until(pace, wire, flight, processes, [warm_up, window]).await
}

/// The same for a wave.
pub async fn wave<W: Wire + Send + 'static>(
    wave: Wave,
    wire: W,
    flight: &Arc<Flight>,
    processes: &[&Process],
) -> io::Result<(Sample, W)> {
    let Wave { aloft, warm_up, counted } = wave;
    let total = warm_up + counted;
    let spans = [warm_up, total].map(|count| ended(flight, count));
    run_until(Pace::Wave { aloft, total }, wire, flight, processes, spans).await
}

/// Until so many have arrived or come back, or nobody waits any more.
async fn ended(flight: &Flight, count: u64) {
    let give_up = Instant::now() + WAVE_PATIENCE;
    while flight.arrived() + flight.failed() < count && Instant::now() < give_up {
        tokio::time::sleep(LOOK).await;
    }
}

/// Counts from the end of the first span to the end of the second.
async fn run_until<W: Wire + Send + 'static>(
    pace: Pace,
    mut wire: W,
    flight: &Arc<Flight>,
    processes: &[&Process],
    [warm_up, window]: [impl Future<Output = ()>; 2],
) -> io::Result<(Sample, W)> {
    let _stops_on_every_path_out = Landing(Arc::clone(flight));
    let driven = Arc::clone(flight);
    let driver = tokio::task::spawn_blocking(move || (pace::drive(pace, &driven, &mut wire), wire));
    warm_up.await;
    flight.latencies.clear();
    let (began, arrived, before) = (Instant::now(), flight.arrived(), cpu(processes)?);
    window.await;
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
