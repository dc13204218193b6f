//! All outbound streams: one queue and one stream for each pair of domains (RFC 6120, section 10.1), opened when there
//! is something to say, kept while it is used, and opened again after a pause when it could not be.
//!
//! A stanza that is taken is written to an authenticated stream, or its [`AckHandle`] tells why not: never both, never
//! neither. The pool also asks authoritative servers for inbound streams, by the same resolver and the same policy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use causeway_shared::domain::{DomainName, DomainPair};
use causeway_shared::jid::Jid;
use causeway_shared::limits::Limits;
use causeway_shared::link::StanzaKind;
use causeway_shared::live::{self, CloseReason, Queue};
use causeway_shared::probe::Request;
use causeway_shared::telemetry::Span;
use causeway_shared::xmpp::StreamScope;
use causeway_shared::xmpp::element::Element;
use causeway_shared::xmpp::ns;
use causeway_shared::xmpp::stanza_error::{self, StanzaCondition, StanzaError};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::carriage::Carriage;
use super::carriers::Carriers;
use super::dial::{dial, no_address};
use super::dialback::Answer;
use super::inbound::at;
use super::lane::{InFlight, Lane, Pushed};
use super::negotiation_out::{Failure, Goal, Next};
use super::outbound::{Attained, Outbound};
use super::outbox::BackOff;
use super::turns::Turns;
use crate::edge::{Edge, fresh_id, gone};
use crate::link::{self, AckHandle, InboundStanza, OutboundStanza};
use crate::live::{Live, report};
use crate::metrics::StanzaEnd;
use crate::probe;
use crate::resolve::lookup::Family;
use crate::verdict::{Code, Direction, Finding, Rung, Verdict};

/// Pairs that may have something to say at once; the partners' domains times ours in any sane deployment.
const MAX_LANES: usize = 4096;

/// Verifications under way, all streams together.
const MAX_VERIFICATIONS: usize = 64;

/// A stream that lived shorter than this and broke counts as a failed attempt.
const STABLE: Duration = Duration::from_secs(5);

/// How long a pair without anything to say is remembered after its stream has ended; after failures, longer.
const LINGER: Duration = Duration::from_secs(1);

/// How often stanzas are looked for that wait too long for another pair's stream.
const LOOK: Duration = Duration::from_secs(1);

/// All outbound streams.
pub struct Pool {
    edge: Arc<Edge>,
    /// By remote domain, then by local one, so that a stanza's pair is found without making one.
    lanes: Mutex<Lanes>,
    verifications: Semaphore,
    turns: Turns,
    carriers: Carriers,
    in_flight: InFlight,
}

#[derive(Default)]
struct Lanes {
    by_remote: HashMap<DomainName, HashMap<DomainName, Arc<Lane>>>,
    count: usize,
}

/// What the locks protect is sound between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool without streams.
    pub fn new(edge: Arc<Edge>) -> Arc<Self> {
        Arc::new(Self {
            edge,
            lanes: Mutex::default(),
            verifications: Semaphore::new(MAX_VERIFICATIONS),
            turns: Turns::default(),
            carriers: Carriers::default(),
            in_flight: InFlight::default(),
        })
    }

    /// What all connections share.
    pub fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// Streams that may carry further pairs.
    pub fn carriers(&self) -> &Carriers {
        &self.carriers
    }

    /// What a new stream carries.
    pub fn carriage(&self, live: &Arc<Live>) -> Carriage {
        Carriage::new(Arc::clone(&self.edge), self.in_flight.clone(), Arc::clone(live))
    }

    /// What waits for streams to a partner, by its primary domain, or to all, for operators.
    pub fn queues(&self, partner: &str, now: Instant) -> Vec<Queue> {
        let (federation, limits) = (self.edge.moment().federation, self.edge.limits().queue);
        let bound = |most: usize| u64::try_from(most).unwrap_or(u64::MAX);
        let mut queues = Vec::new();
        for (remote, lanes) in &lock(&self.lanes).by_remote {
            let name = federation.partner(remote.as_str()).map_or(remote, |policy| &policy.name);
            if !partner.is_empty() && partner != name.as_str() {
                continue;
            }
            for (local, lane) in lanes {
                let waiting = lane.waiting(now);
                if waiting.stanzas > 0 {
                    queues.push(Queue {
                        direction: Direction::Out,
                        partner: name.as_str().to_owned(),
                        remote: remote.as_str().to_owned(),
                        local: local.as_str().to_owned(),
                        waiting,
                        most_stanzas: bound(limits.stanzas),
                        most_bytes: bound(limits.bytes),
                    });
                }
            }
        }
        queues
    }

    /// Takes a stanza for a partner.
    pub fn send(self: &Arc<Self>, mut stanza: OutboundStanza) {
        let limits = self.edge.limits().queue;
        loop {
            let Some(lane) = self.lane(stanza.from.domain(), stanza.to.domain()) else {
                let finding = too_much("too many pairs have something to say");
                return refuse(&self.edge, stanza, StanzaCondition::ResourceConstraint, finding);
            };
            match lane.push(stanza, &limits) {
                Pushed::Queued => return,
                Pushed::Full(stanza) => {
                    let finding = too_much("the queue towards the partner is full");
                    return refuse(&self.edge, stanza, StanzaCondition::ResourceConstraint, finding);
                }
                Pushed::Retired(back) => {
                    self.forget(back.from.domain(), back.to.domain(), &lane);
                    stanza = back;
                }
            }
        }
    }

    /// Whether nothing is queued or on its way: no lane is left, or only those that remember a failure.
    pub fn is_idle(&self) -> bool {
        lock(&self.lanes).by_remote.values().flat_map(HashMap::values).all(|lane| lane.is_empty())
            && self.in_flight.is_empty()
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
            span: Span::NONE,
            ack: AckHandle::nobody(),
        });
    }

    /// Asks the authoritative server of `pair.remote` about a key (XEP-0220, section 2.2.1).
    pub async fn verify(self: &Arc<Self>, pair: DomainPair, stream_id: String, key: String) -> Answer {
        let report = |finding: Finding, peer| {
            self.edge.report(finding.about(&pair), pair.remote.as_str(), Direction::In, peer);
        };
        let (Some(mut turn), Ok(_permit)) = (self.turns.line_up(&pair), self.verifications.try_acquire()) else {
            let cause = "too many dialback keys are being verified";
            report(Finding::new(Code::LimitsVerifications, cause), None);
            return Answer::Error(StanzaCondition::ResourceConstraint);
        };
        let patience = self.edge.limits().timeouts.verification;
        let dialled = timeout(patience, async {
            turn.come().await;
            dial(&self.edge, &pair, Goal::Verify { stream_id, key }).await
        });
        let Ok(dialled) = dialled.await else {
            let cause = "the authoritative server did not answer about a dialback key in time";
            report(Finding::new(Code::DialbackTooSlow, cause), None);
            return Answer::Error(StanzaCondition::RemoteServerTimeout);
        };
        match dialled {
            Ok(Attained::Answer(Answer::Error(condition))) => {
                let cause = format!("the authoritative server could not tell about a dialback key: {condition}");
                report(Finding::new(Code::DialbackNoAnswer, cause), None);
                Answer::Error(StanzaCondition::RemoteServerNotFound)
            }
            Ok(Attained::Answer(answer)) => answer,
            Ok(Attained::Stream(_)) => Answer::Error(StanzaCondition::InternalServerError),
            Err(failure) => {
                let condition = match failure.finding.rung {
                    Rung::Resolve => StanzaCondition::RemoteServerNotFound,
                    Rung::Connect => StanzaCondition::RemoteConnectionFailed,
                    Rung::Policy => StanzaCondition::PolicyViolation,
                    _ => StanzaCondition::RemoteServerTimeout,
                };
                report(return_leg(failure.finding), failure.peer);
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
        let lane = Arc::new(Lane::new(self.in_flight.clone()));
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
}

/// Tells the sender why a stanza is not delivered, and the operator once for each.
pub(super) fn refuse(edge: &Edge, stanza: OutboundStanza, condition: StanzaCondition, finding: Finding) {
    let verdict = edge.report(finding, stanza.to.domain(), Direction::Out, None);
    fail(edge, stanza, condition, &verdict);
}

/// Tells the sender why a stanza is not delivered, where the operator knows already.
pub(super) fn fail(edge: &Edge, stanza: OutboundStanza, condition: StanzaCondition, verdict: &Verdict) {
    edge.metrics.stanzas_failed.inc();
    edge.count(stanza.to.domain(), std::iter::once(stanza.kind), StanzaEnd::Failed);
    let (text, verdict) = (verdict.cause.clone(), Some(verdict.clone()));
    stanza.failed(link::Failure { condition, text, verdict });
}

/// Why a key that was offered to us could not be verified: the attempt is the partner's, and how far we came on the way
/// back is the cause.
fn return_leg(finding: Finding) -> Finding {
    let cause = format!("on the way back to the partner, at {}: {}", finding.rung.as_str(), finding.cause);
    Finding { rung: Rung::Dialback, cause, ..finding }
}

fn too_much(cause: &'static str) -> Finding {
    Finding::new(Code::LimitsQueue, cause)
}

pub(super) fn too_late() -> Finding {
    let cause = "no stream to the partner could be had, or was free, for as long as the stanza may wait";
    Finding::new(Code::StanzaTooLate, cause)
}

/// The life of one lane.
impl Pool {
    /// Empties a queue: connects when there is something in it, and ends when there is nothing more to remember.
    async fn empty(self: Arc<Self>, pair: DomainPair, lane: Arc<Lane>) {
        let mut back_off = BackOff::default();
        loop {
            let linger = if back_off.has_failed() { self.edge.limits().back_off.longest } else { LINGER };
            if !self.wait_for_work(&lane, linger).await {
                self.forget(pair.local.as_str(), pair.remote.as_str(), &lane);
                return;
            }
            if self.carried_elsewhere(&pair, &lane).await {
                continue;
            }
            let (condition, verdict) = match self.dial_while_queued(&pair, &lane).await {
                Ok(stream) => {
                    let since = Instant::now();
                    let failure = stream.carry(&self, &lane, &pair).await;
                    if since.elapsed() >= STABLE {
                        back_off.reset();
                    }
                    let Some(failure) = failure else {
                        continue;
                    };
                    let verdict = self.report(&failure, &pair);
                    if failure.next == Next::GiveUp {
                        // The partner, or policy, has said no: there is nobody to wait for.
                        for stanza in lane.drain() {
                            fail(&self.edge, stanza, failure.condition, &verdict);
                        }
                    } else if since.elapsed() >= STABLE {
                        // Nothing was refused: what is queued is tried again on a new connection.
                        continue;
                    }
                    (failure.condition, verdict)
                }
                Err(failure) => {
                    let verdict = self.report(&failure, &pair);
                    for stanza in lane.drain() {
                        fail(&self.edge, stanza, failure.condition, &verdict);
                    }
                    (failure.condition, verdict)
                }
            };
            let pause = back_off.pause(&self.edge.limits().back_off, chance());
            tracing::debug!(seconds = pause.as_secs(), "pausing before the next attempt");
            self.pause(Instant::now() + pause, &lane, condition, &verdict).await;
        }
    }

    /// Waits until something is queued; false when nothing came for a while and the lane is retired.
    async fn wait_for_work(&self, lane: &Lane, linger: Duration) -> bool {
        let until = Instant::now() + linger;
        let mut draining = self.edge.draining();
        loop {
            if !lane.is_empty() {
                return true;
            }
            if (Instant::now() >= until || *draining.borrow()) && lane.retire() {
                return false;
            }
            tokio::select! {
                () = lane.queued() => {}
                () = at(Some(until)) => {}
                () = gone(&mut draining) => {}
            }
        }
    }

    /// Lets a stream that is there already carry the pair, if there is one that may and can; true when one did.
    async fn carried_elsewhere(&self, pair: &DomainPair, lane: &Arc<Lane>) -> bool {
        let mut until = self.carriers.join(pair, lane);
        if until.is_none() && self.carriers.take_other_remotes() {
            until = self.join_same_server(pair, lane).await;
        }
        let Some(mut until) = until else { return false };
        loop {
            tokio::select! {
                // Nothing is said where the pair was never carried.
                ended = &mut until => return ended.is_ok(),
                () = tokio::time::sleep(LOOK) => {
                    for stanza in lane.expired() {
                        refuse(&self.edge, stanza, StanzaCondition::RemoteServerTimeout, too_late());
                    }
                }
            }
        }
    }

    /// Another remote domain that is served where a stream leads already (XEP-0220, section 2.6.2).
    async fn join_same_server(&self, pair: &DomainPair, lane: &Arc<Lane>) -> Option<oneshot::Receiver<()>> {
        let moment = self.edge.moment();
        let partner = moment.federation.partner(pair.remote.as_str())?;
        let resolver = &self.edge.resolver;
        let mut served_at = Vec::new();
        for target in resolver.targets(&pair.remote, partner).await.ok()? {
            for family in [Family::V6, Family::V4] {
                let Ok(found) = resolver.addresses(&target.host, family).await else { continue };
                served_at.extend(found.addresses.into_iter().map(|address| SocketAddr::new(address, target.port)));
            }
        }
        self.carriers.join_at(pair, lane, |peer| served_at.contains(&peer))
    }

    /// Connects; meanwhile, stanzas whose time is over are not kept waiting.
    async fn dial_while_queued(&self, pair: &DomainPair, lane: &Lane) -> Result<Box<Outbound>, Failure> {
        let dial = Box::pin(dial(&self.edge, pair, Goal::Stanzas { without_external: false }));
        match self.while_queued(lane, dial).await? {
            Attained::Stream(stream) => Ok(stream),
            Attained::Answer(_) => Err(no_address()),
        }
    }

    async fn while_queued<T>(&self, lane: &Lane, future: impl Future<Output = T> + Unpin) -> T {
        let mut future = future;
        loop {
            let deadline = lane.deadline();
            tokio::select! {
                result = &mut future => return result,
                () = lane.queued() => {}
                () = at(deadline) => {
                    for stanza in lane.expired() {
                        refuse(&self.edge, stanza, StanzaCondition::RemoteServerTimeout, too_late());
                    }
                }
            }
        }
    }

    /// Holds the pair down; stanzas wait for the next attempt as long as they may. A change of policy may have been
    /// about this very failure.
    async fn pause(&self, until: Instant, lane: &Lane, condition: StanzaCondition, verdict: &Verdict) {
        let mut draining = self.edge.draining();
        let mut policy = self.edge.policy_changes();
        while Instant::now() < until {
            let deadline = lane.deadline();
            tokio::select! {
                () = at(Some(until)) => {}
                () = lane.queued() => {}
                () = at(deadline) => {
                    for stanza in lane.expired() {
                        fail(&self.edge, stanza, condition, verdict);
                    }
                }
                () = gone(&mut draining) => return,
                Ok(()) = policy.changed() => return,
            }
        }
    }

    fn report(&self, failure: &Failure, pair: &DomainPair) -> Verdict {
        self.edge.report(failure.finding.clone().about(pair), pair.remote.as_str(), Direction::Out, failure.peer)
    }
}

fn chance() -> u32 {
    let mut bytes = [0_u8; 4];
    // Without chance all edges come back at once, which is bad manners and no more.
    let _best_effort = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

/// What the link asks of the pool.
#[derive(Clone)]
pub struct Deliverer(pub Arc<Pool>);

impl link::Outbound for Deliverer {
    fn deliver(&self, stanza: OutboundStanza) {
        self.0.send(stanza);
    }

    fn probe(&self, request: Request, reporter: link::Reporter) {
        probe::start(self.0.edge(), &request, reporter);
    }

    fn report(&self, request: live::Request) -> link::Parts {
        report::begin(&self.0, request)
    }

    fn close_stream(&self, number: u64, reason: CloseReason) -> bool {
        self.0.edge().streams.close(number, reason, Instant::now())
    }
}

impl link::Bouncer for Deliverer {
    /// An error goes back to the sender; an error or an answer never does (RFC 6120, section 8.3.1).
    fn bounce(&self, stanza: InboundStanza, condition: StanzaCondition, text: &str) {
        self.0.edge.count(stanza.from.domain(), std::iter::once(stanza.kind), StanzaEnd::Untaken);
        let Ok(element) = Element::parse(&stanza.xml, &StreamScope::none(), &Limits::default()) else {
            return;
        };
        let error = StanzaError::new(condition.usual_type(), condition).with_text(text);
        if let Some(reply) = stanza_error::error_reply(&element, &error) {
            self.0.send_own(&reply, stanza.kind, stanza.to, stanza.from);
        }
    }
}
