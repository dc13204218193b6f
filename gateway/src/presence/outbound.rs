//! The SIP user watches the XMPP user: her SUBSCRIBE asks him once, his presence becomes NOTIFY in each of her dialogs
//! (RFC 8048, sections 5.3 and 6.2; RFC 6665, section 4.2).
//!
//! SIP cannot say "remove my authorisation": the end of a dialog is a logout, and the authorisation stays until he
//! cancels it, the operator removes it, or she has not come back for a month.

use causeway_shared::xmpp::stanza_error::{ErrorType, StanzaCondition};
use causeway_sip::dialog::{DialogFault, InDialogFault, NotifierDialog};
use causeway_sip::field::{CallId, SubscriptionState, TerminationReason, Token};
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::Status;

use super::record::{Ending, InDialog, InFlight, MAX_DIALOGS, MAX_RESOURCES, OutAuthorisation, OutDialog};
use super::refresh::{ASK_AGAIN_MS, COOL_DOWN_MS, FETCH_PATIENCE_MS, NOTIFY_PATIENCE_MS};
use super::verdict::PairVerdict;
use super::{Answer, PairOutput, Step};
use crate::body::pidf;
use crate::translate::presence::{PresenceKind, PresenceStanza, ResourcePresence, common_language, resources_to_pidf};

/// One NOTIFY with a document per dialog in this time (RFC 3856, section 6.10).
const PACE_MS: u64 = 5_000;
/// What SIP takes an absent Expires for (RFC 3856, section 6.4), and below which a short one may be refused.
const DEFAULT_EXPIRES_S: u32 = 3_600;
/// When a user with too many dialogs may try again, in seconds.
const RETRY_AFTER_DIALOGS: u32 = 60;
/// When to try again after an error that says neither no nor later, in seconds.
const RETRY_AFTER_ERROR: u32 = 3_600;

impl Step<'_, '_> {
    /// A SUBSCRIBE from the pool: a new dialog, a refresh, a fetch, or the end of a dialog.
    pub(super) fn subscribe_received(&mut self, request: &Request) {
        let is_inside = request.headers.to().is_ok_and(|to| to.tag().is_some());
        let answer = if is_inside { self.subscribe_inside(request) } else { self.subscribe_outside(request) };
        if let Err(response) = answer {
            self.out.push(PairOutput::Respond(response));
        }
    }

    fn subscribe_inside(&mut self, request: &Request) -> Result<(), Response> {
        let dialogs = &mut self.pair.outbound.dialogs;
        let no_dialog = || Response::to(request, Status::NO_SUCH_DIALOG);
        let index =
            dialogs.iter().position(|watcher| watcher.dialog.dialog.owns(&request.headers)).ok_or_else(no_dialog)?;
        let expires = self.granted(request)?;
        let watcher = self.pair.outbound.dialogs.get_mut(index).ok_or_else(no_dialog)?;
        watcher.dialog.dialog.accept(request).map_err(|fault| match fault {
            InDialogFault::OtherDialog => no_dialog(),
            InDialogFault::OldCSeq => Response::to(request, Status::SERVER_ERROR),
        })?;
        watcher.dialog.expires = expires;
        watcher.expires_at = self.context.now_ms + u64::from(expires) * 1000;
        // What began as a fetch is a subscription from now on.
        watcher.fetch_until = None;
        let response = watcher.dialog.ok(request, self.context.contact);
        self.out.push(PairOutput::Respond(response));
        self.pair.outbound.last_seen_ms = self.now();
        if expires == 0 {
            self.end_dialog(index, &Ending::plain(TerminationReason::Timeout));
        } else {
            self.notify_state(index);
            self.ask_again();
        }
        Ok(())
    }

    fn subscribe_outside(&mut self, request: &Request) -> Result<(), Response> {
        let refuse = |status| Response::to(request, status);
        let headers = &request.headers;
        let is_presence = headers.event().is_ok_and(|event| event.package.as_str().eq_ignore_ascii_case("presence"));
        if !is_presence {
            let allowed = HeaderValue::from_static("presence");
            return Err(refuse(Status::BAD_EVENT).with(HeaderName::AllowEvents, allowed));
        }
        let accept = headers.accept().map_err(|_| refuse(Status::BAD_REQUEST))?;
        if !accept.is_empty() && !accept.iter().any(|range| range.accepts("application", "pidf+xml")) {
            return Err(refuse(Status::NOT_ACCEPTABLE));
        }
        let expires = self.granted(request)?;
        let is_refused = self.pair.outbound.cool_down_until.is_some_and(|until| until > self.now());
        if is_refused && !self.pair.is_added() {
            self.verdict(PairVerdict::CoolDown);
            return Err(refuse(Status::FORBIDDEN));
        }
        if self.pair.outbound.dialogs.len() >= MAX_DIALOGS {
            self.verdict(PairVerdict::TooManyDialogs);
            return Err(
                refuse(Status::SERVER_ERROR).with(HeaderName::RetryAfter, HeaderValue::from(RETRY_AFTER_DIALOGS))
            );
        }
        let dialog = NotifierDialog::from_subscribe(request, self.tag(), expires).map_err(|fault| match fault {
            DialogFault::Field(_) | DialogFault::Tag | DialogFault::Contact | DialogFault::RouteSet => {
                refuse(Status::BAD_REQUEST)
            }
        })?;
        let response = dialog.ok(request, self.context.contact);
        let response = response.with(HeaderName::AllowEvents, HeaderValue::from_static("presence"));
        self.out.push(PairOutput::Respond(response));
        let now = self.now();
        self.pair.outbound.dialogs.push(OutDialog {
            dialog,
            expires_at: now + u64::from(expires) * 1000,
            is_dirty: false,
            paced_until: now,
            in_flight: None,
            fetch_until: None,
        });
        let index = self.pair.outbound.dialogs.len() - 1;
        if expires == 0 {
            self.fetch(index);
        } else {
            self.watch(index);
        }
        Ok(())
    }

    /// The time granted: what was asked, within our bounds (RFC 6665, section 4.2.1.1).
    fn granted(&self, request: &Request) -> Result<u32, Response> {
        let asked = request.headers.expires().map_err(|_| Response::to(request, Status::BAD_REQUEST))?;
        let asked = asked.unwrap_or(DEFAULT_EXPIRES_S);
        let least = self.context.settings.min_expires_s;
        if asked > 0 && asked < least && asked < DEFAULT_EXPIRES_S {
            let response = Response::to(request, Status::INTERVAL_TOO_BRIEF);
            return Err(response.with(HeaderName::MinExpires, HeaderValue::from(least)));
        }
        Ok(asked.min(self.context.settings.max_expires_s.max(1)))
    }

    /// A new subscription: tell the state at once, and ask the XMPP user if he was not asked (RFC 8048, section 5.3.1).
    fn watch(&mut self, index: usize) {
        let now = self.now();
        self.pair.outbound.last_seen_ms = now;
        self.notify_state(index);
        match self.pair.outbound.authorisation {
            OutAuthorisation::None => {
                let outbound = &mut self.pair.outbound;
                outbound.authorisation = OutAuthorisation::PendingOut;
                outbound.since_ms = now;
                outbound.attempts = 0;
                outbound.cool_down_until = None;
                self.ask_contact();
            }
            OutAuthorisation::PendingOut => self.ask_again(),
            OutAuthorisation::To if self.pair.outbound.resources.is_empty() => self.say(PresenceKind::Probe),
            OutAuthorisation::To => {}
        }
        self.release_held();
    }

    /// She still wants to watch him: a question without an answer is repeated, but not more than once a day (RFC 6121,
    /// section 3.1.2).
    fn ask_again(&mut self) {
        let outbound = &self.pair.outbound;
        if outbound.authorisation == OutAuthorisation::PendingOut && outbound.asked_at + ASK_AGAIN_MS <= self.now() {
            self.ask_contact();
        }
    }

    /// Sends `subscribe`.
    pub(super) fn ask_contact(&mut self) {
        self.pair.outbound.asked_at = self.now();
        self.pair.outbound.retry_at = None;
        self.say(PresenceKind::Subscribe);
    }

    /// A fetch never creates an authorisation, and shows something only to who has one.
    fn fetch(&mut self, index: usize) {
        let until = self.now() + FETCH_PATIENCE_MS;
        let is_open =
            self.pair.outbound.authorisation == OutAuthorisation::To && self.pair.outbound.resources.is_empty();
        if let Some(watcher) = self.pair.outbound.dialogs.get_mut(index) {
            watcher.fetch_until = Some(if is_open { until } else { 0 });
            watcher.expires_at = until + FETCH_PATIENCE_MS;
        }
        if is_open {
            self.say(PresenceKind::Probe);
        } else {
            self.answer_fetches(|watcher| watcher.fetch_until == Some(0));
        }
    }

    /// Answers the fetches that are picked with what is known.
    pub(super) fn answer_fetches(&mut self, pick: impl Fn(&OutDialog) -> bool) {
        while let Some(index) = self.pair.outbound.dialogs.iter().position(&pick) {
            let body = self.document(self.pair.outbound.authorisation == OutAuthorisation::To);
            let watcher = self.pair.outbound.dialogs.remove(index);
            self.last_notify(watcher, &Ending::plain(TerminationReason::Timeout), body);
        }
    }

    /// The document of all his devices; `None` if it may not be seen or nothing is known.
    fn document(&self, is_allowed: bool) -> Option<Body> {
        let resources = &self.pair.outbound.resources;
        (is_allowed && !resources.is_empty()).then(|| self.body_of(resources))
    }

    fn body_of(&self, resources: &[ResourcePresence]) -> Body {
        Body {
            text: resources_to_pidf(self.remote(), resources, self.context.settings.pidf).write(),
            language: common_language(resources).and_then(|lang| HeaderValue::new(lang.to_owned()).ok()),
        }
    }

    /// Tells one dialog the present state, now.
    fn notify_state(&mut self, index: usize) {
        let now = self.now();
        let (authorisation, body) = match self.pair.outbound.authorisation {
            OutAuthorisation::To => (OutAuthorisation::To, self.document(true)),
            other @ (OutAuthorisation::None | OutAuthorisation::PendingOut) => (other, None),
        };
        let Some(watcher) = self.pair.outbound.dialogs.get_mut(index) else { return };
        let left = u32::try_from(watcher.expires_at.saturating_sub(now) / 1000).unwrap_or(u32::MAX);
        let state = match authorisation {
            OutAuthorisation::To => SubscriptionState::active(left),
            OutAuthorisation::None | OutAuthorisation::PendingOut => SubscriptionState::pending(left),
        };
        watcher.is_dirty = false;
        if body.is_some() {
            watcher.paced_until = now + PACE_MS;
        }
        let request = notify_request(&mut watcher.dialog, &state, body, self.context);
        watcher.in_flight =
            Some(InFlight { cseq: watcher.dialog.dialog.local_cseq, resend_at: now + NOTIFY_PATIENCE_MS });
        let next_hop = watcher.dialog.dialog.next_hop().clone();
        self.out.push(PairOutput::Notify { request, next_hop });
    }

    /// The last NOTIFY of a dialog that is already out of the record.
    fn last_notify(&mut self, mut watcher: OutDialog, ending: &Ending, body: Option<Body>) {
        let request = notify_request(&mut watcher.dialog, &ending.state(), body, self.context);
        let next_hop = watcher.dialog.dialog.next_hop().clone();
        self.out.push(PairOutput::Notify { request, next_hop });
    }

    /// Notifies every dialog whose state is old and whose time has come; the end of each step.
    pub(super) fn notify_what_changed(&mut self) {
        let now = self.now();
        let is_ready = |watcher: &OutDialog| {
            watcher.is_dirty
                && watcher.in_flight.is_none()
                && watcher.fetch_until.is_none()
                && watcher.paced_until <= now
        };
        while let Some(index) = self.pair.outbound.dialogs.iter().position(is_ready) {
            self.notify_state(index);
        }
        if self.pair.outbound.dialogs.iter().all(|watcher| !watcher.is_dirty) {
            self.forget_gone();
        }
    }

    /// A device that went away has been shown as closed: it is forgotten. The last one stays, closed, as the proof that
    /// the state is known.
    fn forget_gone(&mut self) {
        let resources = &mut self.pair.outbound.resources;
        let last_gone = resources.iter().rposition(|resource| !resource.available);
        let any_available = resources.iter().any(|resource| resource.available);
        let mut index = 0;
        resources.retain(|resource| {
            let is_kept = resource.available || (!any_available && Some(index) == last_gone);
            index += 1;
            is_kept
        });
    }

    fn touch_all(&mut self, is_urgent: bool) {
        for watcher in &mut self.pair.outbound.dialogs {
            watcher.is_dirty = true;
            if is_urgent {
                watcher.paced_until = self.context.now_ms;
            }
        }
    }

    /// `subscribed` (RFC 6121, appendix A.3.3): only an answer to a question changes anything.
    pub(super) fn contact_approved(&mut self) {
        match self.pair.outbound.authorisation {
            OutAuthorisation::PendingOut => {
                let outbound = &mut self.pair.outbound;
                outbound.authorisation = OutAuthorisation::To;
                outbound.since_ms = self.context.now_ms;
                outbound.retry_at = None;
                outbound.attempts = 0;
                self.touch_all(true);
            }
            OutAuthorisation::None | OutAuthorisation::To => {}
        }
    }

    /// `unsubscribed`.
    pub(super) fn contact_refused(&mut self) {
        match self.pair.outbound.authorisation {
            OutAuthorisation::PendingOut | OutAuthorisation::To => {
                self.verdict(PairVerdict::ContactRefused { condition: None });
                self.delete_outbound(&Ending::plain(TerminationReason::Rejected));
                self.pair.outbound.cool_down_until = Some(self.now() + COOL_DOWN_MS);
            }
            OutAuthorisation::None => {}
        }
    }

    /// An error of the XMPP side counts as the answer to our `subscribe`, if that is open. Any other changes nothing: his
    /// server will probe.
    pub(super) fn contact_error(&mut self, stanza: &PresenceStanza) {
        let Some(error) = &stanza.error else { return };
        if self.pair.outbound.authorisation == OutAuthorisation::PendingOut {
            self.subscribe_failed(error.condition, error.kind);
        }
    }

    /// An error instead of an answer to our `subscribe`.
    pub(super) fn subscribe_failed(&mut self, condition: StanzaCondition, kind: ErrorType) {
        if self.pair.outbound.authorisation != OutAuthorisation::PendingOut {
            return;
        }
        let will_pass = kind == ErrorType::Wait
            || matches!(
                condition,
                StanzaCondition::RemoteServerTimeout
                    | StanzaCondition::ResourceConstraint
                    | StanzaCondition::RecipientUnavailable
            );
        let is_refusal = matches!(
            condition,
            StanzaCondition::Forbidden
                | StanzaCondition::NotAllowed
                | StanzaCondition::NotAuthorized
                | StanzaCondition::PolicyViolation
        );
        let ending = if is_unknown_contact(condition) {
            Ending::no_resource()
        } else if will_pass {
            return self.ask_later();
        } else if is_refusal {
            Ending::plain(TerminationReason::Rejected)
        } else {
            Ending { reason: TerminationReason::Probation, retry_after: Some(RETRY_AFTER_ERROR) }
        };
        self.verdict(PairVerdict::ContactRefused { condition: Some(condition) });
        self.delete_outbound(&ending);
        if is_refusal {
            self.pair.outbound.cool_down_until = Some(self.now() + COOL_DOWN_MS);
        }
    }

    /// Ends the authorisation and every dialog. Under an unverified partner it was also what let him watch her.
    pub(super) fn delete_outbound(&mut self, ending: &Ending) {
        self.end_all_dialogs(ending);
        let outbound = &mut self.pair.outbound;
        outbound.authorisation = OutAuthorisation::None;
        outbound.since_ms = self.context.now_ms;
        outbound.resources.clear();
        (outbound.retry_at, outbound.stale_at, outbound.attempts) = (None, None, 0);
        self.pair.owed.retain(|owed| owed.kind != PresenceKind::Subscribe);
        if self.is_unverified() {
            self.revoke_inbound();
        }
    }

    pub(super) fn end_all_dialogs(&mut self, ending: &Ending) {
        for watcher in std::mem::take(&mut self.pair.outbound.dialogs) {
            self.last_notify(watcher, ending, None);
        }
    }

    /// She logged out, or her dialog died: the authorisation stays (RFC 8048, section 5.3.3).
    pub(super) fn end_dialog(&mut self, index: usize, ending: &Ending) {
        if index >= self.pair.outbound.dialogs.len() {
            return;
        }
        let watcher = self.pair.outbound.dialogs.remove(index);
        let is_allowed = self.pair.outbound.authorisation == OutAuthorisation::To;
        let body = is_allowed.then(|| self.closed_document()).flatten();
        self.last_notify(watcher, ending, body);
        self.gone_if_last();
    }

    fn closed_document(&self) -> Option<Body> {
        let closed = |resource: &ResourcePresence| ResourcePresence {
            resource: resource.resource.clone(),
            since_ms: Some(self.now()),
            ..ResourcePresence::default()
        };
        let closed: Vec<ResourcePresence> = self.pair.outbound.resources.iter().map(closed).collect();
        (!closed.is_empty()).then(|| self.body_of(&closed))
    }

    /// With her last dialog she is gone, unless our own subscription knows better.
    fn gone_if_last(&mut self) {
        let is_known = matches!(self.pair.inbound.dialog, InDialog::Live { is_active: true, .. });
        if self.pair.outbound.dialogs.is_empty() && !is_known && self.pair.is_watcher() {
            self.hide();
        }
    }

    /// The final answer to a NOTIFY of ours (RFC 6665, section 4.2.2).
    pub(super) fn notify_answered(&mut self, call_id: &CallId, local_tag: &Token, cseq: u32, answer: &Answer) {
        let is_it = |watcher: &OutDialog| {
            let dialog = &watcher.dialog.dialog;
            dialog.call_id == *call_id
                && dialog.local_tag == *local_tag
                && watcher.in_flight.as_ref().is_some_and(|in_flight| in_flight.cseq == cseq)
        };
        let Some(index) = self.pair.outbound.dialogs.iter().position(is_it) else { return };
        if let Some(watcher) = self.pair.outbound.dialogs.get_mut(index) {
            watcher.in_flight = None;
        }
        if ends_dialog(answer) {
            self.pair.outbound.dialogs.remove(index);
            self.gone_if_last();
        }
    }

    /// Presence of the XMPP user, or of one of his devices; from nobody whom she does not watch (RFC 6121, section 4.4.2).
    pub(super) fn contact_presence(&mut self, stanza: &PresenceStanza) {
        if self.pair.outbound.authorisation != OutAuthorisation::To {
            return;
        }
        self.pair.outbound.stale_at = None;
        let mut presence = stanza.presence.clone();
        presence.since_ms = presence.since_ms.or(Some(self.now()));
        let has_changed = if presence.available || !presence.resource.is_empty() {
            self.update_resource(presence)
        } else {
            self.close_all(presence)
        };
        if has_changed {
            self.touch_all(false);
        }
        self.answer_fetches(|watcher| watcher.fetch_until.is_some());
    }

    fn update_resource(&mut self, presence: ResourcePresence) -> bool {
        let resources = &mut self.pair.outbound.resources;
        if let Some(known) = resources.iter_mut().find(|known| known.resource == presence.resource) {
            let has_changed = ResourcePresence { since_ms: presence.since_ms, ..known.clone() } != presence;
            if has_changed {
                *known = presence;
            }
            return has_changed;
        }
        if !presence.available && !resources.is_empty() {
            return false;
        }
        if resources.len() >= MAX_RESOURCES {
            let oldest = resources.iter().enumerate().min_by_key(|(_, known)| (known.available, known.since_ms));
            if let Some(index) = oldest.map(|(index, _)| index) {
                resources.remove(index);
            }
        }
        resources.push(presence);
        true
    }

    /// `unavailable` from his bare address is true of all devices (RFC 6121, section 4.5.4).
    fn close_all(&mut self, presence: ResourcePresence) -> bool {
        let resources = &mut self.pair.outbound.resources;
        if resources.is_empty() {
            resources.push(presence);
            return true;
        }
        let mut has_changed = false;
        for resource in resources.iter_mut().filter(|resource| resource.available) {
            let name = std::mem::take(&mut resource.resource);
            *resource = ResourcePresence { resource: name, ..presence.clone() };
            has_changed = true;
        }
        has_changed
    }

    /// No stream to his domain for too long.
    pub(super) fn contact_vanished(&mut self) {
        let gone = ResourcePresence { since_ms: Some(self.now()), ..ResourcePresence::default() };
        if !self.pair.outbound.resources.is_empty() && self.close_all(gone) {
            self.touch_all(false);
        }
    }
}

/// Whether an error says that there is no such contact.
fn is_unknown_contact(condition: StanzaCondition) -> bool {
    matches!(
        condition,
        StanzaCondition::ItemNotFound
            | StanzaCondition::Gone
            | StanzaCondition::JidMalformed
            | StanzaCondition::RemoteServerNotFound
    )
}

/// The body of a NOTIFY, and its language if it has only one.
struct Body {
    text: String,
    language: Option<HeaderValue>,
}

/// Whether the failure of a NOTIFY ends the subscription.
fn ends_dialog(answer: &Answer) -> bool {
    match answer {
        Answer::Timeout => true,
        // Another try follows with the next change or refresh.
        Answer::Unreachable => false,
        Answer::Response(response) => {
            matches!(response.status.code(), 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
        }
    }
}

fn notify_request(
    dialog: &mut NotifierDialog,
    state: &SubscriptionState,
    body: Option<Body>,
    context: &super::PairContext<'_>,
) -> Request {
    let request = dialog.notify(state, context.contact);
    match body {
        Some(body) => {
            let request = match body.language {
                Some(language) => request.with(HeaderName::ContentLanguage, language),
                None => request,
            };
            request.with_body(HeaderValue::from_static(pidf::CONTENT_TYPE), body.text)
        }
        None => request,
    }
}
