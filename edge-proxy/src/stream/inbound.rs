//! The task of one inbound connection: carries bytes between the socket and [`super::negotiation_in`], and stanzas to
//! the link ([`super::intake`]); on a bidirectional stream, ours back to the peer ([`super::carriage`]).
//!
//! The next read waits until the link has taken what this one brought: that is the back-pressure. Everything before an
//! element is handed in before the element is answered, so a ping
//! behind a stanza proves that the stanza was taken.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use causeway_shared::domain::DomainPair;
use rustls::ServerConfig;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout, timeout_at};
use tracing::Instrument as _;

use super::carriage::Carriage;
use super::carriers::{Call, Registration, Terms, called};
use super::conn::Connection;
use super::dialback::{self, Answer};
use super::frames::{Frame, Frames};
use super::intake::{Closed, Intake, Seen};
use super::negotiation_in::{Input, Output, Receiving};
use super::pool::Pool;
use super::transcript::Transcript;
use super::{Method, secured};
use crate::admission::Ticket;
use crate::edge::{Edge, fresh_id, gone};
use crate::limits::Throttle;
use crate::link::Handled;
use crate::live::Live;
use crate::policy::Moment;
use crate::verdict::{Direction, Facts, Finding};

/// What canonical forms may need beyond a quarter more than what arrived.
const MARGIN: usize = 256;

/// How streams begin on a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Opening {
    /// In the clear, with STARTTLS (RFC 6120, section 5).
    #[default]
    StartTls,
    /// With the TLS handshake (XEP-0368).
    DirectTls,
}

/// Serves a connection to its end.
pub async fn serve(pool: Arc<Pool>, connection: Connection, ticket: Ticket, opening: Opening) {
    let peer = connection.peer;
    let span = tracing::info_span!("s2s_in", %peer, stream_id = tracing::field::Empty, partner = tracing::field::Empty);
    let edge = Arc::clone(pool.edge());
    edge.metrics.connection("in", 1);
    // On the heap once, instead of in every future that it is handed through: an idle stream holds them all.
    let task = Box::new(Inbound::new(pool, connection, ticket, opening));
    task.run(opening).instrument(span).await;
    edge.metrics.connection("in", -1);
}

struct Inbound {
    pool: Arc<Pool>,
    edge: Arc<Edge>,
    connection: Connection,
    ticket: Ticket,
    machine: Receiving,
    frames: Frames,
    throttle: Throttle,
    outputs: Vec<Output>,
    /// What was said, until something is authorised.
    transcript: Option<Box<Transcript>>,
    intake: Intake,
    /// What operators see, and what they order.
    live: Arc<Live>,
    /// What goes back to the peer of a bidirectional stream.
    reverse: Option<Box<Reverse>>,
    /// Answers of authoritative servers, once one is asked: most streams never do, and an idle one pays for no room.
    verified: Option<Answers>,
}

/// The road back (XEP-0288).
struct Reverse {
    carriage: Carriage,
    registration: Registration,
}

/// What an authoritative server said about a pair.
type Verified = (DomainPair, Answer);

/// The end for those who ask, and ours.
type Answers = (mpsc::Sender<Verified>, mpsc::Receiver<Verified>);

/// Whether the connection lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    /// Close in order.
    Close,
    /// Drop it.
    Abort,
}

impl Inbound {
    fn new(pool: Arc<Pool>, connection: Connection, ticket: Ticket, opening: Opening) -> Self {
        let edge = Arc::clone(pool.edge());
        let (peer, moment) = (connection.peer.to_string(), edge.moment());
        let machine = match opening {
            Opening::StartTls => Receiving::new(peer, &moment),
            Opening::DirectTls => Receiving::direct_tls(peer, &moment),
        };
        let limits = edge.limits();
        let live = Arc::clone(connection.live());
        live.began("", opening == Opening::DirectTls, false);
        Self {
            pool,
            connection,
            ticket,
            machine,
            frames: Frames::new(limits.xml),
            throttle: Throttle::default(),
            outputs: Vec::new(),
            transcript: Some(Box::new(Transcript::new(std::time::Instant::now()))),
            intake: Intake::new(Arc::clone(&edge), Arc::clone(&live)),
            live,
            reverse: None,
            verified: None,
            edge,
        }
    }

    async fn run(mut self: Box<Self>, opening: Opening) {
        let mut policy = self.edge.policy_changes();
        let mut draining = self.edge.draining();
        let mut flow = match opening {
            Opening::StartTls => Flow::Go,
            Opening::DirectTls => {
                let config = self.edge.tls.direct_server();
                let input = Box::pin(self.start_tls(config, &self.edge.moment())).await;
                self.step(input).await
            }
        };
        while flow == Flow::Go {
            let moment = self.edge.moment();
            let deadline = self.deadline(&moment);
            if deadline.is_some_and(|deadline| deadline <= moment.now) {
                // A peer that never stops sending does not stop the clock.
                flow = self.step(Input::DeadlinePassed).await;
                continue;
            }
            let not_before = self.throttle.not_before(moment.now);
            let is_listening = self.machine.is_listening();
            let order = self.live.order().filter(|_| is_listening);
            let part_at = order.map(|order| order.at + moment.limits.timeouts.close);
            if let Some(order) = order
                && (self.is_settled() || part_at.is_some_and(|part_at| part_at <= moment.now))
            {
                flow = self.step(Input::Ordered(order.reason)).await;
                continue;
            }
            // What is queued waits for the next stream where this one is to end.
            let carried = match if order.is_none() { self.carry().await } else { None } {
                Some(Flow::Go) => true,
                Some(end) => {
                    flow = end;
                    continue;
                }
                None => false,
            };
            let (awaited, is_settled) = (self.machine.awaited(), self.is_settled());
            let read = async {
                self.intake.ready().await;
                self.connection.read().await
            };
            let input = tokio::select! {
                biased;
                () = gone(&mut draining), if is_settled && is_listening => Input::Drain,
                Ok(()) = policy.changed() => Input::PolicyChanged,
                Some((pair, answer)) = answered(&mut self.verified) => Input::Verified(pair, answer),
                () = progress(awaited) => Input::Progress,
                read = read, if is_listening && not_before.is_none() => match read {
                    Ok(count) if count > 0 => {
                        let is_authenticated = self.machine.is_authenticated();
                        self.throttle.bytes(count, is_authenticated, &moment.limits.rates, moment.now);
                        flow = self.read().await;
                        continue;
                    }
                    Ok(_) => Input::Eof,
                    Err(error) => self.broken(&error),
                },
                // Too much was said: the peer waits, and TCP tells it so.
                () = at(not_before) => {
                    self.edge.metrics.throttled.inc();
                    continue;
                }
                call = Reverse::called(self.reverse.as_deref_mut()) => {
                    self.call(call);
                    continue;
                }
                () = at(deadline) => Input::DeadlinePassed,
                () = self.live.called() => continue,
                () = at(part_at) => continue,
                // More may be queued: this was only a look at everything else.
                () = std::future::ready(()), if carried => continue,
            };
            let is_judged = matches!(input, Input::PolicyChanged);
            flow = self.step(input).await;
            if is_judged && flow != Flow::Go {
                self.edge.streams.fell(&self.live, &self.edge.moment().federation);
            }
        }
        self.reverse = None;
        match flow {
            Flow::Go | Flow::Close if self.machine.hears_out() => {
                self.live.closing();
                let patience = self.edge.limits().timeouts.close;
                let _whatever_ends_it = timeout(patience, self.hear_out()).await;
                self.connection.shut_down().await;
            }
            Flow::Go | Flow::Close => self.connection.close().await,
            Flow::Abort => self.connection.shut_down().await,
        }
    }

    /// Takes apart what a read brought.
    async fn read(&mut self) -> Flow {
        let moment = self.edge.moment();
        // One allocation for all stanzas of the read; those in transit share it.
        let mut canonical = match self.connection.buffer.len() {
            size if self.machine.is_authenticated() => BytesMut::with_capacity(size + size / 4 + MARGIN),
            _ => BytesMut::new(),
        };
        loop {
            let input = match self.frames.next(&mut self.connection.buffer, &mut canonical) {
                Ok(None) => break,
                Ok(Some(Frame::Stanza(checked, xml))) => {
                    let receipt = self.machine.receipt();
                    match self.machine.admit(checked.from.domain(), checked.to.domain()) {
                        Ok(context) => {
                            self.intake.add(context, checked, xml, receipt, &moment);
                            continue;
                        }
                        Err(fault) => Input::Fault(fault),
                    }
                }
                Ok(Some(Frame::Whitespace)) => Input::Whitespace,
                Ok(Some(Frame::Close)) => Input::Close,
                Ok(Some(Frame::Element(element)))
                    if dialback::is_question(&element)
                        && !self.edge.admission.may_ask(self.connection.peer.ip(), &self.edge.caps(), moment.now) =>
                {
                    Input::QuestionOverRate(element)
                }
                Ok(Some(Frame::Element(element))) => {
                    Input::Element { element, followed: self.connection.is_followed() }
                }
                Ok(Some(Frame::Header(header))) => match fresh_id() {
                    Some(id) => {
                        if let Some(domain) = self.machine.wants_evidence(&header, &moment) {
                            let evidence = Box::pin(self.edge.evidence_about(&domain)).await;
                            let flow = self.step(Input::Evidence(evidence)).await;
                            if flow != Flow::Go {
                                return flow;
                            }
                        }
                        Input::Header(header, id)
                    }
                    None => return Flow::Abort,
                },
                Err(fault) => Input::Fault(fault),
            };
            if self.intake.hand_in().await.is_err() {
                return self.step(Input::LinkClosed).await;
            }
            let flow = self.step(input).await;
            if flow != Flow::Go {
                return flow;
            }
        }
        match self.intake.finish().await {
            Ok(Seen { stanzas: 0, .. }) => Flow::Go,
            Ok(Seen { stanzas, count }) => {
                self.throttle.stanzas(stanzas, &moment.limits.rates, moment.now);
                self.step(Input::Stanzas { count }).await
            }
            Err(Closed) => self.step(Input::LinkClosed).await,
        }
    }

    /// Takes the stanzas that were on their way when we ended the stream, until the peer ends it too.
    async fn hear_out(&mut self) {
        loop {
            let moment = self.edge.moment();
            let mut canonical = BytesMut::new();
            let is_over = loop {
                match self.frames.next(&mut self.connection.buffer, &mut canonical) {
                    Ok(None) => break false,
                    Ok(Some(Frame::Stanza(checked, xml))) => {
                        match self.machine.admit(checked.from.domain(), checked.to.domain()) {
                            Ok(context) => self.intake.add(context, checked, xml, None, &moment),
                            Err(_) => break true,
                        }
                    }
                    Ok(Some(Frame::Whitespace | Frame::Element(_))) => {}
                    Ok(Some(Frame::Close | Frame::Header(_))) | Err(_) => break true,
                }
            };
            let is_taken = self.intake.finish().await.is_ok();
            if is_over || !is_taken || !matches!(self.connection.read().await, Ok(1..)) {
                return;
            }
        }
    }

    /// The next time that something is due.
    fn deadline(&self, at: &Moment) -> Option<Instant> {
        let machine = self.machine.deadline(at)?;
        let reverse = self.reverse.as_ref().and_then(|reverse| reverse.carriage.deadline());
        Some(reverse.map_or(machine, |reverse| reverse.min(machine)))
    }

    /// Writes some of what is queued for the peer, if something is.
    async fn carry(&mut self) -> Option<Flow> {
        let carriage = &mut self.reverse.as_mut()?.carriage;
        let load = carriage.take(self.machine.announced().max_bytes)?;
        let written = self.connection.write(&load.bytes()).await;
        if written.is_err() {
            carriage.not_written(load, self.machine.is_managed());
            return Some(Flow::Abort);
        }
        let count = carriage.written(load, self.machine.is_managed());
        Some(self.step(Input::Written(count)).await)
    }

    fn is_settled(&self) -> bool {
        self.reverse.as_ref().is_none_or(|reverse| reverse.carriage.is_settled())
    }

    fn call(&mut self, call: Call) {
        let (Call::Join(join), Some(reverse)) = (call, &mut self.reverse) else { return };
        reverse.carriage.add(join.pair, join.lane, Some(join.until));
    }

    /// A bidirectional stream carries the reverse of its pairs.
    fn carry_reverse(&mut self) {
        let terms = Terms::Reverse(self.machine.pairs().cloned().collect());
        match &self.reverse {
            Some(reverse) => reverse.registration.renew(terms),
            None => {
                let carriage = self.pool.carriage(&self.live);
                self.live.both_ways();
                let registration = self.pool.carriers().register(terms);
                self.reverse = Some(Box::new(Reverse { carriage, registration }));
                self.intake.forward();
            }
        }
    }

    /// Tells the machine, and does what it asks.
    async fn step(&mut self, input: Input) -> Flow {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let moment = self.edge.moment();
            if let Some(transcript) = &mut self.transcript {
                transcript.told_receiving(&input, moment.now);
            }
            if let Input::Element { element, .. } = &input {
                self.edge.probes.witness.look(element, self.connection.peer, &moment);
            }
            if let (Input::DeadlinePassed, Some(reverse)) = (&input, &mut self.reverse) {
                reverse.carriage.expire();
            }
            let is_header = matches!(input, Input::Header(..));
            self.machine.handle(input, &moment, &mut self.outputs);
            self.live.stands(self.machine.is_managed(), !self.machine.is_listening());
            if is_header {
                self.live.claimed(self.machine.claimed(), self.machine.stream_id());
            }
            if let Some(transcript) = &mut self.transcript {
                // All of it at once: a report is to show what is said with it.
                let sent = self.outputs.iter().filter_map(Output::sent);
                sent.for_each(|bytes| transcript.sent(bytes, moment.now));
            }
            // Whatever becomes of the connection: the operator is told.
            self.report_all();
            let mut unsent = BytesMut::new();
            for output in std::mem::take(&mut self.outputs) {
                if let Output::Send(bytes) = output {
                    unsent.extend_from_slice(&bytes);
                    continue;
                }
                if !self.write(&mut unsent).await {
                    return self.lost();
                }
                match output {
                    Output::Send(_) | Output::Report(_) => {}
                    Output::StartTls(to) => {
                        let config = self.edge.tls.server(to.as_ref());
                        // Large, and needed once: no stream holds room for it for ever.
                        next = Some(Box::pin(self.start_tls(config, &moment)).await);
                    }
                    Output::Restart => self.frames.restart(),
                    Output::Authorised(pair, method) => next = self.authorised(&pair, method, &moment),
                    Output::Acknowledged(count) => {
                        if let Some(reverse) = &mut self.reverse {
                            reverse.carriage.acknowledged(count);
                        }
                    }
                    Output::Verify { pair, stream_id, key } => self.verify(pair, stream_id, key),
                    Output::Ping(pair) => self.pool.ping(&pair),
                    Output::Unsolicited => {
                        self.edge.metrics.unsolicited_dialback.inc();
                    }
                    Output::Close => return Flow::Close,
                    Output::Abort => return Flow::Abort,
                }
            }
            if !self.write(&mut unsent).await {
                return self.lost();
            }
        }
        Flow::Go
    }

    /// Nothing can be written any more: the machine learns it like any other end, for that may be the end of an attempt.
    fn lost(&mut self) -> Flow {
        self.outputs.clear();
        self.machine.handle(Input::Eof, &self.edge.moment(), &mut self.outputs);
        self.report_all();
        Flow::Abort
    }

    fn report_all(&mut self) {
        let reports: Vec<_> = self.outputs.extract_if(.., |output| matches!(output, Output::Report(_))).collect();
        for report in reports {
            if let Output::Report(finding) = report {
                self.report(finding);
            }
        }
    }

    async fn write(&mut self, unsent: &mut BytesMut) -> bool {
        let bytes = std::mem::take(unsent);
        bytes.is_empty() || self.connection.write(&bytes).await.is_ok()
    }

    async fn start_tls(&mut self, config: Option<Arc<ServerConfig>>, at: &Moment) -> Input {
        let Some(config) = config else {
            return Input::TlsFailed("this edge has no certificate".to_owned());
        };
        let Some(deadline) = self.machine.deadline(at) else {
            return Input::Eof;
        };
        match timeout_at(deadline.into(), self.connection.accept_tls(config)).await {
            Ok(Ok(identity)) => Input::Secured(identity),
            Ok(Err(cause)) => Input::TlsFailed(cause),
            Err(_) => Input::DeadlinePassed,
        }
    }

    /// Tells the operator, with all that is known about the connection.
    fn report(&self, finding: Finding) {
        let claimed = self.machine.claimed().map_or("", |domain| domain.as_str());
        let (tls, certificate) = self.connection.tls_facts();
        let transcript = self.transcript.as_deref();
        let facts = Facts {
            local: transcript.map(|transcript| transcript.claims().1.to_owned()).unwrap_or_default(),
            stream_id: self.machine.stream_id().to_owned(),
            tls,
            certificate,
            transcript: transcript.map(Transcript::lines).unwrap_or_default(),
            ..Facts::default()
        };
        self.edge.report(finding.with(facts), claimed, Direction::In, Some(self.connection.peer));
    }

    /// What a read that failed means: an alert of TLS says more than that the connection ended, and it comes after the
    /// handshake where the client judges our certificate last (RFC 8446, section 4.4.2).
    fn broken(&mut self, error: &std::io::Error) -> Input {
        if let Some(transcript) = &mut self.transcript {
            transcript.note(std::time::Instant::now(), &format!("reading failed: {error}"));
        }
        match tls_alert(error) {
            Some(alert) if !self.machine.is_authenticated() => Input::TlsFailed(alert),
            Some(_) | None => Input::Eof,
        }
    }

    fn authorised(&mut self, pair: &DomainPair, method: Method, at: &Moment) -> Option<Input> {
        self.frames.authenticated();
        self.transcript = None;
        if self.machine.is_bidi() {
            self.carry_reverse();
        }
        let span = tracing::Span::current();
        span.record("stream_id", self.machine.stream_id());
        span.record("partner", pair.remote.as_str());
        let proof = self.machine.proof(pair);
        secured::tell(Direction::In, pair, method, proof, &self.connection, at);
        self.live.authenticated(pair, method, proof);
        if let Some(proof) = proof {
            self.edge.metrics.proved("in", proof);
        }
        let partner = at.federation.partner(pair.remote.as_str())?;
        self.edge.metrics.authenticated("in", method.as_str(), partner.name.as_str());
        self.ticket.authenticated(partner).is_err().then_some(Input::OverLimit)
    }

    fn verify(&mut self, pair: DomainPair, stream_id: String, key: String) {
        let bound = self.edge.limits().pending_dialbacks;
        let (verified, _) = self.verified.get_or_insert_with(|| mpsc::channel(bound));
        let (pool, verified) = (Arc::clone(&self.pool), verified.clone());
        let question = async move {
            let answer = pool.verify(pair.clone(), stream_id, key).await;
            // The stream may have gone in the meantime; then nobody needs the answer.
            let _nobody_waits = verified.send((pair, answer)).await;
        };
        tokio::spawn(question.in_current_span());
    }
}

impl Reverse {
    async fn called(reverse: Option<&mut Self>) -> Call {
        match reverse {
            Some(Self { carriage, registration }) => {
                let wake = carriage.wake();
                called(&wake, Some(registration)).await
            }
            None => std::future::pending().await,
        }
    }
}

/// The next answer of an authoritative server. Cancel-safe.
async fn answered(answers: &mut Option<Answers>) -> Option<Verified> {
    match answers {
        Some((_, answers)) => answers.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits until gateways have finished with more, while that matters.
pub(super) async fn progress(awaited: Option<Handled>) {
    match awaited {
        Some(handled) => handled.progress().await,
        None => std::future::pending().await,
    }
}

/// The fatal alert by which the peer ended TLS, if that is what an error is.
pub(super) fn tls_alert(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(inner, rustls::Error::AlertReceived(_)).then(|| inner.to_string())
}

/// The time of a deadline, if there is one.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the task of every stream takes, however idle it is.
    const BOUND: usize = 5 * 1024;

    fn size_of_task<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_stream_holds_no_room_for_what_happens_once() {
        let size = size_of_task(serve);
        assert!(size <= BOUND, "{size} bytes: box what is large and rare");
    }
}
