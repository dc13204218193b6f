//! Fills a store and plays the busy hour's steps to it: at the pool's own rate, for its latency, and as fast as it goes, for
//! its cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_gateway::presence::record::Pair;
use causeway_gateway::store::{Committed, Done, PairChange, Store, StoreError};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::pairs;
use crate::load::histogram::Histogram;

/// Records of one commit while the store is filled.
const FILL_BATCH: u64 = 200;
/// Such commits under way.
const FILL_AHEAD: usize = 4;
/// Steps under way when it is to go as fast as it can: what a few gateways have.
pub const BUSY: usize = 256;

/// What a run of steps showed.
#[derive(Debug, Clone)]
pub struct Steps {
    /// Steps done.
    pub done: u64,
    /// Steps that another one had overtaken, and that began again.
    pub conflicts: u64,
    /// Steps the store refused.
    pub failed: u64,
    /// Over what time.
    pub time: Duration,
    /// From the moment at which a step was due to its answer; p50, p99 in milliseconds.
    pub latency_ms: [f64; 2],
}

impl Steps {
    /// Steps per second.
    pub fn per_second(&self) -> f64 {
        let done = self.done as f64;
        done / self.time.as_secs_f64().max(1e-9)
    }
}

async fn ask<T: Send + 'static>(call: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (answer, answered) = oneshot::channel();
    call(Box::new(move |result| drop(answer.send(result))));
    match answered.await {
        Ok(result) => result,
        Err(_) => std::future::pending().await,
    }
}

/// Puts `count` pairs into an empty store.
pub async fn fill(
    store: &Arc<dyn Store>,
    count: u64,
    pair: impl Fn(u64) -> Option<Pair>,
) -> Result<Duration, StoreError> {
    let begin = Instant::now();
    let room = Arc::new(Semaphore::new(FILL_AHEAD));
    let mut batches = JoinSet::new();
    for first in (0..count).step_by(usize::try_from(FILL_BATCH).unwrap_or(1)) {
        let numbers = first..(first + FILL_BATCH).min(count);
        let changes: Vec<PairChange> =
            numbers.filter_map(&pair).map(|after| PairChange { before: None, after: Arc::new(after) }).collect();
        let (room, store) = (Arc::clone(&room).acquire_owned().await, Arc::clone(store));
        batches.spawn(async move {
            let _room = room;
            ask(|done| store.commit(changes, done)).await
        });
        while let Some(Ok(batch)) = batches.try_join_next() {
            batch?;
        }
    }
    while let Some(batch) = batches.join_next().await {
        if let Ok(batch) = batch {
            batch?;
        }
    }
    Ok(begin.elapsed())
}

/// One step of a pair as a gateway of a pool does it that has not seen the pair for a while. Says how often it began again.
async fn step(store: &Arc<dyn Store>, number: u64) -> Result<u64, StoreError> {
    let Some(key) = pairs::key(number) else { return Ok(0) };
    let mut again = 0;
    loop {
        let Some(before) = ask(|done| store.load_pair(key.clone(), done)).await? else { return Ok(again) };
        let change = PairChange { after: Arc::new(pairs::changed(&before)), before: Some(Arc::new(before)) };
        match ask(|done| store.commit(vec![change], done)).await?.first() {
            Some(Committed::Conflict) => again += 1,
            Some(Committed::Stored { .. }) | None => return Ok(again),
        }
    }
}

/// Steps for pairs all over the store: at a rate, or, without one, [`BUSY`] at a time.
pub async fn drive(store: &Arc<dyn Store>, count: u64, rate: Option<f64>, time: Duration) -> Steps {
    let begin = Instant::now();
    let room = Arc::new(Semaphore::new(if rate.is_some() { 65_536 } else { BUSY }));
    let mut under_way: JoinSet<(Duration, Result<u64, StoreError>)> = JoinSet::new();
    let mut seen = Seen::default();
    let mut number = 0_u64;
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut started = 0_u64;
    while begin.elapsed() < time {
        let due = match rate {
            Some(rate) => {
                ticks.tick().await;
                whole(begin.elapsed().as_secs_f64() * rate)
            }
            None => started + 1,
        };
        while started < due {
            started += 1;
            // A prime far from the number of pairs: no neighbours in a row.
            number = (number + 7_919_119) % count.max(1);
            let (at, store) =
                (rate.map_or_else(Instant::now, |rate| begin + seconds(started, rate)), Arc::clone(store));
            let room = Arc::clone(&room).acquire_owned().await;
            under_way.spawn(async move {
                let _room = room;
                let result = step(&store, number).await;
                (at.elapsed(), result)
            });
        }
        while let Some(Ok(ended)) = under_way.try_join_next() {
            seen.note(ended);
        }
    }
    while let Some(ended) = under_way.join_next().await {
        if let Ok(ended) = ended {
            seen.note(ended);
        }
    }
    let Seen { histogram, done, conflicts, failed } = seen;
    let latency_ms = [0.5, 0.99].map(|share| histogram.quantile(share).as_secs_f64() * 1e3);
    Steps { done, conflicts, failed, time: begin.elapsed(), latency_ms }
}

#[derive(Default)]
struct Seen {
    histogram: Histogram,
    done: u64,
    conflicts: u64,
    failed: u64,
}

impl Seen {
    fn note(&mut self, (latency, result): (Duration, Result<u64, StoreError>)) {
        match result {
            Ok(again) => {
                self.done += 1;
                self.conflicts += again;
                self.histogram.record(latency);
            }
            Err(_) => self.failed += 1,
        }
    }
}
fn whole(value: f64) -> u64 {
    value as u64
}
fn seconds(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}
