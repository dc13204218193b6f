//! Drift: what a stored record says and cannot be so any more, because news was lost, a clock jumped or a program had a
//! fault. A sweep over the store finds it; the step that mends it looks at the record again and says what it mended.
//!
//! None of this happens while everything works: each timer and each piece of news has its own way. So a kind that is
//! mended often is worth a look.

use causeway_sip::field::TerminationReason;

use super::record::{Ending, InAuthorisation, InDialog, OutAuthorisation, Pair};
use super::refresh::{DAY_MS, HELD_DAYS};
use super::{PairContext, PairOutput, Step};
use crate::translate::presence::PresenceKind;

/// How late something must be to count as forgotten: longer than a claim of another gateway and a slow store together.
const FORGOTTEN_MS: u64 = 120_000;

/// A kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// The domain is no partner any more.
    NoPartner,
    /// The SIP user may not reach partners, and something is in force.
    NoAccess,
    /// Something is in force that nobody is authorised for.
    Unauthorised,
    /// A stranger of an unverified partner watches a user who has not added him.
    Stranger,
    /// A `subscribe` is held that may be asked.
    HeldNeedlessly,
    /// A `subscribe` is held for longer than it may be.
    HeldTooLong,
    /// An authorisation whose watcher is there has no dialog.
    Unwatched,
    /// A dialog with the pool, or the wait for one, is past its time or has none.
    DialogForgotten,
    /// A dialog of the SIP user's is past its time.
    WatcherForgotten,
    /// Devices of an unreachable partner's user still count as there.
    StaleContact,
    /// Nothing is known of a contact whom a device watches.
    UnknownContact,
    /// The record's time has come long ago and nobody took it up, or is wrong.
    Unclaimed,
    /// Nothing is left of the record.
    Blank,
}

impl Drift {
    /// Every kind, in the order of mending.
    pub const ALL: [Self; 13] = [
        Self::NoPartner,
        Self::NoAccess,
        Self::Unauthorised,
        Self::Stranger,
        Self::HeldNeedlessly,
        Self::HeldTooLong,
        Self::DialogForgotten,
        Self::Unwatched,
        Self::WatcherForgotten,
        Self::StaleContact,
        Self::UnknownContact,
        Self::Unclaimed,
        Self::Blank,
    ];

    /// The kind as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPartner => "no_partner",
            Self::NoAccess => "no_access",
            Self::Unauthorised => "unauthorised",
            Self::Stranger => "stranger",
            Self::HeldNeedlessly => "held_needlessly",
            Self::HeldTooLong => "held_too_long",
            Self::Unwatched => "unwatched",
            Self::DialogForgotten => "dialog_forgotten",
            Self::WatcherForgotten => "watcher_forgotten",
            Self::StaleContact => "stale_contact",
            Self::UnknownContact => "unknown_contact",
            Self::Unclaimed => "unclaimed",
            Self::Blank => "blank",
        }
    }
}

impl Pair {
    /// Whether the record has drifted in any way.
    pub fn has_drifted(&self, context: &PairContext<'_>) -> bool {
        Drift::ALL.into_iter().any(|drift| self.shows_drift(drift, context))
    }

    fn shows_drift(&self, drift: Drift, context: &PairContext<'_>) -> bool {
        let (inbound, outbound, now) = (&self.inbound, &self.outbound, context.now_ms);
        let is_forgotten = |at: u64| at.saturating_add(FORGOTTEN_MS) < now;
        let is_stranger = !context.partner.may_act_unadded() && !self.is_added();
        let has_pool_dialog = matches!(inbound.dialog, InDialog::Trying { .. } | InDialog::Live { .. });
        let is_blank = self.is_blank();
        // What is wrong on the whole is mended as a whole.
        match drift {
            Drift::NoPartner => return !context.is_partner && !is_blank,
            Drift::Blank => return is_blank && self.version > 0,
            _ if !context.is_partner || is_blank => return false,
            Drift::NoAccess => {
                let is_in_force = has_pool_dialog || !outbound.dialogs.is_empty() || !inbound.resources.is_empty();
                return !context.has_access && is_in_force;
            }
            _ if !context.has_access => return false,
            _ => {}
        }
        match drift {
            Drift::Unauthorised => {
                let is_pool = has_pool_dialog || matches!(inbound.dialog, InDialog::Backoff { .. });
                let is_shown = is_pool || !inbound.resources.is_empty();
                let watches = outbound.dialogs.iter().any(|watcher| watcher.fetch_until.is_none());
                (!inbound.is_wanted() && inbound.refusal_due.is_none() && is_shown)
                    || (outbound.authorisation == OutAuthorisation::None && watches)
            }
            Drift::Stranger => is_stranger && inbound.is_wanted(),
            Drift::HeldNeedlessly => inbound.authorisation == InAuthorisation::Held && !is_stranger,
            Drift::HeldTooLong => {
                inbound.authorisation == InAuthorisation::Held
                    && is_forgotten(inbound.since_ms.saturating_add(HELD_DAYS * DAY_MS))
            }
            Drift::Unwatched => inbound.is_wanted() && inbound.dialog == InDialog::None && inbound.lease_until > now,
            Drift::DialogForgotten => match &inbound.dialog {
                InDialog::None => false,
                InDialog::Trying { give_up_at: at, .. }
                | InDialog::Closing { until: at, .. }
                | InDialog::Backoff { until: at, .. } => is_forgotten(*at),
                InDialog::Live { expires_at, refresh: Some(refresh), .. } => {
                    is_forgotten(*expires_at) || is_forgotten(refresh.give_up_at)
                }
                InDialog::Live { expires_at, refresh: None, refresh_at: Some(at), .. } => {
                    is_forgotten(*expires_at) || is_forgotten(*at)
                }
                InDialog::Live { expires_at, refresh: None, refresh_at: None, .. } => {
                    is_forgotten(*expires_at) || inbound.lease_until > now
                }
            },
            Drift::WatcherForgotten => outbound
                .dialogs
                .iter()
                .any(|watcher| is_forgotten(watcher.expires_at) || watcher.fetch_until.is_some_and(is_forgotten)),
            Drift::StaleContact => outbound.stale_at.is_some_and(is_forgotten),
            Drift::UnknownContact => {
                outbound.authorisation == OutAuthorisation::To
                    && !outbound.dialogs.is_empty()
                    && outbound.resources.is_empty()
            }
            Drift::Unclaimed => {
                let due = self.next_due(context.settings);
                let is_missed = due.is_some_and(|due| self.due_at.is_none_or(|at| due < at));
                is_missed || due.is_some_and(is_forgotten)
            }
            Drift::NoPartner | Drift::NoAccess | Drift::Blank => false,
        }
    }
}

impl Step<'_, '_> {
    /// Mends whatever has drifted, each kind once.
    pub(super) fn mend(&mut self) {
        let mut found: Vec<Drift> =
            Drift::ALL.into_iter().filter(|drift| self.pair.shows_drift(*drift, self.context)).collect();
        if found.len() > 1 {
            // What was forgotten has a better name.
            found.retain(|drift| *drift != Drift::Unclaimed);
        }
        for drift in &found {
            match drift {
                Drift::NoPartner => self.partner_removed(),
                Drift::NoAccess => self.access_lost(),
                Drift::Unauthorised => self.end_unauthorised(),
                Drift::Stranger => self.revoke_inbound(),
                Drift::HeldNeedlessly => self.release_held(),
                Drift::DialogForgotten => {
                    self.due();
                    self.renew_refresh();
                    if self.pair.shows_drift(Drift::Unwatched, self.context) {
                        self.watch_again();
                    }
                }
                Drift::Unwatched => self.watch_again(),
                Drift::HeldTooLong | Drift::WatcherForgotten | Drift::StaleContact | Drift::Unclaimed => self.due(),
                Drift::UnknownContact => self.say(PresenceKind::Probe),
                // A blank record is deleted by being stored.
                Drift::Blank => {}
            }
            self.out.push(PairOutput::Mended(*drift));
        }
        if !found.is_empty() && self.context.is_partner && self.context.has_access {
            self.due();
        }
    }

    fn end_unauthorised(&mut self) {
        if !self.pair.inbound.is_wanted() && self.pair.inbound.refusal_due.is_none() {
            self.cancel_dialog();
            self.hide();
        }
        if self.pair.outbound.authorisation == OutAuthorisation::None {
            // She may ask again at once (RFC 6665, section 4.4.2).
            self.end_all_dialogs(&Ending::plain(TerminationReason::Deactivated));
        }
    }

    /// A dialog that somebody waits for and that nobody would refresh.
    fn renew_refresh(&mut self) {
        if let InDialog::Live { refresh: None, refresh_at: None, .. } = self.pair.inbound.dialog
            && self.pair.inbound.lease_until > self.now()
        {
            self.refresh_dialog(self.context.settings.expires_s);
        }
    }
}
