//! When to read configuration and certificates again: on SIGHUP, and when a file's content has changed.

use std::path::PathBuf;

use causeway_shared::watch::{INTERVAL, Watch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Why to read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An operator said so.
    Signal,
    /// A file has another content.
    Files,
}

/// Waits for a reason.
pub struct Reload {
    watch: Watch,
    ticks: Interval,
    hangups: Signal,
}

impl Reload {
    /// Looks at these files, the configuration itself among them.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> std::io::Result<Self> {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { watch: Watch::new(files), ticks, hangups: signal(SignalKind::hangup())? })
    }

    /// Waits until there is a reason to read again. May be cancelled.
    pub async fn reason(&mut self) -> Reason {
        loop {
            tokio::select! {
                Some(()) = self.hangups.recv() => {
                    // What the operator is told about now is not told again at the next look.
                    self.watch.has_changed();
                    return Reason::Signal;
                }
                _ = self.ticks.tick() => if self.watch.has_changed() {
                    return Reason::Files;
                },
            }
        }
    }

    /// Looks at other files from now on.
    pub fn replace(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.watch.replace(files);
    }
}
