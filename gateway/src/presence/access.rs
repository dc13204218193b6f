//! The SIP user loses the right to reach XMPP partners, or gets it back.
//!
//! What the two agreed on is kept, so that a slip in a policy costs nobody his contacts; what shows that it is in force is
//! not. The XMPP user sees her go offline and is told nothing else: from then on he gets the answers of somebody who does
//! not exist. Her dialogs end as `rejected`, which RFC 6665, section 4.1.3 has for a change of policy.

use causeway_sip::field::TerminationReason;

use super::Step;
use super::record::{Ending, InDialog};
use crate::translate::presence::PresenceKind;

impl Step<'_, '_> {
    /// She may not reach partners. Comes again whenever something is due, so that nothing of it begins anew.
    pub(super) fn access_lost(&mut self) {
        self.cancel_dialog();
        self.pair.inbound.probe = None;
        self.pair.inbound.is_told = false;
        self.hide();
        self.end_all_dialogs(&Ending::plain(TerminationReason::Rejected));
        let outbound = &mut self.pair.outbound;
        outbound.resources.clear();
        (outbound.retry_at, outbound.stale_at) = (None, None);
        // A question that he may not have heard is asked again when she may ask.
        if self.pair.owed.iter().any(|owed| owed.kind == PresenceKind::Subscribe) {
            self.pair.outbound.asked_at = 0;
        }
        let is_an_ending = |kind| !matches!(kind, PresenceKind::Subscribe | PresenceKind::Subscribed);
        self.pair.owed.retain(|owed| is_an_ending(owed.kind));
        self.due();
    }

    /// She may again: whoever was watching her goes on. Her own devices subscribe by themselves.
    pub(super) fn access_back(&mut self) {
        // The last NOTIFY of the old dialog was refused.
        if matches!(self.pair.inbound.dialog, InDialog::Closing { .. }) {
            self.pair.inbound.dialog = InDialog::None;
        }
        self.renew_lease();
        self.watch_again();
    }
}
