//! What a service tells whoever started it (sd_notify(3)): that it serves, reads its files again, ends, and still turns.
//!
//! Without a service manager, which is to say without `NOTIFY_SOCKET` and `WATCHDOG_USEC`, nothing is told to anybody.
//! The services' main loops call [`still_turns`] themselves: a watchdog that is fed from beside a loop says nothing
//! about it. Not here: sockets that a service manager opens; the ports need no privilege, and a listener that outlives
//! its service would take connections that nobody answers.

use std::time::Duration;

use sd_notify::NotifyState;

/// Beside the patience with what is under way: for answers to senders, the last acknowledgements, the archive, and the
/// last spans.
const ENDING: Duration = Duration::from_secs(20);

/// Everything that has to be open is open.
pub fn serves() {
    tell(&[NotifyState::Ready, NotifyState::Status("serves")]);
}

/// The files are read again, until [`serves`] is told.
pub fn reads_again() {
    // The manager orders this by its own clock, from systemd 253 on; earlier ones ignore the time.
    let mut states = vec![NotifyState::Reloading, NotifyState::Status("reads its configuration again")];
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

/// The service ends: what is under way gets up to `patience`, and then everything else a moment. The manager gives it
/// that time, even where its own patience is shorter.
pub fn ends(patience: Duration) {
    let all = u32::try_from((patience + ENDING).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::Status("drains"), NotifyState::ExtendTimeoutUsec(all)]);
}

/// How often [`still_turns`] has to be told, if anybody wants to know: twice within the manager's patience, so that one
/// late turn is no death.
pub fn heartbeat() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2).filter(|interval| !interval.is_zero())
}

/// The loop that calls this has come round once more.
pub fn still_turns() {
    tell(&[NotifyState::Watchdog]);
}

/// A manager that does not listen is no reason to do anything else.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
