//! What time brings to a pair: refreshes, timeouts, leases, back-off and giving up.
//!
//! Every timer that fires moves or clears itself, so a due pair is never due again at once.

use causeway_sip::field::TerminationReason;

use super::Step;
use super::record::{Ending, InAuthorisation, InDialog, OutAuthorisation};
use super::verdict::PairVerdict;
use crate::translate::presence::PresenceKind;

/// A day.
pub const DAY_MS: u64 = 86_400_000;
/// How long a held `subscribe` is kept.
pub const HELD_DAYS: u64 = 30;
/// How long an XMPP user may take to answer a `subscribe`.
pub const PENDING_DAYS: u64 = 14;
/// The earliest repetition of a `subscribe` that the SIP user's clients provoke.
pub const ASK_AGAIN_MS: u64 = DAY_MS;
/// How long a new SUBSCRIBE is refused after the XMPP user said no.
pub const COOL_DOWN_MS: u64 = DAY_MS;
/// Timer N, 64*T1 (RFC 6665, section 4.1.2.4), and a little more, so that Timer F comes first.
pub const TIMER_N_MS: u64 = 36_000;
/// How long the last NOTIFY of a dialog is awaited.
pub const CLOSING_MS: u64 = 32_000;
/// How long an answer to a NOTIFY is awaited before it counts as lost with the process: more than Timer F.
pub const NOTIFY_PATIENCE_MS: u64 = 40_000;
/// How long the outcome of a stanza is awaited before it counts as lost with the process.
pub const OUTCOME_PATIENCE_MS: u64 = 90_000;
/// When a stanza that could not be delivered is tried again.
pub const UNDELIVERED_RETRY_MS: u64 = 600_000;
/// How long devices count as present after the last stream to their domain is gone.
pub const STALE_AFTER_MS: u64 = 300_000;
/// How long a refusal is delayed for strangers: at least, and a random part.
pub const REFUSAL_DELAY_MS: (u64, u64) = (2_000, 8_000);
/// How long a fetch waits for XMPP to answer a probe.
pub const FETCH_PATIENCE_MS: u64 = 2_000;
/// New dialogs at once within [`QUICK_WINDOW_MS`].
pub const QUICK_LIMIT: u32 = 3;
/// See [`QUICK_LIMIT`].
pub const QUICK_WINDOW_MS: u64 = 60_000;
/// A notifier that moves its subscriptions elsewhere ends all of them at once: the new ones come spread over this time.
pub const MOVED_SPREAD_MS: u64 = 2_000;

/// The first wait after a failure.
const BACKOFF_FIRST_MS: u64 = 30_000;
/// The longest.
const BACKOFF_MAX_MS: u64 = 3_600_000;
/// A dialog is refreshed no later than this before it ends.
const REFRESH_MARGIN_MS: u64 = 32_000;
/// How long the answer to a lease probe may take.
const LEASE_PROBE_MS: u64 = 20_000;

/// When to refresh: at 85 % of the remaining time less up to 10 %, never later than 32 s before the end.
/// `jitter` is from 0 to 99.
pub(super) fn refresh_time(now: u64, expires_at: u64, jitter: u64) -> u64 {
    let remaining = expires_at.saturating_sub(now);
    let planned = now + remaining * 85 / 100 - remaining * jitter / 1000;
    let latest = expires_at.saturating_sub(REFRESH_MARGIN_MS);
    // A subscription shorter than twice the margin is refreshed in its middle.
    planned.min(latest).max(now + remaining / 2).max(now + 1)
}

/// Whether what is awaited for `patience_ms`, until `until`, was begun before a moment. What has another patience, or was
/// begun by a clock that is ahead, counts as begun before: to do it again is the safe side.
pub(super) fn is_of_before(until: u64, patience_ms: u64, before_ms: u64, now: u64) -> bool {
    let begun = until.saturating_sub(patience_ms);
    begun < before_ms || begun > now
}

/// The wait after `attempts` failures in a row, give or take 20 %. `jitter` is from 0 to 399.
fn backoff_ms(attempts: u32, jitter: u64) -> u64 {
    let plain = BACKOFF_FIRST_MS.saturating_mul(1 << attempts.min(10)).min(BACKOFF_MAX_MS);
    plain * 8 / 10 + plain * jitter / 1000
}

impl Step<'_, '_> {
    pub(super) fn due(&mut self) {
        self.due_refusal();
        self.due_dialog();
        self.due_held();
        self.due_watchers();
        self.due_outbound();
        self.due_owed();
    }

    /// The next attempt to subscribe waits, as long as the pool asks or the back-off says. Gives back how long.
    pub(super) fn back_off(&mut self, retry_after_s: Option<u32>) -> u64 {
        let jitter = self.below(400);
        let inbound = &mut self.pair.inbound;
        let wait = backoff_ms(inbound.attempts, jitter);
        let wait = retry_after_s.map_or(wait, |seconds| (u64::from(seconds) * 1000).clamp(1_000, DAY_MS));
        inbound.attempts = inbound.attempts.saturating_add(1);
        inbound.dialog = InDialog::Backoff { until: self.context.now_ms + wait, may_hurry: retry_after_s.is_none() };
        wait
    }

    /// He gave a sign of life: he need not wait longer than after a first failure, unless the pool asked for it.
    pub(super) fn hurry(&mut self) {
        let soon = self.now() + BACKOFF_FIRST_MS;
        if let InDialog::Backoff { until, may_hurry: true } = &mut self.pair.inbound.dialog {
            *until = soon.min(*until);
        }
    }

    /// The refresh failed but the subscription stands: try again before it ends.
    pub(super) fn refresh_later(&mut self, retry_after_s: Option<u32>) {
        let (now, jitter) = (self.now(), self.below(400));
        let inbound = &mut self.pair.inbound;
        let wait = backoff_ms(inbound.attempts, jitter);
        let wait = retry_after_s.map_or(wait, |seconds| (u64::from(seconds) * 1000).clamp(1_000, DAY_MS));
        inbound.attempts = inbound.attempts.saturating_add(1);
        if let InDialog::Live { refresh_at, refresh, .. } = &mut inbound.dialog {
            *refresh = None;
            *refresh_at = Some(now + wait);
        }
    }

    fn due_refusal(&mut self) {
        if self.pair.inbound.refusal_due.is_some_and(|at| at <= self.now()) {
            self.tell_refusal();
        }
    }

    fn due_dialog(&mut self) {
        let now = self.now();
        match &self.pair.inbound.dialog {
            InDialog::Trying { give_up_at, .. } if *give_up_at <= now => {
                self.verdict(PairVerdict::PoolFailing { status: 408 });
                self.back_off(None);
            }
            InDialog::Backoff { until, .. } if *until <= now => {
                self.pair.inbound.dialog = InDialog::None;
                if self.pair.inbound.lease_until > now {
                    self.watch_again();
                }
            }
            InDialog::Closing { until, .. } if *until <= now => self.pair.inbound.dialog = InDialog::None,
            InDialog::Live { expires_at, .. } if *expires_at <= now => self.dialog_expired(),
            // No NOTIFY after the refresh: the subscription is gone (RFC 6665, section 4.1.2.2).
            InDialog::Live { refresh: Some(refresh), .. } if refresh.give_up_at <= now => self.dialog_anew(),
            InDialog::Live { refresh_at: Some(at), .. } if *at <= now => self.refresh_or_let_go(),
            InDialog::Live { .. }
            | InDialog::Trying { .. }
            | InDialog::Backoff { .. }
            | InDialog::Closing { .. }
            | InDialog::None => {}
        }
    }

    /// It ended without a refresh: because nobody watches, or because the pool took none.
    fn dialog_expired(&mut self) {
        self.pair.inbound.dialog = InDialog::None;
        if self.pair.inbound.lease_until > self.now() {
            self.hide();
            self.dialog_anew();
        }
    }

    /// A watcher whose lease has ended is asked once for a sign of life, if we may ask; else the dialog expires.
    fn refresh_or_let_go(&mut self) {
        let now = self.now();
        if self.pair.inbound.lease_until > now {
            return self.refresh_dialog(self.context.settings.expires_s);
        }
        let may_probe = self.pair.outbound.authorisation == OutAuthorisation::To && !self.pair.inbound.is_lease_probed;
        if may_probe {
            self.pair.inbound.is_lease_probed = true;
            self.say(PresenceKind::Probe);
        }
        if let InDialog::Live { refresh_at, expires_at, .. } = &mut self.pair.inbound.dialog {
            *refresh_at = may_probe.then_some(now + LEASE_PROBE_MS).filter(|at| at < expires_at);
        }
    }

    fn due_held(&mut self) {
        let inbound = &mut self.pair.inbound;
        if inbound.authorisation == InAuthorisation::Held
            && inbound.since_ms + HELD_DAYS * DAY_MS <= self.context.now_ms
        {
            inbound.authorisation = InAuthorisation::None;
        }
    }

    fn due_watchers(&mut self) {
        let now = self.now();
        for watcher in &mut self.pair.outbound.dialogs {
            if watcher.in_flight.as_ref().is_some_and(|in_flight| in_flight.resend_at <= now) {
                watcher.in_flight = None;
                watcher.is_dirty = true;
                watcher.paced_until = now;
            }
        }
        self.answer_fetches(|watcher| watcher.fetch_until.is_some_and(|until| until <= now));
        while let Some(index) = self.pair.outbound.dialogs.iter().position(|watcher| watcher.expires_at <= now) {
            self.end_dialog(index, &Ending::plain(TerminationReason::Timeout));
        }
    }

    fn due_outbound(&mut self) {
        let now = self.now();
        if self.pair.outbound.stale_at.is_some_and(|at| at <= now) {
            self.pair.outbound.stale_at = None;
            self.contact_vanished();
        }
        if self.pair.outbound.cool_down_until.is_some_and(|at| at <= now) {
            self.pair.outbound.cool_down_until = None;
        }
        if self.pair.outbound.authorisation == OutAuthorisation::PendingOut {
            if self.pair.outbound.since_ms + PENDING_DAYS * DAY_MS <= now {
                let ending = Ending { reason: TerminationReason::Giveup, retry_after: Some(86_400) };
                self.delete_outbound(&ending);
            } else if self.pair.outbound.retry_at.is_some_and(|at| at <= now) {
                self.ask_contact();
            }
        }
        self.pair.outbound.retry_at = self.pair.outbound.retry_at.filter(|at| *at > now);
        if self.pair.outbound.idle_until(self.context.settings).is_some_and(|at| at <= now) {
            self.say(PresenceKind::Unsubscribe);
            self.delete_outbound(&Ending::no_resource());
        }
    }

    /// Sends again what was lost with a process that ended.
    fn due_owed(&mut self) {
        let now = self.now();
        let lost: Vec<PresenceKind> =
            self.pair.owed.iter().filter(|owed| owed.resend_at <= now).map(|owed| owed.kind).collect();
        self.pair.owed.retain(|owed| owed.resend_at > now);
        for kind in lost {
            match kind {
                // Which devices he takes for present is not known: none, and then those that are.
                PresenceKind::Available if self.pair.is_watcher() => {
                    self.say_unavailable("");
                    self.tell_current();
                }
                PresenceKind::Subscribed if self.pair.is_watcher() => self.say(kind),
                PresenceKind::Subscribe if self.pair.outbound.authorisation == OutAuthorisation::PendingOut => {
                    self.say(kind);
                }
                PresenceKind::Unsubscribed if !self.pair.is_watcher() => self.say(kind),
                PresenceKind::Unsubscribe if !self.pair.is_added() => self.say(kind),
                // The opposite has happened since, or it is nothing that is owed.
                PresenceKind::Available
                | PresenceKind::Subscribed
                | PresenceKind::Subscribe
                | PresenceKind::Unsubscribed
                | PresenceKind::Unsubscribe
                | PresenceKind::Unavailable
                | PresenceKind::Probe
                | PresenceKind::Error => {}
            }
        }
    }

    /// When a failed `subscribe` goes out again.
    pub(super) fn ask_later(&mut self) {
        let jitter = self.below(400);
        let outbound = &mut self.pair.outbound;
        outbound.retry_at = Some(self.context.now_ms + backoff_ms(outbound.attempts, jitter));
        outbound.attempts = outbound.attempts.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rule: in.refresh
    #[test]
    fn refreshes_come_early_enough_and_are_spread() {
        let expires_at = 3_600_000;
        assert_eq!(refresh_time(0, expires_at, 0), 3_060_000);
        assert_eq!(refresh_time(0, expires_at, 99), 3_060_000 - 356_400);
        // Never later than 32 s before the end.
        assert_eq!(refresh_time(0, 100_000, 0), 68_000);
        for remaining in [0, 1, 1_000, 31_000, 40_000, 64_000] {
            let at = refresh_time(10, 10 + remaining, 50);
            assert!(at > 10 && at <= 10 + remaining.max(1), "{remaining}");
        }
    }

    // Rule: in.backoff
    #[test]
    fn waits_double_up_to_an_hour() {
        let plain: Vec<u64> = (0..9).map(|attempts| backoff_ms(attempts, 200)).collect();
        assert_eq!(plain, [30_000, 60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000]);
        assert_eq!((backoff_ms(0, 0), backoff_ms(0, 399)), (24_000, 35_970));
        assert!(backoff_ms(u32::MAX, 0) <= BACKOFF_MAX_MS);
    }
}
