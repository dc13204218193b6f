//! The gateway as the subscriber of a SIP user's presence (RFC 6665, section 4.1; RFC 3856, section 6).
//!
//! Makes, refreshes and ends the dialog, and reads what NOTIFY and the answers to SUBSCRIBE mean. What the XMPP user
//! gets to know of it is `inbound`'s.

use causeway_sip::dialog::{self, InDialogFault, SubscriberDialog};
use causeway_sip::field::{CallId, Event, MediaType, NameAddr, SubState, SubscriptionState, TerminationReason, Token};
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::{Identity, Request, Response};
use causeway_sip::method::Status;

use super::record::{InAuthorisation, InDialog, Refresh};
use super::refresh::{self, CLOSING_MS, MOVED_SPREAD_MS, QUICK_LIMIT, QUICK_WINDOW_MS, TIMER_N_MS};
use super::verdict::PairVerdict;
use super::{Answer, PairOutput, Step};
use crate::body::pidf::{self, Document};
use crate::translate::address;
use crate::translate::presence::is_language_tag;

/// What the gateway accepts in a NOTIFY.
const ACCEPT: HeaderValue = HeaderValue::from_static(pidf::CONTENT_TYPE);
/// A `terminated` with a longer wait shows the SIP user as unavailable meanwhile.
const LONG_WAIT_MS: u64 = 60_000;

/// What a failure of a SUBSCRIBE means (RFC 6665, sections 4.1.2.2 and 4.1.3; RFC 8048, section 5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consequence {
    /// 2xx: it worked; whether it was approved is for NOTIFY to say.
    Accepted,
    /// The authorisation is cancelled for good.
    Refused,
    /// The dialog is gone and a new one may be tried at once.
    Anew,
    /// The dialog is gone and a new one must wait.
    Later,
    /// Ask again with a longer time.
    Longer(u32),
    /// An operator must act; a dialog that exists stays.
    Misconfigured,
    /// It may pass; a dialog that exists stays until it expires. Retry-After in seconds.
    Transient(Option<u32>),
}

fn consequence(answer: &Answer) -> Consequence {
    let response = match answer {
        Answer::Timeout | Answer::Unreachable => return Consequence::Transient(None),
        Answer::Response(response) => response,
    };
    match response.status.code() {
        200..=299 => Consequence::Accepted,
        403 | 489 | 404 | 410 | 416 | 484 | 485 => Consequence::Refused,
        481 => Consequence::Anew,
        405 | 480 | 482 | 483 | 501 => Consequence::Later,
        423 => match response.headers.min_expires().ok().flatten() {
            Some(min) => Consequence::Longer(min),
            None => Consequence::Later,
        },
        401 | 406 | 407 => Consequence::Misconfigured,
        600..=699 => Consequence::Refused,
        _ => Consequence::Transient(response.headers.retry_after().ok().flatten()),
    }
}

impl Step<'_, '_> {
    /// The first SUBSCRIBE of a new dialog.
    pub(super) fn start_dialog(&mut self, asked_s: u32) {
        // The next sign of life of his tries again.
        if !self.context.may_watch {
            self.pair.inbound.dialog = InDialog::None;
            return self.verdict(PairVerdict::TooManyWatched);
        }
        let (Ok(watcher), Ok(presentity)) =
            (address::bare_jid_to_uri(&self.pair.key.remote), address::bare_jid_to_uri(&self.pair.key.local))
        else {
            self.verdict(PairVerdict::Unmappable);
            return self.refused(0);
        };
        let (call_id, local_tag) = (self.call_id(), self.tag());
        let identity = Identity {
            from: NameAddr::new(watcher.clone()).with_tag(&local_tag),
            to: NameAddr::new(presentity),
            call_id: call_id.clone(),
            cseq: 1,
        };
        let request = dialog::first_subscribe(&identity, &presence_event(), asked_s, self.context.contact, ACCEPT)
            .with(HeaderName::PAssertedIdentity, NameAddr::new(watcher).to_value());
        self.pair.inbound.dialog =
            InDialog::Trying { call_id, local_tag, asked_s, give_up_at: self.now() + TIMER_N_MS };
        self.out.push(PairOutput::Subscribe { request, next_hop: None });
    }

    /// A SUBSCRIBE inside the dialog: refresh, or with 0 the end.
    pub(super) fn refresh_dialog(&mut self, asked_s: u32) {
        let (now, contact) = (self.now(), self.context.contact);
        let InDialog::Live { dialog, refresh_at, refresh, .. } = &mut self.pair.inbound.dialog else { return };
        let request = dialog.subscribe(asked_s, contact, ACCEPT);
        let request =
            request.with(HeaderName::PAssertedIdentity, NameAddr::new(dialog.dialog.local_uri.clone()).to_value());
        *refresh_at = None;
        *refresh = Some(Refresh { cseq: dialog.dialog.local_cseq, asked_s, give_up_at: now + TIMER_N_MS });
        let next_hop = Some(dialog.dialog.next_hop().clone());
        self.out.push(PairOutput::Subscribe { request, next_hop });
    }

    /// Ends our subscription with the pool; the notifier still sends a last NOTIFY (RFC 6665, section 4.4.1).
    pub(super) fn cancel_dialog(&mut self) {
        let until = self.now() + CLOSING_MS;
        self.refresh_dialog(0);
        self.pair.inbound.dialog = match std::mem::take(&mut self.pair.inbound.dialog) {
            InDialog::Live { dialog, .. } => InDialog::Closing { dialog, until },
            // An attempt without a NOTIFY has no dialog to end it in: its NOTIFY will meet 481.
            InDialog::Trying { .. } | InDialog::Backoff { .. } | InDialog::None => InDialog::None,
            closing @ InDialog::Closing { .. } => closing,
        };
    }

    /// A NOTIFY (RFC 6665, section 4.1.3).
    pub(super) fn notify_received(&mut self, request: &Request) {
        let event = match request.headers.event() {
            Ok(event) if event.package.as_str().eq_ignore_ascii_case("presence") => event,
            Ok(_) | Err(_) => return self.respond(Response::to(request, Status::BAD_EVENT)),
        };
        let Ok(state) = request.headers.subscription_state() else {
            return self.respond(Response::to(request, Status::BAD_REQUEST));
        };
        if let Err(status) = self.enter_dialog(request, &event) {
            return self.respond(Response::to(request, status));
        }
        let document = match read_body(request) {
            Ok(document) => document,
            Err(status) => {
                self.verdict(PairVerdict::BadDocument);
                let response = Response::to(request, status);
                let response = if status == Status::UNSUPPORTED_MEDIA_TYPE {
                    response.with(HeaderName::Accept, ACCEPT)
                } else {
                    response
                };
                return self.respond(response);
            }
        };
        self.respond(Response::to(request, Status::OK));
        if let InDialog::Closing { .. } = self.pair.inbound.dialog {
            if state.state == SubState::Terminated {
                self.pair.inbound.dialog = InDialog::None;
            }
            return;
        }
        match state.state {
            SubState::Active | SubState::Other(_) => self.pool_active(&state, document.as_ref(), language_of(request)),
            SubState::Pending => self.pool_pending(&state),
            SubState::Terminated => self.pool_terminated(&state),
        }
    }

    fn respond(&mut self, response: Response) {
        self.out.push(PairOutput::Respond(response));
    }

    /// Finds or makes the dialog of a NOTIFY. It may come before the 2xx; the first to come makes the dialog, and one
    /// with another tag belongs to a fork, of which this package has none (RFC 3856, section 6.9).
    fn enter_dialog(&mut self, request: &Request, event: &Event) -> Result<(), Status> {
        let now = self.now();
        match &mut self.pair.inbound.dialog {
            InDialog::Live { dialog, .. } | InDialog::Closing { dialog, .. } => {
                let is_fork = dialog::notify_answers(request, &dialog.dialog.call_id, &dialog.dialog.local_tag, event);
                match dialog.dialog.accept(request) {
                    Ok(()) => Ok(()),
                    Err(InDialogFault::OldCSeq) => Err(Status::SERVER_ERROR),
                    Err(InDialogFault::OtherDialog) => {
                        if is_fork {
                            self.verdict(PairVerdict::Forked);
                        }
                        Err(Status::NO_SUCH_DIALOG)
                    }
                }
            }
            InDialog::Trying { call_id, local_tag, asked_s, .. } => {
                if !dialog::notify_answers(request, call_id, local_tag, event) {
                    return Err(Status::NO_SUCH_DIALOG);
                }
                let asked_s = *asked_s;
                let dialog = SubscriberDialog::from_notify(request, 1, asked_s).map_err(|_| Status::BAD_REQUEST)?;
                let expires_at = now + u64::from(asked_s) * 1000;
                self.pair.inbound.dialog =
                    InDialog::Live { dialog, is_active: false, expires_at, refresh_at: None, refresh: None };
                Ok(())
            }
            InDialog::None | InDialog::Backoff { .. } => Err(Status::NO_SUCH_DIALOG),
        }
    }

    /// Takes the time that the notifier grants, never more than was asked, and plans the refresh.
    pub(super) fn extend_dialog(&mut self, granted_s: Option<u32>, active: bool) {
        let (now, jitter) = (self.now(), self.below(100));
        let asked = self.context.settings.expires_s;
        let InDialog::Live { dialog, is_active, expires_at, refresh_at, refresh } = &mut self.pair.inbound.dialog
        else {
            return;
        };
        *is_active = active;
        *refresh = None;
        if let Some(granted) = granted_s {
            dialog.expires = granted.min(asked.max(dialog.expires));
            *expires_at = now + u64::from(dialog.expires) * 1000;
        }
        *refresh_at = Some(refresh::refresh_time(now, *expires_at, jitter));
    }

    /// `terminated` (RFC 6665, section 4.1.3).
    fn pool_terminated(&mut self, state: &SubscriptionState) {
        self.pair.inbound.dialog = InDialog::None;
        if matches!(self.pair.inbound.authorisation, InAuthorisation::None | InAuthorisation::Held) {
            return;
        }
        match &state.reason {
            Some(TerminationReason::Deactivated) => self.dialog_moved(),
            Some(TerminationReason::Timeout) => self.dialog_anew(),
            Some(TerminationReason::Probation) => {
                if self.back_off(state.retry_after) > LONG_WAIT_MS {
                    self.hide();
                }
            }
            Some(TerminationReason::Rejected | TerminationReason::NoResource) => self.refused(0),
            Some(TerminationReason::Giveup | TerminationReason::Other(_)) | None => {
                self.back_off(state.retry_after);
            }
            // The state will not change: keep it, and do not ask again. A sign of life of his may.
            Some(TerminationReason::Invariant) => self.pair.inbound.lease_until = 0,
        }
    }

    /// A new dialog at once; one that keeps ending at once waits like a failure.
    pub(super) fn dialog_anew(&mut self) {
        if self.is_too_quick() {
            self.back_off(None);
        } else {
            self.start_dialog(self.context.settings.expires_s);
        }
    }

    /// The same for a notifier that asks to be asked again elsewhere.
    fn dialog_moved(&mut self) {
        if self.is_too_quick() {
            self.back_off(None);
        } else {
            let until = self.now() + self.below(MOVED_SPREAD_MS);
            self.pair.inbound.dialog = InDialog::Backoff { until, may_hurry: false };
        }
    }

    fn is_too_quick(&mut self) -> bool {
        let now = self.now();
        let inbound = &mut self.pair.inbound;
        if now.saturating_sub(inbound.quick_since) > QUICK_WINDOW_MS {
            (inbound.quick_since, inbound.quick_count) = (now, 0);
        }
        inbound.quick_count = inbound.quick_count.saturating_add(1);
        inbound.quick_count > QUICK_LIMIT
    }

    /// The final answer to a SUBSCRIBE of ours.
    pub(super) fn subscribe_answered(&mut self, call_id: &CallId, cseq: u32, answer: &Answer) {
        let status = status_of(answer);
        match &mut self.pair.inbound.dialog {
            InDialog::Trying { call_id: ours, asked_s, .. } if ours == call_id => {
                let asked_s = *asked_s;
                // One that wants ever more would have it for ever.
                let is_first_try = asked_s == self.context.settings.expires_s;
                match consequence(answer) {
                    // 202 is 200; only NOTIFY tells of approval (RFC 6665, section 8.3.1).
                    Consequence::Accepted => {}
                    Consequence::Refused => self.refused(status),
                    Consequence::Anew => self.dialog_anew(),
                    Consequence::Later => self.failed(status, None),
                    Consequence::Longer(min) if is_first_try && min > asked_s => self.start_dialog(min),
                    Consequence::Longer(_) => self.failed(status, None),
                    Consequence::Misconfigured => {
                        self.misconfigured(status);
                        self.back_off(None);
                    }
                    Consequence::Transient(retry_after) => self.failed(status, retry_after),
                }
            }
            InDialog::Live { dialog, expires_at, refresh, .. } if dialog.dialog.call_id == *call_id => {
                let Some(under_way) = refresh.as_ref().filter(|refresh| refresh.cseq == cseq) else { return };
                let asked_s = under_way.asked_s;
                let is_first_try = asked_s == self.context.settings.expires_s;
                match consequence(answer) {
                    Consequence::Accepted => {
                        if let Answer::Response(response) = answer {
                            dialog.confirm(response, asked_s);
                            *expires_at = self.context.now_ms + u64::from(dialog.expires) * 1000;
                        }
                    }
                    Consequence::Refused => self.refused(status),
                    Consequence::Anew => self.dialog_anew(),
                    Consequence::Later => self.failed(status, None),
                    Consequence::Longer(min) if is_first_try && min > asked_s => self.refresh_dialog(min),
                    Consequence::Longer(_) => self.refresh_later(None),
                    Consequence::Misconfigured => {
                        self.misconfigured(status);
                        self.refresh_later(None);
                    }
                    Consequence::Transient(retry_after) => {
                        self.verdict(PairVerdict::PoolFailing { status });
                        self.refresh_later(retry_after);
                    }
                }
            }
            InDialog::Trying { .. }
            | InDialog::Live { .. }
            | InDialog::Closing { .. }
            | InDialog::Backoff { .. }
            | InDialog::None => {}
        }
    }

    fn misconfigured(&mut self, status: u16) {
        self.verdict(if status == 406 { PairVerdict::NoPidf } else { PairVerdict::NotTrusted { status } });
    }

    fn failed(&mut self, status: u16, retry_after: Option<u32>) {
        self.verdict(PairVerdict::PoolFailing { status });
        self.back_off(retry_after);
    }

    /// Starts an attempt over that was under way when the process ended.
    pub(super) fn restart_attempt(&mut self, before_ms: u64) {
        let now = self.now();
        let is_lost = |give_up_at| refresh::is_of_before(give_up_at, TIMER_N_MS, before_ms, now);
        match &self.pair.inbound.dialog {
            InDialog::Trying { asked_s, give_up_at, .. } if is_lost(*give_up_at) => self.start_dialog(*asked_s),
            InDialog::Live { refresh: Some(refresh), .. } if is_lost(refresh.give_up_at) => {
                self.refresh_dialog(refresh.asked_s);
            }
            InDialog::Trying { .. } => {}
            InDialog::Live { .. } | InDialog::Closing { .. } | InDialog::Backoff { .. } | InDialog::None => {}
        }
    }
}

fn presence_event() -> Event {
    Event { package: Token::new("presence").expect("letters are token characters"), id: None }
}

fn status_of(answer: &Answer) -> u16 {
    match answer {
        Answer::Response(response) => response.status.code(),
        Answer::Timeout => 408,
        Answer::Unreachable => 503,
    }
}

/// Content-Language, if it names one language.
fn language_of(request: &Request) -> Option<&str> {
    let language = request.headers.get(&HeaderName::ContentLanguage).and_then(HeaderValue::as_str)?;
    Some(language.trim()).filter(|language| is_language_tag(language))
}

/// The document of a NOTIFY, if it has a body.
fn read_body(request: &Request) -> Result<Option<Document>, Status> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let content_type = request.headers.content_type().map_err(|_| Status::BAD_REQUEST)?;
    let is_pidf = content_type.as_ref().is_some_and(|kind: &MediaType| kind.is("application", "pidf+xml"));
    if !is_pidf {
        return Err(Status::UNSUPPORTED_MEDIA_TYPE);
    }
    Document::read(&request.body).map(Some).map_err(|_| Status::BAD_REQUEST)
}
