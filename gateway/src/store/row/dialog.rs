//! A dialog of either kind as a row of the one table that both have.

use causeway_sip::dialog::{Dialog, NotifierDialog, SubscriberDialog};

use super::{DialogColumns, Unreadable, event, read_call_id, read_event, read_tag, unreadable};
use crate::presence::record::{InDialog, InFlight, OutDialog, Pair, Refresh};

/// What is written of a dialog.
#[derive(Debug, Default)]
pub(in crate::store) struct DialogRow<'a> {
    pub(in crate::store) role: &'static str,
    pub(in crate::store) call_id: &'a str,
    pub(in crate::store) local_tag: &'a str,
    /// The place among those of its role.
    pub(in crate::store) position: usize,
    pub(in crate::store) state: &'static str,
    /// What it has once both tags are known.
    pub(in crate::store) dialog: Option<&'a Dialog>,
    pub(in crate::store) event: Option<String>,
    pub(in crate::store) expires_s: u32,
    pub(in crate::store) expires_at: u64,
    pub(in crate::store) refresh_at: Option<u64>,
    pub(in crate::store) refresh: Option<&'a Refresh>,
    pub(in crate::store) is_dirty: bool,
    pub(in crate::store) paced_until: u64,
    pub(in crate::store) in_flight: Option<&'a InFlight>,
    pub(in crate::store) fetch_until: Option<u64>,
}

impl<'a> DialogRow<'a> {
    /// Ours with the pool, if there is one.
    pub(in crate::store) fn of_subscriber(dialog: &'a InDialog) -> Option<Self> {
        let row = match dialog {
            InDialog::None | InDialog::Backoff { .. } => return None,
            InDialog::Trying { call_id, local_tag, asked_s, give_up_at } => Self {
                call_id: call_id.as_str(),
                local_tag: local_tag.as_str(),
                state: "trying",
                expires_s: *asked_s,
                expires_at: *give_up_at,
                ..Self::default()
            },
            InDialog::Live { dialog, is_active, expires_at, refresh_at, refresh } => Self {
                state: if *is_active { "active" } else { "pending" },
                expires_at: *expires_at,
                refresh_at: *refresh_at,
                refresh: refresh.as_ref(),
                ..Self::of(&dialog.dialog, event(&dialog.event), dialog.expires)
            },
            InDialog::Closing { dialog, until } => Self {
                state: "closing",
                expires_at: *until,
                ..Self::of(&dialog.dialog, event(&dialog.event), dialog.expires)
            },
        };
        Some(Self { role: "subscriber", ..row })
    }

    /// One of the SIP user's.
    pub(in crate::store) fn of_notifier(position: usize, watcher: &'a OutDialog) -> Self {
        let NotifierDialog { dialog, event: package, expires } = &watcher.dialog;
        Self {
            role: "notifier",
            state: "notifying",
            position,
            expires_at: watcher.expires_at,
            is_dirty: watcher.is_dirty,
            paced_until: watcher.paced_until,
            in_flight: watcher.in_flight.as_ref(),
            fetch_until: watcher.fetch_until,
            ..Self::of(dialog, event(package), *expires)
        }
    }

    fn of(dialog: &'a Dialog, event: String, expires_s: u32) -> Self {
        let (call_id, local_tag) = (dialog.call_id.as_str(), dialog.local_tag.as_str());
        Self { call_id, local_tag, dialog: Some(dialog), event: Some(event), expires_s, ..Self::default() }
    }
}

/// What is read of a dialog.
#[derive(Debug)]
pub(in crate::store) struct StoredDialog {
    pub(in crate::store) columns: DialogColumns,
    pub(in crate::store) state: String,
    pub(in crate::store) event: Option<String>,
    pub(in crate::store) expires_s: u32,
    pub(in crate::store) expires_at: u64,
    pub(in crate::store) refresh_at: Option<u64>,
    pub(in crate::store) refresh_cseq: Option<u32>,
    pub(in crate::store) refresh_asked_s: Option<u32>,
    pub(in crate::store) refresh_until: Option<u64>,
    pub(in crate::store) is_dirty: bool,
    pub(in crate::store) paced_until: u64,
    pub(in crate::store) in_flight_cseq: Option<u32>,
    pub(in crate::store) in_flight_until: Option<u64>,
    pub(in crate::store) fetch_until: Option<u64>,
}

impl StoredDialog {
    /// Puts it where the record has it. Rows come in the order of their positions.
    pub(in crate::store) fn put_into(self, pair: &mut Pair) -> Result<(), Unreadable> {
        let Self { columns, expires_s: expires, expires_at, .. } = self;
        if self.state == "trying" {
            let (call_id, local_tag) = (read_call_id(&columns.call_id)?, read_tag(&columns.local_tag)?);
            pair.inbound.dialog = InDialog::Trying { call_id, local_tag, asked_s: expires, give_up_at: expires_at };
            return Ok(());
        }
        let (dialog, event) = (columns.read()?, read_event(self.event.as_deref().unwrap_or_default())?);
        if self.state == "notifying" {
            let in_flight = self.in_flight_cseq.zip(self.in_flight_until);
            pair.outbound.dialogs.push(OutDialog {
                dialog: NotifierDialog { dialog, event, expires },
                expires_at,
                is_dirty: self.is_dirty,
                paced_until: self.paced_until,
                in_flight: in_flight.map(|(cseq, resend_at)| InFlight { cseq, resend_at }),
                fetch_until: self.fetch_until,
            });
            return Ok(());
        }
        let dialog = SubscriberDialog { dialog, event, expires };
        pair.inbound.dialog = if self.state == "closing" {
            InDialog::Closing { dialog, until: expires_at }
        } else {
            let refresh = self.refresh_cseq.zip(self.refresh_asked_s).zip(self.refresh_until);
            let refresh = refresh.map(|((cseq, asked_s), give_up_at)| Refresh { cseq, asked_s, give_up_at });
            let (is_active, refresh_at) = (self.state == "active", self.refresh_at);
            InDialog::Live { dialog, is_active, expires_at, refresh_at, refresh }
        };
        Ok(())
    }
}

/// What each NOTIFY changes of a dialog: `local_cseq`, `is_dirty`, `paced_until`, what is in flight (its CSeq, and when to send
/// it again), `fetch_until`.
type Notifying = (u32, bool, u64, Option<(u32, u64)>, Option<u64>);

/// What each NOTIFY changes, of all dialogs of the SIP user's; nothing if there are none.
pub(in crate::store) fn notifying(dialogs: &[OutDialog]) -> Option<String> {
    let moved = |watcher: &OutDialog| -> Notifying {
        let in_flight = watcher.in_flight.as_ref().map(|in_flight| (in_flight.cseq, in_flight.resend_at));
        let local_cseq = watcher.dialog.dialog.local_cseq;
        (local_cseq, watcher.is_dirty, watcher.paced_until, in_flight, watcher.fetch_until)
    };
    let all: Vec<Notifying> = dialogs.iter().map(moved).collect();
    // Numbers and arrays of them have a form in JSON, all of them.
    (!all.is_empty()).then(|| serde_json::to_string(&all).unwrap_or_default())
}

/// Puts it into the dialogs it was taken from, which are in the same order.
pub(in crate::store) fn read_notifying(text: &str, dialogs: &mut [OutDialog]) -> Result<(), Unreadable> {
    let all: Option<Vec<Notifying>> = serde_json::from_str(text).ok();
    let all = all.filter(|all| all.len() == dialogs.len()).ok_or_else(|| unreadable("pair.notifying", text))?;
    for (watcher, (local_cseq, is_dirty, paced_until, in_flight, fetch_until)) in dialogs.iter_mut().zip(all) {
        watcher.dialog.dialog.local_cseq = local_cseq;
        (watcher.is_dirty, watcher.paced_until, watcher.fetch_until) = (is_dirty, paced_until, fetch_until);
        watcher.in_flight = in_flight.map(|(cseq, resend_at)| InFlight { cseq, resend_at });
    }
    Ok(())
}

/// How a dialog of the SIP user's is called.
pub(in crate::store) fn name(watcher: &OutDialog) -> (&str, &str) {
    let dialog = &watcher.dialog.dialog;
    (dialog.call_id.as_str(), dialog.local_tag.as_str())
}

/// Whether only what each NOTIFY changes has changed.
pub(in crate::store) fn is_same_dialog(before: &OutDialog, after: &OutDialog) -> bool {
    let (before, after) = (&before.dialog, &after.dialog);
    before.dialog.has_moved_to(&after.dialog) && before.event == after.event && before.expires == after.expires
}

/// How ours with the pool is called, if there is one.
pub(in crate::store) fn subscriber_key(dialog: &InDialog) -> Option<(&str, &str)> {
    match dialog {
        InDialog::None | InDialog::Backoff { .. } => None,
        InDialog::Trying { call_id, local_tag, .. } => Some((call_id.as_str(), local_tag.as_str())),
        InDialog::Live { dialog, .. } | InDialog::Closing { dialog, .. } => {
            Some((dialog.dialog.call_id.as_str(), dialog.dialog.local_tag.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::full;

    #[test]
    fn what_each_notify_changes_is_read_back_and_nonsense_is_named() {
        let written = full().outbound.dialogs;
        let mut read = written.clone();
        for watcher in &mut read {
            watcher.dialog.dialog.local_cseq = 0;
            (watcher.is_dirty, watcher.paced_until, watcher.in_flight, watcher.fetch_until) = (false, 0, None, Some(1));
        }
        read_notifying(&notifying(&written).unwrap(), &mut read).unwrap();
        assert_eq!(read, written);
        assert_eq!(notifying(&[]), None);
        for nonsense in ["", "[]", "[[1,2],[3,4]]", "[[7,false,0,null,null]]"] {
            assert_eq!(read_notifying(nonsense, &mut read).unwrap_err(), unreadable("pair.notifying", nonsense));
        }
    }
}
