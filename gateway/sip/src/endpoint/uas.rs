//! What happens to a request before the transaction user sees it (RFC 3261 sections 8.2, 9.2, 11.2, 18.2 and 22).
//!
//! The order is: who asks, which transaction, is it a loop, the method, the headers. OPTIONS is answered here.

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use crate::dialog::DialogFault;
use crate::endpoint::counts::{Kind, Role};
use crate::endpoint::in_dialog::SESSION_ALLOW;
use crate::endpoint::server::{ServerEntry, ServerMachine, reply_destination, server_key};
use crate::endpoint::{Endpoint, Event, Output, SendTag, ServerTransaction, print};
use crate::field::{MediaType, NameAddr, ViaRef};
use crate::grammar;
use crate::header::{HeaderName, HeaderValue, Headers};
use crate::limits::{DRAIN_RETRY_AFTER, MAX_STRANGER_ANSWERS, OVERLOAD_RETRY_AFTER};
use crate::message::{Request, Response};
use crate::method::{Method, Status};
use crate::multipart;
use crate::parse::{ParseError, ParseFault};
use crate::target::Source;
use crate::transaction::{invite_server, server};
use crate::uri::Scheme;

/// Why the endpoint itself answered or dropped something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It comes from no configured peer: 403, or silence for what does not parse.
    #[error("the sender is no configured peer")]
    Stranger,
    /// It does not parse: the status of the fault, if an answer is possible.
    #[error("{0}")]
    Malformed(ParseFault),
    /// Our own Via is in it: 482.
    #[error("the request has been here before")]
    Loop,
    /// Max-Forwards is 0: 483.
    #[error("the request has no hops left")]
    TooManyHops,
    /// A method we know and do not serve: 405, or 501 for one we do not know.
    #[error("the method {0} is not served")]
    Method(Method),
    /// The scheme of Request-URI or To: 416.
    #[error("the URI scheme is not served")]
    Scheme,
    /// Require names what we do not support: 420.
    #[error("a required extension is not supported")]
    Extension,
    /// The event package is unknown or missing: 489.
    #[error("the event package is not served")]
    Event,
    /// A CANCEL without its transaction: 481.
    #[error("there is nothing to cancel")]
    NothingToCancel,
    /// Too many transactions: 503.
    #[error("too many transactions")]
    Overload,
    /// Something new while the gateway stops: 503.
    #[error("the gateway stops")]
    Draining,
    /// A response to nothing that we asked, or not any more: dropped.
    #[error("a response without a transaction")]
    StrayResponse,
    /// The same request under way on another path: 482.
    #[error("the request came on another path too")]
    Merged,
    /// A body of INVITE or UPDATE that we do not read: 415.
    #[error("the body is of a type that is not served")]
    Body,
    /// The session interval is too small: 422.
    #[error("the session interval is too small")]
    SessionInterval,
    /// The headers of an INVITE make no dialog: 400.
    #[error("the INVITE makes no dialog: {0}")]
    Dialog(DialogFault),
    /// A request inside of a session that does not exist: 481.
    #[error("there is no such session")]
    NoSession,
    /// CSeq is lower than the last one: 500.
    #[error("the request is out of order")]
    OutOfOrder,
    /// A request that the session cannot serve just now: 491 or 500.
    #[error("the session is busy with something else")]
    WrongMoment,
    /// An ACK without its transaction: dropped.
    #[error("an ACK without a transaction")]
    StrayAck,
}

/// How many strangers were answered in the second that began then.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    since: Option<Instant>,
    answered: u32,
}

impl Strangers {
    fn may_be_answered(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            *self = Self { since: Some(now), answered: 0 };
        }
        self.answered = self.answered.saturating_add(1);
        self.answered <= MAX_STRANGER_ANSWERS
    }
}

const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const ANY_LANGUAGE: HeaderValue = HeaderValue::from_static("*");
const ALLOW: HeaderValue = HeaderValue::from_static("MESSAGE, SUBSCRIBE, NOTIFY, OPTIONS, CANCEL");

impl Endpoint {
    pub(super) fn receive_request(
        &mut self,
        mut request: Request,
        source: Source,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        stamp_via(&mut request.headers, &source);
        if source.peer.is_none() {
            if !self.strangers.may_be_answered(now) {
                return out.push(Output::Event(Event::Refused { source, refusal: Refusal::Stranger }));
            }
            // The owner is told, who knows how often to say so.
            tracing::debug!(remote = %source.remote, transport = %source.transport, "SIP request from no configured peer");
            return self.refuse_statelessly(&request, source, Status::FORBIDDEN, Refusal::Stranger, out);
        }
        // The parser has made sure that the headers of the key are there.
        let Some(()) = server_key(&mut self.key, &request.method, &request) else {
            return;
        };
        match (self.servers.id_of(&self.key), &request.method) {
            (Some(id), Method::Ack) => self.acknowledged(id, request, now, out),
            (Some(id), _) => self.retransmitted(id, now, out),
            // The ACK of a 2xx is a transaction of its own (RFC 3261 section 17.1.1.3).
            (None, Method::Ack) => {
                if !self.acknowledged_2xx(request, now, out) {
                    out.push(Output::Event(Event::Refused { source, refusal: Refusal::StrayAck }));
                }
            }
            (None, Method::Invite)
                if self.config.sessions.is_some()
                    && !self.has_room_for_invite(&source)
                    && self.session_of(&request.headers).is_none() =>
            {
                self.refuse_statelessly(&request, source, Status::SERVICE_UNAVAILABLE, Refusal::Overload, out);
            }
            (None, _) if self.servers_are_full() => {
                self.refuse_statelessly(&request, source, Status::SERVICE_UNAVAILABLE, Refusal::Overload, out);
            }
            (None, _) if self.draining && begins_something(&request) => {
                self.refuse_statelessly(&request, source, Status::SERVICE_UNAVAILABLE, Refusal::Draining, out);
            }
            (None, _) if self.is_overloaded() && begins_something(&request) => {
                self.refuse_statelessly(&request, source, Status::SERVICE_UNAVAILABLE, Refusal::Overload, out);
            }
            (None, _) => self.begin(request, source, now, out),
        }
    }

    /// A new transaction: refused, answered here, or handed up.
    fn begin(&mut self, mut request: Request, source: Source, now: Instant, out: &mut Vec<Output>) {
        let is_merged = self.merged.look_at(&request.headers);
        self.unwrap_description(&mut request);
        if let Some((refusal, response)) = self.judge(&request, is_merged) {
            self.answer(&request, &source, response, now, out);
            return out.push(Output::Event(Event::Refused { source, refusal }));
        }
        match request.method {
            Method::Options => {
                let response = self.options(&request);
                return self.answer(&request, &source, response, now, out);
            }
            Method::Cancel => return self.cancel(&request, source, now, out),
            _ => {}
        }
        if self.config.sessions.is_some() {
            if let Some(session) = self.session_of(&request.headers) {
                return self.receive_in_session(session, request, source, now, out);
            }
            let has_to_tag = request.headers.get(&HeaderName::To).is_some_and(|to| NameAddr::has_tag(to.as_bytes()));
            match request.method {
                Method::Invite if !has_to_tag => return self.invited(request, source, now, out),
                // Dialogs of subscriptions are the user's; all others are ours (RFC 3261 section 12.2.2).
                Method::Invite | Method::Bye | Method::Update | Method::Info => {
                    return self.turn_away(&request, source, Status::NO_SUCH_DIALOG, Refusal::NoSession, now, out);
                }
                Method::Message if has_to_tag => {
                    return self.turn_away(&request, source, Status::NO_SUCH_DIALOG, Refusal::NoSession, now, out);
                }
                _ => {}
            }
        }
        let transaction = ServerTransaction(self.await_answer(&request, &source, None, now));
        out.push(Output::Event(Event::Request { transaction, request, source }));
    }

    fn turn_away(
        &mut self,
        request: &Request,
        source: Source,
        status: Status,
        refusal: Refusal,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        self.answer(request, &source, Response::to(request, status), now, out);
        out.push(Output::Event(Event::Refused { source, refusal }));
    }

    /// The general checks in the order of RFC 3261 section 8.2.
    fn judge(&self, request: &Request, is_merged: bool) -> Option<(Refusal, Response)> {
        let refuse = |status, refusal| Some((refusal, Response::to(request, status)));
        if self.is_looped(&request.headers) {
            return refuse(Status::LOOP_DETECTED, Refusal::Loop);
        }
        // The final target of an OPTIONS answers it whatever Max-Forwards says (RFC 3261 section 11).
        if request.method != Method::Options && request.headers.max_forwards() == Ok(Some(0)) {
            return refuse(Status::TOO_MANY_HOPS, Refusal::TooManyHops);
        }
        match &request.method {
            Method::Message | Method::Subscribe | Method::Notify | Method::Options | Method::Cancel => {}
            Method::Invite | Method::Bye | Method::Update | Method::Info if self.config.sessions.is_some() => {}
            other => {
                let known = !matches!(other, Method::Other(_));
                let status = if known { Status::METHOD_NOT_ALLOWED } else { Status::NOT_IMPLEMENTED };
                let response = Response::to(request, status).with(HeaderName::Allow, self.allow());
                return Some((Refusal::Method(other.clone()), response));
            }
        }
        let to = request.headers.to().map(|to| to.uri.scheme());
        if !matches!(request.uri.scheme(), Scheme::Sip | Scheme::Im | Scheme::Pres) || to == Ok(Scheme::Sips) {
            return refuse(Status::UNSUPPORTED_URI_SCHEME, Refusal::Scheme);
        }
        // Require in a CANCEL must be ignored (RFC 3261 section 8.2.2.3).
        if request.method != Method::Cancel
            && let Some(unsupported) = self.unsupported(&request.headers)
        {
            let response = Response::to(request, Status::BAD_EXTENSION).with(HeaderName::Unsupported, unsupported);
            return Some((Refusal::Extension, response));
        }
        if request.method != Method::Cancel && is_merged {
            return refuse(Status::LOOP_DETECTED, Refusal::Merged);
        }
        if matches!(request.method, Method::Invite | Method::Update)
            && !request.body.is_empty()
            && !self.reads_body(&request.headers)
        {
            let response = Response::to(request, Status::UNSUPPORTED_MEDIA_TYPE)
                .with(HeaderName::Accept, self.config.accept_in_session())
                .with(HeaderName::AcceptEncoding, IDENTITY);
            return Some((Refusal::Body, response));
        }
        // Linphone compresses what it can, and sends it again as it is after this answer.
        if matches!(request.method, Method::Message | Method::Notify | Method::Info)
            && !request.body.is_empty()
            && !is_plain(&request.headers)
        {
            let response = Response::to(request, Status::UNSUPPORTED_MEDIA_TYPE)
                .with(HeaderName::Accept, self.config.accept())
                .with(HeaderName::AcceptEncoding, IDENTITY);
            return Some((Refusal::Body, response));
        }
        if matches!(request.method, Method::Subscribe | Method::Notify) && !self.serves_event(&request.headers) {
            let allow_events = self.config.allow_events();
            let response = Response::to(request, Status::BAD_EVENT).with(HeaderName::AllowEvents, allow_events);
            return Some((Refusal::Event, response));
        }
        None
    }

    /// Whether we have put our Via on the request before. Nobody rewrites a Via of ours, so its exact bytes tell whether
    /// a closer look is needed.
    fn is_looped(&self, headers: &Headers) -> bool {
        headers.all(&HeaderName::Via).any(|value| {
            self.config.sent_by.iter().any(|sent_by| {
                memchr::memmem::find(value.as_bytes(), sent_by.host.as_bytes()).is_some()
                    && grammar::split_list(value.as_bytes())
                        .filter_map(Result::ok)
                        .filter_map(|element| ViaRef::parse(element).ok())
                        .any(|via| sent_by.is(via.host(), via.port))
            })
        })
    }

    fn unsupported(&self, headers: &Headers) -> Option<HeaderValue> {
        if !headers.has(&HeaderName::Require) {
            return None;
        }
        let mut unsupported = BytesMut::new();
        for tag in headers.tokens(&HeaderName::Require) {
            if !self.config.supports(&tag) {
                if !unsupported.is_empty() {
                    unsupported.put_slice(b", ");
                }
                unsupported.put_slice(&tag);
            }
        }
        (!unsupported.is_empty()).then(|| HeaderValue::unchecked(unsupported.freeze()))
    }

    fn serves_event(&self, headers: &Headers) -> bool {
        headers
            .event()
            .is_ok_and(|event| self.config.event_packages.iter().any(|known| known == event.package.as_str()))
    }

    /// Whether the body of an INVITE or UPDATE is of a type that the user reads, and not encoded.
    fn reads_body(&self, headers: &Headers) -> bool {
        let Ok(Some(media)) = headers.content_type() else {
            return false;
        };
        is_plain(headers) && self.is_read(&media)
    }

    /// Puts the description of a session in the place of the multipart body around it, so that its user finds it there.
    fn unwrap_description(&self, request: &mut Request) {
        if self.config.sessions.is_none() || !matches!(request.method, Method::Invite | Method::Update) {
            return;
        }
        let Ok(Some(media)) = request.headers.content_type() else {
            return;
        };
        if !media.kind().eq_ignore_ascii_case("multipart") || self.is_read(&media) {
            return;
        }
        if let Some(part) = multipart::find(&media, &request.body, &|media| self.is_read(media)) {
            request.headers.set(HeaderName::ContentType, part.content_type);
            request.body = part.body;
        }
    }

    fn is_read(&self, media: &MediaType) -> bool {
        let is = |known: &String| known.split_once('/').is_some_and(|(kind, subtype)| media.is(kind, subtype));
        self.config.session_bodies().iter().any(is)
    }

    const fn allow(&self) -> HeaderValue {
        if self.config.sessions.is_some() { SESSION_ALLOW } else { ALLOW }
    }

    /// The answer to OPTIONS (RFC 3261 section 11.2); pools use it to see whether we are alive.
    fn options(&self, request: &Request) -> Response {
        let wait = match (self.draining, self.is_overloaded()) {
            (true, _) => Some(DRAIN_RETRY_AFTER),
            (false, true) => Some(OVERLOAD_RETRY_AFTER),
            (false, false) => None,
        };
        let response = match wait {
            Some(wait) => {
                Response::to(request, Status::SERVICE_UNAVAILABLE).with(HeaderName::RetryAfter, seconds(wait))
            }
            None => Response::to(request, Status::OK),
        };
        response
            .with(HeaderName::Allow, self.allow())
            .with(HeaderName::Accept, self.config.accept())
            .with(HeaderName::AcceptEncoding, IDENTITY)
            .with(HeaderName::AcceptLanguage, ANY_LANGUAGE)
            .with(HeaderName::Supported, self.config.supported())
            .with(HeaderName::AllowEvents, self.config.allow_events())
    }

    /// A CANCEL ends an INVITE that was not answered yet, and has no effect on anything else; it is answered either way
    /// (RFC 3261 section 9.2).
    fn cancel(&mut self, request: &Request, source: Source, now: Instant, out: &mut Vec<Output>) {
        let mut key = std::mem::take(&mut self.key);
        let cancelled =
            [Method::Invite, Method::Message, Method::Subscribe, Method::Notify, Method::Update, Method::Info]
                .iter()
                .find_map(|method| server_key(&mut key, method, request).and_then(|()| self.servers.id_of(&key)));
        // The answer belongs to the transaction of the CANCEL itself.
        let _ = server_key(&mut key, &request.method, request);
        self.key = key;
        let Some(id) = cancelled else {
            return self.turn_away(request, source, Status::NO_SUCH_DIALOG, Refusal::NothingToCancel, now, out);
        };
        let (invite, is_answered) = self.servers.get(id).map_or((None, true), |entry| match &entry.machine {
            ServerMachine::Invite(machine) => (entry.session, !machine.is_proceeding()),
            ServerMachine::NonInvite(_) => (None, true),
        });
        // Its To tag should be that of the answer to the INVITE, whether that was given already or not.
        let dialog = invite.and_then(|session| self.sessions.get(session)).and_then(|session| session.dialog.as_ref());
        let ok = Response::to(request, Status::OK);
        let ok = match dialog {
            Some(dialog) => ok.with_to_tag(&dialog.local_tag),
            None => ok,
        };
        self.answer(request, &source, ok, now, out);
        if let Some(session) = invite.filter(|_| !is_answered) {
            self.cancelled(session, now, out);
        }
    }

    /// Answers a new request at once; the transaction stays as long as retransmissions or an ACK may come.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        source: &Source,
        response: Response,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let reliable = source.transport.is_reliable();
        let response = response.with_to_tag(&self.ids.token());
        let bytes = print(&mut self.scratch, |out| response.write(out));
        let to = reply_destination(&request.headers, source);
        out.push(Output::Send { to: to.clone(), bytes: bytes.clone(), tag: SendTag::NONE });
        let kind = Kind::of(&request.method);
        self.counts.answered(Role::Server, kind, response.status);
        let machine = if request.method == Method::Invite {
            ServerMachine::Invite(invite_server::InviteServer::refused(reliable, now))
        } else {
            let mut machine = server::Server::new(reliable, now);
            machine.handle(server::Input::Respond(response.status), now);
            ServerMachine::NonInvite(machine)
        };
        if !machine.is_terminated() {
            let deadline = machine.deadline();
            let last = Some(bytes);
            let (trying, merged, session, unanswered) = (None, None, None, false);
            let entry = ServerEntry { machine, to, trying, last, merged, session, unanswered, kind };
            self.servers.insert(&self.key, entry, deadline);
        }
    }

    /// An ACK with the branch of an INVITE.
    fn acknowledged(&mut self, id: u64, request: Request, now: Instant, out: &mut Vec<Output>) {
        let passed_up = match self.servers.get_mut(id).map(|entry| &mut entry.machine) {
            Some(ServerMachine::Invite(machine)) => machine.handle(invite_server::Input::Ack, now),
            Some(ServerMachine::NonInvite(_)) | None => None,
        };
        self.settle_server(id);
        // COMPAT: the ACK of a 2xx should have a branch of its own, but some use that of the INVITE.
        if passed_up == Some(invite_server::Output::PassAckUp) {
            self.acknowledged_2xx(request, now, out);
        }
    }

    /// Answers without remembering: for strangers and when memory is full.
    fn refuse_statelessly(
        &mut self,
        request: &Request,
        source: Source,
        status: Status,
        refusal: Refusal,
        out: &mut Vec<Output>,
    ) {
        if request.method != Method::Ack {
            let mut response = Response::to(request, status).with_to_tag(&self.ids.token());
            let wait = match refusal {
                Refusal::Overload => Some(OVERLOAD_RETRY_AFTER),
                Refusal::Draining => Some(DRAIN_RETRY_AFTER),
                _ => None,
            };
            wait.into_iter().for_each(|wait| response.headers.push(HeaderName::RetryAfter, seconds(wait)));
            let bytes = print(&mut self.scratch, |out| response.write(out));
            let to = reply_destination(&request.headers, &source);
            out.push(Output::Send { to, bytes, tag: SendTag::NONE });
        }
        out.push(Output::Event(Event::Refused { source, refusal }));
    }

    /// Answers what does not parse, if it can be answered and a configured peer sent it.
    pub(super) fn refuse_malformed(&mut self, error: &ParseError, source: Source, out: &mut Vec<Output>) {
        if let Some(answer) = error.answer.as_deref().filter(|_| source.peer.is_some()) {
            let mut answer = answer.clone();
            stamp_via(&mut answer.headers, &source);
            let to = reply_destination(&answer.headers, &source);
            let answer = answer.with_to_tag(&self.ids.token());
            let bytes = print(&mut self.scratch, |out| answer.write(out));
            out.push(Output::Send { to, bytes, tag: SendTag::NONE });
        }
        let refusal = match source.peer {
            Some(_) => Refusal::Malformed(error.fault.clone()),
            None => Refusal::Stranger,
        };
        out.push(Output::Event(Event::Refused { source, refusal }));
    }
}

/// Whether a request begins something that another gateway may take as well: a message, a session, a subscription.
/// Whether the body is not compressed or otherwise encoded.
fn is_plain(headers: &Headers) -> bool {
    headers.get(&HeaderName::ContentEncoding).is_none_or(|encoding| encoding == &IDENTITY)
}

fn begins_something(request: &Request) -> bool {
    matches!(request.method, Method::Invite | Method::Message | Method::Subscribe)
        && request.headers.get(&HeaderName::To).is_some_and(|to| !NameAddr::has_tag(to.as_bytes()))
}

fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX))
}

/// Writes into the topmost Via where the message came from (RFC 3261 section 18.2.1).
fn stamp_via(headers: &mut Headers, source: &Source) {
    let Some(value) = headers.get(&HeaderName::Via) else {
        return;
    };
    let text = value.as_bytes();
    let Some(Ok(first)) = grammar::split_list(text).next() else {
        return;
    };
    let Some(stamped) = ViaRef::parse(first).ok().and_then(|via| via.stamped(source.remote)) else {
        return;
    };
    let stamped = match grammar::find_outside(text, b',') {
        Ok(Some(comma)) => {
            let mut whole = BytesMut::from(stamped.as_ref());
            whole.put_slice(text.get(comma..).unwrap_or_default());
            whole.freeze()
        }
        Ok(None) | Err(grammar::Unbalanced) => stamped,
    };
    headers.replace_first(&HeaderName::Via, HeaderValue::unchecked(stamped));
}
