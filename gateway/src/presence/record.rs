//! The record of a pair: plain data, stored field by field. What the fields mean together is the machine's business.

use causeway_shared::jid::BareJid;
use causeway_sip::dialog::{NotifierDialog, SubscriberDialog};
use causeway_sip::field::{CallId, SubscriptionState, TerminationReason, Token};

use super::PresenceSettings;
use super::refresh::{DAY_MS, HELD_DAYS, PENDING_DAYS};
use crate::translate::presence::{PresenceKind, ResourcePresence};

/// Dialogs that one SIP user may have for one XMPP user: her devices, and a few that died silently.
pub const MAX_DIALOGS: usize = 8;
/// Devices of an XMPP user that are kept.
pub const MAX_RESOURCES: usize = 16;

/// Who: a SIP user as the JID that XMPP sees, and an XMPP user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairKey {
    /// The SIP user, in a local domain.
    pub local: BareJid,
    /// The XMPP user, in a partner's domain.
    pub remote: BareJid,
}

/// Everything known about one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Who.
    pub key: PairKey,
    /// Grows with every commit; 0 was never stored.
    pub version: u64,
    /// The XMPP user watches the SIP user.
    pub inbound: Inbound,
    /// The SIP user watches the XMPP user.
    pub outbound: Outbound,
    /// Stanzas whose arrival is not known yet, oldest first; at most one of each kind.
    pub owed: Vec<Owed>,
    /// The serial of the last stanza sent.
    pub serial: u32,
    /// When the pair must be looked at, in Unix milliseconds.
    pub due_at: Option<u64>,
}

/// A stanza that was sent and is neither delivered nor failed. [`PresenceKind::Available`] stands for whatever the
/// availability is when it is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its serial.
    pub serial: u32,
    /// What it says.
    pub kind: PresenceKind,
    /// When to send it again if nothing was heard of it.
    pub resend_at: u64,
}

/// Whether the XMPP user may see the SIP user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InAuthorisation {
    /// Never asked, refused or ended.
    #[default]
    None,
    /// Asked by a user of an unverified partner whom the SIP user has not added.
    Held,
    /// Asked; the pool has not decided.
    Pending,
    /// The pool said active.
    Authorised,
}

/// The XMPP user watches the SIP user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inbound {
    /// Whether he may.
    pub authorisation: InAuthorisation,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
    /// Asked by a probe for an authorisation that we know nothing of: he believes to have it already.
    pub is_resync: bool,
    /// Our subscription with the pool.
    pub dialog: InDialog,
    /// The availability that he was last told, device by device.
    pub resources: Vec<ResourcePresence>,
    /// Whether all his devices can know `resources`; if not, all of it is sent at the next chance.
    pub is_told: bool,
    /// Until when we keep watching without a sign of life from him.
    pub lease_until: u64,
    /// Whether he was asked for one.
    pub is_lease_probed: bool,
    /// Attempts to subscribe that failed in a row.
    pub attempts: u32,
    /// Immediate new dialogs since [`Inbound::quick_since`].
    pub quick_count: u32,
    /// When the first of them was.
    pub quick_since: u64,
    /// When a refusal is told, which waits so that its time says nothing.
    pub refusal_due: Option<u64>,
    /// An unanswered probe: its `id`, or the empty string.
    pub probe: Option<String>,
    /// Since when none of her devices is available, if they went while he watched.
    pub gone_ms: Option<u64>,
}

impl Inbound {
    /// Whether all is the same but the dialog and the devices, of which the stores have tables.
    pub(crate) fn has_same_values(&self, other: &Self) -> bool {
        self.values() == other.values()
    }

    fn values(&self) -> impl PartialEq {
        let Self {
            authorisation,
            since_ms,
            is_resync,
            dialog: _,
            resources: _,
            is_told,
            lease_until,
            is_lease_probed,
            attempts,
            quick_count,
            quick_since,
            refusal_due,
            probe,
            gone_ms,
        } = self;
        let watching = (authorisation, since_ms, is_resync, is_told, lease_until, is_lease_probed);
        (watching, attempts, quick_count, quick_since, refusal_due, probe, gone_ms)
    }
}

/// Our subscription with the pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InDialog {
    /// None, and none is wanted before something happens.
    #[default]
    None,
    /// SUBSCRIBE is sent and no NOTIFY has come.
    Trying {
        /// Call-ID of the SUBSCRIBE.
        call_id: CallId,
        /// Our tag.
        local_tag: Token,
        /// Seconds asked for.
        asked_s: u32,
        /// Timer N (RFC 6665, section 4.1.2.4).
        give_up_at: u64,
    },
    /// A NOTIFY has made it.
    Live {
        /// The dialog.
        dialog: SubscriberDialog,
        /// Whether the last NOTIFY said active; else pending.
        is_active: bool,
        /// When it ends unless refreshed.
        expires_at: u64,
        /// When to refresh it; `None` while a refresh is under way or when it is left to expire.
        refresh_at: Option<u64>,
        /// A refresh under way.
        refresh: Option<Refresh>,
    },
    /// We ended it and wait for the last NOTIFY.
    Closing {
        /// The dialog.
        dialog: SubscriberDialog,
        /// When to stop waiting.
        until: u64,
    },
    /// An attempt failed; the next one waits.
    Backoff {
        /// For when.
        until: u64,
        /// Whether the wait is ours, so that a sign of life may shorten it; else the pool asked for it.
        may_hurry: bool,
    },
}

/// A SUBSCRIBE inside the dialog that has not been finished by a response and a NOTIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// Its CSeq.
    pub cseq: u32,
    /// Seconds asked for.
    pub asked_s: u32,
    /// Timer N.
    pub give_up_at: u64,
}

/// Whether the SIP user may see the XMPP user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutAuthorisation {
    /// Never asked, refused or ended.
    #[default]
    None,
    /// Asked; he has not answered.
    PendingOut,
    /// He said `subscribed`.
    To,
}

/// The SIP user watches the XMPP user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outbound {
    /// Whether she may.
    pub authorisation: OutAuthorisation,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
    /// When `subscribe` was last sent.
    pub asked_at: u64,
    /// When to send it again after an error that will pass.
    pub retry_at: Option<u64>,
    /// How often that was in a row.
    pub attempts: u32,
    /// Until when a new SUBSCRIBE is refused, because he has just said no.
    pub cool_down_until: Option<u64>,
    /// When she last subscribed.
    pub last_seen_ms: u64,
    /// Her subscriptions.
    pub dialogs: Vec<OutDialog>,
    /// His devices. A device that went away stays as unavailable until every dialog was told, and the last one for good.
    pub resources: Vec<ResourcePresence>,
    /// When his devices count as gone, because no stream to his domain is up.
    pub stale_at: Option<u64>,
}

impl Outbound {
    /// Whether all is the same but the dialogs and the devices, of which the stores have tables.
    pub(crate) fn has_same_values(&self, other: &Self) -> bool {
        self.values() == other.values()
    }

    fn values(&self) -> impl PartialEq {
        let Self {
            authorisation,
            since_ms,
            asked_at,
            retry_at,
            attempts,
            cool_down_until,
            last_seen_ms,
            dialogs: _,
            resources: _,
            stale_at,
        } = self;
        (authorisation, since_ms, asked_at, retry_at, attempts, cool_down_until, last_seen_ms, stale_at)
    }
}

/// A subscription of the SIP user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutDialog {
    /// The dialog.
    pub dialog: NotifierDialog,
    /// When it ends unless she refreshes it.
    pub expires_at: u64,
    /// Whether she has not been told the present state.
    pub is_dirty: bool,
    /// Not to be told before.
    pub paced_until: u64,
    /// A NOTIFY without an answer yet.
    pub in_flight: Option<InFlight>,
    /// A fetch that waits for an answer from XMPP until then.
    pub fetch_until: Option<u64>,
}

/// A NOTIFY without an answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Its CSeq.
    pub cseq: u32,
    /// When to send the state again if nothing was heard of it.
    pub resend_at: u64,
}

/// Why the SIP user's dialogs end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The reason in Subscription-State.
    pub reason: TerminationReason,
    /// When trying again makes sense, in seconds.
    pub retry_after: Option<u32>,
}

impl Ending {
    /// An ending without a time to try again.
    pub fn plain(reason: TerminationReason) -> Self {
        Self { reason, retry_after: None }
    }

    /// There is nobody to watch.
    pub fn no_resource() -> Self {
        Self::plain(TerminationReason::NoResource)
    }

    /// Subscription-State.
    pub fn state(&self) -> SubscriptionState {
        let mut state = SubscriptionState::terminated(self.reason.clone());
        state.retry_after = self.retry_after;
        state
    }
}

/// How much has changed, by which the engine decides how to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Only what confirms that something arrived: losing it costs one repetition. Outputs need not wait for the commit.
    Lazy,
    /// Something that must be stored before the outputs leave.
    Durable,
}

impl Pair {
    /// A pair of which nothing is known.
    pub fn new(key: PairKey) -> Self {
        Self {
            key,
            version: 0,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            owed: Vec::new(),
            serial: 0,
            due_at: None,
        }
    }

    /// Whether the SIP user has added the XMPP user: it outlives her logout.
    pub fn is_added(&self) -> bool {
        match self.outbound.authorisation {
            OutAuthorisation::PendingOut | OutAuthorisation::To => true,
            OutAuthorisation::None => false,
        }
    }

    /// Whether the XMPP user may see the SIP user.
    pub fn is_watcher(&self) -> bool {
        match self.inbound.authorisation {
            InAuthorisation::Authorised => true,
            InAuthorisation::None | InAuthorisation::Held | InAuthorisation::Pending => false,
        }
    }

    /// Whether the XMPP user was shown a device of the SIP user.
    pub fn shows(&self, resource: &str) -> bool {
        self.inbound.resources.iter().any(|known| known.resource == resource)
    }

    /// Whether a sign of life changes anything: most messages need no step.
    pub fn wants_activity(&self, now_ms: u64, settings: &PresenceSettings) -> bool {
        self.is_watcher() && self.inbound.lease_until < now_ms.saturating_add(settings.lease_ms / 2)
    }

    /// Whether there is nothing left to store.
    pub fn is_blank(&self) -> bool {
        self.inbound.authorisation == InAuthorisation::None
            && self.inbound.dialog == InDialog::None
            && self.inbound.refusal_due.is_none()
            && self.outbound.authorisation == OutAuthorisation::None
            && self.outbound.dialogs.is_empty()
            && self.outbound.cool_down_until.is_none()
            && self.owed.is_empty()
    }

    /// How this record differs from what it was before a step.
    pub fn change_since(&self, before: &Self) -> Change {
        if self == before {
            return Change::None;
        }
        // Almost every step that is not a confirmation sends something.
        if self.serial != before.serial || self.inbound != before.inbound {
            return Change::Durable;
        }
        let mut confirmed = before.clone();
        confirmed.due_at = self.due_at;
        confirmed.owed.retain(|owed| self.owed.contains(owed));
        for (watcher, now) in confirmed.outbound.dialogs.iter_mut().zip(&self.outbound.dialogs) {
            if now.in_flight.is_none() {
                watcher.in_flight = None;
            }
        }
        if *self == confirmed { Change::Lazy } else { Change::Durable }
    }

    /// The earliest time at which something has to happen.
    pub(super) fn next_due(&self, settings: &PresenceSettings) -> Option<u64> {
        let inbound = &self.inbound;
        let outbound = &self.outbound;
        let dialog = match &inbound.dialog {
            InDialog::None => None,
            InDialog::Trying { give_up_at, .. } => Some(*give_up_at),
            InDialog::Live { expires_at, refresh_at, refresh, .. } => {
                let give_up_at = refresh.as_ref().map(|refresh| refresh.give_up_at);
                [Some(*expires_at), *refresh_at, give_up_at].into_iter().flatten().min()
            }
            InDialog::Closing { until, .. } | InDialog::Backoff { until, .. } => Some(*until),
        };
        let held = (inbound.authorisation == InAuthorisation::Held).then_some(inbound.since_ms + HELD_DAYS * DAY_MS);
        let pending = (outbound.authorisation == OutAuthorisation::PendingOut)
            .then_some(outbound.since_ms + PENDING_DAYS * DAY_MS);
        let idle = outbound.idle_until(settings);
        let watchers = outbound.dialogs.iter().flat_map(|watcher| {
            let in_flight = watcher.in_flight.as_ref().map(|in_flight| in_flight.resend_at);
            // While a NOTIFY is under way its answer, or its absence, brings the next one.
            let paced = (watcher.is_dirty && in_flight.is_none()).then_some(watcher.paced_until);
            [Some(watcher.expires_at), in_flight, paced, watcher.fetch_until].into_iter().flatten()
        });
        let owed = self.owed.iter().map(|owed| owed.resend_at);
        let single = [
            dialog,
            held,
            inbound.refusal_due,
            pending,
            idle,
            outbound.retry_at,
            outbound.cool_down_until,
            outbound.stale_at,
        ];
        single.into_iter().flatten().chain(watchers).chain(owed).min()
    }
}

impl Inbound {
    /// Whether he is to be shown her presence, or the pool is to decide about it.
    pub(super) fn is_wanted(&self) -> bool {
        match self.authorisation {
            InAuthorisation::Pending | InAuthorisation::Authorised => true,
            InAuthorisation::None | InAuthorisation::Held => false,
        }
    }
}

impl Outbound {
    /// When the authorisation is given up, because she has not come back.
    pub(super) fn idle_until(&self, settings: &PresenceSettings) -> Option<u64> {
        let applies = settings.idle_days > 0 && self.dialogs.is_empty() && self.authorisation != OutAuthorisation::None;
        applies.then_some(self.last_seen_ms + u64::from(settings.idle_days) * DAY_MS)
    }
}
