//! What a process costs while nothing happens, and for work too small for the kernel's ticks.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use crate::peer::process::Process;

/// How long nothing is done; every timer of the services that counts comes up several times.
const WINDOW: Duration = Duration::from_secs(5);

/// CPU time of each living thread, to the nanosecond, as the scheduler counts it.
pub(super) struct Threads(HashMap<String, u64>);

impl Threads {
    /// As it stands.
    pub(super) fn of(process: &Process) -> io::Result<Self> {
        let mut threads = HashMap::new();
        for entry in std::fs::read_dir(format!("/proc/{}/task", process.pid()))? {
            let path = entry?.path();
            // A thread may end while it is looked at.
            let Ok(text) = std::fs::read_to_string(path.join("schedstat")) else { continue };
            let nanos = text.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or_default();
            threads.insert(path.to_string_lossy().into_owned(), nanos);
        }
        Ok(Self(threads))
    }

    /// What was spent from then to now, by the threads that still live.
    pub(super) fn since(&self, before: &Self) -> Duration {
        let spent = self
            .0
            .iter()
            .map(|(thread, nanos)| nanos.saturating_sub(before.0.get(thread).copied().unwrap_or_default()));
        Duration::from_nanos(spent.sum())
    }
}

/// CPU of each process in a second without work, in milliseconds.
pub(super) async fn idle_ms(processes: &[&Process]) -> io::Result<Vec<f64>> {
    let threads = || processes.iter().map(|process| Threads::of(process)).collect::<io::Result<Vec<_>>>();
    let (began, before) = (Instant::now(), threads()?);
    tokio::time::sleep(WINDOW).await;
    let (seconds, after) = (began.elapsed().as_secs_f64(), threads()?);
    Ok(after.iter().zip(&before).map(|(after, before)| after.since(before).as_secs_f64() * 1e3 / seconds).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_came_meanwhile_counts_and_one_that_went_does_not() {
        let before = Threads(HashMap::from([("1".to_owned(), 10), ("2".to_owned(), 70)]));
        let after = Threads(HashMap::from([("1".to_owned(), 15), ("3".to_owned(), 3)]));
        assert_eq!(after.since(&before), Duration::from_nanos(8));
    }
}
