//! All outbound streams: one queue and one stream for each pair of domains (RFC 6120, section 10.1), opened when there
//! is something to say, kept while it is used, and opened again after a pause when it could not be.
//!
//! A stanza that is taken is written to an authenticated stream, or its [`AckHandle`] tells why not: never both, never
//! neither. The pool also asks authoritative servers for inbound streams, by the same resolver and the same policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::Jid;
use causeway_shared::limits::Limits;
use causeway_shared::link::{StanzaKind, TraceContext};
use causeway_shared::xmpp::StreamScope;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::{self, StanzaCondition, StanzaError};
use tokio::sync::{Notify, Semaphore};
use tracing::Instrument as _;

use super::Method;
use super::dialback::Answer;
use super::inbound::at;
use super::negotiation_out::{Failure, Goal, Next};
use super::outbound::{Attained, Attempt, Outbound};
use super::outbox::{BackOff, Outbox, Queued};
use crate::edge::{Edge, fresh_id, gone};
use crate::link::{self, AckHandle, InboundStanza, OutboundStanza};
use crate::resolve::ResolveFault;
use crate::verdict::{Direction, Finding, Rung, Side};

/// Pairs that may have something to say at once; the partners' domains times ours in any sane deployment.
const MAX_LANES: usize = 4096;

/// Verifications under way, all streams together.
const MAX_VERIFICATIONS: usize = 64;

/// A stream that lived shorter than this and broke counts as a failed attempt.
const STABLE: Duration = Duration::from_secs(5);

/// How long a pair without anything to say is remembered after its stream has ended.
const LINGER: Duration = Duration::from_secs(1);

/// All outbound streams.
pub struct Pool {
    edge: Arc<Edge>,
    /// By remote domain, then by local one, so that a stanza's pair is found without making one.
    lanes: Mutex<Lanes>,
    verifications: Semaphore,
}

#[derive(Default)]
struct Lanes {
    by_remote: HashMap<DomainName, HashMap<DomainName, Arc<Lane>>>,
    count: usize,
}

/// The queue of one pair, shared by those who fill it and the task that empties it.
#[derive(Default)]
pub struct Lane {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    outbox: Outbox,
    /// Its task has ended: whoever comes now makes a new lane.
    is_retired: bool,
}

impl Lane {
    /// Takes stanzas from the head of the queue.
    pub fn take(&self, bytes: usize) -> Vec<Queued> {
        let mut batch = Vec::new();
        lock(&self.waiting).outbox.take(bytes, &mut batch);
        batch
    }

    /// Puts stanzas back at the head.
    pub fn put_back(&self, batch: Vec<Queued>) {
        lock(&self.waiting).outbox.put_back(batch);
    }

    /// Waits until something is, or may have been, added.
    pub async fn queued(&self) {
        self.wake.notified().await;
    }

    fn push(&self, stanza: OutboundStanza) -> Pushed {
        let mut waiting = lock(&self.waiting);
        if waiting.is_retired {
            return Pushed::Retired(stanza);
        }
        let pushed = waiting.outbox.push(stanza, Instant::now());
        drop(waiting);
        match pushed {
            Ok(()) => {
                self.wake.notify_one();
                Pushed::Queued
            }
            Err(stanza) => Pushed::Full(stanza),
        }
    }
}

enum Pushed {
    Queued,
    Full(OutboundStanza),
    Retired(OutboundStanza),
}

/// What the locks protect is sound between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool without streams.
    pub fn new(edge: Arc<Edge>) -> Arc<Self> {
        Arc::new(Self { edge, lanes: Mutex::default(), verifications: Semaphore::new(MAX_VERIFICATIONS) })
    }

    /// What all connections share.
    pub fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// Takes a stanza for a partner.
    pub fn send(self: &Arc<Self>, mut stanza: OutboundStanza) {
        loop {
            let Some(lane) = self.lane(stanza.from.domain(), stanza.to.domain()) else {
                return self.fail(stanza, StanzaCondition::ResourceConstraint, "too many pairs have something to say");
            };
            match lane.push(stanza) {
                Pushed::Queued => return,
                Pushed::Full(stanza) => {
                    return self.fail(
                        stanza,
                        StanzaCondition::ResourceConstraint,
                        "the queue towards the partner is full",
                    );
                }
                Pushed::Retired(back) => {
                    self.forget(back.from.domain(), back.to.domain(), &lane);
                    stanza = back;
                }
            }
        }
    }

    /// Sends a ping between domains (XEP-0199); the answer comes in on whatever stream the partner likes.
    pub fn ping(self: &Arc<Self>, pair: &DomainPair) {
        let (Ok(from), Ok(to), Some(id)) =
            (Jid::parse(pair.local.as_str()), Jid::parse(pair.remote.as_str()), fresh_id())
        else {
            return;
        };
        let ping = Element::new(ns::SERVER, "iq")
            .attr("from", from.as_str())
            .attr("to", to.as_str())
            .attr("type", "get")
            .attr("id", id)
            .child(Element::new(ns::PING, "ping"));
        self.send_own(&ping, StanzaKind::Iq, from, to);
    }

    fn send_own(self: &Arc<Self>, stanza: &Element, kind: StanzaKind, from: Jid, to: Jid) {
        let mut xml = BytesMut::new();
        stanza.write(&mut xml);
        self.send(OutboundStanza {
            kind,
            from,
            to,
            xml: xml.freeze(),
            patience: Duration::ZERO,
            trace: TraceContext::default(),
            ack: AckHandle::nobody(),
        });
    }

    /// Asks the authoritative server of `pair.remote` about a key (XEP-0220, section 2.2.1).
    pub async fn verify(self: &Arc<Self>, pair: DomainPair, stream_id: String, key: String) -> Answer {
        let Ok(_permit) = self.verifications.try_acquire() else {
            return Answer::Error(StanzaCondition::ResourceConstraint);
        };
        match self.dial(&pair, Goal::Verify { stream_id, key }).await {
            Ok(Attained::Answer(Answer::Error(_))) => Answer::Error(StanzaCondition::RemoteServerNotFound),
            Ok(Attained::Answer(answer)) => answer,
            Ok(Attained::Stream(_)) => Answer::Error(StanzaCondition::InternalServerError),
            Err(failure) => {
                let condition = match failure.finding.rung {
                    Rung::Resolve => StanzaCondition::RemoteServerNotFound,
                    Rung::Connect => StanzaCondition::RemoteConnectionFailed,
                    Rung::Policy => StanzaCondition::PolicyViolation,
                    _ => StanzaCondition::RemoteServerTimeout,
                };
                self.edge.report(failure.finding, pair.remote.as_str(), Direction::Out, None);
                Answer::Error(condition)
            }
        }
    }

    fn lane(self: &Arc<Self>, local: &str, remote: &str) -> Option<Arc<Lane>> {
        let mut lanes = lock(&self.lanes);
        if let Some(lane) = lanes.by_remote.get(remote).and_then(|lanes| lanes.get(local)) {
            return Some(Arc::clone(lane));
        }
        if lanes.count >= MAX_LANES {
            return None;
        }
        let pair = DomainPair { local: DomainName::parse(local).ok()?, remote: DomainName::parse(remote).ok()? };
        let lane = Arc::new(Lane::default());
        lanes.by_remote.entry(pair.remote.clone()).or_default().insert(pair.local.clone(), Arc::clone(&lane));
        lanes.count += 1;
        drop(lanes);
        let span = tracing::info_span!(parent: None, "s2s_out", %pair);
        tokio::spawn(Arc::clone(self).empty(pair, Arc::clone(&lane)).instrument(span));
        Some(lane)
    }

    fn forget(&self, local: &str, remote: &str, lane: &Arc<Lane>) {
        let mut lanes = lock(&self.lanes);
        let Some(locals) = lanes.by_remote.get_mut(remote) else {
            return;
        };
        if !locals.get(local).is_some_and(|known| Arc::ptr_eq(known, lane)) {
            return;
        }
        locals.remove(local);
        if locals.is_empty() {
            lanes.by_remote.remove(remote);
        }
        lanes.count = lanes.count.saturating_sub(1);
    }

    fn fail(&self, stanza: OutboundStanza, condition: StanzaCondition, text: &str) {
        self.edge.metrics.stanzas_failed.inc();
        stanza.ack.failed(link::Failure::new(condition, text));
    }
}

/// The life of one lane.
impl Pool {
    /// Empties a queue: connects when there is something in it, and ends when there is nothing more to remember.
    async fn empty(self: Arc<Self>, pair: DomainPair, lane: Arc<Lane>) {
        let mut back_off = BackOff::default();
        loop {
            if !self.wait_for_work(&lane).await {
                self.forget(pair.local.as_str(), pair.remote.as_str(), &lane);
                return;
            }
            let failure = match self.dial_while_queued(&pair, &lane).await {
                Ok(stream) => {
                    let since = Instant::now();
                    let failure = stream.carry(&lane, &pair).await;
                    if since.elapsed() >= STABLE {
                        back_off.reset();
                    }
                    let Some(failure) = failure else {
                        continue;
                    };
                    self.report(&failure, &pair);
                    if since.elapsed() >= STABLE {
                        // Nothing was refused: what is queued is tried again on a new connection.
                        continue;
                    }
                    failure
                }
                Err(failure) => {
                    let verdict = self.report(&failure, &pair);
                    for stanza in drain(&lane) {
                        self.edge.metrics.stanzas_failed.inc();
                        stanza.ack.failed(link::Failure {
                            condition: failure.condition,
                            text: failure.finding.cause.clone(),
                            verdict: Some(verdict.clone()),
                        });
                    }
                    failure
                }
            };
            let pause = back_off.pause(chance());
            tracing::debug!(seconds = pause.as_secs(), "pausing before the next attempt");
            self.pause(Instant::now() + pause, &lane, &failure).await;
        }
    }

    /// Waits until something is queued; false when nothing came for a while and the lane is retired.
    async fn wait_for_work(&self, lane: &Lane) -> bool {
        let until = Instant::now() + LINGER;
        loop {
            {
                let mut waiting = lock(&lane.waiting);
                if !waiting.outbox.is_empty() {
                    return true;
                }
                if Instant::now() >= until {
                    waiting.is_retired = true;
                    return false;
                }
            }
            tokio::select! {
                () = lane.queued() => {}
                () = at(Some(until)) => {}
            }
        }
    }

    /// Connects; meanwhile, stanzas whose time is over are not kept waiting.
    async fn dial_while_queued(self: &Arc<Self>, pair: &DomainPair, lane: &Lane) -> Result<Box<Outbound>, Failure> {
        let mut dial = Box::pin(self.dial(pair, Goal::Stanzas { without_external: false }));
        loop {
            let deadline = lock(&lane.waiting).outbox.deadline();
            tokio::select! {
                attained = &mut dial => {
                    return match attained? {
                        Attained::Stream(stream) => Ok(stream),
                        Attained::Answer(_) => Err(impossible()),
                    };
                }
                () = lane.queued() => {}
                () = at(deadline) => self.expire(lane, StanzaCondition::RemoteServerTimeout, "no stream in time"),
            }
        }
    }

    /// Holds the pair down; stanzas wait for the next attempt as long as they may.
    async fn pause(&self, until: Instant, lane: &Lane, failure: &Failure) {
        let mut draining = self.edge.draining();
        while Instant::now() < until {
            let deadline = lock(&lane.waiting).outbox.deadline();
            tokio::select! {
                () = at(Some(until)) => {}
                () = lane.queued() => {}
                () = at(deadline) => self.expire(lane, failure.condition, &failure.finding.cause),
                () = gone(&mut draining) => return,
            }
        }
    }

    fn expire(&self, lane: &Lane, condition: StanzaCondition, text: &str) {
        let late = lock(&lane.waiting).outbox.expired(Instant::now());
        for stanza in late {
            self.fail(stanza, condition, text);
        }
    }

    fn report(&self, failure: &Failure, pair: &DomainPair) -> crate::verdict::Verdict {
        self.edge.report(failure.finding.clone(), pair.remote.as_str(), Direction::Out, None)
    }

    /// Finds the partner and tries its addresses in order (s2s-streams, sections 1.4 and 5.3).
    async fn dial(self: &Arc<Self>, pair: &DomainPair, goal: Goal) -> Result<Attained, Failure> {
        let moment = self.edge.moment();
        let settings = moment.federation.settings;
        let establish_by = moment.now + settings.establishment_timeout;
        let partner = match moment.federation.partner(pair.remote.as_str()) {
            Some(partner) if moment.federation.is_local(pair.local.as_str()) => partner,
            Some(_) | None => return Err(not_a_pair(pair)),
        };
        let ticket = match self.edge.admission.dial(partner, settings.connection_limit) {
            Ok(ticket) => Arc::new(ticket),
            Err(refused) => {
                self.edge.metrics.refused(refused.as_str());
                return Err(over_limit(&refused));
            }
        };
        let addresses = match self.edge.resolver.addresses(&pair.remote, partner).await {
            Ok(addresses) => addresses,
            Err(fault) => return Err(unresolved(&fault)),
        };
        let mut last = None;
        for address in &addresses {
            let mut goal = goal.clone();
            loop {
                if Instant::now() >= establish_by {
                    return Err(last.unwrap_or_else(impossible));
                }
                let attempt = Attempt { pair, goal: goal.clone(), address, establish_by };
                let failure = match Outbound::attempt(&self.edge, Arc::clone(&ticket), attempt).await {
                    Ok(attained) => return Ok(attained),
                    Err(failure) => failure,
                };
                let again = Goal::Stanzas { without_external: true };
                match failure.next {
                    Next::Address => {
                        last = Some(failure);
                        break;
                    }
                    Next::Dialback if goal != again && partner.permits(Method::TlsDialback) => {
                        last = Some(failure);
                        goal = again;
                    }
                    Next::Dialback | Next::GiveUp => return Err(failure),
                }
            }
        }
        Err(last.unwrap_or_else(impossible))
    }
}

fn drain(lane: &Lane) -> Vec<OutboundStanza> {
    lock(&lane.waiting).outbox.drain()
}

fn chance() -> u32 {
    let mut bytes = [0_u8; 4];
    // Without chance all edges come back at once, which is bad manners and no more.
    let _best_effort = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

fn give_up(condition: StanzaCondition, finding: Finding) -> Failure {
    Failure { condition, finding, next: Next::GiveUp }
}

fn not_a_pair(pair: &DomainPair) -> Failure {
    let cause = format!("{pair} is not an allowed pair of domains");
    let remedy = "Add the domain as an XMPP federated partner, if it shall be one.";
    give_up(StanzaCondition::NotAllowed, Finding::new(Rung::Policy, Side::Operator, cause, remedy))
}

fn over_limit(refused: &crate::admission::Refused) -> Failure {
    let remedy = "Raise the connection limit of the partner or of the gateway settings.";
    let finding = Finding::new(Rung::Limits, Side::Operator, refused.to_string(), remedy);
    give_up(StanzaCondition::ResourceConstraint, finding)
}

fn unresolved(fault: &ResolveFault) -> Failure {
    let (condition, side, remedy) = match fault {
        ResolveFault::NotOffered | ResolveFault::Nothing => (
            StanzaCondition::RemoteServerNotFound,
            Side::Theirs,
            "The partner has to publish _xmpp-server._tcp SRV records for its domain.",
        ),
        ResolveFault::Unavailable(_) => (
            StanzaCondition::RemoteServerTimeout,
            Side::Network,
            "Check the name servers of this edge, and the partner's DNS.",
        ),
        ResolveFault::Private => (
            StanzaCondition::RemoteServerNotFound,
            Side::Operator,
            "If the partner is reached by private addresses, allow them for it.",
        ),
    };
    give_up(condition, Finding::new(Rung::Resolve, side, fault.to_string(), remedy))
}

/// No address was tried, or a verification came to a stream.
fn impossible() -> Failure {
    let finding = Finding::new(Rung::Connect, Side::Network, "no address could be tried in time", "Try again.");
    give_up(StanzaCondition::RemoteServerTimeout, finding)
}

/// What the link asks of the pool.
#[derive(Clone)]
pub struct Deliverer(pub Arc<Pool>);

impl link::Outbound for Deliverer {
    fn deliver(&self, stanza: OutboundStanza) {
        self.0.send(stanza);
    }
}

impl link::Bouncer for Deliverer {
    /// An error goes back to the sender; an error or an answer never does (RFC 6120, section 8.3.1).
    fn bounce(&self, stanza: InboundStanza, condition: StanzaCondition, text: &str) {
        let Ok(element) = Element::parse(&stanza.xml, &StreamScope::none(), &Limits::default()) else {
            return;
        };
        let error = StanzaError::new(condition.usual_type(), condition).with_text(text);
        if let Some(reply) = stanza_error::error_reply(&element, &error) {
            self.0.send_own(&reply, stanza.kind, stanza.to, stanza.from);
        }
    }
}
