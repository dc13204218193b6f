//! SIP requests: where ours go, what comes back, and who sent those that arrive (RFC 3261 sections 8 and 16; RFC 3263
//! section 4.3; RFC 3325).

use causeway_shared::jid::BareJid;
use causeway_shared::link::TraceContext;
use causeway_shared::telemetry::{self, Span, SpanKind};
use causeway_shared::verdict::{Code, Direction, Verdict};
use causeway_sip::endpoint::{Event, Failure, Output, Refusal, ServerTransaction};
use causeway_sip::field::{CallId, Token};
use causeway_sip::header::{HeaderName, HeaderValue};
use causeway_sip::message::{Request, Response};
use causeway_sip::method::{Method, Status};
use causeway_sip::session::SessionId;
use causeway_sip::target::{Source, Target};
use causeway_sip::uri::Uri;

use super::messages::Pager;
use super::pairs::{Origin, PairEvent};
use super::{Engine, Now, Outputs};
use crate::policy::{self, PartnerEntry, RequestRefusal};
use crate::presence::record::PairKey;
use crate::presence::{Answer, PairInput};
use crate::translate::address;

/// Retry-After when the gateway cannot do its work just now, in seconds.
pub(super) const RETRY_AFTER_S: u32 = 5;

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To the pool, to the next target if one fails.
    Pool,
    /// Along a dialog's route.
    Along(Uri),
}

/// What a request of ours is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A partner's message.
    Message(Box<Pager>),
    /// Our subscription.
    Subscribe { pair: PairKey, call_id: CallId, cseq: u32 },
    /// A notification.
    Notify { pair: PairKey, call_id: CallId, local_tag: Token, cseq: u32 },
    /// A partner's message in a session.
    InSession { session: SessionId, pager: Box<Pager> },
    /// Whether an XMPP user writes, in a session.
    Status { pair: PairKey },
    /// Whether a next hop is there.
    Hop(Target),
}

/// A request of ours under way.
#[derive(Debug)]
pub(super) struct Pending {
    purpose: Purpose,
    span: Span,
}

impl Pending {
    /// A message in a session, which goes where the session leads.
    pub(super) fn of_session(session: SessionId, pager: Pager) -> Self {
        let span = request_span(pager.trace, &Method::Message);
        Self { purpose: Purpose::InSession { session, pager: Box::new(pager) }, span }
    }

    /// Whether a next hop is there.
    pub(super) const fn of_hop(target: Target) -> Self {
        Self { purpose: Purpose::Hop(target), span: Span::NONE }
    }

    /// Whether an XMPP user writes, said in a session.
    pub(super) const fn of_status(pair: PairKey) -> Self {
        Self { purpose: Purpose::Status { pair }, span: Span::NONE }
    }
}

impl Engine {
    /// Sends a request. Its end comes back to its purpose.
    pub(super) fn send_request(
        &mut self,
        request: Request,
        route: &Route,
        purpose: Purpose,
        branch: Option<Token>,
        now: Now,
        out: &mut Outputs,
    ) {
        let token = self.next_key();
        let trace = match &purpose {
            Purpose::Message(pager) | Purpose::InSession { pager, .. } => pager.trace,
            Purpose::Subscribe { .. } | Purpose::Notify { .. } | Purpose::Status { .. } | Purpose::Hop(_) => self.cause,
        };
        let span = request_span(trace, &request.method);
        self.requests.insert(token, Pending { purpose, span });
        match route {
            Route::Pool => {
                self.endpoint.request_anywhere(request, token, branch, now.instant, &mut self.sip_out);
            }
            Route::Along(uri) => {
                self.endpoint.request_along(uri, request, token, branch, now.instant, &mut self.sip_out);
            }
        }
        self.drain_sip(now, out);
    }

    /// Takes what the endpoint put out, until it says nothing more.
    pub(super) fn drain_sip(&mut self, now: Now, out: &mut Outputs) {
        while !self.sip_out.is_empty() {
            for output in std::mem::take(&mut self.sip_out) {
                match output {
                    Output::Send { to, bytes, tag } => out.sip.push((to, bytes, tag)),
                    Output::Event(Event::Request { transaction, request, source }) => {
                        self.request_received(transaction, request, &source, now, out);
                    }
                    Output::Event(Event::Response { token, response }) => self.answered(token, response, now, out),
                    Output::Event(Event::Failed { token, failure }) => self.failed(token, failure, now, out),
                    Output::Event(Event::Refused { source, refusal }) => self.refused(&source, &refusal, now, out),
                    Output::Event(Event::Session { session, event }) => self.session_event(session, event, now, out),
                }
            }
        }
    }

    fn answered(&mut self, token: u64, response: Response, now: Now, out: &mut Outputs) {
        let Some(mut pending) = self.requests.remove(&token) else { return };
        note_status(&mut pending.span, response.status);
        drop(pending.span);
        self.request_ended(pending.purpose, Answer::Response(Box::new(response)), now, out);
    }

    fn failed(&mut self, token: u64, failure: Failure, now: Now, out: &mut Outputs) {
        let Some(mut pending) = self.requests.remove(&token) else { return };
        if pending.span.is_recorded() {
            pending.span.fail(&failure.to_string());
        }
        drop(pending.span);
        let answer = match failure {
            Failure::Timeout => Answer::Timeout,
            Failure::Unsent
            | Failure::ConnectionLost
            | Failure::NoTransport
            | Failure::BranchInUse
            | Failure::TooManyTransactions => Answer::Unreachable,
        };
        self.request_ended(pending.purpose, answer, now, out);
    }

    fn request_ended(&mut self, purpose: Purpose, answer: Answer, now: Now, out: &mut Outputs) {
        match purpose {
            Purpose::Message(pager) => self.message_answered(*pager, &answer, now, out),
            Purpose::InSession { session, pager } => self.in_session_answered(session, *pager, &answer, now, out),
            Purpose::Status { pair } => self.status_in_session_answered(&pair, &answer, now),
            Purpose::Hop(target) => self.hop_answered(&target, &answer),
            Purpose::Subscribe { pair, call_id, cseq } => {
                self.pair_event(
                    pair,
                    PairEvent::quiet(PairInput::SubscribeAnswered { call_id, cseq, answer }),
                    now,
                    out,
                );
            }
            Purpose::Notify { pair, call_id, local_tag, cseq } => {
                let input = PairInput::NotifyAnswered { call_id, local_tag, cseq, answer };
                self.pair_event(pair, PairEvent::quiet(input), now, out);
            }
        }
    }

    /// Takes back a request that was not sent.
    pub(super) fn take_purpose(&mut self, token: u64) -> Option<Purpose> {
        self.requests.remove(&token).map(|pending| pending.purpose)
    }

    /// Answers a request.
    pub(super) fn respond(&mut self, transaction: ServerTransaction, response: Response, now: Now, out: &mut Outputs) {
        if !self.asked.is_empty()
            && let Some(mut span) = self.asked.remove(&transaction)
        {
            note_status(&mut span, response.status);
        }
        self.endpoint.respond(transaction, response, now.instant, &mut self.sip_out);
        self.drain_sip(now, out);
    }

    /// 500 with Retry-After: our own trouble.
    pub(super) fn respond_unable(
        &mut self,
        transaction: ServerTransaction,
        request: &Request,
        now: Now,
        out: &mut Outputs,
    ) {
        let response =
            Response::to(request, Status::SERVER_ERROR).with(HeaderName::RetryAfter, HeaderValue::from(RETRY_AFTER_S));
        self.respond(transaction, response, now, out);
    }

    fn request_received(
        &mut self,
        transaction: ServerTransaction,
        request: Request,
        source: &Source,
        now: Now,
        out: &mut Outputs,
    ) {
        self.metrics.request_in(&request.method);
        self.begin_trace(transaction, &request);
        let ends = match &request.method {
            Method::Message => Ends::Outside,
            Method::Subscribe => Ends::Subscription,
            Method::Notify => Ends::Notification,
            // The endpoint lets no other method up.
            _ => return self.respond(transaction, Response::to(&request, Status::METHOD_NOT_ALLOWED), now, out),
        };
        let (pair, partner) = match self.parties(&request, ends) {
            Ok(parties) => parties,
            Err(refusal) => return self.refuse_request(transaction, &request, refusal, source, now, out),
        };
        if let Some(span) = self.asked.get_mut(&transaction) {
            span.set("causeway.partner", partner.primary.as_str().to_owned());
            telemetry::tell_address(span, "causeway.from", pair.local.as_str());
            telemetry::tell_address(span, "causeway.to", pair.remote.as_str());
        }
        let input = match ends {
            Ends::Outside => return self.message_from_sip(transaction, request, &pair, &partner, None, now, out),
            Ends::Subscription => PairInput::Subscribe(Box::new(request.clone())),
            Ends::Notification => PairInput::Notify(Box::new(request.clone())),
        };
        self.pair_event(pair, PairEvent::Step { input, origin: Origin::Request(transaction, request) }, now, out);
    }

    /// A trace begins with a request of the pool, if it is chosen.
    pub(super) fn begin_trace(&mut self, transaction: ServerTransaction, request: &Request) {
        let mut span = Span::root(span_name(&request.method), SpanKind::Server);
        self.cause = span.context();
        if span.is_recorded() {
            span.set("causeway.bytes", i64::try_from(request.body.len()).unwrap_or(i64::MAX));
            self.asked.insert(transaction, span);
        }
    }

    /// The trace of a request that is not answered yet.
    pub(super) fn trace_of(&self, transaction: ServerTransaction) -> TraceContext {
        self.asked.get(&transaction).map(Span::context).unwrap_or_default()
    }

    fn refuse_request(
        &mut self,
        transaction: ServerTransaction,
        request: &Request,
        refusal: RequestRefusal,
        source: &Source,
        now: Now,
        out: &mut Outputs,
    ) {
        Self::note_refusal(request, refusal, source, now, out);
        self.respond(transaction, Response::to(request, refusal.status()), now, out);
    }

    /// Tells operators why a request has no business here.
    pub(super) fn note_refusal(
        request: &Request,
        refusal: RequestRefusal,
        source: &Source,
        now: Now,
        out: &mut Outputs,
    ) {
        let code = match refusal {
            RequestRefusal::NotAPartner => Code::PolicySipNoPartner,
            RequestRefusal::Sips => Code::PolicySips,
            RequestRefusal::Loop => Code::PolicySipLoop,
            RequestRefusal::NotLocal => Code::PolicySipSender,
            RequestRefusal::NotAllowed => Code::PolicyAccess,
        };
        out.verdicts.push(Verdict {
            partner: request.uri.host().to_ascii_lowercase(),
            direction: Direction::Out,
            peer: Some(source.remote),
            at_ms: now.unix_ms,
            ..Verdict::of(code, format!("{} refused: {refusal}", request.method.as_str()))
        });
    }

    /// The SIP user and the XMPP user of a request, if they may talk.
    pub(super) fn parties(&self, request: &Request, ends: Ends) -> Result<(PairKey, PartnerEntry), RequestRefusal> {
        let headers = &request.headers;
        let from = || headers.from().map(|from| from.uri).map_err(|_| RequestRefusal::NotLocal);
        let to = || headers.to().map_err(|_| RequestRefusal::NotAPartner);
        let (user, contact) = match ends {
            Ends::Outside => {
                // A pool that addresses the gateway itself names the user in To (RFC 7572, section 5).
                let contact = if request.uri.user().is_some() { request.uri.clone() } else { to()?.uri };
                (policy::identity(headers, true).ok_or(RequestRefusal::NotLocal)?, contact)
            }
            // Inside a dialog the Request-URI is our Contact.
            Ends::Subscription => {
                let to = to()?;
                let contact = if to.tag().is_some() { to.uri } else { request.uri.clone() };
                (policy::identity(headers, true).ok_or(RequestRefusal::NotLocal)?, contact)
            }
            // The notifier speaks: the presentity is in From, the watcher in To.
            Ends::Notification => (from()?, to()?.uri),
        };
        let local = address::uri_to_bare_jid(&user).map_err(|_| RequestRefusal::NotLocal)?;
        let is_allowed = || self.settings.may_federate(&local);
        let partner = policy::admit_request(&self.settings.domains, Some(&local.domain_name()), &contact, is_allowed)?;
        let remote: BareJid = address::uri_to_bare_jid(&contact).map_err(|_| RequestRefusal::NotAPartner)?;
        Ok((PairKey { local, remote }, partner.clone()))
    }

    fn refused(&mut self, source: &Source, refusal: &Refusal, now: Now, out: &mut Outputs) {
        self.metrics.sip_refused();
        let code = match refusal {
            // Late answers and their ACKs are part of the protocol.
            Refusal::StrayResponse | Refusal::StrayAck | Refusal::NothingToCancel | Refusal::Draining => return,
            Refusal::Stranger => Code::SipStranger,
            Refusal::Malformed(_) | Refusal::Dialog(_) => Code::SipMalformed,
            Refusal::Loop | Refusal::TooManyHops => Code::SipLoop,
            Refusal::Merged => Code::SipMerged,
            Refusal::SessionInterval | Refusal::NoSession | Refusal::OutOfOrder | Refusal::WrongMoment => return,
            Refusal::Method(_) | Refusal::Scheme | Refusal::Extension | Refusal::Event | Refusal::Body => {
                Code::SipNotServed
            }
            Refusal::Overload => Code::SipOverload,
        };
        out.verdicts.push(Verdict {
            peer: Some(source.remote),
            at_ms: now.unix_ms,
            ..Verdict::of(code, refusal.to_string())
        });
    }
}

/// The span of a request of ours, until its final response.
fn request_span(trace: TraceContext, method: &Method) -> Span {
    Span::below(trace, span_name(method), SpanKind::Client)
}

/// A name out of a closed set.
const fn span_name(method: &Method) -> &'static str {
    match method {
        Method::Message => "SIP MESSAGE",
        Method::Subscribe => "SIP SUBSCRIBE",
        Method::Notify => "SIP NOTIFY",
        Method::Invite => "SIP INVITE",
        Method::Info => "SIP INFO",
        Method::Bye => "SIP BYE",
        _ => "SIP request",
    }
}

fn note_status(span: &mut Span, status: Status) {
    if !span.is_recorded() {
        return;
    }
    span.set("sip.status_code", i64::from(status.code()));
    match status.is_success() {
        true => span.succeed(),
        false => span.fail(&format!("SIP {}", status.code())),
    }
}

/// Where a request names its two ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ends {
    /// Outside of dialogs.
    Outside,
    /// A SUBSCRIBE, inside or outside.
    Subscription,
    /// A NOTIFY.
    Notification,
}
