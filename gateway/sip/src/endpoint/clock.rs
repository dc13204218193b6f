//! What happens to sessions by themselves: no answer, no ACK, the time for another try, refresh and expiry
//! (RFC 3261 sections 13.3.1.4 and 14.1, RFC 4028 section 10).

use std::time::Instant;

use crate::endpoint::calls::push;
use crate::endpoint::{Endpoint, Output, SendTag};
use crate::method::Status;
use crate::session::state::Phase;
use crate::session::{Ended, SessionEvent, timer, unacked};
use crate::transaction::table::Id;

impl Endpoint {
    pub(super) fn fire_sessions(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(id) = self.sessions.due(now) {
            self.fire_session(id, now, out);
        }
    }

    /// Does the first thing that is due. Each of them moves its clock or ends the session, so the loop above ends.
    fn fire_session(&mut self, id: Id, now: Instant, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if let Some(answer) = &mut session.unacked
            && let Some(due) = answer.clock.fire(now)
        {
            match (due, session.phase) {
                (unacked::Due::SendAgain, _) => {
                    out.push(Output::Send { to: answer.to.clone(), bytes: answer.bytes.clone(), tag: SendTag::NONE });
                    self.settle_session(id);
                }
                (unacked::Due::GiveUp, Phase::Ending) => self.leave_with_bye(id, now, out),
                (unacked::Due::GiveUp, Phase::Inviting | Phase::Invited | Phase::Confirmed) => {
                    self.end_with_bye(id, Ended::NoAck, now, out);
                }
            }
            return;
        }
        if session.theirs.as_ref().is_some_and(|theirs| theirs.answer_by <= now) {
            return match session.phase {
                Phase::Invited => {
                    self.refuse_theirs(id, Status::TEMPORARILY_UNAVAILABLE, now, out);
                    self.end_session(id, Ended::NoAnswer, now, out);
                }
                Phase::Inviting | Phase::Confirmed | Phase::Ending => {
                    self.refuse_theirs(id, Status::SERVER_ERROR, now, out);
                    push(id, SessionEvent::OfferWithdrawn, out);
                }
            };
        }
        if let Some(ours) = session.ours.as_ref().filter(|ours| ours.at.is_some_and(|at| at <= now)) {
            return match (session.phase, ours.transaction) {
                (Phase::Inviting, _) => self.end_session(id, Ended::NoAnswer, now, out),
                // An offer that got provisional responses and nothing else.
                (Phase::Invited | Phase::Confirmed | Phase::Ending, Some(_)) => {
                    self.end_with_bye(id, Ended::Gone, now, out);
                }
                (Phase::Invited | Phase::Confirmed | Phase::Ending, None)
                    if session.theirs.is_some() || session.unacked.is_some() =>
                {
                    self.postpone_offer(id, now);
                }
                (Phase::Invited | Phase::Confirmed | Phase::Ending, None) => self.send_offer(id, now, out),
            };
        }
        match session.timer.as_mut().and_then(|timer| timer.fire(now)) {
            Some(timer::Due::Refresh) => {
                self.settle_session(id);
                self.refresh(id, now, out);
            }
            Some(timer::Due::Bye) => self.end_with_bye(id, Ended::Expired, now, out),
            None => self.settle_session(id),
        }
    }
}
